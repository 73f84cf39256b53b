//! The identity epoch: one number that grows with each change of who may do what.
//!
//! Every identity write calls [`bump`] in its own transaction, and every request reads the number; what was decided at
//! another number is decided again. So a process may keep its decisions, and a change in any process still holds at once.

use super::{Tx, args};
use crate::error::{Error, Result};

/// The epoch now.
pub fn current(tx: &mut Tx) -> Result<i64> {
    let row = tx.query_one("SELECT epoch FROM identity_epoch WHERE id = 1", args![])?;
    row.ok_or_else(|| Error::internal("the identity epoch is missing", "the table is empty"))?.next()
}

/// Says that something of identity changes with this transaction.
pub fn bump(tx: &mut Tx) -> Result<()> {
    tx.execute("UPDATE identity_epoch SET epoch = epoch + 1 WHERE id = 1", args![]).map(drop)
}
