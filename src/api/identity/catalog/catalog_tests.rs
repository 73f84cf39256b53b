//! Regions, services, endpoints, what narrows catalogues, policies as documents and domains' configuration, through the
//! router.

use crate::api::identity::IdentitySettings;
use crate::api::testing::{Client, Cloud, RECIPE, Reply, make};
use crate::store::Db;
use serde_json::{Value, json};
use std::collections::HashMap;

const MALFORMED: &str = "The server could not comply with the request since it is either malformed or otherwise incorrect. The client is assumed to be in error.";

/// A service with a public and an admin endpoint.
async fn service(admin: &Client, kind: &str) -> (String, String, String) {
    let service = make(admin, "/v3/services", "service", json!({"type": kind})).await;
    let endpoint = |interface: &'static str, url: String| {
        let body = json!({"interface": interface, "service_id": service, "region_id": "RegionOne", "url": url});
        async move { make(admin, "/v3/endpoints", "endpoint", body).await }
    };
    let public = endpoint("public", format!("http://{kind}/v1")).await;
    let of_admin = endpoint("admin", format!("http://{kind}-admin/v1")).await;
    (service, public, of_admin)
}

/// `type interface` of all that a caller finds.
async fn found(client: &Client) -> Vec<String> {
    let catalog = client.get("/v3/auth/catalog").await.json();
    let mut all = Vec::new();
    for service in catalog["catalog"].as_array().unwrap() {
        for endpoint in service["endpoints"].as_array().unwrap() {
            all.push(format!("{} {}", service["type"].as_str().unwrap(), endpoint["interface"].as_str().unwrap()));
        }
    }
    all.sort();
    all
}

