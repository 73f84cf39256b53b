//! What only a server can do wrong.

use super::*;
use crate::store::testing;
use crate::store::{Db, StoreSettings, args};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

#[test]
fn question_marks_become_dollars_outside_of_literals() {
    assert_eq!(dollars("SELECT ?1, 'what?1', ?12 || 'it''s ?2'"), "SELECT $1, 'what?1', $12 || 'it''s ?2'");
}

#[tokio::test]
async fn a_wish_for_tls_is_refused_and_not_ignored() {
    let url = "postgres://gapura:geheim@127.0.0.1:1/gapura?sslmode=require";
    let refusal = Db::open(&StoreSettings::at(url)).await.err().map(|error| crate::error::with_causes(&error));
    let text = refusal.expect("TLS is not built in");
    assert!(text.contains("sslmode=require") && !text.contains("geheim"), "{text}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let outcome = Db::open(&StoreSettings::at("postgres://gapura@127.0.0.1:1/gapura")).await;
    assert!(matches!(outcome.err(), Some(Error::Unavailable { what: "the database", .. })));
}

async fn counter(test: &str) -> Option<Db> {
    let db = testing::postgres(test).await?;
    db.write(|tx| tx.batch("CREATE TABLE counters (id BIGINT PRIMARY KEY, n BIGINT NOT NULL)")).await.unwrap();
    db.write(|tx| tx.execute("INSERT INTO counters (id, n) VALUES (1, 0)", args![])).await.unwrap();
    Some(db)
}

fn read_counter(tx: &mut Tx) -> Result<i64> {
    tx.query("SELECT n FROM counters WHERE id = 1", args![])?.remove(0).next()
}

fn write_counter(tx: &mut Tx, n: i64) -> Result<u64> {
    tx.execute("UPDATE counters SET n = ?1 WHERE id = 1", args![n])
}

#[tokio::test]
async fn what_could_not_be_serialised_runs_again() {
    let Some(db) = counter("what_could_not_be_serialised_runs_again").await else { return };
    let runs = Arc::new(AtomicU32::new(0));
    let (has_read, first) = std::sync::mpsc::channel();
    let (done, other) = std::sync::mpsc::channel();
    let other = parking_lot::Mutex::new(other);
    let counted = Arc::clone(&runs);
    let slow = db.write(move |tx| {
        let n = read_counter(tx)?;
        if counted.fetch_add(1, Ordering::SeqCst) == 0 {
            has_read.send(()).unwrap();
            other.lock().recv().unwrap();
        }
        write_counter(tx, n + 1)
    });
    let quick = async {
        first.recv().unwrap();
        db.write(|tx| {
            let n = read_counter(tx)?;
            write_counter(tx, n + 10)
        })
        .await
        .unwrap();
        done.send(()).unwrap();
    };
    let (slow, ()) = futures::future::join(slow, quick).await;
    slow.unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    assert_eq!(db.read(read_counter).await.unwrap(), 11, "neither addition was lost");
}

#[tokio::test]
async fn a_lost_connection_comes_back_by_itself() {
    let Some(db) = counter("a_lost_connection_comes_back_by_itself").await else { return };
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    db.write(move |tx| {
        write_counter(tx, 7)?;
        if counted.fetch_add(1, Ordering::SeqCst) == 0 {
            tx.query("SELECT pg_terminate_backend(pg_backend_pid())", args![])?;
        }
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    assert_eq!(db.read(read_counter).await.unwrap(), 7);
}

#[tokio::test]
async fn a_connection_that_is_lost_each_time_is_unavailable() {
    let Some(db) = counter("a_connection_that_is_lost_each_time_is_unavailable").await else { return };
    let outcome = db.write(|tx| tx.query("SELECT pg_terminate_backend(pg_backend_pid())", args![]).map(drop)).await;
    assert!(matches!(outcome, Err(Error::Unavailable { what: "the database", .. })), "{outcome:?}");
    assert_eq!(db.read(read_counter).await.unwrap(), 0);
}
