//! Application credentials and their access rules, through the whole router.

use crate::api::testing::{Client, Cloud, PASSWORD, Reply};
use http::Method;
use serde_json::{Value, json};

pub fn credentials_of(client: &Client) -> String {
    format!("/v3/users/{}/application_credentials", client.user_id)
}

/// Makes a credential; what was answered of it.
pub async fn made(client: &Client, wanted: Value) -> Value {
    let reply = client.post(&credentials_of(client), json!({"application_credential": wanted})).await;
    assert_eq!(reply.status, 201, "{}", reply.json());
    reply.json()["application_credential"].clone()
}

pub async fn try_login(cloud: &Cloud, credential: &Value) -> Reply {
    let given = json!({"id": credential["id"], "secret": credential["secret"]});
    let identity = json!({"methods": ["application_credential"], "application_credential": given});
    cloud.stranger().post("/v3/auth/tokens", json!({"auth": {"identity": identity}})).await
}

/// The bearer of a new credential.
pub async fn robot(cloud: &Cloud, owner: &Client, wanted: Value) -> Client {
    let login = try_login(cloud, &made(owner, wanted).await).await;
    assert_eq!(login.status, 201, "{}", login.json());
    owner.with_token(login.header("x-subject-token").unwrap())
}

fn rule(service: &str, method: &str, path: &str) -> Value {
    json!({"service": service, "method": method, "path": path})
}

#[tokio::test]
async fn a_token_with_access_rules_is_good_for_what_they_name_and_for_nothing_else() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let rules = json!([
        rule("compute", "GET", "/v2.1/servers"),
        rule("image", "GET", "/image/v2/**"),
        rule("network", "POST", "/v2.0/networks"),
        rule("compute", "GET", "/v2.1/flavors/{flavor_id}"),
    ]);
    let robot = robot(&cloud, &alice, json!({"name": "narrow", "access_rules": rules})).await;
    for (method, path, status) in [
        (Method::GET, "/compute/v2.1/servers", 200),
        (Method::GET, "/compute/v2/servers", 200),
        (Method::GET, "/compute/v2.1/servers?limit=1", 200),
        (Method::GET, "/compute/v2.1/servers/detail", 401),
        (Method::GET, "/compute/v2.1/flavors", 401),
        (Method::GET, "/compute/v2.1/flavors/none", 404),
        (Method::GET, "/image/v2/images", 200),
        (Method::GET, "/image/v2/schemas/image", 200),
        (Method::POST, "/image/v2/images", 401),
        (Method::GET, "/network/v2.0/networks", 401),
        (Method::POST, "/network/v2.0/networks", 201),
        (Method::GET, "/identity/v3/auth/projects", 401),
        (Method::GET, "/v3/auth/catalog", 401),
    ] {
        let body = if method == Method::POST { b"{\"network\": {}}".to_vec() } else { Vec::new() };
        let reply = robot.send(method.clone(), path, &[("content-type", "application/json")], body).await;
        assert_eq!(reply.status, status, "{method} {path} {}", reply.json());
    }
}

#[tokio::test]
async fn a_rule_of_a_service_that_is_not_in_the_catalogue_opens_nothing() {
    let cloud = Cloud::new().await;
    let (alice, admin) = (cloud.member("alice").await, cloud.admin().await);
    let rules = json!([rule("compute", "GET", "/v2.1/servers"), rule("monitoring", "GET", "/**")]);
    let robot = robot(&cloud, &alice, json!({"name": "narrow", "access_rules": rules})).await;
    assert_eq!(robot.get("/compute/v2.1/servers").await.status, 200);
    let services = admin.get("/v3/services?type=compute").await.json();
    let compute = services["services"][0]["id"].as_str().unwrap().to_owned();
    let off = json!({"service": {"enabled": false}});
    assert_eq!(admin.patch(&format!("/v3/services/{compute}"), off).await.status, 200);
    assert_eq!(robot.get("/compute/v2.1/servers").await.status, 401);
}

#[tokio::test]
async fn a_token_with_access_rules_is_shown_to_whom_says_to_heed_them_and_may_always_be_validated() {
    let cloud = Cloud::new().await;
    let (alice, admin) = (cloud.member("alice").await, cloud.admin().await);
    let wanted = json!({"name": "narrow", "access_rules": [rule("compute", "GET", "/v2.1/servers")]});
    let robot = robot(&cloud, &alice, wanted).await;
    let path = "/v3/auth/tokens";
    let heeds = |version| [("x-subject-token", robot.token()), ("openstack-identity-access-rules", version)];
    for method in [Method::GET, Method::HEAD] {
        let deaf = admin.send(method.clone(), path, &[("x-subject-token", robot.token())], vec![]).await;
        assert_eq!(deaf.status, 404, "{method}");
        for (version, status) in [("1.0", 200), ("2", 200), ("0.9", 404), ("x", 404), ("", 404)] {
            assert_eq!(admin.send(method.clone(), path, &heeds(version), vec![]).await.status, status, "{version}");
        }
    }
    let shown = robot.send(Method::GET, path, &heeds("1.0"), vec![]).await;
    assert_eq!(shown.status, 200, "its own bearer");
    let credential = &shown.json()["token"]["application_credential"];
    assert_eq!(credential["access_rules"][0]["path"], "/v2.1/servers");
    assert_eq!(credential["restricted"], true);
    assert_eq!(robot.send(Method::HEAD, path, &heeds("1.0"), vec![]).await.status, 401, "as upstream: GET alone");
}

