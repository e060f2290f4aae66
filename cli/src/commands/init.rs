//! `init`: creates an archive.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use archive::log::Log;
use archive::{Archive, Created};
use common::commit::Genesis;

use crate::args::Init;
use crate::doors;
use crate::exit::{Exit, Failure, Outcome};
use crate::key;
use crate::output::{self, counted, printable};

/// Runs the command.
pub(crate) async fn run(args: Init) -> Outcome {
    let location = super::location(&args.place)?;
    let genesis = Genesis {
        table_id: doors::new_table_id()?,
        timestamp_millis: doors::now_micros()? / 1_000,
        fence: !args.no_fence,
    };
    let created = Archive::create(&location, &super::options(&location)?, &genesis).await?;
    if let Some(name) = &args.ledger {
        begin(&created, name, args.key.file.as_deref()).await?;
    }
    let archive = printable(location.archive_url(), false);
    let mut out = output::stdout();
    if created.is_new {
        writeln!(out, "Created the archive {archive}.")?;
        writeln!(
            out,
            "What is ingested waits for a seal in {}.",
            printable(location.work_url(), false)
        )?;
        writeln!(out, "Next: meshledger ingest --archive {archive} FILE…")?;
    } else {
        writeln!(out, "The archive {archive} exists already; it is left as it is.")?;
    }
    out.flush()?;
    Ok(Exit::Ok)
}

/// Makes the key and signs what there is; run again, it goes on where it stopped.
async fn begin(created: &Created, name: &str, file: Option<&Path>) -> Result<(), Failure> {
    let (signer, path) = key::create(name, &created.table_id, file)?;
    let sealer = created.archive.sealer();
    let log = sealer.log(&Log::default()).await?;
    let published = maintain_fn::publish(&sealer, &signer, &log, &BTreeSet::new()).await?;
    let mut out = output::stdout();
    writeln!(
        out,
        "The ledger's private key lies in {}.",
        printable(&path.display().to_string(), false)
    )?;
    writeln!(out, "Keep a copy of it elsewhere: without it nothing can be sealed any more.")?;
    writeln!(
        out,
        "Its public key, for whoever verifies, as the policy file of `verify --policy`:"
    )?;
    writeln!(out, "    log {}\n    quorum none", signer.public())?;
    writeln!(out, "The checkpoint covers {}.", counted(published.size, "commit", "commits"))?;
    out.flush()?;
    Ok(())
}
