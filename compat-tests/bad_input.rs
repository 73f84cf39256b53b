//! What services answer to bodies, ids and types that can't be right: upstream's status, in each service's own shape, and
//! never a fault of ours.

use crate::in_process::{Client, Cloud, Reply, headers};
use gapura::http::call::JSON_LIMIT;
use gapura::http::microversion::Microversion;
use gapura::http::table::Access;
use http::Method;
use serde_json::{Value, json};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const NOWHERE: &str = "00000000-0000-4000-8000-000000000000";

/// A built row that takes JSON, with ids of nothing in its path.
struct Taker {
    service: &'static str,
    method: Method,
    path: String,
    action: Option<&'static str>,
    headers: Vec<(&'static str, String)>,
}

fn takers(cloud: &Cloud) -> Vec<Taker> {
    let mut takers = Vec::new();
    for (service, row) in cloud.router.rows() {
        let version = service.axis.map_or(Microversion::ANY, |axis| axis.max);
        let takes_json = (row.request)(version).is_some() && !row.streams;
        if takes_json && row.is_built && matches!(row.access, Access::Rule(_)) && row.lifetime.holds_at(version) {
            let segments: Vec<&str> =
                row.path.split('/').map(|it| if it.starts_with('{') { NOWHERE } else { it }).collect();
            let path = format!("{}{}", service.prefix, segments.join("/"));
            let headers = headers(service, row);
            takers.push(Taker { service: service.name, method: row.method.clone(), path, action: row.action, headers });
        }
    }
    assert!(takers.len() > 8, "the table takes more than that");
    takers
}

impl Taker {
    async fn send(&self, client: &Client, body: impl Into<Vec<u8>>) -> Reply {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        client.send(self.method.clone(), &self.path, &headers, body.into()).await
    }
}

impl std::fmt::Display for Taker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.method, self.path, self.action.unwrap_or_default())
    }
}

/// The status that the body itself says, in the form of its service; `None` when it has not that form.
fn said(service: &str, reply: &Reply) -> Option<u64> {
    let body = reply.json();
    match service {
        "identity" => body["error"]["code"].as_u64().filter(|_| body["error"]["title"].is_string()),
        "compute" | "compute-versions" => {
            let (_, fault) = body.as_object()?.iter().next()?;
            fault["code"].as_u64().filter(|_| fault["message"].is_string())
        }
        // Neutron's body has no number: its type and message are what there is.
        "network" => {
            let error = &body["NeutronError"];
            (error["type"].is_string() && error["message"].is_string()).then(|| u64::from(reply.status))
        }
        "placement" => {
            let error = &body["errors"][0];
            error["status"].as_u64().filter(|_| error["title"].is_string() && error["detail"].is_string())
        }
        "image" => reply.text().split("<title>").nth(1)?.split(' ').next()?.parse().ok(),
        _ => None,
    }
}

