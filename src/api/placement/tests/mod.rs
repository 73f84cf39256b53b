//! Placement's API over simulated hosts: what operators and their clients see.

mod allocations;
mod candidates;
mod facts;
mod providers;

use crate::api::compute::tests::{PATH as COMPUTE, Site};
use crate::api::testing::{Client, Cloud, Reply};
use http::Method;
use serde_json::{Value, json};

pub const ONE: &str = "0a0a0a0a-0000-4000-8000-000000000001";
pub const TWO: &str = "0a0a0a0a-0000-4000-8000-000000000002";

/// Hosts of 2 CPUs and 4 GiB, and of 4 and 8; the first begins to have AVX2.
pub async fn two_hosts() -> (Site, Client) {
    let site = Site::over(Cloud::with_hosts(&[(2, 4096), (4, 8192)]).await).await;
    site.cloud.hosts[0].hypervisor.set_cpu_features(&["avx", "avx2"]);
    site.cloud.reconcile().await;
    let admin = site.cloud.admin().await;
    (site, admin)
}

/// A question at a version of placement's.
pub async fn at(client: &Client, version: &str, path: &str) -> Reply {
    let spoken = format!("placement {version}");
    client.send(Method::GET, &format!("/placement{path}"), &[("openstack-api-version", &spoken)], Vec::new()).await
}

/// The sentence of an error, as a client shows it.
pub fn said(reply: &Reply) -> String {
    let detail = reply.json()["errors"][0]["detail"].as_str().unwrap_or_default().to_owned();
    detail.rsplit('\n').next().unwrap_or_default().trim().to_owned()
}

/// An aggregate of these hosts, and its UUID.
pub async fn aggregate(admin: &Client, name: &str, hosts: &[&str]) -> String {
    let path = format!("{COMPUTE}/os-aggregates");
    let headers = [("x-openstack-nova-api-version", "2.41"), ("content-type", "application/json")];
    let body = json!({"aggregate": {"name": name}}).to_string().into_bytes();
    let made = admin.send(Method::POST, &path, &headers, body).await.json()["aggregate"].clone();
    for host in hosts {
        let added = admin.post(&format!("{path}/{}/action", made["id"]), json!({"add_host": {"host": host}})).await;
        assert_eq!(added.status, 200, "{}", added.text());
    }
    made["uuid"].as_str().unwrap().to_owned()
}

pub fn generation(reply: &Value) -> i64 {
    reply["resource_provider_generation"].as_i64().unwrap()
}

#[tokio::test]
async fn the_root_tells_the_versions_and_every_answer_which_one_was_spoken() {
    let cloud = Cloud::new().await;
    let nobody = cloud.stranger();
    for path in ["", "/"] {
        let reply = at(&nobody, "latest", path).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.header("openstack-api-version"), Some("placement 1.39"));
        assert_eq!(reply.header("vary"), Some("OpenStack-API-Version"));
        assert_eq!(reply.header("cache-control"), Some("no-cache"));
        assert_eq!(reply.header("last-modified"), Some("Sun, 22 Nov 2026 02:41:09 GMT"));
        let version = json!({"id": "v1.0", "max_version": "1.39", "min_version": "1.0", "status": "CURRENT",
                             "links": [{"rel": "self", "href": ""}]});
        assert_eq!(reply.json(), json!({"versions": [version]}));
    }
    let oldest = nobody.get("/placement").await;
    assert_eq!(oldest.header("openstack-api-version"), Some("placement 1.0"));
    assert_eq!((oldest.header("last-modified"), oldest.header("cache-control")), (None, None));
}

#[tokio::test]
async fn a_version_that_is_not_spoken_is_refused_with_those_that_are() {
    let cloud = Cloud::new().await;
    let reply = at(&cloud.stranger(), "1.40", "").await;
    let error = json!({"status": 406, "title": "Not Acceptable", "request_id": "req-test", "max_version": "1.39", "min_version": "1.0",
                       "detail": "The resource could not be generated that was acceptable to your browser.\n\n \
                                  Invalid microversion: Unacceptable version header: 1.40  "});
    assert_eq!((reply.status, reply.json()), (406, json!({"errors": [error]})));
    let reply = at(&cloud.stranger(), "pony.horse", "").await;
    assert_eq!(
        (reply.status, said(&reply).as_str()),
        (400, "Invalid microversion: invalid version string: pony.horse")
    );
}

