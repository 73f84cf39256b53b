//! Hosts as operators see them: hypervisors, services, availability zones.
//!
//! One host is one hypervisor and one `nova-compute` service: Nova knows them apart, so they share the host's id.

use super::common::{Link, check_query, cut, next_link, page, truth};
use super::versions;
use crate::api::{Call, Row};
use crate::cloud::server::State;
use crate::error::{Error, Kind, Result};
use crate::http::json::{Maybe, OneOf, Text, View, Words};
use crate::http::microversion::Microversion;
use crate::http::reply::Reply;
use crate::http::table::{get, put};
use crate::ids::{HostId, ServerId};
use crate::store::hosts::{self, HostRow};
use crate::store::{Tx, servers};
use crate::versioned;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const QUERY: &[&str] = &["limit", "marker", "hypervisor_hostname_pattern", "with_servers"];

pub fn rows() -> Vec<Row> {
    vec![
        get("/os-hypervisors", hypervisors).rule("os_compute_api:os-hypervisors:list").query(QUERY),
        get("/os-hypervisors/detail", hypervisors_in_detail)
            .rule("os_compute_api:os-hypervisors:list-detail")
            .query(QUERY),
        get("/os-hypervisors/statistics", statistics).rule("os_compute_api:os-hypervisors:statistics").until(88),
        get("/os-hypervisors/{hypervisor_id}", hypervisor)
            .rule("os_compute_api:os-hypervisors:show")
            .query(&["with_servers"]),
        get("/os-services", services).rule("os_compute_api:os-services:list").query(&["host", "binary"]),
        put("/os-services/{service_id}", update_service).rule("os_compute_api:os-services:update").since(53),
        get("/os-availability-zone", zones).rule("os_compute_api:os-availability-zone:list"),
        get("/os-availability-zone/detail", zones_in_detail).rule("os_compute_api:os-availability-zone:detail"),
    ]
}

/// A UUID, or the number it was shown as before.
#[derive(Debug, Clone)]
pub struct NumberOrUuid {
    number: i64,
    uuid: HostId,
}

impl View for NumberOrUuid {
    fn view<S: serde::Serializer>(&self, version: Microversion, serializer: S) -> Result<S::Ok, S::Error> {
        if version >= versions::HOSTS_HAVE_UUIDS {
            self.uuid.view(version, serializer)
        } else {
            serializer.serialize_i64(self.number)
        }
    }

    fn schema(version: Microversion) -> Value {
        if version >= versions::HOSTS_HAVE_UUIDS {
            json!({"type": "string", "format": "uuid"})
        } else {
            json!({"type": "integer"})
        }
    }

    fn boundaries(into: &mut Vec<u16>) {
        into.push(versions::HOSTS_HAVE_UUIDS.0);
    }
}

