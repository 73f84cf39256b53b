//! May a server of this flavor be made from this image, and out of which bytes?
//!
//! An image or flavor that asks for something which nothing carries out yet is refused when the server is asked for,
//! with the reason: a guest that silently differs from what was ordered is worse than none.

use super::blank_disks;
use super::flavor::{Flavor, unfulfilled_spec};
use crate::error::{Error, Result};
use crate::ids::{BlobId, ImageId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An image as a boot needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootImage {
    pub id: ImageId,
    pub status: String,
    pub disk_format: Option<String>,
    pub container_format: Option<String>,
    pub min_disk_gib: u64,
    pub min_ram_mib: u64,
    pub size: Option<u64>,
    pub virtual_size: Option<u64>,
    /// The bytes: key and SHA-512.
    pub blob: Option<(BlobId, String)>,
    pub properties: BTreeMap<String, String>,
}

/// The bytes a server's disk begins with, as they were when it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    pub blob: BlobId,
    pub sha512: String,
    pub size: u64,
    /// `raw` or `qcow2`, as the image declares it; inspected again on the host.
    pub format: String,
    pub virtual_size: Option<u64>,
}

const GIB: u64 = 1 << 30;

/// # Errors
/// `BadRequest` with what does not fit, in Nova's sentences; `Forbidden` for a flavor without a disk, unless
/// `may_have_no_disk`; `NotImplemented` for what is not built.
pub fn base(flavor: &Flavor, image: &BootImage, may_have_no_disk: bool) -> Result<Base> {
    if image.status != "active" {
        return Err(Error::bad_request(format!("Image {} is not active.", image.id)));
    }
    if let Some(name) = unfulfilled_spec(flavor) {
        return Err(Error::NotImplemented(format!("The flavor's extra spec {name} is not carried out yet.")));
    }
    if let Some(name) = unfulfilled_property(&image.properties) {
        return Err(Error::NotImplemented(format!("The image's property {name} is not carried out yet.")));
    }
    let format = match (image.container_format.as_deref(), image.disk_format.as_deref()) {
        (Some("bare"), Some(format @ ("raw" | "qcow2"))) => format.to_owned(),
        (container, disk) => {
            return Err(Error::bad_request(format!(
                "Image {} is unacceptable: servers boot from bare images in raw or qcow2 format, not from {} in {}",
                image.id,
                disk.unwrap_or("no format"),
                container.unwrap_or("no container"),
            )));
        }
    };
    let base = bytes(image, format)?;
    if flavor.ram_mib < image.min_ram_mib {
        return Err(Error::bad_request("Flavor's memory is too small for requested image."));
    }
    if flavor.disk_gib == 0 {
        if !may_have_no_disk {
            let text = "Only volume-backed servers are allowed for flavors with zero disk.";
            return Err(Error::Forbidden(text.to_owned()));
        }
    } else {
        let disk = flavor.disk_gib * GIB;
        let needed = base.size.max(image.virtual_size.unwrap_or(0));
        if disk < needed {
            return Err(Error::bad_request(format!(
                "Flavor's disk is too small for requested image. Flavor disk is {disk} bytes, image is {needed} bytes."
            )));
        }
        if flavor.disk_gib < image.min_disk_gib {
            let min = image.min_disk_gib * GIB;
            return Err(Error::bad_request(format!(
                "Flavor's disk is smaller than the minimum size specified in image metadata. Flavor disk is {disk} bytes, minimum size is {min} bytes."
            )));
        }
    }
    Ok(base)
}

/// Where the image's bytes are, and what they are.
fn bytes(image: &BootImage, format: String) -> Result<Base> {
    match (image.blob.clone(), image.size) {
        (Some((blob, sha512)), Some(size)) if image.status == "active" => {
            Ok(Base { blob, sha512, size, format, virtual_size: image.virtual_size })
        }
        _ => Err(Error::bad_request(format!("Image {} is not active.", image.id))),
    }
}

/// The bytes of a server's own disk, which was made into this image: whatever flavors and properties ask for, it has.
///
/// # Errors
/// `BadRequest` while the image can't be used.
pub fn own_base(image: &BootImage) -> Result<Base> {
    bytes(image, "qcow2".to_owned())
}

/// # Errors
/// `BadRequest` for a size of a server's own disk that is not the flavor's: upstream takes any, and makes the disk as large as
/// the flavor says.
pub fn check_disk_size(flavor: &Flavor, asked_gib: Option<u64>) -> Result<()> {
    match asked_gib {
        Some(size) if size != flavor.disk_gib => Err(blank_disks::invalid(&format!(
            "volume_size of an image on the local disk is the flavor's, {} GiB, not {size}.",
            flavor.disk_gib
        ))),
        _ => Ok(()),
    }
}

/// How large the guest sees its disk: as the flavor says, or as the image is.
pub fn disk_bytes(flavor: &Flavor, base: &Base) -> u64 {
    (flavor.disk_gib * GIB).max(base.virtual_size.unwrap_or(0)).max(base.size)
}

