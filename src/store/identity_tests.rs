//! Roles as queries find them, against a naive reckoning, on both engines.

use super::testing::store_test;
use super::{Db, assignments, groups, projects, roles, users};
use crate::clock::Timestamp;
use crate::cloud::effective::expand;
use crate::cloud::identity::{Actor, Assignment, Group, Project, Role, Target, User};
use crate::ids::{DomainId, ProjectId, RoleId, UserId};
use serde_json::Map;
use std::collections::BTreeSet;

const NOW: Timestamp = Timestamp(1);

fn project(id: &str, domain: Option<&str>, parent: Option<&str>) -> Project {
    Project {
        id: id.into(),
        domain_id: domain.map(DomainId::from),
        parent_id: parent.map(ProjectId::from),
        is_domain: domain.is_none(),
        name: id.to_owned(),
        description: String::new(),
        enabled: true,
        tags: Vec::new(),
        options: Map::new(),
        extra: Map::new(),
    }
}

fn user(id: &str) -> User {
    User {
        id: id.into(),
        domain_id: "d".into(),
        name: id.to_owned(),
        enabled: true,
        default_project_id: None,
        description: None,
        email: None,
        password_expires_at: None,
        active_at: None,
        options: Map::new(),
        extra: Map::new(),
    }
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        &among[usize::try_from(self.0 >> 33).unwrap() % among.len()]
    }
}

const USERS: [&str; 3] = ["u1", "u2", "u3"];
const PROJECTS: [(&str, &str); 4] = [("top", "d"), ("mid", "top"), ("leaf", "mid"), ("aside", "d")];
const ROLES: [&str; 5] = ["r1", "r2", "r3", "r4", "r5"];

async fn with_people(db: &Db) {
    db.write(|tx| {
        projects::insert(tx, &project("d", None, None), NOW)?;
        for (id, parent) in PROJECTS {
            projects::insert(tx, &project(id, Some("d"), Some(parent)), NOW)?;
        }
        for id in USERS {
            users::insert(tx, &user(id), NOW)?;
        }
        for id in ["g1", "g2"] {
            let (domain_id, description) = ("d".into(), String::new());
            let group = Group { id: id.into(), domain_id, name: id.to_owned(), description, extra: Map::new() };
            groups::insert(tx, &group, NOW)?;
        }
        for id in ROLES {
            let (options, extra) = (Map::new(), Map::new());
            let role = Role { id: id.into(), domain_id: None, name: id.to_owned(), description: None, options, extra };
            roles::insert(tx, &role, NOW)?;
        }
        Ok(())
    })
    .await
    .unwrap();
}

store_test! {
    async fn the_roles_a_query_finds_are_those_that_expanding_every_grant_comes_to(db: Db) {
        with_people(&db).await;
        let mut dice = Dice(7);
        let mut grants: Vec<Assignment> = Vec::new();
        let mut members = Vec::new();
        let mut pairs: Vec<(RoleId, RoleId)> = Vec::new();
        for round in 0..24 {
            let actor = match dice.roll(&["u1", "u2", "u3", "g1", "g2"]) {
                id if id.starts_with('u') => Actor::User((*id).into()),
                id => Actor::Group((*id).into()),
            };
            let target = match *dice.roll(&["top", "mid", "leaf", "aside", "d", "system"]) {
                "d" => Target::Domain("d".into()),
                "system" => Target::System,
                id => Target::Project(id.into()),
            };
            let inherited = target != Target::System && *dice.roll(&[true, false]);
            grants.push(Assignment { role_id: (*dice.roll(&ROLES)).into(), actor, target, inherited });
            if round % 4 == 0 {
                members.push(((*dice.roll(&["g1", "g2"])).into(), (*dice.roll(&USERS)).into()));
                pairs.push(((*dice.roll(&ROLES[..2])).into(), (*dice.roll(&ROLES[2..])).into()));
            }
            let (grant, member, pair) = (grants[round].clone(), members.last().cloned(), pairs.last().cloned());
            let found = db
                .write(move |tx| {
                    assignments::insert(tx, &grant)?;
                    if let (Some((group, user)), Some((prior, implied))) = (&member, &pair) {
                        groups::add_member(tx, group, user)?;
                        roles::imply(tx, prior, implied)?;
                    }
                    let mut found = BTreeSet::new();
                    let places = PROJECTS.iter().map(|(id, _)| Target::Project((*id).into()));
                    for target in places.chain([Target::Domain("d".into()), Target::System]) {
                        for user in USERS {
                            for role in roles::effective(tx, &user.into(), &target)? {
                                found.insert((UserId::from(user), target.clone(), role.id));
                            }
                        }
                    }
                    Ok(found)
                })
                .await
                .unwrap();
            let places: Vec<_> = PROJECTS
                .iter()
                .map(|(id, parent)| ((*id).into(), Some((*parent).into()), Some("d".into())))
                .collect();
            let naive: BTreeSet<_> = expand(&grants, &members, &places, &pairs)
                .into_iter()
                .filter_map(|held| match held.assignment.actor {
                    Actor::User(user) => Some((user, held.assignment.target, held.assignment.role_id)),
                    Actor::Group(_) => None,
                })
                .collect();
            assert_eq!(found, naive, "after {round} grants");
        }
    }

    async fn the_projects_of_a_user_are_those_they_hold_a_role_on(db: Db) {
        with_people(&db).await;
        let grant = |target: Target, inherited: bool| Assignment {
            role_id: "r1".into(),
            actor: Actor::User("u1".into()),
            target,
            inherited,
        };
        let of = |is_domain: bool| db.read(move |tx| {
            let found = projects::of_user(tx, &"u1".into(), is_domain)?;
            Ok(found.into_iter().map(|project| project.id.0).collect::<Vec<_>>())
        });
        let (top, domain) = (grant(Target::Project("top".into()), true), grant(Target::Domain("d".into()), false));
        db.write(move |tx| assignments::insert(tx, &top)).await.unwrap();
        assert_eq!(of(false).await.unwrap(), ["leaf", "mid"]);
        assert!(of(true).await.unwrap().is_empty());
        db.write(move |tx| assignments::insert(tx, &domain)).await.unwrap();
        assert_eq!(of(true).await.unwrap(), ["d"]);
        let everywhere = grant(Target::Domain("d".into()), true);
        db.write(move |tx| assignments::insert(tx, &everywhere)).await.unwrap();
        assert_eq!(of(false).await.unwrap(), ["aside", "leaf", "mid", "top"]);
    }
}
