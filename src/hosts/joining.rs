//! `gapura node join`: makes a key, shows the token, and keeps what the controller gives for it.

use super::hypervisor_tls::{self, Keeper, Reached};
use super::membership::Membership;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::{Error, Result, with_causes};
use crate::node::authority::OwnKey;
use crate::node::joining::{Newcomer, Token, ask};
use crate::node::trust;
use crate::node::trust::{Fingerprint, Shown};
use crate::node::{PROTOCOL, VERSION};
use std::net::SocketAddr;

/// Joins the cloud whose controller is at `url`; a sentence about what was done.
///
/// # Errors
/// The controller's refusal; `BadRequest` for a URL or token that is none; `Unavailable` when the controller, or this
/// machine's hypervisor, is away.
pub async fn join(config: &Config, url: &str, token: &str) -> Result<String> {
    let token = Token::parse(token)
        .ok_or_else(|| Error::bad_request("That is no token: it is what gapura node token prints on the controller"))?;
    let controller = controller_at(url).await?;
    let earlier = Membership::load(config)?;
    let name = super::machine(config);
    // What the machine is doesn't depend on the cloud that asks.
    let facts = super::hypervisor(config, "none")?.facts().await?;
    if facts.uuid.is_empty() {
        return Err(Error::bad_request("The hypervisor doesn't say its host's UUID, by which hosts are told apart"));
    }
    let (now, places) = (Clock::System.now(), hypervisor_tls::places(config));
    let (wanted, mut notes) = hypervisor_tls::wanted(&places, &Reached::of(config), true, now);
    let key = OwnKey::generate()?;
    let newcomer = Newcomer {
        secret: token.secret.clone(),
        protocol: PROTOCOL,
        version: VERSION.to_owned(),
        name: name.clone(),
        machine: facts.uuid.clone(),
        address: config.node.reached_at()?,
        port: config.node.listen.port(),
        public_key: hex::encode(key.public()),
        other_cloud: earlier.as_ref().map(|earlier| earlier.cloud.clone()),
        wanted,
        facts: serde_json::to_value(&facts).unwrap_or_default(),
    };
    let welcome = ask(controller, token.authority, &newcomer).await?;
    let bytes =
        |text: &str| hex::decode(text).map_err(|error| Error::internal("the controller's answer can't be used", error));
    let identity = key.certified(bytes(&welcome.certificate)?, bytes(&welcome.authority)?);
    if Fingerprint::of(&identity.authority) != token.authority {
        return Err(Error::internal("the controller's answer can't be used", "it names another authority"));
    }
    trust::of_host(&identity.authority, Shown::of(&identity)?)?;
    let member = Membership::new(welcome.cloud, welcome.id, name, facts.uuid, &identity);
    member.keep(config, now)?;
    notes.extend(hypervisor_tls::keep(&places, &welcome.granted));
    notes.extend(welcome.notes);
    if welcome.granted.is_empty() && places.iter().any(|place| place.keeper() == Keeper::Nobody) {
        notes.push("the controller is too old to certify what QEMU and libvirtd show others: upgrade it".to_owned());
    }
    let joined = format!(
        "this machine is the host {} of the cloud now, {}: start gapura node, which its controllers will ask at {}",
        member.name, member.id, welcome.address
    );
    Ok(std::iter::once(joined).chain(notes).collect::<Vec<_>>().join("\n"))
}

/// The address that the URL names.
async fn controller_at(url: &str) -> Result<SocketAddr> {
    let wrong = || Error::bad_request(format!("{url} is not like https://controller:5009"));
    let parsed = url::Url::parse(url).map_err(|_| wrong())?;
    let port = parsed.port().filter(|_| parsed.scheme() == "https").ok_or_else(wrong)?;
    let host = parsed.host_str().ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned();
    let mut found = tokio::net::lookup_host((host.as_str(), port))
        .await
        .map_err(|error| Error::unavailable("the controller", format!("{host}: {}", with_causes(&error))))?;
    found.next().ok_or_else(|| Error::unavailable("the controller", format!("{host} has no address")))
}
