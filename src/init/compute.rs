//! The flavors a new cloud begins with: devstack's, so that clients' examples work as written.

use crate::clock::Timestamp;
use crate::cloud::flavor::Flavor;
use crate::error::Result;
use crate::store::flavors::{self, Visible};
use crate::store::{Db, servers::Texts};

/// Id, name, CPUs, MiB of memory, GiB of disk.
const FLAVORS: &[(&str, &str, u32, u64, u64)] = &[
    ("42", "m1.nano", 1, 192, 1),
    ("84", "m1.micro", 1, 256, 1),
    ("c1", "cirros256", 1, 256, 1),
    ("1", "m1.tiny", 1, 512, 1),
    ("2", "m1.small", 1, 2048, 20),
    ("3", "m1.medium", 2, 4096, 40),
    ("4", "m1.large", 4, 8192, 80),
    ("5", "m1.xlarge", 8, 16384, 160),
];

/// Makes the flavors when there is none at all: what an operator deleted or renamed does not come back.
pub async fn seed(db: &Db, now: Timestamp) -> Result<()> {
    db.write(move |tx| {
        if !flavors::list(tx, Visible::All)?.is_empty() {
            return Ok(());
        }
        for (id, name, vcpus, ram_mib, disk_gib) in FLAVORS {
            let flavor = Flavor {
                id: (*id).into(),
                name: (*name).to_owned(),
                description: None,
                vcpus: *vcpus,
                ram_mib: *ram_mib,
                disk_gib: *disk_gib,
                ephemeral_gib: 0,
                swap_mib: 0,
                rxtx_factor: 1.0,
                is_public: true,
                disabled: false,
                extra_specs: Texts::new(),
            };
            flavors::insert(tx, &flavor, now)?;
        }
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_init_brings_no_deleted_flavor_back() {
        let db = Db::memory().await;
        seed(&db, Timestamp(1)).await.unwrap();
        db.write(|tx| flavors::delete(tx, &"84".into())).await.unwrap();
        seed(&db, Timestamp(2)).await.unwrap();
        let names: Vec<String> =
            db.read(|tx| flavors::list(tx, Visible::All)).await.unwrap().into_iter().map(|f| f.name).collect();
        assert_eq!(names.len(), FLAVORS.len() - 1);
        assert!(names.contains(&"m1.nano".to_owned()) && !names.contains(&"m1.micro".to_owned()));
    }
}
