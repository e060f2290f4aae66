//! The house rules that a compiler does not know.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use meshledger_tests::paths::repository;
use meshledger_tests::tamper::files_below;

const FILE_LINES_MAX: usize = 800;
const LIB_LINES_MAX: usize = 80;
const README_LINES_MAX: usize = 150;
/// Libraries of which a second copy would be linked beside DataFusion's.
const ONE_COPY: [&str; 4] = ["arrow", "parquet", "object_store", "datafusion"];
/// Crates, each with the crates of ours that it may name. Functions never import each other.
const MAY_IMPORT: [(&str, &[&str]); 10] = [
    ("tlog", &[]),
    ("sha256-lanes", &[]),
    ("common", &["sha256-lanes", "tlog"]),
    ("archive", &["common", "tlog"]),
    ("host", &["common", "archive", "tlog"]),
    ("ingest-fn", &["common", "archive", "host"]),
    ("query-fn", &["common", "archive", "host", "tlog"]),
    ("maintain-fn", &["common", "archive", "host", "tlog"]),
    ("traffic", &[]),
    (
        "cli",
        &["common", "archive", "host", "ingest-fn", "query-fn", "maintain-fn", "traffic", "tlog"],
    ),
];

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Path below the repository, for messages.
fn short(path: &Path) -> String {
    path.strip_prefix(repository()).unwrap_or(path).display().to_string()
}

