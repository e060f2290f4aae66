//! `witness`: has others cosign the ledger.

use std::io::Write;

use maintain_fn::{Asked, Cosigning};
use serde::Serialize;

use crate::args::{Witness, WitnessAction};
use crate::exit::{Exit, Failure, Outcome};
use crate::key;
use crate::output;
use crate::witness::{ask, sentence};

/// What `--json` prints.
#[derive(Serialize)]
struct Answer {
    witnesses: Vec<Asked>,
}

/// Runs the command.
pub(crate) async fn run(args: Witness) -> Outcome {
    let WitnessAction::Push(args) = args.action;
    let location = super::location(&args.place)?;
    let archive = super::open(&args.place).await?;
    let table_id = archive.table_id().await?;
    let trust = key::trust(args.policy.file.as_deref(), &location, Some(table_id))?;
    let trust = trust.ok_or_else(|| {
        Failure::usage(
            "no policy names witnesses: use --policy FILE, with lines witness NAME KEY URL",
        )
    })?;
    if trust.policy.witnesses().iter().all(|known| known.url.is_none()) {
        let path = output::printable(&trust.path.display().to_string(), false);
        return Err(Failure::usage(format!(
            "the policy {path} names no witness with a URL: witness NAME KEY URL"
        )));
    }
    let asked = ask(&archive, Some(&trust)).await;
    let is_refused = asked.iter().any(|one| one.outcome == Cosigning::Refused);
    let is_done = !asked.is_empty() && asked.iter().all(Asked::is_cosigned);
    let mut out = output::stdout();
    if args.json {
        serde_json::to_writer(&mut out, &Answer { witnesses: asked })
            .map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        for one in asked.iter().filter(|one| one.is_cosigned()) {
            writeln!(out, "{}", sentence(one))?;
        }
    }
    out.flush()?;
    Ok(match (is_refused, is_done) {
        (true, _) => Exit::Tampering,
        (false, true) => Exit::Ok,
        (false, false) => Exit::Storage,
    })
}
