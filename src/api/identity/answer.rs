//! What every resource of identity shares: its place in the world, its list, its look-up with a question to the rule.

use crate::api::Call;
use crate::cloud::identity::Scope;
use crate::cloud::policy::Target;
use crate::error::{Error, Kind, Result};
use crate::http::query::Query;
use crate::http::reply::RawReply;
use crate::ids::DomainId;
use crate::store::Tx;
use http::StatusCode;
use serde_json::{Map, Value, json};

/// Where a resource is.
pub fn link<B>(call: &Call<B>, path: &str) -> String {
    format!("{}/identity/v3{path}", call.cx.state.public_url)
}

/// A resource with its `links`, in the envelope of its name.
pub fn shown<B>(call: &Call<B>, status: StatusCode, key: &str, path: &str, mut view: Map<String, Value>) -> RawReply {
    view.insert("links".to_owned(), json!({"self": link(call, path)}));
    RawReply::json(status, &json!({ key: view }))
}

/// 204.
pub fn done() -> RawReply {
    RawReply::empty(StatusCode::NO_CONTENT)
}

/// A list: each item in its own place, those that the query's filters leave, with the links of a list.
///
/// `filters` name the attributes that may be asked for, exactly or with Keystone's comparators (`name__contains=x`).
pub fn listed<B>(call: &Call<B>, key: &str, items: Vec<Map<String, Value>>, filters: &[&str]) -> RawReply {
    listed_at(call, key, &format!("/{key}"), items, filters)
}

/// The same for things whose place is not `/{key}/{id}` but below `base`.
pub fn listed_at<B>(
    call: &Call<B>,
    key: &str,
    base: &str,
    items: Vec<Map<String, Value>>,
    filters: &[&str],
) -> RawReply {
    let mut kept: Vec<Value> = Vec::new();
    for mut item in items {
        if !fits(&item, call.query(), filters) {
            continue;
        }
        if let Some(Value::String(id)) = item.get("id") {
            let links = json!({"self": link(call, &format!("{base}/{id}"))});
            item.insert("links".to_owned(), links);
        }
        kept.push(Value::Object(item));
    }
    let mut body = json!({ key: kept, "links": {"next": null, "self": here(call), "previous": null} });
    if let (Some(limit), Some(all)) = (most(call), body[key].as_array_mut())
        && all.len() > limit
    {
        all.truncate(limit);
        body["truncated"] = json!(true);
    }
    RawReply::json(StatusCode::OK, &body)
}

/// How many items the query wants at most.
pub fn most<B>(call: &Call<B>) -> Option<usize> {
    call.query().get("limit").and_then(|limit| limit.parse().ok()).filter(|limit| *limit > 0)
}

/// The address that was asked for.
pub fn here<B>(call: &Call<B>) -> String {
    let query = call.query().with(&[]);
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{}{}{mark}{query}", call.cx.state.public_url, call.head.path)
}

/// Does the query ask for any of these attributes?
pub fn is_filtered(query: &Query, filters: &[&str]) -> bool {
    query.iter().any(|(name, _)| filters.contains(&comparison(name).0))
}

/// An attribute and how it is compared.
fn comparison(name: &str) -> (&str, &str) {
    name.split_once("__").unwrap_or((name, "equals"))
}

pub fn fits(item: &Map<String, Value>, query: &Query, filters: &[&str]) -> bool {
    query.iter().all(|(name, wanted)| {
        let (attribute, comparator) = comparison(name);
        if !filters.contains(&attribute) {
            return true;
        }
        match item.get(attribute) {
            Some(Value::Bool(truth)) => *truth == is_true(wanted),
            Some(Value::String(text)) => compare(text, comparator, wanted),
            Some(Value::Null) | None => wanted.is_empty() || wanted == "null",
            Some(_) => false,
        }
    })
}

fn compare(text: &str, comparator: &str, wanted: &str) -> bool {
    // Upstream's databases compare without regard to case, with and without the comparator's `i`.
    let (text, wanted) = (text.to_lowercase(), wanted.to_lowercase());
    match comparator.trim_start_matches('i') {
        "contains" => text.contains(&wanted),
        "startswith" => text.starts_with(&wanted),
        "endswith" => text.ends_with(&wanted),
        _ => text == wanted,
    }
}

