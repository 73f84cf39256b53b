//! Who runs the guest: asked of both hosts, when no move goes on.
//!
//! Either host may be away; then nothing is known, and who asks comes again, unless the source is given up: then the target's
//! word is enough, and nothing else is ([`without_source`]). A machine that both hosts run is the source's:
//! a hypervisor lets a guest go on at the source only when it has decided that the move failed.
//!
//! After the switch to post-copy a guest may be on neither host whole. If the part on one of them is gone, or nobody waits any
//! longer until the two can be put together, it is lost; its disk is the target's, which wrote on it last. The target's word is
//! not waited for then: a guest that stands still asks for nothing, so its host never notices that nothing can come.

use super::{Way, measured};
use crate::cloud::moving::Measured;
use crate::cloud::policy::Reach;
use crate::error::{Error, Result};
use crate::hypervisor::{Phase, Power, Standing, Steer};
use crate::ids::ServerId;
use crate::store::{Tx, server_moves, servers};
use crate::tasks::{Cx, Host};
use std::time::Duration;

/// Where the guest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Truth {
    /// At the source, running or not.
    Here {
        why: String,
    },
    There(Power),
    /// On neither.
    Lost {
        why: String,
    },
    /// At the target there is nothing that could run, and the source is given up with all that it had.
    GivenUp,
}

const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// So many looks more a target gets that may have on its way what it lacks, though the source has lost it.
const LAST_LOOKS: u32 = 20;

/// Asks both hosts. With `ends`, a move that still goes on is called off first; else it is waited for.
pub async fn find(cx: &Cx, id: ServerId, way: &Way, ends: bool) -> Result<Truth> {
    let (from, to) = (cx.hosts.get(way.from)?, cx.hosts.get(way.to)?);
    let mut asked = false;
    let (why, is_torn) = loop {
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
            Some(Phase::Failed(reason)) => break (format!("Live migration failed: {reason}"), false),
            Some(Phase::Torn(reason)) => {
                break (format!("Live migration failed after the switch to post-copy: {reason}"), true);
            }
            Some(Phase::Completed) | None => break ("Live migration did not come to its end.".to_owned(), false),
        }
    };
    let (here, there, given_up) = ask(id, [from, to], ends, is_torn).await?;
    tracing::info!(server = %id, source = ?here, target = ?there, "who runs the server");
    match decide(here, there, given_up) {
        Verdict::Both => {
            to.hypervisor.remove(id, cx.epoch).await?;
            Ok(Truth::Here { why })
        }
        Verdict::Here => Ok(Truth::Here { why }),
        Verdict::There(power) => Ok(Truth::There(power)),
        Verdict::Lost => Ok(Truth::Lost { why }),
        Verdict::Open => Err(Error::unavailable("who runs the server", "its hosts have not decided yet")),
    }
}

/// Asks the target alone: the source is down, says nothing, and is given up.
///
/// What the target doesn't have whole can't come any more. A guest that has not begun there never will; one that came before its
/// memory is lost. One that is off there has been there whole, because no move begins before the target is empty.
pub async fn without_source(cx: &Cx, id: ServerId, way: &Way) -> Result<Truth> {
    let to = cx.hosts.get(way.to)?;
    let there = last_word(id, to).await?;
    tracing::info!(server = %id, target = ?there, "who runs the server whose source is given up");
    match there {
        Standing::Runs(power) => Ok(Truth::There(power)),
        Standing::Off => Ok(Truth::There(Power::Shutdown)),
        Standing::Absent | Standing::Held => Ok(Truth::GivenUp),
        Standing::Fetching | Standing::Torn => {
            let why = "Live migration failed after the switch to post-copy: the source is lost.".to_owned();
            Ok(Truth::Lost { why })
        }
        // This host is asked as the target: what it says makes no sense.
        Standing::HandedOver => Err(Error::unavailable("who runs the server", "its host has not decided yet")),
    }
}

/// What was written down already, by somebody who did not come to the end of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    Nothing,
    /// The server is at the target.
    There,
    /// The same, and its guest is lost: why.
    Lost(String),
}

pub async fn written(cx: &Cx, id: ServerId, way: &Way) -> Result<Written> {
    let (to, number) = (way.to, way.number);
    let look = move |tx: &mut Tx| {
        if servers::get(tx, &Reach::Cloud, id)?.host_id != Some(to) {
            return Ok(Written::Nothing);
        }
        let lost = server_moves::get(tx, number)?.filter(|moved| moved.status == "error");
        Ok(lost.and_then(|moved| moved.failure).map_or(Written::There, Written::Lost))
    };
    cx.db.read(look).await
}

/// How the two stand to it, and what will not happen any more.
async fn ask(id: ServerId, [from, to]: [&Host; 2], ends: bool, is_torn: bool) -> Result<(Standing, Standing, GivenUp)> {
    let (here, there) = (from.hypervisor.standing(id).await?, to.hypervisor.standing(id).await?);
    let given_up = match (ends, is_torn) {
        _ if here == Standing::Off => GivenUp::Sending,
        (false, _) => GivenUp::Nothing,
        (true, false) => GivenUp::Mending,
        (true, true) => GivenUp::Sending,
    };
    let there = if given_up == GivenUp::Sending { last_word(id, to).await? } else { there };
    Ok((here, there, given_up))
}

