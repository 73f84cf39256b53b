//! The same bytes are kept once, counted right, and nobody can tell, however uploads and deletions meet.

use super::*;
use crate::cloud::image::{Image, Place};
use crate::ids::ImageId;
use crate::store::testing::store_test;
use crate::store::{Db, image_copies, images};
use futures::future::join_all;

const NOW: Timestamp = Timestamp(1_000_000);

fn data(text: &str) -> Data {
    Data { size: text.len() as u64, virtual_size: None, md5: format!("md5 {text}"), sha512: format!("sha512 {text}") }
}

/// An image of a project whose bytes are on their way.
async fn begun(db: &Db, owner: &str) -> (ImageId, Place) {
    let (id, place) = (ImageId::random(), Place { store: "default".to_owned(), blob: BlobId::random() });
    let (image, begun) = (Image::new(id, Some(owner.into()), NOW), place.clone());
    db.write(move |tx| images::insert(tx, &image).and_then(|()| images::begin_upload(tx, id, &begun, NOW)))
        .await
        .unwrap();
    (id, place)
}

async fn finish(db: &Db, (id, place): &(ImageId, Place), text: &str) -> bool {
    let (id, blob, data) = (*id, place.blob, data(text));
    db.write(move |tx| images::finish_upload(tx, id, blob, &data, NOW)).await.unwrap()
}

async fn active(db: &Db, owner: &str, text: &str) -> (ImageId, Place) {
    let upload = begun(db, owner).await;
    assert!(finish(db, &upload, text).await);
    upload
}

async fn place_of(db: &Db, id: ImageId) -> BlobId {
    db.read(move |tx| images::any(tx, id)).await.unwrap().places[0].blob
}

/// Each blob counts exactly those that name it; answers how many blobs are needed, and how many are not.
async fn counted(db: &Db) -> (usize, usize) {
    let rows = db.read(|tx| {
        tx.query_map(
            "SELECT b.refcount, (SELECT COUNT(*) FROM images i WHERE i.blob_id = b.id)
                              + (SELECT COUNT(*) FROM image_copies c WHERE c.blob_id = b.id) FROM blobs b",
            &[],
            |mut row| Ok((row.next::<i64>()?, row.next::<i64>()?)),
        )
    });
    let (mut needed, mut unused) = (0, 0);
    for (counted, named) in rows.await.unwrap() {
        assert_eq!(counted, named);
        if named > 0 { needed += 1 } else { unused += 1 }
    }
    (needed, unused)
}

store_test! {
    async fn the_same_bytes_of_several_projects_are_one_blob_and_the_last_deletion_frees_it(db: Db) {
        let one = active(&db, "a", "same").await;
        let two = active(&db, "b", "same").await;
        let other = active(&db, "b", "other").await;
        assert_eq!(place_of(&db, two.0).await, one.1.blob);
        assert_eq!(place_of(&db, other.0).await, other.1.blob);
        assert_eq!(counted(&db).await, (2, 1));
        assert_eq!(db.read(unused).await.unwrap(), std::slice::from_ref(&two.1));
        let freed = db.write(move |tx| images::delete(tx, one.0, NOW)).await.unwrap();
        assert_eq!(freed, [], "another project's image has the same bytes");
        let freed = db.write(move |tx| images::delete(tx, two.0, NOW)).await.unwrap();
        assert_eq!(freed, [one.1]);
        assert_eq!(counted(&db).await, (1, 2));
    }

    async fn a_hash_alone_or_another_store_makes_no_bytes_the_same(db: Db) {
        let one = active(&db, "a", "same").await;
        for (size, md5) in [(5, "md5 same"), (4, "md5 other")] {
            let upload = begun(&db, "b").await;
            let (id, blob) = (upload.0, upload.1.blob);
            let data = Data { size, virtual_size: None, md5: md5.to_owned(), sha512: "sha512 same".to_owned() };
            assert!(db.write(move |tx| images::finish_upload(tx, id, blob, &data, NOW)).await.unwrap());
            assert_eq!(place_of(&db, id).await, blob);
        }
        let elsewhere = Place { store: "slow".to_owned(), blob: BlobId::random() };
        let copy = elsewhere.clone();
        let copied = db.write(move |tx| {
            image_copies::begin(tx, one.0, &copy, NOW)?;
            image_copies::finish(tx, one.0, &copy, &data("same"))
        });
        assert!(copied.await.unwrap());
        assert!(db.read(unused).await.unwrap().is_empty());
        let again = Place { store: "slow".to_owned(), blob: BlobId::random() };
        let (two, copy) = (active(&db, "b", "same").await, again.clone());
        let copied = db.write(move |tx| {
            image_copies::begin(tx, two.0, &copy, NOW)?;
            image_copies::finish(tx, two.0, &copy, &data("same"))
        });
        assert!(copied.await.unwrap());
        let places = db.read(move |tx| images::any(tx, two.0)).await.unwrap().places;
        assert_eq!(places[1], elsewhere, "a copy of the same bytes in the same store");
        counted(&db).await;
    }

    async fn uploads_of_the_same_bytes_that_race_leave_one_blob(db: Db) {
        let uploads = join_all((0..6).map(|at| begun(&db, ["a", "b", "c"][at % 3]))).await;
        let finished = join_all(uploads.iter().map(|upload| finish(&db, upload, "same"))).await;
        assert_eq!(finished, [true; 6]);
        assert_eq!(counted(&db).await, (1, 5));
    }

    async fn a_deletion_that_meets_an_upload_of_the_same_bytes_never_takes_them_away(db: Db) {
        for _ in 0..8 {
            let (old, _) = active(&db, "a", "same").await;
            let upload = begun(&db, "b").await;
            let deletion = db.write(move |tx| images::delete(tx, old, NOW));
            let (freed, finished) = futures::join!(deletion, finish(&db, &upload, "same"));
            assert!(finished);
            let kept = place_of(&db, upload.0).await;
            assert!(freed.unwrap().iter().all(|place| place.blob != kept));
            assert!(db.read(move |tx| is_needed(tx, kept)).await.unwrap());
            counted(&db).await;
            db.write(move |tx| images::delete(tx, upload.0, NOW)).await.unwrap();
            let unused = db.read(unused).await.unwrap();
            db.write(move |tx| unused.iter().try_for_each(|place| forget(tx, place.blob))).await.unwrap();
            assert_eq!(counted(&db).await, (0, 0));
        }
    }

    async fn bytes_on_their_way_out_are_given_to_nobody(db: Db) {
        let (old, place) = active(&db, "a", "same").await;
        db.write(move |tx| images::delete(tx, old, NOW)).await.unwrap();
        let (new, own) = active(&db, "b", "same").await;
        assert_eq!(place_of(&db, new).await, own.blob);
        assert_eq!(db.read(unused).await.unwrap(), [place]);
    }

    async fn bytes_that_were_stored_twice_before_are_folded_into_the_oldest(db: Db) {
        let mut ids = Vec::new();
        for owner in ["a", "b", "c"] {
            let upload = active(&db, owner, owner).await;
            ids.push(upload.0);
        }
        db.write(|tx| tx.execute("UPDATE blobs SET size = 4, md5 = 'm', sha512 = 's'", &[])).await.unwrap();
        assert_eq!(db.write(fold).await.unwrap(), 2);
        assert_eq!(counted(&db).await, (1, 2));
        let kept = place_of(&db, ids[0]).await;
        for id in ids {
            assert_eq!(place_of(&db, id).await, kept);
        }
        assert_eq!(db.write(fold).await.unwrap(), 0);
    }
}
