//! Regions, services and endpoints: what the catalogue of a token is made from.

use super::users::{all, json_map};
use super::{Json, Row, Tx, args, epoch};
use crate::cloud::identity::{Endpoint, Region, Service};
use crate::error::Result;

fn region(mut row: Row) -> Result<Region> {
    Ok(Region { id: row.next()?, parent_region_id: row.next()?, description: row.next()?, extra: json_map(&mut row)? })
}

pub fn regions(tx: &mut Tx) -> Result<Vec<Region>> {
    all(tx.query("SELECT id, parent_id, description, extra FROM regions ORDER BY id", args![])?, region)
}

pub fn get_region(tx: &mut Tx, id: &str) -> Result<Option<Region>> {
    let sql = "SELECT id, parent_id, description, extra FROM regions WHERE id = ?1";
    tx.query_one(sql, args![id])?.map(region).transpose()
}

/// # Errors
/// `Conflict` when the id is taken.
pub fn insert_region(tx: &mut Tx, region: &Region) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute(
        "INSERT INTO regions (id, parent_id, description, extra) VALUES (?1, ?2, ?3, ?4)",
        args![&region.id, region.parent_region_id.as_deref(), &region.description, Json(&region.extra)],
    )
    .map(drop)
}

pub fn update_region(tx: &mut Tx, region: &Region) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute(
        "UPDATE regions SET parent_id = ?2, description = ?3, extra = ?4 WHERE id = ?1",
        args![&region.id, region.parent_region_id.as_deref(), &region.description, Json(&region.extra)],
    )
    .map(drop)
}

pub fn delete_region(tx: &mut Tx, id: &str) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute("DELETE FROM regions WHERE id = ?1", args![id]).map(drop)
}

fn service(mut row: Row) -> Result<Service> {
    Ok(Service {
        id: row.next()?,
        kind: row.next()?,
        name: row.next()?,
        description: row.next()?,
        enabled: row.next()?,
        extra: json_map(&mut row)?,
    })
}

pub fn services(tx: &mut Tx) -> Result<Vec<Service>> {
    let sql = "SELECT id, type, name, description, enabled, extra FROM services ORDER BY type, id";
    all(tx.query(sql, args![])?, service)
}

pub fn get_service(tx: &mut Tx, id: &str) -> Result<Option<Service>> {
    let sql = "SELECT id, type, name, description, enabled, extra FROM services WHERE id = ?1";
    tx.query_one(sql, args![id])?.map(service).transpose()
}

pub fn insert_service(tx: &mut Tx, service: &Service) -> Result<()> {
    epoch::bump(tx)?;
    let sql = "INSERT INTO services (id, type, name, description, enabled, extra) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    tx.execute(
        sql,
        args![
            &service.id,
            &service.kind,
            service.name.as_deref(),
            service.description.as_deref(),
            service.enabled,
            Json(&service.extra)
        ],
    )
    .map(drop)
}

pub fn update_service(tx: &mut Tx, service: &Service) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute(
        "UPDATE services SET type = ?2, name = ?3, description = ?4, enabled = ?5, extra = ?6 WHERE id = ?1",
        args![
            &service.id,
            &service.kind,
            service.name.as_deref(),
            service.description.as_deref(),
            service.enabled,
            Json(&service.extra)
        ],
    )
    .map(drop)
}

/// Deletes a service with its endpoints.
pub fn delete_service(tx: &mut Tx, id: &str) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute("DELETE FROM services WHERE id = ?1", args![id]).map(drop)
}

const ENDPOINT: &str = "id, service_id, region_id, interface, url, enabled, name, extra";

fn endpoint(mut row: Row) -> Result<Endpoint> {
    Ok(Endpoint {
        id: row.next()?,
        service_id: row.next()?,
        region_id: row.next()?,
        interface: row.next()?,
        url: row.next()?,
        enabled: row.next()?,
        name: row.next()?,
        extra: json_map(&mut row)?,
    })
}

pub fn endpoints(tx: &mut Tx) -> Result<Vec<Endpoint>> {
    all(tx.query(&format!("SELECT {ENDPOINT} FROM endpoints ORDER BY service_id, interface, id"), args![])?, endpoint)
}

pub fn get_endpoint(tx: &mut Tx, id: &str) -> Result<Option<Endpoint>> {
    tx.query_one(&format!("SELECT {ENDPOINT} FROM endpoints WHERE id = ?1"), args![id])?.map(endpoint).transpose()
}

pub fn insert_endpoint(tx: &mut Tx, endpoint: &Endpoint) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute(
        &format!("INSERT INTO endpoints ({ENDPOINT}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"),
        args![
            &endpoint.id,
            &endpoint.service_id,
            endpoint.region_id.as_deref(),
            &endpoint.interface,
            &endpoint.url,
            endpoint.enabled,
            endpoint.name.as_deref(),
            Json(&endpoint.extra)
        ],
    )
    .map(drop)
}

pub fn update_endpoint(tx: &mut Tx, endpoint: &Endpoint) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute(
        "UPDATE endpoints SET service_id = ?2, region_id = ?3, interface = ?4, url = ?5, enabled = ?6, name = ?7,
                              extra = ?8
          WHERE id = ?1",
        args![
            &endpoint.id,
            &endpoint.service_id,
            endpoint.region_id.as_deref(),
            &endpoint.interface,
            &endpoint.url,
            endpoint.enabled,
            endpoint.name.as_deref(),
            Json(&endpoint.extra)
        ],
    )
    .map(drop)
}

pub fn delete_endpoint(tx: &mut Tx, id: &str) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute("DELETE FROM endpoints WHERE id = ?1", args![id]).map(drop)
}
