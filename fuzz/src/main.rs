//! The fuzzer: one program for all targets, which is told by the name it is called by which one
//! it is (`run.sh` makes a link of each name).

#![no_main]

mod checks;
mod json;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

/// The check of the target that this process is.
static CHECK: OnceLock<checks::Check> = OnceLock::new();

fn check() -> checks::Check {
    let program = std::env::args().next().unwrap_or_default();
    let name = program.rsplit('/').next().unwrap_or_default();
    let found = checks::TARGETS.iter().find(|(known, _)| *known == name);
    found.map(|(_, check)| *check).unwrap_or_else(|| panic!("no target is called {name}"))
}

fuzz_target!(|data: &[u8]| CHECK.get_or_init(check)(data));
