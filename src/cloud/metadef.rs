//! Metadata definitions: what an image's (a flavor's, a volume's) properties mean, for people who choose among them.
//!
//! A namespace holds properties, objects (groups of properties) and tags, and says to which types of resources they apply,
//! under which prefix. Nothing here acts on an image: a definition is a description, and clients draw forms from it. What
//! clients send is read here, whole, and refused with the schema's own name.

use crate::clock::Timestamp;
use crate::cloud::policy::Target;
use crate::error::{Error, Result};
use crate::ids::ProjectId;
use serde_json::{Map, Value};

/// Longest name of anything, in characters.
const NAME: usize = 80;

#[derive(Debug, Clone, PartialEq)]
pub struct Namespace {
    pub id: String,
    pub name: String,
    pub display_name: Option<String>,
    pub description: Option<String>,
    pub is_public: bool,
    pub protected: bool,
    pub owner: ProjectId,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Namespace {
    /// The namespace as policy rules see it.
    pub fn target(&self) -> Target {
        Target::new().with("project_id", &self.owner).with("visibility", self.visibility())
    }

    pub fn visibility(&self) -> &'static str {
        if self.is_public { "public" } else { "private" }
    }

    /// # Errors
    /// `Forbidden` for a protected one.
    pub fn may_delete(&self) -> Result<()> {
        self.may_lose("namespace", &self.name)
    }

    /// May something of it be deleted?
    ///
    /// # Errors
    /// `Forbidden` within a protected one.
    pub fn may_lose(&self, what: &str, name: &str) -> Result<()> {
        if !self.protected {
            return Ok(());
        }
        Err(Error::Forbidden(format!("Metadata definition {what} {name} is protected and cannot be deleted.")))
    }
}

/// What a namespace holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    Object,
    Property,
    Tag,
}

impl ItemKind {
    /// The word of upstream's sentences, and the database's.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Property => "property",
            Self::Tag => "tag",
        }
    }

    /// What of a name is unique within a namespace.
    pub fn key(self, name: &str) -> String {
        if self == Self::Tag { name.to_lowercase() } else { name.to_owned() }
    }
}

/// An object, a property or a tag.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    pub name: String,
    /// Of an object: description, required, properties. Of a property: its schema. Of a tag: nothing.
    pub definition: Map<String, Value>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// To which resources a namespace applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Association {
    pub resource_type: String,
    pub prefix: Option<String>,
    pub properties_target: Option<String>,
    pub created_at: Timestamp,
}

/// A name and a definition, as a client sent them.
pub type Definition = (String, Map<String, Value>);

/// What a client says of a namespace.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    pub name: String,
    pub display_name: Option<String>,
    pub description: Option<String>,
    pub is_public: bool,
    pub protected: bool,
    pub owner: Option<ProjectId>,
    pub associations: Vec<(String, Option<String>, Option<String>)>,
    pub properties: Vec<Definition>,
    pub objects: Vec<Definition>,
    pub tags: Vec<String>,
}

/// An object of JSON that is being read, under the name of its schema.
struct Reader<'b> {
    body: &'b Map<String, Value>,
    schema: &'static str,
}

impl<'b> Reader<'b> {
    /// # Errors
    /// `Forbidden` for what only the service writes, `BadRequest` for what the schema doesn't have.
    fn of(body: &'b Value, schema: &'static str, known: &[&str], read_only: &[&str]) -> Result<Self> {
        let wrong =
            |reason: String| Error::bad_request(format!("Provided object does not match schema '{schema}': {reason}"));
        let body = body.as_object().ok_or_else(|| wrong(format!("{body} is not of type 'object'")))?;
        if let Some(name) = read_only.iter().find(|name| body.contains_key(**name)) {
            return Err(Error::Forbidden(format!("Attribute '{name}' is read-only.")));
        }
        if let Some(name) = body.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(wrong(format!("Additional properties are not allowed ('{name}' was unexpected)")));
        }
        Ok(Self { body, schema })
    }

    fn wrong(&self, reason: impl std::fmt::Display) -> Error {
        Error::bad_request(format!("Provided object does not match schema '{}': {reason}", self.schema))
    }

    fn text(&self, name: &str, longest: usize) -> Result<Option<String>> {
        match self.body.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.chars().count() > longest => {
                Err(self.wrong(format!("'{text}' is too long")))
            }
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(self.wrong(format!("{other} is not of type 'string'"))),
        }
    }

    fn name(&self, field: &str) -> Result<String> {
        let name = self.text(field, NAME)?.ok_or_else(|| self.wrong(format!("'{field}' is a required property")))?;
        // It becomes a part of paths, in which nothing could name it.
        if name.is_empty() || name.contains(['/', '\0']) {
            return Err(self.wrong(format!("'{name}' is no name")));
        }
        Ok(name)
    }

    fn flag(&self, name: &str) -> Result<bool> {
        match self.body.get(name) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| self.wrong(format!("{value} is not of type 'boolean'"))),
        }
    }

    fn list(&self, name: &str) -> Result<&'b [Value]> {
        match self.body.get(name) {
            None => Ok(&[]),
            Some(value) => {
                value.as_array().map(Vec::as_slice).ok_or_else(|| self.wrong(format!("{value} is not of type 'array'")))
            }
        }
    }

    fn map(&self, name: &str) -> Result<Option<&'b Map<String, Value>>> {
        match self.body.get(name) {
            None => Ok(None),
            Some(value) => {
                value.as_object().map(Some).ok_or_else(|| self.wrong(format!("{value} is not of type 'object'")))
            }
        }
    }
}

