//! What parts of identity's bodies look like, as upstream's schemas have them, with jsonschema's words for what does not.

use crate::http::json::{Invalid, Map, Parse, Path, python_repr};
use crate::http::microversion::Microversion;
use serde_json::{Value, json};

/// A name: 1 to `MAX` characters, not all of them blank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name<const MAX: usize>(String);

impl<const MAX: usize> Name<MAX> {
    /// The name without blanks around it, as upstream keeps it.
    pub fn trimmed(&self) -> String {
        self.0.trim().to_owned()
    }
}

impl<const MAX: usize> Parse for Name<MAX> {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        let text = String::parse(value, path, version)?;
        let reason = match text.chars().count() {
            0 => "should be non-empty",
            length if length > MAX => "is too long",
            _ if text.trim().is_empty() => "does not match '[\\\\S]+'",
            _ => return Ok(Self(text)),
        };
        let value = Value::String(text);
        Err(path.refuse(&value, format!("{} {reason}", python_repr(&value))))
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": "string", "minLength": 1, "maxLength": MAX, "pattern": "[\\S]+"})
    }
}

/// The id of a domain or a project: 1 to 64 letters, digits and hyphens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdText(pub String);

impl Parse for IdText {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        let text = String::parse(value, path, version)?;
        let reason = match text.chars().count() {
            0 => "should be non-empty",
            65.. => "is too long",
            _ if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => {
                "does not match '^[a-zA-Z0-9-]+$'"
            }
            _ => return Ok(Self(text)),
        };
        let value = Value::String(text);
        Err(path.refuse(&value, format!("{} {reason}", python_repr(&value))))
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[a-zA-Z0-9-]+$"})
    }
}

/// A change that changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NonEmpty<T>(pub T);

impl<T: Parse> Parse for NonEmpty<T> {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        if value.as_object().is_some_and(Map::is_empty) {
            return Err(path.refuse(&value, "{} should be non-empty"));
        }
        T::parse(value, path, version).map(Self)
    }

    fn schema(version: Microversion) -> Value {
        let mut schema = T::schema(version);
        schema["minProperties"] = json!(1);
        schema
    }
}

/// The tags of a project: without twins, at most eighty, of 1 to 255 characters without slash or comma.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TagList(pub Vec<String>);

/// Upstream's bound.
const MOST_TAGS: usize = 80;

/// Why text can be no tag.
pub fn tag_fault(tag: &str) -> Option<&'static str> {
    match tag.chars().count() {
        0 => Some("should be non-empty"),
        256.. => Some("is too long"),
        _ if tag.contains([',', '/']) => Some("does not match '^[^,/]*$'"),
        _ => None,
    }
}

impl Parse for TagList {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        let tags = Vec::<String>::parse(value, path, version)?;
        let whole = || json!(tags);
        if tags.len() > MOST_TAGS {
            return Err(path.refuse(&whole(), format!("{} is too long", python_repr(&whole()))));
        }
        if tags.iter().enumerate().any(|(at, tag)| tags[..at].contains(tag)) {
            return Err(path.refuse(&whole(), format!("{} has non-unique elements", python_repr(&whole()))));
        }
        for (at, tag) in tags.iter().enumerate() {
            if let Some(fault) = tag_fault(tag) {
                let value = json!(tag);
                return Err(Path::Index(path, at).refuse(&value, format!("{} {fault}", python_repr(&value))));
            }
        }
        // Two that differ in blanks around them only are one, as they are stored.
        let mut kept: Vec<String> = tags.iter().map(|tag| tag.trim().to_owned()).collect();
        kept.sort();
        kept.dedup();
        Ok(Self(kept))
    }

    fn schema(_: Microversion) -> Value {
        let tag = json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[^,/]*$"});
        json!({"type": "array", "items": tag, "maxItems": MOST_TAGS, "uniqueItems": true})
    }
}

/// Options that only know `immutable`: those of projects, domains and roles.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options(pub Map);

