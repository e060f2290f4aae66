//! What is said over HTTP, whoever listens: a server on a laptop or a function behind a URL.
//! `request` is what a sender says, `answer` what it is told. Pure.

pub mod answer;
pub mod auth;
pub mod body;
pub mod request;
mod wire;

use common::limits::{RECORD_BYTES_MAX, RECORD_DEPTH_MAX};

pub use answer::{Accepted, Media, Reason, Refusal};
pub use body::Body;
pub use request::{Export, Head, Route, head, route};
pub(crate) use wire::field;

/// Largest body, in bytes, as it is sent and once it is decompressed: to the parsers a body of
/// OTLP or of the Kubernetes audit webhook is one record, and of a longer one nothing could be
/// understood.
pub const BODY_BYTES_MAX: usize = RECORD_BYTES_MAX;

/// When a sender that was told to come back should do so, in seconds.
pub const RETRY_SECONDS: u64 = 2;

/// Deepest nesting of messages in protobuf: what the JSON form may have takes two levels for one.
const DEPTH_MAX: usize = RECORD_DEPTH_MAX / 2;
