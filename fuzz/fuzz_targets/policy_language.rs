//! Whatever an operator writes into policy.yaml: an error that names the rule, or a rule that is sound. Asked about
//! anybody, a sound rule answers; what it grants nowhere in particular it grants everywhere; and what it never could
//! grant it grants for no target.
#![no_main]

use gapura_fuzz::cloud::policy::{Credentials, Policy, Reach, Target};
use libfuzzer_sys::fuzz_target;
use std::collections::HashMap;

const DEFAULTS: [(&str, &str); 3] =
    [("admin", "role:admin"), ("owner", "project_id:%(project_id)s"), ("admin_or_owner", "rule:admin or rule:owner")];

fn somebody(roles: &[&str], project: Option<&str>) -> Credentials {
    Credentials {
        user_id: "u".to_owned(),
        user_domain_id: "default".to_owned(),
        project_id: project.map(str::to_owned),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        ..Credentials::default()
    }
}

fuzz_target!(|text: &str| {
    // Two rules in one text, so that they can refer to each other.
    let (first, second) = text.split_once('\n').unwrap_or((text, "!"));
    let overrides = HashMap::from([("x".to_owned(), first.to_owned()), ("y".to_owned(), second.to_owned())]);
    let policy = match Policy::new(DEFAULTS, &overrides) {
        Ok(policy) => policy,
        Err(error) => {
            assert!(error.to_string().contains("policy rule"), "{error}");
            return;
        }
    };
    let home = Target::new().with("project_id", "p").with("user_id", "u").with("domain_id", "default");
    let away = Target::new().with("project_id", "other").with_option("user_id", None::<String>);
    for who in [somebody(&[], None), somebody(&["reader"], Some("p")), somebody(&["admin", "Member"], Some("p"))] {
        for rule in ["x", "y", "admin_or_owner"] {
            let reach = policy.reach(rule, &who);
            assert!(!matches!(&reach, Some(Reach::Project(project)) if Some(project.as_str()) != who.project_id.as_deref()));
            assert!(!matches!(&reach, Some(Reach::User(user)) if user.as_str() != who.user_id));
            if !policy.might_allow(rule, &who) {
                assert!(!policy.allows(rule, &who, &home) && !policy.allows(rule, &who, &away), "{rule}: {text:?}");
            }
        }
        assert_eq!(policy.allows("admin_or_owner", &who, &away), who.roles.iter().any(|role| role == "admin"));
        assert!(!policy.allows("not there", &who, &home));
    }
});
