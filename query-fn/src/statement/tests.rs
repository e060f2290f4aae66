//! Statements: read as they were written, or not at all.

use serde_json::{Value, json};

use super::*;

const CHECKPOINT: &str = "archive.example/mesh/7f\n42\n\
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\u{2014} archive.example/mesh/7f AAAAAAE=\n";

fn statement() -> Statement {
    let params = [
        ("who", Param::Text(Some("cart \u{202e}\"\\\u{7f}\u{1}é".to_owned()))),
        ("none", Param::Timestamp(None)),
        ("since", Param::Timestamp(Some(1_793_614_531_004_321))),
        ("n", Param::Integer(Some(-5))),
    ];
    let mut request = Request::new("SELECT 1 -- \u{1f600}\n\t", archive::Mode::Strict);
    request.params = params.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    request.repeatable = true;
    request.as_of = Some(41);
    let through = archive::SealedThrough {
        version: 41,
        size: 42,
        root: "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=".to_owned(),
        origin: "archive.example/mesh/7f".to_owned(),
        signed_by: None,
        witnesses: Vec::new(),
        delta_checkpoint: None,
        unsealed_commits_ignored: 0,
        unsealed_manifests_ignored: 0,
        checkpoint: CHECKPOINT.to_owned(),
    };
    let limits = Limits { rows_max: Some(9), ..Limits::default() };
    let result = StatedResult {
        columns: vec![StatedColumn { name: "n".to_owned(), kind: "Int64".to_owned() }],
        rows: 3,
        ordered: true,
        digest_algorithm: DIGEST_ALGORITHM.to_owned(),
        digest: Sha256Digest::of(b"rows"),
    };
    let known = Known {
        request: &request,
        limits: &limits,
        table_id: "7f",
        version: 41,
        through: &through,
        files_hashed: true,
        result,
    };
    let made = Statement::of(
        known,
        About {
            now_micros: 1_793_614_600_000_000,
            question: Some("denied_by_policy".to_owned()),
            export: None,
        },
    );
    assert_eq!(made.request().unwrap().params, request.params);
    made.with_export(StatedExport {
        name: "a.parquet".to_owned(),
        format: "parquet".to_owned(),
        bytes: 12,
        sha256: Sha256Digest::of(b"file"),
        proofs: Some(StatedProofs {
            name: "a.tar".to_owned(),
            events: 3,
            bytes: 10_240,
            sha256: Sha256Digest::of(b"proofs"),
        }),
    })
}

/// The statement with its digest computed again, as who edits with care does it.
fn resealed(mut value: Value) -> Vec<u8> {
    let members = value.as_object_mut().unwrap();
    let _ = members.remove("statement_sha256");
    let digest = Sha256Digest::of(value.to_string().as_bytes());
    value["statement_sha256"] = json!(digest);
    value.to_string().into_bytes()
}

#[test]
fn a_statement_is_read_as_it_was_written_however_it_is_laid_out() {
    let statement = statement();
    let text = statement.to_text();
    assert!(!text.contains(['\u{202e}', '\u{7f}']), "{text}");
    assert_eq!(Statement::parse(text.as_bytes()).unwrap(), statement);
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(Statement::parse(value.to_string().as_bytes()).unwrap(), statement);
    assert_eq!(Statement::parse(&resealed(value.clone())).unwrap(), statement);
    assert_eq!(value["parameters"][2]["value"], "2026-11-02T10:15:31.004321Z");
    assert_eq!(value["parameters"][1], json!({"name": "none", "type": "timestamp", "value": null}));
    let request = statement.request().unwrap();
    assert_eq!((request.as_of, request.repeatable), (Some(41), true));
}

/// Every place of a JSON value, as pointers.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, inner) in members {
                places(inner, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (n, inner) in items.iter().enumerate() {
                places(inner, &format!("{at}/{n}"), found);
            }
        }
        _ => found.push(at.to_owned()),
    }
}

#[test]
fn whatever_is_changed_is_noticed() {
    let text = statement().to_text();
    let value: Value = serde_json::from_str(&text).unwrap();
    let mut all = Vec::new();
    places(&value, "", &mut all);
    assert!(all.len() > 35, "{all:?}");
    for place in &all {
        let old = value.pointer(place).unwrap().clone();
        let mut others =
            vec![Value::Null, json!("other"), json!(1_000_007), json!(false), json!([])];
        if let Some(text) = old.as_str() {
            others.push(json!(format!("{text} ")));
            others.push(json!(text.replacen(['a', '1', 'e'], "b", 1)));
        }
        for other in others.into_iter().filter(|other| *other != old) {
            let mut changed = value.clone();
            *changed.pointer_mut(place).unwrap() = other.clone();
            let read = Statement::parse(changed.to_string().as_bytes());
            assert!(read.is_err(), "{place} became {other}");
        }
    }
    // Members that are missing, unknown, or there twice.
    for name in value.as_object().unwrap().keys() {
        let mut changed = value.clone();
        let _ = changed.as_object_mut().unwrap().remove(name);
        assert!(Statement::parse(changed.to_string().as_bytes()).is_err(), "without {name}");
    }
    let twice = text.replacen("\"sql\"", "\"sql\": \"SELECT 2\", \"sql\"", 1);
    assert!(Statement::parse(twice.as_bytes()).unwrap_err().to_string().contains("duplicate"));
    let more = text.replacen("\"sql\"", "\"more\": 1, \"sql\"", 1);
    assert!(Statement::parse(more.as_bytes()).unwrap_err().to_string().contains("more"));
    for odd in [&b""[..], b"null", b"[]", b"{}", b"{\"type\":", &[0xff; 9]] {
        assert!(Statement::parse(odd).is_err());
    }
    let long = format!("{text}{}", " ".repeat(STATEMENT_BYTES_MAX));
    assert!(Statement::parse(long.as_bytes()).unwrap_err().to_string().contains("at most"));
}

#[test]
fn a_careful_edit_must_still_agree_with_the_checkpoint() {
    let value: Value = serde_json::from_str(&statement().to_text()).unwrap();
    for (place, other) in [
        ("/type", json!("mesh-archive-answer/v2")),
        ("/result/digest_algorithm", json!("mesh-archive-rows/v2")),
        ("/ledger/size", json!(43)),
        ("/ledger/root", json!("AsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=")),
        ("/ledger/origin", json!("archive.example/mesh/80")),
        ("/ledger/checkpoint", json!("none")),
        ("/archive/table_id", json!("f")),
        ("/archive/version", json!(42)),
    ] {
        let mut changed = value.clone();
        *changed.pointer_mut(place).unwrap() = other;
        assert!(Statement::parse(&resealed(changed)).is_err(), "{place}");
    }
    // What can only be told by asking again is read.
    let mut changed = value;
    changed["sql"] = json!("SELECT 2");
    assert_eq!(Statement::parse(&resealed(changed)).unwrap().sql, "SELECT 2");
}
