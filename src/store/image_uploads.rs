//! Uploads that can go on where they stopped: how far each is, and in which files.
//!
//! Each request that sends bytes writes a part of its own and becomes the upload's writer; only the writer's progress is
//! saved. So a request that everybody believes dead and that still writes can neither change what came after it nor move
//! the offset that somebody else was told.
//!
//! What is over leaves its files' names behind, in the same transaction, so that they can be deleted at once and by name.

use super::{OrConflict, Row, Tx, args};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::ids::{BlobId, ImageId, ProjectId};

/// How far an upload is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    pub store: String,
    pub size: Option<u64>,
    pub received: u64,
    pub expires_at: Timestamp,
}

/// Begins one, with nothing received.
///
/// # Errors
/// `Conflict` while the image has one that has not expired.
pub fn begin(tx: &mut Tx, image: ImageId, upload: &Unfinished, writer: BlobId, now: Timestamp) -> Result<()> {
    end(tx, Some(image), Some(now))?;
    tx.execute(
        "INSERT INTO image_uploads (image_id, writer, store, size, received, expires_at, created_at)
         VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6)",
        args![image, writer, &upload.store, upload.size, upload.expires_at, now],
    )
    .or_conflict(|| format!("Image {image} has an unfinished upload: go on with it, or delete it first"))?;
    Ok(())
}

/// The image's, unless it has none or nobody went on in time.
pub fn find(tx: &mut Tx, image: ImageId, now: Timestamp) -> Result<Option<Unfinished>> {
    let row = tx.query_one(
        "SELECT store, size, received, expires_at FROM image_uploads WHERE image_id = ?1 AND expires_at > ?2",
        args![image, now],
    )?;
    row.map(from_row).transpose()
}

fn from_row(mut row: Row) -> Result<Unfinished> {
    Ok(Unfinished { store: row.next()?, size: row.next()?, received: row.next()?, expires_at: row.next()? })
}

/// Makes this the writer: whoever was it saves nothing any more, and what nothing was saved of is nobody's.
pub fn take(tx: &mut Tx, image: ImageId, writer: BlobId, size: Option<u64>) -> Result<()> {
    tx.execute(
        "INSERT INTO image_upload_leftovers (file)
         SELECT u.writer FROM image_uploads u
          WHERE u.image_id = ?1 AND NOT EXISTS (SELECT 1 FROM image_upload_parts p WHERE p.file = u.writer)
         ON CONFLICT (file) DO NOTHING",
        args![image],
    )?;
    tx.execute("UPDATE image_uploads SET writer = ?2, size = ?3 WHERE image_id = ?1", args![image, writer, size])?;
    Ok(())
}

/// So many bytes from `start` on are on the disk. `false`: another has become the writer, or the upload is over.
pub fn save(tx: &mut Tx, image: ImageId, writer: BlobId, start: u64, size: u64, expires_at: Timestamp) -> Result<bool> {
    let changed = tx.execute(
        "UPDATE image_uploads SET received = ?3, expires_at = ?4 WHERE image_id = ?1 AND writer = ?2",
        args![image, writer, start + size, expires_at],
    )?;
    if changed == 1 {
        tx.execute(
            "INSERT INTO image_upload_parts (image_id, start, size, file) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (image_id, start) DO UPDATE SET size = excluded.size",
            args![image, start, size, writer],
        )?;
    }
    Ok(changed == 1)
}

/// The parts in their order: which file, and how many of its bytes.
pub fn parts(tx: &mut Tx, image: ImageId) -> Result<Vec<(BlobId, u64)>> {
    let sql = "SELECT file, size FROM image_upload_parts WHERE image_id = ?1 ORDER BY start";
    tx.query(sql, args![image])?.into_iter().map(|mut row| Ok((row.next()?, row.next()?))).collect()
}

/// How many parts there are.
pub fn count_parts(tx: &mut Tx, image: ImageId) -> Result<u64> {
    tx.query("SELECT COUNT(*) FROM image_upload_parts WHERE image_id = ?1", args![image])?.remove(0).next()
}

/// The upload is over. Its files are nobody's.
pub fn delete(tx: &mut Tx, image: ImageId) -> Result<()> {
    end(tx, Some(image), None).map(drop)
}

/// Forgets those with which nobody went on.
pub fn purge(tx: &mut Tx, now: Timestamp) -> Result<u64> {
    end(tx, None, Some(now))
}

/// Ends an image's upload, or every one; where a time is given, only what has expired by then.
fn end(tx: &mut Tx, image: Option<ImageId>, expired_at: Option<Timestamp>) -> Result<u64> {
    tx.execute(
        "INSERT INTO image_upload_leftovers (file)
         SELECT f.file
           FROM (SELECT image_id, file FROM image_upload_parts UNION SELECT image_id, writer FROM image_uploads) f
           JOIN image_uploads u ON u.image_id = f.image_id
          WHERE (u.image_id = ?1 OR ?1 IS NULL) AND (u.expires_at <= ?2 OR ?2 IS NULL)
         ON CONFLICT (file) DO NOTHING",
        args![image, expired_at],
    )?;
    tx.execute(
        "DELETE FROM image_uploads WHERE (image_id = ?1 OR ?1 IS NULL) AND (expires_at <= ?2 OR ?2 IS NULL)",
        args![image, expired_at],
    )
}

/// Files that nobody needs any more.
pub fn leftovers(tx: &mut Tx) -> Result<Vec<BlobId>> {
    tx.query("SELECT file FROM image_upload_leftovers", &[])?.into_iter().map(|mut row| row.next()).collect()
}

/// This one is gone.
pub fn forget_leftover(tx: &mut Tx, file: BlobId) -> Result<()> {
    tx.execute("DELETE FROM image_upload_leftovers WHERE file = ?1", args![file])?;
    Ok(())
}

/// Every file that is a part, or is becoming one.
pub fn files(tx: &mut Tx) -> Result<Vec<BlobId>> {
    let rows = tx.query("SELECT file FROM image_upload_parts UNION SELECT writer FROM image_uploads", &[])?;
    rows.into_iter().map(|mut row| row.next()).collect()
}

/// How many bytes a project's unfinished uploads have brought, but for one image's.
pub fn bytes_of(tx: &mut Tx, owner: Option<&ProjectId>, but: Option<ImageId>) -> Result<u64> {
    let row = tx.query_one(
        "SELECT CAST(COALESCE(SUM(u.received), 0) AS BIGINT) FROM image_uploads u JOIN images i ON i.id = u.image_id
          WHERE i.owner = ?1 AND (i.id <> ?2 OR ?2 IS NULL)",
        args![owner, but],
    )?;
    row.map_or(Ok(0), |mut row| row.next())
}
