//! PostgreSQL: a few connections, each with a thread; every write serialisable.
//!
//! READ COMMITTED, the server's default, would let two transactions both see the last free unit and both take it, which
//! SQLite's single writer never does. So writes run SERIALIZABLE, and a closure that could not be serialised runs again.
//! Reads run in REPEATABLE READ: one snapshot, which never has to be repeated.
//!
//! Four connections carried 15,000 to 18,000 transactions of two point reads a second, beside their server on two cores.

mod types;

use super::tx::{Statements, Tx};
use super::value::{Row, Value};
use super::workers::Workers;
use crate::error::{Error, Result};
use postgres::config::SslMode;
use postgres::error::SqlState;
use postgres::types::ToSql;
use postgres::{Client, Config, NoTls, Statement};
use std::collections::HashMap;
use std::time::Duration;

/// Runs of one closure before its caller hears that the database is busy. Of transactions that collide one commits, so
/// with as many connections as one process has, a handful is plenty; the rest is for several processes.
const ATTEMPTS: u32 = 16;
const STATEMENTS_KEPT: usize = 512;

pub(super) struct Postgres {
    workers: Workers<Session>,
}

#[derive(Clone, Copy)]
enum Mode {
    Read,
    Write,
}

impl Postgres {
    /// Connects once, so that a wrong address or password is told at start; the threads connect when they are needed.
    pub(super) async fn open(url: &str, connections: usize) -> Result<Self> {
        let config = configure(url)?;
        let workers = Workers::start("store-postgres", connections, move || Session {
            config: config.clone(),
            connection: None,
        })?;
        workers.run(|session: &mut Session| session.connected().map(|_| ())).await?;
        Ok(Self { workers })
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        closure: impl Fn(&mut Tx) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.workers.run(move |session| session.transact(Mode::Read, &closure)).await
    }

    pub(super) async fn write<T: Send + 'static>(
        &self,
        closure: impl Fn(&mut Tx) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.workers.run(move |session| session.transact(Mode::Write, &closure)).await
    }
}

fn configure(url: &str) -> Result<Config> {
    // The cause names the option that is wrong and never the password.
    let mut config: Config = url.parse().map_err(|cause| Error::internal("store.url can't be understood", cause))?;
    // Silently talking in the clear to somebody who asked for TLS would be worse than not starting.
    if config.get_ssl_mode() == SslMode::Require {
        return Err(Error::internal(
            "store.url asks for TLS (sslmode=require), which Gapura does not speak to PostgreSQL yet: reach the server \
             through a Unix socket, a private network or a TLS tunnel, and say sslmode=disable",
            "sslmode=require",
        ));
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(5));
    }
    // A server that vanished without a word is noticed in this time, not in two hours.
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(Duration::from_secs(15));
    }
    if config.get_application_name().is_none() {
        config.application_name("gapura");
    }
    // It remarks on every start that a table is there already, which would stand between a command's words.
    config.notice_callback(|notice| tracing::debug!("{}: {}", notice.severity(), notice.message()));
    Ok(config)
}

/// A thread's connection, which comes back when it was lost.
struct Session {
    config: Config,
    connection: Option<Connection>,
}

/// What to do after an attempt.
enum Attempt<T> {
    Over(Result<T>),
    /// Nothing was committed, and the same closure may succeed now.
    Collided(Error),
    Disconnected(Error),
}

impl Session {
    fn connected(&mut self) -> Result<&mut Connection> {
        match &mut self.connection {
            Some(connection) if !connection.client.is_closed() => {}
            lost => {
                let client = self.config.connect(NoTls).map_err(|cause| Error::unavailable("the database", cause))?;
                *lost = Some(Connection { client, statements: HashMap::new(), collided: false });
            }
        }
        Ok(self.connection.as_mut().expect("it was there or has just been made"))
    }

    fn transact<T>(&mut self, mode: Mode, closure: &dyn Fn(&mut Tx) -> Result<T>) -> Result<T> {
        let mut has_reconnected = false;
        let mut collisions = 0;
        loop {
            match self.connected()?.attempt(mode, closure) {
                Attempt::Over(outcome) => return outcome,
                Attempt::Collided(error) => {
                    collisions += 1;
                    if collisions == ATTEMPTS {
                        return Err(error);
                    }
                    back_off(collisions);
                }
                Attempt::Disconnected(error) => {
                    self.connection = None;
                    if has_reconnected {
                        return Err(error);
                    }
                    has_reconnected = true;
                }
            }
        }
    }
}

