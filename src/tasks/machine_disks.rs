//! The files of a machine's disks: those that began empty and how the machine has them, what lies over what, and whether two
//! hosts see the same.
//!
//! Rows say what there is and with which layer each began; [`crate::cloud::blank_disks`] has the rules. A file that is
//! there is left alone, so that a start makes only what is missing.

use super::{Cx, Host, machine};
use crate::cloud::blank_disks::{BlankDisk, Bus, Content, Device, labels};
use crate::disks::{self, Over, Part};
use crate::error::Result;
use crate::hypervisor::{DiskBus, DiskDevice, DiskFormat, DiskSpec};
use crate::ids::ServerId;
use crate::store::servers::Server;

/// Makes the server's ephemeral disks and its swap unless they are there; as its machine has them, in the guest's order.
pub async fn blank(cx: &Cx, host: &Host, server: &Server) -> Result<Vec<DiskSpec>> {
    let mut specs = Vec::new();
    for ((index, disk), label) in (0..).zip(&server.blank_disks).zip(labels(&server.blank_disks)) {
        let newest = newest_layer(server, disk);
        let mut path = std::path::PathBuf::new();
        for layer in disk.first_layer..=newest {
            let content = match &disk.content {
                Content::Swap => disks::Content::Swap,
                Content::Ephemeral(kind) if layer == disk.first_layer => {
                    disks::Content::FileSystem { kind: kind.clone(), label: label.clone() }
                }
                Content::Ephemeral(_) => {
                    let below = part(disk, index, layer - 1);
                    disks::Content::Over { below, format: format(disk, layer - 1) }
                }
            };
            let part = part(disk, index, layer);
            let wish = disks::BlankDisk { server: server.id, epoch: cx.epoch, part, size: disk.size, content };
            path = host.disks.make_blank(&wish).await?;
        }
        let (device, read_only) = match disk.device {
            Device::Disk => (DiskDevice::Disk, false),
            Device::Cdrom => (DiskDevice::Cdrom, true),
        };
        specs.push(DiskSpec { path, format: format(disk, newest), bus: bus(disk.bus), device, read_only });
    }
    forget_old_swap(cx, host, server).await?;
    Ok(specs)
}

/// Do two hosts have their machines' files in one place? The first has this server's: what is marked there is looked for on the
/// other, whatever is said of their storage.
pub async fn see_same_files(cx: &Cx, one: &Host, other: &Host, id: ServerId) -> Result<bool> {
    let mark = uuid::Uuid::new_v4().to_string();
    one.disks.mark(id, cx.epoch, &mark).await?;
    other.disks.has_mark(id, &mark).await
}

/// The bus of a machine for one of a server's.
const fn bus(bus: Bus) -> DiskBus {
    match bus {
        Bus::Virtio => DiskBus::Virtio,
        Bus::Scsi => DiskBus::Scsi,
        Bus::Sata => DiskBus::Sata,
        Bus::Ide => DiskBus::Ide,
        Bus::Usb => DiskBus::Usb,
    }
}

/// What a layer consists of besides the server's own disk.
pub fn parts_of_layer(server: &Server, layer: u32) -> impl Iterator<Item = Part> + '_ {
    let disks = (0..).zip(&server.blank_disks).filter(move |(_, disk)| disk.first_layer <= layer);
    disks.map(move |(index, disk)| part(disk, index, layer)).chain([Part::Swap { layer }])
}

/// Every file of the server's disks with what it lies over, those below first.
pub fn files(server: &Server) -> Result<Vec<(Part, Over)>> {
    let base = Over::Base(machine::kept(machine::base_of(server)?)?);
    let root = |layer: u32| match layer.checked_sub(1) {
        None => (Part::Root { layer }, base.clone()),
        Some(below) => (Part::Root { layer }, Over::Part(Part::Root { layer: below })),
    };
    let mut files: Vec<(Part, Over)> = (0..=server.aside.layer).map(root).collect();
    for (index, disk) in (0..).zip(&server.blank_disks) {
        for layer in disk.first_layer..=newest_layer(server, disk) {
            let lies_over = layer > disk.first_layer;
            let over = if lies_over { Over::Part(part(disk, index, layer - 1)) } else { Over::Nothing };
            files.push((part(disk, index, layer), over));
        }
    }
    Ok(files)
}

/// Ephemeral disks stand before swap, so that their place among all is their number.
const fn part(disk: &BlankDisk, index: u32, layer: u32) -> Part {
    match disk.content {
        Content::Ephemeral(_) => Part::Ephemeral { index, layer },
        Content::Swap => Part::Swap { layer },
    }
}

/// The layer that the machine writes on.
fn newest_layer(server: &Server, disk: &BlankDisk) -> u32 {
    match disk.content {
        Content::Ephemeral(_) => server.aside.layer.max(disk.first_layer),
        Content::Swap => disk.first_layer,
    }
}

fn format(disk: &BlankDisk, layer: u32) -> DiskFormat {
    if layer == disk.first_layer { DiskFormat::Raw } else { DiskFormat::Qcow2 }
}

/// Once there is no way back, swap of earlier layers is of no use.
async fn forget_old_swap(cx: &Cx, host: &Host, server: &Server) -> Result<()> {
    if server.aside.resized.is_some() {
        return Ok(());
    }
    let used = server.blank_disks.iter().find(|disk| disk.content == Content::Swap).map(|disk| disk.first_layer);
    for layer in (0..server.aside.layer).filter(|layer| Some(*layer) != used) {
        host.disks.remove_part(server.id, cx.epoch, Part::Swap { layer }).await?;
    }
    Ok(())
}
