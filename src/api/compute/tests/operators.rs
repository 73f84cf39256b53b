//! What operators see and do: aggregates, zones, services, hosts by name, quotas of classes and users.

use super::*;
use http::Method;

async fn act_on(admin: &Client, id: &Value, body: Value) -> Reply {
    admin.post(&format!("{PATH}/os-aggregates/{id}/action"), body).await
}

async fn aggregate(admin: &Client, body: Value) -> Value {
    let reply = admin.post(&format!("{PATH}/os-aggregates"), json!({ "aggregate": body })).await;
    assert_eq!(reply.status, 200, "{}", reply.json());
    reply.json()["aggregate"].clone()
}

#[tokio::test]
async fn an_aggregate_with_a_zone_moves_its_hosts_there_and_servers_with_it() {
    let site = Site::new().await;
    let admin = site.cloud.admin().await;
    let made = aggregate(&admin, json!({"name": "racks", "availability_zone": "east"})).await;
    assert_eq!((&made["id"], &made["availability_zone"], made.get("hosts")), (&json!(1), &json!("east"), None));
    let elsewhere = json!({"server": {"name": "web", "imageRef": site.image.to_string(), "flavorRef": "42",
                                      "networks": [], "availability_zone": "east"}});
    let refused = admin.post(&format!("{PATH}/servers"), elsewhere.clone()).await;
    assert_eq!(refused.status, 400, "no host is in that zone yet");
    let joined = act_on(&admin, &made["id"], json!({"add_host": {"host": "host-1"}})).await;
    assert_eq!((joined.status, &joined.json()["aggregate"]["hosts"]), (200, &json!(["host-1"])));
    let again = act_on(&admin, &made["id"], json!({"add_host": {"host": "host-1"}})).await;
    assert_eq!((again.status, message(&again).as_str()), (409, "Aggregate 1 already has host host-1."));
    let zones = admin.get(&format!("{PATH}/os-availability-zone/detail")).await.json();
    assert_eq!(zones["availabilityZoneInfo"][0]["zoneName"], "east");
    assert_eq!(zones["availabilityZoneInfo"][0]["hosts"]["host-1"]["nova-compute"]["available"], true);
    let services = admin.get(&format!("{PATH}/os-services")).await.json();
    assert_eq!(services["services"][0]["zone"], "east");
    let booted = admin.post(&format!("{PATH}/servers"), elsewhere).await;
    site.cloud.work().await;
    let id = ServerId::parse(booted.json()["server"]["id"].as_str().unwrap()).unwrap();
    let shown = show(&admin, id).await;
    assert_eq!((&shown["status"], &shown["OS-EXT-AZ:availability_zone"]), (&json!("ACTIVE"), &json!("east")));
    let stays = act_on(&admin, &made["id"], json!({"remove_host": {"host": "host-1"}})).await;
    assert_eq!(stays.status, 409, "a zone does not change under servers");
    admin.delete(&format!("{PATH}/servers/{id}")).await;
    site.cloud.work().await;
    assert_eq!(admin.delete(&format!("{PATH}/os-aggregates/1")).await.status, 400, "a host is still in it");
    assert_eq!(act_on(&admin, &made["id"], json!({"remove_host": {"host": "host-1"}})).await.status, 200);
    let zones = admin.get(&format!("{PATH}/os-availability-zone")).await.json();
    assert_eq!(zones["availabilityZoneInfo"][0]["zoneName"], "nova");
    assert_eq!(admin.delete(&format!("{PATH}/os-aggregates/1")).await.status, 200);
    assert_eq!(admin.get(&format!("{PATH}/os-aggregates/1")).await.status, 404);
    let next = aggregate(&admin, json!({"name": "racks"})).await;
    assert_eq!(next["id"], 2, "a number is not given twice");
}

