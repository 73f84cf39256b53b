//! How a test of the store runs on both engines.

use super::Db;

/// `store_test! { async fn a_true_sentence(db: Db) { … } }`: one test on SQLite, one on PostgreSQL when
/// `TEST_POSTGRES_URL` names one (`compat-tests/harness/postgres.sh` runs one); each gets a fresh migrated database.
macro_rules! store_test {
    ($($(#[$meta:meta])* async fn $name:ident($db:ident: Db) $body:block)*) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports, reason = "what the test's file imports serves all its tests")]
            use super::*;

            async fn test($db: $crate::store::Db) $body

            #[tokio::test]
            async fn on_sqlite() {
                test($crate::store::testing::sqlite().await).await;
            }

            #[tokio::test]
            async fn on_postgres() {
                if let Some(db) = $crate::store::testing::postgres(stringify!($name)).await {
                    test(db).await;
                }
            }
        }
    )*};
}
pub(crate) use store_test;

/// A migrated database in a schema of its own, or `None`, said loudly, when no PostgreSQL is at hand.
pub(crate) async fn postgres(test: &str) -> Option<Db> {
    let db = bare_postgres(test).await?;
    db.migrate().await.unwrap();
    Some(db)
}

/// The same without its tables.
pub(crate) async fn bare_postgres(test: &str) -> Option<Db> {
    let Ok(url) = std::env::var("TEST_POSTGRES_URL") else {
        eprintln!("SKIPPED on PostgreSQL, because TEST_POSTGRES_URL is not set: {test}");
        return None;
    };
    Some(Db::scratch_schema(&url).await.unwrap())
}

/// The same on SQLite, with its tables.
pub(crate) async fn sqlite() -> Db {
    let db = Db::scratch_file();
    db.migrate().await.unwrap();
    db
}
