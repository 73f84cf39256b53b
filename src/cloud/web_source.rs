//! From where on the web an image may be fetched: which addresses a tenant can make this machine call.
//!
//! A machine inside a data centre that fetches what a tenant names is a way in (CVE-2026-34881). So a URI is admitted by
//! its scheme, host and port, as upstream's filters say; the host's name is resolved once, every address it has must be a
//! public one, and exactly those addresses are connected to; and after each redirection the same is asked again. Only the
//! standard notation of an address is taken for one: `2130706433`, `0x7f.1` and `0177.0.0.1` are refused as such, because
//! what reads them differently from this module would be the next hole. Pure: who resolves and connects is elsewhere.

use crate::error::{Error, Result};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use url::{Host, Url};

/// What operators allow. Where both lists of a pair are set, only the allowed one counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    pub allowed_schemes: Vec<String>,
    pub disallowed_schemes: Vec<String>,
    pub allowed_hosts: Vec<String>,
    pub disallowed_hosts: Vec<String>,
    pub allowed_ports: Vec<u16>,
    pub disallowed_ports: Vec<u16>,
    /// Ranges that aren't public and may be fetched from all the same.
    pub private_ranges: Vec<IpNet>,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            allowed_schemes: vec!["http".to_owned(), "https".to_owned()],
            disallowed_schemes: Vec::new(),
            allowed_hosts: Vec::new(),
            disallowed_hosts: Vec::new(),
            allowed_ports: vec![80, 443],
            disallowed_ports: Vec::new(),
            private_ranges: Vec::new(),
        }
    }
}

/// A URI that may be fetched from, once its host's addresses have been looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub url: Url,
    /// A name, or an address in its standard notation.
    pub host: String,
    /// Where the host is an address already.
    pub address: Option<IpAddr>,
    pub port: u16,
}

impl Filter {
    /// Reads a URI and asks the filters.
    ///
    /// # Errors
    /// `BadRequest` with upstream's sentence; which filter it was is nobody's business.
    pub fn admit(&self, uri: &str) -> Result<Source> {
        self.read(uri).ok_or_else(|| refused(uri))
    }

    fn read(&self, uri: &str) -> Option<Source> {
        let url = Url::parse(uri).ok()?;
        let is_web = matches!(url.scheme(), "http" | "https");
        if !is_web || !passes(&url.scheme().to_owned(), &self.allowed_schemes, &self.disallowed_schemes) {
            return None;
        }
        if !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        let (host, address) = match url.host()? {
            Host::Domain(name) => (name.strip_suffix('.').unwrap_or(name).to_owned(), None),
            Host::Ipv4(address) => (address.to_string(), Some(IpAddr::V4(address))),
            Host::Ipv6(address) => (address.to_string(), Some(IpAddr::V6(address))),
        };
        // What is written must be what was read: no other notation of an address, nothing that a reader put right.
        let is_v6 = matches!(address, Some(IpAddr::V6(_)));
        let written = written_host(uri)?.to_lowercase();
        let standard = if address.is_some() { written.as_str() } else { written.strip_suffix('.').unwrap_or(&written) };
        if !is_v6 && standard != host || address.is_none() && !is_name(&host) {
            return None;
        }
        if !passes(&host, &self.allowed_hosts, &self.disallowed_hosts) {
            return None;
        }
        let port = url.port_or_known_default()?;
        if !passes(&port, &self.allowed_ports, &self.disallowed_ports) {
            return None;
        }
        if address.is_some_and(|address| !self.may_connect(address)) {
            return None;
        }
        Some(Source { url, host, address, port })
    }

    /// May this machine connect to the address on a tenant's behalf?
    pub fn may_connect(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let is_banned = self.allowed_hosts.is_empty() && self.disallowed_hosts.contains(&address.to_string());
        !is_banned && (is_public(address) || self.private_ranges.iter().any(|range| range.contains(&address)))
    }

    /// The URI a redirection leads to.
    ///
    /// # Errors
    /// `BadRequest`, saying where it would have led.
    pub fn follow(&self, from: &Source, location: &str) -> Result<Source> {
        let disallowed = || Error::bad_request(format!("Redirect to disallowed URL: {location}"));
        let is_whole = location.split(['/', '?', '#']).next().is_some_and(|start| start.ends_with(':'));
        let uri =
            if is_whole { location.to_owned() } else { from.url.join(location).map_err(|_| disallowed())?.to_string() };
        self.read(&uri).ok_or_else(disallowed)
    }
}

/// What a client hears of a URI that isn't fetched.
pub fn refused(uri: &str) -> Error {
    Error::bad_request(format!("URI for web-download does not pass filtering: {uri}"))
}

fn passes<T: PartialEq>(value: &T, allowed: &[T], disallowed: &[T]) -> bool {
    if allowed.is_empty() { !disallowed.contains(value) } else { allowed.contains(value) }
}

/// Is it a name to every resolver? With an empty label (`2130706433..`) it gets past readers of URIs and may still be an
/// address, by the number in it, to the one that is asked.
fn is_name(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    !is_number && host.split('.').all(|label| !label.is_empty())
}

/// The host as it stands in the text, before anybody made an address of it.
fn written_host(uri: &str) -> Option<&str> {
    let rest = uri.trim().split_once("://")?.1;
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    Some(authority.rsplit_once(':').map_or(authority, |(host, _)| host))
}

