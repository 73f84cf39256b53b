//! What a machine that joined tells its controller of itself, and how it keeps what it gets.

use super::hypervisor_tls::{self, Place, Reached};
use super::membership::Membership;
use crate::certificate::Certificate;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::node::VERSION;
use crate::node::authority::host_role;
use crate::node::papers::{Hello, Papers, Renewed};
use crate::node::trust::Shown;
use parking_lot::Mutex;
use std::sync::Arc;

pub struct Kept {
    config: Config,
    places: Vec<Place>,
    member: Mutex<Membership>,
    shown: Arc<Shown>,
}

impl Kept {
    pub fn new(config: &Config, member: Membership, shown: Arc<Shown>) -> Self {
        Self { config: config.clone(), places: hypervisor_tls::places(config), member: Mutex::new(member), shown }
    }

    fn take_own(&self, certificate: &str) -> Result<()> {
        let der = hex::decode(certificate).map_err(|_| Error::bad_request("That is no certificate"))?;
        let mut member = self.member.lock();
        let (before, after) = (Certificate::parse(&member.identity()?.certificate)?, Certificate::parse(&der)?);
        if after == before {
            return Ok(());
        }
        if after.public_key != before.public_key || !after.names.contains(&host_role(member.id)) {
            return Err(Error::bad_request("The certificate is another host's"));
        }
        let renewed = member.renewed(&der);
        renewed.keep(&self.config, Clock::System.now())?;
        self.shown.becomes(&renewed.identity()?)?;
        *member = renewed;
        tracing::info!(until = after.ends.to_seconds_z(), "this host has a new certificate");
        Ok(())
    }
}

impl Papers for Kept {
    fn hello(&self) -> Result<Hello> {
        let own = Certificate::parse(&self.member.lock().identity()?.certificate)?;
        let now = Clock::System.now();
        let (wanted, _) = hypervisor_tls::wanted(&self.places, &Reached::of(&self.config), false, now);
        let public_key = hex::encode(&own.public_key);
        Ok(Hello { version: VERSION.to_owned(), now, public_key, begins: own.begins, ends: own.ends, wanted })
    }

    fn take(&self, renewed: &Renewed) -> Result<()> {
        hypervisor_tls::keep(&self.places, &renewed.granted).iter().for_each(|note| tracing::info!("{note}"));
        renewed.own.as_ref().map_or(Ok(()), |certificate| self.take_own(certificate))
    }
}
