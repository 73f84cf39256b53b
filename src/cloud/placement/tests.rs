//! Each filter leaves out what it should and nothing else; weighers rank as their multipliers say.

use super::*;
use crate::cloud::server_group::{Affinity, Policy};
use crate::ids::HostId;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;

const SMALL: Demand = Demand { vcpus: 1, memory_mib: 512, disk_gib: 1 };

fn host(name: &str, memory_mib: u64) -> Candidate {
    let total = Demand { vcpus: 4, memory_mib, disk_gib: 100 };
    Candidate {
        id: HostId::random(),
        name: name.into(),
        zone: "nova".into(),
        condition: Condition::Up,
        total,
        capacity: total,
        claimed: Demand::default(),
        servers: 0,
        io_operations: 0,
        failed_builds: 0,
        hypervisor_version: 10_000_002,
        kind: kind(&json!({"cpu": {"arch": "x86_64", "model": "EPYC", "features": ["avx", "avx2", "sse"], "cores": 4},
                           "hypervisor_type": "QEMU", "accelerator": "kvm"})),
        physical_networks: BTreeSet::new(),
        aggregates: None,
    }
}

/// That of hosts that say this.
fn kind(said: &serde_json::Value) -> Arc<HostKind> {
    Arc::new(HostKind::take_apart(said).0)
}

fn small() -> Request {
    Request { demand: SMALL, ..Request::default() }
}

/// The names of the hosts that are left, the best first.
fn names<'h>(hosts: &'h [Candidate], request: &Request, rules: &Rules) -> Vec<&'h str> {
    let name = |id: HostId| hosts.iter().find(|host| host.id == id).map(|host| host.name.as_str());
    choose(hosts, request, rules).ranked.into_iter().filter_map(|(id, _)| name(id)).collect()
}

fn left<'h>(hosts: &'h [Candidate], request: &Request) -> Vec<&'h str> {
    names(hosts, request, &Rules::default())
}

fn says(host: Candidate, metadata: &[(&str, &[&str])]) -> Candidate {
    let said = metadata
        .iter()
        .map(|(name, values)| ((*name).to_owned(), values.iter().map(|value| (*value).to_owned()).collect()));
    Candidate { aggregates: Some(Arc::new(said.collect())), ..host }
}

fn enabling(filter: &str) -> Rules {
    Rules { enabled_filters: vec![filter.to_owned()], ..Rules::default() }
}

#[test]
fn the_host_with_the_most_memory_free_is_picked_among_those_that_fit() {
    let hosts = [host("a", 1024), host("b", 4096), host("c", 2048), host("d", 256)];
    assert_eq!(left(&hosts, &small()), ["b", "c", "a"]);
    let stacking = Rules { ram_weight_multiplier: -1.0, ..Rules::default() };
    assert_eq!(names(&hosts, &small(), &stacking), ["a", "c", "b"]);
}

#[test]
fn a_server_too_large_for_any_host_finds_none_and_operators_learn_why() {
    let hosts = [host("a", 1024), host("b", 2048)];
    let huge = Request { demand: Demand { memory_mib: 1_000_000, ..SMALL }, ..Request::default() };
    let verdict = choose(&hosts, &huge, &Rules::default());
    let text = "No valid host was found. There are not enough hosts available. Of 2 hosts, Resources refused 2.";
    assert_eq!(verdict.chosen().unwrap_err().to_string(), text);
    assert_eq!(
        verdict.explanation(&hosts),
        "Filter results: ['RequestedDestination: (start: 2, end: 2)', 'AvailabilityZone: (start: 2, end: 2)', \
         'ComputeFilter: (start: 2, end: 2)', 'Resources: (start: 2, end: 0)'] Resources refused a, b."
    );
    let nobody = choose(&[], &small(), &Rules::default()).chosen().unwrap_err().to_string();
    assert_eq!(nobody, "No valid host was found. There are not enough hosts available.");
}

