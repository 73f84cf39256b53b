//! Policies as stored documents: `/v3/policies`.
//!
//! Nothing in Gapura reads them: its own rules come from `policy.yaml`. What is associated with them stands in
//! `policy_associations`.

use crate::api::identity::answer;
use crate::api::identity::answer::{done, extra_of, listed, merged, permitted, shown};
use crate::api::{Call, Row};
use crate::cloud::identity::Policy;
use crate::cloud::policy::Target;
use crate::error::{Error, Kind, Result};
use crate::http::json::{Map, Maybe, Text};
use crate::http::reply::RawReply;
use crate::http::table::{delete, get, patch, post};
use crate::store::policies;
use http::StatusCode;
use serde_json::{Value, json};

pub fn rows() -> Vec<Row> {
    vec![
        get("/v3/policies", list).rule("identity:list_policies").query(&["limit", "type"]),
        post("/v3/policies", create).rule("identity:create_policy"),
        get("/v3/policies/{policy_id}", show).rule("identity:get_policy"),
        patch("/v3/policies/{policy_id}", update).rule("identity:update_policy"),
        delete("/v3/policies/{policy_id}", remove).rule("identity:delete_policy"),
    ]
}

crate::versioned! {
    request PolicyCreate open {
        "policy" required => policy: NewPolicy,
    }
}

crate::versioned! {
    request NewPolicy open {
        "blob" required => blob: String,
        "type" required => kind: Text<0, 255>;
        flatten         => extra
    }
}

crate::versioned! {
    request PolicyUpdate open {
        "policy" required => policy: PolicyChange,
    }
}

crate::versioned! {
    request PolicyChange open {
        "blob"  => blob: Maybe<String>,
        "type"  => kind: Maybe<Text<0, 255>>;
        flatten => extra
    }
}

fn view(policy: &Policy) -> Map {
    let mut view = policy.extra.clone();
    view.insert("id".to_owned(), json!(policy.id));
    view.insert("type".to_owned(), json!(policy.kind));
    view.insert("blob".to_owned(), policy.blob.clone());
    view
}

pub fn answer<B>(call: &Call<B>, status: StatusCode, policy: &Policy) -> RawReply {
    shown(call, status, "policy", &format!("/policies/{}", policy.id), view(policy))
}

pub async fn of_path<B>(call: &Call<B>) -> Result<Policy> {
    let id = call.path("policy_id").to_owned();
    let wanted = id.clone();
    permitted(call, Kind::Policy, &id, move |tx| policies::get(tx, &wanted), |_| Target::new()).await
}

async fn list(call: Call) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let found = call.cx.state.db.read(policies::list).await?;
    Ok(listed(&call, "policies", found.iter().map(view).collect(), &["type"]))
}

async fn show(call: Call) -> Result<RawReply> {
    let policy = of_path(&call).await?;
    Ok(answer(&call, StatusCode::OK, &policy))
}

async fn create(call: Call<PolicyCreate>) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let new = call.body.policy.clone();
    let id = uuid::Uuid::new_v4().simple().to_string();
    let policy = Policy { id, kind: new.kind.0, blob: Value::String(new.blob), extra: extra_of(new.extra) };
    let stored = policy.clone();
    call.cx.state.db.write(move |tx| policies::insert(tx, &stored)).await?;
    Ok(answer(&call, StatusCode::CREATED, &policy))
}

async fn update(call: Call<PolicyUpdate>) -> Result<RawReply> {
    let mut policy = of_path(&call).await?;
    let change = call.body.policy.clone();
    answer::unchanged(change.extra.get("id"), Some(&policy.id), "Cannot change policy ID")?;
    if change.blob.as_ref().is_none() && change.kind.as_ref().is_none() && change.extra.is_empty() {
        return Err(Error::bad_request("{} should be non-empty"));
    }
    policy.kind = change.kind.given().map_or(policy.kind, |kind| kind.0);
    policy.blob = change.blob.given().map_or(policy.blob, Value::String);
    policy.extra = merged(policy.extra, Some(extra_of(change.extra)));
    let stored = policy.clone();
    call.cx.state.db.write(move |tx| policies::update(tx, &stored)).await?;
    Ok(answer(&call, StatusCode::OK, &policy))
}

async fn remove(call: Call) -> Result<RawReply> {
    let policy = of_path(&call).await?;
    call.cx.state.db.write(move |tx| policies::delete(tx, &policy.id)).await?;
    Ok(done())
}
