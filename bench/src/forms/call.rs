//! One call as `traffic` tells it, and draws that follow from it.

use std::cell::Cell;

/// A line in the extended JSON format, whose values are read by key.
pub(super) struct Call<'a> {
    line: &'a str,
    state: Cell<u64>,
}

impl<'a> Call<'a> {
    /// The call of a line. Its draws follow from the seed and the line.
    pub(super) fn new(line: &'a str, seed: u64) -> Self {
        let fold = |state: u64, byte: u8| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self { line, state: Cell::new(line.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, fold)) }
    }

    /// The next draw.
    pub(super) fn draw(&self) -> u64 {
        let state = self.state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.state.set(state);
        let x = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A draw below a bound.
    pub(super) fn below(&self, bound: u64) -> u64 {
        self.draw() % bound
    }

    /// One of some values.
    pub(super) fn one<T: Copy>(&self, values: &[T]) -> T {
        values[usize::try_from(self.below(values.len() as u64)).unwrap_or(0)]
    }

    /// A UUID as Go's and Rust's libraries write it.
    pub(super) fn uuid(&self) -> String {
        let (a, b) = (self.draw(), self.draw());
        let high = format!("{a:016x}");
        let low = format!("{b:016x}");
        format!("{}-{}-4{}-8{}-{}", &high[..8], &high[8..12], &high[13..], &low[1..4], &low[4..])
    }

    /// A value as it stands in the JSON, strings without their quotes; empty for null.
    pub(super) fn raw(&self, key: &str) -> &'a str {
        let line = self.line;
        let Some(at) = line.find(&format!("\"{key}\":")) else { return "" };
        let value = &line[at + key.len() + 3..];
        if let Some(text) = value.strip_prefix('"') {
            let mut escaped = false;
            let end = text.find(|character| {
                let ends = character == '"' && !escaped;
                escaped = character == '\\' && !escaped;
                ends
            });
            return &text[..end.unwrap_or(0)];
        }
        let end = value.find([',', '}']).unwrap_or(value.len());
        if value.starts_with("null") { "" } else { &value[..end] }
    }

    /// A value as Envoy's text format has it: nothing is escaped, and `-` stands for none.
    pub(super) fn plain(&self, key: &str) -> String {
        let value = self.raw(key).replace("\\\"", "\"").replace("\\\\", "\\");
        if value.is_empty() { "-".to_owned() } else { value }
    }

    /// A value as a number.
    pub(super) fn number(&self, key: &str) -> u64 {
        self.raw(key).parse().unwrap_or(0)
    }

    /// Whether the inbound proxy wrote it, and knows who called.
    pub(super) fn is_inbound(&self) -> bool {
        !self.raw("downstream_peer_uri_san").is_empty()
    }

    /// Service account and namespace of an identity.
    pub(super) fn account(&self, key: &str) -> (&'a str, &'a str) {
        let rest = self.raw(key).split_once("/ns/").map_or("", |(_, rest)| rest);
        let (namespace, account) = rest.split_once("/sa/").unwrap_or(("default", "default"));
        (account, namespace)
    }

    /// The caller's address with a port, also where the gateway left the port out.
    pub(super) fn caller(&self) -> String {
        let address = self.raw("downstream_remote_address");
        match address.strip_suffix(":0") {
            Some(ip) => format!("{ip}:{}", 32_768 + self.below(28_000)),
            None => address.to_owned(),
        }
    }

    /// The time, RFC 3339 without a zone, with so many more digits than milliseconds.
    pub(super) fn time(&self, digits: u32) -> String {
        let time = self.raw("start_time").trim_end_matches('Z');
        let micros = self.raw("start_us").get(14..).unwrap_or("000");
        match digits {
            0 => time.to_owned(),
            3 => format!("{time}{micros}"),
            _ => format!("{time}{micros}{:03}", self.below(1_000)),
        }
    }

    /// A time in RFC 3339 so many milliseconds later; at most to the end of its minute, which
    /// nobody here looks at.
    pub(super) fn later(time: &str, millis: u64) -> String {
        let (Some(before), Some(seconds), Some(rest)) =
            (time.get(..17), time.get(17..19), time.get(20..))
        else {
            return time.to_owned();
        };
        let now: u64 = seconds.parse().unwrap_or(0);
        let later =
            (now * 1_000 + rest.get(..3).and_then(|m| m.parse().ok()).unwrap_or(0) + millis)
                .min(59_999);
        format!("{before}{:02}.{:03}{}", later / 1_000, later % 1_000, rest.get(3..).unwrap_or(""))
    }

    /// The policy's name, if the call was denied by one.
    pub(super) fn denied_by(&self) -> Option<&'a str> {
        let details = self.raw("response_code_details");
        let details =
            if details.is_empty() { self.raw("connection_termination_details") } else { details };
        let rule = details.strip_prefix("rbac_access_denied_matched_policy[")?;
        let (_, name) = rule.split_once("-policy[")?;
        name.split_once(']').map(|(name, _)| name)
    }
}
