//! The one source of randomness: ChaCha8 from a seed, and a mixing function for values that
//! two records must agree on without sharing state.
//!
//! Integers only: floating-point logarithms differ between platforms, and the bytes must not.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of draws.
pub(crate) struct Random {
    inner: ChaCha8Rng,
}

impl Random {
    /// Streams of one seed are independent of each other.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut inner = ChaCha8Rng::seed_from_u64(seed);
        inner.set_stream(stream);
        Random { inner }
    }

    pub(crate) fn u64(&mut self) -> u64 {
        self.inner.next_u64()
    }

    pub(crate) fn u128(&mut self) -> u128 {
        u128::from(self.u64()) << 64 | u128::from(self.u64())
    }

    /// Uniform in `0..bound`; 0 if the bound is 0.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        scale(self.inner.next_u32(), bound)
    }

    /// True so many times in a million.
    pub(crate) fn chance(&mut self, per_million: u32) -> bool {
        self.below(1_000_000) < per_million
    }

    /// Roughly log-normal around a median, with a heavier tail: one draw in a hundred is
    /// eightfold. `sigma` is the standard deviation in 1/256 octaves.
    pub(crate) fn spread(&mut self, median: u32, sigma: i64) -> u32 {
        let bits = self.u64().to_le_bytes();
        let sum: i64 = bits
            .chunks_exact(2)
            .map(|pair| i64::from(u16::from_le_bytes([pair[0], pair[1]])))
            .sum();
        let exponent = (sum - SUM_MEAN) * sigma / SUM_DEVIATION;
        let value = times_two_to(u64::from(median), exponent);
        let tail = if self.below(100) == 0 { 3 } else { 0 };
        u32::try_from(value << tail).unwrap_or(u32::MAX)
    }
}

/// Mean and standard deviation of the sum of four uniform 16-bit numbers.
const SUM_MEAN: i64 = 131_070;
const SUM_DEVIATION: i64 = 37_837;

/// 2^(i/16) in 1/65536.
const POWERS: [u64; 17] = [
    65_536, 68_438, 71_468, 74_632, 77_936, 81_386, 84_990, 88_752, 92_682, 96_785, 101_070,
    105_545, 110_218, 115_098, 120_194, 125_515, 131_072,
];

/// `value` times 2^(exponent/256), for exponents of at most 16 octaves either way.
fn times_two_to(value: u64, exponent: i64) -> u64 {
    let exponent = exponent.clamp(-16 * 256, 16 * 256 - 1);
    let octave = exponent >> 8;
    let step = usize::try_from((exponent & 255) >> 4).unwrap_or(0);
    let rest = u64::try_from(exponent & 15).unwrap_or(0);
    let factor = POWERS[step] + (POWERS[step + 1] - POWERS[step]) * rest / 16;
    let scaled = value * factor;
    if octave >= 0 { (scaled << octave) >> 16 } else { (scaled >> -octave) >> 16 }
}

/// A hash of two numbers, good enough to look random.
pub(crate) fn mix(a: u64, b: u64) -> u64 {
    let mut x = a ^ b.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// Maps 32 uniform bits to `0..bound`.
pub(crate) fn scale(bits: u32, bound: u32) -> u32 {
    high32(u64::from(bits) * u64::from(bound))
}

/// Upper half of a number.
pub(crate) fn high32(x: u64) -> u32 {
    low32(x >> 32)
}

/// Lower half of a number.
pub(crate) fn low32(x: u64) -> u32 {
    let b = x.to_le_bytes();
    u32::from_le_bytes([b[0], b[1], b[2], b[3]])
}

/// Lowest sixteen bits of a number.
pub(crate) fn low16(x: u64) -> u16 {
    let b = x.to_le_bytes();
    u16::from_le_bytes([b[0], b[1]])
}

/// A version 4 UUID from 128 random bits.
pub(crate) fn uuid(bits: u128) -> u128 {
    const VERSION: u128 = 0xF << 76;
    const VARIANT: u128 = 0b11 << 62;
    bits & !VERSION & !VARIANT | 0x4 << 76 | 0b10 << 62
}
