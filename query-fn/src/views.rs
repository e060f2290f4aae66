//! The table `mesh_quarantine`: records that were not understood, with the reason.

use std::fmt;
use std::sync::Arc;

use archive::snapshot::{Snapshot, SnapshotQuarantine};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use common::ids::UnitId;
use common::schema::quarantine_schema;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, project_schema};
use datafusion::datasource::TableType;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, col, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExecBuilder;
use datafusion::physical_plan::union::UnionExec;
use datafusion::scalar::ScalarValue;

use crate::footers::Readers;
use crate::prune::Verdict;
use crate::read::{Scan, ScanFile, view_schema};
use crate::scans::{ScanRecord, Scans, Table};

/// Quarantine of a snapshot, for one query.
pub(crate) struct QuarantineTable {
    snapshot: Arc<Snapshot>,
    schema: TableSchema,
    scans: Scans,
    readers: Readers,
}

/// Columns of the table.
pub(crate) fn schema() -> TableSchema {
    TableSchema::from(view_schema(&quarantine_schema()))
}

impl QuarantineTable {
    pub(crate) fn new(snapshot: Arc<Snapshot>, scans: Scans, readers: Readers) -> Self {
        Self { snapshot, schema: schema(), scans, readers }
    }

    /// Scans a file of which only some units count: all columns, then a filter, then those wanted.
    fn scan_units(
        &self,
        session: &dyn Session,
        file: &SnapshotQuarantine,
        units: &[UnitId],
        projection: Option<&Vec<usize>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all = Scan { projection: None, limit: None, ..self.scan_options(session) };
        let input = all.plan(&[scan_file(file)])?;
        // The column is a view and no analyzer runs here: compare like with like.
        let unit = |id: &UnitId| lit(ScalarValue::Utf8View(Some(id.to_string())));
        let counts = col("unit").in_list(units.iter().map(unit).collect(), false);
        let schema = DFSchema::try_from(self.schema())?;
        let predicate = session.create_physical_expr(counts, &schema)?;
        let filter = FilterExecBuilder::new(predicate, input)
            .apply_projection(projection.cloned())?
            .build()?;
        Ok(Arc::new(filter))
    }

    fn scan_options(&self, session: &dyn Session) -> Scan<'_> {
        Scan {
            schema: &self.schema,
            projection: None,
            limit: None,
            filters: Vec::new(),
            selective: false,
            threads: session.config().target_partitions(),
            readers: &self.readers,
        }
    }
}

impl fmt::Debug for QuarantineTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = self.snapshot.quarantine.len();
        write!(f, "QuarantineTable(version {}, {files} files)", self.snapshot.version)
    }
}

#[async_trait]
impl TableProvider for QuarantineTable {
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
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // Commits carry no statistics of these files: none can be left out.
        let verdicts = vec![Verdict::Kept; self.snapshot.quarantine.len()];
        let mut record = ScanRecord::new(Table::Quarantine, verdicts, None);
        let mut plans = Vec::new();
        let whole: Vec<ScanFile<'_>> = self
            .snapshot
            .quarantine
            .iter()
            .filter(|file| file.kept_units.is_none())
            .map(scan_file)
            .collect();
        if !whole.is_empty() {
            let scan = Scan { projection, limit, ..self.scan_options(session) };
            plans.push(scan.plan(&whole)?);
        }
        for file in &self.snapshot.quarantine {
            if let Some(units) = &file.kept_units
                && !units.is_empty()
            {
                plans.push(self.scan_units(session, file, units, projection)?);
            }
        }
        for plan in &plans {
            record.watch(plan);
        }
        self.scans.keep(record);
        match plans.len() {
            0 => Ok(Arc::new(EmptyExec::new(project_schema(&self.schema(), projection)?))),
            1 => Ok(plans.remove(0)),
            _ => UnionExec::try_new(plans),
        }
    }
}

fn scan_file(file: &SnapshotQuarantine) -> ScanFile<'_> {
    ScanFile {
        path: &file.entry.path,
        bytes: file.entry.bytes,
        rows: file.entry.rows,
        kept_rows: None,
        partition: Vec::new(),
        bounds: None,
    }
}
