//! Which policy document is whose: `OS-ENDPOINT-POLICY`.
//!
//! A policy belongs to an endpoint, to a service, or to a service in a region and the regions below it. Asked for the
//! policy of an endpoint, the nearest wins: the endpoint's own, then that of its service in its region and the regions
//! above, then that of its service.

use crate::api::identity::answer::{done, listed, permitted};
use crate::api::identity::catalog;
use crate::api::identity::catalog::policies;
use crate::api::{Call, Row};
use crate::cloud::identity::{Endpoint, Policy, PolicyPlace, Region};
use crate::cloud::policy::Target;
use crate::error::{Error, Kind, Result};
use crate::http::reply::RawReply;
use crate::http::table::{delete, get, put};
use crate::store::{Tx, catalog as catalog_store, policies as policy_store};
use http::StatusCode;

const ENDPOINT: &str = "/v3/policies/{policy_id}/OS-ENDPOINT-POLICY/endpoints/{endpoint_id}";
const SERVICE: &str = "/v3/policies/{policy_id}/OS-ENDPOINT-POLICY/services/{service_id}";
const REGION: &str = "/v3/policies/{policy_id}/OS-ENDPOINT-POLICY/services/{service_id}/regions/{region_id}";

pub fn rows() -> Vec<Row> {
    vec![
        get("/v3/policies/{policy_id}/OS-ENDPOINT-POLICY/endpoints", endpoints)
            .rule("identity:list_endpoints_for_policy"),
        get("/v3/endpoints/{endpoint_id}/OS-ENDPOINT-POLICY/policy", policy_of_endpoint)
            .rule("identity:get_policy_for_endpoint"),
        get(ENDPOINT, check).rule("identity:check_policy_association_for_endpoint"),
        put(ENDPOINT, associate).rule("identity:create_policy_association_for_endpoint"),
        delete(ENDPOINT, dissociate).rule("identity:delete_policy_association_for_endpoint"),
        get(SERVICE, check).rule("identity:check_policy_association_for_service"),
        put(SERVICE, associate).rule("identity:create_policy_association_for_service"),
        delete(SERVICE, dissociate).rule("identity:delete_policy_association_for_service"),
        get(REGION, check).rule("identity:check_policy_association_for_region_and_service"),
        put(REGION, associate).rule("identity:create_policy_association_for_region_and_service"),
        delete(REGION, dissociate).rule("identity:delete_policy_association_for_region_and_service"),
    ]
}

/// The place that the path names.
fn place(call: &Call) -> PolicyPlace {
    let named = |name: &str| call.head.params.get(name).map(str::to_owned);
    match (named("endpoint_id"), named("service_id")) {
        (Some(endpoint), _) => PolicyPlace::Endpoint(endpoint),
        (None, service) => PolicyPlace::Service { service: service.unwrap_or_default(), region: named("region_id") },
    }
}

/// # Errors
/// `NotFound` when the policy or what the place names isn't there.
fn check_there(tx: &mut Tx, policy: &str, place: &PolicyPlace) -> Result<()> {
    policy_store::get(tx, policy)?.ok_or_else(|| Error::not_found(Kind::Policy, policy))?;
    match place {
        PolicyPlace::Endpoint(id) => {
            catalog_store::get_endpoint(tx, id)?.ok_or_else(|| Error::not_found(Kind::Endpoint, id))?;
        }
        PolicyPlace::Service { service, region } => {
            catalog_store::get_service(tx, service)?.ok_or_else(|| Error::not_found(Kind::Service, service))?;
            if let Some(region) = region {
                catalog_store::get_region(tx, region)?.ok_or_else(|| Error::not_found(Kind::Region, region))?;
            }
        }
    }
    Ok(())
}

async fn check(call: Call) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let (policy, place) = (call.path("policy_id").to_owned(), place(&call));
    let found = move |tx: &mut Tx| {
        check_there(tx, &policy, &place)?;
        Ok(policy_store::at(tx, &place)?.is_some_and(|found| found == policy))
    };
    if call.cx.state.db.read(found).await? {
        return Ok(done());
    }
    Err(Error::not_found(Kind::Part, "Could not find policy association."))
}

