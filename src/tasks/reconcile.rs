//! Compares what hosts run with what rows say: all of them each minute, one whenever it signals a change. A host that is
//! away is asked each second, and when it is back, work that waits for a retry goes on at once.
//!
//! Rows follow hosts in one thing only: power. A guest that switched itself off becomes `Stopped`, one that somebody
//! paused by hand becomes `Paused`. While work on a server goes on, its task speaks for it, and this stays silent. A host
//! that is away changes nothing: what it runs is unknown, not gone.
//!
//! Nothing is ever destroyed here. Even so, an inventory that is empty, or lost more than half of what ran, is not believed
//! at once: a host that lost its disk or talks to the wrong daemon must not turn a cloud off in its rows.

use super::overdue::{self, Waits};
use super::power_server::{state_after, word};
use super::{Fleet, Host, Runner, clear_leftovers, crash_point};
use crate::clock::Clock;
use crate::cloud::placement::{Demand, Ratios};
use crate::cloud::server::State;
use crate::error::{Error, Result, with_causes};
use crate::hypervisor::{Machine, Power};
use crate::ids::{HostId, ServerId};
use crate::store::hosts::Heard;
use crate::store::servers::Expected;
use crate::store::{Db, Tx, hosts, leftovers, nodes, server_ports, servers};
use futures::StreamExt;
use signals::Signals;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

mod networks;
mod signals;

/// What the operator lets be promised of each host.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Promises {
    pub ratios: Ratios,
    /// Kept for the host itself.
    pub reserved: Demand,
}

impl Default for Promises {
    fn default() -> Self {
        Self { ratios: Ratios::default(), reserved: Demand { memory_mib: 512, ..Demand::default() } }
    }
}

/// Where new hosts belong until zones can be made.
const ZONE: &str = "nova";
const EVERY: Duration = Duration::from_secs(60);
/// While a host is away. Asking costs a refused connection.
const WHILE_AWAY: Duration = Duration::from_secs(1);
/// Events come in bursts; one look serves a burst.
const SETTLE: Duration = Duration::from_millis(50);

/// Hosts that are looked at together.
const AT_ONCE: usize = 16;

/// Which hosts are to be looked at.
enum Due {
    All,
    Some(HashSet<HostId>),
}

impl Due {
    fn covers(&self, host: HostId) -> bool {
        match self {
            Self::All => true,
            Self::Some(hosts) => hosts.contains(&host),
        }
    }
}

#[derive(Clone)]
pub struct Reconciler {
    pub db: Db,
    pub clock: Clock,
    pub hosts: Fleet,
    pub promises: Promises,
    /// Whose work waits for hosts.
    pub runner: Runner,
    /// After how long what nobody decides is decided.
    pub waits: Waits,
}

impl Reconciler {
    /// Looks until `stop` resolves.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        // Listened to from before the first look on: what changes during a look is a reason for the next.
        let mut fleet = self.hosts.changes();
        let mut signals = Signals::default();
        signals.follow(&fleet.borrow_and_update());
        let (mut away, mut have_come) = (HashMap::new(), false);
        // What their programs did for networks they do no more, or never heard of.
        let mut silent: HashSet<HostId> = self.hosts.now().iter().map(|host| host.id).collect();
        let mut rounds = tokio::time::interval(EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut due = Due::All;
        rounds.tick().await;
        loop {
            let began = tokio::time::Instant::now();
            let found = self.look_at(&due).await;
            if matches!(due, Due::All) {
                let milliseconds = began.elapsed().as_secs_f64() * 1e3;
                tracing::debug!(hosts = self.hosts.now().iter().count(), milliseconds, "looked at every host");
            }
            self.see_to_overdue().await;
            for (host, why) in found.iter().filter(|(host, _)| !away.contains_key(*host)) {
                tracing::warn!(%host, why, "could not look at a host");
            }
            silent.extend(found.keys());
            self.carry_on(&mut silent, |host| due.covers(host) && !found.contains_key(&host)).await;
            let before = away.len();
            away.retain(|host, _| !due.covers(*host));
            away.extend(found);
            if away.len() < before {
                tracing::info!("a host is back");
            }
            if away.len() < before || have_come {
                self.runner.retry_now().await;
            }
            have_come = false;
            due = tokio::select! {
                host = signals.next() => {
                    tokio::time::sleep(SETTLE).await;
                    let mut hosts = signals.seen();
                    hosts.insert(host);
                    Due::Some(hosts)
                }
                Ok(()) = fleet.changed() => {
                    let new = signals.follow(&fleet.borrow_and_update());
                    away.retain(|host, _| signals.hears(*host));
                    have_come = true;
                    silent.extend(&new);
                    Due::Some(new)
                }
                () = tokio::time::sleep(WHILE_AWAY), if !away.is_empty() => Due::Some(away.keys().copied().collect()),
                _ = rounds.tick() => Due::All,
                () = &mut stop => return,
            };
        }
    }

