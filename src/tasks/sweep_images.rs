//! Bytes of images that nobody needs: those whose image was deleted while the store was away, and what crashes left. An
//! upload whose process died is given up here too, so that it can be tried again.
//!
//! This is also where bytes go whose image was deleted or that were there before: soon after the fact, but never while a
//! client waits, because how long that takes would tell whether others have the same bytes. Before a duplicate is deleted,
//! the store is asked whether the one that is kept is still there whole; if it isn't, the duplicate takes its place.
//!
//! Not a workflow, because there is nothing to resume: each run looks at what is there. It reads the rows before it lists
//! the store and leaves alone whatever is younger than a day, so an upload under way is never taken for an orphan. When the
//! rows look wrong (see [`Blobs::sweep`]) it deletes nothing and says so.

use super::crash_point;
use crate::blobs::{Stores, Swept};
use crate::clock::{Clock, Timestamp};
use crate::cloud::image::Place;
use crate::error::{Result, with_causes};
use crate::ids::BlobId;
use crate::store::{Db, blobs, image_imports, image_members, image_tasks, image_uploads, images};
use std::collections::HashSet;
use std::future::Future;
use std::time::Duration;

/// An upload may take a day; what nobody has claimed by then, nobody will.
const AGE: Duration = Duration::from_secs(24 * 3600);
/// A part of an upload is named before it is made; what is not named by then never will be.
const AGE_OF_PARTS: Duration = Duration::from_secs(3600);
const PAUSE: Duration = Duration::from_secs(3600);
/// Bytes that were just given up may be about to be read by whoever asked where they are before; and what a client does
/// right after its answer shall not meet their deletion.
const SETTLE: Duration = Duration::from_secs(1);

/// Deletes what nobody needs, once, in every store. A store that is away or looks wrong keeps what it has; the others are
/// swept all the same, and then its error is answered.
pub async fn sweep(db: &Db, stores: &Stores, now: Timestamp) -> Result<Swept> {
    let ago = |age: Duration| Timestamp(now.0 - i64::try_from(age.as_micros()).unwrap_or(i64::MAX));
    let (a_day_ago, an_hour_ago) = (ago(AGE), ago(AGE_OF_PARTS));
    db.write(move |tx| {
        image_tasks::purge(tx, now)?;
        image_members::purge(tx, now)?;
        image_uploads::purge(tx, now)?;
        image_imports::abandon_stages(tx, a_day_ago, now)?;
        images::abandon_uploads(tx, a_day_ago, now)?;
        blobs::fold(tx)
    })
    .await?;
    let mut failed = clear(db, stores).await.err();
    let known = db.read(blobs::known).await?;
    let mut swept = Swept::default();
    for store in stores.iter() {
        let known: HashSet<BlobId> =
            known.iter().filter(|place| place.store == store.name).map(|place| place.blob).collect();
        match store.blobs.sweep(&|id| known.contains(&id), AGE, now).await {
            Ok(one) => swept = swept.and(one),
            Err(error) => {
                failed.get_or_insert(error);
            }
        }
    }
    let named = async || Ok(db.read(image_uploads::files).await?.into_iter().collect());
    match stores.parts().sweep(named, an_hour_ago).await {
        Ok(parts) => swept.staged += parts,
        Err(error) => {
            failed.get_or_insert(error);
        }
    }
    failed.map_or(Ok(swept), Err)
}

/// Deletes what rows have given up, however young: bytes, and parts of uploads that are over. What can't be deleted is left;
/// the first error is answered.
pub async fn clear(db: &Db, stores: &Stores) -> Result<()> {
    let mut failed = None;
    for place in db.read(blobs::unused).await? {
        let cleared = match replaced(db, stores, &place).await {
            Ok(true) => Ok(()),
            Ok(false) => clear_away(db, stores, &place).await,
            Err(error) => Err(error),
        };
        if let Err(error) = cleared {
            failed.get_or_insert(error);
        }
    }
    for part in db.read(image_uploads::leftovers).await? {
        if let Err(error) = stores.parts().remove(part).await {
            failed.get_or_insert(error);
            continue;
        }
        db.write(move |tx| image_uploads::forget_leftover(tx, part)).await?;
    }
    failed.map_or(Ok(()), Err)
}

/// Did unused bytes take the place of those that were kept in theirs, and aren't there any more?
async fn replaced(db: &Db, stores: &Stores, place: &Place) -> Result<bool> {
    let unused = place.blob;
    let Some((kept, size)) = db.read(move |tx| blobs::twin(tx, unused)).await? else { return Ok(false) };
    let blobs = stores.of(&place.store)?;
    if blobs.size(kept).await? == Some(size) || blobs.size(unused).await? != Some(size) {
        return Ok(false);
    }
    tracing::warn!(lost = %kept, by = %unused, store = place.store, "bytes that were lost have come again");
    db.write(move |tx| blobs::hand_over(tx, kept, unused)).await
}

