//! What handlers share: the program's parts, opened once at start.

use super::identity::Identity;
use super::image::ImageSettings;
use crate::audit::Audit;
use crate::blobs::Stores;
use crate::clock::Clock;
use crate::cloud::blank_disks;
use crate::cloud::placement;
use crate::cloud::policy::Policy;
use crate::cloud::segment::Mtus;
use crate::metrics::Metrics;
use crate::store::Db;
use crate::tasks::overdue::Waits;
use crate::tasks::{Fleet, Importing, Runner};
use std::sync::Arc;

/// The program's parts. Everything in it is cheap to share and safe to use from many requests at once.
pub struct State {
    pub db: Db,
    pub clock: Clock,
    pub policy: Policy,
    /// What clients reach us by, without a trailing slash; links, version documents and the catalogue begin with it.
    pub public_url: String,
    pub region: String,
    /// This machine's name.
    pub machine: String,
    /// The bytes of images.
    pub stores: Stores,
    pub images: ImageSettings,
    pub hosts: Fleet,
    /// Woken after a transaction that made a task.
    pub runner: Runner,
    pub metrics: Arc<Metrics>,
    /// Where every change of identity and every login is told.
    pub audit: Audit,
    /// Do identity's limits hold for compute and images?
    pub unified_limits: bool,
    /// After how long what nobody decides about a server is decided.
    pub waits: Waits,
    /// What servers may have of disks besides their own.
    pub local_disks: blank_disks::Rules,
    /// What packets of guests may have, so that they reach guests on other hosts.
    pub mtus: Mtus,
    /// By what servers get their places.
    pub placement: Arc<placement::Rules>,
    /// Token keys, password hashing, what is remembered of tokens.
    pub identity: Identity,
}

impl State {
    /// What imports go by.
    pub fn importing(&self) -> Importing {
        Importing { rules: self.images.imports(self.limits_region()), vault: self.identity.vault.clone() }
    }

    /// The region whose registered limits hold for compute and images; `None` where they don't.
    pub fn limits_region(&self) -> Option<String> {
        self.unified_limits.then(|| self.region.clone())
    }
}
