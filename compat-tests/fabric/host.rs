//! A host of the test's own: network and mount namespaces in which it may do as it likes.
//!
//! The test binary starts itself again under `unshare`, for one test; whatever that test leaves is gone with its process,
//! and the machine's own networking is never touched.

use gapura::fabric::linux::may_administer;
use std::future::Future;
use std::process::{Command, Stdio};

/// Tests that each run on a host of their own; first the path of the module they are in.
macro_rules! on_own_host {
    ($module:literal $(async fn $name:ident() $body:block)*) => {$(
        #[test]
        fn $name() {
            $crate::fabric::host::run(concat!($module, stringify!($name)), || async $body);
        }
    )*};
}

const INSIDE: &str = "GAPURA_TEST_HOST";

/// Runs the test's body on a host of its own. `name` is the test's path in this binary.
pub fn run<F: Future<Output = ()>>(name: &str, body: impl FnOnce() -> F) {
    if !may_administer() {
        eprintln!("SKIPPED {name}: it needs root (CAP_NET_ADMIN and CAP_SYS_ADMIN)");
        return;
    }
    if std::env::var_os(INSIDE).is_some() {
        prepare();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        return runtime.block_on(body());
    }
    let own = std::env::current_exe().unwrap();
    let status = Command::new("unshare")
        .args(["--net", "--mount", "--"])
        .arg(own)
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{name} failed on its host; see above");
}

fn prepare() {
    std::fs::create_dir_all("/run/netns").unwrap();
    sh("mount -t tmpfs tmpfs /run/netns");
    sh("mount -t sysfs sysfs /sys");
    sh("ip link set lo up");
}

/// Runs a command line, split at spaces; panics with its words when it fails.
pub fn sh(line: &str) -> String {
    let (done, output) = attempt(line);
    assert!(done, "{line}: {output}");
    output
}

/// Runs a command line and says whether it succeeded.
pub fn attempt(line: &str) -> (bool, String) {
    let mut words = line.split(' ');
    let output =
        Command::new(words.next().unwrap()).args(words).stdin(Stdio::null()).env("LC_ALL", "C").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

/// Does the host get an echo?
pub fn pings(address: &str) -> bool {
    attempt(&format!("ping -n -c 1 -i 0.2 -w 2 {address}")).0
}

/// Everything a network could leave behind, as text to compare.
pub fn inventory() -> String {
    let links = sh("ip -br link");
    let mut names: Vec<_> = links.lines().filter_map(|line| line.split_whitespace().next()).collect();
    names.sort_unstable();
    [&names.join("\n"), &sh("ip netns"), &sh("nft list tables"), &sh("ip -4 route show table all"), &sh("ip rule")]
        .map(String::as_str)
        .join("\n--\n")
}
