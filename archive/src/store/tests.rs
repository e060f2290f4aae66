use std::sync::{Arc, Barrier};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};

use super::*;
use crate::fault::{Fault, Lost, Then};

mod fake_s3;

fn options() -> StoreOptions {
    StoreOptions { put_attempts_max: Some(3), put_pause_millis: Some(1), ..StoreOptions::default() }
}

fn open(folder: &std::path::Path) -> Store {
    Store::open(&Target::parse(folder.to_str().unwrap()).unwrap(), &options()).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn of_sixteen_threads_that_put_one_key_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let start = Arc::new(Barrier::new(16));
    let threads: Vec<_> = (0..16u8)
        .map(|n| {
            let (store, start) = (open(folder.path()), Arc::clone(&start));
            std::thread::spawn(move || {
                start.wait();
                let bytes = Bytes::from(vec![n; 100_000]);
                runtime().block_on(store.put_new("_delta_log/x.json", bytes)).unwrap()
            })
        })
        .collect();
    let puts: Vec<Put> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let winners: Vec<usize> = (0..16).filter(|&n| puts[n] == Put::Created).collect();
    assert_eq!(winners.len(), 1, "{puts:?}");
    let stored = std::fs::read(folder.path().join("_delta_log/x.json")).unwrap();
    assert_eq!(stored, vec![u8::try_from(winners[0]).unwrap(); 100_000]);
    let left = std::fs::read_dir(folder.path().join(".tmp")).unwrap().count();
    assert_eq!(left, 0, "temporary files left");
}

#[tokio::test]
async fn a_temporary_file_left_by_a_crash_is_no_object_and_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    std::fs::create_dir(folder.path().join(".tmp")).unwrap();
    for n in 0..50 {
        let name = format!(".tmp/{}-{n}", std::process::id());
        let _ = std::fs::write(folder.path().join(name), b"half a fi");
    }
    assert_eq!(store.put_new("data/a", Bytes::from_static(b"whole")).await.unwrap(), Put::Created);
    let listed = store.list("", None).await.unwrap();
    assert_eq!((listed.len(), listed[0].key.as_str(), listed[0].bytes), (1, "data/a", 5));
    assert!(store.get(".tmp/x").await.is_err());
}

#[tokio::test]
async fn listing_is_in_order_of_key_and_goes_on_after_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    // `a.` sorts before `a/`, which sorts before `a0`.
    for key in ["p/a0", "p/a/z", "p/a.", "p/a/b/c", "q/x"] {
        let _ = store.put_new(key, Bytes::from_static(b"1")).await.unwrap();
    }
    let keys = |after: Option<&'static str>| {
        let store = store.clone();
        async move {
            let listed = store.list("p/", after).await.unwrap();
            listed.into_iter().map(|l| l.key).collect::<Vec<_>>()
        }
    };
    assert_eq!(keys(None).await, ["p/a.", "p/a/b/c", "p/a/z", "p/a0"]);
    assert_eq!(keys(Some("p/a/b/c")).await, ["p/a/z", "p/a0"]);
    assert_eq!(keys(Some("p/a/b/d")).await, ["p/a/z", "p/a0"]);
    assert_eq!(keys(Some("p/zz")).await, Vec::<String>::new());
    assert!(store.list("nothing/", None).await.unwrap().is_empty());
}

#[tokio::test]
async fn keys_and_links_that_lead_elsewhere_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for key in ["../x", "a/../x", "/etc/passwd", "a//b", "", "a/", "a\\b", "./a"] {
        assert!(matches!(store.get(key).await, Err(ArchiveError::Key { .. })), "{key}");
    }
    std::fs::write(folder.path().join("secret"), b"s").unwrap();
    std::os::unix::fs::symlink(folder.path().join("secret"), folder.path().join("data")).unwrap();
    let error = store.get("data").await.unwrap_err();
    assert!(matches!(error, ArchiveError::Refused { .. }), "{error}");
    std::os::unix::fs::symlink(folder.path(), folder.path().join("manifests")).unwrap();
    let put = store.put_new("manifests/m", Bytes::from_static(b"1")).await;
    assert!(put.unwrap_err().to_string().contains("symbolic link"));
}

#[tokio::test]
async fn what_is_read_is_bounded_and_a_file_in_the_way_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let _ = store.put_new("data/a", Bytes::from_static(b"0123456789")).await.unwrap();
    assert_eq!(store.put_new("data/a", Bytes::new()).await.unwrap(), Put::AlreadyThere);
    assert!(matches!(store.get_bounded("data/a", 9).await, Err(ArchiveError::TooLong { .. })));
    assert_eq!(store.get_range("data/a", 7..99).await.unwrap().unwrap(), "789");
    assert_eq!(store.head("data/a").await.unwrap(), Some(10));
    assert_eq!(store.head("data").await.unwrap(), None);
    assert_eq!(store.get("data/a/b").await.unwrap(), None);
    let error = store.put_new("data/a/b", Bytes::from_static(b"1")).await.unwrap_err();
    assert!(error.to_string().contains("data/a"), "{error}");
    store.delete("data/a").await.unwrap();
    store.delete("data/a").await.unwrap();
    assert_eq!(store.get("data/a").await.unwrap(), None);
}

