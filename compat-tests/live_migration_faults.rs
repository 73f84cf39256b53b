//! What happens to a real guest when its move between two real hosts goes wrong, or has a hard time.
//!
//! After each: one host runs it and no other, it did not boot again, and the record tells how it ended.

use crate::two_hosts::{Beat, Fleet, Guest, Storage};
use gapura::cloud::moving::{OnTimeout, Pace};
use gapura::hypervisor::{Limits, Power, Standing};
use gapura::tasks::migrate_server::Moving;
use http::Method;
use serde_json::{Value, json};

/// Slow enough to do something about it in the middle.
const SLOW: Limits =
    Limits { bandwidth_mib: Some(2), auto_converge: false, post_copy: false, connections: 1, zstd: false, tls: false };
/// What a hard-working guest can't be sent with.
const NARROW: Limits = Limits { bandwidth_mib: Some(16), ..SLOW };

fn with(limits: Limits) -> Moving {
    Moving { limits, ..Moving::default() }
}

/// A move that has begun.
async fn on_its_way(guest: &Guest<'_>) -> (i64, Beat) {
    let before = guest.lives().await;
    let number = guest.send(Some(1), json!("auto")).await;
    guest.is_under_way(number).await;
    (number, before)
}

/// It stayed where it was, and has not noticed.
async fn it_stayed(guest: &Guest<'_>, number: i64, before: Beat, status: &str) {
    guest.is_settled("ACTIVE").await;
    let record = guest.record().await;
    assert_eq!((record["id"].as_i64(), record["status"].as_str()), (Some(number), Some(status)), "{record}");
    guest.runs_only_on(0).await;
    guest.has_lived_on_since(before).await;
}

async fn it_moved(guest: &Guest<'_>, before: Beat) {
    guest.is_settled("ACTIVE").await;
    let record = guest.record().await;
    assert_eq!(record["status"], "completed", "{record}");
    guest.runs_only_on(1).await;
    guest.has_lived_on_since(before).await;
}

/// Its move is to end now.
async fn forced(guest: &Guest<'_>, number: i64) {
    let path = format!("/servers/{}/migrations/{number}/action", guest.id);
    let forced = guest.fleet.ask(Method::POST, &path, &json!({"force_complete": null})).await;
    assert_eq!(forced.status, 202, "{}", forced.text());
}

async fn called_off(guest: &Guest<'_>) {
    let (number, before) = on_its_way(guest).await;
    let path = format!("/servers/{}/migrations/{number}", guest.id);
    assert_eq!(guest.fleet.ask(Method::DELETE, &path, &Value::Null).await.status, 202);
    it_stayed(guest, number, before, "cancelled").await;
}

async fn without_the_other_libvirtd(guest: &Guest<'_>) {
    let (number, before) = on_its_way(guest).await;
    guest.fleet.pair.control("kill", &["b"]);
    it_stayed(guest, number, before, "error").await;
}

async fn without_the_own_libvirtd(guest: &Guest<'_>) {
    let (number, before) = on_its_way(guest).await;
    guest.fleet.pair.control("kill", &["a"]);
    it_stayed(guest, number, before, "error").await;
}

async fn without_a_wire(guest: &Guest<'_>) {
    let (number, before) = on_its_way(guest).await;
    guest.fleet.pair.control("cut", &[]);
    it_stayed(guest, number, before, "error").await;
    guest.fleet.pair.control("mend", &[]);
}