    /// Hosts that answer after silence take up their networks again; one that can't is asked again when it next answers.
    async fn carry_on(&self, silent: &mut HashSet<HostId>, answers: impl Fn(HostId) -> bool) {
        let hosts = self.hosts.now();
        let back = silent.iter().filter(|host| answers(**host)).filter_map(|host| hosts.get(*host).ok());
        let now = self.clock.now();
        let works = back.map(|host| async move { (host, networks::carry_on(&self.db, host, now).await) });
        let mut works = futures::stream::iter(works.collect::<Vec<_>>()).buffer_unordered(AT_ONCE);
        let mut done = Vec::new();
        while let Some((host, outcome)) = works.next().await {
            match outcome {
                Ok(()) => done.push(host.id),
                Err(error) => {
                    tracing::warn!(
                        host = host.name,
                        error = with_causes(&error),
                        "a host has not heard of its networks"
                    );
                }
            }
        }
        drop(works);
        silent.retain(|host| !done.contains(host));
    }

    /// Looks at every host once. Answers those that could not be looked at, with the reason.
    pub async fn once(&self) -> HashMap<HostId, String> {
        let away = self.look_at(&Due::All).await;
        self.see_to_overdue().await;
        away
    }

    /// Looks at some hosts, several at a time: one that is slow to answer holds up few others.
    async fn look_at(&self, due: &Due) -> HashMap<HostId, String> {
        let mut hosts: Vec<Host> = self.hosts.now().iter().filter(|host| due.covers(host.id)).cloned().collect();
        // Those that are new get their numbers in this order, in which `sim-2` stands before `sim-10`.
        hosts.sort_by_key(|host| (host.name.len(), host.name.clone()));
        let known: Vec<(HostId, String)> = hosts.iter().map(|host| (host.id, host.name.clone())).collect();
        let now = self.clock.now();
        if let Err(error) = self.db.write(move |tx| hosts::ensure_all(tx, &known, ZONE, now)).await {
            let why = with_causes(&error);
            return hosts.iter().map(|host| (host.id, why.clone())).collect();
        }
        let looks = hosts.into_iter().map(|host| async move {
            let outcome = self.look(&host).await;
            (host, outcome)
        });
        let mut looks = futures::stream::iter(looks).buffer_unordered(AT_ONCE);
        let mut away = HashMap::new();
        while let Some((host, outcome)) = looks.next().await {
            if let Err(error) = outcome {
                away.insert(host.id, format!("{}: {}", host.name, with_causes(&error)));
            }
        }
        away
    }

    async fn see_to_overdue(&self) {
        if let Err(error) = overdue::once(&self.db, &self.clock, &self.runner, self.waits).await {
            tracing::warn!(error = with_causes(&error), "could not look for servers that have waited long enough");
        }
    }

