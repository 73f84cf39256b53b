//! Servers that trust images signed with certain certificates alone: nothing verifies signatures, so they don't run.

use super::*;
use http::Method;

const TRUSTED: &str = "0b5d2c72-12cc-4ba6-a8d7-3ff5cc1d8cb8";

#[tokio::test]
async fn a_server_that_trusts_certain_certificates_ends_in_error_and_says_why() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let mut wish = site.wish("web");
    wish["server"]["trusted_image_certificates"] = json!([TRUSTED]);
    let made = at(&alice, "2.63", Method::POST, &format!("{PATH}/servers"), &wish).await;
    assert_eq!(made.status, 202, "{}", made.json());
    let id = ServerId::parse(made.json()["server"]["id"].as_str().unwrap()).unwrap();
    site.cloud.work().await;
    let shown = at(&alice, "2.63", Method::GET, &format!("{PATH}/servers/{id}"), &Value::Null).await.json();
    let server = &shown["server"];
    let text = format!(
        "Image signature certificate validation failed for certificate: {TRUSTED}. Signatures of images are not verified here."
    );
    assert_eq!((&server["status"], &server["fault"]["message"]), (&json!("ERROR"), &json!(text)));
    assert_eq!(server["trusted_image_certificates"], json!([TRUSTED]));
    assert_nothing_left(&site, id).await;
}

#[tokio::test]
async fn a_rebuild_that_trusts_certain_certificates_ends_in_error_with_the_disk_as_it_was_and_another_mends_it() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    let own = site.cloud.disks.root(id).unwrap();
    let other = image(&site.cloud, b"the bytes of another disk").await;
    let path = format!("{PATH}/servers/{id}/action");
    let mut wish = json!({"rebuild": {"imageRef": other.to_string(), "trusted_image_certificates": [TRUSTED]}});
    let rebuilt = at(&alice, "2.63", Method::POST, &path, &wish).await;
    assert_eq!((rebuilt.status, &rebuilt.json()["server"]["trusted_image_certificates"]), (202, &json!([TRUSTED])));
    site.cloud.work().await;
    let server = show(&alice, id).await;
    assert_eq!((&server["status"], site.cloud.disks.root(id).unwrap()), (&json!("ERROR"), own));
    // Without a word of it, it still trusts them alone.
    wish["rebuild"] = json!({"imageRef": other.to_string()});
    assert_eq!(at(&alice, "2.63", Method::POST, &path, &wish).await.status, 202);
    site.cloud.work().await;
    assert_eq!(show(&alice, id).await["status"], "ERROR");
    wish["rebuild"]["trusted_image_certificates"] = json!(null);
    assert_eq!(at(&alice, "2.63", Method::POST, &path, &wish).await.status, 202);
    site.cloud.work().await;
    assert_eq!(show(&alice, id).await["status"], "ACTIVE");
}

#[tokio::test]
async fn a_list_of_certificates_is_of_texts_each_once_and_not_before_2_63() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let many: Vec<String> = (0..51).map(|number| number.to_string()).collect();
    for (version, list) in [
        ("2.63", json!([])),
        ("2.63", json!(["a", "a"])),
        ("2.63", json!([""])),
        ("2.63", json!([1])),
        ("2.63", json!("a")),
        ("2.63", json!(many)),
        ("2.62", json!([TRUSTED])),
    ] {
        let mut wish = site.wish("web");
        wish["server"]["trusted_image_certificates"] = list.clone();
        let refused = at(&alice, version, Method::POST, &format!("{PATH}/servers"), &wish).await;
        assert_eq!(refused.status, 400, "{version} {list}");
    }
}
