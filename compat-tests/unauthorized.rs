//! Every row of the table, called by those who may not.
//!
//! Nobody without a valid token gets past a row that isn't public; a reader changes nothing; a member of another project
//! neither reads nor changes what is not theirs, and is not even told that it is there.

use crate::in_process::{Client, Cloud, Reply, headers};
use gapura::api::Row;
use gapura::http::table::{Access, Service};
use http::Method;
use serde_json::{Value, json};
use std::collections::HashMap;

/// A row as the sweep needs it.
struct Target {
    method: Method,
    path: String,
    action: Option<&'static str>,
    rule: &'static str,
    is_built: bool,
    service: &'static str,
    headers: Vec<(&'static str, String)>,
}

/// Every row that needs permission, its braces filled by `fill(collection, name)`.
fn all_targets(cloud: &Cloud, fill: &dyn Fn(&str, &str) -> String) -> Vec<Target> {
    let mut targets = Vec::new();
    for (service, row) in cloud.router.rows() {
        if let Access::Rule(rule) = row.access {
            targets.push(Target {
                method: row.method.clone(),
                path: filled(service, row, fill),
                action: row.action,
                rule,
                is_built: row.is_built,
                service: service.name,
                headers: headers(service, row),
            });
        }
    }
    assert!(targets.len() > 40, "the table is bigger than that");
    targets
}

/// Those of them that do something.
fn targets(cloud: &Cloud, fill: &dyn Fn(&str, &str) -> String) -> Vec<Target> {
    all_targets(cloud, fill).into_iter().filter(|target| target.is_built).collect()
}

fn filled(service: &Service, row: &Row, fill: &dyn Fn(&str, &str) -> String) -> String {
    let mut before = "";
    let mut path = service.prefix.to_owned();
    for segment in row.path.split('/').skip(1) {
        path.push('/');
        match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) => path.push_str(&fill(before, name)),
            None => path.push_str(segment),
        }
        before = segment;
    }
    path
}

fn nothing(_: &str, name: &str) -> String {
    if name == "tag" { "red".to_owned() } else { "00000000-0000-4000-8000-000000000000".to_owned() }
}

impl Target {
    async fn call(&self, client: &Client) -> Reply {
        let body = self.action.map_or_else(|| json!({}), |key| json!({ key: null }));
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        client.send(self.method.clone(), &self.path, &headers, body.to_string().into_bytes()).await
    }

    fn is_read(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD)
    }

    fn has_id(&self) -> bool {
        self.path.contains("-4000-8000-") || self.path.contains("/alices-")
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {} ({})", self.method, self.path, self.action.unwrap_or_default(), self.rule)
    }
}

