//! Credentials, through the whole router.

use crate::api::identity::delegation::access_rule_tests::robot;
use crate::api::identity::delegation::credentials;
use crate::api::identity::reseal_credentials;
use crate::api::testing::{Client, Cloud, PASSWORD, Reply};
use crate::store::{Tx, args};
use crate::vault::{Vault, add_key, remove_unused};
use serde_json::{Value, json};

const PATH: &str = "/v3/credentials";

fn wanted(owner: &Client, kind: &str, blob: &str) -> Value {
    json!({"user_id": owner.user_id, "type": kind, "blob": blob})
}

fn ec2(owner: &Client, project: &str, access: &str) -> Value {
    let blob = json!({"access": access, "secret": "s3cr3t"}).to_string();
    json!({"user_id": owner.user_id, "type": "ec2", "blob": blob, "project_id": project})
}

async fn try_make(client: &Client, credential: Value) -> Reply {
    client.post(PATH, json!({ "credential": credential })).await
}

async fn make(client: &Client, credential: Value) -> Value {
    let reply = try_make(client, credential).await;
    assert_eq!(reply.status, 201, "{}", reply.json());
    reply.json()["credential"].clone()
}

fn place(credential: &Value) -> String {
    format!("{PATH}/{}", credential["id"].as_str().unwrap())
}

async fn seen(client: &Client, query: &str) -> Vec<Value> {
    let reply = client.get(&format!("{PATH}{query}")).await;
    assert_eq!(reply.status, 200, "{}", reply.json());
    reply.json()["credentials"].as_array().unwrap().clone()
}

/// A token of alice's trust to bob, in alice's name, with the role member.
async fn trusted(cloud: &Cloud, alice: &Client, bob: &Client) -> Client {
    let trust = json!({
        "trustor_user_id": alice.user_id, "trustee_user_id": bob.user_id, "project_id": alice.project_id,
        "impersonation": true, "roles": [{"name": "member"}],
    });
    let made = alice.post("/v3/OS-TRUST/trusts", json!({ "trust": trust })).await.json();
    let scope = json!({"OS-TRUST:trust": {"id": made["trust"]["id"]}});
    let login = cloud.try_login("bob", PASSWORD, scope).await;
    alice.with_token(login.header("x-subject-token").unwrap())
}

#[tokio::test]
async fn a_credential_of_any_type_is_kept_shown_changed_and_deleted() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let cert = make(&alice, json!({"user_id": alice.user_id, "type": "cert", "blob": "PEM", "note": "mine"})).await;
    assert_eq!(cert["links"]["self"], format!("http://cloud.test/identity{}", place(&cert)));
    assert_eq!((&cert["project_id"], &cert["note"]), (&json!(null), &json!("mine")));
    // Lists begin with the oldest.
    cloud.pass_seconds(1);
    let totp = make(&alice, wanted(&alice, "totp", "GEZDGNBVGY3TQOJQ")).await;
    assert_eq!(alice.get(&place(&cert)).await.json()["credential"], cert);
    assert_eq!(seen(&alice, "").await, [cert.clone(), totp.clone()]);
    assert_eq!(seen(&alice, "?type=totp").await, std::slice::from_ref(&totp));
    assert_eq!(seen(&alice, &format!("?user_id={}", alice.user_id)).await.len(), 2);
    assert_eq!(seen(&alice, "?user_id=none").await.len(), 0);

    let changed = alice.patch(&place(&cert), json!({"credential": {"blob": "other"}})).await;
    assert_eq!((changed.status, &changed.json()["credential"]["blob"]), (200, &json!("other")));
    assert_eq!(alice.get(&place(&cert)).await.json()["credential"]["blob"], "other");
    assert_eq!(alice.delete(&place(&cert)).await.status, 204);
    assert_eq!(alice.get(&place(&cert)).await.status, 403, "to whom it could be another's, it is not told");
    assert_eq!(cloud.admin().await.get(&place(&cert)).await.status, 404);
    for wrong in [
        json!({}),
        json!({"user_id": alice.user_id, "type": "cert"}),
        wanted(&alice, "ec2", r#"{"access": "a"}"#),
        json!({"user_id": alice.user_id, "type": "EC2", "project_id": alice.project_id, "blob": "no json"}),
        json!({"user_id": alice.user_id, "type": "ec2", "project_id": alice.project_id, "blob": "{}"}),
        json!({"user_id": alice.user_id, "type": "ec2", "project_id": alice.project_id, "blob": "{\"secret\": \"x\"}"}),
        json!({"user_id": alice.user_id, "type": "cert", "blob": 5}),
    ] {
        assert!(matches!(try_make(&alice, wrong.clone()).await.status, 400 | 403), "{wrong}");
    }
}

