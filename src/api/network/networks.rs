//! Networks.

use super::collection::{LIST_QUERY, Made, Many, One, Resource};
use super::provider::{self, Asked};
use super::request;
use crate::api::{Call, Context, Row};
use crate::cloud::policy::Reach;
use crate::error::{Error, Kind, Result};
use crate::http::json::{FlexibleBool, Text};
use crate::http::reply::Empty;
use crate::http::table::{delete, get, post, put};
use crate::ids::{NetworkId, ProjectId, SubnetId};
use crate::store::network_quotas::{self, Resource as Counted};
use crate::store::networks::{self, Network, NewNetwork};
use crate::store::{Tx, ports, subnets};
use crate::tasks::network_change;
use crate::versioned;
use std::collections::HashMap;

pub fn rows() -> Vec<Row> {
    vec![
        get("/v2.0/networks", list).rule("get_network").query(LIST_QUERY),
        post("/v2.0/networks", create).rule("create_network"),
        get("/v2.0/networks/{id}", show).rule("get_network").query(&["fields"]),
        put("/v2.0/networks/{id}", update).rule("update_network"),
        delete("/v2.0/networks/{id}", remove).rule("delete_network"),
    ]
}

/// Every host must take whole packets of this size.
const SMALLEST_MTU: i64 = 576;

versioned! {
    response NetworkView {
        "id" => id: NetworkId,
        "name" => name: String,
        "tenant_id" => tenant_id: ProjectId,
        "project_id" => project_id: ProjectId,
        "description" => description: String,
        "admin_state_up" => admin_state_up: bool,
        "status" => status: &'static str,
        "mtu" => mtu: u16,
        /// From here to `segmentation_id`: for administrators.
        "provider:network_type" optional => network_type: Option<String>,
        "provider:physical_network" optional => physical_network: Option<Option<String>>,
        "provider:segmentation_id" optional => segmentation_id: Option<Option<u32>>,
        "shared" => shared: bool,
        "router:external" => router_external: bool,
        "port_security_enabled" => port_security_enabled: bool,
        "subnets" => subnets: Vec<SubnetId>,
        "tags" => tags: Vec<String>,
        "created_at" => created_at: String,
        "updated_at" => updated_at: String,
        "revision_number" => revision_number: i64,
    }
}

versioned! {
    request NetworkCreates strict {
        "network" => network: Option<NetworkCreate>,
        "networks" => networks: Option<Vec<NetworkCreate>>,
    }
}

versioned! {
    request NetworkCreate strict {
        "name" => name: Option<Text<0, 255>>,
        "description" => description: Option<Text<0, 255>>,
        "admin_state_up" => admin_state_up: Option<FlexibleBool>,
        "shared" => shared: Option<FlexibleBool>,
        "mtu" => mtu: Option<i64>,
        "router:external" => router_external: Option<FlexibleBool>,
        "port_security_enabled" => port_security_enabled: Option<FlexibleBool>,
        "provider:network_type" => network_type: Option<String>,
        "provider:physical_network" => physical_network: Option<String>,
        "provider:segmentation_id" => segmentation_id: Option<i64>,
        "project_id" => project_id: Option<String>,
        "tenant_id" => tenant_id: Option<String>,
    }
}

versioned! {
    request NetworkUpdates strict {
        "network" required => network: NetworkUpdate,
    }
}

versioned! {
    request NetworkUpdate strict {
        "name" => name: Option<Text<0, 255>>,
        "description" => description: Option<Text<0, 255>>,
        "admin_state_up" => admin_state_up: Option<FlexibleBool>,
        "shared" => shared: Option<FlexibleBool>,
        "mtu" => mtu: Option<i64>,
        "router:external" => router_external: Option<FlexibleBool>,
        "port_security_enabled" => port_security_enabled: Option<FlexibleBool>,
        "provider:network_type" => network_type: Option<String>,
        "provider:physical_network" => physical_network: Option<String>,
        "provider:segmentation_id" => segmentation_id: Option<i64>,
    }
}

impl Resource for NetworkView {
    const ONE: &'static str = "network";
    const MANY: &'static str = "networks";
    const KIND: Kind = Kind::Network;
}

