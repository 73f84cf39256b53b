//! Limits on what a project or user may hold, and what counts against them.
//!
//! Upstream's names and defaults. The check is pure; callers read the usage in the transaction that adds to it, which is
//! serialisable on both engines, so that racing requests never exceed a limit together.

use super::flavor::Flavor;
use super::limit::{self, Claim};
use crate::error::{Error, Result};
use crate::ids::ProjectId;
use std::collections::BTreeMap;

/// Not limited.
pub const UNLIMITED: i64 = -1;

/// What a limit is on, and how much it is where nobody says otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Resource {
    pub name: &'static str,
    pub default: i64,
}

/// Nova's resources that its quota sets show, in its order of importance.
pub const RESOURCES: &[Resource] = &[
    Resource { name: "instances", default: 10 },
    Resource { name: "cores", default: 20 },
    Resource { name: "ram", default: 51_200 },
    Resource { name: "metadata_items", default: 128 },
    Resource { name: "injected_files", default: 5 },
    Resource { name: "injected_file_content_bytes", default: 10_240 },
    Resource { name: "injected_file_path_bytes", default: 255 },
    Resource { name: "key_pairs", default: 100 },
    Resource { name: "server_groups", default: 10 },
    Resource { name: "server_group_members", default: 10 },
    // Networks' own, which another service has: kept and shown to older clients as Nova keeps them, and limiting nothing.
    Resource { name: "fixed_ips", default: UNLIMITED },
    Resource { name: "floating_ips", default: UNLIMITED },
    Resource { name: "security_groups", default: UNLIMITED },
    Resource { name: "security_group_rules", default: UNLIMITED },
];

const SERVERS: &str = "servers";

/// What Nova calls its resources as unified limits, and as quotas.
pub const UNIFIED: &[(&str, &str)] = &[
    (SERVERS, "instances"),
    ("class:VCPU", "cores"),
    ("class:MEMORY_MB", "ram"),
    ("server_metadata_items", "metadata_items"),
    ("server_injected_files", "injected_files"),
    ("server_injected_file_content_bytes", "injected_file_content_bytes"),
    ("server_injected_file_path_bytes", "injected_file_path_bytes"),
    ("server_key_pairs", "key_pairs"),
    ("server_groups", "server_groups"),
    ("server_group_members", "server_group_members"),
];

/// What a project may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits(pub BTreeMap<String, i64>);

impl Limits {
    /// The defaults, overridden by what an operator set for the project.
    pub fn with(overrides: impl IntoIterator<Item = (String, i64)>) -> Self {
        let mut limits: BTreeMap<String, i64> =
            RESOURCES.iter().map(|resource| (resource.name.to_owned(), resource.default)).collect();
        limits.extend(overrides);
        Self(limits)
    }

    /// What identity's limits come to, by their own names. What is not registered is not limited, but for servers, of which
    /// there may then be none: so Nova's unified limits are set by default.
    pub fn unified(registered: impl Fn(&str) -> Option<i64>) -> Self {
        let limit = |unified: &str| registered(unified).unwrap_or(if unified == SERVERS { 0 } else { UNLIMITED });
        Self(UNIFIED.iter().map(|(unified, name)| ((*name).to_owned(), limit(unified))).collect())
    }

    pub fn of(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(UNLIMITED)
    }
}

/// What servers hold, or what a request would add.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub instances: i64,
    pub cores: i64,
    pub ram: i64,
}

impl Usage {
    /// What so many servers of a flavor hold.
    pub fn of(instances: i64, flavor: &Flavor) -> Self {
        Self { instances, cores: flavor.vcpus.into(), ram: i64::try_from(flavor.ram_mib).unwrap_or(i64::MAX) }
    }

