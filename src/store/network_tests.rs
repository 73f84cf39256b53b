//! What networks, subnets and ports promise, on both engines.

use super::allocations::{AddressWish, Addresses};
use super::network_quotas::{self, Resource};
use super::networks::{self, Network, NewNetwork};
use super::ports::{self, NewPort, Only, Port};
use super::server_ports::{self, Interface};
use super::subnets::{self, NewSubnet, Subnet};
use super::testing::store_test;
use super::{Db, Tx};
use crate::clock::Timestamp;
use crate::cloud::address;
use crate::cloud::policy::Reach;
use crate::cloud::segment::{Segment, Wanted};
use crate::error::{Error, Result};
use crate::ids::{NetworkId, ProjectId, ServerId};
use futures::future::join_all;
use std::collections::HashSet;

const NOW: Timestamp = Timestamp(1_795_315_269_000_000);

fn network(tx: &mut Tx, project: &str, shared: bool) -> Result<Network> {
    let new = NewNetwork {
        project_id: project.into(),
        name: "net".to_owned(),
        description: String::new(),
        shared,
        mtu: 1500,
        segment: Wanted::Tunnel,
    };
    networks::insert(tx, &new, NOW)
}

fn subnet(tx: &mut Tx, network: &Network, cidr: &str) -> Result<Subnet> {
    let cidr = cidr.parse().unwrap();
    let gateway = address::default_gateway(cidr);
    let new = NewSubnet {
        network_id: network.id,
        project_id: network.project_id.clone(),
        name: String::new(),
        description: String::new(),
        cidr,
        gateway,
        enable_dhcp: true,
        pools: address::default_pools(cidr, gateway),
        dns_servers: Vec::new(),
        host_routes: Vec::new(),
    };
    subnets::insert(tx, &new, NOW)
}

fn port(tx: &mut Tx, network: NetworkId, project: &str, addresses: Addresses) -> Result<Port> {
    let new = NewPort {
        network_id: network,
        project_id: project.into(),
        name: String::new(),
        description: String::new(),
        mac_address: None,
        device_id: String::new(),
        device_owner: String::new(),
        server_id: None,
        position: 0,
        made_for_server: false,
        addresses,
    };
    ports::insert(tx, &new, NOW)
}

fn at(address: &str) -> Addresses {
    Addresses::These(vec![AddressWish { subnet_id: None, ip_address: Some(address.parse().unwrap()) }])
}

fn interface(server: ServerId, position: u32) -> Interface<'static> {
    Interface { server, position, zone: "nova" }
}

async fn with_subnet(db: &Db, project: &'static str, shared: bool, cidr: &'static str) -> Network {
    db.write(move |tx| {
        let network = network(tx, project, shared)?;
        subnet(tx, &network, cidr)?;
        networks::of_id(tx, network.id)
    })
    .await
    .unwrap()
}

fn conflict<T: std::fmt::Debug>(outcome: Result<T>) -> String {
    match outcome {
        Err(Error::Conflict(text)) => text,
        other => panic!("a conflict was expected, not {other:?}"),
    }
}

