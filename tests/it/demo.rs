//! The demo, which is the first thing that anybody runs.

use meshledger_tests::cli::ml;

#[test]
fn the_demo_finds_all_that_is_hidden_and_names_the_changed_file() {
    let output = ml(["demo", "--events", "20000"]).run().expect(0);
    let text = output.text();
    let found = text.lines().filter(|line| line.contains("all of them")).count();
    assert_eq!(found, 3, "three incidents are hidden: {}", output.report());
    let named = text.lines().any(|line| {
        let line = line.trim();
        line.starts_with("TAMPERING FILE_HASH") && {
            line.contains("data/event_date=") && line.ends_with(".parquet")
        }
    });
    assert!(named, "the changed byte's file is not named: {text}");
    // Standard output and error are pipes here: no bars, no colours.
    for bytes in [&output.stdout[..], output.stderr.as_bytes()] {
        let control = bytes.iter().find(|byte| matches!(byte, b'\r' | 0x1b));
        assert_eq!(control, None, "bars or colours in a pipe: {}", output.report());
    }
}
