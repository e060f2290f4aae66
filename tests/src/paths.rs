//! Where things are: the repository, what cargo built, the Python environment.

use std::path::{Path, PathBuf};

/// The repository's root.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository").into()
}

/// A fixture below `tests/data/`.
pub fn fixture(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name);
    assert!(path.exists(), "there is no fixture {}", path.display());
    path
}

/// The folder of this profile's executables, such as `target/debug`: test executables lie in its
/// `deps/`.
pub fn profile_dir() -> PathBuf {
    let executable = std::env::current_exe().expect("a running test has an executable");
    let deps = executable.parent().expect("an executable lies in a folder");
    deps.parent().expect("a test executable lies in deps/").into()
}

/// The Python environment that `tests/setup.sh` makes: `$MESHLEDGER_VENV` as it was when this was
/// compiled, else `venv` in cargo's target folder.
pub fn venv() -> PathBuf {
    let venv = option_env!("MESHLEDGER_VENV").map_or_else(
        || profile_dir().parent().expect("a profile lies in the target folder").join("venv"),
        PathBuf::from,
    );
    assert!(
        venv.join("meshledger-installed.txt").exists(),
        "the Python environment {} is missing: run tests/setup.sh (with the same CARGO_TARGET_DIR \
         and MESHLEDGER_VENV as cargo has)",
        venv.display()
    );
    venv
}
