//! The little protobuf that the server speaks itself: its answers, and the check that a request is
//! what it says it is. What a request means is for `ingest-fn` to say.
//! Source: opentelemetry-proto, collector/logs/v1, logs/v1, common/v1, resource/v1.

use super::DEPTH_MAX;

/// A message that is being written, field by field.
#[derive(Debug, Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a number. Fields up to 15 have a tag of one byte; others are not written here.
    pub(crate) fn varint(mut self, field: u8, value: u64) -> Self {
        self.0.push(field << 3);
        self.push(value);
        self
    }

    /// Adds a text.
    pub(crate) fn text(self, field: u8, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    /// Adds a message.
    pub(crate) fn message(self, field: u8, message: &Self) -> Self {
        self.bytes(field, &message.0)
    }

    /// The message as it is sent.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn bytes(mut self, field: u8, bytes: &[u8]) -> Self {
        self.0.push(field << 3 | 2);
        self.push(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn push(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }
}

/// What a field of a known number must be.
#[derive(Clone, Copy)]
enum Kind {
    Varint,
    Fixed64,
    Fixed32,
    Bytes,
    Message(&'static Shape),
}

/// The fields of a message, by number.
struct Shape(&'static [(u64, Kind)]);

impl Shape {
    fn kind(&self, field: u64) -> Option<Kind> {
        self.0.iter().find(|(number, _)| *number == field).map(|(_, kind)| *kind)
    }
}

static REQUEST: Shape = Shape(&[(1, Kind::Message(&RESOURCE_LOGS))]);

static RESOURCE_LOGS: Shape =
    Shape(&[(1, Kind::Message(&RESOURCE)), (2, Kind::Message(&SCOPE_LOGS)), (3, Kind::Bytes)]);

static RESOURCE: Shape = Shape(&[(1, Kind::Message(&KEY_VALUE)), (2, Kind::Varint)]);

static SCOPE_LOGS: Shape =
    Shape(&[(1, Kind::Message(&SCOPE)), (2, Kind::Message(&LOG_RECORD)), (3, Kind::Bytes)]);

static SCOPE: Shape =
    Shape(&[(1, Kind::Bytes), (2, Kind::Bytes), (3, Kind::Message(&KEY_VALUE)), (4, Kind::Varint)]);

static LOG_RECORD: Shape = Shape(&[
    (1, Kind::Fixed64),
    (2, Kind::Varint),
    (3, Kind::Bytes),
    (5, Kind::Message(&ANY_VALUE)),
    (6, Kind::Message(&KEY_VALUE)),
    (7, Kind::Varint),
    (8, Kind::Fixed32),
    (9, Kind::Bytes),
    (10, Kind::Bytes),
    (11, Kind::Fixed64),
    (12, Kind::Bytes),
]);

static KEY_VALUE: Shape = Shape(&[(1, Kind::Bytes), (2, Kind::Message(&ANY_VALUE))]);

static ANY_VALUE: Shape = Shape(&[
    (1, Kind::Bytes),
    (2, Kind::Varint),
    (3, Kind::Varint),
    (4, Kind::Fixed64),
    (5, Kind::Message(&ARRAY_VALUE)),
    (6, Kind::Message(&KVLIST_VALUE)),
    (7, Kind::Bytes),
]);

static ARRAY_VALUE: Shape = Shape(&[(1, Kind::Message(&ANY_VALUE))]);

static KVLIST_VALUE: Shape = Shape(&[(1, Kind::Message(&KEY_VALUE))]);

/// Checks that bytes are an `ExportLogsServiceRequest` to their end, and counts its log records.
/// Fields that no version known here has are passed over, as the rules of protobuf want. Texts
/// that are no UTF-8 are no error: Envoy sends them, and the reader of protobuf takes them for
/// Latin-1.
///
/// # Errors
/// What is wrong, and around which byte.
pub(crate) fn count_records(bytes: &[u8]) -> Result<u64, String> {
    let mut walk = Walk { all: bytes.len(), records: 0 };
    walk.message(bytes, &REQUEST, DEPTH_MAX)?;
    Ok(walk.records)
}

struct Walk {
    /// Bytes of the whole request up to the end of the message in hand.
    all: usize,
    records: u64,
}

impl Walk {
    fn message(&mut self, mut rest: &[u8], shape: &Shape, depth: usize) -> Result<(), String> {
        let Some(below) = depth.checked_sub(1) else {
            return Err(format!("expected at most {DEPTH_MAX} levels of messages, found more"));
        };
        let end = self.all;
        while !rest.is_empty() {
            let wrong = |what: &str| format!("around byte {} of {end}: {what}", end - rest.len());
            let (field, wire, value, after) =
                field(rest).ok_or_else(|| wrong("expected a protobuf field"))?;
            match (shape.kind(field), wire) {
                (Some(Kind::Message(inner)), 2) => {
                    if std::ptr::eq(inner, &LOG_RECORD) {
                        self.records += 1;
                    }
                    // Places are counted from the end, so that a message within a message knows
                    // its own.
                    let outer = std::mem::replace(&mut self.all, end - after.len());
                    let inner = self.message(value, inner, below);
                    self.all = outer;
                    inner?;
                }
                (None | Some(Kind::Bytes), 2)
                | (None | Some(Kind::Varint), 0)
                | (None | Some(Kind::Fixed64), 1)
                | (None | Some(Kind::Fixed32), 5) => {}
                _ => return Err(wrong("expected another type in a known field")),
            }
            rest = after;
        }
        Ok(())
    }
}

/// A field: number, wire type, contents if it has a length, and what follows.
pub(crate) fn field(bytes: &[u8]) -> Option<(u64, u8, &[u8], &[u8])> {
    let (tag, rest) = varint(bytes)?;
    let (number, wire) = (tag >> 3, tag.to_le_bytes()[0] & 7);
    let (value, rest) = match wire {
        0 => (&rest[..0], varint(rest)?.1),
        1 => rest.split_at_checked(8)?,
        2 => {
            let (length, rest) = varint(rest)?;
            rest.split_at_checked(usize::try_from(length).ok()?)?
        }
        5 => rest.split_at_checked(4)?,
        _ => return None,
    };
    (number > 0).then_some((number, wire, value, rest))
}

/// A number and what follows.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (i, &byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[i + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(records: &[Message]) -> Vec<u8> {
        let scope = records.iter().fold(Message::new(), |all, record| all.message(2, record));
        let resource = Message::new().message(2, &scope);
        Message::new().message(1, &resource).into_bytes()
    }

    fn record(text: &str) -> Message {
        Message::new().message(5, &Message::new().text(1, text))
    }

    #[test]
    fn log_records_are_counted() {
        let count_records = |bytes: &[u8]| count_records(bytes).unwrap();
        assert_eq!(count_records(b""), 0);
        assert_eq!(count_records(&request(&[])), 0);
        let long = "x".repeat(300);
        assert_eq!(count_records(&request(&[record("a"), record(&long), record("")])), 3);
        // A field of a later version, in every wire type.
        let later = record("a").varint(13, 1 << 40).text(15, "\u{e9}");
        assert_eq!(count_records(&request(&[later])), 1);
    }

    #[test]
    fn what_is_no_such_message_is_told_with_its_place() {
        let good = request(&[record("hello")]);
        for length in 1..good.len() {
            assert!(count_records(&good[..length]).is_err(), "cut at {length}");
        }
        for wrong in
            [&b"{}"[..], b"\x0a", b"\x0b", b"\x00\x00", b"\x0a\x80", b"\x08\x01", &[0xff; 20]]
        {
            assert!(count_records(wrong).is_err(), "{wrong:?}");
        }
        let error = count_records(&good[..good.len() - 1]).unwrap_err();
        assert!(error.contains("around byte"), "{error}");
    }

    #[test]
    fn nesting_is_bounded() {
        let mut value = Message::new().text(1, "deep");
        for _ in 0..DEPTH_MAX {
            value = Message::new().message(5, &Message::new().message(1, &value));
        }
        let record = Message::new().message(5, &value);
        let error = count_records(&request(&[record])).unwrap_err();
        assert!(error.contains("levels"), "{error}");
    }
}
