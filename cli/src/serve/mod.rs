//! The server: OTLP/HTTP in, into the archive.
//!
//! `http` has the connections, and `ingest_fn::http` what is said over them; `batch` makes
//! deliveries of bodies and answers them once they are stored; `seals` commits.
//!
//! Deliberately not here: TLS and authentication, which a proxy before it has, and every rule of
//! the archive.

pub(crate) mod ask;
mod batch;
mod desk;
mod http;
mod limits;
mod meters;
mod seals;
mod trail;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use archive::Archive;
use ingest_fn::pipeline::SourceConfig;
use maintain_fn::Signer;
use query_fn::trail::{Literals, Loss, Trail};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::exit::{Exit, Outcome};
use crate::interrupt::Interrupt;
use crate::key::Trust;

use ask::Asker;
use batch::Batcher;
use desk::Desk;
use http::Service;
use meters::Meters;
use seals::Seals;
use trail::Inlet;

/// How the server works.
pub(crate) struct Settings {
    /// How records are read; the format is the request's.
    pub(crate) config: SourceConfig,
    /// How long a body waits for others to be archived with.
    pub(crate) window: Duration,
    /// The ledger's key, if there is one.
    pub(crate) signer: Option<Box<dyn Signer>>,
    /// Whose witnesses are asked after a seal, if the ledger is signed.
    pub(crate) trust: Option<Trust>,
    /// After how long without a commit an empty one is made, where there is a key.
    pub(crate) heartbeat_after: Option<Duration>,
    /// What answers questions.
    pub(crate) asker: Asker,
    /// How questions are told to the archive; `None` not at all.
    pub(crate) trail: Option<(Literals, Loss)>,
    /// How often to seal; `None` never, not even at the end.
    pub(crate) seal_every: Option<Duration>,
}

/// Serves until interrupted; then everything in hand is archived and answered.
pub(crate) async fn run(
    archive: &Archive,
    listener: TcpListener,
    settings: Settings,
    interrupt: Interrupt,
) -> Outcome {
    // Raised: a server before this one may have left something to seal.
    let waits = Arc::new(AtomicBool::new(true));
    let (sender, receiver) = mpsc::unbounded_channel();
    let meters = Arc::new(Meters::default());
    let shared = (Arc::clone(&waits), Arc::clone(&meters));
    let batcher = Batcher::new(archive, settings.config, settings.window, shared);
    let Settings { signer, trust, heartbeat_after, asker, trail, .. } = settings;
    let in_hand = (Arc::new(Desk::default()), http::memory());
    let trail = trail.map(|(literals, loss)| {
        let (desk, memory) = (Arc::clone(&in_hand.0), Arc::clone(&in_hand.1));
        let waits = loss == Loss::Fails;
        let inlet = Inlet { items: sender.clone(), desk, memory, waits };
        Trail::new(Arc::new(inlet), literals, loss)
    });
    let asker = asker.trailed(trail);
    let seals = Seals::new(archive, signer, trust, heartbeat_after, (waits, Arc::clone(&meters)));
    let sealing = async {
        if let Some(every) = settings.seal_every {
            seals.run(every, interrupt.clone()).await;
        }
    };
    // The senders end with the connections, and the batcher with the senders.
    tokio::join!(
        Service::new(sender, in_hand, asker).run(listener, interrupt.clone()),
        batcher.run(receiver, interrupt.clone()),
        sealing,
        meters::export(meters, interrupt.clone()),
    );
    if settings.seal_every.is_some() {
        seals.seal().await?;
    }
    Ok(Exit::Ok)
}
