//! Progress bars: on a terminal only, on standard error, gone when the work is done.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::stderr_is_terminal;

const REDRAWS_PER_SECOND: u8 = 8;

/// The bars of one command; hidden ones if nobody watches.
#[derive(Clone)]
pub(crate) struct Bars {
    bars: MultiProgress,
}

impl Bars {
    /// Bars on standard error if that is a terminal.
    pub(crate) fn new() -> Self {
        let target = if stderr_is_terminal() {
            ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND)
        } else {
            ProgressDrawTarget::hidden()
        };
        Self { bars: MultiProgress::with_draw_target(target) }
    }

    /// A bar over bytes; without a length it counts and shows the speed.
    pub(crate) fn bytes(&self, label: &str, length: Option<u64>) -> ProgressBar {
        let (bar, template) = match length {
            Some(length) => (
                ProgressBar::new(length),
                "{msg:24!} {bar:30} {decimal_bytes:>10} of {decimal_total_bytes} {decimal_bytes_per_sec:>12}",
            ),
            None => (
                ProgressBar::no_length(),
                "{msg:24!} {spinner} {decimal_bytes:>10} {decimal_bytes_per_sec:>12}",
            ),
        };
        self.add(bar, template, label)
    }

    /// A bar over things, such as objects or events.
    pub(crate) fn things(&self, label: &str, length: u64) -> ProgressBar {
        let template = "{msg:24!} {bar:30} {human_pos} of {human_len}";
        self.add(ProgressBar::new(length), template, label)
    }

    /// A bar for work of unknown length.
    pub(crate) fn spinner(&self, label: &str) -> ProgressBar {
        self.add(ProgressBar::new_spinner(), "{spinner} {msg}", label)
    }

    fn add(&self, bar: ProgressBar, template: &str, label: &str) -> ProgressBar {
        let bar = self.bars.add(bar);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
        }
        bar.set_message(label.to_owned());
        if stderr_is_terminal() {
            bar.enable_steady_tick(Duration::from_millis(125));
        }
        bar
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_valid() {
        let bars = Bars { bars: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()) };
        for bar in [bars.bytes("a", Some(10)), bars.bytes("b", None), bars.things("c", 3)] {
            bar.inc(1);
            bar.finish_and_clear();
        }
    }
}
