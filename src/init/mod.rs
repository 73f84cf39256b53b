//! `gapura init`: makes a cloud ready to use, whatever the hypervisor. Each part looks before it makes, so that the whole
//! can be repeated, also after an interrupted try.

pub mod compute;
mod credentials;

pub use credentials::Credentials;

use crate::api::{FirstPasswords, image, network, seed_identity};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::ids::ProjectId;
use crate::program::Program;
use crate::store::{Tx, projects};
use ipnet::IpNet;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Makes what is missing; says what there is.
///
/// # Errors
/// What could not be made, in a sentence for the operator. What was made before stays, and is found again.
pub async fn run(config: Config) -> Result<String> {
    let program = Program::open(config).await?;
    let config = &program.config;
    let _alone = alone(&config.state_dir)?;
    let credentials = Credentials::load_or_generate(&config.state_dir)?;
    credentials.write(&config.state_dir, &config.public_url, &config.region)?;
    let passwords = FirstPasswords { admin: credentials.admin.clone(), demo: credentials.demo.clone() };
    let state = &program.state;
    seed_identity(&state.db, config.identity.argon2, &config.region, &passwords, state.clock.now()).await?;
    let (range, mtu, now) = (config.network.private_range.into(), config.network.guests_mtu(), state.clock.now());
    let admin = state.db.write(move |tx| private_network(tx, range, mtu, now)).await?;
    image::metadefs::seed::seed(&state.db, &admin, &config.init.metadefs, state.clock.now()).await?;
    if !config.init.image.as_os_str().is_empty() {
        image::seed::seed(state, &admin, &config.init.image).await?;
    }
    compute::seed(&state.db, state.clock.now()).await?;
    Ok(format!("clouds.yaml: {}", credentials::path(&config.state_dir).display()))
}

/// Keeps a second `init` waiting until this one is over; the file is unlocked when it is closed, also by a kill.
fn alone(state_dir: &Path) -> Result<File> {
    let path = state_dir.join("init.lock");
    let locked = File::options().create(true).write(true).truncate(false).mode(0o600).open(&path);
    let locked = locked.and_then(|file| file.lock().map(|()| file));
    locked.map_err(|error| Error::bad_request(format!("can't lock {}: {error}", path.display())))
}

/// The shared network `private`, in the project admin, whose id it answers.
fn private_network(tx: &mut Tx, range: IpNet, mtu: u16, now: Timestamp) -> Result<ProjectId> {
    let admin = projects::by_name(tx, &"default".into(), "admin")?;
    let admin = admin.ok_or_else(|| Error::not_found(Kind::Project, "admin"))?;
    network::seed::init(tx, &admin.id, range, mtu, now)?;
    Ok(admin.id)
}
