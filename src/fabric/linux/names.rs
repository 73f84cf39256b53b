//! What a network's things are called on the host, and how the host knows that they are ours.
//!
//! Interface names hold 15 bytes, too few for a whole id, so a name alone proves nothing: the bridge's alias says
//! `gapura:<cloud>:<network id>`, and every link of ours gets a hardware address derived from cloud, network and role.
//! The address is there from the link's first moment (an alias is a second step), so a link made just before a crash is
//! still recognised; and a gateway keeps its address when it is made anew, so guests need not ask for it again.

use crate::fabric::bridge_name;
use crate::ids::NetworkId;
use sha2::{Digest, Sha256};

/// The network's end of the pair that joins namespace and bridge, as seen inside the namespace.
pub(super) const LAN: &str = "lan";
/// The namespace's end of the pair that leads to the host.
pub(super) const OUT: &str = "out";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    pub bridge: String,
    pub bridge_mac: String,
    pub alias: String,
    pub namespace: String,
    /// A bridge port; its peer is [`LAN`].
    pub inner: String,
    pub inner_mac: String,
    pub lan_mac: String,
    /// The host's end of the way out; its peer is [`OUT`].
    pub outer: String,
    pub outer_mac: String,
    pub out_mac: String,
    /// The way to the network's bridges on other hosts.
    pub tunnel: String,
    pub tunnel_mac: String,
    /// The way to the operator's bridge: its end on ours, and its end there.
    pub near: String,
    pub near_mac: String,
    pub far: String,
    pub far_mac: String,
}

impl Names {
    pub fn of(cloud: &str, network: NetworkId) -> Self {
        let short = &network.0.simple().to_string()[..11];
        let mac = |role| hardware_address(cloud, network, role);
        Self {
            bridge: bridge_name(network),
            bridge_mac: mac("bridge"),
            alias: format!("gapura:{cloud}:{network}"),
            namespace: format!("gapura-{short}"),
            inner: format!("gin{short}"),
            inner_mac: mac("inner"),
            lan_mac: mac("lan"),
            outer: format!("gup{short}"),
            outer_mac: mac("outer"),
            out_mac: mac("out"),
            tunnel: format!("gvx{short}"),
            tunnel_mac: mac("tunnel"),
            near: format!("gph{short}"),
            near_mac: mac("near"),
            far: format!("gpp{short}"),
            far_mac: mac("far"),
        }
    }
}

/// The network that an alias of this cloud names; anything else names none.
pub(super) fn network_of_alias(cloud: &str, alias: &str) -> Option<NetworkId> {
    NetworkId::parse(alias.strip_prefix("gapura:")?.strip_prefix(cloud)?.strip_prefix(':')?)
}

/// A locally administered unicast address. The bridge's begins with 0x02, which no port of ours undercuts: a bridge
/// without an address of its own would take, and change, its ports'.
fn hardware_address(cloud: &str, network: NetworkId, role: &str) -> String {
    let digest = Sha256::digest(format!("{cloud}:{network}:{role}"));
    format!("02:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", digest[0], digest[1], digest[2], digest[3], digest[4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_an_interface() {
        let names = Names::of("home", NetworkId::random());
        for name in [&names.bridge, &names.inner, &names.outer, &names.tunnel] {
            assert!(name.len() <= 15, "{name}");
        }
    }

    #[test]
    fn an_alias_of_another_cloud_names_nothing() {
        let id = NetworkId::random();
        let alias = Names::of("home", id).alias;
        assert_eq!(network_of_alias("home", &alias), Some(id));
        assert_eq!(network_of_alias("hom", &alias), None);
        assert_eq!(network_of_alias("home2", &alias), None);
        assert_eq!(network_of_alias("home", "uplink to the cellar"), None);
    }

    #[test]
    fn hardware_addresses_differ_by_cloud_network_and_role() {
        let id = NetworkId::random();
        let (one, other) = (Names::of("a", id), Names::of("b", id));
        assert_ne!(one.bridge_mac, other.bridge_mac);
        assert_ne!(one.bridge_mac, one.inner_mac);
        assert_eq!(one, Names::of("a", id));
    }
}
