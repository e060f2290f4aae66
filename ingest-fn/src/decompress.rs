//! Plain, gzip or zstd, told apart by their first bytes; decoded as a stream in bounded memory.

use std::io::{self, BufReader, Cursor, Read};

use flate2::read::MultiGzDecoder;

/// How an input was compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952, one or more members.
    Gzip,
    /// RFC 8878, one or more frames.
    Zstd,
}

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Compressed bytes read at a time.
const BUFFER_BYTES: usize = 256 * 1024;

/// Largest zstd window accepted, as a power of two: 2^25 = 32 MiB, what every level but the
/// `--ultra` ones writes, and a bound on what a hostile frame can make us allocate.
const ZSTD_WINDOW_LOG_MAX: u32 = 25;

/// Opens `reader` for decoded reading and says how it was compressed.
///
/// # Errors
/// If the first bytes can not be read or the decoder can not be set up.
pub fn open<'a>(
    mut reader: impl Read + Send + 'a,
) -> io::Result<(Compression, Box<dyn Read + Send + 'a>)> {
    let mut magic = Vec::with_capacity(4);
    reader.by_ref().take(4).read_to_end(&mut magic)?;
    let compression = if magic.starts_with(GZIP_MAGIC) {
        Compression::Gzip
    } else if magic.starts_with(ZSTD_MAGIC) {
        Compression::Zstd
    } else {
        Compression::None
    };
    let whole = Cursor::new(magic).chain(reader);
    Ok((
        compression,
        match compression {
            Compression::None => Box::new(whole),
            Compression::Gzip => {
                Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, whole)))
            }
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(whole)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Box::new(decoder)
            }
        },
    ))
}
