//! Policies as stored documents, and what they are associated with.

use super::users::{all, json_map};
use super::{Json, Row, Tx, args};
use crate::cloud::identity::{Policy, PolicyPlace};
use crate::error::Result;

fn policy(mut row: Row) -> Result<Policy> {
    let (id, kind) = (row.next()?, row.next()?);
    let Json(blob) = row.next()?;
    Ok(Policy { id, kind, blob, extra: json_map(&mut row)? })
}

pub fn list(tx: &mut Tx) -> Result<Vec<Policy>> {
    all(tx.query("SELECT id, type, blob, extra FROM policies ORDER BY id", args![])?, policy)
}

pub fn get(tx: &mut Tx, id: &str) -> Result<Option<Policy>> {
    let sql = "SELECT id, type, blob, extra FROM policies WHERE id = ?1";
    tx.query_one(sql, args![id])?.map(policy).transpose()
}

pub fn insert(tx: &mut Tx, policy: &Policy) -> Result<()> {
    let sql = "INSERT INTO policies (id, type, blob, extra) VALUES (?1, ?2, ?3, ?4)";
    tx.execute(sql, args![&policy.id, &policy.kind, Json(&policy.blob), Json(&policy.extra)]).map(drop)
}

pub fn update(tx: &mut Tx, policy: &Policy) -> Result<()> {
    let sql = "UPDATE policies SET type = ?2, blob = ?3, extra = ?4 WHERE id = ?1";
    tx.execute(sql, args![&policy.id, &policy.kind, Json(&policy.blob), Json(&policy.extra)]).map(drop)
}

/// Deletes a policy with its associations.
pub fn delete(tx: &mut Tx, id: &str) -> Result<()> {
    tx.execute("DELETE FROM policies WHERE id = ?1", args![id]).map(drop)
}

/// NULLs are never equal to one another, so absent parts are compared as empty text.
const EXACTLY: &str = "COALESCE(endpoint_id, '') = COALESCE(?1, '') AND COALESCE(service_id, '') = COALESCE(?2, '')
     AND COALESCE(region_id, '') = COALESCE(?3, '')";

fn columns(place: &PolicyPlace) -> (Option<&str>, Option<&str>, Option<&str>) {
    match place {
        PolicyPlace::Endpoint(endpoint) => (Some(endpoint), None, None),
        PolicyPlace::Service { service, region } => (None, Some(service), region.as_deref()),
    }
}

/// The policy associated with exactly this place.
pub fn at(tx: &mut Tx, place: &PolicyPlace) -> Result<Option<String>> {
    let (endpoint, service, region) = columns(place);
    let sql = format!("SELECT policy_id FROM policy_associations WHERE {EXACTLY}");
    tx.query_one(&sql, args![endpoint, service, region])?.map(|mut row| row.next()).transpose()
}

/// Associates a policy with a place, whatever was there before.
pub fn associate(tx: &mut Tx, policy: &str, place: &PolicyPlace) -> Result<()> {
    let (endpoint, service, region) = columns(place);
    tx.execute(&format!("DELETE FROM policy_associations WHERE {EXACTLY}"), args![endpoint, service, region])?;
    tx.execute(
        "INSERT INTO policy_associations (id, policy_id, endpoint_id, service_id, region_id) VALUES (?1, ?2, ?3, ?4, ?5)",
        args![uuid::Uuid::new_v4().simple().to_string(), policy, endpoint, service, region],
    )
    .map(drop)
}

pub fn dissociate(tx: &mut Tx, policy: &str, place: &PolicyPlace) -> Result<()> {
    let (endpoint, service, region) = columns(place);
    let sql = format!("DELETE FROM policy_associations WHERE {EXACTLY} AND policy_id = ?4");
    tx.execute(&sql, args![endpoint, service, region, policy]).map(drop)
}

/// Everything a policy is associated with.
pub fn places(tx: &mut Tx, policy: &str) -> Result<Vec<PolicyPlace>> {
    let sql = "SELECT endpoint_id, service_id, region_id FROM policy_associations WHERE policy_id = ?1 ORDER BY id";
    all(tx.query(sql, args![policy])?, |mut row| {
        let (endpoint, service, region): (Option<String>, Option<String>, _) = (row.next()?, row.next()?, row.next()?);
        Ok(match (endpoint, service) {
            (Some(endpoint), _) => PolicyPlace::Endpoint(endpoint),
            (None, service) => PolicyPlace::Service { service: service.unwrap_or_default(), region },
        })
    })
}
