//! Who logs in: the methods of `POST /v3/auth/tokens`, and what a login proves.
//!
//! Nothing in the answer, nor the time it takes, tells an unknown user from a wrong password or a disabled account
//! (CVE-2021-38155): each costs one hash and ends in the same 401. Where accounts can be locked, each failure costs one
//! write too, whether or not it counts for anybody.

pub mod credential_login;
pub mod failures;
pub mod hashing;
#[cfg(test)]
mod multi_factor_tests;
pub mod recall;
#[cfg(test)]
mod recall_tests;
pub mod receipts;
pub mod totp_login;

use super::compliance;
use crate::api::authenticate::{self, required};
use crate::api::identity::tokens::scope::DomainSpec;
use crate::api::{Call, State};
use crate::clock::Timestamp;
use crate::cloud::compliance::{Attempts, has};
use crate::cloud::identity::{Scope, User};
use crate::cloud::multi_factor::METHODS;
use crate::cloud::token::{Claims, audit_id};
use crate::error::{Error, Kind, Result};
use crate::http::json::Text;
use crate::ids::{DomainId, ProjectId, UserId};
use crate::store::users::Password;
use crate::store::{logins, projects, users};
use std::net::IpAddr;
use std::sync::Arc;

crate::versioned! {
    /// What `POST /v3/auth/tokens` takes.
    request AuthRequest open {
        "auth" required => auth: Auth,
    }
}

crate::versioned! {
    request Auth open {
        "identity" required => identity: Methods,
        "scope"             => scope: Option<serde_json::Value>,
    }
}

crate::versioned! {
    /// The methods to log in with, and what each of them needs.
    request Methods open {
        "methods" required       => methods: Vec<String>,
        "password"               => password: Option<PasswordMethod>,
        "token"                  => token: Option<TokenMethod>,
        "application_credential" => application_credential: Option<CredentialMethod>,
        "totp"                   => totp: Option<TotpMethod>;
        flatten                  => others
    }
}

crate::versioned! {
    request PasswordMethod open {
        "user" required => user: UserWithPassword,
    }
}

crate::versioned! {
    request UserWithPassword open {
        "id"                => id: Option<Text<1, 255>>,
        "name"              => name: Option<Text<1, 255>>,
        "domain"            => domain: Option<DomainSpec>,
        "password" required => password: String,
    }
}

crate::versioned! {
    request TotpMethod open {
        "user" required => user: UserWithPasscode,
    }
}

crate::versioned! {
    request UserWithPasscode open {
        "id"                => id: Option<Text<1, 255>>,
        "name"              => name: Option<Text<1, 255>>,
        "domain"            => domain: Option<DomainSpec>,
        "passcode" required => passcode: String,
    }
}

crate::versioned! {
    request TokenMethod open {
        "id" required => id: String,
    }
}

crate::versioned! {
    request CredentialMethod open {
        "id"              => id: Option<String>,
        "name"            => name: Option<String>,
        "user"            => user: Option<UserOfCredential>,
        "secret" required => secret: String,
    }
}

crate::versioned! {
    request UserOfCredential open {
        "id"     => id: Option<String>,
        "name"   => name: Option<String>,
        "domain" => domain: Option<DomainSpec>,
    }
}

/// What a login has proved.
pub struct Proof {
    pub user_id: UserId,
    pub methods: Vec<String>,
    /// The new token's own audit id, then the one its chain began with.
    pub audit_ids: Vec<String>,
    /// The token that was shown bounds the new one's life.
    pub not_after: Option<Timestamp>,
    pub default_project_id: Option<ProjectId>,
    /// The only project that an application credential is good for.
    pub bound_to: Option<(String, ProjectId)>,
    /// The scope of the token that was shown.
    pub parent_scope: Option<Scope>,
}

