//! What tenants write where it might be taken for more than text.

use super::*;
use crate::hypervisor::Accelerator;
use crate::hypervisor::domain_xml::domain;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;

/// Ends elements and attributes of XML, and means something to shells.
const EVIL: &str = "</gapura:name></metadata><evil a='b'/>\"]]>&lt;$(reboot)`id`;|#\\";

/// Names that the cloud has for what it keeps of a server, or tells its guest.
const FIELDS: [&str; 16] = [
    "uuid",
    "id",
    "name",
    "hostname",
    "host",
    "status",
    "power_state",
    "locked",
    "tenant_id",
    "project_id",
    "user_id",
    "admin_pass",
    "availability_zone",
    "launch_index",
    "image_base_image_ref",
    "__proto__",
];

/// The elements of a machine's description in their order, with the names of their attributes.
fn skeleton(xml: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(xml).unwrap();
    let elements = document.descendants().filter(roxmltree::Node::is_element);
    let told = |node: roxmltree::Node<'_, '_>| {
        let attributes: Vec<&str> = node.attributes().map(|attribute| attribute.name()).collect();
        format!("{} {}", node.tag_name().name(), attributes.join(" "))
    };
    elements.map(told).collect()
}

fn drive(site: &Site, id: ServerId) -> Vec<(String, Vec<u8>)> {
    site.cloud.disks.config_drive(id).unwrap().files
}

fn on_drive(site: &Site, id: ServerId, path: &str) -> Vec<u8> {
    let files = drive(site, id);
    files.into_iter().find(|(name, _)| name == path).unwrap_or_else(|| panic!("{path}")).1
}

#[tokio::test]
async fn whatever_a_request_says_anywhere_is_text_in_the_machines_description_or_not_in_it() {
    let site = Site::new().await;
    let admin = site.cloud.admin().await;
    let plain = site.boot(&admin, "web").await;
    let (id, network) = (site.image, site.network);
    let rename = move |tx: &mut crate::store::Tx| {
        tx.execute("UPDATE flavors SET name = ?1 WHERE id = '42'", args![EVIL])?;
        tx.execute("UPDATE images SET name = ?1 WHERE id = ?2", args![EVIL, id])?;
        tx.execute("UPDATE networks SET name = ?1 WHERE id = ?2", args![EVIL, network])
    };
    site.cloud.state.db.write(rename).await.unwrap();
    let mut wish = site.wish(EVIL);
    wish["server"]["description"] = json!(EVIL);
    wish["server"]["metadata"] = json!({"role": EVIL});
    wish["server"]["tags"] = json!([EVIL.replace(['/', ','], "")[..60]]);
    wish["server"]["adminPass"] = json!(EVIL);
    wish["server"]["user_data"] = json!(STANDARD.encode(EVIL));
    wish["server"]["personality"] = json!([{"path": format!("/{EVIL}/../../x"), "contents": STANDARD.encode(EVIL)}]);
    let reply = at(&admin, "2.52", Method::POST, &format!("{PATH}/servers"), &wish).await;
    assert_eq!(reply.status, 202, "{}", reply.json());
    site.cloud.work().await;
    let evil = ServerId::parse(reply.json()["server"]["id"].as_str().unwrap()).unwrap();
    let shown = show(&admin, evil).await;
    assert_eq!((&shown["status"], &shown["name"]), (&json!("ACTIVE"), &json!(EVIL)));

    let description = |id: ServerId| domain(&site.cloud.hypervisor.spec(id).unwrap(), "cloud", Accelerator::Tcg);
    assert_eq!(skeleton(&description(evil)), skeleton(&description(plain)));
    let xml = description(evil);
    let document = roxmltree::Document::parse(&xml).unwrap();
    let with_it =
        document.descendants().filter(|node| node.is_element() && node.text().is_some_and(|t| t.contains("evil")));
    let names: Vec<&str> = with_it.map(|node| node.tag_name().name()).collect();
    assert_eq!(names, ["name", "flavor"], "of the server and its flavor, for operators to read");
    let in_attributes = document.descendants().flat_map(|node| node.attributes()).any(|a| a.value().contains("evil"));
    assert!(!in_attributes, "{xml}");

    let meta: Value = serde_json::from_slice(&on_drive(&site, evil, "openstack/latest/meta_data.json")).unwrap();
    assert_eq!((&meta["name"], &meta["meta"]["role"]), (&json!(EVIL), &json!(EVIL)));
    assert_eq!(on_drive(&site, evil, "openstack/latest/user_data"), EVIL.as_bytes());
    let paths: Vec<String> = drive(&site, evil).into_iter().map(|(path, _)| path).collect();
    assert!(!paths.iter().any(|path| path.contains("evil") || path.contains("..")), "{paths:?}");
    let hostname = shown["OS-EXT-SRV-ATTR:hostname"].as_str().unwrap_or_default().to_owned();
    let is_label = |c: char| c.is_ascii_alphanumeric() || c == '-';
    assert!(meta["hostname"].as_str().unwrap().chars().all(is_label) && hostname.chars().all(is_label), "{meta}");
}

