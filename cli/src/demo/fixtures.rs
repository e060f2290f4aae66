//! Records that a real Envoy 1.40 wrote, built into the program.

/// A captured log.
pub(crate) struct Fixture {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it is.
    pub(crate) about: &'static str,
    /// Its bytes.
    pub(crate) bytes: &'static [u8],
}

/// The captured logs, as `tests/data/README.md` describes them.
pub(crate) const FIXTURES: [Fixture; 2] = [
    Fixture {
        name: "captured-default.jsonl",
        about: "Istio's default fields",
        bytes: include_bytes!("../../../tests/data/envoy/captured-default.jsonl"),
    },
    Fixture {
        name: "captured-extended.jsonl",
        about: "extended with identities, certificates and policies",
        bytes: include_bytes!("../../../tests/data/envoy/captured-extended.jsonl"),
    },
];
