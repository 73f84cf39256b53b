//! MD5 and SHA-512 of a stream, each on a thread of its own, because either alone is slower than disk and network.
//!
//! Clients of Glance verify both: `checksum` is MD5, `os_hash_value` SHA-512. Blocks are shared, not copied, and the
//! channels hold few of them, so a slow hash slows the upload instead of filling memory.
//!
//! They are what an upload's speed hangs on, so they are made by OpenSSL, which libvirt's own libraries have in the process
//! anyway. Of one core of an EPYC, in MB/s: SHA-512 875 by OpenSSL, 612 by `sha2` 0.11 and 0.10, 610 by `ring`, 607 by
//! `aws-lc`, which use the wider instructions on Intel's processors only; MD5 809 by `aws-lc`, which its crate keeps to
//! itself, 762 by OpenSSL, 624 by `md-5` 0.10 in assembly, 614 by 0.11.

use aws_lc_rs::digest;
use bytes::Bytes;
use md5::{Digest, Md5};
use openssl::error::ErrorStack;
use openssl::hash::{Hasher, MessageDigest};
use tokio::sync::{mpsc, oneshot};

/// Blocks a hash may lag behind the upload: 2 make it slower by a twentieth, 64 no faster.
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
        Self { md5: Worker::start(Hash::md5), sha512: Worker::start(Hash::sha512) }
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

/// A hash that is being made.
enum Hash {
    System(Hasher),
    /// Where the system's policy knows it not, as FIPS knows no MD5.
    Md5(Md5),
    Sha512(digest::Context),
}

impl Hash {
    fn md5() -> Self {
        Hasher::new(MessageDigest::md5()).map_or_else(|_| Self::Md5(Md5::new()), Self::System)
    }

    fn sha512() -> Self {
        let own = || Self::Sha512(digest::Context::new(&digest::SHA512));
        Hasher::new(MessageDigest::sha512()).map_or_else(|_| own(), Self::System)
    }

    fn update(&mut self, bytes: &[u8]) -> Result<(), ErrorStack> {
        match self {
            Self::System(hash) => return hash.update(bytes),
            Self::Md5(hash) => hash.update(bytes),
            Self::Sha512(hash) => hash.update(bytes),
        }
        Ok(())
    }

    fn finish(self) -> Result<String, ErrorStack> {
        Ok(match self {
            Self::System(mut hash) => hex::encode(hash.finish()?),
            Self::Md5(hash) => hex::encode(hash.finalize()),
            Self::Sha512(hash) => hex::encode(hash.finish()),
        })
    }
}

struct Worker {
    blocks: mpsc::Sender<Block>,
    result: oneshot::Receiver<String>,
}

impl Worker {
    /// The blocking pool's threads are reused; the work ends when the sender is dropped.
    fn start(hash: fn() -> Hash) -> Self {
        let (blocks, mut receiver) = mpsc::channel::<Block>(LAG);
        let (answer, result) = oneshot::channel();
        tokio::task::spawn_blocking(move || {
            let mut hash = hash();
            while let Some(block) = receiver.blocking_recv() {
                if block.iter().try_for_each(|bytes| hash.update(bytes)).is_err() {
                    return;
                }
            }
            // Nobody listens when the upload was given up.
            if let Ok(sum) = hash.finish() {
                let _ = answer.send(sum);
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_the_same_whoever_makes_them() {
        let of = |mut hash: Hash| {
            hash.update(b"message ").unwrap();
            hash.update(b"digest").unwrap();
            hash.finish().unwrap()
        };
        assert_eq!(of(Hash::md5()), "f96b697d7cb7938d525a2f31aaf161d0");
        assert_eq!(of(Hash::Md5(Md5::new())), of(Hash::md5()));
        assert_eq!(of(Hash::Sha512(digest::Context::new(&digest::SHA512))), of(Hash::sha512()));
        assert!(matches!(Hash::sha512(), Hash::System(_)), "the fast one is there");
    }
}
