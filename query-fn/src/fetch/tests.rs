use archive::SegmentEncoder;
use common::Sha256Digest;
use common::date::{DAY_MICROS, EventDate};
use common::ids::{DeliveryId, SegmentId};
use common::row::{RowKey, RowSeed};
use common::schema::{COLUMNS, ColumnType};
use object_store::PutPayload;
use object_store::memory::InMemory;

use super::*;
use crate::meter::{Allowance, Meter, Metered};

const DAY: i64 = 20_759;

/// An event file of these row groups, with an id in each row, encoded as ingest does.
fn event_file(groups: &[usize]) -> Bytes {
    let date = EventDate::of_micros(DAY * DAY_MICROS);
    let segment = SegmentId::of(DeliveryId(Sha256Digest::of(b"a")), date);
    let key = RowKey::of_segment(RowSeed::new([1; 32]), segment);
    let mut encoder = SegmentEncoder::new(segment, date, key).unwrap();
    let mut row = 0i64;
    for rows in groups {
        for _ in 0..*rows {
            for (at, column) in COLUMNS.iter().enumerate() {
                match (column.name, column.kind) {
                    ("segment", _) => encoder.text(at, segment.to_string().as_bytes()),
                    ("segment_row", _) => encoder.int64(at, row),
                    ("event_time", _) => encoder.int64(at, DAY * DAY_MICROS + row),
                    ("request_id" | "trace_id", _) => {
                        let id = Sha256Digest::of(format!("{at} {row}").as_bytes()).to_hex();
                        encoder.text(at, &id.as_bytes()[..32]);
                    }
                    ("http_path" | "principal", _) => {
                        encoder.text(at, format!("/{}", row % 5_000).as_bytes());
                    }
                    _ if column.nullable => {}
                    (_, ColumnType::Utf8) => encoder.text(at, b"x"),
                    (_, ColumnType::Int32) => encoder.int32(at, 1),
                    (_, ColumnType::Int64 | ColumnType::Timestamp) => encoder.int64(at, 1),
                    (_, ColumnType::Boolean) => encoder.bool(at, true),
                    (_, ColumnType::ListUtf8) => {}
                }
            }
            encoder.end_row().unwrap();
            row += 1;
        }
        encoder.close_group().unwrap();
    }
    encoder.finish().unwrap().bytes
}

struct Scene {
    files: Arc<Files>,
    file: Arc<OpenFile>,
    meter: Arc<Meter>,
}

impl Scene {
    async fn new(bytes: &Bytes, known: Option<Known>) -> Self {
        let inner = Arc::new(InMemory::new());
        let path = Path::from("data/a.parquet");
        inner.put(&path, PutPayload::from(bytes.clone())).await.unwrap();
        let meter = Meter::new(Allowance::default());
        let store = Arc::new(Metered { inner, meter: Arc::clone(&meter) });
        let nothing = || Known::new(0, archive::snapshot::Mode::Fresh);
        let files = Files::new(store, known.unwrap_or_else(nothing), None);
        let file = files.open(&path, u64::try_from(bytes.len()).unwrap());
        Self { files, file, meter }
    }

    async fn end(&self, first_bytes: u64) -> Arc<End> {
        self.file.end(&self.files, first_bytes, true).await.unwrap()
    }

    /// Bloom filters, as the engine asks for them: one after the other.
    async fn blooms(&self, ranges: &[Range<u64>]) -> Vec<Bytes> {
        let mut blooms = Vec::new();
        for range in ranges {
            blooms.push(self.file.bytes(&self.files, range).await.unwrap());
        }
        blooms
    }

    async fn data(
        &self,
        ranges: &[Range<u64>],
        wanted: Option<&Wanted>,
        group: &mut Read,
    ) -> Vec<Bytes> {
        self.file.data(&self.files, ranges, wanted, group).await.unwrap()
    }
}

fn places_of_blooms(metadata: &ParquetMetaData) -> Vec<Range<u64>> {
    chunks(metadata.row_groups()).filter_map(bloom_range).collect()
}

