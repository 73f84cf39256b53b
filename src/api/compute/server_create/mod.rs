//! `POST /servers`: records the wish; [`boot_server`](crate::tasks::boot_server) fulfils it.
//!
//! Everything that can be told at once is told at once, in the transaction that makes the rows: flavor, image, key pair,
//! networks and quota are looked at together with what they allow, so that racing requests can't exceed a limit between
//! looking and making.

pub(super) mod hints;
mod networks;

use super::block_devices::{self, Devices};
use super::common::{Link, Metadata, links};
use super::server_checks::{check_hostname, check_personality};
use super::server_request::{NetworkChoice, NewServer, ServerCreate};
use super::versions;
use crate::api::{Call, Context, Row};
use crate::cloud::blank_disks;
use crate::cloud::boot::{self, kept_properties};
use crate::cloud::flavor::Flavor;
use crate::cloud::placement::Wish;
use crate::cloud::policy::Reach;
use crate::cloud::quota::{self, Usage};
use crate::cloud::server::{State, Task, hostname};
use crate::error::{Error, Result};
use crate::http::reply::{IntoReply, RawReply, Reply};
use crate::http::table::post;
use crate::ids::{FlavorId, ProjectId, ServerGroupId, ServerId, UserId};
use crate::store::flavors::{self, Visible};
use crate::store::instance_actions::{self, Asked};
use crate::store::quotas::{self, Wanted};
use crate::store::servers::{self, Server};
use crate::store::tasks::NewTask;
use crate::store::{Tx, boot_images, hosts, keypairs, server_groups};
use crate::tasks::boot_server::{self, BootServer};
use crate::tasks::password::Password;
use crate::versioned;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::json;
use std::sync::Arc;

pub fn rows() -> Vec<Row> {
    vec![post("/servers", create).rule("os_compute_api:servers:create")]
}

versioned! {
    response GroupName { "name" => name: String }
}
versioned! {
    response Created {
        "id" => id: ServerId,
        "links" => links: Vec<Link>,
        "OS-DCF:diskConfig" => disk_config: String,
        "security_groups" => security_groups: Vec<GroupName>,
    }
}
versioned! {
    response ServerCreated { "server" => server: Created }
}

/// What the request comes to, once its own contradictions are looked for.
#[derive(Clone)]
struct Order {
    /// Who asks, for the rules of the network that it joins.
    cx: Context,
    project: ProjectId,
    user: UserId,
    is_admin: bool,
    may_have_no_disk: bool,
    request_id: String,
    new: NewServer,
    flavor: FlavorId,
    devices: Devices,
    networks: NetworkChoice,
    place: Wish,
    pinned_zone: Option<String>,
    hints: serde_json::Value,
    group: Option<ServerGroupId>,
    description_is_name: bool,
    min: i64,
    max: i64,
    /// The region whose limits of identity hold in place of quotas.
    limits_region: Option<String>,
}

/// `POST /servers`.
async fn create(call: Call<ServerCreate>) -> Result<RawReply> {
    let version = call.version();
    let order = order(&call)?;
    let now = call.cx.state.clock.now();
    let returns_reservation = order.new.return_reservation_id.as_ref().is_some_and(|truth| truth.0);
    let made = call.cx.state.db.write(move |tx| make(tx, &order, now)).await?;
    call.cx.state.runner.wake();
    let first = made.first().ok_or_else(|| Error::internal("no server was made", "min_count is at least 1"))?;
    if returns_reservation {
        return Ok(RawReply::json(StatusCode::ACCEPTED, &json!({"reservation_id": first.reservation_id})));
    }
    let links = links(&call, "servers", first.id);
    let location = links[0].href.clone();
    let groups = call.body.server.security_groups.as_ref().map(Vec::as_slice).unwrap_or_default();
    let mut security_groups: Vec<GroupName> =
        groups.iter().map(|group| GroupName { name: group.name.0.clone() }).collect();
    if security_groups.is_empty() {
        security_groups.push(GroupName { name: "default".to_owned() });
    }
    let created = Created { id: first.id, links, disk_config: first.disk_config.clone(), security_groups };
    Ok(Reply::accepted(ServerCreated { server: created }).header("location", &location).into_reply(version))
}

