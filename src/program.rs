//! The program, put together: settings to parts, parts to a serving process.
//!
//! ```text
//! Config ─► database ─► policy ─► hosts (hypervisor, disks, fabric) ─► runner ─► State ─► router ─► listener
//! ```
//! On SIGTERM or SIGINT the listener closes, requests under way finish, tasks keep their rows, machines keep running.

use crate::api::{self, Identity, State};
use crate::audit::Audit;
use crate::clock::{Clock, Timestamp};
use crate::cloud::policy::Policy;
use crate::cloud::policy_rules;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::hosts::admission::{self, Admission};
use crate::hosts::follow::Following;
use crate::hosts::renewal::Renewal;
use crate::http::cors::Origins;
use crate::http::serve;
use crate::keys::{self, Keys};
use crate::memory;
use crate::metrics::Metrics;
use crate::node::authority::Holder;
use crate::node::certificates::Authorities;
use crate::node::told_to_stop;
use crate::store::{self, Db, StoreSettings, image_imports, images};
use crate::tasks::reconcile::Reconciler;
use crate::tasks::{Fleet, Hosts, Importing, Manner, Runner, RunnerSettings, convert_image, sweep_images, workflows};
use crate::vault::{self, Vault};
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};

fn open_audit(config: &Config, cloud: &str) -> Result<Audit> {
    let file = &config.audit.file;
    if file.as_os_str().is_empty() { Ok(Audit::off()) } else { Audit::to(file, cloud) }
}

/// An opened cloud: every part connected, nothing listening yet.
pub struct Program {
    pub config: Config,
    pub state: Arc<State>,
    pub runner: Runner,
    nodes: Option<Nodes>,
}

/// What is needed where machines join, or have joined.
struct Nodes {
    authorities: Arc<Authorities>,
    following: Following,
}

impl Nodes {
    /// `None` where this cloud has its own hosts alone, and no machine can join.
    async fn open(config: &Config, db: &Db, own: &Hosts, cloud: &str, now: Timestamp) -> Result<Option<Self>> {
        if config.nodes.listen()?.is_none() && db.read(store::nodes::list).await?.is_empty() {
            return Ok(None);
        }
        let authorities = Authorities::load_or_create(&admission::authority_folder(config), cloud, now)?;
        let identity = authorities.cloud.identity(&Holder::controller(), now)?;
        let following = Following::begin(db.clone(), own.clone(), identity).await?;
        Ok(Some(Self { authorities: Arc::new(authorities), following }))
    }
}

impl Program {
    /// Opens everything the settings name. The database is brought to this version's schema.
    ///
    /// # Errors
    /// What can't be opened, in a sentence for the operator. A hypervisor that is away is no error: it is waited for.
    pub async fn open(config: Config) -> Result<Self> {
        make_state_folder(&config.state_dir)?;
        let clock = Clock::System;
        let db = open_database(&config).await?;
        db.migrate().await?;
        let overrides = policy_overrides(&config.policy_file)?;
        let policy = Policy::new(policy_rules::all(), &overrides)?.with_scopes(policy_rules::scopes());
        let now = clock.now();
        let cloud = db.write(move |tx| crate::store::cloud::id(tx, now)).await?;
        let stores = config.images.open_stores()?;
        let own = crate::hosts::connect(&config, &cloud)?;
        let nodes = Nodes::open(&config, &db, &own, &cloud, now).await?;
        let hosts = nodes.as_ref().map_or_else(|| Fleet::from(own), |nodes| nodes.following.fleet());
        // Who listens here again is who listened here before, and takes up its own tasks at once.
        let owner = format!("{} {}", crate::hosts::own_name(), config.listen);
        let placement = Arc::new(config.placement.clone());
        let settings = RunnerSettings {
            owner,
            turns: config.images.rewrites_at_once,
            placement: placement.clone(),
            ..RunnerSettings::default()
        };
        let grace = Duration::from_secs(config.compute.shutdown_timeout.into());
        let images = config.images.rules()?;
        let keys = Keys::load_or_create(&keys_folder(&config), now)?;
        let vault = Arc::new(Vault::load_or_create(&credential_keys_folder(&config), now)?);
        let limits_region = config.quota.unified_limits.then(|| config.region.clone());
        let importing = Importing { rules: images.imports(limits_region), vault: vault.clone() };
        let manner = Manner { grace, moving: config.migration.moving()? };
        let work = workflows(&stores, &importing, manner);
        let runner = Runner::new(db.clone(), clock.clone(), hosts.clone(), work, settings);
        let metrics = Arc::new(Metrics::new());
        let state = Arc::new(State {
            db,
            clock,
            policy,
            public_url: config.public_url.clone(),
            region: config.region.clone(),
            machine: crate::hosts::machine(&config),
            identity: Identity::new(config.identity.clone(), keys, vault, &metrics),
            stores,
            images,
            hosts,
            runner: runner.clone(),
            metrics,
            audit: open_audit(&config, &cloud)?,
            unified_limits: config.quota.unified_limits,
            waits: config.compute.waits(),
            local_disks: config.compute.local_disks(),
            mtus: config.network.mtus(),
            placement,
        });
        Ok(Self { config, state, runner, nodes })
    }

