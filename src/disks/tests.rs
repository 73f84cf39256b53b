//! What both kinds of disks promise, and what only real ones can break.

use super::local::LocalDisks;
use super::simulated::SimulatedDisks;
use super::*;
use crate::error::Error;
use futures::StreamExt;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::Arc;

fn image(bytes: &[u8]) -> BaseImage {
    let sha512 = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, bytes));
    BaseImage { sha512, size: bytes.len() as u64, format: DiskFormat::Raw }
}

/// The bytes in small pieces, as a network brings them.
fn stream(bytes: &[u8]) -> BoxStream<'static, Result<Bytes>> {
    let chunks: Vec<_> = bytes.chunks(1000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    futures::stream::iter(chunks).boxed()
}

fn local() -> (tempfile::TempDir, LocalDisks) {
    let folder = tempfile::tempdir().unwrap();
    let disks = LocalDisks::open(folder.path()).unwrap();
    (folder, disks)
}

fn names(folder: &std::path::Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

const BYTES: &[u8] = &[7; 4096];

async fn wish(disks: &dyn Disks, epoch: u64) -> RootDisk {
    let base = image(BYTES);
    disks.fetch_base(&base, stream(BYTES)).await.unwrap();
    RootDisk {
        server: ServerId::random(),
        epoch: Epoch(epoch),
        part: Part::Root { layer: 0 },
        base,
        virtual_size: 1 << 20,
    }
}

async fn making_twice_is_making_once_and_so_is_removing(disks: &dyn Disks) {
    let wish = wish(disks, 1).await;
    assert!(disks.has_base(&wish.base).await.unwrap());
    let path = disks.make_root(&wish).await.unwrap();
    assert_eq!(disks.make_root(&wish).await.unwrap(), path);
    let config = ConfigDrive { server: wish.server, epoch: Epoch(1), files: vec![("a".to_owned(), vec![1])] };
    let drive = disks.write_config_drive(&config).await.unwrap();
    assert_eq!(disks.write_config_drive(&config).await.unwrap(), drive);
    assert_eq!(disks.list().await.unwrap(), [wish.server]);
    for _ in 0..2 {
        disks.remove(wish.server, Epoch(1)).await.unwrap();
        assert_eq!(disks.list().await.unwrap(), []);
    }
}

async fn an_order_older_than_the_newest_is_refused(disks: &dyn Disks) {
    let wish = wish(disks, 3).await;
    disks.make_root(&wish).await.unwrap();
    let config = |epoch| ConfigDrive { server: wish.server, epoch: Epoch(epoch), files: Vec::new() };
    disks.write_config_drive(&config(7)).await.unwrap();
    let is_conflict = |error| matches!(error, Error::Conflict(_));
    assert!(is_conflict(disks.make_root(&wish).await.unwrap_err()));
    assert!(is_conflict(disks.write_config_drive(&config(6)).await.unwrap_err()));
    assert!(is_conflict(disks.remove(wish.server, Epoch(6)).await.unwrap_err()));
    disks.remove(wish.server, Epoch(7)).await.unwrap();
    assert!(is_conflict(disks.make_root(&wish).await.unwrap_err()), "a removed disk does not come back");
}

async fn a_base_goes_unless_a_machine_lies_over_it(disks: &dyn Disks) {
    let wish = wish(disks, 1).await;
    let shown = async || {
        let bases = disks.bases().await.unwrap();
        bases.into_iter().map(|cached| (cached.base, cached.machines)).collect::<Vec<_>>()
    };
    assert_eq!(shown().await, [(wish.base.clone(), 0)]);
    disks.make_root(&wish).await.unwrap();
    assert_eq!(shown().await, [(wish.base.clone(), 1)]);
    assert!(!disks.drop_base(&wish.base).await.unwrap());
    assert!(disks.has_base(&wish.base).await.unwrap());
    disks.remove(wish.server, Epoch(1)).await.unwrap();
    for _ in 0..2 {
        assert!(disks.drop_base(&wish.base).await.unwrap());
        assert!(!disks.has_base(&wish.base).await.unwrap());
    }
    assert_eq!(shown().await, []);
    let later = RootDisk { server: ServerId::random(), ..wish };
    assert!(disks.make_root(&later).await.unwrap_err().is_transient(), "who fetches it again can go on");
    disks.remove(later.server, Epoch(1)).await.unwrap();
    disks.fetch_base(&later.base, stream(BYTES)).await.unwrap();
}

async fn wrong_bytes_make_no_base(disks: &dyn Disks) {
    let other: &[u8] = &[8; 4096];
    let base = image(other);
    let failing = futures::stream::iter([Ok(Bytes::from_static(other)), Err(Error::unavailable("blobs", "gone"))]);
    for bytes in [stream(BYTES), stream(&other[1..]), stream(&[8; 4097]), failing.boxed()] {
        disks.fetch_base(&base, bytes).await.unwrap_err();
        assert!(!disks.has_base(&base).await.unwrap());
    }
}

fn blank(epoch: u64, part: Part, content: Content) -> BlankDisk {
    let server = ServerId::parse("11111111-2222-4333-8444-555555555555").unwrap();
    BlankDisk { server, epoch: Epoch(epoch), part, size: 32 << 20, content }
}

async fn a_blank_disk_is_made_once_and_goes_for_good(disks: &dyn Disks) {
    let swap = blank(4, Part::Swap { layer: 0 }, Content::Swap);
    let path = disks.make_blank(&swap).await.unwrap();
    assert_eq!(disks.make_blank(&swap).await.unwrap(), path);
    assert!(disks.make_blank(&BlankDisk { epoch: Epoch(3), ..swap.clone() }).await.is_err(), "an older order");
    for _ in 0..2 {
        disks.remove_part(swap.server, Epoch(4), swap.part).await.unwrap();
    }
    disks.remove(swap.server, Epoch(4)).await.unwrap();
    assert!(
        disks.make_blank(&BlankDisk { epoch: Epoch(3), ..swap }).await.is_err(),
        "a removed disk does not come back"
    );
}

/// A machine's disks come whole to another host, where they lie over what is there, and nothing comes without that.
async fn disks_travel(from: &dyn Disks, to: &dyn Disks) {
    let root = wish(from, 1).await;
    let (server, epoch) = (root.server, root.epoch);
    from.make_root(&root).await.unwrap();
    let upper = RootDisk { part: Part::Root { layer: 1 }, virtual_size: 2 << 20, ..root.clone() };
    from.make_root(&upper).await.unwrap();
    let incoming = |part, over| Incoming { server, epoch: Epoch(2), part, over };
    let lower = incoming(root.part, Over::Base(root.base.clone()));
    let early = to.receive_part(&lower, from.open_part(server, root.part).await.unwrap()).await;
    assert!(early.is_err(), "its image is not there");
    to.fetch_base(&root.base, stream(BYTES)).await.unwrap();
    for wish in [&lower, &incoming(upper.part, Over::Part(root.part)), &lower] {
        to.receive_part(wish, from.open_part(server, wish.part).await.unwrap()).await.unwrap();
    }
    // They are there: nothing is made anew.
    to.make_root(&RootDisk { epoch: Epoch(2), ..root.clone() }).await.unwrap();
    let late = Incoming { epoch, ..lower.clone() };
    let late = to.receive_part(&late, from.open_part(server, root.part).await.unwrap()).await;
    assert!(matches!(late, Err(Error::Conflict(_))), "{late:?}");
    assert!(from.open_part(server, Part::Rescue).await.is_err());
    let cut = from.open_part(server, root.part).await.unwrap().map(|piece| piece.map(|piece| piece.slice(..20)));
    assert!(to.receive_part(&lower, cut.boxed()).await.is_err());
    for disks in [from, to] {
        disks.remove(server, Epoch(2)).await.unwrap();
        assert!(disks.drop_base(&root.base).await.unwrap());
    }
}

#[tokio::test]
async fn disks_travel_between_simulated_hosts() {
    disks_travel(&*SimulatedDisks::new(), &*SimulatedDisks::new()).await;
}

#[tokio::test]
async fn disks_travel_from_this_host_to_another_and_back() {
    use crate::{
        fabric::simulated::SimulatedFabric, hypervisor::simulated::Simulated, node::Parts, node::testing::OtherHost,
    };
    let ((folder, here), (other_folder, disks)) = (local(), local());
    let (hypervisor, fabric) = (Simulated::new(1, 64), Arc::new(SimulatedFabric::new()));
    let host = OtherHost::carrying(Parts { hypervisor, disks: Arc::new(disks), fabric }).await.unwrap();
    let there = host.parts().unwrap().disks;
    disks_travel(&here, &*there).await;
    disks_travel(&*there, &here).await;
    for folder in [&folder, &other_folder] {
        assert_eq!(names(&folder.path().join("instances")), [""; 0]);
    }
    // A raw disk may be empty, large and full of holes.
    let server = ServerId::random();
    let swap =
        BlankDisk { server, epoch: Epoch(1), part: Part::Swap { layer: 0 }, size: 64 << 20, content: Content::Swap };
    if Command::new("mkswap").arg("--version").output().is_err() {
        return eprintln!("SKIPPED: no mkswap");
    }
    let made = here.make_blank(&swap).await.unwrap();
    let wish = Incoming { server, epoch: Epoch(1), part: swap.part, over: Over::Nothing };
    there.receive_part(&wish, here.open_part(server, swap.part).await.unwrap()).await.unwrap();
    let arrived = other_folder.path().join("instances").join(server.to_string()).join("swap.0");
    assert_eq!(std::fs::read(&made).unwrap(), std::fs::read(&arrived).unwrap());
    assert!(arrived.metadata().unwrap().blocks() * 512 < 1 << 20, "its holes stay holes");
}

async fn whole_contract(disks: &dyn Disks) {
    a_blank_disk_is_made_once_and_goes_for_good(disks).await;
    making_twice_is_making_once_and_so_is_removing(disks).await;
    an_order_older_than_the_newest_is_refused(disks).await;
    a_base_goes_unless_a_machine_lies_over_it(disks).await;
    wrong_bytes_make_no_base(disks).await;
    let space = disks.space().await.unwrap();
    assert!(space.total >= space.free && space.free > 0);
}

#[tokio::test]
async fn simulated_disks_keep_the_contract() {
    whole_contract(&*SimulatedDisks::new()).await;
}

#[tokio::test]
async fn local_disks_keep_the_contract_and_leave_nothing_behind() {
    let (folder, disks) = local();
    whole_contract(&disks).await;
    assert_eq!(names(&folder.path().join("base")), [format!("{}.raw", image(BYTES).sha512)]);
    assert_eq!(names(&folder.path().join("instances")), ["store"]);
}

#[tokio::test]
async fn disks_of_another_host_keep_the_contract() {
    use crate::{
        fabric::simulated::SimulatedFabric, hypervisor::simulated::Simulated, node::Parts, node::testing::OtherHost,
    };
    let (folder, disks) = local();
    let (hypervisor, fabric) = (Simulated::new(1, 64), Arc::new(SimulatedFabric::new()));
    let host = OtherHost::carrying(Parts { hypervisor, disks: Arc::new(disks), fabric }).await.unwrap();
    let there = host.parts().unwrap().disks;
    whole_contract(&*there).await;
    assert_eq!(names(&folder.path().join("base")), [format!("{}.raw", image(BYTES).sha512)]);
    let server = ServerId::random();
    std::fs::write(
        there.place_for_copy(server, Epoch(1)).await.unwrap(),
        [b"QFI\xfb\0\0\0\x03".as_slice(), &[0; 200_000]].concat(),
    )
    .unwrap();
    let copied = there.open_copy(server).await.unwrap();
    let pieces: Vec<Bytes> = futures::TryStreamExt::try_collect(copied.bytes).await.unwrap();
    assert_eq!((copied.size, pieces.concat().len()), (200_008, 200_008));
}

#[tokio::test]
async fn racing_fetches_end_in_one_read_only_file() {
    let (folder, disks) = local();
    let base = image(BYTES);
    let fetches = (0..8).map(|_| disks.fetch_base(&base, stream(BYTES)));
    for fetched in futures::future::join_all(fetches).await {
        fetched.unwrap();
    }
    let files = names(&folder.path().join("base"));
    assert_eq!(files.len(), 1);
    let file = folder.path().join("base").join(&files[0]);
    assert_eq!(std::fs::read(&file).unwrap(), BYTES);
    assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o444);
}

