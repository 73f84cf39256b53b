//! What upstream's own tests of its API hold to be so of what is only read, a line each: which answers there are, at which
//! versions, with which headers and words. Facts alone; upstream's tests are others.

use super::*;

const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

/// The whole of an error's text, in one line.
fn detail(reply: &Reply) -> String {
    let detail = reply.json()["errors"][0]["detail"].as_str().unwrap_or_default().to_owned();
    detail.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn what_is_not_there_or_can_not_be_asked_is_refused_as_upstream_refuses_it() {
    let (_, admin) = two_hosts().await;
    let long = "7".repeat(256);
    let provider = |rest: &str| format!("/resource_providers/{rest}");
    let missing = format!("No resource provider with uuid {NOBODY} found");
    for (version, path, status, words) in [
        ("1.0", "/barnabas".to_owned(), 404, "The resource could not be found."),
        ("1.0", "/resources_providers/%e2%98%83".to_owned(), 404, "The resource could not be found."),
        ("1.0", provider("random_sauce"), 404, "No resource provider with uuid random_sauce found"),
        ("1.0", provider(NOBODY), 404, &missing),
        ("1.0", provider(&format!("{NOBODY}/inventories")), 404, &missing),
        ("1.0", provider(&format!("{NOBODY}/inventories/VCPU")), 404, ""),
        ("1.0", provider(&format!("{ONE}/inventories/IPV4_ADDRESS")), 404, "No inventory of class IPV4_ADDRESS for"),
        ("1.0", provider(&format!("{ONE}/inventories/HOUSE")), 404, "No inventory of class HOUSE for"),
        ("1.0", provider(&format!("{NOBODY}/usages")), 404, &missing),
        ("1.0", provider(&format!("{NOBODY}/allocations")), 404, ""),
        ("1.0", provider(&format!("{ONE}/aggregates")), 404, ""),
        ("1.1", provider(&format!("{NOBODY}/aggregates")), 404, ""),
        ("1.5", provider(&format!("{ONE}/traits")), 404, ""),
        ("1.6", provider("non_existed/traits"), 404, "No resource provider with uuid non_existed found"),
        ("1.0", "/resource_providers?uuid=spameggs".to_owned(), 400, "Invalid query string parameters"),
        ("1.0", "/resource_providers?spam=eggs".to_owned(), 400, "Invalid query string parameters"),
        ("1.39", "/resource_providers?limit=1".to_owned(), 400, "Additional properties are not allowed"),
        ("1.39", format!("/resource_providers?marker={ONE}"), 400, "Additional properties are not allowed"),
        ("1.39", "/resource_providers?resources=DISK_GB:500,".to_owned(), 400, "Got: ."),
        (
            "1.39",
            "/resource_providers?resources=VCPU:-2".to_owned(),
            400,
            "Requested resource VCPU requires amount >= 1. Got: -2.",
        ),
        ("1.39", format!("/resource_providers?assoc_with_aggregate=in:{ONE}"), 400, "Invalid query string parameters"),
        ("1.32", "/resource_providers?member_of=!(^o^)".to_owned(), 400, "to contain valid UUID(s)."),
        ("1.32", format!("/resource_providers?member_of=in:{ONE},!{TWO}"), 400, "to contain valid UUID(s)."),
        (
            "1.31",
            format!("/allocation_candidates?resources=VCPU:1&member_of=!in:{ONE}"),
            400,
            "Forbidden member_of parameters",
        ),
        ("1.9", "/allocation_candidates?resources=VCPU:1".to_owned(), 404, ""),
        ("1.8", "/usages?project_id=p".to_owned(), 404, ""),
        ("1.9", "/usages?project_id=".to_owned(), 400, "Invalid query string parameters"),
        ("1.9", "/usages?project_id=p&user_id=".to_owned(), 400, "Invalid query string parameters"),
        ("1.9", format!("/usages?project_id={long}"), 400, "Invalid query string parameters"),
        ("1.9", format!("/usages?project_id=p&user_id={long}"), 400, "Invalid query string parameters"),
        ("1.9", "/usages?project_id=p&dummy=1".to_owned(), 400, "Additional properties are not allowed"),
        ("1.5", "/traits".to_owned(), 404, ""),
        ("1.5", "/traits/HW_CPU_X86_AVX".to_owned(), 404, ""),
        ("1.6", "/traits?invalid=abc".to_owned(), 400, "Additional properties are not allowed"),
        ("1.6", "/traits?name=in_abc".to_owned(), 400, "?name=[in|startswith]:[name1,name2|prefix]. Got: \"in_abc\""),
        (
            "1.6",
            "/traits?associated=xyz".to_owned(),
            400,
            "The query parameter \"associated\" only accepts \"true\" or \"false\"",
        ),
        ("1.1", "/resource_classes/VCPU".to_owned(), 404, ""),
        ("1.0", "/allocations".to_owned(), 405, "is not allowed for this resource."),
        ("1.13", "/allocations".to_owned(), 405, "is not allowed for this resource."),
    ] {
        let reply = at(&admin, version, &path).await;
        assert_eq!(reply.status, status, "{version} {path}: {}", reply.text());
        assert!(detail(&reply).contains(words), "{version} {path}: {}", reply.text());
        let error = reply.json()["errors"][0].clone();
        let title = match status {
            404 => "Not Found",
            405 => "Method Not Allowed",
            _ => "Bad Request",
        };
        assert_eq!((&error["title"], &error["status"]), (&json!(title), &json!(status)), "{version} {path}");
        assert_eq!(error["request_id"], "req-test", "{version} {path}");
        assert_eq!(reply.header("content-type"), Some("application/json"), "{version} {path}");
        assert_eq!(reply.header("openstack-api-version"), Some(format!("placement {version}").as_str()), "{path}");
    }
}

#[tokio::test]
async fn what_is_read_says_from_1_15_on_when_it_changed_and_before_that_nothing() {
    let (site, admin) = two_hosts().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    let provider = |rest: &str| format!("/resource_providers/{ONE}{rest}");
    for path in [
        String::new(),
        "/resource_providers".to_owned(),
        provider(""),
        provider("/inventories"),
        provider("/inventories/VCPU"),
        provider("/usages"),
        provider("/aggregates"),
        provider("/traits"),
        provider("/allocations"),
        format!("/allocations/{id}"),
        format!("/allocations/{NOBODY}"),
        format!("/usages?project_id={}", alice.project_id),
        "/traits".to_owned(),
        "/traits/HW_CPU_X86_AVX".to_owned(),
        "/resource_classes".to_owned(),
        "/resource_classes/VCPU".to_owned(),
    ] {
        let before = at(&admin, "1.14", &path).await;
        assert!(before.status < 300, "{path}: {}", before.text());
        assert_eq!((before.header("last-modified"), before.header("cache-control")), (None, None), "{path}");
        let after = at(&admin, "1.15", &path).await;
        assert!(after.header("last-modified").is_some_and(|when| when.ends_with(" GMT")), "{path}");
        assert_eq!(after.header("cache-control"), Some("no-cache"), "{path}");
        assert_eq!(after.header("vary"), Some("OpenStack-API-Version"), "{path}");
    }
}

#[tokio::test]
async fn a_path_that_can_only_be_read_names_how_it_may_be_asked() {
    let (_, admin) = two_hosts().await;
    for (method, path, allowed) in [
        (Method::DELETE, "", "GET"),
        (Method::POST, "", "GET"),
        (Method::DELETE, "/resource_providers", "GET, POST"),
        (Method::OPTIONS, "/resource_providers", "GET, POST"),
    ] {
        let reply = admin.send(method.clone(), &format!("/placement{path}"), &[], Vec::new()).await;
        assert_eq!(reply.status, 405, "{method} {path}: {}", reply.text());
        assert_eq!(reply.header("allow"), Some(allowed), "{method} {path}");
        assert!(detail(&reply).contains("is not allowed for this resource."), "{method} {path}: {}", reply.text());
        assert_eq!(reply.header("openstack-api-version"), Some("placement 1.0"));
    }
}

#[tokio::test]
async fn versions_that_are_none_are_refused_and_the_form_of_a_refusal_is_the_askers() {
    let (_, admin) = two_hosts().await;
    for (version, status, words) in [
        ("0.5", 406, "Unacceptable version header: 0.5"),
        ("0.9", 406, "Unacceptable version header: 0.9"),
        ("1.40", 406, "Unacceptable version header: 1.40"),
        ("1.2.3", 400, "invalid version string: 1.2.3"),
        ("pony.horse", 400, "invalid version string: pony.horse"),
    ] {
        let reply = at(&admin, version, "/resource_providers").await;
        assert_eq!(reply.status, status, "{version}");
        assert!(detail(&reply).contains(words), "{version}: {}", reply.text());
    }
    let ask =
        async |path: &str, headers: &[(&'static str, &str)]| admin.send(Method::GET, path, headers, Vec::new()).await;
    let reply = ask("/placement/resource_providers/foo", &[("accept", "*/*")]).await;
    assert_eq!((reply.status, reply.header("content-type")), (404, Some("application/json")));
    let reply = ask("/placement/moo", &[("accept", "text/plain")]).await;
    assert!(reply.status == 404 && reply.text().contains("The resource could not be found"), "{}", reply.text());
    let spoken = ("openstack-api-version", "placement 0.5");
    let reply = ask("/placement", &[("accept", "text/html"), spoken]).await;
    assert!(reply.status == 406 && reply.text().contains("Unacceptable version header: 0.5"), "{}", reply.text());
    let by_name = at(&admin, "1.0", "/resource_providers?name=%e2%98%83").await;
    assert_eq!((by_name.status, by_name.json()), (200, json!({"resource_providers": []})), "a name that nobody has");
}

#[tokio::test]
async fn a_host_that_nobody_is_on_is_told_with_all_that_it_has_and_nothing_used() {
    let (_, admin) = two_hosts().await;
    let of = async |rest: &str| at(&admin, "1.39", &format!("/resource_providers/{ONE}{rest}")).await.json();
    let shown = of("").await;
    let mut fields: Vec<&String> = shown.as_object().unwrap().keys().collect();
    fields.sort();
    let expected = ["generation", "links", "name", "parent_provider_uuid", "root_provider_uuid", "uuid"];
    assert_eq!(fields, expected);
    let generation = &shown["generation"];
    for (rest, part, value) in [
        ("/usages", "usages", json!({"DISK_GB": 0, "MEMORY_MB": 0, "VCPU": 0})),
        ("/allocations", "allocations", json!({})),
        ("/aggregates", "aggregates", json!([])),
    ] {
        let told = of(rest).await;
        assert_eq!(told, json!({part: value, "resource_provider_generation": generation}), "{rest}");
    }
    let inventories = of("/inventories").await;
    assert_eq!(&inventories["resource_provider_generation"], generation);
    let vcpus = &inventories["inventories"]["VCPU"];
    let mut fields: Vec<&String> = vcpus.as_object().unwrap().keys().collect();
    fields.sort();
    assert_eq!(fields, ["allocation_ratio", "max_unit", "min_unit", "reserved", "step_size", "total"]);
}
