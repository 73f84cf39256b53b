//! Tokens through the whole router.

use crate::api::testing::{Cloud, PASSWORD, Reply};
use serde_json::json;

fn roles(reply: &Reply) -> Vec<String> {
    let token = &reply.json()["token"];
    token["roles"].as_array().unwrap().iter().map(|role| role["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_password_gets_a_token_for_each_scope_with_the_roles_held_there() {
    let cloud = Cloud::new().await;
    let project = json!({"project": {"name": "admin", "domain": {"name": "default"}}});
    let reply = cloud.try_login("admin", PASSWORD, project).await;
    assert_eq!(reply.status, 201);
    assert_eq!(roles(&reply), ["admin", "manager", "member", "reader"]);
    assert_eq!(reply.json()["token"]["catalog"].as_array().unwrap().len(), 5);
    let url = reply.json()["token"]["catalog"][1]["endpoints"][0]["url"].clone();
    assert_eq!(url, "http://cloud.test/identity");

    let reply = cloud.try_login("admin", PASSWORD, json!({"system": {"all": true}})).await;
    assert_eq!(reply.json()["token"]["system"], json!({"all": true}));
    let reply = cloud.try_login("admin", PASSWORD, json!({"domain": {"id": "default"}})).await;
    assert_eq!(reply.json()["token"]["domain"], json!({"id": "default", "name": "Default"}));
    let reply = cloud.try_login("admin", PASSWORD, json!(null)).await;
    assert_eq!(reply.json()["token"]["catalog"], json!(null));
    assert_eq!(reply.json()["token"]["roles"], json!(null));
}

#[tokio::test]
async fn a_token_is_shown_to_its_own_user_and_to_nobody_else_but_admins() {
    let cloud = Cloud::new().await;
    let (alice, bob, admin) = (cloud.member("alice").await, cloud.member("bob").await, cloud.admin().await);
    let subject = [("x-subject-token", alice.token())];
    let path = "/v3/auth/tokens";
    for caller in [&alice, &admin] {
        let reply = caller.send(http::Method::GET, path, &subject, vec![]).await;
        assert_eq!((reply.status, reply.header("x-subject-token")), (200, alice.token.as_deref()));
        assert_eq!(reply.json()["token"]["user"]["name"], "alice");
        assert_eq!(caller.send(http::Method::HEAD, path, &subject, vec![]).await.status, 200);
    }
    assert_eq!(bob.send(http::Method::GET, path, &subject, vec![]).await.status, 403);
    assert_eq!(cloud.stranger().send(http::Method::GET, path, &subject, vec![]).await.status, 401);
}

/// The paths of identity's rows with every brace filled in.
fn rows(cloud: &Cloud) -> Vec<(http::Method, String, crate::http::table::Access)> {
    let own = cloud.router.rows().filter(|(service, _)| service.name == "identity");
    own.map(|(service, row)| {
        let filled: Vec<&str> =
            row.path.split('/').map(|part| if part.starts_with('{') { "none" } else { part }).collect();
        (row.method.clone(), format!("{}{}", service.prefix, filled.join("/")), row.access)
    })
    .collect()
}

#[tokio::test]
async fn every_operation_has_a_rule_and_is_closed_to_strangers_and_to_garbage() {
    use crate::http::table::Access;
    let cloud = Cloud::new().await;
    let (stranger, garbage) = (cloud.stranger(), cloud.stranger().with_token("garbage"));
    let mut public = Vec::new();
    for (method, path, access) in rows(&cloud) {
        match access {
            Access::Rule(rule) => assert!(cloud.state.policy.has(rule), "{path}: there is no rule {rule}"),
            Access::Public => {
                public.push(format!("{method} {path}"));
                continue;
            }
            Access::Undeclared => panic!("{path} has no rule"),
        }
        for client in [&stranger, &garbage] {
            let reply = client.send(method.clone(), &path, &[], b"{}".to_vec()).await;
            assert_eq!(reply.status, 401, "{method} {path}");
        }
    }
    assert_eq!(
        public,
        [
            "GET /identity",
            "GET /identity/v3",
            "POST /identity/v3/auth/tokens",
            "POST /identity/v3/users/none/password",
            "GET /identity/v3/OS-SIMPLE-CERT/ca",
            "GET /identity/v3/OS-SIMPLE-CERT/certificates",
            "GET /identity/jwks.json",
        ]
    );
}

#[tokio::test]
async fn nothing_succeeds_for_what_is_not_there() {
    let cloud = Cloud::new().await;
    let (admin, nobody) = (cloud.admin().await, cloud.login("demo", PASSWORD, json!("unscoped")).await);
    for (method, path, _) in rows(&cloud).into_iter().filter(|(_, path, _)| path.contains("none")) {
        let reply = admin.send(method.clone(), &path, &[], b"{}".to_vec()).await;
        // A region may be made under any name, and a body of the wrong form is told before the path is looked at.
        let honest = matches!(reply.status, 400 | 401 | 403 | 404 | 501);
        assert!(honest, "{method} {path}: {} {}", reply.status, reply.json());
        let reply = nobody.send(method.clone(), &path, &[], b"{}".to_vec()).await;
        let honest = matches!(reply.status, 400 | 401 | 403 | 404 | 501);
        assert!(honest || path.starts_with("/identity/v3/regions"), "{method} {path}: {}", reply.status);
    }
}

#[tokio::test]
async fn version_documents_begin_with_the_public_url() {
    let cloud = Cloud::new().await;
    let choices = cloud.stranger().get("/identity/").await;
    assert_eq!(choices.status, 300);
    let v3 = &choices.json()["versions"]["values"][0];
    assert_eq!(v3["links"][0]["href"], "http://cloud.test/identity/v3/");
    let one = cloud.stranger().get("/v3/").await;
    assert_eq!((one.status, &one.json()["version"]), (200, v3));
}

#[tokio::test]
async fn a_seed_repeated_changes_nothing() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let all = || async {
        let mut all = Vec::new();
        for path in ["users", "projects", "domains", "roles", "role_assignments", "services", "endpoints", "regions"] {
            all.push(admin.get(&format!("/v3/{path}")).await.json());
        }
        all
    };
    let before = all().await;
    let _again = Cloud::over(cloud.state.db.clone()).await;
    assert_eq!(all().await, before);
}

#[tokio::test]
async fn a_default_project_scopes_a_login_that_names_none_and_a_lost_one_does_not_stop_it() {
    let cloud = Cloud::new().await;
    let (admin, alice) = (cloud.admin().await, cloud.member("alice").await);
    let set = json!({"user": {"default_project_id": alice.project_id}});
    admin.patch(&format!("/v3/users/{}", alice.user_id), set).await;
    let scoped = cloud.try_login("alice", PASSWORD, json!(null)).await.json();
    assert_eq!(scoped["token"]["project"]["id"], alice.project_id);
    let unscoped = cloud.try_login("alice", PASSWORD, json!("unscoped")).await.json();
    assert_eq!(unscoped["token"]["project"], json!(null));
    let off = json!({"project": {"enabled": false}});
    admin.patch(&format!("/v3/projects/{}", alice.project_id), off).await;
    cloud.pass_seconds(1);
    let left = cloud.try_login("alice", PASSWORD, json!(null)).await;
    assert_eq!((left.status, &left.json()["token"]["project"]), (201, &json!(null)));
}

#[tokio::test]
async fn a_login_of_the_wrong_form_is_told_what_it_lacks() {
    let cloud = Cloud::new().await;
    let user =
        |user: serde_json::Value| json!({"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}});
    let scope = |scope: serde_json::Value| json!({"auth": {"identity": {"methods": ["token"], "token": {"id": "x"}}, "scope": scope}});
    for (body, status, message) in [
        (json!({}), 400, "'auth' is a required property"),
        (user(json!({"name": "x", "password": "y"})), 400, "Expecting to find domain in user."),
        (user(json!({"id": "x"})), 400, "Invalid input for field 'user': 'password' is a required property"),
        (json!({"auth": {"identity": {"methods": ["password"]}}}), 400, "Expecting to find password in identity."),
        (
            json!({"auth": {"identity": {"methods": ["mind"], "mind": {}}}}),
            401,
            "Attempted to authenticate with an unsupported method.",
        ),
        (json!({"auth": {"identity": {"methods": ["mind"]}}}), 400, "Expecting to find mind in identity."),
        (json!({"auth": {"identity": {"methods": []}}}), 401, "The request you have made requires authentication."),
        (scope(json!({"project": {"id": "x"}, "domain": {"id": "x"}})), 400, "Expecting to find project, domain"),
        (scope(json!({"OS-TRUST:trust": {}})), 400, "Expecting to find trust_id in trust."),
    ] {
        let reply = cloud.stranger().post("/v3/auth/tokens", body).await;
        assert_eq!(reply.status, status, "{}", reply.json());
        assert!(reply.message().starts_with(message), "{}", reply.message());
    }
}
