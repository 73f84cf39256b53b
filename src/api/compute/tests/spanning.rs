//! A network on several hosts: each is told who else carries it, before a guest that moves goes on there.

use super::*;
use crate::api::testing::SimulatedHost;
use crate::fabric::FabricFacts;
use crate::fabric::simulated::Call;
use crate::hypervisor::Hypervisor;
use crate::hypervisor::simulated::Simulated;
use http::Method;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::task::JoinHandle;

const LARGE: (u32, u64) = (64, 256 * 1024);

/// Where a host is reached by others.
fn address(number: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, number])
}

fn is_at(host: &SimulatedHost, address: Option<IpAddr>) {
    host.fabric.be(FabricFacts { tunnel_address: address, ..FabricFacts::default() });
}

struct Span {
    site: Arc<Site>,
    admin: Client,
}

impl Span {
    /// Three hosts, at 192.0.2.1 and on.
    async fn of_three() -> Self {
        let site = Arc::new(Site::over(Cloud::with_hosts(&[LARGE; 3]).await).await);
        for (number, host) in (1..).zip(&site.cloud.hosts) {
            is_at(host, Some(address(number)));
        }
        site.cloud.reconcile().await;
        let admin = site.cloud.admin().await;
        Self { site, admin }
    }

    /// A server goes from the first host to the third, and does not arrive before the first's hypervisor lets it.
    async fn with_a_move_under_way() -> (Self, ServerId, Arc<Simulated>, JoinHandle<()>) {
        let span = Self::of_three().await;
        let (web, _database) = (span.boot(1).await, span.boot(2).await);
        let source = span.site.cloud.hosts[0].hypervisor.clone();
        source.hold_moves(true);
        span.migrate(web, 3).await;
        let site = span.site.clone();
        let work = tokio::spawn(async move { site.cloud.work().await });
        (span, web, source, work)
    }

    async fn boot(&self, host: usize) -> ServerId {
        let mut wish = self.site.wish("web");
        wish["server"]["availability_zone"] = json!(format!("nova:host-{host}"));
        let reply = self.admin.post(&format!("{PATH}/servers"), wish).await;
        assert_eq!(reply.status, 202, "{}", reply.json());
        self.site.cloud.work().await;
        ServerId::parse(reply.json()["server"]["id"].as_str().unwrap()).unwrap()
    }

    async fn migrate(&self, id: ServerId, host: usize) {
        let wish = json!({"os-migrateLive": {"host": format!("host-{host}"), "block_migration": "auto"}});
        let path = format!("{PATH}/servers/{id}/action");
        let reply = at(&self.admin, "2.90", Method::POST, &path, &wish).await;
        assert_eq!(reply.status, 202, "{}", reply.json());
    }

    async fn delete(&self, id: ServerId) {
        assert_eq!(self.admin.delete(&format!("{PATH}/servers/{id}")).await.status, 204);
        self.site.cloud.work().await;
    }

    /// Whom each host sends what is for everybody in the network; `None` where it isn't carried.
    fn peers(&self) -> Vec<Option<Vec<IpAddr>>> {
        let wish = |host: &SimulatedHost| host.fabric.wish(self.site.network);
        self.site.cloud.hosts.iter().map(|host| wish(host).map(|wish| wish.tunnel.unwrap().peers)).collect()
    }

    /// Tasks that wait for a host are taken up again.
    async fn later(&self) {
        self.site.cloud.pass_seconds(300);
        self.site.cloud.work().await;
    }
}

fn at_hosts(numbers: &[u8]) -> Option<Vec<IpAddr>> {
    Some(numbers.iter().copied().map(address).collect())
}

