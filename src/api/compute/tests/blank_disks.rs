//! Ephemeral disks and swap: what a flavor gives, how a request cuts it, and what becomes of them in a server's life.

use super::resize::{make_flavor, resize};
use super::*;
use crate::disks::{Content, Part};
use crate::hypervisor::{DiskBus, DiskDevice, DiskFormat};
use http::Method;

/// The flavor has so many GiB of ephemeral disk and so many MiB of swap.
pub async fn give_blank_disks(site: &Site, flavor: &'static str, ephemeral_gib: i64, swap_mib: i64) {
    let give = move |tx: &mut crate::store::Tx| {
        let sql = "UPDATE flavors SET ephemeral_gib = ?2, swap_mib = ?3 WHERE id = ?1";
        tx.execute(sql, args![flavor, ephemeral_gib, swap_mib])
    };
    assert_eq!(site.cloud.state.db.write(give).await.unwrap(), 1);
}

async fn site() -> (Site, Client) {
    let site = Site::new().await;
    give_blank_disks(&site, "42", 4, 1500).await;
    let alice = site.cloud.member("alice").await;
    (site, alice)
}

fn wish(site: &Site, devices: Value) -> Value {
    let mut wish = site.wish("web");
    wish["server"]["block_device_mapping_v2"] = devices;
    wish
}

/// The device that clients send beside `imageRef`.
fn root(site: &Site) -> Value {
    json!({"boot_index": 0, "uuid": site.image.to_string(), "source_type": "image", "destination_type": "local",
           "delete_on_termination": true})
}

fn blank(more: Value) -> Value {
    with(json!({"source_type": "blank", "destination_type": "local", "boot_index": -1}), more)[0].clone()
}

/// The device alone, with more said of it.
fn with(mut device: Value, more: Value) -> Value {
    device.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!([device])
}

async fn boot(site: &Site, client: &Client, wish: Value) -> ServerId {
    let reply = at(client, "2.96", Method::POST, &format!("{PATH}/servers"), &wish).await;
    assert_eq!(reply.status, 202, "{}", reply.json());
    site.cloud.work().await;
    let id = ServerId::parse(reply.json()["server"]["id"].as_str().unwrap()).unwrap();
    assert_eq!(show(client, id).await["status"], "ACTIVE", "{}", show(client, id).await);
    id
}

/// The names of the files of a machine's disks, and what they are read as, in the guest's order.
fn files(site: &Site, id: ServerId) -> Vec<(String, DiskFormat)> {
    let spec = site.cloud.hypervisor.spec(id).unwrap();
    let name = |path: &std::path::Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    spec.disks.iter().map(|disk| (name(&disk.path), disk.format)).collect()
}

fn named(name: &str, format: DiskFormat) -> (String, DiskFormat) {
    (name.to_owned(), format)
}

async fn claimed_gib(site: &Site, id: ServerId) -> i64 {
    let ask = move |tx: &mut crate::store::Tx| {
        let row = tx.query_one("SELECT disk_gib FROM claims WHERE server_id = ?1", args![id])?;
        row.map_or(Ok(0), |mut row| row.next::<i64>())
    };
    site.cloud.state.db.read(ask).await.unwrap()
}

fn told(site: &Site, id: ServerId, path: &str) -> Value {
    let drive = site.cloud.disks.config_drive(id).unwrap();
    let (_, bytes) = drive.files.iter().find(|(name, _)| name == path).unwrap();
    serde_json::from_slice(bytes).unwrap()
}

#[tokio::test]
async fn a_server_has_the_ephemeral_disk_and_the_swap_of_its_flavor() {
    let (site, alice) = site().await;
    let id = boot(&site, &alice, site.wish("web")).await;
    let (qcow2, raw) = (DiskFormat::Qcow2, DiskFormat::Raw);
    let found =
        [named("disk.qcow2", qcow2), named("ephemeral0.0", raw), named("swap.0", raw), named("config.iso", raw)];
    assert_eq!(files(&site, id), found);
    let blanks = site.cloud.disks.blanks(id);
    let ext4 = Content::FileSystem { kind: "ext4".to_owned(), label: "ephemeral0".to_owned() };
    let made: Vec<_> = blanks.iter().map(|wish| (wish.size, wish.content.clone())).collect();
    assert_eq!(made, [(4 << 30, ext4), (1500 << 20, Content::Swap)]);
    // One GiB of its own, four ephemeral ones, and swap by the GiB begun.
    assert_eq!(claimed_gib(&site, id).await, 1 + 4 + 2);
    let devices = json!({"ami": "vda", "root": "/dev/vda", "ephemeral0": "/dev/vdb", "swap": "/dev/vdc"});
    assert_eq!(told(&site, id, "ec2/latest/meta-data.json")["block-device-mapping"], devices);
    let flavor = at(&alice, "2.47", Method::GET, &format!("{PATH}/servers/{id}"), &Value::Null).await.json();
    assert_eq!(
        (&flavor["server"]["flavor"]["ephemeral"], &flavor["server"]["flavor"]["swap"]),
        (&json!(4), &json!(1500))
    );
    assert_eq!(alice.delete(&format!("{PATH}/servers/{id}")).await.status, 204);
    site.cloud.work().await;
    assert_eq!(site.cloud.disks.blanks(id), []);
}

