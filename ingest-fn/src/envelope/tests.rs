//! Events as AWS writes them, held against the types of `aws_lambda_events`, which others keep.

use std::collections::BTreeSet;

use aws_lambda_events::firehose::KinesisFirehoseEvent;
use aws_lambda_events::kafka::KafkaEvent;
use aws_lambda_events::kinesis::KinesisEvent;
use aws_lambda_events::s3::S3Event;
use aws_lambda_events::sqs::SqsEvent;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;

fn either(_: &str) -> Carries {
    Carries::Either
}

fn batch(event: &Value) -> Batch {
    match open(&event.to_string(), either).unwrap() {
        Envelope::Batch(batch) => batch,
        Envelope::Http(request) => panic!("expected a batch, found {request:?}"),
    }
}

fn bytes(item: &Item) -> &[u8] {
    match &item.content {
        Content::Unit(_, bytes) => bytes,
        other => panic!("expected a unit, found {other:?}"),
    }
}

fn id(item: &Item) -> UnitId {
    match &item.content {
        Content::Unit(id, _) | Content::Unreadable(id, ..) => *id,
        other => panic!("expected a unit, found {other:?}"),
    }
}

fn kinesis_record(sequence: u64, data: &[u8]) -> Value {
    json!({
        "kinesis": {
            "kinesisSchemaVersion": "1.0", "partitionKey": "p",
            "sequenceNumber": sequence.to_string(), "data": STANDARD.encode(data),
            "approximateArrivalTimestamp": 1_480_641_523.477,
        },
        "eventSource": "aws:kinesis", "eventVersion": "1.0",
        "eventID": format!("shardId-000000000000:{sequence}"),
        "eventName": "aws:kinesis:record", "awsRegion": "eu-1",
        "invokeIdentityArn": "arn:aws:iam::1:role/r",
        "eventSourceARN": "arn:aws:kinesis:eu-1:1:stream/s",
    })
}

#[test]
fn kinesis_records_are_units_of_their_shard() {
    let event = json!({"Records": [kinesis_record(7, b"one"), kinesis_record(8, b"two")]});
    let theirs: KinesisEvent = serde_json::from_value(event.clone()).unwrap();
    let ours = batch(&event);
    assert_eq!(ours.carrier, Carrier::Kinesis);
    assert_eq!(ours.items.len(), theirs.records.len());
    for (item, record) in ours.items.iter().zip(&theirs.records) {
        assert_eq!(item.handle, record.kinesis.sequence_number);
        assert_eq!(bytes(item), record.kinesis.data.0);
        assert_eq!(Some(&item.place), record.event_source_arn.as_ref());
        assert_eq!(item.arrived_micros, Some(1_480_641_523_477_000));
        let name = [
            "kinesis",
            record.event_source_arn.as_deref().unwrap(),
            record.event_id.as_deref().unwrap(),
        ];
        assert_eq!(id(item), UnitId::of_transport(&name));
    }
    // The same record in other company is the same unit.
    let alone = batch(&json!({"Records": [kinesis_record(8, b"two")]}));
    assert_eq!(id(&alone.items[0]), id(&ours.items[1]));
}

#[test]
fn a_record_that_is_no_base64_costs_its_neighbours_nothing() {
    let mut broken = kinesis_record(8, b"");
    broken["kinesis"]["data"] = json!("no base64!");
    let ours = batch(&json!({"Records": [kinesis_record(7, b"one"), broken]}));
    assert_eq!(bytes(&ours.items[0]), b"one");
    let Content::Unreadable(_, kept, found) = &ours.items[1].content else { panic!() };
    assert_eq!(kept, b"no base64!");
    assert!(found.contains("base64"), "{found}");
    // One that no answer could name fails the event.
    let mut nameless = kinesis_record(9, b"x");
    nameless["kinesis"].as_object_mut().unwrap().remove("sequenceNumber");
    let event = json!({"Records": [kinesis_record(7, b"one"), nameless]}).to_string();
    let error = open(&event, either).unwrap_err().to_string();
    assert!(error.contains("record 1") && error.contains("sequenceNumber"), "{error}");
}

fn message(id: &str, body: &str) -> Value {
    json!({
        "messageId": id, "receiptHandle": "r", "body": body,
        "attributes": {"SentTimestamp": "1523232000000", "ApproximateReceiveCount": "1"},
        "messageAttributes": {}, "md5OfBody": "x", "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-1:1:q", "awsRegion": "eu-1",
    })
}

