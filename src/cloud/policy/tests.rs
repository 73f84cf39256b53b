use super::*;

const RULES: &[(&str, &str)] = &[
    ("admin_required", "role:admin or is_admin:1"),
    ("project_reader", "rule:admin_required or (role:reader and project_id:%(project_id)s)"),
    ("list", "rule:project_reader"),
    (
        "get_user",
        "rule:admin_required or (role:reader and domain_id:%(target.user.domain_id)s) or user_id:%(target.user.id)s",
    ),
    ("community", "'community':%(visibility)s or rule:list"),
    ("everyone", ""),
    ("nobody", "!"),
    ("none", "None:%(owner)s"),
    ("not_reader", "not role:reader and role:member"),
];

fn policy() -> Policy {
    Policy::new(RULES.iter().copied(), &HashMap::new()).unwrap()
}

fn alice(roles: &[&str]) -> Credentials {
    Credentials {
        user_id: "alice".into(),
        user_domain_id: "default".into(),
        project_id: Some("p1".into()),
        roles: roles.iter().map(ToString::to_string).collect(),
        ..Credentials::default()
    }
}

#[test]
fn a_reach_is_as_wide_as_the_rule_and_no_wider() {
    assert_eq!(policy().reach("list", &alice(&["admin"])), Some(Reach::Cloud));
    assert_eq!(policy().reach("list", &alice(&["reader"])), Some(Reach::Project("p1".into())));
    assert_eq!(policy().reach("list", &alice(&["member"])), None);
    assert_eq!(policy().reach("get_user", &alice(&[])), Some(Reach::User("alice".into())));
    let manager = Credentials { domain_id: Some("d1".into()), project_id: None, ..alice(&["reader"]) };
    assert_eq!(policy().reach("get_user", &manager), Some(Reach::Domain("d1".into())));
    assert_eq!(policy().reach("everyone", &alice(&[])), Some(Reach::Cloud));
    assert_eq!(policy().reach("nobody", &alice(&["admin"])), None);
    assert_eq!(policy().reach("no such rule", &alice(&["admin"])), None);
}

#[test]
fn a_row_is_checked_by_its_own_values() {
    let p = policy();
    let mine = Target::new().with("project_id", "p1");
    let theirs = Target::new().with("project_id", "p2").with("visibility", "community");
    assert!(p.allows("list", &alice(&["reader"]), &mine));
    assert!(!p.allows("list", &alice(&["reader"]), &theirs));
    assert!(p.allows("community", &alice(&["reader"]), &theirs));
    assert!(p.allows("none", &alice(&[]), &Target::new().with_option("owner", None::<String>)));
    assert!(!p.allows("none", &alice(&[]), &Target::new().with("owner", "x")));
    assert!(p.allows("not_reader", &alice(&["member"]), &mine));
    assert!(!p.allows("not_reader", &alice(&["member", "reader"]), &mine));
}

#[test]
fn a_rule_that_no_target_can_satisfy_is_known_before_there_is_one() {
    let p = policy();
    assert!(p.might_allow("get_user", &alice(&[])), "of herself");
    assert!(p.might_allow("list", &alice(&["reader"])));
    assert!(!p.might_allow("list", &alice(&["member"])));
    assert!(!p.might_allow("list", &Credentials { project_id: None, ..alice(&["reader"]) }));
    assert!(p.might_allow("community", &alice(&[])));
    assert!(!p.might_allow("nobody", &alice(&["admin"])));
    assert!(!p.might_allow("no such rule", &alice(&["admin"])));
}

#[test]
fn what_a_rule_comes_to_whatever_the_target_it_comes_to_for_each() {
    let p = policy();
    let rules = RULES.iter().map(|(name, _)| *name).chain(["no such rule"]);
    let who = [alice(&["admin"]), alice(&["reader"]), alice(&["member"]), alice(&["member", "reader"]), alice(&[])];
    let who: Vec<_> = who.into_iter().flat_map(|one| [Credentials { project_id: None, ..one.clone() }, one]).collect();
    let keys = ["project_id", "target.user.domain_id", "target.user.id", "visibility", "owner"];
    let values = ["p1", "alice", "default", "community", "None"];
    let (mut settled, mut open) = (0, 0);
    for (rule, who) in rules.flat_map(|rule| who.iter().map(move |who| (rule, who))) {
        let Some(verdict) = p.settled(rule, who) else {
            open += 1;
            continue;
        };
        settled += 1;
        // Every target of these keys, each absent or with one of these values.
        for number in 0..6_usize.pow(5) {
            let digits = (0..5).map(|place| number / 6_usize.pow(place) % 6);
            let target = digits.enumerate().fold(Target::new(), |target, (key, digit)| match digit {
                0 => target,
                value => target.with(keys[key], values[value - 1]),
            });
            assert_eq!(p.allows(rule, who, &target), verdict, "{rule} {who:?} {target:?}");
        }
    }
    assert!(settled > 10 && open > 10, "{settled} {open}");
}

#[test]
fn an_unscoped_caller_reaches_no_project() {
    let unscoped = Credentials { project_id: None, ..alice(&["reader"]) };
    assert_eq!(policy().reach("list", &unscoped), None);
    assert!(Reach::User("alice".into()).project().is_err());
}

#[test]
fn a_broken_policy_is_refused_with_its_reason() {
    let refuse = |text: &str| {
        let overrides = HashMap::from([("x".to_owned(), text.to_owned())]);
        Policy::new(RULES.iter().copied(), &overrides).unwrap_err().to_string()
    };
    assert_eq!(refuse("role:admin or"), r#"policy rule "x": it ends too early"#);
    assert_eq!(refuse("(role:admin"), r#"policy rule "x": a ")" is missing"#);
    assert_eq!(refuse("role:a role:b"), r#"policy rule "x": "role:b" was not expected here"#);
    assert_eq!(refuse("admin"), r#"policy rule "x": "admin" is no check: it has no colon"#);
    assert_eq!(refuse("rule:missing"), r#"there is no policy rule "missing""#);
    assert_eq!(refuse("rule:x"), r#"policy rule "x" refers to itself"#);
}

#[test]
fn a_rule_for_some_scopes_holds_for_no_token_of_another_whatever_its_roles() {
    const SCOPES: &[ScopeKind] = &[ScopeKind::System, ScopeKind::Project];
    let policy = Policy::new([("all", "role:admin"), ("some", "role:admin")], &HashMap::new()).unwrap();
    let policy = policy.with_scopes([("some", SCOPES)]);
    let who = Credentials { roles: vec!["admin".to_owned()], ..Credentials::default() };
    let of_domain = Credentials { domain_id: Some("d".to_owned()), ..who.clone() };
    let of_system = Credentials { system_scope: Some("all".to_owned()), ..who.clone() };
    for (who, holds) in [(&who, true), (&of_domain, false), (&of_system, true)] {
        assert_eq!(policy.allows("some", who, &Target::new()), holds);
        assert_eq!(policy.might_allow("some", who), holds);
        assert_eq!(policy.reach("some", who).is_some(), holds);
        assert!(policy.allows("all", who, &Target::new()));
    }
}

#[test]
fn an_override_takes_the_place_of_its_default() {
    let overrides = HashMap::from([("list".to_owned(), "role:auditor".to_owned())]);
    let p = Policy::new(RULES.iter().copied(), &overrides).unwrap();
    assert_eq!(p.reach("list", &alice(&["reader"])), None);
    assert_eq!(p.reach("list", &alice(&["auditor"])), Some(Reach::Cloud));
}
