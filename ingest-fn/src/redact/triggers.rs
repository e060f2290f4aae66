//! Where a credential can begin: a look at every byte with wide registers.
//!
//! Of every needle three neighbouring letters are picked that are rare in access logs; these
//! pieces are looked for, all at once, by the halves of their bytes. Nothing with a needle is
//! missed; what has a piece and no needle is sorted out later.

use fearless_simd::{Level, Simd, dispatch, prelude::*, u8x32};

/// Bytes looked at in one step.
const STEP: usize = 64;

/// Bytes in a register.
const HALF: usize = 32;

/// Text as it mostly comes; pieces that are in it are bad pieces.
const COMMON: &str = concat!(
    r#"{"authority":"reviews:9080","bytes_received":0,"bytes_sent":358,"connection_termination"#,
    r#"_details":null,"downstream_local_address":"10.1.2.3:9080","downstream_remote_address":"#,
    r#""10.1.7.9:43612","duration":15,"method":"GET","path":"/reviews/7","protocol":"HTTP/1.1","#,
    r#""request_id":"5b0c3f3e-6c1b-4a7b-9b52-5b7fd6f0b1a1","requested_server_name":"outbound_"#,
    r#".9080_._.reviews.shop.svc.cluster.local","response_code":200,"response_code_details":"#,
    r#""via_upstream","response_flags":"-","route_name":"default","start_time":"2026-11-02T10:"#,
    r#"15:30.123Z","upstream_cluster":"inbound|9080||","upstream_host":"10.1.2.3:9080","#,
    r#""upstream_local_address":"127.0.0.6:37685","upstream_service_time":"14","upstream_"#,
    r#"transport_failure_reason":null,"user_agent":"curl/8.5.0 Mozilla/5.0 (X11; Linux x86_64) "#,
    r#"AppleWebKit/537.36 (KHTML, like Gecko) Chrome Safari Go-http-client okhttp "#,
    r#"python-requests kube-probe bookinfo productpage ratings details","x_forwarded_for":null,"#,
    r#""downstream_peer_uri_san":"spiffe://cluster.local/ns/shop/sa/productpage","trace_id","#,
    r#""downstream_tls_version","rbac_meta","jwt_payload","namespace","k8s","istio-system","#,
);

/// A piece of a needle: three letters in lower case; 0 stands for any byte.
type Piece = [u8; 3];

/// Pieces by halves of bytes: for each low half of the three bytes and high half of the first, the
/// groups of pieces that have it. Four look-ups a byte match little that is no piece.
#[derive(Debug)]
pub(super) struct Triggers {
    level: Level,
    tables: [[u8; HALF]; 4],
    /// Pieces as numbers: what is compared, and what it is.
    pieces: Vec<(u32, u32)>,
    /// For each first letter, by its low five bits, the second letters behind it, likewise.
    seconds: [u32; 32],
}

impl Triggers {
    /// Triggers for needles in lower case, and for `=`, `@` and the ends of `%3D`.
    pub(super) fn new(needles: &[Vec<u8>]) -> Self {
        let pieces = pieces(needles);
        let mut groups: [Vec<Piece>; 8] = Default::default();
        // `%3D`, and `%253D` with any more `25`.
        groups[0].extend([*b"%3d", *b"53d"]);
        // A group also matches what mixes its pieces: each goes where that happens least.
        for &piece in &pieces {
            let best = groups.iter_mut().min_by_key(|group| {
                let with: Vec<Piece> = group.iter().copied().chain([piece]).collect();
                (mixed(&with), group.len())
            });
            best.into_iter().for_each(|group| group.push(piece));
        }
        let mut tables = [[0; HALF]; 4];
        for (group, bit) in groups.iter().zip([1, 2, 4, 8, 16, 32, 64, 128]) {
            let halves = halves(group);
            for (table, halves) in tables.iter_mut().zip(halves) {
                for (at, groups) in table.iter_mut().enumerate() {
                    // The same table for each sixteen bytes of a register.
                    *groups |= if halves >> (at % 16) & 1 == 1 { bit } else { 0 };
                }
            }
        }
        let mut seconds = [0; 32];
        for &[first, second, _] in groups.iter().flatten() {
            seconds[usize::from(first & 31)] |= 1 << (second & 31);
        }
        let pieces = groups.iter().flatten().map(|&piece| packed(piece)).collect();
        Self { level: Level::new(), tables, pieces, seconds }
    }

    /// Appends where pieces begin among the `length` bytes from `from` on.
    #[inline]
    pub(super) fn find(&self, record: &[u8], from: usize, length: usize, hits: &mut Vec<usize>) {
        let level = self.level;
        dispatch!(level, simd => find(simd, self, record, (from, from + length), hits));
    }

