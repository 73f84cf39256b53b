//! Metadata definitions through the whole router: who makes them, who sees them, what they hold.

use super::metadefs::seed::seed;
use super::tests::text;
use crate::api::testing::{Client, Cloud, START};
use serde_json::{Value, json};
use std::path::Path;

const BASE: &str = "/image/v2/metadefs";

async fn make(admin: &Client, body: Value) -> Value {
    let reply = admin.post(&format!("{BASE}/namespaces"), body).await;
    assert_eq!(reply.status, 201, "{}", text(&reply));
    reply.json()
}

fn full() -> Value {
    json!({
        "namespace": "Hardware",
        "display_name": "Hardware",
        "visibility": "public",
        "resource_type_associations": [{"name": "OS::Glance::Image", "prefix": "hw_"}],
        "properties": {"bus": {"title": "Bus", "type": "string"}},
        "objects": [{"name": "cpu", "required": ["cores"], "properties": {"cores": {"title": "Cores", "type": "integer"}}}],
        "tags": [{"name": "Fast"}],
    })
}

#[tokio::test]
async fn a_namespace_is_made_shown_changed_and_deleted_with_what_it_holds() {
    let cloud = Cloud::new().await;
    let (admin, alice) = (cloud.admin().await, cloud.member("alice").await);
    let made = make(&admin, full()).await;
    let at = "2026-11-22T02:41:09Z";
    let object = json!({
        "name": "cpu", "required": ["cores"], "properties": {"cores": {"title": "Cores", "type": "integer"}},
        "created_at": at, "updated_at": at, "schema": "/v2/schemas/metadefs/object",
        "self": "/v2/metadefs/namespaces/Hardware/objects/cpu",
    });
    assert_eq!(
        made,
        json!({
            "namespace": "Hardware", "display_name": "Hardware", "visibility": "public", "protected": false,
            "owner": admin.project_id, "created_at": at, "updated_at": at, "schema": "/v2/schemas/metadefs/namespace",
            "self": "/v2/metadefs/namespaces/Hardware", "objects": [object],
            "properties": {"bus": {"title": "Bus", "type": "string"}}, "tags": [{"name": "Fast"}],
            "resource_type_associations":
                [{"name": "OS::Glance::Image", "prefix": "hw_", "created_at": at, "updated_at": at}],
        })
    );
    let path = format!("{BASE}/namespaces/Hardware");
    assert_eq!(alice.get(&path).await.json(), made);
    let prefixed = alice.get(&format!("{path}?resource_type=OS::Glance::Image")).await.json();
    assert_eq!(prefixed["properties"], json!({"hw_bus": {"title": "Bus", "type": "string"}}));
    assert_eq!(prefixed["objects"][0]["required"], json!(["hw_cores"]));
    let again = admin.post(&format!("{BASE}/namespaces"), full()).await;
    assert_eq!(again.status, 409);
    assert_eq!(admin.put(&path, json!({"namespace": "Machine", "protected": true})).await.status, 200);
    assert_eq!(admin.get(&path).await.status, 404);
    let path = format!("{BASE}/namespaces/Machine");
    let renamed = admin.get(&path).await.json();
    assert_eq!((&renamed["visibility"], renamed.get("display_name")), (&json!("private"), None));
    assert_eq!(renamed["properties"], made["properties"], "what it holds stays");
    for protected in [
        "",
        "/objects",
        "/properties",
        "/tags",
        "/objects/cpu",
        "/properties/bus",
        "/tags/fast",
        "/resource_types/OS::Glance::Image",
    ] {
        assert_eq!(admin.delete(&format!("{path}{protected}")).await.status, 403, "{protected}");
    }
    assert_eq!(admin.put(&path, json!({"namespace": "Machine"})).await.status, 200);
    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!(admin.delete(&path).await.status, 404);
    let types = alice.get(&format!("{BASE}/resource_types")).await.json();
    assert_eq!(types["resource_types"][0]["name"], "OS::Glance::Image", "types stay known");
}

