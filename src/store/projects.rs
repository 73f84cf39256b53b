//! Projects and domains, which are projects that act as one. Which rows a caller may see is decided on each row, by the
//! rule of the operation.

use super::listing::{self, Attribute, Conditions};
use super::users::{all, column, json_map};
use super::{Json, OrConflict, Row, Tx, Value, args, epoch, identity_changes};
use crate::clock::Timestamp;
use crate::cloud::effective::Place;
use crate::cloud::identity::{DomainRef, Project, name_key};
use crate::cloud::listing::{Listing, Page};
use crate::error::Result;
use crate::ids::{DomainId, ProjectId, UserId};
use std::collections::{HashMap, HashSet};

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

/// What lists of projects may be asked for.
const ATTRIBUTES: &[Attribute] = &[
    Attribute::name("p.name", "p.name_key"),
    Attribute::exact("id", "p.id"),
    Attribute::exact("domain_id", "p.domain_id"),
    Attribute::exact("parent_id", "p.parent_id"),
    Attribute::exact("enabled", "p.enabled"),
    Attribute::exact("is_domain", "p.is_domain"),
];

/// Which tags the projects of a list have, and which they lack.
#[derive(Debug, Clone, Default)]
pub struct Tags {
    pub all: Option<Vec<String>>,
    pub any: Option<Vec<String>>,
    pub not_all: Option<Vec<String>>,
    pub not_any: Option<Vec<String>>,
}

impl Tags {
    fn add(&self, conditions: &mut Conditions) {
        let has = |conditions: &mut Conditions, tags: &[String], joined: &str| {
            let each: Vec<String> = tags
                .iter()
                .map(|tag| {
                    let tag = conditions.bind(tag.as_str());
                    format!("EXISTS (SELECT 1 FROM project_tags t WHERE t.project_id = p.id AND t.tag = {tag})")
                })
                .collect();
            each.join(joined)
        };
        for (tags, joined, negation) in [
            (&self.all, " AND ", ""),
            (&self.any, " OR ", ""),
            (&self.not_all, " AND ", "NOT "),
            (&self.not_any, " OR ", "NOT "),
        ] {
            if let Some(tags) = tags {
                let condition = has(conditions, tags, joined);
                conditions.and(&format!("{negation}({condition})"));
            }
        }
    }
}

/// A page of the projects (and domains, unless `is_domain` is tested) that a listing asks for.
///
/// # Errors
/// `NotFound` for a marker that is no project's id.
pub fn page(tx: &mut Tx, listing: &Listing, tags: &Tags) -> Result<Page<Project>> {
    let mut conditions = Conditions::new();
    conditions.tests(listing, ATTRIBUTES)?;
    tags.add(&mut conditions);
    let mut page = listing::page(tx, COLUMNS, ("projects p", "p.id"), conditions, listing, from_row)?;
    fill_tags(tx, &mut page.items)?;
    Ok(page)
}

/// Everything below a project, parents before children.
pub fn subtree(tx: &mut Tx, id: &ProjectId) -> Result<Vec<Project>> {
    let sql = format!(
        "WITH RECURSIVE down (id, level) AS (
             SELECT c.id, 1 FROM projects c WHERE c.parent_id = ?1
             UNION ALL SELECT c.id, down.level + 1 FROM projects c JOIN down ON c.parent_id = down.id
         )
         SELECT {COLUMNS} FROM projects p JOIN down ON down.id = p.id ORDER BY down.level, p.name, p.id"
    );
    let mut found = all(tx.query(&sql, args![id.as_str()])?, from_row)?;
    fill_tags(tx, &mut found)?;
    Ok(found)
}

/// Where every project stands: id, parent, domain.
pub fn places(tx: &mut Tx) -> Result<Vec<Place>> {
    let sql = "SELECT id, parent_id, domain_id FROM projects WHERE is_domain = 0 ORDER BY id";
    all(tx.query(sql, args![])?, |mut row| Ok((row.next()?, row.next()?, row.next()?)))
}

/// Name, domain of each of these projects and domains that is there; a domain has none.
pub fn names(tx: &mut Tx, ids: &[&str]) -> Result<Vec<(String, (String, Option<String>))>> {
    listing::by_ids(
        tx,
        ids,
        |places| format!("SELECT id, name, domain_id FROM projects WHERE id IN ({places})"),
        |mut row| Ok((row.next()?, (row.next()?, row.next()?))),
    )
}

/// What a user holds a role on, directly or by a group (`mine`), and what is below where that is inherited (`down`).
const HELD: &str = "WITH RECURSIVE mine AS (
         SELECT a.project_id, a.domain_id, a.inherited FROM assignments a WHERE a.user_id = ?1
         UNION SELECT a.project_id, a.domain_id, a.inherited
           FROM assignments a JOIN group_members m ON m.group_id = a.group_id WHERE m.user_id = ?1
     ), down (id) AS (
         SELECT c.id FROM projects c JOIN mine a ON a.inherited = 1 AND c.parent_id = a.project_id
         UNION SELECT c.id FROM projects c JOIN down ON c.parent_id = down.id
     )";

/// The projects of [`HELD`]: a role inherited from a domain or a project holds on every project below it.
const HELD_PROJECTS: &str = "SELECT a.project_id FROM mine a WHERE a.inherited = 0 AND a.project_id IS NOT NULL
     UNION SELECT c.id FROM projects c JOIN mine a ON a.inherited = 1 AND c.domain_id = a.domain_id
     UNION SELECT d.id FROM down d";

