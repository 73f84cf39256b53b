//! Images in real buckets: Ceph's radosgw and Azurite, started by `harness/s3.sh` and `harness/azurite.sh`; and what is left
//! when a bucket's server is killed in the middle.
//!
//! `compat-tests/run.sh object_stores` starts both and names their folders in `GAPURA_TEST_S3` and `GAPURA_TEST_AZURITE`; what
//! isn't named is skipped, and says so. Every test has a prefix of its own in the bucket, and they run one after the other,
//! because some kill the server. Google's own server cannot be had: its buckets are radosgw's behind a door that lets in whom
//! Google would (`harness/google_front.py`), for both speak S3's XML.

use crate::cloud::{Answer, Cloud, eventually};
use crate::image::Image;
use crate::lab::{Daemon, Lab};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const RADOSGW: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/compat-tests/harness/s3.sh");

const MIB: usize = 1 << 20;

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server of buckets, and a place in its bucket that nobody else writes to.
struct Bucket {
    script: &'static str,
    scheme: &'static str,
    folder: PathBuf,
    variables: Vec<(String, String)>,
    prefix: String,
    _only: Option<MutexGuard<'static, ()>>,
}

impl Bucket {
    fn s3() -> Option<Self> {
        let mut bucket = Self::of("GAPURA_TEST_S3", RADOSGW, "s3", Some(alone()))?;
        let endpoint = bucket.variables.iter().find(|(name, _)| name == "S3_ENDPOINT").unwrap().1.clone();
        bucket.variables.push(("AWS_ENDPOINT".to_owned(), endpoint));
        bucket.variables.push(("AWS_ALLOW_HTTP".to_owned(), "true".to_owned()));
        Some(bucket)
    }

    fn google() -> Option<Self> {
        Self::google_with(Some(alone()))
    }

    /// The same for who has `s3` already: it is one server.
    fn google_beside(_s3: &Self) -> Option<Self> {
        Self::google_with(None)
    }

    fn google_with(only: Option<MutexGuard<'static, ()>>) -> Option<Self> {
        let mut bucket = Self::of("GAPURA_TEST_S3", RADOSGW, "gs", only)?;
        bucket.variables.retain(|(name, _)| name.starts_with("GOOGLE_"));
        bucket.variables.push(("GOOGLE_ALLOW_HTTP".to_owned(), "true".to_owned()));
        Some(bucket)
    }

    fn azure() -> Option<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/compat-tests/harness/azurite.sh");
        let mut bucket = Self::of("GAPURA_TEST_AZURITE", script, "az", None)?;
        bucket.variables.push(("AZURE_ALLOW_HTTP".to_owned(), "true".to_owned()));
        Some(bucket)
    }

    fn of(
        variable: &str,
        script: &'static str,
        scheme: &'static str,
        only: Option<MutexGuard<'static, ()>>,
    ) -> Option<Self> {
        let Ok(folder) = std::env::var(variable) else {
            eprintln!("SKIPPED: {variable} names no real server, so nothing is kept in its buckets");
            return None;
        };
        let prefix = uuid::Uuid::new_v4().simple().to_string();
        let mut bucket = Self { script, scheme, folder: folder.into(), variables: Vec::new(), prefix, _only: only };
        let environment = std::fs::read_to_string(bucket.control("start", &[]).trim()).unwrap();
        let pairs = environment.split_whitespace().filter_map(|word| word.split_once('='));
        bucket.variables = pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned())).collect();
        Some(bucket)
    }

    fn control(&self, verb: &str, more: &[&str]) -> String {
        let output = Command::new(self.script).arg(verb).arg(&self.folder).args(more).output().unwrap();
        assert!(output.status.success(), "{verb}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn kill(&self) {
        self.control("kill", &[]);
    }

    fn start(&self) {
        self.control("start", &[]);
    }

    /// The names of our objects, or unfinished uploads.
    fn listed(&self, what: &str) -> Vec<String> {
        let listed = self.control(what, &[]);
        listed.lines().filter_map(|key| key.strip_prefix(&format!("{}/", self.prefix))).map(str::to_owned).collect()
    }

    fn objects(&self) -> Vec<String> {
        self.listed("objects")
    }

    fn uploads(&self) -> Vec<String> {
        self.listed("uploads")
    }

    fn url(&self) -> String {
        format!("{}://images/{}", self.scheme, self.prefix)
    }

    /// Lets a cloud in.
    fn tell(&self, cloud: &mut Cloud) {
        // A test waits for what an operator would rather have tried again.
        cloud.set("IMAGES__STORE_OPTIONS__RETRY_TIMEOUT", "4");
        for (name, value) in &self.variables {
            cloud.variable(name, value);
        }
    }
}

