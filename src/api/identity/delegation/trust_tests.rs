//! Trusts, through the whole router.

use crate::api::identity::delegation::access_rule_tests::{credentials_of, robot};
use crate::api::testing::{Client, Cloud, PASSWORD, Reply};
use http::Method;
use serde_json::{Value, json};

const TRUSTS: &str = "/v3/OS-TRUST/trusts";

/// What alice asks for when she lets bob read her project in his own name.
fn wanted(alice: &Client, bob: &Client) -> Value {
    json!({
        "trustor_user_id": alice.user_id, "trustee_user_id": bob.user_id, "project_id": alice.project_id,
        "impersonation": false, "roles": [{"name": "reader"}],
    })
}

fn with(mut trust: Value, key: &str, value: Value) -> Value {
    trust[key] = value;
    trust
}

async fn try_make(client: &Client, trust: Value) -> Reply {
    client.post(TRUSTS, json!({ "trust": trust })).await
}

async fn make(client: &Client, trust: Value) -> Value {
    let reply = try_make(client, trust).await;
    assert_eq!(reply.status, 201, "{}", reply.json());
    reply.json()["trust"].clone()
}

fn path(trust: &Value) -> String {
    format!("{TRUSTS}/{}", trust["id"].as_str().unwrap())
}

async fn try_use(cloud: &Cloud, user: &str, trust: &Value) -> Reply {
    cloud.try_login(user, PASSWORD, json!({"OS-TRUST:trust": {"id": trust["id"]}})).await
}

/// The bearer of a token of the trust.
async fn bearer(cloud: &Cloud, who: &Client, user: &str, trust: &Value) -> Client {
    let reply = try_use(cloud, user, trust).await;
    assert_eq!(reply.status, 201, "{}", reply.json());
    who.with_token(reply.header("x-subject-token").unwrap())
}

