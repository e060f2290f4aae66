//! `serve`: archives what is sent over HTTP, and answers questions.

use std::time::Duration;

use archive::{Archive, Location};
use ingest_fn::http::auth::Doorkeeper;
use ingest_fn::pipeline::SourceConfig;
use query_fn::service::Transport;
use tokio::net::TcpListener;

use crate::args;
use crate::exit::{Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::key::{self, Owner};
use crate::output::note;
use crate::serve::ask::Asker;
use crate::serve::{self, Settings};

/// Runs the command.
pub(crate) async fn run(args: args::Serve, interrupt: Interrupt) -> Outcome {
    let location = super::location(&args.place)?;
    let access = super::access(args.access.as_deref())?;
    let listener = TcpListener::bind(args.listen).await.map_err(|e| {
        let listen = args.listen;
        Failure::usage(format!("can not listen on {listen}: {e}; name another with --listen"))
    })?;
    let archive = open_or_create(&args, &location).await?;
    let owner = Owner::new(&archive, &location).await?;
    let found = owner.find(args.key.holder.as_ref()).await?;
    let trust = key::trust(args.policy.file.as_deref(), &location, Some(owner.table_id()))?;
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        note("No TLS and no authentication here: whoever reaches this address can write.");
    }
    note(&format!(
        "Listening on http://{address}; /v1/logs, /v1/audit, /v1/records and /v1/query are there."
    ));
    let transport = Transport::Streamed;
    let service = super::invoke::query_service(&archive, trust.as_ref(), transport, access)?;
    let settings = Settings {
        asker: Asker::new(service, args.callers.unwrap_or_else(Doorkeeper::open_to_all)),
        trail: crate::trail::settings(args.trail, args.trail_literals),
        config: SourceConfig {
            cluster: args.cluster,
            redaction: args.redaction,
            ..SourceConfig::default()
        },
        window: Duration::from_millis(args.batch_milliseconds),
        trust: trust.filter(|_| found.is_some()),
        signer: found.map(|found| found.signer),
        heartbeat_after: (args.heartbeat_after > 0)
            .then(|| super::seal::minutes(args.heartbeat_after)),
        seal_every: (args.seal_every_seconds > 0)
            .then(|| Duration::from_secs(args.seal_every_seconds)),
    };
    serve::run(&archive, listener, settings, interrupt).await
}

/// Opens the archive; where there is nothing at all, makes one as `init` does.
async fn open_or_create(args: &args::Serve, location: &Location) -> Result<Archive, Failure> {
    match Archive::open(location, &super::options(location)?).await {
        Err(e) if e.is_absence() => {
            let init = args::Init {
                place: args.place.clone(),
                no_fence: false,
                ledger: None,
                no_ledger: false,
                key: args.key.clone(),
            };
            super::init::run(init).await?;
            super::open(&args.place).await
        }
        opened => Ok(opened?),
    }
}
