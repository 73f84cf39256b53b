//! Key pairs: public keys that servers are made with, imported or (for older clients) generated.

use super::common::{Link, Name, check_query, cut, next_link, page};
use super::versions;
use super::x509_key::{self, Generated};
use crate::api::{Call, Row};
use crate::clock::Timestamp;
use crate::cloud::{certificate_key, ssh_key};
use crate::error::{Error, Result};
use crate::http::json::{Maybe, OneOf, Words};
use crate::http::reply::{Empty, Reply};
use crate::http::table::{delete, get, post};
use crate::ids::UserId;
use crate::store::keypairs::{self, Keypair};
use crate::store::quotas;
use crate::versioned;
use aws_lc_rs::encoding::{AsBigEndian, Curve25519SeedBin};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use http::StatusCode;

const QUERY: &[&str] = &["user_id", "limit", "marker"];

pub fn rows() -> Vec<Row> {
    vec![
        get("/os-keypairs", index).rule("os_compute_api:os-keypairs:index").query(QUERY),
        post("/os-keypairs", create).rule("os_compute_api:os-keypairs:create"),
        get("/os-keypairs/{keypair_name}", show).rule("os_compute_api:os-keypairs:show").query(&["user_id"]),
        delete("/os-keypairs/{keypair_name}", remove).rule("os_compute_api:os-keypairs:delete").query(&["user_id"]),
    ]
}

versioned! {
    response Listed {
        "name" => name: String,
        "public_key" => public_key: String,
        "fingerprint" => fingerprint: String,
        "type" since(2) => kind: String,
    }
}
versioned! {
    response ListedKeypair { "keypair" => keypair: Listed }
}
versioned! {
    response Keypairs { "keypairs" => keypairs: Vec<ListedKeypair>, "keypairs_links" since(35) optional => links: Vec<Link> }
}
versioned! {
    response Created {
        "private_key" optional => private_key: Option<String>,
        "type" since(2) => kind: String,
        "name" => name: String,
        "public_key" => public_key: String,
        "fingerprint" => fingerprint: String,
        "user_id" => user_id: UserId,
    }
}
versioned! {
    response CreatedKeypair { "keypair" => keypair: Created }
}
versioned! {
    response Detailed {
        "name" => name: String,
        "public_key" => public_key: String,
        "fingerprint" => fingerprint: String,
        "user_id" => user_id: UserId,
        "created_at" => created_at: String,
        "deleted" => deleted: bool,
        "deleted_at" => deleted_at: Option<String>,
        "id" => id: i64,
        "updated_at" => updated_at: Option<String>,
        "type" since(2) => kind: String,
    }
}
versioned! {
    response DetailedKeypair { "keypair" => keypair: Detailed }
}

/// Whose key pairs are meant: the caller's, or those of the user that an administrator names.
fn whose<B>(call: &Call<B>, named: Option<&str>) -> Result<UserId> {
    match named {
        Some(user) if call.version() >= versions::KEYPAIRS_OF_USERS => Ok(UserId::from(user)),
        _ => call.cx.user_id().cloned(),
    }
}

/// `GET /os-keypairs`.
async fn index(call: Call) -> Result<Reply<Keypairs>> {
    check_query(&call, QUERY)?;
    let user = whose(&call, call.query().get("user_id"))?;
    let reach = call.cx.reach.clone();
    let found = call.cx.state.db.read(move |tx| keypairs::list(tx, &reach, &user, None)).await?;
    let (found, next) = if call.version() >= versions::KEYPAIR_PAGES {
        cut(found, &page(&call)?, |keypair| keypair.name.clone())?
    } else {
        (found, None)
    };
    let listed = |keypair: Keypair| ListedKeypair {
        keypair: Listed {
            name: keypair.name,
            public_key: keypair.public_key,
            fingerprint: keypair.fingerprint,
            kind: keypair.kind,
        },
    };
    Ok(Reply::ok(Keypairs {
        keypairs: found.into_iter().map(listed).collect(),
        links: next_link(&call, next.as_deref()),
    }))
}

/// `GET /os-keypairs/{keypair_name}`.
async fn show(call: Call) -> Result<Reply<DetailedKeypair>> {
    check_query(&call, &["user_id"])?;
    let user = whose(&call, call.query().get("user_id"))?;
    let (reach, name) = (call.cx.reach.clone(), call.path("keypair_name").to_owned());
    let keypair = call.cx.state.db.read(move |tx| keypairs::get(tx, &reach, &user, &name)).await?;
    Ok(Reply::ok(DetailedKeypair {
        keypair: Detailed {
            name: keypair.name,
            public_key: keypair.public_key,
            fingerprint: keypair.fingerprint,
            user_id: keypair.user_id,
            created_at: keypair.created_at.to_micros_naive(),
            deleted: false,
            deleted_at: None,
            id: keypair.number,
            updated_at: None,
            kind: keypair.kind,
        },
    }))
}

#[derive(Debug, Clone)]
pub struct Types;

