//! How an answer travels: what was asked for, or a failure that keeps its kind.
//!
//! Above the traits it matters what kind a failure is (a conflict ends a task, a host that is away lets it wait) and which
//! sentence a client is shown, so both travel; causes travel as one text, for the log.

use crate::error::{Error, Kind, with_causes};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::error::Error as _;

/// A failure on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    BadRequest(String),
    Unauthorized(String),
    Forbidden(String),
    NotFound { kind: Kind, id: String },
    Conflict(String),
    OverQuota(String),
    TooLarge(String),
    UnsupportedMediaType(String),
    RangeNotSatisfiable(String),
    MethodNotAllowed(String),
    NotAcceptable(String),
    Gone(String),
    NotImplemented(String),
    TooManyRequests(String),
    Unavailable { what: String, why: String },
    Internal { context: String, why: String },
}

/// What a call is answered with.
pub type Answer<T> = Result<T, Fault>;

// Not `From`: with two conversions between them, `?` could mean either, all over the program.
impl Fault {
    /// The failure, ready to travel.
    pub fn of(error: Error) -> Self {
        let why = error.source().map(with_causes).unwrap_or_default();
        match error {
            Error::BadRequest(text) => Self::BadRequest(text),
            Error::Unauthorized(text) => Self::Unauthorized(text),
            Error::Forbidden(text) => Self::Forbidden(text),
            Error::NotFound { kind, id } => Self::NotFound { kind, id },
            Error::Conflict(text) => Self::Conflict(text),
            Error::OverQuota(text) => Self::OverQuota(text),
            Error::TooLarge(text) => Self::TooLarge(text),
            Error::UnsupportedMediaType(text) => Self::UnsupportedMediaType(text),
            Error::RangeNotSatisfiable(text) => Self::RangeNotSatisfiable(text),
            Error::MethodNotAllowed(text) => Self::MethodNotAllowed(text),
            Error::NotAcceptable(text) => Self::NotAcceptable(text),
            Error::Gone(text) => Self::Gone(text),
            Error::NotImplemented(text) => Self::NotImplemented(text),
            Error::TooManyRequests(text) => Self::TooManyRequests(text),
            Error::Unavailable { what, .. } => Self::Unavailable { what: what.to_owned(), why },
            Error::Internal { context, .. } => Self::Internal { context: context.to_owned(), why },
        }
    }

    /// The failure as it was where it arose.
    pub fn arrived(self) -> Error {
        match self {
            Self::BadRequest(text) => Error::BadRequest(text),
            Self::Unauthorized(text) => Error::Unauthorized(text),
            Self::Forbidden(text) => Error::Forbidden(text),
            Self::NotFound { kind, id } => Error::NotFound { kind, id },
            Self::Conflict(text) => Error::Conflict(text),
            Self::OverQuota(text) => Error::OverQuota(text),
            Self::TooLarge(text) => Error::TooLarge(text),
            Self::UnsupportedMediaType(text) => Error::UnsupportedMediaType(text),
            Self::RangeNotSatisfiable(text) => Error::RangeNotSatisfiable(text),
            Self::MethodNotAllowed(text) => Error::MethodNotAllowed(text),
            Self::NotAcceptable(text) => Error::NotAcceptable(text),
            Self::Gone(text) => Error::Gone(text),
            Self::NotImplemented(text) => Error::NotImplemented(text),
            Self::TooManyRequests(text) => Error::TooManyRequests(text),
            Self::Unavailable { what, why } => Error::unavailable(lasting(&what, "the host"), why),
            Self::Internal { context, why } => Error::internal(lasting(&context, "a host could not do it"), why),
        }
    }
}

/// So many texts of other hosts are kept, and none that is longer.
const TEXTS: usize = 512;
const LONGEST: usize = 200;

/// The text for as long as the process lives: where a failure arose, its context is part of the program. There are as many
/// as the program has; should a host make some up, the bound is reached and `otherwise` stands for the rest.
fn lasting(text: &str, otherwise: &'static str) -> &'static str {
    static KNOWN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut known = KNOWN.lock();
    if let Some(known) = known.get(text) {
        return known;
    }
    if known.len() >= TEXTS || text.len() > LONGEST {
        return otherwise;
    }
    let kept: &'static str = Box::leak(text.to_owned().into_boxed_str());
    known.insert(kept);
    kept
}
