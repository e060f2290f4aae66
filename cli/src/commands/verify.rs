//! `verify`: checks that the archive holds exactly what was written.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use archive::verify::{
    Depth, Finding, LedgerState, Progress, Severity, Stage, VerifyOptions, VerifyReport, verify,
};
use archive::{Archive, Reader};
use common::date::rfc3339;
use indicatif::ProgressBar;
use serde::Serialize;
use tlog::Checkpoint;
use tlog::note::{NOTE_BYTES_MAX, Note};

use crate::args::{Verify, VerifyDepth};
use crate::exit::{Exit, Failure, Outcome};
use crate::input;
use crate::key;
use crate::output::{self, bytes, count, counted, elapsed, printable, speed};
use crate::progress::Bars;

/// Findings of one sort printed; `--json` prints all.
const FINDINGS_OF_A_CODE_MAX: usize = 10;

/// Runs the command.
pub(crate) async fn run(args: Verify) -> Outcome {
    let location = super::location(&args.place)?;
    // Not `open`: whether this is a sound archive is what is to be found out.
    let archive = Archive::connect(&location, &super::options(&location)?)?;
    let started = Instant::now();
    // An archive that can not say its id is found out below; a policy can be named all the same.
    let table_id = archive.table_id().await.ok();
    let trust = key::trust(args.policy.file.as_deref(), &location, table_id)?;
    let policy = trust.as_ref().map(|trust| trust.policy.clone());
    let since = args.since.as_deref().map(since).transpose()?;
    let depth = match args.depth {
        VerifyDepth { quick: true, .. } => Depth::Quick,
        VerifyDepth { deep: true, .. } => Depth::Deep,
        VerifyDepth { .. } => Depth::Full,
    };
    let options = VerifyOptions { depth, since, policy, files_at_once: None };
    let report = check(&archive.reader(), options).await?;
    let mut out = output::stdout();
    if args.json {
        let policy = trust.as_ref().map(|trust| trust.path.display().to_string());
        let answer = Answer { ok: report.worst().is_none(), policy, report: &report };
        serde_json::to_writer(&mut out, &answer).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        if let Some(trust) = trust.filter(|trust| trust.is_found) {
            let path = printable(&trust.path.display().to_string(), false);
            writeln!(out, "Trusting the policy beside this archive's key, {path}.")?;
        }
        out.write_all(text(&report, started.elapsed()).as_bytes())?;
    }
    out.flush()?;
    if let Some(path) = &args.keep {
        keep(path, &report)?;
    }
    Ok(exit(&report))
}

/// Reads the checkpoint that somebody kept.
fn since(path: &Path) -> Result<Note, Failure> {
    let shown = printable(&path.display().to_string(), false);
    let failed = |e: String| Failure::usage(format!("the checkpoint {shown} can not be used: {e}"));
    let bytes = input::read_bounded(path, NOTE_BYTES_MAX)
        .map_err(|e| Failure::usage(format!("--since: {}", e.message())))?;
    let note = Note::parse(&bytes).map_err(|e| failed(e.to_string()))?;
    Checkpoint::parse(&note.text).map_err(|e| failed(e.to_string()))?;
    Ok(note)
}

/// Keeps the checkpoint that was verified. The one that is there already is replaced in one step,
/// so that a crash leaves the one or the other.
fn keep(path: &Path, report: &VerifyReport) -> Result<(), Failure> {
    if report.worst() == Some(Severity::Tampering) {
        return Ok(());
    }
    let Some(ledger) = &report.ledger else {
        return Err(Failure::usage("--keep: this archive has no ledger, so no checkpoint"));
    };
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    fs::write(&name, &ledger.checkpoint).and_then(|()| fs::rename(&name, path)).map_err(|e| {
        let shown = printable(&path.display().to_string(), false);
        Failure::usage(format!("the checkpoint could not be kept in {shown}: {e}"))
    })
}

/// The report as `--json` prints it.
#[derive(Serialize)]
struct Answer<'a> {
    /// Nothing was found.
    ok: bool,
    /// File of the policy that said whom to trust.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    #[serde(flatten)]
    report: &'a VerifyReport,
}

/// Verifies, with a progress bar where somebody watches.
///
/// # Errors
/// If the archive can not be read.
pub(crate) async fn check(
    reader: &Reader,
    options: VerifyOptions,
) -> Result<VerifyReport, Failure> {
    let bars = Bars::new();
    let shown: Mutex<Option<(Stage, ProgressBar)>> = Mutex::new(None);
    let on_progress = |progress: Progress| show(&bars, &shown, progress);
    let report = verify(reader, options, &on_progress).await;
    if let Ok(Some((_, bar))) = shown.into_inner() {
        bar.finish_and_clear();
    }
    Ok(report?)
}

