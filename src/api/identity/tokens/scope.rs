//! What a login asks to be good for: `auth.scope`.

use crate::api::authenticate::required;
use crate::api::identity::login::{Proof, expecting, not_allowed};
use crate::clock::Timestamp;
use crate::cloud::identity::{Project, Scope, Target};
use crate::error::{Error, Result};
use crate::http::call::BodyFault;
use crate::http::json::{Parse, Path};
use crate::http::microversion::Microversion;
use crate::ids::{DomainId, ProjectId};
use crate::store::{Tx, projects, trusts};
use serde_json::Value;

crate::versioned! {
    /// A domain by its id or its name.
    request DomainSpec open {
        "id"   => id: Option<String>,
        "name" => name: Option<String>,
    }
}

crate::versioned! {
    request ProjectSpec open {
        "id"     => id: Option<String>,
        "name"   => name: Option<String>,
        "domain" => domain: Option<DomainSpec>,
    }
}

crate::versioned! {
    request TrustSpec open {
        "id" => id: Option<String>,
    }
}

crate::versioned! {
    request SystemSpec open {
        "all" required => all: bool,
    }
}

impl DomainSpec {
    pub fn find(&self, tx: &mut Tx) -> Result<Option<Project>> {
        match (&self.id, &self.name) {
            (Some(id), _) => projects::domain(tx, &DomainId(id.clone())),
            (None, Some(name)) => projects::domain_by_name(tx, name),
            (None, None) => Err(expecting("id or name", "domain")),
        }
    }

    pub fn counted_as(&self) -> String {
        match (&self.id, &self.name) {
            (Some(id), _) => format!("id {id}"),
            (None, name) => format!("name {}", name.as_deref().unwrap_or_default().to_lowercase()),
        }
    }
}

/// A scope as it was asked for.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// Nothing was said: the user's default project, if that works.
    Default,
    Unscoped,
    Project(ProjectSpec),
    Domain(DomainSpec),
    System,
    /// The id of a trust.
    Trust(String),
}

impl From<Target> for Chosen {
    fn from(target: Target) -> Self {
        match target {
            Target::Project(id) => Self { project_id: Some(id), ..Self::default() },
            Target::Domain(id) => Self { domain_id: Some(id), ..Self::default() },
            Target::System => Self { is_system: true, ..Self::default() },
        }
    }
}

/// A scope as claims name it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    pub project_id: Option<ProjectId>,
    pub domain_id: Option<DomainId>,
    pub is_system: bool,
    pub trust_id: Option<String>,
    /// When the trust runs out.
    pub not_after: Option<Timestamp>,
}

impl Wanted {
    /// Reads `auth.scope`.
    ///
    /// # Errors
    /// `BadRequest` for a scope of no known form.
    pub fn of(scope: Option<&Value>) -> Result<Self> {
        let Some(scope) = scope else { return Ok(Self::Default) };
        if scope == "unscoped" {
            return Ok(Self::Unscoped);
        }
        let malformed = || expecting("project, domain, OS-TRUST:trust or system", "scope");
        let map = scope.as_object().ok_or_else(malformed)?;
        let known = ["project", "domain", "system", "unscoped", "OS-TRUST:trust"];
        let mut named = known.into_iter().filter(|name| map.contains_key(*name));
        let (Some(name), None) = (named.next(), named.next()) else { return Err(malformed()) };
        match name {
            "project" => Ok(Self::Project(part(map, name)?)),
            "domain" => Ok(Self::Domain(part(map, name)?)),
            "system" if part::<SystemSpec>(map, name)?.all => Ok(Self::System),
            "system" => Err(malformed()),
            "unscoped" => Ok(Self::Unscoped),
            _ => part::<TrustSpec>(map, name)?.id.map(Self::Trust).ok_or_else(|| expecting("trust_id", "trust")),
        }
    }

    /// What is asked for, where it is said by its id.
    pub fn target(&self) -> Option<Target> {
        match self {
            Self::Project(ProjectSpec { id: Some(id), .. }) => Some(Target::Project(ProjectId(id.clone()))),
            Self::Domain(DomainSpec { id: Some(id), .. }) => Some(Target::Domain(DomainId(id.clone()))),
            Self::System => Some(Target::System),
            _ => None,
        }
    }

    /// Refuses what nobody gets with such a proof, whatever there is and whatever roles are held.
    ///
    /// # Errors
    /// `Unauthorized` for a scope beside an application credential's, `Forbidden` for one beneath the system's.
    pub fn check_allowed(&self, proof: &Proof) -> Result<()> {
        if proof.bound_to.is_some() && !matches!(self, Self::Default) {
            return Err(Error::Unauthorized("Application credentials cannot request a scope.".to_owned()));
        }
        if matches!(proof.parent_scope, Some(Scope::System)) && matches!(self, Self::Project(_) | Self::Domain(_)) {
            return Err(not_allowed(
                "Using a system-scoped token to create a project-scoped or domain-scoped token is not allowed.",
            ));
        }
        Ok(())
    }

    /// Finds what is asked for. Whether its roles are held is looked at when the claims are resolved.
    ///
    /// # Errors
    /// `Unauthorized` for what isn't there, so that a login can't be used to ask what exists.
    pub fn choose(&self, tx: &mut Tx, proof: &Proof, now: Timestamp) -> Result<Chosen> {
        match self {
            Self::Default => {
                let project_id = proof.bound_to.as_ref().map(|(_, project)| project.clone());
                Ok(Chosen { project_id, ..Chosen::default() })
            }
            Self::Unscoped => Ok(Chosen::default()),
            Self::System => Ok(Chosen { is_system: true, ..Chosen::default() }),
            Self::Domain(domain) => {
                let domain = domain.find(tx)?.ok_or_else(required)?;
                Ok(Chosen { domain_id: Some(DomainId(domain.id.0)), ..Chosen::default() })
            }
            Self::Project(project) => {
                Ok(Chosen { project_id: Some(project_of(tx, project)?.ok_or_else(required)?.id), ..Chosen::default() })
            }
            Self::Trust(id) => {
                let trust = trusts::usable(tx, id, now)?.ok_or_else(required)?;
                Ok(Chosen {
                    project_id: trust.project_id,
                    trust_id: Some(trust.id),
                    not_after: trust.expires_at,
                    ..Chosen::default()
                })
            }
        }
    }
}

fn project_of(tx: &mut Tx, wanted: &ProjectSpec) -> Result<Option<Project>> {
    match (&wanted.id, &wanted.name, &wanted.domain) {
        (Some(id), _, _) => projects::get(tx, &ProjectId(id.clone())),
        (None, Some(name), Some(domain)) => match domain.find(tx)? {
            Some(domain) => projects::by_name(tx, &DomainId(domain.id.0), name),
            None => Ok(None),
        },
        (None, Some(_), None) => Err(expecting("domain", "project")),
        (None, None, _) => Err(expecting("id or name", "project")),
    }
}

fn part<T: Parse>(map: &serde_json::Map<String, Value>, name: &str) -> Result<T> {
    let value = map.get(name).cloned().unwrap_or_default();
    T::parse(value, &Path::Key(&Path::Root, name), Microversion::ANY).map_err(|invalid| {
        use crate::http::table::Dialect;
        crate::api::faults::KEYSTONE.body_fault(&BodyFault::Invalid(invalid))
    })
}
