//! What all live moves together were, by how they ended. Counted with the transaction that ends a move, so each counts once,
//! whichever process ends it.

use super::{Row, Tx, args};
use crate::cloud::moving::Measured;
use crate::error::Result;

/// All moves that ended alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    pub status: String,
    pub moves: i64,
    pub elapsed_ms: i64,
    pub downtime_ms: i64,
    pub memory_bytes: i64,
    pub disk_bytes: i64,
    pub iterations: i64,
}

fn from_row(mut row: Row) -> Result<Totals> {
    Ok(Totals {
        status: row.next()?,
        moves: row.next()?,
        elapsed_ms: row.next()?,
        downtime_ms: row.next()?,
        memory_bytes: row.next()?,
        disk_bytes: row.next()?,
        iterations: row.next()?,
    })
}

/// Another move is over.
pub fn add(tx: &mut Tx, status: &str, counts: &Measured) -> Result<()> {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    // What a failed move expected of its downtime, no guest has stood still for.
    let downtime = if status == "completed" { counts.downtime_ms.unwrap_or(0) } else { 0 };
    tx.execute(
        "INSERT INTO move_totals (status, moves, elapsed_ms, downtime_ms, memory_bytes, disk_bytes, iterations)
         VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (status) DO UPDATE SET
             moves = move_totals.moves + 1,
             elapsed_ms = move_totals.elapsed_ms + excluded.elapsed_ms,
             downtime_ms = move_totals.downtime_ms + excluded.downtime_ms,
             memory_bytes = move_totals.memory_bytes + excluded.memory_bytes,
             disk_bytes = move_totals.disk_bytes + excluded.disk_bytes,
             iterations = move_totals.iterations + excluded.iterations",
        args![
            status,
            number(counts.elapsed_ms),
            number(downtime),
            number(counts.memory.processed),
            number(counts.disk.processed),
            number(counts.iterations)
        ],
    )?;
    Ok(())
}

pub fn all(tx: &mut Tx) -> Result<Vec<Totals>> {
    let sql = "SELECT status, moves, elapsed_ms, downtime_ms, memory_bytes, disk_bytes, iterations
                 FROM move_totals ORDER BY status";
    tx.query(sql, args![])?.into_iter().map(from_row).collect()
}
