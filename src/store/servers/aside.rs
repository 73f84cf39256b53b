//! What a server keeps while it is not simply running or off: the flavor it may go back to, the disk it is rescued with,
//! the image it was shelved into, since when it is deleted.

use crate::clock::Timestamp;
use crate::cloud::blank_disks::BlankDisk;
use crate::cloud::boot::Base;
use crate::cloud::flavor::Flavor;
use crate::cloud::server::State;
use crate::ids::{HostId, ImageId};
use serde::{Deserialize, Serialize};

/// Few servers have any of it, so what is large is elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Aside {
    /// How many overlays lie on the first one over the image's bytes: a resize lays one, so that going back is taking it
    /// away.
    #[serde(skip_serializing_if = "is_zero")]
    pub layer: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resized: Option<Box<Resized>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rescue: Option<Box<Rescue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shelved: Option<Shelved>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soft_deleted_at: Option<Timestamp>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// From where a server was resized, or went to another host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resized {
    pub flavor: Flavor,
    /// Which flavor the server is on its way to: the new one until it has it, and the old once somebody asked for that
    /// back. Quotas count it beside the row's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wished: Option<Flavor>,
    pub was_stopped: bool,
    /// Its record among the migrations.
    pub migration: i64,
    /// Since when somebody may confirm it.
    pub finished_at: Option<Timestamp>,
    /// Does the row have the new flavor, and the disk a layer for it?
    pub has_layer: bool,
    /// It goes to another host and stays what it is: no layer is laid.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keeps_flavor: bool,
    /// Nobody decides on it: once it is there it stays there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_for_good: bool,
    /// The host it left; `None`: it is where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Left>,
    /// How ephemeral disks and swap change with the flavor; `None`: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blank_disks: Option<BlankChange>,
}

impl Resized {
    /// What a server is to go back to, before anything has happened.
    pub fn begun(server: &super::Server, migration: i64) -> Self {
        Self {
            flavor: Flavor::clone(&server.flavor),
            wished: None,
            was_stopped: server.state == State::Stopped,
            migration,
            finished_at: None,
            has_layer: false,
            keeps_flavor: false,
            is_for_good: false,
            left: None,
            blank_disks: None,
        }
    }
}

/// A host that a server left, and to which it may go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    pub host: HostId,
    /// Its disks were copied, and are there as they were; else both hosts see the same files.
    pub apart: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlankChange {
    pub before: Vec<BlankDisk>,
    pub after: Vec<BlankDisk>,
}

/// What a server was shelved into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shelved {
    /// Holds its disk.
    pub image: ImageId,
    pub since: Timestamp,
}

/// What a server is rescued with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rescue {
    pub base: Base,
}
