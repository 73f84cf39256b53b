//! Users: `/v3/users`.

use super::answer::{done, extra_of, listed_domain, merged, own_domain, permitted, shown, shows_domain, unchanged};
use super::listing::{Entry, listed, map_of};
use super::targets;
use crate::api::{Call, Row};
use crate::cloud::identity::User;
use crate::cloud::multi_factor;
use crate::cloud::policy::Target;
use crate::error::{Error, Kind, Result};
use crate::http::json::{Map, Maybe, Text};
use crate::http::reply::RawReply;
use crate::http::table::{delete, get, patch, post};
use crate::ids::{DomainId, ProjectId, UserId};
use crate::store::revocations::Revoked;
use crate::store::{projects, revocations, users};
use http::StatusCode;
use serde::ser::SerializeMap;

const FILTERS: &[&str] = &["domain_id", "enabled", "name", "default_project_id", "email"];

pub fn rows() -> Vec<Row> {
    vec![
        get("/v3/users", list).rule("identity:list_users").query(&["domain_id", "enabled", "name", "limit"]),
        post("/v3/users", create).rule("identity:create_user"),
        get("/v3/users/{user_id}", show).rule("identity:get_user"),
        patch("/v3/users/{user_id}", update).rule("identity:update_user"),
        delete("/v3/users/{user_id}", remove).rule("identity:delete_user"),
    ]
}

crate::versioned! {
    request UserCreate open {
        "user" required => user: NewUser,
    }
}

crate::versioned! {
    request NewUser open {
        "name" required      => name: Text<1, 255>,
        "password"           => password: Option<String>,
        "domain_id"          => domain_id: Option<Text<1, 64>>,
        "default_project_id" => default_project_id: Option<String>,
        "enabled"            => enabled: Maybe<bool>,
        "description"        => description: Option<String>,
        "email"              => email: Option<String>,
        "options"            => options: Maybe<Map>;
        flatten              => extra
    }
}

crate::versioned! {
    request UserUpdate open {
        "user" required => user: UserChange,
    }
}

crate::versioned! {
    request UserChange open {
        "name"               => name: Maybe<Text<1, 255>>,
        "password"           => password: Maybe<Option<String>>,
        "default_project_id" => default_project_id: Maybe<Option<String>>,
        "enabled"            => enabled: Maybe<bool>,
        "description"        => description: Maybe<Option<String>>,
        "email"              => email: Maybe<Option<String>>,
        "options"            => options: Maybe<Map>;
        flatten              => extra
    }
}

/// What a user is shown with besides [`User::extra`], whose keys yield to these.
const OWN: [&str; 9] = [
    "id",
    "name",
    "domain_id",
    "enabled",
    "password_expires_at",
    "options",
    "description",
    "email",
    "default_project_id",
];

impl Entry for User {
    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn write<M: SerializeMap>(&self, into: &mut M) -> std::result::Result<(), M::Error> {
        for (key, value) in self.extra.iter().filter(|(key, _)| !OWN.contains(&key.as_str())) {
            into.serialize_entry(key, value)?;
        }
        into.serialize_entry("id", &self.id)?;
        into.serialize_entry("name", &self.name)?;
        into.serialize_entry("domain_id", &self.domain_id)?;
        into.serialize_entry("enabled", &self.enabled)?;
        into.serialize_entry("password_expires_at", &self.password_expires_at.map(|at| at.to_micros_naive()))?;
        into.serialize_entry("options", &self.options)?;
        for (key, value) in [("description", &self.description), ("email", &self.email)] {
            if let Some(value) = value {
                into.serialize_entry(key, value)?;
            }
        }
        if let Some(project) = &self.default_project_id {
            into.serialize_entry("default_project_id", project)?;
        }
        Ok(())
    }
}

pub fn view(user: &User) -> Map {
    map_of(user)
}

fn answer<B>(call: &Call<B>, status: StatusCode, user: &User) -> RawReply {
    shown(call, status, "user", &format!("/users/{}", user.id), view(user))
}

/// The user of the path, if the row's rule holds for them.
pub async fn of_path<B>(call: &Call<B>) -> Result<User> {
    let id = UserId::from(call.path("user_id"));
    let wanted = id.clone();
    permitted(call, Kind::User, &id.0, move |tx| users::get(tx, &wanted), targets::user).await
}

