//! `gapura host drain`: no new server comes to a host, and those on it go to others, so many at a time: while they run, or off
//! as they are, or, if they are shelved, back into their images.
//!
//! Here it is asked and looked at ([`departure`] says how each leaves); controllers carry it out, as they do for `openstack
//! server migrate`. All that is kept are rows of servers and their moves, so who ends this and says it again goes on where it
//! was. A server that could not go is left alone until then, and named in the end with the reason. From a host that is down
//! nothing moves, and what was on its way waits: that is named too, until the host is back or somebody evacuates it.

mod departure;

use crate::clock::Timestamp;
use crate::cloud::placement::Rules;
use crate::error::Result;
use crate::ids::{HostId, ServerId};
use crate::store::hosts::Occupant;
use crate::store::{Db, Tx, hosts};
use departure::Order;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

const BAR: usize = 20;

pub struct Drain {
    db: Db,
    rules: Arc<Rules>,
    host: HostId,
    name: String,
    at_once: usize,
    /// Servers that were on the host when this began, or came while it went on.
    met: BTreeMap<ServerId, String>,
    /// What was asked for here, with the records of moves.
    asked: HashMap<ServerId, Option<i64>>,
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
        let look = move |tx: &mut Tx| {
            let is_up = hosts::get(tx, host)?.is_up(now);
            Ok((hosts::occupants_of(tx, host)?, hosts::holders_elsewhere(tx, host)?, is_up))
        };
        let (here, elsewhere, is_up) = self.db.read(look).await?;
        self.met.extend(here.iter().chain(&elsewhere).map(|server| (server.id, server.name.clone())));
        self.note_failures(&here).await?;
        // What has left but for its last steps may yet come back.
        self.stuck.retain(|id, _| !elsewhere.iter().any(|server| server.id == *id));
        for server in elsewhere.iter().filter(|server| !server.is_busy) {
            self.stuck.insert(server.id, departure::MAY_COME_BACK.to_owned());
        }
        self.stuck.retain(|_, why| why != departure::WAITS);
        let mut on_their_way = elsewhere.iter().filter(|server| server.is_busy).count();
        let busy = here.iter().filter(|server| server.is_busy);
        if is_up {
            on_their_way += busy.count();
        } else {
            self.stuck.extend(busy.map(|server| (server.id, departure::WAITS.to_owned())));
        }
        for server in &here {
            if on_their_way >= self.at_once {
                break;
            }
            if server.is_busy || self.stuck.contains_key(&server.id) {
                continue;
            }
            match self.send(server.id, now).await {
                Ok(record) => {
                    self.asked.insert(server.id, record);
                    on_their_way += 1;
                }
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => {
                    self.stuck.insert(server.id, error.to_string());
                }
            }
        }
        let is_here = |id: &ServerId| here.iter().chain(&elsewhere).any(|server| server.id == *id);
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
            let Some(asked) = self.asked.remove(&server.id) else { continue };
            let why = match asked {
                Some(number) => self.db.read(move |tx| departure::why_it_stayed(tx, number)).await?,
                None => "it could not leave; its events say why".to_owned(),
            };
            self.stuck.insert(server.id, why);
        }
        Ok(())
    }

    /// Sends a server on its way. The number of its record, where it has one.
    async fn send(&self, id: ServerId, now: Timestamp) -> Result<Option<i64>> {
        let order = Order::new(self.host, &self.name, self.rules.clone(), id, now);
        self.db.write(move |tx| order.give(tx)).await
    }
}
