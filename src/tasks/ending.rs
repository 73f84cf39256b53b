//! What becomes visible when work on a server is over: its row, its ports, its instance action.

use super::power_server::word;
use super::{Cx, Record};
use crate::clock::Timestamp;
use crate::cloud::policy::Reach;
use crate::cloud::server::Task;
use crate::error::Result;
use crate::hypervisor::Power;
use crate::ids::ServerId;
use crate::store::instance_actions::{self, Step as Noted};
use crate::store::servers::{self, Change, Fault, Server};
use crate::store::{Tx, server_ports};

/// What the action says of work that made way.
pub const MADE_WAY: &str = "The request was called off by a newer one.";

/// The end of one step of work that users of upstream know by name.
#[derive(Debug, Clone)]
pub struct Ending {
    pub server: ServerId,
    request_id: Option<String>,
    event: &'static str,
    started_at: Timestamp,
    pub now: Timestamp,
}

impl Ending {
    pub fn of(cx: &Cx, server: &Server, event: &'static str) -> Self {
        Self {
            server: server.id,
            request_id: cx.request_id.clone(),
            event,
            started_at: server.updated_at,
            now: cx.clock.now(),
        }
    }

    /// Work is over, or, where clients see a `next` task, goes on. That somebody deletes the server stays what they see.
    pub fn record(
        &self,
        tx: &mut Tx,
        change: Change,
        power: Power,
        next: Option<Task>,
        failure: Option<&str>,
    ) -> Result<()> {
        let server = servers::get(tx, &Reach::Cloud, self.server)?;
        let fault =
            failure.map(|message| Fault { code: 500, message: message.to_owned(), details: None, created: self.now });
        let task = if server.task == Some(Task::Deleting) { server.task } else { next };
        let mut change = change.task(task).fault(fault.as_ref());
        if power != Power::Unknown {
            change = change.power(word(power));
        }
        servers::update(tx, self.server, change, self.now)?;
        match (power, server.host_id) {
            // Nobody could be asked.
            (Power::Unknown, _) => {}
            (Power::Running | Power::Paused, Some(host)) => server_ports::set_active(tx, self.server, host, self.now)?,
            (_, host) => server_ports::set_down(tx, self.server, host, self.now)?,
        }
        self.note(tx, server.host.as_deref(), failure)
    }

    /// Somebody wants something else of the server, and says from now on what it is: this work alone is over.
    pub fn made_way(self, host: Option<String>) -> Record {
        Box::new(move |tx| self.note(tx, host.as_deref(), Some(MADE_WAY)))
    }

    /// Notes the step alone.
    pub fn note(&self, tx: &mut Tx, host: Option<&str>, failure: Option<&str>) -> Result<()> {
        let noted = Noted {
            server: self.server,
            request_id: self.request_id.as_deref(),
            name: self.event,
            host,
            failure,
            started_at: self.started_at,
            now: self.now,
        };
        instance_actions::note(tx, &noted)
    }
}

/// Sets the task that clients see, unless they see that the server is being deleted.
pub fn now_doing(tx: &mut Tx, id: ServerId, task: Task, change: Change, now: Timestamp) -> Result<()> {
    let server = servers::get(tx, &Reach::Cloud, id)?;
    let task = if server.task == Some(Task::Deleting) { server.task } else { Some(task) };
    servers::update(tx, id, change.task(task), now)
}
