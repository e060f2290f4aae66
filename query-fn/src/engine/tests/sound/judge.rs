//! What a condition says of a row, worked out slowly and plainly over Rust values: SQL's three
//! truths, without an engine.

use std::cmp::Ordering;

use common::date::EventDate;

use super::grammar::{Condition, Kind, Operator, Term, Truth};

/// A value that is not NULL.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    /// Nanoseconds since 1970 UTC.
    Time(i128),
    /// Days since 1970.
    Date(i64),
}

const DAY_NANOS: i128 = 86_400_000_000_000;

/// The order of two values that are compared. Texts go by their bytes, floats by IEEE 754's total
/// order, where NaN comes last and -0 before 0, as the engine documents it.
pub(super) fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Time(a), Value::Time(b)) => a.cmp(b),
        (Value::Date(a), Value::Date(b)) => a.cmp(b),
        (Value::Date(a), Value::Time(b)) => (i128::from(*a) * DAY_NANOS).cmp(b),
        (Value::Time(_), Value::Date(_)) => compare(b, a).reverse(),
        (Value::Float(a), Value::Float(b)) => doubles(*a, *b),
        (Value::Int(a), Value::Float(b)) => doubles(float(*a), *b),
        (Value::Float(_), Value::Int(_)) => compare(b, a).reverse(),
        // A text beside a number is a number.
        (Value::Text(text), Value::Int(_)) => {
            compare(&Value::Int(whole(text).unwrap_or_else(|| panic!("{text:?} is no number"))), b)
        }
        (Value::Int(_), Value::Text(_)) => compare(b, a).reverse(),
        _ => panic!("{a:?} against {b:?}"),
    }
}

/// NaN is equal to itself and above all else; the zeros are equal.
fn doubles(a: f64, b: f64) -> Ordering {
    (a + 0.0).total_cmp(&(b + 0.0))
}

/// The nearest double.
#[expect(clippy::cast_precision_loss, reason = "that is what the cast does")]
fn float(number: i64) -> f64 {
    number as f64
}

fn whole(text: &str) -> Option<i64> {
    text.trim_ascii().parse().ok()
}

type Cell = Option<Value>;

impl Term {
    pub(super) fn value(&self, row: &[Cell]) -> Cell {
        match self {
            Self::Column(column) => row[*column].clone(),
            Self::Literal(value, _) => value.clone(),
            Self::Lower(term) => text(term.value(row)?, |text| text.to_lowercase()),
            Self::Upper(term) => text(term.value(row)?, |text| text.to_uppercase()),
            Self::Left(term, chars) => {
                text(term.value(row)?, |text| text.chars().take(*chars).collect())
            }
            Self::Length(term) => match term.value(row)? {
                Value::Text(text) => Some(Value::Int(i64::try_from(text.chars().count()).unwrap())),
                other => panic!("length of {other:?}"),
            },
            Self::Join(a, b) => match (a.value(row)?, b.value(row)?) {
                (Value::Text(a), Value::Text(b)) => Some(Value::Text(a + &b)),
                other => panic!("|| of {other:?}"),
            },
            Self::Coalesce(a, b) => a.value(row).or_else(|| b.value(row)),
            Self::Case(condition, yes, no) => {
                if condition.holds(row) == Some(true) {
                    yes.value(row)
                } else {
                    no.value(row)
                }
            }
            Self::Add(term, number) => int(term.value(row)?, |n| n + number),
            Self::Times(term, number) => int(term.value(row)?, |n| n * number),
            Self::Over(term, number) => int(term.value(row)?, |n| n / number),
            Self::Remainder(term, number) => int(term.value(row)?, |n| n % number),
            Self::Negative(term) => int(term.value(row)?, |n| -n),
            Self::PlusDays(term, days) => match term.value(row)? {
                Value::Date(date) => Some(Value::Date(date + days)),
                Value::Time(nanos) => Some(Value::Time(nanos + i128::from(*days) * DAY_NANOS)),
                other => panic!("days more than {other:?}"),
            },
            Self::Truncated(unit, term) => match term.value(row)? {
                Value::Time(nanos) => {
                    let unit = match *unit {
                        "day" => DAY_NANOS,
                        "hour" => 3_600_000_000_000,
                        "second" => 1_000_000_000,
                        other => panic!("{other}"),
                    };
                    Some(Value::Time(nanos.div_euclid(unit) * unit))
                }
                other => panic!("date_trunc of {other:?}"),
            },
            Self::Hour(term) => match term.value(row)? {
                Value::Time(nanos) => {
                    let hour = nanos.rem_euclid(DAY_NANOS) / 3_600_000_000_000;
                    Some(Value::Int(i64::try_from(hour).unwrap()))
                }
                other => panic!("hour of {other:?}"),
            },
            Self::Cast(term, kind) => cast(term.value(row)?, *kind),
        }
    }
}

