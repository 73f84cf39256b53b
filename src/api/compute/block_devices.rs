//! `block_device_mapping_v2` of `POST /servers`: which image the server's own disk begins with, and which disks it gets
//! besides.
//!
//! Built are the image on the local disk, which newer clients always send beside `imageRef`, and blank local disks:
//! ephemeral ones and swap, as disks or as discs in a drive. What upstream refuses is refused in its words; volumes answer
//! 501. Two fields are read and change nothing, as with upstream's libvirt driver: `device_name`, since a guest names its
//! disks itself and finds them in order, and `delete_on_termination`, since a local disk always goes with its server.

use super::older_block_devices::OlderDrive;
use super::server_request::{NewServer, Tag};
use crate::cloud::blank_disks::{Bus, Device, Wish, invalid};
use crate::error::{Error, Result};
use crate::http::json::{
    Between, FlexibleBool, FlexibleInt, Invalid, Maybe, OneOf, Parse, Path, Text, Words, python_repr,
};
use crate::http::microversion::Microversion;
use crate::ids::ImageId;
use crate::versioned;
use serde_json::{Value, json};

versioned! {
    request Drive strict {
        "virtual_name" => virtual_name: Maybe<Text<0, 255>>,
        "volume_id" => volume_id: Maybe<Option<String>>,
        "snapshot_id" => snapshot_id: Maybe<Option<String>>,
        "volume_size" => volume_size: Maybe<Between<1, 0x7FFF_FFFF>>,
        #[expect(dead_code, reason = "a guest names its disks itself, as with upstream's libvirt driver")]
        "device_name" => device_name: Maybe<DeviceName>,
        #[expect(dead_code, reason = "a local disk always goes with its server")]
        "delete_on_termination" => delete_on_termination: Maybe<FlexibleBool>,
        "no_device" => no_device: Maybe<Value>,
        "connection_info" => connection_info: Maybe<String>,
        "source_type" => source_type: Maybe<OneOf<Sources>>,
        "uuid" => uuid: Maybe<Text<1, 255>>,
        "image_id" => image_id: Maybe<String>,
        "destination_type" => destination_type: Maybe<OneOf<Destinations>>,
        "guest_format" => guest_format: Maybe<Text<0, 255>>,
        "device_type" => device_type: Maybe<Text<0, 255>>,
        "disk_bus" => disk_bus: Maybe<Text<0, 255>>,
        "boot_index" => boot_index: Maybe<Option<FlexibleInt>>,
        "tag" since(42) => tag: Maybe<Tag>,
        "volume_type" since(67) => volume_type: Maybe<Option<String>>,
    }
}

#[derive(Debug, Clone)]
pub struct Sources;

impl Words for Sources {
    const WORDS: &'static [&'static str] = &["volume", "image", "snapshot", "blank"];
}

#[derive(Debug, Clone)]
pub struct Destinations;

impl Words for Destinations {
    const WORDS: &'static [&'static str] = &["local", "volume"];
}

/// `vdb` or `/dev/vdb`.
#[derive(Debug, Clone)]
pub struct DeviceName;

impl Parse for DeviceName {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> std::result::Result<Self, Invalid> {
        let Text(text) = Text::<1, 255>::parse(value, path, version)?;
        if text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-')) {
            return Ok(Self);
        }
        let value = Value::String(text);
        Err(path.refuse(&value, format!("{} does not match '^[a-zA-Z0-9._/-]*$'", python_repr(&value))))
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[a-zA-Z0-9._/-]*$"})
    }
}

/// What a request's devices come to.
#[derive(Debug, Clone)]
pub struct Devices {
    pub image: ImageId,
    /// By what its owner knows the server's own disk, and how large that shall be, where either is said here.
    pub root_tag: Option<String>,
    pub root_gib: Option<u64>,
    pub blank: Vec<Wish>,
    /// Did the request name any?
    pub are_said: bool,
}

/// Reads the image, said once or twice (as `imageRef`, and as a device), and the other disks.
///
/// # Errors
/// `BadRequest` in upstream's words for what contradicts itself, `NotImplemented` for what is not built.
pub fn read(new: &NewServer) -> Result<Devices> {
    let said = new.image_ref.as_ref().map(|text| text.as_str()).filter(|text| !text.is_empty());
    let named = match said {
        // Older clients send the image's whole address.
        Some(text) => Some(
            ImageId::parse(text.rsplit('/').next().unwrap_or(text))
                .ok_or_else(|| Error::bad_request("Invalid imageRef provided."))?,
        ),
        None => None,
    };
    let older = new.older_block_devices.as_ref().map(Vec::as_slice).unwrap_or_default();
    let drives = new.block_devices.as_ref().map(Vec::as_slice).unwrap_or_default();
    if !older.is_empty() && !drives.is_empty() {
        let text = "Using different block_device_mapping syntaxes is not allowed in the same request.";
        return Err(Error::bad_request(text));
    }
    for drive in drives {
        drive.check(named.is_some())?;
    }
    for drive in drives {
        drive.check_built()?;
    }
    let mut blank = older.iter().map(OlderDrive::wish).collect::<Result<Vec<_>>>()?;
    let Some(image) = named else {
        let text = if drives.is_empty() && older.is_empty() { "Missing imageRef attribute" } else { BOOT_SEQUENCE };
        return Err(Error::bad_request(text));
    };
    check_boot_sequence(drives)?;
    if drives.iter().any(|drive| drive.is_from("image") && drive.image().is_none_or(|other| other != image)) {
        return Err(Error::bad_request(BOOT_SEQUENCE));
    }
    for drive in drives.iter().filter(|drive| drive.is_from("blank")) {
        blank.push(drive.wish()?);
    }
    let root = drives.iter().find(|drive| drive.is_from("image"));
    Ok(Devices {
        image,
        root_tag: root.and_then(Drive::tag),
        root_gib: root.and_then(Drive::size),
        blank,
        are_said: !older.is_empty() || !drives.is_empty(),
    })
}

