//! What every resource of identity shares: its place in the world, its list, its look-up with a question to the rule.

use super::pages;
use crate::api::Call;
use crate::cloud::identity::Scope;
use crate::cloud::listing::Test;
use crate::cloud::policy::Target;
use crate::error::{Error, Kind, Result};
use crate::http::json::python_repr;
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

/// A list that is whole in memory: those of its items that fit the query's filters, paged as a list from the store is.
///
/// `filters` name the attributes that may be asked for, exactly or with a comparator (`name__contains=x`).
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
    let query = call.query();
    let mut kept: Vec<Map<String, Value>> = items.into_iter().filter(|item| fits(item, query, filters)).collect();
    let id = |item: &Map<String, Value>| item.get("id").and_then(Value::as_str).map(str::to_owned);
    if let Some(at) =
        query.get("marker").and_then(|marker| kept.iter().position(|item| id(item).as_deref() == Some(marker)))
    {
        kept.drain(..=at);
    }
    let limit = pages::limit(query).unwrap_or_default().filter(|limit| kept.len() > *limit);
    kept.truncate(limit.unwrap_or(usize::MAX));
    let next = limit.and_then(|limit| Some(pages::link_after(call, &kept.last().and_then(id)?, limit)));
    pages::page_at(call, key, base, kept, next)
}

/// The address that was asked for.
pub fn here<B>(call: &Call<B>) -> String {
    let query = call.query().with(&[]);
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{}{}{mark}{query}", call.cx.state.public_url, call.head.path)
}

fn fits(item: &Map<String, Value>, query: &Query, filters: &[&str]) -> bool {
    query.iter().all(|(key, wanted)| {
        let (name, comparator) = match key.split_once("__") {
            Some((name, comparator)) => (name, Some(comparator)),
            None => (key, None),
        };
        if !filters.contains(&name) {
            return true;
        }
        Test::of(comparator, wanted)
            .is_none_or(|test| test.fits(item.get(name).unwrap_or(&Value::Null), name == "name"))
    })
}

/// Upstream's refusal of a value, around jsonschema's reason.
pub fn invalid(field: &str, value: &Value, reason: &str) -> Error {
    let shown = match value {
        Value::String(text) => text.clone(),
        other => python_repr(other),
    };
    Error::bad_request(format!("Invalid input for field/attribute {field}. Value: {shown}. {reason}"))
}

/// Is a flag in the query? `?effective` and `?effective=anything` say yes, `?effective=0` says no.
pub fn asks(query: &Query, name: &str) -> bool {
    query.get(name).is_some_and(|value| value != "0")
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

/// Refuses a change of what can't change; `None` is a domain's lack of one.
///
/// # Errors
/// `BadRequest`.
pub fn unchanged(given: Option<&Value>, is: Option<&str>, sentence: &str) -> Result<()> {
    match given {
        Some(given) if *given != json!(is) => Err(Error::bad_request(sentence)),
        _ => Ok(()),
    }
}

/// What a change does to the mark `immutable`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The change takes the mark away and does nothing else.
    Frees,
    Changes,
    Deletes,
}

impl Change {
    /// Reads it off the options that a body gives, and whether the body gives anything else.
    pub fn of(options: Option<&Map<String, Value>>, gives_more: bool) -> Self {
        let mark = options.and_then(|options| options.get("immutable"));
        if !gives_more && mark.is_some_and(|mark| *mark != Value::Bool(true)) { Self::Frees } else { Self::Changes }
    }
}

/// Refuses to change or delete what is marked as not to be changed, unless all that changes is the mark.
///
/// # Errors
/// `Forbidden`, in upstream's words.
pub fn mutable(options: &Map<String, Value>, change: Change, kind: &str, id: &str) -> Result<()> {
    let verb = match change {
        Change::Frees => return Ok(()),
        Change::Changes => "update",
        Change::Deletes => "delete",
    };
    if options.get("immutable") == Some(&Value::Bool(true)) {
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