/// Sends a body to every row that takes one; each must answer one of the statuses, in its own shape.
async fn every_row_answers(body: &str, expected: &[u16]) {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let mut wrong = Vec::new();
    for taker in takers(&cloud) {
        let reply = taker.send(&admin, body).await;
        let is_right = expected.contains(&reply.status) && said(taker.service, &reply) == Some(u64::from(reply.status));
        if !is_right {
            let text: String = reply.text().chars().take(200).collect();
            wrong.push(format!("{taker}: {} {text}", reply.status));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[tokio::test]
async fn malformed_json_is_refused_by_every_row() {
    every_row_answers("{\"name\": ", &[400]).await;
}

#[tokio::test]
async fn bytes_that_are_no_text_are_refused_by_every_row() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    for taker in takers(&cloud) {
        let reply = taker.send(&admin, vec![0xff, 0xfe, 0x00]).await;
        assert_eq!(reply.status, 400, "{taker}: {}", reply.text());
    }
}

#[tokio::test]
async fn a_list_where_an_object_belongs_is_refused_by_every_row() {
    // Where the thing itself is looked for first, it is not there; Glance's PATCH takes a list.
    every_row_answers("[1, 2]", &[400, 404]).await;
}

#[tokio::test]
async fn json_nested_beyond_reason_is_refused_and_exhausts_nothing() {
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    every_row_answers(&deep, &[400]).await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_by_every_row() {
    let long = format!("{{\"name\": \"{}\"}}", "x".repeat(JSON_LIMIT));
    every_row_answers(&long, &[413]).await;
}

#[tokio::test]
async fn a_body_that_says_it_is_something_else_is_refused_as_upstream_refuses_it() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    for taker in takers(&cloud) {
        let body = taker.action.map_or_else(|| json!({}), |key| json!({ key: null })).to_string();
        let version = taker.headers.iter().filter(|(name, _)| *name != "content-type");
        let headers: Vec<_> = form.into_iter().chain(version.map(|(name, value)| (*name, value.as_str()))).collect();
        let reply = admin.send(taker.method.clone(), &taker.path, &headers, body.into_bytes()).await;
        match taker.service {
            "identity" => {
                assert_eq!(reply.status, 400, "{taker}");
                assert!(reply.text().contains("Expecting to find application/json in Content-Type header"), "{taker}");
            }
            "compute" => {
                assert_eq!((reply.status, &reply.json()["badMediaType"]["code"]), (415, &json!(415)), "{taker}")
            }
            "image" if taker.method == Method::PATCH => assert_eq!(reply.status, 415, "{taker}"),
            // Neutron and the rest of Glance don't look; the body is judged for what it is.
            _ => assert!(reply.status < 500, "{taker}: {}", reply.status),
        }
    }
}

#[tokio::test]
async fn ids_that_name_nothing_are_not_found_whatever_they_look_like() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let long = "x".repeat(3000);
    let ids = [NOWHERE, "web", "..", "%00", "%ff", "%2e%2e%2fetc", "1%20OR%201=1", "'; DROP TABLE servers; --", &long];
    let mut wrong = Vec::new();
    for (service, row) in cloud.router.rows() {
        if row.method != Method::GET || !row.is_built || row.path.matches('{').count() != 1 || row.action.is_some() {
            continue;
        }
        for id in ids {
            let path: Vec<&str> = row.path.split('/').map(|it| if it.starts_with('{') { id } else { it }).collect();
            let reply = admin.get(&format!("{}{}", service.prefix, path.join("/"))).await;
            // Quotas and defaults of a project are known by rule, whether or not the project is; and who is nobody holds nothing.
            let by_rule =
                ["quotas", "quota-sets", "quota-class-sets", "limits", "os-simple-tenant-usage", "/allocations/{"];
            let is_by_rule = by_rule.iter().any(|it| row.path.contains(it));
            // Where caches are hosts' own there are no other nodes to ask, whatever the image: upstream's conflict.
            let is_conflict = row.path.contains("cache/nodes") && reply.status == 409;
            // 403: an owner's own, not even an administrator's; 501: not built, and it says so.
            let is_right =
                matches!(reply.status, 400 | 403 | 404 | 501) || (is_by_rule && reply.status == 200) || is_conflict;
            if !is_right {
                wrong.push(format!(
                    "{}{} with {id:.40}: {} {:.100}",
                    service.prefix,
                    row.path,
                    reply.status,
                    reply.text()
                ));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[tokio::test]
async fn unknown_paths_and_methods_answer_in_the_services_words() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let table = gapura::api::table();
    for (service, _) in table.iter().filter(|(service, _)| service.name != "root") {
        let reply = admin.get(&format!("{}/v2.1/v3/bananas", service.prefix)).await;
        assert_eq!((reply.status, said(service.name, &reply)), (404, Some(404)), "{}", service.name);
        let root = service.prefix;
        let reply = admin.json(Method::DELETE, root, &Value::Null).await;
        assert!(matches!(reply.status, 404 | 405), "{root}: {}", reply.status);
        if reply.status == 405 {
            assert!(reply.headers.contains_key("allow"), "{root}");
        }
    }
}

#[tokio::test]
async fn odd_queries_are_never_a_fault_of_ours() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let queries = [
        "limit=ten",
        "limit=-1",
        "limit=99999999999999999999",
        "marker=nowhere&limit=1",
        "sort_key=%00",
        "name=%00",
        "name=%ff%fe",
        "=",
        "&&&",
        "%",
    ];
    let mut wrong = Vec::new();
    for (service, row) in cloud.router.rows() {
        if row.method != Method::GET || !row.is_built || row.path.contains('{') {
            continue;
        }
        for query in queries {
            let reply = admin.get(&format!("{}{}?{query}", service.prefix, row.path)).await;
            if reply.status >= 500 && reply.status != 501 {
                wrong.push(format!("{}{}?{query}: {} {}", service.prefix, row.path, reply.status, reply.text()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// Bodies of wrong types and with unknown fields, where upstream refuses them, and what it says.
#[tokio::test]
async fn wrong_types_and_unknown_fields_are_refused_in_each_services_words() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let cases = [
        ("network", "/network/v2.0/networks", json!({"network": {"name": ["web"]}}), "Invalid input for name."),
        (
            "network",
            "/network/v2.0/networks",
            json!({"network": {"colour": "red"}}),
            "Unrecognized attribute(s) 'colour'",
        ),
        ("network", "/network/v2.0/networks", json!({"net": {}}), "Unrecognized attribute(s) 'net'"),
        (
            "network",
            "/network/v2.0/ports",
            json!({"port": {"network_id": NOWHERE, "fixed_ips": "10.0.0.1"}}),
            "Invalid input for fixed_ips.",
        ),
        ("image", "/image/v2/images", json!({"name": 7}), "7 is not of type"),
        ("image", "/image/v2/images", json!({"min_disk": "much"}), "is not of type"),
        ("compute", "/compute/v2.1/flavors", json!({"flavor": {"name": "x"}}), "is a required property"),
        (
            "compute",
            "/compute/v2.1/os-keypairs",
            json!({"keypair": {"name": "k", "colour": "red"}}),
            "Additional properties are not allowed ('colour' was unexpected)",
        ),
        ("compute", "/compute/v2.1/servers", json!({"server": {"name": 7}}), "Invalid input for field/attribute"),
    ];
    for (service, path, body, expected) in cases {
        let is_served = cloud.router.rows().any(|(of, row)| {
            row.method == Method::POST && row.is_built && format!("{}{}", of.prefix, row.path) == path
        });
        if !is_served {
            continue;
        }
        let reply = admin.send(Method::POST, path, JSON, body.to_string().into_bytes()).await;
        assert_eq!((reply.status, said(service, &reply)), (400, Some(400)), "{path} {body}: {}", reply.text());
        let text = reply.text().replace("&#x27;", "'");
        assert!(text.contains(expected), "{path} {body}: {text}");
    }
}
