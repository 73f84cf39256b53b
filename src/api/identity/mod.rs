//! The identity service: Keystone v3.
//!
//! Identity's rows belong to no project, so no `Reach` bounds them: every handler loads what it is about and asks the
//! row's own rule about exactly that (`call.cx.permit(&target)`), and lists ask about each item. Start reading at
//! `tokens` for logins.

mod credential_login;
mod desk;
mod failures;
mod hashing;
mod login;
mod scope;
mod seed;
pub mod sessions;
mod settings;
#[cfg(test)]
mod tests;
mod token_view;
mod tokens;
mod versions;

pub use desk::Identity;
pub use seed::{FirstPasswords, seed};
pub use settings::IdentitySettings;

use super::Row;
use super::faults::KEYSTONE;
use crate::http::table::Service;

pub static SERVICE: Service =
    Service { name: "identity", prefix: "/identity", axis: None, dialect: &KEYSTONE, head_as_get: true };

pub fn rows() -> Vec<Row> {
    [versions::rows(), tokens::rows()].into_iter().flatten().collect()
}
