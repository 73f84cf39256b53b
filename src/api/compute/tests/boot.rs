//! Boot and delete to the end, and what ends them early. That each step may run twice or fail is in `workflows`.

use super::*;
use http::Method;

#[tokio::test]
async fn a_server_is_made_booted_shown_and_deleted() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let reply = alice.post(&format!("{PATH}/servers"), site.wish("web")).await;
    assert_eq!(reply.status, 202, "{}", reply.json());
    let id = ServerId::parse(reply.json()["server"]["id"].as_str().unwrap()).unwrap();
    assert_eq!(reply.header("location"), Some(format!("http://cloud.test{PATH}/servers/{id}").as_str()));
    let building = show(&alice, id).await;
    assert_eq!((&building["status"], &building["addresses"]), (&json!("BUILD"), &json!({})));
    assert_eq!(building["OS-EXT-STS:task_state"], "scheduling");

    site.cloud.work().await;
    let active = show(&alice, id).await;
    assert_eq!((&active["status"], &active["OS-EXT-STS:power_state"]), (&json!("ACTIVE"), &json!(1)));
    assert_eq!(active["OS-EXT-STS:task_state"], json!(null));
    let address = &active["addresses"]["private"][0];
    assert_eq!((&address["version"], &address["OS-EXT-IPS:type"]), (&json!(4), &json!("fixed")));
    assert!(address["OS-EXT-IPS-MAC:mac_addr"].as_str().unwrap().starts_with("fa:16:3e:"));
    let spec = site.cloud.hypervisor.spec(id).expect("the machine runs");
    assert_eq!((spec.memory_mib, spec.interfaces.len(), spec.disks.len()), (192, 1, 2));
    assert!(site.cloud.disks.config_drive(id).is_some());

    let gone = alice.delete(&format!("{PATH}/servers/{id}")).await;
    assert_eq!(gone.status, 204);
    assert_eq!(show(&alice, id).await["OS-EXT-STS:task_state"], "deleting");
    site.cloud.work().await;
    assert_eq!(alice.get(&format!("{PATH}/servers/{id}")).await.status, 404);
    assert_nothing_left(&site, id).await;
}

#[tokio::test]
async fn a_server_deleted_while_it_is_built_is_gone_and_leaves_nothing() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let made = alice.post(&format!("{PATH}/servers"), site.wish("web")).await.json();
    let id = ServerId::parse(made["server"]["id"].as_str().unwrap()).unwrap();
    assert_eq!(alice.delete(&format!("{PATH}/servers/{id}")).await.status, 204);
    site.cloud.work().await;
    assert_eq!(alice.get(&format!("{PATH}/servers/{id}")).await.status, 404);
    assert_nothing_left(&site, id).await;
}

#[tokio::test]
async fn libvirt_away_during_a_boot_is_waited_for() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let made = alice.post(&format!("{PATH}/servers"), site.wish("web")).await.json();
    let id = ServerId::parse(made["server"]["id"].as_str().unwrap()).unwrap();
    site.cloud.hypervisor.set_away(true);
    site.cloud.work().await;
    assert_eq!(show(&alice, id).await["status"], "BUILD");
    site.cloud.hypervisor.set_away(false);
    site.cloud.pass_seconds(60);
    site.cloud.work().await;
    assert_eq!(show(&alice, id).await["status"], "ACTIVE");
}

#[tokio::test]
async fn a_flavor_too_large_for_any_host_ends_in_error_with_novas_words() {
    let site = Site::new().await;
    let admin = site.cloud.admin().await;
    let flavor = json!({"flavor": {"name": "huge", "id": "huge", "ram": 40960, "vcpus": 1, "disk": 9_000_000}});
    assert_eq!(admin.post(&format!("{PATH}/flavors"), flavor).await.status, 200);
    let mut wish = site.wish("web");
    wish["server"]["flavorRef"] = json!("huge");
    let made = admin.post(&format!("{PATH}/servers"), wish).await.json();
    let id = ServerId::parse(made["server"]["id"].as_str().unwrap()).unwrap();
    site.cloud.work().await;
    let server = show(&admin, id).await;
    assert_eq!(server["status"], "ERROR");
    assert!(server["fault"]["message"].as_str().unwrap().starts_with("No valid host was found. "));
    assert_nothing_left(&site, id).await;
}