#[tokio::test]
async fn cve_2019_19687_a_list_of_credentials_holds_none_of_others() {
    let cloud = Cloud::new().await;
    let (alice, bob, admin) = (cloud.member("alice").await, cloud.member("bob").await, cloud.admin().await);
    let secret = make(&alice, wanted(&alice, "cert", "alice's")).await;
    make(&bob, wanted(&bob, "cert", "bob's")).await;
    assert_eq!(seen(&bob, "").await.len(), 1);
    assert_eq!(seen(&bob, &format!("?user_id={}", alice.user_id)).await.len(), 0);
    assert_eq!(seen(&admin, "").await.len(), 2);
    assert_eq!(seen(&admin, &format!("?user_id={}", alice.user_id)).await, std::slice::from_ref(&secret));
    assert_eq!(bob.get(&place(&secret)).await.status, 403);
    assert_eq!(bob.patch(&place(&secret), json!({"credential": {"blob": "x"}})).await.status, 403);
    assert_eq!(bob.delete(&place(&secret)).await.status, 403);
    assert_eq!(try_make(&bob, wanted(&alice, "cert", "planted")).await.status, 403);
    assert_eq!(try_make(&admin, wanted(&alice, "cert", "planted")).await.status, 201);
    assert_eq!(try_make(&admin, json!({"user_id": "none", "type": "cert", "blob": "x"})).await.status, 404);
}

#[tokio::test]
async fn cve_2020_12691_the_owner_the_project_and_the_type_of_a_credential_do_not_change() {
    let cloud = Cloud::new().await;
    let (alice, bob, admin) = (cloud.member("alice").await, cloud.member("bob").await, cloud.admin().await);
    let key = make(&alice, ec2(&alice, &alice.project_id, "key")).await;
    for (field, value) in [
        ("user_id", &bob.user_id),
        ("user_id", &alice.user_id),
        ("project_id", &bob.project_id),
        ("type", &"cert".to_owned()),
        ("id", &"other".to_owned()),
    ] {
        for client in [&alice, &admin] {
            let body = json!({"credential": {"blob": "{\"access\": \"key\"}", field: value}});
            assert_eq!(client.patch(&place(&key), body).await.status, 400, "{field}");
        }
    }
    for blob in [json!({"access": "x", "trust_id": "t"}), json!({"access": "x", "app_cred_id": "a"})] {
        let body = json!({"credential": {"blob": blob.to_string()}});
        assert_eq!(alice.patch(&place(&key), body).await.status, 400);
    }
    assert_eq!(alice.get(&place(&key)).await.json()["credential"], key);
    let body = json!({"credential": {"blob": "{\"access\": \"x\"}"}});
    assert_eq!(alice.patch(&place(&key), body).await.status, 200);
}

#[tokio::test]
async fn cve_2026_43001_an_ec2_credential_is_made_for_no_project_that_is_not_the_owners() {
    let cloud = Cloud::new().await;
    let (alice, bob, admin) = (cloud.member("alice").await, cloud.member("bob").await, cloud.admin().await);
    let own = format!("/v3/users/{}/credentials/OS-EC2", alice.user_id);
    for project in [bob.project_id.as_str(), "none"] {
        let reply = try_make(&alice, ec2(&alice, project, "key")).await;
        assert_eq!(reply.status, 403, "whether or not there is such a project");
        assert_eq!(alice.post(&own, json!({"tenant_id": project})).await.status, 403);
    }
    assert_eq!(try_make(&alice, ec2(&alice, &alice.project_id, "key")).await.status, 201);
    assert_eq!(try_make(&alice, ec2(&alice, &alice.project_id, "key")).await.status, 409, "its id is its access key's");
    assert_eq!(try_make(&admin, ec2(&alice, &bob.project_id, "admin's")).await.status, 201);
}

