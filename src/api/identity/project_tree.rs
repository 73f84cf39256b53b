//! The tree of projects: what stands above and below one, and what a place in the tree forbids.

use super::answer::asks;
use super::login::not_allowed;
use super::projects::view;
use crate::api::Call;
use crate::cloud::identity::Project;
use crate::error::{Error, Kind, Result};
use crate::http::json::Map;
use crate::ids::ProjectId;
use crate::store::projects::{self, Filter};
use crate::store::{Tx, roles};
use serde_json::{Value, json};

/// Levels below a domain, upstream's default.
const DEEPEST: usize = 5;

/// Adds `parents` and `subtree` in the form that the query asks for. Lists hold only projects the caller has a role on.
pub async fn extend(call: &Call, project: &Project, view: &mut Map) -> Result<()> {
    let query = call.query();
    for (list, ids) in [("parents_as_list", "parents_as_ids"), ("subtree_as_list", "subtree_as_ids")] {
        if asks(query, list) && asks(query, ids) {
            return Err(Error::bad_request(format!("Cannot use {list} and {ids} query params at the same time.")));
        }
    }
    let (id, user) = (project.id.clone(), call.cx.user_id()?.clone());
    let (parents, below, mine) = call
        .cx
        .state
        .db
        .read(move |tx| {
            let parents = projects::ancestors(tx, &id)?;
            let below = subtree(tx, &id)?;
            let mut mine = Vec::new();
            for project in parents.iter().chain(&below) {
                let target = crate::cloud::identity::Target::Project(project.id.clone());
                if !roles::effective(tx, &user, &target)?.is_empty() {
                    mine.push(project.id.clone());
                }
            }
            Ok((parents, below, mine))
        })
        .await?;
    let seen = |all: &[Project]| -> Vec<Value> {
        all.iter().filter(|one| mine.contains(&one.id)).map(|one| json!({"project": self::view(one)})).collect()
    };
    if asks(query, "parents_as_list") {
        view.insert("parents".to_owned(), Value::Array(seen(&parents)));
    } else if asks(query, "parents_as_ids") {
        let nested = parents.iter().rev().fold(Value::Null, |inner, one| json!({ one.id.as_str(): inner }));
        view.insert("parents".to_owned(), nested);
    }
    if asks(query, "subtree_as_list") {
        view.insert("subtree".to_owned(), Value::Array(seen(&below)));
    } else if asks(query, "subtree_as_ids") {
        view.insert("subtree".to_owned(), nested_below(&project.id, &below));
    }
    Ok(())
}

fn nested_below(id: &ProjectId, all: &[Project]) -> Value {
    let children = all.iter().filter(|one| one.parent_id.as_ref() == Some(id));
    let map: Map = children.map(|child| (child.id.0.clone(), nested_below(&child.id, all))).collect();
    if map.is_empty() { Value::Null } else { Value::Object(map) }
}

/// Everything below a project, parents before children.
pub fn subtree(tx: &mut Tx, id: &ProjectId) -> Result<Vec<Project>> {
    let mut found: Vec<Project> = Vec::new();
    let mut next = vec![id.clone()];
    while let Some(parent_id) = next.pop() {
        let filter = Filter { parent_id: Some(parent_id), ..Filter::default() };
        for child in projects::list(tx, &filter)? {
            next.push(child.id.clone());
            found.push(child);
        }
    }
    Ok(found)
}

/// May a new project stand where it wants to?
///
/// # Errors
/// `BadRequest` for a parent or a domain that isn't there, `Forbidden` for a tree too deep or a disabled parent.
pub fn check_place(tx: &mut Tx, project: &Project) -> Result<()> {
    let Some(domain_id) = &project.domain_id else {
        return match &project.parent_id {
            None => Ok(()),
            Some(_) => Err(Error::bad_request("only root projects are allowed to act as domains.")),
        };
    };
    let missing = |kind: Kind, id: &str| Error::bad_request(kind.not_found(id));
    projects::domain(tx, domain_id)?.ok_or_else(|| missing(Kind::Domain, &domain_id.0))?;
    let Some(parent_id) = &project.parent_id else { return Ok(()) };
    let parent = projects::get(tx, parent_id)?.ok_or_else(|| missing(Kind::Project, &parent_id.0))?;
    let same_domain =
        if parent.is_domain { parent.id.0 == domain_id.0 } else { parent.domain_id.as_ref() == Some(domain_id) };
    if !same_domain {
        return Err(Error::bad_request(format!(
            "Invalid domain ID: {domain_id}. The parent of the project is in another domain."
        )));
    }
    if !parent.enabled {
        return Err(not_allowed(&format!(
            "cannot create a project in a branch containing a disabled project: {parent_id}"
        )));
    }
    if projects::ancestors(tx, parent_id)?.len() >= DEEPEST {
        return Err(not_allowed(&format!("Max hierarchy depth reached for {parent_id} branch.")));
    }
    Ok(())
}

/// May a project be switched on or off where it stands?
///
/// # Errors
/// `Forbidden`, in upstream's words.
pub fn check_switch(tx: &mut Tx, project: &Project) -> Result<()> {
    if project.is_domain {
        return Ok(());
    }
    let id = &project.id;
    if project.enabled {
        if projects::ancestors(tx, id)?.iter().any(|parent| !parent.enabled && !parent.is_domain) {
            return Err(not_allowed(&format!("cannot enable project {id} since it has disabled parents")));
        }
    } else if subtree(tx, id)?.iter().any(|child| child.enabled) {
        return Err(not_allowed(&format!("cannot disable project {id} since its subtree contains enabled projects.")));
    }
    Ok(())
}

/// # Errors
/// `Forbidden` for a project with children, or a domain that is enabled.
pub fn check_removal(tx: &mut Tx, project: &Project) -> Result<()> {
    let id = &project.id;
    if project.is_domain {
        return if project.enabled {
            Err(not_allowed("Cannot delete a domain that is enabled, please disable it first."))
        } else {
            Ok(())
        };
    }
    if subtree(tx, id)?.is_empty() {
        return Ok(());
    }
    Err(not_allowed(&format!(
        "Cannot delete the project {id} since it is not a leaf in the hierarchy. Use the cascade option if you want to delete a whole subtree."
    )))
}
