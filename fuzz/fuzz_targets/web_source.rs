//! Whatever URI a tenant names, or a server redirects to: what is admitted is the web's, at a port that is allowed, and never
//! an inner address.
#![no_main]

use gapura_fuzz::cloud::web_source::{Filter, Source};
use libfuzzer_sys::fuzz_target;

fn hold(source: &Source, filter: &Filter) {
    assert!(matches!(source.url.scheme(), "http" | "https"));
    assert!(source.url.username().is_empty() && source.url.password().is_none());
    assert!(filter.allowed_ports.contains(&source.port));
    assert!(source.address.is_none_or(|address| filter.may_connect(address)));
    // No name that a resolver would read as an address in a notation of its own.
    let last = source.host.rsplit('.').next().unwrap_or_default();
    let is_number = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    assert!(source.address.is_some() || !is_number, "{}", source.host);
}

fuzz_target!(|text: &str| {
    let filter = Filter::default();
    if let Ok(source) = filter.admit(text) {
        hold(&source, &filter);
    }
    let from = filter.admit("https://images.example.org/a/b").expect("a public name is admitted");
    if let Ok(source) = filter.follow(&from, text) {
        hold(&source, &filter);
    }
});
