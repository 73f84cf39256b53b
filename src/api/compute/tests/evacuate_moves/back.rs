//! A server is evacuated back to the host that it left, which is there again and has something of it.

use super::*;

/// It was evacuated to the second host, and the first is back, where something of it is left; now the second is given up.
async fn left_behind(shared: bool) -> Fleet {
    let sizes = [LARGE; 2];
    let cloud = if shared { Cloud::with_shared_disks(&sizes).await } else { Cloud::with_hosts(&sizes).await };
    let fleet = Fleet::over(cloud).await;
    fleet.host(0).hypervisor.set_away(true);
    fleet.site.cloud.pass_seconds(200);
    fleet.look().await;
    fleet.evacuate(json!({})).await;
    fleet.is("ACTIVE", "host-2").await;
    // It had lost its power.
    fleet.host(0).hypervisor.set_away(false);
    fleet.host(0).hypervisor.set_power(fleet.id, Power::Shutdown);
    // Once, and five times more.
    fleet.host(0).hypervisor.fail_at(Call::Remove, 6, Fault::Unavailable);
    fleet.look().await;
    for _ in 0..8 {
        fleet.site.cloud.pass_seconds(11);
        fleet.site.cloud.work().await;
    }
    let down = json!({"host": "host-2", "binary": "nova-compute", "forced_down": true});
    let path = format!("{PATH}/os-services/force-down");
    assert_eq!(at(&fleet.admin, "2.11", Method::PUT, &path, &down).await.status, 200);
    fleet
}

#[tokio::test]
async fn a_server_that_comes_back_keeps_the_disk_that_both_hosts_see_though_something_of_it_was_left() {
    let fleet = left_behind(true).await;
    fleet.evacuate(json!({})).await;
    fleet.is("ACTIVE", "host-1").await;
    assert_eq!(fleet.host(0).disks.read(fleet.id).as_deref(), Some("before"));
}

#[tokio::test]
async fn a_server_that_comes_back_to_disks_of_its_own_begins_with_its_image() {
    let fleet = left_behind(false).await;
    assert_eq!(fleet.host(0).disks.read(fleet.id).as_deref(), Some("before"));
    fleet.evacuate(json!({})).await;
    fleet.is("ACTIVE", "host-1").await;
    assert_eq!(fleet.host(0).disks.read(fleet.id), None);
}

#[tokio::test]
async fn disks_of_which_nobody_can_tell_whose_they_are_stay_until_somebody_says_it() {
    for (shared, disk) in [(true, Some("before")), (false, None)] {
        let fleet = left_behind(true).await;
        // As after an upgrade from a version that didn't say it.
        fleet.host(0).disks.is_nameless();
        fleet.evacuate(json!({})).await;
        fleet.is("ERROR", "host-2").await;
        let fault = show(&fleet.admin, fleet.id).await["fault"]["message"].clone();
        assert!(fault.as_str().unwrap().contains("whether they are its own or left from before"), "{fault}");
        assert_eq!(fleet.host(0).disks.read(fleet.id).as_deref(), Some("before"));
        fleet.after_that();
        assert_eq!(fleet.ask("2.13", json!({"evacuate": {"onSharedStorage": shared}})).await.status, 200);
        fleet.site.cloud.work().await;
        fleet.is("ACTIVE", "host-1").await;
        assert_eq!(fleet.host(0).disks.read(fleet.id).as_deref(), disk);
    }
}
