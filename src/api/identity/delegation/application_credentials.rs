//! Application credentials: `/v3/users/{id}/application_credentials`.
//!
//! One is made by its own user, for the project their token is scoped to, with no role they don't hold there. A token got
//! with a restricted one can't make or delete others. Its access rules are enforced at the gate
//! ([`access_rules::check`](crate::api)).

use crate::api::identity::answer::{done, listed_at, shown};
use crate::api::identity::delegation::access_rules::{self, WantedRule};
use crate::api::identity::delegation::{
    check_may_manage_application_credentials, check_may_see_application_credentials,
};
use crate::api::identity::login::not_allowed;
use crate::api::identity::roles as role_rows;
use crate::api::identity::users as user_rows;
use crate::api::{Call, Row};
use crate::clock::Timestamp;
use crate::cloud::identity::{Role, RoleRef};
use crate::cloud::policy::Target;
use crate::error::{Error, Kind, Result};
use crate::http::json::{Map, Text};
use crate::http::reply::RawReply;
use crate::http::table::{delete, get, post};
use crate::ids::{RoleId, UserId};
use crate::store::application_credentials::{self, ApplicationCredential};
use crate::store::{Tx, roles};
use base64::Engine;
use http::StatusCode;
use serde_json::{Value, json};

pub fn rows() -> Vec<Row> {
    vec![
        get("/v3/users/{user_id}/application_credentials", list)
            .rule("identity:list_application_credentials")
            .query(&["name"]),
        post("/v3/users/{user_id}/application_credentials", create).rule("identity:create_application_credential"),
        get("/v3/users/{user_id}/application_credentials/{credential_id}", show)
            .rule("identity:get_application_credential"),
        delete("/v3/users/{user_id}/application_credentials/{credential_id}", remove)
            .rule("identity:delete_application_credential"),
    ]
}

crate::versioned! {
    request CredentialCreate open {
        "application_credential" required => application_credential: NewCredential,
    }
}

crate::versioned! {
    request NewCredential open {
        "name" required => name: Text<1, 255>,
        "description"   => description: Option<String>,
        "secret"        => secret: Option<Text<1, 255>>,
        "expires_at"    => expires_at: Option<String>,
        "unrestricted"  => unrestricted: Option<bool>,
        "roles"         => roles: Option<Vec<WantedRole>>,
        "access_rules"  => access_rules: Option<Vec<WantedRule>>,
    }
}

crate::versioned! {
    request WantedRole open {
        "id"   => id: Option<String>,
        "name" => name: Option<String>,
    }
}

fn view(credential: &ApplicationCredential, roles: &[Role]) -> Map {
    let roles: Vec<Value> = roles
        .iter()
        .filter(|role| credential.role_ids.contains(&role.id))
        .map(|role| Value::Object(role_rows::view(role)))
        .collect();
    let view = json!({
        "id": credential.id,
        "name": credential.name,
        "description": credential.description,
        "project_id": credential.project_id,
        "user_id": credential.user_id,
        "roles": roles,
        "expires_at": credential.expires_at.map(Timestamp::to_micros_naive),
        "unrestricted": credential.unrestricted,
        "system": null,
    });
    let Value::Object(mut view) = view else { return Map::new() };
    if !credential.access_rules.is_empty() {
        let rules = credential.access_rules.iter().map(access_rules::view).map(Value::Object).collect();
        view.insert("access_rules".to_owned(), rules);
    }
    view
}

async fn list(call: Call) -> Result<RawReply> {
    let user = user_rows::of_path(&call).await?;
    check_may_see_application_credentials(&call)?;
    let base = format!("/users/{}/application_credentials", user.id);
    let read = move |tx: &mut Tx| Ok((application_credentials::list(tx, &user.id)?, roles::list(tx, None)?));
    let (found, roles) = call.cx.state.db.read(read).await?;
    let items = found.iter().map(|credential| view(credential, &roles)).collect();
    Ok(listed_at(&call, "application_credentials", &base, items, &["name"]))
}

fn answer<B>(call: &Call<B>, status: StatusCode, credential: &ApplicationCredential, view: Map) -> RawReply {
    let path = format!("/users/{}/application_credentials/{}", credential.user_id, credential.id);
    shown(call, status, "application_credential", &path, view)
}

/// The credential of the path, if the row's rule holds for its owner: whose it is it says itself, whatever user the path
/// names. Of one that isn't there, the path's user is asked about.
async fn of_path(call: &Call) -> Result<(ApplicationCredential, Vec<Role>)> {
    check_may_see_application_credentials(call)?;
    let id = call.path("credential_id").to_owned();
    let wanted = id.clone();
    let read = move |tx: &mut Tx| Ok((application_credentials::by_id(tx, &wanted)?, roles::list(tx, None)?));
    let (found, roles) = call.cx.state.db.read(read).await?;
    let owner = found.as_ref().map_or_else(|| UserId::from(call.path("user_id")), |found| found.user_id.clone());
    call.cx.permit(&Target::new().with("user_id", &owner).with("target.user.id", &owner))?;
    Ok((found.ok_or_else(|| Error::not_found(Kind::ApplicationCredential, &id))?, roles))
}

