//! What was found out about a token, kept under the identity epoch.
//!
//! The signature of a token stays good until it expires; who its user is and which roles they hold stays good until the
//! epoch moves. Tokens are looked up by their SHA-256, so that the memory of the process holds none of them.

use crate::clock::Timestamp;
use crate::cloud::identity::Caller;
use crate::cloud::token::Claims;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

pub type Digest = [u8; 32];

/// A token that was valid at an epoch.
pub struct Session {
    pub epoch: i64,
    pub claims: Arc<Claims>,
    pub caller: Arc<Caller>,
    /// What `GET /v3/auth/tokens` answers about it, with the catalogue.
    pub rendered: OnceLock<Bytes>,
}

pub struct Sessions {
    most: usize,
    kept: Mutex<HashMap<Digest, Arc<Session>>>,
}

pub fn digest(token: &str) -> Digest {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 is 32 bytes long")
}

impl Sessions {
    pub fn new(most: usize) -> Self {
        Self { most: most.max(1), kept: Mutex::new(HashMap::new()) }
    }

    pub fn get(&self, digest: &Digest) -> Option<Arc<Session>> {
        self.kept.lock().get(digest).cloned()
    }

    pub fn put(&self, digest: Digest, session: Arc<Session>, now: Timestamp) {
        let mut kept = self.kept.lock();
        if kept.len() >= self.most {
            kept.retain(|_, session| session.claims.expires_at() > now);
        }
        if kept.len() >= self.most {
            // Whichever half the map names first: verifying again costs little, bookkeeping on each request would not.
            let mut spared = self.most / 2;
            kept.retain(|_, _| {
                let keep = spared > 0;
                spared = spared.saturating_sub(1);
                keep
            });
        }
        kept.insert(digest, session);
    }

    pub fn forget(&self, digest: &Digest) {
        self.kept.lock().remove(digest);
    }
}
