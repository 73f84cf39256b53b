//! What goes wrong where there are several hosts: on this machine as one of them, and, from a controller, with the others.

use super::Report;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::{Error, Result, with_causes};
use crate::hosts::admission::authority_folder;
use crate::hosts::follow;
use crate::hosts::membership::Membership;
use crate::hypervisor::HostFacts;
use crate::node::authority::Holder;
use crate::node::certificates::Authorities;
use crate::node::papers::Hello;
use crate::node::remote::Channel;
use crate::node::{PROTOCOL, VERSION};
use crate::store::nodes::{self, NodeRow};
use crate::store::{Db, StoreSettings};
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Linux' own, by which a connection to a lost host is given up after a quarter of an hour, is 15; with 8 it takes some 100 s.
const RETRIES: u64 = 8;
/// How long libvirtd may take to miss the other one, in seconds.
const KEEPALIVE: i64 = 60;
/// Certificates and tokens are good by the clock.
const CLOCKS: i64 = 30;
/// The first port at which libvirt lets a machine come in.
const FIRST_PORT: u16 = 49152;
const PATIENCE: Duration = Duration::from_secs(3);

/// What this machine is in a cloud, where it is a host that joined, and no controller.
pub fn membership_alone(config: &Config) -> Option<Membership> {
    let has_database = config.database_url.strip_prefix("sqlite:").is_none_or(|file| Path::new(file).exists());
    if has_database { None } else { Membership::load(config).ok().flatten() }
}

/// This machine, beside others.
pub fn as_a_host(config: &Config, report: &mut Report) {
    if config.network.fabric == "linux" {
        plugs(config, report);
    }
    let has_others = config.nodes.listen().is_ok_and(|listen| listen.is_some())
        || Membership::load(config).is_ok_and(|member| member.is_some());
    if has_others && config.hypervisor.starts_with("qemu") {
        lost_peers(report);
    }
}

/// What networks of several hosts need of this one.
fn plugs(config: &Config, report: &mut Report) {
    if let Ok(Some(address)) = config.network.tunnel_address() {
        match UdpSocket::bind((address, 0)) {
            Ok(_) => report.well(format!("{address}, for networks on several hosts, is this machine's")),
            Err(error) => report.broken(
                format!("network.tunnel_address = {address} is no address of this machine: {error}"),
                "Give the address by which other hosts reach this one, or take the setting away.",
            ),
        }
    }
    for (name, bridge) in &config.network.bridges {
        if !Path::new("/sys/class/net").join(bridge).join("bridge").exists() {
            report.broken(
                format!("network.bridges: {name} = {bridge}, and this machine has no such bridge"),
                format!("ip link add {bridge} type bridge, with what leads to {name} in it; or name the right one."),
            );
        }
    }
}

/// How soon a host that vanishes is missed by who moves a machine to it.
fn lost_peers(report: &mut Report) {
    let retries = fs::read_to_string("/proc/sys/net/ipv4/tcp_retries2").ok().and_then(|text| text.trim().parse().ok());
    let conf = fs::read_to_string("/etc/libvirt/libvirtd.conf").unwrap_or_default();
    let found = findings(retries, &conf);
    if found.is_empty() {
        report.well("a host that is lost in the middle of a move is missed soon");
    }
    found.into_iter().for_each(|(what, mend)| report.note(what, mend));
}

fn findings(retries: Option<u64>, libvirtd: &str) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    if let Some(retries) = retries.filter(|retries| *retries > RETRIES) {
        found.push((
            format!("a guest whose disks are on their way to a host that is lost may stand still for minutes: tcp_retries2 = {retries}"),
            "sysctl net.ipv4.tcp_retries2=5, and in /etc/sysctl.d: after some 13 seconds, not a quarter of an hour.",
        ));
    }
    let number = |name: &str, default: i64| {
        let mut set = libvirtd
            .lines()
            .filter_map(|line| line.trim().strip_prefix(name)?.trim().strip_prefix('=')?.trim().parse().ok());
        set.next_back().unwrap_or(default)
    };
    let (interval, count) = (number("keepalive_interval", 5), number("keepalive_count", 5));
    if interval < 1 || interval.saturating_mul(count.max(0) + 1) > KEEPALIVE {
        found.push((
            format!(
                "libvirtd misses another one late or never: keepalive_interval = {interval}, keepalive_count = {count}"
            ),
            "Set both to 5 in libvirtd.conf (or virtqemud.conf), which is what they are by themselves.",
        ));
    }
    found
}

/// Is what is here new enough for what is set?
pub fn versions(config: &Config, facts: &HostFacts, report: &mut Report) {
    let (version, set) = (facts.hypervisor_version, &config.migration);
    if facts.hypervisor_type != "QEMU" {
        return;
    }
    let mut needs = |least: u64, is_set: bool, what: &str| {
        if is_set && version < least {
            let (major, minor) = (least / 1_000_000, least / 1_000 % 1_000);
            report.note(
                format!("this QEMU, {version}, is too old for {what}, which takes {major}.{minor}: moves go without"),
                "Upgrade QEMU, or take the setting away.",
            );
        }
    };
    let several = set.parallel_connections > 1;
    needs(4_000_000, several, "[migration] parallel_connections");
    needs(5_000_000, set.compression == "zstd", "[migration] compression = \"zstd\"");
    needs(10_001_000, several && set.permit_post_copy, "several connections together with permit_post_copy");
}

