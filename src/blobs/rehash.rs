//! Reading a blob again from its first byte to its last, to see whether it still is what it was.

use super::Blobs;
use super::digests::{Digests, Sums};
use crate::error::{Error, Result};
use crate::ids::BlobId;
use futures::TryStreamExt;

impl Blobs {
    /// Size and hashes of what is stored now; `None` when it isn't there.
    ///
    /// # Errors
    /// `Unavailable` when it can't be read to its end.
    pub async fn rehash(&self, id: BlobId) -> Result<Option<(u64, Sums)>> {
        let mut stream = match self.get(id, None).await {
            Ok(stream) => stream,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let digests = Digests::start();
        let mut size = 0;
        while let Some(chunk) = stream.try_next().await? {
            size += chunk.len() as u64;
            digests.update(vec![chunk]).await;
        }
        let sums = digests.finish().await;
        let sums = sums.ok_or_else(|| Error::internal("The image could not be hashed", "a hashing thread died"))?;
        Ok(Some((size, sums)))
    }
}
