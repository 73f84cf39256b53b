//! Does this host really have KVM? A trial tells; its own word does not.
//!
//! A host may advertise KVM, accept a machine and even run its BIOS, and then stop it at the first instruction that a
//! boot loader uses and a BIOS does not: nested and emulated hosts do, and the machine then just sits there, paused.
//! So the trial runs a guest, the 512 bytes of `trial.S`: real mode, protected mode, paging, 64-bit code, and then it
//! switches itself off. Only a machine that was switched off by its guest proves the CPU; whatever else happens, in
//! whatever time, machines are emulated (`qemu` in libvirt's words), slower but right.
//!
//! The trial's domain is destroyed by libvirt when our connection goes (`AUTODESTROY`). What then remains, a definition
//! and a file, is swept by the next trial.

use super::Accelerator;
use super::libvirt_connection::{Connection, Failure};
use super::xml::Element;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;
use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::{Domain, DomainPausedReason, DomainShutoffReason, DomainStateReason};
use virt::enumutil::Enum;
use virt_sys as sys;

const GUEST: &[u8; 512] = include_bytes!("trial.bin");
const NAME: &str = "gapura-kvm-trial-";
/// A sound host needs half a second, most of it in the BIOS.
const PATIENCE: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What the operator says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AcceleratorChoice {
    /// Find out by a trial.
    #[default]
    Auto,
    Kvm,
    Tcg,
}

/// The accelerator for machines behind this connection. One trial a host and process, however many ask.
pub async fn of(connection: &Connection, choice: AcceleratorChoice) -> Result<Accelerator> {
    static KNOWN: Mutex<BTreeMap<String, Accelerator>> = Mutex::const_new(BTreeMap::new());
    if connection.uri().starts_with("test:") {
        return Ok(Accelerator::None);
    }
    match choice {
        AcceleratorChoice::Kvm => return Ok(Accelerator::Kvm),
        AcceleratorChoice::Tcg => return Ok(Accelerator::Tcg),
        AcceleratorChoice::Auto => {}
    }
    let mut known = KNOWN.lock().await;
    if let Some(accelerator) = known.get(connection.uri()) {
        return Ok(*accelerator);
    }
    let is_sound = trial(connection, "kvm").await?;
    let uri = connection.uri();
    let accelerator = if is_sound { Accelerator::Kvm } else { Accelerator::Tcg };
    match accelerator {
        Accelerator::Kvm => tracing::info!(uri, "a trial machine ran on KVM"),
        _ => tracing::warn!(uri, "no trial machine ran on KVM: machines are emulated, and slow"),
    }
    known.insert(connection.uri().to_owned(), accelerator);
    Ok(accelerator)
}

/// Runs the guest with libvirt's domain type `kind` and says whether it came to its end. The error of a host that is
/// away passes; a host that refuses such a domain has failed the trial.
async fn trial(connection: &Connection, kind: &'static str) -> Result<bool> {
    let id = Uuid::new_v4();
    let started = connection
        .call("trying the accelerator", move |connect| {
            sweep(connect)?;
            Ok(start(connect, id, kind).unwrap_or_else(|failure| {
                tracing::debug!(?failure, kind, "the host does not run a machine of this kind");
                false
            }))
        })
        .await;
    let is_sound = match started {
        Ok(true) => watch(connection, id).await,
        other => other,
    };
    let cleared = connection.call("clearing a trial away", move |connect| Ok(clear(connect, id)?)).await;
    let is_sound = is_sound?;
    cleared.map(|()| is_sound)
}

