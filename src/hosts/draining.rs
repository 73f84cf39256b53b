//! `gapura host drain`: no new server comes to a host, and those that run there go to others while they run, so many at a
//! time.
//!
//! Here it is asked and looked at; controllers carry it out, as they do for `openstack server migrate --live-migration`. All
//! that is kept are rows of servers and their moves, so who ends this and says it again goes on where it was. A server that
//! could not go is left alone until then, and named in the end with the reason.

use crate::clock::Timestamp;
use crate::cloud::placement::{Rules, Wish};
use crate::cloud::policy::Reach;
use crate::cloud::server::{Action, Task, may};
use crate::error::{Error, Result};
use crate::ids::{HostId, ServerId, UserId};
use crate::store::hosts::Occupant;
use crate::store::servers::{self, Change};
use crate::store::tasks::NewTask;
use crate::store::{Db, Tx, hosts, instance_actions, server_moves};
use crate::tasks::migrate_server::{self, MigrateServer, Order, Step};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Who asked, as records of moves say it: somebody at a controller's shell.
const OPERATOR: &str = "operator";
const BAR: usize = 20;

pub struct Drain {
    db: Db,
    rules: Arc<Rules>,
    host: HostId,
    name: String,
    at_once: usize,
    /// Servers that were on the host when this began, or came while it went on.
    met: BTreeMap<ServerId, String>,
    /// The records of moves that were asked for here.
    asked: HashMap<ServerId, i64>,
    /// Servers that can't go, and why.
    stuck: BTreeMap<ServerId, String>,
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stand {
    pub gone: usize,
    pub on_their_way: usize,
    pub of: usize,
    /// Those that can't go, by name, with the reason.
    pub stuck: Vec<(String, String)>,
}

impl Stand {
    /// Is there nothing more that this can do?
    pub const fn is_over(&self) -> bool {
        self.on_their_way == 0 && self.gone + self.stuck.len() >= self.of
    }
}

impl std::fmt::Display for Stand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let done = (self.gone * BAR).checked_div(self.of).unwrap_or(BAR);
        let (full, empty) = ("#".repeat(done), "-".repeat(BAR - done));
        write!(f, "[{full}{empty}] {} of {} gone, {} on their way", self.gone, self.of, self.on_their_way)?;
        if !self.stuck.is_empty() {
            write!(f, ", {} can't go", self.stuck.len())?;
        }
        Ok(())
    }
}

impl Drain {
    /// Keeps new servers from the host.
    ///
    /// # Errors
    /// `NotFound` for a host that nobody knows.
    pub async fn begin(db: Db, rules: Arc<Rules>, name: &str, at_once: usize, now: Timestamp) -> Result<Self> {
        let called = name.to_owned();
        let disable = move |tx: &mut Tx| {
            let host = hosts::named(tx, &called)?;
            if host.enabled {
                hosts::set_service(tx, host.id, Some(false), Some("drained"), None, now)?;
            }
            Ok(host.id)
        };
        let host = db.write(disable).await?;
        let (met, asked, stuck) = (BTreeMap::new(), HashMap::new(), BTreeMap::new());
        Ok(Self { db, rules, host, name: name.to_owned(), at_once: at_once.max(1), met, asked, stuck })
    }

    /// Looks how far it is, and sends as many servers on their way as may be.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn step(&mut self, now: Timestamp) -> Result<Stand> {
        let host = self.host;
        let here = self.db.read(move |tx| hosts::occupants_of(tx, host)).await?;
        self.met.extend(here.iter().map(|server| (server.id, server.name.clone())));
        self.note_failures(&here).await?;
        let mut on_their_way = here.iter().filter(|server| server.is_busy).count();
        for server in &here {
            if on_their_way >= self.at_once {
                break;
            }
            if server.is_busy || self.stuck.contains_key(&server.id) {
                continue;
            }
            match self.send(server.id, now).await {
                Ok(number) => {
                    self.asked.insert(server.id, number);
                    on_their_way += 1;
                }
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => {
                    self.stuck.insert(server.id, error.to_string());
                }
            }
        }
        let is_here = |id: &ServerId| here.iter().any(|server| server.id == *id);
        let stuck = self.stuck.iter().filter(|(id, _)| is_here(id));
        Ok(Stand {
            gone: self.met.keys().filter(|id| !is_here(id)).count(),
            on_their_way,
            of: self.met.len(),
            stuck: stuck.map(|(id, why)| (self.met[id].clone(), why.clone())).collect(),
        })
    }

    /// Those whose moves are over though they are here yet.
    async fn note_failures(&mut self, here: &[Occupant]) -> Result<()> {
        for server in here.iter().filter(|server| !server.is_busy) {
            let Some(number) = self.asked.remove(&server.id) else { continue };
            let record = self.db.read(move |tx| server_moves::get(tx, number)).await?;
            let why = record.and_then(|record| record.failure.or(Some(record.status)));
            self.stuck.insert(server.id, why.unwrap_or_else(|| "its move left no record".to_owned()));
        }
        Ok(())
    }

    /// As `os-migrateLive` without a host does. Answers the number of the record.
    async fn send(&self, id: ServerId, now: Timestamp) -> Result<i64> {
        let (from, rules, name) = (self.host, self.rules.clone(), self.name.clone());
        let request_id = format!("req-{}", uuid::Uuid::new_v4());
        let send = move |tx: &mut Tx| {
            let server = servers::get(tx, &Reach::Cloud, id)?;
            if server.host_id != Some(from) {
                return Err(Error::conflict("It is elsewhere by now."));
            }
            may(Action::MigrateLive, id, server.situation(), true)?;
            let wish = Wish { zone: server.availability_zone.clone(), host: None };
            migrate_server::may_move(tx, &rules, &server, &wish, now)?;
            let (user_id, project_id) = (UserId::from(OPERATOR), server.project_id.clone());
            let asked = server_moves::Asked {
                server: id,
                source: Some(&name),
                project_id: &project_id,
                user_id: &user_id,
                now,
            };
            let number = server_moves::insert(tx, "live-migration", "queued", &asked)?;
            servers::update(tx, id, Change::new().task(Some(Task::Migrating)), now)?;
            let asked =
                instance_actions::Asked { request_id: &request_id, project_id: &project_id, user_id: &user_id, now };
            instance_actions::insert(tx, id, Action::MigrateLive.recorded_as(), &asked)?;
            let (subject, order) = (id.to_string(), Order { number, from, wish, block_migration: None });
            let task = NewTask { subject: &subject, request_id: Some(&request_id), now };
            crate::tasks::insert::<MigrateServer>(tx, &task, &Step::Choose(order))?;
            Ok(number)
        };
        self.db.write(send).await
    }
}
