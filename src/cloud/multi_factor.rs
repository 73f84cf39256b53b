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

/// Says what is wrong with the options that a request gives a user, in jsonschema's words; `None` when nothing is.
pub fn fault(options: &Map<String, Value>) -> Option<(&'static str, String)> {
    let enabled = options.get(ENABLED).filter(|enabled| !enabled.is_null() && !enabled.is_boolean());
    if let Some(enabled) = enabled {
        return Some((ENABLED, format!("{enabled} is not of type 'boolean'")));
    }
    let rules = options.get(RULES).filter(|rules| !rules.is_null())?;
    let Some(list) = rules.as_array() else { return Some((RULES, format!("{rules} is not of type 'array'"))) };
    if has_twins(list) {
        return Some((RULES, format!("{rules} has non-unique elements")));
    }
    for rule in list {
        let Some(methods) = rule.as_array() else { return Some((RULES, format!("{rule} is not of type 'array'"))) };
        if methods.is_empty() {
            return Some((RULES, "[] should be non-empty".to_owned()));
        }
        if let Some(method) = methods.iter().find(|method| !method.is_string()) {
            return Some((RULES, format!("{method} is not of type 'string'")));
        }
        if has_twins(methods) {
            return Some((RULES, format!("{rule} has non-unique elements")));
        }
    }
    None
}

fn has_twins(list: &[Value]) -> bool {
    list.iter().enumerate().any(|(index, item)| list[..index].contains(item))
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

    #[test]
    fn rules_of_the_wrong_form_are_refused() {
        for (rules, why) in [
            (json!("x"), "\"x\" is not of type 'array'"),
            (json!(["x"]), "\"x\" is not of type 'array'"),
            (json!([[]]), "[] should be non-empty"),
            (json!([[1]]), "1 is not of type 'string'"),
            (json!([["a", "a"]]), "[\"a\",\"a\"] has non-unique elements"),
            (json!([["a"], ["a"]]), "[[\"a\"],[\"a\"]] has non-unique elements"),
        ] {
            assert_eq!(fault(&options(rules)).map(|(_, why)| why).as_deref(), Some(why));
        }
        assert_eq!(fault(&options(json!([["password", "totp"], ["x"]]))), None);
        assert_eq!(fault(&options(json!(null))), None, "null takes the option away");
        let enabled = Map::from_iter([(ENABLED.to_owned(), json!("yes"))]);
        assert!(fault(&enabled).is_some());
    }
}
