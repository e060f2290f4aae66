//! Short texts that stand for plans without end, refused before there is a plan.
//!
//! What a WITH names is put in for each time that it is named, also by what another WITH names. A
//! struct has the types of its members in its own, so structs of structs grow alike.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::ptr;

use datafusion::sql::sqlparser::ast::{
    ObjectName, Query, Statement as SqlStatement, Visit, Visitor,
};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::{Code, QueryError};

/// Refuses names longer than any is, structs in structs, and cubes of many columns.
///
/// # Errors
/// `LIMIT_SQL`.
pub(super) fn check_tokens(tokens: &[TokenWithSpan]) -> Result<(), QueryError> {
    let (mut members, mut groupings) = (1usize, 1usize);
    for (at, token) in tokens.iter().enumerate() {
        match &token.token {
            Token::Word(word) => {
                let bytes = word.value.len();
                if bytes > NAME_BYTES_MAX {
                    let text =
                        format!("a name has {bytes} bytes, at most {NAME_BYTES_MAX} are read");
                    return Err(QueryError::new(Code::LimitSql, text));
                }
                let ways = match word.value.to_ascii_lowercase().as_str() {
                    "cube" => {
                        let columns = u32::try_from(members_from(&tokens[at + 1..]));
                        columns.ok().and_then(|n| 1usize.checked_shl(n)).unwrap_or(usize::MAX)
                    }
                    "rollup" => members_from(&tokens[at + 1..]).saturating_add(1),
                    "sets" => members_from(&tokens[at + 1..]),
                    _ => 1,
                };
                groupings = groupings.saturating_mul(ways.max(1));
                if STRUCTS.iter().any(|name| word.value.eq_ignore_ascii_case(name)) {
                    members = members.saturating_mul(members_from(&tokens[at + 1..]));
                }
            }
            Token::LBrace => members = members.saturating_mul(members_from(&tokens[at..])),
            _ => {}
        }
    }
    if groupings > GROUPINGS_MAX {
        let text = format!(
            "CUBE, ROLLUP and GROUPING SETS make more than {GROUPINGS_MAX} groupings; name fewer \
             columns in them"
        );
        return Err(QueryError::new(Code::LimitSql, text));
    }
    if members <= MEMBERS_MAX {
        return Ok(());
    }
    let text = format!(
        "the query makes structs and maps of so many members that they can have more than \
         {MEMBERS_MAX} in all; make fewer of them"
    );
    Err(QueryError::new(Code::LimitSql, text))
}

/// Arguments in the brackets that open first.
fn members_from(tokens: &[TokenWithSpan]) -> usize {
    let (mut depth, mut members) = (0usize, 1usize);
    for token in tokens {
        match token.token {
            Token::Whitespace(_) => {}
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return members;
                }
            }
            Token::Comma if depth == 1 => members += 1,
            _ if depth == 0 => return 1,
            _ => {}
        }
    }
    members
}

/// Refuses a query that names more tables, once each WITH is written out, than can be planned.
///
/// # Errors
/// `LIMIT_SQL`.
pub(super) fn check_relations(statement: &SqlStatement) -> Result<(), QueryError> {
    let mut counted = Counted { open: vec![Open::default()] };
    let _ = statement.visit(&mut counted);
    let relations = counted.open.first().map_or(0, |all| all.relations);
    if relations <= RELATIONS_MAX {
        return Ok(());
    }
    let text = format!(
        "with each WITH written out, the query names {relations} tables, at most {RELATIONS_MAX} \
         are planned; name what stands in a WITH less often"
    );
    Err(QueryError::new(Code::LimitSql, text))
}

/// A query whose end has not been seen.
#[derive(Default)]
struct Open {
    relations: u64,
    /// Its WITH, by where each query stands.
    named: Vec<(*const Query, String)>,
    /// Tables that those name.
    known: HashMap<String, u64>,
}

struct Counted {
    open: Vec<Open>,
}

