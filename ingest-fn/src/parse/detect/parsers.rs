//! One parser of each format, and which records it takes.

use crate::parse::SourceFormat;
use crate::parse::consul::ConsulParser;
use crate::parse::envoy::{EnvoyParser, text};
use crate::parse::event::{Context, Events};
use crate::parse::hoop::{HoopFormat, HoopParser};
use crate::parse::kubernetes::KubernetesParser;
use crate::parse::linkerd::LinkerdParser;
use crate::parse::ztunnel::ZtunnelParser;
use crate::reject::Reject;

/// One parser of each format.
#[derive(Debug)]
pub(super) struct Parsers {
    pub(super) envoy: EnvoyParser,
    ztunnel: ZtunnelParser,
    linkerd: LinkerdParser,
    consul: ConsulParser,
    hoop: HoopParser,
    kubernetes: KubernetesParser,
}

/// Which parser takes a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parser {
    EnvoyJson,
    EnvoyText,
    Ztunnel,
    Linkerd,
    Consul,
    Hoop,
    Kubernetes,
}

impl Parsers {
    pub(super) fn new() -> Self {
        Self {
            envoy: EnvoyParser::new(),
            ztunnel: ZtunnelParser::new(),
            linkerd: LinkerdParser::new(),
            consul: ConsulParser::new(),
            hoop: HoopParser::new(),
            kubernetes: KubernetesParser::new(),
        }
    }

    /// The parser of a JSON object, in the order of the format reference, section 9.4.
    pub(super) fn of_object(&mut self, record: &[u8]) -> Option<Parser> {
        if self.kubernetes.detects(record) {
            Some(Parser::Kubernetes)
        } else if self.consul.detects(record) {
            Some(Parser::Consul)
        } else if self.ztunnel.detects(record) {
            Some(Parser::Ztunnel)
        } else if self.linkerd.detects(record) {
            Some(Parser::Linkerd)
        } else if self.hoop.detects(record) {
            Some(Parser::Hoop)
        } else {
            // The word may be written with escapes.
            let maybe = [&b"response_flags"[..], b"\\u"]
                .into_iter()
                .any(|word| memchr::memmem::find(record, word).is_some());
            (maybe && self.envoy.detects(record)).then_some(Parser::EnvoyJson)
        }
    }

    /// The parser of a line of text, in the same order.
    pub(super) fn of_text(&mut self, line: &[u8]) -> Option<Parser> {
        if text::detects(line) {
            Some(Parser::EnvoyText)
        } else if self.ztunnel.detects(line) {
            Some(Parser::Ztunnel)
        } else if self.linkerd.detects(line) {
            Some(Parser::Linkerd)
        } else if self.kubernetes.detects(line) {
            Some(Parser::Kubernetes)
        } else {
            self.hoop.detects(line).then_some(Parser::Hoop)
        }
    }

    /// Hands a record to a parser.
    ///
    /// # Errors
    /// Those of the parser.
    pub(super) fn parse(
        &mut self,
        parser: Parser,
        format: SourceFormat,
        record: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        match parser {
            Parser::EnvoyJson => self.envoy.parse(record, context, events),
            Parser::EnvoyText => self.envoy.parse_text(record, context, events),
            Parser::Ztunnel => self.ztunnel.parse(record, context, events),
            Parser::Linkerd => self.linkerd.parse(record, context, events),
            Parser::Kubernetes => self.kubernetes.parse(record, context, events),
            Parser::Consul => self.consul.parse(record, context, events),
            Parser::Hoop => match hoop_format(format) {
                Some(format) => self.hoop.parse_as(format, record, context, events),
                None => self.hoop.parse(record, context, events),
            },
        }
    }
}

/// The parser of a configured format. Formats that hold lines of any format have none.
pub(super) const fn configured(format: SourceFormat) -> Option<Parser> {
    use SourceFormat as F;
    match format {
        F::EnvoyJson => Some(Parser::EnvoyJson),
        F::EnvoyText => Some(Parser::EnvoyText),
        F::ZtunnelJson | F::ZtunnelText => Some(Parser::Ztunnel),
        F::LinkerdAccessJson | F::LinkerdAccessApache | F::LinkerdLogJson | F::LinkerdLogPlain => {
            Some(Parser::Linkerd)
        }
        F::ConsulAuditV1 => Some(Parser::Consul),
        F::HoopAudit | F::HoopSession | F::HoopWebhook | F::HoopInspect => Some(Parser::Hoop),
        F::K8sAuditV1 | F::K8sAuditLegacy | F::AksAudit | F::GkeAudit => Some(Parser::Kubernetes),
        F::Auto | F::EnvoyOtlp | F::EnvoyAls | F::OtlpLog | F::OtlpProtobuf => None,
    }
}

/// Whether a source of a configured format may have records for a parser.
pub(super) fn accepts(format: SourceFormat, parser: Parser) -> bool {
    format == SourceFormat::Auto || configured(format) == Some(parser)
}

const fn hoop_format(format: SourceFormat) -> Option<HoopFormat> {
    match format {
        SourceFormat::HoopAudit => Some(HoopFormat::Audit),
        SourceFormat::HoopSession => Some(HoopFormat::Session),
        SourceFormat::HoopWebhook => Some(HoopFormat::Webhook),
        SourceFormat::HoopInspect => Some(HoopFormat::Inspect),
        _ => None,
    }
}
