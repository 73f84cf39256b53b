//! Fetching over TLS, by the real program from a real TLS server: a certificate that this machine trusts opens the way, any
//! other doesn't.

use crate::cloud::{Cloud, eventually};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

fn openssl(folder: &Path, arguments: &[&str]) {
    let made = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

/// An authority, and a certificate of its for 127.0.0.1; `None`, said loudly, without the tool.
fn authority(folder: &Path) -> Option<PathBuf> {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("SKIPPED: no openssl, so nothing is fetched over TLS");
        return None;
    }
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let root =
        [&["req", "-x509", "-days", "1", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem"][..], &key];
    openssl(folder, &root.concat());
    let request = [&["req", "-subj", "/CN=server", "-keyout", "key.pem", "-out", "request.pem"][..], &key];
    openssl(folder, &request.concat());
    std::fs::write(folder.join("extensions"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").unwrap();
    let sign =
        ["x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1"];
    openssl(folder, &[&sign[..], &["-extfile", "extensions", "-out", "cert.pem"]].concat());
    Some(folder.join("ca.pem"))
}

/// The image after an import of what a URI gives, and its task.
fn fetched(cloud: &Cloud, uri: &str) -> (Value, Value) {
    let token = cloud.admin();
    let body = json!({"name": "fetched", "disk_format": "raw", "container_format": "bare"});
    let id = cloud.ask("POST", "/image/v2/images", &token, &body).json()["id"].as_str().unwrap().to_owned();
    let path = format!("/image/v2/images/{id}");
    let body = json!({"method": {"name": "web-download", "uri": uri}});
    let answer = cloud.ask("POST", &format!("{path}/import"), &token, &body);
    assert_eq!(answer.status, 202, "{}", answer.text());
    let task = eventually("the import ends", || {
        let task = cloud.get(&format!("{path}/tasks"), &token).json()["tasks"][0].clone();
        (task["status"] == "success" || task["status"] == "failure").then_some(task)
    });
    (cloud.get(&path, &token).json(), task)
}

#[test]
fn an_image_is_fetched_over_tls_from_whom_this_machine_trusts_and_from_nobody_else() {
    let mut server = Cloud::new();
    let folder = server.folder().to_owned();
    let Some(authority) = authority(&folder) else { return };
    server.set("TLS__CERTIFICATE", folder.join("cert.pem").to_str().unwrap());
    server.set("TLS__KEY", folder.join("key.pem").to_str().unwrap());
    server.init();
    server.start();
    let uri = format!("https://{}/healthcheck", server.address);
    for (is_trusted, status) in [(true, "active"), (false, "queued")] {
        let mut cloud = Cloud::new();
        cloud.set("IMAGES__IMPORT_METHODS", r#"["web-download"]"#);
        cloud.set("IMAGES__WEB_DOWNLOAD__ALLOWED_PORTS", &format!("[{}]", server.address.port()));
        cloud.set("IMAGES__WEB_DOWNLOAD__PRIVATE_RANGES", r#"["127.0.0.1/32"]"#);
        if is_trusted {
            cloud.variable("SSL_CERT_FILE", authority.to_str().unwrap());
        }
        cloud.init();
        cloud.start();
        let (image, task) = fetched(&cloud, &uri);
        assert_eq!(image["status"], status, "trusted: {is_trusted}: {task}");
        assert_eq!(image["size"].is_null(), !is_trusted);
        if !is_trusted {
            assert_eq!(task["message"], "The server of the URI is not available");
        }
    }
}
