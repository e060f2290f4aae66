//! Sums of doubles as fixed-point numbers: exact, whatever the values and their order.

/// A number in two's complement, a multiple of 2^-1074, the least double. What is infinite or no
/// number is only counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fixed {
    /// Which limb the first of `limbs` is; those below are zero.
    first: usize,
    /// 64 bits each, the lowest first. The last one is nothing but the sign, so that the next
    /// value always has room.
    limbs: Vec<u64>,
    not_numbers: i64,
    infinite: i64,
    minus_infinite: i64,
}

const LIMB_BITS: usize = 64;
const FRACTION_BITS: u32 = 52;

/// Limbs that 2^64 doubles can reach, with room: (2,098 + 64) / 64, rounded up, and signs.
const LIMBS_MAX: usize = 40;

impl Fixed {
    pub(super) fn add(&mut self, value: f64) {
        self.change(value, false);
    }

    pub(super) fn subtract(&mut self, value: f64) {
        self.change(value, true);
    }

    fn change(&mut self, value: f64, take_away: bool) {
        let one = if take_away { -1 } else { 1 };
        if value.is_nan() {
            self.not_numbers += one;
            return;
        }
        if value.is_infinite() {
            let side = if value > 0.0 { &mut self.infinite } else { &mut self.minus_infinite };
            *side += one;
            return;
        }
        let bits = value.to_bits();
        let exponent = usize::try_from(bits >> FRACTION_BITS & 0x7ff).unwrap_or(0);
        let fraction = bits & ((1 << FRACTION_BITS) - 1);
        let whole = if exponent == 0 { fraction } else { fraction | 1 << FRACTION_BITS };
        if whole == 0 {
            return;
        }
        let place = exponent.max(1) - 1;
        let shifted = u128::from(whole) << (place % LIMB_BITS);
        let (low, high) = (low(shifted), low(shifted >> LIMB_BITS));
        self.add_limbs(place / LIMB_BITS, &[low, high], value.is_sign_negative() != take_away);
    }

    /// Adds, or takes away, a number without a sign.
    fn add_limbs(&mut self, at: usize, limbs: &[u64], is_negative: bool) {
        self.reach(at, at + limbs.len());
        let begin = at - self.first;
        let mut carry = false;
        for (index, limb) in self.limbs[begin..].iter_mut().enumerate() {
            let other = limbs.get(index).copied().unwrap_or(0);
            if index >= limbs.len() && !carry {
                break;
            }
            let (sum, over) =
                if is_negative { limb.overflowing_sub(other) } else { limb.overflowing_add(other) };
            let (sum, over_again) = if is_negative {
                sum.overflowing_sub(u64::from(carry))
            } else {
                sum.overflowing_add(u64::from(carry))
            };
            *limb = sum;
            carry = over || over_again;
        }
        self.widen();
    }

    /// Makes room for limbs from `begin` to before `end`, and a sign above them.
    fn reach(&mut self, begin: usize, end: usize) {
        if self.limbs.is_empty() {
            self.first = begin;
        }
        if begin < self.first {
            let below = std::iter::repeat_n(0, self.first - begin);
            self.limbs.splice(0..0, below);
            self.first = begin;
        }
        let sign = self.sign();
        while self.first + self.limbs.len() < end + 1 {
            self.limbs.push(sign);
        }
    }

    /// Keeps the last limb nothing but a sign.
    fn widen(&mut self) {
        if self.limbs.last().is_some_and(|last| *last != 0 && *last != u64::MAX) {
            let sign = self.sign();
            self.limbs.push(sign);
        }
    }

    /// The limb that goes on to the left for ever.
    fn sign(&self) -> u64 {
        let is_negative = self.limbs.last().is_some_and(|last| last >> (LIMB_BITS - 1) == 1);
        if is_negative { u64::MAX } else { 0 }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.not_numbers += other.not_numbers;
        self.infinite += other.infinite;
        self.minus_infinite += other.minus_infinite;
        let is_negative = other.sign() != 0;
        let magnitude = other.magnitude();
        if !magnitude.is_empty() {
            self.add_limbs(other.first, &magnitude, is_negative);
        }
    }

    /// The limbs of the number without its sign; the last one is not zero.
    fn magnitude(&self) -> Vec<u64> {
        let mut limbs = self.limbs.clone();
        if self.sign() != 0 {
            let mut carry = true;
            for limb in &mut limbs {
                (*limb, carry) = (!*limb).overflowing_add(u64::from(carry));
            }
        }
        while limbs.last() == Some(&0) {
            let _ = limbs.pop();
        }
        limbs
    }

