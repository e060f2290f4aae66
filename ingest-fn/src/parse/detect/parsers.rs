//! One parser of each format, and which records it takes.

use super::claims::{Claims, Names};
use crate::parse::SourceFormat;
use crate::parse::consul::ConsulParser;
use crate::parse::envoy::{EnvoyParser, text};
use crate::parse::event::{Context, Events};
use crate::parse::hoop::{HoopFormat, HoopParser};
use crate::parse::json::{Scanner, Seen};
use crate::parse::kubernetes::KubernetesParser;
use crate::parse::linkerd::{self, LinkerdParser};
use crate::parse::query::QueryParser;
use crate::parse::ztunnel::{self, ZtunnelParser};
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
    query: QueryParser,
    names: ParserNames,
}

/// What the names claim that the parsers' scanners know.
#[derive(Debug)]
struct ParserNames {
    envoy: Names,
    ztunnel: Names,
    linkerd: Names,
    consul: Names,
    hoop: Names,
    kubernetes: Names,
    query: Names,
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
    Query,
}

/// A line of text, as far as finding out what it is has taken it apart.
#[derive(Debug)]
pub(super) enum TextLine<'a> {
    Envoy,
    Ztunnel(ztunnel::Parts<'a>),
    Linkerd(linkerd::TextLine<'a>),
    Kubernetes((i64, &'a [u8])),
    Hoop,
}

impl Found<'_> {
    pub(super) const fn parser(&self) -> Parser {
        match self {
            Self::Object(parser) | Self::Unread(parser) => *parser,
            Self::Text(line) => line.parser(),
        }
    }
}

impl TextLine<'_> {
    const fn parser(&self) -> Parser {
        match self {
            Self::Envoy => Parser::EnvoyText,
            Self::Ztunnel(_) => Parser::Ztunnel,
            Self::Linkerd(_) => Parser::Linkerd,
            Self::Kubernetes(_) => Parser::Kubernetes,
            Self::Hoop => Parser::Hoop,
        }
    }
}

/// Which parser has a record, and how much of it that parser has read.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// The parser has detected, and so scanned, the record just now: a JSON object.
    Object(Parser),
    /// A line of text.
    Text(TextLine<'a>),
    /// The parser has not seen the record, as when the source is configured to have its format.
    Unread(Parser),
}

/// The parsers of JSON objects, in the order in which they are asked.
pub(super) const OBJECT_PARSERS: [Parser; 7] = [
    Parser::Kubernetes,
    Parser::Consul,
    Parser::Ztunnel,
    Parser::Linkerd,
    Parser::Hoop,
    Parser::EnvoyJson,
    Parser::Query,
];

impl Parsers {
    pub(super) fn new() -> Self {
        let (mut envoy, mut ztunnel) = (EnvoyParser::new(), ZtunnelParser::new());
        let (mut linkerd, mut consul) = (LinkerdParser::new(), ConsulParser::new());
        let (mut hoop, mut kubernetes) = (HoopParser::new(), KubernetesParser::new());
        let mut query = QueryParser::new();
        let names = ParserNames {
            envoy: Names::of(envoy.top()),
            ztunnel: Names::of(ztunnel.top()),
            linkerd: Names::of(linkerd.top()),
            consul: Names::of(consul.top()),
            hoop: Names::of(hoop.top()),
            kubernetes: Names::of(kubernetes.top()),
            query: Names::of(query.top()),
        };
        Self { envoy, ztunnel, linkerd, consul, hoop, kubernetes, query, names }
    }

    /// The parser of a JSON object, in the order of the format reference, section 9.4. It has
    /// scanned the object then. `claims` says which need not be asked.
    pub(super) fn of_object(&mut self, record: &[u8], claims: Claims) -> Option<Parser> {
        OBJECT_PARSERS
            .into_iter()
            .find(|&parser| claims.may_be(parser) && self.detects_object(parser, record))
    }

    /// Whether a JSON object is of a parser's format; the parser has scanned it then.
    fn detects_object(&mut self, parser: Parser, record: &[u8]) -> bool {
        match parser {
            Parser::Kubernetes => self.kubernetes.detects(record),
            Parser::Consul => self.consul.detects(record),
            Parser::Ztunnel => self.ztunnel.detects(record),
            Parser::Linkerd => self.linkerd.detects(record),
            Parser::Hoop => self.hoop.detects(record),
            Parser::EnvoyJson => self.envoy.detects(record),
            Parser::Query => self.query.detects(record),
            Parser::EnvoyText => false,
        }
    }

    /// Whether a JSON object surely is this parser's, in no envelope: its fields have no name by
    /// which anything asked before would be told, and the parser detects it. The parser has
    /// scanned it then.
    pub(super) fn is_surely(&mut self, parser: Parser, record: &[u8], seen: Seen<'_>) -> bool {
        let Some((scanner, names)) = self.top(parser) else { return false };
        scanner.scan(record, seen).is_ok()
            && names.read(scanner, record).is_first(parser)
            && self.detects_scanned(parser, record, seen)
    }

    /// The scanner of a parser of JSON objects, and what the names it knows claim.
    fn top(&mut self, parser: Parser) -> Option<(&mut Scanner, &Names)> {
        let names = &self.names;
        match parser {
            Parser::Kubernetes => Some((self.kubernetes.top(), &names.kubernetes)),
            Parser::Consul => Some((self.consul.top(), &names.consul)),
            Parser::Ztunnel => Some((self.ztunnel.top(), &names.ztunnel)),
            Parser::Linkerd => Some((self.linkerd.top(), &names.linkerd)),
            Parser::Hoop => Some((self.hoop.top(), &names.hoop)),
            Parser::EnvoyJson => Some((self.envoy.top(), &names.envoy)),
            Parser::Query => Some((self.query.top(), &names.query)),
            Parser::EnvoyText => None,
        }
    }

    /// As `detects_object`, of an object that the parser's top scanner has scanned.
    fn detects_scanned(&mut self, parser: Parser, record: &[u8], seen: Seen<'_>) -> bool {
        match parser {
            Parser::Kubernetes => self.kubernetes.detects_scanned(record),
            Parser::Consul => self.consul.detects_scanned(record, seen),
            Parser::Ztunnel => self.ztunnel.detects_scanned(record),
            Parser::Linkerd => self.linkerd.detects_scanned(record),
            Parser::Hoop => self.hoop.detects_scanned(record, seen),
            Parser::EnvoyJson => self.envoy.detects_scanned(),
            Parser::Query => self.query.detects_scanned(record),
            Parser::EnvoyText => false,
        }
    }

    /// What a line of text is, in the same order.
    pub(super) fn of_text<'a>(&mut self, line: &'a [u8]) -> Option<TextLine<'a>> {
        if text::detects(line) {
            return Some(TextLine::Envoy);
        }
        if let Some(parts) = ZtunnelParser::split_text(line) {
            return Some(TextLine::Ztunnel(parts));
        }
        if let Some(parts) = LinkerdParser::split_text(line, false) {
            return Some(TextLine::Linkerd(parts));
        }
        if let Some(parts) = KubernetesParser::split_text(line) {
            return Some(TextLine::Kubernetes(parts));
        }
        self.hoop.detects(line).then_some(TextLine::Hoop)
    }

    /// Hands a record to a parser that has just detected it as an object, and so has scanned it.
    ///
    /// # Errors
    /// Those of the parser.
    fn parse_object(
        &mut self,
        parser: Parser,
        format: SourceFormat,
        record: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        match parser {
            Parser::Kubernetes => self.kubernetes.parse_scanned(record, context, events),
            Parser::Consul => self.consul.parse_scanned(record, context, events),
            Parser::Ztunnel => self.ztunnel.parse_scanned(record, context, events),
            Parser::Linkerd => self.linkerd.parse_scanned(record, context, events),
            Parser::EnvoyJson => self.envoy.parse_scanned(record, context, events),
            Parser::Query => self.query.parse_scanned(record, context, events),
            Parser::Hoop if hoop_format(format).is_none() => {
                self.hoop.parse_found(record, context, events)
            }
            Parser::Hoop | Parser::EnvoyText => {
                self.parse_unread(parser, format, record, context, events)
            }
        }
    }

    /// Hands a line of text to the parser that has just taken it apart.
    ///
    /// # Errors
    /// Those of the parser.
    fn parse_text(
        &mut self,
        found: &TextLine<'_>,
        format: SourceFormat,
        line: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        match found {
            TextLine::Ztunnel(parts) => self.ztunnel.parse_parts(parts, line, context, events),
            TextLine::Linkerd(parts) => self.linkerd.parse_line(parts, line, context, events),
            TextLine::Kubernetes(parts) => {
                self.kubernetes.parse_line(*parts, line, context, events);
                Ok(())
            }
            TextLine::Hoop => self.parse_object(Parser::Hoop, format, line, context, events),
            TextLine::Envoy => self.envoy.parse_text(line, context, events),
        }
    }

    /// Hands a record to a parser.
    ///
    /// # Errors
    /// Those of the parser.
    pub(super) fn parse(
        &mut self,
        found: &Found<'_>,
        format: SourceFormat,
        record: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        match found {
            Found::Object(parser) => self.parse_object(*parser, format, record, context, events),
            Found::Text(line) => self.parse_text(line, format, record, context, events),
            Found::Unread(parser) => self.parse_unread(*parser, format, record, context, events),
        }
    }

    /// Hands a record to a parser that has not seen it.
    ///
    /// # Errors
    /// Those of the parser.
    fn parse_unread(
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
            Parser::Query => self.query.parse(record, context, events),
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
        F::MeshledgerQuery => Some(Parser::Query),
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
