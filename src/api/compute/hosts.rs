//! Hosts as operators see them. One host is one hypervisor and one `nova-compute` service: Nova knows them apart, so they
//! share the host's id here. What each of the two shows is [`hypervisors`](super::hypervisors)'s and
//! [`services`](super::services)'s.

use super::versions;
use crate::api::Call;
use crate::error::{Error, Kind, Result};
use crate::http::json::View;
use crate::http::microversion::Microversion;
use crate::ids::{HostId, ServerId};
use crate::store::Tx;
use crate::store::hosts::{self, HostRow, Occupant};
use crate::versioned;
use serde_json::{Value, json};
use std::net::IpAddr;

/// The one service of a host.
pub const BINARY: &str = "nova-compute";

/// A UUID, or the number it was shown as before.
#[derive(Debug, Clone)]
pub struct NumberOrUuid {
    number: i64,
    uuid: HostId,
}

impl NumberOrUuid {
    pub const fn new(number: i64, uuid: HostId) -> Self {
        Self { number, uuid }
    }
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
/// A host, and what is on it where that is asked for.
#[derive(Debug, Clone)]
pub struct Seen {
    pub host: HostRow,
    pub on_it: Vec<Occupant>,
    pub is_up: bool,
    /// By which others reach it; [`all`] does not look.
    pub address: Option<IpAddr>,
}

/// Every host, in the order of their numbers, without what is on them.
pub async fn all<B>(call: &Call<B>) -> Result<Vec<Seen>> {
    let now = call.cx.state.clock.now();
    let seen = |host: HostRow| Seen { is_up: host.is_up(now), host, on_it: Vec::new(), address: None };
    Ok(call.cx.state.db.read(hosts::list).await?.into_iter().map(seen).collect())
}

/// The same, with what is on them.
pub async fn all_with_servers<B>(call: &Call<B>) -> Result<Vec<Seen>> {
    let now = call.cx.state.clock.now();
    let read = move |tx: &mut Tx| {
        let (mut on, addresses) = (hosts::occupants(tx)?, hosts::addresses(tx)?);
        let seen = |host: HostRow| Seen {
            is_up: host.is_up(now),
            on_it: on.remove(&host.id).unwrap_or_default(),
            address: addresses.get(&host.id).copied(),
            host,
        };
        Ok(hosts::list(tx)?.into_iter().map(seen).collect())
    };
    call.cx.state.db.read(read).await
}

impl Seen {
    pub fn id(&self) -> NumberOrUuid {
        NumberOrUuid::new(self.host.number, self.host.id)
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
        self.count(|server| !server.has_failed)
    }

    pub fn working(&self) -> i64 {
        self.count(|server| server.is_busy)
    }

    fn count(&self, is_meant: impl Fn(&Occupant) -> bool) -> i64 {
        self.on_it.iter().filter(|server| is_meant(server)).count().try_into().unwrap_or(0)
    }
}

/// The host that a path names, with what is on it: by its UUID, or by its number as long as that was its id.
pub async fn named<B>(call: &Call<B>, text: &str, kind: Kind) -> Result<Seen> {
    let has_uuids = call.version() >= versions::HOSTS_HAVE_UUIDS;
    let (id, number) = (HostId::parse(text).filter(|_| has_uuids), text.parse::<i64>().ok().filter(|_| !has_uuids));
    if has_uuids && id.is_none() {
        return Err(Error::bad_request(format!("Invalid uuid {text}")));
    }
    let find = move |tx: &mut Tx| match (id, number) {
        (Some(id), _) => {
            hosts::get(tx, id).map(Some).or_else(|error| if error.is_not_found() { Ok(None) } else { Err(error) })
        }
        (None, Some(number)) => hosts::numbered(tx, number),
        (None, None) => Ok(None),
    };
    look(call, find).await?.ok_or_else(|| Error::not_found(kind, text))
}

/// The host that is found so, with what is on it.
pub async fn look<B>(
    call: &Call<B>,
    find: impl Fn(&mut Tx) -> Result<Option<HostRow>> + Send + 'static,
) -> Result<Option<Seen>> {
    let now = call.cx.state.clock.now();
    let read = move |tx: &mut Tx| {
        let Some(host) = find(tx)? else { return Ok(None) };
        let on_it = hosts::occupants_of(tx, host.id)?;
        let address = hosts::addresses(tx)?.remove(&host.id);
        Ok(Some(Seen { is_up: host.is_up(now), host, on_it, address }))
    };
    call.cx.state.db.read(read).await
}
