//! `block_device_mapping` of `POST /servers`, as clients named disks before they could say what one begins with.
//!
//! It names swap and ephemeral disks by words, which are built; and volumes and their snapshots, which answer 501.

use super::block_devices::{DeviceName, not_built};
use crate::cloud::blank_disks::{Device, Wish, invalid};
use crate::error::Result;
use crate::http::json::{Between, FlexibleBool, Maybe, Text};
use crate::versioned;
use serde_json::Value;

versioned! {
    request OlderDrive strict {
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
    }
}

/// `ephemeral0`, `ephemeral1`, …, without a zero in front.
fn is_ephemeral(name: &str) -> bool {
    name.strip_prefix("ephemeral").is_some_and(|number| {
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        is_number && (number == "0" || !number.starts_with('0'))
    })
}

impl OlderDrive {
    /// The local disk it names.
    ///
    /// # Errors
    /// `BadRequest` in upstream's words for what names nothing, `NotImplemented` for what is not built.
    pub fn wish(&self) -> Result<Wish> {
        let name = self.virtual_name.as_ref().map(|text| text.0.as_str()).unwrap_or_default();
        let is_swap = name == "swap";
        let is_said = |id: &Maybe<Option<String>>| id.as_ref().is_some_and(Option::is_some);
        if !is_swap && !is_ephemeral(name) {
            let names_volume = is_said(&self.volume_id) || is_said(&self.snapshot_id);
            let is_built = !names_volume && matches!(self.no_device, Maybe::Absent);
            return Err(if is_built { invalid("Unrecognized legacy format.") } else { not_built() });
        }
        if !matches!((&self.no_device, &self.connection_info), (Maybe::Absent, Maybe::Absent)) {
            return Err(not_built());
        }
        let size = self.volume_size.as_ref().map(|size| size.0.unsigned_abs());
        Ok(Wish { is_swap, format: None, size, bus: None, device: Device::Disk, tag: None })
    }
}