/// Of a target that nobody sends anything any more, and that may have on its way what it lacks.
async fn last_word(id: ServerId, to: &Host) -> Result<Standing> {
    for _ in 0..LAST_LOOKS {
        let there = to.hypervisor.standing(id).await?;
        if there != Standing::Fetching {
            return Ok(there);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    to.hypervisor.standing(id).await
}

/// What the two hosts' words come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Here,
    There(Power),
    Both,
    Lost,
    Open,
}

/// What will not happen any more with what is in two parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GivenUp {
    Nothing,
    /// Nobody puts it together.
    Mending,
    /// And the source, which has lost the target or its process, sends nothing.
    Sending,
}

/// Of a machine that no move holds any more.
const fn decide(here: Standing, there: Standing, given_up: GivenUp) -> Verdict {
    match (here, there) {
        (Standing::Runs(_), Standing::Runs(_)) => Verdict::Both,
        (Standing::Runs(_), _)
        | (Standing::Off | Standing::Absent, Standing::Absent | Standing::Held)
        | (Standing::Off, Standing::Off)
        // The source's libvirt died just before the switch, and nobody else has the guest.
        | (Standing::Held, Standing::Absent | Standing::Off) => Verdict::Here,
        (_, Standing::Runs(power)) => Verdict::There(power),
        // It got there, and its guest has switched itself off since.
        (Standing::Absent, Standing::Off) => Verdict::There(Power::Shutdown),
        // One part of it is gone.
        (Standing::HandedOver, Standing::Absent | Standing::Off)
        | (Standing::Off | Standing::Absent, Standing::Torn) => Verdict::Lost,
        (Standing::HandedOver, Standing::Torn) if !matches!(given_up, GivenUp::Nothing) => Verdict::Lost,
        (Standing::HandedOver | Standing::Off, Standing::Fetching) if matches!(given_up, GivenUp::Sending) => Verdict::Lost,
        (Standing::Held | Standing::HandedOver, _)
        | (_, Standing::HandedOver | Standing::Fetching | Standing::Torn)
        // This host is asked as the source: what it says makes no sense.
        | (Standing::Fetching | Standing::Torn, _) => Verdict::Open,
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

#[cfg(test)]
mod tests {
    use super::*;
    use Standing::{Absent, Fetching, HandedOver, Held, Off, Runs, Torn};

    const RUNS: Standing = Runs(Power::Running);
    const ALL: [GivenUp; 3] = [GivenUp::Nothing, GivenUp::Mending, GivenUp::Sending];

    #[test]
    fn whoever_runs_the_guest_has_it_and_of_two_the_source() {
        for given_up in ALL {
            assert_eq!(decide(Runs(Power::Paused), Held, given_up), Verdict::Here);
            assert_eq!(decide(RUNS, RUNS, given_up), Verdict::Both);
            for here in [Absent, Off, Held, HandedOver] {
                assert_eq!(decide(here, RUNS, given_up), Verdict::There(Power::Running), "{here:?}");
            }
            assert_eq!(decide(Absent, Off, given_up), Verdict::There(Power::Shutdown));
            assert_eq!(decide(Off, Off, given_up), Verdict::Here);
        }
    }

    #[test]
    fn a_guest_that_was_about_to_leave_goes_on_only_where_nobody_else_can_have_it() {
        for given_up in ALL {
            assert_eq!(decide(Held, Absent, given_up), Verdict::Here);
            assert_eq!(decide(Held, Held, given_up), Verdict::Open);
            for there in [Absent, Off, Held, HandedOver, Fetching, Torn] {
                let verdict = decide(HandedOver, there, given_up);
                assert!(matches!(verdict, Verdict::Open | Verdict::Lost), "its memory is elsewhere: {there:?}");
            }
        }
    }

    #[test]
    fn a_guest_in_two_parts_is_lost_with_one_of_them_and_else_only_when_somebody_gives_up() {
        for given_up in ALL {
            for gone in [Absent, Off] {
                assert_eq!(decide(HandedOver, gone, given_up), Verdict::Lost, "{gone:?} there");
                assert_eq!(decide(gone, Torn, given_up), Verdict::Lost, "{gone:?} here");
            }
            assert_eq!(decide(Absent, Fetching, given_up), Verdict::Open, "it may have all by now");
        }
        let both = |there| ALL.map(|given_up| decide(HandedOver, there, given_up));
        assert_eq!(both(Torn), [Verdict::Open, Verdict::Lost, Verdict::Lost]);
        assert_eq!(both(Fetching), [Verdict::Open, Verdict::Open, Verdict::Lost]);
        assert_eq!(decide(Off, Fetching, GivenUp::Sending), Verdict::Lost, "its source died");
    }
}
