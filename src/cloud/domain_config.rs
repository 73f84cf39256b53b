//! What may be configured for a single domain, and what it is where nobody says.
//!
//! Keystone lets a domain have its own driver for users and groups, if the operator turns that on; without, it keeps what
//! is configured and never reads it. Gapura has one driver, `sql`, and reads `list_limit`. Naming another driver is refused, for an answer of success
//! would promise an LDAP server that is never asked; an operator may have such options kept all the same.

use crate::error::{Error, Result};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Options by group.
pub type Config = BTreeMap<String, Map<String, Value>>;

/// Which part of a configuration is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    All,
    Group(String),
    Option(String, String),
}

impl Place {
    pub fn of(group: Option<&str>, option: Option<&str>) -> Self {
        match (group, option) {
            (None, _) => Self::All,
            (Some(group), None) => Self::Group(group.to_owned()),
            (Some(group), Some(option)) => Self::Option(group.to_owned(), option.to_owned()),
        }
    }

    pub fn group(&self) -> Option<&str> {
        match self {
            Self::All => None,
            Self::Group(group) | Self::Option(group, _) => Some(group),
        }
    }

    pub fn option(&self) -> Option<&str> {
        match self {
            Self::All | Self::Group(_) => None,
            Self::Option(_, option) => Some(option),
        }
    }

    /// What isn't there, in upstream's words.
    pub fn missing(&self, domain: &str) -> String {
        let what = match self {
            Self::All => "any options".to_owned(),
            Self::Group(group) => format!("group {group}"),
            Self::Option(group, option) => format!("option {option} in group {group}"),
        };
        format!("Could not find {what} in domain configuration for domain {domain}.")
    }
}

pub fn invalid(reason: impl std::fmt::Display) -> Error {
    Error::Forbidden(format!("Invalid domain specific configuration: {reason}."))
}

/// Every option that a domain may have of its own, with Keystone's defaults.
pub fn defaults() -> Config {
    let identity = [("driver", json!("sql")), ("list_limit", Value::Null)];
    let ldap = [
        ("url", json!("ldap://localhost")),
        ("user", Value::Null),
        ("suffix", json!("cn=example,cn=com")),
        ("query_scope", json!("one")),
        ("page_size", json!(0)),
        ("alias_dereferencing", json!("default")),
        ("debug_level", Value::Null),
        ("chase_referrals", Value::Null),
        ("user_tree_dn", Value::Null),
        ("user_filter", Value::Null),
        ("user_objectclass", json!("inetOrgPerson")),
        ("user_id_attribute", json!("cn")),
        ("user_name_attribute", json!("sn")),
        ("user_mail_attribute", json!("mail")),
        ("user_description_attribute", json!("description")),
        ("user_pass_attribute", json!("userPassword")),
        ("user_enabled_attribute", json!("enabled")),
        ("user_enabled_invert", json!(false)),
        ("user_enabled_mask", json!(0)),
        ("user_enabled_default", json!("True")),
        ("user_attribute_ignore", json!(["default_project_id"])),
        ("user_default_project_id_attribute", Value::Null),
        ("user_enabled_emulation", json!(false)),
        ("user_enabled_emulation_dn", Value::Null),
        ("user_enabled_emulation_use_group_config", json!(false)),
        ("user_additional_attribute_mapping", json!([])),
        ("group_tree_dn", Value::Null),
        ("group_filter", Value::Null),
        ("group_objectclass", json!("groupOfNames")),
        ("group_id_attribute", json!("cn")),
        ("group_name_attribute", json!("ou")),
        ("group_members_are_ids", json!(false)),
        ("group_member_attribute", json!("member")),
        ("group_desc_attribute", json!("description")),
        ("group_attribute_ignore", json!([])),
        ("group_additional_attribute_mapping", json!([])),
        ("tls_cacertfile", Value::Null),
        ("tls_cacertdir", Value::Null),
        ("use_tls", json!(false)),
        ("tls_req_cert", json!("demand")),
        ("use_pool", json!(true)),
        ("pool_size", json!(10)),
        ("pool_retry_max", json!(3)),
        ("pool_retry_delay", json!(0.1)),
        ("pool_connection_timeout", json!(-1)),
        ("pool_connection_lifetime", json!(600)),
        ("use_auth_pool", json!(true)),
        ("auth_pool_size", json!(100)),
        ("auth_pool_connection_lifetime", json!(60)),
    ];
    let named = |(name, value): (&str, Value)| (name.to_owned(), value);
    Config::from([
        ("identity".to_owned(), identity.into_iter().map(named).collect()),
        ("ldap".to_owned(), ldap.into_iter().map(named).collect()),
    ])
}

