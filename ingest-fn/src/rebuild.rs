//! A row back to the record it was made from.
//!
//! What a row holds gives its record again, equal value by value: numbers keep their digits,
//! absent markers, unknown fields and keys that stand twice come back; white space and the order
//! of keys do not. Where columns and `attributes` would not give that, the row has the record's
//! text in `raw`, and so have all rows of formats that are no JSON and rows whose record stood in
//! an envelope, with the text of which it comes back.
//!
//! Of a record that was redacted the redacted one comes back; the other is nowhere.

use std::borrow::Cow;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use common::schema::{COLUMNS, ColumnType};
use serde::de::IgnoredAny;

use crate::parse::event::Event;
use crate::parse::fields as f;
use crate::parse::{consul, envoy, hoop, kubernetes, linkerd, list, query, ztunnel};

/// A row of `mesh_events`, wherever it is read from. A column is named by its index in
/// [`COLUMNS`]; one that is NULL, or was not read, has no value.
pub trait Columns {
    /// The value of a text column.
    fn text(&self, column: usize) -> Option<&str>;
    /// The value of a column of whole numbers, or a time in microseconds.
    fn int(&self, column: usize) -> Option<i64>;
    /// The value of a boolean column.
    fn bool(&self, column: usize) -> Option<bool>;
    /// The value of a list column.
    fn list(&self, column: usize) -> Option<Vec<&str>>;
}

impl Columns for Event {
    fn text(&self, column: usize) -> Option<&str> {
        std::str::from_utf8(self.text_of(column)?).ok()
    }

    fn int(&self, column: usize) -> Option<i64> {
        self.int_of(column)
    }

    fn bool(&self, column: usize) -> Option<bool> {
        self.bool_of(column)
    }

    fn list(&self, column: usize) -> Option<Vec<&str>> {
        self.list_of(column)?.into_iter().map(|item| std::str::from_utf8(item).ok()).collect()
    }
}

/// A row of a batch that was read from an archive: columns are found by name, so it may have
/// more of them, fewer, and in another order.
#[derive(Debug, Clone, Copy)]
pub struct BatchRow<'a> {
    /// The batch.
    pub batch: &'a RecordBatch,
    /// The row in it.
    pub row: usize,
}

impl<'a> BatchRow<'a> {
    fn column(&self, column: usize) -> Option<&'a dyn Array> {
        let array = self.batch.column_by_name(COLUMNS.get(column)?.name)?;
        let is_there = self.row < array.len() && array.is_valid(self.row);
        is_there.then_some(array.as_ref())
    }
}

impl Columns for BatchRow<'_> {
    fn text(&self, column: usize) -> Option<&str> {
        Some(self.column(column)?.as_string_opt::<i32>()?.value(self.row))
    }

    fn int(&self, column: usize) -> Option<i64> {
        let array = self.column(column)?;
        Some(match COLUMNS.get(column)?.kind {
            ColumnType::Int32 => array.as_primitive_opt::<Int32Type>()?.value(self.row).into(),
            ColumnType::Timestamp => {
                array.as_primitive_opt::<TimestampMicrosecondType>()?.value(self.row)
            }
            _ => array.as_primitive_opt::<Int64Type>()?.value(self.row),
        })
    }

    fn bool(&self, column: usize) -> Option<bool> {
        Some(self.column(column)?.as_boolean_opt()?.value(self.row))
    }

    fn list(&self, column: usize) -> Option<Vec<&str>> {
        let lists = self.column(column)?.as_list_opt::<i32>()?;
        let texts = lists.values().as_string_opt::<i32>()?;
        let place = |at: usize| usize::try_from(*lists.value_offsets().get(at)?).ok();
        Some((place(self.row)?..place(self.row + 1)?).map(|item| texts.value(item)).collect())
    }
}

/// What a row gives back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// The record: JSON put together from columns and `attributes`, or the text in `raw`.
    pub record: String,
    /// It is the text in `raw`.
    pub is_raw: bool,
    /// What stood around the records of a list, a page or an entry, as a JSON object without
    /// them: it is in the row of the first one alone, and nowhere where that has `raw`.
    pub around: Option<String>,
}