#[tokio::test]
async fn the_end_of_an_ingested_file_comes_with_one_request() {
    let full = 256 * 1024;
    for (groups, blooms_come_along) in [
        (&[1][..], true),
        (&[500], true),
        (&[16_384], true),
        (&[16_385], true),
        (&[40_000], false),
        (&[full], false),
        // Full groups are as long as this one; here their rows are fewer.
        (&[full, 10_000, 10_000, 10_000], false),
    ] {
        let bytes = event_file(groups);
        let rows: usize = groups.iter().sum();
        // A row group is full before the next one begins.
        let rows = u64::try_from(rows.max((groups.len() - 1) * full)).unwrap();
        let scene = Scene::new(&bytes, None).await;
        let end = scene.end(end_bytes(rows)).await;
        assert!(has_index(&end.metadata), "{groups:?}");
        assert_eq!(end.metadata.num_row_groups(), groups.len());
        assert_eq!(scene.meter.requests(), 1, "{groups:?}");
        let places = places_of_blooms(&end.metadata);
        assert_eq!(places.len(), 2 * groups.len(), "ids have bloom filters");
        let _ = scene.blooms(&places).await;
        assert_eq!(scene.meter.requests() == 1, blooms_come_along, "{groups:?}");
        // Not a multiple of what there is to read.
        let needed = bytes.len() as u64 - index_range(&end.metadata).unwrap().start;
        assert!(end_bytes(rows) < 4 * needed + 64 * 1024, "{groups:?}: {needed}");
    }
}

#[tokio::test]
async fn an_end_that_is_longer_than_expected_takes_exactly_one_request_more() {
    let bytes = event_file(&[20_000, 20_000, 20_000, 20_000]);
    let whole = Scene::new(&bytes, None).await.end(u64::try_from(bytes.len()).unwrap()).await;
    for first_bytes in [8, 1_000, 20_000] {
        let scene = Scene::new(&bytes, None).await;
        let end = scene.end(first_bytes).await;
        assert_eq!((&end.metadata, scene.meter.requests()), (&whole.metadata, 2), "{first_bytes}");
        // It is known from then on.
        scene.end(first_bytes).await;
        assert_eq!(scene.meter.requests(), 2);
    }
}

#[tokio::test]
async fn what_one_query_learnt_of_an_end_the_next_one_knows() {
    let bytes = event_file(&[40_000]);
    let known = Known::new(16 * 1024 * 1024, archive::snapshot::Mode::Fresh);
    let first = Scene::new(&bytes, Some(known.clone())).await;
    let end = first.end(end_bytes(40_000)).await;
    let places = places_of_blooms(&end.metadata);
    let blooms = first.blooms(&places).await;
    // One of the two came along.
    assert_eq!((places.len(), first.meter.requests()), (2, 2));
    for (place, bloom) in places.iter().zip(&blooms) {
        let (start, end) = (place.start, place.end);
        let there = bytes.slice(usize::try_from(start).unwrap()..usize::try_from(end).unwrap());
        assert_eq!(*bloom, there);
    }
    let second = Scene::new(&bytes, Some(known.clone())).await;
    assert_eq!(second.end(8).await.metadata, end.metadata);
    assert_eq!(second.blooms(&places).await, blooms);
    assert_eq!(second.meter.requests(), 0);
    // A file of another length is another one.
    let longer = second.files.open(&Path::from("data/a.parquet"), 1);
    assert!(Arc::ptr_eq(&longer, &second.file), "as long as somebody holds it, it is that one");
    let stranger = End::of(&known, &Path::from("data/a.parquet"), 1);
    assert!(stranger.is_none());
}

