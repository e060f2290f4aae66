//! What a unit's bytes are once they are opened: decompressed, and taken out of the envelope of a
//! producer that puts several records into one. Pure.

mod kpl;

use std::borrow::Cow;
use std::io::Read;

use crate::decompress::{self, Compression};
use crate::parse::SourceFormat;
use crate::reject::{Reason, Reject};

/// Most bytes a unit that came by message may be once it is opened. A message has at most 10 MiB,
/// and logs are seldom compressed to less than a twentieth; what is longer is meant to do harm.
pub const UNIT_DECODED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A unit's bytes as parsers take them.
#[derive(Debug, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// The records, one a line; one message if they are protobuf.
    pub bytes: Cow<'a, [u8]>,
}

/// Opens a unit: gzip, zstd, a KPL aggregate, whose records may be compressed in turn, or none of
/// these.
///
/// # Errors
/// If it can not be opened, or is too long then.
pub fn decode(bytes: &[u8]) -> Result<Decoded<'_>, Reject> {
    decode_as(bytes, SourceFormat::Auto)
}

/// As [`decode`], of records that are known to be of a format.
///
/// # Errors
/// As [`decode`].
pub fn decode_as(bytes: &[u8], format: SourceFormat) -> Result<Decoded<'_>, Reject> {
    let Some(records) = kpl::records(bytes) else {
        return Ok(Decoded { bytes: decompressed(bytes, UNIT_DECODED_BYTES_MAX)? });
    };
    let records = records.map_err(|found| {
        Reject::new(Reason::NotDecodable, format!("expected a KPL aggregate, {found}"))
    })?;
    let mut all = Vec::new();
    for record in records {
        let record = decompressed(record, UNIT_DECODED_BYTES_MAX - all.len())?;
        if all.len() + record.len() >= UNIT_DECODED_BYTES_MAX {
            return Err(too_long());
        }
        all.extend_from_slice(&record);
        // Messages of protobuf that follow each other are one; lines have an end.
        if format != SourceFormat::OtlpProtobuf && !record.ends_with(b"\n") {
            all.push(b'\n');
        }
    }
    Ok(Decoded { bytes: Cow::Owned(all) })
}

fn decompressed(bytes: &[u8], bytes_max: usize) -> Result<Cow<'_, [u8]>, Reject> {
    let wrong = |e: std::io::Error| {
        Reject::new(Reason::NotDecodable, format!("expected gzip or zstd, as it begins: {e}"))
    };
    let (compression, reader) = decompress::open(bytes).map_err(wrong)?;
    if compression == Compression::None {
        return if bytes.len() > bytes_max { Err(too_long()) } else { Ok(Cow::Borrowed(bytes)) };
    }
    let mut decoded = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(limit).read_to_end(&mut decoded).map_err(wrong)?;
    if decoded.len() > bytes_max { Err(too_long()) } else { Ok(Cow::Owned(decoded)) }
}

fn too_long() -> Reject {
    let detail = format!(
        "expected at most {UNIT_DECODED_BYTES_MAX} bytes decompressed, found more; it is kept \
         compressed"
    );
    Reject::new(Reason::DecodedTooLong, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::kpl::tests::aggregate;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn opened(bytes: &[u8]) -> Vec<u8> {
        decode(bytes).unwrap().bytes.into_owned()
    }

    #[test]
    fn units_are_opened_whatever_they_are_in() {
        let text = b"{\"a\":1}\n{\"a\":2}";
        assert_eq!(opened(text), text);
        assert_eq!(opened(&gzip(text)), text);
        assert_eq!(opened(&zstd::encode_all(&text[..], 1).unwrap()), text);
        let many = aggregate(&[b"one", b"two\n", &gzip(b"three")]);
        assert_eq!(opened(&many), b"one\ntwo\nthree\n");
        let messages = aggregate(&[b"\x0a\x00", b"\x0a\x00"]);
        let protobuf = decode_as(&messages, SourceFormat::OtlpProtobuf).unwrap();
        assert_eq!(protobuf.bytes.as_ref(), b"\x0a\x00\x0a\x00");
    }

    #[test]
    fn what_can_not_be_opened_is_told_from_what_is_too_long() {
        let reason = |bytes: &[u8]| decode(bytes).unwrap_err().reason;
        let whole = gzip(&b"x".repeat(1_000));
        assert_eq!(reason(&whole[..whole.len() / 2]), Reason::NotDecodable);
        assert_eq!(reason(b"\x28\xb5\x2f\xfd no frame"), Reason::NotDecodable);
        let bomb = gzip(&vec![0; UNIT_DECODED_BYTES_MAX + 1]);
        assert!(bomb.len() < 400_000);
        assert_eq!(reason(&bomb), Reason::DecodedTooLong);
        let half = gzip(&vec![b' '; UNIT_DECODED_BYTES_MAX / 2]);
        assert_eq!(reason(&aggregate(&[&half, &half])), Reason::DecodedTooLong);
        let exact = gzip(&vec![b' '; UNIT_DECODED_BYTES_MAX]);
        assert_eq!(opened(&exact).len(), UNIT_DECODED_BYTES_MAX);
    }
}
