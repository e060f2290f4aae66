//! Pages to a column chunk that the library's row group writer takes over.

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, PageType, Type};
use parquet::bloom_filter::Sbbf;
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats,
};
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use super::coded::Physical;
use super::hybrid;
use super::valid::put_length;

/// A data page and what indexes say of it.
#[derive(Debug)]
pub(super) struct DataPage {
    pub(super) bytes: Bytes,
    pub(super) uncompressed_bytes: usize,
    pub(super) encoding: Encoding,
    pub(super) rows: usize,
    pub(super) nulls: usize,
    /// Smallest and largest value; nothing if all are NULL.
    pub(super) bounds: Option<Bounds>,
}

/// A smallest and a largest value, without lengths.
pub(super) type Bounds = (Vec<u8>, Vec<u8>);

/// A dictionary page.
#[derive(Debug)]
pub(super) struct DictionaryPage {
    pub(super) bytes: Bytes,
    pub(super) uncompressed_bytes: usize,
    pub(super) values: usize,
}

/// One column of a row group, encoded.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) compression: Compression,
    pub(super) dictionary: Option<DictionaryPage>,
    pub(super) pages: Vec<DataPage>,
    pub(super) statistics: Statistics,
    /// Whether pages have bounds of their own in the column index.
    pub(super) index: bool,
    /// Tells values that are not there.
    pub(super) bloom: Option<Sbbf>,
}

/// Bounds in the column index are cut to this length: they prune just as well.
pub(super) const INDEX_BYTES_MAX: usize = 64;

impl Encoded {
    /// A column without any value, of whatever type: one page of levels.
    pub(super) fn nulls(column: &ColumnDescPtr, rows: usize) -> Self {
        let mut bytes = Vec::new();
        for max_level in [column.max_rep_level(), column.max_def_level()] {
            if max_level > 0 {
                let at = bytes.len();
                bytes.extend_from_slice(&[0; 4]);
                let width = hybrid::bit_width(u32::from(max_level.unsigned_abs()));
                hybrid::run(0, rows, width, &mut bytes);
                put_length(&mut bytes, at);
            }
        }
        let page = DataPage {
            uncompressed_bytes: bytes.len(),
            bytes: bytes.into(),
            encoding: Encoding::PLAIN,
            rows,
            nulls: rows,
            bounds: None,
        };
        let nulls = Some(rows as u64);
        let statistics = match column.physical_type() {
            Type::BOOLEAN => Statistics::boolean(None, None, None, nulls, false),
            Type::INT32 => Statistics::int32(None, None, None, nulls, false),
            Type::INT64 => Statistics::int64(None, None, None, nulls, false),
            _ => Statistics::byte_array(None, None, None, nulls, false),
        };
        let compression = Compression::UNCOMPRESSED;
        let (dictionary, pages) = (None, vec![page]);
        Self { compression, dictionary, pages, statistics, index: true, bloom: None }
    }

    /// The chunk's bytes and its description.
    pub(super) fn close(
        self,
        column: &ColumnDescPtr,
    ) -> Result<(Bytes, ColumnCloseResult), ParquetError> {
        let mut sink = TrackedWrite::new(Vec::new());
        let mut writer = SerializedPageWriter::new(&mut sink);
        let mut index = ColumnIndexBuilder::new(column.physical_type());
        let mut offsets = OffsetIndexBuilder::new();
        let (mut rows, mut uncompressed, mut compressed) = (0, 0, 0);
        let mut encodings = vec![Encoding::PLAIN, Encoding::RLE];
        let mut page_encodings = Vec::new();
        let (mut dictionary_offset, mut data_offset) = (None, None);
        if let Some(dictionary) = self.dictionary {
            let page = Page::DictionaryPage {
                buf: dictionary.bytes,
                num_values: narrow(dictionary.values)?,
                encoding: Encoding::PLAIN,
                is_sorted: false,
            };
            let page = CompressedPage::new(page, dictionary.uncompressed_bytes);
            let written = writer.write_page(page)?;
            dictionary_offset = Some(long(written.offset)?);
            uncompressed += written.uncompressed_size;
            compressed += written.compressed_size;
            count(&mut page_encodings, PageType::DICTIONARY_PAGE, Encoding::PLAIN);
            encodings.push(Encoding::RLE_DICTIONARY);
        }
        for page in self.pages {
            rows += page.rows;
            let null_page = page.bounds.is_none();
            let (min, max) = page.bounds.unwrap_or_default();
            let (min, max) = (cut_min(&min).0, cut_max(&max).0);
            index.append(null_page, min, max, long(page.nulls as u64)?);
            let data = Page::DataPage {
                buf: page.bytes,
                num_values: narrow(page.rows)?,
                encoding: page.encoding,
                def_level_encoding: Encoding::RLE,
                rep_level_encoding: Encoding::RLE,
                statistics: None,
            };
            let written = writer.write_page(CompressedPage::new(data, page.uncompressed_bytes))?;
            data_offset = data_offset.or(Some(long(written.offset)?));
            offsets.append_row_count(long(page.rows as u64)?);
            let size = i32::try_from(written.compressed_size).unwrap_or(i32::MAX);
            offsets.append_offset_and_size(long(written.offset)?, size);
            uncompressed += written.uncompressed_size;
            compressed += written.compressed_size;
            count(&mut page_encodings, PageType::DATA_PAGE, page.encoding);
        }
        writer.close()?;
        let metadata = ColumnChunkMetaData::builder(column.clone())
            .set_encodings(encodings)
            .set_page_encoding_stats(page_encodings)
            .set_num_values(long(rows as u64)?)
            .set_compression(self.compression)
            .set_total_compressed_size(long(compressed as u64)?)
            .set_total_uncompressed_size(long(uncompressed as u64)?)
            .set_data_page_offset(data_offset.unwrap_or_default())
            .set_dictionary_page_offset(dictionary_offset)
            .set_statistics(self.statistics)
            .build()?;
        let close = ColumnCloseResult {
            bytes_written: compressed as u64,
            rows_written: rows as u64,
            metadata,
            bloom_filter: self.bloom,
            column_index: self.index.then(|| index.build()).transpose()?,
            offset_index: Some(offsets.build()),
        };
        Ok((sink.into_inner()?.into(), close))
    }
}

