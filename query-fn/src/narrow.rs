//! The metadata of a Parquet file with the columns that a scan wants, and no others.
//!
//! For each file it opens, the engine walks the whole schema some times over, and a scan of three
//! columns among a hundred spends more on that than on its rows.

use std::sync::Arc;

use datafusion::parquet::arrow::ARROW_SCHEMA_META_KEY;
use datafusion::parquet::errors::Result;
use datafusion::parquet::file::metadata::{
    FileMetaData, ParquetMetaData, ParquetMetaDataBuilder, RowGroupMetaData,
};
use datafusion::parquet::schema::types::{SchemaDescPtr, SchemaDescriptor, Type};

/// The file as if it had only the top-level columns with these names, in the order in which it has
/// them; as it is, if it has none of them, as a scan that wants only to count needs some column.
///
/// # Errors
/// If the metadata makes no sense.
pub(crate) fn narrowed(
    metadata: &Arc<ParquetMetaData>,
    names: &[String],
) -> Result<Arc<ParquetMetaData>> {
    let file = metadata.file_metadata();
    let schema = file.schema_descr();
    let roots = schema.root_schema().get_fields();
    let is_wanted: Vec<bool> =
        roots.iter().map(|root| names.iter().any(|name| name == root.name())).collect();
    let wanted = roots.iter().zip(&is_wanted).filter(|(_, is_wanted)| **is_wanted);
    let wanted: Vec<_> = wanted.map(|(root, _)| Arc::clone(root)).collect();
    if wanted.is_empty() || wanted.len() == roots.len() {
        return Ok(Arc::clone(metadata));
    }
    let root = Type::group_type_builder(schema.name()).with_fields(wanted).build()?;
    let narrow: SchemaDescPtr = Arc::new(SchemaDescriptor::new(Arc::new(root)));
    let leaves = |leaf: &usize| {
        is_wanted.get(schema.get_column_root_idx(*leaf)).copied().unwrap_or_default()
    };
    let leaves: Vec<usize> = (0..schema.num_columns()).filter(leaves).collect();
    let orders = leaves.iter().map(|leaf| file.column_order(*leaf)).collect();
    let file = FileMetaData::new(
        file.version(),
        file.num_rows(),
        file.created_by().map(str::to_owned),
        file.key_value_metadata().map(|known| {
            // It would say of each column which type it has.
            known.iter().filter(|entry| entry.key != ARROW_SCHEMA_META_KEY).cloned().collect()
        }),
        Arc::clone(&narrow),
        file.column_orders().map(|_| orders),
    );
    let groups = metadata.row_groups().iter().map(|group| row_group(group, &narrow, &leaves));
    let builder = ParquetMetaDataBuilder::new(file)
        .set_row_groups(groups.collect::<Result<_>>()?)
        .set_column_index(metadata.column_index().map(|index| chosen(index, &leaves)))
        .set_offset_index(metadata.offset_index().map(|index| chosen(index, &leaves)));
    Ok(Arc::new(builder.build()))
}

fn row_group(
    group: &RowGroupMetaData,
    schema: &SchemaDescPtr,
    leaves: &[usize],
) -> Result<RowGroupMetaData> {
    let columns = leaves.iter().filter_map(|leaf| group.columns().get(*leaf)).cloned();
    let mut narrow = RowGroupMetaData::builder(Arc::clone(schema))
        .set_num_rows(group.num_rows())
        .set_total_byte_size(group.total_byte_size())
        .set_column_metadata(columns.collect());
    if let Some(ordinal) = group.ordinal() {
        narrow = narrow.set_ordinal(ordinal);
    }
    if let Some(offset) = group.file_offset() {
        narrow = narrow.set_file_offset(offset);
    }
    narrow.build()
}

/// Of each row group, what is said of these columns.
fn chosen<T: Clone>(index: &[Vec<T>], leaves: &[usize]) -> Vec<Vec<T>> {
    let pick =
        |group: &Vec<T>| leaves.iter().filter_map(|leaf| group.get(*leaf).cloned()).collect();
    index.iter().map(pick).collect()
}
