//! A table as a caller may see it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, ScalarValue, project_schema};
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExec;

use super::barrier::{BarrierExec, Output};
use super::grant::View;
use super::mask::Mask;

/// A table of which some rows and values are hidden.
pub(super) struct Restricted {
    inner: Arc<dyn TableProvider>,
    view: Arc<View>,
    schema: SchemaRef,
}

impl Restricted {
    pub(super) fn new(inner: Arc<dyn TableProvider>, view: Arc<View>) -> Self {
        let all = inner.schema();
        let fields = all.fields().iter().zip(&view.masks).map(|(field, mask)| {
            // A masked column may be NULL, whatever the table says.
            let nullable = field.is_nullable() || mask.is_some();
            Field::new(field.name(), field.data_type().clone(), nullable)
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Self { inner, view, schema }
    }

    /// Whether a condition can be held against rows that are hidden, and values as they are: it
    /// compares columns that are shown as they are with constants, so it can not fail, and says
    /// the same above the policy as below it.
    fn is_harmless(&self, expr: &Expr) -> bool {
        let both = |left: &Expr, right: &Expr| self.is_harmless(left) && self.is_harmless(right);
        match expr {
            Expr::BinaryExpr(binary) => match binary.op {
                Operator::And | Operator::Or => both(&binary.left, &binary.right),
                Operator::Eq
                | Operator::NotEq
                | Operator::Lt
                | Operator::LtEq
                | Operator::Gt
                | Operator::GtEq
                | Operator::IsDistinctFrom
                | Operator::IsNotDistinctFrom => match (&*binary.left, &*binary.right) {
                    (Expr::Column(column), Expr::Literal(value, _))
                    | (Expr::Literal(value, _), Expr::Column(column)) => {
                        self.compares(&column.name, value)
                    }
                    _ => false,
                },
                _ => false,
            },
            Expr::InList(list) => match &*list.expr {
                Expr::Column(column) => list.list.iter().all(|one| match one {
                    Expr::Literal(value, _) => self.compares(&column.name, value),
                    _ => false,
                }),
                _ => false,
            },
            Expr::Not(inner) => self.is_harmless(inner),
            Expr::IsNull(inner) | Expr::IsNotNull(inner) => match &**inner {
                Expr::Column(column) => self.shown(&column.name).is_some(),
                _ => false,
            },
            Expr::Column(column) => self.shown(&column.name) == Some(&DataType::Boolean),
            _ => false,
        }
    }

    /// The type of a column that is shown as it is.
    fn shown(&self, column: &str) -> Option<&DataType> {
        let at = self.schema.index_of(column).ok()?;
        let masked = self.view.masks.get(at).is_none_or(Option::is_some);
        (!masked).then(|| self.schema.field(at).data_type())
    }

    fn compares(&self, column: &str, value: &ScalarValue) -> bool {
        self.shown(column).is_some_and(|kind| *kind == value.data_type() && !kind.is_nested())
    }
}

impl fmt::Debug for Restricted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Restricted")
    }
}

#[async_trait]
impl TableProvider for Restricted {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| {
            if self.is_harmless(filter) {
                TableProviderFilterPushDown::Inexact
            } else {
                TableProviderFilterPushDown::Unsupported
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
        let all = self.inner.schema();
        let wanted: Vec<usize> = match projection {
            Some(wanted) => wanted.clone(),
            None => (0..all.fields().len()).collect(),
        };
        let harmless = filters.iter().filter(|filter| self.is_harmless(filter)).cloned();
        let conditions: Vec<Expr> = self.view.rows.iter().cloned().chain(harmless).collect();
        let mask = |at: usize| self.view.masks.get(at).copied().flatten();
        // What is always NULL is not even read.
        let mut read: BTreeSet<usize> =
            wanted.iter().copied().filter(|&at| mask(at) != Some(Mask::Null)).collect();
        for column in conditions.iter().flat_map(Expr::column_refs) {
            read.insert(all.index_of(&column.name)?);
        }
        let read: Vec<usize> = read.into_iter().collect();
        let limit = limit.filter(|_| conditions.is_empty());
        let mut plan = self.inner.scan(session, Some(&read), &conditions, limit).await?;
        if let Some(condition) = conjunction(conditions) {
            let columns = DFSchema::try_from(plan.schema())?;
            let condition = session.create_physical_expr(condition, &columns)?;
            plan = Arc::new(FilterExec::try_new(condition, plan)?);
        }
        let output = wanted.iter().map(|&at| match (mask(at), read.binary_search(&at)) {
            (None, Ok(column)) => Output::Shown(column),
            (Some(mask), Ok(column)) => Output::Masked(column, mask),
            (_, Err(_)) => Output::Null,
        });
        let schema = project_schema(&self.schema, projection)?;
        let key = self.view.key.clone();
        Ok(Arc::new(BarrierExec::new(plan, schema, output.collect(), key)))
    }
}

/// A table that the caller may not see. The plan's check refuses it, so that its name can be
/// listed and views over it can be planned.
#[derive(Debug)]
pub(super) struct Closed {
    schema: SchemaRef,
}

impl Closed {
    pub(super) const fn new(schema: SchemaRef) -> Self {
        Self { schema }
    }
}

#[async_trait]
impl TableProvider for Closed {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(EmptyExec::new(project_schema(&self.schema, projection)?)))
    }
}
