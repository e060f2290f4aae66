//! One file a command; here what they share.

mod check_proof;
mod export;
mod generate;
mod ingest;
mod init;
mod invoke;
mod key;
mod prove;
mod quarantine;
pub(crate) mod query;
mod recheck;
pub(crate) mod seal;
mod serve;
pub(crate) mod verify;
mod witness;

use std::path::Path;

use archive::{Archive, Location, StoreOptions};
use query_fn::AccessPolicy;

use crate::args::{Command, Place};
use crate::exit::{Exit, Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::output::printable;
use host::doors;

/// Runs one command.
pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::Init(args) => or_interrupted(init::run(args)).await,
        Command::Generate(args) => generate::run(args, Interrupt::listen()).await,
        Command::Ingest(args) => ingest::run(args, Interrupt::listen()).await,
        Command::Serve(args) => serve::run(args, Interrupt::listen()).await,
        Command::Invoke(args) => or_interrupted(invoke::run(args)).await,
        Command::Seal(args) => or_interrupted(seal::run(args)).await,
        Command::Query(args) => query::run(args).await,
        Command::Recheck(args) => or_interrupted(recheck::run(args)).await,
        Command::Verify(args) => or_interrupted(verify::run(args)).await,
        Command::Prove(args) => or_interrupted(prove::run(args)).await,
        Command::CheckProof(args) => check_proof::run(&args),
        Command::Key(args) => or_interrupted(key::run(args)).await,
        Command::Witness(args) => or_interrupted(witness::run(args)).await,
        Command::Quarantine(args) => quarantine::run(args).await,
        Command::Demo(args) => {
            let interrupt = Interrupt::listen();
            or_interrupted_by(interrupt.clone(), crate::demo::run(args, interrupt)).await
        }
    }
}

/// Drops the work where it stands when the user interrupts; for work that never leaves anything
/// half-written.
pub(crate) async fn or_interrupted(work: impl Future<Output = Outcome>) -> Outcome {
    or_interrupted_by(Interrupt::listen(), work).await
}

async fn or_interrupted_by(
    mut interrupt: Interrupt,
    work: impl Future<Output = Outcome>,
) -> Outcome {
    tokio::select! {
        outcome = work => outcome,
        () = interrupt.wait() => Err(Failure::new(Exit::Interrupted, "interrupted")),
    }
}

/// Where the archive is, from the options or the environment.
///
/// # Errors
/// If neither says it, or what they say is no URL of an archive.
pub(crate) fn location(place: &Place) -> Result<Location, Failure> {
    let archive = place.archive.clone().or_else(doors::default_archive).ok_or_else(|| {
        Failure::usage(
            "no archive is named: use --archive FOLDER or --archive s3://bucket/prefix, or set \
             MESHLEDGER_ARCHIVE",
        )
    })?;
    let location = Location::parse(&archive, place.work.as_deref())?;
    Ok(match place.locks.clone().or_else(doors::default_locks) {
        Some(locks) => location.with_locks(&locks)?,
        None => location,
    })
}

/// The access policy in a file, if one is named.
///
/// # Errors
/// If it can not be read, or makes no sense.
pub(crate) fn access(file: Option<&Path>) -> Result<Option<AccessPolicy>, Failure> {
    let Some(file) = file else { return Ok(None) };
    let name = printable(&file.to_string_lossy(), false);
    let text = std::fs::read_to_string(file)
        .map_err(|e| Failure::new(Exit::Input, format!("{name}: {}", crate::input::reason(&e))))?;
    let policy = AccessPolicy::parse(&text, &doors::secret);
    policy.map(Some).map_err(|e| Failure::usage(format!("{name}: expected {e}")))
}

/// Opens the archive that the options or the environment name.
///
/// # Errors
/// If it is none, or can not be reached.
pub(crate) async fn open(place: &Place) -> Result<Archive, Failure> {
    let location = location(place)?;
    Ok(Archive::open(&location, &options(&location)?).await?)
}

/// Names the archive without asking whether it is one, which its first use finds out.
///
/// # Errors
/// If the options do not fit the location.
pub(crate) fn connect(place: &Place) -> Result<Archive, Failure> {
    let location = location(place)?;
    Ok(Archive::connect(&location, &options(&location)?)?)
}

/// How the archive's store is reached.
///
/// # Errors
/// If the environment names an endpoint without TLS and does not say that this is meant.
pub(crate) fn options(location: &Location) -> Result<StoreOptions, Failure> {
    Ok(host::settings::store_options(location)?)
}
