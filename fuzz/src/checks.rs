//! What holds for any input: one function a target of the fuzzer. `ingest-fn/tests/records.rs`
//! runs the same functions over the inputs that were kept.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Instant;

use arrow::array::RecordBatch;
use common::date::EventDate;
use common::digest::Sha256Digest;
use common::event::{Decision, EventKind};
use common::ids::UnitId;
use common::limits::{DELIVERY_DATES_MAX, EVENT_TIME_MICROS_MIN, FUTURE_SKEW_MICROS_MAX};
use common::row::RowSeed;
use common::schema::{COLUMNS, ColumnType};
use ingest_fn::parse::detect::{Dispatcher, RejectedPart};
use ingest_fn::parse::event::{Context, Event, Events, Row};
use ingest_fn::parse::{SourceFormat, fields as f};
use ingest_fn::pipeline::{Delivery, DeliveryBuilder, SourceConfig, UnitBytes};
use ingest_fn::rebuild::{BatchRow, Columns, rebuild};
use ingest_fn::redact::{Redactor, Rules};
use ingest_fn::reject::Reject;
use ingest_fn::replay::{self, Candidate};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::json::{self, Json};

/// When the records were received: after all times that are written in fixtures.
const RECEIVED_AT_MICROS: i64 = 1_900_000_000_000_000;

/// Nobody is to be kept from guessing here.
const SEED: RowSeed = RowSeed::new([3; 32]);

/// What holds for an input of one target; it panics where that does not.
pub(crate) type Check = fn(&[u8]);

/// Every target, by its name.
pub(crate) const TARGETS: [(&str, Check); 13] = [
    ("envoy_json", envoy_json),
    ("envoy_text", |data| text(data, SourceFormat::EnvoyText)),
    ("otlp_json", |data| formats(data, &[SourceFormat::OtlpLog])),
    ("otlp_protobuf", |data| formats(data, &[SourceFormat::OtlpProtobuf])),
    ("ztunnel", |data| text(data, SourceFormat::ZtunnelJson)),
    ("linkerd", |data| text(data, SourceFormat::LinkerdLogPlain)),
    ("consul", |data| formats(data, &[SourceFormat::ConsulAuditV1, SourceFormat::EnvoyJson])),
    ("kubernetes", |data| text(data, SourceFormat::K8sAuditV1)),
    ("hoop", hoop),
    ("shippers", |data| formats(data, &[SourceFormat::Auto])),
    ("auto", auto),
    ("redact", redact),
    ("replay", replay),
];

/// What became of a record.
pub(crate) struct Outcome {
    result: Result<(), Reject>,
    events: Events,
    rejected: Vec<RejectedPart>,
}

fn parse(dispatcher: &mut Dispatcher, format: SourceFormat, data: &[u8], plain: bool) -> Outcome {
    let context = Context { received_at_micros: RECEIVED_AT_MICROS, plain, ..Context::default() };
    let mut events = Events::default();
    events.begin().text(f::MESH, b"of the record before");
    let result = dispatcher.parse(format, data, &context, &mut events);
    Outcome { result, events, rejected: dispatcher.rejected().to_vec() }
}

impl Outcome {
    /// The record's own events.
    pub(crate) fn events(&self) -> &[Event] {
        &self.events.all()[1..]
    }

    fn same(&self, other: &Self) {
        assert_eq!(self.result, other.result);
        assert_eq!(self.rejected, other.rejected);
        assert_eq!(self.events().len(), other.events().len());
        for (mine, theirs) in self.events().iter().zip(other.events()) {
            same_columns(mine, theirs, &[]);
        }
    }
}

