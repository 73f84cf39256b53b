//! What grants come to: groups as their members, inherited roles as roles on each project below, and implied roles.

use crate::cloud::identity::{Actor, Assignment, Target};
use crate::ids::{DomainId, GroupId, ProjectId, RoleId, UserId};
use std::collections::{HashMap, HashSet};

/// A role that somebody holds, and by which detours.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Held {
    pub assignment: Assignment,
    pub via: Vec<Via>,
}

/// A detour between a grant and what it comes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Via {
    /// The role was granted to this group.
    Group(GroupId),
    /// It is inherited from this domain.
    Domain(DomainId),
    /// It is inherited from this project.
    Project(ProjectId),
    /// It is implied by this role.
    Role(RoleId),
}

impl Held {
    pub fn is_inherited(&self) -> bool {
        self.assignment.inherited || self.via.iter().any(|via| matches!(via, Via::Domain(_) | Via::Project(_)))
    }
}

/// A project, its parent, its domain.
pub type Place = (ProjectId, Option<ProjectId>, Option<DomainId>);

/// What grants are expanded by, each found by what it is asked for.
struct Known<'k> {
    members: HashMap<&'k GroupId, Vec<&'k UserId>>,
    children: HashMap<&'k ProjectId, Vec<&'k ProjectId>>,
    inside: HashMap<&'k DomainId, Vec<&'k ProjectId>>,
    implied: HashMap<&'k RoleId, Vec<&'k RoleId>>,
}

/// Expands grants: first members for groups, then projects for what is inherited, then implied roles.
pub fn expand(
    grants: &[Assignment],
    members: &[(GroupId, UserId)],
    places: &[Place],
    implications: &[(RoleId, RoleId)],
) -> Vec<Held> {
    let mut known =
        Known { members: HashMap::new(), children: HashMap::new(), inside: HashMap::new(), implied: HashMap::new() };
    for (group, user) in members {
        known.members.entry(group).or_default().push(user);
    }
    for (id, parent, domain) in places {
        if let Some(parent) = parent {
            known.children.entry(parent).or_default().push(id);
        }
        if let Some(domain) = domain {
            known.inside.entry(domain).or_default().push(id);
        }
    }
    for (prior, implied) in implications {
        known.implied.entry(prior).or_default().push(implied);
    }
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    for grant in grants {
        for held in known.by_user(grant).into_iter().flat_map(|held| known.by_project(held)) {
            for held in known.by_role(held) {
                if seen.insert(held.clone()) {
                    found.push(held);
                }
            }
        }
    }
    found
}

impl Known<'_> {
    fn by_user(&self, grant: &Assignment) -> Vec<Held> {
        let Actor::Group(group) = &grant.actor else {
            return vec![Held { assignment: grant.clone(), via: Vec::new() }];
        };
        let users = self.members.get(group).into_iter().flatten();
        users
            .map(|user| Held {
                assignment: Assignment { actor: Actor::User((*user).clone()), ..grant.clone() },
                via: vec![Via::Group(group.clone())],
            })
            .collect()
    }

    fn by_project(&self, held: Held) -> Vec<Held> {
        if !held.assignment.inherited {
            return vec![held];
        }
        let (below, via): (Vec<&ProjectId>, Via) = match &held.assignment.target {
            Target::System => return Vec::new(),
            Target::Domain(id) => (self.inside.get(id).cloned().unwrap_or_default(), Via::Domain(id.clone())),
            Target::Project(id) => (self.descendants(id), Via::Project(id.clone())),
        };
        below
            .into_iter()
            .map(|project| Held {
                assignment: Assignment {
                    target: Target::Project(project.clone()),
                    inherited: false,
                    ..held.assignment.clone()
                },
                via: held.via.iter().cloned().chain([via.clone()]).collect(),
            })
            .collect()
    }

    fn descendants(&self, id: &ProjectId) -> Vec<&ProjectId> {
        let children = |of: &ProjectId| self.children.get(of).cloned().unwrap_or_default();
        let mut found = children(id);
        let mut at = 0;
        while let Some(next) = found.get(at).copied() {
            found.extend(children(next));
            at += 1;
        }
        found
    }

    /// Each implied role once for each role that implies it, as upstream lists them.
    fn by_role(&self, held: Held) -> Vec<Held> {
        let mut found = vec![held];
        let mut at = 0;
        while let Some(prior) = found.get(at).cloned() {
            for implied in self.implied.get(&prior.assignment.role_id).into_iter().flatten() {
                let mut via: Vec<Via> = prior.via.iter().filter(|via| !matches!(via, Via::Role(_))).cloned().collect();
                via.push(Via::Role(prior.assignment.role_id.clone()));
                let assignment = Assignment { role_id: (*implied).clone(), ..prior.assignment.clone() };
                let next = Held { assignment, via };
                if !found.contains(&next) {
                    found.push(next);
                }
            }
            at += 1;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inherited_grant_to_a_group_comes_to_each_member_on_each_project_below() {
        let grant = Assignment {
            role_id: "admin".into(),
            actor: Actor::Group("ops".into()),
            target: Target::Project("top".into()),
            inherited: true,
        };
        let places: Vec<Place> = vec![
            ("top".into(), Some("d".into()), Some("d".into())),
            ("mid".into(), Some("top".into()), Some("d".into())),
            ("leaf".into(), Some("mid".into()), Some("d".into())),
            ("aside".into(), Some("d".into()), Some("d".into())),
        ];
        let members = [("ops".into(), "alice".into()), ("ops".into(), "bob".into())];
        let held = expand(&[grant], &members, &places, &[("admin".into(), "reader".into())]);
        let text: Vec<String> = held
            .iter()
            .map(|held| match (&held.assignment.actor, &held.assignment.target) {
                (Actor::User(user), Target::Project(project)) => {
                    format!("{user} {} {project}", held.assignment.role_id)
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            text,
            [
                "alice admin mid",
                "alice reader mid",
                "alice admin leaf",
                "alice reader leaf",
                "bob admin mid",
                "bob reader mid",
                "bob admin leaf",
                "bob reader leaf"
            ]
        );
        assert!(held.iter().all(Held::is_inherited));
    }

    #[test]
    fn roles_that_imply_each_other_come_to_an_end() {
        let grant = Assignment {
            role_id: "a".into(),
            actor: Actor::User("u".into()),
            target: Target::System,
            inherited: false,
        };
        let ring = [("a".into(), "b".into()), ("b".into(), "a".into())];
        let roles: HashSet<_> =
            expand(&[grant], &[], &[], &ring).into_iter().map(|held| held.assignment.role_id).collect();
        assert_eq!(roles.len(), 2);
    }
}
