use super::*;
use crate::log::Log;
use crate::sample::{self, delivery, unit};
use crate::seats::Archive;

async fn commits() -> (Log, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let archive: Archive = sample::create(folder.path()).await.unwrap();
    for (name, rejects) in [("a", 0), ("b", 2), ("c", 0)] {
        let one = delivery(&[unit(name, 3, rejects)], 1).unwrap();
        sample::ingest(&archive, &one).await.unwrap();
        let _ = sample::seal(&archive, &[&one]).await.unwrap();
    }
    (archive.sealer().log(&Log::default()).await.unwrap(), folder)
}

fn about(log: &Log) -> About {
    let last = log.commits().last().unwrap();
    About::new(last.commit.note.version, last.sha256)
}

fn all(log: &Log) -> impl Iterator<Item = &Commit> {
    log.commits().iter().map(|sealed| &sealed.commit)
}

#[tokio::test]
async fn the_state_comes_back_as_the_commits_say_it() {
    let (log, _folder) = commits().await;
    let bytes = encode(about(&log), all(&log)).unwrap();
    assert_eq!(bytes, encode(about(&log), all(&log)).unwrap(), "the same commits, other bytes");
    let state = State::read(&bytes).unwrap();
    assert_eq!((state.about, &*state.table_id), (about(&log), log.table_id()));
    let files: Vec<_> = all(&log)
        .flat_map(|commit| commit.adds.iter().map(|file| (commit.note.version, file.clone())))
        .collect();
    assert_eq!((files.len(), &state.files), (3, &files));
    let rejected: Vec<u64> = state.quarantine.iter().map(|(version, _)| *version).collect();
    assert_eq!(rejected, [2]);
    assert_eq!(compare(&bytes, about(&log), None, all(&log)).unwrap(), Ok(()));
}

#[tokio::test]
async fn whatever_is_left_out_added_or_changed_is_seen() {
    let (log, _folder) = commits().await;
    let sound: Vec<Commit> = all(&log).cloned().collect();
    let mut cases: Vec<(&str, Vec<Commit>, About)> = Vec::new();
    let mut case = |name, change: &dyn Fn(&mut Vec<Commit>)| {
        let mut commits = sound.clone();
        change(&mut commits);
        cases.push((name, commits, about(&log)));
    };
    case("an add is gone", &|all| drop(all[2].adds.remove(0)));
    case("the last add is gone", &|all| drop(all[3].adds.remove(0)));
    case("an add twice", &|all| {
        let add = all[1].adds[0].clone();
        all[1].adds.push(add);
    });
    case("a null count", &|all| {
        all[1].adds[0].stats.values_mut().next().unwrap().nulls += 1;
    });
    case("a number of rows", &|all| all[1].adds[0].rows += 1);
    case("another length", &|all| all[1].adds[0].bytes += 1);
    case("another time", &|all| all[1].timestamp_millis += 1);
    case("no quarantine", &|all| all[2].note.manifests[0].quarantine.clear());
    case("fewer rejects", &|all| all[2].note.manifests[0].quarantine[0].rows -= 1);
    case("another table", &|all| {
        all[0].creation.as_mut().unwrap().metadata["id"] = "another".into();
    });
    case("another configuration", &|all| {
        all[0].creation.as_mut().unwrap().metadata["configuration"]["delta.appendOnly"] =
            "true".into();
    });
    case("another version of a file", &|all| all[3].note.version = 2);
    case("another order", &|all| all.swap(1, 2));
    case("no commits", &|all| all.clear());
    cases.push(("another version", sound.clone(), About { version: 2, ..about(&log) }));
    let sha256 = Sha256Digest::of(b"another");
    cases.push(("another commit", sound, About { commit_sha256: sha256, ..about(&log) }));
    for (name, commits, claimed) in cases {
        let bytes = encode(claimed, &commits).unwrap();
        let compared = compare(&bytes, about(&log), None, all(&log)).unwrap();
        assert!(compared.is_err(), "{name}");
        // And the other way round: what is there is sound, what is expected is more or less.
        let sound = encode(about(&log), all(&log)).unwrap();
        assert!(compare(&sound, claimed, None, &commits).unwrap().is_err(), "{name}");
    }
}

#[tokio::test]
async fn what_another_engine_might_heed_and_this_one_not_is_refused() {
    let (log, _folder) = commits().await;
    let sound = encode(about(&log), all(&log)).unwrap();
    let rows = ParquetRecordBatchReaderBuilder::try_new(sound.clone()).unwrap().build().unwrap();
    let rows: Vec<RecordBatch> = rows.collect::<Result<_, _>>().unwrap();
    let write = |rows: &RecordBatch, metadata: Vec<KeyValue>, statistics: EnabledStatistics| {
        let properties = base_properties()
            .set_statistics_enabled(statistics)
            .set_offset_index_disabled(true)
            .set_key_value_metadata(Some(metadata))
            .build();
        let options =
            ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let mut writer =
            ArrowWriter::try_new_with_options(Vec::new(), rows.schema(), options).unwrap();
        writer.write(rows).unwrap();
        Bytes::from(writer.into_inner().unwrap())
    };
    let written = |rows: &RecordBatch, metadata| write(rows, metadata, EnabledStatistics::None);
    let own = KeyValue::new(ABOUT_KEY.to_owned(), serde_json::to_string(&about(&log)).unwrap());
    let same = written(&rows[0], vec![own.clone()]);
    assert_eq!(compare(&same, about(&log), None, all(&log)).unwrap(), Ok(()), "the twin");
    // A column of another sort of action.
    let mut fields = rows[0].schema().fields().to_vec();
    let mut columns = rows[0].columns().to_vec();
    fields.push(Arc::new(Field::new("sidecar", DataType::Utf8, true)));
    columns.push(arrow::array::new_null_array(&DataType::Utf8, rows[0].num_rows()));
    let more = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let other = KeyValue::new("other".to_owned(), "x".to_owned());
    for bytes in [
        written(&more, vec![own.clone()]),
        write(&rows[0], vec![own.clone()], EnabledStatistics::Chunk),
        written(&rows[0], vec![own, other.clone()]),
        written(&rows[0], vec![other]),
        Bytes::from_static(b"PAR1"),
        sound.slice(..sound.len() - 1),
    ] {
        assert!(compare(&bytes, about(&log), None, all(&log)).unwrap().is_err());
        assert!(State::read(&bytes).is_err());
    }
}

#[tokio::test]
async fn an_earlier_one_stands_for_the_commits_it_has() {
    let (log, _folder) = commits().await;
    let bytes = encode(about(&log), all(&log)).unwrap();
    for end in 1..=log.next_version() {
        let earlier = log.prefix(end);
        let base = encode(about(&earlier), all(&earlier)).unwrap();
        let against = |later: u64| {
            let later = all(&log).filter(|commit| commit.note.version >= later);
            compare(&bytes, about(&log), Some(&base), later).unwrap()
        };
        assert_eq!(against(end), Ok(()), "{end}");
        // Without a commit there are rows too many, and with one twice too few.
        let last = all(&log).filter(|commit| commit.note.version >= end).count();
        assert_eq!(against(end + 1).is_err(), last > 0, "{end}");
        assert!(against(end - 1).is_err(), "{end}");
    }
}
