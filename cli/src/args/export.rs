//! Where `query --out` puts an answer.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::Args;

use super::QueryFormat;

/// An answer as a file.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Export")]
pub(crate) struct Export {
    /// Write the answer to a file or s3://bucket/key, whole or not at all, with as many rows as
    /// there are; the form follows from the name (.csv, .ndjson, .arrow, .parquet) or --format
    #[arg(short, long, value_name = "FILE|URL")]
    pub(crate) out: Option<Place>,
    /// Also write a tar file with a proof of each event of the answer, for check-proof; the answer
    /// needs the columns segment and segment_row
    #[arg(long, value_name = "FILE|URL", requires = "out")]
    pub(crate) proofs: Option<Place>,
    /// Replace files that exist; objects are never replaced
    #[arg(long, requires = "out")]
    pub(crate) force: bool,
}

/// A file, or an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A file of this machine.
    File(PathBuf),
    /// `s3://bucket/key`.
    Object(String),
}

impl From<&OsStr> for Place {
    fn from(text: &OsStr) -> Self {
        match text.to_str().filter(|text| text.starts_with("s3://")) {
            Some(url) => Self::Object(url.to_owned()),
            None => Self::File(PathBuf::from(text)),
        }
    }
}

impl From<std::ffi::OsString> for Place {
    fn from(text: std::ffi::OsString) -> Self {
        Self::from(text.as_os_str())
    }
}

impl Place {
    /// The name without folders, as a statement has it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(path) => {
                path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
            }
            Self::Object(url) => url.rsplit('/').next().unwrap_or_default().to_owned(),
        }
    }

    /// The form that the name's ending says.
    pub(crate) fn format(&self) -> Option<QueryFormat> {
        let name = self.name();
        match Path::new(&name).extension()?.to_str()? {
            "csv" => Some(QueryFormat::Csv),
            "ndjson" | "jsonl" | "json" => Some(QueryFormat::Json),
            "arrow" | "arrows" => Some(QueryFormat::Arrow),
            "parquet" => Some(QueryFormat::Parquet),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_follows_from_the_name() {
        for (text, name, format) in [
            ("report.csv", "report.csv", Some(QueryFormat::Csv)),
            ("/a/b.c/report.ndjson", "report.ndjson", Some(QueryFormat::Json)),
            ("s3://bucket/x/report.parquet", "report.parquet", Some(QueryFormat::Parquet)),
            ("a.arrow", "a.arrow", Some(QueryFormat::Arrow)),
            ("csv", "csv", None),
            ("a.txt", "a.txt", None),
            ("s3://bucket.csv/x", "x", None),
        ] {
            let place = Place::from(OsStr::new(text));
            assert_eq!(matches!(place, Place::Object(_)), text.starts_with("s3://"));
            assert_eq!((&*place.name(), place.format()), (name, format), "{text}");
        }
    }
}
