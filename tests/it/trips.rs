//! Requests are the latency of object storage: what a needle costs in round trips that wait for
//! each other, in an archive of ten thousand files, counted and not timed.
//!
//! A store that holds every request back answers all that wait as soon as nobody in the process
//! can ask for more, 30 ms later. So a wave is a round trip, and seven of them are 210 ms, plus what
//! the processor does.

mod alone;
mod scene;

use alone::{Counted, alone};
use scene::{Needle, Scene};

/// Round trips that opening an archive and answering a needle question may take.
const TRIPS_MAX: usize = 7;

/// What a wave asked, by kind.
fn shown(waves: &[Counted]) -> Vec<String> {
    waves.iter().map(ToString::to_string).collect()
}

#[test]
fn opening_ten_thousand_files_and_finding_a_needle_takes_at_most_seven_round_trips() {
    alone(
        "opening_ten_thousand_files_and_finding_a_needle_takes_at_most_seven_round_trips",
        || {
            let scene = Scene::new();
            assert_eq!(
                (scene.files(), scene.commits_behind(), scene.waiting()),
                (10_000, 100, 100)
            );
            let opening = [
                "1 get _delta_log/_last_checkpoint, 1 get _ledger/checkpoint, 1 list inbox/",
                "1 get Delta checkpoint, 2 get _ledger/tile/, 100 get commit, 100 get inbox/, \
                 1 list _delta_log/, 1 list index/held/",
                "6 get index/held/, 7 get manifests/",
            ];
            let strict_opening = [
                "1 get _ledger/checkpoint",
                "2 get _ledger/tile/, 1 list _delta_log/, 1 list inbox/",
                "1 get Delta checkpoint, 100 get commit",
            ];
            let (mut table, mut wrong) = (Vec::new(), Vec::new());
            let mut ask = |what: &str, needle: &Needle, mode: &str, expected: &[&str]| {
                let mut engine = scene.engine(mode);
                let cold = scene.ask(&mut engine, needle);
                let warm = scene.ask(&mut engine, needle);
                let opening = if mode == "strict" { &strict_opening } else { &opening };
                let all: Vec<&str> = opening.iter().chain(expected).copied().collect();
                eprintln!("{mode}, {what}:\n  {}", shown(&cold).join("\n  "));
                eprintln!("  and again:\n  {}", shown(&warm).join("\n  "));
                if shown(&cold) != all || cold.len() > TRIPS_MAX {
                    wrong.push(format!("{mode}, {what}: expected {all:#?}"));
                }
                table.push((mode.to_owned(), what.to_owned(), cold.len(), warm.len()));
            };
            // A file of which the statistics in its commit say that no other has the needle.
            for mode in ["fresh", "strict"] {
                ask("a small file", &scene.early(), mode, &["1 get data/"]);
                ask(
                    "a file of 60,000 rows",
                    &scene.large(),
                    mode,
                    &["1 get data/", "1 get data/", "1 get data/", "1 get data/"],
                );
            }
            ask("a file that waits", &scene.late(), "fresh", &["1 get data/"]);
            eprintln!("{table:#?}");
            assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        },
    );
}

/// Without a time, statistics exclude no file. Their ends are read 256 at a time, and so many round
/// trips it takes; what is left is hardly more than the file that has the id.
#[test]
fn an_id_is_found_in_ten_thousand_files_without_knowing_when() {
    alone("an_id_is_found_in_ten_thousand_files_without_knowing_when", || {
        let scene = Scene::new();
        // Each file one request; of the large file also a filter, and then the row's columns. That
        // id is below the first or above the last one of some files, as their commits say.
        for (needle, files, trips, requests) in
            [(scene.nowhere(), 10_200, 44, 10_201), (scene.large_at_any_time(), 8_485, 39, 8_488)]
        {
            let mut engine = scene.engine("fresh");
            let waves = scene.ask(&mut engine, &needle);
            let receipt = engine.receipt.as_ref().unwrap();
            eprintln!("{}\n{receipt:?}", shown(&waves).join("\n"));
            assert_eq!((waves.len(), receipt.requests), (trips, requests));
            assert!(waves.iter().all(|wave| wave.requests() <= 256));
            let read =
                (receipt.files_read, receipt.row_groups_pruned_bloom, receipt.row_groups_read);
            let found = u64::try_from(needle.rows).unwrap();
            assert_eq!(read, (files, files - found, found));
        }
    });
}
