use std::io::{Error, Read};

use sha2::{Digest, Sha256};

use super::*;

/// Gives out at most `step` bytes a call, then the error, if any.
struct Slow {
    bytes: Vec<u8>,
    at: usize,
    step: usize,
    error: bool,
}

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.bytes.len() && self.error {
            return Err(Error::other("broken"));
        }
        let count = self.step.min(buffer.len()).min(self.bytes.len() - self.at);
        buffer[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

fn cut(bytes: &[u8], max: usize, step: usize) -> Vec<(Part, Vec<u8>)> {
    let slow = Slow { bytes: bytes.to_vec(), at: 0, step, error: false };
    let mut reader = PartReader::with_part_bytes_max(slow, max);
    let mut buffer = Vec::new();
    let mut parts = Vec::new();
    loop {
        let some = reader.next_parts(&mut buffer).unwrap();
        if some.is_empty() {
            return parts;
        }
        assert!(some.len() <= DELIVERY_PARTS_MAX);
        parts
            .extend(some.into_iter().map(|part| (part.clone(), part.unit(&buffer).bytes.to_vec())));
    }
}

/// The slow, obvious way: the last newline within the limit, else the limit.
fn expected(bytes: &[u8], max: usize) -> Vec<Vec<u8>> {
    let mut rest = bytes;
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let cut = if rest.len() < max {
            rest.len()
        } else {
            (1..=max).rev().find(|&end| rest[end - 1] == b'\n').unwrap_or(max)
        };
        parts.push(rest[..cut].to_vec());
        rest = &rest[cut..];
    }
    parts
}

#[test]
fn the_cuts_depend_on_the_bytes_alone() {
    let texts: [&[u8]; 7] = [
        b"",
        b"\n",
        b"a\nbb\nccc\ndddd\n",
        b"a\nbb\nccc\ndddd",
        b"0123456789abcdef\nx\n",
        b"0123456789abcdef0123456789abcdef",
        b"12345678\n12345678\n1",
    ];
    for text in texts {
        for max in [1, 2, 8, 9, 16, 100] {
            let expected = expected(text, max);
            for step in [1, 3, 1000] {
                let parts = cut(text, max, step);
                let bytes: Vec<Vec<u8>> = parts.iter().map(|(_, bytes)| bytes.clone()).collect();
                assert_eq!(bytes, expected, "{text:?} in parts of {max}, {step} at a time");
                check_ids(&parts, max);
            }
        }
    }
}

/// Ids by the format's words: SHA-256(previous id, SHA-256(bytes)), from 32 zero bytes on.
fn check_ids(parts: &[(Part, Vec<u8>)], max: usize) {
    let (mut previous, mut offset) = ([0u8; 32], 0u64);
    let mut cut = false;
    for (part, bytes) in parts {
        let digest = Sha256::digest(bytes);
        assert_eq!(part.sha256.as_bytes().as_slice(), digest.as_slice());
        previous = Sha256::digest([previous.as_slice(), digest.as_slice()].concat()).into();
        assert_eq!(part.id.0.as_bytes(), &previous);
        assert_eq!((part.offset_bytes, part.continues_record), (offset, cut));
        offset += bytes.len() as u64;
        cut = part.cut_record;
    }
    // A last part filled by one line can not know that nothing follows; such a line is too long
    // for a record anyway.
    let one_full_line = |bytes: &[u8]| bytes.len() == max && !bytes.contains(&b'\n');
    assert!(!cut || parts.last().is_some_and(|(_, bytes)| one_full_line(bytes)));
}

#[test]
fn what_was_read_before_an_error_comes_first() {
    let slow = Slow { bytes: b"a\nbb\nccc".to_vec(), at: 0, step: 4, error: true };
    let mut reader = PartReader::new(slow);
    let mut buffer = Vec::new();
    assert_eq!(reader.next_parts(&mut buffer).unwrap().len(), 1);
    assert_eq!(buffer, b"a\nbb\n");
    let error = reader.next_parts(&mut buffer).unwrap_err();
    assert_eq!(error.to_string(), "input: at decoded byte 5: broken");
}
