//! Rebuilds a server: the same server with a new disk.
//!
//! ```text
//!  Fetch ──────► Wipe ──────────► Start ──► done: Active, or Stopped as it was
//!  image's bytes machine, files   files and machine anew
//! ```
//! The request has already changed the rows: name, key, what the guest is told. Nothing is taken away before the image's
//! bytes are on the host, and only with its files does the row change what its disk is: until then a server that could not
//! be rebuilt has the disk it had. What fails leaves the server in Error, from which it can be rebuilt again.

use super::boot_server::clear_host;
use super::ending::{Ending, now_doing};
use super::password::Password;
use super::{Cx, Next, Record, Why, Workflow, machine, resize_server};
use crate::blobs::Stores;
use crate::clock::Timestamp;
use crate::cloud::blank_disks;
use crate::cloud::boot::Base;
use crate::cloud::policy::Reach;
use crate::cloud::server::{State, Task};
use crate::error::Result;
use crate::hypervisor::Power;
use crate::ids::{ImageId, ServerId};
use crate::store::servers::{self, Aside, Change, Texts};
use crate::store::{Tx, tasks};
use crate::vault::Vault;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub(super) const EVENT: &str = "compute_rebuild_instance";

pub struct RebuildServer {
    pub stores: Stores,
    /// Opens the password on its way.
    pub vault: Arc<Vault>,
}

/// What was asked for, beside what rows say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub stays_off: bool,
    pub password: Password,
    /// `None` in work that an earlier version recorded, which had changed the row already.
    #[serde(default)]
    pub image: Option<NewImage>,
}

/// What the server's disk shall begin with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewImage {
    pub id: ImageId,
    pub properties: Texts,
    pub base: Base,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    Fetch(Order),
    Wipe(Order),
    Start(Order),
}

#[async_trait]
impl Workflow for RebuildServer {
    type Step = Step;
    const KIND: &'static str = "rebuild_server";

    async fn forward(&self, cx: &Cx, step: &Step) -> Result<Next<Step>> {
        let server = machine::server(cx).await?;
        let (id, now) = (server.id, cx.clock.now());
        let host = cx.hosts.get(machine::on(&server)?)?;
        match step {
            Step::Fetch(order) => {
                machine::refuse_signed(&server)?;
                let base = order.image.as_ref().map_or_else(|| machine::base_of(&server), |image| Ok(&image.base))?;
                machine::fetch(cx, &self.stores, host, base).await?;
                Ok(Next::step(Step::Wipe(order.clone())))
            }
            Step::Wipe(order) => {
                clear_host(cx, id, host.id).await?;
                let image = order.image.clone();
                Ok(Next::step(Step::Start(order.clone())).recording(move |tx| take_image(tx, id, image.as_ref(), now)))
            }
            Step::Start(order) => {
                // Somebody may have emptied the host's cache since the first step.
                machine::fetch(cx, &self.stores, host, machine::base_of(&server)?).await?;
                let password = order.password.open(&self.vault, id, now)?;
                let spec = machine::prepare_telling(cx, host, &server, password.as_deref()).await?;
                let (state, power) = if order.stays_off {
                    host.hypervisor.define(&spec).await?;
                    (State::Stopped, Power::Shutdown)
                } else {
                    host.hypervisor.start(&spec).await?;
                    (State::Active, Power::Running)
                };
                let (ending, task) = (Ending::of(cx, &server, EVENT), cx.task_id);
                Ok(Next::done().recording(move |tx| {
                    tasks::forget_step(tx, task)?;
                    let change = Change::new().state(state).launched_at(ending.now).progress(100);
                    ending.record(tx, change, power, None, None)
                }))
            }
        }
    }

    async fn back_out(&self, cx: &Cx, _: &Step, why: &Why) -> Result<Option<Record>> {
        let (task, server) = (cx.task_id, machine::server(cx).await?);
        if *why == Why::Cancelled {
            let made_way = Ending::of(cx, &server, EVENT).made_way(server.host.clone());
            return Ok(Some(Box::new(move |tx| {
                tasks::forget_step(tx, task)?;
                made_way(tx)
            })));
        }
        let power = machine::power(cx, &server).await;
        let (ending, why) = (Ending::of(cx, &server, EVENT), why.to_string());
        Ok(Some(Box::new(move |tx| {
            tasks::forget_step(tx, task)?;
            ending.record(tx, Change::new().state(State::Error), power, None, Some(&why))
        })))
    }
}

/// From now on the row has the new image, and nothing that its old disk had beside it.
fn take_image(tx: &mut Tx, id: ServerId, image: Option<&NewImage>, now: Timestamp) -> Result<()> {
    let server = servers::get(tx, &Reach::Cloud, id)?;
    resize_server::forget(tx, &server, now)?;
    let change = Change::new().aside(&Aside::default()).blank_disks(&blank_disks::anew(&server.blank_disks));
    let change = match image {
        Some(image) => change.image(image.id, &image.properties, &image.base),
        None => change,
    };
    now_doing(tx, id, Task::RebuildSpawning, change, now)
}
