//! Trusts: `/v3/OS-TRUST/trusts`.
//!
//! The trustor makes one, for one project, with roles they hold there; the trustee gets tokens with it
//! ([`crate::api::identity::tokens::scope`]). Trusts go one level deep: a token of a trust makes no other (CVE-2014-3476), which upstream answers
//! where redelegation is set to depth 0.

use crate::api::identity::answer::{done, link, listed, listed_at};
use crate::api::identity::delegation::application_credentials::expiry;
use crate::api::identity::delegation::check_may_see_trusts;
use crate::api::identity::delegation::trust_request::{NewTrust, TrustCreate};
use crate::api::identity::login;
use crate::api::identity::roles as role_rows;
use crate::api::{Call, Row};
use crate::clock::Timestamp;
use crate::cloud::identity::{Role, Trust};
use crate::cloud::policy::Target;
use crate::error::{Error, Kind, Result};
use crate::http::json::Map;
use crate::http::reply::RawReply;
use crate::http::table::{delete, get, post};
use crate::ids::{ProjectId, RoleId, UserId};
use crate::store::{Tx, projects, roles, trusts, users};
use http::StatusCode;
use serde_json::{Value, json};

pub fn rows() -> Vec<Row> {
    vec![
        get("/v3/OS-TRUST/trusts", list)
            .rule("identity:list_trusts_for_trustor")
            .query(&["trustor_user_id", "trustee_user_id"]),
        post("/v3/OS-TRUST/trusts", create).rule("identity:create_trust"),
        get("/v3/OS-TRUST/trusts/{trust_id}", show).rule("identity:get_trust"),
        delete("/v3/OS-TRUST/trusts/{trust_id}", remove).rule("identity:delete_trust"),
        get("/v3/OS-TRUST/trusts/{trust_id}/roles", list_roles).rule("identity:list_roles_for_trust"),
        get("/v3/OS-TRUST/trusts/{trust_id}/roles/{role_id}", show_role).rule("identity:get_role_for_trust"),
    ]
}

fn view(trust: &Trust) -> Map {
    let mut view = trust.extra.clone();
    let mut set = |key: &str, value: Value| view.insert(key.to_owned(), value);
    set("id", json!(trust.id));
    set("trustor_user_id", json!(trust.trustor_user_id));
    set("trustee_user_id", json!(trust.trustee_user_id));
    set("project_id", json!(trust.project_id));
    set("impersonation", json!(trust.impersonation));
    set("expires_at", json!(trust.expires_at.map(Timestamp::to_micros_z)));
    set("remaining_uses", json!(trust.remaining_uses));
    set("deleted_at", Value::Null);
    set("redelegated_trust_id", Value::Null);
    set("redelegation_count", json!(0));
    view
}

fn answer<B>(call: &Call<B>, status: StatusCode, trust: &Trust, roles: &[Role]) -> RawReply {
    let path = format!("/OS-TRUST/trusts/{}", trust.id);
    let mut view = view(trust);
    view.insert("roles".to_owned(), roles.iter().map(|role| role_view(call, role)).collect());
    let links = json!({"self": link(call, &format!("{path}/roles")), "next": null, "previous": null});
    view.insert("roles_links".to_owned(), links);
    view.insert("links".to_owned(), json!({"self": link(call, &path)}));
    RawReply::json(status, &json!({"trust": view}))
}

fn role_view<B>(call: &Call<B>, role: &Role) -> Value {
    let mut view = role_rows::view(role);
    view.insert("links".to_owned(), json!({"self": link(call, &format!("/roles/{}", role.id))}));
    Value::Object(view)
}

fn target(trust: &Trust) -> Target {
    target_of(&trust.trustor_user_id, &trust.trustee_user_id)
}

fn target_of(trustor: &UserId, trustee: &UserId) -> Target {
    Target::new().with("target.trust.trustor_user_id", trustor).with("target.trust.trustee_user_id", trustee)
}

/// Those of the trustor, of the trustee, or all: each under a rule of its own.
async fn list(call: Call) -> Result<RawReply> {
    let asked = |name: &str| call.query().get(name).filter(|id| !id.is_empty()).map(UserId::from);
    let (trustor, trustee) = (asked("trustor_user_id"), asked("trustee_user_id"));
    match (&trustor, &trustee) {
        (Some(trustor), _) => {
            let target = Target::new().with("target.trust.trustor_user_id", trustor);
            call.cx.allow_on("identity:list_trusts_for_trustor", &target)?;
        }
        (None, Some(trustee)) => {
            let target = Target::new().with("target.trust.trustee_user_id", trustee);
            call.cx.allow_on("identity:list_trusts_for_trustee", &target)?;
        }
        (None, None) => call.cx.allow_on("identity:list_trusts", &Target::new())?,
    }
    check_may_see_trusts(&call)?;
    let found = call.cx.state.db.read(move |tx| trusts::list(tx, trustor.as_ref(), trustee.as_ref())).await?;
    Ok(listed_at(&call, "trusts", "/OS-TRUST/trusts", found.iter().map(view).collect(), &[]))
}