#[tokio::test]
async fn a_request_that_a_service_makes_for_the_user_is_not_what_the_user_asked_for() {
    let cloud = Cloud::new().await;
    let (alice, bob) = (cloud.member("alice").await, cloud.member("bob").await);
    let nova = cloud.with_role("nova", "service", "services").await;
    let wanted = json!({"name": "narrow", "access_rules": [rule("compute", "POST", "/v2.1/servers")]});
    let robot = robot(&cloud, &alice, wanted).await;
    for (token, status) in [(nova.token(), 200), (bob.token(), 401), (robot.token(), 401), ("garbage", 401)] {
        let reply = robot.send(Method::GET, "/image/v2/images", &[("x-service-token", token)], vec![]).await;
        assert_eq!(reply.status, status);
    }
}

#[tokio::test]
async fn rules_are_shared_by_the_credentials_of_a_user_and_deleted_when_none_has_them() {
    let cloud = Cloud::new().await;
    let (alice, bob, admin) = (cloud.member("alice").await, cloud.member("bob").await, cloud.system_admin().await);
    let same = json!([rule("compute", "GET", "/v2.1/servers/*/ips")]);
    let one = made(&alice, json!({"name": "one", "access_rules": same})).await;
    let two = made(&alice, json!({"name": "two", "access_rules": same})).await;
    let id = one["access_rules"][0]["id"].as_str().unwrap();
    assert_eq!(two["access_rules"], one["access_rules"]);
    let by_id = made(&alice, json!({"name": "three", "access_rules": [{"id": id}]})).await;
    assert_eq!(by_id["access_rules"], one["access_rules"]);
    let theirs = json!({"application_credential": {"name": "x", "access_rules": [{"id": id}]}});
    assert_eq!(bob.post(&credentials_of(&bob), theirs).await.status, 404);

    let rules = format!("/v3/users/{}/access_rules", alice.user_id);
    let listed = alice.get(&rules).await.json();
    assert_eq!(listed["access_rules"].as_array().unwrap().len(), 1);
    let place = format!("http://cloud.test/identity{rules}/{id}");
    assert_eq!(listed["access_rules"][0]["links"]["self"], place);
    assert_eq!(alice.get(&format!("{rules}?method=POST")).await.json()["access_rules"], json!([]));
    let shown = alice.get(&format!("{rules}/{id}")).await.json();
    assert_eq!(shown["access_rule"]["service"], "compute");
    for other in [&bob, &cloud.admin().await] {
        assert_eq!(other.get(&rules).await.status, 403);
        assert_eq!(other.delete(&format!("{rules}/{id}")).await.status, 403);
    }
    assert_eq!(admin.get(&format!("{rules}/{id}")).await.status, 200);
    assert_eq!(bob.get(&format!("/v3/users/{}/access_rules/{id}", bob.user_id)).await.status, 404);

    let in_use = alice.delete(&format!("{rules}/{id}")).await;
    assert_eq!((in_use.status, in_use.message().as_str()), (403, "May not delete access rule in use"));
    for credential in [&one, &two, &by_id] {
        let path = format!("{}/{}", credentials_of(&alice), credential["id"].as_str().unwrap());
        assert_eq!(alice.delete(&path).await.status, 204);
    }
    assert_eq!(alice.get(&format!("{rules}/{id}")).await.status, 200, "it outlives its credentials");
    assert_eq!(alice.delete(&format!("{rules}/{id}")).await.status, 204);
    assert_eq!(alice.get(&format!("{rules}/{id}")).await.status, 404);
}

#[tokio::test]
async fn a_rule_of_the_wrong_form_is_refused() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let long = format!("/{}", "a".repeat(225));
    for (wrong, status) in [
        (rule("compute", "FETCH", "/v2.1/servers"), 400),
        (rule("compute", "GET", "v2.1/servers"), 400),
        (rule("compute", "GET", &long), 400),
        (rule("", "GET", "/"), 400),
        (json!({"service": "compute", "method": "GET"}), 400),
        (json!({}), 400),
        (json!("x"), 400),
        (json!({"id": "none"}), 404),
    ] {
        let body = json!({"application_credential": {"name": "x", "access_rules": [wrong]}});
        let reply = alice.post(&credentials_of(&alice), body).await;
        assert_eq!(reply.status, status, "{wrong}: {}", reply.json());
    }
    assert_eq!(alice.get(&credentials_of(&alice)).await.json()["application_credentials"], json!([]));
}