/// CVE-2020-12689, CVE-2026-33551, OSSA-2026-015: asked of every kind of delegated token.
async fn delegated(cloud: &Cloud, alice: &Client, bob: &Client) -> Vec<(&'static str, Client)> {
    let restricted = robot(cloud, alice, json!({"name": "restricted"})).await;
    let free = robot(cloud, alice, json!({"name": "free", "unrestricted": true})).await;
    let trusted = trusted(cloud, alice, bob).await;
    vec![("restricted", restricted), ("unrestricted", free), ("trust", trusted)]
}

#[tokio::test]
async fn cve_2020_12689_and_cve_2026_33551_a_delegated_token_neither_makes_nor_reads_credentials() {
    let cloud = Cloud::new().await;
    let (alice, bob) = (cloud.member("alice").await, cloud.member("bob").await);
    let secret = make(&alice, wanted(&alice, "cert", "secret")).await;
    let own = format!("/v3/users/{}/credentials/OS-EC2", alice.user_id);
    let pair = alice.post(&own, json!({"tenant_id": alice.project_id})).await.json();
    let access = pair["credential"]["access"].as_str().unwrap().to_owned();
    for (kind, client) in delegated(&cloud, &alice, &bob).await {
        let attempts = [
            try_make(&client, ec2(&alice, &alice.project_id, "stronger")).await,
            try_make(&client, wanted(&alice, "totp", "GEZDGNBV")).await,
            client.get(&place(&secret)).await,
            client.patch(&place(&secret), json!({"credential": {"blob": "x"}})).await,
            client.delete(&place(&secret)).await,
            client.get(&own).await,
            client.post(&own, json!({"tenant_id": alice.project_id})).await,
            client.get(&format!("{own}/{access}")).await,
            client.delete(&format!("{own}/{access}")).await,
        ];
        let statuses: Vec<u16> = attempts.iter().map(|reply| reply.status).collect();
        assert_eq!(statuses, [403; 9], "{kind}");
        assert!(attempts[0].message().contains("Delegated tokens cannot access credentials directly"), "{kind}");
        assert_eq!(seen(&client, "").await.len(), 0, "{kind}");
    }
    assert_eq!(seen(&alice, "").await.len(), 2);
}

#[tokio::test]
async fn cve_2020_12689_an_admins_roles_make_no_exception_for_a_delegated_token() {
    let cloud = Cloud::new().await;
    let (admin, alice) = (cloud.admin().await, cloud.member("alice").await);
    let secret = make(&alice, wanted(&alice, "cert", "secret")).await;
    let robot = robot(&cloud, &admin, json!({"name": "root", "unrestricted": true})).await;
    assert_eq!(robot.get(&place(&secret)).await.status, 403);
    assert_eq!(try_make(&robot, ec2(&alice, &alice.project_id, "key")).await.status, 403);
    assert_eq!(seen(&robot, "").await.len(), 0);
}

#[tokio::test]
async fn ossa_2026_015_a_delegated_token_is_bound_to_the_project_it_was_delegated_for() {
    let cloud = Cloud::new().await;
    let (alice, bob) = (cloud.member("alice").await, cloud.member("bob").await);
    let elsewhere = cloud.with_role("alice", "member", "elsewhere").await;
    for (kind, client) in delegated(&cloud, &alice, &bob).await {
        for scope in
            [json!({"project": {"id": elsewhere.project_id}}), json!("unscoped"), json!({"system": {"all": true}})]
        {
            for methods in [json!(["token"]), json!(["token", "password"])] {
                let user = json!({"id": bob.user_id, "password": PASSWORD});
                let identity = json!({"methods": methods, "token": {"id": client.token()}, "password": {"user": user}});
                let body = json!({"auth": {"identity": identity, "scope": scope}});
                assert_eq!(cloud.stranger().post("/v3/auth/tokens", body).await.status, 403, "{kind}");
            }
        }
        let subject = [("x-subject-token", client.token())];
        let shown = alice.send(http::Method::GET, "/v3/auth/tokens", &subject, vec![]).await;
        assert_eq!(shown.json()["token"]["project"]["id"], alice.project_id, "{kind}");
    }
    // An unrestricted credential makes others for its own project alone.
    let free = robot(&cloud, &alice, json!({"name": "free again", "unrestricted": true})).await;
    let path = format!("/v3/users/{}/application_credentials", alice.user_id);
    let body = json!({"application_credential": {"name": "x", "project_id": elsewhere.project_id}});
    assert_eq!(free.post(&path, body).await.json()["application_credential"]["project_id"], alice.project_id);
}

