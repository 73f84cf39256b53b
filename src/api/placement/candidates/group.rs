//! The groups of a request for candidates: `resources`, and `resources1`, `required1`, `member_of1`, `in_tree1`, …

use super::super::query::{self, Members, Traits};
use super::super::versions;
use crate::api::Call;
use crate::error::{Error, Result};
use crate::http::json::python_repr;
use crate::store::providers::Provider;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
struct Group {
    resources: Vec<(String, u64)>,
    traits: Traits,
    members: Members,
    in_tree: Option<String>,
}

/// By name; the one without a number is nameless.
#[derive(Debug, Default)]
pub struct Groups {
    by_name: BTreeMap<String, Group>,
    /// Each on a provider of its own: of which a host is but one.
    are_isolated: bool,
}

const PREFIXES: [&str; 4] = ["resources", "required", "member_of", "in_tree"];

/// What a parameter says of which group.
fn part_of(name: &str, call: &Call) -> Option<(&'static str, String)> {
    let version = call.version();
    let (prefix, group) = PREFIXES.iter().find_map(|prefix| Some((*prefix, name.strip_prefix(prefix)?)))?;
    let is_number = |text: &str| !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = |text: &str| {
        text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    let may_be_so = match group {
        "" => true,
        group if version >= versions::NAMED_GROUPS => is_name(group),
        group => version >= versions::GROUPS && is_number(group),
    };
    let since = match prefix {
        "required" => versions::CANDIDATES_BY_TRAITS,
        "member_of" => versions::CANDIDATES_BY_AGGREGATES,
        "in_tree" => versions::CANDIDATES_IN_TREE,
        _ => versions::CANDIDATES,
    };
    (may_be_so && version >= since).then(|| (prefix, group.to_owned()))
}

impl Groups {
    pub fn of(call: &Call) -> Result<Self> {
        check_parameters(call)?;
        let mut by_name: BTreeMap<String, Group> = BTreeMap::new();
        for (name, value) in call.query().iter() {
            let Some((prefix, group)) = part_of(name, call) else { continue };
            let group = by_name.entry(group).or_default();
            match prefix {
                "resources" => group.resources = query::resources(value)?,
                "required" => group.traits = Traits::of(call, name)?,
                "member_of" => group.members = Members::of(call, name)?,
                _ => group.in_tree = Some(tree(value)?),
            }
        }
        let groups = Self { by_name, are_isolated: call.query().get("group_policy") == Some("isolate") };
        groups.check(call)?;
        Ok(groups)
    }

    /// The names of the groups.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// What one host must have for all of them.
    pub fn sum(&self) -> BTreeMap<String, u64> {
        let mut sum = BTreeMap::new();
        for (class, amount) in self.by_name.values().flat_map(|group| &group.resources) {
            let so_far: &mut u64 = sum.entry(class.clone()).or_default();
            *so_far = so_far.saturating_add(*amount);
        }
        sum
    }

    /// Is the host as all of them ask, room aside?
    pub fn suit(&self, provider: &Provider, aggregates: &[String]) -> bool {
        let is_as_asked = |group: &Group| {
            group.traits.suit(provider)
                && group.members.suit(aggregates)
                && group.in_tree.as_ref().is_none_or(|root| query::is_same_uuid(root, provider.id))
        };
        !(self.are_isolated && self.numbered() > 1) && self.by_name.values().all(is_as_asked)
    }

    fn numbered(&self) -> usize {
        self.by_name.keys().filter(|name| !name.is_empty()).count()
    }

    /// Whether the groups make sense together, in the order in which upstream asks.
    fn check(&self, call: &Call) -> Result<()> {
        let version = call.version();
        let refuse = |text: String| Err(Error::bad_request(text));
        if version >= versions::SUBTREES {
            self.check_subtrees(call)?
        } else {
            self.check_orphans()?
        }
        if version >= versions::FORBIDDEN_TRAITS {
            let mut both: Vec<String> = Vec::new();
            for (name, group) in &self.by_name {
                let contradicts = |some: &&Vec<String>| some.iter().all(|name| group.traits.none.contains(name));
                both.extend(
                    group
                        .traits
                        .any
                        .iter()
                        .filter(contradicts)
                        .map(|some| format!("required{name}: ({})", some.join(", "))),
                );
            }
            if !both.is_empty() {
                let keys = both.join(", ");
                return refuse(format!(
                    "Conflicting required and forbidden traits found in the following traits keys: {keys}"
                ));
            }
        }
        if self.numbered() > 1 && !call.query().has("group_policy") {
            return refuse(
                "The \"group_policy\" parameter is required when specifying more than one \"resources{N}\" parameter."
                    .to_owned(),
            );
        }
        query::check_classes(self.by_name.values().flat_map(|group| &group.resources))?;
        self.by_name.values().find_map(|group| group.traits.unknown()).map_or(Ok(()), refuse)
    }

    fn check_orphans(&self) -> Result<()> {
        let without = |asks: fn(&Group) -> bool, prefix: &str| {
            let orphans = self.by_name.iter().filter(|(_, group)| group.resources.is_empty() && asks(group));
            orphans.map(|(name, _)| format!("{prefix}{name}")).collect::<Vec<_>>().join(", ")
        };
        let traits = without(|group| !group.traits.any.is_empty(), "required");
        if !traits.is_empty() {
            return Err(Error::bad_request(format!(
                "All traits parameters must be associated with resources.  Found the following orphaned traits keys: {traits}"
            )));
        }
        let members = without(|group| !group.members.is_empty(), "member_of");
        if !members.is_empty() {
            return Err(Error::bad_request(format!(
                "All member_of parameters must be associated with resources. Found the following orphaned member_of keys: {members}"
            )));
        }
        if self.by_name.values().any(|group| group.resources.is_empty()) {
            return Err(Error::bad_request("All request groups must specify resources."));
        }
        if self.by_name.is_empty() {
            let text = "At least one request group (`resources` or `resources{$S}`) is required.";
            return Err(Error::bad_request(text));
        }
        Ok(())
    }

    /// Groups without resources are legitimate where a subtree names them.
    fn check_subtrees(&self, call: &Call) -> Result<()> {
        let mut named: BTreeSet<&str> = BTreeSet::new();
        for name in call.query().all("same_subtree").flat_map(|value| value.split(',')).map(str::trim) {
            if name.is_empty() {
                let text = "Empty string (unsuffixed group) can not be specified in `same_subtree` ";
                return Err(Error::bad_request(text));
            }
            named.insert(name);
        }
        let bare: Vec<&str> = self
            .by_name
            .iter()
            .filter(|(_, group)| group.resources.is_empty())
            .map(|(name, _)| name.as_str())
            .collect();
        if bare.len() == self.by_name.len() {
            return Err(Error::bad_request("There must be at least one resources or resources[$S] parameter."));
        }
        let bad: Vec<&str> = bare.into_iter().filter(|name| !named.contains(name)).collect();
        if !bad.is_empty() {
            return Err(Error::bad_request(format!(
                "Resourceless suffixed group request should be specified in `same_subtree` query param: bad group(s) - {}.",
                python_repr(&json!(bad))
            )));
        }
        let unreal: Vec<&str> = named.into_iter().filter(|name| !self.by_name.contains_key(*name)).collect();
        if !unreal.is_empty() {
            let real: Vec<&str> = self.names().collect();
            let (unreal, real) = (python_repr(&json!(unreal)), python_repr(&json!(real)));
            return Err(Error::bad_request(format!(
                "Real suffixes should be specified in `same_subtree`: {unreal} not found in {real}."
            )));
        }
        Ok(())
    }
}

/// The parameters of this version, each of its form.
fn check_parameters(call: &Call) -> Result<()> {
    let version = call.version();
    query::check_names(call, |name| match name {
        "limit" => version >= versions::CANDIDATES_LIMIT,
        "group_policy" => version >= versions::GROUPS,
        "root_required" => version >= versions::ROOT_REQUIRED,
        "same_subtree" => version >= versions::SUBTREES,
        name => part_of(name, call).is_some(),
    })?;
    if version < versions::GROUPS && !call.query().has("resources") {
        return Err(query::invalid("'resources' is a required property"));
    }
    if let Some(limit) = call.query().get("limit") {
        let is_number = limit.bytes().all(|byte| byte.is_ascii_digit()) && !limit.is_empty() && !limit.starts_with('0');
        if !is_number {
            return Err(query::invalid(format!("'{limit}' does not match '^[1-9][0-9]*$'")));
        }
    }
    match call.query().get("group_policy") {
        None | Some("none" | "isolate") => Ok(()),
        Some(other) => Err(query::invalid(format!("'{other}' is not one of ['none', 'isolate']"))),
    }
}

fn tree(value: &str) -> Result<String> {
    let root = value.trim();
    if uuid::Uuid::try_parse(root).is_ok() {
        return Ok(root.to_owned());
    }
    Err(query::invalid(format!("Expected 'in_tree' parameter to be a format of uuid. Got: {value}")))
}
