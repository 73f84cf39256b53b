//! Looks at a move until it is over: notes what is counted, does what somebody asks of it, and gives the guest more time to
//! stand still, or the move its end, as time passes.

use super::{Way, measured, noted, torn};
use crate::cloud::moving::{Measured, OnTimeout, Pace, Point, add_point};
use crate::error::{Error, Result};
use crate::hypervisor::{Carry, Departure, Hypervisor, Phase, Steer};
use crate::ids::ServerId;
use crate::store::server_moves;
use crate::tasks::{Cx, machine};
use std::time::Duration;

/// Short moves are over before the second look; long ones are looked at this often.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const EVERY: Duration = Duration::from_millis(500);
/// It is not tried more often to take up a torn move.
const WHILE_TORN: Duration = Duration::from_secs(5);
/// So long is a move short.
const FIRST_MS: u64 = 5_000;

/// What has been asked of the hypervisor so far: each is asked once, and again after a crash.
#[derive(Default)]
struct Asked {
    abort: bool,
    hasten: bool,
    downtime: u64,
}

/// Until nothing goes on at the source. A move that is torn is taken up again, for as long as that is tried.
///
/// # Errors
/// A conflict when somebody deletes the server, which ends the move, or gives up what is torn.
pub async fn watch(cx: &Cx, id: ServerId, way: &Way, since: i64, pace: Pace, sent: Option<&Departure>) -> Result<()> {
    let host = &*cx.hosts.get(way.from)?.hypervisor;
    let server = machine::server(cx).await?;
    let gib = server.flavor.ram_mib.div_ceil(1024) + server.flavor.disk_gib;
    let mut changes = host.events();
    let (mut pause, mut asked, mut plot, mut noted) = (FIRST_LOOK, Asked::default(), Vec::new(), None);
    let mut torn_since = None;
    loop {
        let Some(progress) = host.migration(id).await? else { return Ok(()) };
        let counts = measured(&progress.counts);
        // Before anything is counted nothing is worth a note, nor at the end, of which the target knows.
        let word = if noted == Some(counts) || counts.memory.total + counts.disk.total == 0 {
            asked_for(cx, way.number).await?
        } else {
            note(cx, way.number, &counts, &mut plot).await?
        };
        noted = Some(counts);
        if progress.phase.is_over() {
            return Ok(());
        }
        if cx.is_cancelled().await? {
            return Err(Error::conflict("cancelled"));
        }
        let seconds = u64::try_from((cx.clock.now().0 - since) / 1_000_000).unwrap_or(0);
        let is_over = pace.is_over(seconds, gib);
        let aborts = word.as_deref() == Some("abort");
        if is_over && !aborts && progress.phase == Phase::Copying && pace.on_timeout == OnTimeout::Abort {
            // To upstream's clients that is a move called off, whoever did it.
            let (number, now) = (way.number, cx.clock.now());
            tracing::warn!(server = %id, seconds, "a move has taken too long, and is called off");
            cx.db.write(move |tx| server_moves::ask(tx, number, "abort", now)).await?;
        }
        let hastens = word.as_deref() == Some("hasten") || (is_over && pace.on_timeout == OnTimeout::ForceComplete);
        if let Phase::Torn(why) = &progress.phase {
            let now = cx.clock.now();
            let since = *torn_since.get_or_insert_with(|| {
                tracing::warn!(server = %id, why, "a guest is on neither host whole, which is mended if it can be");
                now
            });
            let waited = u64::try_from((now.0 - since.0) / 1_000_000).unwrap_or(0);
            if word.as_deref() == Some("abort") || waited >= pace.recovery_timeout {
                return Err(Error::conflict(why.clone()));
            }
            match torn::mend(cx, way, sent).await {
                Err(error) if !error.is_transient() => return Err(error),
                Err(error) => tracing::info!(server = %id, %error, "a torn move could not be taken up again yet"),
                Ok(()) => {}
            }
        } else {
            torn_since = None;
        }
        if progress.phase == Phase::Copying {
            steer(cx, host, id, &mut asked, (aborts, hastens, pace.downtime_after(seconds, gib))).await?;
        }
        let changed = async {
            match &mut changes {
                // Each try to take up a torn move makes some itself.
                Some(changes) if torn_since.is_none() => drop(changes.changed().await),
                _ => std::future::pending().await,
            }
        };
        let _ = tokio::time::timeout(pause, changed).await;
        // Hypervisors count disks only while those go first, which may be over in no time.
        let is_first = way.carry != Carry::Nothing && counts.memory.processed == 0 && counts.elapsed_ms < FIRST_MS;
        let most = if torn_since.is_some() { WHILE_TORN } else { EVERY };
        pause = if is_first { FIRST_LOOK } else { (pause * 2).min(most) };
    }
}

async fn steer(
    cx: &Cx,
    host: &dyn Hypervisor,
    id: ServerId,
    asked: &mut Asked,
    (aborts, hastens, downtime): (bool, bool, u64),
) -> Result<()> {
    if aborts && !asked.abort {
        asked.abort = true;
        return host.steer_migration(id, cx.epoch, Steer::Abort).await;
    }
    if hastens && !asked.hasten {
        asked.hasten = true;
        host.steer_migration(id, cx.epoch, Steer::Hasten).await?;
        let now = cx.clock.now();
        return cx.db.write(move |tx| noted::was_forced(tx, id, now)).await;
    }
    if downtime != asked.downtime {
        asked.downtime = downtime;
        return host.steer_migration(id, cx.epoch, Steer::Downtime(downtime)).await;
    }
    Ok(())
}

async fn asked_for(cx: &Cx, number: i64) -> Result<Option<String>> {
    cx.db.read(move |tx| Ok(server_moves::get(tx, number)?.and_then(|moved| moved.asked))).await
}

async fn note(cx: &Cx, number: i64, counts: &Measured, plot: &mut Vec<Point>) -> Result<Option<String>> {
    if plot.is_empty() {
        *plot = cx.db.read(move |tx| server_moves::course(tx, number)).await?.1;
    }
    add_point(plot, Point { at_ms: counts.elapsed_ms, memory: counts.memory.remaining, disk: counts.disk.remaining });
    let (counts, plot, now) = (*counts, plot.clone(), cx.clock.now());
    cx.db.write(move |tx| server_moves::note(tx, number, &counts, Some(&plot), now)).await
}
