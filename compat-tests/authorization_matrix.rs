//! Identity's authorization, whole: every row of its table, called by everybody, as one table to be reviewed.
//!
//! All that is called about belongs to the domain north: its project web, its user uma, its group crew. The callers differ
//! in what they hold there. A call that changed something is followed by a fresh copy of the same cloud, so every cell is
//! asked of the same state. The table is `snapshots/identity_authorization.txt`; a change of it is a change of what
//! people may do, and reviewed as such (`INSTA_UPDATE=always` writes it anew).

use crate::in_process::{Client, Cloud, Reply, headers};
use futures::future::BoxFuture;
use gapura::clock::Timestamp;
use gapura::cloud::token::Claims;
use gapura::http::table::Access;
use http::Method;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt::Write;

const PASSWORD: &str = "secret";

/// A cloud with what the rows are about, and a token for each caller.
struct Fixture {
    cloud: Cloud,
    ids: HashMap<&'static str, String>,
    /// Callers by name, in the order of the table's columns; no token: nobody.
    callers: Vec<(&'static str, Option<String>)>,
    /// What `X-Subject-Token` names: a token of uma's.
    subject: String,
}

async fn made(client: &Client, path: &str, body: Value, pointer: &str) -> String {
    let reply = client.json(Method::POST, &format!("/identity/v3/{path}"), &body).await;
    assert_eq!(reply.status, 201, "{path}: {}", reply.text());
    reply.json().pointer(pointer).and_then(Value::as_str).unwrap().to_owned()
}

async fn granted(client: &Client, path: &str) {
    let reply = client.json(Method::PUT, &format!("/identity/v3/{path}"), &json!({})).await;
    assert!(matches!(reply.status, 201 | 204), "{path}: {}", reply.text());
}

impl Fixture {
    async fn new() -> Self {
        let cloud = Cloud::copyable().await;
        let admin = cloud.admin().await;
        let mut ids = HashMap::new();
        let north = made(&admin, "domains", json!({"domain": {"name": "north"}}), "/domain/id").await;
        let south = made(&admin, "domains", json!({"domain": {"name": "south"}}), "/domain/id").await;
        let project =
            |name: &str, domain: &str| json!({"project": {"name": name, "domain_id": domain, "tags": ["red"]}});
        let web = made(&admin, "projects", project("web", &north), "/project/id").await;
        let aside = made(&admin, "projects", project("aside", &north), "/project/id").await;
        let far = made(&admin, "projects", project("far", &south), "/project/id").await;
        let group = json!({"group": {"name": "crew", "domain_id": north}});
        let crew = made(&admin, "groups", group, "/group/id").await;
        let custom = made(&admin, "roles", json!({"role": {"name": "custom"}}), "/role/id").await;
        let implied = made(&admin, "roles", json!({"role": {"name": "implied"}}), "/role/id").await;
        granted(&admin, &format!("roles/{custom}/implies/{implied}")).await;
        let region = made(&admin, "regions", json!({"region": {"id": "there"}}), "/region/id").await;
        let service = made(&admin, "services", json!({"service": {"type": "dns", "name": "dns"}}), "/service/id").await;
        let endpoint = json!({"endpoint": {"service_id": service, "interface": "public", "url": "http://dns.test"}});
        let endpoint = made(&admin, "endpoints", endpoint, "/endpoint/id").await;

        let resources = resources(&admin, &north, &web, &endpoint).await;

        let mut people = HashMap::new();
        for (name, domain) in [
            ("uma", &north),
            ("ria", &north),
            ("mia", &north),
            ("max", &north),
            ("ada", &north),
            ("oli", &north),
            ("tess", &north),
            ("dora", &north),
            ("dom", &north),
            ("dan", &north),
            ("sid", &south),
            ("sue", &south),
            ("sys", &south),
            ("syd", &south),
        ] {
            let user = json!({"user": {"name": name, "domain_id": domain, "password": PASSWORD}});
            people.insert(name, made(&admin, "users", user, "/user/id").await);
        }
        let roles = admin.get("/identity/v3/roles").await.json();
        let role = |name: &str| -> String {
            let found = roles["roles"].as_array().unwrap().iter().find(|role| role["name"] == name);
            found.unwrap()["id"].as_str().unwrap().to_owned()
        };
        for (on, who, name) in [
            (format!("projects/{web}"), "uma", "member"),
            (format!("projects/{web}"), "ria", "reader"),
            (format!("projects/{web}"), "mia", "member"),
            (format!("projects/{web}"), "max", "manager"),
            (format!("projects/{web}"), "ada", "admin"),
            (format!("projects/{aside}"), "oli", "member"),
            (format!("projects/{far}"), "sid", "manager"),
            (format!("domains/{north}"), "dora", "reader"),
            (format!("domains/{north}"), "dom", "manager"),
            (format!("domains/{north}"), "dan", "admin"),
            (format!("domains/{south}"), "sue", "manager"),
            ("system".to_owned(), "sys", "reader"),
            ("system".to_owned(), "syd", "admin"),
        ] {
            granted(&admin, &format!("{on}/users/{}/roles/{}", people[who], role(name))).await;
        }
        let uma = people["uma"].clone();
        granted(&admin, &format!("groups/{crew}/users/{uma}")).await;
        for holder in [format!("users/{uma}"), format!("groups/{crew}")] {
            for on in [format!("projects/{web}"), format!("domains/{north}"), "system".to_owned()] {
                granted(&admin, &format!("{on}/{holder}/roles/{custom}")).await;
            }
            for on in [format!("projects/{web}"), format!("domains/{north}")] {
                granted(&admin, &format!("OS-INHERIT/{on}/{holder}/roles/{custom}/inherited_to_projects")).await;
            }
        }

        let on_project = |id: &str| json!({"project": {"id": id}});
        let on_domain = |id: &str| json!({"domain": {"id": id}});
        let on_system = json!({"system": {"all": true}});
        let mut callers = Vec::new();
        let subject = login(&cloud, &uma, &on_project(&web)).await;
        let own = cloud.stranger().with_token(&subject);
        let mut secrets = Vec::new();
        for (name, unrestricted) in [("bound", false), ("free", true)] {
            let body =
                json!({"application_credential": {"name": name, "secret": PASSWORD, "unrestricted": unrestricted}});
            let path = format!("users/{uma}/application_credentials");
            secrets.push((name, made(&own, &path, body, "/application_credential/id").await));
        }

        let cert = json!({"credential": {"user_id": uma, "type": "cert", "blob": "PEM"}});
        let cert = made(&own, "credentials", cert, "/credential/id").await;
        let path = format!("users/{uma}/credentials/OS-EC2");
        let ec2 = made(&own, &path, json!({"tenant_id": web}), "/credential/access").await;
        let rule = access_rule(&own, &uma).await;
        let trust = made(&own, "OS-TRUST/trusts", trust(&uma, &people["tess"], &web), "/trust/id").await;

        let revoked = login(&cloud, &uma, &on_project(&web)).await;
        let gone = [("x-auth-token", revoked.as_str()), ("x-subject-token", revoked.as_str())];
        let reply = cloud.stranger().send(Method::DELETE, "/identity/v3/auth/tokens", &gone, Vec::new()).await;
        assert_eq!(reply.status, 204, "{}", reply.text());
        callers.push(("nobody", None));
        callers.push(("expired", Some(expired(&cloud, &subject))));
        callers.push(("revoked", Some(revoked)));
        for (column, who, scope) in [
            ("another domain's manager", "sue", on_domain(&south)),
            ("another domain's project's manager", "sid", on_project(&far)),
            ("another project's member", "oli", on_project(&aside)),
            ("project's reader", "ria", on_project(&web)),
            ("project's member", "mia", on_project(&web)),
            ("project's manager", "max", on_project(&web)),
            ("project's admin", "ada", on_project(&web)),
            ("domain's reader", "dora", on_domain(&north)),
            ("domain's manager", "dom", on_domain(&north)),
            ("domain's admin", "dan", on_domain(&north)),
            ("system's reader", "sys", on_system.clone()),
            ("system's admin", "syd", on_system),
        ] {
            callers.push((column, Some(login(&cloud, &people[who], &scope).await)));
        }
        callers.push(("uma herself", Some(subject.clone())));
        callers.push(("uma, unscoped", Some(login(&cloud, &uma, &json!("unscoped")).await)));
        for ((_, id), column) in secrets.iter().zip(["her restricted credential", "her unrestricted credential"]) {
            callers.push((column, Some(login_with_credential(&cloud, id).await)));
        }
        let entrusted = json!({"OS-TRUST:trust": {"id": trust}});
        callers.push(("her trustee, as her", Some(login(&cloud, &people["tess"], &entrusted).await)));
        ids.extend([
            ("domain_id", north),
            ("project_id", web),
            ("user_id", uma),
            ("group_id", crew),
            ("role_id", custom.clone()),
            ("prior_role_id", custom),
            ("implied_role_id", implied),
            ("region_id", region),
            ("service_id", service),
            ("endpoint_id", endpoint),
            ("application credential", secrets[0].1.clone()),
            ("OS-EC2 credential", ec2),
            ("credential", cert),
            ("access_rule_id", rule),
            ("trust_id", trust),
            ("trustee", people["tess"].clone()),
            ("role of the trust", role("member")),
            ("tag", "red".to_owned()),
        ]);
        ids.extend(resources);
        Self { cloud, ids, callers, subject }
    }

