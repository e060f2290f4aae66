//! Sessions: who was connected to what, and whether a guardrail or a review stopped it.

use std::borrow::Cow;

use common::event::{Decision, DecisionSource};

use super::{address, finish, first_element, put_principal, put_session};
use crate::parse::consul::values::{self, Object, put};
use crate::parse::event::{Context, Event, Row};
use crate::parse::fields as f;
use crate::parse::json::{Kind, Scanner, Seen};
use crate::parse::leftovers::Direct;
use crate::parse::list::Walk;
use crate::reject::Reject;

/// Keys of a session.
pub(super) mod row {
    crate::parse::consul::values::keys! {
        CONNECTION = "connection",
        CONNECTION_SUBTYPE = "connection_subtype",
        CORRELATION_ID = "correlation_id",
        END_DATE = "end_date",
        GUARDRAILS_INFO = "guardrails_info",
        ID = "id",
        IDENTITY_TYPE = "identity_type",
        MACHINE_IDENTITY_ID = "machine_identity_id",
        RESOURCE_NAME = "resource_name",
        REVIEW = "review",
        SESSION_BATCH_ID = "session_batch_id",
        START_DATE = "start_date",
        STATUS = "status",
        USER = "user",
        USER_ID = "user_id",
        USER_NAME = "user_name",
    }
}

mod review {
    crate::parse::consul::values::keys! {
        STATUS = "status",
    }
}

mod guardrail {
    crate::parse::consul::values::keys! {
        RULE_NAME = "rule_name",
    }
}

/// Values that columns may hold exactly.
pub(super) const DIRECT: &[Direct] = &[
    (row::CONNECTION, f::DST_SERVICE),
    (row::CONNECTION_SUBTYPE, f::NETWORK_PROTOCOL),
    (row::CORRELATION_ID, f::CORRELATION_ID),
    (row::ID, f::SESSION_ID),
    (row::RESOURCE_NAME, f::RESOURCE_NAME),
    (row::USER, f::PRINCIPAL),
    (row::USER_ID, f::USER_UID),
    (row::USER_NAME, f::USER_NAME),
];

/// Reads sessions.
#[derive(Debug)]
pub(super) struct Session {
    row: Scanner,
    review: Reviews,
    guardrail: Scanner,
}

impl Session {
    pub(super) fn new() -> Self {
        Self {
            row: Scanner::new(row::NAMES),
            review: Reviews::new(),
            guardrail: Scanner::new(guardrail::NAMES),
        }
    }

    pub(super) fn fill(
        &mut self,
        text: &[u8],
        context: &Context<'_>,
        event: &mut Event,
    ) -> Result<(), Reject> {
        let row = Object::scan(&mut self.row, text, context.seen())?;
        let (reviewed, review) = self.review.of(&row, row::REVIEW, context.seen())?;
        let blocked = first_guardrail(&row);
        let item = blocked.filter(|item| item.first() == Some(&b'{'));
        let guardrail = Object::nested(&mut self.guardrail, item, context.seen())?;
        let begin_micros = row
            .time(row::START_DATE)
            .ok_or_else(|| values::no_time("start_date", super::HoopFormat::Session.as_str()))?;
        event.int64(f::EVENT_TIME, begin_micros);
        event.text(f::EVENT_TIME_SOURCE, b"payload");
        who(event, &row);
        put(event, f::SESSION_ID, row.text(row::ID).as_deref());
        put(event, f::DST_SERVICE, row.text(row::CONNECTION).as_deref());
        put(event, f::RESOURCE_NAME, row.text(row::RESOURCE_NAME).as_deref());
        let protocol = row.text(row::CONNECTION_SUBTYPE).map(values::lower);
        put(event, f::NETWORK_PROTOCOL, protocol.as_deref());
        put(event, f::CORRELATION_ID, row.text(row::CORRELATION_ID).as_deref());
        put(event, f::CORRELATION_ID, row.text(row::SESSION_BATCH_ID).as_deref());
        let has_end = row.text(row::END_DATE).is_some();
        let is_done = row.text(row::STATUS).as_deref() == Some(b"done");
        put_session(event, if has_end || is_done { 2 } else { 1 });
        let duration = row.time(row::END_DATE).and_then(|end| end.checked_sub(begin_micros));
        // Before its begin ends a session whose end is Go's zero time.
        if let Some(micros) = duration.filter(|&micros| micros >= 0) {
            event.int64(f::DURATION_US, micros);
        }
        if blocked.is_some() {
            let rule = guardrail.text(guardrail::RULE_NAME);
            put(event, f::POLICY_RULE, rule.as_deref());
            put(event, f::POLICY_NAME, rule.as_deref());
            event.text(f::POLICY_KIND, b"guardrail");
            values::put_decision(event, Decision::Deny, Some(DecisionSource::Guardrail));
        } else {
            reviewed.put(event);
        }
        finish(event, &row, &[review], DIRECT, context);
        Ok(())
    }
}

