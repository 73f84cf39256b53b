//! Which roles somebody holds, as the store finds them, against a naive reckoning: any tree of projects, any grants to
//! users and groups, inherited or not, any roles that imply others, rings among them.

use crate::api::identity::roles::role_assignments::{Asked, find};
use crate::clock::Timestamp;
use crate::cloud::identity::{Actor, Assignment, Group, Project, Role, Target, User};
use crate::http::query::Query;
use crate::ids::{GroupId, ProjectId, RoleId, UserId};
use crate::store::{Db, Tx, assignments, groups, projects, roles, testing, users};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Map;
use std::collections::{BTreeSet, HashSet};

const NOW: Timestamp = Timestamp(1);
const USERS: [&str; 3] = ["u0", "u1", "u2"];
const GROUPS: [&str; 2] = ["g0", "g1"];
/// The last belongs to a domain.
const ROLES: [&str; 5] = ["r0", "r1", "r2", "r3", "own"];
const DOMAINS: [&str; 2] = ["d0", "d1"];

/// A cloud: projects by their parents, and who holds what.
#[derive(Debug, Clone)]
struct World {
    /// For each project the place of its parent among those before it, or of its domain.
    parents: Vec<usize>,
    grants: Vec<Assignment>,
    members: Vec<(GroupId, UserId)>,
    implications: Vec<(RoleId, RoleId)>,
}

fn project_id(at: usize) -> String {
    format!("p{at}")
}

impl World {
    /// The id of a project's parent.
    fn parent(&self, at: usize) -> String {
        // The first numbers are the domains.
        match self.parents[at] % (DOMAINS.len() + at) {
            domain if domain < DOMAINS.len() => DOMAINS[domain].to_owned(),
            before => project_id(before - DOMAINS.len()),
        }
    }

    /// What is above a project, its domain last.
    fn above(&self, id: &str) -> Vec<String> {
        let mut above = Vec::new();
        let mut id = id.to_owned();
        while let Some(at) = id.strip_prefix('p').and_then(|at| at.parse::<usize>().ok()) {
            id = self.parent(at);
            above.push(id.clone());
        }
        above
    }

    fn projects(&self) -> impl Iterator<Item = String> {
        (0..self.parents.len()).map(project_id)
    }

    /// Does a grant come to a role of this user on this target? Without a look at what its role implies.
    fn reaches(&self, grant: &Assignment, user: &str, target: &Target) -> bool {
        let is_theirs = match &grant.actor {
            Actor::User(id) => id.0 == user,
            Actor::Group(id) => self.members.contains(&(id.clone(), user.into())),
        };
        let is_there = match (grant.inherited, target) {
            (false, target) => grant.target == *target,
            (true, Target::Project(id)) => self.above(&id.0).iter().any(|above| match &grant.target {
                Target::Project(from) => from.0 == *above,
                Target::Domain(from) => from.0 == *above,
                Target::System => false,
            }),
            (true, Target::Domain(_) | Target::System) => false,
        };
        is_theirs && is_there
    }

    /// Every role that a user holds on a target by these grants.
    fn held<'g>(&self, grants: impl Iterator<Item = &'g Assignment>, user: &str, target: &Target) -> BTreeSet<String> {
        let mut held: BTreeSet<String> =
            grants.filter(|grant| self.reaches(grant, user, target)).map(|grant| grant.role_id.0.clone()).collect();
        loop {
            let implied = self.implications.iter().filter(|(prior, _)| held.contains(&prior.0));
            let more: Vec<String> = implied.map(|(_, implied)| implied.0.clone()).collect();
            let before = held.len();
            held.extend(more);
            if held.len() == before {
                held.remove("own");
                return held;
            }
        }
    }

    fn write(&self, tx: &mut Tx) -> crate::error::Result<()> {
        for domain in DOMAINS {
            projects::insert(tx, &place(domain, None, None), NOW)?;
        }
        for at in 0..self.parents.len() {
            let id = project_id(at);
            let domain = self.above(&id).last().cloned();
            projects::insert(tx, &place(&id, domain.as_deref(), Some(&self.parent(at))), NOW)?;
        }
        for id in USERS {
            users::insert(tx, &user(id), NOW)?;
        }
        for id in GROUPS {
            let (name, description) = (id.to_owned(), String::new());
            groups::insert(
                tx,
                &Group { id: id.into(), domain_id: "d0".into(), name, description, extra: Map::new() },
                NOW,
            )?;
        }
        for id in ROLES {
            let role = Role {
                id: id.into(),
                domain_id: (id == "own").then(|| "d0".into()),
                name: id.to_owned(),
                description: None,
                options: Map::new(),
                extra: Map::new(),
            };
            roles::insert(tx, &role, NOW)?;
        }
        self.grants.iter().try_for_each(|grant| assignments::insert(tx, grant))?;
        self.members.iter().try_for_each(|(group, user)| groups::add_member(tx, group, user))?;
        self.implications.iter().try_for_each(|(prior, implied)| roles::imply(tx, prior, implied))
    }
}

fn place(id: &str, domain: Option<&str>, parent: Option<&str>) -> Project {
    Project {
        id: id.into(),
        domain_id: domain.map(Into::into),
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
        domain_id: "d0".into(),
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

fn select(words: &'static [&'static str]) -> impl Strategy<Value = &'static str> + Clone {
    prop::sample::select(words)
}

