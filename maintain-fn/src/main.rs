//! The maintain function as AWS Lambda runs it: the library's handler between `host`'s doors.

mod config;
mod watch;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use host::lambda::{FunctionError, Invocation, Outcome, Reply, log, run};
use host::{HostError, doors};
use meshledger_maintain_fn::Maintainer;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

fn main() -> ExitCode {
    run(begin)
}

async fn begin() -> Result<impl Fn(Invocation) -> BoxFuture<'static, Outcome> + Clone, HostError> {
    let maintainer = Arc::new(Maintainer::new(config::read_settings()?));
    Ok(move |invocation| answer(Arc::clone(&maintainer), invocation).boxed())
}

async fn answer(maintainer: Arc<Maintainer>, invocation: Invocation) -> Outcome {
    let started = Instant::now();
    let failed = |kind, message| FunctionError { kind, message };
    let now_micros = doors::now_micros().map_err(|e| failed("Clock", e.to_string()))?;
    let Invocation { event, request_id, time_left } = invocation;
    let runtime = Handle::current();
    // On a thread of its own: a seal is a future that only one thread can run.
    let work = spawn_blocking(move || {
        runtime.block_on(maintainer.answer(event.get().as_bytes(), time_left, now_micros))
    });
    let done = work.await.map_err(|panicked| failed("Defect", panicked.to_string()))?;
    log(&watch::line(&done, &request_id, started.elapsed(), now_micros));
    match done.answer {
        Ok(json) => Ok(Reply::Json(json)),
        Err(error) => Err(failed(error.kind, error.message)),
    }
}
