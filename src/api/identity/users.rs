//! Users: `/v3/users`.

use super::answer::{done, extra_of, merged, own_domain, permitted, shown, unchanged};
use super::compliance;
use super::fields::{IdText, Name, NonEmpty, UserOptions};
use super::listing::{Entry, listed, map_of};
use super::pages::{self, Attribute};
use super::targets;
use crate::api::{Call, Row};
use crate::cloud::identity::User;
use crate::cloud::policy::Target;
use crate::error::{Error, Kind, Result};
use crate::http::json::{Map, Maybe};
use crate::http::reply::RawReply;
use crate::http::table::{delete, get, patch, post};
use crate::ids::{DomainId, ProjectId, UserId};
use crate::store::revocations::Revoked;
use crate::store::{Tx, logins, projects, revocations, users};
use http::StatusCode;
use serde::ser::SerializeMap;
use serde_json::Value;

/// What `GET /v3/users` may be asked for.
pub const ATTRIBUTES: &[Attribute] =
    &[Attribute::Name(255), Attribute::Id("domain_id"), Attribute::Truth("enabled"), Attribute::Expiry];

/// Filters that only users of an identity provider can fit, of whom there are none.
const FEDERATED: [&str; 3] = ["idp_id", "protocol_id", "unique_id"];

pub fn rows() -> Vec<Row> {
    vec![
        get("/v3/users", list).rule("identity:list_users").query(&[
            "domain_id",
            "enabled",
            "idp_id",
            "limit",
            "marker",
            "name",
            "password_expires_at",
            "protocol_id",
            "unique_id",
        ]),
        post("/v3/users", create).rule("identity:create_user"),
        get("/v3/users/{user_id}", show).rule("identity:get_user"),
        patch("/v3/users/{user_id}", update).rule("identity:update_user"),
        delete("/v3/users/{user_id}", remove).rule("identity:delete_user"),
    ]
}

crate::versioned! {
    request UserCreate strict {
        "user" required => user: NewUser,
    }
}

crate::versioned! {
    request NewUser open {
        "name" required      => name: Name<255>,
        "password"           => password: Maybe<Option<String>>,
        "domain_id"          => domain_id: Maybe<IdText>,
        "default_project_id" => default_project_id: Option<String>,
        "enabled"            => enabled: Maybe<bool>,
        "description"        => description: Option<String>,
        "email"              => email: Option<String>,
        "federated"          => federated: Option<Vec<Map>>,
        "options"            => options: Maybe<UserOptions>;
        flatten              => extra
    }
}

crate::versioned! {
    request UserUpdate strict {
        "user" required => user: NonEmpty<UserChange>,
    }
}

