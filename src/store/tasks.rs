//! Task rows: made with a request, claimed with a lease, saved step by step.

use super::{Row, Tx, Value, args};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::ids::TaskId;
use std::fmt;

/// What a request says of the work it wants, besides its kind and first step.
#[derive(Debug, Clone, Copy)]
pub struct NewTask<'n> {
    /// What the work is about; tasks of one subject run one after another.
    pub subject: &'n str,
    pub request_id: Option<&'n str>,
    pub now: Timestamp,
}

/// Why a task is undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Somebody wants it stopped.
    Cancelled,
    /// A step failed, with this text for the client.
    Failed(String),
}

impl Why {
    /// The state of a task that was undone for this.
    pub const fn end(&self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Failed(_) => "failed",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cancelled => "cancelled",
            Self::Failed(text) => text,
        })
    }
}

/// A task this process holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    pub id: TaskId,
    pub kind: String,
    pub step: String,
    pub subject: String,
    pub request_id: Option<String>,
    /// Why it is being undone, if it is.
    pub undoing: Option<Why>,
    /// It waited for a turn.
    pub awaits_turn: bool,
    pub attempts: u32,
    pub epoch: i64,
}

const CLAIMED: &str =
    "id, kind, step, subject_id, request_id, state, was_cancelled, error, awaits_turn, attempts, epoch";

/// Which work is left alone for now.
#[derive(Debug, Clone, Default)]
pub struct Leave {
    pub kinds: Vec<&'static str>,
    /// What waits for a turn, unless it is wanted no more.
    pub turns: bool,
}

impl Claimed {
    fn from_row(mut row: Row) -> Result<Self> {
        let (id, kind, step, subject, request_id) = (row.next()?, row.next()?, row.next()?, row.next()?, row.next()?);
        let (state, was_cancelled, error): (String, bool, Option<String>) = (row.next()?, row.next()?, row.next()?);
        let why =
            if was_cancelled { Why::Cancelled } else { Why::Failed(error.unwrap_or_else(|| "unknown".to_owned())) };
        let undoing = (state == "undoing").then_some(why);
        let (awaits_turn, attempts, epoch) = (row.next()?, row.next()?, row.next()?);
        Ok(Self { id, kind, step, subject, request_id, undoing, awaits_turn, attempts, epoch })
    }
}

pub fn insert(tx: &mut Tx, kind: &str, step: &str, new: &NewTask<'_>) -> Result<TaskId> {
    let id = TaskId::random();
    tx.execute(
        "INSERT INTO tasks (id, kind, step, subject_id, request_id, state, epoch, attempts, run_after, cancel, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, 'ready', 0, 0, ?6, 0, ?6, ?6)",
        args![id, kind, step, new.subject, new.request_id, new.now],
    )?;
    Ok(id)
}

/// Takes the next task that is due, free or abandoned, and first in line of its subject; none that is left alone. `None` when
/// there is none.
pub fn claim(
    tx: &mut Tx,
    owner: &str,
    now: Timestamp,
    lease_until: Timestamp,
    leave: &Leave,
) -> Result<Option<Claimed>> {
    let mut but: String = (0..leave.kinds.len()).map(|at| format!(" AND t.kind <> ?{}", at + 2)).collect();
    if leave.turns {
        but.push_str(" AND (t.awaits_turn = 0 OR t.cancel = 1)");
    }
    let mut arguments: Vec<Value> = args![now].to_vec();
    arguments.extend(leave.kinds.iter().map(|kind| Value::from(*kind)));
    let sql = format!(
        "SELECT t.id FROM tasks t
          WHERE t.state IN ('ready', 'undoing') AND t.run_after <= ?1 AND (t.owner IS NULL OR t.lease_until < ?1){but}
            AND NOT EXISTS (SELECT 1 FROM tasks e
                             WHERE e.subject_id = t.subject_id AND e.state IN ('ready', 'undoing')
                               AND (e.created_at, e.id) < (t.created_at, t.id))
          ORDER BY t.run_after, t.id LIMIT 1"
    );
    let Some(mut row) = tx.query(&sql, &arguments)?.into_iter().next() else {
        return Ok(None);
    };
    let id: TaskId = row.next()?;
    let epoch: i64 = tx
        .query_one("UPDATE task_epoch SET value = value + 1 WHERE id = 1 RETURNING value", &[])?
        .ok_or_else(|| Error::internal("the row of task_epoch is gone", "restore it from a backup"))?
        .next()?;
    let claimed = tx.query_one(
        &format!(
            "UPDATE tasks SET owner = ?2, lease_until = ?3, epoch = ?4, updated_at = ?5
              WHERE id = ?1 AND (owner IS NULL OR lease_until < ?5) RETURNING {CLAIMED}"
        ),
        args![id, owner, lease_until, epoch, now],
    )?;
    claimed.map(Claimed::from_row).transpose()
}

