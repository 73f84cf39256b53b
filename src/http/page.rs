//! Pages of a list: how many, after which, in which order.

use super::query::Query;
use crate::error::{Error, Result};

/// `limit` and `marker` of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Rows to show, never above the service's own bound.
    pub limit: usize,
    /// Did the request itself ask for a limit?
    pub limited_by_request: bool,
    /// Show what comes after this id.
    pub marker: Option<String>,
}

impl Page {
    /// Reads `limit` and `marker`. `bound` is the service's largest page.
    ///
    /// # Errors
    /// `BadRequest` when `limit` is no whole number from 0 on.
    pub fn of(query: &Query, bound: usize) -> Result<Self> {
        let limit = match query.get("limit").filter(|text| !text.is_empty()) {
            None => None,
            Some(text) => Some(text.parse::<i64>().map_err(|_| Error::bad_request("limit param must be an integer"))?),
        };
        if limit.is_some_and(|limit| limit < 0) {
            return Err(Error::bad_request("limit param must be positive"));
        }
        let asked = limit.and_then(|limit| usize::try_from(limit).ok());
        Ok(Self {
            limit: asked.unwrap_or(bound).min(bound),
            limited_by_request: asked.is_some(),
            marker: query.get("marker").filter(|text| !text.is_empty()).map(str::to_owned),
        })
    }
}

/// What a list shows of more than it shows: items, and the id to go on after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paged<T> {
    pub items: Vec<T>,
    pub next_marker: Option<String>,
}

impl<T> Paged<T> {
    /// Cuts what a query with `LIMIT limit + 1` found to the page.
    pub fn cut(mut found: Vec<T>, limit: usize, id: impl Fn(&T) -> String) -> Self {
        let more = found.len() > limit;
        found.truncate(limit);
        let next_marker = if more { found.last().map(id) } else { None };
        Self { items: found, next_marker }
    }

    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Paged<U> {
        Paged { items: self.items.into_iter().map(f).collect(), next_marker: self.next_marker }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_bounded_and_must_be_a_whole_number() {
        let limit =
            |raw: &str| Page::of(&Query::parse(raw), 1000).map(|page| page.limit).map_err(|error| error.to_string());
        assert_eq!(limit("limit=5"), Ok(5));
        assert_eq!(limit("limit=5000"), Ok(1000));
        assert_eq!(limit(""), Ok(1000));
        assert!(limit("limit=-1").is_err());
        assert!(limit("limit=ten").is_err());
    }

    #[test]
    fn one_row_more_than_the_page_means_there_is_a_next_page() {
        let paged = Paged::cut(vec![1, 2, 3], 2, ToString::to_string);
        assert_eq!((paged.items, paged.next_marker), (vec![1, 2], Some("2".to_owned())));
        assert_eq!(Paged::cut(vec![1, 2], 2, ToString::to_string).next_marker, None);
    }
}