fn ids(reply: &Reply, key: &str) -> Vec<String> {
    let all = reply.json()[key].as_array().unwrap_or_else(|| panic!("{}", reply.json())).clone();
    all.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_project_with_endpoints_of_its_own_finds_those_and_no_other() {
    let cloud = Cloud::new().await;
    let (admin, alice, bob) = (cloud.admin().await, cloud.member("alice").await, cloud.member("bob").await);
    let (metering, public, _) = service(&admin, "metering").await;
    let all = found(&alice).await;
    let path = format!("/v3/OS-EP-FILTER/projects/{}/endpoints/{public}", alice.project_id);
    assert_eq!(admin.head(&path).await.status, 404);
    assert_eq!(admin.put(&path, json!(null)).await.status, 204);
    assert_eq!(admin.get(&path).await.status, 204);
    let twice = admin.put(&path, json!(null)).await;
    assert_eq!(twice.message(), "Conflict occurred attempting to store project_endpoint - Duplicate entry.");
    assert_eq!(found(&alice).await, ["metering public"], "a token issued before sees it too");
    let again = cloud.member("alice").await;
    let shown = again.send(http::Method::GET, "/v3/auth/tokens", &[("x-subject-token", again.token())], vec![]).await;
    assert_eq!(shown.json()["token"]["catalog"].as_array().unwrap().len(), 1);
    assert_eq!(found(&bob).await, all);

    let listed = admin.get(&format!("/v3/OS-EP-FILTER/projects/{}/endpoints", alice.project_id)).await;
    assert_eq!(ids(&listed, "endpoints"), [public.as_str()]);
    let projects = admin.get(&format!("/v3/OS-EP-FILTER/endpoints/{public}/projects")).await;
    assert_eq!(ids(&projects, "projects"), [alice.project_id.as_str()]);
    assert_eq!(alice.put(&path, json!(null)).await.status, 403);

    let off = json!({"endpoint": {"enabled": false}});
    admin.patch(&format!("/v3/endpoints/{public}"), off).await;
    assert_eq!(found(&alice).await, Vec::<String>::new(), "what is chosen and disabled is nothing, not everything");
    assert_eq!(admin.delete(&path).await.status, 204);
    let gone = admin.delete(&path).await;
    let sentence = format!("Endpoint {public} not found in project {}", alice.project_id);
    assert_eq!((gone.status, gone.message()), (404, sentence));
    assert_eq!(admin.delete(&format!("/v3/services/{metering}")).await.status, 204);
}

#[tokio::test]
async fn a_group_of_endpoints_is_what_its_filters_say_and_narrows_a_projects_catalogue() {
    let cloud = Cloud::new().await;
    let (admin, alice) = (cloud.admin().await, cloud.member("alice").await);
    let (metering, public, of_admin) = service(&admin, "metering").await;
    let all = found(&alice).await;
    let groups = "/v3/OS-EP-FILTER/endpoint_groups";
    let new = json!({"name": "meters", "filters": {"service_id": metering}});
    let group = make(&admin, groups, "endpoint_group", new).await;
    let path = format!("{groups}/{group}");
    let shown = admin.get(&path).await.json()["endpoint_group"].clone();
    assert_eq!(
        shown,
        json!({"id": group, "name": "meters", "description": null, "filters": {"service_id": metering},
               "links": {"self": format!("http://cloud.test/identity{path}")}})
    );
    let mut both = vec![public, of_admin];
    both.sort();
    let mut listed = ids(&admin.get(&format!("{path}/endpoints")).await, "endpoints");
    listed.sort();
    assert_eq!(listed, both);

    let place = format!("{path}/projects/{}", alice.project_id);
    let none = admin.get(&place).await;
    assert_eq!((none.status, none.message().as_str()), (404, "Endpoint Group Project Association not found"));
    assert_eq!(admin.put(&place, json!(null)).await.status, 204);
    assert_eq!(admin.put(&place, json!(null)).await.status, 409);
    assert_eq!(admin.get(&place).await.json()["project_endpoint_group"]["project_id"], alice.project_id);
    assert_eq!(found(&alice).await, ["metering admin", "metering public"]);
    assert_eq!(ids(&admin.get(&format!("{path}/projects")).await, "projects"), [alice.project_id.as_str()]);
    let of_project = format!("/v3/OS-EP-FILTER/projects/{}/endpoint_groups", alice.project_id);
    assert_eq!(ids(&admin.get(&of_project).await, "endpoint_groups"), [group.as_str()]);

    let narrower = json!({"endpoint_group": {"filters": {"service_id": metering, "interface": "public"}}});
    assert_eq!(admin.patch(&path, narrower).await.status, 200);
    assert_eq!(found(&alice).await, ["metering public"]);
    assert_eq!(ids(&admin.get(&format!("{groups}?name=meters")).await, "endpoint_groups"), [group.as_str()]);
    assert_eq!(ids(&admin.get(&format!("{groups}?name=x")).await, "endpoint_groups"), Vec::<String>::new());
    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!(found(&alice).await, all, "with the group its associations are gone");
    assert_eq!(admin.get(&path).await.message(), format!("Could not find Endpoint Group: {group}."));
}

#[tokio::test]
async fn a_group_of_endpoints_by_nothing_or_by_what_there_isn_t_is_refused() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    for (filters, message) in [
        (json!({}), "filters field is required and cannot be empty".to_owned()),
        (
            json!({"url": "x"}),
            format!("Expecting to find service_id or region_id or interface in endpoint_group. {MALFORMED}"),
        ),
    ] {
        let new = json!({"endpoint_group": {"name": "x", "filters": filters}});
        let reply = admin.post("/v3/OS-EP-FILTER/endpoint_groups", new).await;
        assert_eq!((reply.status, reply.message()), (400, message));
    }
    let new = json!({"endpoint_group": {"name": "x", "filters": {"interface": "secret"}}});
    assert_eq!(admin.post("/v3/OS-EP-FILTER/endpoint_groups", new).await.status, 400);
}

#[tokio::test]
async fn policies_are_kept_as_documents_and_found_by_type() {
    let cloud = Cloud::new().await;
    let (admin, alice) = (cloud.admin().await, cloud.member("alice").await);
    let new = json!({"blob": "{\"a\": \"role:x\"}", "type": "application/json", "owner": "nova"});
    let id = make(&admin, "/v3/policies", "policy", new).await;
    let path = format!("/v3/policies/{id}");
    let shown = admin.get(&path).await.json()["policy"].clone();
    assert_eq!(
        shown,
        json!({"id": id, "blob": "{\"a\": \"role:x\"}", "type": "application/json", "owner": "nova",
               "links": {"self": format!("http://cloud.test/identity{path}")}})
    );
    assert_eq!(ids(&admin.get("/v3/policies?type=application/json").await, "policies"), [id.as_str()]);
    assert_eq!(ids(&admin.get("/v3/policies?type=text").await, "policies"), Vec::<String>::new());
    let changed = admin.patch(&path, json!({"policy": {"type": "text"}})).await.json();
    assert_eq!(changed["policy"]["type"], "text");
    assert_eq!(admin.patch(&path, json!({"policy": {"id": "x"}})).await.message(), "Cannot change policy ID");
    let lacking = admin.post("/v3/policies", json!({"policy": {"type": "x"}})).await;
    assert_eq!(
        (lacking.status, lacking.message().as_str()),
        (400, "Invalid input for field/attribute policy. Value: {'type': 'x'}. 'blob' is a required property")
    );
    assert_eq!(alice.get(&path).await.status, 403);
    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!(admin.get(&path).await.message(), format!("Could not find policy: {id}."));
}