#[tokio::test]
async fn the_view_for_engines_counts_and_does_not_write() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let _ = store.put_new("data/a", Bytes::from_static(b"0123456789")).await.unwrap();
    let before = store.usage();
    let objects = store.reader().unwrap();
    let path = Path::from("data/a");
    assert_eq!(objects.get_range(&path, 2..5).await.unwrap(), "234");
    assert_eq!(objects.head(&path).await.unwrap().size, 10);
    assert!(objects.put(&Path::from("data/b"), PutPayload::from_static(b"1")).await.is_err());
    assert!(objects.delete(&path).await.is_err());
    let usage = store.usage().since(&before);
    let expected = Usage { gets: 1, heads: 1, bytes_read: 3, ..Usage::default() };
    assert_eq!(usage, expected);
}

/// Whether this folder's file system says which bytes are in memory.
#[cfg(target_os = "linux")]
fn tells_what_is_cached(file: &std::path::Path) -> bool {
    use rustix::io::{ReadWriteFlags, preadv2};
    let file = std::fs::File::open(file).unwrap();
    let mut byte = [0];
    preadv2(&file, &mut [std::io::IoSliceMut::new(&mut byte)], 0, ReadWriteFlags::NOWAIT).is_ok()
}

#[test]
#[cfg(target_os = "linux")]
fn what_is_in_memory_of_a_folder_is_read_while_all_threads_that_may_wait_do() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(folder.path().join("data/a"), b"0123456789").unwrap();
    if !tells_what_is_cached(&folder.path().join("data/a")) {
        return;
    }
    let objects = open(folder.path()).reader().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .enable_time()
        .build()
        .unwrap();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let waiting = runtime.spawn_blocking(move || released.recv());
    let key = Path::from("data/a");
    let limit = Duration::from_secs(60);
    let read = runtime
        .block_on(async { tokio::time::timeout(limit, objects.get_range(&key, 3..6)).await });
    release.send(()).unwrap();
    runtime.block_on(waiting).unwrap().unwrap();
    assert_eq!(read.expect("it waited for a thread").unwrap(), "345");
}

#[tokio::test]
async fn a_range_says_of_its_file_what_a_head_says() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let _ = store.put_new("data/a", Bytes::from_static(b"0123456789")).await.unwrap();
    let (objects, key) = (store.reader().unwrap(), Path::from("data/a"));
    let expected = objects.head(&key).await.unwrap();
    let of = |range: Range<u64>, if_match: Option<String>| {
        let range = Some(range.into());
        objects.get_opts(&key, object_store::GetOptions { range, if_match, ..Default::default() })
    };
    for if_match in [None, expected.e_tag.clone()] {
        let found = of(2..5, if_match).await.unwrap();
        assert_eq!((&found.meta, found.range.clone()), (&expected, 2..5));
        assert_eq!(found.bytes().await.unwrap(), "234");
    }
    let refused = of(2..5, Some("another".to_owned())).await.map(|_| ()).unwrap_err();
    assert!(matches!(refused, object_store::Error::Precondition { .. }), "{refused}");
    // Beyond the end there is nothing, as in a bucket; of what is partly there, that part.
    assert!(of(10..12, None).await.is_err());
    assert_eq!(of(8..12, None).await.unwrap().bytes().await.unwrap(), "89");
    store.delete("data/a").await.unwrap();
    let gone = of(2..5, None).await.map(|_| ()).unwrap_err();
    assert!(matches!(gone, object_store::Error::NotFound { .. }), "{gone}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_pipe_holds_nothing_that_is_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        folder.path().join("a"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert!(cached::read(folder.path(), "a", &(0..1)).is_none());
}

#[tokio::test]
async fn the_view_for_engines_follows_no_links() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), b"s3cret").unwrap();
    let store = open(folder.path());
    let _ = store.put_new("data/a", Bytes::from_static(b"0123456789")).await.unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret"), folder.path().join("data/b"))
        .unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("linked")).unwrap();
    let objects = store.reader().unwrap();
    assert_eq!(objects.get(&Path::from("data/a")).await.unwrap().bytes().await.unwrap().len(), 10);
    for key in ["data/b", "linked/secret"] {
        let key = Path::from(key);
        for error in [
            objects.get(&key).await.map(|_| ()).unwrap_err(),
            objects.head(&key).await.map(|_| ()).unwrap_err(),
            objects.get_range(&key, 0..1).await.map(|_| ()).unwrap_err(),
        ] {
            assert!(error.to_string().contains("symbolic link"), "{error}");
        }
    }
    let listed: Vec<_> = futures::StreamExt::collect(objects.list(None)).await;
    assert_eq!(listed.iter().filter(|object| object.is_err()).count(), 2, "{listed:?}");
    assert!(objects.list_with_delimiter(None).await.is_err());
}

#[tokio::test]
async fn an_unknown_outcome_is_resolved_by_reading_again() {
    for (lost, then, expected) in [
        (Lost::Request, Then::Heal, Some(Put::Created)),
        (Lost::Reply, Then::Heal, Some(Put::Created)),
        (Lost::Request, Then::Crash, None),
        (Lost::Reply, Then::Crash, None),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let fault = Fault::at_write(0, lost, then);
        let store = open(folder.path()).wrapped(|inner| fault.wrap(inner));
        let put = store.put_new("data/a", Bytes::from_static(b"mine")).await;
        match expected {
            Some(expected) => assert_eq!(put.unwrap(), expected, "{lost:?} {then:?}"),
            None => {
                let error = put.unwrap_err();
                assert!(matches!(error, ArchiveError::Unknown { attempts: 3, .. }), "{error}");
                fault.heal();
                let again = store.put_new("data/a", Bytes::from_static(b"mine")).await.unwrap();
                assert_eq!(again == Put::Created, lost == Lost::Request);
            }
        }
        assert_eq!(store.get("data/a").await.unwrap().unwrap(), "mine");
    }
}