#[tokio::test]
async fn a_credential_goes_when_its_role_is_taken_back_its_user_disabled_or_its_role_deleted() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let role = |name: &'static str| {
        let admin = admin.clone();
        async move {
            let found = admin.get(&format!("/v3/roles?name={name}")).await.json();
            found["roles"][0]["id"].as_str().unwrap().to_owned()
        }
    };
    let is_there = |owner: &Client, credential: &Value| {
        let path = format!("{}/{}", credentials_of(owner), credential["id"].as_str().unwrap());
        let admin = admin.clone();
        async move { admin.get(&path).await.status == 200 }
    };

    let a = cloud.member("a").await;
    cloud.with_role("a", "service", "a").await;
    let (lost, kept) = (
        made(&a, json!({"name": "lost"})).await,
        made(&cloud.with_role("a", "service", "a").await, json!({"name": "kept", "roles": [{"name": "service"}]}))
            .await,
    );
    let grant = format!("/v3/projects/{}/users/{}/roles/{}", a.project_id, a.user_id, role("member").await);
    assert_eq!(admin.delete(&grant).await.status, 204);
    assert!(!is_there(&a, &lost).await && is_there(&a, &kept).await);
    assert_eq!((try_login(&cloud, &lost).await.status, try_login(&cloud, &kept).await.status), (401, 201));

    let b = cloud.member("b").await;
    let robot = robot(&cloud, &b, json!({"name": "robot"})).await;
    let user = format!("/v3/users/{}", b.user_id);
    assert_eq!(admin.patch(&user, json!({"user": {"enabled": false}})).await.status, 200);
    cloud.pass_seconds(1);
    admin.patch(&user, json!({"user": {"enabled": true}})).await;
    assert_eq!(admin.get(&credentials_of(&b)).await.json()["application_credentials"], json!([]));
    assert_eq!(robot.get("/v3/auth/projects").await.status, 401);

    let made_role = admin.post("/v3/roles", json!({"role": {"name": "extra"}})).await.json();
    let c = cloud.with_role("c", "extra", "c").await;
    let doomed = made(&c, json!({"name": "doomed"})).await;
    admin.delete(&format!("/v3/roles/{}", made_role["role"]["id"].as_str().unwrap())).await;
    assert!(!is_there(&c, &doomed).await);
}

#[tokio::test]
async fn a_credential_ends_when_it_says_and_its_tokens_with_it() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let now = cloud.state.clock.now();
    let ends = |seconds: i64| now.plus_seconds(seconds).to_micros_z();
    for past in [ends(0), ends(-1), "soon".to_owned(), String::new()] {
        let body = json!({"application_credential": {"name": "x", "expires_at": past}});
        assert_eq!(alice.post(&credentials_of(&alice), body).await.status, 400, "{past}");
    }
    let credential = made(&alice, json!({"name": "x", "expires_at": ends(100)})).await;
    let login = try_login(&cloud, &credential).await;
    assert_eq!(login.json()["token"]["expires_at"], now.plus_seconds(100).to_micros_z());
    let robot = alice.with_token(login.header("x-subject-token").unwrap());
    assert_eq!(robot.get("/v3/auth/projects").await.status, 200);
    cloud.pass_seconds(100);
    assert_eq!(robot.get("/v3/auth/projects").await.status, 401);
    assert_eq!(try_login(&cloud, &credential).await.status, 401);
}

#[tokio::test]
async fn an_unrestricted_credential_makes_others_and_roles_bring_what_they_imply() {
    let cloud = Cloud::new().await;
    let alice = cloud.with_role("alice", "manager", "alice").await;
    let wanted = json!({"name": "free", "unrestricted": true, "roles": [{"name": "member"}]});
    let robot = robot(&cloud, &alice, wanted).await;
    let second = made(&robot, json!({"name": "second"})).await;
    let names: Vec<&str> =
        second["roles"].as_array().unwrap().iter().map(|role| role["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["member", "reader"]);
    let too_much = json!({"application_credential": {"name": "x", "roles": [{"name": "manager"}]}});
    let refused = robot.post(&credentials_of(&robot), too_much).await;
    assert_eq!(refused.status, 400);
    assert!(refused.message().ends_with("Cannot create an application credential with unassigned role"));
    let bob = cloud.member("bob").await;
    let body = json!({"application_credential": {"name": "x"}});
    assert_eq!(alice.post(&credentials_of(&bob), body).await.status, 403);
    assert_eq!(cloud.try_login("alice", PASSWORD, json!(null)).await.status, 201);
}
