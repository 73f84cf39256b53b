//! The bytes of images as rows: announced before they are written, described when they are whole, counted while needed.
//!
//! A row comes before its bytes and goes after them, so what a store holds without a row here is an orphan, and a row that
//! nobody counts on names bytes that may be deleted.
//!
//! # The same bytes are kept once
//!
//! When bytes are whole, [`describe`] looks for a blob of the same store that has the same size, MD5 and SHA-512; if there is
//! one, whoever brought the new bytes counts on that one instead, and the new ones are nobody's. Only what this program has
//! hashed itself is compared, after the last byte was stored: what a client *says* the bytes are opens no door to them.
//! A count rises from 0 only where a sweep finds the kept bytes lost, and never once a sweep has condemned them
//! ([`condemn`]), so bytes on their way out are never given to anybody; and an upload and a deletion of the
//! same bytes that meet are in some order, because both write the same row in serialisable transactions.
//!
//! A tenant shall not learn from this what others keep. So [`describe`] runs the same statements over as many rows whether
//! or not it finds something, and nothing that a client waits for deletes bytes: neither a duplicate after its upload nor
//! the last use at an image's deletion. Both are left to [`tasks::sweep_images`](crate::tasks::sweep_images). Sizes, quotas
//! and checksums are columns of images, which know nothing of counts. `SECURITY.md` says what is left to see.

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

/// They are whole. Answers the blob to count on instead: an older one with the same bytes, or this one.
///
/// Each statement runs in either case; one that is only run for what was there already would tell that by its time.
pub fn describe(tx: &mut Tx, id: BlobId, data: &Data) -> Result<BlobId> {
    let row = tx.query_one(
        "SELECT k.id FROM blobs k
          WHERE k.sha512 = ?2 AND k.md5 = ?3 AND k.size = ?4 AND k.refcount > 0
            AND k.store = (SELECT b.store FROM blobs b WHERE b.id = ?1) AND k.id <> ?1
          ORDER BY k.created_at, k.id LIMIT 1",
        args![id, &data.sha512, &data.md5, data.size],
    )?;
    let kept = row.map_or(Ok(id), |mut row| row.next())?;
    tx.execute(
        "UPDATE blobs SET size = ?2, md5 = ?3, sha512 = ?4, refcount = refcount - 1 WHERE id = ?1",
        args![id, data.size, &data.md5, &data.sha512],
    )?;
    tx.execute("UPDATE blobs SET refcount = refcount + 1 WHERE id = ?1", args![kept])?;
    Ok(kept)
}

/// Whoever counts on `from` counts on `to`, which has the same bytes. `false`: another sweep has condemned them.
pub fn hand_over(tx: &mut Tx, from: BlobId, to: BlobId) -> Result<bool> {
    let counted = tx.execute(
        "UPDATE blobs SET refcount = refcount + (SELECT b.refcount FROM blobs b WHERE b.id = ?1)
          WHERE id = ?2 AND sha512 <> ''",
        args![from, to],
    )?;
    if counted == 0 {
        return Ok(false);
    }
    tx.execute("UPDATE images SET blob_id = ?2 WHERE blob_id = ?1", args![from, to])?;
    tx.execute("UPDATE image_copies SET blob_id = ?2 WHERE blob_id = ?1", args![from, to])?;
    tx.execute("UPDATE blobs SET refcount = 0 WHERE id = ?1", args![from])?;
    Ok(true)
}

/// Bytes that nobody counts on are about to be deleted, and are nobody's from now on. `false`: somebody counts on them
/// after all, or they are gone.
pub fn condemn(tx: &mut Tx, id: BlobId) -> Result<bool> {
    Ok(tx.execute("UPDATE blobs SET sha512 = '' WHERE id = ?1 AND refcount = 0", args![id])? == 1)
}

/// Makes one of what a store has several times: for bytes that came before they were compared. How many are nobody's now.
pub fn fold(tx: &mut Tx) -> Result<usize> {
    let rows = tx.query(
        "SELECT d.id, k.id FROM blobs d
           JOIN blobs k ON k.store = d.store AND k.sha512 = d.sha512 AND k.md5 = d.md5 AND k.size = d.size
                       AND (k.created_at < d.created_at OR (k.created_at = d.created_at AND k.id < d.id))
          WHERE d.sha512 <> '' AND d.refcount > 0 AND k.refcount > 0
          ORDER BY d.id, k.created_at, k.id",
        &[],
    )?;
    let mut folded = std::collections::BTreeMap::new();
    for mut row in rows {
        // The oldest of them all comes first.
        let (newer, oldest): (BlobId, BlobId) = (row.next()?, row.next()?);
        folded.entry(newer.to_string()).or_insert((newer, oldest));
    }
    for (newer, oldest) in folded.values() {
        hand_over(tx, *newer, *oldest)?;
    }
    Ok(folded.len())
}

/// The blob that took the place of one that nobody counts on, and how many bytes it should have.
pub fn twin(tx: &mut Tx, id: BlobId) -> Result<Option<(BlobId, u64)>> {
    let row = tx.query_one(
        "SELECT k.id, k.size FROM blobs d
           JOIN blobs k ON k.store = d.store AND k.sha512 = d.sha512 AND k.md5 = d.md5 AND k.size = d.size
          WHERE d.id = ?1 AND d.sha512 <> '' AND d.refcount = 0 AND k.refcount > 0
          ORDER BY k.created_at, k.id LIMIT 1",
        args![id],
    )?;
    row.map(|mut row| Ok((row.next()?, row.next()?))).transpose()
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

#[cfg(test)]
mod tests;
