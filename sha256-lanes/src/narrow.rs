//! Processors for which nothing is written here.

/// The digests of several messages: always `None`, since one message after the other is faster,
/// for all we know.
pub fn digests(_messages: &[&[u8]]) -> Option<Vec<[u8; 32]>> {
    None
}

/// The digests of padded messages: always `false`, as above.
pub fn digests_of_padded(
    _bytes: &[u8],
    _messages: &[super::Padded],
    _digests: &mut Vec<[u8; 32]>,
) -> bool {
    false
}