crate::versioned! {
    request UserChange open {
        "name"               => name: Maybe<Name<255>>,
        "password"           => password: Maybe<Option<String>>,
        "default_project_id" => default_project_id: Maybe<Option<String>>,
        "enabled"            => enabled: Maybe<bool>,
        "description"        => description: Maybe<Option<String>>,
        "email"              => email: Maybe<Option<String>>,
        "federated"          => federated: Option<Vec<Map>>,
        "options"            => options: Maybe<UserOptions>;
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

/// Users as answers show them: who has lain idle for too long is shown as what they are, disabled.
pub fn seen<B>(call: &Call<B>, mut users: Vec<User>) -> Vec<User> {
    let (rules, now) = (&call.cx.state.identity.settings.security_compliance, call.cx.state.clock.now());
    for user in &mut users {
        user.enabled = user.enabled && !rules.is_idle(user, now);
    }
    users
}

fn answer<B>(call: &Call<B>, status: StatusCode, user: &User) -> RawReply {
    let view = seen(call, vec![user.clone()]).first().map(map_of).unwrap_or_default();
    shown(call, status, "user", &format!("/users/{}", user.id), view)
}

/// The user of the path, if the row's rule holds for them.
pub async fn of_path<B>(call: &Call<B>) -> Result<User> {
    let id = UserId::from(call.path("user_id"));
    let wanted = id.clone();
    permitted(call, Kind::User, &id.0, move |tx| users::get(tx, &wanted), targets::user).await
}

async fn list(call: Call) -> Result<RawReply> {
    let listing = pages::in_own_domain(&call, pages::asked(&call, ATTRIBUTES)?, "domain_id");
    let listing = pages::bounded_by_domain(&call, listing).await?;
    if FEDERATED.iter().any(|filter| call.query().has(filter)) {
        return Ok(listed::<_, User>(&call, "users", &[], None));
    }
    let wanted = listing.clone();
    let found = call.cx.state.db.read(move |tx| users::page(tx, &wanted)).await?;
    let next = pages::next(&call, &found, &listing, |user| user.id.as_str());
    let items = call.cx.permitted(seen(&call, found.items), targets::user);
    Ok(listed(&call, "users", &items, next))
}

async fn show(call: Call) -> Result<RawReply> {
    let user = of_path(&call).await?;
    Ok(answer(&call, StatusCode::OK, &user))
}

/// # Errors
/// `BadRequest`: there is no identity provider that a user could come from.
fn check_federated(federated: Option<&Vec<Map>>) -> Result<()> {
    match federated.and_then(|all| all.first()) {
        None => Ok(()),
        Some(first) => {
            let provider = first.get("idp_id").and_then(Value::as_str).unwrap_or_default();
            Err(Error::bad_request(format!("Could not find Identity Provider: {provider}")))
        }
    }
}

/// A default project need not be there, but a domain can't be one.
///
/// # Errors
/// `BadRequest`.
fn check_default_project(tx: &mut Tx, id: Option<&ProjectId>) -> Result<()> {
    let Some(id) = id else { return Ok(()) };
    match projects::get(tx, id)? {
        Some(project) if project.is_domain => {
            Err(Error::bad_request(format!("User's default project ID cannot be a domain ID: {id}")))
        }
        _ => Ok(()),
    }
}

async fn create(call: Call<UserCreate>) -> Result<RawReply> {
    let state = &call.cx.state;
    let new = call.body.user.clone();
    check_federated(new.federated.as_ref())?;
    // The rule sees what the body says: who may only act in their domain has to name it.
    call.cx.permit(&Target::new().with_option("target.user.domain_id", new.domain_id.as_ref().map(|id| &id.0)))?;
    let domain_id = match new.domain_id.given() {
        Some(id) => DomainId(id.0),
        None => own_domain(&call)?,
    };
    let mut user = User {
        id: UserId::random(),
        domain_id,
        name: new.name.trimmed(),
        enabled: new.enabled.given().unwrap_or(true),
        default_project_id: new.default_project_id.map(ProjectId),
        description: new.description,
        email: new.email,
        password_expires_at: None,
        active_at: None,
        options: merged(Map::new(), new.options.given().map(|options| options.0)),
        extra: extra_of(new.extra),
    };
    let password = match new.password.given() {
        Some(password) => Some(compliance::set_by_administrator(state, password.as_deref(), &user.options).await?),
        None => None,
    };
    user.password_expires_at = password.as_ref().and_then(|password| password.expires_at);
    let now = state.clock.now();
    let stored = user.clone();
    let insert = move |tx: &mut Tx| {
        let domain = projects::domain(tx, &stored.domain_id)?;
        domain.ok_or_else(|| Error::not_found(Kind::Domain, &stored.domain_id))?;
        check_default_project(tx, stored.default_project_id.as_ref())?;
        users::insert(tx, &stored, now)?;
        match password.as_ref().filter(|password| password.hash.is_some()) {
            Some(password) => users::replace_password(tx, &stored.id, password, now),
            None => Ok(()),
        }
    };
    state.db.write(insert).await?;
    Ok(answer(&call, StatusCode::CREATED, &user))
}

async fn update(call: Call<UserUpdate>) -> Result<RawReply> {
    let state = &call.cx.state;
    let before = of_path(&call).await?;
    let id = before.id.clone();
    let change = call.body.user.0.clone();
    check_federated(change.federated.as_ref())?;
    let options = merged(before.options, change.options.clone().given().map(|options| options.0));
    let password = match change.password.as_ref() {
        Some(password) => Some(compliance::set_by_administrator(state, password.as_deref(), &options).await?),
        None => None,
    };
    let (now, lifetime) = (state.clock.now(), state.identity.settings.token_seconds);
    let write = move |tx: &mut Tx| {
        let user = users::get(tx, &id)?.ok_or_else(|| Error::not_found(Kind::User, &id))?;
        let was_enabled = user.enabled;
        let is_opened = change.enabled.as_ref() == Some(&true);
        let user = changed(user, change.clone())?;
        check_default_project(tx, user.default_project_id.as_ref())?;
        users::update(tx, &user)?;
        if let Some(password) = &password {
            users::replace_password(tx, &id, password, now)?;
        }
        if is_opened {
            logins::reopen(tx, &id, now)?;
        }
        if password.is_some() || (was_enabled && !user.enabled) {
            revocations::insert(tx, &Revoked::User(id.clone()), now, lifetime)?;
        }
        users::get(tx, &id)?.ok_or_else(|| Error::not_found(Kind::User, &id))
    };
    let user = state.db.write(write).await?;
    Ok(answer(&call, StatusCode::OK, &user))
}

fn changed(mut user: User, change: UserChange) -> Result<User> {
    unchanged(change.extra.get("id"), Some(&user.id.0), "Cannot change ID")?;
    unchanged(change.extra.get("domain_id"), Some(&user.domain_id.0), "Cannot change Domain ID")?;
    if let Some(name) = change.name.given() {
        user.name = name.trimmed();
    }
    if let Some(project) = change.default_project_id.given() {
        user.default_project_id = project.map(ProjectId);
    }
    user.enabled = change.enabled.given().unwrap_or(user.enabled);
    user.description = change.description.given().unwrap_or(user.description);
    user.email = change.email.given().unwrap_or(user.email);
    user.options = merged(user.options, change.options.given().map(|options| options.0));
    user.extra = merged(user.extra, Some(extra_of(change.extra)));
    Ok(user)
}

async fn remove(call: Call) -> Result<RawReply> {
    let id = of_path(&call).await?.id;
    call.cx.state.db.write(move |tx| users::delete(tx, &id)).await?;
    Ok(done())
}