    async fn look(&self, host: &Host) -> Result<()> {
        let id = host.id;
        let facts = host.hypervisor.facts().await?;
        let space = host.disks.space().await?;
        let place = networks::facts(host).await?;
        let total = Demand { vcpus: facts.vcpus.into(), memory_mib: facts.memory_mib, disk_gib: space.total >> 30 };
        let mut said = serde_json::to_value(&facts).unwrap_or_default();
        said["disk_total"] = space.total.into();
        said["disk_free"] = space.free.into();
        said["disk_store"] = serde_json::to_value(space.store).unwrap_or_default();
        let (now, promises, hypervisor_version) = (self.clock.now(), self.promises, facts.hypervisor_version);
        let uuid = facts.uuid;
        let hear = move |tx: &mut Tx| {
            refuse_impostor(tx, id, &uuid)?;
            let Promises { ratios, reserved } = promises;
            hosts::heard(tx, id, &Heard { facts: &said, hypervisor_version, total, reserved, ratios }, now)?;
            networks::heard(tx, id, &place, now)
        };
        if self.db.write(hear).await? {
            self.runner.wake();
        }
        if self.db.read(move |tx| leftovers::to_clear(tx, id)).await?.is_empty() {
            // Most hosts, most of the time.
        } else if self.db.write(move |tx| clear_leftovers::begin(tx, id, now)).await? > 0 {
            self.runner.wake();
        }

        // Rows first: a machine that starts between the two questions is then in the answer, and not thought missing.
        let expected = self.db.read(move |tx| servers::expected_on(tx, id)).await?;
        let found = host.hypervisor.list().await?;
        self.compare(host, expected, found).await
    }

    async fn compare(&self, host: &Host, expected: Vec<Expected>, found: Vec<Machine>) -> Result<()> {
        let found: HashMap<ServerId, Machine> = found.into_iter().map(|machine| (machine.id, machine)).collect();
        let watched: Vec<&Expected> = expected.iter().filter(|server| server.is_settled).collect();
        // What failed may have been taken away, as a guest is whose memory was lost on its way.
        let due = || watched.iter().filter(|server| server.state != State::Error);
        let missing = due().filter(|server| !found.contains_key(&server.id)).count();
        if missing > 0 && (found.is_empty() || missing * 2 > due().count()) {
            tracing::error!(
                host = host.name,
                missing,
                expected = due().count(),
                "a host lost so many machines that its inventory is not believed; look at it"
            );
            return Ok(());
        }
        for server in watched {
            let power = found.get(&server.id).map(|machine| machine.power);
            let (state, power) = match power {
                // How it failed to be there is told elsewhere.
                None if server.state == State::Error && server.power == word(Power::Unknown) => continue,
                // Undefined by hand, while others are there: it does not run.
                None => (State::Stopped, "shutdown"),
                Some(power) => (state_after(server.state, power), word(power)),
            };
            // What failed, or waits for somebody in a state of its own, stays so; its power is shown all the same.
            let follows = matches!(server.state, State::Active | State::Stopped | State::Paused | State::Suspended);
            let state = if follows { state } else { server.state };
            if state == server.state && power == server.power {
                continue;
            }
            let (id, on, now) = (server.id, host.id, self.clock.now());
            crash_point::reached("reconcile").await;
            let changed = self
                .db
                .write(move |tx| {
                    let changed = servers::observe_power(tx, id, state, power, now)?;
                    if changed && state == State::Stopped {
                        server_ports::set_down(tx, id, Some(on), now)?;
                    } else if changed {
                        server_ports::set_active(tx, id, on, now)?;
                    }
                    Ok(changed)
                })
                .await?;
            if changed {
                tracing::info!(server = %id, power, "a server's power changed on its host");
            }
        }
        let known: HashSet<ServerId> = expected.iter().map(|server| server.id).collect();
        for id in found.keys().filter(|id| !known.contains(id)) {
            tracing::debug!(host = host.name, server = %id, "a host has a machine that no row speaks of, or not yet");
        }
        Ok(())
    }
}

/// What answers for a machine that joined must be this machine, not a copy of its disk on another.
fn refuse_impostor(tx: &mut Tx, id: HostId, uuid: &str) -> Result<()> {
    match nodes::machine_of(tx, id)? {
        Some(joined) if joined != uuid => {
            let text = format!("its hypervisor's UUID is {uuid}, and was {joined} when it joined");
            Err(Error::internal("another machine answers for the host", text))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
