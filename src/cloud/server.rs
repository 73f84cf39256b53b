//! A server's life: its states, which action is legal when, and what Nova's clients are shown of it.
//!
//! ```text
//!              boot                 stop    ─► Stopped   ─► start     ─┐
//!  Building ──────────► Active ─────┤ pause   ─► Paused    ─► unpause   │
//!     │                   │         │ suspend ─► Suspended ─► resume    │  (hard reboot leads from the first three,
//!     │                   │         │ rescue  ─► Rescued   ─► unrescue  ├─► Active      and from Error, to Active)
//!     │                   │         │ resize  ─► Resized   ─► confirm,  │
//!     │                   │         │                         revert    │
//!     │ failure           │ failure │ shelve  ─► Shelved ─► Shelved-    │
//!     └──────► Error ◄────┘         │            Offloaded ─► unshelve ─┘
//!                                   any ─ delete ─► Deleted, or SoftDeleted ─► restore ─► Active
//! ```
//! A row keeps a [`State`] (where the server is in its life) and perhaps a [`Task`] (the work now done on it). Everything
//! else that Nova shows follows from the two, in one table ([`shown`]). Which action may be asked for when is one `match`
//! ([`may`]), and its refusals are Nova's sentences.

mod actions;

pub use actions::{Action, Situation, may};

use crate::ids::ServerId;

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$doc])* $variant),* }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Nova's word, which is also what rows keep.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.word() == word)
            }
        }
    };
}

words! {
    /// Where a server is in its life; the words are Nova's `vm_state`.
    State {
        Building = "building",
        Active = "active",
        Stopped = "stopped",
        Paused = "paused",
        /// Its memory is in a file on its host.
        Suspended = "suspended",
        /// Runs from another disk, with its own beside it.
        Rescued = "rescued",
        /// Runs with its new flavor, and waits for somebody to be content with that.
        Resized = "resized",
        Shelved = "shelved",
        /// On no host: an image holds its disk.
        ShelvedOffloaded = "shelved_offloaded",
        /// Deleted by its owner, and not yet for good.
        SoftDeleted = "soft-delete",
        Error = "error",
        Deleted = "deleted",
    }
}

words! {
    /// The work now done on a server; the words are Nova's `task_state`.
    Task {
        Scheduling = "scheduling",
        Networking = "networking",
        BlockDeviceMapping = "block_device_mapping",
        Spawning = "spawning",
        PoweringOff = "powering-off",
        PoweringOn = "powering-on",
        Rebooting = "rebooting",
        RebootingHard = "rebooting_hard",
        Pausing = "pausing",
        Unpausing = "unpausing",
        Suspending = "suspending",
        Resuming = "resuming",
        Rebuilding = "rebuilding",
        RebuildSpawning = "rebuild_spawning",
        ResizePrep = "resize_prep",
        ResizeMigrating = "resize_migrating",
        ResizeFinish = "resize_finish",
        ResizeReverting = "resize_reverting",
        Migrating = "migrating",
        Rescuing = "rescuing",
        Unrescuing = "unrescuing",
        SnapshotPending = "image_snapshot_pending",
        SnapshotUploading = "image_uploading",
        BackingUp = "image_backup",
        Shelving = "shelving",
        ShelvingPending = "shelving_image_pending_upload",
        ShelvingUploading = "shelving_image_uploading",
        ShelvingOffloading = "shelving_offloading",
        Unshelving = "unshelving",
        SoftDeleting = "soft-deleting",
        Restoring = "restoring",
        Deleting = "deleting",
    }
}

impl Task {
    /// When work makes way for whoever gives up the host that the server is on.
    pub const fn makes_way(self) -> MakesWay {
        match self {
            Self::PoweringOff
            | Self::PoweringOn
            | Self::Rebooting
            | Self::RebootingHard
            | Self::Pausing
            | Self::Unpausing
            | Self::Suspending
            | Self::Resuming
            | Self::Rebuilding
            | Self::RebuildSpawning
            | Self::ResizeFinish
            | Self::Rescuing
            | Self::Unrescuing
            | Self::SnapshotPending
            | Self::SnapshotUploading
            | Self::BackingUp
            | Self::Shelving
            | Self::ShelvingPending
            | Self::ShelvingUploading => MakesWay::Waiting,
            Self::Migrating | Self::ResizePrep | Self::ResizeMigrating => MakesWay::AtAnyStep,
            Self::Scheduling
            | Self::Networking
            | Self::BlockDeviceMapping
            | Self::Spawning
            | Self::ResizeReverting
            | Self::ShelvingOffloading
            | Self::Unshelving
            | Self::SoftDeleting
            | Self::Restoring
            | Self::Deleting => MakesWay::Never,
        }
    }
}

/// When work on a server whose host is lost makes way for its evacuation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MakesWay {
    /// It is on no host yet, goes back to another, or is a deletion, which needs no help.
    Never,
    /// While nobody is at it: what is done just now may be done to its end.
    Waiting,
    /// Also while somebody is at it. A move is called off between any two of its steps, and is past them all only when the
    /// server is on another host.
    AtAnyStep,
}

