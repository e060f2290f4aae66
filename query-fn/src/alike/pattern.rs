//! LIKE with a known pattern of several parts: its parts are looked for, no pattern is run.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, FieldRef, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{LikeExpr, Literal};
use memchr::memmem::Finder;

/// A LIKE whose parts are looked for, if it is one; the expression as it is, if not.
pub(super) fn in_parts(expr: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
    let Some(like) = expr.downcast_ref::<LikeExpr>() else { return expr };
    let Some(parts) = Parts::of(like) else { return expr };
    let (text, pattern) = (Arc::clone(like.expr()), Arc::clone(like.pattern()));
    let like = LikeExpr::new(like.negated(), like.case_insensitive(), text, pattern);
    Arc::new(LikeParts { like: Arc::new(like), parts })
}

/// What a pattern such as `/orders/%/items` wants: how a text begins and ends, and what comes
/// between, in this order.
#[derive(Debug)]
struct Parts {
    is_negated: bool,
    begin: Vec<u8>,
    between: Vec<Finder<'static>>,
    end: Vec<u8>,
}

impl Parts {
    /// The parts of a pattern that the engine would run as a regular expression. One part alone it
    /// looks for itself; `_` is one sign and not one byte, and a backslash may take a meaning away.
    fn of(like: &LikeExpr) -> Option<Self> {
        let pattern = like.pattern().downcast_ref::<Literal>()?.value().try_as_str()??;
        let is_plain = !like.case_insensitive() && !pattern.contains(['_', '\\']);
        let mut parts = pattern.split('%');
        let (begin, end) = (parts.next()?, parts.next_back()?);
        let between: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
        let ends = usize::from(!begin.is_empty()) + usize::from(!end.is_empty());
        (is_plain && between.len() + ends > 1).then(|| Self {
            is_negated: like.negated(),
            begin: begin.into(),
            between: between.iter().map(|part| Finder::new(part).into_owned()).collect(),
            end: end.into(),
        })
    }

    /// Whether a text has them. The first place of each part leaves most to the next ones.
    fn are_in(&self, text: &str) -> bool {
        let rest = text.as_bytes().strip_prefix(self.begin.as_slice());
        let Some(mut rest) = rest.and_then(|rest| rest.strip_suffix(self.end.as_slice())) else {
            return false;
        };
        for part in &self.between {
            let after = part.find(rest).and_then(|at| rest.get(at + part.needle().len()..));
            let Some(after) = after else { return false };
            rest = after;
        }
        true
    }

    /// The answer for each text; `None` if these are no views of texts.
    fn look(&self, texts: &dyn Array) -> Option<BooleanArray> {
        if *texts.data_type() != DataType::Utf8View {
            return None;
        }
        let views = texts.as_string_view();
        let is_like = |row: usize| views.is_valid(row) && self.are_in(views.value(row));
        let found = BooleanBuffer::collect_bool(views.len(), |row| is_like(row) != self.is_negated);
        Some(BooleanArray::new(found, views.nulls().cloned()))
    }
}

/// A LIKE of which the parts are known.
#[derive(Debug)]
struct LikeParts {
    /// As the engine would run it.
    like: Arc<LikeExpr>,
    parts: Parts,
}

impl PartialEq for LikeParts {
    fn eq(&self, other: &Self) -> bool {
        self.like.eq(&other.like)
    }
}

impl Eq for LikeParts {}

impl Hash for LikeParts {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.like.hash(state);
    }
}

impl fmt::Display for LikeParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.like.fmt(f)
    }
}

impl PhysicalExpr for LikeParts {
    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.like.return_field(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        if let ColumnarValue::Array(texts) = self.like.expr().evaluate(batch)?
            && let Some(found) = self.parts.look(&texts)
        {
            return Ok(ColumnarValue::Array(Arc::new(found)));
        }
        self.like.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.like.children()
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        (Arc::clone(&self.like) as Arc<dyn PhysicalExpr>).with_new_children(children).map(in_parts)
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.like.fmt_sql(f)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::StringViewArray;
    use arrow::datatypes::Field;
    use datafusion::physical_expr::expressions::{Column, lit};
    use datafusion::scalar::ScalarValue;

    use super::*;
    use crate::dice::Dice;

    fn word(dice: &mut Dice, letters: &[&str], length_max: usize) -> String {
        let length = dice.below(length_max + 1);
        (0..length).map(|_| dice.pick(letters)).collect()
    }

    #[test]
    fn parts_are_found_where_the_engine_finds_the_pattern() {
        let mut dice = Dice(21);
        let schema = Arc::new(Schema::new(vec![Field::new("t", DataType::Utf8View, true)]));
        let (mut in_parts_count, mut found) = (0, 0);
        for round in 0..2_000 {
            let text = |_| dice.chance(90).then(|| word(&mut dice, &["a", "b", "é", "\n"], 14));
            let texts: StringViewArray = (0..20).map(text).collect();
            let from = dice.below(5);
            let columns: Vec<Arc<dyn Array>> = vec![Arc::new(texts.slice(from, 15))];
            let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
            let letters = ["a", "b", "%", "%", "é", "\\%", "_"];
            let known = if dice.chance(80) { 5 } else { letters.len() };
            let pattern = word(&mut dice, &letters[..known], 7);
            let (is_negated, is_blind) = (dice.chance(30), dice.chance(10));
            let column = Arc::new(Column::new("t", 0));
            let literal = lit(ScalarValue::Utf8View(Some(pattern.clone())));
            let like = Arc::new(LikeExpr::new(is_negated, is_blind, column, literal));
            let parts = in_parts(Arc::clone(&like) as Arc<dyn PhysicalExpr>);
            in_parts_count += usize::from(parts.is::<LikeParts>());
            let of = |expr: &dyn PhysicalExpr| {
                expr.evaluate(&batch).unwrap().into_array(15).unwrap().as_boolean().clone()
            };
            let expected = of(like.as_ref());
            found += expected.true_count();
            assert_eq!(of(parts.as_ref()), expected, "round {round}: {pattern:?}, {batch:?}");
        }
        assert!(in_parts_count > 300 && found > 3_000, "{in_parts_count} {found}");
    }
}
