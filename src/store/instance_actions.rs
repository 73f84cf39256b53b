//! What was asked of a server, by whom, in which request, and the steps taken for it.

use super::{Row, Tx, args};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::ids::{ProjectId, ServerId, UserId};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceAction {
    pub id: String,
    pub server_id: ServerId,
    pub action: String,
    pub request_id: String,
    pub project_id: ProjectId,
    pub user_id: UserId,
    pub message: Option<String>,
    pub started_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceEvent {
    pub name: String,
    pub host: Option<String>,
    /// `Success` or `Error`; `None` while it runs.
    pub result: Option<String>,
    pub details: Option<String>,
    pub started_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

/// Who asked for something, and when.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    pub request_id: &'a str,
    pub project_id: &'a ProjectId,
    pub user_id: &'a UserId,
    pub now: Timestamp,
}

const COLUMNS: &str = "id, server_id, action, request_id, project_id, user_id, message, started_at, updated_at";

fn from_row(mut row: Row) -> Result<InstanceAction> {
    Ok(InstanceAction {
        id: row.next()?,
        server_id: row.next()?,
        action: row.next()?,
        request_id: row.next()?,
        project_id: row.next()?,
        user_id: row.next()?,
        message: row.next()?,
        started_at: row.next()?,
        updated_at: row.next()?,
    })
}

/// Notes that something was asked of a server.
pub fn insert(tx: &mut Tx, server: ServerId, action: &str, asked: &Asked<'_>) -> Result<()> {
    tx.execute(
        "INSERT INTO server_actions (id, server_id, action, request_id, project_id, user_id, started_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
        args![
            uuid::Uuid::new_v4().to_string(),
            server,
            action,
            asked.request_id,
            asked.project_id,
            asked.user_id,
            asked.now
        ],
    )?;
    Ok(())
}

/// Newest first.
pub fn list(tx: &mut Tx, server: ServerId) -> Result<Vec<InstanceAction>> {
    let sql = format!("SELECT {COLUMNS} FROM server_actions WHERE server_id = ?1 ORDER BY started_at DESC, id DESC");
    tx.query_map(&sql, args![server], from_row)
}

/// The action of a request; `None` when the request asked nothing of this server.
pub fn of_request(tx: &mut Tx, server: ServerId, request_id: &str) -> Result<Option<InstanceAction>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM server_actions WHERE server_id = ?1 AND request_id = ?2 ORDER BY started_at DESC, id LIMIT 1"
    );
    tx.query_one(&sql, args![server, request_id])?.map(from_row).transpose()
}

/// Newest first, as upstream lists them.
pub fn events(tx: &mut Tx, action_id: &str) -> Result<Vec<InstanceEvent>> {
    let sql = "SELECT name, host, result, details, started_at, finished_at FROM server_events
                WHERE action_id = ?1 ORDER BY started_at DESC, id DESC";
    tx.query(sql, args![action_id])?
        .into_iter()
        .map(|mut row| {
            Ok(InstanceEvent {
                name: row.next()?,
                host: row.next()?,
                result: row.next()?,
                details: row.next()?,
                started_at: row.next()?,
                finished_at: row.next()?,
            })
        })
        .collect()
}

/// A step of the work that a request asked for.
#[derive(Debug, Clone)]
pub struct Step<'s> {
    pub server: ServerId,
    pub request_id: Option<&'s str>,
    /// `compute__do_build_and_run_instance` and the like: names that upstream's users know.
    pub name: &'s str,
    pub host: Option<&'s str>,
    pub failure: Option<&'s str>,
    pub started_at: Timestamp,
    pub now: Timestamp,
}

impl<'s> Step<'s> {
    /// One that went well, nowhere in particular and in no time.
    pub const fn at_once(server: ServerId, request_id: Option<&'s str>, name: &'s str, now: Timestamp) -> Self {
        Self { server, request_id, name, host: None, failure: None, started_at: now, now }
    }
}

/// Notes that a step was begun, and how it went is not known yet. One that was noted already stays as it is.
pub fn begin(tx: &mut Tx, step: &Step<'_>) -> Result<()> {
    let Some(request_id) = step.request_id else { return Ok(()) };
    let Some(action) = of_request(tx, step.server, request_id)? else { return Ok(()) };
    let known =
        tx.query_one("SELECT id FROM server_events WHERE action_id = ?1 AND name = ?2", args![&action.id, step.name])?;
    if known.is_some() {
        return Ok(());
    }
    insert_event(tx, &action.id, step, None)?;
    let sql = "UPDATE server_actions SET updated_at = ?2 WHERE id = ?1";
    tx.execute(sql, args![&action.id, step.now])?;
    Ok(())
}

/// Steps of one instant are told apart, and ordered, by how many there were before them.
fn insert_event(tx: &mut Tx, action: &str, step: &Step<'_>, result: Option<&str>) -> Result<()> {
    let sql = "SELECT CAST(COUNT(*) AS BIGINT) FROM server_events WHERE action_id = ?1";
    let before: i64 = tx.query_one(sql, args![action])?.map_or(Ok(0), |mut row| row.next())?;
    tx.execute(
        "INSERT INTO server_events (id, action_id, name, host, result, details, started_at, finished_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        args![
            format!("{before:06}-{}", uuid::Uuid::new_v4()),
            action,
            step.name,
            step.host,
            result,
            step.failure,
            step.started_at,
            result.map(|_| step.now)
        ],
    )?;
    Ok(())
}

/// Of every action on a server, a step of this name that was begun and is open has ended.
pub fn end_open(tx: &mut Tx, server: ServerId, name: &str, failure: Option<&str>, now: Timestamp) -> Result<()> {
    let result = if failure.is_some() { "Error" } else { "Success" };
    tx.execute(
        "UPDATE server_events SET result = ?3, details = ?4, finished_at = ?5
          WHERE name = ?2 AND finished_at IS NULL
            AND action_id IN (SELECT id FROM server_actions WHERE server_id = ?1)",
        args![server, name, result, failure, now],
    )?;
    Ok(())
}

/// Notes how a step went. Noting the same step again changes its outcome only.
pub fn note(tx: &mut Tx, step: &Step<'_>) -> Result<()> {
    let Some(request_id) = step.request_id else { return Ok(()) };
    let Some(action) = of_request(tx, step.server, request_id)? else { return Ok(()) };
    let result = if step.failure.is_some() { "Error" } else { "Success" };
    let changed = tx.execute(
        "UPDATE server_events SET result = ?3, details = ?4, finished_at = ?5 WHERE action_id = ?1 AND name = ?2",
        args![&action.id, step.name, result, step.failure, step.now],
    )?;
    if changed == 0 {
        insert_event(tx, &action.id, step, Some(result))?;
    }
    let message = step.failure.map(|_| "Error");
    let sql = "UPDATE server_actions SET message = COALESCE(?2, message), updated_at = ?3 WHERE id = ?1";
    tx.execute(sql, args![&action.id, message, step.now])?;
    Ok(())
}
