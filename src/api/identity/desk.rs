//! What the identity service keeps in memory between requests.

use super::settings::IdentitySettings;
use crate::api::identity::login::failures::Failures;
use crate::api::identity::login::hashing::Hashing;
use crate::api::identity::login::recall::Recall;
use crate::api::identity::tokens::sessions::Sessions;
use crate::api::identity::tokens::standing::Standing;
use crate::api::identity::under_epoch::UnderEpoch;
use crate::cloud::identity::Target;
use crate::ids::{ProjectId, UserId};
use crate::keys::Keys;
use crate::metrics::Metrics;
use crate::vault::Vault;
use std::sync::Arc;

/// Catalogues kept; each takes some kilobytes.
const CATALOGS: usize = 256;
/// Standings kept; each takes about one.
const STANDINGS: usize = 1024;

pub struct Identity {
    pub settings: IdentitySettings,
    pub keys: Keys,
    /// Seals credentials and receipts.
    pub vault: Arc<Vault>,
    pub hashing: Hashing,
    pub recall: Recall,
    pub failures: Failures,
    pub sessions: Sessions,
    /// A project's catalogue as JSON: every login shows it, and few logins change it. Under `None`, that of tokens which
    /// are scoped to no project.
    pub catalogs: UnderEpoch<Option<ProjectId>, Arc<str>>,
    pub standings: UnderEpoch<(UserId, Target), Standing>,
}

impl Identity {
    pub fn new(settings: IdentitySettings, keys: Keys, vault: Arc<Vault>, metrics: &Metrics) -> Self {
        Self {
            hashing: Hashing::new(
                settings.argon2,
                settings.hash_workers,
                settings.hash_queue,
                metrics.password_hashes(),
            ),
            recall: Recall::new(settings.remembered_logins),
            failures: Failures::new(
                settings.failures_per_user,
                settings.failures_per_address,
                settings.failure_seconds,
            ),
            sessions: Sessions::new(settings.remembered_tokens),
            catalogs: UnderEpoch::new(CATALOGS),
            standings: UnderEpoch::new(STANDINGS),
            keys,
            vault,
            settings,
        }
    }
}