#[test]
fn messages_are_units_of_their_queue() {
    let event = json!({"Records": [message("a", "{\"x\":1}"), message("b", "line\nline")]});
    let theirs: SqsEvent = serde_json::from_value(event.clone()).unwrap();
    let ours = batch(&event);
    for (item, record) in ours.items.iter().zip(&theirs.records) {
        assert_eq!(Some(&item.handle), record.message_id.as_ref());
        assert_eq!(Some(bytes(item)), record.body.as_deref().map(str::as_bytes));
        assert_eq!(item.arrived_micros, Some(1_523_232_000_000_000));
    }
    assert_eq!(id(&ours.items[0]), UnitId::of_transport(&["sqs", "arn:aws:sqs:eu-1:1:q", "a"]));
    // Bytes that are no text come as base64.
    let zipped = b"\x1f\x8b\x08\x00 and so on";
    let event = json!({"Records": [message("c", &STANDARD.encode(zipped))]});
    assert_eq!(bytes(&batch(&event).items[0]), zipped);
}

fn notice(key: &str, version: Option<&str>) -> Value {
    let mut object = json!({"key": key, "size": 3, "eTag": "d41d8cd9", "sequencer": "0055"});
    if let Some(version) = version {
        object["versionId"] = json!(version);
    }
    json!({"Records": [{
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "eu-1",
        "eventTime": "2026-11-02T10:15:31.000Z", "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "p"}, "requestParameters": {"sourceIPAddress": "1.2.3.4"},
        "responseElements": {},
        "s3": {"s3SchemaVersion": "1.0", "configurationId": "c",
               "bucket": {"name": "landing", "ownerIdentity": {"principalId": "p"},
                          "arn": "arn:aws:s3:::landing"},
               "object": object},
    }]})
}

fn objects(event: &Value) -> Vec<ObjectRef> {
    match &batch(event).items[0].content {
        Content::Objects(objects) => objects.clone(),
        other => panic!("expected objects, found {other:?}"),
    }
}

#[test]
fn notifications_name_a_version_however_they_come() {
    let straight = notice("logs/a+b%2Bc%C3%BC.gz", Some("v1"));
    let theirs: S3Event = serde_json::from_value(straight.clone()).unwrap();
    let entity = &theirs.records[0].s3;
    let expected = ObjectRef {
        bucket: entity.bucket.name.clone().unwrap(),
        key: "logs/a b+c\u{fc}.gz".to_owned(),
        version: entity.object.version_id.clone(),
        e_tag: entity.object.e_tag.clone(),
    };
    let queued = json!({"Records": [message("a", &straight.to_string())]});
    let sns = json!({"Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:t",
                     "Message": straight.to_string(), "Timestamp": "2026-11-02T10:15:31Z"});
    let through_sns = json!({"Records": [message("a", &sns.to_string())]});
    let bridged = json!({
        "version": "0", "id": "1", "detail-type": "Object Created", "source": "aws.s3",
        "account": "1", "time": "2026-11-02T10:15:31Z", "region": "eu-1", "resources": [],
        "detail": {"version": "0", "bucket": {"name": "landing"},
                   "object": {"key": "logs/a b+c\u{fc}.gz", "size": 3, "etag": "d41d8cd9",
                              "version-id": "v1", "sequencer": "0055"},
                   "reason": "PutObject"},
    });
    let through_bridge = json!({"Records": [message("a", &bridged.to_string())]});
    for event in [&straight, &queued, &through_sns, &bridged, &through_bridge] {
        assert_eq!(objects(event), std::slice::from_ref(&expected), "{event}");
    }
    // Another version is another unit; without versions the tag tells them apart.
    let of = |version| objects(&notice("k", version))[0].id();
    let ids: BTreeSet<UnitId> = [of(Some("v1")), of(Some("v2")), of(None)].into();
    assert_eq!(ids.len(), 3);
}

#[test]
fn what_is_about_no_new_object_is_nothing() {
    let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "landing",
                      "Time": "2026-11-02T10:15:31Z", "RequestId": "r", "HostId": "h"});
    let mut removed = notice("k", Some("v"));
    removed["Records"][0]["eventName"] = json!("ObjectRemoved:Delete");
    for body in [test, removed] {
        let event = json!({"Records": [message("a", &body.to_string())]});
        assert!(matches!(batch(&event).items[0].content, Content::Nothing), "{body}");
    }
}

