//! Views: SQL texts of `sql/views` that every query can read from, like a table.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::datasource::ViewTable;
use datafusion::error::Result;
use datafusion::execution::context::SessionContext;
use datafusion::sql::parser::Statement;

/// A view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Its name, which is that of its file.
    pub name: &'static str,
    /// The SQL, header included.
    pub sql: &'static str,
}

macro_rules! views {
    ($($name:literal),+ $(,)?) => {
        &[$(View {
            name: $name,
            sql: include_str!(concat!("../../sql/views/", $name, ".sql")),
        }),+]
    };
}

/// All views, each after those that it reads from.
pub const VIEWS: &[View] = views![
    "mesh_capture",
    "mesh_capture_minutes",
    "mesh_denials",
    "mesh_events_distinct",
    "mesh_policy_changes",
    "mesh_privilege_use",
    "mesh_service_authentication",
    "mesh_service_edges",
    "mesh_tls_failures",
    "mesh_would_be_denials",
    "mesh_security_events",
    "query_trail",
];

impl View {
    /// The question it answers.
    pub fn question(&self) -> &'static str {
        self.header("question").next().unwrap_or_default()
    }

    /// What a row of it is.
    pub fn row(&self) -> &'static str {
        self.header("row").next().unwrap_or_default()
    }

    /// What it reads, and what prunes it.
    pub fn cost(&self) -> &'static str {
        self.header("cost").next().unwrap_or_default()
    }

    /// Its columns that `mesh_events` does not have under the same name, with what they hold.
    pub fn own_columns(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.header("column").filter_map(|text| text.split_once("  -- "))
    }

    /// Values of the lines `-- key: value` above the SQL.
    fn header(&self, key: &'static str) -> impl Iterator<Item = &'static str> {
        let comments = self.sql.lines().map_while(|line| line.strip_prefix("--"));
        comments.filter_map(move |comment| {
            comment.strip_prefix(' ')?.strip_prefix(key)?.strip_prefix(": ")
        })
    }

    /// Whether its SQL reads from a view of this name.
    fn reads(&self, name: &str) -> bool {
        let code = self.sql.lines().filter(|line| !line.trim_start().starts_with("--"));
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        code.flat_map(|line| line.split(|c| !is_word(c))).any(|word| word == name)
    }
}

/// Registers, in a session that knows the tables, the views that a statement reads from: planning
/// one takes longer than planning most queries. What asks for the catalogue sees them all.
///
/// A view becomes a part of the plan of each query that reads from it: filters, limits and receipts
/// see through it.
///
/// # Errors
/// If a text does not fit the tables, which a test rules out.
pub(crate) async fn register(session: &SessionContext, statement: &Statement) -> Result<()> {
    let references = session.state().resolve_table_references(statement)?;
    let catalogue = references.iter().any(|name| name.schema() == Some("information_schema"));
    let mut needed: BTreeSet<&str> = VIEWS
        .iter()
        .map(|view| view.name)
        .filter(|name| catalogue || references.iter().any(|reference| reference.table() == *name))
        .collect();
    for view in VIEWS.iter().rev() {
        if needed.contains(view.name) {
            needed.extend(VIEWS.iter().map(|other| other.name).filter(|other| view.reads(other)));
        }
    }
    for view in VIEWS.iter().filter(|view| needed.contains(view.name)) {
        let plan = session.state().create_logical_plan(view.sql).await?;
        let table = ViewTable::new(plan, Some(view.sql.to_owned()));
        let _ = session.register_table(view.name, Arc::new(table))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