fn same_columns(a: &Event, b: &Event, but: &[usize]) {
    for (index, column) in COLUMNS.iter().enumerate().filter(|(index, _)| !but.contains(index)) {
        let text =
            |event: &Event| event.text_of(index).map(String::from_utf8_lossy).map(String::from);
        assert_eq!(text(a), text(b), "{}", column.name);
        assert_eq!(a.int_of(index), b.int_of(index), "{}", column.name);
        assert_eq!(a.bool_of(index), b.bool_of(index), "{}", column.name);
        assert_eq!(a.list_of(index), b.list_of(index), "{}", column.name);
    }
}

thread_local! {
    /// A dispatcher that has read all inputs so far: what it has seen may change nothing.
    static USED: RefCell<Dispatcher> = RefCell::new(Dispatcher::new());
}

/// CPU time of this thread in nanoseconds, as of the last switch, which is brought about here.
fn cpu_nanos() -> u64 {
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default()
}

/// Runs something of which the time may grow as the length, and no more. The constant is generous:
/// the fuzzer's counters and a debug build take their part.
fn in_bounded_time<T>(data: &[u8], mut act: impl FnMut() -> T) -> T {
    let begin = Instant::now();
    let result = act();
    let nanos_max = 30_000_000 + 1_000 * data.len() as u64;
    if begin.elapsed().as_nanos() > u128::from(nanos_max) {
        // The machine may have done something else.
        let cpu = |_| {
            let before = cpu_nanos();
            act();
            cpu_nanos() - before
        };
        let nanos = (0..3).map(cpu).min().unwrap_or_default();
        assert!(nanos <= nanos_max, "{nanos} ns for {} bytes", data.len());
    }
    result
}

/// A record read as each of these formats.
fn formats(data: &[u8], formats: &[SourceFormat]) {
    for &format in formats {
        let _ = read(data, format);
    }
}

/// A record read as one format, twice, and all that holds for what comes out.
pub(crate) fn read(data: &[u8], format: SourceFormat) -> Outcome {
    let plain = data.iter().all(|&byte| byte >= 0x20);
    let outcome = in_bounded_time(data, || parse(&mut Dispatcher::new(), format, data, false));
    let used = USED.with_borrow_mut(|used| parse(used, format, data, plain));
    outcome.same(&used);
    let Outcome { result, rejected, .. } = &outcome;
    let events = outcome.events();
    match result {
        Err(reject) => {
            assert!(events.is_empty() && rejected.is_empty());
            sound_reject(reject);
        }
        Ok(()) => assert!(
            !events.is_empty() || !rejected.is_empty() || may_be_empty(data),
            "neither row nor reject"
        ),
    }
    rejected.iter().for_each(|part| sound_reject(&part.reject));
    let kept: usize = rejected.iter().map(|part| part.text.len()).sum();
    let rows: usize = events.iter().map(sound_event).sum();
    let bytes_max = 64 * 1024 * 1024 * 4;
    assert!(kept + rows <= bytes_max, "{kept} and {rows} bytes of {}", data.len());
    comes_back(data, format, &outcome);
    outcome
}

/// Whether a record may be no event and no reject: a list of nothing, a control message.
fn may_be_empty(data: &[u8]) -> bool {
    let has = |word: &str| data.windows(word.len()).any(|found| found == word.as_bytes());
    let is_binary = !data.first().is_some_and(|byte| matches!(byte, b'{' | b'['));
    has("resourceLogs")
        || has("CONTROL_MESSAGE")
        || has("\\u")
        || has("[]")
        || has("records")
        || is_binary
        || has("ogEvents")
        || data.trim_ascii().is_empty()
}

/// A reject says why in words that a terminal may show, and does not repeat the record.
fn sound_reject(reject: &Reject) {
    sound_words(&reject.detail);
}

fn sound_words(text: &str) {
    assert!(text.len() < 400, "{text}");
    assert!(text.chars().all(|char| !char.is_control()), "{text:?}");
}

