//! Documents of cloud services that hold several lines: CloudWatch Logs subscriptions and
//! Firehose's requests to an HTTP endpoint.

use std::borrow::Cow;

use super::keys as k;
use super::{Shippers, object};
use crate::parse::fields as f;
use crate::parse::json::Kind;
use crate::parse::quote::push_field;
use crate::reject::{Reason, Reject};

/// Keys of one item of such a document.
pub(super) const ITEM_NAMES: &[&str] = &["timestamp", "message", "data"];

const TIMESTAMP: usize = 0;
const MESSAGE: usize = 1;
const DATA: usize = 2;

/// Message, time in microseconds, and other fields of a log event.
pub(crate) type LogEvent<'a> = (Cow<'a, [u8]>, Option<i64>, Vec<u8>);

/// A document of several items.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    /// The list of its items.
    pub(crate) items: &'a [u8],
    /// Name of its items' key.
    pub(crate) items_key: &'static str,
    /// Its other fields, as the inside of a JSON object.
    pub(crate) fields: Vec<u8>,
    /// Columns it fills.
    pub(crate) columns: Vec<(usize, String)>,
    /// Its own time, in microseconds.
    pub(crate) time_micros: Option<i64>,
}

impl Document<'_> {
    /// Its fields, and more, as an object.
    pub(crate) fn object(&self, more: &[u8]) -> Vec<u8> {
        let comma: &[u8] = if self.fields.is_empty() || more.is_empty() { b"" } else { b"," };
        object([&self.fields, comma, more].concat())
    }

    /// A document of one of its items.
    pub(crate) fn alone(&self, item: &[u8]) -> Vec<u8> {
        let mut fields = self.fields.clone();
        push_field(&mut fields, self.items_key, &[b"[", item, b"]"].concat());
        object(fields)
    }
}

impl Shippers {
    /// The payload of CloudWatch's event for Lambda, `{"awslogs":{"data":…}}`: gzip.
    ///
    /// # Errors
    /// If it has no base64 in it.
    pub(crate) fn awslogs(&mut self, record: &[u8]) -> Result<Vec<u8>, Reject> {
        let inside = self.nested(k::AWSLOGS, record).unwrap_or(b"{}");
        self.data(inside)
    }

    /// The document of a CloudWatch Logs subscription.
    pub(crate) fn log_group<'a>(&self, record: &'a [u8]) -> Document<'a> {
        let owned = |text: Cow<'_, [u8]>| String::from_utf8(text.into_owned()).ok();
        let mut columns = Vec::new();
        if let Some(owner) = self.text(k::OWNER, record).and_then(owned) {
            columns.push((f::CLOUD_ACCOUNT, owner));
        }
        let group = self.text(k::LOG_GROUP, record).and_then(owned);
        if let Some(cluster) = group.as_deref().and_then(cluster_of) {
            columns.push((f::K8S_CLUSTER, cluster.to_owned()));
        }
        Document {
            items: self.nested(k::LOG_EVENTS, record).unwrap_or_default(),
            items_key: "logEvents",
            fields: self.fields(record, &[k::LOG_EVENTS]),
            columns,
            time_micros: None,
        }
    }

    /// Whether a subscription's document is a sign of life and holds no events.
    pub(crate) fn is_control(&self, record: &[u8]) -> bool {
        self.text(k::MESSAGE_TYPE, record).as_deref() == Some(b"CONTROL_MESSAGE")
    }

    /// The document of a Firehose request.
    pub(crate) fn firehose<'a>(&self, record: &'a [u8]) -> Document<'a> {
        let slot = self.slot(k::TIMESTAMP);
        Document {
            items: self.nested(k::RECORDS, record).unwrap_or_default(),
            items_key: "records",
            fields: self.fields(record, &[k::RECORDS]),
            columns: Vec::new(),
            time_micros: millis(slot.bytes(record)).filter(|_| slot.kind == Kind::Number),
        }
    }

    /// One item of a subscription's document.
    ///
    /// # Errors
    /// If it has no message.
    pub(crate) fn log_event<'a>(&mut self, item: &'a [u8]) -> Result<LogEvent<'a>, Reject> {
        self.item.scan(item, false)?;
        let time = self.item.slot(TIMESTAMP);
        let time_micros = millis(time.bytes(item)).filter(|_| time.kind == Kind::Number);
        let message = self.item.slot(MESSAGE).text(item).ok_or_else(|| {
            let detail = "expected a text `message` in a log event, found none";
            Reject::new(Reason::UnknownFormat, detail)
        })?;
        let mut fields = Vec::new();
        if time.kind != Kind::Missing {
            push_field(&mut fields, "timestamp", time.json(item));
        }
        for (name, value) in self.item.extras(item) {
            if !fields.is_empty() {
                fields.push(b',');
            }
            fields.extend_from_slice(name);
            fields.push(b':');
            fields.extend_from_slice(value);
        }
        Ok((message, time_micros, fields))
    }

    /// The decoded `data` of an object.
    ///
    /// # Errors
    /// If it has none.
    pub(crate) fn data(&mut self, item: &[u8]) -> Result<Vec<u8>, Reject> {
        self.item.scan(item, false)?;
        let text = self.item.slot(DATA).text(item);
        text.as_deref().and_then(super::base64::decode).ok_or_else(|| {
            Reject::new(Reason::UnknownFormat, "expected `data` in base64, found none")
        })
    }
}

/// Microseconds of a JSON number of milliseconds.
fn millis(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse::<i64>().ok()?.checked_mul(1000)
}

/// The cluster that EKS and Container Insights write into the names of their log groups.
fn cluster_of(group: &str) -> Option<&str> {
    let cluster = match group.strip_prefix("/aws/eks/") {
        Some(rest) => rest.strip_suffix("/cluster")?,
        None => group.strip_prefix("/aws/containerinsights/")?.split_once('/')?.0,
    };
    (!cluster.is_empty() && !cluster.contains('/')).then_some(cluster)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_by_the_names_of_groups() {
        assert_eq!(cluster_of("/aws/eks/prod-east/cluster"), Some("prod-east"));
        assert_eq!(cluster_of("/aws/containerinsights/prod/application"), Some("prod"));
        for other in ["/aws/eks/a/b/cluster", "/aws/eks//cluster", "/aws/containerinsights/a", "x"]
        {
            assert_eq!(cluster_of(other), None, "{other}");
        }
    }
}
