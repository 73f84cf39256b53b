//! Access rules of application credentials: `/v3/users/{id}/access_rules`.
//!
//! They are made with a credential, shared by the credentials of one user that say the same, and stay when a credential
//! goes, to be used again or deleted by hand.

use crate::api::identity::answer::{done, listed_at, permitted, shown};
use crate::api::identity::delegation::check_may_see_application_credentials;
use crate::api::identity::targets;
use crate::api::identity::users;
use crate::api::{Call, Row};
use crate::clock::Timestamp;
use crate::cloud::access_rules::AccessRule;
use crate::error::{Error, Kind, Result};
use crate::http::json::{Invalid, Map, OneOf, Parse, Path, Text, Words, python_repr};
use crate::http::microversion::Microversion;
use crate::http::reply::RawReply;
use crate::http::table::{delete, get};
use crate::ids::UserId;
use crate::store::{self, Tx, access_rules as rules};
use http::StatusCode;
use serde_json::{Value, json};

pub fn rows() -> Vec<Row> {
    vec![
        get("/v3/users/{user_id}/access_rules", list)
            .rule("identity:list_access_rules")
            .query(&["service", "path", "method"]),
        get("/v3/users/{user_id}/access_rules/{access_rule_id}", show).rule("identity:get_access_rule"),
        delete("/v3/users/{user_id}/access_rules/{access_rule_id}", remove).rule("identity:delete_access_rule"),
    ]
}

crate::versioned! {
    /// A rule as a new credential asks for it: one that is there, by its id, or what it shall say.
    request WantedRule open {
        "id"      => id: Option<Text<1, 64>>,
        "service" => service: Option<Text<1, 64>>,
        "method"  => method: Option<OneOf<RuleMethod>>,
        "path"    => path: Option<RulePath>,
    }
}

#[derive(Debug, Clone)]
pub struct RuleMethod;

impl Words for RuleMethod {
    const WORDS: &'static [&'static str] = &["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"];
}

/// A pattern of at most 225 characters that begins with a slash.
#[derive(Debug, Clone)]
pub struct RulePath(String);

impl Parse for RulePath {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        let Text(text) = Text::<0, 225>::parse(value, path, version)?;
        if text.starts_with('/') {
            return Ok(Self(text));
        }
        let value = Value::String(text);
        Err(path.refuse(&value, format!("{} does not match '^/\\\\.*'", python_repr(&value))))
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": "string", "maxLength": 225, "pattern": "^/"})
    }
}

pub fn view(rule: &AccessRule) -> Map {
    let view = json!({"id": rule.id, "service": rule.service, "path": rule.path, "method": rule.method});
    if let Value::Object(map) = view { map } else { Map::new() }
}

/// The rules that a new credential asks for: found, or made.
///
/// # Errors
/// `NotFound` for the id of nothing or of another user's rule, `BadRequest` for what says too little to be made.
pub fn wanted(tx: &mut Tx, user: &UserId, wanted: &[WantedRule], now: Timestamp) -> Result<Vec<AccessRule>> {
    let mut found: Vec<AccessRule> = Vec::new();
    for one in wanted {
        let rule = find_or_make(tx, user, one, now)?;
        if found.iter().all(|known| known.id != rule.id) {
            found.push(rule);
        }
    }
    Ok(found)
}

fn find_or_make(tx: &mut Tx, user: &UserId, wanted: &WantedRule, now: Timestamp) -> Result<AccessRule> {
    let id = wanted.id.as_ref().map(|id| &id.0);
    if let Some(id) = id {
        match rules::get(tx, user, id)? {
            Some(rule) => return Ok(rule),
            None if rules::exists(tx, id)? => return Err(Error::not_found(Kind::AccessRule, id)),
            None => {}
        }
    }
    let (Some(service), Some(method), Some(path)) = (&wanted.service, &wanted.method, &wanted.path) else {
        return Err(match id {
            Some(id) => Error::not_found(Kind::AccessRule, id),
            None => Error::bad_request(
                "Invalid application credential: an access rule needs a service, a method and a path.",
            ),
        });
    };
    let rule = AccessRule {
        id: id.cloned().unwrap_or_else(|| uuid::Uuid::new_v4().simple().to_string()),
        service: service.0.clone(),
        method: method.0.clone(),
        path: path.0.clone(),
    };
    if let Some(known) = rules::saying(tx, user, &rule)? {
        return Ok(known);
    }
    rules::insert(tx, user, &rule, now)?;
    Ok(rule)
}

async fn list(call: Call) -> Result<RawReply> {
    let user = users::of_path(&call).await?;
    check_may_see_application_credentials(&call)?;
    let base = format!("/users/{}/access_rules", user.id);
    let found = call.cx.state.db.read(move |tx| rules::list(tx, &user.id)).await?;
    Ok(listed_at(&call, "access_rules", &base, found.iter().map(view).collect(), &["service", "path", "method"]))
}

/// The rule of the path, which must be that of the user of the path.
async fn of_path(call: &Call) -> Result<(UserId, AccessRule)> {
    let (user, id) = (UserId::from(call.path("user_id")), call.path("access_rule_id").to_owned());
    let wanted = user.clone();
    let load = move |tx: &mut Tx| store::users::get(tx, &wanted);
    permitted(call, Kind::User, &user.0, load, targets::user).await?;
    check_may_see_application_credentials(call)?;
    let (owner, wanted) = (user.clone(), id.clone());
    let found = call.cx.state.db.read(move |tx| rules::get(tx, &owner, &wanted)).await?;
    Ok((user, found.ok_or_else(|| Error::not_found(Kind::AccessRule, &id))?))
}

async fn show(call: Call) -> Result<RawReply> {
    let (user, rule) = of_path(&call).await?;
    let path = format!("/users/{user}/access_rules/{}", rule.id);
    Ok(shown(&call, StatusCode::OK, "access_rule", &path, view(&rule)))
}

async fn remove(call: Call) -> Result<RawReply> {
    let (_, rule) = of_path(&call).await?;
    let delete = move |tx: &mut Tx| {
        if rules::is_in_use(tx, &rule.id)? {
            return Err(Error::Forbidden("May not delete access rule in use".to_owned()));
        }
        rules::delete(tx, &rule.id)
    };
    call.cx.state.db.write(delete).await?;
    Ok(done())
}
