//! `os-simple-tenant-usage`: hours of servers, from when they were launched to when they ended.

use super::common::{Link, check_query, cut, page};
use super::versions;
use crate::api::{Call, Row};
use crate::clock::Timestamp;
use crate::cloud::policy::{Reach, Target};
use crate::error::{Error, Result};
use crate::http::reply::Reply;
use crate::http::table::get;
use crate::ids::{ProjectId, ServerId};
use crate::store::servers::{self, Server};
use crate::versioned;
use serde_json::{Value, json};

const QUERY: &[&str] = &["start", "end", "detailed", "limit", "marker"];

pub fn rows() -> Vec<Row> {
    vec![
        get("/os-simple-tenant-usage", index).rule("os_compute_api:os-simple-tenant-usage:list").query(QUERY),
        get("/os-simple-tenant-usage/{project_id}", show)
            .rule("os_compute_api:os-simple-tenant-usage:show")
            .query(QUERY),
    ]
}

versioned! {
    response ServerUsage {
        "instance_id" => instance_id: ServerId,
        "name" => name: String,
        "tenant_id" => tenant_id: ProjectId,
        "flavor" => flavor: String,
        "memory_mb" => memory_mb: u64,
        "local_gb" => local_gb: u64,
        "vcpus" => vcpus: u32,
        "hours" => hours: f64,
        "started_at" => started_at: String,
        "ended_at" => ended_at: Option<String>,
        "state" => state: &'static str,
        "uptime" => uptime: i64,
    }
}
versioned! {
    response Usage {
        "tenant_id" => tenant_id: ProjectId,
        "total_hours" => total_hours: f64,
        "total_vcpus_usage" => total_vcpus_usage: f64,
        "total_memory_mb_usage" => total_memory_mb_usage: f64,
        "total_local_gb_usage" => total_local_gb_usage: f64,
        "start" => start: String,
        "stop" => stop: String,
        "server_usages" optional => server_usages: Option<Vec<ServerUsage>>,
    }
}
versioned! {
    response Usages { "tenant_usages" => usages: Vec<Usage>, "tenant_usages_links" since(40) optional => links: Vec<Link> }
}
/// A project that ran nothing has no usage: an empty object.
#[derive(Debug, Clone)]
pub struct UsageOrNothing(Option<Usage>);

impl crate::http::json::View for UsageOrNothing {
    fn view<S: serde::Serializer>(
        &self,
        version: crate::http::microversion::Microversion,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        match &self.0 {
            Some(usage) => usage.view(version, serializer),
            None => serde::Serialize::serialize(&json!({}), serializer),
        }
    }

    fn schema(version: crate::http::microversion::Microversion) -> Value {
        json!({"oneOf": [Usage::schema(version), {"type": "object", "maxProperties": 0}]})
    }
}

versioned! {
    response OneUsage { "tenant_usage" => usage: UsageOrNothing, "tenant_usage_links" since(40) optional => links: Vec<Link> }
}

#[derive(Clone, Copy)]
struct Period {
    start: Timestamp,
    stop: Timestamp,
    now: Timestamp,
}

fn period(call: &Call) -> Result<Period> {
    let now = call.cx.state.clock.now();
    let time = |name: &str| match call.query().get(name).filter(|text| !text.is_empty()) {
        None => Ok(now),
        Some(text) => Timestamp::parse(text).ok_or_else(|| Error::bad_request("Datetime is in invalid format")),
    };
    let (start, stop) = (time("start")?, time("end")?);
    if start >= stop {
        let text = "Invalid start time. The start time cannot occur after the end time.";
        return Err(Error::bad_request(text));
    }
    Ok(Period { start, stop: stop.min(now), now })
}

#[expect(clippy::cast_precision_loss, reason = "hours of servers are far below where a float loses microseconds")]
fn hours(from: Timestamp, until: Timestamp) -> f64 {
    (until.0 - from.0).max(0) as f64 / 3_600_000_000.0
}