/// Reads the request on its own: what it says twice, what it must not say, what nothing carries out.
fn order(call: &Call<ServerCreate>) -> Result<Order> {
    let cx = &call.cx;
    let new = call.body.server.clone();
    let min = new.min_count.as_ref().map_or(1, |count| count.0);
    let max = new.max_count.as_ref().map_or(min, |count| count.0);
    if min > max {
        return Err(Error::bad_request("min_count must be <= max_count"));
    }
    refuse_groups(&new)?;
    if new.trusted_image_certificates.as_ref().is_some() {
        cx.allow("os_compute_api:servers:create:trusted_certs")?;
    }
    let devices = block_devices::read(&new)?;
    if devices.are_said {
        cx.allow("os_compute_api:servers:create:attach_volume")?;
    }
    let (zone, host) = zone_and_host(call, &new)?;
    let networks = new.networks.as_ref().cloned().unwrap_or(NetworkChoice::Unsaid);
    if !matches!(networks, NetworkChoice::Unsaid | NetworkChoice::None) {
        cx.allow("os_compute_api:servers:create:attach_network")?;
    }
    networks::check(&networks, max)?;
    let hostnames = new.hostname.as_ref();
    if let Some(hostname) = hostnames {
        check_hostname(&hostname.0, version_allows_dots(call))?;
        if max > 1 {
            return Err(Error::bad_request("Unable to allocate a single hostname to multiple instances".to_owned()));
        }
    }
    let hints = call.body.hints.as_ref().or(call.body.older_hints.as_ref()).cloned().unwrap_or_default();
    hints::check(&hints)?;
    let group = hints::group_of(&hints)?;
    Ok(Order {
        cx: cx.clone(),
        project: cx.project_id()?.clone(),
        user: cx.user_id()?.clone(),
        is_admin: cx.may("context_is_admin"),
        may_have_no_disk: cx.may("os_compute_api:servers:create:zero_disk_flavor"),
        request_id: call.head.request_id.clone(),
        flavor: FlavorId(new.flavor_ref.0.clone()),
        devices,
        networks,
        place: Wish { zone: zone.clone(), host },
        pinned_zone: zone,
        hints: serde_json::Value::Object(hints),
        group,
        description_is_name: call.version() < versions::DESCRIPTION_IS_ITS_OWN,
        new,
        min,
        max,
        limits_region: cx.state.limits_region(),
    })
}

/// There are no security groups yet, and the one called default is only how clients say "none in particular".
fn refuse_groups(new: &NewServer) -> Result<()> {
    let groups = new.security_groups.as_ref().map(Vec::as_slice).unwrap_or_default();
    if let Some(group) = groups.iter().find(|group| group.name.0 != "default") {
        return Err(Error::bad_request(format!("Security group {} not found.", group.name.0)));
    }
    Ok(())
}

/// `zone`, or an operator's `zone:host` or `zone:host:node`, or the fields that took its place.
fn zone_and_host(call: &Call<ServerCreate>, new: &NewServer) -> Result<(Option<String>, Option<String>)> {
    let text = new.availability_zone.as_ref().map(|name| name.0.as_str()).unwrap_or_default();
    let mut parts = text.split(':');
    let zone = parts.next().filter(|zone| !zone.is_empty()).map(str::to_owned);
    let forced: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    if text.matches(':').count() > 2 {
        return Err(Error::bad_request("Unable to parse availability_zone"));
    }
    if !forced.is_empty() {
        call.cx.allow("os_compute_api:servers:create:forced_host")?;
    }
    let asked: Vec<&str> = [&new.host, &new.hypervisor_hostname]
        .into_iter()
        .filter_map(|name| name.as_ref())
        .map(|name| name.0.as_str())
        .collect();
    if !asked.is_empty() {
        call.cx.allow("compute:servers:create:requested_destination")?;
        if !forced.is_empty() {
            return Err(Error::bad_request(
                "One mechanism with host and/or hypervisor_hostname and another mechanism with zone:host:node are mutually exclusive.",
            ));
        }
    }
    let mut hosts = forced.into_iter().chain(asked);
    let host = hosts.next();
    // A host has one node, of the same name.
    if hosts.any(|other| Some(other) != host) {
        return Err(Error::bad_request("Compute host and node must be the same."));
    }
    Ok((zone, host.map(str::to_owned)))
}

