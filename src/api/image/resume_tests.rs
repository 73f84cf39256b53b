//! Uploads that go on: in pieces, from where they broke off, and what is refused of them.

use super::ImageSettings;
use super::import_tests::{import, stage};
use super::tests::{OCTETS, active, create, download, show, status_becomes, text, upload};
use crate::api::testing::{Client, Cloud, Reply};
use crate::blobs::Stores;
use crate::cloud::image::limits::Limits;
use crate::error::Error;
use crate::http::call::BodyStream;
use crate::http::router::Request;
use crate::store::{blobs, image_uploads};
use crate::tasks::sweep_images;
use bytes::Bytes;
use futures::{Stream, TryStreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

type Headers<'h> = &'h [(&'static str, &'h str)];

async fn begin(client: &Client, id: &str, headers: Headers<'_>, bytes: &[u8]) -> Reply {
    let headers = [&OCTETS, headers].concat();
    client.send(Method::PUT, &format!("/image/v2/images/{id}/file"), &headers, bytes.to_vec()).await
}

async fn append(client: &Client, id: &str, headers: Headers<'_>, bytes: &[u8]) -> Reply {
    let headers = [&[("content-type", "application/partial-upload")], headers].concat();
    client.send(Method::PATCH, &path(id), &headers, bytes.to_vec()).await
}

async fn offset(client: &Client, id: &str) -> Reply {
    client.send(Method::HEAD, &path(id), &[], vec![]).await
}

fn path(id: &str) -> String {
    format!("/image/v2/images/{id}/file/upload")
}

/// Upload-Complete and Upload-Offset.
fn progress(reply: &Reply) -> (u16, Option<&str>, Option<&str>) {
    (reply.status, reply.header("upload-complete"), reply.header("upload-offset"))
}

/// A body that says nothing of its length, as one that breaks off.
async fn broken(cloud: &Cloud, client: &Client, id: &str, start: u64, pieces: &[&'static [u8]]) -> u16 {
    let mut items: Vec<Result<Bytes, Error>> = pieces.iter().map(|piece| Ok(Bytes::from_static(piece))).collect();
    items.push(Err(Error::bad_request("connection reset")));
    streamed(cloud, client, id, start, stream::iter(items)).await
}

/// The last of an upload, as it comes.
async fn streamed(
    cloud: &Cloud,
    client: &Client,
    id: &str,
    start: u64,
    body: impl Stream<Item = Result<Bytes, Error>> + Send + 'static,
) -> u16 {
    let mut headers = HeaderMap::new();
    let start = start.to_string();
    for (name, value) in [
        ("x-auth-token", client.token.as_deref().unwrap()),
        ("content-type", "application/partial-upload"),
        ("upload-complete", "?1"),
        ("upload-offset", start.as_str()),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    let request = Request {
        method: Method::PATCH,
        path: path(id),
        query: String::new(),
        headers,
        peer: None,
        request_id: "req-test".to_owned(),
        body: BodyStream::new(Box::pin(body), None),
    };
    cloud.router.answer(request).await.status.as_u16()
}

/// How many files of parts there are once what nobody needs is cleared away.
async fn files(cloud: &Cloud) -> usize {
    cloud.clear_images().await;
    cloud.state.db.read(image_uploads::files).await.unwrap().len()
}

#[tokio::test]
async fn an_upload_comes_in_pieces_and_the_image_is_as_from_one() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let id = create(&alice, json!({})).await;
    let begun = begin(&alice, &id, &[("upload-complete", "?0"), ("upload-length", "15")], b"first").await;
    assert_eq!(progress(&begun), (201, Some("?0"), Some("5")), "{}", text(&begun));
    assert_eq!(begun.header("location"), Some(format!("/v2/images/{id}/file/upload").as_str()));
    assert_eq!(begun.header("upload-limit"), Some("max-age=86400"));
    assert_eq!(show(&alice, &id).await.json()["status"], "queued", "others see nothing of it");
    let more = append(&alice, &id, &[("upload-complete", "?0"), ("upload-offset", "5")], b" second").await;
    assert_eq!(progress(&more), (204, Some("?0"), Some("12")));
    let asked = offset(&alice, &id).await;
    assert_eq!(progress(&asked), (204, Some("?0"), Some("12")));
    assert_eq!((asked.header("upload-length"), asked.header("cache-control")), (Some("15"), Some("no-store")));
    let last = append(&alice, &id, &[("upload-complete", "?1"), ("upload-offset", "12")], b"end").await;
    assert_eq!(progress(&last), (204, Some("?1"), Some("15")), "{}", text(&last));
    let whole = active(&alice, json!({}), b"first secondend").await;
    let (parts, one) = (show(&alice, &id).await.json(), show(&alice, &whole).await.json());
    for field in ["status", "size", "checksum", "os_hash_value"] {
        assert_eq!(parts[field], one[field], "{field}");
    }
    assert_eq!(download(&alice, &id, &[]).await.bytes, b"first secondend");
    assert_eq!(progress(&offset(&alice, &id).await), (204, Some("?1"), Some("15")));
    assert_eq!(append(&alice, &id, &[("upload-complete", "?1"), ("upload-offset", "15")], b"").await.status, 404);
    assert_eq!(files(&cloud).await, 0);
}

#[tokio::test]
async fn an_upload_that_breaks_off_goes_on_where_it_stopped() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let id = create(&alice, json!({})).await;
    assert_eq!(begin(&alice, &id, &[("upload-complete", "?0")], b"").await.status, 201);
    assert_eq!(broken(&cloud, &alice, &id, 0, &[b"one ", b"two "]).await, 400);
    assert_eq!(progress(&offset(&alice, &id).await), (204, Some("?0"), Some("8")));
    assert_eq!(broken(&cloud, &alice, &id, 8, &[]).await, 400);
    assert_eq!(progress(&offset(&alice, &id).await), (204, Some("?0"), Some("8")), "nothing came");
    let last = append(&alice, &id, &[("upload-complete", "?1"), ("upload-offset", "8")], b"three").await;
    assert_eq!(progress(&last), (204, Some("?1"), Some("13")), "{}", text(&last));
    assert_eq!(download(&alice, &id, &[]).await.bytes, b"one two three");
}

#[tokio::test]
async fn a_whole_upload_may_be_one_request_that_could_have_gone_on() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let id = create(&alice, json!({})).await;
    let reply = begin(&alice, &id, &[("upload-complete", "?1")], b"whole").await;
    assert_eq!(progress(&reply), (204, Some("?1"), Some("5")), "{}", text(&reply));
    assert_eq!(download(&alice, &id, &[]).await.bytes, b"whole");
}

