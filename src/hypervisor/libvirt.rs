//! The driver for libvirt: one method a call, each idempotent.
//!
//! Domains are persistent, so that a host that reboots still knows its machines, and carry an element of metadata that
//! says which cloud they belong to and the newest epoch that gave orders about them. A domain without that element, or
//! of another cloud, is never listed and never touched: several Gapuras and machines made by hand share a host in peace.
//!
//! Start reading at [`claim`]: every order begins by finding its domain and showing its epoch.

use super::accelerator::{self, AcceleratorChoice};
use super::domain_xml::{self, Owner};
use super::libvirt_connection::{Connection, Failure};
use super::{
    Accelerator, Arrival, CpuFacts, Departure, Diagnostics, Epoch, HostFacts, Hypervisor, Machine, MachineSpec, Offer,
    Power, Progress, Quiesce, Standing, Steer, libvirt_copy, libvirt_guest, libvirt_migration, libvirt_progress,
};
use crate::error::{Error, Kind, Result};
use crate::ids::ServerId;
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use virt::connect::Connect;
use virt::domain::{Domain, DomainPausedReason, DomainState, DomainStateReason};
use virt::enumutil::Enum;
use virt_sys as sys;

/// A guest that did not hear the power button (its kernel may just be booting) is told again after so long.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// Between two looks at a machine that is asked to shut down, unless an event comes first.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

pub struct Libvirt {
    pub(super) connection: Connection,
    pub(super) cloud: Arc<str>,
    /// By which other hosts' libvirt reaches this one.
    pub(super) peer_address: String,
    /// What its QEMU shows others.
    pub(super) certificate: Option<PathBuf>,
    pub(super) outgoing: libvirt_progress::Outgoing,
    choice: AcceleratorChoice,
    /// Epochs of machines removed since the process started: their domains can't remember them.
    removed: Arc<Mutex<BTreeMap<ServerId, Epoch>>>,
}

impl Libvirt {
    /// A driver for the host behind `uri` (`qemu:///system`, `qemu+tcp://host/system`, `test:///default`, …) that
    /// touches the machines of `cloud` alone. Connects with the first call.
    pub fn connect(uri: &str, cloud: &str, choice: AcceleratorChoice) -> Self {
        Self {
            connection: Connection::new(uri),
            cloud: cloud.into(),
            peer_address: uri.to_owned(),
            certificate: None,
            outgoing: Arc::default(),
            choice,
            removed: Arc::default(),
        }
    }

    /// As other hosts' libvirt reaches this one, where that is another URI than ours.
    #[must_use]
    pub fn reached_at(self, peer_address: &str) -> Self {
        Self { peer_address: peer_address.to_owned(), ..self }
    }

    /// With a certificate in this file, by whose role other hosts know its QEMU.
    #[must_use]
    pub fn showing(self, certificate: PathBuf) -> Self {
        Self { certificate: Some(certificate), ..self }
    }

    pub(super) async fn accelerator(&self) -> Result<Accelerator> {
        accelerator::of(&self.connection, self.choice).await
    }

