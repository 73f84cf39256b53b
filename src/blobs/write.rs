//! Writing a blob: count, hash, keep both ends for the inspector, send in parts, and only then decide.
//!
//! Memory stays constant: one part being gathered, few on their way (fewer where many upload at once), a few blocks before
//! each hash. Small chunks are copied together first, because a client that sends single bytes would otherwise cost a
//! handle of 32 bytes for each.

use super::digests::{Block, Digests, Sums};
use super::flush::Flush;
use super::upload::{Upload, part_size};
use super::{Blobs, failure};
use crate::error::{Error, Result};
use crate::ids::BlobId;
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use std::pin::pin;

/// Chunks below this size are copied together.
const SMALL: usize = 16 << 10;
/// How much is gathered before the hashes and the part are given it.
const BLOCK: usize = 256 << 10;
/// Parts of a folder's file: nothing limits their number, so they are small.
const LOCAL_PART: u64 = 512 << 10;
/// So many of the first bytes tell how many the judge will look at.
const TELLING: usize = 4 << 10;

/// What an upload is held to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish {
    /// Exactly so many bytes were announced; fewer or more are an error.
    pub size: Option<u64>,
    /// More than so many bytes are an error.
    pub at_most: Option<u64>,
    /// How many of the first and last bytes to hand to the judge.
    pub head: usize,
    pub tail: usize,
    /// By the first four KiB: how many of the first bytes the judge will look at; no more than `head` are kept. Without
    /// it, all of `head` are.
    pub suffices: Option<fn(&[u8]) -> usize>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub size: u64,
    /// 32 hexadecimal digits.
    pub md5: String,
    /// 128 hexadecimal digits.
    pub sha512: String,
    /// The first and the last bytes, as many as were wished for or as there are.
    pub head: Bytes,
    pub tail: Bytes,
}

/// Looks at what was received before it counts as stored; an error means that nothing is stored.
pub type Judge<'a> = Box<dyn FnOnce(&Stored) -> Result<()> + Send + 'a>;

impl Blobs {
    /// Writes a stream under a new id. It is durable when this answers (unless the folder was opened
    /// without `fsync`), and on any error, or when the future is
    /// dropped, nothing is left of it.
    pub async fn put(
        &self,
        id: BlobId,
        stream: impl Stream<Item = Result<Bytes>> + Send,
        wish: &Wish,
        judge: Judge<'_>,
    ) -> Result<Stored> {
        let mut writer = Writer::new(self, id, wish);
        match writer.receive(stream).await {
            Ok(()) => writer.conclude(judge).await,
            Err(error) => {
                writer.give_up(&error).await;
                Err(error)
            }
        }
    }
}

struct Writer<'a> {
    blobs: &'a Blobs,
    id: BlobId,
    wish: &'a Wish,
    size: u64,
    head: BytesMut,
    /// How many bytes of it are wanted, as far as is known.
    head_wanted: usize,
    /// `None` once it was asked.
    suffices: Option<fn(&[u8]) -> usize>,
    tail: BytesMut,
    /// `None` once they are summed up.
    digests: Option<Digests>,
    /// Not yet hashed.
    block: Gathering,
    /// Hashed, not yet sent.
    part: Block,
    part_bytes: u64,
    parts: u64,
    /// Started with the second part: what fits in one is put at once.
    upload: Option<Upload>,
    flush: Flush,
}

/// Chunks on their way to a block.
#[derive(Default)]
struct Gathering {
    chunks: Block,
    small: BytesMut,
    bytes: usize,
}

impl Gathering {
    fn push(&mut self, chunk: Bytes) {
        self.bytes += chunk.len();
        if chunk.len() < SMALL {
            self.small.extend_from_slice(&chunk);
        } else {
            self.close_small();
            self.chunks.push(chunk);
        }
    }

    fn close_small(&mut self) {
        if !self.small.is_empty() {
            self.chunks.push(self.small.split().freeze());
        }
    }

    fn take(&mut self) -> (Block, u64) {
        self.close_small();
        (std::mem::take(&mut self.chunks), std::mem::take(&mut self.bytes) as u64)
    }
}

impl<'a> Writer<'a> {
    fn new(blobs: &'a Blobs, id: BlobId, wish: &'a Wish) -> Self {
        Self {
            blobs,
            id,
            wish,
            size: 0,
            head: BytesMut::new(),
            head_wanted: if wish.suffices.is_some() { wish.head.min(TELLING) } else { wish.head },
            suffices: wish.suffices,
            tail: BytesMut::new(),
            digests: Some(Digests::start()),
            block: Gathering::default(),
            part: Vec::new(),
            part_bytes: 0,
            parts: 0,
            upload: None,
            flush: Flush::of(blobs, id),
        }
    }

    async fn receive(&mut self, stream: impl Stream<Item = Result<Bytes>> + Send) -> Result<()> {
        let mut stream = pin!(stream);
        while let Some(chunk) = stream.next().await {
            self.take(chunk?).await?;
        }
        self.flush().await?;
        match self.wish.size {
            Some(size) if size != self.size => {
                Err(Error::BadRequest(format!("Expected {size} bytes of image data, received {}", self.size)))
            }
            _ => Ok(()),
        }
    }

