//! The files of `sql/views`, and their headers.

use super::*;

#[test]
fn every_file_of_the_folder_is_built_in_after_those_it_reads_from() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../sql/views");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let mut built_in: Vec<String> = VIEWS.iter().map(|view| format!("{}.sql", view.name)).collect();
    built_in.sort();
    assert_eq!(files, built_in);
    for (place, view) in VIEWS.iter().enumerate() {
        for other in VIEWS.iter().skip(place) {
            assert!(!view.reads(other.name), "{} stands before {}", view.name, other.name);
        }
    }
    let security = VIEWS.iter().find(|view| view.name == "mesh_security_events").unwrap();
    let read: Vec<&str> =
        VIEWS.iter().map(|view| view.name).filter(|name| security.reads(name)).collect();
    assert_eq!(read, ["mesh_denials", "mesh_privilege_use", "mesh_tls_failures"]);
}

#[test]
fn a_header_says_what_a_view_answers_and_costs() {
    for View { name, sql } in VIEWS {
        let view = View { name, sql };
        assert!(sql.starts_with(&format!("-- view: {name}\n")), "{name}");
        assert!(view.question().ends_with('?'), "{name}: {}", view.question());
        assert!(view.row().starts_with("one "), "{name}: {}", view.row());
        assert!(!view.cost().is_empty(), "{name} does not say what it costs");
        // A word with a colon that is none of these would be taken for a header by nobody.
        for line in sql.lines().map_while(|line| line.strip_prefix("-- ")) {
            let word = line.split_once(':').map(|(word, _)| word);
            let is_key = word.is_some_and(|word| word.bytes().all(|b| b.is_ascii_lowercase()));
            let known = ["view", "question", "row", "cost", "column"];
            // "exec: …" explains a value of a column.
            let explains = view
                .own_columns()
                .any(|(_, text)| text.split(&[',', ' '][..]).any(|value| Some(value) == word));
            assert!(
                !is_key || explains || word.is_some_and(|word| known.contains(&word)),
                "{name}: no header is {word:?}"
            );
        }
        let columns = sql.lines().filter(|line| line.starts_with("-- column:")).count();
        assert_eq!(view.own_columns().count(), columns, "{name}: `-- column: name  -- text`");
    }
}
