//! Disks that a server has besides its own: ephemeral ones with an empty file system, and one of swap.
//!
//! A flavor says how much of each a server may have; a request may cut the ephemeral space into several disks, or take less.
//! The guest finds them after its own disk, ephemeral ones first and in the order asked for, swap last. They live as long
//! as the server stays on its host: whatever takes its files away (rebuild, offload) has them made anew, empty.
//!
//! A resize lays a layer over each ephemeral disk, as over the server's own, so that going back finds it as it was; swap
//! is made anew, and the old file waits for the way back. So each disk remembers the layer that it began with.

use super::flavor::Flavor;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;
/// A guest has slots for no more, whatever the operator allows.
const MOST_DEVICES: usize = 20;
/// Two channels with two places each.
const MOST_ON_IDE: usize = 4;

/// File systems that ephemeral disks may be made with, as upstream's libvirt driver has them.
pub const FORMATS: [&str; 4] = ["ext2", "ext3", "ext4", "xfs"];

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlankDisk {
    pub content: Content,
    /// In bytes.
    pub size: u64,
    pub bus: Bus,
    #[serde(default, skip_serializing_if = "is_disk")]
    pub device: Device,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// How many layers the server's own disk had over the first when this one was made.
    #[serde(default)]
    pub first_layer: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// Ephemeral, with a file system of this kind.
    Ephemeral(String),
    Swap,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bus {
    Virtio,
    Scsi,
    Sata,
    Ide,
    Usb,
}

/// What a disk looks like to the guest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    #[default]
    Disk,
    /// A disc in a drive, which the guest can't write on.
    Cdrom,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
const fn is_disk(device: &Device) -> bool {
    matches!(device, Device::Disk)
}

impl Device {
    /// As upstream's libvirt driver reads the word: what it does not know is a disk.
    ///
    /// # Errors
    /// `NotImplemented` for what is not built, `BadRequest` for what a local disk can't be.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "cdrom" => Ok(Self::Cdrom),
            "floppy" => Err(Error::NotImplemented("Floppy disks are not built yet.".to_owned())),
            "lun" => Err(invalid("A local disk is a file, and only a volume can be a lun.")),
            _ => Ok(Self::Disk),
        }
    }
}

impl Bus {
    /// # Errors
    /// `BadRequest` for what upstream does not know either, `NotImplemented` for what is not built.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "virtio" => Ok(Self::Virtio),
            "scsi" => Ok(Self::Scsi),
            "sata" => Ok(Self::Sata),
            "ide" => Ok(Self::Ide),
            "usb" => Ok(Self::Usb),
            "fdc" | "xen" | "lxc" | "uml" => {
                Err(Error::NotImplemented(format!("Disks on the bus {text} are not built yet.")))
            }
            _ => Err(Error::bad_request("Block Device Mapping is Invalid.")),
        }
    }
}

/// A disk as a request asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    pub is_swap: bool,
    /// File system of an ephemeral disk.
    pub format: Option<String>,
    /// GiB of an ephemeral disk, MiB of swap.
    pub size: Option<u64>,
    /// `None`: whichever fits the device.
    pub bus: Option<Bus>,
    pub device: Device,
    pub tag: Option<String>,
}

impl Wish {
    /// # Errors
    /// `BadRequest` for a bus that has no such devices.
    fn fitting_bus(&self) -> Result<Bus> {
        match (self.device, self.bus) {
            (Device::Disk, bus) => Ok(bus.unwrap_or(Bus::Virtio)),
            (Device::Cdrom, Some(Bus::Virtio)) => Err(invalid("A cdrom can't be on the bus virtio.")),
            (Device::Cdrom, bus) => Ok(bus.unwrap_or(Bus::Ide)),
        }
    }
}

/// What the operator set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The file system of an ephemeral disk for which none is asked.
    pub default_format: String,
    /// How many local disks a server may have, its own included; less than 0: any number.
    pub most_disks: i64,
}

impl Default for Rules {
    fn default() -> Self {
        Self { default_format: "ext4".to_owned(), most_disks: 3 }
    }
}

/// What the flavor gives by itself: one ephemeral disk, or one of swap.
const fn whole(is_swap: bool) -> Wish {
    Wish { is_swap, format: None, size: None, bus: None, device: Device::Disk, tag: None }
}