/// From a controller: every machine that joined.
pub async fn others(config: &Config, cloud: &str, report: &mut Report) {
    let rows = match rows(config).await {
        Ok(rows) if rows.is_empty() => {
            if config.has_no_host() {
                report.note("the cloud has no host, so no server can run", "On another machine: gapura node join.");
            }
            return;
        }
        Ok(rows) => rows,
        // That the database doesn't answer is told already.
        Err(_) => return,
    };
    if config.has_no_host() && config.nodes.listen().is_ok_and(|listen| listen.is_none()) {
        report.note("no more machines can join", "Set `nodes.listen`.");
    }
    let now = Clock::System.now();
    let identity = Authorities::load_or_create(&authority_folder(config), cloud, now)
        .and_then(|authorities| authorities.cloud.identity(&Holder::controller(), now));
    let identity = match identity {
        Ok(identity) => identity,
        Err(error) => {
            let mend = "Bring the folder back from a backup, or let every machine join again.";
            return report.broken(format!("the cloud's authority can't be used: {}", with_causes(&error)), mend);
        }
    };
    for row in rows {
        match follow::channel(&row, &identity) {
            Ok(channel) => look(&row, &channel, report).await,
            Err(error) => report.broken(with_causes(&error), "Let it join again."),
        }
    }
}

async fn rows(config: &Config) -> Result<Vec<NodeRow>> {
    let mut settings = StoreSettings::at(config.database_url.clone());
    settings.connections = 1;
    Db::open(&settings).await?.read(nodes::list).await
}

async fn look(row: &NodeRow, channel: &Channel, report: &mut Report) {
    let name = &row.name;
    match channel.hello().await {
        Ok(hello) => answers(name, &hello, report),
        Err(Error::NotImplemented(_)) => report.note(
            format!("{name} answers, with a gapura node of an older protocol"),
            "Upgrade it: certificates are renewed only for those that are new enough.",
        ),
        Err(error) => report.broken(
            format!("the host {name} can't be asked: {}", with_causes(&error)),
            format!("On it: systemctl start gapura-node, and let this machine reach {}.", row.address),
        ),
    }
    if let Ok(address) = row.address.parse::<SocketAddr>() {
        // Refused is well: nobody listens there while no machine comes in.
        let asked = timeout(PATIENCE, TcpStream::connect((address.ip(), FIRST_PORT))).await;
        let is_shut =
            asked.map_or(true, |tried| tried.is_err_and(|error| error.kind() != std::io::ErrorKind::ConnectionRefused));
        if is_shut {
            report.note(
                format!("{name} lets nobody reach its port {FIRST_PORT}, at which running machines come in"),
                "Open 49152 to 49215 between hosts in its firewall.",
            );
        }
    }
}

fn answers(name: &str, hello: &Hello, report: &mut Report) {
    let ahead = hello.now.seconds() - Clock::System.now().seconds();
    if ahead.abs() > CLOCKS {
        let how = if ahead > 0 { "ahead" } else { "behind" };
        report.broken(
            format!("the clock of {name} is {} seconds {how}", ahead.abs()),
            "Set the clocks and keep them right (chrony or systemd-timesyncd): certificates are good by them.",
        );
    }
    if hello.version == VERSION {
        report.well(format!("the host {name} answers; its certificate is good until {}", hello.ends.to_seconds_z()));
    } else {
        let theirs = &hello.version;
        report.note(
            format!("the host {name} answers, with gapura {theirs}, and here it is {VERSION} (protocol {PROTOCOL})"),
            "Bring both to the newer.",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_outlive_their_peer_for_long_are_told_of() {
        assert!(findings(Some(5), "").is_empty() && findings(None, "# keepalive_interval = -1\n").is_empty());
        assert!(findings(Some(15), "")[0].0.ends_with("tcp_retries2 = 15"));
        for conf in ["keepalive_interval = -1\n", "keepalive_interval=30\n", "keepalive_count = 60\n"] {
            assert!(findings(Some(5), conf)[0].0.starts_with("libvirtd misses another one late or never"), "{conf}");
        }
    }

    #[test]
    fn what_this_machine_lacks_for_networks_of_several_hosts_is_broken() {
        let mut config = Config::default();
        config.network.tunnel_address = "192.0.2.77".to_owned();
        config.network.bridges.insert("physnet1".to_owned(), "gapura-none".to_owned());
        let mut report = Report::default();
        plugs(&config, &mut report);
        let said = report.to_string();
        assert!(said.contains("192.0.2.77 is no address of this machine"), "{said}");
        assert!(said.contains("physnet1 = gapura-none, and this machine has no such bridge"), "{said}");
        assert!(!report.is_well());
    }

    #[test]
    fn a_setting_that_this_qemu_is_too_old_for_is_noted() {
        let mut config = Config::default();
        config.migration.compression = "zstd".to_owned();
        let facts = |version: u64| -> HostFacts {
            serde_json::from_value(serde_json::json!({
                "hostname": "a", "hypervisor_type": "QEMU", "hypervisor_version": version, "vcpus": 1, "memory_mib": 1,
                "accelerator": "kvm", "cpu": {"arch": "x86_64", "model": "", "vendor": "", "features": [], "cells": 1,
                "sockets": 1, "cores": 1, "threads": 1},
            }))
            .unwrap()
        };
        let said = |version| {
            let mut report = Report::default();
            versions(&config, &facts(version), &mut report);
            report.to_string()
        };
        assert!(said(4_002_000).contains("too old for [migration] compression = \"zstd\", which takes 5.0"));
        assert!(!said(10_000_002).contains("too old"));
    }
}