#[tokio::test]
async fn every_host_of_a_network_knows_the_others_as_they_come_and_go() {
    let span = Span::of_three().await;
    let web = span.boot(1).await;
    assert_eq!(span.peers(), [at_hosts(&[]), None, None]);
    let database = span.boot(2).await;
    assert_eq!(span.peers(), [at_hosts(&[2]), at_hosts(&[1]), None]);
    let vni = |host: usize| span.site.cloud.hosts[host].fabric.wish(span.site.network).unwrap().tunnel.unwrap().vni;
    assert_eq!(vni(0), vni(1));
    let shown = span.admin.get(&format!("/network/v2.0/networks/{}", span.site.network)).await.json();
    assert_eq!(shown["network"]["provider:segmentation_id"], vni(0));
    span.delete(database).await;
    assert_eq!(span.peers(), [at_hosts(&[]), None, None]);
    span.delete(web).await;
    assert_eq!(span.peers(), [None, None, None]);
}

#[tokio::test]
async fn a_host_that_a_guest_moves_to_is_known_to_the_others_before_the_guest_goes_on_there() {
    let (span, web, source, work) = Span::with_a_move_under_way().await;
    while source.migration(web).await.unwrap().is_none_or(|now| now.phase.is_over()) {
        tokio::task::yield_now().await;
    }
    assert_eq!(span.peers(), [at_hosts(&[2, 3]), at_hosts(&[1, 3]), at_hosts(&[1, 2])]);
    source.hold_moves(false);
    work.await.unwrap();
    span.later().await;
    assert_eq!(show(&span.admin, web).await["OS-EXT-SRV-ATTR:host"], "host-3");
    assert_eq!(span.peers(), [None, at_hosts(&[3]), at_hosts(&[2])]);
}

#[tokio::test]
async fn a_host_that_can_not_be_told_now_keeps_nobody_waiting_and_hears_of_it_later() {
    let span = Span::of_three().await;
    span.boot(1).await;
    let fabric = &span.site.cloud.hosts[0].fabric;
    for _ in 0..2 {
        fabric.fail_next(Call::Ensure);
    }
    let database = span.boot(2).await;
    assert_eq!(show(&span.admin, database).await["status"], "ACTIVE");
    assert_eq!(span.peers(), [at_hosts(&[]), at_hosts(&[1]), None]);
    span.later().await;
    assert_eq!(span.peers(), [at_hosts(&[2]), at_hosts(&[1]), None]);
}

#[tokio::test]
async fn a_host_that_is_elsewhere_now_or_nowhere_is_sent_what_is_for_it_where_it_is() {
    let span = Span::of_three().await;
    span.boot(1).await;
    span.boot(2).await;
    is_at(&span.site.cloud.hosts[1], Some(address(22)));
    span.site.cloud.reconcile().await;
    span.site.cloud.work().await;
    assert_eq!(span.peers(), [at_hosts(&[22]), at_hosts(&[1]), None]);
    is_at(&span.site.cloud.hosts[1], None);
    span.site.cloud.reconcile().await;
    span.site.cloud.work().await;
    assert_eq!(span.peers(), [at_hosts(&[]), at_hosts(&[1]), None]);
}

#[tokio::test]
async fn a_move_that_fails_leaves_no_trace_of_its_target_with_the_others() {
    let (span, web, _source, work) = Span::with_a_move_under_way().await;
    let path = format!("{PATH}/servers/{web}/migrations");
    let number = loop {
        let found = at(&span.admin, "2.80", Method::GET, &path, &Value::Null).await.json()["migrations"][0].clone();
        if found["status"] == "running" {
            break found["id"].as_i64().unwrap();
        }
        tokio::task::yield_now().await;
    };
    let aborted = at(&span.admin, "2.24", Method::DELETE, &format!("{path}/{number}"), &Value::Null).await;
    assert_eq!(aborted.status, 202, "{}", aborted.json());
    work.await.unwrap();
    span.later().await;
    assert_eq!(show(&span.admin, web).await["OS-EXT-SRV-ATTR:host"], "host-1");
    assert_eq!(span.peers(), [at_hosts(&[2]), at_hosts(&[1]), None]);
}