async fn is_in(client: &Client) -> bool {
    match client.get("/v3/auth/projects").await.status {
        200 => true,
        401 => false,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_trust_is_made_shown_listed_and_taken_back() {
    let cloud = Cloud::new().await;
    let (alice, bob, eve) = (cloud.member("alice").await, cloud.member("bob").await, cloud.member("eve").await);
    let admin = cloud.admin().await;
    let ends = cloud.state.clock.now().plus_seconds(600).to_micros_z();
    let trust = make(&alice, with(wanted(&alice, &bob), "expires_at", json!(ends))).await;
    let id = trust["id"].as_str().unwrap();
    let place = format!("http://cloud.test/identity{}", path(&trust));
    assert_eq!(trust["links"], json!({"self": place}));
    assert_eq!(trust["roles_links"]["self"], format!("{place}/roles"));
    assert_eq!(trust["roles"][0]["name"], "reader");
    assert_eq!(trust["expires_at"], ends);
    for (key, value) in [
        ("remaining_uses", json!(null)),
        ("deleted_at", json!(null)),
        ("redelegated_trust_id", json!(null)),
        ("redelegation_count", json!(0)),
        ("impersonation", json!(false)),
    ] {
        assert_eq!(trust[key], value, "{key}");
    }
    for client in [&alice, &bob, &admin] {
        assert_eq!(client.get(&path(&trust)).await.json()["trust"], trust);
        let roles = client.get(&format!("{}/roles", path(&trust))).await.json();
        let role = roles["roles"][0]["id"].as_str().unwrap();
        assert_eq!(roles["roles"].as_array().unwrap().len(), 1);
        assert_eq!(client.head(&format!("{}/roles/{role}", path(&trust))).await.status, 200);
        let shown = client.get(&format!("{}/roles/{role}", path(&trust))).await.json();
        assert_eq!(shown["role"]["name"], "reader");
        assert_eq!(client.get(&format!("{}/roles/none", path(&trust))).await.status, 404);
    }
    assert_eq!(eve.get(&path(&trust)).await.status, 403);
    assert_eq!(eve.get(&format!("{TRUSTS}/none")).await.status, 404, "as upstream");
    assert_eq!(alice.patch(&path(&trust), json!({"trust": {}})).await.status, 405);

    let listed = |client: &Client, query: String| {
        let client = client.clone();
        async move {
            let reply = client.get(&format!("{TRUSTS}{query}")).await;
            let ids: Option<Vec<String>> = reply.json()["trusts"]
                .as_array()
                .map(|trusts| trusts.iter().map(|trust| trust["id"].as_str().unwrap().to_owned()).collect());
            (reply.status, ids)
        }
    };
    let (of_alice, of_bob) =
        (format!("?trustor_user_id={}", alice.user_id), format!("?trustee_user_id={}", bob.user_id));
    let one = (200, Some(vec![id.to_owned()]));
    assert_eq!(listed(&alice, of_alice.clone()).await, one);
    assert_eq!(listed(&bob, of_bob.clone()).await, one);
    assert_eq!(listed(&admin, String::new()).await, one);
    assert_eq!(listed(&alice, format!("?trustee_user_id={}", alice.user_id)).await, (200, Some(vec![])));
    for (client, query) in [(&eve, &of_alice), (&alice, &of_bob), (&eve, &String::new())] {
        assert_eq!(listed(client, query.clone()).await, (403, None), "{query}");
    }
    let shown = admin.get(TRUSTS).await.json();
    assert_eq!(shown["trusts"][0]["links"], json!({"self": place}));
    assert_eq!(shown["trusts"][0]["roles"], json!(null), "lists show no roles");

    assert_eq!(bob.delete(&path(&trust)).await.status, 403);
    assert_eq!(alice.delete(&path(&trust)).await.status, 204);
    assert_eq!(alice.get(&path(&trust)).await.status, 404);
    assert_eq!(alice.delete(&path(&trust)).await.status, 404);
    assert_eq!(listed(&admin, String::new()).await, (200, Some(vec![])));
}

#[tokio::test]
async fn a_trustee_acts_with_the_roles_of_the_trust_in_their_own_name_or_in_the_trustors() {
    let cloud = Cloud::new().await;
    let (alice, bob) = (cloud.with_role("alice", "manager", "alice").await, cloud.member("bob").await);
    for impersonation in [false, true] {
        let trust = with(wanted(&alice, &bob), "impersonation", json!(impersonation));
        let trust = make(&alice, with(trust, "roles", json!([{"name": "member"}]))).await;
        let reply = try_use(&cloud, "bob", &trust).await;
        let token = reply.json()["token"].clone();
        let named = if impersonation { "alice" } else { "bob" };
        assert_eq!(token["user"]["name"], named);
        assert_eq!(token["project"]["id"], alice.project_id);
        assert_eq!(token["is_domain"], json!(null));
        let roles: Vec<&str> =
            token["roles"].as_array().unwrap().iter().map(|role| role["name"].as_str().unwrap()).collect();
        assert_eq!(roles, ["member", "reader"]);
        assert_eq!(token["methods"], json!(["password"]));
        assert_eq!(
            token["OS-TRUST:trust"],
            json!({
                "id": trust["id"], "impersonation": impersonation,
                "trustor_user": {"id": alice.user_id}, "trustee_user": {"id": bob.user_id},
            })
        );
        let subject = [("x-subject-token", reply.header("x-subject-token").unwrap())];
        let shown = bob.send(Method::GET, "/v3/auth/tokens", &subject, vec![]).await;
        let expected = if impersonation { 403 } else { 200 };
        assert_eq!(shown.status, expected, "whose name it bears, theirs it is");
    }
}

#[tokio::test]
async fn nobody_but_the_trustee_gets_a_token_with_a_trust() {
    let cloud = Cloud::new().await;
    let (alice, bob) = (cloud.member("alice").await, cloud.member("bob").await);
    let trust = make(&alice, wanted(&alice, &bob)).await;
    cloud.member("eve").await;
    for user in ["eve", "alice"] {
        assert_eq!(try_use(&cloud, user, &trust).await.status, 403, "{user}");
    }
    assert_eq!(try_use(&cloud, "bob", &json!({"id": "none"})).await.status, 401);
    assert_eq!(cloud.try_login("bob", PASSWORD, json!({"OS-TRUST:trust": {}})).await.status, 400);
    assert_eq!(try_use(&cloud, "bob", &trust).await.status, 201);
}

#[tokio::test]
async fn a_trust_is_refused_that_its_maker_may_not_make() {
    let cloud = Cloud::new().await;
    let (alice, bob) = (cloud.member("alice").await, cloud.member("bob").await);
    let good = wanted(&alice, &bob);
    let past = cloud.state.clock.now().to_micros_z();
    for (key, value, status) in [
        ("trustor_user_id", json!(bob.user_id), 403),
        ("trustee_user_id", json!("none"), 404),
        ("trustee_user_id", json!(null), 400),
        ("project_id", json!("none"), 404),
        ("project_id", json!(bob.project_id), 404),
        ("roles", json!([]), 403),
        ("roles", json!([{"name": "admin"}]), 404),
        ("roles", json!([{"name": "none"}]), 404),
        ("roles", json!([{"id": "none"}]), 404),
        ("roles", json!([{}]), 400),
        ("roles", json!([{"id": "a", "name": "b"}]), 400),
        ("roles", json!([{"fake": "x"}]), 400),
        ("expires_at", json!(past), 400),
        ("expires_at", json!("Z"), 400),
        ("remaining_uses", json!(0), 400),
        ("remaining_uses", json!(-1), 400),
        ("remaining_uses", json!(7.2), 400),
        ("remaining_uses", json!("2"), 400),
        ("impersonation", json!("yes"), 400),
        ("redelegation_count", json!(-1), 400),
    ] {
        let reply = try_make(&alice, with(good.clone(), key, value.clone())).await;
        assert_eq!(reply.status, status, "{key} {value}: {}", reply.json());
    }
    let mut unsaid = good.clone();
    unsaid.as_object_mut().unwrap().remove("impersonation");
    assert_eq!(try_make(&alice, unsaid).await.status, 400);
}

#[tokio::test]
async fn cve_2014_3476_a_token_of_a_trust_makes_no_other_trust() {
    let cloud = Cloud::new().await;
    let (alice, bob, carol) = (cloud.member("alice").await, cloud.member("bob").await, cloud.member("carol").await);
    let handed_on = with(wanted(&alice, &bob), "allow_redelegation", json!(true));
    for depth in [1, 3] {
        let reply = try_make(&alice, with(handed_on.clone(), "redelegation_count", json!(depth))).await;
        assert_eq!(reply.status, 403, "there is no depth to be had");
    }
    let counted = with(handed_on.clone(), "remaining_uses", json!(2));
    assert_eq!(try_make(&alice, counted).await.status, 400);
    let trust = make(&alice, with(handed_on, "impersonation", json!(true))).await;
    assert_eq!(trust["redelegation_count"], 0);
    let bearer = bearer(&cloud, &bob, "bob", &trust).await;
    for trustor in [&alice, &bob] {
        let onward = with(wanted(&alice, &carol), "trustor_user_id", json!(trustor.user_id));
        assert_eq!(try_make(&bearer, onward).await.status, 403);
    }
    assert_eq!(bearer.get(&path(&trust)).await.status, 200, "it may look at itself");
}

#[tokio::test]
async fn uses_are_counted_one_a_token_and_no_two_logins_share_one() {
    let cloud = Cloud::new().await;
    let (alice, bob) = (cloud.member("alice").await, cloud.member("bob").await);
    let trust = make(&alice, with(wanted(&alice, &bob), "remaining_uses", json!(3))).await;
    let failed = cloud.try_login("bob", "wrong", json!({"OS-TRUST:trust": {"id": trust["id"]}})).await;
    assert_eq!(failed.status, 401);
    assert_eq!(alice.get(&path(&trust)).await.json()["trust"]["remaining_uses"], 3, "a failed login takes none");
    let first = bearer(&cloud, &bob, "bob", &trust).await;
    assert_eq!(alice.get(&path(&trust)).await.json()["trust"]["remaining_uses"], 2);
    let logins = futures::future::join_all((0..6).map(|_| try_use(&cloud, "bob", &trust))).await;
    let mut statuses: Vec<u16> = logins.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 201, 401, 401, 401, 401]);
    assert_eq!(alice.get(&path(&trust)).await.status, 404, "as upstream: it is used up");
    assert!(is_in(&first).await, "a token that was got lives on");
}

