//! `gapura host …`: hosts as their operator sees and steers them from the controller's own shell.
//!
//! What is changed here is a row; running controllers notice it by themselves.

use crate::clock::Timestamp;
use crate::cloud::placement::{Demand, obstacles};
use crate::error::{Error, Result};
use crate::ids::HostId;
use crate::node::PROTOCOL;
use crate::store::hosts::{self, HostRow};
use crate::store::nodes::{self, NodeRow};
use crate::store::{Db, Tx, aggregates};
use crate::tasks::network_change;
use std::collections::{BTreeMap, HashMap};

/// So many pairs of hosts that differ are told.
const NOTES: usize = 20;

const HEADINGS: [&str; 9] = ["NAME", "STATE", "STATUS", "ZONE", "SERVERS", "CLAIMED", "CPU", "LAST SEEN", "ADDRESS"];

/// Every host, a line each.
///
/// # Errors
/// When the database is away.
pub async fn list(db: &Db, now: Timestamp) -> Result<String> {
    let read = |tx: &mut Tx| Ok((hosts::list(tx)?, hosts::populations(tx)?, nodes::list(tx)?));
    let (hosts, servers, nodes) = db.read(read).await?;
    let nodes: HashMap<HostId, NodeRow> = nodes.into_iter().map(|node| (node.id, node)).collect();
    let heading = HEADINGS.map(str::to_owned);
    let lines = hosts.iter().map(|host| line(host, &servers, nodes.get(&host.id), now));
    let table = table(&std::iter::once(heading).chain(lines).collect::<Vec<_>>());
    let mut told = obstacles_between(&hosts);
    let more = told.len().saturating_sub(NOTES);
    told.truncate(NOTES);
    told.extend((more > 0).then(|| format!("and so it is with {more} more pairs of hosts")));
    Ok(std::iter::once(table).chain(told).collect::<Vec<_>>().join("\n"))
}

/// Which hosts' running guests can't go to which others, and why.
fn obstacles_between(hosts: &[HostRow]) -> Vec<String> {
    let all = || hosts.iter().map(|host| (host.name.as_str(), &host.facts));
    all().flat_map(|(name, facts)| obstacles::sentences(name, facts, all())).collect()
}

fn line(host: &HostRow, servers: &BTreeMap<HostId, i64>, node: Option<&NodeRow>, now: Timestamp) -> [String; 9] {
    let status = match (host.enabled, &host.disabled_reason) {
        (true, _) => "enabled".to_owned(),
        (false, None) => "disabled".to_owned(),
        (false, Some(reason)) => format!("disabled ({reason})"),
    };
    let Demand { vcpus, memory_mib, disk_gib } = host.claimed;
    let cpu = &host.facts["cpu"];
    [
        host.name.clone(),
        if host.is_up(now) { "up" } else { "down" }.to_owned(),
        status,
        host.zone.clone(),
        servers.get(&host.id).copied().unwrap_or_default().to_string(),
        format!("{vcpus} CPUs, {memory_mib} MiB, {disk_gib} GiB"),
        format!("{} {}", cpu["vendor"].as_str().unwrap_or("?"), cpu["model"].as_str().unwrap_or("?")),
        host.last_seen_at.map_or_else(|| "never".to_owned(), Timestamp::to_seconds_z),
        node.map_or_else(|| "the controller's own".to_owned(), |node| format!("{} ({})", node.address, program(node))),
    ]
}

/// Which version runs there, and what that means for this one.
fn program(node: &NodeRow) -> String {
    let (version, theirs, ours) = (&node.version, node.protocol, i64::from(PROTOCOL));
    match theirs - ours {
        0 => version.clone(),
        -1 => format!("{version}, a protocol older: upgrade it"),
        1 => format!("{version}, a protocol newer: upgrade its controllers"),
        _ => format!("{version}, which speaks protocol {theirs} and no {ours}: bring them closer"),
    }
}

