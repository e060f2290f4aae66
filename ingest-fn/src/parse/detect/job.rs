//! A piece of a record on its way in, and what stands around it.

use super::{ENVELOPES_MAX, Reason, Reject, without_line_end};
use crate::parse::event::{Context, Envelope};
use crate::parse::json::Quotes;

/// What is known of a piece of a record.
#[derive(Debug, Clone)]
pub(super) struct Job<'a> {
    /// For its parser.
    pub(super) context: Context<'a>,
    /// The piece is one event, whatever newlines are in it.
    pub(super) is_one: bool,
    depth: usize,
}

impl<'a> Job<'a> {
    /// A whole record.
    pub(super) fn outermost(context: &Context<'a>, forced: bool, several: bool) -> Self {
        // Newlines, which the pipeline does not count, may stand in a record of several lines.
        Self {
            context: Context { forced, plain: context.plain && !several, ..context.clone() },
            is_one: false,
            depth: 0,
        }
    }

    /// How many envelopes were taken off.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// The same piece with another envelope.
    pub(super) fn with(&self, envelope: Envelope) -> Self {
        Self { context: Context { envelope, ..self.context.clone() }, ..*self }
    }

    /// A payload of which nothing more is known, as of compressed bytes.
    ///
    /// # Errors
    /// If there are too many envelopes.
    pub(super) fn deeper(&self) -> Result<Self, Reject> {
        self.in_envelope(self.context.envelope.clone(), None)
    }

    /// A payload in an envelope, in the text `outer`, unless more stands around that.
    ///
    /// # Errors
    /// If there are too many envelopes.
    pub(super) fn inside<'b>(&self, envelope: Envelope, outer: &'b [u8]) -> Result<Job<'b>, Reject>
    where
        'a: 'b,
    {
        self.in_envelope(envelope, Some(self.context.outer.unwrap_or(outer)))
    }

    /// A payload in an envelope, one of several, of which `outer` stands for it alone.
    ///
    /// # Errors
    /// If there are too many envelopes.
    pub(super) fn in_envelope<'b>(
        &self,
        envelope: Envelope,
        outer: Option<&'b [u8]>,
    ) -> Result<Job<'b>, Reject>
    where
        'a: 'b,
    {
        if self.depth == ENVELOPES_MAX {
            let detail = format!("expected at most {ENVELOPES_MAX} envelopes, found more");
            return Err(Reject::new(Reason::TooDeep, detail));
        }
        Ok(Job {
            context: Context {
                received_at_micros: self.context.received_at_micros,
                envelope,
                outer,
                forced: self.context.forced,
                plain: false,
                // A payload may be a piece of the record.
                quotes: self.context.quotes,
                looked_at: false,
            },
            is_one: self.is_one,
            depth: self.depth + 1,
        })
    }

    /// The same, where the payload is this text.
    pub(super) fn of(mut self, payload: &[u8]) -> Self {
        // In one go over all bytes, which is faster than to stop at the first one.
        let least = without_line_end(payload).iter().fold(u8::MAX, |least, &byte| least.min(byte));
        self.context.plain = least >= 0x20;
        self
    }

    /// The same, where a look at the payload has found this.
    pub(super) fn seen<'b>(self, plain: bool, quotes: Quotes<'b>) -> Job<'b>
    where
        'a: 'b,
    {
        Job { context: Context { plain, quotes, ..self.context }, ..self }
    }

    /// One of several lines in the piece.
    pub(super) fn one_of(&self) -> Self {
        Self { context: Context { outer: None, ..self.context.clone() }, ..*self }
    }

    /// Bytes that are repeated where the envelope is.
    pub(super) fn envelope_bytes(&self) -> usize {
        let columns = &self.context.envelope.columns;
        let columns: usize = columns.iter().map(|(_, text)| text.len() + 32).sum();
        self.context.envelope.attributes.len() + columns
    }
}
