//! Networks that other hosts carry too. The other host is a namespace beyond the uplink, with a tunnel's end made by hand.

use super::guest::Guest;
use super::host::{attempt, inventory, sh};
use super::{A, B, network, outside};
use gapura::fabric::linux::{LinuxFabric, Settings, inside};
use gapura::fabric::{Fabric, NetworkWish, TunnelWish, bridge_name};
use gapura::hypervisor::Epoch;
use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

const OWN: &str = "203.0.113.2";
const OTHER: &str = "203.0.113.1";

fn fabric() -> LinuxFabric {
    let tunnel_address = Some(OWN.parse().unwrap());
    LinuxFabric::new(Settings { cloud: "test".to_owned(), tunnel_address, ..Settings::default() }).unwrap()
}

fn spanning(vni: u32, peers: &[&str]) -> NetworkWish {
    let peers: Vec<IpAddr> = peers.iter().map(|peer| peer.parse().unwrap()).collect();
    NetworkWish { tunnel: Some(TunnelWish { vni, peers }), ..network(&[A, B]) }
}

fn link(wish: &NetworkWish) -> String {
    format!("gvx{}", &bridge_name(wish.id)[3..])
}

/// Where the host sends what is for everybody in the network.
fn flooded(wish: &NetworkWish) -> Vec<String> {
    let shown = sh(&format!("bridge fdb show dev {}", link(wish)));
    let entries = shown.lines().filter(|line| line.starts_with("00:00:00:00:00:00 dst "));
    let mut peers: Vec<String> = entries.map(|line| line.split(' ').nth(2).unwrap().to_owned()).collect();
    peers.sort();
    peers
}

/// The other host's end of network 77, with a guest's address on it.
fn other_end() {
    sh(&format!("ip -n outside link add name vx address {B} type vxlan id 77 local {OTHER} remote {OWN} dstport 4789"));
    sh("ip -n outside link set dev vx mtu 1450 up");
    sh("ip -n outside addr add 10.0.0.6/24 dev vx");
}

fn other_pings(address: &str) -> bool {
    attempt(&format!("ip netns exec outside ping -n -c 1 -i 0.2 -w 2 {address}")).0
}

on_own_host! { "fabric::tunnels::"
    async fn guests_of_one_network_reach_each_other_across_hosts_and_each_its_own_gateway_alone() {
        outside();
        other_end();
        let fabric = fabric();
        let wish = spanning(77, &[OTHER]);
        let a = Guest::plug("a", &fabric.ensure(&wish).await.unwrap(), A);
        a.configure("10.0.0.1");
        assert!(a.pings("10.0.0.6") && other_pings("10.0.0.5"));
        assert!(attempt("ip netns exec outside ping -n -c 1 -M do -s 1422 -w 2 10.0.0.5").0, "full packets go whole");
        assert!(a.pings("10.0.0.1"));
        assert!(!other_pings("10.0.0.1"), "a host answers its own guests");
        let stranger = spanning(78, &[OTHER]);
        let b = Guest::plug("b", &fabric.ensure(&stranger).await.unwrap(), A);
        b.configure("10.0.0.1");
        assert!(!b.pings("10.0.0.6"), "another network's numbers are not this one's");
    }

    async fn whom_a_host_sends_to_follows_the_wish_whatever_was_there() {
        outside();
        let before = inventory();
        let fabric = fabric();
        let mut wish = spanning(77, &[OTHER, "203.0.113.9"]);
        fabric.ensure(&wish).await.unwrap();
        assert_eq!(flooded(&wish), [OTHER, "203.0.113.9"]);
        let peers = |wish: &mut NetworkWish, peers: &[&str]| wish.tunnel = spanning(77, peers).tunnel;
        // The host itself is no peer of its own, and one of IPv6 can't be reached from an address of IPv4.
        peers(&mut wish, &["203.0.113.8", OWN, "2001:db8::1"]);
        fabric.ensure(&wish).await.unwrap();
        assert_eq!(flooded(&wish), ["203.0.113.8"]);
        fabric.close().await;
        let link = link(&wish);
        for breakage in [
            format!("bridge fdb append 00:00:00:00:00:00 dev {link} dst 203.0.113.7"),
            format!("bridge fdb delete 00:00:00:00:00:00 dev {link} dst 203.0.113.8"),
            format!("bridge fdb append fa:16:3e:00:00:77 dev {link} dst 203.0.113.7"),
            format!("ip link delete dev {link}"),
            format!("ip link set dev {link} nomaster"),
            format!("ip link set dev {link} type bridge_slave isolated off"),
            format!("ip link set dev {link} down"),
        ] {
            sh(&breakage);
            let again = self::fabric();
            again.ensure(&wish).await.unwrap_or_else(|error| panic!("{breakage}: {error:?}"));
            let shown = sh(&format!("ip -d link show dev {link}"));
            let expected = ["vxlan id 77", "isolated on", ",UP", &format!("master {}", bridge_name(wish.id))];
            assert!(expected.iter().all(|words| shown.contains(words)), "{breakage}: {shown}");
            assert_eq!(flooded(&wish), ["203.0.113.8"], "{breakage}");
            assert!(!sh(&format!("bridge fdb show dev {link}")).contains("203.0.113.7"), "{breakage}");
            again.close().await;
        }
        let fabric = self::fabric();
        wish.tunnel = spanning(99, &[]).tunnel;
        fabric.ensure(&wish).await.unwrap();
        assert!(sh(&format!("ip -d link show dev {link}")).contains("vxlan id 99"), "another number is another tunnel");
        assert_eq!(flooded(&wish), [""; 0]);
        wish.tunnel = None;
        fabric.ensure(&wish).await.unwrap();
        assert!(!attempt(&format!("ip link show dev {link}")).0, "a network that ends at its host has none");
        wish.tunnel = spanning(77, &[OTHER]).tunnel;
        fabric.ensure(&wish).await.unwrap();
        fabric.remove(wish.id, Epoch(2)).await.unwrap();
        assert_eq!(inventory(), before);
    }

    async fn what_guests_send_outside_is_never_taken_for_what_hosts_send_one_another() {
        outside();
        let fabric = fabric();
        // The host itself sends nothing there: it knows no peer.
        let wish = spanning(77, &[]);
        let a = Guest::plug("a", &fabric.ensure(&wish).await.unwrap(), A);
        a.configure("10.0.0.1");
        let hears = |port: u16| inside("outside", || Ok(UdpSocket::bind((OTHER, port)).unwrap())).unwrap();
        let (forged, ordinary) = (hears(4789), hears(4790));
        let says = inside("a", || Ok(UdpSocket::bind("0.0.0.0:0").unwrap())).unwrap();
        for port in [4789, 4790] {
            says.send_to(b"\x08\0\0\0\0\0\x4d\0", (OTHER, port)).unwrap();
        }
        ordinary.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        ordinary.recv_from(&mut [0; 16]).unwrap();
        forged.set_nonblocking(true).unwrap();
        assert!(forged.recv_from(&mut [0; 16]).is_err());
    }
}