#[test]
fn each_host_that_is_refused_is_told_with_the_filter_that_refused_it_first() {
    let down = Candidate { condition: Condition::Down, ..host("down", 256) };
    let hosts = [down, host("small", 256), host("fit", 1024)];
    let verdict = choose(&hosts, &small(), &Rules::default());
    assert_eq!(verdict.refused, [(hosts[0].id, "ComputeFilter"), (hosts[1].id, "Resources")]);
    assert_eq!(verdict.chosen().unwrap(), hosts[2].id);
    let none = choose(&hosts[..2], &small(), &Rules::default()).chosen().unwrap_err().to_string();
    assert!(none.ends_with(" Of 2 hosts, ComputeFilter refused 1, Resources refused 1."), "{none}");
    assert!(!none.contains("down") && !none.contains("small"), "tenants read no host's name");
}

#[test]
fn an_explanation_names_some_hosts_of_many_and_counts_the_rest() {
    let hosts: Vec<Candidate> = (0..25).map(|number| host(&format!("h{number}"), 256)).collect();
    let text = choose(&hosts, &small(), &Rules::default()).explanation(&hosts);
    assert!(
        text.ends_with(
            " Resources refused h0, h1, h2, h3, h4, h5, h6, h7, h8, h9, h10, h11, h12, h13, h14, h15, h16, \
                            h17, h18, h19 and 5 more."
        ),
        "{text}"
    );
}

#[test]
fn every_filter_says_what_its_refusal_means() {
    for filter in filters::ALL {
        assert_eq!(filters::reason(filter.name), Some(filter.reason));
        assert!(filter.reason.len() > 10, "{}", filter.name);
    }
    assert_eq!(filters::reason("NoSuchFilter"), None);
}

#[test]
fn no_server_gets_more_than_a_host_really_has_however_often_it_may_be_promised() {
    let mut hosts = [host("a", 4096)];
    hosts[0].capacity.vcpus = 16;
    let vcpus = |vcpus| Request { demand: Demand { vcpus, ..SMALL }, ..Request::default() };
    assert_eq!(left(&hosts, &vcpus(4)), ["a"]);
    assert!(left(&hosts, &vcpus(5)).is_empty());
    hosts[0].claimed.vcpus = 13;
    assert!(left(&hosts, &vcpus(4)).is_empty());
}

#[test]
fn a_zone_or_a_host_that_is_asked_for_is_kept_to_and_one_to_leave_is_left() {
    let hosts =
        [Candidate { zone: "one".into(), ..host("a", 1024) }, Candidate { zone: "two".into(), ..host("b", 4096) }];
    let wish = |zone: Option<&str>, host: Option<&str>| {
        let wish = Wish { zone: zone.map(str::to_owned), host: host.map(str::to_owned) };
        Request { wish, ..small() }
    };
    assert_eq!(left(&hosts, &wish(Some("one"), None)), ["a"]);
    assert_eq!(left(&hosts, &wish(None, Some("a"))), ["a"]);
    assert!(left(&hosts, &wish(Some("two"), Some("a"))).is_empty());
    assert!(left(&hosts, &wish(Some("three"), None)).is_empty());
    for (but, filter) in [(But::Leaving(hosts[1].id), "RequestedDestination"), (But::Full(hosts[1].id), "Resources")] {
        let verdict = choose(&hosts, &Request { but: Some(but), ..small() }, &Rules::default());
        assert_eq!(verdict.chosen().unwrap(), hosts[0].id);
        assert_eq!(verdict.refused, [(hosts[1].id, filter)], "and it is told why");
    }
}

#[test]
fn a_host_that_is_down_or_disabled_takes_nothing_new() {
    for condition in [Condition::Down, Condition::Disabled] {
        let hosts = [Candidate { condition, ..host("a", 1024) }, host("b", 512)];
        assert_eq!(left(&hosts, &small()), ["b"], "{condition:?}");
    }
}

