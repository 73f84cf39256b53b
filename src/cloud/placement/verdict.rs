//! What placement came to, and why.

use super::Candidate;
use crate::error::{Error, Result};
use crate::ids::HostId;
use std::collections::HashMap;
use std::fmt::Write;

/// Upstream's sentence, by which clients know it.
const NOWHERE: &str = "No valid host was found. There are not enough hosts available.";

/// Hosts that an explanation names of each filter: it is kept with the server.
const MOST_NAMED: usize = 20;

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
    /// The others, each with the filter that refused it first.
    pub refused: Vec<(HostId, &'static str)>,
    /// Those that all filters left, the best first, with their weights.
    pub ranked: Vec<(HostId, f64)>,
}

impl Verdict {
    /// The best host.
    ///
    /// # Errors
    /// `Conflict` with the words that tenants of upstream know, and how many hosts each filter refused. Which hosts those are
    /// is for operators: [`explanation`](Self::explanation).
    pub fn chosen(&self) -> Result<HostId> {
        let best = self.ranked.first().map(|(host, _)| *host);
        best.ok_or_else(|| Error::conflict(format!("{NOWHERE}{}", self.counts())))
    }

    /// Did this filter leave none of some?
    pub fn failed_at(&self, filter: &str) -> bool {
        self.steps.last().is_some_and(|last| last.filter == filter && last.after == 0 && last.before > 0)
    }

    /// ` Of 3 hosts, ComputeFilter refused 1, Resources 2.`
    fn counts(&self) -> String {
        let Some(Left { before: all, .. }) = self.steps.first().filter(|first| first.before > 0) else {
            return String::new();
        };
        let noun = if *all == 1 { "host" } else { "hosts" };
        let refusing = self.steps.iter().filter(|step| step.after < step.before);
        let counts: Vec<String> =
            refusing.map(|step| format!("{} refused {}", step.filter, step.before - step.after)).collect();
        format!(" Of {all} {noun}, {}.", counts.join(", "))
    }

    /// As upstream's scheduler words it in its log, and then which hosts each filter refused.
    pub fn explanation(&self, hosts: &[Candidate]) -> String {
        let mut text = String::from("Filter results: [");
        for (index, Left { filter, before, after }) in self.steps.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(text, "{comma}'{filter}: (start: {before}, end: {after})'").expect("text grows");
        }
        text.push(']');
        let names: HashMap<HostId, &str> = hosts.iter().map(|host| (host.id, host.name.as_str())).collect();
        for step in self.steps.iter().filter(|step| step.after < step.before) {
            let of_filter = self.refused.iter().filter(|(_, filter)| *filter == step.filter);
            let some: Vec<&str> = of_filter.filter_map(|(host, _)| names.get(host).copied()).take(MOST_NAMED).collect();
            let more = (step.before - step.after).saturating_sub(some.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            write!(text, " {} refused {}{more}.", step.filter, some.join(", ")).expect("text grows");
        }
        text
    }
}
