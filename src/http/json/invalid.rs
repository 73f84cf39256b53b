//! Why a body was refused: where, which value, what about it.
//!
//! The reason is worded as Python's jsonschema words it, since that is what upstream's clients show their users; how it
//! is wrapped in a sentence is each service's dialect.

use serde_json::Value;
use std::fmt::Write;

/// Where in a body: keys and positions from the root.
#[derive(Debug, Clone, Copy)]
pub enum Path<'p> {
    Root,
    Key(&'p Path<'p>, &'p str),
    Index(&'p Path<'p>, usize),
}

impl Path<'_> {
    /// `["server", "networks", "0", "uuid"]`.
    pub fn segments(&self) -> Vec<String> {
        match self {
            Self::Root => Vec::new(),
            Self::Key(parent, key) => {
                let mut all = parent.segments();
                all.push((*key).to_owned());
                all
            }
            Self::Index(parent, index) => {
                let mut all = parent.segments();
                all.push(index.to_string());
                all
            }
        }
    }

    /// Refuses the value found here.
    pub fn refuse(&self, value: &Value, reason: impl Into<String>) -> Invalid {
        Invalid { path: self.segments(), value: value.clone(), reason: reason.into() }
    }

    /// Refuses it for its type, in jsonschema's words: `1 is not of type 'string'`.
    pub fn wrong_type(&self, value: &Value, expected: &str) -> Invalid {
        let kinds: Vec<String> = expected.split('|').map(|kind| format!("'{kind}'")).collect();
        self.refuse(value, format!("{} is not of type {}", python_repr(value), kinds.join(", ")))
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Invalid {
    pub path: Vec<String>,
    pub value: Value,
    pub reason: String,
}

/// The value as Python prints it: `{'name': None}`, `'text'`, `True`.
pub fn python_repr(value: &Value) -> String {
    let mut out = String::new();
    write_repr(value, &mut out);
    out
}

fn write_repr(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Number(number) => {
            let _ = write!(out, "{number}");
        }
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_repr(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (i, (key, item)) in map.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_text(key, out);
                out.push_str(": ");
                write_repr(item, out);
            }
            out.push('}');
        }
    }
}

fn write_text(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push(quote);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_written_as_python_writes_them() {
        assert_eq!(
            python_repr(&json!({"a": [1, true, null, "it's"], "b": "x\ny"})),
            r#"{'a': [1, True, None, "it's"], 'b': 'x\ny'}"#
        );
    }
}
