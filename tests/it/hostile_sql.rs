//! Statements made to do harm, asked of the query function as it is deployed, one after the other
//! in one process: each is refused or stopped with its code and a text that helps, nothing is
//! written or fetched, memory stays within what is said, and the process answers the next one.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use meshledger_tests::laptop::Laptop;
use meshledger_tests::paths::{fixture, repository};
use meshledger_tests::runtime_api::RuntimeApi;
use meshledger_tests::tamper::files_below;
use serde_json::{Value, json};

const PROGRAM: &str = "meshledger-query-fn";

/// What the function is given, and how much of it is the pool of queries.
const MEMORY_MEGABYTES: u64 = 512;
const POOL_MEGABYTES: u64 = MEMORY_MEGABYTES - 96;

/// Time of a statement that may run into its limit, and of one that may not.
const MILLISECONDS: [u64; 2] = [1_000, 60_000];

/// How often it is looked whether the process still computes: some ticks of its clock.
const POLL: Duration = Duration::from_millis(20);

/// What was stopped has ended after this.
const IDLE: Duration = Duration::from_secs(30);

/// Only a hang takes so long.
const HANG: Duration = Duration::from_secs(120);

struct Statement {
    name: String,
    expected: Vec<String>,
    sql: String,
}

/// Reads the corpus; what stands in `@{…}` is written out.
fn statements(url: &str, folder: &str) -> Vec<Statement> {
    let path = repository().join("tests/data/hostile_sql/statements.sql");
    let text = fs::read_to_string(path).unwrap();
    let mut statements = Vec::new();
    for part in text.split("\n-- name: ").skip(1) {
        let (name, rest) = part.split_once("\n-- expect: ").unwrap();
        let (expected, sql) = rest.split_once('\n').unwrap();
        statements.push(Statement {
            name: name.to_owned(),
            expected: expected.split('|').map(str::to_owned).collect(),
            sql: written_out(sql.trim_end_matches('\n'), url, folder),
        });
    }
    statements
}

fn written_out(sql: &str, url: &str, folder: &str) -> String {
    let mut out = String::new();
    let mut rest = sql;
    while let Some(start) = rest.find("@{") {
        out.push_str(&rest[..start]);
        // A repeated text may hold one of the others.
        let inner_end = closing(&rest[start + 2..]);
        let inner = &rest[start + 2..start + 2 + inner_end];
        rest = &rest[start + 3 + inner_end..];
        if inner == "url" {
            out.push_str(url);
        } else if inner == "folder" {
            out.push_str(folder);
        } else if let Some(code) = inner.strip_prefix("U+") {
            let code = u32::from_str_radix(code, 16).unwrap();
            out.push(char::from_u32(code).unwrap());
        } else if let Some(code) = inner.strip_prefix("hex:") {
            out.push(char::from(u8::from_str_radix(code, 16).unwrap()));
        } else {
            let (times, text) = inner.split_once(':').unwrap();
            out.push_str(&written_out(text, url, folder).repeat(times.parse().unwrap()));
        }
    }
    out.push_str(rest);
    out
}

/// Where the brace that was opened is closed.
fn closing(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return at,
            '}' => depth -= 1,
            _ => {}
        }
    }
    panic!("{text:?} is not closed");
}

/// The largest resident set of a process so far.
fn peak_bytes(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}