/// The trust of the path with its roles, if the row's rule holds for it. As upstream, one that isn't there is 404 to
/// everybody.
async fn of_path(call: &Call) -> Result<(Trust, Vec<Role>)> {
    let (id, now) = (call.path("trust_id").to_owned(), call.cx.state.clock.now());
    let wanted = id.clone();
    let load = move |tx: &mut Tx| {
        let Some(trust) = trusts::usable(tx, &wanted, now)? else { return Ok(None) };
        let roles = roles_of(tx, &trust.role_ids)?;
        Ok(Some((trust, roles)))
    };
    let found = call.cx.state.db.read(load).await?;
    let (trust, roles) = found.ok_or_else(|| Error::not_found(Kind::Trust, &id))?;
    call.cx.permit(&target(&trust))?;
    check_may_see_trusts(call)?;
    Ok((trust, roles))
}

fn roles_of(tx: &mut Tx, ids: &[RoleId]) -> Result<Vec<Role>> {
    let mut found = Vec::new();
    for id in ids {
        found.extend(roles::get(tx, id)?);
    }
    Ok(found)
}

async fn show(call: Call) -> Result<RawReply> {
    let (trust, roles) = of_path(&call).await?;
    Ok(answer(&call, StatusCode::OK, &trust, &roles))
}

async fn list_roles(call: Call) -> Result<RawReply> {
    let (_, roles) = of_path(&call).await?;
    Ok(listed(&call, "roles", roles.iter().map(role_rows::view).collect(), &[]))
}

async fn show_role(call: Call) -> Result<RawReply> {
    let (_, roles) = of_path(&call).await?;
    let id = call.path("role_id");
    let role = roles.iter().find(|role| role.id.0 == id).ok_or_else(|| Error::not_found(Kind::Role, id))?;
    Ok(RawReply::json(StatusCode::OK, &json!({"role": role_view(&call, role)})))
}

async fn remove(call: Call) -> Result<RawReply> {
    let (trust, _) = of_path(&call).await?;
    let now = call.cx.state.clock.now();
    call.cx.state.db.write(move |tx| trusts::delete(tx, &trust.id, now)).await?;
    Ok(done())
}

async fn create(call: Call<TrustCreate>) -> Result<RawReply> {
    let new = call.body.trust.clone();
    let (trustor, trustee) = (UserId(new.trustor_user_id.clone()), UserId(new.trustee_user_id.clone()));
    call.cx.permit(&target_of(&trustor, &trustee))?;
    check_may_see_trusts(&call)?;
    let caller = call.cx.caller()?;
    if new.project_id.is_some() && new.roles.as_ref().is_none_or(Vec::is_empty) {
        return Err(forbidden("At least one role should be specified."));
    }
    if caller.user_id != trustor {
        return Err(forbidden("The authenticated user should match the trustor."));
    }
    if caller.trust.is_some() {
        // One level: as upstream says when no depth of redelegation is left.
        return Err(Error::Forbidden("You are not authorized to perform the requested action.".to_owned()));
    }
    new.check_redelegation()?;
    let now = call.cx.state.clock.now();
    let expires_at = new.expires_at.as_deref().map(|text| expiry(text, now)).transpose()?;
    let insert = move |tx: &mut Tx| {
        let trust = resolved(tx, &new, expires_at)?;
        trusts::insert(tx, &trust, now)?;
        let roles = roles_of(tx, &trust.role_ids)?;
        Ok((trust, roles))
    };
    let (trust, roles) = call.cx.state.db.write(insert).await?;
    Ok(answer(&call, StatusCode::CREATED, &trust, &roles))
}

fn forbidden(why: &str) -> Error {
    login::not_allowed(why)
}

/// The trust that is asked for, every part of it found.
fn resolved(tx: &mut Tx, new: &NewTrust, expires_at: Option<Timestamp>) -> Result<Trust> {
    let (trustor, trustee) = (UserId(new.trustor_user_id.clone()), UserId(new.trustee_user_id.clone()));
    users::get(tx, &trustee)?.ok_or_else(|| Error::not_found(Kind::User, &trustee))?;
    let project = new.project_id.clone().filter(|id| !id.is_empty()).map(ProjectId);
    let held = match &project {
        Some(id) => {
            projects::get(tx, id)?.ok_or_else(|| Error::not_found(Kind::Project, id))?;
            roles::held_on_project(tx, &trustor, id)?
        }
        None => Vec::new(),
    };
    let mut role_ids = Vec::new();
    for wanted in new.roles.iter().flatten() {
        let id = wanted.find(tx)?;
        if !held.contains(&id) {
            return Err(Error::not_found(Kind::Role, &id));
        }
        if !role_ids.contains(&id) {
            role_ids.push(id);
        }
    }
    Ok(Trust {
        id: uuid::Uuid::new_v4().simple().to_string(),
        trustor_user_id: trustor,
        trustee_user_id: trustee,
        project_id: project,
        impersonation: new.impersonation,
        role_ids,
        expires_at,
        remaining_uses: new.uses(),
        extra: new.kept(),
    })
}