    /// What keeps rows true to hosts.
    pub fn reconciler(&self) -> Reconciler {
        let state = &self.state;
        let (db, clock, hosts) = (state.db.clone(), state.clock.clone(), state.hosts.clone());
        Reconciler {
            db,
            clock,
            hosts,
            promises: self.config.compute.promises(),
            runner: self.runner.clone(),
            waits: state.waits,
        }
    }

    /// Serves until the process is told to stop.
    ///
    /// # Errors
    /// When the address can't be listened on, or the certificate can't be used.
    pub async fn serve(mut self) -> Result<()> {
        let tls = crate::tls::acceptor(&self.config.tls)?;
        let listener = serve::listen(self.config.listen).await?;
        if self.config.database_url.starts_with("sqlite:") {
            // One process serves from SQLite, and this one has the port: an upload that was under way is over.
            let now = self.state.clock.now();
            self.state
                .db
                .write(move |tx| {
                    image_imports::abandon_stages(tx, Timestamp(i64::MAX), now)?;
                    images::abandon_uploads(tx, Timestamp(i64::MAX), now)
                })
                .await?;
            for store in self.state.stores.iter() {
                store.blobs.forget_uploads().await?;
            }
        }
        if let Err(error) = convert_image::clear(&self.state.images.plugins.conversion.folder) {
            tracing::warn!(%error, "what earlier conversions of images left could not be cleared away");
        }
        let (stop, stopped) = watch::channel(false);
        let until = told_to_stop;
        let runner = tokio::spawn(self.runner.clone().run(until(stopped.clone())));
        let (db, stores, clock) = (self.state.db.clone(), self.state.stores.clone(), self.state.clock.clone());
        let sweeper = tokio::spawn(sweep_images::run(db, stores, clock, until(stopped.clone())));
        let forgetter = tokio::spawn(api::identity::forget_old_logins(self.state.clone(), until(stopped.clone())));
        let reconciler = tokio::spawn(self.reconciler().run(until(stopped.clone())));
        let nodes = tokio::spawn(self.serve_nodes(stopped.clone()).await?);
        let (metrics, db) = (self.state.metrics.clone(), self.state.db.clone());
        let memory = tokio::spawn(memory::give_back(metrics, db, until(stopped.clone())));
        tracing::info!(listen = %self.config.listen, url = self.config.public_url, "serving");
        let router = Arc::new(api::router(self.state.clone()));
        let origins = Arc::new(Origins::new(&self.config.allowed_origins));
        let server = serve::serve(listener, tls, router, self.state.metrics.clone(), origins, until(stopped));
        tokio::spawn(async move {
            signalled().await;
            tracing::info!("stopping: requests under way may finish");
            let _ = stop.send(true);
        });
        server.await;
        let _ = tokio::join!(runner, sweeper, forgetter, reconciler, memory, nodes);
        Ok(())
    }

    /// Takes machines in where they may join, connects those that did, and sees to certificates, until told to stop.
    async fn serve_nodes(&mut self, stopped: watch::Receiver<bool>) -> Result<impl Future<Output = ()> + Send + use<>> {
        let (came, nodes) = (Arc::new(Notify::new()), self.nodes.take());
        let admission = match (&nodes, self.config.nodes.listen()?) {
            (Some(nodes), Some(address)) => {
                let (db, clock) = (self.state.db.clone(), self.state.clock.clone());
                let admission = Admission { db, clock, authorities: nodes.authorities.clone(), came: came.clone() };
                let listener = serve::listen(address).await?;
                tracing::info!(listen = %address, "machines may join");
                Some(admission.serve(listener, stopped.clone())?)
            }
            _ => None,
        };
        let renewal = nodes.as_ref().map(|nodes| Renewal {
            config: self.config.clone(),
            db: self.state.db.clone(),
            clock: self.state.clock.clone(),
            authorities: nodes.authorities.clone(),
            channels: nodes.following.channels(),
            changed: came.clone(),
        });
        Ok(async move {
            let renew = async {
                if let Some(renewal) = renewal {
                    renewal.run(told_to_stop(stopped.clone())).await;
                }
            };
            let follow = async {
                if let Some(nodes) = nodes {
                    nodes.following.run(came, told_to_stop(stopped.clone())).await;
                }
            };
            let admit = async {
                if let Some(admission) = admission {
                    admission.await;
                }
            };
            tokio::join!(renew, follow, admit);
        })
    }

