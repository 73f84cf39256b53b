//! Hypervisors: what hosts have, how much of it is taken, and by which servers.

use super::common::{Link, check_query, cut, next_link, page, truth};
use super::hosts::{NumberOrUuid, Seen, ServerOnHost, all_with_servers, named};
use super::versions;
use crate::api::{Call, Row};
use crate::error::{Error, Kind, Result};
use crate::http::json::View;
use crate::http::microversion::Microversion;
use crate::http::reply::Reply;
use crate::http::table::get;
use crate::versioned;
use futures::StreamExt;
use serde_json::{Value, json};
use std::net::Ipv4Addr;

const QUERY: &[&str] = &["limit", "marker", "hypervisor_hostname_pattern", "with_servers"];
const ONE: &str = "/os-hypervisors/{hypervisor_id}";
/// Hosts that are asked for their uptime together.
const AT_ONCE: usize = 16;

pub fn rows() -> Vec<Row> {
    vec![
        get("/os-hypervisors", hypervisors).rule("os_compute_api:os-hypervisors:list").query(QUERY),
        get("/os-hypervisors/detail", hypervisors_in_detail)
            .rule("os_compute_api:os-hypervisors:list-detail")
            .query(QUERY),
        get("/os-hypervisors/statistics", statistics).rule("os_compute_api:os-hypervisors:statistics").until(88),
        get(ONE, hypervisor).rule("os_compute_api:os-hypervisors:show").query(&["with_servers"]),
        get("/os-hypervisors/{hypervisor_id}/uptime", uptime).rule("os_compute_api:os-hypervisors:uptime").until(88),
        get("/os-hypervisors/{hypervisor_id}/search", search).rule("os_compute_api:os-hypervisors:search").until(53),
        get("/os-hypervisors/{hypervisor_id}/servers", search_with_servers)
            .rule("os_compute_api:os-hypervisors:servers")
            .until(53),
    ]
}

versioned! {
    response ServiceOfHost {
        "id" => id: NumberOrUuid,
        "host" => host: String,
        "disabled_reason" => disabled_reason: Option<String>,
    }
}
versioned! {
    response Brief {
        "id" => id: NumberOrUuid,
        "hypervisor_hostname" => hypervisor_hostname: String,
        "state" => state: &'static str,
        "status" => status: &'static str,
        "servers" optional => servers: Servers,
        /// In the one answer that is about it.
        "uptime" optional => uptime: Option<String>,
    }
}
versioned! {
    response Detailed {
        "id" => id: NumberOrUuid,
        "hypervisor_hostname" => hypervisor_hostname: String,
        "state" => state: &'static str,
        "status" => status: &'static str,
        "servers" since(53) optional => servers: Servers,
        "hypervisor_type" => hypervisor_type: String,
        "hypervisor_version" => hypervisor_version: u64,
        "host_ip" => host_ip: String,
        "service" => service: ServiceOfHost,
        /// Text that holds JSON, until it became an object.
        "cpu_info" until(28) => cpu_info_text: String,
        "cpu_info" since(28) until(88) => cpu_info: Value,
        "vcpus" until(88) => vcpus: u64,
        "memory_mb" until(88) => memory_mb: u64,
        "local_gb" until(88) => local_gb: u64,
        "vcpus_used" until(88) => vcpus_used: u64,
        "memory_mb_used" until(88) => memory_mb_used: u64,
        "local_gb_used" until(88) => local_gb_used: u64,
        "free_ram_mb" until(88) => free_ram_mb: i64,
        "free_disk_gb" until(88) => free_disk_gb: i64,
        "current_workload" until(88) => current_workload: i64,
        "running_vms" until(88) => running_vms: i64,
        "disk_available_least" until(88) => disk_available_least: i64,
        /// As the host says it; null while it is away.
        "uptime" since(88) => uptime: Option<String>,
    }
}
versioned! {
    response BriefList { "hypervisors" => hypervisors: Vec<Brief>, "hypervisors_links" since(33) optional => links: Vec<Link> }
}
versioned! {
    response DetailedList { "hypervisors" => hypervisors: Vec<Detailed>, "hypervisors_links" since(33) optional => links: Vec<Link> }
}
versioned! {
    response OneHypervisor { "hypervisor" => hypervisor: Detailed }
}

