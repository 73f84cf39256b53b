//! Networks that are the operator's own: a bridge of theirs, with a gateway of theirs on it.

use super::guest::Guest;
use super::host::{attempt, inventory, pings, sh};
use super::{A, network, offered};
use gapura::error::Error;
use gapura::fabric::linux::{LinuxFabric, Settings};
use gapura::fabric::{Fabric, NetworkWish, bridge_name};
use gapura::hypervisor::Epoch;

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
        let wish = flat("physnet1");
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
        ] {
            sh(&breakage);
            let again = fabric();
            again.ensure(&wish).await.unwrap_or_else(|error| panic!("{breakage}: {error:?}"));
            assert!(gateway.pings("10.0.0.5"), "{breakage}");
            assert!(attempt("ip netns exec gateway ping -n -c 1 -M do -s 1472 -w 2 10.0.0.5").0, "{breakage}");
            again.close().await;
        }
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
