//! Microversions: the documents, the headers, and fields that come and go.

use super::*;
use http::Method;

#[tokio::test]
async fn the_version_documents_say_what_is_served_to_anybody() {
    let site = Site::new().await;
    let stranger = site.cloud.stranger();
    let root = stranger.get("/compute").await.json();
    assert_eq!((&root["versions"][1]["id"], &root["versions"][1]["min_version"]), (&json!("v2.1"), &json!("2.1")));
    assert_eq!((&root["versions"][0]["id"], &root["versions"][0]["min_version"]), (&json!("v2.0"), &json!("")));
    for (at, id) in [("/compute/v2.1/", "v2.1"), ("/compute/v2/", "v2.0")] {
        let one = stranger.get(at).await;
        assert_eq!((one.status, &one.json()["version"]["id"]), (200, &json!(id)));
        assert_eq!(one.json()["version"]["links"][0]["href"], format!("http://cloud.test{at}"));
    }
}

#[tokio::test]
async fn v2_is_the_oldest_version_to_clients_that_know_no_headers_and_send_what_nobody_reads() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    assert_eq!(site.cloud.stranger().get("/compute/v2/servers").await.status, 401);
    let mut wish = site.wish("  web ");
    wish["server"]["shiny"] = json!(true);
    wish["server"]["networks"][0]["label"] = json!("x");
    wish["server"]["tags"] = json!(["of 2.52"]);
    wish["more"] = json!({});
    let strict = alice.post(&format!("{PATH}/servers"), wish.clone()).await;
    assert_eq!(strict.status, 400);
    let made = at(&alice, "2.90", Method::POST, "/compute/v2/servers", &wish).await;
    assert_eq!(made.status, 202, "{}", made.json());
    for unsaid in ["openstack-api-version", "x-openstack-nova-api-version", "vary"] {
        assert_eq!(made.header(unsaid), None, "{unsaid}");
    }
    site.cloud.work().await;
    let id = made.json()["server"]["id"].as_str().unwrap().to_owned();
    assert_eq!(made.header("location"), Some(format!("http://cloud.test/compute/v2/servers/{id}").as_str()));
    let shown = at(&alice, "2.90", Method::GET, &format!("/compute/v2/servers/{id}"), &Value::Null).await.json();
    assert_eq!((&shown["server"]["name"], &shown["server"]["status"]), (&json!("web"), &json!("ACTIVE")));
    assert_eq!(shown["server"]["links"][0]["href"], format!("http://cloud.test/compute/v2/servers/{id}"));
    assert!(shown["server"].get("tags").is_none(), "nothing of later versions");
    let page = alice.get("/compute/v2/servers?limit=1&nonsense=1").await.json();
    let next = page["servers_links"][0]["href"].as_str().unwrap();
    assert!(next.starts_with("http://cloud.test/compute/v2/servers?"), "{next}");
    let lacking = alice.post("/compute/v2/servers", json!({"server": {"name": "web", "shiny": 1}})).await;
    assert_eq!((lacking.status, message(&lacking).contains("'flavorRef' is a required property")), (400, true));
    let wrong = alice.post("/compute/v2/servers", json!({"server": {"name": 7, "flavorRef": "42"}})).await;
    assert_eq!(wrong.status, 400, "what is read must be right");
    assert_eq!(alice.get("/compute/v2.0/servers").await.status, 404);
}

#[tokio::test]
async fn a_path_may_name_the_tokens_project_and_no_other() {
    let site = Site::new().await;
    let (alice, bob) = (site.cloud.member("alice").await, site.cloud.member("bob").await);
    let id = site.boot(&alice, "web").await;
    let shown = alice.get(&format!("{PATH}/servers/{id}")).await.json();
    let project = shown["server"]["tenant_id"].as_str().unwrap();
    for base in [PATH, "/compute/v2"] {
        let named = alice.get(&format!("{base}/{project}/servers/{id}")).await;
        assert_eq!((named.status, &named.json()["server"]["name"]), (200, &json!("web")));
        let acted = alice.post(&format!("{base}/{project}/servers/{id}/action"), json!({"lock": null})).await;
        assert_eq!(acted.status, 202);
        let other = bob.get(&format!("{base}/{project}/servers/{id}")).await;
        assert_eq!(other.status, 400);
        let sentence =
            format!("Malformed request URL: URL's project_id '{project}' doesn't match Context's project_id '");
        assert!(message(&other).starts_with(&sentence), "{}", message(&other));
        assert_eq!(site.cloud.stranger().get(&format!("{base}/{project}/servers")).await.status, 401);
    }
    assert_eq!(alice.get(&format!("{PATH}/{project}/{project}/servers")).await.status, 404);
    let images = alice.get(&format!("/image/v2/{project}/images")).await;
    assert_eq!(images.status, 404, "only Nova's paths do");
}

