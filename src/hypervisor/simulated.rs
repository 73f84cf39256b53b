//! A host without machines of flesh: domains in memory, for tests and for trying Gapura without libvirt.
//!
//! What tests need of a host is not speed alone but obedience: orders that wait until the test lets them go on
//! ([`Simulated::stepped`]), calls that fail when told to ([`Simulated::fail_at`]), guests that ignore the power button.
//! It keeps the same contract as libvirt, which `compat-tests/hypervisor.rs` holds all drivers to.

mod moves;

use super::{
    Accelerator, Arrival, CpuFacts, Departure, Diagnostics, DiskUse, Epoch, HostFacts, Hypervisor, InterfaceUse,
    Machine, MachineSpec, Offer, Power, Progress, Quiesce, Standing, Steer,
};
use crate::error::{Error, Kind, Result};
use crate::ids::ServerId;
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// The methods of [`Hypervisor`], to name the one that shall fail or that was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    Facts,
    List,
    Find,
    Start,
    Stop,
    Pause,
    Resume,
    RebootSoftly,
    Define,
    Suspend,
    Wake,
    CopyDisk,
    SetPassword,
    Interrupt,
    Diagnostics,
    Offer,
    Receive,
    Migrate,
    Migration,
    SteerMigration,
    Standing,
    Remove,
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The host is away; nothing happened. Worth retrying.
    Unavailable,
    /// The host refuses for good; nothing happened.
    Refused,
    /// The order was carried out, but its answer is lost: the caller can't tell this from `Unavailable`.
    AnswerLost,
}

pub struct Simulated {
    /// By which other simulated hosts of this process find it.
    address: String,
    facts: Mutex<HostFacts>,
    state: Mutex<State>,
    /// Machines that come in from other hosts, and are not here yet.
    incoming: Mutex<BTreeSet<ServerId>>,
    /// Machines whose guests came before their memory, which does not come, as they stand.
    torn: Mutex<BTreeMap<ServerId, Standing>>,
    /// Orders take a permit each before they act; `None`: they act at once.
    steps: Option<Semaphore>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    machines: BTreeMap<ServerId, Simulation>,
    /// Epochs of machines that were removed.
    removed: BTreeMap<ServerId, Epoch>,
    faults: BTreeMap<Call, Vec<Fault>>,
    calls: Vec<(Call, Option<ServerId>)>,
    away: bool,
    moves: moves::Moves,
}

struct Simulation {
    spec: MachineSpec,
    epoch: Epoch,
    power: Power,
    ignores_shutdown: bool,
    /// How often it began with empty memory.
    boots: usize,
    interrupts: usize,
    /// User and password, where the guest has an agent.
    agent: Option<Vec<(String, String)>>,
    /// How its last copy was asked for.
    copied: Option<Quiesce>,
}

