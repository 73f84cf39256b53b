//! What `gapura init` makes of networks: one that every project may use.

use crate::clock::Timestamp;
use crate::cloud::address;
use crate::cloud::policy::Reach;
use crate::cloud::segment::Wanted;
use crate::error::{Error, Result};
use crate::ids::ProjectId;
use crate::store::Tx;
use crate::store::networks::{self, Network, NewNetwork};
use crate::store::subnets::{self, NewSubnet};
use ipnet::IpNet;

/// The network's name, as in devstack.
pub const NAME: &str = "private";

/// Makes the shared network `private` with one subnet of this range, DHCP and a gateway, for an administrators' project.
/// What is there already stays as it is, so that it can be asked again after an interrupted try.
pub fn init(tx: &mut Tx, project: &ProjectId, range: IpNet, mtu: u16, now: Timestamp) -> Result<Network> {
    let existing = networks::list_visible(tx, &Reach::Cloud)?;
    let network = match existing.into_iter().find(|network| network.shared && network.name == NAME) {
        Some(network) => network,
        None => {
            let new = NewNetwork {
                project_id: project.clone(),
                name: NAME.to_owned(),
                description: "Every project's servers may join it; the host reaches them.".to_owned(),
                shared: true,
                mtu,
                segment: Wanted::Tunnel,
            };
            networks::insert(tx, &new, now)?
        }
    };
    if subnets::of_network(tx, network.id)?.is_empty() {
        let gateway = address::default_gateway(range)
            .ok_or_else(|| Error::bad_request(format!("{range} is too small for a network")))?;
        let new = NewSubnet {
            network_id: network.id,
            project_id: network.project_id.clone(),
            name: format!("{NAME}-subnet"),
            description: String::new(),
            cidr: range,
            gateway: Some(gateway),
            enable_dhcp: true,
            pools: address::default_pools(range, Some(gateway)),
            dns_servers: Vec::new(),
            host_routes: Vec::new(),
        };
        address::check_subnet(new.cidr, new.gateway, &new.pools)?;
        subnets::insert(tx, &new, now)?;
    }
    networks::of_id(tx, network.id)
}
