//! Rescues a server: it boots from another image, with its own disk beside it to be mended; and takes it back.
//!
//! ```text
//!  Fetch ──────► Stop ──────► Boot ──► done: Rescued ──► Leave ──────► Return ──► done: Active
//!  image's bytes  machine off  rescue    disk             machine off   machine from its own disk
//! ```
//! The row says what it is rescued with before the work begins; without that, the machine is made as ever.

use super::ending::Ending;
use super::password::Password;
use super::power_server::state_after;
use super::{Cx, Next, Record, Why, Workflow, machine};
use crate::blobs::Stores;
use crate::cloud::policy::Reach;
use crate::cloud::server::State;
use crate::disks::Part;
use crate::error::{Error, Result};
use crate::hypervisor::Power;
use crate::ids::ServerId;
use crate::store::Tx;
use crate::store::servers::{self, Change};
use crate::store::tasks;
use crate::vault::Vault;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

const EVENT: &str = "compute_rescue_instance";
const RETURN_EVENT: &str = "compute_unrescue_instance";

pub struct RescueServer {
    pub stores: Stores,
    /// Opens the password on its way.
    pub vault: Arc<Vault>,
    /// How long a guest is given to shut down by itself.
    pub grace: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    Fetch { password: Password },
    Stop { password: Password },
    Boot { password: Password },
    Leave,
    Return,
}

#[async_trait]
impl Workflow for RescueServer {
    type Step = Step;
    const KIND: &'static str = "rescue_server";

    async fn forward(&self, cx: &Cx, step: &Step) -> Result<Next<Step>> {
        let server = machine::server(cx).await?;
        let (id, now) = (server.id, cx.clock.now());
        let host = cx.hosts.get(machine::on(&server)?)?;
        match step {
            Step::Fetch { password } => {
                let rescue = server.aside.rescue.as_ref();
                let rescue =
                    rescue.ok_or_else(|| Error::internal("nothing to rescue a server with", id.to_string()))?;
                machine::fetch(cx, &self.stores, host, &rescue.base).await?;
                // Of an earlier rescue.
                host.disks.remove_part(id, cx.epoch, Part::Rescue).await?;
                Ok(Next::step(Step::Stop { password: password.clone() }))
            }
            Step::Stop { password } => {
                machine::unless_cancelled(cx, host.hypervisor.stop(id, cx.epoch, Some(self.grace))).await?;
                Ok(Next::step(Step::Boot { password: password.clone() }))
            }
            Step::Boot { password } => {
                if let Some(rescue) = &server.aside.rescue {
                    // Somebody may have emptied the host's cache since the first step.
                    machine::fetch(cx, &self.stores, host, &rescue.base).await?;
                }
                let password = password.open(&self.vault, id, now)?;
                let spec = machine::prepare_telling(cx, host, &server, password.as_deref()).await?;
                host.hypervisor.start(&spec).await?;
                let (ending, task) = (Ending::of(cx, &server, EVENT), cx.task_id);
                Ok(Next::done().recording(move |tx| {
                    tasks::forget_step(tx, task)?;
                    let change = Change::new().state(State::Rescued).launched_at(ending.now);
                    ending.record(tx, change, Power::Running, None, None)
                }))
            }
            Step::Leave => {
                host.hypervisor.stop(id, cx.epoch, None).await?;
                Ok(Next::step(Step::Return).recording(move |tx| without_rescue(tx, id, now)))
            }
            Step::Return => {
                let spec = machine::prepare(cx, host, &server).await?;
                host.hypervisor.start(&spec).await?;
                host.disks.remove_part(id, cx.epoch, Part::Rescue).await?;
                let ending = Ending::of(cx, &server, RETURN_EVENT);
                Ok(Next::done().recording(move |tx| {
                    let change = Change::new().state(State::Active).launched_at(ending.now);
                    ending.record(tx, change, Power::Running, None, None)
                }))
            }
        }
    }

    async fn back_out(&self, cx: &Cx, step: &Step, why: &Why) -> Result<Option<Record>> {
        let (task, server) = (cx.task_id, machine::server(cx).await?);
        let id = server.id;
        let is_coming = matches!(step, Step::Fetch { .. } | Step::Stop { .. } | Step::Boot { .. });
        if *why == Why::Cancelled {
            let (event, now) = (if is_coming { EVENT } else { RETURN_EVENT }, cx.clock.now());
            let made_way = Ending::of(cx, &server, event).made_way(server.host.clone());
            return Ok(Some(Box::new(move |tx| {
                tasks::forget_step(tx, task)?;
                if is_coming {
                    without_rescue(tx, id, now)?;
                }
                made_way(tx)
            })));
        }
        let why = why.to_string();
        match step {
            Step::Fetch { .. } | Step::Stop { .. } | Step::Boot { .. } => {
                if matches!(step, Step::Boot { .. })
                    && let Ok(host) = machine::on(&server).and_then(|host| cx.hosts.get(host))
                {
                    // It may already run from the disk that it shall not have.
                    host.hypervisor.stop(id, cx.epoch, None).await?;
                }
                let power = machine::power(cx, &server).await;
                let ending = Ending::of(cx, &server, EVENT);
                Ok(Some(Box::new(move |tx| {
                    tasks::forget_step(tx, task)?;
                    without_rescue(tx, id, ending.now)?;
                    let state = state_after(servers::get(tx, &Reach::Cloud, id)?.state, power);
                    ending.record(tx, Change::new().state(state), power, None, Some(&why))
                })))
            }
            Step::Leave | Step::Return => {
                let power = machine::power(cx, &server).await;
                let ending = Ending::of(cx, &server, RETURN_EVENT);
                // What still has its rescue disk can be asked again; the other is mended by a hard reboot.
                let state = if matches!(step, Step::Leave) { State::Rescued } else { State::Error };
                Ok(Some(Box::new(move |tx| ending.record(tx, Change::new().state(state), power, None, Some(&why)))))
            }
        }
    }
}

fn without_rescue(tx: &mut Tx, id: ServerId, now: crate::clock::Timestamp) -> Result<()> {
    let mut aside = servers::get(tx, &Reach::Cloud, id)?.aside;
    aside.rescue = None;
    servers::update(tx, id, Change::new().aside(&aside), now)
}