/// Waits for the trial's end: switched off by its guest, stopped by the host, or out of time.
async fn watch(connection: &Connection, id: Uuid) -> Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let verdict = connection
            .call("watching a trial", move |connect| Ok(verdict(&connect.lookup_domain_by_uuid(id)?)?))
            .await?;
        match verdict {
            Some(is_sound) => return Ok(is_sound),
            None if Instant::now() >= deadline => return Ok(false),
            None => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

/// `None` while the guest may still come to its end.
fn verdict(domain: &Domain) -> Result<Option<bool>, virt::error::Error> {
    let (_, reason) = domain.state()?;
    Ok(match reason {
        Enum::Known(DomainStateReason::Shutoff(why)) => Some(why == DomainShutoffReason::Shutdown.into()),
        Enum::Known(DomainStateReason::Paused(why)) if why != DomainPausedReason::StartingUp.into() => Some(false),
        Enum::Known(DomainStateReason::Crashed(_)) => Some(false),
        _ => None,
    })
}

/// The guest's disk, named after its domain so that a sweep finds the one by the other.
fn disk(id: Uuid) -> PathBuf {
    std::env::temp_dir().join(format!("{NAME}{id}.img"))
}

fn start(connect: &Connect, id: Uuid, kind: &str) -> Result<bool, Failure> {
    let written = || {
        let mut options = std::fs::File::options();
        let mut file = options.write(true).create_new(true).mode(0o644).open(disk(id))?;
        file.write_all(GUEST)
    };
    written().map_err(|error| Error::internal("writing a trial's disk", error))?;
    let domain = connect.define_domain_xml(&domain_xml(id, kind))?;
    domain.create_with_flags(sys::VIR_DOMAIN_START_AUTODESTROY)?;
    Ok(true)
}

fn domain_xml(id: Uuid, kind: &str) -> String {
    let device = |name, kind: &str, model: &str| Element::new(name).with("type", kind).with("model", model);
    Element::new("domain")
        .with("type", kind)
        .child(Element::new("name").text(format!("{NAME}{id}")))
        .child(Element::new("uuid").text(id))
        .child(Element::new("memory").with("unit", "MiB").text(32))
        .child(Element::new("vcpu").text(1))
        .child(
            Element::new("os")
                .child(Element::new("type").with("arch", "x86_64").with("machine", "pc").text("hvm"))
                .child(Element::new("boot").with("dev", "hd")),
        )
        .child(Element::new("features").child(Element::new("acpi")))
        .child(
            Element::new("devices")
                .child(
                    Element::new("disk")
                        .with("type", "file")
                        .with("device", "disk")
                        .child(Element::new("driver").with("name", "qemu").with("type", "raw"))
                        .child(Element::new("source").with("file", disk(id).display()))
                        .child(Element::new("target").with("dev", "hda").with("bus", "ide")),
                )
                .child(device("controller", "usb", "none"))
                .child(Element::new("memballoon").with("model", "none")),
        )
        .render()
}

/// Takes a trial away, whatever it does. Twice is once.
fn clear(connect: &Connect, id: Uuid) -> Result<(), virt::error::Error> {
    let _ = std::fs::remove_file(disk(id));
    let Ok(domain) = connect.lookup_domain_by_uuid(id) else { return Ok(()) };
    if domain.is_active()? {
        // It may just be ending by itself; what counts is that it can be undefined.
        let _ = domain.destroy();
    }
    domain.undefine()
}

/// Clears away what earlier processes left: trials that came to some end, and not just now, since another process may
/// be in the middle of its own.
fn sweep(connect: &Connect) -> Result<(), virt::error::Error> {
    for domain in connect.list_all_domains(0)? {
        if !domain.name().is_ok_and(|name| name.starts_with(NAME)) {
            continue;
        }
        let id = domain.uuid()?;
        let age = disk(id).metadata().and_then(|file| file.modified()).map(|made| made.elapsed().unwrap_or_default());
        if age.map_or(true, |age| age > 4 * PATIENCE) && verdict(&domain)?.is_some() {
            clear(connect, id)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trial_guest_is_a_boot_sector() {
        assert_eq!(GUEST[510..], [0x55, 0xaa]);
    }

    #[tokio::test]
    async fn the_test_driver_has_no_accelerator_and_a_choice_needs_no_trial() {
        let test = Connection::new("test:///default");
        assert_eq!(of(&test, AcceleratorChoice::Auto).await.unwrap(), Accelerator::None);
        let away = Connection::new("qemu+unix:///system?socket=/nowhere");
        assert_eq!(of(&away, AcceleratorChoice::Kvm).await.unwrap(), Accelerator::Kvm);
        assert!(of(&away, AcceleratorChoice::Auto).await.unwrap_err().is_transient(), "no verdict without a host");
    }

    /// Needs libvirt and qemu: see `compat-tests/hypervisor.rs` for how to name them.
    #[tokio::test]
    async fn emulation_passes_the_trial_and_an_unknown_accelerator_fails_it_and_nothing_is_left() {
        let Ok(uri) = std::env::var("GAPURA_TEST_LIBVIRT_URI") else {
            eprintln!("SKIPPED: GAPURA_TEST_LIBVIRT_URI names no libvirtd");
            return;
        };
        let connection = Connection::new(&uri);
        let left_over = Uuid::new_v4();
        let define =
            move |connect: &Connect| Ok(connect.define_domain_xml(&domain_xml(left_over, "qemu")).map(drop)?);
        connection.call("leaving a trial behind", define).await.unwrap();
        assert!(trial(&connection, "qemu").await.unwrap());
        assert!(!trial(&connection, "xen").await.unwrap());
        let names = |connect: &Connect| {
            let domains = connect.list_all_domains(0)?;
            Ok(domains.iter().filter_map(|domain| domain.name().ok()).collect::<Vec<_>>())
        };
        let names = connection.call("listing trials", names).await.unwrap();
        assert!(!names.iter().any(|name| name.starts_with(NAME)), "{names:?}");
        assert!(!disk(left_over).exists());
    }
}
