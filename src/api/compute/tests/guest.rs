//! What is asked of the guest within, and told of its machine.

use super::*;
use http::Method;

async fn with_agent(site: &Site) {
    let image = site.image;
    let set = move |tx: &mut crate::store::Tx| {
        let sql = "INSERT INTO image_properties (image_id, name, value) VALUES (?1, 'hw_qemu_guest_agent', 'yes')";
        tx.execute(sql, args![image])
    };
    site.cloud.state.db.write(set).await.unwrap();
}

#[tokio::test]
async fn a_password_is_changed_by_the_guests_agent_and_kept_nowhere() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let wish = json!({"changePassword": {"adminPass": "s3cret-word"}});
    let plain = site.boot(&alice, "plain").await;
    let refused = act(&alice, plain, wish.clone()).await;
    assert_eq!((refused.status, message(&refused)), (409, "QEMU guest agent is not enabled".to_owned()));
    with_agent(&site).await;
    let id = site.boot(&alice, "web").await;
    let silent = act(&alice, id, wish.clone()).await;
    assert_eq!((silent.status, message(&silent)), (501, "Unable to set password on instance".to_owned()));
    site.cloud.hypervisor.give_agent(id);
    assert_eq!(act(&alice, id, wish).await.status, 202);
    assert_eq!(site.cloud.hypervisor.passwords(id), [("root".to_owned(), "s3cret-word".to_owned())]);
    assert_eq!(act(&alice, id, json!({"changePassword": {}})).await.status, 400);
    let kept = |tx: &mut crate::store::Tx| {
        let sql = "SELECT COUNT(*) FROM tasks WHERE step LIKE '%s3cret-word%'";
        tx.query_one(sql, &[])?.map_or(Ok(0), |mut row| row.next::<i64>())
    };
    assert_eq!(site.cloud.state.db.read(kept).await.unwrap(), 0);
    let actions = alice.get(&format!("{PATH}/servers/{id}/os-instance-actions")).await.json();
    let named = |one: &&Value| one["action"] == "changePassword";
    assert_eq!(actions["instanceActions"].as_array().unwrap().iter().filter(named).count(), 2, "{actions}");
}

#[tokio::test]
async fn a_crash_dump_is_an_interrupt_from_2_17_on() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    let path = format!("{PATH}/servers/{id}/action");
    let dump = json!({"trigger_crash_dump": null});
    assert_ne!(at(&alice, "2.16", Method::POST, &path, &dump).await.status, 202);
    assert_eq!(at(&alice, "2.17", Method::POST, &path, &json!({"trigger_crash_dump": {}})).await.status, 400);
    assert_eq!(site.cloud.hypervisor.interrupts(id), 0);
    assert_eq!(at(&alice, "2.17", Method::POST, &path, &dump).await.status, 202);
    assert_eq!(site.cloud.hypervisor.interrupts(id), 1);
}

#[tokio::test]
async fn diagnostics_are_an_administrators_in_both_forms_and_only_of_what_runs() {
    let site = Site::new().await;
    let (alice, admin) = (site.cloud.member("alice").await, site.cloud.admin().await);
    let id = site.boot(&alice, "web").await;
    let path = format!("{PATH}/servers/{id}/diagnostics");
    assert_eq!(alice.get(&path).await.status, 403);
    let old = admin.get(&path).await.json();
    let tap = site.cloud.hypervisor.spec(id).unwrap().interfaces[0].tap.clone();
    assert_eq!((&old["cpu0_time"], &old["memory"]), (&json!(1_000_000_000), &json!(192 * 1024)));
    assert_eq!((&old["vda_read_req"], &old[format!("{tap}_rx_packets")]), (&json!(0), &json!(0)));
    let new = at(&admin, "2.48", Method::GET, &path, &Value::Null).await.json();
    assert_eq!((&new["driver"], &new["state"], &new["num_cpus"]), (&json!("libvirt"), &json!("running"), &json!(1)));
    assert_eq!((&new["num_disks"], &new["memory_details"]["maximum"]), (&json!(2), &json!(192)));
    assert_eq!(new["cpu_details"][0], json!({"id": 0, "time": 1_000_000_000, "utilisation": null}));
    assert!(new["nic_details"][0]["mac_address"].as_str().unwrap().starts_with("fa:16:3e:"));
    assert_eq!(act(&alice, id, json!({"pause": null})).await.status, 202);
    site.cloud.work().await;
    let paused = admin.get(&path).await;
    let text = format!("Cannot 'get_diagnostics' instance {id} while it is in power state paused");
    assert_eq!((paused.status, message(&paused)), (409, text));
}

#[tokio::test]
async fn a_server_has_no_nodes_and_no_password_was_left() {
    let site = Site::new().await;
    let (alice, mallory) = (site.cloud.member("alice").await, site.cloud.member("mallory").await);
    let id = site.boot(&alice, "web").await;
    let topology = at(&alice, "2.78", Method::GET, &format!("{PATH}/servers/{id}/topology"), &Value::Null).await;
    assert_eq!(topology.json(), json!({"nodes": [], "pagesize_kb": null}));
    assert_eq!(
        at(&alice, "2.77", Method::GET, &format!("{PATH}/servers/{id}/topology"), &Value::Null).await.status,
        404
    );
    let path = format!("{PATH}/servers/{id}/os-server-password");
    assert_eq!(alice.get(&path).await.json(), json!({"password": ""}));
    assert_eq!(alice.delete(&path).await.status, 204);
    assert_eq!((mallory.get(&path).await.status, mallory.delete(&path).await.status), (404, 404));
}

#[tokio::test]
async fn the_config_drive_tells_what_networks_are_once_an_operator_asks() {
    let site = Site::new().await;
    let (alice, admin) = (site.cloud.member("alice").await, site.cloud.admin().await);
    let id = site.boot(&alice, "web").await;
    let file = |site: &Site| {
        let drive = site.cloud.disks.config_drive(id).unwrap();
        let (_, content) = drive.files.iter().find(|(path, _)| path == "openstack/latest/network_data.json").unwrap();
        serde_json::from_slice::<Value>(content).unwrap()
    };
    assert_eq!(file(&site)["links"][0]["mtu"], 1500);
    let change = json!({"network": {"mtu": 1400}});
    assert_eq!(admin.put(&format!("/network/v2.0/networks/{}", site.network), change).await.status, 200);
    site.cloud.work().await;
    assert_eq!(act(&alice, id, json!({"injectNetworkInfo": null})).await.status, 403);
    assert_eq!(act(&admin, id, json!({"injectNetworkInfo": null})).await.status, 202);
    site.cloud.work().await;
    assert_eq!(file(&site)["links"][0]["mtu"], 1400);
    let server = show(&alice, id).await;
    assert_eq!((&server["status"], &server["OS-EXT-STS:task_state"]), (&json!("ACTIVE"), &json!(null)));
}