#[tokio::test]
async fn others_see_public_namespaces_only_and_change_none() {
    let cloud = Cloud::new().await;
    let (admin, alice, bob) = (cloud.admin().await, cloud.member("alice").await, cloud.member("bob").await);
    make(&admin, full()).await;
    make(&admin, json!({"namespace": "Secret", "owner": alice.project_id, "tags": [{"name": "t"}]})).await;
    let names = |client: Client, query: &'static str| async move {
        let list = client.get(&format!("{BASE}/namespaces{query}")).await.json();
        let names =
            list["namespaces"].as_array().unwrap().iter().map(|one| one["namespace"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(bob.clone(), "").await, ["Hardware"]);
    assert_eq!(names(alice.clone(), "?sort_key=namespace&sort_dir=asc").await, ["Hardware", "Secret"]);
    assert_eq!(names(alice.clone(), "?visibility=private").await, ["Secret"]);
    assert_eq!(names(alice.clone(), "?resource_types=OS::Glance::Image,OS::Other").await, ["Hardware"]);
    for inner in ["", "/objects", "/properties", "/tags", "/tags/t", "/resource_types"] {
        let path = format!("{BASE}/namespaces/Secret{inner}");
        assert_eq!(bob.get(&path).await.status, 404, "{inner}");
        assert_eq!(alice.get(&path).await.status, 200, "{inner}");
    }
    for name in ["Secret", "Hardware", "Nowhere"] {
        let path = format!("{BASE}/namespaces/{name}");
        // One that can't be seen is told from one that isn't there by nothing.
        let of_strangers = if name == "Hardware" { 403 } else { 404 };
        assert_eq!(bob.delete(&path).await.status, of_strangers, "{name}");
        assert_eq!(bob.post(&format!("{path}/tags/x"), Value::Null).await.status, of_strangers, "{name}");
        let of_the_owner = if name == "Nowhere" { 404 } else { 403 };
        assert_eq!(alice.put(&path, json!({"namespace": name})).await.status, of_the_owner, "{name}");
        assert_eq!(alice.post(&format!("{path}/tags/x"), Value::Null).await.status, of_the_owner, "{name}");
    }
    assert_eq!(alice.post(&format!("{BASE}/namespaces"), json!({"namespace": "Mine"})).await.status, 403);
}

#[tokio::test]
async fn lists_of_namespaces_come_in_pages() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    for name in ["a", "b", "c"] {
        make(&admin, json!({"namespace": name})).await;
        cloud.pass_seconds(1);
    }
    let page = admin.get(&format!("{BASE}/namespaces?limit=2")).await.json();
    assert_eq!(
        (&page["namespaces"][0]["namespace"], &page["first"]),
        (&json!("c"), &json!("/v2/metadefs/namespaces?limit=2"))
    );
    let next = page["next"].as_str().unwrap();
    assert_eq!(next, "/v2/metadefs/namespaces?limit=2&marker=b");
    let page = admin.get(&format!("/image{next}")).await.json();
    assert_eq!((page["namespaces"].as_array().unwrap().len(), page.get("next")), (1, None));
    for query in ["limit=x", "limit=-1", "sort_dir=up", "sort_key=colour", "visibility=shared"] {
        assert_eq!(admin.get(&format!("{BASE}/namespaces?{query}")).await.status, 400, "{query}");
    }
    assert_eq!(admin.get(&format!("{BASE}/namespaces?marker=nowhere")).await.status, 404);
}

#[tokio::test]
async fn a_namespace_can_be_put_back_with_all_that_was_shown_of_it() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    make(&admin, full()).await;
    let path = format!("{BASE}/namespaces/Hardware");
    let mut shown = admin.get(&path).await.json();
    // What Glance's own client takes out before it sends a namespace back.
    for name in ["self", "schema", "created_at", "updated_at"] {
        shown.as_object_mut().unwrap().remove(name);
    }
    shown["protected"] = json!(true);
    let reply = admin.put(&path, shown).await;
    assert_eq!((reply.status, &reply.json()["protected"]), (200, &json!(true)));
}