#[tokio::test]
async fn an_aggregate_is_renamed_given_metadata_and_refused_what_it_must_not_be() {
    let site = Site::new().await;
    let (admin, alice) = (site.cloud.admin().await, site.cloud.member("alice").await);
    let id = aggregate(&admin, json!({"name": "one"})).await["id"].clone();
    aggregate(&admin, json!({"name": "two"})).await;
    let path = format!("{PATH}/os-aggregates/{id}");
    let renamed = admin.put(&path, json!({"aggregate": {"name": " uno ", "availability_zone": "east"}})).await.json();
    assert_eq!(
        (&renamed["aggregate"]["name"], &renamed["aggregate"]["availability_zone"]),
        (&json!("uno"), &json!("east"))
    );
    let taken = admin.put(&path, json!({"aggregate": {"name": "two"}})).await;
    assert_eq!((taken.status, message(&taken).as_str()), (409, "Aggregate two already exists."));
    assert_eq!(admin.put(&path, json!({"aggregate": {}})).await.status, 400);
    let set = act_on(&admin, &id, json!({"set_metadata": {"metadata": {"ssd": "true", "gone": null}}})).await.json();
    assert_eq!(set["aggregate"]["metadata"], json!({"availability_zone": "east", "ssd": "true"}));
    let set = act_on(&admin, &id, json!({"set_metadata": {"metadata": {"ssd": null}}})).await.json();
    assert_eq!(set["aggregate"]["metadata"], json!({"availability_zone": "east"}));
    let nameless = act_on(&admin, &id, json!({"set_metadata": {"metadata": {"availability_zone": null}}})).await;
    assert_eq!(nameless.status, 400);
    let uuid = at(&admin, "2.41", Method::GET, &path, &Value::Null).await.json();
    assert_eq!(uuid["aggregate"]["uuid"].as_str().map(str::len), Some(36));
    assert_eq!(act_on(&admin, &json!(99), json!({"add_host": {"host": "host-1"}})).await.status, 404);
    let unknown = act_on(&admin, &id, json!({"add_host": {"host": "nowhere"}})).await;
    assert_eq!((unknown.status, message(&unknown).as_str()), (404, "Compute host nowhere could not be found."));
    let unknown = act_on(&admin, &id, json!({"remove_host": {"host": "host-1"}})).await;
    assert_eq!((unknown.status, message(&unknown).as_str()), (404, "Cannot remove host host-1 in aggregate 1"));
    assert_eq!(admin.get(&format!("{PATH}/os-aggregates/one")).await.status, 400);
    assert_eq!(alice.get(&format!("{PATH}/os-aggregates")).await.status, 403);
    for zone in ["a:b", "", " "] {
        let body = json!({"aggregate": {"name": "x", "availability_zone": zone}});
        assert_eq!(admin.post(&format!("{PATH}/os-aggregates"), body).await.status, 400, "{zone:?}");
    }
}

#[tokio::test]
async fn a_service_is_disabled_forced_down_and_forgotten_in_the_older_form_too() {
    let site = Site::new().await;
    let admin = site.cloud.admin().await;
    let path = format!("{PATH}/os-services");
    let body = json!({"host": "host-1", "binary": "nova-compute", "disabled_reason": "new disk"});
    let off = admin.put(&format!("{path}/disable-log-reason"), body).await.json();
    assert_eq!(
        off["service"],
        json!({"host": "host-1", "binary": "nova-compute", "status": "disabled", "disabled_reason": "new disk"})
    );
    assert_eq!(admin.get(&path).await.json()["services"][0]["disabled_reason"], "new disk");
    let names = json!({"host": "host-1", "binary": "nova-compute"});
    assert_eq!(admin.put(&format!("{path}/enable"), names.clone()).await.json()["service"]["status"], "enabled");
    assert_eq!(admin.put(&format!("{path}/force-down"), names.clone()).await.status, 404, "not before 2.11");
    let mut down = names.clone();
    down["forced_down"] = json!("true");
    let down = at(&admin, "2.11", Method::PUT, &format!("{path}/force-down"), &down).await.json();
    assert_eq!(down["service"], json!({"host": "host-1", "binary": "nova-compute", "forced_down": true}));
    assert_eq!(admin.get(&path).await.json()["services"][0]["state"], "down");
    assert_eq!(admin.put(&format!("{path}/sing"), names).await.status, 404);
    let other = json!({"host": "host-1", "binary": "nova-scheduler"});
    assert_eq!(admin.put(&format!("{path}/disable"), other).await.status, 400);
    let nowhere = json!({"host": "nowhere", "binary": "nova-compute"});
    assert_eq!(admin.put(&format!("{path}/disable"), nowhere).await.status, 404);
    assert_eq!(admin.delete(&format!("{path}/1")).await.status, 204);
    assert_eq!(admin.get(&format!("{path}?binary=nova-compute")).await.json()["services"], json!([]));
}