#[tokio::test]
async fn cve_2024_32498_a_base_is_inspected_when_fetched_and_again_when_used() {
    let (folder, disks) = local();
    let mut bytes = vec![0; 4096];
    bytes[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    let innocent = BaseImage { format: DiskFormat::Qcow2, ..image(&bytes) };
    disks.fetch_base(&innocent, stream(&bytes)).await.unwrap();
    bytes[79] = 4;
    let evil = BaseImage { format: DiskFormat::Qcow2, ..image(&bytes) };
    let refusal = disks.fetch_base(&evil, stream(&bytes)).await.unwrap_err();
    assert_eq!(refusal.to_string(), "The image has an external data file.");
    let file = folder.path().join("base").join(format!("{}.qcow2", innocent.sha512));
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, &bytes).unwrap();
    let wish = RootDisk {
        server: ServerId::random(),
        epoch: Epoch(1),
        part: Part::Root { layer: 0 },
        base: innocent,
        virtual_size: 1 << 20,
    };
    assert_eq!(disks.make_root(&wish).await.unwrap_err().to_string(), "The image has an external data file.");
}

#[tokio::test]
async fn a_disk_that_cannot_be_read_keeps_every_base() {
    let (folder, disks) = local();
    let wish = wish(&disks, 1).await;
    let disk = disks.make_root(&wish).await.unwrap();
    std::fs::write(disk, "no overlay").unwrap();
    assert!(disks.drop_base(&wish.base).await.is_err() && disks.bases().await.is_err());
    assert!(disks.has_base(&wish.base).await.unwrap());
    let stray = folder.path().join("base").join("notes.raw");
    std::fs::write(&stray, "mine").unwrap();
    disks.remove(wish.server, Epoch(1)).await.unwrap();
    assert_eq!(disks.bases().await.unwrap().len(), 1, "what is not named like a base is none");
}