#[test]
fn a_group_keeps_its_servers_together_or_apart_and_a_soft_one_as_far_as_there_is_room() {
    let hosts = [host("a", 1024), host("b", 4096)];
    let at = |policy, host: &Candidate| {
        let affinity = Affinity { policy, max_per_host: None, hosts: vec![host.id] };
        Request { affinity: Some(affinity), ..small() }
    };
    assert_eq!(left(&hosts, &at(Policy::Affinity, &hosts[0])), ["a"]);
    assert_eq!(left(&hosts, &at(Policy::AntiAffinity, &hosts[1])), ["a"]);
    assert_eq!(left(&hosts, &at(Policy::SoftAffinity, &hosts[0])), ["a", "b"]);
    assert_eq!(left(&hosts, &at(Policy::SoftAntiAffinity, &hosts[1])), ["a", "b"]);
    let only = &hosts[..1];
    assert!(left(only, &at(Policy::AntiAffinity, &hosts[0])).is_empty());
    assert!(left(only, &at(Policy::Affinity, &hosts[1])).is_empty());
    assert_eq!(left(only, &at(Policy::SoftAntiAffinity, &hosts[0])), ["a"]);
    let mut two = at(Policy::AntiAffinity, &hosts[0]);
    two.affinity.as_mut().unwrap().max_per_host = Some(2);
    assert_eq!(left(only, &two), ["a"], "the rule lets a second one onto the host");
}

#[test]
fn a_server_goes_with_those_that_hints_name_or_apart_from_them() {
    let hosts = [host("a", 1024), host("b", 4096)];
    let with = |neighbours| Request { neighbours, ..small() };
    assert_eq!(left(&hosts, &with(Neighbours { same: Some(vec![hosts[0].id]), different: vec![] })), ["a"]);
    assert_eq!(left(&hosts, &with(Neighbours { same: None, different: vec![hosts[1].id] })), ["a"]);
    assert!(left(&hosts, &with(Neighbours { same: Some(vec![]), different: vec![] })).is_empty());
}

#[test]
fn a_flavor_goes_where_an_aggregate_gives_what_it_asks_for() {
    let ssd = says(host("a", 1024), &[("ssd", &["true"]), ("speed", &["10", "40"])]);
    let hosts = [ssd, host("b", 4096)];
    let asks = |name: &str, value: &str| Request {
        extra_specs: [(name.to_owned(), value.to_owned())].into(),
        aggregate_names: ["ssd".to_owned(), "speed".to_owned()].into(),
        ..small()
    };
    assert_eq!(left(&hosts, &asks("aggregate_instance_extra_specs:ssd", "true")), ["a"]);
    assert_eq!(left(&hosts, &asks("ssd", "true")), ["a"]);
    assert_eq!(left(&hosts, &asks("aggregate_instance_extra_specs:speed", ">= 40")), ["a"]);
    assert!(left(&hosts, &asks("ssd", "false")).is_empty());
    assert!(left(&hosts, &asks("aggregate_instance_extra_specs:colour", "red")).is_empty());
    assert_eq!(left(&hosts, &asks("price", "low")), ["b", "a"], "what no aggregate speaks of binds nobody");
    assert_eq!(left(&hosts, &asks("hw_rng:allowed", "true")), ["b", "a"]);
}

#[test]
fn an_aggregate_that_names_tenants_lets_in_no_other() {
    let hosts =
        [says(host("a", 1024), &[("filter_tenant_id", &["p1"]), ("filter_tenant_id2", &["p2"])]), host("b", 512)];
    let of = |project: &str| Request { project: Some(project.into()), ..small() };
    assert_eq!(left(&hosts, &of("p1")), ["a", "b"]);
    assert_eq!(left(&hosts, &of("p2")), ["a", "b"]);
    assert_eq!(left(&hosts, &of("p3")), ["b"]);
}

