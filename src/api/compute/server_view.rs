//! A server as its clients see it, at every version.
//!
//! One declaration holds every field Nova ever showed, with its lifetime. What a policy hides, or what `PUT` did not show
//! in older versions, is an `Option` left out.

use super::common::{Link, bookmark, links};
use super::versions;
use crate::api::Call;
use crate::cloud::server::{State, Task, machine_name, power_code, shows_fault, shows_progress, status};
use crate::error::Result;
use crate::http::json::View;
use crate::http::microversion::Microversion;
use crate::ids::{HostId, ImageId, ProjectId, ServerGroupId, ServerId, UserId};
use crate::store::Tx;
use crate::store::hosts::{self, Health};
use crate::store::ports::Port;
use crate::store::servers::{self, Server, Texts};
use crate::store::{server_groups, server_ports};
use crate::versioned;
use serde::Serializer;
use serde_json::{Value, json};
use sha2::{Digest, Sha224};
use std::collections::{BTreeMap, HashMap};

versioned! {
    response AddressView {
        "version" => version: u16,
        "addr" => addr: String,
        "OS-EXT-IPS:type" optional => kind: Option<&'static str>,
        "OS-EXT-IPS-MAC:mac_addr" optional => mac: Option<String>,
    }
}
versioned! {
    response FlavorLink { "id" => id: String, "links" => links: Vec<Link> }
}
versioned! {
    response FlavorInServer {
        "vcpus" => vcpus: u32,
        "ram" => ram: u64,
        "disk" => disk: u64,
        "ephemeral" => ephemeral: u64,
        "swap" => swap: u64,
        "original_name" => original_name: String,
        "extra_specs" optional => extra_specs: Option<Texts>,
    }
}
versioned! {
    response ImageLink {
        "id" => id: ImageId,
        "links" => links: Vec<Link>,
        "properties" since(98) => properties: Texts,
    }
}

/// The image a server was made from; empty text for none.
#[derive(Debug, Clone)]
pub struct ImageOrNone(Option<ImageLink>);

impl View for ImageOrNone {
    fn view<S: Serializer>(&self, version: Microversion, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(image) => image.view(version, serializer),
            None => serializer.serialize_str(""),
        }
    }

    fn schema(version: Microversion) -> Value {
        json!({"oneOf": [{"type": "string", "maxLength": 0}, ImageLink::schema(version)]})
    }

    fn boundaries(into: &mut Vec<u16>) {
        ImageLink::boundaries(into);
    }
}

versioned! {
    response FaultView {
        "code" => code: u16,
        "created" => created: String,
        "message" => message: String,
        "details" optional => details: Option<String>,
    }
}

