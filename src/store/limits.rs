//! Registered limits, limits, and what both come to for a project.

use super::users::all;
use super::{Row, Tx, args};
use crate::cloud::limit::{Limit, Owner, RegisteredLimit};
use crate::error::Result;
use crate::ids::{DomainId, ProjectId};

const REGISTERED: &str = "id, service_id, region_id, resource_name, default_limit, description";

fn registered(row: &mut Row) -> Result<RegisteredLimit> {
    Ok(RegisteredLimit {
        id: row.next()?,
        service_id: row.next()?,
        region_id: row.next()?,
        resource_name: row.next()?,
        default_limit: row.next()?,
        description: row.next()?,
    })
}

pub fn list_registered(tx: &mut Tx) -> Result<Vec<RegisteredLimit>> {
    let sql = format!("SELECT {REGISTERED} FROM registered_limits ORDER BY service_id, resource_name, id");
    all(tx.query(&sql, args![])?, |mut row| registered(&mut row))
}

pub fn get_registered(tx: &mut Tx, id: &str) -> Result<Option<RegisteredLimit>> {
    let sql = format!("SELECT {REGISTERED} FROM registered_limits WHERE id = ?1");
    tx.query_one(&sql, args![id])?.map(|mut row| registered(&mut row)).transpose()
}

/// The registered limit of a resource in exactly this region, or in every region.
pub fn find_registered(
    tx: &mut Tx,
    service: &str,
    region: Option<&str>,
    resource: &str,
) -> Result<Option<RegisteredLimit>> {
    let sql = format!(
        "SELECT {REGISTERED} FROM registered_limits
          WHERE service_id = ?1 AND COALESCE(region_id, '') = COALESCE(?2, '') AND resource_name = ?3"
    );
    tx.query_one(&sql, args![service, region, resource])?.map(|mut row| registered(&mut row)).transpose()
}

/// # Errors
/// `Conflict` when the resource is registered already.
pub fn insert_registered(tx: &mut Tx, limit: &RegisteredLimit) -> Result<()> {
    tx.execute(
        &format!("INSERT INTO registered_limits ({REGISTERED}) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"),
        args![
            &limit.id,
            &limit.service_id,
            limit.region_id.as_deref(),
            &limit.resource_name,
            limit.default_limit,
            limit.description.as_deref()
        ],
    )
    .map(drop)
}

/// # Errors
/// `Conflict` when it would be what another one is.
pub fn update_registered(tx: &mut Tx, limit: &RegisteredLimit) -> Result<()> {
    tx.execute(
        "UPDATE registered_limits SET service_id = ?2, region_id = ?3, resource_name = ?4, default_limit = ?5,
                                      description = ?6
          WHERE id = ?1",
        args![
            &limit.id,
            &limit.service_id,
            limit.region_id.as_deref(),
            &limit.resource_name,
            limit.default_limit,
            limit.description.as_deref()
        ],
    )
    .map(drop)
}

pub fn delete_registered(tx: &mut Tx, id: &str) -> Result<()> {
    tx.execute("DELETE FROM registered_limits WHERE id = ?1", args![id]).map(drop)
}

/// Does a project or domain have a limit of its own in place of this one?
pub fn is_in_use(tx: &mut Tx, registered: &str) -> Result<bool> {
    Ok(tx.query_one("SELECT 1 FROM limits WHERE registered_limit_id = ?1 LIMIT 1", args![registered])?.is_some())
}

/// Is something registered for the service?
pub fn has_service(tx: &mut Tx, service: &str) -> Result<bool> {
    Ok(tx.query_one("SELECT 1 FROM registered_limits WHERE service_id = ?1 LIMIT 1", args![service])?.is_some())
}

/// Is something registered for the region?
pub fn has_region(tx: &mut Tx, region: &str) -> Result<bool> {
    Ok(tx.query_one("SELECT 1 FROM registered_limits WHERE region_id = ?1 LIMIT 1", args![region])?.is_some())
}

