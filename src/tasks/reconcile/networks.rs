//! Brings the networks that a host carries up to date, when its program has just started or it was away.
//!
//! Bridges and namespaces stay when a program ends; who answers DHCP and DNS in them ends with it. And what was said of a
//! network while a host was away, it has not heard.

use super::super::{Host, network_wish};
use crate::error::{Result, with_causes};
use crate::ids::NetworkId;
use crate::store::Db;

/// Every network of the host as rows say it is now, which may be that nobody needs it there any more. What has no row is left
/// to the task that removes it.
pub async fn carry_on(db: &Db, host: &Host) -> Result<()> {
    for id in host.fabric.list().await? {
        match network_wish::settle_on(db, host, id).await {
            Err(error) if error.is_transient() => return Err(error),
            Err(error) if error.is_not_found() => {}
            outcome => note(host, id, outcome),
        }
    }
    Ok(())
}

fn note(host: &Host, network: NetworkId, outcome: Result<()>) {
    if let Err(error) = outcome {
        let error = with_causes(&error);
        tracing::warn!(host = host.name, %network, error, "a host could not take up a network again");
    }
}
