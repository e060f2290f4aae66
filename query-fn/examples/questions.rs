//! Our side of `bench/questions.py`: asks the questions of a file, each several times, and prints
//! for each a line of JSON with the answer and what it cost. Receipts count the first time.
//!
//! `questions ARCHIVE FILE [ROUNDS [THREADS]]`; a bucket is reached as the environment says.

#![allow(clippy::print_stdout, reason = "a benchmark for programs")]

mod cpu;

use std::error::Error;
use std::time::{Duration, Instant};

use archive::snapshot::Mode;
use archive::{Archive, Location};
use host::settings::store_options;
use meshledger_query_fn::rows::{Destination, Format, RowWriter};
use meshledger_query_fn::{Answer, Engine, Limits, Receipt, Request};
use serde_json::{Value, json};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [place, file, rest @ ..] = arguments.as_slice() else {
        return Err("expected ARCHIVE FILE [ROUNDS [THREADS]]".into());
    };
    let number = |at: usize, usual: usize| rest.get(at).map_or(Ok(usual), |text| text.parse());
    let (rounds, threads) = (u32::try_from(number(0, 3)?.max(1))?, number(1, 2)?);
    let text = std::fs::read_to_string(file)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    runtime.block_on(async {
        let location = Location::parse(place, None)?;
        let archive = Archive::connect(&location, &store_options(&location)?)?;
        let limits = Limits { threads, ..Limits::default() };
        let engine = Engine::new(archive.reader(), limits)?;
        engine.warm().await?;
        for question in text.split("-- question: ").skip(1) {
            let (name, sql) = question.split_once('\n').ok_or("a question without SQL")?;
            println!("{}", measure(&engine, name.trim(), sql.trim(), rounds).await?);
        }
        Ok(())
    })
}

/// Asks a question once to warm up and then some times: the mean of the CPU time, since its clock
/// ticks a hundred times a second, and the least of the wall time.
async fn measure(engine: &Engine, name: &str, sql: &str, rounds: u32) -> Outcome<Value> {
    let request = Request::new(sql, Mode::Fresh);
    let (rows, receipt) = collect(&mut engine.query(&request).await?).await?;
    let (begun, mut wall_best) = (cpu::so_far()?, Duration::MAX);
    for _ in 0..rounds {
        let round = Instant::now();
        let _ = engine.query(&request).await?.collect().await?;
        wall_best = wall_best.min(round.elapsed());
    }
    let cpu = cpu::so_far()?.saturating_sub(begun) / rounds;
    Ok(json!({
        "name": name,
        "cpu_seconds": cpu.as_secs_f64(),
        "wall_seconds": wall_best.as_secs_f64(),
        "rows": rows,
        "bytes": receipt.bytes_read,
        "requests": receipt.requests,
        "files": receipt.files_read,
        "files_total": receipt.files_total,
    }))
}

/// The rows as lists of texts, and what they cost.
async fn collect(answer: &mut Answer) -> Outcome<(Vec<Vec<Value>>, Receipt)> {
    let schema = answer.schema();
    let mut text = Vec::new();
    let batches = answer.collect().await?;
    let mut writer = RowWriter::new(Format::JsonLines, &schema, Destination::Program, &mut text)?;
    for batch in &batches {
        writer.write(batch)?;
    }
    let _ = writer.finish()?;
    let rows = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(|line| {
        let row: serde_json::Map<String, Value> = serde_json::from_slice(line)?;
        let value = |field: &arrow::datatypes::FieldRef| row.get(field.name()).cloned();
        Ok(schema.fields().iter().map(|field| value(field).unwrap_or(Value::Null)).collect())
    });
    Ok((rows.collect::<Outcome<_>>()?, answer.receipt()))
}
