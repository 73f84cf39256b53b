//! With whom images are shared.
//!
//! A share that has expired is none: every question here is asked as of a time, and the sweep removes the row later.

use super::images::word;
use super::{OrConflict, Row, Tx, Value, args};
use crate::clock::Timestamp;
use crate::cloud::image::{Member, MemberStatus, Terms};
use crate::error::{Error, Kind, Result};
use crate::ids::{ImageId, ProjectId};

const COLUMNS: &str = "image_id, member, status, expires_at, purpose, created_at, updated_at";

/// Shares an image with a project.
///
/// # Errors
/// `Conflict` when it is already.
pub fn insert(tx: &mut Tx, image: ImageId, project: &ProjectId, terms: &Terms, now: Timestamp) -> Result<Member> {
    let over = "DELETE FROM image_members WHERE image_id = ?1 AND member = ?2 AND expires_at <= ?3";
    tx.execute(over, args![image, project, now])?;
    tx.execute(
        "INSERT INTO image_members (image_id, member, status, expires_at, purpose, created_at, updated_at)
         VALUES (?1, ?2, 'pending', ?3, ?4, ?5, ?5)",
        args![image, project, terms.expires_at, &terms.purpose, now],
    )
    .or_conflict(|| format!("Member {project} is duplicated for image {image}"))?;
    let (status, terms) = (MemberStatus::Pending, terms.clone());
    Ok(Member { image, project: project.clone(), status, terms, created_at: now, updated_at: now })
}

pub fn get(tx: &mut Tx, image: ImageId, project: &ProjectId, now: Timestamp) -> Result<Option<Member>> {
    let row = tx.query_one(
        &format!(
            "SELECT {COLUMNS} FROM image_members
              WHERE image_id = ?1 AND member = ?2 AND (expires_at > ?3 OR expires_at IS NULL)"
        ),
        args![image, project, now],
    )?;
    row.map(from_row).transpose()
}

/// A project's memberships of these images, in one question.
pub fn of_project(tx: &mut Tx, images: &[ImageId], project: &ProjectId, now: Timestamp) -> Result<Vec<Member>> {
    if images.is_empty() {
        return Ok(Vec::new());
    }
    let mut args: Vec<Value> = vec![project.into(), now.into()];
    args.extend(images.iter().map(|image| Value::from(*image)));
    let places: Vec<_> = (3..=args.len()).map(|number| format!("?{number}")).collect();
    let sql = format!(
        "SELECT {COLUMNS} FROM image_members
          WHERE member = ?1 AND (expires_at > ?2 OR expires_at IS NULL) AND image_id IN ({})",
        places.join(", ")
    );
    tx.query_map(&sql, &args, from_row)
}

pub fn list(tx: &mut Tx, image: ImageId, now: Timestamp) -> Result<Vec<Member>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM image_members
          WHERE image_id = ?1 AND (expires_at > ?2 OR expires_at IS NULL) ORDER BY created_at, member"
    );
    tx.query_map(&sql, args![image, now], from_row)
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

/// Removes what has expired: nobody sees it any more. How many there were.
pub fn purge(tx: &mut Tx, now: Timestamp) -> Result<u64> {
    tx.execute("DELETE FROM image_members WHERE expires_at <= ?1", args![now])
}

fn from_row(mut row: Row) -> Result<Member> {
    Ok(Member {
        image: row.next()?,
        project: row.next()?,
        status: word(&row.next::<String>()?, MemberStatus::of)?,
        terms: Terms { expires_at: row.next()?, purpose: row.next()? },
        created_at: row.next()?,
        updated_at: row.next()?,
    })
}
