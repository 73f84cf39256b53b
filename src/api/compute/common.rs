//! What several resources of the compute service share: links, names, pages, query checks.

use super::versions;
use crate::api::Call;
use crate::error::{Error, Kind, Result};
use crate::http::json::{Invalid, Parse, Path, python_repr};
use crate::http::microversion::Microversion;
use crate::http::page::Page;
use crate::ids::{ImageId, ServerId};
use crate::versioned;
use serde_json::{Value, json};

/// The largest page: upstream's `max_limit`.
pub const LARGEST_PAGE: usize = 1000;

versioned! {
    response Link {
        "rel" => rel: &'static str,
        "href" => href: String,
    }
}

/// Where a path of the service is for the caller, who may have come by the older prefix.
pub fn address<B>(call: &Call<B>, path: &str) -> String {
    format!("{}{}{path}", call.cx.state.public_url, versions::prefix(call.version()))
}

/// The address of what was asked for.
pub fn own_address<B>(call: &Call<B>) -> String {
    let path = call.head.path.strip_prefix(versions::LEGACY_ALIAS.target);
    address(call, path.unwrap_or_default())
}

/// `self` and `bookmark` of a thing.
pub fn links<B>(call: &Call<B>, collection: &str, id: impl ToString) -> Vec<Link> {
    let (url, id) = (call.cx.state.public_url.as_str(), id.to_string());
    vec![
        Link { rel: "self", href: [url, versions::prefix(call.version()), "/", collection, "/", &id].concat() },
        Link { rel: "bookmark", href: [url, "/compute/", collection, "/", &id].concat() },
    ]
}

pub fn bookmark<B>(call: &Call<B>, collection: &str, id: impl ToString) -> Link {
    let (url, id) = (call.cx.state.public_url.as_str(), id.to_string());
    Link { rel: "bookmark", href: [url, "/compute/", collection, "/", &id].concat() }
}

/// The link to the next page, when there is one.
pub fn next_link<B>(call: &Call<B>, next_marker: Option<&str>) -> Vec<Link> {
    let Some(marker) = next_marker else { return Vec::new() };
    let query = call.query().with(&[("marker", marker)]);
    vec![Link { rel: "next", href: format!("{}?{query}", own_address(call)) }]
}

/// `limit` and `marker` in Nova's sentences.
pub fn page<B>(call: &Call<B>) -> Result<Page> {
    if let Some(text) = call.query().get("limit") {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits {
            return Err(bad_query("limit", text, "does not match '^[0-9]*$'"));
        }
    }
    let mut page = Page::of(call.query(), LARGEST_PAGE)?;
    // Nova reads 0 as "as many as there are".
    if page.limit == 0 {
        page.limit = LARGEST_PAGE;
    }
    Ok(page)
}

/// Cuts a list to the page after its marker.
///
/// # Errors
/// `BadRequest` for a marker that the list does not have.
pub fn cut<T>(mut all: Vec<T>, page: &Page, id: impl Fn(&T) -> String) -> Result<(Vec<T>, Option<String>)> {
    if let Some(marker) = &page.marker {
        let at = all.iter().position(|item| id(item) == *marker);
        let at = at.ok_or_else(|| Error::bad_request(format!("marker [{marker}] not found")))?;
        all.drain(..=at);
    }
    let more = all.len() > page.limit;
    all.truncate(page.limit);
    // As upstream: a full page the client asked for links on too, whether or not anything follows.
    let full = all.len() == page.limit && (more || page.limited_by_request);
    let next = if full { all.last().map(&id) } else { None };
    Ok((all, next))
}

/// A query parameter's value that is not what it must be.
pub fn bad_query(name: &str, value: &str, reason: &str) -> Error {
    Error::bad_request(format!(
        "Invalid input for query parameters {name}. Value: {value}. {} {reason}",
        python_repr(&Value::String(value.to_owned()))
    ))
}

/// Refuses query parameters that a list does not know, from the version on at which upstream does.
pub fn check_query<B>(call: &Call<B>, known: &[&str]) -> Result<()> {
    if call.version() < versions::QUERIES_ARE_STRICT { Ok(()) } else { check_known(call, known) }
}

