//! The hosts this process gives orders to, connected as the settings say.
//!
//! Today that is one: the machine whose libvirt `hypervisor` names. Its id follows from the cloud and its name, so that a
//! restart, or a second process, speaks of the same host without asking anybody.

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
use crate::tasks::{Host, Hosts};
use std::sync::Arc;

/// Connects what the settings name, for the cloud of this id.
///
/// # Errors
/// `BadRequest` for a setting that can't be understood. A hypervisor that is away is no error: it is waited for.
pub fn connect(config: &Config, cloud: &str) -> Result<Hosts> {
    let name = if config.compute.host.is_empty() { own_name() } else { config.compute.host.clone() };
    let hypervisor = hypervisor(config, cloud)?;
    let is_simulated = config.hypervisor == "simulated";
    let disks: Arc<dyn Disks> =
        if is_simulated { SimulatedDisks::new() } else { Arc::new(LocalDisks::open(&config.compute.disks)?) };
    let fabric: Arc<dyn Fabric> = match config.network.fabric.as_str() {
        "simulated" => Arc::new(SimulatedFabric::new()),
        "linux" => Arc::new(LinuxFabric::new(Settings { cloud: cloud.to_owned() })?),
        other => {
            return Err(Error::bad_request(format!(
                "network.fabric = {other:?} is neither \"linux\" nor \"simulated\""
            )));
        }
    };
    Ok(Hosts::new([Host { id: id_of(cloud, &name), name, hypervisor, disks, fabric }]))
}

/// What runs machines, as the settings name it. Connects with the first call.
///
/// # Errors
/// `BadRequest` for a setting that can't be understood.
pub fn hypervisor(config: &Config, cloud: &str) -> Result<Arc<dyn Hypervisor>> {
    if config.hypervisor == "simulated" {
        return Ok(Simulated::new(64, 256 * 1024));
    }
    Ok(Arc::new(Libvirt::connect(&config.hypervisor, cloud, accelerator(&config.compute.accelerator)?)))
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
mod tests {
    use super::*;

    #[test]
    fn a_host_keeps_its_id_and_two_clouds_give_it_two() {
        assert_eq!(id_of("c1", "a"), id_of("c1", "a"));
        assert_ne!(id_of("c1", "a"), id_of("c2", "a"));
        assert_ne!(id_of("c1", "a"), id_of("c1", "b"));
    }
}