#[tokio::test]
async fn a_hash_that_is_a_path_is_refused() {
    let (_folder, disks) = local();
    for sha512 in ["../../etc/passwd".to_owned(), "A".repeat(128), "a/".repeat(64), String::new()] {
        let base = BaseImage { sha512, size: 1, format: DiskFormat::Raw };
        assert!(matches!(disks.fetch_base(&base, stream(b"x")).await, Err(Error::BadRequest(_))));
        assert!(disks.has_base(&base).await.is_err());
    }
}

#[tokio::test]
async fn hosts_that_have_a_folder_in_common_name_it_alike_and_others_otherwise() {
    let ((folder, disks), (_other_folder, other)) = (local(), local());
    let own = disks.space().await.unwrap().store.unwrap();
    assert_ne!(other.space().await.unwrap().store, Some(own));
    let neighbour = LocalDisks::open(folder.path()).unwrap();
    assert_eq!(neighbour.space().await.unwrap().store, Some(own));
    assert_eq!(names(&folder.path().join("instances")), ["store"]);
    assert_eq!(disks.list().await.unwrap(), []);
    // Damaged, it names nothing, and the host is measured all the same.
    std::fs::write(folder.path().join("instances/store"), "?").unwrap();
    let space = disks.space().await.unwrap();
    assert_eq!((space.store, space.total > 0), (None, true));
}

