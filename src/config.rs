//! Settings: a TOML file, then the environment over it, checked once at start.
//!
//! Every setting is listed with its default in `etc/gapura.toml`, and a test holds the two together. Each can be given by
//! the environment: `GAPURA_` and its path in upper case, `__` between levels (`GAPURA_COMPUTE__ACCELERATOR=tcg`).
//! An unknown key is an error that names the nearest known one, since a misspelt setting that is silently ignored is a
//! setting the operator believes to be in force.

mod images;
mod migration;
pub mod network;
mod nodes;

pub use images::{Images, StoreSetting};
pub use migration::Migration;
pub use network::Network;
pub use nodes::{Node, Nodes};

use crate::api::IdentitySettings;
use crate::cloud::blank_disks::{FORMATS, Rules};
use crate::cloud::placement::{self, Demand, Ratios};
use crate::error::{Error, Result};
use crate::tasks::overdue::Waits;
use crate::tasks::reconcile::Promises;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Everything Gapura keeps on disk, unless a setting below says otherwise.
    pub state_dir: PathBuf,
    pub listen: SocketAddr,
    /// What clients reach us by; empty: `http(s)://` and `listen`.
    pub public_url: String,
    /// Whose pages' scripts may call, from a browser: `https://dashboard.example`.
    pub allowed_origins: Vec<String>,
    /// Listen without TLS on an address that other machines reach.
    pub insecure_listen: bool,
    /// `sqlite:PATH` or `postgres://…`; empty: `sqlite:` and `gapura.db` in the state directory.
    pub database_url: String,
    /// Connections to PostgreSQL.
    pub database_connections: usize,
    /// A libvirt URI (`qemu:///system`, `test:///default`), `simulated`, or `none`.
    pub hypervisor: String,
    pub region: String,
    /// Rules that take the place of defaults; empty: none.
    pub policy_file: PathBuf,
    pub tls: Tls,
    pub log: Log,
    pub identity: IdentitySettings,
    pub images: Images,
    pub compute: Compute,
    pub placement: placement::Rules,
    pub migration: Migration,
    pub simulated: SimulatedHosts,
    pub network: Network,
    pub quota: Quota,
    pub audit: AuditSettings,
    pub nodes: Nodes,
    pub node: Node,
    pub init: Init,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state_dir: PathBuf::from("/var/lib/gapura"),
            listen: SocketAddr::from(([127, 0, 0, 1], 5000)),
            public_url: String::new(),
            allowed_origins: Vec::new(),
            insecure_listen: false,
            database_url: String::new(),
            database_connections: 4,
            hypervisor: "qemu:///system".to_owned(),
            region: "RegionOne".to_owned(),
            policy_file: PathBuf::new(),
            tls: Tls::default(),
            log: Log::default(),
            identity: IdentitySettings::default(),
            images: Images::default(),
            compute: Compute::default(),
            placement: placement::Rules::default(),
            migration: Migration::default(),
            simulated: SimulatedHosts::default(),
            network: Network::default(),
            quota: Quota::default(),
            audit: AuditSettings::default(),
            nodes: Nodes::default(),
            node: Node::default(),
            init: Init::default(),
        }
    }
}

/// Certificate chain and key, PEM; both or neither.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `text` or `json`.
    pub format: String,
    /// In the language of `tracing_subscriber::EnvFilter`: `info`, `gapura=debug,access=off`.
    pub filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: "text".to_owned(), filter: "info,access=info".to_owned() }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Compute {
    /// `auto` (a trial tells), `kvm` or `tcg`.
    pub accelerator: String,
    /// The host's name; empty: as the hypervisor says.
    pub host: String,
    /// Where machines' disks are; empty: `instances` in the state directory.
    pub disks: PathBuf,
    pub cpu_allocation_ratio: f64,
    pub ram_allocation_ratio: f64,
    pub disk_allocation_ratio: f64,
    /// Kept for the host itself: CPUs, MiB of memory, MiB of disk.
    pub reserved_host_cpus: u64,
    pub reserved_host_memory_mb: u64,
    pub reserved_host_disk_mb: u64,
    /// How long a guest may take to shut down before it is powered off, in seconds.
    pub shutdown_timeout: u32,
    /// For so many seconds a deleted server can be restored; 0: not at all.
    pub reclaim_instance_interval: u32,
    /// After so many seconds a resize is taken for confirmed; 0: never.
    pub resize_confirm_window: u32,
    /// After so many seconds a shelved server leaves its host; 0: at once; less: never.
    pub shelved_offload_time: i64,
    /// The file system of an ephemeral disk for which none is asked: `ext2`, `ext3`, `ext4` or `xfs`.
    pub default_ephemeral_format: String,
    /// How many local disks a server may have, its own included; less than 0: any number.
    pub max_local_block_devices: i64,
    /// By which the libvirt of another host reaches this one's, for machines that come here; empty: `hypervisor`.
    pub live_migration_uri: String,
}

