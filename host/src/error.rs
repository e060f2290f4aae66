//! What can be wrong with the surroundings of a process.

use thiserror::Error;

/// Why a process can not begin, or go on.
#[derive(Debug, Error)]
pub enum HostError {
    /// The clock can not be right.
    #[error("this machine's clock stands before 1970; set it and try again")]
    Clock,
    /// No randomness.
    #[error("the operating system gave no random bytes: {0}")]
    Randomness(String),
    /// A setting is missing or makes no sense.
    #[error("{name}: expected {expected}, found {found}")]
    Setting {
        /// The variable.
        name: String,
        /// What it may be.
        expected: String,
        /// What it is, or that it is unset.
        found: String,
    },
    /// The endpoint of a service has no TLS, and nothing says that this is meant.
    #[error(
        "the endpoint {url} has no TLS, so keys and events would travel in the clear; use \
         https://, or set AWS_ALLOW_HTTP=true for a server on this machine"
    )]
    NoTls {
        /// The endpoint.
        url: String,
    },
    /// The threads of the runtime could not be started, or signals not be heard.
    #[error("the process could not be set up: {0}")]
    Io(#[from] std::io::Error),
}
