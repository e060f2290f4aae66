//! Statistics of one file, as commits and manifests carry them.

use std::collections::{BTreeMap, btree_map};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

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

/// Statistics by column name. Copies share them until one is changed, as each query looks at all
/// files of a snapshot of its own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FileStats(Arc<BTreeMap<String, ColumnStats>>);

impl FileStats {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Deref for FileStats {
    type Target = BTreeMap<String, ColumnStats>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for FileStats {
    fn deref_mut(&mut self) -> &mut Self::Target {
        Arc::make_mut(&mut self.0)
    }
}

impl<const N: usize> From<[(String, ColumnStats); N]> for FileStats {
    fn from(columns: [(String, ColumnStats); N]) -> Self {
        columns.into_iter().collect()
    }
}

impl FromIterator<(String, ColumnStats)> for FileStats {
    fn from_iter<T: IntoIterator<Item = (String, ColumnStats)>>(columns: T) -> Self {
        Self(Arc::new(columns.into_iter().collect()))
    }
}

impl<'a> IntoIterator for &'a FileStats {
    type Item = (&'a String, &'a ColumnStats);
    type IntoIter = btree_map::Iter<'a, String, ColumnStats>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl Serialize for FileStats {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_ref().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for FileStats {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(|columns| Self(Arc::new(columns)))
    }
}
