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
//! bucket's own completion. [`sweep`] deletes what no row names once it is old enough; an unfinished multipart upload
//! that a dead process left can't be listed through this interface, so give a bucket a life-cycle rule that aborts
//! them (every provider has one).
//!
//! Start reading at [`Blobs::put`].

mod digests;
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
pub use write::{Judge, Stored, Wish};

/// The store of image bytes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// The folder itself, where the store is one: staged files don't show through the store.
    folder: Option<PathBuf>,
    kind: &'static str,
}

impl Blobs {
    /// Opens `file:///folder` (made if missing), `s3://bucket/prefix`, `gs://…`, `az://…` or `memory:///`.
    ///
    /// `options` are object_store's own (`aws_endpoint`, `aws_region`, …); where one is missing, the environment's
    /// variables of the provider count (`AWS_ACCESS_KEY_ID`, …), so that secrets need not be in a file.
    pub fn open(url: &str, options: &[(String, String)]) -> Result<Self> {
        let url = Url::parse(url).map_err(|error| Error::internal("The image store's URL can't be read", error))?;
        let (scheme, prefix) = ObjectStoreScheme::parse(&url)
            .map_err(|error| Error::internal("The image store's URL is of no known kind", error))?;
        match scheme {
            ObjectStoreScheme::Local => {
                let folder = url.to_file_path().map_err(|()| {
                    Error::internal("The image store's URL names no folder", "expected file:///folder")
                })?;
                Self::in_folder(folder)
            }
            ObjectStoreScheme::Memory => {
                Ok(Self { store: Arc::new(InMemory::new()), prefix, folder: None, kind: "memory" })
            }
            other => {
                let kind = match other {
                    ObjectStoreScheme::AmazonS3 => "s3",
                    ObjectStoreScheme::GoogleCloudStorage => "gs",
                    ObjectStoreScheme::MicrosoftAzure => "azure",
                    _ => "other",
                };
                let environment = std::env::vars().filter(|(name, _)| {
                    ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|provider| name.starts_with(provider))
                });
                let options = environment.chain(options.iter().cloned());
                let (store, prefix) = object_store::parse_url_opts(&url, options)
                    .map_err(|error| Error::internal("The image store can't be opened", error))?;
                Ok(Self { store: store.into(), prefix, folder: None, kind })
            }
        }
    }

    fn in_folder(folder: PathBuf) -> Result<Self> {
        let failed = |error| Error::internal("The image store's folder can't be made", error);
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let store = LocalFileSystem::new_with_prefix(&folder)
            .map_err(|error| Error::internal("The image store's folder can't be opened", error))?
            .with_fsync(true);
        Ok(Self { store: Arc::new(store), prefix: Path::default(), folder: Some(folder), kind: "file" })
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

    /// Deletes a blob. Already gone is done.
    pub async fn delete(&self, id: BlobId) -> Result<()> {
        match self.store.delete(&self.key(id)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failure(id, error)),
        }
    }
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
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(|io| matches!(io.kind(), StorageFull | QuotaExceeded)) {
            return true;
        }
        cause = error.source();
    }
    false
}
