//! Failed logins, counted by the user that was asked for and by the address that asked.
//!
//! What is counted is the name or id as it was given, whether or not there is such a user, so that being turned away tells
//! nothing about who exists. Successes never count and never clear the count: a guesser with an account of their own must
//! not be able to reset it. Counts live in memory, a window's length, a bounded number of them.

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

const REMEMBERED: usize = 20_000;

pub struct Failures {
    per_user: usize,
    per_address: usize,
    window: i64,
    seen: Mutex<HashMap<Key, VecDeque<Timestamp>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    User(String),
    Address(IpAddr),
}

impl Failures {
    pub fn new(per_user: usize, per_address: usize, window: i64) -> Self {
        Self { per_user, per_address, window, seen: Mutex::new(HashMap::new()) }
    }

    /// Refuses when the user or the address has failed too often.
    ///
    /// # Errors
    /// `TooManyRequests`.
    pub fn check(&self, user: &str, address: Option<IpAddr>, now: Timestamp) -> Result<()> {
        let seen = self.seen.lock();
        let since = now.plus_seconds(-self.window);
        let is_over = |key: &Key, bound: usize| {
            let count = seen.get(key).map_or(0, |times| times.iter().filter(|time| **time > since).count());
            bound > 0 && count >= bound
        };
        let user = Key::User(user.to_owned());
        if is_over(&user, self.per_user) || address.is_some_and(|ip| is_over(&Key::Address(ip), self.per_address)) {
            return Err(Error::TooManyRequests("Too many logins have failed. Wait a minute and try again.".to_owned()));
        }
        Ok(())
    }

    /// Counts a failure.
    pub fn count(&self, user: &str, address: Option<IpAddr>, now: Timestamp) {
        let mut seen = self.seen.lock();
        let since = now.plus_seconds(-self.window);
        if seen.len() >= REMEMBERED {
            seen.retain(|_, times| times.back().is_some_and(|time| *time > since));
        }
        if seen.len() >= REMEMBERED {
            // A flood of made-up names; addresses are what still bounds it.
            seen.retain(|key, _| matches!(key, Key::Address(_)));
        }
        let keys =
            [Some((Key::User(user.to_owned()), self.per_user)), address.map(|ip| (Key::Address(ip), self.per_address))];
        for (key, bound) in keys.into_iter().flatten() {
            let times = seen.entry(key).or_default();
            times.push_back(now);
            while times.len() > bound.max(1) || times.front().is_some_and(|time| *time <= since) {
                times.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000_000);

    #[test]
    fn a_user_waits_after_too_many_failures_until_the_window_has_passed() {
        let failures = Failures::new(3, 0, 60);
        for _ in 0..3 {
            failures.check("alice", None, NOW).unwrap();
            failures.count("alice", None, NOW);
        }
        assert!(failures.check("alice", None, NOW.plus_seconds(59)).is_err());
        assert!(failures.check("bob", None, NOW).is_ok());
        assert!(failures.check("alice", None, NOW.plus_seconds(61)).is_ok());
    }

    #[test]
    fn an_address_waits_whichever_names_it_tries() {
        let failures = Failures::new(100, 3, 60);
        let address = Some(IpAddr::from([192, 0, 2, 1]));
        for name in ["a", "b", "c"] {
            failures.count(name, address, NOW);
        }
        assert!(failures.check("d", address, NOW).is_err());
        assert!(failures.check("d", Some(IpAddr::from([192, 0, 2, 2])), NOW).is_ok());
    }

    #[test]
    fn a_flood_of_names_does_not_grow_without_bound() {
        let failures = Failures::new(3, 3, 60);
        for number in 0..REMEMBERED + 10 {
            failures.count(&number.to_string(), None, NOW);
        }
        assert!(failures.seen.lock().len() <= REMEMBERED);
    }
}
