//! Events of `audit.k8s.io`, every version of it.
//! Source: kubernetes/apiserver pkg/apis/audit/v1/types.go, as collected in the format reference.

use std::borrow::Cow;

use super::call::{Answer, Call, Notes, Object, Resource, Stage, Text, fill, set};
use super::canon::Canon;
use super::keys::{notes, object_ref, status, top, user};
use super::read::{self, Doubt};
use super::walk;
use super::who::{self, Groups, User};
use crate::parse::event::{Context, Events, Row};
use crate::parse::fields as f;
use crate::parse::json::{Scanner, Seen};
use crate::parse::leftovers::Direct;
use crate::reject::Reject;

/// Fields that a column holds exactly.
pub(super) const DIRECT: &[Direct] =
    &[(top::AUDIT_ID, f::REQUEST_ID), (top::USER_AGENT, f::USER_AGENT), (top::VERB, f::CHANGE_OP)];

/// What is known of an event from around it.
#[derive(Debug, Default)]
pub(super) struct Around<'a> {
    /// Text of column `source_format`.
    pub(super) source_format: &'static str,
    pub(super) observed_micros: Option<i64>,
    pub(super) cluster: Text<'a>,
    pub(super) account: Text<'a>,
    pub(super) pod: Text<'a>,
    /// What was uncertain about what stands around.
    pub(super) doubt: Doubt,
}

