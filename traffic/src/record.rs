//! What Envoy would put into each field of a call's record, on either side.

use crate::catalogue::{BROWSERS, GRPC_LIBRARIES, LIBRARIES, Wire};
use crate::plan::{Call, Grpc, Jwt, Outcome, Plan, RouteIndex, Rule, Side, Tls};
use crate::random::{low16, low32, mix, scale};
use crate::topology::{Pod, Route, Service, Topology};

/// An IPv4 address and a port.
pub(crate) type Address = (u32, u16);

/// Values of one record, before they are written. `None` is JSON's null.
pub(crate) struct Record<'a> {
    pub(crate) access_log_type: &'static str,
    pub(crate) authority: Option<&'a str>,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) connection_id: u64,
    pub(crate) connection_termination_details: Option<&'a str>,
    pub(crate) downstream_local: Address,
    pub(crate) downstream_remote: Address,
    pub(crate) downstream_failure: Option<&'static str>,
    /// Own identity, known where TLS ended here.
    pub(crate) local_identity: Option<&'a str>,
    pub(crate) peer: Option<Peer<'a>>,
    pub(crate) tls: bool,
    pub(crate) duration_millis: u64,
    pub(crate) grpc: Option<Grpc>,
    /// Number of the user whose token was accepted.
    pub(crate) user: Option<u32>,
    pub(crate) listener: &'static str,
    pub(crate) method: Option<&'static str>,
    pub(crate) node: &'a str,
    pub(crate) path: Option<&'a [u8]>,
    pub(crate) protocol: Option<&'static str>,
    pub(crate) rbac: Option<Rbac<'a>>,
    pub(crate) request_id: Option<u128>,
    pub(crate) server_name: Option<&'a str>,
    pub(crate) status: u16,
    pub(crate) details: Option<&'a str>,
    pub(crate) flags: Flags,
    pub(crate) route_name: Option<&'static str>,
    pub(crate) start_micros: i64,
    pub(crate) stream_id: Option<u128>,
    pub(crate) span_id: u64,
    pub(crate) upstream_cluster: Option<&'a str>,
    pub(crate) upstream_host: Option<Address>,
    pub(crate) upstream_local: Option<Address>,
    pub(crate) upstream_identity: Option<&'a str>,
    pub(crate) upstream_millis: Option<u64>,
    pub(crate) upstream_failure: Option<&'static str>,
    pub(crate) user_agent: Option<&'static str>,
    pub(crate) forwarded_for: Option<u32>,
}

/// The certificate that the other side showed.
#[derive(Clone, Copy)]
pub(crate) struct Peer<'a> {
    pub(crate) identity: &'a str,
    /// From which the digits of serial and fingerprint follow.
    pub(crate) hash: u64,
    pub(crate) not_after_micros: i64,
}

/// What the RBAC filter left in its metadata.
#[derive(Clone, Copy)]
pub(crate) struct Rbac<'a> {
    pub(crate) policy: Option<&'a str>,
    pub(crate) allowed: bool,
    /// Whether a dry run is configured.
    pub(crate) shadow: bool,
}

/// A response flag, short and long.
#[derive(Clone, Copy)]
pub(crate) struct Flags {
    pub(crate) short: &'static str,
    pub(crate) long: &'static str,
}

const fn flags(short: &'static str, long: &'static str) -> Flags {
    Flags { short, long }
}

const NONE: Flags = flags("-", "-");
const NR: Flags = flags("NR", "NoRouteFound");
const RL: Flags = flags("RL", "RateLimited");
const UH: Flags = flags("UH", "NoHealthyUpstream");
const UF: Flags = flags("UF", "UpstreamConnectionFailure");
const UT: Flags = flags("UT", "UpstreamRequestTimeout");
const UC: Flags = flags("UC", "UpstreamConnectionTermination");
const DC: Flags = flags("DC", "DownstreamConnectionTermination");

