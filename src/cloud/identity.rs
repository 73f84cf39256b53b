//! Who asks, and in whose name: the caller as every service sees them.

use crate::clock::Timestamp;
use crate::cloud::policy::Credentials;
use crate::ids::{DomainId, ProjectId, RoleId, UserId};

/// A domain as tokens name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainRef {
    pub id: DomainId,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRef {
    pub id: RoleId,
    pub name: String,
}

/// What a token is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    Unscoped,
    Project { id: ProjectId, name: String, domain: DomainRef },
    Domain(DomainRef),
    System,
}

/// Who asks: a valid token, with names and roles as they are now, not as they were when it was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub user_id: UserId,
    pub user_name: String,
    pub user_domain: DomainRef,
    pub scope: Scope,
    /// Effective: assigned, inherited and implied.
    pub roles: Vec<RoleRef>,
    /// `password`, `token`, …: how the chain of tokens began and went on.
    pub methods: Vec<String>,
    /// The token's own audit id, then the one its chain began with.
    pub audit_ids: Vec<String>,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
}

impl Caller {
    pub fn project_id(&self) -> Option<&ProjectId> {
        match &self.scope {
            Scope::Project { id, .. } => Some(id),
            Scope::Unscoped | Scope::Domain(_) | Scope::System => None,
        }
    }

    pub fn has_role(&self, name: &str) -> bool {
        self.roles.iter().any(|role| role.name.eq_ignore_ascii_case(name))
    }

    /// The caller as policy rules see them.
    pub fn credentials(&self) -> Credentials {
        let mut credentials = Credentials {
            user_id: self.user_id.to_string(),
            user_domain_id: self.user_domain.id.to_string(),
            roles: self.roles.iter().map(|role| role.name.to_lowercase()).collect(),
            ..Credentials::default()
        };
        match &self.scope {
            Scope::Unscoped => {}
            Scope::Project { id, domain, .. } => {
                credentials.project_id = Some(id.to_string());
                credentials.project_domain_id = Some(domain.id.to_string());
            }
            Scope::Domain(domain) => credentials.domain_id = Some(domain.id.to_string()),
            Scope::System => credentials.system_scope = Some("all".to_owned()),
        }
        credentials
    }
}
