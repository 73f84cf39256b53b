//! Databases that tests throw away.

use super::sqlite::{Durability, Sqlite};
use super::{Db, Engine, StoreSettings, args};
use crate::error::Result;
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl Db {
    /// An empty migrated database for a test: SQLite, and gone with its last clone; or, when the environment says
    /// `TEST_STORE=postgres` and `TEST_POSTGRES_URL=…`, PostgreSQL in a schema of its own, so that every test of the
    /// program can be run on either engine.
    ///
    /// # Panics
    /// When there is no room for a temporary file, or no such server.
    pub async fn memory() -> Self {
        let url = std::env::var("TEST_POSTGRES_URL").ok();
        let db = match url.filter(|_| std::env::var("TEST_STORE").is_ok_and(|engine| engine == "postgres")) {
            Some(url) => Self::scratch_schema(&url).await.expect("TEST_POSTGRES_URL names a server that answers"),
            None => Self::scratch_file(),
        };
        db.migrate().await.expect("migrations apply to an empty database");
        db
    }

    /// Without tables, in memory where the system has a folder for that.
    pub(super) fn scratch_file() -> Self {
        let scratch = Scratch::new();
        let sqlite = Sqlite::open(&scratch.0.join("test.db"), Durability::None).expect("temporary files can be made");
        Self { engine: Arc::new(Engine::Sqlite { sqlite, _scratch: Some(scratch) }) }
    }

    /// Without tables. Nobody drops the schema: the server is a test's too.
    pub(super) async fn scratch_schema(url: &str) -> Result<Self> {
        let schema = format!("test_{}", uuid::Uuid::new_v4().simple());
        let whole = Self::open(&StoreSettings { url: url.to_owned(), connections: 1 }).await?;
        let create = format!("CREATE SCHEMA {schema}");
        whole.write(move |tx| tx.execute(&create, args![])).await?;
        let separator = if url.contains('?') { '&' } else { '?' };
        Self::open(&StoreSettings::at(format!("{url}{separator}options=-csearch_path%3D{schema}"))).await
    }
}

/// A folder for one test's database.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = base.join(format!("gapura-test-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&folder).expect("temporary files can be made");
        Self(folder)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What can't be removed is a leftover of a test in a folder for leftovers.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
