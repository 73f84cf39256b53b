//! Records of resizes and of moves between hosts: from where, to where, how far they are, and what was counted. Upstream calls
//! them migrations.

use super::{Json, Row, Tx, args, move_totals};
use crate::clock::Timestamp;
use crate::cloud::moving::{Measured, Point};
use crate::cloud::policy::Reach;
use crate::error::Result;
use crate::ids::{HostId, ProjectId, ServerId, UserId};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    pub id: i64,
    pub uuid: String,
    pub server_id: ServerId,
    pub kind: String,
    pub status: String,
    pub source: Option<String>,
    pub target: Option<String>,
    pub project_id: ProjectId,
    pub user_id: UserId,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// What somebody asks of it while it goes on.
    pub asked: Option<String>,
    pub counts: Option<Measured>,
    pub failure: Option<String>,
}

impl Move {
    /// In the words of upstream's `in progress`.
    pub fn goes_on(&self) -> bool {
        GOES_ON.contains(&self.status.as_str())
    }
}

/// The states of a live move that is not over.
pub const GOES_ON: [&str; 4] = ["queued", "preparing", "running", "post-migrating"];

/// Who asked for it, and where the server is.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    pub server: ServerId,
    pub source: Option<&'a str>,
    pub project_id: &'a ProjectId,
    pub user_id: &'a UserId,
    pub now: Timestamp,
}

const COLUMNS: &str = "id, uuid, server_id, kind, status, source, target, project_id, user_id, created_at, updated_at,
    asked, counts, failure";

fn from_row(mut row: Row) -> Result<Move> {
    Ok(Move {
        id: row.next()?,
        uuid: row.next()?,
        server_id: row.next()?,
        kind: row.next()?,
        status: row.next()?,
        source: row.next()?,
        target: row.next()?,
        project_id: row.next()?,
        user_id: row.next()?,
        created_at: row.next()?,
        updated_at: row.next()?,
        asked: row.next()?,
        counts: row.next::<Option<Json<Measured>>>()?.map(|json| json.0),
        failure: row.next()?,
    })
}

/// Records that a move was asked for. Answers its number.
pub fn insert(tx: &mut Tx, kind: &str, status: &str, asked: &Asked<'_>) -> Result<i64> {
    let row = tx.query_one("SELECT CAST(COALESCE(MAX(id), 0) + 1 AS BIGINT) FROM server_moves", args![])?;
    let id: i64 = row.map_or(Ok(1), |mut row| row.next())?;
    tx.execute(
        "INSERT INTO server_moves (id, uuid, server_id, kind, status, source, target, project_id, user_id, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?8, ?9, ?4, NULL, ?5, ?6, ?7, ?7)",
        args![
            id,
            uuid::Uuid::new_v4().to_string(),
            asked.server,
            asked.source,
            asked.project_id,
            asked.user_id,
            asked.now,
            kind,
            status
        ],
    )?;
    Ok(id)
}

pub fn set_status(tx: &mut Tx, id: i64, status: &str, now: Timestamp) -> Result<()> {
    tx.execute("UPDATE server_moves SET status = ?2, updated_at = ?3 WHERE id = ?1", args![id, status, now])?;
    Ok(())
}

/// The host it goes to is chosen.
pub fn set_target(tx: &mut Tx, id: i64, target: &str, now: Timestamp) -> Result<()> {
    tx.execute("UPDATE server_moves SET target = ?2, updated_at = ?3 WHERE id = ?1", args![id, target, now])?;
    Ok(())
}

/// A live move has got there.
pub fn complete(tx: &mut Tx, id: i64, now: Timestamp) -> Result<()> {
    let before = get(tx, id)?;
    set_status(tx, id, "completed", now)?;
    match before.filter(|before| before.status != "completed") {
        Some(before) => move_totals::add(tx, "completed", &before.counts.unwrap_or_default()),
        None => Ok(()),
    }
}

/// The host that a server was evacuated from has nothing of it any more.
pub fn end_evacuations(tx: &mut Tx, server: ServerId, from: HostId, now: Timestamp) -> Result<()> {
    let sql = "UPDATE server_moves SET status = 'completed', updated_at = ?3
                WHERE server_id = ?1 AND kind = 'evacuation' AND status = 'done'
                  AND source = (SELECT name FROM hosts WHERE id = ?2)";
    tx.execute(sql, args![server, from, now])?;
    Ok(())
}

/// It failed, or was called off, and why.
pub fn set_failed(tx: &mut Tx, id: i64, status: &str, why: &str, now: Timestamp) -> Result<()> {
    if let Some(before) = get(tx, id)?.filter(|before| before.failure.is_none()) {
        move_totals::add(tx, status, &before.counts.unwrap_or_default())?;
    }
    let sql = "UPDATE server_moves SET status = ?2, failure = ?3, updated_at = ?4 WHERE id = ?1";
    tx.execute(sql, args![id, status, why, now])?;
    Ok(())
}

