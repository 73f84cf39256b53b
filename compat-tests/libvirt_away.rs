//! libvirtd dies in the middle of work and comes back, as when its package is upgraded: what was wished is had all the same.
//!
//! Gapura itself goes on here; that it is killed is `crash`'s subject. The moments are told by what libvirt and the API show
//! at the time, so that each run hits another instant around them.

use crate::cloud::eventually;
use crate::lab::{Daemon, Lab, Server};

/// When the daemon dies.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// The request is answered, nothing else is known.
    Accepted,
    /// The machine is about to be made.
    Spawning,
    /// The domain is there, running or not.
    Defined,
    /// Its process is there: starting up, or running already.
    Started,
}

impl Moment {
    const ALL: [Self; 4] = [Self::Accepted, Self::Spawning, Self::Defined, Self::Started];

    fn wait(self, lab: &Lab, server: &Server) {
        let is_there = |which: &str| lab.daemon.machines(which).contains(&server.id);
        eventually(&format!("{self:?}"), || {
            let has_come = match self {
                Self::Accepted => true,
                Self::Spawning => {
                    let shown = lab.show(server).json()["server"].take();
                    shown["OS-EXT-STS:task_state"] == "spawning" || shown["status"] != "BUILD"
                }
                Self::Defined => is_there("--all"),
                Self::Started => is_there("--state-paused") || is_there("--state-running"),
            };
            has_come.then_some(())
        });
    }
}

#[test]
fn a_boot_outlives_the_death_of_libvirtd_at_any_moment_and_runs_once() {
    let Some(daemon) = Daemon::own() else { return };
    let lab = Lab::open(daemon);
    for moment in Moment::ALL {
        let server = lab.create();
        moment.wait(&lab, &server);
        lab.daemon.kill();
        let shown = lab.settled(&server);
        assert_eq!(shown["status"], "ACTIVE", "{moment:?}: {shown}");
        lab.is_running_once(&server);
        lab.deleted_leaves_nothing(&server);
    }
}

#[test]
fn a_deletion_outlives_the_death_of_libvirtd_and_leaves_nothing() {
    let Some(daemon) = Daemon::own() else { return };
    let lab = Lab::open(daemon);
    for _ in 0..3 {
        let server = lab.running();
        let taps = lab.taps(&server);
        lab.delete(&server);
        lab.daemon.kill();
        lab.gone(&server);
        lab.nothing_is_left(&server, &taps);
    }
}
