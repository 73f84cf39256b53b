//! Who holds how much: servers of hosts, and projects in all.

use super::*;

#[tokio::test]
async fn a_server_holds_what_its_flavor_takes_of_its_host_from_boot_to_deletion() {
    let (site, admin) = two_hosts().await;
    let host = format!("/resource_providers/{TWO}");
    let usages = async || at(&admin, "1.39", &format!("{host}/usages")).await.json();
    let before = usages().await;
    assert_eq!(before["usages"]["VCPU"], 0);
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    let after = usages().await;
    assert_eq!(after["usages"], json!({"DISK_GB": 1, "MEMORY_MB": 192, "VCPU": 1}));
    assert!(generation(&after) > generation(&before));
    let held = json!({"DISK_GB": 1, "MEMORY_MB": 192, "VCPU": 1});
    let of_host = at(&admin, "1.27", &format!("{host}/allocations")).await.json();
    let expected = json!({"allocations": {id.to_string(): {"resources": held}}, "resource_provider_generation": generation(&after)});
    assert_eq!(of_host, expected);
    let of_host = at(&admin, "1.28", &format!("{host}/allocations")).await.json();
    assert_eq!(of_host["allocations"][id.to_string()], json!({"resources": held, "consumer_generation": 1}));

    let mut own = json!({"allocations": {TWO: {"resources": held, "generation": generation(&after)}}});
    let path = format!("/allocations/{id}");
    assert_eq!(at(&admin, "1.0", &path).await.json(), own);
    own["project_id"] = json!(alice.project_id);
    own["user_id"] = json!(alice.user_id);
    assert_eq!(at(&admin, "1.12", &path).await.json(), own);
    own["consumer_generation"] = json!(1);
    assert_eq!(at(&admin, "1.28", &path).await.json(), own);
    own["consumer_type"] = json!("INSTANCE");
    assert_eq!(at(&admin, "1.38", &path).await.json(), own);

    assert_eq!(alice.delete(&format!("{COMPUTE}/servers/{id}")).await.status, 204);
    site.cloud.work().await;
    assert_eq!(at(&admin, "1.39", &path).await.json(), json!({"allocations": {}}));
    let gone = usages().await;
    assert_eq!(gone["usages"], before["usages"]);
    assert!(generation(&gone) > generation(&after));
}

#[tokio::test]
async fn whoever_is_no_server_holds_nothing() {
    let (_, admin) = two_hosts().await;
    for name in ["00000000-0000-4000-8000-000000000000", "no-uuid"] {
        let reply = at(&admin, "1.39", &format!("/allocations/{name}")).await;
        assert_eq!((reply.status, reply.json()), (200, json!({"allocations": {}})));
    }
}

#[tokio::test]
async fn a_project_sees_what_it_uses_and_of_others_nothing() {
    let (site, admin) = two_hosts().await;
    let (alice, bob) = (site.cloud.member("alice").await, site.cloud.member("bob").await);
    site.boot(&alice, "one").await;
    site.boot(&alice, "two").await;
    let path = format!("/usages?project_id={}", alice.project_id);
    let used = json!({"DISK_GB": 2, "MEMORY_MB": 384, "VCPU": 2});
    for who in [&alice, &admin] {
        assert_eq!(at(who, "1.9", &path).await.json(), json!({"usages": used}));
    }
    let reply = at(&bob, "1.9", &path).await;
    assert_eq!((reply.status, said(&reply).as_str()), (403, "Policy does not allow placement:usages to be performed."));
    assert_eq!(at(&bob, "1.9", "/usages").await.status, 403);
    let own = at(&bob, "1.9", &format!("/usages?project_id={}", bob.project_id)).await;
    assert_eq!((own.status, own.json()), (200, json!({"usages": {}})));
    let of_user = |user: &str| format!("{path}&user_id={user}");
    assert_eq!(at(&admin, "1.9", &of_user(&alice.user_id)).await.json(), json!({"usages": used}));
    assert_eq!(at(&admin, "1.9", &of_user(&bob.user_id)).await.json(), json!({"usages": {}}));
    let reply = at(&admin, "1.9", "/usages").await;
    assert_eq!(
        (reply.status, said(&reply).as_str()),
        (400, "Invalid query string parameters: 'project_id' is a required property")
    );
    assert_eq!(at(&admin, "1.8", &path).await.status, 404);
}

#[tokio::test]
async fn usages_are_told_by_type_of_consumer_and_all_are_servers() {
    let (site, admin) = two_hosts().await;
    let alice = site.cloud.member("alice").await;
    site.boot(&alice, "one").await;
    let used = json!({"DISK_GB": 1, "MEMORY_MB": 192, "VCPU": 1, "consumer_count": 1});
    let path = format!("/usages?project_id={}", alice.project_id);
    for (kind, expected) in [
        ("", json!({"INSTANCE": used})),
        ("&consumer_type=INSTANCE", json!({"INSTANCE": used})),
        ("&consumer_type=all", json!({"all": used})),
        ("&consumer_type=unknown", json!({})),
        ("&consumer_type=MIGRATION", json!({})),
    ] {
        assert_eq!(at(&admin, "1.38", &format!("{path}{kind}")).await.json(), json!({"usages": expected}), "{kind}");
    }
    assert_eq!(at(&admin, "1.38", &format!("{path}&consumer_type=small")).await.status, 400);
    assert_eq!(at(&admin, "1.37", &format!("{path}&consumer_type=all")).await.status, 400);
}
