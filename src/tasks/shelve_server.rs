//! Shelves a server: its disk becomes an image, its machine is switched off, and then, at once or after a while, nothing of
//! it stays on its host.
//!
//! ```text
//!  Stop ──────► Copy ──────► Upload ──► done: Shelved ─ ─► Offload ──► Leave ──► done: ShelvedOffloaded
//!  machine off   a whole file  into the            a while   machine,   networks,
//!                on the host   image service                 files      claim
//! ```
//! The image's row was made with the request. Until the image is whole, what fails takes it away again and leaves the server
//! switched off, as upstream does. Once a server begins to leave its host there is one end alone: its disk may be gone from
//! there, so that giving up would lose what the image holds.

use super::ending::{Ending, now_doing};
use super::image_server::{self, ImageServer};
use super::power_server::state_after;
use super::{Cx, Next, Record, Why, Workflow, boot_server, machine, network_wish, resize_server};
use crate::clock::Timestamp;
use crate::cloud::blank_disks;
use crate::cloud::policy::Reach;
use crate::cloud::server::{State, Task};
use crate::error::Result;
use crate::hypervisor::Power;
use crate::ids::{ImageId, ServerId};
use crate::store::servers::{self, Aside, Change, Server, Shelved};
use crate::store::{Tx, claims, server_images, server_ports};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const EVENT: &str = "compute_shelve_instance";
const OFFLOAD_EVENT: &str = "compute_shelve_offload_instance";

pub struct ShelveServer {
    pub images: ImageServer,
    /// How long a guest is given to shut down by itself.
    pub grace: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub image: ImageId,
    /// Does the server leave its host at once?
    pub offloads: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    Stop(Order),
    Copy(Order),
    Upload(Order),
    /// Somebody may have asked for this alone.
    Offload {
        was_asked_for: bool,
    },
    Leave {
        was_asked_for: bool,
    },
}

/// The name under which users of upstream know a departure.
const fn event(was_asked_for: bool) -> &'static str {
    if was_asked_for { OFFLOAD_EVENT } else { EVENT }
}

#[async_trait]
impl Workflow for ShelveServer {
    type Step = Step;
    const KIND: &'static str = "shelve_server";

    async fn forward(&self, cx: &Cx, step: &Step) -> Result<Next<Step>> {
        let server = machine::server(cx).await?;
        let (id, now) = (server.id, cx.clock.now());
        let host = cx.hosts.get(machine::on(&server)?)?;
        match step {
            Step::Stop(order) => {
                // A guest that stands still does not hear the power button.
                let grace = (server.state == State::Active).then_some(self.grace);
                machine::unless_cancelled(cx, host.hypervisor.stop(id, cx.epoch, grace)).await?;
                Ok(Next::step(Step::Copy(order.clone()))
                    .recording(move |tx| now_doing(tx, id, Task::ShelvingPending, Change::new(), now)))
            }
            Step::Copy(order) => {
                let copy = host.disks.copy_at_rest(id, cx.epoch, machine::own_disk(&server));
                machine::unless_cancelled(cx, copy).await?;
                Ok(Next::step(Step::Upload(order.clone()))
                    .recording(move |tx| now_doing(tx, id, Task::ShelvingUploading, Change::new(), now)))
            }
            Step::Upload(order) => {
                machine::unless_cancelled(cx, self.images.upload(cx, &server, order.image)).await?;
                host.disks.drop_copy(id, cx.epoch).await?;
                let (ending, power) = (Ending::of(cx, &server, EVENT), machine::power(cx, &server).await);
                let next =
                    if order.offloads { Next::step(Step::Offload { was_asked_for: false }) } else { Next::done() };
                let order = order.clone();
                Ok(next.recording(move |tx| is_shelved(tx, &ending, &order, power)))
            }
            Step::Offload { was_asked_for } => {
                empty_host(cx, &server).await?;
                Ok(Next::step(Step::Leave { was_asked_for: *was_asked_for }))
            }
            Step::Leave { was_asked_for } => {
                leave_networks(cx, &server).await?;
                let ending = Ending::of(cx, &server, event(*was_asked_for));
                Ok(Next::done().recording(move |tx| has_left(tx, id, &ending)))
            }
        }
    }