#[tokio::test]
async fn what_nobody_said_of_an_object_is_empty_where_it_is_read() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    make(&admin, json!({"namespace": "Bare"})).await;
    let path = format!("{BASE}/namespaces/Bare");
    let made = admin.post(&format!("{path}/objects"), json!({"name": "disk"})).await;
    assert_eq!((made.status, made.json().get("required"), made.json().get("properties")), (201, None, None));
    let listed = admin.get(&format!("{path}/objects")).await.json();
    let whole = admin.get(&path).await.json();
    for object in
        [&admin.get(&format!("{path}/objects/disk")).await.json(), &listed["objects"][0], &whole["objects"][0]]
    {
        assert_eq!((&object["required"], &object["properties"]), (&json!([]), &json!({})));
    }
}

#[tokio::test]
async fn objects_and_properties_come_change_and_go() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    make(&admin, full()).await;
    let path = format!("{BASE}/namespaces/Hardware");
    let object = json!({"name": "disk", "description": "d", "properties": {}});
    let made = admin.post(&format!("{path}/objects"), object.clone()).await;
    assert_eq!((made.status, &made.json()["self"]), (201, &json!("/v2/metadefs/namespaces/Hardware/objects/disk")));
    assert_eq!(admin.post(&format!("{path}/objects"), object).await.status, 409);
    let listed = admin.get(&format!("{path}/objects?sort_key=name&sort_dir=asc&limit=1&marker=cpu")).await.json();
    assert_eq!(
        (&listed["objects"][0]["name"], &listed["schema"]),
        (&json!("disk"), &json!("v2/schemas/metadefs/objects"))
    );
    let renamed = admin.put(&format!("{path}/objects/disk"), json!({"name": "drive"})).await;
    assert_eq!((renamed.status, renamed.json().get("description")), (200, None));
    assert_eq!(admin.get(&format!("{path}/objects/disk")).await.status, 404);
    assert_eq!(admin.put(&format!("{path}/objects/drive"), json!({"name": "cpu"})).await.status, 409);
    assert_eq!(admin.delete(&format!("{path}/objects/drive")).await.status, 204);
    assert_eq!(admin.delete(&format!("{path}/objects/drive")).await.status, 404);

    let property = json!({"name": "model", "title": "Model", "type": "string"});
    let made = admin.post(&format!("{path}/properties"), property.clone()).await;
    assert_eq!((made.status, made.json()), (201, property.clone()));
    assert_eq!(admin.post(&format!("{path}/properties"), property.clone()).await.status, 409);
    let shown = admin.get(&format!("{path}/properties/hw_model?resource_type=OS::Glance::Image")).await;
    assert_eq!((shown.status, shown.json()), (200, property));
    for wrong in ["model?resource_type=OS::Glance::Image", "hw_model", "hw_model?resource_type=OS::Other"] {
        assert_eq!(admin.get(&format!("{path}/properties/{wrong}")).await.status, 404, "{wrong}");
    }
    let listed = admin.get(&format!("{path}/properties")).await.json();
    assert_eq!(listed["properties"].as_object().unwrap().len(), 2);
    assert_eq!(admin.delete(&format!("{path}/properties")).await.status, 204);
    assert_eq!(admin.get(&format!("{path}/properties")).await.json(), json!({"properties": {}}));
    for (kind, body) in [
        ("objects", json!({})),
        ("properties", json!({"title": "x", "type": "string"})),
        ("properties", json!({"name": "x"})),
    ] {
        assert_eq!(admin.post(&format!("{path}/{kind}"), body).await.status, 400);
    }
}

