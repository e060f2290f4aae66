//! What requests and computing cost. Whole billionths of a dollar, so that sums are exact.

use std::fmt;

use serde::{Serialize, Serializer};

/// An amount of money.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dollars {
    /// Billionths of a dollar.
    pub nanos: u64,
}

impl Dollars {
    /// So many billionths.
    pub const fn of_nanos(nanos: u64) -> Self {
        Self { nanos }
    }

    /// Reads `0.05`; `None` for what is no amount, or has more than nine digits behind the point.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let has_digit = !whole.is_empty() || !part.is_empty();
        if !has_digit || !is_number(whole) || !is_number(part) || part.len() > DIGITS {
            return None;
        }
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let part: u64 = format!("{part:0<DIGITS$}").parse().ok()?;
        Some(Self { nanos: whole.checked_mul(NANOS)?.checked_add(part)? })
    }
}

impl fmt::Display for Dollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:09}", self.nanos / NANOS, self.nanos % NANOS);
        let text = text.trim_end_matches('0');
        f.write_str(text.strip_suffix('.').unwrap_or(text))
    }
}

/// A text, as amounts of money are written in JSON: `"0.0000004"`.
impl Serialize for Dollars {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A price list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Prices {
    /// Where the prices are from, and of when.
    pub source: &'static str,
    /// One request for a part of an object.
    pub get_request: Dollars,
    /// A second of one processor; nothing where nobody is billed by the second.
    pub cpu_second: Dollars,
}

impl Prices {
    /// Of an archive at this URL, read by a program that runs anyway: a folder costs nothing, and
    /// reading from S3 within its region only requests.
    pub(crate) fn of(url: &str) -> Self {
        if url.starts_with("s3://") {
            Self { source: S3_SOURCE, get_request: S3_GET, cpu_second: Dollars::default() }
        } else {
            let (get_request, cpu_second) = (Dollars::default(), Dollars::default());
            Self { source: "a folder costs nothing", get_request, cpu_second }
        }
    }

    /// The same, read by a Lambda function.
    #[must_use]
    pub(crate) fn with_lambda(&self) -> Self {
        let source =
            if self.get_request > Dollars::default() { S3_LAMBDA_SOURCE } else { LAMBDA_SOURCE };
        Self { source, cpu_second: LAMBDA_CPU_SECOND, get_request: self.get_request }
    }

    /// What so much costs, rounded up.
    pub(crate) fn total(&self, requests: u64, cpu_millis: u64) -> Dollars {
        let times = |price: Dollars, times: u64| u128::from(price.nanos) * u128::from(times);
        let computing = times(self.cpu_second, cpu_millis).div_ceil(1_000);
        let nanos = times(self.get_request, requests).saturating_add(computing);
        Dollars::of_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many requests so much buys; `None` if they cost nothing.
    pub(crate) const fn requests_for(&self, dollars: Dollars) -> Option<u64> {
        dollars.nanos.checked_div(self.get_request.nanos)
    }
}

const DIGITS: usize = 9;
const NANOS: u64 = 1_000_000_000;

/// $0.0004 for 1,000 requests.
const S3_GET: Dollars = Dollars::of_nanos(400);

/// $0.0000166667 for a second with 1,024 MB, and 1,769 MB come with one processor (x86).
const LAMBDA_CPU_SECOND: Dollars = Dollars::of_nanos(28_793);

const S3_SOURCE: &str = "list price of S3 Standard in us-east-1: $0.0004 per 1,000 GET; reading \
                         within the region is free";
const LAMBDA_SOURCE: &str = "list price of Lambda (x86) in us-east-1: $0.0000166667 per GB-second, \
                             1,769 MB a processor";
const S3_LAMBDA_SOURCE: &str = "list prices in us-east-1: S3 Standard, $0.0004 per 1,000 GET; \
                                Lambda (x86), $0.0000166667 per GB-second, 1,769 MB a processor";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_and_read_exactly() {
        for (text, nanos) in [
            ("0", 0),
            ("1", 1_000_000_000),
            ("0.05", 50_000_000),
            (".5", 500_000_000),
            ("0.0000004", 400),
            ("12.000000001", 12_000_000_001),
        ] {
            assert_eq!(Dollars::parse(text), Some(Dollars::of_nanos(nanos)), "{text}");
        }
        for text in ["", ".", "-1", "1e3", "0.0000000001", "1,5", "$1", "99999999999999999999"] {
            assert_eq!(Dollars::parse(text), None, "{text}");
        }
        let shown = [(0, "0"), (400, "0.0000004"), (50_000_000, "0.05"), (2_000_000_000, "2")];
        for (nanos, text) in shown {
            assert_eq!(Dollars::of_nanos(nanos).to_string(), text);
        }
        let json = serde_json::to_string(&Dollars::of_nanos(12_400)).unwrap();
        assert_eq!(json, "\"0.0000124\"");
    }

    #[test]
    fn a_price_is_that_of_the_list() {
        // A million GETs are 40 cents.
        let s3 = Prices::of("s3://bucket/prefix");
        assert_eq!(s3.total(1_000_000, 60_000), Dollars::of_nanos(400_000_000));
        assert_eq!(s3.requests_for(Dollars::of_nanos(1_999)), Some(4));
        // A function with 1,769 MB for an hour: 3,600 × 1.7275 GB × $0.0000166667.
        let lambda = Prices::of("s3://bucket/prefix").with_lambda();
        assert_eq!(lambda.total(0, 3_600_000), Dollars::of_nanos(103_654_800));
        assert_eq!(lambda.total(10, 1), Dollars::of_nanos(4_000 + 29));
        let free = Prices::of("/archive");
        assert_eq!(free.total(u64::MAX, u64::MAX), Dollars::default());
        assert_eq!(free.requests_for(Dollars::of_nanos(1)), None);
    }
}