fn count(stats: &mut Vec<PageEncodingStats>, page_type: PageType, encoding: Encoding) {
    let known = stats.iter_mut().find(|s| s.page_type == page_type && s.encoding == encoding);
    match known {
        Some(known) => known.count += 1,
        None => stats.push(PageEncodingStats { page_type, encoding, count: 1 }),
    }
}

/// Statistics of a column. Bounds too long to keep are cut, and marked as no exact values.
pub(super) fn statistics(
    physical: Physical,
    bounds: Option<Bounds>,
    nulls: usize,
    bytes_max: usize,
) -> Statistics {
    let nulls = Some(nulls as u64);
    let (min, max) = bounds.unzip();
    if physical != Physical::Text {
        let (min, max) = (min.map(|b| physical.number(&b)), max.map(|b| physical.number(&b)));
        if physical == Physical::Int64 {
            return Statistics::int64(min, max, None, nulls, false);
        }
        let narrow = |number: Option<i64>| number.and_then(|number| i32::try_from(number).ok());
        return Statistics::int32(narrow(min), narrow(max), None, nulls, false);
    }
    let keep = |value: Vec<u8>, cut: fn(&[u8]) -> (Vec<u8>, bool)| {
        if value.len() <= bytes_max { (value, true) } else { cut(&value) }
    };
    let (min, min_exact) = min.map(|min| keep(min, cut_min)).unzip();
    let (max, max_exact) = max.map(|max| keep(max, cut_max)).unzip();
    let (min, max) = (min.map(ByteArray::from), max.map(ByteArray::from));
    let statistics = ValueStatistics::new(min, max, None, nulls, false)
        .with_min_is_exact(min_exact.unwrap_or(false))
        .with_max_is_exact(max_exact.unwrap_or(false));
    Statistics::ByteArray(statistics)
}

/// A lower bound of at most [`INDEX_BYTES_MAX`] bytes, and whether it is the value itself.
fn cut_min(value: &[u8]) -> (Vec<u8>, bool) {
    if value.len() <= INDEX_BYTES_MAX {
        return (value.to_vec(), true);
    }
    let mut end = INDEX_BYTES_MAX;
    // Not inside a character.
    while end > 0 && value[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    (value[..end].to_vec(), false)
}

/// An upper bound, and whether it is the value itself. It is short if an ASCII character stands
/// where it is cut that has a greater one; else it is the whole value.
fn cut_max(value: &[u8]) -> (Vec<u8>, bool) {
    if value.len() <= INDEX_BYTES_MAX {
        return (value.to_vec(), true);
    }
    match value[..INDEX_BYTES_MAX].iter().rposition(|&byte| byte < 0x7f) {
        Some(at) => {
            let mut bound = value[..=at].to_vec();
            bound[at] += 1;
            (bound, false)
        }
        None => (value.to_vec(), true),
    }
}

fn narrow(number: usize) -> Result<u32, ParquetError> {
    u32::try_from(number).map_err(|_| ParquetError::General(format!("{number} values in a page")))
}

fn long(number: u64) -> Result<i64, ParquetError> {
    i64::try_from(number).map_err(|_| ParquetError::General(format!("{number} bytes in a chunk")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_bounds_are_bounds_and_text() {
        for value in [
            "a".repeat(64),
            "b".repeat(65),
            "é".repeat(50),
            "\\u{7f}".repeat(70),
            format!("x{}", "é".repeat(80)),
        ] {
            let (min, min_exact) = cut_min(value.as_bytes());
            let (max, max_exact) = cut_max(value.as_bytes());
            assert!(
                min.as_slice() <= value.as_bytes() && max.as_slice() >= value.as_bytes(),
                "{value}"
            );
            assert_eq!((min_exact, max_exact), (min == value.as_bytes(), max == value.as_bytes()));
            assert!(
                std::str::from_utf8(&min).is_ok() && std::str::from_utf8(&max).is_ok(),
                "{value}"
            );
        }
    }
}