impl Words for Types {
    const WORDS: &'static [&'static str] = &["ssh", "x509"];
}

versioned! {
    request NewKeypair strict {
        "name" required => name: Name,
        "public_key" required_since(92) => public_key: Maybe<String>,
        "type" since(2) => kind: Maybe<OneOf<Types>>,
        "user_id" since(10) => user_id: Maybe<String>,
    }
}
versioned! {
    request KeypairCreate strict { "keypair" required => keypair: NewKeypair }
}

/// Letters, digits, and a few marks; two more since names are checked before anything else.
fn check_name(name: &str, may_have_more: bool) -> Result<()> {
    let legal = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, ' ' | '-' | '_') || (may_have_more && matches!(c, '@' | '.'))
    };
    if name.chars().all(legal) {
        return Ok(());
    }
    Err(Error::bad_request("Keypair data is invalid: Keypair name contains unsafe characters"))
}

/// `POST /os-keypairs`.
async fn create(call: Call<KeypairCreate>) -> Result<Reply<CreatedKeypair>> {
    let new = call.body.keypair.clone();
    let user = whose(&call, new.user_id.as_ref().map(String::as_str))?;
    check_name(&new.name.0, call.version() >= versions::KEYPAIRS_ARE_IMPORTED)?;
    let kind = new.kind.given().map_or_else(|| "ssh".to_owned(), |word| word.0);
    let (public_key, private_key) = match new.public_key.given() {
        Some(public_key) => (public_key, None),
        None if kind == "x509" => {
            let made = certificate(user.to_string(), call.cx.state.clock.now()).await?;
            (made.certificate, Some(made.private_key))
        }
        None => {
            let written = generate()?;
            (written.public_key, Some(written.private_key))
        }
    };
    let print = if kind == "x509" { certificate_key::fingerprint } else { ssh_key::fingerprint };
    let keypair = Keypair {
        user_id: user.clone(),
        name: new.name.0,
        kind,
        fingerprint: print(&public_key)?,
        public_key,
        number: 0,
        created_at: call.cx.state.clock.now(),
    };
    let (reach, kept, region) = (call.cx.reach.clone(), keypair.clone(), call.cx.state.limits_region());
    let write = move |tx: &mut crate::store::Tx| {
        // Upstream holds key pairs to the default, whatever was set for a project: they belong to users.
        let limits = match &region {
            None => quotas::defaults(tx)?,
            Some(region) => quotas::limits_in(tx, Some(region), &"".into())?,
        };
        let limit = limits.of("key_pairs");
        let is_bounded = limit != crate::cloud::quota::UNLIMITED;
        if is_bounded && keypairs::count(tx, &kept.user_id)? >= limit {
            return Err(Error::OverQuota("Quota exceeded, too many key pairs.".to_owned()));
        }
        keypairs::insert(tx, &reach, &kept)
    };
    call.cx.state.db.write(write).await?;
    let status = if call.version() >= versions::KEYPAIRS_HAVE_TYPES { StatusCode::CREATED } else { StatusCode::OK };
    let created = Created {
        private_key,
        kind: keypair.kind,
        name: keypair.name,
        public_key: keypair.public_key,
        fingerprint: keypair.fingerprint,
        user_id: keypair.user_id,
    };
    Ok(Reply::new(status, CreatedKeypair { keypair: created }))
}

/// A new Ed25519 key. The private half is written into the one answer and kept nowhere.
fn generate() -> Result<ssh_key::Written> {
    let failed = |_| Error::internal("a key could not be generated", "the cryptographic library refused");
    let pair = Ed25519KeyPair::generate().map_err(failed)?;
    let seed: Curve25519SeedBin<'static> = pair.seed().map_err(failed)?.as_be_bytes().map_err(failed)?;
    let wrong_size = |_| Error::internal("a key could not be generated", "its parts have unexpected sizes");
    let seed: &[u8; 32] = seed.as_ref().try_into().map_err(wrong_size)?;
    let public: &[u8; 32] = pair.public_key().as_ref().try_into().map_err(wrong_size)?;
    Ok(ssh_key::write_ed25519(seed, public, rand::random(), "Generated-by-Gapura"))
}

/// A new key with its certificate, made where nobody else waits.
async fn certificate(user: String, now: Timestamp) -> Result<Generated> {
    let made = tokio::task::spawn_blocking(move || x509_key::generate(&user, now)).await;
    made.map_err(|error| Error::internal("a certificate could not be generated", error))?
}

/// `DELETE /os-keypairs/{keypair_name}`.
async fn remove(call: Call) -> Result<Empty> {
    check_query(&call, &["user_id"])?;
    let user = whose(&call, call.query().get("user_id"))?;
    let (reach, name) = (call.cx.reach.clone(), call.path("keypair_name").to_owned());
    call.cx.state.db.write(move |tx| keypairs::delete(tx, &reach, &user, &name)).await?;
    Ok(if call.version() >= versions::KEYPAIRS_HAVE_TYPES { Empty::no_content() } else { Empty::accepted() })
}
