//! Verification: how fast an archive with a ledger is checked, beside the SHA-256 of the same files.

use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use archive::verify::{Depth, VerifyOptions, verify};
use archive::{Archive, Location, StoreOptions};
use common::Sha256Digest;
use common::commit::Genesis;
use maintain_fn::{SealOptions, seal_signed};
use tlog::note::{Algorithm, SeedSigner};
use tlog::policy::Policy;

use super::seal::store_records;
use super::{RECEIVED_AT_MICROS, cpu_seconds};

/// Archives a file of records in a folder, seals it, and verifies it at each depth, each `rounds`
/// times.
pub(crate) fn run(file: &str, folder: &str, rounds: u32) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(file, folder, rounds))
}

async fn measure(file: &str, folder: &str, rounds: u32) -> Result<(), Box<dyn Error>> {
    let location = Location::parse(folder, None)?;
    let genesis = Genesis { table_id: "bench".to_owned(), timestamp_millis: 1, fence: true };
    let options = StoreOptions::default();
    let archive = Archive::create(&location, &options, &genesis).await?.archive;
    let key = SeedSigner::new("bench.example/bench", Algorithm::Ed25519, [7; 32])?;
    store_records(&archive, File::open(file)?).await?;
    let sealer = archive.sealer();
    let now_micros = RECEIVED_AT_MICROS + 1;
    let _ = seal_signed(&sealer, &key, now_micros, SealOptions::default()).await?;
    for _ in 0..rounds {
        hash_alone(Path::new(folder))?;
        for depth in [Depth::Quick, Depth::Full, Depth::Deep] {
            let policy = Some(Policy::of_log(key.public().clone()));
            let options = VerifyOptions { depth, policy, ..VerifyOptions::default() };
            let (start, cpu) = (Instant::now(), cpu_seconds()?);
            let report = verify(&archive.reader(), options, &|_| {}).await?;
            if !report.findings.is_empty() {
                return Err(format!("{depth:?}: {:?}", report.findings).into());
            }
            print(&format!("{depth:?}"), report.bytes, report.rows, start, cpu)?;
        }
    }
    Ok(())
}

/// The SHA-256 of every file, one after the other, with the same library.
fn hash_alone(folder: &Path) -> Result<(), Box<dyn Error>> {
    let (start, cpu, mut bytes) = (Instant::now(), cpu_seconds()?, 0u64);
    for file in files_below(&folder.join("data"))? {
        let content = fs::read(file)?;
        bytes += content.len() as u64;
        let _ = std::hint::black_box(Sha256Digest::of(&content));
    }
    print("sha256", bytes, 0, start, cpu)
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(files_below(&path)?);
        } else {
            all.push(path);
        }
    }
    Ok(all)
}

fn print(
    what: &str,
    bytes: u64,
    rows: u64,
    start: Instant,
    cpu: f64,
) -> Result<(), Box<dyn Error>> {
    let seconds = start.elapsed().as_secs_f64();
    let cpu = cpu_seconds()? - cpu;
    println!(
        "{{\"what\":\"{what}\",\"bytes\":{bytes},\"rows\":{rows},\"seconds\":{seconds:.3},\
         \"cpu_seconds\":{cpu:.2}}}"
    );
    Ok(())
}