#[tokio::test]
async fn the_process_itself_is_scheduler_and_conductor_which_can_be_seen_and_not_switched_off() {
    let site = Site::new().await;
    let admin = site.cloud.admin().await;
    let path = format!("{PATH}/os-services");
    let of = |version: &'static str, query: &str| {
        let (admin, path) = (admin.clone(), format!("{path}{query}"));
        async move { at(&admin, version, Method::GET, &path, &Value::Null).await.json()["services"].clone() }
    };
    let all = of("2.1", "").await;
    let seen: Vec<_> =
        all.as_array().unwrap().iter().map(|s| (s["binary"].as_str().unwrap(), s["zone"].as_str().unwrap())).collect();
    let inner = [("nova-scheduler", "internal"), ("nova-conductor", "internal")];
    assert_eq!(seen, [("nova-compute", "nova"), inner[0], inner[1]]);
    let conductor = &of("2.1", "?binary=nova-conductor&host=host-1").await[0];
    assert_eq!((&conductor["state"], &conductor["status"]), (&json!("up"), &json!("enabled")));
    assert_eq!(of("2.1", "?host=moon").await, json!([]));
    let zones = admin.get(&format!("{PATH}/os-availability-zone/detail")).await.json();
    let internal = &zones["availabilityZoneInfo"][1];
    assert_eq!(internal["zoneName"], "internal");
    assert_eq!(internal["hosts"]["host-1"]["nova-scheduler"]["available"], true);
    let brief = site.cloud.member("alice").await.get(&format!("{PATH}/os-availability-zone")).await.json();
    assert_eq!(brief["availabilityZoneInfo"].as_array().unwrap().len(), 1, "nobody can ask for that zone");

    let id = |service: &Value| format!("{path}/{}", service["id"].to_string().trim_matches('"'));
    let (old, new) = (id(conductor), id(&of("2.53", "?binary=nova-conductor").await[0]));
    let off = at(&admin, "2.53", Method::PUT, &new, &json!({"status": "disabled"})).await;
    let sentence = "a nova-conductor service is not supported. Only nova-compute services can be";
    assert_eq!((off.status, message(&off)), (400, format!("Updating {sentence} updated.")));
    for (version, path) in [("2.1", old), ("2.53", new)] {
        let gone = at(&admin, version, Method::DELETE, &path, &Value::Null).await;
        assert_eq!((gone.status, message(&gone)), (400, format!("Deleting {sentence} deleted.")));
    }
}

#[tokio::test]
async fn a_service_that_hosts_servers_is_not_forgotten() {
    let site = Site::new().await;
    let admin = site.cloud.admin().await;
    site.boot(&admin, "web").await;
    let refused = admin.delete(&format!("{PATH}/os-services/1")).await;
    assert_eq!(refused.status, 409, "{}", refused.json());
    assert_eq!(admin.delete(&format!("{PATH}/os-services/9")).await.status, 404);
}