/// Tries every method named; each must lead to the same user.
///
/// # Errors
/// `Unauthorized` without a word about why, `BadRequest` for a body that can't be a login.
pub async fn prove(call: &Call<AuthRequest>) -> Result<Proof> {
    let state = &call.cx.state;
    let wanted = &call.body.auth.identity;
    let mut proof: Option<Proof> = None;
    for method in named(wanted)? {
        let next = match method {
            "password" => {
                let given = wanted.password.as_ref().ok_or_else(|| expecting("password", "identity"))?;
                by_password(state, &given.user, call.head.peer).await?
            }
            "token" => {
                let given = wanted.token.as_ref().ok_or_else(|| expecting("token", "identity"))?;
                by_token(state, &given.id, call.body.auth.scope.is_none()).await?
            }
            "application_credential" => {
                let given = wanted.application_credential.as_ref();
                let given = given.ok_or_else(|| expecting("application_credential", "identity"))?;
                credential_login::by_credential(state, given, call.head.peer).await?
            }
            "totp" => {
                let given = wanted.totp.as_ref().ok_or_else(|| expecting("totp", "identity"))?;
                totp_login::by_passcode(state, &given.user, call.head.peer).await?
            }
            _ => return Err(unsupported()),
        };
        proof = Some(match proof {
            None => next,
            Some(before) => join(before, next)?,
        });
    }
    proof.ok_or_else(required)
}

/// The methods to try, each once, all of them served and with what they need: nothing is hashed for a login that names
/// one that isn't (CVE-2012-1572, CVE-2013-0247, CVE-2014-2828).
fn named(wanted: &Methods) -> Result<Vec<&'static str>> {
    let mut methods = Vec::new();
    let mut is_any_unknown = false;
    for name in &wanted.methods {
        match METHODS.iter().find(|known| **known == name) {
            Some(known) if methods.contains(known) => {}
            Some(known) => methods.push(*known),
            None if wanted.others.contains_key(name.as_str()) => is_any_unknown = true,
            None => return Err(expecting(name, "identity")),
        }
    }
    let lacks = |method: &&&str| match **method {
        "password" => wanted.password.is_none(),
        "token" => wanted.token.is_none(),
        "totp" => wanted.totp.is_none(),
        _ => wanted.application_credential.is_none(),
    };
    match methods.iter().find(lacks) {
        Some(method) => Err(expecting(method, "identity")),
        None if is_any_unknown => Err(unsupported()),
        None => Ok(methods),
    }
}

fn unsupported() -> Error {
    Error::Unauthorized("Attempted to authenticate with an unsupported method.".to_owned())
}

/// What two methods prove together: no more than either allows.
fn join(first: Proof, second: Proof) -> Result<Proof> {
    if first.user_id != second.user_id {
        return Err(required());
    }
    let mut methods = first.methods;
    methods.extend(second.methods.into_iter().filter(|method| !methods.contains(method)).collect::<Vec<_>>());
    let longer_chain = if first.audit_ids.len() >= second.audit_ids.len() { first.audit_ids } else { second.audit_ids };
    Ok(Proof {
        user_id: first.user_id,
        methods,
        audit_ids: longer_chain,
        not_after: [first.not_after, second.not_after].into_iter().flatten().min(),
        default_project_id: first.default_project_id.or(second.default_project_id),
        bound_to: first.bound_to.or(second.bound_to),
        parent_scope: first.parent_scope.or(second.parent_scope),
    })
}

async fn by_password(state: &State, given: &UserWithPassword, peer: Option<IpAddr>) -> Result<Proof> {
    let wanted =
        WantedUser::of(given.id.as_ref().map(|id| &id.0), given.name.as_ref().map(|name| &name.0), &given.domain)?;
    let user = check_password(state, &wanted, &given.password, peer).await?;
    Ok(Proof {
        user_id: user.id,
        methods: vec!["password".to_owned()],
        audit_ids: vec![audit_id()],
        not_after: None,
        default_project_id: user.default_project_id,
        bound_to: None,
        parent_scope: None,
    })
}

