//! The steps of work on a server, under the names by which users of upstream know them.
//!
//! Upstream's steps are calls between its services, and what is looked up there (which host was asked to do what, how it went,
//! how long it took) is of use here too. So each step of ours that does the work of such a call notes it.

use super::Cx;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::ids::{HostId, ServerId};
use crate::store::instance_actions::{self, Step};
use crate::store::{Tx, hosts};

/// Of one request for one server.
#[derive(Debug, Clone)]
pub struct Events {
    server: ServerId,
    request_id: Option<String>,
    now: Timestamp,
}

impl Events {
    pub fn of(cx: &Cx, server: ServerId) -> Self {
        Self { server, request_id: cx.request_id.clone(), now: cx.clock.now() }
    }

    /// A step begins on this host.
    pub fn begin(&self, tx: &mut Tx, name: &str, host: HostId) -> Result<()> {
        let host = named(tx, host)?;
        instance_actions::begin(tx, &self.step(name, host.as_deref(), None))
    }

    /// A step that was begun has ended.
    pub fn end(&self, tx: &mut Tx, name: &str, failure: Option<&str>) -> Result<()> {
        instance_actions::note(tx, &self.step(name, None, failure))
    }

    /// A step was taken on this host.
    pub fn did(&self, tx: &mut Tx, name: &str, host: HostId) -> Result<()> {
        let host = named(tx, host)?;
        instance_actions::note(tx, &self.step(name, host.as_deref(), None))
    }

    fn step<'s>(&'s self, name: &'s str, host: Option<&'s str>, failure: Option<&'s str>) -> Step<'s> {
        Step { host, failure, ..Step::at_once(self.server, self.request_id.as_deref(), name, self.now) }
    }
}

/// A host that left the cloud meanwhile has no name any more.
fn named(tx: &mut Tx, host: HostId) -> Result<Option<String>> {
    match hosts::get(tx, host) {
        Ok(host) => Ok(Some(host.name)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