#[tokio::test]
async fn the_policy_of_an_endpoint_is_the_nearest_one() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    make(&admin, "/v3/regions", "region", json!({"id": "Top"})).await;
    admin.patch("/v3/regions/RegionOne", json!({"region": {"parent_region_id": "Top"}})).await;
    let (metering, public, of_admin) = service(&admin, "metering").await;
    let mut policies = Vec::new();
    for _ in 0..3 {
        policies.push(make(&admin, "/v3/policies", "policy", json!({"blob": "x", "type": "text"})).await);
    }
    let asked = format!("/v3/endpoints/{public}/OS-ENDPOINT-POLICY/policy");
    let none = admin.get(&asked).await;
    assert_eq!((none.status, none.message()), (404, format!("No policy is associated with endpoint {public}.")));
    let place = |policy: &str, rest: &str| format!("/v3/policies/{policy}/OS-ENDPOINT-POLICY/{rest}");
    let places =
        [format!("services/{metering}"), format!("services/{metering}/regions/Top"), format!("endpoints/{public}")];
    for (policy, rest) in policies.iter().zip(&places) {
        assert_eq!(admin.get(&place(policy, rest)).await.message(), "Could not find policy association.");
        assert_eq!(admin.put(&place(policy, rest), json!(null)).await.status, 204);
        assert_eq!(admin.head(&place(policy, rest)).await.status, 204);
        assert_eq!(admin.get(&asked).await.json()["policy"]["id"], *policy);
    }
    let mut covered = ids(&admin.get(&place(&policies[1], "endpoints")).await, "endpoints");
    covered.sort();
    let mut both = vec![public.clone(), of_admin];
    both.sort();
    assert_eq!(covered, both, "an endpoint in a region below is covered");
    assert_eq!(ids(&admin.get(&place(&policies[2], "endpoints")).await, "endpoints"), [public.as_str()]);
    for (policy, rest) in policies.iter().zip(&places).rev() {
        assert_eq!(admin.get(&asked).await.json()["policy"]["id"], *policy);
        assert_eq!(admin.delete(&place(policy, rest)).await.status, 204);
    }
    assert_eq!(admin.get(&asked).await.status, 404);
    assert_eq!(admin.put(&place("none", &places[0]), json!(null)).await.status, 404);
}

#[tokio::test]
async fn endpoints_and_services_that_can_t_be_are_refused_in_upstreams_words() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let service = make(&admin, "/v3/services", "service", json!({"type": "metering"})).await;
    assert_eq!(admin.get(&format!("/v3/services/{service}")).await.json()["service"]["name"], "");
    let endpoint = |region: Value, service: &str, url: &str| json!({"endpoint": {"interface": "public", "service_id": service, "region_id": region, "url": url}});
    for (body, message) in [
        (
            endpoint(json!(null), "none", "http://x"),
            format!("Expecting to find endpoint service_id in service table. {MALFORMED}"),
        ),
        (
            endpoint(json!("none"), &service, "http://x"),
            format!("Expecting to find endpoint region_id in region table. {MALFORMED}"),
        ),
        (
            endpoint(json!(null), &service, "http://x/%(secret)s"),
            "Cannot create an endpoint with an invalid URL: http://x/%(secret)s.".to_owned(),
        ),
        (
            endpoint(json!(null), &service, "x"),
            "Invalid input for field/attribute url. Value: x. 'x' does not match '^[a-zA-Z0-9+.-]+:.+'".to_owned(),
        ),
    ] {
        let reply = admin.post("/v3/endpoints", body).await;
        assert_eq!((reply.status, reply.message()), (400, message));
    }
    let reply = admin.get("/v3/endpoints?interface=secret").await;
    let sentence = "Invalid input for field/attribute interface. Value: secret. 'secret' is not one of ['admin', 'internal', 'public']";
    assert_eq!((reply.status, reply.message().as_str()), (400, sentence));
    let id = make(&admin, "/v3/endpoints", "endpoint", endpoint(json!(null), &service, "http://x")["endpoint"].clone())
        .await;
    let other = json!({"endpoint": {"id": "x"}});
    assert_eq!(admin.patch(&format!("/v3/endpoints/{id}"), other).await.message(), "Cannot change ID");
    let two = admin.put("/v3/regions/One", json!({"region": {"id": "Two"}})).await;
    assert_eq!(two.message(), "Conflicting region IDs specified: \"One\" != \"Two\"");
}

