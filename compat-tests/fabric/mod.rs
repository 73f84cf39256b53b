//! The Linux fabric on a kernel, with guests that are namespaces.

#[macro_use]
mod host;
mod clients;
mod guest;
mod tunnels;
mod uplinks;

use gapura::error::Error;
use gapura::fabric::linux::{LinuxFabric, Settings, Severity, checks, inside};
use gapura::fabric::{Fabric, NetworkWish, PortWish, SubnetWish, bridge_name};
use gapura::hypervisor::Epoch;
use gapura::ids::{NetworkId, PortId, SubnetId};
use guest::{Guest, Offer};
use host::{attempt, inventory, pings, sh};
use std::io::Write;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

fn fabric() -> LinuxFabric {
    LinuxFabric::new(Settings { cloud: "test".to_owned(), ..Settings::default() }).unwrap()
}

/// A network of 10.0.0.0/24 that leads outside, with ports 10.0.0.5, 10.0.0.6, … for these addresses of cards.
fn network(macs: &[&str]) -> NetworkWish {
    let subnet = SubnetWish {
        id: SubnetId::random(),
        cidr: "10.0.0.0/24".parse().unwrap(),
        gateway: Some("10.0.0.1".parse().unwrap()),
        enable_dhcp: true,
        dns_servers: vec![],
        host_routes: vec![],
    };
    let ports = (5..).zip(macs).map(|(last, mac)| PortWish {
        id: PortId::random(),
        mac: (*mac).to_owned(),
        addresses: vec![(subnet.id, Ipv4Addr::new(10, 0, 0, last).into())],
        hostname: format!("host-10-0-0-{last}"),
    });
    NetworkWish {
        id: NetworkId::random(),
        epoch: Epoch(1),
        mtu: 1450,
        ports: ports.collect(),
        subnets: vec![subnet],
        routed_to_host: false,
        nat: true,
        tunnel: None,
        physical_network: None,
    }
}

fn offered(last: u8) -> Option<Offer> {
    Some(Offer { kind: 2, address: Ipv4Addr::new(10, 0, 0, last) })
}

/// A machine beyond the host, 203.0.113.1, that tells whoever connects where the connection comes from.
fn outside() {
    sh("ip netns add outside");
    sh("ip link add name uplink type veth peer name eth0 netns outside");
    sh("ip addr add 203.0.113.2/24 dev uplink");
    sh("ip link set dev uplink up");
    sh("ip -n outside addr add 203.0.113.1/24 dev eth0");
    sh("ip -n outside link set dev eth0 up");
    let listener = inside("outside", || Ok(std::net::TcpListener::bind("0.0.0.0:80").unwrap())).unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let peer = connection.peer_addr().unwrap().ip();
            let _ = write!(connection, "{peer}");
        }
    });
}

const A: &str = "fa:16:3e:00:00:0a";
const B: &str = "fa:16:3e:00:00:0b";
const STRANGER: &str = "fa:16:3e:00:00:99";

