//! Expressions that both engines must evaluate alike, typed, so that every one of them has a
//! value. What they are known to evaluate otherwise is not here but in `tests/differences.md`.

use crate::sim::chance::Chance;

/// Type of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    Double,
    Boolean,
    Time,
    Date,
}

pub(super) const KINDS: [Kind; 6] =
    [Kind::Text, Kind::Integer, Kind::Double, Kind::Boolean, Kind::Time, Kind::Date];

/// Kinds whose values are the same to the last bit in both engines: by these rows are ordered,
/// grouped and told apart.
pub(super) const EXACT: [Kind; 5] =
    [Kind::Text, Kind::Integer, Kind::Boolean, Kind::Time, Kind::Date];

/// Makes expressions over the columns of one relation.
pub(super) struct Grammar<'a> {
    pub(super) chance: &'a mut Chance,
    /// Name of the relation, put before each column.
    pub(super) of: &'a str,
}

const TEXT_COLUMNS: [&str; 22] = [
    "mesh",
    "source_format",
    "event_kind",
    "decision",
    "decision",
    "decision_source",
    "decision_reason",
    "policy_name",
    "principal",
    "principal_type",
    "src_identity",
    "src_ip",
    "src_namespace",
    "dst_namespace",
    "dst_service",
    "reporter",
    "k8s_cluster",
    "http_method",
    "url_path",
    "network_protocol",
    "user_agent",
    "tls_version",
];
const INTEGER_COLUMNS: [&str; 9] = [
    "http_status",
    "http_status",
    "grpc_status",
    "severity_id",
    "src_port",
    "request_bytes",
    "response_bytes",
    "duration_us",
    "segment_row",
];
const BOOLEAN_COLUMNS: [&str; 3] = ["mtls", "tls_failure", "change_applied"];
const TIME_COLUMNS: [&str; 3] = ["event_time", "event_time", "peer_cert_not_after"];

const TEXTS: [&str; 22] = [
    "",
    "allow",
    "deny",
    "error",
    "istio",
    "GET",
    "POST",
    "http/1.1",
    "shop",
    "payments",
    "rbac",
    "destination",
    "prod-eu-1",
    "/orders",
    "/users/7",
    "10.15.0.1",
    "alice@example.com",
    "spiffe://prod-eu-1.example/ns/shop/sa/frontend",
    "a'b",
    "Zürich",
    "%",
    "x",
];
const PATTERNS: [&str; 14] = [
    "%",
    "a%",
    "%e%",
    "_llow",
    "%/items",
    "/users/%",
    "",
    "%.example%",
    "spiffe://%",
    "d__y",
    "_%_",
    "%Mozilla%",
    "10.1_.%",
    "%''%",
];
const EXPRESSIONS: [&str; 8] =
    ["^/users/[0-9]+$", "e", "^[a-z]+$", "(GET|POST)", "[0-9]{2,}", "^$", "(?i)ISTIO", "\\."];
const INTEGERS: [i64; 12] = [-7, -1, 0, 1, 2, 3, 9, 17, 200, 403, 1_000, 65_535];
const DATES: [&str; 4] = ["2026-11-01", "2026-11-02", "2026-11-03", "2026-11-05"];
const TIMES: [&str; 4] = [
    "2026-11-02 00:00:00+00",
    "2026-11-02 11:30:00+00",
    "2026-11-03 23:59:59.999999+00",
    "2026-11-04 06:00:00.5+00",
];
const WIDTHS: [&str; 5] = ["1 minute", "15 minutes", "1 hour", "6 hours", "1 day"];
const NETWORKS: [&str; 5] =
    ["10.0.0.0/8", "10.15.0.0/16", "10.16.128.0/17", "0.0.0.0/0", "91.12.17.126"];

pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Grammar<'_> {
    /// An expression of this type, of at most so many levels.
    pub(super) fn expression(&mut self, kind: Kind, depth: usize) -> String {
        if depth == 0 || self.chance.permille(250) {
            return self.leaf(kind);
        }
        if self.chance.permille(200) {
            return self.choice(kind, depth - 1);
        }
        match kind {
            Kind::Text => self.text(depth - 1),
            Kind::Integer => self.integer(depth - 1),
            Kind::Double => self.double(depth - 1),
            Kind::Boolean => self.condition(depth - 1),
            Kind::Time => self.time(depth - 1),
            Kind::Date => format!("CAST({} AS DATE)", self.expression(Kind::Time, depth - 1)),
        }
    }

    fn column(&mut self, names: &[&str]) -> String {
        format!("{}.{}", self.of, self.chance.one_of(names))
    }

    /// A column or a constant.
    pub(super) fn leaf(&mut self, kind: Kind) -> String {
        let is_column = self.chance.permille(750);
        match kind {
            Kind::Text if is_column => self.column(&TEXT_COLUMNS),
            Kind::Text => quoted(self.chance.one_of(&TEXTS)),
            Kind::Integer if is_column => self.column(&INTEGER_COLUMNS),
            // As 64 bits in both engines.
            Kind::Integer => format!("CAST({} AS BIGINT)", self.chance.one_of(&INTEGERS)),
            Kind::Double => format!("CAST({} AS DOUBLE)", self.leaf(Kind::Integer)),
            Kind::Boolean if is_column => self.column(&BOOLEAN_COLUMNS),
            Kind::Boolean => self.chance.one_of(&["true", "false"]).to_owned(),
            Kind::Time if is_column => self.column(&TIME_COLUMNS),
            Kind::Time => format!("TIMESTAMPTZ '{}'", self.chance.one_of(&TIMES)),
            Kind::Date if is_column => format!("{}.event_date", self.of),
            Kind::Date => format!("DATE '{}'", self.chance.one_of(&DATES)),
        }
    }

    /// One of several values of the same type.
    fn choice(&mut self, kind: Kind, depth: usize) -> String {
        let (a, b) = (self.expression(kind, depth), self.expression(kind, depth));
        match self.chance.below(6) {
            0 => format!("coalesce({a}, {b})"),
            1 => format!("nullif({a}, {b})"),
            2 => {
                let when = self.expression(Kind::Boolean, depth);
                format!("CASE WHEN {when} THEN {a} ELSE {b} END")
            }
            3 => {
                let (one, two) =
                    (self.expression(Kind::Boolean, depth), self.expression(Kind::Boolean, depth));
                format!("CASE WHEN {one} THEN {a} WHEN {two} THEN {b} END")
            }
            4 => {
                let of = self.leaf(Kind::Text);
                let is = quoted(self.chance.one_of(&TEXTS));
                format!("CASE {of} WHEN {is} THEN {a} ELSE {b} END")
            }
            _ => coerced(kind, "NULL"),
        }
    }

    fn text(&mut self, depth: usize) -> String {
        let a = self.expression(Kind::Text, depth);
        let number = self.chance.within(1, 6);
        match self.chance.below(19) {
            0 => format!("lower({a})"),
            1 => format!("upper({a})"),
            2 => format!("trim({a})"),
            3 => format!("({a} || {})", self.expression(Kind::Text, depth)),
            4 => format!("concat({a}, '-', {})", self.expression(Kind::Text, depth)),
            5 => format!("substr({a}, {number}, {})", self.chance.within(0, 5)),
            6 => format!("left({a}, {number})"),
            7 => format!("right({a}, {number})"),
            8 => format!("replace({a}, 'e', '__')"),
            9 => format!("split_part({a}, '/', {number})"),
            10 => format!("CAST({} AS VARCHAR)", self.expression(Kind::Integer, depth)),
            11 => format!("regexp_replace({a}, '[0-9]+', 'N', 'g')"),
            12 => format!("path_template({}.url_path)", self.of),
            13 => format!("spiffe_service_account({}.src_identity)", self.of),
            14 => format!("spiffe_trust_domain({}.dst_identity)", self.of),
            15 => format!("email_domain({}.principal)", self.of),
            16 => format!("http_status_class({})", self.expression(Kind::Integer, depth)),
            17 => format!("json_get_text({}.attributes, 'access_log_type')", self.of),
            _ => format!("k8s_service_account_namespace({}.principal)", self.of),
        }
    }

    /// A whole number that leaves room for arithmetic: columns hold the largest there is.
    pub(super) fn small(&mut self, depth: usize) -> String {
        format!("({} % CAST(1000003 AS BIGINT))", self.expression(Kind::Integer, depth))
    }

    fn integer(&mut self, depth: usize) -> String {
        let a = self.expression(Kind::Integer, depth);
        match self.chance.below(11) {
            0 => format!("({} + {})", self.small(depth), self.small(depth)),
            1 => format!("({} - {})", self.small(depth), self.small(depth)),
            2 => format!("({} * CAST({} AS BIGINT))", self.small(depth), self.chance.within(2, 9)),
            3 => format!("({a} % CAST({} AS BIGINT))", self.chance.within(2, 90)),
            4 => format!("abs({a})"),
            5 => format!("length({})", self.expression(Kind::Text, depth)),
            6 => format!("strpos({}, 'e')", self.expression(Kind::Text, depth)),
            7 => format!("greatest({a}, {})", self.expression(Kind::Integer, depth)),
            8 => format!("least({a}, {})", self.expression(Kind::Integer, depth)),
            9 => {
                let part = self.chance.one_of(&["year", "month", "day", "hour", "minute", "dow"]);
                format!(
                    "CAST(extract({part} FROM {}) AS BIGINT)",
                    self.expression(Kind::Time, depth)
                )
            }
            _ => format!("CAST({} AS BIGINT)", self.expression(Kind::Boolean, depth)),
        }
    }

    fn double(&mut self, depth: usize) -> String {
        let a = self.expression(Kind::Double, depth);
        let number = self.chance.within(2, 9);
        match self.chance.below(5) {
            0 => format!("({a} / CAST({number} AS DOUBLE))"),
            1 => format!("({a} * CAST(0.25 AS DOUBLE))"),
            2 => format!("({a} + {})", self.expression(Kind::Double, depth)),
            3 => format!("sqrt(abs({a}))"),
            _ => format!("CAST({} AS DOUBLE)", self.expression(Kind::Integer, depth)),
        }
    }

    fn time(&mut self, depth: usize) -> String {
        let a = self.expression(Kind::Time, depth);
        let width = self.chance.one_of(&WIDTHS);
        match self.chance.below(4) {
            0 => format!("date_bin(INTERVAL '{width}', {a})"),
            1 => format!("({a} + INTERVAL '{width}')"),
            2 => format!("({a} - INTERVAL '{width}')"),
            _ => {
                let part = self.chance.one_of(&["minute", "hour", "day", "week", "month"]);
                format!("date_trunc('{part}', {a})")
            }
        }
    }

    /// A condition; it may be true, false or unknown.
    pub(super) fn condition(&mut self, depth: usize) -> String {
        match self.chance.below(15) {
            0..=3 => self.comparison(depth),
            4 => {
                let (a, b) = (self.condition_below(depth), self.condition_below(depth));
                format!("({a} AND {b})")
            }
            5 => {
                let (a, b) = (self.condition_below(depth), self.condition_below(depth));
                format!("({a} OR {b})")
            }
            6 => format!("(NOT {})", self.condition_below(depth)),
            7 => {
                let kind = self.chance.one_of(&KINDS);
                let not = self.chance.one_of(&["", " NOT"]);
                format!("({} IS{not} NULL)", self.expression(kind, depth))
            }
            8 => {
                let is = self.chance.one_of(&["TRUE", "FALSE", "NOT TRUE", "UNKNOWN"]);
                format!("({} IS {is})", self.expression(Kind::Boolean, depth))
            }
            9 => self.list(depth),
            10 => {
                let kind = self.chance.one_of(&[Kind::Text, Kind::Integer, Kind::Time, Kind::Date]);
                let mut value = || self.expression(kind, depth);
                let (a, low, high) = (value(), value(), value());
                let not = self.chance.one_of(&["", " NOT"]);
                format!("({a}{not} BETWEEN {low} AND {high})")
            }
            11 => {
                let like = self.chance.one_of(&["LIKE", "NOT LIKE", "ILIKE", "NOT ILIKE"]);
                let pattern = self.chance.one_of(&PATTERNS);
                format!("({} {like} '{pattern}')", self.expression(Kind::Text, depth))
            }
            12 => {
                let pattern = quoted(self.chance.one_of(&EXPRESSIONS));
                format!("regexp_like({}, {pattern})", self.expression(Kind::Text, depth))
            }
            13 => {
                let name = self.chance.one_of(&["starts_with", "contains"]);
                let part = quoted(self.chance.one_of(&TEXTS));
                format!("{name}({}, {part})", self.expression(Kind::Text, depth))
            }
            _ => self.of_the_field(),
        }
    }

    fn condition_below(&mut self, depth: usize) -> String {
        if depth == 0 { self.leaf(Kind::Boolean) } else { self.condition(depth - 1) }
    }

    fn comparison(&mut self, depth: usize) -> String {
        let kind = self.chance.one_of(&KINDS);
        let (a, b) = (self.expression(kind, depth), self.leaf(kind));
        let signs =
            ["=", "=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"];
        // Doubles differ in their last bits, so equal to one is not equal to the other.
        let signs = if kind == Kind::Double { &signs[3..7] } else { &signs[..] };
        format!("({a} {} {b})", self.chance.one_of(signs))
    }

    fn list(&mut self, depth: usize) -> String {
        let kind = self.chance.one_of(&[Kind::Text, Kind::Integer, Kind::Date]);
        let a = self.expression(kind, depth);
        let mut list: Vec<String> =
            (0..self.chance.within(1, 4)).map(|_| self.leaf(kind)).collect();
        if self.chance.permille(200) {
            list.push("NULL".to_owned());
        }
        let not = self.chance.one_of(&["", " NOT"]);
        format!("({a}{not} IN ({}))", list.join(", "))
    }

    fn of_the_field(&mut self) -> String {
        let of = self.of;
        match self.chance.below(5) {
            0 => format!("is_denied({of}.decision)"),
            1 => format!("would_be_denied({of}.decision, {of}.shadow_decision)"),
            2 => format!("cidr_contains('{}', {of}.src_ip)", self.chance.one_of(&NETWORKS)),
            3 => format!("json_exists({of}.attributes, 'rbac_meta')"),
            _ => format!("array_has({of}.response_flags, 'UF')"),
        }
    }
}

/// NULL of a type.
fn coerced(kind: Kind, value: &str) -> String {
    let name = match kind {
        Kind::Text => "VARCHAR",
        Kind::Integer => "BIGINT",
        Kind::Double => "DOUBLE",
        Kind::Boolean => "BOOLEAN",
        Kind::Time => "TIMESTAMPTZ",
        Kind::Date => "DATE",
    };
    format!("CAST({value} AS {name})")
}