#[tokio::test]
async fn racing_creates_never_exceed_the_quota() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let path = format!("{PATH}/servers");
    let tries = (0..15).map(|n| alice.post(&path, site.wish(&format!("web-{n}"))));
    let replies: Vec<Reply> = futures::future::join_all(tries).await;
    let accepted = replies.iter().filter(|reply| reply.status == 202).count();
    assert_eq!(accepted, 10, "the default quota of instances");
    let refused = replies.iter().find(|reply| reply.status != 202).unwrap();
    assert_eq!(refused.status, 403);
    assert_eq!(message(refused), "Quota exceeded for instances: Requested 1, but already used 10 of 10 instances");
}

#[tokio::test]
async fn several_servers_are_made_at_once_as_many_as_the_quota_allows() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let mut wish = site.wish("web");
    wish["server"]["min_count"] = json!(2);
    wish["server"]["max_count"] = json!("12");
    wish["server"]["return_reservation_id"] = json!(true);
    let reply = alice.post(&format!("{PATH}/servers"), wish).await;
    assert_eq!(reply.status, 202, "{}", reply.json());
    assert!(reply.json()["reservation_id"].as_str().unwrap().starts_with("r-"));
    let list = alice.get(&format!("{PATH}/servers?name=web")).await.json();
    let names: Vec<&str> = list["servers"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 10);
    assert!(names.contains(&"web-1") && names.contains(&"web-10"));
}

#[tokio::test]
async fn a_guest_is_told_its_key_its_data_and_its_name() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let key = alice.post(&format!("{PATH}/os-keypairs"), json!({"keypair": {"name": "laptop"}})).await;
    assert_eq!(key.status, 200, "{}", key.json());
    assert!(key.json()["keypair"]["private_key"].as_str().unwrap().starts_with("-----BEGIN OPENSSH PRIVATE KEY-----"));
    let mut wish = site.wish("My Web");
    wish["server"]["key_name"] = json!("laptop");
    wish["server"]["user_data"] = json!("IyEvYmluL3NoCg==");
    wish["server"]["metadata"] = json!({"role": "web"});
    let made = alice.post(&format!("{PATH}/servers"), wish).await.json();
    let id = ServerId::parse(made["server"]["id"].as_str().unwrap()).unwrap();
    site.cloud.work().await;
    let drive = site.cloud.disks.config_drive(id).unwrap();
    let file = |path: &str| drive.files.iter().find(|(name, _)| name == path).map(|(_, bytes)| bytes.clone()).unwrap();
    let meta: Value = serde_json::from_slice(&file("openstack/latest/meta_data.json")).unwrap();
    assert_eq!((&meta["hostname"], &meta["meta"]["role"]), (&json!("my-web"), &json!("web")));
    assert_eq!(meta["public_keys"]["laptop"], key.json()["keypair"]["public_key"]);
    assert_eq!(file("openstack/latest/user_data"), b"#!/bin/sh\n");
}

#[tokio::test]
async fn a_boot_waits_for_a_host_that_was_not_heard_yet() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    // As after a night: the last word of the host is old.
    site.cloud.pass_seconds(600);
    let made = alice.post(&format!("{PATH}/servers"), site.wish("web")).await.json();
    let id = ServerId::parse(made["server"]["id"].as_str().unwrap()).unwrap();
    site.cloud.work().await;
    assert_eq!(show(&alice, id).await["status"], "BUILD");
    site.cloud.reconcile().await;
    site.cloud.pass_seconds(5);
    site.cloud.work().await;
    assert_eq!(show(&alice, id).await["status"], "ACTIVE");
}