#[tokio::test]
async fn nobody_without_a_valid_token_gets_past_a_row() {
    let cloud = Cloud::new().await;
    let (stranger, garbage) = (cloud.stranger(), cloud.stranger().with_token("gAAAAABgarbage"));
    // The right form, a key of somebody else's.
    let forged = cloud.stranger().with_token("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZG1pbiJ9.c2lnbmF0dXJl");
    let mut wrong = Vec::new();
    for target in all_targets(&cloud, &nothing) {
        for client in [&stranger, &garbage, &forged] {
            let reply = target.call(client).await;
            if reply.status != 401 {
                wrong.push(format!("{target}: {} {}", reply.status, reply.text()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// Rules under which every user, a reader too, changes what is their own.
const OWN: &[&str] = &[
    "identity:revoke_token",
    "identity:change_password",
    "identity:create_application_credential",
    "identity:delete_application_credential",
    "identity:create_credential",
    "identity:update_credential",
    "identity:delete_credential",
    "os_compute_api:os-keypairs:create",
    "os_compute_api:os-keypairs:delete",
];

#[tokio::test]
async fn a_reader_changes_nothing() {
    let cloud = Cloud::new().await;
    let alice = cloud.with_role("alice", "member", "alice").await;
    let reader = cloud.with_role("rita", "reader", "alice").await;
    // What isn't there, and then what is the reader's own project's: some rules are asked only about what is found.
    let ids = belongings(&cloud, &alice).await;
    let own = |collection: &str, name: &str| ids.get(collection).cloned().unwrap_or_else(|| nothing(collection, name));
    let mut wrong = Vec::new();
    for target in targets(&cloud, &nothing).into_iter().chain(targets(&cloud, &own)) {
        if target.is_read() || OWN.contains(&target.rule) {
            continue;
        }
        let reply = target.call(&reader).await;
        // 400 and 415: the body or its type was looked at before the thing; Glance finds out about the thing first. 410: Nova
        // once had it, and nobody has it now.
        if !matches!(reply.status, 400 | 403 | 404 | 410 | 415 | 501) {
            wrong.push(format!("{target}: {} {}", reply.status, reply.text()));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// What one project owns: ids by the collection they stand under in paths.
async fn belongings(cloud: &Cloud, alice: &Client) -> HashMap<&'static str, String> {
    let mut ids = HashMap::new();
    ids.insert("projects", alice.project_id.clone());
    ids.insert("quotas", alice.project_id.clone());
    ids.insert("os-quota-sets", alice.project_id.clone());
    ids.insert("users", alice.user_id.clone());
    let net = make(cloud, alice, "/network/v2.0/networks", json!({"network": {"name": "web"}}), "/network/id").await;
    let range = json!({"subnet": {"network_id": net, "ip_version": 4, "cidr": "10.9.0.0/24"}});
    let subnet = make(cloud, alice, "/network/v2.0/subnets", range, "/subnet/id").await;
    let port = make(cloud, alice, "/network/v2.0/ports", json!({"port": {"network_id": net}}), "/port/id").await;
    let image = json!({"name": "own", "disk_format": "raw", "container_format": "bare"});
    let image = make(cloud, alice, "/image/v2/images", image, "/id").await;
    let server = server(cloud, alice, image.as_deref()).await;
    for (collection, id) in
        [("networks", net), ("subnets", subnet), ("ports", port), ("images", image), ("servers", server)]
    {
        ids.extend(id.map(|id| (collection, id)));
    }
    ids
}

/// A server of the image, once it has bytes; nobody boots it here.
async fn server(cloud: &Cloud, alice: &Client, image: Option<&str>) -> Option<String> {
    let image = image?;
    let bytes = [("content-type", "application/octet-stream")];
    let filled = alice.send(Method::PUT, &format!("/image/v2/images/{image}/file"), &bytes, vec![0; 4096]).await;
    assert_eq!(filled.status, 204, "{}", filled.text());
    let flavor = json!({"flavor": {"name": "tiny", "vcpus": 1, "ram": 64, "disk": 1}});
    let flavor = make(cloud, &cloud.admin().await, "/compute/v2.1/flavors", flavor, "/flavor/id").await?;
    let wish = json!({"server": {"name": "web", "imageRef": image, "flavorRef": flavor}});
    make(cloud, alice, "/compute/v2.1/servers", wish, "/server/id").await
}

/// Creates a thing, if the table has the row; then it must work.
async fn make(cloud: &Cloud, client: &Client, path: &str, body: Value, pointer: &str) -> Option<String> {
    let is_served = cloud
        .router
        .rows()
        .any(|(service, row)| row.method == Method::POST && format!("{}{}", service.prefix, row.path) == path);
    if !is_served {
        return None;
    }
    let reply = client.json(Method::POST, path, &body).await;
    assert!(matches!(reply.status, 200..=202), "{path}: {} {}", reply.status, reply.text());
    Some(reply.json().pointer(pointer).and_then(Value::as_str).expect("what was made has an id").to_owned())
}

/// Rows whose answer is about the caller, whatever the path says, or is the same for all.
const SAME_FOR_ALL: &[&str] = &["get_extension", "os_compute_api:os-quota-sets:defaults"];

#[tokio::test]
async fn a_member_of_another_project_finds_nothing_of_it() {
    let cloud = Cloud::new().await;
    let alice = cloud.with_role("alice", "member", "alice").await;
    let ids = belongings(&cloud, &alice).await;
    let fill = |collection: &str, name: &str| ids.get(collection).cloned().unwrap_or_else(|| nothing(collection, name));
    let mut wrong = Vec::new();
    for role in ["member", "manager"] {
        let mallory = cloud.with_role(&format!("mallory-{role}"), role, "mallory").await;
        for target in targets(&cloud, &fill) {
            let names_anything = target.has_id() || ids.values().any(|id| target.path.contains(id.as_str()));
            if SAME_FOR_ALL.contains(&target.rule) {
                continue;
            }
            if names_anything {
                let reply = target.call(&mallory).await;
                // 400 and 415 only where a body is judged before the thing is looked for; 501 tells of nothing but us.
                let judges_first = !target.is_read() && matches!(reply.status, 400 | 415);
                let is_refused = judges_first || matches!(reply.status, 403 | 404 | 410 | 501);
                if !is_refused {
                    wrong.push(format!("{role}: {target}: {} {}", reply.status, reply.text()));
                }
            } else if target.is_read() {
                let reply = target.call(&mallory).await;
                let told: Vec<&String> = ids.values().filter(|id| reply.text().contains(id.as_str())).collect();
                if !told.is_empty() || reply.status >= 500 && reply.status != 501 {
                    wrong.push(format!("{role}: {target}: {} tells of {told:?}", reply.status));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    for (collection, id) in &ids {
        let service = match *collection {
            "networks" | "subnets" | "ports" => "/network/v2.0",
            "images" => "/image/v2",
            "servers" => "/compute/v2.1",
            _ => continue,
        };
        let reply = alice.get(&format!("{service}/{collection}/{id}")).await;
        assert_eq!(reply.status, 200, "{collection} are as they were");
    }
}

#[tokio::test]
async fn services_refuse_in_their_own_words() {
    let cloud = Cloud::new().await;
    let mut seen = HashMap::new();
    for target in targets(&cloud, &nothing) {
        let reply = target.call(&cloud.stranger()).await;
        assert!(reply.headers.contains_key("www-authenticate"), "{target}");
        seen.entry(target.service).or_insert(reply);
    }
    for (service, reply) in seen {
        let body = reply.json();
        let is_own = match service {
            "identity" => body["error"]["code"] == 401,
            "network" => body["NeutronError"]["type"] == "HTTPUnauthorized",
            "compute" => body["unauthorized"]["code"] == 401 || body["error"]["code"] == 401,
            _ => reply.text().contains("401"),
        };
        assert!(is_own, "{service}: {}", reply.text());
    }
}