/// Columns as wide as what is in them.
fn table<const N: usize>(lines: &[[String; N]]) -> String {
    let widths: [usize; N] =
        std::array::from_fn(|at| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0));
    let padded = lines.iter().map(|line| {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    padded.collect::<Vec<_>>().join("\n")
}

/// Lets new servers onto a host, or keeps them away.
///
/// # Errors
/// `NotFound` for a host that nobody knows.
pub async fn enable(db: &Db, name: &str, enabled: bool, reason: Option<&str>, now: Timestamp) -> Result<()> {
    let (name, reason) = (name.to_owned(), reason.map(str::to_owned));
    let write = move |tx: &mut Tx| {
        let host = hosts::named(tx, &name)?;
        hosts::set_service(tx, host.id, Some(enabled), reason.as_deref(), None, now)
    };
    db.write(write).await
}

/// Takes a host out of the cloud. Its machine is believed no more, whatever it shows.
///
/// # Errors
/// `Conflict` while it has servers, and for a controller's own host that runs.
pub async fn remove(db: &Db, name: &str, now: Timestamp) -> Result<()> {
    let name = name.to_owned();
    let write = move |tx: &mut Tx| {
        let node = nodes::list(tx)?.into_iter().find(|node| node.name == name);
        let host = match hosts::named(tx, &name) {
            // It joined, and was not looked at yet.
            Err(error) if error.is_not_found() && node.is_some() => None,
            found => Some(found?),
        };
        if let Some(host) = host {
            if hosts::is_used(tx, host.id)? {
                let text = format!("{name} has servers, or some are on their way there: move or delete them first");
                return Err(Error::conflict(text));
            }
            if node.is_none() && host.is_up(now) {
                let text =
                    format!("{name} is a controller's own host and would be found again: end that controller first");
                return Err(Error::conflict(text));
            }
            network_change::host_leaves(tx, host.id, now)?;
            hosts::delete(tx, host.id)?;
            aggregates::settle_hosts(tx)?;
        }
        node.map_or(Ok(()), |node| nodes::remove(tx, node.id))
    };
    db.write(write).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::placement::Ratios;
    use crate::store::hosts::Heard;
    use serde_json::json;

    const NOW: Timestamp = Timestamp(1_790_000_000_000_000);

    /// A controller's own host and one that joined; their ids.
    async fn site() -> (Db, HostId, HostId) {
        let (db, own, joined) = (Db::memory().await, HostId::random(), HostId::random());
        let write = move |tx: &mut Tx| {
            hosts::ensure(tx, own, "own", "nova", NOW)?;
            let facts = json!({"cpu": {"vendor": "AMD", "model": "EPYC"}});
            let (total, reserved) = (Demand::default(), Demand::default());
            let heard = Heard { facts: &facts, hypervisor_version: 1, total, reserved, ratios: Ratios::default() };
            hosts::heard(tx, own, &heard, NOW)?;
            nodes::make_token(tx, "t", NOW.plus_seconds(9), NOW)?;
            let node = NodeRow {
                id: joined,
                name: "joined".to_owned(),
                machine: "m".to_owned(),
                address: "192.0.2.7:5010".to_owned(),
                certificate: "c".to_owned(),
                version: "0.1.0".to_owned(),
                protocol: 1,
                joined_at: NOW,
                renewed: None,
            };
            nodes::admit(tx, "t", &node)?;
            hosts::ensure(tx, joined, "joined", "nova", NOW)
        };
        db.write(write).await.unwrap();
        (db, own, joined)
    }

    #[tokio::test]
    async fn hosts_are_listed_with_what_an_operator_asks_first() {
        let (db, _, _) = site().await;
        enable(&db, "joined", false, Some("new memory"), NOW).await.unwrap();
        let text = list(&db, NOW).await.unwrap();
        let lines: Vec<String> = text
            .lines()
            .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>().join("|"))
            .collect();
        assert_eq!(
            lines,
            [
                "NAME|STATE|STATUS|ZONE|SERVERS|CLAIMED|CPU|LAST SEEN|ADDRESS".to_owned(),
                format!(
                    "own|up|enabled|nova|0|0 CPUs, 0 MiB, 0 GiB|AMD EPYC|{}|the controller's own",
                    NOW.to_seconds_z()
                ),
                "joined|down|disabled (new memory)|nova|0|0 CPUs, 0 MiB, 0 GiB|? ?|never|192.0.2.7:5010 (0.1.0, a protocol older: upgrade it)"
                    .to_owned(),
            ]
        );
        enable(&db, "joined", true, None, NOW).await.unwrap();
        assert!(!list(&db, NOW).await.unwrap().contains("new memory"));
        assert!(enable(&db, "nobody", true, None, NOW).await.unwrap_err().is_not_found());
    }

    #[tokio::test]
    async fn below_the_list_stands_which_hosts_running_guests_can_go_nowhere_else() {
        let (db, own, joined) = site().await;
        let hear = move |tx: &mut Tx| {
            for (id, features) in [(own, json!(["aes", "avx2"])), (joined, json!(["aes"]))] {
                let cpu = json!({"vendor": "AMD", "model": "EPYC", "arch": "x86_64", "features": features});
                let facts =
                    json!({"hypervisor_type": "QEMU", "hypervisor_version": 1, "accelerator": "kvm", "cpu": cpu});
                let (total, reserved) = (Demand::default(), Demand::default());
                let heard = Heard { facts: &facts, hypervisor_version: 1, total, reserved, ratios: Ratios::default() };
                hosts::heard(tx, id, &heard, NOW)?;
            }
            Ok(())
        };
        db.write(hear).await.unwrap();
        let text = list(&db, NOW).await.unwrap();
        let told: Vec<&str> = text.lines().skip(3).collect();
        assert_eq!(told, ["running guests of own can't move to joined: its CPU lacks avx2"]);
    }

    #[tokio::test]
    async fn a_host_leaves_for_good_and_a_controller_s_own_only_with_its_controller() {
        let (db, own, joined) = site().await;
        remove(&db, "joined", NOW).await.unwrap();
        assert!(db.read(nodes::list).await.unwrap().is_empty());
        assert!(db.read(move |tx| hosts::get(tx, joined)).await.unwrap_err().is_not_found());
        assert!(remove(&db, "joined", NOW).await.unwrap_err().is_not_found());

        assert!(remove(&db, "own", NOW).await.unwrap_err().to_string().contains("would be found again"));
        remove(&db, "own", NOW.plus_seconds(600)).await.unwrap();
        assert!(db.read(move |tx| hosts::get(tx, own)).await.unwrap_err().is_not_found());
    }
}
