//! What the trail is told of a query, and what becomes of a query that it can not be told of.

use std::sync::{Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::*;
use crate::AccessPolicy;
use crate::trail::{Intake, Literals, Loss};

/// An intake that keeps what it takes, until it is told to fail or to hang.
#[derive(Default)]
struct Kept {
    entries: Mutex<Vec<Value>>,
    trouble: Mutex<Option<Trouble>>,
}

#[derive(Clone, Copy)]
enum Trouble {
    Fails,
    Hangs,
}

impl Kept {
    fn take(&self) -> Vec<Value> {
        std::mem::take(&mut self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap() = Some(trouble);
    }
}

impl Intake for Kept {
    fn put(&self, entry: String) -> BoxFuture<'_, Result<(), String>> {
        let trouble = *self.trouble.lock().unwrap();
        match trouble {
            Some(Trouble::Fails) => async { Err("no queue".to_owned()) }.boxed(),
            Some(Trouble::Hangs) => std::future::pending().boxed(),
            None => {
                self.entries.lock().unwrap().push(serde_json::from_str(&entry).unwrap());
                async { Ok(()) }.boxed()
            }
        }
    }
}

impl Kit {
    fn trailed(mut self, loss: Loss, policy: Option<&str>) -> (Self, Arc<Kept>) {
        let kept = Arc::new(Kept::default());
        let intake: Arc<dyn Intake> = Arc::<Kept>::clone(&kept);
        let trail = Trail::new(intake, Literals::Kept, loss);
        let mut engine = Engine::new(self.archive.reader(), Limits::default()).unwrap();
        if let Some(policy) = policy {
            engine = engine.guarded_by(AccessPolicy::parse(policy, &|_| None).unwrap()).unwrap();
        }
        let results = Some(self.archive.results());
        let questions = Questions::built_in().unwrap();
        self.service =
            Service::new(engine, questions, results, Settings::default()).trailed(Some(trail));
        (self, kept)
    }
}

fn as_ann() -> Call {
    Call { caller: Some("secret:ann".to_owned()), ..call(DAY) }
}

async fn asked(kit: &Kit, body: &Value) -> HttpAnswer {
    let body = body.to_string();
    kit.service.http(HttpRequest { body: body.as_bytes(), ..post() }, as_ann()).await
}

const SCAN: &str = "SELECT principal FROM mesh_events";
const COUNT: &str = "SELECT count(*) AS n FROM mesh_events";

#[tokio::test(flavor = "multi_thread")]
async fn every_query_is_told_whatever_came_of_it() {
    let (kit, kept) = Kit::usual().await.trailed(Loss::Fails, None);
    for (body, status, outcome) in [
        (json!({"sql": COUNT}), 200, "ok"),
        (json!({"sql": COUNT, "mode": "strict", "delivery": "url"}), 200, "ok"),
        (json!({"question": "quarantine_summary"}), 200, "ok"),
        (json!({"sql": "SELEC"}), 400, "SYNTAX"),
        (json!({"sql": "DROP TABLE mesh_events"}), 403, "REFUSED"),
        (json!({"sql": "SELECT * FROM mesh_events", "limits": {"rows": 1}}), 422, "LIMIT_ROWS"),
        (json!({"sqll": 1}), 400, "REQUEST"),
    ] {
        let answer = asked(&kit, &body).await;
        assert_eq!(answer.status, status, "{body}: {:?}", answer.body);
        let entries = kept.take();
        let [entry] = entries.as_slice() else { panic!("{body}: {entries:?}") };
        assert_eq!((&entry["outcome"], &entry["who"]), (&json!(outcome), &json!("secret:ann")));
        assert_eq!(entry["time"], "2026-11-02T00:00:00.000000Z");
        // The SQL of a question is the collection's.
        if body.get("sql").is_some() {
            assert_eq!(entry["sql"], body["sql"]);
        }
        assert_eq!(entry["question"], body["question"]);
        assert_eq!(entry["sql_sha256"].is_string(), outcome != "REQUEST");
        let mode = body["mode"].as_str().unwrap_or("fresh");
        assert_eq!(entry["mode"], if outcome == "REQUEST" { Value::Null } else { json!(mode) });
        // Only what began to be read has numbers.
        let read = ["ok", "LIMIT_ROWS"].contains(&outcome);
        assert_eq!(entry["version"], if read { json!(2) } else { Value::Null }, "{entry}");
        assert_eq!(entry["dry_run"], Value::Null);
        assert!(entry["id"] != "one-call", "the name of a result is for who asked");
    }
    for (body, outcome) in [
        (json!({"sql": COUNT, "dry_run": true}), "ok"),
        (json!({"sql": SCAN, "dry_run": true, "caps": {"requests": 1}}), "LIMIT_REQUESTS"),
        (json!({"sql": "SELEC", "dry_run": true}), "SYNTAX"),
    ] {
        let _ = asked(&kit, &body).await;
        let entries = kept.take();
        let [entry] = entries.as_slice() else { panic!("{body}: {entries:?}") };
        assert_eq!((&entry["outcome"], &entry["dry_run"]), (&json!(outcome), &json!(true)));
        assert_eq!((&entry["sql"], &entry["rows"]), (&body["sql"], &Value::Null));
    }
    // What is no query, as a GET, is not told.
    let answer = kit.service.http(HttpRequest { method: "GET", ..post() }, as_ann()).await;
    assert_eq!((answer.status, kept.take().len()), (405, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_has_the_numbers_that_a_restricted_caller_is_not_told() {
    let policy = r#"{"rules": [{"name": "a", "who": ["secret:ann"],
        "tables": {"mesh_events": {"rows": "principal = 'a#0'"}}}]}"#;
    let (kit, kept) = Kit::usual().await.trailed(Loss::Fails, Some(policy));
    let answer = asked(&kit, &json!({"sql": "SELECT principal FROM mesh_events"})).await;
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(told["rows"], json!([{"principal": "a#0"}]));
    assert_eq!(
        (&told["receipt"]["bytes_read"], &told["receipt"]["restricted"]),
        (&Value::Null, &json!(true))
    );
    let entries = kept.take();
    assert_eq!((&entries[0]["rows"], &entries[0]["restricted"]), (&json!(1), &json!(true)));
    assert!(entries[0]["bytes"].as_u64() > Some(0) && entries[0]["files"].as_u64() > Some(0));
    // Who is let see nothing is on the trail too.
    let answer = asked(&kit, &json!({"sql": "SELECT 1 FROM mesh_quarantine"})).await;
    assert_eq!((answer.status, &kept.take()[0]["outcome"]), (403, &json!("ACCESS")));
    let stranger = kit.direct(&json!({"sql": COUNT})).await;
    assert_eq!(error(&stranger).0, "ACCESS");
    let entries = kept.take();
    assert_eq!((&entries[0]["outcome"], &entries[0]["who"]), (&json!("ACCESS"), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_entry_a_query_fails_where_the_setting_says_so_and_only_there() {
    for trouble in [Trouble::Fails, Trouble::Hangs] {
        for (loss, status) in [(Loss::Fails, 503), (Loss::Counted, 200)] {
            let (kit, kept) = Kit::usual().await.trailed(loss, None);
            kept.set(trouble);
            let body = json!({"sql": COUNT}).to_string();
            let request = HttpRequest { body: body.as_bytes(), ..post() };
            // What hangs is waited for as long as the function has.
            let call = Call { time_left: Duration::from_secs(3), ..as_ann() };
            let answer = kit.service.http(request, call).await;
            let told: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(answer.status, status, "{told}");
            if loss == Loss::Fails {
                assert_eq!(error(&told).0, "TRAIL");
                assert!(told.get("rows").is_none(), "{told}");
            } else {
                assert_eq!(told["rows"], json!([{"n": 3}]));
            }
            assert_eq!(kit.service.trail_lost(), 1);
        }
    }
}
