//! Makes a network on the host, and takes it away; whatever was there before.
//!
//! The bridge comes first and goes last, so what carries a network's name without its bridge is not ours and is refused.
//! Between the two every step looks before it acts, so a run cut short anywhere is put right by the next, and a bridge
//! that runs guests is completed under their feet without being taken down.

use super::names::{LAN, Names, OUT};
use super::shape::{METADATA, Shape};
use super::transit::{self, Transit};
use super::{command, firewall, links, namespace, tunnel, uplink};
use crate::error::{Error, Result};
use ipnet::Ipv4Net;
use serde::Deserialize;
use std::fs;
use std::net::Ipv4Addr;

/// Makes everything of a network but the services that answer in it.
pub(super) fn establish(names: &Names, table: &str, shape: &Shape) -> Result<()> {
    refuse_foreign(names)?;
    let host_routes: Vec<Route> = command::ip_json(&["-4", "route", "show"])?;
    if shape.routed_to_host {
        refuse_taken_ranges(&host_routes, &names.outer, &shape.ranges())?;
    }
    bridge(names, shape)?;
    if !namespace::exists(&names.namespace) {
        // What a crash left of an earlier try is a plain file, which `ip netns` would refuse.
        let _ = fs::remove_file(namespace::path(&names.namespace));
        command::ip(&["netns", "add", &names.namespace])?;
    }
    pairs(names, shape)?;
    tunnel::establish(names, shape)?;
    uplink::establish(names, table, shape)?;
    let transit = if shape.leads_out() { Some(Transit::find(&names.outer)?) } else { None };
    namespace::inside(&names.namespace, || gateway(shape, transit))?;
    command::nft(&firewall::host_rules(table, names, shape))?;
    host_side(names, shape, transit, &host_routes)
}

/// Takes all of it away. The caller has closed the services' sockets: they would keep the namespace alive unseen.
pub(super) fn dismantle(names: &Names, table: &str) -> Result<()> {
    // Without a bridge it would go on taking packets.
    tunnel::remove(names)?;
    uplink::remove(names, table)?;
    if links::own_bridge(names)?.is_none() {
        return Ok(());
    }
    for (name, mac) in [(&names.inner, &names.inner_mac), (&names.outer, &names.outer_mac)] {
        if links::own_end(name, mac)?.is_some() {
            delete(name)?;
        }
    }
    if namespace::exists(&names.namespace) {
        command::ip(&["netns", "delete", &names.namespace])?;
    }
    let _ = fs::remove_file(namespace::path(&names.namespace));
    leave_table(names, table)?;
    command::ip(&["link", "delete", "dev", &names.bridge])
}

/// A bridge that still joins machines is not taken from under them.
pub(super) fn refuse_in_use(names: &Names) -> Result<()> {
    if links::own_bridge(names)?.is_none() {
        return Ok(());
    }
    let others: Vec<_> = links::ports(&names.bridge)
        .into_iter()
        .filter(|port| ![&names.inner, &names.tunnel, &names.near].contains(&port))
        .collect();
    if others.is_empty() {
        return Ok(());
    }
    Err(Error::conflict(format!("Bridge {} still joins {}", names.bridge, others.join(", "))))
}

/// The last network takes the table with it.
fn leave_table(names: &Names, table: &str) -> Result<()> {
    firewall::leave("inet", table, ("bridges", &names.bridge), || firewall::host_rules_without(table, names))
}

fn refuse_foreign(names: &Names) -> Result<()> {
    let bridge = links::own_bridge(names)?;
    links::own_end(&names.inner, &names.inner_mac)?;
    links::own_end(&names.outer, &names.outer_mac)?;
    links::own_end(&names.tunnel, &names.tunnel_mac)?;
    if bridge.is_none() && namespace::exists(&names.namespace) {
        return Err(Error::conflict(format!("The host has a namespace {} that is not this cloud's", names.namespace)));
    }
    Ok(())
}