const BOOT_SEQUENCE: &str = "Block Device Mapping is Invalid: Boot sequence for the instance and image/block device mapping combination is not valid.";

/// Devices to boot from count from 0 without a gap, and there is one.
fn check_boot_sequence(drives: &[Drive]) -> Result<()> {
    if drives.is_empty() {
        return Ok(());
    }
    let mut indexes: Vec<i64> = drives.iter().filter_map(Drive::boots_as).collect();
    indexes.sort_unstable();
    if indexes.is_empty() || (0..).zip(&indexes).any(|(expected, index)| expected != *index) {
        return Err(Error::bad_request(BOOT_SEQUENCE));
    }
    let root = drives.iter().find(|drive| drive.boots_as() == Some(0));
    if root.is_none_or(|root| root.is_from("image")) { Ok(()) } else { Err(not_built()) }
}

pub fn not_built() -> Error {
    Error::NotImplemented(
        "Of block devices, the image on the local disk, ephemeral disks and swap are built: others are not.".to_owned(),
    )
}

fn is_said(value: &Maybe<Option<String>>) -> bool {
    !matches!(value, Maybe::Absent | Maybe::Given(None))
}

impl Drive {
    fn is_from(&self, source: &str) -> bool {
        self.source_type.as_ref().is_some_and(|word| word.0 == source)
    }

    fn goes_to(&self, destination: &str) -> bool {
        self.destination_type.as_ref().is_some_and(|word| word.0 == destination)
    }

    /// Its place among the devices to boot from; `None`: it is not one of them.
    fn boots_as(&self) -> Option<i64> {
        let index = self.boot_index.as_ref().and_then(|index| index.as_ref()).map(|index| index.0);
        index.filter(|index| *index >= 0)
    }

    fn image(&self) -> Option<ImageId> {
        ImageId::parse(&self.uuid.as_ref()?.0)
    }

    /// What upstream refuses in a device by itself, in its order.
    fn check(&self, names_image: bool) -> Result<()> {
        if self.is_from("blank") {
            if self.uuid.as_ref().is_some() {
                return Err(invalid("Invalid device UUID."));
            }
        } else if self.uuid.as_ref().is_none() && self.no_device.as_ref().is_none() {
            return Err(invalid("Missing device UUID."));
        }
        if self.is_from("image") && !self.goes_to("volume") && !(names_image && self.boots_as() == Some(0)) {
            return Err(invalid("Mapping image to local is not supported."));
        }
        if self.goes_to("local") && is_said(&self.volume_type) {
            return Err(invalid("Specifying a volume_type with destination_type=local is not supported."));
        }
        if self.is_from("volume") && is_said(&self.volume_type) {
            return Err(invalid("Specifying volume type to existing volume is not supported."));
        }
        if self.virtual_name.as_ref().is_some() {
            return Err(invalid("Following fields are invalid: virtual_name"));
        }
        if self.source_type.as_ref().is_none() && self.no_device.as_ref().is_none() {
            return Err(invalid("Some required fields are missing"));
        }
        // Upstream takes such a disk, and then makes none.
        if self.is_from("blank") && self.destination_type.as_ref().is_none() {
            return Err(invalid("Some required fields are missing"));
        }
        Ok(())
    }

    /// Is it one of the devices that are built?
    fn check_built(&self) -> Result<()> {
        let text = |value: &Maybe<Text<0, 255>>| value.as_ref().map(|text| text.0.clone()).unwrap_or_default();
        let is_plain = !is_said(&self.volume_id)
            && !is_said(&self.snapshot_id)
            && !is_said(&self.volume_type)
            && matches!(self.no_device, Maybe::Absent)
            && matches!(self.connection_info, Maybe::Absent)
            && !self.goes_to("volume");
        let is_built = if self.is_from("image") {
            // Its bus and what the guest takes it for follow from flavor and image.
            text(&self.guest_format).is_empty()
                && matches!(text(&self.disk_bus).as_str(), "" | "virtio")
                && matches!(self.device(), Ok(Device::Disk))
        } else {
            self.is_from("blank") && matches!(self.image_id, Maybe::Absent)
        };
        if is_plain && is_built { Ok(()) } else { Err(not_built()) }
    }

    fn size(&self) -> Option<u64> {
        self.volume_size.as_ref().map(|size| size.0.unsigned_abs())
    }

    fn bus(&self) -> Result<Option<Bus>> {
        let said = self.disk_bus.as_ref().map(|text| text.0.as_str()).filter(|text| !text.is_empty());
        said.map(Bus::parse).transpose()
    }

    fn device(&self) -> Result<Device> {
        Device::parse(self.device_type.as_ref().map(|text| text.0.as_str()).unwrap_or_default())
    }

    fn tag(&self) -> Option<String> {
        self.tag.as_ref().map(|tag| tag.0.clone())
    }

    fn wish(&self) -> Result<Wish> {
        let format = self.guest_format.as_ref().map(|text| text.0.clone());
        Ok(Wish {
            is_swap: format.as_deref() == Some("swap"),
            format,
            size: self.size(),
            bus: self.bus()?,
            device: self.device()?,
            tag: self.tag(),
        })
    }
}