#[test]
fn an_image_goes_where_aggregates_agree_with_its_properties() {
    let hosts = [says(host("a", 1024), &[("os_distro", &["debian", "ubuntu"])]), host("b", 512)];
    let of =
        |distro: &str| Request { image_properties: [("os_distro".to_owned(), distro.to_owned())].into(), ..small() };
    assert_eq!(left(&hosts, &of("debian")), ["a", "b"]);
    assert_eq!(left(&hosts, &of("windows")), ["b"]);
    assert_eq!(left(&hosts, &small()), ["a", "b"]);
}

#[test]
fn an_image_that_demands_a_hypervisor_goes_only_where_it_is() {
    let arm = Candidate {
        kind: kind(&json!({"cpu": {"arch": "aarch64"}, "hypervisor_type": "QEMU", "accelerator": "tcg"})),
        hypervisor_version: 7_002_000,
        ..host("arm", 1024)
    };
    let hosts = [host("x86", 1024), arm];
    for (name, value, expected) in [
        ("hw_architecture", "x86_64", &["x86"][..]),
        ("hw_architecture", "i686", &["x86"]),
        ("hw_architecture", "aarch64", &["arm"]),
        ("hw_architecture", "sparc", &[]),
        ("img_hv_type", "kvm", &["x86"]),
        ("img_hv_type", "qemu", &["x86", "arm"]),
        ("img_hv_type", "xen", &[]),
        ("img_hv_requested_version", ">=10.0", &["x86"]),
        ("img_hv_requested_version", "<8", &["arm"]),
        ("hw_vm_mode", "hvm", &["x86", "arm"]),
        ("hw_vm_mode", "exe", &[]),
    ] {
        let image_properties = [(name.to_owned(), value.to_owned())].into();
        assert_eq!(left(&hosts, &Request { image_properties, ..small() }), expected, "{name}={value}");
    }
    let rules = Rules { image_properties_default_architecture: "aarch64".to_owned(), ..Rules::default() };
    assert_eq!(names(&hosts, &small(), &rules), ["arm"]);
}

#[test]
fn a_flavor_goes_where_the_host_itself_has_what_it_requires() {
    let hosts = [host("a", 1024)];
    for (name, value, expected) in [
        ("capabilities:cpu_info:model", "EPYC", true),
        ("capabilities:cpu_info:features", "<all-in> avx sse", true),
        ("capabilities:cpu_info:features", "<in> vmx", false),
        ("capabilities:cpu_info:topology:cores", ">= 4", true),
        ("capabilities:hypervisor_type", "s== QEMU", true),
        ("capabilities:hypervisor_version", ">= 11000000", false),
        ("capabilities:no_such_thing", "1", false),
        ("free_ram_mb", ">= 2048", false),
        ("no_such_thing", "1", true),
    ] {
        let extra_specs = [(name.to_owned(), value.to_owned())].into();
        assert_eq!(!left(&hosts, &Request { extra_specs, ..small() }).is_empty(), expected, "{name} {value}");
    }
}

#[test]
fn a_flavor_or_an_image_goes_where_the_traits_are_that_it_requires_and_not_where_those_are_that_it_forbids() {
    let without_avx2 = kind(&json!({"cpu": {"arch": "x86_64", "features": ["avx"]}, "accelerator": "kvm"}));
    let hosts = [host("a", 4096), Candidate { kind: without_avx2, ..host("b", 1024) }];
    for (name, how, expected) in [
        ("trait:HW_CPU_X86_AVX2", "required", &["a"][..]),
        ("trait:HW_CPU_X86_AVX2", "forbidden", &["b"]),
        ("trait:HW_CPU_X86_AVX", "required", &["a", "b"]),
        ("trait:HW_CPU_X86_AVX", "forbidden", &[]),
        ("trait:HW_CPU", "required", &[]),
        ("trait:HW_CPU_X86_AVX", "welcome", &[]),
    ] {
        let specs = [(name.to_owned(), how.to_owned())];
        assert_eq!(left(&hosts, &Request { extra_specs: specs.clone().into(), ..small() }), expected, "{name} {how}");
        if how == "required" {
            let request = Request { image_properties: specs.into(), ..small() };
            assert_eq!(left(&hosts, &request), expected, "an image with {name}");
        }
    }
    let both = [
        ("trait:HW_CPU_X86_AVX".to_owned(), "required".to_owned()),
        ("trait:HW_CPU_X86_AVX2".to_owned(), "forbidden".to_owned()),
    ];
    assert_eq!(left(&hosts, &Request { extra_specs: both.into(), ..small() }), ["b"]);
}