/// The first property that would have to shape the guest, and does not yet.
fn unfulfilled_property(properties: &BTreeMap<String, String>) -> Option<&str> {
    let is_as_built = |name: &str, value: &str| {
        matches!(
            (name, value),
            ("hw_disk_bus" | "hw_vif_model", "virtio")
                | ("hw_qemu_guest_agent", _)
                | ("hw_architecture", _)
                | ("hw_vm_mode", "hvm")
        )
    };
    properties
        .iter()
        .find(|(name, value)| {
            let is_trait = name.starts_with("trait:") && value.as_str() != "required";
            let shapes = name.starts_with("hw_") || is_trait || name.starts_with("img_signature");
            shapes && !is_as_built(name, value)
        })
        .map(|(name, _)| name.as_str())
}

/// The properties of an image that a server keeps and shows: those Nova knows the names of.
pub fn kept_properties(properties: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_known = |name: &str| {
        name.starts_with("hw_")
            || name.starts_with("img_")
            || name.starts_with("trait:")
            || matches!(
                name,
                "os_type"
                    | "os_distro"
                    | "os_version"
                    | "os_admin_user"
                    | "os_command_line"
                    | "os_require_quiesce"
                    | "os_secure_boot"
                    | "os_skip_agent_inject_files_at_boot"
                    | "os_skip_agent_inject_ssh"
                    | "os_shutdown_timeout"
            )
    };
    let kept = properties.iter().map(|(name, value)| (present_name(name), value));
    kept.filter(|(name, _)| is_known(name)).map(|(name, value)| (name.to_owned(), value.clone())).collect()
}

/// What upstream calls now what it called otherwise once, of the names that placement reads.
fn present_name(name: &str) -> &str {
    match name {
        "architecture" => "hw_architecture",
        "hypervisor_type" => "img_hv_type",
        "hypervisor_version_requires" => "img_hv_requested_version",
        "vm_mode" => "hw_vm_mode",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flavor() -> Flavor {
        Flavor {
            id: "1".into(),
            name: "m1.tiny".into(),
            description: None,
            vcpus: 1,
            ram_mib: 512,
            disk_gib: 1,
            ephemeral_gib: 0,
            swap_mib: 0,
            rxtx_factor: 1.0,
            is_public: true,
            disabled: false,
            extra_specs: BTreeMap::new(),
        }
    }

    fn image() -> BootImage {
        BootImage {
            id: ImageId::random(),
            status: "active".into(),
            disk_format: Some("qcow2".into()),
            container_format: Some("bare".into()),
            min_disk_gib: 0,
            min_ram_mib: 0,
            size: Some(1000),
            virtual_size: Some(GIB),
            blob: Some((BlobId::random(), "ab".into())),
            properties: BTreeMap::new(),
        }
    }

    #[test]
    fn an_image_that_fits_yields_its_bytes() {
        let base = base(&flavor(), &image(), false).unwrap();
        assert_eq!((base.format.as_str(), base.size), ("qcow2", 1000));
        assert_eq!(disk_bytes(&flavor(), &base), GIB);
    }

    #[test]
    fn an_image_larger_than_the_flavors_disk_or_memory_is_refused() {
        let large = BootImage { virtual_size: Some(GIB + 1), ..image() };
        assert!(base(&flavor(), &large, false).unwrap_err().to_string().starts_with("Flavor's disk is too small"));
        let hungry = BootImage { min_ram_mib: 1024, ..image() };
        assert!(base(&flavor(), &hungry, false).unwrap_err().to_string().starts_with("Flavor's memory is too small"));
        let wide = BootImage { min_disk_gib: 2, ..image() };
        assert!(base(&flavor(), &wide, false).is_err());
    }

    #[test]
    fn an_image_that_is_not_active_or_no_disk_is_refused() {
        let queued = BootImage { status: "queued".into(), ..image() };
        assert!(base(&flavor(), &queued, false).unwrap_err().to_string().ends_with("is not active."));
        let iso = BootImage { disk_format: Some("iso".into()), ..image() };
        assert!(base(&flavor(), &iso, false).is_err());
    }

    #[test]
    fn what_would_shape_the_guest_and_does_not_yet_is_refused_and_never_ignored() {
        let uefi = BootImage { properties: BTreeMap::from([("hw_firmware_type".into(), "uefi".into())]), ..image() };
        assert!(matches!(base(&flavor(), &uefi, false), Err(Error::NotImplemented(_))));
        let virtio = BootImage { properties: BTreeMap::from([("hw_disk_bus".into(), "virtio".into())]), ..image() };
        assert!(base(&flavor(), &virtio, false).is_ok());
    }

    #[test]
    fn a_flavor_without_a_disk_is_for_those_who_may() {
        let none = Flavor { disk_gib: 0, ..flavor() };
        assert!(matches!(base(&none, &image(), false), Err(Error::Forbidden(_))));
        assert!(base(&none, &image(), true).is_ok());
    }
}
