//! The `gapura` command.

use clap::{Parser, Subcommand};
use gapura::clock::Clock;
use gapura::config::Config;
use gapura::error::{Result, with_causes};
use gapura::hosts::command;
use gapura::hosts::draining::Drain;
use gapura::migration_command;
use gapura::program::Program;
use gapura::tasks::{sweep_images, verify_images};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// One binary that speaks OpenStack.
#[derive(Parser)]
#[command(name = "gapura", version, arg_required_else_help = true)]
struct Arguments {
    /// The settings; /etc/gapura/gapura.toml if that is there and nothing else is said.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the cloud until told to stop.
    Serve,
    /// Make the cloud ready: domain, projects, users, flavors, network, image, clouds.yaml. Safe to repeat.
    Init,
    /// Look for what operators get wrong, and say how to mend it.
    Doctor,
    /// Bring the database to this version's schema.
    Migrate,
    /// The keys that sign tokens and seal credentials.
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// The bytes of images in their stores.
    Images {
        #[command(subcommand)]
        command: ImagesCommand,
    },
    /// On a controller: its cloud's hosts.
    Host {
        #[command(subcommand)]
        command: HostCommand,
    },
    /// This machine as a host of a cloud that it joined: carry out what its controllers ask, until told to stop.
    Node {
        #[command(subcommand)]
        command: Option<NodeCommand>,
    },
    /// What is written down of servers' moves: how they ended, how long they took, what was counted.
    Migration {
        #[command(subcommand)]
        command: MigrationCommand,
    },
    /// Write what is served as OpenAPI documents, one a service.
    Spec {
        #[arg(default_value = "api-specs")]
        folder: PathBuf,
    },
    /// Write every policy rule with its default, commented out: a policy.yaml to begin with.
    Policy,
    /// Say which version this is.
    Version,
}

#[derive(Subcommand)]
enum KeysCommand {
    /// Sign and seal with new keys from now on: tokens signed with the old one stay valid until they expire, credentials
    /// are sealed anew.
    Rotate,
}

#[derive(Subcommand)]
enum ImagesCommand {
    /// Read every image whole and compare it with what it was when it was taken. Changes nothing; fails if one is wrong.
    Verify,
    /// Delete bytes that no image needs: what crashes left, once it is a day old. Refuses when the rows look wrong.
    Gc,
}

