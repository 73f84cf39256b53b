//! Who runs the guest: asked of both hosts, when no move goes on.
//!
//! Either host may be away; then nothing is known, and who asks comes again. A machine that both hosts run is the source's:
//! a hypervisor lets a guest go on at the source only when it has decided that the move failed.

use super::{Way, measured};
use crate::cloud::moving::Measured;
use crate::error::{Error, Result};
use crate::hypervisor::{Phase, Power, Standing, Steer};
use crate::ids::ServerId;
use crate::tasks::Cx;
use std::time::Duration;

/// Where the guest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Truth {
    /// At the source, running or not.
    Here {
        why: String,
    },
    There(Power),
}

const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Asks both hosts. With `ends`, a move that still goes on is called off first; else it is waited for.
pub async fn find(cx: &Cx, id: ServerId, way: &Way, ends: bool) -> Result<Truth> {
    let (from, to) = (cx.hosts.get(way.from)?, cx.hosts.get(way.to)?);
    let mut asked = false;
    let why = loop {
        let progress = from.hypervisor.migration(id).await?;
        match progress.map(|progress| progress.phase) {
            Some(phase @ (Phase::Copying | Phase::PostCopy)) => {
                // Past the switch there is no way back.
                if ends && !asked && phase == Phase::Copying {
                    from.hypervisor.steer_migration(id, cx.epoch, Steer::Abort).await?;
                    asked = true;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            Some(Phase::Failed(reason)) => break format!("Live migration failed: {reason}"),
            Some(Phase::Completed) | None => break "Live migration did not come to its end.".to_owned(),
        }
    };
    let (here, there) = (from.hypervisor.standing(id).await?, to.hypervisor.standing(id).await?);
    tracing::info!(server = %id, source = ?here, target = ?there, "who runs the server");
    match (here, there) {
        (Standing::Runs(_), Standing::Runs(_)) => {
            to.hypervisor.remove(id, cx.epoch).await?;
            Ok(Truth::Here { why })
        }
        (Standing::Runs(_), _)
        | (Standing::Off | Standing::Absent, Standing::Absent | Standing::Held)
        | (Standing::Off, Standing::Off) => Ok(Truth::Here { why }),
        (_, Standing::Runs(power)) => Ok(Truth::There(power)),
        // It got there, and its guest has switched itself off since.
        (Standing::Absent, Standing::Off) => Ok(Truth::There(Power::Shutdown)),
        (Standing::Held, _) => Err(Error::unavailable("who runs the server", "its host has not decided yet")),
    }
}

/// Has the machine left the source by this very move?
pub async fn has_left(cx: &Cx, id: ServerId, way: &Way) -> Result<bool> {
    let (from, to) = (cx.hosts.get(way.from)?, cx.hosts.get(way.to)?);
    Ok(from.hypervisor.standing(id).await? == Standing::Absent
        && matches!(to.hypervisor.standing(id).await?, Standing::Runs(_) | Standing::Off))
}

/// What was counted of the whole move: the target has the last numbers.
pub async fn last_counts(cx: &Cx, id: ServerId, way: &Way) -> Option<Measured> {
    let to = cx.hosts.get(way.to).ok()?;
    let progress = to.hypervisor.migration(id).await.ok()??;
    (progress.phase == Phase::Completed).then(|| measured(&progress.counts))
}