/// Looks at everything the order names and makes the servers, their interfaces and the tasks that boot them.
fn make(tx: &mut Tx, order: &Order, now: crate::clock::Timestamp) -> Result<Vec<Server>> {
    let sight = if order.is_admin { Visible::All } else { Visible::To(Some(&order.project)) };
    let flavor = flavors::get(tx, sight, &order.flavor)
        .ok()
        .filter(|flavor| !flavor.disabled)
        .ok_or_else(|| Error::bad_request(format!("Flavor {} could not be found.", order.flavor)))?;
    let looker = (!order.is_admin).then_some(&order.project);
    let image = boot_images::get(tx, looker, order.devices.image, now).map_err(|error| {
        if error.is_not_found() { Error::bad_request("Can not find requested image") } else { error }
    })?;
    let base = boot::base(&flavor, &image, order.may_have_no_disk)?;
    boot::check_disk_size(&flavor, order.devices.root_gib)?;
    let blank = blank_disks::plan(&flavor, &order.devices.blank, &order.cx.state.local_disks)?;
    check_place(tx, order)?;
    let limits = quotas::limits_in(tx, order.limits_region.as_deref(), &order.project)?;
    let metadata = order.new.metadata.as_ref().cloned().unwrap_or_default();
    quota::check_metadata(&limits, metadata.0.len())?;
    check_personality(&limits, order.new.personality.as_ref().map(Vec::as_slice).unwrap_or_default())?;
    let key = match order.new.key_name.as_ref() {
        None => None,
        Some(name) => {
            let own = Reach::User(order.user.clone());
            let found = keypairs::get(tx, &own, &order.user, &name.0);
            Some(found.map_err(|_| Error::bad_request("Invalid key_name provided."))?)
        }
    };
    let each =
        Usage { instances: 1, cores: flavor.vcpus.into(), ram: i64::try_from(flavor.ram_mib).unwrap_or(i64::MAX) };
    let count = quotas::room(
        tx,
        &Wanted {
            region: order.limits_region.as_deref(),
            project: &order.project,
            user: &order.user,
            each,
            min: order.min,
            max: order.max,
        },
    )?;
    hints::check_group(tx, order, &limits, count)?;
    let choice = networks::resolve(tx, order)?;
    let reservation_id = format!("r-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
    let mut made = Vec::new();
    for index in 0..count {
        let mut server = row(order, &flavor, &metadata, &reservation_id, index, count, now);
        server.base = Some(Arc::new(base.clone()));
        server.blank_disks = blank.clone();
        server.image_properties = kept_properties(&image.properties);
        server.key_name = key.as_ref().map(|key| key.name.clone());
        server.public_key = key.as_ref().map(|key| key.public_key.clone());
        servers::insert(tx, &server)?;
        if let Some(tag) = &order.devices.root_tag {
            servers::set_root_tag(tx, server.id, tag)?;
        }
        if let Some(group) = order.group {
            server_groups::join(tx, group, server.id)?;
        }
        for tag in order.new.tags.as_ref().map(Vec::as_slice).unwrap_or_default() {
            servers::add_tag(tx, server.id, &tag.0)?;
        }
        networks::connect(tx, order, &choice, server.id, now)?;
        let asked = Asked { request_id: &order.request_id, project_id: &order.project, user_id: &order.user, now };
        instance_actions::insert(tx, server.id, "create", &asked)?;
        let subject = server.id.to_string();
        let task = NewTask { subject: &subject, request_id: Some(&order.request_id), now };
        let password = order.new.admin_pass.as_ref().map(String::as_str);
        let password = Password::seal(&order.cx.state.identity.vault, server.id, password, now)?;
        let first = boot_server::Step::Place { wish: order.place.clone(), password };
        crate::tasks::insert::<BootServer>(tx, &task, &first)?;
        made.push(server);
    }
    Ok(made)
}

fn row(
    order: &Order,
    flavor: &Flavor,
    metadata: &Metadata,
    reservation_id: &str,
    index: i64,
    count: i64,
    now: crate::clock::Timestamp,
) -> Server {
    let new = &order.new;
    let id = ServerId::random();
    let name = if count > 1 { format!("{}-{}", new.name.0, index + 1) } else { new.name.0.clone() };
    let description = new.description.as_ref().map(|text| text.0.clone());
    let text = |value: &crate::http::json::Maybe<super::server_request::AddressText>| {
        value.as_ref().map(|address| address.0.clone()).unwrap_or_default()
    };
    Server {
        id,
        project_id: order.project.clone(),
        user_id: order.user.clone(),
        hostname: new.hostname.as_ref().map_or_else(|| hostname(&name, id), |chosen| chosen.0.clone()),
        description: if order.description_is_name { Some(new.name.0.clone()) } else { description },
        name,
        state: State::Building,
        task: Some(Task::Scheduling),
        power: "unknown".to_owned(),
        host_id: None,
        host: None,
        host_zone: None,
        flavor: Arc::new(flavor.clone()),
        image_id: Some(order.devices.image),
        image_properties: servers::Texts::new(),
        base: None,
        key_name: None,
        public_key: None,
        metadata: metadata.0.clone(),
        user_data: new.user_data.as_ref().map(|data| STANDARD.encode(&data.0)),
        personality: new
            .personality
            .as_ref()
            .map(|files| files.iter().map(|file| (file.path.0.clone(), file.contents.0.clone())).collect())
            .unwrap_or_default(),
        // Every server gets one, asked for or not: nothing else tells a guest its name and its key.
        config_drive: true,
        availability_zone: order.pinned_zone.clone(),
        reservation_id: reservation_id.to_owned(),
        launch_index: index,
        scheduler_hints: order.hints.clone(),
        access_ip_v4: text(&new.access_ip_v4),
        access_ip_v6: text(&new.access_ip_v6),
        disk_config: new.disk_config.as_ref().map_or_else(|| "MANUAL".to_owned(), |word| word.0.clone()),
        locked_by: None,
        locked_reason: None,
        progress: 0,
        fault: None,
        launched_at: None,
        terminated_at: None,
        created_at: now,
        updated_at: now,
        deleted_at: None,
        trusted_certificates: new.trusted_image_certificates.as_ref().and_then(Clone::clone).map(|list| list.0),
        aside: servers::Aside::default(),
        blank_disks: Vec::new(),
    }
}

/// A zone or host that is asked for must be one.
fn check_place(tx: &mut Tx, order: &Order) -> Result<()> {
    if let Some(zone) = &order.place.zone
        && !hosts::zones(tx)?.contains_key(zone)
    {
        return Err(Error::bad_request("The requested availability zone is not available"));
    }
    if let Some(name) = &order.place.host
        && hosts::zone_of(tx, name)?.is_none()
    {
        return Err(Error::bad_request(format!("Compute host {name} could not be found.")));
    }
    Ok(())
}

fn version_allows_dots(call: &Call<ServerCreate>) -> bool {
    call.version() >= versions::HOSTNAMES_ARE_QUALIFIED
}
