//! The settings of the query function, read and checked at its start.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use archive::{Archive, StoreOptions};
use host::lambda::log;
use host::settings::{is_on, location, policy, read, store_options, text, wrong};
use host::{HostError, doors};
use meshledger_query_fn::questions::Questions;
use meshledger_query_fn::service::{Service, Settings, Transport};
use meshledger_query_fn::trail::{Literals, Loss, Queue, Trail};
use meshledger_query_fn::{AccessPolicy, Engine, Limits};

/// The function.
pub(crate) struct Function {
    /// What answers.
    pub(crate) service: Service,
    /// How answers over HTTP leave.
    pub(crate) transport: Transport,
    /// Who asks by invoking the function directly.
    pub(crate) direct_caller: Option<String>,
}

/// What the program itself takes of the function's memory.
const PROGRAM_BYTES: usize = 96 * MEGABYTE;

/// How much an operator may take for each byte it counts: a list is copied when it grows, and groups
/// are copied when they are given away. Measured with the statements of `tests/it/hostile_sql.rs`:
/// up to 3.9 times.
const CHARGE: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// The part of the function's memory for footers at most, and the part for queries at least.
const FOOTERS_SHARE: usize = 8;
const QUERIES_SHARE: usize = 2;

const MEGABYTE: usize = 1024 * 1024;

/// Reads the settings and makes the function. Nothing is asked of the bucket.
///
/// # Errors
/// If one is missing or makes no sense; the error names the variable.
pub(crate) fn read_settings() -> Result<Function, HostError> {
    let location = location()?;
    let options = store_options(&location)?;
    let archive = Archive::connect(&location, &options)
        .map_err(|e| wrong("MESHLEDGER_ARCHIVE", e, location.archive_url()))?;
    let reader = match policy()? {
        Some(policy) => archive.reader().trusting(policy),
        None => archive.reader(),
    };
    let defect = |e: meshledger_query_fn::QueryError| {
        HostError::Io(std::io::Error::other(format!("the query engine can not be set up: {e}")))
    };
    if doors::setting("MALLOC_MMAP_THRESHOLD_").is_none() {
        // Only the environment can say so: it counts from the first allocation on.
        log("MALLOC_ARENA_MAX=2 and MALLOC_MMAP_THRESHOLD_=262144 are not set, so memory that a \
             query gave back may stay with the function");
    }
    let engine = Engine::new(reader, limits()?).map_err(defect)?.billed_as_function();
    let engine = guarded(engine)?;
    let questions = Questions::built_in().map_err(defect)?;
    let transport = match is_on("MESHLEDGER_RESPONSE_STREAM")? {
        true => Transport::Streamed,
        false => Transport::Buffered,
    };
    let usual = Settings::default();
    let minutes: Option<u64> = read("MESHLEDGER_RESULT_MINUTES")?;
    let settings = Settings {
        transport,
        url_lasts: minutes
            .map_or(usual.url_lasts, |minutes| Duration::from_secs(minutes.saturating_mul(60))),
        ..usual
    };
    let results = is_on("MESHLEDGER_RESULTS")?.then(|| archive.results());
    let direct_caller = doors::setting("MESHLEDGER_DIRECT_CALLER");
    let service = Service::new(engine, questions, results, settings).trailed(trail(&options)?);
    Ok(Function { service, transport, direct_caller })
}

/// The query trail: by way of the queue that `MESHLEDGER_TRAIL_QUEUE` names, unless
/// `MESHLEDGER_TRAIL` is `off`; where it is `required`, a query without an entry fails.
fn trail(options: &StoreOptions) -> Result<Option<Trail>, HostError> {
    let (name, queue) = ("MESHLEDGER_TRAIL", doors::setting("MESHLEDGER_TRAIL_QUEUE"));
    let loss = match doors::setting(name).as_deref() {
        Some("off") => return Ok(None),
        None if queue.is_none() => {
            log("no MESHLEDGER_TRAIL_QUEUE is set, so queries leave no trail");
            return Ok(None);
        }
        None | Some("best-effort") => Loss::Counted,
        Some("required") => Loss::Fails,
        Some(other) => return Err(wrong(name, "off, best-effort or required", other)),
    };
    let literals = match doors::setting("MESHLEDGER_TRAIL_LITERALS").as_deref() {
        None | Some("keep") => Literals::Kept,
        Some("redact") => Literals::Redacted,
        Some(other) => return Err(wrong("MESHLEDGER_TRAIL_LITERALS", "keep or redact", other)),
    };
    let queue = queue.unwrap_or_default();
    let intake =
        Queue::new(&queue, options).map_err(|e| wrong("MESHLEDGER_TRAIL_QUEUE", e, &queue))?;
    Ok(Some(Trail::new(Arc::new(intake), literals, loss)))
}

/// The engine with the access policy, if there is one.
fn guarded(engine: Engine) -> Result<Engine, HostError> {
    let name = "MESHLEDGER_ACCESS";
    let Some(policy) = text(name)? else { return Ok(engine) };
    let wrong = |e: String| wrong(name, e, &policy);
    let parsed = AccessPolicy::parse(&policy, &doors::secret).map_err(wrong)?;
    engine.guarded_by(parsed).map_err(|e| wrong(e.to_string()))
}

fn limits() -> Result<Limits, HostError> {
    let usual = Limits::default();
    let seconds: Option<u64> = read("MESHLEDGER_QUERY_SECONDS_MAX")?;
    let memory: Option<usize> = read("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")?;
    let memory = memory.map(|megabytes| megabytes.saturating_mul(MEGABYTE));
    let for_queries =
        |memory: usize| memory.saturating_sub(PROGRAM_BYTES).max(memory / QUERIES_SHARE);
    Ok(Limits {
        memory_bytes: memory.map_or(usual.memory_bytes, for_queries),
        memory_charge: memory.map_or(usual.memory_charge, |_| CHARGE),
        footer_bytes_max: memory.map_or(usual.footer_bytes_max, |memory| {
            usual.footer_bytes_max.min(memory / FOOTERS_SHARE)
        }),
        scan_bytes_max: read("MESHLEDGER_QUERY_SCAN_BYTES_MAX")?,
        rows_max: read("MESHLEDGER_QUERY_ROWS_MAX")?,
        time: seconds.map_or(usual.time, Duration::from_secs),
        ..usual
    })
}
