//! The table `mesh_events`: the files of one snapshot.

use std::fmt;
use std::sync::Arc;

use archive::snapshot::{Snapshot, SnapshotFile};
use arrow::datatypes::{DataType, Field, SchemaRef};
use async_trait::async_trait;
use common::schema::{EVENT_DATE, file_schema};
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::project_schema;
use datafusion::datasource::TableType;
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::scalar::ScalarValue;

use crate::footers::Readers;
use crate::note;
use crate::probe::Probe;
use crate::prune::{self, EVENT_TIME, Filters, Verdict};
use crate::read::{Scan, ScanFile, view_schema};
use crate::scans::{Condition, ScanRecord, Scans, Table, Why};

/// Events of a snapshot, for one query.
pub(crate) struct EventsTable {
    snapshot: Arc<Snapshot>,
    schema: TableSchema,
    scans: Scans,
    readers: Readers,
}

/// Columns of the table.
pub(crate) fn schema() -> TableSchema {
    let date = Arc::new(Field::new(EVENT_DATE, DataType::Date32, false));
    TableSchema::builder(view_schema(&file_schema())).with_table_partition_cols(vec![date]).build()
}

impl EventsTable {
    pub(crate) fn new(snapshot: Arc<Snapshot>, scans: Scans, readers: Readers) -> Self {
        Self { snapshot, schema: schema(), scans, readers }
    }

    /// What becomes of each file, and, if somebody wants to know, why.
    fn judge(&self, session: &dyn Session, filters: &Filters) -> Result<ScanRecord> {
        let entries: Vec<_> = self.snapshot.files.iter().map(|file| &file.entry).collect();
        let physical = |expr, schema: &_| session.create_physical_expr(expr, schema);
        let table = self.schema.table_schema();
        let verdicts = prune::prune(&entries, filters, table, &physical)?;
        let why = self.scans.say_why().then(|| {
            let blamed = prune::blame(&entries, &verdicts, filters, table, &physical);
            Why { conditions: filters.all().map(Condition::of).collect(), blamed }
        });
        Ok(ScanRecord::new(Table::Events, verdicts, why))
    }

    /// The files that are left, by where they stand in the snapshot.
    fn kept(&self, record: &ScanRecord) -> Result<(Vec<usize>, Vec<ScanFile<'_>>)> {
        let event_time = self.schema.file_schema().index_of(EVENT_TIME)?;
        let all = self.snapshot.files.iter().zip(record.verdicts()).enumerate();
        let kept = all.filter(|(_, (_, verdict))| **verdict == Verdict::Kept);
        Ok(kept.map(|(at, (file, _))| (at, scan_file(file, event_time))).unzip())
    }

    /// Leaves out the files of which no row can match what is looked up, as their ends say.
    async fn look<'a>(
        &self,
        session: &dyn Session,
        filters: &Filters,
        record: &mut ScanRecord,
        (at, files): (Vec<usize>, Vec<ScanFile<'a>>),
    ) -> Vec<ScanFile<'a>> {
        let physical = |expr, schema: &_| session.create_physical_expr(expr, schema);
        let probe = Probe::of(&self.readers, filters, self.schema.file_schema(), &physical);
        let Some(probe) = probe.filter(|_| !self.scans.is_planned_only()) else { return files };
        let seen = probe.look(&files, session.config().target_partitions()).await;
        let mut left = Vec::new();
        for ((at, file), seen) in at.into_iter().zip(files).zip(seen) {
            match seen {
                Some(work) => record.exclude(at, work),
                None => left.push(file),
            }
        }
        left
    }

    /// The scan of the files that are left.
    fn plan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &Filters,
        limit: Option<usize>,
        (files, record): (&[ScanFile<'_>], &ScanRecord),
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if files.is_empty() {
            let schema = project_schema(&self.schema(), projection)?;
            return match record.note() {
                // An empty source has room for a note, and is otherwise the same.
                Some(_) => {
                    let source = MemorySourceConfig::try_new(&[Vec::new()], schema, None)?;
                    Ok(DataSourceExec::from_data_source(source))
                }
                None => Ok(Arc::new(EmptyExec::new(schema))),
            };
        }
        let scan = Scan {
            schema: &self.schema,
            projection,
            limit,
            filters: filters.columns(self.schema.file_schema()),
            selective: filters.are_selective(),
            threads: session.config().target_partitions(),
            readers: &self.readers,
        };
        scan.plan(files)
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
        let mut record = self.judge(session, &filters)?;
        let kept = self.kept(&record)?;
        let files = self.look(session, &filters, &mut record, kept).await;
        let plan = self.plan(session, projection, &filters, limit, (&files, &record))?;
        record.watch(&plan);
        let plan = note::noted(plan, record.note());
        self.scans.keep(record);
        Ok(plan)
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
