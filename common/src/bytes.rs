//! Short byte strings, compared without a call: most names and values of a log are short, and a
//! record has a hundred of them.

/// `a == b`.
#[inline]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && same_of_one_length(a, b)
}

/// `text.starts_with(begin)`.
#[inline]
pub fn begins_with(text: &[u8], begin: &[u8]) -> bool {
    text.get(..begin.len()).is_some_and(|text| same_of_one_length(text, begin))
}

#[inline(always)]
fn same_of_one_length(a: &[u8], b: &[u8]) -> bool {
    /// The first and the last bytes; together all, as the length is between N and 2 N.
    #[inline]
    fn ends<const N: usize>(bytes: &[u8]) -> Option<([u8; N], [u8; N])> {
        Some((*bytes.first_chunk()?, *bytes.last_chunk()?))
    }
    match a.len() {
        4..=7 => ends::<4>(a) == ends::<4>(b),
        8..=16 => ends::<8>(a) == ends::<8>(b),
        17..=32 => ends::<16>(a) == ends::<16>(b),
        33..=64 => ends::<32>(a) == ends::<32>(b),
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_anywhere_is_seen() {
        let bytes: Vec<u8> = (0..100).collect();
        for length in 0..bytes.len() {
            let text = &bytes[..length];
            assert!(same(text, &bytes.clone()[..length]) && begins_with(&bytes, text));
            for at in 0..length {
                let mut other = text.to_vec();
                other[at] ^= 1;
                assert!(!same(text, &other) && !begins_with(&bytes, &other), "{at} of {length}");
            }
            assert!(!same(text, &bytes) && !begins_with(text, &bytes), "{length}");
        }
    }
}
