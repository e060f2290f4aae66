//! Ingest workloads without a bucket: bytes to Parquet, SHA-256 and statistics, on one thread.
//! And sealing, in a folder or on S3: `seal` prints a line for each seal, with its seconds and
//! requests. `verify FILE FOLDER ROUNDS` archives a workload and prints what each depth of
//! verification takes, and what SHA-256 alone takes.
//!
//! `generate EVENTS SEED FORMAT FILE` writes a workload (Envoy's JSON by `traffic`, other formats
//! by `forms`), `ingest FILE` runs it and prints one JSON
//! line: events, bytes in, bytes out, CPU seconds, peak memory; `ingest-redacting FILE` also takes
//! credentials out, by the default rules; `ingest-without-row-roots FILE` makes files that no
//! archive takes, to say what row roots cost. `bench/ingest.py` runs both beside DuckDB,
//! `bench/formats.py` the first once for each source format.
#![expect(clippy::print_stdout, reason = "the result goes to standard output")]

mod forms;
mod seal;
mod verify;

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};

use common::row::RowSeed;
use ingest_fn::parse::SourceFormat;
use ingest_fn::parts::PartReader;
use ingest_fn::pipeline::{DeliveryBuilder, SourceConfig};
use ingest_fn::redact::Rules;
use traffic::{Config, Format, Generator};

/// Received long after any generated event, so that none lies in the future.
const RECEIVED_AT_MICROS: i64 = 1_900_000_000_000_000;

/// Nobody is to be kept from guessing here.
const SEED: RowSeed = RowSeed::new([3; 32]);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["generate", events, seed, format, file] => {
            generate(events.parse()?, seed.parse()?, format, file)
        }
        ["ingest", file] => ingest(&Run::of("auto", file)?),
        ["ingest", file, output] => {
            ingest(&Run { output: Some((*output).to_owned()), ..Run::of("auto", file)? })
        }
        ["ingest-as", source, file] => ingest(&Run::of(source, file)?),
        ["ingest-redacting", file] => {
            ingest(&Run { redaction: Rules::default(), ..Run::of("auto", file)? })
        }
        ["ingest-without-row-roots", file] => {
            ingest(&Run { has_row_roots: false, ..Run::of("auto", file)? })
        }
        ["verify", file, folder, rounds] => verify::run(file, folder, rounds.parse()?),
        ["seal", commits, rounds, url] => seal::run(commits.parse()?, rounds.parse()?, url, None),
        ["seal", commits, rounds, url, endpoint, key, secret] => {
            let server = Some([*endpoint, *key, *secret]);
            seal::run(commits.parse()?, rounds.parse()?, url, server)
        }
        _ => {
            let forms = forms::names();
            let usage = "ingest FILE [OUTPUT] | ingest-as SOURCE FILE | ingest-redacting FILE | \
                         ingest-without-row-roots FILE | \
                         verify FILE FOLDER ROUNDS | \
                         seal COMMITS ROUNDS URL [ENDPOINT KEY SECRET]";
            Err(format!(
                "usage: generate EVENTS SEED default|extended|mixed|{forms} FILE | {usage}"
            )
            .into())
        }
    }
}

fn generate(events: u64, seed: u64, format: &str, file: &str) -> Result<(), Box<dyn Error>> {
    if forms::has(format) {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(file)?);
        forms::generate(events, seed, format, &mut out)?;
        return Ok(out.flush()?);
    }
    let format = match format {
        "default" => Format::IstioDefault,
        "extended" => Format::Extended,
        "mixed" => Format::Mixed,
        other => {
            let forms = forms::names();
            return Err(
                format!("format: expected default|extended|mixed|{forms}, found {other}").into()
            );
        }
    };
    let mut generator = Generator::new(Config { events, seed, format, ..Config::default() })?;
    let mut out = BufWriter::with_capacity(1 << 20, File::create(file)?);
    let mut line = Vec::new();
    while generator.next_line(&mut line).is_some() {
        out.write_all(&line)?;
        line.clear();
    }
    out.flush()?;
    Ok(())
}

/// What is measured. DuckDB's side of the comparison takes nothing out, so redaction is a
/// measurement of its own.
struct Run {
    source: SourceFormat,
    redaction: Rules,
    has_row_roots: bool,
    file: String,
    output: Option<String>,
}

impl Run {
    fn of(source: &str, file: &str) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            source: source.parse()?,
            redaction: Rules::none(),
            has_row_roots: true,
            file: file.to_owned(),
            output: None,
        })
    }
}

fn ingest(run: &Run) -> Result<(), Box<dyn Error>> {
    let before = cpu_seconds()?;
    let mut parts = PartReader::new(File::open(&run.file)?);
    let mut buffer = Vec::new();
    let config = SourceConfig {
        format: run.source,
        cluster: Some("prod-eu-1".to_owned()),
        transport: "file".to_owned(),
        transport_ref: Some("bench".to_owned()),
        redaction: run.redaction.clone(),
    };
    let (mut bytes, mut events, mut rejects, mut stored, mut files) =
        (0u64, 0u64, 0u64, 0u64, 0u64);
    loop {
        let some = parts.next_parts(&mut buffer)?;
        if some.is_empty() {
            break;
        }
        let ids = some.iter().map(|part| part.id).collect();
        let mut builder = DeliveryBuilder::new(config.clone(), ids, RECEIVED_AT_MICROS, SEED)?;
        if !run.has_row_roots {
            builder.measure_without_row_roots();
        }
        for part in &some {
            let outcome = builder.add_unit(part.unit(&buffer))?;
            events += outcome.events;
            rejects += outcome.rejects;
        }
        let delivery = builder.finish()?;
        bytes += buffer.len() as u64;
        for file in &delivery.files {
            stored += file.entry.bytes;
            files += 1;
            if let Some(folder) = &run.output {
                std::fs::write(format!("{folder}/{}.parquet", file.entry.sha256), &file.bytes)?;
            }
        }
    }
    let cpu = cpu_seconds()? - before;
    println!(
        "{{\"engine\":\"meshledger\",\"bytes\":{bytes},\"events\":{events},\"rejects\":{rejects},\
         \"files\":{files},\"stored_bytes\":{stored},\"cpu_seconds\":{cpu:.2},\
         \"peak_memory_bytes\":{}}}",
        peak_memory_bytes()?
    );
    Ok(())
}

/// CPU seconds of this process so far, user and system, from the kernel's clock ticks (100 a
/// second on Linux).
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(')').ok_or("unexpected /proc/self/stat")?.1;
    let ticks: f64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<f64>().unwrap_or(0.0))
        .sum();
    Ok(ticks / 100.0)
}

fn peak_memory_bytes() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).ok_or("no VmHWM")?;
    let kib: u64 = line.split_whitespace().nth(1).ok_or("no value")?.parse()?;
    Ok(kib * 1024)
}