#[tokio::test]
async fn a_slash_behind_a_path_names_something_without_an_id_which_is_nothing() {
    let site = Site::new().await;
    let admin = site.cloud.admin().await;
    for path in ["servers", "servers/detail", "flavors", "os-keypairs", "os-services", "images", "limits"] {
        assert_eq!(admin.get(&format!("{PATH}/{path}")).await.status, 200, "{path}");
        assert_eq!(admin.get(&format!("{PATH}/{path}/")).await.status, 404, "{path}/");
        assert_eq!(admin.delete(&format!("{PATH}/{path}/")).await.status, 404, "{path}/");
    }
    assert_eq!(admin.post(&format!("{PATH}/servers/"), site.wish("web")).await.status, 404);
}

#[tokio::test]
async fn a_field_is_shown_from_its_version_to_its_end() {
    let site = Site::new().await;
    let admin = site.cloud.admin().await;
    let id = site.boot(&admin, "web").await;
    let path = format!("{PATH}/servers/{id}");
    let fields = |version: &'static str| {
        let (admin, path) = (admin.clone(), path.clone());
        async move {
            let reply = at(&admin, version, Method::GET, &path, &Value::Null).await;
            assert_eq!(reply.header("openstack-api-version"), Some(format!("compute {version}").as_str()));
            reply.json()["server"].clone()
        }
    };
    let oldest = fields("2.1").await;
    assert_eq!(oldest["flavor"]["id"], "42");
    for absent in ["locked", "description", "tags", "OS-EXT-SRV-ATTR:hostname", "locked_reason"] {
        assert!(oldest.get(absent).is_none(), "{absent}");
    }
    assert_eq!(fields("2.9").await["locked"], false);
    assert_eq!(fields("2.47").await["flavor"]["original_name"], "m1.nano");
    assert_eq!(fields("2.73").await["locked_reason"], json!(null));
    assert_eq!(fields("2.96").await["pinned_availability_zone"], json!(null));
    let newest = fields("2.100").await;
    assert_eq!((&newest["scheduler_hints"], &newest["image"]["properties"]), (&json!({}), &json!({})));
    assert_eq!(newest["host_status"], "UP");
    let beyond = at(&admin, "2.999", Method::GET, &path, &Value::Null).await;
    assert_eq!(beyond.status, 406);
}

#[tokio::test]
async fn an_update_shows_as_much_as_its_version_does() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    let path = format!("{PATH}/servers/{id}");
    let old = at(&alice, "2.1", Method::PUT, &path, &json!({"server": {"name": "db"}})).await;
    assert_eq!((old.status, &old.json()["server"]["name"]), (200, &json!("db")));
    assert!(old.json()["server"].get("key_name").is_none());
    assert_eq!(alice.put(&path, json!({"server": {}})).await.status, 200, "nothing to change is no fault");
    let body = json!({"server": {"description": null, "hostname": "db-1"}});
    let new = at(&alice, "2.90", Method::PUT, &path, &body).await.json();
    assert_eq!(new["server"]["OS-EXT-SRV-ATTR:hostname"], "db-1");
    assert!(new["server"].get("key_name").is_some());
}

