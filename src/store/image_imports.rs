//! Images on their way through staging and import, moved by compare-and-swap as uploads are.
//!
//! Staged bytes are a blob like any other, named by `images.blob_id` while the image is `uploading` or `importing`: the
//! import into the store they are in copies nothing. What other stores get are rows of `image_copies`.

use super::images::{self, Data};
use super::{Tx, args, blobs, image_copies, image_uploads, image_working};
use crate::clock::Timestamp;
use crate::cloud::image::import::{FAILED_IN, IMPORTING_TO, merged};
use crate::cloud::image::remote::Becoming;
use crate::cloud::image::{Image, Place};
use crate::error::{Error, Kind, Result};
use crate::ids::{BlobId, ImageId};

/// Queued becomes uploading: these bytes are staged for the image.
///
/// # Errors
/// `Conflict` when it isn't queued.
pub fn begin_stage(tx: &mut Tx, id: ImageId, place: &Place, now: Timestamp) -> Result<()> {
    blobs::announce(tx, place, now)?;
    let changed = tx.execute(
        "UPDATE images SET status = 'uploading', blob_id = ?2, updated_at = ?3 WHERE id = ?1 AND status = 'queued'",
        args![id, place.blob, now],
    )?;
    if changed == 1 { Ok(()) } else { Err(Error::conflict("The image is no longer queued")) }
}

/// They are all there. `false`: the image is gone, or was given up meanwhile, and the bytes are nobody's.
pub fn finish_stage(tx: &mut Tx, id: ImageId, blob: BlobId, data: &Data, now: Timestamp) -> Result<bool> {
    hold(tx, id, blob, data, "uploading", now)
}

/// Uploading becomes queued again. Answers the bytes to delete.
pub fn abandon_stage(tx: &mut Tx, id: ImageId, blob: BlobId, now: Timestamp) -> Result<Option<Place>> {
    let changed = tx.execute(
        "UPDATE images SET status = 'queued', blob_id = NULL, size = NULL, updated_at = ?3
          WHERE id = ?1 AND blob_id = ?2 AND status = 'uploading'",
        args![id, blob, now],
    )?;
    if changed == 0 { Ok(None) } else { blobs::release(tx, blob) }
}

/// Gives up stagings that began before a time and whose bytes never came whole.
pub fn abandon_stages(tx: &mut Tx, begun_before: Timestamp, now: Timestamp) -> Result<usize> {
    let rows = tx.query(
        "SELECT i.id, i.blob_id FROM images i JOIN blobs b ON b.id = i.blob_id
          WHERE i.status = 'uploading' AND b.sha512 = '' AND i.updated_at < ?1",
        args![begun_before],
    )?;
    let count = rows.len();
    for mut row in rows {
        let (id, blob) = (row.next()?, row.next()?);
        abandon_stage(tx, id, blob, now)?;
    }
    Ok(count)
}

/// The image becomes importing, into these stores.
///
/// # Errors
/// `Conflict` when it is no longer as it was, or its staged bytes haven't all come.
pub fn begin(tx: &mut Tx, image: &Image, stores: &[String], now: Timestamp) -> Result<()> {
    if let Some(blob) = image.blob
        && blobs::described(tx, blob)?.is_none()
    {
        return Err(Error::conflict("Image needs to be staged before 'glance-direct' method can be used"));
    }
    let changed = tx.execute(
        "UPDATE images SET status = 'importing', updated_at = ?3 WHERE id = ?1 AND status = ?2",
        args![image.id, image.status.word(), now],
    )?;
    if changed == 0 {
        return Err(Error::conflict("The image changed meanwhile"));
    }
    mark(tx, image.id, IMPORTING_TO, stores, &[])?;
    mark(tx, image.id, FAILED_IN, &[], stores)
}

/// The active image is copied to these stores.
pub fn begin_copying(tx: &mut Tx, id: ImageId, stores: &[String]) -> Result<()> {
    mark(tx, id, IMPORTING_TO, stores, &[])?;
    mark(tx, id, FAILED_IN, &[], stores)
}

/// A store has its bytes, or won't get them.
pub fn settle(tx: &mut Tx, id: ImageId, stores: &[String], failed: &[String]) -> Result<()> {
    mark(tx, id, IMPORTING_TO, &[], stores)?;
    mark(tx, id, FAILED_IN, failed, &[])
}

/// Changes the list of stores in a property. An image that is gone has none.
fn mark(tx: &mut Tx, id: ImageId, name: &str, add: &[String], remove: &[String]) -> Result<()> {
    if tx.query_one("SELECT 1 FROM images WHERE id = ?1", args![id])?.is_none() {
        return Ok(());
    }
    let row = tx.query_one("SELECT value FROM image_properties WHERE image_id = ?1 AND name = ?2", args![id, name])?;
    let old: Option<String> = row.map(|mut row| row.next()).transpose()?;
    put_property(tx, id, name, &merged(old.as_deref(), add, remove))
}

fn put_property(tx: &mut Tx, id: ImageId, name: &str, value: &str) -> Result<()> {
    tx.execute(
        "INSERT INTO image_properties (image_id, name, value) VALUES (?1, ?2, ?3)
         ON CONFLICT (image_id, name) DO UPDATE SET value = excluded.value",
        args![id, name, value],
    )
    .map(drop)
}

