//! Images as a boot asks for them: may the project use it, what does it demand, where are its bytes.

use super::{OrNotFound, Row, Tx, Value, args};
use crate::clock::Timestamp;
use crate::cloud::boot::BootImage;
use crate::error::{Kind, Result};
use crate::ids::{BlobId, ImageId, ProjectId};
use std::collections::BTreeMap;

fn from_row(mut row: Row) -> Result<BootImage> {
    Ok(BootImage {
        id: row.next()?,
        status: row.next()?,
        disk_format: row.next()?,
        container_format: row.next()?,
        min_disk_gib: row.next()?,
        min_ram_mib: row.next()?,
        size: row.next()?,
        virtual_size: row.next()?,
        blob: match (row.next::<Option<BlobId>>()?, row.next::<Option<String>>()?) {
            (Some(id), Some(sha512)) => Some((id, sha512)),
            _ => None,
        },
        properties: BTreeMap::new(),
    })
}

/// An image that a project may boot: its own, a public or community one, or one that is shared with it now. `None` for a
/// project: any.
pub fn get(tx: &mut Tx, project: Option<&ProjectId>, id: ImageId, now: Timestamp) -> Result<BootImage> {
    let row = tx.query_one(
        "SELECT i.id, i.status, i.disk_format, i.container_format, i.min_disk, i.min_ram, i.size, i.virtual_size, b.id, b.sha512
           FROM images i LEFT JOIN blobs b ON b.id = i.blob_id
          WHERE i.id = ?1
            AND (i.owner = ?2 OR ?2 IS NULL OR i.visibility IN ('public', 'community')
                 OR (i.visibility = 'shared'
                     AND EXISTS (SELECT 1 FROM image_members m
                                  WHERE m.image_id = i.id AND m.member = ?2
                                    AND (m.expires_at > ?3 OR m.expires_at IS NULL))))",
        args![id, project, now],
    )?;
    let mut image = row.or_not_found(Kind::Image, id).and_then(from_row)?;
    for mut row in tx.query("SELECT name, value FROM image_properties WHERE image_id = ?1", args![id])? {
        image.properties.insert(row.next()?, row.next()?);
    }
    Ok(image)
}

/// Images that are made of bytes with one of these hashes, with their format; no host keeps others.
pub fn with_bytes(tx: &mut Tx, sha512: &[String]) -> Result<Vec<(ImageId, String, String)>> {
    if sha512.is_empty() {
        return Ok(Vec::new());
    }
    let places = (1..=sha512.len()).map(|number| format!("?{number}")).collect::<Vec<_>>().join(", ");
    let sql = format!(
        "SELECT i.id, i.disk_format, b.sha512 FROM images i JOIN blobs b ON b.id = i.blob_id
          WHERE i.status IN ('active', 'deactivated') AND i.container_format = 'bare' AND i.disk_format IS NOT NULL
            AND b.sha512 IN ({places}) ORDER BY i.id"
    );
    let values: Vec<Value> = sha512.iter().map(|hash| hash.as_str().into()).collect();
    let rows = tx.query(&sql, &values)?;
    rows.into_iter().map(|mut row| Ok((row.next()?, row.next()?, row.next()?))).collect()
}
