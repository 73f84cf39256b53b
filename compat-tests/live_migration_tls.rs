//! A real guest moves between two real hosts over TLS, with the certificates that joining a cloud gives their QEMUs.

use crate::two_hosts::{Fleet, Guest, Storage, eventually};
use gapura::clock::Clock;
use gapura::hosts::hypervisor_tls::{Keeper, Reached, State, keep, wanted};
use gapura::hypervisor::Limits;
use gapura::ids::HostId;
use gapura::node::certificates::{Asker, Authorities, Purpose};
use gapura::tasks::migrate_server::Moving;
use serde_json::json;

/// Slow enough to look at it in the middle.
const OVER_TLS: Limits =
    Limits { bandwidth_mib: Some(8), auto_converge: false, post_copy: false, connections: 1, zstd: false, tls: true };

fn authorities() -> Authorities {
    let folder = tempfile::tempdir().unwrap();
    Authorities::load_or_create(folder.path(), "c1", Clock::System.now()).unwrap()
}

/// Gives a host's QEMU certificates, as joining does; whom they name.
fn joins(fleet: &Fleet, host: usize, by: &Authorities) -> String {
    let (place, id, now) = (fleet.pair.certificates(host), HostId::random(), Clock::System.now());
    let places = [place.clone()];
    let (asked, notes) = wanted(&places, &Reached::default(), true, now);
    assert!(notes.is_empty(), "{notes:?}");
    let asker = Asker { id, at: None, others: Vec::new() };
    let granted = asked.iter().map(|asked| by.grant(&asker, asked, now).unwrap()).collect::<Vec<_>>();
    assert_eq!(keep(&places, &granted).len(), 1);
    assert_eq!(place.keeper(), Keeper::Gapura);
    assert!(matches!(place.state(now), State::Good(_)), "{:?}", place.state(now));
    Purpose::Migration.role(id)
}

async fn moves_over_tls(guest: &Guest<'_>, role: &str) {
    let before = guest.lives().await;
    let number = guest.send(Some(1), json!("auto")).await;
    let parameters = eventually("QEMU is told how to move", async || {
        let said = guest.move_parameters(0).await;
        (said["tls-creds"] != "").then_some(said)
    })
    .await;
    assert_eq!(parameters["tls-hostname"], role, "the target is known by its role: {parameters}");
    guest.is_settled("ACTIVE").await;
    let record = guest.record().await;
    assert_eq!((record["id"].as_i64(), record["status"].as_str()), (Some(number), Some("completed")), "{record}");
    guest.runs_only_on(1).await;
    guest.has_lived_on_since(before).await;
}

/// A target whose certificate is not of the cloud gets nothing, and the guest goes on.
async fn stays_away_from_a_stranger(guest: &Guest<'_>) {
    let before = guest.lives().await;
    let number = guest.send(Some(0), json!("auto")).await;
    guest.is_settled("ACTIVE").await;
    let record = guest.record().await;
    assert_eq!((record["id"].as_i64(), record["status"].as_str()), (Some(number), Some("error")), "{record}");
    guest.runs_only_on(1).await;
    guest.has_lived_on_since(before).await;
    let why = guest.reason(number).await;
    assert!(why.contains("certificate") && why.contains("issuer"), "{why}");
}

async fn a_move_is_over_tls_or_not_at_all(storage: Storage) {
    let Some(fleet) = Fleet::start(storage, Moving { limits: OVER_TLS, ..Moving::default() }).await else { return };
    let cloud = authorities();
    joins(&fleet, 0, &cloud);
    let role = joins(&fleet, 1, &cloud);
    let guest = fleet.boot().await;
    moves_over_tls(&guest, &role).await;
    joins(&fleet, 0, &authorities());
    stays_away_from_a_stranger(&guest).await;
    // It joins again, and is believed again.
    joins(&fleet, 0, &cloud);
    guest.move_over().await;
    guest.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_and_disks_go_over_tls_to_hosts_of_the_cloud_alone() {
    a_move_is_over_tls_or_not_at_all(Storage::Apart).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_alone_goes_over_tls_to_hosts_of_the_cloud_alone() {
    a_move_is_over_tls_or_not_at_all(Storage::Shared).await;
}
