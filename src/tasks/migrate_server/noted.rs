//! A move's steps under upstream's names.
//!
//! ```text
//!  conductor_live_migrate_instance                          Choose, Compare
//!    compute_check_can_live_migrate_destination   target    Compare
//!    compute_check_can_live_migrate_source        source    Compare
//!  compute_live_migration                         source    Prepare … Settle
//!    compute_pre_live_migration                   target    Prepare
//!  compute_post_live_migration_at_destination     target    Clean
//!  compute_rollback_live_migration_at_destination target    where the server stays at the source
//! ```
//! What is asked of a move under way is an action of its own, whose step is open until it is carried out.

use super::{Order, Way};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::ids::{HostId, ServerId};
use crate::store::{Tx, instance_actions};
use crate::tasks::events::Events;

pub const ASKED: &str = "conductor_live_migrate_instance";
/// The same, where the client waits for what can be refused at once.
pub const ASKED_AND_WAITED: &str = "conductor_migrate_server";
pub const LOOK_AT_TARGET: &str = "compute_check_can_live_migrate_destination";
const LOOK_AT_SOURCE: &str = "compute_check_can_live_migrate_source";
pub const MOVE: &str = "compute_live_migration";
pub const PREPARE: &str = "compute_pre_live_migration";
pub const ARRIVE: &str = "compute_post_live_migration_at_destination";
const ROLL_BACK: &str = "compute_rollback_live_migration_at_destination";
pub const ABORT: &str = "compute_live_migration_abort";
pub const FORCE: &str = "compute_live_migration_force_complete";

/// Both ends have been looked at, and the move begins.
pub fn may_begin(tx: &mut Tx, events: &Events, order: &Order, way: &Way) -> Result<()> {
    events.end(tx, LOOK_AT_TARGET, None)?;
    events.did(tx, LOOK_AT_SOURCE, way.from)?;
    events.end(tx, order.event(), None)?;
    events.begin(tx, MOVE, way.from)?;
    events.begin(tx, PREPARE, way.to)
}

/// The guest is at the target, and the source lets go.
pub fn is_there(tx: &mut Tx, events: &Events, way: &Way) -> Result<()> {
    events.end(tx, MOVE, None)?;
    events.begin(tx, ARRIVE, way.to)
}

/// The steps that failed with a move, the innermost first, and where it was rolled back.
pub struct Failed {
    pub events: Vec<&'static str>,
    pub rolled_back: Option<HostId>,
}

impl Failed {
    /// The outermost.
    pub fn last(&self) -> &'static str {
        self.events.last().copied().unwrap_or(MOVE)
    }

    pub fn note(&self, tx: &mut Tx, events: &Events, failure: Option<&str>) -> Result<()> {
        for event in &self.events {
            events.end(tx, event, failure)?;
        }
        self.rolled_back.map_or(Ok(()), |host| events.did(tx, ROLL_BACK, host))
    }
}

/// Who wanted it called off has what was wanted.
pub fn was_called_off(tx: &mut Tx, id: ServerId, now: Timestamp) -> Result<()> {
    instance_actions::end_open(tx, id, ABORT, None, now)
}

/// What was asked of the move and not done before its end will not be done.
pub fn orders_came_too_late(tx: &mut Tx, id: ServerId, now: Timestamp) -> Result<()> {
    for event in [ABORT, FORCE] {
        instance_actions::end_open(tx, id, event, Some("The migration was over."), now)?;
    }
    Ok(())
}

/// It goes on as somebody forced it to.
pub fn was_forced(tx: &mut Tx, id: ServerId, now: Timestamp) -> Result<()> {
    instance_actions::end_open(tx, id, FORCE, None, now)
}