/// Nova's `status` out of state and task: the one table of it.
pub const fn status(state: State, task: Option<Task>) -> &'static str {
    use Task::{Rebooting, RebootingHard, RebuildSpawning, Rebuilding, ResizeFinish, ResizeMigrating, ResizePrep};
    match (state, task) {
        (State::Active, Some(Rebooting)) => "REBOOT",
        (State::Active | State::Stopped | State::Paused | State::Suspended | State::Error, Some(RebootingHard)) => {
            "HARD_REBOOT"
        }
        (State::Active | State::Stopped | State::Error, Some(Rebuilding | RebuildSpawning)) => "REBUILD",
        (State::Active | State::Stopped, Some(ResizePrep | ResizeMigrating | ResizeFinish)) => "RESIZE",
        (State::Resized, Some(Task::ResizeReverting)) => "REVERT_RESIZE",
        (State::Active | State::Paused, Some(Task::Migrating)) => "MIGRATING",
        (State::Active, _) => "ACTIVE",
        (State::Building, _) => "BUILD",
        (State::Stopped, _) => "SHUTOFF",
        (State::Paused, _) => "PAUSED",
        (State::Suspended, _) => "SUSPENDED",
        (State::Rescued, _) => "RESCUE",
        (State::Resized, _) => "VERIFY_RESIZE",
        (State::Shelved, _) => "SHELVED",
        (State::ShelvedOffloaded, _) => "SHELVED_OFFLOADED",
        (State::SoftDeleted, _) => "SOFT_DELETED",
        (State::Error, _) => "ERROR",
        (State::Deleted, _) => "DELETED",
    }
}

/// Every status Nova knows, those that no server of ours can have too: filters by them are legal, and find nothing.
pub const STATUSES: &[&str] = &[
    "ACTIVE",
    "BUILD",
    "DELETED",
    "ERROR",
    "HARD_REBOOT",
    "MIGRATING",
    "PASSWORD",
    "PAUSED",
    "REBOOT",
    "REBUILD",
    "RESCUE",
    "RESIZE",
    "REVERT_RESIZE",
    "SHELVED",
    "SHELVED_OFFLOADED",
    "SHUTOFF",
    "SOFT_DELETED",
    "SUSPENDED",
    "VERIFY_RESIZE",
];

/// The statuses with a `progress`.
pub fn shows_progress(status: &str) -> bool {
    matches!(status, "ACTIVE" | "BUILD" | "REBUILD" | "RESIZE" | "VERIFY_RESIZE" | "MIGRATING")
}

/// The statuses with a `fault`.
pub fn shows_fault(status: &str) -> bool {
    matches!(status, "ERROR" | "DELETED")
}

/// Nova's number for what a host said of a server's power; the words are those that rows keep.
pub fn power_code(word: &str) -> i64 {
    match word {
        "running" => 1,
        "paused" => 3,
        // Its memory is on disk; libvirt, and with it upstream, calls such a machine shut off.
        "shutdown" | "saved" => 4,
        "crashed" => 6,
        "suspended" => 7,
        _ => 0,
    }
}

/// The machine's name on its host.
pub fn machine_name(id: ServerId) -> String {
    format!("instance-{}", &id.0.simple().to_string()[..8])
}

/// A name a guest can have, out of the server's: letters, digits, hyphens; never empty, at most 63 characters.
pub fn hostname(name: &str, id: ServerId) -> String {
    let spelled: String = name
        .chars()
        .map(|c| if c == ' ' || c == '_' || c == '.' { '-' } else { c.to_ascii_lowercase() })
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(63)
        .collect();
    let trimmed = spelled.trim_matches('-');
    if trimmed.is_empty() { format!("server-{id}") } else { trimmed.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_shown_is_one_that_nova_knows() {
        for state in State::ALL {
            for task in Task::ALL.iter().copied().map(Some).chain([None]) {
                assert!(STATUSES.contains(&status(*state, task)));
            }
        }
        assert_eq!(status(State::Active, Some(Task::Rebooting)), "REBOOT");
        assert_eq!(status(State::Stopped, Some(Task::RebootingHard)), "HARD_REBOOT");
        assert_eq!(status(State::Stopped, Some(Task::PoweringOn)), "SHUTOFF");
    }

    #[test]
    fn a_hostname_is_one_that_a_guest_can_have() {
        let id = ServerId::parse("11111111-2222-4333-8444-555555555555").unwrap();
        assert_eq!(hostname("My Web_1", id), "my-web-1");
        assert_eq!(hostname("web.example.org", id), "web-example-org");
        assert_eq!(hostname("ü", id), "server-11111111-2222-4333-8444-555555555555");
        assert_eq!(hostname(&"a".repeat(80), id).len(), 63);
    }
}
