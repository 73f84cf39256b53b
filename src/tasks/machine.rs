//! A server as its host shall run it: networks there, files there, one [`MachineSpec`].
//!
//! Boot, start and reboot all come here. Everything follows from rows and is idempotent, so what a crash left half done is
//! made whole by doing it again.

use super::{Cx, Host, machine_disks, network_wish};
use crate::blobs::Stores;
use crate::cloud::blank_disks::BlankDisk;
use crate::cloud::boot::Base;
use crate::cloud::config_drive::{self, Told};
use crate::cloud::policy::Reach;
use crate::cloud::{blank_disks, boot, server};
use crate::disks::{BaseImage, ConfigDrive, Part, RootDisk};
use crate::error::{Error, Result};
use crate::fabric::tap_name;
use crate::hypervisor::{About, DiskBus, DiskDevice, DiskFormat, DiskSpec, InterfaceSpec, MachineSpec, Power};
use crate::ids::{HostId, NetworkId, ServerId};
use crate::store::ports::Port;
use crate::store::servers::{self, Server};
use crate::store::subnets::Subnet;
use crate::store::{Tx, blobs, networks, server_ports, subnets};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::PathBuf;
use std::time::Duration;

/// The server that a task is about.
///
/// # Errors
/// `Internal` for a task about something else.
pub fn server_id(cx: &Cx) -> Result<ServerId> {
    ServerId::parse(&cx.subject).ok_or_else(|| Error::internal("a task about a server names none", cx.subject.clone()))
}

/// The server as rows say it is now. Tasks are bound by nobody's reach.
pub async fn server(cx: &Cx) -> Result<Server> {
    let id = server_id(cx)?;
    cx.db.read(move |tx| servers::get(tx, &Reach::Cloud, id)).await
}

/// The host that the server is on.
pub fn on(server: &Server) -> Result<HostId> {
    server.host_id.ok_or_else(|| Error::bad_request(format!("Instance {} is on no host.", server.id)))
}

/// What its host says of the server now; unknown while it does not answer.
pub async fn power(cx: &Cx, server: &Server) -> Power {
    let Ok(host) = on(server).and_then(|host| cx.hosts.get(host)) else { return Power::Unknown };
    match host.hypervisor.find(server.id).await {
        Ok(found) => found.map_or(Power::Unknown, |machine| machine.power),
        Err(_) => Power::Unknown,
    }
}

/// Waits for what takes long, unless somebody wants the work stopped: who deletes a server, or resets it, does not wait
/// for a guest that ignores the power button. The host is done with it, or hears the newer order, which it prefers.
pub async fn unless_cancelled<T>(cx: &Cx, work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            outcome = &mut work => return outcome,
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
        }
        if cx.is_cancelled().await? {
            return Err(Error::conflict("cancelled"));
        }
    }
}

/// Brings the networks of a server to its host.
pub async fn connect(cx: &Cx, host: &Host, id: ServerId) -> Result<()> {
    for network in networks_of(cx, id).await? {
        network_wish::ensure(cx, host, network).await?;
    }
    Ok(())
}

/// The networks that a server's interfaces are in.
pub async fn networks_of(cx: &Cx, id: ServerId) -> Result<Vec<NetworkId>> {
    let ports = cx.db.read(move |tx| server_ports::of_server(tx, id)).await?;
    let mut networks: Vec<NetworkId> = ports.iter().map(|port| port.network_id).collect();
    networks.sort_unstable();
    networks.dedup();
    Ok(networks)
}

/// Nothing verifies signatures yet: what asks for that is not made.
///
/// # Errors
/// `BadRequest` in Nova's words for a server that trusts certain certificates alone.
pub fn refuse_signed(server: &Server) -> Result<()> {
    match server.trusted_certificates.as_deref() {
        None | Some([]) => Ok(()),
        Some([first, ..]) => Err(Error::bad_request(format!(
            "Image signature certificate validation failed for certificate: {first}. Signatures of images are not verified here."
        ))),
    }
}

/// The image that the server's own disk begins with.
pub fn base_of(server: &Server) -> Result<&Base> {
    server.base.as_deref().ok_or_else(|| Error::internal("a server has no image to boot from", server.id.to_string()))
}

/// An image's bytes as hosts keep them.
pub fn kept(base: &Base) -> Result<BaseImage> {
    let format = match base.format.as_str() {
        "raw" => DiskFormat::Raw,
        "qcow2" => DiskFormat::Qcow2,
        other => return Err(Error::internal("a server's image has a format that nothing boots", other.to_owned())),
    };
    Ok(BaseImage { sha512: base.sha512.clone(), size: base.size, format })
}

