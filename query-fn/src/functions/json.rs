//! Into JSON texts: `attributes`, `change_before`, `statement` and what else holds one.
//!
//! A step is a key of an object or, from 0, an index of an array; a path is steps one by one, since
//! keys of attributes have dots in them. Of a key that stands twice the last value counts, as
//! ingest reads columns (docs/format.md 15.6). Numbers keep their text. The text is walked without
//! a tree and without recursion, once to see that it is JSON and once a step.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::scalar::{Body, Definition, Row, Takes};

const fn definition(name: &'static str, body: Body, says: &'static str) -> Definition {
    Definition { name, takes: Takes::JsonAndSteps, body, says, rewrite: None }
}

/// Functions of this file.
pub(super) const FUNCTIONS: &[Definition] = &[
    definition(
        GET_TEXT,
        Body::Text(|row| text(find(row)?)),
        "A value in a JSON text, as text: a string without quotes, all else as it stands, JSON's null as NULL; also json ->> step",
    ),
    definition(
        GET_JSON,
        Body::Text(|row| Some(find(row)?.into())),
        "A value in a JSON text, as JSON, exactly as it stands; also json -> step",
    ),
    definition(
        "json_get_int",
        Body::Integer(|row| find(row)?.parse().ok()),
        "A whole number in a JSON text, of at most 64 bits",
    ),
    definition(
        "json_get_float",
        Body::Double(|row| find(row)?.parse().ok().filter(|number: &f64| number.is_finite())),
        "A number in a JSON text",
    ),
    definition(
        "json_get_bool",
        Body::Boolean(|row| find(row)?.parse().ok()),
        "true or false in a JSON text",
    ),
    definition(
        "json_exists",
        Body::Boolean(|row| Some(look(row)?.is_some())),
        "Whether a JSON text has a value there, be it null",
    ),
    definition(
        "json_type",
        Body::Text(|row| Some(type_of(find(row)?).into())),
        "Type of a value in a JSON text: object, array, string, number, boolean or null",
    ),
    definition(
        "json_length",
        Body::Integer(|row| i64::try_from(parse(find(row)?, Count)?).ok()),
        "How many fields an object or elements an array in a JSON text has",
    ),
    definition(
        "json_keys",
        Body::Texts(|row| parse(find(row)?, Keys)),
        "Keys of an object in a JSON text, in order, each as often as it stands",
    ),
];

pub(super) const GET_TEXT: &str = "json_get_text";
pub(super) const GET_JSON: &str = "json_get_json";

/// The definition of a function of this file.
pub(super) fn named(name: &str) -> Option<&'static Definition> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// The value at the row's steps; `None` if there is none.
fn find<'a>(row: &Row<'a>) -> Option<&'a str> {
    look(row)?
}

/// The value at the row's steps, or that there is none; `None` if an argument is NULL or no JSON.
fn look<'a>(row: &Row<'a>) -> Option<Option<&'a str>> {
    let whole: &RawValue = serde_json::from_str(row.text(0)?).ok()?;
    let mut value = Some(whole.get());
    for argument in 1..row.count() {
        let step = Step(row.text(argument)?);
        // It is JSON: what does not parse here has no fields and no elements.
        value = value.and_then(|value| parse(value, step)?).map(RawValue::get);
    }
    Some(value)
}

fn parse<'a, V: Visitor<'a>>(value: &'a str, visitor: V) -> Option<V::Value> {
    let mut json = serde_json::Deserializer::from_str(value);
    json.deserialize_any(visitor).ok()
}

fn text(value: &str) -> Option<Cow<'_, str>> {
    if value == "null" {
        return None;
    }
    let Some(inner) = value.strip_prefix('"') else { return Some(value.into()) };
    match inner.strip_suffix('"') {
        Some(plain) if !plain.contains('\\') => Some(plain.into()),
        _ => serde_json::from_str::<String>(value).ok().map(Cow::Owned),
    }
}

fn type_of(value: &str) -> &'static str {
    match value.as_bytes().first() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        _ => "number",
    }
}

/// One step into an object or array.
#[derive(Clone, Copy)]
struct Step<'s>(&'s str);

impl<'de> Visitor<'de> for Step<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_wanted) = map.next_key_seed(KeyIs(self.0))? {
            let value = map.next_value()?;
            if is_wanted {
                found = Some(value);
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let wanted: Option<usize> = self.0.parse().ok();
        let mut found = None;
        let mut index = 0;
        while let Some(value) = elements.next_element()? {
            if Some(index) == wanted {
                found = Some(value);
            }
            index += 1;
        }
        Ok(found)
    }
}

/// Whether a key is this one, its escapes resolved.
struct KeyIs<'s>(&'s str);

impl<'de> DeserializeSeed<'de> for KeyIs<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<bool, D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyIs<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

struct Count;

impl<'de> Visitor<'de> for Count {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<usize, A::Error> {
        let mut count = 0;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<usize, A::Error> {
        let mut count = 0;
        while elements.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(count)
    }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Vec<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut keys = Vec::new();
        while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
            keys.push(Cow::Owned(key));
        }
        Ok(keys)
    }
}