#[tokio::test]
async fn a_selective_scan_gets_a_row_group_with_one_request_if_it_is_small() {
    let bytes = event_file(&[5_000, 5_000]);
    let scene = Scene::new(&bytes, None).await;
    let end = scene.end(end_bytes(10_000)).await;
    let (before, mut group) = (scene.meter.requests(), Read::new());
    let column = |name: &str| COLUMNS.iter().position(|column| column.name == name).unwrap();
    let (id, path) = (column("request_id"), column("principal"));
    let wanted = Wanted {
        columns: [id, path].into(),
        names: [].into(),
        filters: [id].into(),
        is_selective: true,
    };
    for (at_group, requests) in [(0, 1), (1, 2)] {
        let chunk = |at: usize| chunk_range(end.metadata.row_group(at_group).column(at));
        let got = |range: Range<u64>| {
            let bytes = &bytes;
            bytes.slice(usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap())
        };
        // The filter's column, then a page of the other.
        let ids = scene.data(&[chunk(id)], Some(&wanted), &mut group).await;
        assert_eq!(ids, [got(chunk(id))]);
        let page = chunk(path).start + 3..chunk(path).end - 5;
        let paths = scene.data(std::slice::from_ref(&page), Some(&wanted), &mut group).await;
        assert_eq!(paths, [got(page)]);
        assert_eq!(scene.meter.requests() - before, requests);
    }
    // What nobody said would be wanted is read when it is asked for, and near ranges together.
    let chunks = [
        chunk_range(end.metadata.row_group(0).column(id)),
        chunk_range(end.metadata.row_group(0).column(path)),
    ];
    let before = scene.meter.requests();
    let got = scene.data(&chunks, None, &mut group).await;
    assert_eq!(got.len(), 2);
    assert_eq!(scene.meter.requests() - before, 1);
}

#[tokio::test]
async fn a_footer_that_lies_is_an_error_and_no_panic() {
    let bytes = event_file(&[100]);
    let length = bytes.len();
    for (at, value) in [(length - 8, 0xff), (length - 7, 0xff), (length - 5, 0x7f), (length - 1, 0)]
    {
        let mut broken = bytes.to_vec();
        broken[at] = value;
        let scene = Scene::new(&broken.into(), None).await;
        assert!(scene.file.end(&scene.files, 1_000, true).await.is_err(), "{at}");
    }
    for cut in [4, 7, 8, 20, 1_000] {
        let scene = Scene::new(&bytes.slice(..cut), None).await;
        assert!(scene.file.end(&scene.files, 1_000, true).await.is_err(), "{cut}");
    }
}

#[tokio::test]
async fn the_engine_is_shown_the_columns_it_wants_where_they_are() {
    let bytes = event_file(&[3_000, 2_000]);
    let scene = Scene::new(&bytes, None).await;
    let whole = Arc::clone(&scene.file.end(&scene.files, 64 * 1024, true).await.unwrap().metadata);
    let narrow = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        narrowed(&whole, &names).unwrap()
    };
    // One of them is a list, whose leaf is not at the top, and one is not in the file.
    let names = ["not_there", "policy_dry_run", "trace_id", "request_id"];
    let lists: Vec<&str> = COLUMNS
        .iter()
        .filter(|column| column.kind == ColumnType::ListUtf8)
        .map(|column| column.name)
        .collect();
    let wanted: Vec<&str> = names.iter().chain(&lists).copied().collect();
    let shown = narrow(&wanted);
    let paths = |metadata: &ParquetMetaData, group: usize| -> Vec<(String, Range<u64>)> {
        let columns = metadata.row_group(group).columns().iter();
        columns.map(|chunk| (chunk.column_path().string(), chunk_range(chunk))).collect()
    };
    assert!(!lists.is_empty() && paths(&shown, 0).len() >= 3, "{:?}", paths(&shown, 0));
    for group in 0..2 {
        let expected: Vec<_> = paths(&whole, group)
            .into_iter()
            .filter(|(path, _)| wanted.contains(&path.split('.').next().unwrap()))
            .collect();
        assert_eq!(paths(&shown, group), expected);
        assert_eq!(shown.row_group(group).num_rows(), whole.row_group(group).num_rows());
        for (at, (path, _)) in expected.iter().enumerate() {
            let before = paths(&whole, group).iter().position(|(found, _)| found == path).unwrap();
            let index = |metadata: &ParquetMetaData, at: usize| {
                let offsets = metadata.offset_index().unwrap()[group][at].clone();
                format!("{offsets:?} {:?}", metadata.column_index().unwrap()[group][at])
            };
            assert_eq!(index(&shown, at), index(&whole, before), "{path}");
        }
    }
    // To count takes some column.
    assert!(Arc::ptr_eq(&narrow(&[]), &whole) && Arc::ptr_eq(&narrow(&["not_there"]), &whole));
}
