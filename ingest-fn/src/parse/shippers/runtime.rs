//! Container runtimes: what they put around each line of a container's output, and the pieces
//! into which they cut long ones.

use std::ops::Range;

use common::limits::RECORD_BYTES_MAX;

use crate::parse::time::parse_rfc3339;

/// A line behind its CRI prefix `<time> <stdout|stderr> <tags> `.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cri<'a> {
    /// The prefix's time, in microseconds.
    pub(crate) time_micros: i64,
    /// The prefix's time as it stands.
    pub(crate) time: &'a [u8],
    /// `stdout` or `stderr`.
    pub(crate) stream: &'a [u8],
    /// More of the line follows in the next one.
    pub(crate) partial: bool,
    /// The program's own text.
    pub(crate) content: &'a [u8],
}

impl<'a> Cri<'a> {
    /// Splits a line; `None` if it has no such prefix.
    pub(crate) fn split(line: &'a [u8]) -> Option<Self> {
        let word = |text: &'a [u8]| {
            let (word, rest) = text.split_at_checked(memchr::memchr(b' ', text)?)?;
            Some((word, rest.strip_prefix(b" ")?))
        };
        // A time is at most 35 bytes, so a long line without a space costs nothing.
        let (time, _) = word(line.get(..64).unwrap_or(line))?;
        let time_micros = parse_rfc3339(time)?;
        let (stream, rest) = word(line.get(time.len() + 1..)?)?;
        if !matches!(stream, b"stdout" | b"stderr") {
            return None;
        }
        // The last piece of a line may be empty, and the space before it trimmed.
        let (tags, content) = word(rest).unwrap_or((rest, b""));
        let partial = match tags.split(|&byte| byte == b':').next()? {
            b"F" => false,
            b"P" => true,
            _ => return None,
        };
        Some(Self { time_micros, time, stream, partial, content })
    }
}

/// How many bytes at the begin of `text` make one record, their last newline left out: a line,
/// or, where it is a piece of one, all lines up to the one that ends it.
///
/// Other streams may write between the pieces; then their lines are in it too. Given to the
/// dispatcher as one record, such lines become an event each. A run whose end does not come
/// within the limit of a record is cut there, and its pieces are rejects.
pub fn record_length(text: &[u8]) -> usize {
    let mut open: [(&[u8], bool); 2] = [(b"stdout", false), (b"stderr", false)];
    let mut end = 0;
    loop {
        let rest = text.get(end..).unwrap_or_default();
        let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = rest.get(..length).unwrap_or_default();
        if let Some(Piece { stream, partial, .. }) = piece_of(line) {
            let stream = open.iter_mut().find(|(name, _)| *name == stream);
            if let Some((_, is_open)) = stream {
                *is_open = partial;
            }
        }
        let whole = open.iter().all(|(_, is_open)| !is_open);
        let next = end + length + 1;
        if whole || next >= text.len() || next > RECORD_BYTES_MAX {
            return end + length;
        }
        end = next;
    }
}

/// What a line of a container runtime says of the program's line in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    /// `stdout` or `stderr`.
    pub(crate) stream: &'a [u8],
    /// Where the program's text lies in the line; Docker's is still escaped.
    pub(crate) content: Range<usize>,
    /// More of it follows in the next line of the stream.
    pub(crate) partial: bool,
}

/// The piece in a line, by either runtime.
pub(crate) fn piece_of(line: &[u8]) -> Option<Piece<'_>> {
    let Some(cri) = Cri::split(line) else { return docker_piece(line) };
    let content = line.len() - cri.content.len()..line.len();
    Some(Piece { stream: cri.stream, content, partial: cri.partial })
}

/// The piece in a line as Docker writes it: more follows if the text has no newline at its end.
fn docker_piece(line: &[u8]) -> Option<Piece<'_>> {
    const STREAM: &[u8] = b"\",\"stream\":\"";
    const LOG: &[u8] = b"{\"log\":\"";
    let log = line.strip_prefix(LOG)?;
    let (log, rest) = log.split_at_checked(memchr::memmem::rfind(log, STREAM)?)?;
    let rest = rest.strip_prefix(STREAM)?;
    let (stream, rest) = rest.split_at_checked(memchr::memchr(b'"', rest)?)?;
    // Other shippers begin their records so too, but go on with other fields.
    let is_docker = rest.starts_with(b"\",\"time\":\"") || rest.starts_with(b"\",\"attrs\":");
    let newline = log
        .strip_suffix(b"n")
        .is_some_and(|log| log.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1);
    let content = LOG.len()..LOG.len() + log.len();
    is_docker.then_some(Piece { stream, content, partial: !newline })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_by_the_form() {
        let line = b"2026-11-02T10:15:31.005123456Z stdout F:x  a b";
        let cri = Cri::split(line).unwrap();
        assert_eq!((cri.stream, cri.partial, cri.content), (&b"stdout"[..], false, &b" a b"[..]));
        assert_eq!(cri.time_micros, 1_793_614_531_005_123);
        assert!(Cri::split(b"2026-11-02T10:15:31Z stderr P ").unwrap().partial);
        assert_eq!(Cri::split(b"2026-11-02T10:15:31Z stderr F").unwrap().content, b"");
        for other in [
            "",
            "x stdout F a",
            "2026-11-02T10:15:31Z",
            "2026-11-02T10:15:31Z stdin F a",
            "2026-11-02T10:15:31Z stdout X a",
            "2026-11-02T10:15:31Z  stdout F a",
        ] {
            assert_eq!(Cri::split(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn pieces_stay_together() {
        let time = "2026-11-02T10:15:31Z";
        let check = |lines: &[&str], first: usize| {
            let lines: Vec<String> = lines.iter().map(|line| format!("{time} {line}")).collect();
            let length = lines[..first].join("\n").len();
            assert_eq!(record_length(lines.join("\n").as_bytes()), length, "{lines:?}");
        };
        check(&["stdout F a", "stdout F b"], 1);
        check(&["stdout P a", "stdout F b", "stdout F c"], 2);
        check(&["stdout P a", "stderr F b", "stdout P c", "stdout F d", "stdout F e"], 4);
        check(&["stdout P a", "stderr P b", "stdout F c", "stderr F d", "stdout F e"], 4);
        check(&["stdout P a", "stdout P b"], 2);
        assert_eq!(record_length(b"{\"a\":1}\n{}"), 7);
        assert_eq!(record_length(b""), 0);
        let docker =
            |log: &str| format!("{{\"log\":\"{log}\",\"stream\":\"stdout\",\"time\":\"{time}\"}}");
        let text = [docker("a"), docker("b\\n"), docker("c\\\\n"), docker("d\\n")].join("\n");
        let first = record_length(text.as_bytes());
        assert_eq!(&text[..first], [docker("a"), docker("b\\n")].join("\n"));
        assert_eq!(record_length(&text.as_bytes()[first + 1..]), text.len() - first - 1);
    }
}
