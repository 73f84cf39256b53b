//! What belongs to a user: their projects, groups, and the change of their own password.

use super::answer::{done, listed, shows_domain};
use super::login::{WantedUser, check_password};
use super::{groups, projects, users as user_rows};
use crate::api::{Call, Row};
use crate::error::Result;
use crate::http::reply::RawReply;
use crate::http::table::{get, post};
use crate::store::revocations::Revoked;
use crate::store::{groups as group_store, projects as project_store, revocations, users};

pub fn rows() -> Vec<Row> {
    vec![
        get("/v3/users/{user_id}/projects", projects_of)
            .rule("identity:list_user_projects")
            .query(&["name", "enabled"]),
        get("/v3/users/{user_id}/groups", groups_of).rule("identity:list_groups_for_user").query(&["name"]),
        post("/v3/users/{user_id}/password", change_password).public(),
    ]
}

async fn projects_of(call: Call) -> Result<RawReply> {
    let user = user_rows::of_path(&call).await?;
    let found = call.cx.state.db.read(move |tx| project_store::of_user(tx, &user.id, false)).await?;
    Ok(listed(&call, "projects", found.iter().map(projects::view).collect(), projects::FILTERS))
}

async fn groups_of(call: Call) -> Result<RawReply> {
    let user = user_rows::of_path(&call).await?;
    let found = call.cx.state.db.read(move |tx| group_store::of_user(tx, &user.id)).await?;
    let seen = found.iter().filter(|group| shows_domain(&call, Some(group.domain_id.as_str())));
    Ok(listed(&call, "groups", seen.map(groups::view).collect(), &["name"]))
}

crate::versioned! {
    request PasswordChange open {
        "user" required => user: Passwords,
    }
}

crate::versioned! {
    request Passwords open {
        "original_password" required => original_password: String,
        "password" required          => password: String,
    }
}

/// `POST /v3/users/{id}/password`: needs no token but the old password, and takes every token of the user back.
async fn change_password(call: Call<PasswordChange>) -> Result<RawReply> {
    let state = &call.cx.state;
    let given = &call.body.user;
    let wanted = WantedUser::Id(call.path("user_id").to_owned());
    let user = check_password(state, &wanted, &given.original_password, call.head.peer).await?;
    let hash = state.identity.hashing.hash(given.password.clone()).await?;
    let (now, lifetime) = (state.clock.now(), state.identity.settings.token_seconds);
    let write = move |tx: &mut crate::store::Tx| {
        users::set_password(tx, &user.id, Some(&hash), true, now)?;
        revocations::insert(tx, &Revoked::User(user.id.clone()), now, lifetime)
    };
    state.db.write(write).await?;
    Ok(done())
}
