//! The database of a test's cloud: SQLite in its state folder; or, when the environment says `TEST_STORE=postgres` and
//! `TEST_POSTGRES_URL=…`, PostgreSQL in a schema of its own, so that every test of the program runs on either engine.

use std::path::{Path, PathBuf};

#[derive(Debug, Clone)]
pub enum Database {
    Sqlite(PathBuf),
    /// Its URL, which names the schema.
    Postgres(String),
}

impl Database {
    /// An empty one for the cloud that keeps its state in this folder. On PostgreSQL nobody drops the schema: the server is a
    /// test's too.
    pub fn new(state_dir: &Path) -> Self {
        let is_wished = std::env::var("TEST_STORE").is_ok_and(|engine| engine == "postgres");
        match std::env::var("TEST_POSTGRES_URL") {
            Ok(server) if is_wished => {
                let schema = format!("compat_{}", uuid::Uuid::new_v4().simple());
                let separator = if server.contains('?') { '&' } else { '?' };
                on_postgres(&server, &format!("CREATE SCHEMA {schema}"));
                Self::Postgres(format!("{server}{separator}options=-csearch_path%3D{schema}"))
            }
            _ => Self::sqlite(state_dir),
        }
    }

    pub fn sqlite(state_dir: &Path) -> Self {
        Self::Sqlite(state_dir.join("gapura.db"))
    }

    /// For the program's settings; SQLite needs none.
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(url) => Some(url),
        }
    }

    /// What a query finds that both engines understand and that answers one row of one text. `None` when there is no such
    /// row, or no such table yet.
    pub fn text(&self, query: &str) -> Option<String> {
        match self {
            Self::Sqlite(file) => {
                let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
                let database = rusqlite::Connection::open_with_flags(file, flags).ok()?;
                database.query_row(query, [], |row| row.get(0)).ok()
            }
            Self::Postgres(url) => on_postgres(url, query),
        }
    }

    /// How many rows of a table fit, or how many values are there.
    pub fn count(&self, what: &str, table_and_condition: &str) -> i64 {
        let query = format!("SELECT CAST(COUNT({what}) AS TEXT) FROM {table_and_condition}");
        self.text(&query).unwrap_or_else(|| panic!("{query}")).parse().unwrap()
    }
}

/// On a thread of its own: the client blocks, which tests that run in an async runtime must not.
fn on_postgres(url: &str, query: &str) -> Option<String> {
    std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            let mut client = postgres::Client::connect(url, postgres::NoTls).unwrap();
            client.query_opt(query, &[]).ok().flatten().map(|row| row.get(0))
        });
        work.join().unwrap()
    })
}
