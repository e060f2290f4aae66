//! Our engine, in this process, and DuckDB, in another, over the same archive; and what each
//! answers, as values that can be compared.

use std::path::PathBuf;

use archive::snapshot::Mode;
use archive::{Archive, Location, StoreOptions};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};
use common::date::{DAY_MICROS, EventDate, rfc3339};
use meshledger_tests::cli::ml;
use meshledger_tests::laptop::Laptop;
use meshledger_tests::paths::fixture;
use meshledger_tests::python::script;
use meshledger_tests::tamper::files_below;
use query_fn::{Engine, Limits, Param, QueryError, Request};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// A value of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    /// A moment, in microseconds since 1970 UTC.
    Micros(i64),
    List(Vec<Cell>),
}

pub(crate) type Rows = Vec<Vec<Cell>>;

/// Relative difference of two floating-point numbers that are called equal: sums are added up in
/// another order by each engine, and by each number of threads.
pub(crate) const TOLERANCE: f64 = 1e-9;

impl Cell {
    /// Whether two engines gave the same value; a whole number may come as either kind.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let number = |cell: &Self| match cell {
            Self::Int(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            _ => None,
        };
        match (self, other) {
            (Self::Float(_), _) | (_, Self::Float(_)) => match (number(self), number(other)) {
                (Some(a), Some(b)) => {
                    a == b
                        || (a.is_nan() && b.is_nan())
                        || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()).max(1.0)
                }
                _ => false,
            },
            (Self::List(a), Self::List(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_same(b))
            }
            (a, b) => a == b,
        }
    }

    /// The value as it stands in an .slt file.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Null => "NULL".to_owned(),
            Self::Bool(is) => is.to_string(),
            Self::Int(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Text(text) if text.is_empty() => "(empty)".to_owned(),
            Self::Text(text) => {
                text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n")
            }
            Self::Micros(micros) => {
                let digits = match (micros % 1_000_000, micros % 1_000) {
                    (0, _) => 0,
                    (_, 0) => 3,
                    _ => 6,
                };
                rfc3339(*micros, digits)
            }
            Self::List(cells) => {
                let cells: Vec<String> = cells.iter().map(Self::shown).collect();
                format!("[{}]", cells.join(", "))
            }
        }
    }

    /// A value as `duckdb_peer.py` writes it.
    fn of_json(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(is) => Self::Bool(*is),
            Value::Number(number) => number
                .as_i64()
                .map(|number| Self::Int(number.into()))
                .or_else(|| number.as_u64().map(|number| Self::Int(number.into())))
                .unwrap_or_else(|| Self::Float(number.as_f64().unwrap())),
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(pair) if pair.len() == 2 && pair[0] == "t" => {
                Self::Micros(pair[1].as_i64().unwrap())
            }
            Value::Array(pair) if pair.len() == 2 && pair[0] == "f" => {
                Self::Float(pair[1].as_str().unwrap().parse().unwrap())
            }
            Value::Array(cells) => Self::List(cells.iter().map(Self::of_json).collect()),
            Value::Object(_) => panic!("DuckDB answered an object: {value}"),
        }
    }

    fn of_array(array: &ArrayRef, row: usize) -> Self {
        if array.is_null(row) {
            return Self::Null;
        }
        let to = |kind: DataType| cast(&array.slice(row, 1), &kind).unwrap();
        match array.data_type() {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Bool(array.as_boolean().value(row)),
            kind if kind.is_integer() => {
                Self::Int(to(DataType::Int64).as_primitive::<Int64Type>().value(0).into())
            }
            kind if kind.is_floating() => {
                Self::Float(to(DataType::Float64).as_primitive::<Float64Type>().value(0))
            }
            DataType::Decimal128(_, 0) => {
                Self::Int(array.as_primitive::<Decimal128Type>().value(row))
            }
            DataType::Decimal128(..) => {
                Self::Float(to(DataType::Float64).as_primitive::<Float64Type>().value(0))
            }
            DataType::Date32 => {
                let days = i64::from(array.as_primitive::<Date32Type>().value(row));
                Self::Text(EventDate::of_micros(days * DAY_MICROS).to_string())
            }
            DataType::Timestamp(_, zone) => {
                let kind = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
                Self::Micros(to(kind).as_primitive::<TimestampMicrosecondType>().value(0))
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>().value(row);
                Self::List((0..list.len()).map(|i| Self::of_array(&list, i)).collect())
            }
            _ => Self::Text(to(DataType::Utf8).as_string::<i32>().value(0).to_owned()),
        }
    }
}

