//! What identity never does: each test is named after what it guards against.

use super::IdentitySettings;
use crate::api::testing::{Client, Cloud, PASSWORD, RECIPE, Reply};
use crate::cloud::password::Recipe;
use crate::store::Db;
use http::Method;
use serde_json::{Value, json};
use std::collections::HashMap;

async fn exchange(client: &Client, token: &str, scope: Value) -> Reply {
    let auth = json!({"identity": {"methods": ["token"], "token": {"id": token}}, "scope": scope});
    client.post("/v3/auth/tokens", json!({ "auth": auth })).await
}

fn subject(reply: &Reply) -> String {
    assert_eq!(reply.status, 201, "{}", reply.json());
    reply.header("x-subject-token").unwrap().to_owned()
}

/// Revokes the client's own token.
async fn revoke(client: &Client) -> u16 {
    client.send(Method::DELETE, "/v3/auth/tokens", &[("x-subject-token", client.token())], vec![]).await.status
}

/// Is the client's token still good?
async fn is_in(client: &Client) -> bool {
    match client.get("/v3/auth/projects").await.status {
        200 => true,
        401 => false,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn cve_2012_3426_and_cve_2026_44394_a_token_got_with_a_token_keeps_its_expiry() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let first = cloud.try_login("alice", PASSWORD, json!("unscoped")).await;
    cloud.pass_seconds(1800);
    let scope = json!({"project": {"id": alice.project_id}});
    let second = exchange(&cloud.stranger(), &subject(&first), scope.clone()).await;
    cloud.pass_seconds(1700);
    let third = exchange(&cloud.stranger(), &subject(&second), scope).await;
    for later in [&second, &third] {
        assert_eq!(later.json()["token"]["expires_at"], first.json()["token"]["expires_at"]);
        assert_eq!(later.json()["token"]["audit_ids"][1], first.json()["token"]["audit_ids"][0]);
        assert_eq!(later.json()["token"]["methods"], json!(["password", "token"]));
    }
    cloud.pass_seconds(101);
    assert!(!is_in(&alice.with_token(subject(&third))).await);
}

#[tokio::test]
async fn cve_2015_7546_a_revoked_token_is_refused_at_once_with_all_that_came_of_it() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let root = alice.with_token(subject(&cloud.try_login("alice", PASSWORD, json!("unscoped")).await));
    let scope = json!({"project": {"id": alice.project_id}});
    let child = alice.with_token(subject(&exchange(&alice, root.token(), scope.clone()).await));
    let sibling = alice.with_token(subject(&exchange(&alice, root.token(), scope).await));
    assert!(is_in(&root).await && is_in(&child).await && is_in(&sibling).await);

    assert_eq!(revoke(&child).await, 204);
    assert!(!is_in(&child).await && is_in(&sibling).await && is_in(&root).await);
    assert_eq!(revoke(&root).await, 204);
    assert!(!is_in(&root).await && !is_in(&sibling).await);
    assert!(is_in(&alice).await, "another login is another chain");
    let bob = cloud.member("bob").await;
    for asking in [&alice, &bob] {
        let shown = asking.send(Method::GET, "/v3/auth/tokens", &[("x-subject-token", child.token())], vec![]).await;
        let forged = asking.send(Method::GET, "/v3/auth/tokens", &[("x-subject-token", "garbage")], vec![]).await;
        assert_eq!(
            (shown.status, shown.json()),
            (404, forged.json()),
            "a revoked token is as if it had never been one"
        );
    }
    assert_eq!(exchange(&alice, child.token(), json!("unscoped")).await.status, 404);
}