    async fn back_out(&self, cx: &Cx, step: &Step, why: &Why) -> Result<Option<Record>> {
        let (Step::Stop(order) | Step::Copy(order) | Step::Upload(order)) = step else {
            // Whoever deletes the server takes the rest away.
            return if *why == Why::Cancelled { Ok(None) } else { end_departure(cx, step).await.map(Some) };
        };
        let (image, now) = (order.image, cx.clock.now());
        cx.db.write(move |tx| server_images::remove(tx, image, now)).await?;
        self.images.stores.say_given_up();
        if *why == Why::Cancelled {
            let server = machine::server(cx).await?;
            let host = server.host.clone();
            return Ok(Some(Ending::of(cx, &server, EVENT).made_way(host)));
        }
        let (server, power) = image_server::drop_copy(cx).await?;
        let (ending, why) = (Ending::of(cx, &server, EVENT), why.to_string());
        let state = state_after(server.state, power);
        Ok(Some(Box::new(move |tx| ending.record(tx, Change::new().state(state), power, None, Some(&why)))))
    }
}

/// The image holds the disk; what the server kept for another end than this is over.
fn is_shelved(tx: &mut Tx, ending: &Ending, order: &Order, power: Power) -> Result<()> {
    let server = servers::get(tx, &Reach::Cloud, ending.server)?;
    resize_server::forget(tx, &server, ending.now)?;
    let shelved = Some(Shelved { image: order.image, since: ending.now });
    let aside = Aside { shelved, layer: server.aside.layer, ..Aside::default() };
    let next = order.offloads.then_some(Task::ShelvingOffloading);
    ending.record(tx, Change::new().state(State::Shelved).aside(&aside), power, next, None)
}

/// Machine and files leave the host, and with them the interfaces; the claim stays until its networks have heard of it.
async fn empty_host(cx: &Cx, server: &Server) -> Result<()> {
    boot_server::clear_host(cx, server.id, machine::on(server)?).await?;
    let (id, now) = (server.id, cx.clock.now());
    let is_empty = move |tx: &mut Tx| {
        server_ports::set_down(tx, id, None, now)?;
        // Said at once, so that nobody takes its interfaces for some that are on their way to a host.
        servers::update(tx, id, Change::new().state(State::ShelvedOffloaded), now)
    };
    cx.db.write(is_empty).await
}

/// Networks that only this server was in leave its host.
async fn leave_networks(cx: &Cx, server: &Server) -> Result<()> {
    let host = cx.hosts.get(machine::on(server)?)?;
    for network in machine::networks_of(cx, server.id).await? {
        network_wish::settle(cx, host, network).await?;
    }
    Ok(())
}

/// Nothing of it is on a host.
fn has_left(tx: &mut Tx, id: ServerId, ending: &Ending) -> Result<()> {
    let server = servers::get(tx, &Reach::Cloud, id)?;
    // Its image holds its own disk alone: the others were lost with the host, and are made anew with the machine.
    let (blank, mut aside) = (blank_disks::anew(&server.blank_disks), server.aside);
    aside.layer = 0;
    let change = Change::new().state(State::ShelvedOffloaded).aside(&aside).blank_disks(&blank);
    ending.record(tx, change, Power::Shutdown, None, None)?;
    nowhere(tx, id, ending.now)
}

/// The server, its interfaces and what it claimed are on no host.
pub(super) fn nowhere(tx: &mut Tx, id: ServerId, now: Timestamp) -> Result<()> {
    claims::release(tx, id)?;
    server_ports::set_down(tx, id, None, now)?;
    servers::update(tx, id, Change::new().host(None), now)
}

/// What failed is done, as often as it takes.
async fn end_departure(cx: &Cx, step: &Step) -> Result<Record> {
    let server = machine::server(cx).await?;
    empty_host(cx, &server).await?;
    leave_networks(cx, &server).await?;
    let was_asked_for = matches!(step, Step::Offload { was_asked_for: true } | Step::Leave { was_asked_for: true });
    let (id, ending) = (server.id, Ending::of(cx, &server, event(was_asked_for)));
    Ok(Box::new(move |tx| has_left(tx, id, &ending)))
}
