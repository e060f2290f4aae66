//! The compression function over vector registers, and messages on their way through it.

use std::sync::OnceLock;

use super::{BLOCK_BYTES, LANES, Padded, sixteen};

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
pub(super) const ROUND: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

/// A way to hash side by side that this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// With AVX2.
    Avx2,
    /// With AVX-512 for registers of 256 bits, which turns words and combines three of them in
    /// one instruction each. Wider registers would need more messages.
    Avx512,
}

impl Way {
    /// Every way this processor has, the fastest last.
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        if is_x86_feature_detected!("avx2") {
            all.push(Self::Avx2);
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
                all.push(Self::Avx512);
            }
        }
        all
    }

    /// The way to go here: none if the processor has SHA instructions, which beat wide registers.
    fn here() -> Option<Self> {
        static HERE: OnceLock<Option<Way>> = OnceLock::new();
        *HERE.get_or_init(|| {
            let sha = is_x86_feature_detected!("sha");
            Self::all().last().copied().filter(|_| !sha)
        })
    }

    /// How many lanes must be busy for this way to beat one message after the other, which makes
    /// 355 MB/s where a lane was measured at 133 and at 259 (bench/RESULTS.md).
    const fn pays_from(self) -> usize {
        match self {
            Self::Avx2 => 3,
            Self::Avx512 => 2,
        }
    }

    /// Takes pieces of the same whole number of blocks into the states.
    #[expect(unsafe_code, reason = "calls of functions for more than the least processor")]
    fn compress(self, state: &mut [Words; 8], pieces: &[&[u8]; LANES]) {
        match self {
            // SAFETY: `Way::all` makes this value where the processor has AVX2, and nothing else
            // makes it.
            Self::Avx2 => unsafe { avx2::compress(state, pieces) },
            // SAFETY: as above, with AVX-512F and AVX-512VL as well.
            Self::Avx512 => unsafe { avx512::compress(state, pieces) },
        }
    }
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
/// `None` if this processor is faster with one message after the other, because of what it can or
/// because these would leave too many lanes idle.
pub fn digests(messages: &[&[u8]]) -> Option<Vec<[u8; 32]>> {
    let lanes = messages.get(..LANES).unwrap_or(messages);
    let longest = lanes.iter().map(|bytes| bytes.len()).max()?;
    let all: usize = lanes.iter().map(|bytes| bytes.len()).sum();
    let way = Way::here().filter(|way| all >= way.pays_from() * longest)?;
    Some(digests_by(way, messages))
}

