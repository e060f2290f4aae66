//! The text form of audit events: `<time> AUDIT: id="…" stage="…" …`, values quoted as Go does.
//! Source: kubernetes/apiserver pkg/audit/format.go and pkg/endpoints/request/requestinfo.go, as
//! collected in the format reference.
//!
//! The line has no reference to the object; it is read from the path.

use std::borrow::Cow;

use memchr::memmem;

use super::call::{Answer, Call, Resource, Stage, Text, fill, split_uri};
use super::canon::Canon;
use super::goquote;
use super::read;
use super::walk;
use super::who::{Groups, User};
use crate::parse::event::{Context, Event, Events, Row};
use crate::parse::fields as f;
use crate::parse::time;

/// Text of column `source_format`.
pub(super) const SOURCE_FORMAT: &str = "k8s_audit_legacy";

/// Longest RFC 3339 time with nine digits and an offset, and room.
const TIME_BYTES_MAX: usize = 40;

/// Time, in microseconds, and fields of a line; `None` if it is no audit line.
pub(super) fn split(line: &[u8]) -> Option<(i64, &[u8])> {
    const MARK: &[u8] = b" AUDIT: ";
    let head = line.get(..TIME_BYTES_MAX + MARK.len()).unwrap_or(line);
    let at = memmem::find(head, MARK)?;
    let micros = time::parse_rfc3339(line.get(..at)?)?;
    let fields = line.get(at + MARK.len()..)?;
    fields.starts_with(b"id=").then_some((micros, fields))
}

/// The fields that are read; the others stand in `raw` alone.
#[derive(Debug, Default)]
struct Fields<'a> {
    id: Text<'a>,
    stage: Text<'a>,
    ip: Text<'a>,
    method: Text<'a>,
    user: Text<'a>,
    groups: Text<'a>,
    impersonated: Text<'a>,
    user_agent: Text<'a>,
    uri: Text<'a>,
    response: Text<'a>,
    /// What was not understood, and how much that matters.
    problem: Option<(&'static str, &'static str)>,
}

/// Appends the event of a line that [`split`] has split.
pub(super) fn parse(
    line: &[u8],
    micros: i64,
    text: &[u8],
    canon: &mut Canon,
    context: &Context<'_>,
    events: &mut Events,
) {
    let fields = fields(text);
    let uri = fields.uri.as_deref();
    let code = fields.response.as_deref().and_then(|code| std::str::from_utf8(code).ok());
    let call = Call {
        stage: Stage::of(fields.stage.as_deref()),
        verb: fields.method.as_deref().map(Cow::Borrowed),
        uri: uri.map(Cow::Borrowed),
        user: User {
            name: fields.user.as_deref().map(Cow::Borrowed),
            groups: fields.groups.as_deref().map_or(Groups::None, Groups::Quoted),
            impersonated: fields.impersonated.as_deref().map(Cow::Borrowed),
            ..User::default()
        },
        source_ip: fields.ip.as_deref().map(Cow::Borrowed),
        user_agent: fields.user_agent.as_deref().map(Cow::Borrowed),
        request_id: fields.id.as_deref().map(Cow::Borrowed),
        answer: Answer {
            code: code.and_then(|code| code.parse().ok()),
            is_http: true,
            ..Answer::default()
        },
        resource: uri.map_or_else(Resource::default, resource_of),
        ..Call::default()
    };
    let event = events.begin();
    read::set_time(event, (micros, "payload"));
    fill(event, &call, SOURCE_FORMAT, canon);
    finish(event, line, fields.problem, context);
}

fn finish(
    event: &mut Event,
    line: &[u8],
    problem: Option<(&'static str, &'static str)>,
    context: &Context<'_>,
) {
    for (column, value) in &context.envelope.columns {
        event.text(*column, value.as_bytes());
    }
    let envelope = &context.envelope.attributes;
    if !envelope.is_empty() {
        event.text(f::ATTRIBUTES, &[b"{", envelope.as_slice(), b"}"].concat());
    }
    let (status, error) = problem.unwrap_or(("ok", ""));
    event.text(f::PARSE_STATUS, status.as_bytes());
    if !error.is_empty() {
        event.text(f::PARSE_ERROR, error.as_bytes());
    }
    event.text(f::RAW, context.outer.unwrap_or(line));
}

fn fields(mut rest: &[u8]) -> Fields<'_> {
    let mut fields = Fields::default();
    let mut seen = 0u16;
    loop {
        rest = rest.trim_ascii();
        if rest.is_empty() {
            return fields;
        }
        let Some((key, value, behind)) = field(rest) else {
            fields.problem = Some(("partial", "expected key=\"value\", found something else"));
            return fields;
        };
        rest = behind;
        let (place, bit) = match key {
            b"id" => (&mut fields.id, 0),
            b"stage" => (&mut fields.stage, 1),
            b"ip" => (&mut fields.ip, 2),
            b"method" => (&mut fields.method, 3),
            b"user" => (&mut fields.user, 4),
            b"groups" => (&mut fields.groups, 5),
            b"as" => (&mut fields.impersonated, 6),
            b"user-agent" => (&mut fields.user_agent, 7),
            b"uri" => (&mut fields.uri, 8),
            b"response" => (&mut fields.response, 9),
            _ => continue,
        };
        *place = Some(value).filter(|value| !is_absent(value));
        if seen & (1 << bit) != 0 {
            let error = "a key stands twice; the last value was read";
            fields.problem = fields.problem.or(Some(("ambiguous", error)));
        }
        seen |= 1 << bit;
    }
}

