//! What a server's machine uses, how its CPUs lie, and the password that a guest may have left for its owner.

use super::servers::named;
use super::versions;
use crate::api::{Call, Row};
use crate::error::{Error, Result};
use crate::http::reply::{Empty, RawReply, Reply};
use crate::http::table::{delete, get};
use crate::store::hosts;
use crate::store::servers::Server;
use crate::tasks::ask_guest::{self, Diagnostics, DiskUse, InterfaceUse, Traffic};
use crate::versioned;
use http::StatusCode;
use serde_json::{Map, Value, json};

pub fn rows() -> Vec<Row> {
    vec![
        get("/servers/{server_id}/diagnostics", diagnostics).rule("os_compute_api:os-server-diagnostics"),
        get("/servers/{server_id}/topology", topology).rule("compute:server:topology:index").since(78),
        get("/servers/{server_id}/os-server-password", password).rule("os_compute_api:os-server-password:show"),
        delete("/servers/{server_id}/os-server-password", clear_password)
            .rule("os_compute_api:os-server-password:clear"),
    ]
}

/// `GET /servers/{server_id}/diagnostics`: as the hypervisor names things, and from 2.48 on in a form of Nova's own.
async fn diagnostics(call: Call) -> Result<RawReply> {
    let server = named(&call).await?;
    let host = server.host_id.ok_or_else(|| Error::conflict(format!("Instance {} is not ready", server.id)))?;
    let not_running = |power: &str| {
        let power = if matches!(power, "paused" | "crashed" | "suspended") { power } else { "shutdown" };
        let id = server.id;
        Error::conflict(format!("Cannot 'get_diagnostics' instance {id} while it is in power state {power}"))
    };
    if server.power != "running" {
        return Err(not_running(&server.power));
    }
    let used =
        ask_guest::diagnostics(&call.cx.state.hosts.now(), &server).await?.ok_or_else(|| not_running("shutdown"))?;
    let body = if call.version() >= versions::DIAGNOSTICS_HAVE_A_FORM {
        let facts = call.cx.state.db.read(move |tx| hosts::get(tx, host)).await?.facts;
        let uptime = server.launched_at.map(|at| (call.cx.state.clock.now().0 - at.0).max(0) / 1_000_000);
        formal(&server, &used, if facts["accelerator"] == "kvm" { "kvm" } else { "qemu" }, uptime)
    } else {
        named_by_libvirt(&used)
    };
    Ok(RawReply::json(StatusCode::OK, &body))
}

/// Numbers that are not counted are left out.
fn named_by_libvirt(used: &Diagnostics) -> Value {
    let mut map = Map::new();
    let mut put = |name: String, number: i64| {
        if number >= 0 {
            map.insert(name, json!(number));
        }
    };
    for (number, time) in used.cpu_times.iter().enumerate() {
        put(format!("cpu{number}_time"), i64::try_from(*time).unwrap_or(i64::MAX));
    }
    for disk in &used.disks {
        let target = &disk.target;
        put(format!("{target}_read_req"), disk.read_requests);
        put(format!("{target}_read"), disk.read_bytes);
        put(format!("{target}_write_req"), disk.write_requests);
        put(format!("{target}_write"), disk.write_bytes);
        put(format!("{target}_errors"), disk.errors);
    }
    for one in &used.interfaces {
        for (way, traffic) in [("rx", one.received), ("tx", one.sent)] {
            put(format!("{}_{way}", one.tap), traffic.bytes);
            put(format!("{}_{way}_packets", one.tap), traffic.packets);
            put(format!("{}_{way}_errors", one.tap), traffic.errors);
            put(format!("{}_{way}_drop", one.tap), traffic.drops);
        }
    }
    put("memory".to_owned(), i64::try_from(used.memory_max_kib).unwrap_or(i64::MAX));
    for (name, kib) in &used.memory {
        put(format!("memory-{name}"), i64::try_from(*kib).unwrap_or(i64::MAX));
    }
    Value::Object(map)
}

fn formal(server: &Server, used: &Diagnostics, hypervisor: &str, uptime: Option<i64>) -> Value {
    let cpus = used.cpu_times.iter().enumerate();
    let cpus: Vec<Value> = cpus.map(|(id, time)| json!({"id": id, "time": time, "utilisation": null})).collect();
    json!({
        "config_drive": server.config_drive,
        "state": "running",
        "driver": "libvirt",
        "hypervisor": hypervisor,
        "hypervisor_os": "linux",
        "uptime": uptime,
        "num_cpus": cpus.len(),
        "num_disks": used.disks.len(),
        "num_nics": used.interfaces.len(),
        "cpu_details": cpus,
        "disk_details": used.disks.iter().map(disk).collect::<Vec<_>>(),
        "nic_details": used.interfaces.iter().map(interface).collect::<Vec<_>>(),
        "memory_details": {"maximum": used.memory_max_kib / 1024, "used": used.memory_used_kib / 1024},
    })
}

/// Null for what is not counted.
fn counted(number: i64) -> Option<i64> {
    (number >= 0).then_some(number)
}

fn disk(disk: &DiskUse) -> Value {
    json!({
        "read_bytes": counted(disk.read_bytes),
        "read_requests": counted(disk.read_requests),
        "write_bytes": counted(disk.write_bytes),
        "write_requests": counted(disk.write_requests),
        "errors_count": counted(disk.errors),
    })
}

fn interface(one: &InterfaceUse) -> Value {
    let (Traffic { bytes, packets, errors, drops }, sent) = (one.received, one.sent);
    json!({
        "mac_address": one.mac,
        "rx_octets": counted(bytes),
        "rx_packets": counted(packets),
        "rx_errors": counted(errors),
        "rx_drop": counted(drops),
        "rx_rate": null,
        "tx_octets": counted(sent.bytes),
        "tx_packets": counted(sent.packets),
        "tx_errors": counted(sent.errors),
        "tx_drop": counted(sent.drops),
        "tx_rate": null,
    })
}

versioned! {
    response Topology { "nodes" => nodes: Vec<Value>, "pagesize_kb" => pagesize_kb: Option<i64> }
}

/// `GET /servers/{server_id}/topology`. Nothing that a flavor or image can ask for gives a guest nodes of its own, and so
/// no server has any.
async fn topology(call: Call) -> Result<Reply<Topology>> {
    named(&call).await?;
    Ok(Reply::ok(Topology { nodes: Vec::new(), pagesize_kb: None }))
}

versioned! {
    response LeftPassword { "password" => password: String }
}

/// `GET /servers/{server_id}/os-server-password`. A guest leaves it with the metadata service, which there is none of: so
/// none was left.
async fn password(call: Call) -> Result<Reply<LeftPassword>> {
    named(&call).await?;
    Ok(Reply::ok(LeftPassword { password: String::new() }))
}

/// `DELETE /servers/{server_id}/os-server-password`: none is left, as before.
async fn clear_password(call: Call) -> Result<Empty> {
    named(&call).await?;
    Ok(Empty::no_content())
}
