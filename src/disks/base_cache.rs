//! The host's copies of images: each fetched once, checked as it comes, and never changed again.
//!
//! A file's name is the hash of its bytes, so a file that is there is right. Bytes are counted and hashed on a thread
//! beside the async ones while they stream into a temporary file; only a whole, right and harmless one gets its name.

use super::{BaseImage, CachedBase, qcow2};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::hypervisor::DiskFormat;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use tokio::sync::mpsc;

/// Chunks that may wait for the disk before the network waits too.
const CHUNKS_AHEAD: usize = 16;

pub struct BaseCache {
    folder: PathBuf,
    /// Who fetches an image holds its lock; the next one for the same image waits and then finds it.
    fetching: Mutex<HashMap<PathBuf, Weak<tokio::sync::Mutex<()>>>>,
}

impl BaseCache {
    /// Opens the cache in `folder`, and clears what an earlier process did not finish.
    pub fn open(folder: PathBuf) -> std::io::Result<Self> {
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "part") {
                fs::remove_file(path)?;
            }
        }
        Ok(Self { folder, fetching: Mutex::default() })
    }

    /// Where the image is or would be. An id that is no hash is refused: it becomes a file's name.
    pub fn path(&self, base: &BaseImage) -> Result<PathBuf> {
        let is_hash = base.sha512.len() == 128 && base.sha512.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !is_hash {
            return Err(Error::bad_request("The image's name is not a SHA-512 hash."));
        }
        let extension = match base.format {
            DiskFormat::Raw => "raw",
            DiskFormat::Qcow2 => "qcow2",
        };
        Ok(self.folder.join(format!("{}.{extension}", base.sha512)))
    }

    pub fn has(&self, base: &BaseImage) -> Result<bool> {
        match fs::metadata(self.path(base)?) {
            Ok(metadata) => Ok(metadata.len() == base.size),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::internal("looking for a base image", error)),
        }
    }

    /// Every image here, with when it came and when it was last read. Files that are not named like one are nobody's.
    pub fn list(&self) -> std::io::Result<Vec<(PathBuf, CachedBase)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let format = match path.extension().and_then(|extension| extension.to_str()) {
                Some("raw") => DiskFormat::Raw,
                Some("qcow2") => DiskFormat::Qcow2,
                _ => continue,
            };
            let Some(sha512) = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned) else { continue };
            let metadata = match fs::metadata(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            let at =
                |seconds: i64, nanos: i64| Timestamp(seconds.saturating_mul(1_000_000).saturating_add(nanos / 1000));
            let base = BaseImage { sha512, size: metadata.len(), format };
            if self.path(&base).is_ok_and(|named| named == path) {
                let fetched_at = at(metadata.mtime(), metadata.mtime_nsec());
                let used_at = at(metadata.atime(), metadata.atime_nsec());
                found.push((path, CachedBase { base, fetched_at, used_at, machines: 0 }));
            }
        }
        found.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(found)
    }

    /// Deletes an image's file. Already gone is done.
    pub fn delete(&self, base: &BaseImage) -> Result<()> {
        let path = self.path(base)?;
        let failed = |error| Error::internal("deleting a base image", error);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed(error)),
            Ok(()) => sync_folder(&path).map_err(failed),
        }
    }

    /// The base's path and the size of the disk in it, after looking at its header once more.
    pub fn inspect(&self, base: &BaseImage) -> Result<(PathBuf, u64)> {
        let path = self.path(base)?;
        let head = read_head(&path).map_err(|error| match error.kind() {
            // Dropped meanwhile: who fetches it again can go on.
            std::io::ErrorKind::NotFound => Error::unavailable("The image on the host", error),
            _ => Error::internal("reading a base image", error),
        })?;
        let size = qcow2::check(base, &head)?;
        Ok((path, size))
    }

    pub async fn fetch(&self, base: &BaseImage, mut bytes: BoxStream<'static, Result<Bytes>>) -> Result<()> {
        let path = self.path(base)?;
        let lock = self.lock_of(&path);
        let _only_one = lock.lock().await;
        if self.has(base)? {
            return Ok(());
        }
        let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
        let wish = base.clone();
        let writer = tokio::task::spawn_blocking(move || store(&wish, &path, receiver));
        while let Some(chunk) = bytes.next().await {
            let is_last = chunk.is_err();
            // A writer that has given up says why when it is joined.
            if sender.send(chunk).await.is_err() || is_last {
                break;
            }
        }
        drop(sender);
        writer.await.map_err(|error| Error::internal("fetching a base image", error))?
    }

    fn lock_of(&self, path: &Path) -> Arc<tokio::sync::Mutex<()>> {
        let mut fetching = self.fetching.lock();
        fetching.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = fetching.get(path).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::default();
        fetching.insert(path.to_owned(), Arc::downgrade(&lock));
        lock
    }
}

/// Writes what comes into a temporary file and names it `path` when all is well; else leaves nothing.
fn store(base: &BaseImage, path: &Path, chunks: mpsc::Receiver<Result<Bytes>>) -> Result<()> {
    let part = path.with_extension(format!("{}.part", uuid::Uuid::new_v4().simple()));
    let stored = receive(base, &part, chunks).and_then(|()| {
        let failed = |error| Error::internal("keeping a base image", error);
        fs::rename(&part, path).map_err(failed)?;
        sync_folder(path).map_err(failed)
    });
    if stored.is_err() {
        let _ = fs::remove_file(&part);
    }
    stored
}

fn receive(base: &BaseImage, part: &Path, mut chunks: mpsc::Receiver<Result<Bytes>>) -> Result<()> {
    let failed = |error| Error::internal("writing a base image", error);
    let wrong = |what: &str| Error::internal("fetching a base image", what.to_owned());
    let mut file = File::options().write(true).create_new(true).open(part).map_err(failed)?;
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA512);
    let mut size = 0;
    while let Some(chunk) = chunks.blocking_recv() {
        let chunk = chunk?;
        size += chunk.len() as u64;
        if size > base.size {
            return Err(wrong("more bytes came than the image has"));
        }
        hash.update(&chunk);
        file.write_all(&chunk).map_err(failed)?;
    }
    if size < base.size {
        return Err(wrong("fewer bytes came than the image has"));
    }
    if hex::encode(hash.finish()) != base.sha512 {
        return Err(wrong("the bytes have another hash than the image"));
    }
    let head = read_head(part).map_err(failed)?;
    qcow2::check(base, &head)?;
    // Whoever runs qemu may read it, nobody may change it.
    file.set_permissions(Permissions::from_mode(0o444)).map_err(failed)?;
    file.sync_all().map_err(failed)
}

fn read_head(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(qcow2::HEAD);
    File::open(path)?.take(qcow2::HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Makes a new name in a folder survive a power cut.
pub fn sync_folder(of: &Path) -> std::io::Result<()> {
    match of.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