/// Is it an address of the public internet? What isn't known to be is not.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC_V4.iter().any(|range| range.contains(&address)),
        IpAddr::V6(address) => {
            GLOBAL_V6.contains(&address) && !NOT_PUBLIC_V6.iter().any(|range| range.contains(&address))
        }
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

/// IANA's special-purpose ranges, and the one public address that a cloud gives to its metadata service.
const NOT_PUBLIC_V4: &[Ipv4Net] = &[
    v4(0, 0, 0, 0, 8),
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    v4(168, 63, 129, 16, 32),
    v4(169, 254, 0, 0, 16),
    v4(172, 16, 0, 0, 12),
    v4(192, 0, 0, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(192, 88, 99, 0, 24),
    v4(192, 168, 0, 0, 16),
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
];

const fn v6(a: u16, b: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), length)
}

const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 3);

/// Within the global range: what is special, documentation, or carries an IPv4 address inside.
const NOT_PUBLIC_V6: &[Ipv6Net] = &[v6(0x2001, 0, 23), v6(0x2001, 0xdb8, 32), v6(0x2002, 0, 16), v6(0x3fff, 0, 20)];

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(filter: &Filter, uri: &str) -> bool {
        filter.admit(uri).is_ok()
    }

    #[test]
    fn cve_2026_34881_no_notation_of_an_inner_address_is_admitted() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "2130706433..",
            "127.0.0.1..",
            "0x7f000001..",
            "0x7f000001",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "017700000001",
            "127.0.0.1.",
            "①②⑦.0.0.1",
            "0",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "169.254.169.254",
            "2852039166",
            "0xa9fea9fe",
            "168.63.129.16",
            "192.0.0.192",
            "224.0.0.1",
            "255.255.255.255",
            "[::]",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:a9fe:a9fe]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[2001:0:7f00:1::]",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "[fec0::1]",
            "[ff02::1]",
        ] {
            assert!(!admits(&Filter::default(), &format!("http://{host}/image.qcow2")), "{host}");
        }
    }

    #[test]
    fn other_notations_of_public_addresses_are_refused_too() {
        for host in ["134744072", "0x08080808", "8.8.2056", "010.010.010.010"] {
            assert!(!admits(&Filter::default(), &format!("http://{host}/")), "{host}");
        }
        for host in ["8.8.8.8", "[2600::1]", "images.example.org", "images.example.org."] {
            assert!(admits(&Filter::default(), &format!("http://{host}/")), "{host}");
        }
    }

    #[test]
    fn only_the_web_is_fetched_from_and_nobodys_password_is_sent() {
        let open = Filter { allowed_schemes: Vec::new(), allowed_ports: Vec::new(), ..Filter::default() };
        for uri in [
            "file:///etc/passwd",
            "ftp://example.org/x",
            "gopher://example.org/",
            "http://user@example.org/",
            "http://user:password@example.org/",
            "http://example.org@127.0.0.1/",
            "http:///x",
            "//example.org/",
            "example.org",
            "",
        ] {
            assert!(!admits(&open, uri), "{uri}");
        }
    }

    #[test]
    fn hosts_and_ports_pass_as_the_lists_say() {
        let filter = Filter::default();
        assert!(admits(&filter, "https://example.org:443/") && !admits(&filter, "http://example.org:8080/"));
        let filter = Filter { disallowed_hosts: vec!["evil.org".into(), "8.8.8.8".into()], ..Filter::default() };
        for (uri, expected) in [
            ("http://evil.org/", false),
            ("http://evil.org./", false),
            ("http://EVIL.org/", false),
            ("http://8.8.8.8/", false),
            ("http://good.org/", true),
        ] {
            assert_eq!(admits(&filter, uri), expected, "{uri}");
        }
        assert!(!filter.may_connect("8.8.8.8".parse().unwrap()), "a name that leads there is no way around");
        let filter =
            Filter { allowed_hosts: vec!["good.org".into()], disallowed_hosts: vec!["good.org".into()], ..filter };
        assert!(admits(&filter, "http://good.org/") && !admits(&filter, "http://other.org/"));
        let named = Filter { allowed_hosts: vec!["127.0.0.1".into()], ..Filter::default() };
        assert!(!admits(&named, "http://127.0.0.1/"), "a host's name opens no range");
    }

    #[test]
    fn a_range_that_operators_open_is_open_and_no_other() {
        let filter = Filter { private_ranges: vec!["10.1.0.0/16".parse().unwrap()], ..Filter::default() };
        assert!(admits(&filter, "http://10.1.2.3/") && admits(&filter, "http://[::ffff:10.1.2.3]/"));
        assert!(!admits(&filter, "http://10.2.0.1/") && !admits(&filter, "http://169.254.169.254/"));
    }

    #[test]
    fn a_redirection_is_judged_as_the_first_uri_was() {
        let filter = Filter::default();
        let from = filter.admit("http://example.org/a/b?c").unwrap();
        assert_eq!(filter.follow(&from, "../d").unwrap().url.as_str(), "http://example.org/d");
        assert_eq!(filter.follow(&from, "https://other.org/").unwrap().host, "other.org");
        for location in [
            "http://127.0.0.1/",
            "//127.0.0.1/",
            "//0x7f000001/",
            "http://2130706433/",
            "http://[::1]/",
            "file:///etc/passwd",
            "http:\\\\127.0.0.1\\",
            "http://example.org:22/",
        ] {
            let refused = filter.follow(&from, location).unwrap_err().to_string();
            assert_eq!(refused, format!("Redirect to disallowed URL: {location}"));
        }
    }
}
