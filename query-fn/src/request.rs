//! What a caller asks and what it may cost.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use archive::snapshot::Mode;
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use datafusion::scalar::ScalarValue;

use crate::error::{Code, QueryError};
use crate::prices::Dollars;

/// Bounds of one engine. Hitting one is an error, never a shorter answer.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The memory pool of all running queries, in bytes. Decoding Parquet is on top: about 100 MB a
    /// thread.
    pub memory_bytes: usize,
    /// Bytes of the pool that are taken for each byte an operator counts. At 1 operators may hold as
    /// much as the pool has, and take more of the process; it is 1 if they may spill.
    pub memory_charge: NonZeroUsize,
    /// Where operators may put what does not fit; without it they fail instead.
    pub spill: Option<Spill>,
    /// Most bytes one query may read from the store.
    pub scan_bytes_max: Option<u64>,
    /// Most rows one answer may have.
    pub rows_max: Option<u64>,
    /// Longest time one query may keep its caller waiting. Time in which the caller does something
    /// else (a pager, a slow client) does not count.
    pub time: Duration,
    /// Threads one query may keep busy.
    pub threads: usize,
    /// Longest SQL text, in bytes.
    pub sql_bytes_max: usize,
    /// Memory for what is known of Parquet files, so that a later query need not read their ends
    /// again, in bytes; none is kept if 0.
    pub footer_bytes_max: usize,
    /// Queries that run at once; further ones wait for their turn, as long as their time lasts.
    pub queries_max: usize,
    /// Queries that wait; further ones are refused.
    pub queries_waiting_max: usize,
}

/// A folder for what does not fit into memory. It then holds events in the clear, which is why
/// there is none by default.
#[derive(Debug, Clone)]
pub struct Spill {
    /// The folder.
    pub folder: PathBuf,
    /// Most bytes in it.
    pub bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: MEMORY_BYTES,
            memory_charge: NonZeroUsize::MIN,
            spill: None,
            scan_bytes_max: None,
            rows_max: None,
            time: TIME,
            threads: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            sql_bytes_max: SQL_BYTES_MAX,
            footer_bytes_max: FOOTER_BYTES_MAX,
            queries_max: QUERIES_MAX,
            queries_waiting_max: QUERIES_WAITING_MAX,
        }
    }
}

/// One question.
#[derive(Debug, Clone)]
pub struct Request {
    /// One SQL query; parameters stand in it as `$name`.
    pub sql: String,
    /// Values of the parameters, by name without the `$`.
    pub params: Vec<(String, Param)>,
    /// Whether deliveries not yet sealed count.
    pub mode: Mode,
    /// The version to answer from, without what waited then; the latest if absent.
    pub as_of: Option<u64>,
    /// Where this one ends.
    pub bounds: Bounds,
    /// What this one may cost: known to cost more, it does not begin.
    pub caps: Caps,
    /// Whether the receipt says why each file was read or not.
    pub explain_pruning: bool,
    /// Whether the answer must follow from the archive's content and the request alone, so that
    /// it can be had again, and gets a digest: what SQL leaves open is settled by the values of
    /// rows, and what can not be settled is refused.
    pub repeatable: bool,
    /// Whether the answer gets a digest of its rows in any case, whatever their order. Where it is
    /// not repeatable, another answer may be as right.
    pub digested: bool,
}

impl Request {
    /// A request without parameters, of the latest version.
    pub fn new(sql: impl Into<String>, mode: Mode) -> Self {
        Self {
            sql: sql.into(),
            params: Vec::new(),
            mode,
            as_of: None,
            bounds: Bounds::default(),
            caps: Caps::default(),
            explain_pruning: false,
            repeatable: false,
            digested: false,
        }
    }
}

/// Bounds of one request. They can only be narrower than the engine's limits; a wider one is as
/// if it were not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// Most rows of the answer.
    pub rows_max: Option<u64>,
    /// Most bytes to read from the store.
    pub scan_bytes_max: Option<u64>,
    /// Longest time.
    pub time: Option<Duration>,
    /// Time until whoever answers has to end, which is another reason to stop.
    pub deadline: Option<Duration>,
}

/// The most that one request may cost. A query whose [`Estimate`](crate::Estimate) says more is
/// refused before it reads data, and one that turns out to need more ends there. Where there is a
/// cap, an estimate is made first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Caps {
    /// Most bytes to read from data files.
    pub bytes: Option<u64>,
    /// Most requests for data files.
    pub requests: Option<u64>,
    /// Most money, by the prices the engine knows. While the query runs, it bounds the requests;
    /// computing is bounded by the time limit.
    pub dollars: Option<Dollars>,
}

impl Caps {
    /// Whether there is any.
    pub(crate) fn are_set(&self) -> bool {
        *self != Self::default()
    }
}

