//! What clients write about an image: the fields of a new one, the operations of a PATCH, and what neither may touch.
//!
//! Fields fall into four kinds: those Gapura says itself (read-only), those that are reserved, the image's own, and
//! everything else, which is a property: free text under a free name. Locations of bytes belong to nobody: an image
//! whose bytes a client could point elsewhere is CVE-2014-9493 again.

use super::{CONTAINER_FORMATS, DISK_FORMATS, Image, Status, Visibility};
use crate::error::{Error, Result};
use crate::ids::ProjectId;
use serde_json::Value;
use std::collections::BTreeSet;

/// Fields that only the service itself writes.
const READ_ONLY: [&str; 14] = [
    "created_at",
    "updated_at",
    "status",
    "checksum",
    "size",
    "virtual_size",
    "direct_url",
    "self",
    "file",
    "schema",
    "stores",
    "id",
    "os_hash_algo",
    "os_hash_value",
];
const RESERVED: [&str; 3] = ["location", "deleted", "deleted_at"];
/// Properties that only the service itself writes.
pub const RESERVED_PREFIX: &str = "os_glance";
/// Fields of the image itself that clients write.
const OWN: [&str; 10] = [
    "name",
    "visibility",
    "protected",
    "os_hidden",
    "owner",
    "container_format",
    "disk_format",
    "min_disk",
    "min_ram",
    "tags",
];

const MAX_INT: i64 = 2_147_483_647;

/// One operation of a PATCH.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    Add {
        value: Value,
        /// The older media type refuses to add what is there.
        only_new: bool,
    },
    Replace(Value),
    Remove,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub field: String,
    pub operation: Operation,
}

/// Is it none of the fields every image has, but a property?
pub fn is_property(field: &str) -> bool {
    !OWN.contains(&field) && !READ_ONLY.contains(&field) && !RESERVED.contains(&field)
}

/// Is this a field that no client may write?
///
/// # Errors
/// `Forbidden`, saying which kind of field it is.
pub fn check_writable(field: &str) -> Result<()> {
    if READ_ONLY.contains(&field) {
        return Err(Error::Forbidden(format!("Attribute '{field}' is read-only.")));
    }
    if RESERVED.contains(&field) || field.starts_with(RESERVED_PREFIX) {
        return Err(Error::Forbidden(format!("Attribute '{field}' is reserved.")));
    }
    if field == "locations" {
        return Err(Error::Forbidden("It's not allowed to update locations if locations are invisible.".to_owned()));
    }
    Ok(())
}

/// Makes one change, as if alone; limits that concern the whole are [`Limits`](super::limits::Limits)'s.
///
/// # Errors
/// `BadRequest` for a value of the wrong form, `Forbidden` for a field that is no longer writable, `Conflict` for a
/// property that should be there and isn't, or the other way round.
pub fn apply(image: &mut Image, change: &Change) -> Result<()> {
    let field = change.field.as_str();
    check_writable(field)?;
    let is_own = OWN.contains(&field);
    match &change.operation {
        Operation::Remove if is_own => Err(Error::Forbidden(format!("Property {field} may not be removed."))),
        Operation::Remove => image.properties.remove(field).map(|_| ()).ok_or_else(|| does_not_exist(field)),
        Operation::Add { only_new: true, .. } if is_own || image.properties.contains_key(field) => {
            Err(Error::conflict(format!("Property {field} already present.")))
        }
        Operation::Replace(_) if !is_own && !image.properties.contains_key(field) => Err(does_not_exist(field)),
        Operation::Add { value, .. } | Operation::Replace(value) => set(image, field, value),
    }
}

fn does_not_exist(field: &str) -> Error {
    Error::conflict(format!("Property {field} does not exist."))
}

/// Writes a field or a property.
///
/// # Errors
/// As [`apply`].
pub fn set(image: &mut Image, field: &str, value: &Value) -> Result<()> {
    match field {
        "name" => image.name = optional_text(field, value, 255)?,
        "visibility" => image.visibility = visibility(value)?,
        "protected" => image.protected = boolean(field, value)?,
        "os_hidden" => image.os_hidden = boolean(field, value)?,
        "owner" => image.owner = optional_text(field, value, 255)?.map(ProjectId),
        "container_format" => image.container_format = format(image, field, value, &CONTAINER_FORMATS)?,
        "disk_format" => image.disk_format = format(image, field, value, &DISK_FORMATS)?,
        "min_disk" => image.min_disk = number(field, value)?,
        "min_ram" => image.min_ram = number(field, value)?,
        "tags" => image.tags = tags(value)?,
        property => {
            if property.is_empty() || property.len() > 255 {
                return Err(Error::bad_request("Custom property should not be greater than 255 characters."));
            }
            let text = value.as_str().ok_or_else(|| wrong_type(value, "'string'"))?;
            image.properties.insert(property.to_owned(), text.to_owned());
        }
    }
    Ok(())
}

/// A tag by itself, as its own path names it.
///
/// # Errors
/// `BadRequest` when it is too long.
pub fn check_tag(tag: &str) -> Result<()> {
    if tag.chars().count() > 255 { Err(invalid(format!("'{tag}' is too long"))) } else { Ok(()) }
}

fn invalid(reason: String) -> Error {
    Error::bad_request(format!("Provided object does not match schema 'image': {reason}"))
}

fn wrong_type(value: &Value, types: &str) -> Error {
    invalid(format!("{value} is not of type {types}"))
}

fn optional_text(_field: &str, value: &Value, longest: usize) -> Result<Option<String>> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.chars().count() > longest => Err(invalid(format!("'{text}' is too long"))),
        Value::String(text) => Ok(Some(text.clone())),
        other => Err(wrong_type(other, "'null', 'string'")),
    }
}