/// A cloud whose only store is the bucket.
fn keeping_in(bucket: &Bucket) -> Cloud {
    keeping_for(bucket, "4")
}

/// The same, where nobody waits longer for a bucket that is away.
fn keeping_for(bucket: &Bucket, seconds: &str) -> Cloud {
    let mut cloud = Cloud::new();
    bucket.tell(&mut cloud);
    cloud.set("IMAGES__STORE", &bucket.url()).set("IMAGES__STORE_OPTIONS__RETRY_TIMEOUT", seconds);
    cloud.init();
    cloud.start();
    cloud
}

/// Bytes that no other test has.
fn pattern(seed: usize, size: usize) -> Vec<u8> {
    (0..size).map(|index| ((index + seed) * 31 % 251 + index / 251) as u8).collect()
}

fn comes_back_from(bucket: &Bucket) {
    let cloud = keeping_in(bucket);
    // Put at once, in parts, and in parts that end with the last.
    for size in [0, 100, 12 * MIB + 17, 15 * MIB] {
        let (image, bytes) = (Image::create(&cloud), pattern(size, size));
        image.upload(&bytes);
        image.is(&bytes);
        if size < MIB {
            continue;
        }
        // Across parts, the first byte, the last.
        for (start, end) in [(5 * MIB - 5, 5 * MIB + 5), (0, 1), (size - 1, size), (MIB, 11 * MIB)] {
            let part = image.download(&[("Range", &format!("bytes={start}-{}", end - 1))]);
            assert_eq!(part.status, 206);
            assert_eq!(part.header("content-range").unwrap(), format!("bytes {start}-{}/{size}", end - 1));
            assert!(part.body == bytes[start..end], "{start} to {end}");
        }
        assert_eq!(image.download(&[("Range", &format!("bytes={size}-"))]).status, 416);
    }
}

#[test]
fn an_image_in_a_real_s3_comes_back_whole_and_by_range_with_its_sums() {
    let Some(bucket) = Bucket::s3() else { return };
    comes_back_from(&bucket);
    assert_eq!(bucket.objects().len(), 4);
    assert_eq!(bucket.uploads(), Vec::<String>::new());
}

#[test]
fn an_image_in_a_bucket_of_googles_comes_back_whole_and_by_range_with_its_sums() {
    let Some(bucket) = Bucket::google() else { return };
    comes_back_from(&bucket);
    assert_eq!(bucket.objects().len(), 4);
    assert_eq!(bucket.uploads(), Vec::<String>::new());
}

#[test]
fn a_bucket_of_googles_takes_nothing_from_whoever_signs_with_another_key_and_clients_hear_no_more_than_that() {
    let Some(mut bucket) = Bucket::google() else { return };
    let account = bucket.variables.iter_mut().find(|(name, _)| name == "GOOGLE_SERVICE_ACCOUNT").unwrap();
    let mut key: Value = serde_json::from_slice(&std::fs::read(&account.1).unwrap()).unwrap();
    let made = Command::new("openssl").args(["genpkey", "-quiet", "-algorithm", "RSA"]).output().unwrap();
    key["private_key"] = String::from_utf8(made.stdout).unwrap().into();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("another.json");
    std::fs::write(&file, key.to_string()).unwrap();
    account.1 = file.to_str().unwrap().to_owned();
    let cloud = keeping_in(&bucket);
    let image = Image::create(&cloud);
    for size in [100, 12 * MIB] {
        let answer = image.put("file", &pattern(9, size), &[]);
        assert_eq!(answer.status, 503, "{}", answer.text());
        for secret in ["another.json", "127.0.0.1", "private", "AuthenticationRequired", &bucket.prefix] {
            assert!(!answer.text().contains(secret), "{}", answer.text());
        }
        image.is_queued_again();
    }
    assert_eq!(bucket.objects(), Vec::<String>::new());
}

#[test]
fn an_image_in_azurite_comes_back_whole_and_by_range_with_its_sums() {
    let Some(bucket) = Bucket::azure() else { return };
    comes_back_from(&bucket);
}

