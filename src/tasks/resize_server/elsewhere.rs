//! What a resize needs when the server goes to another host: a place there, its disks carried over, a way back.

use super::{both, resized};
use crate::blobs::Stores;
use crate::cloud::flavor::Flavor;
use crate::cloud::placement::{But, Demand, Rules, Wish};
use crate::cloud::policy::Reach;
use crate::disks::{Incoming, Luggage};
use crate::error::{Error, Result};
use crate::hypervisor::Standing;
use crate::ids::{HostId, ServerId};
use crate::store::servers::{self, Left, Resized, Server};
use crate::store::{Tx, claims, hosts, server_moves, server_ports};
use crate::tasks::placing::{self, demand};
use crate::tasks::{Cx, Host, machine, machine_disks, network_wish};
use std::sync::Arc;

/// Decides where the server is to be, and claims what it will take there beside what it holds; a claim made before a crash
/// stays.
pub async fn claim(cx: &Cx, server: &Server, flavor: &Flavor, to: Option<String>) -> Result<HostId> {
    let (id, rules, flavor, now) = (server.id, cx.placement.clone(), flavor.clone(), cx.clock.now());
    let claim = move |tx: &mut Tx| {
        let server = servers::get(tx, &Reach::Cloud, id)?;
        let number = resized(&server)?.migration;
        if let Some(name) = server_moves::get(tx, number)?.and_then(|moved| moved.target) {
            return Ok(hosts::named(tx, &name)?.id);
        }
        let chosen = place(tx, &rules, &server, &flavor, to.clone(), now)?;
        let name = hosts::get(tx, chosen)?.name;
        server_moves::set_target(tx, number, &name, now)?;
        // Whoever settles its networks there looks again.
        server_ports::touch_networks(tx, id)?;
        Ok(chosen)
    };
    cx.db.write(claim).await
}

fn place(
    tx: &mut Tx,
    rules: &Rules,
    server: &Server,
    flavor: &Flavor,
    to: Option<String>,
    now: crate::clock::Timestamp,
) -> Result<HostId> {
    let (on, alone) = (machine::on(server)?, Demand::of(flavor));
    let mut but = But::Leaving(on);
    if may_stay(resized(server)?, rules) {
        if claims::enlarge(tx, server.id, on, both(demand(server), alone), alone, now)? {
            return Ok(on);
        }
        but = But::Full(on);
    }
    let zone = server.availability_zone.clone().filter(|_| to.is_none());
    let wished = Server { flavor: Arc::new(flavor.clone()), ..server.clone() };
    let chosen = placing::pick(tx, rules, &wished, &Wish { zone, host: to }, Some(but), now)?;
    claims::claim(tx, server.id, chosen, alone, now)?;
    Ok(chosen)
}

/// May it have its new flavor where it is?
const fn may_stay(from: &Resized, rules: &Rules) -> bool {
    !from.keeps_flavor && rules.allow_resize_to_same_host
}

/// Brings the disks of a machine that is off to another host, where nothing of an earlier stay is left; `apart`: they are not
/// there already. What lies on an image's bytes travels without them.
pub async fn carry(cx: &Cx, stores: &Stores, from: &Host, to: &Host, server: &Server, apart: bool) -> Result<()> {
    let id = server.id;
    if let Standing::Runs(_) = to.hypervisor.standing(id).await? {
        return Err(Error::conflict(format!("{} runs the instance already.", to.name)));
    }
    to.hypervisor.remove(id, cx.epoch).await?;
    if !apart {
        return Ok(());
    }
    to.disks.remove(id, cx.epoch).await?;
    machine::fetch(cx, stores, to, machine::base_of(server)?).await?;
    // Its config drive is written anew there.
    let luggage = Luggage { config_drive: None, ..from.disks.pack(id).await? };
    to.disks.unpack(id, cx.epoch, &luggage).await?;
    for (part, over) in machine_disks::files(server)? {
        let bytes = from.disks.open_part(id, part).await?;
        let wish = Incoming { server: id, epoch: cx.epoch, part, over };
        to.disks.receive_part(&wish, bytes).await?;
    }
    Ok(())
}

/// Nothing is given up before the host that the server goes back to answers, and has its disks.
///
/// # Errors
/// `Unavailable` while it is away; `Conflict` when they are gone.
pub async fn can_go_back(cx: &Cx, id: ServerId, left: Left) -> Result<()> {
    let host = cx.hosts.get(left.host)?;
    host.hypervisor.standing(id).await?;
    if host.disks.list().await?.contains(&id) {
        return Ok(());
    }
    Err(Error::conflict(format!("The disks of instance {id} are not on {} any more.", host.name)))
}

/// Its networks leave the host with it. What that host can't do now it does when it next answers after silence.
pub async fn leave_networks(cx: &Cx, id: ServerId, host: HostId) {
    let leave = async {
        let host = cx.hosts.get(host)?;
        for network in machine::networks_of(cx, id).await? {
            network_wish::settle(cx, host, network).await?;
        }
        Ok::<_, Error>(())
    };
    if let Err(error) = leave.await {
        tracing::warn!(server = %id, %error, "a host keeps a network of a server that has left it");
    }
}
