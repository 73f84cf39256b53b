//! Filters of a list: `name=web`, `id=…&id=…`, `fixed_ips=ip_address=10.0.0.5`, `tags=a,b`.

use super::collection::LIST_QUERY;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::http::query::Query;
use serde_json::Value;

/// Refuses parameters that are no attribute: what isn't filtered must not look as if it were.
pub fn refuse_unknown(query: &Query, attributes: &[String]) -> Result<()> {
    let known = |name: &str| LIST_QUERY.contains(&name) || attributes.iter().any(|attribute| attribute == name);
    let unknown: Vec<String> =
        query.iter().filter(|(name, _)| !known(name)).map(|(name, _)| format!("'{name}'")).collect();
    if !unknown.is_empty() {
        return Err(Error::bad_request(format!("[{}] is invalid attribute for filtering", unknown.join(", "))));
    }
    if let Some(text) = query.get("changed_since")
        && Timestamp::parse(text).is_none()
    {
        return Err(Error::bad_request(format!("Invalid input for changed_since. Reason: '{text}' is no time.")));
    }
    Ok(())
}

/// Does the thing pass every filter? Values of one attribute are alternatives.
pub fn holds(query: &Query, item: &Value) -> bool {
    query.iter().all(|(name, value)| match name {
        "tags" => tags(value).all(|tag| has_tag(item, tag)),
        "tags-any" => tags(value).any(|tag| has_tag(item, tag)),
        "not-tags" => !tags(value).all(|tag| has_tag(item, tag)),
        "not-tags-any" => !tags(value).any(|tag| has_tag(item, tag)),
        "changed_since" => changed_since(item, value),
        "fixed_ips" => fixed_ips(query, item),
        name if LIST_QUERY.contains(&name) => true,
        name => query.all(name).any(|value| equals(&item[name], value)),
    })
}

/// What Neutron reads as a boolean.
pub fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

fn equals(found: &Value, wanted: &str) -> bool {
    match found {
        Value::Null => matches!(wanted, "" | "None" | "null"),
        Value::Bool(found) => truth(wanted) == Some(*found),
        Value::Number(found) => found.to_string() == wanted,
        Value::String(found) => found == wanted,
        Value::Array(items) => items.iter().any(|item| equals(item, wanted)),
        Value::Object(_) => false,
    }
}

fn tags(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').filter(|tag| !tag.is_empty())
}

fn has_tag(item: &Value, tag: &str) -> bool {
    item["tags"].as_array().is_some_and(|tags| tags.iter().any(|found| found == tag))
}

fn changed_since(item: &Value, since: &str) -> bool {
    let changed = item["updated_at"].as_str().and_then(Timestamp::parse);
    matches!((changed, Timestamp::parse(since)), (Some(changed), Some(since)) if changed >= since)
}

/// `ip_address=`, `ip_address_substr=` and `subnet_id=`: of one sort, any; of several sorts, each.
fn fixed_ips(query: &Query, item: &Value) -> bool {
    let wanted: Vec<(&str, &str)> = query.all("fixed_ips").filter_map(|text| text.split_once('=')).collect();
    let found = item["fixed_ips"].as_array().map(Vec::as_slice).unwrap_or_default();
    let any = |sort: &str, matches: &dyn Fn(&Value, &str) -> bool| {
        let mut of_sort = wanted.iter().filter(|(name, _)| *name == sort).peekable();
        of_sort.peek().is_none() || of_sort.any(|(_, value)| found.iter().any(|fixed| matches(fixed, value)))
    };
    let is_known = |sort: &str| matches!(sort, "ip_address" | "ip_address_substr" | "subnet_id");
    !wanted.is_empty()
        && wanted.iter().all(|(sort, _)| is_known(sort))
        && any("ip_address", &|fixed, value| fixed["ip_address"] == value)
        && any("subnet_id", &|fixed, value| fixed["subnet_id"] == value)
        && any("ip_address_substr", &|fixed, value| {
            fixed["ip_address"].as_str().is_some_and(|address| address.contains(value))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_of_one_attribute_are_alternatives_and_attributes_add_up() {
        let item = json!({"id": "a", "name": "web", "shared": false, "mtu": 1500, "tags": ["x", "y"], "gateway_ip": null,
                          "fixed_ips": [{"subnet_id": "s", "ip_address": "10.0.0.5"}]});
        for (query, expected) in [
            ("", true),
            ("id=b&id=a", true),
            ("id=b", false),
            ("name=web&shared=True", false),
            ("name=web&shared=false&mtu=1500", true),
            ("gateway_ip=", true),
            ("fixed_ips=ip_address%3D10.0.0.5", true),
            ("fixed_ips=ip_address%3D10.0.0.6&fixed_ips=ip_address%3D10.0.0.5", true),
            ("fixed_ips=ip_address%3D10.0.0.5&fixed_ips=subnet_id%3Dt", false),
            ("fixed_ips=ip_address_substr%3D0.0.5", true),
            ("fixed_ips=nonsense", false),
            ("tags=x,y", true),
            ("tags=x,z", false),
            ("tags-any=z,y", true),
            ("not-tags=x,z", true),
            ("not-tags-any=z,y", false),
        ] {
            assert_eq!(holds(&Query::parse(query), &item), expected, "{query}");
        }
    }

    #[test]
    fn a_parameter_that_is_no_attribute_is_refused() {
        let refused = refuse_unknown(&Query::parse("name=a&colour=red"), &["name".to_owned()]).unwrap_err();
        assert_eq!(refused.to_string(), "['colour'] is invalid attribute for filtering");
    }
}
