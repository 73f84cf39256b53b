//! Starts, stops, reboots, pauses and suspends a server, lets it go on, deletes it softly and restores it.
//!
//! One step: order it, ask the host what became of it, record that. A host that refuses leaves the server as the host
//! says it is, with the failure in its instance actions; a host that is away is waited for.

use super::ending::Ending;
use super::{Cx, Next, Record, Why, Workflow, machine, resize_server};
use crate::clock::Timestamp;
use crate::cloud::policy::Reach;
use crate::cloud::server::{State, Task};
use crate::disks::Part;
use crate::error::Result;
use crate::hypervisor::{Hypervisor, Power as Observed};
use crate::ids::ServerId;
use crate::store::instance_actions::{self, Step as Noted};
use crate::store::servers::{self, Aside, Change, Fault, Server};
use crate::store::{Tx, server_images, server_ports};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::time::Duration;

pub struct PowerServer {
    /// How long a guest is given to shut down by itself.
    pub grace: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Power {
    On,
    Off,
    /// The guest is asked first, then reset.
    Reboot,
    Reset,
    Pause,
    Unpause,
    /// Its memory goes to its host's disk.
    Suspend,
    Resume,
    /// Off, and hidden until it is restored or deleted for good.
    SoftDelete,
    Restore,
    /// Its config drive is written anew; nothing else changes.
    Refresh,
}

impl Power {
    /// The step's name as users of upstream know it.
    const fn event(self) -> &'static str {
        match self {
            Self::On => "compute_start_instance",
            Self::Off => "compute_stop_instance",
            Self::Reboot | Self::Reset => "compute_reboot_instance",
            Self::Pause => "compute_pause_instance",
            Self::Unpause => "compute_unpause_instance",
            Self::Suspend => "compute_suspend_instance",
            Self::Resume => "compute_resume_instance",
            Self::SoftDelete => "compute_soft_delete_instance",
            Self::Restore => "compute_restore_instance",
            Self::Refresh => "compute_inject_network_info",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub wish: Power,
}

#[async_trait]
impl Workflow for PowerServer {
    type Step = Step;
    const KIND: &'static str = "power_server";
    const PATIENCE: u32 = 3;

    async fn forward(&self, cx: &Cx, step: &Step) -> Result<Next<Step>> {
        let server = machine::server(cx).await?;
        let host = cx.hosts.get(machine::on(&server)?)?;
        let (id, hypervisor) = (server.id, &*host.hypervisor);
        match step.wish {
            Power::On => hypervisor.start(&machine::prepare(cx, host, &server).await?).await?,
            Power::Off => machine::unless_cancelled(cx, hypervisor.stop(id, cx.epoch, Some(self.grace))).await?,
            Power::Pause => hypervisor.pause(id, cx.epoch).await?,
            Power::Unpause => hypervisor.resume(id, cx.epoch).await?,
            Power::Suspend => hypervisor.suspend(id, cx.epoch).await?,
            Power::Resume | Power::Restore => hypervisor.wake(&machine::prepare(cx, host, &server).await?).await?,
            Power::SoftDelete => {
                hypervisor.stop(id, cx.epoch, None).await?;
                // Of work that the deletion has called off, or that it ends.
                host.disks.remove_part(id, cx.epoch, Part::Rescue).await?;
                host.disks.drop_copy(id, cx.epoch).await?;
            }
            Power::Refresh => {
                machine::refresh_drive(cx, host, &server).await?;
                return Ok(Next::done());
            }
            Power::Reboot => {
                let spec = machine::prepare(cx, host, &server).await?;
                if !machine::unless_cancelled(cx, hypervisor.reboot_softly(&spec, self.grace)).await? {
                    reset(cx, hypervisor, &server, host).await?;
                }
            }
            Power::Reset => reset(cx, hypervisor, &server, host).await?,
        }
        let power = hypervisor.find(id).await?.map_or(Observed::Unknown, |machine| machine.power);
        Ok(Next::done().recording(settled(cx, &server, step.wish, power, None)))
    }

