//! A row back to the record it was made from, equal value by value; white space and key order
//! aside.

use super::fill::GRPC_NAMES;
use super::keys::{self as k, Shape};
use crate::parse::fields as f;
use crate::parse::time;
use crate::rebuild::{Columns, Object, attributes, is_key, quote};

/// The record of a row without `raw` as JSON text; `None` if the row does not say what keys the
/// record had.
pub(crate) fn rebuild(row: &impl Columns) -> Option<String> {
    let keys = match row.text(f::RECORD_SHAPE)? {
        "default" => k::DEFAULT_KEYS,
        "extended" => k::EXTENDED_KEYS,
        "full" => k::FULL_KEYS,
        _ => return None,
    };
    let kept = attributes(row)?;
    let is_kept = |name: &str| kept.iter().any(|(key, _)| is_key(key, name));
    let values = Values { row, has_parent: is_kept("traceparent") };
    let mut out = Object::default();
    for (index, name) in k::NAMES.iter().enumerate() {
        if keys & (1 << index) != 0 && !is_kept(name) {
            let value = values.field(index, Shape::of(keys)).unwrap_or_else(|| "null".to_owned());
            out.push(&quote(name), &value);
        }
    }
    for (key, value) in kept {
        out.push(key, value);
    }
    Some(out.finish())
}

struct Values<'a, R> {
    row: &'a R,
    /// `attributes` has a traceparent.
    has_parent: bool,
}

