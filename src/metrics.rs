//! Counters and times, in Prometheus' text form at `GET /metrics`.
//!
//! Labels are few by construction (service, status class, the parameters that operators chose for hashes), so that the
//! number of series is bounded whatever clients ask.

use crate::http::serve::Observer;
use http::StatusCode;
use prometheus::{Encoder, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};
use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    seconds: HistogramVec,
    password_hashes: PasswordHashes,
    answered: AtomicU64,
}

/// How many argon2 derivations there were, by what they were for and what they cost. Clones count together.
#[derive(Clone)]
pub struct PasswordHashes(IntCounterVec);

impl Default for PasswordHashes {
    fn default() -> Self {
        Self::new()
    }
}

impl PasswordHashes {
    pub fn new() -> Self {
        let options = Opts::new("gapura_password_hashes_total", "Argon2 derivations made for passwords and secrets.");
        Self(IntCounterVec::new(options, &["operation", "parameters"]).expect("a constant that is a legal metric"))
    }

    pub fn count(&self, operation: &str, parameters: impl Display) {
        self.0.with_label_values(&[operation, &parameters.to_string()]).inc();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    pub fn new() -> Self {
        let registry = Registry::new();
        let requests =
            IntCounterVec::new(Opts::new("gapura_requests_total", "Requests answered."), &["service", "status"])
                .expect("a constant that is a legal metric");
        let buckets = vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
        let options = HistogramOpts::new("gapura_request_seconds", "Time from a request's head to its answer's.")
            .buckets(buckets);
        let seconds = HistogramVec::new(options, &["service"]).expect("a constant that is a legal metric");
        registry.register(Box::new(requests.clone())).expect("registered once");
        registry.register(Box::new(seconds.clone())).expect("registered once");
        let password_hashes = PasswordHashes::new();
        registry.register(Box::new(password_hashes.0.clone())).expect("registered once");
        Self { registry, requests, seconds, password_hashes, answered: AtomicU64::new(0) }
    }

    /// How many requests were answered since the start.
    pub fn answered_so_far(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// For whoever hashes, to count with.
    pub fn password_hashes(&self) -> PasswordHashes {
        self.password_hashes.clone()
    }

    /// All of it, as Prometheus reads it.
    pub fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).expect("writes into memory");
        text
    }
}

impl Observer for Metrics {
    fn answered(&self, service: &'static str, status: StatusCode, took: Duration) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        let class = match status.as_u16() / 100 {
            1 | 2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        };
        self.requests.with_label_values(&[service, class]).inc();
        self.seconds.with_label_values(&[service]).observe(took.as_secs_f64());
    }
}
