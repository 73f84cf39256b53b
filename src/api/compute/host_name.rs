//! A host's name as requests write it.

use crate::error::Result;
use crate::http::json::{Invalid, Parse, Path, Text, python_repr};
use crate::http::microversion::Microversion;
use serde_json::{Value, json};

/// 1 to 255 letters, digits, dots, hyphens and underscores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName(pub String);

impl Parse for HostName {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        let Text(text) = Text::<1, 255>::parse(value, path, version)?;
        if !text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')) {
            let value = Value::String(text);
            return Err(path.refuse(&value, format!("{} does not match '^[a-zA-Z0-9-._]*$'", python_repr(&value))));
        }
        Ok(Self(text))
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": "string", "pattern": "^[a-zA-Z0-9-._]*$", "minLength": 1, "maxLength": 255})
    }
}
