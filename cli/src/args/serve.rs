//! What a user of `serve` types.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ingest_fn::http::auth::Doorkeeper;
use ingest_fn::redact::Rules;

use super::{Key, Place, Policy, redaction};

/// `serve`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  meshledger serve --archive ./audit --cluster east
  meshledger serve --archive s3://acme-audit/mesh --listen 0.0.0.0:4318 --seal-every-seconds 300
  curl -d @logs.json -H 'content-type: application/json' http://127.0.0.1:4318/v1/logs
  curl --data-binary @access.log http://127.0.0.1:4318/v1/records
  curl -d '{\"sql\": \"SELECT count(*) FROM mesh_events\"}' -H 'content-type: application/json' \\
       http://127.0.0.1:4318/v1/query

POST /v1/logs     OpenTelemetry logs (OTLP/HTTP): protobuf or JSON
POST /v1/audit    the Kubernetes audit webhook
POST /v1/records  records of any format, one a line
POST /v1/query    a question, as docs/query-api.md tells it
GET  /healthz     says ok

Bodies may be plain, gzip or zstd, up to 8 MiB. They are answered once their records are in the
archive, and can be asked for at once; the same body again adds nothing, and an Idempotency-Key
makes two bodies the same. SIGTERM or Ctrl-C ends it when everything in hand is archived. Where
there is no archive yet, one is made.

There is no TLS, and no authentication but that of --callers, for questions: on a network, put a
proxy before it that has both.")]
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
    /// Who may see what of the answers: an access policy (docs/access.md)
    #[arg(long, value_name = "FILE")]
    pub(crate) access: Option<PathBuf>,
    /// Who may ask, by a secret in `Authorization: Bearer`: NAME=SHA256 of the secret, comma
    /// between several. They ask as secret:NAME; without this option everybody asks as local
    #[arg(long, value_name = "NAME=SHA256", value_parser = Doorkeeper::parse)]
    pub(crate) callers: Option<Doorkeeper>,
    /// Whether questions become events of the archive, for the view query_trail; required: a
    /// question whose entry can not be stored is not answered
    #[arg(long, value_enum, default_value_t = TrailKind::BestEffort, value_name = "HOW")]
    pub(crate) trail: TrailKind,
    /// Whether texts and numbers in questions stay in the trail
    #[arg(long, value_enum, default_value_t = TrailLiterals::Keep, value_name = "HOW")]
    pub(crate) trail_literals: TrailLiterals,
    /// How often to seal, and once at the end; 0 leaves sealing to others
    #[arg(long, value_name = "N", default_value_t = 5)]
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
        default_value_t = 200,
        value_parser = clap::value_parser!(u64).range(..=10_000)
    )]
    pub(crate) batch_milliseconds: u64,
}

/// Whether there is a query trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TrailKind {
    /// None
    Off,
    /// A question is answered, and its entry follows
    BestEffort,
    /// A question is answered once its entry is stored
    Required,
}

/// What of a question's SQL is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TrailLiterals {
    /// All of it
    Keep,
    /// No values: each becomes a question mark
    Redact,
}
