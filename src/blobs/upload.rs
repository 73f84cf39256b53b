//! An upload in parts that is either completed or leaves nothing: dropping it halfway aborts it.
//!
//! A part is kept in memory until the store has it, so [`Lanes`] bound what all uploads to a store have on its way
//! together. Only whole parts wait for a lane: a slow client holds none while its part is gathered.

use super::Blobs;
use super::digests::Block;
use super::direct::Direct;
use crate::ids::BlobId;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload, Result};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

/// S3 refuses smaller parts, but for the last.
const SMALLEST_PART: u64 = 5 << 20;
/// What a lane carries.
const LANE: usize = 512 << 10;

/// What may be on its way to a store at once.
#[derive(Debug)]
pub struct Lanes {
    free: Arc<Semaphore>,
    all: u32,
    /// Parts of one upload, besides the one that is being gathered.
    parts: usize,
}

impl Lanes {
    /// Parts for a folder are small: with a few on their way a disk that is slow to answer has no pause either.
    pub fn to_folder() -> Self {
        Self::new(16 << 20, 4)
    }

    /// The way is long, and several parts fill it.
    pub fn to_bucket() -> Self {
        Self::new(20 << 20, 4)
    }

    fn new(bytes: usize, parts: usize) -> Self {
        let all = bytes / LANE;
        Self { free: Arc::new(Semaphore::new(all)), all: u32::try_from(all).unwrap_or(u32::MAX), parts }
    }

    /// Waits until there is room for a part. One larger than all lanes together takes them all.
    async fn enter(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let wanted = u32::try_from(bytes.div_ceil(LANE)).unwrap_or(u32::MAX).clamp(1, self.all);
        let entered = self.free.clone().acquire_many_owned(wanted).await;
        entered.map_err(|source| object_store::Error::Generic { store: "lanes", source: source.into() })
    }
}

/// A store accepts 10,000 parts; some are kept in reserve for sizes that were announced wrongly.
const PARTS: u64 = 9_000;
/// After so many parts of one size, the next are twice as large: without an announced size, 10,000 parts reach almost
/// 5 TiB.
const PARTS_OF_A_SIZE: u64 = 1_000;

/// How large the part with this number (from 0) shall be, in bytes.
pub fn part_size(number: u64, announced: Option<u64>) -> u64 {
    match announced {
        Some(size) => SMALLEST_PART.max(size.div_ceil(PARTS).next_multiple_of(1 << 20)),
        None => SMALLEST_PART << (number / PARTS_OF_A_SIZE).min(20),
    }
}

pub struct Upload {
    /// `None` once completed or aborted.
    parts: Option<Box<dyn MultipartUpload>>,
    running: JoinSet<Result<()>>,
    lanes: Arc<Lanes>,
}

impl Upload {
    pub async fn start(blobs: &Blobs, id: BlobId) -> Result<Self> {
        let parts: Box<dyn MultipartUpload> = match &blobs.folder {
            Some(folder) if blobs.is_direct => Box::new(Direct::start(folder, id).await?),
            _ => blobs.store.put_multipart(&blobs.key(id)).await?,
        };
        Ok(Self { parts: Some(parts), running: JoinSet::new(), lanes: Arc::clone(&blobs.lanes) })
    }

    /// Starts sending a part; waits for earlier ones when too many are on their way.
    pub async fn send(&mut self, part: Block) -> Result<()> {
        // A part that failed while the client was slow is told now.
        while let Some(sent) = self.running.try_join_next() {
            taken(sent)?;
        }
        while self.running.len() >= self.lanes.parts {
            self.wait_for_one().await?;
        }
        let part = part.into_iter().collect::<PutPayload>();
        let lane = self.lanes.enter(part.content_length()).await?;
        if let Some(parts) = &mut self.parts {
            let sending = parts.put_part(part);
            self.running.spawn(async move {
                let sent = sending.await;
                drop(lane);
                sent
            });
        }
        Ok(())
    }

    async fn wait_for_one(&mut self) -> Result<()> {
        self.running.join_next().await.map_or(Ok(()), taken)
    }

    /// Waits until every part has been taken, so that completing is all that's left.
    pub async fn settle(&mut self) -> Result<()> {
        while !self.running.is_empty() {
            self.wait_for_one().await?;
        }
        Ok(())
    }

    /// Makes the blob appear, whole and durable. If this fails the outcome is unknown: the caller deletes the key.
    pub async fn complete(mut self) -> Result<()> {
        self.settle().await?;
        if let Some(parts) = &mut self.parts {
            parts.complete().await?;
        }
        self.parts = None;
        Ok(())
    }

    /// Removes what was sent.
    pub async fn abort(mut self) {
        self.running.shutdown().await;
        if let Some(parts) = self.parts.take() {
            abort(parts).await;
        }
    }
}

fn taken(sent: std::result::Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
    sent.unwrap_or_else(|source| Err(object_store::Error::JoinError { source }))
}

async fn abort(mut parts: Box<dyn MultipartUpload>) {
    if let Err(error) = parts.abort().await {
        tracing::warn!(error = &error as &dyn std::error::Error, "an unfinished upload could not be removed");
    }
}

impl Drop for Upload {
    /// The client went away: the task that reads from it was dropped where it stood.
    fn drop(&mut self) {
        let (Some(parts), Ok(runtime)) = (self.parts.take(), tokio::runtime::Handle::try_current()) else { return };
        let mut running = std::mem::take(&mut self.running);
        runtime.spawn(async move {
            running.shutdown().await;
            abort(parts).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_hold_almost_five_terabytes_even_unannounced() {
        let total: u64 = (0..10_000).map(|number| part_size(number, None)).sum();
        assert!(total > (5 << 40) / 100 * 97, "{total}");
    }

    #[test]
    fn parts_of_an_announced_size_are_equal_and_few_enough() {
        for size in [0, 1 << 20, 100 << 30, 5 << 40] {
            let part = part_size(0, Some(size));
            assert!(size.div_ceil(part) <= PARTS);
            assert_eq!(part, part_size(9_999, Some(size)));
            assert!(part >= SMALLEST_PART);
        }
    }
}