#[tokio::test]
async fn a_trust_and_its_tokens_end_when_it_says() {
    let cloud = Cloud::new().await;
    let (alice, bob) = (cloud.member("alice").await, cloud.member("bob").await);
    let ends = cloud.state.clock.now().plus_seconds(100).to_micros_z();
    let trust = make(&alice, with(wanted(&alice, &bob), "expires_at", json!(ends))).await;
    let again = try_make(&alice, with(wanted(&alice, &bob), "expires_at", json!(ends))).await;
    assert_eq!(again.status, 409);
    let reply = try_use(&cloud, "bob", &trust).await;
    assert_eq!(reply.json()["token"]["expires_at"], ends);
    let bearer = bob.with_token(reply.header("x-subject-token").unwrap());
    assert!(is_in(&bearer).await);
    cloud.pass_seconds(100);
    assert!(!is_in(&bearer).await);
    assert_eq!(try_use(&cloud, "bob", &trust).await.status, 401);
    assert_eq!(alice.get(&path(&trust)).await.status, 404);
}

/// Each thing that can be taken from under a trust, one cloud each.
#[tokio::test]
async fn cve_2012_4457_a_trust_falls_at_once_with_whatever_it_stands_on() {
    for what in [
        "trust",
        "role taken back",
        "role deleted",
        "trustor disabled",
        "trustee disabled",
        "trustor deleted",
        "trustee deleted",
        "project disabled",
        "project deleted",
        "trustor password",
        "trustee tokens",
    ] {
        let cloud = Cloud::new().await;
        let admin = cloud.admin().await;
        let made = admin.post("/v3/roles", json!({"role": {"name": "extra"}})).await.json();
        let role = made["role"]["id"].as_str().unwrap();
        let (alice, bob) = (cloud.with_role("alice", "extra", "alice").await, cloud.member("bob").await);
        let trust = with(wanted(&alice, &bob), "impersonation", json!(true));
        let trust = make(&alice, with(trust, "roles", json!([{"name": "extra"}]))).await;
        let bearer = bearer(&cloud, &bob, "bob", &trust).await;
        assert!(is_in(&bearer).await);
        let user = |client: &Client| format!("/v3/users/{}", client.user_id);
        let project = format!("/v3/projects/{}", alice.project_id);
        let off = |key: &str| json!({ key: {"enabled": false} });
        let done = match what {
            "trust" => alice.delete(&path(&trust)).await,
            "role taken back" => admin.delete(&format!("{project}/users/{}/roles/{role}", alice.user_id)).await,
            "role deleted" => admin.delete(&format!("/v3/roles/{role}")).await,
            "trustor disabled" => admin.patch(&user(&alice), off("user")).await,
            "trustee disabled" => admin.patch(&user(&bob), off("user")).await,
            "trustor deleted" => admin.delete(&user(&alice)).await,
            "trustee deleted" => admin.delete(&user(&bob)).await,
            "project disabled" => admin.patch(&project, off("project")).await,
            "project deleted" => admin.delete(&project).await,
            "trustor password" => {
                let body = json!({"user": {"original_password": PASSWORD, "password": "new"}});
                cloud.stranger().post(&format!("{}/password", user(&alice)), body).await
            }
            _ => admin.delete(&format!("{}/tokens", user(&bob))).await,
        };
        assert!(done.status < 300, "{what}: {}", done.json());
        assert!(!is_in(&bearer).await, "{what}");
        let is_for_ever = !matches!(what, "trustor password" | "trustee tokens");
        if is_for_ever {
            assert!(matches!(try_use(&cloud, "bob", &trust).await.status, 401 | 403), "{what}");
        }
    }
}

