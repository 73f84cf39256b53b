//! Boots a server.
//!
//! ```text
//!  Place ──► Connect ──► Disk ──► Start ──► done: Active
//!   claim    networks     files    machine
//!     └────────┴────────────┴────────┴── a failure: machine, files, ports, networks, claim go; Error with its fault
//! ```
//! Asked to stop (somebody deletes the server meanwhile), it undoes the same, and leaves the row to the delete.

use super::making_way::unless_deleted;
use super::password::Password;
use super::placing::{Asked, Found};
use super::{Cx, Next, Record, Why, Workflow, machine, network_wish, placing};
use crate::blobs::Stores;
use crate::cloud::placement::Wish;
use crate::cloud::policy::Reach;
use crate::cloud::server::{State, Task};
use crate::error::Result;
use crate::ids::{HostId, NetworkId, ServerId};
use crate::store::instance_actions::{self, Step as Noted};
use crate::store::servers::{self, Change, Fault};
use crate::store::{Tx, claims, placement, server_ports, tasks};
use crate::vault::Vault;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Name of the step that users of upstream know.
const EVENT: &str = "compute__do_build_and_run_instance";

pub struct BootServer {
    /// Where images' bytes are.
    pub stores: Stores,
    /// Opens the password on its way.
    pub vault: Arc<Vault>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    Place {
        wish: Wish,
        #[serde(default)]
        password: Password,
    },
    /// The networks are named here because backing out takes the ports away, and they with them.
    Connect {
        host: HostId,
        networks: Vec<NetworkId>,
        #[serde(default)]
        password: Password,
    },
    Disk {
        host: HostId,
        networks: Vec<NetworkId>,
        #[serde(default)]
        password: Password,
    },
    Start {
        host: HostId,
        networks: Vec<NetworkId>,
        #[serde(default)]
        password: Password,
    },
}

#[async_trait]
impl Workflow for BootServer {
    type Step = Step;
    const KIND: &'static str = "boot_server";
    /// About two minutes, for a host that is being restarted.
    const PATIENCE: u32 = 14;

    async fn forward(&self, cx: &Cx, step: &Step) -> Result<Next<Step>> {
        let id = machine::server_id(cx)?;
        match step {
            Step::Place { wish, password } => {
                machine::refuse_signed(&machine::server(cx).await?)?;
                let host = place(cx, id, wish.clone()).await?;
                let networks = machine::networks_of(cx, id).await?;
                Ok(Next::step(Step::Connect { host, networks, password: password.clone() }).recording(now_doing(
                    cx,
                    id,
                    Task::Networking,
                    Some(host),
                )))
            }
            Step::Connect { host, networks, password } => {
                machine::connect(cx, cx.hosts.get(*host)?, id).await?;
                let next = Step::Disk { host: *host, networks: networks.clone(), password: password.clone() };
                Ok(Next::step(next).recording(now_doing(cx, id, Task::BlockDeviceMapping, None)))
            }
            Step::Disk { host, networks, password } => {
                let server = machine::server(cx).await?;
                machine::fetch(cx, &self.stores, cx.hosts.get(*host)?, machine::base_of(&server)?).await?;
                let next = Step::Start { host: *host, networks: networks.clone(), password: password.clone() };
                Ok(Next::step(next).recording(now_doing(cx, id, Task::Spawning, None)))
            }
            Step::Start { host, password, .. } => {
                let server = machine::server(cx).await?;
                let on = cx.hosts.get(*host)?;
                // The step before brought the image, but somebody may have emptied the host's cache since.
                machine::fetch(cx, &self.stores, on, machine::base_of(&server)?).await?;
                let password = password.open(&self.vault, id, cx.clock.now())?;
                let spec = machine::prepare_telling(cx, on, &server, password.as_deref()).await?;
                on.hypervisor.start(&spec).await?;
                let (task, running) = (cx.task_id, is_running(cx, id, *host, on.name.clone()));
                Ok(Next::done().recording(move |tx| {
                    tasks::forget_step(tx, task)?;
                    running(tx)
                }))
            }
        }
    }

    async fn back_out(&self, cx: &Cx, step: &Step, why: &Why) -> Result<Option<Record>> {
        let id = machine::server_id(cx)?;
        let claimed = cx.db.read(move |tx| claims::claimed_by(tx, id)).await?;
        let networks = match step {
            Step::Place { .. } => machine::networks_of(cx, id).await?,
            Step::Connect { networks, .. } | Step::Disk { networks, .. } | Step::Start { networks, .. } => {
                networks.clone()
            }
        };
        if let Some(host) = claimed {
            unless_deleted(cx, id, host, why, clear_host(cx, id, host).await).await?;
        }
        // While it still has the ports that bind it to places.
        let details = explain(cx, id, step, why).await?;
        let now = cx.clock.now();
        cx.db.write(move |tx| server_ports::delete_of_server(tx, id, now)).await?;
        if let Some(host) = claimed {
            unless_deleted(cx, id, host, why, leave_networks(cx, host, &networks).await).await?;
        }
        let (task, failed) = (cx.task_id, failed(cx, id, claimed, why.clone(), details));
        Ok(Some(Box::new(move |tx| {
            tasks::forget_step(tx, task)?;
            failed(tx)
        })))
    }
}

