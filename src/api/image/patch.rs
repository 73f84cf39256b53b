//! The body of a PATCH: a list of operations, in either of two media types.
//!
//! `openstack-images-v2.1-json-patch` is RFC 6902's `{"op": "add", "path": "/name", "value": …}`; the older `v2.0` says
//! `{"add": "/name", "value": …}`. Paths are one name deep: nothing inside a field can be pointed to.

use crate::cloud::image::change::{Change, Operation, check_writable};
use crate::error::{Error, Result};
use crate::http::json::Map;
use serde_json::Value;

const OLD: &str = "application/openstack-images-v2.0-json-patch";
const NEW: &str = "application/openstack-images-v2.1-json-patch";
const OPERATIONS: [&str; 3] = ["add", "remove", "replace"];

/// Reads the operations.
///
/// # Errors
/// `UnsupportedMediaType` for any other type, `BadRequest` for what is no list of operations, `Forbidden` for a field
/// that no client writes.
pub fn read(content_type: Option<&str>, body: &[u8]) -> Result<Vec<Change>> {
    let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let is_old = match media_type {
        OLD => true,
        NEW => false,
        _ => {
            let text = format!("Image PATCH expects Content-Type one of: {OLD}, {NEW}");
            return Err(Error::UnsupportedMediaType(text));
        }
    };
    let body: Value = serde_json::from_slice(body).map_err(|_| Error::bad_request("Malformed request body"))?;
    let operations =
        body.as_array().ok_or_else(|| Error::bad_request("Request body must be a JSON array of operation objects."))?;
    operations
        .iter()
        .map(|one| {
            let one = one.as_object().ok_or_else(|| Error::bad_request("Operations must be JSON objects."))?;
            if is_old { read_old(one) } else { read_new(one) }
        })
        .collect()
}

fn read_new(operation: &Map) -> Result<Change> {
    let available = OPERATIONS.join(", ");
    let Some(op) = operation.get("op") else {
        return Err(Error::bad_request(format!(
            "Unable to find `op` in JSON Schema change. It must be one of the following: {available}."
        )));
    };
    let op = op.as_str().filter(|op| OPERATIONS.contains(op)).ok_or_else(|| {
        let op = op.as_str().map_or_else(|| op.to_string(), str::to_owned);
        Error::bad_request(format!("Invalid operation: `{op}`. It must be one of the following: {available}."))
    })?;
    let path =
        operation.get("path").ok_or_else(|| Error::bad_request("Unable to find 'path' in JSON Schema change"))?;
    change(op, path, operation, false)
}

fn read_old(operation: &Map) -> Result<Change> {
    let mut named = OPERATIONS.iter().filter_map(|op| operation.get(*op).map(|path| (*op, path)));
    match (named.next(), named.next()) {
        (Some((op, path)), None) => change(op, path, operation, true),
        (Some(_), Some(_)) => Err(Error::bad_request(
            "Operation objects must contain only one member named \"add\", \"remove\", or \"replace\".",
        )),
        (None, _) => Err(Error::bad_request(
            "Operation objects must contain exactly one member named \"add\", \"remove\", or \"replace\".",
        )),
    }
}

fn change(op: &str, path: &Value, operation: &Map, only_new: bool) -> Result<Change> {
    let path = path.as_str().ok_or_else(|| Error::bad_request("A path must be a string."))?;
    let field = field_of(path)?;
    check_writable(&field)?;
    let value = || {
        let missing = || Error::bad_request(format!("Operation \"{op}\" requires a member named \"value\"."));
        operation.get("value").cloned().ok_or_else(missing)
    };
    let operation = match op {
        "add" => Operation::Add { value: value()?, only_new },
        "replace" => Operation::Replace(value()?),
        _ => Operation::Remove,
    };
    Ok(Change { field, operation })
}

/// The name a JSON pointer of one step points to.
fn field_of(pointer: &str) -> Result<String> {
    let wrong = |why: &str| Error::bad_request(format!("Pointer `{pointer}` {why}"));
    let Some(rest) = pointer.strip_prefix('/') else {
        return Err(wrong("does not start with \"/\"."));
    };
    if rest.split('/').skip(1).any(|part| part.trim().is_empty()) && !rest.ends_with('/') {
        return Err(wrong("contains adjacent \"/\"."));
    }
    if rest.ends_with('/') {
        return Err(wrong("end with \"/\"."));
    }
    let escapes = rest.match_indices('~').all(|(at, _)| rest[at + 1..].starts_with(['0', '1']));
    if !escapes {
        return Err(wrong("contains \"~\" not part of a recognized escape sequence."));
    }
    let parts: Vec<_> =
        rest.split('/').map(|part| part.replace("~1", "/").replace("~0", "~").trim().to_owned()).collect();
    match parts.as_slice() {
        [one] => Ok(one.clone()),
        // Locations are the one field upstream lets clients point into; they are refused as such.
        [locations, ..] if locations == "locations" => Ok(locations.clone()),
        many => Err(Error::bad_request(format!("Invalid JSON pointer for this resource: '/{}'", many.join("/")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn new(body: Value) -> Result<Vec<Change>> {
        read(Some(NEW), body.to_string().as_bytes())
    }

    #[test]
    fn both_media_types_say_the_same() {
        let change = |operation| vec![Change { field: "a/b".into(), operation }];
        assert_eq!(new(json!([{"op": "remove", "path": "/a~1b"}])).unwrap(), change(Operation::Remove));
        let old = read(Some(OLD), br#"[{"add": "/a~1b", "value": "x"}]"#).unwrap();
        assert_eq!(old, change(Operation::Add { value: json!("x"), only_new: true }));
        let replace = new(json!([{"op": "replace", "path": "/a~1b", "value": 1}])).unwrap();
        assert_eq!(replace, change(Operation::Replace(json!(1))));
    }

    #[test]
    fn another_media_type_is_refused() {
        for content_type in [None, Some("application/json"), Some("application/json-patch+json")] {
            assert!(matches!(read(content_type, b"[]"), Err(Error::UnsupportedMediaType(_))));
        }
    }

    #[test]
    fn what_is_no_list_of_operations_is_refused() {
        for body in [
            json!({}),
            json!([1]),
            json!([{"path": "/name", "value": "x"}]),
            json!([{"op": "move", "path": "/name"}]),
            json!([{"op": "add", "value": "x"}]),
            json!([{"op": "add", "path": "/name"}]),
            json!([{"op": "add", "path": "name", "value": "x"}]),
            json!([{"op": "add", "path": "/tags/-", "value": "x"}]),
            json!([{"op": "add", "path": "/name/", "value": "x"}]),
            json!([{"op": "add", "path": "/a~2", "value": "x"}]),
        ] {
            assert!(matches!(new(body.clone()), Err(Error::BadRequest(_))), "{body}");
        }
    }

    #[test]
    fn locations_and_the_status_are_refused_before_anything_is_looked_up() {
        for path in ["/locations", "/locations/-", "/status", "/checksum", "/os_glance_x"] {
            let body = json!([{"op": "add", "path": path, "value": "x"}]);
            assert!(matches!(new(body), Err(Error::Forbidden(_))), "{path}");
        }
    }
}
