//! Entries of Google's Cloud Audit Logs about clusters: another schema for the same calls.
//! Source: log entries as published in public issues and test fixtures, see the format reference.

use std::borrow::Cow;

use super::audit::Reader;
use super::call::{Answer, Call, Object, Resource, Stage, Text, fill, set};
use super::keys::{payload, top};
use super::legacy::resource_under;
use super::read::{self, Doubt};
use super::walk;
use super::who::User;
use crate::parse::event::{Context, Events, Row};
use crate::parse::fields as f;
use crate::parse::json::{Scanner, Seen};
use crate::reject::Reject;

/// Text of column `source_format`.
pub(super) const SOURCE_FORMAT: &str = "gke_audit";

/// Whether the entry that `outer` has scanned is of a cluster's audit log.
pub(super) fn is_gke(outer: &Scanner, record: &[u8]) -> bool {
    let payload = read::nested(outer.slot(top::PROTO_PAYLOAD), record).unwrap_or_default();
    let service = walk::member(payload, "serviceName").and_then(walk::string);
    service.as_deref() == Some(b"k8s.io")
}

/// A text of a nested object, by the names that lead to it.
fn text_at<'a>(mut value: &'a [u8], names: &[&str]) -> Text<'a> {
    for name in names {
        value = walk::member(value, name)?;
    }
    walk::text(value)
}

/// Appends the event of an entry that `outer` has scanned; `payload` is scanned here.
///
/// # Errors
/// A reject if no time can be read; nothing is appended then.
pub(super) fn parse(
    outer: &Scanner,
    record: &[u8],
    payload: &mut Scanner,
    reader: &mut Reader,
    context: &Context<'_>,
    events: &mut Events,
) -> Result<(), Reject> {
    let time = read::time_or_reject(
        read::micros(outer, top::TIMESTAMP, record),
        "timestamp",
        SOURCE_FORMAT,
        context,
    )?;
    let mut doubt = Doubt::default();
    let call = call(outer, record, payload, reader, context.seen(), &mut doubt);
    let event = events.begin();
    read::set_time(event, time);
    if let Some(micros) = read::micros(outer, top::RECEIVE_TIMESTAMP, record) {
        event.int64(f::OBSERVED_TIME, micros);
    }
    fill(event, &call, SOURCE_FORMAT, &mut reader.canon);
    let resource = read::nested(outer.slot(top::RESOURCE), record).unwrap_or_default();
    let label = |name| text_at(resource, &["labels", name]);
    set(event, f::K8S_CLUSTER, &label("cluster_name"));
    set(event, f::CLOUD_REGION, &label("location"));
    set(event, f::CLOUD_ACCOUNT, &label("project_id"));
    read::complete(event, outer, record, &[], context, doubt);
    Ok(())
}

fn call<'a>(
    outer: &Scanner,
    record: &'a [u8],
    payload: &mut Scanner,
    reader: &mut Reader,
    seen: Seen<'_>,
    doubt: &mut Doubt,
) -> Call<'a> {
    let slot = outer.slot(top::PROTO_PAYLOAD);
    let inside = read::open(payload, slot, record, seen, doubt);
    let nested = |key| read::nested(payload.slot(key), inside);
    let object = |key| nested(key).filter(|text| walk::is_object(text));
    let under = |key, name| text_at(nested(key).unwrap_or_default(), &[name]);
    let (code, message) = reader.status(payload, payload::STATUS, inside, seen, doubt);
    let request = nested(payload::REQUEST).map(Object::of);
    let response = object(payload::RESPONSE).map(Object::of).filter(|object| !object.is_status());
    let mut resource = match read::text(payload, payload::RESOURCE_NAME, inside) {
        Some(Cow::Borrowed(name)) => resource_of(name),
        Some(Cow::Owned(name)) => resource_of(&name).into_owned(),
        None => Resource::default(),
    };
    resource.complete(request.as_ref(), response.as_ref());
    let operation = read::nested(outer.slot(top::OPERATION), record).unwrap_or_default();
    let verb = match read::text(payload, payload::METHOD_NAME, inside) {
        Some(Cow::Borrowed(method)) => last_part(method).map(Cow::Borrowed),
        Some(Cow::Owned(method)) => last_part(&method).map(|verb| Cow::Owned(verb.to_vec())),
        None => None,
    };
    Call {
        // Google writes an entry when a call has ended.
        stage: Stage::Complete,
        verb,
        user: User {
            name: under(payload::AUTHENTICATION_INFO, "principalEmail"),
            ..User::default()
        },
        source_ip: under(payload::REQUEST_METADATA, "callerIp"),
        user_agent: under(payload::REQUEST_METADATA, "callerSuppliedUserAgent"),
        request_id: text_at(operation, &["id"])
            .or_else(|| read::text(outer, top::INSERT_ID, record)),
        answer: Answer { code: Some(http_code(code)), is_http: false, message, reason: None },
        notes: reader.notes(outer, top::LABELS, record, seen, doubt),
        resource,
        request,
        response,
        ..Call::default()
    }
}

/// The HTTP status that an RPC code stands for, as far as decisions go.
/// Source: google.rpc.Code.
fn http_code(code: Option<i64>) -> i64 {
    match code {
        None | Some(0) => 200,
        Some(7) => 403,
        Some(16) => 401,
        Some(_) => 500,
    }
}

/// The verb at the end of `io.k8s.core.v1.pods.create`.
fn last_part(method: &[u8]) -> Option<&[u8]> {
    method.rsplit(|&byte| byte == b'.').next().filter(|verb| !walk::is_absent(verb))
}

/// `<group>/<version>/[namespaces/<namespace>/]<resource>[/<name>[/<subresource>]]`, with `core`
/// for no group.
fn resource_of(name: &[u8]) -> Resource<'_> {
    let mut parts = name.split(|&byte| byte == b'/');
    let group = parts.next().filter(|group| *group != b"core");
    let version = parts.next();
    resource_under(group, version, parts)
}
