//! What requests ask of providers: so much of a class, traits, aggregates. Read as upstream reads it, with its sentences.

use super::versions;
use crate::api::Call;
use crate::cloud::placement::{resources, traits};
use crate::error::{Error, Result};
use crate::http::json::python_repr;
use crate::http::microversion::Microversion;
use crate::store::providers::Provider;
use serde_json::Value;
use uuid::Uuid;

/// A query that is not what it must be.
pub fn invalid(reason: impl std::fmt::Display) -> Error {
    Error::bad_request(format!("Invalid query string parameters: {reason}"))
}

/// Refuses parameters that this version does not know.
pub fn check_names(call: &Call, is_known: impl Fn(&str) -> bool) -> Result<()> {
    let quoted = |name: &str| python_repr(&Value::String(name.to_owned()));
    let mut unknown: Vec<String> =
        call.query().iter().filter(|(name, _)| !is_known(name)).map(|(name, _)| quoted(name)).collect();
    unknown.dedup();
    match &unknown[..] {
        [] => Ok(()),
        [one] => Err(invalid(format!("Additional properties are not allowed ({one} was unexpected)"))),
        some => Err(invalid(format!("Additional properties are not allowed ({} were unexpected)", some.join(", ")))),
    }
}

/// Parameters with the version from which each is known.
pub fn check_since(call: &Call, known: &[(&str, Option<Microversion>)]) -> Result<()> {
    let version = call.version();
    check_names(call, |name| {
        known.iter().any(|(known, since)| *known == name && since.is_none_or(|since| version >= since))
    })
}

/// A parameter that must be a UUID where it is given.
pub fn uuid<'q>(call: &'q Call, name: &str) -> Result<Option<&'q str>> {
    match call.query().get(name) {
        Some(text) if !is_uuid(text) => {
            Err(invalid(format!("{} is not a 'uuid'", python_repr(&Value::String(text.to_owned())))))
        }
        given => Ok(given),
    }
}

/// With dashes or without them, as upstream reads them.
fn is_uuid(text: &str) -> bool {
    Uuid::try_parse(text).is_ok()
}

/// Are these the same UUID, however written?
pub fn is_same_uuid(one: &str, other: impl ToString) -> bool {
    matches!((Uuid::try_parse(one), Uuid::try_parse(&other.to_string())), (Ok(one), Ok(other)) if one == other)
}

/// So much of each class: `VCPU:4,MEMORY_MB:1024`. The same class twice: the last counts.
pub fn resources(text: &str) -> Result<Vec<(String, u64)>> {
    let badly = |got: &str| {
        Error::bad_request(format!(
            "Badly formed resources parameter. Expected resources query string parameter in form: \
             ?resources=VCPU:2,MEMORY_MB:1024. Got: {got}."
        ))
    };
    if text.trim().is_empty() {
        return Err(badly("empty string"));
    }
    let mut wanted: Vec<(String, u64)> = Vec::new();
    for part in text.split(',') {
        let (class, amount) =
            part.split_once(':').filter(|(_, amount)| !amount.contains(':')).ok_or_else(|| badly(part))?;
        let number = amount.trim().parse::<i64>().map_err(|_| {
            Error::bad_request(format!("Requested resource {class} expected positive integer amount. Got: {amount}."))
        })?;
        let number = u64::try_from(number).ok().filter(|number| *number >= 1).ok_or_else(|| {
            Error::bad_request(format!("Requested resource {class} requires amount >= 1. Got: {number}."))
        })?;
        wanted.retain(|(known, _)| known != class);
        wanted.push((class.to_owned(), number));
    }
    Ok(wanted)
}

/// Every class is one that there is.
pub fn check_classes<'w>(wanted: impl IntoIterator<Item = &'w (String, u64)>) -> Result<()> {
    match wanted.into_iter().find(|(class, _)| !resources::ALL.contains(&class.as_str())) {
        None => Ok(()),
        Some((class, _)) => Err(Error::bad_request(format!(
            "Invalid resource class in resources parameter: No such resource class {class}."
        ))),
    }
}

/// What a provider must be able to do: one of each of some, and none of others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traits {
    pub any: Vec<Vec<String>>,
    pub none: Vec<String>,
}