versioned! {
    /// A server, whole.
    response ServerView {
        "id" => id: ServerId,
        "name" => name: String,
        "status" => status: &'static str,
        "tenant_id" => tenant_id: ProjectId,
        "user_id" => user_id: UserId,
        "metadata" => metadata: Texts,
        "hostId" => host_hash: String,
        "image" => image: ImageOrNone,
        "flavor" until(47) => flavor_link: FlavorLink,
        "flavor" since(47) => flavor: FlavorInServer,
        "created" => created: String,
        "updated" => updated: String,
        "addresses" => addresses: BTreeMap<String, Vec<AddressView>>,
        "accessIPv4" => access_ip_v4: String,
        "accessIPv6" => access_ip_v6: String,
        "links" => links: Vec<Link>,
        "OS-DCF:diskConfig" => disk_config: String,
        "progress" optional => progress: Option<i64>,
        "fault" optional => fault: Option<FaultView>,
        "OS-EXT-AZ:availability_zone" optional => availability_zone: Option<String>,
        "config_drive" optional => config_drive: Option<&'static str>,
        "key_name" optional => key_name: Option<Option<String>>,
        "OS-SRV-USG:launched_at" optional => launched_at: Option<Option<String>>,
        "OS-SRV-USG:terminated_at" optional => terminated_at: Option<Option<String>>,
        "OS-EXT-SRV-ATTR:host" optional => host: Option<Option<String>>,
        "OS-EXT-SRV-ATTR:instance_name" optional => instance_name: Option<String>,
        "OS-EXT-SRV-ATTR:hypervisor_hostname" optional => hypervisor_hostname: Option<Option<String>>,
        "OS-EXT-SRV-ATTR:reservation_id" since(3) optional => reservation_id: Option<String>,
        "OS-EXT-SRV-ATTR:launch_index" since(3) optional => launch_index: Option<i64>,
        "OS-EXT-SRV-ATTR:hostname" since(3) until(90) optional => hostname_for_some: Option<String>,
        /// Everybody's to see from then on.
        "OS-EXT-SRV-ATTR:hostname" since(90) => hostname: String,
        "OS-EXT-SRV-ATTR:kernel_id" since(3) optional => kernel_id: Option<&'static str>,
        "OS-EXT-SRV-ATTR:ramdisk_id" since(3) optional => ramdisk_id: Option<&'static str>,
        "OS-EXT-SRV-ATTR:root_device_name" since(3) optional => root_device_name: Option<Option<&'static str>>,
        "OS-EXT-SRV-ATTR:user_data" since(3) optional => user_data: Option<Option<String>>,
        "OS-EXT-STS:task_state" optional => task_state: Option<Option<&'static str>>,
        "OS-EXT-STS:vm_state" optional => vm_state: Option<&'static str>,
        "OS-EXT-STS:power_state" optional => power_state: Option<i64>,
        "os-extended-volumes:volumes_attached" optional => volumes_attached: Option<Vec<Value>>,
        "locked" since(9) => locked: bool,
        "host_status" since(16) optional => host_status: Option<&'static str>,
        "description" since(19) => description: Option<String>,
        "tags" since(26) => tags: Vec<String>,
        "trusted_image_certificates" since(63) => trusted_image_certificates: Option<Vec<String>>,
        "server_groups" since(71) optional => server_groups: Option<Vec<String>>,
        "locked_reason" since(73) => locked_reason: Option<String>,
        "pinned_availability_zone" since(96) => pinned_availability_zone: Option<String>,
        "scheduler_hints" since(100) => scheduler_hints: Value,
    }
}
versioned! {
    response ServerShown { "server" => server: ServerView }
}

/// A server with everything that is shown of it and kept in other tables.
#[derive(Debug, Clone)]
pub struct Whole {
    pub server: Server,
    /// Its interfaces, in order.
    pub ports: Vec<Port>,
    pub tags: Vec<String>,
    /// The group it is in; looked for where it is shown, which lists don't.
    pub group: Option<ServerGroupId>,
}

impl Whole {
    /// A server without what other tables keep of it.
    pub fn alone(server: Server) -> Self {
        Self { server, ports: Vec::new(), tags: Vec::new(), group: None }
    }
}

/// Brings the parts of each server together.
pub fn whole(tx: &mut Tx, servers: Vec<Server>) -> Result<Vec<Whole>> {
    let ids: Vec<ServerId> = servers.iter().map(|server| server.id).collect();
    let mut by_server: HashMap<ServerId, Vec<Port>> = HashMap::new();
    for port in server_ports::of_servers(tx, &ids)? {
        if let Some(server) = port.server_id {
            by_server.entry(server).or_default().push(port);
        }
    }
    let mut tags = servers::tags_of(tx, &ids)?;
    let whole = |server: Server| Whole {
        ports: by_server.remove(&server.id).unwrap_or_default(),
        tags: tags.remove(&server.id).unwrap_or_default(),
        group: None,
        server,
    };
    Ok(servers.into_iter().map(whole).collect())
}

/// One server with its parts.
pub fn whole_one(tx: &mut Tx, server: Server) -> Result<Whole> {
    let tags = servers::tags(tx, server.id)?;
    let group = server_groups::of_server(tx, server.id)?;
    Ok(Whole { ports: server_ports::of_server(tx, server.id)?, tags, group, server })
}