    /// Whether a piece really begins there; what was found may be a mixture of several.
    #[inline]
    fn is_piece(&self, record: &[u8], at: usize) -> bool {
        let byte = |at: usize| record.get(at).copied().unwrap_or_default();
        let (first, second) = (byte(at), byte(at + 1));
        matches!(first, b'=' | b'@')
            || self.seconds[usize::from(first & 31)] >> (second & 31) & 1 == 1
                && self.is_known(
                    packed([first, second, byte(at + 2)].map(|b| b.to_ascii_lowercase())).1,
                )
    }

    fn is_known(&self, three: u32) -> bool {
        self.pieces.iter().any(|&(compared, piece)| three & compared == piece)
    }
}

/// A piece's known bytes, and the piece, as numbers.
fn packed(piece: Piece) -> (u32, u32) {
    let number = |[first, second, third]: Piece| u32::from_le_bytes([first, second, third, 0]);
    (number(piece.map(|letter| if letter == 0 { 0 } else { u8::MAX })), number(piece))
}

/// The halves that pieces have: the first byte's low and high, the second's and third's low; bit
/// `i` for half `i`.
fn halves(pieces: &[Piece]) -> [u16; 4] {
    let mut halves = [0; 4];
    for &[first, second, third] in pieces {
        let letters = [(first, 0), (first, 4), (second, 0), (third, 0)];
        for (half, (letter, shift)) in halves.iter_mut().zip(letters) {
            *half |= match letter {
                0 => u16::MAX,
                _ => {
                    1 << (letter >> shift & 0xf) | 1 << (letter.to_ascii_uppercase() >> shift & 0xf)
                }
            };
        }
    }
    halves
}

/// How often common text matches a group of pieces.
fn mixed(pieces: &[Piece]) -> usize {
    let [first_low, first_high, second, third] = halves(pieces);
    let has = |halves: u16, half: u8| halves >> (half & 0xf) & 1 == 1;
    let matches = |three: &&[u8]| {
        has(first_low, three[0])
            && has(first_high, three[0] >> 4)
            && has(second, three[1])
            && has(third, three[2])
    };
    COMMON.as_bytes().windows(3).filter(matches).count()
}

/// What one step looks at: its bytes, and the two behind them.
type Step = [u8; STEP + 2];

#[inline(always)]
fn find<S: Simd>(
    simd: S,
    triggers: &Triggers,
    record: &[u8],
    (from, to): (usize, usize),
    hits: &mut Vec<usize>,
) {
    let tables = triggers.tables.each_ref().map(|table| u8x32::from_slice(simd, table));
    let mut at = from;
    while at + STEP <= to
        && let Some(bytes) = step(record, at)
    {
        let found = look(simd, tables, bytes);
        if found != 0 {
            put(triggers, record, at, found, hits);
        }
        at += STEP;
    }
    if at >= to {
        return;
    }
    let wanted = u64::MAX >> (STEP - (to - at).min(STEP));
    if let Some(bytes) = step(record, at) {
        let found = look(simd, tables, bytes);
        put(triggers, record, at, found & wanted, hits);
    } else if let Some(back) = record.len().checked_sub(STEP + 2)
        && let Some(bytes) = step(record, back)
    {
        // The last whole step again, and the last two bytes, where only one byte can be a piece.
        let found = look(simd, tables, bytes);
        let found = u32::try_from(at - back).ok().and_then(|seen| found.checked_shr(seen));
        put(triggers, record, at, found.unwrap_or(0) & wanted, hits);
        let last = record.len() - 2;
        (last.max(at)..to).for_each(|at| put(triggers, record, at, 1, hits));
    } else {
        let mut bytes = [0; STEP + 2];
        let rest = record.get(at..).unwrap_or_default();
        bytes[..rest.len()].copy_from_slice(rest);
        let found = look(simd, tables, &bytes);
        put(triggers, record, at, found & wanted, hits);
    }
}

#[inline(always)]
fn step(record: &[u8], at: usize) -> Option<&Step> {
    record.get(at..)?.first_chunk()
}

/// Which bytes of a step may begin a piece.
#[inline(always)]
fn look<S: Simd>(simd: S, tables: [u8x32<S>; 4], bytes: &Step) -> u64 {
    let (one, two) = (look_half(simd, tables, bytes, 0), look_half(simd, tables, bytes, HALF));
    one | two << HALF
}

