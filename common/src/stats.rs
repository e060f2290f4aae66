//! Statistics of one file, as commits and manifests carry them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One bound of a column. Timestamps are whole microseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StatValue {
    /// A boolean column's bound.
    Bool(bool),
    /// An integer or timestamp (microseconds) column's bound.
    Int(i64),
    /// A string column's bound; never cut short.
    Text(String),
}

/// Bounds and null count of one column in one file. Absent bounds mean "not known".
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnStats {
    /// No value in the file is smaller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<StatValue>,
    /// No value in the file is larger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<StatValue>,
    /// Rows in which the column is NULL.
    pub nulls: u64,
}

/// Statistics by column name.
pub type FileStats = BTreeMap<String, ColumnStats>;