#[tokio::test]
async fn a_request_cuts_ephemeral_space_chooses_file_system_and_bus_and_tags_a_disk() {
    let (site, alice) = site().await;
    let swap = blank(json!({"guest_format": "swap", "volume_size": "64", "device_name": "/dev/sdz"}));
    let scratch = blank(json!({"guest_format": "xfs", "volume_size": 3, "disk_bus": "virtio", "device_type": "disk",
                               "tag": "scratch", "delete_on_termination": false}));
    let id = boot(&site, &alice, wish(&site, json!([root(&site), swap, scratch]))).await;
    let blanks: Vec<_> =
        site.cloud.disks.blanks(id).into_iter().map(|wish| (wish.part, wish.size, wish.content)).collect();
    let xfs = Content::FileSystem { kind: "xfs".to_owned(), label: "ephemeral0".to_owned() };
    let made =
        [(Part::Ephemeral { index: 0, layer: 0 }, 3 << 30, xfs), (Part::Swap { layer: 0 }, 64 << 20, Content::Swap)];
    assert_eq!(blanks, made);
    let device = json!({"type": "disk", "bus": "none", "address": "none", "path": "/dev/vdb", "tags": ["scratch"]});
    assert_eq!(told(&site, id, "openstack/latest/meta_data.json")["devices"], json!([device]));
}

#[tokio::test]
async fn its_own_disk_has_the_tag_of_the_request_also_after_a_rebuild() {
    let (site, alice) = site().await;
    let more = json!({"tag": "system", "volume_size": 1, "device_type": "harddisk", "disk_bus": "virtio"});
    let scratch = blank(json!({"tag": "scratch"}));
    let devices = json!([with(root(&site), more)[0], scratch]);
    let id = boot(&site, &alice, wish(&site, devices)).await;
    let device =
        |path: &str, tag: &str| json!({"type": "disk", "bus": "none", "address": "none", "path": path, "tags": [tag]});
    let tagged = json!([device("/dev/vda", "system"), device("/dev/vdb", "scratch")]);
    assert_eq!(told(&site, id, "openstack/latest/meta_data.json")["devices"], tagged);
    assert_eq!(act(&alice, id, json!({"rebuild": {"imageRef": site.image.to_string()}})).await.status, 202);
    site.cloud.work().await;
    assert_eq!(told(&site, id, "openstack/latest/meta_data.json")["devices"], tagged);
    let other = boot(&site, &alice, wish(&site, json!([root(&site)]))).await;
    assert_eq!(told(&site, other, "openstack/latest/meta_data.json")["devices"], json!([]));
}

#[tokio::test]
async fn a_local_disk_may_be_a_disc_that_the_guest_can_only_read() {
    let (site, alice) = site().await;
    let disc = blank(json!({"device_type": "cdrom", "disk_bus": "scsi", "volume_size": 1}));
    let id = boot(&site, &alice, wish(&site, json!([root(&site), disc]))).await;
    let disks = site.cloud.hypervisor.spec(id).unwrap().disks;
    assert_eq!((disks[1].bus, disks[1].device, disks[1].read_only), (DiskBus::Scsi, DiskDevice::Cdrom, true));
    assert_eq!((disks[0].device, disks[2].device), (DiskDevice::Disk, DiskDevice::Disk));
}