/// NULL where the value has no counterpart: the grammar writes TRY_CAST where that can be.
fn cast(value: Value, kind: Kind) -> Cell {
    Some(match (value, kind) {
        (Value::Text(text), Kind::Text) => Value::Text(text),
        (Value::Int(number), Kind::Text) => Value::Text(number.to_string()),
        (Value::Bool(flag), Kind::Text) => Value::Text(flag.to_string()),
        (Value::Date(days), Kind::Text) => {
            let date = EventDate::of_micros(days * common::date::DAY_MICROS);
            Value::Text(date.to_string())
        }
        (Value::Text(text), Kind::BigInt) => Value::Int(whole(&text)?),
        (Value::Text(text), Kind::Int) => Value::Int(small(whole(&text)?)?),
        (Value::Int(number), Kind::BigInt) => Value::Int(number),
        (Value::Int(number), Kind::Int) => Value::Int(small(number)?),
        (Value::Bool(flag), Kind::Int | Kind::BigInt) => Value::Int(i64::from(flag)),
        (Value::Int(number), Kind::Double) => Value::Float(float(number)),
        (Value::Text(text), Kind::Double) => Value::Float(text.trim_ascii().parse().ok()?),
        (Value::Time(nanos), Kind::Date) => {
            Value::Date(i64::try_from(nanos.div_euclid(DAY_NANOS)).unwrap())
        }
        (Value::Time(nanos), Kind::Seconds) => Value::Time(nanos / 1_000_000_000 * 1_000_000_000),
        (Value::Time(nanos), Kind::Millis) => Value::Time(nanos / 1_000_000 * 1_000_000),
        (Value::Time(nanos), Kind::Nanos) => Value::Time(nanos),
        (Value::Date(days), Kind::Seconds | Kind::Millis | Kind::Nanos) => {
            Value::Time(i128::from(days) * DAY_NANOS)
        }
        (value, kind) => panic!("{value:?} as {kind:?}"),
    })
}

fn small(number: i64) -> Option<i64> {
    i32::try_from(number).ok().map(i64::from)
}

fn text(value: Value, change: impl FnOnce(String) -> String) -> Cell {
    match value {
        Value::Text(text) => Some(Value::Text(change(text))),
        other => panic!("{other:?} is no text"),
    }
}

fn int(value: Value, change: impl FnOnce(i64) -> i64) -> Cell {
    match value {
        Value::Int(number) => Some(Value::Int(change(number))),
        other => panic!("{other:?} is no number"),
    }
}

impl Condition {
    /// SQL's three values.
    pub(super) fn holds(&self, row: &[Cell]) -> Option<bool> {
        match self {
            Self::Compare(a, operator, b) => {
                let order = compare(&a.value(row)?, &b.value(row)?);
                Some(operator.holds(order))
            }
            Self::Distinct(a, b, distinct) => {
                let same = match (a.value(row), b.value(row)) {
                    (None, None) => true,
                    (Some(a), Some(b)) => compare(&a, &b).is_eq(),
                    _ => false,
                };
                Some(same != *distinct)
            }
            Self::Between(term, low, high, not) => {
                let value = term.value(row);
                let at_least = |a: &Cell, b: &Cell| Some(compare(a.as_ref()?, b.as_ref()?).is_ge());
                let low = at_least(&value, &low.value(row));
                let high = at_least(&high.value(row), &value);
                both(low, high).map(|holds| holds != *not)
            }
            Self::In(term, list, not) => {
                let value = term.value(row)?;
                let mut unknown = false;
                for item in list {
                    match item.value(row) {
                        Some(item) if compare(&value, &item).is_eq() => return Some(!*not),
                        Some(_) => {}
                        None => unknown = true,
                    }
                }
                if unknown { None } else { Some(*not) }
            }
            Self::Like { term, pattern, not, any_case } => {
                Some(is_like(&term.value(row)?, pattern, *any_case) != *not)
            }
            Self::StartsWith(term, prefix) => match term.value(row)? {
                Value::Text(text) => Some(text.starts_with(prefix)),
                other => panic!("{other:?} is no text"),
            },
            Self::IsNull(term, is_null) => Some(term.value(row).is_none() == *is_null),
            Self::Is(term, truth) => match term.value(row)? {
                Value::Bool(flag) => Some(flag == *truth),
                other => panic!("{other:?} is no truth"),
            },
            Self::IsTruth(condition, truth, not) => {
                let wanted = match truth {
                    Truth::True => Some(true),
                    Truth::False => Some(false),
                    Truth::Unknown => None,
                };
                Some((condition.holds(row) == wanted) != *not)
            }
            Self::And(a, b) => both(a.holds(row), b.holds(row)),
            Self::Or(a, b) => {
                let neither = both(a.holds(row).map(|a| !a), b.holds(row).map(|b| !b));
                neither.map(|neither| !neither)
            }
            Self::Not(a) => a.holds(row).map(|holds| !holds),
        }
    }
}

fn both(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn is_like(value: &Value, pattern: &str, any_case: bool) -> bool {
    let Value::Text(text) = value else { panic!("{value:?} is no text") };
    let fold = |c: char| {
        if !any_case {
            return c;
        }
        let mut lower = c.to_lowercase();
        match (lower.next(), lower.next()) {
            (Some(one), None) => one,
            _ => c,
        }
    };
    let text: Vec<char> = text.chars().map(fold).collect();
    let pattern: Vec<char> = pattern.chars().collect();
    matches(&text, &pattern, &fold)
}

/// LIKE: `%` any text, `_` any character, `\` takes the meaning from what follows.
fn matches(text: &[char], pattern: &[char], fold: &dyn Fn(char) -> char) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|skip| matches(&text[skip..], rest, fold)),
        ['_', rest @ ..] => !text.is_empty() && matches(&text[1..], rest, fold),
        ['\\', c, rest @ ..] | [c, rest @ ..] => {
            text.first() == Some(&fold(*c)) && matches(&text[1..], rest, fold)
        }
    }
}

impl Operator {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        }
    }
}