/// Which user a login names.
#[derive(Debug, Clone)]
pub enum WantedUser {
    Id(String),
    Name(String, DomainSpec),
}

impl WantedUser {
    pub fn of(id: Option<&String>, name: Option<&String>, domain: &Option<DomainSpec>) -> Result<Self> {
        match (id, name, domain) {
            (Some(id), _, _) => Ok(Self::Id(id.clone())),
            (None, Some(name), Some(domain)) => Ok(Self::Name(name.clone(), domain.clone())),
            (None, Some(_), None) => Err(expecting("domain", "user")),
            (None, None, _) => Err(expecting("id or name", "user")),
        }
    }

    /// What failures are counted under.
    pub fn counted_as(&self) -> String {
        match self {
            Self::Id(id) => format!("id {id}"),
            Self::Name(name, domain) => format!("name {} in {}", name.to_lowercase(), domain.counted_as()),
        }
    }

    pub fn find(&self, tx: &mut crate::store::Tx) -> Result<Option<User>> {
        match self {
            Self::Id(id) => users::get(tx, &UserId(id.clone())),
            Self::Name(name, domain) => match domain.find(tx)? {
                Some(domain) => users::by_name(tx, &DomainId(domain.id.0), name),
                None => Ok(None),
            },
        }
    }
}

/// The user, if the password is theirs and they may log in.
///
/// # Errors
/// `Unauthorized` for whatever is wrong, `TooManyRequests` after too many failures, `Unavailable` when too many wait.
pub async fn check_password(state: &State, wanted: &WantedUser, password: &str, peer: Option<IpAddr>) -> Result<User> {
    let proven = prove_password(state, wanted, password, peer).await?;
    if proven.is_expired {
        // Said to whoever knows the password, who has to know what to do: change it.
        let text = format!("The password is expired and needs to be changed for user: {}.", proven.user.id);
        return Err(Error::Unauthorized(text));
    }
    Ok(proven.user)
}

/// A right password of an open account. It may have run out: then it is good for its own change and nothing else.
pub struct Proven {
    pub user: User,
    pub password: Password,
    pub is_expired: bool,
}

/// What is known of an account before its password is verified.
struct Account {
    user: User,
    is_open: bool,
    password: Option<Password>,
    attempts: Attempts,
}

/// Verifies a password. An account that is locked, disabled or idle, or isn't there, costs as much as a wrong password and
/// is told the same (CVE-2021-38155): one hash, and where accounts can be locked, one write.
///
/// # Errors
/// As [`check_password`], but for a password that has run out.
pub async fn prove_password(
    state: &State,
    wanted: &WantedUser,
    password: &str,
    peer: Option<IpAddr>,
) -> Result<Proven> {
    let now = state.clock.now();
    let identity = &state.identity;
    let rules = &identity.settings.security_compliance;
    let counted_as = wanted.counted_as();
    identity.failures.check(&counted_as, peer, now)?;
    let asked = wanted.clone();
    let account: Option<Account> = state
        .db
        .read(move |tx| {
            let Some(user) = asked.find(tx)? else { return Ok(None) };
            let domain = projects::domain_ref(tx, &user.domain_id)?;
            let is_open = user.enabled && domain.is_some_and(|(_, is_enabled)| is_enabled);
            let (password, attempts) = (users::password(tx, &user.id)?, logins::attempts(tx, &user.id)?);
            Ok(Some(Account { user, is_open, password, attempts }))
        })
        .await?;
    let hash = account.as_ref().and_then(|account| account.password.as_ref()).map(|stored| stored.hash.clone());
    let password: Arc<str> = password.into();
    let is_short = password.len() <= identity.settings.max_password_length;
    let is_locked =
        account.as_ref().is_some_and(|account| rules.is_locked(account.attempts, &account.user.options, now));
    // Whoever may not log in for any other reason is none whose password could be recalled: their refusal costs a hash.
    let is_expired = |user: &User, stored: &Password| {
        stored.expires_at.is_some_and(|expires_at| expires_at <= now) && !has(&user.options, "ignore_password_expiry")
    };
    let known = account.as_ref().filter(|account| account.is_open && is_short && !is_locked).and_then(|account| {
        let user = Some(&account.user).filter(|user| !rules.is_idle(user, now))?;
        let stored = account.password.as_ref().filter(|stored| !is_expired(user, stored))?;
        Some(recall::Account { user_id: &user.id, stored })
    });
    let verdict = identity.recall.verify(&identity.hashing, known, hash, password.clone(), now).await?;
    let fits = verdict.fits && is_short;
    match account {
        Some(Account { user, is_open: true, password: Some(stored), attempts })
            if fits && !is_locked && !rules.is_idle(&user, now) =>
        {
            compliance::note_success(state, &user, attempts, now).await?;
            if verdict.is_stale {
                upgrade(state, stored.clone(), password.to_string()).await?;
            }
            let is_expired = is_expired(&user, &stored);
            Ok(Proven { user, password: stored, is_expired })
        }
        other => {
            identity.failures.count(&counted_as, peer, now);
            let counts_for = other.filter(|_| !fits && !is_locked).map(|account| account.user.id);
            compliance::note_failure(state, counts_for, now).await?;
            Err(required())
        }
    }
}

