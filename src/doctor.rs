//! `gapura doctor`: looks for what operators get wrong, changes nothing, and says how to mend each.

use crate::clock::Clock;
use crate::cloud::image::plugins::Plugin;
use crate::config::Config;
use crate::disks::try_out_blank_disks;
use crate::error::with_causes;
use crate::fabric::linux;
use crate::hosts::hypervisor_tls::{Keeper, Place, State, places};
use crate::hosts::membership::Membership;
use crate::hypervisor::Accelerator;
use crate::node::certificates::Purpose;
use crate::store::{Db, StoreSettings};
use crate::tasks::cage;
use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

mod site;

/// Below so many bytes free, uploads and boots will soon fail.
const SCARCE: u64 = 5 << 30;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Well,
    /// Worth knowing; the cloud works.
    Note,
    Broken,
}

#[derive(Debug, Clone)]
struct Finding {
    verdict: Verdict,
    what: String,
    mend: Option<String>,
}

/// What was looked at, and how it is.
#[derive(Debug, Clone, Default)]
pub struct Report(Vec<Finding>);

impl Report {
    /// Is nothing broken?
    pub fn is_well(&self) -> bool {
        self.0.iter().all(|finding| finding.verdict != Verdict::Broken)
    }

    fn well(&mut self, what: impl Into<String>) {
        self.0.push(Finding { verdict: Verdict::Well, what: what.into(), mend: None });
    }

    fn note(&mut self, what: impl Into<String>, mend: impl Into<String>) {
        self.0.push(Finding { verdict: Verdict::Note, what: what.into(), mend: Some(mend.into()) });
    }

    fn broken(&mut self, what: impl Into<String>, mend: impl Into<String>) {
        self.0.push(Finding { verdict: Verdict::Broken, what: what.into(), mend: Some(mend.into()) });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.0 {
            let word = match finding.verdict {
                Verdict::Well => "ok    ",
                Verdict::Note => "note  ",
                Verdict::Broken => "BROKEN",
            };
            writeln!(f, "{word}  {}", finding.what)?;
            if let Some(mend) = &finding.mend {
                writeln!(f, "        {mend}")?;
            }
        }
        let broken = self.0.iter().filter(|finding| finding.verdict == Verdict::Broken).count();
        write!(f, "{} looked at, {broken} broken", self.0.len())
    }
}

/// Looks at everything the settings name.
pub async fn examine(config: &Config) -> Report {
    let mut report = Report::default();
    permissions(config, &mut report);
    if let Some(member) = site::membership_alone(config) {
        report.well(format!("this machine is the host {} of a cloud", member.name));
        host(config, &member.cloud, &mut report).await;
        return report;
    }
    port(config, &mut report);
    let cloud = database(config, &mut report).await;
    image_store(config, &mut report);
    conversion(config, &mut report);
    if config.has_no_host() {
        report.well("this controller has no host of its own");
    } else {
        host(config, cloud.as_deref().unwrap_or("doctor"), &mut report).await;
    }
    if let Some(cloud) = cloud {
        site::others(config, &cloud, &mut report).await;
    }
    report
}

/// This machine as a host.
async fn host(config: &Config, cloud: &str, report: &mut Report) {
    hypervisor(config, cloud, report).await;
    disks(config, report);
    blank_disks(config, report);
    networks(config, report);
    hypervisor_tls(config, report);
    site::as_a_host(config, report);
}

/// Who may read what only Gapura should.
fn permissions(config: &Config, report: &mut Report) {
    if !config.state_dir.is_dir() {
        return report.broken(format!("{} is not there", config.state_dir.display()), "Run `gapura init`.");
    }
    let mut secrets =
        vec![config.state_dir.join("clouds.yaml"), config.state_dir.join("openrc"), config.state_dir.join("gapura.db")];
    secrets
        .extend(fs::read_dir(config.state_dir.join("keys")).into_iter().flatten().flatten().map(|entry| entry.path()));
    if !config.tls.key.as_os_str().is_empty() {
        secrets.push(config.tls.key.clone());
    }
    let open: Vec<String> =
        secrets.iter().filter(|path| others_may_read(path)).map(|path| path.display().to_string()).collect();
    if open.is_empty() {
        report.well("files with secrets are readable by their owner alone");
    } else {
        report.broken(format!("others may read {}", open.join(", ")), format!("chmod 600 {}", open.join(" ")));
    }
}

fn others_may_read(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o077 != 0)
}

