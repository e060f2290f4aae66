//! What there is to ingest: names and globs become inputs, inputs become readers.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::exit::{Exit, Failure};
use crate::output::printable;

/// One input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    /// Standard input.
    Stdin,
    /// A file, or anything else that has a path and can be read.
    File(PathBuf),
}

/// An input that could not be found: its name and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) name: String,
    pub(crate) reason: String,
}

impl Input {
    /// Its name for people and for `transport_ref`; safe on a terminal.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Stdin => "standard input".to_owned(),
            Self::File(path) => printable(&path.to_string_lossy(), false),
        }
    }

    /// The transport, as the table names it.
    pub(crate) const fn transport(&self) -> &'static str {
        match self {
            Self::Stdin => "stdin",
            Self::File(_) => "file",
        }
    }

    /// Length in bytes, where it is known beforehand.
    pub(crate) fn length_bytes(&self) -> Option<u64> {
        match self {
            Self::Stdin => None,
            Self::File(path) => {
                let metadata = path.metadata().ok()?;
                metadata.is_file().then_some(metadata.len())
            }
        }
    }

    /// Opens it.
    ///
    /// # Errors
    /// What the operating system says, in words; a folder is refused.
    pub(crate) fn open(&self) -> Result<Box<dyn Read + Send>, String> {
        let path = match self {
            Self::Stdin => return Ok(Box::new(io::stdin())),
            Self::File(path) => path,
        };
        let file = File::open(path).map_err(|e| reason(&e))?;
        if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            return Err("is a folder; name its files, for example 'folder/*.log'".to_owned());
        }
        Ok(Box::new(file))
    }
}

/// Why a file could not be read, in words.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
        _ => error.to_string(),
    }
}

/// Reads a file, or standard input for `-`: one byte more than `bytes_max` at most, so that whoever
/// has that limit sees that it was passed.
///
/// # Errors
/// If it can not be read.
pub(crate) fn read_bounded(path: &Path, bytes_max: usize) -> Result<Vec<u8>, Failure> {
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    let name = printable(&path.to_string_lossy(), false);
    let failed = |e| Failure::new(Exit::Input, format!("{name}: {}", reason(&e)));
    read.map(|_| bytes).map_err(failed)
}

/// Turns names and globs into inputs, in the order given; a glob's files in name order. A file
/// that exists under the very name is taken, whatever characters the name has.
///
/// # Errors
/// If standard input is named twice.
pub(crate) fn expand(names: &[OsString]) -> Result<(Vec<Input>, Vec<Missing>), Failure> {
    let mut inputs: Vec<Input> = Vec::new();
    let mut missing = Vec::new();
    for name in names {
        if name == "-" {
            if inputs.contains(&Input::Stdin) {
                return Err(Failure::usage("standard input (-) can be read only once"));
            }
            inputs.push(Input::Stdin);
            continue;
        }
        let path = PathBuf::from(name);
        let pattern = name.to_str().filter(|text| text.contains(['*', '?', '[']));
        match pattern {
            Some(pattern) if path.symlink_metadata().is_err() => match matches(pattern) {
                Ok(files) => inputs.extend(files.into_iter().map(Input::File)),
                Err(reason) => missing.push(Missing { name: printable(pattern, false), reason }),
            },
            _ => inputs.push(Input::File(path)),
        }
    }
    Ok((inputs, missing))
}

fn matches(pattern: &str) -> Result<Vec<PathBuf>, String> {
    let paths = glob::glob(pattern).map_err(|e| format!("is no valid glob: {e}"))?;
    let mut files = Vec::new();
    for path in paths {
        let path = path.map_err(|e| format!("{}: {}", e.path().display(), reason(e.error())))?;
        if !path.is_dir() {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err("no file matches".to_owned());
    }
    Ok(files)
}

/// Counts the bytes that pass; other threads may look.
pub(crate) struct Counting<R> {
    inner: R,
    passed: Arc<AtomicU64>,
}

impl<R> Counting<R> {
    /// Counts into `passed`.
    pub(crate) fn new(inner: R, passed: Arc<AtomicU64>) -> Self {
        Self { inner, passed }
    }
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.passed.fetch_add(u64::try_from(read).unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<OsString> {
        list.iter().map(OsString::from).collect()
    }

    #[test]
    fn globs_expand_in_name_order_and_plain_names_stay() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.log", "a.log", "c.txt", "odd[1].log"] {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        let at = |name: &str| folder.path().join(name);
        let pattern = |name: &str| at(name).to_str().unwrap().to_owned();
        let (inputs, missing) = expand(&names(&[
            &pattern("*.txt"),
            "-",
            &pattern("[ab].log"),
            &pattern("odd[1].log"),
            &pattern("none.log"),
            &pattern("none*.log"),
        ]))
        .unwrap();
        let expected = [
            Input::File(at("c.txt")),
            Input::Stdin,
            Input::File(at("a.log")),
            Input::File(at("b.log")),
            Input::File(at("odd[1].log")),
            Input::File(at("none.log")),
        ];
        assert_eq!(inputs, expected);
        assert_eq!(missing.len(), 1);
        assert_eq!(missing[0].reason, "no file matches");
        assert_eq!(inputs[5].open().err().unwrap(), "there is no such file");
        assert!(Input::File(folder.path().to_owned()).open().err().unwrap().contains("folder"));
    }

    #[test]
    fn standard_input_can_be_read_once() {
        assert!(expand(&names(&["-", "-"])).is_err());
    }
}
