//! Reading JSON into types, with a check that speaks like upstream's.

use super::{Invalid, Path, python_repr};
use crate::http::microversion::Microversion;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A type that a JSON value can be read into at a version.
pub trait Parse: Sized {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid>;

    /// What a missing key reads as; `None` when there must be one.
    fn absent() -> Option<Self> {
        None
    }

    /// JSON Schema at a version.
    fn schema(version: Microversion) -> Value;

    /// Versions at which the schema changes.
    fn boundaries(_into: &mut Vec<u16>) {}
}

/// Reads a whole body.
///
/// # Errors
/// `Ok(Err(_))` for JSON of the wrong shape, `Err` for what is no JSON at all.
pub fn from_slice<T: Parse>(bytes: &[u8], version: Microversion) -> serde_json::Result<Result<T, Invalid>> {
    let value: Value = serde_json::from_slice(bytes)?;
    Ok(T::parse(value, &Path::Root, version))
}

impl Parse for Value {
    fn parse(value: Value, _: &Path<'_>, _: Microversion) -> Result<Self, Invalid> {
        Ok(value)
    }

    fn schema(_: Microversion) -> Value {
        json!({})
    }
}

impl Parse for super::Map {
    fn parse(value: Value, path: &Path<'_>, _: Microversion) -> Result<Self, Invalid> {
        match value {
            Value::Object(map) => Ok(map),
            other => Err(path.wrong_type(&other, "object")),
        }
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": "object"})
    }
}

impl Parse for String {
    fn parse(value: Value, path: &Path<'_>, _: Microversion) -> Result<Self, Invalid> {
        match value {
            Value::String(text) => Ok(text),
            other => Err(path.wrong_type(&other, "string")),
        }
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": "string"})
    }
}

impl Parse for bool {
    fn parse(value: Value, path: &Path<'_>, _: Microversion) -> Result<Self, Invalid> {
        value.as_bool().ok_or_else(|| path.wrong_type(&value, "boolean"))
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": "boolean"})
    }
}

impl Parse for i64 {
    fn parse(value: Value, path: &Path<'_>, _: Microversion) -> Result<Self, Invalid> {
        value.as_i64().ok_or_else(|| path.wrong_type(&value, "integer"))
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": "integer"})
    }
}

/// `null` and absence both read as `None`. Where they differ, use [`Maybe`].
impl<T: Parse> Parse for Option<T> {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        if value.is_null() { Ok(None) } else { T::parse(value, path, version).map(Some) }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn schema(version: Microversion) -> Value {
        json!({"anyOf": [T::schema(version), {"type": "null"}]})
    }

    fn boundaries(into: &mut Vec<u16>) {
        T::boundaries(into);
    }
}

/// A key that may be missing, but whose value, when given, is a `T`: `null` is refused unless `T` takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Maybe<T> {
    Absent,
    Given(T),
}

impl<T> Maybe<T> {
    pub fn given(self) -> Option<T> {
        match self {
            Self::Absent => None,
            Self::Given(value) => Some(value),
        }
    }

    pub fn as_ref(&self) -> Option<&T> {
        match self {
            Self::Absent => None,
            Self::Given(value) => Some(value),
        }
    }
}

impl<T: Parse> Parse for Maybe<T> {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        T::parse(value, path, version).map(Self::Given)
    }

    fn absent() -> Option<Self> {
        Some(Self::Absent)
    }

    fn schema(version: Microversion) -> Value {
        T::schema(version)
    }

    fn boundaries(into: &mut Vec<u16>) {
        T::boundaries(into);
    }
}

impl<T: Parse> Parse for Vec<T> {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        match value {
            Value::Array(items) => items
                .into_iter()
                .enumerate()
                .map(|(index, item)| T::parse(item, &Path::Index(path, index), version))
                .collect(),
            other => Err(path.wrong_type(&other, "array")),
        }
    }

    fn schema(version: Microversion) -> Value {
        json!({"type": "array", "items": T::schema(version)})
    }

    fn boundaries(into: &mut Vec<u16>) {
        T::boundaries(into);
    }
}

impl<T: Parse> Parse for BTreeMap<String, T> {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        match value {
            Value::Object(map) => map
                .into_iter()
                .map(|(key, item)| {
                    let parsed = T::parse(item, &Path::Key(path, &key), version)?;
                    Ok((key, parsed))
                })
                .collect(),
            other => Err(path.wrong_type(&other, "object")),
        }
    }

    fn schema(version: Microversion) -> Value {
        json!({"type": "object", "additionalProperties": T::schema(version)})
    }

    fn boundaries(into: &mut Vec<u16>) {
        T::boundaries(into);
    }
}

impl<T: Parse> Parse for Box<T> {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        T::parse(value, path, version).map(Box::new)
    }

    fn schema(version: Microversion) -> Value {
        T::schema(version)
    }
}

