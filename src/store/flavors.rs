//! Flavors: public ones for everybody, others for the projects that were given access.

use super::{OrConflict, OrNotFound, Row, Tx, args};
use crate::clock::Timestamp;
use crate::cloud::flavor::Flavor;
use crate::cloud::policy::Reach;
use crate::error::{Error, Kind, Result};
use crate::ids::{FlavorId, ProjectId};
use std::collections::BTreeMap;

const COLUMNS: &str = "f.id, f.name, f.description, f.vcpus, f.ram_mib, f.disk_gib, f.ephemeral_gib, f.swap_mib, f.rxtx_factor, f.is_public, f.disabled";

fn from_row(mut row: Row) -> Result<Flavor> {
    Ok(Flavor {
        id: row.next()?,
        name: row.next()?,
        description: row.next()?,
        vcpus: row.next()?,
        ram_mib: row.next()?,
        disk_gib: row.next()?,
        ephemeral_gib: row.next()?,
        swap_mib: row.next()?,
        rxtx_factor: row.next::<String>()?.parse().unwrap_or(1.0),
        is_public: row.next()?,
        disabled: row.next()?,
        extra_specs: BTreeMap::new(),
    })
}

/// Whose flavors: everybody's public ones, and a project's own or all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visible<'p> {
    All,
    To(Option<&'p ProjectId>),
}

impl Visible<'_> {
    /// The sight of a caller with this reach.
    pub fn for_reach<'p>(reach: &'p Reach, project: Option<&'p ProjectId>) -> Visible<'p> {
        match reach {
            Reach::Cloud => Visible::All,
            Reach::Project(project) => Visible::To(Some(project)),
            Reach::Domain(_) | Reach::User(_) => Visible::To(project),
        }
    }
}

/// Every flavor in sight, by id.
pub fn list(tx: &mut Tx, visible: Visible<'_>) -> Result<Vec<Flavor>> {
    let rows = match visible {
        Visible::All => tx.query(&format!("SELECT {COLUMNS} FROM flavors f ORDER BY f.id"), args![])?,
        Visible::To(project) => tx.query(
            &format!(
                "SELECT {COLUMNS} FROM flavors f
                  WHERE f.is_public = 1
                     OR EXISTS (SELECT 1 FROM flavor_projects p WHERE p.flavor_id = f.id AND p.project_id = ?1)
                  ORDER BY f.id"
            ),
            args![project.map_or("", ProjectId::as_str)],
        )?,
    };
    let mut flavors = rows.into_iter().map(from_row).collect::<Result<Vec<_>>>()?;
    let mut specs: BTreeMap<FlavorId, BTreeMap<String, String>> = BTreeMap::new();
    for mut row in tx.query("SELECT flavor_id, name, value FROM flavor_extra_specs", args![])? {
        specs.entry(row.next()?).or_default().insert(row.next()?, row.next()?);
    }
    for flavor in &mut flavors {
        flavor.extra_specs = specs.remove(&flavor.id).unwrap_or_default();
    }
    Ok(flavors)
}

/// One flavor by its id.
///
/// # Errors
/// `NotFound` also for what is out of sight.
pub fn get(tx: &mut Tx, visible: Visible<'_>, id: &FlavorId) -> Result<Flavor> {
    let sql = format!("SELECT {COLUMNS} FROM flavors f WHERE f.id = ?1");
    let mut flavor = tx.query_one(&sql, args![id])?.or_not_found(Kind::Flavor, id).and_then(from_row)?;
    if let (Visible::To(project), false) = (visible, flavor.is_public) {
        let sql = "SELECT 1 FROM flavor_projects WHERE flavor_id = ?1 AND project_id = ?2";
        tx.query_one(sql, args![id, project.map_or("", ProjectId::as_str)])?.or_not_found(Kind::Flavor, id)?;
    }
    flavor.extra_specs = extra_specs(tx, id)?;
    Ok(flavor)
}

