//! Moves a running domain to another libvirt.
//!
//! The two libvirtds talk to each other (peer to peer), so a move goes on when this process dies: libvirt's own call blocks
//! for as long as it takes, on a thread that nobody waits for, and all that is known of the move is asked of the domain. What
//! the thread hears at the end is kept as the reason of a failure, and is never taken for the truth about who runs the
//! guest.

use super::libvirt::{Libvirt, power, unless_absent};
use super::libvirt_connection::Failure;
use super::libvirt_progress::{Call, progress, under_way};
use super::{Accelerator, Arrival, Carry, Departure, Epoch, Limits, MachineSpec, Offer, Phase};
use super::{Standing, Steer, domain_xml, libvirt_ffi, moved_xml};
use crate::certificate::Certificate;
use crate::error::{Error, Kind, Result};
use crate::ids::ServerId;
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;
use virt::connect::Connect;
use virt::domain::{
    Domain, DomainPausedReason, DomainRunningReason, DomainState, DomainStateReason, MigrateParameters,
};
use virt::enumutil::Enum;
use virt_sys as sys;

/// QEMU's first version that can use several connections, and the first that can and still finish by post-copy.
const CONNECTIONS: u64 = 4_000_000;
const CONNECTIONS_AND_POST_COPY: u64 = 10_001_000;
/// libvirt's first version that knows zstd, and QEMU's.
const ZSTD: (u32, u64) = (9_001_000, 5_000_000);

/// How the names end by which QEMUs of a cloud know each other, in certificates. What stands before it is the host's id: an
/// address may become another's.
pub const MIGRATION_ROLE: &str = ".migration.gapura";
/// libvirt's first version that takes up a torn move, and those whose daemon dies of it on the target ("Fix virtqemud crash when
/// resuming failed post-copy migration", release notes of 11.4).
const MENDS: u64 = 8_005_000;
const DIES_OF_IT: std::ops::Range<u64> = 11_002_000..11_004_000;

pub(super) async fn offer(host: &Libvirt, id: ServerId) -> Result<Offer> {
    let found = host.ask("asking what a machine needs", id, move |domain| {
        let domain = domain.ok_or_else(|| Error::not_found(Kind::Server, id))?;
        if !domain.is_active()? {
            return Err(Error::conflict(format!("Machine {id} does not run.")).into());
        }
        let xml = domain.xml_desc(sys::VIR_DOMAIN_XML_MIGRATABLE)?;
        Ok(if xml.starts_with("<domain type='kvm'") { moved_xml::cpu(&xml) } else { None })
    });
    let cpu = found.await?;
    let (hypervisor_type, hypervisor_version) = kind(host).await?;
    Ok(Offer { hypervisor_type, hypervisor_version, cpu })
}

async fn kind(host: &Libvirt) -> Result<(String, u64)> {
    host.connection
        .call("asking for a hypervisor's version", |connect| {
            Ok((connect.driver_type()?.to_uppercase(), u64::from(connect.hyp_version()?)))
        })
        .await
}

pub(super) async fn receive(host: &Libvirt, there: &MachineSpec, offer: &Offer) -> Result<Arrival> {
    let (hypervisor_type, hypervisor_version) = kind(host).await?;
    offer.check(&hypervisor_type, hypervisor_version)?;
    if let Some(cpu) = offer.cpu.clone() {
        if host.accelerator().await? != Accelerator::Kvm {
            return Err(Error::bad_request("Unacceptable CPU info: the host can't run guests on its CPU."));
        }
        let fits = host.connection.call("comparing CPUs", move |connect| {
            Ok(connect.compare_cpu(&cpu, 0)? != sys::VIR_CPU_COMPARE_INCOMPATIBLE)
        });
        if !fits.await? {
            return Err(Error::bad_request("Unacceptable CPU info: CPU doesn't have compatibility."));
        }
    }
    // A machine of another cloud, or of another name's, is found out now.
    host.order("looking whether a machine may come in", there.id, there.epoch, |_, _| Ok(())).await?;
    let driver_version = driver(host).await?;
    let tls_name = host.certificate.as_deref().and_then(role);
    Ok(Arrival { address: host.peer_address.clone(), hypervisor_version, driver_version, tls_name })
}

/// Whom a certificate of the cloud's own names; `None` for one of somebody else.
fn role(certificate: &Path) -> Option<String> {
    Certificate::read(certificate).ok()?.names.into_iter().find(|name| name.ends_with(MIGRATION_ROLE))
}

