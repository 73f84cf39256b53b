//! The cloud's own id: what marks its machines, bridges and rules on hosts.

use super::{Tx, args};
use crate::clock::Timestamp;
use crate::error::Result;

/// The id, made on first use: 32 hexadecimal digits.
pub fn id(tx: &mut Tx, now: Timestamp) -> Result<String> {
    if let Some(mut row) = tx.query_one("SELECT id FROM cloud ORDER BY created_at, id LIMIT 1", &[])? {
        return row.next();
    }
    let id = uuid::Uuid::new_v4().simple().to_string();
    tx.execute("INSERT INTO cloud (id, created_at) VALUES (?1, ?2)", args![id.as_str(), now])?;
    Ok(id)
}

/// The id and when it was made, if it was.
pub fn existing(tx: &mut Tx) -> Result<Option<(String, Timestamp)>> {
    let found = tx.query_one("SELECT id, created_at FROM cloud ORDER BY created_at, id LIMIT 1", &[])?;
    found.map(|mut row| Ok((row.next()?, row.next()?))).transpose()
}

#[cfg(test)]
mod tests {
    use super::super::testing::store_test;
    use super::*;

    store_test! {
        async fn a_cloud_keeps_the_id_it_was_given(db: Db) {
            let first = db.write(|tx| id(tx, Timestamp(1))).await.unwrap();
            let again = db.write(|tx| id(tx, Timestamp(2))).await.unwrap();
            assert_eq!((first.len(), first == again), (32, true));
        }
    }
}