#[tokio::test]
async fn bytes_for_another_offset_are_refused_and_the_right_one_is_told() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let id = create(&alice, json!({})).await;
    begin(&alice, &id, &[("upload-complete", "?0")], b"12345").await;
    for start in ["0", "4", "6"] {
        let reply = append(&alice, &id, &[("upload-complete", "?0"), ("upload-offset", start)], b"x").await;
        assert_eq!(progress(&reply), (409, Some("?0"), Some("5")), "{start}");
        assert_eq!(reply.json()["expected-offset"], 5);
    }
    assert_eq!(progress(&offset(&alice, &id).await), (204, Some("?0"), Some("5")), "and nothing was taken");
}

#[tokio::test]
async fn what_is_too_long_or_does_not_add_up_is_refused_and_what_came_before_is_kept() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let id = create(&alice, json!({})).await;
    let put = |more: &'static [(&'static str, &'static str)]| {
        let (alice, id) = (alice.clone(), id.clone());
        async move { begin(&alice, &id, more, b"12345").await.status }
    };
    assert_eq!(put(&[("upload-complete", "yes")]).await, 400);
    assert_eq!(put(&[("upload-complete", "?1"), ("upload-length", "9")]).await, 400);
    assert_eq!(put(&[("upload-complete", "?0"), ("upload-length", "-1")]).await, 400);
    assert_eq!(put(&[("upload-complete", "?0"), ("upload-length", "99999999999999999")]).await, 413);
    assert_eq!(put(&[("upload-complete", "?0"), ("upload-length", "8")]).await, 201);
    assert_eq!(put(&[("upload-complete", "?0")]).await, 409, "there is one already");
    let sent = |headers: &'static [(&'static str, &'static str)], bytes: &'static [u8]| {
        let (alice, id) = (alice.clone(), id.clone());
        async move { append(&alice, &id, headers, bytes).await.status }
    };
    assert_eq!(sent(&[("upload-complete", "?1"), ("upload-offset", "5")], b"6789").await, 413);
    assert_eq!(sent(&[("upload-complete", "?1"), ("upload-offset", "5")], b"6").await, 400, "too few for the end");
    assert_eq!(sent(&[("upload-complete", "?0"), ("upload-offset", "5"), ("upload-length", "7")], b"6").await, 400);
    assert_eq!(sent(&[("upload-complete", "?0")], b"6").await, 400, "no offset");
    assert_eq!(sent(&[("upload-offset", "5")], b"6").await, 400);
    let octets = [OCTETS[0], ("upload-complete", "?0"), ("upload-offset", "5")];
    assert_eq!(alice.send(Method::PATCH, &path(&id), &octets, b"6".to_vec()).await.status, 415);
    assert_eq!(broken(&cloud, &alice, &id, 5, &[b"6", b"789"]).await, 413, "nor when nobody says how much comes");
    assert_eq!(progress(&offset(&alice, &id).await), (204, Some("?0"), Some("6")));
    assert_eq!(sent(&[("upload-complete", "?1"), ("upload-offset", "6")], b"78").await, 204);
    assert_eq!(download(&alice, &id, &[]).await.bytes, b"12345678");
}

