//! Records of the Kinesis Producer Library, several in one.
//! Source: awslabs/amazon-kinesis-producer, aggregation-format.md: four bytes, a protobuf message
//! of which field 3 are the records and field 3 of each its data, and the message's MD5.

use md5::{Digest, Md5};

use crate::http::field;

const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];

const MD5_BYTES: usize = 16;

/// The records of an aggregate, in order; none if it is no aggregate: bytes that only begin like
/// one are a record themselves. (No text begins so: it is no UTF-8.)
pub(super) fn records(bytes: &[u8]) -> Option<Result<Vec<&[u8]>, &'static str>> {
    let rest = bytes.strip_prefix(&MAGIC)?;
    let (message, digest) = rest.split_at_checked(rest.len().checked_sub(MD5_BYTES)?)?;
    if Md5::digest(message).as_slice() != digest {
        return None;
    }
    Some(read(message).ok_or("found no protobuf message of that form"))
}

fn read(mut message: &[u8]) -> Option<Vec<&[u8]>> {
    let mut all = Vec::new();
    while !message.is_empty() {
        let (number, wire, value, rest) = field(message)?;
        message = rest;
        if (number, wire) == (3, 2) {
            all.push(data(value)?);
        }
    }
    Some(all)
}

fn data(mut record: &[u8]) -> Option<&[u8]> {
    let mut data = None;
    while !record.is_empty() {
        let (number, wire, value, rest) = field(record)?;
        record = rest;
        if (number, wire) == (3, 2) {
            data = Some(value);
        }
    }
    data
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn tagged(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        let mut length = bytes.len();
        while length >= 0x80 {
            out.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        out.push(u8::try_from(length).unwrap());
        out.extend_from_slice(bytes);
        out
    }

    /// As the library writes it, one partition key for all.
    pub(in super::super) fn aggregate(records: &[&[u8]]) -> Vec<u8> {
        let mut message = tagged(1, b"key");
        for record in records {
            let mut inner = vec![0x08, 0x00];
            inner.extend(tagged(3, record));
            message.extend(tagged(3, &inner));
        }
        let digest = Md5::digest(&message);
        [&MAGIC[..], &message, digest.as_slice()].concat()
    }

    #[test]
    fn an_aggregate_is_told_by_its_digest() {
        let whole = aggregate(&[b"a", b"", b"b"]);
        assert_eq!(records(&whole).unwrap().unwrap(), [&b"a"[..], b"", b"b"]);
        assert_eq!(records(&aggregate(&[])).unwrap().unwrap().len(), 0);
        for length in 0..whole.len() {
            assert!(records(&whole[..length]).is_none(), "cut at {length}");
        }
        let mut changed = whole;
        changed[6] ^= 1;
        assert!(records(&changed).is_none());
        // A digest over something else.
        let message = b"\x1a\x02\x08\x00";
        let odd = [&MAGIC[..], message, Md5::digest(message).as_slice()].concat();
        assert!(records(&odd).unwrap().is_err());
    }
}
