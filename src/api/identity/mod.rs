//! The identity service: Keystone v3.
//!
//! Identity's rows belong to no project, so no `Reach` bounds them: every handler loads what it is about and asks the
//! row's own rule about exactly that (`call.cx.permit(&target)`), and lists ask about each item. Start reading at
//! `tokens` for logins.

#[cfg(test)]
mod access_rule_tests;
mod access_rules;
mod answer;
mod application_credentials;
mod assignment_names;
#[cfg(test)]
mod assignment_tests;
#[cfg(test)]
mod attack_tests;
mod audit;
#[cfg(test)]
mod audit_tests;
mod catalog;
#[cfg(test)]
mod catalog_tests;
mod catalogs;
mod compliance;
#[cfg(test)]
mod compliance_tests;
mod credential_login;
#[cfg(test)]
mod credential_tests;
mod credentials;
mod delegation;
mod desk;
mod domain_config;
mod domains;
mod ec2_credentials;
mod endpoint_filter;
mod endpoint_groups;
mod failures;
mod fields;
mod grants;
mod groups;
mod hashing;
#[cfg(test)]
mod inference_tests;
#[cfg(test)]
mod input_tests;
mod limits;
#[cfg(test)]
mod limits_tests;
mod listing;
mod login;
#[cfg(test)]
mod multi_factor_tests;
mod offline;
#[cfg(test)]
mod offline_tests;
mod own_account;
mod own_scopes;
mod pages;
#[cfg(test)]
mod pages_tests;
mod policies;
mod policy_associations;
mod project_tags;
mod project_tree;
mod projects;
mod recall;
#[cfg(test)]
mod recall_tests;
mod receipts;
mod regions;
mod registered_limits;
#[cfg(test)]
mod resource_tests;
mod revocation_events;
#[cfg(test)]
mod revocation_tests;
mod role_assignments;
mod roles;
mod scope;
#[cfg(test)]
mod scope_tests;
mod seed;
pub mod sessions;
mod settings;
mod simple_cert;
mod targets;
#[cfg(test)]
mod tests;
mod token_view;
mod tokens;
mod totp_login;
#[cfg(test)]
mod tree_tests;
mod trust_request;
#[cfg(test)]
mod trust_tests;
mod trusts;
mod users;
mod versions;

pub use credentials::reseal_credentials;
pub use desk::Identity;
pub use recall::forget_old_logins;
pub use seed::{FirstPasswords, seed};
pub use settings::IdentitySettings;

use super::Row;
use super::faults::KEYSTONE;
use crate::http::table::Service;

pub static SERVICE: Service =
    Service { name: "identity", prefix: "/identity", axis: None, dialect: &KEYSTONE, head_as_get: true };

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
        own_scopes::rows(),
        domains::rows(),
        projects::rows(),
        project_tags::rows(),
        users::rows(),
        own_account::rows(),
        groups::rows(),
        roles::rows(),
        grants::rows(),
        role_assignments::rows(),
        regions::rows(),
        catalog::rows(),
        application_credentials::rows(),
        access_rules::rows(),
        trusts::rows(),
        credentials::rows(),
        ec2_credentials::rows(),
        revocation_events::rows(),
        registered_limits::rows(),
        limits::rows(),
        policies::rows(),
        policy_associations::rows(),
        endpoint_groups::rows(),
        endpoint_filter::rows(),
        domain_config::rows(),
        simple_cert::rows(),
        offline::rows(),
    ]
    .into_iter()
    .flatten()
    .map(audit::watched)
    .collect()
}
