//! Copies of an image's bytes in further stores.
//!
//! `images.blob_id` names the bytes an image is made of; a row here names the same bytes elsewhere. A copy is announced
//! before it is written, so that a copier who died leaves a row that says what to clear away.

use super::images::Data;
use super::{Row, Tx, args, blobs};
use crate::clock::Timestamp;
use crate::cloud::image::Place;
use crate::error::Result;
use crate::ids::{BlobId, ImageId};

/// A copy is about to be written. Answers what an earlier try left and nobody needs any more.
pub fn begin(tx: &mut Tx, image: ImageId, place: &Place, now: Timestamp) -> Result<Option<Place>> {
    let left = abandon(tx, image, &place.store)?;
    blobs::announce(tx, place, now)?;
    tx.execute(
        "INSERT INTO image_copies (image_id, store, blob_id, is_whole, created_at) VALUES (?1, ?2, ?3, 0, ?4)",
        args![image, &place.store, place.blob, now],
    )?;
    Ok(left)
}

/// It is whole. `false`: the image is gone, or the copy was given up meanwhile, and the bytes are nobody's.
pub fn finish(tx: &mut Tx, image: ImageId, place: &Place, data: &Data) -> Result<bool> {
    let changed = tx.execute(
        "UPDATE image_copies SET is_whole = 1 WHERE image_id = ?1 AND store = ?2 AND blob_id = ?3",
        args![image, &place.store, place.blob],
    )?;
    if changed == 1 {
        let kept = blobs::describe(tx, place.blob, data)?;
        tx.execute(
            "UPDATE image_copies SET blob_id = ?3 WHERE image_id = ?1 AND store = ?2",
            args![image, &place.store, kept],
        )?;
    }
    Ok(changed == 1)
}

/// Gives up the copy in a store, whole or not. Answers the bytes to delete.
pub fn abandon(tx: &mut Tx, image: ImageId, store: &str) -> Result<Option<Place>> {
    let row = tx.query_one(
        "DELETE FROM image_copies WHERE image_id = ?1 AND store = ?2 RETURNING blob_id",
        args![image, store],
    )?;
    match row {
        Some(mut row) => blobs::release(tx, row.next()?),
        None => Ok(None),
    }
}

/// Are the bytes of the copy in a store all there?
pub fn is_whole(tx: &mut Tx, image: ImageId, store: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM image_copies WHERE image_id = ?1 AND store = ?2 AND is_whole = 1";
    Ok(tx.query_one(sql, args![image, store])?.is_some())
}

/// The images that a blob is part of.
pub fn images_of(tx: &mut Tx, blob: BlobId) -> Result<Vec<ImageId>> {
    let rows = tx.query(
        "SELECT id FROM images WHERE blob_id = ?1 UNION SELECT image_id FROM image_copies WHERE blob_id = ?1 ORDER BY 1",
        args![blob],
    )?;
    rows.into_iter().map(|mut row| row.next()).collect()
}

/// Every copy of an image, those on their way too.
pub fn all(tx: &mut Tx, image: ImageId) -> Result<Vec<Place>> {
    let rows = tx.query("SELECT store, blob_id FROM image_copies WHERE image_id = ?1 ORDER BY store", args![image])?;
    rows.into_iter().map(place).collect()
}

/// The first whole copy, in the order in which they were made.
pub fn first_whole(tx: &mut Tx, image: ImageId) -> Result<Option<Place>> {
    let row = tx.query_one(
        "SELECT store, blob_id FROM image_copies WHERE image_id = ?1 AND is_whole = 1 ORDER BY created_at, store LIMIT 1",
        args![image],
    )?;
    row.map(place).transpose()
}

/// The image's own bytes are given up, and a copy takes their place. Answers the bytes to delete; `None` for the image's
/// new bytes means that there is no copy.
pub fn promote(tx: &mut Tx, image: ImageId, old: BlobId, now: Timestamp) -> Result<Option<(Place, Option<Place>)>> {
    let Some(copy) = first_whole(tx, image)? else { return Ok(None) };
    tx.execute("DELETE FROM image_copies WHERE image_id = ?1 AND store = ?2", args![image, &copy.store])?;
    tx.execute("UPDATE images SET blob_id = ?2, updated_at = ?3 WHERE id = ?1", args![image, copy.blob, now])?;
    let freed = blobs::release(tx, old)?;
    Ok(Some((copy, freed)))
}

fn place(mut row: Row) -> Result<Place> {
    Ok(Place { store: row.next()?, blob: row.next()? })
}
