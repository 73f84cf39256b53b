//! Roles, and the roles that they imply.

pub mod assignment_names;
#[cfg(test)]
mod assignment_tests;
pub mod grants;
#[cfg(test)]
mod inference_tests;
pub mod role_assignments;

use super::answer::{Change, done, extra_of, link, merged, mutable, shown, unchanged};
use super::fields::{IdText, Name, NonEmpty, Options};
use super::login::not_allowed;
use super::pages::{self, Attribute};
use super::targets;
use crate::api::{Call, Row};
use crate::cloud::identity::Role;
use crate::cloud::policy::Target;
use crate::error::{Error, Kind, Result};
use crate::http::json::{Map, Maybe};
use crate::http::reply::RawReply;
use crate::http::table::{delete, get, patch, post, put};
use crate::ids::{DomainId, RoleId};
use crate::store::{Tx, projects, roles};
use http::StatusCode;
use serde_json::{Value, json};
use std::collections::HashMap;

/// What `GET /v3/roles` may be asked for.
const ATTRIBUTES: &[Attribute] = &[Attribute::Name(255), Attribute::Id("domain_id")];

pub fn rows() -> Vec<Row> {
    vec![
        get("/v3/roles", list).rule("identity:list_roles").query(&["domain_id", "limit", "marker", "name"]),
        post("/v3/roles", create).rule("identity:create_role"),
        get("/v3/roles/{role_id}", show).rule("identity:get_role"),
        patch("/v3/roles/{role_id}", update).rule("identity:update_role"),
        delete("/v3/roles/{role_id}", remove).rule("identity:delete_role"),
        get("/v3/roles/{prior_role_id}/implies", implied).rule("identity:list_implied_roles"),
        get("/v3/roles/{prior_role_id}/implies/{implied_role_id}", show_implied).rule("identity:get_implied_role"),
        put("/v3/roles/{prior_role_id}/implies/{implied_role_id}", imply).rule("identity:create_implied_role"),
        delete("/v3/roles/{prior_role_id}/implies/{implied_role_id}", stop_implying)
            .rule("identity:delete_implied_role"),
        get("/v3/role_inferences", inferences).rule("identity:list_role_inference_rules"),
    ]
}

crate::versioned! {
    request RoleCreate strict {
        "role" required => role: NewRole,
    }
}

crate::versioned! {
    request NewRole open {
        "name" required => name: Name<255>,
        "domain_id"     => domain_id: Option<IdText>,
        "description"   => description: Option<String>,
        "options"       => options: Maybe<Options>;
        flatten         => extra
    }
}

crate::versioned! {
    request RoleUpdate strict {
        "role" required => role: NonEmpty<RoleChange>,
    }
}

crate::versioned! {
    request RoleChange open {
        "name"        => name: Maybe<Name<255>>,
        "description" => description: Maybe<Option<String>>,
        "options"     => options: Maybe<Options>;
        flatten       => extra
    }
}

pub fn view(role: &Role) -> Map {
    let mut view = role.extra.clone();
    view.insert("id".to_owned(), json!(role.id));
    view.insert("name".to_owned(), json!(role.name));
    view.insert("domain_id".to_owned(), json!(role.domain_id));
    view.insert("description".to_owned(), json!(role.description));
    view.insert("options".to_owned(), json!(role.options));
    view
}

fn answer<B>(call: &Call<B>, status: StatusCode, role: &Role) -> RawReply {
    shown(call, status, "role", &format!("/roles/{}", role.id), view(role))
}

/// The role that a part of the path names, if the row's rule holds for it. A domain's own roles have rules of their own,
/// named alike.
async fn of_path<B>(call: &Call<B>, name: &str) -> Result<Role> {
    let id = RoleId::from(call.path(name));
    let wanted = id.clone();
    let found = call.cx.state.db.read(move |tx| roles::get(tx, &wanted)).await?;
    let role = found.ok_or_else(|| Error::not_found(Kind::Role, &id))?;
    let rule = match call.cx.rule() {
        "identity:get_role" if role.domain_id.is_some() => "identity:get_domain_role",
        "identity:update_role" if role.domain_id.is_some() => "identity:update_domain_role",
        "identity:delete_role" if role.domain_id.is_some() => "identity:delete_domain_role",
        own => own,
    };
    call.cx.allow_on(rule, &targets::role(&role))?;
    Ok(role)
}

async fn list(call: Call) -> Result<RawReply> {
    let listing = pages::asked(&call, ATTRIBUTES)?;
    let of_domain = call.query().has("domain_id");
    let rule = if of_domain { "identity:list_domain_roles" } else { "identity:list_roles" };
    call.cx.allow_on(rule, &Target::new())?;
    let wanted = listing.clone();
    let found = call.cx.state.db.read(move |tx| roles::page(tx, &wanted)).await?;
    let items = found.items.iter().map(view).collect();
    Ok(pages::page(&call, "roles", items, pages::next(&call, &found, &listing, |role| role.id.as_str())))
}

