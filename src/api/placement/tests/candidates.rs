//! Where requests would fit.

use super::*;

async fn ask(admin: &Client, version: &str, query: &str) -> Value {
    let reply = at(admin, version, &format!("/allocation_candidates?{query}")).await;
    assert_eq!(reply.status, 200, "{query}: {}", reply.text());
    reply.json()
}

/// The hosts that a request would fit on.
async fn hosts(admin: &Client, version: &str, query: &str) -> Vec<String> {
    let found = ask(admin, version, query).await;
    let summaries = found["provider_summaries"].as_object().unwrap().clone();
    let requests = found["allocation_requests"].as_array().unwrap().clone();
    assert_eq!(summaries.len(), requests.len());
    let host = |request: &Value| request["allocations"].as_object().unwrap().keys().next().unwrap().clone();
    let found: Vec<String> = requests.iter().map(host).collect();
    assert!(found.iter().all(|id| summaries.contains_key(id)));
    found.into_iter().map(|id| if id == ONE { "host-1".to_owned() } else { "host-2".to_owned() }).collect()
}

#[tokio::test]
async fn candidates_come_in_the_form_of_each_version() {
    let (_, admin) = two_hosts().await;
    let old = ask(&admin, "1.10", "resources=VCPU:3").await;
    let asked = json!([{"allocations": [{"resource_provider": {"uuid": TWO}, "resources": {"VCPU": 3}}]}]);
    let summary = json!({TWO: {"resources": {"VCPU": {"capacity": 16, "used": 0}}}});
    assert_eq!(old, json!({"allocation_requests": asked, "provider_summaries": summary}));
    let newer = ask(&admin, "1.12", "resources=VCPU:3").await;
    assert_eq!(newer["allocation_requests"], json!([{"allocations": {TWO: {"resources": {"VCPU": 3}}}}]));
    let newest = ask(&admin, "1.39", "resources=VCPU:3").await;
    let asked = json!([{"allocations": {TWO: {"resources": {"VCPU": 3}}}, "mappings": {"": [TWO]}}]);
    assert_eq!(newest["allocation_requests"], asked);
    let summary = &newest["provider_summaries"][TWO];
    assert_eq!(summary["resources"]["MEMORY_MB"], json!({"capacity": 7680, "used": 0}));
    assert_eq!((&summary["parent_provider_uuid"], &summary["root_provider_uuid"]), (&Value::Null, &json!(TWO)));
    assert!(summary["traits"].as_array().unwrap().contains(&json!("COMPUTE_NODE")));
}

#[tokio::test]
async fn a_request_fits_where_there_is_room_and_all_that_it_asks() {
    let (site, admin) = two_hosts().await;
    let first = aggregate(&admin, "first", &["host-1"]).await;
    let all = ["host-1", "host-2"];
    for (version, query, expected) in [
        ("1.12", "resources=VCPU:1,MEMORY_MB:512".to_owned(), &all[..]),
        ("1.16", "resources=VCPU:1&limit=1".to_owned(), &["host-1"]),
        ("1.12", "resources=MEMORY_MB:4000".to_owned(), &["host-2"]),
        ("1.12", "resources=VGPU:1".to_owned(), &[]),
        ("1.17", "resources=VCPU:1&required=HW_CPU_X86_AVX2".to_owned(), &["host-1"]),
        ("1.22", "resources=VCPU:1&required=!HW_CPU_X86_AVX2".to_owned(), &["host-2"]),
        ("1.21", format!("resources=VCPU:1&member_of={first}"), &["host-1"]),
        ("1.31", format!("resources=VCPU:1&in_tree={TWO}"), &["host-2"]),
        ("1.35", "resources=VCPU:1&root_required=!HW_CPU_X86_AVX2".to_owned(), &["host-2"]),
        ("1.25", "resources=VCPU:1&resources1=VCPU:1".to_owned(), &all),
        ("1.25", "resources=VCPU:1&resources1=VCPU:2".to_owned(), &["host-2"]),
        ("1.25", "resources1=VCPU:1&resources2=VCPU:1&group_policy=none".to_owned(), &all),
        ("1.25", "resources1=VCPU:1&resources2=VCPU:1&group_policy=isolate".to_owned(), &[]),
        ("1.33", "resources_A=VCPU:1&required_A=HW_CPU_X86_AVX2".to_owned(), &["host-1"]),
        ("1.36", "resources=VCPU:1&required_A=HW_CPU_X86_AVX2&same_subtree=_A".to_owned(), &["host-1"]),
    ] {
        assert_eq!(hosts(&admin, version, &query).await, expected, "{version} {query}");
    }
    let alice = site.cloud.member("alice").await;
    site.boot(&alice, "web").await;
    assert_eq!(hosts(&admin, "1.39", "resources=MEMORY_MB:7680").await, [""; 0], "a server holds some of it");
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_in_upstreams_words() {
    let (_, admin) = two_hosts().await;
    let unknown = |name: &str| {
        format!("Invalid query string parameters: Additional properties are not allowed ('{name}' was unexpected)")
    };
    for (version, query, expected) in [
        ("1.10", "", "Invalid query string parameters: 'resources' is a required property".to_owned()),
        ("1.25", "", "At least one request group (`resources` or `resources{$S}`) is required.".to_owned()),
        ("1.15", "resources=VCPU:1&limit=1", unknown("limit")),
        ("1.16", "resources=VCPU:1&limit=0", "Invalid query string parameters: '0' does not match '^[1-9][0-9]*$'".to_owned()),
        ("1.24", "resources=VCPU:1&resources1=VCPU:1", unknown("resources1")),
        ("1.32", "resources=VCPU:1&resources_A=VCPU:1", unknown("resources_A")),
        ("1.30", "resources=VCPU:1&in_tree=x", unknown("in_tree")),
        ("1.39", "resources=CPU:1", "Invalid resource class in resources parameter: No such resource class CPU.".to_owned()),
        ("1.39", "resources=VCPU:1&required=BOGUS", "No such trait(s): BOGUS.".to_owned()),
        ("1.35", "resources=VCPU:1&required1=COMPUTE_NODE", "All traits parameters must be associated with resources.  Found \
                                                             the following orphaned traits keys: required1".to_owned()),
        ("1.36", "required=COMPUTE_NODE", "There must be at least one resources or resources[$S] parameter.".to_owned()),
        ("1.36", "resources=VCPU:1&required_A=COMPUTE_NODE", "Resourceless suffixed group request should be specified in \
                                                              `same_subtree` query param: bad group(s) - ['_A'].".to_owned()),
        ("1.25", "resources1=VCPU:1&resources2=VCPU:1", "The \"group_policy\" parameter is required when specifying more than \
                                                         one \"resources{N}\" parameter.".to_owned()),
        ("1.25", "resources=VCPU:1&group_policy=all", "Invalid query string parameters: 'all' is not one of ['none', \
                                                       'isolate']".to_owned()),
        ("1.22", "resources=VCPU:1&required=COMPUTE_NODE,!COMPUTE_NODE", "Conflicting required and forbidden traits found in \
                                                                          the following traits keys: required: (COMPUTE_NODE)".to_owned()),
    ] {
        let reply = at(&admin, version, &format!("/allocation_candidates?{query}")).await;
        assert_eq!((reply.status, said(&reply)), (400, expected), "{version} {query}");
    }
    let reply = at(&admin, "1.36", "/allocation_candidates?resources=VCPU:1&same_subtree=_B").await;
    assert_eq!(reply.json()["errors"][0]["code"], "placement.query.bad_value");
    assert_eq!(at(&admin, "1.9", "/allocation_candidates?resources=VCPU:1").await.status, 404);
}
