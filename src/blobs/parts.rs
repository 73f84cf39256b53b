//! Parts of uploads that are not whole yet: files in a folder of this machine, whatever store the bytes are for.
//!
//! A multipart upload of a bucket would not do: its parts have a least size of some MiB, so what a client had sent of the
//! next one would be lost with the connection, what a dead process left can be listed in S3 alone, and each provider's
//! differs. A file takes any byte, and a sync says what is safe. The price is that bytes are written and read once more on
//! this machine before they go to their store; and that several processes behind one address need the folder in common.

use super::sweep::refuse_too_many;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::ids::BlobId;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const CHUNK: usize = 512 << 10;

/// The folder. Cheap to clone; made when it is first written to.
#[derive(Debug, Clone)]
pub struct Parts {
    folder: Arc<PathBuf>,
}

/// A part that is being written.
pub struct Part {
    file: File,
    /// Not yet handed to the file.
    gathered: Vec<u8>,
}

impl Parts {
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: Arc::new(folder.into()) }
    }

    /// Begins a part under a name that nothing has.
    pub async fn create(&self, id: BlobId) -> Result<Part> {
        fs::create_dir_all(&*self.folder).await.map_err(failed)?;
        let file = File::create_new(self.folder.join(id.to_string())).await.map_err(failed)?;
        // The name has to outlast a power cut as well as the bytes.
        File::open(&*self.folder).await.map_err(failed)?.sync_all().await.map_err(failed)?;
        Ok(Part { file, gathered: Vec::new() })
    }

    /// The bytes of these parts, one after the other: of each the first so many.
    pub fn read(&self, parts: Vec<(BlobId, u64)>) -> BoxStream<'static, Result<Bytes>> {
        let folder = Arc::clone(&self.folder);
        let files = stream::iter(parts).map(Ok::<_, Error>).and_then(move |(id, size)| {
            let path = folder.join(id.to_string());
            async move {
                let file = File::open(path).await.map_err(failed)?;
                Ok(stream::try_unfold((file, size), |(mut file, left)| async move {
                    if left == 0 {
                        return Ok(None);
                    }
                    let mut chunk = vec![0; CHUNK.min(usize::try_from(left).unwrap_or(CHUNK))];
                    file.read_exact(&mut chunk).await.map_err(failed)?;
                    let left = left - chunk.len() as u64;
                    Ok(Some((Bytes::from(chunk), (file, left))))
                }))
            }
        });
        files.try_flatten().boxed()
    }

    /// Removes a part that nobody needs. Already gone is done.
    pub async fn remove(&self, id: BlobId) -> Result<()> {
        match fs::remove_file(self.folder.join(id.to_string())).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        }
    }

    /// Removes parts that `known` doesn't answer and that were last written before a time: what crashes left behind. It is
    /// asked after the folder was read, so that what is begun meanwhile is not taken for left over. Like the sweep of blobs
    /// it removes nothing when the list of what to keep can't be had or looks wrong. How many went.
    ///
    /// # Errors
    /// The list's; `Conflict` when it looks wrong, and an operator has to look.
    pub async fn sweep(
        &self,
        known: impl AsyncFnOnce() -> Result<HashSet<BlobId>>,
        before: Timestamp,
    ) -> Result<usize> {
        let mut entries = match fs::read_dir(&*self.folder).await {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(failed(error)),
        };
        let mut found = Vec::new();
        while let Some(entry) = entries.next_entry().await.map_err(failed)? {
            // What isn't named like a part is somebody else's.
            let Some(id) = entry.file_name().to_str().and_then(BlobId::parse) else { continue };
            match entry.metadata().await.and_then(|about| about.modified()) {
                Ok(written) => found.push((id, written)),
                // Removed by its name meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
        if found.is_empty() {
            return Ok(0);
        }
        let known = known().await?;
        let named = found.iter().filter(|(id, _)| known.contains(id)).count();
        let is_old = |written: SystemTime| {
            let age = written.duration_since(UNIX_EPOCH).unwrap_or_default();
            i64::try_from(age.as_micros()).unwrap_or(i64::MAX) < before.0
        };
        let unnamed = found.into_iter().filter(|(id, written)| !known.contains(id) && is_old(*written));
        let orphans: Vec<_> = unnamed.map(|(id, _)| id).collect();
        refuse_too_many(orphans.len(), named, "parts of uploads")?;
        for id in &orphans {
            self.remove(*id).await?;
        }
        Ok(orphans.len())
    }
}

impl Part {
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= CHUNK { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<()> {
        self.file.write_all(&self.gathered).await.map_err(failed)?;
        self.gathered.clear();
        Ok(())
    }

    /// Everything written so far is on the disk when this answers.
    pub async fn sync(&mut self) -> Result<()> {
        self.flush().await?;
        self.file.flush().await.map_err(failed)?;
        self.file.sync_data().await.map_err(failed)
    }
}

fn failed(error: std::io::Error) -> Error {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    if matches!(error.kind(), StorageFull | QuotaExceeded) {
        return Error::TooLarge("Image storage media is full".to_owned());
    }
    Error::unavailable("The folder of unfinished uploads", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever there is was written before.
    const LATER: Timestamp = Timestamp(i64::MAX);

    async fn whole(parts: &Parts, list: Vec<(BlobId, u64)>) -> Result<Vec<u8>> {
        let pieces: Vec<Bytes> = parts.read(list).try_collect().await?;
        Ok(pieces.concat())
    }

    #[tokio::test]
    async fn parts_are_read_one_after_the_other_and_only_as_far_as_they_count() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::in_folder(folder.path().join("made"));
        let (one, two) = (BlobId::random(), BlobId::random());
        let mut part = parts.create(one).await.unwrap();
        part.write(&vec![1; CHUNK + 3]).await.unwrap();
        part.sync().await.unwrap();
        let mut part = parts.create(two).await.unwrap();
        part.write(b"not all of this").await.unwrap();
        part.sync().await.unwrap();
        let read = whole(&parts, vec![(one, CHUNK as u64 + 3), (two, 3)]).await.unwrap();
        assert_eq!(read, [vec![1; CHUNK + 3], b"not".to_vec()].concat());
        assert!(whole(&parts, vec![(two, 99)]).await.is_err(), "a part that is shorter than it should be is no part");
        assert!(whole(&parts, vec![(BlobId::random(), 1)]).await.is_err());
        assert!(parts.create(one).await.is_err(), "nothing is written over");
    }

    #[tokio::test]
    async fn a_sweep_removes_parts_that_nobody_names_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::in_folder(folder.path());
        let (kept, left) = (BlobId::random(), BlobId::random());
        for id in [kept, left] {
            parts.create(id).await.unwrap();
        }
        std::fs::write(folder.path().join("notes.txt"), b"an operator's").unwrap();
        assert_eq!(parts.sweep(async || Ok(HashSet::from([kept])), LATER).await.unwrap(), 1);
        assert!(folder.path().join(kept.to_string()).exists() && folder.path().join("notes.txt").exists());
        assert!(!folder.path().join(left.to_string()).exists());
        parts.remove(left).await.unwrap();
        parts.remove(kept).await.unwrap();
        assert!(!folder.path().join(kept.to_string()).exists());
    }

    #[tokio::test]
    async fn a_sweep_without_a_list_that_can_be_believed_or_of_what_is_young_removes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::in_folder(folder.path());
        let ids: Vec<_> = (0..15).map(|_| BlobId::random()).collect();
        for id in &ids {
            parts.create(*id).await.unwrap();
        }
        let all = || std::fs::read_dir(folder.path()).unwrap().count();
        let named = |count: usize| ids[..count].iter().copied().collect::<HashSet<_>>();
        assert!(parts.sweep(async || Ok(HashSet::new()), LATER).await.is_err(), "an emptied database");
        assert!(parts.sweep(async || Ok(HashSet::from([BlobId::random()])), LATER).await.is_err(), "another's");
        assert!(parts.sweep(async || Err(Error::internal("reading", "failed")), LATER).await.is_err());
        assert!(parts.sweep(async || Ok(named(3)), LATER).await.is_err(), "twelve of fifteen");
        assert_eq!(parts.sweep(async || Ok(named(8)), Timestamp(1)).await.unwrap(), 0, "too young to judge");
        assert_eq!(all(), 15);
        assert_eq!(parts.sweep(async || Ok(named(8)), LATER).await.unwrap(), 7);
        assert_eq!(all(), 8);
    }
}