/// Its process dies: it is off, at the host where it was, and can be started there.
async fn without_its_qemu(guest: &Guest<'_>) {
    let (number, _) = on_its_way(guest).await;
    let name = format!("instance-{}", &guest.id.to_string()[..8]);
    guest.fleet.pair.control("unplug", &["a", &name]);
    guest.is_settled("SHUTOFF").await;
    let record = guest.record().await;
    assert_eq!((record["id"].as_i64(), record["status"].as_str()), (Some(number), Some("error")), "{record}");
    assert_eq!((guest.standing(0).await, guest.standing(1).await), (Standing::Off, Standing::Absent));
    assert_eq!(guest.place().await, 0);
    let path = format!("/servers/{}/action", guest.id);
    assert_eq!(guest.fleet.ask(Method::POST, &path, &json!({"os-start": null})).await.status, 202);
    guest.is_settled("ACTIVE").await;
    guest.runs_only_on(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_breaks_a_move_the_guest_goes_on_where_it_was() {
    let Some(fleet) = Fleet::start(Storage::Apart, with(SLOW)).await else { return };
    let guest = fleet.boot().await;
    called_off(&guest).await;
    without_the_other_libvirtd(&guest).await;
    without_the_own_libvirtd(&guest).await;
    without_a_wire(&guest).await;
    without_its_qemu(&guest).await;
    guest.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_changes_its_memory_too_fast_moves_when_somebody_forces_it_and_keeps_the_limits_until_then() {
    let Some(fleet) = Fleet::start(Storage::Apart, with(NARROW)).await else { return };
    let guest = fleet.boot().await;
    guest.toils(64).await;
    let (number, before) = on_its_way(&guest).await;
    // Once through its memory, and at it again.
    crate::two_hosts::eventually("memory is gone through twice", async || {
        (guest.counts(number).await.iterations > 2).then_some(())
    })
    .await;
    let downtime = fleet.pair.virsh(0, &["migrate-getmaxdowntime", &guest.id.to_string()]);
    assert_eq!(downtime, Pace::default().downtime_after(0, 2).to_string());
    let counts = guest.counts(number).await;
    let speed = counts.memory.processed * 1000 / counts.elapsed_ms.max(1);
    assert!(speed < 20 << 20, "{speed} bytes a second where 16 MiB are allowed: {counts:?}");
    assert!(counts.dirty_rate > 0 && counts.memory_speed > 0, "{counts:?}");
    forced(&guest, number).await;
    it_moved(&guest, before).await;
    guest.rests().await;
    guest.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_changes_its_memory_too_fast_is_slowed_down_until_it_moves() {
    let Some(fleet) = Fleet::start(Storage::Apart, with(Limits { auto_converge: true, ..NARROW })).await else {
        return;
    };
    let guest = fleet.boot().await;
    guest.toils(64).await;
    let (number, before) = on_its_way(&guest).await;
    crate::two_hosts::eventually("it is slowed down", async || (guest.counts(number).await.throttle > 0).then_some(()))
        .await;
    it_moved(&guest, before).await;
    guest.rests().await;
    guest.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_goes_on_at_the_other_host_before_its_memory_is_there() {
    let Some(fleet) = Fleet::start(Storage::Apart, with(Limits { post_copy: true, ..NARROW })).await else { return };
    let guest = fleet.boot().await;
    guest.toils(64).await;
    let before = guest.lives().await;
    in_two_parts(&guest).await;
    it_moved(&guest, before).await;
    guest.rests().await;
    guest.delete().await;
}

/// Two connections and packed memory, and a move that is forced to its end by its time limit alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_takes_too_long_is_forced_and_several_connections_carry_packed_memory() {
    let limits = Limits { connections: 2, zstd: true, ..NARROW };
    let pace = Pace { completion_timeout: 1, on_timeout: OnTimeout::ForceComplete, ..Pace::default() };
    let Some(fleet) = Fleet::start(Storage::Apart, Moving { limits, pace }).await else { return };
    let guest = fleet.boot().await;
    guest.toils(64).await;
    let (_, before) = on_its_way(&guest).await;
    let told = guest.move_parameters(0).await;
    assert_eq!((&told["multifd-channels"], &told["multifd-compression"]), (&json!(2), &json!("zstd")), "{told}");
    it_moved(&guest, before).await;
    assert_eq!(guest.standing(1).await, Standing::Runs(Power::Running));
    guest.rests().await;
    guest.delete().await;
}

/// So slowly that most of its memory is not there when something happens.
const CRAWLING: Limits = Limits { post_copy: true, ..SLOW };
const WRITE: &str = "dd if=/dev/urandom of=/dev/vda bs=1M seek=100 count=1 conv=fsync 2>/dev/null";
const READ: &str =
    "echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/vda bs=1M skip=100 count=1 2>/dev/null | busybox md5sum";

/// Its guest goes on at the other host, and its memory is not there. The number of its move.
async fn in_two_parts(guest: &Guest<'_>) -> i64 {
    let (number, _) = on_its_way(guest).await;
    forced(guest, number).await;
    crate::two_hosts::eventually("its guest goes on at the other host", async || {
        let parts = (guest.standing(0).await, guest.standing(1).await);
        (parts == (Standing::HandedOver, Standing::Fetching)).then_some(())
    })
    .await;
    number
}

/// Nothing of it runs anywhere, and the API says so; started again, it has the disk that it wrote on.
async fn it_is_lost(guest: &Guest<'_>, number: i64, disk: &str) {
    let shown = guest.is_settled("ERROR").await;
    assert!(shown["fault"]["message"].as_str().unwrap().contains("The guest's memory is lost"), "{shown}");
    let record = guest.record().await;
    assert_eq!((record["id"].as_i64(), record["status"].as_str()), (Some(number), Some("error")), "{record}");
    assert_eq!(guest.place().await, 1);
    assert_eq!((guest.standing(0).await, guest.standing(1).await), (Standing::Absent, Standing::Absent));
    assert_eq!(guest.processes(), 0);
    guest.fleet.pair.control("mend", &[]);
    let path = format!("/servers/{}/action", guest.id);
    let reboot = json!({"reboot": {"type": "HARD"}});
    assert_eq!(guest.fleet.ask(Method::POST, &path, &reboot).await.status, 202);
    guest.is_settled("ACTIVE").await;
    guest.runs_only_on(1).await;
    guest.says("GUEST: ready", 2).await;
    assert_eq!(guest.told(READ).await, disk);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_is_torn_after_the_switch_runs_nowhere_and_its_server_says_so() {
    let pace = Pace { recovery_timeout: 5, ..Pace::default() };
    let Some(fleet) = Fleet::start(Storage::Apart, Moving { limits: CRAWLING, pace }).await else { return };
    for breaks in ["its source dies", "and its target notices nothing", "the wire is cut"] {
        let guest = fleet.boot().await;
        guest.told(WRITE).await;
        let disk = guest.told(READ).await;
        let number = in_two_parts(&guest).await;
        let name = format!("instance-{}", &guest.id.to_string()[..8]);
        let orders: &[(&str, &[&str])] = match breaks {
            "its source dies" => &[("unplug", &["a", &name])],
            // A QEMU does so by itself when its own work waits for memory of the guest.
            "and its target notices nothing" => &[("freeze", &["b", &name]), ("unplug", &["a", &name])],
            _ => &[("cut", &[])],
        };
        for (verb, words) in orders {
            fleet.pair.control(verb, words);
        }
        it_is_lost(&guest, number, &disk).await;
        guest.delete().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_takes_too_long_is_called_off_and_the_guest_has_not_noticed() {
    let pace = Pace { completion_timeout: 1, on_timeout: OnTimeout::Abort, ..Pace::default() };
    let Some(fleet) = Fleet::start(Storage::Apart, Moving { limits: SLOW, pace }).await else { return };
    let guest = fleet.boot().await;
    let (number, before) = on_its_way(&guest).await;
    it_stayed(&guest, number, before, "cancelled").await;
    guest.delete().await;
}

/// The wire between the guests' bridges and that between the libvirtds are cut one without the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_needs_the_hosts_wire_alone_and_a_guest_its_own() {
    let Some(fleet) = Fleet::start(Storage::Apart, with(SLOW)).await else { return };
    let guest = fleet.boot().await;
    let (number, before) = on_its_way(&guest).await;
    fleet.pair.control("cut", &["wire0"]);
    it_stayed(&guest, number, before, "error").await;
    fleet.pair.control("mend", &[]);
    let (_, before) = on_its_way(&guest).await;
    fleet.pair.control("cut", &["wire1"]);
    it_moved(&guest, before).await;
    fleet.pair.control("mend", &[]);
    guest.delete().await;
}
