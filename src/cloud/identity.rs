//! Identity's nouns, and the caller as every service sees them.

use crate::clock::Timestamp;
use crate::cloud::access_rules::AccessRule;
use crate::cloud::policy::Credentials;
use crate::ids::{DomainId, GroupId, ProjectId, RoleId, UserId};
use serde_json::{Map, Value};

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

/// An application credential as tokens name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationCredentialRef {
    pub id: String,
    pub name: String,
    /// May not make or delete application credentials.
    pub restricted: bool,
    /// The requests it is good for; when there are none, every request.
    pub access_rules: Vec<AccessRule>,
    /// The types of the services in the catalogue, when there are rules: a rule for another service fits nothing.
    pub service_types: Vec<String>,
}

/// What one user lets another do in their place, on one project.
#[derive(Debug, Clone, PartialEq)]
pub struct Trust {
    pub id: String,
    pub trustor_user_id: UserId,
    pub trustee_user_id: UserId,
    /// `None`: upstream takes such a trust, and no token can be got with it.
    pub project_id: Option<ProjectId>,
    /// Does the trustee go by the trustor's name?
    pub impersonation: bool,
    pub role_ids: Vec<RoleId>,
    pub expires_at: Option<Timestamp>,
    /// Tokens that may still be got with it; `None`: any number.
    pub remaining_uses: Option<i64>,
    pub extra: Map<String, Value>,
}

/// A trust as tokens name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustRef {
    pub id: String,
    pub trustor_user_id: UserId,
    pub trustee_user_id: UserId,
    pub impersonation: bool,
}

/// A project, or a domain: upstream's domains are projects that act as one.
#[derive(Debug, Clone, PartialEq)]
pub struct Project {
    pub id: ProjectId,
    /// `None` for a domain.
    pub domain_id: Option<DomainId>,
    /// A project at the top has its domain for a parent; `None` for a domain.
    pub parent_id: Option<ProjectId>,
    pub is_domain: bool,
    pub name: String,
    pub description: String,
    pub enabled: bool,
    pub tags: Vec<String>,
    pub options: Map<String, Value>,
    /// Attributes that upstream has no name for, kept and shown as they came.
    pub extra: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct User {
    pub id: UserId,
    pub domain_id: DomainId,
    pub name: String,
    pub enabled: bool,
    pub default_project_id: Option<ProjectId>,
    pub description: Option<String>,
    pub email: Option<String>,
    pub password_expires_at: Option<Timestamp>,
    /// When they last proved their password, or were made: how long an account lies idle is counted from here.
    pub active_at: Option<Timestamp>,
    pub options: Map<String, Value>,
    pub extra: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    pub id: GroupId,
    pub domain_id: DomainId,
    pub name: String,
    pub description: String,
    pub extra: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Role {
    pub id: RoleId,
    /// `None`: a role for every domain.
    pub domain_id: Option<DomainId>,
    pub name: String,
    pub description: Option<String>,
    pub options: Map<String, Value>,
    pub extra: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    pub id: String,
    pub parent_region_id: Option<String>,
    pub description: String,
    pub extra: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    pub id: String,
    pub kind: String,
    pub name: Option<String>,
    pub description: Option<String>,
    pub enabled: bool,
    pub extra: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    pub id: String,
    pub service_id: String,
    pub region_id: Option<String>,
    pub interface: String,
    /// May hold `$(public_url)s`, `%(project_id)s` and their like; [`super::endpoint_url`] puts values in.
    pub url: String,
    pub enabled: bool,
    pub name: Option<String>,
    pub extra: Map<String, Value>,
}

/// A document of rules, kept for others.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    pub id: String,
    /// A media type.
    pub kind: String,
    pub blob: Value,
    pub extra: Map<String, Value>,
}

/// What a policy can be associated with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyPlace {
    Endpoint(String),
    /// In every region, or in one and those below it.
    Service {
        service: String,
        region: Option<String>,
    },
}

/// Endpoints that have something in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointGroup {
    pub id: String,
    pub name: String,
    pub description: Option<String>,
    /// What they have in common (`interface`, `service_id`, `region_id`); what is not said does not matter.
    pub filters: Map<String, Value>,
}

impl EndpointGroup {
    pub fn has(&self, endpoint: &Endpoint) -> bool {
        self.filters.iter().all(|(name, wanted)| match name.as_str() {
            "interface" => wanted.as_str() == Some(&endpoint.interface),
            "service_id" => wanted.as_str() == Some(&endpoint.service_id),
            "region_id" => wanted.as_str() == endpoint.region_id.as_deref(),
            _ => false,
        })
    }
}

/// Who holds a role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Actor {
    User(UserId),
    Group(GroupId),
}

/// What a role is held on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    Project(ProjectId),
    Domain(DomainId),
    System,
}

/// Who holds which role on what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Assignment {
    pub role_id: RoleId,
    pub actor: Actor,
    pub target: Target,
    /// Holds below the target and not on it.
    pub inherited: bool,
}

/// Names are unique and found without regard to case; accents count.
pub fn name_key(name: &str) -> String {
    name.to_lowercase()
}

/// Who asks: what a valid token stands for, with names and roles as they are now, not as they were when it was issued. All
/// tokens that one user got for one scope in the same ways stand for the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub user_id: UserId,
    pub user_name: String,
    pub user_domain: DomainRef,
    pub password_expires_at: Option<Timestamp>,
    /// The application credential that the token was got with.
    pub application_credential: Option<ApplicationCredentialRef>,
    /// The trust that the token was got with; `user_id` is then the trustor, if the trustee goes by their name.
    pub trust: Option<TrustRef>,
    pub scope: Scope,
    /// Effective: assigned, inherited and implied.
    pub roles: Vec<RoleRef>,
    /// Was the token got by a method with which users don't show that it is they? See [`is_delegating`].
    pub uses_delegated_method: bool,
}

/// The methods by which users show that it is they. Whatever else a token says was delegated.
const PRIMARY_METHODS: [&str; 3] = ["password", "token", "totp"];

/// Was a token with these methods got with anything but the user's own proof? Decided on how it came to be, which nothing
/// can change later, and never on its scope.
pub fn is_delegating(methods: &[String]) -> bool {
    methods.is_empty() || methods.iter().any(|method| !PRIMARY_METHODS.contains(&method.as_str()))
}

impl Caller {
    /// Does somebody else's word let the caller in, a trust's or an application credential's?
    pub fn is_delegated(&self) -> bool {
        self.trust.is_some() || self.uses_delegated_method
    }

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
