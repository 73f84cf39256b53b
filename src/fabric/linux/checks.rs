//! What about this host would keep networks from working, in words an operator can act on.

use super::command;
use serde_json::Value;
use std::fs;

/// Something about the host that an operator should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Networks don't work until it is mended.
    Broken,
    /// Worth knowing.
    Note,
}

/// Looks at the host and changes nothing.
pub fn checks() -> Vec<Finding> {
    let mut findings = vec![];
    let mut find = |severity, text: String| findings.push(Finding { severity, text });
    if !may_administer() {
        find(
            Severity::Broken,
            "Networks need CAP_NET_ADMIN and CAP_SYS_ADMIN; this process lacks one of them.".to_owned(),
        );
    }
    if let Err(error) = command::ip(&["-V"]) {
        find(Severity::Broken, format!("iproute2 does not run: {}", crate::error::with_causes(&error)));
    }
    let filtered = fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables").is_ok_and(|on| on.trim() == "1");
    match command::nft_json::<Value>(&["list", "chains"]) {
        Err(error) => find(Severity::Broken, format!("nftables do not run: {}", crate::error::with_causes(&error))),
        Ok(listed) => {
            for chain in dropping_forward_chains(&listed) {
                let reach = if filtered {
                    "guests' frames on bridges included (br_netfilter is on), DHCP too"
                } else {
                    "guests' way to the outside included"
                };
                find(
                    Severity::Broken,
                    format!(
                        "Chain {chain} drops what it does not accept, {reach}. Let interfaces gbr* and gup* pass it."
                    ),
                );
            }
        }
    }
    if fs::read_to_string("/proc/sys/net/ipv4/ip_forward").is_ok_and(|on| on.trim() == "0") {
        find(
            Severity::Note,
            "net.ipv4.ip_forward is off; it will be turned on with the first network that leads outside.".to_owned(),
        );
    }
    findings
}

/// Do this process's effective capabilities hold network and system administration?
pub fn may_administer() -> bool {
    const NEEDED: u64 = 1 << 12 | 1 << 21; // CAP_NET_ADMIN, CAP_SYS_ADMIN
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).is_some_and(|bits| bits & NEEDED == NEEDED)
}

/// Base chains on the forward hook whose policy is to drop, as `nft --json list chains` shows them.
fn dropping_forward_chains(listed: &Value) -> Vec<String> {
    let chains = listed["nftables"].as_array().into_iter().flatten().filter_map(|object| object.get("chain"));
    chains
        .filter(|chain| chain["hook"] == "forward" && chain["policy"] == "drop")
        .filter(|chain| matches!(chain["family"].as_str(), Some("ip" | "inet" | "bridge")))
        .map(|chain| {
            [&chain["family"], &chain["table"], &chain["name"]].map(|part| part.as_str().unwrap_or("?")).join(" ")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_forward_chain_that_drops_is_found() {
        let listed = json!({"nftables": [
            {"metainfo": {"version": "1.0.6"}},
            {"chain": {"family": "ip", "table": "filter", "name": "FORWARD", "hook": "forward", "policy": "drop"}},
            {"chain": {"family": "ip", "table": "filter", "name": "INPUT", "hook": "input", "policy": "drop"}},
            {"chain": {"family": "inet", "table": "other", "name": "fwd", "hook": "forward", "policy": "accept"}},
        ]});
        assert_eq!(dropping_forward_chains(&listed), ["ip filter FORWARD"]);
    }
}
