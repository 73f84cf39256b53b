//! What an operator may set about logins and tokens.

use crate::cloud::password::Recipe;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdentitySettings {
    /// How long a token lives, in seconds.
    pub token_seconds: i64,
    /// Hashes computed at the same time; each takes `argon2.memory`.
    pub hash_workers: usize,
    /// Logins that may wait for a worker; one more is answered 503.
    pub hash_queue: usize,
    /// Failed logins after which a user has to wait, within `failure_seconds`. 0: no bound.
    pub failures_per_user: usize,
    /// The same for one address.
    pub failures_per_address: usize,
    /// Seconds.
    pub failure_seconds: i64,
    /// Users whose verified password is recognised for a minute without another hash. 0: none; `SECURITY.md` says what it
    /// gives away.
    pub remembered_logins: usize,
    /// Tokens whose verdict is remembered.
    pub remembered_tokens: usize,
    /// Passcodes of so many periods of 30 seconds before the present one are taken too.
    pub totp_previous_windows: u32,
    /// How long the receipt of a login that lacks a method lives, in seconds.
    pub receipt_seconds: i64,
    /// How expensive a password's hash is; hashes made with other values are made anew at the next login.
    pub argon2: Recipe,
}

impl Default for IdentitySettings {
    fn default() -> Self {
        Self {
            token_seconds: 3600,
            hash_workers: 2,
            hash_queue: 64,
            failures_per_user: 20,
            failures_per_address: 200,
            failure_seconds: 60,
            remembered_logins: 4096,
            remembered_tokens: 4096,
            totp_previous_windows: 1,
            receipt_seconds: 300,
            argon2: Recipe::default(),
        }
    }
}
