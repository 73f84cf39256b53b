//! Every rule: its name, its default check, as upstream ships them. `etc/policy.yaml` overrides by name.

mod compute;
mod identity;
mod image;
mod network;

/// Name and default check.
pub type Rule = (&'static str, &'static str);

/// Every rule of every service.
pub fn all() -> impl Iterator<Item = Rule> {
    [SHARED, identity::RULES, image::RULES, compute::RULES, network::RULES].into_iter().flatten().copied()
}

/// Rules that others refer to. The personas are those of upstream's secure RBAC.
const SHARED: &[Rule] = &[
    ("admin_required", "role:admin"),
    ("context_is_admin", "role:admin"),
    ("admin_api", "role:admin"),
    ("project_reader", "role:reader and project_id:%(project_id)s"),
    ("project_member", "role:member and project_id:%(project_id)s"),
    ("project_manager", "role:manager and project_id:%(project_id)s"),
    ("project_reader_or_admin", "rule:project_reader or role:admin"),
    ("project_member_or_admin", "rule:project_member or role:admin"),
    ("project_manager_or_admin", "rule:project_manager or role:admin"),
];
