//! What handlers share: the program's parts, opened once at start.

use crate::clock::Clock;
use crate::cloud::policy::Policy;
use crate::store::Db;

/// The program's parts. Everything in it is cheap to share and safe to use from many requests at once.
pub struct State {
    pub db: Db,
    pub clock: Clock,
    pub policy: Policy,
    /// What clients reach us by, without a trailing slash; links, version documents and the catalogue begin with it.
    pub public_url: String,
    pub region: String,
}
