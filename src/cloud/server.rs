//! A server's life: its states, which action is legal when, and what Nova's clients are shown of it.
//!
//! ```text
//!              boot                 stop ─► Stopped ─► start ─┐
//!  Building ──────────► Active ─────┤                          ├──► Active
//!     │                   │         pause ─► Paused ─► unpause ┘
//!     │ failure           │ failure                 (hard reboot leads from all of them to Active)
//!     └──────► Error ◄────┘                                          any ── delete ──► Deleted
//! ```
//! A row keeps a [`State`] (where the server is in its life) and perhaps a [`Task`] (the work now done on it). Everything
//! else that Nova shows follows from the two, in one table ([`shown`]). Which action may be asked for when is one `match`
//! ([`may`]), and its refusals are Nova's sentences.

use crate::error::{Error, Result};
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
        Deleting = "deleting",
    }
}

/// Nova's `status` out of state and task: the one table of it.
pub const fn status(state: State, task: Option<Task>) -> &'static str {
    match (state, task) {
        (State::Active | State::Stopped | State::Paused | State::Error, Some(Task::RebootingHard)) => "HARD_REBOOT",
        (State::Active, Some(Task::Rebooting)) => "REBOOT",
        (State::Active, _) => "ACTIVE",
        (State::Building, _) => "BUILD",
        (State::Stopped, _) => "SHUTOFF",
        (State::Paused, _) => "PAUSED",
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
        "shutdown" => 4,
        "crashed" => 6,
        "suspended" => 7,
        _ => 0,
    }
}

/// The machine's name on its host.
pub fn machine_name(id: ServerId) -> String {
    format!("instance-{}", &id.0.simple().to_string()[..8])
}

/// What may be asked of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    Start,
    Stop,
    RebootSoftly,
    RebootHard,
    Pause,
    Unpause,
    Delete,
    ChangeMetadata,
    ChangeTags,
}

impl Action {
    /// The action's name in Nova's refusals.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::RebootSoftly | Self::RebootHard => "reboot",
            Self::Pause => "pause",
            Self::Unpause => "unpause",
            Self::Delete => "delete",
            Self::ChangeMetadata => "update metadata",
            Self::ChangeTags => "update tags",
        }
    }

    /// What instance actions call it.
    pub const fn recorded_as(self) -> &'static str {
        match self {
            Self::RebootSoftly | Self::RebootHard => "reboot",
            other => other.name(),
        }
    }
}

/// What the rules look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Situation {
    pub state: State,
    pub task: Option<Task>,
    pub has_launched: bool,
    pub is_locked: bool,
}

/// May this be asked of the server now?
///
/// # Errors
/// `Conflict`, in Nova's sentence.
pub fn may(action: Action, id: ServerId, now: Situation, overrides_lock: bool) -> Result<()> {
    // Locks are looked at first, as upstream: a stranger to the lock learns nothing else.
    if now.is_locked && !overrides_lock && action != Action::ChangeTags {
        return Err(Error::conflict(format!("Instance {id} is locked")));
    }
    let state_fits = match action {
        Action::Start => matches!(now.state, State::Stopped),
        Action::Stop => matches!(now.state, State::Active | State::Error),
        Action::RebootSoftly | Action::Pause => matches!(now.state, State::Active),
        Action::RebootHard => matches!(now.state, State::Active | State::Stopped | State::Paused | State::Error),
        Action::Unpause => matches!(now.state, State::Paused),
        Action::Delete => true,
        Action::ChangeMetadata | Action::ChangeTags => {
            matches!(now.state, State::Active | State::Stopped | State::Paused)
        }
    };
    if !state_fits {
        return Err(wrong("vm_state", now.state.word(), action, id));
    }
    let task_fits = match (action, now.task) {
        (_, None) | (Action::Delete | Action::ChangeTags, _) => true,
        // A hard reboot is the way out of work that hangs.
        (Action::RebootHard, Some(task)) => {
            matches!(task, Task::Rebooting | Task::RebootingHard | Task::Pausing | Task::Unpausing)
        }
        (_, Some(_)) => false,
    };
    if let (false, Some(task)) = (task_fits, now.task) {
        return Err(wrong("task_state", task.word(), action, id));
    }
    let must_have_launched = !matches!(action, Action::Delete | Action::ChangeMetadata | Action::ChangeTags);
    if must_have_launched && !now.has_launched {
        return Err(Error::conflict(format!("Instance is in an invalid state for '{}'", action.name())));
    }
    Ok(())
}

fn wrong(attribute: &str, value: &str, action: Action, id: ServerId) -> Error {
    Error::conflict(format!("Cannot '{}' instance {id} while it is in {attribute} {value}", action.name()))
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

    fn refusal(action: Action, state: State, task: Option<Task>) -> Option<String> {
        let now = Situation { state, task, has_launched: true, is_locked: false };
        let id = ServerId::parse("11111111-2222-4333-8444-555555555555").unwrap();
        may(action, id, now, false).err().map(|error| error.to_string())
    }

    #[test]
    fn an_action_is_refused_in_novas_sentence_with_the_state_that_forbids_it() {
        assert_eq!(refusal(Action::Start, State::Stopped, None), None);
        assert_eq!(
            refusal(Action::Start, State::Active, None).as_deref(),
            Some("Cannot 'start' instance 11111111-2222-4333-8444-555555555555 while it is in vm_state active")
        );
        assert_eq!(
            refusal(Action::Stop, State::Active, Some(Task::PoweringOff)).as_deref(),
            Some("Cannot 'stop' instance 11111111-2222-4333-8444-555555555555 while it is in task_state powering-off")
        );
    }

    #[test]
    fn a_delete_is_legal_in_every_state_and_during_every_task() {
        for state in State::ALL {
            for task in Task::ALL {
                assert_eq!(refusal(Action::Delete, *state, Some(*task)), None);
            }
        }
    }

    #[test]
    fn a_hard_reboot_interrupts_a_soft_one_and_nothing_that_builds() {
        assert_eq!(refusal(Action::RebootHard, State::Active, Some(Task::Rebooting)), None);
        assert_eq!(refusal(Action::RebootHard, State::Error, None), None);
        assert!(refusal(Action::RebootHard, State::Building, Some(Task::Spawning)).is_some());
        assert!(refusal(Action::RebootSoftly, State::Stopped, None).is_some());
    }

    #[test]
    fn a_locked_server_is_only_touched_by_who_overrides_the_lock() {
        let id = ServerId::random();
        let now = Situation { state: State::Active, task: None, has_launched: true, is_locked: true };
        assert_eq!(may(Action::Stop, id, now, false).unwrap_err().to_string(), format!("Instance {id} is locked"));
        assert!(may(Action::Delete, id, now, false).is_err());
        assert!(may(Action::Stop, id, now, true).is_ok());
    }

    #[test]
    fn a_server_that_never_ran_can_be_deleted_and_not_stopped() {
        let id = ServerId::random();
        let now = Situation { state: State::Error, task: None, has_launched: false, is_locked: false };
        assert!(may(Action::Delete, id, now, false).is_ok());
        assert_eq!(
            may(Action::Stop, id, now, false).unwrap_err().to_string(),
            "Instance is in an invalid state for 'stop'"
        );
    }

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
