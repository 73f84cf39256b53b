//! Aggregates: hosts that an operator takes together, and when one may become, leave or change an availability zone.
//!
//! A zone is what tenants choose a place by, so a host has one at most, and it does not change under servers that are on
//! it: they would be somewhere else than they were told.

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::ids::HostId;
use std::collections::BTreeMap;

/// The metadata that makes a zone of an aggregate.
pub const ZONE: &str = "availability_zone";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregate {
    pub id: i64,
    pub uuid: String,
    pub name: String,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
    /// By name.
    pub hosts: Vec<(HostId, String)>,
    pub metadata: BTreeMap<String, String>,
}

impl Aggregate {
    pub fn zone(&self) -> Option<&str> {
        self.metadata.get(ZONE).map(String::as_str)
    }

    pub fn has(&self, host: HostId) -> bool {
        self.hosts.iter().any(|(id, _)| *id == host)
    }
}

/// What is being done to an aggregate, as upstream's refusals call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    AddHost,
    RemoveHost,
    Update,
    UpdateMetadata,
}

impl Doing {
    /// Why it is refused, in upstream's words.
    pub fn refused(self, aggregate: i64, reason: impl std::fmt::Display) -> Error {
        match self {
            Self::AddHost => Error::conflict(format!("Cannot add host to aggregate {aggregate}. Reason: {reason}.")),
            Self::RemoveHost => {
                Error::conflict(format!("Cannot remove host from aggregate {aggregate}. Reason: {reason}."))
            }
            Self::Update => Error::bad_request(format!("Cannot update aggregate {aggregate}. Reason: {reason}.")),
            Self::UpdateMetadata => {
                Error::bad_request(format!("Cannot update metadata of aggregate {aggregate}. Reason: {reason}."))
            }
        }
    }
}

/// May this zone be the aggregate's, given every aggregate, and how many servers its hosts have?
///
/// # Errors
/// The refusal of what is being done.
pub fn check_zone(
    all: &[Aggregate],
    aggregate: &Aggregate,
    zone: Option<&str>,
    servers: &BTreeMap<HostId, i64>,
    doing: Doing,
) -> Result<()> {
    let Some(zone) = zone.filter(|zone| !zone.is_empty()) else {
        let reason = format!("Aggregate {} does not support empty named availability zone", aggregate.name);
        return Err(doing.refused(aggregate.id, reason));
    };
    let hosts: Vec<HostId> = aggregate.hosts.iter().map(|(id, _)| *id).collect();
    refuse_second_zone(all, aggregate, &hosts, zone, doing)?;
    let is_populated = hosts.iter().any(|host| servers.get(host).is_some_and(|count| *count > 0));
    if aggregate.zone() != Some(zone) && is_populated {
        return Err(doing.refused(aggregate.id, "One or more hosts contain instances in this zone"));
    }
    Ok(())
}

/// May the host join the aggregate?
///
/// # Errors
/// `Conflict`, in upstream's words.
pub fn check_join(all: &[Aggregate], aggregate: &Aggregate, host: HostId, name: &str, servers: i64) -> Result<()> {
    if let Some(zone) = aggregate.zone() {
        refuse_second_zone(all, aggregate, &[host], zone, Doing::AddHost)?;
        let old = all.iter().filter(|other| other.has(host)).find_map(Aggregate::zone);
        if servers > 0 && old != Some(zone) {
            let moved = would_move("added to", old, Some(zone), servers);
            return Err(Doing::AddHost.refused(aggregate.id, moved));
        }
    }
    if aggregate.has(host) {
        return Err(Error::conflict(format!("Aggregate {} already has host {name}.", aggregate.id)));
    }
    Ok(())
}

/// May the host leave the aggregate?
///
/// # Errors
/// `Conflict`, in upstream's words.
pub fn check_leave(all: &[Aggregate], aggregate: &Aggregate, host: HostId, servers: i64) -> Result<()> {
    let Some(zone) = aggregate.zone().filter(|_| servers > 0) else { return Ok(()) };
    let others = all.iter().filter(|other| other.id != aggregate.id && other.has(host));
    let next = others.filter_map(Aggregate::zone).next();
    if next == Some(zone) {
        return Ok(());
    }
    Err(Doing::RemoveHost.refused(aggregate.id, would_move("removed from", Some(zone), next, servers)))
}