#[tokio::test]
async fn tags_are_names_without_regard_to_case() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    make(&admin, json!({"namespace": "N"})).await;
    let path = format!("{BASE}/namespaces/N/tags");
    let made = admin.post(&format!("{path}/Red"), Value::Null).await;
    assert_eq!((made.status, &made.json()["name"]), (201, &json!("Red")));
    assert_eq!(admin.post(&format!("{path}/red"), Value::Null).await.status, 409);
    assert_eq!(admin.get(&format!("{path}/RED")).await.json()["name"], "Red");
    let several = json!({"tags": [{"name": "green"}, {"name": "blue"}]});
    assert_eq!(admin.post(&path, several.clone()).await.json(), several);
    assert_eq!(admin.get(&format!("{path}/red")).await.status, 404, "in place of what was there");
    let more = json!({"tags": [{"name": "red"}]}).to_string().into_bytes();
    let append = [("content-type", "application/json"), ("x-openstack-append", "True")];
    assert_eq!(admin.send(http::Method::POST, &path, &append, more).await.status, 201);
    let listed = admin.get(&format!("{path}?sort_key=name&sort_dir=asc")).await.json();
    assert_eq!(listed, json!({"tags": [{"name": "blue"}, {"name": "green"}, {"name": "red"}]}));
    assert_eq!(admin.put(&format!("{path}/red"), json!({"name": "Crimson"})).await.json()["name"], "Crimson");
    assert_eq!(admin.post(&path, json!({"tags": [{"name": "a"}, {"name": "A"}]})).await.status, 409);
    assert_eq!(admin.get(&path).await.json()["tags"].as_array().unwrap().len(), 3, "all or none");
    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!(admin.get(&path).await.json(), json!({"tags": []}));
}

#[tokio::test]
async fn a_namespace_applies_to_types_of_resources() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    make(&admin, json!({"namespace": "N"})).await;
    let path = format!("{BASE}/namespaces/N/resource_types");
    let made = admin.post(&path, json!({"name": "OS::Nova::Flavor", "prefix": "f:"})).await;
    assert_eq!((made.status, &made.json()["prefix"]), (201, &json!("f:")));
    assert_eq!(admin.post(&path, json!({"name": "OS::Nova::Flavor"})).await.status, 409);
    assert_eq!(admin.get(&path).await.json()["resource_type_associations"][0]["name"], "OS::Nova::Flavor");
    assert_eq!(admin.delete(&format!("{path}/OS::Nova::Flavor")).await.status, 204);
    assert_eq!(admin.delete(&format!("{path}/OS::Nova::Flavor")).await.status, 404);
    assert_eq!(admin.post(&path, json!({"name": "x", "created_at": "now"})).await.status, 403);
}

#[tokio::test]
async fn every_schema_is_there_and_init_brings_namespaces_once() {
    let cloud = Cloud::new().await;
    let (admin, alice) = (cloud.admin().await, cloud.member("alice").await);
    for kind in [
        "namespace",
        "namespaces",
        "object",
        "objects",
        "property",
        "properties",
        "tag",
        "tags",
        "resource_type",
        "resource_types",
    ] {
        let schema = alice.get(&format!("/image/v2/schemas/metadefs/{kind}")).await;
        assert_eq!(schema.status, 200, "{kind}");
        assert!(schema.json()["properties"].is_object());
    }
    assert_eq!(alice.get("/image/v2/schemas/metadefs/colour").await.status, 404);
    let project = admin.project_id.as_str().into();
    for made in [2, 0] {
        assert_eq!(seed(&cloud.state.db, &project, Path::new(""), START).await.unwrap(), made);
    }
    let listed = alice.get(&format!("{BASE}/namespaces")).await.json();
    assert_eq!(listed["namespaces"].as_array().unwrap().len(), 2);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("more.json"), r#"{"namespace": "More"}"#).unwrap();
    std::fs::write(folder.path().join("notes.txt"), "not one").unwrap();
    assert_eq!(seed(&cloud.state.db, &project, folder.path(), START).await.unwrap(), 1);
    std::fs::write(folder.path().join("wrong.json"), "{}").unwrap();
    assert!(seed(&cloud.state.db, &project, folder.path(), START).await.is_err());
}