#[tokio::test]
async fn hypervisors_say_their_uptime_and_are_searched_in_the_older_form() {
    let site = Site::new().await;
    let admin = site.cloud.admin().await;
    let path = format!("{PATH}/os-hypervisors");
    let uptime = admin.get(&format!("{path}/1/uptime")).await.json();
    assert!(uptime["hypervisor"]["uptime"].as_str().unwrap().contains("load average"), "{uptime}");
    assert_eq!(admin.get(&format!("{path}/7/uptime")).await.status, 404);
    assert_eq!(
        admin.get(&format!("{path}/host/search")).await.json()["hypervisors"][0]["hypervisor_hostname"],
        "host-1"
    );
    assert_eq!(admin.get(&format!("{path}/moon/search")).await.status, 404);
    let empty = admin.get(&format!("{path}/host/servers")).await.json();
    assert_eq!(empty["hypervisors"][0].get("servers"), None);
    let id = site.boot(&admin, "web").await;
    let full = admin.get(&format!("{path}/host/servers")).await.json();
    assert_eq!(full["hypervisors"][0]["servers"][0]["uuid"], id.to_string());
    assert_eq!(at(&admin, "2.53", Method::GET, &format!("{path}/host/search"), &Value::Null).await.status, 404);
    let newest = at(&admin, "2.88", Method::GET, &format!("{path}/detail"), &Value::Null).await.json();
    assert!(newest["hypervisors"][0]["uptime"].is_string() && newest["hypervisors"][0].get("vcpus").is_none());
}

#[tokio::test]
async fn hosts_by_name_are_there_until_2_43() {
    let site = Site::new().await;
    let admin = site.cloud.admin().await;
    let path = format!("{PATH}/os-hosts");
    site.boot(&admin, "web").await;
    assert_eq!(
        admin.get(&path).await.json(),
        json!({"hosts": [{"host_name": "host-1", "service": "compute", "zone": "nova"},
                         {"host_name": "host-1", "service": "scheduler", "zone": "internal"},
                         {"host_name": "host-1", "service": "conductor", "zone": "internal"}]})
    );
    assert_eq!(admin.get(&format!("{path}?zone=internal")).await.json()["hosts"].as_array().unwrap().len(), 2);
    assert_eq!(admin.get(&format!("{path}?zone=moon")).await.json(), json!({"hosts": []}));
    let one = admin.get(&format!("{path}/host-1")).await.json();
    let projects: Vec<&str> =
        one["host"].as_array().unwrap().iter().map(|share| share["resource"]["project"].as_str().unwrap()).collect();
    assert_eq!(projects, ["(total)", "(used_now)", "(used_max)", admin.project_id.as_str()]);
    assert_eq!(one["host"][3]["resource"]["memory_mb"], 192);
    let off = admin.put(&format!("{path}/host-1"), json!({"status": "disable"})).await.json();
    assert_eq!(off, json!({"host": "host-1", "status": "disabled"}));
    assert_eq!(admin.get(&format!("{path}?zone=nova")).await.json(), json!({"hosts": []}));
    assert_eq!(admin.put(&format!("{path}/host-1"), json!({})).await.status, 400);
    assert_eq!(admin.put(&format!("{path}/host-1"), json!({"maintenance_mode": "enable"})).await.status, 501);
    assert_eq!(admin.get(&format!("{path}/host-1/reboot")).await.status, 501);
    assert_eq!(admin.get(&format!("{path}/moon/reboot")).await.status, 404);
    assert_eq!(at(&admin, "2.43", Method::GET, &path, &Value::Null).await.status, 404);
}

#[tokio::test]
async fn a_class_named_default_is_what_every_project_may_hold() {
    let site = Site::new().await;
    let (admin, alice) = (site.cloud.admin().await, site.cloud.member("alice").await);
    let class = format!("{PATH}/os-quota-class-sets/default");
    let shown = admin.get(&class).await.json();
    assert_eq!((&shown["quota_class_set"]["id"], &shown["quota_class_set"]["cores"]), (&json!("default"), &json!(20)));
    assert_eq!(shown["quota_class_set"].get("server_groups"), None, "not before 2.50");
    let changed = admin.put(&class, json!({"quota_class_set": {"instances": 1, "key_pairs": 0}})).await.json();
    assert_eq!((&changed["quota_class_set"]["instances"], changed["quota_class_set"].get("id")), (&json!(1), None));
    let quotas = format!("{PATH}/os-quota-sets/{}", alice.project_id);
    assert_eq!(alice.get(&quotas).await.json()["quota_set"]["instances"], 1);
    assert_eq!(alice.get(&format!("{quotas}/defaults")).await.json()["quota_set"]["instances"], 1);
    site.boot(&alice, "one").await;
    assert_eq!(alice.post(&format!("{PATH}/servers"), site.wish("two")).await.status, 403);
    let key = json!({"keypair": {"name": "mine"}});
    assert_eq!(alice.post(&format!("{PATH}/os-keypairs"), key).await.status, 403);
    assert_eq!(alice.get(&class).await.status, 403);
    let newer = at(&admin, "2.57", Method::GET, &class, &Value::Null).await.json();
    assert_eq!(newer["quota_class_set"]["server_groups"], 10);
    assert_eq!(newer["quota_class_set"].get("injected_files"), None);
}