/// Our engine.
pub(crate) struct Ours {
    runtime: Runtime,
    engine: Engine,
}

impl Ours {
    pub(crate) fn new(laptop: &Laptop) -> Self {
        let runtime = Runtime::new().unwrap();
        let location = Location::parse(laptop.archive(), None).unwrap();
        let options = StoreOptions::default();
        let archive = runtime.block_on(Archive::open(&location, &options)).unwrap();
        let engine = Engine::new(archive.reader(), Limits::default()).unwrap();
        Self { runtime, engine }
    }

    pub(crate) fn ask(&self, sql: &str, params: &[(String, Param)]) -> Result<Rows, QueryError> {
        let request = Request { params: params.to_vec(), ..Request::new(sql, Mode::Fresh) };
        let batches = self.runtime.block_on(async {
            let mut answer = self.engine.query(&request).await?;
            answer.collect().await
        })?;
        let rows = batches.iter().flat_map(|batch| {
            (0..batch.num_rows())
                .map(|row| batch.columns().iter().map(|array| Cell::of_array(array, row)).collect())
        });
        Ok(rows.collect())
    }
}

/// What DuckDB answers to each query, or what is wrong with it.
pub(crate) fn duckdb(laptop: &Laptop, queries: &[String]) -> Vec<Result<Rows, String>> {
    let lines: String = queries.iter().map(|sql| format!("{}\n", json!({ "sql": sql }))).collect();
    let peer = script("duckdb_peer.py").args(["answer", laptop.archive()]).stdin(lines);
    let replies = peer.run().expect(0).json_lines();
    assert_eq!(replies.len(), queries.len());
    let rows = |reply: &Value| {
        let rows = reply["rows"].as_array()?.iter();
        Some(rows.map(|row| row.as_array().unwrap().iter().map(Cell::of_json).collect()).collect())
    };
    let reply = |reply: &Value| rows(reply).ok_or_else(|| reply["error"].to_string());
    replies.iter().map(reply).collect()
}

/// An archive of generated traffic: so many events over three days, sealed in two commits.
pub(crate) fn traffic(seed: u64, events: u64, format: &str) -> Laptop {
    let laptop = Laptop::new();
    let out = laptop.path("traffic");
    let (seed, events) = (seed.to_string(), events.to_string());
    let _ = ml(["generate", "--days", "3", "--events", &events, "--seed", &seed])
        .args(["--format", format, "--out"])
        .args([&out])
        .run()
        .expect(0);
    for file in files_below(&out) {
        let cluster = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let ingest = laptop.command("ingest").args(["--json", "--cluster", &cluster]);
        assert_eq!(ingest.args([&file]).run().expect(0).json()["rejects"], 0);
        let _ = laptop.seal();
    }
    laptop
}

/// An archive of the records of `tests/data`: captured and written ones, of every source.
pub(crate) fn captured() -> Laptop {
    let laptop = Laptop::new();
    let envoy = ["captured-default", "captured-extended", "captured2-full", "written-edges"];
    for (number, name) in envoy.into_iter().enumerate() {
        let file = fixture(&format!("envoy/{name}.jsonl"));
        ingest(&laptop, &format!("c{number}"), "auto", file);
    }
    for folder in ["envoy_text", "otlp", "ztunnel", "linkerd", "consul", "kubernetes", "hoop"] {
        let out = laptop.path(folder);
        std::fs::create_dir(&out).unwrap();
        let listing = script("cases.py").args(["inputs", folder]).args([&out]).run().expect(0);
        let mut sources: Vec<(String, Vec<u8>)> = Vec::new();
        let text = listing.text();
        for (source, path) in text.lines().filter_map(|line| line.split_once('\t')) {
            let record = std::fs::read(path).unwrap();
            match sources.iter_mut().find(|(known, _)| known == source) {
                // Records of protobuf are no lines and can not stand one after the other.
                _ if source == "otlp_protobuf" => {}
                Some((_, records)) => records.extend(record),
                None => sources.push((source.to_owned(), record)),
            }
        }
        for (source, records) in sources {
            let file = laptop.write(&format!("{folder}-{source}.log"), records);
            ingest(&laptop, folder, &source, file);
        }
    }
    let odd = laptop.write("odd.log", "{\"half\":\nplain text\n[1, 2]\n");
    ingest(&laptop, "odd", "auto", odd);
    let _ = laptop.seal();
    laptop
}

fn ingest(laptop: &Laptop, cluster: &str, source: &str, file: PathBuf) {
    let ingest = laptop.command("ingest").args(["--json", "--cluster", cluster]);
    let _ = ingest.args(["--source", source]).args([file]).run().expect(0);
}
