//! Limits that identity keeps for other services: what is limited, how much of it a project may have, and the check.
//!
//! The model is upstream's flat one: a project has its own limit or the registered default, and what other projects of
//! its tree have does not matter. The check and its sentence are oslo.limit's, so that clients of compute and images read
//! what they read from Nova and Glance.

use crate::error::{Error, Result};
use crate::ids::{DomainId, ProjectId};

/// No bound.
pub const UNLIMITED: i64 = -1;
/// The largest number a limit may be.
pub const MOST: i64 = 0x7FFF_FFFF;

/// A resource of a service that can be limited, and its limit where nothing else is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredLimit {
    pub id: String,
    pub service_id: String,
    /// `None`: in every region that has none of its own.
    pub region_id: Option<String>,
    pub resource_name: String,
    pub default_limit: i64,
    pub description: Option<String>,
}

/// Whose limit it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    Project(ProjectId),
    Domain(DomainId),
}

/// What one project or domain may have, in place of a registered default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    pub id: String,
    pub registered_limit_id: String,
    pub owner: Owner,
    pub resource_limit: i64,
    pub description: Option<String>,
}

/// What a request would come to hold of a resource.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    pub resource: &'a str,
    pub limit: i64,
    pub used: i64,
    pub more: i64,
}

impl Claim<'_> {
    fn is_over(&self) -> bool {
        self.limit >= 0 && self.used.saturating_add(self.more) > self.limit
    }
}

/// # Errors
/// `OverQuota`, naming each limit that is in the way, in oslo.limit's words.
pub fn check(project: &ProjectId, claims: &[Claim]) -> Result<()> {
    let mut over: Vec<&Claim> = claims.iter().filter(|claim| claim.is_over()).collect();
    if over.is_empty() {
        return Ok(());
    }
    over.sort_by_key(|claim| claim.resource);
    let told: Vec<String> = over
        .iter()
        .map(|Claim { resource, limit, used, more }| {
            format!("Resource {resource} is over limit of {limit} due to current usage {used} and delta {more}")
        })
        .collect();
    Err(Error::OverQuota(format!("Project {project} is over a limit for [{}]", told.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn claim(resource: &'static str, limit: i64, used: i64, more: i64) -> Claim<'static> {
        Claim { resource, limit, used, more }
    }

    #[test]
    fn every_limit_in_the_way_is_named_in_order() {
        let claims = [claim("servers", 2, 2, 1), claim("class:VCPU", 4, 4, 2), claim("class:MEMORY_MB", 900, 0, 64)];
        assert_eq!(
            check(&"p".into(), &claims).unwrap_err().to_string(),
            "Project p is over a limit for [Resource class:VCPU is over limit of 4 due to current usage 4 and delta 2, \
             Resource servers is over limit of 2 due to current usage 2 and delta 1]"
        );
    }

    #[test]
    fn what_fits_exactly_is_allowed_and_minus_one_is_no_limit() {
        assert!(check(&"p".into(), &[claim("servers", 2, 1, 1), claim("cores", UNLIMITED, 1000, 1000)]).is_ok());
        assert!(check(&"p".into(), &[claim("servers", 0, 0, 1)]).is_err());
    }
}
