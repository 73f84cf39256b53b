//! Key pairs of type x509: generated while clients may ask for that, imported, and told to guests.

use super::*;
use http::Method;

async fn create(client: &Client, version: &str, keypair: Value) -> Reply {
    at(client, version, Method::POST, &format!("{PATH}/os-keypairs"), &json!({ "keypair": keypair })).await
}

#[tokio::test]
async fn a_certificate_is_generated_shown_and_told_to_the_guest_as_one() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let made = create(&alice, "2.2", json!({"name": "windows", "type": "x509"})).await;
    assert_eq!(made.status, 201, "{}", made.json());
    let made = made.json()["keypair"].clone();
    let certificate = made["public_key"].as_str().unwrap();
    assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"), "{certificate}");
    assert_eq!((made["fingerprint"].as_str().unwrap().len(), &made["type"]), (59, &json!("x509")));
    assert!(made["private_key"].as_str().unwrap().len() > 1000, "PKCS #12 in base64");
    let shown = at(&alice, "2.2", Method::GET, &format!("{PATH}/os-keypairs/windows"), &Value::Null).await.json();
    let listed = at(&alice, "2.2", Method::GET, &format!("{PATH}/os-keypairs"), &Value::Null).await.json();
    for seen in [&shown["keypair"], &listed["keypairs"][0]["keypair"]] {
        assert_eq!((&seen["type"], &seen["public_key"]), (&json!("x509"), &made["public_key"]));
        assert_eq!((&seen["fingerprint"], seen.get("private_key")), (&made["fingerprint"], None));
    }
    // The same certificate brought along is the same key pair, also where nothing is generated any more.
    let brought = create(&alice, "2.92", json!({"name": "again", "type": "x509", "public_key": certificate})).await;
    assert_eq!((brought.status, &brought.json()["keypair"]["fingerprint"]), (201, &made["fingerprint"]));
    assert!(brought.json()["keypair"].get("private_key").is_none());

    let mut wish = site.wish("web");
    wish["server"]["key_name"] = json!("windows");
    let reply = alice.post(&format!("{PATH}/servers"), wish).await;
    site.cloud.work().await;
    let id = ServerId::parse(reply.json()["server"]["id"].as_str().unwrap()).unwrap();
    let drive = site.cloud.disks.config_drive(id).unwrap();
    let (_, meta) = drive.files.iter().find(|(path, _)| path == "openstack/latest/meta_data.json").unwrap();
    let meta: Value = serde_json::from_slice(meta).unwrap();
    assert_eq!(meta["keys"], json!([{"name": "windows", "type": "x509", "data": certificate}]));
    assert_eq!(meta["public_keys"]["windows"], certificate);
}

#[tokio::test]
async fn what_is_no_certificate_is_refused_and_so_is_one_where_a_key_for_ssh_is_meant() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let ssh = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";
    let refused = create(&alice, "2.2", json!({"name": "k", "type": "x509", "public_key": ssh})).await;
    let beginning = "Keypair data is invalid: failed to generate X509 fingerprint. Error message: ";
    assert_eq!(refused.status, 400);
    assert!(message(&refused).starts_with(beginning), "{}", message(&refused));
    let certificate = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----";
    let meant = create(&alice, "2.2", json!({"name": "k", "type": "ssh", "public_key": certificate})).await;
    assert_eq!(message(&meant), "Keypair data is invalid: failed to generate fingerprint");
    let ungenerated = create(&alice, "2.92", json!({"name": "k", "type": "x509"})).await;
    assert_eq!(ungenerated.status, 400);
    let older = create(&alice, "2.1", json!({"name": "k", "type": "x509"})).await;
    assert!(message(&older).contains("Additional properties are not allowed"), "{}", message(&older));
    assert_eq!(alice.get(&format!("{PATH}/os-keypairs")).await.json()["keypairs"], json!([]));
}
