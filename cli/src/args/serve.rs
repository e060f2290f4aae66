//! What a user of `serve` types.

use std::net::SocketAddr;

use clap::Args;
use ingest_fn::redact::Rules;

use super::{Key, Place, Policy, redaction};

/// `serve`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  meshledger serve --archive ./audit --cluster east
  meshledger serve --archive s3://acme-audit/mesh --listen 0.0.0.0:4318 --seal-every-seconds 300
  curl -d @logs.json -H 'content-type: application/json' http://127.0.0.1:4318/v1/logs

POST /v1/logs takes OpenTelemetry logs (OTLP/HTTP): protobuf or JSON, plain, gzip or zstd, up to
8 MiB. It is answered once the records are in the archive; the same body again adds nothing.
GET /healthz says ok. SIGTERM or Ctrl-C ends it when everything in hand is archived.

There is no TLS and no authentication: on a network, put a proxy before it that has both.")]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Where to listen; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:4318")]
    pub(crate) listen: SocketAddr,
    /// Cluster that the records come from, unless they say so themselves
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
    /// Credentials to take out of records: default, none, or a file of rules (docs/redaction.md)
    #[arg(long, value_name = "RULES", default_value = "default", value_parser = redaction)]
    pub(crate) redaction: Rules,
    /// How often to seal, and once at the end; 0 leaves sealing to others
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub(crate) seal_every_seconds: u64,
    #[command(flatten)]
    pub(crate) key: Key,
    #[command(flatten)]
    pub(crate) policy: Policy,
    /// In a signed archive: after so long without a commit an empty one shows that somebody seals;
    /// 0 for none
    #[arg(long, value_name = "MINUTES", default_value_t = 60)]
    pub(crate) heartbeat_after: u32,
    /// How long a request waits for others to be stored with: longer makes fewer, larger files
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1_000,
        value_parser = clap::value_parser!(u64).range(..=10_000)
    )]
    pub(crate) batch_milliseconds: u64,
}