/// Is the port free, or ours already?
fn port(config: &Config, report: &mut Report) {
    match std::net::TcpListener::bind(config.listen) {
        Ok(_) => report.well(format!("{} is free to listen on", config.listen)),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => match ask_healthcheck(config) {
            Some(true) => report.well(format!("Gapura answers at {}", config.listen)),
            Some(false) => report.broken(
                format!("something at {} says that it is not healthy", config.listen),
                "Look into its log; if it is not Gapura, set `listen` to another port.",
            ),
            None => report.broken(
                format!("{} is taken by another program", config.listen),
                "Stop it, or set `listen` to another port.",
            ),
        },
        Err(error) => report.broken(
            format!("can't listen on {}: {error}", config.listen),
            "Set `listen` to an address of this machine.",
        ),
    }
}

/// `None` when what answers there does not speak HTTP as Gapura does.
fn ask_healthcheck(config: &Config) -> Option<bool> {
    if !config.tls.key.as_os_str().is_empty() {
        return Some(true);
    }
    let mut stream = TcpStream::connect_timeout(&config.listen, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"GET /healthcheck HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer).ok()?;
    answer
        .contains("x-openstack-request-id")
        .then(|| answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"))
}

/// The cloud's id, when the database could be asked.
async fn database(config: &Config, report: &mut Report) -> Option<String> {
    // Opening a file that is not there would make it.
    if let Some(file) = config.database_url.strip_prefix("sqlite:").filter(|file| !Path::new(file).exists()) {
        report.broken(format!("the database {file} is not there"), "Run `gapura init`, or mend `database_url`.");
        return None;
    }
    let mut settings = StoreSettings::at(config.database_url.clone());
    settings.connections = 1;
    let opened = match Db::open(&settings).await {
        Ok(db) => db.read(crate::store::cloud::existing).await,
        Err(error) => Err(error),
    };
    match opened {
        Ok(Some((id, made_at))) => {
            let ahead = made_at.seconds() - crate::clock::Clock::System.now().seconds();
            if ahead > 60 {
                report.broken(
                    format!("the clock is behind: the database was made {ahead} seconds from now"),
                    "Set the clock and keep it right (chrony or systemd-timesyncd): tokens expire by it.",
                );
            } else {
                report.well("the database answers, and the clock agrees with it");
            }
            Some(id)
        }
        Ok(None) => {
            report.broken("the database is empty", "Run `gapura init`.");
            None
        }
        Err(error) => {
            report.broken(
                format!("the database does not answer: {}", with_causes(&error)),
                "Run `gapura init`, or mend `database_url`.",
            );
            None
        }
    }
}

fn image_store(config: &Config, report: &mut Report) {
    for url in config.images.store_urls() {
        if let Some(folder) = url.strip_prefix("file://").filter(|folder| !Path::new(folder).is_dir()) {
            return report.broken(
                format!("the image store {folder} is not there"),
                "Run `gapura init`, or mend `images.store`.",
            );
        }
    }
    match config.images.open_stores() {
        Ok(stores) if stores.are_named() => {
            report.well(format!("the image stores {} can be opened", stores.names().join(", ")));
        }
        Ok(_) => report.well("the image store can be opened"),
        Err(error) => report.broken(
            format!("the image store can't be opened: {}", with_causes(&error)),
            "Mend `images.store`, `images.store_options` and `images.stores`.",
        ),
    }
}

/// Images are converted in a cage or not at all.
fn conversion(config: &Config, report: &mut Report) {
    let Err(error) = cage::try_out() else { return report.well("images can be converted, in a cage") };
    let what = format!("there is no cage to convert images in: {error}");
    let mend = "Install bubblewrap, util-linux and qemu-utils, and let this user make namespaces.";
    if config.images.image_import_plugins.iter().any(|plugin| plugin == Plugin::Convert.word()) {
        report.broken(what, mend);
    } else {
        report.note(what, mend);
    }
}

async fn hypervisor(config: &Config, cloud: &str, report: &mut Report) {
    let facts = match crate::hosts::hypervisor(config, cloud) {
        Ok(hypervisor) => hypervisor.facts().await,
        Err(error) => Err(error),
    };
    match facts {
        Err(error) => report.broken(
            format!("the hypervisor at {} does not answer: {}", config.hypervisor, with_causes(&error)),
            "Start libvirtd (`systemctl start libvirtd`), or mend `hypervisor`.",
        ),
        Ok(facts) => {
            report.well(format!(
                "the hypervisor on {} answers: {} CPUs, {} MiB, {} {}",
                facts.hostname, facts.vcpus, facts.memory_mib, facts.hypervisor_type, facts.hypervisor_version
            ));
            site::versions(config, &facts, report);
            match facts.accelerator {
                Accelerator::Kvm => report.well("KVM is real: a trial machine ran on it"),
                Accelerator::Tcg if Path::new("/dev/kvm").exists() => report.note(
                    "KVM is advertised, but a trial machine did not run on it; machines are emulated, and slow",
                    "Where this machine is virtual itself, allow nested virtualisation on its host.",
                ),
                Accelerator::Tcg => report.note(
                    "there is no KVM; machines are emulated, and slow",
                    "Switch on VT-x or AMD-V in the firmware and load kvm_intel or kvm_amd.",
                ),
                Accelerator::None => report
                    .note("this hypervisor runs no real machines", "Set `hypervisor` to qemu:///system for real ones."),
            }
        }
    }
}

fn disks(config: &Config, report: &mut Report) {
    let folder = [&config.compute.disks, &config.state_dir].into_iter().find(|folder| folder.is_dir());
    let Some(folder) = folder else {
        return report.broken("there is no folder for machines' disks", "Run `gapura init`.");
    };
    match rustix::fs::statvfs(folder) {
        Ok(measured) => {
            let free = measured.f_bavail.saturating_mul(measured.f_frsize);
            if free < SCARCE {
                let what = format!("only {} MiB are free in {}", free >> 20, folder.display());
                report.broken(what, "Free some, or set `compute.disks` to a folder with room.");
            } else {
                report.well(format!("{} GiB are free where machines' disks are", free >> 30));
            }
        }
        Err(error) => {
            report.broken(format!("{} can't be measured: {error}", folder.display()), "Mend `compute.disks`.")
        }
    }
}

/// Ephemeral disks and swap are made by programs of the system.
fn blank_disks(config: &Config, report: &mut Report) {
    if config.hypervisor == "simulated" {
        return;
    }
    match try_out_blank_disks(&config.compute.default_ephemeral_format) {
        Ok(()) => report.well("ephemeral disks and swap can be made"),
        Err(error) => report.note(
            format!("servers with ephemeral disks or swap can't be made: {error}"),
            "Install util-linux and e2fsprogs (xfsprogs for XFS).",
        ),
    }
}

fn networks(config: &Config, report: &mut Report) {
    if config.network.fabric != "linux" {
        return report.note("networks are simulated", "Set `network.fabric` to \"linux\" for real ones.");
    }
    let findings = linux::checks();
    if findings.is_empty() {
        report.well("networks can be made");
    }
    for finding in findings {
        match finding.severity {
            linux::Severity::Broken => report.broken(finding.text, "Networks won't work until this is mended."),
            linux::Severity::Note => report.note(finding.text, "Networks work all the same."),
        }
    }
}

/// What QEMU and libvirtd show others.
fn hypervisor_tls(config: &Config, report: &mut Report) {
    let is_node = Membership::load(config).is_ok_and(|member| member.is_some());
    for place in places(config) {
        // A controller says whether moves go over TLS; on another host it is only known that they may.
        let is_asked_for = match place.purpose {
            Purpose::Migration => config.migration.with_native_tls,
            Purpose::Libvirtd => config.compute.live_migration_uri.starts_with("qemu+tls:"),
        };
        if is_asked_for || is_node || place.keeper() == Keeper::Gapura {
            certificates(&place, is_asked_for, report);
        }
    }
}

fn certificates(place: &Place, is_asked_for: bool, report: &mut Report) {
    let name = place.name();
    let (reader, again) =
        (&place.reader.name, "Say gapura node join again, or on a controller start gapura serve again.");
    let (what, mend) = match place.state(Clock::System.now()) {
        State::Good(ends) => {
            let whose = if place.keeper() == Keeper::Operator { "an operator's" } else { "this cloud's" };
            return report.well(format!("{name} has {whose} certificates until {}", ends.to_seconds_z()));
        }
        State::EndsSoon(ends) => {
            let mend = if place.keeper() == Keeper::Operator { "Renew them." } else { again };
            return report.note(format!("the certificates of {name} end at {}", ends.to_seconds_z()), mend);
        }
        State::Ended(ends) => {
            (format!("the certificates of {name} ended at {}", ends.to_seconds_z()), again.to_owned())
        }
        State::Missing(path) => (
            format!("{name} has no certificates for TLS: {} is missing", path.display()),
            if place.keeper() == Keeper::Operator {
                "Add it: what is there is not Gapura's, which leaves it alone.".to_owned()
            } else {
                "They come with gapura node join; a controller's own machine gets them from gapura serve with `nodes.listen`."
                    .to_owned()
            },
        ),
        State::Unreadable(path) => (
            format!("{reader} can't read {}, which {name} needs for TLS", path.display()),
            format!("chown {reader} {}, and let it pass through the folders above.", path.display()),
        ),
        State::Open(path) => {
            let what = format!("others may read {}, a key of {name}", path.display());
            return report.broken(what, format!("chmod 600 {}", path.display()));
        }
        State::Wrong(why) => (format!("the certificates of {name} can't be used: {why}"), again.to_owned()),
    };
    if is_asked_for { report.broken(what, mend) } else { report.note(what, mend) }
}