impl Default for Compute {
    fn default() -> Self {
        Self {
            accelerator: "auto".to_owned(),
            host: String::new(),
            disks: PathBuf::new(),
            cpu_allocation_ratio: 4.0,
            ram_allocation_ratio: 1.0,
            disk_allocation_ratio: 1.0,
            reserved_host_cpus: 0,
            reserved_host_memory_mb: 512,
            reserved_host_disk_mb: 0,
            shutdown_timeout: 60,
            reclaim_instance_interval: 0,
            resize_confirm_window: 0,
            shelved_offload_time: 0,
            default_ephemeral_format: "ext4".to_owned(),
            max_local_block_devices: 3,
            live_migration_uri: String::new(),
        }
    }
}

impl Compute {
    /// What may be promised of each host.
    pub const fn promises(&self) -> Promises {
        Promises {
            ratios: Ratios {
                cpu: self.cpu_allocation_ratio,
                memory: self.ram_allocation_ratio,
                disk: self.disk_allocation_ratio,
            },
            reserved: Demand {
                vcpus: self.reserved_host_cpus,
                memory_mib: self.reserved_host_memory_mb,
                // As upstream: whole GiB, rounded up.
                disk_gib: self.reserved_host_disk_mb.div_ceil(1024),
            },
        }
    }

    /// After how long what nobody decides about a server is decided.
    pub fn waits(&self) -> Waits {
        let unless_zero = |seconds: u32| (seconds > 0).then_some(seconds);
        // What is further off than that is never.
        let offload = u32::try_from(self.shelved_offload_time).ok();
        Waits {
            reclaim: unless_zero(self.reclaim_instance_interval),
            confirm: unless_zero(self.resize_confirm_window),
            offload,
        }
    }

    /// What servers may have of disks besides their own.
    pub fn local_disks(&self) -> Rules {
        Rules { default_format: self.default_ephemeral_format.clone(), most_disks: self.max_local_block_devices }
    }

    fn check(&self) -> Result<()> {
        let format = self.default_ephemeral_format.as_str();
        if FORMATS.contains(&format) {
            return Ok(());
        }
        let known = FORMATS.join(", ");
        Err(Error::bad_request(format!("compute.default_ephemeral_format = {format} is none of {known}")))
    }
}

/// What `hypervisor = "simulated"` pretends to have. Several hosts are called `sim-1`, `sim-2`, …, and all are alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimulatedHosts {
    pub hosts: u32,
    pub vcpus: u32,
    pub memory_mb: u64,
    pub disk_gb: u64,
}