/// Machine and files leave the host, in this order, so that nothing writes on what is gone.
pub async fn clear_host(cx: &Cx, id: ServerId, host: HostId) -> Result<()> {
    let on = cx.hosts.get(host)?;
    on.hypervisor.remove(id, cx.epoch).await?;
    on.disks.remove(id, cx.epoch).await
}

/// Networks that only this server was in leave its host.
pub(super) async fn leave_networks(cx: &Cx, host: HostId, networks: &[NetworkId]) -> Result<()> {
    for network in networks {
        network_wish::settle(cx, cx.hosts.get(host)?, *network).await?;
    }
    Ok(())
}

/// Picks a host and claims what the server takes of it; a claim made before a crash stays.
pub(super) async fn place(cx: &Cx, id: ServerId, wish: Wish) -> Result<HostId> {
    let (now, rules) = (cx.clock.now(), cx.placement.clone());
    cx.db.write(move |tx| placing::claim(tx, &rules, id, &wish, now)).await
}

/// Why there is no place for a server, for operators; nothing where that is not what failed.
async fn explain(cx: &Cx, id: ServerId, step: &Step, why: &Why) -> Result<Option<String>> {
    let (Step::Place { wish, .. }, Why::Failed(_)) = (step, why) else { return Ok(None) };
    let (now, rules, wish) = (cx.clock.now(), cx.placement.clone(), wish.clone());
    let explain = move |tx: &mut Tx| {
        let server = servers::get(tx, &Reach::Cloud, id)?;
        let Found { candidates, verdict } = placing::decide(tx, &rules, &Asked::by(&server, wish.clone(), None), now)?;
        Ok(verdict.ranked.is_empty().then(|| verdict.explanation(&candidates)))
    };
    cx.db.read(explain).await
}

fn now_doing(
    cx: &Cx,
    id: ServerId,
    task: Task,
    host: Option<HostId>,
) -> impl Fn(&mut crate::store::Tx) -> Result<()> + Send + Sync + use<> {
    let now = cx.clock.now();
    move |tx| {
        let server = servers::get(tx, &Reach::Cloud, id)?;
        // Somebody wants it gone already: that is what clients see.
        if server.task == Some(Task::Deleting) {
            return Ok(());
        }
        let change = Change::new().task(Some(task));
        servers::update(tx, id, if host.is_some() { change.host(host) } else { change }, now)
    }
}

fn is_running(
    cx: &Cx,
    id: ServerId,
    host: HostId,
    name: String,
) -> impl Fn(&mut crate::store::Tx) -> Result<()> + Send + Sync + use<> {
    let (now, request_id, work) = (cx.clock.now(), cx.request_id.clone(), cx.task_id);
    move |tx| {
        tasks::forget_step(tx, work)?;
        let server = servers::get(tx, &Reach::Cloud, id)?;
        let task = server.task.filter(|task| *task == Task::Deleting);
        let change = Change::new().state(State::Active).task(task).power("running").host(Some(host)).launched_at(now);
        servers::update(tx, id, change, now)?;
        server_ports::set_active(tx, id, host, now)?;
        placement::note_build(tx, host, true)?;
        let noted = Noted {
            server: id,
            request_id: request_id.as_deref(),
            name: EVENT,
            host: Some(&name),
            failure: None,
            started_at: server.created_at,
            now,
        };
        instance_actions::note(tx, &noted)
    }
}

fn failed(cx: &Cx, id: ServerId, on: Option<HostId>, why: Why, details: Option<String>) -> Record {
    let (now, request_id, work) = (cx.clock.now(), cx.request_id.clone(), cx.task_id);
    Box::new(move |tx| {
        tasks::forget_step(tx, work)?;
        claims::release(tx, id)?;
        if let (Some(host), Why::Failed(_)) = (on, &why) {
            placement::note_build(tx, host, false)?;
        }
        let server = servers::get(tx, &Reach::Cloud, id)?;
        let reason = why.to_string();
        let fault = Fault { code: 500, message: reason.clone(), details: details.clone(), created: now };
        let change = match why {
            Why::Cancelled => Change::new().host(None),
            Why::Failed(_) => {
                let task = server.task.filter(|task| *task == Task::Deleting);
                Change::new().state(State::Error).task(task).power("unknown").host(None).fault(Some(&fault))
            }
        };
        servers::update(tx, id, change, now)?;
        let noted = Noted {
            server: id,
            request_id: request_id.as_deref(),
            name: EVENT,
            host: server.host.as_deref(),
            failure: Some(&reason),
            started_at: server.created_at,
            now,
        };
        instance_actions::note(tx, &noted)
    })
}
