//! Reading a blob, whole or a range, in chunks that keep disk and socket busy.
//!
//! A local file is read by blocking reads of one chunk each, with the next already under way while the last one is
//! being sent; object_store's own stream for files uses chunks of 8 KiB, one hop between threads for each.

use super::{Blobs, failure};
use crate::error::{Error, Result};
use crate::ids::BlobId;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::{GetOptions, GetRange, GetResultPayload};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

const CHUNK: u64 = 256 << 10;
/// Chunks being read or waiting to be sent.
const AHEAD: usize = 2;

impl Blobs {
    /// The bytes of a blob, or those of `range`. A range that isn't inside the blob is `RangeNotSatisfiable`; a blob
    /// that ends early ends the stream with an error, so a cut copy can't pass for a whole one.
    pub async fn get(&self, id: BlobId, range: Option<Range<u64>>) -> Result<BoxStream<'static, Result<Bytes>>> {
        let Some(size) = self.size(id).await? else {
            return Err(Error::not_found(crate::error::Kind::Blob, id));
        };
        let range = range.unwrap_or(0..size);
        if range.start > range.end || range.end > size {
            let (start, end) = (range.start, range.end);
            return Err(Error::RangeNotSatisfiable(format!("The range {start} to {end} is not within {size} bytes")));
        }
        if range.is_empty() {
            return Ok(stream::empty().boxed());
        }
        let wanted = range.end - range.start;
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
        let result = self.store.get_opts(&self.key(id), options).await.map_err(|error| failure(id, error))?;
        let chunks = match result.payload {
            GetResultPayload::File(file, _) => read_file(Arc::new(file), range),
            GetResultPayload::Stream(stream) => stream.map_err(move |error| failure(id, error)).boxed(),
        };
        Ok(counted(chunks, wanted))
    }
}

fn read_file(file: Arc<File>, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
    let starts = (range.start..range.end).step_by(CHUNK as usize);
    stream::iter(starts)
        .map(move |start| {
            let (file, length) = (Arc::clone(&file), CHUNK.min(range.end - start) as usize);
            async move {
                let read = tokio::task::spawn_blocking(move || {
                    let mut buffer = vec![0; length];
                    file.read_exact_at(&mut buffer, start).map(|()| Bytes::from(buffer))
                });
                match read.await {
                    Ok(Ok(bytes)) => Ok(bytes),
                    Ok(Err(error)) => Err(Error::unavailable("The image store", error)),
                    Err(error) => Err(Error::internal("Reading an image stopped", error)),
                }
            }
        })
        .buffered(AHEAD)
        .boxed()
}

/// Ends with an error unless exactly `wanted` bytes came.
fn counted(chunks: BoxStream<'static, Result<Bytes>>, wanted: u64) -> BoxStream<'static, Result<Bytes>> {
    stream::unfold((chunks, wanted, false), |(mut chunks, missing, ended)| async move {
        if ended {
            return None;
        }
        match chunks.next().await {
            Some(Ok(bytes)) => match missing.checked_sub(bytes.len() as u64) {
                Some(missing) => Some((Ok(bytes), (chunks, missing, false))),
                None => Some((Err(cut("more bytes than it has")), (chunks, 0, true))),
            },
            Some(Err(error)) => Some((Err(error), (chunks, missing, true))),
            None if missing > 0 => Some((Err(cut("fewer bytes than it has")), (chunks, missing, true))),
            None => None,
        }
    })
    .boxed()
}

fn cut(what: &'static str) -> Error {
    Error::unavailable("The image store", format!("a blob gave {what}"))
}
