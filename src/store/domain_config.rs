//! What is configured for a domain, an option a row.

use super::{Json, Tx, args};
use crate::cloud::domain_config::{Config, Place};
use crate::error::Result;
use crate::ids::DomainId;
use serde_json::Value;

/// The options at a place: all of them, a group's, or one.
pub fn get(tx: &mut Tx, domain: &DomainId, place: &Place) -> Result<Config> {
    let rows = tx.query(
        "SELECT option_group, option_name, value FROM domain_options
          WHERE domain_id = ?1 AND (option_group = ?2 OR ?2 IS NULL) AND (option_name = ?3 OR ?3 IS NULL)
          ORDER BY option_group, option_name",
        args![domain, place.group(), place.option()],
    )?;
    let mut config = Config::new();
    for mut row in rows {
        let (group, option): (String, String) = (row.next()?, row.next()?);
        let Json(value): Json<Value> = row.next()?;
        config.entry(group).or_default().insert(option, value);
    }
    Ok(config)
}

/// Sets the options, and leaves the others as they are.
pub fn merge(tx: &mut Tx, domain: &DomainId, config: &Config) -> Result<()> {
    for (group, options) in config {
        for (option, value) in options {
            tx.execute(
                "INSERT INTO domain_options (domain_id, option_group, option_name, value) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (domain_id, option_group, option_name) DO UPDATE SET value = ?4",
                args![domain, group, option, Json(value)],
            )?;
        }
    }
    Ok(())
}

/// Takes away the options at a place.
pub fn clear(tx: &mut Tx, domain: &DomainId, place: &Place) -> Result<()> {
    tx.execute(
        "DELETE FROM domain_options
          WHERE domain_id = ?1 AND (option_group = ?2 OR ?2 IS NULL) AND (option_name = ?3 OR ?3 IS NULL)",
        args![domain, place.group(), place.option()],
    )
    .map(drop)
}
