//! Projects and domains, which are projects that act as one. Which rows a caller may see is decided on each row, by the
//! rule of the operation.

use super::users::{all, column, json_map};
use super::{Json, OrConflict, Row, Tx, Value, args, epoch};
use crate::clock::Timestamp;
use crate::cloud::identity::{DomainRef, Project, name_key};
use crate::error::Result;
use crate::ids::{DomainId, ProjectId, UserId};
use std::collections::HashMap;

const COLUMNS: &str =
    "p.id, p.domain_id, p.parent_id, p.is_domain, p.name, p.description, p.enabled, p.options, p.extra";

fn from_row(mut row: Row) -> Result<Project> {
    Ok(Project {
        id: ProjectId(row.next()?),
        domain_id: row.next::<Option<String>>()?.map(DomainId),
        parent_id: row.next::<Option<String>>()?.map(ProjectId),
        is_domain: row.next()?,
        name: row.next()?,
        description: row.next()?,
        enabled: row.next()?,
        tags: Vec::new(),
        options: json_map(&mut row)?,
        extra: json_map(&mut row)?,
    })
}

/// A project or a domain, by its id.
pub fn get(tx: &mut Tx, id: &ProjectId) -> Result<Option<Project>> {
    one(tx, "p.id = ?1", args![id.as_str()])
}

pub fn by_name(tx: &mut Tx, domain: &DomainId, name: &str) -> Result<Option<Project>> {
    one(tx, "p.is_domain = 0 AND p.domain_id = ?1 AND p.name_key = ?2", args![domain.as_str(), name_key(name)])
}

pub fn domain(tx: &mut Tx, id: &DomainId) -> Result<Option<Project>> {
    one(tx, "p.is_domain = 1 AND p.id = ?1", args![id.as_str()])
}

pub fn domain_by_name(tx: &mut Tx, name: &str) -> Result<Option<Project>> {
    one(tx, "p.is_domain = 1 AND p.name_key = ?1", args![name_key(name)])
}

fn one(tx: &mut Tx, condition: &str, args: &[Value]) -> Result<Option<Project>> {
    let row = tx.query_one(&format!("SELECT {COLUMNS} FROM projects p WHERE {condition}"), args)?;
    let Some(mut project) = row.map(from_row).transpose()? else { return Ok(None) };
    let sql = "SELECT tag FROM project_tags WHERE project_id = ?1 ORDER BY tag";
    project.tags = column(tx.query(sql, args![project.id.as_str()])?)?;
    Ok(Some(project))
}

/// Which projects a list is about.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub is_domain: bool,
    pub domain_id: Option<DomainId>,
    pub parent_id: Option<ProjectId>,
}

/// Projects (or domains) by name.
pub fn list(tx: &mut Tx, filter: &Filter) -> Result<Vec<Project>> {
    many(
        tx,
        "p.is_domain = ?1 AND (p.domain_id = ?2 OR ?2 IS NULL) AND (p.parent_id = ?3 OR ?3 IS NULL)",
        args![
            filter.is_domain,
            filter.domain_id.as_ref().map(DomainId::as_str),
            filter.parent_id.as_ref().map(ProjectId::as_str)
        ],
    )
}

/// Projects (or domains) that a user holds any role on, directly, by a group or inherited.
pub fn of_user(tx: &mut Tx, user: &UserId, is_domain: bool) -> Result<Vec<Project>> {
    let target = if is_domain { "domain_id" } else { "project_id" };
    // A role inherited from a domain or a project holds on every project below it.
    let below = if is_domain {
        ""
    } else {
        "UNION SELECT c.id FROM projects c JOIN mine a ON a.inherited = 1 AND c.domain_id = a.domain_id
         UNION SELECT d.id FROM down d"
    };
    let sql = format!(
        "WITH RECURSIVE mine AS (
             SELECT a.project_id, a.domain_id, a.inherited FROM assignments a WHERE a.user_id = ?1
             UNION SELECT a.project_id, a.domain_id, a.inherited
               FROM assignments a JOIN group_members m ON m.group_id = a.group_id WHERE m.user_id = ?1
         ), down (id) AS (
             SELECT c.id FROM projects c JOIN mine a ON a.inherited = 1 AND c.parent_id = a.project_id
             UNION SELECT c.id FROM projects c JOIN down ON c.parent_id = down.id
         )
         SELECT {COLUMNS} FROM projects p
          WHERE p.is_domain = ?2
            AND p.id IN (SELECT a.{target} FROM mine a WHERE a.inherited = 0 AND a.{target} IS NOT NULL {below})
          ORDER BY p.name, p.id"
    );
    with_tags(tx, &sql, args![user.as_str(), is_domain])
}

fn many(tx: &mut Tx, condition: &str, args: &[Value]) -> Result<Vec<Project>> {
    with_tags(tx, &format!("SELECT {COLUMNS} FROM projects p WHERE {condition} ORDER BY p.name, p.id"), args)
}

fn with_tags(tx: &mut Tx, sql: &str, args: &[Value]) -> Result<Vec<Project>> {
    let mut projects = all(tx.query(sql, args)?, from_row)?;
    let mut tags: HashMap<String, Vec<String>> = HashMap::new();
    for mut row in tx.query("SELECT project_id, tag FROM project_tags ORDER BY project_id, tag", args![])? {
        tags.entry(row.next()?).or_default().push(row.next()?);
    }
    for project in &mut projects {
        project.tags = tags.remove(project.id.as_str()).unwrap_or_default();
    }
    Ok(projects)
}