/// # Errors
/// As every reader here: `BadRequest` with the schema's name, `Forbidden` for what only the service writes.
pub fn read_namespace(body: &Value) -> Result<Description> {
    let known = [
        "namespace",
        "display_name",
        "description",
        "visibility",
        "protected",
        "owner",
        "resource_type_associations",
        "properties",
        "objects",
        "tags",
    ];
    let reader = Reader::of(body, "namespace", &known, &["self", "schema", "created_at", "updated_at"])?;
    let is_public = match reader.text("visibility", NAME)?.as_deref() {
        Some("public") => true,
        Some("private") | None => false,
        Some(other) => return Err(reader.wrong(format!("'{other}' is not one of ['public', 'private']"))),
    };
    let properties = reader.map("properties")?.into_iter().flatten();
    Ok(Description {
        name: reader.name("namespace")?,
        display_name: reader.text("display_name", NAME)?,
        description: reader.text("description", 500)?,
        is_public,
        protected: reader.flag("protected")?,
        owner: reader.text("owner", 255)?.map(ProjectId),
        associations: unstamped(reader.list("resource_type_associations")?, read_association)?,
        properties: properties.map(|(name, value)| Ok((name.clone(), read_schema(value)?))).collect::<Result<_>>()?,
        objects: unstamped(reader.list("objects")?, read_object)?,
        tags: unstamped(reader.list("tags")?, read_tag)?,
    })
}

/// What a namespace holds, read without what only the service writes: clients send back whole what they were shown.
fn unstamped<T>(values: &[Value], read: impl Fn(&Value) -> Result<T>) -> Result<Vec<T>> {
    values
        .iter()
        .map(|value| {
            let mut value = value.clone();
            if let Some(fields) = value.as_object_mut() {
                fields.retain(|name, _| !["self", "schema", "created_at", "updated_at"].contains(&name.as_str()));
            }
            read(&value)
        })
        .collect()
}

pub fn read_association(body: &Value) -> Result<(String, Option<String>, Option<String>)> {
    let known = ["name", "prefix", "properties_target"];
    let reader = Reader::of(body, "resource_type_association", &known, &["created_at", "updated_at"])?;
    Ok((reader.name("name")?, reader.text("prefix", NAME)?, reader.text("properties_target", NAME)?))
}

pub fn read_object(body: &Value) -> Result<Definition> {
    let known = ["name", "description", "required", "properties"];
    let reader = Reader::of(body, "object", &known, &["self", "schema", "created_at", "updated_at"])?;
    let name = reader.name("name")?;
    reader.text("description", usize::MAX)?;
    let mut required: Vec<_> = Vec::new();
    for value in reader.list("required")? {
        let text = value.as_str().ok_or_else(|| reader.wrong(format!("{value} is not of type 'string'")))?;
        if required.contains(&text) {
            return Err(reader.wrong("'required' has non-unique elements"));
        }
        required.push(text);
    }
    for value in reader.map("properties")?.into_iter().flat_map(|properties| properties.values()) {
        read_schema(value)?;
    }
    let mut definition = reader.body.clone();
    definition.remove("name");
    Ok((name, definition))
}

pub fn read_tag(body: &Value) -> Result<String> {
    Reader::of(body, "tag", &["name"], &["created_at", "updated_at"])?.name("name")
}

/// The tags of `{"tags": [{"name": …}]}`.
pub fn read_tags(body: &Value) -> Result<Vec<String>> {
    let reader = Reader::of(body, "tags", &["tags"], &["created_at", "updated_at"])?;
    reader.list("tags")?.iter().map(read_tag).collect()
}

/// A property that says its own name.
pub fn read_property(body: &Value) -> Result<Definition> {
    let schema = read_schema(body)?;
    let reader = Reader { body: &schema, schema: "property" };
    Ok((reader.name("name")?, schema))
}

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const COUNTS: [&str; 4] = ["maxLength", "minLength", "maxItems", "minItems"];
const FLAGS: [&str; 4] = ["readonly", "confidential", "uniqueItems", "additionalItems"];