    async fn take(&mut self, chunk: Bytes) -> Result<()> {
        self.size += chunk.len() as u64;
        let most = self.wish.at_most.unwrap_or(u64::MAX);
        if self.size > most {
            return Err(Error::TooLarge(format!("The image exceeds the allowed size of {most} bytes")));
        }
        if self.wish.size.is_some_and(|size| self.size > size) {
            return Err(Error::bad_request("More image data was received than announced"));
        }
        self.keep_head(&chunk);
        self.keep_tail(&chunk);
        self.block.push(chunk);
        if self.block.bytes >= BLOCK {
            self.flush().await?;
        }
        Ok(())
    }

    fn keep_head(&mut self, mut chunk: &[u8]) {
        loop {
            let missing = self.head_wanted.saturating_sub(self.head.len());
            let (now, rest) = chunk.split_at(chunk.len().min(missing));
            self.head.extend_from_slice(now);
            chunk = rest;
            match self.suffices.take_if(|_| self.head.len() >= self.head_wanted) {
                Some(suffices) => self.head_wanted = suffices(&self.head).min(self.wish.head),
                None => return,
            }
        }
    }

    fn keep_tail(&mut self, chunk: &[u8]) {
        let keep = self.wish.tail;
        let start = chunk.len().saturating_sub(keep);
        self.tail.extend_from_slice(&chunk[start..]);
        if self.tail.len() > keep {
            let surplus = self.tail.len() - keep;
            self.tail.copy_within(surplus.., 0);
            self.tail.truncate(keep);
        }
    }

    /// Hands the gathered chunks to the hashes and, when a part is full, to the store.
    async fn flush(&mut self) -> Result<()> {
        let (block, bytes) = self.block.take();
        if bytes == 0 {
            return Ok(());
        }
        if let Some(digests) = &self.digests {
            digests.update(block.clone()).await;
        }
        self.part.extend(block);
        self.part_bytes += bytes;
        let full = match self.blobs.folder {
            Some(_) => LOCAL_PART,
            None => part_size(self.parts, self.wish.size),
        };
        if self.part_bytes >= full {
            self.send_part().await?;
        }
        Ok(())
    }

    async fn send_part(&mut self) -> Result<()> {
        let part = std::mem::take(&mut self.part);
        self.flush.wrote(std::mem::take(&mut self.part_bytes));
        self.parts += 1;
        let sent = match &mut self.upload {
            Some(upload) => upload.send(part).await,
            none => match Upload::start(self.blobs, self.id).await {
                Ok(upload) => none.insert(upload).send(part).await,
                Err(error) => Err(error),
            },
        };
        sent.map_err(|error| refused(self.id, error))
    }

    async fn conclude(mut self, judge: Judge<'_>) -> Result<Stored> {
        match self.sum_up(judge).await {
            Ok(stored) => self.publish().await.map(|()| stored),
            Err(error) => {
                self.give_up(&error).await;
                Err(error)
            }
        }
    }

    async fn sum_up(&mut self, judge: Judge<'_>) -> Result<Stored> {
        if self.upload.is_some() && !self.part.is_empty() {
            self.send_part().await?;
        }
        let sums = match self.digests.take() {
            Some(digests) => digests.finish().await,
            None => None,
        };
        let Some(Sums { md5, sha512 }) = sums else {
            return Err(Error::internal("The image could not be hashed", "a hashing thread died"));
        };
        let head = std::mem::take(&mut self.head).freeze();
        let tail = std::mem::take(&mut self.tail).freeze();
        let stored = Stored { size: self.size, md5, sha512, head, tail };
        judge(&stored)?;
        Ok(stored)
    }

    /// Makes the bytes appear under their id. When that fails nobody knows whether they did: so they are deleted.
    async fn publish(self) -> Result<()> {
        let key = self.blobs.key(self.id);
        let published = match self.upload {
            Some(upload) => upload.complete().await,
            None => {
                let payload = self.part.into_iter().collect::<object_store::PutPayload>();
                object_store::ObjectStoreExt::put(&self.blobs.store, &key, payload).await.map(|_| ())
            }
        };
        if let Err(error) = published {
            let error = refused(self.id, error);
            if !error.is_transient() {
                let _ = self.blobs.delete(self.id).await;
            }
            return Err(error);
        }
        Ok(())
    }

    /// `why` may be that the store is away: then nobody is kept waiting for it once more, and dropping the upload aborts
    /// it, as soon as that is possible.
    async fn give_up(self, why: &Error) {
        if let Some(upload) = self.upload
            && !why.is_transient()
        {
            upload.abort().await;
        }
    }
}

/// What isn't found where bytes are to be written is the bucket, not the blob.
fn refused(id: BlobId, error: object_store::Error) -> Error {
    match error {
        error @ object_store::Error::NotFound { .. } => Error::unavailable("The image store", error),
        error => failure(id, error),
    }
}