#[tokio::test]
async fn a_user_may_be_given_less_than_the_project() {
    let site = Site::new().await;
    let (admin, alice) = (site.cloud.admin().await, site.cloud.member("alice").await);
    let quotas = format!("{PATH}/os-quota-sets/{}", alice.project_id);
    let own = format!("{quotas}?user_id={}", alice.user_id);
    let given = admin.put(&own, json!({"quota_set": {"instances": 1}})).await;
    assert_eq!((given.status, &given.json()["quota_set"]["instances"]), (200, &json!(1)));
    assert_eq!(admin.get(&quotas).await.json()["quota_set"]["instances"], 10, "the project's stays");
    site.boot(&alice, "one").await;
    let refused = alice.post(&format!("{PATH}/servers"), site.wish("two")).await;
    assert_eq!(
        (refused.status, message(&refused).as_str()),
        (403, "Quota exceeded for instances: Requested 1, but already used 1 of 1 instances")
    );
    let detail = admin.get(&format!("{quotas}/detail?user_id={}", alice.user_id)).await.json();
    assert_eq!(detail["quota_set"]["instances"], json!({"limit": 1, "in_use": 1, "reserved": 0}));
    let above = admin.put(&own, json!({"quota_set": {"instances": 11}})).await;
    assert_eq!(
        (above.status, message(&above).as_str()),
        (400, "Quota limit 11 for instances must be less than or equal to 10.")
    );
    let below = admin.put(&own, json!({"quota_set": {"instances": 0}})).await;
    assert_eq!(below.status, 400);
    let forced = admin.put(&own, json!({"quota_set": {"instances": 11, "force": true}})).await;
    assert_eq!(forced.status, 200, "{}", forced.json());
    assert_eq!(admin.delete(&own).await.status, 202);
    assert_eq!(admin.get(&own).await.json()["quota_set"]["instances"], 10);
}

#[tokio::test]
async fn work_asked_for_while_a_server_is_being_deleted_ends_with_it() {
    let site = Site::new().await;
    let (admin, alice) = (site.cloud.admin().await, site.cloud.member("alice").await);
    let id = site.boot(&alice, "web").await;
    assert_eq!(alice.delete(&format!("{PATH}/servers/{id}")).await.status, 204);
    site.cloud.pass_seconds(1);
    // Upstream looks at no state before it takes this on.
    assert_eq!(act(&admin, id, json!({"injectNetworkInfo": null})).await.status, 202);
    site.cloud.work().await;
    assert_eq!(alice.get(&format!("{PATH}/servers/{id}")).await.status, 404);
    let is_open = move |tx: &mut crate::store::Tx| crate::store::tasks::any_open(tx, &id.to_string());
    assert!(!site.cloud.state.db.read(is_open).await.unwrap(), "nothing is tried for ever");
    assert_nothing_left(&site, id).await;
}

/// Two hosts and a server on each, which an administrator asked for by the host's name.
async fn two_hosts() -> (Site, Client, [ServerId; 2]) {
    let site = Site::over(Cloud::with_hosts(&[(8, 16 * 1024), (4, 8 * 1024)]).await).await;
    let admin = site.cloud.admin().await;
    let mut made = Vec::new();
    for name in ["host-1", "host-2"] {
        let mut wish = site.wish(name);
        wish["server"]["availability_zone"] = json!(format!("nova:{name}"));
        let reply = admin.post(&format!("{PATH}/servers"), wish).await;
        assert_eq!(reply.status, 202, "{}", reply.json());
        made.push(ServerId::parse(reply.json()["server"]["id"].as_str().unwrap()).unwrap());
    }
    site.cloud.work().await;
    let servers = [made[0], made[1]];
    (site, admin, servers)
}