/// Bytes are about to be fetched for an importing image. Answers what an earlier try left.
///
/// # Errors
/// `NotFound` when the image is gone, or no longer importing.
pub fn begin_fetch(tx: &mut Tx, id: ImageId, place: &Place, now: Timestamp) -> Result<Option<Place>> {
    let row = tx.query_one("SELECT blob_id FROM images WHERE id = ?1 AND status = 'importing'", args![id])?;
    let old: Option<BlobId> = row.ok_or_else(|| Error::not_found(Kind::Image, id))?.next()?;
    blobs::announce(tx, place, now)?;
    tx.execute("UPDATE images SET blob_id = ?2 WHERE id = ?1", args![id, place.blob])?;
    old.map_or(Ok(None), |old| blobs::release(tx, old))
}

/// They have all come. `false`, as for [`finish_stage`].
pub fn finish_fetch(tx: &mut Tx, id: ImageId, blob: BlobId, data: &Data, now: Timestamp) -> Result<bool> {
    hold(tx, id, blob, data, "importing", now)
}

fn hold(tx: &mut Tx, id: ImageId, blob: BlobId, data: &Data, status: &str, now: Timestamp) -> Result<bool> {
    let changed = tx.execute(
        "UPDATE images SET size = ?3, updated_at = ?4 WHERE id = ?1 AND blob_id = ?2 AND status = ?5",
        args![id, blob, data.size, now, status],
    )?;
    if changed == 1 {
        images::take_whole(tx, id, blob, data)?;
    }
    Ok(changed == 1)
}

/// The image, everywhere its bytes are whole (the first place is its own), and what they are.
///
/// # Errors
/// `NotFound` when the image or its bytes are gone.
pub fn source(tx: &mut Tx, id: ImageId) -> Result<(Image, Vec<Place>, Data)> {
    let image = images::any(tx, id)?;
    let missing = || Error::not_found(Kind::Image, id);
    let blob = image.blob.ok_or_else(missing)?;
    let data = blobs::described(tx, blob)?.ok_or_else(missing)?;
    let rows = tx.query(
        "SELECT store, id, 0 FROM blobs WHERE id = ?1
         UNION ALL
         SELECT store, blob_id, 1 FROM image_copies WHERE image_id = ?2 AND is_whole = 1 ORDER BY 3, 1",
        args![blob, id],
    )?;
    let places = rows.into_iter().map(|mut row| Ok(Place { store: row.next()?, blob: row.next()? }));
    Ok((image, places.collect::<Result<_>>()?, data))
}

/// Importing becomes active and what it is becoming, with its bytes in those of `stores` that have them. Staged bytes elsewhere are given up:
/// answered, to be deleted. Once active, nothing happens.
///
/// # Errors
/// `NotFound` when the image is gone, `Conflict` when no store has its bytes.
pub fn activate(
    tx: &mut Tx,
    id: ImageId,
    stores: &[String],
    virtual_size: Option<u64>,
    becoming: &Becoming,
    now: Timestamp,
) -> Result<Option<Place>> {
    let (image, places, data) = source(tx, id)?;
    if image.has_bytes() {
        return Ok(None);
    }
    let (Some(own), Some(blob)) = (places.first(), image.blob) else {
        return Err(Error::not_found(Kind::Image, id));
    };
    let left = image_working::forget(tx, id)?;
    // Whatever has come of an upload in parts, it is of no use any more.
    image_uploads::delete(tx, id)?;
    let freed = if stores.contains(&own.store) {
        None
    } else {
        let promoted = image_copies::promote(tx, id, blob, now)?;
        promoted.ok_or_else(|| Error::conflict("None of the uploads finished!"))?.1
    };
    let changed = tx.execute(
        "UPDATE images SET status = 'active', size = ?2, virtual_size = ?3, checksum = ?4, os_hash_algo = 'sha512',
                           os_hash_value = ?5, updated_at = ?6, disk_format = COALESCE(?7, disk_format),
                           container_format = COALESCE(?8, container_format)
          WHERE id = ?1 AND status = 'importing'",
        args![
            id,
            data.size,
            virtual_size,
            &data.md5,
            &data.sha512,
            now,
            &becoming.disk_format,
            &becoming.container_format
        ],
    )?;
    for (name, value) in becoming.properties.iter().filter(|_| changed == 1) {
        put_property(tx, id, name, value)?;
    }
    Ok(freed.or(left))
}

/// Importing becomes queued again, without bytes anywhere. Answers those to delete. An image that became active stays so.
pub fn undo(tx: &mut Tx, id: ImageId, now: Timestamp) -> Result<Vec<Place>> {
    let row = tx.query_one("SELECT blob_id FROM images WHERE id = ?1 AND status = 'importing'", args![id])?;
    let Some(mut row) = row else { return Ok(Vec::new()) };
    let blob: Option<BlobId> = row.next()?;
    let mut freed: Vec<_> = image_working::forget(tx, id)?.into_iter().collect();
    for copy in image_copies::all(tx, id)? {
        freed.extend(image_copies::abandon(tx, id, &copy.store)?);
    }
    tx.execute(
        "UPDATE images SET status = 'queued', blob_id = NULL, size = NULL, updated_at = ?2 WHERE id = ?1",
        args![id, now],
    )?;
    if let Some(blob) = blob {
        freed.extend(blobs::release(tx, blob)?);
    }
    Ok(freed)
}
