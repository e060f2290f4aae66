//! The canonical text of an object, for comparison and for reading: compact, keys sorted by code
//! point, numbers as written, strings with the shortest escapes, `metadata.managedFields` left
//! out. A key that stands twice stays twice.
//!
//! One pass, whatever the depth: members are written where they stand and moved only if they were
//! out of order. Input is text that a scanner has checked.

use common::limits::RECORD_DEPTH_MAX;

use super::walk;
use crate::parse::list::Walk;
use crate::parse::quote::push_string;

/// Writes canonical texts; its buffers are used again.
#[derive(Debug, Default)]
pub(super) struct Canon {
    out: Vec<u8>,
    spare: Vec<u8>,
    keys: Vec<u8>,
    members: Vec<Member>,
}

/// One member of an object that is being written: places in `keys` and `out`.
#[derive(Debug, Clone, Copy)]
struct Member {
    /// The key's first eight bytes, so that most comparisons need no more.
    prefix: u64,
    key: (u32, u32),
    text: (u32, u32),
}

/// Where a value stands, as far as that matters for what is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Metadata,
    Items,
    Item,
    Other,
}

impl Place {
    fn of_member(self, key: &[u8]) -> Self {
        match (self, key) {
            (Self::Root | Self::Item, b"metadata") => Self::Metadata,
            (Self::Root, b"items") => Self::Items,
            _ => Self::Other,
        }
    }
}

impl Canon {
    /// The canonical text of a JSON value; `None` if it is no JSON.
    pub(super) fn text(&mut self, value: &[u8]) -> Option<&[u8]> {
        self.out.clear();
        self.keys.clear();
        self.members.clear();
        self.value(&mut Walk::new(value), Place::Root, 0)?;
        Some(&self.out)
    }

    fn value(&mut self, walk: &mut Walk<'_>, place: Place, depth: usize) -> Option<()> {
        if depth > RECORD_DEPTH_MAX {
            return None;
        }
        match walk.peek()? {
            b'{' => self.object(walk, place, depth),
            b'[' => self.list(walk, place, depth),
            b'"' => self.string(walk.value()?),
            _ => {
                self.out.extend_from_slice(walk.value()?);
                Some(())
            }
        }
    }

    fn list(&mut self, walk: &mut Walk<'_>, place: Place, depth: usize) -> Option<()> {
        let inside = if place == Place::Items { Place::Item } else { Place::Other };
        let begin = self.out.len();
        walk.take(b'[');
        while !walk.take(b']') {
            let first = self.out.len() == begin;
            if !first && !walk.take(b',') {
                return None;
            }
            self.out.push(if first { b'[' } else { b',' });
            self.value(walk, inside, depth + 1)?;
        }
        self.out.extend_from_slice(if self.out.len() == begin { b"[]" } else { b"]" });
        Some(())
    }

    fn object(&mut self, walk: &mut Walk<'_>, place: Place, depth: usize) -> Option<()> {
        let place = if place == Place::Items { Place::Other } else { place };
        let (first, first_key) = (self.members.len(), self.keys.len());
        self.out.push(b'{');
        let begin = self.out.len();
        let mut more = false;
        walk.take(b'{');
        while !walk.take(b'}') {
            if more && !walk.take(b',') {
                return None;
            }
            more = true;
            self.member(walk, place, depth, first)?;
        }
        self.sort(first, begin)?;
        self.members.truncate(first);
        self.keys.truncate(first_key);
        self.out.push(b'}');
        Some(())
    }

    /// Writes the next member of the object whose members begin at `first`.
    fn member(
        &mut self,
        walk: &mut Walk<'_>,
        place: Place,
        depth: usize,
        first: usize,
    ) -> Option<()> {
        let quoted = walk.name()?;
        let key = walk::string(quoted)?;
        if place == Place::Metadata && &*key == b"managedFields" {
            walk.value()?;
            return Some(());
        }
        if self.members.len() > first {
            self.out.push(b',');
        }
        let narrow = |at: usize| u32::try_from(at).ok();
        let index = self.members.len();
        self.members.push(Member {
            prefix: prefix(&key),
            key: (narrow(self.keys.len())?, narrow(self.keys.len() + key.len())?),
            text: (narrow(self.out.len())?, 0),
        });
        self.keys.extend_from_slice(&key);
        self.string(quoted)?;
        self.out.push(b':');
        self.value(walk, place.of_member(&key), depth + 1)?;
        self.members.get_mut(index)?.text.1 = narrow(self.out.len())?;
        Some(())
    }

