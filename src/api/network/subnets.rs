//! Subnets.

use super::collection::{LIST_QUERY, Made, Many, One, Resource};
use super::networks::owned as owned_network;
use super::request;
use super::subnet_request::{SubnetCreates, SubnetUpdate, SubnetUpdates};
use crate::api::{Call, Row};
use crate::cloud::address;
use crate::cloud::policy::Reach;
use crate::error::{Error, Kind, Result};
use crate::http::reply::Empty;
use crate::http::table::{delete, get, post, put};
use crate::ids::{NetworkId, ProjectId, SubnetId};
use crate::store::network_quotas::{self, Resource as Counted};
use crate::store::subnets::{self, NewSubnet, Subnet};
use crate::store::{Tx, ports};
use crate::tasks::network_change;
use crate::versioned;
use serde_json::Value;

pub fn rows() -> Vec<Row> {
    vec![
        get("/v2.0/subnets", list).rule("get_subnet").query(LIST_QUERY),
        post("/v2.0/subnets", create).rule("create_subnet"),
        get("/v2.0/subnets/{id}", show).rule("get_subnet").query(&["fields"]),
        put("/v2.0/subnets/{id}", update).rule("update_subnet"),
        delete("/v2.0/subnets/{id}", remove).rule("delete_subnet"),
    ]
}

versioned! {
    response PoolView {
        "start" => start: String,
        "end" => end: String,
    }
}

versioned! {
    response RouteView {
        "destination" => destination: String,
        "nexthop" => nexthop: String,
    }
}

versioned! {
    response SubnetView {
        "id" => id: SubnetId,
        "name" => name: String,
        "tenant_id" => tenant_id: ProjectId,
        "project_id" => project_id: ProjectId,
        "network_id" => network_id: NetworkId,
        "description" => description: String,
        "ip_version" => ip_version: u16,
        "cidr" => cidr: String,
        "gateway_ip" => gateway_ip: Option<String>,
        "enable_dhcp" => enable_dhcp: bool,
        "allocation_pools" => allocation_pools: Vec<PoolView>,
        "dns_nameservers" => dns_nameservers: Vec<String>,
        "host_routes" => host_routes: Vec<RouteView>,
        "ipv6_ra_mode" => ipv6_ra_mode: Value,
        "ipv6_address_mode" => ipv6_address_mode: Value,
        "subnetpool_id" => subnetpool_id: Value,
        "tags" => tags: Vec<String>,
        "created_at" => created_at: String,
        "updated_at" => updated_at: String,
        "revision_number" => revision_number: i64,
    }
}

impl Resource for SubnetView {
    const ONE: &'static str = "subnet";
    const MANY: &'static str = "subnets";
    const KIND: Kind = Kind::Subnet;
}

impl From<Subnet> for SubnetView {
    fn from(subnet: Subnet) -> Self {
        Self {
            id: subnet.id,
            name: subnet.name,
            tenant_id: subnet.project_id.clone(),
            project_id: subnet.project_id,
            network_id: subnet.network_id,
            description: subnet.description,
            ip_version: if subnet.cidr.addr().is_ipv4() { 4 } else { 6 },
            cidr: subnet.cidr.to_string(),
            gateway_ip: subnet.gateway.map(|gateway| gateway.to_string()),
            enable_dhcp: subnet.enable_dhcp,
            allocation_pools: subnet
                .pools
                .iter()
                .map(|pool| PoolView { start: pool.start.to_string(), end: pool.end.to_string() })
                .collect(),
            dns_nameservers: subnet.dns_servers.iter().map(ToString::to_string).collect(),
            host_routes: subnet
                .host_routes
                .iter()
                .map(|route| RouteView {
                    destination: route.destination.to_string(),
                    nexthop: route.next_hop.to_string(),
                })
                .collect(),
            ipv6_ra_mode: Value::Null,
            ipv6_address_mode: Value::Null,
            subnetpool_id: Value::Null,
            tags: subnet.tags,
            created_at: subnet.created_at.to_seconds_z(),
            updated_at: subnet.updated_at.to_seconds_z(),
            revision_number: subnet.revision,
        }
    }
}

/// `GET /v2.0/subnets`: of the caller's own networks and of shared ones.
async fn list(call: Call) -> Result<Many<SubnetView>> {
    let reach = call.cx.reach.clone();
    let found = call.cx.state.db.read(move |tx| subnets::list_visible(tx, &reach)).await?;
    let views: Vec<SubnetView> = found.into_iter().map(SubnetView::from).collect();
    Many::list(&call, &views)
}

async fn show(call: Call) -> Result<One<SubnetView>> {
    let (reach, id) = (call.cx.reach.clone(), request::id(&call, SubnetId::parse, Kind::Subnet)?);
    let subnet = call.cx.state.db.read(move |tx| subnets::visible(tx, &reach, id)).await?;
    Ok(One::show(&call, &subnet.into()))
}

