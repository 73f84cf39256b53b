//! The query string, decoded once; repeated keys keep their order.

use std::borrow::Cow;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(raw: &str) -> Self {
        Self(
            url::form_urlencoded::parse(raw.as_bytes())
                .map(|(k, v): (Cow<str>, Cow<str>)| (k.into(), v.into()))
                .collect(),
        )
    }

    /// The last value given for a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Every value given for a key.
    pub fn all<'q>(&'q self, key: &'q str) -> impl Iterator<Item = &'q str> + 'q {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The query string with these keys replaced: what a next link carries.
    pub fn with(&self, replaced: &[(&str, &str)]) -> String {
        let kept =
            self.0.iter().map(|(k, v)| (k.as_str(), v.as_str())).filter(|(k, _)| !replaced.iter().any(|(r, _)| r == k));
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).extend_pairs(replaced).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_keys_keep_their_order_and_the_last_one_counts() {
        let query = Query::parse("tag=a&tag=b%20c&limit=3");
        assert_eq!(query.all("tag").collect::<Vec<_>>(), ["a", "b c"]);
        assert_eq!(query.get("tag"), Some("b c"));
        assert_eq!(query.with(&[("marker", "x"), ("limit", "9")]), "tag=a&tag=b+c&marker=x&limit=9");
    }
}
