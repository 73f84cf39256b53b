//! Writing an upload to a folder past the page cache.
//!
//! What is written through the cache is copied there page by page, accounted, and written back while its sender waits for
//! just that; few read an image in the minute after it came. On the machine where this was measured the cache costs a
//! processor's second for each GiB, the disk itself a tenth of one. So bytes go to the disk from our own memory (`O_DIRECT`),
//! which takes whole blocks of aligned memory: a part is copied into such, what does not fill a block goes along with the
//! next part, and the last block is padded and the file cut to its size.
//!
//! Not every file system can. [`is_possible`] tries it once; where it fails, the store's own way is taken.

use crate::ids::BlobId;
use async_trait::async_trait;
use object_store::{Error, MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What disks and file systems have as blocks, or a multiple of it.
const BLOCK: usize = 4096;

#[derive(Debug)]
pub struct Direct {
    file: Arc<File>,
    /// `None` once it is whole or gone.
    staged: Option<PathBuf>,
    whole: PathBuf,
    /// Where the next blocks go.
    at: u64,
    /// Less than a block.
    rest: Vec<u8>,
}

/// Can files in this folder be written so?
pub fn is_possible(folder: &Path) -> bool {
    // Named as what is staged: should we die here, a sweep removes it.
    let tried = folder.join(format!("{}#0", BlobId::random()));
    let can = open(&tried).and_then(|file| {
        let mut block = Aligned::with_room(BLOCK);
        block.pad();
        file.write_all_at(block.bytes(), 0)
    });
    let _ = fs::remove_file(&tried);
    can.is_ok()
}

fn open(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).custom_flags(libc::O_DIRECT).open(path)
}

impl Direct {
    pub async fn start(folder: &Path, id: BlobId) -> Result<Self> {
        let (staged, whole) = (folder.join(format!("{id}#1")), folder.join(id.to_string()));
        let path = staged.clone();
        let file = on_a_thread(move || open(&path)).await?;
        Ok(Self { file: Arc::new(file), staged: Some(staged), whole, at: 0, rest: Vec::new() })
    }
}

#[async_trait]
impl MultipartUpload for Direct {
    fn put_part(&mut self, part: PutPayload) -> UploadPart {
        let mut blocks = Aligned::with_room(self.rest.len() + part.content_length());
        blocks.push(&self.rest);
        part.iter().for_each(|bytes| blocks.push(bytes));
        self.rest = blocks.cut();
        let (file, at) = (Arc::clone(&self.file), self.at);
        self.at += blocks.bytes().len() as u64;
        Box::pin(on_a_thread(move || file.write_all_at(blocks.bytes(), at)))
    }

    /// The last block, and then what the store does as well: sync, name, and sync the name.
    async fn complete(&mut self) -> Result<PutResult> {
        let (file, at, rest) = (Arc::clone(&self.file), self.at, std::mem::take(&mut self.rest));
        let staged = self.staged.clone().ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        let whole = self.whole.clone();
        let finish = move || {
            if !rest.is_empty() {
                let mut last = Aligned::with_room(BLOCK);
                last.push(&rest);
                last.pad();
                file.write_all_at(last.bytes(), at)?;
                file.set_len(at + rest.len() as u64)?;
            }
            file.sync_all()?;
            fs::rename(&staged, &whole)?;
            whole.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        };
        on_a_thread(finish).await?;
        self.staged = None;
        Ok(PutResult { e_tag: None, version: None, extensions: Default::default() })
    }

    async fn abort(&mut self) -> Result<()> {
        match self.staged.take() {
            Some(staged) => on_a_thread(move || fs::remove_file(staged)).await,
            None => Ok(()),
        }
    }
}

async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|source| Error::JoinError { source })?;
    done.map_err(failed)
}

fn failed(error: io::Error) -> Error {
    Error::Generic { store: "folder", source: Box::new(error) }
}

/// Bytes whose first lies at a block's border in memory.
struct Aligned {
    memory: Vec<u8>,
    start: usize,
}

impl Aligned {
    /// For so many bytes, and a pad; it is never moved, since it never grows.
    fn with_room(bytes: usize) -> Self {
        let mut memory = Vec::<u8>::with_capacity(bytes.next_multiple_of(BLOCK) + BLOCK);
        let start = memory.as_ptr().align_offset(BLOCK);
        memory.resize(start, 0);
        Self { memory, start }
    }

    fn push(&mut self, bytes: &[u8]) {
        debug_assert!(self.memory.len() + bytes.len() <= self.memory.capacity());
        self.memory.extend_from_slice(bytes);
    }

    /// Fills the last block; an empty one as well.
    fn pad(&mut self) {
        let length = self.bytes().len().max(1).next_multiple_of(BLOCK);
        self.memory.resize(self.start + length, 0);
    }

    /// Takes away what doesn't fill a block.
    fn cut(&mut self) -> Vec<u8> {
        let whole = self.bytes().len() / BLOCK * BLOCK;
        self.memory.split_off(self.start + whole)
    }

    fn bytes(&self) -> &[u8] {
        &self.memory[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn parts_of_any_size_written_in_any_order_make_the_file_that_they_are_parts_of() {
        let folder = tempfile::tempdir().unwrap();
        if !is_possible(folder.path()) {
            eprintln!("SKIPPED: no file here can be written past the page cache");
            return;
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "trying leaves nothing");
        for sizes in [vec![], vec![1], vec![BLOCK], vec![5000, 1, 0, 4095, 3 * BLOCK, 700_001], vec![BLOCK, BLOCK]] {
            let bytes: Vec<u8> = (0..sizes.iter().sum()).map(|index: usize| (index * 31 % 251) as u8).collect();
            let id = BlobId::random();
            let mut upload = Direct::start(folder.path(), id).await.unwrap();
            let mut rest = bytes.as_slice();
            let mut parts = Vec::new();
            for size in sizes {
                let (part, after) = rest.split_at(size);
                parts.push(upload.put_part(PutPayload::from(part.to_vec())));
                rest = after;
            }
            for part in parts.into_iter().rev() {
                part.await.unwrap();
            }
            assert!(!folder.path().join(id.to_string()).exists(), "before it is whole it has no name");
            upload.complete().await.unwrap();
            assert!(fs::read(folder.path().join(id.to_string())).unwrap() == bytes);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 5, "nothing is left that was staged");
    }

    #[tokio::test]
    async fn what_is_given_up_is_gone_and_nothing_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        if !is_possible(folder.path()) {
            eprintln!("SKIPPED: no file here can be written past the page cache");
            return;
        }
        let id = BlobId::random();
        let mut upload = Direct::start(folder.path(), id).await.unwrap();
        assert!(Direct::start(folder.path(), id).await.is_err());
        upload.put_part(PutPayload::from(vec![1; 10_000])).await.unwrap();
        upload.abort().await.unwrap();
        upload.abort().await.unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(upload.complete().await.is_err());
    }

    #[test]
    fn a_folder_that_is_none_cannot_be_written_so() {
        assert!(!is_possible(Path::new("/proc")));
    }
}
