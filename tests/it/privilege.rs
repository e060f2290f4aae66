//! Least privilege: the documents of `infra/roles`, given word for word to a server that enforces
//! them. Everything works with what they allow, and what they do not allow the server refuses.

use std::fs;

use archive::sample::{self, delivery, unit};
use archive::{Archive, Location, StoreOptions};
use futures::TryStreamExt;
use meshledger_tests::laptop::{Laptop, Signing};
use meshledger_tests::ministack::{Deploy, Ministack};
use meshledger_tests::paths::repository;
use meshledger_tests::python::script;
use meshledger_tests::records::lines;
use meshledger_tests::seaweed::Seaweed;
use object_store::path::Path;
use object_store::{Error, GetOptions, ObjectStore, ObjectStoreExt};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// Access keys, which are account numbers too, so that functions can have them.
const WRITER: &str = "111111111111";
const SEALER: &str = "222222222222";
const READER: &str = "333333333333";
const ADMIN: &str = "meshledger-test";

const ARCHIVE: &str = "s3://audit/mesh";

/// A role's document for the archive of these tests.
fn role(name: &str) -> String {
    let path = repository().join("infra/roles").join(format!("{name}.json"));
    let mut text = fs::read_to_string(path).unwrap();
    for (word, value) in [
        ("archive_bucket", "audit"),
        ("archive_prefix", "mesh/"),
        ("work_bucket", "audit"),
        ("work_prefix", "mesh.work/"),
        ("landing_bucket", "landing"),
        ("trail_queue_arn", "arn:aws:sqs:us-east-1:111122223333:trail"),
    ] {
        text = text.replace(&format!("${{{word}}}"), value);
    }
    assert!(!text.contains("${"), "{name}.json has a word that is not filled in: {text}");
    text
}

fn server() -> Seaweed {
    let roles = [(WRITER, role("writer")), (SEALER, role("sealer")), (READER, role("reader"))];
    Seaweed::with_roles(&roles)
}

fn laptop_as(server: &Seaweed, key: &str) -> Laptop {
    Laptop::remote(ARCHIVE, Seaweed::environment_as(server.port(), key))
}

/// The archive in process, under a role. Nothing of it is read by this.
fn archive_as(server: &Seaweed, key: &str) -> Archive {
    let variable = |name: &str| {
        let environment = Seaweed::environment_as(server.port(), key);
        environment.into_iter().find(|(set, _)| *set == name).map(|(_, value)| value)
    };
    let options = StoreOptions {
        endpoint: variable("AWS_ENDPOINT_URL"),
        region: variable("AWS_REGION"),
        access_key_id: variable("AWS_ACCESS_KEY_ID"),
        secret_access_key: variable("AWS_SECRET_ACCESS_KEY"),
        allow_http: true,
        ..StoreOptions::default()
    };
    Archive::connect(&Location::parse(ARCHIVE, None).unwrap(), &options).unwrap()
}

#[test]
fn the_roles_grant_nothing_by_a_wildcard_and_deny_what_they_should() {
    for name in ["writer", "sealer", "reader"] {
        let policy: Value = serde_json::from_str(&role(name)).unwrap();
        for statement in policy["Statement"].as_array().unwrap() {
            assert_eq!(statement["Effect"], "Allow", "{name}: {statement}");
            for action in statement["Action"].as_array().unwrap() {
                let action = action.as_str().unwrap();
                assert!(!action.contains('*'), "{name} may {action}");
                let may = match name {
                    "writer" => ["s3:PutObject", "s3:GetObjectVersion"].contains(&action),
                    "sealer" => action != "s3:DeleteObjectVersion",
                    _ => !action.contains("Delete"),
                };
                assert!(may, "{name} may {action}");
            }
            for resource in statement["Resource"].as_array().unwrap() {
                assert_ne!(resource, "*", "{name}: {statement}");
            }
            if statement["Action"].as_array().unwrap().contains(&json!("s3:DeleteObject")) {
                let inbox = json!(["arn:aws:s3:::audit/mesh.work/inbox/*"]);
                assert_eq!(statement["Resource"], inbox, "{name}: {statement}");
            }
        }
    }
}