#[tokio::test]
async fn a_disk_smaller_than_its_image_is_refused() {
    let (_folder, disks) = local();
    let wish = RootDisk { virtual_size: 4095, ..wish(&disks, 1).await };
    let refusal = disks.make_root(&wish).await.unwrap_err();
    assert_eq!(refusal.to_string(), "Flavor's disk is too small for requested image.");
}

#[tokio::test]
async fn what_a_dead_process_left_unfinished_is_cleared_and_the_rest_is_kept() {
    let (folder, disks) = local();
    let wish = wish(&disks, 5).await;
    let disk = disks.make_root(&wish).await.unwrap();
    let part = folder.path().join("base").join("0.123.part");
    let half_removed = folder.path().join("instances").join(format!("{}.removed", ServerId::random()));
    let half_named = folder.path().join("instances").join("store.0.part");
    std::fs::write(&part, "half").unwrap();
    std::fs::create_dir(&half_removed).unwrap();
    std::fs::write(&half_named, "").unwrap();
    let disks = LocalDisks::open(folder.path()).unwrap();
    assert!(!part.exists() && !half_removed.exists() && !half_named.exists() && disk.exists());
    assert!(disks.remove(wish.server, Epoch(4)).await.is_err(), "the epoch is remembered with the files");
}

#[tokio::test]
async fn what_is_made_again_under_the_order_that_removed_it_refuses_older_orders_after_a_restart_too() {
    let (folder, disks) = local();
    let wish = wish(&disks, 5).await;
    disks.make_root(&wish).await.unwrap();
    disks.remove(wish.server, Epoch(5)).await.unwrap();
    disks.make_root(&wish).await.unwrap();
    let restarted = LocalDisks::open(folder.path()).unwrap();
    assert!(matches!(restarted.remove(wish.server, Epoch(4)).await, Err(Error::Conflict(_))));
}