/// What of a server this caller may see, asked once for a list.
pub struct Sight {
    is_admin: bool,
    attributes: bool,
    extra_specs: bool,
    host_status: bool,
    host_status_unknown: bool,
    hosts: HashMap<HostId, Health>,
}

impl Sight {
    pub async fn of<B>(call: &Call<B>) -> Result<Self> {
        let may = |rule: &str| call.cx.may(rule);
        let sees_hosts = may("os_compute_api:servers:show:host_status")
            || may("os_compute_api:servers:show:host_status:unknown-only");
        let hosts = if sees_hosts { call.cx.state.db.read(hosts::health).await? } else { HashMap::new() };
        Ok(Self {
            is_admin: may("context_is_admin"),
            attributes: may("os_compute_api:os-extended-server-attributes"),
            extra_specs: may("os_compute_api:servers:show:flavor-extra-specs"),
            host_status: may("os_compute_api:servers:show:host_status"),
            host_status_unknown: may("os_compute_api:servers:show:host_status:unknown-only"),
            hosts,
        })
    }

    /// `UP`, `DOWN`, `MAINTENANCE`, or nothing for a server that is nowhere.
    fn status_of_host(&self, server: &Server, now: crate::clock::Timestamp) -> Option<&'static str> {
        let word = match server.host_id.and_then(|id| self.hosts.get(&id)) {
            None => "",
            Some(host) if !host.enabled => "MAINTENANCE",
            Some(host) if host.forced_down => "DOWN",
            Some(host) if host.is_up(now) => "UP",
            Some(_) => "UNKNOWN",
        };
        (self.host_status || (self.host_status_unknown && word == "UNKNOWN")).then_some(word)
    }
}

/// The server as `GET` shows it. `with_groups` is for all but the detailed list.
pub fn view<B>(call: &Call<B>, sight: &Sight, whole: Whole, with_groups: bool) -> ServerView {
    let Whole { server, ports, tags, group } = whole;
    let shown = status(server.state, server.task);
    let details = |fault: &servers::Fault| fault.details.clone().filter(|_| sight.is_admin || fault.code != 500);
    let fault = server.fault.as_ref().filter(|_| shows_fault(shown)).map(|fault| FaultView {
        code: fault.code,
        created: fault.created.to_seconds_z(),
        message: fault.message.clone(),
        details: details(fault),
    });
    let attribute = |value: String| sight.attributes.then_some(value);
    let has_launched = server.launched_at.is_some();
    ServerView {
        links: links(call, "servers", server.id),
        image: ImageOrNone(server.image_id.map(|id| ImageLink {
            id,
            links: vec![bookmark(call, "images", id)],
            properties: server.image_properties.clone(),
        })),
        flavor_link: FlavorLink {
            id: server.flavor.id.to_string(),
            links: vec![bookmark(call, "flavors", &server.flavor.id)],
        },
        flavor: FlavorInServer {
            vcpus: server.flavor.vcpus,
            ram: server.flavor.ram_mib,
            disk: server.flavor.disk_gib,
            ephemeral: server.flavor.ephemeral_gib,
            swap: server.flavor.swap_mib,
            original_name: server.flavor.name.clone(),
            extra_specs: sight.extra_specs.then(|| server.flavor.extra_specs.clone()),
        },
        host_hash: host_hash(&server),
        // Nova hides addresses while the server is being built.
        addresses: if server.state == State::Building { BTreeMap::new() } else { by_network(&ports, true) },
        progress: shows_progress(shown).then_some(server.progress),
        fault,
        availability_zone: Some(
            server.host_zone.clone().or_else(|| server.availability_zone.clone()).unwrap_or_default(),
        ),
        config_drive: Some(if server.config_drive { "True" } else { "" }),
        key_name: Some(server.key_name.clone()),
        launched_at: Some(server.launched_at.map(|at| at.to_micros_naive())),
        terminated_at: Some(server.terminated_at.map(|at| at.to_micros_naive())),
        host: sight.attributes.then(|| server.host.clone()),
        instance_name: attribute(machine_name(server.id)),
        hypervisor_hostname: sight.attributes.then(|| server.host.clone()),
        reservation_id: attribute(server.reservation_id.clone()),
        launch_index: sight.attributes.then_some(server.launch_index),
        hostname_for_some: attribute(server.hostname.clone()),
        hostname: server.hostname.clone(),
        kernel_id: sight.attributes.then_some(""),
        ramdisk_id: sight.attributes.then_some(""),
        root_device_name: sight.attributes.then_some(has_launched.then_some("/dev/vda")),
        user_data: sight.attributes.then(|| server.user_data.clone()),
        task_state: Some(server.task.map(Task::word)),
        vm_state: Some(server.state.word()),
        power_state: Some(power_code(&server.power)),
        volumes_attached: Some(Vec::new()),
        locked: server.locked_by.is_some(),
        host_status: sight.status_of_host(&server, call.cx.state.clock.now()),
        description: server.description.clone(),
        tags,
        trusted_image_certificates: server.trusted_certificates.clone(),
        server_groups: with_groups.then(|| group.iter().map(ToString::to_string).collect()),
        locked_reason: server.locked_reason.clone(),
        pinned_availability_zone: server.availability_zone.clone(),
        scheduler_hints: server.scheduler_hints.clone(),
        id: server.id,
        name: server.name,
        status: shown,
        tenant_id: server.project_id,
        user_id: server.user_id,
        metadata: server.metadata,
        created: server.created_at.to_seconds_z(),
        updated: server.updated_at.to_seconds_z(),
        access_ip_v4: server.access_ip_v4,
        access_ip_v6: server.access_ip_v6,
        disk_config: server.disk_config,
    }
}

