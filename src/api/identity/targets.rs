//! What is acted on, as upstream's rules name it.

use crate::cloud::identity::{Group, Project, Role, User};
use crate::cloud::policy::Target;

pub fn user(user: &User) -> Target {
    with_user(Target::new(), user)
}

pub fn with_user(target: Target, user: &User) -> Target {
    target
        .with("user_id", &user.id)
        .with("target.user.id", &user.id)
        .with("target.user.domain_id", &user.domain_id)
        .with("target.domain_id", &user.domain_id)
}

pub fn group(group: &Group) -> Target {
    with_group(Target::new(), group)
}

pub fn with_group(target: Target, group: &Group) -> Target {
    target.with("target.group.id", &group.id).with("target.group.domain_id", &group.domain_id)
}

pub fn project(project: &Project) -> Target {
    with_project(Target::new(), project)
}

pub fn with_project(target: Target, project: &Project) -> Target {
    target
        .with("target.project.id", &project.id)
        .with_option("target.project.domain_id", project.domain_id.as_ref())
        .with_option("target.domain_id", project.domain_id.as_ref())
}

pub fn domain(domain: &Project) -> Target {
    with_domain(Target::new(), domain)
}

pub fn with_domain(target: Target, domain: &Project) -> Target {
    target.with("target.domain.id", &domain.id)
}

pub fn role(role: &Role) -> Target {
    with_role(Target::new(), role)
}

pub fn with_role(target: Target, role: &Role) -> Target {
    target
        .with("target.role.id", &role.id)
        .with("target.role.name", &role.name)
        .with_option("target.role.domain_id", role.domain_id.as_ref())
}