#[tokio::test]
async fn cve_2013_2059_what_is_taken_away_is_gone_with_the_next_request() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let project = |client: &Client| format!("/v3/projects/{}", client.project_id);
    let user = |client: &Client| format!("/v3/users/{}", client.user_id);
    let off = |key: &str| json!({ key: {"enabled": false} });
    let on = |key: &str| json!({ key: {"enabled": true} });

    let a = cloud.member("a").await;
    assert!(is_in(&a).await);
    assert_eq!(admin.patch(&user(&a), off("user")).await.status, 200);
    assert!(!is_in(&a).await, "a disabled user");
    cloud.pass_seconds(1);
    admin.patch(&user(&a), on("user")).await;
    assert!(!is_in(&a).await, "a user disabled and enabled again");

    let b = cloud.member("b").await;
    admin.patch(&project(&b), off("project")).await;
    assert!(!is_in(&b).await, "a disabled project");
    cloud.pass_seconds(1);
    admin.patch(&project(&b), on("project")).await;
    assert!(!is_in(&b).await, "a project disabled and enabled again");

    let c = cloud.member("c").await;
    let roles = admin.get("/v3/roles?name=member").await.json();
    let grant = format!("{}/users/{}/roles/{}", project(&c), c.user_id, roles["roles"][0]["id"].as_str().unwrap());
    assert_eq!(admin.delete(&grant).await.status, 204);
    assert!(!is_in(&c).await, "a role taken back");

    let d = cloud.member("d").await;
    admin.delete(&user(&d)).await;
    assert!(!is_in(&d).await, "a deleted user");

    let e = cloud.member("e").await;
    admin.patch(&user(&e), json!({"user": {"password": "other"}})).await;
    assert!(!is_in(&e).await, "a changed password");

    let f = cloud.member("f").await;
    let body = json!({"user": {"original_password": PASSWORD, "password": "mine"}});
    assert_eq!(f.post(&format!("{}/password", user(&f)), body).await.status, 204);
    assert!(!is_in(&f).await, "a password changed by its user");
    assert_eq!(cloud.try_login("f", PASSWORD, json!(null)).await.status, 401);
    cloud.pass_seconds(1);
    assert_eq!(cloud.try_login("f", "mine", json!(null)).await.status, 201);
}

#[tokio::test]
async fn cve_2013_2059_a_change_made_by_another_process_is_seen_by_the_next_request() {
    let db = Db::memory().await;
    let (here, there) = (Cloud::over(db.clone()).await, Cloud::over(db).await);
    let alice = here.member("alice").await;
    assert!(is_in(&alice).await);
    let off = json!({"user": {"enabled": false}});
    there.admin().await.patch(&format!("/v3/users/{}", alice.user_id), off).await;
    assert!(!is_in(&alice).await);
}