store_test! {
    async fn no_two_networks_have_the_same_segment(db: Db) {
        let racers = (0..50).map(|_| {
            let db = db.clone();
            async move { db.write(|tx| network(tx, "a", false)).await.unwrap() }
        });
        let made = join_all(racers).await;
        let vnis: HashSet<_> = made.iter().map(|network| network.segment.segmentation_id().unwrap()).collect();
        assert_eq!(vnis.len(), 50);
        let of = |segment: Wanted| move |tx: &mut Tx| {
            let (name, segment) = (String::new(), segment.clone());
            let new = NewNetwork { project_id: "a".into(), description: name.clone(), name, shared: false, mtu: 1450, segment };
            networks::insert(tx, &new, NOW)
        };
        let vni = *vnis.iter().next().unwrap();
        let taken = db.write(of(Wanted::TunnelOf(vni))).await.unwrap_err();
        let text = format!("Unable to create the network. The tunnel ID {vni} is in use.");
        assert!(matches!(&taken, Error::Conflict(why) if *why == text), "{taken:?}");
        let free = (1..).find(|vni| !vnis.contains(vni)).unwrap();
        assert_eq!(db.write(of(Wanted::TunnelOf(free))).await.unwrap().segment, Segment::Tunnel(free));
        for _ in 0..2 {
            assert_eq!(db.write(of(Wanted::Local)).await.unwrap().segment, Segment::Local);
        }
    }

    async fn a_hundred_ports_at_once_get_a_hundred_addresses(db: Db) {
        let network = with_subnet(&db, "a", false, "10.0.0.0/24").await;
        let racers = (0..100).map(|_| {
            let db = db.clone();
            async move { db.write(move |tx| port(tx, network.id, "a", Addresses::Any)).await.unwrap() }
        });
        let ports = join_all(racers).await;
        let addresses: HashSet<_> = ports.iter().map(|port| port.fixed_ips[0].ip_address).collect();
        let macs: HashSet<_> = ports.iter().map(|port| port.mac_address.clone()).collect();
        assert_eq!((addresses.len(), macs.len()), (100, 100));
        let then = db.read(move |tx| networks::of_id(tx, network.id)).await.unwrap();
        assert_eq!(then.epoch, network.epoch + 100, "hosts can tell each of the hundred pictures from the others");
    }

    async fn an_address_asked_for_by_many_is_given_to_one(db: Db) {
        let network = with_subnet(&db, "a", false, "10.0.0.0/24").await;
        let racers = (0..10).map(|_| {
            let db = db.clone();
            async move { db.write(move |tx| port(tx, network.id, "a", at("10.0.0.9"))).await }
        });
        let outcomes = join_all(racers).await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        for lost in outcomes.into_iter().filter(Result::is_err) {
            assert!(conflict(lost).contains("10.0.0.9 already allocated"));
        }
    }

    async fn an_exhausted_network_gives_no_port_until_one_is_deleted(db: Db) {
        let network = with_subnet(&db, "a", false, "10.0.0.0/30").await;
        let last = db.write(move |tx| port(tx, network.id, "a", Addresses::Any)).await.unwrap();
        assert_eq!(last.fixed_ips[0].ip_address.to_string(), "10.0.0.2");
        let text = conflict(db.write(move |tx| port(tx, network.id, "a", Addresses::Any)).await);
        assert_eq!(text, format!("No more IP addresses available on network {}.", network.id));
        let kept = db.read(move |tx| ports::of_network(tx, network.id)).await.unwrap();
        assert_eq!(kept.len(), 1, "a port that got no address is not there");
        db.write(move |tx| ports::delete(tx, &last)).await.unwrap();
        db.write(move |tx| port(tx, network.id, "a", Addresses::Any)).await.unwrap();
    }

    async fn the_gateway_and_addresses_of_elsewhere_are_no_ports(db: Db) {
        let network = with_subnet(&db, "a", false, "10.0.0.0/24").await;
        let gateway = db.write(move |tx| port(tx, network.id, "a", at("10.0.0.1"))).await;
        assert!(conflict(gateway).contains("10.0.0.1 already allocated"));
        for wrong in ["10.0.1.5", "10.0.0.0", "10.0.0.255"] {
            let outcome = db.write(move |tx| port(tx, network.id, "a", at(wrong))).await;
            assert!(matches!(outcome, Err(Error::BadRequest(_))), "{wrong}: {outcome:?}");
        }
    }

    async fn equal_ranges_meet_in_one_network_only(db: Db) {
        let network = with_subnet(&db, "a", false, "10.0.0.0/24").await;
        with_subnet(&db, "b", false, "10.0.0.0/24").await;
        let again = db
            .write(move |tx| {
                let network = networks::of_id(tx, network.id)?;
                subnet(tx, &network, "10.0.0.128/25")
            })
            .await;
        assert!(matches!(again, Err(Error::BadRequest(text)) if text.contains("overlaps with another subnet")));
    }

    async fn shared_networks_are_one_space_of_addresses(db: Db) {
        with_subnet(&db, "a", true, "10.0.0.0/24").await;
        let outcome = db
            .write(|tx| {
                let other = network(tx, "b", true)?;
                subnet(tx, &other, "10.0.0.0/16")
            })
            .await;
        assert!(matches!(outcome, Err(Error::BadRequest(text)) if text.contains("another shared network")));
        let own = with_subnet(&db, "b", false, "10.0.0.0/16").await;
        conflict(db.read(move |tx| subnets::refuse_overlap_when_shared(tx, own.id)).await);
    }

    async fn a_project_sees_its_own_networks_and_shared_ones(db: Db) {
        let own = with_subnet(&db, "a", false, "10.0.0.0/24").await.id;
        let shared = with_subnet(&db, "b", true, "10.1.0.0/24").await.id;
        let others = with_subnet(&db, "b", false, "10.2.0.0/24").await.id;
        db.read(move |tx| {
            let reach = Reach::Project("a".into());
            let seen: Vec<_> = networks::list_visible(tx, &reach)?.iter().map(|network| network.id).collect();
            assert_eq!(HashSet::from([own, shared]), seen.into_iter().collect());
            assert_eq!(subnets::list_visible(tx, &reach)?.len(), 2);
            assert!(networks::visible(tx, &reach, others).unwrap_err().is_not_found());
            assert!(networks::owned(tx, &reach, shared).unwrap_err().is_not_found());
            assert_eq!(networks::list_visible(tx, &Reach::Cloud)?.len(), 3);
            Ok(())
        })
        .await
        .unwrap();
    }

    async fn a_port_is_seen_by_its_project_and_by_its_networks(db: Db) {
        let network = with_subnet(&db, "owner", true, "10.0.0.0/24").await;
        let port = db.write(move |tx| port(tx, network.id, "user", Addresses::Any)).await.unwrap().id;
        db.read(move |tx| {
            let of = |project: &str| Reach::Project(project.into());
            assert_eq!(ports::list_visible(tx, &of("user"), &Only::default())?.len(), 1);
            assert_eq!(ports::list_visible(tx, &of("owner"), &Only::default())?.len(), 1);
            assert_eq!(ports::list_visible(tx, &of("stranger"), &Only::default())?.len(), 0);
            assert!(ports::visible(tx, &of("stranger"), port).unwrap_err().is_not_found());
            assert!(ports::owned(tx, &of("owner"), port).unwrap_err().is_not_found());
            Ok(())
        })
        .await
        .unwrap();
    }

    async fn a_network_with_ports_and_a_subnet_with_addresses_stay(db: Db) {
        let network = with_subnet(&db, "a", false, "10.0.0.0/24").await.id;
        let port = db.write(move |tx| port(tx, network, "a", Addresses::Any)).await.unwrap();
        assert!(conflict(db.write(move |tx| networks::delete(tx, network)).await).contains("still in use"));
        let subnet = db.read(move |tx| Ok(subnets::of_network(tx, network)?.remove(0))).await.unwrap();
        let text = conflict(db.write(move |tx| subnets::delete(tx, &subnet)).await);
        assert!(text.contains("have an IP allocation from this subnet"));
        db.write(move |tx| ports::delete(tx, &port)).await.unwrap();
        db.write(move |tx| networks::delete(tx, network)).await.unwrap();
        assert!(db.read(move |tx| subnets::list_visible(tx, &Reach::Cloud)).await.unwrap().is_empty());
    }

    async fn a_servers_own_ports_go_with_it_and_lent_ones_stay(db: Db) {
        let network = with_subnet(&db, "a", false, "10.0.0.0/24").await.id;
        let server = ServerId::random();
        let lent = db.write(move |tx| port(tx, network, "a", Addresses::Any)).await.unwrap();
        let reach = Reach::Project("a".into());
        db.write(move |tx| {
            server_ports::create_for_server(tx, network, &"a".into(), interface(server, 1), Some("10.0.0.77".parse().unwrap()), NOW)?;
            server_ports::attach(tx, &reach, lent.id, interface(server, 0), NOW)
        })
        .await
        .unwrap();
        let ports = db.read(move |tx| server_ports::of_server(tx, server)).await.unwrap();
        let shown: Vec<_> = ports.iter().map(|port| port.fixed_ips[0].ip_address.to_string()).collect();
        assert_eq!(shown, ["10.0.0.2", "10.0.0.77"]);
        assert_eq!(ports[0].device_owner, "compute:nova");
        let again = db.write(move |tx| server_ports::attach(tx, &Reach::Cloud, lent.id, interface(ServerId::random(), 0), NOW)).await;
        assert!(conflict(again).contains("still in use"));
        let networks = db.write(move |tx| server_ports::delete_of_server(tx, server, NOW)).await.unwrap();
        assert_eq!(networks, [network]);
        let left = db.read(move |tx| ports::of_network(tx, network)).await.unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!((left[0].id, left[0].device_id.as_str(), left[0].server_id), (lent.id, "", None));
    }

    async fn a_port_that_names_a_server_is_no_part_of_it(db: Db) {
        let network = with_subnet(&db, "a", false, "10.0.0.0/24").await.id;
        let server = ServerId::random();
        db.write(move |tx| {
            let mut spoof = port(tx, network, "a", Addresses::Any)?;
            spoof.device_id = server.to_string();
            spoof.device_owner = "compute:nova".to_owned();
            ports::update(tx, &spoof, None, NOW)
        })
        .await
        .unwrap();
        assert!(db.read(move |tx| server_ports::of_server(tx, server)).await.unwrap().is_empty());
    }

    async fn a_project_at_its_limit_gets_no_more_ports(db: Db) {
        let network = with_subnet(&db, "a", false, "10.0.0.0/24").await.id;
        let project = ProjectId::from("a");
        let outcome = db.write(move |tx| network_quotas::check(tx, &project, Resource::Port, 501)).await;
        assert!(matches!(outcome, Err(Error::OverQuota(text)) if text == "Quota exceeded for resources: ['port']."));
        let project = ProjectId::from("a");
        let made = db.write(move |tx| server_ports::create_for_server(tx, network, &project, interface(ServerId::random(), 0), None, NOW)).await;
        assert!(made.is_ok());
    }
}
