//! What servers left on hosts that could not be asked to take it away: noted until somebody did.

use super::{Tx, args};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::ids::{HostId, ServerId};

/// A host that a server left has something of it yet.
pub fn note(tx: &mut Tx, server: ServerId, host: HostId, now: Timestamp) -> Result<()> {
    let sql = "INSERT INTO leftovers (server_id, host_id, created_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    tx.execute(sql, args![server, host, now])?;
    Ok(())
}

/// Nothing of the server is on the host any more, or it is back there.
pub fn forget(tx: &mut Tx, server: ServerId, host: HostId) -> Result<()> {
    tx.execute("DELETE FROM leftovers WHERE server_id = ?1 AND host_id = ?2", args![server, host])?;
    Ok(())
}

/// Did a server leave something on this host that is not cleared away yet?
pub fn is_on(tx: &mut Tx, server: ServerId, host: HostId) -> Result<bool> {
    let sql = "SELECT 1 FROM leftovers WHERE server_id = ?1 AND host_id = ?2";
    Ok(tx.query_one(sql, args![server, host])?.is_some())
}

/// Servers that a host has something of though they are elsewhere, and of which nobody is to clear it away yet.
pub fn to_clear(tx: &mut Tx, host: HostId) -> Result<Vec<ServerId>> {
    let sql = "SELECT l.server_id FROM leftovers l
                WHERE l.host_id = ?1
                  AND NOT EXISTS (SELECT 1 FROM tasks t
                                   WHERE t.subject_id = l.server_id AND t.kind = 'clear_leftovers'
                                     AND t.state IN ('ready', 'undoing'))
                ORDER BY l.created_at, l.server_id";
    tx.query(sql, args![host])?.into_iter().map(|mut row| row.next()).collect()
}
