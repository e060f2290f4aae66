//! `invoke`: runs a function on one event.

use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use archive::{Archive, Landing};
use host::doors;
use ingest_fn::deliver::{Deliverer, Doors, Reading};
use ingest_fn::handler::{FirehoseResult, Handler};
use ingest_fn::http::auth::Doorkeeper;
use maintain_fn::handler::Asks;
use maintain_fn::{Maintainer, SealOptions};
use query_fn::questions::Questions;
use query_fn::service::{Reply, Service, Settings, Transport};
use query_fn::{AccessPolicy, Engine, Limits};

use crate::args::{Function, Invoke};
use crate::exit::{Exit, Failure, Outcome};
use crate::key::{self, Owner, Trust};
use crate::output::{self, note, printable};
use crate::serve::ask;

/// Longest event, in bytes: what AWS gives a function at once, and room.
const EVENT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Runs the command.
pub(crate) async fn run(args: Invoke) -> Outcome {
    let event = read(&args.event, EVENT_BYTES_MAX)?;
    let archive = super::open(&args.place).await?;
    match args.function {
        Function::Ingest => ingest(&archive, &args, event).await,
        Function::Query => query(&archive, &args, &event).await,
        Function::Maintain => maintain(&archive, &args, &event).await,
    }
}

async fn ingest(archive: &Archive, args: &Invoke, event: String) -> Outcome {
    let handler = handler(archive, args)?;
    let time = Duration::from_secs(args.timeout_seconds);
    let (json, report, exit) = match handler.answer(event.into(), time).await {
        Ok(answer) if answer.report.items_failed == 0 => (answer.json, answer.report, Exit::Ok),
        Ok(answer) => (answer.json, answer.report, Exit::Storage),
        Err(error) => {
            return Err(Failure::new(Exit::Input, format!("{}: {error}", error.kind())));
        }
    };
    print(&json)?;
    note(&format!(
        "{} events and {} rejects of {} items in {} deliveries, {} of them there before.",
        report.events, report.rejects, report.items, report.deliveries, report.deliveries_repeated
    ));
    if let Some(trouble) = report.trouble {
        note(&format!(
            "{} items have to come again: {}",
            report.items_failed,
            printable(&trouble, false)
        ));
    }
    Ok(exit)
}

async fn query(archive: &Archive, args: &Invoke, event: &str) -> Outcome {
    let location = super::location(&args.place)?;
    let table_id = archive.table_id().await?;
    let trust = key::trust(args.policy.file.as_deref(), &location, Some(table_id))?;
    let service = query_service(archive, trust.as_ref(), Transport::Buffered, None)?;
    let time = Duration::from_secs(args.timeout_seconds);
    let call = ask::call(time, Some("local".to_owned()))?;
    let payload = match service.answer(event.as_bytes(), call).await {
        Reply::Payload(payload) => payload,
        Reply::Http(answer) => answer.into_gateway_payload(),
        Reply::Defect(message) => return Err(Failure::new(Exit::Query, message)),
    };
    print(&payload)?;
    Ok(Exit::Ok)
}

async fn maintain(archive: &Archive, args: &Invoke, event: &str) -> Outcome {
    let location = super::location(&args.place)?;
    let owner = Owner::new(archive, &location).await?;
    let trust = key::trust(args.policy.file.as_deref(), &location, Some(owner.table_id()))?;
    let maintainer = Maintainer::new(maintain_fn::handler::Settings {
        archive: archive.clone(),
        key: owner.of_function(args.key.holder.as_ref()).await?,
        policy: trust.map(|trust| trust.policy),
        seal: SealOptions::default(),
        scheduled: Asks::Seal,
    });
    let time = Duration::from_secs(args.timeout_seconds);
    let done = maintainer.answer(event.as_bytes(), time, doors::now_micros()?).await;
    let json = done.answer.map_err(|failed| {
        Failure::new(Exit::Storage, format!("{}: {}", failed.kind, failed.message))
    })?;
    print(&json)?;
    Ok(if done.failed.is_some() { Exit::Storage } else { Exit::Ok })
}

/// What answers questions over an archive, believing whom the policy names.
///
/// # Errors
/// If the engine can not be set up.
pub(crate) fn query_service(
    archive: &Archive,
    trust: Option<&Trust>,
    transport: Transport,
    access: Option<AccessPolicy>,
) -> Result<Service, Failure> {
    let reader = match trust {
        Some(trust) => archive.reader().trusting(trust.policy.clone()),
        None => archive.reader(),
    };
    let mut engine = Engine::new(reader, Limits::default())?;
    if let Some(policy) = access {
        engine = engine.guarded_by(policy)?;
    }
    let settings = Settings { transport, ..Settings::default() };
    Ok(Service::new(engine, Questions::built_in()?, Some(archive.results()), settings))
}

fn handler(archive: &Archive, args: &Invoke) -> Result<Handler, Failure> {
    let location = super::location(&args.place)?;
    let options = super::options(&location)?;
    let landing =
        args.landing.as_deref().map(|places| Landing::new(places, &options)).transpose()?;
    let sources = match &args.sources {
        Some(path) => read(path, EVENT_BYTES_MAX)?
            .parse()
            .map_err(|e| Failure::usage(format!("--sources: expected {e}")))?,
        None => Default::default(),
    };
    let doors = Doors {
        now_micros: || doors::now_micros().map_err(|e| e.to_string()),
        row_seed: || doors::row_seed().map_err(|e| e.to_string()),
    };
    let reading = Reading { sources, redaction: args.redaction.clone() };
    let memory = args.memory_megabytes.saturating_mul(1024 * 1024);
    Ok(Handler {
        deliverer: Deliverer::new(archive.writer(), landing, reading, doors, memory),
        // Whoever may run this may send; an event that says who sends is believed.
        door: Doorkeeper::open_to_all(),
        firehose: FirehoseResult::Dropped,
    })
}

/// Prints an answer on a line.
fn print(answer: &[u8]) -> Result<(), Failure> {
    let mut out = output::stdout();
    out.write_all(answer)?;
    writeln!(out)?;
    Ok(out.flush()?)
}

fn read(path: &Path, bytes_max: u64) -> Result<String, Failure> {
    let name = printable(&path.to_string_lossy(), false);
    let failed = |e: std::io::Error| {
        Failure::new(Exit::Input, format!("{name}: {}", crate::input::reason(&e)))
    };
    let mut text = String::new();
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(failed)?)
    };
    input.take(bytes_max).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}
