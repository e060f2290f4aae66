//! Every file of `sql/`, asked with its defaults and with each of its parameters: the engine answers
//! as DuckDB does, over the same Parquet files and by the same text, and no answer is empty.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use archive::{Archive, Location, StoreOptions};
use meshledger_tests::laptop::Laptop;
use meshledger_tests::paths::repository;
use meshledger_tests::python::script;
use meshledger_tests::tamper::files_below;
use query_fn::questions::{Question, Questions};
use query_fn::service::{Call, Reply, Service, Settings};
use query_fn::sql_views::VIEWS;
use query_fn::{Engine, Limits, Param, ParamKind};
use serde_json::{Map, Value, json};

use crate::incidents::Incidents;

/// The query function over an archive, in this process.
pub(crate) struct Desk {
    runtime: tokio::runtime::Runtime,
    service: Service,
}

impl Desk {
    pub(crate) fn new(laptop: &Laptop) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime can be built");
        let service = runtime.block_on(async {
            let location = Location::parse(laptop.archive(), None).unwrap();
            let archive = Archive::open(&location, &StoreOptions::default()).await.unwrap();
            let engine = Engine::new(archive.reader(), Limits::default()).unwrap();
            let questions = Questions::built_in().unwrap();
            Service::new(engine, questions, Some(archive.results()), Settings::default())
        });
        Self { runtime, service }
    }

    /// Columns, rows and receipt of a request of the query API.
    #[track_caller]
    pub(crate) fn ask(&self, request: &Value) -> Value {
        let answer = self.asked(request);
        assert!(answer["rows"].is_array(), "{request}: {answer}");
        answer
    }

    /// What a request is said to cost, and then its answer.
    #[track_caller]
    fn estimate_and_answer(&self, request: &Value) -> (Value, Value) {
        let mut dry = request.clone();
        dry["dry_run"] = json!(true);
        let mut told = self.asked(&dry);
        assert!(told["estimate"].is_object(), "{request}: {told}");
        let estimate = told["estimate"].take();
        (estimate, self.ask(request))
    }

    #[track_caller]
    fn asked(&self, request: &Value) -> Value {
        let call = Call {
            time_left: Duration::from_secs(300),
            now_micros: 1_793_577_600_000_000,
            id: "test".to_owned(),
            caller: None,
        };
        let body = request.to_string();
        let asked = self.service.answer(body.as_bytes(), call);
        match self.runtime.block_on(asked) {
            Reply::Payload(bytes) => serde_json::from_slice(&bytes).unwrap(),
            other => panic!("{request}: {other:?}"),
        }
    }

    /// The receipt of SQL.
    #[track_caller]
    pub(crate) fn receipt(&self, sql: &str) -> Value {
        self.ask(&json!({ "sql": sql }))["receipt"].take()
    }
}

/// One thing that both engines are asked.
struct Job {
    /// File below `sql/`, and how it is asked.
    name: String,
    file: String,
    sql: String,
    params: BTreeMap<String, (ParamKind, Option<String>)>,
    /// The same for the query API.
    request: Value,
    /// Name of the job whose answer it must differ from.
    against: Option<String>,
}

/// Columns and rows, of either engine.
#[derive(Debug, PartialEq)]
struct Rows {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
}

/// What a query read, if it is more than it was said to read.
pub(crate) fn over(estimate: &Value, receipt: &Value) -> Option<String> {
    let number = |of: &Value| of.as_u64().unwrap_or_else(|| panic!("{of} is no number"));
    let members = [("bytes", "bytes_read"), ("requests", "requests"), ("files", "files_read")];
    let over =
        members.iter().find(|(said, found)| number(&estimate[*said]) < number(&receipt[*found]));
    over.map(|(said, _)| format!("{said}: {estimate}\n{receipt}"))
}

fn ours(answer: &Value) -> Rows {
    let names = answer["columns"].as_array().unwrap().iter();
    let columns: Vec<String> =
        names.map(|column| column["name"].as_str().unwrap().to_owned()).collect();
    let row = |row: &Value| columns.iter().map(|name| row[name].clone()).collect();
    let rows = answer["rows"].as_array().unwrap().iter().map(row).collect();
    Rows { columns, rows }
}

