//! What is remembered of logins between requests and processes: wrong passwords in a row, and when an account was last
//! used. None of it changes what a token may do, so none of it moves the identity epoch, but for an account's reopening.

use super::{Tx, args, epoch};
use crate::clock::Timestamp;
use crate::cloud::compliance::{Attempts, SecurityCompliance};
use crate::error::Result;
use crate::ids::UserId;

/// Rows of `nobodys_logins`.
const SLOTS: i64 = 8;

pub fn attempts(tx: &mut Tx, user: &UserId) -> Result<Attempts> {
    let row = tx.query_one("SELECT failed_logins, last_failed_at FROM users WHERE id = ?1", args![user.as_str()])?;
    let read = row.map(|mut row| Ok(Attempts { count: row.next()?, last_at: row.next()? }));
    Ok(read.transpose()?.unwrap_or_default())
}

/// Counts a wrong password; `None` writes as much where it counts for nobody.
pub fn note_failure(tx: &mut Tx, user: Option<&UserId>, rules: &SecurityCompliance, now: Timestamp) -> Result<()> {
    let Some(user) = user else {
        return tx
            .execute(
                "UPDATE nobodys_logins SET failed_logins = failed_logins + 1, last_failed_at = ?2 WHERE slot = ?1",
                args![now.0.rem_euclid(SLOTS), now],
            )
            .map(drop);
    };
    let after = rules.after_failure(attempts(tx, user)?, now);
    tx.execute(
        "UPDATE users SET failed_logins = ?2, last_failed_at = ?3 WHERE id = ?1",
        args![user.as_str(), after.count, after.last_at],
    )
    .map(drop)
}

/// Forgets wrong passwords after a right one.
pub fn forgive(tx: &mut Tx, user: &UserId) -> Result<()> {
    tx.execute("UPDATE users SET failed_logins = 0, last_failed_at = NULL WHERE id = ?1", args![user.as_str()])
        .map(drop)
}

/// Writes down that an account was used.
pub fn note_activity(tx: &mut Tx, user: &UserId, now: Timestamp) -> Result<()> {
    tx.execute("UPDATE users SET last_active_at = ?2 WHERE id = ?1", args![user.as_str(), now]).map(drop)
}

/// Opens an account that was locked or had lain idle: an administrator says that it is enabled.
pub fn reopen(tx: &mut Tx, user: &UserId, now: Timestamp) -> Result<()> {
    epoch::bump(tx)?;
    forgive(tx, user)?;
    note_activity(tx, user, now)
}