/// Is there work of this kind about something that nobody has begun?
pub fn has_unclaimed(tx: &mut Tx, kind: &str, subject: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM tasks WHERE subject_id = ?1 AND kind = ?2 AND state = 'ready' AND owner IS NULL LIMIT 1";
    Ok(tx.query_one(sql, args![subject, kind])?.is_some())
}

/// Keeps the claim. `false` when it is lost.
pub fn renew(tx: &mut Tx, id: TaskId, epoch: i64, lease_until: Timestamp) -> Result<bool> {
    let sql = "UPDATE tasks SET lease_until = ?3 WHERE id = ?1 AND epoch = ?2 AND owner IS NOT NULL";
    Ok(tx.execute(sql, args![id, epoch, lease_until])? == 1)
}

pub fn is_cancelled(tx: &mut Tx, id: TaskId) -> Result<bool> {
    Ok(tx.query_one("SELECT 1 FROM tasks WHERE id = ?1 AND cancel = 1", args![id])?.is_some())
}

/// Saves the step to take next; the claim goes on.
pub fn save_step(tx: &mut Tx, id: TaskId, epoch: i64, step: &str, now: Timestamp) -> Result<()> {
    let sql = "UPDATE tasks SET step = ?3, awaits_turn = 0, attempts = 0, updated_at = ?4
          WHERE id = ?1 AND epoch = ?2 AND owner IS NOT NULL";
    held(tx.execute(sql, args![id, epoch, step, now])?)
}

/// From now on the task is undone, for this reason.
pub fn turn_back(tx: &mut Tx, id: TaskId, epoch: i64, why: &Why, now: Timestamp) -> Result<()> {
    let sql = "UPDATE tasks SET state = 'undoing', awaits_turn = 0, attempts = 0, was_cancelled = ?3, error = ?4, updated_at = ?5
                WHERE id = ?1 AND epoch = ?2 AND owner IS NOT NULL";
    let error = match why {
        Why::Cancelled => None,
        Why::Failed(text) => Some(text.as_str()),
    };
    held(tx.execute(sql, args![id, epoch, *why == Why::Cancelled, error, now])?)
}

/// Gives the claim back, to be taken up again later by whoever comes first.
pub fn postpone(tx: &mut Tx, id: TaskId, epoch: i64, until: Timestamp, now: Timestamp) -> Result<()> {
    let sql =
        "UPDATE tasks SET owner = NULL, lease_until = NULL, attempts = attempts + 1, run_after = ?3, updated_at = ?4
                WHERE id = ?1 AND epoch = ?2 AND owner IS NOT NULL";
    held(tx.execute(sql, args![id, epoch, until, now])?)
}

/// Gives the claim back, to be taken up again by whoever has a turn for it.
pub fn line_up(tx: &mut Tx, id: TaskId, epoch: i64, now: Timestamp) -> Result<()> {
    let sql = "UPDATE tasks SET owner = NULL, lease_until = NULL, awaits_turn = 1, updated_at = ?3
                WHERE id = ?1 AND epoch = ?2 AND owner IS NOT NULL";
    held(tx.execute(sql, args![id, epoch, now])?)
}

