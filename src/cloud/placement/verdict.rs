//! What placement came to, and why.

use crate::error::{Error, Result};
use crate::ids::HostId;
use std::fmt::Write;

/// Hosts before and after a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    pub filter: &'static str,
    pub before: usize,
    pub after: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// In the order in which they were asked, up to the one that left none.
    pub steps: Vec<Left>,
    /// Those that all filters left, the best first, with their weights.
    pub ranked: Vec<(HostId, f64)>,
}

impl Verdict {
    /// The best host.
    ///
    /// # Errors
    /// `Conflict` with the words that tenants of upstream know. Why there is none is for operators:
    /// [`explanation`](Self::explanation).
    pub fn chosen(&self) -> Result<HostId> {
        let best = self.ranked.first().map(|(host, _)| *host);
        best.ok_or_else(|| Error::conflict("No valid host was found. There are not enough hosts available."))
    }

    /// Did this filter leave none of some?
    pub fn failed_at(&self, filter: &str) -> bool {
        self.steps.last().is_some_and(|last| last.filter == filter && last.after == 0 && last.before > 0)
    }

    /// As upstream's scheduler words it in its log.
    pub fn explanation(&self) -> String {
        let mut text = String::from("Filter results: [");
        for (index, Left { filter, before, after }) in self.steps.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(text, "{comma}'{filter}: (start: {before}, end: {after})'").expect("text grows");
        }
        text.push(']');
        text
    }
}