async fn show(call: Call) -> Result<RawReply> {
    let role = of_path(&call, "role_id").await?;
    Ok(answer(&call, StatusCode::OK, &role))
}

async fn create(call: Call<RoleCreate>) -> Result<RawReply> {
    let new = call.body.role.clone();
    let role = Role {
        id: RoleId::random(),
        domain_id: new.domain_id.map(|id| DomainId(id.0)),
        name: new.name.trimmed(),
        description: new.description,
        options: merged(Map::new(), new.options.given().map(|options| options.0)),
        extra: extra_of(new.extra),
    };
    let rule = if role.domain_id.is_some() { "identity:create_domain_role" } else { "identity:create_role" };
    call.cx.allow_on(rule, &targets::role(&role))?;
    let (stored, now) = (role.clone(), call.cx.state.clock.now());
    let insert = move |tx: &mut Tx| {
        if let Some(id) = &stored.domain_id {
            projects::domain(tx, id)?.ok_or_else(|| Error::not_found(Kind::Domain, id))?;
        }
        roles::insert(tx, &stored, now)
    };
    call.cx.state.db.write(insert).await?;
    Ok(answer(&call, StatusCode::CREATED, &role))
}

async fn update(call: Call<RoleUpdate>) -> Result<RawReply> {
    let id = of_path(&call, "role_id").await?.id;
    let change = call.body.role.0.clone();
    let write = move |tx: &mut Tx| {
        let role = roles::get(tx, &id)?.ok_or_else(|| Error::not_found(Kind::Role, &id))?;
        let kind = Change::of(change.options.as_ref().map(|options| &options.0), change.gives_more());
        mutable(&role.options, kind, "role", &id.0)?;
        let role = changed(role, change.clone())?;
        roles::update(tx, &role)?;
        Ok(role)
    };
    let role = call.cx.state.db.write(write).await?;
    Ok(answer(&call, StatusCode::OK, &role))
}

impl RoleChange {
    fn gives_more(&self) -> bool {
        let Self { name, description, options: _, extra } = self;
        name.as_ref().is_some() || description.as_ref().is_some() || !extra.is_empty()
    }
}

fn changed(mut role: Role, change: RoleChange) -> Result<Role> {
    unchanged(change.extra.get("id"), Some(&role.id.0), "Cannot change ID")?;
    let domain = role.domain_id.as_ref().map(DomainId::as_str);
    unchanged(change.extra.get("domain_id"), domain, "Update of `domain_id` is not allowed.")?;
    if let Some(name) = change.name.given() {
        role.name = name.trimmed();
    }
    role.description = change.description.given().unwrap_or(role.description);
    role.options = merged(role.options, change.options.given().map(|options| options.0));
    role.extra = merged(role.extra, Some(extra_of(change.extra)));
    Ok(role)
}

async fn remove(call: Call) -> Result<RawReply> {
    let id = of_path(&call, "role_id").await?.id;
    let delete = move |tx: &mut Tx| {
        let role = roles::get(tx, &id)?.ok_or_else(|| Error::not_found(Kind::Role, &id))?;
        mutable(&role.options, Change::Deletes, "role", &id.0)?;
        roles::delete(tx, &id)
    };
    call.cx.state.db.write(delete).await?;
    Ok(done())
}

fn brief<B>(call: &Call<B>, role: &Role) -> Value {
    let links = json!({"self": link(call, &format!("/roles/{}", role.id))});
    json!({"id": role.id, "name": role.name, "links": links})
}

/// Every role by its id, and every implication.
fn all(tx: &mut Tx) -> Result<(HashMap<RoleId, Role>, Vec<(RoleId, RoleId)>)> {
    Ok((roles::everywhere(tx)?, roles::implications(tx)?))
}

async fn implied(call: Call) -> Result<RawReply> {
    let prior = of_path(&call, "prior_role_id").await?;
    let (known, pairs) = call.cx.state.db.read(all).await?;
    let implies = pairs.iter().filter(|(first, _)| *first == prior.id).filter_map(|(_, second)| known.get(second));
    let implies: Vec<Value> = implies.map(|role| brief(&call, role)).collect();
    let body = json!({
        "role_inference": {"prior_role": brief(&call, &prior), "implies": implies},
        "links": {"self": link(&call, &format!("/roles/{}/implies", prior.id))},
    });
    Ok(RawReply::json(StatusCode::OK, &body))
}

