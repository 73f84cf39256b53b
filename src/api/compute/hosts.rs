//! Hosts as operators see them. One host is one hypervisor and one `nova-compute` service: Nova knows them apart, so they
//! share the host's id here. What each of the two shows is [`hypervisors`](super::hypervisors)'s and
//! [`services`](super::services)'s.

use super::versions;
use crate::api::Call;
use crate::cloud::server::State;
use crate::error::{Error, Kind, Result};
use crate::http::json::View;
use crate::http::microversion::Microversion;
use crate::ids::{HostId, ServerId};
use crate::store::hosts::{self, HostRow};
use crate::store::servers::Server;
use crate::store::{Tx, servers};
use crate::versioned;
use serde_json::{Value, json};

/// The one service of a host.
pub const BINARY: &str = "nova-compute";

/// A UUID, or the number it was shown as before.
#[derive(Debug, Clone)]
pub struct NumberOrUuid {
    number: i64,
    uuid: HostId,
}

impl View for NumberOrUuid {
    fn view<S: serde::Serializer>(&self, version: Microversion, serializer: S) -> Result<S::Ok, S::Error> {
        if version >= versions::HOSTS_HAVE_UUIDS {
            self.uuid.view(version, serializer)
        } else {
            serializer.serialize_i64(self.number)
        }
    }

    fn schema(version: Microversion) -> Value {
        if version >= versions::HOSTS_HAVE_UUIDS {
            json!({"type": "string", "format": "uuid"})
        } else {
            json!({"type": "integer"})
        }
    }

    fn boundaries(into: &mut Vec<u16>) {
        into.push(versions::HOSTS_HAVE_UUIDS.0);
    }
}

versioned! {
    response ServerOnHost { "uuid" => uuid: ServerId, "name" => name: String }
}
/// A host with its number and what runs there.
#[derive(Debug, Clone)]
pub struct Seen {
    pub number: i64,
    pub host: HostRow,
    pub on_it: Vec<Server>,
    pub is_up: bool,
}

/// Every host, in the order of their numbers.
pub async fn all<B>(call: &Call<B>) -> Result<Vec<Seen>> {
    let now = call.cx.state.clock.now();
    let read = move |tx: &mut Tx| {
        let mut seen = Vec::new();
        for (index, host) in hosts::list(tx)?.into_iter().enumerate() {
            seen.push(Seen {
                number: i64::try_from(index).unwrap_or(0) + 1,
                is_up: host.is_up(now),
                on_it: servers::on_host(tx, host.id)?,
                host,
            });
        }
        Ok(seen)
    };
    call.cx.state.db.read(read).await
}

impl Seen {
    pub fn id(&self) -> NumberOrUuid {
        NumberOrUuid { number: self.number, uuid: self.host.id }
    }

    pub const fn state(&self) -> &'static str {
        if self.is_up { "up" } else { "down" }
    }

    pub const fn status(&self) -> &'static str {
        if self.host.enabled { "enabled" } else { "disabled" }
    }

    pub fn servers(&self) -> Vec<ServerOnHost> {
        self.on_it.iter().map(|server| ServerOnHost { uuid: server.id, name: server.name.clone() }).collect()
    }

    pub fn running(&self) -> i64 {
        self.count(|server| server.state != State::Error)
    }

    pub fn working(&self) -> i64 {
        self.count(|server| server.task.is_some())
    }

    fn count(&self, is_meant: impl Fn(&Server) -> bool) -> i64 {
        self.on_it.iter().filter(|server| is_meant(server)).count().try_into().unwrap_or(0)
    }
}

/// The host that a path names: by its UUID, or by its number as long as that was its id.
pub async fn named<B>(call: &Call<B>, text: &str, kind: Kind) -> Result<Seen> {
    let has_uuids = call.version() >= versions::HOSTS_HAVE_UUIDS;
    if has_uuids && HostId::parse(text).is_none() {
        return Err(Error::bad_request(format!("Invalid uuid {text}")));
    }
    let is_it =
        |seen: &Seen| if has_uuids { seen.host.id.to_string() == text } else { seen.number.to_string() == text };
    all(call).await?.into_iter().find(is_it).ok_or_else(|| Error::not_found(kind, text))
}
