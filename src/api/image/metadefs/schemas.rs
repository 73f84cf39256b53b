//! JSON Schemas of metadata definitions, as clients fetch them.

use super::ok;
use crate::api::Call;
use crate::api::image::schemas::list_of;
use crate::error::{Error, Kind, Result};
use crate::http::reply::RawReply;
use serde_json::{Value, json};

/// `GET /v2/schemas/metadefs/{kind}`
pub async fn show(call: Call) -> Result<RawReply> {
    let schema = match call.path("kind") {
        "namespace" => namespace(),
        "namespaces" => with_definitions(list_of("namespaces", without_definitions(namespace()))),
        "object" => object(),
        "objects" => with_definitions(list_of("objects", without_definitions(object()))),
        "property" => property(),
        "properties" => properties(),
        "tag" => tag(),
        "tags" => list_of("tags", tag()),
        "resource_type" => resource_type(),
        "resource_types" => list_of("resource_type_associations", resource_type()),
        other => return Err(Error::not_found(Kind::Page, other)),
    };
    Ok(ok(&schema))
}

fn text(longest: Option<u32>) -> Value {
    match longest {
        Some(longest) => json!({"type": "string", "maxLength": longest}),
        None => json!({"type": "string"}),
    }
}

fn about(mut schema: Value, description: &str) -> Value {
    schema["description"] = json!(description);
    schema
}

fn read_only(mut schema: Value) -> Value {
    schema["readOnly"] = json!(true);
    schema
}

fn time(description: &str) -> Value {
    json!({"type": "string", "readOnly": true, "description": description, "format": "date-time"})
}

fn definitions() -> Value {
    let types = json!(["array", "boolean", "integer", "number", "object", "string", null]);
    let count = json!({"$ref": "#/definitions/positiveInteger"});
    let count_from_0 = json!({"$ref": "#/definitions/positiveIntegerDefault0"});
    json!({
        "positiveInteger": {"type": "integer", "minimum": 0},
        "positiveIntegerDefault0": {"allOf": [{"$ref": "#/definitions/positiveInteger"}, {"default": 0}]},
        "stringArray": {"type": "array", "items": {"type": "string"}, "uniqueItems": true},
        "property": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["title", "type"],
                "properties": {
                    "name": text(Some(80)),
                    "title": text(None),
                    "description": text(None),
                    "operators": {"type": "array", "items": {"type": "string"}},
                    "type": {"type": "string", "enum": types.clone()},
                    "required": {"$ref": "#/definitions/stringArray"},
                    "minimum": {"type": "number"},
                    "maximum": {"type": "number"},
                    "maxLength": count.clone(),
                    "minLength": count_from_0.clone(),
                    "pattern": {"type": "string", "format": "regex"},
                    "enum": {"type": "array"},
                    "readonly": {"type": "boolean"},
                    "default": {},
                    "items": {
                        "type": "object",
                        "properties": {"type": {"type": "string", "enum": types}, "enum": {"type": "array"}},
                    },
                    "maxItems": count,
                    "minItems": count_from_0,
                    "uniqueItems": {"type": "boolean", "default": false},
                    "additionalItems": {"type": "boolean"},
                },
            },
        },
    })
}

fn with_definitions(mut schema: Value) -> Value {
    schema["definitions"] = definitions();
    schema
}

fn without_definitions(mut schema: Value) -> Value {
    if let Some(map) = schema.as_object_mut() {
        map.remove("definitions");
    }
    schema
}

fn namespace() -> Value {
    let named = |name: &str| json!({"type": "array", "items": {"type": "object", "properties": {name: text(None)}}});
    json!({
        "name": "namespace",
        "properties": {
            "namespace": about(text(Some(80)), "The unique namespace text."),
            "display_name": about(text(Some(80)), "The user friendly name for the namespace. Used by UI if available."),
            "description": about(text(Some(500)), "Provides a user friendly description of the namespace."),
            "visibility":
                {"type": "string", "description": "Scope of namespace accessibility.", "enum": ["public", "private"]},
            "protected": {"type": "boolean", "description": "If true, namespace will not be deletable."},
            "owner": about(text(Some(255)), "Owner of the namespace."),
            "created_at": time("Date and time of namespace creation"),
            "updated_at": time("Date and time of the last namespace modification"),
            "schema": read_only(text(None)),
            "self": read_only(text(None)),
            "resource_type_associations": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"name": text(None), "prefix": text(None), "properties_target": text(None)},
                },
            },
            "properties": {"$ref": "#/definitions/property"},
            "objects": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "name": text(None),
                        "description": text(None),
                        "required": {"$ref": "#/definitions/stringArray"},
                        "properties": {"$ref": "#/definitions/property"},
                    },
                },
            },
            "tags": named("name"),
        },
        "definitions": definitions(),
        "required": ["namespace"],
    })
}

fn object() -> Value {
    json!({
        "name": "object",
        "properties": {
            "name": text(Some(80)),
            "description": text(None),
            "required": {"$ref": "#/definitions/stringArray"},
            "properties": {"$ref": "#/definitions/property"},
            "schema": read_only(text(None)),
            "self": read_only(text(None)),
            "created_at": time("Date and time of object creation"),
            "updated_at": time("Date and time of the last object modification"),
        },
        "definitions": definitions(),
        "required": ["name"],
    })
}

fn own_definitions() -> Value {
    let mut own = definitions();
    if let Some(map) = own.as_object_mut() {
        map.remove("property");
    }
    own["stringArray"]["minItems"] = json!(1);
    own
}

fn property() -> Value {
    json!({
        "name": "property",
        "properties": definitions()["property"]["additionalProperties"]["properties"],
        "definitions": own_definitions(),
        "required": ["type", "title", "name"],
    })
}

fn properties() -> Value {
    let one = json!({
        "name": "property",
        "properties": definitions()["property"]["additionalProperties"]["properties"],
        "required": ["type", "title"],
    });
    json!({
        "name": "properties",
        "properties": {
            "properties": {"type": "object", "additionalProperties": one},
            "schema": {"type": "string"},
        },
        "links": [{"rel": "describedby", "href": "{schema}"}],
        "definitions": own_definitions(),
    })
}

fn tag() -> Value {
    json!({
        "name": "tag",
        "properties": {
            "name": text(Some(80)),
            "created_at": time("Date and time of tag creation"),
            "updated_at": time("Date and time of the last tag modification"),
        },
        "required": ["name"],
    })
}

fn resource_type() -> Value {
    json!({
        "name": "resource_type_association",
        "properties": {
            "name": about(text(Some(80)), "The type's name, as orchestration has it: OS::Glance::Image, OS::Nova::Flavor."),
            "prefix": about(
                text(Some(80)),
                "Goes before the names of the namespace's properties where they are set on such a resource; the separator is \
                 a part of it.",
            ),
            "properties_target":
                about(text(Some(80)), "Which of a resource's sets of properties is meant, where it has more than one."),
            "created_at": time("Date and time of resource type association"),
            "updated_at": time("Date and time of the last resource type association modification"),
        },
        "required": ["name"],
    })
}
