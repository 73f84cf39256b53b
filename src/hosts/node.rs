//! `gapura node`: this machine as a host, beside its libvirtd.
//!
//! It keeps nothing but its membership: what it carries is what libvirt, its disks and its kernel say. A controller that
//! is lost, or this process that is, changes nothing for guests.

use super::membership::Membership;
use super::papers::Kept;
use crate::config::Config;
use crate::error::{Error, Result, with_causes};
use crate::http::serve::listen;
use crate::node::trust::{self, Shown};
use crate::node::{VERSION, server};
use std::sync::Arc;
use tokio::sync::watch;

/// Carries out what its controllers ask, until told to stop.
///
/// # Errors
/// `BadRequest` when the machine never joined, or is another one than did; when the address can't be listened on.
pub async fn run(config: &Config, stopped: watch::Receiver<bool>) -> Result<()> {
    let member = Membership::load(config)?.ok_or_else(|| {
        Error::bad_request(format!(
            "This machine is no cloud's host yet (nothing is in {}): gapura node join https://CONTROLLER:PORT TOKEN",
            config.state_dir.join("node").display()
        ))
    })?;
    let parts = super::parts(config, &member.cloud)?;
    match parts.hypervisor.facts().await {
        Ok(facts) if facts.uuid == member.machine => {}
        Ok(facts) => {
            return Err(Error::bad_request(format!(
                "What is in {} is of another machine: its hypervisor's UUID was {}, and this one's is {}. A copy of a host \
                 joins as a host of its own: remove the folder and say gapura node join",
                config.state_dir.join("node").display(),
                member.machine,
                facts.uuid
            )));
        }
        Err(error) => {
            tracing::warn!(
                error = with_causes(&error),
                "the hypervisor is away; its controllers will find it when it is back"
            );
        }
    }
    let listener = listen(config.node.listen).await?;
    let (name, id, cloud, listen) = (&member.name, member.id, &member.cloud, config.node.listen);
    tracing::info!(host = name, %id, cloud, %listen, version = VERSION, "taking orders");
    let identity = member.identity()?;
    let shown = Shown::of(&identity)?;
    let tls = trust::of_host(&identity.authority, shown.clone())?;
    let papers = Arc::new(Kept::new(config, member, shown));
    server::serve(listener, tls, parts, papers, stopped).await;
    Ok(())
}
