//! The kinds of failure that every layer speaks.
//!
//! A variant is something a caller can act on; its text is for the client, in the words the OpenStack service would use.
//! Causes stay in `source`, for the log. Which status and JSON shape a kind gets is decided at the edge, by each
//! service's dialect (`api/faults.rs`), because the same kind reads differently in Keystone, Nova, Glance and Neutron.

use serde::{Deserialize, Serialize};
use std::error::Error as StdError;

pub type Result<T, E = Error> = std::result::Result<T, E>;
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// What kind of thing a failure is about; decides the sentence and, for Neutron, the type name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    Domain,
    Project,
    User,
    Group,
    Role,
    RoleAssignment,
    Region,
    Service,
    Endpoint,
    Credential,
    ApplicationCredential,
    AccessRule,
    Trust,
    RegisteredLimit,
    Limit,
    Policy,
    EndpointGroup,
    Token,
    Image,
    ImageMember,
    Server,
    Flavor,
    Keypair,
    Hypervisor,
    ComputeService,
    Aggregate,
    ServerGroup,
    Network,
    Subnet,
    Port,
    Task,
    Blob,
    /// A part of another thing (a tag, a metadata item, a user's key pair): its `id` is the whole sentence.
    Part,
    Page,
}

impl Kind {
    /// The sentence upstream says when a thing of this kind is not there (or is beyond the caller's reach).
    pub fn not_found(self, id: &str) -> String {
        match self {
            Self::Domain => format!("Could not find domain: {id}."),
            Self::Project => format!("Could not find project: {id}."),
            Self::User => format!("Could not find user: {id}."),
            Self::Group => format!("Could not find group: {id}."),
            Self::Role => format!("Could not find role: {id}."),
            Self::RoleAssignment => format!("Could not find role assignment with {id}."),
            Self::Region => format!("Could not find region: {id}."),
            Self::Service => format!("Could not find service: {id}."),
            Self::Endpoint => format!("Could not find endpoint: {id}."),
            Self::Credential => format!("Could not find credential: {id}."),
            Self::ApplicationCredential => format!("Could not find Application Credential: {id}."),
            Self::AccessRule => format!("Could not find Access Rule: {id}."),
            Self::Trust => format!("Could not find trust: {id}."),
            Self::RegisteredLimit => format!("Could not find registered limit for {id}."),
            Self::Limit => format!("Could not find limit for {id}."),
            Self::Policy => format!("Could not find policy: {id}."),
            Self::EndpointGroup => format!("Could not find Endpoint Group: {id}."),
            Self::Token => "Failed to validate token".to_owned(),
            Self::Image => format!("No image found with ID {id}"),
            Self::ImageMember => format!("Member {id} not found"),
            Self::Server => format!("Instance {id} could not be found."),
            Self::Flavor => format!("Flavor {id} could not be found."),
            Self::Keypair => format!("Keypair {id} not found for user"),
            Self::Hypervisor => format!("Hypervisor with ID '{id}' could not be found."),
            Self::ComputeService => format!("Service {id} could not be found."),
            Self::Aggregate => format!("Aggregate {id} could not be found."),
            Self::ServerGroup => format!("Instance group {id} could not be found."),
            Self::Network => format!("Network {id} could not be found."),
            Self::Subnet => format!("Subnet {id} could not be found."),
            Self::Port => format!("Port {id} could not be found."),
            Self::Task => format!("Task {id} could not be found."),
            Self::Blob => format!("Blob {id} could not be found."),
            Self::Part => id.to_owned(),
            Self::Page => "The resource could not be found.".to_owned(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request can't be understood or breaks a rule of form.
    #[error("{0}")]
    BadRequest(String),
    /// Who asks is not known. The text is only shown where upstream shows one.
    #[error("{0}")]
    Unauthorized(String),
    /// Who asks is known and may not. Said only of what the caller may know to exist.
    #[error("{0}")]
    Forbidden(String),
    /// Also said of what exists beyond the caller's reach: existence is information.
    #[error("{}", .kind.not_found(.id))]
    NotFound { kind: Kind, id: String },
    /// What is asked for collides with what is there.
    #[error("{0}")]
    Conflict(String),
    /// A limit on what a project or user may hold.
    #[error("{0}")]
    OverQuota(String),
    #[error("{0}")]
    TooLarge(String),
    #[error("{0}")]
    UnsupportedMediaType(String),
    #[error("{0}")]
    RangeNotSatisfiable(String),
    #[error("{0}")]
    MethodNotAllowed(String),
    /// A microversion outside what is served.
    #[error("{0}")]
    NotAcceptable(String),
    #[error("{0}")]
    Gone(String),
    /// What upstream has and Gapura has not built; the text says so.
    #[error("{0}")]
    NotImplemented(String),
    /// Too many at once, from one address or for one user.
    #[error("{0}")]
    TooManyRequests(String),
    /// Worth retrying: a host, the store or a queue is away or full.
    #[error("{what} is not available")]
    Unavailable {
        what: &'static str,
        #[source]
        source: BoxError,
    },
    /// A fault of ours. The client sees none of it.
    #[error("{context}")]
    Internal {
        context: &'static str,
        #[source]
        source: BoxError,
    },
}

impl Error {
    pub fn not_found(kind: Kind, id: impl ToString) -> Self {
        Self::NotFound { kind, id: id.to_string() }
    }

    pub fn bad_request(text: impl Into<String>) -> Self {
        Self::BadRequest(text.into())
    }

    pub fn conflict(text: impl Into<String>) -> Self {
        Self::Conflict(text.into())
    }

    pub fn unavailable(what: &'static str, source: impl Into<BoxError>) -> Self {
        Self::Unavailable { what, source: source.into() }
    }

    pub fn internal(context: &'static str, source: impl Into<BoxError>) -> Self {
        Self::Internal { context, source: source.into() }
    }

    /// Is the same request likely to succeed later, unchanged?
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::TooManyRequests(_))
    }

    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

/// The error with its causes, for a log line.
pub fn with_causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
