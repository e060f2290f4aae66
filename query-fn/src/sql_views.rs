//! Views: SQL texts of `sql/views` that every query can read from, like a table.

use std::sync::Arc;

use datafusion::datasource::ViewTable;
use datafusion::error::Result;
use datafusion::execution::context::SessionContext;

/// A view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Its name, which is that of its file.
    pub name: &'static str,
    /// What a row of it is.
    pub says: &'static str,
    /// The SQL, header included.
    pub sql: &'static str,
}

macro_rules! view {
    ($name:literal, $says:literal) => {
        View {
            name: $name,
            says: $says,
            sql: include_str!(concat!("../../sql/views/", $name, ".sql")),
        }
    };
}

/// All views, by name.
pub const VIEWS: &[View] = &[view!(
    "mesh_policy_changes",
    "one row a change of a policy object, with what was there before"
)];

/// Registers the views in a session that knows the tables. A view is planned when it is
/// registered, and becomes a part of the plan of each query that reads from it: filters, limits
/// and receipts see through it.
///
/// # Errors
/// If a text does not fit the tables, which a test rules out.
pub(crate) async fn register(session: &SessionContext) -> Result<()> {
    for view in VIEWS {
        let plan = session.state().create_logical_plan(view.sql).await?;
        let table = ViewTable::new(plan, Some(view.sql.to_owned()));
        let _ = session.register_table(view.name, Arc::new(table))?;
    }
    Ok(())
}
