//! Moves of running servers between hosts: what is measured of them, when a guest is given more time to stand still, and when
//! a move has taken too long.
//!
//! A guest that changes its memory faster than it can be sent is never done: so it may stand still a little longer at the
//! switch with each while that passes, and in the end somebody decides. The numbers and their defaults are upstream's.

pub mod plot;

use serde::{Deserialize, Serialize};

/// Bytes of one sort.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Amount {
    pub total: u64,
    pub processed: u64,
    pub remaining: u64,
}

/// What a hypervisor counted of a move.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Measured {
    pub elapsed_ms: u64,
    /// How long the guest stood still; while it goes on, how long it is expected to.
    pub downtime_ms: Option<u64>,
    pub setup_ms: Option<u64>,
    pub memory: Amount,
    pub disk: Amount,
    /// How often memory was gone through.
    pub iterations: u64,
    /// Bytes of memory that the guest changed in a second.
    pub dirty_rate: u64,
    /// Bytes a second.
    pub memory_speed: u64,
    pub disk_speed: u64,
    /// By how many percent the guest was slowed down.
    pub throttle: u64,
    /// Pages that the guest waited for after the switch.
    pub postcopy_requests: u64,
}

impl Measured {
    /// What is kept of a move that has got there: the target's last word, which knows nothing of disks and of what was done
    /// to the guest on the way (and after post-copy nothing at all), with what was seen of those before.
    #[must_use]
    pub fn at_the_end(told: Option<Self>, seen: Option<Self>) -> Self {
        let seen = seen.unwrap_or_default();
        let Some(told) = told else { return Self { memory: seen.memory.done(), disk: seen.disk.done(), ..seen } };
        let or = |told: u64, seen: u64| if told == 0 { seen } else { told };
        Self {
            disk: if told.disk.total == 0 { seen.disk.done() } else { told.disk },
            iterations: or(told.iterations, seen.iterations),
            dirty_rate: or(told.dirty_rate, seen.dirty_rate),
            disk_speed: or(told.disk_speed, seen.disk_speed),
            throttle: or(told.throttle, seen.throttle),
            postcopy_requests: or(told.postcopy_requests, seen.postcopy_requests),
            ..told
        }
    }
}

impl Amount {
    /// Nothing remains.
    const fn done(self) -> Self {
        Self { processed: self.processed + self.remaining, remaining: 0, ..self }
    }
}

/// How much remained when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    pub at_ms: u64,
    pub memory: u64,
    pub disk: u64,
}

/// As many points as a plot keeps: when there are more, every second one goes.
pub const MOST_POINTS: usize = 400;

/// Adds a point; a long move is remembered as coarsely as its length allows.
pub fn add_point(plot: &mut Vec<Point>, point: Point) {
    if plot.len() >= MOST_POINTS {
        let mut index = 0;
        plot.retain(|_| {
            index += 1;
            index % 2 == 1
        });
    }
    plot.push(point);
}

/// What ends a move that takes too long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnTimeout {
    #[default]
    Abort,
    /// Post-copy, or a guest that stands still until it is there.
    ForceComplete,
}

/// How long moves may take: upstream's `live_migration_…` settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The longest that a guest may stand still at the switch, in milliseconds.
    pub downtime_ms: u64,
    /// In how many steps that is come to.
    pub downtime_steps: u64,
    /// Seconds between two steps, for each GiB that is moved.
    pub downtime_delay: u64,
    /// Seconds for each GiB that is moved; 0: as long as it likes.
    pub completion_timeout: u64,
    pub on_timeout: OnTimeout,
    /// How many seconds it is tried to put together a guest that is in two parts, because its hosts lost each other after the
    /// switch to post-copy. Upstream leaves that to somebody at a shell.
    pub recovery_timeout: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            downtime_ms: 500,
            downtime_steps: 10,
            downtime_delay: 75,
            completion_timeout: 800,
            on_timeout: OnTimeout::Abort,
            recovery_timeout: 600,
        }
    }
}

impl Pace {
    /// How long the guest may stand still after so many seconds of moving so many GiB.
    pub const fn downtime_after(&self, seconds: u64, gib: u64) -> u64 {
        let steps = if self.downtime_steps < 3 { 3 } else { self.downtime_steps };
        let first = self.downtime_ms / steps;
        let more = (self.downtime_ms - first) / steps;
        let delay = if self.downtime_delay < 3 { 3 } else { self.downtime_delay } * at_least_two(gib);
        let step = seconds / delay;
        if step >= steps { self.downtime_ms } else { first + more * step }
    }

    /// Has it taken too long?
    pub const fn is_over(&self, seconds: u64, gib: u64) -> bool {
        self.completion_timeout > 0 && seconds > self.completion_timeout.saturating_mul(at_least_two(gib))
    }
}

/// Upstream counts no move as smaller.
const fn at_least_two(gib: u64) -> u64 {
    if gib < 2 { 2 } else { gib }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_may_stand_still_longer_with_each_step_and_never_longer_than_allowed() {
        let pace = Pace::default();
        assert_eq!(pace.downtime_after(0, 1), 50);
        assert_eq!(pace.downtime_after(149, 1), 50);
        assert_eq!(pace.downtime_after(150, 1), 95);
        assert_eq!(pace.downtime_after(150, 4), 50);
        assert_eq!(pace.downtime_after(1_500, 2), 500);
        assert_eq!(pace.downtime_after(u64::MAX, 2), 500);
    }

    #[test]
    fn a_move_is_given_time_by_its_size() {
        let pace = Pace::default();
        assert!(!pace.is_over(1_600, 0) && pace.is_over(1_601, 2));
        assert!(!pace.is_over(1_601, 3));
        assert!(!Pace { completion_timeout: 0, ..pace }.is_over(u64::MAX, 0));
    }

    #[test]
    fn what_the_target_does_not_know_of_a_move_is_kept_as_it_was_last_seen() {
        let seen = Measured {
            elapsed_ms: 900,
            downtime_ms: Some(300),
            memory: Amount { total: 100, processed: 90, remaining: 10 },
            disk: Amount { total: 20, processed: 19, remaining: 1 },
            throttle: 40,
            ..Measured::default()
        };
        let memory = Amount { total: 100, processed: 110, remaining: 0 };
        let told = Measured { elapsed_ms: 1000, downtime_ms: Some(70), memory, iterations: 3, ..Measured::default() };
        let disk = Amount { total: 20, processed: 20, remaining: 0 };
        assert_eq!(
            Measured::at_the_end(Some(told), Some(seen)),
            Measured { disk, throttle: 40, ..told },
            "the target's, and what it says nothing of"
        );
        let memory = Amount { total: 100, processed: 100, remaining: 0 };
        assert_eq!(Measured::at_the_end(None, Some(seen)), Measured { memory, disk, ..seen });
        assert_eq!(Measured::at_the_end(Some(told), None), told);
    }

    #[test]
    fn a_plot_stays_bounded_and_keeps_its_ends() {
        let mut plot = Vec::new();
        for at_ms in 0..10_000 {
            add_point(&mut plot, Point { at_ms, memory: 1, disk: 0 });
        }
        assert!(plot.len() <= MOST_POINTS);
        assert_eq!((plot[0].at_ms, plot[plot.len() - 1].at_ms), (0, 9_999));
        assert!(plot.is_sorted_by_key(|point| point.at_ms));
    }
}