fn world() -> impl Strategy<Value = World> {
    let actor = prop_oneof![
        select(&USERS).prop_map(|id| Actor::User(id.into())),
        select(&GROUPS).prop_map(|id| Actor::Group(id.into())),
    ];
    prop::collection::vec(0_usize..100, 1..6).prop_flat_map(move |parents| {
        let count = parents.len();
        let target = prop_oneof![
            4 => (0..count).prop_map(|at| Target::Project(project_id(at).as_str().into())),
            2 => select(&DOMAINS).prop_map(|id| Target::Domain(id.into())),
            1 => Just(Target::System),
        ];
        let grant =
            (select(&ROLES), actor.clone(), target, any::<bool>()).prop_map(|(role, actor, target, inherited)| {
                let inherited = inherited && target != Target::System;
                Assignment { role_id: role.into(), actor, target, inherited }
            });
        let member = (select(&GROUPS), select(&USERS)).prop_map(|(group, user)| (group.into(), user.into()));
        let implication = (select(&ROLES), select(&ROLES))
            .prop_filter("a role does not imply itself", |(prior, implied)| prior != implied)
            .prop_map(|(prior, implied)| (prior.into(), implied.into()));
        (
            Just(parents),
            prop::collection::vec(grant, 0..8),
            prop::collection::vec(member, 0..4),
            prop::collection::vec(implication, 0..5),
        )
            .prop_map(|(parents, grants, members, implications)| World {
                parents,
                grants,
                members,
                implications,
            })
    })
}

type Triples = BTreeSet<(String, String, String)>;

fn target_name(target: &Target) -> String {
    match target {
        Target::Project(id) => id.0.clone(),
        Target::Domain(id) => id.0.clone(),
        Target::System => "system".to_owned(),
    }
}

/// What `GET /v3/role_assignments?effective&…` must list: user, role, target.
fn expected(world: &World, query: &str) -> Triples {
    let asked = Query::parse(query);
    let inherited = asked.get("scope.OS-INHERIT:inherited_to").map(|to| to == "projects");
    let targets = world.projects().map(|id| Target::Project(id.as_str().into()));
    let targets = targets.chain(DOMAINS.map(|id| Target::Domain(id.into())));
    let mut found = Triples::new();
    for target in targets {
        let name = target_name(&target);
        let is_asked_for = match (asked.get("scope.project.id"), asked.get("scope.domain.id")) {
            (Some(id), _) => {
                let is_below = asked.has("include_subtree") && world.above(&name).iter().any(|above| above == id);
                name == id || is_below
            }
            (None, Some(id)) => name == id,
            (None, None) => true,
        };
        if !is_asked_for {
            continue;
        }
        for user in USERS.into_iter().filter(|user| asked.get("user.id").is_none_or(|wanted| wanted == *user)) {
            let grants = world.grants.iter().filter(|grant| inherited.is_none_or(|wanted| wanted == grant.inherited));
            for role in world.held(grants, user, &target) {
                if asked.get("role.id").is_none_or(|wanted| wanted == role) {
                    found.insert((user.to_owned(), role, name.clone()));
                }
            }
        }
    }
    found
}

const QUERIES: &[&str] = &[
    "",
    "user.id=u0",
    "role.id=r1",
    "scope.project.id=p0",
    "scope.project.id=p0&include_subtree",
    "scope.project.id=p0&include_subtree&user.id=u1&role.id=r2",
    "scope.domain.id=d0",
    "scope.domain.id=d1&user.id=u2",
    "scope.OS-INHERIT:inherited_to=projects",
    "scope.OS-INHERIT:inherited_to=none&user.id=u1",
    "scope.project.id=p0&scope.OS-INHERIT:inherited_to=projects",
];

async fn check(db: &Db, world: World) {
    let written = world.clone();
    db.write(move |tx| written.write(tx)).await.unwrap();
    for query in QUERIES {
        let asked = Asked::of(&Query::parse(&format!("effective&{query}"))).unwrap();
        let found = db.read(move |tx| find(tx, &asked)).await.unwrap();
        let triples: Triples = found
            .into_iter()
            .map(|held| match held.assignment.actor {
                Actor::User(id) => (id.0, held.assignment.role_id.0, target_name(&held.assignment.target)),
                Actor::Group(id) => panic!("{id}: what is effective is of users"),
            })
            .collect();
        assert_eq!(triples, expected(&world, query), "effective&{query}");
    }
    for user in USERS {
        let asked = world.clone();
        let (found, places) = db
            .read(move |tx| {
                let targets = asked.projects().map(|id| Target::Project(id.as_str().into()));
                let targets = targets.chain(DOMAINS.map(|id| Target::Domain(id.into()))).chain([Target::System]);
                let mut found = Vec::new();
                for target in targets {
                    let held = roles::effective(tx, &user.into(), &target)?;
                    found.push((target, held.into_iter().map(|role| role.id.0).collect::<BTreeSet<_>>()));
                }
                Ok((found, projects::ids_of_user(tx, &user.into())?))
            })
            .await
            .unwrap();
        for (target, held) in found {
            assert_eq!(held, world.held(world.grants.iter(), user, &target), "{user} on {target:?}");
        }
        let reached: HashSet<ProjectId> = world
            .projects()
            .map(|id| ProjectId::from(id.as_str()))
            .filter(|id| world.grants.iter().any(|grant| world.reaches(grant, user, &Target::Project(id.clone()))))
            .collect();
        assert_eq!(places, reached, "{user}'s projects");
    }
}

fn run(cases: u32, database: impl Fn() -> futures::future::BoxFuture<'static, Option<Db>>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&world(), |world| {
        runtime.block_on(async {
            if let Some(db) = database().await {
                check(&db, world).await;
            }
        });
        Ok(())
    });
    outcome.unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn the_roles_that_are_found_are_those_that_a_naive_reckoning_comes_to_on_sqlite() {
    run(48, || Box::pin(async { Some(testing::sqlite().await) }));
}

#[test]
fn the_roles_that_are_found_are_those_that_a_naive_reckoning_comes_to_on_postgres() {
    run(6, || Box::pin(testing::postgres("the_roles_that_are_found")));
}