#[tokio::test]
async fn an_address_that_a_client_writes_down_is_shown_in_its_one_form() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let mut wish = site.wish("web");
    wish["server"]["accessIPv6"] = json!("0000:0000:0000:0000:0000:babe:220.12.22.2");
    let reply = alice.post(&format!("{PATH}/servers"), wish).await;
    assert_eq!(reply.status, 202, "{}", reply.json());
    let id = ServerId::parse(reply.json()["server"]["id"].as_str().unwrap()).unwrap();
    assert_eq!(show(&alice, id).await["accessIPv6"], "::babe:dc0c:1602");
}

#[tokio::test]
async fn a_password_given_at_creation_is_told_to_the_guest_and_kept_in_no_row() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let mut wish = site.wish("web");
    wish["server"]["adminPass"] = json!("s3cret-word");
    let reply = alice.post(&format!("{PATH}/servers"), wish).await;
    assert_eq!(reply.status, 202, "{}", reply.json());
    assert!(!reply.json().to_string().contains("s3cret-word"));
    site.cloud.work().await;
    let id = ServerId::parse(reply.json()["server"]["id"].as_str().unwrap()).unwrap();
    assert_eq!(show(&alice, id).await["status"], "ACTIVE");
    assert_eq!(super::rebuild::meta(&site, id).await["admin_pass"], "s3cret-word");
    let kept = |tx: &mut crate::store::Tx| {
        let sql = "SELECT COUNT(*) FROM tasks WHERE step LIKE '%s3cret-word%'";
        tx.query_one(sql, &[])?.map_or(Ok(0), |mut row| row.next::<i64>())
    };
    assert_eq!(site.cloud.state.db.read(kept).await.unwrap(), 0, "the password is in no row");
}

#[tokio::test]
async fn networks_may_be_the_word_auto_for_the_only_one_there_is_or_none_for_none() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let wish = |networks: &Value| {
        let mut wish = site.wish("web");
        wish["server"]["networks"] = networks.clone();
        if networks.is_null() {
            wish["server"].as_object_mut().unwrap().remove("networks");
        }
        wish
    };
    let (auto, none, unsaid) = (json!("auto"), json!("none"), Value::Null);
    for (version, networks, status, words) in [
        ("2.36", &auto, 400, "is not of type 'array'"),
        ("2.37", &json!("any"), 400, "is not one of ['none', 'auto']"),
        ("2.37", &unsaid, 400, "'networks' is a required property"),
        ("2.36", &unsaid, 202, ""),
        ("2.37", &auto, 202, ""),
        ("2.37", &none, 202, ""),
    ] {
        let reply = at(&alice, version, Method::POST, &format!("{PATH}/servers"), &wish(networks)).await;
        assert_eq!(reply.status, status, "{version} {networks}: {}", reply.json());
        assert!(message(&reply).contains(words), "{version} {networks}: {}", message(&reply));
        if status == 202 {
            site.cloud.work().await;
            let id = ServerId::parse(reply.json()["server"]["id"].as_str().unwrap()).unwrap();
            let shown = show(&alice, id).await;
            assert_eq!(shown["status"], "ACTIVE");
            let connected: Vec<&String> = shown["addresses"].as_object().unwrap().keys().collect();
            assert_eq!(connected.len(), usize::from(*networks != none), "{networks}: {connected:?}");
        }
    }
}

#[tokio::test]
async fn servers_made_together_have_one_reservation_by_which_they_are_found() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    site.boot(&alice, "other").await;
    let mut wish = site.wish("web");
    wish["server"]["min_count"] = json!(3);
    wish["server"]["return_reservation_id"] = json!(true);
    let reply = alice.post(&format!("{PATH}/servers"), wish).await;
    let reservation = reply.json()["reservation_id"].as_str().unwrap().to_owned();
    assert_eq!((reply.status, reply.json()), (202, json!({"reservation_id": reservation})));
    let found = alice.get(&format!("{PATH}/servers?reservation_id={reservation}")).await.json();
    let mut names: Vec<&str> =
        found["servers"].as_array().unwrap().iter().map(|server| server["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["web-1", "web-2", "web-3"]);
}
