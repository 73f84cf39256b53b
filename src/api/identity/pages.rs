//! Lists as Keystone answers them: what a query asks for, the page of it, and the links to what follows.
//!
//! A query names attributes, exactly or with a comparator (`name__icontains=web`); what a collection does not know is
//! passed over, as upstream does. No answer holds more than `identity.max_db_limit` things, whatever is asked: what is
//! left out is said (`truncated`) and can be fetched (`links.next`). The order is that of ids.

use super::answer::{here, invalid, link};
use crate::api::Call;
use crate::clock::Timestamp;
use crate::cloud::domain_config::Place;
use crate::cloud::listing::{Listing, Page, Relation, Test, is_true};
use crate::error::{Error, Result};
use crate::http::query::Query;
use crate::http::reply::RawReply;
use crate::ids::DomainId;
use crate::store::domain_config;
use http::StatusCode;
use serde_json::{Map, Value, json};

/// An attribute that a collection may be asked about, and what its values look like.
#[derive(Debug, Clone, Copy)]
pub enum Attribute {
    /// A name of at most so many characters, not blank.
    Name(usize),
    /// An id of letters, digits and hyphens.
    Id(&'static str),
    /// An id that upstream does not look at.
    Reference(&'static str),
    Truth(&'static str),
    /// `password_expires_at=lt:2026-11-22T02:41:09Z`.
    Expiry,
}

impl Attribute {
    const fn name(self) -> &'static str {
        match self {
            Self::Name(_) => "name",
            Self::Id(name) | Self::Reference(name) | Self::Truth(name) => name,
            Self::Expiry => "password_expires_at",
        }
    }

    fn test(self, value: &str) -> Result<Test> {
        match self {
            Self::Name(longest) => check_name(value, longest)?,
            Self::Id(name) => check_id(name, value)?,
            Self::Reference(_) => {}
            Self::Truth(name) => return truth(name, value).map(Test::Truth),
            Self::Expiry => return expiry(value),
        }
        Ok(Test::Is(value.to_owned()))
    }
}

/// Words that upstream takes for a truth in a query, as its refusal lists them.
const TRUTHS: &[&str] = &[
    "True", "TRUE", "true", "False", "FALSE", "false", "", "1", "0", "y", "Y", "n", "N", "on", "ON", "off", "OFF",
    "yes", "no",
];

fn truth(name: &str, value: &str) -> Result<bool> {
    if TRUTHS.contains(&value) {
        return Ok(is_true(value));
    }
    let quoted = |words: &[&str]| words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(", ");
    let words = format!("True, {}, False, {}", quoted(&TRUTHS[..3]), quoted(&TRUTHS[3..]));
    Err(invalid(name, &json!(value), &format!("'{value}' is not one of [{words}]")))
}

fn check_name(value: &str, longest: usize) -> Result<()> {
    let reason = match value.chars().count() {
        0 => "should be non-empty",
        length if length > longest => "is too long",
        _ if value.trim().is_empty() => "does not match '[\\\\S]+'",
        _ => return Ok(()),
    };
    Err(invalid("name", &json!(value), &format!("'{value}' {reason}")))
}

/// Refuses what can be no id.
///
/// # Errors
/// `BadRequest`.
pub fn check_id(name: &str, value: &str) -> Result<()> {
    let reason = match value.len() {
        0 => "should be non-empty",
        65.. => "is too long",
        _ if !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => {
            "does not match '^[a-zA-Z0-9-]+$'"
        }
        _ => return Ok(()),
    };
    Err(invalid(name, &json!(value), &format!("'{value}' {reason}")))
}

/// `{operator}:{time}`, or a time alone.
fn expiry(value: &str) -> Result<Test> {
    let operator = value.get(2..4).filter(|part| part.contains(':')).and_then(|_| value.split_once(':'));
    let (word, time) = operator.unwrap_or(("eq", value));
    let time = Timestamp::parse(time).ok_or_else(|| {
        Error::bad_request(
            "Timestamp not in expected format. The server could not comply with the request since it is either malformed or otherwise incorrect. The client is assumed to be in error.",
        )
    })?;
    let relation = Relation::of(word).ok_or_else(|| {
        Error::bad_request(format!(
            "The given operator {word} is not valid. It must be one of the following: 'eq', 'neq', 'lt', 'lte', 'gt', or 'gte'."
        ))
    })?;
    Ok(Test::When { relation, time })
}

/// What the query asks of a collection that knows these attributes.
///
/// # Errors
/// `BadRequest` for values that can't be.
pub fn asked<B>(call: &Call<B>, attributes: &[Attribute]) -> Result<Listing> {
    let settings = &call.cx.state.identity.settings;
    let query = call.query();
    let most = settings.max_db_limit;
    let wanted = limit(query)?.unwrap_or(settings.list_limit);
    let limit = [wanted, most].into_iter().filter(|bound| *bound > 0).min().unwrap_or(0);
    let marker = query.get("marker").filter(|marker| !marker.is_empty()).map(str::to_owned);
    Ok(Listing { tests: tests(query, attributes)?, marker, limit })
}

fn tests(query: &Query, attributes: &[Attribute]) -> Result<Vec<(&'static str, Test)>> {
    let mut tests = Vec::new();
    for (key, value) in query.iter() {
        let (name, comparator) = match key.split_once("__") {
            Some((name, comparator)) => (name, Some(comparator)),
            None => (key, None),
        };
        let Some(attribute) = attributes.iter().find(|attribute| attribute.name() == name) else { continue };
        match (attribute, comparator) {
            (_, None) => tests.push((attribute.name(), attribute.test(value)?)),
            // Parts are parts of texts.
            (Attribute::Truth(_) | Attribute::Expiry, Some(_)) => {}
            (_, Some(_)) => tests.extend(Test::of(comparator, value).map(|test| (attribute.name(), test))),
        }
    }
    Ok(tests)
}

/// The `limit` of a query; 0 and absence are none.
///
/// # Errors
/// `BadRequest` for what is no number.
pub fn limit(query: &Query) -> Result<Option<usize>> {
    let Some(text) = query.get("limit") else { return Ok(None) };
    match text.parse::<usize>() {
        Ok(0) => Ok(None),
        Ok(limit) => Ok(Some(limit)),
        Err(_) => Err(invalid("limit", &json!(text), &format!("'{text}' is not of type 'integer'"))),
    }
}

/// Whoever has a token for a domain sees that domain's, whatever else the query asks for.
pub fn in_own_domain<B>(call: &Call<B>, listing: Listing, attribute: &'static str) -> Listing {
    match &call.cx.credentials().domain_id {
        Some(domain) => listing.with(attribute, Test::Is(domain.clone())),
        None => listing,
    }
}

/// Where the list is one domain's and the query names no number, the domain's own `[identity] list_limit` bounds it, as
/// upstream's does users and groups.
///
/// # Errors
/// `BadRequest` for a limit that is no number, and what the database says.
pub async fn bounded_by_domain<B>(call: &Call<B>, mut listing: Listing) -> Result<Listing> {
    let domain = listing.tests.iter().find_map(|(name, test)| match test {
        Test::Is(domain) if *name == "domain_id" => Some(DomainId::from(domain.as_str())),
        _ => None,
    });
    let Some(domain) = domain.filter(|_| matches!(limit(call.query()), Ok(None))) else { return Ok(listing) };
    let place = Place::Option("identity".to_owned(), "list_limit".to_owned());
    let config = call.cx.state.db.read(move |tx| domain_config::get(tx, &domain, &place)).await?;
    let own = config.get("identity").and_then(|options| options.get("list_limit")).and_then(Value::as_u64);
    if let Some(own) = own.and_then(|own| usize::try_from(own).ok()).filter(|own| *own > 0) {
        let most = call.cx.state.identity.settings.max_db_limit;
        listing.limit = if most > 0 { own.min(most) } else { own };
    }
    Ok(listing)
}

/// A page, each item with the link to its own place, and the link to the next page if there is one.
pub fn page<B>(call: &Call<B>, key: &str, items: Vec<Map<String, Value>>, next: Option<String>) -> RawReply {
    page_at(call, key, &format!("/{key}"), items, next)
}

/// The same for things whose place is below `base`.
pub fn page_at<B>(
    call: &Call<B>,
    key: &str,
    base: &str,
    items: Vec<Map<String, Value>>,
    next: Option<String>,
) -> RawReply {
    let mut shown: Vec<Value> = Vec::with_capacity(items.len());
    for mut item in items {
        if let Some(Value::String(id)) = item.get("id") {
            let links = json!({"self": link(call, &format!("{base}/{id}"))});
            item.insert("links".to_owned(), links);
        }
        shown.push(Value::Object(item));
    }
    let is_truncated = next.is_some();
    let mut body = json!({ key: shown, "links": {"next": next, "self": here(call), "previous": null} });
    if is_truncated {
        body["truncated"] = json!(true);
    }
    RawReply::json(StatusCode::OK, &body)
}

/// The link to the page behind this one, if there is more.
pub fn next<B, T>(call: &Call<B>, page: &Page<T>, listing: &Listing, id: impl Fn(&T) -> &str) -> Option<String> {
    page.items.last().filter(|_| page.has_more).map(|item| link_after(call, id(item), listing.limit))
}

/// The link to so many things that come after this one.
pub fn link_after<B>(call: &Call<B>, id: &str, limit: usize) -> String {
    let query = call.query().with(&[("marker", id), ("limit", &limit.to_string())]);
    format!("{}{}?{query}", call.cx.state.public_url, call.head.path)
}
