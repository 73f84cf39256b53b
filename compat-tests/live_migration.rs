//! A real guest moves between two real hosts, and does not notice.

use crate::two_hosts::{Fleet, Guest, Storage};
use gapura::tasks::migrate_server::Moving;
use serde_json::json;

/// Twenty megabytes of its disk that no image had, by their sum, and read from the disk, not from memory.
pub const WRITE: &str = "dd if=/dev/urandom of=/dev/vda bs=1M seek=100 count=20 conv=fsync 2>/dev/null";
pub const READ: &str =
    "echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/vda bs=1M skip=100 count=20 2>/dev/null | busybox md5sum";
/// What its config drive says of it.
const DRIVE: &str = "mount -t iso9660 -o ro $(for d in /dev/vd[b-z]; do [ -b $d ] && echo $d; done | tail -n 1) /mnt \
    && busybox md5sum /mnt/openstack/latest/meta_data.json; umount /mnt";

async fn it_takes_everything_along(guest: &Guest<'_>, times: usize, copies_disks: bool) {
    guest.told(WRITE).await;
    let (disk, drive) = (guest.told(READ).await, guest.told(DRIVE).await);
    assert!(disk.len() > 32 && drive.contains("meta_data.json"), "{disk} {drive}");
    for _ in 0..times {
        let counts = guest.move_over().await;
        assert!(counts.memory.processed > 0 && counts.downtime_ms.is_some(), "{counts:?}");
        // What it wrote goes along; of its image, which is as large, nothing does.
        let copied = counts.disk.processed >> 20;
        assert!(if copies_disks { (20..30).contains(&copied) } else { copied == 0 }, "{counts:?}");
        assert_eq!((guest.told(READ).await, guest.told(DRIVE).await), (disk.clone(), drive.clone()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_moves_ten_times_between_hosts_that_share_no_disks_and_takes_everything_along() {
    let Some(fleet) = Fleet::start(Storage::Apart, Moving::default()).await else { return };
    let guest = fleet.boot().await;
    it_takes_everything_along(&guest, 10, true).await;
    guest.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_moves_between_hosts_that_share_their_disks_and_no_disk_is_copied() {
    let Some(fleet) = Fleet::start(Storage::Shared, Moving::default()).await else { return };
    let guest = fleet.boot().await;
    let number = guest.send(Some(1), json!(true)).await;
    guest.is_settled("ACTIVE").await;
    let refused = guest.record().await;
    assert_eq!((refused["id"].as_i64(), refused["status"].as_str()), (Some(number), Some("error")), "{refused}");
    guest.runs_only_on(0).await;
    it_takes_everything_along(&guest, 2, false).await;
    guest.delete().await;
}

/// A disk that began empty lies over no image that the other host has too, so both go whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_with_a_disk_that_began_empty_takes_both_along_whole() {
    const OTHER: &str = "dd if=/dev/urandom of=/dev/vdb bs=1M seek=10 count=5 conv=fsync 2>/dev/null";
    const READ_OTHER: &str =
        "echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/vdb bs=1M skip=10 count=5 2>/dev/null | busybox md5sum";
    let Some(fleet) = Fleet::start(Storage::Apart, Moving::default()).await else { return };
    let flavor = json!({"name": "roomy", "vcpus": 1, "ram": 256, "disk": 1, "OS-FLV-EXT-DATA:ephemeral": 1});
    assert_eq!(fleet.ask(http::Method::POST, "/flavors", &json!({"flavor": flavor})).await.status, 200);
    let guest = fleet.boot_of("roomy").await;
    guest.told(WRITE).await;
    guest.told(OTHER).await;
    let written = (guest.told(READ).await, guest.told(READ_OTHER).await);
    assert!(written.0.len() > 32 && written.1.len() > 32 && written.0 != written.1, "{written:?}");
    guest.move_over().await;
    assert_eq!((guest.told(READ).await, guest.told(READ_OTHER).await), written);
    guest.delete().await;
}