/// The disks of a server of this flavor.
///
/// # Errors
/// `BadRequest` in upstream's sentences for what the flavor does not give.
pub fn plan(flavor: &Flavor, wishes: &[Wish], rules: &Rules) -> Result<Vec<BlankDisk>> {
    let mut wishes = wishes.to_vec();
    for (is_swap, given) in [(false, flavor.ephemeral_gib), (true, flavor.swap_mib)] {
        if given > 0 && !wishes.iter().any(|wish| wish.is_swap == is_swap) {
            wishes.push(whole(is_swap));
        }
    }
    // Stable: ephemeral disks keep the order in which they were asked for.
    wishes.sort_by_key(|wish| wish.is_swap);
    let size = |wish: &Wish| wish.size.unwrap_or(if wish.is_swap { flavor.swap_mib } else { flavor.ephemeral_gib });
    let (ephemeral, swap): (Vec<_>, Vec<_>) = wishes.iter().partition(|wish| !wish.is_swap);
    let together = ephemeral.iter().fold(0_u64, |sum, wish| sum.saturating_add(size(wish)));
    // Upstream accepts disks of no size at all, and fails on the host or leaves them out.
    if together > flavor.ephemeral_gib || ephemeral.iter().any(|wish| size(wish) == 0) {
        return Err(Error::bad_request(
            "Ephemeral disks requested are larger than the instance type allows. If no size is given in one block device mapping, flavor ephemeral size will be used.",
        ));
    }
    match swap[..] {
        [] => {}
        [one] if size(one) == 0 || size(one) > flavor.swap_mib => {
            return Err(Error::bad_request("Swap drive requested is larger than instance type allows."));
        }
        [_] => {}
        _ => return Err(invalid("More than one swap drive requested.")),
    }
    if wishes.len() > MOST_DEVICES {
        return Err(too_many(MOST_DEVICES));
    }
    let local = i64::try_from(wishes.len()).unwrap_or(i64::MAX).saturating_add(1);
    if rules.most_disks >= 0 && local > rules.most_disks {
        return Err(invalid("You specified more local devices than the limit allows"));
    }
    let disks: Vec<BlankDisk> = wishes.iter().map(|wish| made(wish, size(wish), rules, 0)).collect::<Result<_>>()?;
    if disks.iter().filter(|disk| disk.bus == Bus::Ide).count() > MOST_ON_IDE {
        return Err(too_many(MOST_ON_IDE));
    }
    Ok(disks)
}

fn too_many(most: usize) -> Error {
    Error::Forbidden(format!(
        "The maximum allowed number of disk devices ({most}) to attach to a single instance has been exceeded."
    ))
}

fn made(wish: &Wish, size: u64, rules: &Rules, first_layer: u32) -> Result<BlankDisk> {
    let (content, unit) = if wish.is_swap {
        (Content::Swap, MIB)
    } else {
        let format = wish.format.as_deref().filter(|format| !format.is_empty()).unwrap_or(&rules.default_format);
        if !FORMATS.contains(&format) {
            return Err(invalid(&format!("{format} format is not supported")));
        }
        (Content::Ephemeral(format.to_owned()), GIB)
    };
    Ok(BlankDisk {
        content,
        size: size.saturating_mul(unit),
        bus: wish.fitting_bus()?,
        device: wish.device,
        tag: wish.tag.clone(),
        first_layer,
    })
}

/// Upstream's refusal of a block device, with the reason.
pub fn invalid(why: &str) -> Error {
    Error::bad_request(format!("Block Device Mapping is Invalid: {why}"))
}

/// The disks after a resize that lays this layer. One ephemeral disk that is all the old flavor gave grows to what the new
/// one gives; several, or a smaller one, stay as somebody cut them. Swap is what the new flavor says.
///
/// # Errors
/// `BadRequest` in upstream's words when ephemeral disks would have to shrink.
pub fn resized(disks: &[BlankDisk], old: &Flavor, new: &Flavor, layer: u32, rules: &Rules) -> Result<Vec<BlankDisk>> {
    let (mut ephemeral, swap): (Vec<BlankDisk>, Vec<BlankDisk>) =
        disks.iter().cloned().partition(|disk| disk.content != Content::Swap);
    let together: u64 = ephemeral.iter().map(|disk| disk.size).sum();
    if new.ephemeral_gib.saturating_mul(GIB) < together {
        return Err(Error::bad_request("Server disk was unable to be resized because: Unable to resize disk down."));
    }
    match &mut ephemeral[..] {
        [] if new.ephemeral_gib > 0 => ephemeral.push(made(&whole(false), new.ephemeral_gib, rules, layer)?),
        [one] if one.size == old.ephemeral_gib.saturating_mul(GIB) => one.size = new.ephemeral_gib.saturating_mul(GIB),
        _ => {}
    }
    if new.swap_mib > 0 {
        let fresh = made(&whole(true), new.swap_mib, rules, layer)?;
        let size = fresh.size;
        let before = swap.into_iter().next().unwrap_or(fresh);
        // Upstream leaves a smaller swap as it was cut where both flavors give the same.
        let size = if old.swap_mib == new.swap_mib { before.size } else { size };
        ephemeral.push(BlankDisk { size, first_layer: layer, ..before });
    }
    Ok(ephemeral)
}

