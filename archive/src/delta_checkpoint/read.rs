//! From a Delta checkpoint that somebody vouches for to the state it holds.

use arrow::array::{Array, AsArray, MapArray, RecordBatch, StructArray};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use common::commit::{parse_add, parse_metadata};
use common::manifest::{FileEntry, QuarantineEntry};
use serde_json::{Map, Value};

use super::{About, column, open};
use crate::snapshot::{SnapshotFile, SnapshotQuarantine};

/// What a Delta checkpoint holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    /// Of which version.
    pub(crate) about: About,
    /// Table id.
    pub(crate) table_id: String,
    /// Event files with the version that added each.
    pub(crate) files: Vec<(u64, FileEntry)>,
    /// Quarantine files with the version that named each.
    pub(crate) quarantine: Vec<(u64, QuarantineEntry)>,
}

impl State {
    /// Reads a Delta checkpoint. The error is for people.
    pub(crate) fn read(bytes: &Bytes) -> Result<Self, String> {
        let (about, batches) = open(bytes)?;
        let (table_id, files, quarantine) = (String::new(), Vec::new(), Vec::new());
        let mut state = Self { about, table_id, files, quarantine };
        for batch in batches {
            state.take(&batch.map_err(|e| e.to_string())?)?;
        }
        if state.table_id.is_empty() {
            return Err("no metaData".to_owned());
        }
        Ok(state)
    }

    /// The files as a snapshot of this state has them.
    pub(crate) fn snapshot(&self) -> (Vec<SnapshotFile>, Vec<SnapshotQuarantine>) {
        let files = self.files.iter().map(|(version, entry)| SnapshotFile {
            entry: entry.clone(),
            sealed_version: Some(*version),
            kept_rows: None,
        });
        let quarantine = self.quarantine.iter().map(|(version, entry)| SnapshotQuarantine {
            entry: entry.clone(),
            sealed_version: Some(*version),
            kept_units: None,
        });
        (files.collect(), quarantine.collect())
    }

    fn take(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let all = StructArray::from(batch.clone());
        let [metadata, add, own] = ["metaData", "add", "meshledger"]
            .map(|name| column(&all, name).map(AsArray::as_struct));
        let (metadata, add, own) = (metadata?, add?, own?);
        let version = column(own, "version")?.as_primitive::<Int64Type>();
        let quarantine = column(own, "quarantine")?.as_string::<i32>();
        let adds = Adds::new(add)?;
        for row in 0..all.len() {
            if metadata.is_valid(row) {
                let body = Value::Object(Map::from_iter(["id", "schemaString"].map(|name| {
                    let value = column(metadata, name).ok().and_then(|c| text(c, row));
                    (name.to_owned(), value.map_or(Value::Null, Value::String))
                })));
                self.table_id = parse_metadata(&body).map_err(|e| e.to_string())?;
            }
            let of_row = || {
                let version = version.is_valid(row).then(|| u64::try_from(version.value(row)).ok());
                let version = version.flatten().filter(|version| *version <= self.about.version);
                version.ok_or_else(|| format!("row {row} without a version"))
            };
            if add.is_valid(row) {
                let version = of_row()?;
                let file = parse_add(adds.body(row)?).map_err(|e| e.to_string())?;
                self.files.push((version, file));
            } else if own.is_valid(row) && quarantine.is_valid(row) {
                let entry = serde_json::from_str::<QuarantineEntry>(quarantine.value(row));
                let entry = entry.map_err(|e| e.to_string())?;
                entry.check().map_err(|e| e.to_string())?;
                self.quarantine.push((of_row()?, entry));
            }
        }
        Ok(())
    }
}

/// The columns of `add`.
struct Adds<'a> {
    add: &'a StructArray,
    partition: &'a MapArray,
    tags: &'a MapArray,
}

impl<'a> Adds<'a> {
    fn new(add: &'a StructArray) -> Result<Self, String> {
        let [partition, tags] =
            ["partitionValues", "tags"].map(|name| column(add, name).map(AsArray::as_map));
        Ok(Self { add, partition: partition?, tags: tags? })
    }

    /// The action's body, as a commit has it.
    fn body(&self, row: usize) -> Result<Value, String> {
        let mut body = Map::new();
        for name in ["path", "stats"] {
            let value = text(column(self.add, name)?, row).map_or(Value::Null, Value::String);
            body.insert(name.to_owned(), value);
        }
        for name in ["size", "modificationTime"] {
            let column = column(self.add, name)?.as_primitive::<Int64Type>();
            body.insert(name.to_owned(), column.value(row).into());
        }
        let changes = column(self.add, "dataChange")?.as_boolean().value(row);
        body.insert("dataChange".to_owned(), changes.into());
        for (name, map) in [("partitionValues", self.partition), ("tags", self.tags)] {
            body.insert(name.to_owned(), Value::Object(members(map, row)?));
        }
        Ok(Value::Object(body))
    }
}

fn members(map: &MapArray, row: usize) -> Result<Map<String, Value>, String> {
    let entries = map.value(row);
    let (keys, values) = (column(&entries, "key")?, column(&entries, "value")?);
    Ok((0..entries.len())
        .filter_map(|at| {
            let value = text(values, at).map_or(Value::Null, Value::String);
            Some((text(keys, at)?, value))
        })
        .collect())
}

fn text(column: &arrow::array::ArrayRef, row: usize) -> Option<String> {
    let column = column.as_string::<i32>();
    column.is_valid(row).then(|| column.value(row).to_owned())
}
