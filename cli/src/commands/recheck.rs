//! `recheck`: asks again what a receipt says was asked, and compares the answers.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

use archive::absent::Removed;
use common::commit::Operation;
use common::date::rfc3339;
use query_fn::recheck::{Difference, RecheckError};
use query_fn::statement::{STATEMENT_BYTES_MAX, StatedExport};
use query_fn::{Engine, Recheck as Checked, Rechecked, Statement, recheck};
use serde_json::{Value, json};

use super::check_proof::hashed;
use crate::args::Recheck;
use crate::exit::{Exit, Failure, Outcome};
use crate::input;
use crate::key;
use crate::output::{self, counted, printable};
use crate::query;

/// Runs the command.
pub(crate) async fn run(args: Recheck) -> Outcome {
    let bytes = input::read_bounded(&args.receipt, STATEMENT_BYTES_MAX)?;
    let statement = match Statement::parse(&bytes) {
        Ok(statement) => statement,
        Err(error) => return tell(&Verdict::Malformed(error.to_string()), args.json),
    };
    if let Some(path) = &args.file {
        let export = statement.export.as_ref().ok_or_else(|| {
            Failure::usage("--file: this receipt names no exported file to compare with")
        })?;
        if let Some(difference) = compared(export, path)? {
            return tell(&Verdict::OtherFile(difference), args.json);
        }
    }
    let location = super::location(&args.place)?;
    let archive = super::open(&args.place).await?;
    let trust =
        key::trust(args.policy.file.as_deref(), &location, Some(archive.table_id().await?))?;
    let reader = match &trust {
        Some(trust) => archive.reader().trusting(trust.policy.clone()),
        None => archive.reader(),
    };
    let (mut limits, _spill) = query::limits(&args.limits)?;
    if args.limits.time_seconds.is_none() {
        limits.time = query::UNATTENDED_TIME;
    }
    let engine = Engine::new(reader, limits)?;
    let engine = engine.hashing_files(args.full || statement.files_hashed);
    let checked = recheck(&engine, &statement).await?;
    let signed_by = trust.and_then(|trust| statement.ledger.signed_by(&trust.policy));
    let has_file = args.file.is_some();
    let (statement, checked) = (Box::new(statement), Box::new(checked));
    tell(&Verdict::Checked { statement, checked, signed_by, has_file }, args.json)
}

/// What a receipt turned out to be.
enum Verdict {
    /// No statement, for this reason.
    Malformed(String),
    /// The file beside it is another one.
    OtherFile(Difference),
    /// Asked again, or tried to.
    Checked {
        statement: Box<Statement>,
        checked: Box<Checked>,
        /// The key of the policy that signed the statement's checkpoint.
        signed_by: Option<String>,
        has_file: bool,
    },
}

/// Holds an exported file against what the statement says of it.
fn compared(export: &StatedExport, path: &Path) -> Result<Option<Difference>, Failure> {
    let shown = printable(&path.display().to_string(), false);
    let failed =
        |e: std::io::Error| Failure::new(Exit::Input, format!("{shown}: {}", input::reason(&e)));
    let (sha256, bytes) = hashed(path).map_err(failed)?;
    let of = |bytes, sha256| format!("{bytes} bytes with SHA-256 {sha256}");
    let (stated, found) = (of(export.bytes, export.sha256), of(bytes, sha256));
    Ok((stated != found).then_some(Difference { what: "export", stated, found }))
}

fn tell(verdict: &Verdict, as_json: bool) -> Outcome {
    let mut out = output::stdout();
    if as_json {
        writeln!(out, "{}", output::harmless_json(&to_json(verdict)))?;
    } else {
        out.write_all(to_text(verdict).as_bytes())?;
    }
    out.flush()?;
    Ok(exit(verdict))
}

/// The exit code that a verdict stands for.
const fn exit(verdict: &Verdict) -> Exit {
    match verdict {
        Verdict::Malformed(_) | Verdict::OtherFile(_) => Exit::Different,
        Verdict::Checked { checked, .. } => match checked.verdict {
            Rechecked::Equal => Exit::Ok,
            Rechecked::Different(_) | Rechecked::OtherHistory(_) => Exit::Different,
            Rechecked::Expired(_) => Exit::Expired,
            Rechecked::Lost(_) => Exit::Tampering,
        },
    }
}