/// Waits longer with each collision, and never as long as the other side.
#[expect(clippy::disallowed_methods, reason = "a thread of the store, whose transaction has to wait its turn")]
fn back_off(collisions: u32) {
    let longest = 2_000_u64 << collisions.min(7);
    std::thread::sleep(Duration::from_micros(rand::random_range(longest / 4..longest)));
}

struct Connection {
    client: Client,
    statements: HashMap<String, Statement>,
    /// A statement of the open transaction could not be serialised, whatever the closure made of its error.
    collided: bool,
}

impl Connection {
    fn attempt<T>(&mut self, mode: Mode, closure: &dyn Fn(&mut Tx) -> Result<T>) -> Attempt<T> {
        self.collided = false;
        let begin = match mode {
            Mode::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Mode::Write => "BEGIN ISOLATION LEVEL SERIALIZABLE",
        };
        let outcome = self.control(begin).and_then(|()| Tx::run(self, closure));
        match outcome {
            Ok(value) => match self.control("COMMIT") {
                Ok(()) => Attempt::Over(Ok(value)),
                Err(error) if self.collided => Attempt::Collided(error),
                // Lost while committing: only the server knows whether it did. Nothing changed by a read, though.
                Err(error) if self.client.is_closed() && matches!(mode, Mode::Read) => Attempt::Disconnected(error),
                Err(error) => Attempt::Over(Err(error)),
            },
            Err(error) if self.client.is_closed() => Attempt::Disconnected(error),
            Err(error) => {
                let collided = self.collided;
                if let Err(cause) = self.control("ROLLBACK") {
                    return Attempt::Disconnected(cause);
                }
                if collided { Attempt::Collided(error) } else { Attempt::Over(Err(error)) }
            }
        }
    }

    fn control(&mut self, sql: &str) -> Result<()> {
        let outcome = self.client.batch_execute(sql);
        outcome.map_err(|cause| self.translate(cause))
    }

    fn prepared(&mut self, sql: &str, given: usize) -> Result<Statement> {
        let statement = match self.statements.get(sql) {
            Some(statement) => statement.clone(),
            None => {
                let outcome = self.client.prepare(&dollars(sql));
                let statement = outcome.map_err(|cause| self.translate(cause))?;
                // Queries are constants, but a few are put together; a bound keeps those from filling the server.
                if self.statements.len() >= STATEMENTS_KEPT {
                    self.statements.clear();
                }
                self.statements.insert(sql.to_owned(), statement.clone());
                statement
            }
        };
        let wanted = statement.params().len();
        if wanted == given {
            return Ok(statement);
        }
        let text = format!("{wanted} parameters wanted, {given} given: {sql}");
        Err(Error::internal("a statement has other parameters than were given", text))
    }

    fn translate(&mut self, cause: postgres::Error) -> Error {
        let Some(code) = cause.code() else {
            let is_connection = self.client.is_closed()
                || std::error::Error::source(&cause).is_some_and(|source| source.is::<std::io::Error>());
            return if is_connection {
                Error::unavailable("the database", cause)
            } else {
                Error::internal("a statement failed", cause)
            };
        };
        if *code == SqlState::UNIQUE_VIOLATION {
            return super::conflict();
        }
        if [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(code) {
            self.collided = true;
            return Error::unavailable("the database", cause);
        }
        // Connection trouble, lack of room, and a server that stops or starts.
        if ["08", "53", "57"].contains(&&code.code()[..2]) {
            return Error::unavailable("the database", cause);
        }
        Error::internal("a statement failed", cause)
    }
}

impl Statements for Connection {
    fn execute(&mut self, sql: &str, args: &[Value]) -> Result<u64> {
        let statement = self.prepared(sql, args.len())?;
        let outcome = self.client.execute(&statement, &borrowed(args));
        outcome.map_err(|cause| self.translate(cause))
    }

    fn query(&mut self, sql: &str, args: &[Value], take: &mut dyn FnMut(Row<'_>) -> Result<()>) -> Result<()> {
        let statement = self.prepared(sql, args.len())?;
        let outcome = self.client.query(&statement, &borrowed(args));
        outcome.map_err(|cause| self.translate(cause))?.iter().try_for_each(|row| take(Row::of(row)))
    }

    fn batch(&mut self, sql: &str) -> Result<()> {
        self.control(&types::bytewise(sql))
    }
}

fn borrowed(args: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    args.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

/// `?1` becomes `$1`, outside of literals.
fn dollars(sql: &str) -> String {
    let mut in_literal = false;
    sql.chars()
        .map(|letter| {
            in_literal ^= letter == '\'';
            if letter == '?' && !in_literal { '$' } else { letter }
        })
        .collect()
}

#[cfg(test)]
mod tests;