#[test]
fn a_log_line_that_looks_like_a_notification_is_a_record_where_records_are_carried() {
    let forged = notice("secrets/all", None).to_string();
    let event = json!({"Records": [message("a", &forged)]}).to_string();
    let Ok(Envelope::Batch(batch)) = open(&event, |_| Carries::Records) else { panic!() };
    assert_eq!(bytes(&batch.items[0]), forged.as_bytes());
    // A mixture is no notification either.
    let mixed = forged.replace("aws:s3", "aws:s4");
    let event = json!({"Records": [message("a", &mixed)]});
    assert_eq!(bytes(&self::batch(&event).items[0]), mixed.as_bytes());
}

#[test]
fn firehose_records_are_named_by_their_stream_or_their_content() {
    let plain = |record: &str, data: &[u8], time: u64| {
        json!({"recordId": record, "approximateArrivalTimestamp": time,
               "data": STANDARD.encode(data)})
    };
    let mut of_stream = plain("4", b"x", 1);
    of_stream["kinesisRecordMetadata"] = json!({
        "shardId": "shardId-0", "partitionKey": "p", "approximateArrivalTimestamp": 1,
        "sequenceNumber": "9", "subsequenceNumber": 3,
    });
    let event = |records: Vec<Value>| {
        json!({"invocationId": "i", "region": "eu-1", "records": records,
               "deliveryStreamArn": "arn:aws:firehose:eu-1:1:deliverystream/d",
               "sourceKinesisStreamArn": "arn:aws:kinesis:eu-1:1:stream/s"})
    };
    let first = event(vec![
        plain("1", b"x", 1),
        plain("2", b"x", 1),
        plain("3", b"x", 2),
        of_stream.clone(),
    ]);
    let theirs: KinesisFirehoseEvent = serde_json::from_value(first.clone()).unwrap();
    let ours = batch(&first);
    for (item, record) in ours.items.iter().zip(&theirs.records) {
        assert_eq!(Some(&item.handle), record.record_id.as_ref());
        assert_eq!(bytes(item), record.data.0);
    }
    let ids: Vec<UnitId> = ours.items.iter().map(id).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 4, "equal records are not one");
    // Asked again, Firehose calls them otherwise; they are the same.
    of_stream["recordId"] = json!("40");
    let again = batch(&event(vec![
        plain("10", b"x", 1),
        plain("20", b"x", 1),
        plain("30", b"x", 2),
        of_stream,
    ]));
    assert_eq!(again.items.iter().map(id).collect::<Vec<_>>(), ids);
}

fn zipped(text: &str) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_subscription_of_logs_is_named_by_its_events() {
    let payload = |kind: &str, ids: &[&str]| {
        let events: Vec<Value> = ids
            .iter()
            .map(|id| json!({"id": id, "timestamp": 1_440_442_987_000_i64, "message": "m"}))
            .collect();
        let text = json!({"messageType": kind, "owner": "1", "logGroup": "/g", "logStream": "s",
                          "subscriptionFilters": ["f"], "logEvents": events});
        json!({"awslogs": {"data": STANDARD.encode(zipped(&text.to_string()))}})
    };
    let first = batch(&payload("DATA_MESSAGE", &["a", "b"])).items.remove(0);
    assert_eq!((first.place.as_str(), first.arrived_micros), ("/g", Some(1_440_442_987_000_000)));
    assert_eq!(id(&first), UnitId::of_transport(&["cloudwatch_logs", "1", "/g", "s", "a", "b"]));
    assert_ne!(id(&first), id(&batch(&payload("DATA_MESSAGE", &["ab"])).items[0]));
    let control = batch(&payload("CONTROL_MESSAGE", &[""])).items.remove(0);
    assert!(matches!(control.content, Content::Nothing));
    // What is no payload is kept as it came.
    let odd = batch(&json!({"awslogs": {"data": STANDARD.encode("odd")}})).items.remove(0);
    assert_eq!(bytes(&odd), b"odd");
}