#[tokio::test]
async fn user_data_of_64_kib_is_told_whole_and_one_byte_more_is_refused() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let with = |text: String| {
        let mut wish = site.wish("web");
        wish["server"]["user_data"] = json!(text);
        wish
    };
    // Upstream counts the base64: 65,535 characters, of which only fours mean something.
    let data: Vec<u8> = (0..65_532 / 4 * 3).map(|n: u32| u8::try_from(n % 251).unwrap()).collect();
    let text = STANDARD.encode(&data);
    assert_eq!(text.len(), 65_532);
    let made = alice.post(&format!("{PATH}/servers"), with(text.clone() + "\n\n\n")).await;
    assert_eq!(made.status, 202, "{}", made.json());
    site.cloud.work().await;
    let id = ServerId::parse(made.json()["server"]["id"].as_str().unwrap()).unwrap();
    assert_eq!(on_drive(&site, id, "openstack/latest/user_data"), data);
    for longer in [text.clone() + "\n\n\n\n", text + "AAAA"] {
        let refused = alice.post(&format!("{PATH}/servers"), with(longer.clone())).await;
        assert_eq!(refused.status, 400);
        assert!(message(&refused).starts_with("Invalid input for field/attribute user_data."), "{}", longer.len());
        assert!(message(&refused).ends_with("is too long"));
        let body = json!({"rebuild": {"imageRef": site.image.to_string(), "user_data": longer}});
        let refused = at(&alice, "2.57", Method::POST, &format!("{PATH}/servers/{id}/action"), &body).await;
        assert_eq!((refused.status, message(&refused).ends_with("is too long")), (400, true));
    }
    assert_eq!(on_drive(&site, id, "openstack/latest/user_data"), data, "as it was");
}

#[tokio::test]
async fn metadata_and_hints_named_as_what_the_cloud_keeps_change_none_of_it() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let plain = site.boot(&alice, "web").await;
    let mut wish = site.wish("web");
    let metadata: Value = FIELDS.map(|field| (field.to_owned(), json!("mine"))).into_iter().collect();
    wish["server"]["metadata"] = metadata.clone();
    let made = alice.post(&format!("{PATH}/servers"), wish).await;
    site.cloud.work().await;
    let id = ServerId::parse(made.json()["server"]["id"].as_str().unwrap()).unwrap();
    let look = |id: ServerId, mut seen: Value| {
        // What differs between any two servers.
        let text = seen.to_string().replace(&id.to_string(), "ID");
        seen = serde_json::from_str(&text).unwrap();
        let map = seen.as_object_mut().unwrap();
        for own in ["metadata", "meta", "addresses", "created", "updated", "hostId", "OS-SRV-USG:launched_at"] {
            map.remove(own);
        }
        seen
    };
    let (shown, like) = (show(&alice, id).await, show(&alice, plain).await);
    assert_eq!(shown["metadata"], metadata);
    assert_eq!(look(id, shown), look(plain, like));
    let told = |id| serde_json::from_slice::<Value>(&on_drive(&site, id, "openstack/latest/meta_data.json")).unwrap();
    assert_eq!(told(id)["meta"], metadata);
    let kept = |id| {
        let mut told = look(id, told(id));
        told.as_object_mut().unwrap().retain(|key, _| !["reservation_id", "random_seed"].contains(&key.as_str()));
        told
    };
    assert_eq!(kept(id), kept(plain));

    for hint in ["_nova_check_type", "host", "force_hosts", "requested_destination", "project_id", "numa_topology"] {
        let mut wish = site.wish("web");
        wish["os:scheduler_hints"] = json!({hint: "host-1"});
        let refused = alice.post(&format!("{PATH}/servers"), wish).await;
        assert!(matches!(refused.status, 400 | 501), "{hint}: {}", refused.json());
    }
}
