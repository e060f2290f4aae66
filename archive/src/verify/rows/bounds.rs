//! Bounds and null counts that are claimed, and those of values that were seen.

use std::cmp::Ordering;

use common::schema::ColumnType;
use common::stats::StatValue;
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;

/// One value of a column, or one item of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Bool(bool),
    Int32(i32),
    /// A time too, in microseconds.
    Int64(i64),
    Text(&'a [u8]),
}

impl Value<'_> {
    /// In the order of Parquet's statistics; values of one column are of one sort.
    fn order(&self, other: &Value<'_>) -> Ordering {
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Int32(a), Value::Int32(b)) => a.cmp(b),
            (Value::Int64(a), Value::Int64(b)) => a.cmp(b),
            (Value::Text(a), Value::Text(b)) => a.cmp(b),
            _ => Ordering::Equal,
        }
    }

    /// Whether a bloom filter knows the value.
    pub(super) fn is_in(&self, filter: &Sbbf) -> bool {
        match self {
            Value::Bool(value) => filter.check(value),
            Value::Int32(value) => filter.check(value),
            Value::Int64(value) => filter.check(value),
            Value::Text(value) => filter.check(*value),
        }
    }

    fn owned(&self) -> Bound {
        match *self {
            Value::Bool(value) => Bound::Bool(value),
            Value::Int32(value) => Bound::Int32(value),
            Value::Int64(value) => Bound::Int64(value),
            Value::Text(value) => Bound::Text(value.to_vec()),
        }
    }
}

/// A value that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bound {
    Bool(bool),
    Int32(i32),
    Int64(i64),
    Text(Vec<u8>),
}

impl Bound {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Int32(value) => Value::Int32(*value),
            Self::Int64(value) => Value::Int64(*value),
            Self::Text(value) => Value::Text(value),
        }
    }

    fn stat(&self) -> StatValue {
        match self {
            Self::Bool(value) => StatValue::Bool(*value),
            Self::Int32(value) => StatValue::Int((*value).into()),
            Self::Int64(value) => StatValue::Int(*value),
            Self::Text(value) => StatValue::Text(String::from_utf8_lossy(value).into_owned()),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Int32(value) => value.to_string(),
            Self::Int64(value) => value.to_string(),
            Self::Text(value) => {
                let text: String = String::from_utf8_lossy(value).chars().take(80).collect();
                format!("{text:?}")
            }
        }
    }
}

/// What some rows have in a column.
#[derive(Debug, Default)]
pub(super) struct Seen {
    min: Option<Bound>,
    max: Option<Bound>,
    /// Rows without a value; for a list, those without an item.
    nulls: u64,
}

impl Seen {
    pub(super) fn value(&mut self, value: Value<'_>) {
        if self.min.as_ref().is_none_or(|min| value.order(&min.value()).is_lt()) {
            self.min = Some(value.owned());
        }
        if self.max.as_ref().is_none_or(|max| value.order(&max.value()).is_gt()) {
            self.max = Some(value.owned());
        }
    }

    pub(super) fn null(&mut self) {
        self.nulls = self.nulls.saturating_add(1);
    }

    pub(super) fn nulls(&self) -> u64 {
        self.nulls
    }

    pub(super) fn min(&self) -> Option<StatValue> {
        self.min.as_ref().map(Bound::stat)
    }

    pub(super) fn max(&self) -> Option<StatValue> {
        self.max.as_ref().map(Bound::stat)
    }

    pub(super) fn add(&mut self, other: Self) {
        self.nulls = self.nulls.saturating_add(other.nulls);
        for bound in [other.min, other.max].into_iter().flatten() {
            self.value(bound.value());
        }
    }
}

/// What is claimed of a column of a row group or page. What is `None` is not claimed.
#[derive(Debug, Default)]
pub(super) struct Claim {
    min: Option<Bound>,
    max: Option<Bound>,
    min_is_exact: bool,
    max_is_exact: bool,
    nulls: Option<u64>,
}

