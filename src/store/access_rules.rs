//! Access rules of users, and which application credentials have them.

use super::users::all;
use super::{Row, Tx, args, epoch};
use crate::clock::Timestamp;
use crate::cloud::access_rules::AccessRule;
use crate::error::Result;
use crate::ids::UserId;
use std::collections::HashMap;

const COLUMNS: &str = "r.id, r.service, r.method, r.path";

fn from_row(mut row: Row) -> Result<AccessRule> {
    Ok(AccessRule { id: row.next()?, service: row.next()?, method: row.next()?, path: row.next()? })
}

pub fn list(tx: &mut Tx, user: &UserId) -> Result<Vec<AccessRule>> {
    let sql = format!("SELECT {COLUMNS} FROM access_rules r WHERE r.user_id = ?1 ORDER BY r.created_at, r.id");
    all(tx.query(&sql, args![user.as_str()])?, from_row)
}

pub fn get(tx: &mut Tx, user: &UserId, id: &str) -> Result<Option<AccessRule>> {
    let sql = format!("SELECT {COLUMNS} FROM access_rules r WHERE r.user_id = ?1 AND r.id = ?2");
    tx.query_one(&sql, args![user.as_str(), id])?.map(from_row).transpose()
}

/// Is the id anybody's?
pub fn exists(tx: &mut Tx, id: &str) -> Result<bool> {
    Ok(tx.query_one("SELECT 1 FROM access_rules WHERE id = ?1", args![id])?.is_some())
}

/// The user's rule that says this, if there is one.
pub fn saying(tx: &mut Tx, user: &UserId, rule: &AccessRule) -> Result<Option<AccessRule>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM access_rules r
          WHERE r.user_id = ?1 AND r.service = ?2 AND r.method = ?3 AND r.path = ?4"
    );
    let args = args![user.as_str(), &rule.service, &rule.method, &rule.path];
    tx.query_one(&sql, args)?.map(from_row).transpose()
}

pub fn insert(tx: &mut Tx, user: &UserId, rule: &AccessRule, now: Timestamp) -> Result<()> {
    tx.execute(
        "INSERT INTO access_rules (id, user_id, service, method, path, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        args![&rule.id, user.as_str(), &rule.service, &rule.method, &rule.path, now],
    )
    .map(drop)
}

/// Gives a new credential its rules, in their order.
pub fn attach(tx: &mut Tx, credential: &str, rules: &[AccessRule]) -> Result<()> {
    for (position, rule) in (0_i64..).zip(rules) {
        tx.execute(
            "INSERT INTO application_credential_rules (application_credential_id, access_rule_id, position)
             VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            args![credential, &rule.id, position],
        )?;
    }
    Ok(())
}

/// The rules of a credential; none at all: it is good for everything.
pub fn of_credential(tx: &mut Tx, credential: &str) -> Result<Vec<AccessRule>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM access_rules r JOIN application_credential_rules c ON c.access_rule_id = r.id
          WHERE c.application_credential_id = ?1 ORDER BY c.position"
    );
    all(tx.query(&sql, args![credential])?, from_row)
}

/// The rules of all credentials of a user, by credential.
pub fn by_credential(tx: &mut Tx, user: &UserId) -> Result<HashMap<String, Vec<AccessRule>>> {
    let sql = format!(
        "SELECT c.application_credential_id, {COLUMNS}
           FROM access_rules r JOIN application_credential_rules c ON c.access_rule_id = r.id
          WHERE r.user_id = ?1 ORDER BY c.application_credential_id, c.position"
    );
    let mut found: HashMap<String, Vec<AccessRule>> = HashMap::new();
    for mut row in tx.query(&sql, args![user.as_str()])? {
        let credential = row.next()?;
        found.entry(credential).or_default().push(from_row(row)?);
    }
    Ok(found)
}

pub fn is_in_use(tx: &mut Tx, id: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM application_credential_rules WHERE access_rule_id = ?1 LIMIT 1";
    Ok(tx.query_one(sql, args![id])?.is_some())
}

pub fn delete(tx: &mut Tx, id: &str) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute("DELETE FROM access_rules WHERE id = ?1", args![id]).map(drop)
}