#[tokio::test]
async fn servers_of_an_operators_network_are_only_where_it_is_plugged_in() {
    let site = Site::over(Cloud::with_hosts(&[LARGE; 3]).await).await;
    let (admin, alice) = (site.cloud.admin().await, site.cloud.member("alice").await);
    let nets = "/network/v2.0/networks";
    let wish = |name: &str| json!({"network": {"shared": true, "provider:network_type": "flat", "provider:physical_network": name}});
    let unknown = admin.post(nets, wish("physnet1")).await;
    assert_eq!(unknown.status, 400);
    let why = "Invalid input for operation: physical_network 'physnet1' unknown for flat provider network.";
    assert_eq!(unknown.json()["NeutronError"]["message"], why);
    for number in [1, 2] {
        let physical_networks = [format!("physnet{number}"), "physnet9".to_owned()].into();
        site.cloud.hosts[number].fabric.be(FabricFacts { physical_networks, ..FabricFacts::default() });
    }
    site.cloud.reconcile().await;
    assert_eq!(alice.post(nets, wish("physnet1")).await.status, 403);
    let made = admin.post(nets, wish("physnet1")).await.json()["network"].clone();
    assert_eq!((&made["mtu"], &made["provider:segmentation_id"]), (&json!(1500), &json!(null)), "{made}");
    assert_eq!(
        (&made["provider:network_type"], &made["provider:physical_network"]),
        (&json!("flat"), &json!("physnet1"))
    );
    let again = admin.post(nets, wish("physnet1")).await;
    assert_eq!(again.status, 409);
    let why = "Unable to create the flat network. Physical network physnet1 is in use.";
    assert_eq!(again.json()["NeutronError"]["message"], why);
    let subnet = json!({"subnet": {"network_id": made["id"], "ip_version": 4, "cidr": "10.30.0.0/24"}});
    assert_eq!(admin.post("/network/v2.0/subnets", subnet).await.status, 201);

    let boot = async |host: Option<&str>| {
        let mut wish = site.wish("web");
        wish["server"]["networks"] = json!([{"uuid": made["id"]}]);
        if let Some(host) = host {
            wish["server"]["availability_zone"] = json!(format!("nova:{host}"));
        }
        let reply = admin.post(&format!("{PATH}/servers"), wish).await;
        assert_eq!(reply.status, 202, "{}", reply.json());
        site.cloud.work().await;
        ServerId::parse(reply.json()["server"]["id"].as_str().unwrap()).unwrap()
    };
    let web = boot(None).await;
    assert_eq!(show(&admin, web).await["OS-EXT-SRV-ATTR:host"], "host-2", "the only one that is plugged in");
    let network = NetworkId::parse(made["id"].as_str().unwrap()).unwrap();
    let there = site.cloud.hosts[1].fabric.wish(network).unwrap();
    assert_eq!((there.physical_network.as_deref(), there.nat, there.tunnel), (Some("physnet1"), false, None));
    let refused = show(&admin, boot(Some("host-3")).await).await;
    assert_eq!(refused["status"], "ERROR");
    let why = "No valid host was found. host-3 is not plugged into physnet1.";
    assert_eq!(refused["fault"]["message"], why);
    let details = refused["fault"]["details"].as_str().unwrap();
    assert!(details.contains("'PhysicalNetworkFilter: (start: 1, end: 0)'"), "{details}");
    let path = format!("{PATH}/servers/{web}/action");
    let live = json!({"os-migrateLive": {"host": "host-3", "block_migration": "auto"}});
    let kept = at(&admin, "2.90", Method::POST, &path, &live).await;
    site.cloud.work().await;
    let shown = show(&admin, web).await;
    assert_eq!(
        (&shown["OS-EXT-SRV-ATTR:host"], &shown["status"]),
        (&json!("host-2"), &json!("ACTIVE")),
        "{}",
        kept.text()
    );
}
