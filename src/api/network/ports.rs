//! Ports.

use super::collection::{LIST_QUERY, Made, Many, One, Resource};
use super::port_request::{self, PortCreates, PortUpdate, PortUpdates, WantedPort};
use super::request;
use crate::api::{Call, Context, Row};
use crate::cloud::policy::Reach;
use crate::error::{Error, Kind, Result};
use crate::http::json::Map;
use crate::http::query::Query;
use crate::http::reply::Empty;
use crate::http::table::{delete, get, post, put};
use crate::ids::{NetworkId, PortId, ProjectId, SubnetId};
use crate::store::network_quotas::{self, Resource as Counted};
use crate::store::networks;
use crate::store::ports::{self, Only, Port};
use crate::store::{Tx, allocations::Addresses};
use crate::versioned;
use serde_json::Value;

pub fn rows() -> Vec<Row> {
    vec![
        get("/v2.0/ports", list).rule("get_port").query(LIST_QUERY),
        post("/v2.0/ports", create).rule("create_port"),
        get("/v2.0/ports/{id}", show).rule("get_port").query(&["fields"]),
        put("/v2.0/ports/{id}", update).rule("update_port"),
        delete("/v2.0/ports/{id}", remove).rule("delete_port"),
    ]
}

versioned! {
    response FixedIpView {
        "subnet_id" => subnet_id: SubnetId,
        "ip_address" => ip_address: String,
    }
}

versioned! {
    response PortView {
        "id" => id: PortId,
        "name" => name: String,
        "network_id" => network_id: NetworkId,
        "tenant_id" => tenant_id: ProjectId,
        "project_id" => project_id: ProjectId,
        "description" => description: String,
        "mac_address" => mac_address: String,
        "admin_state_up" => admin_state_up: bool,
        "status" => status: String,
        "device_id" => device_id: String,
        "device_owner" => device_owner: String,
        "fixed_ips" => fixed_ips: Vec<FixedIpView>,
        "port_security_enabled" => port_security_enabled: bool,
        "security_groups" => security_groups: Vec<Value>,
        "binding:vnic_type" => vnic_type: &'static str,
        /// From here to `vif_details`: for administrators.
        "binding:host_id" optional => host: Option<String>,
        "binding:profile" optional => profile: Option<Map>,
        "binding:vif_type" optional => vif_type: Option<&'static str>,
        "binding:vif_details" optional => vif_details: Option<Map>,
        "tags" => tags: Vec<String>,
        "created_at" => created_at: String,
        "updated_at" => updated_at: String,
        "revision_number" => revision_number: i64,
    }
}

impl Resource for PortView {
    const ONE: &'static str = "port";
    const MANY: &'static str = "ports";
    const KIND: Kind = Kind::Port;
}

impl PortView {
    fn new(cx: &Context, port: Port) -> Self {
        let is_bound = port.host_id.is_some();
        let shown = |field: &str| cx.may(&format!("get_port:binding:{field}"));
        Self {
            id: port.id,
            name: port.name,
            network_id: port.network_id,
            tenant_id: port.project_id.clone(),
            project_id: port.project_id,
            description: port.description,
            mac_address: port.mac_address,
            admin_state_up: true,
            status: port.status,
            device_id: port.device_id,
            device_owner: port.device_owner,
            fixed_ips: port
                .fixed_ips
                .iter()
                .map(|fixed| FixedIpView { subnet_id: fixed.subnet_id, ip_address: fixed.ip_address.to_string() })
                .collect(),
            port_security_enabled: false,
            security_groups: Vec::new(),
            vnic_type: "normal",
            host: shown("host_id").then(|| port.host_name.unwrap_or_default()),
            profile: shown("profile").then(Map::new),
            vif_type: shown("vif_type").then_some(if is_bound { "bridge" } else { "unbound" }),
            vif_details: shown("vif_details").then(Map::new),
            tags: port.tags,
            created_at: port.created_at.to_seconds_z(),
            updated_at: port.updated_at.to_seconds_z(),
            revision_number: port.revision,
        }
    }
}

/// What the store itself can narrow the list to: an attribute of which one value is asked for.
fn only(query: &Query) -> Only {
    let single = |name: &str| {
        let mut all = query.all(name);
        all.next().filter(|_| all.next().is_none()).map(str::to_owned)
    };
    Only { id: single("id"), network_id: single("network_id"), device_id: single("device_id") }
}

/// `GET /v2.0/ports`: the caller's own, and those in the caller's networks.
async fn list(call: Call) -> Result<Many<PortView>> {
    let (reach, only) = (call.cx.reach.clone(), only(call.query()));
    let found = call.cx.state.db.read(move |tx| ports::list_visible(tx, &reach, &only)).await?;
    let views: Vec<PortView> = found.into_iter().map(|port| PortView::new(&call.cx, port)).collect();
    Many::list(&call, &views)
}

async fn show(call: Call) -> Result<One<PortView>> {
    let (reach, id) = (call.cx.reach.clone(), request::id(&call, PortId::parse, Kind::Port)?);
    let port = call.cx.state.db.read(move |tx| ports::visible(tx, &reach, id)).await?;
    Ok(One::show(&call, &PortView::new(&call.cx, port)))
}