/// Why it failed, beside what it came to.
pub fn set_reason(tx: &mut Tx, id: i64, why: &str) -> Result<()> {
    tx.execute("UPDATE server_moves SET failure = ?2 WHERE id = ?1", args![id, why])?;
    Ok(())
}

/// Somebody wants it ended, or hastened: whoever carries it out looks here.
pub fn ask(tx: &mut Tx, id: i64, word: &str, now: Timestamp) -> Result<()> {
    tx.execute("UPDATE server_moves SET asked = ?2, updated_at = ?3 WHERE id = ?1", args![id, word, now])?;
    Ok(())
}

/// What was wished of it.
pub fn set_limits(tx: &mut Tx, id: i64, limits: &serde_json::Value) -> Result<()> {
    tx.execute("UPDATE server_moves SET limits = ?2 WHERE id = ?1", args![id, Json(limits)])?;
    Ok(())
}

/// What was counted so far, and what remained when; what somebody asks of it comes back.
pub fn note(tx: &mut Tx, id: i64, counts: &Measured, plot: Option<&[Point]>, now: Timestamp) -> Result<Option<String>> {
    if let Some(plot) = plot {
        tx.execute("UPDATE server_moves SET plot = ?2 WHERE id = ?1", args![id, Json(plot)])?;
    }
    let sql = "UPDATE server_moves SET counts = ?2, updated_at = ?3 WHERE id = ?1 RETURNING asked";
    tx.query_one(sql, args![id, Json(counts), now])?.map_or(Ok(None), |mut row| row.next())
}

/// What was wished of a move, and how much remained when.
pub fn course(tx: &mut Tx, id: i64) -> Result<(serde_json::Value, Vec<Point>)> {
    let row = tx.query_one("SELECT limits, plot FROM server_moves WHERE id = ?1", args![id])?;
    let Some(mut row) = row else { return Ok((serde_json::Value::Null, Vec::new())) };
    let limits = row.next::<Option<Json<serde_json::Value>>>()?.map_or(serde_json::Value::Null, |json| json.0);
    Ok((limits, row.next::<Option<Json<Vec<Point>>>>()?.map(|json| json.0).unwrap_or_default()))
}

/// A move by its number.
pub fn get(tx: &mut Tx, id: i64) -> Result<Option<Move>> {
    let sql = format!("SELECT {COLUMNS} FROM server_moves WHERE id = ?1");
    tx.query_one(&sql, args![id])?.map(from_row).transpose()
}

/// The last that was asked for of a server.
pub fn newest(tx: &mut Tx, server: ServerId) -> Result<Option<Move>> {
    let sql = format!("SELECT {COLUMNS} FROM server_moves WHERE server_id = ?1 ORDER BY id DESC LIMIT 1");
    tx.query_one(&sql, args![server])?.map(from_row).transpose()
}

/// A server's live moves that are not over, oldest first.
pub fn under_way(tx: &mut Tx, server: ServerId) -> Result<Vec<Move>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM server_moves
          WHERE server_id = ?1 AND kind = 'live-migration'
            AND status IN ('queued', 'preparing', 'running', 'post-migrating')
          ORDER BY created_at, id"
    );
    tx.query(&sql, args![server])?.into_iter().map(from_row).collect()
}

/// What a list asks for; `None`: any.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub server: Option<ServerId>,
    pub status: Option<String>,
    pub kind: Option<String>,
    pub source: Option<String>,
    /// Either end.
    pub host: Option<String>,
    pub user: Option<UserId>,
    pub changed_since: Option<Timestamp>,
    pub changed_before: Option<Timestamp>,
}

/// Newest first.
pub fn list(tx: &mut Tx, reach: &Reach, filter: &Filter) -> Result<Vec<Move>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM server_moves
          WHERE (project_id = ?1 OR ?1 IS NULL) AND (server_id = ?2 OR ?2 IS NULL) AND (status = ?3 OR ?3 IS NULL)
            AND (kind = ?4 OR ?4 IS NULL) AND (source = ?5 OR ?5 IS NULL)
            AND (source = ?6 OR target = ?6 OR ?6 IS NULL) AND (user_id = ?7 OR ?7 IS NULL)
            AND updated_at >= ?8 AND updated_at <= ?9
          ORDER BY created_at DESC, id DESC"
    );
    let found = tx.query(
        &sql,
        args![
            reach.project()?,
            filter.server,
            filter.status.as_deref(),
            filter.kind.as_deref(),
            filter.source.as_deref(),
            filter.host.as_deref(),
            filter.user.as_ref(),
            filter.changed_since.unwrap_or(Timestamp(i64::MIN)),
            filter.changed_before.unwrap_or(Timestamp(i64::MAX))
        ],
    )?;
    found.into_iter().map(from_row).collect()
}

/// One of a server's.
pub fn of_server(tx: &mut Tx, server: ServerId, id: i64) -> Result<Option<Move>> {
    let sql = format!("SELECT {COLUMNS} FROM server_moves WHERE server_id = ?1 AND id = ?2");
    tx.query_one(&sql, args![server, id])?.map(from_row).transpose()
}
