//! Where the holes of a line are, by its format.
//!
//! Places are found as the parser of the format finds them. Where a line is not as expected, what
//! follows has no holes; its text is then part of what lines have in common.

use memchr::memmem;

use super::hole::{Class, Hole};

/// Finds the holes of lines.
#[derive(Debug)]
pub(super) struct Cutter {
    /// Where ztunnel's counts begin.
    counts: memmem::Finder<'static>,
    /// Where the fields begin that tell ztunnel's workloads apart, in their order.
    replicas: [(memmem::Finder<'static>, Class); 4],
    /// Where the caller's address begins in a line of Linkerd's.
    caller: memmem::Finder<'static>,
    /// The holes of the line in hand, in order.
    pub(super) holes: Vec<Hole>,
}

impl Cutter {
    pub(super) fn new() -> Self {
        let replicas = REPLICAS.map(|(name, class)| (memmem::Finder::new(name), class));
        Self {
            counts: memmem::Finder::new(b" bytes_sent="),
            replicas,
            caller: memmem::Finder::new(b" client.ip="),
            holes: Vec::new(),
        }
    }

    /// Finds the holes of a line; `false` if it is of no format that has any here.
    pub(super) fn cut(&mut self, line: &[u8]) -> bool {
        self.holes.clear();
        match line.first() {
            Some(b'[') => self.envoy(line, 0),
            Some(b'0'..=b'9') => self.timed(line).or_else(|| self.apache(line, 0)),
            _ => None,
        }
        .is_some()
    }

    /// Adds the hole at a place, and says where it ends.
    fn hole(&mut self, line: &[u8], start: usize, class: Class) -> Option<usize> {
        let hole = Hole::at(line, start, class)?;
        self.holes.push(hole);
        Some(hole.end)
    }

    /// Adds a time, and says what begins behind its zone.
    fn time(&mut self, line: &[u8], start: usize) -> Option<usize> {
        let end = self.hole(line, start, Class::Time)?;
        Some(end + if line.get(end) == Some(&b'Z') { 1 } else { 6 })
    }

    /// Adds the ports of callers, wherever they stand.
    fn ports(&mut self, line: &[u8], start: usize, end: usize) {
        let rest = line.get(start..end).unwrap_or_default();
        for colon in memchr::memchr_iter(b':', rest) {
            let at = start + colon + 1;
            if let Some(hole) = Hole::at(line, at, Class::Port) {
                self.holes.push(hole);
            }
        }
    }

    /// Adds an IPv4 address, if one begins here; says where it ends.
    fn address(&mut self, line: &[u8], start: usize) -> usize {
        self.hole(line, start, Class::Address).unwrap_or(start)
    }

    /// Adds a path and a query, if both can be cut; says where they end.
    fn target(&mut self, line: &[u8], start: usize) -> Option<usize> {
        let path = Hole::at(line, start, Class::Path)?;
        let query = match line.get(path.end) {
            Some(b'?') => Some(Hole::at(line, path.end + 1, Class::Query)?),
            _ => None,
        };
        self.holes.push(path);
        self.holes.extend(query);
        Some(query.map_or(path.end, |query| query.end))
    }

    /// A line that begins with a time: ztunnel's, an audit event, or any behind the prefix of a
    /// container runtime.
    fn timed(&mut self, line: &[u8]) -> Option<()> {
        let end = self.time(line, 0)?;
        let rest = line.get(end..)?;
        if rest.first() == Some(&b'\t') {
            return self.ztunnel(line, end + 1);
        }
        if rest.starts_with(AUDIT) {
            return self.audit(line, end + AUDIT.len());
        }
        let prefix = [b" stdout F ", b" stderr F "].into_iter().find(|p| rest.starts_with(*p))?;
        let at = end + prefix.len();
        match line.get(at..at + 2)? {
            [b'[', b' ' | b'0'..=b'9'] => self.linkerd(line, at).or_else(|| self.envoy(line, at)),
            [b'0'..=b'9', _] => {
                let Some(end) = self.time(line, at) else { return self.apache(line, at) };
                match line.get(end..)? {
                    [b'\t', ..] => self.ztunnel(line, end + 1),
                    rest if rest.starts_with(AUDIT) => self.audit(line, end + AUDIT.len()),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// `[<time>] "<method> <path> <protocol>" <code> <flags> <details> <termination> "<failure>"
    /// <four counts> "<texts>" …`
    fn envoy(&mut self, line: &[u8], start: usize) -> Option<()> {
        let end = self.time(line, start + 1)?;
        let request = end + 3;
        line.get(end..request).filter(|text| *text == b"] \"")?;
        let path = behind(line, request, b' ')?;
        let end = self.target(line, path).unwrap_or(path);
        let mut at = behind(line, end, b' ')?;
        // Protocol, code, flags, details, termination.
        for _ in 0..5 {
            let Some(next) = behind(line, at, b' ') else { break };
            at = next;
        }
        let failure = line.get(at) == Some(&b'"');
        let counts = if failure { behind(line, at + 1, b'"').map(|end| end + 1) } else { None };
        at = counts.map_or(at, |counts| self.counts_of_envoy(line, counts));
        self.texts_of_envoy(line, at);
        Some(())
    }

    /// `"<forwarded for>" "<agent>" "<id>" "<authority>" "<host>" <cluster> <three addresses>
    /// <server name> <route>`, where no text has a quote in it.
    fn texts_of_envoy(&mut self, line: &[u8], start: usize) {
        let mut places = [0; 11];
        let mut quotes = memchr::memchr_iter(b'"', line.get(start..).unwrap_or_default());
        for (place, at) in places.iter_mut().zip(quotes.by_ref()) {
            *place = start + at;
        }
        let [first, _, second, _, third, _, fourth, _, fifth, last, more] = places;
        let slots = last + 2;
        let caller = (0..3).try_fold(slots, |at, _| behind(line, at, b' '));
        let (Some(caller), true) = (caller, first == start && last > 0 && more == 0) else {
            return self.ports(line, start, line.len());
        };
        let ends = (0..2).try_fold(caller, |at, _| behind(line, at, b' '));
        if ends.is_none_or(|route| route >= line.len()) {
            return self.ports(line, start, line.len());
        }
        let _ = self.hole(line, first + 1, Class::Text);
        let _ = self.hole(line, second + 1, Class::Text);
        let _ = self.hole(line, third + 1, Class::Uuid);
        self.ports(line, fourth, fifth);
        let _ = self.hole(line, fifth + 1, Class::Address);
        let own = behind(line, slots, b' ').unwrap_or(slots);
        let end = self.address(line, own);
        self.ports(line, end, caller);
        let end = self.address(line, caller);
        self.ports(line, end, line.len());
    }

    /// Bytes received and sent, duration, upstream time; says where they end.
    fn counts_of_envoy(&mut self, line: &[u8], start: usize) -> usize {
        let mut at = start;
        for _ in 0..4 {
            let end = match line.get(at) {
                Some(b'-' | b'0') => at + 1,
                _ => match self.hole(line, at, Class::Count) {
                    Some(end) => end,
                    None => return at,
                },
            };
            if line.get(end) != Some(&b' ') {
                return end;
            }
            at = end + 1;
        }
        at
    }

    /// `<time>\t<level>\t<scope>\t<message>\t<fields>`, behind the first tab.
    fn ztunnel(&mut self, line: &[u8], start: usize) -> Option<()> {
        let rest = line.get(start..)?;
        let found = self.counts.find(rest).map(|at| start + at);
        // Level, scope, message.
        let fields = (0..3).try_fold(start, |at, _| behind(line, at, b'\t'))?;
        let caller = fields + CALLER.len();
        let mut at = fields;
        if line.get(fields..caller) == Some(CALLER) {
            at = self.address(line, caller);
        }
        let found = found.filter(|&found| found >= at);
        self.workloads(line, at, found.unwrap_or(line.len()));
        let Some(found) = found else { return Some(()) };
        let mut at = found;
        for name in [&b" bytes_sent="[..], b" bytes_recv=", b" duration=\""] {
            if !line.get(at..).is_some_and(|rest| rest.starts_with(name)) {
                break;
            }
            let value = at + name.len();
            at = match line.get(value) {
                Some(b'0') => value + 1,
                _ => self.hole(line, value, Class::Count).unwrap_or(value),
            };
        }
        self.ports(line, at, line.len());
        Some(())
    }

    /// Fields of ztunnel's: which of the replicas talk.
    fn workloads(&mut self, line: &[u8], start: usize, end: usize) {
        let mut at = start;
        for field in 0..self.replicas.len() {
            let rest = line.get(at..end).unwrap_or_default();
            let (name, class) = &self.replicas[field];
            let (length, class) = (name.needle().len(), *class);
            let Some(value) = name.find(rest).map(|found| at + found + length) else { continue };
            self.ports(line, at, value);
            at = self.hole(line, value, class).unwrap_or(value);
        }
        self.ports(line, at, end);
    }

    /// `id="<uuid>" <fields>` of an audit event.
    fn audit(&mut self, line: &[u8], start: usize) -> Option<()> {
        let _ = self.hole(line, start, Class::Uuid);
        Some(())
    }

    /// `[<uptime>s] <text>` of Linkerd's proxy.
    fn linkerd(&mut self, line: &[u8], start: usize) -> Option<()> {
        let inside = line.get(start + 1..)?;
        let spaces = inside.iter().position(|&byte| byte != b' ')?;
        let uptime = Hole::at(line, start + 1 + spaces, Class::Decimal)?;
        let rest = uptime.end + 2;
        line.get(uptime.end..rest).filter(|text| *text == b"s]")?;
        self.holes.push(uptime);
        match line.get(rest..).and_then(|rest| self.caller.find(rest)) {
            Some(at) => {
                let caller = rest + at + self.caller.needle().len();
                self.ports(line, rest, caller);
                let end = self.address(line, caller);
                self.ports(line, end, line.len());
            }
            None => self.ports(line, rest, line.len()),
        }
        Some(())
    }

    /// `<address> <id> - [<time>] "<method> <uri> <version>" <status>`
    fn apache(&mut self, line: &[u8], start: usize) -> Option<()> {
        let id = behind(line, start, b' ')?;
        let end = self.address(line, start);
        self.ports(line, end, id);
        let dash = behind(line, id, b' ')?;
        line.get(dash..dash + 3).filter(|text| *text == b"- [")?;
        let end = self.time(line, dash + 3)?;
        let method = end + 3;
        line.get(end..method).filter(|text| *text == b"] \"")?;
        if let Some(uri) = behind(line, method, b' ') {
            let _ = self.target(line, uri);
        }
        Some(())
    }
}

/// The field of ztunnel's that says who called, which comes first.
const CALLER: &[u8] = b"src.addr=";

/// Fields of ztunnel's that tell the replicas of a workload apart, in their order.
const REPLICAS: [(&[u8], Class); 4] = [
    (b" src.workload=\"", Class::Name),
    (b" dst.addr=", Class::Address),
    (b" dst.hbone_addr=", Class::Address),
    (b" dst.workload=\"", Class::Name),
];

/// What stands between the time of an audit event and its id.
const AUDIT: &[u8] = b" AUDIT: id=\"";

/// The place behind the next such byte.
fn behind(line: &[u8], start: usize, byte: u8) -> Option<usize> {
    memchr::memchr(byte, line.get(start..)?).map(|at| start + at + 1)
}
