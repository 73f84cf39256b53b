//! Key pairs: a user's, whatever the project.

use super::{OrConflict, Row, Tx, args};
use crate::clock::Timestamp;
use crate::cloud::policy::Reach;
use crate::error::{Error, Kind, Result};
use crate::ids::UserId;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keypair {
    pub user_id: UserId,
    pub name: String,
    /// `ssh` or `x509`.
    pub kind: String,
    pub fingerprint: String,
    pub public_key: String,
    /// Given by [`insert`].
    pub number: i64,
    pub created_at: Timestamp,
}

const COLUMNS: &str = "user_id, name, type, fingerprint, public_key, number, created_at";

fn from_row(mut row: Row) -> Result<Keypair> {
    Ok(Keypair {
        user_id: row.next()?,
        name: row.next()?,
        kind: row.next()?,
        fingerprint: row.next()?,
        public_key: row.next()?,
        number: row.next()?,
        created_at: row.next()?,
    })
}

/// Whose key pairs a caller means: their own, or another user's where the reach allows it.
fn check_reach(reach: &Reach, user: &UserId) -> Result<()> {
    match reach {
        Reach::Cloud => Ok(()),
        Reach::User(own) if own == user => Ok(()),
        Reach::User(_) | Reach::Project(_) | Reach::Domain(_) => {
            Err(Error::Forbidden("Policy doesn't allow this for another user's key pairs.".to_owned()))
        }
    }
}

/// A user's key pairs by name, after `marker`.
pub fn list(tx: &mut Tx, reach: &Reach, user: &UserId, marker: Option<&str>) -> Result<Vec<Keypair>> {
    check_reach(reach, user)?;
    if let Some(marker) = marker {
        let known = tx.query_one("SELECT 1 FROM keypairs WHERE user_id = ?1 AND name = ?2", args![user, marker])?;
        known.ok_or_else(|| Error::bad_request(format!("Marker {marker} could not be found.")))?;
    }
    let sql = format!("SELECT {COLUMNS} FROM keypairs WHERE user_id = ?1 AND name > ?2 ORDER BY name");
    tx.query_map(&sql, args![user, marker.unwrap_or_default()], from_row)
}

pub fn get(tx: &mut Tx, reach: &Reach, user: &UserId, name: &str) -> Result<Keypair> {
    check_reach(reach, user)?;
    let sql = format!("SELECT {COLUMNS} FROM keypairs WHERE user_id = ?1 AND name = ?2");
    tx.query_one(&sql, args![user, name])?.ok_or_else(|| not_found(user, name)).and_then(from_row)
}

pub fn count(tx: &mut Tx, user: &UserId) -> Result<i64> {
    let row = tx.query_one("SELECT COUNT(*) FROM keypairs WHERE user_id = ?1", args![user])?;
    row.map_or(Ok(0), |mut row| row.next())
}

pub fn insert(tx: &mut Tx, reach: &Reach, keypair: &Keypair) -> Result<()> {
    check_reach(reach, &keypair.user_id)?;
    tx.execute(
        "INSERT INTO keypairs (user_id, name, type, fingerprint, public_key, created_at, number)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, (SELECT COALESCE(MAX(number), 0) + 1 FROM keypairs))",
        args![
            &keypair.user_id,
            &keypair.name,
            &keypair.kind,
            &keypair.fingerprint,
            &keypair.public_key,
            keypair.created_at
        ],
    )
    .or_conflict(|| format!("Key pair '{}' already exists.", keypair.name))?;
    Ok(())
}

pub fn delete(tx: &mut Tx, reach: &Reach, user: &UserId, name: &str) -> Result<()> {
    check_reach(reach, user)?;
    match tx.execute("DELETE FROM keypairs WHERE user_id = ?1 AND name = ?2", args![user, name])? {
        0 => Err(not_found(user, name)),
        _ => Ok(()),
    }
}

fn not_found(user: &UserId, name: &str) -> Error {
    Error::not_found(Kind::Part, format!("Keypair {name} not found for user {user}"))
}
