//! What the audit file says of changes and logins.

use crate::api::testing::{Client, Cloud, PASSWORD};
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// A cloud, its audit file, and the rows that were called with success.
struct Watched {
    cloud: Cloud,
    file: PathBuf,
    called: BTreeSet<(String, &'static str)>,
    _folder: tempfile::TempDir,
}

impl Watched {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("audit.log");
        Self { cloud: Cloud::with_audit(file.clone()).await, file, called: BTreeSet::new(), _folder: folder }
    }

    fn events(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.file).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Calls a row with success, and sees that it leaves exactly one event, which it answers with the reply.
    async fn call(
        &mut self,
        client: &Client,
        method: Method,
        path: &'static str,
        params: &[(&str, &str)],
        body: Value,
    ) -> (Value, Value) {
        let filled =
            params.iter().fold(path.to_owned(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value));
        let before = self.events().len();
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let headers = [("content-type", "application/json"), ("user-agent", "tests")];
        let reply = client.send(method.clone(), &filled, &headers, bytes).await;
        assert!(reply.status < 300, "{method} {filled}: {} {}", reply.status, reply.json());
        let events = self.events();
        assert_eq!(events.len(), before + 1, "{method} {filled}");
        self.called.insert((method.to_string(), path));
        (reply.json(), events[before].clone())
    }
}

fn id(reply: &Value, key: &str) -> String {
    reply[key]["id"].as_str().unwrap_or_else(|| panic!("{reply}")).to_owned()
}

