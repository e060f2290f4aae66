//! Where an archive and its work area are.

use std::path::{Component, Path, PathBuf};

use crate::error::ArchiveError;

/// An archive URL, its work URL and the place of its locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    archive: Target,
    work: Target,
    locks: Target,
}

/// One place: a folder or an S3 prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// As shown to people, without a slash at the end.
    pub(crate) url: String,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder(PathBuf),
    S3 { bucket: String, prefix: String },
}

impl Location {
    /// Reads an archive URL (a file path, `file://…`, or `s3://bucket/prefix`) and the URL of its
    /// work area; without one, the work area is the archive's URL with `.work` at its end, that
    /// is, beside it.
    ///
    /// # Errors
    /// If a URL is not understood, or both name the same place.
    pub fn parse(archive: &str, work: Option<&str>) -> Result<Self, ArchiveError> {
        let archive = Target::parse(archive)?;
        let work = match work {
            Some(url) => Target::parse(url)?,
            None => archive.beside()?,
        };
        if archive.kind == work.kind {
            return Err(wrong(&work.url, "a work URL that is not the archive's own"));
        }
        Ok(Self { archive, locks: work.clone(), work })
    }

    /// The same with a place of its own for locks: what is about to be signed is remembered there,
    /// out of reach of whoever can change archive and work area.
    ///
    /// # Errors
    /// If the URL is not understood, or is the archive's.
    pub fn with_locks(self, url: &str) -> Result<Self, ArchiveError> {
        let locks = Target::parse(url)?;
        if locks.kind == self.archive.kind {
            return Err(wrong(&locks.url, "a URL for locks that is not the archive's own"));
        }
        Ok(Self { locks, ..self })
    }

    /// URL of the archive, without a slash at the end.
    pub fn archive_url(&self) -> &str {
        &self.archive.url
    }

    /// URL of the work area.
    pub fn work_url(&self) -> &str {
        &self.work.url
    }

    /// URL of the place of locks: the work area's, unless there is another.
    pub fn locks_url(&self) -> &str {
        &self.locks.url
    }

    pub(crate) const fn locks(&self) -> &Target {
        &self.locks
    }

    pub(crate) const fn archive(&self) -> &Target {
        &self.archive
    }

    pub(crate) const fn work(&self) -> &Target {
        &self.work
    }
}

impl Target {
    pub(crate) fn parse(url: &str) -> Result<Self, ArchiveError> {
        if let Some(rest) = url.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let prefix = prefix.trim_end_matches('/');
            let clean = |part: &str| !part.is_empty() && part != "." && part != "..";
            if bucket.is_empty()
                || bucket.contains(|c: char| c.is_whitespace() || c.is_control() || c == '@')
                || !(prefix.is_empty() || prefix.split('/').all(clean))
            {
                return Err(wrong(url, "s3://bucket/prefix"));
            }
            let shown = if prefix.is_empty() {
                format!("s3://{bucket}")
            } else {
                format!("s3://{bucket}/{prefix}")
            };
            let kind = Kind::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() };
            return Ok(Self { url: shown, kind });
        }
        let path = match url.strip_prefix("file://") {
            Some(path) if path.starts_with('/') => path,
            Some(_) => return Err(wrong(url, "file:/// and an absolute path")),
            None if url.contains("://") => {
                return Err(wrong(url, "a file path or s3://bucket/prefix"));
            }
            None => url,
        };
        if path.is_empty() || path.contains('\0') {
            return Err(wrong(url, "a file path or s3://bucket/prefix"));
        }
        let shown = match path.trim_end_matches('/') {
            "" => "/",
            trimmed => trimmed,
        };
        let folder = std::path::absolute(shown)
            .map_err(|e| ArchiveError::io("find the absolute form of", Path::new(shown), e))?;
        Ok(Self { url: shown.to_owned(), kind: Kind::Folder(folder) })
    }

    fn beside(&self) -> Result<Self, ArchiveError> {
        match &self.kind {
            Kind::S3 { prefix, .. } if prefix.is_empty() => Err(wrong(
                &self.url,
                "a prefix inside the bucket (s3://bucket/prefix), or a work URL of its own",
            )),
            Kind::S3 { .. } => Self::parse(&format!("{}.work", self.url)),
            Kind::Folder(path) => {
                // `.`, `..` and `/` have no name to put ".work" behind; the absolute path of `.` has.
                let named = matches!(path.components().next_back(), Some(Component::Normal(_)));
                let last = Path::new(&self.url).components().next_back();
                match (named, last) {
                    (true, Some(Component::Normal(_))) => {
                        Self::parse(&format!("{}.work", self.url))
                    }
                    (true, _) => Self::parse(&format!("{}.work", path.display())),
                    _ => Err(wrong(&self.url, "a folder with a name, or a work URL of its own")),
                }
            }
        }
    }
}

fn wrong(url: &str, expected: &str) -> ArchiveError {
    ArchiveError::Location { url: url.to_owned(), expected: expected.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_and_their_work_area() {
        let check = |archive: &str, expected: Option<(&str, &str)>| {
            let parsed = Location::parse(archive, None);
            let found = parsed.as_ref().ok().map(|l| (l.archive_url(), l.work_url()));
            assert_eq!(found, expected, "{archive}");
        };
        check("s3://bucket/a/b/", Some(("s3://bucket/a/b", "s3://bucket/a/b.work")));
        check("data/audit/", Some(("data/audit", "data/audit.work")));
        check("file:///srv/audit", Some(("/srv/audit", "/srv/audit.work")));
        check("s3://bucket", None);
        check("s3://bucket/a//b", None);
        check("s3://bucket/../b", None);
        check("gs://bucket/a", None);
        check("file://host/a", None);
        check("/", None);
        check("", None);
        assert!(Location::parse("/a/b", Some("/a/b/")).is_err());
        assert!(Location::parse("s3://bucket", Some("s3://bucket-work")).is_ok());
        let location = Location::parse("/a/b", None).unwrap();
        assert_eq!(location.locks_url(), "/a/b.work");
        let elsewhere = location.clone().with_locks("s3://other/locks/").unwrap();
        assert_eq!(elsewhere.locks_url(), "s3://other/locks");
        assert_eq!(elsewhere.work_url(), location.work_url());
        assert!(location.clone().with_locks("/a/b/").is_err());
        assert!(location.with_locks("gs://locks").is_err());
    }
}
