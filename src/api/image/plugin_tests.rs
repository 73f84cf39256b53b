//! What plugins make of an import, through the whole router and the runner; conversions by the real `qemu-img`.

use super::ImageSettings;
use super::import_tests::{import, kept, stage, tasks_of};
use super::tests::{create, download, show};
use crate::api::State;
use crate::api::testing::{Client, Cloud};
use crate::cloud::image::plugins::{Plugin, Plugins, Target};
use crate::cloud::image::unpack::tests::{gzip, zip};
use crate::tasks::{Runner, RunnerSettings, workflows};
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

/// Settings with these plugins. Conversions happen in a folder of their own.
pub(super) fn with(list: &[Plugin], target: Target) -> ImageSettings {
    let mut plugins = Plugins { list: list.to_vec(), ..Plugins::default() };
    plugins.conversion.target = target;
    plugins.conversion.folder = std::env::temp_dir().join(format!("gapura-test-{}", uuid::Uuid::new_v4().simple()));
    ImageSettings { plugins, ..ImageSettings::default() }
}

/// What a disk with this content looks like as another format; `None` where nobody can tell.
pub(super) fn made(raw: &[u8], format: &str, more: &[&str]) -> Option<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("raw"), folder.path().join("made"));
    std::fs::write(&from, raw).unwrap();
    let output =
        Command::new("qemu-img").args(["convert", "-f", "raw", "-O", format]).args(more).arg(&from).arg(&to).output();
    let Ok(output) = output else {
        eprintln!("SKIPPED: there is no qemu-img, so nothing is converted");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(std::fs::read(to).unwrap())
}

/// A disk with something in it, and much that is nothing.
pub(super) fn disk() -> Vec<u8> {
    let mut disk = vec![0; 4 << 20];
    disk[1 << 20..2 << 20].iter_mut().enumerate().for_each(|(at, byte)| *byte = (at % 251) as u8);
    disk
}

/// The image's view and its task's, once the import is over.
async fn imported(cloud: &Cloud, client: &Client, image: Value, bytes: &[u8]) -> (String, Value, Value) {
    let id = create(client, image).await;
    assert_eq!(stage(client, &id, bytes).await.status, 204);
    let reply = import(client, &id, json!({"method": {"name": "glance-direct"}})).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    cloud.work().await;
    let (image, task) = (show(client, &id).await.json(), tasks_of(client, &id).await.remove(0));
    (id, image, task)
}

#[tokio::test]
async fn what_was_uploaded_packed_is_kept_unpacked() {
    for packed in [gzip(b"bytes of a disk"), zip(b"bytes of a disk", 8, 0), b"bytes of a disk".to_vec()] {
        let cloud = Cloud::with_images(&["fast", "slow"], with(&[Plugin::NoOp, Plugin::Decompress], Target::Raw)).await;
        let alice = cloud.member("alice").await;
        let (id, image, task) = imported(&cloud, &alice, json!({}), &packed).await;
        assert_eq!((&image["status"], &image["size"]), (&json!("active"), &json!(15)), "{task}");
        assert_eq!(download(&alice, &id, &[]).await.bytes, b"bytes of a disk");
        assert_eq!(kept(&cloud).await, ["fast"], "the packed bytes are gone");
    }
    let cloud = Cloud::with_images(&[], with(&[Plugin::Decompress], Target::Raw)).await;
    let alice = cloud.member("alice").await;
    let packed = gzip(b"stays");
    let (id, ..) = imported(&cloud, &alice, json!({"container_format": "compressed"}), &packed).await;
    assert_eq!(download(&alice, &id, &[]).await.bytes, packed);
}

#[tokio::test]
async fn cve_2013_4463_a_decompression_bomb_fails_its_import_and_leaves_nothing() {
    let bomb = gzip(&vec![0; 16 << 20]);
    for (size_limit, ratio_limit) in [(1 << 20, 0), (0, 100)] {
        let mut settings = with(&[Plugin::Decompress], Target::Raw);
        settings.plugins.decompression.size_limit = size_limit;
        settings.plugins.decompression.ratio_limit = ratio_limit;
        let cloud = Cloud::with_images(&[], settings).await;
        let alice = cloud.member("alice").await;
        let (_, image, task) = imported(&cloud, &alice, json!({}), &bomb).await;
        assert_eq!((&image["status"], &image["size"]), (&json!("queued"), &Value::Null));
        assert!(task["message"].as_str().unwrap().starts_with("The image unpacks to more than"), "{task}");
        assert!(kept(&cloud).await.is_empty());
    }
    let cloud = Cloud::with_images(&[], with(&[Plugin::Decompress], Target::Raw)).await;
    let alice = cloud.member("alice").await;
    let (_, image, task) = imported(&cloud, &alice, json!({}), &gzip(b"cut off")[..20]).await;
    assert_eq!((&image["status"], &task["status"]), (&json!("queued"), &json!("failure")));
    assert!(task["message"].as_str().unwrap().contains("could not be decompressed"), "{task}");
    assert!(kept(&cloud).await.is_empty());
}

