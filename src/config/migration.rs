//! How running servers move between hosts. Names and meanings are those of upstream's `[libvirt] live_migration_…`.

use crate::cloud::moving::{OnTimeout, Pace};
use crate::error::{Error, Result};
use crate::hypervisor::Limits;
use crate::tasks::migrate_server::Moving;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Migration {
    /// MiB a second that a move may send; 0: as fast as it goes.
    pub bandwidth: u64,
    /// How long a guest may stand still at the switch, in milliseconds.
    pub downtime: u64,
    /// In how many steps that is come to.
    pub downtime_steps: u64,
    /// Seconds between two steps, for each GiB that is moved.
    pub downtime_delay: u64,
    /// Seconds that a move may take for each GiB that is moved; 0: as long as it likes.
    pub completion_timeout: u64,
    /// What then becomes of it: `abort` or `force_complete`.
    pub timeout_action: String,
    /// Seconds for which it is tried to put a guest together whose hosts lost each other after the switch to post-copy.
    pub recovery_timeout: u64,
    /// May a guest go on at the other host before all its memory is there?
    pub permit_post_copy: bool,
    /// Is a guest slowed down that changes its memory faster than it can be sent?
    pub permit_auto_converge: bool,
    /// Connections at once, where both hosts' QEMU can.
    pub parallel_connections: u32,
    /// Empty, or `zstd`: memory is packed on its way, where both hosts can.
    pub compression: String,
    /// Hosts speak TLS with each other, with the certificates that their libvirt has for it.
    pub with_native_tls: bool,
}

impl Default for Migration {
    fn default() -> Self {
        let pace = Pace::default();
        Self {
            bandwidth: 0,
            downtime: pace.downtime_ms,
            downtime_steps: pace.downtime_steps,
            downtime_delay: pace.downtime_delay,
            completion_timeout: pace.completion_timeout,
            timeout_action: "abort".to_owned(),
            recovery_timeout: pace.recovery_timeout,
            permit_post_copy: false,
            permit_auto_converge: false,
            parallel_connections: 1,
            compression: String::new(),
            with_native_tls: false,
        }
    }
}

impl Migration {
    /// As the workflow goes by.
    ///
    /// # Errors
    /// `BadRequest` for a value that upstream refuses as well.
    pub fn moving(&self) -> Result<Moving> {
        let at_least = |name: &str, value: u64, least: u64| match value {
            value if value < least => Err(refused(name, &value.to_string(), &format!("at least {least}"))),
            value => Ok(value),
        };
        let on_timeout = match self.timeout_action.as_str() {
            "abort" => OnTimeout::Abort,
            "force_complete" => OnTimeout::ForceComplete,
            other => return Err(refused("timeout_action", &format!("{other:?}"), "abort or force_complete")),
        };
        let zstd = match self.compression.as_str() {
            "" => false,
            "zstd" => true,
            other => return Err(refused("compression", &format!("{other:?}"), "zstd, or empty")),
        };
        at_least("parallel_connections", self.parallel_connections.into(), 1)?;
        Ok(Moving {
            limits: Limits {
                bandwidth_mib: (self.bandwidth > 0).then_some(self.bandwidth),
                auto_converge: self.permit_auto_converge,
                post_copy: self.permit_post_copy,
                connections: self.parallel_connections,
                zstd,
                tls: self.with_native_tls,
            },
            pace: Pace {
                downtime_ms: at_least("downtime", self.downtime, 100)?,
                downtime_steps: at_least("downtime_steps", self.downtime_steps, 3)?,
                downtime_delay: at_least("downtime_delay", self.downtime_delay, 3)?,
                completion_timeout: self.completion_timeout,
                on_timeout,
                recovery_timeout: self.recovery_timeout,
            },
        })
    }
}

fn refused(name: &str, value: &str, what: &str) -> Error {
    Error::bad_request(format!("migration.{name} = {value}: it is {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_is_as_upstream_has_it() {
        assert_eq!(
            Migration::default().moving().unwrap(),
            Moving { limits: Limits { connections: 1, ..Limits::default() }, pace: Pace::default() }
        );
    }

    #[test]
    fn every_setting_is_heeded() {
        let set = Migration {
            bandwidth: 8,
            downtime: 300,
            downtime_steps: 5,
            downtime_delay: 10,
            completion_timeout: 0,
            timeout_action: "force_complete".to_owned(),
            recovery_timeout: 30,
            permit_post_copy: true,
            permit_auto_converge: true,
            parallel_connections: 4,
            compression: "zstd".to_owned(),
            with_native_tls: true,
        };
        let limits = Limits {
            bandwidth_mib: Some(8),
            auto_converge: true,
            post_copy: true,
            connections: 4,
            zstd: true,
            tls: true,
        };
        let pace = Pace {
            downtime_ms: 300,
            downtime_steps: 5,
            downtime_delay: 10,
            completion_timeout: 0,
            on_timeout: OnTimeout::ForceComplete,
            recovery_timeout: 30,
        };
        assert_eq!(set.moving().unwrap(), Moving { limits, pace });
    }

    #[test]
    fn what_upstream_refuses_is_refused() {
        let default = Migration::default;
        for wrong in [
            Migration { downtime: 99, ..default() },
            Migration { downtime_steps: 2, ..default() },
            Migration { downtime_delay: 2, ..default() },
            Migration { parallel_connections: 0, ..default() },
            Migration { timeout_action: "wait".to_owned(), ..default() },
            Migration { compression: "xbzrle".to_owned(), ..default() },
        ] {
            assert!(wrong.moving().is_err(), "{wrong:?}");
        }
    }
}