/// A string of `MIN` to `MAX` characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text<const MIN: usize, const MAX: usize>(pub String);

impl<const MIN: usize, const MAX: usize> Parse for Text<MIN, MAX> {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        let text = String::parse(value, path, version)?;
        let length = text.chars().count();
        if length < MIN || length > MAX {
            let value = Value::String(text);
            let verdict = match (length < MIN, MIN) {
                (true, 1) => "is too short",
                (true, _) => "is too short",
                (false, _) => "is too long",
            };
            return Err(path.refuse(&value, format!("{} {verdict}", python_repr(&value))));
        }
        Ok(Self(text))
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": "string", "minLength": MIN, "maxLength": MAX})
    }
}

/// An integer from `MIN` to `MAX`; a string of digits is one too, as upstream allows nearly everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Between<const MIN: i64, const MAX: i64>(pub i64);

impl<const MIN: i64, const MAX: i64> Parse for Between<MIN, MAX> {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        let shown = value.clone();
        let FlexibleInt(number) = FlexibleInt::parse(value, path, version)?;
        if number < MIN {
            return Err(path.refuse(&shown, format!("{number} is less than the minimum of {MIN}")));
        }
        if number > MAX {
            return Err(path.refuse(&shown, format!("{number} is greater than the maximum of {MAX}")));
        }
        Ok(Self(number))
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": ["integer", "string"], "pattern": "^-?[0-9]+$", "minimum": MIN, "maximum": MAX})
    }
}

/// An integer, or a string of digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlexibleInt(pub i64);

impl Parse for FlexibleInt {
    fn parse(value: Value, path: &Path<'_>, _: Microversion) -> Result<Self, Invalid> {
        let number = match &value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => {
                let digits = text.strip_prefix('-').unwrap_or(text);
                if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(path.refuse(&value, format!("{} does not match '^-?[0-9]+$'", python_repr(&value))));
                }
                text.parse().ok()
            }
            _ => None,
        };
        number.map(Self).ok_or_else(|| path.wrong_type(&value, "integer|string"))
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": ["integer", "string"], "pattern": "^-?[0-9]+$"})
    }
}

/// A boolean, or one of the words upstream takes for it (`"True"`, `"off"`, `"1"`, …).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlexibleBool(pub bool);

const TRUE_WORDS: &[&str] = &["True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes", "y", "t"];
const FALSE_WORDS: &[&str] = &["False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no", "n", "f"];

impl Parse for FlexibleBool {
    fn parse(value: Value, path: &Path<'_>, _: Microversion) -> Result<Self, Invalid> {
        match &value {
            Value::Bool(truth) => Ok(Self(*truth)),
            Value::String(text) if TRUE_WORDS.contains(&text.as_str()) => Ok(Self(true)),
            Value::String(text) if FALSE_WORDS.contains(&text.as_str()) => Ok(Self(false)),
            other => {
                let words: Vec<String> = TRUE_WORDS.iter().chain(FALSE_WORDS).map(|word| format!("'{word}'")).collect();
                Err(path
                    .refuse(other, format!("{} is not one of [True, False, {}]", python_repr(other), words.join(", "))))
            }
        }
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": ["boolean", "string"]})
    }
}

/// The words a [`OneOf`] chooses among.
pub trait Words: Send + Sync + 'static {
    const WORDS: &'static [&'static str];
}

/// A string out of a fixed list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneOf<W>(pub String, std::marker::PhantomData<W>);

impl<W: Words> Parse for OneOf<W> {
    fn parse(value: Value, path: &Path<'_>, _: Microversion) -> Result<Self, Invalid> {
        match &value {
            Value::String(text) if W::WORDS.contains(&text.as_str()) => {
                Ok(Self(text.clone(), std::marker::PhantomData))
            }
            other => {
                let words: Vec<String> = W::WORDS.iter().map(|word| format!("'{word}'")).collect();
                Err(path.refuse(other, format!("{} is not one of [{}]", python_repr(other), words.join(", "))))
            }
        }
    }

    fn schema(_: Microversion) -> Value {
        json!({"enum": W::WORDS})
    }
}

/// Base64 of at most `MAX` characters, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base64Text<const MAX: usize>(pub Vec<u8>);

impl<const MAX: usize> Parse for Base64Text<MAX> {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        use base64::Engine;
        let text = String::parse(value, path, version)?;
        if text.len() > MAX {
            let value = Value::String(text);
            return Err(path.refuse(&value, format!("{} is too long", python_repr(&value))));
        }
        let joined: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        base64::engine::general_purpose::STANDARD.decode(joined).map(Self).map_err(|_| {
            path.refuse(
                &Value::String(text.clone()),
                format!("{} is not a 'base64'", python_repr(&Value::String(text))),
            )
        })
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": "string", "format": "base64", "maxLength": MAX})
    }
}