#[tokio::test]
async fn a_disabled_domain_is_closed_at_every_entrance() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let made = admin.post("/v3/domains", json!({"domain": {"name": "Other"}})).await.json();
    let domain = made["domain"]["id"].as_str().unwrap().to_owned();
    let body = json!({"user": {"name": "eve", "password": "pw", "domain_id": domain}});
    let eve = admin.post("/v3/users", body).await.json()["user"]["id"].as_str().unwrap().to_owned();
    let user = json!({"id": eve, "password": "pw"});
    let login = json!({"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}});
    let first = cloud.stranger().post("/v3/auth/tokens", login.clone()).await;
    let client = admin.with_token(subject(&first));
    assert!(is_in(&client).await);
    admin.patch(&format!("/v3/domains/{domain}"), json!({"domain": {"enabled": false}})).await;
    assert!(!is_in(&client).await);
    assert_eq!(cloud.stranger().post("/v3/auth/tokens", login).await.status, 401);
    assert_eq!(exchange(&admin, client.token(), json!("unscoped")).await.status, 404);
}

#[tokio::test]
async fn cve_2021_38155_unknown_users_wrong_passwords_and_disabled_accounts_answer_alike() {
    let cloud = Cloud::new().await;
    let (admin, bob) = (cloud.admin().await, cloud.member("bob").await);
    admin.patch(&format!("/v3/users/{}", bob.user_id), json!({"user": {"enabled": false}})).await;
    cloud.member("alice").await;
    let answers = [
        cloud.try_login("nobody", "x", json!(null)).await,
        cloud.try_login("alice", "x", json!(null)).await,
        cloud.try_login("bob", PASSWORD, json!(null)).await,
        cloud.try_login("alice", PASSWORD, json!({"project": {"id": "no such project"}})).await,
        cloud.try_login("alice", PASSWORD, json!({"project": {"id": admin.project_id}})).await,
        cloud.try_login("alice", &"x".repeat(100_000), json!(null)).await,
    ];
    for answer in &answers {
        assert_eq!((answer.status, &answer.bytes), (401, &answers[0].bytes));
    }
    assert_eq!(answers[0].message(), "The request you have made requires authentication.");
}

/// The lines of `/metrics` that count argon2 derivations.
async fn hashes(cloud: &Cloud) -> Vec<String> {
    let text = String::from_utf8(cloud.stranger().get("/metrics").await.bytes).unwrap();
    text.lines().filter(|line| line.starts_with("gapura_password_hashes_total{")).map(str::to_owned).collect()
}

/// Everything a login can be refused for costs what a wrong password costs, so the time it takes says nothing. Counted,
/// not timed: one derivation, with the parameters that every user's hash has.
#[tokio::test]
async fn cve_2021_38155_every_refused_login_costs_one_verification_of_the_same_parameters() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let (bob, carol) = (cloud.member("bob").await, cloud.member("carol").await);
    admin.patch(&format!("/v3/users/{}", bob.user_id), json!({"user": {"enabled": false}})).await;
    admin.patch(&format!("/v3/users/{}", carol.user_id), json!({"user": {"password": null}})).await;
    cloud.member("alice").await;
    let domain = admin.post("/v3/domains", json!({"domain": {"name": "closed"}})).await.json();
    let domain = domain["domain"]["id"].as_str().unwrap().to_owned();
    let user = json!({"user": {"name": "dave", "domain_id": domain, "password": PASSWORD}});
    let dave = admin.post("/v3/users", user).await.json()["user"]["id"].as_str().unwrap().to_owned();
    let closed = admin.patch(&format!("/v3/domains/{domain}"), json!({"domain": {"enabled": false}})).await;
    assert_eq!(closed.status, 200, "{}", closed.json());

    let here = json!({"id": "default"});
    let refused = [
        ("a wrong password", json!({"name": "alice", "domain": here, "password": "x"})),
        ("an unknown user", json!({"name": "nobody", "domain": here, "password": "x"})),
        ("an unknown id", json!({"id": "0123456789abcdef0123456789abcdef", "password": "x"})),
        ("an unknown domain", json!({"name": "alice", "domain": {"name": "nowhere"}, "password": PASSWORD})),
        ("a disabled user", json!({"name": "bob", "domain": here, "password": PASSWORD})),
        ("a disabled user's wrong password", json!({"name": "bob", "domain": here, "password": "x"})),
        ("a user without a password", json!({"name": "carol", "domain": here, "password": "x"})),
        ("a disabled domain", json!({"name": "dave", "domain": {"name": "closed"}, "password": PASSWORD})),
        ("a disabled domain, by the user's id", json!({"id": dave, "password": PASSWORD})),
    ];
    let mut bodies = Vec::new();
    for (what, user) in refused {
        let before = hashes(&cloud).await;
        let auth = json!({"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}});
        let reply = cloud.stranger().post("/v3/auth/tokens", auth).await;
        assert_eq!(reply.status, 401, "{what}");
        let made: Vec<String> = hashes(&cloud).await.into_iter().filter(|line| !before.contains(line)).collect();
        let verifications = |lines: &[String]| -> u64 {
            let beginning = format!("gapura_password_hashes_total{{operation=\"verify\",parameters=\"{RECIPE}\"}} ");
            lines
                .iter()
                .filter_map(|line| line.strip_prefix(&beginning))
                .map(|count| count.parse::<u64>().unwrap())
                .sum()
        };
        assert_eq!(made.len(), 1, "{what}: no other operation, no other parameters: {made:?}");
        assert_eq!(verifications(&made), verifications(&before) + 1, "{what}: {made:?}");
        bodies.push((what, reply.bytes));
    }
    for (what, body) in &bodies {
        assert_eq!(body, &bodies[0].1, "{what} is told from {}", bodies[0].0);
    }
}

#[tokio::test]
async fn cve_2013_0247_failures_are_bounded_before_hashing_and_tell_nothing_about_who_exists() {
    let settings = IdentitySettings { argon2: RECIPE, failures_per_user: 3, ..IdentitySettings::default() };
    let cloud = Cloud::with(Db::memory().await, settings, HashMap::new()).await;
    cloud.member("alice").await;
    let mut answers = Vec::new();
    for name in ["alice", "nobody"] {
        for _ in 0..4 {
            answers.push(cloud.try_login(name, "x", json!(null)).await);
        }
    }
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [401, 401, 401, 429, 401, 401, 401, 429]);
    assert_eq!(answers[3].bytes, answers[7].bytes);
    assert_eq!(answers[3].header("retry-after"), Some("5"));
    assert_eq!(cloud.try_login("alice", PASSWORD, json!(null)).await.status, 429);
    cloud.pass_seconds(61);
    for _ in 0..10 {
        assert_eq!(cloud.try_login("alice", PASSWORD, json!(null)).await.status, 201, "successes never count");
    }
}

#[tokio::test]
async fn cve_2014_2828_methods_named_a_thousand_times_are_tried_once() {
    let settings = IdentitySettings { argon2: RECIPE, failures_per_user: 2, ..IdentitySettings::default() };
    let cloud = Cloud::with(Db::memory().await, settings, HashMap::new()).await;
    let user = json!({"name": "admin", "domain": {"id": "default"}, "password": "wrong"});
    let methods = vec!["password"; 1000];
    let auth = json!({"auth": {"identity": {"methods": methods, "password": {"user": user}}}});
    assert_eq!(cloud.stranger().post("/v3/auth/tokens", auth).await.status, 401);
    assert_eq!(cloud.try_login("admin", PASSWORD, json!(null)).await.status, 201, "one failure was counted");
}

#[tokio::test]
async fn cve_2026_22797_identity_headers_from_outside_mean_nothing() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let forged = [
        ("x-roles", "admin"),
        ("x-user-id", "admin"),
        ("x-is-admin-project", "True"),
        ("x-identity-status", "Confirmed"),
    ];
    assert_eq!(alice.send(Method::GET, "/v3/users", &forged, vec![]).await.status, 403);
    assert_eq!(cloud.stranger().send(Method::GET, "/v3/users", &forged, vec![]).await.status, 401);
}

