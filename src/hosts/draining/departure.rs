//! How a server leaves a host that is drained.
//!
//! What runs goes while it runs. What is off goes as it is, and nobody is asked whether that is to stay so: there is nothing to
//! try out. What is shelved has its disk in an image already, so it leaves for no host at all. In every other state something
//! of it is on this host alone, or somebody has yet to decide, and that somebody is told.

use crate::clock::Timestamp;
use crate::cloud::flavor::Flavor;
use crate::cloud::placement::{Rules, Wish};
use crate::cloud::policy::Reach;
use crate::cloud::server::{Action, State, Task, may};
use crate::error::{Error, Result};
use crate::ids::{HostId, ServerId, UserId};
use crate::store::servers::{self, Change, Resized, Server};
use crate::store::tasks::NewTask;
use crate::store::{Tx, hosts, instance_actions, server_moves};
use crate::tasks::migrate_server::{self, MigrateServer};
use crate::tasks::resize_server::{self, ResizeServer};
use crate::tasks::shelve_server::{self, ShelveServer};
use std::sync::Arc;

/// Who asked, as records of moves say it: somebody at a controller's shell.
const OPERATOR: &str = "operator";
/// Of a server that was resized, or migrated by somebody else, and is elsewhere until that is decided.
pub const MAY_COME_BACK: &str = "it is elsewhere, and holds its place here until that is confirmed or taken back";

/// Of a server that is on its way from a host that is down.
pub const WAITS: &str = "its host does not answer, and its move waits until that is back or it is evacuated";
const HOST_IS_DOWN: &str = "its host does not answer: it can leave when that is back, or be evacuated";

/// How it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Live,
    Cold,
    Offload,
    /// It doesn't, and why.
    Stays(&'static str),
}

const fn way(state: State, has_own_disks: bool) -> Way {
    match state {
        State::Active | State::Paused => Way::Live,
        State::Stopped => Way::Cold,
        State::Shelved if has_own_disks => {
            Way::Stays("it is shelved, and its ephemeral disks and swap are on this host alone: unshelve or delete it")
        }
        State::Shelved => Way::Offload,
        State::Suspended => Way::Stays("it is suspended, and its memory is on this host alone: resume or shelve it"),
        State::Rescued => Way::Stays("it is rescued: end that first"),
        State::Resized => Way::Stays("it was resized: confirm that or take it back"),
        State::SoftDeleted => Way::Stays("it is deleted, and can be restored until it goes for good"),
        State::Error => Way::Stays("it is in error: reboot it hard, rebuild or delete it"),
        State::Building => Way::Stays("it is being made"),
        State::ShelvedOffloaded | State::Deleted => Way::Stays("it is on no host"),
    }
}

/// That a server shall leave a host.
pub struct Order {
    from: HostId,
    name: String,
    rules: Arc<Rules>,
    id: ServerId,
    now: Timestamp,
    request_id: String,
}

impl Order {
    pub fn new(from: HostId, name: &str, rules: Arc<Rules>, id: ServerId, now: Timestamp) -> Self {
        Self { from, name: name.to_owned(), rules, id, now, request_id: format!("req-{}", uuid::Uuid::new_v4()) }
    }

    /// Asks controllers for it, unless it can't be. The number of the move's record; `None`: there is none.
    ///
    /// # Errors
    /// Why it stays.
    pub fn give(&self, tx: &mut Tx) -> Result<Option<i64>> {
        let server = servers::get(tx, &Reach::Cloud, self.id)?;
        if server.host_id != Some(self.from) {
            return Err(Error::conflict("It is elsewhere by now."));
        }
        let way = way(server.state, !server.blank_disks.is_empty());
        if !matches!(way, Way::Stays(_)) && !hosts::get(tx, self.from)?.is_up(self.now) {
            return Err(Error::conflict(HOST_IS_DOWN));
        }
        match way {
            Way::Live => self.live(tx, &server).map(Some),
            Way::Cold => self.cold(tx, &server).map(Some),
            Way::Offload => self.offload(tx, &server).map(|()| None),
            Way::Stays(why) => Err(Error::conflict(why)),
        }
    }