/// The schema of a property's values.
fn read_schema(body: &Value) -> Result<Map<String, Value>> {
    let known = [
        &[
            "name",
            "title",
            "description",
            "operators",
            "type",
            "minimum",
            "maximum",
            "pattern",
            "enum",
            "default",
            "items",
        ],
        &COUNTS[..],
        &FLAGS[..],
    ]
    .concat();
    let reader = Reader::of(body, "property", &known, &["created_at", "updated_at"])?;
    for name in ["title", "type"] {
        if !reader.body.contains_key(name) {
            return Err(reader.wrong(format!("'{name}' is a required property")));
        }
    }
    for name in ["title", "description", "pattern"] {
        reader.text(name, usize::MAX)?;
    }
    reader.text("name", NAME)?;
    check_type(&reader, reader.body.get("type"))?;
    if let Some(items) = reader.map("items")? {
        check_type(&reader, items.get("type"))?;
    }
    for name in FLAGS {
        reader.flag(name)?;
    }
    for name in COUNTS {
        if let Some(value) = reader.body.get(name).filter(|value| value.as_u64().is_none()) {
            return Err(reader.wrong(format!("{value} is not a whole number from 0")));
        }
    }
    for name in ["minimum", "maximum"] {
        if let Some(value) = reader.body.get(name).filter(|value| !value.is_number()) {
            return Err(reader.wrong(format!("{value} is not of type 'number'")));
        }
    }
    reader.list("enum")?;
    if let Some(value) = reader.list("operators")?.iter().find(|value| !value.is_string()) {
        return Err(reader.wrong(format!("{value} is not of type 'string'")));
    }
    Ok(reader.body.clone())
}

fn check_type(reader: &Reader<'_>, value: Option<&Value>) -> Result<()> {
    match value {
        None => Ok(()),
        Some(value) if value.as_str().is_some_and(|word| TYPES.contains(&word)) => Ok(()),
        Some(value) => Err(reader.wrong(format!("{value} is not one of ['{}']", TYPES.join("', '")))),
    }
}

/// Names of properties under the prefix that a resource type gives them.
pub fn prefixed(properties: &Map<String, Value>, prefix: &str) -> Map<String, Value> {
    properties.iter().map(|(name, value)| (format!("{prefix}{name}"), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_namespace_is_read_whole() {
        let body = json!({
            "namespace": "N",
            "visibility": "public",
            "resource_type_associations": [{"name": "OS::Glance::Image", "prefix": "hw_"}],
            "properties": {"bus": {"title": "Bus", "type": "string", "enum": ["scsi", "virtio"]}},
            "objects": [{"name": "o", "required": ["p"], "properties": {"p": {"title": "P", "type": "integer"}}}],
            "tags": [{"name": "t"}],
        });
        let read = read_namespace(&body).unwrap();
        assert_eq!((read.name.as_str(), read.is_public, read.protected), ("N", true, false));
        assert_eq!(read.associations, [("OS::Glance::Image".to_owned(), Some("hw_".to_owned()), None)]);
        assert_eq!(
            (read.properties[0].0.as_str(), read.objects[0].0.as_str(), read.tags[0].as_str()),
            ("bus", "o", "t")
        );
    }

    #[test]
    fn what_no_schema_has_is_refused() {
        for body in [
            json!({}),
            json!([]),
            json!({"namespace": "x".repeat(81)}),
            json!({"namespace": ""}),
            json!({"namespace": "../x"}),
            json!({"namespace": 1}),
            json!({"namespace": "N", "visibility": "shared"}),
            json!({"namespace": "N", "protected": "yes"}),
            json!({"namespace": "N", "colour": "red"}),
            json!({"namespace": "N", "tags": {}}),
            json!({"namespace": "N", "tags": [{}]}),
            json!({"namespace": "N", "properties": {"p": {"type": "string"}}}),
            json!({"namespace": "N", "properties": {"p": {"title": "P", "type": "colour"}}}),
            json!({"namespace": "N", "properties": {"p": {"title": "P", "type": "string", "minLength": -1}}}),
            json!({"namespace": "N", "objects": [{"name": "o", "required": ["a", "a"]}]}),
            json!({"namespace": "N", "resource_type_associations": [{"prefix": "hw_"}]}),
        ] {
            assert!(matches!(read_namespace(&body), Err(Error::BadRequest(_))), "{body}");
        }
        for name in ["self", "schema", "created_at", "updated_at"] {
            assert!(matches!(read_namespace(&json!({"namespace": "N", name: "x"})), Err(Error::Forbidden(_))));
        }
    }

    #[test]
    fn nothing_of_a_protected_namespace_is_deleted() {
        let mut namespace = Namespace {
            id: "i".into(),
            name: "N".into(),
            display_name: None,
            description: None,
            is_public: false,
            protected: true,
            owner: "p".into(),
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
        };
        let refused = namespace.may_delete().unwrap_err().to_string();
        assert_eq!(refused, "Metadata definition namespace N is protected and cannot be deleted.");
        assert!(namespace.may_lose("tag", "t").is_err());
        namespace.protected = false;
        assert!(namespace.may_delete().is_ok());
    }
}