impl Default for SimulatedHosts {
    fn default() -> Self {
        Self { hosts: 1, vcpus: 64, memory_mb: 256 * 1024, disk_gb: 1024 }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quota {
    /// Hold compute and images to the limits that identity keeps, in place of compute's own quota sets.
    pub unified_limits: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditSettings {
    /// Where changes of identity and logins are told, below the state directory if it is no whole path; empty: nowhere.
    pub file: PathBuf,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self { file: PathBuf::from("audit.log") }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Init {
    /// A qcow2 file to register as the public image `gapura-test`; empty: none.
    pub image: PathBuf,
    /// A folder of metadata definitions, a JSON file a namespace; empty: those the program brings along.
    pub metadefs: PathBuf,
}

impl Config {
    /// Reads the file, if one is given, and the environment over it.
    ///
    /// # Errors
    /// `BadRequest` with a sentence for the operator.
    pub fn load(file: Option<&Path>, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let mut given = match file {
            None => toml::Table::new(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| Error::bad_request(format!("can't read {}: {error}", path.display())))?;
                text.parse().map_err(|error| Error::bad_request(format!("{}: {error}", path.display())))?
            }
        };
        let known = known_keys();
        check_keys(&given, &known, "")?;
        for (name, value) in environment {
            if let Some(path) = name.strip_prefix("GAPURA_") {
                overlay(&mut given, &known, &name, path, &value)?;
            }
        }
        let config: Self =
            given.try_into().map_err(|error: toml::de::Error| Error::bad_request(error.message().to_owned()))?;
        config.complete()
    }

    /// Is this a controller whose hosts are all other machines?
    pub fn has_no_host(&self) -> bool {
        self.hypervisor == "none"
    }

    /// Fills what follows from other settings, and refuses what contradicts itself.
    fn complete(mut self) -> Result<Self> {
        let secure = !self.tls.certificate.as_os_str().is_empty();
        if secure == self.tls.key.as_os_str().is_empty() {
            return Err(Error::bad_request("tls.certificate and tls.key are given together or not at all"));
        }
        if !self.listen.ip().is_loopback() && !secure && !self.insecure_listen {
            return Err(Error::bad_request(format!(
                "listen = {} is reached by other machines: give tls.certificate and tls.key, or set insecure_listen = true",
                self.listen
            )));
        }
        if self.public_url.is_empty() {
            self.public_url = format!("{}://{}", if secure { "https" } else { "http" }, self.listen);
        }
        self.public_url = self.public_url.trim_end_matches('/').to_owned();
        self.identity.check()?;
        self.placement.check()?;
        if self.simulated.hosts == 0 {
            return Err(Error::bad_request("simulated.hosts = 0: a cloud has a host"));
        }
        self.compute.check()?;
        self.nodes.listen()?;
        self.node.reached_at()?;
        self.migration.moving()?;
        self.network.check()?;
        if self.state_dir.is_relative() {
            let here =
                std::env::current_dir().map_err(|error| Error::internal("the working directory is gone", error))?;
            self.state_dir = here.join(&self.state_dir);
        }
        let state = self.state_dir.clone();
        if self.database_url.is_empty() {
            self.database_url = format!("sqlite:{}", state.join("gapura.db").display());
        }
        self.images.complete(&state, self.listen)?;
        if self.compute.disks.as_os_str().is_empty() {
            self.compute.disks = state.join("machines");
        }
        if !self.audit.file.as_os_str().is_empty() {
            self.audit.file = state.join(&self.audit.file);
        }
        if self.network.fabric.is_empty() {
            self.network.fabric = if self.hypervisor.starts_with("qemu") { "linux" } else { "simulated" }.to_owned();
        }
        Ok(self)
    }
}

/// The tree of every setting, with defaults at its leaves.
fn known_keys() -> toml::Table {
    toml::Table::try_from(Config::default()).expect("the defaults are a table")
}

/// Is this table free-form?
fn is_open(path: &str) -> bool {
    matches!(
        path,
        "network.bridges" | "images.store_options" | "images.stores" | "images.inject_metadata_properties.inject"
    )
}

fn check_keys(given: &toml::Table, known: &toml::Table, at: &str) -> Result<()> {
    for (key, value) in given {
        let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
        match (known.get(key), value) {
            (None, _) => {
                return Err(unknown(
                    &path,
                    known.keys().map(|k| if at.is_empty() { k.clone() } else { format!("{at}.{k}") }),
                ));
            }
            (Some(toml::Value::Table(_)), _) if is_open(&path) => {}
            (Some(toml::Value::Table(inner)), toml::Value::Table(table)) => check_keys(table, inner, &path)?,
            (Some(_), _) => {}
        }
    }
    Ok(())
}

fn unknown(name: &str, known: impl Iterator<Item = String>) -> Error {
    let nearest = known.max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
    let hint = nearest.map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default();
    Error::bad_request(format!("there is no setting {name}{hint}"))
}

/// Puts one variable of the environment into the tree, as the type its setting has.
fn overlay(given: &mut toml::Table, known: &toml::Table, name: &str, path: &str, value: &str) -> Result<()> {
    let keys: Vec<String> = path.split("__").map(str::to_lowercase).collect();
    let Some((last, parents)) = keys.split_last() else {
        return Ok(());
    };
    let (mut target, mut shape) = (given, known);
    for parent in parents {
        let inner = shape.get(parent).and_then(toml::Value::as_table);
        shape = inner.ok_or_else(|| unknown(name, variable_names(known, "GAPURA_").into_iter()))?;
        target = target
            .entry(parent.clone())
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut()
            .ok_or_else(|| Error::bad_request(format!("{parent} is a section, not a setting")))?;
    }
    let parsed = match shape.get(last) {
        Some(toml::Value::String(_)) => toml::Value::String(value.to_owned()),
        Some(toml::Value::Table(_)) => {
            return Err(Error::bad_request(format!("{name} names a section; {name}__… names its settings")));
        }
        Some(_) => value
            .parse::<toml::Value>()
            .map_err(|_| Error::bad_request(format!("{name}={value} has the wrong type")))?,
        None if is_open(&parents.join(".")) => toml::Value::String(value.to_owned()),
        None => return Err(unknown(name, variable_names(known, "GAPURA_").into_iter())),
    };
    target.insert(last.clone(), parsed);
    Ok(())
}

/// Every variable that is looked at.
fn variable_names(known: &toml::Table, prefix: &str) -> Vec<String> {
    let names = known.iter().flat_map(|(key, value)| {
        let name = format!("{prefix}{}", key.to_uppercase());
        match value {
            toml::Value::Table(inner) if !inner.is_empty() => variable_names(inner, &format!("{name}__")),
            _ => vec![name],
        }
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(environment: &[(&str, &str)]) -> std::result::Result<Config, String> {
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Config::load(None, environment).map_err(|error| error.to_string())
    }

    #[test]
    fn the_documented_file_gives_every_setting_with_its_default() {
        let text = include_str!("../etc/gapura.toml");
        // Every setting stands there commented out: what is said must be what is in force.
        let uncommented: String = text
            .lines()
            .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with([' ', '#'])).unwrap_or(line))
            .fold(String::new(), |mut all, line| {
                all.push_str(line);
                all.push('\n');
                all
            });
        let documented: toml::Table = uncommented.parse().unwrap();
        assert_eq!(documented, known_keys());
    }

    #[test]
    fn the_environment_overrides_by_path() {
        let config = load(&[
            ("GAPURA_STATE_DIR", "/some/dir"),
            ("GAPURA_LISTEN", "127.0.0.1:5999"),
            ("GAPURA_COMPUTE__CPU_ALLOCATION_RATIO", "2.5"),
            ("GAPURA_IMAGES__STORE_OPTIONS__AWS_ENDPOINT", "http://127.0.0.1:9000"),
            ("GAPURA_IMAGES__STORES__FAST", "memory:///"),
            ("PATH", "/bin"),
        ])
        .unwrap();
        assert_eq!(config.listen.port(), 5999);
        assert_eq!(config.public_url, "http://127.0.0.1:5999");
        assert_eq!(config.database_url, "sqlite:/some/dir/gapura.db");
        assert_eq!(config.compute.cpu_allocation_ratio, 2.5);
        assert_eq!(config.images.store_options["aws_endpoint"], "http://127.0.0.1:9000");
        assert_eq!(config.images.open_stores().unwrap().names(), ["fast"]);
    }

    #[test]
    fn an_unknown_setting_names_the_nearest_known_one() {
        assert_eq!(
            load(&[("GAPURA_LISTN", "x")]).unwrap_err(),
            "there is no setting GAPURA_LISTN; did you mean GAPURA_LISTEN?"
        );
        let table: toml::Table = "[compute]\nacelerator = 'kvm'".parse().unwrap();
        let refused = check_keys(&table, &known_keys(), "").unwrap_err().to_string();
        assert_eq!(refused, "there is no setting compute.acelerator; did you mean compute.accelerator?");
    }

    #[test]
    fn listening_to_other_machines_demands_tls_or_a_plain_word() {
        assert!(load(&[("GAPURA_LISTEN", "0.0.0.0:5000")]).unwrap_err().contains("insecure_listen"));
        assert!(load(&[("GAPURA_LISTEN", "0.0.0.0:5000"), ("GAPURA_INSECURE_LISTEN", "true")]).is_ok());
        assert!(load(&[("GAPURA_TLS__KEY", "/k.pem")]).unwrap_err().contains("together"));
    }

    #[test]
    fn ephemeral_disks_are_made_with_a_file_system_that_is_known() {
        assert!(load(&[("GAPURA_COMPUTE__DEFAULT_EPHEMERAL_FORMAT", "xfs")]).is_ok());
        let refused = load(&[("GAPURA_COMPUTE__DEFAULT_EPHEMERAL_FORMAT", "ext4; reboot")]).unwrap_err();
        assert!(refused.ends_with("is none of ext2, ext3, ext4, xfs"), "{refused}");
    }
}
