//! Work that outlives a request: a row and an enum of steps.
//!
//! ```text
//!  handler ──one transaction──►  the thing's row + task row      ──► 202
//!                                          │ wake
//!  runner: claim (lease, epoch) ─► forward(step) ─► save next step + what it made visible ─► … ─► done
//!                                          │ a failure that no retry mends, or a wish to cancel
//!                                          └► undoing ─► back_out(step, why) ─► failed + what it made visible
//! ```
//! How crash safety is had:
//!
//! 1. The request's transaction creates the task, so no acknowledged work is lost.
//! 2. A step is saved before it is taken, in one transaction with the row changes that make the step before it visible.
//! 3. Therefore a step may run twice, and each is idempotent, usually because its identity comes from a row: the domain's
//!    UUID and the disk's folder are the server's id, the MAC address is the port's.
//! 4. What is worth retrying (`Error::is_transient`) is retried with growing pauses, up to the workflow's patience; all
//!    else is backed out. Backing out goes on, step after step, even if what it removes is gone already; where the subject
//!    itself is gone, it is over.
//! 5. A claim has a lease that its process renews, and an epoch that grows with every claim of any task. A process that
//!    was away too long can save nothing more, and hosts refuse its orders.
//! 6. Tasks about the same subject run one after another, in the order in which they were asked for: a delete waits until
//!    the boot it cancels has backed out, but for no host that is lost ([`making_way`]).
//!
//! The runner is woken by [`Runner::wake`] and by a timer; the wake-up carries nothing, so a lost one costs a second.
//! To add work: a file here with an enum of steps and a [`Workflow`], a line in [`workflows`], and a case in
//! `api/compute/tests/workflows.rs`, by which the generic tests of [`testing`] prove "each step twice" and "a failure at
//! each step" for it; without a case they fail.

pub mod ask_guest;
pub mod boot_server;
mod byte_channel;
pub mod cache_image;
pub mod cage;
pub mod clear_leftovers;
pub mod console;
pub mod convert_image;
pub mod crash_point;
mod cx;
pub mod delete_server;
mod ending;
pub mod evacuate_server;
mod events;
pub mod fetch;
mod fleet;
pub mod image_server;
pub mod import_image;
mod import_plugins;
mod machine;
mod machine_disks;
mod making_way;
pub mod migrate_server;
pub mod network_change;
pub mod network_wish;
pub mod overdue;
pub mod password;
pub mod placing;
pub mod power_server;
pub mod rebuild_server;
pub mod reconcile;
pub mod remote_image;
pub mod rescue_server;
pub mod resize_server;
mod runner;
pub mod shelve_server;
pub mod sweep_images;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
pub mod unshelve_server;
pub mod verify_images;

pub use crate::store::tasks::Why;
pub use cx::{Cx, Host, Hosts};
pub use fleet::Fleet;
pub use import_image::Importing;
pub use runner::{Runner, RunnerSettings};

use crate::blobs::Stores;
use crate::error::{Error, Result};
use crate::store::Tx;
use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::time::Duration;

/// What a step makes visible: row changes, in the transaction that saves what comes next. May run more than once.
pub type Record = Box<dyn Fn(&mut Tx) -> Result<()> + Send + Sync>;

/// What comes after a step.
pub enum Next<S> {
    Step(S, Option<Record>),
    Done(Option<Record>),
}

impl<S> Next<S> {
    pub fn step(step: S) -> Self {
        Self::Step(step, None)
    }

    pub fn done() -> Self {
        Self::Done(None)
    }

    /// Adds what becomes visible.
    pub fn recording(self, record: impl Fn(&mut Tx) -> Result<()> + Send + Sync + 'static) -> Self {
        match self {
            Self::Step(step, _) => Self::Step(step, Some(Box::new(record))),
            Self::Done(_) => Self::Done(Some(Box::new(record))),
        }
    }
}

/// A kind of work.
#[async_trait]
pub trait Workflow: Send + Sync + 'static {
    /// Each variant is a checkpoint that holds what later steps need.
    type Step: Serialize + DeserializeOwned + Debug + Send + Sync;

    /// The task row's `kind`. Never renamed: rows outlive programs.
    const KIND: &'static str;

    /// How often a transient failure of one step is retried before the work is backed out.
    const PATIENCE: u32 = 5;

    /// May it take as long as a stranger likes? All such work together gets half of what may run at once, so that what
    /// tenants drip in from afar never keeps machines from booting.
    const MAY_TAKE_LONG: bool = false;

    /// Does this step take much of the machine, its processors and its disk? Of all such steps only so many are taken at once
    /// ([`RunnerSettings::turns`]). Others wait in the table, where they keep nothing from running, and from where whoever
    /// wants them stopped gets them at once.
    fn takes_turn(_: &Self::Step) -> bool {
        false
    }

    /// Takes a step. May be called again for the same step, also after it has succeeded.
    async fn forward(&self, cx: &Cx, step: &Self::Step) -> Result<Next<Self::Step>>;

    /// Undoes what all steps up to and including this one may have done, and answers what that makes visible. May be
    /// called again.
    async fn back_out(&self, cx: &Cx, step: &Self::Step, why: &Why) -> Result<Option<Record>>;
}

