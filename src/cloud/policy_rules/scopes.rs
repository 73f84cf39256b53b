//! The scopes a rule is for, as upstream declares them: a token of another scope is refused whatever its roles are.
//!
//! Upstream writes them beside each check. Most rules take every scope, and what is not named here does too; so two lists
//! say it all. The point of both is that an administrator of one domain is not one of the whole cloud's catalogue, roles
//! or limits, although `role:admin` holds for them.

use crate::cloud::policy::ScopeKind;

const SYSTEM_OR_PROJECT: &[ScopeKind] = &[ScopeKind::System, ScopeKind::Project];
const PROJECT: &[ScopeKind] = &[ScopeKind::Project];

/// Each rule that leaves a scope out, and those it takes.
pub fn all() -> impl Iterator<Item = (&'static str, &'static [ScopeKind])> {
    let system_or_project = NOT_FOR_DOMAINS.iter().map(|rule| (*rule, SYSTEM_OR_PROJECT));
    let of_images = super::image::RULES.iter().map(|(rule, _)| *rule).filter(|rule| !PARTS_OF_RULES.contains(rule));
    let of_placement =
        super::placement::RULES.iter().map(|(rule, _)| *rule).filter(|rule| rule.starts_with("placement:"));
    let for_projects = ONLY_FOR_PROJECTS.iter().copied().chain(of_images).chain(of_placement);
    system_or_project.chain(for_projects.map(|rule| (rule, PROJECT)))
}

/// Of the image service's rules, which are all for projects, those that no operation asks.
const PARTS_OF_RULES: &[&str] = &["metadef_default", "metadef_admin"];

const ONLY_FOR_PROJECTS: &[&str] = &[
    "identity:authorize_request_token",
    "identity:get_access_token",
    "identity:get_access_token_role",
    "identity:list_access_tokens",
    "identity:list_access_token_roles",
    "identity:delete_access_token",
    "identity:create_application_credential",
    "identity:create_trust",
];

const NOT_FOR_DOMAINS: &[&str] = &[
    "identity:get_access_rule",
    "identity:list_access_rules",
    "identity:delete_access_rule",
    "identity:get_application_credential",
    "identity:list_application_credentials",
    "identity:delete_application_credential",
    "identity:get_consumer",
    "identity:list_consumers",
    "identity:create_consumer",
    "identity:update_consumer",
    "identity:delete_consumer",
    "identity:create_domain",
    "identity:update_domain",
    "identity:delete_domain",
    "identity:create_domain_config",
    "identity:get_domain_config",
    "identity:update_domain_config",
    "identity:delete_domain_config",
    "identity:get_domain_config_default",
    "identity:ec2_get_credential",
    "identity:ec2_list_credentials",
    "identity:ec2_create_credential",
    "identity:ec2_delete_credential",
    "identity:get_endpoint",
    "identity:list_endpoints",
    "identity:create_endpoint",
    "identity:update_endpoint",
    "identity:delete_endpoint",
    "identity:create_endpoint_group",
    "identity:list_endpoint_groups",
    "identity:get_endpoint_group",
    "identity:update_endpoint_group",
    "identity:delete_endpoint_group",
    "identity:list_projects_associated_with_endpoint_group",
    "identity:list_endpoints_associated_with_endpoint_group",
    "identity:get_endpoint_group_in_project",
    "identity:list_endpoint_groups_for_project",
    "identity:add_endpoint_group_to_project",
    "identity:remove_endpoint_group_from_project",
    "identity:list_system_grants_for_user",
    "identity:check_system_grant_for_user",
    "identity:create_system_grant_for_user",
    "identity:revoke_system_grant_for_user",
    "identity:list_system_grants_for_group",
    "identity:check_system_grant_for_group",
    "identity:create_system_grant_for_group",
    "identity:revoke_system_grant_for_group",
    "identity:create_identity_provider",
    "identity:list_identity_providers",
    "identity:get_identity_provider",
    "identity:update_identity_provider",
    "identity:delete_identity_provider",
    "identity:get_implied_role",
    "identity:list_implied_roles",
    "identity:create_implied_role",
    "identity:delete_implied_role",
    "identity:list_role_inference_rules",
    "identity:check_implied_role",
    "identity:create_limits",
    "identity:update_limit",
    "identity:delete_limit",
    "identity:create_mapping",
    "identity:get_mapping",
    "identity:list_mappings",
    "identity:delete_mapping",
    "identity:update_mapping",
    "identity:get_policy",
    "identity:list_policies",
    "identity:create_policy",
    "identity:update_policy",
    "identity:delete_policy",
    "identity:create_policy_association_for_endpoint",
    "identity:check_policy_association_for_endpoint",
    "identity:delete_policy_association_for_endpoint",
    "identity:create_policy_association_for_service",
    "identity:check_policy_association_for_service",
    "identity:delete_policy_association_for_service",
    "identity:create_policy_association_for_region_and_service",
    "identity:check_policy_association_for_region_and_service",
    "identity:delete_policy_association_for_region_and_service",
    "identity:get_policy_for_endpoint",
    "identity:list_endpoints_for_policy",
    "identity:list_projects_for_endpoint",
    "identity:add_endpoint_to_project",
    "identity:check_endpoint_in_project",
    "identity:list_endpoints_for_project",
    "identity:remove_endpoint_from_project",
    "identity:create_protocol",
    "identity:update_protocol",
    "identity:get_protocol",
    "identity:list_protocols",
    "identity:delete_protocol",
    "identity:create_region",
    "identity:update_region",
    "identity:delete_region",
    "identity:create_registered_limits",
    "identity:update_registered_limit",
    "identity:delete_registered_limit",
    "identity:list_revoke_events",
    "identity:create_role",
    "identity:update_role",
    "identity:delete_role",
    "identity:get_domain_role",
    "identity:list_domain_roles",
    "identity:create_domain_role",
    "identity:update_domain_role",
    "identity:delete_domain_role",
    "identity:get_service",
    "identity:list_services",
    "identity:create_service",
    "identity:update_service",
    "identity:delete_service",
    "identity:create_service_provider",
    "identity:list_service_providers",
    "identity:get_service_provider",
    "identity:update_service_provider",
    "identity:delete_service_provider",
    "identity:revocation_list",
    "identity:list_trusts",
    "identity:list_trusts_for_trustor",
    "identity:list_trusts_for_trustee",
    "identity:list_roles_for_trust",
    "identity:get_role_for_trust",
    "identity:delete_trust",
    "identity:get_trust",
];

#[cfg(test)]
mod tests {
    #[test]
    fn every_rule_with_scopes_is_a_rule_and_has_them_once() {
        let rules: Vec<&str> = super::super::all().map(|(name, _)| name).collect();
        let mut named: Vec<&str> = super::all().map(|(name, _)| name).collect();
        let count = named.len();
        assert!(named.iter().all(|name| rules.contains(name)), "{named:?}");
        named.sort_unstable();
        named.dedup();
        assert_eq!(named.len(), count);
    }
}