impl NetworkView {
    fn new(cx: &Context, network: Network, subnets: Vec<SubnetId>) -> Self {
        let provider::Shown { network_type, physical_network, segmentation_id } =
            provider::Shown::of(cx, &network.segment);
        Self {
            id: network.id,
            name: network.name,
            tenant_id: network.project_id.clone(),
            project_id: network.project_id,
            description: network.description,
            admin_state_up: true,
            status: "ACTIVE",
            mtu: network.mtu,
            network_type,
            physical_network,
            segmentation_id,
            shared: network.shared,
            router_external: false,
            port_security_enabled: false,
            subnets,
            tags: network.tags,
            created_at: network.created_at.to_seconds_z(),
            updated_at: network.updated_at.to_seconds_z(),
            revision_number: network.revision,
        }
    }

    fn of(tx: &mut Tx, cx: &Context, network: Network) -> Result<Self> {
        let subnets = subnets::of_network(tx, network.id)?.into_iter().map(|subnet| subnet.id).collect();
        Ok(Self::new(cx, network, subnets))
    }
}

/// `GET /v2.0/networks`: the caller's own and shared ones.
async fn list(call: Call) -> Result<Many<NetworkView>> {
    let reach = call.cx.reach.clone();
    let (networks, subnets) = call
        .cx
        .state
        .db
        .read(move |tx| Ok((networks::list_visible(tx, &reach)?, subnets::list_visible(tx, &reach)?)))
        .await?;
    let mut of_network: HashMap<NetworkId, Vec<SubnetId>> = HashMap::new();
    for subnet in subnets {
        of_network.entry(subnet.network_id).or_default().push(subnet.id);
    }
    let views: Vec<_> = networks
        .into_iter()
        .map(|network| {
            let subnets = of_network.remove(&network.id).unwrap_or_default();
            NetworkView::new(&call.cx, network, subnets)
        })
        .collect();
    Many::list(&call, &views)
}

async fn show(call: Call) -> Result<One<NetworkView>> {
    let (cx, id) = (call.cx.clone(), request::id(&call, NetworkId::parse, Kind::Network)?);
    let view = call
        .cx
        .state
        .db
        .read(move |tx| {
            let network = networks::visible(tx, &cx.reach, id)?;
            NetworkView::of(tx, &cx, network)
        })
        .await?;
    Ok(One::show(&call, &view))
}

/// `POST /v2.0/networks`: one network or several, all or none of them.
async fn create(call: Call<NetworkCreates>) -> Result<Made<NetworkView>> {
    let Call { cx, body, .. } = call;
    let (wanted, is_bulk) = request::one_or_many("network", body.network, body.networks)?;
    let wanted: Vec<NewNetwork> = wanted.into_iter().map(|body| body.checked(&cx)).collect::<Result<_>>()?;
    let (now, within) = (cx.state.clock.now(), cx.clone());
    let views = cx
        .state
        .db
        .write(move |tx| {
            wanted
                .iter()
                .map(|new| {
                    network_quotas::check(tx, &new.project_id, Counted::Network, 1)?;
                    provider::refuse_unknown(tx, &new.segment)?;
                    let network = networks::insert(tx, new, now)?;
                    NetworkView::of(tx, &within, network)
                })
                .collect::<Result<Vec<_>>>()
        })
        .await?;
    Ok(Made::of(views, is_bulk))
}

impl NetworkCreate {
    fn checked(self, cx: &Context) -> Result<NewNetwork> {
        request::refuse_down(self.admin_state_up.map(|up| up.0))?;
        request::refuse_port_security(self.port_security_enabled.map(|enabled| enabled.0))?;
        let shared = self.shared.is_some_and(|shared| shared.0);
        if shared {
            cx.allow("create_network:shared")?;
        }
        if self.router_external.is_some_and(|external| external.0) {
            cx.allow("create_network:router:external")?;
            return Err(no_external_networks());
        }
        let asked = Asked {
            network_type: self.network_type,
            physical_network: self.physical_network,
            segmentation_id: self.segmentation_id,
        };
        let segment = asked.checked(cx)?;
        let most = cx.state.mtus.of_new(&segment);
        Ok(NewNetwork {
            segment,
            project_id: request::project(cx, self.project_id.as_ref(), self.tenant_id.as_ref())?,
            name: self.name.map(|name| name.0).unwrap_or_default(),
            description: self.description.map(|description| description.0).unwrap_or_default(),
            shared,
            mtu: mtu(self.mtu.unwrap_or(0), most)?,
        })
    }
}

