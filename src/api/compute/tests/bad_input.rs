//! What is refused, with upstream's status and shape, and that nothing is left of it.

use super::*;
use http::Method;

#[tokio::test]
async fn a_server_of_another_project_is_not_found() {
    let site = Site::new().await;
    let (alice, bob) = (site.cloud.member("alice").await, site.cloud.member("bob").await);
    let id = site.boot(&alice, "web").await;
    let reply = bob.get(&format!("{PATH}/servers/{id}")).await;
    assert_eq!(
        (reply.status, reply.json()),
        (404, json!({"itemNotFound": {"code": 404, "message": format!("Instance {id} could not be found.")}}))
    );
    assert_eq!(bob.delete(&format!("{PATH}/servers/{id}")).await.status, 404);
    assert_eq!(act(&bob, id, json!({"os-stop": null})).await.status, 404);
    assert_eq!(bob.get(&format!("{PATH}/servers")).await.json(), json!({"servers": []}));
    assert_eq!(bob.get(&format!("{PATH}/servers?all_tenants=1")).await.status, 403);
    let all = site.cloud.admin().await.get(&format!("{PATH}/servers?all_tenants=1")).await.json();
    assert_eq!(all["servers"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_reader_looks_and_changes_nothing() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    let carol = site.cloud.with_role("carol", "reader", "alice").await;
    assert_eq!(carol.get(&format!("{PATH}/servers/{id}")).await.status, 200);
    assert_eq!(carol.post(&format!("{PATH}/servers"), site.wish("x")).await.status, 403);
    assert_eq!(carol.delete(&format!("{PATH}/servers/{id}")).await.status, 403);
    assert_eq!(act(&carol, id, json!({"os-stop": null})).await.status, 403);
    assert_eq!(site.cloud.stranger().get(&format!("{PATH}/servers")).await.status, 401);
}

#[tokio::test]
async fn a_body_of_the_wrong_shape_is_a_bad_request_that_names_the_field() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let path = format!("{PATH}/servers");
    let with = |key: &str, value: Value| {
        let mut wish = site.wish("web");
        wish["server"][key] = value;
        wish
    };
    for (wish, status, words) in [
        (json!({"server": {}}), 400, "'name' is a required property"),
        (with("name", json!("")), 400, "is too short"),
        (with("name", json!("x".repeat(256))), 400, "is too long"),
        (with("name", json!(7)), 400, "is not of type 'string'"),
        (with("nonsense", json!(1)), 400, "Additional properties are not allowed ('nonsense' was unexpected)"),
        (with("hostname", json!("web")), 400, "Additional properties are not allowed ('hostname' was unexpected)"),
        (with("imageRef", json!("nonsense")), 400, "Invalid imageRef provided."),
        (with("imageRef", json!(ImageId::random().to_string())), 400, "Can not find requested image"),
        (with("flavorRef", json!("no-such")), 400, "Flavor no-such could not be found."),
        (with("key_name", json!("no-such")), 400, "Invalid key_name provided."),
        (with("user_data", json!("not base64!")), 400, "is not a 'base64'"),
        (with("min_count", json!(0)), 400, "is less than the minimum of 1"),
        (with("min_count", json!(3)), 202, ""),
        (with("max_count", json!("two")), 400, "does not match"),
        (with("availability_zone", json!("mars")), 400, "The requested availability zone is not available"),
        (with("availability_zone", json!("nova:host-1")), 403, "servers:create:forced_host"),
        (with("networks", json!([{"uuid": NetworkId::random().to_string()}])), 400, "could not be found"),
        (with("networks", json!([{"uuid": "nonsense"}])), 400, "network uuid is not in proper format"),
        (with("networks", json!([{}])), 400, "Bad network format"),
        (with("metadata", json!({"a": 1})), 400, "is not of type 'string'"),
        (with("security_groups", json!([{"name": "web"}])), 400, "Security group web not found."),
        (
            with("block_device_mapping_v2", json!([{"boot_index": 0, "source_type": "volume", "uuid": "v"}])),
            501,
            "are built",
        ),
        (with("adminPass", json!(5)), 400, "is not of type 'string'"),
    ] {
        let reply = alice.post(&path, wish.clone()).await;
        assert_eq!(reply.status, status, "{wish}: {}", reply.json());
        assert!(message(&reply).contains(words), "{wish}: {}", message(&reply));
    }
    let malformed = alice.send(Method::POST, &path, &[], b"{\"server\": ".to_vec()).await;
    assert_eq!((malformed.status, message(&malformed).as_str()), (400, "Malformed request body"));
    let large = alice.send(Method::POST, &path, &[], vec![b' '; 200_000]).await;
    assert_eq!(large.status, 413);
}

#[tokio::test]
async fn a_refused_create_leaves_no_row_and_no_port() {
    let site = Site::new().await;
    let admin = site.cloud.admin().await;
    let mut wish = site.wish("web");
    // The second interface can't be made, after the first was.
    wish["server"]["networks"] =
        json!([{"uuid": site.network.to_string()}, {"uuid": site.network.to_string(), "fixed_ip": "192.0.2.1"}]);
    let reply = admin.post(&format!("{PATH}/servers"), wish).await;
    assert!(matches!(reply.status, 400 | 409), "{}", reply.json());
    assert_eq!(admin.get(&format!("{PATH}/servers")).await.json(), json!({"servers": []}));
    let network = site.network;
    let ports = site.cloud.state.db.read(move |tx| crate::store::ports::of_network(tx, network)).await.unwrap();
    assert!(ports.is_empty());
}

#[tokio::test]
async fn an_unknown_action_an_unknown_id_and_an_unknown_path_are_told_apart() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    let unknown = act(&alice, id, json!({"explode": null})).await;
    assert_eq!((unknown.status, message(&unknown).as_str()), (400, "There is no such action: explode"));
    for action in [json!({"os-stop": null}), json!({"addSecurityGroup": {"name": "default"}})] {
        assert_eq!(act(&alice, ServerId::random(), action).await.status, 404);
    }
    assert_eq!(alice.get(&format!("{PATH}/servers/nonsense")).await.status, 404);
    assert_eq!(alice.get(&format!("{PATH}/nonsense")).await.status, 404);
    let other_method = alice.put(&format!("{PATH}/servers"), json!({})).await;
    assert_eq!(other_method.status, 404, "Nova finds no such route either");
    assert_eq!(site.cloud.stranger().put(&format!("{PATH}/nonsense"), json!({})).await.status, 404);
}