/// An image's bytes come to the host, unless they are there.
pub async fn fetch(cx: &Cx, stores: &Stores, host: &Host, base: &Base) -> Result<()> {
    let image = kept(base)?;
    if host.disks.has_base(&image).await? {
        return Ok(());
    }
    // The same bytes wherever they are: they may have left the store they were in when the server was asked for.
    let (sha512, blob) = (base.sha512.clone(), base.blob);
    let places = cx.db.read(move |tx| blobs::holding(tx, &sha512, blob)).await?;
    let places = places.iter().map(|place| (place.store.as_str(), place.blob));
    host.disks.fetch_base(&image, stores.get(places, None).await?).await
}

/// An interface with what its guest is told of it.
struct Nic {
    port: Port,
    mtu: u16,
    subnets: Vec<Subnet>,
}

/// What a machine has that stands in other rows than the server's, or is not read with every server.
struct Parts {
    nics: Vec<Nic>,
    root_tag: Option<String>,
}

fn parts(tx: &mut Tx, id: ServerId) -> Result<Parts> {
    Ok(Parts { nics: nics(tx, id)?, root_tag: servers::root_tag(tx, id)? })
}

fn nics(tx: &mut Tx, id: ServerId) -> Result<Vec<Nic>> {
    let mut known: HashMap<NetworkId, (u16, Vec<Subnet>)> = HashMap::new();
    let mut nics = Vec::new();
    for port in server_ports::of_server(tx, id)? {
        let (mtu, subnets) = match known.entry(port.network_id) {
            Entry::Occupied(found) => found.get().clone(),
            Entry::Vacant(place) => {
                let network = networks::of_id(tx, port.network_id)?;
                place.insert((network.mtu, subnets::of_network(tx, port.network_id)?)).clone()
            }
        };
        nics.push(Nic { port, mtu, subnets });
    }
    Ok(nics)
}

/// Puts the server's files on its host, networks included, and answers the whole machine.
pub async fn prepare(cx: &Cx, host: &Host, server: &Server) -> Result<MachineSpec> {
    prepare_telling(cx, host, server, None).await
}

/// As [`prepare`], with a password that the guest is told on its config drive until that is next written.
pub async fn prepare_telling(cx: &Cx, host: &Host, server: &Server, password: Option<&str>) -> Result<MachineSpec> {
    let id = server.id;
    let parts = cx.db.read(move |tx| parts(tx, id)).await?;
    let mut told = told(server, &parts);
    told.admin_pass = password.map(str::to_owned);
    let drive = write_drive(cx, host, &told).await?;
    spec(cx, host, server, &parts, drive).await
}

/// Makes ready on a host what a machine needs that comes from another: networks, disks of the same size, and what goes along
/// with it. Answers the machine as it shall run there.
pub async fn arrive(cx: &Cx, from: &Host, to: &Host, server: &Server, sees_same_files: bool) -> Result<MachineSpec> {
    let id = server.id;
    let parts = cx.db.read(move |tx| parts(tx, id)).await?;
    let mut luggage = from.disks.pack(id).await?;
    if sees_same_files {
        // The machine goes on writing there.
        luggage.console = None;
    }
    let drive = to.disks.unpack(id, cx.epoch, &luggage).await?;
    spec(cx, to, server, &parts, drive).await
}

/// The whole machine over the files it has on a host, which are made unless they are there.
async fn spec(cx: &Cx, host: &Host, server: &Server, parts: &Parts, drive: PathBuf) -> Result<MachineSpec> {
    let id = server.id;
    let mut interfaces = Vec::new();
    for nic in &parts.nics {
        let bridge = network_wish::ensure(cx, host, nic.port.network_id).await?;
        interfaces.push(InterfaceSpec {
            mac: nic.port.mac_address.clone(),
            tap: tap_name(nic.port.id),
            bridge,
            mtu: nic.mtu,
        });
    }
    let writable = |path| DiskSpec {
        path,
        format: DiskFormat::Qcow2,
        bus: DiskBus::Virtio,
        device: DiskDevice::Disk,
        read_only: false,
    };
    // Who is rescued boots from another disk and finds its own as the second.
    let mut disks: Vec<DiskSpec> = disks(cx, host, server).await?.into_iter().map(writable).collect();
    if server.aside.rescue.is_none() {
        disks.extend(machine_disks::blank(cx, host, server).await?);
    }
    disks.push(DiskSpec { format: DiskFormat::Raw, read_only: true, ..writable(drive) });
    Ok(MachineSpec {
        id,
        epoch: cx.epoch,
        name: server::machine_name(id),
        vcpus: server.flavor.vcpus,
        memory_mib: server.flavor.ram_mib,
        disks,
        interfaces,
        console_log: host.disks.console_log(id).await?,
        about: About {
            display_name: server.name.clone(),
            project_id: server.project_id.to_string(),
            user_id: server.user_id.to_string(),
            flavor_name: server.flavor.name.clone(),
        },
    })
}

