//! A row back to the record it was made from, equal value by value; white space and key order
//! aside.

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};

use super::fill::GRPC_NAMES;
use super::keys::{self as k, Shape};
use crate::parse::fields as f;
use crate::parse::json::Scanner;
use crate::parse::time;

/// The record of `row` as JSON text; `None` if the batch does not have the table's columns or the
/// row is not of this source format.
pub fn rebuild(batch: &RecordBatch, row: usize) -> Option<String> {
    let values = Row { batch, row };
    if values.text(f::SOURCE_FORMAT)? != super::SOURCE_FORMAT {
        return None;
    }
    if let Some(raw) = values.text(f::RAW) {
        return Some(raw.to_owned());
    }
    let keys = match values.text(f::RECORD_SHAPE)? {
        "default" => k::DEFAULT_KEYS,
        "extended" => k::EXTENDED_KEYS,
        "full" => k::FULL_KEYS,
        _ => return None,
    };
    let kept = values.attributes()?;
    let is_kept = |name: &str| kept.iter().any(|(key, _)| key.trim_matches('"') == name);
    let mut out = String::from("{");
    let mut push = |key: &str, value: &str| {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(key);
        out.push(':');
        out.push_str(value);
    };
    for (index, name) in k::NAMES.iter().enumerate() {
        if keys & (1 << index) != 0 && !is_kept(name) {
            let value = values.field(index, Shape::of(keys)).unwrap_or_else(|| "null".to_owned());
            push(&format!("\"{name}\""), &value);
        }
    }
    for (key, value) in &kept {
        push(key, value);
    }
    out.push('}');
    Some(out)
}

struct Row<'a> {
    batch: &'a RecordBatch,
    row: usize,
}

