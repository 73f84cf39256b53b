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
    assert_eq!(reply.json()["token"]["catalog"].as_array().unwrap().len(), 4);
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