/// What DuckDB answers to all jobs.
fn theirs(laptop: &Laptop, jobs: &[Job]) -> Vec<Rows> {
    let listed: Vec<Value> = jobs
        .iter()
        .map(|job| {
            let param = |(name, (kind, text)): (&String, &(ParamKind, Option<String>))| {
                (name.clone(), json!([kind.name(), text]))
            };
            let params: Map<String, Value> = job.params.iter().map(param).collect();
            json!({"name": job.name, "sql": job.sql, "params": params})
        })
        .collect();
    let views: Map<String, Value> =
        VIEWS.iter().map(|view| (view.name.to_owned(), json!(view.sql))).collect();
    let file = laptop.write("jobs.json", json!({"views": views, "jobs": listed}).to_string());
    let output = script("questions.py").args([laptop.archive()]).args([file]).run().expect(0);
    let answers = output.json_lines();
    assert_eq!(answers.len(), jobs.len(), "{}", output.report());
    let mut all = Vec::new();
    for (answer, job) in answers.into_iter().zip(jobs) {
        assert_eq!(answer["name"], *job.name);
        all.push(Rows {
            columns: serde_json::from_value(answer["columns"].clone()).unwrap(),
            rows: serde_json::from_value(answer["rows"].clone()).unwrap(),
        });
    }
    all
}

/// Whether two values are one. Percentiles are interpolated in the engine to a millionth of the
/// step between two neighbours, in DuckDB exactly; all other numbers are the same.
fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours.as_f64(), theirs.as_f64()) {
        (Some(a), Some(b)) if ours.is_f64() || theirs.is_f64() => {
            (a - b).abs() <= 1e-5 * a.abs().max(b.abs()).max(1e-3)
        }
        _ => ours == theirs,
    }
}

#[track_caller]
fn compare(name: &str, ours: &Rows, theirs: &Rows) {
    assert_eq!(ours.columns, theirs.columns, "{name}");
    assert_eq!(ours.rows.len(), theirs.rows.len(), "{name}: {} and DuckDB's rows", ours.rows.len());
    for (row, (a, b)) in ours.rows.iter().zip(&theirs.rows).enumerate() {
        for (column, (a, b)) in ours.columns.iter().zip(a.iter().zip(b)) {
            assert!(same(a, b), "{name}, row {row}, {column}: {a}, and in DuckDB {b}");
        }
    }
}

/// Sorted, for what has no order of its own.
fn sorted(mut rows: Rows) -> Rows {
    rows.rows.sort_by_cached_key(|row| json!(row).to_string());
    rows
}

/// The file below `sql/` that a question is built from.
fn file_of(question: &Question, files: &BTreeSet<String>) -> String {
    let named = |file: &&String| {
        let place = file.trim_end_matches(".sql").split_once('/').map_or("", |(_, rest)| rest);
        place.replace('/', "_") == question.name
    };
    files.iter().find(named).unwrap_or_else(|| panic!("no file of {}", question.name)).clone()
}

/// Parameters that a question is always given here: those it demands.
fn base<'a>(question: &str, known: &'a Known) -> Vec<(&'static str, &'a str)> {
    match question {
        "changes_around" => vec![("at", &known.mistake)],
        "identity_activity" => {
            vec![("principal", "spiffe://prod-eu-1.example/ns/shop/sa/recommendations")]
        }
        "path_access" => vec![("path", "/*")],
        "request_trail" => vec![("request_id", &known.request)],
        "pci_dss_10_2_1_1" | "hipaa_164_308_a_1_ii_d" => vec![("namespace", "payments")],
        _ => Vec::new(),
    }
}

/// Values that depend on the traffic.
struct Known {
    /// When the policy mistake begins.
    mistake: String,
    /// A request it denied, just after its first record and just before its last, and a trace.
    request: String,
    request_since: String,
    request_until: String,
    trace: String,
    /// When the last delivery with records that were not understood came.
    last_received: String,
}