    fn named(self) -> [(&'static str, i64); 3] {
        [("cores", self.cores), ("instances", self.instances), ("ram", self.ram)]
    }

    fn times(self, count: i64) -> Self {
        let by = |number: i64| number.saturating_mul(count);
        Self { instances: by(self.instances), cores: by(self.cores), ram: by(self.ram) }
    }
}

/// How many servers of a kind, from `min` to `max`, the limits leave room for.
///
/// # Errors
/// `OverQuota` when not even `min`, naming every limit that is in the way, as Nova does.
pub fn admit(limits: &Limits, used: Usage, each: Usage, min: i64, max: i64) -> Result<i64> {
    let fits = |count: i64| over(limits, used, each.times(count)).is_empty();
    if let Some(count) = (min..=max).rev().find(|count| fits(*count)) {
        return Ok(count);
    }
    let names = over(limits, used, each.times(min));
    let join = |values: [(&'static str, i64); 3]| {
        values
            .iter()
            .filter(|(name, _)| names.contains(name))
            .map(|(_, n)| n.to_string())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let allowed = names.iter().map(|name| limits.of(name).to_string()).collect::<Vec<_>>().join(", ");
    let overs = names.join(", ");
    Err(Error::OverQuota(format!(
        "Quota exceeded for {overs}: Requested {}, but already used {} of {allowed} {overs}",
        join(each.times(min).named()),
        join(used.named()),
    )))
}

/// As [`admit`], for limits that identity keeps: the refusal is oslo.limit's.
///
/// # Errors
/// `OverQuota` when not even `min`.
pub fn admit_unified(
    project: &ProjectId,
    limits: &Limits,
    used: Usage,
    each: Usage,
    min: i64,
    max: i64,
) -> Result<i64> {
    let fits = |count: i64| over(limits, used, each.times(count)).is_empty();
    if let Some(count) = (min..=max).rev().find(|count| fits(*count)) {
        return Ok(count);
    }
    let names = |name: &str| UNIFIED.iter().find(|(_, quota)| *quota == name).map_or("", |(unified, _)| unified);
    let claims = used.named().into_iter().zip(each.times(min).named()).map(|((name, used), (_, more))| Claim {
        resource: names(name),
        limit: limits.of(name),
        used,
        more,
    });
    limit::check(project, &claims.filter(|claim| claim.more > 0).collect::<Vec<_>>())?;
    Ok(min)
}

fn over(limits: &Limits, used: Usage, more: Usage) -> Vec<&'static str> {
    used.named()
        .into_iter()
        .zip(more.named())
        .filter(|((name, used), (_, more))| {
            let limit = limits.of(name);
            limit != UNLIMITED && *more > 0 && used.saturating_add(*more) > limit
        })
        .map(|((name, _), _)| name)
        .collect()
}

/// May this limit be set? `least` is what is used or given away already, `most` what may be given.
///
/// # Errors
/// `BadRequest`, in upstream's words.
pub fn check_settable(name: &str, limit: i64, least: i64, most: i64) -> Result<()> {
    let size = |limit: i64| if limit == UNLIMITED { i64::MAX } else { limit };
    if size(limit) < size(least) {
        return Err(Error::bad_request(format!(
            "Quota limit {limit} for {name} must be greater than or equal to already used and reserved {least}."
        )));
    }
    if size(limit) > size(most) {
        return Err(Error::bad_request(format!(
            "Quota limit {limit} for {name} must be less than or equal to {most}."
        )));
    }
    Ok(())
}

/// # Errors
/// `OverQuota` when so many metadata items are more than allowed.
pub fn check_metadata(limits: &Limits, items: usize) -> Result<()> {
    let limit = limits.of("metadata_items");
    if limit == UNLIMITED || i64::try_from(items).is_ok_and(|items| items <= limit) {
        return Ok(());
    }
    Err(Error::OverQuota(format!("Maximum number of metadata items exceeds {limit}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: Usage = Usage { instances: 1, cores: 1, ram: 512 };

    #[test]
    fn a_request_beyond_a_limit_is_refused_with_every_limit_in_its_way() {
        let limits = Limits::with([("instances".to_owned(), 2), ("cores".to_owned(), 2)]);
        let used = Usage { instances: 2, cores: 2, ram: 1024 };
        assert_eq!(
            admit(&limits, used, TINY, 1, 1).unwrap_err().to_string(),
            "Quota exceeded for cores, instances: Requested 1, 1, but already used 2, 2 of 2, 2 cores, instances"
        );
    }

    #[test]
    fn as_many_as_fit_are_admitted_between_minimum_and_maximum() {
        let limits = Limits::with([("instances".to_owned(), 4)]);
        let used = Usage { instances: 1, cores: 1, ram: 512 };
        assert_eq!(admit(&limits, used, TINY, 1, 10).unwrap(), 3);
        assert!(admit(&limits, used, TINY, 4, 10).is_err());
    }

    #[test]
    fn a_limit_is_not_set_below_what_is_used_nor_above_what_may_be_given() {
        assert!(check_settable("cores", 5, 5, UNLIMITED).is_ok());
        assert!(check_settable("cores", UNLIMITED, 5, UNLIMITED).is_ok());
        assert_eq!(
            check_settable("cores", 4, 5, UNLIMITED).unwrap_err().to_string(),
            "Quota limit 4 for cores must be greater than or equal to already used and reserved 5."
        );
        assert_eq!(
            check_settable("cores", UNLIMITED, 0, 20).unwrap_err().to_string(),
            "Quota limit -1 for cores must be less than or equal to 20."
        );
    }

    #[test]
    fn minus_one_is_no_limit() {
        let limits = Limits::with(["instances", "cores", "ram"].map(|name| (name.to_owned(), UNLIMITED)));
        assert_eq!(admit(&limits, Usage::default(), TINY, 1, 1000).unwrap(), 1000);
        assert!(check_metadata(&Limits::with([("metadata_items".to_owned(), UNLIMITED)]), 5000).is_ok());
        assert!(check_metadata(&Limits::with([]), 129).is_err());
    }
}
