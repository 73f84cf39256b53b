//! Brings a shelved server back: from the image that holds its disk, on any host that has room, with its own addresses; or,
//! where it has not left its host, from the disk that is still there.
//!
//! ```text
//!  Place ──► Connect ──► Disk ──► Start ──► done: Active      (ShelvedOffloaded)
//!   claim    networks     image    machine
//!     └────────┴────────────┴────────┴── a failure: machine, files, networks, claim go; ShelvedOffloaded as it was
//!  Wake ──► done: Active                                       (Shelved)
//! ```
//! Only with its running does the row change what its disk begins with, and is the image gone that nobody needs any more. A
//! server whose image somebody deleted has nothing to come back from: it ends in Error.

use super::boot_server::leave_networks;
use super::ending::{Ending, now_doing};
use super::making_way::unless_deleted;
use super::shelve_server::nowhere;
use super::{Cx, Next, Record, Why, Workflow, boot_server, machine};
use crate::blobs::Stores;
use crate::clock::Timestamp;
use crate::cloud::boot::{self, Base};
use crate::cloud::placement::Wish;
use crate::cloud::policy::Reach;
use crate::cloud::server::{State, Task};
use crate::error::{Error, Result};
use crate::hypervisor::Power;
use crate::ids::{HostId, ServerId};
use crate::store::servers::{self, Change, Server};
use crate::store::{Tx, boot_images, claims, server_images, server_ports};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const EVENT: &str = "compute_unshelve_instance";
const WAKE_EVENT: &str = "compute_start_instance";

pub struct UnshelveServer {
    /// Where images' bytes are.
    pub stores: Stores,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    Wake,
    Place { wish: Wish },
    Connect { host: HostId, base: Base },
    Disk { host: HostId, base: Base },
    Start { host: HostId, base: Base },
}

#[async_trait]
impl Workflow for UnshelveServer {
    type Step = Step;
    const KIND: &'static str = "unshelve_server";
    /// As a boot's.
    const PATIENCE: u32 = 14;

    async fn forward(&self, cx: &Cx, step: &Step) -> Result<Next<Step>> {
        let server = machine::server(cx).await?;
        let (id, now) = (server.id, cx.clock.now());
        match step {
            Step::Wake => {
                let host = cx.hosts.get(machine::on(&server)?)?;
                host.hypervisor.start(&machine::prepare(cx, host, &server).await?).await?;
                let ending = Ending::of(cx, &server, WAKE_EVENT);
                Ok(Next::done().recording(move |tx| is_back(tx, id, &ending, None)))
            }
            Step::Place { wish } => {
                let base = shelved_base(cx, &server).await?;
                let host = boot_server::place(cx, id, wish.clone()).await?;
                Ok(Next::step(Step::Connect { host, base })
                    .recording(move |tx| now_doing(tx, id, Task::Spawning, Change::new().host(Some(host)), now)))
            }
            Step::Connect { host, base } => {
                machine::connect(cx, cx.hosts.get(*host)?, id).await?;
                Ok(Next::step(Step::Disk { host: *host, base: base.clone() }))
            }
            Step::Disk { host, base } => {
                machine::fetch(cx, &self.stores, cx.hosts.get(*host)?, base).await?;
                Ok(Next::step(Step::Start { host: *host, base: base.clone() }))
            }
            Step::Start { host, base } => {
                let on = cx.hosts.get(*host)?;
                // Somebody may have emptied the host's cache since the step before.
                machine::fetch(cx, &self.stores, on, base).await?;
                let ending = Ending::of(cx, &server, EVENT);
                let server = Server { base: Some(Arc::new(base.clone())), ..server };
                on.hypervisor.start(&machine::prepare(cx, on, &server).await?).await?;
                let base = base.clone();
                Ok(Next::done().recording(move |tx| is_back(tx, id, &ending, Some(&base))))
            }
        }
    }

    async fn back_out(&self, cx: &Cx, step: &Step, why: &Why) -> Result<Option<Record>> {
        let server = machine::server(cx).await?;
        if matches!(step, Step::Wake) {
            return if *why == Why::Cancelled { Ok(None) } else { sleep(cx, &server, why).await.map(Some) };
        }
        leave_host(cx, server.id, why).await?;
        let (id, image) = (server.id, server.aside.shelved.map(|shelved| shelved.image));
        let ending = Ending::of(cx, &server, EVENT);
        let failure = (*why != Why::Cancelled).then(|| why.to_string());
        Ok(Some(Box::new(move |tx| {
            if let Some(failure) = &failure {
                let exists = image.is_some_and(|image| boot_images::get(tx, None, image, ending.now).is_ok());
                let state = if exists { State::ShelvedOffloaded } else { State::Error };
                ending.record(tx, Change::new().state(state), Power::Shutdown, None, Some(failure))?;
            }
            nowhere(tx, id, ending.now)
        })))
    }
}

/// The bytes of the disk that was shelved.
async fn shelved_base(cx: &Cx, server: &Server) -> Result<Base> {
    let missing = |id: String| Error::bad_request(format!("Unshelve attempted but the image {id} cannot be found."));
    let shelved = server.aside.shelved.ok_or_else(|| missing("None".to_owned()))?;
    let now = cx.clock.now();
    // Whoever may see the image: it is the server's.
    let image = cx.db.read(move |tx| boot_images::get(tx, None, shelved.image, now)).await;
    match image {
        Err(error) if error.is_not_found() => Err(missing(shelved.image.to_string())),
        image => boot::own_base(&image?),
    }
}

/// The server runs, and its image is not needed any more.
fn is_back(tx: &mut Tx, id: ServerId, ending: &Ending, base: Option<&Base>) -> Result<()> {
    let mut aside = servers::get(tx, &Reach::Cloud, id)?.aside;
    let shelved = aside.shelved.take();
    let change = Change::new().state(State::Active).launched_at(ending.now).aside(&aside);
    let change = if let Some(base) = base { change.base(base) } else { change };
    ending.record(tx, change, Power::Running, None, None)?;
    shelved.map_or(Ok(()), |shelved| server_images::remove(tx, shelved.image, ending.now))
}

/// What could not be woken stays shelved, and so off.
async fn sleep(cx: &Cx, server: &Server, why: &Why) -> Result<Record> {
    let host = cx.hosts.get(machine::on(server)?)?;
    host.hypervisor.stop(server.id, cx.epoch, None).await?;
    let (ending, power, why) = (Ending::of(cx, server, WAKE_EVENT), machine::power(cx, server).await, why.to_string());
    Ok(Box::new(move |tx| ending.record(tx, Change::new().state(State::Shelved), power, None, Some(&why))))
}

/// Whatever came to the host that was claimed goes again; the claim itself goes with what clients see.
async fn leave_host(cx: &Cx, id: ServerId, why: &Why) -> Result<()> {
    let now = cx.clock.now();
    let Some(on) = cx.db.read(move |tx| claims::claimed_by(tx, id)).await? else { return Ok(()) };
    unless_deleted(cx, id, on, why, boot_server::clear_host(cx, id, on).await).await?;
    cx.db.write(move |tx| is_leaving(tx, id, now)).await?;
    let networks = machine::networks_of(cx, id).await?;
    unless_deleted(cx, id, on, why, leave_networks(cx, on, &networks).await).await
}

/// From now on nobody takes its interfaces for some that are on their way to a host.
fn is_leaving(tx: &mut Tx, id: ServerId, now: Timestamp) -> Result<()> {
    server_ports::set_down(tx, id, None, now)?;
    now_doing(tx, id, Task::ShelvingOffloading, Change::new(), now)
}
