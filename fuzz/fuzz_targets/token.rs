//! Whatever stands in X-Auth-Token: only what a key of the ring signed is a token, byte for byte.
#![no_main]

use gapura_fuzz::clock::Timestamp;
use gapura_fuzz::cloud::token::{Claims, KeyRing, LONGEST, SigningKey, kid_of};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

struct Known {
    ring: KeyRing,
    kid: String,
    token: String,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let key = SigningKey::generate().expect("the system has randomness");
    let kid = key.kid.clone();
    let ring = KeyRing::new(vec![key]).expect("there is a key");
    let claims = Claims {
        sub: "alice".into(),
        iat: 1,
        exp: 2,
        methods: vec!["password".to_owned()],
        audit_ids: vec!["a".to_owned()],
        system: None,
        domain_id: None,
        project_id: Some("p".into()),
        application_credential_id: None,
        trust_id: None,
        issued_at: Timestamp(1),
    };
    let token = ring.sign(&claims).expect("it can sign");
    Known { ring, kid, token }
});

fuzz_target!(|bytes: &[u8]| {
    let known = &*KNOWN;
    if let Ok(text) = std::str::from_utf8(bytes) {
        look(known, text);
        // A header that names our key, and then whatever; `KID` stands for its name, which no corpus can know.
        look(known, &text.replace("KID", &known.kid));
        let mut parts = known.token.split('.');
        let (head, payload) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        look(known, &format!("{head}.{text}"));
        look(known, &format!("{head}.{payload}.{text}"));
    }
    // Our own token with one byte changed: the first two bytes of the input say where and how.
    if let [at, with, ..] = bytes {
        let mut changed = known.token.clone().into_bytes();
        let at = usize::from(*at) * 3 % changed.len();
        changed[at] = *with;
        if let Ok(text) = String::from_utf8(changed) {
            look(known, &text);
        }
    }
});

fn look(known: &Known, text: &str) {
    let kid = kid_of(text);
    assert!(kid.is_none() || text.len() <= LONGEST);
    match known.ring.verify(text) {
        Ok(_) => assert_eq!(text, known.token, "only what was signed is valid"),
        Err(error) => assert_eq!(error.to_string(), "The request you have made requires authentication."),
    }
}
