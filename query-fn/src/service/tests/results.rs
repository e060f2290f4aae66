//! Answers that are too long to be handed over.

use common::Sha256Digest;

use super::*;

fn padded(bytes: usize) -> Value {
    json!({"sql": format!("SELECT repeat('x', {bytes}) AS pad"), "format": "csv"})
}

/// Bytes as the transport counts them.
async fn carried(kit: &Kit, transport: Transport, direct: bool, request: &Value) -> Value {
    if direct {
        return match kit.service.answer(request.to_string().as_bytes(), call(DAY)).await {
            Reply::Payload(bytes) => {
                let mut told: Value = serde_json::from_slice(&bytes).unwrap();
                told["counted"] = json!(bytes.len());
                told
            }
            other => panic!("{other:?}"),
        };
    }
    let answer = kit.http(request).await;
    let bytes = match transport {
        Transport::Streamed => answer.body.len(),
        Transport::Buffered => answer.clone().into_gateway_payload().len(),
    };
    let mut told: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|_| json!({}));
    told["counted"] = json!(bytes);
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_the_limit_is_handed_over_and_one_of_a_byte_more_is_not() {
    for (transport, direct) in
        [(Transport::Buffered, true), (Transport::Buffered, false), (Transport::Streamed, false)]
    {
        let limit = 20_000;
        let settings = Settings { transport, inline_bytes_max: limit, ..Settings::default() };
        let kit = Kit::new(Limits::default(), settings).await;
        // What the row does not make of it; the time a query takes has a varying length.
        let probe = carried(&kit, transport, direct, &padded(10_000)).await;
        let overhead = probe["counted"].as_u64().unwrap() - 10_000;
        let longest = limit as u64 - overhead;
        let (mut inline, mut stored) = (0, 0);
        for pad in longest - 8..=longest + 8 {
            let request = padded(usize::try_from(pad).unwrap());
            let told = carried(&kit, transport, direct, &request).await;
            let counted = told["counted"].as_u64().unwrap();
            if told["result"].is_object() {
                assert!(pad + overhead + 8 > limit as u64, "{transport:?} {pad}: {told}");
                let _ = std::fs::remove_dir_all(kit.folder.path().join("archive.work/results"));
                stored += 1;
            } else {
                assert!(counted <= limit as u64, "{transport:?} {pad}: {counted}");
                assert!(counted + 24 > limit as u64);
                inline += 1;
            }
        }
        assert!(inline >= 1 && stored >= 1, "{transport:?} {direct}: {inline} {stored}");
        // The body alone does not vary.
        if transport == Transport::Streamed {
            assert_eq!((inline, stored), (9, 8));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_is_put_where_its_url_leads() {
    let settings = Settings { inline_bytes_max: 100_000, ..Settings::default() };
    let kit = Kit::new(Limits::default(), settings).await;
    // More than two parts of an upload.
    let sql = "SELECT value, repeat('y', 1000) AS pad FROM range(0, 20000) ORDER BY value";
    for (format, bytes_min) in [
        ("json", 20_000_000),
        ("ndjson", 20_000_000),
        ("csv", 20_000_000),
        ("arrow", 20_000_000),
        ("parquet", 10_000),
    ] {
        let request = json!({"sql": sql, "format": format, "delivery": if format == "parquet" { "url" } else { "auto" }});
        let mut call = call(DAY);
        call.id = format!("id-{format}");
        let reply = kit.service.answer(request.to_string().as_bytes(), call).await;
        let Reply::Payload(bytes) = reply else { panic!("{reply:?}") };
        let told: Value = serde_json::from_slice(&bytes).unwrap();
        let result = &told["result"];
        assert_eq!((&result["format"], &result["expires_at"]), (&json!(format), &Value::Null));
        assert_eq!(told["receipt"]["rows_returned"], 20_000);
        let path = url::Url::parse(result["url"].as_str().unwrap()).unwrap().to_file_path();
        let path = path.unwrap();
        assert!(path.ends_with(format!("archive.work/results/id-{format}.{format}")));
        let stored = std::fs::read(path).unwrap();
        assert_eq!(result["bytes"], stored.len());
        assert!(stored.len() >= bytes_min, "{format}: {}", stored.len());
        assert_eq!(result["sha256"], Sha256Digest::of(&stored).to_string());
        if format == "json" {
            let whole: Value = serde_json::from_slice(&stored).unwrap();
            assert_eq!(whole["rows"].as_array().unwrap().len(), 20_000);
            assert_eq!(whole["receipt"]["complete"], true, "the file has the receipt too");
        }
    }
    let answer = kit.http(&json!({"sql": sql, "format": "csv"})).await;
    assert_eq!((answer.status, header(&answer, "content-type")), (200, Some("application/json")));
    assert_eq!(header(&answer, "meshledger-delivery"), Some("url"));
    assert!(header(&answer, "meshledger-receipt").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_never_cut_short() {
    let settings =
        Settings { inline_bytes_max: 10_000, result_bytes_max: 10_000_000, ..Settings::default() };
    let kit = Kit::new(Limits::default(), settings.clone()).await;
    let results = kit.folder.path().join("archive.work/results");
    let inline = json!({"sql": "SELECT repeat('x', 20000)", "delivery": "inline"});
    let (code, message) = error(&kit.direct(&inline).await);
    assert_eq!(code, "LIMIT_RESULT");
    assert!(message.contains("delivery auto"), "{message}");
    let huge = json!({"sql": "SELECT repeat('x', 1000) FROM range(0, 12000)"});
    let answer = kit.direct(&huge).await;
    assert_eq!(error(&answer).0, "LIMIT_RESULT", "{answer}");
    assert_eq!(answer["receipt"]["complete"], false);
    // An error after the upload began leaves nothing.
    let late = "SELECT repeat('x', 1000), 1 / (value - 11000) FROM range(0, 12000)";
    assert_eq!(error(&kit.direct(&json!({"sql": late})).await).0, "EXECUTION");
    let left = |folder: &std::path::Path| std::fs::read_dir(folder).map_or(0, Iterator::count);
    assert_eq!(left(&results) + left(&kit.folder.path().join("archive.work/.tmp")), 0);
    // And without a place for results.
    let engine = Engine::new(kit.archive.reader(), Limits::default()).unwrap();
    let alone = Service::new(engine, Questions::default(), None, settings);
    for (request, expected) in [
        (json!({"sql": "SELECT repeat('x', 20000)"}), "LIMIT_RESULT"),
        (json!({"sql": "SELECT 1", "delivery": "url"}), "REQUEST"),
    ] {
        match alone.answer(request.to_string().as_bytes(), call(DAY)).await {
            Reply::Payload(bytes) => {
                assert_eq!(error(&serde_json::from_slice(&bytes).unwrap()).0, expected);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_under_a_result_is_an_error() {
    use archive::fault::{Fault, Lost, Then};
    let settings = Settings { inline_bytes_max: 10_000, ..Settings::default() };
    let kit = Kit::new(Limits::default(), settings.clone()).await;
    let long = json!({"sql": "SELECT repeat('x', 1000) FROM range(0, 20000)"});
    for at_write in 0..4 {
        let fault = Fault::at_write(at_write, Lost::Request, Then::Heal);
        let faulty = service(&kit.archive.with_fault(&fault), Limits::default(), settings.clone());
        let body = long.to_string();
        let request = HttpRequest { body: body.as_bytes(), ..post() };
        let answer = faulty.http(request, call(DAY)).await;
        let told: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((answer.status, error(&told).0.as_str()), (503, "ARCHIVE"), "write {at_write}");
        let results = kit.folder.path().join("archive.work/results");
        assert_eq!(std::fs::read_dir(results).map_or(0, Iterator::count), 0);
    }
}
