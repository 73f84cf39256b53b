//! The tree of projects: what stands above and below one, and what a place in the tree forbids.

use crate::api::Call;
use crate::api::identity::answer::{Change, asks, link, mutable};
use crate::api::identity::limits::view as limits_view;
use crate::api::identity::projects::view;
use crate::cloud::identity::Project;
use crate::cloud::limit::Owner;
use crate::error::{Error, Kind, Result};
use crate::http::json::Map;
use crate::ids::ProjectId;
use crate::store::{Tx, limits, projects};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Adds `parents` and `subtree` in the form that the query asks for. Lists hold only projects the caller has a role on,
/// with `?include_limits` each with the limits that are its own.
pub async fn extend(call: &Call, project: &Project, view: &mut Map) -> Result<()> {
    let query = call.query();
    for (list, ids) in [("parents_as_list", "parents_as_ids"), ("subtree_as_list", "subtree_as_ids")] {
        if asks(query, list) && asks(query, ids) {
            return Err(Error::bad_request(format!("Cannot use {list} and {ids} query params at the same time.")));
        }
    }
    let wants = |side: &str| asks(query, &format!("{side}_as_list")) || asks(query, &format!("{side}_as_ids"));
    let (wants_parents, wants_subtree) = (wants("parents"), wants("subtree"));
    if !wants_parents && !wants_subtree {
        return Ok(());
    }
    let (id, user) = (project.id.clone(), call.cx.user_id()?.clone());
    let wants_limits = asks(query, "include_limits");
    let read = move |tx: &mut Tx| {
        let parents = if wants_parents { projects::ancestors(tx, &id)? } else { Vec::new() };
        let below = if wants_subtree { projects::subtree(tx, &id)? } else { Vec::new() };
        let set = if wants_limits { limits::list(tx)? } else { Vec::new() };
        Ok((parents, below, projects::ids_of_user(tx, &user)?, set))
    };
    let (parents, below, mine, set) = call.cx.state.db.read(read).await?;
    let set: Vec<_> = set.iter().map(|limit| (&limit.limit.owner, limits_view(limit))).collect();
    let shown = |one: &Project| {
        let mut view = with_link(call, one);
        if wants_limits {
            let own = set.iter().filter(|(owner, _)| matches!(owner, Owner::Project(id) if *id == one.id));
            view.insert("limits".to_owned(), own.map(|(_, limit)| json!(limit)).collect());
        }
        json!({ "project": view })
    };
    let seen = |all: &[Project]| -> Value { all.iter().filter(|one| mine.contains(&one.id)).map(shown).collect() };
    if asks(query, "parents_as_list") {
        view.insert("parents".to_owned(), seen(&parents));
    } else if asks(query, "parents_as_ids") {
        let nested = parents.iter().rev().fold(Value::Null, |inner, one| json!({ one.id.as_str(): inner }));
        view.insert("parents".to_owned(), nested);
    }
    if asks(query, "subtree_as_list") {
        view.insert("subtree".to_owned(), seen(&below));
    } else if asks(query, "subtree_as_ids") {
        let mut children: HashMap<&ProjectId, Vec<&ProjectId>> = HashMap::new();
        for one in &below {
            if let Some(parent) = &one.parent_id {
                children.entry(parent).or_default().push(&one.id);
            }
        }
        view.insert("subtree".to_owned(), nested_below(&project.id, &children));
    }
    Ok(())
}

fn with_link(call: &Call, project: &Project) -> Map {
    let mut view = view(project);
    view.insert("links".to_owned(), json!({"self": link(call, &format!("/projects/{}", project.id))}));
    view
}

/// As deep as the tree, which has a bound.
fn nested_below(id: &ProjectId, children: &HashMap<&ProjectId, Vec<&ProjectId>>) -> Value {
    let Some(own) = children.get(id) else { return Value::Null };
    Value::Object(own.iter().map(|child| (child.0.clone(), nested_below(child, children))).collect())
}

/// May a new project stand where it wants to? `deepest` is how many levels there may be below a domain.
///
/// # Errors
/// `BadRequest` for a parent or a domain that isn't there or doesn't fit, or a branch that is disabled; `Forbidden` for a
/// tree too deep.
pub fn check_place(tx: &mut Tx, project: &Project, deepest: usize) -> Result<()> {
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
    if parent.is_domain && parent.id.0 != domain_id.0 {
        return Err(Error::bad_request(format!(
            "Cannot create project, the parent ({parent_id}) is acting as a domain, but this project's domain id ({domain_id}) does not match the parent's id."
        )));
    }
    if let Some(other) = parent.domain_id.as_ref().filter(|other| *other != domain_id) {
        return Err(Error::bad_request(format!(
            "Cannot create project, since it specifies its domain_id {domain_id}, but specifies a parent in a different domain ({other})."
        )));
    }
    let mut branch = projects::ancestors(tx, parent_id)?;
    branch.push(parent);
    if let Some(disabled) = branch.iter().find(|above| !above.enabled) {
        return Err(Error::bad_request(format!(
            "cannot create a project in a branch containing a disabled project: {}",
            disabled.id
        )));
    }
    // The branch's first is the domain, which is no level.
    if branch.len() > deepest {
        return Err(Error::Forbidden(format!("Max hierarchy depth reached for {parent_id} branch.")));
    }
    Ok(())
}

/// May a project be switched on or off where it stands? A domain may be, whatever is in it: disabled, it shuts all out.
///
/// # Errors
/// `Forbidden`, in upstream's words.
pub fn check_switch(tx: &mut Tx, project: &Project) -> Result<()> {
    let id = &project.id;
    if project.enabled && projects::ancestors(tx, id)?.iter().any(|parent| !parent.enabled) {
        return Err(Error::Forbidden(format!("Cannot enable project {id} since it has disabled parents")));
    }
    if !project.enabled && !project.is_domain && projects::subtree(tx, id)?.iter().any(|child| child.enabled) {
        return Err(Error::Forbidden(format!(
            "Cannot disable project {id} since its subtree contains enabled projects."
        )));
    }
    Ok(())
}

/// Deletes a project that nothing stands on, or a disabled domain with all that is in it.
///
/// # Errors
/// `Forbidden` for a project with children, a domain that is enabled, and what is marked as immutable, in a domain too.
pub fn remove(tx: &mut Tx, id: &ProjectId) -> Result<()> {
    let project = projects::get(tx, id)?.ok_or_else(|| Error::not_found(Kind::Project, id))?;
    let kind = if project.is_domain { "domain" } else { "project" };
    mutable(&project.options, Change::Deletes, kind, &id.0)?;
    if project.is_domain && project.enabled {
        let text = "Cannot delete a domain that is enabled, please disable it first.";
        return Err(Error::Forbidden(text.to_owned()));
    }
    let below = projects::subtree(tx, id)?;
    for inside in below.iter().filter(|_| project.is_domain) {
        mutable(&inside.options, Change::Deletes, "project", &inside.id.0)?;
    }
    if !project.is_domain && !below.is_empty() {
        return Err(Error::Forbidden(format!(
            "Cannot delete the project {id} since it is not a leaf in the hierarchy. Use the cascade option if you want to delete a whole subtree."
        )));
    }
    projects::delete(tx, id)
}