versioned! {
    response ServiceOfHost {
        "id" => id: NumberOrUuid,
        "host" => host: String,
        "disabled_reason" => disabled_reason: Option<String>,
    }
}
versioned! {
    response ServerOnHost { "uuid" => uuid: ServerId, "name" => name: String }
}
versioned! {
    response Brief {
        "id" => id: NumberOrUuid,
        "hypervisor_hostname" => hypervisor_hostname: String,
        "state" => state: &'static str,
        "status" => status: &'static str,
        "servers" since(53) optional => servers: Option<Vec<ServerOnHost>>,
    }
}
versioned! {
    response Detailed {
        "id" => id: NumberOrUuid,
        "hypervisor_hostname" => hypervisor_hostname: String,
        "state" => state: &'static str,
        "status" => status: &'static str,
        "servers" since(53) optional => servers: Option<Vec<ServerOnHost>>,
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
        /// Hosts don't say theirs yet: null, as Nova shows it then.
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

/// A host with its number and what runs there.
#[derive(Debug, Clone)]
struct Seen {
    number: i64,
    host: HostRow,
    servers: Vec<ServerOnHost>,
    running: i64,
    working: i64,
    is_up: bool,
}

async fn all<B>(call: &Call<B>) -> Result<Vec<Seen>> {
    let now = call.cx.state.clock.now();
    let read = move |tx: &mut Tx| {
        let mut seen = Vec::new();
        for (index, host) in hosts::list(tx)?.into_iter().enumerate() {
            let on = servers::expected_on(tx, host.id)?;
            seen.push(Seen {
                number: i64::try_from(index).unwrap_or(0) + 1,
                is_up: host.is_up(now),
                running: on.iter().filter(|server| server.state != State::Error).count().try_into().unwrap_or(0),
                working: on.iter().filter(|server| server.task.is_some()).count().try_into().unwrap_or(0),
                servers: on.into_iter().map(|server| ServerOnHost { uuid: server.id, name: server.name }).collect(),
                host,
            });
        }
        Ok(seen)
    };
    call.cx.state.db.read(read).await
}

impl Seen {
    fn id(&self) -> NumberOrUuid {
        NumberOrUuid { number: self.number, uuid: self.host.id }
    }

    const fn state(&self) -> &'static str {
        if self.is_up { "up" } else { "down" }
    }

    const fn status(&self) -> &'static str {
        if self.host.enabled { "enabled" } else { "disabled" }
    }

    fn brief(self, with_servers: bool) -> Brief {
        Brief {
            id: self.id(),
            state: self.state(),
            status: self.status(),
            hypervisor_hostname: self.host.name,
            servers: with_servers.then_some(self.servers),
        }
    }

    fn detailed(self, with_servers: bool) -> Detailed {
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
            host_ip: "127.0.0.1".to_owned(),
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
            current_workload: self.working,
            running_vms: self.running,
            disk_available_least: i64::try_from(free_gb).unwrap_or(0),
            uptime: None,
            servers: with_servers.then_some(self.servers),
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
    let mut found = all(call).await?;
    let has_uuids = call.version() >= versions::HOSTS_HAVE_UUIDS;
    let with_servers = has_uuids && with_servers(call)?;
    let pattern = call.query().get("hypervisor_hostname_pattern").filter(|_| has_uuids);
    if let Some(pattern) = pattern {
        if call.query().has("limit") || call.query().has("marker") {
            return Err(Error::bad_request(
                "Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not supported.",
            ));
        }
        found.retain(|seen| seen.host.name.contains(pattern));
        if found.is_empty() {
            return Err(Error::not_found(Kind::Part, format!("No hypervisor matching '{pattern}' could be found.")));
        }
        return Ok((found, with_servers, Vec::new()));
    }
    if call.version() < versions::HYPERVISOR_PAGES {
        return Ok((found, with_servers, Vec::new()));
    }
    let id = |seen: &Seen| if has_uuids { seen.host.id.to_string() } else { seen.number.to_string() };
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

/// `GET /os-hypervisors`.
async fn hypervisors(call: Call) -> Result<Reply<BriefList>> {
    let (found, with_servers, links) = list(&call).await?;
    let hypervisors = found.into_iter().map(|seen| seen.brief(with_servers)).collect();
    Ok(Reply::ok(BriefList { hypervisors, links }))
}

/// `GET /os-hypervisors/detail`.
async fn hypervisors_in_detail(call: Call) -> Result<Reply<DetailedList>> {
    let (found, with_servers, links) = list(&call).await?;
    let hypervisors = found.into_iter().map(|seen| seen.detailed(with_servers)).collect();
    Ok(Reply::ok(DetailedList { hypervisors, links }))
}

/// The host that a path names: by its UUID, or by its number as long as that was its id.
async fn named<B>(call: &Call<B>, text: &str, kind: Kind) -> Result<Seen> {
    let has_uuids = call.version() >= versions::HOSTS_HAVE_UUIDS;
    if has_uuids && HostId::parse(text).is_none() {
        return Err(Error::bad_request(format!("Invalid uuid {text}")));
    }
    let is_it =
        |seen: &Seen| if has_uuids { seen.host.id.to_string() == text } else { seen.number.to_string() == text };
    all(call).await?.into_iter().find(is_it).ok_or_else(|| Error::not_found(kind, text))
}

/// `GET /os-hypervisors/{hypervisor_id}`.
async fn hypervisor(call: Call) -> Result<Reply<OneHypervisor>> {
    check_query(&call, &["with_servers"])?;
    let with_servers = call.version() >= versions::HOSTS_HAVE_UUIDS && with_servers(&call)?;
    let seen = named(&call, call.path("hypervisor_id"), Kind::Hypervisor).await?;
    Ok(Reply::ok(OneHypervisor { hypervisor: seen.detailed(with_servers) }))
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
    let enabled = all(&call).await?.into_iter().filter(|seen| seen.host.enabled);
    let each: Vec<Detailed> = enabled.map(|seen| seen.detailed(false)).collect();
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

versioned! {
    response ServiceView {
        "id" => id: NumberOrUuid,
        "binary" => binary: &'static str,
        "host" => host: String,
        "zone" => zone: String,
        "status" => status: &'static str,
        "state" => state: &'static str,
        "updated_at" => updated_at: Option<String>,
        "disabled_reason" => disabled_reason: Option<String>,
        "forced_down" since(11) => forced_down: bool,
    }
}
versioned! {
    response Services { "services" => services: Vec<ServiceView> }
}
versioned! {
    response OneService { "service" => service: ServiceView }
}

const BINARY: &str = "nova-compute";

fn service(seen: Seen) -> ServiceView {
    ServiceView {
        id: seen.id(),
        binary: BINARY,
        status: seen.status(),
        state: seen.state(),
        updated_at: seen.host.last_seen_at.map(crate::clock::Timestamp::to_micros_naive),
        forced_down: seen.host.forced_down,
        host: seen.host.name,
        zone: seen.host.zone,
        disabled_reason: seen.host.disabled_reason,
    }
}

/// `GET /os-services`.
async fn services(call: Call) -> Result<Reply<Services>> {
    check_query(&call, &["host", "binary"])?;
    let mut found = all(&call).await?;
    if let Some(host) = call.query().get("host").filter(|text| !text.is_empty()) {
        found.retain(|seen| seen.host.name == host);
    }
    if call.query().get("binary").is_some_and(|binary| !binary.is_empty() && binary != BINARY) {
        found.clear();
    }
    Ok(Reply::ok(Services { services: found.into_iter().map(service).collect() }))
}

#[derive(Debug, Clone)]
pub struct Statuses;

impl Words for Statuses {
    const WORDS: &'static [&'static str] = &["enabled", "disabled"];
}

versioned! {
    request ServiceUpdate strict {
        "status" => status: Maybe<OneOf<Statuses>>,
        "disabled_reason" => disabled_reason: Maybe<Text<1, 255>>,
        "forced_down" => forced_down: Maybe<crate::http::json::FlexibleBool>,
    }
}

/// `PUT /os-services/{service_id}`: lets new servers onto a host or keeps them away, or says that it is down.
async fn update_service(call: Call<ServiceUpdate>) -> Result<Reply<OneService>> {
    let seen = named(&call, call.path("service_id"), Kind::ComputeService).await?;
    let enabled = call.body.status.as_ref().map(|status| status.0 == "enabled");
    let reason = call.body.disabled_reason.as_ref().map(|text| text.0.clone());
    let forced_down = call.body.forced_down.as_ref().map(|truth| truth.0);
    if enabled.is_none() && forced_down.is_none() {
        return Err(Error::bad_request(
            "No updates were requested. Fields 'status' or 'forced_down' should be specified.",
        ));
    }
    if enabled == Some(true) && reason.is_some() {
        return Err(Error::bad_request("Specifying 'disabled_reason' when status is 'enabled' is invalid."));
    }
    let (id, now) = (seen.host.id, call.cx.state.clock.now());
    let write = move |tx: &mut Tx| hosts::set_service(tx, id, enabled, reason.as_deref(), forced_down, now);
    call.cx.state.db.write(write).await?;
    let seen = named(&call, call.path("service_id"), Kind::ComputeService).await?;
    Ok(Reply::ok(OneService { service: service(seen) }))
}

versioned! {
    response ZoneState { "available" => available: bool }
}
versioned! {
    response ServiceInZone {
        "available" => available: bool,
        "active" => active: bool,
        "updated_at" => updated_at: Option<String>,
    }
}
versioned! {
    response Zone {
        "zoneName" => name: String,
        "zoneState" => state: ZoneState,
        "hosts" => hosts: Option<BTreeMap<String, BTreeMap<String, ServiceInZone>>>,
    }
}
versioned! {
    response Zones { "availabilityZoneInfo" => zones: Vec<Zone> }
}

async fn by_zone<B>(call: &Call<B>) -> Result<BTreeMap<String, Vec<Seen>>> {
    let mut zones: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
    for seen in all(call).await? {
        zones.entry(seen.host.zone.clone()).or_default().push(seen);
    }
    Ok(zones)
}

/// `GET /os-availability-zone`.
async fn zones(call: Call) -> Result<Reply<Zones>> {
    let zone = |(name, hosts): (String, Vec<Seen>)| Zone {
        name,
        state: ZoneState { available: hosts.iter().any(|seen| seen.host.enabled) },
        hosts: None,
    };
    Ok(Reply::ok(Zones { zones: by_zone(&call).await?.into_iter().map(zone).collect() }))
}

/// `GET /os-availability-zone/detail`.
async fn zones_in_detail(call: Call) -> Result<Reply<Zones>> {
    let zone = |(name, hosts): (String, Vec<Seen>)| {
        let available = hosts.iter().any(|seen| seen.host.enabled);
        let service = |seen: Seen| {
            let state = ServiceInZone {
                available: seen.is_up,
                active: seen.host.enabled,
                updated_at: seen.host.last_seen_at.map(crate::clock::Timestamp::to_micros_naive),
            };
            (seen.host.name, BTreeMap::from([(BINARY.to_owned(), state)]))
        };
        let hosts = hosts.into_iter().filter(|seen| seen.host.enabled).map(service).collect();
        Zone { name, state: ZoneState { available }, hosts: available.then_some(hosts) }
    };
    Ok(Reply::ok(Zones { zones: by_zone(&call).await?.into_iter().map(zone).collect() }))
}
