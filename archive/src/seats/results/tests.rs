//! Results in a folder; those in S3 are tested where the server is.

use std::path::Path;

use super::*;
use crate::fault::{Fault, Lost, Then};
use crate::sample;
use crate::seats::Archive;
use crate::seats::parted::PART_BYTES;

const HOUR: Duration = Duration::from_secs(3_600);

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

async fn put(archive: &Archive, name: &str, bytes: &[u8]) -> Result<StoredResult, ArchiveError> {
    let mut upload = archive.results().begin(name)?;
    for chunk in bytes.chunks(1_000_003) {
        if let Err(error) = upload.write(chunk).await {
            upload.abort().await;
            return Err(error);
        }
    }
    upload.finish(HOUR).await
}

fn stored(folder: &Path, name: &str) -> Option<Vec<u8>> {
    std::fs::read(folder.join("archive.work/results").join(name)).ok()
}

/// What lies about in the work area, results and unfinished files.
fn files(folder: &Path) -> usize {
    let count = |name: &str| std::fs::read_dir(folder.join(name)).map_or(0, Iterator::count);
    count("archive.work/results") + count("archive.work/.tmp")
}

#[tokio::test]
async fn a_result_of_any_length_is_there_whole_and_has_a_url() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    for length in [0, 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES + 7] {
        let (name, bytes) = (format!("r{length}.csv"), bytes(length));
        let put = put(&archive, &name, &bytes).await.unwrap();
        assert_eq!((put.bytes, put.sha256), (length as u64, Sha256Digest::of(&bytes)));
        assert!(!put.shared.ends, "a path has no end");
        let path = url::Url::parse(&put.shared.url).unwrap().to_file_path().unwrap();
        assert!(std::fs::read(path).unwrap() == bytes, "{length}");
        assert!(stored(folder.path(), &name).unwrap() == bytes, "{length}");
    }
    assert_eq!(files(folder.path()), 5, "nothing is left of the parts");
}

#[tokio::test]
async fn a_name_is_given_once_and_stays_below_results() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    let long = "x".repeat(RESULT_NAME_BYTES_MAX + 1);
    for name in ["", ".", "..", "../inbox/x", "a/b", ".hidden", "a b", "é", "a\0", long.as_str()] {
        let refused = archive.results().begin(name);
        assert!(matches!(refused, Err(ArchiveError::Key { .. })), "{name:?}");
    }
    for length in [10, PART_BYTES + 1] {
        let name = format!("twice-{length}");
        let first = bytes(length);
        put(&archive, &name, &first).await.unwrap();
        let mut other = first.clone();
        other[3] ^= 1;
        put(&archive, &name, &other).await.unwrap_err();
        assert!(stored(folder.path(), &name).unwrap() == first, "the first stays");
    }
    assert_eq!(files(folder.path()), 2);
}

#[tokio::test]
async fn a_result_that_is_given_up_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    for dropped in [true, false] {
        let mut upload = archive.results().begin("gone").unwrap();
        upload.write(&bytes(PART_BYTES + 1)).await.unwrap();
        assert_eq!((upload.bytes(), files(folder.path())), (PART_BYTES as u64 + 1, 1));
        if dropped {
            drop(upload);
        } else {
            upload.abort().await;
        }
        assert_eq!(files(folder.path()), 0);
    }
}

#[tokio::test]
async fn whatever_write_fails_a_result_is_whole_or_an_error() {
    for (length, writes) in [(100, 1), (2 * PART_BYTES + 1, 5)] {
        let content = bytes(length);
        let (none, folder) = (Fault::none(), tempfile::tempdir().unwrap());
        let archive = sample::create(folder.path()).await.unwrap().with_fault(&none);
        put(&archive, "r", &content).await.unwrap();
        assert_eq!(none.writes(), writes, "one, or the begin, three parts and the end");
        for at_write in 0..writes {
            for lost in [Lost::Request, Lost::Reply] {
                let folder = tempfile::tempdir().unwrap();
                let archive = sample::create(folder.path()).await.unwrap();
                let fault = Fault::at_write(at_write, lost, Then::Heal);
                let put = put(&archive.with_fault(&fault), "r", &content).await;
                let there = stored(folder.path(), "r");
                // A single put finds out what became of it, and so does the end of an upload.
                let is_last = at_write + 1 == writes && lost == Lost::Reply;
                assert_eq!(put.is_ok(), length == 100 || is_last, "{at_write} {lost:?}");
                assert_eq!(there.is_some(), put.is_ok(), "never a part: {at_write} {lost:?}");
                assert!(there.is_none_or(|there| there == content));
                assert!(files(folder.path()) <= 1, "no part is left: {at_write} {lost:?}");
            }
        }
    }
}
