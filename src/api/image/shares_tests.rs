//! Shares: how many, until when, what for; whose the image is then; and what was made from it while it was shared.

use super::ImageSettings;
use super::tests::{active, create, download, patch, show, text};
use crate::api::compute::tests::{PATH, Site, act, show as server};
use crate::api::testing::{Client, Cloud};
use crate::cloud::image::limits::Limits;
use crate::ids::ImageId;
use crate::store::image_members;
use serde_json::{Value, json};

/// Offers the image to a project; the member's path.
async fn offer(owner: &Client, id: &str, to: &Client, more: Value) -> String {
    let mut body = json!({"member": to.project_id});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let reply = owner.post(&format!("/image/v2/images/{id}/members"), body).await;
    assert_eq!(reply.status, 200, "{}", text(&reply));
    format!("/image/v2/images/{id}/members/{}", to.project_id)
}

async fn share(owner: &Client, id: &str, to: &Client, more: Value) -> String {
    let path = offer(owner, id, to, more).await;
    assert_eq!(to.put(&path, json!({"status": "accepted"})).await.status, 200);
    path
}

async fn listed(client: &Client) -> Vec<String> {
    let list = client.get("/image/v2/images").await.json();
    list["images"].as_array().unwrap().iter().map(|image| image["id"].as_str().unwrap().to_owned()).collect()
}

/// A time so many seconds from now, as clients write it.
fn later(cloud: &Cloud, seconds: i64) -> String {
    cloud.state.clock.now().plus_seconds(seconds).to_seconds_z()
}

#[tokio::test]
async fn a_share_says_what_it_is_for_and_ends_at_its_time_for_everything() {
    let cloud = Cloud::new().await;
    let (alice, bob) = (cloud.member("alice").await, cloud.member("bob").await);
    let id = active(&alice, json!({}), b"x").await;
    let end = later(&cloud, 600);
    let terms = json!({"gapura:expires_at": end, "gapura:purpose": "for the course"});
    let path = share(&alice, &id, &bob, terms).await;
    for client in [&alice, &bob] {
        let member = client.get(&path).await.json();
        assert_eq!((&member["gapura:expires_at"], &member["gapura:purpose"]), (&json!(end), &json!("for the course")));
    }
    assert_eq!(listed(&bob).await, [id.as_str()]);
    assert_eq!(download(&bob, &id, &[]).await.status, 200);
    cloud.pass_seconds(600);
    assert!(listed(&bob).await.is_empty());
    assert_eq!(show(&bob, &id).await.status, 404);
    assert_eq!(download(&bob, &id, &[]).await.status, 404);
    assert_eq!(bob.get(&path).await.status, 404);
    assert_eq!(bob.put(&path, json!({"status": "accepted"})).await.status, 404, "it can't be prolonged by its member");
    assert_eq!(alice.get(&path).await.status, 404);
    assert_eq!(alice.get(&format!("/image/v2/images/{id}/members")).await.json()["members"], json!([]));
    // Before the sweep as after it, it can be shared anew.
    share(&alice, &id, &bob, json!({"gapura:expires_at": later(&cloud, 60)})).await;
    assert_eq!(listed(&bob).await, [id.as_str()]);
    cloud.pass_seconds(60);
    let now = cloud.state.clock.now();
    assert_eq!(cloud.state.db.write(move |tx| image_members::purge(tx, now)).await.unwrap(), 1);
    share(&alice, &id, &bob, json!({})).await;
    cloud.pass_seconds(100_000_000);
    assert_eq!(show(&cloud.member("bob").await, &id).await.status, 200, "without a time it does not end");
}