#[tokio::test]
async fn a_serial_log_is_read_from_its_end_and_never_whole() {
    let (_folder, disks) = local();
    let server = ServerId::random();
    assert_eq!(disks.read_console_log(server, None).await.unwrap(), "");
    let path = disks.console_log(server).await.unwrap();
    std::fs::write(&path, "one\ntwo\n\u{fffd}hree\n").unwrap();
    assert_eq!(disks.read_console_log(server, Some(3)).await.unwrap(), "two\n\u{fffd}hree\n");
    assert_eq!(disks.read_console_log(server, Some(1)).await.unwrap(), "", "as upstream counts");
    assert_eq!(disks.read_console_log(server, Some(0)).await.unwrap(), "");
    assert_eq!(disks.read_console_log(server, Some(9)).await.unwrap(), "one\ntwo\n\u{fffd}hree\n");
    std::fs::write(&path, vec![b'x'; 1 << 20]).unwrap();
    assert_eq!(disks.read_console_log(server, None).await.unwrap().len(), 100 * 1024);
}

#[tokio::test]
async fn faults_are_counted() {
    let disks = Arc::clone(&SimulatedDisks::new());
    disks.fail_at(simulated::Call::Remove, 1);
    let server = ServerId::random();
    assert!(disks.remove(server, Epoch(1)).await.unwrap_err().is_transient());
    disks.remove(server, Epoch(1)).await.unwrap();
}

