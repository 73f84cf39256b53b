//! What belongs to a user: their projects, groups, and the change of their own password.

use super::answer::{done, invalid, listed, shows_domain};
use super::compliance;
use super::groups;
use super::login::{WantedUser, prove_password};
use super::projects;
use super::users as user_rows;
use crate::api::authenticate::required;
use crate::api::{Call, Row, State};
use crate::cloud::compliance::has;
use crate::error::{Error, Result};
use crate::http::json::{Map, python_repr};
use crate::http::reply::RawReply;
use crate::http::table::{get, post};
use crate::ids::UserId;
use crate::store::revocations::Revoked;
use crate::store::{Tx, groups as group_store, projects as project_store, revocations, users};
use serde_json::{Value, json};
use std::sync::Arc;

pub fn rows() -> Vec<Row> {
    vec![
        get("/v3/users/{user_id}/projects", projects_of).rule("identity:list_user_projects").query(&[
            "domain_id",
            "enabled",
            "limit",
            "marker",
            "name",
        ]),
        get("/v3/users/{user_id}/groups", groups_of)
            .rule("identity:list_groups_for_user")
            .query(&["limit", "marker", "name"]),
        post("/v3/users/{user_id}/password", change_password).public(),
    ]
}

async fn projects_of(call: Call) -> Result<RawReply> {
    let user = user_rows::of_path(&call).await?;
    let found = call.cx.state.db.read(move |tx| project_store::of_user(tx, &user.id, false)).await?;
    let items = found.iter().map(projects::view).collect();
    Ok(listed(&call, "projects", items, &["domain_id", "enabled", "name"]))
}

async fn groups_of(call: Call) -> Result<RawReply> {
    let user = user_rows::of_path(&call).await?;
    let found = call.cx.state.db.read(move |tx| group_store::of_user(tx, &user.id)).await?;
    let seen = found.iter().filter(|group| shows_domain(&call, Some(group.domain_id.as_str())));
    Ok(listed(&call, "groups", seen.map(groups::view).collect(), &["name"]))
}

crate::versioned! {
    request PasswordChange open {
        "user" => user: Option<Map>,
    }
}

/// The two passwords of a body.
///
/// # Errors
/// `BadRequest` in jsonschema's words, without the passwords.
fn passwords(body: &PasswordChange) -> Result<(String, String)> {
    let given = body.user.clone().unwrap_or_default();
    let text = |name: &str| match given.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(invalid(name, &json!("***"), "it is not of type 'string'")),
        None => Err(Error::bad_request(format!("'{name}' is a required property"))),
    };
    let found = (text("original_password")?, text("password")?);
    let known = ["original_password", "password"];
    if let Some(unknown) = given.keys().find(|key| !known.contains(&key.as_str())) {
        let unknown = python_repr(&Value::String(unknown.clone()));
        let reason = format!("Additional properties are not allowed ({unknown} was unexpected)");
        return Err(Error::bad_request(reason));
    }
    Ok(found)
}

/// `POST /v3/users/{id}/password`: needs no token but the old password, which may have run out, and takes every token of
/// the user back.
async fn change_password(call: Call<PasswordChange>) -> Result<RawReply> {
    let state = &call.cx.state;
    let (original, password) = passwords(&call.body)?;
    let wanted = WantedUser::Id(call.path("user_id").to_owned());
    let proven = prove_password(state, &wanted, &original, call.head.peer).await?;
    let (user, before) = (proven.user, proven.password);
    let rules = &state.identity.settings.security_compliance;
    rules.check_strength(Some(&password))?;
    if has(&user.options, "lock_password") {
        return Err(Error::bad_request(
            "You cannot change your password at this time due to password policy disallowing password changes. Please contact your administrator to reset your password.",
        ));
    }
    let (now, lifetime) = (state.clock.now(), state.identity.settings.token_seconds);
    if before.is_self_service {
        rules.check_age(before.made_at, now)?;
    }
    check_history(state, &user.id, &password).await?;
    let new = compliance::chosen(state, &password, &user.options).await?;
    let write = move |tx: &mut Tx| {
        // Who was faster with the same old password has made it a wrong one.
        if users::password(tx, &user.id)?.is_none_or(|present| present.id != before.id) {
            return Err(required());
        }
        users::replace_password(tx, &user.id, &new, now)?;
        revocations::insert(tx, &Revoked::User(user.id.clone()), now, lifetime)
    };
    state.db.write(write).await?;
    Ok(done())
}

/// # Errors
/// `BadRequest` for a password that was in use before, as far back as the rules look.
async fn check_history(state: &State, user: &UserId, password: &str) -> Result<()> {
    let rules = &state.identity.settings.security_compliance;
    let (user, count) = (user.clone(), rules.unique_last_password_count);
    if count == 0 {
        return Ok(());
    }
    let password: Arc<str> = password.into();
    for hash in state.db.read(move |tx| users::last_passwords(tx, &user, count)).await? {
        if state.identity.hashing.verify(password.clone(), Some(hash)).await?.fits {
            return Err(rules.used_before());
        }
    }
    Ok(())
}