impl<'a> Row<'a> {
    fn strings(&self, column: usize) -> Option<&'a StringArray> {
        self.batch.columns().get(column)?.as_string_opt::<i32>()
    }

    fn text(&self, column: usize) -> Option<&'a str> {
        let strings = self.strings(column)?;
        strings.is_valid(self.row).then(|| strings.value(self.row))
    }

    fn int64(&self, column: usize) -> Option<i64> {
        let array = self.batch.columns().get(column)?.as_primitive_opt::<Int64Type>()?;
        array.is_valid(self.row).then(|| array.value(self.row))
    }

    fn int32(&self, column: usize) -> Option<i32> {
        let array = self.batch.columns().get(column)?.as_primitive_opt::<Int32Type>()?;
        array.is_valid(self.row).then(|| array.value(self.row))
    }

    fn micros(&self, column: usize) -> Option<i64> {
        let column = self.batch.columns().get(column)?;
        let array = column.as_primitive_opt::<TimestampMicrosecondType>()?;
        array.is_valid(self.row).then(|| array.value(self.row))
    }

    /// The fields of `attributes`: key with quotes, value text.
    fn attributes(&self) -> Option<Vec<(String, String)>> {
        let Some(text) = self.text(f::ATTRIBUTES) else { return Some(Vec::new()) };
        let mut scanner = Scanner::new(&[]);
        scanner.scan(text.as_bytes(), false).ok()?;
        let owned = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        scanner
            .extras(text.as_bytes())
            .map(|(key, value)| Some((owned(key)?, owned(value)?)))
            .collect()
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
            k::BYTES_RECEIVED => self.int64(f::REQUEST_BYTES).map(|v| v.to_string()),
            k::BYTES_SENT => self.int64(f::RESPONSE_BYTES).map(|v| v.to_string()),
            k::DURATION => self.int64(f::DURATION_US).map(|v| (v / 1000).to_string()),
            k::METHOD => self.quoted(f::HTTP_METHOD),
            k::REQUESTED_SERVER_NAME => self.quoted(f::TLS_SNI),
            k::RESPONSE_CODE => Some(self.int32(f::HTTP_STATUS).unwrap_or(0).to_string()),
            k::RESPONSE_CODE_DETAILS => self.quoted(f::DECISION_REASON),
            k::RESPONSE_FLAGS => Some(quote(&self.flags()?)),
            k::RESPONSE_FLAGS_LONG => Some(quote("-")),
            k::ROUTE_NAME => self.quoted(f::ROUTE_NAME),
            k::UPSTREAM_CLUSTER => self.quoted(f::UPSTREAM_CLUSTER),
            k::UPSTREAM_HOST => self.quoted(f::UPSTREAM_HOST),
            k::UPSTREAM_LOCAL_ADDRESS => self.quoted(f::UPSTREAM_LOCAL_ADDRESS),
            k::UPSTREAM_SERVICE_TIME => {
                self.int64(f::UPSTREAM_DURATION_US).map(|v| quote(&(v / 1000).to_string()))
            }
            k::USER_AGENT => self.quoted(f::USER_AGENT),
            k::X_FORWARDED_FOR => self.quoted(f::X_FORWARDED_FOR),
            k::START_TIME => self.micros(f::EVENT_TIME).map(|at| quote(&time::millis_text(at))),
            k::START_US => self.micros(f::EVENT_TIME).map(|at| quote(&time::unix_text(at))),
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
                address(self.text(f::SRC_IP)?, self.int32(f::SRC_PORT).unwrap_or(0))
            }
            k::UPSTREAM_TRANSPORT_FAILURE_REASON => {
                let upstream = self.text(f::TLS_FAILURE_SIDE) == Some("upstream");
                upstream.then(|| self.quoted(f::TLS_FAILURE_DETAIL)).flatten()
            }
            k::DOWNSTREAM_LOCAL_URI_SAN if !self.outbound() => self.quoted(f::DST_IDENTITY),
            k::DOWNSTREAM_PEER_URI_SAN if !self.outbound() => self.quoted(f::SRC_IDENTITY),
            k::UPSTREAM_PEER_URI_SAN if self.outbound() => self.quoted(f::DST_IDENTITY),
            k::DOWNSTREAM_PEER_CERT_V_END => {
                self.micros(f::PEER_CERT_NOT_AFTER).map(|at| quote(&time::millis_text(at)))
            }
            k::DOWNSTREAM_PEER_FINGERPRINT_256 => self.quoted(f::PEER_CERT_SHA256),
            k::DOWNSTREAM_PEER_SERIAL => self.quoted(f::PEER_CERT_SERIAL),
            k::DOWNSTREAM_TLS_CIPHER => self.quoted(f::TLS_CIPHER),
            k::DOWNSTREAM_TLS_VERSION => {
                let version = self.text(f::TLS_VERSION)?;
                Some(quote(&format!("TLSv{}", version.strip_prefix("tlsv")?)))
            }
            k::GRPC_STATUS => {
                let number = usize::try_from(self.int32(f::GRPC_STATUS)?).ok()?;
                GRPC_NAMES.get(number).map(|name| quote(name))
            }
            k::JWT_SUB => self.quoted(f::JWT_SUBJECT),
            k::TRACE_ID => {
                // With a traceparent, which then stands in `attributes`, it was null.
                let parent = self.attributes()?.iter().any(|(key, _)| key == "\"traceparent\"");
                if parent { None } else { self.quoted(f::TRACE_ID) }
            }
            _ => None,
        }
    }

    fn flags(&self) -> Option<String> {
        let list = self.batch.columns().get(f::RESPONSE_FLAGS)?.as_list_opt::<i32>()?;
        let items = list.value(self.row);
        let items = items.as_string_opt::<i32>()?;
        if items.is_empty() {
            return Some("-".to_owned());
        }
        Some(items.iter().flatten().collect::<Vec<_>>().join(","))
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
        address(self.text(f::DST_IP)?, self.int32(f::DST_PORT)?)
    }
}

fn address(ip: &str, port: i32) -> Option<String> {
    Some(if ip.contains(':') {
        quote(&format!("[{ip}]:{port}"))
    } else {
        quote(&format!("{ip}:{port}"))
    })
}

fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
