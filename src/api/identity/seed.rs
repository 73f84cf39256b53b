//! The identity that every new cloud begins with: what `gapura init` makes.
//!
//! One transaction a call, and nothing in it that is there already: it can be repeated, also after an interruption. The
//! passwords of users that are there stay what they are.

use crate::clock::Timestamp;
use crate::cloud::identity::{Actor, Assignment, Endpoint, Project, Region, Role, Service, Target, User};
use crate::cloud::password::Recipe;
use crate::error::Result;
use crate::ids::{DomainId, ProjectId, RoleId, UserId};
use crate::store::{Db, Tx, assignments, catalog, projects, roles, users};
use serde_json::{Map, json};

pub const DOMAIN: &str = "default";

/// Roles, each implying the next of the first four.
const ROLES: [&str; 5] = ["admin", "manager", "member", "reader", "service"];

/// Type, name, and path below the public URL.
const SERVICES: [(&str, &str, &str); 5] = [
    ("identity", "keystone", "/identity"),
    ("image", "glance", "/image"),
    ("compute", "nova", "/compute/v2.1"),
    ("network", "neutron", "/network"),
    ("placement", "placement", "/placement"),
];

/// The passwords that the two users begin with.
pub struct FirstPasswords {
    pub admin: String,
    pub demo: String,
}

/// Makes what is missing.
///
/// # Errors
/// Those of the database, and of hashing.
pub async fn seed(db: &Db, recipe: Recipe, region: &str, passwords: &FirstPasswords, now: Timestamp) -> Result<()> {
    let (admin_hash, demo_hash) = (recipe.hash(&passwords.admin)?, recipe.hash(&passwords.demo)?);
    let region = region.to_owned();
    db.write(move |tx| {
        domain(tx, now)?;
        for name in ["admin", "demo"] {
            project(tx, name, now)?;
        }
        for name in ROLES {
            role(tx, name, now)?;
        }
        for pair in ROLES[..4].windows(2) {
            let (prior, implied) = (role(tx, pair[0], now)?, role(tx, pair[1], now)?);
            roles::imply(tx, &prior, &implied)?;
        }
        services(tx, &region)?;
        user(tx, "admin", &admin_hash, now)?;
        user(tx, "demo", &demo_hash, now)?;
        grants(tx, now)
    })
    .await
}

fn domain_id() -> DomainId {
    DOMAIN.into()
}

fn domain(tx: &mut Tx, now: Timestamp) -> Result<()> {
    if projects::domain(tx, &domain_id())?.is_some() {
        return Ok(());
    }
    let domain = Project {
        id: DOMAIN.into(),
        domain_id: None,
        parent_id: None,
        is_domain: true,
        name: "Default".to_owned(),
        description: "The default domain".to_owned(),
        enabled: true,
        tags: Vec::new(),
        options: Map::new(),
        extra: Map::new(),
    };
    projects::insert(tx, &domain, now)
}

fn project(tx: &mut Tx, name: &str, now: Timestamp) -> Result<ProjectId> {
    if let Some(project) = projects::by_name(tx, &domain_id(), name)? {
        return Ok(project.id);
    }
    let project = Project {
        id: ProjectId::random(),
        domain_id: Some(domain_id()),
        parent_id: Some(DOMAIN.into()),
        is_domain: false,
        name: name.to_owned(),
        description: String::new(),
        enabled: true,
        tags: Vec::new(),
        options: Map::new(),
        extra: Map::new(),
    };
    projects::insert(tx, &project, now)?;
    Ok(project.id)
}

/// A role that policies name. As upstream's bootstrap makes them, such roles are not to be changed or deleted by mistake.
fn role(tx: &mut Tx, name: &str, now: Timestamp) -> Result<RoleId> {
    if let Some(role) = roles::by_name(tx, name)? {
        return Ok(role.id);
    }
    let role = Role {
        id: RoleId::random(),
        domain_id: None,
        name: name.to_owned(),
        description: None,
        options: Map::from_iter([("immutable".to_owned(), json!(true))]),
        extra: Map::new(),
    };
    roles::insert(tx, &role, now)?;
    Ok(role.id)
}

fn user(tx: &mut Tx, name: &str, hash: &str, now: Timestamp) -> Result<()> {
    if users::by_name(tx, &domain_id(), name)?.is_some() {
        return Ok(());
    }
    let user = User {
        id: UserId::random(),
        domain_id: domain_id(),
        name: name.to_owned(),
        enabled: true,
        default_project_id: None,
        description: None,
        email: None,
        password_expires_at: None,
        active_at: None,
        options: Map::new(),
        extra: Map::new(),
    };
    users::insert(tx, &user, now)?;
    users::set_password(tx, &user.id, Some(hash), false, now)
}

/// admin is admin of the project admin, of the domain and of the system; demo is member of the project demo.
fn grants(tx: &mut Tx, now: Timestamp) -> Result<()> {
    let (admin, member) = (role(tx, "admin", now)?, role(tx, "member", now)?);
    let (admin_project, demo_project) = (project(tx, "admin", now)?, project(tx, "demo", now)?);
    let wanted = [
        ("admin", &admin, Target::Project(admin_project)),
        ("admin", &admin, Target::Domain(domain_id())),
        ("admin", &admin, Target::System),
        ("demo", &member, Target::Project(demo_project)),
    ];
    for (name, role_id, target) in wanted {
        let Some(user) = users::by_name(tx, &domain_id(), name)? else { continue };
        let assignment = Assignment { role_id: role_id.clone(), actor: Actor::User(user.id), target, inherited: false };
        assignments::insert(tx, &assignment)?;
    }
    Ok(())
}

/// The catalogue. Endpoints begin with `$(public_url)s`, so that they follow the setting.
fn services(tx: &mut Tx, region: &str) -> Result<()> {
    if catalog::get_region(tx, region)?.is_none() {
        let region =
            Region { id: region.to_owned(), parent_region_id: None, description: String::new(), extra: Map::new() };
        catalog::insert_region(tx, &region)?;
    }
    let present = catalog::services(tx)?;
    for (kind, name, path) in SERVICES {
        if present.iter().any(|service| service.kind == kind) {
            continue;
        }
        let service = Service {
            id: uuid::Uuid::new_v4().simple().to_string(),
            kind: kind.to_owned(),
            name: Some(name.to_owned()),
            description: None,
            enabled: true,
            extra: Map::new(),
        };
        catalog::insert_service(tx, &service)?;
        for interface in ["public", "internal", "admin"] {
            let endpoint = Endpoint {
                id: uuid::Uuid::new_v4().simple().to_string(),
                service_id: service.id.clone(),
                region_id: Some(region.to_owned()),
                interface: interface.to_owned(),
                url: format!("$(public_url)s{path}"),
                enabled: true,
                name: None,
                extra: Map::new(),
            };
            catalog::insert_endpoint(tx, &endpoint)?;
        }
    }
    Ok(())
}
