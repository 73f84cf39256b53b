//! Every rule: its name, its default check, as upstream ships them. `etc/policy.yaml` overrides by name.

mod compute;
mod identity;
mod image;
mod network;
mod placement;
mod scopes;

pub use scopes::all as scopes;

/// Name and default check.
pub type Rule = (&'static str, &'static str);

/// Every rule of every service.
pub fn all() -> impl Iterator<Item = Rule> {
    by_service().into_iter().flat_map(|(_, rules)| rules).copied()
}

/// The rules of each service, after those that all of them share.
pub fn by_service() -> [(&'static str, &'static [Rule]); 6] {
    [
        ("shared", SHARED),
        ("identity", identity::RULES),
        ("image", image::RULES),
        ("compute", compute::RULES),
        ("network", network::RULES),
        ("placement", placement::RULES),
    ]
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