async fn list(call: Call) -> Result<RawReply> {
    let domain = listed_domain(&call);
    let found = call.cx.state.db.read(move |tx| users::list(tx, domain.as_ref())).await?;
    let within = found.into_iter().filter(|user| shows_domain(&call, Some(user.domain_id.as_str()))).collect();
    let found = call.cx.permitted(within, targets::user);
    Ok(listed(&call, "users", &found, FILTERS))
}

async fn show(call: Call) -> Result<RawReply> {
    let user = of_path(&call).await?;
    Ok(answer(&call, StatusCode::OK, &user))
}

/// Rules of multi-factor logins that nobody could keep must not come to be.
fn check_options(options: Option<&Map>) -> Result<()> {
    match options.and_then(multi_factor::fault) {
        Some((field, why)) => Err(Error::bad_request(format!("Invalid input for field '{field}': {why}"))),
        None => Ok(()),
    }
}

async fn create(call: Call<UserCreate>) -> Result<RawReply> {
    let state = &call.cx.state;
    let new = call.body.user.clone();
    // The rule sees what the body says: who may only act in their domain has to name it.
    call.cx.permit(&Target::new().with_option("target.user.domain_id", new.domain_id.as_ref().map(|id| &id.0)))?;
    let domain_id = match new.domain_id {
        Some(id) => DomainId(id.0),
        None => own_domain(&call)?,
    };
    check_options(new.options.as_ref())?;
    let user = User {
        id: UserId::random(),
        domain_id,
        name: new.name.0.trim().to_owned(),
        enabled: new.enabled.given().unwrap_or(true),
        default_project_id: new.default_project_id.map(ProjectId),
        description: new.description,
        email: new.email,
        password_expires_at: None,
        options: merged(Map::new(), new.options.given()),
        extra: extra_of(new.extra),
    };
    let hash = match new.password {
        Some(password) => Some(state.identity.hashing.hash(password).await?),
        None => None,
    };
    let now = state.clock.now();
    let stored = user.clone();
    let insert = move |tx: &mut crate::store::Tx| {
        let domain = projects::domain(tx, &stored.domain_id)?;
        domain.ok_or_else(|| Error::not_found(Kind::Domain, &stored.domain_id))?;
        users::insert(tx, &stored, now)?;
        users::set_password(tx, &stored.id, hash.as_deref(), false, now)
    };
    state.db.write(insert).await?;
    Ok(answer(&call, StatusCode::CREATED, &user))
}

async fn update(call: Call<UserUpdate>) -> Result<RawReply> {
    let state = &call.cx.state;
    let id = of_path(&call).await?.id;
    let change = call.body.user.clone();
    check_options(change.options.as_ref())?;
    let hash = match change.password.as_ref() {
        Some(Some(password)) => Some(Some(state.identity.hashing.hash(password.clone()).await?)),
        Some(None) => Some(None),
        None => None,
    };
    let (now, lifetime) = (state.clock.now(), state.identity.settings.token_seconds);
    let write = move |tx: &mut crate::store::Tx| {
        let user = users::get(tx, &id)?.ok_or_else(|| Error::not_found(Kind::User, &id))?;
        let was_enabled = user.enabled;
        let user = changed(user, change.clone())?;
        users::update(tx, &user)?;
        if let Some(hash) = &hash {
            users::set_password(tx, &id, hash.as_deref(), false, now)?;
        }
        if hash.is_some() || (was_enabled && !user.enabled) {
            revocations::insert(tx, &Revoked::User(id.clone()), now, lifetime)?;
        }
        Ok(user)
    };
    let user = state.db.write(write).await?;
    Ok(answer(&call, StatusCode::OK, &user))
}

fn changed(mut user: User, change: UserChange) -> Result<User> {
    unchanged(change.extra.get("id"), &user.id.0, "Cannot change user ID")?;
    unchanged(change.extra.get("domain_id"), &user.domain_id.0, "Cannot change Domain ID")?;
    if let Some(name) = change.name.given() {
        user.name = name.0.trim().to_owned();
    }
    if let Some(project) = change.default_project_id.given() {
        user.default_project_id = project.map(ProjectId);
    }
    user.enabled = change.enabled.given().unwrap_or(user.enabled);
    user.description = change.description.given().unwrap_or(user.description);
    user.email = change.email.given().unwrap_or(user.email);
    user.options = merged(user.options, change.options.given());
    user.extra = merged(user.extra, Some(extra_of(change.extra)));
    Ok(user)
}

async fn remove(call: Call) -> Result<RawReply> {
    let id = of_path(&call).await?.id;
    call.cx.state.db.write(move |tx| users::delete(tx, &id)).await?;
    Ok(done())
}