#[test]
fn ingest_seal_query_and_verify_work_with_what_their_roles_allow() {
    let server = server();
    let admin = laptop_as(&server, ADMIN);
    let Signing { key, policy } = admin.begin_ledger("archive.example/roles");
    let runtime = Runtime::new().unwrap();

    // Put only: a delivery, the same one again, and one that shares a unit with it.
    let writer = archive_as(&server, WRITER);
    let ingest = |units: &[sample::SampleUnit], at: i64| {
        runtime.block_on(sample::ingest(&writer, &delivery(units, at).unwrap())).unwrap();
    };
    ingest(&[unit("a", 2, 1), unit("b", 1, 0)], 1);
    ingest(&[unit("a", 2, 1), unit("b", 1, 0)], 1);

    // The sealer signs, empties the inbox, and writes Delta checkpoints.
    let sealer = laptop_as(&server, SEALER);
    let seal = || {
        let every = ["--delta-checkpoint-every", "2", "--json", "--key"];
        sealer.command("seal").args(every).args([&key]).run()
    };
    let report = seal().expect(0).json();
    assert_eq!((&report["manifests_sealed"], &report["rows"]), (&1.into(), &3.into()), "{report}");
    // New and held units in one delivery: what is new is written once more, by the sealer.
    ingest(&[unit("b", 1, 0), unit("c", 3, 1)], 2);
    let report = seal().expect(0).json();
    assert_eq!((&report["manifests_mixed"], &report["rows"]), (&1.into(), &3.into()), "{report}");
    // A manifest that is none is moved away.
    let inbox = format!("mesh.work/inbox/{}.json", "0".repeat(64));
    let bucket = server.bucket_as(ADMIN, "audit");
    runtime.block_on(bucket.put(&Path::from(inbox), "none".into())).unwrap();
    let refused = seal().expect(5).json();
    assert_eq!(refused["manifests_refused"][0]["is_moved"], true, "{refused}");
    ingest(&[unit("d", 1, 0)], 3);
    let report = seal().expect(0).json();
    assert_eq!(report["is_complete"], true, "{report}");
    ingest(&[unit("e", 1, 0)], 4);

    // Get and list only.
    let reader = laptop_as(&server, READER);
    assert_eq!(reader.events(), 8);
    assert_eq!(reader.number("SELECT count(*) FROM mesh_quarantine"), 2);
    let verify = reader.command("verify").args(["--json", "--policy"]).args([&policy]).run();
    let report = verify.json();
    assert_eq!(verify.codes(), ["UNSEALED"], "{report}");
    let strict = ["--strict", "--policy", policy.to_str().unwrap(), "--format", "json"];
    let strict =
        reader.command("query").args(strict).args(["SELECT count(*) AS n FROM mesh_events"]);
    assert_eq!(strict.run().expect(0).json()["n"], 7);

    // The function, under the sealer's role.
    let stack = Ministack::shared();
    let mut environment = Seaweed::function_environment(server.port());
    environment.extend([
        ("MESHLEDGER_ARCHIVE", ARCHIVE.to_owned()),
        ("MESHLEDGER_KEY", "env:LEDGER_KEY".to_owned()),
        ("LEDGER_KEY", fs::read_to_string(&key).unwrap()),
        ("MESHLEDGER_POLICY", fs::read_to_string(&policy).unwrap()),
    ]);
    let deploy = Deploy::new("maintain-role", "meshledger-maintain-fn", &environment);
    let function = stack.deploy(&Deploy { account: SEALER, ..deploy });
    let report = function.invoke(&json!({ "action": "seal" })).ok();
    assert_eq!((&report["rows"], &report["is_complete"]), (&1.into(), &true.into()), "{report}");
    let report = function.invoke(&json!({ "action": "verify" })).ok();
    assert_eq!(report["ok"], true, "{report}");
}

#[test]
fn the_ingest_function_reads_what_landed_by_version_and_may_do_nothing_but_put() {
    let server = server();
    let versions = script("s3_versions.py").envs(Seaweed::environment(server.port()));
    let _ = versions.args(["enable", "landing"]).run().expect(0);
    let admin = laptop_as(&server, ADMIN);
    let _ = admin.begin_ledger("archive.example/landed");
    let runtime = Runtime::new().unwrap();
    let at = Path::from("logs/a.log");
    let landing = server.bucket_as(ADMIN, "landing");
    let put = |name: &str| {
        let put = runtime.block_on(landing.put(&at, lines(name, 10).into())).unwrap();
        put.version.unwrap()
    };
    let (first, second) = (put("first"), put("second"));
    let mut environment = Seaweed::function_environment(server.port());
    environment.push(("MESHLEDGER_ARCHIVE", ARCHIVE.to_owned()));
    environment.push(("MESHLEDGER_LANDING", "s3://landing/logs".to_owned()));
    let deploy = Deploy::new("ingest-role", "meshledger-ingest-fn", &environment);
    let function = Ministack::shared().deploy(&Deploy { account: WRITER, ..deploy });
    let landed = |version: &str| {
        json!({ "Records": [{
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": "us-east-1",
            "eventTime": "2026-11-22T15:00:00.000Z",
            "eventName": "ObjectCreated:Put",
            "s3": {
                "s3SchemaVersion": "1.0",
                "bucket": { "name": "landing", "arn": "arn:aws:s3:::landing" },
                "object": { "key": "logs/a.log", "size": 1, "versionId": version, "sequencer": "1" },
            },
        }] })
    };
    // The version that was overwritten is read as well, and each once, however often it is told.
    for version in [&second, &first, &second, &first] {
        let _ = function.invoke(&landed(version)).ok();
    }
    assert_eq!(admin.events(), 20);
    let _ = admin.command("seal").args(["--key"]).args([admin.path("ledger.key")]).run().expect(0);
    let _ = function.invoke(&landed(&first)).ok();
    assert_eq!(admin.number("SELECT count(DISTINCT request_id) FROM mesh_events"), 20);
    assert_eq!(admin.events(), 20);
}

