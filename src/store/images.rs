//! Images: read through visibility, written whole, and moved between states by compare-and-swap.
//!
//! Who sees what is [`cloud::image`](crate::cloud::image)'s rule, rendered here as one WHERE, so that no query can forget
//! it. An upload names its blob while it runs: finishing and abandoning match on it, so an upload that was given up for
//! dead can't touch what came after it. Ids of deleted images stay in `image_ids` for ever (OSSN-0075).

mod list;

use super::{
    FromColumn, OrConflict, OrNotFound, Row, Tx, Value, args, blobs, image_copies, image_uploads, image_working,
};
use crate::clock::Timestamp;
use crate::cloud::image::{Image, Place, Status, Visibility};
use crate::cloud::policy::Reach;
use crate::error::{Error, Kind, Result};
use crate::ids::{BlobId, ImageId, ProjectId};
use std::collections::HashMap;

pub use list::{Listed, list};

const COLUMNS: &str = "i.id, i.owner, i.name, i.status, i.visibility, i.container_format, i.disk_format, i.min_disk, \
     i.min_ram, i.protected, i.os_hidden, i.size, i.virtual_size, i.checksum, i.os_hash_algo, i.os_hash_value, \
     i.blob_id, (SELECT b.store FROM blobs b WHERE b.id = i.blob_id), i.created_at, i.updated_at";

/// What is known of bytes once they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    pub size: u64,
    pub virtual_size: Option<u64>,
    pub md5: String,
    pub sha512: String,
}

/// The image, whoever wants to know: for work that was allowed before.
///
/// # Errors
/// `NotFound` when there is none.
pub fn any(tx: &mut Tx, id: ImageId) -> Result<Image> {
    get(tx, &Reach::Cloud, id, Timestamp(0))
}

/// The image, if the reach includes seeing it now: a share may have ended.
///
/// # Errors
/// `NotFound`, also of what the caller may not see.
pub fn get(tx: &mut Tx, reach: &Reach, id: ImageId, now: Timestamp) -> Result<Image> {
    let row = tx.query_one(
        &format!(
            "SELECT {COLUMNS} FROM images i
              WHERE i.id = ?1
                AND (i.owner = ?2 OR ?2 IS NULL OR i.owner IS NULL OR i.visibility IN ('public', 'community')
                     OR (i.visibility = 'shared'
                         AND EXISTS (SELECT 1 FROM image_members m
                                      WHERE m.image_id = i.id AND m.member = ?2
                                        AND (m.expires_at > ?3 OR m.expires_at IS NULL))))"
        ),
        args![id, reach.project()?, now],
    )?;
    let image = row.or_not_found(Kind::Image, id).and_then(from_row)?;
    complete(tx, vec![image])?.pop().or_not_found(Kind::Image, id)
}

/// Makes the row of a new image.
///
/// # Errors
/// `Conflict` when an image has, or ever had, the id.
pub fn insert(tx: &mut Tx, image: &Image) -> Result<()> {
    let taken = || format!("Image ID {} already exists!", image.id);
    tx.execute("INSERT INTO image_ids (id) VALUES (?1)", args![image.id]).or_conflict(taken)?;
    tx.execute(
        "INSERT INTO images (id, owner, name, status, visibility, container_format, disk_format, min_disk, min_ram,
                             protected, os_hidden, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        args![
            image.id,
            &image.owner,
            &image.name,
            image.status.word(),
            image.visibility.word(),
            &image.container_format,
            &image.disk_format,
            image.min_disk,
            image.min_ram,
            image.protected,
            image.os_hidden,
            image.created_at,
            image.updated_at
        ],
    )?;
    insert_details(tx, image)
}

/// Writes what clients may change: everything but status and bytes.
pub fn update(tx: &mut Tx, image: &Image, now: Timestamp) -> Result<()> {
    let changed = tx.execute(
        "UPDATE images SET owner = ?2, name = ?3, visibility = ?4, container_format = ?5, disk_format = ?6, min_disk = ?7,
                           min_ram = ?8, protected = ?9, os_hidden = ?10, updated_at = ?11
          WHERE id = ?1",
        args![
            image.id,
            &image.owner,
            &image.name,
            image.visibility.word(),
            &image.container_format,
            &image.disk_format,
            image.min_disk,
            image.min_ram,
            image.protected,
            image.os_hidden,
            now
        ],
    )?;
    if changed == 0 {
        return Err(Error::not_found(Kind::Image, image.id));
    }
    tx.execute("DELETE FROM image_properties WHERE image_id = ?1", args![image.id])?;
    tx.execute("DELETE FROM image_tags WHERE image_id = ?1", args![image.id])?;
    insert_details(tx, image)
}