#[tokio::test]
async fn the_older_form_names_swap_and_ephemeral_disks_by_words_and_volumes_answer_501() {
    let (site, alice) = site().await;
    let older = |devices: Value| {
        let mut wish = site.wish("web");
        wish["server"]["block_device_mapping"] = devices;
        wish
    };
    let swap = json!({"device_name": "vdc", "virtual_name": "swap", "volume_size": "64"});
    let scratch = json!({"device_name": "/dev/vdb", "virtual_name": "ephemeral0", "volume_size": 3,
                         "delete_on_termination": true});
    let id = boot(&site, &alice, older(json!([swap, scratch]))).await;
    let blanks: Vec<_> = site.cloud.disks.blanks(id).iter().map(|wish| (wish.part, wish.size)).collect();
    assert_eq!(blanks, [(Part::Ephemeral { index: 0, layer: 0 }, 3 << 30), (Part::Swap { layer: 0 }, 64 << 20)]);
    let uuid = site.image.to_string();
    let not_built =
        "Of block devices, the image on the local disk, ephemeral disks and swap are built: others are not.";
    let unknown = "Block Device Mapping is Invalid: Unrecognized legacy format.";
    for (device, status, words) in [
        (json!({"device_name": "vdb", "volume_id": uuid}), 501, not_built),
        (json!({"device_name": "vdb", "snapshot_id": uuid}), 501, not_built),
        (json!({"device_name": "vdb", "no_device": true}), 501, not_built),
        (json!({"virtual_name": "swap", "connection_info": "{}"}), 501, not_built),
        (json!({"device_name": "vdb"}), 400, unknown),
        (json!({"virtual_name": "ephemeral01"}), 400, unknown),
        (json!({"virtual_name": "ephemeral"}), 400, unknown),
        (json!({"virtual_name": "root; reboot"}), 400, unknown),
    ] {
        let reply = alice.post(&format!("{PATH}/servers"), older(json!([device]))).await;
        assert_eq!((reply.status, message(&reply).as_str()), (status, words), "{device}");
    }
    let strict = alice.post(&format!("{PATH}/servers"), older(json!([{"virtual_name": "swap", "tag": "x"}]))).await;
    assert_eq!(strict.status, 400);
}

#[tokio::test]
async fn devices_that_contradict_themselves_are_refused_in_novas_words_and_volumes_answer_501() {
    let (site, alice) = site().await;
    let image = site.image.to_string();
    let sequence = "Block Device Mapping is Invalid: Boot sequence for the instance and image/block device mapping combination is not valid.";
    let invalid = |why: &str| format!("Block Device Mapping is Invalid: {why}");
    let larger = "Ephemeral disks requested are larger than the instance type allows. If no size is given in one block device mapping, flavor ephemeral size will be used.";
    let not_built =
        "Of block devices, the image on the local disk, ephemeral disks and swap are built: others are not.";
    let volume =
        |source: &str| json!({"source_type": source, "uuid": image, "destination_type": "volume", "boot_index": 1});
    let cases = [
        (json!([blank(json!({}))]), 400, sequence.to_owned()),
        (json!([root(&site), root(&site)]), 400, sequence.to_owned()),
        (json!([root(&site), blank(json!({"boot_index": 2}))]), 400, sequence.to_owned()),
        (json!([root(&site), blank(json!({"uuid": image}))]), 400, invalid("Invalid device UUID.")),
        (
            json!([{"source_type": "image", "destination_type": "local", "boot_index": 0}]),
            400,
            invalid("Missing device UUID."),
        ),
        (
            json!([{"source_type": "image", "destination_type": "local", "uuid": image}]),
            400,
            invalid("Mapping image to local is not supported."),
        ),
        (json!([root(&site), blank(json!({"volume_size": 5}))]), 400, larger.to_owned()),
        (json!([root(&site), blank(json!({"volume_size": 1})), blank(json!({}))]), 400, larger.to_owned()),
        (
            json!([root(&site), blank(json!({"guest_format": "swap", "volume_size": 1501}))]),
            400,
            "Swap drive requested is larger than instance type allows.".to_owned(),
        ),
        (
            json!([root(&site), blank(json!({"guest_format": "swap"})), blank(json!({"guest_format": "swap"}))]),
            400,
            invalid("More than one swap drive requested."),
        ),
        (
            json!([root(&site), blank(json!({"volume_size": 1})), blank(json!({"volume_size": 1}))]),
            400,
            invalid("You specified more local devices than the limit allows"),
        ),
        (
            json!([root(&site), blank(json!({"guest_format": "ext4; reboot"}))]),
            400,
            invalid("ext4; reboot format is not supported"),
        ),
        (
            json!([root(&site), blank(json!({"disk_bus": "scuzzy"}))]),
            400,
            "Block Device Mapping is Invalid.".to_owned(),
        ),
        (
            json!([root(&site), blank(json!({"disk_bus": "fdc"}))]),
            501,
            "Disks on the bus fdc are not built yet.".to_owned(),
        ),
        (
            json!([root(&site), blank(json!({"device_type": "floppy"}))]),
            501,
            "Floppy disks are not built yet.".to_owned(),
        ),
        (
            json!([root(&site), blank(json!({"device_type": "lun"}))]),
            400,
            invalid("A local disk is a file, and only a volume can be a lun."),
        ),
        (
            json!([root(&site), blank(json!({"device_type": "cdrom", "disk_bus": "virtio"}))]),
            400,
            invalid("A cdrom can't be on the bus virtio."),
        ),
        (with(root(&site), json!({"device_type": "cdrom"})), 501, not_built.to_owned()),
        (with(root(&site), json!({"disk_bus": "sata"})), 501, not_built.to_owned()),
        (with(root(&site), json!({"guest_format": "ext4"})), 501, not_built.to_owned()),
        (
            with(root(&site), json!({"volume_size": 2})),
            400,
            invalid("volume_size of an image on the local disk is the flavor's, 1 GiB, not 2."),
        ),
        (
            json!([root(&site), {"source_type": "blank", "destination_type": "volume", "volume_size": 1}]),
            501,
            not_built.to_owned(),
        ),
        (json!([root(&site), volume("volume")]), 501, not_built.to_owned()),
        (json!([root(&site), volume("snapshot")]), 501, not_built.to_owned()),
        (json!([volume("image")]), 501, not_built.to_owned()),
        (json!([blank(json!({"boot_index": 0}))]), 501, not_built.to_owned()),
        (json!([root(&site), {"no_device": true}]), 501, not_built.to_owned()),
    ];
    for (devices, status, words) in cases {
        let reply = alice.post(&format!("{PATH}/servers"), wish(&site, devices.clone())).await;
        assert_eq!((reply.status, message(&reply)), (status, words), "{devices}");
    }
    for (device, words) in [
        (json!({"volume_size": 0}), "0 is less than the minimum of 1"),
        (json!({"device_name": "vd b"}), "does not match"),
        (json!({"boot_index": "first"}), "does not match"),
        (json!({"size": 1}), "Additional properties are not allowed"),
    ] {
        let reply = alice.post(&format!("{PATH}/servers"), wish(&site, json!([root(&site), blank(device)]))).await;
        assert_eq!(reply.status, 400);
        assert!(message(&reply).contains(words), "{}", message(&reply));
    }
    let mut without_image = wish(&site, json!([root(&site)]));
    without_image["server"].as_object_mut().unwrap().remove("imageRef");
    let reply = alice.post(&format!("{PATH}/servers"), without_image).await;
    assert_eq!((reply.status, message(&reply)), (400, invalid("Mapping image to local is not supported.")));
    let mut both = wish(&site, json!([root(&site)]));
    both["server"]["block_device_mapping"] = json!([{"device_name": "vdb", "virtual_name": "swap"}]);
    let reply = alice.post(&format!("{PATH}/servers"), both).await;
    let words = "Using different block_device_mapping syntaxes is not allowed in the same request.";
    assert_eq!((reply.status, message(&reply).as_str()), (400, words));
    assert_eq!(alice.get(&format!("{PATH}/servers")).await.json()["servers"], json!([]));
}

