//! Rows: one SQL text a query, two engines behind it.
//!
//! SQLite lives in the process and serves one machine; PostgreSQL takes over when one machine is not enough. Queries are
//! written once, in the dialect both understand, as functions `fn …(tx: &mut Tx, …) -> Result<…>` in one file a noun; the
//! caller puts as many of them as it likes into one closure for [`Db::read`] or [`Db::write`], which is the transaction.
//!
//! # The dialect
//!
//! 1. Parameters are `?1 ?2 …` ([`args!`]); PostgreSQL gets `$1 $2 …`. Never write `$1`: SQLite takes it for a *name* and
//!    numbers it by first appearance, so that `SELECT $2, $1` swaps its values without a word. No `?` in SQL literals.
//! 2. Optional filters say the typed comparison first: `(project_id = ?1 OR ?1 IS NULL)`. The other way round PostgreSQL
//!    can't tell the parameter's type (42P08).
//! 3. Columns are TEXT or BIGINT. Booleans are 0 and 1, times microseconds ([`Timestamp`](crate::clock::Timestamp)), ids
//!    text, JSON text ([`Json`]). Compare booleans with `= 1`; `WHERE enabled` is an error on PostgreSQL.
//! 4. `LIKE` ignores the case of ASCII letters on SQLite only. Match names in Rust, or keep a folded column.
//! 5. NULLs sort first on SQLite and last on PostgreSQL: sort by NOT NULL columns, and end with the id. Text sorts by its
//!    bytes on both, because migrations give every TEXT column PostgreSQL's "C" collation.
//! 6. `ON CONFLICT … DO UPDATE/NOTHING`, `RETURNING`, row values `(a, b) > (?1, ?2)`, CTEs, `EXISTS` work on both.
//!    `INSERT OR IGNORE`, `IFNULL`, `json_extract`, `GROUP_CONCAT`, `rowid`, `AUTOINCREMENT`, `ILIKE` and arrays don't.
//! 7. Work is claimed by one compare-and-swap: `UPDATE … WHERE id = ?1 AND owner IS NULL RETURNING id`.
//! 8. A unique violation is [`Error::Conflict`], whose text [`OrConflict`] replaces; a violated foreign key, NOT NULL or
//!    CHECK is a fault of ours. A failed statement ends its transaction on both engines (see [`Tx`]): to insert what may be
//!    there already, say `ON CONFLICT DO NOTHING` and look at the count.
//! 9. A closure is run again when PostgreSQL could not serialise it, and may run on another thread: no effects besides the
//!    transaction, no locks, no waiting. A panic in it becomes an error for its caller and nothing else.
//! 10. A write is serialisable on both (SQLite has one writer, PostgreSQL runs it SERIALIZABLE), so "read, decide, write"
//!     in one closure is safe. A read is one snapshot.

pub mod access_rules;
pub mod application_credentials;
pub mod assignments;
pub mod catalog;
pub mod credentials;
#[cfg(test)]
mod delegation_tests;
pub mod domain_config;
pub mod endpoint_filter;
pub mod epoch;
pub mod groups;
pub mod identity_changes;
#[cfg(test)]
mod identity_tests;
#[cfg(test)]
mod invariants;
pub mod limits;
mod listing;
#[cfg(test)]
mod listing_tests;
pub mod logins;
mod migrations;
#[cfg(test)]
mod network_tests;
#[cfg(test)]
mod plans;
pub mod policies;
mod postgres;
pub mod projects;
pub mod revocations;
pub mod roles;
mod scratch;
mod sqlite;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod trusts;
mod tx;
pub mod users;
mod value;
mod workers;

pub mod aggregates;
pub mod allocations;
pub mod blobs;
pub mod boot_images;
pub mod claims;
pub mod cloud;
pub mod flavors;
pub mod host_kinds;
pub mod hosts;
pub mod image_copies;
pub mod image_imports;
pub mod image_limits;
pub mod image_members;
pub mod image_tasks;
pub mod image_uploads;
pub mod image_working;
pub mod images;
pub mod instance_actions;
pub mod keypairs;
pub mod leftovers;
pub mod metadefs;
pub mod move_totals;
pub mod network_hosts;
pub mod network_quotas;
pub mod networks;
pub mod nodes;
pub mod placement;
pub mod ports;
pub mod providers;
pub mod quotas;
pub mod server_groups;
pub mod server_images;
pub mod server_moves;
pub mod server_ports;
pub mod servers;
pub mod subnets;
pub mod tasks;

