//! Actions `shelve`, `shelveOffload`, `unshelve`; [`shelve_server`](crate::tasks::shelve_server) and
//! [`unshelve_server`](crate::tasks::unshelve_server) do the work.

use super::allowance::allowance;
use super::common::{Ignored, Name};
use super::server_actions::{PATH, without_value};
use super::server_deed::Deed;
use super::server_images;
use super::versions;
use crate::api::{Call, Row};
use crate::cloud::placement::Wish;
use crate::cloud::quota::Usage;
use crate::cloud::server::{Action, State, Task};
use crate::error::{Error, Result};
use crate::http::json::{Invalid, Maybe, Parse, Path};
use crate::http::microversion::Microversion;
use crate::http::reply::Empty;
use crate::http::table::action;
use crate::ids::ImageId;
use crate::store::servers::{self, Change, Server};
use crate::store::{Tx, hosts, server_ports};
use crate::tasks::shelve_server::{Order, ShelveServer, Step};
use crate::tasks::unshelve_server::{self, UnshelveServer};
use crate::versioned;
use serde_json::{Value, json};

const TO_HOST: &str = "os_compute_api:os-shelve:unshelve_to_host";

/// The longest name that an image may have.
const LONGEST_NAME: usize = 255;

pub fn rows() -> Vec<Row> {
    vec![
        action(PATH, "shelve", shelve).rule("os_compute_api:os-shelve:shelve"),
        action(PATH, "shelveOffload", offload).rule("os_compute_api:os-shelve:shelve_offload"),
        action(PATH, "unshelve", unshelve).rule("os_compute_api:os-shelve:unshelve"),
    ]
}

without_value!(Shelve, "shelve");
without_value!(ShelveOffload, "shelveOffload");

/// Action `shelve`.
async fn shelve(call: Call<Shelve>) -> Result<Empty> {
    let deed = Deed::of(&call)?;
    let image = ImageId::random();
    let limits = call.cx.state.images.limits;
    let offloads = call.cx.state.waits.offload == Some(0);
    let wish = server_images::plain(&call, Action::Shelve)?;
    let write = move |tx: &mut Tx| {
        let server = deed.server(tx, Action::Shelve)?;
        if server.host_id.is_none() {
            return Err(Error::conflict(format!("Instance {} is not ready", deed.id)));
        }
        server_images::record(tx, image, &server, &wish.named(&image_name(&server)), limits, deed.asker.now)?;
        servers::update(tx, deed.id, Change::new().task(Some(Task::Shelving)), deed.asker.now)?;
        deed.asker.note(tx, &server, Action::Shelve.recorded_as())?;
        deed.asker.start::<ShelveServer>(tx, deed.id, &Step::Stop(Order { image, offloads }))
    };
    call.cx.state.db.write(write).await?;
    call.cx.state.runner.wake();
    Ok(Empty::accepted())
}

fn image_name(server: &Server) -> String {
    const ENDING: &str = "-shelved";
    let name: String = server.name.chars().take(LONGEST_NAME - ENDING.len()).collect();
    name + ENDING
}

/// Action `shelveOffload`.
async fn offload(call: Call<ShelveOffload>) -> Result<Empty> {
    let deed = Deed::of(&call)?;
    let write = move |tx: &mut Tx| {
        let server = deed.server(tx, Action::ShelveOffload)?;
        servers::update(tx, deed.id, Change::new().task(Some(Task::ShelvingOffloading)), deed.asker.now)?;
        deed.asker.note(tx, &server, Action::ShelveOffload.recorded_as())?;
        deed.asker.start::<ShelveServer>(tx, deed.id, &Step::Offload { was_asked_for: true })
    };
    call.cx.state.db.write(write).await?;
    call.cx.state.runner.wake();
    Ok(Empty::accepted())
}

versioned! {
    /// From when a zone can be chosen.
    request Zone strict { "availability_zone" required => zone: Name }
}
versioned! {
    /// From when a host can be chosen too, and a zone be left.
    request ZoneAndHost strict {
        "availability_zone" => zone: Maybe<Option<String>>,
        "host" => host: Maybe<String>,
    }
}

/// Where a server shall come back to.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// `Some(None)`: the zone that it was bound to binds it no more.
    zone: Option<Option<String>>,
    host: Option<String>,
}