/// What one server used in the period.
fn server_usage(server: Server, period: Period) -> Option<ServerUsage> {
    let launched = server.launched_at?;
    let end = server.terminated_at.unwrap_or(period.stop).min(period.stop);
    Some(ServerUsage {
        instance_id: server.id,
        memory_mb: server.flavor.ram_mib,
        local_gb: server.flavor.disk_gib + server.flavor.ephemeral_gib,
        vcpus: server.flavor.vcpus,
        flavor: server.flavor.name.clone(),
        name: server.name,
        tenant_id: server.project_id,
        hours: hours(launched.max(period.start), end),
        started_at: launched.to_micros_naive(),
        ended_at: server.terminated_at.map(Timestamp::to_micros_naive),
        state: if server.terminated_at.is_some() { "terminated" } else { server.state.word() },
        uptime: (server.terminated_at.unwrap_or(period.now).0 - launched.0) / 1_000_000,
    })
}

#[expect(clippy::cast_precision_loss, reason = "sizes of flavors are small numbers")]
fn sum(tenant_id: ProjectId, servers: Vec<ServerUsage>, period: Period, detailed: bool) -> Usage {
    let total = |of: fn(&ServerUsage) -> f64| servers.iter().map(of).sum();
    Usage {
        total_hours: total(|u| u.hours),
        total_vcpus_usage: total(|u| u.hours * f64::from(u.vcpus)),
        total_memory_mb_usage: total(|u| u.hours * u.memory_mb as f64),
        total_local_gb_usage: total(|u| u.hours * u.local_gb as f64),
        start: period.start.to_micros_naive(),
        stop: period.stop.to_micros_naive(),
        server_usages: detailed.then_some(servers),
        tenant_id,
    }
}

/// The servers of the period, by project, as far as the page goes.
async fn usages(call: &Call, project: Option<ProjectId>, detailed: bool) -> Result<(Vec<Usage>, Option<String>)> {
    check_query(call, QUERY)?;
    let period = period(call)?;
    let found =
        call.cx.state.db.read(move |tx| servers::ran_between(tx, project.as_ref(), period.start, period.stop)).await?;
    let used: Vec<ServerUsage> = found.into_iter().filter_map(|server| server_usage(server, period)).collect();
    let (used, next) = if call.version() >= versions::USAGE_PAGES {
        cut(used, &page(call)?, |usage| usage.instance_id.to_string())?
    } else {
        (used, None)
    };
    let mut by_project: Vec<(ProjectId, Vec<ServerUsage>)> = Vec::new();
    for usage in used {
        match by_project.last_mut() {
            Some((project, list)) if *project == usage.tenant_id => list.push(usage),
            _ => by_project.push((usage.tenant_id.clone(), vec![usage])),
        }
    }
    let usages = by_project.into_iter().map(|(project, list)| sum(project, list, period, detailed)).collect();
    Ok((usages, next))
}

fn links(call: &Call, next: Option<&str>) -> Vec<Link> {
    super::common::next_link(call, next)
}

/// `GET /os-simple-tenant-usage`.
async fn index(call: Call) -> Result<Reply<Usages>> {
    let detailed = call.query().get("detailed") == Some("1");
    let (usages, next) = usages(&call, None, detailed).await?;
    Ok(Reply::ok(Usages { usages, links: links(&call, next.as_deref()) }))
}

/// `GET /os-simple-tenant-usage/{project_id}`.
async fn show(call: Call) -> Result<Reply<OneUsage>> {
    let project = ProjectId::from(call.path("project_id"));
    if !matches!(call.cx.reach, Reach::Cloud) {
        let target = Target::new().with("project_id", &project);
        call.cx.allow_on("os_compute_api:os-simple-tenant-usage:show", &target)?;
    }
    let (mut found, next) = usages(&call, Some(project), true).await?;
    Ok(Reply::ok(OneUsage { usage: UsageOrNothing(found.pop()), links: links(&call, next.as_deref()) }))
}
