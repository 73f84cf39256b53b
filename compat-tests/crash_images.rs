//! `kill -9` while an image's bytes come or go: what is not whole is not there, and what is not there takes no room.

use crate::cloud::{Cloud, eventually};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::Command;

#[test]
fn an_upload_that_the_process_did_not_survive_leaves_a_queued_image_and_no_bytes() {
    let mut cloud = Cloud::serving();
    if cloud.database.url().is_some() {
        // Another process may serve from the same PostgreSQL, and the upload may be its: it is given up after a day.
        return;
    }
    let token = cloud.admin();
    let body = json!({"name": "cut", "disk_format": "raw", "container_format": "bare"});
    let id = cloud.ask("POST", "/image/v2/images", &token, &body).json()["id"].as_str().unwrap().to_owned();
    let (path, data) = (format!("/image/v2/images/{id}"), format!("/image/v2/images/{id}/file"));
    let headers = [("X-Auth-Token", token.as_str()), ("Content-Type", "application/octet-stream")];
    let mut upload = cloud.begin("PUT", &data, &headers, 20 << 20);
    let store = cloud.state_dir().join("images");
    // As much as it takes until some of it is in the store.
    let piece = vec![7; 1 << 20];
    let mut sent = 0;
    eventually("bytes reach the store", || {
        if sent < 16 {
            upload.write_all(&piece).unwrap();
            sent += 1;
        }
        (bytes_in(&store) > 0).then_some(())
    });
    cloud.kill();
    drop(upload);
    assert!(bytes_in(&store) > 0, "there is something to forget");
    cloud.start();
    let shown = cloud.get(&path, &token).json();
    assert_eq!((&shown["status"], &shown["size"], &shown["checksum"]), (&json!("queued"), &Value::Null, &Value::Null));
    assert_eq!(bytes_in(&store), 0, "{store:?}");

    let again = cloud.send("PUT", &data, &headers, b"whole");
    assert_eq!(again.status, 204, "{}", again.text());
    let shown = cloud.get(&path, &token).json();
    assert_eq!((&shown["status"], &shown["size"]), (&json!("active"), &json!(5)));
    let mut whole = cloud.get(&data, &token);
    assert_eq!(std::mem::take(&mut whole.body), b"whole");

    // What was acknowledged survives the next kill.
    cloud.kill();
    cloud.start();
    assert_eq!(cloud.get(&path, &token).json()["status"], "active");
    assert_eq!(cloud.get(&data, &token).body, b"whole");
}

#[test]
fn a_deletion_killed_between_an_image_s_row_and_its_bytes_ends_with_the_bytes_gone() {
    // Killed when the row is gone, and when the bytes are and nobody noted it.
    for point in ["delete_image:0", "delete_image:1"] {
        let mut cloud = Cloud::serving();
        let token = cloud.admin();
        let body = json!({"name": "doomed", "disk_format": "raw", "container_format": "bare"});
        let id = cloud.ask("POST", "/image/v2/images", &token, &body).json()["id"].as_str().unwrap().to_owned();
        let path = format!("/image/v2/images/{id}");
        let headers = [("X-Auth-Token", token.as_str()), ("Content-Type", "application/octet-stream")];
        assert_eq!(cloud.send("PUT", &format!("{path}/file"), &headers, b"bytes").status, 204);
        let store = cloud.state_dir().join("images");
        assert_eq!(bytes_in(&store), 5);
        cloud.kill();
        cloud.variable("CRASH_POINT", point);
        cloud.start();
        // Nobody answers: the connection is held until the process is killed.
        let waiting = cloud.begin("DELETE", &path, &headers[..1], 0);
        eventually("it stands still", || cloud.log().contains("standing still at the crash point").then_some(()));
        assert_eq!(cloud.get(&path, &token).status, 404, "{point}: the row is gone");
        // At the first point the bytes may still be there; or the sweep that every start makes has come upon them already.
        if point == "delete_image:1" {
            assert_eq!(bytes_in(&store), 0, "{point}");
        }
        cloud.kill();
        drop(waiting);
        cloud.unset("CRASH_POINT");
        cloud.start();
        let is_over = || bytes_in(&store) == 0 && cloud.database.count("*", "blobs") == 0;
        eventually("the bytes are gone, and their row", || is_over().then_some(()));
        assert_eq!(cloud.get(&path, &token).status, 404, "{point}");
    }
}

