//! What grants come to: groups as their members, inherited roles as roles on each project below, and implied roles.

use crate::cloud::identity::{Actor, Assignment, Target};
use crate::ids::{DomainId, GroupId, ProjectId, RoleId, UserId};
use std::collections::HashSet;

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

/// Expands grants: first members for groups, then projects for what is inherited, then implied roles.
pub fn expand(
    grants: &[Assignment],
    members: &[(GroupId, UserId)],
    places: &[Place],
    implications: &[(RoleId, RoleId)],
) -> Vec<Held> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    for grant in grants {
        for held in by_user(grant, members).into_iter().flat_map(|held| by_project(held, places)) {
            for held in by_role(held, implications) {
                if seen.insert(held.clone()) {
                    found.push(held);
                }
            }
        }
    }
    found
}

fn by_user(grant: &Assignment, members: &[(GroupId, UserId)]) -> Vec<Held> {
    let Actor::Group(group) = &grant.actor else {
        return vec![Held { assignment: grant.clone(), via: Vec::new() }];
    };
    let users = members.iter().filter(|(of, _)| of == group).map(|(_, user)| user);
    users
        .map(|user| Held {
            assignment: Assignment { actor: Actor::User(user.clone()), ..grant.clone() },
            via: vec![Via::Group(group.clone())],
        })
        .collect()
}

fn by_project(held: Held, places: &[Place]) -> Vec<Held> {
    if !held.assignment.inherited {
        return vec![held];
    }
    let (below, via): (Vec<&ProjectId>, Via) = match &held.assignment.target {
        Target::System => return Vec::new(),
        Target::Domain(id) => {
            let inside = places.iter().filter(|(_, _, domain)| domain.as_ref() == Some(id));
            (inside.map(|(project, ..)| project).collect(), Via::Domain(id.clone()))
        }
        Target::Project(id) => (descendants(id, places), Via::Project(id.clone())),
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

fn descendants<'p>(id: &ProjectId, places: &'p [Place]) -> Vec<&'p ProjectId> {
    let children = |of: &ProjectId| -> Vec<&'p ProjectId> {
        places.iter().filter(|(_, parent, _)| parent.as_ref() == Some(of)).map(|(child, ..)| child).collect()
    };
    let mut found = children(id);
    let mut at = 0;
    while let Some(next) = found.get(at).copied() {
        found.extend(children(next));
        at += 1;
    }
    found
}

fn by_role(held: Held, implications: &[(RoleId, RoleId)]) -> Vec<Held> {
    let mut found = vec![held];
    let mut at = 0;
    while let Some(prior) = found.get(at).cloned() {
        for (_, implied) in implications.iter().filter(|(first, _)| *first == prior.assignment.role_id) {
            if found.iter().any(|held| held.assignment.role_id == *implied) {
                continue;
            }
            let mut via: Vec<Via> = prior.via.iter().filter(|via| !matches!(via, Via::Role(_))).cloned().collect();
            via.push(Via::Role(prior.assignment.role_id.clone()));
            found.push(Held { assignment: Assignment { role_id: implied.clone(), ..prior.assignment.clone() }, via });
        }
        at += 1;
    }
    found
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
        assert_eq!(expand(&[grant], &[], &[], &ring).len(), 2);
    }
}
