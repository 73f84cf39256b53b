//! Moves between simulated hosts of one process, which find each other by address as real ones do.
//!
//! A move goes on only when it is looked at: each look copies a part, the last one hands the machine over. So a test can
//! stand still in the middle ([`Simulated::hold_moves`]) and look around.

use super::{Call, Simulated, Simulation, State, away, is_on};
use crate::error::{Error, Result};
use crate::hypervisor::{
    Amount, Arrival, Counts, Departure, Epoch, MachineSpec, Offer, Phase, Power, Progress, Standing, Steer,
};
use crate::ids::ServerId;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// The hosts of this process by address: what a network is to real ones.
static NETWORK: Mutex<BTreeMap<String, Weak<Simulated>>> = Mutex::new(BTreeMap::new());

pub(super) fn new_address() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("simulated:{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Lets others find the host.
pub(super) fn known(host: Simulated) -> Arc<Simulated> {
    let host = Arc::new(host);
    let mut network = NETWORK.lock();
    network.retain(|_, host| host.strong_count() > 0);
    network.insert(host.address.clone(), Arc::downgrade(&host));
    host
}

fn at(address: &str) -> Option<Arc<Simulated>> {
    NETWORK.lock().get(address)?.upgrade()
}

#[derive(Default)]
pub(super) struct Moves {
    /// Machines that leave.
    out: BTreeMap<ServerId, Out>,
    ended: BTreeMap<ServerId, Progress>,
    /// How many looks a move takes.
    looks: u64,
    held: bool,
    steered: Vec<(ServerId, Steer)>,
    /// Machines whose guests are elsewhere in part, and that can't be put together before a test lets them.
    torn: BTreeMap<ServerId, Out>,
    mends: bool,
}

struct Out {
    wish: Departure,
    looks: u64,
    counts: Counts,
}

impl Moves {
    pub(super) fn forget(&mut self, id: ServerId) {
        self.out.remove(&id);
        self.torn.remove(&id);
    }
}

impl State {
    pub(super) fn standing(&self, id: ServerId) -> Standing {
        match self.machines.get(&id).map(|machine| machine.power) {
            None => Standing::Absent,
            Some(power) if is_on(power) && self.moves.torn.contains_key(&id) => Standing::HandedOver,
            Some(power) if is_on(power) => Standing::Runs(power),
            Some(_) => Standing::Off,
        }
    }
}

impl Simulated {
    /// From now on moves out of this host take so many looks.
    pub fn set_looks(&self, looks: u64) {
        self.state.lock().moves.looks = looks;
    }

    /// While held, moves out of this host copy and never end by themselves.
    pub fn hold_moves(&self, held: bool) {
        self.state.lock().moves.held = held;
    }

    /// What was asked of moves under way.
    pub fn steered(&self, id: ServerId) -> Vec<Steer> {
        let state = self.state.lock();
        state.moves.steered.iter().filter(|(of, _)| *of == id).map(|(_, steer)| *steer).collect()
    }

    /// The hypervisor is another from now on.
    pub fn set_version(&self, version: u64) {
        self.facts.lock().hypervisor_version = version;
    }

    /// The guest's process at the source dies in the middle of a move.
    pub fn crash_in_move(&self, id: ServerId) {
        let out = {
            let mut state = self.state.lock();
            let torn = state.moves.torn.remove(&id);
            if torn.is_some() { None } else { state.moves.out.remove(&id) }
        };
        if let Some(other) = out.and_then(|out| at(&out.wish.to.address)) {
            other.incoming.lock().remove(&id);
        }
        self.set_power(id, Power::Crashed);
    }

    /// A move under way is past the switch to post-copy, and the hosts have lost each other: the guest is on neither whole.
    pub fn tear(&self, id: ServerId) {
        let mut state = self.state.lock();
        let Some(out) = state.moves.out.remove(&id) else { return };
        let target = at(&out.wish.to.address).expect("it is under way to somebody");
        let machine = Simulation::new(&out.wish.there, Power::Running, 1);
        state.moves.torn.insert(id, out);
        drop(state);
        target.incoming.lock().remove(&id);
        target.torn.lock().insert(id, Standing::Torn);
        target.state.lock().machines.insert(id, machine);
        self.signal();
    }

    /// A guest that came before its memory asks for nothing, so that this host does not notice that nothing comes.
    pub fn notices_nothing(&self, id: ServerId) {
        self.torn.lock().insert(id, Standing::Fetching);
    }

    /// From now on moves that were torn can be taken up again.
    pub fn mend(&self) {
        self.state.lock().moves.mends = true;
        self.signal();
    }

    pub(super) fn offer_now(&self, id: ServerId) -> Result<Offer> {
        let fault = self.arrive(Call::Offer, Some(id))?;
        self.state.lock().running(id)?;
        let facts = self.facts.lock();
        let (hypervisor_type, hypervisor_version) = (facts.hypervisor_type.clone(), facts.hypervisor_version);
        // The guest sees what its host's CPU can do.
        let cpu = (!facts.cpu.features.is_empty()).then(|| facts.cpu.features.join(" "));
        if fault.is_some() { Err(away()) } else { Ok(Offer { hypervisor_type, hypervisor_version, cpu }) }
    }

    pub(super) fn receive_now(&self, there: &MachineSpec, offer: &Offer) -> Result<Arrival> {
        let fault = self.arrive(Call::Receive, Some(there.id))?;
        let version = self.facts.lock().hypervisor_version;
        offer.check(&self.facts.lock().hypervisor_type, version)?;
        let lacks = |wanted: &str| !self.facts.lock().cpu.features.iter().any(|feature| feature == wanted);
        if offer.cpu.as_deref().is_some_and(|cpu| cpu.split(' ').any(lacks)) {
            return Err(Error::bad_request("Unacceptable CPU info: CPU doesn't have compatibility."));
        }
        self.state.lock().admit(there.id, there.epoch)?;
        let (address, hypervisor_version) = (self.address.clone(), version);
        let arrival = Arrival { address, hypervisor_version, driver_version: version, tls_name: None };
        if fault.is_some() { Err(away()) } else { Ok(arrival) }
    }

    pub(super) async fn begin_move(&self, wish: &Departure) -> Result<()> {
        let id = wish.id;
        self.order(Call::Migrate, id, wish.epoch, |state| {
            if state.moves.out.contains_key(&id) {
                return Ok(());
            }
            if state.moves.torn.contains_key(&id) {
                if !state.moves.mends {
                    return Err(away());
                }
                let out = state.moves.torn.remove(&id);
                state.moves.out.extend(out.map(|out| (id, out)));
                state.moves.held = false;
                return Ok(());
            }
            if wish.to.address == self.address {
                return Err(Error::internal("a move to another host", "it is this one"));
            }
            let memory = state.running(id)?.spec.memory_mib << 20;
            let target = at(&wish.to.address);
            let target = target.ok_or_else(|| Error::internal("a move to another host", "nobody is at its address"))?;
            let counts =
                Counts { memory: Amount { total: memory, processed: 0, remaining: memory }, ..Counts::default() };
            state.moves.ended.remove(&id);
            state.moves.out.insert(id, Out { wish: wish.clone(), looks: 0, counts });
            target.incoming.lock().insert(id);
            Ok(())
        })
        .await
    }

    pub(super) fn standing_now(&self, id: ServerId) -> Result<Standing> {
        let stands = self.ask(Call::Standing, Some(id), |state| state.standing(id))?;
        let comes_in = stands == Standing::Absent && self.incoming.lock().contains(&id);
        let apart = self.torn.lock().get(&id).copied().filter(|_| matches!(stands, Standing::Runs(_)));
        Ok(if comes_in { Standing::Held } else { apart.unwrap_or(stands) })
    }

    pub(super) fn look_at_move(&self, id: ServerId) -> Result<Option<Progress>> {
        let fault = self.arrive(Call::Migration, Some(id))?;
        let answer = self.advance(id, false);
        if fault.is_some() { Err(away()) } else { Ok(answer) }
    }

    /// Another part of the machine's memory goes over; the last one with the machine.
    fn advance(&self, id: ServerId, at_once: bool) -> Option<Progress> {
        let mut state = self.state.lock();
        if let Some(out) = state.moves.torn.get(&id) {
            let phase = Phase::Torn("the hosts lost each other".to_owned());
            return Some(Progress { phase, counts: out.counts });
        }
        let (held, looks) = (state.moves.held, state.moves.looks);
        let Some(out) = state.moves.out.get_mut(&id) else { return state.moves.ended.get(&id).cloned() };
        out.looks += 1;
        let counts = &mut out.counts;
        counts.elapsed_ms += 100;
        counts.iterations += 1;
        counts.memory_speed = counts.memory.total;
        let part = counts.memory.total / (looks + 1);
        counts.memory.processed += part;
        counts.memory.remaining = counts.memory.total.saturating_sub(counts.memory.processed).max(1);
        if !at_once && (held || out.looks <= looks) {
            return Some(Progress { phase: Phase::Copying, counts: *counts });
        }
        let mut out = state.moves.out.remove(&id)?;
        out.counts.memory.remaining = 0;
        out.counts.downtime_ms = Some(10);
        let target = at(&out.wish.to.address)
            .filter(|target| target.address != self.address && target.is_here() && target.awaits(id));
        let phase = match &target {
            Some(_) => Phase::Completed,
            None => Phase::Failed("the other host is away".to_owned()),
        };
        let progress = Progress { phase, counts: out.counts };
        state.moves.ended.insert(id, progress.clone());
        // Two hosts are never locked at once: moves that cross would wait for each other.
        let machine = if target.is_some() { state.machines.remove(&id) } else { None };
        if let (Some(target), Some(mut machine)) = (target, machine) {
            state.removed.insert(id, out.wish.epoch);
            drop(state);
            (machine.spec, machine.epoch) = (out.wish.there.clone(), out.wish.epoch);
            let mut there = target.state.lock();
            there.machines.insert(id, machine);
            there.moves.ended.insert(id, progress.clone());
            drop(there);
            target.incoming.lock().remove(&id);
            target.torn.lock().remove(&id);
            target.signal();
        }
        self.signal();
        Some(progress)
    }

    fn is_here(&self) -> bool {
        !self.state.lock().away
    }

    /// Does a machine come in, and has not been removed?
    fn awaits(&self, id: ServerId) -> bool {
        self.incoming.lock().contains(&id) || self.torn.lock().contains_key(&id)
    }

    pub(super) fn steer_move(&self, id: ServerId, epoch: Epoch, steer: Steer) -> Result<()> {
        let fault = self.arrive(Call::SteerMigration, Some(id))?;
        {
            let mut state = self.state.lock();
            // What has left is past steering.
            if let Some(machine) = state.machines.get(&id) {
                epoch.admit(machine.epoch)?;
            }
            state.moves.steered.push((id, steer));
            if steer == Steer::Abort
                && let Some(out) = state.moves.out.remove(&id)
            {
                if let Some(other) = at(&out.wish.to.address) {
                    other.incoming.lock().remove(&id);
                }
                let phase = Phase::Failed("the move was called off".to_owned());
                state.moves.ended.insert(id, Progress { phase, counts: out.counts });
            }
        }
        if steer == Steer::Hasten {
            self.advance(id, true);
        }
        self.signal();
        if fault.is_some() { Err(away()) } else { Ok(()) }
    }
}
