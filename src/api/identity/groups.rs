//! Groups and who is in them: `/v3/groups`.

use super::answer::{done, extra_of, merged, own_domain, permitted, shown, unchanged};
use super::fields::{IdText, Name, NonEmpty};
use super::listing::listed;
use super::pages::{self, Attribute};
use super::targets;
use super::users as user_rows;
use crate::api::{Call, Row};
use crate::cloud::identity::{Group, User};
use crate::cloud::policy::Target;
use crate::error::{Error, Kind, Result};
use crate::http::json::{Map, Maybe};
use crate::http::reply::RawReply;
use crate::http::table::{delete, get, patch, post, put};
use crate::ids::{DomainId, GroupId, UserId};
use crate::store::revocations::Revoked;
use crate::store::{Tx, assignments, groups, projects, revocations, users};
use http::StatusCode;
use serde_json::json;

/// What `GET /v3/groups` may be asked for.
const ATTRIBUTES: &[Attribute] = &[Attribute::Name(255), Attribute::Id("domain_id")];

pub fn rows() -> Vec<Row> {
    vec![
        get("/v3/groups", list).rule("identity:list_groups").query(&["domain_id", "limit", "marker", "name"]),
        post("/v3/groups", create).rule("identity:create_group"),
        get("/v3/groups/{group_id}", show).rule("identity:get_group"),
        patch("/v3/groups/{group_id}", update).rule("identity:update_group"),
        delete("/v3/groups/{group_id}", remove).rule("identity:delete_group"),
        get("/v3/groups/{group_id}/users", members).rule("identity:list_users_in_group").query(&[
            "domain_id",
            "enabled",
            "limit",
            "marker",
            "name",
            "password_expires_at",
        ]),
        put("/v3/groups/{group_id}/users/{user_id}", add).rule("identity:add_user_to_group"),
        get("/v3/groups/{group_id}/users/{user_id}", check).rule("identity:check_user_in_group"),
        delete("/v3/groups/{group_id}/users/{user_id}", take_out).rule("identity:remove_user_from_group"),
    ]
}

crate::versioned! {
    request GroupCreate strict {
        "group" required => group: NewGroup,
    }
}

crate::versioned! {
    request NewGroup open {
        "name" required => name: Name<255>,
        "domain_id"     => domain_id: Maybe<IdText>,
        "description"   => description: Option<String>;
        flatten         => extra
    }
}

crate::versioned! {
    request GroupUpdate strict {
        "group" required => group: NonEmpty<GroupChange>,
    }
}

crate::versioned! {
    request GroupChange open {
        "name"        => name: Maybe<Name<255>>,
        "description" => description: Maybe<Option<String>>;
        flatten       => extra
    }
}

pub fn view(group: &Group) -> Map {
    let mut view = group.extra.clone();
    view.insert("id".to_owned(), json!(group.id));
    view.insert("name".to_owned(), json!(group.name));
    view.insert("domain_id".to_owned(), json!(group.domain_id));
    view.insert("description".to_owned(), json!(group.description));
    view
}

fn answer<B>(call: &Call<B>, status: StatusCode, group: &Group) -> RawReply {
    shown(call, status, "group", &format!("/groups/{}", group.id), view(group))
}

async fn of_path<B>(call: &Call<B>) -> Result<Group> {
    let id = GroupId::from(call.path("group_id"));
    let wanted = id.clone();
    permitted(call, Kind::Group, &id.0, move |tx| groups::get(tx, &wanted), targets::group).await
}

async fn list(call: Call) -> Result<RawReply> {
    let listing = pages::in_own_domain(&call, pages::asked(&call, ATTRIBUTES)?, "domain_id");
    let listing = pages::bounded_by_domain(&call, listing).await?;
    let wanted = listing.clone();
    let found = call.cx.state.db.read(move |tx| groups::page(tx, &wanted)).await?;
    let items = found.items.iter().filter(|group| call.cx.permits(&targets::group(group))).map(view).collect();
    Ok(pages::page(&call, "groups", items, pages::next(&call, &found, &listing, |group| group.id.as_str())))
}

async fn show(call: Call) -> Result<RawReply> {
    let group = of_path(&call).await?;
    Ok(answer(&call, StatusCode::OK, &group))
}

async fn create(call: Call<GroupCreate>) -> Result<RawReply> {
    let new = call.body.group.clone();
    // The rule sees what the body says: who may only act in their domain has to name it.
    call.cx.permit(&Target::new().with_option("target.group.domain_id", new.domain_id.as_ref().map(|id| &id.0)))?;
    let domain_id = match new.domain_id.given() {
        Some(id) => DomainId(id.0),
        None => own_domain(&call)?,
    };
    let group = Group {
        id: GroupId::random(),
        domain_id,
        name: new.name.trimmed(),
        description: new.description.unwrap_or_default(),
        extra: extra_of(new.extra),
    };
    let (stored, now) = (group.clone(), call.cx.state.clock.now());
    let insert = move |tx: &mut Tx| {
        let domain = projects::domain(tx, &stored.domain_id)?;
        domain.ok_or_else(|| Error::not_found(Kind::Domain, &stored.domain_id))?;
        groups::insert(tx, &stored, now)
    };
    call.cx.state.db.write(insert).await?;
    Ok(answer(&call, StatusCode::CREATED, &group))
}

