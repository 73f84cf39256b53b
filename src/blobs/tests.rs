//! The store's promises, on a folder and in memory.

use super::*;
use crate::clock::Timestamp;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use md5::{Digest, Md5};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// Later than anything written by a test.
const MUCH_LATER: Timestamp = Timestamp(i64::MAX / 2);

fn anything(_: &Stored) -> Result<()> {
    Ok(())
}

struct Folder {
    folder: tempfile::TempDir,
    blobs: Blobs,
}

fn folder() -> Folder {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(&format!("file://{}", folder.path().display()), &[]).unwrap();
    Folder { folder, blobs }
}

#[test]
fn a_folder_waits_for_the_disk_unless_told_otherwise_in_plain_words() {
    let folder = tempfile::tempdir().unwrap();
    let open = |value: Option<&str>| {
        let options: Vec<_> = value.map(|value| ("fsync".to_owned(), value.to_owned())).into_iter().collect();
        Blobs::open(&format!("file://{}", folder.path().display()), &options)
    };
    assert!(open(None).unwrap().syncs && open(Some("true")).unwrap().syncs);
    assert!(!open(Some("false")).unwrap().syncs);
    assert!(open(Some("no")).is_err());
}

/// A store of each kind. Buckets are tried when `TEST_S3_URL`, `TEST_GOOGLE_URL` and `TEST_AZURE_URL` name them
/// (`s3://bucket/prefix`, with the provider's own variables beside them), else that is said loudly.
fn stores(folder: &Folder) -> Vec<Blobs> {
    let mut stores = vec![folder.blobs.clone(), Blobs::open("memory:///images", &[]).unwrap()];
    for variable in ["TEST_S3_URL", "TEST_GOOGLE_URL", "TEST_AZURE_URL"] {
        match std::env::var(variable) {
            Ok(url) => stores.push(Blobs::open(&url, &[("allow_http".into(), "true".into())]).unwrap()),
            Err(_) => eprintln!("SKIPPED on a bucket, because {variable} is not set"),
        }
    }
    stores
}

impl Folder {
    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Waits until aborted uploads are gone; they are removed beside the request that ended.
    async fn is_emptied(&self) -> bool {
        for _ in 0..500 {
            if self.files().is_empty() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        false
    }
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|index| (index * 31 % 251) as u8).collect()
}

fn chunks(bytes: &[u8], size: usize) -> impl futures::Stream<Item = Result<Bytes>> + Send + use<> {
    let chunks: Vec<_> = bytes.chunks(size).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    stream::iter(chunks)
}

async fn put(blobs: &Blobs, bytes: &[u8]) -> BlobId {
    let id = BlobId::random();
    blobs.put(id, chunks(bytes, 64 << 10), &Wish::default(), Box::new(anything)).await.unwrap();
    id
}

async fn read(blobs: &Blobs, id: BlobId, range: Option<std::ops::Range<u64>>) -> Result<Vec<u8>> {
    let chunks: Vec<Bytes> = blobs.get(id, range).await?.try_collect().await?;
    Ok(chunks.concat())
}

#[tokio::test]
async fn what_was_put_is_read_back_with_its_hashes_and_ends_for_any_size_and_chunking() {
    let place = folder();
    for blobs in stores(&place) {
        for (size, chunk) in [(0, 1), (1, 1), (100_000, 7), (3 << 20, 4096), (20 << 20, 300_000), (9 << 20, 9 << 20)] {
            let bytes = pattern(size);
            let (size_wish, suffices) = (Some(size as u64), None);
            let wish = Wish { size: size_wish, at_most: size_wish, head: 5000, tail: 1536, suffices };
            let id = BlobId::random();
            let stored = blobs.put(id, chunks(&bytes, chunk), &wish, Box::new(anything)).await.unwrap();
            assert_eq!(stored.size, size as u64);
            assert_eq!(stored.md5, hex::encode(Md5::digest(&bytes)));
            assert_eq!(stored.sha512, hex::encode(sha2::Sha512::digest(&bytes)));
            assert_eq!(stored.head, bytes[..size.min(5000)]);
            assert_eq!(stored.tail, bytes[size - size.min(1536)..]);
            assert_eq!(blobs.size(id).await.unwrap(), Some(size as u64));
            assert!(read(&blobs, id, None).await.unwrap() == bytes);
        }
    }
}

