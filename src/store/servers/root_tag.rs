//! The tag that a server's owner knows its own disk by. Asked only where the guest is told of it: lists of servers have no use
//! for it.

use crate::error::Result;
use crate::ids::ServerId;
use crate::store::{Tx, args};

pub fn set_root_tag(tx: &mut Tx, id: ServerId, tag: &str) -> Result<()> {
    tx.execute("UPDATE servers SET root_tag = ?2 WHERE id = ?1", args![id, tag]).map(drop)
}

pub fn root_tag(tx: &mut Tx, id: ServerId) -> Result<Option<String>> {
    let row = tx.query_one("SELECT root_tag FROM servers WHERE id = ?1", args![id])?;
    Ok(row.map(|mut row| row.next()).transpose()?.flatten())
}
