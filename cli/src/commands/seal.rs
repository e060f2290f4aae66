//! `seal`: commits what was ingested.

use std::io::Write;
use std::time::Duration;

use archive::Archive;
use maintain_fn::{Asked, Known, RepairReport, SealOptions, SealReport, Signer};
use serde::Serialize;

use crate::args::{Key, Place, Policy, Repair, Seal};
use crate::exit::{Exit, Failure, Outcome};
use crate::key::{self, Owner};
use crate::output::{self, bytes, count, counted, printable};
use crate::progress::Bars;
use crate::witness::{self, sentence};
use host::doors;

/// Runs the command.
pub(crate) async fn run(args: Seal) -> Outcome {
    let archive = super::open(&args.place).await?;
    let repaired = match args.repair {
        Some(what) => Some(repair(&archive, &args, what).await?),
        None => None,
    };
    let mut out = output::stdout();
    if let Some(repaired) = repaired.as_ref().filter(|_| !args.json) {
        // Said at once: the seal may still fail.
        out.write_all(repair_text(repaired).as_bytes())?;
        out.flush()?;
    }
    let options = SealOptions {
        delta_checkpoint_every: args.delta_checkpoint_every,
        heartbeat_after: args.heartbeat_after.map(minutes),
        ..SealOptions::default()
    };
    let (report, witnesses) = seal(&archive, &args.place, &args.key, &args.policy, options).await?;
    if args.json {
        let answer = Answer { repaired: repaired.as_ref(), report: &report, witnesses };
        serde_json::to_writer(&mut out, &answer).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        out.write_all(text(&report).as_bytes())?;
        for asked in witnesses.iter().filter(|asked| asked.is_cosigned()) {
            writeln!(out, "{}", sentence(asked))?;
        }
    }
    out.flush()?;
    let is_damaged = repaired.is_some_and(|repaired| !repaired.tiles_damaged.is_empty());
    Ok(if is_damaged { Exit::Storage } else { exit(&report) })
}

async fn repair(archive: &Archive, args: &Seal, what: Repair) -> Result<RepairReport, Failure> {
    let location = super::location(&args.place)?;
    let owner = Owner::new(archive, &location).await?;
    let Some(found) = owner.find(args.key.holder.as_ref()).await? else {
        return Err(Failure::usage("only a ledger is repaired, with its key: use --key HOLDER"));
    };
    let sealer = archive.sealer();
    Ok(match what {
        Repair::Ledger => maintain_fn::repair_ledger(&sealer, &*found.signer).await?,
        Repair::Commit(version, sha256) => {
            let commit = (version, sha256);
            let now_micros = doors::now_micros()?;
            maintain_fn::repair_commit(&sealer, &*found.signer, commit, now_micros).await?
        }
    })
}

/// What a repair did, in sentences.
fn repair_text(report: &RepairReport) -> String {
    let mut text = String::new();
    for commit in &report.commits_refused {
        text.push_str(&format!("Commit {commit} gave way; its bytes are kept under refused/.\n"));
    }
    if report.deliveries_waiting > 0 {
        let waiting = counted(report.deliveries_waiting, "delivery waits", "deliveries wait");
        text.push_str(&format!("{waiting} again.\n"));
    }
    for delivery in &report.deliveries_lost {
        text.push_str(&format!(
            "The manifest of delivery {delivery} is nowhere; ingest its source again.\n"
        ));
    }
    for tile in &report.tiles_written {
        text.push_str(&format!("Computed {}.\n", printable(tile, false)));
    }
    for tile in &report.tiles_damaged {
        let tile = printable(tile, false);
        text.push_str(&format!(
            "DAMAGED {tile}: a sealer overwrites nothing; delete it and repair again.\n"
        ));
    }
    if report.is_lock_written {
        text.push_str("The place of locks knows now what was signed last.\n");
    }
    if text.is_empty() {
        text.push_str("Nothing to repair.\n");
    }
    text
}

/// The report as `--json` prints it.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    report: &'a SealReport,
    /// What was repaired before.
    #[serde(skip_serializing_if = "Option::is_none")]
    repaired: Option<&'a RepairReport>,
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
    let signer = found.as_ref().map(|found| &*found.signer);
    let sealed = seal_with(archive, signer, &mut Known::default(), options).await;
    bar.finish_and_clear();
    let report = sealed?;
    let witnesses = witness::ask(archive, trust.as_ref().filter(|_| found.is_some())).await;
    Ok((report, witnesses))
}

/// Seals everything that waits, reading only what is not known yet.
///
/// # Errors
/// If the archive fails; what was committed stays.
pub(crate) async fn seal_with(
    archive: &Archive,
    signer: Option<&dyn Signer>,
    known: &mut Known,
    options: SealOptions,
) -> Result<SealReport, Failure> {
    let (sealer, now_micros) = (archive.sealer(), doors::now_micros()?);
    Ok(maintain_fn::seal_again(&sealer, signer, known, now_micros, options).await?)
}

/// So many minutes.
pub(crate) fn minutes(count: u32) -> Duration {
    Duration::from_secs(u64::from(count) * 60)
}

/// A seal that had to refuse something needs somebody's attention.
pub(crate) fn exit(report: &SealReport) -> Exit {
    let is_fine = report.manifests_refused.is_empty() && report.delta_checkpoint_refused.is_none();
    if is_fine { Exit::Ok } else { Exit::Storage }
}

/// The report in sentences.
pub(crate) fn text(report: &SealReport) -> String {
    let version = report.version.unwrap_or_default();
    let mut text = if report.commits == 0 && report.heartbeats > 0 {
        format!("Nothing was waiting; version {version} is a heartbeat and says so.\n")
    } else if report.commits == 0 {
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
    if let Some(damage) = &report.ledger_damage {
        let damage = printable(damage, false);
        text.push_str(&format!(
            "The ledger has a tile that can not be used, so every commit was read: {damage}. Run \
             `meshledger seal --repair`.\n"
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
