//! DHCP clients that others wrote, and a machine: each must come up on exactly its port's address.
//!
//! A client that is not installed is skipped, and says so. The machine needs QEMU and the image that `etc/guest/build.sh`
//! makes, named by `GAPURA_TEST_GUEST`.

use super::guest::Guest;
use super::host::{attempt, pings, sh};
use super::{A, fabric, network, outside};
use gapura::fabric::{Fabric, NetworkWish, tap_name};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Does the program run at all?
fn is_there(program: &str, test: &str) -> bool {
    let found = Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        eprintln!("SKIPPED {test}: {program} is not installed");
    }
    found
}

on_own_host! { "fabric::clients::"
    async fn busybox_takes_everything_it_is_told() {
        if !is_there("busybox", "busybox_takes_everything_it_is_told") {
            return;
        }
        let fabric = fabric();
        let bridge = fabric.ensure(&network(&[A])).await.unwrap();
        let _guest = Guest::plug("a", &bridge, A);
        let told = learn("udhcpc", "busybox udhcpc -i eth0 -f -q -n -t 3 -T 1 -O staticroutes -O mtu -O hostname -O domain -s");
        for line in [
            "ip=10.0.0.5",
            "mask=24",
            "router=10.0.0.1",
            "dns=10.0.0.1",
            "serverid=10.0.0.1",
            "hostname=host-10-0-0-5",
            "domain=openstacklocal",
            "mtu=1450",
            "lease=86400",
            "staticroutes=169.254.169.254/32 10.0.0.1 0.0.0.0/0 10.0.0.1",
        ] {
            assert!(told.lines().any(|said| said == line), "{line} is not in\n{told}");
        }
    }

    async fn dhclient_takes_its_address() {
        if !is_there("dhclient", "dhclient_takes_its_address") {
            return;
        }
        let fabric = fabric();
        let bridge = fabric.ensure(&network(&[A])).await.unwrap();
        let _guest = Guest::plug("a", &bridge, A);
        let told = learn("dhclient", "timeout 20 dhclient -4 -d -1 -lf /dev/null -pf /dev/null eth0 -sf");
        assert!(told.lines().any(|said| said == "new_ip_address=10.0.0.5"), "{told}");
        assert!(told.lines().any(|said| said == "new_subnet_mask=255.255.255.0"), "{told}");
    }

    async fn a_machine_comes_up_on_its_address() {
        let Ok(image) = std::env::var("GAPURA_TEST_GUEST") else {
            eprintln!("SKIPPED a_machine_comes_up_on_its_address: GAPURA_TEST_GUEST names no guest");
            return;
        };
        outside();
        let fabric = fabric();
        let wish = NetworkWish { routed_to_host: true, ..network(&[A]) };
        let bridge = fabric.ensure(&wish).await.unwrap();
        let tap = tap_name(wish.ports[0].id);
        sh(&format!("ip tuntap add dev {tap} mode tap"));
        sh(&format!("ip link set dev {tap} mtu 1450 master {bridge} up"));
        let mut machine = Machine(Command::new("qemu-system-x86_64")
            .args(["-accel", "tcg", "-m", "256", "-nodefaults", "-display", "none", "-serial", "stdio"])
            .args(["-drive", &format!("file={image},format=qcow2,if=virtio,snapshot=on")])
            .args(["-netdev", &format!("tap,id=n,ifname={tap},script=no,downscript=no")])
            .args(["-device", &format!("virtio-net-pci,netdev=n,mac={A},romfile=")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap());
        let mut console = BufReader::new(machine.0.stdout.take().unwrap()).lines();
        let came_up = console.find_map(|line| line.ok().filter(|line| line.contains("GUEST: dhcp")));
        assert_eq!(came_up.unwrap().trim(), "GUEST: dhcp eth0 10.0.0.5/24 gateway 10.0.0.1");
        assert!(pings("10.0.0.5"));
    }
}

/// Ends with the test, however that ends.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a client in the guest with a script that writes down what it is told.
fn learn(client: &str, command: &str) -> String {
    let place = std::env::temp_dir().join(format!("gapura-{client}-{}", std::process::id()));
    let (script, told) = (place.with_extension("sh"), place.with_extension("told"));
    std::fs::write(&script, format!("#!/bin/sh\nset >> {}\n", told.display())).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    let (_, output) = attempt(&format!("ip netns exec a {command} {}", script.display()));
    let learned = read_unquoted(&told);
    for file in [&script, &told] {
        let _ = std::fs::remove_file(file);
    }
    learned + &output
}

fn read_unquoted(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_default().replace('\'', "")
}
