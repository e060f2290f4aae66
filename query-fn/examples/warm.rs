//! What a query costs a function besides scanning: CPU time over an archive of many small files,
//! of questions that few of them can answer. `warm [FILES]`; figures are in bench/RESULTS.md.

#![allow(clippy::print_stdout, reason = "a benchmark for people")]

mod cpu;

use std::error::Error;
use std::time::Duration;

use archive::sample::{self, NOON_MICROS, Sample, SampleUnit, delivery};
use archive::snapshot::Mode;
use common::date::DAY_MICROS;
use meshledger_query_fn::{Engine, Limits, Request};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Files of one day.
const FILES_A_DAY: i64 = 4;
/// Deliveries in one commit.
const FILES_A_COMMIT: usize = 50;
/// Times a warm question is asked.
const ROUNDS: u32 = 50;

fn main() -> Outcome<()> {
    let files = std::env::args().nth(1).map_or(Ok(1_000), |text| text.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(files))
}

async fn measure(files: i64) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let archive = sample::create(folder.path()).await?;
    let samples = (0..files).map(one).collect::<Result<Vec<_>, _>>()?;
    for some in samples.chunks(FILES_A_COMMIT) {
        for sample in some {
            sample::ingest(&archive, sample).await?;
        }
        let _ = sample::seal(&archive, &some.iter().collect::<Vec<_>>()).await?;
    }
    let begun = cpu::so_far()?;
    let engine = Engine::new(archive.reader(), Limits { threads: 1, ..Limits::default() })?;
    engine.warm().await?;
    println!("{files} files, log read in {:?} of CPU", cpu::so_far()?.saturating_sub(begun));
    for (what, sql) in [
        (
            "one file by date and id",
            "SELECT principal FROM mesh_events WHERE event_date = '2026-11-02' AND principal = 'u0#0'",
        ),
        ("none by date", "SELECT principal FROM mesh_events WHERE event_date = '1999-01-01'"),
        ("a count by the log alone", "SELECT count(*) FROM mesh_events"),
        ("all files, one column", "SELECT count(principal) FROM mesh_events"),
    ] {
        let (first, read) = ask(&engine, sql).await?;
        let mut later = Duration::ZERO;
        for _ in 0..ROUNDS {
            later += ask(&engine, sql).await?.0;
        }
        println!("{what}: {read} files read, first {first:?}, then {:?} of CPU", later / ROUNDS);
    }
    println!("{} bytes of footers are kept", engine.footer_bytes());
    Ok(())
}

/// A delivery of one event.
fn one(number: i64) -> Outcome<Sample> {
    let day = number / FILES_A_DAY;
    let unit = SampleUnit {
        name: Box::leak(format!("u{number}").into_boxed_str()),
        times: vec![NOON_MICROS + day * DAY_MICROS],
        rejects: 0,
    };
    Ok(delivery(&[unit], 1)?)
}

/// CPU time of the answer, and files read for it.
async fn ask(engine: &Engine, sql: &str) -> Outcome<(Duration, u64)> {
    let begun = cpu::so_far()?;
    let mut answer = engine.query(&Request::new(sql, Mode::Fresh)).await?;
    answer.collect().await?;
    Ok((cpu::so_far()?.saturating_sub(begun), answer.receipt().files_read))
}
