//! Export requests of OpenTelemetry logs, each log record a line of text.

use serde_json::{Value, json};

/// When log records are from, in nanoseconds since 1970.
const TIME_NANOS: u64 = 1_793_614_530_123_000_000;

/// A request in JSON.
pub fn json<S: AsRef<str>>(lines: impl IntoIterator<Item = S>) -> Vec<u8> {
    let records: Vec<Value> = lines
        .into_iter()
        .map(|line| {
            json!({"timeUnixNano": TIME_NANOS.to_string(), "body": {"stringValue": line.as_ref()}})
        })
        .collect();
    json!({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).to_string().into_bytes()
}

/// The same in protobuf.
pub fn protobuf<S: AsRef<str>>(lines: impl IntoIterator<Item = S>) -> Vec<u8> {
    let mut scope = Vec::new();
    for line in lines {
        // Field 1 is a fixed64, field 5 a message whose field 1 is the text.
        let time = [&[0x09][..], &TIME_NANOS.to_le_bytes()].concat();
        let body = field(5, &field(1, line.as_ref().as_bytes()));
        scope.extend_from_slice(&field(2, &[time, body].concat()));
    }
    field(1, &field(2, &scope))
}

/// A field with a length.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(u8::try_from(length % 0x80).expect("below 128") | 0x80);
        length /= 0x80;
    }
    out.push(u8::try_from(length).expect("below 128"));
    out.extend_from_slice(bytes);
    out
}