/// Of a machine that is pretended: the same for the same name, so that it is known again.
fn uuid_of(name: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("simulated/{name}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_ref()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

impl Simulated {
    /// A host of so many CPUs and so much memory, whose orders take effect at once.
    pub fn new(vcpus: u32, memory_mib: u64) -> Arc<Self> {
        Self::named("simulated", vcpus, memory_mib)
    }

    /// The same, that calls itself so.
    pub fn named(name: &str, vcpus: u32, memory_mib: u64) -> Arc<Self> {
        moves::known(Self::build(name, vcpus, memory_mib, None))
    }

    /// A host whose every order waits for a [`step`](Self::step). Questions are answered at once.
    pub fn stepped(vcpus: u32, memory_mib: u64) -> Arc<Self> {
        moves::known(Self::build("simulated", vcpus, memory_mib, Some(Semaphore::new(0))))
    }

    fn build(name: &str, vcpus: u32, memory_mib: u64, steps: Option<Semaphore>) -> Self {
        let facts = HostFacts {
            uuid: uuid_of(name),
            hostname: name.to_owned(),
            hypervisor_type: "simulated".to_owned(),
            hypervisor_version: 1_000_000,
            vcpus,
            memory_mib,
            cpu: CpuFacts {
                arch: "x86_64".to_owned(),
                model: "simulated".to_owned(),
                vendor: "Gapura".to_owned(),
                features: Vec::new(),
                cells: 1,
                sockets: 1,
                cores: vcpus,
                threads: 1,
            },
            accelerator: Accelerator::None,
        };
        let facts = Mutex::new(facts);
        Self {
            address: moves::new_address(),
            facts,
            state: Mutex::default(),
            incoming: Mutex::default(),
            torn: Mutex::default(),
            steps,
            changes: watch::Sender::new(0),
        }
    }

    /// Lets the next order (one that waits already, or the next to come) take effect.
    pub fn step(&self) {
        if let Some(steps) = &self.steps {
            steps.add_permits(1);
        }
    }

    /// The next `times` calls of this method fail.
    pub fn fail_at(&self, call: Call, times: usize, fault: Fault) {
        self.state.lock().faults.entry(call).or_default().extend(std::iter::repeat_n(fault, times));
    }

    /// While away, every call answers `Unavailable`; machines go on.
    pub fn set_away(&self, away: bool) {
        self.state.lock().away = away;
    }

    /// The host's CPU has these features from now on.
    pub fn set_cpu_features(&self, features: &[&str]) {
        self.facts.lock().cpu.features = features.iter().map(|name| (*name).to_owned()).collect();
    }

    /// From now on this guest does not react to the power button.
    pub fn ignore_shutdown(&self, id: ServerId) {
        self.change(id, |machine| machine.ignores_shutdown = true);
    }

    /// The guest runs an agent from now on.
    pub fn give_agent(&self, id: ServerId) {
        self.change(id, |machine| machine.agent = Some(Vec::new()));
    }

    /// Users and passwords that the guest's agent was told.
    pub fn passwords(&self, id: ServerId) -> Vec<(String, String)> {
        self.state.lock().machines.get(&id).and_then(|machine| machine.agent.clone()).unwrap_or_default()
    }

    /// How often the machine began with empty memory: going on from saved memory does not count.
    pub fn boots(&self, id: ServerId) -> usize {
        self.state.lock().machines.get(&id).map_or(0, |machine| machine.boots)
    }

    /// How often the guest was interrupted.
    pub fn interrupts(&self, id: ServerId) -> usize {
        self.state.lock().machines.get(&id).map_or(0, |machine| machine.interrupts)
    }

    /// How the last copy of the machine's disk was asked for.
    pub fn copied(&self, id: ServerId) -> Option<Quiesce> {
        self.state.lock().machines.get(&id)?.copied
    }

    /// The guest powers off (or crashes, …) by itself, without an order.
    pub fn set_power(&self, id: ServerId, power: Power) {
        self.change(id, |machine| machine.power = power);
    }

    /// The machine is gone without an order, as after a disaster on the host.
    pub fn lose(&self, id: ServerId) {
        self.state.lock().machines.remove(&id);
        self.signal();
    }

    /// It never heard that the machine was to go.
    pub fn forget_removed(&self, id: ServerId) {
        self.state.lock().removed.remove(&id);
    }

    /// The wish that the machine was last started with.
    pub fn spec(&self, id: ServerId) -> Option<MachineSpec> {
        self.state.lock().machines.get(&id).map(|machine| machine.spec.clone())
    }

    /// Every call so far, failed ones too, in the order of arrival.
    pub fn calls(&self) -> Vec<(Call, Option<ServerId>)> {
        self.state.lock().calls.clone()
    }

    fn change(&self, id: ServerId, change: impl FnOnce(&mut Simulation)) {
        if let Some(machine) = self.state.lock().machines.get_mut(&id) {
            change(machine);
        }
        self.signal();
    }

    fn signal(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Notes the call, and decides whether and how it fails.
    fn arrive(&self, call: Call, id: Option<ServerId>) -> Result<Option<Fault>> {
        let mut state = self.state.lock();
        state.calls.push((call, id));
        if state.away {
            return Err(away());
        }
        let fault = state.faults.get_mut(&call).filter(|faults| !faults.is_empty()).map(|faults| faults.remove(0));
        match fault {
            Some(Fault::Unavailable) => Err(away()),
            Some(Fault::Refused) => Err(Error::internal("the simulated host refused", "as it was told to")),
            Some(Fault::AnswerLost) => Ok(fault),
            None => Ok(None),
        }
    }

    fn ask<T>(&self, call: Call, id: Option<ServerId>, answer: impl FnOnce(&State) -> T) -> Result<T> {
        match self.arrive(call, id)? {
            Some(_) => Err(away()),
            None => Ok(answer(&self.state.lock())),
        }
    }

    async fn order<T>(
        &self,
        call: Call,
        id: ServerId,
        epoch: Epoch,
        act: impl FnOnce(&mut State) -> Result<T>,
    ) -> Result<T> {
        let fault = self.arrive(call, Some(id))?;
        if let Some(steps) = &self.steps {
            steps.acquire().await.expect("the semaphore is never closed").forget();
        }
        let done = {
            let mut state = self.state.lock();
            state.admit(id, epoch)?;
            act(&mut state)?
        };
        self.signal();
        if fault.is_some() { Err(away()) } else { Ok(done) }
    }

    fn find_now(&self, id: ServerId) -> Option<(Power, bool)> {
        self.state.lock().machines.get(&id).map(|machine| (machine.power, machine.ignores_shutdown))
    }
}

impl State {
    fn admit(&mut self, id: ServerId, epoch: Epoch) -> Result<()> {
        if let Some(machine) = self.machines.get_mut(&id) {
            epoch.admit(machine.epoch)?;
            machine.epoch = epoch;
        } else if let Some(seen) = self.removed.get(&id) {
            epoch.admit(*seen)?;
        }
        Ok(())
    }

    fn start(&mut self, spec: &MachineSpec) {
        match self.machines.get_mut(&spec.id) {
            Some(machine) if is_on(machine.power) => machine.power = Power::Running,
            Some(machine) => *machine = Simulation::new(spec, Power::Running, machine.boots + 1),
            None => {
                self.machines.insert(spec.id, Simulation::new(spec, Power::Running, 1));
            }
        }
    }

    fn define(&mut self, spec: &MachineSpec) {
        match self.machines.get_mut(&spec.id) {
            Some(machine) if is_on(machine.power) => {}
            Some(machine) => *machine = Simulation::new(spec, Power::Shutdown, machine.boots),
            None => {
                self.machines.insert(spec.id, Simulation::new(spec, Power::Shutdown, 0));
            }
        }
    }

    fn suspend(&mut self, id: ServerId) -> Result<()> {
        match self.machines.get_mut(&id) {
            Some(machine) if machine.power == Power::Saved => Ok(()),
            _ => self.set(id, Power::Saved),
        }
    }

    fn wake(&mut self, spec: &MachineSpec) {
        match self.machines.get_mut(&spec.id) {
            Some(machine) if machine.power == Power::Saved => machine.power = Power::Running,
            _ => self.start(spec),
        }
    }

    fn running(&mut self, id: ServerId) -> Result<&mut Simulation> {
        let machine = self.machines.get_mut(&id).ok_or_else(|| Error::not_found(Kind::Server, id))?;
        if is_on(machine.power) { Ok(machine) } else { Err(Error::conflict(format!("Machine {id} does not run."))) }
    }

    fn set(&mut self, id: ServerId, power: Power) -> Result<()> {
        let machine = self.machines.get_mut(&id).ok_or_else(|| Error::not_found(Kind::Server, id))?;
        if !is_on(machine.power) {
            return Err(Error::conflict(format!("Machine {id} does not run.")));
        }
        machine.power = power;
        Ok(())
    }
}

impl Simulation {
    fn new(spec: &MachineSpec, power: Power, boots: usize) -> Self {
        Self {
            spec: spec.clone(),
            epoch: spec.epoch,
            power,
            ignores_shutdown: false,
            boots,
            interrupts: 0,
            agent: None,
            copied: None,
        }
    }

    fn used(&self) -> Diagnostics {
        let memory = self.spec.memory_mib * 1024;
        let letters = ('a'..='z').map(|letter| format!("vd{letter}"));
        Diagnostics {
            cpu_times: (0..self.spec.vcpus).map(|_| 1_000_000_000).collect(),
            memory_max_kib: memory,
            memory_used_kib: memory,
            memory: vec![("actual".to_owned(), memory)],
            disks: self
                .spec
                .disks
                .iter()
                .zip(letters)
                .map(|(_, target)| DiskUse { target, ..DiskUse::default() })
                .collect(),
            interfaces: (self.spec.interfaces.iter())
                .map(|one| InterfaceUse { tap: one.tap.clone(), mac: one.mac.clone(), ..InterfaceUse::default() })
                .collect(),
        }
    }

    fn seen(&self, id: ServerId) -> Machine {
        let vnc_port = is_on(self.power).then_some(5900);
        Machine { id, epoch: self.epoch, power: self.power, vnc_port }
    }
}

fn is_on(power: Power) -> bool {
    matches!(power, Power::Running | Power::Paused | Power::Suspended)
}

fn away() -> Error {
    Error::unavailable("hypervisor", "the simulated host is away")
}

#[async_trait]
impl Hypervisor for Simulated {
    async fn facts(&self) -> Result<HostFacts> {
        self.ask(Call::Facts, None, |_| self.facts.lock().clone())
    }

    async fn uptime(&self) -> Result<Option<String>> {
        self.ask(Call::Facts, None, |_| {
            Some(" 00:00:00 up 1 day,  0:00,  0 users,  load average: 0.00, 0.00, 0.00".to_owned())
        })
    }

    async fn list(&self) -> Result<Vec<Machine>> {
        self.ask(Call::List, None, |state| state.machines.iter().map(|(id, machine)| machine.seen(*id)).collect())
    }

    async fn find(&self, id: ServerId) -> Result<Option<Machine>> {
        self.ask(Call::Find, Some(id), |state| state.machines.get(&id).map(|machine| machine.seen(id)))
    }

    async fn start(&self, spec: &MachineSpec) -> Result<()> {
        self.order(Call::Start, spec.id, spec.epoch, |state| {
            state.start(spec);
            Ok(())
        })
        .await
    }

    async fn stop(&self, id: ServerId, epoch: Epoch, grace: Option<Duration>) -> Result<()> {
        if let (Some(grace), Some((Power::Running, true))) = (grace, self.find_now(id)) {
            tokio::time::sleep(grace).await;
        }
        self.order(Call::Stop, id, epoch, |state| {
            if let Some(machine) = state.machines.get_mut(&id) {
                machine.power = Power::Shutdown;
            }
            Ok(())
        })
        .await
    }

    async fn pause(&self, id: ServerId, epoch: Epoch) -> Result<()> {
        self.order(Call::Pause, id, epoch, |state| state.set(id, Power::Paused)).await
    }

    async fn resume(&self, id: ServerId, epoch: Epoch) -> Result<()> {
        self.order(Call::Resume, id, epoch, |state| state.set(id, Power::Running)).await
    }

    async fn reboot_softly(&self, spec: &MachineSpec, grace: Duration) -> Result<bool> {
        if let Some((Power::Running | Power::Paused, true)) = self.find_now(spec.id) {
            tokio::time::sleep(grace).await;
            return self.order(Call::RebootSoftly, spec.id, spec.epoch, |_| Ok(false)).await;
        }
        self.order(Call::RebootSoftly, spec.id, spec.epoch, |state| {
            if let Some(machine) = state.machines.get_mut(&spec.id) {
                machine.power = Power::Shutdown;
            }
            state.start(spec);
            Ok(true)
        })
        .await
    }

    async fn define(&self, spec: &MachineSpec) -> Result<()> {
        self.order(Call::Define, spec.id, spec.epoch, |state| {
            state.define(spec);
            Ok(())
        })
        .await
    }

    async fn suspend(&self, id: ServerId, epoch: Epoch) -> Result<()> {
        self.order(Call::Suspend, id, epoch, |state| state.suspend(id)).await
    }

    async fn wake(&self, spec: &MachineSpec) -> Result<()> {
        self.order(Call::Wake, spec.id, spec.epoch, |state| {
            state.wake(spec);
            Ok(())
        })
        .await
    }

    async fn copy_disk(&self, id: ServerId, epoch: Epoch, _target: &Path, quiesce: Quiesce) -> Result<bool> {
        self.order(Call::CopyDisk, id, epoch, |state| {
            let Some(machine) = state.machines.get_mut(&id).filter(|machine| is_on(machine.power)) else {
                return Ok(false);
            };
            if quiesce == Quiesce::Must && machine.agent.is_none() {
                return Err(Error::conflict(format!("Failed to quiesce instance: {id}")));
            }
            machine.copied = Some(quiesce);
            Ok(true)
        })
        .await
    }

    async fn set_password(&self, id: ServerId, user: &str, password: &str) -> Result<()> {
        self.arrive(Call::SetPassword, Some(id))?;
        match &mut self.state.lock().running(id)?.agent {
            None => Err(Error::NotImplemented("Unable to set password on instance".to_owned())),
            Some(passwords) => {
                passwords.push((user.to_owned(), password.to_owned()));
                Ok(())
            }
        }
    }

    async fn interrupt(&self, id: ServerId) -> Result<()> {
        self.arrive(Call::Interrupt, Some(id))?;
        self.state.lock().running(id)?.interrupts += 1;
        Ok(())
    }

    async fn diagnostics(&self, id: ServerId) -> Result<Diagnostics> {
        self.arrive(Call::Diagnostics, Some(id))?;
        Ok(self.state.lock().running(id)?.used())
    }

    async fn offer(&self, id: ServerId) -> Result<Offer> {
        self.offer_now(id)
    }

    async fn receive(&self, there: &MachineSpec, offer: &Offer) -> Result<Arrival> {
        self.receive_now(there, offer)
    }

    async fn migrate(&self, wish: &Departure) -> Result<()> {
        self.begin_move(wish).await
    }

    async fn migration(&self, id: ServerId) -> Result<Option<Progress>> {
        self.look_at_move(id)
    }

    async fn steer_migration(&self, id: ServerId, epoch: Epoch, steer: Steer) -> Result<()> {
        self.steer_move(id, epoch, steer)
    }

    async fn standing(&self, id: ServerId) -> Result<Standing> {
        self.standing_now(id)
    }

    async fn remove(&self, id: ServerId, epoch: Epoch) -> Result<()> {
        self.order(Call::Remove, id, epoch, |state| {
            self.torn.lock().remove(&id);
            self.incoming.lock().remove(&id);
            state.machines.remove(&id);
            state.moves.forget(id);
            state.removed.insert(id, epoch);
            Ok(())
        })
        .await
    }

    fn events(&self) -> Option<watch::Receiver<u64>> {
        Some(self.changes.subscribe())
    }
}

#[cfg(test)]
mod tests;