/// What runs on a host, where that is asked for. A host without servers has no list of them, until one that is asked for is
/// always shown.
#[derive(Debug, Clone)]
pub enum Servers {
    Unasked,
    Those(Vec<ServerOnHost>),
    None,
}

impl View for Servers {
    fn view<S: serde::Serializer>(&self, version: Microversion, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Those(servers) => servers.view(version, serializer),
            Self::Unasked | Self::None => Vec::<ServerOnHost>::new().view(version, serializer),
        }
    }

    fn is_absent(&self) -> bool {
        matches!(self, Self::Unasked)
    }

    fn schema(version: Microversion) -> Value {
        Vec::<ServerOnHost>::schema(version)
    }
}

/// The servers of a host as this version shows them.
fn servers_of<B>(call: &Call<B>, seen: &Seen, are_asked: bool) -> Servers {
    match seen.servers() {
        _ if !are_asked => Servers::Unasked,
        servers if !servers.is_empty() => Servers::Those(servers),
        _ if call.version() >= versions::EMPTY_HYPERVISORS_SAY_SO => Servers::None,
        _ => Servers::Unasked,
    }
}

impl Seen {
    fn brief(self, servers: Servers) -> Brief {
        Brief {
            id: self.id(),
            state: self.state(),
            status: self.status(),
            hypervisor_hostname: self.host.name,
            servers,
            uptime: None,
        }
    }

    fn detailed(self, servers: Servers, uptime: Option<String>) -> Detailed {
        let facts = &self.host.facts;
        let number = |name: &str| facts[name].as_u64().unwrap_or(0);
        let (vcpus, memory_mb) = (number("vcpus"), number("memory_mib"));
        let (local_gb, free_gb) = (number("disk_total") >> 30, number("disk_free") >> 30);
        let claimed = self.host.claimed;
        let left = |total: u64, used: u64| i64::try_from(total).unwrap_or(0) - i64::try_from(used).unwrap_or(0);
        let cpu_info = cpu_info(&facts["cpu"]);
        Detailed {
            id: self.id(),
            state: self.state(),
            status: self.status(),
            hypervisor_type: facts["hypervisor_type"].as_str().unwrap_or_default().to_owned(),
            hypervisor_version: number("hypervisor_version"),
            host_ip: self.address.unwrap_or(Ipv4Addr::LOCALHOST.into()).to_string(),
            service: ServiceOfHost {
                id: self.id(),
                host: self.host.name.clone(),
                disabled_reason: self.host.disabled_reason.clone(),
            },
            cpu_info_text: cpu_info.to_string(),
            cpu_info,
            vcpus,
            memory_mb,
            local_gb,
            vcpus_used: claimed.vcpus,
            memory_mb_used: claimed.memory_mib,
            local_gb_used: claimed.disk_gib,
            free_ram_mb: left(memory_mb, claimed.memory_mib),
            free_disk_gb: left(local_gb, claimed.disk_gib),
            current_workload: self.working(),
            running_vms: self.running(),
            disk_available_least: i64::try_from(free_gb).unwrap_or(0),
            uptime,
            servers,
            hypervisor_hostname: self.host.name,
        }
    }
}

/// Nova's form of what a host says of its CPU.
fn cpu_info(cpu: &Value) -> Value {
    json!({
        "arch": cpu["arch"], "model": cpu["model"], "vendor": cpu["vendor"], "features": cpu["features"],
        "topology": {"cells": cpu["cells"], "sockets": cpu["sockets"], "cores": cpu["cores"], "threads": cpu["threads"]},
    })
}

