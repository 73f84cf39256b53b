//! A password that a guest is told: on its config drive alone, and in no row that anybody could read.

use super::*;

const SECRET: &str = "s3cret-word";

/// What rows keep of all work, whether it goes on or is over.
async fn steps(site: &Site) -> Vec<String> {
    let read = |tx: &mut crate::store::Tx| {
        tx.query("SELECT step FROM tasks", &[])?.into_iter().map(|mut row| row.next::<String>()).collect()
    };
    site.cloud.state.db.read(read).await.unwrap()
}

fn told(site: &Site, id: ServerId) -> Value {
    let drive = site.cloud.disks.config_drive(id).unwrap();
    let (_, meta) = drive.files.iter().find(|(path, _)| path == "openstack/latest/meta_data.json").unwrap();
    serde_json::from_slice(meta).unwrap()
}

async fn is_told_and_kept_nowhere(site: &Site, client: &Client, id: ServerId) {
    let kept = steps(site).await;
    assert!(kept.iter().any(|step| step.contains("key_id")), "it is on its way: {kept:?}");
    assert!(!kept.iter().any(|step| step.contains(SECRET)), "sealed: {kept:?}");
    site.cloud.work().await;
    assert_eq!(told(site, id)["admin_pass"], SECRET, "{}", show(client, id).await);
    assert!(!steps(site).await.iter().any(|step| step.contains("key_id")), "and forgotten once it is told");
}

#[tokio::test]
async fn a_password_reaches_the_guest_sealed_from_creation_rebuild_and_rescue() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let mut wish = site.wish("web");
    wish["server"]["adminPass"] = json!(SECRET);
    let made = alice.post(&format!("{PATH}/servers"), wish).await.json();
    assert!(made["server"].get("adminPass").is_none(), "as Nova without enable_instance_password: {made}");
    let id = ServerId::parse(made["server"]["id"].as_str().unwrap()).unwrap();
    is_told_and_kept_nowhere(&site, &alice, id).await;
    assert_eq!(act(&alice, id, json!({"reboot": {"type": "HARD"}})).await.status, 202);
    site.cloud.work().await;
    assert!(told(&site, id).get("admin_pass").is_none(), "told once");
    let rebuild = json!({"rebuild": {"imageRef": site.image.to_string(), "adminPass": SECRET}});
    assert_eq!(act(&alice, id, rebuild).await.status, 202);
    is_told_and_kept_nowhere(&site, &alice, id).await;
    assert_eq!(act(&alice, id, json!({"rescue": {"adminPass": SECRET}})).await.status, 200);
    is_told_and_kept_nowhere(&site, &alice, id).await;
}

#[tokio::test]
async fn a_password_of_a_server_that_failed_or_was_deleted_on_its_way_is_forgotten() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let mut wish = site.wish("web");
    wish["server"]["adminPass"] = json!(SECRET);
    wish["os:scheduler_hints"] = json!({"same_host": "11111111-2222-4333-8444-555555555555"});
    let made = alice.post(&format!("{PATH}/servers"), wish.clone()).await.json();
    site.cloud.work().await;
    let id = ServerId::parse(made["server"]["id"].as_str().unwrap()).unwrap();
    assert_eq!(show(&alice, id).await["status"], "ERROR");
    wish["os:scheduler_hints"] = json!({});
    let made = alice.post(&format!("{PATH}/servers"), wish).await.json();
    let path = format!("{PATH}/servers/{}", made["server"]["id"].as_str().unwrap());
    // Work goes in the order in which it was asked for.
    site.cloud.pass_seconds(1);
    assert_eq!(alice.delete(&path).await.status, 204);
    site.cloud.work().await;
    let kept = steps(&site).await;
    assert!(!kept.iter().any(|step| step.contains("key_id")), "{kept:?}");
}
