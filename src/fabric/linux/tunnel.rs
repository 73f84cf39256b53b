//! Joins a network's bridge to those of other hosts: a VXLAN link on it, which packs frames into packets between the hosts.
//!
//! ```text
//!   guest ─ tap ─ bridge ─ gvx… ═══ UDP between tunnel addresses ═══ gvx… ─ bridge ─ tap ─ guest
//!                   │                                                          │
//!                 gateway        the same address and MAC, each for           gateway
//!                                the guests of its own host alone
//! ```
//! What is for all goes to each peer (a *flood list*: entries of the address zero). Where a guest is, the link learns from what
//! the guest says, as a switch does: a machine that has moved announces itself, and everybody knows. Entries that say where a
//! guest is are never made by hand, because a stale one would never be put right.
//!
//! Every host has the network's gateway, with its DHCP and names, so a guest that moves finds the same one at its new place, and
//! the loss of a host takes nobody else's away. The gateway and the link are *isolated* from each other on the bridge: neither
//! does a host answer another's guests, nor do switches see one address come from two places. The price: what a guest has
//! open to the outside bears its host's address, and begins anew after a move; and two subnets of one network meet on each host by
//! themselves.

use super::names::Names;
use super::shape::{Shape, Tunnel};
use super::{command, links};
use crate::error::Result;
use serde::Deserialize;
use std::net::IpAddr;

/// VXLAN's own, by IANA. Guests send nothing there from outside (see [`super::firewall`]).
pub(super) const PORT: u16 = 4789;
/// Stands for every address: broadcasts, and what nobody knows yet.
const EVERYBODY: &str = "00:00:00:00:00:00";

/// Makes the network's tunnel as wished, or takes it away. The bridge stands, with the gateway's link on it.
pub(super) fn establish(names: &Names, shape: &Shape) -> Result<()> {
    let Some(tunnel) = &shape.tunnel else { return remove(names) };
    let Names { bridge, inner, tunnel: link, tunnel_mac, .. } = names;
    let mut found = links::own_end(link, tunnel_mac)?;
    if found.is_some() && !is_such(link, tunnel)? {
        remove(names)?;
        found = None;
    }
    let (vni, local) = (tunnel.vni, tunnel.local);
    let mut batch = vec![];
    if found.is_none() {
        batch.push(format!(
            "link add name {link} address {tunnel_mac} mtu {} type vxlan id {vni} local {local} dstport {PORT} learning",
            shape.mtu
        ));
    } else if found.is_some_and(|link| link.mtu != u32::from(shape.mtu)) {
        batch.push(format!("link set dev {link} mtu {}", shape.mtu));
    }
    command::ip_batch(&batch)?;
    links::switch(&format!("ipv6/conf/{link}/disable_ipv6"), "1")?;
    command::ip_batch(&[
        format!("link set dev {link} master {bridge}"),
        // Before the link is up: nothing passes between the two meanwhile.
        format!("link set dev {link} type bridge_slave isolated on"),
        format!("link set dev {inner} type bridge_slave isolated on"),
        format!("link set dev {link} up"),
    ])?;
    let present: Vec<Entry> = command::bridge_json(&["fdb", "show", "dev", link])?;
    command::bridge_batch(&changes(link, &present, &tunnel.peers))
}

/// Takes the network's tunnel away, if there is one of ours.
pub(super) fn remove(names: &Names) -> Result<()> {
    match links::own_end(&names.tunnel, &names.tunnel_mac)? {
        None => Ok(()),
        Some(_) => command::ip(&["link", "delete", "dev", &names.tunnel]),
    }
}

/// What can't be changed of a link that is there.
fn is_such(link: &str, tunnel: &Tunnel) -> Result<bool> {
    let shown: Vec<Shown> = command::ip_json(&["-details", "link", "show", "dev", link])?;
    Ok(shown.first().is_some_and(|shown| {
        let Data { id, local, local6, port } = shown.linkinfo.info_data;
        (id, local.or(local6), port) == (tunnel.vni, Some(tunnel.local), PORT)
    }))
}

/// One entry of `ip -details -json link show`, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Shown {
    #[serde(default)]
    linkinfo: Info,
}

#[derive(Debug, Default, Deserialize)]
struct Info {
    #[serde(default)]
    info_data: Data,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
struct Data {
    #[serde(default)]
    id: u32,
    local: Option<IpAddr>,
    local6: Option<IpAddr>,
    #[serde(default)]
    port: u16,
}

/// One entry of `bridge -json fdb show`; without `dst` it is the bridge's own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Entry {
    mac: String,
    dst: Option<IpAddr>,
}

/// Lines for `bridge` by which exactly the peers are sent what is for all, and nothing is sent to who is none any more.
fn changes(link: &str, present: &[Entry], peers: &[IpAddr]) -> Vec<String> {
    let floods = |peer: &IpAddr| present.iter().any(|entry| entry.mac == EVERYBODY && entry.dst == Some(*peer));
    let missing = peers.iter().filter(|peer| !floods(peer));
    let mut lines: Vec<_> = missing.map(|peer| format!("fdb append {EVERYBODY} dev {link} dst {peer}")).collect();
    for Entry { mac, dst } in present {
        if let Some(gone) = dst.filter(|dst| !peers.contains(dst)) {
            lines.push(format!("fdb delete {mac} dev {link} dst {gone} self"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(mac: &str, dst: &str) -> Entry {
        Entry { mac: mac.to_owned(), dst: dst.parse().ok() }
    }

    #[test]
    fn exactly_the_peers_are_flooded_and_what_was_learnt_of_who_left_is_forgotten() {
        let present = [
            entry("02:00:00:00:00:09", ""),
            entry(EVERYBODY, "192.0.2.1"),
            entry(EVERYBODY, "192.0.2.2"),
            entry("fa:16:3e:00:00:01", "192.0.2.1"),
            entry("fa:16:3e:00:00:02", "192.0.2.2"),
        ];
        let peers = ["192.0.2.1", "192.0.2.3"].map(|peer| peer.parse().unwrap());
        assert_eq!(
            changes("gvx1", &present, &peers),
            [
                "fdb append 00:00:00:00:00:00 dev gvx1 dst 192.0.2.3",
                "fdb delete 00:00:00:00:00:00 dev gvx1 dst 192.0.2.2 self",
                "fdb delete fa:16:3e:00:00:02 dev gvx1 dst 192.0.2.2 self",
            ]
        );
        let settled: Vec<_> = present.into_iter().take(2).collect();
        assert_eq!(changes("gvx1", &settled, &peers[..1]), [""; 0]);
    }

    #[test]
    fn what_ip_and_bridge_print_is_understood() {
        let shown = r#"[{"ifname":"gvx1","mtu":1450,"linkinfo":{"info_kind":"vxlan","info_data":
            {"id":77,"local":"10.9.0.1","port_range":{"low":0,"high":0},"port":4789,"learning":true},"info_slave_kind":"bridge"}}]"#;
        let shown: Vec<Shown> = serde_json::from_str(shown).unwrap();
        let data = shown[0].linkinfo.info_data;
        assert_eq!((data.id, data.local, data.port), (77, "10.9.0.1".parse().ok(), 4789));
        let listed = r#"[{"mac":"02:00:00:00:00:09","flags":[],"master":"br0","state":"permanent"},
            {"mac":"00:00:00:00:00:00","dst":"10.9.0.2","flags":["self"],"state":"permanent"}]"#;
        let listed: Vec<Entry> = serde_json::from_str(listed).unwrap();
        assert_eq!(listed, [entry("02:00:00:00:00:09", ""), entry(EVERYBODY, "10.9.0.2")]);
    }
}
