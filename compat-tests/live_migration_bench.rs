//! How long moves take, and how long guests stand still, beside plain `virsh migrate` of the same guest with the same flags in
//! the same run. `compat-tests/bench/migration.sh` asks for it (`GAPURA_MIGRATION_ROUNDS`) and holds its last line to the bounds.
//!
//! Ours is timed from the request to the record that says that it is completed: placement, the look at both hosts' files, the
//! target's disk, the move and the clearing up. virsh's is the command alone; what it needs at the target is made before.

use crate::two_hosts::{Fleet, Guest, Storage, eventually};
use gapura::tasks::migrate_server::Moving;
use serde_json::json;
use std::process::Command;
use std::time::Instant;

/// As the issue asks: total time, and downtime by QEMU's own figure, or so many milliseconds more.
const TOTAL: f64 = 1.15;
const DOWNTIME: f64 = 1.10;
const DOWNTIME_MS: f64 = 10.0;

#[derive(Default)]
struct Times {
    accepted: Vec<f64>,
    total: Vec<f64>,
    downtime: Vec<f64>,
}

fn median(of: &[f64]) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort_by(f64::total_cmp);
    (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0
}

async fn ours(guest: &Guest<'_>, to: usize, times: &mut Times) {
    guest.lives().await;
    let began = Instant::now();
    guest.asks_for_its_move(Some(to), json!("auto")).await;
    times.accepted.push(began.elapsed().as_secs_f64() * 1000.0);
    let record = guest.ended().await;
    times.total.push(began.elapsed().as_secs_f64() * 1000.0);
    assert_eq!(record["status"], "completed", "{record}");
    guest.is_settled("ACTIVE").await;
    let number = record["id"].as_i64().unwrap();
    times.downtime.push(guest.counts(number).await.downtime_ms.unwrap() as f64);
}

/// The same with virsh. The target's disk, config drive and log are made first, as ours are in its time.
async fn virsh(guest: &Guest<'_>, from: usize, storage: Storage, times: &mut Times) {
    guest.lives_on(from).await;
    let (fleet, to, id) = (guest.fleet, 1 - from, guest.id.to_string());
    let folders = fleet.folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>();
    let (here, there) = (format!("{}/instances/{id}", folders[from]), format!("{}/instances/{id}", folders[to]));
    let xml = fleet.pair.virsh(from, &["dumpxml", "--migratable", "--security-info", &id]);
    let mut flags = vec!["--live", "--p2p", "--persistent", "--undefinesource"];
    let file = fleet.folders[0].parent().unwrap().join("there.xml");
    let file = file.display().to_string();
    if storage == Storage::Shared {
        flags.push("--unsafe");
    } else {
        let script = format!(
            "set -e; rm -rf {there}; mkdir -p {there}; cp {here}/config.iso {here}/console.log {here}/epoch {there}/
             base=$(qemu-img info -U --output json {here}/disk.qcow2 | sed -n 's/.*\"full-backing-filename\": \"\\(.*\\)\",/\\1/p')
             qemu-img create -q -f qcow2 -F qcow2 -b \"${{base/{0}/{1}}}\" {there}/disk.qcow2 1G",
            folders[from].replace('/', "\\/"),
            folders[to],
        );
        let made = Command::new("bash").args(["-c", &script]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        flags.extend(["--copy-storage-inc", "--migrate-disks", "vda", "--xml", &file, "--persistent-xml", &file]);
    }
    let start = xml.find("<backingStore");
    let xml = match (start, xml.find("</backingStore>")) {
        // The whole chain below the disk: libvirt looks for itself at the target.
        (Some(start), Some(_)) => {
            let end = xml.rfind("</backingStore>").unwrap() + "</backingStore>".len();
            format!("{}{}", &xml[..start], &xml[end..])
        }
        _ => xml,
    };
    std::fs::write(&file, xml.replace(&folders[from], &folders[to])).unwrap();
    let mut arguments = vec!["migrate"];
    arguments.extend(flags);
    let peer = fleet.pair.peer(to).to_owned();
    let address = peer.replace("qemu+tcp://", "tcp://").replace("/system", "");
    arguments.extend([id.as_str(), peer.as_str(), "--migrateuri", address.as_str()]);
    let began = Instant::now();
    let output = Command::new("virsh").args(["-q", "-c", fleet.pair.uri(from)]).args(&arguments).output().unwrap();
    times.total.push(began.elapsed().as_secs_f64() * 1000.0);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    let told = fleet.pair.virsh(to, &["domjobinfo", &id, "--completed", "--anystats"]);
    let downtime =
        told.lines().find_map(|line| line.strip_prefix("Total downtime:")).unwrap_or_else(|| panic!("{told}"));
    times.downtime.push(downtime.trim().split(' ').next().unwrap().parse().unwrap());
    if storage == Storage::Apart {
        std::fs::remove_dir_all(here).unwrap();
    }
}

/// There and back by each, in turns: what changes on the machine meanwhile changes for both.
async fn measured(storage: Storage, rounds: usize) -> (Times, Times) {
    let fleet = Fleet::start(storage, Moving::default()).await.expect("two hosts");
    let guest = fleet.boot().await;
    let (mut by_us, mut by_virsh) = (Times::default(), Times::default());
    for _ in 0..rounds.div_ceil(2) {
        ours(&guest, 1, &mut by_us).await;
        ours(&guest, 0, &mut by_us).await;
        virsh(&guest, 0, storage, &mut by_virsh).await;
        virsh(&guest, 1, storage, &mut by_virsh).await;
        // The reconciler has seen it come and go.
        eventually("the server is where it was", async || (guest.place().await == 0).then_some(())).await;
    }
    guest.delete().await;
    (by_us, by_virsh)
}

#[tokio::test(flavor = "multi_thread")]
async fn moves_take_hardly_longer_than_virsh_s_and_guests_stand_still_no_longer() {
    let Some(rounds) = std::env::var("GAPURA_MIGRATION_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()) else {
        return;
    };
    let mut misses = Vec::new();
    let mut line = String::new();
    for (storage, name) in [(Storage::Shared, "shared disks"), (Storage::Apart, "disks copied")] {
        let (ours, virsh) = measured(storage, rounds).await;
        let (total, virsh_total) = (median(&ours.total), median(&virsh.total));
        let (downtime, virsh_downtime) = (median(&ours.downtime), median(&virsh.downtime));
        eprintln!(
            "{name}: ours {total:.0} ms in all, {downtime:.0} ms still, accepted in {:.1} ms; virsh {virsh_total:.0} ms, {virsh_downtime:.0} ms",
            median(&ours.accepted)
        );
        eprintln!(
            "  in all: ours {:.0?} virsh {:.0?}\n  still: ours {:.0?} virsh {:.0?}",
            ours.total, virsh.total, ours.downtime, virsh.downtime
        );
        let (total, still) = (total / virsh_total, downtime / virsh_downtime.max(1.0));
        line += &format!("{name}: total {total:.2}, downtime {still:.2}; ");
        let is_still_too_long = still > DOWNTIME && downtime > virsh_downtime + DOWNTIME_MS;
        if total > TOTAL || is_still_too_long || median(&ours.accepted) >= 10.0 {
            misses.push(name);
        }
    }
    eprintln!("{line}bounds {TOTAL} and {DOWNTIME} or {DOWNTIME_MS} ms more");
    assert!(misses.is_empty(), "missed with {misses:?}");
}
