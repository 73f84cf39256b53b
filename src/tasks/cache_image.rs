//! Brings an image to every host before a server asks for it.
//!
//! ```text
//!  Fetch ─► done
//! ```
//! A host checks what comes and keeps it under the hash of its bytes, whole or not at all, so there is nothing to undo.

use super::{Cx, Host, Hosts, Next, Record, Why, Workflow};
use crate::blobs::Stores;
use crate::clock::Timestamp;
use crate::cloud::image::Image;
use crate::disks::{BaseImage, CachedBase};
use crate::error::{Error, Result};
use crate::hypervisor::DiskFormat;
use crate::ids::{BlobId, ImageId};
use crate::store::tasks::{self, NewTask};
use crate::store::{Db, Tx, blobs, boot_images, images};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub struct CacheImage {
    /// Where images' bytes are.
    pub stores: Stores,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    Fetch { image: ImageId },
}

/// Apart from the image's own: an import need not wait for it, nor it for an import.
const SUBJECT: &str = "cache:";

/// Records the wish in the transaction of the request that has it; once is enough.
pub fn order(tx: &mut Tx, image: ImageId, request_id: &str, now: Timestamp) -> Result<()> {
    if queued(tx)?.contains(&image) {
        return Ok(());
    }
    let subject = subject(image);
    let wish = NewTask { subject: &subject, request_id: Some(request_id), now };
    super::insert::<CacheImage>(tx, &wish, &Step::Fetch { image }).map(drop)
}

/// Images that are on their way to hosts.
pub fn queued(tx: &mut Tx) -> Result<Vec<ImageId>> {
    let subjects = tasks::open_subjects(tx, CacheImage::KIND)?;
    Ok(subjects.iter().filter_map(|subject| ImageId::parse(subject.strip_prefix(SUBJECT)?)).collect())
}

/// Takes an image out of the queue.
pub fn cancel(tx: &mut Tx, image: ImageId, now: Timestamp) -> Result<()> {
    tasks::cancel_all(tx, &subject(image), now).map(drop)
}

fn subject(image: ImageId) -> String {
    format!("{SUBJECT}{image}")
}

/// An image that a host has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cached {
    pub image: ImageId,
    pub size: u64,
    pub fetched_at: Timestamp,
    pub used_at: Timestamp,
    /// How many machines' disks lie over it.
    pub machines: usize,
}

