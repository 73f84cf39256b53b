//! Whatever a client sends at the edge: body, query and version headers are understood or refused in a sentence.
#![no_main]

use gapura_fuzz::http::call::{BodyFault, FromBody};
use gapura_fuzz::http::json::{Between, FlexibleBool, Map, Maybe, Text, python_repr};
use gapura_fuzz::http::microversion::{Axis, Microversion, Wording};
use gapura_fuzz::http::query::Query;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

gapura_fuzz::versioned! {
    request Inner strict {
        "name" required            => name: Text<1, 5>,
        "networks" required_since(37) => networks: Option<Vec<String>>,
        "tags" since(52)           => tags: Option<Vec<String>>,
        "locked" until(50)         => locked: Option<FlexibleBool>,
        "count"                    => count: Maybe<Between<1, 10>>,
    }
}

gapura_fuzz::versioned! {
    request Outer open {
        "server" required => server: Inner,
        "image"           => image: Maybe<Between<-5, 5>>;
        flatten           => extra
    }
}

const NOVA: Axis = Axis {
    service_type: "compute",
    legacy_header: Some("x-openstack-nova-api-version"),
    major: 2,
    min: Microversion(1),
    max: Microversion(96),
    strict_queries: Microversion::ANY,
    wording: Wording::Nova,
};

fuzz_target!(|bytes: &[u8]| {
    body(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        query(text);
    }
    version(bytes);
});

fn body(bytes: &[u8]) {
    for version in [Microversion(1), Microversion(37), Microversion(52), Microversion(96), Microversion::ANY] {
        match Outer::from_bytes(bytes, version) {
            Ok(outer) => {
                assert!((1..=5).contains(&outer.server.name.0.chars().count()));
                assert!(!matches!(&outer.server.count, Maybe::Given(count) if !(1..=10).contains(&count.0)));
                assert!(version.0 >= 52 || outer.server.tags.is_none());
                assert!(!outer.extra.contains_key("server"));
            }
            Err(BodyFault::Invalid(invalid)) => assert!(!invalid.reason.is_empty()),
            Err(BodyFault::NotJson(why)) => {
                assert!(!why.is_empty());
            }
        }
    }
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(bytes) {
        assert!(!python_repr(&value).is_empty());
        if let Ok(map) = serde_json::from_value::<Map>(value) {
            drop(map);
        }
    }
}

fn query(text: &str) {
    let query = Query::parse(text);
    for (name, value) in query.iter() {
        assert!(query.has(name) && query.all(name).any(|one| one == value));
    }
    // What a next link carries is read back as it was.
    let again = Query::parse(&query.with(&[("marker", "a b&c=d")]));
    assert_eq!(again.all("marker").collect::<Vec<_>>(), ["a b&c=d"]);
    assert_eq!(Query::parse(&again.with(&[])), again);
}

fn version(bytes: &[u8]) {
    for part in bytes.split(|byte| *byte == b'\n').take(3) {
        let Ok(value) = HeaderValue::from_bytes(part) else { continue };
        for name in ["openstack-api-version", "x-openstack-nova-api-version"] {
            let mut headers = HeaderMap::new();
            headers.append(name, value.clone());
            if let Ok(version) = NOVA.negotiate(&headers) {
                assert!((NOVA.min..=NOVA.max).contains(&version));
                let mut answer = HeaderMap::new();
                NOVA.echo(version, &mut answer);
                assert_eq!(NOVA.negotiate(&answer).ok(), Some(version), "what is answered can be asked");
            }
        }
    }
}
