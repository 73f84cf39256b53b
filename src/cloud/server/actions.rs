//! What may be asked of a server, and when.
//!
//! One table, [`needs`], says for each action in which states it is legal; [`may`] reads it and refuses in Nova's sentences.
//! The order of the questions is Nova's too: locks first, then whether there is a host, then the states.

use super::{State, Task};
use crate::error::{Error, Result};
use crate::ids::ServerId;

/// What may be asked of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    Start,
    Stop,
    RebootSoftly,
    RebootHard,
    Pause,
    Unpause,
    Suspend,
    Resume,
    Rebuild,
    Resize,
    Migrate,
    Evacuate,
    ConfirmResize,
    RevertResize,
    MigrateLive,
    ForceComplete,
    AbortMigration,
    Rescue,
    Unrescue,
    Shelve,
    ShelveOffload,
    Unshelve,
    CreateImage,
    CreateBackup,
    ChangePassword,
    TriggerCrashDump,
    InjectNetworkInfo,
    Delete,
    SoftDelete,
    ForceDelete,
    Restore,
    ChangeMetadata,
    ChangeTags,
}

impl Action {
    pub const ALL: &'static [Self] = &[
        Self::Start,
        Self::Stop,
        Self::RebootSoftly,
        Self::RebootHard,
        Self::Pause,
        Self::Unpause,
        Self::Suspend,
        Self::Resume,
        Self::Rebuild,
        Self::Resize,
        Self::Migrate,
        Self::Evacuate,
        Self::ConfirmResize,
        Self::RevertResize,
        Self::MigrateLive,
        Self::ForceComplete,
        Self::AbortMigration,
        Self::Rescue,
        Self::Unrescue,
        Self::Shelve,
        Self::ShelveOffload,
        Self::Unshelve,
        Self::CreateImage,
        Self::CreateBackup,
        Self::ChangePassword,
        Self::TriggerCrashDump,
        Self::InjectNetworkInfo,
        Self::Delete,
        Self::SoftDelete,
        Self::ForceDelete,
        Self::Restore,
        Self::ChangeMetadata,
        Self::ChangeTags,
    ];

    /// The action's name in Nova's refusals.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::RebootSoftly | Self::RebootHard => "reboot",
            Self::Pause => "pause",
            Self::Unpause => "unpause",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Rebuild => "rebuild",
            Self::Resize => "resize",
            Self::Migrate => "migrate",
            Self::Evacuate => "evacuate",
            Self::ConfirmResize => "confirmResize",
            Self::RevertResize => "revertResize",
            Self::MigrateLive => "os-migrateLive",
            Self::ForceComplete => "force_complete",
            Self::AbortMigration => "abort live migration",
            Self::Rescue => "rescue",
            Self::Unrescue => "unrescue",
            Self::Shelve => "shelve",
            Self::ShelveOffload => "shelveOffload",
            Self::Unshelve => "unshelve",
            Self::CreateImage => "createImage",
            Self::CreateBackup => "createBackup",
            Self::ChangePassword => "changePassword",
            Self::TriggerCrashDump => "trigger_crash_dump",
            Self::InjectNetworkInfo => "injectNetworkInfo",
            Self::Delete | Self::SoftDelete | Self::ForceDelete => "delete",
            Self::Restore => "restore",
            Self::ChangeMetadata => "update metadata",
            Self::ChangeTags => "update tags",
        }
    }

    /// What instance actions call it.
    pub const fn recorded_as(self) -> &'static str {
        match self {
            Self::MigrateLive => "live-migration",
            Self::ForceComplete => "live_migration_force_complete",
            Self::AbortMigration => "live_migration_cancel",
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
    pub is_on_host: bool,
}

/// In which states of its life a server must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum States {
    Any,
    These(&'static [State]),
}

/// Which work may already go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Busy {
    /// None.
    Never,
    /// Whatever goes on.
    Whatever,
    /// Work that a hard reboot is the way out of.
    Rebooting,
    /// A live move, and nothing else.
    Migrating,
}

/// What an action needs.
struct Needs {
    states: States,
    busy: Busy,
    /// It must have run once.
    launched: bool,
    /// Who locked the server wants this not to happen.
    heeds_lock: bool,
    host: bool,
}