async fn show(call: Call) -> Result<RawReply> {
    let (credential, roles) = of_path(&call).await?;
    let view = view(&credential, &roles);
    Ok(answer(&call, StatusCode::OK, &credential, view))
}

async fn create(call: Call<CredentialCreate>) -> Result<RawReply> {
    let state = &call.cx.state;
    let user = UserId::from(call.path("user_id"));
    call.cx.permit(&Target::new().with("user_id", &user))?;
    check_may_manage_application_credentials(&call)?;
    let new = call.body.application_credential.clone();
    let caller = call.cx.caller()?.clone();
    if caller.user_id != user {
        return Err(not_allowed("Cannot create an application credential for another user."));
    }
    let project_id = caller.project_id().cloned().ok_or_else(|| {
        Error::bad_request("Invalid application credential: a token scoped to a project is needed to make one.")
    })?;
    let now = state.clock.now();
    let secret = new.secret.clone().map_or_else(random_secret, |secret| Ok(secret.0))?;
    let credential = ApplicationCredential {
        id: uuid::Uuid::new_v4().simple().to_string(),
        user_id: user,
        project_id,
        name: new.name.0.trim().to_owned(),
        description: new.description.clone(),
        secret_hash: state.identity.hashing.hash(secret.clone()).await?,
        role_ids: Vec::new(),
        unrestricted: new.unrestricted.unwrap_or(false),
        expires_at: new.expires_at.as_deref().map(|text| expiry(text, now)).transpose()?,
        access_rules: Vec::new(),
    };
    let insert = move |tx: &mut Tx| {
        let stored = ApplicationCredential {
            role_ids: wanted_roles(tx, &caller.roles, new.roles.as_deref())?,
            access_rules: access_rules::wanted(
                tx,
                &credential.user_id,
                new.access_rules.as_deref().unwrap_or(&[]),
                now,
            )?,
            ..credential.clone()
        };
        application_credentials::insert(tx, &stored, now)?;
        Ok((stored, roles::list(tx, None)?))
    };
    let (credential, roles) = state.db.write(insert).await?;
    let mut view = view(&credential, &roles);
    // The only time that it is told.
    view.insert("secret".to_owned(), json!(secret));
    Ok(answer(&call, StatusCode::CREATED, &credential, view))
}

/// The roles asked for and those that they imply, all of which the token must hold; all that it holds when none are asked
/// for.
fn wanted_roles(tx: &mut Tx, held: &[RoleRef], wanted: Option<&[WantedRole]>) -> Result<Vec<RoleId>> {
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else {
        return Ok(held.iter().map(|role| role.id.clone()).collect());
    };
    let mut found = Vec::new();
    for one in wanted {
        let is_it = |role: &&RoleRef| match (&one.id, &one.name) {
            (Some(id), _) => role.id.0 == *id,
            (None, Some(name)) => role.name.to_lowercase() == name.to_lowercase(),
            (None, None) => false,
        };
        let role = held.iter().find(is_it).ok_or_else(|| {
            Error::bad_request(
                "Invalid application credential: Cannot create an application credential with unassigned role",
            )
        })?;
        found.push(role.id.clone());
    }
    roles::with_implied(tx, &found)
}

const PAST: &str = "The 'expires_at' must not be before now. The server could not comply with the request since it is either malformed or otherwise incorrect. The client is assumed to be in error.";

/// When a delegation shall end, which must not be in the past.
///
/// # Errors
/// `BadRequest`.
pub fn expiry(text: &str, now: Timestamp) -> Result<Timestamp> {
    let malformed = || {
        Error::bad_request(
            "Timestamp not in expected format. The server could not comply with the request since it is either malformed or otherwise incorrect. The client is assumed to be in error.",
        )
    };
    let at = Timestamp::parse(text).ok_or_else(malformed)?;
    if at <= now {
        return Err(Error::bad_request(PAST));
    }
    Ok(at)
}

/// 86 characters, 512 bits of chance.
fn random_secret() -> Result<String> {
    let mut bytes = [0; 64];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Error::internal("no random numbers", "the system's generator failed"))?;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}

async fn remove(call: Call) -> Result<RawReply> {
    let (credential, _) = of_path(&call).await?;
    check_may_manage_application_credentials(&call)?;
    call.cx.state.db.write(move |tx| application_credentials::delete(tx, &credential.id)).await?;
    Ok(done())
}
