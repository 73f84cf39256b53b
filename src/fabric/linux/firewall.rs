//! The rule sets: one inside each network's namespace, one table a cloud on the host, and one for bridges where guests are in
//! networks of the operator's own. Text only; no I/O but `nft`.
//!
//! A namespace lets its network out if it may go out, lets the host in if the host may come in, and nothing else. The
//! host's table is a second wall for the same promises, and keeps guests off the host itself: a guest may set any
//! address it likes and speak to the bridge directly. Both are applied whole (`nft -f` is atomic) and can be applied
//! again. What a guest sends outside to VXLAN's port is dropped: hosts there would take it for what they send one another, which may
//! be of any network. Tables of other programs are neither read nor written; an `accept` here can't undo their `drop`.
//!
//! ```text
//!  guest ─ tap ─ bridge ─ inner═lan [ namespace: rules, masquerade ] out═outer ─ [ host: table, masquerade ] ─ uplink
//! ```

use super::names::{LAN, Names, OUT};
use super::shape::{METADATA, Shape};
use super::transit::Transit;
use super::{command, tunnel};
use crate::error::Result;
use std::net::Ipv4Addr;

/// The rules inside a network's namespace. `host` is the host's address on the way out, if there is one.
pub(super) fn namespace_rules(shape: &Shape, host: Option<Ipv4Addr>) -> String {
    let leaves = if shape.nat { format!("iifname \"{LAN}\" oifname \"{OUT}\" accept") } else { String::new() };
    let enters = match host {
        Some(host) if shape.routed_to_host => {
            format!("iifname \"{OUT}\" oifname \"{LAN}\" ip saddr {host} accept")
        }
        _ => String::new(),
    };
    let hides = match host {
        // Guests answer the gateway, whatever they think of link-local addresses.
        Some(host) => format!("oifname \"{LAN}\" ip saddr {host} masquerade"),
        None => String::new(),
    };
    format!(
        "table inet gapura
delete table inet gapura
table inet gapura {{
  chain input {{
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    iifname lo accept
    iifname \"{LAN}\" udp dport {{ 53, 67 }} accept
    iifname \"{LAN}\" tcp dport 53 accept
    iifname \"{LAN}\" ip daddr {METADATA} tcp dport 80 accept
    iifname \"{LAN}\" icmp type echo-request accept
    iifname \"{LAN}\" meta l4proto tcp reject with tcp reset
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    {enters}
    ip daddr 169.254.0.0/16 drop
    iifname \"{LAN}\" oifname \"{LAN}\" accept
    {leaves}
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname \"{OUT}\" masquerade
    {hides}
  }}
}}
"
    )
}

/// The host's table with this network in it. Other networks' places in its sets stay as they are.
pub(super) fn host_rules(table: &str, names: &Names, shape: &Shape) -> String {
    let mut script = format!(
        "add table inet {table}
add set inet {table} bridges {{ type ifname; }}
add set inet {table} links {{ type ifname; }}
add set inet {table} natted {{ type ifname; }}
add set inet {table} routed {{ type ifname; }}
add chain inet {table} untracked {{ type filter hook prerouting priority raw; policy accept; }}
add chain inet {table} input {{ type filter hook input priority filter; policy accept; }}
add chain inet {table} forward {{ type filter hook forward priority filter; policy accept; }}
add chain inet {table} output {{ type filter hook output priority filter; policy accept; }}
add chain inet {table} postrouting {{ type nat hook postrouting priority srcnat; policy accept; }}
flush chain inet {table} untracked
flush chain inet {table} input
flush chain inet {table} forward
flush chain inet {table} output
flush chain inet {table} postrouting
add rule inet {table} untracked iifname @bridges notrack
add rule inet {table} input iifname @bridges drop
add rule inet {table} input iifname @links ct state established,related accept
add rule inet {table} input iifname @links drop
add rule inet {table} forward iifname @bridges oifname @bridges accept
add rule inet {table} forward iifname @bridges drop
add rule inet {table} forward oifname @bridges drop
add rule inet {table} forward iifname @links udp dport {vxlan} drop
add rule inet {table} forward iifname @links oifname @links drop
add rule inet {table} forward iifname @links iifname != @natted drop
add rule inet {table} forward oifname @links ct state established,related accept
add rule inet {table} forward oifname @links drop
add rule inet {table} output oifname @links oifname != @routed ct state new drop
add rule inet {table} postrouting iifname @links oifname != @links ip saddr {pool} masquerade
",
        pool = Transit::POOL,
        vxlan = tunnel::PORT,
    );
    let mut place = |set: &str, link: &str, belongs: bool| script.push_str(&element("inet", table, set, link, belongs));
    place("bridges", &names.bridge, true);
    place("links", &names.outer, shape.leads_out());
    place("natted", &names.outer, shape.nat);
    place("routed", &names.outer, shape.routed_to_host);
    script
}

