//! Joins a flat network's bridge to the operator's own: what is plugged in there is in the network, on every host alike.
//!
//! ```text
//!   guest ─ tap ─ bridge gbr… ─ gph… ═ gpp… ─ the operator's bridge ─ the operator's switches
//!                   │
//!                 DHCP and names, for this host's guests
//! ```
//! Taps don't join the operator's bridge themselves, so that all that is ours stays on a bridge of ours: DHCP, which is isolated
//! from what comes from outside (another host's guests ask their own, and nobody else's machines are given addresses), and the
//! end of it all by one link. The operator's bridge is looked at and given this one port, and otherwise never touched.

use super::names::Names;
use super::shape::Shape;
use super::{command, firewall, links};
use crate::error::{Error, Result};

/// Makes the network's way to the operator's bridge as wished, or takes it away. The network's own bridge stands.
pub(super) fn establish(names: &Names, table: &str, shape: &Shape) -> Result<()> {
    let Some(operators) = &shape.uplink else { return remove(names, table) };
    if links::look(operators).is_none_or(|link| !link.is_bridge) {
        return Err(Error::conflict(format!("The host has no bridge {operators}, which its settings name")));
    }
    let Names { bridge, inner, near, near_mac, far, far_mac, .. } = names;
    let found = links::own_end(near, near_mac)?;
    links::own_end(far, far_mac)?;
    let mtu = shape.mtu;
    let mut batch = vec![];
    match found {
        None => batch.push(format!(
            "link add name {near} address {near_mac} mtu {mtu} type veth peer name {far} address {far_mac} mtu {mtu}"
        )),
        Some(link) if link.mtu != u32::from(mtu) => {
            batch.extend([near, far].map(|end| format!("link set dev {end} mtu {mtu}")));
        }
        Some(_) => {}
    }
    command::ip_batch(&batch)?;
    for end in [near, far] {
        links::switch(&format!("ipv6/conf/{end}/disable_ipv6"), "1")?;
    }
    command::nft(&firewall::uplink_rules(table, names))?;
    command::ip_batch(&[
        format!("link set dev {near} master {bridge}"),
        // Before the link is up: nothing passes between the two meanwhile.
        format!("link set dev {near} type bridge_slave isolated on"),
        format!("link set dev {inner} type bridge_slave isolated on"),
        format!("link set dev {far} master {operators}"),
        format!("link set dev {near} up"),
        format!("link set dev {far} up"),
    ])
}

/// Takes the way away, if there is one of ours; both its ends go. Its rules go first, when no guest is left: so one that is
/// killed in between is begun again.
pub(super) fn remove(names: &Names, table: &str) -> Result<()> {
    if links::own_end(&names.near, &names.near_mac)?.is_none() {
        return Ok(());
    }
    firewall::leave("bridge", table, ("ways", &names.near), || firewall::uplink_rules_without(table, names))?;
    command::ip(&["link", "delete", "dev", &names.near])
}
