//! Starts, stops, reboots, pauses and unpauses a server.
//!
//! One step: order it, ask the host what became of it, record that. A host that refuses leaves the server as the host
//! says it is, with the failure in its instance actions; a host that is away is waited for.

use super::{Cx, Next, Record, Why, Workflow, machine};
use crate::cloud::policy::Reach;
use crate::cloud::server::{State, Task};
use crate::error::{Error, Result};
use crate::hypervisor::{Hypervisor, Power as Observed};
use crate::ids::ServerId;
use crate::store::instance_actions::{self, Step as Noted};
use crate::store::server_ports;
use crate::store::servers::{self, Change, Fault, Server};
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
        let host = cx.hosts.get(on(&server)?)?;
        let (id, hypervisor) = (server.id, &*host.hypervisor);
        match step.wish {
            Power::On => hypervisor.start(&machine::prepare(cx, host, &server).await?).await?,
            Power::Off => unless_cancelled(cx, hypervisor.stop(id, cx.epoch, Some(self.grace))).await?,
            Power::Pause => hypervisor.pause(id, cx.epoch).await?,
            Power::Unpause => hypervisor.resume(id, cx.epoch).await?,
            Power::Reboot => {
                let spec = machine::prepare(cx, host, &server).await?;
                if !unless_cancelled(cx, hypervisor.reboot_softly(&spec, self.grace)).await? {
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
        // A newer wish has taken over: the server is its to describe.
        if *why == Why::Cancelled {
            return Ok(None);
        }
        let power = match on(&server).and_then(|host| cx.hosts.get(host)) {
            Ok(host) => match host.hypervisor.find(server.id).await {
                Ok(found) => found.map_or(Observed::Unknown, |machine| machine.power),
                Err(_) => Observed::Unknown,
            },
            Err(_) => Observed::Unknown,
        };
        Ok(Some(Box::new(settled(cx, &server, step.wish, power, Some(why.to_string())))))
    }
}

/// Waits for what takes long, unless somebody wants the work stopped: who deletes a server, or resets it, does not wait
/// for a guest that ignores the power button. The host is done with it, or hears the newer order, which it prefers.
async fn unless_cancelled<T>(cx: &Cx, work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            outcome = &mut work => return outcome,
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
        }
        if cx.is_cancelled().await? {
            return Err(Error::conflict("cancelled"));
        }
    }
}

/// Off without asking, and on again as rows say it shall be.
async fn reset(cx: &Cx, hypervisor: &dyn Hypervisor, server: &Server, host: &super::Host) -> Result<()> {
    hypervisor.stop(server.id, cx.epoch, None).await?;
    hypervisor.start(&machine::prepare(cx, host, server).await?).await
}

fn on(server: &Server) -> Result<crate::ids::HostId> {
    server.host_id.ok_or_else(|| Error::bad_request(format!("Instance {} is on no host.", server.id)))
}

/// The word that rows keep for what a host said.
pub const fn word(power: Observed) -> &'static str {
    match power {
        Observed::Running => "running",
        Observed::Paused => "paused",
        Observed::Shutdown => "shutdown",
        Observed::Crashed => "crashed",
        Observed::Suspended => "suspended",
        Observed::Unknown => "unknown",
    }
}

/// Where a server is in its life, going by its host; what the host can't say leaves it where it was.
pub const fn state_after(was: State, power: Observed) -> State {
    match power {
        Observed::Running => State::Active,
        Observed::Paused => State::Paused,
        Observed::Shutdown | Observed::Crashed => State::Stopped,
        Observed::Suspended | Observed::Unknown => was,
    }
}

fn settled(
    cx: &Cx,
    server: &Server,
    wish: Power,
    power: Observed,
    failure: Option<String>,
) -> impl Fn(&mut crate::store::Tx) -> Result<()> + Send + Sync + use<> {
    let (id, host, name): (ServerId, _, _) = (server.id, server.host_id, server.host.clone());
    let (now, request_id, started_at) = (cx.clock.now(), cx.request_id.clone(), server.updated_at);
    move |tx| {
        let server = servers::get(tx, &Reach::Cloud, id)?;
        let task = server.task.filter(|task| *task == Task::Deleting);
        let mut change = Change::new().state(state_after(server.state, power)).task(task).power(word(power));
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
