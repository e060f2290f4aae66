//! `quarantine`: lists and shows what was not understood, and lets the parsers try again.

use std::io::Write;
use std::time::Instant;

use archive::{Archive, Mode};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use common::date::rfc3339;
use query_fn::rows::{Destination, Format};
use query_fn::{Limits, Param, Request};

use crate::args::{
    ListFormat, Quarantine, QuarantineAction, QuarantineList, QuarantineReplay, QuarantineShow,
};
use crate::exit::{Exit, Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::output::{self, printable};
use crate::progress::Bars;
use crate::query;
use crate::replay::{Report, Wanted, replay};

/// Runs the command.
pub(crate) async fn run(args: Quarantine) -> Outcome {
    match args.action {
        QuarantineAction::List(args) => super::or_interrupted(list(args)).await,
        QuarantineAction::Show(args) => super::or_interrupted(show(args)).await,
        QuarantineAction::Replay(args) => try_again(args, Interrupt::listen()).await,
    }
}

/// What `list` counts and lists.
const WANTED: &str = "($reason IS NULL OR reason = $reason) \
                      AND ($source IS NULL OR format_guess = $source)";

async fn list(args: QuarantineList) -> Outcome {
    let archive = super::open(&args.place).await?;
    let engine = query::engine(&archive, Limits::default())?;
    let format = match args.format {
        ListFormat::Table => Format::Table,
        ListFormat::Json => Format::JsonLines,
        ListFormat::Csv => Format::Csv,
    };
    let destination =
        if output::stdout_is_terminal() { Destination::Terminal } else { Destination::Program };
    let mut out = output::stdout();
    let mut receipt = None;
    if args.format != ListFormat::Csv || args.limit == 0 {
        let counts = counts(&args);
        receipt = Some(query::answer(&engine, &counts, format, destination, &mut out).await?);
    }
    if args.limit > 0 {
        if args.format == ListFormat::Table {
            writeln!(out)?;
        }
        let records = records(&args);
        receipt = Some(query::answer(&engine, &records, format, destination, &mut out).await?);
    }
    // The answer first, then what is said about it.
    out.flush()?;
    if let Some(receipt) = receipt {
        output::note(&query::receipt::text(&receipt));
    }
    Ok(Exit::Ok)
}

/// In JSON, where counts and records are in one stream, a column tells them apart.
fn kind(args: &QuarantineList, kind: &str) -> String {
    if args.format == ListFormat::Json { format!("'{kind}' AS kind, ") } else { String::new() }
}

fn counts(args: &QuarantineList) -> Request {
    let kind = kind(args, "count");
    let sql = format!(
        "SELECT {kind}reason, format_guess, count(*) AS records, sum(length_bytes) AS bytes \
         FROM mesh_quarantine WHERE {WANTED} \
         GROUP BY reason, format_guess ORDER BY records DESC, reason, format_guess"
    );
    request(sql, args)
}

fn records(args: &QuarantineList) -> Request {
    let (kind, limit) = (kind(args, "record"), args.limit);
    let sql = format!(
        "SELECT {kind}unit, offset_bytes, length_bytes, reason, detail, format_guess, \
         transport_ref, ingest_time \
         FROM mesh_quarantine WHERE {WANTED} \
         ORDER BY ingest_time DESC, delivery, unit_index, offset_bytes, length_bytes LIMIT {limit}"
    );
    request(sql, args)
}

fn request(sql: String, args: &QuarantineList) -> Request {
    let mut request = Request::new(sql, Mode::Fresh);
    request.params = vec![
        ("reason".to_owned(), Param::Text(args.reason.clone())),
        ("source".to_owned(), Param::Text(args.source.clone())),
    ];
    request
}

async fn show(args: QuarantineShow) -> Outcome {
    let archive = super::open(&args.place).await?;
    let found = find(&archive, &args).await?;
    let record = one(&found, &args)?;
    let mut out = output::stdout();
    if args.raw || !output::stdout_is_terminal() {
        out.write_all(&record.bytes)?;
    } else {
        out.write_all(record.text().as_bytes())?;
    }
    out.flush()?;
    Ok(Exit::Ok)
}

/// A record of the quarantine, with its columns as text.
struct Record {
    unit: String,
    columns: Vec<(&'static str, String)>,
    bytes: Vec<u8>,
}

impl Record {
    /// For a terminal: what could drive it is escaped.
    fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.columns {
            text.push_str(&format!("{name:14}{}\n", printable(value, false)));
        }
        text.push_str(&escaped(&self.bytes));
        text.push('\n');
        text
    }
}

/// Bytes for a terminal; what is no UTF-8 is shown as `\xff`.
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(&printable(chunk.valid(), false));
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// The records at a place, in an order of their own.
async fn find(archive: &Archive, args: &QuarantineShow) -> Result<Vec<Record>, Failure> {
    let engine = query::engine(archive, Limits::default())?;
    // Bounds and not a prefix: files whose units are all others are then not read.
    let sql = "SELECT delivery, unit, offset_bytes, length_bytes, reason, detail, format_guess, \
               transport_ref, ingest_time, record FROM mesh_quarantine \
               WHERE unit >= $first AND unit <= $last AND offset_bytes = $offset \
               ORDER BY unit, length_bytes, record";
    let mut request = Request::new(sql, Mode::Fresh);
    let offset = i64::try_from(args.offset).unwrap_or(i64::MAX);
    request.params = vec![
        ("first".to_owned(), Param::Text(Some(format!("{:0<64}", args.unit)))),
        ("last".to_owned(), Param::Text(Some(format!("{:f<64}", args.unit)))),
        ("offset".to_owned(), Param::Integer(Some(offset))),
    ];
    let mut answer = engine.query(&request).await?;
    let mut records = Vec::new();
    while let Some(batch) = answer.next().await {
        let batch = batch?;
        for row in 0..batch.num_rows() {
            records.push(read(&batch, row)?);
        }
    }
    Ok(records)
}

fn read(batch: &RecordBatch, row: usize) -> Result<Record, Failure> {
    let text = |name: &str| -> Result<String, Failure> {
        let column = column(batch, name, &DataType::Utf8)?;
        let texts = column.as_string::<i32>();
        Ok(if texts.is_null(row) { String::new() } else { texts.value(row).to_owned() })
    };
    let number = |name: &str| -> Result<i64, Failure> {
        let column = column(batch, name, &DataType::Int64)?;
        Ok(column.as_primitive::<Int64Type>().value(row))
    };
    let moment = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let received = column(batch, "ingest_time", &moment)?;
    let received = received.as_primitive::<TimestampMicrosecondType>().value(row);
    let unit = text("unit")?;
    Ok(Record {
        columns: vec![
            ("delivery", text("delivery")?),
            ("unit", unit.clone()),
            ("offset_bytes", number("offset_bytes")?.to_string()),
            ("length_bytes", number("length_bytes")?.to_string()),
            ("reason", text("reason")?),
            ("detail", text("detail")?),
            ("format_guess", text("format_guess")?),
            ("transport_ref", text("transport_ref")?),
            ("ingest_time", rfc3339(received, 6)),
        ],
        unit,
        bytes: column(batch, "record", &DataType::Binary)?.as_binary::<i32>().value(row).to_vec(),
    })
}

fn column(batch: &RecordBatch, name: &str, kind: &DataType) -> Result<ArrayRef, Failure> {
    let wrong = |e: String| Failure::new(Exit::Query, format!("a value can not be shown: {e}"));
    let column = batch.column_by_name(name).ok_or_else(|| wrong(format!("{name} is missing")))?;
    cast(column, kind).map_err(|e| wrong(e.to_string()))
}

/// The record that is meant.
fn one<'a>(found: &'a [Record], args: &QuarantineShow) -> Result<&'a Record, Failure> {
    let place = format!("unit {} at byte {}", args.unit, args.offset);
    let Some(first) = found.first() else {
        let hint = "`meshledger quarantine list` says what there is";
        return Err(Failure::usage(format!("the quarantine has no record of {place}; {hint}")));
    };
    if found.iter().any(|record| record.unit != first.unit) {
        let message = format!("several units begin with {}; give more digits of it", args.unit);
        return Err(Failure::usage(message));
    }
    let number = match args.number {
        None if found.len() > 1 => {
            let message = format!(
                "{} parts of the record of {place} are in the quarantine; choose one with --number",
                found.len()
            );
            return Err(Failure::usage(message));
        }
        number => number.unwrap_or(1),
    };
    let index = usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1);
    found.get(index).ok_or_else(|| {
        Failure::usage(format!("the quarantine has {} records of {place}", found.len()))
    })
}

