//! A real guest goes to another real host while it is off, with its disks, and back.

use crate::live_migration::{READ, WRITE};
use crate::two_hosts::{Fleet, Guest, Storage};
use gapura::hypervisor::{Power, Standing};
use gapura::tasks::migrate_server::Moving;
use http::Method;
use serde_json::{Value, json};

impl Guest<'_> {
    async fn is_told_to(&self, action: Value) {
        let path = format!("/servers/{}/action", self.id);
        let asked = self.fleet.ask(Method::POST, &path, &action).await;
        assert!([202, 204].contains(&asked.status), "{}", asked.text());
    }

    /// One host has a machine of it, and its guest has booted there, as the log says that came along.
    async fn has_booted_only_on(&self, host: usize, times: usize) {
        assert_eq!(self.place().await, host);
        assert_eq!(self.standing(host).await, Standing::Runs(Power::Running));
        assert_eq!(self.standing(1 - host).await, Standing::Absent);
        self.says("GUEST: ready", times).await;
    }
}

async fn it_goes_and_comes_back(storage: Storage) {
    let Some(fleet) = Fleet::start(storage, Moving::default()).await else { return };
    let guest = fleet.boot().await;
    guest.told(WRITE).await;
    let before = guest.told(READ).await;
    assert!(before.len() > 32, "{before}");

    guest.is_told_to(json!({"migrate": null})).await;
    guest.is_settled("VERIFY_RESIZE").await;
    guest.has_booted_only_on(1, 2).await;
    assert_eq!(guest.told(READ).await, before);
    if storage == Storage::Apart {
        // What is written here is nothing to the disk that it left.
        guest.told(WRITE).await;
        assert_ne!(guest.told(READ).await, before);
    }
    guest.is_told_to(json!({"revertResize": null})).await;
    guest.is_settled("ACTIVE").await;
    // Where the files are the same, so is the log.
    let more = usize::from(storage == Storage::Shared);
    guest.has_booted_only_on(0, 2 + more).await;
    assert_eq!(guest.told(READ).await, before);

    guest.is_told_to(json!({"migrate": {"host": "host-b"}})).await;
    guest.is_settled("VERIFY_RESIZE").await;
    guest.is_told_to(json!({"confirmResize": null})).await;
    crate::two_hosts::eventually("the first host is empty", async || {
        let listed = fleet.pair.virsh(0, &["list", "--all", "--uuid"]);
        let folder = fleet.folders[0].join("instances").join(guest.id.to_string());
        let is_empty = !listed.contains(&guest.id.to_string());
        (is_empty && (storage == Storage::Shared || !folder.exists())).then_some(())
    })
    .await;
    guest.runs_only_on(1).await;
    guest.has_booted_only_on(1, 3 + more).await;
    assert_eq!(guest.told(READ).await, before);
    // From there it moves on, as any other.
    guest.send(Some(0), json!("auto")).await;
    guest.is_settled("ACTIVE").await;
    guest.runs_only_on(0).await;
    assert_eq!(guest.told(READ).await, before);
    guest.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_migrates_while_it_is_off_between_hosts_that_share_no_disks() {
    it_goes_and_comes_back(Storage::Apart).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_migrates_while_it_is_off_between_hosts_that_share_their_disks() {
    it_goes_and_comes_back(Storage::Shared).await;
}