/// What a guest of the operator's own network may not send there, whatever it claims to be: packets for VXLAN's port, which hosts
/// on the same switches would take for what they send one another, and frames of another VLAN.
pub(super) fn uplink_rules(table: &str, names: &Names) -> String {
    format!(
        "add table bridge {table}
add set bridge {table} ways {{ type ifname; }}
add chain bridge {table} forward {{ type filter hook forward priority filter; policy accept; }}
flush chain bridge {table} forward
add rule bridge {table} forward oifname @ways udp dport {vxlan} drop
add rule bridge {table} forward oifname @ways ether type {{ 8021q, 8021ad }} drop
{}",
        element("bridge", table, "ways", &names.near, true),
        vxlan = tunnel::PORT,
    )
}

/// Takes a network's way out of that table, which must exist.
pub(super) fn uplink_rules_without(table: &str, names: &Names) -> String {
    element("bridge", table, "ways", &names.near, false)
}

/// Takes a network out of the host's table, which must exist.
pub(super) fn host_rules_without(table: &str, names: &Names) -> String {
    [("bridges", &names.bridge), ("links", &names.outer), ("natted", &names.outer), ("routed", &names.outer)]
        .map(|(set, link)| element("inet", table, set, link, false))
        .concat()
}

/// Adding what is there is fine, deleting what isn't is an error: so a deletion adds first.
fn element(family: &str, table: &str, set: &str, link: &str, belongs: bool) -> String {
    let add = format!("add element {family} {table} {set} {{ \"{link}\" }}\n");
    if belongs { add } else { format!("{add}delete element {family} {table} {set} {{ \"{link}\" }}\n") }
}

/// Takes a network out of a table by these rules; the last in a set of it takes the table with it.
pub(super) fn leave(
    family: &str,
    table: &str,
    (set, last): (&str, &str),
    without: impl FnOnce() -> String,
) -> Result<()> {
    let Ok(listed) = command::nft_json::<serde_json::Value>(&["list", "table", family, table]) else {
        return Ok(()); // no table: done
    };
    let sets = listed["nftables"].as_array().into_iter().flatten().filter_map(|object| object.get("set"));
    let mut members = sets.filter(|found| found["name"] == set).flat_map(|found| found["elem"].as_array()).flatten();
    if members.all(|member| *member == *last) {
        return command::nft(&format!("delete table {family} {table}\n"));
    }
    command::nft(&without())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(nat: bool, routed_to_host: bool) -> Shape {
        Shape { mtu: 1500, gateways: vec![], bare: vec![], routed_to_host, nat, tunnel: None, uplink: None }
    }

    #[test]
    fn the_host_enters_only_a_routed_network() {
        let host = Some(Ipv4Addr::new(169, 254, 64, 2));
        let enters = "oifname \"lan\" ip saddr 169.254.64.2 accept";
        assert!(namespace_rules(&shape(true, true), host).contains(enters));
        assert!(!namespace_rules(&shape(true, false), host).contains(enters));
    }

    #[test]
    fn guests_leave_only_with_nat() {
        let leaves = "iifname \"lan\" oifname \"out\" accept";
        assert!(namespace_rules(&shape(true, false), None).contains(leaves));
        assert!(!namespace_rules(&shape(false, true), None).contains(leaves));
    }
}
