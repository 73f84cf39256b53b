//! MD5 and SHA-512 of a stream, each on a thread of its own, because either alone is slower than disk and network.
//!
//! Clients of Glance verify both: `checksum` is MD5, `os_hash_value` SHA-512. Blocks are shared, not copied, and the
//! channels hold few of them, so a slow hash slows the upload instead of filling memory.

use aws_lc_rs::digest;
use bytes::Bytes;
use md5::{Digest, Md5};
use tokio::sync::{mpsc, oneshot};

/// Blocks a hash may lag behind the upload.
const LAG: usize = 4;

/// Bytes that belong together, in order.
pub type Block = Vec<Bytes>;

/// Both hashes in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sums {
    pub md5: String,
    pub sha512: String,
}

pub struct Digests {
    md5: Worker,
    sha512: Worker,
}

impl Digests {
    pub fn start() -> Self {
        let md5 = Worker::start(|mut blocks| {
            let mut hash = Md5::new();
            while let Some(block) = blocks.blocking_recv() {
                block.iter().for_each(|bytes| hash.update(bytes));
            }
            hex::encode(hash.finalize())
        });
        let sha512 = Worker::start(|mut blocks| {
            let mut hash = digest::Context::new(&digest::SHA512);
            while let Some(block) = blocks.blocking_recv() {
                block.iter().for_each(|bytes| hash.update(bytes));
            }
            hex::encode(hash.finish())
        });
        Self { md5, sha512 }
    }

    pub async fn update(&self, block: Block) {
        self.md5.send(block.clone()).await;
        self.sha512.send(block).await;
    }

    /// `None` if a thread died: then nothing is known of the bytes.
    pub async fn finish(self) -> Option<Sums> {
        let (md5, sha512) = (self.md5.finish(), self.sha512.finish());
        Some(Sums { md5: md5.await?, sha512: sha512.await? })
    }
}

struct Worker {
    blocks: mpsc::Sender<Block>,
    result: oneshot::Receiver<String>,
}

impl Worker {
    /// The blocking pool's threads are reused; the work ends when the sender is dropped.
    fn start(work: impl FnOnce(mpsc::Receiver<Block>) -> String + Send + 'static) -> Self {
        let (blocks, receiver) = mpsc::channel(LAG);
        let (answer, result) = oneshot::channel();
        tokio::task::spawn_blocking(move || {
            // Nobody listens when the upload was given up.
            let _ = answer.send(work(receiver));
        });
        Self { blocks, result }
    }

    async fn send(&self, block: Block) {
        // A dead thread shows when the result is asked for.
        let _ = self.blocks.send(block).await;
    }

    fn finish(self) -> impl Future<Output = Option<String>> {
        drop(self.blocks);
        async { self.result.await.ok() }
    }
}