#[derive(Subcommand)]
enum HostCommand {
    /// Say how each is, and what is on it.
    List,
    /// Let new servers onto a host.
    Enable { name: String },
    /// Keep new servers away from a host; those on it stay.
    Disable {
        name: String,
        /// Why, for whoever looks.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Keep new servers away from a host, and send those that are there to others, running ones while they run and those that
    /// are off as they are, which controllers carry out. What can't go is named with the reason. Said again, it goes on where
    /// it was.
    Drain {
        name: String,
        /// So many servers are on their way at the same time.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
        at_once: u16,
    },
    /// Take a host that has no servers out of the cloud.
    Remove { name: String },
}

#[derive(Subcommand)]
enum NodeCommand {
    /// On a controller: print a token by which one machine may join.
    Token {
        /// For how long it is good.
        #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=10080))]
        minutes: u32,
    },
    /// On another machine: join a cloud as a host of it.
    Join {
        /// Of the controller, where its settings let machines join: https://controller:5009.
        url: String,
        /// What `gapura node token` printed there.
        token: String,
    },
}

#[derive(Subcommand)]
enum MigrationCommand {
    /// Moves, newest first.
    List {
        /// Of this server alone, by its id.
        #[arg(long)]
        server: Option<String>,
        /// So many at most.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// One move, with all that was counted of it.
    Show {
        /// Its number, as `list` shows it.
        number: i64,
        /// Draw how much remained over time.
        #[arg(long)]
        plot: bool,
        /// Write the same as an SVG picture.
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    gapura::memory::keep();
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "gapura: {}", with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    if let Command::Version = arguments.command {
        say(&format!("gapura {}", env!("CARGO_PKG_VERSION")));
        return Ok(ExitCode::SUCCESS);
    }
    if let Command::Policy = arguments.command {
        say(gapura::spec::policy::file().trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    if let Command::Spec { folder } = arguments.command {
        for name in gapura::spec::write(&folder)? {
            say(&format!("wrote {name}"));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let default = PathBuf::from("/etc/gapura/gapura.toml");
    let file = arguments.config.or_else(|| default.exists().then_some(default));
    let config = Config::load(file.as_deref(), std::env::vars())?;
    gapura::logging::start(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| gapura::error::Error::internal("could not start threads", error))?;
    runtime.block_on(async move {
        match arguments.command {
            Command::Serve => Program::open(config).await?.serve().await?,
            Command::Init => say(&gapura::init::run(config).await?),
            Command::Migrate => {
                for name in Program::migrate(&config).await? {
                    say(&format!("applied {name}"));
                }
            }
            Command::Keys { command: KeysCommand::Rotate } => {
                say(&format!("tokens are signed with {} from now on", Program::rotate_keys(&config)?));
                let (key, count) = Program::rotate_credential_keys(&config).await?;
                say(&format!("credentials are sealed with {key} from now on; {count} were sealed anew"));
            }
            Command::Images { command } => return images(config, command).await,
            Command::Host { command } => return host(&config, command).await,
            Command::Node { command: None } => Program::node(&config).await?,
            Command::Node { command: Some(NodeCommand::Token { minutes }) } => {
                say(&Program::node_token(&config, minutes).await?);
            }
            Command::Node { command: Some(NodeCommand::Join { url, token }) } => {
                say(&gapura::hosts::joining::join(&config, &url, &token).await?);
            }
            Command::Migration { command } => {
                let db = Program::database(&config).await?;
                say(&match command {
                    MigrationCommand::List { server, limit } => {
                        migration_command::list(&db, server.as_deref(), limit).await?
                    }
                    MigrationCommand::Show { number, plot, svg } => {
                        migration_command::show(&db, number, plot, svg.as_deref()).await?
                    }
                });
            }
            Command::Doctor => {
                let report = gapura::doctor::examine(&config).await;
                say(&report.to_string());
                return Ok(if report.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            Command::Version | Command::Policy | Command::Spec { .. } => {}
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn host(config: &Config, command: HostCommand) -> Result<ExitCode> {
    let (db, now) = (Program::rows(config).await?, Clock::System.now());
    match command {
        HostCommand::List => say(&command::list(&db, now).await?),
        HostCommand::Enable { name } => command::enable(&db, &name, true, None, now).await?,
        HostCommand::Disable { name, reason } => command::enable(&db, &name, false, reason.as_deref(), now).await?,
        HostCommand::Remove { name } => command::remove(&db, &name, now).await?,
        HostCommand::Drain { name, at_once } => {
            let rules = std::sync::Arc::new(config.placement.clone());
            return drain(Drain::begin(db, rules, &name, at_once.into(), now).await?).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Between looks at how far a drain is.
const LOOK: std::time::Duration = std::time::Duration::from_secs(1);

async fn drain(mut drain: Drain) -> Result<ExitCode> {
    let mut said = None;
    let end = loop {
        let stand = drain.step(Clock::System.now()).await?;
        if said.as_ref() != Some(&stand) {
            say(&stand.to_string());
        }
        if stand.is_over() {
            break stand;
        }
        said = Some(stand);
        tokio::time::sleep(LOOK).await;
    };
    end.stuck.iter().for_each(|(name, why)| say(&format!("{name} stays: {why}")));
    Ok(if end.stuck.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn images(config: Config, command: ImagesCommand) -> Result<ExitCode> {
    let state = Program::open(config).await?.state;
    match command {
        ImagesCommand::Verify => {
            let verified = verify_images::verify(&state.db, &state.stores).await?;
            verified.findings.iter().for_each(|finding| say(&finding.to_string()));
            let (blobs, bytes, wrong) = (verified.blobs, verified.bytes, verified.findings.len());
            say(&format!("read {bytes} bytes of {blobs} blobs; {wrong} are not what they were"));
            Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        ImagesCommand::Gc => {
            let swept = sweep_images::sweep(&state.db, &state.stores, state.clock.now()).await?;
            let (deleted, staged, kept) = (swept.deleted, swept.staged, swept.kept);
            say(&format!("deleted {deleted} orphans and {staged} unfinished uploads, kept {kept} blobs"));
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
