//! How far a move to another libvirt is: what the domain says, and what the call said that began it.

use super::libvirt::Libvirt;
use super::libvirt_connection::Failure;
use super::libvirt_ffi;
use super::libvirt_migration::reason;
use super::{Amount, Counts, Phase, Progress};
use crate::error::Result;
use crate::ids::ServerId;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use virt::domain::{Domain, DomainPausedReason};
use virt_sys as sys;

/// How long the call of a move may go on after its machine has ended here. Commonly the other host has the guest then, and
/// libvirt is about to say so; or the call waits for a QEMU there that has not noticed that nothing can come any more. It does
/// not where its own work waits for memory of the guest, and then the call never comes back.
const BEREFT: Duration = Duration::from_secs(10);

/// Moves that this process began.
pub(super) type Outgoing = Arc<Mutex<BTreeMap<ServerId, Arc<Mutex<Call>>>>>;

#[derive(Debug, Default)]
pub(super) struct Call {
    /// What it said; `None` while it goes on.
    said: Option<Result<(), String>>,
    /// Since when the machine has been seen not to run here, though it goes on.
    bereft: Option<Instant>,
}

/// What the domain says, then what the call said, then what the domain remembers of a move that has ended.
pub(super) async fn progress(host: &Libvirt, id: ServerId) -> Result<Option<Progress>> {
    let (is_active, running, remembered) = host
        .ask("asking how far a move is", id, |domain| match domain {
            Some(domain) if domain.is_active()? => Ok((true, under_way(&domain)?, last(&domain)?)),
            _ => Ok((false, None, None)),
        })
        .await?;
    let Some(call) = host.outgoing.lock().get(&id).cloned() else { return Ok(running.or(remembered)) };
    let mut call = call.lock();
    if let Some(mut running) = running {
        if let (Phase::Torn(why), Some(Err(reason))) = (&mut running.phase, &call.said) {
            why.clone_from(reason);
        }
        return Ok(Some(running));
    }
    let counts = remembered.map(|last| last.counts).unwrap_or_default();
    Ok(Some(Progress { phase: call.phase(is_active, Instant::now()), counts }))
}

impl Call {
    pub(super) const fn goes_on(&self) -> bool {
        self.said.is_none()
    }

    pub(super) fn says(&mut self, said: Result<(), String>) {
        self.said = Some(said);
    }

    /// Of a move of which the domain says nothing.
    fn phase(&mut self, is_active: bool, now: Instant) -> Phase {
        match &self.said {
            Some(Ok(())) => return Phase::Completed,
            Some(Err(reason)) => return Phase::Failed(reason.clone()),
            None if is_active => self.bereft = None,
            None => {
                if now.duration_since(*self.bereft.get_or_insert(now)) >= BEREFT {
                    return Phase::Failed(
                        "the machine ended on its way, and the other host does not notice".to_owned(),
                    );
                }
            }
        }
        Phase::Copying
    }
}

pub(super) fn under_way(domain: &Domain) -> Result<Option<Progress>, Failure> {
    let Some(job) = libvirt_ffi::job(domain, 0)? else { return Ok(None) };
    let leaves = job.number("operation") == u64::from(sys::VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT);
    let goes_on = [sys::VIR_DOMAIN_JOB_BOUNDED, sys::VIR_DOMAIN_JOB_UNBOUNDED].contains(&job.kind);
    if !leaves || !goes_on {
        return Ok(None);
    }
    let phase = match reason(domain) {
        Some(DomainPausedReason::PostCopy) => Phase::PostCopy,
        Some(DomainPausedReason::PostCopyFailed) => Phase::Torn("the hosts lost each other".to_owned()),
        _ => Phase::Copying,
    };
    Ok(Some(Progress { phase, counts: counts(&job) }))
}

/// Of the move by which the machine came, or by which it did not leave.
fn last(domain: &Domain) -> Result<Option<Progress>, Failure> {
    let flags = sys::VIR_DOMAIN_JOB_STATS_COMPLETED | sys::VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED;
    let Some(job) = libvirt_ffi::job(domain, flags)? else { return Ok(None) };
    let operation = job.number("operation");
    let phase = match job.kind {
        sys::VIR_DOMAIN_JOB_COMPLETED if operation == u64::from(sys::VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN) => {
            Phase::Completed
        }
        sys::VIR_DOMAIN_JOB_FAILED | sys::VIR_DOMAIN_JOB_CANCELLED
            if operation == u64::from(sys::VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT) =>
        {
            Phase::Failed(job.text("errmsg").unwrap_or_else(|| "no reason is given".to_owned()))
        }
        _ => return Ok(None),
    };
    Ok(Some(Progress { phase, counts: counts(&job) }))
}

fn counts(job: &libvirt_ffi::Job) -> Counts {
    let number = |name: &str| job.number(name);
    let amount = |sort: &str| Amount {
        total: number(&format!("{sort}_total")),
        processed: number(&format!("{sort}_processed")),
        remaining: number(&format!("{sort}_remaining")),
    };
    Counts {
        elapsed_ms: number("time_elapsed"),
        downtime_ms: job.has("downtime").then(|| number("downtime")),
        setup_ms: job.has("setup_time").then(|| number("setup_time")),
        memory: amount("memory"),
        disk: amount("disk"),
        iterations: number("memory_iteration"),
        dirty_rate: number("memory_dirty_rate").saturating_mul(number("memory_page_size")),
        memory_speed: number("memory_bps"),
        disk_speed: number("disk_bps"),
        throttle: number("auto_converge_throttle"),
        postcopy_requests: number("memory_postcopy_requests"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_goes_on_without_its_machine_is_not_waited_for_for_ever() {
        let (mut call, began) = (Call::default(), Instant::now());
        let mut after = |seconds: u64, is_active| {
            matches!(call.phase(is_active, began + Duration::from_secs(seconds)), Phase::Failed(_))
        };
        assert!(!after(0, true) && !after(60, false) && !after(69, false), "it may be about to end");
        assert!(after(70, false));
        assert!(!after(71, true) && !after(80, false), "the machine is back, and so is the wait");
        assert!(after(90, false));
        call.said = Some(Ok(()));
        assert_eq!(call.phase(false, began + Duration::from_secs(90)), Phase::Completed, "what it says counts");
    }
}