async fn inferences(call: Call) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let (known, pairs) = call.cx.state.db.read(all).await?;
    let mut rules: Vec<(RoleId, Vec<Value>)> = Vec::new();
    for (prior, implied) in pairs {
        let Some(shown) = known.get(&implied).map(|role| brief(&call, role)) else { continue };
        match rules.last_mut() {
            Some((last, implies)) if *last == prior => implies.push(shown),
            _ => rules.push((prior, vec![shown])),
        }
    }
    let rules: Vec<Value> = rules
        .into_iter()
        .filter_map(|(prior, implies)| {
            Some(json!({"prior_role": brief(&call, known.get(&prior)?), "implies": implies}))
        })
        .collect();
    let body = json!({"role_inferences": rules, "links": {"self": link(&call, "/role_inferences")}});
    Ok(RawReply::json(StatusCode::OK, &body))
}

/// Both roles of the path, if they are there and the row's rule holds.
async fn pair(call: &Call) -> Result<(Role, Role)> {
    let ids = ["prior_role_id", "implied_role_id"].map(|name| RoleId::from(call.path(name)));
    let [first, second] = ids.clone();
    let (prior, implied) =
        call.cx.state.db.read(move |tx| Ok((roles::get(tx, &first)?, roles::get(tx, &second)?))).await?;
    let prior = prior.ok_or_else(|| Error::not_found(Kind::Role, &ids[0]))?;
    let implied = implied.ok_or_else(|| Error::not_found(Kind::Role, &ids[1]))?;
    call.cx.permit(&targets::role(&prior))?;
    Ok((prior, implied))
}

fn shown_pair(call: &Call, status: StatusCode, prior: &Role, implied: &Role) -> RawReply {
    let body = json!({
        "role_inference": {"prior_role": brief(call, prior), "implies": brief(call, implied)},
        "links": {"self": link(call, &format!("/roles/{}/implies/{}", prior.id, implied.id))},
    });
    RawReply::json(status, &body)
}

fn not_implied(prior: &Role, implied: &Role) -> Error {
    Error::not_found(Kind::Part, format!("{} does not imply {}.", prior.id, implied.id))
}

async fn show_implied(call: Call) -> Result<RawReply> {
    let (prior, implied) = pair(&call).await?;
    let pairs = call.cx.state.db.read(roles::implications).await?;
    if !pairs.contains(&(prior.id.clone(), implied.id.clone())) {
        return Err(not_implied(&prior, &implied));
    }
    let is_head = call.head.method == http::Method::HEAD;
    let status = if is_head { StatusCode::NO_CONTENT } else { StatusCode::OK };
    Ok(shown_pair(&call, status, &prior, &implied))
}

async fn imply(call: Call) -> Result<RawReply> {
    let (prior, implied) = pair(&call).await?;
    let (first, second) = (prior.clone(), implied.clone());
    let insert = move |tx: &mut Tx| {
        let pairs = roles::implications(tx)?;
        if pairs.contains(&(first.id.clone(), second.id.clone())) {
            return Err(Error::conflict("Conflict occurred attempting to store implied_role - Duplicate entry."));
        }
        check_implication(&first, &second, &pairs)?;
        roles::imply(tx, &first.id, &second.id)
    };
    call.cx.state.db.write(insert).await?;
    Ok(shown_pair(&call, StatusCode::CREATED, &prior, &implied))
}

/// Upstream lets roles imply each other in rings and minds its steps ever after; here they are refused.
///
/// # Errors
/// `Forbidden` for admin as an implied role, a domain's own one below one for every domain, and for rings.
fn check_implication(prior: &Role, implied: &Role, pairs: &[(RoleId, RoleId)]) -> Result<()> {
    let is_narrower = implied.domain_id.is_some() && prior.domain_id.is_none();
    if implied.name.eq_ignore_ascii_case("admin") || is_narrower {
        return Err(Error::Forbidden(format!("{} cannot be an implied roles.", implied.id)));
    }
    let mut reached = vec![&implied.id];
    let mut at = 0;
    while let Some(id) = reached.get(at).copied() {
        if *id == prior.id {
            return Err(not_allowed("a role cannot imply itself, nor one that implies it."));
        }
        let next = pairs.iter().filter(|(first, _)| first == id).map(|(_, second)| second);
        let next: Vec<_> = next.filter(|second| !reached.contains(second)).collect();
        reached.extend(next);
        at += 1;
    }
    Ok(())
}

async fn stop_implying(call: Call) -> Result<RawReply> {
    let (prior, implied) = pair(&call).await?;
    let (first, second) = (prior.id.clone(), implied.id.clone());
    let was = call.cx.state.db.write(move |tx| roles::stop_implying(tx, &first, &second)).await?;
    if was { Ok(done()) } else { Err(not_implied(&prior, &implied)) }
}