const fn needs(action: Action) -> Needs {
    use State::{Active, Error, Paused, Rescued, Resized, Shelved, ShelvedOffloaded, SoftDeleted, Stopped, Suspended};
    const fn when(states: &'static [State]) -> Needs {
        Needs { states: States::These(states), busy: Busy::Never, launched: true, heeds_lock: true, host: false }
    }
    const ALWAYS: Needs =
        Needs { states: States::Any, busy: Busy::Whatever, launched: false, heeds_lock: true, host: false };
    match action {
        Action::Start => Needs { host: true, ..when(&[Stopped]) },
        Action::Stop => Needs { host: true, ..when(&[Active, Error]) },
        Action::RebootSoftly | Action::Pause | Action::Suspend | Action::ChangePassword => when(&[Active]),
        Action::RebootHard => Needs { busy: Busy::Rebooting, ..when(&[Active, Stopped, Paused, Suspended, Error]) },
        Action::Unpause => when(&[Paused]),
        Action::Resume => when(&[Suspended]),
        // Upstream lets an operator save even what is locked.
        Action::Evacuate => Needs { heeds_lock: false, ..when(&[Active, Stopped, Error]) },
        Action::Rebuild | Action::Rescue => when(&[Active, Stopped, Error]),
        Action::Resize | Action::Migrate => when(&[Active, Stopped]),
        Action::ConfirmResize | Action::RevertResize => when(&[Resized]),
        Action::MigrateLive => when(&[Active, Paused]),
        Action::ForceComplete => Needs { busy: Busy::Migrating, ..when(&[Active]) },
        Action::AbortMigration => Needs { states: States::Any, busy: Busy::Migrating, ..when(&[]) },
        Action::Unrescue => when(&[Rescued]),
        Action::Shelve => when(&[Active, Stopped, Paused, Suspended]),
        Action::ShelveOffload => when(&[Shelved]),
        Action::Unshelve => when(&[Shelved, ShelvedOffloaded]),
        // A lock keeps a server from being changed; its image changes nothing.
        Action::CreateImage | Action::CreateBackup => {
            Needs { heeds_lock: false, ..when(&[Active, Stopped, Paused, Suspended]) }
        }
        Action::TriggerCrashDump => Needs { host: true, ..when(&[Active, Paused, Rescued, Resized, Error]) },
        Action::InjectNetworkInfo => Needs { host: true, ..ALWAYS },
        Action::Delete | Action::ForceDelete => ALWAYS,
        Action::SoftDelete => Needs { launched: true, ..ALWAYS },
        Action::Restore => when(&[SoftDeleted]),
        Action::ChangeMetadata => Needs { busy: Busy::Whatever, ..when(&[Active, Paused, Suspended, Stopped]) },
        Action::ChangeTags => Needs {
            busy: Busy::Whatever,
            launched: false,
            heeds_lock: false,
            ..when(&[Active, Paused, Suspended, Stopped])
        },
    }
}

/// May this be asked of the server now?
///
/// # Errors
/// `Conflict`, in Nova's sentence.
pub fn may(action: Action, id: ServerId, now: Situation, overrides_lock: bool) -> Result<()> {
    let needs = needs(action);
    // Locks are looked at first, as upstream: a stranger to the lock learns nothing else.
    if needs.heeds_lock && now.is_locked && !overrides_lock {
        return Err(Error::conflict(format!("Instance {id} is locked")));
    }
    if needs.host && !now.is_on_host {
        return Err(Error::conflict(format!("Instance {id} is not ready")));
    }
    if let States::These(states) = needs.states
        && !states.contains(&now.state)
    {
        return Err(wrong("vm_state", now.state.word(), action, id));
    }
    let may_go_on = |task: Task| match needs.busy {
        Busy::Never => false,
        Busy::Whatever => true,
        Busy::Migrating => task == Task::Migrating,
        Busy::Rebooting => matches!(
            task,
            Task::Rebooting | Task::RebootingHard | Task::Pausing | Task::Unpausing | Task::Suspending | Task::Resuming
        ),
    };
    match now.task {
        Some(task) if !may_go_on(task) => return Err(wrong("task_state", task.word(), action, id)),
        None if needs.busy == Busy::Migrating => {
            return Err(Error::conflict(format!("Instance is in an invalid state for '{}'", action.name())));
        }
        _ => {}
    }
    if needs.launched && !now.has_launched {
        return Err(Error::conflict(format!("Instance is in an invalid state for '{}'", action.name())));
    }
    Ok(())
}

