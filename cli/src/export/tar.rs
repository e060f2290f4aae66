//! A tar file of small texts: POSIX.1-1988 (ustar), with nothing in it that depends on who made it
//! or when; and reading one that anybody may have made.

use std::io::{self, Read};

/// Bytes of a block: a head, or a part of a text.
const BLOCK_BYTES: usize = 512;

/// What ends a tar file: two blocks of nothing.
pub(super) const END: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];

/// A text as a tar file has it. The name has at most 100 bytes.
pub(super) fn entry(name: &str, text: &[u8]) -> Vec<u8> {
    let mut head = [0_u8; BLOCK_BYTES];
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(field) = head.get_mut(at..at + bytes.len()) {
            field.copy_from_slice(bytes);
        }
    };
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", text.len()).as_bytes());
    put(136, b"00000000000\0");
    // The sum is made with spaces in its own place.
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    if let Some(field) = head.get_mut(148..156) {
        field.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    let mut entry = head.to_vec();
    entry.extend_from_slice(text);
    entry.resize(entry.len().next_multiple_of(BLOCK_BYTES), 0);
    entry
}

/// Whether a file that begins so is a tar file.
pub(crate) fn is_tar(begin: &[u8]) -> bool {
    begin.get(257..262) == Some(b"ustar")
}

/// The files of a tar file, one by one.
#[derive(Debug)]
pub(crate) struct Entries<R> {
    input: R,
    bytes_max: usize,
}

impl<R: Read> Entries<R> {
    /// Reads files of at most so many bytes.
    pub(crate) const fn new(input: R, bytes_max: usize) -> Self {
        Self { input, bytes_max }
    }

    /// The next file's name and bytes; none after the last.
    ///
    /// # Errors
    /// If it can not be read, is no tar file, or holds anything but plain files of that length.
    pub(crate) fn read_next(&mut self) -> io::Result<Option<(String, Vec<u8>)>> {
        let mut head = [0; BLOCK_BYTES];
        self.input.read_exact(&mut head)?;
        if head == [0; BLOCK_BYTES] {
            return Ok(None);
        }
        let wrong = |expected: &str| {
            io::Error::new(io::ErrorKind::InvalidData, format!("no tar file: expected {expected}"))
        };
        let number = |from: usize, to: usize| {
            let digits = head.get(from..to).and_then(|field| std::str::from_utf8(field).ok())?;
            usize::from_str_radix(digits.trim_matches(['\0', ' ']), 8).ok()
        };
        let sum = head.iter().enumerate();
        let sum =
            sum.map(|(at, byte)| if (148..156).contains(&at) { 32 } else { usize::from(*byte) });
        if !is_tar(&head) || number(148, 156) != Some(sum.sum()) {
            return Err(wrong("a head with its check sum"));
        }
        if !matches!(head[156], b'0' | 0) {
            return Err(wrong("plain files only"));
        }
        let bytes = number(124, 136).filter(|bytes| *bytes <= self.bytes_max);
        let bytes =
            bytes.ok_or_else(|| wrong(&format!("files of at most {} bytes", self.bytes_max)))?;
        let name = head.split(|byte| *byte == 0).next().unwrap_or_default();
        let name = String::from_utf8_lossy(name.get(..100).unwrap_or(name)).into_owned();
        let mut text = Vec::new();
        let whole = u64::try_from(bytes.next_multiple_of(BLOCK_BYTES)).unwrap_or(u64::MAX);
        let read = (&mut self.input).take(whole).read_to_end(&mut text)?;
        if read != bytes.next_multiple_of(BLOCK_BYTES) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        text.truncate(bytes);
        Ok(Some((name, text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_is_cut_or_changed_is_not() {
        let texts: [(&str, &[u8]); 3] = [("a", b""), ("b/c", &[7; 512]), ("d", &[8; 700])];
        let mut file: Vec<u8> = texts.iter().flat_map(|(name, text)| entry(name, text)).collect();
        file.extend_from_slice(&END);
        let all = |file: &[u8]| -> io::Result<Vec<(String, Vec<u8>)>> {
            let mut entries = Entries::new(file, 1_000);
            let mut found = Vec::new();
            while let Some(one) = entries.read_next()? {
                found.push(one);
            }
            Ok(found)
        };
        let expected: Vec<_> =
            texts.iter().map(|(name, text)| ((*name).to_owned(), text.to_vec())).collect();
        assert_eq!(all(&file).unwrap(), expected);
        assert!(is_tar(&file));
        for length in 0..file.len() - 512 {
            assert!(all(&file[..length]).is_err(), "cut to {length}");
        }
        for at in (0..512).filter(|at| file[*at] != b'a') {
            let mut changed = file.clone();
            changed[at] ^= 1;
            // The sum has its own bytes written in more than one way.
            assert!(all(&changed).is_err() || (148..156).contains(&at), "byte {at}");
        }
        assert!(Entries::new(&entry("x", &[0; 1_001])[..], 1_000).read_next().is_err());
    }

    /// Python's tarfile wrote it: `TarInfo("a/b.txt")`, mode 0644, the bytes `hello`, USTAR_FORMAT.
    #[test]
    fn an_entry_is_the_one_that_others_write() {
        let entry = entry("a/b.txt", b"hello");
        assert_eq!(entry.len(), 1024);
        assert_eq!(&entry[..8], b"a/b.txt\0");
        assert_eq!(&entry[100..136], b"0000644\x000000000\x000000000\x0000000000005\0");
        assert_eq!(&entry[136..157], b"00000000000\x00007142\0 0");
        assert_eq!(&entry[257..265], b"ustar\x0000");
        assert_eq!(&entry[512..518], b"hello\0");
        assert_eq!(super::entry("x", b"").len(), 512);
        assert_eq!(super::entry("x", &[1; 512]).len(), 1024);
    }
}