#[test]
fn an_upload_of_bytes_that_are_there_already_leaves_them_once_wherever_it_is_killed() {
    // Killed when the bytes are whole and no row says so; when it does and the client has no answer; and when the
    // duplicate is deleted and nobody noted it. Whether it became active by then:
    for (point, is_active) in [("store_image:2", false), ("store_image:3", true), ("delete_image:0", true)] {
        let mut cloud = Cloud::new();
        if cloud.database.url().is_some() && !is_active {
            // An upload may be another process's there, and is given up after a day.
            continue;
        }
        cloud.init();
        cloud.start();
        let token = cloud.admin();
        let headers = [("X-Auth-Token", token.as_str()), ("Content-Type", "application/octet-stream")];
        let make = |cloud: &Cloud| {
            let body = json!({"name": "same", "disk_format": "raw", "container_format": "bare"});
            let id = cloud.ask("POST", "/image/v2/images", &token, &body).json()["id"].as_str().unwrap().to_owned();
            format!("/image/v2/images/{id}")
        };
        let (one, two) = (make(&cloud), make(&cloud));
        let store = cloud.state_dir().join("images");
        cloud.kill();
        // The first upload passes the two points of its end too.
        cloud.variable("CRASH_POINT", point);
        cloud.start();
        assert_eq!(cloud.send("PUT", &format!("{one}/file"), &headers, b"bytes").status, 204);
        let mut waiting = cloud.begin("PUT", &format!("{two}/file"), &headers, 5);
        waiting.write_all(b"bytes").unwrap();
        eventually("it stands still", || cloud.log().contains("standing still at the crash point").then_some(()));
        let now = cloud.get(&two, &token).json();
        assert_eq!(now["status"], if is_active { "active" } else { "saving" }, "{point}");
        assert_eq!(bytes_in(&store), if point.starts_with("store") { 10 } else { 5 }, "{point}");
        cloud.kill();
        drop(waiting);
        cloud.unset("CRASH_POINT");
        cloud.start();
        let is_tidy = || bytes_in(&store) == 5 && cloud.database.count("*", "blobs") == 1;
        eventually("the bytes are there once", || is_tidy().then_some(()));
        assert_eq!(cloud.get(&format!("{one}/file"), &token).body, b"bytes", "{point}");
        if !is_active {
            assert_eq!(cloud.get(&two, &token).json()["status"], "queued");
            assert_eq!(cloud.send("PUT", &format!("{two}/file"), &headers, b"bytes").status, 204);
        }
        assert_eq!(cloud.get(&format!("{two}/file"), &token).body, b"bytes", "{point}");
        eventually("the bytes are there once", || is_tidy().then_some(()));
        let verified = cloud.run(&["images", "verify"]);
        let said = String::from_utf8_lossy(&verified.stdout).into_owned();
        assert!(verified.status.success() && said.contains("read 5 bytes of 1 blobs; 0 are not"), "{said}");
        // The last reference takes the bytes along, and not the first.
        assert_eq!(cloud.ask("DELETE", &one, &token, &Value::Null).status, 204);
        assert_eq!(cloud.get(&format!("{two}/file"), &token).body, b"bytes", "{point}");
        assert_eq!(cloud.ask("DELETE", &two, &token, &Value::Null).status, 204);
        eventually("nothing is left", || {
            (bytes_in(&store) == 0 && cloud.database.count("*", "blobs") == 0).then_some(())
        });
    }
}

/// What became of an import.
struct Imported {
    cloud: Cloud,
    token: String,
    path: String,
    image: Value,
}

/// Stages an image's bytes and imports them into the stores "fast" and "slow", below the cloud's folder; kills the process at
/// a step, starts it again and waits for the image.
fn imported_through_a_kill(step: usize, prepare: impl Fn(&mut Cloud), image: &Value, bytes: &[u8]) -> Imported {
    let mut cloud = Cloud::new();
    let folder = cloud.folder().to_owned();
    for store in ["fast", "slow"] {
        cloud
            .set(&format!("IMAGES__STORES__{}", store.to_uppercase()), &format!("file://{}/{store}", folder.display()));
    }
    cloud.set("IMAGES__DEFAULT_STORE", "fast");
    prepare(&mut cloud);
    cloud.init();
    cloud.variable("CRASH_POINT", &format!("import_image:{step}"));
    cloud.start();
    let token = cloud.admin();
    let id = cloud.ask("POST", "/image/v2/images", &token, image).json()["id"].as_str().unwrap().to_owned();
    let path = format!("/image/v2/images/{id}");
    let headers = [("X-Auth-Token", token.as_str()), ("Content-Type", "application/octet-stream")];
    assert_eq!(cloud.send("PUT", &format!("{path}/stage"), &headers, bytes).status, 204);
    let body = json!({"method": {"name": "glance-direct"}, "all_stores": true});
    let imported = cloud.ask("POST", &format!("{path}/import"), &token, &body);
    assert_eq!(imported.status, 202, "{}", imported.text());
    eventually("it stands still", || cloud.log().contains("standing still at the crash point").then_some(()));
    cloud.kill();
    cloud.unset("CRASH_POINT");
    cloud.start();
    let image = eventually("the import ends", || {
        let image = cloud.get(&path, &token).json();
        let tasks = || cloud.get(&format!("{path}/tasks"), &token).text();
        assert_ne!(image["status"], "queued", "step {step}: {}", tasks());
        (image["status"] == "active").then_some(image)
    });
    Imported { cloud, token, path, image }
}

