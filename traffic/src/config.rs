//! What to generate, and the limits within which it makes sense.

/// Microseconds in one day.
pub(crate) const DAY_MICROS: i64 = 86_400_000_000;
/// Fewest events: below this the incidents would crowd out ordinary traffic.
pub const EVENTS_MIN: u64 = 1_000;
/// Most events of one stream.
pub const EVENTS_MAX: u64 = 100_000_000_000;
/// Most days of one stream, about ten years.
pub const DAYS_MAX: u32 = 3_660;
/// Most clusters: each has a sixteenth of 10.0.0.0/8, and the last is nobody's.
pub const CLUSTERS_MAX: u32 = 15;
/// Fewest namespaces: the first incident needs `shop`, `payments` and `users`.
pub const NAMESPACES_MIN: u32 = 3;
/// Most namespaces.
pub const NAMESPACES_MAX: u32 = 64;
/// Fewest services: those that take part in the incidents, and what they call.
pub const SERVICES_MIN: u32 = 16;
/// Most services.
pub const SERVICES_MAX: u32 = 400;

const START_MICROS_MAX: i64 = 4_102_444_800_000_000;

/// Everything that decides the stream: the same value gives the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Decides every random draw, the addresses of pods included.
    pub seed: u64,
    /// Lines in the whole stream, exactly.
    pub events: u64,
    /// Midnight UTC of the first day, in microseconds since 1970.
    pub start_micros: i64,
    /// Days over which the events are spread, following the load of a day and of a week.
    pub days: u32,
    /// Clusters of the mesh.
    pub clusters: u32,
    /// Namespaces per cluster, gateways' own aside.
    pub namespaces: u32,
    /// Services, databases included, gateways aside.
    pub services: u32,
    /// How records are written.
    pub format: Format,
}

/// What the proxies of the mesh are configured to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Istio's default JSON: 24 keys, no identity. Listeners log only plaintext refusals.
    IstioDefault,
    /// The 39 keys of the extended format together with the 24 default ones, 53 in all: peer
    /// identity, certificates, RBAC and JWT metadata, failed TLS handshakes of listeners.
    Extended,
    /// Outbound proxies and gateways log [`Format::IstioDefault`], inbound [`Format::Extended`].
    Mixed,
}

impl Format {
    /// Whether listeners log failed inbound TLS handshakes, which Istio's default leaves out.
    pub(crate) fn listeners(self) -> bool {
        self != Format::IstioDefault
    }
}

impl Default for Config {
    /// Monday 2026-11-02, half a million events in two clusters.
    fn default() -> Self {
        Config {
            seed: 42,
            events: 500_000,
            start_micros: 1_793_577_600_000_000,
            days: 1,
            clusters: 2,
            namespaces: 8,
            services: 40,
            format: Format::IstioDefault,
        }
    }
}

impl Config {
    /// First microsecond after the last day.
    pub(crate) fn end_micros(&self) -> i64 {
        self.start_micros + i64::from(self.days) * DAY_MICROS
    }

    /// Midnight of the day on which the incidents happen: the middle one.
    pub(crate) fn incident_day_micros(&self) -> i64 {
        self.start_micros + i64::from(self.days / 2) * DAY_MICROS
    }

    /// Refuses what would give a stream that makes no sense.
    pub(crate) fn check(&self) -> Result<(), TrafficError> {
        within("events", self.events, EVENTS_MIN, EVENTS_MAX)?;
        within("days", self.days.into(), 1, DAYS_MAX.into())?;
        within("clusters", self.clusters.into(), 1, CLUSTERS_MAX.into())?;
        within("services", self.services.into(), SERVICES_MIN.into(), SERVICES_MAX.into())?;
        // Beyond the named eight, a namespace needs a service that is free to live in it.
        let namespaces_max = 8.max(self.services.saturating_sub(SERVICES_MIN)).min(NAMESPACES_MAX);
        within("namespaces", self.namespaces.into(), NAMESPACES_MIN.into(), namespaces_max.into())?;
        let start = self.start_micros;
        if !(0..=START_MICROS_MAX).contains(&start) || start % DAY_MICROS != 0 {
            return Err(TrafficError::Start { start_micros: start });
        }
        Ok(())
    }
}

fn within(name: &'static str, value: u64, min: u64, max: u64) -> Result<(), TrafficError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(TrafficError::Limit { name, value, min, max })
}

/// Why a [`Config`] was refused. The remedy is always to change the configuration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TrafficError {
    /// A number is outside its limits.
    #[error("{name} is {value}, must be {min} to {max}")]
    Limit {
        /// Which field of [`Config`].
        name: &'static str,
        /// What was given.
        value: u64,
        /// Smallest allowed value.
        min: u64,
        /// Largest allowed value, given the other fields.
        max: u64,
    },
    /// The start is not a midnight between 1970 and 2100.
    #[error("start_micros is {start_micros}, must be a midnight UTC between 1970 and 2100")]
    Start {
        /// What was given.
        start_micros: i64,
    },
}