/// What holds for every row; gives the bytes in it.
fn sound_event(event: &Event) -> usize {
    let mut bytes = 0;
    for (index, column) in COLUMNS.iter().enumerate() {
        let text = event.text_of(index);
        let list = event.list_of(index).unwrap_or_default();
        for text in text.into_iter().chain(list) {
            assert!(std::str::from_utf8(text).is_ok(), "{} is no UTF-8", column.name);
            bytes += text.len();
        }
        let is_set = match column.kind {
            ColumnType::Utf8 => text.is_some(),
            ColumnType::ListUtf8 => event.list_of(index).is_some(),
            ColumnType::Boolean => event.bool_of(index).is_some(),
            ColumnType::Int32 => {
                let number = event.int_of(index);
                number.is_none_or(|number| i32::try_from(number).is_ok()) && number.is_some()
            }
            ColumnType::Int64 | ColumnType::Timestamp => event.int_of(index).is_some(),
        };
        assert_eq!(is_set, event.has(index), "{} has another type", column.name);
    }
    let word = |column: usize| std::str::from_utf8(event.text_of(column).unwrap()).unwrap();
    assert!(event.time_micros().is_some() && event.has(f::TLS_FAILURE));
    assert!(
        ["payload", "cri", "shipper", "transport", "ingest"].contains(&word(f::EVENT_TIME_SOURCE))
    );
    assert!(["ok", "partial", "ambiguous"].contains(&word(f::PARSE_STATUS)));
    let meshes = ["istio", "envoy", "linkerd", "consul", "kubernetes", "hoop", "other"];
    assert!(meshes.contains(&word(f::MESH)));
    assert!(EventKind::ALL.iter().any(|known| known.as_str() == word(f::EVENT_KIND)));
    assert!(Decision::ALL.iter().any(|known| known.as_str() == word(f::DECISION)));
    let format: SourceFormat = word(f::SOURCE_FORMAT).parse().unwrap();
    assert!(!matches!(format, SourceFormat::Auto | SourceFormat::OtlpProtobuf));
    if event.has(f::PARSE_ERROR) {
        sound_words(word(f::PARSE_ERROR));
    }
    if event.has(f::ATTRIBUTES) {
        let object = json::read(word(f::ATTRIBUTES));
        assert!(matches!(object, Some(Json::Object(_))), "{}", word(f::ATTRIBUTES));
    }
    for column in [f::CHANGE_BEFORE, f::CHANGE_AFTER, f::CHANGE_PATCH] {
        if event.has(column) && word(f::MESH) == "kubernetes" {
            assert!(json::read(word(column)).is_some(), "{}", word(column));
        }
    }
    bytes
}

/// Every row gives its record again: put together from its columns, or as `raw`.
fn comes_back(data: &[u8], format: SourceFormat, outcome: &Outcome) {
    let rows: Vec<_> = outcome
        .events()
        .iter()
        .map(|event| rebuild(event).expect("a row that does not come back"))
        .collect();
    let Ok(text) = std::str::from_utf8(data) else { return };
    if format == SourceFormat::OtlpProtobuf {
        return;
    }
    let (whole, lines) = (json::read(text), text.lines());
    for row in &rows {
        if row.is_raw {
            assert!(!row.record.is_empty());
            continue;
        }
        assert!(json::read(&row.record).is_some(), "{}", row.record);
        if outcome.events().len() == 1 && row.around.is_none() {
            let record = json::read(&row.record);
            let is_one = whole == record
                || lines.clone().any(|line| json::read(line) == record)
                || matches!(&whole, Some(Json::List(all)) if all.iter().any(|one| Some(one) == record.as_ref()));
            assert!(is_one, "rebuilt {}", row.record);
        }
    }
    // A list, a page or an entry: what stood around its records, and the records in it.
    let Some(around) = rows.first().and_then(|row| row.around.as_deref()) else { return };
    let Some(Json::Object(mut around)) = json::read(around) else { panic!("{around}") };
    let key = |name: &str| -> Vec<u32> { name.chars().map(u32::from).collect() };
    let records: Vec<Json> = rows.iter().map(|row| json::read(&row.record).unwrap()).collect();
    let entry = key("properties");
    let is_aks = outcome.events()[0].text_of(f::SOURCE_FORMAT) == Some(b"aks_audit");
    if is_aks {
        for (_, value) in around.iter_mut().filter(|(name, _)| *name == entry) {
            let Json::Object(fields) = value else { panic!("{value:?}") };
            fields.push((key("log"), records[0].clone()));
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        }
    } else {
        let is_hoop = outcome.events()[0].text_of(f::MESH) == Some(b"hoop");
        around.push((key(if is_hoop { "data" } else { "items" }), Json::List(records)));
        around.sort_by(|(a, _), (b, _)| a.cmp(b));
    }
    let found = Some(Json::Object(around));
    let is_one = found == whole
        || lines.clone().any(|line| json::read(line) == found)
        || matches!(&whole, Some(Json::List(all)) if all.iter().any(|one| Some(one) == found.as_ref()));
    assert!(is_one, "rebuilt {found:?}");
}

