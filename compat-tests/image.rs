//! An image of a test's cloud, as its administrator creates, fills, imports and reads it.

use crate::cloud::{Answer, Cloud, eventually};
use md5::{Digest, Md5};
use serde_json::{Value, json};

/// A raw image, as an administrator sees it.
pub struct Image<'c> {
    pub cloud: &'c Cloud,
    pub token: String,
    pub path: String,
}

impl<'c> Image<'c> {
    pub fn create(cloud: &'c Cloud) -> Self {
        let token = cloud.admin();
        let body = json!({"name": "kept", "disk_format": "raw", "container_format": "bare"});
        let made = cloud.ask("POST", "/image/v2/images", &token, &body);
        assert_eq!(made.status, 201, "{}", made.text());
        let path = format!("/image/v2/images/{}", made.json()["id"].as_str().unwrap());
        Self { cloud, token, path }
    }

    pub fn headers(&self) -> [(&str, &str); 2] {
        [("X-Auth-Token", self.token.as_str()), ("Content-Type", "application/octet-stream")]
    }

    pub fn put(&self, what: &str, bytes: &[u8], more: &[(&str, &str)]) -> Answer {
        let headers = [&self.headers()[..], more].concat();
        self.cloud.send("PUT", &format!("{}/{what}", self.path), &headers, bytes)
    }

    pub fn upload(&self, bytes: &[u8]) {
        let answer = self.put("file", bytes, &[]);
        assert_eq!(answer.status, 204, "{}", answer.text());
    }

    pub fn download(&self, more: &[(&str, &str)]) -> Answer {
        let headers = [&self.headers()[..1], more].concat();
        self.cloud.send("GET", &format!("{}/file", self.path), &headers, b"")
    }

    pub fn show(&self) -> Value {
        self.cloud.get(&self.path, &self.token).json()
    }

    pub fn delete(&self) {
        let answer = self.cloud.ask("DELETE", &self.path, &self.token, &Value::Null);
        assert_eq!(answer.status, 204, "{}", answer.text());
    }

    /// It has no bytes, and may be given some.
    pub fn is_queued_again(&self) {
        let shown = self.becomes("queued");
        assert_eq!((&shown["size"], &shown["checksum"]), (&Value::Null, &Value::Null));
    }

    pub fn becomes(&self, status: &str) -> Value {
        eventually(&format!("the image is {status}"), || {
            let shown = self.show();
            (shown["status"] == status).then_some(shown)
        })
    }

    pub fn import(&self, body: &Value) {
        let answer = self.cloud.ask("POST", &format!("{}/import", self.path), &self.token, body);
        assert_eq!(answer.status, 202, "{}", answer.text());
    }

    /// It is these bytes, in size, sums, and every byte.
    pub fn is(&self, bytes: &[u8]) {
        let shown = self.show();
        assert_eq!(shown["status"], "active");
        assert_eq!(shown["size"], json!(bytes.len()));
        assert_eq!(shown["checksum"], hex::encode(Md5::digest(bytes)));
        assert_eq!(shown["os_hash_value"], hex::encode(sha2::Sha512::digest(bytes)));
        let whole = self.download(&[]);
        assert_eq!(whole.status, 200);
        assert!(whole.body == bytes, "{} of {} bytes came, or others", whole.body.len(), bytes.len());
    }
}
