//! Between bytes that stream and code that reads and writes as files are read and written: a thread that may block, and two
//! short queues.

use crate::error::{Error, Result};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use std::io::{self, Read};
use tokio::sync::mpsc;

/// Pieces that wait for the other side.
const AHEAD: usize = 8;

/// A stream, read by a thread that may block.
pub struct Source {
    pieces: mpsc::Receiver<Result<Bytes>>,
    left: Bytes,
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.left.is_empty() {
            match self.pieces.blocking_recv() {
                None => return Ok(0),
                Some(piece) => self.left = piece.map_err(io::Error::other)?,
            }
        }
        let length = into.len().min(self.left.len());
        into[..length].copy_from_slice(&self.left.split_to(length));
        Ok(length)
    }
}

/// Gives a stream to a thread, and answers what the thread makes of it.
///
/// # Errors
/// The thread's.
pub async fn on_a_thread<T: Send + 'static>(
    mut bytes: BoxStream<'static, Result<Bytes>>,
    work: impl FnOnce(Source) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (sender, pieces) = mpsc::channel(AHEAD);
    let worker = tokio::task::spawn_blocking(move || work(Source { pieces, left: Bytes::new() }));
    while let Some(piece) = bytes.next().await {
        // A thread that has given up says why when it is joined; one that was given an error, too.
        if sender.send(piece).await.is_err() {
            break;
        }
    }
    drop(sender);
    worker.await.map_err(|error| Error::internal("a thread that worked on an image's bytes", error))?
}

/// What a thread makes of a stream, as a stream: `work` hands on each piece as it is ready.
pub fn through_a_thread(
    bytes: BoxStream<'static, Result<Bytes>>,
    work: impl FnOnce(Source, &mut dyn FnMut(Bytes) -> Result<()>) -> Result<()> + Send + 'static,
) -> BoxStream<'static, Result<Bytes>> {
    let (sender, pieces) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        let hand_on = sender.clone();
        let worked = on_a_thread(bytes, move |source| {
            // Nobody waits for the pieces any more: the work is over.
            let gone = |_| Error::internal("making an image's bytes", "nobody takes them");
            work(source, &mut |piece| hand_on.blocking_send(Ok(piece)).map_err(gone))
        });
        if let Err(error) = worked.await {
            let _ = sender.send(Err(error)).await;
        }
    });
    futures::stream::unfold(pieces, |mut pieces| async move { Some((pieces.recv().await?, pieces)) }).boxed()
}