#[tokio::test]
async fn a_plain_share_looks_as_glance_shows_it_and_wrong_terms_are_refused() {
    let cloud = Cloud::new().await;
    let (alice, bob) = (cloud.member("alice").await, cloud.member("bob").await);
    let id = active(&alice, json!({}), b"x").await;
    let path = offer(&alice, &id, &bob, json!({})).await;
    let member = alice.get(&path).await.json();
    let names: Vec<_> = member.as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["member_id", "image_id", "status", "created_at", "updated_at", "schema"]);
    assert_eq!(alice.delete(&path).await.status, 204);
    let past = later(&cloud, 0);
    for (name, value) in [
        ("gapura:expires_at", json!(past)),
        ("gapura:expires_at", json!("tomorrow")),
        ("gapura:expires_at", json!(99_999_999_999_i64)),
        ("gapura:purpose", json!({})),
        ("gapura:purpose", json!("x".repeat(256))),
    ] {
        let reply =
            alice.post(&format!("/image/v2/images/{id}/members"), json!({"member": bob.project_id, name: value})).await;
        assert_eq!(reply.status, 400, "{name} {value}");
        assert!(text(&reply).contains(name), "{}", text(&reply));
    }
    assert_eq!(show(&bob, &id).await.status, 404, "nothing of it was shared");
}

#[tokio::test]
async fn an_image_has_no_more_members_than_are_allowed_and_expired_ones_do_not_count() {
    let limits = Limits { members: 2, ..Limits::default() };
    let cloud = Cloud::with_images(&[], ImageSettings { limits, ..ImageSettings::default() }).await;
    let alice = cloud.member("alice").await;
    let id = active(&alice, json!({}), b"x").await;
    let members = format!("/image/v2/images/{id}/members");
    let end = later(&cloud, 60);
    assert_eq!(alice.post(&members, json!({"member": "p1", "gapura:expires_at": end})).await.status, 200);
    assert_eq!(alice.post(&members, json!({"member": "p2"})).await.status, 200);
    let refused = alice.post(&members, json!({"member": "p3"})).await;
    assert_eq!(refused.status, 413);
    assert!(text(&refused).contains("Attempted: 3, Maximum: 2"), "{}", text(&refused));
    cloud.pass_seconds(60);
    assert_eq!(alice.post(&members, json!({"member": "p3"})).await.status, 200);
    assert_eq!(alice.delete(&format!("{members}/p2")).await.status, 204);
    assert_eq!(alice.post(&members, json!({"member": "p4"})).await.status, 200, "nor does one that was withdrawn");
}

#[tokio::test]
async fn only_an_administrator_gives_an_image_to_another_project_and_its_shares_go_with_it() {
    let cloud = Cloud::new().await;
    let (alice, bob, carol) = (cloud.member("alice").await, cloud.member("bob").await, cloud.member("carol").await);
    let admin = cloud.admin().await;
    let id = active(&alice, json!({}), b"x").await;
    share(&alice, &id, &carol, json!({})).await;
    let give = json!([{"op": "replace", "path": "/owner", "value": bob.project_id}]);
    let refused = patch(&alice, &id, give.clone()).await;
    assert!(refused.status == 403 && text(&refused).contains("Owner can't be updated by non admin."));
    assert_eq!(patch(&carol, &id, give.clone()).await.status, 403, "nor by a member");
    assert_eq!(patch(&admin, &id, give).await.status, 200);
    assert_eq!(show(&alice, &id).await.status, 404, "it is no longer hers");
    assert_eq!(show(&carol, &id).await.status, 200);
    assert_eq!(listed(&bob).await, [id.as_str()]);
    let members = bob.get(&format!("/image/v2/images/{id}/members")).await.json();
    assert_eq!(members["members"][0]["member_id"], json!(carol.project_id), "the new owner sees and ends them");
    let path = format!("/image/v2/images/{id}/members/{}", carol.project_id);
    assert_eq!(bob.delete(&path).await.status, 204);
    assert_eq!(show(&carol, &id).await.status, 404);
    let alien = create(&alice, json!({"visibility": "private"})).await;
    let named = alice.post("/image/v2/images", json!({"name": "x", "owner": bob.project_id})).await;
    assert_eq!(named.status, 403, "nor is one made for another project");
    assert_eq!(show(&bob, &alien).await.status, 404);
}

