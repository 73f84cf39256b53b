//! What is asked of a guest or told of a machine at once, without a task: nothing of it changes what was wished.

pub use crate::hypervisor::{Diagnostics, DiskUse, InterfaceUse, Traffic};

use super::{Host, Hosts};
use crate::error::{Error, Result};
use crate::store::servers::Server;

fn on<'h>(hosts: &'h Hosts, server: &Server) -> Result<&'h Host> {
    let host = server.host_id.ok_or_else(|| Error::conflict(format!("Instance {} is not ready", server.id)))?;
    hosts.get(host)
}

/// # Errors
/// `NotImplemented` when no agent answers, `Conflict` when the guest does not run.
pub async fn set_password(hosts: &Hosts, server: &Server, user: &str, password: &str) -> Result<()> {
    on(hosts, server)?.hypervisor.set_password(server.id, user, password).await
}

/// Sends an interrupt that the guest can't ignore.
pub async fn interrupt(hosts: &Hosts, server: &Server) -> Result<()> {
    on(hosts, server)?.hypervisor.interrupt(server.id).await
}

/// What a machine has used. `None` when it does not run: then there is nothing to tell.
pub async fn diagnostics(hosts: &Hosts, server: &Server) -> Result<Option<Diagnostics>> {
    match on(hosts, server)?.hypervisor.diagnostics(server.id).await {
        Ok(found) => Ok(Some(found)),
        Err(Error::Conflict(_) | Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