fn refuse_second_zone(
    all: &[Aggregate],
    aggregate: &Aggregate,
    hosts: &[HostId],
    zone: &str,
    doing: Doing,
) -> Result<()> {
    let others = all.iter().filter(|other| other.id != aggregate.id && hosts.iter().any(|host| other.has(*host)));
    let taken: Vec<String> =
        others.filter_map(Aggregate::zone).filter(|other| *other != zone).map(|other| format!("'{other}'")).collect();
    if taken.is_empty() {
        return Ok(());
    }
    Err(doing
        .refused(aggregate.id, format!("One or more hosts already in availability zone(s) [{}]", taken.join(", "))))
}

fn would_move(verb: &str, from: Option<&str>, to: Option<&str>, servers: i64) -> String {
    format!(
        "The host cannot be {verb} the aggregate as the availability zone of the host would change from '{}' to '{}' but the \
         host already has {servers} instance(s). Changing the AZ of an existing instance is not supported by this action. \
         Move the instances away from this host then try again. If you need to move the instances between AZs then you can \
         use shelve_offload and unshelve to achieve this.",
        from.unwrap_or("None"),
        to.unwrap_or("None"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aggregate(id: i64, zone: Option<&str>, hosts: &[HostId]) -> Aggregate {
        Aggregate {
            id,
            uuid: String::new(),
            name: format!("a{id}"),
            created_at: Timestamp(1),
            updated_at: None,
            hosts: hosts.iter().map(|host| (*host, "h".to_owned())).collect(),
            metadata: zone.map(|zone| (ZONE.to_owned(), zone.to_owned())).into_iter().collect(),
        }
    }

    fn populated(host: HostId) -> BTreeMap<HostId, i64> {
        BTreeMap::from([(host, 2)])
    }

    #[test]
    fn a_host_is_in_one_zone_at_most() {
        let host = HostId::random();
        let all = [aggregate(1, Some("east"), &[host]), aggregate(2, Some("west"), &[]), aggregate(3, None, &[host])];
        assert_eq!(
            check_join(&all, &all[1], host, "h", 0).unwrap_err().to_string(),
            "Cannot add host to aggregate 2. Reason: One or more hosts already in availability zone(s) ['east']."
        );
        assert!(check_zone(&all, &all[2], Some("west"), &BTreeMap::new(), Doing::Update).is_err());
        assert!(check_zone(&all, &all[2], Some("east"), &BTreeMap::new(), Doing::Update).is_ok());
        assert!(check_zone(&all, &all[2], Some(""), &BTreeMap::new(), Doing::Update).is_err());
    }

    #[test]
    fn a_zone_does_not_change_under_servers() {
        let host = HostId::random();
        let all = [aggregate(1, Some("east"), &[host]), aggregate(2, Some("west"), &[]), aggregate(3, None, &[])];
        let refused = check_zone(&all, &all[0], Some("north"), &populated(host), Doing::UpdateMetadata).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "Cannot update metadata of aggregate 1. Reason: One or more hosts contain instances in this zone."
        );
        assert!(check_zone(&all, &all[0], Some("east"), &populated(host), Doing::Update).is_ok());
        assert!(check_leave(&all, &all[0], host, 2).is_err());
        assert!(check_leave(&all, &all[0], host, 0).is_ok());
        assert!(check_join(&all, &all[2], host, "h", 2).is_ok(), "an aggregate without a zone moves nobody");
        let fresh = HostId::random();
        assert!(check_join(&all, &all[1], fresh, "h", 1).is_err());
    }

    #[test]
    fn a_host_joins_an_aggregate_once() {
        let host = HostId::random();
        let all = [aggregate(1, None, &[host])];
        assert_eq!(check_join(&all, &all[0], host, "h", 0).unwrap_err().to_string(), "Aggregate 1 already has host h.");
    }
}