/// Every Rust file of the workspace's members.
fn rust_files() -> Vec<PathBuf> {
    let members = fs::read_dir(repository()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = members
        .filter(|path| path.join("Cargo.toml").exists())
        .flat_map(|member| ["src", "it", "benches"].map(|folder| member.join(folder)))
        .flat_map(|folder| files_below(&folder))
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    files.sort();
    assert!(files.len() > 30, "the workspace has more files than these: {files:?}");
    files
}

/// The file's text up to its unit tests.
fn without_tests(text: &str) -> &str {
    text.split_once("#[cfg(test)]\nmod tests {").map_or(text, |(code, _)| code)
}

/// The file's code: no comments, no unit tests.
fn code(path: &Path) -> String {
    let text = read(path);
    let lines = without_tests(&text).lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn one_copy_of_each_large_library_is_locked() {
    let lock = read(&repository().join("Cargo.lock"));
    for name in ONE_COPY {
        let line = format!("name = \"{name}\"");
        let versions: Vec<&str> = lock
            .split("[[package]]")
            .filter(|package| package.lines().any(|found| found == line))
            .filter_map(|package| package.lines().find(|found| found.starts_with("version = ")))
            .collect();
        assert_eq!(versions.len(), 1, "Cargo.lock holds {name} at {versions:?}");
    }
}

#[test]
fn a_lib_file_is_a_table_of_contents() {
    for path in rust_files().iter().filter(|path| path.ends_with("src/lib.rs")) {
        let lines = read(path).lines().count();
        assert!(lines <= LIB_LINES_MAX, "{} has {lines} lines", short(path));
        let code = code(path);
        for line in code.lines().map(str::trim_start) {
            let word = line.trim_start_matches("pub ").split_whitespace().next().unwrap_or("");
            let forbidden = ["fn", "impl", "async", "struct", "enum", "trait"].contains(&word);
            assert!(!forbidden, "{} is more than a table of contents: {line}", short(path));
        }
    }
}

#[test]
fn files_stay_short() {
    for path in rust_files() {
        let lines = without_tests(&read(&path)).lines().count();
        assert!(lines <= FILE_LINES_MAX, "{} has {lines} lines without tests", short(&path));
    }
    let readme = read(&repository().join("README.md")).lines().count();
    assert!(readme <= README_LINES_MAX, "README.md has {readme} lines");
}

#[test]
fn unsafe_code_is_three_calls_in_one_crate() {
    let open = ["unsafe", "{"].join(" ");
    for path in rust_files() {
        let calls = code(&path).matches(&open).count();
        let expected = if short(&path) == "sha256-lanes/src/wide.rs" { 3 } else { 0 };
        assert_eq!(calls, expected, "{} has unsafe code", short(&path));
    }
    for member in fs::read_dir(repository()).unwrap() {
        let Ok(manifest) = fs::read_to_string(member.unwrap().path().join("Cargo.toml")) else {
            continue;
        };
        let inherits = manifest.contains("[lints]\nworkspace = true");
        let is_other = manifest.contains("name = \"meshledger-sha256-lanes\"")
            || manifest.contains("name = \"meshledger-fuzz\"");
        assert!(inherits || is_other, "a crate without the workspace's lints:\n{manifest}");
    }
}

#[test]
fn the_bucket_has_one_door() {
    for path in rust_files() {
        let name = short(&path);
        // bench and tests are no part of the product; query-fn hands the store to DataFusion.
        let may = name.starts_with("archive/src/store")
            || name == "archive/src/fault.rs"
            || name == "archive/src/web.rs"
            || ["query-fn/", "tests/", "bench/"].iter().any(|prefix| name.starts_with(prefix));
        assert!(may || !code(&path).contains("object_store"), "{name} names object_store");
    }
}

#[test]
fn clock_environment_and_randomness_have_one_door() {
    let ambient = [
        "SystemTime::now",
        "Utc::now",
        "env::var(",
        "env::var_os(",
        "getrandom::",
        "rand::random",
        "thread_rng",
        "Uuid::new_v4",
    ];
    for path in rust_files() {
        let name = short(&path);
        if name == "host/src/doors.rs" || name.starts_with("tests/") || name.starts_with("bench/") {
            continue;
        }
        let code = code(&path);
        // Unit tests in files of their own take a seed from the environment.
        let is_test = name.contains("/tests/") || name.ends_with("tests.rs");
        for word in ambient.into_iter().filter(|word| !(is_test && word.starts_with("env::"))) {
            assert!(!code.contains(word), "{name} names {word}; its door is host/src/doors.rs");
        }
    }
}

#[test]
fn crates_import_only_what_they_may() {
    let ours: Vec<&str> = MAY_IMPORT.iter().map(|(name, _)| *name).collect();
    for (name, may) in MAY_IMPORT {
        let manifest = read(&repository().join(name).join("Cargo.toml"));
        let dependencies = manifest.split_once("[dependencies]").map_or("", |(_, rest)| rest);
        let dependencies = dependencies.split("\n[").next().unwrap_or("");
        for line in dependencies.lines() {
            let dependency = line.split(['.', ' ', '=']).next().unwrap_or("");
            let allowed = !ours.contains(&dependency) || may.contains(&dependency);
            assert!(allowed, "{name} must not depend on {dependency}");
            let parser = ["clap", "indicatif", "rustyline"].contains(&dependency);
            assert!(!parser || name == "cli", "{name} must not depend on {dependency}");
            let engine = dependency == "datafusion";
            assert!(!engine || name == "query-fn", "{name} must not depend on {dependency}");
        }
    }
}

#[test]
fn the_table_as_sql_is_the_table() {
    let written = read(&repository().join("sql/schema.sql"));
    let expected = common::schema::schema_sql();
    // What follows is of the views: tests/it/views.rs compares it with the engine's catalogue.
    assert!(
        written.starts_with(&expected),
        "sql/schema.sql differs from common::schema::schema_sql():\n{expected}"
    );
}

#[test]
fn every_fixture_is_in_the_catalogue() {
    let data = repository().join("tests/data");
    let catalogue = read(&data.join("README.md"));
    for file in files_below(&data) {
        let name = file.strip_prefix(&data).unwrap().display().to_string();
        assert!(
            name.ends_with("README.md") || catalogue.contains(&name),
            "tests/data/README.md leaves out {name}"
        );
    }
}

#[test]
fn no_drawer_for_everything() {
    for path in rust_files() {
        let name = path.file_name().unwrap().to_string_lossy();
        let drawer = ["util.rs", "utils.rs", "helpers.rs", "misc.rs", "types.rs"].contains(&&*name);
        assert!(!drawer, "{} is a drawer for everything", short(&path));
    }
}

#[test]
fn no_placeholder_is_left_in_the_readme() {
    let readme = read(&repository().join("README.md"));
    let left: Vec<&str> = readme.lines().filter(|line| line.contains("DEMO_")).collect();
    assert!(left.is_empty(), "README.md has placeholders: {left:?}");
}

#[test]
fn links_lead_to_files_that_say_something() {
    for name in ["README.md", "ARCHITECTURE.md"] {
        let text = read(&repository().join(name));
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let mut relative = 0;
        for target in targets.filter(|target| !target.contains("://") && !target.starts_with('#')) {
            let path = repository().join(target.split('#').next().unwrap_or(target));
            let bytes = fs::metadata(&path).unwrap_or_else(|e| panic!("{name}: {target}: {e}"));
            assert!(bytes.is_dir() || bytes.len() > 0, "{name} leads to the empty file {target}");
            relative += 1;
        }
        assert!(relative > 2, "{name} has {relative} relative links");
    }
}

#[test]
fn every_invariant_names_a_proof_that_exists() {
    let code: String = rust_files().iter().map(|path| read(path)).collect();
    let names: Vec<String> = rust_files().iter().map(|path| short(path)).collect();
    let map = read(&repository().join("ARCHITECTURE.md"));
    // Rows such as `| ING-1 | what holds | what proves it |`.
    let is_id = |id: &str| {
        id.split_once('-').is_some_and(|(word, number)| {
            word.len() == 3
                && word.chars().all(|letter| letter.is_ascii_uppercase())
                && number.parse::<u32>().is_ok()
        })
    };
    let mut proofs = 0;
    for line in map.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let (Some(id), Some(proof)) = (cells.first(), cells.last()) else { continue };
        if !is_id(id) {
            continue;
        }
        // What stands in backticks is a test, a file, or a path of the code, `Store::delete`.
        for word in proof.split('`').skip(1).step_by(2) {
            if word.ends_with(".rs") {
                let found = names.iter().any(|name| name.ends_with(word));
                assert!(found, "{id} names the file {word}, which does not exist");
            } else if !word.contains(':') {
                let found = code.contains(&format!("fn {word}()"));
                assert!(found, "{id} names the test {word}, which does not exist");
                proofs += 1;
            }
        }
    }
    assert!(proofs > 15, "the table of invariants names more tests than {proofs}");
}

#[test]
fn every_link_of_a_page_leads_somewhere_and_every_test_it_names_is_there() {
    let root = repository();
    let mut pages = vec![root.join("README.md"), root.join("SECURITY.md")];
    pages.extend(files_below(&root.join("docs")));
    let mut tests = 0;
    for page in pages.iter().filter(|page| page.extension().is_some_and(|e| e == "md")) {
        let text = read(page);
        // "[words](target)": the words stand before the target.
        let parts: Vec<&str> = text.split("](").collect();
        for (before, after) in parts.iter().zip(parts.iter().skip(1)) {
            let target = after.split(')').next().unwrap().split('#').next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let path = page.parent().unwrap().join(target);
            assert!(path.exists(), "{} links to {target}", short(page));
            let words = before.rsplit('[').next().unwrap();
            let name = words.strip_prefix('`').and_then(|words| words.strip_suffix('`'));
            if let Some(name) = name.filter(|name| name.contains('_') && target.ends_with(".rs")) {
                assert!(read(&path).contains(&format!("fn {name}(")), "{target} has no {name}");
                tests += 1;
            }
        }
    }
    assert!(tests >= 10, "only {tests} names of tests were found");
}

#[test]
fn the_clauses_of_the_format_are_in_order_and_what_is_cited_is_there() {
    let page = repository().join("docs/format.md");
    let text = read(&page);
    let (mut section, mut last, mut clauses) = (String::new(), Vec::new(), BTreeSet::new());
    for line in text.lines() {
        let word = line.split(' ').next().unwrap();
        if line.starts_with("## ") {
            section = line.split(' ').nth(1).unwrap().to_owned();
            last.clear();
        } else if let Some(number) = clause(word) {
            assert_eq!(word.split('.').next(), Some(&*section), "{word} is in section {section}");
            assert!(number > last, "{word} does not follow {last:?}");
            clauses.insert(word.to_owned());
            last = number;
        }
    }
    assert!(clauses.len() > 150, "only {} clauses were found", clauses.len());
    let mut pages = rust_files();
    pages.extend(files_below(&repository().join("docs")));
    pages.extend(["README.md", "SECURITY.md", "ARCHITECTURE.md"].map(|n| repository().join(n)));
    for path in pages.iter().filter(|path| path.extension().is_some_and(|e| e != "json")) {
        let Ok(text) = fs::read_to_string(path) else { continue };
        for cited in text.split("format ").skip(1) {
            let word = cited.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap();
            let word = word.trim_end_matches('.');
            let is_there = clause(word).is_none() || clauses.contains(word);
            assert!(is_there, "{} cites format {word}", short(path));
        }
    }
}

/// The numbers of a word like `14.6.1`; none if it is another.
fn clause(word: &str) -> Option<Vec<u32>> {
    let numbers: Vec<u32> = word.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    (numbers.len() >= 2).then_some(numbers)
}