/// The same disks, to be made where none of the server's files is.
pub fn anew(disks: &[BlankDisk]) -> Vec<BlankDisk> {
    disks.iter().map(|disk| BlankDisk { first_layer: 0, ..disk.clone() }).collect()
}

/// What the guest knows each disk as: `ephemeral0`, `ephemeral1`, …, `swap`.
pub fn labels(disks: &[BlankDisk]) -> Vec<String> {
    let mut ephemeral = 0..;
    let label = |disk: &BlankDisk| match disk.content {
        Content::Swap => "swap".to_owned(),
        Content::Ephemeral(_) => format!("ephemeral{}", ephemeral.next().unwrap_or_default()),
    };
    disks.iter().map(label).collect()
}

/// Where the guest finds each disk, when its own is `vda`: `vdb`, `vdc`, …, each kind of bus counting for itself.
pub fn device_names(disks: &[BlankDisk]) -> Vec<String> {
    let (mut virtio, mut scsi_like, mut ide) = ('b'.., 'a'.., 'a'..);
    let name = |disk: &BlankDisk| {
        let (prefix, letters) = match disk.bus {
            Bus::Virtio => ("vd", &mut virtio),
            Bus::Scsi | Bus::Sata | Bus::Usb => ("sd", &mut scsi_like),
            Bus::Ide => ("hd", &mut ide),
        };
        format!("/dev/{prefix}{}", letters.next().unwrap_or_default())
    };
    disks.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn flavor(ephemeral_gib: u64, swap_mib: u64) -> Flavor {
        Flavor {
            id: "1".into(),
            name: "m1.tiny".into(),
            description: None,
            vcpus: 1,
            ram_mib: 512,
            disk_gib: 1,
            ephemeral_gib,
            swap_mib,
            rxtx_factor: 1.0,
            is_public: true,
            disabled: false,
            extra_specs: BTreeMap::new(),
        }
    }

    fn ephemeral(size: Option<u64>) -> Wish {
        Wish { size, ..whole(false) }
    }

    fn swap(size: Option<u64>) -> Wish {
        Wish { size, ..whole(true) }
    }

    /// Label and size in bytes.
    fn sizes(disks: &[BlankDisk]) -> Vec<(String, u64)> {
        labels(disks).into_iter().zip(disks.iter().map(|disk| disk.size)).collect()
    }

    fn named(name: &str, size: u64) -> (String, u64) {
        (name.to_owned(), size)
    }

    fn refused(wishes: &[Wish]) -> String {
        plan(&flavor(10, 64), wishes, &Rules { most_disks: 4, ..Rules::default() }).unwrap_err().to_string()
    }

    #[test]
    fn a_flavor_gives_one_ephemeral_disk_and_one_of_swap() {
        let rules = Rules::default();
        let disks = plan(&flavor(10, 64), &[], &rules).unwrap();
        assert_eq!(sizes(&disks), [named("ephemeral0", 10 * GIB), named("swap", 64 * MIB)]);
        assert_eq!(disks[0].content, Content::Ephemeral("ext4".to_owned()));
        assert_eq!(plan(&flavor(0, 0), &[], &rules).unwrap(), []);
    }

    #[test]
    fn a_request_cuts_the_ephemeral_space_and_the_guest_finds_swap_last() {
        let wishes = [swap(Some(32)), ephemeral(Some(3)), ephemeral(Some(7))];
        let disks = plan(&flavor(10, 64), &wishes, &Rules { most_disks: -1, ..Rules::default() }).unwrap();
        let sized = [named("ephemeral0", 3 * GIB), named("ephemeral1", 7 * GIB), named("swap", 32 * MIB)];
        assert_eq!(sizes(&disks), sized);
        assert_eq!(device_names(&disks), ["/dev/vdb", "/dev/vdc", "/dev/vdd"]);
    }

    #[test]
    fn a_size_that_is_not_given_is_the_flavors() {
        let disks = plan(&flavor(10, 64), &[ephemeral(None), swap(None)], &Rules::default()).unwrap();
        assert_eq!(sizes(&disks), [named("ephemeral0", 10 * GIB), named("swap", 64 * MIB)]);
    }

    #[test]
    fn more_than_the_flavor_gives_is_refused_in_upstreams_words() {
        let too_large = "Ephemeral disks requested are larger than the instance type allows. If no size is given in one block device mapping, flavor ephemeral size will be used.";
        assert_eq!(refused(&[ephemeral(Some(11))]), too_large);
        assert_eq!(refused(&[ephemeral(Some(1)), ephemeral(None)]), too_large);
        assert_eq!(refused(&[swap(Some(65))]), "Swap drive requested is larger than instance type allows.");
        let two = "Block Device Mapping is Invalid: More than one swap drive requested.";
        assert_eq!(refused(&[swap(Some(1)), swap(Some(1))]), two);
        let many = "Block Device Mapping is Invalid: You specified more local devices than the limit allows";
        assert_eq!(refused(&[ephemeral(Some(1)), ephemeral(Some(1)), ephemeral(Some(1))]), many);
        let ntfs = Wish { format: Some("ntfs".to_owned()), ..ephemeral(Some(1)) };
        assert_eq!(refused(&[ntfs]), "Block Device Mapping is Invalid: ntfs format is not supported");
    }

    #[test]
    fn a_disk_of_no_size_is_refused_rather_than_left_out() {
        assert!(plan(&flavor(0, 64), &[ephemeral(None)], &Rules::default()).is_err());
        assert!(plan(&flavor(10, 0), &[swap(None)], &Rules::default()).is_err());
    }

    #[test]
    fn a_resize_grows_what_was_the_flavors_and_makes_swap_anew() {
        let rules = Rules::default();
        let (old, new) = (flavor(10, 64), flavor(20, 128));
        let before = plan(&old, &[], &rules).unwrap();
        let after = resized(&before, &old, &new, 1, &rules).unwrap();
        assert_eq!(sizes(&after), [named("ephemeral0", 20 * GIB), named("swap", 128 * MIB)]);
        assert_eq!((after[0].first_layer, after[1].first_layer), (0, 1));
        // To a flavor that has none of either, and to one that has.
        let none = flavor(0, 0);
        assert!(
            resized(&before, &old, &none, 1, &rules).unwrap_err().to_string().ends_with("Unable to resize disk down.")
        );
        let first = resized(&[], &none, &new, 3, &rules).unwrap();
        assert_eq!(sizes(&first), [named("ephemeral0", 20 * GIB), named("swap", 128 * MIB)]);
        assert_eq!((first[0].first_layer, first[1].first_layer), (3, 3));
        assert_eq!(sizes(&resized(&before, &old, &flavor(10, 0), 1, &rules).unwrap()), [named("ephemeral0", 10 * GIB)]);
    }

    #[test]
    fn ephemeral_disks_that_somebody_cut_stay_so_through_a_resize() {
        let rules = Rules::default();
        let (old, new) = (flavor(10, 64), flavor(20, 64));
        let cut = plan(&old, &[ephemeral(Some(4)), swap(Some(32))], &rules).unwrap();
        let after = resized(&cut, &old, &new, 1, &rules).unwrap();
        assert_eq!(sizes(&after), [named("ephemeral0", 4 * GIB), named("swap", 32 * MIB)]);
        assert!(resized(&cut, &old, &flavor(3, 64), 1, &rules).is_err());
        assert_eq!(anew(&after)[1].first_layer, 0);
    }

    #[test]
    fn each_bus_counts_its_devices_for_itself() {
        let on =
            |bus| BlankDisk { content: Content::Swap, size: MIB, bus, device: Device::Disk, tag: None, first_layer: 0 };
        let disks = [on(Bus::Scsi), on(Bus::Virtio), on(Bus::Sata), on(Bus::Ide)];
        assert_eq!(device_names(&disks), ["/dev/sda", "/dev/vdb", "/dev/sdb", "/dev/hda"]);
        assert!(matches!(Bus::parse("fdc"), Err(Error::NotImplemented(_))));
        assert_eq!(Bus::parse("floppy").unwrap_err().to_string(), "Block Device Mapping is Invalid.");
    }

    #[test]
    fn a_disc_is_on_a_bus_that_has_such_drives_and_ide_has_four_places() {
        let disc = |bus| Wish { device: Device::Cdrom, bus, ..swap(None) };
        let any = Rules { most_disks: -1, ..Rules::default() };
        for (asked, got) in [(None, Bus::Ide), (Some(Bus::Sata), Bus::Sata), (Some(Bus::Usb), Bus::Usb)] {
            let disks = plan(&flavor(0, 64), &[disc(asked)], &any).unwrap();
            assert_eq!((disks[0].bus, disks[0].device), (got, Device::Cdrom));
        }
        let refused = plan(&flavor(0, 64), &[disc(Some(Bus::Virtio))], &any).unwrap_err().to_string();
        assert_eq!(refused, "Block Device Mapping is Invalid: A cdrom can't be on the bus virtio.");
        let on_ide = |count| vec![Wish { bus: Some(Bus::Ide), ..ephemeral(Some(1)) }; count];
        assert_eq!(plan(&flavor(10, 0), &on_ide(4), &any).unwrap().len(), 4);
        let refused = plan(&flavor(10, 0), &on_ide(5), &any).unwrap_err().to_string();
        assert!(refused.contains("disk devices (4)"), "{refused}");
    }
}