/// Envoy's JSON goes straight from bytes to files where it stands alone, and remembers there what
/// records had in common: those must be the rows of the other way.
fn envoy_json(data: &[u8]) {
    for line in data.split(|&byte| byte == b'\n') {
        read(line, SourceFormat::EnvoyJson);
    }
    in_files(data);
}

/// A record that may be a line of text, and many like it: what is learned from one line and used
/// for the next gives the rows that each line alone would give.
fn text(data: &[u8], format: SourceFormat) {
    formats(data, &[format]);
    if data.contains(&b'\n') || data.starts_with(b"{") {
        return;
    }
    let varied = |step: u8| {
        let other = |(at, &byte): (usize, &u8)| match byte {
            b'0'..=b'9' if at % 3 != usize::from(step) => b'0' + (byte - b'0' + step) % 10,
            _ => byte,
        };
        data.iter().enumerate().map(other).collect::<Vec<u8>>()
    };
    let lines = [data.to_vec(), varied(1), data.to_vec(), varied(2), varied(7)];
    in_files(&lines.join(&b'\n'));
}

/// Columns that the pipeline sets for a whole delivery.
const OF_DELIVERY: [usize; 6] =
    [f::SEGMENT, f::SEGMENT_ROW, f::INGEST_TIME, f::TRANSPORT, f::TRANSPORT_REF, f::SCHEMA_VERSION];

/// The rows of several lines, from files as an archive has them, are those of each line alone.
pub(crate) fn in_files(data: &[u8]) {
    let lines: Vec<&[u8]> = data.split(|&byte| byte == b'\n').collect();
    // Pieces of lines are put together, which is not the question here.
    let is_alone = |line: &&[u8]| {
        matches!(line.first(), Some(b'{' | b'[' | b'0'..=b'9')) && std::str::from_utf8(line).is_ok()
    };
    let has = |word: &[u8]| data.windows(word.len()).any(|found| found == word);
    if !lines.iter().all(|line| line.is_empty() || is_alone(line))
        || has(b"\"stream\"")
        || has(b" P ")
        || has(b"\r")
    {
        return;
    }
    let mut expected = BTreeMap::<EventDate, Vec<Event>>::new();
    for line in lines {
        let outcome = parse(&mut Dispatcher::new(), SourceFormat::Auto, line, false);
        let latest = RECEIVED_AT_MICROS + FUTURE_SKEW_MICROS_MAX;
        let in_range = |event: &Event| {
            event.time_micros().is_some_and(|time| (EVENT_TIME_MICROS_MIN..=latest).contains(&time))
        };
        if outcome.events().iter().all(in_range) {
            for event in outcome.events() {
                let mut copy = Event::default();
                event.write(&mut copy);
                let date = EventDate::of_micros(event.time_micros().unwrap());
                expected.entry(date).or_default().push(copy);
            }
        }
    }
    if expected.len() > DELIVERY_DATES_MAX {
        return;
    }
    let config = SourceConfig { redaction: Rules::none(), ..SourceConfig::default() };
    let mut files = 0;
    for file in deliver(data, &config).files {
        let batches: Vec<RecordBatch> = ParquetRecordBatchReaderBuilder::try_new(file.bytes)
            .unwrap()
            .build()
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let mut rows = batches
            .iter()
            .flat_map(|batch| (0..batch.num_rows()).map(move |row| BatchRow { batch, row }));
        let mut rest = rows.by_ref().peekable();
        let time = rest.peek().and_then(|row| row.int(f::EVENT_TIME)).unwrap();
        let wanted = &expected[&EventDate::of_micros(time)];
        let mut count = 0;
        for (row, event) in rest.zip(wanted) {
            same_row(&row, event);
            count += 1;
        }
        assert_eq!(count, wanted.len());
        files += 1;
    }
    assert_eq!(files, expected.len());
}

