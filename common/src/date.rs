//! Event dates and the few pieces of calendar arithmetic the format needs (proleptic Gregorian,
//! UTC, no leap seconds), after Howard Hinnant's public "days from civil" derivation.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::FormatError;

/// Microseconds in one UTC day.
pub const DAY_MICROS: i64 = 86_400_000_000;

/// A UTC calendar day: the partition of the table. Stored as days since 1970-01-01.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EventDate(i32);

impl EventDate {
    /// The day a moment (microseconds since 1970 UTC) falls on.
    pub fn of_micros(micros: i64) -> Self {
        let days = micros.div_euclid(DAY_MICROS);
        Self(i32::try_from(days).unwrap_or(if days < 0 { i32::MIN / 2 } else { i32::MAX / 2 }))
    }

    /// Days since 1970-01-01.
    pub const fn days(self) -> i32 {
        self.0
    }

    /// First microsecond of the day.
    pub const fn start_micros(self) -> i64 {
        self.0 as i64 * DAY_MICROS
    }

    /// Year, month (1-12), day (1-31).
    pub fn civil(self) -> (i64, u32, u32) {
        let z = i64::from(self.0) + 719_468;
        let era = z.div_euclid(146_097);
        let day_of_era = z.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        (year, u32::try_from(month).unwrap_or(1), u32::try_from(day).unwrap_or(1))
    }
}

/// Days since 1970-01-01 of a civil date; months and days are not range-checked here.
pub const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Number of days in a month of a year.
pub const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 0,
    }
}

/// A moment as RFC 3339 UTC with `digits` (0, 3 or 6) fractional digits, truncated.
pub fn rfc3339(micros: i64, digits: usize) -> String {
    let date = EventDate::of_micros(micros);
    let within = micros.rem_euclid(DAY_MICROS);
    let (seconds, fraction) = (within / 1_000_000, within % 1_000_000);
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match digits {
        0 => format!("{date}T{h:02}:{m:02}:{s:02}Z"),
        3 => format!("{date}T{h:02}:{m:02}:{s:02}.{:03}Z", fraction / 1000),
        _ => format!("{date}T{h:02}:{m:02}:{s:02}.{fraction:06}Z"),
    }
}

impl fmt::Display for EventDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl FromStr for EventDate {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let wrong = || FormatError::new("event_date", "YYYY-MM-DD", text);
        let bytes = text.as_bytes();
        if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
            return Err(wrong());
        }
        let number = |range: std::ops::Range<usize>| -> Result<i64, FormatError> {
            let digits = text.get(range).ok_or_else(wrong)?;
            if !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(wrong());
            }
            digits.parse().map_err(|_| wrong())
        };
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        if day < 1 || day > days_in_month(year, month) {
            return Err(wrong());
        }
        i32::try_from(days_from_civil(year, month, day)).map(Self).map_err(|_| wrong())
    }
}

impl Serialize for EventDate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
