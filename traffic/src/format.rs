//! The JSON of a record: keys sorted, as Envoy writes them. Key and punctuation are one constant
//! each, values are copied; nothing is escaped here, since every text in use already is.

use crate::config::Format;
use crate::plan::{Plan, Side};
use crate::random::{mix, uuid};
use crate::record::{self, Address, Peer, Rbac, Record};
use crate::topology::Topology;
use crate::write;

/// No record is longer; reserving it once saves checks along the way.
const RECORD_BYTES_MAX: usize = 4_096;

/// Appends the line of a plan. `path` is a buffer to be used again.
pub(crate) fn line(
    topology: &Topology,
    plan: &Plan,
    format: Format,
    path: &mut Vec<u8>,
    out: &mut Vec<u8>,
) {
    record::render_path(topology, plan, path);
    let record = record::record(topology, plan, path);
    out.reserve(RECORD_BYTES_MAX);
    let mut json = Json { out };
    let extended = match format {
        Format::IstioDefault => false,
        Format::Extended => true,
        Format::Mixed => plan.side != Side::Client,
    };
    if extended { json.extended(&record) } else { json.istio_default(&record) }
}

struct Json<'a> {
    out: &'a mut Vec<u8>,
}

impl Json<'_> {
    /// The 24 keys of Istio's default format.
    fn istio_default(&mut self, r: &Record<'_>) {
        self.text("{\"authority\":", r.authority);
        self.number(",\"bytes_received\":", r.bytes_received);
        self.number(",\"bytes_sent\":", r.bytes_sent);
        self.text(",\"connection_termination_details\":", r.connection_termination_details);
        self.address(",\"downstream_local_address\":", Some(r.downstream_local));
        self.address(",\"downstream_remote_address\":", Some(r.downstream_remote));
        self.number(",\"duration\":", r.duration_millis);
        self.text(",\"method\":", r.method);
        self.path(",\"path\":", r.path);
        self.text(",\"protocol\":", r.protocol);
        self.uuid(",\"request_id\":", r.request_id);
        self.text(",\"requested_server_name\":", r.server_name);
        self.number(",\"response_code\":", r.status.into());
        self.text(",\"response_code_details\":", r.details);
        self.text(",\"response_flags\":", Some(r.flags.short));
        self.text(",\"route_name\":", r.route_name);
        self.time(",\"start_time\":", r.start_micros);
        self.upstream(r, false);
        self.raw("}\n");
    }

    /// The 53 keys of the extended format.
    fn extended(&mut self, r: &Record<'_>) {
        self.text("{\"access_log_type\":", Some(r.access_log_type));
        self.text(",\"authority\":", r.authority);
        self.number(",\"bytes_received\":", r.bytes_received);
        self.number(",\"bytes_sent\":", r.bytes_sent);
        self.number(",\"connection_id\":", r.connection_id);
        self.text(",\"connection_termination_details\":", r.connection_termination_details);
        self.downstream(r);
        self.number(",\"duration\":", r.duration_millis);
        self.text(",\"filter_chain\":", r.local_identity.map(|_| "virtualInbound"));
        self.text(",\"grpc_status\":", r.grpc.map(|status| status.name()));
        self.user(r);
        self.text(",\"kind\":", Some("ext"));
        self.text(",\"listener\":", Some(r.listener));
        self.text(",\"method\":", r.method);
        self.raw(",\"net_rbac_meta\":null");
        self.text(",\"node\":", Some(r.node));
        self.path(",\"path\":", r.path);
        self.path(",\"path_nq\":", r.path.and_then(|path| path.split(|&byte| byte == b'?').next()));
        self.text(",\"protocol\":", r.protocol);
        self.rbac(r.rbac);
        self.uuid(",\"request_id\":", r.request_id);
        self.text(",\"requested_server_name\":", r.server_name);
        self.number(",\"response_code\":", r.status.into());
        self.text(",\"response_code_details\":", r.details);
        self.text(",\"response_flags\":", Some(r.flags.short));
        self.text(",\"response_flags_long\":", Some(r.flags.long));
        self.text(",\"route_name\":", r.route_name);
        self.time(",\"start_time\":", r.start_micros);
        self.raw(",\"start_us\":\"");
        write::seconds(self.out, r.start_micros);
        self.raw("\"");
        self.uuid(",\"stream_id\":", r.stream_id);
        self.raw(",\"trace_id\":null");
        self.trace(r);
        self.upstream(r, true);
        self.forwarded_certificate(r);
        self.raw("}\n");
    }

    /// From `upstream_cluster` to `x_forwarded_for`: almost the same in both formats.
    fn upstream(&mut self, r: &Record<'_>, extended: bool) {
        self.text(",\"upstream_cluster\":", r.upstream_cluster);
        self.address(",\"upstream_host\":", r.upstream_host);
        self.address(",\"upstream_local_address\":", r.upstream_local);
        if extended {
            self.text(",\"upstream_peer_uri_san\":", r.upstream_identity);
        }
        match r.upstream_millis {
            Some(millis) => {
                self.number(",\"upstream_service_time\":\"", millis);
                self.raw("\"");
            }
            None => self.raw(",\"upstream_service_time\":null"),
        }
        if extended {
            self.text(",\"upstream_tls_version\":", r.upstream_identity.map(|_| "TLSv1.3"));
        }
        self.text(",\"upstream_transport_failure_reason\":", r.upstream_failure);
        self.text(",\"user_agent\":", r.user_agent);
        match r.forwarded_for {
            Some(address) => {
                self.raw(",\"x_forwarded_for\":\"");
                write::ip(self.out, address);
                self.raw("\"");
            }
            None => self.raw(",\"x_forwarded_for\":null"),
        }
    }

    fn downstream(&mut self, r: &Record<'_>) {
        self.address(",\"downstream_local_address\":", Some(r.downstream_local));
        self.text(",\"downstream_local_uri_san\":", r.local_identity);
        match r.peer {
            Some(peer) => {
                self.time(",\"downstream_peer_cert_v_end\":", peer.not_after_micros);
                self.raw(",\"downstream_peer_fingerprint_256\":\"");
                self.fingerprint(peer);
                self.raw("\",\"downstream_peer_serial\":\"");
                write::hex64(self.out, mix(peer.hash, 5));
                write::hex64(self.out, mix(peer.hash, 6));
                self.raw("\",\"downstream_peer_subject\":null");
            }
            None => self.raw(
                ",\"downstream_peer_cert_v_end\":null,\"downstream_peer_fingerprint_256\":null\
                 ,\"downstream_peer_serial\":null,\"downstream_peer_subject\":null",
            ),
        }
        self.text(",\"downstream_peer_uri_san\":", r.peer.map(|peer| peer.identity));
        self.address(",\"downstream_remote_address\":", Some(r.downstream_remote));
        self.text(",\"downstream_tls_cipher\":", r.tls.then_some("TLS_AES_256_GCM_SHA384"));
        self.text(",\"downstream_tls_version\":", r.tls.then_some("TLSv1.3"));
        self.text(",\"downstream_transport_failure_reason\":", r.downstream_failure);
    }

    fn fingerprint(&mut self, peer: Peer<'_>) {
        for k in 1..=4 {
            write::hex64(self.out, mix(peer.hash, k));
        }
    }

    fn user(&mut self, r: &Record<'_>) {
        let Some(user) = r.user else { return self.raw(",\"jwt_payload\":null,\"jwt_sub\":null") };
        // Tokens live for an hour and are a few minutes old.
        let issued = (r.start_micros / 1_000_000).unsigned_abs() - u64::from(user % 3_000);
        self.number(",\"jwt_payload\":{\"aud\":\"shop\",\"exp\":", issued + 3_600);
        self.number(",\"groups\":[\"customers\"],\"iat\":", issued);
        self.number(",\"iss\":\"https://idp.shop.example\",\"sub\":\"customer-", user.into());
        self.number("@example.com\"},\"jwt_sub\":\"customer-", user.into());
        self.raw("@example.com\"");
    }

    fn rbac(&mut self, rbac: Option<Rbac<'_>>) {
        let Some(rbac) = rbac else { return self.raw(",\"rbac_meta\":null") };
        self.raw(",\"rbac_meta\":{");
        if let Some(policy) = rbac.policy {
            self.text("\"enforced_effective_policy_id\":", Some(policy));
            self.raw(",");
        }
        self.text(
            "\"enforced_engine_result\":",
            Some(if rbac.allowed { "allowed" } else { "denied" }),
        );
        self.raw(if rbac.shadow {
            ",\"istio_dry_run_deny_shadow_engine_result\":\"allowed\"}"
        } else {
            "}"
        });
    }

    fn trace(&mut self, r: &Record<'_>) {
        let Some(id) = r.request_id else { return self.raw(",\"traceparent\":null") };
        let bytes = id.to_le_bytes();
        let [low, high] = [&bytes[..8], &bytes[8..]]
            .map(|half| half.iter().fold(0, |x, &b| x << 8 | u64::from(b)));
        self.raw(",\"traceparent\":\"00-");
        write::hex64(self.out, mix(high, 21));
        write::hex64(self.out, mix(low, 22));
        self.raw("-");
        write::hex64(self.out, r.span_id);
        self.raw("-01\"");
    }

    fn forwarded_certificate(&mut self, r: &Record<'_>) {
        let (Some(peer), Some(identity), Some(_)) = (r.peer, r.local_identity, r.method) else {
            return self.raw(",\"xfcc\":null");
        };
        self.raw(",\"xfcc\":\"By=");
        self.raw(identity);
        self.raw(";Hash=");
        self.fingerprint(peer);
        self.raw(";Subject=\\\"\\\";URI=");
        self.raw(peer.identity);
        self.raw("\"");
    }

    #[inline]
    fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    #[inline]
    fn text(&mut self, key: &str, value: Option<&str>) {
        self.path(key, value.map(str::as_bytes));
    }

    #[inline]
    fn path(&mut self, key: &str, value: Option<&[u8]>) {
        self.raw(key);
        match value {
            Some(value) => {
                self.out.push(b'"');
                self.out.extend_from_slice(value);
                self.out.push(b'"');
            }
            None => self.raw("null"),
        }
    }

    #[inline]
    fn number(&mut self, key: &str, value: u64) {
        self.raw(key);
        write::number(self.out, value);
    }

    #[inline]
    fn address(&mut self, key: &str, value: Option<Address>) {
        self.raw(key);
        match value {
            Some((address, port)) => {
                self.out.push(b'"');
                write::address(self.out, address, port);
                self.out.push(b'"');
            }
            None => self.raw("null"),
        }
    }

    #[inline]
    fn time(&mut self, key: &str, micros: i64) {
        self.raw(key);
        self.out.push(b'"');
        write::time(self.out, micros);
        self.out.push(b'"');
    }

    #[inline]
    fn uuid(&mut self, key: &str, id: Option<u128>) {
        self.raw(key);
        match id {
            Some(id) => {
                self.out.push(b'"');
                write::uuid(self.out, uuid(id));
                self.out.push(b'"');
            }
            None => self.raw("null"),
        }
    }
}
