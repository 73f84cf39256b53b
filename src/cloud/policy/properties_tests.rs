//! The policy language against a naive evaluator: any rule, written out as an operator would, means what its parts mean.

use super::{Credentials, Policy, Target};
use proptest::prelude::*;
use std::collections::HashMap;

/// A rule before it is text.
#[derive(Debug, Clone)]
enum Rule {
    Always,
    Never,
    Role(&'static str),
    /// The caller's attribute is that of the target.
    Own(&'static str, &'static str),
    /// The caller's attribute is this word.
    Is(&'static str, &'static str),
    /// The target's attribute is this word.
    Its(&'static str, &'static str),
    Not(Box<Rule>),
    All(Vec<Rule>),
    Any(Vec<Rule>),
    /// Another rule, by name.
    Named(Box<Rule>),
}

const ROLES: &[&str] = &["admin", "member", "reader"];
const ATTRIBUTES: &[&str] = &["user_id", "project_id", "domain_id", "system_scope"];
const KEYS: &[&str] = &["project_id", "target.user.domain_id", "owner"];
const WORDS: &[&str] = &["a", "b", "all"];

fn rule() -> impl Strategy<Value = Rule> {
    let word = |words: &'static [&'static str]| prop::sample::select(words);
    let leaf = prop_oneof![
        Just(Rule::Always),
        Just(Rule::Never),
        word(ROLES).prop_map(Rule::Role),
        (word(ATTRIBUTES), word(KEYS)).prop_map(|(own, key)| Rule::Own(own, key)),
        (word(ATTRIBUTES), word(WORDS)).prop_map(|(own, word)| Rule::Is(own, word)),
        (word(WORDS), word(KEYS)).prop_map(|(word, key)| Rule::Its(word, key)),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|rule| Rule::Not(Box::new(rule))),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Rule::All),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Rule::Any),
            inner.prop_map(|rule| Rule::Named(Box::new(rule))),
        ]
    })
}

impl Rule {
    /// The rule's text with no more parentheses than it needs; rules that it names are put aside.
    fn text(&self, named: &mut Vec<(String, String)>) -> String {
        let mut inside = |rule: &Rule, binds: bool| {
            let text = rule.text(named);
            if binds { format!("({text})") } else { text }
        };
        match self {
            Rule::Always => "@".to_owned(),
            Rule::Never => "!".to_owned(),
            Rule::Role(role) => format!("role:{role}"),
            Rule::Own(own, key) => format!("{own}:%({key})s"),
            Rule::Is(own, word) => format!("{own}:{word}"),
            Rule::Its(word, key) => format!("'{word}':%({key})s"),
            Rule::Not(rule) => {
                let is_joined = matches!(**rule, Rule::All(_) | Rule::Any(_));
                format!("not {}", inside(rule, is_joined))
            }
            Rule::All(all) => {
                let each: Vec<String> = all.iter().map(|rule| inside(rule, matches!(rule, Rule::Any(_)))).collect();
                each.join(" and ")
            }
            Rule::Any(any) => any.iter().map(|rule| inside(rule, false)).collect::<Vec<_>>().join(" or "),
            Rule::Named(rule) => {
                let text = rule.text(named);
                let name = format!("named{}", named.len());
                named.push((name.clone(), text));
                format!("rule:{name}")
            }
        }
    }

    /// What the rule means, without a word about how it is parsed.
    fn holds(&self, who: &Credentials, target: &HashMap<&str, &str>) -> bool {
        match self {
            Rule::Always => true,
            Rule::Never => false,
            Rule::Role(role) => who.roles.iter().any(|held| held == role),
            Rule::Own(own, key) => own_value(who, own).is_some_and(|own| target.get(key) == Some(&own)),
            Rule::Is(own, word) => own_value(who, own) == Some(*word),
            Rule::Its(word, key) => target.get(key) == Some(word),
            Rule::Not(rule) => !rule.holds(who, target),
            Rule::All(all) => all.iter().all(|rule| rule.holds(who, target)),
            Rule::Any(any) => any.iter().any(|rule| rule.holds(who, target)),
            Rule::Named(rule) => rule.holds(who, target),
        }
    }
}

fn own_value<'w>(who: &'w Credentials, name: &str) -> Option<&'w str> {
    match name {
        "user_id" => Some(&who.user_id),
        "project_id" => who.project_id.as_deref(),
        "domain_id" => who.domain_id.as_deref(),
        _ => who.system_scope.as_deref(),
    }
}

fn caller() -> impl Strategy<Value = Credentials> {
    let maybe = || prop::option::of(prop::sample::select(WORDS));
    (prop::sample::select(WORDS), maybe(), maybe(), maybe(), prop::sample::subsequence(ROLES, 0..=3)).prop_map(
        |(user, project, domain, system, roles)| Credentials {
            user_id: user.to_owned(),
            user_domain_id: "a".to_owned(),
            project_id: project.map(str::to_owned),
            domain_id: domain.map(str::to_owned),
            system_scope: system.map(str::to_owned),
            roles: roles.into_iter().map(str::to_owned).collect(),
            ..Credentials::default()
        },
    )
}

fn target() -> impl Strategy<Value = HashMap<&'static str, &'static str>> {
    prop::collection::hash_map(prop::sample::select(KEYS), prop::sample::select(WORDS), 0..=3)
}

proptest! {
    #[test]
    fn a_rule_holds_when_its_parts_say_so(rule in rule(), who in caller(), target in target()) {
        let mut overrides = Vec::new();
        let text = rule.text(&mut overrides);
        overrides.push(("rule".to_owned(), text));
        let policy = Policy::new([], &overrides.iter().cloned().collect()).unwrap();
        let seen = target.iter().fold(Target::new(), |seen, (key, value)| seen.with(key, value));
        let holds = rule.holds(&who, &target);
        prop_assert_eq!(policy.allows("rule", &who, &seen), holds, "{:?}", overrides);
        // What is turned away before there is a target would have been turned away with any.
        prop_assert!(!holds || policy.might_allow("rule", &who), "{:?}", overrides);
        // And what reaches the whole cloud holds where nothing is known.
        let reaches_all = policy.reach("rule", &who) == Some(super::Reach::Cloud);
        prop_assert_eq!(reaches_all, rule.holds(&who, &HashMap::new()), "{:?}", overrides);
    }
}
