//! Standard output and standard error, and how numbers and foreign strings look there.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::time::Duration;

use query_fn::rows::is_hazard;
use serde_json::Value;

/// Buffered standard output. Flush it before anything else may speak.
pub(crate) type Out = BufWriter<Stdout>;

/// Opens standard output.
pub(crate) fn stdout() -> Out {
    BufWriter::with_capacity(64 * 1024, io::stdout())
}

/// Whether a person watches standard error.
pub(crate) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Whether a person types on standard input.
pub(crate) fn stdin_is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// Whether a person watches standard output.
pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Characters in a line of the terminal that standard output is; `None` if it is none.
pub(crate) fn stdout_width() -> Option<usize> {
    let (width, _) = terminal_size::terminal_size_of(io::stdout())?;
    Some(usize::from(width.0))
}

/// An error sentence on standard error. A standard error that is gone can not be told anything.
pub(crate) fn complain(message: &str) {
    let _ = writeln!(io::stderr().lock(), "meshledger: {message}");
}

/// A line on standard error: notes and receipts, which are not the answer.
pub(crate) fn note(message: &str) {
    let _ = writeln!(io::stderr().lock(), "{message}");
}

/// A heading, bold where a terminal shows it.
pub(crate) fn heading(text: &str) -> String {
    if stdout_is_terminal() && !host::doors::no_color() {
        return format!("\x1b[1m{text}\x1b[0m");
    }
    text.to_owned()
}

/// A count with thousands separators: `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 file`, `2,000 files`.
pub(crate) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A size in decimal units with three figures: `912 B`, `45.2 MB`.
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    if number < 1_000 {
        return format!("{number} B");
    }
    let mut unit = 0;
    let mut scale = 1_u64;
    while number / scale >= 1_000 && unit + 1 < UNITS.len() {
        scale *= 1_000;
        unit += 1;
    }
    let value = ratio(number, scale);
    let places = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.places$} {}", UNITS[unit])
}

/// `number / of` for people; 0 of nothing.
pub(crate) fn ratio(number: u64, of: u64) -> f64 {
    if of == 0 {
        return 0.0;
    }
    // Exact up to 2^53, far beyond what is shown.
    number as f64 / of as f64
}

/// A duration for people: `840 ms`, `12.4 s`, `3 min 20 s`.
pub(crate) fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds >= 100 {
        return format!("{} min {} s", seconds / 60, seconds % 60);
    }
    if time.as_millis() >= 1_000 {
        return format!("{:.1} s", time.as_secs_f64());
    }
    format!("{} ms", time.as_millis())
}

/// Throughput for people: `182 MB/s`.
pub(crate) fn speed(number: u64, time: Duration) -> String {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
    let per_second = u128::from(number) * 1_000_000 / u128::from(micros);
    format!("{}/s", bytes(u64::try_from(per_second).unwrap_or(u64::MAX)))
}

/// Text that others wrote, safe on a terminal: control characters, and characters that reorder
/// or hide text, become visible escapes. Line feeds stay if `lines` are wanted.
pub(crate) fn printable(text: &str, lines: bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' if lines => safe.push(c),
            c if is_hazard(c) => safe.extend(c.escape_unicode()),
            c => safe.push(c),
        }
    }
    safe
}

/// JSON in one line, safe on a terminal.
pub(crate) fn harmless_json(value: &Value) -> String {
    // Such characters stand in strings alone, where JSON has an escape for each.
    let mut safe = String::new();
    for c in value.to_string().chars() {
        if is_hazard(c) {
            let mut units = [0; 2];
            safe.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            safe.push(c);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(counted(1, "file", "files"), "1 file");
        assert_eq!(counted(2_000, "file", "files"), "2,000 files");
        assert_eq!(bytes(912), "912 B");
        assert_eq!(bytes(1_000), "1.00 kB");
        assert_eq!(bytes(45_230_000), "45.2 MB");
        assert_eq!(bytes(450_230_000_000), "450 GB");
        assert_eq!(elapsed(Duration::from_millis(840)), "840 ms");
        assert_eq!(elapsed(Duration::from_millis(12_400)), "12.4 s");
        assert_eq!(elapsed(Duration::from_secs(200)), "3 min 20 s");
        assert_eq!(speed(182_000_000, Duration::from_secs(1)), "182 MB/s");
        assert_eq!(speed(1, Duration::ZERO), "1.00 MB/s");
    }

    #[test]
    fn hostile_text_can_not_drive_a_terminal() {
        assert_eq!(printable("\x1b[2J\u{9b}31mred", false), "\\u{1b}[2J\\u{9b}31mred");
        assert_eq!(printable("a\nb", false), "a\\u{a}b");
        assert_eq!(printable("a\nb", true), "a\nb");
        assert_eq!(printable("abc\u{202e}fdp.exe", false), "abc\\u{202e}fdp.exe");
        assert_eq!(printable("a\u{ad}b\u{61c}\u{fff9}", false), "a\\u{ad}b\\u{61c}\\u{fff9}");
        assert_eq!(printable("Grüße, 世界", false), "Grüße, 世界");
    }
}
