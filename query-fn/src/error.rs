//! What can go wrong with a query: a stable code for programs, a text for people.

use std::fmt;

use archive::ArchiveError;
use arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use thiserror::Error;

/// Stable code of a query error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// Not a query.
    Refused,
    /// The access policy does not let the caller ask this.
    Access,
    /// Not SQL.
    Syntax,
    /// SQL that does not fit the tables: unknown column, wrong type, unsupported construct.
    Plan,
    /// A parameter is missing, unknown or no value of its type.
    Parameter,
    /// The SQL text is too long or too deeply nested.
    LimitSql,
    /// More memory would be needed.
    LimitMemory,
    /// The answer has more rows.
    LimitRows,
    /// More bytes would have to be read.
    LimitBytes,
    /// More requests would have to be made.
    LimitRequests,
    /// It would cost more.
    LimitCost,
    /// It takes longer.
    LimitTime,
    /// Too many others run and wait.
    LimitQueries,
    /// The answer is longer than can be handed over.
    LimitResult,
    /// The archive could not be read.
    Archive,
    /// A value could not be computed.
    Execution,
    /// A defect of this program.
    Internal,
}

impl Code {
    /// All codes.
    pub const ALL: [Self; 17] = [
        Self::Refused,
        Self::Access,
        Self::Syntax,
        Self::Plan,
        Self::Parameter,
        Self::LimitSql,
        Self::LimitMemory,
        Self::LimitRows,
        Self::LimitBytes,
        Self::LimitRequests,
        Self::LimitCost,
        Self::LimitTime,
        Self::LimitQueries,
        Self::LimitResult,
        Self::Archive,
        Self::Execution,
        Self::Internal,
    ];

    /// The code as programs see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "REFUSED",
            Self::Access => "ACCESS",
            Self::Syntax => "SYNTAX",
            Self::Plan => "PLAN",
            Self::Parameter => "PARAMETER",
            Self::LimitSql => "LIMIT_SQL",
            Self::LimitMemory => "LIMIT_MEMORY",
            Self::LimitRows => "LIMIT_ROWS",
            Self::LimitBytes => "LIMIT_BYTES",
            Self::LimitRequests => "LIMIT_REQUESTS",
            Self::LimitCost => "LIMIT_COST",
            Self::LimitTime => "LIMIT_TIME",
            Self::LimitQueries => "LIMIT_QUERIES",
            Self::LimitResult => "LIMIT_RESULT",
            Self::Archive => "ARCHIVE",
            Self::Execution => "EXECUTION",
            Self::Internal => "INTERNAL",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a query has no answer. An answer is whole or it is one of these; never cut short.
#[derive(Debug, Error)]
pub enum QueryError {
    /// The archive could not be read.
    #[error("ARCHIVE: {0}")]
    Archive(#[from] ArchiveError),
    /// Everything else.
    #[error("{code}: {text}")]
    Query {
        /// Stable code.
        code: Code,
        /// What was expected, found, and what to do.
        text: String,
    },
}

impl QueryError {
    /// An error with a text; control characters in it (it may quote hostile SQL) are replaced.
    pub(crate) fn new(code: Code, text: impl AsRef<str>) -> Self {
        let text: String = text
            .as_ref()
            .chars()
            .map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c })
            .take(TEXT_CHARS_MAX)
            .collect();
        Self::Query { code, text }
    }

    /// The stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Archive(_) => Code::Archive,
            Self::Query { code, .. } => *code,
        }
    }

    /// What was expected, found, and what to do, without the code.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Archive(error) => error.to_string(),
            Self::Query { text, .. } => text.clone(),
        }
    }

    /// Sorts an error of the engine by its innermost cause.
    pub(crate) fn from_engine(error: &DataFusionError) -> Self {
        let root = error.find_root();
        let text = first_lines(&root.strip_backtrace());
        if is_spilled(root, &text) {
            let text = format!(
                "the query needs more than it may keep in memory and spill to disk ({text}); select \
                 fewer columns or days, or raise the limit of either"
            );
            return Self::new(Code::LimitMemory, text);
        }
        let code = match root {
            DataFusionError::SQL(..) => Code::Syntax,
            DataFusionError::Plan(_)
            | DataFusionError::SchemaError(..)
            | DataFusionError::NotImplemented(_)
            | DataFusionError::Configuration(_) => Code::Plan,
            DataFusionError::ResourcesExhausted(_) => Code::LimitMemory,
            DataFusionError::ObjectStore(_)
            | DataFusionError::ParquetError(_)
            | DataFusionError::IoError(_) => Code::Archive,
            _ => Code::Execution,
        };
        match code {
            Code::LimitMemory => Self::new(
                code,
                format!(
                    "the query needs more memory than it may use ({text}); select fewer columns or \
                     days, aggregate before sorting, or raise the memory limit"
                ),
            ),
            Code::Archive => {
                Self::new(code, format!("{text}; run `meshledger verify` if this does not pass"))
            }
            _ => Self::new(code, text),
        }
    }
}

/// Whether the folder to spill to is full, or holds as much as it may. Reading an archive fills no
/// disk, so a disk that is full is that folder's.
fn is_spilled(root: &DataFusionError, text: &str) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let io = match root {
        DataFusionError::IoError(io) => io,
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::IoError(_, io) => io,
            _ => return false,
        },
        DataFusionError::ResourcesExhausted(_) => return text.contains(SPILLED),
        _ => return false,
    };
    matches!(io.kind(), FileTooLarge | QuotaExceeded | StorageFull) || text.contains(SPILLED)
}

/// What the engine says when more would be spilled than is allowed.
const SPILLED: &str = "The used disk space during the spilling process";

/// Longest text kept, in characters: errors quote SQL, which may be long.
const TEXT_CHARS_MAX: usize = 2_000;

fn first_lines(text: &str) -> String {
    text.lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .take(8)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn a_full_disk_is_no_trouble_of_the_archive() {
        let of = |kind| QueryError::from_engine(&DataFusionError::IoError(Error::from(kind)));
        for full in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge] {
            let error = of(full);
            assert_eq!(error.code(), Code::LimitMemory);
            assert!(error.to_string().contains("spill to disk"), "{error}");
        }
        assert_eq!(of(ErrorKind::UnexpectedEof).code(), Code::Archive);
    }
}
