//! Picks a host for a server: those that can take it, then the one with the most memory free.
//!
//! Pure, so that the transaction that stores the claim decides on the very rows it read: two servers that race for the
//! last gigabyte can't both get it.

use super::server_group::Affinity;
use crate::error::{Error, Result};
use crate::ids::{HostId, ServerId};

/// What a server takes of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Demand {
    pub vcpus: u64,
    pub memory_mib: u64,
    pub disk_gib: u64,
}

/// A host as placement sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub id: HostId,
    pub name: String,
    pub zone: String,
    /// Enabled by the operator, and answering.
    pub is_usable: bool,
    pub free: Demand,
}

/// What the request says about where.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Wish {
    pub zone: Option<String>,
    /// An operator's order: this host, checked like any other.
    pub host: Option<String>,
}

/// Other servers of the project that hints name: with one of the first, apart from all of the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// `None`: with nobody in particular.
    pub same: Option<Vec<HostId>>,
    pub different: Vec<HostId>,
}

impl Neighbours {
    /// The servers that a hint names, in either of its forms; `None` where it names nobody.
    pub fn named(hints: &serde_json::Value, name: &str) -> Option<Vec<ServerId>> {
        let id = |text: &serde_json::Value| text.as_str().and_then(ServerId::parse);
        let named: Vec<ServerId> = match &hints[name] {
            serde_json::Value::Array(ids) => ids.iter().filter_map(id).collect(),
            one => id(one).into_iter().collect(),
        };
        (!named.is_empty()).then_some(named)
    }

    pub fn suit(&self, host: HostId) -> bool {
        self.same.as_ref().is_none_or(|same| same.contains(&host)) && !self.different.contains(&host)
    }
}

/// As [`pick`], for a server whose group wants it near the others, or apart. A soft policy is a wish: it gives way where no
/// host that suits it has room.
///
/// # Errors
/// As [`pick`].
pub fn pick_near(candidates: &[Candidate], demand: Demand, wish: &Wish, affinity: Option<&Affinity>) -> Result<HostId> {
    let Some(affinity) = affinity else { return pick(candidates, demand, wish) };
    let suiting: Vec<Candidate> = candidates.iter().filter(|host| affinity.suits(host.id)).cloned().collect();
    match pick(&suiting, demand, wish) {
        Err(_) if affinity.policy.is_soft() => pick(candidates, demand, wish),
        picked => picked,
    }
}

/// # Errors
/// `Conflict` with Nova's "No valid host was found." and why.
pub fn pick(candidates: &[Candidate], demand: Demand, wish: &Wish) -> Result<HostId> {
    let named = |candidate: &&Candidate| wish.host.as_ref().is_none_or(|host| *host == candidate.name);
    let in_zone = |candidate: &&Candidate| wish.zone.as_ref().is_none_or(|zone| *zone == candidate.zone);
    let fits = |candidate: &&Candidate| {
        let free = candidate.free;
        free.vcpus >= demand.vcpus && free.memory_mib >= demand.memory_mib && free.disk_gib >= demand.disk_gib
    };
    let usable: Vec<&Candidate> =
        candidates.iter().filter(named).filter(in_zone).filter(|candidate| candidate.is_usable).collect();
    if usable.is_empty() {
        return Err(no_valid_host("There are not enough hosts available."));
    }
    let chosen =
        usable.into_iter().filter(fits).max_by_key(|c| (c.free.memory_mib, c.free.vcpus, std::cmp::Reverse(c.id)));
    chosen.map(|candidate| candidate.id).ok_or_else(|| no_valid_host("There are not enough hosts available."))
}

fn no_valid_host(reason: &str) -> Error {
    Error::conflict(format!("No valid host was found. {reason}"))
}

#[cfg(test)]
mod tests {
    use super::super::server_group::Policy;
    use super::*;

    const SMALL: Demand = Demand { vcpus: 1, memory_mib: 512, disk_gib: 1 };

    fn host(name: &str, zone: &str, memory_mib: u64) -> Candidate {
        let free = Demand { vcpus: 4, memory_mib, disk_gib: 100 };
        Candidate { id: HostId::random(), name: name.into(), zone: zone.into(), is_usable: true, free }
    }

    #[test]
    fn the_host_with_the_most_memory_free_is_picked_among_those_that_fit() {
        let hosts = [host("a", "nova", 1024), host("b", "nova", 4096), host("c", "nova", 2048)];
        assert_eq!(pick(&hosts, SMALL, &Wish::default()).unwrap(), hosts[1].id);
    }

    #[test]
    fn a_server_too_large_for_any_host_finds_none() {
        let hosts = [host("a", "nova", 1024)];
        let huge = Demand { memory_mib: 1_000_000, ..SMALL };
        let error = pick(&hosts, huge, &Wish::default()).unwrap_err();
        assert!(error.to_string().starts_with("No valid host was found. "), "{error}");
        assert!(pick(&[], SMALL, &Wish::default()).is_err());
    }

    #[test]
    fn a_zone_or_a_host_that_is_asked_for_is_kept_to() {
        let hosts = [host("a", "one", 1024), host("b", "two", 4096)];
        let zone = Wish { zone: Some("one".into()), host: None };
        assert_eq!(pick(&hosts, SMALL, &zone).unwrap(), hosts[0].id);
        let name = Wish { zone: None, host: Some("a".into()) };
        assert_eq!(pick(&hosts, SMALL, &name).unwrap(), hosts[0].id);
        assert!(pick(&hosts, SMALL, &Wish { zone: Some("three".into()), host: None }).is_err());
    }

    #[test]
    fn a_group_keeps_its_servers_together_or_apart_and_a_soft_one_as_far_as_there_is_room() {
        let hosts = [host("a", "nova", 1024), host("b", "nova", 4096)];
        let at = |policy, host: &Candidate| Affinity { policy, max_per_host: None, hosts: vec![host.id] };
        let pick = |hosts: &[Candidate], affinity: &Affinity| pick_near(hosts, SMALL, &Wish::default(), Some(affinity));
        assert_eq!(pick(&hosts, &at(Policy::Affinity, &hosts[0])).unwrap(), hosts[0].id);
        assert_eq!(pick(&hosts, &at(Policy::AntiAffinity, &hosts[1])).unwrap(), hosts[0].id);
        let only = &hosts[..1];
        assert!(pick(only, &at(Policy::AntiAffinity, &hosts[0])).is_err());
        assert!(pick(only, &at(Policy::Affinity, &hosts[1])).is_err());
        assert_eq!(pick(only, &at(Policy::SoftAntiAffinity, &hosts[0])).unwrap(), hosts[0].id);
        assert_eq!(pick(&hosts, &at(Policy::SoftAffinity, &hosts[0])).unwrap(), hosts[0].id);
    }

    #[test]
    fn a_disabled_host_takes_nothing_new() {
        let mut hosts = [host("a", "nova", 1024)];
        hosts[0].is_usable = false;
        assert!(pick(&hosts, SMALL, &Wish::default()).is_err());
    }
}
