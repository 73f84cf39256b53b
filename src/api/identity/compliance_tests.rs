//! The rules about passwords and accounts through the whole router.

use super::IdentitySettings;
use crate::api::testing::{Client, Cloud, PASSWORD, RECIPE, Reply};
use crate::cloud::compliance::SecurityCompliance;
use crate::store::Db;
use serde_json::{Value, json};
use std::collections::HashMap;

const DAY: i64 = 86_400;

fn settings(security_compliance: SecurityCompliance) -> IdentitySettings {
    // The bound in memory stands aside, so that the one in the store is what is seen.
    IdentitySettings { argon2: RECIPE, failures_per_user: 0, security_compliance, ..IdentitySettings::default() }
}

async fn cloud(rules: SecurityCompliance) -> Cloud {
    Cloud::with(Db::memory().await, settings(rules), HashMap::new()).await
}

async fn make(admin: &Client, user: Value) -> String {
    let reply = admin.post("/v3/users", json!({ "user": user })).await;
    assert_eq!(reply.status, 201, "{}", reply.json());
    reply.json()["user"]["id"].as_str().unwrap().to_owned()
}

async fn change(cloud: &Cloud, id: &str, from: &str, to: &str) -> Reply {
    let body = json!({"user": {"original_password": from, "password": to}});
    cloud.stranger().post(&format!("/v3/users/{id}/password"), body).await
}

async fn login(cloud: &Cloud, name: &str, password: &str) -> Reply {
    cloud.try_login(name, password, json!("unscoped")).await
}

#[tokio::test]
async fn cve_2021_38155_a_locked_account_is_told_what_a_wrong_password_is_told() {
    let rules =
        SecurityCompliance { lockout_failure_attempts: 3, lockout_duration: 60, ..SecurityCompliance::default() };
    let cloud = cloud(rules).await;
    cloud.member("alice").await;
    let mut answers = Vec::new();
    for password in ["x", "x", "x", "x", PASSWORD] {
        answers.push(login(&cloud, "alice", password).await);
    }
    answers.push(login(&cloud, "nobody", "x").await);
    for answer in &answers {
        assert_eq!((answer.status, &answer.bytes), (401, &answers[0].bytes));
    }
    assert_eq!(answers[0].message(), "The request you have made requires authentication.");
    cloud.pass_seconds(59);
    assert_eq!(login(&cloud, "alice", PASSWORD).await.status, 401);
    cloud.pass_seconds(1);
    assert_eq!(login(&cloud, "alice", PASSWORD).await.status, 201);
}

#[tokio::test]
async fn a_lock_made_by_one_process_holds_in_all_and_an_administrator_takes_it_away() {
    let rules =
        SecurityCompliance { lockout_failure_attempts: 2, lockout_duration: 0, ..SecurityCompliance::default() };
    let db = Db::memory().await;
    let here = Cloud::with(db.clone(), settings(rules.clone()), HashMap::new()).await;
    let there = Cloud::with(db, settings(rules), HashMap::new()).await;
    let alice = here.member("alice").await;
    login(&here, "alice", "x").await;
    login(&there, "alice", "x").await;
    here.pass_seconds(DAY);
    assert_eq!(login(&here, "alice", PASSWORD).await.status, 401);
    assert_eq!(login(&there, "alice", PASSWORD).await.status, 401);
    let admin = here.admin().await;
    let path = format!("/v3/users/{}", alice.user_id);
    assert_eq!(admin.patch(&path, json!({"user": {"description": "locked"}})).await.status, 200);
    assert_eq!(login(&here, "alice", PASSWORD).await.status, 401, "another change does not unlock");
    assert_eq!(admin.patch(&path, json!({"user": {"enabled": true}})).await.status, 200);
    assert_eq!(login(&there, "alice", PASSWORD).await.status, 201);
}