#[tokio::test]
async fn a_user_s_ec2_credentials_are_made_listed_shown_and_deleted() {
    let cloud = Cloud::new().await;
    let (alice, bob, admin) = (cloud.member("alice").await, cloud.member("bob").await, cloud.admin().await);
    let own = format!("/v3/users/{}/credentials/OS-EC2", alice.user_id);
    let made = alice.post(&own, json!({"tenant_id": alice.project_id})).await;
    assert_eq!(made.status, 201, "{}", made.json());
    let pair = made.json()["credential"].clone();
    let access = pair["access"].as_str().unwrap();
    assert_eq!((access.len(), pair["secret"].as_str().unwrap().len()), (32, 32));
    assert_eq!(pair["links"]["self"], format!("http://cloud.test/identity{own}/{access}"));
    assert_eq!((&pair["tenant_id"], &pair["trust_id"]), (&json!(alice.project_id), &json!(null)));
    assert_eq!(alice.get(&own).await.json()["credentials"], json!([pair]));
    assert_eq!(alice.get(&format!("{own}/{access}")).await.json()["credential"], pair);
    let stored = seen(&alice, "?type=ec2").await;
    assert_eq!(stored[0]["id"], credentials::ec2_id(access));
    assert_eq!(serde_json::from_str::<Value>(stored[0]["blob"].as_str().unwrap()).unwrap()["access"], access);

    assert_eq!(bob.get(&own).await.status, 403);
    assert_eq!(bob.get(&format!("{own}/{access}")).await.status, 403);
    let others = format!("/v3/users/{}/credentials/OS-EC2", bob.user_id);
    assert_eq!(bob.get(&format!("{others}/{access}")).await.status, 403, "whose it is it says itself");
    assert_eq!(bob.delete(&format!("{others}/{access}")).await.status, 403);
    assert_eq!(admin.get(&format!("{others}/{access}")).await.status, 200);
    for client in [&alice, &bob, &admin] {
        assert_eq!(client.get(&format!("{others}/none")).await.status, 404, "as upstream");
    }
    assert_eq!(admin.post(&others, json!({"tenant_id": "none"})).await.status, 404);
    assert_eq!(admin.post(&own, json!({"tenant_id": bob.project_id})).await.status, 201);
    assert_eq!(cloud.reader("rita").await.post(&own, json!({"tenant_id": "x"})).await.status, 403);
    assert_eq!(alice.delete(&format!("{own}/{access}")).await.status, 204);
    assert_eq!(alice.get(&format!("{own}/{access}")).await.status, 404);
}

#[tokio::test]
async fn cve_2025_65073_there_is_no_place_to_exchange_a_signature_for_a_token() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    for path in ["/v3/ec2tokens", "/v3/s3tokens", "/v3/OS-OAUTH1/request_token", "/v2.0/tokens"] {
        for client in [&cloud.stranger(), &admin] {
            assert_eq!(client.post(path, json!({"credentials": {}})).await.status, 404, "{path}");
        }
    }
    let identity = json!({"methods": ["ec2credential"], "ec2credential": {}});
    let reply = cloud.stranger().post("/v3/auth/tokens", json!({"auth": {"identity": identity}})).await;
    assert_eq!(reply.status, 401);
}

