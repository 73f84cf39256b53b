//! Rebuilding: what may be said at which version, and what becomes of it.

use super::resize::{LARGER, claimed, make_flavor, resize};
use super::*;
use crate::cloud::policy::Reach;
use crate::disks::Part;
use crate::store::servers::{self, Aside};
use http::Method;

pub async fn meta(site: &Site, id: ServerId) -> Value {
    let drive = site.cloud.disks.config_drive(id).unwrap();
    let (_, content) = drive.files.iter().find(|(path, _)| path == "openstack/latest/meta_data.json").unwrap();
    serde_json::from_slice(content).unwrap()
}

#[tokio::test]
async fn a_rebuild_changes_all_that_it_names_and_tells_the_guest_on_its_drive() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    let other = image(&site.cloud, b"the bytes of another disk").await;
    let key = alice.post(&format!("{PATH}/os-keypairs"), json!({"keypair": {"name": "laptop"}})).await;
    assert_eq!(key.status, 200, "{}", key.json());
    let path = format!("{PATH}/servers/{id}/action");
    let wish = json!({"rebuild": {
        "imageRef": other.to_string(), "name": "again", "adminPass": "s3cret-word", "metadata": {"role": "web"},
        "OS-DCF:diskConfig": "AUTO", "accessIPv4": "192.0.2.1", "accessIPv6": "2001:db8::1", "preserve_ephemeral": false,
        "description": "anew", "key_name": "laptop", "user_data": "IyEvYmluL3NoCg==", "hostname": "again-1",
        "trusted_image_certificates": null,
    }});
    let reply = at(&alice, "2.90", Method::POST, &path, &wish).await;
    assert_eq!(reply.status, 202, "{}", reply.json());
    assert_eq!(reply.header("location"), Some(format!("http://cloud.test{PATH}/servers/{id}").as_str()));
    let shown = reply.json()["server"].clone();
    assert_eq!((&shown["status"], &shown["progress"]), (&json!("REBUILD"), &json!(0)));
    for (field, value) in [
        ("name", json!("again")),
        ("metadata", json!({"role": "web"})),
        ("OS-DCF:diskConfig", json!("AUTO")),
        ("accessIPv4", json!("192.0.2.1")),
        ("accessIPv6", json!("2001:db8::1")),
        ("description", json!("anew")),
        ("key_name", json!("laptop")),
        ("user_data", json!("IyEvYmluL3NoCg==")),
        ("OS-EXT-SRV-ATTR:hostname", json!("again-1")),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
    assert!(!reply.json().to_string().contains("s3cret-word"));
    site.cloud.work().await;
    let server = show(&alice, id).await;
    assert_eq!((&server["status"], &server["image"]["id"]), (&json!("ACTIVE"), &json!(other.to_string())));
    assert_eq!(server["key_name"], "laptop");
    let told = meta(&site, id).await;
    assert_eq!(
        (&told["name"], &told["hostname"], &told["meta"]["role"]),
        (&json!("again"), &json!("again-1"), &json!("web"))
    );
    assert_eq!(told["admin_pass"], "s3cret-word");
    let kept = |tx: &mut crate::store::Tx| {
        let sql = "SELECT COUNT(*) FROM tasks WHERE step LIKE '%s3cret-word%'";
        tx.query_one(sql, &[])?.map_or(Ok(0), |mut row| row.next::<i64>())
    };
    assert_eq!(site.cloud.state.db.read(kept).await.unwrap(), 0, "the password is in no row");
    let forgotten = json!({"rebuild": {"imageRef": other.to_string(), "key_name": null, "user_data": null}});
    assert_eq!(at(&alice, "2.57", Method::POST, &path, &forgotten).await.status, 202);
    site.cloud.work().await;
    let told = meta(&site, id).await;
    assert!(told.get("public_keys").is_none() && told.get("admin_pass").is_none(), "{told}");
}

#[tokio::test]
async fn each_field_is_known_from_its_version_on_and_personality_until_2_56() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    let path = format!("{PATH}/servers/{id}/action");
    let with = |field: &str, value: Value| json!({"rebuild": {"imageRef": site.image.to_string(), field: value}});
    for (field, value, before, from) in [
        ("description", json!("x"), "2.18", "2.19"),
        ("key_name", json!(null), "2.53", "2.54"),
        ("user_data", json!("eA=="), "2.56", "2.57"),
        ("trusted_image_certificates", json!(null), "2.62", "2.63"),
        ("hostname", json!("x1"), "2.89", "2.90"),
        ("personality", json!([{"path": "/etc/x", "contents": "eA=="}]), "2.57", "2.56"),
    ] {
        let body = with(field, value);
        assert_eq!(at(&alice, before, Method::POST, &path, &body).await.status, 400, "{field} at {before}");
        let reply = at(&alice, from, Method::POST, &path, &body).await;
        assert_eq!(reply.status, 202, "{field} at {from}: {}", reply.json());
        site.cloud.work().await;
    }
    let shown = |version: &'static str| {
        let (alice, path, body) = (&alice, &path, with("name", json!("x")));
        let site = &site;
        async move {
            let reply = at(alice, version, Method::POST, path, &body).await.json()["server"].clone();
            site.cloud.work().await;
            reply
        }
    };
    let old = shown("2.53").await;
    assert!(old.get("key_name").is_none() && old.get("OS-EXT-STS:vm_state").is_none(), "{old}");
    assert!(shown("2.54").await.get("key_name").is_some());
    assert!(shown("2.56").await.get("user_data").is_none() && shown("2.57").await.get("user_data").is_some());
    assert_eq!(shown("2.75").await["OS-EXT-STS:vm_state"], "active");
}