#[tokio::test]
async fn cve_2019_19687_lists_hold_nothing_of_others() {
    let cloud = Cloud::new().await;
    let (alice, bob) = (cloud.member("alice").await, cloud.reader("bob").await);
    for path in ["/v3/users", "/v3/projects", "/v3/groups", "/v3/role_assignments", "/v3/domains", "/v3/services"] {
        for caller in [&alice, &bob] {
            assert_eq!(caller.get(path).await.status, 403, "{path}");
        }
    }
    for path in ["projects", "groups", "application_credentials"] {
        assert_eq!(alice.get(&format!("/v3/users/{}/{path}", bob.user_id)).await.status, 403, "{path}");
        assert_eq!(alice.get(&format!("/v3/users/{}/{path}", alice.user_id)).await.status, 200, "{path}");
    }
    assert_eq!(
        alice.get(&format!("/v3/users/{}", bob.user_id)).await.bytes.len(),
        alice.get("/v3/users/none").await.bytes.len()
    );
}

#[tokio::test]
async fn cve_2026_33551_an_application_credential_can_do_no_more_than_it_was_made_for() {
    let cloud = Cloud::new().await;
    let alice = cloud.with_role("alice", "manager", "alice").await;
    let path = format!("/v3/users/{}/application_credentials", alice.user_id);
    let body = json!({"application_credential": {"name": "robot", "roles": [{"name": "reader"}]}});
    let made = alice.post(&path, body.clone()).await;
    assert_eq!(made.status, 201, "{}", made.json());
    assert_eq!(alice.post(&path, body).await.status, 409);
    let credential = made.json()["application_credential"].clone();
    let given = json!({"id": credential["id"], "secret": credential["secret"]});
    let identity = json!({"methods": ["application_credential"], "application_credential": given});
    let login = cloud.stranger().post("/v3/auth/tokens", json!({"auth": {"identity": identity}})).await;
    let robot = alice.with_token(subject(&login));
    assert_eq!(login.json()["token"]["roles"][0]["name"], "reader");
    assert_eq!(login.json()["token"]["roles"].as_array().unwrap().len(), 1);
    assert_eq!(login.json()["token"]["application_credential"]["restricted"], true);

    let scoped = json!({"auth": {"identity": identity, "scope": {"system": {"all": true}}}});
    assert_eq!(cloud.stranger().post("/v3/auth/tokens", scoped).await.status, 401);
    assert_eq!(exchange(&robot, robot.token(), json!("unscoped")).await.status, 403);
    let another = json!({"application_credential": {"name": "second"}});
    assert_eq!(robot.post(&path, another).await.status, 403);
    let id = credential["id"].as_str().unwrap();
    assert_eq!(robot.delete(&format!("{path}/{id}")).await.status, 403);
    let too_much = json!({"application_credential": {"name": "x", "roles": [{"name": "admin"}]}});
    assert_eq!(alice.post(&path, too_much).await.status, 400);

    assert_eq!(alice.get(&format!("{path}/{id}")).await.json()["application_credential"]["secret"], json!(null));
    assert_eq!(alice.delete(&format!("{path}/{id}")).await.status, 204);
    assert!(!is_in(&robot).await);
}

