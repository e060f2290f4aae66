//! Bundles of entries: each with its length before it, 16 bits, highest byte first.

use crate::error::TlogError;

/// Longest entry that fits its length field, in bytes.
pub const ENTRY_BYTES_MAX: usize = u16::MAX as usize;

/// Adds an entry to a bundle.
///
/// # Errors
/// If it is longer than [`ENTRY_BYTES_MAX`].
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), TlogError> {
    let length = u16::try_from(entry.len()).map_err(|_| {
        let found = format!("{} bytes", entry.len());
        TlogError::format("log entry", format!("at most {ENTRY_BYTES_MAX} bytes"), found)
    })?;
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// The entries of a bundle, which must be `count` and fill it.
///
/// # Errors
/// If they are more or fewer, or the last one is cut.
pub fn entries(bundle: &[u8], count: u16) -> Result<Vec<&[u8]>, TlogError> {
    let wrong =
        |found: String| TlogError::format("entry bundle", format!("{count} entries"), found);
    let (mut all, mut rest) = (Vec::with_capacity(usize::from(count)), bundle);
    while let Some((length, behind)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        let Some((entry, behind)) = behind.split_at_checked(length) else {
            return Err(wrong(format!("{}, then one that is cut", all.len())));
        };
        if all.len() == usize::from(count) {
            return Err(wrong(format!("{} bytes behind them", rest.len())));
        }
        all.push(entry);
        rest = behind;
    }
    if rest.is_empty() && all.len() == usize::from(count) {
        Ok(all)
    } else {
        Err(wrong(format!("{} and {} bytes", all.len(), rest.len())))
    }
}