#[tokio::test]
async fn key_pairs_are_checked_and_belong_to_their_user() {
    let site = Site::new().await;
    let (alice, bob) = (site.cloud.member("alice").await, site.cloud.member("bob").await);
    let path = format!("{PATH}/os-keypairs");
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@here";
    let made = alice.post(&path, json!({"keypair": {"name": "k", "public_key": key}})).await;
    assert_eq!(made.status, 200, "{}", made.json());
    let again = alice.post(&path, json!({"keypair": {"name": "k", "public_key": key}})).await;
    assert_eq!((again.status, message(&again).as_str()), (409, "Key pair 'k' already exists."));
    let junk = alice.post(&path, json!({"keypair": {"name": "j", "public_key": "ssh-rsa junk"}})).await;
    assert_eq!(message(&junk), "Keypair data is invalid: failed to generate fingerprint");
    let none = at(&alice, "2.92", Method::POST, &path, &json!({"keypair": {"name": "n"}})).await;
    assert!(message(&none).contains("'public_key' is a required property"), "{}", message(&none));
    assert_eq!(bob.get(&path).await.json(), json!({"keypairs": []}));
    let others = format!("{path}?user_id={}", alice.user_id);
    assert_eq!(at(&bob, "2.10", Method::GET, &others, &Value::Null).await.status, 403);
    let admin = site.cloud.admin().await;
    let seen = at(&admin, "2.10", Method::GET, &others, &Value::Null).await.json();
    assert_eq!(seen["keypairs"].as_array().unwrap().len(), 1);
    let missing = alice.get(&format!("{path}/none")).await;
    assert_eq!(message(&missing), format!("Keypair none not found for user {}", alice.user_id));
    assert_eq!(alice.delete(&format!("{path}/k")).await.status, 202);
}
