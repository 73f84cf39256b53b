//! A transaction as queries see it, whichever engine is behind it.

use super::value::{Row, Value};
use crate::error::{Error, Kind, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What an engine does for an open transaction.
pub(super) trait Statements {
    fn execute(&mut self, sql: &str, args: &[Value]) -> Result<u64>;
    /// Hands over each row as it comes, so that a long answer is never held as rows and as what is made of them at once.
    fn query(&mut self, sql: &str, args: &[Value], take: &mut dyn FnMut(Row<'_>) -> Result<()>) -> Result<()>;
    /// Several statements without parameters: migrations.
    fn batch(&mut self, sql: &str) -> Result<()>;
}

/// An open transaction. After a statement has failed, nothing more can be done in it and it will not commit, even if the
/// closure answers `Ok`: PostgreSQL is so, and SQLite is made so, lest code that works on one surprises on the other.
pub struct Tx<'a> {
    engine: &'a mut dyn Statements,
    failed: bool,
}

impl<'a> Tx<'a> {
    /// Runs the closure in the open transaction; `Ok` says that it shall be committed.
    pub(super) fn run<T>(engine: &'a mut dyn Statements, closure: &dyn Fn(&mut Tx) -> Result<T>) -> Result<T> {
        let mut tx = Tx { engine, failed: false };
        let outcome = catch_unwind(AssertUnwindSafe(|| closure(&mut tx)))
            .map_err(|_| Error::internal("a transaction panicked", "the panic's text is in the log"))?;
        if tx.failed && outcome.is_ok() {
            return Err(went_on_after_failure());
        }
        outcome
    }

    /// Runs a statement that answers no rows; the number of rows it changed.
    pub fn execute(&mut self, sql: &str, args: &[Value]) -> Result<u64> {
        self.step(args, |engine| engine.execute(sql, args))
    }

    /// Runs a statement and answers its rows, those of `RETURNING` too.
    pub fn query(&mut self, sql: &str, args: &[Value]) -> Result<Vec<Row<'static>>> {
        self.query_map(sql, args, |row| row.into_owned())
    }

    /// As [`Tx::query`], each row made into something as it comes: for what may answer many.
    pub fn query_map<T>(&mut self, sql: &str, args: &[Value], make: impl Fn(Row<'_>) -> Result<T>) -> Result<Vec<T>> {
        let mut made = Vec::new();
        let mut take = |row: Row<'_>| {
            made.push(make(row)?);
            Ok(())
        };
        self.step(args, |engine| engine.query(sql, args, &mut take))?;
        Ok(made)
    }

    /// As [`Tx::query`], for what has at most one answer; two are a fault of ours.
    pub fn query_one(&mut self, sql: &str, args: &[Value]) -> Result<Option<Row<'static>>> {
        let mut rows = self.query(sql, args)?;
        if rows.len() > 1 {
            return Err(Error::internal("a query for one row found several", sql.to_owned()));
        }
        Ok(rows.pop())
    }

    pub(super) fn batch(&mut self, sql: &str) -> Result<()> {
        self.step(&[], |engine| engine.batch(sql))
    }

    fn step<T>(&mut self, args: &[Value], run: impl FnOnce(&mut dyn Statements) -> Result<T>) -> Result<T> {
        if self.failed {
            return Err(went_on_after_failure());
        }
        refuse_null_characters(args)?;
        let outcome = run(self.engine);
        self.failed = outcome.is_err();
        outcome
    }
}

fn went_on_after_failure() -> Error {
    Error::internal("a transaction went on after a statement had failed", "use ON CONFLICT, or answer the error")
}

/// PostgreSQL can't keep U+0000 in text; a client that sends one hears so, on both engines.
fn refuse_null_characters(args: &[Value]) -> Result<()> {
    let has_null = args.iter().any(|value| matches!(value, Value::Text(text) if text.as_bytes().contains(&0)));
    if has_null { Err(Error::bad_request("Text must not contain the null character.")) } else { Ok(()) }
}

/// `Option`'s way to say that something is not there.
pub trait OrNotFound<T> {
    /// `None` becomes [`Error::NotFound`]. Decoding follows it: `….or_not_found(Kind::Server, id).and_then(from_row)`.
    fn or_not_found(self, kind: Kind, id: impl ToString) -> Result<T>;
}

impl<T> OrNotFound<T> for Option<T> {
    fn or_not_found(self, kind: Kind, id: impl ToString) -> Result<T> {
        self.ok_or_else(|| Error::not_found(kind, id))
    }
}

/// `Result`'s way to say a collision in the words of the service.
pub trait OrConflict<T> {
    /// Replaces the text of an [`Error::Conflict`], and of nothing else.
    fn or_conflict(self, text: impl FnOnce() -> String) -> Result<T>;
}

impl<T> OrConflict<T> for Result<T> {
    fn or_conflict(self, text: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| match error {
            Error::Conflict(_) => Error::Conflict(text()),
            other => other,
        })
    }
}
