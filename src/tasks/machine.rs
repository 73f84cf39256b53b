//! A server as its host shall run it: networks there, files there, one [`MachineSpec`].
//!
//! Boot, start and reboot all come here. Everything follows from rows and is idempotent, so what a crash left half done is
//! made whole by doing it again.

use super::{Cx, Host, network_wish};
use crate::cloud::config_drive::{self, Told};
use crate::cloud::policy::Reach;
use crate::cloud::{boot, server};
use crate::disks::{BaseImage, ConfigDrive, RootDisk};
use crate::error::{Error, Result};
use crate::fabric::tap_name;
use crate::hypervisor::{About, DiskBus, DiskDevice, DiskFormat, DiskSpec, InterfaceSpec, MachineSpec};
use crate::ids::{NetworkId, ServerId};
use crate::store::ports::Port;
use crate::store::servers::{self, Server};
use crate::store::subnets::Subnet;
use crate::store::{Tx, networks, server_ports, subnets};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

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

/// The image's bytes as hosts keep them, and how large the guest sees its disk.
pub fn base_of(server: &Server) -> Result<(BaseImage, crate::ids::BlobId, u64)> {
    let base = server
        .base
        .as_ref()
        .ok_or_else(|| Error::internal("a server has no image to boot from", server.id.to_string()))?;
    let format = match base.format.as_str() {
        "raw" => DiskFormat::Raw,
        "qcow2" => DiskFormat::Qcow2,
        other => return Err(Error::internal("a server's image has a format that nothing boots", other.to_owned())),
    };
    let image = BaseImage { sha512: base.sha512.clone(), size: base.size, format };
    Ok((image, base.blob, boot::disk_bytes(&server.flavor, base)))
}

/// An interface with what its guest is told of it.
struct Nic {
    port: Port,
    mtu: u16,
    subnets: Vec<Subnet>,
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
    let id = server.id;
    let nics = cx.db.read(move |tx| nics(tx, id)).await?;
    let mut interfaces = Vec::new();
    for nic in &nics {
        let bridge = network_wish::ensure(cx, host, nic.port.network_id).await?;
        interfaces.push(InterfaceSpec {
            mac: nic.port.mac_address.clone(),
            tap: tap_name(nic.port.id),
            bridge,
            mtu: nic.mtu,
        });
    }
    let (base, _, virtual_size) = base_of(server)?;
    let root = host.disks.make_root(&RootDisk { server: id, epoch: cx.epoch, base, virtual_size }).await?;
    let files = config_drive::files(&told(server, &nics));
    let drive = host.disks.write_config_drive(&ConfigDrive { server: id, epoch: cx.epoch, files }).await?;
    let disk =
        |path, format, read_only| DiskSpec { path, format, bus: DiskBus::Virtio, device: DiskDevice::Disk, read_only };
    Ok(MachineSpec {
        id,
        epoch: cx.epoch,
        name: server::machine_name(id),
        vcpus: server.flavor.vcpus,
        memory_mib: server.flavor.ram_mib,
        disks: vec![disk(root, DiskFormat::Qcow2, false), disk(drive, DiskFormat::Raw, true)],
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

fn told(server: &Server, nics: &[Nic]) -> Told {
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
        personality: server.personality.clone(),
        interfaces: nics.iter().map(told_of).collect(),
    }
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