/// A query's truth: everything but what says no; a bare `?effective` says yes.
pub fn is_true(text: &str) -> bool {
    !matches!(text.to_ascii_lowercase().as_str(), "0" | "false" | "f" | "no" | "n" | "off")
}

/// Was a query parameter given that reads as true?
pub fn asks(query: &Query, name: &str) -> bool {
    query.get(name).is_some_and(is_true)
}

/// Loads what a request is about and asks the row's rule about exactly that. To whom the rule could not be answered
/// without it, what is missing looks like what is forbidden, but for the rules that [look first](super::looks_first).
///
/// # Errors
/// `Forbidden` by the rule, `NotFound` for whom the rule holds anyway.
pub async fn permitted<B, T: Send + 'static>(
    call: &Call<B>,
    kind: Kind,
    id: &str,
    load: impl Fn(&mut Tx) -> Result<Option<T>> + Send + 'static,
    target: impl Fn(&T) -> Target,
) -> Result<T> {
    match call.cx.state.db.read(load).await? {
        Some(found) => {
            call.cx.permit(&target(&found))?;
            Ok(found)
        }
        None => {
            if !super::looks_first(call.cx.rule()) {
                call.cx.permit(&Target::new())?;
            }
            Err(Error::not_found(kind, id))
        }
    }
}

/// The domain that a new thing goes to when the request does not say: the one the token is about.
pub fn own_domain<B>(call: &Call<B>) -> Result<DomainId> {
    Ok(match &call.cx.caller()?.scope {
        Scope::Domain(domain) | Scope::Project { domain, .. } => domain.id.clone(),
        Scope::System | Scope::Unscoped => super::seed::DOMAIN.into(),
    })
}

/// The domain that a list is about: the one asked for, else that of a token scoped to a domain.
pub fn listed_domain<B>(call: &Call<B>) -> Option<DomainId> {
    let asked = call.query().get("domain_id").map(DomainId::from);
    asked.or_else(|| call.cx.credentials().domain_id.as_deref().map(DomainId::from))
}

/// Does a list show what is in this domain? A token scoped to a domain sees no other domain's things in lists, whatever
/// its roles.
pub fn shows_domain<B>(call: &Call<B>, domain: Option<&str>) -> bool {
    call.cx.credentials().domain_id.as_deref().is_none_or(|own| domain == Some(own))
}

/// Attributes that upstream has no name for: what is left of a body, without what only answers carry.
pub fn extra_of(mut rest: Map<String, Value>) -> Map<String, Value> {
    for key in ["id", "links", "domain_id", "password_expires_at"] {
        rest.remove(key);
    }
    rest
}

/// Refuses a change of what can't change.
///
/// # Errors
/// `BadRequest`.
pub fn unchanged(given: Option<&Value>, is: &str, sentence: &str) -> Result<()> {
    match given {
        Some(Value::String(given)) if given != is => Err(Error::bad_request(sentence)),
        _ => Ok(()),
    }
}

/// Refuses to change what is marked as not to be changed, unless the change is to the mark itself.
///
/// # Errors
/// `Forbidden`, in upstream's words.
pub fn mutable(options: &Map<String, Value>, changed: Option<&Map<String, Value>>, kind: &str, id: &str) -> Result<()> {
    let is_immutable = options.get("immutable") == Some(&Value::Bool(true));
    let is_freed = changed.and_then(|changed| changed.get("immutable")).is_some_and(|mark| *mark != Value::Bool(true));
    if is_immutable && !is_freed {
        let verb = if changed.is_some() { "update" } else { "delete" };
        return Err(Error::Forbidden(format!(
            "Unable to {verb} immutable {kind} resource: `{id}. Set resource option \"immutable\" to false first."
        )));
    }
    Ok(())
}

/// Options as a change leaves them: `null` takes one away.
pub fn merged(mut options: Map<String, Value>, changed: Option<Map<String, Value>>) -> Map<String, Value> {
    for (key, value) in changed.unwrap_or_default() {
        if value.is_null() {
            options.remove(&key);
        } else {
            options.insert(key, value);
        }
    }
    options
}