#[test]
fn one_cloud_keeps_an_image_in_a_folder_and_with_each_provider_and_takes_it_out_of_each() {
    let (Some(bucket), azure) = (Bucket::s3(), Bucket::azure()) else { return };
    let google = Bucket::google_beside(&bucket).unwrap();
    let mut cloud = Cloud::new();
    let folder = cloud.folder().join("folder");
    bucket.tell(&mut cloud);
    cloud.set("IMAGES__STORES__FOLDER", &format!("file://{}", folder.display()));
    cloud.set("IMAGES__STORES__BUCKET", &bucket.url()).set("IMAGES__DEFAULT_STORE", "folder");
    google.tell(&mut cloud);
    cloud.set("IMAGES__STORES__GOOGLE", &google.url());
    let mut names = vec!["folder", "bucket", "google"];
    if let Some(azure) = &azure {
        azure.tell(&mut cloud);
        cloud.set("IMAGES__STORES__AZURE", &azure.url());
        names.push("azure");
    }
    cloud.init();
    cloud.start();
    let (image, bytes) = (Image::create(&cloud), pattern(1, 7 * MIB));
    image.upload(&bytes);
    image.import(&json!({"method": {"name": "copy-image"}, "stores": names[1..]}));
    eventually("it is copied", || (image.show()["os_glance_importing_to_stores"] == "").then_some(()));
    let stores = |image: &Image| {
        let mut stores: Vec<_> = image.show()["stores"].as_str().unwrap().split(',').map(str::to_owned).collect();
        stores.sort_by_key(|store| names.iter().position(|name| name == store));
        stores
    };
    assert_eq!(stores(&image), names);
    assert_eq!((bucket.objects().len(), google.objects().len()), (1, 1));
    let verified = cloud.run(&["images", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
    let said = String::from_utf8(verified.stdout).unwrap();
    assert!(
        said.contains(&format!("read {} bytes of {} blobs; 0 are not", 7 * MIB * names.len(), names.len())),
        "{said}"
    );
    // The folder's goes first: the others serve, each alone in the end.
    let id = image.path.rsplit('/').next().unwrap().to_owned();
    while names.len() > 1 {
        let gone = names.remove(0);
        let answer = cloud.ask("DELETE", &format!("/image/v2/stores/{gone}/{id}"), &image.token, &Value::Null);
        assert_eq!(answer.status, 204, "{gone}: {}", answer.text());
        assert_eq!(image.show()["stores"], names.join(","), "without {gone}");
        image.is(&bytes);
        for (one, name) in [(&bucket, "bucket"), (&google, "google")] {
            let left = usize::from(names.contains(&name));
            eventually("its bytes are gone", || (one.objects().len() == left).then_some(()));
        }
    }
    image.delete();
    eventually("no row names bytes", || (cloud.database.count("*", "blobs") == 0).then_some(()));
    assert_eq!((bucket.objects(), google.objects()), (vec![], vec![]));
}

#[test]
fn an_object_that_vanished_from_s3_is_found_and_a_collection_takes_nothing_that_is_needed() {
    let Some(bucket) = Bucket::s3() else { return };
    let cloud = keeping_in(&bucket);
    let (kept, lost) = (Image::create(&cloud), Image::create(&cloud));
    kept.upload(b"kept in S3");
    lost.upload(b"lost from S3");
    let collected = String::from_utf8(cloud.run(&["images", "gc"]).stdout).unwrap();
    assert_eq!(collected, "deleted 0 orphans and 0 unfinished uploads, kept 2 blobs\n");
    let id = lost.path.rsplit('/').next().unwrap();
    let blob = cloud.database.text(&format!("SELECT blob_id FROM images WHERE id = '{id}'")).unwrap();
    bucket.control("remove", &[&format!("{}/{blob}", bucket.prefix)]);
    let verified = cloud.run(&["images", "verify"]);
    assert!(!verified.status.success());
    let said = String::from_utf8(verified.stdout).unwrap();
    assert!(said.contains(&format!("image {id}: {blob} in store default is not there")), "{said}");
    assert!(said.contains("1 are not what they were"), "{said}");
    kept.is(b"kept in S3");
    assert!(lost.download(&[]).status >= 400);
}

#[test]
fn a_server_boots_from_an_image_that_is_kept_in_s3() {
    let (Some(bucket), Some(daemon)) = (Bucket::s3(), Daemon::find()) else { return };
    let lab = Lab::open_with(daemon, |cloud| {
        bucket.tell(cloud);
        cloud.set("IMAGES__STORE", &bucket.url());
    });
    assert_eq!(bucket.objects().len(), 1, "the image that init registered");
    assert!(!lab.cloud.state_dir().join("images").exists());
    let server = lab.running();
    lab.is_running_once(&server);
    lab.deleted_leaves_nothing(&server);
}

/// Sends the beginning of an upload, as much as it takes until the bucket has begun to take parts. Answers how much.
fn begin_upload(image: &Image, bucket: &Bucket, bytes: &[u8]) -> (std::net::TcpStream, usize) {
    let mut stream = image.cloud.begin("PUT", &format!("{}/file", image.path), &image.headers(), bytes.len());
    let mut sent = 0;
    eventually("the bucket takes parts", || {
        if sent < 16 * MIB {
            stream.write_all(&bytes[sent..sent + 2 * MIB]).unwrap();
            sent += 2 * MIB;
        }
        (!bucket.uploads().is_empty()).then_some(())
    });
    (stream, sent)
}

#[test]
fn an_upload_whose_s3_is_killed_fails_and_leaves_a_queued_image_and_after_a_collection_no_part() {
    let Some(bucket) = Bucket::s3() else { return };
    is_nowhere_when_killed(&bucket);
}

#[test]
fn an_upload_whose_google_is_killed_fails_and_leaves_a_queued_image_and_after_a_collection_no_part() {
    let Some(bucket) = Bucket::google() else { return };
    is_nowhere_when_killed(&bucket);
}

fn is_nowhere_when_killed(bucket: &Bucket) {
    let cloud = keeping_for(bucket, "1");
    let (image, bytes) = (Image::create(&cloud), pattern(2, 22 * MIB));
    let (mut stream, sent) = begin_upload(&image, bucket, &bytes);
    bucket.kill();
    stream.write_all(&bytes[sent..]).unwrap();
    let answer = Answer::read(stream);
    assert_eq!(answer.status, 503, "{}", answer.text());
    image.is_queued_again();
    // Tidying up is tried as well, and given up.
    eventually("it is left to the sweep", || {
        cloud.log().contains("a failed upload is left for the sweep").then_some(())
    });
    bucket.start();
    let collected = cloud.run(&["images", "gc"]);
    assert!(collected.status.success(), "{collected:?}");
    assert_eq!(bucket.uploads(), Vec::<String>::new());
    assert_eq!(bucket.objects(), Vec::<String>::new());
    assert_eq!(cloud.database.count("*", "blobs"), 0);
    image.upload(&bytes);
    image.is(&bytes);
}

#[test]
fn a_download_whose_s3_is_killed_is_cut_and_never_passes_for_whole() {
    let Some(bucket) = Bucket::s3() else { return };
    is_cut_when_killed(&bucket);
}

#[test]
fn a_download_whose_google_is_killed_is_cut_and_never_passes_for_whole() {
    let Some(bucket) = Bucket::google() else { return };
    is_cut_when_killed(&bucket);
}

fn is_cut_when_killed(bucket: &Bucket) {
    let cloud = keeping_for(bucket, "1");
    // More than all sockets on the way hold.
    let (image, bytes) = (Image::create(&cloud), pattern(3, 64 * MIB));
    image.upload(&bytes);
    let mut stream = cloud.begin("GET", &format!("{}/file", image.path), &image.headers()[..1], 0);
    let mut beginning = vec![0; MIB];
    stream.read_exact(&mut beginning).unwrap();
    bucket.kill();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(beginning.len() + rest.len() < bytes.len(), "{} bytes came", rest.len());
    bucket.start();
    image.is(&bytes);
}

#[test]
fn an_s3_that_is_killed_and_back_in_a_moment_ends_neither_upload_nor_download() {
    let Some(bucket) = Bucket::s3() else { return };
    let cloud = keeping_in(&bucket);
    let (image, bytes) = (Image::create(&cloud), pattern(4, 64 * MIB));
    let (mut stream, sent) = begin_upload(&image, &bucket, &bytes);
    bucket.kill();
    let restart = || bucket.start();
    std::thread::scope(|scope| {
        scope.spawn(restart);
        stream.write_all(&bytes[sent..]).unwrap();
    });
    let answer = Answer::read(stream);
    assert_eq!(answer.status, 204, "{}", answer.text());
    image.is(&bytes);
    assert_eq!(bucket.uploads(), Vec::<String>::new());
    let mut stream = cloud.begin("GET", &format!("{}/file", image.path), &image.headers()[..1], 0);
    let mut all = vec![0; MIB];
    stream.read_exact(&mut all).unwrap();
    bucket.kill();
    bucket.start();
    stream.read_to_end(&mut all).unwrap();
    assert!(all.ends_with(&bytes));
}

#[test]
fn what_a_killed_gapura_left_half_written_in_s3_is_gone_when_it_serves_again() {
    let Some(bucket) = Bucket::s3() else { return };
    is_forgotten_after_a_crash(&bucket);
}

#[test]
fn what_a_killed_gapura_left_half_written_in_a_bucket_of_googles_is_gone_when_it_serves_again() {
    let Some(bucket) = Bucket::google() else { return };
    is_forgotten_after_a_crash(&bucket);
}

fn is_forgotten_after_a_crash(bucket: &Bucket) {
    let mut cloud = keeping_in(bucket);
    if cloud.database.url().is_some() {
        // Another process may serve from the same PostgreSQL, and the upload may be its: it is given up after a day.
        return;
    }
    let bytes = pattern(5, 22 * MIB);
    let image = Image::create(&cloud);
    let (stream, _) = begin_upload(&image, bucket, &bytes);
    let (path, token) = (image.path, image.token);
    cloud.kill();
    drop(stream);
    assert_eq!(bucket.uploads().len(), 1, "there is something to forget");
    cloud.start();
    assert_eq!(bucket.uploads(), Vec::<String>::new());
    let image = Image { cloud: &cloud, token, path };
    assert_eq!(image.show()["status"], "queued");
    image.upload(&bytes);
    image.is(&bytes);
}

/// A cloud with a folder, a bucket, and a bucket that was never made.
fn with_a_store_that_fails(bucket: &Bucket) -> Cloud {
    let mut cloud = Cloud::new();
    bucket.tell(&mut cloud);
    let folder = cloud.folder().join("folder");
    cloud.set("IMAGES__STORES__FOLDER", &format!("file://{}", folder.display()));
    cloud.set("IMAGES__STORES__BUCKET", &bucket.url());
    cloud.set("IMAGES__STORES__NOWHERE", &format!("s3://nowhere-{}", bucket.prefix));
    cloud.set("IMAGES__DEFAULT_STORE", "folder");
    cloud.init();
    cloud.start();
    cloud
}

#[test]
fn an_import_into_several_stores_of_which_one_fails_ends_as_was_asked_for() {
    let Some(bucket) = Bucket::s3() else { return };
    let cloud = with_a_store_that_fails(&bucket);
    let order = |stores: &[&str], all: bool| json!({"method": {"name": "glance-direct"}, "stores": stores, "all_stores_must_succeed": all});
    // Each counts for itself.
    let (image, bytes) = (Image::create(&cloud), pattern(6, 6 * MIB));
    assert_eq!(image.put("stage", &bytes, &[]).status, 204);
    image.import(&order(&["nowhere", "bucket"], false));
    let shown = image.becomes("active");
    assert_eq!((&shown["stores"], &shown["os_glance_failed_import"]), (&json!("bucket"), &json!("nowhere")));
    image.is(&bytes);
    assert_eq!(bucket.objects().len(), 1);
    // All or none.
    let (image, bytes) = (Image::create(&cloud), pattern(7, 6 * MIB));
    assert_eq!(image.put("stage", &bytes, &[]).status, 204);
    image.import(&order(&["bucket", "nowhere"], true));
    let failed = eventually("it has failed", || {
        let shown = image.show();
        (shown["os_glance_failed_import"].as_str().is_some_and(|failed| failed.contains("nowhere"))).then_some(shown)
    });
    assert_eq!((&failed["status"], &failed["size"]), (&json!("queued"), &Value::Null));
    assert_eq!(failed["os_glance_importing_to_stores"], "");
    eventually("the first's bytes alone are left", || (bucket.objects().len() == 1).then_some(()));
    assert_eq!(bucket.uploads(), Vec::<String>::new());
    eventually("no more rows either", || (cloud.database.count("*", "blobs") == 1).then_some(()));
    // The client stages again, and asks for what there is.
    assert_eq!(image.put("stage", &bytes, &[]).status, 204);
    image.import(&order(&["bucket", "folder"], true));
    image.becomes("active");
    image.is(&bytes);
}

#[test]
fn a_copy_to_s3_that_is_away_fails_alone_and_works_when_asked_for_again() {
    let Some(bucket) = Bucket::s3() else { return };
    let cloud = with_a_store_that_fails(&bucket);
    let (image, bytes) = (Image::create(&cloud), pattern(8, 6 * MIB));
    image.upload(&bytes);
    let copy = json!({"method": {"name": "copy-image"}, "stores": ["bucket"], "all_stores_must_succeed": false});
    bucket.kill();
    image.import(&copy);
    let failed = eventually("it has failed", || {
        let shown = image.show();
        (shown["os_glance_failed_import"] == "bucket").then_some(shown)
    });
    assert_eq!((&failed["status"], &failed["stores"]), (&json!("active"), &json!("folder")));
    bucket.start();
    image.import(&copy);
    let copied = eventually("it is copied", || {
        let shown = image.show();
        (shown["stores"] == "folder,bucket" || shown["stores"] == "bucket,folder").then_some(shown)
    });
    assert_eq!(copied["os_glance_failed_import"], "");
    image.is(&bytes);
    assert_eq!(bucket.objects().len(), 1);
}