#[inline(always)]
fn look_half<S: Simd>(simd: S, tables: [u8x32<S>; 4], bytes: &Step, at: usize) -> u64 {
    let (low, zero) = (u8x32::splat(simd, 0xf), u8x32::splat(simd, 0));
    let (equals, at_sign) = (u8x32::splat(simd, b'='), u8x32::splat(simd, b'@'));
    let first = u8x32::from_slice(simd, &bytes[at..at + HALF]);
    let second = u8x32::from_slice(simd, &bytes[at + 1..=at + HALF]);
    let third = u8x32::from_slice(simd, &bytes[at + 2..at + 2 + HALF]);
    let found = tables[0].swizzle_dyn_within_blocks(first & low)
        & tables[1].swizzle_dyn_within_blocks(first >> 4)
        & tables[2].swizzle_dyn_within_blocks(second & low)
        & tables[3].swizzle_dyn_within_blocks(third & low);
    let always = first.simd_eq(equals) | first.simd_eq(at_sign);
    let every = (1 << HALF) - 1;
    always.to_bitmask() | found.simd_eq(zero).to_bitmask() ^ every
}

/// Appends the places of the bits in `found` that are places of pieces.
#[inline]
fn put(triggers: &Triggers, record: &[u8], at: usize, mut found: u64, hits: &mut Vec<usize>) {
    while found != 0 {
        let place = at + found.trailing_zeros() as usize;
        if triggers.is_piece(record, place) {
            hits.push(place);
        }
        found &= found - 1;
    }
}

/// One piece of each needle, as few and as rare as a short search finds.
fn pieces(needles: &[Vec<u8>]) -> Vec<Piece> {
    let common = COMMON.to_ascii_lowercase();
    let of = |needle: &Vec<u8>| -> Vec<Piece> {
        // Words may meet with or without a separator: a piece lies inside of one.
        let words: Vec<&[u8]> = needle.split(|byte| matches!(byte, b'-' | b'_' | b'.')).collect();
        let long = words
            .iter()
            .flat_map(|word| word.windows(3))
            .map(|three| [three[0], three[1], three[2]]);
        let mut all: Vec<Piece> = long.collect();
        if all.is_empty() {
            let short = words.iter().filter(|word| word.len() == 2);
            all.extend(short.map(|two| [two[0], two[1], 0]));
        }
        all.retain(|piece| piece.is_ascii());
        all
    };
    let mut open: Vec<Vec<Piece>> = needles.iter().map(of).collect();
    let mut chosen = Vec::new();
    loop {
        open.retain(|pieces| {
            !pieces.is_empty() && !pieces.iter().any(|piece| chosen.contains(piece))
        });
        let best = open.iter().flatten().min_by_key(|&piece| {
            let letters = piece.iter().take_while(|&&letter| letter != 0).count();
            let uses = common.as_bytes().windows(letters).filter(|all| **all == piece[..letters]);
            let covered = open.iter().filter(|pieces| pieces.contains(piece)).count();
            (uses.count(), usize::MAX - covered, mixed(&[*piece]), *piece)
        });
        let Some(&best) = best else { return chosen };
        chosen.push(best);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_found_wherever_they_stand() {
        let needles: Vec<Vec<u8>> =
            ["token", "api_key", "bearer", "id"].map(|needle| needle.into()).to_vec();
        let triggers = Triggers::new(&needles);
        for length in 0..200 {
            for at in 0..length {
                for piece in &pieces(&needles) {
                    let mut record = vec![b'!'; length];
                    let letters: Vec<u8> =
                        piece.iter().copied().filter(|&letter| letter != 0).collect();
                    let end = length.min(at + letters.len());
                    record[at..end].copy_from_slice(&letters[..end - at].to_ascii_uppercase());
                    let mut hits = Vec::new();
                    triggers.find(&record, 0, length, &mut hits);
                    assert_eq!(hits, if end == at + letters.len() { vec![at] } else { vec![] });
                }
                let mut record = vec![b'!'; length];
                record[at] = b'=';
                let mut hits = Vec::new();
                triggers.find(&record, at, length - at, &mut hits);
                assert_eq!(hits, [at]);
            }
        }
    }

    #[test]
    fn each_needle_has_a_piece() {
        let needles = super::super::names::Names::new(&super::super::Rules::default()).needles();
        let chosen = pieces(&needles);
        let shown: Vec<String> =
            chosen.iter().map(|piece| piece.escape_ascii().to_string()).collect();
        println!("{shown:?}");
        for needle in &needles {
            assert!(
                chosen.iter().any(|piece| needle.windows(3).any(|three| three == piece)),
                "{needle:?}"
            );
        }
    }
}
