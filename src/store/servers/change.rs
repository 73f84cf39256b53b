//! Changes of some of a server's columns.

use super::{Aside, Fault, Texts, kept};
use crate::clock::Timestamp;
use crate::cloud::blank_disks::BlankDisk;
use crate::cloud::boot::Base;
use crate::cloud::flavor::Flavor;
use crate::cloud::server::{State, Task};
use crate::error::{Error, Result};
use crate::ids::{HostId, ImageId, ServerId};
use crate::store::{Json, Tx, Value};

/// Changes some columns of a server; `updated_at` with them. Chosen by name so that each caller says what it touches, and each
/// column once: whoever says two things of one has made a mistake, which SQLite would keep to itself (the last one holds) and
/// PostgreSQL refuses.
#[derive(Debug, Default)]
pub struct Change {
    set: Vec<(&'static str, Value)>,
}

impl Change {
    pub fn new() -> Self {
        Self::default()
    }

    fn twice(&self) -> Option<&'static str> {
        let mut columns = self.set.iter().map(|(column, _)| *column).enumerate();
        let is_again = |(at, column): &(usize, &str)| self.set[..*at].iter().any(|(earlier, _)| earlier == column);
        columns.find(is_again).map(|(_, column)| column)
    }

    fn with(mut self, column: &'static str, value: impl Into<Value>) -> Self {
        self.set.push((column, value.into()));
        self
    }

    pub fn state(self, state: State) -> Self {
        self.with("state", state.word())
    }

    pub fn task(self, task: Option<Task>) -> Self {
        self.with("task", task.map(Task::word))
    }

    pub fn power(self, power: &str) -> Self {
        self.with("power", power)
    }

    pub fn host(self, host: Option<HostId>) -> Self {
        self.with("host_id", host)
    }

    pub fn fault(self, fault: Option<&Fault>) -> Self {
        self.with("fault", fault.map(Json))
    }

    pub fn progress(self, progress: i64) -> Self {
        self.with("progress", progress)
    }

    pub fn launched_at(self, at: Timestamp) -> Self {
        self.with("launched_at", at)
    }

    pub fn deleted_at(self, at: Timestamp) -> Self {
        self.with("deleted_at", at).with("terminated_at", at)
    }

    pub fn name(self, name: &str) -> Self {
        self.with("name", name)
    }

    /// The zone that it is bound to; `None`: any.
    pub fn pinned_zone(self, zone: Option<&str>) -> Self {
        self.with("availability_zone", zone)
    }

    pub fn hostname(self, hostname: &str) -> Self {
        self.with("hostname", hostname)
    }

    pub fn description(self, description: Option<&str>) -> Self {
        self.with("description", description)
    }

    pub fn metadata(self, metadata: &Texts) -> Self {
        self.with("metadata", Json(metadata))
    }

    pub fn access_ip_v4(self, address: &str) -> Self {
        self.with("access_ip_v4", address)
    }

    pub fn access_ip_v6(self, address: &str) -> Self {
        self.with("access_ip_v6", address)
    }

    pub fn disk_config(self, disk_config: &str) -> Self {
        self.with("disk_config", disk_config)
    }

    /// Another image's bytes for its disk.
    pub fn image(self, image: ImageId, properties: &Texts, base: &Base) -> Self {
        self.with("image_id", image).with("image_properties", Json(properties)).with("base", Json(base))
    }

    pub fn base(self, base: &Base) -> Self {
        self.with("base", Json(base))
    }

    pub fn flavor(self, flavor: &Flavor) -> Self {
        self.with("flavor", Json(flavor)).with("flavor_id", flavor.id.as_str())
    }

    pub fn key(self, name: Option<&str>, public_key: Option<&str>) -> Self {
        self.with("key_name", name).with("public_key", public_key)
    }

    pub fn user_data(self, data: Option<&str>) -> Self {
        self.with("user_data", data)
    }

    pub fn personality(self, files: &[(String, Vec<u8>)]) -> Self {
        self.with("personality", (!files.is_empty()).then(|| Json(files.to_vec())))
    }

    pub fn availability_zone(self, zone: Option<&str>) -> Self {
        self.with("availability_zone", zone)
    }

    pub fn trusted_certificates(self, ids: Option<&[String]>) -> Self {
        self.with("trusted_certificates", ids.map(|ids| Json(ids.to_vec())))
    }

    pub fn aside(self, aside: &Aside) -> Self {
        self.with("aside", Json(aside))
    }

    pub fn blank_disks(self, disks: &[BlankDisk]) -> Self {
        self.with("blank_disks", kept(disks))
    }

    pub fn locked(self, by: Option<&str>, reason: Option<&str>) -> Self {
        self.with("locked_by", by).with("locked_reason", reason)
    }
}

/// # Errors
/// `Internal` on both engines for a change that sets a column twice.
pub fn update(tx: &mut Tx, id: ServerId, change: Change, now: Timestamp) -> Result<()> {
    if let Some(column) = change.twice() {
        return Err(Error::internal("a change of a server sets a column twice", column));
    }
    let columns: String =
        change.set.iter().enumerate().map(|(i, (column, _))| format!(", {column} = ?{}", i + 3)).collect();
    let sql = format!("UPDATE servers SET updated_at = ?2{columns} WHERE id = ?1 AND deleted_at IS NULL");
    let mut values = vec![Value::from(id), Value::from(now)];
    values.extend(change.set.into_iter().map(|(_, value)| value));
    tx.execute(&sql, &values)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::with_causes;
    use crate::store::testing::store_test;

    store_test! {
        async fn a_change_that_sets_a_column_twice_is_refused_by_its_name(db: Db) {
            let change = || Change::new().state(State::Active).power("running").state(State::Error);
            let refused = db.write(move |tx| update(tx, ServerId::random(), change(), Timestamp(1))).await.unwrap_err();
            assert_eq!(with_causes(&refused), "a change of a server sets a column twice: state");
            let zones = || Change::new().pinned_zone(None).availability_zone(Some("nova"));
            let refused = db.write(move |tx| update(tx, ServerId::random(), zones(), Timestamp(1))).await.unwrap_err();
            assert_eq!(with_causes(&refused), "a change of a server sets a column twice: availability_zone");
            let once = || Change::new().state(State::Active).power("running");
            db.write(move |tx| update(tx, ServerId::random(), once(), Timestamp(1))).await.unwrap();
        }
    }
}