/// A limit with what it stands in place of, and the domain of the project it is for.
#[derive(Debug, Clone)]
pub struct LimitInPlace {
    pub limit: Limit,
    pub registered: RegisteredLimit,
    pub project_domain: Option<DomainId>,
}

const IN_PLACE: &str = "SELECT l.id, l.registered_limit_id, l.project_id, l.domain_id, l.resource_limit, l.description,
            p.domain_id, r.id, r.service_id, r.region_id, r.resource_name, r.default_limit, r.description
       FROM limits l JOIN registered_limits r ON r.id = l.registered_limit_id
       LEFT JOIN projects p ON p.id = l.project_id";

fn in_place(mut row: Row) -> Result<LimitInPlace> {
    let (id, registered_limit_id) = (row.next()?, row.next()?);
    let (project, domain): (Option<ProjectId>, Option<DomainId>) = (row.next()?, row.next()?);
    let owner = match (project, domain) {
        (Some(project), _) => Owner::Project(project),
        (None, domain) => Owner::Domain(domain.unwrap_or_else(|| "".into())),
    };
    let limit = Limit { id, registered_limit_id, owner, resource_limit: row.next()?, description: row.next()? };
    Ok(LimitInPlace { limit, project_domain: row.next()?, registered: registered(&mut row)? })
}

pub fn list(tx: &mut Tx) -> Result<Vec<LimitInPlace>> {
    all(tx.query(&format!("{IN_PLACE} ORDER BY r.service_id, r.resource_name, l.id"), args![])?, in_place)
}

pub fn get(tx: &mut Tx, id: &str) -> Result<Option<LimitInPlace>> {
    tx.query_one(&format!("{IN_PLACE} WHERE l.id = ?1"), args![id])?.map(in_place).transpose()
}

/// # Errors
/// `Conflict` when the project or domain has a limit of the resource.
pub fn insert(tx: &mut Tx, limit: &Limit) -> Result<()> {
    let (project, domain) = match &limit.owner {
        Owner::Project(id) => (Some(id.as_str()), None),
        Owner::Domain(id) => (None, Some(id.as_str())),
    };
    tx.execute(
        "INSERT INTO limits (id, registered_limit_id, project_id, domain_id, resource_limit, description)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        args![
            &limit.id,
            &limit.registered_limit_id,
            project,
            domain,
            limit.resource_limit,
            limit.description.as_deref()
        ],
    )
    .map(drop)
}

pub fn update(tx: &mut Tx, limit: &Limit) -> Result<()> {
    tx.execute(
        "UPDATE limits SET resource_limit = ?2, description = ?3 WHERE id = ?1",
        args![&limit.id, limit.resource_limit, limit.description.as_deref()],
    )
    .map(drop)
}

pub fn delete(tx: &mut Tx, id: &str) -> Result<()> {
    tx.execute("DELETE FROM limits WHERE id = ?1", args![id]).map(drop)
}

/// What a project may have of a service's resource: its own limit, else the registered default, the region's before that
/// of every region. `None` when nothing is registered. The service is named by its type or its name.
pub fn effective(tx: &mut Tx, service: &str, region: &str, resource: &str, project: &ProjectId) -> Result<Option<i64>> {
    let row = tx.query_one(
        "SELECT COALESCE(l.resource_limit, r.default_limit)
           FROM registered_limits r JOIN services s ON s.id = r.service_id
           LEFT JOIN limits l ON l.registered_limit_id = r.id AND l.project_id = ?4
          WHERE (s.type = ?1 OR s.name = ?1) AND (r.region_id = ?2 OR r.region_id IS NULL) AND r.resource_name = ?3
          ORDER BY COALESCE(r.region_id, '') DESC, CASE WHEN s.type = ?1 THEN 0 ELSE 1 END, r.id
          LIMIT 1",
        args![service, region, resource, project],
    )?;
    row.map(|mut row| row.next()).transpose()
}