pub fn insert(tx: &mut Tx, flavor: &Flavor, now: Timestamp) -> Result<()> {
    let taken = tx.query_one("SELECT 1 FROM flavors WHERE name = ?1", args![flavor.name.as_str()])?;
    if taken.is_some() {
        return Err(Error::conflict(format!("Flavor with name {} already exists.", flavor.name)));
    }
    tx.execute(
        "INSERT INTO flavors (id, name, description, vcpus, ram_mib, disk_gib, ephemeral_gib, swap_mib, rxtx_factor,
                              is_public, disabled, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        args![
            &flavor.id,
            &flavor.name,
            &flavor.description,
            flavor.vcpus,
            flavor.ram_mib,
            flavor.disk_gib,
            flavor.ephemeral_gib,
            flavor.swap_mib,
            flavor.rxtx_factor.to_string(),
            flavor.is_public,
            flavor.disabled,
            now
        ],
    )
    .or_conflict(|| format!("Flavor with ID {} already exists.", flavor.id))?;
    for (name, value) in &flavor.extra_specs {
        set_extra_spec(tx, &flavor.id, name, value)?;
    }
    Ok(())
}

pub fn set_description(tx: &mut Tx, id: &FlavorId, description: Option<&str>, now: Timestamp) -> Result<()> {
    let sql = "UPDATE flavors SET description = ?2, updated_at = ?3 WHERE id = ?1";
    found(tx.execute(sql, args![id, description, now])?, id)
}

pub fn delete(tx: &mut Tx, id: &FlavorId) -> Result<()> {
    found(tx.execute("DELETE FROM flavors WHERE id = ?1", args![id])?, id)
}

pub fn extra_specs(tx: &mut Tx, id: &FlavorId) -> Result<BTreeMap<String, String>> {
    tx.query("SELECT name, value FROM flavor_extra_specs WHERE flavor_id = ?1", args![id])?
        .into_iter()
        .map(|mut row| Ok((row.next()?, row.next()?)))
        .collect()
}

pub fn set_extra_spec(tx: &mut Tx, id: &FlavorId, name: &str, value: &str) -> Result<()> {
    tx.execute(
        "INSERT INTO flavor_extra_specs (flavor_id, name, value) VALUES (?1, ?2, ?3)
         ON CONFLICT (flavor_id, name) DO UPDATE SET value = ?3",
        args![id, name, value],
    )?;
    Ok(())
}

/// Deletes one extra spec; `false` when there was none.
pub fn delete_extra_spec(tx: &mut Tx, id: &FlavorId, name: &str) -> Result<bool> {
    let sql = "DELETE FROM flavor_extra_specs WHERE flavor_id = ?1 AND name = ?2";
    Ok(tx.execute(sql, args![id, name])? > 0)
}

/// The projects that may use a flavor that is not public.
pub fn projects(tx: &mut Tx, id: &FlavorId) -> Result<Vec<ProjectId>> {
    tx.query("SELECT project_id FROM flavor_projects WHERE flavor_id = ?1 ORDER BY project_id", args![id])?
        .into_iter()
        .map(|mut row| row.next())
        .collect()
}

pub fn add_project(tx: &mut Tx, id: &FlavorId, project: &ProjectId) -> Result<()> {
    if tx.query_one("SELECT 1 FROM projects WHERE id = ?1", args![project])?.is_none() {
        return Err(Error::bad_request(format!("Project ID {project} is not a valid project.")));
    }
    let sql = "INSERT INTO flavor_projects (flavor_id, project_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    if tx.execute(sql, args![id, project])? == 0 {
        return Err(Error::conflict(format!(
            "Flavor access already exists for flavor {id} and project {project} combination."
        )));
    }
    Ok(())
}

pub fn remove_project(tx: &mut Tx, id: &FlavorId, project: &ProjectId) -> Result<()> {
    let sql = "DELETE FROM flavor_projects WHERE flavor_id = ?1 AND project_id = ?2";
    if tx.execute(sql, args![id, project])? == 0 {
        let text = format!("Flavor access not found for {id} / {project} combination.");
        return Err(Error::not_found(Kind::Part, text));
    }
    Ok(())
}

fn found(changed: u64, id: &FlavorId) -> Result<()> {
    if changed == 0 { Err(Error::not_found(Kind::Flavor, id)) } else { Ok(()) }
}