#[tokio::test]
async fn another_projects_upload_is_not_there_and_a_members_is_not_theirs() {
    let cloud = Cloud::new().await;
    let (alice, bob) = (cloud.member("alice").await, cloud.member("bob").await);
    let id = create(&alice, json!({})).await;
    let never = offset(&alice, &id).await;
    begin(&alice, &id, &[("upload-complete", "?0")], b"12345").await;
    let headers = [("upload-complete", "?1"), ("upload-offset", "5")];
    let all = async |client: &Client| {
        let tried = append(client, &id, &headers, b"evil").await.status;
        (tried, offset(client, &id).await.status, client.delete(&path(&id)).await.status)
    };
    assert_eq!(never.status, 404);
    assert_eq!(all(&bob).await, (404, 404, 404));
    let member = json!({"member": bob.project_id});
    assert_eq!(alice.post(&format!("/image/v2/images/{id}/members"), member).await.status, 200);
    assert_eq!(all(&bob).await, (403, 403, 403));
    assert_eq!(progress(&offset(&alice, &id).await), (204, Some("?0"), Some("5")));
}

#[tokio::test]
async fn what_has_come_counts_against_the_quota_and_its_end_is_held_to_it() {
    let limits = Limits { storage: 10, ..Limits::default() };
    let cloud = Cloud::with_images(&[], ImageSettings { limits, ..ImageSettings::default() }).await;
    let alice = cloud.member("alice").await;
    let (one, two) = (create(&alice, json!({})).await, create(&alice, json!({})).await);
    let too_much = begin(&alice, &one, &[("upload-complete", "?0"), ("upload-length", "11")], b"").await;
    assert_eq!(too_much.status, 413);
    assert_eq!(begin(&alice, &one, &[("upload-complete", "?0")], b"123456").await.status, 201);
    assert_eq!(upload(&alice, &two, b"12345").await.status, 413, "parts take room");
    assert!(status_becomes(&alice, &two, "queued").await);
    assert_eq!(broken(&cloud, &alice, &one, 6, &[b"78", b"90", b"x"]).await, 413);
    assert_eq!(progress(&offset(&alice, &one).await), (204, Some("?0"), Some("10")));
    assert_eq!(alice.delete(&path(&one)).await.status, 204);
    assert_eq!(upload(&alice, &two, b"12345").await.status, 204, "and give it back");
}

