//! The hosts this process gives orders to: its own, connected as the settings say, and those that joined.
//!
//! Its own is the machine whose libvirt `hypervisor` names, or as many simulated ones as somebody wants to try things with,
//! or none: then every host is one that joined.
//! A host's id follows from the cloud and its name, so that a restart, or a second process, speaks of the same host without
//! asking anybody.
//!
//! ```text
//!  gapura node token     a row with the token's digest                                      (controller)
//!  gapura node join      [`joining`] ──► [`admission`]: a row of `nodes`, a certificate       (new machine)
//!                             └► [`membership`]: a file in the machine's state directory
//!                             └► [`hypervisor_tls`]: files that QEMU and libvirtd read
//!  gapura node           [`node`]: carries out what it is asked, as `crate::node` says        (new machine)
//!  gapura serve          [`follow`]: rows of `nodes` ─► the fleet                             (controller)
//! ```

pub mod admission;
pub mod command;
pub mod draining;
pub mod follow;
pub mod hypervisor_tls;
pub mod joining;
pub mod membership;
pub mod node;
mod papers;
pub mod renewal;

use crate::config::Config;
use crate::disks::Disks;
use crate::disks::local::LocalDisks;
use crate::disks::simulated::SimulatedDisks;
use crate::error::{Error, Result};
use crate::fabric::Fabric;
use crate::fabric::linux::{LinuxFabric, Settings};
use crate::fabric::simulated::SimulatedFabric;
use crate::hypervisor::Hypervisor;
use crate::hypervisor::accelerator::AcceleratorChoice;
use crate::hypervisor::libvirt::Libvirt;
use crate::hypervisor::simulated::Simulated;
use crate::ids::HostId;
use crate::node::Parts;
use crate::tasks::{Host, Hosts};
use std::sync::Arc;

/// Connects what the settings name, for the cloud of this id.
///
/// # Errors
/// `BadRequest` for a setting that can't be understood. A hypervisor that is away is no error: it is waited for.
pub fn connect(config: &Config, cloud: &str) -> Result<Hosts> {
    if config.hypervisor == "simulated" {
        return simulated(config, cloud);
    }
    if config.has_no_host() {
        return Ok(Hosts::default());
    }
    let name = machine(config);
    Ok(Hosts::new([host(id_of(cloud, &name), name, parts(config, cloud)?)]))
}

/// What is asked of this machine as a host, connected as the settings say.
///
/// # Errors
/// As [`connect`].
pub fn parts(config: &Config, cloud: &str) -> Result<Parts> {
    let disks: Arc<dyn Disks> = if config.hypervisor == "simulated" {
        SimulatedDisks::of_size(config.simulated.disk_gb << 30)
    } else {
        Arc::new(LocalDisks::open(&config.compute.disks)?)
    };
    Ok(Parts { hypervisor: hypervisor(config, cloud)?, disks, fabric: fabric(config, cloud)? })
}

fn host(id: HostId, name: String, parts: Parts) -> Host {
    let Parts { hypervisor, disks, fabric } = parts;
    Host { id, name, hypervisor, disks, fabric }
}

/// As many hosts as the settings pretend, in one process. What they carry is gone with it.
fn simulated(config: &Config, cloud: &str) -> Result<Hosts> {
    let size = &config.simulated;
    let mut hosts = Vec::new();
    for name in simulated_names(&config.compute.host, size.hosts) {
        hosts.push(Host {
            id: id_of(cloud, &name),
            hypervisor: Simulated::named(&name, size.vcpus, size.memory_mb),
            disks: SimulatedDisks::of_size(size.disk_gb << 30),
            fabric: fabric(config, cloud)?,
            name,
        });
    }
    Ok(Hosts::new(hosts))
}

/// One host is called as the setting, or this machine, is; of several each has a number.
fn simulated_names(setting: &str, count: u32) -> Vec<String> {
    match (setting, count) {
        ("", 1) => vec![own_name()],
        (name, 1) => vec![name.to_owned()],
        (name, count) => {
            let name = if name.is_empty() { "sim" } else { name };
            (1..=count).map(|number| format!("{name}-{number}")).collect()
        }
    }
}

