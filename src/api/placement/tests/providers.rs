//! Hosts as providers: what they have, are able to do, and belong to; and how they are found.

use super::*;

async fn names(admin: &Client, version: &str, query: &str) -> Vec<String> {
    let reply = at(admin, version, &format!("/resource_providers?{query}")).await;
    assert_eq!(reply.status, 200, "{query}: {}", reply.text());
    let listed = reply.json()["resource_providers"].clone();
    listed.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_host_is_a_provider_in_the_form_of_each_version() {
    let (_, admin) = two_hosts().await;
    let link = |rel: &str| json!({"rel": rel, "href": format!("/placement/resource_providers/{ONE}/{rel}")});
    let own = json!({"rel": "self", "href": format!("/placement/resource_providers/{ONE}")});
    let mut links = vec![own, link("inventories"), link("usages")];
    for (version, new) in
        [("1.0", None), ("1.1", Some("aggregates")), ("1.6", Some("traits")), ("1.11", Some("allocations"))]
    {
        links.extend(new.map(link));
        let shown = at(&admin, version, &format!("/resource_providers/{ONE}")).await.json();
        let generation = shown["generation"].as_i64().unwrap();
        assert!(generation > 0, "it has been heard");
        assert_eq!(
            shown,
            json!({"uuid": ONE, "name": "host-1", "generation": generation, "links": links}),
            "{version}"
        );
    }
    let reply = at(&admin, "1.14", &format!("/resource_providers/{ONE}")).await;
    let shown = reply.json();
    assert_eq!((&shown["parent_provider_uuid"], &shown["root_provider_uuid"]), (&Value::Null, &json!(ONE)));
    assert_eq!(reply.header("last-modified"), None);
    let reply = at(&admin, "1.15", "/resource_providers").await;
    assert_eq!(reply.header("last-modified"), Some("Sun, 22 Nov 2026 02:41:09 GMT"));
    assert_eq!(reply.json()["resource_providers"][0], shown);
}

#[tokio::test]
async fn providers_are_found_by_what_each_version_can_ask() {
    let (_, admin) = two_hosts().await;
    let (first, both) =
        (aggregate(&admin, "first", &["host-1"]).await, aggregate(&admin, "both", &["host-1", "host-2"]).await);
    let none = "00000000-0000-4000-8000-000000000000";
    let all = ["host-1", "host-2"];
    for (version, query, expected) in [
        ("1.0", String::new(), &all[..]),
        ("1.0", "name=host-2".to_owned(), &["host-2"]),
        ("1.0", format!("uuid={ONE}"), &["host-1"]),
        ("1.0", format!("uuid={ONE}&name=host-2"), &[]),
        ("1.3", format!("member_of={first}"), &["host-1"]),
        ("1.3", format!("member_of=in:{first},{both}"), &all),
        ("1.24", format!("member_of={both}&member_of={first}"), &["host-1"]),
        ("1.32", format!("member_of={both}&member_of=!{first}"), &["host-2"]),
        ("1.32", format!("member_of=!in:{first},{none}"), &["host-2"]),
        ("1.4", "resources=VCPU:8".to_owned(), &[]),
        ("1.4", "resources=VCPU:3".to_owned(), &["host-2"]),
        ("1.4", "resources=VCPU:1,MEMORY_MB:4000".to_owned(), &["host-2"]),
        ("1.4", "resources=IPV4_ADDRESS:1".to_owned(), &[]),
        ("1.14", format!("in_tree={TWO}"), &["host-2"]),
        ("1.14", format!("in_tree={none}"), &[]),
        ("1.18", "required=HW_CPU_X86_AVX2".to_owned(), &["host-1"]),
        ("1.18", "required=HW_CPU_X86_AVX2,STORAGE_DISK_SSD".to_owned(), &[]),
        ("1.22", "required=!HW_CPU_X86_AVX2".to_owned(), &["host-2"]),
        ("1.22", "required=!HW_CPU_X86_AVX2&required=COMPUTE_NODE".to_owned(), &all),
        ("1.39", "required=!HW_CPU_X86_AVX2&required=COMPUTE_NODE".to_owned(), &["host-2"]),
        ("1.39", "required=in:STORAGE_DISK_SSD,HW_CPU_X86_AVX".to_owned(), &["host-1"]),
    ] {
        assert_eq!(names(&admin, version, &query).await, expected, "{version} {query}");
    }
}

#[tokio::test]
async fn what_a_version_can_not_ask_is_refused_in_upstreams_words() {
    let (_, admin) = two_hosts().await;
    let unknown = |name: &str| {
        format!("Invalid query string parameters: Additional properties are not allowed ('{name}' was unexpected)")
    };
    let required = "Invalid query string parameters: Expected 'required' parameter value of the form: ";
    for (version, query, expected) in [
        ("1.2", "member_of=x", unknown("member_of")),
        ("1.3", "resources=VCPU:1", unknown("resources")),
        ("1.13", "in_tree=x", unknown("in_tree")),
        ("1.17", "required=x", unknown("required")),
        ("1.39", "colour=red", unknown("colour")),
        ("1.39", "uuid=x", "Invalid query string parameters: 'x' is not a 'uuid'".to_owned()),
        ("1.39", "in_tree=x", "Invalid query string parameters: 'x' is not a 'uuid'".to_owned()),
        (
            "1.39",
            "resources=",
            "Badly formed resources parameter. Expected resources query string parameter in form: \
                                ?resources=VCPU:2,MEMORY_MB:1024. Got: empty string."
                .to_owned(),
        ),
        (
            "1.39",
            "resources=VCPU",
            "Badly formed resources parameter. Expected resources query string parameter in form: \
                                    ?resources=VCPU:2,MEMORY_MB:1024. Got: VCPU."
                .to_owned(),
        ),
        (
            "1.39",
            "resources=VCPU:many",
            "Requested resource VCPU expected positive integer amount. Got: many.".to_owned(),
        ),
        ("1.39", "resources=VCPU:0", "Requested resource VCPU requires amount >= 1. Got: 0.".to_owned()),
        (
            "1.39",
            "resources=CPU:1",
            "Invalid resource class in resources parameter: No such resource class CPU.".to_owned(),
        ),
        ("1.39", "required=BOGUS", "Invalid trait(s) in \"required\" parameter: No such trait(s): BOGUS.".to_owned()),
        ("1.21", "required=", format!("{required}HW_CPU_X86_VMX,CUSTOM_MAGIC. Got an empty trait in:")),
        ("1.22", "required=A,,B", format!("{required}HW_CPU_X86_VMX,!CUSTOM_MAGIC. Got an empty trait in: A,,B")),
        ("1.21", "required=!A", format!("{required}HW_CPU_X86_VMX,CUSTOM_MAGIC. Got: !A")),
        (
            "1.38",
            "required=in:A,B",
            "Invalid query string parameters: The format 'in:HW_CPU_X86_VMX,CUSTOM_MAGIC' only \
                                     supported since microversion 1.39. Got: in:A,B"
                .to_owned(),
        ),
        (
            "1.39",
            "member_of=x",
            "Invalid query string parameters: Expected 'member_of' parameter to contain valid UUID(s). \
                                 Got: x"
                .to_owned(),
        ),
        ("1.23", "member_of=x&member_of=y", "Multiple member_of parameters are not supported".to_owned()),
    ] {
        let reply = at(&admin, version, &format!("/resource_providers?{query}")).await;
        assert_eq!((reply.status, said(&reply)), (400, expected), "{version} {query}");
    }
    let id = "00000000-0000-4000-8000-000000000000";
    let reply = at(&admin, "1.31", &format!("/resource_providers?member_of=!{id}")).await;
    assert_eq!(said(&reply), "Forbidden member_of parameters are not supported in the specified microversion");
}

#[tokio::test]
async fn inventories_are_what_the_host_has_with_what_is_kept_back_and_how_often_the_rest_is_promised() {
    let (_, admin) = two_hosts().await;
    let path = format!("/resource_providers/{ONE}/inventories");
    let shown = at(&admin, "1.39", &path).await.json();
    let of = |total: u64, reserved: u64, ratio: f64| json!({"total": total, "reserved": reserved, "min_unit": 1, "max_unit": total, "step_size": 1, "allocation_ratio": ratio});
    assert_eq!(shown["inventories"]["VCPU"], of(2, 0, 4.0));
    assert_eq!(shown["inventories"]["MEMORY_MB"], of(4096, 512, 1.0));
    assert_eq!(shown["inventories"].as_object().unwrap().len(), 3, "{shown}");
    let mut one = of(2, 0, 4.0);
    one["resource_provider_generation"] = shown["resource_provider_generation"].clone();
    assert_eq!(at(&admin, "1.39", &format!("{path}/VCPU")).await.json(), one);
    let reply = at(&admin, "1.39", &format!("{path}/VGPU")).await;
    assert_eq!((reply.status, said(&reply)), (404, format!("No inventory of class VGPU for {ONE}")));
}

#[tokio::test]
async fn a_hosts_traits_follow_its_cpu_and_whether_it_takes_servers() {
    let (site, admin) = two_hosts().await;
    let path = format!("/resource_providers/{ONE}/traits");
    let before = at(&admin, "1.6", &path).await.json();
    let own = [
        "COMPUTE_ARCH_X86_64",
        "COMPUTE_IMAGE_TYPE_QCOW2",
        "COMPUTE_IMAGE_TYPE_RAW",
        "COMPUTE_NODE",
        "HW_ARCH_X86_64",
        "HW_CPU_X86_AVX",
        "HW_CPU_X86_AVX2",
    ];
    assert_eq!(before["traits"], json!(own));
    assert_eq!(at(&admin, "1.5", &path).await.status, 404);
    let disable = json!({"host": "host-1", "binary": "nova-compute"});
    assert_eq!(admin.put(&format!("{COMPUTE}/os-services/disable"), disable).await.status, 200);
    let after = at(&admin, "1.6", &path).await.json();
    assert!(after["traits"].as_array().unwrap().contains(&json!("COMPUTE_STATUS_DISABLED")), "{after}");
    assert!(generation(&after) > generation(&before));
    assert_eq!(names(&admin, "1.39", "required=!COMPUTE_STATUS_DISABLED").await, ["host-2"]);
    site.cloud.reconcile().await;
    assert_eq!(at(&admin, "1.6", &path).await.json(), after, "a host that says the same again has not changed");
}

#[tokio::test]
async fn traits_are_found_by_name_and_by_whether_a_host_has_them() {
    let (_, admin) = two_hosts().await;
    let traits = async |query: &str| at(&admin, "1.39", &format!("/traits{query}")).await.json()["traits"].clone();
    assert_eq!(
        traits("?name=in:HW_CPU_X86_AVX,STORAGE_DISK_SSD,BOGUS").await,
        json!(["HW_CPU_X86_AVX", "STORAGE_DISK_SSD"])
    );
    assert_eq!(traits("?name=startswith:STORAGE_DISK").await, json!(["STORAGE_DISK_HDD", "STORAGE_DISK_SSD"]));
    assert_eq!(
        traits("?name=startswith:HW_CPU_X86_AVX&associated=true").await,
        json!(["HW_CPU_X86_AVX", "HW_CPU_X86_AVX2"])
    );
    assert_eq!(traits("?name=startswith:STORAGE&associated=false").await.as_array().unwrap().len(), 2);
    assert!(traits("").await.as_array().unwrap().len() > 300);
    let reply = at(&admin, "1.15", "/traits/HW_CPU_X86_AVX").await;
    assert_eq!((reply.status, reply.text().as_str(), reply.header("cache-control")), (204, "", Some("no-cache")));
    let reply = at(&admin, "1.6", "/traits/BOGUS").await;
    assert_eq!((reply.status, said(&reply).as_str()), (404, "No such trait(s): BOGUS."));
    assert_eq!(at(&admin, "1.6", "/traits?associated=maybe").await.status, 400);
    assert_eq!(at(&admin, "1.6", "/traits?name=AVX").await.status, 400);
}

#[tokio::test]
async fn a_hosts_aggregates_are_computes_and_count_as_changes() {
    let (_, admin) = two_hosts().await;
    let path = format!("/resource_providers/{ONE}/aggregates");
    let before = at(&admin, "1.19", &path).await.json();
    let uuid = aggregate(&admin, "racks", &["host-1"]).await;
    assert_eq!(at(&admin, "1.18", &path).await.json(), json!({"aggregates": [uuid]}));
    let after = at(&admin, "1.19", &path).await.json();
    assert_eq!((&before["aggregates"], &after["aggregates"]), (&json!([]), &json!([uuid])));
    assert!(generation(&after) > generation(&before));
    let body = json!({"remove_host": {"host": "host-1"}});
    assert_eq!(admin.post(&format!("{COMPUTE}/os-aggregates/1/action"), body).await.status, 200);
    assert!(generation(&at(&admin, "1.19", &path).await.json()) > generation(&after));
}

#[tokio::test]
async fn resource_classes_are_those_that_everybody_knows() {
    let (_, admin) = two_hosts().await;
    let listed = at(&admin, "1.2", "/resource_classes").await.json();
    let vcpu = json!({"name": "VCPU", "links": [{"rel": "self", "href": "/placement/resource_classes/VCPU"}]});
    assert_eq!((&listed["resource_classes"][0], listed["resource_classes"].as_array().unwrap().len()), (&vcpu, 21));
    assert_eq!(at(&admin, "1.2", "/resource_classes/VCPU").await.json(), vcpu);
    let reply = at(&admin, "1.2", "/resource_classes/CUSTOM_GOLD").await;
    assert_eq!((reply.status, said(&reply).as_str()), (404, "No such resource class CUSTOM_GOLD."));
    assert_eq!(at(&admin, "1.1", "/resource_classes").await.status, 404);
}