#[tokio::test]
async fn an_endpoint_whose_url_turns_out_malformed_is_left_out_of_the_catalogue() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let (_, public, _) = service(&admin, "metering").await;
    let change = json!({"endpoint": {"url": "http://x/%(project_id)"}});
    assert_eq!(admin.patch(&format!("/v3/endpoints/{public}"), change).await.status, 200);
    assert!(!found(&admin).await.contains(&"metering public".to_owned()));
    assert!(found(&admin).await.contains(&"metering admin".to_owned()));
    let change = json!({"endpoint": {"url": "http://x/%(project_id)s/%(user_id)s"}});
    admin.patch(&format!("/v3/endpoints/{public}"), change).await;
    let catalog = admin.get("/v3/auth/catalog").await.json();
    let metering = catalog["catalog"].as_array().unwrap().iter().find(|one| one["type"] == "metering").unwrap();
    let urls: Vec<&str> =
        metering["endpoints"].as_array().unwrap().iter().map(|one| one["url"].as_str().unwrap()).collect();
    assert!(urls.contains(&format!("http://x/{}/{}", admin.project_id, admin.user_id).as_str()), "{urls:?}");
    let system = cloud.system_admin().await;
    assert!(!found(&system).await.contains(&"metering public".to_owned()), "no project, no URL");
}

#[tokio::test]
async fn what_upstream_took_away_is_gone_and_what_is_not_served_is_not_there() {
    let cloud = Cloud::new().await;
    let stranger = cloud.stranger();
    for path in ["/v3/OS-SIMPLE-CERT/ca", "/v3/OS-SIMPLE-CERT/certificates"] {
        let reply = stranger.get(path).await;
        let sentence = "This API is no longer available due to the removal of support for PKI tokens.";
        assert_eq!((reply.status, reply.message().as_str()), (410, sentence));
    }
    let admin = cloud.admin().await;
    for path in ["/v3/OS-OAUTH1/consumers", "/v3/OS-OAUTH1/request_token", "/v3/OS-OAUTH1/authorize/x"] {
        assert_eq!(admin.get(path).await.status, 404);
        assert_eq!(admin.post(path, json!({})).await.status, 404);
    }
}

#[tokio::test]
async fn the_defaults_of_domains_can_be_read_whole_by_group_and_by_option() {
    let cloud = Cloud::new().await;
    let (admin, alice) = (cloud.admin().await, cloud.member("alice").await);
    let whole = admin.get("/v3/domains/config/default").await.json();
    assert_eq!(whole["config"]["identity"], json!({"driver": "sql", "list_limit": null}));
    assert_eq!(whole["config"]["ldap"]["url"], "ldap://localhost");
    let group = admin.get("/v3/domains/config/identity/default").await.json();
    assert_eq!(group["config"], json!({"identity": {"driver": "sql", "list_limit": null}}));
    for option in whole["config"]["ldap"].as_object().unwrap().keys() {
        let one = admin.get(&format!("/v3/domains/config/ldap/{option}/default")).await.json();
        assert_eq!(one["config"], json!({option.as_str(): whole["config"]["ldap"][option.as_str()]}));
    }
    for (path, reason) in [
        ("/v3/domains/config/nova/default", "Group nova is not supported for domain specific configurations"),
        (
            "/v3/domains/config/ldap/x/default",
            "Option x in group ldap is not supported for domain specific configurations",
        ),
        (
            "/v3/domains/config/ldap/password/default",
            "Reading the default for option password in group ldap is not supported",
        ),
    ] {
        let reply = admin.get(path).await;
        assert_eq!((reply.status, reply.message()), (403, format!("Invalid domain specific configuration: {reason}.")));
    }
    assert_eq!(alice.get("/v3/domains/config/default").await.status, 403);
}