#[tokio::test]
async fn errors_have_the_form_of_their_version() {
    let (_, admin) = two_hosts().await;
    let nobody = "/resource_providers/00000000-0000-4000-8000-000000000000";
    let detail = "The resource could not be found.\n\n No resource provider with uuid \
                  00000000-0000-4000-8000-000000000000 found  ";
    let old = json!({"status": 404, "title": "Not Found", "detail": detail, "request_id": "req-test"});
    assert_eq!(at(&admin, "1.22", nobody).await.json(), json!({"errors": [old]}));
    let new = json!({"status": 404, "title": "Not Found", "detail": detail, "code": "placement.undefined_code", "request_id": "req-test"});
    assert_eq!(at(&admin, "1.23", nobody).await.json(), json!({"errors": [new]}));
    assert_eq!(at(&admin, "1.39", "/resource_providers/no-uuid").await.status, 404);
    assert_eq!(at(&admin, "1.39", &format!("/resource_providers/{ONE}/cows")).await.status, 404);
    let reply = admin.delete("/placement/resource_providers").await;
    assert_eq!((reply.status, said(&reply).as_str()), (405, "The method specified is not allowed for this resource."));
}

#[tokio::test]
async fn who_wants_no_json_gets_none() {
    let (_, admin) = two_hosts().await;
    for (accept, status) in [
        ("text/plain", 406),
        ("text/html,application/xhtml+xml,application/xml;q=0.9", 406),
        ("application/json;q=0", 406),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", 200),
        ("application/json", 200),
    ] {
        let reply = admin.send(Method::GET, "/placement/resource_providers", &[("accept", accept)], Vec::new()).await;
        assert_eq!(reply.status, status, "{accept}");
        assert!(status == 200 || said(&reply) == "Only application/json is provided", "{}", reply.text());
    }
}

#[tokio::test]
async fn tenants_see_nothing_of_the_clouds_hosts() {
    let (site, _) = two_hosts().await;
    let alice = site.cloud.member("alice").await;
    for (path, rule) in [
        ("/resource_providers".to_owned(), "resource_providers:list"),
        (format!("/resource_providers/{ONE}"), "resource_providers:show"),
        (format!("/resource_providers/{ONE}/inventories"), "resource_providers:inventories:list"),
        (format!("/resource_providers/{ONE}/allocations"), "resource_providers:allocations:list"),
        ("/allocation_candidates?resources=VCPU:1".to_owned(), "allocation_candidates:list"),
        ("/traits".to_owned(), "traits:list"),
    ] {
        let reply = at(&alice, "1.39", &path).await;
        assert_eq!(
            (reply.status, said(&reply)),
            (403, format!("Policy does not allow placement:{rule} to be performed."))
        );
    }
    let nova = site.cloud.with_role("nova", "service", "service").await;
    assert_eq!(at(&nova, "1.39", "/resource_providers").await.status, 200);
    let system = site.cloud.system_admin().await;
    assert_eq!(at(&system, "1.39", "/resource_providers").await.status, 403, "these rules are for projects' tokens");
}

#[tokio::test]
async fn what_would_write_says_that_it_is_not_built() {
    let (_, admin) = two_hosts().await;
    let before = at(&admin, "1.39", "/resource_providers").await.json();
    let reply = admin.post("/placement/resource_providers", json!({"name": "mine"})).await;
    assert_eq!((reply.status, said(&reply).as_str()), (501, "Making resource providers is not built yet."));
    assert_eq!(admin.delete(&format!("/placement/resource_providers/{ONE}")).await.status, 501);
    assert_eq!(admin.put(&format!("/placement/allocations/{ONE}"), json!({})).await.status, 501);
    assert_eq!(at(&admin, "1.39", "/resource_providers").await.json(), before);
}