impl Claim {
    /// What is wrong with it, given what is there: expected and found.
    pub(super) fn contradicts(&self, seen: &Seen) -> Option<(String, String)> {
        let say = |what: &str, bound: &Bound| format!("{what} {}", bound.shown());
        if let Some(nulls) = self.nulls.filter(|nulls| *nulls != seen.nulls) {
            return Some((format!("null count {}", seen.nulls), format!("null count {nulls}")));
        }
        let sides = [
            ("minimum", &self.min, &seen.min, self.min_is_exact, Ordering::Greater),
            ("maximum", &self.max, &seen.max, self.max_is_exact, Ordering::Less),
        ];
        for (what, claimed, there, is_exact, hides) in sides {
            // A bound of no values hides none; whoever calls it exact claims that it is there.
            let (Some(claimed), Some(there)) = (claimed, there) else {
                match claimed {
                    Some(claimed) if is_exact => {
                        return Some((format!("no {what}, being all NULL"), say(what, claimed)));
                    }
                    _ => continue,
                }
            };
            let order = claimed.value().order(&there.value());
            if order == hides || (is_exact && order.is_ne()) {
                return Some((say(what, there), say(what, claimed)));
            }
        }
        None
    }
}

/// What the statistics of a column chunk claim. Bounds of numbers and booleans are exact values,
/// those of texts if they say so (format 8.3).
///
/// # Errors
/// Says of which type they are, if not of the column's.
pub(super) fn chunk_claim(kind: ColumnType, statistics: &Statistics) -> Result<Claim, String> {
    let (min, max) = match (kind, statistics) {
        (ColumnType::Boolean, Statistics::Boolean(it)) => {
            let bound = |value: Option<&bool>| value.map(|value| Bound::Bool(*value));
            (bound(it.min_opt()), bound(it.max_opt()))
        }
        (ColumnType::Int32, Statistics::Int32(it)) => {
            let bound = |value: Option<&i32>| value.map(|value| Bound::Int32(*value));
            (bound(it.min_opt()), bound(it.max_opt()))
        }
        (ColumnType::Int64 | ColumnType::Timestamp, Statistics::Int64(it)) => {
            let bound = |value: Option<&i64>| value.map(|value| Bound::Int64(*value));
            (bound(it.min_opt()), bound(it.max_opt()))
        }
        (ColumnType::Utf8 | ColumnType::ListUtf8, Statistics::ByteArray(it)) => {
            let bound = |value: Option<&[u8]>| value.map(|value| Bound::Text(value.to_vec()));
            (bound(it.min_bytes_opt()), bound(it.max_bytes_opt()))
        }
        (_, other) => return Err(other.physical_type().to_string()),
    };
    let is_text = matches!(kind, ColumnType::Utf8 | ColumnType::ListUtf8);
    Ok(Claim {
        min,
        max,
        min_is_exact: !is_text || statistics.min_is_exact(),
        max_is_exact: !is_text || statistics.max_is_exact(),
        nulls: statistics.null_count_opt(),
    })
}

/// What a page index claims of the pages of a column chunk, and what their rows have.
#[derive(Debug)]
pub(super) struct PageClaims {
    /// The first row of each page.
    firsts: Vec<usize>,
    /// Whether each page is said to be all NULL, and what is said of it besides.
    claims: Vec<(bool, Claim)>,
    /// Whether bounds are said to grow, or to shrink, from page to page.
    order: Option<Ordering>,
    seen: Vec<Seen>,
    /// Rows that have a value, page by page.
    values: Vec<bool>,
    /// The page of the row before.
    page: usize,
}

impl PageClaims {
    /// `None` if there is no such index.
    ///
    /// # Errors
    /// Says what is wrong with an index that can not be one of this column.
    pub(super) fn of(
        metadata: &ParquetMetaData,
        group: usize,
        column: usize,
        kind: ColumnType,
    ) -> Result<Option<Self>, String> {
        let index = metadata.column_index().and_then(|it| it.get(group)?.get(column));
        let Some(index) = index.filter(|it| !matches!(it, ColumnIndexMetaData::NONE)) else {
            return Ok(None);
        };
        let offsets = metadata.offset_index().and_then(|it| it.get(group)?.get(column));
        let offsets = offsets.ok_or("bounds of pages, and no places of pages")?;
        let firsts = offsets.page_locations().iter().map(|it| usize::try_from(it.first_row_index));
        let firsts: Vec<usize> =
            firsts.collect::<Result<_, _>>().map_err(|_| "a page that begins before row 0")?;
        let pages = usize::try_from(index.num_pages()).unwrap_or(usize::MAX);
        if pages != firsts.len() || firsts.first() != Some(&0) || !firsts.is_sorted() {
            return Err(format!("bounds of {pages} pages, places of {}", firsts.len()));
        }
        let claims =
            (0..pages).map(|page| Ok((index.is_null_page(page), claim(index, page, kind)?)));
        let order = match index.get_boundary_order().map(|order| order.to_string()).as_deref() {
            Some("ASCENDING") => Some(Ordering::Less),
            Some("DESCENDING") => Some(Ordering::Greater),
            _ => None,
        };
        Ok(Some(Self {
            claims: claims.collect::<Result<_, String>>()?,
            order,
            seen: firsts.iter().map(|_| Seen::default()).collect(),
            values: vec![false; pages],
            page: 0,
            firsts,
        }))
    }