fn bridge(names: &Names, shape: &Shape) -> Result<()> {
    let Names { bridge, bridge_mac, alias, .. } = names;
    let found = links::own_bridge(names)?;
    let mut batch = vec![];
    if found.is_none() {
        batch.push(format!("link add name {bridge} address {bridge_mac} type bridge forward_delay 0 mcast_snooping 0"));
    }
    if found.as_ref().is_none_or(|link| link.alias != *alias) {
        batch.push(format!("link set dev {bridge} alias {alias}"));
    }
    if found.as_ref().is_none_or(|link| link.mtu != u32::from(shape.mtu)) {
        batch.push(format!("link set dev {bridge} mtu {}", shape.mtu));
    }
    command::ip_batch(&batch)?;
    // The host takes no part in the network: no address of its own, no answer for any other.
    links::switch(&format!("ipv6/conf/{bridge}/disable_ipv6"), "1")?;
    links::switch(&format!("ipv4/conf/{bridge}/arp_ignore"), "8")?;
    command::ip(&["link", "set", "dev", bridge, "up"])
}

/// The two pairs of links, each with one end in the namespace. An end whose peer is elsewhere is made anew.
fn pairs(names: &Names, shape: &Shape) -> Result<()> {
    let present = namespace::inside(&names.namespace, || Ok([has_link(LAN), has_link(OUT)]))?;
    let mut batch = vec![];
    let mut pair = |name: &str, mac: &str, peer: &str, peer_mac: &str, present: bool, wanted: bool| -> Result<()> {
        let found = links::own_end(name, mac)?;
        if found.is_some() && (!present || !wanted) {
            delete(name)?;
        }
        if wanted && (found.is_none() || !present) {
            batch.push(format!(
                "link add name {name} address {mac} mtu {mtu} type veth peer name {peer} address {peer_mac} mtu {mtu} \
                 netns {namespace}",
                mtu = shape.mtu,
                namespace = names.namespace,
            ));
        } else if wanted && found.is_some_and(|link| link.mtu != u32::from(shape.mtu)) {
            batch.push(format!("link set dev {name} mtu {}", shape.mtu));
        }
        Ok(())
    };
    pair(&names.inner, &names.inner_mac, LAN, &names.lan_mac, present[0], true)?;
    pair(&names.outer, &names.outer_mac, OUT, &names.out_mac, present[1], shape.leads_out())?;
    command::ip_batch(&batch)?;
    links::switch(&format!("ipv6/conf/{}/disable_ipv6", names.inner), "1")?;
    links::switch(&format!("ipv6/conf/{}/disable_ipv6", names.outer), "1")?;
    let (inner, bridge) = (&names.inner, &names.bridge);
    command::ip_batch(&[format!("link set dev {inner} master {bridge}"), format!("link set dev {inner} up")])
}

/// A link whose peer's namespace is just ending goes by itself, perhaps first.
fn delete(link: &str) -> Result<()> {
    match command::ip(&["link", "delete", "dev", link]) {
        Err(_) if !links::exists(link) => Ok(()),
        result => result,
    }
}

/// Looked up in the calling thread's namespace, which `/sys` wouldn't follow.
fn has_link(name: &str) -> bool {
    let links = fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    links.lines().any(|line| line.trim_start().strip_prefix(name).is_some_and(|rest| rest.starts_with(':')))
}

/// Inside the namespace: addresses, routes, rules; forwarding last, once the rules stand.
fn gateway(shape: &Shape, transit: Option<Transit>) -> Result<()> {
    for group in ["all", "default"] {
        links::switch(&format!("ipv6/conf/{group}/disable_ipv6"), "1")?;
    }
    links::switch(&format!("ipv4/conf/{LAN}/rp_filter"), "1")?;
    let present: Vec<transit::Link> = command::ip_json(&["-4", "addr", "show"])?;
    let at = |name: &str| -> Vec<Ipv4Net> {
        let addresses = present.iter().filter(|link| link.ifname == name).flat_map(|link| &link.addr_info);
        addresses.filter_map(|address| Ipv4Net::new(address.local, address.prefixlen).ok()).collect()
    };
    let out: Vec<_> = transit.iter().map(|transit| Ipv4Net::new_assert(transit.namespace, 31)).collect();
    let mut batch = vec!["link set dev lo up".to_owned()];
    addresses(&mut batch, LAN, &at(LAN), &shape.gateways);
    addresses(&mut batch, "lo", &at("lo"), &[Ipv4Net::new_assert(METADATA, 32)]);
    batch.push(format!("link set dev {LAN} mtu {} up", shape.mtu));
    if transit.is_some() {
        addresses(&mut batch, OUT, &at(OUT), &out);
        batch.push(format!("link set dev {OUT} mtu {} up", shape.mtu));
    }
    command::ip_batch(&batch)?;
    command::ip_batch(&routes(shape, transit)?)?;
    command::nft(&firewall::namespace_rules(shape, transit.map(|transit| transit.host)))?;
    links::switch("ipv4/ip_forward", if shape.leads_out() || shape.gateways.len() > 1 { "1" } else { "0" })
}

