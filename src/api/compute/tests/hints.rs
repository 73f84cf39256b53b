//! Hints to the scheduler: what is heeded, and that what would have to be and is not is refused.

use super::*;

async fn boot_with(site: &Site, client: &Client, hints: Value) -> Value {
    let mut wish = site.wish("hinted");
    wish["os:scheduler_hints"] = hints;
    let made = client.post(&format!("{PATH}/servers"), wish).await;
    assert_eq!(made.status, 202, "{}", made.json());
    site.cloud.work().await;
    show(client, ServerId::parse(made.json()["server"]["id"].as_str().unwrap()).unwrap()).await
}

#[tokio::test]
async fn a_server_goes_with_those_it_names_or_apart_from_them() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await.to_string();
    for (hints, status) in [
        (json!({"same_host": id}), "ACTIVE"),
        (json!({"same_host": [id, "11111111-2222-4333-8444-555555555555"]}), "ACTIVE"),
        (json!({"same_host": ["11111111-2222-4333-8444-555555555555"]}), "ERROR"),
        (json!({"different_host": id}), "ERROR"),
        (json!({"different_host": ["11111111-2222-4333-8444-555555555555"]}), "ACTIVE"),
        (json!({"same_host": [], "different_host": []}), "ACTIVE"),
    ] {
        let server = boot_with(&site, &alice, hints.clone()).await;
        assert_eq!(server["status"], status, "{hints}: {server}");
        if status == "ERROR" {
            let text = "No valid host was found. There are not enough hosts available.";
            let message = server["fault"]["message"].as_str().unwrap();
            assert!(message.starts_with(text) && message.contains(" Of 1 host, "), "{message}");
        }
    }
}

#[tokio::test]
async fn another_project_s_server_tells_nothing_of_where_it_is() {
    let site = Site::new().await;
    let (alice, bob) = (site.cloud.member("alice").await, site.cloud.member("bob").await);
    let hers = site.boot(&alice, "web").await.to_string();
    assert_eq!(boot_with(&site, &bob, json!({"different_host": hers})).await["status"], "ACTIVE");
    assert_eq!(
        boot_with(&site, &bob, json!({"same_host": hers})).await["status"],
        "ERROR",
        "as for one that isn't there"
    );
}

#[tokio::test]
async fn hints_of_the_wrong_form_and_hints_that_nothing_heeds_are_refused() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    for (hints, status) in [
        (json!({"same_host": "no uuid"}), 400),
        (json!({"same_host": [1]}), 400),
        (json!({"different_host": {"a": "b"}}), 400),
        (json!({"query": "[\">=\", \"$free_ram_mb\", 1024]"}), 501),
        (json!({"build_near_host_ip": "192.0.2.1", "cidr": "/24"}), 501),
        (json!({"target_cell": "cell"}), 501),
        (json!({"different_cell": ["cell"]}), 501),
        (json!({"price_class": "cheap"}), 501),
        (json!({"price_class": false}), 501),
        (json!({"_nova_check_type": ["rebuild"]}), 400),
    ] {
        let mut wish = site.wish("hinted");
        wish["os:scheduler_hints"] = hints.clone();
        let refused = alice.post(&format!("{PATH}/servers"), wish).await;
        assert_eq!(refused.status, status, "{hints}: {}", message(&refused));
    }
    // As clients fill in what nobody said.
    let empty = json!({"query": "", "different_cell": [], "target_cell": null, "price_class": {}});
    assert_eq!(boot_with(&site, &alice, empty).await["status"], "ACTIVE");
}