    /// The row's path with what the fixture has for each name in it.
    fn path(&self, method: &Method, row: &str) -> String {
        let segment = |segment: &str| match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) => {
                let name = match name {
                    "credential_id" if row.contains("application_credentials") => "application credential",
                    "credential_id" if row.contains("OS-EC2") => "OS-EC2 credential",
                    "credential_id" => "credential",
                    "role_id" if row.contains("OS-TRUST") => "role of the trust",
                    name => name,
                };
                self.ids.get(name).cloned().unwrap_or_else(|| panic!("the fixture has no {name}, for {row}"))
            }
            None => segment.to_owned(),
        };
        // A tag is put where it is not yet.
        if *method == Method::PUT && row.ends_with("{tag}") {
            return self.path(&Method::GET, row.trim_end_matches("{tag}")) + "blue";
        }
        row.split('/').map(segment).collect::<Vec<_>>().join("/")
    }

    /// A body that the row takes.
    fn body(&self, method: &Method, row: &str) -> Value {
        let id = |name: &str| &self.ids[name];
        match (method.as_str(), row) {
            ("POST", "/v3/domains") => json!({"domain": {"name": "new"}}),
            ("POST", "/v3/projects") => json!({"project": {"name": "new", "domain_id": id("domain_id")}}),
            ("POST", "/v3/users") => {
                json!({"user": {"name": "new", "domain_id": id("domain_id"), "password": PASSWORD}})
            }
            ("POST", "/v3/groups") => json!({"group": {"name": "new", "domain_id": id("domain_id")}}),
            ("POST", "/v3/roles") => json!({"role": {"name": "new"}}),
            ("POST", "/v3/regions") => json!({"region": {"id": "new"}}),
            ("POST", "/v3/services") => json!({"service": {"type": "new"}}),
            ("POST", "/v3/endpoints") => {
                json!({"endpoint": {"service_id": id("service_id"), "interface": "admin", "url": "http://new.test"}})
            }
            ("POST", "/v3/users/{user_id}/application_credentials") => {
                json!({"application_credential": {"name": "new"}})
            }
            ("POST", "/v3/credentials") => {
                json!({"credential": {"user_id": id("user_id"), "type": "cert", "blob": "x"}})
            }
            ("POST", "/v3/users/{user_id}/credentials/OS-EC2") => json!({"tenant_id": id("project_id")}),
            ("POST", "/v3/OS-TRUST/trusts") => trust(id("user_id"), id("trustee"), id("project_id")),
            ("POST", "/v3/registered_limits") => json!({"registered_limits": [
                {"service_id": id("limited_id"), "resource_name": "new", "default_limit": 1},
            ]}),
            ("POST", "/v3/limits") => json!({"limits": [{
                "service_id": id("limited_id"), "resource_name": "meters", "resource_limit": 1,
                "domain_id": id("domain_id"),
            }]}),
            ("POST", "/v3/policies") => json!({"policy": {"blob": "{}", "type": "application/json"}}),
            ("POST", "/v3/OS-EP-FILTER/endpoint_groups") => {
                json!({"endpoint_group": {"name": "new", "filters": {"interface": "public"}}})
            }
            ("PATCH", "/v3/domains/{domain_id}/config/{group}/{option}") => json!({"config": {"list_limit": 6}}),
            ("PUT" | "PATCH", row) if row.contains("/config") => json!({"config": {"identity": {"list_limit": 5}}}),
            ("PUT", "/v3/regions/{region_id}") => json!({"region": {"description": "put"}}),
            ("PUT", "/v3/projects/{project_id}/tags") => json!({"tags": ["blue"]}),
            ("PATCH", "/v3/credentials/{credential_id}") => json!({"credential": {"blob": "changed"}}),
            ("PATCH", row) => {
                let noun = row.trim_end_matches('}').rsplit('{').next().unwrap().trim_end_matches("_id");
                json!({ noun: {"description": "changed"} })
            }
            _ => json!({}),
        }
    }
}

