//! Fields with lifetimes: what `versioned!` knows of each, and what it does with all.

use super::{Invalid, Map, Parse, Path, python_repr};
use crate::http::microversion::{Lifetime, Microversion};
use serde_json::{Value, json};

/// What the macro knows of a field besides its type.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub name: &'static str,
    pub lifetime: Lifetime,
    /// From which version a request must have it.
    pub required_since: Option<u16>,
}

impl Field {
    pub const fn new(name: &'static str) -> Self {
        Self { name, lifetime: Lifetime::ALWAYS, required_since: None }
    }

    pub const fn since(mut self, version: u16) -> Self {
        self.lifetime.since = version;
        self
    }

    pub const fn until(mut self, version: u16) -> Self {
        self.lifetime.until = Some(version);
        self
    }

    pub const fn required(mut self) -> Self {
        self.required_since = Some(0);
        self
    }

    pub const fn required_since(mut self, version: u16) -> Self {
        self.required_since = Some(version);
        self
    }

    /// Left out of the answer when there is nothing to show; a mark for `View`, no property of requests.
    pub const fn optional(self) -> Self {
        self
    }

    pub const fn is_required_at(&self, version: Microversion) -> bool {
        match self.required_since {
            Some(since) => version.0 >= since && self.lifetime.holds_at(version),
            None => false,
        }
    }

    pub fn boundaries(&self, into: &mut Vec<u16>) {
        into.extend((self.lifetime.since > 0).then_some(self.lifetime.since));
        into.extend(self.lifetime.until);
        into.extend(self.required_since.filter(|since| *since > 0));
    }
}

/// An object schema out of fields and their schemas.
pub fn object_schema(fields: &[(Field, Value)], strict: bool, version: Microversion) -> Value {
    let live = fields.iter().filter(|(field, _)| field.lifetime.holds_at(version));
    let properties: serde_json::Map<String, Value> =
        live.clone().map(|(field, schema)| (field.name.to_owned(), schema.clone())).collect();
    let required: Vec<&str> =
        live.filter(|(field, _)| field.is_required_at(version)).map(|(field, _)| field.name).collect();
    let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": !strict});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// Refuses keys that the version does not know, and misses those it demands, in jsonschema's sentences.
pub fn check_keys(
    map: &Map,
    fields: &[Field],
    strict: bool,
    path: &Path<'_>,
    version: Microversion,
) -> Result<(), Invalid> {
    let shown = || Value::Object(map.clone());
    if let Some(missing) = fields.iter().find(|field| field.is_required_at(version) && !map.contains_key(field.name)) {
        return Err(path.refuse(&shown(), format!("'{}' is a required property", missing.name)));
    }
    if strict && version != Microversion::LENIENT {
        let known = |key: &str| fields.iter().any(|field| field.name == key && field.lifetime.holds_at(version));
        let unknown: Vec<String> =
            map.keys().filter(|key| !known(key)).map(|key| python_repr(&Value::String(key.clone()))).collect();
        if !unknown.is_empty() {
            let verb = if unknown.len() == 1 { "was" } else { "were" };
            let reason = format!("Additional properties are not allowed ({} {verb} unexpected)", unknown.join(", "));
            return Err(path.refuse(&shown(), reason));
        }
    }
    Ok(())
}

/// Takes one field out of a body; a key outside its lifetime counts as absent.
pub fn take_field<T: Parse>(
    map: &mut Map,
    field: &Field,
    path: &Path<'_>,
    version: Microversion,
) -> Result<T, Invalid> {
    let value = if field.lifetime.holds_at(version) { map.shift_remove(field.name) } else { None };
    match value {
        Some(value) => T::parse(value, &Path::Key(path, field.name), version),
        None => T::absent().ok_or_else(|| {
            path.refuse(&Value::Object(map.clone()), format!("'{}' is a required property", field.name))
        }),
    }
}
