//! `gapura policy`: every policy rule with its default, commented out, to begin a `policy.yaml` with.
//!
//! What a rule is for is said by the operations that ask it, which come from the table that answers requests. Some rules
//! stand without: they are asked from within an operation, are part of other rules, or belong to what is not built.

use crate::api;
use crate::cloud::policy::ScopeKind;
use crate::cloud::policy_rules;
use crate::http::table::Access;
use std::collections::BTreeMap;

const HEAD: &str = "\
# Who may do what: every rule, in oslo.policy's language, with its default. Remove the # before a rule to change it, and
# name this file by `policy_file` in gapura.toml (`make run` reads etc/policy.yaml). A rule that can't be understood keeps
# Gapura from starting. Above a rule are the operations that ask it, and the scopes of tokens it is for if it is not for
# every scope: a token of another scope is refused whatever the rule says.
#
# role:NAME                          the caller holds the role, or one that implies it
# project_id:%(project_id)s          the caller's project is that of the thing asked for
# rule:NAME                          as that rule says
# @ and !                            everybody who is logged in, and nobody
# and, or, not, parentheses          as usual
#
# Written by `gapura policy`.
";
/// Above a rule stand so many operations at most.
const NAMED: usize = 4;

/// The whole file.
pub fn file() -> String {
    let operations = operations();
    let scopes: BTreeMap<_, _> = policy_rules::scopes().collect();
    let mut text = HEAD.to_owned();
    for (service, rules) in policy_rules::by_service() {
        text.push_str(&format!("\n\n# === {service}\n"));
        for (name, check) in rules {
            text.push('\n');
            if let Some(asking) = operations.get(name) {
                text.push_str(&format!("# {}\n", sentence(asking)));
            }
            if let Some(kinds) = scopes.get(name) {
                text.push_str(&format!(
                    "# Scope: {}\n",
                    kinds.iter().map(|kind| word(*kind)).collect::<Vec<_>>().join(", ")
                ));
            }
            // JSON's way to quote is YAML's as well.
            text.push_str(&format!("#{}: {}\n", serde_json::json!(name), serde_json::json!(check)));
        }
    }
    text
}

/// The operations that ask each rule, in the table's order.
fn operations() -> BTreeMap<&'static str, Vec<String>> {
    let mut asking: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    for (service, rows) in api::table() {
        for row in rows.iter().filter(|row| row.is_built) {
            if let Access::Rule(rule) = row.access {
                let action = row.action.map(|action| format!(" ({action})")).unwrap_or_default();
                let operation = format!("{} {}{}{action}", row.method, service.prefix, row.path);
                let named = asking.entry(rule).or_default();
                if !named.contains(&operation) {
                    named.push(operation);
                }
            }
        }
    }
    asking
}

fn word(kind: ScopeKind) -> &'static str {
    match kind {
        ScopeKind::System => "system",
        ScopeKind::Domain => "domain",
        ScopeKind::Project => "project",
    }
}

fn sentence(operations: &[String]) -> String {
    let named = operations[..operations.len().min(NAMED)].join(", ");
    match operations.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named}, and {more} more"),
    }
}
