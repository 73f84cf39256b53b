//! Images made of servers: their bytes on the way, given up, or one too many.

use super::{Tx, args, images};
use crate::clock::Timestamp;
use crate::cloud::image::{Place, Status};
use crate::error::Result;
use crate::ids::{ImageId, ProjectId, ServerId};

/// The image's bytes begin to come, in place of any that were on their way before, which are nobody's then.
///
/// # Errors
/// `NotFound` when the image is gone, `Conflict` when it has got bytes from elsewhere.
pub fn begin(tx: &mut Tx, id: ImageId, place: &Place, now: Timestamp) -> Result<()> {
    let image = images::any(tx, id)?;
    if let (Status::Saving, Some(blob)) = (image.status, image.blob) {
        images::abandon_upload(tx, id, blob, now)?;
    }
    images::begin_upload(tx, id, place, now)
}

/// Deletes an image that has not got its bytes; gone already, or whole, is nothing to do.
pub fn discard(tx: &mut Tx, id: ImageId, now: Timestamp) -> Result<()> {
    match images::any(tx, id) {
        Ok(image) if image.has_bytes() => Ok(()),
        Ok(_) => images::delete(tx, id, now).map(drop),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Deletes an image that served one purpose, which is over. Gone already is done; one that somebody protected stays theirs.
pub fn remove(tx: &mut Tx, id: ImageId, now: Timestamp) -> Result<()> {
    match images::any(tx, id) {
        Ok(image) if image.protected => Ok(()),
        Ok(_) => images::delete(tx, id, now).map(drop),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}

/// The backups of a server beyond the newest so many, among those that are whole and that a project owns: properties alone
/// say nothing, for anybody may give them to an image. Protected ones are nobody's to rotate.
pub fn beyond(
    tx: &mut Tx,
    server: ServerId,
    owner: Option<&ProjectId>,
    backup_type: &str,
    keep: i64,
) -> Result<Vec<ImageId>> {
    let sql = "SELECT i.id FROM images i
                WHERE i.owner = ?3 AND i.status = 'active' AND i.protected = 0
                  AND EXISTS (SELECT 1 FROM image_properties p
                               WHERE p.image_id = i.id AND p.name = 'instance_uuid' AND p.value = ?1)
                  AND EXISTS (SELECT 1 FROM image_properties p
                               WHERE p.image_id = i.id AND p.name = 'image_type' AND p.value = 'backup')
                  AND EXISTS (SELECT 1 FROM image_properties p
                               WHERE p.image_id = i.id AND p.name = 'backup_type' AND p.value = ?2)
                ORDER BY i.created_at DESC, i.id DESC";
    let all = tx.query(sql, args![server.to_string(), backup_type, owner])?;
    all.into_iter().skip(usize::try_from(keep).unwrap_or(0)).map(|mut row| row.next()).collect()
}
