//! Imports of images as clients ask about them.

use super::{Json, Row, Tx, Value, args};
use crate::clock::Timestamp;
use crate::cloud::image::import::{ImportTask, TASK_KINDS, TASK_SECONDS, TaskStatus};
use crate::error::{Error, Kind, Result};
use crate::ids::{ImageId, TaskId};

const COLUMNS: &str = "id, type, status, owner, user_id, request_id, image_id, input, result, message, expires_at, \
     created_at, updated_at";

/// Columns that lists are sorted by.
pub const SORT_FIELDS: [&str; 7] = ["id", "type", "status", "owner", "expires_at", "created_at", "updated_at"];

/// What is asked of a list of tasks. The column is one of [`SORT_FIELDS`], never a client's text.
#[derive(Debug, Clone)]
pub struct Page {
    pub status: Option<TaskStatus>,
    pub kind: Option<String>,
    pub sort_field: &'static str,
    pub is_descending: bool,
    pub limit: usize,
    /// Show what comes after this task.
    pub marker: Option<TaskId>,
}

/// So many imports of an image are remembered.
const REMEMBERED: i64 = 50;

/// Those of the image that ended longest ago are forgotten for it, beyond [`REMEMBERED`].
pub fn insert(tx: &mut Tx, task: &ImportTask) -> Result<()> {
    tx.execute(
        "DELETE FROM image_tasks
          WHERE image_id = ?1 AND expires_at IS NOT NULL AND id NOT IN
                (SELECT n.id FROM image_tasks n WHERE n.image_id = ?1 ORDER BY n.created_at DESC, n.id DESC LIMIT ?2)",
        args![task.image_id, REMEMBERED - 1],
    )?;
    tx.execute(
        &format!("INSERT INTO image_tasks ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"),
        args![
            task.id,
            task.kind,
            task.status.word(),
            &task.owner,
            &task.user_id,
            &task.request_id,
            task.image_id,
            Json(&task.input),
            Json(&task.result),
            &task.message,
            task.expires_at,
            task.created_at,
            task.updated_at
        ],
    )?;
    Ok(())
}

/// # Errors
/// `NotFound` when it isn't there, or was forgotten.
pub fn get(tx: &mut Tx, id: TaskId) -> Result<ImportTask> {
    let row = tx.query_one(&format!("SELECT {COLUMNS} FROM image_tasks WHERE id = ?1"), args![id])?;
    row.map(from_row).transpose()?.ok_or_else(|| not_found(id))
}

pub fn not_found(id: impl std::fmt::Display) -> Error {
    Error::not_found(Kind::Part, format!("No task found with ID {id}"))
}

/// Those of an image, oldest first.
pub fn of_image(tx: &mut Tx, image: ImageId) -> Result<Vec<ImportTask>> {
    let sql = format!("SELECT {COLUMNS} FROM image_tasks WHERE image_id = ?1 ORDER BY created_at, id");
    tx.query_map(&sql, args![image], from_row)
}

/// A page of all of them.
///
/// # Errors
/// `NotFound` for a marker that is no task.
pub fn list(tx: &mut Tx, page: &Page) -> Result<Vec<ImportTask>> {
    let field = match page.sort_field {
        "owner" => "COALESCE(owner, '')",
        "expires_at" => "COALESCE(expires_at, 0)",
        field => field,
    };
    let (way, beyond) = if page.is_descending { ("DESC", "<") } else { ("ASC", ">") };
    let mut arguments: Vec<Value> = args![page.status.map(TaskStatus::word), &page.kind].to_vec();
    let mut after = String::new();
    if let Some(marker) = page.marker {
        get(tx, marker)?;
        arguments.push(marker.into());
        after = format!("AND ({field}, id) {beyond} (SELECT {field}, id FROM image_tasks WHERE id = ?3)");
    }
    let sql = format!(
        "SELECT {COLUMNS} FROM image_tasks
          WHERE (status = ?1 OR ?1 IS NULL) AND (type = ?2 OR ?2 IS NULL) {after}
          ORDER BY {field} {way}, id {way} LIMIT {}",
        page.limit
    );
    tx.query_map(&sql, &arguments, from_row)
}

/// It is being worked on.
pub fn begin(tx: &mut Tx, id: TaskId, now: Timestamp) -> Result<()> {
    let sql = "UPDATE image_tasks SET status = 'processing', updated_at = ?2 WHERE id = ?1 AND status = 'pending'";
    tx.execute(sql, args![id, now]).map(drop)
}

/// It is over, and forgotten after a while.
pub fn end(tx: &mut Tx, id: TaskId, status: TaskStatus, message: &str, now: Timestamp) -> Result<()> {
    let task = get(tx, id)?;
    let result = match (status, task.image_id) {
        (TaskStatus::Success, Some(image)) => serde_json::json!({"image_id": image.to_string()}),
        _ => serde_json::Value::Null,
    };
    tx.execute(
        "UPDATE image_tasks SET status = ?2, message = ?3, result = ?4, expires_at = ?5, updated_at = ?6 WHERE id = ?1",
        args![id, status.word(), message, Json(result), now.plus_seconds(TASK_SECONDS), now],
    )?;
    Ok(())
}

/// Forgets those whose time is over.
pub fn purge(tx: &mut Tx, now: Timestamp) -> Result<u64> {
    tx.execute("DELETE FROM image_tasks WHERE expires_at < ?1", args![now])
}

fn from_row(mut row: Row) -> Result<ImportTask> {
    Ok(ImportTask {
        id: row.next()?,
        kind: super::images::word(&row.next::<String>()?, |word| TASK_KINDS.into_iter().find(|kind| *kind == word))?,
        status: super::images::word(&row.next::<String>()?, TaskStatus::of)?,
        owner: row.next()?,
        user_id: row.next()?,
        request_id: row.next()?,
        image_id: row.next()?,
        input: row.next::<Json<serde_json::Value>>()?.0,
        result: row.next::<Json<serde_json::Value>>()?.0,
        message: row.next()?,
        expires_at: row.next()?,
        created_at: row.next()?,
        updated_at: row.next()?,
    })
}
