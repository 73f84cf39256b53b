//! What is common to all that is done to a server: who asks, how the server is found and judged, what is noted of it.

use super::common::server_id;
use crate::api::Call;
use crate::cloud::policy::Reach;
use crate::cloud::server::{Action, may};
use crate::error::Result;
use crate::ids::ServerId;
use crate::store::Tx;
use crate::store::instance_actions::{self, Asked};
use crate::store::servers::{self, Server};
use crate::store::tasks::NewTask;

/// What somebody wants done to the server of the path: how it is found, and whether it may be done to it as it is now.
pub struct Deed {
    pub id: ServerId,
    pub asker: Asker,
    reach: Reach,
    overrides_lock: bool,
}

impl Deed {
    pub fn of<B>(call: &Call<B>) -> Result<Self> {
        Ok(Self {
            id: server_id(call)?,
            asker: Asker::of(call)?,
            reach: call.cx.reach.clone(),
            overrides_lock: call.cx.may("context_is_admin"),
        })
    }

    /// The server, whatever may be done to it.
    ///
    /// # Errors
    /// `NotFound` for one that the caller doesn't see.
    pub fn find(&self, tx: &mut Tx) -> Result<Server> {
        servers::get(tx, &self.reach, self.id)
    }

    /// The server, if the action is legal in its state and its lock doesn't stand against it.
    ///
    /// # Errors
    /// `NotFound`, or a conflict in Nova's sentence.
    pub fn server(&self, tx: &mut Tx, action: Action) -> Result<Server> {
        let server = self.find(tx)?;
        self.check(&server, action)?;
        Ok(server)
    }

    /// # Errors
    /// A conflict in Nova's sentence.
    pub fn check(&self, server: &Server, action: Action) -> Result<()> {
        may(action, self.id, server.situation(), self.overrides_lock)
    }
}

/// Who asks for work on a server, and when: what actions and tasks keep of a request.
#[derive(Clone)]
pub struct Asker {
    pub now: crate::clock::Timestamp,
    request_id: String,
    user: crate::ids::UserId,
    project: Option<crate::ids::ProjectId>,
    /// The machine that answers.
    machine: String,
}

impl Asker {
    pub fn of<B>(call: &Call<B>) -> Result<Self> {
        Ok(Self {
            now: call.cx.state.clock.now(),
            request_id: call.head.request_id.clone(),
            user: call.cx.user_id()?.clone(),
            project: call.cx.project_id().ok().cloned(),
            machine: call.cx.state.machine.clone(),
        })
    }

    /// Does the caller's project own the server?
    pub fn is_of(&self, server: &Server) -> bool {
        self.project.as_ref() == Some(&server.project_id)
    }

    /// Notes the action on the server.
    pub fn note(&self, tx: &mut Tx, server: &Server, action: &str) -> Result<()> {
        let project_id = self.project.as_ref().unwrap_or(&server.project_id);
        let asked = Asked { request_id: &self.request_id, project_id, user_id: &self.user, now: self.now };
        instance_actions::insert(tx, server.id, action, &asked)
    }

    /// Notes that a step was begun on the machine that answers, which does the work of upstream's conductor.
    pub fn begins(&self, tx: &mut Tx, server: &Server, event: &str) -> Result<()> {
        self.begins_on(tx, server, event, Some(&self.machine))
    }

    /// The same on a host.
    pub fn begins_on(&self, tx: &mut Tx, server: &Server, event: &str, host: Option<&str>) -> Result<()> {
        instance_actions::begin(tx, &self.step(server, event, host))
    }

    fn step<'s>(&'s self, server: &Server, name: &'s str, host: Option<&'s str>) -> instance_actions::Step<'s> {
        let step = instance_actions::Step::at_once(server.id, Some(&self.request_id), name, self.now);
        instance_actions::Step { host, ..step }
    }

    /// Notes a step that is done as soon as it is asked for, on this host.
    pub fn did_on(&self, tx: &mut Tx, server: &Server, event: &str, host: Option<&str>) -> Result<()> {
        instance_actions::note(tx, &self.step(server, event, host))
    }

    /// Notes a step that is done as soon as it is asked for.
    pub fn did(&self, tx: &mut Tx, server: &Server, event: &str) -> Result<()> {
        self.ended(tx, server, event, None)
    }

    /// Notes how a step went that was taken while the client waited.
    pub fn ended(&self, tx: &mut Tx, server: &Server, event: &str, failure: Option<&str>) -> Result<()> {
        let step = instance_actions::Step { failure, ..self.step(server, event, server.host.as_deref()) };
        instance_actions::note(tx, &step)
    }

    /// Makes the task.
    pub fn start<W: crate::tasks::Workflow>(&self, tx: &mut Tx, id: ServerId, first: &W::Step) -> Result<()> {
        let subject = id.to_string();
        let task = NewTask { subject: &subject, request_id: Some(&self.request_id), now: self.now };
        crate::tasks::insert::<W>(tx, &task, first).map(drop)
    }
}
