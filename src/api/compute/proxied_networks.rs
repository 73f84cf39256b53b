//! `os-networks` and `os-tenant-networks`: networks as compute passed them on, until clients had to ask the network service
//! itself. Two fields of the thirty mean something, as in Nova since it has no networks of its own.

use super::versions::NO_PROXIES;
use crate::api::{Call, Row};
use crate::error::{Error, Kind, Result};
use crate::http::json::Map;
use crate::http::reply::Reply;
use crate::http::table::get;
use crate::ids::NetworkId;
use crate::store::networks::{self, Network};
use crate::versioned;
use serde_json::{Value, json};

const END: u16 = NO_PROXIES.0;

pub fn rows() -> Vec<Row> {
    vec![
        get("/os-networks", index).rule("os_compute_api:os-networks:list").until(END),
        get("/os-networks/{network_id}", show).rule("os_compute_api:os-networks:show").until(END),
        get("/os-tenant-networks", own_index).rule("os_compute_api:os-tenant-networks:list").until(END),
        get("/os-tenant-networks/{network_id}", own_show).rule("os_compute_api:os-tenant-networks:show").until(END),
    ]
}

/// Fields that are always null, and those of them that only administrators see.
const EMPTY: &[&str] =
    &["cidr", "netmask", "gateway", "broadcast", "dns1", "dns2", "cidr_v6", "gateway_v6", "netmask_v6"];
const EMPTY_FOR_ADMINS: &[&str] = &[
    "created_at",
    "updated_at",
    "deleted_at",
    "deleted",
    "injected",
    "bridge",
    "vlan",
    "vpn_public_address",
    "vpn_public_port",
    "vpn_private_address",
    "dhcp_start",
    "project_id",
    "host",
    "bridge_interface",
    "multi_host",
    "priority",
    "rxtx_base",
    "mtu",
    "dhcp_server",
    "enable_dhcp",
    "share_address",
];

versioned! {
    response Networks { "networks" => networks: Vec<Map> }
}
versioned! {
    response OneNetwork { "network" => network: Map }
}

fn view(call: &Call, network: Network) -> Map {
    let is_admin = call.cx.may("context_is_admin");
    let admins: &[&str] = if is_admin { EMPTY_FOR_ADMINS } else { &[] };
    let mut fields: Map = EMPTY.iter().chain(admins).map(|name| ((*name).to_owned(), Value::Null)).collect();
    fields.insert("id".to_owned(), json!(network.id));
    fields.insert("label".to_owned(), json!(network.name));
    fields
}

async fn all(call: &Call) -> Result<Vec<Network>> {
    let reach = call.cx.reaching("get_network")?.reach;
    call.cx.state.db.read(move |tx| networks::list_visible(tx, &reach)).await
}

async fn one(call: &Call) -> Result<Network> {
    let missing = || Error::not_found(Kind::Part, "Network not found");
    let id = NetworkId::parse(call.path("network_id")).ok_or_else(missing)?;
    let reach = call.cx.reaching("get_network")?.reach;
    let found = call.cx.state.db.read(move |tx| networks::visible(tx, &reach, id)).await;
    found.map_err(|error| if error.is_not_found() { missing() } else { error })
}

/// `GET /os-networks`.
async fn index(call: Call) -> Result<Reply<Networks>> {
    let found = all(&call).await?;
    Ok(Reply::ok(Networks { networks: found.into_iter().map(|network| view(&call, network)).collect() }))
}

/// `GET /os-networks/{network_id}`.
async fn show(call: Call) -> Result<Reply<OneNetwork>> {
    let network = one(&call).await?;
    Ok(Reply::ok(OneNetwork { network: view(&call, network) }))
}

versioned! {
    response OwnNetwork {
        "id" => id: NetworkId,
        /// Nova shows Python's word for nothing.
        "cidr" => cidr: &'static str,
        "label" => label: String,
    }
}
versioned! {
    response OwnNetworks { "networks" => networks: Vec<OwnNetwork> }
}
versioned! {
    response OneOwnNetwork { "network" => network: OwnNetwork }
}

fn own_view(network: Network) -> OwnNetwork {
    OwnNetwork { id: network.id, cidr: "None", label: network.name }
}

/// `GET /os-tenant-networks`.
async fn own_index(call: Call) -> Result<Reply<OwnNetworks>> {
    let found = all(&call).await?;
    Ok(Reply::ok(OwnNetworks { networks: found.into_iter().map(own_view).collect() }))
}

/// `GET /os-tenant-networks/{network_id}`.
async fn own_show(call: Call) -> Result<Reply<OneOwnNetwork>> {
    Ok(Reply::ok(OneOwnNetwork { network: own_view(one(&call).await?) }))
}