impl Visitor for Counted {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let with = query.with.iter().flat_map(|with| &with.cte_tables);
        let named =
            with.map(|cte| (ptr::from_ref(&*cte.query), cte.alias.name.value.to_lowercase()));
        self.open.push(Open { named: named.collect(), ..Open::default() });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let Some(ended) = self.open.pop() else { return ControlFlow::Continue(()) };
        let Some(around) = self.open.last_mut() else { return ControlFlow::Continue(()) };
        let place = ptr::from_ref(query);
        match around.named.iter().find(|(known, _)| *known == place) {
            Some((_, name)) => {
                let relations = ended.relations.saturating_add(1);
                let _ = around.known.insert(name.clone(), relations);
            }
            None => around.relations = around.relations.saturating_add(ended.relations),
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
        let name = match name.0.as_slice() {
            [part] => part.as_ident().map(|ident| ident.value.to_lowercase()),
            _ => None,
        };
        let known = name.and_then(|name| {
            self.open.iter().rev().find_map(|open| open.known.get(&name).copied())
        });
        if let Some(open) = self.open.last_mut() {
            open.relations = open.relations.saturating_add(known.unwrap_or(1));
        }
        ControlFlow::Continue(())
    }
}

/// Longest name. An error looks for the most similar one that there is, which takes long.
const NAME_BYTES_MAX: usize = 1_024;

/// Functions whose values have the types of all their arguments in their own.
const STRUCTS: [&str; 6] = ["struct", "named_struct", "row", "map", "make_map", "arrays_zip"];

/// Members of all structs of a query, were each of them in the next.
const MEMBERS_MAX: usize = 100_000;

/// Ways to group the same rows: a CUBE of eight columns.
const GROUPINGS_MAX: usize = 256;

/// Tables of a plan, with what stands in a WITH as often as it is named: four times as many as one
/// text may name.
const RELATIONS_MAX: u64 = 256;

#[cfg(test)]
mod tests {
    use crate::error::Code;
    use crate::plan::parse;

    fn code(sql: &str) -> Option<Code> {
        parse(sql, 262_144).err().map(|error| error.code())
    }

    #[test]
    fn what_grows_with_each_with_is_refused_and_what_does_not_is_planned() {
        let chain = |levels: usize, step: &dyn Fn(usize) -> String| {
            let named: Vec<String> =
                (1..=levels).map(|n| format!("a{n} AS ({})", step(n - 1))).collect();
            format!("WITH a0 AS (SELECT 1 AS x), {} SELECT x FROM a{levels}", named.join(", "))
        };
        let twice = |n: usize| format!("SELECT l.x FROM a{n} l, A{n} r");
        assert_eq!(code(&chain(20, &twice)), Some(Code::LimitSql));
        assert_eq!(code(&chain(3, &twice)), None);
        assert_eq!(code(&chain(30, &|n| format!("SELECT x FROM a{n}"))), None);
        // In a subquery, and by way of one.
        let nested = |n: usize| {
            format!("SELECT x FROM (SELECT * FROM a{n}) t WHERE x IN (SELECT x FROM a{n})")
        };
        assert_eq!(code(&chain(20, &nested)), Some(Code::LimitSql));
        let inner = format!("SELECT * FROM ({}) t", chain(20, &twice));
        assert_eq!(code(&inner), Some(Code::LimitSql));
        for make in ["struct(x, x)", "{a: x, b: x}", "arrays_zip(x, x)", "named_struct('a', x)"] {
            let step = |n: usize| format!("SELECT {make} AS x FROM a{n}");
            assert_eq!(code(&chain(20, &step)), Some(Code::LimitSql), "{make}");
            assert_eq!(code(&chain(2, &step)), None, "{make}");
        }
    }

    #[test]
    fn a_cube_has_few_columns() {
        let cube = |columns: usize| {
            let named: Vec<String> = (0..columns).map(|n| format!("c{n}")).collect();
            format!("SELECT 1 FROM a GROUP BY CUBE({})", named.join(", "))
        };
        assert_eq!((code(&cube(8)), code(&cube(9))), (None, Some(Code::LimitSql)));
        assert_eq!(code(&cube(100)), Some(Code::LimitSql));
        assert_eq!(code("SELECT a AS cube, b AS rollup FROM t GROUP BY ROLLUP(a, b)"), None);
    }

    #[test]
    fn a_name_has_a_length_that_names_have() {
        assert_eq!(code(&format!("SELECT {}", "a".repeat(1_024))), None);
        assert_eq!(code(&format!("SELECT \"{}\"", "a".repeat(1_025))), Some(Code::LimitSql));
    }
}
