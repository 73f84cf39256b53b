//! `GET /servers/{server_id}/placement` and `POST /os-placement-explanations`: what placement says of each host, and which
//! filter refuses it, for a server that there is and for one that nobody has asked for yet. Upstream has no such thing; it is
//! for operators alone, and nothing is claimed by asking.

use super::server_create::hints;
use super::servers::named;
use crate::api::{Call, Row};
use crate::clock::Timestamp;
use crate::cloud::boot::kept_properties;
use crate::cloud::placement::{But, Candidate, Condition, Demand, Left, Wish, filters};
use crate::error::{Error, Result};
use crate::http::json::{Map, Maybe, Text};
use crate::http::reply::Reply;
use crate::http::table::{get, post};
use crate::ids::{FlavorId, HostId, ImageId};
use crate::store::flavors::{self, Visible};
use crate::store::{Tx, boot_images, hosts};
use crate::tasks::placing::{self, Asked, Found};
use crate::versioned;
use std::collections::HashMap;

pub fn rows() -> Vec<Row> {
    vec![
        get("/servers/{server_id}/placement", of_server).rule("gapura:servers:placement").query(&["host"]),
        post("/os-placement-explanations", of_nobody).rule("gapura:placement:explain"),
    ]
}

versioned! {
    response Amounts { "vcpus" => vcpus: u64, "memory_mb" => memory_mb: u64, "disk_gb" => disk_gb: u64 }
}
versioned! {
    /// Hosts before and after a filter, in the order in which filters are asked.
    response Step { "filter" => filter: &'static str, "before" => before: u64, "after" => after: u64 }
}
versioned! {
    response Host {
        "id" => id: HostId,
        "name" => name: String,
        "zone" => zone: String,
        "state" => state: &'static str,
        "free" => free: Amounts,
        "servers" => servers: u64,
        /// The first filter that refused it, and what that means; null for a host that all let pass.
        "refused_by" => refused_by: Option<&'static str>,
        "reason" => reason: Option<&'static str>,
        /// The host of the highest is chosen; null for a host that was refused.
        "weight" => weight: Option<f64>,
    }
}
versioned! {
    response Explanation {
        /// Where it goes; null: nowhere, and then `message` is what its owner reads.
        "chosen" => chosen: Option<String>,
        "message" => message: Option<String>,
        "demand" => demand: Amounts,
        "filters" => steps: Vec<Step>,
        "hosts" => hosts: Vec<Host>,
    }
}
versioned! {
    response Explained { "placement" => placement: Explanation }
}

fn amounts(of: Demand) -> Amounts {
    Amounts { vcpus: of.vcpus, memory_mb: of.memory_mib, disk_gb: of.disk_gib }
}

fn explained(demand: Demand, found: &Found) -> Explained {
    let Found { candidates, verdict } = found;
    let refused: HashMap<HostId, &'static str> = verdict.refused.iter().copied().collect();
    let weights: HashMap<HostId, f64> = verdict.ranked.iter().copied().collect();
    let host = |host: &Candidate| Host {
        id: host.id,
        name: host.name.clone(),
        zone: host.zone.clone(),
        state: match host.condition {
            Condition::Up => "up",
            Condition::Down => "down",
            Condition::Disabled => "disabled",
        },
        free: amounts(host.free()),
        servers: host.servers,
        refused_by: refused.get(&host.id).copied(),
        reason: refused.get(&host.id).and_then(|name| filters::reason(name)),
        weight: weights.get(&host.id).copied(),
    };
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let step = |left: &Left| Step { filter: left.filter, before: count(left.before), after: count(left.after) };
    let chosen = verdict.chosen();
    let name = |id: &HostId| candidates.iter().find(|host| host.id == *id).map(|host| host.name.clone());
    Explained {
        placement: Explanation {
            chosen: chosen.as_ref().ok().and_then(name),
            message: chosen.err().map(|why| why.to_string()),
            demand: amounts(demand),
            steps: verdict.steps.iter().map(step).collect(),
            hosts: candidates.iter().map(host).collect(),
        },
    }
}

/// `GET /servers/{server_id}/placement`: where it would go now; of a server that is on a host, where else. `host` asks about
/// one in particular.
async fn of_server(call: Call) -> Result<Reply<Explained>> {
    let server = named(&call).await?;
    let wish = Wish { zone: server.availability_zone.clone(), host: call.query().get("host").map(str::to_owned) };
    let asked = Asked::by(&server, wish, server.host_id.map(But::Leaving));
    answer(&call.cx, move |_, _| Ok(asked.clone())).await
}

versioned! {
    request Wanted strict {
        "flavorRef" required => flavor: Text<1, 255>,
        /// What its properties ask of hosts.
        "imageRef"          => image: Maybe<Text<36, 36>>,
        "availability_zone" => zone: Maybe<Text<1, 255>>,
        "host"              => host: Maybe<Text<1, 255>>,
        /// Whose it would be; without it, the caller's.
        "project_id"        => project: Maybe<Text<1, 255>>,
        "scheduler_hints"   => hints: Maybe<Map>,
    }
}
versioned! {
    request Question strict { "placement" required => placement: Wanted }
}

/// `POST /os-placement-explanations`: where such a server would go, if somebody asked for it now.
async fn of_nobody(call: Call<Question>) -> Result<Reply<Explained>> {
    let wanted = call.body.placement.clone();
    let text = |text: &Maybe<Text<1, 255>>| text.as_ref().map(|text| text.0.clone());
    let asked_hints = wanted.hints.as_ref().cloned().unwrap_or_default();
    hints::check(&asked_hints)?;
    let group = hints::group_of(&asked_hints)?;
    let image = wanted.image.as_ref().map(|id| ImageId::parse(&id.0).ok_or_else(no_image)).transpose()?;
    let project = match text(&wanted.project) {
        Some(project) => project.into(),
        None => call.cx.project_id()?.clone(),
    };
    let wish = Wish { zone: text(&wanted.zone), host: text(&wanted.host) };
    let flavor = FlavorId(wanted.flavor.0);
    answer(&call.cx, move |tx, now| {
        if let Some(name) = &wish.host {
            hosts::named(tx, name)?;
        }
        let flavor = flavors::get(tx, Visible::All, &flavor).map_err(|error| Error::bad_request(error.to_string()))?;
        let image = image.map(|id| boot_images::get(tx, None, id, now).map_err(|_| no_image())).transpose()?;
        Ok(Asked {
            server: None,
            project: project.clone(),
            flavor: flavor.into(),
            image_properties: image.map(|image| kept_properties(&image.properties)).unwrap_or_default(),
            hints: asked_hints.clone().into(),
            group,
            wish: wish.clone(),
            but: None,
        })
    })
    .await
}

fn no_image() -> Error {
    Error::bad_request("Can not find requested image")
}

/// Decides without claiming anything.
async fn answer(
    cx: &crate::api::Context,
    asked: impl Fn(&mut Tx, Timestamp) -> Result<Asked> + Send + Sync + 'static,
) -> Result<Reply<Explained>> {
    let (now, rules) = (cx.state.clock.now(), cx.state.placement.clone());
    let decide = move |tx: &mut Tx| {
        let asked = asked(tx, now)?;
        Ok(explained(Demand::of(&asked.flavor), &placing::decide(tx, &rules, &asked, now)?))
    };
    Ok(Reply::ok(cx.state.db.read(decide).await?))
}