    /// Finds the domain of `id`, admits the order and hands both to `act`; `None` when the host has no such domain.
    pub(super) async fn order<T, F>(&self, context: &'static str, id: ServerId, epoch: Epoch, act: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connect, Option<Domain>) -> Result<T, Failure> + Send + 'static,
    {
        self.order_of(context, id, epoch, Takes::Whole, act).await
    }

    async fn order_of<T, F>(&self, context: &'static str, id: ServerId, epoch: Epoch, takes: Takes, act: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connect, Option<Domain>) -> Result<T, Failure> + Send + 'static,
    {
        let (cloud, removed) = (self.cloud.clone(), self.removed.clone());
        self.connection
            .call(context, move |connect| {
                let domain = claim(connect, &cloud, id, epoch, takes)?;
                if domain.is_none()
                    && let Some(seen) = removed.lock().get(&id)
                {
                    epoch.admit(*seen)?;
                }
                act(connect, domain)
            })
            .await
    }

    /// Finds the domain of `id` and hands it to `act`, without an order's epoch: what is asked so changes no wish.
    pub(super) async fn ask<T, F>(&self, context: &'static str, id: ServerId, act: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(Option<Domain>) -> Result<T, Failure> + Send + 'static,
    {
        let cloud = self.cloud.clone();
        self.connection
            .call(context, move |connect| {
                let domain = unless_absent(connect.lookup_domain_by_uuid(id.0))?;
                let ours = match domain {
                    Some(domain) if machine(&domain, &cloud)?.is_some() => Some(domain),
                    _ => None,
                };
                act(ours)
            })
            .await
    }

    /// Presses the power button and waits for the machine to stop. Says whether it did. Each look shows the epoch
    /// again, so that a newer order ends the wait.
    async fn shut_down(&self, id: ServerId, epoch: Epoch, grace: Duration) -> Result<bool> {
        let deadline = Instant::now() + grace;
        let mut changes = self.connection.changes();
        let mut asked: Option<Instant> = None;
        loop {
            changes.mark_unchanged();
            let ask = asked.is_none_or(|when| when.elapsed() >= ASK_AGAIN);
            let stopped = self
                .order("asking a machine to shut down", id, epoch, move |_, domain| match domain {
                    Some(domain) if domain.is_active()? => {
                        // A frozen guest can't answer, and one that is just stopping refuses: the plug remains.
                        if ask && let Err(error) = domain.shutdown() {
                            tracing::debug!(%id, %error, "the machine can't be asked to shut down now");
                        }
                        Ok(!domain.is_active()?)
                    }
                    _ => Ok(true),
                })
                .await?;
            let now = Instant::now();
            if stopped || now >= deadline {
                return Ok(stopped);
            }
            if ask {
                asked = Some(now);
            }
            let look = deadline.min(now + LOOK_AGAIN);
            let _ = tokio::time::timeout_at(look, changes.changed()).await;
        }
    }
}

/// Which machines an order is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// Those that are here with all of their memory, or torn.
    Whole,
    /// Also one whose guest goes on here and waits for memory: of that nothing can be changed, but it can be ended.
    Parts,
}

/// The domain of this id, if it is there, after showing it the order's epoch: a domain of another cloud or one that
/// has seen a newer order is a conflict, and a newer epoch is written into its metadata.
fn claim(connect: &Connect, cloud: &str, id: ServerId, epoch: Epoch, takes: Takes) -> Result<Option<Domain>, Failure> {
    let Some(domain) = unless_absent(connect.lookup_domain_by_uuid(id.0))? else { return Ok(None) };
    if is_starting(&domain) {
        return Err(Error::unavailable(
            "hypervisor",
            format!("machine {id} is being started, or was when libvirtd died"),
        )
        .into());
    }
    let is_fetching = libvirt_migration::is_fetching(&domain);
    if libvirt_migration::is_coming_in(&domain) || (is_fetching && takes == Takes::Whole) {
        return Err(Error::unavailable("hypervisor", format!("machine {id} is on its way in from another host")).into());
    }
    // Its XML would be waited for in vain.
    let is_apart = is_fetching || libvirt_migration::is_torn(&domain);
    let told = if is_apart { metadata(&domain) } else { domain.xml_desc(0) };
    let Some(xml) = unless_absent(told)? else { return Ok(None) };
    match domain_xml::owner(&xml) {
        Some(owner) if owner.cloud == cloud => {
            epoch.admit(owner.epoch)?;
            if owner.epoch < epoch && !is_apart && !libvirt_migration::is_handed_over(&domain) {
                note_epoch(&domain, Owner { epoch, ..owner })?;
            }
            Ok(Some(domain))
        }
        _ => Err(Error::conflict(format!("Machine {id} on this host belongs to another cloud.")).into()),
    }
}

/// Is the domain between its definition and its process? All but this question then waits for half a minute; and for ever
/// where libvirtd died in that instant: its successor (seen with 11.3) takes over a start that nobody carries on, and
/// lets nothing end it until its status file is removed. So such a domain is asked nothing else.
fn is_starting(domain: &Domain) -> bool {
    let starting = DomainPausedReason::StartingUp.into();
    domain
        .state()
        .is_ok_and(|(_, reason)| matches!(reason, Enum::Known(DomainStateReason::Paused(why)) if why == starting))
}

/// Our element of a domain's XML alone, as it stands in the whole: libvirt takes its namespace away.
fn metadata(domain: &Domain) -> Result<String, virt::error::Error> {
    let kind = i32::try_from(sys::VIR_DOMAIN_METADATA_ELEMENT).expect("a small number");
    let element = domain.metadata(kind, Some(domain_xml::NAMESPACE), sys::VIR_DOMAIN_AFFECT_CURRENT)?;
    Ok(format!("<domain xmlns='{}'>{element}</domain>", domain_xml::NAMESPACE))
}

fn note_epoch(domain: &Domain, owner: Owner) -> Result<(), Failure> {
    let (element, uri) = (domain_xml::metadata(&owner), domain_xml::NAMESPACE);
    let mut flags = sys::VIR_DOMAIN_AFFECT_CONFIG;
    if domain.is_active()? {
        flags |= sys::VIR_DOMAIN_AFFECT_LIVE;
    }
    let kind = i32::try_from(sys::VIR_DOMAIN_METADATA_ELEMENT).expect("a small number");
    unless_absent(domain.set_metadata(kind, Some(&element), Some(domain_xml::PREFIX), Some(uri), flags))?;
    Ok(())
}

/// A domain that is gone (or went a moment ago) is `None`, not an error.
pub(super) fn unless_absent<T>(answer: Result<T, virt::error::Error>) -> Result<Option<T>, virt::error::Error> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.code().to_raw() == sys::VIR_ERR_NO_DOMAIN => Ok(None),
        Err(error) => Err(error),
    }
}

