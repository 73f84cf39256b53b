//! Sees to certificates before they are missed: what this controller's own machine shows others' hypervisors.

use super::hypervisor_tls::{self, Reached};
use crate::clock::Clock;
use crate::config::Config;
use crate::error::with_causes;
use crate::node::certificates::Authorities;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Certificates live for years; what an operator took away is back after so long.
const EVERY: Duration = Duration::from_secs(3600);

pub struct Renewal {
    pub config: Config,
    pub clock: Clock,
    pub authorities: Arc<Authorities>,
}

impl Renewal {
    /// Looks until `stop` resolves.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut said = Vec::new();
        loop {
            let notes = self.see_to_own();
            if notes != said {
                notes.iter().for_each(|note| tracing::info!("{note}"));
                said = notes;
            }
            tokio::select! {
                () = sleep(EVERY) => {}
                () = &mut stop => return,
            }
        }
    }

    fn see_to_own(&self) -> Vec<String> {
        let places = hypervisor_tls::places(&self.config);
        if places.is_empty() {
            return Vec::new();
        }
        let host = super::id_of(self.authorities.cloud.cloud(), &super::machine(&self.config));
        let reached = Reached::of(&self.config);
        let seen_to = hypervisor_tls::see_to(&places, &reached, host, &self.authorities, self.clock.now());
        seen_to.unwrap_or_else(|error| vec![format!("this machine gets no certificates: {}", with_causes(&error))])
    }
}
