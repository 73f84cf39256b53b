//! Usages: how much is held, of a host or by the servers of a project.

use super::answer::{answer, of_provider, wants_json};
use super::{query, versions};
use crate::api::{Call, Row};
use crate::cloud::placement::resources;
use crate::cloud::policy::Reach;
use crate::error::{Error, Result};
use crate::http::reply::Reply;
use crate::http::table::get;
use crate::store::Tx;
use crate::store::providers::{self, Provider};
use crate::versioned;
use serde_json::json;
use std::collections::BTreeMap;

pub fn rows() -> Vec<Row> {
    vec![
        get("/resource_providers/{uuid}/usages", of_host).rule("placement:resource_providers:usages"),
        get("/usages", of_project).rule("placement:usages").since(9).query(&["project_id", "user_id", "consumer_type"]),
    ]
}

versioned! {
    response HostUsages {
        "resource_provider_generation" => generation: i64,
        "usages" => usages: BTreeMap<String, u64>,
    }
}

fn missing(name: &str) -> String {
    format!("No resource provider with uuid {name} found: No resource provider with uuid {name} found")
}

/// `GET /resource_providers/{uuid}/usages`: of each class that the host has.
async fn of_host(call: Call) -> Result<Reply<HostUsages>> {
    let (Provider { generation, stocks, .. }, ()) = of_provider(&call, missing, |_, _| Ok(())).await?;
    let usages = stocks.into_iter().map(|stock| (stock.class.to_owned(), stock.used)).collect();
    Ok(answer(&call, HostUsages { generation, usages }, None))
}

/// What servers are among consumers.
pub const SERVER: &str = "INSTANCE";

versioned! {
    response Usages { "usages" => usages: super::Object }
}

/// `GET /usages`: what a project's servers hold, or those of one of its users.
async fn of_project(call: Call) -> Result<Reply<Usages>> {
    wants_json(&call)?;
    let (project, user) = (call.query().get("project_id"), call.query().get("user_id"));
    // Who may not ask about a project is told so before the rest of the question is looked at.
    if let Reach::Project(own) = &call.cx.reach
        && project != Some(own.as_str())
    {
        return Err(Error::Forbidden(call.cx.rule().to_owned()));
    }
    let has_types = call.version() >= versions::CONSUMER_TYPES;
    query::check_names(&call, |name| {
        matches!(name, "project_id" | "user_id") || (has_types && name == "consumer_type")
    })?;
    let project = project.ok_or_else(|| query::invalid("'project_id' is a required property"))?.to_owned();
    check_length(&project)?;
    if let Some(user) = user {
        check_length(user)?;
    }
    let kind = call.query().get("consumer_type").filter(|_| has_types).map(str::to_owned);
    if let Some(kind) = &kind {
        check_kind(kind)?;
    }
    let (reach, user) = (call.cx.reach.clone(), user.map(str::to_owned));
    let read = move |tx: &mut Tx| providers::held_in_project(tx, &reach, &project, user.as_deref());
    let (count, held) = call.cx.state.db.read(read).await?;
    let mut usages: super::Object =
        resources::amounts(held).map(|(class, used)| (class.to_owned(), json!(used))).collect();
    if has_types {
        usages.insert("consumer_count".to_owned(), json!(count));
        let name = if kind.as_deref() == Some("all") { "all" } else { SERVER };
        let is_asked = kind.as_deref().is_none_or(|kind| kind == name);
        usages = if is_asked && count > 0 {
            [(name.to_owned(), json!(usages))].into_iter().collect()
        } else {
            super::Object::new()
        };
    }
    Ok(answer(&call, Usages { usages }, None))
}

fn check_length(text: &str) -> Result<()> {
    let quoted = || crate::http::json::python_repr(&json!(text));
    match text.chars().count() {
        0 => Err(query::invalid(format!("{} should be non-empty", quoted()))),
        1..=255 => Ok(()),
        _ => Err(query::invalid(format!("{} is too long", quoted()))),
    }
}

/// The form of a type; that nothing is of it is no mistake.
fn check_kind(kind: &str) -> Result<()> {
    check_length(kind)?;
    let is_name = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if kind.starts_with("all") || kind == "unknown" || kind.bytes().all(is_name) {
        return Ok(());
    }
    Err(query::invalid(format!("'{kind}' does not match '^[A-Z0-9_]+$|^all|^unknown$'")))
}
