//! Records of several lines, and lines in pieces.

use super::job::Job;
use super::{Dispatcher, incomplete};
use crate::parse::SourceFormat;
use crate::parse::event::{Envelope, Events};
use crate::parse::quote::push_field;
use crate::parse::quote::push_string;
use crate::parse::shippers::runtime::Cri;
use crate::parse::shippers::{Docker, inside};
use crate::reject::{Reason, Reject};

/// A line whose last piece has not come yet.
#[derive(Debug)]
struct Open {
    /// `cri` or `docker`.
    runtime: &'static str,
    stream: Vec<u8>,
    /// The first piece's time.
    time_micros: Option<i64>,
    payload: Vec<u8>,
    /// The pieces' lines as they stand.
    lines: Vec<u8>,
}

impl Open {
    fn push(&mut self, payload: &[u8], line: &[u8]) {
        self.payload.extend_from_slice(payload);
        if !self.lines.is_empty() {
            self.lines.push(b'\n');
        }
        self.lines.extend_from_slice(line);
    }
}

/// One piece, by its runtime.
struct Piece<'a> {
    runtime: &'static str,
    stream: &'a [u8],
    time_micros: Option<i64>,
    payload: &'a [u8],
    is_last: bool,
}

/// The envelope of a line behind a CRI prefix.
pub(super) fn cri_envelope(cri: &Cri<'_>, job: &Job<'_>) -> Envelope {
    let around = &job.context.envelope;
    let mut attributes = Vec::with_capacity(around.attributes.len() + 80);
    attributes.extend_from_slice(&around.attributes);
    if !attributes.is_empty() {
        attributes.push(b',');
    }
    // A time and the name of a stream have nothing that needs an escape.
    for piece in [b"\"cri\":{\"time\":\"", cri.time, b"\",\"stream\":\"", cri.stream, b"\"}"] {
        attributes.extend_from_slice(piece);
    }
    let time = Some((cri.time_micros, "cri"));
    Envelope { time, columns: around.columns.clone(), attributes }
}

impl Dispatcher {
    /// A record of several lines: each of them for itself, pieces put together.
    pub(super) fn lines(
        &mut self,
        format: SourceFormat,
        record: &[u8],
        job: &Job<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let (events_before, rejected_before) = (events.all().len(), self.rejected.len());
        let mut open: Vec<Open> = Vec::new();
        for line in record.split(|&byte| byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            if let Err(reject) = self.next_line(format, line, &mut open, job, events) {
                self.reject_part(line, reject);
            }
        }
        for piece in open {
            self.reject_part(&piece.lines, incomplete());
        }
        self.outcome(events_before, rejected_before, events)
    }

    fn next_line(
        &mut self,
        format: SourceFormat,
        line: &[u8],
        open: &mut Vec<Open>,
        job: &Job<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        if let Some(cri) = Cri::split(line) {
            let begun = open.iter().any(|open| open.runtime == "cri" && open.stream == cri.stream);
            if cri.partial || begun {
                let piece = Piece {
                    runtime: "cri",
                    stream: cri.stream,
                    time_micros: Some(cri.time_micros),
                    payload: cri.content,
                    is_last: !cri.partial,
                };
                return self.piece(format, line, &piece, open, job, events);
            }
        } else if open.iter().any(|open| open.runtime == "docker")
            && let Some(docker) = self.docker_of(line)
            && open.iter().any(|open| open.runtime == "docker" && open.stream == docker.stream)
        {
            return self.piece(format, line, &docker_piece(&docker), open, job, events);
        }
        self.expand(job.envelope_bytes())?;
        let result = self.record(format, line, &job.one_of(), events);
        match &result {
            Err(reject) if reject.reason == Reason::IncompleteRecord => {
                let docker = self.docker_of(line).filter(|docker| !docker.log.ends_with(b"\n"));
                match docker {
                    Some(docker) => {
                        self.piece(format, line, &docker_piece(&docker), open, job, events)
                    }
                    None => result,
                }
            }
            _ => result,
        }
    }

    fn docker_of<'a>(&mut self, line: &'a [u8]) -> Option<Docker<'a>> {
        let is_object = line.trim_ascii_start().starts_with(b"{");
        (is_object && self.shippers.scan(line, false.into()).is_ok())
            .then(|| self.shippers.docker(line))
            .flatten()
    }

    /// Adds a piece to its line, which is read when the last piece has come.
    fn piece(
        &mut self,
        format: SourceFormat,
        line: &[u8],
        piece: &Piece<'_>,
        open: &mut Vec<Open>,
        job: &Job<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let same = |open: &Open| open.runtime == piece.runtime && open.stream == piece.stream;
        let index = open.iter().position(same).unwrap_or_else(|| {
            open.push(Open {
                runtime: piece.runtime,
                stream: piece.stream.to_vec(),
                time_micros: piece.time_micros,
                payload: Vec::new(),
                lines: Vec::new(),
            });
            open.len() - 1
        });
        let Some(begun) = open.get_mut(index) else { return Ok(()) };
        begun.push(piece.payload, line);
        if !piece.is_last {
            return Ok(());
        }
        let whole = open.swap_remove(index);
        self.expand(job.envelope_bytes())?;
        let mut stream = b"{".to_vec();
        let mut name = Vec::new();
        push_string(&mut name, &whole.stream);
        push_field(&mut stream, "stream", &name);
        stream.push(b'}');
        let time = whole.time_micros.map(|time| (time, "cri"));
        let around = &job.context.envelope;
        let envelope = inside(around, whole.runtime, time, Vec::new(), &stream);
        let inner = job.in_envelope(envelope, Some(&whole.lines))?.of(&whole.payload);
        if let Err(reject) = self.record(format, &whole.payload, &inner, events) {
            self.reject_part(&whole.lines, reject);
        }
        Ok(())
    }

    /// A line as Docker writes it. One without a newline at its end goes on in the next, unless it
    /// is a whole JSON record: of a text line nobody can tell.
    pub(super) fn docker(
        &mut self,
        format: SourceFormat,
        record: &[u8],
        docker: &Docker<'_>,
        job: &Job<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let is_line = docker.log.ends_with(b"\n");
        if !is_line && !docker.log.trim_ascii_start().starts_with(b"{") {
            return Err(incomplete());
        }
        let mut fields = b"{".to_vec();
        fields.extend_from_slice(&docker.fields);
        fields.push(b'}');
        let time = docker.time_micros.map(|time| (time, "cri"));
        let around = &job.context.envelope;
        let envelope = inside(around, "docker", time, Vec::new(), &fields);
        let inner = job.inside(envelope, record)?;
        let result = self.decoded(format, &docker.log, inner, events);
        match result {
            Err(reject) if !is_line && reject.reason == Reason::InvalidJson => Err(incomplete()),
            other => other,
        }
    }
}

fn docker_piece<'a>(docker: &'a Docker<'_>) -> Piece<'a> {
    Piece {
        runtime: "docker",
        stream: &docker.stream,
        time_micros: docker.time_micros,
        payload: &docker.log,
        is_last: docker.log.ends_with(b"\n"),
    }
}
