//! An importing image's bytes on their way from what came to what is kept: unpacked, converted.
//!
//! A plugin makes new bytes beside the image's own, announced by a row here first, so that a try that died is found by the
//! next. When they are whole they take the place of the old ones, in one transaction with the count of plugins that are
//! done with: a step that is taken again sees that its work is done, and doesn't do it to its own result.

use super::images::Data;
use super::{Tx, args, blobs};
use crate::clock::Timestamp;
use crate::cloud::image::Place;
use crate::error::{Error, Kind, Result};
use crate::ids::{BlobId, ImageId};

/// How many plugins the image's bytes have been through.
pub fn done(tx: &mut Tx, id: ImageId) -> Result<usize> {
    let row = tx.query_one("SELECT done FROM image_working WHERE image_id = ?1", args![id])?;
    let done: u64 = row.map(|mut row| row.next()).transpose()?.unwrap_or(0);
    Ok(usize::try_from(done).unwrap_or(usize::MAX))
}

/// New bytes are about to be made of an importing image's. Answers what an earlier try left.
///
/// # Errors
/// `NotFound` when the image is gone, or no longer importing.
pub fn begin(tx: &mut Tx, id: ImageId, place: &Place, now: Timestamp) -> Result<Option<Place>> {
    let is_importing = tx.query_one("SELECT 1 FROM images WHERE id = ?1 AND status = 'importing'", args![id])?;
    is_importing.ok_or_else(|| Error::not_found(Kind::Image, id))?;
    let left = abandon(tx, id)?;
    blobs::announce(tx, place, now)?;
    tx.execute(
        "INSERT INTO image_working (image_id, blob_id, done) VALUES (?1, ?2, 0)
         ON CONFLICT (image_id) DO UPDATE SET blob_id = excluded.blob_id",
        args![id, place.blob],
    )?;
    Ok(left)
}

/// They are whole, and the image's own from now on: the plugin of this number is done. `false`: the image is gone, or the
/// bytes were given up meanwhile, and are nobody's.
pub fn finish(tx: &mut Tx, id: ImageId, plugin: usize, blob: BlobId, data: &Data, now: Timestamp) -> Result<bool> {
    let row = tx.query_one(
        "SELECT i.blob_id FROM images i JOIN image_working w ON w.image_id = i.id
          WHERE i.id = ?1 AND i.status = 'importing' AND w.blob_id = ?2",
        args![id, blob],
    )?;
    let Some(mut row) = row else { return Ok(false) };
    let old: Option<BlobId> = row.next()?;
    let kept = blobs::describe(tx, blob, data)?;
    tx.execute(
        "UPDATE images SET blob_id = ?2, size = ?3, updated_at = ?4 WHERE id = ?1",
        args![id, kept, data.size, now],
    )?;
    let done = u64::try_from(plugin + 1).unwrap_or(u64::MAX);
    tx.execute("UPDATE image_working SET blob_id = NULL, done = ?2 WHERE image_id = ?1", args![id, done])?;
    if let Some(old) = old {
        blobs::release(tx, old)?;
    }
    Ok(true)
}

/// Gives up bytes on their way. Answers those to delete.
pub fn abandon(tx: &mut Tx, id: ImageId) -> Result<Option<Place>> {
    let row = tx.query_one("SELECT blob_id FROM image_working WHERE image_id = ?1", args![id])?;
    let blob: Option<BlobId> = row.map(|mut row| row.next()).transpose()?.flatten();
    tx.execute("UPDATE image_working SET blob_id = NULL WHERE image_id = ?1", args![id])?;
    blob.map_or(Ok(None), |blob| blobs::release(tx, blob))
}

/// Nothing is being made of the image any more, nor was anything. Answers bytes to delete.
pub fn forget(tx: &mut Tx, id: ImageId) -> Result<Option<Place>> {
    let left = abandon(tx, id)?;
    tx.execute("DELETE FROM image_working WHERE image_id = ?1", args![id])?;
    Ok(left)
}
