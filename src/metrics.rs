//! Counters and times, in Prometheus' text form at `GET /metrics`.
//!
//! Labels are few by construction (service and status class), so that the number of series is bounded whatever clients ask.

use crate::http::serve::Observer;
use http::StatusCode;
use prometheus::{Encoder, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};
use std::time::Duration;

pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    seconds: HistogramVec,
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
        Self { registry, requests, seconds }
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
