//! Conditions picked at random, with the traps that statistics fall into, as SQL.

use common::date::{DAY_MICROS, EventDate, rfc3339};

use super::judge::Value;
use crate::dice::Dice;

/// What values a column has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Text,
    /// Text, each value a number.
    Digits,
    /// Text, some values numbers.
    Messy,
    Int,
    Big,
    Bool,
    Time,
    Date,
}

/// The columns conditions are about: name, values, and whether it may be NULL.
pub(super) const COLUMNS: [(&str, Class, bool); 15] = [
    ("decision", Class::Text, false),
    ("principal", Class::Text, true),
    ("request_id", Class::Text, true),
    ("url_path", Class::Text, true),
    ("user_name", Class::Messy, true),
    ("session_id", Class::Digits, true),
    ("http_status", Class::Int, true),
    ("duration_us", Class::Big, true),
    ("tls_failure", Class::Bool, false),
    ("mtls", Class::Bool, true),
    ("event_time", Class::Time, false),
    ("ingest_time", Class::Time, false),
    ("event_date", Class::Date, false),
    // Without statistics in commits.
    ("user_agent", Class::Text, true),
    ("peer_cert_not_after", Class::Time, true),
];

pub(super) const REQUEST_ID: usize = 2;
pub(super) const EVENT_TIME: usize = 10;
pub(super) const EVENT_DATE: usize = 12;

/// 2026-11-02.
pub(super) const START_DAY: i64 = 20_759;
pub(super) const DAYS: i64 = 3;

/// Empty, of either case, beside each other in the order, hard to round up when cut short,
/// wildcards, and words that look like something else.
const WORDS: [&str; 28] = [
    "",
    "a",
    "A",
    "ab",
    "aB",
    "AB",
    "abc",
    "b",
    "ba",
    "zz",
    "\u{e9}",
    "\u{c9}",
    "e\u{301}",
    "\u{7f}",
    "\u{80}",
    "\u{7ff}",
    "\u{d7ff}",
    "\u{e000}",
    "\u{ffff}",
    "\u{10000}",
    "\u{10ffff}",
    "\u{10ffff}\u{10ffff}",
    "a\u{10ffff}",
    "a%",
    "a_b",
    "a\\b",
    "NULL",
    " ",
];
const DIGITS: [&str; 7] = ["0", "1", "05", "5", "7", "10", "-3"];
const MESSY: [&str; 12] =
    ["5", "05", " 5", "5 ", "+5", "5.0", "1e1", "NaN", "x", "", "-7", "99999999999999999999"];
const INTS: [i64; 9] = [-3, 0, 1, 4, 200, 403, 404, 503, 2_147_483_647];
/// Around what a double can tell apart, too.
const BIGS: [i64; 10] = [
    -1,
    0,
    1,
    2,
    999,
    1_000,
    1_500,
    9_007_199_254_740_992,
    9_007_199_254_740_993,
    4_611_686_018_427_387_000,
];
const FLOATS: [&str; 9] =
    ["0.5", "1.5", "403.0", "403.5", "-0.0", "0.0", "9007199254740992.0", "NaN", "inf"];
/// Within a day, in microseconds.
const MOMENTS: [i64; 8] =
    [0, 1, 999_999, 1_000_000, 1_500_000, 3_600_000_000, 43_200_000_000, 86_399_999_999];

/// Texts longer than any bound is kept, that differ at their ends only.
pub(super) fn long_text(dice: &mut Dice) -> String {
    let length = dice.pick(&[7, 40, 70, 300]);
    let fill = dice.pick(&["p", "\u{10ffff}", "\u{e9}"]);
    fill.repeat(length) + dice.pick(&["", "a", "b", "\u{10ffff}", "\u{7f}"])
}