/// How rows of one format give their records back.
struct Rule {
    /// Keys whose value is in a column, if `attributes` does not have them.
    held: Vec<(&'static str, usize)>,
    /// Key in `attributes` of what stood around the record.
    around: Option<&'static str>,
}

/// The record of a row; none if the row has no `raw` and is of no format that comes back without
/// (a later version's, or a row not read as a whole).
pub fn rebuild(row: &impl Columns) -> Option<Rebuilt> {
    let source_format = row.text(f::SOURCE_FORMAT)?;
    if let Some(raw) = row.text(f::RAW) {
        return Some(Rebuilt { record: raw.to_owned(), is_raw: true, around: None });
    }
    if source_format == envoy::SOURCE_FORMAT {
        let record = envoy::rebuild(row)?;
        return Some(Rebuilt { record, is_raw: false, around: None });
    }
    let rule = rule(source_format, row)?;
    let mut kept = attributes(row)?;
    let around = match kept.last() {
        // It is written last; a record with such a field of its own keeps its text.
        Some((key, _)) if rule.around.is_some_and(|name| is_key(key, name)) => kept.pop(),
        _ => None,
    };
    let mut object = Object::default();
    for (name, column) in rule.held {
        if !kept.iter().any(|(key, _)| is_key(key, name))
            && let Some(value) = value(row, column)
        {
            object.push(&quote(name), &value);
        }
    }
    for (key, value) in kept {
        object.push(key, value);
    }
    let around = around.map(|(_, value)| value.to_owned());
    Some(Rebuilt { record: object.finish(), is_raw: false, around })
}

fn rule(source_format: &str, row: &impl Columns) -> Option<Rule> {
    let named = |names: &'static [&'static str], direct: &'static [(usize, usize)]| {
        direct.iter().filter_map(|&(key, column)| Some((*names.get(key)?, column))).collect()
    };
    let hoop = hoop::HoopFormat::ALL.into_iter().find(|format| format.as_str() == source_format);
    if let Some(format) = hoop {
        return Some(Rule { held: format.held().collect(), around: Some(hoop::PAGE_KEY) });
    }
    let (held, around) = match source_format {
        ztunnel::SOURCE_FORMAT_JSON => {
            // Columns of other lines are filled from elsewhere.
            let is_access = !matches!(row.text(f::EVENT_KIND)?, "authz_decision" | "log");
            let (names, direct) = ztunnel::HELD;
            (if is_access { named(names, direct) } else { Vec::new() }, None)
        }
        linkerd::SOURCE_FORMAT_ACCESS_JSON => {
            let (names, direct) = linkerd::HELD;
            (named(names, direct), None)
        }
        query::SOURCE_FORMAT => {
            let (names, direct) = query::HELD;
            (named(names, direct), None)
        }
        kubernetes::SOURCE_FORMAT | kubernetes::SOURCE_FORMAT_AKS => {
            let (names, direct) = kubernetes::HELD;
            (named(names, direct), Some(kubernetes::AROUND_KEY))
        }
        kubernetes::SOURCE_FORMAT_GKE | linkerd::SOURCE_FORMAT_LOG_JSON | consul::SOURCE_FORMAT => {
            (Vec::new(), None)
        }
        _ => return None,
    };
    Some(Rule { held, around })
}

/// The fields of `attributes` as they stand there: key with quotes, value text.
pub(crate) fn attributes(row: &impl Columns) -> Option<Vec<(&str, &str)>> {
    let Some(text) = row.text(f::ATTRIBUTES) else { return Some(Vec::new()) };
    // What stands in an archive is not ours to trust.
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let piece = |bytes| std::str::from_utf8(bytes).ok();
    list::fields(text.as_bytes()).map(|(key, value)| Some((piece(key)?, piece(value)?))).collect()
}

/// Whether a key in quotes is a name that needs no escapes.
pub(crate) fn is_key(quoted: &str, name: &str) -> bool {
    quoted.strip_prefix('"').and_then(|key| key.strip_suffix('"')) == Some(name)
}

/// The JSON text of a column's value.
fn value(row: &impl Columns, column: usize) -> Option<Cow<'static, str>> {
    Some(match COLUMNS.get(column)?.kind {
        ColumnType::Utf8 => quote(row.text(column)?).into(),
        ColumnType::Boolean => if row.bool(column)? { "true" } else { "false" }.into(),
        ColumnType::Int32 | ColumnType::Int64 => row.int(column)?.to_string().into(),
        ColumnType::Timestamp | ColumnType::ListUtf8 => return None,
    })
}

/// A text as a JSON string.
pub(crate) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A JSON object being written.
#[derive(Debug, Default)]
pub(crate) struct Object {
    text: String,
}

impl Object {
    /// Adds a field: a key in quotes and a value's text.
    pub(crate) fn push(&mut self, key: &str, value: &str) {
        self.text.push(if self.text.is_empty() { '{' } else { ',' });
        self.text.push_str(key);
        self.text.push(':');
        self.text.push_str(value);
    }

    /// The object's text.
    pub(crate) fn finish(mut self) -> String {
        self.text.push_str(if self.text.is_empty() { "{}" } else { "}" });
        self.text
    }
}
