//! What a request gets that has no answer.

use crate::error::{Code, QueryError};
use crate::receipt::Receipt;

/// Why a request has no answer: a stable code for programs, a text for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Stable code: one of [`Code`], or of the function itself: `REQUEST`, `NOT_FOUND`, `METHOD`,
    /// `MEDIA_TYPE`, `TOO_LARGE`, `TRAIL`.
    pub code: &'static str,
    /// Status over HTTP.
    pub status: u16,
    /// What was expected, found, and what to do.
    pub message: String,
    /// What was read until then, if the query had begun.
    pub receipt: Option<Box<Receipt>>,
}

/// The HTTP status of a code. 5xx are for what the same request may overcome later, and for
/// defects; all else is the request's own.
pub const fn status(code: Code) -> u16 {
    match code {
        Code::Syntax | Code::Plan | Code::Parameter => 400,
        Code::Refused | Code::Access => 403,
        Code::LimitSql
        | Code::LimitMemory
        | Code::LimitRows
        | Code::LimitBytes
        | Code::LimitRequests
        | Code::LimitCost
        | Code::LimitResult
        | Code::Execution => 422,
        Code::Internal => 500,
        Code::Archive | Code::LimitQueries => 503,
        Code::LimitTime => 504,
    }
}

impl Failure {
    const fn of(code: &'static str, status: u16, message: String) -> Self {
        Self { code, status, message, receipt: None }
    }

    /// The request is not one.
    pub(super) fn request(message: impl Into<String>) -> Self {
        Self::of("REQUEST", 400, message.into())
    }

    /// Another place was asked.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::of("NOT_FOUND", 404, message.into())
    }

    /// Asked by another method than POST.
    pub(super) fn method(message: impl Into<String>) -> Self {
        Self::of("METHOD", 405, message.into())
    }

    /// The body is said to be no JSON.
    pub(super) fn media_type(message: impl Into<String>) -> Self {
        Self::of("MEDIA_TYPE", 415, message.into())
    }

    /// Nothing is answered that is not on the query trail.
    pub(super) fn trail(why: &str) -> Self {
        let message = format!(
            "the query trail could not be written, and nothing is answered without it; ask again \
             ({why})"
        );
        Self::of("TRAIL", 503, message)
    }

    /// The request is too long.
    pub(super) fn too_large(message: impl Into<String>) -> Self {
        Self::of("TOO_LARGE", 413, message.into())
    }

    /// With what was read until then.
    pub(super) fn with(self, receipt: Receipt) -> Self {
        Self { receipt: Some(Box::new(receipt)), ..self }
    }

    /// Whether this program is at fault.
    pub(super) fn is_defect(&self) -> bool {
        self.code == Code::Internal.as_str()
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        let code = error.code();
        let message = match error {
            QueryError::Query { text, .. } => text,
            QueryError::Archive(error) => error.to_string(),
        };
        Self::of(code.as_str(), status(code), message)
    }
}
