//! Servers that shall be near each other or apart, by hints and by groups.

use super::super::{Candidate, Request, Rules};
use crate::cloud::server_group::Policy;

pub fn is_same_host(host: &Candidate, request: &Request, _: &Rules) -> bool {
    request.neighbours.same.as_ref().is_none_or(|same| same.contains(&host.id))
}

pub fn is_different_host(host: &Candidate, request: &Request, _: &Rules) -> bool {
    !request.neighbours.different.contains(&host.id)
}

pub fn keeps_apart(host: &Candidate, request: &Request, _: &Rules) -> bool {
    heeds(host, request, Policy::AntiAffinity)
}

pub fn keeps_together(host: &Candidate, request: &Request, _: &Rules) -> bool {
    heeds(host, request, Policy::Affinity)
}

/// Soft policies are wishes: a matter of weight.
fn heeds(host: &Candidate, request: &Request, policy: Policy) -> bool {
    request.affinity.as_ref().filter(|affinity| affinity.policy == policy).is_none_or(|it| it.suits(host.id))
}
