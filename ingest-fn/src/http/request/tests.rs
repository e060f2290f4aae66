use std::io::Write;

use flate2::Compression as Level;
use flate2::write::GzEncoder;
use http::header::HeaderValue;

use super::*;

fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(name, HeaderValue::from_static(value));
    }
    headers
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Level::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const JSON: Head = Head { media: Media::Json, coding: Compression::None, length: None };
const GZIP: Head = Head { coding: Compression::Gzip, ..JSON };

#[test]
fn a_head_is_read_as_http_writes_it() {
    let found = head(
        Route::Logs,
        &headers(&[
            (CONTENT_TYPE, "Application/JSON; charset=utf-8"),
            (CONTENT_ENCODING, "GZIP"),
            (CONTENT_LENGTH, "17"),
        ]),
    );
    assert_eq!(found, Ok(Head { length: Some(17), ..GZIP }));
    let found = head(Route::Logs, &headers(&[(CONTENT_TYPE, "application/x-protobuf")])).unwrap();
    assert_eq!((found.media, found.coding), (Media::Protobuf, Compression::None));
}

#[test]
fn other_types_and_codings_are_unsupported() {
    for pairs in [
        &[][..],
        &[(CONTENT_TYPE, "text/plain")],
        &[(CONTENT_TYPE, "application/jsonx")],
        &[(CONTENT_TYPE, "application/json"), (CONTENT_TYPE, "application/json")],
        &[(CONTENT_TYPE, "application/json"), (CONTENT_ENCODING, "br")],
        &[(CONTENT_TYPE, "application/json"), (CONTENT_ENCODING, "gzip, gzip")],
        &[
            (CONTENT_TYPE, "application/json"),
            (CONTENT_ENCODING, "gzip"),
            (CONTENT_ENCODING, "gzip"),
        ],
    ] {
        let refusal = head(Route::Logs, &headers(pairs)).unwrap_err();
        assert_eq!(refusal.reason, Reason::Unsupported, "{pairs:?}");
    }
}

#[test]
fn records_of_json_are_counted() {
    for (text, records) in [
        ("{}", 0),
        (r#"{"resourceLogs":null,"other":[1,{"logRecords":[1]}]}"#, 0),
        (r#" {"resourceLogs":[{},{"scopeLogs":[]},{"scopeLogs":null}]}"#, 0),
        (
            r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{},{"a":[]}]},{"logRecords":[{}]}]}]}"#,
            3,
        ),
    ] {
        let export = export(JSON, text.as_bytes().to_vec()).unwrap();
        assert_eq!(export.records, records, "{text}");
        assert_eq!(export.bytes, text.as_bytes());
    }
}

#[test]
fn what_is_no_request_is_malformed() {
    for text in [
        &b""[..],
        b"[]",
        b"null",
        b"{\"resourceLogs\":{}}",
        b"{\"resourceLogs\":[7]}",
        b"{\"resourceLogs\":[{\"scopeLogs\":\"x\"}]}",
        b"{\"resourceLogs\":[]} {}",
        b"{\"resourceLogs\":[}",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":\"x\ny\"}",
    ] {
        let refusal = export(JSON, text.to_vec()).unwrap_err();
        assert_eq!(refusal.reason, Reason::Malformed, "{refusal:?}");
    }
    let protobuf = Head { media: Media::Protobuf, ..JSON };
    assert_eq!(export(protobuf, b"{}".to_vec()).unwrap_err().reason, Reason::Malformed);
    assert_eq!(export(protobuf, Vec::new()).unwrap().records, 0);
}

#[test]
fn bodies_are_decompressed_within_the_limit() {
    let found = export(GZIP, gzip(b"{\"resourceLogs\":[]}")).unwrap();
    assert_eq!(found.bytes, b"{\"resourceLogs\":[]}");
    let bomb = gzip(&vec![b' '; BODY_BYTES_MAX + 1]);
    assert!(bomb.len() < 100_000);
    assert_eq!(export(GZIP, bomb).unwrap_err().reason, Reason::TooLarge);
    assert_eq!(export(JSON, vec![b' '; BODY_BYTES_MAX + 1]).unwrap_err().reason, Reason::TooLarge);
    let cut = gzip(b"{\"resourceLogs\":[]}");
    for wrong in [b"{}".to_vec(), Vec::new(), cut[..cut.len() - 4].to_vec()] {
        assert_eq!(export(GZIP, wrong).unwrap_err().reason, Reason::Malformed);
    }
    let zstd = Head { coding: Compression::Zstd, ..JSON };
    assert_eq!(export(zstd, gzip(b"{}")).unwrap_err().reason, Reason::Malformed);
}

#[test]
fn a_request_becomes_one_line_of_the_same_length() {
    assert_eq!(one_line(b"{\r\n \"a\": \"\\n\"\n}\n".to_vec()), b"{   \"a\": \"\\n\" } ");
}

#[test]
fn each_path_takes_its_own() {
    let of = |route, pairs: &[(HeaderName, &'static str)]| head(route, &headers(pairs));
    let json = [(CONTENT_TYPE, "application/json")];
    assert_eq!(of(Route::Audit, &json).unwrap().media, Media::Audit);
    assert_eq!(of(Route::Audit, &[]).unwrap_err().reason, Reason::Unsupported);
    for pairs in [&[][..], &json, &[(CONTENT_TYPE, "text/plain")]] {
        assert_eq!(of(Route::Records, pairs).unwrap().media, Media::Lines);
    }
    assert_eq!(route(&Method::POST, "/v1/audit").unwrap(), Route::Audit);
    assert_eq!(route(&Method::GET, "/v1/audit").unwrap_err().reason, Reason::Method);
    assert_eq!(route(&Method::POST, "/v1/audit/").unwrap_err().reason, Reason::NotFound);
}

#[test]
fn events_of_a_webhook_are_counted() {
    let audit = Head { media: Media::Audit, ..JSON };
    let count = |text: &str| export(audit, text.as_bytes().to_vec()).map(|export| export.records);
    assert_eq!(count(r#"{"kind":"EventList","items":[{},{"a":[]}]}"#), Ok(2));
    assert_eq!(count(r#"{"kind":"EventList"}"#), Ok(0));
    assert_eq!(count(r#"{"kind":"Event","auditID":"1"}"#), Ok(1));
    for wrong in
        ["", "[]", "{}", r#"{"kind":"PodList","items":[]}"#, r#"{"kind":"EventList","items":7}"#]
    {
        assert_eq!(count(wrong).unwrap_err().reason, Reason::Malformed, "{wrong}");
    }
}

#[test]
fn lines_are_counted_as_they_are() {
    let lines = Head { media: Media::Lines, ..JSON };
    let text = b"{}\n\n \r\nx\xff".to_vec();
    let found = export(lines, text.clone()).unwrap();
    assert_eq!((found.records, found.bytes), (2, text));
}

#[test]
fn an_idempotency_key_is_one_text() {
    let key = |values: &[&'static str]| {
        let pairs: Vec<_> = values.iter().map(|value| (IDEMPOTENCY_KEY, *value)).collect();
        idempotency_key(&headers(&pairs)).map(|key| key.map(str::to_owned))
    };
    assert_eq!(key(&[]), Ok(None));
    assert_eq!(key(&["7f-1"]), Ok(Some("7f-1".to_owned())));
    assert_eq!(key(&[""]).unwrap_err().reason, Reason::Malformed);
    assert_eq!(key(&["a", "b"]).unwrap_err().reason, Reason::Malformed);
}
