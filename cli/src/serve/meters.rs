//! What the server counts, and its way to a collector of OpenTelemetry metrics, if one is named.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use archive::web::Web;
use host::doors;
use host::metrics::{Reading, otlp};
use tokio::time::sleep;

use crate::interrupt::Interrupt;
use crate::output::{complain, printable};

/// Counters of a server, since it began.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    /// Records that became rows.
    pub(crate) events: AtomicU64,
    /// Records in quarantine.
    pub(crate) rejects: AtomicU64,
    /// Bodies that were in the archive already.
    pub(crate) repeated: AtomicU64,
    /// Bodies that could not be archived.
    pub(crate) failed: AtomicU64,
    /// Bytes of bodies, decompressed.
    pub(crate) bytes: AtomicU64,
    /// Milliseconds that the last delivery's first body waited until it was stored.
    pub(crate) lag_millis: AtomicU64,
    /// When the last seal ended well, microseconds since 1970 UTC.
    pub(crate) sealed_micros: AtomicU64,
}

/// How often numbers are sent unless `OTEL_METRIC_EXPORT_INTERVAL` says otherwise.
const INTERVAL: Duration = Duration::from_secs(60);

/// The shortest interval that is obeyed.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

impl Meters {
    /// Adds to a counter.
    pub(crate) fn add(counter: &AtomicU64, number: u64) {
        counter.fetch_add(number, Ordering::Relaxed);
    }

    /// The numbers of now.
    fn readings(&self, now_micros: u64) -> Vec<Reading> {
        let sum = |name, unit, counter: &AtomicU64| {
            let value = counter.load(Ordering::Relaxed);
            Reading { name, unit, value, is_sum: true }
        };
        let mut all = vec![
            sum("meshledger.events.archived", "{event}", &self.events),
            sum("meshledger.records.quarantined", "{record}", &self.rejects),
            sum("meshledger.units.duplicate", "{unit}", &self.repeated),
            sum("meshledger.units.failed", "{unit}", &self.failed),
            sum("meshledger.bytes.decoded", "By", &self.bytes),
        ];
        let now = |name, unit, value| Reading { name, unit, value, is_sum: false };
        all.push(now("meshledger.ingest.lag", "ms", self.lag_millis.load(Ordering::Relaxed)));
        let sealed = self.sealed_micros.load(Ordering::Relaxed);
        if sealed > 0 {
            let age_seconds = now_micros.saturating_sub(sealed) / 1_000_000;
            all.push(now("meshledger.seal.age", "s", age_seconds));
        }
        all
    }
}

/// Sends the numbers now and then until interrupted, if the environment names a collector.
pub(crate) async fn export(meters: Arc<Meters>, mut interrupt: Interrupt) {
    let Some((url, interval)) = doors::metrics_endpoint() else { return };
    let Ok(began_micros) = doors::now_micros() else { return };
    let web = match Web::new() {
        Ok(web) => web,
        Err(e) => return complain(&format!("no metrics are sent: {e}")),
    };
    let interval = interval.map_or(INTERVAL, Duration::from_millis).max(INTERVAL_MIN);
    let mut is_told = false;
    loop {
        let is_last = tokio::select! {
            () = interrupt.wait() => true,
            () = sleep(interval) => false,
        };
        let Ok(now_micros) = doors::now_micros() else { return };
        let readings = meters.readings(u64::try_from(now_micros).unwrap_or(0));
        let json = otlp("meshledger", began_micros, now_micros, &readings);
        let trouble = match web.post_json(&url, json).await {
            Ok(answer) if answer.status < 300 => None,
            Ok(answer) => Some(format!("{} answers {}", printable(&url, false), answer.status)),
            Err(e) => Some(printable(&e.to_string(), false)),
        };
        // A collector that is away is told of once.
        if let Some(trouble) = trouble.filter(|_| !is_told) {
            complain(&format!("metrics: {trouble}; tried again each time"));
            is_told = true;
        }
        if is_last {
            return;
        }
    }
}