fn boolean(_field: &str, value: &Value) -> Result<bool> {
    value.as_bool().ok_or_else(|| wrong_type(value, "'boolean'"))
}

fn number(field: &str, value: &Value) -> Result<u32> {
    let number = value.as_i64().ok_or_else(|| wrong_type(value, "'integer'"))?;
    if number < 0 {
        return Err(Error::bad_request(format!(
            "Invalid value '{number}' for parameter '{field}': Cannot be a negative value"
        )));
    }
    if number > MAX_INT {
        return Err(Error::bad_request(format!(
            "'{field}' value out of range, must be an integer from 0 to {MAX_INT}"
        )));
    }
    Ok(number as u32)
}

fn visibility(value: &Value) -> Result<Visibility> {
    let text = value.as_str().ok_or_else(|| wrong_type(value, "'string'"))?;
    Visibility::of(text)
        .ok_or_else(|| invalid(format!("'{text}' is not one of ['community', 'public', 'private', 'shared']")))
}

/// Formats say what the bytes are, so they are fixed once there are bytes.
fn format(image: &Image, field: &str, value: &Value, allowed: &[&str]) -> Result<Option<String>> {
    let chosen = optional_text(field, value, 255)?;
    if let Some(text) = &chosen
        && !allowed.contains(&text.as_str())
    {
        return Err(invalid(format!("'{text}' is not one of [None, '{}']", allowed.join("', '"))));
    }
    if image.status != Status::Queued {
        return Err(Error::Forbidden(format!("Attribute {field} can be only replaced for a queued image.")));
    }
    Ok(chosen)
}

fn tags(value: &Value) -> Result<BTreeSet<String>> {
    let items = value.as_array().ok_or_else(|| wrong_type(value, "'array'"))?;
    items
        .iter()
        .map(|item| {
            let tag = item.as_str().ok_or_else(|| wrong_type(item, "'string'"))?;
            check_tag(tag)?;
            Ok(tag.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::ids::ImageId;
    use serde_json::json;

    fn image() -> Image {
        Image::new(ImageId::random(), Some("p".into()), Timestamp(0))
    }

    fn change(field: &str, operation: Operation) -> Change {
        Change { field: field.to_owned(), operation }
    }

    #[test]
    fn cve_2015_5251_no_client_writes_the_status_or_the_sums() {
        for field in READ_ONLY {
            let refused = apply(&mut image(), &change(field, Operation::Replace(json!("active")))).unwrap_err();
            assert_eq!(refused.to_string(), format!("Attribute '{field}' is read-only."));
        }
    }

    #[test]
    fn cve_2014_9493_no_client_writes_locations() {
        for operation in [
            Operation::Remove,
            Operation::Replace(json!([])),
            Operation::Add { value: json!([{"url": "file:///etc/passwd", "metadata": {}}]), only_new: false },
        ] {
            assert!(matches!(apply(&mut image(), &change("locations", operation)), Err(Error::Forbidden(_))));
        }
    }

    #[test]
    fn reserved_names_stay_reserved() {
        for field in ["location", "deleted", "deleted_at", "os_glance_import_task"] {
            let add = Operation::Add { value: json!("x"), only_new: false };
            let refused = apply(&mut image(), &change(field, add)).unwrap_err();
            assert_eq!(refused.to_string(), format!("Attribute '{field}' is reserved."));
        }
    }

    #[test]
    fn properties_are_added_replaced_and_removed_as_the_media_types_say() {
        let mut image = image();
        let add = |only_new| Operation::Add { value: json!("1"), only_new };
        apply(&mut image, &change("os_distro", add(true))).unwrap();
        assert!(matches!(apply(&mut image, &change("os_distro", add(true))), Err(Error::Conflict(_))));
        apply(&mut image, &change("os_distro", add(false))).unwrap();
        apply(&mut image, &change("os_distro", Operation::Replace(json!("2")))).unwrap();
        assert_eq!(image.properties["os_distro"], "2");
        apply(&mut image, &change("os_distro", Operation::Remove)).unwrap();
        for operation in [Operation::Remove, Operation::Replace(json!("2"))] {
            let refused = apply(&mut image, &change("os_distro", operation)).unwrap_err();
            assert_eq!(refused.to_string(), "Property os_distro does not exist.");
        }
        assert!(matches!(apply(&mut image, &change("name", Operation::Remove)), Err(Error::Forbidden(_))));
    }

    #[test]
    fn formats_are_fixed_once_there_are_bytes() {
        let mut image = image();
        apply(&mut image, &change("disk_format", Operation::Replace(json!("qcow2")))).unwrap();
        image.status = Status::Active;
        let refused = apply(&mut image, &change("disk_format", Operation::Replace(json!("raw")))).unwrap_err();
        assert_eq!(refused.to_string(), "Attribute disk_format can be only replaced for a queued image.");
    }

    #[test]
    fn values_of_the_wrong_form_are_refused() {
        for (field, value) in [
            ("name", json!(5)),
            ("name", json!("x".repeat(256))),
            ("visibility", json!("everyone")),
            ("protected", json!("yes")),
            ("min_ram", json!(-1)),
            ("min_disk", json!(MAX_INT + 1)),
            ("disk_format", json!("floppy")),
            ("container_format", json!("box")),
            ("tags", json!(["x".repeat(256)])),
            ("any_property", json!(1)),
            ("any_property", json!(null)),
        ] {
            let refused = set(&mut image(), field, &value);
            assert!(matches!(refused, Err(Error::BadRequest(_))), "{field}: {value}");
        }
    }
}