/// An action that is only possible in another state is done when the domain is in the wished state by now.
fn unless<T>(answer: Result<T, virt::error::Error>, is_done: impl FnOnce() -> bool) -> Result<(), virt::error::Error> {
    match answer {
        Err(error) if error.code().to_raw() == sys::VIR_ERR_NO_DOMAIN || !is_done() => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn start(connect: &Connect, domain: Option<Domain>, id: ServerId, xml: &str) -> Result<(), Failure> {
    if let Some(domain) = domain
        && domain.is_active()?
        && goes_on(&domain)?
    {
        return Ok(());
    }
    let domain = match connect.define_domain_xml(xml) {
        Ok(domain) => domain,
        Err(error) if is_name_taken(connect, id, xml) => {
            tracing::error!(%id, %error, "a machine can't be defined");
            let text = format!("The host has another machine of the name that {id} shall have.");
            return Err(Error::conflict(text).into());
        }
        Err(error) => return Err(error.into()),
    };
    // Memory that was saved is of another wish than this.
    if domain.has_managed_save(0)? {
        domain.managed_save_remove(0)?;
    }
    // Two starts at once: the later one finds the machine running, which is what it wanted.
    Ok(unless(domain.create(), || domain.is_active().unwrap_or(false))?)
}

/// Lets an active machine run. False when it stopped meanwhile: a libvirtd that died in the middle of a start leaves a
/// machine that is said to be paused, and its successor clears that away. Then the start begins anew.
pub(super) fn goes_on(domain: &Domain) -> Result<bool, virt::error::Error> {
    let answer = if power(domain)? == Power::Paused { domain.resume().map(drop) } else { Ok(()) };
    match answer {
        Err(_) if !domain.is_active()? => Ok(false),
        other => other.map(|()| true),
    }
}

fn is_name_taken(connect: &Connect, id: ServerId, xml: &str) -> bool {
    domain_xml::name(xml)
        .and_then(|name| connect.lookup_domain_by_name(&name).ok())
        .and_then(|other| other.uuid().ok())
        .is_some_and(|other| other != id.0)
}

fn destroy(domain: &Domain) -> Result<(), virt::error::Error> {
    if unless_absent(domain.is_active())? != Some(true) {
        return Ok(());
    }
    match unless_absent(domain.destroy()) {
        Err(_) if !domain.is_active().unwrap_or(false) => Ok(()),
        other => other.map(drop),
    }
}

/// Freezes or thaws a running machine.
fn set_power(domain: Option<Domain>, id: ServerId, wish: Power) -> Result<(), Failure> {
    let domain = domain.ok_or_else(|| Error::not_found(Kind::Server, id))?;
    let answer = match (power(&domain)?, wish) {
        (now, wish) if now == wish => return Ok(()),
        (Power::Running | Power::Paused, Power::Paused) => domain.suspend(),
        (Power::Running | Power::Paused, _) => domain.resume(),
        _ => return Err(Error::conflict(format!("Machine {id} does not run.")).into()),
    };
    Ok(unless(answer, || power(&domain).is_ok_and(|now| now == wish))?)
}

pub(super) fn power(domain: &Domain) -> Result<Power, virt::error::Error> {
    // `Domain::state` of the crate swallows errors; `info` tells when the domain is gone.
    Ok(match domain.info()?.state.known() {
        // While it is "being shut down" the machine still runs, and writes.
        Some(DomainState::Running | DomainState::Blocked | DomainState::Shutdown) => Power::Running,
        Some(DomainState::Paused) => Power::Paused,
        Some(DomainState::Shutoff) if domain.has_managed_save(0)? => Power::Saved,
        Some(DomainState::Shutoff) => Power::Shutdown,
        Some(DomainState::Crashed) => Power::Crashed,
        Some(DomainState::PMSuspended) => Power::Suspended,
        Some(DomainState::NoState) | None => Power::Unknown,
    })
}

/// The machine behind a domain, if it is one of this cloud, and not just being started, or on its way in, whole or in part.
fn machine(domain: &Domain, cloud: &str) -> Result<Option<Machine>, virt::error::Error> {
    if is_starting(domain)
        || libvirt_migration::is_coming_in(domain)
        || libvirt_migration::is_fetching(domain)
        || libvirt_migration::is_torn(domain)
    {
        return Ok(None);
    }
    let Some(xml) = unless_absent(domain.xml_desc(0))? else { return Ok(None) };
    let Some(owner) = domain_xml::owner(&xml).filter(|owner| owner.cloud == cloud) else { return Ok(None) };
    let Some(power) = unless_absent(power(domain))? else { return Ok(None) };
    let id = ServerId(domain.uuid()?);
    Ok(Some(Machine { id, epoch: owner.epoch, power, vnc_port: domain_xml::vnc_port(&xml) }))
}

fn facts(connect: &Connect, accelerator: Accelerator) -> Result<HostFacts, Failure> {
    let node = connect.node_info()?;
    let capabilities = connect.capabilities()?;
    let mut cpu = domain_xml::host_cpu(&capabilities);
    // Named are a model and what goes beyond it. What the model itself is able to do, libvirt knows, where it is asked.
    let named = domain_xml::host_cpu_element(&capabilities);
    let whole = named.and_then(|xml| connect.baseline_cpu(&[xml], sys::VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES).ok());
    if let Some(whole) = whole {
        cpu.features = domain_xml::host_cpu(&whole).features;
    }
    Ok(HostFacts {
        uuid: domain_xml::host_uuid(&capabilities),
        hostname: connect.hostname()?,
        hypervisor_type: connect.driver_type()?.to_uppercase(),
        hypervisor_version: u64::from(connect.hyp_version()?),
        vcpus: node.cpus,
        memory_mib: node.memory / 1024,
        cpu: CpuFacts { cells: node.nodes, sockets: node.sockets, cores: node.cores, threads: node.threads, ..cpu },
        accelerator,
    })
}

#[async_trait]
impl Hypervisor for Libvirt {
    async fn facts(&self) -> Result<HostFacts> {
        let accelerator = self.accelerator().await?;
        self.connection.call("asking a host what it is", move |connect| facts(connect, accelerator)).await
    }

    /// libvirt does not know it, and its daemon is on this machine.
    async fn uptime(&self) -> Result<Option<String>> {
        let said = tokio::process::Command::new("uptime").env("LC_ALL", "C").output().await;
        Ok(said
            .ok()
            .filter(|said| said.status.success())
            .map(|said| String::from_utf8_lossy(&said.stdout).into_owned()))
    }

    async fn list(&self) -> Result<Vec<Machine>> {
        let cloud = self.cloud.clone();
        self.connection
            .call("listing machines", move |connect| {
                let mut machines = Vec::new();
                for domain in connect.list_all_domains(0)? {
                    machines.extend(machine(&domain, &cloud)?);
                }
                Ok(machines)
            })
            .await
    }

    async fn find(&self, id: ServerId) -> Result<Option<Machine>> {
        let cloud = self.cloud.clone();
        self.connection
            .call("finding a machine", move |connect| match unless_absent(connect.lookup_domain_by_uuid(id.0))? {
                Some(domain) => Ok(machine(&domain, &cloud)?),
                None => Ok(None),
            })
            .await
    }

    async fn start(&self, spec: &MachineSpec) -> Result<()> {
        let xml = domain_xml::domain(spec, &self.cloud, self.accelerator().await?);
        let id = spec.id;
        self.order("starting a machine", id, spec.epoch, move |connect, domain| start(connect, domain, id, &xml)).await
    }

    async fn stop(&self, id: ServerId, epoch: Epoch, grace: Option<Duration>) -> Result<()> {
        if let Some(grace) = grace
            && self.shut_down(id, epoch, grace).await?
        {
            return Ok(());
        }
        self.order("stopping a machine", id, epoch, |_, domain| match domain {
            Some(domain) => Ok(destroy(&domain)?),
            None => Ok(()),
        })
        .await
    }

    async fn define(&self, spec: &MachineSpec) -> Result<()> {
        let xml = domain_xml::domain(spec, &self.cloud, self.accelerator().await?);
        let define = move |connect: &Connect, domain| libvirt_guest::define(connect, domain, &xml);
        self.order("defining a machine", spec.id, spec.epoch, define).await
    }

    async fn suspend(&self, id: ServerId, epoch: Epoch) -> Result<()> {
        self.order("saving a machine's memory", id, epoch, move |_, domain| libvirt_guest::save(domain, id)).await
    }

    async fn wake(&self, spec: &MachineSpec) -> Result<()> {
        let xml = domain_xml::domain(spec, &self.cloud, self.accelerator().await?);
        let (id, epoch, cloud) = (spec.id, spec.epoch, self.cloud.clone());
        self.order("waking a machine", id, epoch, move |connect, domain| {
            if libvirt_guest::wake(connect, domain, id, &xml)? {
                // It has the epoch of the time when it was saved; shown the order once more, it has this one.
                claim(connect, &cloud, id, epoch, Takes::Whole)?;
            }
            Ok(())
        })
        .await
    }

    async fn copy_disk(&self, id: ServerId, epoch: Epoch, target: &Path, quiesce: Quiesce) -> Result<bool> {
        libvirt_copy::copy(self, id, epoch, target, quiesce).await
    }

    async fn set_password(&self, id: ServerId, user: &str, password: &str) -> Result<()> {
        let (user, password) = (user.to_owned(), password.to_owned());
        let set = move |domain| libvirt_guest::set_password(domain, id, &user, &password);
        self.ask("setting a guest's password", id, set).await
    }

    async fn interrupt(&self, id: ServerId) -> Result<()> {
        self.ask("interrupting a guest", id, move |domain| libvirt_guest::interrupt(domain, id)).await
    }

    async fn diagnostics(&self, id: ServerId) -> Result<Diagnostics> {
        self.ask("asking what a machine uses", id, move |domain| libvirt_guest::diagnostics(domain, id)).await
    }

    async fn pause(&self, id: ServerId, epoch: Epoch) -> Result<()> {
        self.order("pausing a machine", id, epoch, move |_, domain| set_power(domain, id, Power::Paused)).await
    }

    async fn resume(&self, id: ServerId, epoch: Epoch) -> Result<()> {
        self.order("resuming a machine", id, epoch, move |_, domain| set_power(domain, id, Power::Running)).await
    }

    async fn reboot_softly(&self, spec: &MachineSpec, grace: Duration) -> Result<bool> {
        if !self.shut_down(spec.id, spec.epoch, grace).await? {
            return Ok(false);
        }
        self.start(spec).await?;
        Ok(true)
    }

    async fn offer(&self, id: ServerId) -> Result<Offer> {
        libvirt_migration::offer(self, id).await
    }

    async fn receive(&self, there: &MachineSpec, offer: &Offer) -> Result<Arrival> {
        libvirt_migration::receive(self, there, offer).await
    }

    async fn migrate(&self, wish: &Departure) -> Result<()> {
        libvirt_migration::begin(self, wish).await
    }

    async fn migration(&self, id: ServerId) -> Result<Option<Progress>> {
        libvirt_progress::progress(self, id).await
    }

    async fn steer_migration(&self, id: ServerId, epoch: Epoch, steer: Steer) -> Result<()> {
        libvirt_migration::steer(self, id, epoch, steer).await
    }

    async fn standing(&self, id: ServerId) -> Result<Standing> {
        libvirt_migration::standing(self, id).await
    }

    async fn remove(&self, id: ServerId, epoch: Epoch) -> Result<()> {
        let removed = self.removed.clone();
        self.order_of("removing a machine", id, epoch, Takes::Parts, move |_, domain| {
            if let Some(domain) = domain {
                destroy(&domain)?;
                let everything = sys::VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | sys::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA;
                unless_absent(domain.undefine_flags(everything))?;
            }
            removed.lock().insert(id, epoch);
            Ok(())
        })
        .await
    }

    fn events(&self) -> Option<watch::Receiver<u64>> {
        Some(self.connection.changes())
    }
}
