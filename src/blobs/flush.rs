//! Asking the disk to begin before the end: a large file that goes through the page cache and is synced only when it is
//! whole makes its sender wait for all of it once more.
//!
//! The staged file is opened a second time and synced in the background, one round after the other; the sync that counts
//! is still the store's own, before the rename, and finds little left to do. Whatever fails here, fails there.

use super::Blobs;
use crate::ids::BlobId;
use std::fs::File;
use std::path::PathBuf;
use tokio::task::JoinHandle;

/// How much is written between two rounds.
const ROUND: u64 = 32 << 20;

pub struct Flush {
    /// `None` where the store is no folder that waits for the disk, or is written to directly.
    staged: Option<PathBuf>,
    unsynced: u64,
    running: Option<JoinHandle<()>>,
}

impl Flush {
    pub fn of(blobs: &Blobs, id: BlobId) -> Self {
        // The name object_store gives the first upload of a key; random keys have no second.
        let is_cached = blobs.syncs && !blobs.is_direct;
        let staged = blobs.folder.as_ref().filter(|_| is_cached).map(|folder| folder.join(format!("{id}#1")));
        Self { staged, unsynced: 0, running: None }
    }

    /// So many more bytes were handed to the file.
    pub fn wrote(&mut self, bytes: u64) {
        self.unsynced += bytes;
        let is_idle = self.running.as_ref().is_none_or(JoinHandle::is_finished);
        if let Some(staged) = &self.staged
            && self.unsynced >= ROUND
            && is_idle
        {
            self.unsynced = 0;
            let staged = staged.clone();
            self.running = Some(tokio::task::spawn_blocking(move || {
                let _ = File::open(staged).and_then(|file| file.sync_data());
            }));
        }
    }
}
