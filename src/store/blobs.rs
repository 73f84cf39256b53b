//! The bytes of images as rows: announced before they are written, described when they are whole, counted while needed.
//!
//! A row comes before its bytes and goes after them, so what a store holds without a row here is an orphan, and a row that
//! nobody counts on names bytes that may be deleted.

use super::images::Data;
use super::{Row, Tx, args};
use crate::clock::Timestamp;
use crate::cloud::image::Place;
use crate::error::Result;
use crate::ids::BlobId;

/// Bytes are about to be written for one image.
pub fn announce(tx: &mut Tx, place: &Place, now: Timestamp) -> Result<()> {
    tx.execute(
        "INSERT INTO blobs (id, store, location, size, md5, sha512, refcount, created_at)
         VALUES (?1, ?2, ?3, 0, '', '', 1, ?4)",
        args![place.blob, &place.store, place.blob.to_string(), now],
    )?;
    Ok(())
}

/// They are whole.
pub fn describe(tx: &mut Tx, id: BlobId, data: &Data) -> Result<()> {
    tx.execute(
        "UPDATE blobs SET size = ?2, md5 = ?3, sha512 = ?4 WHERE id = ?1",
        args![id, data.size, &data.md5, &data.sha512],
    )?;
    Ok(())
}

/// What was described. `None` while they are on their way, or when nobody announced them.
pub fn described(tx: &mut Tx, id: BlobId) -> Result<Option<Data>> {
    let row = tx.query_one("SELECT size, md5, sha512 FROM blobs WHERE id = ?1 AND sha512 <> ''", args![id])?;
    row.map(|mut row| Ok(Data { size: row.next()?, virtual_size: None, md5: row.next()?, sha512: row.next()? }))
        .transpose()
}

/// One less needs them. Answers where they are when nobody does any more.
pub fn release(tx: &mut Tx, id: BlobId) -> Result<Option<Place>> {
    let row = tx.query_one(
        "UPDATE blobs SET refcount = refcount - 1 WHERE id = ?1 AND refcount > 0 RETURNING refcount, store, id",
        args![id],
    )?;
    let Some(mut row) = row else { return Ok(None) };
    let left: u64 = row.next()?;
    if left > 0 { Ok(None) } else { place(row).map(Some) }
}

/// Does anybody count on these bytes, whole or on their way?
pub fn is_needed(tx: &mut Tx, id: BlobId) -> Result<bool> {
    Ok(tx.query_one("SELECT id FROM blobs WHERE id = ?1 AND refcount > 0", args![id])?.is_some())
}

/// Blobs that nobody needs and that are still stored, or may be.
pub fn unused(tx: &mut Tx) -> Result<Vec<Place>> {
    let rows = tx.query("SELECT store, id FROM blobs WHERE refcount = 0 ORDER BY created_at, id", &[])?;
    rows.into_iter().map(place).collect()
}

/// Every blob with a row: what a sweep of the image stores keeps.
pub fn known(tx: &mut Tx) -> Result<Vec<Place>> {
    tx.query("SELECT store, id FROM blobs ORDER BY id", &[])?.into_iter().map(place).collect()
}

/// Whole blobs that somebody needs, with what is known of them: what can be hashed again.
pub fn whole(tx: &mut Tx) -> Result<Vec<(Place, Data)>> {
    let rows = tx.query(
        "SELECT store, id, size, md5, sha512 FROM blobs WHERE refcount > 0 AND sha512 <> '' ORDER BY store, id",
        &[],
    )?;
    rows.into_iter()
        .map(|mut row| {
            let place = Place { store: row.next()?, blob: row.next()? };
            Ok((place, Data { size: row.next()?, virtual_size: None, md5: row.next()?, sha512: row.next()? }))
        })
        .collect()
}

/// Everywhere these very bytes are, whoever needs them there; `wanted` first, where it still is.
pub fn holding(tx: &mut Tx, sha512: &str, wanted: BlobId) -> Result<Vec<Place>> {
    let rows = tx.query("SELECT store, id FROM blobs WHERE sha512 = ?1 AND refcount > 0 ORDER BY id", args![sha512])?;
    let mut places = rows.into_iter().map(place).collect::<Result<Vec<_>>>()?;
    places.sort_by_key(|place| place.blob != wanted);
    Ok(places)
}

/// The bytes are deleted: so is their row, unless somebody needs it after all.
pub fn forget(tx: &mut Tx, id: BlobId) -> Result<()> {
    tx.execute("DELETE FROM blobs WHERE id = ?1 AND refcount = 0", args![id])?;
    Ok(())
}

fn place(mut row: Row) -> Result<Place> {
    Ok(Place { store: row.next()?, blob: row.next()? })
}
