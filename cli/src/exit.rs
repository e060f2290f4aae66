//! How a run ended: the documented exit codes, and failures that carry one.

use std::fmt;
use std::io;
use std::process::ExitCode;

use archive::ArchiveError;
use arrow::error::ArrowError;
use host::HostError;
use ingest_fn::IngestError;
use maintain_fn::SealError;
use query_fn::rows::RowsError;
use query_fn::{Code, QueryError};

use crate::output::printable;

/// Every exit code. They are a promise to scripts: a number never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, nothing to complain about.
    Ok = 0,
    /// `verify` found that something sealed was changed, lost or added; or a proof is not valid,
    /// or can not be made because the ledger forked.
    Tampering = 1,
    /// `verify` found something unfinished, such as the orphan of a crash.
    Incomplete = 2,
    /// The command line makes no sense.
    Usage = 3,
    /// An input could not be read to its end; everything else was archived.
    Input = 4,
    /// The archive or its storage failed.
    Storage = 5,
    /// The query was refused or is wrong.
    Query = 6,
    /// A limit on memory, time, bytes, rows, cost or queries at once was reached.
    Limit = 7,
    /// `recheck` found another answer or history than a receipt states, or that it is none.
    Different = 8,
    /// `recheck` can not ask again: what the answer was read from has expired.
    Expired = 9,
    /// Interrupted by Ctrl-C or SIGTERM.
    Interrupted = 130,
}

/// The table of exit codes, as `--help` shows it.
pub(crate) const EXIT_CODES_HELP: &str = "\
Exit codes:
    0  done
    1  verify found tampering: something sealed was changed, lost or added; or a proof is not valid
    2  verify found something unfinished, such as files left by a crash
    3  the command line is wrong
    4  an input could not be read to its end; everything else was archived
    5  the archive or its storage failed
    6  the query was refused or is wrong
    7  a limit on memory, time, bytes, rows, cost or queries at once was reached
    8  recheck found another answer or another history, or the receipt is not as it was written
    9  recheck is no longer possible: files that the answer was read from have expired
  130  interrupted

Environment:
  MESHLEDGER_ARCHIVE        archive to use when --archive is not given
  MESHLEDGER_LOCKS          place of locks to use when --locks is not given; it is reached by the
                            variables below, or by those with MESHLEDGER_LOCKS_ before the name
  MESHLEDGER_KEY            who holds the key that signs, when --key is not given
  AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, AWS_REGION, AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID,
  AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_ALLOW_HTTP
                            how s3:// URLs are reached; plain http only with AWS_ALLOW_HTTP=true
  AWS_ENDPOINT_URL_KMS      where KMS is asked, if not at AWS
  OTEL_EXPORTER_OTLP_METRICS_ENDPOINT, OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_METRIC_EXPORT_INTERVAL
                            where serve sends its metrics (OTLP/HTTP, JSON), and how often
  NO_COLOR                  no bold headings";

impl Exit {
    /// The number the process ends with.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// What a command comes to.
pub(crate) type Outcome = Result<Exit, Failure>;

/// A command that could not go on: the exit code, and what to tell the user.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    /// Of a query's error.
    code: Option<&'static str>,
}

impl Failure {
    /// A failure with a sentence that says what was expected, found, and what to do.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), code: None }
    }

    /// A command line that makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The exit code.
    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }

    /// The stable code of a query's error; of all else a word for it.
    pub(crate) fn code(&self) -> &'static str {
        self.code.unwrap_or("FAILED")
    }

    /// The sentence; empty if there is nothing to say, as when nobody reads any more.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The same failure with a further sentence.
    #[must_use]
    pub(crate) fn hint(mut self, sentence: &str) -> Self {
        if !self.message.is_empty() {
            self.message.push('\n');
            self.message.push_str(sentence);
        }
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Writing to standard output failed. A reader that went away (`| head`) is a normal end.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Ok, "");
        }
        Self::new(Exit::Storage, format!("standard output can not be written: {error}"))
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        let exit = match error {
            ArchiveError::Location { .. } => Exit::Usage,
            _ => Exit::Storage,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        let exit = match error {
            HostError::Setting { .. } | HostError::NoTls { .. } => Exit::Usage,
            _ => Exit::Storage,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<IngestError> for Failure {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Archive(error) => error.into(),
            IngestError::Input { .. } => Self::new(Exit::Input, error.to_string()),
            IngestError::Setting { .. } => Self::usage(error.to_string()),
            _ => Self::new(Exit::Storage, error.to_string()),
        }
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        let exit = match error.code() {
            Code::LimitMemory
            | Code::LimitRows
            | Code::LimitBytes
            | Code::LimitRequests
            | Code::LimitCost
            | Code::LimitTime
            | Code::LimitQueries
            | Code::LimitResult => Exit::Limit,
            Code::Archive => Exit::Storage,
            _ => Exit::Query,
        };
        Self { code: Some(error.code().as_str()), ..Self::new(exit, error.to_string()) }
    }
}

impl From<SealError> for Failure {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Archive(error) => error.into(),
            _ => Self::new(Exit::Storage, error.to_string()),
        }
    }
}

impl From<RowsError> for Failure {
    fn from(error: RowsError) -> Self {
        match error {
            RowsError::Io(error) | RowsError::Value(ArrowError::IoError(_, error)) => error.into(),
            RowsError::Value(_) | RowsError::Parquet(_) => {
                Self::new(Exit::Query, error.to_string())
            }
        }
    }
}

/// Tells the user and gives the process its exit code.
pub(crate) fn finish(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => {
            if !failure.message.is_empty() {
                crate::output::complain(&printable(&failure.message, true));
            }
            failure.exit.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_documented_ones() {
        let documented: Vec<(u8, Exit)> = vec![
            (0, Exit::Ok),
            (1, Exit::Tampering),
            (2, Exit::Incomplete),
            (3, Exit::Usage),
            (4, Exit::Input),
            (5, Exit::Storage),
            (6, Exit::Query),
            (7, Exit::Limit),
            (8, Exit::Different),
            (9, Exit::Expired),
            (130, Exit::Interrupted),
        ];
        for (code, exit) in documented {
            assert_eq!(exit.code(), code);
            let line = EXIT_CODES_HELP
                .lines()
                .find(|line| line.split_whitespace().next() == Some(&code.to_string()));
            assert!(line.is_some(), "{code} is not in the help text");
        }
    }

    #[test]
    fn the_documented_table_is_the_one_of_the_help_text() {
        let page = include_str!("../../docs/exit-codes.md");
        let written: Vec<(&str, &str)> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "))
            .filter(|(code, _)| *code != "code")
            .collect();
        let shown: Vec<(&str, &str)> = EXIT_CODES_HELP
            .lines()
            .skip(1)
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.trim_start().split_once("  "))
            .collect();
        assert_eq!(written, shown);
        assert_eq!(shown.len(), 11);
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit(), failure.message()), (Exit::Ok, ""));
        let failure = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(failure.exit(), Exit::Storage);
    }
}