impl ServerView {
    /// What `PUT` answers: until it showed all, only what it could change and little more.
    pub fn shown_by_update(mut self, version: Microversion) -> Self {
        if version >= versions::UPDATE_SHOWS_ALL {
            return self;
        }
        self.availability_zone = None;
        self.config_drive = None;
        self.key_name = None;
        self.launched_at = None;
        self.terminated_at = None;
        self.host = None;
        self.instance_name = None;
        self.hypervisor_hostname = None;
        self.reservation_id = None;
        self.launch_index = None;
        self.hostname_for_some = None;
        self.kernel_id = None;
        self.ramdisk_id = None;
        self.root_device_name = None;
        self.user_data = None;
        self.task_state = None;
        self.vm_state = None;
        self.power_state = None;
        self.volumes_attached = None;
        self.host_status = None;
        for address in self.addresses.values_mut().flatten() {
            address.kind = None;
            address.mac = None;
        }
        self
    }
}

/// Addresses by the network's name.
pub fn by_network(ports: &[Port], extended: bool) -> BTreeMap<String, Vec<AddressView>> {
    let mut networks: BTreeMap<String, Vec<AddressView>> = BTreeMap::new();
    for port in ports {
        let list = networks.entry(port.network_name.clone()).or_default();
        list.extend(port.fixed_ips.iter().map(|fixed| AddressView {
            version: if fixed.ip_address.is_ipv6() { 6 } else { 4 },
            addr: fixed.ip_address.to_string(),
            kind: extended.then_some("fixed"),
            mac: extended.then(|| port.mac_address.clone()),
        }));
    }
    networks
}

/// Tells a project whether two of its servers share a host, and nothing of which host it is.
fn host_hash(server: &Server) -> String {
    server.host.as_ref().map_or_else(String::new, |host| hash_of_host(&server.project_id, host))
}

pub fn hash_of_host(project: &ProjectId, host: &str) -> String {
    hex::encode(Sha224::digest(format!("{project}{host}")))
}