/// What was postponed is due now.
pub fn hasten(tx: &mut Tx, now: Timestamp) -> Result<u64> {
    let sql = "UPDATE tasks SET run_after = ?1, updated_at = ?1
                WHERE state IN ('ready', 'undoing') AND owner IS NULL AND attempts > 0 AND run_after > ?1";
    tx.execute(sql, args![now])
}

/// The task is over: `done`, `failed` or `cancelled`.
pub fn finish(tx: &mut Tx, id: TaskId, epoch: i64, state: &str, now: Timestamp) -> Result<()> {
    let sql = "UPDATE tasks SET state = ?3, owner = NULL, lease_until = NULL, updated_at = ?4
                WHERE id = ?1 AND epoch = ?2 AND owner IS NOT NULL";
    held(tx.execute(sql, args![id, epoch, state, now])?)
}

/// The step is not needed any more, and held what should not be kept longer.
pub fn forget_step(tx: &mut Tx, id: TaskId) -> Result<()> {
    tx.execute("UPDATE tasks SET step = 'null' WHERE id = ?1", args![id])?;
    Ok(())
}

/// Wishes that whatever is under way for a subject be stopped and undone, and what waits for a retry at once. How many tasks
/// heard it.
pub fn cancel_all(tx: &mut Tx, subject: &str, now: Timestamp) -> Result<u64> {
    let sql =
        "UPDATE tasks SET cancel = 1, run_after = CASE WHEN run_after > ?2 THEN ?2 ELSE run_after END, updated_at = ?2
                WHERE subject_id = ?1 AND state IN ('ready', 'undoing')";
    tx.execute(sql, args![subject, now])
}

/// Is there work on a subject, and does all of it wait, for a host or for its turn?
pub fn only_waits(tx: &mut Tx, subject: &str, now: Timestamp) -> Result<bool> {
    let sql = "SELECT COUNT(*), COUNT(CASE WHEN owner IS NOT NULL AND lease_until >= ?2 THEN 1 END) FROM tasks
                WHERE subject_id = ?1 AND state IN ('ready', 'undoing')";
    let Some(mut row) = tx.query_one(sql, args![subject, now])? else { return Ok(false) };
    let (all, worked_on): (i64, i64) = (row.next()?, row.next()?);
    Ok(all > 0 && worked_on == 0)
}

/// Is anything under way for a subject?
pub fn any_open(tx: &mut Tx, subject: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM tasks WHERE subject_id = ?1 AND state IN ('ready', 'undoing') LIMIT 1";
    Ok(tx.query_one(sql, args![subject])?.is_some())
}

/// Is work of this kind under way for a subject?
pub fn is_open(tx: &mut Tx, kind: &str, subject: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM tasks WHERE subject_id = ?1 AND kind = ?2 AND state IN ('ready', 'undoing') LIMIT 1";
    Ok(tx.query_one(sql, args![subject, kind])?.is_some())
}

/// What all work of a kind that is under way is about, oldest first.
pub fn open_subjects(tx: &mut Tx, kind: &str) -> Result<Vec<String>> {
    let rows = tx.query(
        "SELECT subject_id FROM tasks WHERE kind = ?1 AND state = 'ready' AND cancel = 0 ORDER BY created_at, id",
        args![kind],
    )?;
    rows.into_iter().map(|mut row| row.next()).collect()
}

/// Gives back what an earlier process of the same name held when it ended: its leases need not run out first.
pub fn release_all(tx: &mut Tx, owner: &str) -> Result<u64> {
    tx.execute("UPDATE tasks SET owner = NULL, lease_until = NULL WHERE owner = ?1", args![owner])
}

/// Deletes tasks that were over before a time.
pub fn purge(tx: &mut Tx, before: Timestamp) -> Result<u64> {
    tx.execute("DELETE FROM tasks WHERE state NOT IN ('ready', 'undoing') AND updated_at < ?1", args![before])
}

fn held(changed: u64) -> Result<()> {
    if changed == 1 { Ok(()) } else { Err(Error::conflict("the task's lease was lost")) }
}
