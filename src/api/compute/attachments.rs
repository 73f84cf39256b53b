//! What a server is connected to: addresses, interfaces, and (none yet) volumes and security groups.

use super::common::server_id;
use super::server_view::{AddressView, by_network};
use super::servers::named;
use crate::api::{Call, Row};
use crate::error::{Error, Kind, Result};
use crate::http::reply::Reply;
use crate::http::table::get;
use crate::ids::{NetworkId, PortId, SubnetId};
use crate::store::ports::Port;
use crate::store::{Tx, server_ports, servers};
use crate::versioned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;

pub fn rows() -> Vec<Row> {
    vec![
        get("/servers/{server_id}/ips", addresses).rule("os_compute_api:ips:index"),
        get("/servers/{server_id}/ips/{network}", addresses_in).rule("os_compute_api:ips:show"),
        get("/servers/{server_id}/os-interface", interfaces).rule("os_compute_api:os-attach-interfaces:list"),
        get("/servers/{server_id}/os-interface/{port_id}", interface).rule("os_compute_api:os-attach-interfaces:show"),
        get("/servers/{server_id}/os-volume_attachments", volumes).rule("os_compute_api:os-volumes-attachments:index"),
        get("/servers/{server_id}/os-security-groups", security_groups).rule("os_compute_api:os-security-groups:list"),
    ]
}

async fn ports<B>(call: &Call<B>) -> Result<Vec<Port>> {
    let (reach, id) = (call.cx.reach.clone(), server_id(call)?);
    let read = move |tx: &mut Tx| {
        servers::get(tx, &reach, id)?;
        server_ports::of_server(tx, id)
    };
    call.cx.state.db.read(read).await
}

versioned! {
    response Addresses { "addresses" => addresses: BTreeMap<String, Vec<AddressView>> }
}

/// `GET /servers/{server_id}/ips`.
async fn addresses(call: Call) -> Result<Reply<Addresses>> {
    Ok(Reply::ok(Addresses { addresses: by_network(&ports(&call).await?, false) }))
}

/// `GET /servers/{server_id}/ips/{network}`.
async fn addresses_in(call: Call) -> Result<Reply<BTreeMap<String, Vec<AddressView>>>> {
    let mut all = by_network(&ports(&call).await?, false);
    all.retain(|network, _| network == call.path("network"));
    if all.is_empty() {
        return Err(Error::not_found(Kind::Part, "Instance is not a member of specified network"));
    }
    Ok(Reply::ok(all))
}

versioned! {
    response FixedIpView { "subnet_id" => subnet_id: SubnetId, "ip_address" => ip_address: IpAddr }
}
versioned! {
    response InterfaceView {
        "port_id" => port_id: PortId,
        "net_id" => net_id: NetworkId,
        "mac_addr" => mac_addr: String,
        "port_state" => port_state: String,
        "fixed_ips" => fixed_ips: Vec<FixedIpView>,
        /// Devices can't be tagged yet, so none is.
        "tag" since(70) => tag: Option<String>,
    }
}
versioned! {
    response Interfaces { "interfaceAttachments" => interfaces: Vec<InterfaceView> }
}
versioned! {
    response Interface { "interfaceAttachment" => interface: InterfaceView }
}

fn view(port: Port) -> InterfaceView {
    let fixed =
        |fixed: &crate::store::ports::FixedIp| FixedIpView { subnet_id: fixed.subnet_id, ip_address: fixed.ip_address };
    InterfaceView {
        port_id: port.id,
        net_id: port.network_id,
        mac_addr: port.mac_address,
        port_state: port.status,
        fixed_ips: port.fixed_ips.iter().map(fixed).collect(),
        tag: None,
    }
}

/// `GET /servers/{server_id}/os-interface`.
async fn interfaces(call: Call) -> Result<Reply<Interfaces>> {
    let interfaces = ports(&call).await?.into_iter().map(view).collect();
    Ok(Reply::ok(Interfaces { interfaces }))
}

/// `GET /servers/{server_id}/os-interface/{port_id}`.
async fn interface(call: Call) -> Result<Reply<Interface>> {
    let (server, wanted) = (server_id(&call)?, call.path("port_id"));
    let found = ports(&call).await?.into_iter().find(|port| port.id.to_string() == wanted);
    let port = found.ok_or_else(|| {
        Error::not_found(Kind::Part, format!("Instance {server} does not have a port with id {wanted}"))
    })?;
    Ok(Reply::ok(Interface { interface: view(port) }))
}

versioned! {
    response Volumes { "volumeAttachments" => volumes: Vec<Value> }
}

/// `GET /servers/{server_id}/os-volume_attachments`: servers have no volumes, so the list is empty, and true.
async fn volumes(call: Call) -> Result<Reply<Volumes>> {
    named(&call).await?;
    Ok(Reply::ok(Volumes { volumes: Vec::new() }))
}

versioned! {
    response SecurityGroups { "security_groups" => security_groups: Vec<Value> }
}

/// `GET /servers/{server_id}/os-security-groups`: networks have no port security yet, so no server is in a group.
async fn security_groups(call: Call) -> Result<Reply<SecurityGroups>> {
    named(&call).await?;
    Ok(Reply::ok(SecurityGroups { security_groups: Vec::new() }))
}