/// Projects (or domains) that a user holds any role on, directly, by a group or inherited.
pub fn of_user(tx: &mut Tx, user: &UserId, is_domain: bool) -> Result<Vec<Project>> {
    let held = match is_domain {
        true => "SELECT a.domain_id FROM mine a WHERE a.inherited = 0 AND a.domain_id IS NOT NULL",
        false => HELD_PROJECTS,
    };
    let sql = format!(
        "{HELD} SELECT {COLUMNS} FROM projects p WHERE p.is_domain = ?2 AND p.id IN ({held}) ORDER BY p.name, p.id"
    );
    let mut found = all(tx.query(&sql, args![user.as_str(), is_domain])?, from_row)?;
    fill_tags(tx, &mut found)?;
    Ok(found)
}

/// The ids of what a user holds any role on as on a project: also domains, since they are projects that act as one.
pub fn ids_of_user(tx: &mut Tx, user: &UserId) -> Result<HashSet<ProjectId>> {
    let ids = column::<ProjectId>(tx.query(&format!("{HELD} {HELD_PROJECTS}"), args![user.as_str()])?)?;
    Ok(ids.into_iter().collect())
}

/// Projects whose catalogue an endpoint was added to by name.
pub fn with_endpoint(tx: &mut Tx, endpoint: &str) -> Result<Vec<Project>> {
    among(tx, "SELECT e.project_id FROM project_endpoints e WHERE e.endpoint_id = ?1", endpoint)
}

/// Projects whose catalogue a group of endpoints was added to.
pub fn with_endpoint_group(tx: &mut Tx, group: &str) -> Result<Vec<Project>> {
    among(tx, "SELECT g.project_id FROM project_endpoint_groups g WHERE g.endpoint_group_id = ?1", group)
}

/// The projects that a query about one thing names.
fn among(tx: &mut Tx, ids: &str, id: &str) -> Result<Vec<Project>> {
    let sql = format!("SELECT {COLUMNS} FROM projects p WHERE p.id IN ({ids}) ORDER BY p.name, p.id");
    let mut found = all(tx.query(&sql, args![id])?, from_row)?;
    fill_tags(tx, &mut found)?;
    Ok(found)
}

fn fill_tags(tx: &mut Tx, projects: &mut [Project]) -> Result<()> {
    let ids: Vec<&str> = projects.iter().map(|project| project.id.as_str()).collect();
    let pairs: Vec<(String, String)> = listing::by_ids(
        tx,
        &ids,
        |places| format!("SELECT project_id, tag FROM project_tags WHERE project_id IN ({places}) ORDER BY 1, 2"),
        listing::pair,
    )?;
    let mut tags: HashMap<String, Vec<String>> = HashMap::new();
    for (id, tag) in pairs {
        tags.entry(id).or_default().push(tag);
    }
    for project in projects {
        project.tags = tags.remove(project.id.as_str()).unwrap_or_default();
    }
    Ok(())
}

/// A project's ancestors, the nearest first; its domain is the last.
pub fn ancestors(tx: &mut Tx, id: &ProjectId) -> Result<Vec<Project>> {
    let sql = format!(
        "WITH RECURSIVE up (id, level) AS (
             SELECT c.parent_id, 1 FROM projects c WHERE c.id = ?1 AND c.parent_id IS NOT NULL
             UNION ALL SELECT c.parent_id, up.level + 1 FROM projects c JOIN up ON c.id = up.id
              WHERE c.parent_id IS NOT NULL
         )
         SELECT {COLUMNS} FROM projects p JOIN up ON up.id = p.id ORDER BY up.level"
    );
    let mut found = all(tx.query(&sql, args![id.as_str()])?, from_row)?;
    fill_tags(tx, &mut found)?;
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
    if !project.enabled {
        note_change(tx, &project.id)?;
    }
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

/// Tokens about the project are no longer what they say; and, if it is a domain, those about anything in it.
fn note_change(tx: &mut Tx, id: &ProjectId) -> Result<()> {
    identity_changes::of_project(tx, id)?;
    match domain(tx, &DomainId(id.0.clone()))? {
        Some(domain) => identity_changes::of_domain(tx, &DomainId(domain.id.0)),
        None => Ok(()),
    }
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
        Some(_) => format!(
            "Conflict occurred attempting to store project - it is not permitted to have two projects with either the same name or same id in the same domain: name is {}, project id {}.",
            project.name, project.id
        ),
    }
}

/// Deletes a project, or a domain with all that is in it.
pub fn delete(tx: &mut Tx, id: &ProjectId) -> Result<()> {
    epoch::bump(tx)?;
    note_change(tx, id)?;
    tx.execute(
        "DELETE FROM credentials WHERE project_id = ?1 OR project_id IN (SELECT id FROM projects WHERE domain_id = ?1)",
        args![id.as_str()],
    )?;
    tx.execute("UPDATE users SET default_project_id = NULL WHERE default_project_id = ?1", args![id.as_str()])?;
    // Children refer to their parents without cascade: in a domain that goes as a whole, the order is ours to choose.
    tx.execute(
        "UPDATE users SET default_project_id = NULL
          WHERE default_project_id IN (SELECT p.id FROM projects p WHERE p.domain_id = ?1)",
        args![id.as_str()],
    )?;
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