    async fn back_out(&self, cx: &Cx, step: &Step, why: &Why) -> Result<Option<Record>> {
        let server = machine::server(cx).await?;
        if step.wish == Power::Refresh {
            return Ok(None);
        }
        if *why == Why::Cancelled {
            let host = server.host.clone();
            return Ok(Some(Ending::of(cx, &server, step.wish.event()).made_way(host)));
        }
        let power = machine::power(cx, &server).await;
        Ok(Some(Box::new(settled(cx, &server, step.wish, power, Some(why.to_string())))))
    }
}

/// Off without asking, and on again as rows say it shall be.
async fn reset(cx: &Cx, hypervisor: &dyn Hypervisor, server: &Server, host: &super::Host) -> Result<()> {
    hypervisor.stop(server.id, cx.epoch, None).await?;
    hypervisor.start(&machine::prepare(cx, host, server).await?).await
}

/// The word that rows keep for what a host said.
pub const fn word(power: Observed) -> &'static str {
    match power {
        Observed::Running => "running",
        Observed::Paused => "paused",
        Observed::Shutdown => "shutdown",
        Observed::Crashed => "crashed",
        Observed::Suspended => "suspended",
        Observed::Saved => "saved",
        Observed::Unknown => "unknown",
    }
}

/// Where a server is in its life, going by its host; what the host can't say leaves it where it was.
pub const fn state_after(was: State, power: Observed) -> State {
    match power {
        Observed::Running => State::Active,
        Observed::Paused => State::Paused,
        Observed::Shutdown | Observed::Crashed => State::Stopped,
        Observed::Saved => State::Suspended,
        Observed::Suspended | Observed::Unknown => was,
    }
}

/// A server that may be restored comes back as rows say it is, from its own disk: what it was rescued with, the flavor that
/// it could have gone back to, and the image that it was shelved into are over, as upstream's deletions end them.
fn ends_with_its_own_disk(tx: &mut Tx, server: &Server, now: Timestamp) -> Result<Aside> {
    resize_server::forget(tx, server, now)?;
    if let Some(shelved) = server.aside.shelved {
        server_images::remove(tx, shelved.image, now)?;
    }
    Ok(Aside { layer: server.aside.layer, soft_deleted_at: Some(now), ..Aside::default() })
}

fn settled(
    cx: &Cx,
    server: &Server,
    wish: Power,
    power: Observed,
    failure: Option<String>,
) -> impl Fn(&mut Tx) -> Result<()> + Send + Sync + use<> {
    let (id, host, name): (ServerId, _, _) = (server.id, server.host_id, server.host.clone());
    let (now, request_id, started_at) = (cx.clock.now(), cx.request_id.clone(), server.updated_at);
    move |tx| {
        let server = servers::get(tx, &Reach::Cloud, id)?;
        let task = server.task.filter(|task| *task == Task::Deleting);
        let mut aside = server.aside.clone();
        let state = match wish {
            Power::SoftDelete if failure.is_none() => {
                aside = ends_with_its_own_disk(tx, &server, now)?;
                State::SoftDeleted
            }
            // What could not be restored is as deleted as it was.
            Power::Restore if failure.is_some() => server.state,
            _ => {
                aside.soft_deleted_at = None;
                state_after(server.state, power)
            }
        };
        let mut change = Change::new().state(state).task(task).power(word(power)).aside(&aside);
        if let Some(message) = &failure {
            let fault = Fault { code: 500, message: message.clone(), details: None, created: now };
            change = change.fault(Some(&fault));
        } else {
            change = change.fault(None);
        }
        servers::update(tx, id, change, now)?;
        match (power, host) {
            (Observed::Running | Observed::Paused, Some(host)) => server_ports::set_active(tx, id, host, now)?,
            (_, host) => server_ports::set_down(tx, id, host, now)?,
        }
        let noted = Noted {
            server: id,
            request_id: request_id.as_deref(),
            name: wish.event(),
            host: name.as_deref(),
            failure: failure.as_deref(),
            started_at,
            now,
        };
        instance_actions::note(tx, &noted)
    }
}
