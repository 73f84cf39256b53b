//! How long it takes to decide on one server's place and to claim it, among 1,000 hosts of 8 makes, in 10 zones and 20
//! aggregates, that 5,000 servers are on: the transaction of the step that places a server, on an SQLite file. `cargo bench
//! --bench placement`, with other numbers in HOSTS, SERVERS and MAKES; ends with 1 when a median is over 5 ms.

#![expect(clippy::print_stdout, reason = "what it measured is what it is for")]

use gapura::clock::Timestamp;
use gapura::cloud::placement::{Demand, Ratios, Rules, Wish};
use gapura::error::Result;
use gapura::ids::{HostId, ServerGroupId, ServerId};
use gapura::store::hosts::{self, Heard};
use gapura::store::{Db, StoreSettings, Tx, args, claims, server_groups};
use gapura::tasks::placing;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

const NOW: Timestamp = Timestamp(1_795_315_269_000_000);
const ROUNDS: usize = 200;
const AGGREGATES: usize = 20;
const PROMISED: Duration = Duration::from_millis(5);
const HELD: Demand = Demand { vcpus: 1, memory_mib: 512, disk_gib: 1 };

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// As a host of two sockets says of itself, with as many features as today's have. Each make lacks another one.
fn facts(name: &str, make: usize) -> Value {
    let features = (0..120).filter(|number| *number != make).map(|number| format!("feature-{number}"));
    let features: Vec<String> = features.chain(["avx2".to_owned()]).collect();
    json!({"uuid": "", "hostname": name, "hypervisor_type": "QEMU", "hypervisor_version": 10_000_002, "vcpus": 64,
           "memory_mib": 262_144 + make, "accelerator": "kvm",
           "cpu": {"arch": "x86_64", "model": format!("EPYC-{make}"), "vendor": "AMD", "features": features, "cells": 2, "sockets": 2,
                   "cores": 16, "threads": 2}})
}

fn join(tx: &mut Tx, number: usize, makes: usize) -> Result<HostId> {
    let (id, name) = (HostId::random(), format!("host-{number}"));
    hosts::ensure(tx, id, &name, &format!("zone-{}", number % 10), NOW)?;
    let total = Demand { vcpus: 64, memory_mib: 262_144, disk_gib: 4_096 };
    let reserved = Demand { memory_mib: 512, ..Demand::default() };
    let facts = facts(&name, number % makes);
    let heard = Heard { facts: &facts, hypervisor_version: 10_000_002, total, reserved, ratios: Ratios::default() };
    hosts::heard(tx, id, &heard, NOW)?;
    let sql = "INSERT INTO aggregate_hosts (aggregate_id, host_id) VALUES (?1, ?2)";
    tx.execute(sql, args![(number % AGGREGATES) as u64, id])?;
    Ok(id)
}

/// Every second one is of hosts with fast disks.
fn aggregates(tx: &mut Tx) -> Result<()> {
    for number in 0..AGGREGATES {
        let (id, name) = (number as u64, format!("rack-{number}"));
        tx.execute(
            "INSERT INTO aggregates (id, uuid, name, created_at) VALUES (?1, ?2, ?2, ?3)",
            args![id, &name, NOW],
        )?;
        let sql = "INSERT INTO aggregate_metadata (aggregate_id, name, value) VALUES (?1, 'ssd', ?2), (?1, 'rack', ?3)";
        tx.execute(sql, args![id, (number % 2 == 0).to_string(), name])?;
    }
    Ok(())
}

fn group(tx: &mut Tx, policy: &str) -> Result<ServerGroupId> {
    let id = ServerGroupId::random();
    let sql = "INSERT INTO server_groups (id, project_id, user_id, name, policy, created_at) VALUES (?1, 'p', 'u', ?2, ?2, ?3)";
    tx.execute(sql, args![id, policy, NOW])?;
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

/// What is asked for.
#[derive(Clone, Default)]
struct Case {
    what: &'static str,
    extra_specs: Vec<(&'static str, &'static str)>,
    zone: Option<&'static str>,
    /// All of them are in one group of this policy.
    policy: Option<&'static str>,
}

impl Case {
    fn asking(what: &'static str, name: &'static str, value: &'static str) -> Self {
        Self { what, extra_specs: vec![(name, value)], ..Self::default() }
    }
}

/// The times of so many placements, in their order.
async fn place(db: &Db, case: &Case) -> Result<Vec<Duration>> {
    let rules = Arc::new(Rules::default());
    let group = match case.policy {
        Some(policy) => Some(db.write(move |tx| group(tx, policy)).await?),
        None => None,
    };
    let wish = Wish { zone: case.zone.map(str::to_owned), host: None };
    let specs: Value = case.extra_specs.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let (specs, rules, wish) = (specs.clone(), rules.clone(), wish.clone());
        let make = move |tx: &mut Tx| {
            let id = server(tx, &specs)?;
            group.map_or(Ok(()), |group| server_groups::join(tx, group, id))?;
            Ok(id)
        };
        let id = db.write(make).await?;
        let began = Instant::now();
        db.write(move |tx| placing::claim(tx, &rules, id, &wish, NOW)).await?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

async fn measure() -> Result<bool> {
    let (host_count, server_count, makes) = (number("HOSTS", 1_000), number("SERVERS", 5_000), number("MAKES", 8));
    let folder = tempfile::tempdir().expect("a folder for the database");
    let db = Db::open(&StoreSettings::at(format!("sqlite:{}", folder.path().join("gapura.db").display()))).await?;
    db.migrate().await?;
    let fill = move |tx: &mut Tx| {
        aggregates(tx)?;
        let hosts = (0..host_count).map(|number| join(tx, number, makes)).collect::<Result<Vec<_>>>()?;
        for number in 0..server_count {
            let id = server(tx, &json!({}))?;
            claims::claim(tx, id, hosts[number % hosts.len()], HELD, NOW)?;
        }
        Ok(())
    };
    db.write(fill).await?;
    println!("{host_count} hosts of {makes} makes, {server_count} servers on them, {ROUNDS} placements each, SQLite\n");
    println!("| a server that asks for | median | 99 % |\n|---|---|---|");
    let milliseconds = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
    let mut is_kept = true;
    for case in [
        Case { what: "nothing but room", ..Case::default() },
        Case::asking("a trait", "trait:HW_CPU_X86_AVX2", "required"),
        Case::asking("a model of CPU", "capabilities:cpu_info:model", "EPYC-1"),
        Case::asking("a feature of the CPU", "capabilities:cpu_info:features", "<in> avx2"),
        Case::asking("what aggregates say", "aggregate_instance_extra_specs:ssd", "true"),
        Case { what: "a zone", zone: Some("zone-3"), ..Case::default() },
        Case { what: "a host apart from its group's", policy: Some("anti-affinity"), ..Case::default() },
        Case { what: "its group's host", policy: Some("affinity"), ..Case::default() },
    ] {
        let times = place(&db, &case).await?;
        let (median, most) = (times[ROUNDS / 2], times[ROUNDS * 99 / 100]);
        is_kept &= median <= PROMISED;
        println!("| {} | {} | {} |", case.what, milliseconds(median), milliseconds(most));
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