fn show(bars: &Bars, shown: &Mutex<Option<(Stage, ProgressBar)>>, progress: Progress) {
    let Ok(mut shown) = shown.lock() else { return };
    let (done, total) = (progress.done, progress.total);
    if shown.as_ref().is_none_or(|(stage, _)| *stage != progress.stage) {
        if let Some((_, bar)) = shown.take() {
            bar.finish_and_clear();
        }
        let label = match progress.stage {
            Stage::Commits => "checking commits",
            Stage::Strays => "looking for strays",
            Stage::Ledger => "computing the ledger",
        };
        let bar = bars.things(label, total);
        *shown = Some((progress.stage, bar));
    }
    if let Some((_, bar)) = shown.as_ref() {
        bar.set_length(total);
        bar.set_position(done);
    }
}

/// The exit code that a report stands for.
pub(crate) fn exit(report: &VerifyReport) -> Exit {
    match report.worst() {
        None => Exit::Ok,
        Some(Severity::Incomplete) => Exit::Incomplete,
        Some(Severity::Tampering) => Exit::Tampering,
    }
}

/// The report in sentences.
pub(crate) fn text(report: &VerifyReport, time: Duration) -> String {
    let mut text = String::new();
    // Writing to a String can not fail.
    let _ = writeln!(text, "Verified {}", printable(&report.archive, false));
    let _ = write!(
        text,
        "Read {}, {}, {} with {}; ",
        counted(report.commits, "commit", "commits"),
        counted(report.manifests, "manifest", "manifests"),
        counted(report.files, "file", "files"),
        counted(report.rows, "event", "events"),
    );
    let _ = match report.depth {
        Depth::Quick => writeln!(
            text,
            "took the lengths of files from the store, and the SHA-256 of {}, in {}.",
            count(report.digests),
            elapsed(time)
        ),
        Depth::Deep => writeln!(
            text,
            "hashed {} and {} in {} ({}).",
            bytes(report.bytes),
            counted(report.rows_decoded, "row", "rows"),
            elapsed(time),
            speed(report.bytes, time)
        ),
        Depth::Full => writeln!(
            text,
            "hashed {} in {} ({}).",
            bytes(report.bytes),
            elapsed(time),
            speed(report.bytes, time)
        ),
    };
    if let Some(ledger) = &report.ledger {
        let _ = writeln!(text, "{}", ledger_text(ledger));
    }
    if report.unsealed_manifests > 0 {
        let _ = writeln!(
            text,
            "{} not sealed yet.",
            counted(report.unsealed_manifests, "delivery is", "deliveries are")
        );
    }
    let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in &report.findings {
        let of_this_code = shown.entry(finding.code.as_str()).or_default();
        *of_this_code += 1;
        if *of_this_code <= FINDINGS_OF_A_CODE_MAX {
            write_finding(&mut text, finding);
        }
    }
    for (code, found) in shown {
        if let Some(more @ 1..) = found.checked_sub(FINDINGS_OF_A_CODE_MAX) {
            let _ = writeln!(text, "{more} more {code}; --json lists them all");
        }
    }
    if report.findings_omitted > 0 {
        let _ = writeln!(text, "and {} more that are not kept", count(report.findings_omitted));
    }
    text.push_str(match exit(report) {
        Exit::Ok if report.depth == Depth::Quick => {
            "Nothing is missing or added; no file was read (verify --full reads all).\n"
        }
        Exit::Ok => "Everything is as it was written.\n",
        Exit::Incomplete => "Nothing sealed was changed, but something is unfinished.\n",
        _ => "TAMPERING: what is sealed is not what was written.\n",
    });
    text
}

/// What the ledger covers, and who says so.
fn ledger_text(ledger: &LedgerState) -> String {
    let (origin, root) = (printable(&ledger.origin, false), &ledger.root);
    let who = match &ledger.signed_by {
        Some(key) => format!("signed by {}", printable(key, false)),
        None => "whose signature no policy was given for, or none that accepts it".to_owned(),
    };
    let size = counted(ledger.size, "commit", "commits");
    format!("The ledger {origin} covers {size}, root {root}, {who}.")
}

/// One finding, in three lines.
fn write_finding(text: &mut String, finding: &Finding) {
    let severity = match finding.severity {
        Severity::Tampering => "TAMPERING",
        Severity::Incomplete => "incomplete",
    };
    let _ = writeln!(
        text,
        "{severity} {}: {}",
        finding.code.as_str(),
        printable(&finding.object, false)
    );
    let _ = writeln!(
        text,
        "    expected {}, found {}",
        printable(&finding.expected, false),
        printable(&finding.found, false)
    );
    if let Some((first, last)) = finding.event_time_micros {
        let (first, last) = (rfc3339(first, 6), rfc3339(last, 6));
        let events = finding.events.map_or_else(String::new, |events| {
            format!("{} of ", counted(events, "event", "events"))
        });
        let _ = writeln!(text, "    affects {events}event times {first} to {last}");
    }
    if let Some(version) = finding.version {
        let _ = writeln!(text, "    affects the archive from version {version} on");
    }
    if !finding.detail.is_empty() {
        let _ = writeln!(text, "    {}", printable(&finding.detail, false));
    }
}