/// What a list asks: which hosts, with their servers or without, and the page.
async fn list(call: &Call) -> Result<(Vec<Seen>, bool, Vec<Link>)> {
    check_query(call, QUERY)?;
    let found = all_with_servers(call).await?;
    let has_uuids = call.version() >= versions::HOSTS_HAVE_UUIDS;
    let with_servers = has_uuids && with_servers(call)?;
    let pattern = call.query().get("hypervisor_hostname_pattern").filter(|_| has_uuids);
    if let Some(pattern) = pattern {
        if call.query().has("limit") || call.query().has("marker") {
            return Err(Error::bad_request(
                "Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not supported.",
            ));
        }
        return Ok((matching(found, pattern)?, with_servers, Vec::new()));
    }
    if call.version() < versions::HYPERVISOR_PAGES {
        return Ok((found, with_servers, Vec::new()));
    }
    let id = |seen: &Seen| if has_uuids { seen.host.id.to_string() } else { seen.host.number.to_string() };
    let (found, next) = cut(found, &page(call)?, id)?;
    Ok((found, with_servers, next_link(call, next.as_deref())))
}

fn with_servers<B>(call: &Call<B>) -> Result<bool> {
    match call.query().get("with_servers") {
        None => Ok(false),
        Some(text) => {
            truth(text).ok_or_else(|| Error::bad_request(format!("Unrecognized value '{text}' for with_servers")))
        }
    }
}

async fn in_detail(call: &Call, seen: Seen, with_servers: bool) -> Detailed {
    let shows_uptime = call.version() >= versions::HYPERVISORS_WITHOUT_NUMBERS && seen.is_up;
    let uptime = if shows_uptime { says_uptime(call, &seen).await.ok().flatten() } else { None };
    let servers = servers_of(call, &seen, with_servers);
    seen.detailed(servers, uptime)
}

/// Asks the host itself how long it runs.
async fn says_uptime(call: &Call, seen: &Seen) -> Result<Option<String>> {
    call.cx.state.hosts.now().get(seen.host.id)?.uptime().await
}

/// `GET /os-hypervisors`.
async fn hypervisors(call: Call) -> Result<Reply<BriefList>> {
    let (found, with_servers, links) = list(&call).await?;
    let brief = |seen: Seen| {
        let servers = servers_of(&call, &seen, with_servers);
        seen.brief(servers)
    };
    let hypervisors = found.into_iter().map(brief).collect();
    Ok(Reply::ok(BriefList { hypervisors, links }))
}

/// `GET /os-hypervisors/detail`.
async fn hypervisors_in_detail(call: Call) -> Result<Reply<DetailedList>> {
    let (found, with_servers, links) = list(&call).await?;
    // Each host may be asked for its uptime: some at once, or a cloud of many would be long in answering.
    let details = found.into_iter().map(|seen| in_detail(&call, seen, with_servers));
    let hypervisors = futures::stream::iter(details).buffered(AT_ONCE).collect().await;
    Ok(Reply::ok(DetailedList { hypervisors, links }))
}

/// `GET /os-hypervisors/{hypervisor_id}`.
async fn hypervisor(call: Call) -> Result<Reply<OneHypervisor>> {
    check_query(&call, &["with_servers"])?;
    let with_servers = call.version() >= versions::HOSTS_HAVE_UUIDS && with_servers(&call)?;
    let seen = named(&call, call.path("hypervisor_id"), Kind::Hypervisor).await?;
    Ok(Reply::ok(OneHypervisor { hypervisor: in_detail(&call, seen, with_servers).await }))
}

versioned! {
    response BriefShown { "hypervisor" => hypervisor: Brief }
}