    /// As `os-migrateLive` without a host does.
    fn live(&self, tx: &mut Tx, server: &Server) -> Result<i64> {
        may(Action::MigrateLive, self.id, server.situation(), true)?;
        let wish = Wish { zone: server.availability_zone.clone(), host: None };
        migrate_server::may_move(tx, &self.rules, server, &wish, self.now)?;
        resize_server::forget(tx, server, self.now)?;
        let number = self.record(tx, server, "live-migration", "queued")?;
        servers::update(tx, self.id, Change::new().task(Some(Task::Migrating)), self.now)?;
        let order = migrate_server::Order { number, from: self.from, wish, block_migration: None, waits: false };
        self.note(tx, server, Action::MigrateLive, &[order.event()])?;
        self.start::<MigrateServer>(tx, &migrate_server::Step::Choose(order))?;
        Ok(number)
    }

    /// As `migrate` does, and there is no way back.
    fn cold(&self, tx: &mut Tx, server: &Server) -> Result<i64> {
        may(Action::Migrate, self.id, server.situation(), true)?;
        let wish = Wish { zone: server.availability_zone.clone(), host: None };
        migrate_server::may_move(tx, &self.rules, server, &wish, self.now)?;
        resize_server::forget(tx, server, self.now)?;
        let number = self.record(tx, server, "migration", "pre-migrating")?;
        let mut aside = server.aside.clone();
        aside.resized =
            Some(Box::new(Resized { keeps_flavor: true, is_for_good: true, ..Resized::begun(server, number) }));
        servers::update(tx, self.id, Change::new().task(Some(Task::ResizePrep)).aside(&aside), self.now)?;
        self.note(tx, server, Action::Migrate, &[resize_server::ASKED_EVENT, resize_server::PLACE_EVENT])?;
        let flavor = Flavor::clone(&server.flavor);
        self.start::<ResizeServer>(tx, &resize_server::Step::Claim { flavor, to: None })?;
        Ok(number)
    }

    /// As `shelveOffload` does.
    fn offload(&self, tx: &mut Tx, server: &Server) -> Result<()> {
        may(Action::ShelveOffload, self.id, server.situation(), true)?;
        servers::update(tx, self.id, Change::new().task(Some(Task::ShelvingOffloading)), self.now)?;
        self.note(tx, server, Action::ShelveOffload, &[])?;
        self.start::<ShelveServer>(tx, &shelve_server::Step::Offload { was_asked_for: true })
    }

    fn record(&self, tx: &mut Tx, server: &Server, kind: &str, status: &str) -> Result<i64> {
        let (user_id, project_id) = (UserId::from(OPERATOR), &server.project_id);
        let source = Some(self.name.as_str());
        let asked = server_moves::Asked { server: self.id, source, project_id, user_id: &user_id, now: self.now };
        server_moves::insert(tx, kind, status, &asked)
    }

    fn note(&self, tx: &mut Tx, server: &Server, action: Action, begun: &[&str]) -> Result<()> {
        let (request_id, user_id, now) = (self.request_id.as_str(), UserId::from(OPERATOR), self.now);
        let asked = instance_actions::Asked { request_id, project_id: &server.project_id, user_id: &user_id, now };
        instance_actions::insert(tx, self.id, action.recorded_as(), &asked)?;
        for name in begun {
            instance_actions::begin(tx, &instance_actions::Step::at_once(self.id, Some(request_id), name, now))?;
        }
        Ok(())
    }

    fn start<W: crate::tasks::Workflow>(&self, tx: &mut Tx, first: &W::Step) -> Result<()> {
        let subject = self.id.to_string();
        let task = NewTask { subject: &subject, request_id: Some(&self.request_id), now: self.now };
        crate::tasks::insert::<W>(tx, &task, first).map(drop)
    }
}

/// Of a server whose move is over though it is where it was. What called the move off may have failed since.
pub fn why_it_stayed(tx: &mut Tx, number: i64) -> Result<String> {
    let Some(record) = server_moves::get(tx, number)? else { return Ok("its move left no record".to_owned()) };
    let record = server_moves::newest(tx, record.server_id)?.unwrap_or(record);
    Ok(record.failure.unwrap_or(record.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_leaves_in_its_own_way_or_says_what_must_be_done_first() {
        let leaving = [
            (State::Active, Way::Live),
            (State::Paused, Way::Live),
            (State::Stopped, Way::Cold),
            (State::Shelved, Way::Offload),
        ];
        for state in State::ALL {
            let found = way(*state, false);
            match leaving.iter().find(|(of, _)| of == state) {
                Some((_, expected)) => assert_eq!(found, *expected, "{state:?}"),
                None => assert!(matches!(found, Way::Stays(why) if why.starts_with("it ")), "{state:?}: {found:?}"),
            }
        }
        assert!(matches!(way(State::Shelved, true), Way::Stays(_)), "what no image holds is not given up");
    }
}
