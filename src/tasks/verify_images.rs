//! Are the bytes of images still what they were when they were taken? Reads every blob that something needs, whole, and
//! compares with its row. Changes nothing: what to do about a wrong one (another store may have a right copy) is an
//! operator's decision.

use crate::blobs::Stores;
use crate::cloud::image::Place;
use crate::error::{Result, with_causes};
use crate::ids::ImageId;
use crate::store::images::Data;
use crate::store::{Db, blobs, image_copies};
use std::fmt;

/// A blob that isn't what its row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub place: Place,
    /// Who needs it.
    pub images: Vec<ImageId>,
    pub what: Wrong,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    Missing,
    Size {
        expected: u64,
        found: u64,
    },
    Hash,
    /// Nothing is known of it: the store is away, or broke off.
    Unreadable(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let images: Vec<_> = self.images.iter().map(ToString::to_string).collect();
        write!(f, "image {}: {} in store {} ", images.join(", "), self.place.blob, self.place.store)?;
        match &self.what {
            Wrong::Missing => f.write_str("is not there"),
            Wrong::Size { expected, found } => write!(f, "has {found} bytes and should have {expected}"),
            Wrong::Hash => f.write_str("has other bytes than it was given"),
            Wrong::Unreadable(why) => write!(f, "could not be read: {why}"),
        }
    }
}

/// What was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    pub blobs: usize,
    pub bytes: u64,
    pub findings: Vec<Finding>,
}

/// Reads everything once. An image that is deleted meanwhile is no finding.
///
/// # Errors
/// When the database can't be asked.
pub async fn verify(db: &Db, stores: &Stores) -> Result<Verified> {
    let mut verified = Verified::default();
    for (place, expected) in db.read(blobs::whole).await? {
        let (read, wrong) = look(stores, &place, &expected).await;
        let blob = place.blob;
        let (is_needed, images) =
            db.read(move |tx| Ok((blobs::is_needed(tx, blob)?, image_copies::images_of(tx, blob)?))).await?;
        if !is_needed {
            continue;
        }
        verified.blobs += 1;
        verified.bytes += read;
        verified.findings.extend(wrong.map(|what| Finding { place, images, what }));
    }
    Ok(verified)
}

async fn look(stores: &Stores, place: &Place, expected: &Data) -> (u64, Option<Wrong>) {
    let read = match stores.of(&place.store) {
        Ok(blobs) => blobs.rehash(place.blob).await,
        Err(error) => Err(error),
    };
    match read {
        Err(error) => (0, Some(Wrong::Unreadable(with_causes(&error)))),
        Ok(None) => (0, Some(Wrong::Missing)),
        Ok(Some((size, _))) if size != expected.size => {
            (size, Some(Wrong::Size { expected: expected.size, found: size }))
        }
        Ok(Some((size, sums))) => {
            let is_right = sums.sha512 == expected.sha512 && sums.md5 == expected.md5;
            (size, (!is_right).then_some(Wrong::Hash))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blobs::{Blobs, Wish};
    use crate::clock::Timestamp;
    use crate::cloud::image::Image;
    use crate::ids::BlobId;
    use crate::store::images;
    use bytes::Bytes;
    use futures::stream;

    const NOW: Timestamp = Timestamp(0);

    async fn put(blobs: &Blobs, id: BlobId, bytes: &'static [u8]) -> Data {
        let bytes = stream::iter([Ok(Bytes::from_static(bytes))]);
        let stored = blobs.put(id, bytes, &Wish::default(), Box::new(|_| Ok(()))).await.unwrap();
        Data { size: stored.size, virtual_size: None, md5: stored.md5, sha512: stored.sha512 }
    }

    async fn image(db: &Db, stores: &Stores, bytes: &'static [u8]) -> (ImageId, BlobId) {
        let (id, blob) = (ImageId::random(), BlobId::random());
        let data = put(&stores.default_store().blobs, blob, bytes).await;
        let place = Place { store: "default".to_owned(), blob };
        db.write(move |tx| {
            images::insert(tx, &Image::new(id, None, NOW))?;
            images::begin_upload(tx, id, &place, NOW)?;
            images::finish_upload(tx, id, blob, &data, NOW)
        })
        .await
        .unwrap();
        (id, blob)
    }

    #[tokio::test]
    async fn bytes_that_changed_or_went_are_found_and_named_and_nothing_else_is() {
        let db = Db::memory().await;
        let stores = Stores::single(Blobs::open("memory:///", &[]).unwrap());
        let mut images = Vec::new();
        for bytes in [b"bytes", b"other", b"third", b"forth"] {
            images.push(image(&db, &stores, bytes).await);
        }
        let verified = verify(&db, &stores).await.unwrap();
        assert_eq!((verified.blobs, verified.bytes, verified.findings), (4, 20, vec![]));

        let blobs = &stores.default_store().blobs;
        put(blobs, images[0].1, b"bites").await;
        put(blobs, images[1].1, b"byte").await;
        blobs.delete(images[2].1).await.unwrap();
        let verified = verify(&db, &stores).await.unwrap();
        let mut found: Vec<_> = verified.findings.into_iter().map(|one| (one.images[0], one.what)).collect();
        let mut expected = vec![
            (images[0].0, Wrong::Hash),
            (images[1].0, Wrong::Size { expected: 5, found: 4 }),
            (images[2].0, Wrong::Missing),
        ];
        found.sort_by_key(|(image, _)| image.to_string());
        expected.sort_by_key(|(image, _)| image.to_string());
        assert_eq!(found, expected);
    }
}