fn digests_by(way: Way, messages: &[&[u8]]) -> Vec<[u8; 32]> {
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
        way.compress(&mut state, &pieces);
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

/// Appends the digests of padded messages, in their order; those that are not within the bytes get
/// digests that mean nothing. `false`, and nothing appended, if this processor is faster with one
/// message after the other.
///
/// For many short messages: nothing is copied, and lanes are filled with messages of one length.
pub fn digests_of_padded(bytes: &[u8], messages: &[Padded], digests: &mut Vec<[u8; 32]>) -> bool {
    let Some(way) = Way::here() else { return false };
    padded_by(way, Sixteen::here(), bytes, messages, digests);
    true
}

fn padded_by(
    way: Way,
    sixteen: Option<Sixteen>,
    bytes: &[u8],
    messages: &[Padded],
    digests: &mut Vec<[u8; 32]>,
) {
    let start = digests.len();
    digests.resize(start + messages.len(), [0; 32]);
    let digests = &mut digests[start..];
    let order = by_length(messages);
    let mut rest = &order[..];
    while let Some(sixteen) = sixteen.filter(|_| rest.len() > LANES) {
        let (group, others) = rest.split_at(rest.len().min(sixteen::LANES));
        hash_group(bytes, messages, group, digests, |state, pieces| {
            sixteen.compress(state, pieces);
        });
        rest = others;
    }
    for group in rest.chunks(LANES) {
        hash_group(bytes, messages, group, digests, |state, pieces| way.compress(state, pieces));
    }
}

/// The numbers of messages in ascending order of length.
fn by_length(messages: &[Padded]) -> Vec<usize> {
    /// Longer messages are few.
    const SHORT_BLOCKS: usize = 64;
    let short = |message: &Padded| message.blocks.min(SHORT_BLOCKS);
    let mut places = [0; SHORT_BLOCKS + 2];
    messages.iter().for_each(|message| places[short(message) + 1] += 1);
    for blocks in 1..places.len() {
        places[blocks] += places[blocks - 1];
    }
    let long = places[SHORT_BLOCKS];
    let mut order = vec![0; messages.len()];
    for (number, message) in messages.iter().enumerate() {
        let place = &mut places[short(message)];
        order[*place] = number;
        *place += 1;
    }
    order[long..].sort_unstable_by_key(|&number| messages[number].blocks);
    order
}

/// Hashes as many messages as there are lanes, or fewer, given in ascending order of length.
fn hash_group<const N: usize>(
    bytes: &[u8],
    messages: &[Padded],
    group: &[usize],
    digests: &mut [[u8; 32]],
    compress: impl Fn(&mut [[u32; N]; 8], &[&[u8]; N]),
) {
    let piece = |message: &Padded, done: usize, blocks: usize| {
        let from = (message.first + done) * BLOCK_BYTES;
        bytes.get(from..from + blocks * BLOCK_BYTES).unwrap_or_default()
    };
    let mut state: [[u32; N]; 8] = START.map(|word| [word; N]);
    // Those that are done are the first ones.
    let (mut done, mut ended) = (0, 0);
    while let Some(&next) = group.get(ended) {
        let blocks = messages[next].blocks - done;
        // Lanes that have ended, or never began, repeat another lane's bytes; nobody looks.
        let mut pieces = [piece(&messages[next], done, blocks); N];
        for (lane, &number) in pieces.iter_mut().zip(group).skip(ended) {
            *lane = piece(&messages[number], done, blocks);
        }
        if pieces.iter().any(|piece| piece.len() != blocks * BLOCK_BYTES) {
            return;
        }
        compress(&mut state, &pieces);
        done += blocks;
        while let Some(&number) = group.get(ended).filter(|&&n| messages[n].blocks == done) {
            for (bytes, words) in digests[number].chunks_exact_mut(4).zip(&state) {
                bytes.copy_from_slice(&words[ended].to_be_bytes());
            }
            ended += 1;
        }
    }
}

/// Registers of 512 bits, where this processor has them and no SHA instructions.
#[derive(Debug, Clone, Copy)]
struct Sixteen(());

impl Sixteen {
    fn here() -> Option<Self> {
        Self::any().filter(|_| Way::here() == Some(Way::Avx512))
    }

    /// Whether the processor has them, be they the fastest way or not.
    fn any() -> Option<Self> {
        let can = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
        can.then_some(Self(()))
    }

    /// Takes pieces of the same whole number of blocks into the states.
    #[expect(unsafe_code, reason = "call of a function for more than the least processor")]
    fn compress(self, state: &mut [[u32; sixteen::LANES]; 8], pieces: &[&[u8]; sixteen::LANES]) {
        // SAFETY: `Sixteen::any` makes this value where the processor has AVX-512F and AVX-512BW,
        // and nothing else makes it.
        unsafe { sixteen::compress(state, pieces) }
    }
}

/// The rounds for one kind of processor: its features, and what it needs to turn a word to the
/// right, for the exclusive or of three words, and for Ch and Maj of FIPS 180-4, 4.1.2.
macro_rules! rounds {
    ($way:ident, $features:literal, $rotate:item $xor:item $choice:item $majority:item) => {
        mod $way {
            use std::arch::x86_64::*;

            use super::{BLOCK_BYTES, LANES, ROUND, Words};

            $rotate
            $xor
            $choice
            $majority

            /// Takes pieces of the same whole number of blocks into the states.
            #[target_feature(enable = $features)]
            pub(super) fn compress(state: &mut [Words; 8], pieces: &[&[u8]; LANES]) {
                // Written out: `map` and its closures would be calls.
                let [a, b, c, d, e, f, g, h] = *state;
                let mut sums =
                    [words(a), words(b), words(c), words(d), words(e), words(f), words(g), words(h)];
                let halves = pieces[0].len() / BLOCK_BYTES * 2;
                let pieces: [&[[u8; BLOCK_BYTES / 2]]; LANES] =
                    pieces.map(|piece| &piece.as_chunks().0[..halves]);
                for at in (0..halves).step_by(2) {
                    let [a, b, c, d, e, f, g, h] = transposed(&pieces, at);
                    let [i, j, k, l, m, n, o, p] = transposed(&pieces, at + 1);
                    add_block(&mut sums, [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]);
                }
                for (lanes, words) in state.iter_mut().zip(sums) {
                    *lanes = numbers(words);
                }
            }

            #[target_feature(enable = $features)]
            #[inline]
            fn words(numbers: Words) -> __m256i {
                let [a, b, c, d, e, f, g, h] = numbers.map(u32::cast_signed);
                _mm256_setr_epi32(a, b, c, d, e, f, g, h)
            }

            #[target_feature(enable = $features)]
            #[inline]
            fn numbers(words: __m256i) -> Words {
                [
                    _mm256_extract_epi32::<0>(words),
                    _mm256_extract_epi32::<1>(words),
                    _mm256_extract_epi32::<2>(words),
                    _mm256_extract_epi32::<3>(words),
                    _mm256_extract_epi32::<4>(words),
                    _mm256_extract_epi32::<5>(words),
                    _mm256_extract_epi32::<6>(words),
                    _mm256_extract_epi32::<7>(words),
                ]
                .map(i32::cast_unsigned)
            }

            /// Half a block of each lane becomes the lanes' first words, their second words, and
            /// so on.
            #[target_feature(enable = $features)]
            #[inline]
            fn transposed(lanes: &[&[[u8; BLOCK_BYTES / 2]]; LANES], at: usize) -> [__m256i; 8] {
                let [a, b, c, d, e, f, g, h] = lanes.map(|lane| &lane[at]);
                let low = fours(pairs(turned(a), turned(b)), pairs(turned(c), turned(d)));
                let high = fours(pairs(turned(e), turned(f)), pairs(turned(g), turned(h)));
                [
                    _mm256_permute2x128_si256::<0x20>(low[0], high[0]),
                    _mm256_permute2x128_si256::<0x20>(low[1], high[1]),
                    _mm256_permute2x128_si256::<0x20>(low[2], high[2]),
                    _mm256_permute2x128_si256::<0x20>(low[3], high[3]),
                    _mm256_permute2x128_si256::<0x31>(low[0], high[0]),
                    _mm256_permute2x128_si256::<0x31>(low[1], high[1]),
                    _mm256_permute2x128_si256::<0x31>(low[2], high[2]),
                    _mm256_permute2x128_si256::<0x31>(low[3], high[3]),
                ]
            }

            /// The eight words of half a block: SHA-256 reads the highest byte first.
            #[target_feature(enable = $features)]
            #[inline]
            fn turned(bytes: &[u8; BLOCK_BYTES / 2]) -> __m256i {
                let at = |at: usize| match bytes[at..].first_chunk() {
                    Some(eight) => i64::from_le_bytes(*eight),
                    None => 0,
                };
                let bytes = _mm256_setr_epi64x(at(0), at(8), at(16), at(24));
                let (low, high) = (0x0405_0607_0001_0203, 0x0c0d_0e0f_0809_0a0b);
                _mm256_shuffle_epi8(bytes, _mm256_setr_epi64x(low, high, low, high))
            }

            #[target_feature(enable = $features)]
            #[inline]
            fn pairs(a: __m256i, b: __m256i) -> (__m256i, __m256i) {
                (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b))
            }

            #[target_feature(enable = $features)]
            #[inline]
            fn fours(
                (a, b): (__m256i, __m256i),
                (c, d): (__m256i, __m256i),
            ) -> [__m256i; 4] {
                [
                    _mm256_unpacklo_epi64(a, c),
                    _mm256_unpackhi_epi64(a, c),
                    _mm256_unpacklo_epi64(b, d),
                    _mm256_unpackhi_epi64(b, d),
                ]
            }

            #[target_feature(enable = $features)]
            #[inline]
            fn add(a: __m256i, b: __m256i) -> __m256i {
                _mm256_add_epi32(a, b)
            }

            /// The 64 rounds for one block of each lane, FIPS 180-4, 6.2.2.
            #[target_feature(enable = $features)]
            #[inline]
            fn add_block(sums: &mut [__m256i; 8], mut w: [__m256i; 16]) {
                let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *sums;
                macro_rules! round {
                    ($t:literal, $pass:expr, $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident) => {
                        if $pass > 0 {
                            let (near, far) = (w[($t + 1) & 15], w[($t + 14) & 15]);
                            let shifted = _mm256_srli_epi32::<3>(near);
                            let small_0 = xor(rotate::<7, 25>(near), rotate::<18, 14>(near), shifted);
                            let shifted = _mm256_srli_epi32::<10>(far);
                            let small_1 = xor(rotate::<17, 15>(far), rotate::<19, 13>(far), shifted);
                            w[$t] = add(add(w[$t], small_0), add(w[($t + 9) & 15], small_1));
                        }
                        let big_1 = xor(rotate::<6, 26>($e), rotate::<11, 21>($e), rotate::<25, 7>($e));
                        let key = _mm256_set1_epi32(ROUND[$pass * 16 + $t].cast_signed());
                        let first = add(add($h, add(w[$t], key)), add(big_1, choice($e, $f, $g)));
                        let big_0 = xor(rotate::<2, 30>($a), rotate::<13, 19>($a), rotate::<22, 10>($a));
                        $d = add($d, first);
                        $h = add(first, add(big_0, majority($a, $b, $c)));
                    };
                }
                for pass in 0..4 {
                    sixteen_rounds!(round, pass, a b c d e f g h);
                }
                for (sum, word) in sums.iter_mut().zip([a, b, c, d, e, f, g, h]) {
                    *sum = add(*sum, word);
                }
            }
        }
    };
}

