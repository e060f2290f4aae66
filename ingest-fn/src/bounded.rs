//! The decoded bytes of one input: counted, bounded, and with one lasting end.

use std::io::{self, Read};

/// Passes decoded bytes on until a limit. Once reading failed it fails for good: a decoder that
/// is asked again after an error could pretend that the stream had ended well.
pub struct Bounded<R> {
    inner: R,
    bytes_max: u64,
    /// What is said when the limit is reached.
    too_long: &'static str,
    bytes: u64,
    failed: Option<(io::ErrorKind, String)>,
}

impl<R: Read> Bounded<R> {
    /// Passes at most `bytes_max` bytes on; `too_long` is the error's text if there are more.
    pub fn new(inner: R, bytes_max: u64, too_long: &'static str) -> Self {
        Self { inner, bytes_max, too_long, bytes: 0, failed: None }
    }

    /// Bytes passed on so far.
    pub const fn passed_bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the limit ended it.
    pub fn limit_reached(&self) -> bool {
        self.failed.as_ref().is_some_and(|(kind, _)| *kind == io::ErrorKind::FileTooLarge)
    }

    fn fail(&mut self, kind: io::ErrorKind, message: String) -> io::Error {
        self.failed = Some((kind, message.clone()));
        io::Error::new(kind, message)
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some((kind, message)) = &self.failed {
            return Err(io::Error::new(*kind, message.clone()));
        }
        let left = usize::try_from(self.bytes_max - self.bytes).unwrap_or(usize::MAX);
        if left == 0 {
            // Only a stream that goes on is too long.
            return match self.inner.read(&mut [0])? {
                0 => Ok(0),
                _ => Err(self.fail(io::ErrorKind::FileTooLarge, self.too_long.to_owned())),
            };
        }
        let wanted = left.min(buf.len());
        match self.inner.read(&mut buf[..wanted]) {
            Ok(read) => {
                self.bytes += u64::try_from(read).unwrap_or(0);
                Ok(read)
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Err(e),
            Err(e) => Err(self.fail(e.kind(), e.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_exactly_the_limit_passes_and_one_byte_more_fails_for_good() {
        let mut all = Vec::new();
        let mut exact = Bounded::new(&b"12345"[..], 5, "long");
        exact.read_to_end(&mut all).unwrap();
        assert_eq!(
            (all.as_slice(), exact.passed_bytes(), exact.limit_reached()),
            (&b"12345"[..], 5, false)
        );

        let mut longer = Bounded::new(&b"123456"[..], 5, "long");
        let mut some = Vec::new();
        assert!(longer.read_to_end(&mut some).is_err());
        assert_eq!((some.as_slice(), longer.limit_reached()), (&b"12345"[..], true));
        assert!(longer.read(&mut [0; 4]).is_err());
    }

    #[test]
    fn an_error_is_repeated_though_the_reader_then_ends() {
        struct Once(bool);
        impl Read for Once {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                if std::mem::replace(&mut self.0, true) {
                    return Ok(0);
                }
                Err(io::Error::new(io::ErrorKind::InvalidData, "corrupt"))
            }
        }
        let mut decoded = Bounded::new(Once(false), 5, "long");
        for _ in 0..3 {
            assert_eq!(decoded.read(&mut [0; 4]).unwrap_err().to_string(), "corrupt");
        }
    }
}