/// Options that are never shown. None is kept either: nothing here would read it.
fn is_secret(group: &str, option: &str) -> bool {
    (group, option) == ("ldap", "password")
}

/// Is there such a group, and such an option in it?
///
/// # Errors
/// `Forbidden`, as upstream has it.
pub fn check_place(place: &Place) -> Result<()> {
    let Some(group) = place.group() else { return Ok(()) };
    let defaults = defaults();
    let Some(options) = defaults.get(group) else {
        return Err(invalid(format!("Group {group} is not supported for domain specific configurations")));
    };
    match place.option() {
        Some(option) if !options.contains_key(option) && !is_secret(group, option) => Err(invalid(format!(
            "Option {option} in group {group} is not supported for domain specific configurations"
        ))),
        _ => Ok(()),
    }
}

/// Is it a configuration, with options that there are?
///
/// # Errors
/// `Forbidden`, as upstream has it.
pub fn checked(config: Map<String, Value>) -> Result<Config> {
    if config.is_empty() {
        return Err(invalid("No options specified"));
    }
    let mut whole = Config::new();
    for (group, options) in config {
        let Value::Object(options) = options else { return Err(no_options(&group)) };
        if options.is_empty() {
            return Err(no_options(&group));
        }
        for option in options.keys() {
            check_place(&Place::Option(group.clone(), option.clone()))?;
        }
        whole.insert(group, options);
    }
    Ok(whole)
}

fn no_options(group: &str) -> Error {
    invalid(format!("The value of group {group} specified in the config should be a dictionary of options"))
}

/// Refuses what only a driver that isn't there would read, unless such options are to be kept.
///
/// # Errors
/// `Forbidden`, saying which.
pub fn check_served(config: &Config, keeps_foreign: bool) -> Result<()> {
    for (group, options) in config {
        if options.keys().any(|option| is_secret(group, option)) {
            return Err(invalid(
                "Gapura keeps no password of an LDAP server, since it has no driver that would use it",
            ));
        }
        if keeps_foreign {
            continue;
        }
        if group == "ldap" {
            return Err(invalid("Gapura has no LDAP driver, so options of group ldap would change nothing"));
        }
        if let Some(driver) = options.get("driver").filter(|driver| **driver != json!("sql")) {
            return Err(invalid(format!("Gapura has no identity driver {driver}, only \"sql\"")));
        }
    }
    Ok(())
}

/// Does a change keep to the part that it was asked of?
///
/// # Errors
/// `Forbidden`, as upstream has it.
pub fn check_within(config: &Config, place: &Place) -> Result<()> {
    let Some(group) = place.group() else { return Ok(()) };
    let options = config.get(group);
    let other = config.keys().next().map_or("", String::as_str);
    match (place.option(), options) {
        (None, _) if config.len() != 1 => Err(invalid(format!(
            "Trying to update group {group}, so that, and only that, group must be specified in the config"
        ))),
        (Some(option), Some(options)) if options.len() != 1 => Err(invalid(format!(
            "Trying to update option {option} in group {group}, so that, and only that, option must be specified  in the config"
        ))),
        (_, None) => {
            Err(invalid(format!("request to update group {group}, but config provided contains group {other} instead")))
        }
        (Some(option), Some(options)) if !options.contains_key(option) => Err(invalid(format!(
            "Trying to update option {option} in group {group}, but config provided contains option {} instead",
            options.keys().next().map_or("", String::as_str)
        ))),
        _ => Ok(()),
    }
}