#[tokio::test]
async fn a_token_of_a_trust_makes_nothing_that_would_outlive_it() {
    let cloud = Cloud::new().await;
    let (alice, bob) = (cloud.member("alice").await, cloud.member("bob").await);
    let trust = make(
        &alice,
        with(with(wanted(&alice, &bob), "impersonation", json!(true)), "roles", json!([{"name": "member"}])),
    )
    .await;
    let bearer = bearer(&cloud, &bob, "bob", &trust).await;
    let body = json!({"application_credential": {"name": "x"}});
    assert_eq!(bearer.post(&credentials_of(&alice), body).await.status, 403);
    assert_eq!(bearer.get(&credentials_of(&alice)).await.status, 403);
    assert_eq!(bearer.get(&format!("/v3/users/{}/access_rules", alice.user_id)).await.status, 403);
    for scope in [
        json!("unscoped"),
        json!({"project": {"id": alice.project_id}}),
        json!({"OS-TRUST:trust": {"id": trust["id"]}}),
    ] {
        let auth = json!({"identity": {"methods": ["token"], "token": {"id": bearer.token()}}, "scope": scope});
        assert_eq!(cloud.stranger().post("/v3/auth/tokens", json!({ "auth": auth })).await.status, 403);
    }
}

#[tokio::test]
async fn an_application_credential_neither_makes_nor_sees_trusts() {
    let cloud = Cloud::new().await;
    let (alice, bob) = (cloud.member("alice").await, cloud.member("bob").await);
    let trust = make(&alice, wanted(&alice, &bob)).await;
    for unrestricted in [false, true] {
        let wanted_credential = json!({"name": unrestricted.to_string(), "unrestricted": unrestricted});
        let robot = robot(&cloud, &alice, wanted_credential).await;
        assert_eq!(try_make(&robot, wanted(&alice, &bob)).await.status, 403);
        assert_eq!(robot.get(&path(&trust)).await.status, 403);
        assert_eq!(robot.get(&format!("{TRUSTS}?trustor_user_id={}", alice.user_id)).await.status, 403);
        assert_eq!(robot.delete(&path(&trust)).await.status, 403);
    }
}

#[tokio::test]
async fn a_trust_without_a_project_is_kept_and_gets_nobody_a_token() {
    let cloud = Cloud::new().await;
    let (alice, bob) = (cloud.member("alice").await, cloud.member("bob").await);
    let bare = json!({"trustor_user_id": alice.user_id, "trustee_user_id": bob.user_id, "impersonation": true});
    let trust = make(&alice, bare.clone()).await;
    assert_eq!(trust["project_id"], json!(null));
    assert_eq!(try_use(&cloud, "bob", &trust).await.status, 403);
    assert_eq!(try_make(&alice, with(bare, "roles", json!([{"name": "reader"}]))).await.status, 404);
}