fn who(event: &mut Event, row: &Object<'_, '_>) {
    let user = row.text(row::USER);
    let is_machine = row.text(row::IDENTITY_TYPE).as_deref() == Some(b"machine");
    put_principal(event, user.as_deref(), is_machine);
    put(event, f::USER_EMAIL, address(user.as_deref()));
    put(event, f::USER_NAME, row.text(row::USER_NAME).as_deref());
    put(event, f::USER_UID, row.text(row::USER_ID).as_deref());
    put(event, f::USER_UID, row.text(row::MACHINE_IDENTITY_ID).as_deref());
}

/// The first of the guardrails that blocked a session, if any did. One object alone counts too.
fn first_guardrail<'a>(row: &Object<'_, 'a>) -> Option<&'a [u8]> {
    let has_field = |one: &&[u8]| {
        let mut walk = Walk::new(one);
        walk.take(b'{') && walk.peek() == Some(b'"')
    };
    let one = row.object(row::GUARDRAILS_INFO).filter(has_field);
    row.array(row::GUARDRAILS_INFO).and_then(first_element).or(one)
}

/// Reads the `review` of a session or webhook.
#[derive(Debug)]
pub(super) struct Reviews {
    scanner: Scanner,
}

/// What a review says.
#[derive(Debug)]
pub(super) enum Reviewed<'a> {
    /// There is none.
    No,
    /// There is one, with this status.
    Status(Option<Cow<'a, [u8]>>),
}

impl Reviews {
    pub(super) fn new() -> Self {
        Self { scanner: Scanner::new(review::NAMES) }
    }

    /// The review under a key of a row, and its object.
    pub(super) fn of<'s, 'a>(
        &'s mut self,
        row: &Object<'_, 'a>,
        key: usize,
        seen: Seen<'_>,
    ) -> Result<(Reviewed<'a>, Object<'s, 'a>), Reject> {
        let object = Object::nested(&mut self.scanner, row.object(key), seen)?;
        let slot = row.slot(key);
        let is_none = match slot.kind {
            Kind::Missing | Kind::Null => true,
            Kind::Text | Kind::Escaped => row.text(key).is_none(),
            Kind::Nested => row.array(key).is_some_and(|list| first_element(list).is_none()),
            // Not to be read as "nobody was asked".
            Kind::Bool | Kind::Number => false,
        };
        let reviewed =
            if is_none { Reviewed::No } else { Reviewed::Status(object.text(review::STATUS)) };
        Ok((reviewed, object))
    }
}

impl Reviewed<'_> {
    /// Sets the decision of a session that no guardrail blocked.
    pub(super) fn put(&self, event: &mut Event) {
        let Self::Status(status) = self else {
            return values::put_decision(event, Decision::Allow, Some(DecisionSource::None));
        };
        let decision = match status.as_deref() {
            Some(b"REJECTED" | b"REVOKED") => Decision::Deny,
            Some(b"APPROVED" | b"EXECUTED") => Decision::Allow,
            _ => Decision::Unknown,
        };
        values::put_decision(event, decision, Some(DecisionSource::Review));
        put(event, f::DECISION_REASON, status.as_deref());
    }
}
