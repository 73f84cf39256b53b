//! The bytes of images as rows: announced before they are written, described when they are whole, counted while needed.
//!
//! A row comes before its bytes and goes after them, so what the image store holds without a row here is an orphan, and a
//! row that nobody counts on names bytes that may be deleted.

use super::images::Data;
use super::{Tx, args};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::ids::BlobId;

/// The one store there is; the column leaves room for more.
const STORE: &str = "default";

/// Bytes are about to be written for one image.
pub fn announce(tx: &mut Tx, id: BlobId, now: Timestamp) -> Result<()> {
    tx.execute(
        "INSERT INTO blobs (id, store, location, size, md5, sha512, refcount, created_at)
         VALUES (?1, ?2, ?3, 0, '', '', 1, ?4)",
        args![id, STORE, id.to_string(), now],
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

/// One less needs them. Answers the id when nobody does any more.
pub fn release(tx: &mut Tx, id: BlobId) -> Result<Option<BlobId>> {
    let row = tx.query_one(
        "UPDATE blobs SET refcount = refcount - 1 WHERE id = ?1 AND refcount > 0 RETURNING refcount",
        args![id],
    )?;
    let left: Option<u64> = row.map(|mut row| row.next()).transpose()?;
    Ok((left == Some(0)).then_some(id))
}

/// Does anybody count on these bytes, whole or on their way?
pub fn is_needed(tx: &mut Tx, id: BlobId) -> Result<bool> {
    Ok(tx.query_one("SELECT id FROM blobs WHERE id = ?1 AND refcount > 0", args![id])?.is_some())
}

/// Blobs that nobody needs and that are still stored, or may be.
pub fn unused(tx: &mut Tx) -> Result<Vec<BlobId>> {
    let rows = tx.query("SELECT id FROM blobs WHERE refcount = 0 ORDER BY created_at, id", &[])?;
    rows.into_iter().map(|mut row| row.next()).collect()
}

/// Every blob with a row: what a sweep of the image store keeps.
pub fn known(tx: &mut Tx) -> Result<Vec<BlobId>> {
    tx.query("SELECT id FROM blobs", &[])?.into_iter().map(|mut row| row.next()).collect()
}

/// The bytes are deleted: so is their row, unless somebody needs it after all.
pub fn forget(tx: &mut Tx, id: BlobId) -> Result<()> {
    tx.execute("DELETE FROM blobs WHERE id = ?1 AND refcount = 0", args![id])?;
    Ok(())
}
