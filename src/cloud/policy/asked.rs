//! What a rule is asked about: who asks, with what scope, and on what.

use std::collections::HashMap;

/// Who asks, as rules see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    pub user_id: String,
    pub user_domain_id: String,
    pub project_id: Option<String>,
    pub project_domain_id: Option<String>,
    pub domain_id: Option<String>,
    /// `all` for a token scoped to the system.
    pub system_scope: Option<String>,
    /// Names, lower case.
    pub roles: Vec<String>,
}

impl Credentials {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        match name {
            "user_id" | "user.id" => Some(&self.user_id),
            "user_domain_id" | "user.domain_id" => Some(&self.user_domain_id),
            "project_id" | "tenant" | "tenant_id" | "token.project.id" => self.project_id.as_deref(),
            "project_domain_id" | "token.project.domain.id" => self.project_domain_id.as_deref(),
            "domain_id" | "token.domain.id" => self.domain_id.as_deref(),
            "system_scope" => self.system_scope.as_deref(),
            "is_admin" => Some(if self.roles.iter().any(|role| role == "admin") { "True" } else { "False" }),
            _ => None,
        }
    }
}

/// What a token may be about. A token without scope counts as one of a project, as upstream has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopeKind {
    System,
    Domain,
    Project,
}

impl Credentials {
    pub(super) fn scope_kind(&self) -> ScopeKind {
        match (&self.system_scope, &self.domain_id) {
            (Some(_), _) => ScopeKind::System,
            (None, Some(_)) => ScopeKind::Domain,
            (None, None) => ScopeKind::Project,
        }
    }
}

/// What is acted on, as rules see it: dotted names to values (`target.user.domain_id`, `project_id`, `visibility`).
#[derive(Debug, Clone, Default)]
pub struct Target(pub(super) HashMap<String, String>);

impl Target {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.0.insert(name.to_owned(), value.to_string());
        self
    }

    /// Adds the value when there is one; a missing one reads as upstream's `None`.
    pub fn with_option(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self.with(name, "None"),
        }
    }
}
