//! `seal`: commits what was ingested.

use std::io::Write;

use archive::Archive;
use maintain_fn::{SealOptions, SealReport};

use tlog::note::SeedSigner;

use crate::args::{Key, Seal};
use crate::doors;
use crate::exit::{Exit, Failure, Outcome};
use crate::key;
use crate::output::{self, bytes, count, counted, printable};
use crate::progress::Bars;

/// Runs the command.
pub(crate) async fn run(args: Seal) -> Outcome {
    let archive = super::open(&args.place).await?;
    let report = seal(&archive, &args.key).await?;
    let mut out = output::stdout();
    if args.json {
        serde_json::to_writer(&mut out, &report).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        out.write_all(text(&report).as_bytes())?;
    }
    out.flush()?;
    Ok(exit(&report))
}

/// Seals everything that waits, and signs if there is a key.
///
/// # Errors
/// If the key can not be used or the archive fails; what was committed stays.
pub(crate) async fn seal(archive: &Archive, key: &Key) -> Result<SealReport, Failure> {
    let signer = key::find(key.file.as_deref(), &archive.table_id().await?)?;
    let bar = Bars::new().spinner("sealing");
    let sealed = seal_with(archive, signer.as_ref()).await;
    bar.finish_and_clear();
    sealed
}

/// Seals everything that waits.
///
/// # Errors
/// If the archive fails; what was committed stays.
pub(crate) async fn seal_with(
    archive: &Archive,
    signer: Option<&SeedSigner>,
) -> Result<SealReport, Failure> {
    let (sealer, now_micros) = (archive.sealer(), doors::now_micros()?);
    let options = SealOptions::default();
    Ok(match signer {
        Some(signer) => maintain_fn::seal_signed(&sealer, signer, now_micros, options).await?,
        None => maintain_fn::seal(&sealer, now_micros, options).await?,
    })
}

/// A seal that had to refuse something needs somebody's attention.
pub(crate) fn exit(report: &SealReport) -> Exit {
    if report.manifests_refused.is_empty() { Exit::Ok } else { Exit::Storage }
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
