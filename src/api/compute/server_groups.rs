//! Server groups: servers that shall run near each other, or apart. [`crate::cloud::server_group`] says what that means;
//! the scheduler hint `group` puts a new server into one.

use super::common::{LARGEST_PAGE, Name, bad_query, check_query};
use super::versions;
use crate::api::{Call, Row};
use crate::cloud::limit::{self, Claim};
use crate::cloud::policy::Reach;
use crate::cloud::quota::UNLIMITED;
use crate::cloud::server_group::{Policy, ServerGroup};
use crate::error::{Error, Kind, Result};
use crate::http::json::{Between, Invalid, Maybe, Parse, Path, python_repr};
use crate::http::microversion::Microversion;
use crate::http::reply::{Empty, Reply};
use crate::http::table::{delete, get, post};
use crate::ids::{ProjectId, ServerGroupId, ServerId, UserId};
use crate::store::servers::Texts;
use crate::store::{Tx, quotas, server_groups};
use crate::versioned;
use serde_json::{Value, json};

const QUERY: &[&str] = &["all_projects", "limit", "offset"];

pub fn rows() -> Vec<Row> {
    vec![
        get("/os-server-groups", index).rule("os_compute_api:os-server-groups:index").query(QUERY),
        post("/os-server-groups", create).rule("os_compute_api:os-server-groups:create"),
        get("/os-server-groups/{group_id}", show).rule("os_compute_api:os-server-groups:show"),
        delete("/os-server-groups/{group_id}", remove).rule("os_compute_api:os-server-groups:delete"),
    ]
}

versioned! {
    response RulesView { "max_server_per_host" optional => max_server_per_host: Option<i64> }
}
versioned! {
    response GroupView {
        "id" => id: ServerGroupId,
        "name" => name: String,
        /// One, in a list, until it became a word of its own.
        "policies" until(64) => policies: Vec<&'static str>,
        "policy" since(64) => policy: &'static str,
        "rules" since(64) => rules: RulesView,
        /// Always empty.
        "metadata" until(64) => metadata: Texts,
        "members" => members: Vec<ServerId>,
        "project_id" since(13) => project_id: ProjectId,
        "user_id" since(13) => user_id: UserId,
    }
}
versioned! {
    response GroupShown { "server_group" => server_group: GroupView }
}
versioned! {
    response Groups { "server_groups" => server_groups: Vec<GroupView> }
}

fn view(group: ServerGroup) -> GroupView {
    GroupView {
        id: group.id,
        name: group.name,
        policies: vec![group.policy.word()],
        policy: group.policy.word(),
        rules: RulesView { max_server_per_host: group.max_per_host },
        metadata: Texts::new(),
        members: group.members,
        project_id: group.project_id,
        user_id: group.user_id,
    }
}

/// A whole number from 0 on; nothing said is `otherwise`.
fn number(call: &Call, name: &str, otherwise: usize) -> Result<usize> {
    match call.query().get(name) {
        None => Ok(otherwise),
        Some(text) => text.parse().map_err(|_| bad_query(name, text, "does not match '^[0-9]*$'")),
    }
}

/// `GET /os-server-groups`: the project's own, and everybody's for an administrator who asks.
async fn index(call: Call) -> Result<Reply<Groups>> {
    check_query(&call, QUERY)?;
    let reach = if call.query().has("all_projects") && call.cx.may("context_is_admin") {
        call.cx.allow("os_compute_api:os-server-groups:index:all_projects")?;
        call.cx.reach.clone()
    } else {
        Reach::Project(call.cx.project_id()?.clone())
    };
    let (offset, limit) = (number(&call, "offset", 0)?, number(&call, "limit", LARGEST_PAGE)?);
    // As in other lists, 0 is as many as there are.
    let limit = if limit == 0 { LARGEST_PAGE } else { limit.min(LARGEST_PAGE) };
    let groups = call.cx.state.db.read(move |tx| server_groups::list(tx, &reach, offset, limit)).await?;
    Ok(Reply::ok(Groups { server_groups: groups.into_iter().map(view).collect() }))
}

/// The group that the path names.
fn id(call: &Call) -> Result<ServerGroupId> {
    let text = call.path("group_id");
    ServerGroupId::parse(text).ok_or_else(|| Error::not_found(Kind::ServerGroup, text))
}

/// `GET /os-server-groups/{group_id}`.
async fn show(call: Call) -> Result<Reply<GroupShown>> {
    let (id, reach) = (id(&call)?, call.cx.reach.clone());
    let group = call.cx.state.db.read(move |tx| server_groups::get(tx, &reach, id)).await?;
    Ok(Reply::ok(GroupShown { server_group: view(group) }))
}

