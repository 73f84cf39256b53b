//! Parts of uploads that are not whole yet: files in a folder of this machine, whatever store the bytes are for.
//!
//! A multipart upload of a bucket would not do: its parts have a least size of some MiB, so what a client had sent of the
//! next one would be lost with the connection, what a dead process left can be listed in S3 alone, and each provider's
//! differs. A file takes any byte, and a sync says what is safe. The price is that bytes are written and read once more on
//! this machine before they go to their store; and that several processes behind one address need the folder in common.

use crate::error::{Error, Result};
use crate::ids::BlobId;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
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

    /// Removes every part that `known` doesn't answer; it is asked after the folder was read, so that what is begun
    /// meanwhile is not taken for left over. How many went.
    pub async fn sweep(&self, known: impl AsyncFnOnce() -> Result<HashSet<BlobId>>) -> Result<usize> {
        let mut entries = match fs::read_dir(&*self.folder).await {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(failed(error)),
        };
        let mut found = Vec::new();
        while let Some(entry) = entries.next_entry().await.map_err(failed)? {
            // What isn't named like a part is somebody else's.
            found.extend(entry.file_name().to_str().and_then(BlobId::parse));
        }
        if found.is_empty() {
            return Ok(0);
        }
        let known = known().await?;
        let mut removed = 0;
        for id in found.into_iter().filter(|id| !known.contains(id)) {
            match fs::remove_file(self.folder.join(id.to_string())).await {
                Ok(()) => removed += 1,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(removed)
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
        assert_eq!(parts.sweep(async || Ok(HashSet::from([kept]))).await.unwrap(), 1);
        assert!(folder.path().join(kept.to_string()).exists() && folder.path().join("notes.txt").exists());
        assert!(!folder.path().join(left.to_string()).exists());
    }
}
