//! Values inside JSON text that a scanner has checked, without a tree: members of objects,
//! elements of lists, texts. Text that is no JSON ends a walk early and does no harm.

use std::borrow::Cow;

use crate::parse::json::escapes::text_of;
use crate::parse::list::Walk;

pub(super) use crate::parse::list::elements;

/// Whether a value is an object.
pub(super) fn is_object(value: &[u8]) -> bool {
    value.first() == Some(&b'{')
}

/// The members of an object, key with quotes and value as they stand; none if it is no object.
pub(super) fn members(object: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut walk = Walk::new(object);
    let mut more = walk.take(b'{');
    std::iter::from_fn(move || {
        if !more {
            return None;
        }
        let member = (walk.name()?, walk.value()?);
        more = walk.take(b',');
        Some(member)
    })
}

/// A string with escapes resolved; `None` if the value is no string.
pub(super) fn string(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let inside = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if memchr::memchr(b'\\', inside).is_none() {
        return Some(Cow::Borrowed(inside));
    }
    text_of(value).map(Cow::Owned)
}

/// A text that is there: a string that is not one of the marks of absence.
pub(super) fn text(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    string(value).filter(|text| !is_absent(text))
}

/// Whether a text says that there is none.
pub(super) fn is_absent(text: &[u8]) -> bool {
    matches!(text, b"" | b"-")
}

/// The value of an object's member; of a repeated one the last.
pub(super) fn member<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let named = |key| string(key).is_some_and(|text| &*text == name.as_bytes());
    members(object).filter(|(key, _)| named(key)).last().map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_as_they_are() {
        let object = br#"{ "a\"" : "}" , "b":{"c":1},"d":true}"#;
        let found: Vec<(&[u8], &[u8])> = members(object).collect();
        let wanted: Vec<(&[u8], &[u8])> =
            vec![(br#""a\"""#, b"\"}\""), (b"\"b\"", b"{\"c\":1}"), (b"\"d\"", b"true")];
        assert_eq!(found, wanted);
        assert_eq!(member(br#"{"a":1,"b":2,"\u0061":3}"#, "a"), Some(&b"3"[..]));
    }

    #[test]
    fn what_is_no_object_ends_the_walk() {
        for text in ["", "[", "{}", "{", "{\"a\"", "{\"a\":", "{\"", "{\"\\", "{]", "{a:1}", "{,"] {
            assert_eq!(members(text.as_bytes()).count(), 0, "{text}");
        }
    }
}
