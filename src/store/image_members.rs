//! With whom images are shared.

use super::images::word;
use super::{OrConflict, Row, Tx, args};
use crate::clock::Timestamp;
use crate::cloud::image::{Member, MemberStatus};
use crate::error::{Error, Kind, Result};
use crate::ids::{ImageId, ProjectId};

const COLUMNS: &str = "image_id, member, status, created_at, updated_at";

/// Shares an image with a project.
///
/// # Errors
/// `Conflict` when it is already.
pub fn insert(tx: &mut Tx, image: ImageId, project: &ProjectId, now: Timestamp) -> Result<Member> {
    tx.execute(
        "INSERT INTO image_members (image_id, member, status, created_at, updated_at) VALUES (?1, ?2, 'pending', ?3, ?3)",
        args![image, project, now],
    )
    .or_conflict(|| format!("Member {project} is duplicated for image {image}"))?;
    let status = MemberStatus::Pending;
    Ok(Member { image, project: project.clone(), status, created_at: now, updated_at: now })
}

pub fn get(tx: &mut Tx, image: ImageId, project: &ProjectId) -> Result<Option<Member>> {
    let row = tx.query_one(
        &format!("SELECT {COLUMNS} FROM image_members WHERE image_id = ?1 AND member = ?2"),
        args![image, project],
    )?;
    row.map(from_row).transpose()
}

pub fn list(tx: &mut Tx, image: ImageId) -> Result<Vec<Member>> {
    let sql = format!("SELECT {COLUMNS} FROM image_members WHERE image_id = ?1 ORDER BY created_at, member");
    tx.query(&sql, args![image])?.into_iter().map(from_row).collect()
}

/// What the member answers to the offer.
///
/// # Errors
/// `NotFound` when it isn't shared with the project.
pub fn answer(tx: &mut Tx, member: &Member, status: MemberStatus, now: Timestamp) -> Result<Member> {
    let changed = tx.execute(
        "UPDATE image_members SET status = ?3, updated_at = ?4 WHERE image_id = ?1 AND member = ?2",
        args![member.image, &member.project, status.word(), now],
    )?;
    if changed == 0 {
        return Err(Error::not_found(Kind::ImageMember, &member.project));
    }
    Ok(Member { status, updated_at: now, ..member.clone() })
}

/// Ends the sharing. Not shared is done.
pub fn delete(tx: &mut Tx, image: ImageId, project: &ProjectId) -> Result<()> {
    tx.execute("DELETE FROM image_members WHERE image_id = ?1 AND member = ?2", args![image, project])?;
    Ok(())
}

fn from_row(mut row: Row) -> Result<Member> {
    Ok(Member {
        image: row.next()?,
        project: row.next()?,
        status: word(&row.next::<String>()?, MemberStatus::of)?,
        created_at: row.next()?,
        updated_at: row.next()?,
    })
}
