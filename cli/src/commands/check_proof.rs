//! `check-proof`: checks a proof with nothing but the proof and the keys one trusts.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufReader, Read, Seek, Write};
use std::path::Path;

use common::Sha256Digest;
use common::date::rfc3339;
use common::digest::Hasher;
use common::proof::{self, EventProof, Field, FileFacts, Proven, Value, What};
use serde_json::{Map, Value as Json, json};
use tlog::policy::{Accepted, Policy};
use tlog::proof::PROOF_BYTES_MAX;

use crate::args::CheckProof;
use crate::exit::{Exit, Failure, Outcome};
use crate::export::tar::{Entries, is_tar};
use crate::input;
use crate::output::{self, counted, printable};

/// Longest policy file read, in bytes; the parser refuses shorter ones.
const POLICY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Proofs of one file that are not valid, of which that is shown.
const INVALID_MAX: usize = 100;

/// What a wrong proof is called, as `verify` calls its findings.
const CODE: &str = "PROOF";

/// Runs the command.
pub(crate) fn run(args: &CheckProof) -> Outcome {
    let policy = args.policy.as_deref().map(policy).transpose()?;
    if let Some(bundle) = bundle(&args.proof)? {
        if args.file.is_some() {
            return Err(Failure::usage("--file compares one file, and this is a tar of proofs"));
        }
        return check_all(args, bundle, policy.as_ref());
    }
    let bytes = input::read_bounded(&args.proof, PROOF_BYTES_MAX)?;
    let checked = proof::check(&bytes, policy.as_ref()).map_err(|e| e.to_string());
    let verdict = match (checked, &args.file) {
        (Ok(proven), Some(path)) => compared(&proven, path)?.map(|()| proven),
        (checked, _) => checked,
    };
    let mut out = output::stdout();
    if args.json {
        writeln!(out, "{}", to_json(&verdict, args.file.is_some()))?;
    } else {
        out.write_all(to_text(&verdict, args.file.is_some()).as_bytes())?;
    }
    out.flush()?;
    Ok(if verdict.is_ok() { Exit::Ok } else { Exit::Tampering })
}

/// The file, if it is a tar of proofs, as `query --proofs` writes it.
fn bundle(path: &Path) -> Result<Option<File>, Failure> {
    if path == Path::new("-") {
        return Ok(None);
    }
    let shown = printable(&path.display().to_string(), false);
    let failed =
        |e: std::io::Error| Failure::new(Exit::Input, format!("{shown}: {}", input::reason(&e)));
    let mut file = File::open(path).map_err(failed)?;
    let mut begin = Vec::new();
    let _ = (&mut file).take(512).read_to_end(&mut begin).map_err(failed)?;
    if !is_tar(&begin) {
        return Ok(None);
    }
    file.rewind().map_err(failed)?;
    Ok(Some(file))
}

/// Checks each proof of a tar file, and says which are not valid.
fn check_all(args: &CheckProof, bundle: File, policy: Option<&Policy>) -> Outcome {
    let shown = printable(&args.proof.display().to_string(), false);
    let failed = |e: std::io::Error| Failure::new(Exit::Input, format!("{shown}: {e}"));
    let mut proofs = Entries::new(BufReader::new(bundle), PROOF_BYTES_MAX);
    let (mut valid, mut invalid, mut kept) = (0_u64, 0_u64, Vec::new());
    while let Some((name, bytes)) = proofs.read_next().map_err(failed)? {
        match proof::check(&bytes, policy) {
            Ok(_) => valid += 1,
            Err(error) => {
                invalid += 1;
                if kept.len() < INVALID_MAX {
                    kept.push((name, error.to_string()));
                }
            }
        }
    }
    let is_valid = invalid == 0;
    let mut out = output::stdout();
    if args.json {
        let problems: Vec<Json> = kept
            .iter()
            .map(|(name, problem)| json!({"name": name, "code": CODE, "problem": problem}))
            .collect();
        let told = json!({
            "valid": is_valid,
            "valid_proofs": valid,
            "invalid_proofs": invalid,
            "problems": problems,
            "signatures_checked": policy.is_some(),
        });
        writeln!(out, "{}", output::harmless_json(&told))?;
    } else {
        for (name, problem) in &kept {
            let (name, problem) = (printable(name, false), printable(problem, false));
            writeln!(out, "NOT VALID {CODE}: {name}: {problem}")?;
        }
        let (good, bad) = (counted(valid, "proof", "proofs"), counted(invalid, "proof", "proofs"));
        writeln!(out, "{good} valid, {bad} not valid.")?;
        if policy.is_none() {
            writeln!(
                out,
                "NOBODY'S SIGNATURE WAS CHECKED (--no-policy): anybody may have made these proofs."
            )?;
        }
    }
    out.flush()?;
    Ok(if is_valid { Exit::Ok } else { Exit::Tampering })
}

