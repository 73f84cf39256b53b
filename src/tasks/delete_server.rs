//! Deletes a server: its machine, its files, its interfaces, its claim, and last what clients see.
//!
//! ```text
//!  Stop ──► Disconnect ──► done: Deleted
//!  machine, files   ports, networks, claim
//! ```
//! There is no way back: a step that fails is tried until it succeeds, because a server half deleted is nobody's wish. But for
//! a host that is down nobody waits: the server is gone at once, as upstream has it, and what the host has of it goes when it
//! is back ([`clear_leftovers`](super::clear_leftovers)).

use super::boot_server::{clear_host, leave_networks};
use super::making_way::unless_lost;
use super::{Cx, Next, Record, Why, Workflow, crash_point, machine};
use crate::cloud::policy::Reach;
use crate::cloud::server::State;
use crate::error::Result;
use crate::ids::{HostId, NetworkId, ServerId};
use crate::store::instance_actions::{self, Step as Noted};
use crate::store::servers::{self, Change, Fault};
use crate::store::{claims, leftovers, server_images, server_ports};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

const EVENT: &str = "compute_terminate_instance";

pub struct DeleteServer;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    Stop,
    Disconnect {
        /// Those that let go of it.
        #[serde(default)]
        hosts: Vec<HostId>,
        networks: Vec<NetworkId>,
    },
}

#[async_trait]
impl Workflow for DeleteServer {
    type Step = Step;
    const KIND: &'static str = "delete_server";
    /// A host that is away comes back some day; the server waits for it, half deleted and shown as being deleted.
    const PATIENCE: u32 = u32::MAX;

    async fn forward(&self, cx: &Cx, step: &Step) -> Result<Next<Step>> {
        let id = machine::server_id(cx)?;
        match step {
            Step::Stop => {
                let mut hosts = Vec::new();
                for host in cx.db.read(move |tx| claims::with_traces_of(tx, id)).await? {
                    if unless_lost(cx, id, host, clear_host(cx, id, host).await).await? {
                        hosts.push(host);
                    }
                }
                let networks = machine::networks_of(cx, id).await?;
                Ok(Next::step(Step::Disconnect { hosts, networks }))
            }
            Step::Disconnect { hosts, networks } => {
                let now = cx.clock.now();
                cx.db.write(move |tx| server_ports::delete_of_server(tx, id, now)).await?;
                crash_point::reached("disconnect").await;
                for host in hosts {
                    unless_lost(cx, id, *host, leave_networks(cx, *host, networks).await).await?;
                }
                let hosts = hosts.clone();
                Ok(Next::done().recording(is_gone(cx, id, hosts)))
            }
        }
    }

    /// What can't be deleted says so, and can be deleted again.
    async fn back_out(&self, cx: &Cx, _: &Step, why: &Why) -> Result<Option<Record>> {
        let (id, now, message) = (machine::server_id(cx)?, cx.clock.now(), why.to_string());
        Ok(Some(Box::new(move |tx| {
            let fault = Fault { code: 500, message: message.clone(), details: None, created: now };
            servers::update(tx, id, Change::new().state(State::Error).task(None).fault(Some(&fault)), now)
        })))
    }
}

fn is_gone(
    cx: &Cx,
    id: ServerId,
    let_go: Vec<HostId>,
) -> impl Fn(&mut crate::store::Tx) -> Result<()> + Send + Sync + use<> {
    let (now, request_id) = (cx.clock.now(), cx.request_id.clone());
    move |tx| {
        let server = match servers::get(tx, &Reach::Cloud, id) {
            Ok(server) => server,
            // Recorded before.
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error),
        };
        claims::release(tx, id)?;
        for host in &let_go {
            leftovers::forget(tx, id, *host)?;
        }
        // An image that only held its disk is nobody's any more.
        if let Some(shelved) = server.aside.shelved {
            server_images::remove(tx, shelved.image, now)?;
        }
        let noted = Noted {
            server: id,
            request_id: request_id.as_deref(),
            name: EVENT,
            host: server.host.as_deref(),
            failure: None,
            started_at: server.updated_at,
            now,
        };
        instance_actions::note(tx, &noted)?;
        let change = Change::new().state(State::Deleted).task(None).power("unknown").deleted_at(now);
        servers::update(tx, id, change, now)
    }
}
