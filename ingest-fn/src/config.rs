//! The settings of the function, from the environment; what makes no sense ends it at its start.

use archive::{Archive, ArchiveError, Landing};
use host::settings::{location, read, store_options, wrong};
use host::{HostError, doors};
use ingest_fn::deliver::{Deliverer, Doors, Reading};
use ingest_fn::handler::{FirehoseResult, Handler};
use ingest_fn::http::auth::Doorkeeper;
use ingest_fn::redact::Rules;

/// Memory of a function that nobody has told how much it has: the smallest there is, in MB.
const MEMORY_MEGABYTES_MIN: usize = 128;

/// Reads the settings and makes the function. Nothing is asked of the bucket: the function's role
/// may not even look.
///
/// # Errors
/// Names the variable that makes no sense.
pub(crate) fn handler() -> Result<Handler, HostError> {
    let location = location()?;
    let options = store_options(&location)?;
    let of_archive = |e: ArchiveError| wrong("MESHLEDGER_ARCHIVE", e, location.archive_url());
    let archive = Archive::connect(&location, &options).map_err(of_archive)?;
    let landing = match doors::setting("MESHLEDGER_LANDING") {
        Some(places) => {
            let landing = Landing::new(&places, &options);
            Some(landing.map_err(|e| wrong("MESHLEDGER_LANDING", e, &places))?)
        }
        None => None,
    };
    let memory: Option<usize> = read("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")?;
    let memory_bytes = memory.unwrap_or(MEMORY_MEGABYTES_MIN).saturating_mul(1024 * 1024);
    let reading =
        Reading { sources: read("MESHLEDGER_SOURCES")?.unwrap_or_default(), redaction: rules()? };
    let doors = Doors {
        now_micros: || doors::now_micros().map_err(|e| e.to_string()),
        row_seed: || doors::row_seed().map_err(|e| e.to_string()),
    };
    Ok(Handler {
        deliverer: Deliverer::new(archive.writer(), landing, reading, doors, memory_bytes),
        door: door()?,
        firehose: firehose()?,
    })
}

/// What is taken out of records: `default`, `none`, or the text of rules.
fn rules() -> Result<Rules, HostError> {
    let name = "MESHLEDGER_REDACTION";
    match doors::setting(name).as_deref() {
        None | Some("default") => Ok(Rules::default()),
        Some("none") => Ok(Rules::none()),
        Some(text) => serde_json::from_str(text).map_err(|e| wrong(name, e, text)),
    }
}

fn door() -> Result<Doorkeeper, HostError> {
    let name = "MESHLEDGER_SECRETS";
    let text = doors::setting(name).unwrap_or_default();
    // Whoever mistook the digest for the secret shall not find it in the log.
    Doorkeeper::parse(&text).map_err(|e| wrong(name, e, "something else"))
}

fn firehose() -> Result<FirehoseResult, HostError> {
    let name = "MESHLEDGER_FIREHOSE_RESULT";
    match doors::setting(name).as_deref() {
        None | Some("Dropped") => Ok(FirehoseResult::Dropped),
        Some("Ok") => Ok(FirehoseResult::Ok),
        Some(other) => Err(wrong(name, "Dropped or Ok", other)),
    }
}