/// `POST /v2.0/subnets`: one subnet or several, all or none of them.
async fn create(call: Call<SubnetCreates>) -> Result<Made<SubnetView>> {
    let Call { cx, head, body } = call;
    let (wanted, is_bulk) = request::one_or_many("subnet", body.subnet, body.subnets)?;
    let wanted: Vec<NewSubnet> = wanted.into_iter().map(|body| body.checked(&cx)).collect::<Result<_>>()?;
    let (reach, now) = (cx.reach.clone(), cx.state.clock.now());
    let made = cx
        .state
        .db
        .write(move |tx| {
            wanted.iter().map(|new| add(tx, &reach, new, &head.request_id, now)).collect::<Result<Vec<_>>>()
        })
        .await?;
    cx.state.runner.wake();
    Ok(Made::of(made.into_iter().map(SubnetView::from).collect(), is_bulk))
}

fn add(tx: &mut Tx, reach: &Reach, new: &NewSubnet, request_id: &str, now: crate::clock::Timestamp) -> Result<Subnet> {
    owned_network(tx, reach, new.network_id, "create_subnet")?;
    network_quotas::check(tx, &new.project_id, Counted::Subnet, 1)?;
    let subnet = subnets::insert(tx, new, now)?;
    network_change::tell_hosts(tx, new.network_id, Some(request_id), now)?;
    Ok(subnet)
}

/// A subnet that is the caller's to change: their own, or one in a network of theirs.
pub fn owned(tx: &mut Tx, reach: &Reach, id: SubnetId, rule: &str) -> Result<Subnet> {
    match subnets::owned(tx, reach, id) {
        Err(missing) if missing.is_not_found() => {
            let seen = subnets::visible(tx, reach, id).map_err(|_| missing)?;
            owned_network(tx, reach, seen.network_id, rule)?;
            Ok(seen)
        }
        outcome => outcome,
    }
}

async fn update(call: Call<SubnetUpdates>) -> Result<One<SubnetView>> {
    let (reach, id) = (call.cx.reach.clone(), request::id(&call, SubnetId::parse, Kind::Subnet)?);
    let wanted = call.body.subnet.clone();
    let (now, head) = (call.cx.state.clock.now(), call.head.clone());
    let subnet = call
        .cx
        .state
        .db
        .write(move |tx| {
            let before = owned(tx, &reach, id, "update_subnet")?;
            let after = changed(&before, &wanted)?;
            refuse_used_gateway(tx, &before, &after)?;
            let subnet = subnets::update(tx, &after, now)?;
            network_change::tell_hosts(tx, subnet.network_id, Some(&head.request_id), now)?;
            Ok(subnet)
        })
        .await?;
    call.cx.state.runner.wake();
    Ok(One::show(&call, &subnet.into()))
}

fn changed(before: &Subnet, wanted: &SubnetUpdate) -> Result<Subnet> {
    let mut after = before.clone();
    if let Some(name) = &wanted.name {
        after.name.clone_from(&name.0);
    }
    if let Some(description) = &wanted.description {
        after.description.clone_from(&description.0);
    }
    if let Some(enable) = wanted.enable_dhcp {
        after.enable_dhcp = enable.0;
    }
    if let Some(gateway) = wanted.gateway_ip.as_ref() {
        after.gateway = gateway.as_ref().map(|gateway| gateway.0);
    }
    if let Some(pools) = &wanted.allocation_pools {
        after.pools = pools.iter().map(Into::into).collect();
    }
    if let Some(servers) = &wanted.dns_nameservers {
        after.dns_servers = super::subnet_request::dns_servers(servers)?;
    }
    if let Some(routes) = &wanted.host_routes {
        after.host_routes = super::subnet_request::routes(routes)?;
    }
    address::check_subnet(after.cidr, after.gateway, &after.pools)?;
    Ok(after)
}

/// The gateway can't move to an address that a port has.
fn refuse_used_gateway(tx: &mut Tx, before: &Subnet, after: &Subnet) -> Result<()> {
    let Some(gateway) = after.gateway.filter(|gateway| before.gateway != Some(*gateway)) else { return Ok(()) };
    let ports = ports::of_network(tx, before.network_id)?;
    let holds = |port: &&ports::Port| {
        port.fixed_ips.iter().any(|fixed| fixed.subnet_id == before.id && fixed.ip_address == gateway)
    };
    match ports.iter().find(holds) {
        None => Ok(()),
        Some(port) => Err(Error::conflict(format!(
            "Current gateway ip {gateway} already in use by port {}. Unable to update.",
            port.id
        ))),
    }
}

/// `DELETE /v2.0/subnets/{id}`, unless a port has an address of it.
async fn remove(call: Call) -> Result<Empty> {
    let (reach, id) = (call.cx.reach.clone(), request::id(&call, SubnetId::parse, Kind::Subnet)?);
    let (now, head) = (call.cx.state.clock.now(), call.head.clone());
    call.cx
        .state
        .db
        .write(move |tx| {
            let subnet = owned(tx, &reach, id, "delete_subnet")?;
            subnets::delete(tx, &subnet)?;
            network_change::tell_hosts(tx, subnet.network_id, Some(&head.request_id), now)
        })
        .await?;
    call.cx.state.runner.wake();
    Ok(Empty::no_content())
}
