//! Where the bytes of images are kept: a folder, or a bucket of S3, Google or Azure.
//!
//! Bytes are written once under a random [`BlobId`], never renamed and never changed; what names them is a row of the
//! database, so sharing and deduplication are row changes. The states a crash can leave, and who clears them up:
//!
//! ```text
//!  nothing ─► staged ─► whole, no row yet ─► whole, a row names it ─► whole, no row ─► nothing
//!               │           │                                             │
//!               └───────────┴──────────────── sweep ──────────────────────┘
//! ```
//! *Staged* is `{id}#{n}` beside its future place in a folder, or an unfinished multipart upload in a bucket. It is
//! never seen under its id. The step to *whole* is one rename (file and folder synced before it is acknowledged) or the
//! bucket's own completion. [`sweep`] deletes what no row names once it is old enough, and aborts uploads that nobody
//! finished, but for Azure's, which forgets its own after a week.
//!
//! Start reading at [`Blobs::put`].

mod bucket;
mod digests;
mod direct;
mod flush;
mod parts;
mod read;
mod rehash;
mod stores;
mod sweep;
#[cfg(test)]
mod tests;
mod upload;
mod write;

use crate::error::{Error, Kind, Result};
use crate::ids::BlobId;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, ObjectStoreScheme};
use std::path::PathBuf;
use std::sync::Arc;
use url::Url;

pub use parts::{Part, Parts};
pub use stores::{Store, Stores, UNNAMED};
pub use sweep::Swept;
use upload::Lanes;
pub use write::{Judge, Stored, Wish};

/// The store of image bytes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// The folder itself, where the store is one: staged files don't show through the store.
    folder: Option<PathBuf>,
    /// Where uploads that nobody finished can be asked for.
    unfinished: Option<bucket::Unfinished>,
    /// What all uploads together may have on its way here.
    lanes: Arc<Lanes>,
    /// Does a folder wait for the disk?
    syncs: bool,
    /// Are uploads to it written past the page cache?
    is_direct: bool,
    kind: &'static str,
}