fn insert_details(tx: &mut Tx, image: &Image) -> Result<()> {
    for (name, value) in &image.properties {
        tx.execute(
            "INSERT INTO image_properties (image_id, name, value) VALUES (?1, ?2, ?3)",
            args![image.id, name, value],
        )?;
    }
    for tag in &image.tags {
        tx.execute("INSERT INTO image_tags (image_id, tag) VALUES (?1, ?2)", args![image.id, tag])?;
    }
    Ok(())
}

/// Deletes the row, for ever keeps its id, and gives up its bytes. Answers those that nobody needs any more.
pub fn delete(tx: &mut Tx, id: ImageId, now: Timestamp) -> Result<Vec<Place>> {
    let copies = image_copies::all(tx, id)?;
    let working = image_working::forget(tx, id)?;
    image_uploads::delete(tx, id)?;
    let row = tx.query_one("DELETE FROM images WHERE id = ?1 RETURNING blob_id", args![id])?;
    let blob: Option<BlobId> = row.or_not_found(Kind::Image, id)?.next()?;
    tx.execute("UPDATE image_ids SET deleted_at = ?2 WHERE id = ?1", args![id, now])?;
    let mut freed: Vec<_> = working.into_iter().collect();
    for blob in blob.into_iter().chain(copies.into_iter().map(|copy| copy.blob)) {
        freed.extend(blobs::release(tx, blob)?);
    }
    Ok(freed)
}

/// Gives up the bytes in one of the stores that have them. Answers those to delete.
///
/// # Errors
/// As [`Image::may_leave`].
pub fn leave(tx: &mut Tx, image: &Image, store: &str, now: Timestamp) -> Result<Option<Place>> {
    image.may_leave(store)?;
    match (image.blob, image.places.first()) {
        (Some(blob), Some(own)) if own.store == store => {
            let promoted = image_copies::promote(tx, image.id, blob, now)?;
            promoted
                .map(|(_, freed)| freed)
                .ok_or_else(|| Error::conflict("The other copy of the image's data is gone"))
        }
        _ => image_copies::abandon(tx, image.id, store),
    }
}

/// Moves an image between `active` and `deactivated`; asking twice is asking once.
pub fn switch(tx: &mut Tx, id: ImageId, to: Status, now: Timestamp) -> Result<()> {
    tx.execute(
        "UPDATE images SET status = ?2, updated_at = ?3
          WHERE id = ?1 AND status IN ('active', 'deactivated') AND status <> ?2",
        args![id, to.word(), now],
    )?;
    Ok(())
}

/// Queued becomes saving: from now on these bytes are the image's, once they are whole.
///
/// # Errors
/// `Conflict` when it isn't queued.
pub fn begin_upload(tx: &mut Tx, id: ImageId, place: &Place, now: Timestamp) -> Result<()> {
    blobs::announce(tx, place, now)?;
    let changed = tx.execute(
        "UPDATE images SET status = 'saving', blob_id = ?2, updated_at = ?3 WHERE id = ?1 AND status = 'queued'",
        args![id, place.blob, now],
    )?;
    if changed == 1 { Ok(()) } else { Err(Error::conflict("The image is no longer queued")) }
}

/// Saving becomes active. `false`: the image is gone, or was given up meanwhile, and the bytes are nobody's.
pub fn finish_upload(tx: &mut Tx, id: ImageId, blob: BlobId, data: &Data, now: Timestamp) -> Result<bool> {
    let changed = tx.execute(
        "UPDATE images SET status = 'active', size = ?3, virtual_size = ?4, checksum = ?5, os_hash_algo = 'sha512',
                           os_hash_value = ?6, updated_at = ?7
          WHERE id = ?1 AND blob_id = ?2 AND status = 'saving'",
        args![id, blob, data.size, data.virtual_size, &data.md5, &data.sha512, now],
    )?;
    if changed == 1 {
        take_whole(tx, id, blob, data)?;
        // Whatever has come of an upload in parts, it is of no use any more.
        image_uploads::delete(tx, id)?;
    }
    Ok(changed == 1)
}

/// The bytes that an image names are whole; from now on it names those that are kept of them.
pub(super) fn take_whole(tx: &mut Tx, id: ImageId, blob: BlobId, data: &Data) -> Result<()> {
    let kept = blobs::describe(tx, blob, data)?;
    tx.execute("UPDATE images SET blob_id = ?2 WHERE id = ?1", args![id, kept])?;
    Ok(())
}

/// Saving becomes queued again. Answers the bytes to delete, if there was this upload to give up.
pub fn abandon_upload(tx: &mut Tx, id: ImageId, blob: BlobId, now: Timestamp) -> Result<Option<Place>> {
    let changed = tx.execute(
        "UPDATE images SET status = 'queued', blob_id = NULL, updated_at = ?3
          WHERE id = ?1 AND blob_id = ?2 AND status = 'saving'",
        args![id, blob, now],
    )?;
    if changed == 0 { Ok(None) } else { blobs::release(tx, blob) }
}