#[tokio::test]
async fn every_row_that_changes_something_leaves_exactly_one_event() {
    use Method as M;
    let mut w = Watched::new().await;
    let admin = w.cloud.admin().await;
    let none = || json!(null);

    let made = w.call(&admin, M::POST, "/v3/domains", &[], json!({"domain": {"name": "Other"}})).await.0;
    let domain = id(&made, "domain");
    let off = json!({"domain": {"enabled": false}});
    let on = json!({"domain": {"enabled": true}});
    w.call(&admin, M::PATCH, "/v3/domains/{domain_id}", &[("domain_id", &domain)], off).await;
    w.call(&admin, M::PATCH, "/v3/domains/{domain_id}", &[("domain_id", &domain)], on).await;
    let made = w.call(&admin, M::POST, "/v3/projects", &[], json!({"project": {"name": "web"}})).await.0;
    let project = id(&made, "project");
    let of_project = [("project_id", project.as_str()), ("tag", "red")];
    w.call(&admin, M::PATCH, "/v3/projects/{project_id}", &of_project, json!({"project": {"description": "x"}})).await;
    w.call(&admin, M::PUT, "/v3/projects/{project_id}/tags/{tag}", &of_project, none()).await;
    w.call(&admin, M::DELETE, "/v3/projects/{project_id}/tags/{tag}", &of_project, none()).await;
    w.call(&admin, M::PUT, "/v3/projects/{project_id}/tags", &of_project, json!({"tags": ["a"]})).await;
    w.call(&admin, M::DELETE, "/v3/projects/{project_id}/tags", &of_project, none()).await;

    let new = json!({"user": {"name": "carol", "password": "first-secret"}});
    let (made, event) = w.call(&admin, M::POST, "/v3/users", &[], new).await;
    let user = id(&made, "user");
    assert_eq!(event["target"], json!({"typeURI": "data/security/account/user", "id": user}));
    let of_user = [("user_id", user.as_str())];
    w.call(&admin, M::PATCH, "/v3/users/{user_id}", &of_user, json!({"user": {"email": "c@x"}})).await;
    let change = json!({"user": {"original_password": "first-secret", "password": "second-secret"}});
    let stranger = w.cloud.stranger();
    let (_, event) = w.call(&stranger, M::POST, "/v3/users/{user_id}/password", &of_user, change).await;
    assert_eq!((&event["action"], &event["initiator"]["user_id"]), (&json!("updated.user"), &json!(user)));

    let group = id(&w.call(&admin, M::POST, "/v3/groups", &[], json!({"group": {"name": "ops"}})).await.0, "group");
    let member = [("group_id", group.as_str()), ("user_id", user.as_str())];
    w.call(&admin, M::PATCH, "/v3/groups/{group_id}", &member, json!({"group": {"description": "x"}})).await;
    let (_, event) = w.call(&admin, M::PUT, "/v3/groups/{group_id}/users/{user_id}", &member, none()).await;
    assert_eq!((&event["action"], &event["user"]), (&json!("updated.group"), &json!(user)));
    w.call(&admin, M::DELETE, "/v3/groups/{group_id}/users/{user_id}", &member, none()).await;

    let role = id(&w.call(&admin, M::POST, "/v3/roles", &[], json!({"role": {"name": "auditor"}})).await.0, "role");
    let reader = admin.get("/v3/roles?name=reader").await.json()["roles"][0]["id"].as_str().unwrap().to_owned();
    let of_role = [("role_id", role.as_str()), ("prior_role_id", &role), ("implied_role_id", &reader)];
    w.call(&admin, M::PATCH, "/v3/roles/{role_id}", &of_role, json!({"role": {"description": "x"}})).await;
    let implies = "/v3/roles/{prior_role_id}/implies/{implied_role_id}";
    w.call(&admin, M::PUT, implies, &of_role, none()).await;
    w.call(&admin, M::DELETE, implies, &of_role, none()).await;

    let rows: Vec<&'static str> = w.cloud.router.rows().map(|(_, row)| row.path).collect();
    let grants: BTreeSet<&'static str> = rows
        .into_iter()
        .filter(|path| path.contains("/roles/{role_id}") && (path.contains("/users/") || path.contains("/groups/")))
        .collect();
    assert!(grants.len() >= 10, "{grants:?}");
    for path in grants {
        let params = [
            ("project_id", project.as_str()),
            ("domain_id", &domain),
            ("user_id", &user),
            ("group_id", &group),
            ("role_id", &role),
        ];
        let (_, event) = w.call(&admin, M::PUT, path, &params, none()).await;
        assert_eq!((&event["action"], &event["role"]), (&json!("created.role_assignment"), &json!(role)));
        assert_eq!(event["inherited_to_projects"], path.ends_with("/inherited_to_projects"));
        w.call(&admin, M::DELETE, path, &params, none()).await;
    }

    // A token issued in the same instant would be one of those that the new password took back.
    w.cloud.pass_seconds(1);
    let carol = {
        let grant = format!("/v3/projects/{project}/users/{user}/roles/{role}");
        admin.put(&grant, none()).await;
        w.cloud.login("carol", "second-secret", json!({"project": {"id": project}})).await
    };
    let path = "/v3/users/{user_id}/application_credentials";
    let new = json!({"application_credential": {"name": "robot", "secret": "third-secret"}});
    let made = w.call(&carol, M::POST, path, &of_user, new).await.0;
    let credential = id(&made, "application_credential");
    let row = w
        .cloud
        .router
        .rows()
        .map(|(_, row)| row.path)
        .find(|row| row.starts_with("/v3/users/{user_id}/application_credentials/{") && row.ends_with('}'));
    let name = row.unwrap().rsplit('/').next().unwrap().trim_matches(['{', '}']).to_owned();
    let params = [("user_id", user.as_str()), (name.as_str(), credential.as_str())];
    w.call(&carol, M::DELETE, row.unwrap(), &params, none()).await;

    let new = json!({"credential": {"type": "cert", "blob": "fourth-secret", "user_id": user}});
    let stored = id(&w.call(&carol, M::POST, "/v3/credentials", &[], new).await.0, "credential");
    let of_stored = [("credential_id", stored.as_str())];
    let one = "/v3/credentials/{credential_id}";
    w.call(&carol, M::PATCH, one, &of_stored, json!({"credential": {"blob": "fifth-secret"}})).await;
    w.call(&carol, M::DELETE, one, &of_stored, none()).await;
    let path = "/v3/users/{user_id}/credentials/OS-EC2";
    let (made, event) = w.call(&admin, M::POST, path, &of_user, json!({"tenant_id": project})).await;
    assert_eq!(event["action"], "created.credential");
    assert_eq!(event["target"]["id"], made["credential"]["access"]);
    let params = [("user_id", user.as_str()), ("credential_id", made["credential"]["access"].as_str().unwrap())];
    w.call(&admin, M::DELETE, "/v3/users/{user_id}/credentials/OS-EC2/{credential_id}", &params, none()).await;
    let trust = json!({"trust": {"trustor_user_id": user, "trustee_user_id": admin.user_id, "impersonation": false,
                                 "project_id": project, "roles": [{"id": role}]}});
    let (made, event) = w.call(&carol, M::POST, "/v3/OS-TRUST/trusts", &[], trust).await;
    let trust = id(&made, "trust");
    assert_eq!(event["target"], json!({"typeURI": "data/security/trust", "id": trust}));
    w.call(&carol, M::DELETE, "/v3/OS-TRUST/trusts/{trust_id}", &[("trust_id", &trust)], none()).await;
    let rules = json!([{"service": "compute", "method": "GET", "path": "/v2.1/servers"}]);
    let ruled = json!({"application_credential": {"name": "ruled", "access_rules": rules}});
    let credentials = format!("/v3/users/{user}/application_credentials");
    let ruled = id(&carol.post(&credentials, ruled).await.json(), "application_credential");
    let found = carol.get(&format!("/v3/users/{user}/access_rules")).await.json();
    carol.delete(&format!("{credentials}/{ruled}")).await;
    let params = [("user_id", user.as_str()), ("access_rule_id", found["access_rules"][0]["id"].as_str().unwrap())];
    w.call(&carol, M::DELETE, "/v3/users/{user_id}/access_rules/{access_rule_id}", &params, none()).await;
    w.call(&admin, M::DELETE, "/v3/users/{user_id}/tokens", &of_user, none()).await;

    let region = id(&w.call(&admin, M::POST, "/v3/regions", &[], json!({"region": {"id": "Two"}})).await.0, "region");
    assert_eq!(region, "Two");
    let of_region = [("region_id", "Three")];
    w.call(&admin, M::PUT, "/v3/regions/{region_id}", &of_region, json!({"region": {}})).await;
    w.call(&admin, M::PATCH, "/v3/regions/{region_id}", &of_region, json!({"region": {"description": "x"}})).await;
    let made = w.call(&admin, M::POST, "/v3/services", &[], json!({"service": {"type": "metering"}})).await.0;
    let service = id(&made, "service");
    let of_service = [("service_id", service.as_str())];
    w.call(&admin, M::PATCH, "/v3/services/{service_id}", &of_service, json!({"service": {"name": "m"}})).await;
    let new = json!({"endpoint": {"interface": "public", "service_id": service, "url": "http://x"}});
    let endpoint = id(&w.call(&admin, M::POST, "/v3/endpoints", &[], new).await.0, "endpoint");
    let of_endpoint = [("endpoint_id", endpoint.as_str()), ("project_id", &project)];
    w.call(&admin, M::PATCH, "/v3/endpoints/{endpoint_id}", &of_endpoint, json!({"endpoint": {"name": "e"}})).await;
    let path = "/v3/OS-EP-FILTER/projects/{project_id}/endpoints/{endpoint_id}";
    w.call(&admin, M::PUT, path, &of_endpoint, none()).await;
    w.call(&admin, M::DELETE, path, &of_endpoint, none()).await;
    let groups = "/v3/OS-EP-FILTER/endpoint_groups";
    let new = json!({"endpoint_group": {"name": "g", "filters": {"interface": "public"}}});
    let endpoint_group = id(&w.call(&admin, M::POST, groups, &[], new).await.0, "endpoint_group");
    let of_group = [("endpoint_group_id", endpoint_group.as_str()), ("project_id", &project)];
    let one = "/v3/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}";
    w.call(&admin, M::PATCH, one, &of_group, json!({"endpoint_group": {"name": "h"}})).await;
    let path = "/v3/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/projects/{project_id}";
    w.call(&admin, M::PUT, path, &of_group, none()).await;
    w.call(&admin, M::DELETE, path, &of_group, none()).await;
    w.call(&admin, M::DELETE, one, &of_group, none()).await;

    let new = json!({"policy": {"blob": "x", "type": "text"}});
    let policy = id(&w.call(&admin, M::POST, "/v3/policies", &[], new).await.0, "policy");
    let of_policy =
        [("policy_id", policy.as_str()), ("endpoint_id", &endpoint), ("service_id", &service), ("region_id", "Two")];
    w.call(&admin, M::PATCH, "/v3/policies/{policy_id}", &of_policy, json!({"policy": {"blob": "y"}})).await;
    for path in [
        "/v3/policies/{policy_id}/OS-ENDPOINT-POLICY/endpoints/{endpoint_id}",
        "/v3/policies/{policy_id}/OS-ENDPOINT-POLICY/services/{service_id}",
        "/v3/policies/{policy_id}/OS-ENDPOINT-POLICY/services/{service_id}/regions/{region_id}",
    ] {
        w.call(&admin, M::PUT, path, &of_policy, none()).await;
        w.call(&admin, M::DELETE, path, &of_policy, none()).await;
    }
    w.call(&admin, M::DELETE, "/v3/policies/{policy_id}", &of_policy, none()).await;

    let new = json!({"service_id": service, "resource_name": "meters", "default_limit": 1});
    let more = json!({"service_id": service, "resource_name": "samples", "default_limit": 1});
    let body = json!({"registered_limits": [new, more]});
    let (made, event) = w.call(&admin, M::POST, "/v3/registered_limits", &[], body).await;
    assert_eq!(event["resource_info"].as_array().unwrap().len(), 2, "one event names all that were made");
    let registered = made["registered_limits"][0]["id"].as_str().unwrap().to_owned();
    let of_registered = [("registered_limit_id", registered.as_str())];
    let one = "/v3/registered_limits/{registered_limit_id}";
    w.call(&admin, M::PATCH, one, &of_registered, json!({"registered_limit": {"default_limit": 2}})).await;
    let new = json!({"service_id": service, "resource_name": "meters", "resource_limit": 1, "project_id": project});
    let made = w.call(&admin, M::POST, "/v3/limits", &[], json!({"limits": [new]})).await.0;
    let limit = made["limits"][0]["id"].as_str().unwrap().to_owned();
    let of_limit = [("limit_id", limit.as_str())];
    w.call(&admin, M::PATCH, "/v3/limits/{limit_id}", &of_limit, json!({"limit": {"resource_limit": 2}})).await;
    w.call(&admin, M::DELETE, "/v3/limits/{limit_id}", &of_limit, none()).await;
    let of_second = [("registered_limit_id", event["resource_info"][1].as_str().unwrap())];
    w.call(&admin, M::DELETE, one, &of_registered, none()).await;
    w.call(&admin, M::DELETE, one, &of_second, none()).await;

    let of_config = [("domain_id", domain.as_str()), ("group", "identity"), ("option", "list_limit")];
    let (all, config_group, option) = (
        "/v3/domains/{domain_id}/config",
        "/v3/domains/{domain_id}/config/{group}",
        "/v3/domains/{domain_id}/config/{group}/{option}",
    );
    let config = json!({"config": {"identity": {"driver": "sql", "list_limit": 1}}});
    w.call(&admin, M::PUT, all, &of_config, config.clone()).await;
    w.call(&admin, M::PATCH, all, &of_config, config.clone()).await;
    w.call(&admin, M::PATCH, config_group, &of_config, config).await;
    w.call(&admin, M::PATCH, option, &of_config, json!({"config": {"list_limit": 2}})).await;
    for path in [option, config_group, all] {
        w.call(&admin, M::DELETE, path, &of_config, none()).await;
    }

    w.call(&admin, M::DELETE, "/v3/endpoints/{endpoint_id}", &of_endpoint, none()).await;
    w.call(&admin, M::DELETE, "/v3/services/{service_id}", &of_service, none()).await;
    w.call(&admin, M::DELETE, "/v3/regions/{region_id}", &of_region, none()).await;
    w.call(&admin, M::DELETE, "/v3/roles/{role_id}", &of_role, none()).await;
    w.call(&admin, M::DELETE, "/v3/groups/{group_id}", &member, none()).await;
    w.call(&admin, M::DELETE, "/v3/users/{user_id}", &of_user, none()).await;
    w.call(&admin, M::DELETE, "/v3/projects/{project_id}", &of_project, none()).await;
    admin.patch(&format!("/v3/domains/{domain}"), json!({"domain": {"enabled": false}})).await;
    w.call(&admin, M::DELETE, "/v3/domains/{domain_id}", &[("domain_id", &domain)], none()).await;

    let before = w.events().len();
    let headers = [("x-subject-token", admin.token())];
    assert_eq!(admin.send(M::DELETE, "/v3/auth/tokens", &headers, Vec::new()).await.status, 204);
    assert_eq!(w.events().len(), before + 1);
    assert_eq!(w.events()[before]["action"], "revoked.token");
    w.called.insert(("DELETE".to_owned(), "/v3/auth/tokens"));

    let refused = "/v3/domains/{domain_id}/config/security_compliance";
    let missed: Vec<String> = w
        .cloud
        .router
        .rows()
        .filter(|(service, row)| service.name == "identity" && row.is_built)
        .filter(|(_, row)| !matches!(row.method, M::GET | M::HEAD))
        .filter(|(_, row)| !(row.method == M::POST && row.path == "/v3/auth/tokens"))
        .filter(|(_, row)| !row.path.starts_with(refused))
        .filter(|(_, row)| !w.called.contains(&(row.method.to_string(), row.path)))
        .map(|(_, row)| format!("{} {}", row.method, row.path))
        .collect();
    assert_eq!(missed, Vec::<String>::new(), "each row that changes something is called here");

    let told = std::fs::read_to_string(&w.file).unwrap();
    for secret in [
        "first-secret",
        "second-secret",
        "third-secret",
        "fourth-secret",
        "fifth-secret",
        PASSWORD,
        admin.token(),
        carol.token(),
    ] {
        assert!(!told.contains(&format!("\"{secret}")) && !told.contains(&format!("{secret}\"")), "{secret}");
    }
}