async fn update(call: Call<GroupUpdate>) -> Result<RawReply> {
    let mut group = of_path(&call).await?;
    let change = call.body.group.0.clone();
    unchanged(change.extra.get("id"), Some(&group.id.0), "Cannot change ID")?;
    unchanged(change.extra.get("domain_id"), Some(&group.domain_id.0), "Cannot change Domain ID")?;
    if let Some(name) = change.name.given() {
        group.name = name.trimmed();
    }
    if let Some(description) = change.description.given() {
        group.description = description.unwrap_or_default();
    }
    group.extra = merged(group.extra, Some(extra_of(change.extra)));
    let stored = group.clone();
    call.cx.state.db.write(move |tx| groups::update(tx, &stored)).await?;
    Ok(answer(&call, StatusCode::OK, &group))
}

/// Whose roles came by the group has tokens with roles that are theirs no more.
async fn remove(call: Call) -> Result<RawReply> {
    let id = of_path(&call).await?.id;
    let (now, lifetime) = (call.cx.state.clock.now(), call.cx.state.identity.settings.token_seconds);
    let delete = move |tx: &mut Tx| {
        if assignments::are_any_of_group(tx, &id)? {
            revocations::insert_for_members(tx, &id, now, lifetime)?;
        }
        groups::delete(tx, &id)
    };
    call.cx.state.db.write(delete).await?;
    Ok(done())
}

async fn members(call: Call) -> Result<RawReply> {
    let group = of_path(&call).await?;
    let listing = pages::in_own_domain(&call, pages::asked(&call, user_rows::ATTRIBUTES)?, "domain_id");
    let wanted = listing.clone();
    let found = call.cx.state.db.read(move |tx| users::page_of_group(tx, &group.id, &wanted)).await?;
    let next = pages::next(&call, &found, &listing, |user| user.id.as_str());
    Ok(listed(&call, "users", &user_rows::seen(&call, found.items), next))
}

/// The group and the user of the path, if the row's rule holds for both.
async fn pair(call: &Call) -> Result<(Group, User)> {
    let (group_id, user_id) = (GroupId::from(call.path("group_id")), UserId::from(call.path("user_id")));
    let (wanted_group, wanted_user) = (group_id.clone(), user_id.clone());
    let found =
        call.cx.state.db.read(move |tx| Ok((groups::get(tx, &wanted_group)?, users::get(tx, &wanted_user)?))).await?;
    let mut target = Target::new();
    if let Some(group) = &found.0 {
        target = targets::with_group(target, group);
    }
    if let Some(user) = &found.1 {
        target = targets::with_user(target, user);
    }
    call.cx.permit(&target)?;
    let group = found.0.ok_or_else(|| Error::not_found(Kind::Group, &group_id))?;
    let user = found.1.ok_or_else(|| Error::not_found(Kind::User, &user_id))?;
    Ok((group, user))
}

fn not_a_member(group: &Group, user: &User) -> Error {
    Error::not_found(Kind::Part, format!("User '{}' not found in group '{}'", user.id, group.id))
}

async fn add(call: Call) -> Result<RawReply> {
    let (group, user) = pair(&call).await?;
    call.cx.state.db.write(move |tx| groups::add_member(tx, &group.id, &user.id)).await?;
    Ok(done())
}

async fn check(call: Call) -> Result<RawReply> {
    let (group, user) = pair(&call).await?;
    let (group_id, user_id) = (group.id.clone(), user.id.clone());
    let is_in = call.cx.state.db.read(move |tx| groups::has_member(tx, &group_id, &user_id)).await?;
    if is_in { Ok(done()) } else { Err(not_a_member(&group, &user)) }
}

/// Takes every token of the user back too, as upstream does: their roles are others than when it was issued.
async fn take_out(call: Call) -> Result<RawReply> {
    let (group, user) = pair(&call).await?;
    let (group_id, user_id) = (group.id.clone(), user.id.clone());
    let (now, lifetime) = (call.cx.state.clock.now(), call.cx.state.identity.settings.token_seconds);
    let take_out = move |tx: &mut Tx| {
        let was_in = groups::remove_member(tx, &group_id, &user_id)?;
        if was_in {
            revocations::insert(tx, &Revoked::User(user_id.clone()), now, lifetime)?;
        }
        Ok(was_in)
    };
    if call.cx.state.db.write(take_out).await? { Ok(done()) } else { Err(not_a_member(&group, &user)) }
}