fn policy(path: &Path) -> Result<Policy, Failure> {
    let shown = printable(&path.display().to_string(), false);
    let failed = |e: String| Failure::usage(format!("the policy {shown} can not be used: {e}"));
    let bytes = input::read_bounded(path, POLICY_BYTES_MAX).map_err(|e| failed(e.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|e| failed(e.to_string()))?;
    Policy::parse(&text).map_err(|e| failed(e.to_string()))
}

/// Holds a copy of the file against its proof. Inside: what is wrong with it.
fn compared(proven: &Proven, path: &Path) -> Result<Result<(), String>, Failure> {
    let What::File(file) = &proven.what else {
        return Err(Failure::usage("--file compares a file, and the proof is not one of a file"));
    };
    let FileFacts { sha256, bytes, .. } = *file.file;
    let shown = printable(&path.display().to_string(), false);
    let failed =
        |e: std::io::Error| Failure::new(Exit::Input, format!("{shown}: {}", input::reason(&e)));
    let (found, length) = hashed(path).map_err(failed)?;
    if (found, length) == (sha256, bytes) {
        return Ok(Ok(()));
    }
    Ok(Err(format!(
        "{shown}: expected {bytes} bytes with SHA-256 {sha256}, found {length} bytes with SHA-256 \
         {found}"
    )))
}

/// SHA-256 and length of a file.
pub(super) fn hashed(path: &Path) -> std::io::Result<(Sha256Digest, u64)> {
    let (mut file, mut hasher, mut length) = (File::open(path)?, Hasher::new(), 0);
    let mut piece = vec![0; 1024 * 1024];
    loop {
        let read = file.read(&mut piece)?;
        let Some(piece @ [_, ..]) = piece.get(..read) else {
            return Ok((hasher.finish(), length));
        };
        hasher.update(piece);
        length += u64::try_from(read).unwrap_or_default();
    }
}

/// The verdict in sentences.
fn to_text(verdict: &Result<Proven, String>, has_file: bool) -> String {
    let proven = match verdict {
        Ok(proven) => proven,
        Err(problem) => {
            let problem = printable(problem, false);
            return format!("NOT VALID {CODE}: {problem}\nThis proof proves nothing.\n");
        }
    };
    let mut text = String::new();
    // Writing to a String can not fail.
    match &proven.what {
        What::Event(event) => write_event(&mut text, event),
        What::File(file) => {
            let FileFacts { path, sha256, bytes, rows, event_time_micros } = &*file.file;
            let (first, last) = *event_time_micros;
            let _ = writeln!(
                text,
                "Valid: commit {} added the file {}.\n    {} with SHA-256 {sha256}\n    {}, from \
                 {} to {}",
                file.entry.version,
                printable(path, false),
                counted(*bytes, "byte", "bytes"),
                counted(*rows, "event", "events"),
                rfc3339(first, 6),
                rfc3339(last, 6),
            );
            text.push_str(if has_file {
                "The file given is this file.\n"
            } else {
                "No copy of the file was given (--file), so none was compared.\n"
            });
        }
        What::Consistency(old) => {
            let (size, root) = (counted(old.size, "commit", "commits"), &old.root);
            let _ = writeln!(
                text,
                "Valid: nothing was changed or taken away since the ledger had {size}, root {root}."
            );
        }
    }
    let head = &proven.checkpoint;
    let (origin, root) = (printable(&head.origin, false), &head.root);
    let size = counted(head.size, "commit", "commits");
    let _ = writeln!(text, "The ledger {origin} with {size}, root {root}.");
    match &proven.accepted {
        Some(accepted) => write_signers(&mut text, accepted),
        None => text.push_str(
            "NOBODY'S SIGNATURE WAS CHECKED (--no-policy): anybody may have made this proof.\n",
        ),
    }
    text
}

fn write_event(text: &mut String, event: &EventProof) {
    let (segment, row) = (event.segment.segment, event.row);
    let version = event.entry.version;
    let _ = writeln!(text, "Valid: commit {version} added the event {segment}/{row}:");
    let mut fields: Vec<Field<'_>> = event.fields().flatten().collect();
    fields.sort_by_key(|field| field.column.field_id);
    for field in fields {
        let value = shown(&field);
        let _ = writeln!(text, "    {:24} {value}", field.column.name);
    }
}

/// A value for people; others wrote it.
fn shown(field: &Field<'_>) -> String {
    match field.value {
        Value::Text(value) => printable(value, false),
        Value::Number(number) => number.to_string(),
        Value::Micros(micros) => rfc3339(micros, 6),
        Value::Boolean(value) => value.to_string(),
        Value::List(items) => {
            let items: Vec<String> = items.map(|item| printable(item, false)).collect();
            items.join(", ")
        }
    }
}

fn write_signers(text: &mut String, accepted: &Accepted) {
    let _ = writeln!(text, "Signed by {}.", printable(&accepted.log.to_string(), false));
    for (witness, time_seconds) in &accepted.witnesses {
        let (name, time) = (printable(witness.name(), false), seconds(*time_seconds));
        let _ = writeln!(text, "Cosigned by the witness {name} at {time}.");
    }
}

/// A time by a witness's own word.
fn seconds(time_seconds: u64) -> String {
    // Until year 9999; a later one is no time anybody means.
    match i64::try_from(time_seconds).ok().filter(|&seconds| seconds < 253_402_300_800) {
        Some(seconds) => rfc3339(seconds * 1_000_000, 0),
        None => format!("{time_seconds} s after 1970"),
    }
}

/// The verdict as `--json` prints it.
fn to_json(verdict: &Result<Proven, String>, has_file: bool) -> String {
    let object = match verdict {
        Err(problem) => json!({"valid": false, "code": CODE, "problem": problem}),
        Ok(proven) => {
            let mut object = about(&proven.what, has_file);
            object.insert("valid".to_owned(), true.into());
            let head = &proven.checkpoint;
            let root = head.root.to_string();
            let checkpoint = json!({"origin": head.origin, "size": head.size, "root": root});
            object.insert("checkpoint".to_owned(), checkpoint);
            let signed_by = proven.accepted.as_ref().map(|accepted| accepted.log.to_string());
            object.insert("signed_by".to_owned(), signed_by.into());
            let witnesses = proven.accepted.iter().flat_map(|accepted| &accepted.witnesses);
            let witnesses: Vec<Json> = witnesses
                .map(|(key, time)| json!({"name": key.name(), "time": seconds(*time)}))
                .collect();
            object.insert("witnesses".to_owned(), witnesses.into());
            Json::Object(object)
        }
    };
    output::harmless_json(&object)
}

fn about(what: &What, has_file: bool) -> Map<String, Json> {
    let object = match what {
        What::Event(event) => {
            let columns = event.fields().flatten().map(|field| {
                let value = match field.value {
                    Value::Text(text) => text.into(),
                    Value::Number(number) => number.into(),
                    Value::Micros(micros) => rfc3339(micros, 6).into(),
                    Value::Boolean(value) => value.into(),
                    Value::List(items) => items.collect::<Vec<_>>().into(),
                };
                (field.column.name.to_owned(), value)
            });
            json!({
                "kind": "event",
                "version": event.entry.version,
                "segment": event.segment.segment,
                "segment_row": event.row,
                "segment_rows": event.segment.rows,
                "event": columns.collect::<Map<_, _>>(),
            })
        }
        What::File(file) => {
            let FileFacts { path, sha256, bytes, rows, event_time_micros } = &*file.file;
            json!({
                "kind": "file",
                "version": file.entry.version,
                "path": path,
                "sha256": sha256,
                "bytes": bytes,
                "rows": rows,
                "event_time_micros": event_time_micros,
                "compared": has_file,
            })
        }
        What::Consistency(old) => {
            let root = old.root.to_string();
            json!({"kind": "consistency", "old": {"size": old.size, "root": root}})
        }
    };
    match object {
        Json::Object(object) => object,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use query_fn::rows::is_hazard;

    use super::*;

    #[test]
    fn what_others_wrote_can_not_drive_a_terminal() {
        let problem = Err("\u{1b}[2J\u{202e}\u{9b}x\n".to_owned());
        for text in [to_text(&problem, false), to_json(&problem, false)] {
            let lines = text.trim_end_matches('\n');
            let harmless = |c: char| c == '\n' || !is_hazard(c);
            assert!(lines.chars().all(harmless), "{text:?}");
        }
        let read: Json = serde_json::from_str(&to_json(&problem, false)).unwrap();
        assert_eq!(read["problem"], "\u{1b}[2J\u{202e}\u{9b}x\n");
    }

    #[test]
    fn a_time_that_is_none_is_shown_as_it_is() {
        assert_eq!(seconds(1_793_614_700), "2026-11-02T10:18:20Z");
        assert_eq!(seconds(u64::MAX), "18446744073709551615 s after 1970");
    }
}