#[tokio::test]
async fn an_event_has_the_fields_that_keystones_notifications_have() {
    let mut w = Watched::new().await;
    let admin = w.cloud.admin().await;
    let mut event = w.call(&admin, Method::POST, "/v3/projects", &[], json!({"project": {"name": "web"}})).await.1;
    assert_eq!(event["id"].take().as_str().unwrap().len(), 36);
    let target = event["target"]["id"].take();
    assert_eq!(
        event,
        json!({
            "typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event",
            "eventType": "activity",
            "id": null,
            "eventTime": "2026-11-22T02:41:09.000000+0000",
            "action": "created.project",
            "outcome": "success",
            "initiator": {
                "typeURI": "service/security/account/user",
                "id": admin.user_id,
                "user_id": admin.user_id,
                "name": "admin",
                "username": "admin",
                "project_id": admin.project_id,
                "request_id": "req-test",
                "host": {"agent": "tests"},
            },
            "target": {"typeURI": "data/security/project", "id": null},
            "observer": {"typeURI": "service/security", "id": "cloud"},
            "resource_info": target,
        })
    );
}

#[tokio::test]
async fn every_login_leaves_an_event_that_says_who_and_how_it_ended() {
    let w = Watched::new().await;
    let alice = w.cloud.member("alice").await;
    let success = w.events().pop().unwrap();
    assert_eq!((&success["action"], &success["outcome"]), (&json!("authenticate"), &json!("success")));
    assert_eq!(success["initiator"]["user_id"], alice.user_id);
    assert_eq!(success["initiator"]["project_id"], alice.project_id);
    assert_eq!(success["target"], json!({"typeURI": "service/security/account/user", "id": alice.user_id}));

    assert_eq!(w.cloud.try_login("alice", "wrong-secret", json!(null)).await.status, 401);
    let failure = w.events().pop().unwrap();
    assert_eq!((&failure["outcome"], &failure["initiator"]["user_id"]), (&json!("failure"), &json!(alice.user_id)));
    let reason = json!({"reasonCode": "401", "reasonType": "The request you have made requires authentication."});
    assert_eq!(failure["reason"], reason);

    assert_eq!(w.cloud.try_login("typed-secret-as-name", "x", json!(null)).await.status, 401);
    let unknown = w.events().pop().unwrap();
    assert_eq!((&unknown["outcome"], &unknown["initiator"]["id"]), (&json!("failure"), &json!("unknown")));
    assert_eq!(w.events().len(), 3);
    let told = std::fs::read_to_string(&w.file).unwrap();
    assert!(!told.contains("typed-secret-as-name") && !told.contains("wrong-secret"));
}

#[tokio::test]
async fn what_is_refused_or_only_read_leaves_no_event() {
    let w = Watched::new().await;
    let alice = w.cloud.member("alice").await;
    let before = w.events().len();
    assert_eq!(alice.post("/v3/users", json!({"user": {"name": "x"}})).await.status, 403);
    assert_eq!(alice.get("/v3/auth/projects").await.status, 200);
    assert_eq!(w.events().len(), before);
}
