//! The `gapura` command.

use clap::{Parser, Subcommand};
use gapura::config::Config;
use gapura::error::{Result, with_causes};
use gapura::program::Program;
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

fn main() -> ExitCode {
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

fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