/// Ticks of the processor that it has used.
fn ticks(id: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Waits until it computes no more: a query that was stopped ends in its threads too.
fn wait_until_idle(id: u32) -> bool {
    let begun = Instant::now();
    let (_open, never) = channel::<()>();
    let mut quiet = 0;
    let mut last = ticks(id);
    while begun.elapsed() < IDLE {
        let _ = never.recv_timeout(POLL);
        let now = ticks(id);
        quiet = if now == last { quiet + 1 } else { 0 };
        if quiet == 5 {
            return true;
        }
        last = now;
    }
    false
}

/// Whether a text says what to do or what was expected, and not only that it failed.
fn helps(code: &str, message: &str) -> bool {
    let words: &[&str] = match code {
        "REFUSED" => &["an archive answers", "no table of this archive", "send them one by one"],
        "LIMIT_TIME" => &["narrow", "raise"],
        "LIMIT_MEMORY" => &["select fewer", "raise the memory limit"],
        "LIMIT_ROWS" | "LIMIT_RESULT" => &["add a LIMIT"],
        "LIMIT_SQL" => &["at most", "more than"],
        _ => return !message.is_empty(),
    };
    words.iter().any(|word| message.contains(word))
}

/// Those whose names contain this, if a person wants to look at some.
#[expect(clippy::disallowed_methods, reason = "how a test is run is its caller's choice")]
fn only() -> String {
    std::env::var("MESHLEDGER_HOSTILE_SQL").unwrap_or_default()
}

/// The answer to a statement, or its error.
fn ask(process: &RuntimeApi, sql: &str, milliseconds: u64) -> Value {
    let limits = json!({"milliseconds": milliseconds, "rows": 10_000});
    let request = json!({"sql": sql, "limits": limits}).to_string();
    let _ = process.give(request.as_bytes(), HANG);
    match process.answer_within(HANG) {
        Some(answer) if !answer.is_error => answer.json(),
        Some(answer) => json!({"error": {"code": "DEFECT", "message": answer.json()}}),
        None => panic!("no answer to {:.200}\n{}", sql, process.log()),
    }
}

#[test]
fn hostile_statements_are_refused_or_stopped_and_the_next_one_is_answered() {
    let laptop = Laptop::new();
    let _ = laptop.ingest([fixture("envoy/captured-default.jsonl")]).run().expect(0);
    let _ = laptop.seal();
    let trap = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://127.0.0.1:{}", trap.local_addr().unwrap().port());
    let folder = laptop.path("").display().to_string();
    let statements = statements(&url, folder.trim_end_matches('/'));
    assert!(statements.len() >= 200, "{} statements", statements.len());
    let names: BTreeSet<&str> = statements.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names.len(), statements.len(), "each has a name of its own");
    let before = files_below(&laptop.path(""));

    let process = RuntimeApi::start(
        PROGRAM,
        &[
            ("MESHLEDGER_ARCHIVE", laptop.archive().to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", MEMORY_MEGABYTES.to_string()),
            // As docs/operations.md says.
            ("MALLOC_ARENA_MAX", "2".to_owned()),
            ("MALLOC_MMAP_THRESHOLD_", "262144".to_owned()),
        ],
    );
    let plain = "SELECT count(*) AS n FROM mesh_events";
    assert_eq!(ask(&process, plain, MILLISECONDS[1])["rows"], json!([{"n": 36}]));
    let at_rest = peak_bytes(process.id());
    let mut failures = Vec::new();
    let mut worst = (at_rest, "nothing");
    let only = only();
    for statement in statements.iter().filter(|s| s.name.contains(&only)) {
        let may_take_long = statement.expected.iter().any(|code| code == "LIMIT_TIME");
        let begun = Instant::now();
        fs::write(format!("/proc/{}/clear_refs", process.id()), "5").unwrap();
        let answer = ask(&process, &statement.sql, MILLISECONDS[usize::from(!may_take_long)]);
        let code = answer["error"]["code"].as_str().unwrap_or("OK").to_owned();
        let message = answer["error"]["message"].to_string();
        let peak = peak_bytes(process.id());
        let name = &statement.name;
        let mut complain = |what: &str| {
            let message: String = message.chars().take(300).collect();
            failures.push(format!("{name}: {what}: {code} {message}"));
        };
        if !statement.expected.contains(&code) {
            complain(&format!("expected {}", statement.expected.join(" or ")));
        }
        if code != "OK" && !helps(&code, &message) {
            complain("the message does not help");
        }
        if message.contains('\u{1b}') || message.chars().count() > 2_100 {
            complain("the message is no text for a terminal");
        }
        let seconds = begun.elapsed().as_secs_f64();
        eprintln!("{name}: {code}, {} MiB, {seconds:.1} s", peak >> 20);
        if peak > worst.0 {
            worst = (peak, name);
        }
        if !wait_until_idle(process.id()) {
            complain("it still computes");
        }
        let next = ask(&process, plain, MILLISECONDS[1]);
        if next["rows"] != json!([{"n": 36}]) {
            complain(&format!("and then a plain query got {next}"));
        }
    }
    eprintln!("{} MiB at rest, {} MiB at most ({})", at_rest >> 20, worst.0 >> 20, worst.1);
    assert!(failures.is_empty(), "{}:\n{}", failures.len(), failures.join("\n"));
    // Queries take less than their pool has, and the process less than the function.
    assert!(worst.0 - at_rest < POOL_MEGABYTES << 20, "{} bytes ({})", worst.0, worst.1);
    assert!(worst.0 < MEMORY_MEGABYTES << 20, "{} bytes ({})", worst.0, worst.1);
    assert_eq!(files_below(&laptop.path("")), before, "a file was written");
    trap.set_nonblocking(true).unwrap();
    assert!(trap.accept().is_err(), "the network was used");
}