impl Parse for Options {
    fn parse(value: Value, path: &Path<'_>, _: Microversion) -> Result<Self, Invalid> {
        options(value, path, &["immutable"], |_, _, _| Ok(())).map(Self)
    }

    fn schema(_: Microversion) -> Value {
        let truth = json!({"type": ["boolean", "null"]});
        json!({"type": "object", "properties": {"immutable": truth}, "additionalProperties": false})
    }
}

/// The options of users.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UserOptions(pub Map);

const USER_FLAGS: &[&str] = &[
    "ignore_change_password_upon_first_use",
    "ignore_password_expiry",
    "ignore_lockout_failure_attempts",
    "lock_password",
    "ignore_user_inactivity",
    "multi_factor_auth_enabled",
];

/// Which methods log in together: a list of lists of names.
const RULES: &str = "multi_factor_auth_rules";

impl Parse for UserOptions {
    fn parse(value: Value, path: &Path<'_>, _: Microversion) -> Result<Self, Invalid> {
        options(value, path, USER_FLAGS, check_rules).map(Self)
    }

    fn schema(_: Microversion) -> Value {
        let mut properties: Map =
            USER_FLAGS.iter().map(|flag| ((*flag).to_owned(), json!({"type": ["boolean", "null"]}))).collect();
        let rule = json!({"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": true});
        let rules = json!({"type": ["array", "null"], "items": rule, "uniqueItems": true});
        properties.insert(RULES.to_owned(), rules);
        json!({"type": "object", "properties": properties, "additionalProperties": false})
    }
}

/// Reads options: flags, and others that `check` knows; `null` takes any of them away.
fn options(
    value: Value,
    path: &Path<'_>,
    flags: &[&str],
    check: impl Fn(&str, &Value, &Path<'_>) -> Result<(), Invalid>,
) -> Result<Map, Invalid> {
    let Value::Object(map) = value else { return Err(path.wrong_type(&value, "object")) };
    let is_known = |key: &str| flags.contains(&key) || (key == RULES && flags.len() > 1);
    let unknown: Vec<String> = map.keys().filter(|key| !is_known(key)).map(|key| python_repr(&json!(key))).collect();
    if !unknown.is_empty() {
        let verb = if unknown.len() == 1 { "was" } else { "were" };
        let reason = format!("Additional properties are not allowed ({} {verb} unexpected)", unknown.join(", "));
        return Err(path.refuse(&Value::Object(map.clone()), reason));
    }
    for (key, value) in &map {
        let at = Path::Key(path, key);
        match value {
            Value::Null => {}
            Value::Bool(_) if flags.contains(&key.as_str()) => {}
            other if flags.contains(&key.as_str()) => return Err(at.wrong_type(other, "boolean|null")),
            other => check(key, other, &at)?,
        }
    }
    Ok(map)
}

fn check_rules(_: &str, value: &Value, path: &Path<'_>) -> Result<(), Invalid> {
    let twins = |items: &[Value]| items.iter().enumerate().any(|(at, item)| items[..at].contains(item));
    let not_unique = |value: &Value| format!("{} has non-unique elements", python_repr(value));
    let Value::Array(rules) = value else { return Err(path.wrong_type(value, "array|null")) };
    if twins(rules) {
        return Err(path.refuse(value, not_unique(value)));
    }
    for (at, rule) in rules.iter().enumerate() {
        let path = Path::Index(path, at);
        let Value::Array(methods) = rule else { return Err(path.wrong_type(rule, "array")) };
        if methods.is_empty() {
            return Err(path.refuse(rule, "[] should be non-empty"));
        }
        if let Some((at, method)) = methods.iter().enumerate().find(|(_, method)| !method.is_string()) {
            return Err(Path::Index(&path, at).wrong_type(method, "string"));
        }
        if twins(methods) {
            return Err(path.refuse(rule, not_unique(rule)));
        }
    }
    Ok(())
}
