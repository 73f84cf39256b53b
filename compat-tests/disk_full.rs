//! A disk that fills up while bytes come: a small file system of its own, in memory, is the store and the staging area.

use crate::cloud::{Cloud, eventually, is_root};
use crate::image::Image;
use serde_json::json;
use std::path::PathBuf;
use std::process::Command;

const MIB: usize = 1 << 20;

/// A file system of twelve mebibytes, unmounted when the test is over.
struct Small(PathBuf);

impl Small {
    fn mount(folder: PathBuf) -> Option<Self> {
        if !is_root() {
            eprintln!("SKIPPED: only root can mount a file system that is soon full");
            return None;
        }
        std::fs::create_dir_all(&folder).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=12m", "small"]).arg(&folder).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder)),
            other => {
                eprintln!("SKIPPED: no file system can be mounted here: {other:?}");
                None
            }
        }
    }

    /// The bytes of all files.
    fn bytes(&self) -> u64 {
        std::fs::read_dir(&self.0).unwrap().flatten().map(|entry| entry.metadata().map_or(0, |about| about.len())).sum()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_disk_that_fills_up_refuses_that_upload_or_staging_alone_and_has_its_room_back() {
    let mut cloud = Cloud::new();
    let Some(small) = Small::mount(cloud.folder().join("small")) else { return };
    cloud.set("IMAGES__STORE", &format!("file://{}", small.0.display()));
    cloud.init();
    cloud.start();
    let (elsewhere, precious) = (Image::create(&cloud), vec![1; 3 * MIB]);
    elsewhere.upload(&precious);
    let before = small.bytes();
    for what in ["file", "stage"] {
        let image = Image::create(&cloud);
        // Full with its last bytes, and long before.
        for size in [10 * MIB, 16 * MIB] {
            let refused = image.put(what, &vec![2; size], &[]);
            assert_eq!(refused.status, 413, "{what}, {size}: {}", refused.text());
            assert!(refused.text().contains("Image storage media is full"), "{}", refused.text());
            image.is_queued_again();
            eventually("nothing is left of it", || (small.bytes() == before).then_some(()));
        }
        elsewhere.is(&precious);
        // What fits, fits.
        let fitting = vec![3; 6 * MIB];
        assert_eq!(image.put(what, &fitting, &[]).status, 204);
        if what == "stage" {
            image.import(&json!({"method": {"name": "glance-direct"}}));
            image.becomes("active");
        }
        image.is(&fitting);
        image.delete();
        eventually("its room is free", || (small.bytes() == before).then_some(()));
    }
    assert!(cloud.run(&["images", "verify"]).status.success());
}

#[test]
fn a_conversion_that_finds_no_room_to_work_in_fails_its_import_and_leaves_nothing_behind() {
    let mut cloud = Cloud::new();
    let Some(small) = Small::mount(cloud.folder().join("small")) else { return };
    let work = small.0.join("work");
    cloud
        .set("IMAGES__WORK_DIR", work.to_str().unwrap())
        .set("IMAGES__IMAGE_IMPORT_PLUGINS", r#"["image_conversion"]"#);
    cloud.set("IMAGES__IMAGE_CONVERSION__OUTPUT_FORMAT", "qcow2");
    cloud.init();
    cloud.start();
    let image = Image::create(&cloud);
    // A raw image is to become a qcow2 one, and is brought to where that is done.
    assert_eq!(image.put("stage", &vec![5; 16 * MIB], &[]).status, 204);
    image.import(&json!({"method": {"name": "glance-direct"}}));
    image.is_queued_again();
    let task = eventually("the task is over", || {
        let tasks = cloud.get(&format!("{}/tasks", image.path), &image.token).json();
        (tasks["tasks"][0]["status"] == "failure").then(|| tasks["tasks"][0].clone())
    });
    assert_eq!(task["message"], "There is no room to convert the image");
    // Each process has a folder of its own there.
    let folders = std::fs::read_dir(&work).unwrap().flatten();
    assert_eq!(folders.flat_map(|folder| std::fs::read_dir(folder.path()).unwrap()).count(), 0);
    eventually("its bytes are gone", || (cloud.database.count("*", "blobs") == 0).then_some(()));
}

#[test]
fn a_copy_to_a_store_whose_disk_fills_up_fails_alone_and_leaves_nothing_there() {
    let mut cloud = Cloud::new();
    let Some(small) = Small::mount(cloud.folder().join("small")) else { return };
    let large = cloud.folder().join("large");
    cloud.set("IMAGES__STORES__LARGE", &format!("file://{}", large.display()));
    cloud.set("IMAGES__STORES__SMALL", &format!("file://{}", small.0.display()));
    cloud.set("IMAGES__DEFAULT_STORE", "large");
    cloud.init();
    cloud.start();
    let (image, bytes) = (Image::create(&cloud), vec![4; 16 * MIB]);
    image.upload(&bytes);
    image.import(&json!({"method": {"name": "copy-image"}, "stores": ["small"]}));
    let failed = eventually("it has failed", || {
        let shown = image.show();
        (shown["os_glance_failed_import"] == "small").then_some(shown)
    });
    assert_eq!((&failed["status"], &failed["stores"]), (&json!("active"), &json!("large")));
    image.is(&bytes);
    eventually("nothing is left of it", || (small.bytes() == 0).then_some(()));
    eventually("no row either", || (cloud.database.count("*", "blobs") == 1).then_some(()));
}
