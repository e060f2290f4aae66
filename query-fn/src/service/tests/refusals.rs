//! What is not answered, and what is said of it.

use super::*;

fn status_and_error(answer: &HttpAnswer) -> (u16, String, String) {
    assert_eq!(header(answer, "content-type"), Some("application/json"));
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    let (code, message) = error(&told);
    (answer.status, code, message)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_error_has_its_code_and_its_status() {
    let kit = Kit::usual().await;
    let endless = "SELECT count(*) FROM range(1, 1000000000) a, range(1, 1000000000) b";
    let deep = format!("SELECT {}1", "1+".repeat(800));
    for (request, status, code) in [
        (json!({"sql": "DROP TABLE mesh_events"}), 403, "REFUSED"),
        (json!({"sql": "COPY mesh_events TO 's3://b/x'"}), 403, "REFUSED"),
        (json!({"sql": "SELEKT"}), 400, "SYNTAX"),
        (json!({"sql": ""}), 400, "SYNTAX"),
        (json!({"sql": "SELECT nope FROM mesh_events"}), 400, "PLAN"),
        (json!({"sql": "SELECT $x"}), 400, "PARAMETER"),
        (json!({"sql": deep}), 422, "LIMIT_SQL"),
        (json!({"sql": SCAN, "limits": {"rows": 2}}), 422, "LIMIT_ROWS"),
        (json!({"sql": SCAN, "limits": {"bytes": 10}}), 422, "LIMIT_BYTES"),
        (json!({"sql": SCAN, "caps": {"bytes": 10}}), 422, "LIMIT_BYTES"),
        (json!({"sql": SCAN, "caps": {"requests": 1}}), 422, "LIMIT_REQUESTS"),
        (json!({"sql": SCAN, "caps": {"requests": 1}, "dry_run": true}), 422, "LIMIT_REQUESTS"),
        (json!({"sql": "SELEKT", "dry_run": true}), 400, "SYNTAX"),
        (json!({"sql": endless, "limits": {"milliseconds": 200}}), 504, "LIMIT_TIME"),
        (json!({"sql": "SELECT 1 / 0"}), 422, "EXECUTION"),
        (json!({"sql": "SELECT 1", "limit": 5}), 400, "REQUEST"),
        (json!({"sql": "SELECT 1", "delivery": "mail"}), 400, "REQUEST"),
        (json!({"sql": "SELECT 1", "receipt": "long"}), 400, "REQUEST"),
        (json!({"sql": "SELECT 1", "receipt": "statement", "mode": "fresh"}), 400, "REQUEST"),
        // There is no ledger that it could rest on.
        (json!({"sql": "SELECT 1", "receipt": "statement"}), 403, "REFUSED"),
        (json!({"sql": "SELECT now()", "receipt": "statement"}), 403, "REFUSED"),
    ] {
        let answer = kit.http(&request).await;
        let (found, found_code, message) = status_and_error(&answer);
        assert_eq!((found, found_code.as_str()), (status, code), "{request}: {message}");
        // Invoked directly it is an answer too, and no error of the function.
        let (direct, _) = error(&kit.direct(&request).await);
        assert_eq!(direct, code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_needs_a_place() {
    let kit = Kit::usual().await;
    for format in ["csv", "arrow"] {
        let request = json!({"sql": "SELECT 1", "receipt": "statement", "format": format});
        let (status, code, message) = status_and_error(&kit.http(&request).await);
        assert_eq!((status, code.as_str()), (400, "REQUEST"));
        assert!(message.contains("no place for a statement"), "{message}");
        // Beside the body there is one; what is missing then is the ledger.
        assert_eq!(error(&kit.direct(&request).await).0, "REFUSED");
    }
}

const SCAN: &str = "SELECT * FROM mesh_events";

#[tokio::test(flavor = "multi_thread")]
async fn memory_and_a_broken_archive_have_their_codes() {
    let limits = Limits { memory_bytes: 10_000_000, ..Limits::default() };
    let kit = Kit::new(limits, Settings::default()).await;
    let sort = "SELECT a.value, b.value FROM range(1, 3000) a, range(1, 3000) b ORDER BY \
                a.value * 7 % 13, b.value";
    let (status, code, _) = status_and_error(&kit.http(&json!({"sql": sort})).await);
    assert_eq!((status, code.as_str()), (422, "LIMIT_MEMORY"));
    std::fs::remove_dir_all(kit.folder.path().join("archive")).unwrap();
    let (status, code, _) = status_and_error(&kit.http(&json!({"sql": SCAN})).await);
    assert_eq!((status, code.as_str()), (503, "ARCHIVE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_says_what_was_read_until_then() {
    let kit = Kit::usual().await;
    let answer = kit.direct(&json!({"sql": SCAN, "limits": {"rows": 2}})).await;
    assert_eq!(answer["receipt"]["complete"], false, "{answer}");
    assert_eq!(answer["receipt"]["version"], 2);
    assert!(answer["rows"].is_null(), "no part of the answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_none_is_told_what_is_wrong() {
    let kit = Kit::usual().await;
    let deep =
        format!("{{\"parameters\":{{\"x\":{}{}}}}}", "[".repeat(100_000), "]".repeat(100_000));
    let deeper = "[".repeat(900_000);
    let many: String = (0..2_000).map(|i| format!("\"p{i}\":1,")).collect();
    let many = format!("{{\"sql\":\"SELECT 1\",\"parameters\":{{{many}\"z\":1}}}}");
    for (body, expected) in [
        ("", "EOF"),
        ("null", "expected a request like"),
        ("[]", "expected a request like"),
        ("SELECT 1", "expected value"),
        ("{}", "found neither sql nor question"),
        (r#"{"sql": "SELECT 1", "question": "x"}"#, "found both"),
        (r#"{"sql": 5}"#, "expected a string"),
        (r#"{"sql": "SELECT 1", "sql": "SELECT 2"}"#, "duplicate field `sql`"),
        (r#"{"sql": "SELECT 1", "formatt": "csv"}"#, "unknown field `formatt`"),
        (r#"{"sql": "SELECT 1", "format": "xml"}"#, "unknown variant `xml`"),
        (r#"{"sql": "SELECT 1", "mode": "STRICT"}"#, "unknown variant `STRICT`"),
        (r#"{"sql": "SELECT 1", "as_of": -1}"#, "expected u64"),
        (r#"{"sql": "SELECT 1", "limits": {"row": 1}}"#, "unknown field `row`"),
        (r#"{"sql": "SELECT 1", "limits": {"rows": 0}}"#, "found 0"),
        (r#"{"sql": "SELECT 1", "caps": {"bytes": 0}}"#, "found 0"),
        (r#"{"sql": "SELECT 1", "caps": {"rows": 1}}"#, "unknown field `rows`"),
        (r#"{"sql": "SELECT 1", "caps": {"dollars": 0.05}}"#, "a text like \"0.05\""),
        (r#"{"sql": "SELECT 1", "caps": {"dollars": "0"}}"#, "above 0"),
        (r#"{"sql": "SELECT 1", "caps": {"dollars": "$5"}}"#, "found \"$5\""),
        (r#"{"sql": "SELECT 1", "dry_run": "yes"}"#, "expected a boolean"),
        (r#"{"sql": "SELECT $x", "parameters": {"x": 1, "x": 2}}"#, "given twice"),
        (r#"{"sql": "SELECT 1", "parameters": [1]}"#, "an object of parameters"),
        (many.as_str(), "at most 1000 parameters"),
        (deep.as_str(), "recursion limit exceeded"),
        (deeper.as_str(), "expected a request like"),
        ("{\"sql\": \"SELECT 1\"} x", "trailing characters"),
    ] {
        let (status, code, message) = status_and_error(&kit.post(body.as_bytes()).await);
        assert_eq!((status, code.as_str()), (400, "REQUEST"), "{message}");
        assert!(message.contains(expected), "{message}");
        // And as an event.
        match kit.service.answer(body.as_bytes(), call(DAY)).await {
            Reply::Payload(bytes) => {
                let told: Value = serde_json::from_slice(&bytes).unwrap();
                assert_eq!(error(&told).0, "REQUEST");
            }
            other => panic!("{other:?}"),
        }
    }
    let (status, code, _) = status_and_error(&kit.post(b"{\"sql\": \"\xff\"}").await);
    assert_eq!((status, code.as_str()), (400, "REQUEST"));
    let long = format!("{{\"sql\": \"SELECT '{}'\"}}", "x".repeat(7 * 1_048_576));
    let (status, code, _) = status_and_error(&kit.post(long.as_bytes()).await);
    assert_eq!((status, code.as_str()), (413, "TOO_LARGE"));
    match kit.service.answer(long.as_bytes(), call(DAY)).await {
        Reply::Payload(bytes) => {
            assert_eq!(error(&serde_json::from_slice(&bytes).unwrap()).0, "TOO_LARGE");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_post_of_json_to_the_right_place_is_a_request() {
    let kit = Kit::usual().await;
    let body = br#"{"sql": "SELECT 1 AS one"}"#;
    let right = HttpRequest { body, ..post() };
    for (request, status, code) in [
        (right, 200, ""),
        (HttpRequest { path: "/", ..right }, 200, ""),
        (HttpRequest { content_type: Some("Application/JSON; charset=utf-8"), ..right }, 200, ""),
        (HttpRequest { content_encoding: Some("identity"), ..right }, 200, ""),
        (HttpRequest { path: "/v1/query/x", ..right }, 404, "NOT_FOUND"),
        (HttpRequest { path: "/etc/passwd", method: "GET", ..right }, 404, "NOT_FOUND"),
        (HttpRequest { method: "GET", ..right }, 405, "METHOD"),
        (HttpRequest { method: "PUT", ..right }, 405, "METHOD"),
        (HttpRequest { content_type: None, ..right }, 415, "MEDIA_TYPE"),
        (HttpRequest { content_type: Some("text/plain"), ..right }, 415, "MEDIA_TYPE"),
        (HttpRequest { content_encoding: Some("gzip"), ..right }, 415, "MEDIA_TYPE"),
    ] {
        let answer = kit.service.http(request, call(DAY)).await;
        let (found, found_code, _) = status_and_error(&answer);
        assert_eq!((found, found_code.as_str()), (status, code), "{request:?}");
        assert_eq!(header(&answer, "allow"), (status == 405).then_some("POST"));
    }
}

/// An event as a Function URL makes it, from the documentation of its payload.
fn function_url(body: &str, is_base64: bool) -> Value {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": "/v1/query", "rawQueryString": "",
        "headers": {"content-type": "application/json", "x-forwarded-proto": "https"},
        "requestContext": {
            "accountId": "anonymous", "apiId": "a", "domainName": "a.lambda-url", "stage": "$default",
            "http": {"method": "POST", "path": "/v1/query", "protocol": "HTTP/1.1",
                     "sourceIp": "127.0.0.1", "userAgent": "curl/8"},
            "requestId": "id", "routeKey": "$default", "time": "02/Nov/2026:00:00:00 +0000",
            "timeEpoch": 1,
        },
        "body": body, "isBase64Encoded": is_base64,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_tells_where_a_request_comes_from() {
    let kit = Kit::usual().await;
    let ask = |event: Value| {
        let service = &kit.service;
        async move {
            match service.answer(event.to_string().as_bytes(), call(DAY)).await {
                Reply::Http(answer) => answer,
                other => panic!("{event}: {other:?}"),
            }
        }
    };
    let plain = r#"{"sql": "SELECT 1 AS one"}"#;
    let encoded = "eyJzcWwiOiAiU0VMRUNUIDEgQVMgb25lIn0=";
    assert_eq!(ask(function_url(plain, false)).await.status, 200);
    assert_eq!(ask(function_url(encoded, true)).await.status, 200);
    let mut staged = function_url(plain, false);
    staged["rawPath"] = json!("/prod/v1/query");
    assert_eq!(ask(staged.clone()).await.status, 404);
    staged["requestContext"]["stage"] = json!("prod");
    assert_eq!(ask(staged).await.status, 200, "API Gateway puts its stage before the path");
    let mut shouted = function_url(plain, false);
    shouted["headers"] = json!({"Content-Type": "application/json"});
    assert_eq!(ask(shouted).await.status, 200);
    let mut get = function_url("", false);
    get["requestContext"]["http"]["method"] = json!("GET");
    get["body"] = Value::Null;
    assert_eq!(ask(get).await.status, 405);
    for (event, expected) in [
        (function_url("not base64!", true), "is not"),
        (function_url("e30", true), "neither sql nor question"),
        (json!({"requestContext": {"stage": "x"}, "httpMethod": "POST"}), "set it to 2.0"),
        (json!({"requestContext": 5}), "payload version 2.0"),
        (json!({"requestContext": {"http": {"method": 5}}}), "payload version 2.0"),
    ] {
        let (status, code, message) = status_and_error(&ask(event).await);
        assert_eq!((status, code.as_str()), (400, "REQUEST"), "{message}");
        assert!(message.contains(expected), "{message}");
    }
    let long = "QUFB".repeat(7 * 1_048_576 / 3);
    let (status, code, _) = status_and_error(&ask(function_url(&long, true)).await);
    assert_eq!((status, code.as_str()), (413, "TOO_LARGE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_a_request_are_never_wider_than_the_functions() {
    let limits = Limits {
        rows_max: Some(2),
        scan_bytes_max: Some(100_000),
        time: Duration::from_secs(60),
        ..Limits::default()
    };
    let kit = Kit::new(limits.clone(), Settings::default()).await;
    for name in ["a", "b", "c"] {
        kit.add(name, true).await;
    }
    let rows = |limits: Value| {
        let request = json!({"sql": "SELECT segment_row FROM mesh_events", "limits": limits});
        let kit = &kit;
        async move { error(&kit.direct(&request).await).0 }
    };
    assert_eq!(rows(json!({"rows": 1_000_000})).await, "LIMIT_ROWS");
    assert_eq!(rows(json!({})).await, "LIMIT_ROWS");
    let two = json!({"sql": "SELECT 1 UNION ALL SELECT 2", "limits": {"rows": 1}});
    assert_eq!(error(&kit.direct(&two).await).0, "LIMIT_ROWS", "but narrower they may be");
    let bounds =
        |rows, bytes, time| Bounds { rows_max: rows, scan_bytes_max: bytes, time, deadline: None };
    for (bounds, rows, bytes, seconds) in [
        (bounds(None, None, None), 2, 100_000, 60),
        (bounds(Some(9), Some(200_000), Some(DAY)), 2, 100_000, 60),
        (bounds(Some(1), Some(10), Some(Duration::from_secs(1))), 1, 10, 1),
    ] {
        let within = limits.within(&bounds);
        let found = (within.rows_max, within.scan_bytes_max, within.time.as_secs());
        assert_eq!(found, (Some(rows), Some(bytes), seconds));
    }
    let unlimited = Limits::default().within(&bounds(Some(5), None, None));
    assert_eq!((unlimited.rows_max, unlimited.scan_bytes_max), (Some(5), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_ends_before_the_function_has_to() {
    let kit = Kit::usual().await;
    let endless = json!({
        "sql": "SELECT count(*) FROM range(1, 1000000000) a, range(1, 1000000000) b"
    });
    let (left, started) = (Duration::from_millis(1_500), Instant::now());
    let reply = kit.service.answer(endless.to_string().as_bytes(), call(left)).await;
    let took = started.elapsed();
    let Reply::Payload(bytes) = reply else { panic!("{reply:?}") };
    let (code, message) = error(&serde_json::from_slice(&bytes).unwrap());
    assert_eq!(code, "LIMIT_TIME");
    assert!(message.contains("cancelled after 1 s, because the function"), "{message}");
    assert!(took < left, "{took:?}");
    // Too late to begin.
    for left in [Duration::ZERO, Duration::from_millis(500)] {
        let reply = kit.service.answer(endless.to_string().as_bytes(), call(left)).await;
        let Reply::Payload(bytes) = reply else { panic!("{reply:?}") };
        assert_eq!(error(&serde_json::from_slice(&bytes).unwrap()).0, "LIMIT_TIME");
    }
    // A shorter limit of the request is told as such.
    let mut short = endless.clone();
    short["limits"] = json!({"milliseconds": 100});
    let (code, message) = error(&kit.direct(&short).await);
    assert_eq!(code, "LIMIT_TIME");
    assert!(message.contains("took longer than 0.1 s"), "{message}");
    assert_eq!(margin(Duration::from_secs(100)), Duration::from_secs(5));
    assert_eq!(margin(Duration::from_secs(2)), Duration::from_millis(500));
}

#[test]
fn the_page_has_every_code_with_its_status() {
    let page = include_str!("../../../../docs/query-api.md");
    let own = [
        Failure::request(""),
        Failure::not_found(""),
        Failure::method(""),
        Failure::media_type(""),
        Failure::too_large(""),
        Failure::trail(""),
    ];
    let own = own.into_iter().map(|failure| (failure.code, failure.status));
    let codes: Vec<_> =
        Code::ALL.into_iter().map(|code| (code.as_str(), status(code))).chain(own).collect();
    for (code, status) in &codes {
        let row = format!("| `{code}` | {status} |");
        assert!(page.contains(&row), "docs/query-api.md lacks {row}");
    }
    assert_eq!(page.matches("\n| `").count(), codes.len(), "and no other codes");
}

#[test]
fn a_defect_is_an_error_of_the_function() {
    let failure = Failure::from(QueryError::new(Code::Internal, "it broke"));
    assert_eq!(Reply::of(Err(failure.clone())), Reply::Defect("it broke".to_owned()));
    assert_eq!(HttpAnswer::of(Err(failure)).status, 500);
}
