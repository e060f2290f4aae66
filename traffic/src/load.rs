//! When things happen: the load of a day, of a week, and of each cluster's time zone.

use crate::config::{Config, DAY_MICROS};

const STEP_MICROS: i64 = 300_000_000;
const STEPS_PER_DAY: i64 = DAY_MICROS / STEP_MICROS;
const HOUR_MICROS: i64 = 3_600_000_000;
/// Nothing begins in the last minute, so that nothing ends after the last day.
const MARGIN_MICROS: i64 = 60_000_000;

/// Load by local hour of a working day: a dip at four, a noon peak, a higher one at eight.
const HOURS: [u64; 24] = [
    300, 210, 160, 130, 120, 150, 260, 420, 610, 760, 850, 900, //
    930, 890, 850, 840, 860, 900, 960, 1_000, 1_000, 900, 680, 450,
];
/// Hours from UTC of each cluster's customers.
const ZONES: [i64; 4] = [1, -6, 8, -3];
/// Of a hundred, Monday first.
const WEEKDAYS: [u64; 7] = [100, 98, 99, 102, 108, 84, 78];

/// The load over all days as a running sum, so that a share of all events is a time.
pub(crate) struct Curve {
    start_micros: i64,
    end_micros: i64,
    /// Load up to the beginning of each step; one more entry than steps.
    sums: Vec<u64>,
}

impl Curve {
    pub(crate) fn new(config: &Config) -> Self {
        let mut sums = vec![0];
        let mut sum = 0;
        for step in 0..i64::from(config.days) * STEPS_PER_DAY {
            let micros = config.start_micros + step * STEP_MICROS;
            sum += (0..config.clusters).map(|cluster| cluster_load(cluster, micros)).sum::<u64>()
                << 20;
            sums.push(sum);
        }
        let end_micros = config.end_micros() - MARGIN_MICROS;
        Curve { start_micros: config.start_micros, end_micros, sums }
    }

    /// First and last moment at which something may begin.
    pub(crate) fn span(&self) -> (i64, i64) {
        (self.start_micros, self.end_micros)
    }

    /// Load from the start up to a moment.
    pub(crate) fn mass(&self, micros: i64) -> u64 {
        let since = micros.clamp(self.start_micros, self.end_micros) - self.start_micros;
        let step = usize::try_from(since / STEP_MICROS).unwrap_or(0);
        let Some([from, to]) = self.sums.get(step..step + 2) else {
            return self.sums.last().copied().unwrap_or(0);
        };
        from + part(
            to - from,
            u64::try_from(since % STEP_MICROS).unwrap_or(0),
            STEP_MICROS.unsigned_abs(),
        )
    }

    /// The moment up to which this much load has come: the inverse of [`Curve::mass`].
    pub(crate) fn time(&self, mass: u64) -> i64 {
        let step = self.sums.partition_point(|&sum| sum <= mass).clamp(1, self.sums.len() - 1) - 1;
        self.time_within(step, mass)
    }

    /// [`Curve::time`] for masses that only grow, from the step where the last one was found.
    pub(crate) fn time_from(&self, step: &mut usize, mass: u64) -> i64 {
        while *step + 2 < self.sums.len() && self.sums[*step + 1] <= mass {
            *step += 1;
        }
        self.time_within(*step, mass)
    }

    fn time_within(&self, step: usize, mass: u64) -> i64 {
        let (from, to) = (self.sums[step], self.sums[step + 1]);
        let past = part(STEP_MICROS.unsigned_abs(), mass.saturating_sub(from), to - from);
        let steps = i64::try_from(step).unwrap_or(0);
        let micros = self.start_micros + steps * STEP_MICROS + i64::try_from(past).unwrap_or(0);
        micros.min(self.end_micros)
    }
}

/// Load of one cluster at a moment; its customers' hour and weekday decide.
pub(crate) fn cluster_load(cluster: u32, micros: i64) -> u64 {
    let zone = ZONES[cluster as usize % ZONES.len()];
    let local = micros + zone * HOUR_MICROS;
    let day = local.div_euclid(DAY_MICROS);
    let within = local.rem_euclid(DAY_MICROS);
    let hour = usize::try_from(within / HOUR_MICROS).unwrap_or(0);
    let minute = u64::try_from(within % HOUR_MICROS / 60_000_000).unwrap_or(0);
    let load = (HOURS[hour] * (60 - minute) + HOURS[(hour + 1) % 24] * minute) / 60;
    // Day 0, 1970-01-01, was a Thursday.
    let weekday = usize::try_from((day + 3).rem_euclid(7)).unwrap_or(0);
    load * WEEKDAYS[weekday] / 100
}

/// `whole * share / of`, without overflow; 0 of nothing.
pub(crate) fn part(whole: u64, share: u64, of: u64) -> u64 {
    let product = u128::from(whole) * u128::from(share);
    u64::try_from(product.checked_div(u128::from(of)).unwrap_or(0)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_the_inverse_of_mass() {
        let config = Config { days: 9, ..Config::default() };
        let curve = Curve::new(&config);
        let (start, end) = curve.span();
        for k in 0..1_000 {
            let micros = start + (end - start) / 1_000 * k;
            assert!((curve.time(curve.mass(micros)) - micros).abs() <= 1, "{k}");
        }
        assert_eq!(curve.time(u64::MAX), end);
    }

    #[test]
    fn walking_finds_the_same_times_as_searching() {
        let curve = Curve::new(&Config::default());
        let whole = curve.mass(curve.span().1);
        let mut step = 0;
        for k in 0..5_000 {
            let mass = part(whole, k, 5_000);
            assert_eq!(curve.time_from(&mut step, mass), curve.time(mass), "{k}");
        }
    }

    #[test]
    fn evening_is_busier_than_night() {
        let monday = Config::default().start_micros;
        assert!(
            cluster_load(0, monday + 19 * HOUR_MICROS)
                > 7 * cluster_load(0, monday + 3 * HOUR_MICROS)
        );
    }
}
