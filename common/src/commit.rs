//! Commits: one Delta log version as JSON lines, built and parsed.
//!
//! Version 0 creates the table; every later version adds the files of sealed manifests. The lines
//! of a commit follow from its manifests, so that anyone can derive them again.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::date::{EventDate, rfc3339};
use crate::digest::Sha256Digest;
use crate::error::{FormatError, check_format};
use crate::ids::DeliveryId;
use crate::manifest::{FileEntry, QuarantineEntry};
use crate::schema::{COLUMNS, ColumnType, column_index, delta_schema_string};
use crate::stats::{ColumnStats, FileStats, StatValue};

/// Name of the writer feature that keeps other writers out of the table.
pub const WRITER_FEATURE: &str = "meshledger";

/// Sort of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Version 0: creates the table.
    Init,
    /// Adds the files of sealed manifests.
    Seal,
    /// Adds nothing: says that somebody seals, so that silence can be told from an end.
    Heartbeat,
    /// Adds nothing: stands in the place of a commit that was never signed, and names it.
    Repair,
    /// Files in the place of others, with the same rows. Read, and written by no program yet.
    Compact,
    /// Files that are no part of the table any more. Read, and written by no program yet.
    Expire,
}

impl Operation {
    /// Whether such a commit takes files out of the table.
    pub const fn removes(self) -> bool {
        matches!(self, Self::Compact | Self::Expire)
    }
}

/// A sealed manifest, as its commit names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestRef {
    /// The delivery, which gives the manifest's key.
    pub delivery: DeliveryId,
    /// SHA-256 of the manifest.
    pub sha256: Sha256Digest,
    /// Length of the manifest.
    pub bytes: u64,
    /// Indexes of the units that count, if not all do because others were held already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units_kept: Option<Vec<usize>>,
    /// Quarantine files this commit takes from the manifest (or a sealer wrote for kept units).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantine: Vec<QuarantineEntry>,
}

/// A Delta checkpoint, as the commit names it that vouches for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeltaCheckpointRef {
    /// Its version, below that of the commit that names it.
    pub version: u64,
    /// SHA-256 of the file.
    pub sha256: Sha256Digest,
    /// Length of the file.
    pub bytes: u64,
}

/// A commit that was refused, as the one names it that stands in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusedCommit {
    /// SHA-256 of its bytes.
    pub sha256: Sha256Digest,
    /// Length of its bytes.
    pub bytes: u64,
}

/// What is ours in `commitInfo`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitNote {
    /// Archive format.
    pub format: u32,
    /// Sort of commit.
    pub operation: Operation,
    /// The version this commit is.
    pub version: u64,
    /// SHA-256 of the previous version's bytes; absent at version 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_sha256: Option<Sha256Digest>,
    /// A Delta checkpoint of an earlier version, which this commit vouches for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta_checkpoint: Option<DeltaCheckpointRef>,
    /// The commit in whose place this one stands; with a repair only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusedCommit>,
    /// Manifests sealed here.
    #[serde(default)]
    pub manifests: Vec<ManifestRef>,
}

/// A parsed commit.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    /// When it was made, milliseconds since 1970 UTC; a claim, no proof.
    pub timestamp_millis: i64,
    /// Our note.
    pub note: CommitNote,
    /// Table id, at version 0.
    pub table_id: Option<String>,
    /// The table as version 0 creates it.
    pub creation: Option<Creation>,
    /// Files added.
    pub adds: Vec<FileEntry>,
    /// Paths of files that are no part of the table from here on.
    pub removes: Vec<String>,
}

/// The actions of version 0 that a Delta checkpoint repeats, as they stand there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Creation {
    /// `protocol`.
    pub protocol: Value,
    /// `metaData`.
    pub metadata: Value,
}

/// What `init` fixes for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    /// Table id, a UUID in text form.
    pub table_id: String,
    /// When, milliseconds since 1970 UTC.
    pub timestamp_millis: i64,
    /// Whether a writer feature of our own keeps other Delta writers out.
    pub fence: bool,
}