/// A key, its value, and the text behind them.
type Field<'a> = (&'a [u8], Cow<'a, [u8]>, &'a [u8]);

/// Key, value and what follows of `key="value" …`.
fn field(text: &[u8]) -> Option<Field<'_>> {
    let (key, quoted) = text.split_at_checked(memchr::memchr2(b'=', b' ', text)?)?;
    let (value, behind) = goquote::split(quoted.strip_prefix(b"=")?)?;
    Some((key, goquote::unquote(value), behind))
}

fn is_absent(text: &[u8]) -> bool {
    walk::is_absent(text)
        || matches!(text, b"<none>" | b"<self>" | b"<lookup>" | b"<unknown>" | b"<deferred>")
}

/// The names in a list of groups: each is quoted once more, with commas between.
pub(super) fn groups(list: &[u8]) -> impl Iterator<Item = Cow<'_, [u8]>> {
    let mut rest = list;
    let names = std::iter::from_fn(move || {
        let (inside, behind) = goquote::split(rest)?;
        rest = behind.strip_prefix(b",").unwrap_or_default();
        Some(goquote::unquote(inside))
    });
    names.filter(|name| !is_absent(name))
}

/// What the path `/api/<version>/…` or `/apis/<group>/<version>/…` of a URI names.
fn resource_of(uri: &[u8]) -> Resource<'_> {
    let (path, _) = split_uri(uri);
    let mut parts = path.strip_prefix(b"/").unwrap_or(path).split(|&byte| byte == b'/');
    let group = match parts.next() {
        Some(b"api") => None,
        Some(b"apis") => parts.next(),
        _ => return Resource::default(),
    };
    let version = parts.next();
    let mut parts = parts.peekable();
    // Old forms of watching and of proxies put these words first.
    let is_old = |part: &&[u8]| matches!(*part, b"watch" | b"proxy");
    parts.next_if(is_old);
    resource_under(group, version, parts)
}

/// The resource named by the parts of a path behind group and version, as the apiserver reads
/// them; without any, no resource at all.
pub(super) fn resource_under<'a>(
    group: Option<&'a [u8]>,
    version: Option<&'a [u8]>,
    parts: impl Iterator<Item = &'a [u8]>,
) -> Resource<'a> {
    let mut parts = parts.map(|part| Some(part).filter(|part| !walk::is_absent(part)));
    let mut next = || parts.next().flatten();
    let first = next();
    let mut namespace = None;
    let (resource, name, subresource) = if first == Some(&b"namespaces"[..]) {
        namespace = next();
        match next() {
            // A namespace itself is in that namespace.
            None => (first, namespace, None),
            Some(own @ (b"status" | b"finalize")) => (first, namespace, Some(own)),
            inside => (inside, next(), next()),
        }
    } else {
        (first, next(), next())
    };
    if resource.is_none() {
        return Resource::default();
    }
    let text = |part: Option<&'a [u8]>| -> Text<'a> {
        part.filter(|part| !walk::is_absent(part)).map(Cow::Borrowed)
    };
    Resource {
        group: text(group),
        version: text(version),
        resource: text(resource),
        subresource: text(subresource),
        namespace: text(namespace),
        name: text(name),
        ..Resource::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_resources_as_the_apiserver_reads_them() {
        for (uri, expected) in [
            ("/api/v1/namespaces/shop/pods/a/exec?x=1", "|v1|shop|pods|a|exec"),
            ("/api/v1/namespaces", "|v1||namespaces||"),
            ("/api/v1/namespaces/shop", "|v1|shop|namespaces|shop|"),
            ("/api/v1/namespaces/shop/finalize", "|v1|shop|namespaces|shop|finalize"),
            ("/api/v1/nodes/n/", "|v1||nodes|n|"),
            ("/apis/apps/v1/watch/namespaces/shop/deployments", "apps|v1|shop|deployments||"),
            ("/api/v1/namespaces/namespaces/namespaces", "|v1|namespaces|namespaces||"),
            ("/api/v1", "|||||"),
            ("/apis", "|||||"),
            ("/healthz", "|||||"),
            ("", "|||||"),
        ] {
            let found = resource_of(uri.as_bytes());
            let text = |text: &Text<'_>| {
                String::from_utf8(text.clone().unwrap_or_default().into_owned()).unwrap()
            };
            let found = [
                &found.group,
                &found.version,
                &found.namespace,
                &found.resource,
                &found.name,
                &found.subresource,
            ]
            .map(text)
            .join("|");
            assert_eq!(found, expected, "{uri}");
        }
    }

    #[test]
    fn a_line_that_breaks_off_is_read_as_far_as_it_goes() {
        let fields = fields(br#"id="a" user="b\"c" uri="/api"#);
        assert_eq!(fields.id.as_deref(), Some(&b"a"[..]));
        assert_eq!(fields.user.as_deref(), Some(&b"b\"c"[..]));
        assert_eq!(fields.problem.map(|(status, _)| status), Some("partial"));
        let fields = super::fields(br#"id="a" id="b" namespace="x""#);
        assert_eq!(fields.id.as_deref(), Some(&b"b"[..]));
        assert_eq!(fields.problem.map(|(status, _)| status), Some("ambiguous"));
    }
}