fn same_row(row: &BatchRow<'_>, event: &Event) {
    for (index, column) in COLUMNS.iter().enumerate() {
        if OF_DELIVERY.contains(&index) {
            continue;
        }
        let name = column.name;
        assert_eq!(Columns::text(row, index), Columns::text(event, index), "{name}");
        assert_eq!(Columns::int(row, index), Columns::int(event, index), "{name}");
        assert_eq!(Columns::bool(row, index), Columns::bool(event, index), "{name}");
        assert_eq!(Columns::list(row, index), Columns::list(event, index), "{name}");
    }
}

fn hoop(data: &[u8]) {
    use SourceFormat::{HoopAudit, HoopInspect, HoopSession, HoopWebhook};
    formats(data, &[HoopAudit, HoopSession, HoopWebhook, HoopInspect]);
}

/// A record of which the format is found out: the same each time, and a source configured to have
/// that format reads it as well.
fn auto(data: &[u8]) {
    let found = read(data, SourceFormat::Auto);
    let [event] = found.events() else { return };
    if !found.rejected.is_empty() {
        return;
    }
    let format = std::str::from_utf8(event.text_of(f::SOURCE_FORMAT).unwrap()).unwrap();
    // A configured source may take an envelope for a record with more fields.
    let is_enveloped = event.text_of(f::RAW).is_some_and(|raw| raw != data.trim_ascii())
        || event.has(f::OBSERVED_TIME)
        || event.has(f::K8S_POD)
        || event.has(f::K8S_NAMESPACE);
    if is_enveloped {
        return;
    }
    let configured = read(data, format.parse().unwrap());
    let [again] = configured.events() else { panic!("{format}: {:?}", configured.result) };
    same_columns(event, again, &[]);
}

thread_local! {
    /// One that has redacted all inputs, and one that redacts only what was redacted.
    static REDACTORS: RefCell<[Redactor; 2]> =
        RefCell::new([0; 2].map(|_| Redactor::new(&Rules::default())));
}

/// Redaction: the same twice, text stays text, JSON stays JSON of the same keys, and a second time
/// there is nothing left to do.
fn redact(data: &[u8]) {
    let (once, counts) = in_bounded_time(data, || {
        REDACTORS.with_borrow_mut(|[redactor, _]| {
            let (text, counts) = redactor.redact(data);
            (text.into_owned(), counts)
        })
    });
    assert_eq!(counts.total() > 0, once != data);
    let (twice, more) = REDACTORS.with_borrow_mut(|[_, redactor]| {
        let (text, counts) = redactor.redact(&once);
        (text.into_owned(), counts)
    });
    assert_eq!(twice, once);
    assert_eq!(more.total(), 0);
    assert!(once.len() <= 40 + data.len() * 12, "{} became {}", data.len(), once.len());
    let Ok(text) = std::str::from_utf8(data) else { return };
    let redacted = std::str::from_utf8(&once).expect("text stays text");
    if let Some(before) = json::read_in_order(text) {
        let after = json::read_in_order(redacted).expect("JSON stays JSON");
        assert!(same_shape(&before, &after), "{redacted}");
    }
    let (nothing, counts) = Redactor::new(&Rules::none()).redact(data);
    assert!(nothing == data && counts.total() == 0);
}

