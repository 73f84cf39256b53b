//! `/os-migrations`: how servers' resizes and moves went.

use super::common::{Link, bad_query, check_known, cut, next_link, page};
use super::versions;
use crate::api::{Call, Row};
use crate::clock::Timestamp;
use crate::cloud::policy::Reach;
use crate::error::{Error, Result};
use crate::http::reply::Reply;
use crate::http::table::get;
use crate::ids::{ProjectId, ServerId, UserId};
use crate::store::server_moves::{self, Filter, Move};
use crate::versioned;

const QUERY: &[&str] = &[
    "hidden",
    "host",
    "instance_uuid",
    "source_compute",
    "status",
    "migration_type",
    "limit",
    "marker",
    "changes-since",
    "changes-before",
    "user_id",
    "project_id",
];

pub fn rows() -> Vec<Row> {
    vec![get("/os-migrations", index).rule("os_compute_api:os-migrations:index").query(QUERY)]
}

versioned! {
    response MoveView {
        "id" => id: i64,
        "uuid" since(59) => uuid: String,
        "instance_uuid" => instance_uuid: ServerId,
        "migration_type" since(23) => kind: String,
        "status" => status: String,
        "source_compute" => source_compute: Option<String>,
        "source_node" => source_node: Option<String>,
        "dest_compute" => dest_compute: Option<String>,
        "dest_node" => dest_node: Option<String>,
        "dest_host" => dest_host: Option<String>,
        /// Numbers of rows that upstream has and nothing takes: flavors are known by their ids here.
        "old_instance_type_id" => old_flavor: Option<i64>,
        "new_instance_type_id" => new_flavor: Option<i64>,
        "project_id" since(80) => project_id: ProjectId,
        "user_id" since(80) => user_id: UserId,
        "created_at" => created_at: String,
        "updated_at" => updated_at: String,
    }
}
versioned! {
    response Moves { "migrations" => migrations: Vec<MoveView>, "migrations_links" since(59) optional => links: Vec<Link> }
}

/// `GET /os-migrations`.
async fn index(call: Call) -> Result<Reply<Moves>> {
    let version = call.version();
    let in_pages = version >= versions::MIGRATION_PAGES;
    if in_pages {
        let known = QUERY.iter().copied().filter(|name| match *name {
            "changes-before" => version >= versions::CHANGES_BEFORE,
            "user_id" | "project_id" => version >= versions::MIGRATIONS_BY_OWNER,
            _ => true,
        });
        check_known(&call, &known.collect::<Vec<_>>())?;
    }
    let project = call.query().get("project_id").map(ProjectId::from);
    let own = call.cx.project_id().ok();
    if project.is_none() || project.as_ref() != own {
        call.cx.allow("os_compute_api:os-migrations:index:all_projects")?;
    }
    let sees_hosts = call.cx.may("os_compute_api:os-migrations:index:host");
    let reach = project.map_or(Reach::Cloud, Reach::Project);
    let filter = filter(&call, in_pages)?;
    // What is no UUID names no server, and so nothing is found.
    let Some(filter) = filter else { return Ok(Reply::ok(Moves { migrations: Vec::new(), links: Vec::new() })) };
    let found = call.cx.state.db.read(move |tx| server_moves::list(tx, &reach, &filter)).await?;
    let (found, links) = if in_pages {
        let page = page(&call)?;
        if let Some(marker) = &page.marker
            && !found.iter().any(|one| one.uuid == *marker)
        {
            return Err(Error::bad_request(format!("Marker {marker} could not be found.")));
        }
        let (found, next) = cut(found, &page, |one| one.uuid.clone())?;
        (found, next_link(&call, next.as_deref()))
    } else {
        (found, Vec::new())
    };
    Ok(Reply::ok(Moves { migrations: found.into_iter().map(|one| view(one, sees_hosts)).collect(), links }))
}

fn filter(call: &Call, in_pages: bool) -> Result<Option<Filter>> {
    let text = |name: &str| call.query().get(name).map(str::to_owned);
    let time = |name: &str| -> Result<Option<Timestamp>> {
        let Some(text) = call.query().get(name) else { return Ok(None) };
        Timestamp::parse(text).map(Some).ok_or_else(|| bad_query(name, text, "is not a 'date-time'"))
    };
    let since = if in_pages { time("changes-since")? } else { None };
    let before = if call.version() >= versions::CHANGES_BEFORE { time("changes-before")? } else { None };
    if since.zip(before).is_some_and(|(since, before)| before < since) {
        return Err(Error::bad_request("The value of changes-since must be less than or equal to changes-before."));
    }
    let server = match text("instance_uuid") {
        None => None,
        Some(text) => match ServerId::parse(&text) {
            None => return Ok(None),
            found => found,
        },
    };
    let by_owner = call.version() >= versions::MIGRATIONS_BY_OWNER;
    Ok(Some(Filter {
        server,
        status: text("status"),
        kind: text("migration_type"),
        source: text("source_compute"),
        host: text("host"),
        user: text("user_id").filter(|_| by_owner).map(|id| UserId::from(id.as_str())),
        changed_since: since,
        changed_before: before,
    }))
}

fn view(one: Move, sees_hosts: bool) -> MoveView {
    let host = |name: &Option<String>| name.clone().filter(|_| sees_hosts);
    MoveView {
        id: one.id,
        uuid: one.uuid,
        instance_uuid: one.server_id,
        kind: one.kind,
        status: one.status,
        source_compute: host(&one.source),
        source_node: host(&one.source),
        dest_compute: host(&one.target),
        dest_node: host(&one.target),
        dest_host: host(&one.target),
        old_flavor: None,
        new_flavor: None,
        project_id: one.project_id,
        user_id: one.user_id,
        created_at: one.created_at.to_micros_naive(),
        updated_at: one.updated_at.to_micros_naive(),
    }
}