/// The verdict in sentences.
fn to_text(verdict: &Verdict) -> String {
    let (statement, checked, signed_by, has_file) = match verdict {
        Verdict::Malformed(problem) => {
            let problem = printable(problem, false);
            return format!("NOT AS IT WAS WRITTEN: {problem}\nThis receipt states nothing.\n");
        }
        Verdict::OtherFile(difference) => {
            let mut text = "DIFFERENT: the file is not the one that was exported.\n".to_owned();
            write_difference(&mut text, difference);
            return text;
        }
        Verdict::Checked { statement, checked, signed_by, has_file } => {
            (statement, checked, signed_by, *has_file)
        }
    };
    let mut text = String::new();
    // Writing to a String can not fail.
    match &checked.verdict {
        Rechecked::Equal => {
            let rows = counted(statement.result.rows, "row", "rows");
            let order = if statement.result.ordered { " in the same order" } else { "" };
            let _ = writeln!(
                text,
                "Equal: version {} gives the same {rows}{order}, digest {}.",
                statement.archive.version, statement.result.digest
            );
        }
        Rechecked::Different(differences) => {
            let version = statement.archive.version;
            let _ = writeln!(text, "DIFFERENT: version {version} gives another answer.");
            differences.iter().for_each(|one| write_difference(&mut text, one));
            if statement.program != common::WRITER {
                let by = printable(&statement.program, false);
                let _ = writeln!(
                    text,
                    "The receipt was made by {by}, this is {}; if `meshledger verify` finds \
                     nothing, ask again with that one.",
                    common::WRITER
                );
            }
        }
        Rechecked::OtherHistory(difference) => {
            text.push_str("DIFFERENT: this archive's ledger is not the one of the receipt.\n");
            write_difference(&mut text, difference);
            text.push_str(if signed_by.is_some() {
                "A key that the policy trusts signed the receipt's checkpoint: keep the receipt, \
                 it is evidence that the ledger was rewritten or cut back.\n"
            } else {
                "No key that a policy trusts is known to have signed the receipt's checkpoint: it \
                 may be of another archive, or made up.\n"
            });
        }
        Rechecked::Expired(removed) => {
            text.push_str(
                "NO LONGER POSSIBLE: files that the answer was read from have expired.\n",
            );
            removed.iter().for_each(|one| write_removed(&mut text, one));
        }
        Rechecked::Lost(files) => {
            text.push_str(
                "TAMPERING FILE_MISSING: files are gone that no commit removed; run `meshledger \
                 verify`.\n",
            );
            for file in files {
                let _ = writeln!(text, "    {}", printable(file, false));
            }
        }
    }
    write_rest(&mut text, statement, checked, signed_by.as_deref(), has_file);
    text
}

fn write_rest(
    text: &mut String,
    statement: &Statement,
    checked: &Checked,
    signed_by: Option<&str>,
    has_file: bool,
) {
    if has_file {
        text.push_str("The file given is the one that was exported.\n");
    }
    if !matches!(checked.verdict, Rechecked::OtherHistory(_)) {
        let then = counted(statement.ledger.size, "commit", "commits");
        let now = counted(checked.ledger_size, "commit", "commits");
        let _ = writeln!(text, "The ledger had {then} then, and has {now} now: it only grew.");
    }
    match signed_by {
        Some(key) => {
            let key = printable(key, false);
            let _ = writeln!(text, "The receipt's checkpoint is signed by {key}.");
        }
        None => text.push_str(
            "Nobody's signature was checked on the receipt's checkpoint, for want of a policy with \
             its key.\n",
        ),
    }
    if let Some(receipt) = &checked.receipt {
        let _ = writeln!(text, "{}.", query::receipt::text(receipt));
    }
}

fn write_difference(text: &mut String, difference: &Difference) {
    let (stated, found) = (&difference.stated, &difference.found);
    let _ = writeln!(
        text,
        "    {}: expected {}, found {}",
        difference.what,
        printable(stated, false),
        printable(found, false)
    );
}

fn write_removed(text: &mut String, removed: &Removed) {
    let when = rfc3339(removed.timestamp_millis.saturating_mul(1_000), 3);
    let _ = writeln!(
        text,
        "    commit {} ({}) of {when} removed {} of them, {} among these",
        removed.version,
        operation(removed.operation),
        counted(removed.files, "file", "files"),
        printable(&removed.example, false)
    );
}

const fn operation(operation: Operation) -> &'static str {
    match operation {
        Operation::Compact => "compact",
        Operation::Expire => "expire",
        // These remove nothing.
        Operation::Init | Operation::Seal | Operation::Heartbeat | Operation::Repair => "none",
    }
}

/// The verdict as `--json` prints it.
fn to_json(verdict: &Verdict) -> Value {
    let difference =
        |one: &Difference| json!({"what": one.what, "stated": one.stated, "found": one.found});
    let (statement, checked, signed_by, has_file) = match verdict {
        Verdict::Malformed(problem) => {
            return json!({"verdict": "malformed", "equal": false, "problem": problem});
        }
        Verdict::OtherFile(one) => {
            return json!({"verdict": "other_file", "equal": false, "differences": [difference(one)]});
        }
        Verdict::Checked { statement, checked, signed_by, has_file } => {
            (statement, checked, signed_by, has_file)
        }
    };
    let (word, details) = match &checked.verdict {
        Rechecked::Equal => ("equal", json!({})),
        Rechecked::Different(all) => {
            let all: Vec<Value> = all.iter().map(difference).collect();
            ("different", json!({"differences": all}))
        }
        Rechecked::OtherHistory(one) => {
            ("other_history", json!({"differences": [difference(one)]}))
        }
        Rechecked::Expired(removed) => {
            let removed = removed.iter().map(|one| {
                json!({
                    "version": one.version,
                    "operation": operation(one.operation),
                    "timestamp_millis": one.timestamp_millis,
                    "files": one.files,
                    "example": one.example,
                })
            });
            ("expired", json!({"removed_by": removed.collect::<Vec<_>>()}))
        }
        Rechecked::Lost(files) => ("lost", json!({"files": files})),
    };
    let mut told = json!({
        "verdict": word,
        "equal": checked.verdict == Rechecked::Equal,
        "version": statement.archive.version,
        "digest": statement.result.digest,
        "statement_sha256": statement.statement_sha256,
        "ledger_size": {"then": statement.ledger.size, "now": checked.ledger_size},
        "signed_by": signed_by,
        "file_compared": has_file,
        "receipt": checked.receipt,
    });
    if let (Value::Object(told), Value::Object(details)) = (&mut told, details) {
        told.extend(details);
    }
    told
}

impl From<RecheckError> for Failure {
    fn from(error: RecheckError) -> Self {
        match error {
            RecheckError::Query(error) => error.into(),
            RecheckError::Ledger(error) => error.into(),
        }
    }
}