#[tokio::test]
async fn a_layer_lies_on_the_one_before_it_and_a_copy_holds_what_all_of_them_hold() {
    let (folder, disks) = local();
    let wish = wish(&disks, 1).await;
    let (server, epoch) = (wish.server, wish.epoch);
    let lost = disks.make_root(&RootDisk { part: Part::Root { layer: 1 }, ..wish.clone() }).await;
    assert!(lost.is_err(), "there is nothing for it to lie on");
    disks.make_root(&wish).await.unwrap();
    let larger = RootDisk { part: Part::Root { layer: 1 }, virtual_size: 2 << 20, ..wish.clone() };
    let path = disks.make_root(&larger).await.unwrap();
    assert_eq!(path, disks.make_root(&larger).await.unwrap());
    let rescue = disks.make_root(&RootDisk { part: Part::Rescue, ..wish.clone() }).await.unwrap();
    match disks.copy_at_rest(server, epoch, larger.part).await {
        Err(error) if crate::error::with_causes(&error).contains("No such file") => {
            eprintln!("SKIPPED: prlimit and qemu-img are not both installed");
        }
        copied => {
            copied.unwrap();
            let copy = disks.open_copy(server).await.unwrap();
            let pieces: Vec<Bytes> = futures::TryStreamExt::try_collect(copy.bytes).await.unwrap();
            let bytes = pieces.concat();
            assert_eq!(bytes.len() as u64, copy.size);
            assert_eq!(qcow2::virtual_size(&bytes).unwrap(), 2 << 20);
            assert_eq!(bytes[8..16], [0; 8], "nothing is behind it");
            disks.drop_copy(server, epoch).await.unwrap();
            assert!(disks.open_copy(server).await.is_err());
        }
    }
    for _ in 0..2 {
        disks.remove_part(server, epoch, larger.part).await.unwrap();
        disks.remove_part(server, epoch, Part::Rescue).await.unwrap();
        disks.drop_copy(server, epoch).await.unwrap();
    }
    assert!(!path.exists() && !rescue.exists() && folder.path().exists());
    assert!(disks.remove_part(server, Epoch(0), wish.part).await.is_err(), "an older order is refused");
}

/// The mark of swap stands at the end of the first page; ext's magic and label in the block after the first.
#[tokio::test]
async fn blank_disks_are_sparse_and_have_the_file_system_the_label_and_the_mark_that_guests_look_for() {
    let (_folder, disks) = local();
    let swap = disks.make_blank(&blank(1, Part::Swap { layer: 0 }, Content::Swap)).await.unwrap();
    let bytes = std::fs::read(&swap).unwrap();
    assert_eq!((bytes.len(), &bytes[4086..4096]), (32 << 20, &b"SWAPSPACE2"[..]));
    let ext4 = Content::FileSystem { kind: "ext4".to_owned(), label: "ephemeral1".to_owned() };
    let first = Part::Ephemeral { index: 1, layer: 0 };
    let ephemeral = disks.make_blank(&blank(1, first, ext4)).await.unwrap();
    let bytes = std::fs::read(&ephemeral).unwrap();
    assert_eq!(
        (bytes.len(), &bytes[1080..1082], &bytes[1144..1154]),
        (32 << 20, &[0x53, 0xef][..], &b"ephemeral1"[..])
    );
    for file in [&swap, &ephemeral] {
        let metadata = file.metadata().unwrap();
        assert!(metadata.blocks() * 512 < metadata.len() / 2, "{} bytes are taken", metadata.blocks() * 512);
    }
    let over = Content::Over { below: first, format: DiskFormat::Raw };
    let layer = BlankDisk { size: 64 << 20, ..blank(1, Part::Ephemeral { index: 1, layer: 1 }, over) };
    let path = disks.make_blank(&layer).await.unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(qcow2::virtual_size(&bytes).unwrap(), 64 << 20);
    assert_eq!(qcow2::backing(&bytes).unwrap(), ephemeral.to_str().unwrap());
    let folder = ephemeral.parent().unwrap();
    assert_eq!(names(folder), ["ephemeral1.0", "ephemeral1.1", "epoch", "swap.0"], "nothing half made is left");
}

#[tokio::test]
async fn a_file_system_that_cannot_be_made_leaves_no_file() {
    let (folder, disks) = local();
    let content = Content::FileSystem { kind: "nosuch; touch here".to_owned(), label: "x".to_owned() };
    let wish = blank(1, Part::Ephemeral { index: 0, layer: 0 }, content);
    disks.make_blank(&wish).await.unwrap_err();
    let server = folder.path().join("instances").join(wish.server.to_string());
    assert_eq!(names(&server), ["epoch"]);
}
