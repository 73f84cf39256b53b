//! Availability zones: what tenants choose a place by. Aggregates make them; a host that none of those puts elsewhere is in
//! the zone that every cloud has.

use super::hosts::{BINARY, Seen, all};
use super::inner_services::{self, InnerService};
use crate::api::{Call, Row};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::http::reply::Reply;
use crate::http::table::get;
use crate::versioned;
use std::collections::BTreeMap;

pub fn rows() -> Vec<Row> {
    vec![
        get("/os-availability-zone", zones).rule("os_compute_api:os-availability-zone:list"),
        get("/os-availability-zone/detail", zones_in_detail).rule("os_compute_api:os-availability-zone:detail"),
    ]
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

/// Hosts by their zones: those of the zones that can take servers, then the others.
async fn by_zone<B>(call: &Call<B>) -> Result<Vec<(String, Vec<Seen>)>> {
    let mut zones: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
    for seen in all(call).await? {
        zones.entry(seen.host.zone.clone()).or_default().push(seen);
    }
    let mut zones: Vec<_> = zones.into_iter().collect();
    zones.sort_by_key(|(_, hosts)| !hosts.iter().any(|seen| seen.host.enabled));
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

/// The zone that servers can't be put into: that of the process's own services.
fn internal(call: &Call) -> Zone {
    let now = call.cx.state.clock.now().to_micros_naive();
    let mut hosts: BTreeMap<String, BTreeMap<String, ServiceInZone>> = BTreeMap::new();
    for InnerService { host, binary, .. } in inner_services::all(call) {
        let state = ServiceInZone { available: true, active: true, updated_at: Some(now.clone()) };
        hosts.entry(host).or_default().insert(binary.to_owned(), state);
    }
    Zone { name: inner_services::ZONE.to_owned(), state: ZoneState { available: true }, hosts: Some(hosts) }
}

/// `GET /os-availability-zone/detail`.
async fn zones_in_detail(call: Call) -> Result<Reply<Zones>> {
    let zone = |(name, hosts): (String, Vec<Seen>)| {
        let available = hosts.iter().any(|seen| seen.host.enabled);
        let service = |seen: Seen| {
            let state = ServiceInZone {
                available: seen.is_up,
                active: seen.host.enabled,
                updated_at: seen.host.last_seen_at.map(Timestamp::to_micros_naive),
            };
            (seen.host.name, BTreeMap::from([(BINARY.to_owned(), state)]))
        };
        let hosts = hosts.into_iter().filter(|seen| seen.host.enabled).map(service).collect();
        Zone { name, state: ZoneState { available }, hosts: available.then_some(hosts) }
    };
    let of_hosts = by_zone(&call).await?.into_iter().map(zone);
    Ok(Reply::ok(Zones { zones: of_hosts.chain([internal(&call)]).collect() }))
}
