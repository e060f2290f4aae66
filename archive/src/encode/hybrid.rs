//! Parquet's hybrid of runs and bit-packed groups, as levels and dictionary indexes are encoded.
//! Source: apache/parquet-format, Encodings.md, "Run Length Encoding / Bit-Packing Hybrid".

/// Values in a bit-packed group.
const GROUP: usize = 8;

/// Groups of bits that are shorter as a run, which also begins the next groups anew.
const RUN_GROUPS_MIN: usize = 4;

/// Bits needed for every value up to `max`.
pub(super) fn bit_width(max: u32) -> u8 {
    u8::try_from(u32::BITS - max.leading_zeros()).unwrap_or(32)
}

/// Appends `values`, each below 2^`width`.
pub(super) fn encode(values: &[u32], width: u8, out: &mut Vec<u8>) {
    // Values from `packed` to `at` wait to be packed; their number is a multiple of eight.
    let (mut packed, mut at) = (0, 0);
    while at < values.len() {
        let value = values[at];
        let length = run_length(&values[at..], value);
        if length >= GROUP {
            pack(&values[packed..at], width, out);
            run(value, length, width, out);
            at += length;
            packed = at;
        } else {
            at = (at + GROUP).min(values.len());
        }
    }
    pack(&values[packed..], width, out);
}

/// How many values at the begin are this one.
fn run_length(values: &[u32], value: u32) -> usize {
    // Runs are short or very long; the long ones are compared many values at a time.
    const MANY: usize = 64;
    let is_one = |some: &[u32]| some.iter().fold(0, |bits, next| bits | (next ^ value)) == 0;
    let (chunks, _) = values.as_chunks::<MANY>();
    let start = match values.get(..GROUP) {
        Some(group) if is_one(group) => {
            MANY * chunks.iter().take_while(|some| is_one(*some)).count()
        }
        _ => 0,
    };
    start + values[start..].iter().take_while(|&&next| next == value).count()
}

/// Appends `count` values of one bit each, the lowest bit of each byte first.
pub(super) fn encode_bits(bits: &[u8], count: usize, out: &mut Vec<u8>) {
    // Eight values are a byte, and a group as it stands. Bits behind the last one are zeros.
    let (mut packed, mut at) = (0, 0);
    while at < bits.len() {
        let byte = bits[at];
        let alike = match byte {
            0 | u8::MAX => bits[at..].iter().take_while(|&&next| next == byte).count(),
            _ => 0,
        };
        if alike > RUN_GROUPS_MIN {
            pack_bits(&bits[packed..at], out);
            run(u32::from(byte & 1), (alike * GROUP).min(count - at * GROUP), 1, out);
            packed = at + alike;
        }
        at += alike.max(1);
    }
    pack_bits(&bits[packed..], out);
}

fn pack_bits(groups: &[u8], out: &mut Vec<u8>) {
    if !groups.is_empty() {
        varint((groups.len() as u64) << 1 | 1, out);
        out.extend_from_slice(groups);
    }
}

/// Appends one value, `length` times.
pub(super) fn run(value: u32, length: usize, width: u8, out: &mut Vec<u8>) {
    varint((length as u64) << 1, out);
    let bytes = usize::from(width.div_ceil(8));
    out.extend_from_slice(&value.to_le_bytes()[..bytes]);
}

/// Appends bit-packed groups; the last one is filled with zeros.
fn pack(values: &[u32], width: u8, out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    let groups = values.len().div_ceil(GROUP);
    varint((groups as u64) << 1 | 1, out);
    let bytes_max = out.len() + groups * usize::from(width);
    let (mut bits, mut held) = (0u64, 0u32);
    for &value in values {
        bits |= u64::from(value) << held;
        held += u32::from(width);
        // At most 31 bits were held and 32 came.
        if held >= u32::BITS {
            let [a, b, c, d, ..] = bits.to_le_bytes();
            out.extend_from_slice(&[a, b, c, d]);
            bits >>= u32::BITS;
            held -= u32::BITS;
        }
    }
    out.extend_from_slice(&bits.to_le_bytes());
    out.resize(bytes_max, 0);
}

/// Appends a number in ULEB128.
fn varint(mut number: u64, out: &mut Vec<u8>) {
    loop {
        let low = number.to_le_bytes()[0] & 0x7f;
        number >>= 7;
        if number == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "numbers of tests are small")]
mod tests {
    use super::*;

    /// Reads the hybrid the way the specification tells it.
    fn decode(mut bytes: &[u8], width: u8, count: usize) -> Vec<u32> {
        let mut values = Vec::new();
        while values.len() < count {
            let (mut header, mut shift) = (0u64, 0);
            loop {
                let byte = bytes[0];
                bytes = &bytes[1..];
                header |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            if header & 1 == 0 {
                let length = usize::from(width).div_ceil(8);
                let mut value = [0; 4];
                value[..length].copy_from_slice(&bytes[..length]);
                bytes = &bytes[length..];
                values.extend(vec![u32::from_le_bytes(value); (header >> 1) as usize]);
            } else {
                let groups = (header >> 1) as usize;
                let (packed, rest) = bytes.split_at(groups * usize::from(width));
                bytes = rest;
                let bit = |at: usize| u32::from(packed[at / 8] >> (at % 8) & 1);
                for value in 0..groups * 8 {
                    let first = value * usize::from(width);
                    values.push((0..usize::from(width)).map(|i| bit(first + i) << i).sum());
                }
            }
        }
        assert!(bytes.is_empty(), "{} bytes too many", bytes.len());
        values.truncate(count);
        values
    }

    #[test]
    fn values_come_back_whatever_their_runs() {
        let mut random = 7u64;
        for round in 0u16..400 {
            let width = round % 21;
            let mut values = Vec::new();
            while values.len() < usize::from(round) * 3 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let value = (random >> 40) as u32 & ((1u64 << width) - 1) as u32;
                let length = if random >> 33 & 1 == 0 { 1 } else { (random >> 35) as usize % 30 };
                values.extend(vec![value; length]);
            }
            let mut bytes = Vec::new();
            encode(&values, width as u8, &mut bytes);
            assert_eq!(decode(&bytes, width as u8, values.len()), values, "round {round}");
        }
    }

    #[test]
    fn bits_come_back_whatever_their_runs() {
        let mut random = 11u64;
        for round in 0usize..400 {
            let mut values = Vec::new();
            while values.len() < round * 5 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let length = if random >> 33 & 1 == 0 { 1 } else { (random >> 35) as usize % 90 };
                values.extend(vec![(random >> 50) as u32 & 1; length]);
            }
            let bits: Vec<u8> = values
                .chunks(8)
                .map(|eight| eight.iter().rev().fold(0, |byte, &bit| byte << 1 | bit as u8))
                .collect();
            let mut bytes = Vec::new();
            encode_bits(&bits, values.len(), &mut bytes);
            assert_eq!(decode(&bytes, 1, values.len()), values, "round {round}");
        }
    }

    #[test]
    fn the_specification_s_example() {
        // The numbers 0 to 7 in three bits, from Encodings.md, behind the header of one group.
        let mut bytes = Vec::new();
        encode(&[0, 1, 2, 3, 4, 5, 6, 7], 3, &mut bytes);
        assert_eq!(bytes, [0b11, 0b1000_1000, 0b1100_0110, 0b1111_1010]);
        assert_eq!((bit_width(0), bit_width(1), bit_width(7), bit_width(8)), (0, 1, 3, 4));
    }
}
