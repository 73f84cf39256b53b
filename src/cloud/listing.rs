//! What a list is asked for: tests of attributes as identity's queries write them (`name__icontains=web`), and a page.
//!
//! `name=x` asks for equality, `name__contains=x`, `__startswith` and `__endswith` for a part of the text exactly as it is
//! written, and the same with an `i` before the word for a part whatever its case. A word that means nothing is no test,
//! as upstream has it. The store turns tests into SQL; [`Test::fits`] is the same for what is in memory.

use crate::clock::Timestamp;
use serde_json::Value;
use std::cmp::Ordering;

/// What an attribute has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    Is(String),
    Truth(bool),
    Part { place: Place, ignores_case: bool, text: String },
    When { relation: Relation, time: Timestamp },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Anywhere,
    Start,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    Before,
    UpTo,
    At,
    NotAt,
    From,
    After,
}

impl Relation {
    /// Reads `lt`, `lte`, `eq`, `neq`, `gte` or `gt`.
    pub fn of(word: &str) -> Option<Self> {
        Some(match word {
            "lt" => Self::Before,
            "lte" => Self::UpTo,
            "eq" => Self::At,
            "neq" => Self::NotAt,
            "gte" => Self::From,
            "gt" => Self::After,
            _ => return None,
        })
    }
}

impl Test {
    /// The test that a query's key and value ask for; `comparator` is what stands after `__`.
    pub fn of(comparator: Option<&str>, value: &str) -> Option<Self> {
        let Some(word) = comparator else { return Some(Self::Is(value.to_owned())) };
        let (ignores_case, word) = match word.strip_prefix('i') {
            Some(rest) => (true, rest),
            None => (false, word),
        };
        let part = |place| Self::Part { place, ignores_case, text: value.to_owned() };
        match word {
            "equals" => Some(Self::Is(value.to_owned())),
            "contains" => Some(part(Place::Anywhere)),
            "startswith" => Some(part(Place::Start)),
            "endswith" => Some(part(Place::End)),
            _ => None,
        }
    }

    /// Is the value so? Names are found without regard to case ([`super::identity::name_key`]), as `is_name` says.
    pub fn fits(&self, value: &Value, is_name: bool) -> bool {
        match (self, value) {
            (Self::Is(wanted), Value::String(text)) if is_name => text.to_lowercase() == wanted.to_lowercase(),
            (Self::Is(wanted), Value::String(text)) => text == wanted,
            (Self::Is(wanted), Value::Bool(truth)) => *truth == is_true(wanted),
            (Self::Truth(wanted), Value::Bool(truth)) => truth == wanted,
            (Self::Part { place, ignores_case, text: wanted }, Value::String(text)) => {
                let case = |text: &str| if *ignores_case { text.to_lowercase() } else { text.to_owned() };
                let (text, wanted) = (case(text), case(wanted));
                match place {
                    Place::Anywhere => text.contains(&wanted),
                    Place::Start => text.starts_with(&wanted),
                    Place::End => text.ends_with(&wanted),
                }
            }
            (Self::When { relation, time }, Value::String(text)) => Timestamp::parse(text).is_some_and(|value| {
                let order = value.cmp(time);
                match relation {
                    Relation::Before => order == Ordering::Less,
                    Relation::UpTo => order != Ordering::Greater,
                    Relation::At => order == Ordering::Equal,
                    Relation::NotAt => order != Ordering::Equal,
                    Relation::From => order != Ordering::Less,
                    Relation::After => order == Ordering::Greater,
                }
            }),
            _ => false,
        }
    }
}

/// The truth of a filter's value: everything but what says no, also nothing at all.
pub fn is_true(text: &str) -> bool {
    !matches!(text.trim().to_ascii_lowercase().as_str(), "0" | "false" | "f" | "no" | "n" | "off")
}

/// What a list is about, and which part of it.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Attributes by their names in the API; all tests must hold.
    pub tests: Vec<(&'static str, Test)>,
    /// The id after which the page begins.
    pub marker: Option<String>,
    /// 0: no bound.
    pub limit: usize,
}

impl Listing {
    pub fn with(mut self, attribute: &'static str, test: Test) -> Self {
        self.tests.push((attribute, test));
        self
    }
}

/// A part of a list, in the order of ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Is there more behind it?
    pub has_more: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_comparator_reads_as_upstream_reads_it() {
        for (comparator, wanted, fits) in [
            (None, "web", true),
            (Some("contains"), "e", true),
            (Some("contains"), "E", false),
            (Some("icontains"), "E", true),
            (Some("startswith"), "We", true),
            (Some("startswith"), "we", false),
            (Some("istartswith"), "we", true),
            (Some("endswith"), "b", true),
            (Some("endswith"), "w", false),
            (Some("iendswith"), "EB", true),
            (Some("equals"), "web", true),
            (Some("iequals"), "WEB", true),
        ] {
            let test = Test::of(comparator, wanted).unwrap();
            assert_eq!(test.fits(&json!("Web"), true), fits, "{comparator:?} {wanted}");
        }
        assert_eq!(Test::of(Some("like"), "x"), None, "what means nothing is no test");
        assert_eq!(Test::of(Some("i"), "x"), None);
        assert!(!Test::Is("web".to_owned()).fits(&json!("Web"), false), "only names ignore case");
        assert!(!Test::Is(String::new()).fits(&json!(null), false));
    }
}