    /// The nearest double; of two that are as near, the even one.
    pub(super) fn to_double(&self) -> f64 {
        match (self.not_numbers != 0, self.infinite != 0, self.minus_infinite != 0) {
            (false, false, false) => {}
            (false, true, false) => return f64::INFINITY,
            (false, false, true) => return f64::NEG_INFINITY,
            _ => return f64::NAN,
        }
        let magnitude = self.magnitude();
        let Some(top) = magnitude.last() else { return 0.0 };
        let leading = usize::try_from(top.leading_zeros()).unwrap_or(0);
        let highest = (self.first + magnitude.len()) * LIMB_BITS - 1 - leading;
        let bit = |index: usize| {
            let limb = (index / LIMB_BITS).checked_sub(self.first);
            let limb = limb.and_then(|limb| magnitude.get(limb)).copied().unwrap_or(0);
            limb >> (index % LIMB_BITS) & 1
        };
        // The number's first 53 bits, or all it has above the least double.
        let lowest = highest.saturating_sub(52);
        let whole = (lowest..=highest).rev().fold(0, |whole, index| whole << 1 | bit(index));
        let mut bits = if lowest == 0 {
            // The bits of small doubles are those of the fixed-point number.
            whole
        } else {
            let exponent = u64::try_from(lowest + 1).unwrap_or(u64::MAX);
            if exponent >= 0x7ff {
                return if self.sign() == 0 { f64::INFINITY } else { f64::NEG_INFINITY };
            }
            (exponent << FRACTION_BITS) + (whole - (1 << FRACTION_BITS))
        };
        if lowest > 0 && bit(lowest - 1) == 1 {
            let is_more = (self.first * LIMB_BITS..lowest - 1).any(|index| bit(index) == 1);
            // A carry goes on into the exponent, up to infinity, as it should.
            bits += u64::from(is_more || bits & 1 == 1);
        }
        let value = f64::from_bits(bits);
        if self.sign() == 0 { value } else { -value }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.limbs.capacity() * size_of::<u64>()
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let counts = [self.not_numbers, self.infinite, self.minus_infinite];
        let first = u64::try_from(self.first).unwrap_or(u64::MAX);
        let head = counts.into_iter().map(i64::to_le_bytes).chain([first.to_le_bytes()]);
        head.chain(self.limbs.iter().map(|limb| limb.to_le_bytes())).flatten().collect()
    }

    /// Reads what [`Self::to_bytes`] wrote; none if it is anything else.
    pub(super) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, []) = bytes.as_chunks::<8>() else { return None };
        let [not_numbers, infinite, minus_infinite, first, limbs @ ..] = words else { return None };
        let first = usize::try_from(u64::from_le_bytes(*first)).ok()?;
        if first > LIMBS_MAX || limbs.len() > LIMBS_MAX {
            return None;
        }
        Some(Self {
            first,
            limbs: limbs.iter().map(|limb| u64::from_le_bytes(*limb)).collect(),
            not_numbers: i64::from_le_bytes(*not_numbers),
            infinite: i64::from_le_bytes(*infinite),
            minus_infinite: i64::from_le_bytes(*minus_infinite),
        })
    }
}

/// The lower 64 bits.
#[allow(clippy::cast_possible_truncation, reason = "the lower bits are what is wanted")]
const fn low(bits: u128) -> u64 {
    bits as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[f64]) -> f64 {
        let mut fixed = Fixed::default();
        values.iter().for_each(|value| fixed.add(*value));
        fixed.to_double()
    }

    /// Written out, or made with Python: `math.fsum`, `fractions.Fraction`.
    #[test]
    fn sums_are_the_nearest_double_to_the_true_sum() {
        for (values, expected) in [
            (&[][..], 0.0),
            (&[0.1; 10], 1.0),
            (&[1e308, 1e308, -1e308, -1e308, 1.5], 1.5),
            (&[1e16, 1.0, 1.0, 1.0, -1e16], 3.0),
            (&[1e100, 1.0, -1e100, 1e-300], 1.0),
            (&[5e-324, 5e-324, 5e-324], 1.5e-323),
            (&[2.225_073_858_507_201e-308, 5e-324], 2.225_073_858_507_201_4e-308),
            // Halfway: to the even one; a trace more: up.
            (&[9_007_199_254_740_992.0, 1.0], 9_007_199_254_740_992.0),
            (&[9_007_199_254_740_992.0, 1.0, 5e-324], 9_007_199_254_740_994.0),
            (&[9_007_199_254_740_994.0, 1.0], 9_007_199_254_740_996.0),
            (&[-9_007_199_254_740_994.0, -1.0], -9_007_199_254_740_996.0),
            (&[f64::MAX, f64::MAX], f64::INFINITY),
            (&[-f64::MAX, -f64::MAX], f64::NEG_INFINITY),
            (&[f64::MAX, f64::MAX, -f64::MAX], f64::MAX),
            (&[f64::INFINITY, 1.0], f64::INFINITY),
            (&[-1.5, -2.25], -3.75),
            (&[-1.0, 1e-20], -1.0),
            (&[1.0, -1.0], 0.0),
        ] {
            assert_eq!(sum(values).to_bits(), f64::to_bits(expected), "{values:?}");
        }
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert!(sum(&[f64::NAN, 1.0]).is_nan());
    }

    /// SplitMix64, by Sebastiano Vigna; public domain.
    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    #[test]
    fn neither_order_nor_parts_change_a_sum_and_what_is_taken_away_is_gone() {
        let mut state = 7;
        for round in 0..300 {
            let count = 1 + random(&mut state) % 40;
            let values: Vec<f64> = (0..count)
                .map(|_| f64::from_bits(random(&mut state)))
                .filter(|value| value.is_finite())
                .collect();
            let expected = sum(&values);
            let mut other = values.clone();
            for index in (1..other.len()).rev() {
                let with = random(&mut state) % (u64::try_from(index).unwrap() + 1);
                other.swap(index, usize::try_from(with).unwrap());
            }
            assert_eq!(sum(&other).to_bits(), expected.to_bits(), "round {round}: {values:?}");
            let mut parts = Fixed::default();
            for part in other.chunks(3) {
                let mut one = Fixed::default();
                part.iter().for_each(|value| one.add(*value));
                parts.merge(&Fixed::of_bytes(&one.to_bytes()).unwrap());
            }
            assert_eq!(parts.to_double().to_bits(), expected.to_bits(), "round {round}");
            let extra = f64::from_bits(random(&mut state) & !(1 << 62));
            parts.add(extra);
            parts.subtract(extra);
            assert_eq!(parts.to_double().to_bits(), expected.to_bits(), "round {round}: {extra}");
        }
        assert_eq!(Fixed::of_bytes(b"1234567"), None);
        assert_eq!(Fixed::of_bytes(&[0xff; 64]), None);
    }
}