    fn string(&mut self, quoted: &[u8]) -> Option<()> {
        if memchr::memchr(b'\\', quoted).is_none() {
            self.out.extend_from_slice(quoted);
        } else {
            push_string(&mut self.out, &walk::string(quoted)?);
        }
        Some(())
    }

    /// Brings the members from `first` on, whose text begins at `begin`, in order.
    fn sort(&mut self, first: usize, begin: usize) -> Option<()> {
        let Self { out, spare, keys, members } = self;
        let members = members.get_mut(first..)?;
        let key = |member: &Member| piece(keys, member.key);
        let order = |a: &Member, b: &Member| {
            a.prefix.cmp(&b.prefix).then_with(|| key(a).cmp(key(b))).then(a.text.cmp(&b.text))
        };
        if members.is_sorted_by(|a, b| order(a, b).is_le()) {
            return Some(());
        }
        members.sort_unstable_by(order);
        spare.clear();
        for member in members {
            if !spare.is_empty() {
                spare.push(b',');
            }
            spare.extend_from_slice(piece(out, member.text));
        }
        out.truncate(begin);
        out.extend_from_slice(spare);
        Some(())
    }
}

fn piece(bytes: &[u8], (from, to): (u32, u32)) -> &[u8] {
    bytes.get(from as usize..to as usize).unwrap_or_default()
}

fn prefix(key: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(key) {
        *to = *from;
    }
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, expected: &str) {
        let mut canon = Canon::default();
        let found = canon.text(value.as_bytes()).map(|text| String::from_utf8_lossy(text));
        assert_eq!(found.as_deref(), Some(expected), "{value}");
    }

    #[test]
    fn keys_are_sorted_by_code_point_at_every_level() {
        check(
            r#" { "b" : [ {"z":1,"a":{"y":2,"x":3}} ] , "a" : null , "B":true } "#,
            r#"{"B":true,"a":null,"b":[{"a":{"x":3,"y":2},"z":1}]}"#,
        );
        check(
            r#"{"abcdefghj":1,"abcdefghi":2,"abcdefgh":3}"#,
            r#"{"abcdefgh":3,"abcdefghi":2,"abcdefghj":1}"#,
        );
        // An escaped key sorts by what it means: newline before `A`, `é` behind `z`.
        check(
            r#"{"z":1,"\u00e9":2,"A":3,"\n":4,"":5}"#,
            "{\"\":5,\"\\n\":4,\"A\":3,\"z\":1,\"é\":2}",
        );
        check(r#"{"b":1,"a":1,"b":2,"a":3}"#, r#"{"a":1,"a":3,"b":1,"b":2}"#);
        check("[]", "[]");
        check("{}", "{}");
    }

    #[test]
    fn numbers_stay_and_strings_get_the_shortest_escapes() {
        check("[1.50,1e3,-0.0,12345678901234567890123]", "[1.50,1e3,-0.0,12345678901234567890123]");
        check(r#"["\u0001\u001F\t\/\u0041\"\\\b\f"]"#, r#"["\u0001\u001f\t/A\"\\\b\f"]"#);
    }

    #[test]
    fn managed_fields_are_left_out_where_they_are_metadata() {
        check(
            r#"{"metadata":{"managedFields":[{"a":1}],"name":"x"},"managedFields":1}"#,
            r#"{"managedFields":1,"metadata":{"name":"x"}}"#,
        );
        check(
            r#"{"items":[{"metadata":{"managedFields":[]}},{"spec":{"metadata":{"managedFields":2}}}]}"#,
            r#"{"items":[{"metadata":{}},{"spec":{"metadata":{"managedFields":2}}}]}"#,
        );
        check(r#"[{"metadata":{"managedFields":[]}}]"#, r#"[{"metadata":{"managedFields":[]}}]"#);
    }

    #[test]
    fn what_is_no_json_has_no_text() {
        for value in ["", "{", "[", "{\"a\"}", "{a:1}", "[1", "{\"a\":}", "[}", "[1,]", "[1 2]"] {
            assert_eq!(Canon::default().text(value.as_bytes()), None, "{value}");
        }
    }
}