impl Traits {
    pub fn suit(&self, provider: &Provider) -> bool {
        self.any.iter().all(|some| some.iter().any(|name| provider.has_trait(name)))
            && !self.none.iter().any(|name| provider.has_trait(name))
    }

    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.any.iter().flatten().chain(&self.none)
    }

    /// Those that nobody can have, since there are none such: in upstream's sentence.
    pub fn unknown(&self) -> Option<String> {
        let unknown: Vec<&str> = self.names().map(String::as_str).filter(|name| !traits::is_known(name)).collect();
        (!unknown.is_empty()).then(|| format!("No such trait(s): {}.", unknown.join(", ")))
    }

    /// Reads `required`, or one of its kin.
    pub fn of(call: &Call, name: &str) -> Result<Self> {
        let version = call.version();
        let may_forbid = version >= versions::FORBIDDEN_TRAITS;
        let may_choose = version >= versions::ANY_TRAITS;
        let mut values: Vec<&str> = call.query().all(name).collect();
        if !may_choose && values.len() > 1 {
            values.drain(..values.len() - 1);
        }
        let mut all = Self::default();
        for value in values {
            all.read(value, may_forbid, may_choose)?;
        }
        Ok(all)
    }

    /// As [`of`](Self::of), of one value that names no choices.
    pub fn of_root(value: &str) -> Result<Self> {
        let mut all = Self::default();
        all.read(value, true, false)?;
        Ok(all)
    }

    fn read(&mut self, value: &str, may_forbid: bool, may_choose: bool) -> Result<()> {
        let form = "The format 'in:HW_CPU_X86_VMX,CUSTOM_MAGIC'";
        if let Some(names) = value.strip_prefix("in:") {
            if !may_choose {
                return Err(invalid(format!("{form} only supported since microversion 1.39. Got: {value}")));
            }
            let names: Vec<String> = names.split(',').map(|name| name.trim().to_owned()).collect();
            if names.iter().any(String::is_empty) {
                let expected = "Expected 'required' parameter value of the form: in:HW_CPU_X86_VMX,CUSTOM_MAGIC.";
                return Err(invalid(format!("{expected} Got an empty trait in: {value}")));
            }
            if names.iter().any(|name| name.starts_with('!')) {
                return Err(invalid(format!("{form} does not support forbidden traits. Got: {value}")));
            }
            self.any.push(names);
            return Ok(());
        }
        let example = if may_forbid { "HW_CPU_X86_VMX,!CUSTOM_MAGIC" } else { "HW_CPU_X86_VMX,CUSTOM_MAGIC" };
        let expected = format!("Expected 'required' parameter value of the form: {example}.");
        for name in value.split(',').map(str::trim) {
            // However many marks there are, upstream takes them all off.
            let bare = name.trim_start_matches('!');
            if bare.is_empty() {
                return Err(invalid(format!("{expected} Got an empty trait in: {value}")));
            }
            if bare.len() == name.len() {
                self.any.push(vec![name.to_owned()]);
            } else if may_forbid {
                self.none.push(bare.to_owned());
            } else {
                return Err(invalid(format!("{expected} Got: {value}")));
            }
        }
        Ok(())
    }
}

/// In which aggregates a provider must be: in one of each of some, and in none of others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    any: Vec<Vec<String>>,
    none: Vec<String>,
}

impl Members {
    pub fn is_empty(&self) -> bool {
        self.any.is_empty() && self.none.is_empty()
    }

    /// Does a provider in these aggregates suit?
    pub fn suit(&self, aggregates: &[String]) -> bool {
        let is_in = |asked: &String| aggregates.iter().any(|own| is_same_uuid(asked, own));
        self.any.iter().all(|some| some.iter().any(is_in)) && !self.none.iter().any(is_in)
    }

    /// Reads `member_of`, or one of its kin.
    pub fn of(call: &Call, name: &str) -> Result<Self> {
        let version = call.version();
        if version < versions::SEVERAL_MEMBER_OF && call.query().all(name).count() > 1 {
            return Err(Error::bad_request(format!("Multiple {name} parameters are not supported")));
        }
        let mut all = Self::default();
        for value in call.query().all(name) {
            let (ids, is_forbidden) = Self::read(value)?;
            if !is_forbidden {
                all.any.push(ids);
            } else if version >= versions::FORBIDDEN_AGGREGATES {
                all.none.extend(ids);
            } else {
                let text = format!("Forbidden {name} parameters are not supported in the specified microversion");
                return Err(Error::bad_request(text));
            }
        }
        Ok(all)
    }

    fn read(value: &str) -> Result<(Vec<String>, bool)> {
        let (rest, is_forbidden) = value.strip_prefix('!').map_or((value, false), |rest| (rest, true));
        let ids: Vec<String> = match rest.strip_prefix("in:") {
            Some(ids) => ids.split(',').map(str::to_owned).collect(),
            None if value.contains(',') => {
                return Err(Error::bad_request(format!(
                    "Multiple values for 'member_of' must be prefixed with the 'in:' or '!in:' keyword using the valid \
                     microversion. Got: {value}"
                )));
            }
            None => vec![rest.to_owned()],
        };
        match ids.iter().find(|id| !is_uuid(id)) {
            Some(id) => Err(invalid(format!("Expected 'member_of' parameter to contain valid UUID(s). Got: {id}"))),
            None => Ok((ids, is_forbidden)),
        }
    }
}
