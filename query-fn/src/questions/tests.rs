//! Headers, defaults, and what is wrong with them.

use super::*;

const DENIED: &str = "\
-- question: Who was denied, and by which policy?
-- name: denied_by_policy
-- param: since timestamp = '2026-11-02T00:00:00Z'  -- from when on
-- param: principal text = NULL   -- only this one
-- param: word text = 'it''s -- quoted'
-- param: most integer = 10 -- rows
-- param: policy text
-- cost: six columns
--
-- Free text goes here.
SELECT $policy, $word FROM mesh_events -- name: no header any more
WHERE event_time >= $since AND ($principal IS NULL OR principal = $principal) LIMIT $most
";

fn given(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn a_header_is_read_and_defaults_apply() {
    let question = Question::parse("denied.sql", DENIED).unwrap();
    assert_eq!(question.name, "denied_by_policy");
    assert_eq!(question.question, "Who was denied, and by which policy?");
    assert_eq!(question.cost.as_deref(), Some("six columns"));
    assert_eq!(question.params[0].help, "from when on");
    assert_eq!(question.params[4].default, None);
    let request =
        question.request(&given(&[("policy", "p"), ("most", "3")]), Mode::Strict).unwrap();
    let expected = [
        ("since", Param::Timestamp(Some(1_793_577_600_000_000))),
        ("principal", Param::Text(None)),
        ("word", Param::Text(Some("it's -- quoted".to_owned()))),
        ("most", Param::Integer(Some(3))),
        ("policy", Param::Text(Some("p".to_owned()))),
    ];
    assert_eq!(request.params, expected.map(|(name, value)| (name.to_owned(), value)));
    assert_eq!(request.sql, DENIED);
}

#[test]
fn wrong_values_are_named() {
    let question = Question::parse("denied.sql", DENIED).unwrap();
    let check = |pairs: &[(&str, &str)], expected: &str| {
        let error = question.request(&given(pairs), Mode::Fresh).unwrap_err();
        assert_eq!(error.code(), Code::Parameter);
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(&[], "needs policy");
    check(&[("policy", "p"), ("polciy", "q")], "takes no polciy; it takes: since (timestamp)");
    check(&[("policy", "p"), ("policy", "q")], "more than once");
    check(&[("policy", "p"), ("most", "many")], "most: expected a whole number, found \"many\"");
    check(&[("policy", "p"), ("since", "yesterday")], "since: expected a date or time");
    check(&[("policy", "p"), ("since", "2026-02-30")], "since: expected a date or time");
}

#[test]
fn moments_are_read_in_utc_and_with_offsets() {
    for (text, micros) in [
        ("2026-11-02", 1_793_577_600_000_000),
        ("2026-11-02T00:00:00Z", 1_793_577_600_000_000),
        ("2026-11-02 00:00:01.5", 1_793_577_601_500_000),
        ("2026-11-02T01:00:00+01:00", 1_793_577_600_000_000),
        ("1969-12-31T23:59:59.999999Z", -1),
    ] {
        let read = Param::parse("t", ParamKind::Timestamp, text).unwrap();
        assert_eq!(read, Param::Timestamp(Some(micros)), "{text}");
    }
}

#[test]
fn broken_headers_are_errors_with_their_line() {
    let check = |text: &str, expected: &str| {
        let error = Question::parse("q.sql", text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    };
    check("SELECT 1", "q.sql: expected a line `-- name: …`");
    check("-- name: a\nSELECT 1", "a line `-- question: …`");
    check("-- name: A b\n-- question: x\nSELECT 1", "a name of a-z, 0-9 and _");
    check("-- name: a\n-- name: b\nSELECT 1", "q.sql line 2: expected one value, once");
    check(
        "-- naem: a\nSELECT 1",
        "q.sql line 1: expected question, name, control, param, one_of, values or cost, found naem",
    );
    for param in [
        "since",
        "since moment",
        "Since text",
        "since timestamp = 2026-11-02",
        "since timestamp = 'yesterday'",
        "since text = 'open",
        "since text stray",
        "n integer = one",
    ] {
        check(&format!("-- name: a\n-- question: x\n-- param: {param}\nSELECT 1"), "expected");
    }
    let head = "-- name: a\n-- question: x\n";
    check(&format!("{head}SELECT $x"), "$x both in a `-- param:` line and in the SQL");
    check(&format!("{head}-- param: y text\nSELECT 1"), "$y both");
    check(&format!("{head}-- param: y text\n-- param: y text\nSELECT $y"), "declared once");
}

#[test]
fn a_collection_has_each_name_once_and_knows_its_names() {
    let text = |name: &str| format!("-- name: {name}\n-- question: x\nSELECT 1");
    let (a, b) = (text("a"), text("b"));
    let questions = Questions::parse([("b.sql", b.as_str()), ("a.sql", a.as_str())]).unwrap();
    assert_eq!(questions.iter().map(|q| q.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert!(questions.get("c").unwrap_err().to_string().contains("there are: a, b"));
    assert!(Questions::parse([("a.sql", a.as_str()), ("c.sql", a.as_str())]).is_err());
}

#[test]
fn one_of_several_parameters_must_be_given() {
    let text = "-- question: Q?\n-- name: q\n-- param: a text = NULL\n-- param: b text = NULL\n\
                -- one_of: a, b\nSELECT $a, $b";
    let question = Question::parse("q.sql", text).unwrap();
    let ask = |given: &[(&str, &str)]| {
        let given: Vec<_> = given.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        question.request(&given, Mode::Strict)
    };
    assert!(ask(&[("b", "x")]).is_ok());
    assert!(ask(&[]).unwrap_err().to_string().contains("q needs one of a, b"));
    let unknown = text.replace("a, b\n", "a, c\n");
    assert!(Question::parse("q.sql", &unknown).is_err());
}

#[test]
fn a_parameter_may_be_held_to_certain_values() {
    let text = "-- question: Q?\n-- name: q\n-- param: who text = 'workload'\n\
                -- values: who: workload, one principal\nSELECT $who";
    let question = Question::parse("q.sql", text).unwrap();
    let ask = |value: &str| question.request(&given(&[("who", value)]), Mode::Fresh);
    assert!(ask("one principal").is_ok() && question.request(&[], Mode::Fresh).is_ok());
    let error = ask("user").unwrap_err();
    assert_eq!(error.code(), Code::Parameter);
    let expected = "who: expected one of workload, one principal, found \"user\"";
    assert_eq!(error.to_string(), format!("PARAMETER: {expected}"));
    for (wrong, right) in [
        ("'workload'", "'nobody'"),
        ("who text = 'workload'", "who integer = 1"),
        ("values: who:", "values: whom:"),
        ("values: who:", "values: who"),
    ] {
        assert!(Question::parse("q.sql", &text.replace(wrong, right)).is_err(), "{right}");
    }
    let null = text.replace("'workload'", "NULL");
    assert!(Question::parse("q.sql", &null).is_ok());
}

#[test]
fn a_report_cites_its_control_and_so_its_framework() {
    let text = "-- question: Q?\n-- name: q\n-- control: PCI DSS 4.0.1, 10.2.1.4\nSELECT 1";
    let question = Question::parse("q.sql", text).unwrap();
    assert_eq!(question.control.as_deref(), Some("PCI DSS 4.0.1, 10.2.1.4"));
    assert_eq!(question.framework(), Some("PCI DSS 4.0.1"));
    assert!(Question::parse("q.sql", &text.replace(", 10", " 10")).is_err());
}
