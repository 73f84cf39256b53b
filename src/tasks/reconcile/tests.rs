//! Which hosts are looked at, and when.

use super::{Promises, Reconciler};
use crate::api::testing::Cloud;
use crate::clock::Timestamp;
use crate::cloud::segment::Wanted;
use crate::error::Result;
use crate::fabric::{Fabric, NetworkWish};
use crate::hypervisor::Epoch;
use crate::hypervisor::simulated::Call;
use crate::ids::{HostId, NetworkId, PortId, ServerId};
use crate::store::networks::{self, NewNetwork};
use crate::store::{Tx, args};
use crate::tasks::Hosts;
use std::time::Duration;
use tokio::sync::oneshot;

fn reconciler(cloud: &Cloud) -> Reconciler {
    let state = &cloud.state;
    Reconciler {
        db: state.db.clone(),
        clock: state.clock.clone(),
        hosts: state.hosts.clone(),
        promises: Promises::default(),
        runner: state.runner.clone(),
        waits: state.waits,
    }
}

fn looks(cloud: &Cloud, host: usize) -> usize {
    cloud.hosts[host].hypervisor.calls().iter().filter(|(call, _)| *call == Call::List).count()
}

/// Returns once it is so; how long that takes is not what is tested.
async fn until(is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("it happens");
}

#[tokio::test]
async fn a_host_that_signals_is_looked_at_and_the_others_are_left_alone() {
    let cloud = Cloud::with_hosts(&[(4, 4096), (4, 4096)]).await;
    let before = [looks(&cloud, 0), looks(&cloud, 1)];
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(reconciler(&cloud).run(async move { drop(stopped.await) }));
    until(|| looks(&cloud, 0) == before[0] + 1 && looks(&cloud, 1) == before[1] + 1).await;
    for more in [2, 3] {
        cloud.hosts[1].hypervisor.lose(ServerId::random());
        until(|| looks(&cloud, 1) == before[1] + more).await;
    }
    assert_eq!(looks(&cloud, 0), before[0] + 1);
    stop.send(()).unwrap();
    running.await.unwrap();
}

/// A server on the host has an interface in the network.
fn have_port(tx: &mut Tx, network: NetworkId, host: HostId) -> Result<()> {
    let server = ServerId::random();
    tx.execute(
        "INSERT INTO servers (id, project_id, user_id, name, hostname, state, power, host_id, flavor, flavor_id,
                              image_properties, metadata, config_drive, reservation_id, launch_index, scheduler_hints,
                              access_ip_v4, access_ip_v6, disk_config, progress, created_at, updated_at)
         VALUES (?2, 'p', 'u', 'web', 'web', 'active', 'running', ?1, '{}', '1', '{}', '{}', 1, 'r-1', 0, '{}', '', '',
                 'MANUAL', 0, 1, 1)",
        args![host, server],
    )?;
    tx.execute(
        "INSERT INTO ports (id, network_id, project_id, name, description, mac_address, admin_state_up, status, device_id,
                            device_owner, server_id, host_id, position, made_for_server, tags, revision, created_at, updated_at)
         VALUES (?3, ?1, 'p', '', '', 'fa:16:3e:00:00:01', 1, 'ACTIVE', ?4, 'compute:nova', ?4, ?2, 0, 1, '[]', 1, 1, 1)",
        args![network, host, PortId::random(), server],
    )
    .map(drop)
}

#[tokio::test]
async fn a_host_whose_program_starts_takes_up_its_networks_again_and_lets_go_what_nobody_needs_there() {
    let cloud = Cloud::with_hosts(&[(4, 4096)]).await;
    let new = NewNetwork {
        project_id: "p".into(),
        name: "web".to_owned(),
        description: String::new(),
        shared: false,
        mtu: 1400,
        segment: Wanted::Tunnel,
    };
    let network = cloud.state.db.write(move |tx| networks::insert(tx, &new, Timestamp(1))).await.unwrap();
    let (id, host) = (network.id, cloud.hosts[0].id);
    cloud.state.db.write(move |tx| have_port(tx, id, host)).await.unwrap();
    let empty = NewNetwork {
        project_id: "p".into(),
        name: "left".to_owned(),
        description: String::new(),
        shared: false,
        mtu: 1400,
        segment: Wanted::Tunnel,
    };
    let empty = cloud.state.db.write(move |tx| networks::insert(tx, &empty, Timestamp(1))).await.unwrap();
    let older = NetworkWish {
        id: network.id,
        epoch: Epoch(0),
        mtu: 1500,
        subnets: Vec::new(),
        ports: Vec::new(),
        routed_to_host: false,
        nat: true,
        tunnel: None,
        physical_network: None,
    };
    let (fabric, unknown) = (&cloud.hosts[0].fabric, NetworkId::random());
    fabric.ensure(&older).await.unwrap();
    fabric.ensure(&NetworkWish { id: empty.id, ..older.clone() }).await.unwrap();
    fabric.ensure(&NetworkWish { id: unknown, ..older }).await.unwrap();
    let mtu = |network| fabric.wish(network).map(|wish| wish.mtu);
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(reconciler(&cloud).run(async move { drop(stopped.await) }));
    until(|| mtu(network.id) == Some(1400) && mtu(empty.id).is_none()).await;
    assert_eq!(mtu(unknown), Some(1500), "what has no row is not touched");
    stop.send(()).unwrap();
    running.await.unwrap();
}

#[tokio::test]
async fn a_host_that_comes_later_is_looked_at_and_listened_to() {
    let cloud = Cloud::with_hosts(&[(4, 4096), (4, 4096)]).await;
    let [first, second] = [0, 1].map(|at| cloud.hosts[at].id);
    let both = cloud.state.hosts.now();
    let alone = Hosts::new(both.get(first).cloned());
    cloud.state.hosts.set(alone.clone());
    let before = [looks(&cloud, 0), looks(&cloud, 1)];
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(reconciler(&cloud).run(async move { drop(stopped.await) }));
    until(|| looks(&cloud, 0) == before[0] + 1).await;
    assert_eq!(looks(&cloud, 1), before[1]);
    cloud.state.hosts.set(both.clone());
    until(|| looks(&cloud, 1) == before[1] + 1).await;
    cloud.hosts[1].hypervisor.lose(ServerId::random());
    until(|| looks(&cloud, 1) == before[1] + 2).await;
    assert_eq!(looks(&cloud, 0), before[0] + 1, "the other was left alone");
    assert!(both.get(second).is_ok());
    stop.send(()).unwrap();
    running.await.unwrap();
}

#[tokio::test]
async fn a_host_that_is_away_is_told_and_keeps_nobody_from_the_others() {
    let cloud = Cloud::with_hosts(&[(4, 4096), (4, 4096), (4, 4096)]).await;
    cloud.hosts[1].hypervisor.set_away(true);
    let before = looks(&cloud, 2);
    let away = reconciler(&cloud).once().await;
    assert_eq!(away.keys().copied().collect::<Vec<_>>(), [cloud.hosts[1].id]);
    assert!(away[&cloud.hosts[1].id].starts_with("host-2: "));
    assert_eq!(looks(&cloud, 2), before + 1);
}