rounds! {
    avx2, "avx2",
    #[target_feature(enable = "avx2")]
    #[inline]
    fn rotate<const RIGHT: i32, const LEFT: i32>(word: __m256i) -> __m256i {
        _mm256_or_si256(_mm256_srli_epi32::<RIGHT>(word), _mm256_slli_epi32::<LEFT>(word))
    }
    #[target_feature(enable = "avx2")]
    #[inline]
    fn xor(a: __m256i, b: __m256i, c: __m256i) -> __m256i {
        _mm256_xor_si256(_mm256_xor_si256(a, b), c)
    }
    #[target_feature(enable = "avx2")]
    #[inline]
    fn choice(e: __m256i, f: __m256i, g: __m256i) -> __m256i {
        _mm256_xor_si256(g, _mm256_and_si256(e, _mm256_xor_si256(f, g)))
    }
    #[target_feature(enable = "avx2")]
    #[inline]
    fn majority(a: __m256i, b: __m256i, c: __m256i) -> __m256i {
        let one = _mm256_and_si256(c, _mm256_xor_si256(a, b));
        _mm256_xor_si256(_mm256_and_si256(a, b), one)
    }
}

rounds! {
    avx512, "avx2,avx512f,avx512vl",
    #[target_feature(enable = "avx2,avx512f,avx512vl")]
    #[inline]
    fn rotate<const RIGHT: i32, const LEFT: i32>(word: __m256i) -> __m256i {
        _mm256_ror_epi32::<RIGHT>(word)
    }
    #[target_feature(enable = "avx2,avx512f,avx512vl")]
    #[inline]
    fn xor(a: __m256i, b: __m256i, c: __m256i) -> __m256i {
        _mm256_ternarylogic_epi32::<0x96>(a, b, c)
    }
    #[target_feature(enable = "avx2,avx512f,avx512vl")]
    #[inline]
    fn choice(e: __m256i, f: __m256i, g: __m256i) -> __m256i {
        _mm256_ternarylogic_epi32::<0xca>(e, f, g)
    }
    #[target_feature(enable = "avx2,avx512f,avx512vl")]
    #[inline]
    fn majority(a: __m256i, b: __m256i, c: __m256i) -> __m256i {
        _mm256_ternarylogic_epi32::<0xe8>(a, b, c)
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
        for way in Way::all() {
            assert_eq!(digests_by(way, messages), expected, "{way:?}, lengths {lengths:?}");
        }
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
    fn padded_messages_of_all_lengths_agree_with_another_implementation() {
        let source: Vec<u8> = (0..2048u32).map(|i| (i * 37 + i / 253).to_le_bytes()[0]).collect();
        for count in [0, 1, 7, 8, 9, 15, 16, 17, 100] {
            let (mut bytes, mut messages, mut expected) = (Vec::new(), Vec::new(), Vec::new());
            for number in 0..count {
                let length = if number % 50 == 49 { 1990 } else { number * 71 % 900 };
                let message = &source[number % 50..][..length];
                let first = bytes.len() / BLOCK_BYTES;
                bytes.extend_from_slice(message);
                bytes.push(0x80);
                while bytes.len() % BLOCK_BYTES != BLOCK_BYTES - 8 {
                    bytes.push(0);
                }
                bytes.extend_from_slice(&(message.len() as u64 * 8).to_be_bytes());
                let blocks = bytes.len() / BLOCK_BYTES - first;
                messages.push(Padded { first, blocks });
                expected.push(<[u8; 32]>::from(Sha256::digest(message)));
            }
            // As callers may: in another order than they lie.
            messages.reverse();
            expected.reverse();
            for way in Way::all() {
                for sixteen in [None, Sixteen::any()] {
                    let mut found = vec![[7; 32]];
                    padded_by(way, sixteen, &bytes, &messages, &mut found);
                    assert_eq!(found[0], [7; 32]);
                    assert_eq!(found[1..], expected, "{way:?}, {sixteen:?}, {count}");
                }
            }
        }
        // Beyond the bytes there is nothing to hash, and nothing to stumble over.
        let beyond = [Padded { first: 1, blocks: 1 }];
        for way in Way::all() {
            padded_by(way, None, &[0; 64], &beyond, &mut Vec::new());
            padded_by(way, Sixteen::any(), &[0; 64], &[beyond[0]; 20], &mut Vec::new());
        }
    }

    #[test]
    fn the_published_vectors() {
        // FIPS 180-2, appendices B.1 and B.2.
        let two_blocks = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        let expected = [
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ];
        for way in Way::all() {
            let found = digests_by(way, &[b"abc", two_blocks]);
            let found: Vec<String> = found.iter().map(hex::encode).collect();
            assert_eq!(found, expected, "{way:?}");
        }
    }
}
