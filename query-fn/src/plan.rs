//! Parses SQL and refuses everything that is not one query over the registered tables.
//!
//! There are three gates, each enough by itself: the syntax tree may hold queries only, the logical
//! plan may hold the operators of queries only, and its scans may name our tables only. (The engine
//! below holds a reader, so there is nothing it could write to anyway.)

mod growth;
mod ignored;
mod not_in;

use std::any::Any;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

use common::schema::{EVENTS_TABLE, QUARANTINE_TABLE};
use datafusion::common::TableReference;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::source_as_provider;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::{LogicalPlan, TableScan};
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{
    Statement as SqlStatement, visit_relations, visit_statements,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use crate::error::{Code, QueryError};
use crate::request::{Param, Request};
use crate::sql_views::VIEWS;

pub(crate) use not_in::keep_unknown;

/// Parses one query.
///
/// # Errors
/// `LIMIT_SQL` for text too long or too deeply nested, `SYNTAX` for what is not SQL, `REFUSED` for
/// what is no query.
pub(crate) fn parse(sql: &str, sql_bytes_max: usize) -> Result<Statement, QueryError> {
    if sql.len() > sql_bytes_max {
        let text =
            format!("the SQL text has {} bytes, at most {sql_bytes_max} are read", sql.len());
        return Err(QueryError::new(Code::LimitSql, text));
    }
    let syntax = |e: DataFusionError| QueryError::from_engine(&e);
    let tokens = Tokenizer::new(&GenericDialect {}, sql)
        .tokenize_with_location()
        .map_err(|e| QueryError::new(Code::Syntax, e.to_string()))?;
    check_nesting(&tokens)?;
    growth::check_tokens(&tokens)?;
    let name = first_word(&tokens);
    let mut statements = DFParserBuilder::new(tokens)
        .with_recursion_limit(PAREN_DEPTH_MAX)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(syntax)?;
    let count = statements.len();
    match statements.pop_front() {
        Some(statement) if count == 1 => {
            allow(&statement, &name)?;
            Ok(statement)
        }
        Some(_) => Err(QueryError::new(
            Code::Refused,
            format!("expected one query, found {count} statements; send them one by one"),
        )),
        None => Err(QueryError::new(Code::Syntax, "expected a query, found no statement")),
    }
}

/// Refuses a plan that does anything but read registered tables.
///
/// # Errors
/// `REFUSED`, naming the operator or table.
pub(crate) fn check(plan: &LogicalPlan) -> Result<(), QueryError> {
    let refuse = |e: DataFusionError| QueryError::new(Code::Refused, e.strip_backtrace());
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(plan)
        .map_err(|_| no_query("a statement that makes or changes something"))?;
    let mut refused = None;
    plan.apply_with_subqueries(|node| {
        refused = refusal(node);
        Ok(if refused.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })
    .map_err(refuse)?;
    refused.map_or(Ok(()), |text| Err(QueryError::new(Code::Refused, text)))
}

/// Binds the request's parameters to the plan.
///
/// # Errors
/// `PARAMETER` if one is missing or not used.
pub(crate) fn bind(plan: LogicalPlan, request: &Request) -> Result<LogicalPlan, QueryError> {
    let error = |e: DataFusionError| QueryError::from_engine(&e);
    let used: BTreeSet<String> = plan
        .get_parameter_names()
        .map_err(error)?
        .iter()
        .map(|name| name.trim_start_matches('$').to_owned())
        .collect();
    let given: BTreeSet<String> = request.params.iter().map(|(name, _)| name.clone()).collect();
    if let Some(missing) = used.difference(&given).next() {
        let text = format!("the query uses ${missing}, but no value was given for it");
        return Err(QueryError::new(Code::Parameter, text));
    }
    if let Some(unknown) = given.difference(&used).next() {
        let known = used.iter().map(|name| format!("${name}")).collect::<Vec<_>>().join(", ");
        let known = if known.is_empty() { "none".to_owned() } else { known };
        let text = format!("the query does not use ${unknown}; its parameters: {known}");
        return Err(QueryError::new(Code::Parameter, text));
    }
    if given.len() != request.params.len() {
        return Err(QueryError::new(Code::Parameter, "a parameter was given more than once"));
    }
    if used.is_empty() {
        return Ok(plan);
    }
    let values: Vec<(&str, ScalarValue)> = request
        .params
        .iter()
        .map(|(name, value): &(String, Param)| (name.as_str(), value.scalar()))
        .collect();
    plan.with_param_values(values).map_err(error)
}

fn allow(statement: &Statement, name: &str) -> Result<(), QueryError> {
    match statement {
        Statement::Explain(explain) => allow(&explain.statement, name),
        Statement::Statement(statement) => allow_sql(statement, name),
        _ => Err(no_query(name)),
    }
}

fn allow_sql(statement: &SqlStatement, name: &str) -> Result<(), QueryError> {
    match statement {
        SqlStatement::Query(_)
        | SqlStatement::ExplainTable { .. }
        | SqlStatement::ShowTables { .. }
        | SqlStatement::ShowColumns { .. }
        // The engine pastes a filter into a query of its own: without one only.
        | SqlStatement::ShowFunctions { filter: None } => {}
        _ => return Err(no_query(name)),
    }
    // INSERT, UPDATE, DELETE and MERGE may hide as the body of a query or of a WITH.
    let hidden = visit_statements(statement, |inner| match inner {
        SqlStatement::Query(_)
        | SqlStatement::ExplainTable { .. }
        | SqlStatement::ShowTables { .. }
        | SqlStatement::ShowColumns { .. }
        | SqlStatement::ShowFunctions { .. } => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    });
    if hidden.is_break() {
        return Err(no_query("a statement that changes data, inside a query,"));
    }
    if let Some(clause) = ignored::clause(statement) {
        let text = format!("{clause} is not supported: the engine would leave it out of account");
        return Err(QueryError::new(Code::Plan, text));
    }
    let mut relations = 0usize;
    let many = visit_relations(statement, |_| {
        relations += 1;
        if relations > RELATIONS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if many.is_break() {
        let text = format!("the query names more than {RELATIONS_MAX} tables");
        return Err(QueryError::new(Code::LimitSql, text));
    }
    growth::check_relations(statement)
}

fn no_query(name: &str) -> QueryError {
    QueryError::new(
        Code::Refused,
        format!(
            "{name} is no query; an archive answers SELECT, WITH, VALUES, EXPLAIN, DESCRIBE, SHOW \
             TABLES, SHOW COLUMNS and SHOW FUNCTIONS, and nothing that writes, sets or reads \
             elsewhere"
        ),
    )
}

fn refusal(node: &LogicalPlan) -> Option<String> {
    match node {
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Join(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::EmptyRelation(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Values(_)
        | LogicalPlan::Explain(_)
        | LogicalPlan::Analyze(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::DescribeTable(_)
        | LogicalPlan::Unnest(_)
        | LogicalPlan::RecursiveQuery(_)
        | LogicalPlan::Repartition(_) => None,
        LogicalPlan::TableScan(scan) => foreign_table(scan),
        LogicalPlan::Statement(_)
        | LogicalPlan::Extension(_)
        | LogicalPlan::Dml(_)
        | LogicalPlan::Ddl(_)
        | LogicalPlan::Copy(_) => Some(format!("{} is no part of a query", node.display())),
    }
}

fn foreign_table(scan: &TableScan) -> Option<String> {
    let table = scan.table_name.table();
    if let Ok(provider) = source_as_provider(&scan.source) {
        let provider: &dyn Any = provider.as_ref();
        // What a recursive WITH reads of itself; it has the name the query gave it.
        if provider.is::<CteWorkTable>() {
            return None;
        }
    }
    let is_known = TABLES.contains(&table) || VIEWS.iter().any(|view| view.name == table);
    let ours = match &scan.table_name {
        TableReference::Bare { .. } => is_known || TABLE_FUNCTIONS.contains(&table),
        TableReference::Partial { schema, .. } | TableReference::Full { schema, .. } => {
            is_known || schema.as_ref() == "information_schema"
        }
    };
    (!ours).then(|| format!("{} is no table of this archive", scan.table_name))
}

/// Refuses text whose syntax tree could be deep enough to exhaust a stack. The parser bounds what
/// parentheses nest; a chain of operators nests as well, one level each, and is walked by code
/// that recurses. Commas, literals and names nest nothing, so long IN lists pass.
fn check_nesting(tokens: &[TokenWithSpan]) -> Result<(), QueryError> {
    let count = tokens.iter().filter(|token| nests(&token.token)).count();
    if count <= NESTING_TOKENS_MAX {
        return Ok(());
    }
    let text = format!(
        "the query has {count} operators and keywords, at most {NESTING_TOKENS_MAX} are read; write \
         a long chain of OR as an IN list"
    );
    Err(QueryError::new(Code::LimitSql, text))
}

fn nests(token: &Token) -> bool {
    match token {
        Token::Word(word) => word.keyword != Keyword::NoKeyword && word.quote_style.is_none(),
        Token::EOF
        | Token::Number(..)
        | Token::Char(_)
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::EscapedStringLiteral(_)
        | Token::NationalStringLiteral(_)
        | Token::HexStringLiteral(_)
        | Token::Comma
        | Token::Whitespace(_)
        | Token::LParen
        | Token::RParen
        | Token::Placeholder(_)
        | Token::SemiColon => false,
        _ => true,
    }
}

fn first_word(tokens: &[TokenWithSpan]) -> String {
    let word = tokens.iter().find_map(|token| match &token.token {
        Token::Word(word) => Some(word.value.to_uppercase()),
        _ => None,
    });
    word.unwrap_or_else(|| "this".to_owned()).chars().take(40).collect()
}

/// The tables there are.
const TABLES: [&str; 2] = [EVENTS_TABLE, QUARANTINE_TABLE];

/// Scans of the engine's table functions, as it names them; both only count.
const TABLE_FUNCTIONS: [&str; 2] = ["generate_series()", "range()"];

/// Deepest nesting of parentheses and subqueries.
const PAREN_DEPTH_MAX: usize = 50;

/// Most operators and keywords in one text: several times what people write. Planning a chain of
/// this length takes seconds in a build without optimisation (it is worse than quadratic), and
/// evaluating it needs half of a stack of 2 MiB.
const NESTING_TOKENS_MAX: usize = 700;

/// Most tables named in one text; a list of tables in FROM nests one join each.
const RELATIONS_MAX: usize = 64;

#[cfg(test)]
mod tests;