/// A project's ancestors, the nearest first; its domain is the last.
pub fn ancestors(tx: &mut Tx, id: &ProjectId) -> Result<Vec<Project>> {
    let mut found = Vec::new();
    let mut next = get(tx, id)?.and_then(|project| project.parent_id);
    while let Some(parent) = next.take() {
        let Some(project) = get(tx, &parent)? else { break };
        next.clone_from(&project.parent_id);
        found.push(project);
    }
    Ok(found)
}

/// The ids of a project's ancestors, the nearest first; its domain is the last.
pub fn above(tx: &mut Tx, id: &ProjectId) -> Result<Vec<ProjectId>> {
    let mut found: Vec<ProjectId> = Vec::new();
    loop {
        let of = found.last().unwrap_or(id);
        let row = tx.query_one("SELECT parent_id FROM projects WHERE id = ?1", args![of.as_str()])?;
        let parent = row.map(|mut row| row.next::<Option<ProjectId>>()).transpose()?.flatten();
        match parent {
            // A ring can't be made; one that was there all the same must not hold a request for ever.
            Some(parent) if !found.contains(&parent) => found.push(parent),
            _ => return Ok(found),
        }
    }
}

/// # Errors
/// `Conflict` when the domain has a project of that name, or there is a domain of that name.
pub fn insert(tx: &mut Tx, project: &Project, now: Timestamp) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute(
        "INSERT INTO projects (id, domain_id, parent_id, is_domain, name, name_key, description, enabled, options, extra,
                               created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        args![
            project.id.as_str(),
            project.domain_id.as_ref().map(DomainId::as_str),
            project.parent_id.as_ref().map(ProjectId::as_str),
            project.is_domain,
            &project.name,
            name_key(&project.name),
            &project.description,
            project.enabled,
            Json(&project.options),
            Json(&project.extra),
            now
        ],
    )
    .or_conflict(|| taken(project))?;
    set_tags(tx, project)
}

/// # Errors
/// `Conflict` when the name is another's.
pub fn update(tx: &mut Tx, project: &Project) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute(
        "UPDATE projects SET name = ?2, name_key = ?3, description = ?4, enabled = ?5, options = ?6, extra = ?7
          WHERE id = ?1",
        args![
            project.id.as_str(),
            &project.name,
            name_key(&project.name),
            &project.description,
            project.enabled,
            Json(&project.options),
            Json(&project.extra)
        ],
    )
    .or_conflict(|| taken(project))?;
    set_tags(tx, project)
}

fn set_tags(tx: &mut Tx, project: &Project) -> Result<()> {
    tx.execute("DELETE FROM project_tags WHERE project_id = ?1", args![project.id.as_str()])?;
    for tag in &project.tags {
        tx.execute(
            "INSERT INTO project_tags (project_id, tag) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            args![project.id.as_str(), tag],
        )?;
    }
    Ok(())
}

fn taken(project: &Project) -> String {
    match &project.domain_id {
        None => format!(
            "Conflict occurred attempting to store project - it is not permitted to have two projects acting as domains with the same name: {}.",
            project.name
        ),
        Some(domain) => format!(
            "Conflict occurred attempting to store project - it is not permitted to have two projects with the same name in the same domain : {} in domain {domain}.",
            project.name
        ),
    }
}

/// Deletes a project, or a domain with all that is in it.
pub fn delete(tx: &mut Tx, id: &ProjectId) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute(
        "DELETE FROM credentials WHERE project_id = ?1 OR project_id IN (SELECT id FROM projects WHERE domain_id = ?1)",
        args![id.as_str()],
    )?;
    // Children refer to their parents without cascade: in a domain that goes as a whole, the order is ours to choose.
    tx.execute("UPDATE projects SET parent_id = NULL WHERE domain_id = ?1", args![id.as_str()])?;
    tx.execute("DELETE FROM projects WHERE id = ?1", args![id.as_str()]).map(drop)
}

/// A project as tokens name it, with its domain (its own, where it is one itself), and whether both are enabled.
pub fn place(tx: &mut Tx, id: &ProjectId) -> Result<Option<(String, DomainRef, bool)>> {
    let row = tx.query_one(
        "SELECT p.name, d.id, d.name, p.enabled, d.enabled
           FROM projects p JOIN projects d ON d.id = COALESCE(p.domain_id, p.id)
          WHERE p.id = ?1",
        args![id.as_str()],
    )?;
    let place = |mut row: Row| {
        let name = row.next()?;
        let domain = DomainRef { id: DomainId(row.next()?), name: row.next()? };
        Ok((name, domain, row.next::<bool>()? && row.next::<bool>()?))
    };
    row.map(place).transpose()
}

/// A domain as tokens name it, and whether it is enabled.
pub fn domain_ref(tx: &mut Tx, id: &DomainId) -> Result<Option<(DomainRef, bool)>> {
    let row = tx.query_one("SELECT name, enabled FROM projects WHERE is_domain = 1 AND id = ?1", args![id.as_str()])?;
    row.map(|mut row| Ok((DomainRef { id: id.clone(), name: row.next()? }, row.next()?))).transpose()
}
