//! Deleting what crashes left behind, and refusing to when the list of what to keep looks wrong.
//!
//! Others lost every customer's data to a clean-up that was given an empty list. So nothing is deleted when no listed
//! blob is known, or when more would be deleted than kept; an operator then looks first.

use super::{Blobs, failure};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::ids::BlobId;
use futures::TryStreamExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// So many orphans may go without regard to their share: a small store has few blobs to compare with.
const FEW: usize = 10;

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Blobs that are named by a row, or too young to judge.
    pub kept: usize,
    /// Whole blobs that no row named.
    pub deleted: usize,
    /// Staged files, or parts in a bucket, of uploads that ended without a word.
    pub staged: usize,
}

impl Swept {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self { kept: self.kept + other.kept, deleted: self.deleted + other.deleted, staged: self.staged + other.staged }
    }
}

impl Blobs {
    /// Deletes blobs that aren't `known` and staged files, if last written more than `age` before `now`.
    pub async fn sweep(&self, known: &(dyn Fn(BlobId) -> bool + Sync), age: Duration, now: Timestamp) -> Result<Swept> {
        let before = now.0 - i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
        let mut swept = Swept::default();
        let mut orphans = Vec::new();
        let mut listed_and_known = 0;
        let nobody = BlobId(uuid::Uuid::nil());
        let mut list = self.store.list(Some(&self.prefix));
        while let Some(meta) = list.try_next().await.map_err(|error| failure(nobody, error))? {
            // What isn't named like a blob is somebody else's.
            let id = meta.location.filename().and_then(BlobId::parse);
            let Some(id) = id.filter(|id| self.key(*id) == meta.location) else { continue };
            if known(id) {
                listed_and_known += 1;
            } else if meta.last_modified.timestamp_micros() < before {
                orphans.push(id);
                continue;
            }
            swept.kept += 1;
        }
        refuse_too_many(orphans.len(), listed_and_known, "image blobs")?;
        for id in orphans {
            self.delete(id).await?;
            swept.deleted += 1;
        }
        if let Some(folder) = self.folder.clone() {
            let removed = tokio::task::spawn_blocking(move || remove_staged(&folder, before)).await;
            swept.staged = removed
                .map_err(|error| Error::internal("The sweep stopped", error))?
                .map_err(|error| Error::unavailable("The image store", error))?;
        }
        swept.staged += self.abort_uploads(self.prefix.as_ref(), |begun| begun.at.0 < before).await;
        Ok(swept)
    }

    /// Removes what uploads that are over have staged, however young: for the start of the only process that uploads, when
    /// none can be under way. A bucket that is away keeps them until a sweep. How many there were.
    pub async fn forget_uploads(&self) -> Result<usize> {
        let Some(folder) = self.folder.clone() else {
            return Ok(self.abort_uploads(self.prefix.as_ref(), |_| true).await);
        };
        tokio::task::spawn_blocking(move || remove_staged(&folder, i64::MAX))
            .await
            .map_err(|error| Error::internal("The image store could not be tidied", error))?
            .map_err(|error| Error::unavailable("The image store", error))
    }
}

/// Looks the list of what to keep wrong?
///
/// # Errors
/// `Conflict` when it does.
pub(super) fn refuse_too_many(orphans: usize, named: usize, what: &str) -> Result<()> {
    if orphans > 0 && named == 0 || orphans > FEW.max(named) {
        return Err(Error::conflict(format!(
            "Refusing to delete {orphans} {what} that no row names while only {named} are named"
        )));
    }
    Ok(())
}

/// Removes `{id}#{n}` files last written before a time in microseconds. They were never acknowledged to anybody.
fn remove_staged(folder: &Path, before: i64) -> std::io::Result<usize> {
    let mut removed = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_staged = name.to_str().and_then(|name| name.split_once('#')).is_some_and(|(id, number)| {
            BlobId::parse(id).is_some() && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        });
        if !is_staged {
            continue;
        }
        let written = entry.metadata()?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        if i64::try_from(written.as_micros()).unwrap_or(i64::MAX) < before {
            std::fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}