impl Genesis {
    /// Bytes of version 0.
    pub fn to_bytes(&self) -> Vec<u8> {
        let note = CommitNote {
            format: crate::FORMAT,
            operation: Operation::Init,
            version: 0,
            previous_sha256: None,
            delta_checkpoint: None,
            refused: None,
            manifests: Vec::new(),
        };
        let protocol = if self.fence {
            json!({
                "minReaderVersion": 1,
                "minWriterVersion": 7,
                "writerFeatures": ["appendOnly", "invariants", WRITER_FEATURE],
            })
        } else {
            json!({"minReaderVersion": 1, "minWriterVersion": 2})
        };
        let metadata = json!({
            "id": self.table_id,
            "name": crate::schema::EVENTS_TABLE,
            "format": {"provider": "parquet", "options": {}},
            "schemaString": delta_schema_string(),
            "partitionColumns": [crate::schema::EVENT_DATE],
            "createdTime": self.timestamp_millis,
            "configuration": {
                "delta.appendOnly": "false",
                "delta.enableExpiredLogCleanup": "false",
                "delta.logRetentionDuration": "interval 5218 weeks",
                "delta.deletedFileRetentionDuration": "interval 5218 weeks",
                "meshledger.format": crate::FORMAT.to_string(),
            },
        });
        lines(&[
            commit_info(self.timestamp_millis, &note),
            json!({"protocol": protocol}),
            json!({"metaData": metadata}),
        ])
    }
}

/// Bytes of a commit that adds nothing: a heartbeat or a repair.
pub fn empty_bytes(timestamp_millis: i64, note: &CommitNote) -> Vec<u8> {
    lines(&[commit_info(timestamp_millis, note)])
}

/// Bytes of a sealing commit: `commitInfo`, then one `add` a file in the order given.
pub fn seal_bytes(timestamp_millis: i64, note: &CommitNote, adds: &[FileEntry]) -> Vec<u8> {
    let mut actions = vec![commit_info(timestamp_millis, note)];
    actions.extend(adds.iter().map(|file| json!({"add": add_action(file, timestamp_millis)})));
    lines(&actions)
}

fn commit_info(timestamp_millis: i64, note: &CommitNote) -> Value {
    let operation = match note.operation {
        Operation::Init => "CREATE TABLE",
        Operation::Seal => "WRITE",
        Operation::Heartbeat => "HEARTBEAT",
        Operation::Repair => "REPAIR",
        Operation::Compact => "OPTIMIZE",
        Operation::Expire => "DELETE",
    };
    json!({"commitInfo": {
        "timestamp": timestamp_millis,
        "operation": operation,
        "operationParameters": {},
        "isBlindAppend": note.operation != Operation::Init && !note.operation.removes(),
        "engineInfo": crate::WRITER,
        "meshledger": note,
    }})
}

fn lines(actions: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for action in actions {
        bytes.extend_from_slice(action.to_string().as_bytes());
        bytes.push(b'\n');
    }
    bytes
}

/// The body of the `add` action of a file.
pub fn add_action(file: &FileEntry, timestamp_millis: i64) -> Value {
    let mut add = json!({
        "path": file.path,
        "partitionValues": {"event_date": file.event_date},
        "size": file.bytes,
        "modificationTime": timestamp_millis,
        "dataChange": true,
        "stats": delta_stats(file).to_string(),
        "tags": {
            "ma.sha256": file.sha256,
            "ma.rows": file.rows.to_string(),
            "ma.segment": file.segment,
            "ma.event_time_micros_min": file.event_time_micros_min.to_string(),
            "ma.event_time_micros_max": file.event_time_micros_max.to_string(),
            "ma.row_root": file.row_root,
            "ma.row_enc": crate::row::ENCODING,
        },
    });
    if let Some(version) = &file.version {
        add["tags"]["ma.s3_version"] = json!(version);
    }
    add
}

/// Delta statistics: timestamps as text with milliseconds, minima rounded down and maxima up.
fn delta_stats(file: &FileEntry) -> Value {
    let mut min = Map::new();
    let mut max = Map::new();
    let mut nulls = Map::new();
    for (name, column) in &file.stats {
        nulls.insert(name.clone(), json!(column.nulls));
        let is_time = column_index(name).is_some_and(|i| COLUMNS[i].kind == ColumnType::Timestamp);
        if let Some(value) = &column.min {
            min.insert(name.clone(), delta_value(value, is_time, 0));
        }
        if let Some(value) = &column.max {
            max.insert(name.clone(), delta_value(value, is_time, 999));
        }
    }
    json!({"numRecords": file.rows, "minValues": min, "maxValues": max, "nullCount": nulls})
}