#[tokio::test]
async fn a_resize_grows_the_ephemeral_disk_by_a_layer_and_makes_swap_anew_and_back_is_as_before() {
    let (site, alice) = site().await;
    make_flavor(&site, "85", 384, 1).await;
    give_blank_disks(&site, "85", 6, 64).await;
    let id = boot(&site, &alice, site.wish("web")).await;
    let before = files(&site, id);
    resize(&alice, id, "85").await;
    site.cloud.work().await;
    let (qcow2, raw) = (DiskFormat::Qcow2, DiskFormat::Raw);
    let larger =
        [named("disk.1.qcow2", qcow2), named("ephemeral0.1", qcow2), named("swap.1", raw), named("config.iso", raw)];
    assert_eq!(files(&site, id), larger);
    let blanks = site.cloud.disks.blanks(id);
    let layer = blanks.iter().find(|wish| wish.part == Part::Ephemeral { index: 0, layer: 1 }).unwrap();
    let below = Content::Over { below: Part::Ephemeral { index: 0, layer: 0 }, format: DiskFormat::Raw };
    assert_eq!((layer.size, &layer.content), (6 << 30, &below), "the format below is stated, since a guest wrote it");
    assert_eq!(claimed_gib(&site, id).await, (1 + 4 + 2) + (2 + 6 + 1));
    assert_eq!(act(&alice, id, json!({"revertResize": null})).await.status, 202);
    site.cloud.work().await;
    assert_eq!((files(&site, id), claimed_gib(&site, id).await), (before, 1 + 4 + 2));
    let parts: Vec<Part> = site.cloud.disks.blanks(id).iter().map(|wish| wish.part).collect();
    assert_eq!(parts, [Part::Ephemeral { index: 0, layer: 0 }, Part::Swap { layer: 0 }]);
    // Confirmed, the old swap goes with the next start.
    resize(&alice, id, "85").await;
    site.cloud.work().await;
    assert_eq!(act(&alice, id, json!({"confirmResize": null})).await.status, 204);
    assert_eq!(act(&alice, id, json!({"reboot": {"type": "HARD"}})).await.status, 202);
    site.cloud.work().await;
    let swaps: Vec<Part> = site.cloud.disks.blanks(id).iter().map(|wish| wish.part).collect();
    assert!(swaps.contains(&Part::Swap { layer: 1 }) && !swaps.contains(&Part::Swap { layer: 0 }), "{swaps:?}");
    assert_eq!(claimed_gib(&site, id).await, 2 + 6 + 1);
}

