//! `seal`: commits what was ingested.

use std::io::Write;

use archive::Archive;
use maintain_fn::{Asked, SealOptions, SealReport, Signer};
use serde::Serialize;

use crate::args::{Key, Place, Policy, Seal};
use crate::doors;
use crate::exit::{Exit, Failure, Outcome};
use crate::key::{self, Owner};
use crate::output::{self, bytes, count, counted, printable};
use crate::progress::Bars;
use crate::witness::{self, is_cosigned, sentence};

/// Runs the command.
pub(crate) async fn run(args: Seal) -> Outcome {
    let archive = super::open(&args.place).await?;
    let every = args.delta_checkpoint_every;
    let options = SealOptions { delta_checkpoint_every: every, ..SealOptions::default() };
    let (report, witnesses) = seal(&archive, &args.place, &args.key, &args.policy, options).await?;
    let mut out = output::stdout();
    if args.json {
        let answer = Answer { report: &report, witnesses };
        serde_json::to_writer(&mut out, &answer).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        out.write_all(text(&report).as_bytes())?;
        for asked in witnesses.iter().filter(|asked| is_cosigned(asked)) {
            writeln!(out, "{}", sentence(asked))?;
        }
    }
    out.flush()?;
    Ok(exit(&report))
}

/// The report as `--json` prints it.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    report: &'a SealReport,
    /// Witnesses that were asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    witnesses: Vec<Asked>,
}

/// Seals everything that waits, signs if there is a key, and asks the policy's witnesses.
///
/// # Errors
/// If the key can not be used or the archive fails; what was committed stays.
pub(crate) async fn seal(
    archive: &Archive,
    place: &Place,
    key: &Key,
    policy: &Policy,
    options: SealOptions,
) -> Result<(SealReport, Vec<Asked>), Failure> {
    let location = super::location(place)?;
    let owner = Owner::new(archive, &location).await?;
    let found = owner.find(key.holder.as_ref()).await?;
    let trust = key::trust(policy.file.as_deref(), &location, Some(owner.table_id()))?;
    let bar = Bars::new().spinner("sealing");
    let sealed = seal_with(archive, found.as_ref().map(|found| &*found.signer), options).await;
    bar.finish_and_clear();
    let report = sealed?;
    let witnesses = witness::ask(archive, trust.as_ref().filter(|_| found.is_some())).await;
    Ok((report, witnesses))
}

/// Seals everything that waits.
///
/// # Errors
/// If the archive fails; what was committed stays.
pub(crate) async fn seal_with(
    archive: &Archive,
    signer: Option<&dyn Signer>,
    options: SealOptions,
) -> Result<SealReport, Failure> {
    let (sealer, now_micros) = (archive.sealer(), doors::now_micros()?);
    Ok(match signer {
        Some(signer) => maintain_fn::seal_signed(&sealer, signer, now_micros, options).await?,
        None => maintain_fn::seal(&sealer, now_micros, options).await?,
    })
}

/// A seal that had to refuse something needs somebody's attention.
pub(crate) fn exit(report: &SealReport) -> Exit {
    let is_fine = report.manifests_refused.is_empty() && report.delta_checkpoint_refused.is_none();
    if is_fine { Exit::Ok } else { Exit::Storage }
}

/// The report in sentences.
pub(crate) fn text(report: &SealReport) -> String {
    let version = report.version.unwrap_or_default();
    let mut text = if report.commits == 0 {
        format!("Nothing new to seal; the archive is at version {version}.\n")
    } else {
        format!(
            "Sealed {} with {} in {}, {}; the archive is at version {version}.\n",
            counted(report.manifests_sealed, "delivery", "deliveries"),
            counted(report.rows, "event", "events"),
            counted(report.files, "file", "files"),
            bytes(report.bytes)
        )
    };
    if let Some(through) = report.sealed_through {
        text.push_str(&format!("The signed ledger covers versions 0 to {through}.\n"));
    }
    if let Some(version) = report.delta_checkpoint {
        text.push_str(&format!(
            "The ledger vouches for a Delta checkpoint of version {version}.\n"
        ));
    }
    if let Some(wrong) = &report.delta_checkpoint_refused {
        text.push_str(&format!(
            "NOT VOUCHED FOR {}; `meshledger verify` says more.\n",
            printable(wrong, false)
        ));
    }
    if report.rejects > 0 {
        let rejects = counted(report.rejects, "reject is", "rejects are");
        text.push_str(&format!("{rejects} kept in mesh_quarantine.\n"));
    }
    let repeated = report.manifests_dropped + report.manifests_mixed;
    if repeated > 0 {
        text.push_str(&format!(
            "{} repeated what was sealed before; nothing is there twice.\n",
            count(repeated)
        ));
    }
    for refused in &report.manifests_refused {
        text.push_str(&format!(
            "REFUSED {}: {}\n",
            printable(&refused.key, false),
            printable(&refused.reasons.join("; "), false)
        ));
    }
    if !report.manifests_refused.is_empty() {
        text.push_str("What was refused is not in the archive; ingest its source again.\n");
    }
    if !report.is_complete {
        text.push_str("More is waiting; seal again.\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use maintain_fn::RefusedManifest;

    #[test]
    fn the_text_says_what_was_sealed_and_what_was_refused() {
        let sealed = SealReport {
            version: Some(3),
            commits: 1,
            manifests_sealed: 2,
            files: 2,
            rows: 1_000,
            bytes: 50_000,
            is_complete: true,
            ..SealReport::default()
        };
        assert_eq!(
            text(&sealed),
            "Sealed 2 deliveries with 1,000 events in 2 files, 50.0 kB; the archive is at version 3.\n"
        );
        assert_eq!(exit(&sealed), Exit::Ok);
        let refused = RefusedManifest {
            key: "inbox/\x1b.json".to_owned(),
            reasons: vec!["a file is missing".to_owned()],
            is_moved: true,
        };
        let refused = SealReport { manifests_refused: vec![refused], ..SealReport::default() };
        assert!(text(&refused).contains("REFUSED inbox/\\u{1b}.json: a file is missing"));
        assert_eq!(exit(&refused), Exit::Storage);
    }
}