async fn try_again(args: QuarantineReplay, interrupt: Interrupt) -> Outcome {
    let archive = super::open(&args.place).await?;
    let started = Instant::now();
    let bar = Bars::new().spinner("trying quarantined records again");
    let wanted = Wanted { reason: args.reason, format: args.source, is_dry_run: args.dry_run };
    let (mut report, failed) = replay(&archive, wanted, interrupt).await;
    bar.finish_and_clear();
    report.seconds = started.elapsed().as_secs_f64();
    let mut out = output::stdout();
    if args.json {
        serde_json::to_writer(&mut out, &report).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        out.write_all(report.text().as_bytes())?;
    }
    out.flush()?;
    match failed {
        Some(e) if args.dry_run => Err(e),
        Some(e) => Err(
            e.hint("What is counted above is archived; run the same command again for the rest.")
        ),
        None => Ok(exit(&report)),
    }
}

fn exit(report: &Report) -> Exit {
    if report.interrupted { Exit::Interrupted } else { Exit::Ok }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(unit: &str, bytes: &[u8]) -> Record {
        Record {
            unit: unit.to_owned(),
            columns: vec![("reason", "not_utf8".to_owned()), ("detail", "a\x1b[2J".to_owned())],
            bytes: bytes.to_vec(),
        }
    }

    fn args(number: Option<u32>) -> QuarantineShow {
        let place = crate::args::Place { archive: None, work: None, locks: None };
        QuarantineShow { place, unit: "2199fc85".to_owned(), offset: 7, number, raw: false }
    }

    #[test]
    fn a_shown_record_can_not_drive_a_terminal() {
        assert_eq!(
            record("u", b"a\x1b[31m\n\xff\xc3(\xe2\x80\xaeGr\xc3\xbc\xc3\x9fe").text(),
            "reason        not_utf8\ndetail        a\\u{1b}[2J\n\
             a\\u{1b}[31m\\u{a}\\xff\\xc3(\\u{202e}Grüße\n"
        );
    }

    #[test]
    fn the_record_that_is_meant_is_one_or_it_is_asked_for() {
        let usage = |found: &[Record], number| match one(found, &args(number)) {
            Ok(record) => Ok(record.bytes.clone()),
            Err(failure) => {
                assert_eq!(failure.exit(), Exit::Usage);
                Err(failure.message().to_owned())
            }
        };
        assert!(usage(&[], None).unwrap_err().contains("no record of unit 2199fc85 at byte 7"));
        assert_eq!(usage(&[record("u", b"x")], None).unwrap(), b"x");
        let two = [record("u", b"x"), record("u", b"yy")];
        assert!(usage(&two, None).unwrap_err().contains("--number"));
        assert_eq!(usage(&two, Some(2)).unwrap(), b"yy");
        assert!(usage(&two, Some(3)).unwrap_err().contains("2 records"));
        let others = [record("u", b"x"), record("v", b"yy")];
        assert!(usage(&others, Some(1)).unwrap_err().contains("more digits"));
    }
}
