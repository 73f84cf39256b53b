//! Networks that are the operator's own: a bridge of theirs, with a gateway of theirs on it.

use super::guest::Guest;
use super::host::{attempt, inventory, pings, sh};
use super::{A, network, offered};
use gapura::error::Error;
use gapura::fabric::linux::{LinuxFabric, Settings, inside};
use gapura::fabric::{Fabric, NetworkWish, bridge_name};
use gapura::hypervisor::Epoch;
use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

fn fabric() -> LinuxFabric {
    let bridges = [("physnet1", "br0"), ("physnet2", "gone"), ("physnet3", "lo")];
    let bridges = bridges.map(|(name, bridge)| (name.to_owned(), bridge.to_owned())).into();
    LinuxFabric::new(Settings { cloud: "test".to_owned(), bridges, ..Settings::default() }).unwrap()
}

fn flat(name: &str) -> NetworkWish {
    NetworkWish { nat: false, mtu: 1500, physical_network: Some(name.to_owned()), ..network(&[A]) }
}

/// The operator's bridge and their gateway.
fn operators() -> Guest {
    sh("ip link add name br0 type bridge forward_delay 0");
    sh("ip link set dev br0 up");
    let gateway = Guest::plug("gateway", "br0", "02:00:00:00:00:01");
    sh("ip -n gateway addr add 10.0.0.1/24 dev eth0");
    gateway
}

/// Guest `a` sends everybody a frame with this tag from this address: what the operator's bridge learns by it, if it comes there.
fn passes(tag: &str, source: &str) -> Option<String> {
    let frame = format!("ffffffffffff{}{tag}88b5{}", source.replace(':', ""), "00".repeat(46));
    let send = format!(
        "import socket; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(('eth0', 0)); s.send(bytes.fromhex('{frame}'))"
    );
    let sent = Command::new("ip").args(["netns", "exec", "a", "python3", "-c", &send]).status().unwrap();
    assert!(sent.success());
    sh("bridge fdb show br br0").lines().find(|line| line.starts_with(source)).map(str::to_owned)
}

on_own_host! { "fabric::uplinks::"
    async fn a_guest_of_an_operators_network_reaches_its_gateway_and_is_given_its_address_here() {
        let gateway = operators();
        let before = inventory();
        let fabric = fabric();
        let wish = flat("physnet1");
        for round in ["made", "made again"] {
            let a = Guest::plug("a", &fabric.ensure(&wish).await.unwrap(), A);
            assert_eq!(a.discover(), offered(5), "{round}");
            a.set("10.0.0.5/24", "10.0.0.1");
            assert!(a.pings("10.0.0.1") && gateway.pings("10.0.0.5"), "{round}");
            assert!(!pings("10.0.0.5"), "the host itself takes no part");
            a.unplug();
            // As a guest of another host would ask: that host answers it.
            let elsewhere = Guest::plug("elsewhere", "br0", A);
            assert_eq!(elsewhere.discover(), None, "{round}");
            elsewhere.unplug();
            let epoch = Epoch(if round == "made" { 1 } else { 2 });
            fabric.remove(wish.id, epoch).await.unwrap();
            assert_eq!(inventory(), before, "{round}: what is the operator's stays, and nothing else");
        }
    }

    async fn a_way_to_the_operators_bridge_that_is_harmed_is_mended_under_running_guests() {
        let gateway = operators();
        let (wish, before) = (flat("physnet1"), inventory());
        let first = fabric();
        let a = Guest::plug("a", &first.ensure(&wish).await.unwrap(), A);
        a.set("10.0.0.5/24", "10.0.0.1");
        first.close().await;
        let short = bridge_name(wish.id)[3..].to_owned();
        for breakage in [
            format!("ip link delete dev gph{short}"),
            format!("ip link set dev gpp{short} nomaster"),
            format!("ip link set dev gph{short} down"),
            format!("ip link set dev gph{short} mtu 1400"),
            "nft delete table bridge gapura-test".to_owned(),
        ] {
            sh(&breakage);
            let again = fabric();
            again.ensure(&wish).await.unwrap_or_else(|error| panic!("{breakage}: {error:?}"));
            assert!(gateway.pings("10.0.0.5"), "{breakage}");
            assert!(attempt("ip netns exec gateway ping -n -c 1 -M do -s 1472 -w 2 10.0.0.5").0, "{breakage}");
            assert!(sh("nft list table bridge gapura-test").contains(&format!("gph{short}")), "{breakage}");
            again.close().await;
        }
        // As a removal leaves it that was killed after its first step.
        a.unplug();
        let again = fabric();
        sh("nft delete table bridge gapura-test");
        again.remove(wish.id, Epoch(2)).await.unwrap();
        assert_eq!(inventory(), before);
    }

    async fn a_guest_says_nothing_there_that_hosts_would_take_for_their_own_or_another_vlan_for_its() {
        operators();
        let fabric = fabric();
        let first = flat("physnet1");
        let a = Guest::plug("a", &fabric.ensure(&first).await.unwrap(), A);
        a.set("10.0.0.5/24", "10.0.0.1");
        let hears = |port: u16| inside("gateway", || Ok(UdpSocket::bind(("0.0.0.0", port)).unwrap())).unwrap();
        let (forged, ordinary) = (hears(4789), hears(4790));
        // Whatever address it says that it has.
        sh("ip -n a addr add 10.0.0.77/24 dev eth0");
        for from in ["10.0.0.5:0", "10.0.0.77:0"] {
            let says = inside("a", || Ok(UdpSocket::bind(from).unwrap())).unwrap();
            for port in [4789, 4790] {
                says.send_to(b"\x08\0\0\0\0\0\x4d\0", ("10.0.0.1", port)).unwrap();
            }
            ordinary.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            ordinary.recv_from(&mut [0; 16]).unwrap();
        }
        forged.set_nonblocking(true).unwrap();
        assert!(forged.recv_from(&mut [0; 16]).is_err());
        assert!(passes("81000009", "02:00:00:00:99:01").is_none(), "a frame of VLAN 9");
        assert!(passes("88a80009", "02:00:00:00:99:02").is_none(), "and one of a provider's");
        assert!(passes("", "02:00:00:00:99:03").is_some());
        // It is so for this network also when another has gone.
        let other = flat("physnet1");
        fabric.ensure(&other).await.unwrap();
        fabric.remove(other.id, Epoch(1)).await.unwrap();
        assert!(passes("81000009", "02:00:00:00:99:04").is_none());
        sh("nft delete table bridge gapura-test");
        assert!(passes("81000009", "02:00:00:00:99:05").is_some(), "it is the rules that keep it away");
    }

    async fn a_host_is_plugged_only_into_bridges_that_are_there() {
        operators();
        let (fabric, before) = (fabric(), inventory());
        assert_eq!(fabric.facts().await.unwrap().physical_networks, ["physnet1".to_owned()].into());
        for (name, why) in [
            ("physnet2", "The host has no bridge gone, which its settings name"),
            ("physnet3", "The host has no bridge lo, which its settings name"),
            ("physnet4", "The host is not plugged into physnet4: no bridge of its settings is"),
        ] {
            let wish = flat(name);
            let refused = fabric.ensure(&wish).await.unwrap_err();
            assert!(matches!(&refused, Error::Conflict(text) if text == why), "{refused:?}");
            fabric.remove(wish.id, Epoch(2)).await.unwrap();
            assert_eq!(inventory(), before, "{name}");
        }
    }
}
