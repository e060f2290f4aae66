//! What one caller may see.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use common::schema::{EVENTS_TABLE, QUARANTINE_TABLE};
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::datasource::source_as_provider;
use datafusion::error::DataFusionError;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Volatility};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;

use super::AccessPolicy;
use super::mask::{Key, Mask, implied};
use super::policy::{Rule, TableRule};
use super::table::{Closed, Restricted};
use crate::checked::keep_casts;
use crate::error::{Code, QueryError};
use crate::request::Request;

/// A policy, held against the tables there are.
#[derive(Debug)]
pub(crate) struct Access {
    rules: Vec<(Rule, Arc<Grant>)>,
}

/// What a rule gives.
#[derive(Debug)]
pub(crate) struct Grant {
    /// The tables that may be seen, and what of them; all of everything if absent.
    tables: Option<BTreeMap<String, Arc<View>>>,
}

/// What may be seen of a table.
#[derive(Debug)]
pub(super) struct View {
    /// Conditions that all hold for a row that may be seen.
    pub(super) rows: Vec<Expr>,
    /// By the table's columns.
    pub(super) masks: Vec<Option<Mask>>,
    pub(super) key: Option<Key>,
}

impl Access {
    /// Holds a policy against the tables, with a session that knows the functions.
    ///
    /// # Errors
    /// `PARAMETER`, naming the rule that does not fit them.
    pub(crate) fn new(
        policy: AccessPolicy,
        tables: &[(&str, SchemaRef)],
        session: &SessionState,
    ) -> Result<Self, QueryError> {
        let AccessPolicy { rules, key } = policy;
        let mut held = Vec::new();
        for rule in rules {
            let grant = grant(&rule, key.as_ref(), tables, session).map_err(|e| {
                QueryError::new(Code::Parameter, format!("access policy, {rule}: {e}"))
            })?;
            held.push((rule, Arc::new(grant)));
        }
        Ok(Self { rules: held })
    }

    /// What the first rule that names a caller gives.
    ///
    /// # Errors
    /// `ACCESS` if none does, or nobody knows who asks.
    pub(crate) fn grant(&self, caller: Option<&str>) -> Result<Arc<Grant>, QueryError> {
        let Some(caller) = caller else {
            let text = "an access policy is set, and nobody says who asks; ask by a way that \
                        authenticates its callers";
            return Err(QueryError::new(Code::Access, text));
        };
        let first = self.rules.iter().find(|(rule, _)| rule.names(caller));
        first.map(|(_, grant)| Arc::clone(grant)).ok_or_else(|| {
            let text = format!("no rule of the access policy names {caller}");
            QueryError::new(Code::Access, text)
        })
    }
}

impl Grant {
    /// Of an engine that has no policy.
    pub(crate) const fn everything() -> Self {
        Self { tables: None }
    }

    /// Whether something is kept from the caller.
    pub(crate) const fn is_restricted(&self) -> bool {
        self.tables.is_some()
    }

    /// The table as the caller may see it.
    pub(crate) fn restrict(
        &self,
        name: &str,
        table: Arc<dyn TableProvider>,
    ) -> Arc<dyn TableProvider> {
        let Some(tables) = &self.tables else { return table };
        match tables.get(name) {
            Some(view) => Arc::new(Restricted::new(table, Arc::clone(view))),
            None => Arc::new(Closed::new(table.schema())),
        }
    }

    /// Refuses a plan that tells of rows which the caller may not see.
    ///
    /// # Errors
    /// `ACCESS` for a table that is closed, and for EXPLAIN, which counts rows before the policy
    /// has filtered them and quotes the policy.
    pub(crate) fn check(&self, plan: &LogicalPlan) -> Result<(), QueryError> {
        if !self.is_restricted() {
            return Ok(());
        }
        let mut refused = None;
        let walked = plan.apply_with_subqueries(|node| {
            refused = match node {
                LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) => {
                    Some("EXPLAIN tells how rows are read that you may not see".to_owned())
                }
                LogicalPlan::TableScan(scan) => match source_as_provider(&scan.source) {
                    Ok(provider) if provider.is::<Closed>() => {
                        Some(format!("the access policy does not give you {}", scan.table_name))
                    }
                    _ => None,
                },
                _ => None,
            };
            Ok(match refused {
                Some(_) => TreeNodeRecursion::Stop,
                None => TreeNodeRecursion::Continue,
            })
        });
        walked.map_err(|e| QueryError::from_engine(&e))?;
        refused.map_or(Ok(()), |text| Err(QueryError::new(Code::Access, text)))
    }

    /// Refuses what a request asks for beside its rows and by which a caller could measure what is
    /// hidden.
    ///
    /// # Errors
    /// `ACCESS` if bytes are limited or costs are capped, if it is to be said why files were read,
    /// and for receipts that can be asked again.
    pub(crate) fn check_request(&self, request: &Request) -> Result<(), QueryError> {
        if !self.is_restricted() {
            return Ok(());
        }
        let text = if request.bounds.scan_bytes_max.is_some() {
            "how much a query reads depends on rows that you may not see, so it can not be limited \
             in bytes; limit time or rows"
        } else if request.caps.are_set() {
            "what a query costs depends on rows that you may not see, so it can not be capped; limit \
             time or rows"
        } else if request.explain_pruning {
            "why files are read depends on rows that you may not see, so you are not told"
        } else if request.repeatable {
            "a receipt says what the archive answers, and you may not see all of it; ask somebody \
             who may"
        } else {
            return Ok(());
        };
        Err(QueryError::new(Code::Access, text))
    }

    /// Refuses to say what a query would cost.
    ///
    /// # Errors
    /// `ACCESS` if something is kept from the caller.
    pub(crate) fn check_estimate(&self) -> Result<(), QueryError> {
        if !self.is_restricted() {
            return Ok(());
        }
        let text = "what a query costs depends on rows that you may not see, so you are not told";
        Err(QueryError::new(Code::Access, text))
    }
}

