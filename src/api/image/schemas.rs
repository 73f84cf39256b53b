//! JSON Schemas of images and members, as clients fetch them; and the body of a new image, which has the same.

use crate::api::Call;
use crate::cloud::image::{CONTAINER_FORMATS, DISK_FORMATS};
use crate::error::Result;
use crate::http::call::{BodyFault, FromBody, JSON_LIMIT, parse_json};
use crate::http::json::Map;
use crate::http::microversion::Microversion;
use crate::http::reply::RawReply;
use http::StatusCode;
use serde_json::{Value, json};

/// The body of `POST /v2/images`.
pub struct NewImage(pub Map);

impl FromBody for NewImage {
    const LIMIT: usize = JSON_LIMIT;

    fn from_bytes(bytes: &[u8], version: Microversion) -> Result<Self, BodyFault> {
        parse_json(bytes, version).map(Self)
    }

    fn schema(_: Microversion) -> Option<Value> {
        Some(image())
    }
}

pub async fn show_image(_: Call) -> Result<RawReply> {
    Ok(RawReply::json(StatusCode::OK, &image()))
}

pub async fn show_images(_: Call) -> Result<RawReply> {
    Ok(RawReply::json(StatusCode::OK, &list_of("images", image())))
}

pub async fn show_member(_: Call) -> Result<RawReply> {
    Ok(RawReply::json(StatusCode::OK, &member()))
}

pub async fn show_members(_: Call) -> Result<RawReply> {
    Ok(RawReply::json(StatusCode::OK, &list_of("members", member())))
}

/// `null` or one of the words.
fn choice(words: &[&str]) -> Vec<Value> {
    std::iter::once(Value::Null).chain(words.iter().map(|word| json!(word))).collect()
}

fn image() -> Value {
    let text = |longest: u32| json!({"type": ["null", "string"], "maxLength": longest});
    let read_only = |schema: Value| {
        let mut schema = schema;
        schema["readOnly"] = json!(true);
        schema
    };
    let statuses =
        ["queued", "saving", "active", "killed", "deleted", "uploading", "importing", "pending_delete", "deactivated"];
    json!({
        "name": "image",
        "properties": {
            "id": {
                "type": "string",
                "description": "An identifier for the image",
                "pattern": "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$",
            },
            "name": text(255),
            "status": read_only(json!({"type": "string", "enum": statuses})),
            "visibility": {"type": "string", "enum": ["community", "public", "private", "shared"]},
            "protected": {"type": "boolean", "description": "If true, image will not be deletable."},
            "os_hidden": {"type": "boolean", "description": "If true, image will not appear in default image list response."},
            "checksum": read_only(text(32)),
            "os_hash_algo": read_only(text(64)),
            "os_hash_value": read_only(text(128)),
            "owner": text(255),
            "size": read_only(json!({"type": ["null", "integer"], "description": "Size of image file in bytes"})),
            "virtual_size": read_only(json!({"type": ["null", "integer"], "description": "Virtual size of image in bytes"})),
            "container_format": {"type": ["null", "string"], "enum": choice(&CONTAINER_FORMATS)},
            "disk_format": {"type": ["null", "string"], "enum": choice(&DISK_FORMATS)},
            "created_at": read_only(json!({"type": "string"})),
            "updated_at": read_only(json!({"type": "string"})),
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 255}},
            "min_ram": {"type": "integer", "description": "Amount of ram (in MB) required to boot image."},
            "min_disk": {"type": "integer", "description": "Amount of disk space (in GB) required to boot image."},
            "self": read_only(json!({"type": "string"})),
            "file": read_only(json!({"type": "string"})),
            "stores": read_only(json!({
                "type": "string",
                "description": "Names of the stores that have the image's data; only where there are several stores.",
            })),
            "schema": read_only(json!({"type": "string"})),
        },
        "additionalProperties": {"type": "string"},
        "links": [
            {"rel": "self", "href": "{self}"},
            {"rel": "enclosure", "href": "{file}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    })
}

fn member() -> Value {
    json!({
        "name": "member",
        "properties": {
            "created_at": {"type": "string", "description": "Date and time of image member creation"},
            "image_id": {"type": "string", "description": "An identifier for the image"},
            "member_id": {"type": "string", "description": "An identifier for the image member (tenantId)"},
            "status": {
                "type": "string",
                "description": "The status of this image member",
                "enum": ["pending", "accepted", "rejected"],
            },
            "updated_at": {"type": "string", "description": "Date and time of last modification of image member"},
            "schema": {"readOnly": true, "type": "string"},
        },
    })
}

pub fn list_of(name: &str, item: Value) -> Value {
    let mut schema = json!({
        "name": name,
        "properties": {
            name: {"type": "array", "items": item},
            "schema": {"type": "string"},
        },
        "links": [{"rel": "describedby", "href": "{schema}"}],
    });
    if name == "images" {
        for link in ["first", "next"] {
            schema["properties"][link] = json!({"type": "string"});
        }
        schema["links"] = json!([
            {"rel": "first", "href": "{first}"},
            {"rel": "next", "href": "{next}"},
            {"rel": "describedby", "href": "{schema}"},
        ]);
    }
    schema
}