/// Whether two values have the same keys and lengths; a text, number or list may have become a
/// text.
fn same_shape(before: &Json, after: &Json) -> bool {
    match (before, after) {
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|((k, a), (l, b))| (k == l || contains_marker(l)) && same_shape(a, b))
        }
        (Json::List(a), Json::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_shape(a, b))
        }
        (Json::Word(a), Json::Word(b)) => a == b,
        (_, Json::Text(_)) => true,
        _ => false,
    }
}

fn contains_marker(text: &[u32]) -> bool {
    let text: String = text.iter().filter_map(|&char| char::from_u32(char)).collect();
    text.contains("[redacted:")
}

/// Quarantined records tried again: what is said to become rows becomes as many.
fn replay(data: &[u8]) {
    let records: Vec<&[u8]> = data.split(|&byte| byte == 0).take(8).collect();
    let candidates: Vec<Candidate> = (0u64..)
        .zip(&records)
        .map(|(number, record)| Candidate {
            id: UnitId::of_replay(UnitId::STREAM_START, number, record.len() as u64, 0),
            offset_bytes: number,
            record: record.to_vec().into(),
        })
        .collect();
    let all: Vec<&Candidate> = candidates.iter().collect();
    let config = SourceConfig {
        transport: replay::TRANSPORT.to_owned(),
        redaction: Rules::none(),
        ..SourceConfig::default()
    };
    deliver(data, &config);
    // As the command does: rows are counted by the rules that the delivery is made by.
    let config = SourceConfig { redaction: Rules::default(), ..config };
    let rows = replay::rows(SourceFormat::Auto, &all, RECEIVED_AT_MICROS).unwrap();
    assert_eq!(rows.len(), records.len());
    let understood: Vec<Candidate> = candidates
        .iter()
        .zip(&rows)
        .filter(|(_, rows)| **rows > 0)
        .map(|(candidate, _)| candidate.clone())
        .collect();
    let delivery = replay::delivery(&config, &understood, RECEIVED_AT_MICROS, SEED).unwrap();
    assert_eq!(delivery.is_some(), !understood.is_empty());
    if let Some((delivery, count)) = delivery {
        assert!(count > 0 && delivery.quarantine.is_empty());
        let expected: u64 = rows.iter().filter(|rows| **rows > 0).take(count).sum();
        let found: u64 = delivery.manifest.units.iter().map(|unit| unit.events).sum();
        assert_eq!(found, expected);
    }
}

/// A unit of these bytes: each of its records is a row or a reject.
fn deliver(data: &[u8], config: &SourceConfig) -> Delivery {
    let id = UnitId::of_part(UnitId::STREAM_START, Sha256Digest::of(data));
    let mut builder =
        DeliveryBuilder::new(config.clone(), vec![id], RECEIVED_AT_MICROS, SEED).unwrap();
    let unit = UnitBytes {
        bytes: data,
        sha256: Sha256Digest::of(data),
        offset_bytes: 0,
        continues_record: false,
        cut_record: false,
    };
    let outcome = builder.add_unit(unit).unwrap();
    let delivery = builder.finish().unwrap();
    assert_eq!(delivery.files.is_empty(), outcome.events == 0);
    assert_eq!(delivery.quarantine.is_empty(), outcome.rejects == 0);
    let lines = data.split(|&byte| byte == b'\n').any(|line| !line.trim_ascii().is_empty());
    assert!(outcome.events + outcome.rejects > 0 || !lines || may_be_empty(data));
    delivery
}