async fn driver(host: &Libvirt) -> Result<u64> {
    host.connection.call("asking for libvirt's version", |connect| Ok(u64::from(connect.lib_version()?))).await
}

/// Can a torn move between these two be taken up again?
fn check_mending(own: u64, other: u64) -> Result<()> {
    if own < MENDS || other < MENDS || DIES_OF_IT.contains(&other) {
        let text = format!("a torn move can't be taken up again between libvirt {own} and, at the target, {other}");
        return Err(Error::NotImplemented(text));
    }
    Ok(())
}

pub(super) async fn begin(host: &Libvirt, wish: &Departure) -> Result<()> {
    let id = wish.id;
    let phase = progress(host, id).await?.map(|now| now.phase);
    let is_torn = matches!(phase, Some(Phase::Torn(_)));
    if is_torn {
        if host.outgoing.lock().get(&id).is_some_and(|call| call.lock().goes_on()) {
            return Ok(());
        }
        check_mending(driver(host).await?, wish.to.driver_version)?;
    } else if phase.is_some_and(|phase| !phase.is_over()) {
        return Ok(());
    }
    let (order, own_version) = (wish.clone(), kind(host).await?.1);
    let (parameters, flags) = host
        .order("preparing a machine's move", id, wish.epoch, move |connect, domain| {
            let domain = domain.ok_or_else(|| Error::not_found(Kind::Server, id))?;
            if !domain.is_active()? {
                return Err(Error::conflict(format!("Machine {id} does not run.")).into());
            }
            prepare(connect, &domain, &order, own_version)
        })
        .await?;
    let flags = if is_torn { flags | sys::VIR_MIGRATE_POSTCOPY_RESUME } else { flags };
    let (outgoing, address) = (host.outgoing.clone(), wish.to.address.clone());
    let call = Arc::new(Mutex::new(Call::default()));
    outgoing.lock().insert(id, call.clone());
    let begun = host.connection.apart("gapura-move", move |connect| {
        let moved = connect
            .lookup_domain_by_uuid(id.0)
            .and_then(|domain| domain.migrate_to_uri3(Some(&address), parameters, flags));
        if let Err(error) = &moved {
            tracing::warn!(%id, to = address, %error, "a move ended without success");
        }
        call.lock().says(moved.map_err(|error| error.message().to_owned()));
    });
    let begun = begun.await;
    if begun.is_err() {
        outgoing.lock().remove(&id);
    }
    begun
}

fn prepare(
    connect: &Connect,
    domain: &Domain,
    wish: &Departure,
    own_version: u64,
) -> Result<(MigrateParameters, u32), Failure> {
    let xml = domain.xml_desc(sys::VIR_DOMAIN_XML_MIGRATABLE | sys::VIR_DOMAIN_XML_SECURE)?;
    let moved = moved_xml::moved(&xml, &wish.there).ok_or_else(|| {
        Error::internal("a machine on its way has other disks or interfaces than its wish", wish.id.to_string())
    })?;
    let both = own_version.min(wish.to.hypervisor_version);
    let mut flags = sys::VIR_MIGRATE_LIVE
        | sys::VIR_MIGRATE_PEER2PEER
        | sys::VIR_MIGRATE_PERSIST_DEST
        | sys::VIR_MIGRATE_UNDEFINE_SOURCE;
    let mut parameters = MigrateParameters {
        dest_xml: Some(moved.clone()),
        persist_xml: Some(moved),
        bandwidth: wish.limits.bandwidth_mib,
        uri: data_address(&wish.to.address),
        ..MigrateParameters::default()
    };
    match wish.carry {
        // That both see the same files has been looked at; libvirt knows only some file systems.
        Carry::Nothing => flags |= sys::VIR_MIGRATE_UNSAFE,
        Carry::Changes => flags |= sys::VIR_MIGRATE_NON_SHARED_INC,
        Carry::Whole => flags |= sys::VIR_MIGRATE_NON_SHARED_DISK,
    }
    if wish.carry != Carry::Nothing {
        parameters.migrate_disks = moved_xml::carried(&wish.there);
    }
    let Limits { auto_converge, post_copy, tls, .. } = wish.limits;
    if tls {
        flags |= sys::VIR_MIGRATE_TLS;
        parameters.tls_destination = wish.to.tls_name.clone();
    }
    if auto_converge {
        flags |= sys::VIR_MIGRATE_AUTO_CONVERGE;
    }
    if post_copy {
        flags |= sys::VIR_MIGRATE_POSTCOPY;
        parameters.bandwidth_postcopy = wish.limits.bandwidth_mib;
    }
    let streams = streams(&wish.limits, both, connect.lib_version()?);
    if streams.connections > 1 {
        flags |= sys::VIR_MIGRATE_PARALLEL;
        parameters.parallel_connections = i32::try_from(streams.connections).ok();
    }
    if streams.is_packed {
        flags |= sys::VIR_MIGRATE_COMPRESSED;
        parameters.compression = Some("zstd".to_owned());
    }
    Ok((parameters, flags))
}

