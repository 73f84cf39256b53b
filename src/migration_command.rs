//! `gapura migration`: what is written down of moves, for operators, straight from the database.
//!
//! Live moves are told with what was counted of them; resizes and cold moves, of which nothing is counted, with their states.

use crate::cloud::moving::{Amount, plot};
use crate::cloud::policy::Reach;
use crate::error::{Error, Kind, Result};
use crate::ids::ServerId;
use crate::store::Db;
use crate::store::server_moves::{self, Filter, Move};
use std::fmt::Write;
use std::path::Path;

/// Moves, newest first, a line each.
///
/// # Errors
/// `BadRequest` for a server's name that is no id.
pub async fn list(db: &Db, server: Option<&str>, limit: usize) -> Result<String> {
    let server = match server {
        None => None,
        Some(text) => {
            Some(ServerId::parse(text).ok_or_else(|| Error::bad_request(format!("{text} is no server's id")))?)
        }
    };
    let filter = Filter { server, ..Filter::default() };
    let mut found = db.read(move |tx| server_moves::list(tx, &Reach::Cloud, &filter)).await?;
    found.truncate(limit);
    let heads = ["ID", "SERVER", "KIND", "STATUS", "FROM", "TO", "TOTAL", "DOWNTIME", "MEMORY", "DISK", "BEGAN"];
    let rows = found.iter().map(row);
    Ok(table(std::iter::once(heads.map(str::to_owned)).chain(rows).collect()))
}

fn row(of: &Move) -> [String; 11] {
    let host = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".to_owned());
    let counted =
        |text: fn(&crate::cloud::moving::Measured) -> String| of.counts.as_ref().map_or_else(|| "-".to_owned(), text);
    let is_over = !of.goes_on();
    [
        of.id.to_string(),
        of.server_id.to_string(),
        of.kind.clone(),
        of.status.clone(),
        host(&of.source),
        host(&of.target),
        counted(|counts| seconds(counts.elapsed_ms)),
        if is_over && of.status == "completed" {
            counted(|counts| milliseconds(counts.downtime_ms))
        } else {
            "-".to_owned()
        },
        counted(|counts| plot::bytes(counts.memory.processed)),
        counted(|counts| plot::bytes(counts.disk.processed)),
        of.created_at.to_seconds_z(),
    ]
}

/// Columns as wide as what is in them.
fn table<const N: usize>(rows: Vec<[String; N]>) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let line: String = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}  ")).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text
}

/// One move with all that was counted of it, drawn as well where that is wished; `picture` names a file for an SVG.
///
/// # Errors
/// `NotFound` for a number that no move has.
pub async fn show(db: &Db, number: i64, draws: bool, picture: Option<&Path>) -> Result<String> {
    let read = move |tx: &mut crate::store::Tx| Ok((server_moves::get(tx, number)?, server_moves::course(tx, number)?));
    let (found, (limits, course)) = db.read(read).await?;
    let missing = || Error::not_found(Kind::Part, format!("There is no migration {number}."));
    let mut text = told(&found.ok_or_else(missing)?, &limits);
    if draws {
        let _ = write!(text, "\n{}", plot::text(&course));
    }
    if let Some(path) = picture {
        let failed = |error| Error::bad_request(format!("can't write {}: {error}", path.display()));
        std::fs::write(path, plot::svg(&course)).map_err(failed)?;
    }
    Ok(text.trim_end().to_owned())
}

fn told(of: &Move, limits: &serde_json::Value) -> String {
    let counts = of.counts.unwrap_or_default();
    let amount = |of: Amount| {
        let (sent, total, left) = (plot::bytes(of.processed), plot::bytes(of.total), plot::bytes(of.remaining));
        format!("{sent} sent of {total}, {left} remain")
    };
    let host = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".to_owned());
    let mut rows = vec![
        ("id", of.id.to_string()),
        ("uuid", of.uuid.clone()),
        ("server", of.server_id.to_string()),
        ("kind", of.kind.clone()),
        ("status", of.status.clone()),
        ("from", host(&of.source)),
        ("to", host(&of.target)),
        ("began", of.created_at.to_seconds_z()),
        ("changed", of.updated_at.to_seconds_z()),
    ];
    if of.counts.is_some() {
        let expected = if of.status == "completed" { "downtime" } else { "expected downtime" };
        rows.extend([
            ("total time", seconds(counts.elapsed_ms)),
            (expected, milliseconds(counts.downtime_ms)),
            ("setup", milliseconds(counts.setup_ms)),
            ("memory", amount(counts.memory)),
            ("disk", amount(counts.disk)),
            ("iterations", counts.iterations.to_string()),
            ("dirtied", format!("{}/s", plot::bytes(counts.dirty_rate))),
            ("throughput", format!("{}/s", plot::bytes(counts.memory_speed))),
            ("slowed down by", format!("{} %", counts.throttle)),
            ("waited for pages", counts.postcopy_requests.to_string()),
        ]);
    }
    rows.extend((!limits.is_null()).then(|| ("limits", limits.to_string())));
    rows.extend(of.failure.clone().map(|failure| ("failure", failure)));
    let mut text = String::new();
    for (name, value) in rows {
        let _ = writeln!(text, "{name:18}{value}");
    }
    text
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{:02} s", milliseconds / 1000, milliseconds % 1000 / 10)
}

fn milliseconds(counted: Option<u64>) -> String {
    counted.map_or_else(|| "-".to_owned(), |counted| format!("{counted} ms"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::cloud::moving::Measured;
    use crate::ids::{ProjectId, UserId};

    fn moved() -> Move {
        let counts = Measured {
            elapsed_ms: 1290,
            downtime_ms: Some(66),
            memory: Amount { total: 1 << 28, processed: 119 << 20, remaining: 0 },
            ..Measured::default()
        };
        Move {
            id: 7,
            uuid: "u".to_owned(),
            server_id: ServerId::parse("11111111-2222-4333-8444-555555555555").unwrap(),
            kind: "live-migration".to_owned(),
            status: "completed".to_owned(),
            source: Some("one".to_owned()),
            target: Some("two".to_owned()),
            project_id: ProjectId::from("p"),
            user_id: UserId::from("u"),
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
            asked: None,
            counts: Some(counts),
            failure: None,
        }
    }

    #[test]
    fn a_move_is_told_with_what_was_counted_of_it() {
        let cells = row(&moved());
        assert_eq!(cells[4..10], ["one", "two", "1.29 s", "66 ms", "119.0 MiB", "0 B"]);
        let told = told(&moved(), &serde_json::json!({"zstd": true}));
        assert!(told.contains("119.0 MiB sent of 256.0 MiB, 0 B remain"), "{told}");
        assert!(told.contains("downtime          66 ms") && told.contains(r#"{"zstd":true}"#), "{told}");
        let failed = Move { status: "error".to_owned(), ..moved() };
        assert_eq!(row(&failed)[7], "-", "nobody stood still for what was only expected");
        let resized = Move { counts: None, ..moved() };
        assert_eq!(row(&resized)[6..10], ["-", "-", "-", "-"]);
    }

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows = vec![["a".to_owned(), "b".to_owned()], ["long".to_owned(), "c".to_owned()]];
        assert_eq!(table(rows), "a     b\nlong  c");
    }
}
