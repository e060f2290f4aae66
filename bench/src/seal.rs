//! Sealing: how long a seal takes, and what it asks of the store, by how much waits and how long
//! the log is.

use std::error::Error;
use std::io::Read;
use std::time::Instant;

use archive::{Archive, Location, Sealer, StoreOptions, Usage};
use common::commit::{CommitNote, Genesis, Operation, empty_bytes};
use ingest_fn::parts::PartReader;
use ingest_fn::pipeline::{DeliveryBuilder, SourceConfig, store};
use maintain_fn::{Known, SealOptions, Signer, seal_again};
use tlog::note::{Algorithm, SeedSigner};
use traffic::{Config, Generator};

use super::{RECEIVED_AT_MICROS, SEED, cpu_seconds};

/// Events of a delivery: a small one, so that what is measured is the sealer.
const EVENTS: usize = 100;

/// How many deliveries wait.
const WAITING: [u64; 4] = [1, 10, 100, 1_000];

/// Makes an archive with so many commits and seals what waits in it, with a process that goes on
/// and with one that is new, each `rounds` times. `server` is endpoint, key id and secret of S3.
pub(crate) fn run(
    commits: u64,
    rounds: u32,
    url: &str,
    server: Option<[&str; 3]>,
) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(commits, rounds, url, server))
}

async fn measure(
    commits: u64,
    rounds: u32,
    url: &str,
    server: Option<[&str; 3]>,
) -> Result<(), Box<dyn Error>> {
    let options =
        server.map_or_else(StoreOptions::default, |[endpoint, key, secret]| StoreOptions {
            endpoint: Some(endpoint.to_owned()),
            access_key_id: Some(key.to_owned()),
            secret_access_key: Some(secret.to_owned()),
            allow_http: true,
            ..StoreOptions::default()
        });
    let location = Location::parse(url, None)?;
    let genesis = Genesis { table_id: "bench".to_owned(), timestamp_millis: 1, fence: true };
    let archive = Archive::create(&location, &options, &genesis).await?.archive;
    let key = SeedSigner::new("bench.example/bench", Algorithm::Ed25519, [7; 32])?;
    let mut known = Known::default();
    lengthen(&archive.sealer(), commits).await?;
    while seal(&archive, &key, &mut known).await?.2 > 0 {}
    let mut generator = Generator::new(Config { events: 2_000_000, ..Config::default() })?;
    for waiting in WAITING {
        for round in 0..rounds {
            let is_new = round % 2 == 1;
            for _ in 0..waiting {
                deliver(&archive, &mut generator).await?;
            }
            if is_new {
                known = Known::default();
            }
            let cpu = cpu_seconds()?;
            let (seconds, used, _) = seal(&archive, &key, &mut known).await?;
            let cpu = cpu_seconds()? - cpu;
            println!(
                "{{\"commits\":{commits},\"waiting\":{waiting},\"new_process\":{is_new},\
                 \"seconds\":{seconds:.4},\"cpu_seconds\":{cpu:.2},\"gets\":{},\"lists\":{},\
                 \"puts\":{},\"deletes\":{},\"requests\":{}}}",
                used.gets,
                used.lists,
                used.puts,
                used.deletes,
                used.requests()
            );
        }
    }
    Ok(())
}

/// Adds commits that add nothing.
async fn lengthen(sealer: &Sealer, commits: u64) -> Result<(), Box<dyn Error>> {
    let mut log = sealer.log(&archive::log::Log::default()).await?;
    while log.next_version() < commits {
        let note = CommitNote {
            format: common::FORMAT,
            operation: Operation::Heartbeat,
            version: log.next_version(),
            previous_sha256: log.commits().last().map(|last| last.sha256),
            delta_checkpoint: None,
            refused: None,
            manifests: Vec::new(),
        };
        let bytes = empty_bytes(RECEIVED_AT_MICROS / 1_000, &note);
        let _ = sealer.put_commit(note.version, bytes.into()).await?;
        log = sealer.log_with_next(&log).await?;
    }
    Ok(())
}

async fn deliver(archive: &Archive, generator: &mut Generator) -> Result<(), Box<dyn Error>> {
    let mut lines = Vec::new();
    for _ in 0..EVENTS {
        let mut line = Vec::new();
        if generator.next_line(&mut line).is_none() {
            return Err("the generator ended".into());
        }
        lines.extend(line);
    }
    store_records(archive, lines.as_slice()).await
}

/// Archives records, delivery by delivery.
pub(crate) async fn store_records(
    archive: &Archive,
    records: impl Read,
) -> Result<(), Box<dyn Error>> {
    let mut parts = PartReader::new(records);
    let mut buffer = Vec::new();
    loop {
        let some = parts.next_parts(&mut buffer)?;
        if some.is_empty() {
            return Ok(());
        }
        let ids = some.iter().map(|part| part.id).collect();
        let config = SourceConfig::default();
        let mut builder = DeliveryBuilder::new(config, ids, RECEIVED_AT_MICROS, SEED)?;
        for part in &some {
            let _ = builder.add_unit(part.unit(&buffer))?;
        }
        let _ = store(builder.finish()?, &archive.writer()).await?;
    }
}

/// Seals; returns seconds, requests and the runs of the held index that were written.
async fn seal(
    archive: &Archive,
    key: &SeedSigner,
    known: &mut Known,
) -> Result<(f64, Usage, u64), Box<dyn Error>> {
    let sealer = archive.sealer();
    let usage = || {
        let (a, b) = (sealer.reader().store().usage(), sealer.reader().work().usage());
        Usage {
            gets: a.gets + b.gets,
            heads: a.heads + b.heads,
            lists: a.lists + b.lists,
            puts: a.puts + b.puts,
            deletes: a.deletes + b.deletes,
            ..Usage::default()
        }
    };
    let (before, start) = (usage(), Instant::now());
    let signer: Option<&dyn Signer> = Some(key);
    let now_micros = RECEIVED_AT_MICROS + 1;
    let report = seal_again(&sealer, signer, known, now_micros, SealOptions::default()).await?;
    Ok((start.elapsed().as_secs_f64(), usage().since(&before), report.held_runs))
}