/// How memory goes.
#[derive(Debug, PartialEq, Eq)]
struct Streams {
    connections: u32,
    /// By zstd, which goes with several connections alone.
    is_packed: bool,
}

/// As much of what is wished as the older of both QEMUs, and the own libvirt, can do.
fn streams(limits: &Limits, both: u64, libvirt: u32) -> Streams {
    let Limits { post_copy, connections, zstd, .. } = *limits;
    let several = if post_copy { CONNECTIONS_AND_POST_COPY } else { CONNECTIONS };
    if both < several || (connections <= 1 && !zstd) {
        return Streams { connections: 1, is_packed: false };
    }
    Streams { connections: connections.max(2), is_packed: zstd && both >= ZSTD.1 && libvirt >= ZSTD.0 }
}

/// Where QEMU sends to: the very address that libvirt is reached at. Libvirt would take the other host's name, which may lead
/// elsewhere, or nowhere. `None` where there is no address: then libvirt knows best.
fn data_address(libvirt: &str) -> Option<String> {
    let url = url::Url::parse(libvirt).ok()?;
    url.host_str().filter(|host| !host.is_empty()).map(|host| format!("tcp://{host}"))
}

pub(super) async fn steer(host: &Libvirt, id: ServerId, epoch: Epoch, steer: Steer) -> Result<()> {
    host.ask("steering a move", id, move |domain| {
        let Some(domain) = domain else { return Ok(()) };
        // Its metadata can't be written while it moves; it can be read.
        let seen = domain_xml::owner(&domain.xml_desc(0)?).map_or(epoch, |owner| owner.epoch);
        epoch.admit(seen)?;
        if !domain.is_active()? || under_way(&domain)?.is_none() {
            return Ok(());
        }
        let done = match steer {
            Steer::Abort => libvirt_ffi::abort_job(&domain),
            Steer::Downtime(milliseconds) => domain.migrate_set_max_downtime(milliseconds, 0),
            // Where post-copy was not allowed at the beginning, the guest stands still and so dirties nothing more.
            Steer::Hasten => match libvirt_ffi::start_post_copy(&domain) {
                Err(error) => {
                    tracing::info!(%id, %error, "a guest stands still so that its move ends");
                    domain.suspend().map(drop)
                }
                done => done,
            },
        };
        match done {
            // It ended just now.
            Err(_) if under_way(&domain)?.is_none() => Ok(()),
            done => Ok(done?),
        }
    })
    .await
}

pub(super) async fn standing(host: &Libvirt, id: ServerId) -> Result<Standing> {
    let cloud = host.cloud.clone();
    host.connection
        .call("asking who runs a machine", move |connect| {
            let Some(domain) = unless_absent(connect.lookup_domain_by_uuid(id.0))? else {
                return Ok(Standing::Absent);
            };
            use DomainPausedReason::{Migration, PostCopy, PostCopyFailed, StartingUp};
            // A machine on its way in answers nothing else: its XML would be waited for until the move is over.
            match reason(&domain) {
                Some(Migration | StartingUp) => return Ok(Standing::Held),
                Some(PostCopy | PostCopyFailed) => return Ok(Standing::HandedOver),
                _ => {}
            }
            if is_torn(&domain) {
                return Ok(Standing::Torn);
            }
            if is_fetching(&domain) {
                return Ok(Standing::Fetching);
            }
            let Some(xml) = unless_absent(domain.xml_desc(0))? else { return Ok(Standing::Absent) };
            if domain_xml::owner(&xml).is_none_or(|owner| *owner.cloud != *cloud) {
                return Ok(Standing::Absent);
            }
            if !domain.is_active()? {
                return Ok(Standing::Off);
            }
            Ok(Standing::Runs(power(&domain)?))
        })
        .await
}

