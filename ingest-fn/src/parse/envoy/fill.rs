//! Fields of one Envoy record to columns.
//!
//! Each step either stores a value so that it can be read back exactly from its column, or also
//! writes it to `attributes` as it stood.

use std::borrow::Cow;

use common::event::{Decision, EventKind};

use super::Outcome;
use super::consul;
use super::keys::{self as k, Shape};
use super::network::Network;
use super::verdict::{Facts, Missing, TlsFailure, Verdict, decide};
use crate::parse::event::Row;
use crate::parse::fields as f;
use crate::parse::istio::{self, Direction};
use crate::parse::json::{Kind, Scanner, Slot};
use crate::parse::ocsf::http_activity;
use crate::parse::time;

/// gRPC status names as Envoy prints them, by number.
pub(super) const GRPC_NAMES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// Extended keys without a column of their own that are alike in many records.
const ATTRIBUTE_KEYS_OF_KIND: &[usize] = &[
    k::ACCESS_LOG_TYPE,
    k::DOWNSTREAM_PEER_SUBJECT,
    k::FILTER_CHAIN,
    k::KIND,
    k::LISTENER,
    k::NET_RBAC_META,
    k::NODE,
    k::RBAC_META,
];

/// The others.
const ATTRIBUTE_KEYS: &[usize] = &[k::JWT_PAYLOAD, k::TRACEPARENT, k::XFCC];

/// One record on its way into one row.
pub(super) struct Fill<'a, R> {
    pub(super) scanner: &'a Scanner,
    pub(super) record: &'a [u8],
    pub(super) shape: Shape,
    pub(super) given: Given,
    pub(super) columns: &'a mut R,
    pub(super) attributes: &'a mut Vec<u8>,
    /// The keys that may be looked at: bit `i` for key `i`. The others are as if they were missing.
    pub(super) visible: u64,
}

/// What else a record's kind depends on, beside the values of [`k::OF_KIND`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Given {
    pub(super) missing: Missing,
    /// A known key came twice.
    pub(super) repeated: bool,
    /// There is a path.
    pub(super) has_path: bool,
    /// A token says who called.
    pub(super) has_subject: bool,
}

impl<'a, R: Row> Fill<'a, R> {
    pub(super) fn slot(&self, key: usize) -> Slot {
        if self.visible & (1 << key) == 0 {
            return Slot::MISSING;
        }
        self.scanner.slot(key)
    }

