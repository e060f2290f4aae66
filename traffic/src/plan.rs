//! What is known of a call before anybody logs it. Two proxies describe the same [`Call`].

use crate::topology::PodIndex;

/// A record to be written: a call, as one proxy saw it.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) side: Side,
    pub(crate) call: Call,
}

/// Which proxy logs, and at which level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The caller's sidecar, or the ingress gateway.
    Client,
    /// The called one's sidecar.
    Server,
    /// The called one's listener: the connection never became a request.
    Listener,
}

/// One request or one TCP connection between two pods.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) from: PodIndex,
    pub(crate) to: PodIndex,
    pub(crate) client_start: i64,
    pub(crate) client_micros: u32,
    pub(crate) server_start: i64,
    pub(crate) server_micros: u32,
    pub(crate) request_id: u128,
    pub(crate) path_seed: u64,
    pub(crate) route: RouteIndex,
    pub(crate) outcome: Outcome,
    /// As the client saw it; 0 if it saw none.
    pub(crate) status: u16,
    /// Only of gRPC calls.
    pub(crate) grpc: Grpc,
    pub(crate) bytes_in: u32,
    pub(crate) bytes_out: u32,
    /// Index of the customer's user agent.
    pub(crate) agent: u32,
    /// The customer's address, or that of whoever knocked at a listener.
    pub(crate) visitor: u32,
    /// Whose token the request carries; 0 if it carries none.
    pub(crate) user: u32,
}

/// Which of a service's routes, or one that only an incident takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RouteIndex {
    Own(u32),
    /// `/admin/export` of payments.
    Export,
    /// The payment cards of a user.
    Cards,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The application answered.
    Served,
    Denied(Rule),
    Jwt(Jwt),
    RateLimited,
    /// No healthy host.
    NoHost,
    /// The connection was refused.
    Refused,
    Tls(Tls),
    Timeout,
    /// The customer went away.
    Gone,
    /// The application closed the connection before it answered.
    Reset,
    /// Plaintext on a port that takes mutual TLS only.
    NoFilterChain,
}

/// Which policy denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// No policy allowed it.
    None,
    /// The called service's own, in ordinary traffic.
    Service,
    /// `payments-viewer`, of the stolen identity.
    PaymentsViewer,
    /// `frontend-allow`, the mistake.
    FrontendAllow,
}

/// What was wrong with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Jwt {
    Expired,
    Missing,
}

/// Why a TLS handshake failed. The client's proxy and the server's listener name it differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tls {
    /// The server's certificate had expired: the incident.
    Expired,
    /// The upstream did not speak TLS.
    Plaintext,
    /// The client sent no certificate.
    NoCertificate,
    /// The client's TLS was too old.
    OldVersion,
}

/// Status of a gRPC call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grpc {
    Ok,
    NotFound,
    InvalidArgument,
    PermissionDenied,
    DeadlineExceeded,
    Unavailable,
}

impl Plan {
    /// When the record is written: a proxy logs at the end.
    pub(crate) fn end_micros(&self) -> i64 {
        match self.side {
            Side::Client => self.call.client_start + i64::from(self.call.client_micros),
            Side::Server | Side::Listener => {
                self.call.server_start + i64::from(self.call.server_micros)
            }
        }
    }
}
