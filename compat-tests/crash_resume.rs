//! An upload in parts, with curl: `kill -9` in the middle and at its end, and it goes on where it stopped.

use crate::cloud::{Cloud, eventually};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const SIZE: usize = 40 << 20;

/// What curl answers: the status and the headers.
struct Answer {
    status: u16,
    head: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next_back()
    }

    fn offset(&self) -> usize {
        self.header("upload-offset").unwrap_or_else(|| panic!("no offset: {}", self.head)).parse().unwrap()
    }
}

/// curl as a person would call it; `None` where there is none.
fn curl(cloud: &Cloud, token: &str, path: &str, arguments: &[&str]) -> Option<Answer> {
    let url = format!("http://{}{path}", cloud.address);
    let auth = format!("X-Auth-Token: {token}");
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--dump-header", "-", "--output", "/dev/null", "--max-time", "60"])
        .args(["--header", &auth])
        .args(arguments)
        .arg(url)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let head = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = head.lines().rfind(|line| line.starts_with("HTTP/")).unwrap_or_default();
    let status = last.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    Some(Answer { status, head })
}

fn image(cloud: &Cloud, token: &str) -> String {
    let body = json!({"name": "parts", "disk_format": "raw", "container_format": "bare"});
    let id = cloud.ask("POST", "/image/v2/images", token, &body).json()["id"].as_str().unwrap().to_owned();
    format!("/image/v2/images/{id}")
}

/// Bytes of which no two pieces are the same.
fn bytes() -> Vec<u8> {
    (0..SIZE as u32 / 4).flat_map(|number| number.to_le_bytes()).collect()
}

#[test]
fn an_upload_killed_in_the_middle_goes_on_with_curl_where_it_stopped() {
    let mut cloud = Cloud::serving();
    let token = cloud.admin();
    let (image, whole) = (image(&cloud, &token), bytes());
    let upload = format!("{image}/file/upload");
    let file = cloud.folder().join("whole");
    std::fs::write(&file, &whole).unwrap();
    let length = format!("Upload-Length: {SIZE}");
    let begin =
        ["--request", "PUT", "--header", "Content-Type: application/octet-stream", "--header", "Upload-Complete: ?0"];
    let Some(begun) = curl(&cloud, &token, &format!("{image}/file"), &[&begin[..], &["--header", &length]].concat())
    else {
        eprintln!("SKIPPED, because there is no curl");
        return;
    };
    assert_eq!((begun.status, begun.offset()), (201, 0), "{}", begun.head);
    assert_eq!(begun.header("location").unwrap(), upload.trim_start_matches("/image"));

    // More than comes between two syncs, and then the power goes.
    let headers = [
        ("X-Auth-Token", token.as_str()),
        ("Content-Type", "application/partial-upload"),
        ("Upload-Complete", "?1"),
        ("Upload-Offset", "0"),
    ];
    let mut sending = cloud.begin("PATCH", &upload, &headers, SIZE);
    sending.write_all(&whole[..36 << 20]).unwrap();
    let parts = cloud.state_dir().join("uploads");
    eventually("some of it is safe", || {
        (cloud.database.count("*", "image_upload_parts") > 0 && bytes_in(&parts) >= 32 << 20).then_some(())
    });
    cloud.kill();
    drop(sending);
    cloud.start();

    assert_eq!(cloud.get(&image, &token).json()["status"], "queued");
    let asked = curl(&cloud, &token, &upload, &["--head"]).unwrap();
    assert_eq!((asked.status, asked.header("upload-complete")), (204, Some("?0")), "{}", asked.head);
    let offset = asked.offset();
    assert!((16 << 20..=36 << 20).contains(&offset), "{offset}");
    let rest = cloud.folder().join("rest");
    std::fs::write(&rest, &whole[offset..]).unwrap();
    let (data, start) = (format!("@{}", rest.display()), format!("Upload-Offset: {offset}"));
    let patch = ["--request", "PATCH", "--header", "Content-Type: application/partial-upload", "--data-binary", &data];
    let wrong = [&patch[..], &["--header", "Upload-Complete: ?1", "--header", "Upload-Offset: 1"]].concat();
    let refused = curl(&cloud, &token, &upload, &wrong).unwrap();
    assert_eq!((refused.status, refused.offset()), (409, offset), "{}", refused.head);
    let right = [&patch[..], &["--header", "Upload-Complete: ?1", "--header", &start]].concat();
    let last = curl(&cloud, &token, &upload, &right).unwrap();
    assert_eq!((last.status, last.header("upload-complete")), (204, Some("?1")), "{}", last.head);
    assert_eq!(cloud.get(&image, &token).json()["status"], "active");
    assert!(cloud.get(&format!("{image}/file"), &token).body == whole, "the same to the last byte");
    eventually("the parts are gone", || (bytes_in(&parts) == 0).then_some(()));
}

#[test]
fn an_upload_killed_at_its_end_is_finished_by_asking_again() {
    // Killed when the bytes are in the store and no row says so, and when it does and the client has no answer.
    for (point, is_active) in [("store_image:0", false), ("store_image:1", true)] {
        let mut cloud = Cloud::new();
        if cloud.database.url().is_some() && !is_active {
            // The image is the other process's to fill there, for a day.
            continue;
        }
        cloud.variable("CRASH_POINT", point);
        cloud.init();
        cloud.start();
        let token = cloud.admin();
        let image = image(&cloud, &token);
        let upload = format!("{image}/file/upload");
        let octets = [("X-Auth-Token", token.as_str()), ("Content-Type", "application/octet-stream")];
        let begun =
            cloud.send("PUT", &format!("{image}/file"), &[&octets[..], &[("Upload-Complete", "?0")]].concat(), b"one ");
        assert_eq!(begun.status, 201, "{}", begun.text());
        let at = |offset| {
            [
                ("X-Auth-Token", token.as_str()),
                ("Content-Type", "application/partial-upload"),
                ("Upload-Complete", "?1"),
                ("Upload-Offset", offset),
            ]
        };
        let mut waiting = cloud.begin("PATCH", &upload, &at("4"), 3);
        waiting.write_all(b"two").unwrap();
        eventually("it stands still", || cloud.log().contains("standing still at the crash point").then_some(()));
        cloud.kill();
        drop(waiting);
        cloud.unset("CRASH_POINT");
        cloud.start();
        let state = cloud.send("HEAD", &upload, &octets[..1], b"");
        assert_eq!((state.status, state.header("upload-offset")), (204, Some("7")), "{point}");
        assert_eq!(state.header("upload-complete"), Some(if is_active { "?1" } else { "?0" }), "{point}");
        if !is_active {
            assert_eq!(cloud.send("PATCH", &upload, &at("7"), b"").status, 204);
        }
        let shown = cloud.get(&image, &token).json();
        assert_eq!((&shown["status"], &shown["size"]), (&json!("active"), &json!(7)));
        assert_ne!(shown["checksum"], Value::Null);
        assert_eq!(cloud.get(&format!("{image}/file"), &token).body, b"one two");
        eventually("it is there once, and no part of it", || {
            let (store, parts) = (cloud.state_dir().join("images"), cloud.state_dir().join("uploads"));
            (bytes_in(&store) == 7 && bytes_in(&parts) == 0).then_some(())
        });
    }
}

fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries.flatten().map(|entry| entry.metadata().map_or(0, |found| found.len())).sum()
}