async fn associate(call: Call) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let (policy, place) = (call.path("policy_id").to_owned(), place(&call));
    let write = move |tx: &mut Tx| {
        check_there(tx, &policy, &place)?;
        policy_store::associate(tx, &policy, &place)
    };
    call.cx.state.db.write(write).await?;
    Ok(done())
}

/// What isn't associated is none the less taken apart, as upstream does.
async fn dissociate(call: Call) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let (policy, place) = (call.path("policy_id").to_owned(), place(&call));
    let write = move |tx: &mut Tx| {
        check_there(tx, &policy, &place)?;
        policy_store::dissociate(tx, &policy, &place)
    };
    call.cx.state.db.write(write).await?;
    Ok(done())
}

/// Is the region this one, or below it?
fn is_within(regions: &[Region], inner: Option<&str>, outer: &str) -> bool {
    let mut next = inner;
    // Regions make no rings, and a ring would be no longer than their number.
    for _ in 0..=regions.len() {
        match next {
            Some(id) if id == outer => return true,
            Some(id) => {
                next = regions.iter().find(|region| region.id == id).and_then(|one| one.parent_region_id.as_deref());
            }
            None => return false,
        }
    }
    false
}

async fn endpoints(call: Call) -> Result<RawReply> {
    let policy = policies::of_path(&call).await?;
    let read = move |tx: &mut Tx| {
        let (places, regions) = (policy_store::places(tx, &policy.id)?, catalog_store::regions(tx)?);
        let covers = |place: &PolicyPlace, endpoint: &Endpoint| match place {
            PolicyPlace::Endpoint(id) => endpoint.id == *id,
            PolicyPlace::Service { service, region } => {
                let is_there = |outer: &String| is_within(&regions, endpoint.region_id.as_deref(), outer);
                endpoint.service_id == *service && region.as_ref().is_none_or(is_there)
            }
        };
        let all = catalog_store::endpoints(tx)?.into_iter();
        Ok(all.filter(|endpoint| places.iter().any(|place| covers(place, endpoint))).collect::<Vec<_>>())
    };
    let found = call.cx.state.db.read(read).await?;
    let views = found.iter().map(|endpoint| catalog::endpoint_view(endpoint, &call.cx.state.public_url)).collect();
    Ok(listed(&call, "endpoints", views, &[]))
}

/// The policy that is nearest to an endpoint.
fn nearest(tx: &mut Tx, endpoint: &Endpoint) -> Result<Option<Policy>> {
    let service = || endpoint.service_id.clone();
    let mut places = vec![PolicyPlace::Endpoint(endpoint.id.clone())];
    let regions = catalog_store::regions(tx)?;
    let mut next = endpoint.region_id.clone();
    while let Some(id) = next {
        // Once more around a ring would find nothing new.
        if places.len() > regions.len() + 1 {
            break;
        }
        next = regions.iter().find(|region| region.id == id).and_then(|region| region.parent_region_id.clone());
        places.push(PolicyPlace::Service { service: service(), region: Some(id) });
    }
    places.push(PolicyPlace::Service { service: service(), region: None });
    for place in places {
        if let Some(id) = policy_store::at(tx, &place)? {
            return policy_store::get(tx, &id);
        }
    }
    Ok(None)
}

async fn policy_of_endpoint(call: Call) -> Result<RawReply> {
    let id = call.path("endpoint_id").to_owned();
    let wanted = id.clone();
    let load = move |tx: &mut Tx| catalog_store::get_endpoint(tx, &wanted);
    let endpoint = permitted(&call, Kind::Endpoint, &id, load, |_| Target::new()).await?;
    match call.cx.state.db.read(move |tx| nearest(tx, &endpoint)).await? {
        Some(policy) => Ok(policies::answer(&call, StatusCode::OK, &policy)),
        None => Err(Error::not_found(Kind::Part, format!("No policy is associated with endpoint {id}."))),
    }
}