/// As [`check_query`], for lists that have been strict for longer.
pub fn check_known<B>(call: &Call<B>, known: &[&str]) -> Result<()> {
    let unknown: Vec<String> = call
        .query()
        .iter()
        .filter(|(name, _)| !known.contains(name))
        .map(|(name, _)| python_repr(&Value::String(name.to_owned())))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let verb = if unknown.len() == 1 { "was" } else { "were" };
    Err(Error::bad_request(format!("Additional properties are not allowed ({} {verb} unexpected)", unknown.join(", "))))
}

/// The server that a path names; what is no UUID names nothing.
pub fn server_id<B>(call: &Call<B>) -> Result<ServerId> {
    let text = call.path("server_id");
    ServerId::parse(text).ok_or_else(|| Error::not_found(Kind::Server, text))
}

/// oslo's words for true and false; `None` for any other.
pub fn truth(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "t" | "true" | "on" | "y" | "yes" => Some(true),
        "0" | "f" | "false" | "off" | "n" | "no" => Some(false),
        _ => None,
    }
}

/// 1 to 255 printable characters without white space around them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(pub String);

impl Parse for Name {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        let value = match value {
            Value::String(text) if version == versions::LEGACY => Value::String(text.trim().to_owned()),
            value => value,
        };
        let text = crate::http::json::Text::<1, 255>::parse(value, path, version)?.0;
        let printable = text.chars().all(|c| !c.is_control());
        if !printable || text.trim() != text {
            let value = Value::String(text);
            let reason = "An invalid 'name' value was provided. The name must be: printable characters. Can not start or end with whitespace.";
            return Err(path.refuse(&value, reason));
        }
        Ok(Self(text))
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": "string", "format": "name", "minLength": 1, "maxLength": 255})
    }
}

/// `null`, text or anything else: the value of an action that takes none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored;

impl Parse for Ignored {
    fn parse(_: Value, _: &Path<'_>, _: Microversion) -> Result<Self, Invalid> {
        Ok(Self)
    }

    fn schema(_: Microversion) -> Value {
        json!({})
    }
}

/// `null` and nothing else: the value of the few actions whose schema says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Null;

impl Parse for Null {
    fn parse(value: Value, path: &Path<'_>, _: Microversion) -> Result<Self, Invalid> {
        if value.is_null() { Ok(Self) } else { Err(path.wrong_type(&value, "null")) }
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": "null"})
    }
}

/// An image's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageRef(pub ImageId);

impl Parse for ImageRef {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        let text = String::parse(value, path, version)?;
        ImageId::parse(&text).map(Self).ok_or_else(|| {
            let value = Value::String(text);
            path.refuse(&value, format!("{} is not a 'uuid'", python_repr(&value)))
        })
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": "string", "format": "uuid"})
    }
}

/// Text to text, each key and value at most 255 characters: metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata(pub crate::store::servers::Texts);

impl Parse for Metadata {
    fn parse(value: Value, path: &Path<'_>, _: Microversion) -> Result<Self, Invalid> {
        let Value::Object(map) = value else { return Err(path.wrong_type(&value, "object")) };
        let whole = Value::Object(map.clone());
        let mut texts = crate::store::servers::Texts::new();
        for (key, value) in map {
            let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':' | '.' | ' ');
            if key.is_empty() || key.len() > 255 || !key.chars().all(legal) {
                let unexpected = python_repr(&Value::String(key));
                let reason = format!("Additional properties are not allowed ({unexpected} was unexpected)");
                return Err(path.refuse(&whole, reason));
            }
            let at = Path::Key(path, &key);
            let Value::String(text) = value else { return Err(at.wrong_type(&value, "string")) };
            if text.chars().count() > 255 {
                let value = Value::String(text);
                return Err(at.refuse(&value, format!("{} is too long", python_repr(&value))));
            }
            texts.insert(key, text);
        }
        Ok(Self(texts))
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": "object", "patternProperties": {"^[a-zA-Z0-9-_:. ]{1,255}$": {"type": "string", "maxLength": 255}}, "additionalProperties": false})
    }
}
