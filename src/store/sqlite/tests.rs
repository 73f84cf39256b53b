//! What a file promises.

use super::{Durability, READERS_KEPT, Sqlite};
use crate::error::Error;
use crate::store::{Db, Rest, StoreSettings, Tx, args};
use rusqlite::{Connection, ffi};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

fn url(folder: &tempfile::TempDir) -> String {
    format!("sqlite:{}", folder.path().join("gapura.db").display())
}

#[tokio::test]
async fn what_was_committed_is_there_when_the_file_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    for round in 1..=3_i64 {
        let db = Db::open(&StoreSettings::at(url(&folder))).await.unwrap();
        db.migrate().await.unwrap();
        let sql = "UPDATE identity_epoch SET epoch = epoch + 1 RETURNING epoch";
        let epoch = db.write(move |tx| tx.query(sql, args![])?.remove(0).next::<i64>()).await.unwrap();
        assert_eq!(epoch, round + 1);
    }
}

/// How many bytes a connection keeps of the file.
fn kept(connection: &Connection) -> i32 {
    let (mut now, mut most) = (0, 0);
    #[expect(unsafe_code, reason = "SQLite's own count of what it keeps")]
    // SAFETY: the connection is open and in nobody else's use, and both places for the answer are there.
    let outcome = unsafe {
        let (handle, what) = (connection.handle(), ffi::SQLITE_DBSTATUS_CACHE_USED);
        ffi::sqlite3_db_status(handle, what, &raw mut now, &raw mut most, 0)
    };
    assert_eq!(outcome, ffi::SQLITE_OK);
    now
}

#[tokio::test]
async fn a_database_at_rest_keeps_nothing_of_its_file_and_answers_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = Sqlite::open(&folder.path().join("gapura.db"), Durability::Full).unwrap();
    let fill = |tx: &mut Tx| {
        tx.batch("CREATE TABLE t (text TEXT)")?;
        (0..500).try_for_each(|_| tx.execute("INSERT INTO t VALUES (hex(randomblob(1000)))", args![]).map(drop))
    };
    sqlite.write(fill).await.unwrap();
    let length = |tx: &mut Tx| tx.query("SELECT SUM(LENGTH(text)) FROM t", args![])?.remove(0).next::<i64>();
    assert_eq!(sqlite.read(&length).unwrap(), 1_000_000);
    let reader = || kept(&sqlite.readers.lock()[0]);
    let writer = || async { sqlite.writer.run(|writer| Ok(writer.connection.as_ref().map(kept))).await.unwrap() };
    assert!(reader() > 500_000 && writer().await.unwrap() > 500_000);
    sqlite.rest(Rest::Deep).await.unwrap();
    assert!(reader() < 50_000 && writer().await.unwrap() < 50_000, "{} and {:?}", reader(), writer().await);
    assert_eq!(sqlite.read(&length).unwrap(), 1_000_000);
}

#[tokio::test]
async fn readers_that_a_crowd_needed_are_closed_when_there_is_little_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = Sqlite::open(&folder.path().join("gapura.db"), Durability::Full).unwrap();
    let all = std::sync::Barrier::new(9);
    let answers = |tx: &mut Tx| tx.query("SELECT 1", args![])?.remove(0).next::<i64>();
    let ask = || {
        sqlite.read(&|tx| {
            all.wait();
            answers(tx)
        })
    };
    std::thread::scope(|threads| {
        for _ in 0..9 {
            threads.spawn(ask);
        }
    });
    assert_eq!(sqlite.readers.lock().len(), 9);
    sqlite.rest(Rest::Light).await.unwrap();
    assert_eq!(sqlite.readers.lock().len(), READERS_KEPT);
    assert_eq!(sqlite.read(&answers).unwrap(), 1);
}

#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(&StoreSettings::at(url(&folder))).await.unwrap();
    db.migrate().await.unwrap();
    let modes: Vec<u32> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().permissions().mode() & 0o777)
        .collect();
    assert_eq!(modes, [0o600; 3], "the database, its log and the log's index");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named_when_the_store_is_opened() {
    let outcome = Db::open(&StoreSettings::at("sqlite:/nowhere/gapura.db")).await;
    let error = outcome.err().unwrap();
    assert!(matches!(error, Error::Unavailable { .. }));
    assert!(crate::error::with_causes(&error).contains("/nowhere/gapura.db"));
}

#[test]
fn a_statement_is_planned_once_whatever_it_is_asked_for() {
    let connection = super::prepare(rusqlite::Connection::open_in_memory().unwrap()).unwrap();
    connection.execute_batch("CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY)").unwrap();
    let mut statement = connection.prepare_cached("SELECT id FROM t WHERE id = ?1").unwrap();
    for id in ["a", "b", "c"] {
        statement.raw_bind_parameter(1, id).unwrap();
        assert!(statement.raw_query().next().unwrap().is_none());
    }
    let runs = statement.get_status(rusqlite::StatementStatus::Run);
    assert_eq!((runs, statement.get_status(rusqlite::StatementStatus::RePrepare)), (3, 0));
}

#[tokio::test]
async fn commits_are_synced_to_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(&StoreSettings::at(url(&folder))).await.unwrap();
    let (mode, journal) = db
        .write(|tx| {
            let mode = tx.query("PRAGMA synchronous", args![])?.remove(0).next::<i64>()?;
            Ok((mode, tx.query("PRAGMA journal_mode", args![])?.remove(0).next::<String>()?))
        })
        .await
        .unwrap();
    assert_eq!((mode, journal.as_str()), (2, "wal"), "2 is FULL");
}

/// Writes and says so, for ever; a process of its own, for the test below.
#[tokio::test]
#[ignore = "never ends; honesty_5 runs and kills it"]
async fn a_writer_that_never_ends() {
    let Ok(url) = std::env::var(WRITER_URL) else { return };
    let db = Db::open(&StoreSettings::at(url)).await.unwrap();
    db.migrate().await.unwrap();
    loop {
        let sql = "UPDATE identity_epoch SET epoch = epoch + 1 RETURNING epoch";
        let epoch = db.write(move |tx| tx.query(sql, args![])?.remove(0).next::<i64>()).await.unwrap();
        println!("{ACKNOWLEDGED}{epoch}");
    }
}

const WRITER_URL: &str = "GAPURA_TEST_WRITER_URL";
const ACKNOWLEDGED: &str = "acknowledged ";

#[tokio::test]
async fn honesty_5_what_was_acknowledged_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::sqlite::tests::a_writer_that_never_ends", "--ignored", "--nocapture"])
        .env(WRITER_URL, url(&folder))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut last = 0;
    let lines = BufReader::new(writer.stdout.take().unwrap()).lines().map_while(Result::ok);
    for epoch in lines.filter_map(|line| line.strip_prefix(ACKNOWLEDGED)?.parse::<i64>().ok()) {
        last = epoch;
        if last == 50 {
            writer.kill().unwrap();
        }
    }
    writer.wait().unwrap();
    assert!(last >= 50, "the writer wrote {last} times");

    let db = Db::open(&StoreSettings::at(url(&folder))).await.unwrap();
    let kept =
        db.read(|tx| tx.query("SELECT epoch FROM identity_epoch", args![])?.remove(0).next::<i64>()).await.unwrap();
    assert!(kept >= last, "{last} was acknowledged, {kept} is there");
}