on_own_host! { "fabric::"
    async fn a_guest_gets_exactly_its_ports_address() {
        let fabric = fabric();
        let wish = network(&[A, B]);
        let bridge = fabric.ensure(&wish).await.unwrap();
        let (a, b) = (Guest::plug("a", &bridge, A), Guest::plug("b", &bridge, B));
        assert_eq!(a.discover(), offered(5));
        assert_eq!(b.discover(), offered(6));
        assert_eq!(a.configure("10.0.0.1"), Ipv4Addr::new(10, 0, 0, 5));
        assert!(a.pings("10.0.0.1"));
        b.configure("10.0.0.1");
        assert!(a.pings("10.0.0.6"));
    }

    async fn a_mac_that_is_no_port_gets_no_answer() {
        let fabric = fabric();
        let bridge = fabric.ensure(&network(&[A])).await.unwrap();
        let stranger = Guest::plug("stranger", &bridge, STRANGER);
        assert_eq!(stranger.discover(), None);
    }

    async fn a_port_removed_from_the_wish_gets_no_more_answers_at_once() {
        let fabric = fabric();
        let mut wish = network(&[A, B]);
        let bridge = fabric.ensure(&wish).await.unwrap();
        let (a, b) = (Guest::plug("a", &bridge, A), Guest::plug("b", &bridge, B));
        assert_eq!(a.discover(), offered(5));
        wish.ports.remove(0);
        fabric.ensure(&wish).await.unwrap();
        assert_eq!(a.discover(), None);
        assert_eq!(b.discover(), offered(6));
    }

    async fn the_host_reaches_a_routed_network() {
        let fabric = fabric();
        let wish = NetworkWish { routed_to_host: true, ..network(&[A]) };
        let a = Guest::plug("a", &fabric.ensure(&wish).await.unwrap(), A);
        a.configure("10.0.0.1");
        assert!(pings("10.0.0.5"));
        fabric.ensure(&NetworkWish { routed_to_host: false, ..wish }).await.unwrap();
        assert!(!pings("10.0.0.5"), "a network that is routed no more is out of reach");
    }

    async fn a_tenant_network_is_out_of_the_hosts_reach() {
        let fabric = fabric();
        let wish = network(&[A]);
        let a = Guest::plug("a", &fabric.ensure(&wish).await.unwrap(), A);
        a.configure("10.0.0.1");
        assert!(!pings("10.0.0.5"));
        // Even by a route made by hand, past the host's own table.
        let link = format!("gup{}", &bridge_name(wish.id)[3..]);
        sh(&format!("ip route add 10.0.0.0/24 dev {link} via inet {}", peer_of(&link)));
        assert!(!pings("10.0.0.5"));
        sh("nft flush ruleset");
        assert!(!pings("10.0.0.5"), "the namespace's own rules hold without the host's");
    }

    async fn networks_of_equal_ranges_stay_apart() {
        outside();
        let fabric = fabric();
        let (one, other) = (network(&[A]), network(&[B]));
        let a = Guest::plug("a", &fabric.ensure(&one).await.unwrap(), A);
        let b = Guest::plug("b", &fabric.ensure(&other).await.unwrap(), B);
        assert_eq!(a.configure("10.0.0.1"), b.configure("10.0.0.1"));
        for guest in [&a, &b] {
            assert!(guest.pings("10.0.0.1"));
            assert_eq!(guest.hears("203.0.113.1", 80).as_deref(), Some("203.0.113.2"));
        }
        assert_eq!(fabric.list().await.unwrap().len(), 2);
    }

    async fn one_network_does_not_reach_another() {
        let fabric = fabric();
        let (one, mut other) = (network(&[A]), NetworkWish { routed_to_host: true, ..network(&[B]) });
        other.subnets[0].cidr = "10.1.0.0/24".parse().unwrap();
        other.subnets[0].gateway = Some("10.1.0.1".parse().unwrap());
        other.ports[0].addresses[0].1 = "10.1.0.5".parse().unwrap();
        let a = Guest::plug("a", &fabric.ensure(&one).await.unwrap(), A);
        let b = Guest::plug("b", &fabric.ensure(&other).await.unwrap(), B);
        a.configure("10.0.0.1");
        b.configure("10.1.0.1");
        assert!(pings("10.1.0.5"));
        assert!(!a.pings("10.1.0.5"));
        assert!(!b.pings("10.0.0.5"));
    }

    async fn guests_leave_by_nat_only_where_it_is_wished() {
        outside();
        let fabric = fabric();
        let wish = network(&[A]);
        let a = Guest::plug("a", &fabric.ensure(&wish).await.unwrap(), A);
        a.configure("10.0.0.1");
        assert_eq!(a.hears("203.0.113.1", 80).as_deref(), Some("203.0.113.2"));
        fabric.ensure(&NetworkWish { nat: false, ..wish.clone() }).await.unwrap();
        assert_eq!(a.hears("203.0.113.1", 80), None);
        fabric.ensure(&wish).await.unwrap();
        assert_eq!(a.hears("203.0.113.1", 80).as_deref(), Some("203.0.113.2"));
    }

    async fn a_guest_with_an_address_of_its_own_choosing_does_not_reach_the_host() {
        outside();
        let fabric = fabric();
        let wish = network(&[A]);
        let bridge = fabric.ensure(&wish).await.unwrap();
        let a = Guest::plug("a", &bridge, A);
        a.set("203.0.113.50/24", "203.0.113.1");
        assert!(!a.pings("203.0.113.2"), "the host does not answer ARP on a bridge");
        let mac = std::fs::read_to_string(format!("/sys/class/net/{bridge}/address")).unwrap();
        sh(&format!("ip -n a neigh replace 203.0.113.2 lladdr {} dev eth0", mac.trim()));
        assert!(!a.pings("203.0.113.2"), "nor anything sent to the bridge itself");
        a.set("10.0.0.5/24", "10.0.0.1");
        assert!(!a.pings(&host_end(&wish)), "nor its end of the way out");
    }

    async fn names_are_resolved_by_the_gateway() {
        let resolver = std::env::temp_dir().join(format!("resolv-{}", std::process::id()));
        std::fs::write(&resolver, "nameserver 127.0.0.1\n").unwrap();
        sh(&format!("mount --bind {} /etc/resolv.conf", resolver.display()));
        let upstream = tokio::net::UdpSocket::bind("127.0.0.1:53").await.unwrap();
        let echo = tokio::spawn(async move {
            let mut query = [0; 512];
            let (length, from) = upstream.recv_from(&mut query).await.unwrap();
            query[2] |= 0x80;
            upstream.send_to(&query[..length], from).await.unwrap();
        });
        let fabric = fabric();
        let a = Guest::plug("a", &fabric.ensure(&network(&[A])).await.unwrap(), A);
        a.configure("10.0.0.1");
        let own = b"\x07\x07\x01\0\0\x01\0\0\0\0\0\0\x0dhost-10-0-0-5\0\0\x01\0\x01";
        assert_eq!(a.resolve("10.0.0.1", own).unwrap()[own.len() + 12..], [10, 0, 0, 5]);
        let other = b"\x08\x08\x01\0\0\x01\0\0\0\0\0\0\x07example\x03org\0\0\x01\0\x01";
        let reply = a.resolve("10.0.0.1", other).unwrap();
        assert_eq!((&reply[..3], &reply[3..]), (&b"\x08\x08\x81"[..], &other[3..]));
        echo.await.unwrap();
        let long = std::net::TcpListener::bind("127.0.0.1:53").unwrap();
        let told = std::thread::spawn(move || long.accept().unwrap().0.write_all(b"a long answer").unwrap());
        assert_eq!(a.hears("10.0.0.1", 53).as_deref(), Some("a long answer"), "over TCP");
        told.join().unwrap();
        let nobody = a.resolve("10.0.0.1", other).unwrap();
        assert_eq!(nobody[3] & 0x0f, 2, "without a resolver the answer is SERVFAIL");
        std::fs::remove_file(resolver).unwrap();
    }

    async fn a_subnet_without_a_gateway_gives_addresses_and_names_but_no_way_out() {
        outside();
        let fabric = fabric();
        let mut wish = network(&[A]);
        wish.subnets[0].gateway = None;
        let a = Guest::plug("a", &fabric.ensure(&wish).await.unwrap(), A);
        let offer = a.discover().unwrap();
        sh(&format!("ip -n a addr add {}/24 dev eth0", offer.address));
        sh("ip -n a route flush default");
        sh("ip -n a route add 169.254.169.254/32 dev eth0"); // as the offer's routes say
        let own = b"\x07\x07\x01\0\0\x01\0\0\0\0\0\0\x0dhost-10-0-0-5\0\0\x01\0\x01";
        assert_eq!(a.resolve("169.254.169.254", own).unwrap()[own.len() + 12..], [10, 0, 0, 5]);
        assert_eq!(a.hears("203.0.113.1", 80), None);
    }

    async fn a_network_of_two_subnets_serves_both() {
        outside();
        let fabric = fabric();
        let mut wish = network(&[A, B]);
        let second = SubnetWish {
            id: SubnetId::random(),
            cidr: "10.1.0.0/24".parse().unwrap(),
            gateway: Some("10.1.0.1".parse().unwrap()),
            ..wish.subnets[0].clone()
        };
        wish.ports[1].addresses = vec![(second.id, "10.1.0.9".parse().unwrap())];
        wish.subnets.push(second);
        let bridge = fabric.ensure(&wish).await.unwrap();
        let (a, b) = (Guest::plug("a", &bridge, A), Guest::plug("b", &bridge, B));
        a.configure("10.0.0.1");
        assert_eq!(b.configure("10.1.0.1"), Ipv4Addr::new(10, 1, 0, 9));
        assert!(a.pings("10.1.0.9"), "the gateway joins them");
        assert_eq!(b.hears("203.0.113.1", 80).as_deref(), Some("203.0.113.2"));
        wish.subnets.pop();
        wish.ports.pop();
        fabric.ensure(&wish).await.unwrap();
        assert!(!b.pings("10.1.0.1"), "a subnet taken from the wish has no gateway left");
        assert!(a.pings("10.0.0.1"));
    }

    async fn a_firewall_that_would_drop_guests_frames_is_reported_and_left_alone() {
        let broken = || checks().into_iter().filter(|finding| finding.severity == Severity::Broken).collect::<Vec<_>>();
        assert_eq!(broken(), []);
        sh("nft add table ip filter");
        sh("nft add chain ip filter FORWARD { type filter hook forward priority 0 ; policy drop ; }");
        let rules = sh("nft list ruleset");
        assert!(broken()[0].text.contains("ip filter FORWARD"));
        assert_eq!(sh("nft list ruleset"), rules);
    }

    async fn remove_leaves_nothing() {
        let fabric = fabric();
        let before = inventory();
        let (tenant, shared) = (network(&[A]), NetworkWish { routed_to_host: true, ..network(&[B]) });
        for wish in [&tenant, &shared] {
            fabric.ensure(wish).await.unwrap();
        }
        assert_ne!(inventory(), before);
        for wish in [&tenant, &shared] {
            fabric.remove(wish.id, Epoch(2)).await.unwrap();
            fabric.remove(wish.id, Epoch(2)).await.unwrap();
        }
        assert_eq!(inventory(), before);
        assert_eq!(fabric.list().await.unwrap(), []);
    }

    async fn a_network_that_joins_machines_is_not_removed() {
        let fabric = fabric();
        let wish = network(&[A]);
        let a = Guest::plug("a", &fabric.ensure(&wish).await.unwrap(), A);
        assert!(matches!(fabric.remove(wish.id, Epoch(2)).await, Err(Error::Conflict(_))));
        assert_eq!(a.discover(), offered(5), "and goes on serving them");
        a.unplug();
        fabric.remove(wish.id, Epoch(2)).await.unwrap();
    }

    async fn a_bridge_of_another_program_is_refused_and_left_alone() {
        let fabric = fabric();
        let wish = network(&[A]);
        let bridge = bridge_name(wish.id);
        for alias in ["", "gapura:other:00000000-0000-4000-8000-000000000000", "uplink of the cellar"] {
            sh(&format!("ip link add name {bridge} type bridge"));
            attempt(&format!("ip link set dev {bridge} alias {}", alias.replace(' ', "_")));
            let before = inventory() + &sh("ip -d link show");
            assert!(matches!(fabric.ensure(&wish).await, Err(Error::Conflict(_))), "{alias}");
            assert!(matches!(fabric.remove(wish.id, Epoch(1)).await, Err(Error::Conflict(_))), "{alias}");
            assert_eq!(fabric.list().await.unwrap(), []);
            assert_eq!(inventory() + &sh("ip -d link show"), before);
            sh(&format!("ip link delete dev {bridge}"));
        }
    }

    async fn a_range_that_the_host_routes_already_is_refused() {
        outside();
        let fabric = fabric();
        let mut wish = NetworkWish { routed_to_host: true, ..network(&[A]) };
        wish.subnets[0].cidr = "203.0.113.0/25".parse().unwrap();
        wish.subnets[0].gateway = Some("203.0.113.100".parse().unwrap());
        let before = inventory();
        assert!(matches!(fabric.ensure(&wish).await, Err(Error::Conflict(_))));
        assert_eq!(inventory(), before);
        wish.routed_to_host = false;
        fabric.ensure(&wish).await.unwrap();
    }

    async fn ipv6_is_said_not_to_be_built() {
        let mut wish = network(&[]);
        wish.subnets[0].cidr = "fd00::/64".parse().unwrap();
        assert!(matches!(fabric().ensure(&wish).await, Err(Error::NotImplemented(_))));
    }

    async fn whatever_is_broken_a_restart_puts_right_under_running_guests() {
        outside();
        let wish = NetworkWish { routed_to_host: true, ..network(&[A]) };
        let first = fabric();
        let bridge = first.ensure(&wish).await.unwrap();
        let a = Guest::plug("a", &bridge, A);
        a.configure("10.0.0.1");
        first.close().await;
        let index = sh(&format!("cat /sys/class/net/{bridge}/ifindex"));
        let short = &bridge[3..];
        let breakages = [
            "true".to_owned(),
            format!("ip link delete dev gin{short}"),
            format!("ip link delete dev gup{short}"),
            format!("ip netns delete gapura-{short}"),
            format!("umount /run/netns/gapura-{short}"),
            format!("ip -n gapura-{short} addr flush dev lan"),
            format!("ip -n gapura-{short} addr add 10.0.0.77/24 dev lan"),
            format!("ip -n gapura-{short} route delete default"),
            format!("ip netns exec gapura-{short} nft flush ruleset"),
            "nft flush ruleset".to_owned(),
            format!("ip link set dev {bridge} down"),
            format!("ip link set dev gin{short} nomaster"),
            format!("ip route delete 10.0.0.0/24 dev gup{short}"),
        ];
        for breakage in &breakages {
            sh(breakage);
            let again = fabric();
            again.ensure(&wish).await.unwrap_or_else(|error| panic!("{breakage}: {error:?}"));
            assert!(pings("10.0.0.5"), "{breakage}: the host reaches the guest");
            assert_eq!(a.hears("203.0.113.1", 80).as_deref(), Some("203.0.113.2"), "{breakage}: the guest gets out");
            assert_eq!(sh(&format!("cat /sys/class/net/{bridge}/ifindex")), index, "{breakage}: same bridge");
            let entered = sh(&format!("ip -n gapura-{short} -br addr show dev lan"));
            assert!(entered.contains("10.0.0.1/24") && !entered.contains("10.0.0.77"), "{breakage}: {entered}");
            assert_eq!(again.list().await.unwrap(), [wish.id]);
            again.close().await;
        }
    }

    async fn a_network_half_made_is_completed_or_removed() {
        let wish = network(&[A]);
        let before = inventory();
        fabric().ensure(&wish).await.unwrap();
        let bridge = bridge_name(wish.id);
        let mac = sh(&format!("cat /sys/class/net/{bridge}/address"));
        fabric().remove(wish.id, Epoch(1)).await.unwrap();
        // As a crash leaves it between making the bridge and naming its owner, and within `ip netns add`.
        let half = || {
            sh(&format!("ip link add name {bridge} address {} type bridge", mac.trim()));
            std::fs::write(format!("/run/netns/gapura-{}", &bridge[3..]), "").unwrap();
        };
        half();
        fabric().remove(wish.id, Epoch(1)).await.unwrap();
        assert_eq!(inventory(), before);
        half();
        let fabric = fabric();
        fabric.ensure(&wish).await.unwrap();
        assert_eq!(Guest::plug("a", &bridge, A).discover(), offered(5));
    }

    async fn an_unchanged_network_costs_nothing() {
        let fabric = fabric();
        let wish = network(&[A]);
        let begun = Instant::now();
        fabric.ensure(&wish).await.unwrap();
        eprintln!("a new network: {:?}", begun.elapsed());
        let fastest = futures::future::join_all((0..20).map(|_| async {
            let begun = Instant::now();
            fabric.ensure(&wish).await.unwrap();
            begun.elapsed()
        }));
        let fastest = fastest.await.into_iter().min().unwrap();
        eprintln!("an unchanged network: {fastest:?}");
        assert!(fastest < Duration::from_millis(5), "{fastest:?}");
    }
}

/// The host's address on a network's way out.
fn host_end(wish: &NetworkWish) -> String {
    let shown = sh(&format!("ip -br addr show dev gup{}", &bridge_name(wish.id)[3..]));
    shown.split_whitespace().nth(2).unwrap().split('/').next().unwrap().to_owned()
}

fn peer_of(link: &str) -> Ipv4Addr {
    let shown = sh(&format!("ip -br addr show dev {link}"));
    let own: Ipv4Addr = shown.split_whitespace().nth(2).unwrap().split('/').next().unwrap().parse().unwrap();
    Ipv4Addr::from(u32::from(own) + 1)
}
