//! How long it takes to decide on one server's place and to claim it, among 1,000 hosts that 5,000 servers are on: the
//! transaction of the step that places a server, on an SQLite file. `cargo bench --bench placement`, with other numbers of
//! hosts and servers in HOSTS and SERVERS; ends with 1 when the median of an ordinary flavor is over 5 ms.

#![expect(clippy::print_stdout, reason = "what it measured is what it is for")]

use gapura::clock::Timestamp;
use gapura::cloud::placement::{Demand, Ratios, Rules, Wish};
use gapura::error::Result;
use gapura::ids::{HostId, ServerId};
use gapura::store::hosts::{self, Heard};
use gapura::store::{Db, StoreSettings, Tx, args, claims};
use gapura::tasks::placing;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

const NOW: Timestamp = Timestamp(1_795_315_269_000_000);
const ROUNDS: usize = 200;
const PROMISED: Duration = Duration::from_millis(5);
const HELD: Demand = Demand { vcpus: 1, memory_mib: 512, disk_gib: 1 };

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// As a host of two sockets says of itself, with as many features as today's have.
fn facts(name: &str) -> Value {
    let features: Vec<String> = (0..120).map(|number| format!("feature-{number}")).chain(["avx2".to_owned()]).collect();
    json!({"uuid": "", "hostname": name, "hypervisor_type": "QEMU", "hypervisor_version": 10_000_002, "vcpus": 64,
           "memory_mib": 262_144, "accelerator": "kvm",
           "cpu": {"arch": "x86_64", "model": "EPYC-Milan", "vendor": "AMD", "features": features, "cells": 2, "sockets": 2,
                   "cores": 16, "threads": 2}})
}

fn join(tx: &mut Tx, number: usize) -> Result<HostId> {
    let (id, name) = (HostId::random(), format!("host-{number}"));
    hosts::ensure(tx, id, &name, "nova", NOW)?;
    let total = Demand { vcpus: 64, memory_mib: 262_144, disk_gib: 4_096 };
    let reserved = Demand { memory_mib: 512, ..Demand::default() };
    let facts = facts(&name);
    let heard = Heard { facts: &facts, hypervisor_version: 10_000_002, total, reserved, ratios: Ratios::default() };
    hosts::heard(tx, id, &heard, NOW)?;
    Ok(id)
}

/// A server of a flavor with these extra specs.
fn server(tx: &mut Tx, extra_specs: &Value) -> Result<ServerId> {
    let id = ServerId::random();
    let flavor = json!({"id": "1", "name": "small", "description": null, "vcpus": 1, "ram_mib": 512, "disk_gib": 1,
                        "ephemeral_gib": 0, "swap_mib": 0, "rxtx_factor": 1.0, "is_public": true, "disabled": false,
                        "extra_specs": extra_specs});
    tx.execute(
        "INSERT INTO servers (id, project_id, user_id, name, hostname, state, power, flavor, flavor_id, image_properties, metadata,
                              config_drive, reservation_id, launch_index, scheduler_hints, access_ip_v4, access_ip_v6,
                              disk_config, progress, created_at, updated_at)
         VALUES (?1, 'p', 'u', 'web', 'web', 'building', 'unknown', ?2, '1', '{}', '{}', 1, 'r-1', 0, '{}', '', '', 'MANUAL', 0,
                 ?3, ?3)",
        args![id, flavor.to_string(), NOW],
    )?;
    Ok(id)
}

/// The times of so many placements of servers with these extra specs, in their order.
async fn place(db: &Db, extra_specs: Value) -> Result<Vec<Duration>> {
    let rules = Arc::new(Rules::default());
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let (specs, rules) = (extra_specs.clone(), rules.clone());
        let id = db.write(move |tx| server(tx, &specs)).await?;
        let began = Instant::now();
        db.write(move |tx| placing::claim(tx, &rules, id, &Wish::default(), NOW)).await?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

async fn measure() -> Result<bool> {
    let (host_count, server_count) = (number("HOSTS", 1_000), number("SERVERS", 5_000));
    let folder = tempfile::tempdir().expect("a folder for the database");
    let db = Db::open(&StoreSettings::at(format!("sqlite:{}", folder.path().join("gapura.db").display()))).await?;
    db.migrate().await?;
    let fill = move |tx: &mut Tx| {
        let hosts = (0..host_count).map(|number| join(tx, number)).collect::<Result<Vec<_>>>()?;
        for number in 0..server_count {
            let id = server(tx, &json!({}))?;
            claims::claim(tx, id, hosts[number % hosts.len()], HELD, NOW)?;
        }
        Ok(())
    };
    db.write(fill).await?;
    println!("{host_count} hosts, {server_count} servers on them, {ROUNDS} placements each, SQLite\n");
    println!("| a server of a flavor | median | 99 % | promised |\n|---|---|---|---|");
    let milliseconds = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
    let mut is_kept = true;
    for (what, extra_specs, promised) in [
        ("without extra specs", json!({}), Some(PROMISED)),
        ("that requires a trait", json!({"trait:HW_CPU_X86_AVX2": "required"}), Some(PROMISED)),
        ("that asks for a model of CPU", json!({"capabilities:cpu_info:model": "EPYC-Milan"}), None),
    ] {
        let times = place(&db, extra_specs).await?;
        let (median, most) = (times[ROUNDS / 2], times[ROUNDS * 99 / 100]);
        is_kept &= promised.is_none_or(|promised| median <= promised);
        let promised = promised.map_or_else(String::new, milliseconds);
        println!("| {what} | {} | {} | {promised} |", milliseconds(median), milliseconds(most));
    }
    Ok(is_kept)
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    match runtime.block_on(measure()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            println!("\na median is over {} ms", PROMISED.as_millis());
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("{}", gapura::error::with_causes(&error));
            ExitCode::FAILURE
        }
    }
}
