//! The test kit itself does what the other tests take for granted.

use futures::future::join_all;
use meshledger_tests::cli::Program;
use meshledger_tests::faulty_proxy::FaultyProxy;
use meshledger_tests::seaweed::Seaweed;
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload, RetryConfig};

fn store(port: u16, retries: usize) -> AmazonS3 {
    let variables = Seaweed::environment(port);
    let value = |name: &str| variables.iter().find(|(found, _)| *found == name).unwrap().1.clone();
    AmazonS3Builder::new()
        .with_endpoint(value("AWS_ENDPOINT_URL"))
        .with_allow_http(true)
        .with_region(value("AWS_REGION"))
        .with_bucket_name("audit")
        .with_access_key_id(value("AWS_ACCESS_KEY_ID"))
        .with_secret_access_key(value("AWS_SECRET_ACCESS_KEY"))
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_retry(RetryConfig { max_retries: retries, ..RetryConfig::default() })
        .build()
        .unwrap()
}

async fn create(store: &dyn ObjectStore, key: &str, text: &str) -> Result<(), Error> {
    let payload = PutPayload::from(text.to_owned());
    store.put_opts(&Path::from(key), payload, PutMode::Create.into()).await.map(|_| ())
}

#[test]
fn the_server_lets_one_of_many_writers_create_an_object() {
    let server = Seaweed::shared();
    let store = store(server.port(), 0);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for round in 0..5 {
        let key = format!("kit/once-{round}");
        let writers = (0..16).map(|writer| {
            let (store, key) = (&store, &key);
            async move { create(store, key, &writer.to_string()).await }
        });
        let results = runtime.block_on(async { join_all(writers).await });
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    }
}

#[test]
fn the_proxy_fails_as_often_as_told_and_passes_the_rest_unchanged() {
    let server = Seaweed::shared();
    let proxy = FaultyProxy::start(server.port(), 3, 8);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (direct, troubled) = (store(server.port(), 0), store(proxy.port(), 0));
    let (mut failed, mut stored_though_failed) = (0, 0);
    for number in 0..120 {
        let (key, text) = (format!("kit/proxy-{number}"), "x".repeat(number * 1000));
        let result = runtime.block_on(create(&troubled, &key, &text));
        let found = runtime.block_on(async {
            let object = direct.get(&Path::from(key.as_str())).await.ok()?;
            object.bytes().await.ok()
        });
        match result {
            Ok(()) => assert_eq!(found.as_deref(), Some(text.as_bytes()), "{key}"),
            Err(_) => {
                failed += 1;
                stored_though_failed += u64::from(found.is_some());
            }
        }
    }
    let counts = proxy.counts();
    eprintln!("{counts:?}");
    assert_eq!((counts.requests, counts.faults()), (120, failed));
    assert_eq!(counts.lost_replies, stored_though_failed, "only a lost reply leaves the object");
    for kind in
        [counts.answered_500, counts.answered_503, counts.lost_requests, counts.lost_replies]
    {
        assert!(kind > 0, "every sort of fault must occur: {counts:?}");
    }
    proxy.set_faulty(false);
    runtime.block_on(create(&troubled, "kit/proxy-off", "x")).unwrap();
}

#[test]
fn a_program_that_hangs_is_ended_and_a_killed_one_is_told_from_a_failed_one() {
    let limit = std::time::Duration::from_millis(300);
    let hang = std::panic::catch_unwind(|| {
        Program::new("sh").args(["-c", "cat /dev/zero >/dev/null"]).time_limit(limit).run()
    });
    let message = *hang.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("too long"), "{message}");
    assert_eq!(Program::new("sh").args(["-c", "exit 7"]).run().code, Some(7));
    assert_eq!(Program::new("sh").args(["-c", "kill -9 $$"]).run().code, None);
    let echoed = Program::new("cat").stdin(vec![b'x'; 1 << 20]).run();
    assert_eq!(echoed.stdout.len(), 1 << 20);
}