fn delta_value(value: &StatValue, is_time: bool, round_up_micros: i64) -> Value {
    match value {
        StatValue::Int(micros) if is_time => {
            json!(rfc3339(micros.saturating_add(round_up_micros), 3))
        }
        StatValue::Int(number) => json!(number),
        StatValue::Bool(flag) => json!(flag),
        StatValue::Text(text) => json!(text),
    }
}

impl Commit {
    /// Parses a commit written by this format. Unknown actions, a second `commitInfo`, or numbers
    /// that contradict each other are errors: nobody else may write this log.
    ///
    /// # Errors
    /// Names the line and what was expected there.
    pub fn parse(version: u64, bytes: &[u8]) -> Result<Self, FormatError> {
        let key = crate::layout::commit_key(version);
        let wrong = |line: usize, expected: &str, found: &str| {
            FormatError::new(format!("{key} line {}", line + 1), expected, found)
        };
        let text = std::str::from_utf8(bytes)
            .map_err(|e| FormatError::new(&key, "UTF-8", e.to_string()))?;
        if !text.ends_with('\n') {
            return Err(FormatError::new(&key, "a newline at the end", "none"));
        }
        let mut commit: Option<Self> = None;
        let mut protocol = false;
        for (number, line) in text.lines().enumerate() {
            let action: Map<String, Value> = serde_json::from_str(line)
                .map_err(|e| wrong(number, "a JSON object", &e.to_string()))?;
            let mut fields = action.into_iter();
            let (Some((name, body)), None) = (fields.next(), fields.next()) else {
                return Err(wrong(number, "an object with exactly one action", line));
            };
            match (name.as_str(), &mut commit) {
                ("commitInfo", None) if number == 0 => {
                    commit = Some(parse_info(version, &body).map_err(|e| e.within(&key))?);
                }
                ("protocol", Some(commit)) if version == 0 && !protocol => {
                    check_protocol(&body).map_err(|e| e.within(&key))?;
                    protocol = true;
                    commit.creation.get_or_insert_default().protocol = body;
                }
                ("metaData", Some(commit)) if version == 0 && commit.table_id.is_none() => {
                    commit.table_id = Some(parse_metadata(&body).map_err(|e| e.within(&key))?);
                    commit.creation.get_or_insert_default().metadata = body;
                }
                ("add", Some(commit)) if version > 0 => {
                    let is_new = !commit.note.operation.removes();
                    let file = parse_add_of(body, is_new).map_err(|e| e.within(&key))?;
                    commit.adds.push(file);
                }
                ("remove", Some(commit)) if commit.note.operation.removes() => {
                    let is_loss = commit.note.operation == Operation::Expire;
                    commit.removes.push(parse_remove(body, is_loss).map_err(|e| e.within(&key))?);
                }
                _ => return Err(wrong(number, "an action that may stand here", &name)),
            }
        }
        let commit = commit.ok_or_else(|| wrong(0, "commitInfo", "nothing"))?;
        let note = &commit.note;
        if let Some(expected) = commit.contradiction() {
            let (adds, removes) = (commit.adds.len(), commit.removes.len());
            let manifests = note.manifests.len();
            let found = format!("{manifests} manifests, {adds} adds, {removes} removes");
            return Err(FormatError::new(&key, expected, found));
        }
        if version == 0 && (!protocol || commit.table_id.is_none()) {
            return Err(FormatError::new(&key, "protocol and metaData", "one is missing"));
        }
        Ok(commit)
    }
}

impl Commit {
    /// What a commit of this operation must be and this one is not.
    const fn contradiction(&self) -> Option<&'static str> {
        let (is_named, is_added) = (!self.note.manifests.is_empty(), !self.adds.is_empty());
        let is_removed = !self.removes.is_empty();
        match self.note.operation {
            Operation::Init | Operation::Seal => None,
            Operation::Heartbeat | Operation::Repair if is_named || is_added => {
                Some("a commit that adds nothing")
            }
            Operation::Compact if is_named || !is_added || !is_removed => {
                Some("adds in the place of removes, and no manifests")
            }
            Operation::Expire if is_named || is_added || !is_removed => Some("removes alone"),
            _ => None,
        }
    }
}