#[test]
fn hosts_with_many_servers_or_much_io_are_left_out_where_the_operator_says_so() {
    let full = Candidate { servers: 50, io_operations: 8, ..host("full", 4096) };
    let hosts = [full, host("idle", 1024)];
    assert_eq!(names(&hosts, &small(), &enabling("NumInstancesFilter")), ["idle"]);
    assert_eq!(names(&hosts, &small(), &enabling("IoOpsFilter")), ["idle"]);
    assert_eq!(left(&hosts, &small()).len(), 2, "unless asked for, they don't hold");
    let large = says(hosts[0].clone(), &[("max_instances_per_host", &["100"]), ("max_io_ops_per_host", &["9"])]);
    let hosts = [large, host("idle", 1024)];
    assert_eq!(names(&hosts, &small(), &enabling("AggregateNumInstancesFilter")).len(), 2);
    assert_eq!(names(&hosts, &small(), &enabling("AggregateIoOpsFilter")).len(), 2);
    assert_eq!(names(&hosts, &small(), &enabling("NumInstancesFilter")), ["idle"]);
}

#[test]
fn each_weigher_counts_as_much_as_the_operator_or_an_aggregate_says() {
    let none = Rules {
        ram_weight_multiplier: 0.0,
        cpu_weight_multiplier: 0.0,
        disk_weight_multiplier: 0.0,
        hypervisor_version_weight_multiplier: 0.0,
        io_ops_weight_multiplier: 0.0,
        build_failure_weight_multiplier: 0.0,
        ..Rules::default()
    };
    let a = host("a", 1024);
    for (b, rules) in [
        (
            Candidate { claimed: Demand { vcpus: 1, ..Demand::default() }, ..a.clone() },
            Rules { cpu_weight_multiplier: 1.0, ..none.clone() },
        ),
        (
            Candidate { claimed: Demand { disk_gib: 9, ..Demand::default() }, ..a.clone() },
            Rules { disk_weight_multiplier: 1.0, ..none.clone() },
        ),
        (
            Candidate { hypervisor_version: 9, ..a.clone() },
            Rules { hypervisor_version_weight_multiplier: 1.0, ..none.clone() },
        ),
        (Candidate { io_operations: 1, ..a.clone() }, Rules { io_ops_weight_multiplier: -1.0, ..none.clone() }),
        (Candidate { servers: 1, ..a.clone() }, Rules { num_instances_weight_multiplier: -1.0, ..none.clone() }),
        (Candidate { failed_builds: 1, ..a.clone() }, Rules { build_failure_weight_multiplier: 1.0, ..none.clone() }),
    ] {
        let b = Candidate { id: HostId::random(), name: "b".into(), ..b };
        let hosts = [b, a.clone()];
        assert_eq!(names(&hosts, &small(), &rules), ["a", "b"], "{rules:?}");
        assert_eq!(names(&hosts, &small(), &none), ["b", "a"], "of equals the first");
    }
    let packed = says(host("c", 4096), &[("ram_weight_multiplier", &["-1.0"])]);
    assert_eq!(left(&[packed, a], &small()), ["a", "c"]);
}

#[test]
fn a_filter_that_there_is_not_is_refused() {
    let refused = enabling("NoSuchFilter").check().unwrap_err().to_string();
    assert!(refused.starts_with("placement.enabled_filters: there is no NoSuchFilter, only RequestedDestination, "));
    assert!(Rules::default().check().is_ok());
}