fn grant(
    rule: &Rule,
    key: Option<&Key>,
    known: &[(&str, SchemaRef)],
    session: &SessionState,
) -> Result<Grant, String> {
    let Some(tables) = &rule.tables else { return Ok(Grant::everything()) };
    let mut views = BTreeMap::new();
    for (name, table) in tables {
        let (_, schema) = known.iter().find(|(known, _)| known == name).ok_or_else(|| {
            format!("expected the tables {EVENTS_TABLE} or {QUARANTINE_TABLE}, found {name}")
        })?;
        let rows = condition(&table.rows, schema, session)
            .map_err(|e| format!("{name}: rows {:?}: {e}", table.rows))?;
        let masks = masks(name, table, schema)?;
        views.insert(name.clone(), Arc::new(View { rows, masks, key: key.cloned() }));
    }
    Ok(Grant { tables: Some(views) })
}

/// The masks of a table's columns: those that are named, and what follows from them.
fn masks(name: &str, table: &TableRule, schema: &SchemaRef) -> Result<Vec<Option<Mask>>, String> {
    let mut masks = vec![None; schema.fields().len()];
    let index = |column: &str| {
        schema.index_of(column).map_err(|_| format!("{name} has no column {column}"))
    };
    let named: Vec<(&str, Mask)> =
        table.masks.iter().map(|(column, mask)| (column.as_str(), *mask)).collect();
    for (column, mask) in implied(name, &named) {
        let at = index(column)?;
        if !table.keep.contains(column) {
            let mask = if mask.fits(schema.field(at).data_type()) { mask } else { Mask::Null };
            masks[at] = Some(masks[at].map_or(mask, |other: Mask| other.stricter(mask)));
        }
    }
    for (column, mask) in named {
        let at = index(column)?;
        let kind = schema.field(at).data_type();
        if !mask.fits(kind) {
            return Err(format!("{name}.{column} is no text; it can be masked by null alone"));
        }
        masks[at] = Some(mask);
    }
    for column in &table.keep {
        let at = index(column)?;
        if table.masks.contains_key(schema.field(at).name()) {
            return Err(format!("{name}.{column} is both masked and kept"));
        }
    }
    Ok(masks)
}

/// Reads a condition on a row: a boolean that depends on the row alone.
fn condition(sql: &str, schema: &SchemaRef, session: &SessionState) -> Result<Vec<Expr>, String> {
    let engine = |e: DataFusionError| e.strip_backtrace();
    let columns: DFSchemaRef = Arc::new(DFSchema::try_from(Arc::clone(schema)).map_err(engine)?);
    let expr = session.create_logical_expr(sql, &columns).map_err(engine)?;
    let mut refused = None;
    let _ = expr.exists(|node| {
        refused = refusal(node);
        Ok(refused.is_some())
    });
    if let Some(refused) = refused {
        return Err(refused);
    }
    let context = SimplifyContext::builder().with_schema(Arc::clone(&columns)).build();
    let simplifier = ExprSimplifier::new(context);
    let expr = simplifier.coerce(expr, &columns).map_err(engine)?;
    match expr.get_type(columns.as_ref()).map_err(engine)? {
        DataType::Boolean => {}
        other => return Err(format!("expected a condition, found a value of type {other}")),
    }
    let expr = keep_casts(expr, &columns).map_err(engine)?.data;
    let expr = simplifier.simplify(expr).map_err(engine)?;
    Ok(split_conjunction_owned(expr))
}

/// Why an expression can be no part of a condition on a row.
fn refusal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Column(_)
        | Expr::Literal(..)
        | Expr::BinaryExpr(_)
        | Expr::Like(_)
        | Expr::SimilarTo(_)
        | Expr::Not(_)
        | Expr::IsNotNull(_)
        | Expr::IsNull(_)
        | Expr::IsTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNotFalse(_)
        | Expr::IsNotUnknown(_)
        | Expr::Negative(_)
        | Expr::Between(_)
        | Expr::Case(_)
        | Expr::Cast(_)
        | Expr::TryCast(_)
        | Expr::InList(_) => None,
        Expr::ScalarFunction(call) => {
            let is_pure = call.func.signature().volatility == Volatility::Immutable;
            (!is_pure).then(|| format!("{} depends on more than the row", call.name()))
        }
        other => Some(format!("{other} is more than a condition on the row's columns")),
    }
}
