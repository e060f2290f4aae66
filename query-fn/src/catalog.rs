//! One session per query: the tables of its snapshot, its own metered store, shared memory.

use std::sync::Arc;

use archive::snapshot::Snapshot;
use common::schema::{EVENTS_TABLE, QUARANTINE_TABLE};
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList,
    MemorySchemaProvider, SchemaProvider,
};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::context::SessionContext;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool};
use datafusion::execution::object_store::{DefaultObjectStoreRegistry, ObjectStoreRegistry};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;
use object_store::ObjectStore;
use url::Url;

use crate::access::{Access, AccessPolicy, Grant};
use crate::checked;
use crate::error::QueryError;
use crate::footers::Readers;
use crate::functions;
use crate::guard::BATCH_ROWS;
use crate::pool::ChargedPool;
use crate::read::STORE_URL;
use crate::request::Limits;
use crate::scans::Scans;
use crate::table::{self, EventsTable};
use crate::views::{self, QuarantineTable};

/// Memory and settings that all queries of an engine share.
pub(crate) struct Shared {
    state: SessionState,
    runtime: Arc<RuntimeEnv>,
}

impl Shared {
    pub(crate) fn new(limits: &Limits) -> Result<Self> {
        // Without a folder to spill to, dividing memory fairly only makes queries fail earlier.
        let pool: Arc<dyn MemoryPool> = match limits.spill {
            Some(_) => Arc::new(FairSpillPool::new(limits.memory_bytes)),
            None => Arc::new(ChargedPool::new(limits.memory_bytes, limits.memory_charge)),
        };
        let disk = match &limits.spill {
            Some(spill) => DiskManagerBuilder::default()
                .with_mode(DiskManagerMode::Directories(vec![spill.folder.clone()]))
                .with_max_temp_directory_size(spill.bytes_max),
            None => DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
        };
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(pool)
            .with_disk_manager_builder(disk)
            .with_object_store_registry(Arc::new(DefaultObjectStoreRegistry::default()))
            .build_arc()?;
        let builder = SessionStateBuilder::new_with_default_features()
            .with_config(config(limits.threads))
            .with_runtime_env(Arc::clone(&runtime));
        let mut state = checked::plan(builder).build();
        checked::register(&mut state)?;
        functions::register(&mut state)?;
        Ok(Self { state, runtime })
    }

    /// Holds an access policy against the tables and functions there are.
    ///
    /// # Errors
    /// If it does not fit them.
    pub(crate) fn access(&self, policy: AccessPolicy) -> std::result::Result<Access, QueryError> {
        let columns = |schema: TableSchema| Arc::clone(schema.table_schema());
        let tables = [
            (EVENTS_TABLE, columns(table::schema())),
            (QUARANTINE_TABLE, columns(views::schema())),
        ];
        Access::new(policy, &tables, &self.state)
    }

    /// A session that knows the tables of a snapshot, as a caller may see them, and nothing else.
    pub(crate) fn session(
        &self,
        snapshot: &Arc<Snapshot>,
        store: Arc<dyn ObjectStore>,
        scans: &Scans,
        readers: &Readers,
        grant: &Grant,
    ) -> Result<SessionContext> {
        let registry = DefaultObjectStoreRegistry::default();
        let url = Url::parse(STORE_URL).map_err(|e| DataFusionError::External(Box::new(e)))?;
        registry.register_store(&url, store);
        let runtime = RuntimeEnvBuilder::from_runtime_env(&self.runtime)
            .with_object_store_registry(Arc::new(registry))
            .build_arc()?;
        let state = SessionStateBuilder::new_from_existing(self.state.clone())
            .with_runtime_env(runtime)
            .with_catalog_list(catalogs(snapshot, scans, readers, grant)?)
            .build();
        Ok(SessionContext::new_with_state(state))
    }
}

fn catalogs(
    snapshot: &Arc<Snapshot>,
    scans: &Scans,
    readers: &Readers,
    grant: &Grant,
) -> Result<Arc<dyn CatalogProviderList>> {
    let schema = MemorySchemaProvider::new();
    let events = EventsTable::new(Arc::clone(snapshot), scans.clone(), Arc::clone(readers));
    let events = grant.restrict(EVENTS_TABLE, Arc::new(events));
    schema.register_table(EVENTS_TABLE.to_owned(), events)?;
    let quarantine = QuarantineTable::new(Arc::clone(snapshot), scans.clone(), Arc::clone(readers));
    let quarantine = grant.restrict(QUARANTINE_TABLE, Arc::new(quarantine));
    schema.register_table(QUARANTINE_TABLE.to_owned(), quarantine)?;
    let catalog = MemoryCatalogProvider::new();
    catalog.register_schema(SCHEMA, Arc::new(schema))?;
    let catalogs = MemoryCatalogProviderList::new();
    catalogs.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
    Ok(Arc::new(catalogs))
}

fn config(threads: usize) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true)
        .with_target_partitions(threads.max(1))
        .with_batch_size(BATCH_ROWS);
    let options = config.options_mut();
    options.execution.time_zone = Some("UTC".to_owned());
    options.execution.collect_statistics = true;
    // The engine would refuse `GROUP BY (a AND b) IS TRUE` as a defect of its own: one of its
    // planners knows that this is never NULL, the other does not.
    options.execution.skip_physical_aggregate_schema_check = true;
    config
}

const CATALOG: &str = "meshledger";
const SCHEMA: &str = "public";