/// What the server says to a request of a role.
fn is_refused<T>(outcome: Result<T, Error>) -> bool {
    match outcome {
        // What another role deleted is not refused either.
        Ok(_) | Err(Error::NotFound { .. }) => false,
        Err(Error::PermissionDenied { .. }) => true,
        // Listings and deletions of several objects are refused in these words.
        Err(other) if other.to_string().contains("AccessDenied") => true,
        Err(other) => panic!("neither done nor refused: {other}"),
    }
}

#[test]
fn the_server_refuses_what_a_role_does_not_allow() {
    let server = server();
    let versions = script("s3_versions.py").envs(Seaweed::environment(server.port()));
    let _ = versions.args(["enable", "landing"]).run().expect(0);
    let admin = laptop_as(&server, ADMIN);
    let _ = admin.begin_ledger("archive.example/refused");
    let _ = admin.ingest_bytes("a.log", lines("a", 3));
    let bucket = server.bucket_as(ADMIN, "audit");
    let runtime = Runtime::new().unwrap();
    let places = [
        "mesh/_delta_log/00000000000000000001.json",
        "mesh/_ledger/checkpoint",
        "mesh/manifests/m.json",
        "mesh/data/event_date=2026-11-22/f.parquet",
        "mesh/index/held/h.bin",
        "mesh/quarantine/q.parquet",
        "mesh.work/inbox/i.json",
        "mesh.work/lock/l",
        "mesh.work/refused/r.json",
        "mesh.work/results/a.csv",
        "other/secret",
    ];
    for place in places {
        runtime.block_on(bucket.put(&Path::from(place), "there".into())).unwrap();
    }
    // For each role, where it may put, get and delete: everything else is refused.
    let all: Vec<&str> =
        places.iter().copied().filter(|place| !place.starts_with("other")).collect();
    let files = [places[3], places[5]];
    for (name, role, puts, gets, deletes, lists) in [
        ("writer", WRITER, [&files[..], &places[6..7]].concat(), vec![], vec![], false),
        (
            "sealer",
            SEALER,
            [&places[..6], &places[7..9]].concat(),
            all.clone(),
            vec![places[6]],
            true,
        ),
        ("reader", READER, vec![places[9]], all.clone(), vec![], true),
    ] {
        let bucket = server.bucket_as(role, "audit");
        for place in places {
            let at = Path::from(place);
            let denied = is_refused(runtime.block_on(bucket.get(&at)));
            assert_eq!(denied, !gets.contains(&place), "{name} gets {place}");
            let denied = is_refused(runtime.block_on(bucket.put(&at, "another".into())));
            assert_eq!(denied, !puts.contains(&place), "{name} puts {place}");
            let denied = is_refused(runtime.block_on(bucket.delete(&at)));
            assert_eq!(denied, !deletes.contains(&place), "{name} deletes {place}");
        }
        for (prefix, may) in [("mesh/data", lists), ("mesh.work/inbox", lists), ("other", false)] {
            let prefix = Path::from(prefix);
            let listed = runtime.block_on(bucket.list(Some(&prefix)).try_collect::<Vec<_>>());
            assert_eq!(is_refused(listed), !may, "{name} lists {prefix}");
        }
    }
    // What was deleted by the one who may is gone; all else is still there.
    let bucket = server.bucket_as(ADMIN, "audit");
    for place in places {
        let there = runtime.block_on(bucket.get(&Path::from(place))).is_ok();
        assert_eq!(there, place != places[6], "{place}");
    }
    landed_objects_are_read_by_version_alone(&server, &runtime);
}

fn landed_objects_are_read_by_version_alone(server: &Seaweed, runtime: &Runtime) {
    let at = Path::from("logs/a.log");
    let put = runtime.block_on(server.bucket_as(ADMIN, "landing").put(&at, "a line".into()));
    let version = put.unwrap().version;
    let writer = server.bucket_as(WRITER, "landing");
    assert!(is_refused(runtime.block_on(writer.get(&at))), "the writer gets the latest version");
    assert!(is_refused(runtime.block_on(writer.put(&at, "mine".into()))));
    assert!(is_refused(runtime.block_on(writer.delete(&at))));
    assert!(is_refused(runtime.block_on(writer.list(None).try_collect::<Vec<_>>())));
    let options = GetOptions { version: Some(version.unwrap()), ..GetOptions::default() };
    let read = runtime.block_on(writer.get_opts(&at, options)).unwrap();
    assert_eq!(runtime.block_on(read.bytes()).unwrap(), "a line");
}
