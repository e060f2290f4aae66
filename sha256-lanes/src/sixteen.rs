//! The compression function over registers of 512 bits: sixteen lanes, for many short messages.
//!
//! As in `wide`, with other instructions; messages that are padded already need no more.

use std::arch::x86_64::*;

use super::BLOCK_BYTES;
use super::wide::ROUND;

/// Messages hashed side by side here.
pub(super) const LANES: usize = 16;

/// Takes pieces of the same whole number of blocks into the states.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn compress(state: &mut [[u32; LANES]; 8], pieces: &[&[u8]; LANES]) {
    // Written out: `map` and its closures would be calls.
    let [a, b, c, d, e, f, g, h] = &*state;
    let mut sums = [words(a), words(b), words(c), words(d), words(e), words(f), words(g), words(h)];
    let blocks = pieces[0].len() / BLOCK_BYTES;
    let pieces: [&[[u8; BLOCK_BYTES]]; LANES] = pieces.map(|piece| &piece.as_chunks().0[..blocks]);
    for at in 0..blocks {
        add_block(&mut sums, transposed(&pieces, at));
    }
    for (numbers, words) in state.iter_mut().zip(sums) {
        store(words, numbers);
    }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn words(numbers: &[u32; LANES]) -> __m512i {
    let at = |at: usize| match numbers[at..].first_chunk() {
        Some([low, high]) => (u64::from(*high) << 32 | u64::from(*low)).cast_signed(),
        None => 0,
    };
    _mm512_setr_epi64(at(0), at(2), at(4), at(6), at(8), at(10), at(12), at(14))
}

#[target_feature(enable = "avx512f")]
#[inline]
fn store(words: __m512i, numbers: &mut [u32; LANES]) {
    let [a, b, c, d] = [
        _mm512_extracti32x4_epi32::<0>(words),
        _mm512_extracti32x4_epi32::<1>(words),
        _mm512_extracti32x4_epi32::<2>(words),
        _mm512_extracti32x4_epi32::<3>(words),
    ];
    macro_rules! four {
        ($quarter:ident) => {
            [
                _mm_extract_epi32::<0>($quarter).cast_unsigned(),
                _mm_extract_epi32::<1>($quarter).cast_unsigned(),
                _mm_extract_epi32::<2>($quarter).cast_unsigned(),
                _mm_extract_epi32::<3>($quarter).cast_unsigned(),
            ]
        };
    }
    let [a, b, c, d] = [four!(a), four!(b), four!(c), four!(d)];
    for (four, quarter) in numbers.as_chunks_mut::<4>().0.iter_mut().zip([a, b, c, d]) {
        *four = quarter;
    }
}

/// A block of each lane becomes the lanes' first words, their second words, and so on.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn transposed(lanes: &[&[[u8; BLOCK_BYTES]]; LANES], at: usize) -> [__m512i; 16] {
    let row = |lane: usize| turned(&lanes[lane][at]);
    // Of four lanes, in each quarter of a register, the words with one number within a quarter.
    let fours = |first: usize| {
        let (a, b, c, d) = (row(first), row(first + 1), row(first + 2), row(first + 3));
        let (low, high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let (next_low, next_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        [
            _mm512_unpacklo_epi64(low, next_low),
            _mm512_unpackhi_epi64(low, next_low),
            _mm512_unpacklo_epi64(high, next_high),
            _mm512_unpackhi_epi64(high, next_high),
        ]
    };
    let (a, b, c, d) = (fours(0), fours(4), fours(8), fours(12));
    // The quarters with one number, of all lanes.
    let quarters = |word: usize| {
        let even = _mm512_shuffle_i32x4::<0x88>(a[word], b[word]);
        let odd = _mm512_shuffle_i32x4::<0xdd>(a[word], b[word]);
        let next_even = _mm512_shuffle_i32x4::<0x88>(c[word], d[word]);
        let next_odd = _mm512_shuffle_i32x4::<0xdd>(c[word], d[word]);
        [
            _mm512_shuffle_i32x4::<0x88>(even, next_even),
            _mm512_shuffle_i32x4::<0x88>(odd, next_odd),
            _mm512_shuffle_i32x4::<0xdd>(even, next_even),
            _mm512_shuffle_i32x4::<0xdd>(odd, next_odd),
        ]
    };
    let [a, e, i, m] = quarters(0);
    let [b, f, j, n] = quarters(1);
    let [c, g, k, o] = quarters(2);
    let [d, h, l, p] = quarters(3);
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

/// The sixteen words of a block: SHA-256 reads the highest byte first.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn turned(bytes: &[u8; BLOCK_BYTES]) -> __m512i {
    let at = |at: usize| match bytes[at..].first_chunk() {
        Some(eight) => i64::from_le_bytes(*eight),
        None => 0,
    };
    let bytes = _mm512_setr_epi64(at(0), at(8), at(16), at(24), at(32), at(40), at(48), at(56));
    let (low, high) = (0x0405_0607_0001_0203, 0x0c0d_0e0f_0809_0a0b);
    let order = _mm512_setr_epi64(low, high, low, high, low, high, low, high);
    _mm512_shuffle_epi8(bytes, order)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn add(a: __m512i, b: __m512i) -> __m512i {
    _mm512_add_epi32(a, b)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn xor(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0x96>(a, b, c)
}

/// The 64 rounds for one block of each lane, FIPS 180-4, 6.2.2.
#[target_feature(enable = "avx512f")]
#[inline]
fn add_block(sums: &mut [__m512i; 8], mut w: [__m512i; 16]) {
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *sums;
    macro_rules! turn {
        ($word:expr, $by:literal) => {
            _mm512_ror_epi32::<$by>($word)
        };
    }
    macro_rules! round {
        ($t:literal, $pass:expr, $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident) => {
            if $pass > 0 {
                let (near, far) = (w[($t + 1) & 15], w[($t + 14) & 15]);
                let shifted = _mm512_srli_epi32::<3>(near);
                let small_0 = xor(turn!(near, 7), turn!(near, 18), shifted);
                let shifted = _mm512_srli_epi32::<10>(far);
                let small_1 = xor(turn!(far, 17), turn!(far, 19), shifted);
                w[$t] = add(add(w[$t], small_0), add(w[($t + 9) & 15], small_1));
            }
            let big_1 = xor(turn!($e, 6), turn!($e, 11), turn!($e, 25));
            let key = _mm512_set1_epi32(ROUND[$pass * 16 + $t].cast_signed());
            let choice = _mm512_ternarylogic_epi32::<0xca>($e, $f, $g);
            let first = add(add($h, add(w[$t], key)), add(big_1, choice));
            let big_0 = xor(turn!($a, 2), turn!($a, 13), turn!($a, 22));
            let majority = _mm512_ternarylogic_epi32::<0xe8>($a, $b, $c);
            $d = add($d, first);
            $h = add(first, add(big_0, majority));
        };
    }
    for pass in 0..4 {
        sixteen_rounds!(round, pass, a b c d e f g h);
    }
    for (sum, word) in sums.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *sum = add(*sum, word);
    }
}
