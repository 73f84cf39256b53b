//! Bytes of images that nobody needs: those whose image was deleted while the store was away, and what crashes left. An
//! upload whose process died is given up here too, so that it can be tried again.
//!
//! Not a workflow, because there is nothing to resume: each run looks at what is there. It reads the rows before it lists
//! the store and leaves alone whatever is younger than a day, so an upload under way is never taken for an orphan. When the
//! rows look wrong (see [`Blobs::sweep`]) it deletes nothing and says so.

use crate::blobs::{Blobs, Swept};
use crate::clock::{Clock, Timestamp};
use crate::error::{Result, with_causes};
use crate::store::{Db, blobs, images};
use std::collections::HashSet;
use std::future::Future;
use std::time::Duration;

/// An upload may take a day; what nobody has claimed by then, nobody will.
const AGE: Duration = Duration::from_secs(24 * 3600);
const PAUSE: Duration = Duration::from_secs(3600);

/// Deletes what nobody needs, once.
pub async fn sweep(db: &Db, store: &Blobs, now: Timestamp) -> Result<Swept> {
    let a_day_ago = Timestamp(now.0 - i64::try_from(AGE.as_micros()).unwrap_or(i64::MAX));
    db.write(move |tx| images::abandon_uploads(tx, a_day_ago, now)).await?;
    for id in db.read(blobs::unused).await? {
        store.delete(id).await?;
        db.write(move |tx| blobs::forget(tx, id)).await?;
    }
    let known: HashSet<_> = db.read(blobs::known).await?.into_iter().collect();
    store.sweep(&|id| known.contains(&id), AGE, now).await
}

/// Sweeps every hour until told to stop.
pub async fn every_hour(db: Db, store: Blobs, clock: Clock, stop: impl Future<Output = ()>) {
    let mut stop = std::pin::pin!(stop);
    loop {
        match sweep(&db, &store, clock.now()).await {
            Ok(swept) if swept.deleted + swept.staged == 0 => {}
            Ok(swept) => tracing::info!(deleted = swept.deleted, staged = swept.staged, "swept the image store"),
            Err(error) => tracing::warn!(error = with_causes(&error), "the image store was not swept"),
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = &mut stop => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blobs::Wish;
    use crate::cloud::image::{Image, Status};
    use crate::cloud::policy::Reach;
    use crate::ids::{BlobId, ImageId};
    use crate::store::images::Data;
    use bytes::Bytes;
    use futures::stream;

    const NOW: Timestamp = Timestamp(0);
    const MUCH_LATER: Timestamp = Timestamp(i64::MAX / 2);

    async fn put(store: &Blobs) -> BlobId {
        let id = BlobId::random();
        let bytes = stream::iter([Ok(Bytes::from_static(b"bytes"))]);
        store.put(id, bytes, &Wish::default(), Box::new(|_| Ok(()))).await.unwrap();
        id
    }

    /// An image with bytes.
    async fn image(db: &Db, store: &Blobs) -> (ImageId, BlobId) {
        let (id, blob) = (ImageId::random(), put(store).await);
        db.write(move |tx| {
            let mut image = Image::new(id, None, NOW);
            image.disk_format = Some("raw".into());
            image.container_format = Some("bare".into());
            images::insert(tx, &image)?;
            images::begin_upload(tx, id, blob, NOW)?;
            let data = Data { size: 5, virtual_size: None, md5: String::new(), sha512: String::new() };
            images::finish_upload(tx, id, blob, &data, NOW)
        })
        .await
        .unwrap();
        (id, blob)
    }

    #[tokio::test]
    async fn bytes_of_deleted_images_and_orphans_go_and_those_of_images_stay() {
        let (db, store) = (Db::memory().await, Blobs::open("memory:///", &[]).unwrap());
        let (_, kept) = image(&db, &store).await;
        let (deleted, freed) = image(&db, &store).await;
        let orphan = put(&store).await;
        db.write(move |tx| images::delete(tx, deleted, NOW)).await.unwrap();
        sweep(&db, &store, NOW).await.unwrap();
        assert_eq!(store.size(freed).await.unwrap(), None);
        assert_eq!(store.size(orphan).await.unwrap(), Some(5), "too young to judge");
        sweep(&db, &store, MUCH_LATER).await.unwrap();
        assert_eq!(store.size(orphan).await.unwrap(), None);
        assert_eq!(store.size(kept).await.unwrap(), Some(5));
        assert_eq!(db.read(blobs::known).await.unwrap(), [kept]);
    }

    #[tokio::test]
    async fn an_upload_that_nobody_finished_for_a_day_can_be_tried_again() {
        let (db, store) = (Db::memory().await, Blobs::open("memory:///", &[]).unwrap());
        let (id, blob) = (ImageId::random(), BlobId::random());
        db.write(move |tx| {
            images::insert(tx, &Image::new(id, None, NOW))?;
            images::begin_upload(tx, id, blob, NOW)
        })
        .await
        .unwrap();
        let status = async || db.read(move |tx| images::get(tx, &Reach::Cloud, id)).await.unwrap().status;
        sweep(&db, &store, NOW.plus_seconds(3600)).await.unwrap();
        assert_eq!(status().await, Status::Saving);
        sweep(&db, &store, NOW.plus_seconds(25 * 3600)).await.unwrap();
        assert_eq!(status().await, Status::Queued);
        assert!(db.read(blobs::known).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_emptied_database_costs_no_image_its_bytes() {
        let store = Blobs::open("memory:///", &[]).unwrap();
        let blob = put(&store).await;
        assert!(sweep(&Db::memory().await, &store, MUCH_LATER).await.is_err());
        assert_eq!(store.size(blob).await.unwrap(), Some(5));
    }
}