/// Spelled as Envoy 1.40 does; the incident is found by it.
pub(crate) const EXPIRED_UPSTREAM: &str = "TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_X509_verify_cert:_certificate_verification_error_at_depth_0:_certificate_has_expired:TLS_error_end";
/// What the other side's listener says of the same handshake.
pub(crate) const EXPIRED_DOWNSTREAM: &str = "TLS_error:|268436501:SSL_routines:OPENSSL_internal:SSLV3_ALERT_CERTIFICATE_EXPIRED:TLS_error_end";
const EXPIRED_DETAILS: &str = "upstream_reset_before_response_started{remote_connection_failure|TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_X509_verify_cert:_certificate_verification_error_at_depth_0:_certificate_has_expired:TLS_error_end}";
const NOT_TLS_UPSTREAM: &str =
    "TLS_error:|268435703:SSL_routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end";
const NOT_TLS_DETAILS: &str = "upstream_reset_before_response_started{remote_connection_failure|TLS_error:|268435703:SSL_routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end}";
const REFUSED_UPSTREAM: &str = "delayed_connect_error:_Connection_refused";
const REFUSED_DETAILS: &str = "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}";
const NO_CERTIFICATE: &str = "TLS_error:|268435648:SSL_routines:OPENSSL_internal:PEER_DID_NOT_RETURN_A_CERTIFICATE:peer_did_not_provide_required_client_certificate:TLS_error_end";
const OLD_VERSION: &str =
    "TLS_error:|268435696:SSL_routines:OPENSSL_internal:UNSUPPORTED_PROTOCOL:TLS_error_end";
const NO_CHAIN: &str =
    "TLS_error|error:1000009c:SSL_routines:OPENSSL_internal:HTTP_REQUEST:TLS_error_end";
/// What the holder of the stolen identity uses.
const THIEF_AGENT: &str = "curl/8.14.1";

/// Workload certificates are renewed twice a day and live for one.
const RENEWAL_MICROS: i64 = 43_200_000_000;
const LIFETIME_MICROS: i64 = 86_400_000_000;
/// Port of the east-west gateways, and of the ingress gateway's pods.
const EASTWEST_PORT: u16 = 15_443;
const INGRESS_PORT: u16 = 8_443;
/// Address from which a sidecar speaks to its own application.
const LOOPBACK: u32 = 127 << 24 | 6;

/// The ends of a call.
struct Ends<'a> {
    topology: &'a Topology,
    call: &'a Call,
    from: &'a Pod,
    to: &'a Pod,
    called: &'a Service,
    /// Whether the ingress gateway is the client.
    ingress: bool,
    /// Whether an east-west gateway lies between.
    far: bool,
    /// The same for all calls on one connection.
    lane: u64,
}

/// The record of a plan. `path` holds what [`render_path`] wrote.
pub(crate) fn record<'a>(topology: &'a Topology, plan: &'a Plan, path: &'a [u8]) -> Record<'a> {
    let call = &plan.call;
    let (from, to) = (&topology.pods[call.from as usize], &topology.pods[call.to as usize]);
    let pair = u64::from(call.from) << 32 | u64::from(call.to);
    // A pair of pods keeps a few connections, each for somewhat over an hour.
    let hour = u64::try_from(call.client_start >> 32).unwrap_or(0);
    let lane = mix(mix(pair, hour), call.path_seed & 3);
    let ends = Ends {
        topology,
        call,
        from,
        to,
        called: topology.service(call.to),
        ingress: from.service == topology.ingress,
        far: from.cluster != to.cluster,
        lane,
    };
    match (plan.side, ends.called.wire) {
        (Side::Listener, _) => ends.listener(),
        (Side::Client, Wire::Tcp) => ends.tcp_client(),
        (Side::Server, Wire::Tcp) => ends.tcp_server(),
        (Side::Client, _) => ends.http_client(path),
        (Side::Server, _) => ends.http_server(path),
    }
}

/// Writes the path of a call into a cleared buffer; leaves it empty if there is none.
pub(crate) fn render_path(topology: &Topology, plan: &Plan, out: &mut Vec<u8>) {
    out.clear();
    let call = &plan.call;
    if plan.side != Side::Listener
        && let Some(route) = route(topology, call)
    {
        route.render(call.path_seed, out);
    }
}

