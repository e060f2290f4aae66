//! Runs the independent Python programs below `tests/independent/`.

use std::path::Path;

use crate::cli::Program;
use crate::paths::{repository, venv};

/// A script of `tests/independent/`, run by the environment that `tests/setup.sh` made.
pub fn script(name: &str) -> Program {
    let path = repository().join("tests/independent").join(name);
    assert!(path.exists(), "there is no {}", path.display());
    Program::new(venv().join("bin/python"))
        .envs([("PYTHONDONTWRITEBYTECODE", "1".to_owned())])
        .args([path])
}

/// Has the row root of every sealed file computed again, from the format page alone.
#[track_caller]
pub fn row_roots(archive: &Path) {
    let output = script("row_roots.py").args([archive]).run();
    assert_eq!(output.code, Some(0), "a row root is another: {}", output.report());
    eprintln!("{}", output.text());
}

/// Has independent engines read an archive and compare it with what the files must become.
/// Each file stands with the cluster it was ingested for.
#[track_caller]
pub fn read_archive(archive: &Path, files: &[(&str, &Path)]) {
    let inputs = files.iter().map(|(cluster, path)| format!("{cluster}={}", path.display()));
    let output = script("read_archive.py").args([archive]).args(inputs).run();
    assert_eq!(output.code, Some(0), "other engines read something else: {}", output.report());
    eprintln!("{}", output.text());
}
