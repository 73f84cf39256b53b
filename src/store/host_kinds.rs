//! Kinds of hosts: what many are alike in, a row for all of them.
//!
//! A kind is known by a digest of what it is, so two processes that hear of it at once mean one row, and a row never changes:
//! a host of which something else is heard is of another kind. A kind that no host is of any more is forgotten.

use super::{Json, Tx, args};
use crate::cloud::placement::HostKind;
use crate::error::Result;
use crate::ids::HostId;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;

/// Every kind, by its digest.
pub type Kinds = HashMap<String, Arc<HostKind>>;

pub fn all(tx: &mut Tx) -> Result<Kinds> {
    let rows = tx.query_map("SELECT digest, facts, features, traits FROM host_kinds", args![], |mut row| {
        let digest = row.next()?;
        let kind = HostKind { facts: row.next::<Json<_>>()?.0, features: row.next()?, traits: row.next()? };
        Ok((digest, Arc::new(kind)))
    })?;
    Ok(rows.into_iter().collect())
}

/// The host is of this kind. True when it was of another before.
pub(super) fn set(tx: &mut Tx, host: HostId, kind: &HostKind) -> Result<bool> {
    let digest = digest(kind);
    let before = of_host(tx, host)?;
    if before.as_ref() == Some(&digest) {
        return Ok(false);
    }
    tx.execute(
        "INSERT INTO host_kinds (digest, facts, features, traits) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        args![&digest, Json(&kind.facts), &kind.features, &kind.traits],
    )?;
    tx.execute("UPDATE hosts SET kind = ?2 WHERE id = ?1", args![host, digest])?;
    forget_unused(tx, before.as_deref())?;
    Ok(true)
}

/// The digest of its kind, if it has said anything yet.
pub(super) fn of_host(tx: &mut Tx, host: HostId) -> Result<Option<String>> {
    let row = tx.query_one("SELECT kind FROM hosts WHERE id = ?1", args![host])?;
    row.map_or(Ok(None), |mut row| row.next())
}

pub(super) fn forget_unused(tx: &mut Tx, digest: Option<&str>) -> Result<()> {
    let sql = "DELETE FROM host_kinds WHERE digest = ?1 AND NOT EXISTS (SELECT 1 FROM hosts WHERE kind = ?1)";
    if let Some(digest) = digest {
        tx.execute(sql, args![digest])?;
    }
    Ok(())
}

fn digest(kind: &HostKind) -> String {
    let text = serde_json::json!([kind.facts, kind.features, kind.traits]).to_string();
    // Half of it tells kinds apart, and stands in each host's row.
    hex::encode(&Sha256::digest(text)[..16])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::cloud::placement::{Demand, Ratios};
    use crate::store::hosts::{self, Heard};
    use crate::store::providers;
    use crate::store::testing::store_test;
    use serde_json::{Value, json};

    const NOW: Timestamp = Timestamp(1);

    fn facts(name: &str, model: &str) -> Value {
        json!({"uuid": name, "hypervisor_type": "QEMU", "accelerator": "kvm",
               "cpu": {"arch": "x86_64", "model": model, "features": ["avx", "svm"], "threads": 2}})
    }

    fn hear(tx: &mut Tx, host: HostId, facts: &Value) -> Result<()> {
        let (total, reserved) = (Demand::default(), Demand::default());
        hosts::heard(tx, host, &Heard { facts, hypervisor_version: 1, total, reserved, ratios: Ratios::default() }, NOW)
    }

    fn join(tx: &mut Tx, name: &str, model: &str) -> Result<HostId> {
        let id = HostId::random();
        hosts::ensure(tx, id, name, "nova", NOW)?;
        hear(tx, id, &facts(name, model))?;
        Ok(id)
    }

    fn models(tx: &mut Tx) -> Result<Vec<String>> {
        let mut models: Vec<String> = all(tx)?.values().map(|kind| kind.facts["cpu"]["model"].to_string()).collect();
        models.sort();
        Ok(models)
    }

    store_test! {
        async fn hosts_that_say_the_same_share_a_kind_that_goes_with_the_last_of_them(db: Db) {
            db.write(|tx| {
                let (a, b) = (join(tx, "a", "EPYC")?, join(tx, "b", "EPYC")?);
                assert_eq!(models(tx)?, ["\"EPYC\""]);
                assert_eq!(hosts::get(tx, a)?.facts, facts("a", "EPYC"), "each says of itself what it said");
                assert_eq!(hosts::get(tx, b)?.facts, facts("b", "EPYC"));
                let generation = |tx: &mut Tx| Ok(providers::get(tx, a)?.map(|provider| provider.generation));
                let before = generation(tx)?;
                hear(tx, a, &facts("a", "EPYC"))?;
                assert_eq!(generation(tx)?, before, "it said nothing new");
                hear(tx, a, &facts("a", "Xeon"))?;
                assert_ne!(generation(tx)?, before);
                assert_eq!(models(tx)?, ["\"EPYC\"", "\"Xeon\""]);
                hear(tx, b, &facts("b", "Xeon"))?;
                assert_eq!(models(tx)?, ["\"Xeon\""]);
                hosts::delete(tx, a)?;
                assert_eq!(models(tx)?, ["\"Xeon\""]);
                hosts::delete(tx, b)?;
                assert!(models(tx)?.is_empty());
                Ok(())
            })
            .await
            .unwrap();
        }

        async fn a_host_that_was_not_heard_yet_is_of_no_kind(db: Db) {
            db.write(|tx| {
                let id = HostId::random();
                hosts::ensure(tx, id, "a", "nova", NOW)?;
                assert_eq!(hosts::get(tx, id)?.facts, json!({}));
                assert!(all(tx)?.is_empty());
                Ok(())
            })
            .await
            .unwrap();
        }
    }
}
