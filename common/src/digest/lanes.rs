//! SHA-256 of eight messages at a time, one in each 32-bit lane of a vector register.
//!
//! A hash is a chain: one message alone can not use wide registers. Eight independent messages
//! can, and ingest has them: the parts of a delivery. Source of the function: FIPS 180-4.

use fearless_simd::{Level, Simd, dispatch, prelude::*, u32x8};

/// Messages hashed side by side.
pub(super) const LANES: usize = 8;

/// Bytes in a block of SHA-256.
const BLOCK_BYTES: usize = 64;

/// A state word of every lane.
type Words = [u32; LANES];

/// FIPS 180-4, 5.3.3.
const START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// FIPS 180-4, 4.2.2.
#[rustfmt::skip]
const ROUND: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

/// Whether hashing side by side is faster here than one message after the other: wide registers
/// are there, and SHA instructions, which beat them, are not.
pub(super) fn pay() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        use std::sync::OnceLock;
        static PAY: OnceLock<bool> = OnceLock::new();
        *PAY.get_or_init(|| {
            let wide = matches!(Level::new(), Level::Avx2(_) | Level::Avx512(_));
            wide && !std::arch::is_x86_feature_detected!("sha")
        })
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// One message on its way through a lane: its whole blocks, then its end with the padding.
struct Message<'a> {
    blocks: &'a [u8],
    end: [u8; 2 * BLOCK_BYTES],
    end_bytes: usize,
    /// Bytes of blocks, then of the end, that are done.
    done: usize,
}

impl<'a> Message<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let (blocks, rest) = bytes.split_at(bytes.len() - bytes.len() % BLOCK_BYTES);
        let mut end = [0; 2 * BLOCK_BYTES];
        end[..rest.len()].copy_from_slice(rest);
        end[rest.len()] = 0x80;
        // The length in bits takes the last eight bytes of the last block.
        let end_bytes = if rest.len() + 9 <= BLOCK_BYTES { BLOCK_BYTES } else { 2 * BLOCK_BYTES };
        let bits = (bytes.len() as u64).wrapping_mul(8).to_be_bytes();
        end[end_bytes - 8..end_bytes].copy_from_slice(&bits);
        Self { blocks, end, end_bytes, done: 0 }
    }

    /// What is to come next in one piece: the rest of the blocks, or of the end.
    fn next(&self) -> &[u8] {
        match self.blocks.get(self.done..) {
            Some(rest) if !rest.is_empty() => rest,
            _ => &self.end[self.done - self.blocks.len()..self.end_bytes],
        }
    }

    fn is_done(&self) -> bool {
        self.done == self.blocks.len() + self.end_bytes
    }
}

/// The digests of at most [`LANES`] messages, in their order; further messages are not looked at.
pub(super) fn digests(messages: &[&[u8]]) -> Vec<[u8; 32]> {
    let level = Level::new();
    let mut lanes: Vec<Message<'_>> =
        messages.iter().take(LANES).map(|bytes| Message::new(bytes)).collect();
    let mut state: [Words; 8] = START.map(|word| [word; LANES]);
    let mut digests = vec![[0; 32]; lanes.len()];
    loop {
        // As many blocks as every unfinished lane has in one piece.
        let unfinished = lanes.iter().filter(|lane| !lane.is_done());
        let Some(shortest) = unfinished.map(Message::next).min_by_key(|next| next.len()) else {
            return digests;
        };
        let run = shortest.len();
        // Lanes that have ended, or never began, repeat another lane's bytes; nobody looks.
        let mut pieces = [shortest; LANES];
        for (piece, lane) in pieces.iter_mut().zip(&lanes) {
            if !lane.is_done() {
                *piece = &lane.next()[..run];
            }
        }
        dispatch!(level, simd => compress(simd, &mut state, &pieces));
        for (number, lane) in lanes.iter_mut().enumerate().filter(|(_, lane)| !lane.is_done()) {
            lane.done += run;
            if lane.is_done() {
                for (bytes, words) in digests[number].chunks_exact_mut(4).zip(&state) {
                    bytes.copy_from_slice(&words[number].to_be_bytes());
                }
            }
        }
    }
}