#[test]
fn an_import_killed_at_any_step_ends_with_the_image_in_every_store_and_no_byte_more() {
    let raw = json!({"name": "split", "disk_format": "raw", "container_format": "bare"});
    // Begin, inspect, a copy to each of two stores, the look for a third, and the end.
    for step in 0..6 {
        let Imported { cloud, token, path, image } = imported_through_a_kill(step, |_| (), &raw, b"bytes");
        assert_eq!(image["stores"], "fast,slow", "step {step}");
        assert_eq!(cloud.get(&format!("{path}/file"), &token).body, b"bytes");
        let bytes = ["fast", "slow"].map(|store| bytes_in(&cloud.folder().join(store)));
        assert_eq!(bytes, [5, 5], "step {step}");
    }
}

#[test]
fn an_import_with_plugins_killed_at_any_step_ends_with_what_they_make_of_the_image_and_no_byte_more() {
    let disk: Vec<u8> = (0..1 << 20_u32)
        // Half of it can't be packed, else it would pass for a bomb.
        .map(|at: u32| if at < 1 << 19 { 0 } else { (at.wrapping_mul(2_654_435_761) >> 24) as u8 })
        .collect();
    let Some(packed) = packed_qcow2(&disk) else { return };
    let with_plugins = |cloud: &mut Cloud| {
        let work = cloud.folder().join("work").display().to_string();
        let plugins = r#"["image_decompression", "image_conversion", "inject_image_metadata"]"#;
        cloud.set("IMAGES__WORK_DIR", &work).set("IMAGES__IMAGE_IMPORT_PLUGINS", plugins);
        cloud.set("IMAGES__IMAGE_CONVERSION__OUTPUT_FORMAT", "raw");
        cloud.set("IMAGES__INJECT_METADATA_PROPERTIES__IGNORE_USER_ROLES", "[]");
        cloud.set("IMAGES__INJECT_METADATA_PROPERTIES__INJECT__CAME", "by import");
    };
    let qcow2 = json!({"name": "packed", "disk_format": "qcow2", "container_format": "bare"});
    // Begin, three plugins, inspect, a copy to each of two stores, the look for a third, and the end.
    for step in 0..9 {
        let Imported { cloud, token, path, image } = imported_through_a_kill(step, with_plugins, &qcow2, &packed);
        assert_eq!((&image["disk_format"], &image["size"]), (&json!("raw"), &json!(disk.len())), "step {step}");
        assert_eq!((&image["stores"], &image["came"]), (&json!("fast,slow"), &json!("by import")), "step {step}");
        assert!(cloud.get(&format!("{path}/file"), &token).body == disk, "step {step}");
        let folder = cloud.folder();
        let kept = [disk.len() as u64; 2];
        eventually("what plugins began with is gone", || {
            (["fast", "slow"].map(|store| bytes_in(&folder.join(store))) == kept).then_some(())
        });
        assert_eq!(bytes_in(&folder.join("work")), 0, "step {step}: nothing is left where images are converted");
    }
}

/// A disk as qcow2, in gzip; `None`, said loudly, without the tools.
fn packed_qcow2(disk: &[u8]) -> Option<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("raw"), disk).unwrap();
    for command in [&["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "raw", "made"][..], &["gzip", "made"]] {
        let Ok(output) = Command::new(command[0]).args(&command[1..]).current_dir(folder.path()).output() else {
            eprintln!("SKIPPED: there is no {}, so no import with plugins is killed", command[0]);
            return None;
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    Some(std::fs::read(folder.path().join("made.gz")).unwrap())
}

pub fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(
            |entry| {
                if entry.path().is_dir() { bytes_in(&entry.path()) } else { entry.metadata().map_or(0, |m| m.len()) }
            },
        )
        .sum()
}