#[tokio::test]
async fn an_image_of_any_format_becomes_the_one_that_operators_want() {
    let disk = disk();
    for (from, target) in [
        ("qcow2", Target::Raw),
        ("vdi", Target::Raw),
        ("vhdx", Target::Raw),
        ("raw", Target::Qcow2),
        ("vmdk", Target::Qcow2),
    ] {
        let more: &[&str] = if from == "vmdk" { &["-o", "subformat=streamOptimized"] } else { &[] };
        let Some(bytes) = made(&disk, from, more) else { return };
        let settings = with(&[Plugin::Convert], target);
        let folder = settings.plugins.conversion.folder.clone();
        let cloud = Cloud::with_images(&[], settings).await;
        let alice = cloud.member("alice").await;
        let (id, image, task) = imported(&cloud, &alice, json!({"disk_format": from}), &bytes).await;
        assert_eq!(
            (&image["status"], &image["disk_format"]),
            (&json!("active"), &json!(target.word())),
            "{from}: {task}"
        );
        assert_eq!(image["virtual_size"], disk.len(), "{from}");
        let converted = download(&alice, &id, &[]).await.bytes;
        assert_eq!(image["size"], converted.len());
        match target {
            Target::Raw => assert!(converted == disk, "{from}: the disk is another"),
            Target::Qcow2 => assert!(converted.starts_with(b"QFI\xfb"), "{from}"),
        }
        assert_eq!(kept(&cloud).await, ["default"]);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "nothing lies about");
        std::fs::remove_dir(folder).unwrap();
    }
}

#[tokio::test]
async fn an_import_waits_its_turn_where_bytes_are_to_be_rewritten_and_only_there() {
    let cloud = Cloud::with_images(&[], with(&[Plugin::Decompress, Plugin::Inject], Target::Raw)).await;
    let alice = cloud.member("alice").await;
    let State { db, clock, hosts, stores, .. } = &*cloud.state;
    let settings = RunnerSettings { turns: 0, ..RunnerSettings::default() };
    let work = workflows(stores, &cloud.state.importing(), Duration::from_secs(1));
    let full = Runner::new(db.clone(), clock.clone(), hosts.clone(), work, settings);
    let asked = async |bytes: &[u8]| {
        let id = create(&alice, json!({})).await;
        assert_eq!(stage(&alice, &id, bytes).await.status, 204);
        assert_eq!(import(&alice, &id, json!({"method": {"name": "glance-direct"}})).await.status, 202);
        full.drain().await.unwrap();
        id
    };
    let plain = asked(b"bytes of a disk").await;
    assert_eq!(show(&alice, &plain).await.json()["status"], "active", "nothing is to be rewritten");
    let (waits, unwanted) = (asked(&gzip(b"waits")).await, asked(&gzip(b"unwanted")).await);
    for id in [&waits, &unwanted] {
        assert_eq!(show(&alice, id).await.json()["status"], "importing");
    }
    assert_eq!(alice.delete(&format!("/image/v2/images/{unwanted}")).await.status, 204);
    full.drain().await.unwrap();
    let open = |id: String| async move { db.read(move |tx| crate::store::tasks::any_open(tx, &id)).await.unwrap() };
    assert!(!open(unwanted).await, "who is deleted waits no more");
    assert!(open(waits.clone()).await);
    cloud.work().await;
    assert_eq!(download(&alice, &waits, &[]).await.bytes, b"waits");
}