fn no_external_networks() -> Error {
    Error::NotImplemented("External networks and routers are not built in Gapura yet.".to_owned())
}

/// Neutron's 0 stands for the most that goes from host to host.
fn mtu(wanted: i64, most: u16) -> Result<u16> {
    let refused = |why: String| Error::bad_request(format!("Invalid input for operation: {why}."));
    match wanted {
        0 => Ok(most),
        small if small < SMALLEST_MTU => {
            Err(refused(format!("Requested MTU is too small, requested: {small}, minimum: {SMALLEST_MTU}")))
        }
        wanted => match u16::try_from(wanted) {
            Ok(fits) if fits <= most => Ok(fits),
            _ => Err(refused(format!("Requested MTU is too big, requested: {wanted}, maximum: {most}"))),
        },
    }
}

/// A network that is the caller's to change.
pub fn owned(tx: &mut Tx, reach: &Reach, id: NetworkId, rule: &str) -> Result<Network> {
    networks::owned(tx, reach, id)
        .map_err(|missing| request::refused_or_missing(missing, networks::visible(tx, reach, id), rule))
}

async fn update(call: Call<NetworkUpdates>) -> Result<One<NetworkView>> {
    let (cx, id) = (call.cx.clone(), request::id(&call, NetworkId::parse, Kind::Network)?);
    let wanted = call.body.network.clone();
    request::refuse_down(wanted.admin_state_up.map(|up| up.0))?;
    request::refuse_port_security(wanted.port_security_enabled.map(|enabled| enabled.0))?;
    if wanted.shared.is_some() {
        call.cx.allow("update_network:shared")?;
    }
    if wanted.router_external.is_some_and(|external| external.0) {
        call.cx.allow("update_network:router:external")?;
        return Err(no_external_networks());
    }
    let asked = Asked {
        network_type: wanted.network_type.clone(),
        physical_network: wanted.physical_network.clone(),
        segmentation_id: wanted.segmentation_id,
    };
    asked.refuse_change(&cx)?;
    let (now, head) = (call.cx.state.clock.now(), call.head.clone());
    let view = call
        .cx
        .state
        .db
        .write(move |tx| {
            let mut network = owned(tx, &cx.reach, id, "update_network")?;
            if let Some(shared) = wanted.shared {
                share(tx, &network, shared.0)?;
                network.shared = shared.0;
            }
            network.name = wanted.name.clone().map_or(network.name, |name| name.0);
            network.description = wanted.description.clone().map_or(network.description, |text| text.0);
            if let Some(wanted) = wanted.mtu {
                network.mtu = mtu(wanted, cx.state.mtus.of(&network.segment))?;
            }
            let network = networks::update(tx, &network, now)?;
            network_change::tell_hosts(tx, id, Some(&head.request_id), now)?;
            NetworkView::of(tx, &cx, network)
        })
        .await?;
    call.cx.state.runner.wake();
    Ok(One::show(&call, &view))
}

/// May the network be shared, or no more?
fn share(tx: &mut Tx, network: &Network, shared: bool) -> Result<()> {
    if shared && !network.shared {
        return subnets::refuse_overlap_when_shared(tx, network.id);
    }
    let stops = network.shared && !shared;
    if stops && ports::of_network(tx, network.id)?.iter().any(|port| port.project_id != network.project_id) {
        return Err(Error::conflict(format!(
            "Unable to reconfigure sharing settings for network {}. Multiple tenants are using it.",
            network.name
        )));
    }
    Ok(())
}

/// `DELETE /v2.0/networks/{id}`: with its subnets, unless a port is left; hosts follow.
async fn remove(call: Call) -> Result<Empty> {
    let (reach, id) = (call.cx.reach.clone(), request::id(&call, NetworkId::parse, Kind::Network)?);
    let (now, head) = (call.cx.state.clock.now(), call.head.clone());
    call.cx
        .state
        .db
        .write(move |tx| {
            let network = owned(tx, &reach, id, "delete_network")?;
            networks::delete(tx, id)?;
            network_change::remove_from_hosts(tx, &network, Some(&head.request_id), now)
        })
        .await?;
    call.cx.state.runner.wake();
    Ok(Empty::no_content())
}