/// What hosts have of the images there are; of several hosts, all together. One that is away is left out, unless all are.
///
/// # Errors
/// A host's, or the database's.
pub async fn list(db: &Db, hosts: &Hosts) -> Result<Vec<Cached>> {
    let mut found: Vec<CachedBase> = Vec::new();
    let (mut has_answer, mut away) = (false, None);
    for host in hosts.iter() {
        let bases = match host.disks.bases().await {
            Ok(bases) => bases,
            Err(error) if error.is_transient() => {
                away = Some(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        has_answer = true;
        for cached in bases {
            match found.iter_mut().find(|known| known.base == cached.base) {
                None => found.push(cached),
                Some(known) => {
                    known.machines += cached.machines;
                    known.used_at = known.used_at.max(cached.used_at);
                }
            }
        }
    }
    if let (false, Some(error)) = (has_answer, away) {
        return Err(error);
    }
    let hashes: Vec<String> = found.iter().map(|cached| cached.base.sha512.clone()).collect();
    let images = db.read(move |tx| boot_images::with_bytes(tx, &hashes)).await?;
    let of = |(image, format, sha512): (ImageId, String, String)| {
        let is_it =
            |cached: &&CachedBase| cached.base.sha512 == sha512 && format_of(&format) == Some(cached.base.format);
        let CachedBase { base, fetched_at, used_at, machines } = found.iter().find(is_it)?;
        Some(Cached { image, size: base.size, fetched_at: *fetched_at, used_at: *used_at, machines: *machines })
    };
    Ok(images.into_iter().filter_map(of).collect())
}

/// Frees every host of an image. Answers a host where machines need it, and which keeps it.
///
/// # Errors
/// A host's.
pub async fn free(hosts: &Hosts, image: &Image) -> Result<Option<String>> {
    let Some((base, _)) = base_of(image) else { return Ok(None) };
    let mut kept = None;
    for host in hosts.iter() {
        if host.disks.has_base(&base).await? && !host.disks.drop_base(&base).await? {
            kept = Some(host.name.clone());
        }
    }
    Ok(kept)
}

/// Frees every host of all that no machine needs.
///
/// # Errors
/// A host's.
pub async fn free_all(hosts: &Hosts) -> Result<()> {
    for host in hosts.iter() {
        for cached in host.disks.bases().await?.iter().filter(|cached| cached.machines == 0) {
            host.disks.drop_base(&cached.base).await?;
        }
    }
    Ok(())
}

/// Frees every host of what is no image's any more, and no machine's.
///
/// # Errors
/// A host's, or the database's.
pub async fn clean(db: &Db, hosts: &Hosts) -> Result<()> {
    for host in hosts.iter() {
        let found = host.disks.bases().await?;
        let hashes: Vec<String> = found.iter().map(|cached| cached.base.sha512.clone()).collect();
        let images = db.read(move |tx| boot_images::with_bytes(tx, &hashes)).await?;
        let is_kept = |base: &BaseImage| {
            images.iter().any(|(_, format, hash)| *hash == base.sha512 && format_of(format) == Some(base.format))
        };
        for cached in found.iter().filter(|cached| cached.machines == 0 && !is_kept(&cached.base)) {
            host.disks.drop_base(&cached.base).await?;
        }
    }
    Ok(())
}

/// What was taken from hosts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    pub files: u64,
    pub bytes: u64,
}

/// Frees each host of what is beyond so many bytes.
///
/// # Errors
/// A host's.
pub async fn prune(hosts: &Hosts, at_most: u64) -> Result<Pruned> {
    let mut pruned = Pruned::default();
    for host in hosts.iter() {
        for base in beyond(host.disks.bases().await?, at_most) {
            // Unless a machine has come to need it meanwhile.
            if host.disks.drop_base(&base).await? {
                pruned.files += 1;
                pruned.bytes += base.size;
            }
        }
    }
    Ok(pruned)
}

/// What a host gives up to keep at most so many bytes: what was used longest ago, and nothing that a machine needs.
fn beyond(mut cached: Vec<CachedBase>, at_most: u64) -> Vec<BaseImage> {
    let mut left: u64 = cached.iter().map(|cached| cached.base.size).sum();
    cached.retain(|cached| cached.machines == 0);
    cached.sort_by_key(|cached| cached.used_at);
    let mut given_up = Vec::new();
    for CachedBase { base, .. } in cached {
        if left <= at_most {
            break;
        }
        left -= base.size;
        given_up.push(base);
    }
    given_up
}

fn format_of(word: &str) -> Option<DiskFormat> {
    match word {
        "raw" => Some(DiskFormat::Raw),
        "qcow2" => Some(DiskFormat::Qcow2),
        _ => None,
    }
}

/// The image as hosts keep it, and its bytes; `None` for what no host boots from.
pub fn base_of(image: &Image) -> Option<(BaseImage, BlobId)> {
    let format = format_of(image.disk_format.as_deref()?)?;
    let is_bare = image.container_format.as_deref() == Some("bare") && image.has_bytes();
    let sha512 = image.os_hash_value.clone().filter(|_| is_bare && image.os_hash_algo.as_deref() == Some("sha512"))?;
    Some((BaseImage { sha512, size: image.size?, format }, image.blob?))
}

impl CacheImage {
    async fn bring(&self, cx: &Cx, host: &Host, base: &BaseImage, blob: BlobId) -> Result<()> {
        if host.disks.has_base(base).await? {
            return Ok(());
        }
        let sha512 = base.sha512.clone();
        let places = cx.db.read(move |tx| blobs::holding(tx, &sha512, blob)).await?;
        let places = places.iter().map(|place| (place.store.as_str(), place.blob));
        host.disks.fetch_base(base, self.stores.get(places, None).await?).await
    }
}

#[async_trait]
impl Workflow for CacheImage {
    type Step = Step;
    const KIND: &'static str = "cache_image";
    const PATIENCE: u32 = 3;

    async fn forward(&self, cx: &Cx, step: &Step) -> Result<Next<Step>> {
        let Step::Fetch { image } = *step;
        let image = cx.db.read(move |tx| images::any(tx, image)).await?;
        let (base, blob) =
            base_of(&image).ok_or_else(|| Error::conflict("The image can't be kept by hosts any more"))?;
        // One that is away keeps no other from having it.
        let mut outcome = Ok(());
        for host in cx.hosts.iter() {
            outcome = outcome.and(self.bring(cx, host, &base, blob).await);
        }
        outcome.map(|()| Next::done())
    }

    async fn back_out(&self, cx: &Cx, _: &Step, why: &Why) -> Result<Option<Record>> {
        tracing::warn!(subject = cx.subject, %why, "an image was not brought to the hosts");
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_is_given_up_first_and_never_what_a_machine_needs() {
        let cached = |name: &str, size, used_at, machines| CachedBase {
            base: BaseImage { sha512: name.to_owned(), size, format: DiskFormat::Raw },
            fetched_at: Timestamp(0),
            used_at: Timestamp(used_at),
            machines,
        };
        let host = vec![cached("late", 30, 9, 0), cached("needed", 50, 1, 2), cached("early", 20, 3, 0)];
        let given_up = |at_most| beyond(host.clone(), at_most).into_iter().map(|base| base.sha512).collect::<Vec<_>>();
        assert_eq!(given_up(100), Vec::<String>::new());
        assert_eq!(given_up(99), ["early"]);
        assert_eq!(given_up(80), ["early"]);
        assert_eq!(given_up(79), ["early", "late"]);
        assert_eq!(given_up(0), ["early", "late"]);
    }
}