#[tokio::test]
async fn a_resize_to_less_ephemeral_space_is_refused_and_one_to_some_makes_it() {
    let (site, alice) = site().await;
    make_flavor(&site, "85", 384, 1).await;
    let id = boot(&site, &alice, site.wish("web")).await;
    let refused = act(&alice, id, json!({"resize": {"flavorRef": "85"}})).await;
    let words = "Server disk was unable to be resized because: Unable to resize disk down.";
    assert_eq!((refused.status, message(&refused).as_str()), (400, words));
    give_blank_disks(&site, "42", 0, 0).await;
    let plain = boot(&site, &alice, site.wish("plain")).await;
    assert_eq!(files(&site, plain).len(), 2);
    give_blank_disks(&site, "85", 1, 64).await;
    resize(&alice, plain, "85").await;
    site.cloud.work().await;
    let names: Vec<String> = files(&site, plain).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["disk.1.qcow2", "ephemeral0.1", "swap.1", "config.iso"]);
}

#[tokio::test]
async fn a_rebuild_makes_the_disks_anew_and_preserves_none() {
    let (site, alice) = site().await;
    let id = boot(&site, &alice, site.wish("web")).await;
    let kept = json!({"rebuild": {"imageRef": site.image.to_string(), "preserve_ephemeral": true}});
    let refused = act(&alice, id, kept).await;
    let words = "The current driver does not support preserving ephemeral partitions.";
    assert_eq!((refused.status, message(&refused).as_str()), (400, words));
    make_flavor(&site, "85", 384, 1).await;
    give_blank_disks(&site, "85", 6, 64).await;
    resize(&alice, id, "85").await;
    site.cloud.work().await;
    assert_eq!(act(&alice, id, json!({"confirmResize": null})).await.status, 204);
    assert_eq!(act(&alice, id, json!({"rebuild": {"imageRef": site.image.to_string()}})).await.status, 202);
    site.cloud.work().await;
    let blanks: Vec<_> = site.cloud.disks.blanks(id).iter().map(|wish| (wish.part, wish.size)).collect();
    assert_eq!(blanks, [(Part::Ephemeral { index: 0, layer: 0 }, 6 << 30), (Part::Swap { layer: 0 }, 64 << 20)]);
}

#[tokio::test]
async fn a_rescued_server_has_its_own_disk_beside_the_other_and_no_more_until_it_is_back() {
    let (site, alice) = site().await;
    let id = boot(&site, &alice, site.wish("web")).await;
    let before = files(&site, id);
    assert_eq!(act(&alice, id, json!({"rescue": null})).await.status, 200);
    site.cloud.work().await;
    let names: Vec<String> = files(&site, id).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["rescue.qcow2", "disk.qcow2", "config.iso"], "as upstream's rescue");
    assert_eq!(site.cloud.disks.blanks(id).len(), 2, "they wait");
    assert_eq!(act(&alice, id, json!({"unrescue": null})).await.status, 202);
    site.cloud.work().await;
    assert_eq!(files(&site, id), before);
}

#[tokio::test]
async fn what_leaves_its_host_loses_its_ephemeral_disks_and_comes_back_with_empty_ones() {
    let (site, alice) = site().await;
    let id = boot(&site, &alice, site.wish("web")).await;
    let before = files(&site, id);
    assert_eq!(act(&alice, id, json!({"shelve": null})).await.status, 202);
    site.cloud.work().await;
    assert_eq!(show(&alice, id).await["status"], "SHELVED_OFFLOADED");
    assert_eq!((site.cloud.disks.blanks(id), claimed_gib(&site, id).await), (Vec::new(), 0));
    assert_eq!(act(&alice, id, json!({"unshelve": null})).await.status, 202);
    site.cloud.work().await;
    assert_eq!((files(&site, id), claimed_gib(&site, id).await), (before, 1 + 4 + 2));
}