#[tokio::test]
async fn a_domain_is_configured_with_what_is_served_and_not_with_drivers_that_aren_t() {
    let cloud = Cloud::new().await;
    let (admin, alice) = (cloud.admin().await, cloud.member("alice").await);
    let domain = make(&admin, "/v3/domains", "domain", json!({"name": "Other"})).await;
    let path = format!("/v3/domains/{domain}/config");
    let none = admin.get(&path).await;
    let sentence = format!("Could not find any options in domain configuration for domain {domain}.");
    assert_eq!((none.status, none.message()), (404, sentence));
    for (config, reason) in [
        (json!({}), "No options specified"),
        (
            json!({"identity": "x"}),
            "The value of group identity specified in the config should be a dictionary of options",
        ),
        (json!({"identity": {"driver": "ldap"}}), "Gapura has no identity driver \"ldap\", only \"sql\""),
        (
            json!({"ldap": {"url": "ldap://x"}}),
            "Gapura has no LDAP driver, so options of group ldap would change nothing",
        ),
        (json!({"nova": {"x": 1}}), "Group nova is not supported for domain specific configurations"),
    ] {
        let reply = admin.put(&path, json!({ "config": config })).await;
        assert_eq!((reply.status, reply.message()), (403, format!("Invalid domain specific configuration: {reason}.")));
    }
    let config = json!({"identity": {"driver": "sql", "list_limit": 50}});
    assert_eq!(admin.put(&path, json!({ "config": config })).await.status, 201);
    let again = admin.put(&path, json!({ "config": config })).await;
    assert_eq!((again.status, &again.json()["config"]), (200, &config));
    assert_eq!(admin.head(&format!("{path}/identity")).await.status, 200);
    let one = admin.get(&format!("{path}/identity/list_limit")).await.json();
    assert_eq!(one["config"], json!({"list_limit": 50}));
    let changed = admin.patch(&format!("{path}/identity/list_limit"), json!({"config": {"list_limit": 9}})).await;
    assert_eq!(changed.json()["config"]["identity"]["list_limit"], 9);
    let stray = admin.patch(&format!("{path}/identity"), json!({"config": {"ldap": {"url": "x"}}})).await;
    assert_eq!(stray.status, 403);
    assert!(
        stray.message().contains("request to update group identity, but config provided contains group ldap instead")
    );
    assert_eq!(alice.get(&path).await.status, 403);
    assert_eq!(admin.delete(&format!("{path}/identity/list_limit")).await.status, 204);
    assert_eq!(admin.get(&format!("{path}/identity/list_limit")).await.status, 404);
    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!(admin.get(&path).await.status, 404);
    assert_eq!(admin.get("/v3/domains/none/config").await.status, 404);
}

#[tokio::test]
async fn an_operator_may_have_foreign_options_kept_but_never_a_password() {
    let settings = IdentitySettings { argon2: RECIPE, keep_foreign_domain_config: true, ..IdentitySettings::default() };
    let cloud = Cloud::with(Db::memory().await, settings, HashMap::new()).await;
    let admin = cloud.admin().await;
    let config = json!({"identity": {"driver": "ldap"}, "ldap": {"url": "ldap://x:389/", "user_tree_dn": "ou=Users"}});
    let made = admin.put("/v3/domains/default/config", json!({ "config": config })).await;
    assert_eq!((made.status, &made.json()["config"]), (201, &config));
    let secret = json!({"config": {"ldap": {"password": "hunter2"}}});
    assert_eq!(admin.patch("/v3/domains/default/config", secret).await.status, 403);
}

#[tokio::test]
async fn everybody_may_read_the_password_rules_of_the_default_domain_and_nothing_else() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let path = "/v3/domains/default/config/security_compliance";
    let both = json!({"security_compliance": {"password_regex": null, "password_regex_description": null}});
    assert_eq!(alice.get(path).await.json()["config"], both);
    assert_eq!(alice.get(&format!("{path}/password_regex")).await.json()["config"], json!({"password_regex": null}));
    assert_eq!(alice.get(&format!("{path}/lockout_duration")).await.status, 403);
    assert_eq!(alice.get("/v3/domains/other/config/security_compliance").await.status, 403);
    let change = json!({"config": {"security_compliance": {"password_regex": "x"}}});
    assert_eq!(cloud.admin().await.patch(path, change).await.status, 403);
}