/// What uma entrusts to somebody: her membership of the project.
fn trust(trustor: &str, trustee: &str, project: &str) -> Value {
    json!({"trust": {
        "trustor_user_id": trustor, "trustee_user_id": trustee, "project_id": project, "impersonation": true,
        "roles": [{"name": "member"}],
    }})
}

/// A rule that no application credential is bound to any more.
async fn access_rule(own: &Client, user: &str) -> String {
    let rules = json!([{"service": "compute", "method": "GET", "path": "/v2.1/servers"}]);
    let body = json!({"application_credential": {"name": "ruled", "access_rules": rules}});
    let path = format!("users/{user}/application_credentials");
    let credential = made(own, &path, body, "/application_credential/id").await;
    let gone = own.send(Method::DELETE, &format!("/identity/v3/{path}/{credential}"), &[], Vec::new()).await;
    assert_eq!(gone.status, 204, "{}", gone.text());
    let rules = own.get(&format!("/identity/v3/users/{user}/access_rules")).await.json();
    rules["access_rules"][0]["id"].as_str().unwrap().to_owned()
}

/// Limits, policies, groups of endpoints and configuration of a domain, with what they are associated with.
async fn resources(admin: &Client, domain: &str, project: &str, endpoint: &str) -> Vec<(&'static str, String)> {
    let limited = made(admin, "services", json!({"service": {"type": "metering"}}), "/service/id").await;
    let registered = |name: &str| json!({"service_id": limited, "resource_name": name, "default_limit": 1});
    let body = json!({"registered_limits": [registered("samples"), registered("meters")]});
    // The first has no limit in its place, so that it may be changed.
    let registered_limit = made(admin, "registered_limits", body, "/registered_limits/0/id").await;
    let limit = json!({"service_id": limited, "resource_name": "meters", "resource_limit": 2, "project_id": project});
    let limit = made(admin, "limits", json!({"limits": [limit]}), "/limits/0/id").await;
    let policy = json!({"policy": {"blob": "{}", "type": "application/json"}});
    let policy = made(admin, "policies", policy, "/policy/id").await;
    granted(admin, &format!("policies/{policy}/OS-ENDPOINT-POLICY/endpoints/{endpoint}")).await;
    let group = json!({"endpoint_group": {"name": "all", "filters": {"interface": "public"}}});
    let group = made(admin, "OS-EP-FILTER/endpoint_groups", group, "/endpoint_group/id").await;
    granted(admin, &format!("OS-EP-FILTER/endpoint_groups/{group}/projects/{project}")).await;
    let config = json!({"config": {"identity": {"driver": "sql", "list_limit": 1}}});
    let path = format!("/identity/v3/domains/{domain}/config");
    assert_eq!(admin.json(Method::PUT, &path, &config).await.status, 201);
    vec![
        ("limited_id", limited),
        ("registered_limit_id", registered_limit),
        ("limit_id", limit),
        ("policy_id", policy),
        ("endpoint_group_id", group),
        ("group", "identity".to_owned()),
        ("option", "list_limit".to_owned()),
    ]
}

