//! Records to rows: finds out what a record is and hands it to its parser.
//!
//! A parser returns rows or a reject, never an error that costs a neighbour.

#[cfg(test)]
pub(crate) mod cases;
pub mod consul;
pub mod detect;
pub mod envoy;
pub mod event;
pub mod fields;
pub mod hoop;
pub mod istio;
pub mod json;
pub mod kubernetes;
pub mod leftovers;
pub mod linkerd;
pub(crate) mod list;
mod ocsf;
pub mod otlp;
pub mod query;
mod quote;
pub mod shippers;
pub(crate) mod template;
pub mod time;
pub mod tls;
pub mod ztunnel;

use std::str::FromStr;

use crate::error::IngestError;

macro_rules! formats {
    ($($(#[$meta:meta])* $variant:ident = $name:literal,)+) => {
        /// Which format a source is configured to have: a value of column `source_format`, or
        /// how the record comes in.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub enum SourceFormat {
            $($(#[$meta])* $variant,)+
        }

        impl SourceFormat {
            /// Every value, in the order of [`Self::NAMES`].
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// Every value, as a person types it.
            pub const NAMES: [&str; Self::ALL.len()] = [$($name),+];

            /// The text a person types and a manifest records.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

formats! {
    /// Found out record by record.
    #[default]
    Auto = "auto",
    /// Envoy JSON access logs, whatever keys they have.
    EnvoyJson = "envoy_json",
    /// Envoy text access logs.
    EnvoyText = "envoy_text",
    /// OpenTelemetry logs as JSON, sent by Envoy.
    EnvoyOtlp = "envoy_otlp",
    /// OpenTelemetry logs as JSON, of a collector's access log service receiver.
    EnvoyAls = "envoy_als",
    /// OpenTelemetry logs as JSON, whoever sends them.
    OtlpLog = "otlp_log",
    /// OpenTelemetry logs as protobuf, which has no mark to detect it by.
    OtlpProtobuf = "otlp_protobuf",
    /// ztunnel's log as JSON.
    ZtunnelJson = "ztunnel_json",
    /// ztunnel's log as text.
    ZtunnelText = "ztunnel_text",
    /// Linkerd's access log as JSON.
    LinkerdAccessJson = "linkerd_access_json",
    /// Linkerd's access log in Apache's form.
    LinkerdAccessApache = "linkerd_access_apache",
    /// Linkerd's proxy log as JSON.
    LinkerdLogJson = "linkerd_log_json",
    /// Linkerd's proxy log as text.
    LinkerdLogPlain = "linkerd_log_plain",
    /// Consul's audit log.
    ConsulAuditV1 = "consul_audit_v1",
    /// The Kubernetes audit log.
    K8sAuditV1 = "k8s_audit_v1",
    /// The Kubernetes audit log in its old text form.
    K8sAuditLegacy = "k8s_audit_legacy",
    /// The Kubernetes audit log as Azure wraps it.
    AksAudit = "aks_audit",
    /// The Kubernetes audit log as Google Cloud writes it.
    GkeAudit = "gke_audit",
    /// hoop.dev's security audit log.
    HoopAudit = "hoop_audit",
    /// hoop.dev's sessions.
    HoopSession = "hoop_session",
    /// hoop.dev's webhooks.
    HoopWebhook = "hoop_webhook",
    /// Lines of hoopinspect.
    HoopInspect = "hoop_inspect",
    /// Our own query trail.
    MeshledgerQuery = "meshledger_query",
}

impl FromStr for SourceFormat {
    type Err = IngestError;

    fn from_str(text: &str) -> Result<Self, IngestError> {
        Self::ALL.into_iter().find(|format| format.as_str() == text).ok_or_else(|| {
            IngestError::Setting {
                name: "source",
                expected: Self::NAMES.join(", "),
                found: text.to_owned(),
            }
        })
    }
}
