//! What the ids in role assignments stand for: names, for `include_names`, and domains, which decide who sees what.

use crate::cloud::effective::Held;
use crate::cloud::identity::{Actor, Role, Target as To};
use crate::error::Result;
use crate::ids::RoleId;
use crate::store::{Tx, groups, projects, roles, users};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};

/// What ids stand for: names for `include_names`, and the domains of projects, which decide who sees what.
#[derive(Default)]
pub struct Names {
    /// Projects and domains: name, and domain if they are in one.
    projects: HashMap<String, (String, Option<String>)>,
    users: HashMap<String, (String, String)>,
    groups: HashMap<String, (String, String)>,
    roles: HashMap<RoleId, Role>,
}

impl Names {
    pub fn of(tx: &mut Tx, held: &[Held], all: bool) -> Result<Self> {
        let (mut places, mut people, mut crews) = (HashSet::new(), HashSet::new(), HashSet::new());
        for Held { assignment, .. } in held {
            match &assignment.target {
                To::Project(id) => places.insert(id.as_str()),
                To::Domain(id) => places.insert(id.as_str()),
                To::System => false,
            };
            match &assignment.actor {
                Actor::User(id) => people.insert(id.as_str()),
                Actor::Group(id) => crews.insert(id.as_str()),
            };
        }
        let list = |ids: HashSet<&str>| -> Vec<String> { ids.into_iter().map(str::to_owned).collect() };
        let (places, people, crews) = (list(places), list(people), list(crews));
        let mut names = Self { projects: place_names(tx, &places)?, ..Self::default() };
        if !all {
            return Ok(names);
        }
        names.users.extend(users::names(tx, &refs(&people))?);
        names.groups.extend(groups::names(tx, &refs(&crews))?);
        names.roles = roles::everywhere(tx)?;
        let homes = names.users.values().chain(names.groups.values()).map(|(_, domain)| domain.clone());
        let homes = homes.chain(names.projects.values().filter_map(|(_, domain)| domain.clone()));
        let homes = homes.chain(names.roles.values().filter_map(|role| role.domain_id.clone().map(|id| id.0)));
        let homes: HashSet<String> = homes.filter(|id| !names.projects.contains_key(id)).collect();
        let homes = place_names(tx, &homes.into_iter().collect::<Vec<_>>())?;
        names.projects.extend(homes);
        Ok(names)
    }

    pub fn domain(&self, id: &str) -> Value {
        json!({"id": id, "name": self.projects.get(id).map(|(name, _)| name)})
    }

    pub fn actor(&self, actor: &Actor, with_names: bool) -> Value {
        let (id, found) = match actor {
            Actor::User(id) => (&id.0, self.users.get(&id.0)),
            Actor::Group(id) => (&id.0, self.groups.get(&id.0)),
        };
        match found.filter(|_| with_names) {
            Some((name, domain)) => json!({"id": id, "name": name, "domain": self.domain(domain)}),
            None => json!({"id": id}),
        }
    }

    pub fn role(&self, id: &RoleId, with_names: bool) -> Value {
        match self.roles.get(id).filter(|_| with_names) {
            Some(Role { name, domain_id: Some(domain), .. }) => {
                json!({"id": id, "name": name, "domain": self.domain(&domain.0)})
            }
            Some(Role { name, .. }) => json!({"id": id, "name": name}),
            None => json!({"id": id}),
        }
    }

    pub fn project(&self, id: &str, with_names: bool) -> Value {
        match self.projects.get(id).filter(|_| with_names) {
            Some((name, domain)) => {
                json!({"id": id, "name": name, "domain": domain.as_ref().map(|domain| self.domain(domain))})
            }
            None => json!({"id": id}),
        }
    }

    /// The domain that a target is in, or is.
    pub fn domain_of<'n>(&'n self, target: &'n To) -> Option<&'n str> {
        match target {
            To::Project(id) => self.projects.get(&id.0)?.1.as_deref(),
            To::Domain(id) => Some(id.as_str()),
            To::System => None,
        }
    }
}

fn refs(ids: &[String]) -> Vec<&str> {
    ids.iter().map(String::as_str).collect()
}

fn place_names(tx: &mut Tx, ids: &[String]) -> Result<HashMap<String, (String, Option<String>)>> {
    Ok(projects::names(tx, &refs(ids))?.into_iter().collect())
}