/// A value of each parameter with which the answer is another, and not empty.
fn value<'a>(question: &str, param: &str, known: &'a Known) -> &'a str {
    match (question, param) {
        ("request_trail", "since") => &known.request_since,
        ("request_trail", "until") => &known.request_until,
        (_, "trace_id") => &known.trace,
        (_, "request_id") => "legacy-3",
        (_, "at") => "2026-11-03T08:15:20Z",
        ("changes_around", "window_minutes") => "3",
        ("changes_around", "min_events") => "1",
        ("policy_impact", "window_minutes") => "300",
        ("policy_impact", "min_denials") => "1",
        ("policy_impact", "root_namespace") => "shop",
        ("quarantine_summary", "since" | "until") => &known.last_received,
        (_, "since") => "2026-11-02T12:00:00Z",
        (_, "until") => "2026-11-03T06:00:00Z",
        (_, "cluster") => "prod-eu-1",
        ("pci_dss_10_2_1_1" | "hipaa_164_308_a_1_ii_d", "namespace") => "shop",
        ("pci_dss_10_2_1_1" | "hipaa_164_308_a_1_ii_d", "service") => {
            "payments.payments.svc.cluster.local"
        }
        ("tls_failures_by_reason", "service") => "shipping.logistics.svc.cluster.local",
        ("error_onset", "service") => "reviews.shop.svc.cluster.local",
        ("would_be_denials", "service") => "reviews",
        (_, "service") => "catalog.shop.svc.cluster.local",
        (_, "namespace") => "shop",
        ("new_edges", "who") => "principal",
        (_, "who" | "changed_by") => "alice@example.com",
        (_, "policy") => "shop/frontend-allow",
        (_, "principal") => "spiffe://prod-eu-1.example/ns/shop/*",
        (_, "path") => "/admin/export",
        (_, "name") => "frontend-allow",
        ("policy_changes", "type") => "authorizationpolicies",
        (_, "type") => "namespaces",
        (_, "privilege") => "exec",
        (_, "limit_rows") => "1",
        ("capture_gaps", "min_gap_minutes") => "5000",
        (_, "min_gap_minutes") => "300",
        (_, "min_requests") => "500",
        (_, "min_denials" | "min_errors") => "12",
        ("denial_onset" | "error_onset", "factor") => "1",
        (_, "factor") => "100",
        (_, "min_ms") => "2000",
        (_, "min_calls") => "3",
        (_, "min_events") => "5",
        (_, "baseline_days") => "0",
        (_, "online_days") => "200",
        _ => panic!("{question} takes {param}, for which this test must learn a value"),
    }
}

fn job(question: &Question, file: &str, given: &[(&str, &str)]) -> Job {
    let params = question.params.iter().map(|param| {
        let given = given.iter().find(|(name, _)| *name == param.name);
        let default = || match &param.default {
            Some(Param::Text(text)) => text.clone(),
            Some(Param::Integer(number)) => number.map(|number| number.to_string()),
            Some(Param::Timestamp(None)) => None,
            other => panic!("{}: {} is {other:?}", question.name, param.name),
        };
        let text = given.map_or_else(default, |(_, value)| Some((*value).to_owned()));
        (param.name.clone(), (param.kind, text))
    });
    let parameters: Map<String, Value> =
        given.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    Job {
        name: format!("{} {given:?}", question.name),
        file: file.to_owned(),
        sql: question.sql.clone(),
        params: params.collect(),
        request: json!({"question": question.name, "parameters": parameters}),
        against: None,
    }
}

/// The question with its defaults, then with each parameter besides.
fn jobs_of(question: &Question, file: &str, known: &Known) -> Vec<Job> {
    let base = base(&question.name, known);
    let mut jobs = vec![job(question, file, &base)];
    for param in &question.params {
        // How far back edges are looked for matters with a `since` only.
        let beside = match (question.name.as_str(), param.name.as_str()) {
            ("new_edges", "baseline_days") => Some(("since", "2026-11-03T09:00:00Z")),
            _ => None,
        };
        let mut given: Vec<(&str, &str)> =
            base.iter().copied().filter(|(name, _)| *name != param.name).chain(beside).collect();
        let mut against = jobs[0].name.clone();
        if beside.is_some() {
            let without = job(question, file, &given);
            against.clone_from(&without.name);
            jobs.push(without);
        }
        given.push((&param.name, value(&question.name, &param.name, known)));
        jobs.push(Job { against: Some(against), ..job(question, file, &given) });
    }
    jobs
}

fn jobs_of_views() -> Vec<Job> {
    let job = |name: &str, sql: String| Job {
        name: sql.clone(),
        file: format!("views/{name}.sql"),
        request: json!({ "sql": sql }),
        sql,
        params: BTreeMap::new(),
        against: None,
    };
    let mut jobs = Vec::new();
    for view in VIEWS {
        // All of its columns, of the fixtures' day; and of all days the columns of a few.
        let all = if view.name == "mesh_events_distinct" {
            jobs.push(job(
                view.name,
                format!("SELECT segment, segment_row, request_id, copies FROM {}", view.name),
            ));
            format!("SELECT * FROM {} WHERE event_date = DATE '2026-08-01'", view.name)
        } else {
            format!("SELECT * FROM {}", view.name)
        };
        jobs.push(job(view.name, all));
    }
    jobs
}