/// `GET /os-hypervisors/{hypervisor_id}/uptime`.
async fn uptime(call: Call) -> Result<Reply<BriefShown>> {
    let seen = named(&call, call.path("hypervisor_id"), Kind::Hypervisor).await?;
    let away = || Error::bad_request(format!("Compute service of {} is unavailable at this time.", seen.host.name));
    if !seen.is_up {
        return Err(away());
    }
    let uptime = says_uptime(&call, &seen).await.map_err(|error| if error.is_transient() { away() } else { error })?;
    let uptime = uptime.ok_or_else(|| Error::NotImplemented("This host can't say its uptime.".to_owned()))?;
    let brief = seen.brief(Servers::Unasked);
    Ok(Reply::ok(BriefShown { hypervisor: Brief { uptime: Some(uptime), ..brief } }))
}

/// The hosts whose names hold the text.
fn matching(mut found: Vec<Seen>, pattern: &str) -> Result<Vec<Seen>> {
    found.retain(|seen| seen.host.name.contains(pattern));
    if found.is_empty() {
        return Err(Error::not_found(Kind::Part, format!("No hypervisor matching '{pattern}' could be found.")));
    }
    Ok(found)
}

/// `GET /os-hypervisors/{pattern}/search`, until a parameter of the list took its place.
async fn search(call: Call) -> Result<Reply<BriefList>> {
    let found = matching(all_with_servers(&call).await?, call.path("hypervisor_id"))?;
    let hypervisors = found.into_iter().map(|seen| seen.brief(Servers::Unasked)).collect();
    Ok(Reply::ok(BriefList { hypervisors, links: Vec::new() }))
}

/// `GET /os-hypervisors/{pattern}/servers`, likewise.
async fn search_with_servers(call: Call) -> Result<Reply<BriefList>> {
    let found = matching(all_with_servers(&call).await?, call.path("hypervisor_id"))?;
    let brief = |seen: Seen| {
        let servers = servers_of(&call, &seen, true);
        seen.brief(servers)
    };
    Ok(Reply::ok(BriefList { hypervisors: found.into_iter().map(brief).collect(), links: Vec::new() }))
}

versioned! {
    response Statistics {
        "count" => count: i64,
        "vcpus" => vcpus: u64,
        "memory_mb" => memory_mb: u64,
        "local_gb" => local_gb: u64,
        "vcpus_used" => vcpus_used: u64,
        "memory_mb_used" => memory_mb_used: u64,
        "local_gb_used" => local_gb_used: u64,
        "free_ram_mb" => free_ram_mb: i64,
        "free_disk_gb" => free_disk_gb: i64,
        "current_workload" => current_workload: i64,
        "running_vms" => running_vms: i64,
        "disk_available_least" => disk_available_least: i64,
    }
}
versioned! {
    response StatisticsShown { "hypervisor_statistics" => statistics: Statistics }
}

/// `GET /os-hypervisors/statistics`: the sums over enabled hosts.
async fn statistics(call: Call) -> Result<Reply<StatisticsShown>> {
    let enabled = all_with_servers(&call).await?.into_iter().filter(|seen| seen.host.enabled);
    let each: Vec<Detailed> = enabled.map(|seen| seen.detailed(Servers::Unasked, None)).collect();
    let sum = |of: fn(&Detailed) -> u64| each.iter().map(of).sum();
    let signed = |of: fn(&Detailed) -> i64| each.iter().map(of).sum();
    let statistics = Statistics {
        count: i64::try_from(each.len()).unwrap_or(0),
        vcpus: sum(|h| h.vcpus),
        memory_mb: sum(|h| h.memory_mb),
        local_gb: sum(|h| h.local_gb),
        vcpus_used: sum(|h| h.vcpus_used),
        memory_mb_used: sum(|h| h.memory_mb_used),
        local_gb_used: sum(|h| h.local_gb_used),
        free_ram_mb: signed(|h| h.free_ram_mb),
        free_disk_gb: signed(|h| h.free_disk_gb),
        current_workload: signed(|h| h.current_workload),
        running_vms: signed(|h| h.running_vms),
        disk_available_least: signed(|h| h.disk_available_least),
    };
    Ok(Reply::ok(StatisticsShown { statistics }))
}