fn wrong(attribute: &str, value: &str, action: Action, id: ServerId) -> Error {
    Error::conflict(format!("Cannot '{}' instance {id} while it is in {attribute} {value}", action.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "11111111-2222-4333-8444-555555555555";

    fn situation(state: State, task: Option<Task>) -> Situation {
        Situation { state, task, has_launched: true, is_locked: false, is_on_host: true }
    }

    fn refusal_in(action: Action, now: Situation) -> Option<String> {
        may(action, ServerId::parse(ID).unwrap(), now, false).err().map(|error| error.to_string())
    }

    fn refusal(action: Action, state: State, task: Option<Task>) -> Option<String> {
        refusal_in(action, situation(state, task))
    }

    /// What is only asked of a server while it moves.
    const OF_A_MOVE: [Action; 2] = [Action::ForceComplete, Action::AbortMigration];

    #[test]
    fn a_move_is_hastened_or_called_off_only_while_it_goes_on() {
        for action in OF_A_MOVE {
            let nothing = format!("Instance is in an invalid state for '{}'", action.name());
            assert_eq!(refusal(action, State::Active, None), Some(nothing));
            assert_eq!(refusal(action, State::Active, Some(Task::Migrating)), None);
            let other = format!("Cannot '{}' instance {ID} while it is in task_state pausing", action.name());
            assert_eq!(refusal(action, State::Active, Some(Task::Pausing)), Some(other));
        }
        assert_eq!(refusal(Action::AbortMigration, State::Paused, Some(Task::Migrating)), None);
        let paused = format!("Cannot 'force_complete' instance {ID} while it is in vm_state paused");
        assert_eq!(refusal(Action::ForceComplete, State::Paused, Some(Task::Migrating)), Some(paused));
    }

    /// Upstream's table (`check_instance_state` over each method of its compute API), state by state: the actions that are
    /// legal in it while nothing goes on. Written out a second time, the other way round, so that neither can drift alone.
    #[test]
    fn in_each_state_exactly_those_actions_are_legal_that_nova_allows() {
        use Action as A;
        let always = [A::InjectNetworkInfo, A::Delete, A::SoftDelete, A::ForceDelete];
        let table: &[(State, &[Action])] = &[
            (State::Building, &[]),
            (
                State::Active,
                &[
                    A::Stop,
                    A::RebootSoftly,
                    A::RebootHard,
                    A::Pause,
                    A::Suspend,
                    A::Rebuild,
                    A::Resize,
                    A::Migrate,
                    A::Evacuate,
                    A::MigrateLive,
                    A::Rescue,
                    A::Shelve,
                    A::CreateImage,
                    A::CreateBackup,
                    A::ChangePassword,
                    A::TriggerCrashDump,
                    A::ChangeMetadata,
                    A::ChangeTags,
                ],
            ),
            (
                State::Stopped,
                &[
                    A::Start,
                    A::RebootHard,
                    A::Rebuild,
                    A::Resize,
                    A::Migrate,
                    A::Evacuate,
                    A::Rescue,
                    A::Shelve,
                    A::CreateImage,
                    A::CreateBackup,
                    A::ChangeMetadata,
                    A::ChangeTags,
                ],
            ),
            (
                State::Paused,
                &[
                    A::RebootHard,
                    A::Unpause,
                    A::MigrateLive,
                    A::Shelve,
                    A::CreateImage,
                    A::CreateBackup,
                    A::TriggerCrashDump,
                    A::ChangeMetadata,
                    A::ChangeTags,
                ],
            ),
            (
                State::Suspended,
                &[
                    A::RebootHard,
                    A::Resume,
                    A::Shelve,
                    A::CreateImage,
                    A::CreateBackup,
                    A::ChangeMetadata,
                    A::ChangeTags,
                ],
            ),
            (State::Rescued, &[A::Unrescue, A::TriggerCrashDump]),
            (State::Resized, &[A::ConfirmResize, A::RevertResize, A::TriggerCrashDump]),
            (State::Shelved, &[A::ShelveOffload, A::Unshelve]),
            (State::ShelvedOffloaded, &[A::Unshelve]),
            (State::SoftDeleted, &[A::Restore]),
            (State::Error, &[A::Stop, A::RebootHard, A::Rebuild, A::Evacuate, A::Rescue, A::TriggerCrashDump]),
            (State::Deleted, &[]),
        ];
        assert_eq!(table.len(), State::ALL.len());
        for (state, legal) in table {
            for action in Action::ALL.iter().filter(|action| !OF_A_MOVE.contains(action)) {
                let expected = always.contains(action) || legal.contains(action);
                let refused = refusal(*action, *state, None);
                assert_eq!(refused.is_none(), expected, "{action:?} in {state:?}: {refused:?}");
                if let Some(text) = refused {
                    let (name, word) = (action.name(), state.word());
                    assert_eq!(text, format!("Cannot '{name}' instance {ID} while it is in vm_state {word}"));
                }
            }
        }
    }

    /// While work goes on, what is legal in the state is refused with the work's name, but for what may always be asked
    /// and for a hard reboot out of work that it ends.
    #[test]
    fn during_each_task_exactly_those_actions_are_legal_that_nova_allows() {
        use Task as T;
        let ended_by_a_reboot = [T::Rebooting, T::RebootingHard, T::Pausing, T::Unpausing, T::Suspending, T::Resuming];
        for action in Action::ALL {
            for state in State::ALL.iter().filter(|state| refusal(*action, **state, None).is_none()) {
                for task in Task::ALL {
                    let expected = match action {
                        Action::InjectNetworkInfo
                        | Action::Delete
                        | Action::SoftDelete
                        | Action::ForceDelete
                        | Action::ChangeMetadata
                        | Action::ChangeTags => true,
                        Action::RebootHard => ended_by_a_reboot.contains(task),
                        _ => false,
                    };
                    let refused = refusal(*action, *state, Some(*task));
                    assert_eq!(refused.is_none(), expected, "{action:?} during {task:?}");
                    if let Some(text) = refused {
                        let (name, word) = (action.name(), task.word());
                        assert_eq!(text, format!("Cannot '{name}' instance {ID} while it is in task_state {word}"));
                    }
                }
            }
        }
    }

    #[test]
    fn a_locked_server_is_only_touched_by_who_overrides_the_lock() {
        let id = ServerId::parse(ID).unwrap();
        for action in Action::ALL {
            let task = OF_A_MOVE.contains(action).then_some(Task::Migrating);
            let state = *State::ALL.iter().find(|state| refusal(*action, **state, task).is_none()).unwrap();
            let now = Situation { is_locked: true, ..situation(state, task) };
            let heedless =
                matches!(action, Action::CreateImage | Action::CreateBackup | Action::ChangeTags | Action::Evacuate);
            let expected = (!heedless).then(|| format!("Instance {ID} is locked"));
            assert_eq!(refusal_in(*action, now), expected, "{action:?}");
            assert!(may(*action, id, now, true).is_ok(), "{action:?}");
        }
    }

    #[test]
    fn a_server_that_never_ran_can_be_deleted_and_not_stopped() {
        let now = Situation { has_launched: false, ..situation(State::Error, None) };
        assert_eq!(refusal_in(Action::Delete, now), None);
        assert!(refusal_in(Action::SoftDelete, now).is_some());
        assert_eq!(refusal_in(Action::Stop, now).as_deref(), Some("Instance is in an invalid state for 'stop'"));
    }

    #[test]
    fn what_needs_a_host_says_so_before_it_looks_at_the_state() {
        for action in [Action::Start, Action::Stop, Action::TriggerCrashDump, Action::InjectNetworkInfo] {
            let now = Situation { is_on_host: false, ..situation(State::ShelvedOffloaded, None) };
            assert_eq!(refusal_in(action, now), Some(format!("Instance {ID} is not ready")));
        }
    }
}
