//! What a user is on a scope, as a login finds it. Most logins ask for what was asked for before, so it is kept under the
//! identity epoch.
//!
//! Only what hangs on identity's rows alone is kept. What is asked each time: whether the token was taken back, and whether
//! the account has lain idle. What is never kept: logins by trust or application credential, which end by the clock, too.

use crate::api::identity::login::Proof;
use crate::api::identity::tokens::scope::Wanted;
use crate::cloud::identity::{Caller, Target, is_delegating};
use crate::ids::UserId;
use serde_json::{Map, Value};
use std::sync::Arc;

#[derive(Clone)]
pub struct Standing {
    pub caller: Arc<Caller>,
    /// The user's: they say which methods a login needs.
    pub options: Arc<Map<String, Value>>,
}

/// What a standing is kept under.
pub type Key = (UserId, Target);

/// The key of what a login asks for; `None` where it depends on more than rows.
pub fn key(wanted: &Wanted, proof: &Proof) -> Option<Key> {
    let is_own = proof.bound_to.is_none() && !is_delegating(&proof.methods);
    let target = wanted.target().filter(|_| is_own)?;
    Some((proof.user_id.clone(), target))
}