#[tokio::test]
async fn wrong_passwords_count_in_a_row_only_and_an_option_exempts_from_them() {
    let rules = SecurityCompliance { lockout_failure_attempts: 2, ..SecurityCompliance::default() };
    let cloud = cloud(rules).await;
    let (admin, _) = (cloud.admin().await, cloud.member("alice").await);
    for _ in 0..3 {
        assert_eq!(login(&cloud, "alice", "x").await.status, 401);
        assert_eq!(login(&cloud, "alice", PASSWORD).await.status, 201, "a right one forgives");
    }
    let options = json!({"ignore_lockout_failure_attempts": true});
    make(&admin, json!({"name": "robot", "password": "pw", "options": options})).await;
    for _ in 0..5 {
        login(&cloud, "robot", "x").await;
    }
    assert_eq!(login(&cloud, "robot", "pw").await.status, 201);
    // A locked account's own change of password is a guess too.
    login(&cloud, "alice", "x").await;
    login(&cloud, "alice", "x").await;
    let alice = admin.get("/v3/users?name=alice").await.json()["users"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(change(&cloud, &alice, PASSWORD, "new").await.status, 401);
}

#[tokio::test]
async fn a_password_runs_out_and_its_user_may_change_it_still() {
    let rules = SecurityCompliance { password_expires_days: 2, ..SecurityCompliance::default() };
    let cloud = cloud(rules).await;
    let admin = cloud.admin().await;
    let id = make(&admin, json!({"name": "carol", "password": "old"})).await;
    let shown = admin.get(&format!("/v3/users/{id}")).await.json();
    assert_eq!(shown["user"]["password_expires_at"], "2026-11-24T02:41:09.000000");
    let exempt = json!({"name": "robot", "password": "pw", "options": {"ignore_password_expiry": true}});
    make(&admin, exempt).await;
    cloud.pass_seconds(2 * DAY - 1);
    let token = login(&cloud, "carol", "old").await;
    assert_eq!(token.json()["token"]["user"]["password_expires_at"], "2026-11-24T02:41:09.000000");
    cloud.pass_seconds(1);
    let refused = login(&cloud, "carol", "old").await;
    assert_eq!(refused.status, 401);
    let told = format!("The password is expired and needs to be changed for user: {id}.");
    assert_eq!(refused.message(), told);
    let wrong = login(&cloud, "carol", "wrong").await;
    assert_eq!(wrong.message(), "The request you have made requires authentication.", "said to nobody else");
    assert_eq!(login(&cloud, "robot", "pw").await.status, 201);
    assert_eq!(change(&cloud, &id, "old", "new").await.status, 204);
    assert_eq!(login(&cloud, "carol", "old").await.status, 401);
    cloud.pass_seconds(1);
    assert_eq!(login(&cloud, "carol", "new").await.status, 201);
}

#[tokio::test]
async fn what_an_administrator_sets_is_changed_upon_first_use() {
    let rules = SecurityCompliance { change_password_upon_first_use: true, ..SecurityCompliance::default() };
    let cloud = cloud(rules).await;
    let admin = cloud.admin().await;
    let id = make(&admin, json!({"name": "carol", "password": "first"})).await;
    assert!(login(&cloud, "carol", "first").await.message().starts_with("The password is expired"));
    assert_eq!(change(&cloud, &id, "first", "mine").await.status, 204);
    cloud.pass_seconds(1);
    assert_eq!(login(&cloud, "carol", "mine").await.status, 201);
    admin.patch(&format!("/v3/users/{id}"), json!({"user": {"password": "reset"}})).await;
    cloud.pass_seconds(1);
    assert!(login(&cloud, "carol", "reset").await.message().starts_with("The password is expired"));
    let options = json!({"ignore_change_password_upon_first_use": true});
    make(&admin, json!({"name": "robot", "password": "pw", "options": options})).await;
    assert_eq!(login(&cloud, "robot", "pw").await.status, 201);
}

#[tokio::test]
async fn a_password_that_was_in_use_is_refused_as_far_back_as_is_asked() {
    let rules = SecurityCompliance { unique_last_password_count: 3, ..SecurityCompliance::default() };
    let cloud = cloud(rules).await;
    let admin = cloud.admin().await;
    let id = make(&admin, json!({"name": "carol", "password": "p1"})).await;
    assert_eq!(change(&cloud, &id, "p1", "p2").await.status, 204);
    assert_eq!(change(&cloud, &id, "p2", "p3").await.status, 204);
    for used in ["p1", "p2", "p3"] {
        let refused = change(&cloud, &id, "p3", used).await;
        assert_eq!(refused.status, 400);
        assert_eq!(
            refused.message(),
            "The new password cannot be identical to a previous password. The total number which includes the new password must be unique is 3."
        );
    }
    assert_eq!(change(&cloud, &id, "p3", "p4").await.status, 204);
    assert_eq!(change(&cloud, &id, "p4", "p1").await.status, 204, "far enough back");
    // Taken away and given again, it is remembered still; an administrator may set what they like.
    let path = format!("/v3/users/{id}");
    assert_eq!(admin.patch(&path, json!({"user": {"password": null}})).await.status, 200);
    assert_eq!(login(&cloud, "carol", "p1").await.status, 401);
    assert_eq!(login(&cloud, "carol", "").await.status, 401);
    assert_eq!(admin.patch(&path, json!({"user": {"password": "p4"}})).await.status, 200);
    assert_eq!(change(&cloud, &id, "p4", "p1").await.status, 400);
}

#[tokio::test]
async fn a_password_of_ones_own_choice_is_kept_for_its_minimum_age() {
    let rules = SecurityCompliance { minimum_password_age: 2, ..SecurityCompliance::default() };
    let cloud = cloud(rules).await;
    let admin = cloud.admin().await;
    let id = make(&admin, json!({"name": "carol", "password": "p1"})).await;
    assert_eq!(change(&cloud, &id, "p1", "p2").await.status, 204, "an administrator's need not be kept");
    cloud.pass_seconds(DAY);
    let refused = change(&cloud, &id, "p2", "p3").await;
    assert_eq!(refused.status, 400);
    assert!(refused.message().contains("Please try again in 1 day(s)"), "{}", refused.message());
    let admin = cloud.admin().await;
    assert_eq!(admin.patch(&format!("/v3/users/{id}"), json!({"user": {"password": "p9"}})).await.status, 200);
    assert_eq!(change(&cloud, &id, "p9", "p3").await.status, 204);
    cloud.pass_seconds(2 * DAY + 1);
    assert_eq!(change(&cloud, &id, "p3", "p4").await.status, 204);
}

#[tokio::test]
async fn passwords_must_match_what_the_operator_asks_for_and_be_short_enough() {
    let rules = SecurityCompliance {
        password_regex: r"^(?=.*\d)(?=.*[a-z]).{4,}$".to_owned(),
        password_regex_description: "a letter and a digit, four characters".to_owned(),
        ..SecurityCompliance::default()
    };
    let settings = IdentitySettings { max_password_length: 20, ..settings(rules) };
    let cloud = Cloud::with(Db::memory().await, settings, HashMap::new()).await;
    let admin = cloud.admin().await;
    let id = make(&admin, json!({"name": "carol", "password": "good1"})).await;
    let told = "The password does not match the requirements: a letter and a digit, four characters.";
    let weak = admin.post("/v3/users", json!({"user": {"name": "x", "password": "bad"}})).await;
    assert_eq!((weak.status, weak.message().as_str()), (400, told));
    let weak = admin.patch(&format!("/v3/users/{id}"), json!({"user": {"password": "bad"}})).await;
    assert_eq!((weak.status, weak.message().as_str()), (400, told));
    let weak = change(&cloud, &id, "good1", "bad").await;
    assert_eq!((weak.status, weak.message().as_str()), (400, told));
    let long = format!("a1{}", "x".repeat(19));
    let told = "The password length must be less than or equal to 20. The server could not comply with the request because the password is invalid.";
    for refused in [
        admin.post("/v3/users", json!({"user": {"name": "x", "password": long}})).await,
        admin.patch(&format!("/v3/users/{id}"), json!({"user": {"password": long}})).await,
        change(&cloud, &id, "good1", &long).await,
    ] {
        assert_eq!((refused.status, refused.message().as_str()), (403, told));
    }
    let null = admin.patch(&format!("/v3/users/{id}"), json!({"user": {"password": null}})).await;
    assert_eq!(null.message(), "Password validation error: Password must be a string type.");
    assert_eq!(login(&cloud, "carol", "good1").await.status, 201);
}

#[tokio::test]
async fn a_locked_password_is_its_administrators_to_change() {
    let cloud = cloud(SecurityCompliance::default()).await;
    let admin = cloud.admin().await;
    let id = make(&admin, json!({"name": "carol", "password": "p1", "options": {"lock_password": true}})).await;
    let refused = change(&cloud, &id, "p1", "p2").await;
    assert_eq!(refused.status, 400);
    assert_eq!(
        refused.message(),
        "You cannot change your password at this time due to password policy disallowing password changes. Please contact your administrator to reset your password."
    );
    let path = format!("/v3/users/{id}");
    assert_eq!(admin.patch(&path, json!({"user": {"options": {"lock_password": null}}})).await.status, 200);
    assert_eq!(change(&cloud, &id, "p1", "p2").await.status, 204);
}

#[tokio::test]
async fn an_account_that_lies_idle_is_disabled_until_an_administrator_enables_it() {
    let rules = SecurityCompliance { disable_user_account_days_inactive: 30, ..SecurityCompliance::default() };
    let cloud = cloud(rules).await;
    let admin = cloud.admin().await;
    let id = make(&admin, json!({"name": "carol", "password": "pw"})).await;
    let options = json!({"ignore_user_inactivity": true});
    make(&admin, json!({"name": "robot", "password": "pw", "options": options})).await;
    cloud.pass_seconds(20 * DAY);
    cloud.admin().await;
    assert_eq!(login(&cloud, "carol", "pw").await.status, 201);
    cloud.pass_seconds(29 * DAY);
    let admin = cloud.admin().await;
    assert_eq!(login(&cloud, "carol", "pw").await.status, 201, "counted from the last login");
    for _ in 0..2 {
        cloud.pass_seconds(15 * DAY);
        cloud.admin().await;
    }
    let admin = admin.with_token(cloud.admin().await.token());
    assert_eq!(login(&cloud, "carol", "pw").await.status, 401);
    assert_eq!(login(&cloud, "robot", "pw").await.status, 201);
    let path = format!("/v3/users/{id}");
    assert_eq!(admin.get(&path).await.json()["user"]["enabled"], false);
    let listed = admin.get("/v3/users?name=carol").await.json();
    assert_eq!(listed["users"][0]["enabled"], false);
    let opened = admin.patch(&path, json!({"user": {"enabled": true}})).await;
    assert_eq!(opened.json()["user"]["enabled"], true);
    assert_eq!(login(&cloud, "carol", "pw").await.status, 201);
}

#[tokio::test]
async fn users_are_found_by_when_their_passwords_run_out() {
    let rules = SecurityCompliance { password_expires_days: 1, ..SecurityCompliance::default() };
    let cloud = cloud(rules).await;
    let admin = cloud.admin().await;
    make(&admin, json!({"name": "early", "password": "pw"})).await;
    make(&admin, json!({"name": "never", "password": "pw", "options": {"ignore_password_expiry": true}})).await;
    cloud.pass_seconds(60);
    make(&admin, json!({"name": "late", "password": "pw"})).await;
    for (filter, expected) in [
        ("lt:2026-11-23T02:41:10Z", vec!["early"]),
        ("lte:2026-11-23T02:41:09Z", vec!["early"]),
        ("gt:2026-11-23T02:41:09Z", vec!["late"]),
        ("gte:2026-11-23T02:41:09Z", vec!["early", "late"]),
        ("eq:2026-11-23T02:41:09Z", vec!["early"]),
        ("2026-11-23T02:41:09Z", vec!["early"]),
        ("neq:2026-11-23T02:41:09Z", vec!["late"]),
    ] {
        let reply = admin.get(&format!("/v3/users?password_expires_at={filter}")).await.json();
        let users = reply["users"].as_array().unwrap();
        let mut names: Vec<&str> = users.iter().map(|user| user["name"].as_str().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, expected, "{filter}");
    }
    let refused = admin.get("/v3/users?password_expires_at=xx:2026-11-23T02:41:09Z").await;
    assert_eq!(refused.status, 400);
    assert!(refused.message().starts_with("The given operator xx is not valid."), "{}", refused.message());
    let refused = admin.get("/v3/users?password_expires_at=lt:yesterday").await;
    assert!(refused.message().starts_with("Timestamp not in expected format."), "{}", refused.message());
}

#[tokio::test]
async fn cve_2021_38155_each_failure_writes_one_row_whomever_it_is_about() {
    let rules = SecurityCompliance { lockout_failure_attempts: 2, ..SecurityCompliance::default() };
    let cloud = cloud(rules).await;
    let (admin, alice) = (cloud.admin().await, cloud.member("alice").await);
    let off = json!({"name": "off", "password": "pw", "enabled": false});
    make(&admin, off).await;
    let written = async || {
        let id = alice.user_id.clone();
        let read = move |tx: &mut crate::store::Tx| {
            let nobodys = "SELECT CAST(SUM(failed_logins) AS BIGINT) FROM nobodys_logins";
            let own = crate::store::logins::attempts(tx, &id.as_str().into())?.count;
            Ok((tx.query(nobodys, &[])?.remove(0).next::<i64>()?, own))
        };
        cloud.state.db.read(read).await.unwrap()
    };
    assert_eq!(written().await, (0, 0));
    for (name, password, expected) in [
        ("alice", "x", (0, 1)),
        ("nobody", "x", (1, 1)),
        ("off", "pw", (2, 1)),
        ("alice", "x", (2, 2)),
        ("alice", "x", (3, 2)),
        ("alice", PASSWORD, (4, 2)),
    ] {
        assert_eq!(login(&cloud, name, password).await.status, 401);
        assert_eq!(written().await, expected, "{name} {password}");
    }
}