fn known(incidents: &Incidents) -> Known {
    let laptop = &incidents.laptop;
    let one = |sql: String| {
        let rows = laptop.query(&sql);
        let text = |row: &Value| row.as_object().unwrap().values().next().unwrap().clone();
        text(rows.first().unwrap()).as_str().unwrap().to_owned()
    };
    let of_request = format!("FROM mesh_events WHERE request_id = '{}'", incidents.request);
    Known {
        mistake: common::date::rfc3339(incidents.mistake.0, 6),
        request: incidents.request.clone(),
        request_since: one(format!(
            "SELECT event_time FROM (SELECT DISTINCT event_time {of_request}) ORDER BY 1 LIMIT 1 OFFSET 1"
        )),
        request_until: one(format!("SELECT max(event_time) {of_request}")),
        trace: one(
            "SELECT min(trace_id) FROM mesh_events WHERE event_date = '2026-11-03'".to_owned()
        ),
        last_received: one("SELECT max(ingest_time) FROM mesh_quarantine".to_owned()),
    }
}

#[test]
fn every_file_answers_as_duckdb_does_and_no_answer_is_empty() {
    let incidents = Incidents::new();
    let known = known(&incidents);
    // So that the trail has a row.
    let ask = incidents.laptop.command("query").args(["--trail", "required", "SELECT 1"]);
    let _ = ask.run().expect(0);
    let sql = repository().join("sql");
    let files: BTreeSet<String> = files_below(&sql)
        .iter()
        .map(|path| path.strip_prefix(&sql).unwrap().display().to_string())
        .filter(|name| name.ends_with(".sql") && name != "schema.sql")
        .collect();
    let mut jobs = jobs_of_views();
    for question in Questions::built_in().unwrap().iter() {
        jobs.extend(jobs_of(question, &file_of(question, &files), &known));
    }
    let asked: BTreeSet<String> = jobs.iter().map(|job| job.file.clone()).collect();
    assert_eq!(asked, files, "files of sql/ that no test asks, or that are not there");
    let desk = Desk::new(&incidents.laptop);
    let theirs = theirs(&incidents.laptop, &jobs);
    let mut answers: BTreeMap<&str, Rows> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (job, theirs) in jobs.iter().zip(theirs) {
        let (estimate, answer) = desk.estimate_and_answer(&job.request);
        let ours = ours(&answer);
        wrong.extend(
            over(&estimate, &answer["receipt"]).map(|over| format!("{}: {over}", job.name)),
        );
        // Reports ask as the other questions do.
        if job.against.is_none() && !job.file.starts_with("compliance/") {
            // A strict query uses nothing that others learnt of files.
            let mut request = job.request.clone();
            request["mode"] = json!("strict");
            let (estimate, answer) = desk.estimate_and_answer(&request);
            let over = over(&estimate, &answer["receipt"]);
            wrong.extend(over.map(|over| format!("strict {}: {over}", job.name)));
        }
        // Views have no order of their own.
        let (ours, theirs) =
            if job.params.is_empty() { (sorted(ours), sorted(theirs)) } else { (ours, theirs) };
        compare(&job.name, &ours, &theirs);
        if ours.rows.is_empty() {
            wrong.push(format!("{} has no rows", job.name));
        }
        // A parameter that changes nothing is tested by nothing.
        let other = job.against.as_deref().and_then(|name| answers.get(name));
        if other.is_some_and(|other| *other == ours) {
            wrong.push(format!("{} has the rows of {:?}", job.name, job.against));
        }
        let _ = answers.insert(&job.name, ours);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    eprintln!("{} files, {} answers", files.len(), jobs.len());
}

#[test]
fn the_readme_names_every_question_view_and_report() {
    let readme = std::fs::read_to_string(repository().join("sql/README.md")).unwrap();
    let questions = Questions::built_in().unwrap();
    let names = questions.iter().map(|question| question.name.as_str());
    for name in names.chain(VIEWS.iter().map(|view| view.name)) {
        let line = readme
            .lines()
            .find(|line| line.starts_with('|') && line.contains(&format!("`{name}` |")));
        assert!(line.is_some(), "no table of sql/README.md has {name}");
    }
}