fn fabric(config: &Config, cloud: &str) -> Result<Arc<dyn Fabric>> {
    match config.network.fabric.as_str() {
        "simulated" => Ok(Arc::new(SimulatedFabric::new())),
        "linux" => {
            let (tunnel_address, bridges) = (config.network.tunnel_address()?, config.network.bridges.clone());
            Ok(Arc::new(LinuxFabric::new(Settings { cloud: cloud.to_owned(), tunnel_address, bridges })?))
        }
        other => Err(Error::bad_request(format!("network.fabric = {other:?} is neither \"linux\" nor \"simulated\""))),
    }
}

/// What runs machines, as the settings name it; of simulated hosts the first. Connects with the first call.
///
/// # Errors
/// `BadRequest` for a setting that can't be understood.
pub fn hypervisor(config: &Config, cloud: &str) -> Result<Arc<dyn Hypervisor>> {
    if config.hypervisor == "simulated" {
        let size = &config.simulated;
        return Ok(Simulated::named(&machine(config), size.vcpus, size.memory_mb));
    }
    if config.has_no_host() {
        return Err(Error::bad_request("hypervisor = \"none\": this machine is no host"));
    }
    let libvirt = Libvirt::connect(&config.hypervisor, cloud, accelerator(&config.compute.accelerator)?);
    let libvirt = match hypervisor_tls::shown_by_qemu(config) {
        Some(certificate) => libvirt.showing(certificate),
        None => libvirt,
    };
    Ok(Arc::new(match config.compute.live_migration_uri.as_str() {
        "" => libvirt,
        uri => libvirt.reached_at(uri),
    }))
}

fn accelerator(text: &str) -> Result<AcceleratorChoice> {
    match text {
        "auto" => Ok(AcceleratorChoice::Auto),
        "kvm" => Ok(AcceleratorChoice::Kvm),
        "tcg" => Ok(AcceleratorChoice::Tcg),
        other => {
            Err(Error::bad_request(format!("compute.accelerator = {other:?} is none of \"auto\", \"kvm\", \"tcg\"")))
        }
    }
}

/// What this machine is called here.
pub fn machine(config: &Config) -> String {
    if config.compute.host.is_empty() { own_name() } else { config.compute.host.clone() }
}

/// This machine's name, as its kernel knows it.
pub fn own_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

/// The host's id: the same for the same name in the same cloud.
fn id_of(cloud: &str, name: &str) -> HostId {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("{cloud}/{name}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_ref()[..16]);
    HostId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

#[cfg(test)]
mod joined_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SimulatedHosts;

    #[test]
    fn a_host_keeps_its_id_and_two_clouds_give_it_two() {
        assert_eq!(id_of("c1", "a"), id_of("c1", "a"));
        assert_ne!(id_of("c1", "a"), id_of("c2", "a"));
        assert_ne!(id_of("c1", "a"), id_of("c1", "b"));
    }

    #[tokio::test]
    async fn as_many_hosts_are_simulated_as_the_settings_say_each_of_that_size() {
        let mut config = Config { hypervisor: "simulated".to_owned(), ..Config::default() };
        config.network.fabric = "simulated".to_owned();
        config.simulated = SimulatedHosts { hosts: 3, vcpus: 8, memory_mb: 16_384, disk_gb: 100 };
        let hosts = connect(&config, "c1").unwrap();
        let mut names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["sim-1", "sim-2", "sim-3"]);
        for host in hosts.iter() {
            let (facts, space) = (host.hypervisor.facts().await.unwrap(), host.disks.space().await.unwrap());
            assert_eq!((facts.hostname.as_str(), facts.vcpus, facts.memory_mib), (host.name.as_str(), 8, 16_384));
            assert_eq!(space.total >> 30, 100);
        }
        config.compute.host = "rack".to_owned();
        config.simulated.hosts = 1;
        assert_eq!(connect(&config, "c1").unwrap().iter().next().unwrap().name, "rack");
    }
}
