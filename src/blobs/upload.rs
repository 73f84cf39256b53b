//! An upload in parts that is either completed or leaves nothing: dropping it halfway aborts it.

use super::digests::Block;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, Result, path::Path};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Parts on their way at once, besides the one that is being gathered.
const PARALLEL: usize = 2;

/// S3 refuses smaller parts, but for the last.
const SMALLEST_PART: u64 = 8 << 20;
/// A store accepts 10,000 parts; some are kept in reserve for sizes that were announced wrongly.
const PARTS: u64 = 9_000;
/// After so many parts of one size, the next are twice as large: without an announced size, 10,000 parts reach 8 TiB.
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
}

impl Upload {
    pub async fn start(store: &Arc<dyn ObjectStore>, key: &Path) -> Result<Self> {
        Ok(Self { parts: Some(store.put_multipart(key).await?), running: JoinSet::new() })
    }

    /// Starts sending a part; waits for earlier ones when too many are on their way.
    pub async fn send(&mut self, part: Block) -> Result<()> {
        while self.running.len() >= PARALLEL {
            self.wait_for_one().await?;
        }
        if let Some(parts) = &mut self.parts {
            self.running.spawn(parts.put_part(part.into_iter().collect::<PutPayload>()));
        }
        Ok(())
    }

    async fn wait_for_one(&mut self) -> Result<()> {
        match self.running.join_next().await {
            None => Ok(()),
            Some(Ok(sent)) => sent,
            Some(Err(source)) => Err(object_store::Error::JoinError { source }),
        }
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
    fn ten_thousand_parts_hold_eight_terabytes_even_unannounced() {
        let total: u64 = (0..10_000).map(|number| part_size(number, None)).sum();
        assert!(total > 7 << 40);
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
