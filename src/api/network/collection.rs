//! What all of Neutron's collections share: showing things whole or by `fields`, filters, sorting, pages.
//!
//! Neutron filters and sorts by any attribute it shows. So it is done here, once, over what is shown, after the store has
//! bounded the rows to what the caller may see; an attribute added to a view can be filtered by without another line.

use super::filter;
use crate::api::Call;
use crate::error::{Error, Kind, Result};
use crate::http::json::{At, View};
use crate::http::microversion::Microversion;
use crate::http::query::Query;
use crate::http::reply::{IntoReply, RawReply};
use http::StatusCode;
use serde_json::{Map, Value, json};
use std::cmp::Ordering;
use std::marker::PhantomData;

/// A kind of thing: a view with the names it goes by in bodies and paths.
pub trait Resource: View {
    /// `network`.
    const ONE: &'static str;
    /// `networks`.
    const MANY: &'static str;
    const KIND: Kind;
}

/// Query parameters of every list, besides the attributes themselves.
pub const LIST_QUERY: &[&str] = &[
    "fields",
    "limit",
    "marker",
    "page_reverse",
    "sort_key",
    "sort_dir",
    "tags",
    "tags-any",
    "not-tags",
    "not-tags-any",
    "changed_since",
];

/// One thing, under its name.
pub struct One<V>(StatusCode, Value, PhantomData<V>);

/// A page of things, with links to the pages around it.
pub struct Many<V>(StatusCode, Vec<Value>, Vec<Value>, PhantomData<V>);

/// What a creation answers: one thing, or as many as were asked for at once.
pub enum Made<V> {
    One(One<V>),
    Many(Many<V>),
}

/// A view as a JSON object.
pub fn shown<V: View>(view: &V) -> Value {
    serde_json::to_value(At(view, Microversion::ANY)).expect("views have text keys")
}

impl<V: Resource> One<V> {
    /// 200 with the fields asked for.
    pub fn show<B>(call: &Call<B>, view: &V) -> Self {
        Self(StatusCode::OK, selected(call.query(), shown(view)), PhantomData)
    }
}

impl<V: Resource> Made<V> {
    /// 201, in the form the request had.
    pub fn of(mut views: Vec<V>, is_bulk: bool) -> Self {
        if is_bulk || views.len() != 1 {
            return Self::Many(Many(StatusCode::CREATED, views.iter().map(shown).collect(), Vec::new(), PhantomData));
        }
        Self::One(One(StatusCode::CREATED, shown(&views.remove(0)), PhantomData))
    }
}

impl<V: Resource> Many<V> {
    /// 200 with what of `views` the request's filters leave, sorted and cut to a page.
    ///
    /// # Errors
    /// `BadRequest` for a filter or sort key that is no attribute, `NotFound` for a marker that is not in the list.
    pub fn list<B>(call: &Call<B>, views: &[V]) -> Result<Self> {
        let query = call.query();
        let attributes = attributes::<V>();
        filter::refuse_unknown(query, &attributes)?;
        let mut items: Vec<Value> = views.iter().map(shown).collect();
        items.retain(|item| filter::holds(query, item));
        sort(query, &attributes, &mut items)?;
        let limit = limit(query)?;
        let is_reverse = query.get("page_reverse").is_some_and(|text| filter::truth(text) == Some(true));
        let items = cut::<V>(items, limit, query.get("marker").filter(|marker| !marker.is_empty()), is_reverse)?;
        let links = links(call, &items, limit, is_reverse);
        Ok(Self(StatusCode::OK, items.into_iter().map(|item| selected(query, item)).collect(), links, PhantomData))
    }
}

/// The attributes that a view shows.
fn attributes<V: View>() -> Vec<String> {
    let schema = V::schema(Microversion::ANY);
    schema["properties"].as_object().map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
}

/// The object with only the `fields` asked for; all of it when none are.
fn selected(query: &Query, item: Value) -> Value {
    let wanted: Vec<&str> = query.all("fields").filter(|name| !name.is_empty()).collect();
    match item {
        Value::Object(map) if !wanted.is_empty() => {
            Value::Object(map.into_iter().filter(|(key, _)| wanted.contains(&key.as_str())).collect::<Map<_, _>>())
        }
        whole => whole,
    }
}