#[tokio::test]
async fn all_plugins_in_their_order_make_one_image() {
    let Some(qcow2) = made(&disk(), "qcow2", &[]) else { return };
    let mut settings = with(&[Plugin::Decompress, Plugin::Convert, Plugin::Inject], Target::Raw);
    settings.plugins.injection.inject =
        [("hw_disk_bus", "virtio"), ("source", "new")].map(|(n, v)| (n.to_owned(), v.to_owned())).into();
    let cloud = Cloud::with_images(&["fast", "slow"], settings).await;
    let (alice, admin) = (cloud.member("alice").await, cloud.admin().await);
    let properties = json!({"disk_format": "qcow2", "source": "old"});
    let (id, image, task) = imported(&cloud, &alice, properties.clone(), &gzip(&qcow2)).await;
    assert_eq!((&image["status"], &image["disk_format"]), (&json!("active"), &json!("raw")), "{task}");
    assert_eq!((&image["hw_disk_bus"], &image["source"]), (&json!("virtio"), &json!("new")));
    assert!(download(&alice, &id, &[]).await.bytes == disk());
    let (_, image, _) = imported(&cloud, &admin, properties, &gzip(&qcow2)).await;
    assert_eq!((image.get("hw_disk_bus"), &image["source"]), (None, &json!("old")), "an administrator's is left alone");
}

#[tokio::test]
async fn cve_2024_40767_what_no_converter_may_open_is_not_given_to_one() {
    let Some(qcow2) = made(&disk(), "qcow2", &[]) else { return };
    let mut nested = qcow2.clone();
    nested.resize(qcow2.len().next_multiple_of(512), 0);
    let hidden = made(&nested, "qcow2", &[]).unwrap();
    let mut backed = qcow2.clone();
    // The offset and the length of a backing file's name.
    backed[8..16].copy_from_slice(&1024_u64.to_be_bytes());
    backed[16..20].copy_from_slice(&11_u32.to_be_bytes());
    backed[1024..1035].copy_from_slice(b"/etc/passwd");
    let mut damaged = qcow2.clone();
    // The table that says where the disk's parts are.
    let table = u64::from_be_bytes(qcow2[40..48].try_into().unwrap()) as usize;
    damaged[table..table + 8].copy_from_slice(&[0x7f; 8]);
    for (format, bytes) in [
        ("raw", &qcow2),
        ("qcow2", &hidden),
        ("qcow2", &backed),
        ("qcow2", &damaged),
        ("vmdk", &qcow2),
        ("ami", &disk()),
    ] {
        let settings = with(&[Plugin::Convert], Target::Raw);
        let folder = settings.plugins.conversion.folder.clone();
        let cloud = Cloud::with_images(&[], settings).await;
        let alice = cloud.member("alice").await;
        let container = if format == "ami" { "ami" } else { "bare" };
        let (_, image, task) =
            imported(&cloud, &alice, json!({"disk_format": format, "container_format": container}), bytes).await;
        assert_eq!((&image["status"], &task["status"]), (&json!("queued"), &json!("failure")), "{format}");
        let message = task["message"].as_str().unwrap();
        assert!(!message.contains('/'), "no folder of this machine is told: {message}");
        assert!(kept(&cloud).await.is_empty());
        let left = std::fs::read_dir(&folder).map_or(0, Iterator::count);
        assert_eq!(left, 0, "nothing lies about");
        let _ = std::fs::remove_dir(folder);
    }
}

#[tokio::test]
async fn cve_2015_5162_a_conversion_takes_no_more_than_it_may() {
    let Some(qcow2) = made(&vec![0; 64 << 20], "qcow2", &[]) else { return };
    for (bound, sentence) in
        [("size", "converted to more than"), ("memory", "could not be converted"), ("time", "took longer than 0 s")]
    {
        let mut settings = with(&[Plugin::Convert], Target::Raw);
        let conversion = &mut settings.plugins.conversion;
        match bound {
            "size" => conversion.size_limit = 1 << 20,
            "memory" => conversion.memory_mb = 16,
            _ => conversion.seconds = 0,
        }
        let folder = conversion.folder.clone();
        let cloud = Cloud::with_images(&[], settings).await;
        let alice = cloud.member("alice").await;
        let (_, image, task) = imported(&cloud, &alice, json!({"disk_format": "qcow2"}), &qcow2).await;
        assert_eq!(image["status"], "queued", "{bound}");
        assert!(task["message"].as_str().unwrap().contains(sentence) || bound == "memory", "{bound}: {task}");
        assert_eq!(task["status"], "failure", "{bound}");
        let _ = std::fs::remove_dir(folder);
    }
}
