//! A seeded generator of service-mesh traffic, as Istio / Envoy access-log JSON lines.
//!
//! One [`Config`] and one seed give one stream of bytes, on every machine. The stream is a day
//! (or years) of two sidecars' view of every call in a small company's mesh: request chains that
//! share a request id, TCP connections to databases, ordinary failures and ordinary denials, and
//! three hidden [`Incident`]s whose exact counts are known beforehand, so that a demo, a test or
//! a benchmark can check what a query finds.
//!
//! Not here: a clock, a file, a network, a thread. Memory does not grow with the number of
//! events; a line costs no allocation once `out` has grown.
//!
//! How a line comes to be: `load` says when, `journey` decides who calls whom and how it
//! ends, `generator` puts the records in the order in which proxies would have written them,
//! `record` gives each the values that Envoy would log, and `format` writes the JSON.
//!
//! Mean record sizes, measured at the default configuration, in bytes with the line feed:
//! [`Format::IstioDefault`] 880, [`Format::Extended`] 2,040, [`Format::Mixed`] 1,590 (outbound
//! 880, inbound 2,300). A test holds the first two to their ranges.

mod catalogue;
mod config;
mod format;
mod generator;
mod incidents;
mod journey;
mod load;
mod plan;
mod random;
mod record;
mod scenes;
mod topology;
mod write;

pub use config::{
    CLUSTERS_MAX, Config, DAYS_MAX, EVENTS_MAX, EVENTS_MIN, Format, NAMESPACES_MAX, NAMESPACES_MIN,
    SERVICES_MAX, SERVICES_MIN, TrafficError,
};
pub use generator::Generator;
pub use incidents::{Count, Incident, IncidentKind, incidents};

#[cfg(test)]
mod tests;