fn sort(query: &Query, attributes: &[String], items: &mut [Value]) -> Result<()> {
    let keys: Vec<&str> = query.all("sort_key").collect();
    let directions: Vec<&str> = query.all("sort_dir").collect();
    if directions.len() > keys.len() {
        return Err(Error::bad_request("The number of sort_keys and sort_dirs must be same"));
    }
    if let Some(unknown) = keys.iter().find(|key| !attributes.iter().any(|known| known == *key)) {
        return Err(Error::bad_request(format!("['{unknown}'] is invalid attribute for sort_key")));
    }
    if let Some(wrong) = directions.iter().find(|direction| !matches!(**direction, "asc" | "desc")) {
        return Err(Error::bad_request(format!("Invalid sort_dir '{wrong}': it is 'asc' or 'desc'")));
    }
    if keys.is_empty() {
        return Ok(());
    }
    items.sort_by(|one, other| {
        keys.iter()
            .enumerate()
            .map(|(index, key)| {
                let order = compare(&one[*key], &other[*key]);
                if directions.get(index) == Some(&"desc") { order.reverse() } else { order }
            })
            .find(|order| order.is_ne())
            .unwrap_or_else(|| compare(&one["id"], &other["id"]))
    });
    Ok(())
}

fn compare(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_i64().cmp(&other.as_i64()),
        (Value::String(one), Value::String(other)) => one.cmp(other),
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        (one, other) => one.to_string().cmp(&other.to_string()),
    }
}

/// `None`: no bound.
fn limit(query: &Query) -> Result<Option<usize>> {
    let Some(text) = query.get("limit").filter(|text| !text.is_empty()) else { return Ok(None) };
    match text.parse::<usize>() {
        Ok(0) => Ok(None),
        Ok(limit) => Ok(Some(limit)),
        Err(_) => Err(Error::bad_request(format!("Limit must be an integer 0 or greater and not '{text}'"))),
    }
}

/// The page after the marker, or before it when pages run backwards.
fn cut<V: Resource>(
    mut items: Vec<Value>,
    limit: Option<usize>,
    marker: Option<&str>,
    is_reverse: bool,
) -> Result<Vec<Value>> {
    let Some(limit) = limit else { return Ok(items) };
    if is_reverse {
        items.reverse();
    }
    if let Some(marker) = marker {
        let at = items.iter().position(|item| item["id"] == marker);
        let at = at.ok_or_else(|| Error::not_found(V::KIND, marker))?;
        items.drain(..=at);
    }
    items.truncate(limit);
    if is_reverse {
        items.reverse();
    }
    Ok(items)
}

/// As Neutron's: a full page links on, even if nothing follows.
fn links<B>(call: &Call<B>, items: &[Value], limit: Option<usize>, is_reverse: bool) -> Vec<Value> {
    let (Some(limit), Some(first), Some(last)) = (limit, items.first(), items.last()) else { return Vec::new() };
    let link = |rel: &str, marker: &Value, reverse: &str| {
        let query = call.query().with(&[("marker", marker.as_str().unwrap_or_default()), ("page_reverse", reverse)]);
        json!({"rel": rel, "href": format!("{}{}?{query}", call.cx.state.public_url, call.head.path)})
    };
    let is_full = items.len() >= limit;
    let next = (is_full || is_reverse).then(|| link("next", &last["id"], "False"));
    let previous = (is_full || !is_reverse).then(|| link("previous", &first["id"], "True"));
    next.into_iter().chain(previous.filter(|_| call.query().has("marker"))).collect()
}

impl<V: Resource> IntoReply for One<V> {
    fn into_reply(self, _: Microversion) -> RawReply {
        RawReply::json(self.0, &json!({ V::ONE: self.1 }))
    }

    fn schema(version: Microversion) -> Option<Value> {
        Some(json!({"type": "object", "properties": { V::ONE: V::schema(version) }}))
    }
}

impl<V: Resource> IntoReply for Many<V> {
    fn into_reply(self, _: Microversion) -> RawReply {
        let mut body = json!({ V::MANY: self.1 });
        if !self.2.is_empty() {
            body[format!("{}_links", V::MANY)] = json!(self.2);
        }
        RawReply::json(self.0, &body)
    }

    fn schema(version: Microversion) -> Option<Value> {
        let items = json!({"type": "array", "items": V::schema(version)});
        let links = format!("{}_links", V::MANY);
        Some(json!({"type": "object", "properties": { V::MANY: items, links: {"type": "array"} }}))
    }
}

impl<V: Resource> IntoReply for Made<V> {
    fn into_reply(self, version: Microversion) -> RawReply {
        match self {
            Self::One(one) => one.into_reply(version),
            Self::Many(many) => many.into_reply(version),
        }
    }

    fn schema(version: Microversion) -> Option<Value> {
        One::<V>::schema(version)
    }
}