impl Blobs {
    /// Opens `file:///folder` (made if missing), `s3://bucket/prefix`, `gs://…`, `az://…` or `memory:///`.
    ///
    /// `options` are object_store's own (`aws_endpoint`, `aws_region`, …); where one is missing, the environment's
    /// variables of the provider count (`AWS_ACCESS_KEY_ID`, …), so that secrets need not be in a file. A folder knows one
    /// option, `fsync`: whether bytes are on the disk when an upload is answered, which they are unless it is `false`.
    pub fn open(url: &str, options: &[(String, String)]) -> Result<Self> {
        let url = Url::parse(url).map_err(|error| Error::internal("The image store's URL can't be read", error))?;
        let (scheme, prefix) = ObjectStoreScheme::parse(&url)
            .map_err(|error| Error::internal("The image store's URL is of no known kind", error))?;
        match scheme {
            ObjectStoreScheme::Local => {
                let folder = url.to_file_path().map_err(|()| {
                    Error::internal("The image store's URL names no folder", "expected file:///folder")
                })?;
                Self::in_folder(folder, syncs(options)?)
            }
            ObjectStoreScheme::Memory => {
                let (store, lanes) = (Arc::new(InMemory::new()), Arc::new(Lanes::to_bucket()));
                Ok(Self {
                    store,
                    prefix,
                    folder: None,
                    unfinished: None,
                    lanes,
                    syncs: false,
                    is_direct: false,
                    kind: "memory",
                })
            }
            other => {
                let environment = std::env::vars().filter(|(name, _)| {
                    ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|provider| name.starts_with(provider))
                });
                let options = environment.chain(options.iter().cloned());
                let (kind, opened) = match other {
                    ObjectStoreScheme::AmazonS3 => ("s3", bucket::open_s3(&url, options)),
                    ObjectStoreScheme::GoogleCloudStorage => ("gs", bucket::open_google(&url, options)),
                    ObjectStoreScheme::MicrosoftAzure => ("azure", bucket::open_azure(&url, options)),
                    _ => return Err(Error::internal("The image store's URL is of no known kind", url.scheme())),
                };
                let opened = opened.map_err(|error| Error::internal("The image store can't be opened", error))?;
                let ((store, unfinished), lanes) = (opened, Arc::new(Lanes::to_bucket()));
                Ok(Self { store, prefix, folder: None, unfinished, lanes, syncs: false, is_direct: false, kind })
            }
        }
    }

    fn in_folder(folder: PathBuf, syncs: bool) -> Result<Self> {
        let failed = |error| Error::internal("The image store's folder can't be made", error);
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let store = LocalFileSystem::new_with_prefix(&folder)
            .map_err(|error| Error::internal("The image store's folder can't be opened", error))?
            .with_fsync(syncs);
        let (store, lanes) = (Arc::new(store), Arc::new(Lanes::to_folder()));
        // Who does not wait for the disk is served faster by the cache.
        let is_direct = syncs && direct::is_possible(&folder);
        let (prefix, folder) = (Path::default(), Some(folder));
        Ok(Self { store, prefix, folder, unfinished: None, lanes, syncs, is_direct, kind: "file" })
    }

    /// `file`, `s3`, `gs`, `azure` or `memory`: the words upstream has for kinds of stores, as far as it has them.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The folder the bytes are in, where the store is one. For administrators only.
    pub fn folder(&self) -> Option<&std::path::Path> {
        self.folder.as_deref()
    }

    fn key(&self, id: BlobId) -> Path {
        self.prefix.clone().join(id.to_string())
    }

    /// How many bytes a blob has; `None` when it isn't there.
    pub async fn size(&self, id: BlobId) -> Result<Option<u64>> {
        match self.store.head(&self.key(id)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failure(id, error)),
        }
    }

    /// Deletes a blob, and the parts of one that never became whole. Already gone is done.
    pub async fn delete(&self, id: BlobId) -> Result<()> {
        let key = self.key(id);
        match self.store.delete(&key).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(failure(id, error)),
        }
        self.abort_uploads(key.as_ref(), |_| true).await;
        Ok(())
    }

    /// Aborts uploads to keys with this beginning, where they can be asked for, and answers how many. A failure is for the
    /// log only: a bucket may forbid the question, and whoever may not ask shall still be able to delete.
    async fn abort_uploads(&self, prefix: &str, which: impl Fn(&bucket::Begun) -> bool + Send) -> usize {
        let Some(unfinished) = &self.unfinished else { return 0 };
        let is_meant = |begun: &bucket::Begun| {
            // What isn't named like a blob is somebody else's.
            let id = begun.key.filename().and_then(BlobId::parse);
            id.is_some_and(|id| self.key(id) == begun.key) && which(begun)
        };
        let mut aborted = 0;
        let done = async {
            for begun in unfinished.list(prefix).await?.into_iter().filter(is_meant) {
                unfinished.abort(&begun).await?;
                aborted += 1;
            }
            Ok::<_, object_store::Error>(())
        };
        if let Err(error) = done.await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, kind = self.kind, "unfinished uploads are left in a bucket");
        }
        aborted
    }
}

/// Does a folder with these options wait for the disk?
fn syncs(options: &[(String, String)]) -> Result<bool> {
    let given = options.iter().rev().find(|(name, _)| name == "fsync");
    given.map_or(Ok(true), |(_, value)| {
        value.parse().map_err(|error| Error::internal("The image store's fsync is neither true nor false", error))
    })
}

/// What a failure of the store means to who asked. Its own words name places and sometimes credentials: they are for
/// the log only (CVE-2013-0212).
fn failure(id: BlobId, error: object_store::Error) -> Error {
    if matches!(error, object_store::Error::NotFound { .. }) {
        return Error::not_found(Kind::Blob, id);
    }
    if is_full(&error) {
        return Error::TooLarge("Image storage media is full".to_owned());
    }
    Error::unavailable("The image store", error)
}

fn is_full(error: &object_store::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    // A bucket's quota, in S3's word; `object_store` takes it for a lack of permission.
    if matches!(error, object_store::Error::PermissionDenied { .. }) && error.to_string().contains("QuotaExceeded") {
        return true;
    }
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(|io| matches!(io.kind(), StorageFull | QuotaExceeded)) {
            return true;
        }
        cause = error.source();
    }
    false
}
