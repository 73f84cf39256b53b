//! `gapura doctor` calls broken what is broken, and only that.

use crate::cloud::Cloud;
use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

/// What the doctor says, and whether all is well.
fn doctor(cloud: &Cloud) -> (bool, String) {
    let output = cloud.run(&["doctor"]);
    assert!(output.status.code().is_some_and(|code| code < 2), "{output:?}");
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

/// The only thing broken, with its line of advice.
fn ailment(cloud: &Cloud) -> String {
    let (is_well, said) = doctor(cloud);
    assert!(!is_well, "{said}");
    let lines: Vec<&str> = said.lines().collect();
    let broken: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].starts_with("BROKEN")).collect();
    assert_eq!(broken.len(), 1, "{said}");
    assert!(said.ends_with("1 broken\n"), "{said}");
    format!("{} {}", lines[broken[0]], lines[broken[0] + 1].trim())
}

#[test]
fn a_good_cloud_is_well_at_rest_and_serving() {
    let mut cloud = Cloud::new();
    cloud.init();
    let (is_well, said) = doctor(&cloud);
    assert!(is_well && said.contains("is free to listen on") && !said.contains("BROKEN"), "{said}");
    cloud.start();
    let (is_well, said) = doctor(&cloud);
    assert!(is_well && said.contains("Gapura answers at"), "{said}");
}

#[test]
fn a_cloud_that_was_never_made_is_broken() {
    let cloud = Cloud::new();
    let (is_well, said) = doctor(&cloud);
    assert!(!is_well && said.contains("BROKEN") && said.contains("Run `gapura init`"), "{said}");
    assert!(!cloud.state_dir().exists(), "the doctor changes nothing");
}

#[test]
fn a_port_that_another_program_has_is_broken() {
    let cloud = Cloud::new();
    cloud.init();
    let _other = TcpListener::bind(cloud.address).unwrap();
    // It hangs up without a word, as what is no HTTP server may.
    let taken = ailment(&cloud);
    assert!(taken.contains("is taken by another program") && taken.contains("`listen`"), "{taken}");
}

#[test]
fn passwords_that_everybody_may_read_are_broken() {
    let cloud = Cloud::new();
    cloud.init();
    let path = cloud.state_dir().join("clouds.yaml");
    std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let open = ailment(&cloud);
    assert!(open.contains("clouds.yaml") && open.contains("chmod 600"), "{open}");
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    assert!(doctor(&cloud).0, "the advice helps");
}

#[test]
fn a_libvirt_that_does_not_answer_is_broken() {
    let mut cloud = Cloud::new();
    cloud.set("HYPERVISOR", "qemu+unix:///system?socket=/nowhere/libvirt-sock").set("NETWORK__FABRIC", "simulated");
    cloud.init();
    let away = ailment(&cloud);
    assert!(away.contains("does not answer") && away.contains("/nowhere/libvirt-sock"), "{away}");
}