/// Reads events; its scanners and buffers are used again.
#[derive(Debug)]
pub(super) struct Reader {
    user: Scanner,
    impersonated: Scanner,
    object_ref: Scanner,
    status: Scanner,
    notes: Scanner,
    /// Writes the texts of changed objects.
    pub(super) canon: Canon,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self {
            user: Scanner::new(user::NAMES),
            impersonated: Scanner::new(user::NAMES),
            object_ref: Scanner::new(object_ref::NAMES),
            status: Scanner::new(status::NAMES),
            notes: Scanner::new(notes::NAMES),
            canon: Canon::default(),
        }
    }

    /// Appends the event that `scanner` has scanned from `record`.
    ///
    /// # Errors
    /// A reject if no time can be read; nothing is appended then.
    pub(super) fn event(
        &mut self,
        scanner: &Scanner,
        record: &[u8],
        around: &Around<'_>,
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let received = read::micros(scanner, top::REQUEST_RECEIVED, record);
        let stage_at = read::micros(scanner, top::STAGE_TIMESTAMP, record);
        let old = || read::micros(scanner, top::TIMESTAMP, record);
        let time = read::time_or_reject(
            received.or(stage_at).or_else(old),
            "requestReceivedTimestamp or stageTimestamp",
            around.source_format,
            context,
        )?;
        let mut doubt = around.doubt;
        let mut call = self.call(scanner, record, context.seen(), &mut doubt);
        call.duration_us = match (received, stage_at) {
            (Some(from), Some(to)) => to.checked_sub(from).filter(|&micros| micros >= 0),
            _ => None,
        };
        let event = events.begin();
        read::set_time(event, time);
        if let Some(micros) = around.observed_micros {
            event.int64(f::OBSERVED_TIME, micros);
        }
        fill(event, &call, around.source_format, &mut self.canon);
        set(event, f::K8S_CLUSTER, &around.cluster);
        set(event, f::CLOUD_ACCOUNT, &around.account);
        set(event, f::K8S_POD, &around.pod);
        read::complete(event, scanner, record, DIRECT, context, doubt);
        Ok(())
    }

    fn call<'a>(
        &mut self,
        scanner: &Scanner,
        record: &'a [u8],
        seen: Seen<'_>,
        doubt: &mut Doubt,
    ) -> Call<'a> {
        let text = |key| read::text(scanner, key, record);
        let stage = Stage::of(text(top::STAGE).as_deref());
        let request = read::nested(scanner.slot(top::REQUEST_OBJECT), record).map(Object::of);
        let response = read::nested(scanner.slot(top::RESPONSE_OBJECT), record)
            .filter(|text| walk::is_object(text))
            .map(Object::of)
            .filter(|object| !object.is_status());
        let user = self.user(scanner, record, seen, doubt);
        let mut resource = self.resource(scanner, record, seen, doubt);
        resource.complete(request.as_ref(), response.as_ref());
        let status =
            read::open(&mut self.status, scanner.slot(top::RESPONSE_STATUS), record, seen, doubt);
        let answer = Answer {
            code: read::whole(self.status.slot(status::CODE), status),
            is_http: true,
            message: read::text(&self.status, status::MESSAGE, status),
            reason: read::text(&self.status, status::REASON, status),
        };
        let addresses = read::nested(scanner.slot(top::SOURCE_IPS), record).unwrap_or_default();
        Call {
            stage,
            verb: text(top::VERB),
            uri: text(top::REQUEST_URI),
            user,
            // All others are what the client says of itself.
            source_ip: walk::elements(addresses).last().and_then(walk::text),
            user_agent: text(top::USER_AGENT),
            request_id: text(top::AUDIT_ID),
            duration_us: None,
            answer,
            notes: self.notes(scanner, top::ANNOTATIONS, record, seen, doubt),
            resource,
            request,
            response,
        }
    }

    fn user<'a>(
        &mut self,
        scanner: &Scanner,
        record: &'a [u8],
        seen: Seen<'_>,
        doubt: &mut Doubt,
    ) -> User<'a> {
        let actor = read::open(&mut self.user, scanner.slot(top::USER), record, seen, doubt);
        let other = read::open(
            &mut self.impersonated,
            scanner.slot(top::IMPERSONATED_USER),
            record,
            seen,
            doubt,
        );
        let extra = read::nested(self.user.slot(user::EXTRA), actor);
        User {
            name: read::text(&self.user, user::USERNAME, actor),
            uid: read::text(&self.user, user::UID, actor),
            groups: read::nested(self.user.slot(user::GROUPS), actor)
                .map_or(Groups::None, Groups::Json),
            impersonated: read::text(&self.impersonated, user::USERNAME, other),
            credential: extra.and_then(who::credential),
        }
    }

    fn resource<'a>(
        &mut self,
        scanner: &Scanner,
        record: &'a [u8],
        seen: Seen<'_>,
        doubt: &mut Doubt,
    ) -> Resource<'a> {
        let slot = scanner.slot(top::OBJECT_REF);
        let reference = read::open(&mut self.object_ref, slot, record, seen, doubt);
        let text = |key| read::text(&self.object_ref, key, reference);
        Resource {
            group: text(object_ref::API_GROUP),
            version: text(object_ref::API_VERSION),
            resource: text(object_ref::RESOURCE),
            subresource: text(object_ref::SUBRESOURCE),
            namespace: text(object_ref::NAMESPACE),
            name: text(object_ref::NAME),
            uid: text(object_ref::UID),
            resource_version: text(object_ref::RESOURCE_VERSION),
        }
    }

    /// The annotations that are read, from the object under `key`.
    pub(super) fn notes<'a>(
        &mut self,
        scanner: &Scanner,
        key: usize,
        record: &'a [u8],
        seen: Seen<'_>,
        doubt: &mut Doubt,
    ) -> Notes<'a> {
        let object = read::open(&mut self.notes, scanner.slot(key), record, seen, doubt);
        let text = |key| read::text(&self.notes, key, object);
        Notes {
            decision: text(notes::DECISION),
            reason: text(notes::REASON),
            truncated: text(notes::TRUNCATED) == Some(Cow::Borrowed(b"true")),
            pod_security: text(notes::POD_SECURITY),
            validation_failure: text(notes::VALIDATION_FAILURE),
        }
    }

    /// The status under `key`: code and message.
    pub(super) fn status<'a>(
        &mut self,
        scanner: &Scanner,
        key: usize,
        record: &'a [u8],
        seen: Seen<'_>,
        doubt: &mut Doubt,
    ) -> (Option<i64>, Text<'a>) {
        let object = read::open(&mut self.status, scanner.slot(key), record, seen, doubt);
        let code = read::whole(self.status.slot(status::CODE), object);
        (code, read::text(&self.status, status::MESSAGE, object))
    }
}