/// `DELETE /os-server-groups/{group_id}`.
async fn remove(call: Call) -> Result<Empty> {
    let (id, reach) = (id(&call)?, call.cx.reach.clone());
    call.cx.state.db.write(move |tx| server_groups::delete(tx, &reach, id)).await?;
    Ok(Empty::no_content())
}

/// The policies that a version knows.
fn words(version: Microversion) -> &'static [&'static str] {
    const ALL: &[&str] = &["anti-affinity", "affinity", "soft-anti-affinity", "soft-affinity"];
    if version >= versions::SOFT_AFFINITY { ALL } else { &ALL[..2] }
}

/// One of the policies.
#[derive(Debug, Clone)]
pub struct PolicyWord(Policy);

impl Parse for PolicyWord {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        let known = value.as_str().filter(|word| words(version).contains(word)).and_then(Policy::parse);
        known.map(Self).ok_or_else(|| {
            let words: Vec<String> = words(version).iter().map(|word| format!("'{word}'")).collect();
            path.refuse(&value, format!("{} is not one of [{}]", python_repr(&value), words.join(", ")))
        })
    }

    fn schema(version: Microversion) -> Value {
        json!({"type": "string", "enum": words(version)})
    }

    fn boundaries(into: &mut Vec<u16>) {
        into.push(versions::SOFT_AFFINITY.0);
    }
}

/// A list of exactly one policy.
#[derive(Debug, Clone)]
pub struct OnePolicy(Policy);

impl Parse for OnePolicy {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        let Value::Array(items) = &value else { return Err(path.wrong_type(&value, "array")) };
        match items.as_slice() {
            [] => Err(path.refuse(&value, "[] is too short")),
            [one] => PolicyWord::parse(one.clone(), &Path::Index(path, 0), version).map(|word| Self(word.0)),
            _ => Err(path.refuse(&value, format!("{} is too long", python_repr(&value)))),
        }
    }

    fn schema(version: Microversion) -> Value {
        json!({"type": "array", "items": PolicyWord::schema(version), "minItems": 1, "maxItems": 1})
    }

    fn boundaries(into: &mut Vec<u16>) {
        PolicyWord::boundaries(into);
    }
}

versioned! {
    request NewRules strict { "max_server_per_host" => max_server_per_host: Maybe<Between<1, 0x7FFF_FFFF>> }
}
versioned! {
    request NewGroup strict {
        "name" required => name: Name,
        "policies" required until(64) => policies: Maybe<OnePolicy>,
        "policy" since(64) required => policy: Maybe<PolicyWord>,
        "rules" since(64) => rules: Maybe<NewRules>,
    }
}
versioned! {
    request GroupCreate strict { "server_group" required => server_group: NewGroup }
}

/// `POST /os-server-groups`.
async fn create(call: Call<GroupCreate>) -> Result<Reply<GroupShown>> {
    let new = call.body.server_group.clone();
    let policies = new.policies.given().map(|one| one.0);
    let policy = policies.or(new.policy.given().map(|word| word.0));
    let policy = policy.ok_or_else(|| Error::bad_request("'policy' is a required property"))?;
    let max_per_host = new.rules.given().and_then(|rules| rules.max_server_per_host.given()).map(|max| max.0);
    if policy != Policy::AntiAffinity && max_per_host.is_some() {
        return Err(Error::bad_request("Only anti-affinity policy supports rules."));
    }
    let group = ServerGroup {
        id: ServerGroupId::random(),
        project_id: call.cx.project_id()?.clone(),
        user_id: call.cx.user_id()?.clone(),
        name: new.name.0,
        policy,
        max_per_host,
        members: Vec::new(),
    };
    let (kept, region, now) = (group.clone(), call.cx.state.limits_region(), call.cx.state.clock.now());
    let write = move |tx: &mut Tx| {
        check_quota(tx, region.as_deref(), &kept.project_id)?;
        server_groups::insert(tx, &kept, now)
    };
    call.cx.state.db.write(write).await?;
    Ok(Reply::ok(GroupShown { server_group: view(group) }))
}

fn check_quota(tx: &mut Tx, region: Option<&str>, project: &ProjectId) -> Result<()> {
    const RESOURCE: &str = "server_groups";
    let limit = quotas::limits_in(tx, region, project)?.of(RESOURCE);
    let used = server_groups::count(tx, project)?;
    if region.is_some() {
        return limit::check(project, &[Claim { resource: RESOURCE, limit, used, more: 1 }]);
    }
    if limit != UNLIMITED && used >= limit {
        return Err(Error::OverQuota("Quota exceeded, too many server groups.".to_owned()));
    }
    Ok(())
}