#[tokio::test]
async fn parts_that_come_while_another_image_takes_their_room_are_not_kept() {
    let limits = Limits { storage: 10, ..Limits::default() };
    let cloud = Cloud::with_images(&[], ImageSettings { limits, ..ImageSettings::default() }).await;
    let alice = cloud.member("alice").await;
    let (one, two) = (create(&alice, json!({})).await, create(&alice, json!({})).await);
    assert_eq!(begin(&alice, &one, &[("upload-complete", "?0")], b"").await.status, 201);
    let (other, filled) = (alice.clone(), two.clone());
    let body = stream::once(async move {
        assert_eq!(upload(&other, &filled, b"12345678").await.status, 204, "nothing has come of the first");
        Ok(Bytes::from_static(b"abc"))
    });
    assert_eq!(streamed(&cloud, &alice, &one, 0, body).await, 413);
    assert_eq!(progress(&offset(&alice, &one).await), (204, Some("?0"), Some("0")));
    let headers = [("upload-complete", "?1"), ("upload-offset", "0")];
    assert_eq!(append(&alice, &one, &headers, b"ab").await.status, 204, "two bytes fit");
}

#[tokio::test]
async fn files_of_an_upload_that_is_over_go_at_once() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let id = create(&alice, json!({})).await;
    assert_eq!(begin(&alice, &id, &[("upload-complete", "?0")], b"12345").await.status, 201);
    let headers = [("upload-complete", "?0"), ("upload-offset", "5")];
    assert_eq!(append(&alice, &id, &headers, b"67").await.status, 204);
    let read = |parts| cloud.state.stores.parts().read(parts).try_collect::<Vec<_>>();
    let files = cloud.state.db.read(image_uploads::files).await.unwrap();
    assert_eq!(files.len(), 2);
    cloud.clear_images().await;
    for file in &files {
        assert!(read(vec![(*file, 1)]).await.is_ok(), "they are still needed");
    }
    assert_eq!(alice.delete(&path(&id)).await.status, 204);
    cloud.clear_images().await;
    for file in &files {
        assert!(read(vec![(*file, 1)]).await.is_err());
    }
    assert!(cloud.state.db.read(image_uploads::leftovers).await.unwrap().is_empty());
}

#[tokio::test]
async fn parts_that_nobody_goes_on_with_and_those_of_deleted_images_are_swept() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let (left, gone, used) =
        (create(&alice, json!({})).await, create(&alice, json!({})).await, create(&alice, json!({})).await);
    for id in [&left, &gone, &used] {
        assert_eq!(begin(&alice, id, &[("upload-complete", "?0")], b"12345").await.status, 201);
    }
    assert_eq!(files(&cloud).await, 3);
    assert_eq!(alice.delete(&format!("/image/v2/images/{gone}")).await.status, 204);
    assert_eq!(upload(&alice, &used, b"plain").await.status, 204, "whoever fills it first wins");
    assert_eq!(files(&cloud).await, 1);
    cloud.pass_seconds(86_399);
    let alice = cloud.member("alice").await;
    assert_eq!(offset(&alice, &left).await.status, 204);
    cloud.pass_seconds(1);
    assert_eq!(offset(&alice, &left).await.status, 404, "at once, whenever the sweep comes");
    let (db, stores): (_, &Stores) = (&cloud.state.db, &cloud.state.stores);
    let swept = sweep_images::sweep(db, stores, cloud.state.clock.now()).await;
    assert!(swept.is_ok(), "{swept:?}");
    assert_eq!(files(&cloud).await, 0);
    assert_eq!(begin(&alice, &left, &[("upload-complete", "?1")], b"again").await.status, 204);
}

