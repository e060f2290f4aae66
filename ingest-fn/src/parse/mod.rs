//! Records to rows: finds out what a record is and hands it to its parser.
//!
//! A parser returns rows or a reject, never an error that costs a neighbour.

pub mod envoy;
pub mod event;
pub mod fields;
pub mod istio;
pub mod json;
pub mod time;
pub mod tls;

use std::str::FromStr;

use crate::error::IngestError;

/// Which format a source is configured to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SourceFormat {
    /// Found out record by record.
    #[default]
    Auto,
    /// Envoy JSON access logs, whatever keys they have.
    EnvoyJson,
}

impl SourceFormat {
    /// Every value, as a person types it.
    pub const NAMES: [&str; 2] = ["auto", envoy::SOURCE_FORMAT];

    /// The text a person types and a manifest records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::EnvoyJson => envoy::SOURCE_FORMAT,
        }
    }
}

impl FromStr for SourceFormat {
    type Err = IngestError;

    fn from_str(text: &str) -> Result<Self, IngestError> {
        match text {
            "auto" => Ok(Self::Auto),
            envoy::SOURCE_FORMAT => Ok(Self::EnvoyJson),
            _ => Err(IngestError::Setting {
                name: "source",
                expected: Self::NAMES.join(" or "),
                found: text.to_owned(),
            }),
        }
    }
}