    /// A text value; `None` where it is absent in any spelling or no text.
    pub(super) fn text(&self, key: usize) -> Option<Cow<'a, [u8]>> {
        let text = self.slot(key).text(self.record)?;
        (!is_absent(&text)).then_some(text)
    }

    /// An object's text; OTLP has objects as texts, and such a text is read as what it holds.
    fn object(&self, key: usize) -> Option<Cow<'a, [u8]>> {
        let slot = self.slot(key);
        match slot.kind {
            Kind::Nested => Some(Cow::Borrowed(slot.bytes(self.record))),
            _ => slot.text(self.record).filter(|text| text.starts_with(b"{")),
        }
    }

    /// Adds a field to `attributes`, behind a comma, as it stands in the record. Records that keep
    /// their text need no absent fields there.
    pub(super) fn attribute(&mut self, key: usize) {
        let slot = self.slot(key);
        let empty = matches!(slot.kind, Kind::Null | Kind::Missing);
        if slot.kind == Kind::Missing || (empty && self.shape == Shape::Sparse) {
            return;
        }
        let name = self.scanner.name(key);
        self.attributes.extend_from_slice(b",\"");
        self.attributes.extend_from_slice(name.as_bytes());
        self.attributes.extend_from_slice(b"\":");
        self.attributes.extend_from_slice(slot.json(self.record));
    }

    pub(super) fn attribute_unless_null(&mut self, key: usize) {
        if self.slot(key).kind != Kind::Null {
            self.attribute(key);
        }
    }

    /// A text field that its column holds as it is.
    pub(super) fn direct(&mut self, key: usize, column: usize) {
        match self.text(key) {
            Some(text) => self.columns.text(column, &text),
            None => self.attribute_unless_null(key),
        }
    }

    /// A whole number; `None` for everything else, as fractions and exponents.
    fn integer(&self, key: usize) -> Option<i64> {
        let slot = self.slot(key);
        (slot.kind == Kind::Number).then(|| canonical_integer(slot.bytes(self.record))).flatten()
    }

    /// A whole number times `scale` in a 64-bit column.
    fn count(&mut self, key: usize, column: usize, scale: i64) {
        match self.integer(key).and_then(|value| value.checked_mul(scale)) {
            Some(value) => return self.columns.int64(column, value),
            None => self.attribute_unless_null(key),
        }
        // Digits in quotes mean the same number; `attributes` says that they were quoted.
        let quoted = self.text(key).as_deref().and_then(canonical_integer);
        if let Some(value) = quoted.and_then(|value| value.checked_mul(scale)) {
            self.columns.int64(column, value);
        }
    }

    pub(super) fn times(&mut self, event_time_micros: i64) {
        self.columns.int64(f::EVENT_TIME, event_time_micros);
        let start_time = self.text(k::START_TIME);
        let canonical = start_time.as_deref().is_some_and(|text| match self.shape {
            Shape::Full => time::millis_text(event_time_micros).as_bytes() == text,
            _ => time::is_canonical_millis(text, event_time_micros),
        });
        if !canonical && self.slot(k::START_TIME).kind != Kind::Missing {
            self.attribute(k::START_TIME);
        }
        let start_us = self.text(k::START_US);
        if start_us.is_none_or(|text| !time::is_canonical_unix(&text, event_time_micros)) {
            self.attribute(k::START_US);
        }
    }

    fn response_code(&self) -> Option<i32> {
        let quoted = || self.text(k::RESPONSE_CODE).as_deref().and_then(canonical_integer);
        self.integer(k::RESPONSE_CODE).or_else(quoted).and_then(|code| i32::try_from(code).ok())
    }

    /// What was asked, as far as many requests ask alike.
    pub(super) fn request_kind(&mut self) {
        self.direct(k::METHOD, f::HTTP_METHOD);
        self.direct(k::AUTHORITY, f::HTTP_HOST);
        self.direct(k::ROUTE_NAME, f::ROUTE_NAME);
        if self.integer(k::RESPONSE_CODE).and_then(|code| i32::try_from(code).ok()).is_none() {
            self.attribute(k::RESPONSE_CODE);
        }
        if let Some(code) = self.response_code().filter(|&code| code != 0) {
            self.columns.int32(f::HTTP_STATUS, code);
        }
        self.grpc();
    }

    /// What this one request asked.
    pub(super) fn request(&mut self) {
        self.path();
        self.direct(k::USER_AGENT, f::USER_AGENT);
        self.direct(k::X_FORWARDED_FOR, f::X_FORWARDED_FOR);
        self.count(k::BYTES_RECEIVED, f::REQUEST_BYTES, 1);
        self.count(k::BYTES_SENT, f::RESPONSE_BYTES, 1);
        self.count(k::DURATION, f::DURATION_US, 1000);
        self.upstream_time();
        self.ids();
        match self.slot(k::CONNECTION_ID).kind {
            Kind::Number if self.integer(k::CONNECTION_ID).is_some() => {
                let digits = self.slot(k::CONNECTION_ID).bytes(self.record);
                self.columns.text(f::CONNECTION_ID, digits);
            }
            Kind::Text | Kind::Escaped => {
                if let Some(text) = self.text(k::CONNECTION_ID) {
                    self.columns.text(f::CONNECTION_ID, &text);
                }
                self.attribute(k::CONNECTION_ID);
            }
            _ => self.attribute_unless_null(k::CONNECTION_ID),
        }
    }

    /// Path and query from `path`, or from `path_nq` where that is all there is.
    fn path(&mut self) {
        let whole = self.text(k::PATH);
        let bare = self.text(k::PATH_NQ);
        let Some(text) = whole.as_deref().or(bare.as_deref()) else {
            self.attribute_unless_null(k::PATH);
            self.attribute_unless_null(k::PATH_NQ);
            return;
        };
        let question = memchr::memchr(b'?', text);
        let path = &text[..question.unwrap_or(text.len())];
        self.columns.text(f::URL_PATH, path);
        if let Some(at) = question {
            self.columns.text(f::URL_QUERY, &text[at + 1..]);
        }
        match (self.shape, &whole, &bare) {
            (Shape::Default, ..) => {}
            (Shape::Extended, ..) if question.is_none() => {}
            (Shape::Full, Some(_), Some(bare)) if bare.as_ref() == path => {}
            (Shape::Sparse, ..) => {}
            _ => {
                self.attribute(k::PATH);
                self.attribute(k::PATH_NQ);
            }
        }
    }

    fn upstream_time(&mut self) {
        let text = self.text(k::UPSTREAM_SERVICE_TIME);
        let micros = text.as_deref().and_then(canonical_integer).and_then(|v| v.checked_mul(1000));
        match micros {
            Some(micros) => return self.columns.int64(f::UPSTREAM_DURATION_US, micros),
            None => self.attribute_unless_null(k::UPSTREAM_SERVICE_TIME),
        }
        let number = self.integer(k::UPSTREAM_SERVICE_TIME).and_then(|v| v.checked_mul(1000));
        if let Some(micros) = number {
            self.columns.int64(f::UPSTREAM_DURATION_US, micros);
        }
    }

    fn grpc(&mut self) {
        let Some((number, is_name)) = self.grpc_status() else {
            return self.attribute_unless_null(k::GRPC_STATUS);
        };
        self.columns.int32(f::GRPC_STATUS, number);
        if !is_name {
            self.attribute_unless_null(k::GRPC_STATUS);
        }
    }

    /// The gRPC status, and whether Envoy's name of it stands there.
    fn grpc_status(&self) -> Option<(i32, bool)> {
        let text = self.text(k::GRPC_STATUS);
        let named = text
            .as_deref()
            .and_then(|text| (0i32..).zip(GRPC_NAMES).find(|(_, name)| name.as_bytes() == text));
        if let Some((number, _)) = named {
            return Some((number, true));
        }
        let digits = text.as_deref().and_then(canonical_integer);
        let number = digits.or_else(|| self.integer(k::GRPC_STATUS));
        let number = number.and_then(|n| i32::try_from(n).ok()).filter(|n| (0..=16).contains(n))?;
        Some((number, false))
    }

    /// Request, stream and trace ids.
    fn ids(&mut self) {
        let request = self.text(k::REQUEST_ID);
        let stream = self.text(k::STREAM_ID);
        match (&request, &stream) {
            (Some(request), Some(stream)) => {
                self.columns.text(f::REQUEST_ID, request);
                self.columns.text(f::CORRELATION_ID, stream);
            }
            (Some(only), None) => {
                self.columns.text(f::REQUEST_ID, only);
                self.attribute_unless_null(k::STREAM_ID);
            }
            (None, Some(only)) => {
                self.columns.text(f::REQUEST_ID, only);
                if self.shape == Shape::Full {
                    self.attribute(k::REQUEST_ID);
                    self.attribute(k::STREAM_ID);
                }
            }
            (None, None) => {
                self.attribute_unless_null(k::REQUEST_ID);
                self.attribute_unless_null(k::STREAM_ID);
            }
        }
        if self.shape == Shape::Default {
            return;
        }
        let trace = self.text(k::TRACE_ID);
        let parent = self.text(k::TRACEPARENT).map(|text| text.to_ascii_lowercase());
        let parsed = parent.as_deref().and_then(split_traceparent);
        let lower = trace.as_deref().map(<[u8]>::to_ascii_lowercase);
        let trace_id = lower.as_deref().filter(|id| is_lower_hex(id, 32));
        if let Some(id) = trace_id.or(parsed.map(|(id, _)| id)) {
            self.columns.text(f::TRACE_ID, id);
        }
        let exact = trace_id.is_some() && trace_id == trace.as_deref();
        if let Some((_, span)) = parsed {
            self.columns.text(f::SPAN_ID, span);
        }
        // With a traceparent, `trace_id` is rebuilt as null.
        if self.slot(k::TRACE_ID).kind != Kind::Null
            && (!exact || self.slot(k::TRACEPARENT).kind != Kind::Null)
        {
            self.attribute(k::TRACE_ID);
        }
    }

    /// Identities of both ends and certificates; returns the caller's, as far as it showed one.
    pub(super) fn identity(&mut self, direction: Option<Direction>) -> Option<Cow<'a, [u8]>> {
        if self.shape == Shape::Default {
            // None of these keys is among the default ones.
            return None;
        }
        let outbound = direction == Some(Direction::Outbound);
        let peer = self.text(k::DOWNSTREAM_PEER_URI_SAN);
        if outbound {
            self.attribute_unless_null(k::DOWNSTREAM_PEER_URI_SAN);
            self.attribute_unless_null(k::DOWNSTREAM_LOCAL_URI_SAN);
            self.san(k::UPSTREAM_PEER_URI_SAN, f::DST_IDENTITY);
        } else {
            self.attribute_unless_null(k::UPSTREAM_PEER_URI_SAN);
            self.san(k::DOWNSTREAM_LOCAL_URI_SAN, f::DST_IDENTITY);
            self.san(k::DOWNSTREAM_PEER_URI_SAN, f::SRC_IDENTITY);
            if let Some((namespace, account)) =
                peer.as_deref().map(first_san).and_then(istio::spiffe_workload)
            {
                self.columns.text(f::SRC_NAMESPACE, namespace);
                self.columns.text(f::SRC_WORKLOAD, account);
            } else if let Some(caller) =
                peer.as_deref().map(first_san).and_then(consul::spiffe_service)
            {
                self.columns.text(f::SRC_NAMESPACE, caller.namespace);
                self.columns.text(f::SRC_CLUSTER, caller.datacenter);
                self.columns.text(f::SRC_SERVICE, caller.name);
            }
        }
        self.certificate();
        self.tls_version(outbound);
        peer
    }

    fn san(&mut self, key: usize, column: usize) {
        let Some(text) = self.text(key) else { return self.attribute_unless_null(key) };
        let first = first_san(&text);
        self.columns.text(column, first);
        if first.len() != text.len() {
            self.attribute(key);
        }
    }

    fn certificate(&mut self) {
        if let Some(fingerprint) = self.text(k::DOWNSTREAM_PEER_FINGERPRINT_256) {
            self.columns.text(f::CREDENTIAL_ID, &fingerprint);
        }
        self.direct(k::DOWNSTREAM_PEER_FINGERPRINT_256, f::PEER_CERT_SHA256);
        self.direct(k::DOWNSTREAM_PEER_SERIAL, f::PEER_CERT_SERIAL);
        let end = self.text(k::DOWNSTREAM_PEER_CERT_V_END);
        let micros = end.as_deref().and_then(time::parse_rfc3339);
        if let Some(micros) = micros {
            self.columns.int64(f::PEER_CERT_NOT_AFTER, micros);
        }
        match (end, micros) {
            (Some(text), Some(micros)) if time::is_canonical_millis(&text, micros) => {}
            _ => self.attribute_unless_null(k::DOWNSTREAM_PEER_CERT_V_END),
        }
    }

    fn tls_version(&mut self, outbound: bool) {
        let down = self.text(k::DOWNSTREAM_TLS_VERSION);
        let up = self.text(k::UPSTREAM_TLS_VERSION);
        let chosen = down.as_deref().or(if outbound { up.as_deref() } else { None });
        if let Some(version) = chosen {
            self.columns.text(f::TLS_VERSION, &version.to_ascii_lowercase());
        }
        let exact = down.as_deref().is_some_and(|text| {
            text.strip_prefix(b"TLSv").is_some_and(|rest| !rest.iter().any(u8::is_ascii_uppercase))
        });
        let rebuilt_null =
            chosen.is_none() && self.slot(k::DOWNSTREAM_TLS_VERSION).kind == Kind::Null;
        if !exact && !rebuilt_null {
            self.attribute(k::DOWNSTREAM_TLS_VERSION);
        }
        self.attribute_unless_null(k::UPSTREAM_TLS_VERSION);
        self.direct(k::DOWNSTREAM_TLS_CIPHER, f::TLS_CIPHER);
    }

    /// Claims of a verified token, its subject being the principal; returns whether it has one.
    pub(super) fn token(&mut self, jwt: &mut Scanner) -> bool {
        if self.shape == Shape::Default {
            // None of these keys is among the default ones.
            return false;
        }
        let named = self.text(k::JWT_SUB);
        let payload = self.object(k::JWT_PAYLOAD);
        let mut claimed = None;
        if let Some(text) = payload.as_deref()
            && jwt.scan(text, false).is_ok()
        {
            claimed = jwt.slot(k::jwt::SUBJECT).text(text).filter(|text| !is_absent(text));
            if named.is_some() || claimed.is_some() {
                self.claims(jwt, text);
            }
        }
        let from_payload = named.is_none() && claimed.is_some();
        let subject = named.or(claimed);
        if let Some(subject) = subject.as_deref() {
            self.columns.text(f::JWT_SUBJECT, subject);
            self.columns.text(f::PRINCIPAL, subject);
            self.columns.text(f::PRINCIPAL_TYPE, b"user");
            self.columns.text(f::PRINCIPAL_SOURCE, b"jwt");
            if subject.contains(&b'@') {
                self.columns.text(f::USER_EMAIL, subject);
            }
        }
        if from_payload {
            self.attribute(k::JWT_SUB);
        } else if subject.is_none() {
            self.attribute_unless_null(k::JWT_SUB);
        }
        subject.is_some()
    }

    /// Issuer and groups of the subject.
    fn claims(&mut self, jwt: &Scanner, text: &[u8]) {
        if let Some(issuer) = jwt.slot(k::jwt::ISSUER).text(text) {
            self.columns.text(f::JWT_ISSUER, &issuer);
        }
        let groups = jwt.slot(k::jwt::GROUPS);
        if let Ok(groups) = serde_json::from_slice::<Vec<String>>(groups.bytes(text)) {
            self.columns.list(f::USER_GROUPS, groups.iter().map(String::as_bytes));
        }
    }

    /// The verdict and everything that follows from it.
    pub(super) fn verdict(&mut self, network: &Network, rbac: &mut Scanner) -> Outcome {
        let meta = self.object(k::RBAC_META).filter(|meta| rbac.scan(meta, false).is_ok());
        let claim = |key: usize| {
            meta.as_deref().and_then(|meta| rbac.slot(key).text(meta)).filter(|t| !is_absent(t))
        };
        let details = self.text(k::RESPONSE_CODE_DETAILS);
        let termination = self.text(k::CONNECTION_TERMINATION_DETAILS);
        let flags = self.text(k::RESPONSE_FLAGS);
        let upstream_failure = self.text(k::UPSTREAM_TRANSPORT_FAILURE_REASON);
        let downstream_failure = self.text(k::DOWNSTREAM_TRANSPORT_FAILURE_REASON);
        let upstream_host = self.text(k::UPSTREAM_HOST);
        let enforced_result = claim(k::rbac::ENFORCED_RESULT);
        let enforced_policy = claim(k::rbac::ENFORCED_POLICY_ID);
        let ext_authz_policy = claim(k::rbac::EXT_AUTHZ_POLICY_ID);
        let log_type = self.text(k::ACCESS_LOG_TYPE);
        let ended_without_host = self.slot(k::UPSTREAM_HOST).kind == Kind::Missing
            && log_type.as_deref() == Some(b"TcpConnectionEnd");
        let is_http = self.given.has_path
            || [k::METHOD, k::PROTOCOL].iter().any(|&key| self.text(key).is_some());
        let verdict = decide(&Facts {
            details: details.as_deref(),
            termination: termination.as_deref(),
            flags: flags.as_deref(),
            upstream_failure: upstream_failure.as_deref(),
            downstream_failure: downstream_failure.as_deref(),
            upstream_host: upstream_host.as_deref(),
            is_http,
            ended_without_host,
            is_listener: log_type.as_deref() == Some(b"NotSet"),
            status: self.response_code(),
            grpc_failed: self.grpc_status().is_some_and(|(number, _)| number != 0),
            ext_authz_policy: ext_authz_policy.as_deref(),
            enforced_result: enforced_result.as_deref(),
            enforced_policy: enforced_policy.as_deref(),
            missing: self.given.missing,
        });
        self.reason(details.as_deref(), termination.as_deref());
        self.flags(flags.as_deref());
        let mesh_of_policy = self.policy(&verdict);
        self.tls(verdict.tls.as_ref(), upstream_failure.as_deref());
        self.shadow(&claim);
        let mesh = if network.is_consul || mesh_of_policy == Some(consul::MESH) {
            consul::MESH
        } else if network.is_istio {
            "istio"
        } else {
            mesh_of_policy.unwrap_or("envoy")
        };
        self.columns.text(f::MESH, mesh.as_bytes());
        let kind = self.kind(&verdict);
        self.classes(kind, &verdict);
        let downstream_tls_failed = verdict.tls.is_some_and(|tls| tls.side == "downstream");
        Outcome { kind, downstream_tls_failed }
    }

    /// The source's own words: details, else how the connection ended.
    fn reason(&mut self, details: Option<&[u8]>, termination: Option<&[u8]>) {
        if let Some(text) = details.or(termination) {
            self.columns.text(f::DECISION_REASON, text);
        }
        if details.is_none() && termination.is_some() {
            // Rebuilding takes decision_reason for the details.
            self.attribute(k::RESPONSE_CODE_DETAILS);
        } else if details.is_none() {
            self.attribute_unless_null(k::RESPONSE_CODE_DETAILS);
        }
        self.attribute_unless_null(k::CONNECTION_TERMINATION_DETAILS);
    }

    fn flags(&mut self, flags: Option<&[u8]>) {
        let items = flags.unwrap_or_default().split(|&b| b == b',').filter(|one| !one.is_empty());
        self.columns.list(f::RESPONSE_FLAGS, items);
        let slot = self.slot(k::RESPONSE_FLAGS);
        let dash = |slot: Slot, record| slot.kind == Kind::Text && slot.bytes(record) == b"-";
        let joined = flags.is_some_and(|flags| flags.split(|&b| b == b',').all(|f| !f.is_empty()));
        if !joined && !dash(slot, self.record) {
            self.attribute(k::RESPONSE_FLAGS);
        }
        let long = self.slot(k::RESPONSE_FLAGS_LONG);
        if flags.is_some() || !dash(long, self.record) {
            self.attribute(k::RESPONSE_FLAGS_LONG);
        }
    }

    /// Fills decision and policy; returns the mesh that names policies in this way.
    fn policy(&mut self, verdict: &Verdict<'_>) -> Option<&'static str> {
        self.columns.text(f::DECISION, verdict.decision.as_str().as_bytes());
        if verdict.decision != Decision::Unknown {
            self.columns.text(f::DECISION_SOURCE, verdict.source.as_str().as_bytes());
        }
        let rule = verdict.policy?;
        self.columns.text(f::POLICY_RULE, rule);
        if let Some(index) = consul::intention(rule) {
            self.columns.text(f::POLICY_KIND, consul::POLICY_KIND);
            if let Some(index) = index {
                self.columns.int32(f::POLICY_RULE_INDEX, index);
            }
            return Some(consul::MESH);
        }
        let id = istio::policy_id(rule)?;
        self.columns.text(f::POLICY_KIND, b"AuthorizationPolicy");
        self.columns.text(f::POLICY_NAMESPACE, id.namespace);
        self.columns.text(f::POLICY_NAME, id.name);
        self.columns.int32(f::POLICY_RULE_INDEX, id.rule_index);
        Some("istio")
    }

    fn tls(&mut self, failure: Option<&TlsFailure<'_>>, upstream_failure: Option<&[u8]>) {
        self.columns.bool(f::TLS_FAILURE, failure.is_some());
        if let Some(failure) = failure {
            self.columns.text(f::TLS_FAILURE_SIDE, failure.side.as_bytes());
            self.columns.text(f::TLS_FAILURE_REASON, failure.reason.as_str().as_bytes());
            self.columns.text(f::TLS_FAILURE_DETAIL, failure.detail);
        }
        // Rebuilt from the column: the upstream reason of an upstream failure.
        let upstream = failure.filter(|failure| failure.side == "upstream");
        match (upstream, upstream_failure) {
            (Some(failure), Some(text)) if failure.detail == text => {}
            (Some(_), _) => self.attribute(k::UPSTREAM_TRANSPORT_FAILURE_REASON),
            (None, _) => self.attribute_unless_null(k::UPSTREAM_TRANSPORT_FAILURE_REASON),
        }
        self.attribute_unless_null(k::DOWNSTREAM_TRANSPORT_FAILURE_REASON);
    }

    /// What rules in dry run would have decided: a request gets through if neither engine denies.
    fn shadow<'c>(&mut self, claim: &dyn Fn(usize) -> Option<Cow<'c, [u8]>>) {
        let engines = [
            (k::rbac::DENY_SHADOW_RESULT, k::rbac::DENY_SHADOW_POLICY_ID),
            (k::rbac::ALLOW_SHADOW_RESULT, k::rbac::ALLOW_SHADOW_POLICY_ID),
        ]
        .map(|(result, policy)| (claim(result), policy));
        for (said, decision) in
            [(&b"denied"[..], Decision::Deny), (&b"allowed"[..], Decision::Allow)]
        {
            let mut who = engines
                .iter()
                .filter(|(result, _)| result.as_deref() == Some(said))
                .map(|(_, policy)| claim(*policy))
                .peekable();
            if who.peek().is_none() {
                continue;
            }
            self.columns.text(f::SHADOW_DECISION, decision.as_str().as_bytes());
            if let Some(policy) = who.flatten().next() {
                self.columns.text(f::SHADOW_POLICY_RULE, &policy);
            }
            return;
        }
    }

    fn kind(&self, verdict: &Verdict<'_>) -> EventKind {
        let log_type = self.text(k::ACCESS_LOG_TYPE);
        let method = self.text(k::METHOD).is_some();
        let protocol = self.text(k::PROTOCOL).is_some();
        let no_chain = verdict
            .tls
            .is_some_and(|tls| tls.reason == common::event::TlsFailureReason::NoFilterChain);
        let listener_failure = !method && verdict.tls.is_some_and(|tls| tls.side == "downstream");
        if log_type.as_deref() == Some(b"NotSet") || no_chain || listener_failure {
            EventKind::TlsHandshake
        } else if log_type.as_deref() == Some(b"TcpConnectionEnd") {
            EventKind::TcpConnection
        } else if method
            || log_type.as_deref() == Some(b"DownstreamEnd")
            || (protocol && self.response_code().is_some_and(|code| code >= 400))
        {
            EventKind::HttpRequest
        } else {
            EventKind::TcpConnection
        }
    }

    fn classes(&mut self, kind: EventKind, verdict: &Verdict<'_>) {
        self.columns.text(f::EVENT_KIND, kind.as_str().as_bytes());
        let (class, activity) = match (kind, verdict.decision) {
            (EventKind::HttpRequest, _) => (4002, http_activity(self.text(k::METHOD).as_deref())),
            (_, Decision::Deny) => (4001, 5),
            (_, Decision::Allow) => (4001, 6),
            (EventKind::TcpConnection, Decision::Unknown) => (4001, 99),
            _ => (4001, 4),
        };
        self.columns.int32(f::OCSF_CLASS_UID, class);
        self.columns.int32(f::OCSF_ACTIVITY_ID, activity);
        let severity = match verdict.decision {
            _ if verdict.tls.is_some() => 3,
            Decision::Deny => 3,
            Decision::Allow => 1,
            Decision::Error | Decision::Unknown => 2,
        };
        self.columns.int32(f::SEVERITY_ID, severity);
    }

    /// The best answer to "who" where no token says it, with where it was taken from.
    pub(super) fn principal(&mut self, peer: Option<&[u8]>, outcome: &Outcome) {
        let failed = outcome.downstream_tls_failed;
        if let Some(peer) = peer.map(first_san).filter(|_| !self.given.has_subject) {
            self.columns.text(f::PRINCIPAL, peer);
            self.columns.text(f::PRINCIPAL_TYPE, b"workload");
            // A peer whose handshake failed said who it is, and nobody checked.
            let source = if failed { "unverified" } else { "mtls" };
            self.columns.text(f::PRINCIPAL_SOURCE, source.as_bytes());
        }
        let is_default = self.shape == Shape::Default;
        if !is_default && self.slot(k::DOWNSTREAM_PEER_URI_SAN).kind != Kind::Missing {
            self.columns.bool(f::MTLS, peer.is_some() && !failed);
        }
    }

    pub(super) fn protocol(&mut self, kind: EventKind) {
        match self.text(k::PROTOCOL) {
            Some(_) if kind == EventKind::TcpConnection => {
                self.columns.text(f::NETWORK_PROTOCOL, b"tcp");
                self.attribute(k::PROTOCOL);
            }
            Some(text) => {
                let lower: Cow<'_, [u8]> = match &*text {
                    b"HTTP/1.1" => Cow::Borrowed(b"http/1.1"),
                    b"HTTP/2" => Cow::Borrowed(b"http/2"),
                    other => Cow::Owned(other.to_ascii_lowercase()),
                };
                self.columns.text(f::NETWORK_PROTOCOL, &lower);
                let exact = lower.starts_with(b"http/") && !text.iter().any(u8::is_ascii_lowercase);
                if !exact {
                    self.attribute(k::PROTOCOL);
                }
            }
            None => {
                if kind != EventKind::HttpRequest {
                    self.columns.text(f::NETWORK_PROTOCOL, b"tcp");
                }
                self.attribute_unless_null(k::PROTOCOL);
            }
        }
    }

    /// Fields without a column that are alike in many records.
    pub(super) fn leftovers_of_kind(&mut self) {
        if self.shape != Shape::Default {
            // None of these keys is among the default ones.
            ATTRIBUTE_KEYS_OF_KIND.iter().for_each(|&key| self.attribute_unless_null(key));
        }
    }

    /// Other fields without a column, known and unknown.
    pub(super) fn leftovers(&mut self) {
        if self.shape != Shape::Default {
            ATTRIBUTE_KEYS.iter().for_each(|&key| self.attribute_unless_null(key));
        }
        for (key, value) in self.scanner.extras(self.record) {
            self.attributes.push(b',');
            self.attributes.extend_from_slice(key);
            self.attributes.push(b':');
            self.attributes.extend_from_slice(value);
        }
    }
}

/// The spellings of "absent" that are text.
fn is_absent(text: &[u8]) -> bool {
    matches!(text, b"" | b"-")
}

/// A whole number without sign, leading zeros or exponent, that fits.
pub(super) fn canonical_integer(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > 19 || (text[0] == b'0' && text.len() > 1) {
        return None;
    }
    text.iter().try_fold(0i64, |value, &byte| {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// The first of several identities in one certificate.
fn first_san(text: &[u8]) -> &[u8] {
    &text[..memchr::memchr(b',', text).unwrap_or(text.len())]
}

fn is_lower_hex(text: &[u8], length: usize) -> bool {
    text.len() == length && text.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Trace and span id of a W3C traceparent header.
fn split_traceparent(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if text.len() < 55 || text[2] != b'-' || text[35] != b'-' || text[52] != b'-' {
        return None;
    }
    let (trace, span) = (&text[3..35], &text[36..52]);
    (is_lower_hex(trace, 32) && is_lower_hex(span, 16)).then_some((trace, span))
}