/// Deletes bytes of the list of a moment ago, unless another sweep has found a use for them since.
async fn clear_away(db: &Db, stores: &Stores, place: &Place) -> Result<()> {
    let blob = place.blob;
    if db.write(move |tx| blobs::condemn(tx, blob)).await? { delete(db, stores, place).await } else { Ok(()) }
}

/// Deletes bytes that nobody needs, and then their row. Already gone is done.
///
/// # Errors
/// `Unavailable` when the store is away: the row stays, and the next sweep tries again.
pub async fn delete(db: &Db, stores: &Stores, place: &Place) -> Result<()> {
    let blob = place.blob;
    stores.of(&place.store)?.delete(blob).await?;
    crash_point::reached("delete_image").await;
    db.write(move |tx| blobs::forget(tx, blob)).await
}

/// Sweeps every hour, and clears away soon what has been given up, until told to stop.
pub async fn run(db: Db, stores: Stores, clock: Clock, stop: impl Future<Output = ()>) {
    let mut stop = std::pin::pin!(stop);
    let mut rounds = tokio::time::interval(PAUSE);
    loop {
        tokio::select! {
            () = &mut stop => return,
            _ = rounds.tick() => match sweep(&db, &stores, clock.now()).await {
                Ok(swept) if swept.deleted + swept.staged == 0 => {}
                Ok(swept) => tracing::info!(deleted = swept.deleted, staged = swept.staged, "swept the image store"),
                Err(error) => tracing::warn!(error = with_causes(&error), "the image store was not swept"),
            },
            () = stores.given_up() => {
                tokio::select! {
                    () = &mut stop => return,
                    () = tokio::time::sleep(SETTLE) => {}
                }
                if let Err(error) = clear(&db, &stores).await {
                    tracing::warn!(error = with_causes(&error), "bytes are left for the next sweep");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blobs::{Blobs, Wish};
    use crate::cloud::image::{Image, Status};
    use crate::ids::{BlobId, ImageId};
    use crate::store::images::Data;
    use bytes::Bytes;
    use futures::stream;

    const NOW: Timestamp = Timestamp(0);
    const MUCH_LATER: Timestamp = Timestamp(i64::MAX / 2);

    fn single() -> Stores {
        Stores::single(Blobs::open("memory:///", &[]).unwrap())
    }

    async fn size(stores: &Stores, place: &Place) -> Option<u64> {
        stores.of(&place.store).unwrap().size(place.blob).await.unwrap()
    }

    async fn put(stores: &Stores) -> Place {
        let id = BlobId::random();
        let bytes = stream::iter([Ok(Bytes::from_static(b"bytes"))]);
        let store = stores.default_store();
        store.blobs.put(id, bytes, &Wish::default(), Box::new(|_| Ok(()))).await.unwrap();
        Place { store: store.name.clone(), blob: id }
    }

    /// An image with bytes.
    async fn image(db: &Db, stores: &Stores) -> (ImageId, Place) {
        let (id, place) = (ImageId::random(), put(stores).await);
        let written = place.clone();
        db.write(move |tx| {
            let mut image = Image::new(id, None, NOW);
            image.disk_format = Some("raw".into());
            image.container_format = Some("bare".into());
            images::insert(tx, &image)?;
            images::begin_upload(tx, id, &written, NOW)?;
            let data = Data { size: 5, virtual_size: None, md5: String::new(), sha512: written.blob.to_string() };
            images::finish_upload(tx, id, written.blob, &data, NOW)
        })
        .await
        .unwrap();
        (id, place)
    }

    #[tokio::test]
    async fn bytes_of_deleted_images_and_orphans_go_and_those_of_images_stay() {
        let (db, store) = (Db::memory().await, single());
        let (_, kept) = image(&db, &store).await;
        let (deleted, freed) = image(&db, &store).await;
        let orphan = put(&store).await;
        db.write(move |tx| images::delete(tx, deleted, NOW)).await.unwrap();
        sweep(&db, &store, NOW).await.unwrap();
        assert_eq!(size(&store, &freed).await, None);
        assert_eq!(size(&store, &orphan).await, Some(5), "too young to judge");
        sweep(&db, &store, MUCH_LATER).await.unwrap();
        assert_eq!(size(&store, &orphan).await, None);
        assert_eq!(size(&store, &kept).await, Some(5));
        assert_eq!(db.read(blobs::known).await.unwrap(), [kept]);
    }

    /// An image with the same bytes as every other of these.
    async fn same(db: &Db, stores: &Stores) -> (ImageId, Place) {
        let (id, place) = (ImageId::random(), put(stores).await);
        let written = place.clone();
        db.write(move |tx| {
            images::insert(tx, &Image::new(id, None, NOW))?;
            images::begin_upload(tx, id, &written, NOW)?;
            let data = Data { size: 5, virtual_size: None, md5: "m".to_owned(), sha512: "s".to_owned() };
            images::finish_upload(tx, id, written.blob, &data, NOW)
        })
        .await
        .unwrap();
        (id, place)
    }

    #[tokio::test]
    async fn a_duplicate_goes_and_what_is_kept_of_it_stays_until_its_last_image_is_deleted() {
        let (db, stores) = (Db::memory().await, single());
        let ((one, kept), (two, duplicate)) = (same(&db, &stores).await, same(&db, &stores).await);
        clear(&db, &stores).await.unwrap();
        assert_eq!((size(&stores, &kept).await, size(&stores, &duplicate).await), (Some(5), None));
        db.write(move |tx| images::delete(tx, one, NOW)).await.unwrap();
        clear(&db, &stores).await.unwrap();
        assert_eq!(size(&stores, &kept).await, Some(5), "the other image has it");
        db.write(move |tx| images::delete(tx, two, NOW)).await.unwrap();
        clear(&db, &stores).await.unwrap();
        assert_eq!(size(&stores, &kept).await, None);
        assert!(db.read(blobs::known).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn bytes_that_were_lost_and_come_again_serve_every_image_that_had_them() {
        let (db, stores) = (Db::memory().await, single());
        let (one, lost) = same(&db, &stores).await;
        stores.of("default").unwrap().delete(lost.blob).await.unwrap();
        let (_, again) = same(&db, &stores).await;
        clear(&db, &stores).await.unwrap();
        clear(&db, &stores).await.unwrap();
        let image = db.read(move |tx| images::any(tx, one)).await.unwrap();
        assert_eq!(image.places, std::slice::from_ref(&again));
        assert_eq!(size(&stores, &again).await, Some(5));
        assert_eq!(db.read(blobs::known).await.unwrap(), [again]);
    }

    #[tokio::test]
    async fn bytes_that_one_sweep_rescued_survive_another_that_had_listed_them() {
        let (db, stores) = (Db::memory().await, single());
        let (_, lost) = same(&db, &stores).await;
        stores.of("default").unwrap().delete(lost.blob).await.unwrap();
        let (_, again) = same(&db, &stores).await;
        let listed = db.read(blobs::unused).await.unwrap();
        assert!(listed.contains(&again));
        clear(&db, &stores).await.unwrap();
        for place in &listed {
            clear_away(&db, &stores, place).await.unwrap();
        }
        assert_eq!(size(&stores, &again).await, Some(5));
    }

    #[tokio::test]
    async fn bytes_that_one_sweep_has_condemned_are_no_others_rescue() {
        let (db, stores) = (Db::memory().await, single());
        let (_, lost) = same(&db, &stores).await;
        stores.of("default").unwrap().delete(lost.blob).await.unwrap();
        let (_, again) = same(&db, &stores).await;
        assert!(db.write(move |tx| blobs::condemn(tx, again.blob)).await.unwrap());
        assert!(!db.write(move |tx| blobs::hand_over(tx, lost.blob, again.blob)).await.unwrap());
        assert!(!db.write(move |tx| blobs::condemn(tx, lost.blob)).await.unwrap(), "an image counts on it");
    }

    #[tokio::test]
    async fn an_upload_that_nobody_finished_for_a_day_can_be_tried_again() {
        let (db, store) = (Db::memory().await, single());
        let (id, place) = (ImageId::random(), Place { store: "default".to_owned(), blob: BlobId::random() });
        db.write(move |tx| {
            images::insert(tx, &Image::new(id, None, NOW))?;
            images::begin_upload(tx, id, &place, NOW)
        })
        .await
        .unwrap();
        let status = async || db.read(move |tx| images::any(tx, id)).await.unwrap().status;
        sweep(&db, &store, NOW.plus_seconds(3600)).await.unwrap();
        assert_eq!(status().await, Status::Saving);
        sweep(&db, &store, NOW.plus_seconds(25 * 3600)).await.unwrap();
        assert_eq!(status().await, Status::Queued);
        assert!(db.read(blobs::known).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_emptied_database_costs_no_image_its_bytes() {
        let store = single();
        let place = put(&store).await;
        assert!(sweep(&Db::memory().await, &store, MUCH_LATER).await.is_err());
        assert_eq!(size(&store, &place).await, Some(5));
    }
}