fn addresses(batch: &mut Vec<String>, link: &str, present: &[Ipv4Net], wanted: &[Ipv4Net]) {
    let loopback = Ipv4Net::new_assert(Ipv4Addr::LOCALHOST, 8);
    for gone in present.iter().filter(|address| !wanted.contains(address) && **address != loopback) {
        batch.push(format!("addr delete {gone} dev {link}"));
    }
    for missing in wanted.iter().filter(|address| !present.contains(address)) {
        batch.push(format!("addr add {missing} dev {link}"));
    }
}

/// One entry of `ip -json route show`.
#[derive(Debug, Deserialize)]
struct Route {
    dst: String,
    #[serde(default)]
    dev: String,
    #[serde(default)]
    protocol: String,
}

fn routes(shape: &Shape, transit: Option<Transit>) -> Result<Vec<String>> {
    let wanted_bare: Vec<_> = shape.bare.iter().map(Ipv4Net::to_string).collect();
    let present: Vec<Route> = command::ip_json(&["-4", "route", "show"])?;
    let mut batch = vec![];
    for route in present.iter().filter(|route| route.protocol != "kernel") {
        let stays = if route.dst == "default" { shape.nat } else { wanted_bare.contains(&route.dst) };
        if !stays {
            batch.push(format!("route delete {} dev {}", route.dst, route.dev));
        }
    }
    for range in &wanted_bare {
        batch.push(format!("route replace {range} dev {LAN} src {METADATA}"));
    }
    if let (true, Some(transit)) = (shape.nat, transit) {
        batch.push(format!("route replace default via {} dev {OUT}", transit.host));
    }
    Ok(batch)
}

/// On the host: its end of the way out, routes to a network it may reach, forwarding.
fn host_side(names: &Names, shape: &Shape, transit: Option<Transit>, present: &[Route]) -> Result<()> {
    let Some(transit) = transit else { return Ok(()) };
    let outer = &names.outer;
    let wanted = if shape.routed_to_host { shape.ranges() } else { vec![] };
    let mut batch = vec![
        // Scope link: the host picks it for nothing but this link.
        format!("addr replace {}/31 dev {outer} scope link", transit.host),
        format!("link set dev {outer} up"),
    ];
    for route in present.iter().filter(|route| route.dev == *outer && route.protocol != "kernel") {
        if !wanted.iter().any(|range| range.to_string() == route.dst) {
            batch.push(format!("route delete {} dev {outer}", route.dst));
        }
    }
    for range in wanted {
        batch.push(format!("route replace {range} via {} dev {outer} src {}", transit.namespace, transit.host));
    }
    command::ip_batch(&batch)?;
    if shape.nat && fs::read_to_string("/proc/sys/net/ipv4/ip_forward").is_ok_and(|text| text.trim() == "0") {
        tracing::info!("net.ipv4.ip_forward is turned on, so that guests reach the outside");
        links::switch("ipv4/ip_forward", "1")?;
    }
    Ok(())
}

/// The host's own networks are never led elsewhere.
fn refuse_taken_ranges(present: &[Route], outer: &str, wanted: &[Ipv4Net]) -> Result<()> {
    for route in present.iter().filter(|route| route.dst != "default" && route.dev != outer) {
        let range = route.dst.parse::<Ipv4Net>().or_else(|_| route.dst.parse::<Ipv4Addr>().map(Ipv4Net::from));
        let Ok(range) = range else { continue };
        if let Some(taken) = wanted.iter().find(|wanted| wanted.contains(&range) || range.contains(*wanted)) {
            return Err(Error::conflict(format!("The host already routes {range} by {}; {taken} overlaps", route.dev)));
        }
    }
    Ok(())
}