/// Keeps the password under today's parameters.
async fn upgrade(state: &State, stored: Password, password: String) -> Result<()> {
    let hash = state.identity.hashing.hash(password).await?;
    state.db.write(move |tx| users::rehash(tx, &stored, &hash)).await
}

/// CVE-2012-3426, CVE-2012-5563, CVE-2026-44394: a token got with a token lives no longer than that one, and belongs to
/// its chain.
async fn by_token(state: &State, token: &str, wants_default: bool) -> Result<Proof> {
    let parent = authenticate::session(state, token).await.map_err(no_token)?;
    if parent.caller.trust.is_some() {
        return Err(not_allowed(
            "Using trust-scoped token to create another token. Create a new trust-scoped token instead.",
        ));
    }
    if parent.caller.is_delegated() {
        return Err(not_allowed("Using a delegated token to create another token is not allowed."));
    }
    let Claims { sub, methods, .. } = &*parent.claims;
    let mut methods = methods.clone();
    if !methods.iter().any(|method| method == "token") {
        methods.push("token".to_owned());
    }
    let chain = parent.claims.chain_id().map(str::to_owned);
    let user_id = sub.clone();
    // That there is such a user, the session says; their default project only matters where no scope was asked for.
    let default_project_id = match wants_default {
        true => state.db.read(move |tx| users::get(tx, &user_id)).await?.ok_or_else(required)?.default_project_id,
        false => None,
    };
    Ok(Proof {
        user_id: sub.clone(),
        methods,
        audit_ids: std::iter::once(audit_id()).chain(chain).collect(),
        not_after: Some(parent.claims.expires_at()),
        default_project_id,
        bound_to: None,
        parent_scope: Some(parent.caller.scope.clone()),
    })
}

/// To log in with a token that is none is to ask for something that isn't there: 404, as upstream.
fn no_token(error: Error) -> Error {
    if matches!(error, Error::Unauthorized(_)) { Error::not_found(Kind::Token, "") } else { error }
}

/// Upstream's sentence for something that a body lacks.
pub fn expecting(attribute: &str, target: &str) -> Error {
    Error::bad_request(format!(
        "Expecting to find {attribute} in {target}. The server could not comply with the request since it is either malformed or otherwise incorrect. The client is assumed to be in error."
    ))
}

/// Upstream's sentence around what may not be done.
pub fn not_allowed(action: &str) -> Error {
    Error::Forbidden(format!("You are not authorized to perform the requested action: {action}"))
}