pub use tx::{OrConflict, OrNotFound, Tx};
pub use value::{Column, FromColumn, Json, Mismatch, Row, Value, args};

use crate::error::{Error, Result};
use postgres::Postgres;
use scratch::Scratch;
use sqlite::{Durability, Sqlite};
use std::path::Path;
use std::sync::Arc;

/// Where rows are kept.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// `sqlite:/path/to/gapura.db`, or `postgres://user@host/database` in any form libpq's URLs take.
    pub url: String,
    /// Connections to PostgreSQL, each with a thread. SQLite needs none of this.
    pub connections: usize,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self { url: "sqlite:/var/lib/gapura/gapura.db".to_owned(), connections: 4 }
    }
}

impl StoreSettings {
    pub fn at(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }
}

/// The database. Clones share it.
#[derive(Clone)]
pub struct Db {
    engine: Arc<Engine>,
}

enum Engine {
    Sqlite { sqlite: Sqlite, _scratch: Option<Scratch> },
    Postgres(Postgres),
}

impl Db {
    /// Connects. Creates an empty SQLite file when there is none; tables are made by [`Db::migrate`].
    pub async fn open(settings: &StoreSettings) -> Result<Self> {
        if let Some(path) = settings.url.strip_prefix("sqlite:") {
            let sqlite = Sqlite::open(Path::new(path), Durability::Full)?;
            return Ok(Self { engine: Arc::new(Engine::Sqlite { sqlite, _scratch: None }) });
        }
        if settings.url.starts_with("postgres://") || settings.url.starts_with("postgresql://") {
            let postgres = Postgres::open(&settings.url, settings.connections).await?;
            return Ok(Self { engine: Arc::new(Engine::Postgres(postgres)) });
        }
        let text = "store.url begins with neither 'sqlite:' nor 'postgres://'";
        Err(Error::internal(text, settings.url.split(':').next().unwrap_or_default().to_owned()))
    }

    /// Applies the migrations that are missing, each in a transaction of its own, and answers their names. A database that
    /// a newer program has migrated is refused.
    pub async fn migrate(&self) -> Result<Vec<String>> {
        migrations::apply(self, migrations::ALL).await
    }

    /// Runs the closure in a read-only transaction: one snapshot, whatever others commit meanwhile.
    pub async fn read<T: Send + 'static>(&self, closure: impl Fn(&mut Tx) -> Result<T> + Send + 'static) -> Result<T> {
        match &*self.engine {
            Engine::Sqlite { sqlite, .. } => sqlite.read(&closure),
            Engine::Postgres(postgres) => postgres.read(closure).await,
        }
    }

    /// Runs the closure in a transaction that commits if it answers `Ok` and leaves no trace otherwise. It goes on even if
    /// the caller's future is dropped.
    pub async fn write<T: Send + 'static>(&self, closure: impl Fn(&mut Tx) -> Result<T> + Send + 'static) -> Result<T> {
        match &*self.engine {
            Engine::Sqlite { sqlite, .. } => sqlite.write(closure).await,
            Engine::Postgres(postgres) => postgres.write(closure).await,
        }
    }

    /// Gives back memory that is kept for the next question, in a time when there are few, or none.
    pub async fn rest(&self, rest: Rest) -> Result<()> {
        match &*self.engine {
            Engine::Sqlite { sqlite, .. } => sqlite.rest(rest).await,
            Engine::Postgres(_) => Ok(()),
        }
    }
}

/// How much a database is to forget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// What is soon there again.
    Light,
    /// Also what costs the next who asks some tenths of a millisecond.
    Deep,
}

fn conflict() -> Error {
    Error::conflict("The name or id is already in use.")
}