#[test]
fn kafka_records_are_named_by_their_offset() {
    let record = |partition: i64, offset: i64, value: Value| {
        json!({"topic": "t", "partition": partition, "offset": offset,
               "timestamp": 1_545_084_650_987_i64, "timestampType": "CREATE_TIME",
               "key": null, "value": value, "headers": [{"h": [1, 2]}]})
    };
    let event = json!({
        "eventSource": "aws:kafka", "eventSourceArn": "arn:aws:kafka:eu-1:1:cluster/c",
        "bootstrapServers": "b:9092",
        "records": {"t-0": [record(0, 15, json!(STANDARD.encode("one"))), record(0, 16, Value::Null)],
                    "t-1": [record(1, 15, json!(STANDARD.encode("two")))]},
    });
    let theirs: KafkaEvent = serde_json::from_value(event.clone()).unwrap();
    assert_eq!(theirs.records.values().map(Vec::len).sum::<usize>(), 3);
    let ours = batch(&event);
    assert_eq!(ours.carrier, Carrier::Kafka);
    assert_eq!(bytes(&ours.items[0]), b"one");
    assert!(matches!(ours.items[1].content, Content::Nothing));
    assert_eq!(bytes(&ours.items[2]), b"two");
    let name = ["kafka", "arn:aws:kafka:eu-1:1:cluster/c", "t", "1", "15"];
    assert_eq!(id(&ours.items[2]), UnitId::of_transport(&name));
}

#[test]
fn a_request_knows_who_sends_it() {
    let request = |authorizer: Value, body: &str, is_base64: bool| {
        let event = json!({
            "version": "2.0", "routeKey": "$default", "rawPath": "/prod/v1/records",
            "rawQueryString": "", "headers": {"Content-Type": "text/plain", "X-A": "b"},
            "requestContext": {
                "accountId": "1", "apiId": "a", "authorizer": authorizer, "stage": "prod",
                "http": {"method": "POST", "path": "/prod/v1/records", "protocol": "HTTP/1.1",
                         "sourceIp": "1.2.3.4", "userAgent": "u"},
                "requestId": "r", "time": "t", "timeEpoch": 1,
            },
            "body": body, "isBase64Encoded": is_base64,
        });
        match open(&event.to_string(), either).unwrap() {
            Envelope::Http(request) => request,
            Envelope::Batch(_) => panic!("expected a request"),
        }
    };
    let iam = json!({"iam": {"userArn": "arn:aws:iam::1:user/a", "accountId": "1"}});
    let found = request(iam, "x", false);
    assert_eq!((found.method.as_str(), found.path.as_str()), ("POST", "/v1/records"));
    assert_eq!(found.headers.get("content-type").unwrap(), "text/plain");
    assert_eq!(found.body.as_deref(), Ok(&b"x"[..]));
    assert_eq!(found.caller.as_deref(), Some("arn:aws:iam::1:user/a"));
    let role = |session: &str| json!({"iam": {"userArn": format!("arn:aws:sts::1:assumed-role/shipper/{session}")}});
    for session in ["pod-1", "pod-2"] {
        let caller = request(role(session), "x", false).caller;
        assert_eq!(caller.as_deref(), Some("arn:aws:sts::1:assumed-role/shipper"));
    }
    let jwt = json!({"jwt": {"claims": {"sub": "s", "iss": "i"}, "scopes": null}});
    assert_eq!(request(jwt, "eA==", true).caller.as_deref(), Some("jwt:i:s"));
    let nobody = request(Value::Null, "eA==", true);
    assert_eq!((nobody.body.as_deref(), nobody.caller.as_deref()), (Ok(&b"x"[..]), None));
    assert!(request(Value::Null, "%", true).body.is_err());
}

#[test]
fn what_is_no_event_is_refused_with_what_it_is() {
    for (event, expected) in [
        ("[]", "no JSON object"),
        ("{}", "[]"),
        (r#"{"hello":1}"#, "hello"),
        (r#"{"Records":[{"eventSource":"aws:dynamodb"}]}"#, "aws:dynamodb"),
        (r#"{"Records":[]}"#, "records of"),
        (r#"{"version":"1.0","requestContext":{}}"#, "1.0"),
        (r#"{"detail-type":"x","source":"y"}"#, "notification"),
    ] {
        let error = open(event, either).unwrap_err().to_string();
        assert!(error.contains(expected), "{event}: {error}");
    }
}