#[tokio::test]
async fn a_server_goes_to_the_host_that_an_administrator_names_in_each_of_the_ways_there_are() {
    let (site, admin, [one, two]) = two_hosts().await;
    let [first, second] = [&site.cloud.hosts[0], &site.cloud.hosts[1]];
    assert!(first.hypervisor.spec(one).is_some() && second.hypervisor.spec(two).is_some());
    assert!(first.hypervisor.spec(two).is_none() && second.hypervisor.spec(one).is_none());
    for at_it in [
        json!({"availability_zone": "nova:host-2:host-2"}),
        json!({"availability_zone": "nova::host-2"}),
        json!({"host": "host-2"}),
        json!({"hypervisor_hostname": "host-2"}),
    ] {
        let mut wish = site.wish("named");
        wish["server"].as_object_mut().unwrap().extend(at_it.as_object().unwrap().clone());
        let reply = at(&admin, "2.74", Method::POST, &format!("{PATH}/servers"), &wish).await;
        assert_eq!(reply.status, 202, "{at_it}: {}", reply.json());
        site.cloud.work().await;
        let id = ServerId::parse(reply.json()["server"]["id"].as_str().unwrap()).unwrap();
        let shown = show(&admin, id).await;
        assert_eq!(shown["OS-EXT-SRV-ATTR:host"], "host-2", "{at_it}");
        assert_eq!(shown["OS-EXT-SRV-ATTR:hypervisor_hostname"], "host-2", "{at_it}");
    }
}

#[tokio::test]
async fn each_of_several_hosts_is_listed_with_what_is_on_it_and_none_with_what_is_on_another() {
    let (_site, admin, [one, two]) = two_hosts().await;
    let services = admin.get(&format!("{PATH}/os-services?binary=nova-compute")).await.json();
    let listed: Vec<_> = services["services"].as_array().unwrap().iter().map(|s| (&s["id"], &s["host"])).collect();
    assert_eq!(listed, [(&json!(1), &json!("host-1")), (&json!(2), &json!("host-2"))]);
    let path = format!("{PATH}/os-hypervisors/detail?with_servers=true");
    let found = at(&admin, "2.53", Method::GET, &path, &Value::Null).await.json()["hypervisors"].clone();
    for (index, (vcpus, server)) in [(8, one), (4, two)].into_iter().enumerate() {
        assert_eq!((&found[index]["vcpus"], &found[index]["vcpus_used"]), (&json!(vcpus), &json!(1)));
        assert_eq!((&found[index]["running_vms"], &found[index]["memory_mb_used"]), (&json!(1), &json!(192)));
        let named: Vec<&Value> = found[index]["servers"].as_array().unwrap().iter().map(|s| &s["uuid"]).collect();
        assert_eq!(named, [&json!(server.to_string())]);
    }
    let sums = admin.get(&format!("{PATH}/os-hypervisors/statistics")).await.json()["hypervisor_statistics"].clone();
    assert_eq!((&sums["count"], &sums["vcpus"], &sums["running_vms"]), (&json!(2), &json!(12), &json!(2)));
    let older = admin.get(&format!("{PATH}/os-hosts/host-2")).await.json();
    assert_eq!(older["host"][0]["resource"]["cpu"], 4);
    assert_eq!(older["host"][2]["resource"]["memory_mb"], 192);
    let second = admin.get(&format!("{PATH}/os-hypervisors/2")).await.json();
    assert_eq!(second["hypervisor"]["hypervisor_hostname"], "host-2");
    assert_eq!(admin.get(&format!("{PATH}/os-hypervisors/3")).await.status, 404);
    assert_eq!(admin.get(&format!("{PATH}/os-hypervisors/two")).await.status, 404);
}

