//! Two regions, each a Gapura of its own: an image goes from one to the other, and what fails leaves nothing behind.

use crate::cloud::{Cloud, eventually};
use crate::crash_images::bytes_in;
use serde_json::{Value, json};
use std::path::Path;

/// Two processes that know the same users and trust the same keys, as regions with replicated identity do; each has its own
/// images, and the second finds the first in its catalogue as `RegionOne`.
fn two_regions() -> Option<(Cloud, Cloud)> {
    let mut one = Cloud::new();
    if one.database.url().is_some() {
        eprintln!("SKIPPED: only SQLite's database can be copied for a second region");
        return None;
    }
    one.init();
    let mut two = Cloud::new();
    copy(&one.state_dir(), &two.state_dir());
    one.start();
    two.set("REGION", "RegionTwo");
    two.set("IMAGES__IMPORT_METHODS", r#"["glance-direct", "glance-download"]"#);
    two.start();
    let token = two.admin();
    let services = two.get("/v3/services?type=image", &token).json();
    // What the copied catalogue says of the second region itself is not what the first is called.
    let service = &services["services"][0]["id"];
    let own =
        two.get(&format!("/v3/endpoints?interface=internal&service_id={}", service.as_str().unwrap()), &token).json();
    for endpoint in own["endpoints"].as_array().unwrap() {
        let gone =
            two.ask("DELETE", &format!("/v3/endpoints/{}", endpoint["id"].as_str().unwrap()), &token, &json!({}));
        assert_eq!(gone.status, 204, "{}", gone.text());
    }
    let url = format!("http://{}/image", one.address);
    let endpoint = json!({"service_id": service, "region_id": "RegionOne", "interface": "internal", "url": url});
    let made = two.ask("POST", "/v3/endpoints", &token, &json!({"endpoint": endpoint}));
    assert_eq!(made.status, 201, "{}", made.text());
    Some((one, two))
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &name);
        } else {
            std::fs::copy(entry.path(), name).unwrap();
        }
    }
}

#[test]
fn a_download_from_another_region_killed_at_any_step_ends_with_the_image_and_no_byte_more() {
    let Some((one, mut two)) = two_regions() else { return };
    let token = one.admin();
    let bytes: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
    let source = make(&one, &token, json!({}));
    let headers = [("X-Auth-Token", token.as_str()), ("Content-Type", "application/octet-stream")];
    assert_eq!(one.send("PUT", &format!("/image/v2/images/{source}/file"), &headers, &bytes).status, 204);
    let store = two.state_dir().join("images");
    let stands_still = |two: &Cloud| two.log().matches("standing still at the crash point").count();
    // Begin, describe, fetch, inspect, the copy to the one store, the look for another, and the end.
    for step in 0..7 {
        two.kill();
        two.variable("CRASH_POINT", &format!("import_image:{step}"));
        two.start();
        let path = format!("/image/v2/images/{}", make(&two, &token, json!({})));
        let method = json!({"name": "glance-download", "glance_image_id": source, "glance_region": "RegionOne",
                            "glance_service_interface": "internal"});
        let imported = two.ask("POST", &format!("{path}/import"), &token, &json!({ "method": method }));
        assert_eq!(imported.status, 202, "{}", imported.text());
        eventually("it stands still", || (stands_still(&two) == step + 1).then_some(()));
        two.kill();
        two.unset("CRASH_POINT");
        two.start();
        eventually("the import ends", || {
            let tasks = two.get(&format!("{path}/tasks"), &token).json();
            assert!(tasks["tasks"][0]["status"] != "failure", "step {step}: {tasks}");
            (tasks["tasks"][0]["status"] == "success").then_some(())
        });
        assert_eq!(two.get(&path, &token).json()["status"], "active", "step {step}");
        assert!(two.get(&format!("{path}/file"), &token).body == bytes, "step {step}");
        eventually("the bytes are there once", || (bytes_in(&store) == bytes.len() as u64).then_some(()));
        assert_eq!(two.ask("DELETE", &path, &token, &Value::Null).status, 204);
        eventually("and then not at all", || (bytes_in(&store) == 0).then_some(()));
    }
    assert!(!two.log().contains(&token), "the token is in no log");
}

fn make(cloud: &Cloud, token: &str, more: Value) -> String {
    let mut body = json!({"name": "shared", "disk_format": "raw", "container_format": "bare"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    cloud.ask("POST", "/image/v2/images", token, &body).json()["id"].as_str().unwrap().to_owned()
}

#[test]
fn an_image_goes_from_one_region_to_another_and_is_the_same_to_the_last_bit() {
    let Some((one, two)) = two_regions() else { return };
    // A token of the first region: the second knows it by its key.
    let token = one.admin();
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|number| (number % 251) as u8).collect();
    let source = make(&one, &token, json!({"hw_machine_type": "q35", "own": "stays"}));
    let headers = [("X-Auth-Token", token.as_str()), ("Content-Type", "application/octet-stream")];
    assert_eq!(one.send("PUT", &format!("/image/v2/images/{source}/file"), &headers, &bytes).status, 204);

    let target = make(&two, &token, json!({"disk_format": "qcow2"}));
    let from = |image: &str| {
        let (name, region, interface) = ("glance-download", "regionone", "internal");
        json!({"method": {"name": name, "glance_image_id": image, "glance_region": region, "glance_service_interface": interface}})
    };
    let path = format!("/image/v2/images/{target}");
    let imported = two.ask("POST", &format!("{path}/import"), &token, &from(&source));
    assert_eq!(imported.status, 202, "{}", imported.text());
    let image = eventually("it is imported", || {
        let image = two.get(&path, &token).json();
        let ended = two.get(&format!("{path}/tasks"), &token).json();
        assert!(ended["tasks"][0]["status"] != "failure", "{ended}");
        (image["status"] == "active").then_some(image)
    });
    let original = one.get(&format!("/image/v2/images/{source}"), &token).json();
    for same in ["size", "checksum", "os_hash_value", "disk_format", "hw_machine_type"] {
        assert_eq!(image[same], original[same], "{same}");
    }
    assert_eq!(image.get("own"), None);
    assert_eq!(two.get(&format!("{path}/file"), &token).body, bytes);

    // An image that isn't there leaves one that waits.
    let other = make(&two, &token, json!({}));
    let path = format!("/image/v2/images/{other}");
    let missing = from("36d4b546-64a2-4bb9-bdd0-ba676aa48f2c");
    assert_eq!(two.ask("POST", &format!("{path}/import"), &token, &missing).status, 202);
    eventually("its task fails", || {
        let tasks = two.get(&format!("{path}/tasks"), &token).json();
        (tasks["tasks"][0]["status"] == "failure").then_some(())
    });
    assert_eq!(two.get(&path, &token).json()["status"], "queued");
    assert!(!two.log().contains(&token), "the token is in no log");
}
