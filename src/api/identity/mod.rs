//! The identity service: Keystone v3.
//!
//! Identity's rows belong to no project, so no `Reach` bounds them: every handler loads what it is about and asks the
//! row's own rule about exactly that (`call.cx.permit(&target)`), and lists ask about each item. A folder for each
//! subject: `login` (methods and what guards them), `tokens` (scope, revocation, offline verifying), `delegation`
//! (application credentials, trusts), `projects` (and domains), `roles` (and who holds them), `catalog`, `limits`. What all
//! share (`answer`, `fields`, `pages`, `targets`) stands beside them. Start reading at `tokens`.

mod answer;
#[cfg(test)]
mod attack_tests;
mod audit;
#[cfg(test)]
mod audit_tests;
mod catalog;
mod compliance;
#[cfg(test)]
mod compliance_tests;
mod delegation;
mod desk;
mod fields;
mod groups;
#[cfg(test)]
mod input_tests;
mod limits;
mod listing;
mod login;
mod own_account;
mod pages;
#[cfg(test)]
mod pages_tests;
mod projects;
mod roles;
mod seed;
mod settings;
mod simple_cert;
mod targets;
#[cfg(test)]
mod tests;
mod tokens;
mod under_epoch;
mod users;
mod versions;

pub use delegation::credentials::reseal_credentials;
pub use desk::Identity;
pub use login::recall::forget_old_logins;
pub use seed::{FirstPasswords, seed};
pub use settings::IdentitySettings;
pub use tokens::sessions;
pub(in crate::api) use tokens::token_view::catalog_of;

use super::Row;
use super::faults::KEYSTONE;
use crate::http::table::Service;

pub static SERVICE: Service = Service {
    name: "identity",
    prefix: "/identity",
    axis: None,
    dialect: &KEYSTONE,
    head_as_get: true,
    names_project: false,
};

/// Rules that are asked only about what is there: what is missing answers 404 to whoever has a token. Everywhere else
/// what is missing looks like what is forbidden. The difference is upstream's, and clients see it.
const LOOK_FIRST: [&str; 12] = [
    "identity:update_domain",
    "identity:delete_domain",
    "identity:delete_group",
    "identity:get_role",
    "identity:update_role",
    "identity:delete_role",
    "identity:list_implied_roles",
    "identity:get_implied_role",
    "identity:create_implied_role",
    "identity:delete_implied_role",
    "identity:ec2_get_credential",
    "identity:ec2_delete_credential",
];

/// Is what the rule is about looked for before the rule is asked?
pub fn looks_first(rule: &str) -> bool {
    LOOK_FIRST.contains(&rule)
}

pub fn rows() -> Vec<Row> {
    [
        versions::rows(),
        tokens::rows(),
        tokens::own_scopes::rows(),
        projects::domains::rows(),
        projects::rows(),
        projects::project_tags::rows(),
        users::rows(),
        own_account::rows(),
        groups::rows(),
        roles::rows(),
        roles::grants::rows(),
        roles::role_assignments::rows(),
        catalog::regions::rows(),
        catalog::rows(),
        delegation::application_credentials::rows(),
        delegation::access_rules::rows(),
        delegation::trusts::rows(),
        delegation::credentials::rows(),
        delegation::ec2_credentials::rows(),
        tokens::revocation_events::rows(),
        limits::registered_limits::rows(),
        limits::rows(),
        catalog::policies::rows(),
        catalog::policy_associations::rows(),
        catalog::endpoint_groups::rows(),
        catalog::endpoint_filter::rows(),
        projects::domain_config::rows(),
        simple_cert::rows(),
        tokens::offline::rows(),
    ]
    .into_iter()
    .flatten()
    .map(audit::watched)
    .collect()
}