fn route<'a>(topology: &'a Topology, call: &Call) -> Option<&'a Route> {
    match call.route {
        RouteIndex::Own(index) => topology.service(call.to).routes.get(index as usize),
        RouteIndex::Export => Some(&topology.export),
        RouteIndex::Cards => Some(&topology.cards),
    }
}

impl<'a> Ends<'a> {
    fn http_client(&self, path: &'a [u8]) -> Record<'a> {
        let Ends { call, called, .. } = self;
        let (details, flags, failure) = match call.outcome {
            Outcome::NoHost => ("no_healthy_upstream", UH, None),
            Outcome::Refused => (REFUSED_DETAILS, UF, Some(REFUSED_UPSTREAM)),
            Outcome::Tls(Tls::Expired) => (EXPIRED_DETAILS, UF, Some(EXPIRED_UPSTREAM)),
            Outcome::Tls(_) => (NOT_TLS_DETAILS, UF, Some(NOT_TLS_UPSTREAM)),
            Outcome::Timeout => ("response_timeout", UT, None),
            Outcome::Gone => ("downstream_remote_disconnect", DC, None),
            Outcome::Reset => {
                ("upstream_reset_before_response_started{connection_termination}", UC, None)
            }
            _ => ("via_upstream", NONE, None),
        };
        let connected = failure.is_none() && call.outcome != Outcome::NoHost;
        let mut record = self.http(path, call.client_start, call.client_micros);
        self.outbound(&mut record, connected);
        record.upstream_host = (call.outcome != Outcome::NoHost).then(|| self.upstream());
        record.details = Some(details);
        record.flags = flags;
        record.status = call.status;
        record.upstream_failure = failure;
        record.upstream_millis =
            (details == "via_upstream").then(|| u64::from(call.server_micros / 1_000));
        record.route_name = Some("default");
        if self.ingress {
            record.downstream_local = (self.from.address, INGRESS_PORT);
            record.downstream_remote = (call.visitor, port(u64::from(call.visitor) ^ self.lane));
            record.server_name = Some(called.public_host);
            record.listener = "0.0.0.0_8443";
            record.tls = true;
        }
        record
    }

    fn http_server(&self, path: &'a [u8]) -> Record<'a> {
        let Ends { call, called, .. } = self;
        let (details, flags) = match call.outcome {
            Outcome::Denied(rule) => (self.denial(rule).0, NONE),
            Outcome::Jwt(Jwt::Expired) => ("jwt_authn_access_denied{Jwt_is_expired}", NONE),
            Outcome::Jwt(Jwt::Missing) => ("jwt_authn_access_denied{Jwt_is_missing}", NONE),
            Outcome::RateLimited => ("local_rate_limited", RL),
            Outcome::Timeout | Outcome::Gone => ("downstream_remote_disconnect", DC),
            Outcome::Reset => {
                ("upstream_reset_before_response_started{connection_termination}", UC)
            }
            _ => ("via_upstream", NONE),
        };
        let stopped =
            matches!(call.outcome, Outcome::Denied(_) | Outcome::Jwt(_) | Outcome::RateLimited);
        let mut record = self.http(path, call.server_start, call.server_micros);
        self.inbound(&mut record);
        if self.ingress {
            // Envoy takes the customer's address from the forwarded header, without a port.
            record.downstream_remote = (call.visitor, 0);
        }
        record.details = Some(details);
        record.flags = flags;
        record.status = if call.outcome == Outcome::Timeout { 0 } else { call.status };
        record.route_name = (!matches!(call.outcome, Outcome::Denied(_))).then_some("default");
        if !stopped {
            record.upstream_host = Some((self.to.address, called.port));
            record.upstream_local = Some((LOOPBACK, port(mix(self.lane, 2))));
        }
        record.upstream_millis = (details == "via_upstream")
            .then(|| u64::from(call.server_micros.saturating_sub(350) / 1_000));
        record.rbac = self.rbac();
        record.user = (self.ingress && call.user > 0 && !matches!(call.outcome, Outcome::Jwt(_)))
            .then_some(call.user);
        record
    }

    fn tcp_client(&self) -> Record<'a> {
        let mut record = self.tcp(self.call.client_start, self.call.client_micros);
        self.outbound(&mut record, true);
        record.upstream_host = Some(self.upstream());
        record
    }

    fn tcp_server(&self) -> Record<'a> {
        let mut record = self.tcp(self.call.server_start, self.call.server_micros);
        self.inbound(&mut record);
        record.upstream_host = Some((self.to.address, self.called.port));
        record.upstream_local = Some((LOOPBACK, port(mix(self.lane, 2))));
        if let Outcome::Denied(rule) = self.call.outcome {
            record.connection_termination_details = Some(self.denial(rule).0);
        }
        record
    }