/// Reads the body of a `remove` action: the path.
fn parse_remove(body: Value, is_loss: bool) -> Result<String, FormatError> {
    let remove: Remove = serde_json::from_value(body)
        .map_err(|e| FormatError::new("remove", "this format's remove", e.to_string()))?;
    if remove.data_change != is_loss {
        let expected = format!("dataChange {is_loss}");
        return Err(FormatError::new(&remove.path, expected, remove.data_change.to_string()));
    }
    match crate::layout::parse(&remove.path) {
        crate::layout::Place::Data(..) => Ok(remove.path),
        _ => Err(FormatError::new("remove", "the path of a data file", &remove.path)),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Remove {
    path: String,
    #[serde(rename = "deletionTimestamp")]
    _deletion_timestamp: i64,
    data_change: bool,
}

fn parse_info(version: u64, body: &Value) -> Result<Commit, FormatError> {
    let timestamp_millis = body
        .get("timestamp")
        .and_then(Value::as_i64)
        .ok_or_else(|| FormatError::new("commitInfo.timestamp", "milliseconds", "none"))?;
    let note = body.get("meshledger").cloned().unwrap_or(Value::Null);
    check_format("commitInfo", note.get("format").and_then(Value::as_u64))?;
    let note: CommitNote = serde_json::from_value(note)
        .map_err(|e| FormatError::new("commitInfo.meshledger", "a commit note", e.to_string()))?;
    if note.version != version {
        let found = note.version.to_string();
        return Err(FormatError::new("commitInfo version", version.to_string(), found));
    }
    if (note.operation == Operation::Init) != (version == 0)
        || note.previous_sha256.is_none() != (version == 0)
    {
        return Err(FormatError::new(
            "commitInfo",
            "init without, seal with previous_sha256",
            format!("{:?}", note.operation),
        ));
    }
    if let Some(named) = note.delta_checkpoint
        && !(1..version).contains(&named.version)
    {
        let expected = format!("a version from 1 to below {version}");
        return Err(FormatError::new("delta_checkpoint", expected, named.version.to_string()));
    }
    if note.refused.is_some() != (note.operation == Operation::Repair) {
        let found = format!("{:?}", note.operation);
        return Err(FormatError::new("commitInfo", "a refused commit with a repair only", found));
    }
    let (adds, removes) = (Vec::new(), Vec::new());
    Ok(Commit { timestamp_millis, note, table_id: None, creation: None, adds, removes })
}

fn check_protocol(body: &Value) -> Result<(), FormatError> {
    match body.get("minReaderVersion").and_then(Value::as_i64) {
        Some(1) => Ok(()),
        other => Err(FormatError::new("protocol.minReaderVersion", "1", format!("{other:?}"))),
    }
}

/// Reads the table id out of a `metaData` action, and checks that the table is this format's.
///
/// # Errors
/// Names what is not as it should be.
pub fn parse_metadata(body: &Value) -> Result<String, FormatError> {
    let text = |name: &str| {
        body.get(name)
            .and_then(Value::as_str)
            .ok_or_else(|| FormatError::new(format!("metaData.{name}"), "text", "none"))
    };
    if text("schemaString")? != delta_schema_string() {
        return Err(FormatError::new("metaData.schemaString", "this format's schema", "another"));
    }
    Ok(text("id")?.to_owned())
}

/// Reads a line of a commit that adds a file.
///
/// # Errors
/// If it is any other line.
pub fn parse_add_line(line: &str) -> Result<FileEntry, FormatError> {
    let wrong = |found: &str| FormatError::new("line of a commit", "an add", found);
    let action: Map<String, Value> =
        serde_json::from_str(line).map_err(|e| wrong(&e.to_string()))?;
    let mut fields = action.into_iter();
    match (fields.next(), fields.next()) {
        (Some((name, body)), None) if name == "add" => parse_add(body),
        _ => Err(wrong(line)),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Add {
    path: String,
    partition_values: PartitionValues,
    size: u64,
    #[serde(rename = "modificationTime")]
    _modification_time: i64,
    data_change: bool,
    stats: String,
    tags: Tags,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartitionValues {
    event_date: EventDate,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tags {
    #[serde(rename = "ma.sha256")]
    sha256: Sha256Digest,
    #[serde(rename = "ma.rows")]
    rows: String,
    #[serde(rename = "ma.segment")]
    segment: crate::ids::SegmentId,
    #[serde(rename = "ma.event_time_micros_min")]
    event_time_micros_min: String,
    #[serde(rename = "ma.event_time_micros_max")]
    event_time_micros_max: String,
    #[serde(rename = "ma.row_root")]
    row_root: Sha256Digest,
    #[serde(rename = "ma.row_enc")]
    row_enc: String,
    #[serde(rename = "ma.s3_version")]
    version: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct DeltaStats {
    num_records: u64,
    min_values: Map<String, Value>,
    max_values: Map<String, Value>,
    null_count: Map<String, Value>,
}

/// Reads the body of an `add` action, of a commit or a Delta checkpoint.
///
/// # Errors
/// Names what is not as it should be.
pub fn parse_add(body: Value) -> Result<FileEntry, FormatError> {
    parse_add_of(body, true)
}

/// As [`parse_add`], of a file that brings rows or, in a compaction, has rows that were there.
fn parse_add_of(body: Value, is_new: bool) -> Result<FileEntry, FormatError> {
    let add: Add = serde_json::from_value(body)
        .map_err(|e| FormatError::new("add", "this format's add", e.to_string()))?;
    let number = |name: &str, text: &str| -> Result<i64, FormatError> {
        text.parse().map_err(|_| FormatError::new(name, "an integer", text))
    };
    let rows = number("ma.rows", &add.tags.rows)?;
    let entry = FileEntry {
        sha256: add.tags.sha256,
        bytes: add.size,
        rows: u64::try_from(rows)
            .map_err(|_| FormatError::new("ma.rows", "a count", &add.tags.rows))?,
        segment: add.tags.segment,
        event_date: add.partition_values.event_date,
        event_time_micros_min: number("ma.event_time_micros_min", &add.tags.event_time_micros_min)?,
        event_time_micros_max: number("ma.event_time_micros_max", &add.tags.event_time_micros_max)?,
        row_root: add.tags.row_root,
        stats: parse_stats(&add.path, &add.stats, rows)?,
        version: add.tags.version,
        path: add.path,
    };
    if add.tags.row_enc != crate::row::ENCODING {
        return Err(FormatError::new("ma.row_enc", crate::row::ENCODING, &add.tags.row_enc));
    }
    if add.data_change != is_new {
        let (expected, found) = (format!("dataChange {is_new}"), add.data_change.to_string());
        return Err(FormatError::new(&entry.path, expected, found));
    }
    entry.check()?;
    Ok(entry)
}

fn parse_stats(path: &str, text: &str, rows: i64) -> Result<FileStats, FormatError> {
    let place = format!("{path} stats");
    let stats: DeltaStats = serde_json::from_str(text)
        .map_err(|e| FormatError::new(&place, "Delta statistics", e.to_string()))?;
    if i64::try_from(stats.num_records) != Ok(rows) {
        let found = stats.num_records.to_string();
        return Err(FormatError::new(&place, format!("numRecords {rows}"), found));
    }
    let mut columns = FileStats::new();
    for (name, nulls) in &stats.null_count {
        let index = column_index(name)
            .ok_or_else(|| FormatError::new(&place, "a column of mesh_events", name))?;
        let kind = COLUMNS[index].kind;
        let bound = |values: &Map<String, Value>| -> Result<Option<StatValue>, FormatError> {
            values.get(name).map(|value| stat_value(&place, kind, value)).transpose()
        };
        let nulls = nulls
            .as_u64()
            .ok_or_else(|| FormatError::new(&place, "a null count", nulls.to_string()))?;
        let column =
            ColumnStats { min: bound(&stats.min_values)?, max: bound(&stats.max_values)?, nulls };
        columns.insert(name.clone(), column);
    }
    let unknown = stats
        .min_values
        .keys()
        .chain(stats.max_values.keys())
        .find(|name| !columns.contains_key(*name));
    match unknown {
        Some(name) => Err(FormatError::new(&place, "a nullCount for each column", name)),
        None => Ok(columns),
    }
}

fn stat_value(place: &str, kind: ColumnType, value: &Value) -> Result<StatValue, FormatError> {
    let parsed = match (kind, value) {
        (ColumnType::Utf8, Value::String(text)) => Some(StatValue::Text(text.clone())),
        (ColumnType::Boolean, Value::Bool(flag)) => Some(StatValue::Bool(*flag)),
        (ColumnType::Int32 | ColumnType::Int64, Value::Number(n)) => n.as_i64().map(StatValue::Int),
        (ColumnType::Timestamp, Value::String(text)) => millis_text(text).map(StatValue::Int),
        _ => None,
    };
    parsed.ok_or_else(|| FormatError::new(place, format!("a {kind:?} bound"), value.to_string()))
}

/// Reads exactly the form [`rfc3339`] writes with three digits.
fn millis_text(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let date: EventDate = date.parse().ok()?;
    let time = time.strip_suffix('Z')?;
    let (clock, millis) = time.split_once('.')?;
    let mut total = 0i64;
    for part in clock.split(':') {
        total = total * 60 + part.parse::<i64>().ok()?;
    }
    let millis: i64 = millis.parse().ok()?;
    Some(date.start_micros() + total * 1_000_000 + millis * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SegmentId;

    fn file() -> FileEntry {
        let sha256 = Sha256Digest::of(b"file");
        let event_date = EventDate::of_micros(1_793_614_531_004_321);
        let delivery = DeliveryId(Sha256Digest::of(b"delivery"));
        FileEntry {
            path: crate::layout::data_key(event_date, sha256),
            sha256,
            bytes: 4,
            rows: 3,
            segment: SegmentId::of(delivery, event_date),
            event_date,
            event_time_micros_min: 1_793_614_531_004_321,
            event_time_micros_max: 1_793_614_531_004_999,
            row_root: Sha256Digest::of(b"rows"),
            stats: FileStats::from([
                (
                    "event_time".to_owned(),
                    ColumnStats {
                        min: Some(StatValue::Int(1_793_614_531_004_321)),
                        max: Some(StatValue::Int(1_793_614_531_004_999)),
                        nulls: 0,
                    },
                ),
                (
                    "principal".to_owned(),
                    ColumnStats {
                        min: Some(StatValue::Text("a\"\u{e9}".to_owned())),
                        max: None,
                        nulls: 2,
                    },
                ),
            ]),
            version: Some("v1".to_owned()),
        }
    }

    #[test]
    fn a_commit_reads_back_with_time_bounds_rounded_outwards() {
        let note = CommitNote {
            format: crate::FORMAT,
            operation: Operation::Seal,
            version: 5,
            previous_sha256: Some(Sha256Digest::of(b"4")),
            delta_checkpoint: None,
            refused: None,
            manifests: Vec::new(),
        };
        let bytes = seal_bytes(1_793_614_600_000, &note, &[file()]);
        let commit = Commit::parse(5, &bytes).unwrap();
        assert_eq!(commit.note, note);
        let read = &commit.adds[0];
        assert_eq!(read.event_time_micros_min, file().event_time_micros_min);
        let time = &read.stats["event_time"];
        assert_eq!(time.min, Some(StatValue::Int(1_793_614_531_004_000)));
        assert_eq!(time.max, Some(StatValue::Int(1_793_614_531_005_000)));
        assert_eq!(read.stats["principal"], file().stats["principal"]);
        assert_eq!(read.version.as_deref(), Some("v1"));
    }

    #[test]
    fn another_format_or_row_encoding_is_refused_by_name() {
        let note = CommitNote {
            format: crate::FORMAT,
            operation: Operation::Seal,
            version: 5,
            previous_sha256: Some(Sha256Digest::of(b"4")),
            refused: None,
            manifests: Vec::new(),
            delta_checkpoint: None,
        };
        let text = String::from_utf8(seal_bytes(0, &note, &[file()])).unwrap();
        let refused = |from: &str, to: &str, expected: &str| {
            assert!(text.contains(from), "{text}");
            let error = Commit::parse(5, text.replace(from, to).as_bytes()).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        };
        refused("\"format\":1", "\"format\":0", "expected archive format 1, found format 0");
        refused("\"format\":1,", "", "expected archive format 1, found none");
        refused("row/v1", "row/v2", "ma.row_enc: expected row/v1, found row/v2");
        refused("\"ma.row_enc\":\"row/v1\",", "", "ma.row_enc");
        let root = Sha256Digest::of(b"rows").to_hex();
        refused(&root, &root.to_uppercase(), "64 lower-case hex digits");
    }

    #[test]
    fn commits_that_remove_read_back_and_remove_files_of_the_table_alone() {
        let path = &file().path;
        let text = |operation, change: bool, path: &str, has_add: bool| {
            let note = CommitNote {
                format: crate::FORMAT,
                operation,
                version: 5,
                previous_sha256: Some(Sha256Digest::of(b"4")),
                delta_checkpoint: None,
                refused: None,
                manifests: Vec::new(),
            };
            let add = String::from_utf8(seal_bytes(7, &note, &[file()])).unwrap();
            let add = add.replace("\"dataChange\":true", &format!("\"dataChange\":{change}"));
            let (info, add) = add.split_once('\n').unwrap();
            let remove = json!({"remove": {
                "path": path, "deletionTimestamp": 7, "dataChange": change,
            }});
            format!("{info}\n{remove}\n{}", if has_add { add } else { "" })
        };
        for (operation, change, path, has_add, is_right) in [
            (Operation::Compact, false, &**path, true, true),
            (Operation::Expire, true, path, false, true),
            (Operation::Compact, true, path, true, false),
            (Operation::Compact, false, path, false, false),
            (Operation::Expire, false, path, false, false),
            (Operation::Expire, true, path, true, false),
            (Operation::Expire, true, "manifests/x.json", false, false),
            (Operation::Expire, true, "../elsewhere", false, false),
            (Operation::Seal, true, path, true, false),
            (Operation::Heartbeat, true, path, false, false),
        ] {
            let text = text(operation, change, path, has_add);
            let parsed = Commit::parse(5, text.as_bytes());
            assert_eq!(parsed.is_ok(), is_right, "{parsed:?}: {text}");
            if let Ok(commit) = parsed {
                assert_eq!(commit.removes, [path]);
                assert_eq!(commit.adds.len(), usize::from(has_add));
            }
        }
    }

    #[test]
    fn commits_that_add_nothing_read_back_and_add_nothing() {
        let refused = RefusedCommit { sha256: Sha256Digest::of(b"bad"), bytes: 3 };
        let manifest = ManifestRef {
            delivery: DeliveryId(Sha256Digest::of(b"d")),
            sha256: Sha256Digest::of(b"m"),
            bytes: 1,
            units_kept: None,
            quarantine: Vec::new(),
        };
        for (operation, refused, named, adds, is_right) in [
            (Operation::Heartbeat, None, vec![], vec![], true),
            (Operation::Repair, Some(refused), vec![], vec![], true),
            (Operation::Heartbeat, Some(refused), vec![], vec![], false),
            (Operation::Repair, None, vec![], vec![], false),
            (Operation::Seal, Some(refused), vec![], vec![], false),
            (Operation::Heartbeat, None, vec![manifest.clone()], vec![], false),
            (Operation::Heartbeat, None, vec![], vec![file()], false),
            (Operation::Repair, Some(refused), vec![manifest], vec![], false),
            (Operation::Repair, Some(refused), vec![], vec![file()], false),
        ] {
            let note = CommitNote {
                format: crate::FORMAT,
                operation,
                version: 5,
                previous_sha256: Some(Sha256Digest::of(b"4")),
                delta_checkpoint: None,
                refused,
                manifests: named,
            };
            let bytes = seal_bytes(7, &note, &adds);
            let parsed = Commit::parse(5, &bytes);
            assert_eq!(parsed.is_ok(), is_right, "{note:?}");
            if let Ok(commit) = parsed {
                assert_eq!((commit.timestamp_millis, commit.note), (7, note.clone()));
                assert_eq!(empty_bytes(7, &note), bytes);
            }
        }
    }

    #[test]
    fn version_zero_reads_back_and_other_versions_refuse_it() {
        let genesis = Genesis { table_id: "id".into(), timestamp_millis: 1, fence: true };
        let bytes = genesis.to_bytes();
        assert_eq!(Commit::parse(0, &bytes).unwrap().table_id.as_deref(), Some("id"));
        assert!(Commit::parse(1, &bytes).is_err());
        assert!(Commit::parse(0, &bytes[..bytes.len() - 1]).is_err());
    }
}