/// Makes the server's disks unless they are there; in boot order.
async fn disks(cx: &Cx, host: &Host, server: &Server) -> Result<Vec<PathBuf>> {
    let wish = |part, base: &Base| {
        let virtual_size = boot::disk_bytes(&server.flavor, base);
        Ok::<_, Error>(RootDisk { server: server.id, epoch: cx.epoch, part, base: kept(base)?, virtual_size })
    };
    let mut paths = Vec::new();
    if let Some(rescue) = &server.aside.rescue {
        paths.push(host.disks.make_root(&wish(Part::Rescue, &rescue.base)?).await?);
    }
    let mut root = PathBuf::new();
    for layer in 0..=server.aside.layer {
        root = host.disks.make_root(&wish(Part::Root { layer }, base_of(server)?)?).await?;
    }
    paths.push(root);
    Ok(paths)
}

/// The newest layer of the server's disks goes, so that they are what they were before it was laid.
pub async fn remove_layer(cx: &Cx, host: &Host, server: &Server) -> Result<()> {
    let layer = server.aside.layer;
    for part in std::iter::once(Part::Root { layer }).chain(machine_disks::parts_of_layer(server, layer)) {
        host.disks.remove_part(server.id, cx.epoch, part).await?;
    }
    Ok(())
}

/// The disk that the server writes on, when it is not rescued.
pub fn own_disk(server: &Server) -> Part {
    Part::Root { layer: server.aside.layer }
}

async fn write_drive(cx: &Cx, host: &Host, told: &Told) -> Result<PathBuf> {
    let files = config_drive::files(told);
    host.disks.write_config_drive(&ConfigDrive { server: told.id, epoch: cx.epoch, files }).await
}

/// Writes the config drive anew, as rows say it is now; the guest reads it when it next starts.
pub async fn refresh_drive(cx: &Cx, host: &Host, server: &Server) -> Result<()> {
    let id = server.id;
    let parts = cx.db.read(move |tx| parts(tx, id)).await?;
    write_drive(cx, host, &told(server, &parts)).await.map(drop)
}

fn told(server: &Server, parts: &Parts) -> Told {
    let zone = server.host_zone.clone().or_else(|| server.availability_zone.clone());
    let key = server.key_name.clone().zip(server.public_key.clone());
    Told {
        id: server.id,
        project_id: server.project_id.clone(),
        name: server.name.clone(),
        hostname: server.hostname.clone(),
        availability_zone: zone.unwrap_or_else(|| "nova".to_owned()),
        reservation_id: server.reservation_id.clone(),
        launch_index: server.launch_index,
        flavor_name: server.flavor.name.clone(),
        image_id: server.image_id.map(|id| id.to_string()).unwrap_or_default(),
        metadata: server.metadata.clone(),
        key,
        user_data: server.user_data.clone(),
        admin_pass: None,
        personality: server.personality.clone(),
        interfaces: parts.nics.iter().map(told_of).collect(),
        disks: told_disks(parts.root_tag.clone(), &server.blank_disks),
    }
}

/// Its own disk, then the others.
fn told_disks(root_tag: Option<String>, disks: &[BlankDisk]) -> Vec<config_drive::Disk> {
    let own = config_drive::Disk { label: "root".to_owned(), device: "/dev/vda".to_owned(), tag: root_tag };
    let named = blank_disks::labels(disks).into_iter().zip(blank_disks::device_names(disks)).zip(disks);
    let others = named.map(|((label, device), disk)| config_drive::Disk { label, device, tag: disk.tag.clone() });
    std::iter::once(own).chain(others).collect()
}

fn told_of(nic: &Nic) -> config_drive::Interface {
    let address = |fixed: &crate::store::ports::FixedIp| {
        let subnet = nic.subnets.iter().find(|subnet| subnet.id == fixed.subnet_id)?;
        Some(config_drive::Address {
            ip: fixed.ip_address,
            range: subnet.cidr,
            gateway: subnet.gateway,
            by_dhcp: subnet.enable_dhcp,
            dns_servers: subnet.dns_servers.clone(),
            routes: subnet.host_routes.iter().map(|route| (route.destination, route.next_hop)).collect(),
        })
    };
    config_drive::Interface {
        port: nic.port.id,
        network: nic.port.network_id,
        tap: tap_name(nic.port.id),
        mac: nic.port.mac_address.clone(),
        mtu: nic.mtu,
        addresses: nic.port.fixed_ips.iter().filter_map(address).collect(),
    }
}