/// `POST /v2.0/ports`: one port or several, all or none of them.
async fn create(call: Call<PortCreates>) -> Result<Made<PortView>> {
    let Call { cx, body, .. } = call;
    let (wanted, is_bulk) = request::one_or_many("port", body.port, body.ports)?;
    let wanted: Vec<WantedPort> = wanted.into_iter().map(|body| body.checked(&cx)).collect::<Result<_>>()?;
    let within = cx.clone();
    let made = cx
        .state
        .db
        .write(move |tx| wanted.iter().map(|wanted| add(tx, &within, wanted)).collect::<Result<Vec<_>>>())
        .await?;
    Ok(Made::of(made.into_iter().map(|port| PortView::new(&cx, port)).collect(), is_bulk))
}

fn add(tx: &mut Tx, cx: &Context, wanted: &WantedPort) -> Result<Port> {
    let (new, now) = (&wanted.new, cx.state.clock.now());
    let network = networks::visible(tx, &cx.reach, wanted.network_id)?;
    port_request::refuse_guests_wishes(
        cx,
        "create_port",
        &network,
        &new.project_id,
        new.mac_address.as_ref(),
        &new.device_owner,
        &new.addresses,
    )?;
    network_quotas::check(tx, &new.project_id, Counted::Port, 1)?;
    let mut port = ports::insert(tx, new, now)?;
    if !wanted.tags.is_empty() {
        port.tags.clone_from(&wanted.tags);
        port = ports::update(tx, &port, None, now)?;
    }
    Ok(port)
}

/// A port that is the caller's to change.
pub fn owned(tx: &mut Tx, reach: &Reach, id: PortId, rule: &str) -> Result<Port> {
    ports::owned(tx, reach, id)
        .map_err(|missing| request::refused_or_missing(missing, ports::visible(tx, reach, id), rule))
}

async fn update(call: Call<PortUpdates>) -> Result<One<PortView>> {
    let id = request::id(&call, PortId::parse, Kind::Port)?;
    let wanted = call.body.port.clone();
    request::refuse_down(wanted.admin_state_up.map(|up| up.0))?;
    request::refuse_port_security(wanted.port_security_enabled.map(|enabled| enabled.0))?;
    port_request::refuse_groups(wanted.security_groups.as_ref())?;
    let (kind, host, profile) = (wanted.vnic_type.as_ref(), wanted.host_id.as_ref(), wanted.profile.as_ref());
    port_request::refuse_binding(&call.cx, "update_port", kind, host, profile)?;
    let cx = call.cx.clone();
    let port = call.cx.state.db.write(move |tx| change(tx, &cx, id, &wanted)).await?;
    Ok(One::show(&call, &PortView::new(&call.cx, port)))
}

fn change(tx: &mut Tx, cx: &Context, id: PortId, wanted: &PortUpdate) -> Result<Port> {
    let before = owned(tx, &cx.reach, id, "update_port")?;
    let mut after = before.clone();
    if let Some(name) = &wanted.name {
        after.name.clone_from(&name.0);
    }
    if let Some(description) = &wanted.description {
        after.description.clone_from(&description.0);
    }
    if let Some(device) = &wanted.device_id {
        after.device_id.clone_from(&device.0);
    }
    if let Some(owner) = &wanted.device_owner {
        after.device_owner.clone_from(&owner.0);
    }
    if let Some(mac) = &wanted.mac_address {
        after.mac_address = port_request::mac(mac)?;
    }
    let addresses = wanted.fixed_ips.as_deref().map(|fixed| port_request::addresses(Some(fixed))).transpose()?;
    let addresses = addresses.filter(|addresses| !is_what_it_has(&before, addresses));
    let new_mac = (after.mac_address != before.mac_address).then_some(&after.mac_address);
    let new_owner = if after.device_owner == before.device_owner { "" } else { after.device_owner.as_str() };
    if before.server_id.is_some()
        && (addresses.is_some()
            || new_mac.is_some()
            || after.device_id != before.device_id
            || after.device_owner != before.device_owner)
    {
        return Err(in_use(&before));
    }
    let network = networks::of_id(tx, before.network_id)?;
    let asked = addresses.as_ref().unwrap_or(&Addresses::Any);
    port_request::refuse_guests_wishes(cx, "update_port", &network, &before.project_id, new_mac, new_owner, asked)?;
    ports::update(tx, &after, addresses.as_ref(), cx.state.clock.now())
}

/// Does the port have exactly these addresses already?
fn is_what_it_has(port: &Port, wanted: &Addresses) -> bool {
    let Addresses::These(wishes) = wanted else { return false };
    wishes.len() == port.fixed_ips.len()
        && wishes.iter().all(|wish| {
            port.fixed_ips.iter().any(|fixed| {
                wish.ip_address == Some(fixed.ip_address) && wish.subnet_id.is_none_or(|id| id == fixed.subnet_id)
            })
        })
}

fn in_use(port: &Port) -> Error {
    Error::conflict(format!(
        "Unable to complete operation on port {} for network {}. Port already has an attached device {}.",
        port.id, port.network_id, port.device_id
    ))
}

/// `DELETE /v2.0/ports/{id}`, unless it is a server's interface: that is the server's to give up.
async fn remove(call: Call) -> Result<Empty> {
    let (reach, id) = (call.cx.reach.clone(), request::id(&call, PortId::parse, Kind::Port)?);
    call.cx
        .state
        .db
        .write(move |tx| {
            let port = owned(tx, &reach, id, "delete_port")?;
            if port.server_id.is_some() {
                return Err(in_use(&port));
            }
            ports::delete(tx, &port)
        })
        .await?;
    Ok(Empty::no_content())
}