/// Is the machine on its way in? Libvirt knows of such a job and tells nothing of it, where all other questions wait for its
/// end.
pub(super) fn is_coming_in(domain: &Domain) -> bool {
    let is_held = matches!(reason(domain), Some(DomainPausedReason::Migration | DomainPausedReason::StartingUp));
    is_held && has_incoming_job(domain)
}

/// Libvirt tells nothing of a job by which a machine comes in: versions differ in how they say so.
fn has_incoming_job(domain: &Domain) -> bool {
    let refusals = [sys::VIR_ERR_OPERATION_INVALID, sys::VIR_ERR_OPERATION_UNSUPPORTED];
    libvirt_ffi::job(domain, 0).is_err_and(|error| refusals.contains(&error.code().to_raw()))
}

/// Does its guest go on here, and fetch what it lacks from the host where it was?
pub(super) fn is_fetching(domain: &Domain) -> bool {
    running_because(domain) == Some(DomainRunningReason::PostCopy) && has_incoming_job(domain)
}

/// The same, and what it lacks does not come. Nothing of such a domain can be changed, and its XML would be waited for in vain;
/// it can be asked who it is, and ended.
pub(super) fn is_torn(domain: &Domain) -> bool {
    running_because(domain) == Some(DomainRunningReason::PostCopyFailed)
}

/// Is it the part that stayed at the source? Nothing of it can be changed either.
pub(super) fn is_handed_over(domain: &Domain) -> bool {
    matches!(reason(domain), Some(DomainPausedReason::PostCopy | DomainPausedReason::PostCopyFailed))
}

fn running_because(domain: &Domain) -> Option<DomainRunningReason> {
    match domain.state() {
        Ok((_, Enum::Known(DomainStateReason::Running(Enum::Known(why))))) => Some(why),
        _ => None,
    }
}

/// Why a domain's CPUs stand still, if they do.
pub(super) fn reason(domain: &Domain) -> Option<DomainPausedReason> {
    match domain.state() {
        Ok((Enum::Known(DomainState::Paused), Enum::Known(DomainStateReason::Paused(Enum::Known(why))))) => Some(why),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_move_is_taken_up_again_only_where_nobody_dies_of_it() {
        for (own, other, can) in [
            (11_004_000, 11_004_000, true),
            (11_003_000, 11_004_000, true),
            (9_000_000, 9_000_000, true),
            (11_004_000, 11_003_000, false),
            (11_004_000, 11_002_000, false),
            (11_004_000, 8_004_000, false),
            (8_004_000, 11_004_000, false),
            (11_004_000, 0, false),
        ] {
            assert_eq!(check_mending(own, other).is_ok(), can, "{own} {other}");
        }
    }

    #[test]
    fn several_connections_and_packing_are_used_where_both_hosts_know_them_and_else_left_out() {
        let single = || Streams { connections: 1, is_packed: false };
        for (post_copy, connections, zstd, both, libvirt, found) in [
            (false, 4, true, 10_000_000, 11_003_000, Streams { connections: 4, is_packed: true }),
            (false, 1, true, 10_000_000, 11_003_000, Streams { connections: 2, is_packed: true }),
            (false, 4, true, 10_000_000, 9_000_000, Streams { connections: 4, is_packed: false }),
            (false, 4, true, 4_002_000, 11_003_000, Streams { connections: 4, is_packed: false }),
            (false, 4, true, 3_001_000, 11_003_000, single()),
            (true, 4, false, 10_000_000, 11_003_000, single()),
            (true, 4, false, 10_001_000, 11_003_000, Streams { connections: 4, is_packed: false }),
            (false, 1, false, 10_000_000, 11_003_000, single()),
        ] {
            let limits = Limits { post_copy, connections, zstd, ..Limits::default() };
            assert_eq!(streams(&limits, both, libvirt), found, "{limits:?} {both} {libvirt}");
        }
    }

    #[test]
    fn memory_goes_to_the_address_that_libvirt_is_reached_at() {
        assert_eq!(data_address("qemu+tcp://10.0.0.2/system").as_deref(), Some("tcp://10.0.0.2"));
        assert_eq!(data_address("qemu+tls://[fd00::2]:16514/system").as_deref(), Some("tcp://[fd00::2]"));
        assert_eq!(data_address("qemu:///system"), None);
        assert_eq!(data_address("qemu+unix:///system?socket=/run/libvirt-sock"), None);
    }
}