impl Parse for Target {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        if version < versions::UNSHELVE_TO_ZONE {
            return Ignored::parse(value, path, version).map(|Ignored| Self::default());
        }
        if version < versions::UNSHELVE_TO_HOST {
            let chosen = Option::<Zone>::parse(value, path, version)?;
            return Ok(Self { zone: chosen.map(|chosen| Some(chosen.zone.0)), host: None });
        }
        let chosen = Option::<ZoneAndHost>::parse(value, path, version)?;
        let said = |text: &String| !text.is_empty();
        Ok(chosen.map_or_else(Self::default, |chosen| Self {
            zone: chosen.zone.given().map(|zone| zone.filter(said)),
            host: chosen.host.given().filter(said),
        }))
    }

    fn schema(version: Microversion) -> Value {
        if version < versions::UNSHELVE_TO_ZONE {
            json!({})
        } else if version < versions::UNSHELVE_TO_HOST {
            Option::<Zone>::schema(version)
        } else {
            Option::<ZoneAndHost>::schema(version)
        }
    }

    fn boundaries(into: &mut Vec<u16>) {
        into.extend([versions::UNSHELVE_TO_ZONE.0, versions::UNSHELVE_TO_HOST.0]);
    }
}

versioned! {
    request Unshelve strict { "unshelve" required => target: Target }
}

/// Action `unshelve`.
async fn unshelve(call: Call<Unshelve>) -> Result<Empty> {
    let deed = Deed::of(&call)?;
    let target = call.body.target.clone();
    let may_choose_host = call.cx.may(TO_HOST);
    let region = call.cx.state.limits_region();
    let write = move |tx: &mut Tx| {
        let server = deed.server(tx, Action::Unshelve)?;
        if server.state == State::Shelved {
            refuse_target(&server, &target)?;
            servers::update(tx, deed.id, Change::new().task(Some(Task::Unshelving)), deed.asker.now)?;
            deed.asker.note(tx, &server, Action::Unshelve.recorded_as())?;
            return deed.asker.start::<UnshelveServer>(tx, deed.id, &unshelve_server::Step::Wake);
        }
        // What is on no host holds no cores where identity's limits count what hosts carry.
        if region.is_some() {
            allowance(tx, region.as_deref(), &server, Usage::of(0, &server.flavor))?;
        }
        let wish = resolve(tx, &server, &target, may_choose_host)?;
        let change = Change::new().task(Some(Task::Unshelving)).pinned_zone(wish.zone.as_deref());
        servers::update(tx, deed.id, change, deed.asker.now)?;
        server_ports::touch_networks(tx, deed.id)?;
        deed.asker.note(tx, &server, Action::Unshelve.recorded_as())?;
        deed.asker.start::<UnshelveServer>(tx, deed.id, &unshelve_server::Step::Place { wish })
    };
    call.cx.state.db.write(write).await?;
    call.cx.state.runner.wake();
    Ok(Empty::accepted())
}

/// What is still on its host wakes there and nowhere else.
fn refuse_target(server: &Server, target: &Target) -> Result<()> {
    if target.zone.is_none() && target.host.is_none() {
        return Ok(());
    }
    Err(Error::conflict(format!(
        "Specifying an availability zone or a host when unshelving server \"{}\" with status \"{}\" is not supported. The server status must be SHELVED_OFFLOADED.",
        server.id,
        server.state.word()
    )))
}

/// Where placement shall look. The zone is the one that binds the server from now on.
fn resolve(tx: &mut Tx, server: &Server, target: &Target, may_choose_host: bool) -> Result<Wish> {
    if let Some(Some(zone)) = &target.zone
        && hosts::zones(tx)?.get(zone) != Some(&true)
    {
        return Err(Error::bad_request("The requested availability zone is not available"));
    }
    let zone = target.zone.clone().unwrap_or_else(|| server.availability_zone.clone());
    if let Some(name) = &target.host {
        if !may_choose_host {
            return Err(Error::Forbidden(TO_HOST.to_owned()));
        }
        let its_zone = hosts::zone_of(tx, name)?;
        let its_zone =
            its_zone.ok_or_else(|| Error::bad_request(format!("Compute host {name} could not be found.")))?;
        if let Some(zone) = &zone
            && its_zone != *zone
        {
            let text = format!("Host \"{name}\" is not in the availability zone \"{zone}\".");
            return Err(Error::conflict(text));
        }
    }
    Ok(Wish { zone, host: target.host.clone() })
}