#[tokio::test]
async fn what_can_not_be_booted_is_refused_before_anything_is_lost() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    for (image, text) in [
        (json!("11111111-2222-4333-8444-555555555555"), "Cannot find image for rebuild"),
        (json!("no uuid"), "is not a 'uuid'"),
    ] {
        let refused = act(&alice, id, json!({"rebuild": {"imageRef": image}})).await;
        assert_eq!(refused.status, 400);
        assert!(message(&refused).contains(text), "{}", message(&refused));
    }
    let path = format!("{PATH}/servers/{id}/action");
    let key = json!({"rebuild": {"imageRef": site.image.to_string(), "key_name": "nobody's"}});
    let refused = at(&alice, "2.54", Method::POST, &path, &key).await;
    assert_eq!((refused.status, message(&refused)), (400, "Invalid key_name provided.".to_owned()));
    let server = show(&alice, id).await;
    assert_eq!((&server["status"], &server["OS-EXT-STS:task_state"]), (&json!("ACTIVE"), &json!(null)));
}

#[tokio::test]
async fn a_server_that_is_off_is_rebuilt_and_stays_off() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    assert_eq!(act(&alice, id, json!({"os-stop": null})).await.status, 202);
    site.cloud.work().await;
    assert_eq!(act(&alice, id, json!({"rebuild": {"imageRef": site.image.to_string()}})).await.status, 202);
    site.cloud.work().await;
    site.cloud.reconcile().await;
    let server = show(&alice, id).await;
    assert_eq!((&server["status"], &server["OS-EXT-STS:power_state"]), (&json!("SHUTOFF"), &json!(4)));
    assert_eq!(act(&alice, id, json!({"os-start": null})).await.status, 202);
    site.cloud.work().await;
    assert_eq!(show(&alice, id).await["status"], "ACTIVE");
}

/// Nobody can get this image's bytes as they should be.
async fn spoil(site: &Site, image: ImageId) {
    let spoil = move |tx: &mut crate::store::Tx| {
        let sql = "UPDATE blobs SET sha512 = ?2 WHERE id = (SELECT blob_id FROM images WHERE id = ?1)";
        tx.execute(sql, args![image, "0".repeat(128)])
    };
    assert_eq!(site.cloud.state.db.write(spoil).await.unwrap(), 1);
}

#[tokio::test]
async fn a_rebuild_whose_image_can_not_be_fetched_leaves_a_resized_disk_as_it_was() {
    let site = Site::new().await;
    make_flavor(&site, LARGER, 384, 2).await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    resize(&alice, id, LARGER).await;
    site.cloud.work().await;
    assert_eq!(act(&alice, id, json!({"confirmResize": null})).await.status, 204);
    let before = site.cloud.disks.root(id).unwrap();
    let other = image(&site.cloud, b"the bytes of another disk").await;
    spoil(&site, other).await;
    let path = format!("{PATH}/servers/{id}/action");
    let wish = json!({"rebuild": {"imageRef": other.to_string()}});
    let reply = at(&alice, "2.1", Method::POST, &path, &wish).await;
    assert_eq!((reply.status, &reply.json()["server"]["image"]["id"]), (202, &json!(other.to_string())));
    site.cloud.work().await;
    let server = show(&alice, id).await;
    assert_eq!((&server["status"], &server["image"]["id"]), (&json!("ERROR"), &json!(site.image.to_string())));
    assert_eq!(act(&alice, id, json!({"reboot": {"type": "HARD"}})).await.status, 202);
    site.cloud.work().await;
    assert_eq!(show(&alice, id).await["status"], "ACTIVE");
    assert_eq!(before.part, Part::Root { layer: 1 });
    assert_eq!(site.cloud.disks.root(id).unwrap(), before);
    let booted = &site.cloud.hypervisor.spec(id).unwrap().disks[0].path;
    assert!(booted.ends_with("disk.1.qcow2"), "{booted:?}");
}

#[tokio::test]
async fn a_rebuilt_server_forgets_what_it_could_have_gone_back_to() {
    let site = Site::new().await;
    make_flavor(&site, LARGER, 384, 2).await;
    let (alice, admin) = (site.cloud.member("alice").await, site.cloud.admin().await);
    let id = site.boot(&alice, "web").await;
    resize(&alice, id, LARGER).await;
    site.cloud.work().await;
    assert_eq!(claimed(&site, id).await, 192 + 384);
    assert_eq!(act(&admin, id, json!({"os-resetState": {"state": "active"}})).await.status, 202);
    assert_eq!(act(&alice, id, json!({"rebuild": {"imageRef": site.image.to_string()}})).await.status, 202);
    site.cloud.work().await;
    assert_eq!(show(&alice, id).await["status"], "ACTIVE");
    assert_eq!(site.cloud.disks.root(id).unwrap().part, Part::Root { layer: 0 });
    assert_eq!(claimed(&site, id).await, 384);
    let kept = move |tx: &mut crate::store::Tx| servers::get(tx, &Reach::Cloud, id);
    assert_eq!(site.cloud.state.db.read(kept).await.unwrap().aside, Aside::default());
}
