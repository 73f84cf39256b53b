//! `os-hosts`: hosts by name, as operators asked for them until hypervisors and services took its place.

use super::hosts::{Seen, all, look};
use super::inner_services::{self, InnerService};
use crate::api::{Call, Row};
use crate::error::{Error, Kind, Result};
use crate::http::json::{Maybe, OneOf, Words};
use crate::http::reply::Reply;
use crate::http::table::{get, put};
use crate::store::Tx;
use crate::store::hosts::{self, Occupant};
use crate::versioned;
use serde_json::Value;
use std::collections::BTreeMap;

/// The version that has them no more.
const END: u16 = super::versions::NO_OLDER_HOSTS.0;

pub fn rows() -> Vec<Row> {
    vec![
        get("/os-hosts", index).rule("os_compute_api:os-hosts:list").query(&["zone"]).until(END),
        get("/os-hosts/{host_name}", show).rule("os_compute_api:os-hosts:show").until(END),
        put("/os-hosts/{host_name}", update).rule("os_compute_api:os-hosts:update").until(END),
        get("/os-hosts/{host_name}/startup", power).rule("os_compute_api:os-hosts:start").until(END),
        get("/os-hosts/{host_name}/shutdown", power).rule("os_compute_api:os-hosts:shutdown").until(END),
        get("/os-hosts/{host_name}/reboot", power).rule("os_compute_api:os-hosts:reboot").until(END),
    ]
}

versioned! {
    response HostView { "host_name" => host_name: String, "service" => service: &'static str, "zone" => zone: String }
}
versioned! {
    response Hosts { "hosts" => hosts: Vec<HostView> }
}

/// `GET /os-hosts`: those that take new servers, and where the process's own services are.
async fn index(call: Call) -> Result<Reply<Hosts>> {
    let zone = call.query().get("zone").filter(|zone| !zone.is_empty());
    let is_meant = |seen: &Seen| seen.host.enabled && zone.is_none_or(|zone| seen.host.zone == zone);
    let found = all(&call).await?.into_iter().filter(is_meant);
    let hosts = found.map(|seen| HostView { host_name: seen.host.name, service: "compute", zone: seen.host.zone });
    let inner = |service: InnerService| HostView {
        host_name: service.host,
        service: service.topic,
        zone: inner_services::ZONE.to_owned(),
    };
    let of_process = inner_services::all(&call).into_iter().map(inner);
    let of_process = of_process.filter(|view| zone.is_none_or(|zone| view.zone == zone));
    Ok(Reply::ok(Hosts { hosts: hosts.chain(of_process).collect() }))
}

versioned! {
    response Resource {
        "host" => host: String,
        "project" => project: String,
        "cpu" => cpu: u64,
        "memory_mb" => memory_mb: u64,
        "disk_gb" => disk_gb: u64,
    }
}
versioned! {
    response Share { "resource" => resource: Resource }
}
versioned! {
    response HostShown { "host" => host: Vec<Share> }
}

async fn named<B>(call: &Call<B>) -> Result<Seen> {
    let name = call.path("host_name").to_owned();
    let missing = Error::not_found(Kind::Part, format!("Host '{name}' is not mapped to any cell"));
    let find = move |tx: &mut Tx| match hosts::named(tx, &name) {
        Err(error) if error.is_not_found() => Ok(None),
        found => found.map(Some),
    };
    look(call, find).await?.ok_or(missing)
}

/// What servers hold together.
fn sum<'s>(host: &str, project: &str, servers: impl Iterator<Item = &'s Occupant>) -> Share {
    let mut sum = Resource { host: host.to_owned(), project: project.to_owned(), cpu: 0, memory_mb: 0, disk_gb: 0 };
    for server in servers {
        sum.cpu += server.size.vcpus;
        sum.memory_mb += server.size.memory_mib;
        sum.disk_gb += server.size.disk_gib;
    }
    Share { resource: sum }
}

/// `GET /os-hosts/{host_name}`: what it has, what is taken, and by which projects.
async fn show(call: Call) -> Result<Reply<HostShown>> {
    let seen = named(&call).await?;
    let name = seen.host.name.as_str();
    let number = |fact: &str| seen.host.facts[fact].as_u64().unwrap_or(0);
    let share = |project: &str, cpu, memory_mb, disk_gb| Share {
        resource: Resource { host: name.to_owned(), project: project.to_owned(), cpu, memory_mb, disk_gb },
    };
    let used = seen.host.claimed;
    let mut host = vec![
        share("(total)", number("vcpus"), number("memory_mib"), number("disk_total") >> 30),
        share("(used_now)", used.vcpus, used.memory_mib, used.disk_gib),
        sum(name, "(used_max)", seen.on_it.iter()),
    ];
    let mut by_project: BTreeMap<&str, Vec<&Occupant>> = BTreeMap::new();
    for server in &seen.on_it {
        by_project.entry(server.project_id.as_str()).or_default().push(server);
    }
    host.extend(by_project.into_iter().map(|(project, servers)| sum(name, project, servers.into_iter())));
    Ok(Reply::ok(HostShown { host }))
}

#[derive(Debug, Clone)]
pub struct Switches;

impl Words for Switches {
    const WORDS: &'static [&'static str] = &["enable", "disable", "Enable", "Disable", "ENABLE", "DISABLE"];
}

versioned! {
    request HostUpdate strict {
        "status" => status: Maybe<OneOf<Switches>>,
        "maintenance_mode" => maintenance_mode: Maybe<OneOf<Switches>>,
    }
}
versioned! {
    response HostUpdated { "host" => host: String, "status" => status: &'static str }
}

/// `PUT /os-hosts/{host_name}`: lets new servers onto a host, or keeps them away.
async fn update(call: Call<HostUpdate>) -> Result<Reply<HostUpdated>> {
    let (status, maintenance) = (call.body.status.as_ref(), call.body.maintenance_mode.as_ref());
    if status.is_none() && maintenance.is_none() {
        return Err(Error::bad_request(
            "Invalid input for field/attribute None. Value: {}. {} is not valid under any of the given schemas",
        ));
    }
    let seen = named(&call).await?;
    let Some(status) = status.filter(|_| maintenance.is_none()) else { return Err(unsupported()) };
    let enabled = status.0.eq_ignore_ascii_case("enable");
    let (id, now) = (seen.host.id, call.cx.state.clock.now());
    call.cx.state.db.write(move |tx| hosts::set_service(tx, id, Some(enabled), None, None, now)).await?;
    Ok(Reply::ok(HostUpdated { host: seen.host.name, status: if enabled { "enabled" } else { "disabled" } }))
}

/// As Nova on libvirt: hosts are not switched on and off from here.
fn unsupported() -> Error {
    Error::NotImplemented("The requested functionality is not supported.".to_owned())
}

/// `GET /os-hosts/{host_name}/{startup|shutdown|reboot}`.
async fn power(call: Call) -> Result<Reply<Value>> {
    named(&call).await?;
    Err(unsupported())
}
