//! What is asked of a domain beside its power: its memory saved and taken up again, a password, an interrupt, numbers.

use super::libvirt::{goes_on, power, start};
use super::libvirt_connection::Failure;
use super::{Diagnostics, DiskUse, InterfaceUse, Power, Traffic, domain_xml, libvirt_ffi};
use crate::error::{Error, Kind};
use crate::ids::ServerId;
use virt::connect::Connect;
use virt::domain::Domain;
use virt_sys as sys;

fn off(id: ServerId) -> Failure {
    Error::conflict(format!("Machine {id} does not run.")).into()
}

fn present(domain: Option<Domain>, id: ServerId) -> Result<Domain, Failure> {
    domain.ok_or_else(|| Error::not_found(Kind::Server, id).into())
}

/// Saves a machine's memory beside its definition, where libvirt finds it at the next start, after a restart of the host
/// too.
pub fn save(domain: Option<Domain>, id: ServerId) -> Result<(), Failure> {
    let domain = present(domain, id)?;
    match power(&domain)? {
        Power::Saved => Ok(()),
        Power::Running | Power::Paused => match domain.managed_save(0) {
            // The one before us may have finished it.
            Err(_) if power(&domain).is_ok_and(|now| now == Power::Saved) => Ok(()),
            other => Ok(other?),
        },
        _ => Err(off(id)),
    }
}

/// Lets a machine go on from its saved memory. True when it did: then what runs has the metadata of the time of saving.
pub fn wake(connect: &Connect, domain: Option<Domain>, id: ServerId, xml: &str) -> Result<bool, Failure> {
    match domain {
        Some(domain) if power(&domain)? == Power::Saved => match domain.create() {
            Err(_) if domain.is_active()? && goes_on(&domain)? => Ok(true),
            other => Ok(other.map(|()| true)?),
        },
        domain => start(connect, domain, id, xml).map(|()| false),
    }
}

/// Defines a machine and leaves it off.
pub fn define(connect: &Connect, domain: Option<Domain>, xml: &str) -> Result<(), Failure> {
    if let Some(domain) = domain
        && domain.is_active()?
    {
        return Ok(());
    }
    connect.define_domain_xml(xml)?;
    Ok(())
}

pub fn set_password(domain: Option<Domain>, id: ServerId, user: &str, password: &str) -> Result<(), Failure> {
    let domain = present(domain, id)?;
    if power(&domain)? != Power::Running {
        return Err(off(id));
    }
    match domain.set_user_password(user, password, 0) {
        Err(error) if error.code().to_raw() == sys::VIR_ERR_AGENT_UNRESPONSIVE => {
            Err(Error::NotImplemented("Unable to set password on instance".to_owned()).into())
        }
        Err(error) => {
            // Libvirt's text may repeat the command, and with it the password.
            tracing::warn!(%id, code = error.code().to_raw(), "a guest's password can't be set");
            let text = format!("Failed to set admin password on {id} because error setting admin password");
            Err(Error::conflict(text).into())
        }
        Ok(()) => Ok(()),
    }
}

pub fn interrupt(domain: Option<Domain>, id: ServerId) -> Result<(), Failure> {
    let domain = present(domain, id)?;
    if !domain.is_active()? {
        return Err(off(id));
    }
    Ok(libvirt_ffi::inject_nmi(&domain)?)
}

/// libvirt's names of what it counts of a guest's memory, by their numbers.
const MEMORY: [(sys::virDomainMemoryStatTags, &str); 11] = [
    (sys::VIR_DOMAIN_MEMORY_STAT_SWAP_IN, "swap_in"),
    (sys::VIR_DOMAIN_MEMORY_STAT_SWAP_OUT, "swap_out"),
    (sys::VIR_DOMAIN_MEMORY_STAT_MAJOR_FAULT, "major_fault"),
    (sys::VIR_DOMAIN_MEMORY_STAT_MINOR_FAULT, "minor_fault"),
    (sys::VIR_DOMAIN_MEMORY_STAT_UNUSED, "unused"),
    (sys::VIR_DOMAIN_MEMORY_STAT_AVAILABLE, "available"),
    (sys::VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON, "actual"),
    (sys::VIR_DOMAIN_MEMORY_STAT_RSS, "rss"),
    (sys::VIR_DOMAIN_MEMORY_STAT_USABLE, "usable"),
    (sys::VIR_DOMAIN_MEMORY_STAT_LAST_UPDATE, "last_update"),
    (sys::VIR_DOMAIN_MEMORY_STAT_DISK_CACHES, "disk_caches"),
];

pub fn diagnostics(domain: Option<Domain>, id: ServerId) -> Result<Diagnostics, Failure> {
    let domain = present(domain, id)?;
    if !domain.is_active()? {
        return Err(off(id));
    }
    let info = domain.info()?;
    let devices = domain_xml::counted(&domain.xml_desc(0)?);
    let count = usize::try_from(info.nr_virt_cpu).unwrap_or(0);
    // A driver that does not count something says so by an error; the rest is told all the same.
    let memory = domain.memory_stats(0).unwrap_or_default().into_iter().filter_map(|stat| {
        let (_, name) = MEMORY.iter().find(|(tag, _)| *tag == stat.tag)?;
        Some(((*name).to_owned(), stat.val))
    });
    Ok(Diagnostics {
        cpu_times: libvirt_ffi::cpu_times(&domain, count).unwrap_or_default(),
        memory_max_kib: info.max_mem,
        memory_used_kib: info.memory,
        memory: memory.collect(),
        disks: devices.disks.into_iter().map(|target| disk(&domain, target)).collect(),
        interfaces: devices.interfaces.into_iter().map(|(tap, mac)| interface(&domain, tap, mac)).collect(),
    })
}

fn disk(domain: &Domain, target: String) -> DiskUse {
    match domain.block_stats(&target) {
        Ok(stats) => DiskUse {
            target,
            read_requests: stats.rd_req,
            read_bytes: stats.rd_bytes,
            write_requests: stats.wr_req,
            write_bytes: stats.wr_bytes,
            errors: stats.errs,
        },
        Err(_) => {
            DiskUse { target, read_requests: -1, read_bytes: -1, write_requests: -1, write_bytes: -1, errors: -1 }
        }
    }
}

fn interface(domain: &Domain, tap: String, mac: String) -> InterfaceUse {
    const UNKNOWN: Traffic = Traffic { bytes: -1, packets: -1, errors: -1, drops: -1 };
    match domain.interface_stats(&tap) {
        Ok(stats) => InterfaceUse {
            tap,
            mac,
            received: Traffic {
                bytes: stats.rx_bytes,
                packets: stats.rx_packets,
                errors: stats.rx_errs,
                drops: stats.rx_drop,
            },
            sent: Traffic {
                bytes: stats.tx_bytes,
                packets: stats.tx_packets,
                errors: stats.tx_errs,
                drops: stats.tx_drop,
            },
        },
        Err(_) => InterfaceUse { tap, mac, received: UNKNOWN, sent: UNKNOWN },
    }
}