async fn rows(cloud: &Cloud) -> Vec<(String, String, String)> {
    let read = |tx: &mut Tx| {
        let rows = tx.query("SELECT id, key_id, sealed FROM credentials ORDER BY id", args![])?;
        rows.into_iter().map(|mut row| Ok((row.next()?, row.next()?, row.next()?))).collect()
    };
    cloud.state.db.read(read).await.unwrap()
}

#[tokio::test]
async fn a_blob_is_nowhere_in_the_database_and_of_no_use_in_another_row() {
    let cloud = Cloud::new().await;
    let (alice, bob) = (cloud.member("alice").await, cloud.member("bob").await);
    make(&alice, wanted(&alice, "totp", "GEZDGNBVGY3TQOJQ")).await;
    let bobs = make(&bob, wanted(&bob, "totp", "MFRGGZDF")).await;
    let stored = rows(&cloud).await;
    assert!(stored.iter().all(|(_, _, sealed)| !sealed.contains("GEZD") && !sealed.contains("MFRG")));
    let (own, others): (Vec<_>, Vec<_>) = stored.into_iter().partition(|(id, ..)| *id == bobs["id"]);
    let (bobs_row, alices_blob) = (own[0].0.clone(), others[0].2.clone());
    let swap = move |tx: &mut Tx| {
        tx.execute("UPDATE credentials SET sealed = ?2 WHERE id = ?1", args![&bobs_row, &alices_blob])
    };
    cloud.state.db.write(swap).await.unwrap();
    assert_eq!(bob.get(&place(&bobs)).await.status, 500, "it is bound to its own row");
}

#[tokio::test]
async fn a_rotation_seals_every_credential_anew_and_drops_keys_that_nothing_needs() {
    let folder = tempfile::tempdir().unwrap();
    let cloud = Cloud::new().await;
    let now = cloud.state.clock.now();
    let old = Vault::load_or_create(folder.path(), now).unwrap();
    let owner = cloud.member("alice").await;
    for number in 0..205 {
        let user = owner.user_id.as_str().into();
        let blob = format!("secret {number}");
        let credential = credentials::sealed(
            &old,
            format!("{number}"),
            (user, None),
            "cert",
            &blob,
            crate::http::json::Map::new(),
            now,
        );
        let credential = credential.unwrap();
        cloud.state.db.write(move |tx| crate::store::credentials::insert(tx, &credential, now)).await.unwrap();
    }
    let newest = add_key(folder.path(), now.plus_seconds(1)).unwrap();
    let ring = Vault::load_or_create(folder.path(), now.plus_seconds(1)).unwrap();
    let later = now.plus_seconds(2);
    let (count, in_use) = reseal_credentials(&cloud.state.db, &ring, &newest, later).await.unwrap();
    assert_eq!((count, &in_use), (205, &vec![newest.clone()]));
    assert!(rows(&cloud).await.iter().all(|(_, key, _)| *key == newest));
    remove_unused(folder.path(), &in_use, now.plus_seconds(4000)).unwrap();
    let alone = Vault::load_or_create(folder.path(), later).unwrap();
    let found = cloud.state.db.read(|tx| crate::store::credentials::get(tx, "7")).await.unwrap().unwrap();
    assert_eq!(credentials::open(&alone, &found, later).as_deref(), Some("secret 7"));
    let again = reseal_credentials(&cloud.state.db, &alone, &newest, later).await.unwrap();
    assert_eq!(again.0, 0, "it can be repeated");
}

#[tokio::test]
async fn credentials_go_with_their_owner_and_their_project() {
    let cloud = Cloud::new().await;
    let (alice, bob, admin) = (cloud.member("alice").await, cloud.member("bob").await, cloud.admin().await);
    make(&alice, ec2(&alice, &alice.project_id, "a")).await;
    let kept = make(&alice, wanted(&alice, "cert", "kept")).await;
    make(&bob, wanted(&bob, "cert", "gone")).await;
    assert_eq!(admin.delete(&format!("/v3/projects/{}", alice.project_id)).await.status, 204);
    assert_eq!(admin.delete(&format!("/v3/users/{}", bob.user_id)).await.status, 204);
    let left: Vec<String> = rows(&cloud).await.into_iter().map(|(id, ..)| id).collect();
    assert_eq!(left, [kept["id"].as_str().unwrap()]);
}