#[tokio::test]
async fn no_more_of_the_first_bytes_is_kept_than_the_first_of_them_ask_for() {
    let place = folder();
    for (announced, kept) in [(0_u32, 4096), (5000, 5000), (u32::MAX, 9000)] {
        let mut bytes = pattern(20_000);
        bytes[..4].copy_from_slice(&announced.to_le_bytes());
        let suffices = |start: &[u8]| u32::from_le_bytes(start[..4].try_into().unwrap()) as usize;
        for chunk in [1, 3000, 20_000] {
            let wish = Wish { head: 9000, suffices: Some(suffices), ..Wish::default() };
            let put = place.blobs.put(BlobId::random(), chunks(&bytes, chunk), &wish, Box::new(anything)).await;
            assert!(put.unwrap().head == bytes[..kept], "{announced} {chunk}");
        }
    }
}

#[tokio::test]
async fn a_range_gives_exactly_its_bytes_and_none_beyond_the_end() {
    let place = folder();
    for blobs in stores(&place) {
        let bytes = pattern(2 << 20);
        let id = put(&blobs, &bytes).await;
        for (start, end) in [(0, 1), (5, 5), (511 << 10, 1 << 20), (1, (2 << 20) - 1), ((2 << 20) - 1, 2 << 20)] {
            assert!(read(&blobs, id, Some(start..end)).await.unwrap() == bytes[start as usize..end as usize]);
        }
        assert!(matches!(read(&blobs, id, Some(0..(2 << 20) + 1)).await, Err(Error::RangeNotSatisfiable(_))));
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_deleting_it_is_done() {
    let place = folder();
    for blobs in stores(&place) {
        let id = BlobId::random();
        assert_eq!(blobs.size(id).await.unwrap(), None);
        assert!(read(&blobs, id, None).await.unwrap_err().is_not_found());
        blobs.delete(id).await.unwrap();
        let id = put(&blobs, b"bytes").await;
        blobs.delete(id).await.unwrap();
        assert_eq!(blobs.size(id).await.unwrap(), None);
    }
}

#[tokio::test]
async fn cve_2015_5286_too_many_bytes_end_the_upload_and_leave_nothing() {
    let place = folder();
    let bytes = pattern(6 << 20);
    for wish in [
        Wish { at_most: Some((6 << 20) - 1), ..Wish::default() },
        Wish { size: Some((6 << 20) - 1), ..Wish::default() },
    ] {
        let put = place.blobs.put(BlobId::random(), chunks(&bytes, 100_000), &wish, Box::new(anything)).await;
        assert!(matches!(put, Err(Error::TooLarge(_) | Error::BadRequest(_))));
        assert!(place.is_emptied().await);
    }
}

#[tokio::test]
async fn too_few_bytes_never_count_as_stored() {
    let place = folder();
    let wish = Wish { size: Some((6 << 20) + 1), ..Wish::default() };
    let put = place.blobs.put(BlobId::random(), chunks(&pattern(6 << 20), 100_000), &wish, Box::new(anything)).await;
    assert!(matches!(put, Err(Error::BadRequest(_))));
    assert!(place.is_emptied().await);
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let place = folder();
    let broken = || Err(Error::unavailable("The client", "connection reset"));
    let stream = chunks(&pattern(5 << 20), 100_000).chain(stream::once(async move { broken() }));
    let put = place.blobs.put(BlobId::random(), stream, &Wish::default(), Box::new(anything)).await;
    assert!(put.is_err());
    assert!(place.is_emptied().await);
}

#[tokio::test]
async fn an_upload_in_parts_that_breaks_off_is_nowhere_afterwards() {
    let place = folder();
    for blobs in stores(&place) {
        let broken = stream::once(async { Err(Error::unavailable("The client", "connection reset")) });
        let (id, stream) = (BlobId::random(), chunks(&pattern(18 << 20), 1 << 20).chain(broken));
        assert!(blobs.put(id, stream, &Wish::default(), Box::new(anything)).await.is_err());
        assert_eq!(blobs.size(id).await.unwrap(), None);
    }
}

#[tokio::test]
async fn an_upload_whose_request_is_dropped_leaves_nothing() {
    let place = folder();
    let stream = chunks(&pattern(5 << 20), 100_000).chain(stream::pending());
    let wish = Wish::default();
    let put = place.blobs.put(BlobId::random(), stream, &wish, Box::new(anything));
    assert!(tokio::time::timeout(Duration::from_millis(300), put).await.is_err());
    assert!(place.is_emptied().await);
}

#[tokio::test]
async fn what_the_judge_refuses_is_not_stored() {
    let place = folder();
    for size in [10, 5 << 20] {
        let judge = |stored: &Stored| Err(Error::UnsupportedMediaType(format!("{} bytes", stored.size)));
        let id = BlobId::random();
        let put = place.blobs.put(id, chunks(&pattern(size), 100_000), &Wish::default(), Box::new(judge)).await;
        assert!(matches!(put, Err(Error::UnsupportedMediaType(_))));
        assert_eq!(place.blobs.size(id).await.unwrap(), None);
        assert!(place.is_emptied().await);
    }
}

#[tokio::test]
async fn a_file_that_was_cut_short_does_not_read_as_whole() {
    let place = folder();
    let id = put(&place.blobs, &pattern(3 << 20)).await;
    let bytes = place.blobs.get(id, None).await.unwrap();
    std::fs::File::options().write(true).open(place.folder.path().join(id.to_string())).unwrap().set_len(9).unwrap();
    assert!(bytes.try_collect::<Vec<_>>().await.is_err());
}

#[tokio::test]
async fn a_sweep_deletes_what_no_row_names_and_what_was_left_half_written() {
    let place = folder();
    let (kept, orphan) = (put(&place.blobs, b"kept").await, put(&place.blobs, b"orphan").await);
    std::fs::write(place.folder.path().join(format!("{}#1", BlobId::random())), b"half").unwrap();
    std::fs::write(place.folder.path().join("notes.txt"), b"an operator's").unwrap();
    let known = move |id| id == kept;
    let none = place.blobs.sweep(&known, HOUR, Timestamp(0)).await.unwrap();
    assert_eq!(none, Swept { kept: 2, deleted: 0, staged: 0 }, "all of it is too young");
    let swept = place.blobs.sweep(&known, HOUR, MUCH_LATER).await.unwrap();
    assert_eq!(swept, Swept { kept: 1, deleted: 1, staged: 1 });
    assert_eq!(place.blobs.size(orphan).await.unwrap(), None);
    let mut files = place.files();
    files.sort();
    assert!(files.contains(&"notes.txt".to_owned()) && files.contains(&kept.to_string()) && files.len() == 2);
}

#[tokio::test]
async fn a_sweep_with_an_empty_inventory_deletes_nothing() {
    let place = folder();
    let id = put(&place.blobs, b"precious").await;
    assert!(matches!(place.blobs.sweep(&|_| false, HOUR, MUCH_LATER).await, Err(Error::Conflict(_))));
    assert_eq!(place.blobs.size(id).await.unwrap(), Some(8));
}

#[tokio::test]
async fn a_sweep_with_an_inventory_that_shrank_by_half_deletes_nothing() {
    let blobs = Blobs::open("memory:///", &[]).unwrap();
    let mut ids = Vec::new();
    for _ in 0..30 {
        ids.push(put(&blobs, b"precious").await);
    }
    let rest: Vec<_> = ids[..14].to_vec();
    assert!(matches!(blobs.sweep(&move |id| rest.contains(&id), HOUR, MUCH_LATER).await, Err(Error::Conflict(_))));
    for id in &ids {
        assert_eq!(blobs.size(*id).await.unwrap(), Some(8));
    }
}

#[tokio::test]
async fn cve_2013_0212_a_failure_of_the_store_tells_clients_neither_place_nor_credentials() {
    let place = folder();
    let path = place.folder.path().to_owned();
    drop(std::fs::remove_dir_all(&path));
    std::fs::write(&path, b"a file where the folder was").unwrap();
    let put = place.blobs.put(BlobId::random(), chunks(b"bytes", 5), &Wish::default(), Box::new(anything)).await;
    let text = put.unwrap_err().to_string();
    assert_eq!(text, "The image store is not available");
    std::fs::remove_file(&path).unwrap();
}