impl<'a, R: Columns> Values<'a, R> {
    fn text(&self, column: usize) -> Option<&'a str> {
        self.row.text(column)
    }

    fn int(&self, column: usize) -> Option<i64> {
        self.row.int(column)
    }

    fn quoted(&self, column: usize) -> Option<String> {
        self.text(column).map(quote)
    }

    fn outbound(&self) -> bool {
        self.text(f::DIRECTION) == Some("outbound")
    }

    /// The JSON text of a key that `attributes` does not hold; `None` means `null`.
    fn field(&self, key: usize, shape: Shape) -> Option<String> {
        match key {
            k::AUTHORITY => self.quoted(f::HTTP_HOST),
            k::BYTES_RECEIVED => self.int(f::REQUEST_BYTES).map(|v| v.to_string()),
            k::BYTES_SENT => self.int(f::RESPONSE_BYTES).map(|v| v.to_string()),
            k::DURATION => self.int(f::DURATION_US).map(|v| (v / 1000).to_string()),
            k::METHOD => self.quoted(f::HTTP_METHOD),
            k::REQUESTED_SERVER_NAME => self.quoted(f::TLS_SNI),
            k::RESPONSE_CODE => Some(self.int(f::HTTP_STATUS).unwrap_or(0).to_string()),
            k::RESPONSE_CODE_DETAILS => self.quoted(f::DECISION_REASON),
            k::RESPONSE_FLAGS => Some(quote(&self.flags()?)),
            k::RESPONSE_FLAGS_LONG => Some(quote("-")),
            k::ROUTE_NAME => self.quoted(f::ROUTE_NAME),
            k::UPSTREAM_CLUSTER => self.quoted(f::UPSTREAM_CLUSTER),
            k::UPSTREAM_HOST => self.quoted(f::UPSTREAM_HOST),
            k::UPSTREAM_LOCAL_ADDRESS => self.quoted(f::UPSTREAM_LOCAL_ADDRESS),
            k::UPSTREAM_SERVICE_TIME => {
                self.int(f::UPSTREAM_DURATION_US).map(|v| quote(&(v / 1000).to_string()))
            }
            k::USER_AGENT => self.quoted(f::USER_AGENT),
            k::X_FORWARDED_FOR => self.quoted(f::X_FORWARDED_FOR),
            k::START_TIME => self.int(f::EVENT_TIME).map(|at| quote(&time::millis_text(at))),
            k::START_US => self.int(f::EVENT_TIME).map(|at| quote(&time::unix_text(at))),
            k::PATH => self.path(true),
            k::PATH_NQ => self.path(false),
            k::PROTOCOL => self
                .text(f::NETWORK_PROTOCOL)
                .filter(|text| *text != "tcp")
                .map(|text| quote(&text.to_ascii_uppercase())),
            k::REQUEST_ID => self.quoted(f::REQUEST_ID),
            k::STREAM_ID if shape == Shape::Extended => self.quoted(f::REQUEST_ID),
            k::STREAM_ID => self.quoted(f::CORRELATION_ID),
            k::CONNECTION_ID => self.text(f::CONNECTION_ID).map(str::to_owned),
            _ => self.peer_field(key),
        }
    }

    fn peer_field(&self, key: usize) -> Option<String> {
        match key {
            k::DOWNSTREAM_LOCAL_ADDRESS => self.local_address(),
            k::DOWNSTREAM_REMOTE_ADDRESS => {
                address(self.text(f::SRC_IP)?, self.int(f::SRC_PORT).unwrap_or(0))
            }
            k::UPSTREAM_TRANSPORT_FAILURE_REASON => {
                let upstream = self.text(f::TLS_FAILURE_SIDE) == Some("upstream");
                upstream.then(|| self.quoted(f::TLS_FAILURE_DETAIL)).flatten()
            }
            k::DOWNSTREAM_LOCAL_URI_SAN if !self.outbound() => self.quoted(f::DST_IDENTITY),
            k::DOWNSTREAM_PEER_URI_SAN if !self.outbound() => self.quoted(f::SRC_IDENTITY),
            k::UPSTREAM_PEER_URI_SAN if self.outbound() => self.quoted(f::DST_IDENTITY),
            k::DOWNSTREAM_PEER_CERT_V_END => {
                self.int(f::PEER_CERT_NOT_AFTER).map(|at| quote(&time::millis_text(at)))
            }
            k::DOWNSTREAM_PEER_FINGERPRINT_256 => self.quoted(f::PEER_CERT_SHA256),
            k::DOWNSTREAM_PEER_SERIAL => self.quoted(f::PEER_CERT_SERIAL),
            k::DOWNSTREAM_TLS_CIPHER => self.quoted(f::TLS_CIPHER),
            k::DOWNSTREAM_TLS_VERSION => {
                let version = self.text(f::TLS_VERSION)?;
                Some(quote(&format!("TLSv{}", version.strip_prefix("tlsv")?)))
            }
            k::GRPC_STATUS => {
                let number = usize::try_from(self.int(f::GRPC_STATUS)?).ok()?;
                GRPC_NAMES.get(number).map(|name| quote(name))
            }
            k::JWT_SUB => self.quoted(f::JWT_SUBJECT),
            k::TRACE_ID => {
                // With a traceparent, which then stands in `attributes`, it was null.
                if self.has_parent { None } else { self.quoted(f::TRACE_ID) }
            }
            _ => None,
        }
    }

    fn flags(&self) -> Option<String> {
        let flags = self.row.list(f::RESPONSE_FLAGS)?;
        Some(if flags.is_empty() { "-".to_owned() } else { flags.join(",") })
    }

    fn path(&self, with_query: bool) -> Option<String> {
        let path = self.text(f::URL_PATH)?;
        match self.text(f::URL_QUERY).filter(|_| with_query) {
            Some(query) => Some(quote(&format!("{path}?{query}"))),
            None => Some(quote(path)),
        }
    }

    fn local_address(&self) -> Option<String> {
        if let Some(verbatim) = self.quoted(f::DOWNSTREAM_LOCAL_ADDRESS) {
            return Some(verbatim);
        }
        let upstream_first = self.outbound() && self.text(f::UPSTREAM_HOST).is_some();
        if upstream_first {
            return None;
        }
        address(self.text(f::DST_IP)?, self.int(f::DST_PORT)?)
    }
}

fn address(ip: &str, port: i64) -> Option<String> {
    Some(if ip.contains(':') {
        quote(&format!("[{ip}]:{port}"))
    } else {
        quote(&format!("{ip}:{port}"))
    })
}