#[tokio::test]
async fn a_host_keeps_its_number_when_one_before_it_is_forgotten() {
    let site = Site::over(Cloud::with_hosts(&[(4, 4096), (4, 4096), (4, 4096)]).await).await;
    let admin = site.cloud.admin().await;
    assert_eq!(admin.delete(&format!("{PATH}/os-services/2")).await.status, 204);
    let numbers = |reply: Value| -> Vec<(Value, Value)> {
        let services = reply["services"].as_array().unwrap().iter();
        services.map(|service| (service["id"].clone(), service["host"].clone())).collect()
    };
    let listed = numbers(admin.get(&format!("{PATH}/os-services?binary=nova-compute")).await.json());
    assert_eq!(listed, [(json!(1), json!("host-1")), (json!(3), json!("host-3"))]);
    site.cloud.reconcile().await;
    let listed = numbers(admin.get(&format!("{PATH}/os-services?binary=nova-compute")).await.json());
    assert_eq!(listed[2], (json!(4), json!("host-2")), "found again as new");
}

#[tokio::test]
async fn a_host_that_is_away_is_down_and_the_others_are_not() {
    let (site, admin, [one, two]) = two_hosts().await;
    site.cloud.hosts[0].hypervisor.set_away(true);
    site.cloud.pass_seconds(200);
    site.cloud.reconcile().await;
    let services = admin.get(&format!("{PATH}/os-services")).await.json();
    assert_eq!((&services["services"][0]["state"], &services["services"][1]["state"]), (&json!("down"), &json!("up")));
    let reply = at(&admin, "2.16", Method::GET, &format!("{PATH}/servers/{one}"), &Value::Null).await.json();
    assert_eq!(reply["server"]["host_status"], "UNKNOWN");
    let reply = at(&admin, "2.16", Method::GET, &format!("{PATH}/servers/{two}"), &Value::Null).await.json();
    assert_eq!(reply["server"]["host_status"], "UP");
    let next = site.boot(&admin, "next").await;
    assert_eq!(show(&admin, next).await["OS-EXT-SRV-ATTR:host"], "host-2");
}

#[tokio::test]
async fn a_hypervisor_is_where_its_machine_takes_orders_or_else_where_hosts_send_what_is_between_them() {
    let (site, admin, _) = two_hosts().await;
    let [one, two] = [0, 1].map(|index: usize| site.cloud.hosts[index].id);
    let ips = || async {
        let found =
            at(&admin, "2.53", Method::GET, &format!("{PATH}/os-hypervisors/detail"), &Value::Null).await.json();
        let shown = at(&admin, "2.53", Method::GET, &format!("{PATH}/os-hypervisors/{two}"), &Value::Null).await.json();
        let of = |hypervisor: &Value| hypervisor["host_ip"].as_str().unwrap().to_owned();
        assert_eq!(of(&found["hypervisors"][1]), of(&shown["hypervisor"]), "a list says the same");
        [of(&found["hypervisors"][0]), of(&found["hypervisors"][1])]
    };
    assert_eq!(ips().await, ["127.0.0.1", "127.0.0.1"], "nobody else reaches hosts that say nothing");
    let tell = move |tx: &mut crate::store::Tx| {
        for (host, address) in [(one, "192.0.2.1"), (two, "192.0.2.2")] {
            crate::store::network_hosts::is_at(tx, host, address.parse().ok())?;
        }
        Ok(())
    };
    site.cloud.state.db.write(tell).await.unwrap();
    assert_eq!(ips().await, ["192.0.2.1", "192.0.2.2"]);
    let join = move |tx: &mut crate::store::Tx| {
        tx.execute(
            "INSERT INTO nodes (host_id, name, machine, address, certificate, version, joined_at)
             VALUES (?1, 'host-2', 'm', '[2001:db8::2]:5010', 'c', 'v', 1)",
            args![two],
        )
    };
    site.cloud.state.db.write(join).await.unwrap();
    assert_eq!(ips().await, ["192.0.2.1", "2001:db8::2"]);
}