/// How long a query may take, and who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeLimit {
    pub(crate) time: Duration,
    pub(crate) by_deadline: bool,
}

impl Limits {
    /// What operators of all running queries may hold together as they count it, in bytes.
    pub(crate) fn held_bytes_max(&self) -> usize {
        match self.spill {
            Some(_) => self.memory_bytes,
            None => self.memory_bytes / self.memory_charge,
        }
    }

    /// These limits, narrowed.
    pub(crate) fn within(&self, bounds: &Bounds) -> Self {
        let lower = |most: Option<u64>, asked: Option<u64>| match (most, asked) {
            (Some(most), Some(asked)) => Some(most.min(asked)),
            (most, asked) => most.or(asked),
        };
        Self {
            rows_max: lower(self.rows_max, bounds.rows_max),
            scan_bytes_max: lower(self.scan_bytes_max, bounds.scan_bytes_max),
            time: self.time_limit(bounds).time,
            ..self.clone()
        }
    }

    pub(crate) fn time_limit(&self, bounds: &Bounds) -> TimeLimit {
        let time = bounds.time.map_or(self.time, |asked| asked.min(self.time));
        match bounds.deadline {
            Some(deadline) if deadline < time => TimeLimit { time: deadline, by_deadline: true },
            _ => TimeLimit { time, by_deadline: false },
        }
    }
}

/// Type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamKind {
    /// Text.
    Text,
    /// A moment.
    Timestamp,
    /// A 64-bit integer.
    Integer,
}

impl ParamKind {
    /// The name in a question's header.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Timestamp => "timestamp",
            Self::Integer => "integer",
        }
    }

    /// The type with this name.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Text, Self::Timestamp, Self::Integer].into_iter().find(|kind| kind.name() == name)
    }
}

/// Value of a parameter; `None` is NULL. Values are bound to the plan, never pasted into the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Param {
    /// Text.
    Text(Option<String>),
    /// Microseconds since 1970 UTC.
    Timestamp(Option<i64>),
    /// A 64-bit integer.
    Integer(Option<i64>),
}

impl Param {
    /// NULL of a type.
    pub const fn null(kind: ParamKind) -> Self {
        match kind {
            ParamKind::Text => Self::Text(None),
            ParamKind::Timestamp => Self::Timestamp(None),
            ParamKind::Integer => Self::Integer(None),
        }
    }

    /// Reads a value as people write it.
    ///
    /// # Errors
    /// If the text is no value of the type.
    pub fn parse(name: &str, kind: ParamKind, text: &str) -> Result<Self, QueryError> {
        let wrong = |expected: &str| {
            QueryError::new(
                Code::Parameter,
                format!("parameter {name}: expected {expected}, found {text:?}"),
            )
        };
        match kind {
            ParamKind::Text => Ok(Self::Text(Some(text.to_owned()))),
            ParamKind::Integer => text
                .trim()
                .parse()
                .map(|number| Self::Integer(Some(number)))
                .map_err(|_| wrong("a whole number")),
            ParamKind::Timestamp => string_to_timestamp_nanos(text.trim())
                .map(|nanos| Self::Timestamp(Some(nanos.div_euclid(1_000))))
                .map_err(|_| wrong("a date or time like 2026-11-02 or 2026-11-02T10:00:00Z")),
        }
    }

    /// The value as the engine binds it.
    pub(crate) fn scalar(&self) -> ScalarValue {
        match self {
            Self::Text(text) => ScalarValue::Utf8(text.clone()),
            Self::Timestamp(micros) => {
                ScalarValue::TimestampMicrosecond(*micros, Some("UTC".into()))
            }
            Self::Integer(number) => ScalarValue::Int64(*number),
        }
    }
}

/// Half of a machine with 2 GB, the smallest this is meant for; the other half is for decoding,
/// the snapshot and the program.
const MEMORY_BYTES: usize = 1024 * 1024 * 1024;

/// Long enough to scan years on a laptop, short enough that a forgotten query ends.
const TIME: Duration = Duration::from_secs(300);

/// Thousands of ids in one IN list, and a bound on what parsing and planning can cost.
const SQL_BYTES_MAX: usize = 256 * 1024;

/// Each has an eighth of the memory at least, enough to sort a hundred thousand rows, and two
/// processors are kept busy also while most of them wait for the store.
const QUERIES_MAX: usize = 8;

/// What eight at once answer within a minute if each takes seven seconds. A caller that is refused
/// knows at once; one that waits longer would give up.
const QUERIES_WAITING_MAX: usize = 64;

/// A footer of a hundred columns takes about 150 kB in memory, page index included, so this is 1,700
/// files: a query that opens a few more than fit, in the order in which it did before, finds none.
const FOOTER_BYTES_MAX: usize = 256 * 1024 * 1024;