/// Gives up uploads that began before a time, as the start of the only process does with all of them.
pub fn abandon_uploads(tx: &mut Tx, begun_before: Timestamp, now: Timestamp) -> Result<usize> {
    let rows =
        tx.query("SELECT id, blob_id FROM images WHERE status = 'saving' AND updated_at < ?1", args![begun_before])?;
    let count = rows.len();
    for mut row in rows {
        let (id, blob) = (row.next()?, row.next()?);
        abandon_upload(tx, id, blob, now)?;
    }
    Ok(count)
}

fn from_row(mut row: Row) -> Result<Image> {
    let id = row.next()?;
    let mut image = Image::new(id, row.next()?, Timestamp(0));
    image.name = row.next()?;
    image.status = word(&row.next::<String>()?, Status::of)?;
    image.visibility = word(&row.next::<String>()?, Visibility::of)?;
    image.container_format = row.next()?;
    image.disk_format = row.next()?;
    image.min_disk = row.next()?;
    image.min_ram = row.next()?;
    image.protected = row.next()?;
    image.os_hidden = row.next()?;
    image.size = row.next()?;
    image.virtual_size = row.next()?;
    image.checksum = row.next()?;
    image.os_hash_algo = row.next()?;
    image.os_hash_value = row.next()?;
    image.blob = row.next()?;
    let store: Option<String> = row.next()?;
    if image.has_bytes() {
        image.places = store.into_iter().zip(image.blob).map(|(store, blob)| Place { store, blob }).collect();
    }
    image.created_at = row.next()?;
    image.updated_at = row.next()?;
    Ok(image)
}

/// A column that holds one of a few words.
pub(super) fn word<T>(text: &str, of: impl Fn(&str) -> Option<T>) -> Result<T> {
    of(text).ok_or_else(|| Error::internal("a row of the database could not be read", format!("unknown word '{text}'")))
}

/// Adds properties, tags and copies to images, in one query each.
fn complete(tx: &mut Tx, mut images: Vec<Image>) -> Result<Vec<Image>> {
    let ids: Vec<Value> = images.iter().map(|image| image.id.into()).collect();
    if ids.is_empty() {
        return Ok(images);
    }
    let places: Vec<_> = (1..=ids.len()).map(|number| format!("?{number}")).collect();
    let places = places.join(", ");
    let by_id: HashMap<ImageId, usize> = images.iter().enumerate().map(|(at, image)| (image.id, at)).collect();
    let sql = format!("SELECT image_id, name, value FROM image_properties WHERE image_id IN ({places})");
    for mut row in tx.query(&sql, &ids)? {
        if let Some(at) = by_id.get(&row.next::<ImageId>()?) {
            let (name, value) = (row.next()?, row.next()?);
            images[*at].properties.insert(name, value);
        }
    }
    let sql = format!("SELECT image_id, tag FROM image_tags WHERE image_id IN ({places})");
    for mut row in tx.query(&sql, &ids)? {
        if let Some(at) = by_id.get(&row.next::<ImageId>()?) {
            images[*at].tags.insert(row.next()?);
        }
    }
    let sql = format!(
        "SELECT image_id, store, blob_id FROM image_copies WHERE is_whole = 1 AND image_id IN ({places})
          ORDER BY created_at, store"
    );
    for mut row in tx.query(&sql, &ids)? {
        if let Some(at) = by_id.get(&row.next::<ImageId>()?)
            && images[*at].has_bytes()
        {
            images[*at].places.push(Place { store: row.next()?, blob: row.next()? });
        }
    }
    Ok(images)
}

/// The first column of each row.
fn column<T: FromColumn>(rows: Vec<Row<'static>>) -> Result<Vec<T>> {
    rows.into_iter().map(|mut row| row.next()).collect()
}

/// How many bytes a project's images have in all stores, staged ones and those of unfinished uploads too, but for one image.
pub fn bytes_of(tx: &mut Tx, owner: Option<&ProjectId>, but: Option<ImageId>) -> Result<u64> {
    let row = tx.query_one(
        "SELECT CAST(COALESCE(SUM(i.size * (1 + (SELECT COUNT(*) FROM image_copies c
                                                  WHERE c.image_id = i.id AND c.is_whole = 1))), 0) AS BIGINT)
           FROM images i WHERE i.owner = ?1 AND (i.id <> ?2 OR ?2 IS NULL) AND i.size > 0",
        args![owner, but],
    )?;
    let images: u64 = row.map_or(Ok(0), |mut row| row.next())?;
    Ok(images + image_uploads::bytes_of(tx, owner, but)?)
}

/// The id of every image of a project: what its deletion is about.
pub fn of_project(tx: &mut Tx, project: &ProjectId) -> Result<Vec<ImageId>> {
    column(tx.query("SELECT id FROM images WHERE owner = ?1 ORDER BY id", args![project])?)
}

#[cfg(test)]
mod tests;
