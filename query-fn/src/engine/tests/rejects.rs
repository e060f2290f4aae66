//! Quarantine files of the test.

use archive::snapshot::SnapshotQuarantine;
use arrow::array::BinaryArray;
use common::manifest::QuarantineEntry;
use common::schema::quarantine_schema;

use super::*;

impl Fixture {
    /// A quarantine file with one record a unit.
    pub(super) async fn add_quarantine(&mut self, units: &[UnitId], kept: Option<&[UnitId]>) {
        let column = |name: &str, kind: &DataType| -> Option<ArrayRef> {
            let rows = units.len();
            Some(match (name, kind) {
                ("unit", _) => {
                    Arc::new(StringArray::from_iter_values(units.iter().map(UnitId::to_string)))
                }
                ("record", _) => Arc::new(BinaryArray::from(vec![&b"{"[..]; rows])),
                ("reason", _) => Arc::new(StringArray::from(vec!["no_json"; rows])),
                _ => return None,
            })
        };
        self.add_rejects(units.len(), &column, kept).await;
    }

    /// A quarantine file with these columns; others are NULL, or nothing to speak of.
    pub(super) async fn add_rejects(
        &mut self,
        rows: usize,
        column: &dyn Fn(&str, &DataType) -> Option<ArrayRef>,
        kept: Option<&[UnitId]>,
    ) {
        let schema = quarantine_schema();
        let columns = schema.fields().iter().map(|field| {
            let kind = field.data_type();
            column(field.name(), kind).unwrap_or_else(|| match kind {
                _ if field.is_nullable() => new_null_array(kind, rows),
                DataType::Utf8 => Arc::new(StringArray::from(vec!["x"; rows])),
                DataType::Int32 => Arc::new(Int32Array::from(vec![0; rows])),
                DataType::Int64 => Arc::new(Int64Array::from(vec![0; rows])),
                _ => Arc::new(TimestampMicrosecondArray::from(vec![0; rows]).with_timezone("UTC")),
            })
        });
        let columns = columns.collect();
        let bytes = parquet(&RecordBatch::try_new(Arc::clone(&schema), columns).unwrap());
        let sha256 = Sha256Digest::of(&bytes);
        let entry = QuarantineEntry {
            path: layout::quarantine_key(sha256),
            sha256,
            bytes: u64::try_from(bytes.len()).unwrap(),
            rows: u64::try_from(rows).unwrap(),
            reasons: std::collections::BTreeMap::new(),
            version: None,
        };
        self.put(&entry.path.clone(), bytes).await;
        let kept_units = kept.map(<[UnitId]>::to_vec);
        let file = SnapshotQuarantine { entry, sealed_version: Some(1), kept_units };
        self.snapshot.quarantine.push(file);
    }
}