#[tokio::test]
async fn a_system_token_is_not_exchanged_for_a_project() {
    let cloud = Cloud::new().await;
    let (system, admin) = (cloud.system_admin().await, cloud.admin().await);
    let scope = json!({"project": {"id": admin.project_id}});
    assert_eq!(exchange(&system, system.token(), scope).await.status, 403);
}

#[tokio::test]
async fn an_expired_token_and_a_token_of_other_keys_are_refused() {
    let (cloud, other) = (Cloud::new().await, Cloud::new().await);
    let (alice, foreign) = (cloud.member("alice").await, other.admin().await);
    assert!(!is_in(&alice.with_token(foreign.token())).await);
    cloud.pass_seconds(3599);
    assert!(is_in(&alice).await);
    cloud.pass_seconds(1);
    assert!(!is_in(&alice).await);
}

#[tokio::test]
async fn a_password_hashed_with_older_parameters_is_hashed_anew_at_login() {
    let db = Db::memory().await;
    let old = Cloud::over(db.clone()).await;
    let alice = old.member("alice").await;
    let dearer = Recipe { memory: 128, ..RECIPE };
    let settings = IdentitySettings { argon2: dearer, ..IdentitySettings::default() };
    let new = Cloud::with(db.clone(), settings, HashMap::new()).await;
    for _ in 0..2 {
        assert_eq!(new.try_login("alice", PASSWORD, json!(null)).await.status, 201);
    }
    let id = alice.user_id.as_str().into();
    let kept = db.read(move |tx| crate::store::users::password(tx, &id)).await.unwrap().unwrap();
    assert!(kept.hash.starts_with("$argon2id$v=19$m=128,"), "{}", kept.hash);
    assert!(is_in(&old.member("alice").await).await);
}

#[tokio::test]
async fn what_is_not_served_is_not_there() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    for path in ["/v3/OS-OAUTH1/consumers", "/v3/ec2tokens", "/v3/s3tokens"] {
        assert_eq!(admin.get(path).await.status, 404, "{path}");
        assert_eq!(cloud.stranger().post(path, json!({})).await.status, 404, "{path}");
    }
}
