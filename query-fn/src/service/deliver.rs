//! How an answer leaves: handed over if it is short, else as an object with a URL.

use std::sync::Arc;

use archive::{ArchiveError, ResultUpload, Results, StoredResult};
use bytes::Bytes;
use common::date::rfc3339;

use super::ask::{Ask, Delivery, Format};
use super::encode::Buffer;
use super::reply::{Way, fits};
use super::{Call, Failure, Service, Settings};
use crate::error::{Code, QueryError};
use crate::receipt::Receipt;
use crate::statement::Statement;

/// An answer that is complete.
#[derive(Debug, Clone)]
pub(super) struct Done {
    pub(super) format: Format,
    pub(super) receipt: Receipt,
    /// What can be checked by asking again, if that was wanted.
    pub(super) statement: Option<Box<Statement>>,
    pub(super) body: Body,
}

/// Where its bytes are.
#[derive(Debug, Clone)]
pub(super) enum Body {
    /// Here.
    Inline(Bytes),
    /// In the place of results, until a moment, if its URL ends.
    Stored { stored: StoredResult, expires_at: Option<String> },
}

/// Takes the bytes of one answer.
pub(super) struct Outlet<'a> {
    settings: &'a Settings,
    results: Option<&'a Results>,
    format: Format,
    delivery: Delivery,
    way: Way,
    name: String,
    now_micros: i64,
    buffer: Arc<Buffer>,
    kept: Vec<u8>,
    upload: Option<ResultUpload>,
}

impl<'a> Outlet<'a> {
    pub(super) fn new(
        service: &'a Service,
        ask: &Ask,
        call: &Call,
        way: Way,
    ) -> Result<Self, Failure> {
        let results = service.results.as_ref();
        let has_place = matches!(ask.format, Format::Json | Format::Ndjson | Format::Parquet)
            || way == Way::Direct
            || ask.delivery == Delivery::Url;
        if ask.request.repeatable && !has_place {
            let message = format!(
                "expected format json, ndjson or parquet, or delivery url: over HTTP an answer as \
                 {} has no place for a statement",
                ask.format.name()
            );
            return Err(Failure::request(message));
        }
        if ask.delivery == Delivery::Url && results.is_none() {
            let message =
                "expected delivery auto or inline: this function has no place for results";
            return Err(Failure::request(message));
        }
        Ok(Self {
            settings: &service.settings,
            results: results.filter(|_| ask.delivery != Delivery::Inline),
            format: ask.format,
            delivery: ask.delivery,
            way,
            name: format!("{}.{}", call.id, ask.format.name()),
            now_micros: call.now_micros,
            buffer: Arc::default(),
            kept: Vec::new(),
            upload: None,
        })
    }

    /// Where the answer is written.
    pub(super) const fn buffer(&self) -> &Arc<Buffer> {
        &self.buffer
    }

    /// Takes what was written. What can no longer be handed over begins to be put.
    pub(super) async fn drain(&mut self) -> Result<(), QueryError> {
        let bytes = self.buffer.take();
        if let Some(upload) = &mut self.upload {
            upload.write(&bytes).await?;
            return self.check_length();
        }
        if self.kept.is_empty() {
            self.kept = bytes;
        } else {
            self.kept.extend_from_slice(&bytes);
        }
        if self.delivery == Delivery::Url || self.kept.len() > self.least_too_long() {
            self.begin().await?;
        }
        Ok(())
    }

    /// Bytes of which more can not be handed over, however they are written.
    fn least_too_long(&self) -> usize {
        let most = self.settings.inline_bytes_max;
        if self.format.is_text() || self.way == Way::Streamed { most } else { most / 4 * 3 }
    }

    async fn begin(&mut self) -> Result<(), QueryError> {
        let Some(results) = self.results else { return Err(self.too_long()) };
        let upload = self.upload.insert(results.begin(&self.name)?);
        upload.write(&std::mem::take(&mut self.kept)).await?;
        self.check_length()
    }

    fn check_length(&self) -> Result<(), QueryError> {
        let most = self.settings.result_bytes_max;
        if self.upload.as_ref().is_some_and(|upload| upload.bytes() > most) {
            let text = format!(
                "the answer has more than {most} bytes, the most a result may have; add a LIMIT or \
                 a narrower WHERE, or aggregate"
            );
            return Err(QueryError::new(Code::LimitResult, text));
        }
        Ok(())
    }

    fn too_long(&self) -> QueryError {
        let most = self.settings.inline_bytes_max;
        let what = if self.delivery == Delivery::Inline {
            "ask with delivery auto"
        } else {
            "give the function a place for results"
        };
        let text = format!(
            "the answer is longer than the {most} bytes that can be handed over; add a LIMIT or a \
             narrower WHERE, aggregate, or {what}"
        );
        QueryError::new(Code::LimitResult, text)
    }

    /// Ends the answer.
    pub(super) async fn end(
        &mut self,
        receipt: Receipt,
        statement: Option<Box<Statement>>,
    ) -> Result<Done, Failure> {
        let format = self.format;
        if self.upload.is_none() {
            let body = Bytes::from(std::mem::take(&mut self.kept));
            let done = Done { format, receipt, statement, body: Body::Inline(body.clone()) };
            if fits(&done, self.way, self.settings.inline_bytes_max) {
                return Ok(done);
            }
            self.kept = body.into();
            return match self.begin().await {
                Ok(()) => self.stored(done.receipt, done.statement).await,
                Err(error) => Err(Failure::from(error).with(done.receipt)),
            };
        }
        self.stored(receipt, statement).await
    }

    async fn stored(
        &mut self,
        receipt: Receipt,
        statement: Option<Box<Statement>>,
    ) -> Result<Done, Failure> {
        let Some(upload) = self.upload.take() else {
            return Err(QueryError::new(Code::Internal, "a result was not begun").into());
        };
        let lasts = self.settings.url_lasts;
        let stored = upload.finish(lasts).await;
        let stored = match stored {
            Ok(stored) => stored,
            Err(error) => return Err(unstored(error).with(receipt)),
        };
        let micros = i64::try_from(lasts.as_micros()).unwrap_or(i64::MAX);
        let ends = self.now_micros.saturating_add(micros);
        let expires_at = stored.shared.ends.then(|| rfc3339(ends, 0));
        let body = Body::Stored { stored, expires_at };
        Ok(Done { format: self.format, receipt, statement, body })
    }

    /// Gives up what was put.
    pub(super) async fn give_up(&mut self) {
        if let Some(upload) = self.upload.take() {
            upload.abort().await;
        }
    }
}

fn unstored(error: ArchiveError) -> Failure {
    QueryError::from(error).into()
}
