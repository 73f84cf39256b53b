//! What operators say with the metadata of aggregates: which flavors, tenants and images their hosts are for.

use super::super::operators::matches;
use super::super::{Candidate, Request, Rules};

const SCOPE: &str = "aggregate_instance_extra_specs:";

/// What the flavor's extra specs require, one of the host's aggregates gives.
///
/// A name without a scope binds only where some aggregate says something under it. Upstream lets such a name keep the server
/// from every host, which is why it advises against this filter; here, what no aggregate speaks of is a note for others.
pub fn give_extra_specs(host: &Candidate, request: &Request, _: &Rules) -> bool {
    request.extra_specs.iter().all(|(name, required)| {
        let name = match name.strip_prefix(SCOPE) {
            Some(name) => name,
            None if name.contains(':') || !request.aggregate_names.contains(name) => return true,
            None => name,
        };
        host.said(name).is_some_and(|values| values.iter().any(|value| matches(value, required)))
    })
}

/// Where aggregates name tenants (`filter_tenant_id`, with any ending), only those get in.
pub fn admit_tenant(host: &Candidate, request: &Request, _: &Rules) -> bool {
    let Some(metadata) = &host.aggregates else { return true };
    let mut named = metadata.iter().filter(|(name, _)| name.starts_with("filter_tenant_id")).peekable();
    if named.peek().is_none() {
        return true;
    }
    let project = request.project.as_ref().map(|project| project.as_str()).unwrap_or_default();
    named.any(|(_, tenants)| tenants.contains(project))
}

/// An image's property that an aggregate speaks of too must be one of what it says.
pub fn admit_image(host: &Candidate, request: &Request, _: &Rules) -> bool {
    let Some(metadata) = &host.aggregates else { return true };
    request.image_properties.iter().all(|(name, value)| metadata.get(name).is_none_or(|some| some.contains(value)))
}
