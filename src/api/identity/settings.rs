//! What an operator may set about logins and tokens.

use crate::cloud::compliance::SecurityCompliance;
use crate::cloud::password::{self, Recipe};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

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
    /// Things in a list that does not say how many it wants. 0: as many as `max_db_limit` allows.
    pub list_limit: usize,
    /// Things in a list at most. 0: no bound.
    pub max_db_limit: usize,
    /// Levels of projects below a domain.
    pub max_project_tree_depth: usize,
    /// Bytes of a password at most; 4096 is the most that can be set.
    pub max_password_length: usize,
    pub security_compliance: SecurityCompliance,
    /// How often those who verify tokens by themselves are to read the feed of revocations, in seconds.
    pub feed_seconds: i64,
    /// Keep what domains are configured with for drivers Gapura lacks, though nothing reads it.
    pub keep_foreign_domain_config: bool,
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
            list_limit: 0,
            max_db_limit: 1000,
            max_project_tree_depth: 5,
            max_password_length: password::LONGEST,
            security_compliance: SecurityCompliance::default(),
            feed_seconds: 10,
            keep_foreign_domain_config: false,
            argon2: Recipe::default(),
        }
    }
}

impl IdentitySettings {
    /// Refuses what can't be meant.
    ///
    /// # Errors
    /// `BadRequest` with a sentence for the operator.
    pub fn check(&self) -> Result<()> {
        if !(1..=password::LONGEST).contains(&self.max_password_length) {
            return Err(Error::bad_request(format!("identity.max_password_length is from 1 to {}", password::LONGEST)));
        }
        self.security_compliance.check()
    }

    /// The password rules that everybody may read of the default domain.
    pub fn shown_compliance(&self) -> Map<String, Value> {
        let rules = &self.security_compliance;
        [("password_regex", &rules.password_regex), ("password_regex_description", &rules.password_regex_description)]
            .map(|(name, text)| (name.to_owned(), if text.is_empty() { Value::Null } else { json!(text) }))
            .into_iter()
            .collect()
    }
}