#[tokio::test]
async fn bytes_that_are_not_what_was_declared_end_the_upload_and_leave_nothing() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let id = create(&alice, json!({"disk_format": "qcow2"})).await;
    begin(&alice, &id, &[("upload-complete", "?0")], b"no header").await;
    let last = append(&alice, &id, &[("upload-complete", "?1"), ("upload-offset", "9")], b" at all").await;
    assert!(last.status == 400 || last.status == 415, "{}", text(&last));
    assert!(status_becomes(&alice, &id, "queued").await);
    assert_eq!(offset(&alice, &id).await.status, 404);
    assert_eq!(files(&cloud).await, 0);
    assert!(cloud.state.db.read(blobs::known).await.unwrap().is_empty());
}

#[tokio::test]
async fn two_requests_for_one_upload_leave_it_whole_whoever_comes_first() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let id = create(&alice, json!({})).await;
    begin(&alice, &id, &[("upload-complete", "?0")], b"").await;
    let headers = [("upload-complete", "?0"), ("upload-offset", "0")];
    let (one, two) = futures::join!(append(&alice, &id, &headers, b"aaaa"), append(&alice, &id, &headers, b"bbbb"));
    let mut codes = [one.status, two.status];
    codes.sort_unstable();
    assert_eq!(codes, [204, 409]);
    assert_eq!(append(&alice, &id, &[("upload-complete", "?1"), ("upload-offset", "4")], b"").await.status, 204);
    let bytes = download(&alice, &id, &[]).await.bytes;
    assert!(bytes == b"aaaa" || bytes == b"bbbb");
    assert_eq!(show(&alice, &id).await.json()["status"], json!("active"));
    assert_ne!(show(&alice, &id).await.json()["checksum"], Value::Null);
}

#[tokio::test]
async fn asking_for_the_offset_ends_what_an_earlier_request_still_sends() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let id = create(&alice, json!({})).await;
    begin(&alice, &id, &[("upload-complete", "?0")], b"12345").await;
    let asker = alice.clone();
    let asked = id.clone();
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("x-auth-token", alice.token.as_deref().unwrap()),
        ("content-type", "application/partial-upload"),
        ("upload-complete", "?0"),
        ("upload-offset", "5"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    let body = stream::once(async move {
        // The client thinks that this connection is dead.
        assert_eq!(progress(&offset(&asker, &asked).await), (204, Some("?0"), Some("5")));
        Ok(Bytes::from_static(b"late"))
    });
    let request = Request {
        method: Method::PATCH,
        path: path(&id),
        query: String::new(),
        headers,
        peer: None,
        request_id: "req-test".to_owned(),
        body: BodyStream::new(Box::pin(body), None),
    };
    assert_eq!(cloud.router.answer(request).await.status, 409);
    assert_eq!(progress(&offset(&alice, &id).await), (204, Some("?0"), Some("5")), "what was told stays true");
}

#[tokio::test]
async fn an_import_ends_the_upload_that_was_begun_beside_it() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let id = create(&alice, json!({})).await;
    assert_eq!(begin(&alice, &id, &[("upload-complete", "?0")], b"first").await.status, 201);
    assert_eq!(stage(&alice, &id, b"bytes").await.status, 204);
    assert_eq!(import(&alice, &id, json!({"method": {"name": "glance-direct"}})).await.status, 202);
    cloud.work().await;
    assert_eq!(show(&alice, &id).await.json()["status"], "active");
    assert_eq!(progress(&offset(&alice, &id).await), (204, Some("?1"), Some("5")), "the image is whole");
    assert_eq!(files(&cloud).await, 0);
}