    /// A connection that the listener gave up: no request, no status.
    fn listener(&self) -> Record<'a> {
        let Ends { call, .. } = self;
        let mut record = self.blank(call.server_start, call.server_micros);
        record.access_log_type = "NotSet";
        record.node = &self.to.name;
        record.listener = "virtualInbound";
        record.downstream_local = (self.to.address, self.called.port);
        record.downstream_remote = match call.outcome {
            Outcome::Tls(Tls::Expired) => (self.from.address, port(self.lane)),
            _ => (call.visitor, port(call.path_seed)),
        };
        record.downstream_failure = match call.outcome {
            Outcome::Tls(Tls::Expired) => Some(EXPIRED_DOWNSTREAM),
            Outcome::Tls(Tls::OldVersion) => Some(OLD_VERSION),
            Outcome::Tls(_) => Some(NO_CERTIFICATE),
            _ => (call.path_seed & 1 == 0).then_some(NO_CHAIN),
        };
        if call.outcome == Outcome::NoFilterChain {
            record.details = Some("filter_chain_not_found");
            record.flags = NR;
            record.connection_id = 0;
        } else {
            record.local_identity = Some(&self.to.identity);
            record.tls = true;
        }
        (record.bytes_received, record.bytes_sent) = (0, 0);
        record
    }

    /// What the client's sidecar sees of addresses.
    fn outbound(&self, record: &mut Record<'a>, connected: bool) {
        let Ends { called, from, .. } = self;
        record.node = &from.name;
        record.listener = "virtualOutbound";
        record.upstream_cluster = Some(&called.outbound_cluster);
        record.downstream_local = (called.address, called.port);
        record.downstream_remote = (from.address, port(mix(self.lane, 1)));
        if connected {
            record.upstream_local = Some((from.address, port(self.lane)));
            record.upstream_identity = Some(&self.to.identity);
        }
    }

    /// What the server's sidecar sees of addresses and of the client's certificate.
    fn inbound(&self, record: &mut Record<'a>) {
        let Ends { topology, called, from, to, .. } = self;
        record.node = &to.name;
        record.listener = "virtualInbound";
        record.upstream_cluster = Some(&called.inbound_cluster);
        record.server_name = Some(&called.server_name);
        record.downstream_local = (to.address, called.port);
        let remote = if self.far { topology.eastwest[to.cluster as usize] } else { from.address };
        record.downstream_remote = (remote, port(self.lane));
        let renewal = record.start_micros / RENEWAL_MICROS;
        record.peer = Some(Peer {
            identity: &from.identity,
            hash: mix(self.call.from.into(), renewal.unsigned_abs()),
            not_after_micros: renewal * RENEWAL_MICROS + LIFETIME_MICROS,
        });
        record.local_identity = Some(&to.identity);
        record.tls = true;
    }

    /// The host that the client's proxy connects to.
    fn upstream(&self) -> Address {
        if self.far {
            (self.topology.eastwest[self.to.cluster as usize], EASTWEST_PORT)
        } else {
            (self.to.address, self.called.port)
        }
    }

    /// Details and policy of a denial.
    fn denial(&self, rule: Rule) -> (&'a str, Option<&'a str>) {
        let denial = match rule {
            Rule::None => return ("rbac_access_denied_matched_policy[none]", None),
            Rule::Service => &self.called.deny,
            Rule::PaymentsViewer => &self.topology.payments_viewer,
            Rule::FrontendAllow => &self.topology.frontend_allow,
        };
        (&denial.details, Some(&denial.policy))
    }

    fn rbac(&self) -> Option<Rbac<'a>> {
        let called = self.called;
        let shadow = called.library.is_multiple_of(8);
        match self.call.outcome {
            // The token is checked before the policies.
            Outcome::Jwt(_) => None,
            Outcome::Denied(rule) => {
                Some(Rbac { policy: self.denial(rule).1, allowed: false, shadow })
            }
            _ => {
                let policy = &called.allow_policies
                    [self.from.service as usize % called.allow_policies.len()];
                Some(Rbac { policy: Some(policy), allowed: true, shadow })
            }
        }
    }

    fn http(&self, path: &'a [u8], start_micros: i64, micros: u32) -> Record<'a> {
        let Ends { topology, call, called, .. } = self;
        let mut record = self.blank(start_micros, micros);
        let grpc = called.wire == Wire::Grpc;
        record.access_log_type = "DownstreamEnd";
        record.authority = Some(if self.ingress { called.public_host } else { &called.authority });
        record.protocol = Some(if grpc { "HTTP/2" } else { "HTTP/1.1" });
        record.grpc = grpc.then_some(call.grpc);
        record.method = route(topology, call).map(|route| route.method);
        record.path = Some(path);
        record.request_id = Some(call.request_id);
        record.stream_id = Some(call.request_id);
        record.span_id = mix(call.path_seed, 9);
        record.user_agent = Some(self.agent(grpc));
        record.forwarded_for = self.ingress.then_some(call.visitor);
        record
    }

    fn tcp(&self, start_micros: i64, micros: u32) -> Record<'a> {
        let mut record = self.blank(start_micros, micros);
        record.access_log_type = "TcpConnectionEnd";
        record.stream_id = Some(crate::random::uuid(
            u128::from(self.call.path_seed) << 64 | u128::from(self.lane),
        ));
        record
    }

    fn agent(&self, grpc: bool) -> &'static str {
        let library = self.topology.service(self.call.from).library as usize;
        if matches!(self.call.route, RouteIndex::Export | RouteIndex::Cards) {
            return THIEF_AGENT;
        }
        if grpc {
            return GRPC_LIBRARIES[library % GRPC_LIBRARIES.len()];
        }
        // Most services pass on what the customer sent, as they do with the request id.
        if self.ingress || library % 4 < 3 {
            let agent = self.call.agent as usize;
            return BROWSERS.get(agent).unwrap_or_else(|| &LIBRARIES[agent % LIBRARIES.len()]);
        }
        LIBRARIES[library % LIBRARIES.len()]
    }

    fn blank(&self, start_micros: i64, micros: u32) -> Record<'a> {
        let call = self.call;
        Record {
            access_log_type: "NotSet",
            authority: None,
            bytes_received: call.bytes_in.into(),
            bytes_sent: call.bytes_out.into(),
            connection_id: u64::from(low32(self.lane) % 900_000) + 1,
            connection_termination_details: None,
            downstream_local: (0, 0),
            downstream_remote: (0, 0),
            downstream_failure: None,
            local_identity: None,
            peer: None,
            tls: false,
            duration_millis: u64::from(micros / 1_000),
            grpc: None,
            user: None,
            listener: "virtualInbound",
            method: None,
            node: "",
            path: None,
            protocol: None,
            rbac: None,
            request_id: None,
            server_name: None,
            status: 0,
            details: None,
            flags: NONE,
            route_name: None,
            start_micros,
            stream_id: None,
            span_id: 0,
            upstream_cluster: None,
            upstream_host: None,
            upstream_local: None,
            upstream_identity: None,
            upstream_millis: None,
            upstream_failure: None,
            user_agent: None,
            forwarded_for: None,
        }
    }
}

impl Grpc {
    /// As Envoy's `GRPC_STATUS` spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Grpc::Ok => "OK",
            Grpc::NotFound => "NotFound",
            Grpc::InvalidArgument => "InvalidArgument",
            Grpc::PermissionDenied => "PermissionDenied",
            Grpc::DeadlineExceeded => "DeadlineExceeded",
            Grpc::Unavailable => "Unavailable",
        }
    }
}

/// A client port.
fn port(bits: u64) -> u16 {
    32_768 + low16(scale(low32(bits), 28_000).into())
}