/// How work on machines is done.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// How long a guest is given to shut down by itself.
    pub grace: Duration,
    pub moving: migrate_server::Moving,
}

impl From<Duration> for Manner {
    fn from(grace: Duration) -> Self {
        Self { grace, moving: migrate_server::Moving::default() }
    }
}

/// Every kind of work there is. `stores` hold images' bytes; `importing` says what may be fetched; a guest gets
/// its grace to power off by itself.
pub fn workflows(stores: &Stores, importing: &Importing, manner: impl Into<Manner>) -> Vec<Box<dyn AnyWorkflow>> {
    let Manner { grace: shutdown_grace, moving } = manner.into();
    let images = || image_server::ImageServer { stores: stores.clone(), rules: importing.rules.clone() };
    vec![
        Box::new(boot_server::BootServer { stores: stores.clone(), vault: importing.vault.clone() }),
        Box::new(cache_image::CacheImage { stores: stores.clone() }),
        Box::new(clear_leftovers::ClearLeftovers),
        Box::new(delete_server::DeleteServer),
        Box::new(evacuate_server::EvacuateServer { stores: stores.clone(), vault: importing.vault.clone() }),
        Box::new(images()),
        Box::new(import_image::ImportImage::new(stores, importing)),
        Box::new(migrate_server::MigrateServer { stores: stores.clone(), moving }),
        Box::new(network_change::NetworkChange),
        Box::new(power_server::PowerServer { grace: shutdown_grace }),
        Box::new(rebuild_server::RebuildServer { stores: stores.clone(), vault: importing.vault.clone() }),
        Box::new(rescue_server::RescueServer {
            stores: stores.clone(),
            vault: importing.vault.clone(),
            grace: shutdown_grace,
        }),
        Box::new(resize_server::ResizeServer { stores: stores.clone(), grace: shutdown_grace }),
        Box::new(shelve_server::ShelveServer { images: images(), grace: shutdown_grace }),
        Box::new(unshelve_server::UnshelveServer { stores: stores.clone() }),
    ]
}

/// A workflow with its steps as JSON, as rows keep them.
#[async_trait]
pub trait AnyWorkflow: Send + Sync {
    fn kind(&self) -> &'static str;
    fn patience(&self) -> u32;
    fn may_take_long(&self) -> bool;
    fn takes_turn(&self, step: &str) -> Result<bool>;
    async fn forward(&self, cx: &Cx, step: &str) -> Result<Next<String>>;
    async fn back_out(&self, cx: &Cx, step: &str, why: &Why) -> Result<Option<Record>>;
}

#[async_trait]
impl<W: Workflow> AnyWorkflow for W {
    fn kind(&self) -> &'static str {
        W::KIND
    }

    fn patience(&self) -> u32 {
        W::PATIENCE
    }

    fn may_take_long(&self) -> bool {
        W::MAY_TAKE_LONG
    }

    fn takes_turn(&self, step: &str) -> Result<bool> {
        Ok(W::takes_turn(&serde_json::from_str(step).map_err(unreadable)?))
    }

    async fn forward(&self, cx: &Cx, step: &str) -> Result<Next<String>> {
        let step: W::Step = serde_json::from_str(step).map_err(unreadable)?;
        tracing::debug!(task = %cx.task_id, subject = cx.subject, kind = W::KIND, ?step, "step");
        Ok(match Workflow::forward(self, cx, &step).await? {
            Next::Step(next, record) => Next::Step(to_json(&next), record),
            Next::Done(record) => Next::Done(record),
        })
    }

    async fn back_out(&self, cx: &Cx, step: &str, why: &Why) -> Result<Option<Record>> {
        let step: W::Step = serde_json::from_str(step).map_err(unreadable)?;
        tracing::info!(task = %cx.task_id, subject = cx.subject, kind = W::KIND, ?step, %why, "backing out");
        Workflow::back_out(self, cx, &step, why).await
    }
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::internal("a task's step can't be read by this version of the program", error)
}

/// A step as rows keep it.
pub fn to_json<S: Serialize>(step: &S) -> String {
    serde_json::to_string(step).expect("steps are plain enums")
}

/// Records new work in the transaction of the request that wants it.
pub fn insert<W: Workflow>(
    tx: &mut Tx,
    wish: &crate::store::tasks::NewTask<'_>,
    first: &W::Step,
) -> Result<crate::ids::TaskId> {
    crate::store::tasks::insert(tx, W::KIND, &to_json(first), wish)
}
