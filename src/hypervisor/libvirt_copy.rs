//! Copies a running machine's disk, as it is at one instant, while the machine goes on writing.
//!
//! QEMU's backup job does it: it begins at an instant, and what the guest overwrites afterwards is copied away first. So
//! the guest's file systems need to rest only while the job is begun, not while it copies; no chain of files is left behind
//! whatever happens; and what comes out is whole, with nothing behind it.

use super::libvirt::{Libvirt, power};
use super::libvirt_connection::Failure;
use super::{Epoch, Power, Quiesce, domain_xml, libvirt_ffi};
use crate::error::{Error, Result};
use crate::ids::ServerId;
use std::path::Path;
use std::time::Duration;
use virt::domain::Domain;
use virt_sys as sys;

const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// `false` when the machine does not run.
pub async fn copy(host: &Libvirt, id: ServerId, epoch: Epoch, target: &Path, quiesce: Quiesce) -> Result<bool> {
    end_earlier(host, id, epoch).await?;
    let xml = target.to_str().map(str::to_owned);
    let target = xml.ok_or_else(|| Error::internal("a copy lies under a path that is not text", String::new()))?;
    let begun = host
        .order("beginning to copy a machine's disk", id, epoch, move |_, domain| match domain {
            Some(domain) if runs(&domain)? => begin(&domain, id, &target, quiesce).map(|()| true),
            _ => Ok(false),
        })
        .await?;
    if !begun {
        return Ok(false);
    }
    while host.order("looking at a copy", id, epoch, |_, domain| is_busy(domain.as_ref())).await? {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    host.order("asking how a copy ended", id, epoch, move |_, domain| match domain {
        Some(domain) if domain.is_active()? => match libvirt_ffi::last_job(&domain)? {
            Ok(()) => Ok(true),
            Err(reason) => Err(Error::internal("copying a machine's disk", reason).into()),
        },
        // It stopped meanwhile, and its copy is not whole: its files can be read now.
        _ => Ok(false),
    })
    .await
}

fn runs(domain: &Domain) -> Result<bool, virt::error::Error> {
    Ok(matches!(power(domain)?, Power::Running | Power::Paused))
}

/// A copy that was begun before a crash writes into a file that is not wanted any more.
async fn end_earlier(host: &Libvirt, id: ServerId, epoch: Epoch) -> Result<()> {
    loop {
        let busy = host
            .order("ending an earlier copy", id, epoch, |_, domain| {
                let busy = is_busy(domain.as_ref())?;
                if busy
                    && let Some(domain) = &domain
                    && let Err(error) = libvirt_ffi::abort_job(domain)
                {
                    tracing::debug!(%error, "an earlier copy ended just now, or is ending");
                }
                Ok(busy)
            })
            .await?;
        if !busy {
            return Ok(());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn is_busy(domain: Option<&Domain>) -> Result<bool, Failure> {
    let Some(domain) = domain else { return Ok(false) };
    if !domain.is_active()? {
        return Ok(false);
    }
    let none = i32::try_from(sys::VIR_DOMAIN_JOB_NONE).unwrap_or(0);
    match domain.job_info() {
        Ok(job) => Ok(job.r#type != none),
        Err(_) if !domain.is_active()? => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn begin(domain: &Domain, id: ServerId, target: &str, quiesce: Quiesce) -> Result<(), Failure> {
    let first = domain_xml::counted(&domain.xml_desc(0)?).disks.into_iter().next();
    let first = first.ok_or_else(|| Error::conflict(format!("Machine {id} has no disk.")))?;
    let rests = quiesce != Quiesce::No && power(domain)? == Power::Running && rest(domain, id, quiesce)?;
    let begun = libvirt_ffi::begin_backup(domain, &domain_xml::backup(&first, target));
    if rests && let Err(error) = libvirt_ffi::thaw(domain) {
        tracing::error!(%id, %error, "a guest's file systems rest, and its agent does not let them go on");
    }
    Ok(begun?)
}

fn rest(domain: &Domain, id: ServerId, quiesce: Quiesce) -> Result<bool, Failure> {
    match libvirt_ffi::freeze(domain) {
        Ok(()) => Ok(true),
        Err(error) if quiesce == Quiesce::Must => {
            tracing::warn!(%id, %error, "a guest that must rest for its copy does not");
            // Some may rest already.
            let _ = libvirt_ffi::thaw(domain);
            Err(Error::conflict(format!("Failed to quiesce instance: {id}")).into())
        }
        Err(error) => {
            tracing::info!(%id, %error, "copying a guest without bringing it to rest");
            let _ = libvirt_ffi::thaw(domain);
            Ok(false)
        }
    }
}
