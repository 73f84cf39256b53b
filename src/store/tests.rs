//! What the store promises, on both engines.

use super::testing::store_test;
use super::{Db, Json, OrConflict, OrNotFound, Tx, Value, args};
use crate::error::{Error, Kind, Result};
use futures::future::join_all;

/// A table with every kind of constraint.
async fn with_things(db: &Db) {
    db.write(|tx| {
        tx.batch(
            "CREATE TABLE boxes (id TEXT PRIMARY KEY, held BIGINT NOT NULL, room BIGINT NOT NULL);
             CREATE TABLE things (
                 id BIGINT PRIMARY KEY, name TEXT NOT NULL UNIQUE, box TEXT REFERENCES boxes (id), note TEXT
             );",
        )
    })
    .await
    .unwrap();
}

fn names(tx: &mut Tx) -> Result<Vec<String>> {
    tx.query("SELECT name FROM things ORDER BY name", args![])?.into_iter().map(|mut row| row.next()).collect()
}

fn add(tx: &mut Tx, id: i64, name: &str) -> Result<u64> {
    tx.execute("INSERT INTO things (id, name) VALUES (?1, ?2)", args![id, name])
}

store_test! {
    async fn a_closure_that_fails_leaves_no_trace(db: Db) {
        with_things(&db).await;
        let outcome: Result<()> = db
            .write(|tx| {
                add(tx, 1, "hammer")?;
                Err(Error::bad_request("on second thought"))
            })
            .await;
        assert!(matches!(outcome, Err(Error::BadRequest(text)) if text == "on second thought"));
        assert!(db.read(names).await.unwrap().is_empty());
    }

    async fn a_taken_name_or_id_is_a_conflict(db: Db) {
        with_things(&db).await;
        db.write(|tx| add(tx, 1, "hammer")).await.unwrap();
        let name = db.write(|tx| add(tx, 2, "hammer")).await;
        assert!(matches!(name, Err(Error::Conflict(_))), "{name:?}");
        let id = db.write(|tx| add(tx, 1, "saw").or_conflict(|| "1 is taken".to_owned())).await;
        assert!(matches!(&id, Err(Error::Conflict(text)) if text == "1 is taken"), "{id:?}");
    }

    async fn a_missing_parent_or_value_is_a_fault_and_no_conflict(db: Db) {
        with_things(&db).await;
        let parent = db
            .write(|tx| tx.execute("INSERT INTO things (id, name, box) VALUES (1, 'a', 'nowhere')", args![]))
            .await;
        assert!(matches!(parent, Err(Error::Internal { .. })), "{parent:?}");
        let value = db
            .write(|tx| tx.execute("INSERT INTO things (id, name) VALUES (1, ?1)", args![None::<String>]))
            .await
            .or_conflict(|| "not this".to_owned());
        assert!(matches!(value, Err(Error::Internal { .. })), "{value:?}");
    }

    async fn a_transaction_does_not_go_on_after_a_statement_has_failed(db: Db) {
        with_things(&db).await;
        db.write(|tx| add(tx, 1, "hammer")).await.unwrap();
        let outcome = db
            .write(|tx| {
                add(tx, 2, "saw")?;
                let _ = add(tx, 3, "hammer");
                Ok(())
            })
            .await;
        assert!(matches!(outcome, Err(Error::Internal { .. })), "{outcome:?}");
        let then = db
            .write(|tx| {
                let _ = add(tx, 3, "hammer");
                add(tx, 4, "file")
            })
            .await;
        assert!(matches!(then, Err(Error::Internal { .. })), "{then:?}");
        assert_eq!(db.read(names).await.unwrap(), ["hammer"]);
    }

    async fn what_may_be_there_already_is_inserted_on_conflict_do_nothing(db: Db) {
        with_things(&db).await;
        let counts = db
            .write(|tx| {
                let sql = "INSERT INTO things (id, name) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
                Ok((tx.execute(sql, args![1_i64, "saw"])?, tx.execute(sql, args![2_i64, "saw"])?))
            })
            .await
            .unwrap();
        assert_eq!(counts, (1, 0));
    }

    async fn parameters_keep_their_numbers_in_any_order_of_use(db: Db) {
        let texts = db
            .read(|tx| {
                let row = tx.query_one("SELECT CAST(?2 AS TEXT), CAST(?1 AS TEXT), CAST(?2 AS TEXT)", args!["one", "two"])?;
                let mut row = row.or_not_found(Kind::Page, "row")?;
                Ok([row.next::<String>()?, row.next()?, row.next()?])
            })
            .await
            .unwrap();
        assert_eq!(texts, ["two", "one", "two"]);
    }

    async fn more_than_nine_parameters_are_told_apart(db: Db) {
        let sum = db
            .read(|tx| {
                let numbers: Vec<Value> = (1..=11_i64).map(Value::from).collect();
                let row = tx.query_one("SELECT CAST(?11 AS BIGINT) - CAST(?1 AS BIGINT) * 10
                    + CAST(?2 AS BIGINT) * 0 + CAST(?3 AS BIGINT) * 0 + CAST(?4 AS BIGINT) * 0 + CAST(?5 AS BIGINT) * 0
                    + CAST(?6 AS BIGINT) * 0 + CAST(?7 AS BIGINT) * 0 + CAST(?8 AS BIGINT) * 0 + CAST(?9 AS BIGINT) * 0
                    + CAST(?10 AS BIGINT) * 0", &numbers)?;
                row.or_not_found(Kind::Page, "row")?.next::<i64>()
            })
            .await
            .unwrap();
        assert_eq!(sum, 1);
    }

    async fn a_parameter_too_few_or_too_many_is_a_fault(db: Db) {
        with_things(&db).await;
        let few = db.read(|tx| tx.query("SELECT id FROM things WHERE id = ?1 AND name = ?2", args![1_i64]).map(drop)).await;
        assert!(matches!(few, Err(Error::Internal { .. })), "{few:?}");
        let many = db.read(|tx| tx.query("SELECT id FROM things WHERE id = ?1", args![1_i64, "x"]).map(drop)).await;
        assert!(matches!(many, Err(Error::Internal { .. })), "{many:?}");
    }

    async fn an_optional_filter_says_the_comparison_first(db: Db) {
        with_things(&db).await;
        db.write(|tx| { add(tx, 1, "hammer")?; add(tx, 2, "saw") }).await.unwrap();
        let count = |name: Option<&'static str>| {
            db.read(move |tx| {
                let sql = "SELECT COUNT(*) FROM things WHERE (name = ?1 OR ?1 IS NULL)";
                tx.query_one(sql, args![name])?.or_not_found(Kind::Page, "count")?.next::<i64>()
            })
        };
        assert_eq!(count(Some("saw")).await.unwrap(), 1);
        assert_eq!(count(None).await.unwrap(), 2);
    }

    async fn text_sorts_by_its_bytes_and_pages_by_row_values(db: Db) {
        with_things(&db).await;
        db.write(|tx| {
            for (id, name) in ["b", "a", "B", "é", "_", "A b", "Ab"].iter().enumerate() {
                add(tx, i64::try_from(id).expect("few"), name)?;
            }
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(db.read(names).await.unwrap(), ["A b", "Ab", "B", "_", "a", "b", "é"]);
        let after = db
            .read(|tx| {
                let sql = "SELECT name FROM things WHERE (name, id) > (?1, ?2) ORDER BY name, id LIMIT ?3";
                tx.query(sql, args!["B", 2_i64, 2_i64])?.into_iter().map(|mut row| row.next()).collect::<Result<Vec<String>>>()
            })
            .await
            .unwrap();
        assert_eq!(after, ["_", "a"]);
    }

    async fn sums_counts_and_literals_are_integers(db: Db) {
        with_things(&db).await;
        let read = db
            .write(|tx| {
                tx.execute("INSERT INTO boxes (id, held, room) VALUES ('a', 123456789012, -4), ('b', 1, -6)", args![])?;
                let row = tx.query_one("SELECT SUM(held), COUNT(*), 1, SUM(room), COALESCE(SUM(held), 0) FROM boxes", args![])?;
                let mut row = row.or_not_found(Kind::Page, "sums")?;
                Ok([row.next::<i64>()?, row.next()?, row.next()?, row.next()?, row.next()?])
            })
            .await
            .unwrap();
        assert_eq!(read, [123_456_789_013, 2, 1, -10, 123_456_789_013]);
    }

    async fn nested_json_comes_back_as_it_went(db: Db) {
        with_things(&db).await;
        let json = serde_json::json!({"z": [1, {"é": null}], "a": {"quote": "\"'?1$2\\"}});
        let kept = json.clone();
        db.write(move |tx| {
            tx.execute("INSERT INTO things (id, name, note) VALUES (1, 'a', ?1)", args![Json(&kept)])
        })
        .await
        .unwrap();
        let back = db
            .read(|tx| tx.query_one("SELECT note FROM things", args![])?.or_not_found(Kind::Page, "x")?.next())
            .await
            .map(|Json::<serde_json::Value>(json)| json)
            .unwrap();
        assert_eq!(back, json);
    }

    async fn the_null_character_is_refused_in_text(db: Db) {
        with_things(&db).await;
        let outcome = db.write(|tx| add(tx, 1, "a\0b")).await;
        assert!(matches!(outcome, Err(Error::BadRequest(_))), "{outcome:?}");
    }

    async fn a_read_can_not_write(db: Db) {
        with_things(&db).await;
        let outcome = db.read(|tx| add(tx, 1, "hammer")).await;
        assert!(matches!(outcome, Err(Error::Internal { .. })), "{outcome:?}");
        db.write(|tx| add(tx, 1, "hammer")).await.unwrap();
    }

    async fn a_read_sees_one_snapshot(db: Db) {
        with_things(&db).await;
        let (started, has_started) = std::sync::mpsc::channel();
        let (proceed, may_proceed) = std::sync::mpsc::channel();
        let may_proceed = std::sync::Mutex::new(may_proceed);
        let reader = std::thread::spawn({
            let db = db.clone();
            move || {
                tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(db.read(move |tx| {
                    let before = names(tx)?;
                    started.send(()).unwrap();
                    may_proceed.lock().unwrap().recv().unwrap();
                    Ok((before, names(tx)?))
                }))
            }
        });
        has_started.recv().unwrap();
        db.write(|tx| add(tx, 1, "hammer")).await.unwrap();
        proceed.send(()).unwrap();
        let (before, after) = reader.join().unwrap().unwrap();
        assert_eq!((before.len(), after.len()), (0, 0));
        assert_eq!(db.read(names).await.unwrap(), ["hammer"]);
    }

    async fn a_panic_in_a_closure_is_an_error_for_its_caller_alone(db: Db) {
        with_things(&db).await;
        for _ in 0..8 {
            let write: Result<()> = db.write(|tx| { add(tx, 1, "hammer")?; panic!("a closure that panics on purpose") }).await;
            assert!(matches!(write, Err(Error::Internal { .. })), "{write:?}");
            let read: Result<()> = db.read(|_| panic!("a closure that panics on purpose")).await;
            assert!(matches!(read, Err(Error::Internal { .. })), "{read:?}");
        }
        assert!(db.read(names).await.unwrap().is_empty());
        db.write(|tx| add(tx, 1, "hammer")).await.unwrap();
    }

    async fn racing_claims_never_oversell(db: Db) {
        with_things(&db).await;
        db.write(|tx| tx.execute("INSERT INTO boxes (id, held, room) VALUES ('a', 0, 10)", args![])).await.unwrap();
        let claims = join_all((0..100_i64).map(|number| {
            db.write(move |tx| {
                let row = tx.query_one("SELECT COUNT(*) FROM things WHERE box = 'a'", args![])?;
                let held = row.or_not_found(Kind::Page, "count")?.next::<i64>()?;
                if held >= 10 {
                    return Err(Error::OverQuota("full".to_owned()));
                }
                let sql = "INSERT INTO things (id, name, box) VALUES (?1, ?2, 'a')";
                tx.execute(sql, args![number, number.to_string()])
            })
        }))
        .await;
        let full = claims.iter().filter(|claim| matches!(claim, Err(Error::OverQuota(_)))).count();
        let others: Vec<_> = claims.iter().filter(|claim| !matches!(claim, Ok(_) | Err(Error::OverQuota(_)))).collect();
        assert!(others.is_empty(), "{others:?}");
        assert_eq!(full, 90);
        assert_eq!(db.read(names).await.unwrap().len(), 10);
    }

    async fn racing_workers_claim_each_task_once(db: Db) {
        with_things(&db).await;
        db.write(|tx| { for id in 0..10 { add(tx, id, &id.to_string())?; } Ok(()) }).await.unwrap();
        let claimed = join_all((0..40_i64).map(|worker| {
            db.write(move |tx| {
                let sql = "UPDATE things SET note = ?1 WHERE note IS NULL
                              AND id = (SELECT MIN(id) FROM things WHERE note IS NULL) RETURNING id";
                tx.query(sql, args![worker.to_string()])?.into_iter().map(|mut row| row.next::<i64>()).collect::<Result<Vec<_>>>()
            })
        }))
        .await;
        let mut all: Vec<i64> = claimed.into_iter().flat_map(|outcome| outcome.unwrap()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
    }

    async fn a_write_goes_on_when_its_caller_is_gone(db: Db) {
        with_things(&db).await;
        drop(futures::poll!(Box::pin(db.write(|tx| add(tx, 1, "hammer")))));
        while db.read(names).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    }

    async fn migrating_twice_changes_nothing(db: Db) {
        assert!(db.migrate().await.unwrap().is_empty());
    }

    async fn a_database_of_a_newer_program_is_refused(db: Db) {
        let sql = "INSERT INTO schema_versions (name, applied_at) VALUES ('9999_tomorrow', 0)";
        db.write(move |tx| tx.execute(sql, args![])).await.unwrap();
        let refusal = db.migrate().await.unwrap_err();
        assert_eq!(
            crate::error::with_causes(&refusal),
            "the database was migrated by a newer version of Gapura: run that version, or restore a backup: \
             this version does not know the migration 9999_tomorrow"
        );
    }
}