    /// A token by which one machine may join within so many minutes.
    ///
    /// # Errors
    /// When the database is away, or the authority can't be made.
    pub async fn node_token(config: &Config, minutes: u32) -> Result<String> {
        let (db, now) = (Self::rows(config).await?, Clock::System.now());
        let cloud = db.write(move |tx| store::cloud::id(tx, now)).await?;
        admission::make_token(config, &db, &cloud, minutes, now).await
    }

    /// The database, for commands that read and change rows.
    ///
    /// # Errors
    /// When it is away, or newer than the program.
    pub async fn rows(config: &Config) -> Result<Db> {
        make_state_folder(&config.state_dir)?;
        let db = open_database(config).await?;
        db.migrate().await?;
        Ok(db)
    }

    /// This machine as a host of a cloud that it joined, until the process is told to stop.
    ///
    /// # Errors
    /// As [`crate::hosts::node::run`].
    pub async fn node(config: &Config) -> Result<()> {
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(async move {
            signalled().await;
            tracing::info!("stopping: what is under way may finish");
            let _ = stop.send(true);
        });
        crate::hosts::node::run(config, stopped).await
    }

    /// Adds a key that signs tokens from now on; running processes notice it. The new key's name.
    ///
    /// # Errors
    /// When the folder of keys can't be written.
    pub fn rotate_keys(config: &Config) -> Result<String> {
        keys::rotate(&keys_folder(config), Clock::System.now(), config.identity.token_seconds)
    }

    /// Adds a key that seals credentials from now on, seals anew what older ones sealed, and removes those that nothing is
    /// sealed with any more. The new key's name, and how many credentials were sealed anew.
    ///
    /// # Errors
    /// When the folder of keys can't be written, or the database is away. It can be repeated: nothing is lost half way.
    pub async fn rotate_credential_keys(config: &Config) -> Result<(String, usize)> {
        let (folder, now) = (credential_keys_folder(config), Clock::System.now());
        let db = open_database(config).await?;
        db.migrate().await?;
        let name = vault::add_key(&folder, now)?;
        let ring = Vault::load_or_create(&folder, now)?;
        let (count, in_use) = api::reseal_credentials(&db, &ring, &name, now).await?;
        vault::remove_unused(&folder, &in_use, now)?;
        Ok((name, count))
    }

    /// The database alone, at this version's schema, for who only looks things up.
    ///
    /// # Errors
    /// When the database is away, or newer than the program.
    pub async fn database(config: &Config) -> Result<Db> {
        make_state_folder(&config.state_dir)?;
        let db = open_database(config).await?;
        db.migrate().await?;
        Ok(db)
    }

    /// Brings the database to this version's schema; the names of the steps that were missing.
    ///
    /// # Errors
    /// When the database is away, or newer than the program.
    pub async fn migrate(config: &Config) -> Result<Vec<String>> {
        make_state_folder(&config.state_dir)?;
        open_database(config).await?.migrate().await
    }
}

/// Where the keys that sign tokens are.
fn keys_folder(config: &Config) -> PathBuf {
    config.state_dir.join("keys")
}

/// Where the keys that seal credentials are.
fn credential_keys_folder(config: &Config) -> PathBuf {
    config.state_dir.join("credential-keys")
}

async fn open_database(config: &Config) -> Result<Db> {
    let mut settings = StoreSettings::at(config.database_url.clone());
    settings.connections = config.database_connections;
    Db::open(&settings).await
}

/// A folder for what only Gapura's user may read.
fn make_state_folder(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| Error::bad_request(format!("can't make the state directory {}: {error}", path.display())))
}

/// The operator's rules, by name.
fn policy_overrides(file: &Path) -> Result<HashMap<String, String>> {
    if file.as_os_str().is_empty() {
        return Ok(HashMap::new());
    }
    let unusable = |error: &dyn std::fmt::Display| Error::bad_request(format!("can't use {}: {error}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| unusable(&error))?;
    let rules: Option<HashMap<String, String>> = serde_yaml_ng::from_str(&text).map_err(|error| unusable(&error))?;
    let rules = rules.unwrap_or_default();
    let known: Vec<&str> = policy_rules::all().map(|(name, _)| name).collect();
    for name in rules.keys().filter(|name| name.contains(':') && !known.contains(&name.as_str())) {
        tracing::warn!(rule = name, "the policy file sets a rule that nothing asks");
    }
    Ok(rules)
}

async fn signalled() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals can't be waited for; stop the process by force");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
