//! The table `mesh_events`: the files of one snapshot.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use archive::snapshot::{Snapshot, SnapshotFile};
use arrow::datatypes::{DataType, Field, SchemaRef};
use async_trait::async_trait;
use common::schema::{EVENT_DATE, file_schema};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::project_schema;
use datafusion::datasource::TableType;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::scalar::ScalarValue;

use crate::footers::Readers;
use crate::prune::{self, EVENT_TIME, Filters, Verdict};
use crate::read::{Scan, ScanFile, view_schema};

/// Events of a snapshot, for one query.
pub(crate) struct EventsTable {
    snapshot: Arc<Snapshot>,
    schema: TableSchema,
    verdicts: Arc<Verdicts>,
    readers: Readers,
}

/// What became of each file over all scans of a table in one query: the most that any scan may
/// read of it. Empty if no scan was planned.
#[derive(Debug, Default)]
pub(crate) struct Verdicts(Mutex<Vec<Verdict>>);

impl Verdicts {
    pub(crate) fn merge(&self, verdicts: &[Verdict]) {
        let mut merged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        merged.resize(verdicts.len(), Verdict::Partition);
        for (old, new) in merged.iter_mut().zip(verdicts) {
            *old = (*old).max(*new);
        }
    }

    pub(crate) fn count(&self, verdict: Verdict) -> u64 {
        let merged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        u64::try_from(merged.iter().filter(|v| **v == verdict).count()).unwrap_or(u64::MAX)
    }
}

impl EventsTable {
    pub(crate) fn new(snapshot: Arc<Snapshot>, verdicts: Arc<Verdicts>, readers: Readers) -> Self {
        let date = Arc::new(Field::new(EVENT_DATE, DataType::Date32, false));
        let schema = TableSchema::builder(view_schema(&file_schema()))
            .with_table_partition_cols(vec![date])
            .build();
        Self { snapshot, schema, verdicts, readers }
    }

    fn judge(&self, session: &dyn Session, filters: &Filters) -> Result<Vec<Verdict>> {
        let entries: Vec<_> = self.snapshot.files.iter().map(|file| &file.entry).collect();
        let physical = |expr, schema: &_| session.create_physical_expr(expr, schema);
        prune::prune(&entries, filters, self.schema.table_schema(), &physical)
    }
}

impl fmt::Debug for EventsTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "EventsTable(version {}, {} files)",
            self.snapshot.version,
            self.snapshot.files.len()
        )
    }
}

#[async_trait]
impl TableProvider for EventsTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.schema.table_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| {
            if prune::is_partition_filter(filter) {
                TableProviderFilterPushDown::Exact
            } else {
                // Statistics and the reader only narrow down; the rows are filtered above.
                TableProviderFilterPushDown::Inexact
            }
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let filters = Filters::of(filters);
        let verdicts = self.judge(session, &filters)?;
        self.verdicts.merge(&verdicts);
        let kept = self.snapshot.files.iter().zip(&verdicts);
        let kept = kept.filter(|(_, verdict)| **verdict == Verdict::Kept).map(|(file, _)| file);
        let event_time = self.schema.file_schema().index_of(EVENT_TIME)?;
        let files: Vec<ScanFile<'_>> = kept.map(|file| scan_file(file, event_time)).collect();
        if files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(project_schema(&self.schema(), projection)?)));
        }
        let scan = Scan {
            schema: &self.schema,
            projection,
            limit,
            selective: filters.are_selective(),
            threads: session.config().target_partitions(),
            readers: &self.readers,
        };
        scan.plan(&files)
    }
}

fn scan_file(file: &SnapshotFile, event_time: usize) -> ScanFile<'_> {
    let entry = &file.entry;
    let moment = |micros| ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()));
    ScanFile {
        path: &entry.path,
        bytes: entry.bytes,
        rows: entry.rows,
        kept_rows: file.kept_rows.as_deref(),
        partition: vec![ScalarValue::Date32(Some(entry.event_date.days()))],
        // Of a file with rows that do not count, the bounds may belong to such a row.
        bounds: file.kept_rows.is_none().then(|| {
            let (min, max) = (entry.event_time_micros_min, entry.event_time_micros_max);
            (event_time, moment(min), moment(max))
        }),
    }
}
