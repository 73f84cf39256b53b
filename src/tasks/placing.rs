//! Gives a server its place: asks [`placement`], and claims what the server takes in the transaction that decided.
//!
//! Whoever decides reads every claim there is, so two that race for the last room can't both have it: SQLite has one writer,
//! and of two such transactions PostgreSQL lets one begin again.

use super::Cx;
use crate::clock::Timestamp;
use crate::cloud::flavor::Flavor;
use crate::cloud::placement::filters::PHYSICAL_NETWORKS;
use crate::cloud::placement::{self, But, Candidate, Condition, Demand, Neighbours, Request, Rules, Verdict, Wish};
use crate::cloud::policy::Reach;
use crate::error::{Error, Result};
use crate::ids::{HostId, ProjectId, ServerGroupId, ServerId};
use crate::store::servers::{self, Server};
use crate::store::{Tx, claims, hosts, network_hosts, placement as rows, server_groups, server_moves, server_ports};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a server takes of its host.
pub fn demand(server: &Server) -> Demand {
    Demand::of(&server.flavor)
}

/// Picks a host and claims what the server takes of it; a claim made before a crash stays.
///
/// # Errors
/// As [`pick`].
pub fn claim(tx: &mut Tx, rules: &Rules, id: ServerId, wish: &Wish, now: Timestamp) -> Result<HostId> {
    if let Some(host) = claims::claimed_by(tx, id)? {
        return Ok(host);
    }
    let server = servers::get(tx, &Reach::Cloud, id)?;
    let host = pick(tx, rules, &server, wish, None, now)?;
    claims::claim(tx, id, host, demand(&server), now)?;
    Ok(host)
}

/// Picks the host that a server moves to and claims what it takes there beside what it holds, in one transaction; a claim made
/// before a crash stays. The move's record then has its target and this status.
///
/// # Errors
/// As [`pick`].
pub async fn claim_for_move(cx: &Cx, moved: Move, status: &'static str) -> Result<HostId> {
    let (now, rules) = (cx.clock.now(), cx.placement.clone());
    let claim = move |tx: &mut Tx| {
        let Move { server, number, from, wish } = &moved;
        if let Some(name) = server_moves::get(tx, *number)?.and_then(|moved| moved.target) {
            return Ok(hosts::named(tx, &name)?.id);
        }
        let server = servers::get(tx, &Reach::Cloud, *server)?;
        let to = pick(tx, &rules, &server, wish, Some(But::Leaving(*from)), now)?;
        claims::claim(tx, server.id, to, demand(&server), now)?;
        let name = hosts::get(tx, to)?.name;
        server_moves::set_target(tx, *number, &name, now)?;
        server_moves::set_status(tx, *number, status, now)?;
        // Whoever settles its networks there looks again.
        server_ports::touch_networks(tx, server.id)?;
        Ok(to)
    };
    cx.db.write(claim).await
}

/// A move that has no target yet.
pub struct Move {
    pub server: ServerId,
    /// Its record.
    pub number: i64,
    pub from: HostId,
    pub wish: Wish,
}

/// The host that suits a server and its wish best, in the transaction that claims it.
///
/// # Errors
/// `Conflict` in Nova's words where there is none; `Unavailable`, worth retrying, while no host at all has been heard.
pub fn pick(
    tx: &mut Tx,
    rules: &Rules,
    server: &Server,
    wish: &Wish,
    but: Option<But>,
    now: Timestamp,
) -> Result<HostId> {
    let Found { candidates, verdict } = decide(tx, rules, &Asked::by(server, wish.clone(), but), now)?;
    let why = match verdict.chosen() {
        Ok(host) => return Ok(host),
        Err(why) => why,
    };
    tracing::info!(server = %server.id, "{why} {}", verdict.explanation(&candidates));
    if let Some(host) = wish.host.as_ref().filter(|_| verdict.failed_at(PHYSICAL_NETWORKS)) {
        // Who names a host is an operator, and is told which of their networks it lacks.
        let names = network_hosts::needed_by(tx, server.id)?.into_iter().collect::<Vec<_>>().join(", ");
        return Err(Error::conflict(format!("No valid host was found. {host} is not plugged into {names}.")));
    }
    let is_heard = candidates.iter().any(|host| host.condition == Condition::Up);
    let may_be_heard = candidates.iter().any(|host| host.condition == Condition::Down);
    // A cloud that has just started has not heard its hosts yet: that is no verdict on them.
    Err(if may_be_heard && !is_heard { Error::unavailable("No valid host was found. The host", why) } else { why })
}

/// What is asked of placement, for a server that there is or for one that there could be.
#[derive(Debug, Clone)]
pub struct Asked {
    /// What it holds already is no neighbour of its own.
    pub server: Option<ServerId>,
    pub project: ProjectId,
    pub flavor: Arc<Flavor>,
    pub image_properties: BTreeMap<String, String>,
    pub hints: serde_json::Value,
    /// The group that one would be in which there is not yet.
    pub group: Option<ServerGroupId>,
    pub wish: Wish,
    pub but: Option<But>,
}

impl Asked {
    pub fn by(server: &Server, wish: Wish, but: Option<But>) -> Self {
        Self {
            server: Some(server.id),
            project: server.project_id.clone(),
            flavor: server.flavor.clone(),
            image_properties: server.image_properties.clone(),
            hints: server.scheduler_hints.clone(),
            group: None,
            wish,
            but,
        }
    }
}

/// The hosts there are, and what placement says of them.
#[derive(Debug)]
pub struct Found {
    pub candidates: Vec<Candidate>,
    pub verdict: Verdict,
}

/// What placement says now, and why.
pub fn decide(tx: &mut Tx, rules: &Rules, asked: &Asked, now: Timestamp) -> Result<Found> {
    let request = request(tx, asked)?;
    let candidates = rows::candidates(tx, &request, rules, now)?;
    let verdict = placement::choose(&candidates, &request, rules);
    Ok(Found { candidates, verdict })
}

fn request(tx: &mut Tx, asked: &Asked) -> Result<Request> {
    let extra_specs = asked.flavor.extra_specs.clone();
    let affinity = match (asked.server, asked.group) {
        (Some(server), _) => server_groups::affinity(tx, server)?,
        (None, Some(group)) => server_groups::affinity_in(tx, &asked.project, group)?,
        (None, None) => None,
    };
    let physical_networks = match asked.server {
        Some(server) => network_hosts::needed_by(tx, server)?,
        None => Default::default(),
    };
    Ok(Request {
        demand: Demand::of(&asked.flavor),
        wish: asked.wish.clone(),
        but: asked.but,
        project: Some(asked.project.clone()),
        image_properties: asked.image_properties.clone(),
        neighbours: neighbours(tx, &asked.project, &asked.hints)?,
        affinity,
        physical_networks,
        aggregate_names: if extra_specs.is_empty() { Default::default() } else { rows::aggregate_names(tx)? },
        extra_specs,
    })
}

/// Where the servers are that the hints name: what counts is what they have claimed. Servers of others say nothing.
fn neighbours(tx: &mut Tx, project: &ProjectId, hints: &serde_json::Value) -> Result<Neighbours> {
    let mut places = |name: &str| {
        let Some(named) = Neighbours::named(hints, name) else { return Ok(None) };
        claims::claimed_by_own(tx, project, &named).map(Some)
    };
    Ok(Neighbours { same: places("same_host")?, different: places("different_host")?.unwrap_or_default() })
}