#[tokio::test]
async fn each_role_sees_of_a_share_what_it_may_and_changes_no_more() {
    let cloud = Cloud::new().await;
    let (alice, bob, carol) = (cloud.member("alice").await, cloud.member("bob").await, cloud.member("carol").await);
    let (her_reader, his_reader) =
        (cloud.with_role("rita", "reader", "alice").await, cloud.with_role("rob", "reader", "bob").await);
    let admin = cloud.admin().await;
    let id = active(&alice, json!({}), b"x").await;
    let path = offer(&alice, &id, &bob, json!({})).await;
    let members = format!("/image/v2/images/{id}/members");
    // Who asks; the list of members and how many are in it, that one, adding one, answering, withdrawing.
    let accept = json!({"status": "accepted"});
    for (name, client, listed, shown, added, answered, withdrawn) in [
        ("the owner's reader", &her_reader, Some(1), 200, 403, 403, 403),
        ("the member's reader", &his_reader, Some(1), 200, 403, 403, 403),
        ("the member", &bob, Some(1), 200, 403, 200, 403),
        ("a stranger", &carol, None, 404, 404, 404, 404),
        ("the owner", &alice, Some(1), 200, 409, 403, 204),
    ] {
        let list = client.get(&members).await;
        let count = (list.status == 200).then(|| list.json()["members"].as_array().unwrap().len());
        assert_eq!(count, listed, "{name}");
        assert_eq!(client.get(&path).await.status, shown, "{name}");
        assert_eq!(client.post(&members, json!({"member": bob.project_id})).await.status, added, "{name}");
        assert_eq!(client.put(&path, accept.clone()).await.status, answered, "{name}");
        assert_eq!(client.delete(&path).await.status, withdrawn, "{name}");
    }
    // An administrator may do all of it, for either side.
    assert_eq!(admin.post(&members, json!({"member": bob.project_id})).await.status, 200);
    assert_eq!(admin.put(&path, accept).await.status, 200);
    assert_eq!(listed(&his_reader).await, [id.as_str()]);
    assert_eq!(download(&his_reader, &id, &[]).await.status, 403, "as upstream: a reader downloads nothing");
    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!(show(&his_reader, &id).await.status, 404);
}

#[tokio::test]
async fn a_server_from_a_shared_image_runs_on_when_the_share_is_withdrawn_or_expires() {
    let mut site = Site::new().await;
    let cloud = &site.cloud;
    let (alice, bob) = (cloud.member("alice").await, cloud.member("bob").await);
    for expires in [false, true] {
        let bytes: &[u8] = if expires { b"a disk for a while" } else { b"a disk" };
        let image = active(&alice, json!({}), bytes).await;
        let terms = if expires { json!({"gapura:expires_at": later(&site.cloud, 600)}) } else { json!({}) };
        let path = share(&alice, &image, &bob, terms).await;
        site.image = ImageId::parse(&image).unwrap();
        let id = site.boot(&bob, "web").await;
        assert_eq!(server(&bob, id).await["status"], "ACTIVE");
        if expires {
            site.cloud.pass_seconds(600);
        } else {
            assert_eq!(alice.delete(&path).await.status, 204);
        }
        assert_eq!(show(&bob, &image).await.status, 404);
        site.cloud.reconcile().await;
        let running = server(&bob, id).await;
        assert_eq!((&running["status"], &running["image"]["id"]), (&json!("ACTIVE"), &json!(image)));
        for (action, status) in [("os-stop", "SHUTOFF"), ("os-start", "ACTIVE")] {
            assert_eq!(act(&bob, id, json!({action: null})).await.status, 202);
            site.cloud.work().await;
            assert_eq!(server(&bob, id).await["status"], status);
        }
        let another = bob.post(&format!("{PATH}/servers"), site.wish("late")).await;
        assert_eq!(another.status, 400, "but no more can be booted from it");
        assert!(text(&another).contains("Can not find requested image"), "{}", text(&another));
    }
}