/// Takes pieces of the same whole number of blocks into the states.
#[inline(always)]
fn compress<S: Simd>(simd: S, state: &mut [Words; 8], pieces: &[&[u8]; LANES]) {
    let mut sums: [u32x8<S>; 8] = std::array::from_fn(|i| u32x8::from_slice(simd, &state[i]));
    for block in 0..pieces[0].len() / BLOCK_BYTES {
        let mut words = [[0; LANES]; 16];
        for (lane, piece) in pieces.iter().enumerate() {
            let bytes = &piece[block * BLOCK_BYTES..][..BLOCK_BYTES];
            for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
                word[lane] = u32::from_be_bytes(*bytes);
            }
        }
        let schedule = std::array::from_fn(|i| u32x8::from_slice(simd, &words[i]));
        add_block(simd, &mut sums, schedule);
    }
    for (words, sum) in state.iter_mut().zip(sums) {
        sum.store_slice(words);
    }
}

#[inline(always)]
fn rotate<S: Simd>(word: u32x8<S>, bits: u32) -> u32x8<S> {
    (word >> bits) | (word << (32 - bits))
}

/// The 64 rounds for one block of each lane, FIPS 180-4, 6.2.2.
#[inline(always)]
fn add_block<S: Simd>(simd: S, sums: &mut [u32x8<S>; 8], mut w: [u32x8<S>; 16]) {
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *sums;
    macro_rules! round {
        ($t:literal, $pass:expr, $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident) => {
            if $pass > 0 {
                let (near, far) = (w[($t + 1) & 15], w[($t + 14) & 15]);
                let small_0 = rotate(near, 7) ^ rotate(near, 18) ^ (near >> 3);
                let small_1 = rotate(far, 17) ^ rotate(far, 19) ^ (far >> 10);
                w[$t] = w[$t] + small_0 + w[($t + 9) & 15] + small_1;
            }
            let big_1 = rotate($e, 6) ^ rotate($e, 11) ^ rotate($e, 25);
            let choice = $g ^ ($e & ($f ^ $g));
            let key = u32x8::splat(simd, ROUND[$pass * 16 + $t]);
            let first = $h + big_1 + choice + key + w[$t];
            let big_0 = rotate($a, 2) ^ rotate($a, 13) ^ rotate($a, 22);
            let majority = ($a & $b) ^ ($c & ($a ^ $b));
            $d += first;
            $h = first + big_0 + majority;
        };
    }
    for pass in 0..4 {
        round!(0, pass, a b c d e f g h);
        round!(1, pass, h a b c d e f g);
        round!(2, pass, g h a b c d e f);
        round!(3, pass, f g h a b c d e);
        round!(4, pass, e f g h a b c d);
        round!(5, pass, d e f g h a b c);
        round!(6, pass, c d e f g h a b);
        round!(7, pass, b c d e f g h a);
        round!(8, pass, a b c d e f g h);
        round!(9, pass, h a b c d e f g);
        round!(10, pass, g h a b c d e f);
        round!(11, pass, f g h a b c d e);
        round!(12, pass, e f g h a b c d);
        round!(13, pass, d e f g h a b c);
        round!(14, pass, c d e f g h a b);
        round!(15, pass, b c d e f g h a);
    }
    for (sum, word) in sums.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *sum += word;
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    fn check(messages: &[&[u8]]) {
        let expected: Vec<[u8; 32]> =
            messages.iter().map(|bytes| Sha256::digest(bytes).into()).collect();
        let lengths: Vec<usize> = messages.iter().map(|bytes| bytes.len()).collect();
        assert_eq!(digests(messages), expected, "lengths {lengths:?}");
    }

    #[test]
    fn every_lane_agrees_with_another_implementation_at_every_padding() {
        let bytes: Vec<u8> = (0..1024u32).map(|i| (i * 31 + i / 251).to_le_bytes()[0]).collect();
        for length in 0..300 {
            // Neighbours of other lengths, so that lanes end in every order.
            let of = |step: usize| &bytes[step..step + (length * step + 7 * step) % 700];
            let messages: Vec<&[u8]> =
                std::iter::once(&bytes[..length]).chain((1..8).map(of)).collect();
            check(&messages);
            check(&messages[..1 + length % 8]);
        }
        check(&[]);
        check(&[&b""[..]; 8]);
    }

    #[test]
    fn the_published_vectors() {
        // FIPS 180-2, appendices B.1 and B.2.
        let two_blocks = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        let expected = [
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ];
        let found: Vec<String> = digests(&[b"abc", two_blocks]).iter().map(hex::encode).collect();
        assert_eq!(found, expected);
    }
}