#[tokio::test]
async fn lists_filter_sort_and_come_in_pages() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    for name in ["a", "b", "c"] {
        site.boot(&alice, name).await;
        site.cloud.pass_seconds(1);
    }
    let names = |reply: Reply| -> Vec<String> {
        assert_eq!(reply.status, 200, "{}", reply.json());
        let list = reply.json()["servers"].as_array().unwrap().clone();
        list.iter().map(|server| server["name"].as_str().unwrap().to_owned()).collect()
    };
    let get = |query: &str| {
        let (alice, path) = (alice.clone(), format!("{PATH}/servers{query}"));
        async move { alice.get(&path).await }
    };
    assert_eq!(names(get("").await), ["c", "b", "a"]);
    assert_eq!(names(get("?sort_key=display_name&sort_dir=asc").await), ["a", "b", "c"]);
    assert_eq!(names(get("?name=^b$").await), ["b"]);
    assert_eq!(names(get("?status=ACTIVE&status=ERROR").await).len(), 3);
    assert_eq!(names(get("?status=nonsense").await), Vec::<String>::new());
    assert_eq!(names(get("?ip=10.9.0").await).len(), 3);
    let first = get("?limit=2").await;
    let next = first.json()["servers_links"][0]["href"].as_str().unwrap().to_owned();
    assert_eq!(names(first), ["c", "b"]);
    let rest = alice.get(next.strip_prefix("http://cloud.test").unwrap()).await;
    assert_eq!(names(rest), ["a"]);
    assert_eq!(names(get("?limit=0").await), Vec::<String>::new());
    assert_eq!(get("?limit=-1").await.status, 400);
    assert_eq!(get("?marker=nonsense").await.status, 400);
    assert_eq!(get("?name=(").await.status, 400);
    let strict = at(&alice, "2.75", Method::GET, &format!("{PATH}/servers?nonsense=1"), &Value::Null).await;
    assert_eq!(strict.status, 400);
}

#[tokio::test]
async fn what_came_with_the_newest_versions_is_there_and_what_went_is_gone() {
    let site = Site::new().await;
    let admin = site.cloud.admin().await;
    let id = site.boot(&admin, "web").await;
    let get = |version: &'static str, path: String| {
        let admin = admin.clone();
        async move { at(&admin, version, Method::GET, &path, &Value::Null).await }
    };
    let stray = format!("{PATH}/servers/{id}?nonsense=1");
    assert_eq!(get("2.101", stray.clone()).await.status, 200);
    let refused = get("2.102", stray).await;
    assert_eq!(
        (refused.status, message(&refused).as_str()),
        (400, "Additional properties are not allowed ('nonsense' was unexpected)")
    );
    assert_eq!(get("2.101", format!("{PATH}/flavors?name=nano")).await.status, 400);
    let named = get("2.102", format!("{PATH}/flavors?name=nano$")).await.json();
    let names: Vec<&str> = named["flavors"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["m1.nano"]);
    let flavor = get("2.102", format!("{PATH}/flavors/42")).await.json();
    assert!(
        flavor["flavor"].get("rxtx_factor").is_none() && flavor["flavor"].get("OS-FLV-DISABLED:disabled").is_none()
    );
    assert_eq!(get("2.102", format!("{PATH}/os-volumes_boot/{id}")).await.json()["server"]["id"], id.to_string());
    assert_eq!(get("2.103", format!("{PATH}/os-volumes_boot/{id}")).await.status, 404);

    let put = |version: &'static str, zone: Value| {
        let (admin, body) = (admin.clone(), json!({"server": {"pinned_availability_zone": zone}}));
        async move { at(&admin, version, Method::PUT, &format!("{PATH}/servers/{id}"), &body).await }
    };
    assert_eq!(put("2.103", json!(null)).await.status, 400);
    let elsewhere = put("2.104", json!("moon")).await;
    assert_eq!(
        (elsewhere.status, message(&elsewhere).as_str()),
        (409, "Server can only be pinned to its current availability zone 'nova', but 'moon' was requested.")
    );
    assert_eq!(put("2.104", json!("nova")).await.json()["server"]["pinned_availability_zone"], "nova");
    assert_eq!(put("2.104", json!("moon")).await.status, 409);
    assert_eq!(put("2.104", json!("nova")).await.status, 200);
    assert_eq!(put("2.104", json!(null)).await.json()["server"]["pinned_availability_zone"], Value::Null);
}

#[tokio::test]
async fn addresses_to_reach_a_server_by_are_shown_in_their_shortest_form() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let mut wish = site.wish("web");
    wish["server"]["accessIPv6"] = json!("0000:0000:0000:0000:0000:babe:220.12.22.2");
    let made = alice.post(&format!("{PATH}/servers"), wish).await.json();
    let id = ServerId::parse(made["server"]["id"].as_str().unwrap()).unwrap();
    assert_eq!(show(&alice, id).await["accessIPv6"], "::babe:dc0c:1602");
}