async fn login(cloud: &Cloud, user: &str, scope: &Value) -> String {
    let identity = json!({"methods": ["password"], "password": {"user": {"id": user, "password": PASSWORD}}});
    token(cloud, &json!({"auth": {"identity": identity, "scope": scope}})).await
}

async fn login_with_credential(cloud: &Cloud, id: &str) -> String {
    let credential = json!({"id": id, "secret": PASSWORD});
    let identity = json!({"methods": ["application_credential"], "application_credential": credential});
    token(cloud, &json!({"auth": {"identity": identity}})).await
}

async fn token(cloud: &Cloud, auth: &Value) -> String {
    let reply = cloud.stranger().json(Method::POST, "/identity/v3/auth/tokens", auth).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.headers["x-subject-token"].to_str().unwrap().to_owned()
}

/// The same token, signed an age ago.
fn expired(cloud: &Cloud, token: &str) -> String {
    let keys = &cloud.state.identity.keys;
    let now = cloud.state.clock.now();
    let claims = keys.verify(token, now).unwrap();
    let claims = Claims { iat: claims.iat - 90_000, exp: claims.iat - 3_600, issued_at: Timestamp(0), ..claims };
    keys.sign(&claims, now).unwrap()
}

/// A row as the table has it, without its cloud.
struct Row {
    method: Method,
    path: &'static str,
    headers: Vec<(&'static str, String)>,
}

fn rows(cloud: &Cloud) -> Vec<Row> {
    let rows = cloud
        .router
        .rows()
        .filter(|(service, row)| service.name == "identity" && matches!(row.access, Access::Rule(_)) && row.is_built);
    rows.map(|(service, row)| Row { method: row.method.clone(), path: row.path, headers: headers(service, row) })
        .collect()
}

fn call<'f>(fixture: &'f Fixture, cloud: &'f Cloud, row: &'f Row, token: Option<&'f str>) -> BoxFuture<'f, Reply> {
    let mut headers: Vec<(&'static str, &str)> =
        row.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    if row.path == "/v3/auth/tokens" {
        headers.push(("x-subject-token", &fixture.subject));
    }
    let body = match row.method {
        Method::GET | Method::HEAD | Method::DELETE => Vec::new(),
        _ => fixture.body(&row.method, row.path).to_string().into_bytes(),
    };
    let stranger = cloud.stranger();
    let client = token.map_or(stranger.clone(), |token| stranger.with_token(token));
    let path = format!("/identity{}", fixture.path(&row.method, row.path));
    Box::pin(async move { client.send(row.method.clone(), &path, &headers, body).await })
}

#[tokio::test]
async fn who_may_do_what_in_identity_is_as_reviewed() {
    let fixture = Fixture::new().await;
    let mut table = String::new();
    for (at, (name, _)) in fixture.callers.iter().enumerate() {
        writeln!(table, "{:>3}  {name}", (b'a' + u8::try_from(at).unwrap()) as char).unwrap();
    }
    let letters: String = (0..fixture.callers.len()).map(|at| format!("   {}", (b'a' + at as u8) as char)).collect();
    writeln!(table, "\n{letters}").unwrap();
    let mut cloud = fixture.cloud.copy().await;
    for row in rows(&fixture.cloud) {
        let mut line = String::new();
        for (name, token) in &fixture.callers {
            let reply = call(&fixture, &cloud, &row, token.as_deref()).await;
            // An application credential is for a project, so a token without one is a bad request.
            let is_judged = (reply.status != 400 || *name == "uma, unscoped") && reply.status < 500;
            assert!(is_judged, "{name}: {} {}: {}", row.method, row.path, reply.text());
            write!(line, " {}", reply.status).unwrap();
            if !matches!(row.method, Method::GET | Method::HEAD) && reply.status < 300 {
                cloud = fixture.cloud.copy().await;
            }
        }
        writeln!(table, "{line}  {} {}", row.method, row.path).unwrap();
    }
    insta::with_settings!({snapshot_path => "snapshots", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("identity_authorization", table);
    });
}
