//! Conditions on one text, tested once for each text of a batch.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, FieldRef, Schema};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::expressions::{BinaryExpr, Column, LikeExpr};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};

use super::kinds::Sorter;
use super::pattern::in_parts;

type Plan = Arc<dyn ExecutionPlan>;

/// A filter that tests each text of a batch once; all else as it is.
pub(super) fn looked_at_once(node: Plan) -> Result<Transformed<Plan>> {
    let Some(filter) = node.downcast_ref::<FilterExec>() else { return Ok(Transformed::no(node)) };
    let schema = filter.input().schema();
    let predicate = Arc::clone(filter.predicate()).transform_down(|expr| {
        if expr.is::<Once>() {
            return Ok(Transformed::new(expr, false, TreeNodeRecursion::Jump));
        }
        let Some(column) = is_worth_it(&expr).then(|| the_text(&expr, &schema)).flatten() else {
            return Ok(Transformed::no(expr));
        };
        let once: Arc<dyn PhysicalExpr> = Arc::new(Once::new(in_parts(expr), column));
        Ok(Transformed::new(once, true, TreeNodeRecursion::Jump))
    })?;
    if !predicate.transformed {
        return Ok(Transformed::no(node));
    }
    let filter = FilterExecBuilder::from(filter).with_predicate(predicate.data).build()?;
    Ok(Transformed::yes(Arc::new(filter) as Plan))
}

/// Whether an expression goes through the whole text.
fn is_worth_it(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let is_pattern = |operator: &Operator| {
        matches!(
            operator,
            Operator::RegexMatch
                | Operator::RegexIMatch
                | Operator::RegexNotMatch
                | Operator::RegexNotIMatch
        )
    };
    expr.is::<LikeExpr>()
        || expr.downcast_ref::<BinaryExpr>().is_some_and(|binary| is_pattern(binary.op()))
        || expr.downcast_ref::<ScalarFunctionExpr>().is_some_and(|call| !call.args().is_empty())
}

/// The text column that an expression is about, if it is about nothing else and always says the
/// same of it.
fn the_text(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<Column> {
    let mut columns = collect_columns(expr).into_iter();
    let (column, None) = (columns.next()?, columns.next()) else { return None };
    let field = schema.fields().get(column.index())?;
    let is_volatile = expr.exists(|expr| Ok(expr.is_volatile_node())).unwrap_or(true);
    (*field.data_type() == DataType::Utf8View && !is_volatile).then_some(column)
}

/// An expression over one text, evaluated once for each text of a batch.
#[derive(Debug)]
struct Once {
    inner: Arc<dyn PhysicalExpr>,
    column: Column,
    sorters: Mutex<Vec<Sorter>>,
    /// Batches looked at, and those in which too many texts differed.
    looked: AtomicU32,
    differed: AtomicU32,
}

impl Once {
    fn new(inner: Arc<dyn PhysicalExpr>, column: Column) -> Self {
        let (looked, differed) = (AtomicU32::new(0), AtomicU32::new(0));
        Self { inner, column, sorters: Mutex::default(), looked, differed }
    }

    /// Whether texts differ too much for a look to be worth it.
    fn has_given_up(&self) -> bool {
        let looked = self.looked.load(Ordering::Relaxed);
        looked >= LOOKS_MIN && self.differed.load(Ordering::Relaxed) > looked / 2
    }

    /// What the inner expression says of each text, given to its rows; `None` if too many differ.
    fn by_kind(&self, batch: &RecordBatch) -> Result<Option<ColumnarValue>> {
        let Some(texts) = batch.columns().get(self.column.index()) else { return Ok(None) };
        let mut sorters = self.sorters.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sorter = sorters.pop().unwrap_or_else(Sorter::new);
        drop(sorters);
        let kinds = sorter.kinds(std::slice::from_ref(texts));
        self.sorters.lock().unwrap_or_else(PoisonError::into_inner).push(sorter);
        let _ = self.looked.fetch_add(1, Ordering::Relaxed);
        let Some(kinds) = kinds else {
            let _ = self.differed.fetch_add(1, Ordering::Relaxed);
            return Ok(None);
        };
        // The expression sees a batch of the same columns, in which the others hold nothing.
        let firsts = UInt32Array::from(kinds.firsts);
        let few = firsts.len();
        let columns = batch.columns().iter().enumerate().map(|(at, column)| {
            if at == self.column.index() {
                return take(texts, &firsts, None).map_err(DataFusionError::from);
            }
            // Of any row, as it is not looked at: but there must be as many.
            Ok(if column.len() >= few { column.slice(0, few) } else { Arc::clone(column) })
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(few));
        let batch_of_few = RecordBatch::try_new_with_options(batch.schema(), columns, &options)?;
        let said = self.inner.evaluate(&batch_of_few)?;
        let ColumnarValue::Array(said) = said else { return Ok(Some(said)) };
        Ok(Some(ColumnarValue::Array(take(&said, &UInt32Array::from(kinds.of_rows), None)?)))
    }
}

impl PartialEq for Once {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for Once {}

impl Hash for Once {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PhysicalExpr for Once {
    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        if batch.num_rows() >= ROWS_MIN
            && !self.has_given_up()
            && let Some(said) = self.by_kind(batch)?
        {
            return Ok(said);
        }
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let inner = children.pop().unwrap_or_else(|| Arc::clone(&self.inner));
        // Columns may have moved; one that is about more than one is looked at row by row.
        let mut columns = collect_columns(&inner).into_iter();
        Ok(match (columns.next(), columns.next()) {
            (Some(column), None) => Arc::new(Self::new(inner, column)),
            _ => inner,
        })
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}

/// Batches after which it may be given up.
const LOOKS_MIN: u32 = 16;

/// Rows of a batch that is worth it.
const ROWS_MIN: usize = 256;
