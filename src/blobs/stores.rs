//! Several image stores at once, each under a name that operators chose and clients see.
//!
//! One of them is where bytes go unless somebody says otherwise. Where only `images.store` is set there is one store, and
//! clients hear no name of it, as upstream's clients hear none where a single backend is configured; rows call it
//! `default`. An operator who adds stores later lists the old one under that name, and every row stays true.

use super::{Blobs, Parts};
use crate::error::{Error, Result};
use bytes::Bytes;
use futures::stream::BoxStream;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Notify;

/// What rows call the store where only one is set.
pub const UNNAMED: &str = "default";

/// A store and how it is spoken of.
#[derive(Debug, Clone)]
pub struct Store {
    pub name: String,
    pub description: Option<String>,
    pub blobs: Blobs,
}

/// Every store there is. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Stores {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    stores: Vec<Store>,
    default: usize,
    are_named: bool,
    given_up: Notify,
    parts: Parts,
}

impl Stores {
    /// The one store there is, without a name.
    pub fn single(blobs: Blobs) -> Self {
        let store = Store { name: UNNAMED.to_owned(), description: None, blobs };
        Self {
            inner: Arc::new(Inner {
                stores: vec![store],
                default: 0,
                are_named: false,
                given_up: Notify::new(),
                parts: own_parts(),
            }),
        }
    }

    /// Several, one of them the default.
    ///
    /// # Errors
    /// `BadRequest`, in a sentence for the operator, for a name that lists of names could not hold, or a default that is
    /// none of them.
    pub fn named(stores: Vec<Store>, default: &str) -> Result<Self> {
        for Store { name, .. } in &stores {
            let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
            if name.is_empty() || !is_plain || name.starts_with("os_glance_") {
                return Err(Error::bad_request(format!(
                    "images.stores: {name:?} is no name for a store; letters, digits, '-', '_' and '.' make one"
                )));
            }
        }
        let default = stores.iter().position(|store| store.name == default).ok_or_else(|| {
            Error::bad_request(format!("images.default_store = {default:?} is none of the stores in images.stores"))
        })?;
        Ok(Self {
            inner: Arc::new(Inner { stores, default, are_named: true, given_up: Notify::new(), parts: own_parts() }),
        })
    }

    /// The same, with what is not whole yet in this folder.
    pub fn with_parts_in(mut self, folder: impl Into<PathBuf>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.parts = Parts::in_folder(folder);
        }
        self
    }

    /// Parts of uploads that are not whole yet.
    pub fn parts(&self) -> &Parts {
        &self.inner.parts
    }

    /// Says that rows have given up bytes, so that whoever sweeps looks soon. Nobody waits for it.
    pub fn say_given_up(&self) {
        self.inner.given_up.notify_one();
    }

    /// Waits until somebody has said so since the last look.
    pub async fn given_up(&self) {
        self.inner.given_up.notified().await;
    }

    /// Do clients hear names of stores?
    pub fn are_named(&self) -> bool {
        self.inner.are_named
    }

    /// Where bytes go unless somebody says otherwise.
    pub fn default_store(&self) -> &Store {
        &self.inner.stores[self.inner.default]
    }

    pub fn iter(&self) -> impl Iterator<Item = &Store> {
        self.inner.stores.iter()
    }

    pub fn names(&self) -> Vec<String> {
        self.iter().map(|store| store.name.clone()).collect()
    }

    pub fn find(&self, name: &str) -> Option<&Store> {
        self.iter().find(|store| store.name == name)
    }

    /// The bytes of the store that a row names.
    ///
    /// # Errors
    /// `Unavailable` when this process has no such store: the operator took it out of the settings.
    pub fn of(&self, name: &str) -> Result<&Blobs> {
        let missing = || Error::unavailable("The image store", format!("no store {name} is set"));
        self.find(name).map(|store| &store.blobs).ok_or_else(missing)
    }

    /// Reads the same bytes from the first place that has them. A place is a store's name and a blob in it.
    ///
    /// # Errors
    /// Of the first place, when none has them.
    pub async fn get<'p>(
        &self,
        places: impl IntoIterator<Item = (&'p str, crate::ids::BlobId)> + Send,
        range: Option<Range<u64>>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        let places: Vec<_> = places.into_iter().collect();
        let mut first = None;
        for (store, blob) in places {
            let tried = match self.of(store) {
                Ok(blobs) => blobs.get(blob, range.clone()).await,
                Err(error) => Err(error),
            };
            match tried {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    tracing::warn!(store, %blob, error = crate::error::with_causes(&error), "bytes were not to be had");
                    first.get_or_insert(error);
                }
            }
        }
        Err(first.unwrap_or_else(|| Error::unavailable("The image store", "no place of the bytes is known")))
    }
}

/// A folder that nobody else has, for who sets none.
fn own_parts() -> Parts {
    Parts::in_folder(std::env::temp_dir().join(format!("gapura-uploads-{}", uuid::Uuid::new_v4())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blobs::Wish;
    use crate::ids::BlobId;
    use futures::{StreamExt, stream};

    fn store(name: &str) -> Store {
        Store { name: name.to_owned(), description: None, blobs: Blobs::open("memory:///", &[]).unwrap() }
    }

    #[test]
    fn a_store_has_a_plain_name_and_the_default_is_one_of_them() {
        assert!(Stores::named(vec![store("fast"), store("slow-2")], "fast").is_ok());
        for (name, default) in [("a,b", "a,b"), ("", ""), ("a b", "a b"), ("os_glance_staging", "os_glance_staging")] {
            assert!(Stores::named(vec![store(name)], default).is_err(), "{name:?}");
        }
        assert!(Stores::named(vec![store("fast")], "slow").is_err());
    }

    #[tokio::test]
    async fn bytes_come_from_the_first_place_that_has_them() {
        let stores = Stores::named(vec![store("fast"), store("slow")], "fast").unwrap();
        let (lost, kept) = (BlobId::random(), BlobId::random());
        let bytes = stream::iter([Ok(Bytes::from_static(b"bytes"))]);
        let slow = stores.of("slow").unwrap();
        slow.put(kept, bytes, &Wish::default(), Box::new(|_| Ok(()))).await.unwrap();
        let places = [("gone", lost), ("fast", lost), ("slow", kept)];
        let mut stream = stores.get(places, Some(1..3)).await.unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap(), "yt");
        assert!(stores.get([("fast", lost)], None).await.is_err_and(|error| error.is_not_found()));
    }
}