    fn page_of(&mut self, row: usize) -> usize {
        while self.firsts.get(self.page + 1).is_some_and(|first| *first <= row) {
            self.page += 1;
        }
        self.page
    }

    pub(super) fn value(&mut self, row: usize, value: Value<'_>) {
        let page = self.page_of(row);
        self.seen[page].value(value);
        self.values[page] = true;
    }

    pub(super) fn null(&mut self, row: usize) {
        let page = self.page_of(row);
        self.seen[page].null();
    }

    /// What is wrong with the claims, all rows of the row group having come.
    pub(super) fn contradicts(&self, rows: usize) -> Option<(String, String)> {
        if let Some(last) = self.firsts.last().filter(|last| **last >= rows.max(1)) {
            return Some((format!("pages of {rows} rows"), format!("a page from row {last} on")));
        }
        for (page, ((is_null, claim), seen)) in self.claims.iter().zip(&self.seen).enumerate() {
            if *is_null && self.values[page] {
                return Some((
                    format!("values in page {page}"),
                    "a page that is all NULL".to_owned(),
                ));
            }
            // The bounds of a page that is all NULL mean nothing.
            let claim =
                if *is_null { &Claim { nulls: claim.nulls, ..Claim::default() } } else { claim };
            if let Some((expected, found)) = claim.contradicts(seen) {
                return Some((format!("{expected} in page {page}"), found));
            }
        }
        self.order.and_then(|order| self.is_out_of_order(order)).map(|page| {
            let expected = "bounds of pages in the order that is said".to_owned();
            (expected, format!("page {page} out of order"))
        })
    }

    /// A page whose bounds do not go on as it is said, so that whoever searches by halves is
    /// led astray.
    fn is_out_of_order(&self, order: Ordering) -> Option<usize> {
        let pages = self.claims.iter().enumerate().filter(|(_, (is_null, _))| !is_null);
        let pages: Vec<(usize, &Claim)> = pages.map(|(page, (_, claim))| (page, claim)).collect();
        let goes_back = |a: &Option<Bound>, b: &Option<Bound>| match (a, b) {
            (Some(a), Some(b)) => a.value().order(&b.value()) == order.reverse(),
            _ => false,
        };
        let pair = pages.windows(2).find(|pair| {
            goes_back(&pair[0].1.min, &pair[1].1.min) || goes_back(&pair[0].1.max, &pair[1].1.max)
        });
        pair.map(|pair| pair[1].0)
    }
}

/// What an index says of a page: bounds, never called exact, and its rows without a value.
fn claim(index: &ColumnIndexMetaData, page: usize, kind: ColumnType) -> Result<Claim, String> {
    let (min, max) = match (kind, index) {
        (ColumnType::Boolean, ColumnIndexMetaData::BOOLEAN(it)) => {
            let bound = |value: Option<&bool>| value.map(|value| Bound::Bool(*value));
            (bound(it.min_value(page)), bound(it.max_value(page)))
        }
        (ColumnType::Int32, ColumnIndexMetaData::INT32(it)) => {
            let bound = |value: Option<&i32>| value.map(|value| Bound::Int32(*value));
            (bound(it.min_value(page)), bound(it.max_value(page)))
        }
        (ColumnType::Int64 | ColumnType::Timestamp, ColumnIndexMetaData::INT64(it)) => {
            let bound = |value: Option<&i64>| value.map(|value| Bound::Int64(*value));
            (bound(it.min_value(page)), bound(it.max_value(page)))
        }
        (ColumnType::Utf8 | ColumnType::ListUtf8, ColumnIndexMetaData::BYTE_ARRAY(it)) => {
            let bound = |value: Option<&[u8]>| value.map(|value| Bound::Text(value.to_vec()));
            (bound(it.min_value(page)), bound(it.max_value(page)))
        }
        _ => return Err("bounds of another type".to_owned()),
    };
    let nulls = index.null_count(page).and_then(|nulls| u64::try_from(nulls).ok());
    Ok(Claim { min, max, nulls, ..Claim::default() })
}
