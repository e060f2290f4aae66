//! Credentials are out of a record before anything of it is written.

use meshledger_tests::laptop::Laptop;
use meshledger_tests::records::good;
use serde_json::json;

const SECRET: &str = "c0ffee5ecret";

/// An event and a reject, each with a secret in a query.
fn input() -> String {
    let event = good("x").replace("lang=en", &format!("a=1&access_token={SECRET}&b=2"));
    assert!(event.contains(SECRET), "{event}");
    format!("{event}\nno format: GET /y?password={SECRET} 200\n")
}

/// All that can be read of the archive.
fn everything(laptop: &Laptop) -> String {
    let mut rows = laptop.query("SELECT * FROM mesh_events");
    rows.extend(laptop.query("SELECT arrow_cast(record, 'Utf8') AS record FROM mesh_quarantine"));
    format!("{rows:?}")
}

#[test]
fn by_default_a_credential_is_neither_in_events_nor_in_quarantine() {
    let laptop = Laptop::new();
    let summary = laptop.ingest_bytes("a.log", input());
    assert_eq!((&summary["events"], &summary["rejects"]), (&json!(1), &json!(1)), "{summary}");
    assert_eq!(summary["redactions"], json!({"parameter": 2}), "{summary}");
    let _ = laptop.seal();
    let all = everything(&laptop);
    assert!(!all.contains(SECRET), "{all}");
    let query = &laptop.query("SELECT url_query FROM mesh_events")[0]["url_query"];
    assert_eq!(query, "a=1&access_token=[redacted:parameter]&b=2");
    assert!(all.contains("password=[redacted:parameter] 200"), "{all}");
    laptop.verify_ok();
}

#[test]
fn rules_can_be_changed_or_none() {
    let laptop = Laptop::new();
    let file = laptop.write("a.log", input());
    let run = laptop.command("ingest").args(["--json", "--redaction", "none"]).args([&file]);
    assert_eq!(run.run().expect(0).json()["redactions"], json!({}));
    assert!(everything(&laptop).contains(SECRET));
    let rules = laptop.write("rules.json", r#"{"more": ["b"]}"#);
    let other = laptop.write("b.log", input().replace("a=1", "a=2"));
    let run =
        laptop.command("ingest").args(["--json", "--redaction"]).args([&rules]).args([&other]);
    assert_eq!(run.run().expect(0).json()["redactions"], json!({"parameter": 3}));
    let wrong = laptop.write("wrong.json", r#"{"mroe": []}"#);
    let run = laptop.command("ingest").args(["--redaction"]).args([&wrong]).args([&other]).run();
    let _ = run.expect(3).says("mroe");
}
