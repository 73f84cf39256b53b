//! Brings the networks that a host carries up to date, when its program has just started or it was away.
//!
//! Bridges and namespaces stay when a program ends; who answers DHCP and DNS in them ends with it. And what was said of a
//! network while a host was away, it has not heard.

use super::super::{Host, network_change, network_wish};
use crate::clock::Timestamp;
use crate::error::{Error, Result, with_causes};
use crate::fabric::FabricFacts;
use crate::ids::{HostId, NetworkId};
use crate::store::{Db, Tx, network_hosts};

/// Every network of the host as rows say it is now, which may be that nobody needs it there any more. What has no row is left
/// to the task that removes it.
pub async fn carry_on(db: &Db, host: &Host, now: Timestamp) -> Result<()> {
    for id in host.fabric.list().await? {
        match network_wish::settle_on(db, host, id, now).await {
            Err(error) if error.is_transient() => return Err(error),
            Err(error) if error.is_not_found() => {}
            outcome => note(host, id, outcome),
        }
    }
    Ok(())
}

/// What the host says of its place among networks. One of an older version says nothing, and has none.
pub async fn facts(host: &Host) -> Result<FabricFacts> {
    match host.fabric.facts().await {
        Err(Error::NotImplemented(_)) => Ok(FabricFacts::default()),
        outcome => outcome,
    }
}

/// Notes it. Where others reach it they must hear of, who send it what is for its networks: answers whether somebody does.
pub fn heard(tx: &mut Tx, host: HostId, facts: &FabricFacts, now: Timestamp) -> Result<bool> {
    network_hosts::is_plugged_into(tx, host, &facts.physical_networks)?;
    let concerned = network_hosts::is_at(tx, host, facts.tunnel_address)?;
    for network in &concerned {
        network_change::hosts_changed(tx, *network, now)?;
    }
    Ok(!concerned.is_empty())
}

fn note(host: &Host, network: NetworkId, outcome: Result<()>) {
    if let Err(error) = outcome {
        let error = with_causes(&error);
        tracing::warn!(host = host.name, %network, error, "a host could not take up a network again");
    }
}
