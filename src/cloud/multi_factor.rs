//! Which methods a user has to log in with: the options `multi_factor_auth_rules` and `multi_factor_auth_enabled`.
//!
//! A rule is a list of methods; a login needs all methods of one of them. As upstream, methods that are not served are left
//! out of the rules, and a user whose rules then say nothing logs in as one without rules: a slip of an administrator
//! locks nobody out.

use serde_json::{Map, Value};

/// The methods there are.
pub const METHODS: [&str; 4] = ["password", "token", "application_credential", "totp"];

const ENABLED: &str = "multi_factor_auth_enabled";
const RULES: &str = "multi_factor_auth_rules";

/// What a login still lacks: the rules that what it has proved is part of. `None` when it lacks nothing.
pub fn lacking(options: &Map<String, Value>, proved: &[String]) -> Option<Vec<Vec<String>>> {
    if options.get(ENABLED) == Some(&Value::Bool(false)) {
        return None;
    }
    let rules = rules(options);
    let is_met = |rule: &Vec<String>| rule.iter().all(|method| proved.contains(method));
    if rules.is_empty() || rules.iter().any(is_met) {
        return None;
    }
    Some(rules.into_iter().filter(|rule| rule.iter().any(|method| proved.contains(method))).collect())
}

/// The rules that say something, each method once.
fn rules(options: &Map<String, Value>) -> Vec<Vec<String>> {
    let Some(Value::Array(rules)) = options.get(RULES) else { return Vec::new() };
    let mut found = Vec::new();
    for rule in rules.iter().filter_map(Value::as_array) {
        let mut methods: Vec<String> = Vec::new();
        for method in rule.iter().filter_map(Value::as_str) {
            if METHODS.contains(&method) && !methods.iter().any(|known| known == method) {
                methods.push(method.to_owned());
            }
        }
        if !methods.is_empty() {
            found.push(methods);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn options(rules: Value) -> Map<String, Value> {
        Map::from_iter([(RULES.to_owned(), rules)])
    }

    fn after(rules: Value, proved: &[&str]) -> Option<Value> {
        let proved: Vec<String> = proved.iter().map(ToString::to_string).collect();
        lacking(&options(rules), &proved).map(|rules| json!(rules))
    }

    #[test]
    fn a_login_needs_every_method_of_one_rule() {
        let rules = json!([["password", "totp"], ["application_credential"]]);
        assert_eq!(after(rules.clone(), &["password"]), Some(json!([["password", "totp"]])));
        assert_eq!(after(rules.clone(), &["token"]), Some(json!([])));
        assert_eq!(after(rules.clone(), &["totp", "password"]), None);
        assert_eq!(after(rules.clone(), &["totp", "password", "token"]), None);
        assert_eq!(after(rules, &["application_credential"]), None);
    }

    #[test]
    fn rules_that_say_nothing_bind_nobody() {
        for rules in [json!([]), json!(null), json!("x"), json!([["retina"]]), json!([[], [1]])] {
            assert_eq!(after(rules, &["password"]), None);
        }
        assert_eq!(after(json!([["password", "retina"]]), &["password"]), None, "what is not served is not asked for");
        let mut off = options(json!([["password", "totp"]]));
        off.insert(ENABLED.to_owned(), json!(false));
        assert_eq!(lacking(&off, &["password".to_owned()]), None);
    }
}