/// A value that the column may have; times lie on the day.
pub(super) fn random_value(dice: &mut Dice, column: usize, day: i64) -> Value {
    match COLUMNS[column].1 {
        Class::Text if dice.chance(15) => Value::Text(long_text(dice)),
        Class::Text => Value::Text(dice.pick(&WORDS).to_owned()),
        Class::Digits => Value::Text(dice.pick(&DIGITS).to_owned()),
        Class::Messy => Value::Text(dice.pick(&MESSY).to_owned()),
        Class::Int => Value::Int(dice.pick(&INTS)),
        Class::Big => Value::Int(dice.pick(&BIGS)),
        Class::Bool => Value::Bool(dice.chance(50)),
        Class::Time => Value::Time(i128::from(day * DAY_MICROS + dice.pick(&MOMENTS)) * 1_000),
        Class::Date => Value::Date(day),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Int,
    BigInt,
    Double,
    Date,
    Seconds,
    Millis,
    Nanos,
}

/// What a condition compares.
#[derive(Debug, Clone)]
pub(super) enum Term {
    Column(usize),
    /// A value and how it is written.
    Literal(Option<Value>, String),
    Lower(Box<Self>),
    Upper(Box<Self>),
    Left(Box<Self>, usize),
    Length(Box<Self>),
    Join(Box<Self>, Box<Self>),
    Coalesce(Box<Self>, Box<Self>),
    Case(Box<Condition>, Box<Self>, Box<Self>),
    Add(Box<Self>, i64),
    Times(Box<Self>, i64),
    Over(Box<Self>, i64),
    Remainder(Box<Self>, i64),
    Negative(Box<Self>),
    PlusDays(Box<Self>, i64),
    Truncated(&'static str, Box<Self>),
    Hour(Box<Self>),
    Cast(Box<Self>, Kind),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

const OPERATORS: [(Operator, &str); 6] = [
    (Operator::Equal, "="),
    (Operator::NotEqual, "<>"),
    (Operator::Less, "<"),
    (Operator::AtMost, "<="),
    (Operator::Greater, ">"),
    (Operator::AtLeast, ">="),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truth {
    True,
    False,
    Unknown,
}

#[derive(Debug, Clone)]
pub(super) enum Condition {
    Compare(Term, Operator, Term),
    /// IS DISTINCT FROM, or IS NOT.
    Distinct(Term, Term, bool),
    Between(Term, Term, Term, bool),
    In(Term, Vec<Term>, bool),
    Like {
        term: Term,
        pattern: String,
        not: bool,
        any_case: bool,
    },
    StartsWith(Term, String),
    IsNull(Term, bool),
    /// A column of truths by itself.
    Is(Term, bool),
    IsTruth(Box<Self>, Truth, bool),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn text_literal(text: &str) -> Term {
    Term::Literal(Some(Value::Text(text.to_owned())), quoted(text))
}

fn int_literal(number: i64) -> Term {
    Term::Literal(Some(Value::Int(number)), number.to_string())
}

fn float_literal(text: &str) -> Term {
    let written = match text {
        "NaN" | "inf" | "-0.0" => format!("CAST('{text}' AS DOUBLE)"),
        plain => plain.to_owned(),
    };
    Term::Literal(Some(Value::Float(text.parse().unwrap())), written)
}

/// A moment in one of the many ways to write it. What is finer than the times it is compared with
/// is cut, as it would be if it were stored.
fn time_literal(dice: &mut Dice, micros: i64) -> Term {
    let (nanos, written) = moment(dice, micros);
    Term::Literal(Some(Value::Time(nanos.div_euclid(1_000) * 1_000)), written)
}

/// A moment about there, in nanoseconds, and how it is written.
fn moment(dice: &mut Dice, micros: i64) -> (i128, String) {
    let utc = rfc3339(micros, 6);
    let nanos = i128::from(micros) * 1_000;
    match dice.below(8) {
        0 => (nanos, quoted(&utc)),
        1 => {
            let there = rfc3339(micros + 19_800_000_000, 6);
            (nanos, quoted(&there.replace('Z', "+05:30")))
        }
        // Between two microseconds.
        2 => (nanos + 500, quoted(&utc.replace('Z', "500Z"))),
        3 => (nanos, format!("TIMESTAMP '{}'", utc.replace('T', " ").replace('Z', ""))),
        4 => {
            let written = format!("arrow_cast('{utc}', 'Timestamp(Second, Some(\"UTC\"))')");
            (nanos.div_euclid(1_000_000_000) * 1_000_000_000, written)
        }
        5 => {
            let written =
                format!("arrow_cast('{utc}', 'Timestamp(Millisecond, Some(\"+01:00\"))')");
            (nanos.div_euclid(1_000_000) * 1_000_000, written)
        }
        6 => (nanos + 999, format!("TIMESTAMP '{}'", utc.replace('Z', "999Z"))),
        _ => (nanos, format!("TIMESTAMP '{utc}'")),
    }
}

fn date_literal(dice: &mut Dice, days: i64) -> Term {
    let date = EventDate::of_micros(days * DAY_MICROS).to_string();
    let written = if dice.chance(50) { format!("DATE '{date}'") } else { quoted(&date) };
    Term::Literal(Some(Value::Date(days)), written)
}

fn some_day(dice: &mut Dice) -> i64 {
    START_DAY - 1 + i64::try_from(dice.below(5)).unwrap()
}

fn column_of(dice: &mut Dice, classes: &[Class]) -> usize {
    loop {
        let column = dice.below(COLUMNS.len());
        if classes.contains(&COLUMNS[column].1) {
            return column;
        }
    }
}

/// A literal like the column's values, sometimes NULL.
fn literal_for(dice: &mut Dice, column: usize) -> Term {
    if dice.chance(3) {
        return Term::Literal(None, "NULL".to_owned());
    }
    let day = some_day(dice);
    match random_value(dice, column, day) {
        Value::Text(text) => text_literal(&text),
        Value::Int(number) => int_literal(number),
        Value::Bool(flag) => Term::Literal(Some(Value::Bool(flag)), flag.to_string()),
        Value::Time(nanos) => time_literal(dice, i64::try_from(nanos / 1_000).unwrap()),
        Value::Date(days) => date_literal(dice, days),
        Value::Float(_) => panic!("no column has floats"),
    }
}

fn boxed(column: usize) -> Box<Term> {
    Box::new(Term::Column(column))
}

impl Condition {
    pub(super) fn random(dice: &mut Dice, depth: usize) -> Self {
        let inner = |dice: &mut Dice| Box::new(Self::random(dice, depth - 1));
        if depth > 0 && dice.chance(55) {
            return match dice.below(9) {
                0..=3 => Self::And(inner(dice), inner(dice)),
                4..=6 => Self::Or(inner(dice), inner(dice)),
                7 => Self::Not(inner(dice)),
                _ => {
                    let truth = dice.pick(&[Truth::True, Truth::False, Truth::Unknown]);
                    Self::IsTruth(inner(dice), truth, dice.chance(50))
                }
            };
        }
        match dice.below(10) {
            0..=3 => Self::plain(dice),
            4 | 5 => Self::of_text(dice),
            6 => Self::of_number(dice),
            7 | 8 => Self::of_time(dice),
            _ => Self::of_truth(dice),
        }
    }

    /// An id that is looked up, or one of some, and perhaps more.
    pub(super) fn look_up(dice: &mut Dice, depth: usize) -> Self {
        let id = Term::Column(REQUEST_ID);
        let condition = if dice.chance(40) {
            let list = (0..=dice.below(4)).map(|_| literal_for(dice, REQUEST_ID)).collect();
            Self::In(id, list, false)
        } else {
            Self::Compare(id, Operator::Equal, literal_for(dice, REQUEST_ID))
        };
        if dice.chance(50) {
            return Self::And(Box::new(condition), Box::new(Self::random(dice, depth)));
        }
        condition
    }

    /// A column against values of its own type.
    fn plain(dice: &mut Dice) -> Self {
        let column = dice.below(COLUMNS.len());
        let term = Term::Column(column);
        match dice.below(12) {
            0 => Self::IsNull(term, dice.chance(50)),
            1 => Self::Distinct(term, literal_for(dice, column), dice.chance(50)),
            2 | 3 => {
                let (low, high) = (literal_for(dice, column), literal_for(dice, column));
                Self::Between(term, low, high, dice.chance(25))
            }
            4 | 5 => {
                let mut list: Vec<Term> =
                    (0..=dice.below(4)).map(|_| literal_for(dice, column)).collect();
                if COLUMNS[column].1 == Class::Text && dice.chance(15) {
                    // More than are turned into bounds.
                    list.extend((0..300).map(|n| text_literal(&format!("no-{n}"))));
                }
                Self::In(term, list, dice.chance(35))
            }
            6 => {
                let other = column_of(dice, &[COLUMNS[column].1]);
                Self::Compare(term, dice.pick(&OPERATORS).0, Term::Column(other))
            }
            7 => Self::Compare(literal_for(dice, column), dice.pick(&OPERATORS).0, term),
            _ => Self::Compare(term, dice.pick(&OPERATORS).0, literal_for(dice, column)),
        }
    }

    fn of_text(dice: &mut Dice) -> Self {
        let column = column_of(dice, &[Class::Text, Class::Text, Class::Messy]);
        let word = if dice.chance(15) { long_text(dice) } else { dice.pick(&WORDS).to_owned() };
        let operator = dice.pick(&OPERATORS).0;
        let term = Term::Column(column);
        match dice.below(12) {
            0..=3 => {
                let escaped: String = word
                    .chars()
                    .flat_map(|c| {
                        let special = matches!(c, '%' | '_' | '\\');
                        special.then_some('\\').into_iter().chain([c])
                    })
                    .collect();
                let pattern = match dice.below(7) {
                    0 => format!("%{escaped}"),
                    1 => format!("%{escaped}%"),
                    2 => format!("_{escaped}"),
                    3 => format!("{escaped}_%"),
                    4 => escaped,
                    _ => format!("{escaped}%"),
                };
                Self::Like { term, pattern, not: dice.chance(30), any_case: dice.chance(30) }
            }
            4 => Self::StartsWith(term, word),
            5 => Self::Compare(Term::Lower(Box::new(term)), operator, text_literal(&word)),
            6 => Self::Compare(Term::Upper(Box::new(term)), operator, text_literal(&word)),
            7 => {
                let start: String = word.chars().take(2).collect();
                let left = Term::Left(Box::new(term), dice.below(3));
                Self::Compare(left, operator, text_literal(&start))
            }
            8 => {
                let length = i64::try_from(dice.below(4)).unwrap();
                Self::Compare(Term::Length(Box::new(term)), operator, int_literal(length))
            }
            9 => {
                let joined = Term::Join(Box::new(term), Box::new(text_literal("b")));
                Self::Compare(joined, operator, text_literal(&format!("{word}b")))
            }
            10 => {
                let known = Term::Coalesce(Box::new(term), Box::new(text_literal("ab")));
                Self::Compare(known, operator, text_literal(&word))
            }
            _ => {
                let when = Box::new(Self::plain(dice));
                let case = Term::Case(when, Box::new(term), Box::new(text_literal("b")));
                Self::Compare(case, operator, text_literal(&word))
            }
        }
    }

    fn of_number(dice: &mut Dice) -> Self {
        let column = column_of(dice, &[Class::Int, Class::Big]);
        let operator = dice.pick(&OPERATORS).0;
        let number =
            if COLUMNS[column].1 == Class::Int { dice.pick(&INTS) } else { dice.pick(&BIGS) };
        let cast = |column, kind| Term::Cast(boxed(column), kind);
        match dice.below(13) {
            0 => Self::Compare(Term::Column(column), operator, float_literal(dice.pick(&FLOATS))),
            1 => Self::Compare(
                cast(column, Kind::Double),
                operator,
                float_literal(dice.pick(&FLOATS)),
            ),
            2 => Self::Compare(Term::Column(column), operator, text_literal(&number.to_string())),
            3 => {
                let text = dice.pick(&["5", "403", "4", "", "-", "9"]);
                Self::Compare(cast(column, Kind::Text), operator, text_literal(text))
            }
            4 => Self::Compare(cast(column, Kind::BigInt), operator, int_literal(number)),
            // Many are too large for INT.
            5 => Self::Compare(cast(column, Kind::Int), operator, int_literal(number)),
            6 => Self::Compare(Term::Add(boxed(column), 1), operator, int_literal(number + 1)),
            7 => Self::Compare(
                Term::Times(boxed(column), 2),
                operator,
                int_literal(dice.pick(&INTS)),
            ),
            8 => Self::Compare(
                Term::Over(boxed(column), 100),
                operator,
                int_literal(dice.pick(&[0, 2, 4, 10])),
            ),
            9 => Self::Compare(
                Term::Remainder(boxed(column), 100),
                operator,
                int_literal(dice.pick(&[0, 3, 4])),
            ),
            // The engine's own statistics overflow at the last number of a type: an error.
            10 if number != i64::from(i32::MAX) => {
                Self::Compare(Term::Negative(boxed(column)), operator, int_literal(-number))
            }
            10 | 11 => {
                let digits = column_of(dice, &[Class::Digits]);
                Self::Compare(
                    Term::Column(digits),
                    operator,
                    int_literal(dice.pick(&[-3, 0, 5, 7, 11])),
                )
            }
            _ => {
                let messy = column_of(dice, &[Class::Messy, Class::Digits]);
                if dice.chance(50) {
                    Self::Compare(
                        cast(messy, Kind::BigInt),
                        operator,
                        int_literal(dice.pick(&[-7, 5, 6, 10])),
                    )
                } else {
                    let number = dice.pick(&["5.0", "10.0", "NaN"]);
                    Self::Compare(cast(messy, Kind::Double), operator, float_literal(number))
                }
            }
        }
    }

    fn of_time(dice: &mut Dice) -> Self {
        let operator = dice.pick(&OPERATORS).0;
        let column = column_of(dice, &[Class::Time]);
        let literal = literal_for(dice, column);
        match dice.below(9) {
            0 => {
                let kind = dice.pick(&[Kind::Seconds, Kind::Millis, Kind::Nanos]);
                let literal = match literal {
                    // Where the time itself was cut, the constant is not.
                    Term::Literal(Some(Value::Time(nanos)), _) if kind != Kind::Nanos => {
                        let (nanos, written) = moment(dice, i64::try_from(nanos / 1_000).unwrap());
                        Term::Literal(Some(Value::Time(nanos)), written)
                    }
                    other => other,
                };
                Self::Compare(Term::Cast(boxed(column), kind), operator, literal)
            }
            1 => {
                let unit = dice.pick(&["day", "hour", "second"]);
                Self::Compare(Term::Truncated(unit, boxed(column)), operator, literal)
            }
            2 => {
                let hour = dice.pick(&[0, 1, 12, 23]);
                Self::Compare(Term::Hour(boxed(column)), operator, int_literal(hour))
            }
            3 => {
                let day = some_day(dice);
                let date = date_literal(dice, day);
                Self::Compare(Term::Cast(boxed(column), Kind::Date), operator, date)
            }
            4 => Self::Compare(Term::PlusDays(boxed(column), 1), operator, literal),
            5 => {
                let day = some_day(dice);
                let date = Term::PlusDays(boxed(EVENT_DATE), dice.pick(&[-1, 1, 2]));
                Self::Compare(date, operator, date_literal(dice, day))
            }
            6 => {
                let day = Term::Cast(boxed(EVENT_TIME), Kind::Date);
                Self::Compare(Term::Column(EVENT_DATE), operator, day)
            }
            7 => Self::Like {
                term: Term::Cast(boxed(EVENT_DATE), Kind::Text),
                pattern: dice.pick(&["%-02", "2026-11%", "%3", "2027%"]).to_owned(),
                not: dice.chance(30),
                any_case: false,
            },
            _ => {
                let date = Term::Cast(boxed(EVENT_DATE), Kind::Seconds);
                Self::Compare(date, operator, Term::Column(column))
            }
        }
    }

    fn of_truth(dice: &mut Dice) -> Self {
        let column = column_of(dice, &[Class::Bool]);
        match dice.below(4) {
            0 => {
                let text = text_literal(dice.pick(&["true", "false", "t"]));
                let cast = Term::Cast(boxed(column), Kind::Text);
                Self::Compare(cast, dice.pick(&OPERATORS).0, text)
            }
            1 => {
                let is = Box::new(Self::Is(Term::Column(column), true));
                let truth = dice.pick(&[Truth::True, Truth::False, Truth::Unknown]);
                Self::IsTruth(is, truth, dice.chance(50))
            }
            _ => Self::Is(Term::Column(column), dice.chance(50)),
        }
    }

    pub(super) fn sql(&self) -> String {
        let not = |not: &bool| if *not { "NOT " } else { "" };
        match self {
            Self::Compare(a, operator, b) => {
                let written = OPERATORS.iter().find(|(known, _)| known == operator).unwrap().1;
                format!("{} {written} {}", a.sql(), b.sql())
            }
            Self::Distinct(a, b, distinct) => {
                format!("{} IS {}DISTINCT FROM {}", a.sql(), not(&!distinct), b.sql())
            }
            Self::Between(term, low, high, negated) => {
                let (low, high) = (low.sql(), high.sql());
                format!("{} {}BETWEEN {low} AND {high}", term.sql(), not(negated))
            }
            Self::In(term, list, negated) => {
                let list: Vec<String> = list.iter().map(Term::sql).collect();
                format!("{} {}IN ({})", term.sql(), not(negated), list.join(", "))
            }
            Self::Like { term, pattern, not: negated, any_case } => {
                let like = if *any_case { "ILIKE" } else { "LIKE" };
                format!("{} {}{like} {}", term.sql(), not(negated), quoted(pattern))
            }
            Self::StartsWith(term, text) => {
                format!("starts_with({}, {})", term.sql(), quoted(text))
            }
            Self::IsNull(term, is_null) => format!("{} IS {}NULL", term.sql(), not(&!is_null)),
            Self::Is(term, true) => term.sql(),
            Self::Is(term, false) => format!("NOT {}", term.sql()),
            Self::IsTruth(condition, truth, negated) => {
                let truth = format!("{truth:?}").to_uppercase();
                format!("({}) IS {}{truth}", condition.sql(), not(negated))
            }
            Self::And(a, b) => format!("({}) AND ({})", a.sql(), b.sql()),
            Self::Or(a, b) => format!("({}) OR ({})", a.sql(), b.sql()),
            Self::Not(a) => format!("NOT ({})", a.sql()),
        }
    }
}

impl Term {
    fn sql(&self) -> String {
        match self {
            Self::Column(column) => COLUMNS[*column].0.to_owned(),
            Self::Literal(_, written) => written.clone(),
            Self::Lower(term) => format!("lower({})", term.sql()),
            Self::Upper(term) => format!("upper({})", term.sql()),
            Self::Left(term, chars) => format!("left({}, {chars})", term.sql()),
            Self::Length(term) => format!("character_length({})", term.sql()),
            Self::Join(a, b) => format!("({} || {})", a.sql(), b.sql()),
            Self::Coalesce(a, b) => format!("coalesce({}, {})", a.sql(), b.sql()),
            Self::Case(when, yes, no) => {
                format!("CASE WHEN {} THEN {} ELSE {} END", when.sql(), yes.sql(), no.sql())
            }
            Self::Add(term, number) => format!("({} + {number})", term.sql()),
            Self::Times(term, number) => format!("({} * {number})", term.sql()),
            Self::Over(term, number) => format!("({} / {number})", term.sql()),
            Self::Remainder(term, number) => format!("({} % {number})", term.sql()),
            Self::Negative(term) => format!("(- {})", term.sql()),
            Self::PlusDays(term, days) => format!("({} + INTERVAL '{days} days')", term.sql()),
            Self::Truncated(unit, term) => format!("date_trunc('{unit}', {})", term.sql()),
            Self::Hour(term) => format!("date_part('hour', {})", term.sql()),
            Self::Cast(term, kind) => {
                let class = match &**term {
                    Self::Column(column) => COLUMNS[*column].1,
                    other => panic!("{other:?}"),
                };
                let may_fail = matches!(class, Class::Text | Class::Messy | Class::Digits)
                    || *kind == Kind::Int;
                let word = if may_fail { "TRY_CAST" } else { "CAST" };
                let kind = match kind {
                    Kind::Text => "VARCHAR",
                    Kind::Int => "INT",
                    Kind::BigInt => "BIGINT",
                    Kind::Double => "DOUBLE",
                    Kind::Date => "DATE",
                    Kind::Seconds | Kind::Millis | Kind::Nanos => {
                        let unit = match kind {
                            Kind::Seconds => "Second",
                            Kind::Millis => "Millisecond",
                            _ => "Nanosecond",
                        };
                        let kind = format!("'Timestamp({unit}, Some(\"UTC\"))'");
                        return format!("arrow_cast({}, {kind})", term.sql());
                    }
                };
                format!("{word}({} AS {kind})", term.sql())
            }
        }
    }
}
