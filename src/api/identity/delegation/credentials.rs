//! Credentials: `/v3/credentials`, secrets that users keep with us, of any type.
//!
//! A blob is sealed before it is written and opened when it is shown ([`Vault`]). Of a credential nothing but the blob can
//! be changed: who owns it, what it is for and what it is stay what they were (CVE-2020-12691). EC2 credentials are kept
//! and shown; there is no place to exchange them for a token (CVE-2025-65073).

use crate::api::identity::answer::{done, invalid, listed, permitted, shown};
use crate::api::identity::delegation::check_is_primary;
use crate::api::identity::login;
use crate::api::{Call, Row};
use crate::clock::Timestamp;
use crate::cloud::policy::Target;
use crate::error::{Error, Kind, Result};
use crate::http::json::{Map, Text};
use crate::http::reply::RawReply;
use crate::http::table::{delete, get, patch, post};
use crate::ids::{ProjectId, UserId};
use crate::store::credentials::{self, Credential};
use crate::store::{Db, Tx, roles, users};
use crate::vault::{Sealed, Vault};
use http::StatusCode;
use serde_json::{Value, json};

pub fn rows() -> Vec<Row> {
    vec![
        get("/v3/credentials", list).rule("identity:list_credentials").query(&["user_id", "type"]),
        post("/v3/credentials", create).rule("identity:create_credential"),
        get("/v3/credentials/{credential_id}", show).rule("identity:get_credential"),
        patch("/v3/credentials/{credential_id}", update).rule("identity:update_credential"),
        delete("/v3/credentials/{credential_id}", remove).rule("identity:delete_credential"),
    ]
}

crate::versioned! {
    request CredentialCreate open {
        "credential" required => credential: NewCredential,
    }
}

crate::versioned! {
    request NewCredential open {
        "user_id" required => user_id: Text<1, 64>,
        "type" required    => kind: Text<1, 255>,
        "blob" required    => blob: String,
        "project_id"       => project_id: Option<Text<1, 64>>;
        flatten            => extra
    }
}

crate::versioned! {
    request CredentialUpdate open {
        "credential" required => credential: CredentialChange,
    }
}

crate::versioned! {
    request CredentialChange strict {
        "blob" required => blob: String,
    }
}

pub const EC2: &str = "ec2";

fn purpose(id: &str, user: &UserId, kind: &str) -> String {
    format!("credential {id} of {user}: {kind}")
}

/// A new credential, its blob sealed.
///
/// # Errors
/// `Internal` when it can't be sealed.
pub fn sealed(
    vault: &Vault,
    id: String,
    (user_id, project_id): (UserId, Option<ProjectId>),
    kind: &str,
    blob: &str,
    extra: Map,
    now: Timestamp,
) -> Result<Credential> {
    let Sealed { key_id, text } = vault.seal(&purpose(&id, &user_id, kind), blob, now)?;
    Ok(Credential { id, user_id, project_id, kind: kind.to_owned(), key_id, sealed: text, extra, totp_window: 0 })
}

/// The blob; `None` when it can't be opened: it was moved here from another row, or its key is gone.
pub fn open(vault: &Vault, credential: &Credential, now: Timestamp) -> Option<String> {
    let purpose = purpose(&credential.id, &credential.user_id, &credential.kind);
    let blob = vault.open(&purpose, &credential.key_id, &credential.sealed, now);
    if blob.is_none() {
        tracing::error!(credential = credential.id, key = credential.key_id, "a credential can't be opened");
    }
    blob
}

/// Seals what older keys sealed with the newest one, a hundred rows at a time, and answers how many there were and which
/// keys are in use now. What another process writes meanwhile is left as it is.
///
/// # Errors
/// Those of the database; `Internal` for a credential that can't be opened.
pub async fn reseal_credentials(db: &Db, vault: &Vault, newest: &str, now: Timestamp) -> Result<(usize, Vec<String>)> {
    let mut count = 0;
    loop {
        let key = newest.to_owned();
        let old = db.read(move |tx| credentials::not_sealed_with(tx, &key, 100)).await?;
        if old.is_empty() {
            let in_use = db.read(credentials::keys_in_use).await?;
            return Ok((count, in_use));
        }
        let mut fresh = Vec::new();
        for credential in old {
            let unreadable = || Error::internal("a credential can't be opened", credential.id.clone());
            let blob = open(vault, &credential, now).ok_or_else(unreadable)?;
            let sealed = vault.seal(&purpose(&credential.id, &credential.user_id, &credential.kind), &blob, now)?;
            fresh.push((credential, sealed));
        }
        count += fresh.len();
        let write = move |tx: &mut Tx| {
            fresh.iter().try_for_each(|(credential, sealed)| {
                credentials::replace(tx, credential, &sealed.key_id, &sealed.text).map(drop)
            })
        };
        db.write(write).await?;
    }
}

/// An EC2 credential is found by its access key.
pub fn ec2_id(access: &str) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, access.as_bytes()))
}

pub fn target(user: &UserId, project: Option<&ProjectId>) -> Target {
    Target::new()
        .with("user_id", user)
        .with("target.credential.user_id", user)
        .with_option("target.credential.project_id", project)
}

fn target_of(credential: &Credential) -> Target {
    target(&credential.user_id, credential.project_id.as_ref())
        .with("target.credential.id", &credential.id)
        .with("target.credential.type", &credential.kind)
}

fn view(credential: &Credential, blob: &str) -> Map {
    let mut view = credential.extra.clone();
    view.insert("id".to_owned(), json!(credential.id));
    view.insert("user_id".to_owned(), json!(credential.user_id));
    view.insert("project_id".to_owned(), json!(credential.project_id));
    view.insert("type".to_owned(), json!(credential.kind));
    view.insert("blob".to_owned(), json!(blob));
    view
}

fn answer<B>(call: &Call<B>, status: StatusCode, credential: &Credential, blob: &str) -> RawReply {
    let path = format!("/credentials/{}", credential.id);
    shown(call, status, "credential", &path, view(credential, blob))
}

/// The blob of a credential that is about to be shown.
fn opened<B>(call: &Call<B>, credential: &Credential) -> Result<String> {
    let state = &call.cx.state;
    open(&state.identity.vault, credential, state.clock.now())
        .ok_or_else(|| Error::internal("a credential can't be opened", credential.id.clone()))
}

/// CVE-2019-19687: the query asks for no more than the caller may see, and each row is looked at again.
async fn list(call: Call) -> Result<RawReply> {
    let caller = call.cx.caller()?;
    call.cx.permit(&target(&caller.user_id, None))?;
    if caller.is_delegated() {
        // As upstream: it may ask, and sees none.
        return Ok(listed(&call, "credentials", Vec::new(), &[]));
    }
    let asked = call.query().get("user_id").map(UserId::from);
    let sees_all = call.cx.may_on("identity:get_credential", &Target::new());
    let user = if sees_all { asked.clone() } else { Some(caller.user_id.clone()) };
    let kind = call.query().get("type").map(str::to_owned);
    let found = call.cx.state.db.read(move |tx| credentials::list(tx, user.as_ref(), kind.as_deref())).await?;
    let mut items = Vec::new();
    for credential in &found {
        let is_asked_for = asked.as_ref().is_none_or(|user| *user == credential.user_id);
        if is_asked_for && call.cx.may_on("identity:get_credential", &target_of(credential)) {
            items.push(view(credential, &opened(&call, credential)?));
        }
    }
    Ok(listed(&call, "credentials", items, &["user_id", "type"]))
}

/// The credential of the path, if the row's rule holds for it, and for a caller who logged in themselves.
async fn of_path<B>(call: &Call<B>) -> Result<Credential> {
    let id = call.path("credential_id").to_owned();
    let wanted = id.clone();
    let credential = permitted(call, Kind::Credential, &id, move |tx| credentials::get(tx, &wanted), target_of).await?;
    check_is_primary(call)?;
    Ok(credential)
}

async fn show(call: Call) -> Result<RawReply> {
    let credential = of_path(&call).await?;
    let blob = opened(&call, &credential)?;
    Ok(answer(&call, StatusCode::OK, &credential, &blob))
}

async fn create(call: Call<CredentialCreate>) -> Result<RawReply> {
    let state = &call.cx.state;
    let new = call.body.credential.clone();
    let (user, project) = (UserId(new.user_id.0), new.project_id.map(|id| ProjectId(id.0)));
    call.cx.permit(&target(&user, project.as_ref()))?;
    check_is_primary(&call)?;
    let is_ec2 = new.kind.0.eq_ignore_ascii_case(EC2);
    let id = if is_ec2 { ec2_id(&access_of(&new.blob)?) } else { uuid::Uuid::new_v4().simple().to_string() };
    if is_ec2 && project.is_none() {
        // Without its blob, which is a secret.
        let shown = json!({"user_id": user, "type": new.kind.0});
        return Err(invalid("credential", &shown, "'project_id' is a required property"));
    }
    let mut extra = new.extra;
    extra.retain(|key, _| !matches!(key.as_str(), "id" | "links"));
    let now = state.clock.now();
    let vault = &state.identity.vault;
    let credential = sealed(vault, id, (user, project), &new.kind.0, &new.blob, extra, now)?;
    let is_for_another = call.cx.may_on("identity:create_credential", &Target::new());
    let stored = credential.clone();
    let insert = move |tx: &mut Tx| {
        users::get(tx, &stored.user_id)?.ok_or_else(|| Error::not_found(Kind::User, &stored.user_id))?;
        if is_ec2 && !is_for_another {
            check_role(tx, &stored.user_id, stored.project_id.as_ref())?;
        }
        credentials::insert(tx, &stored, now)
    };
    state.db.write(insert).await?;
    Ok(answer(&call, StatusCode::CREATED, &credential, &new.blob))
}

/// CVE-2026-43001: a key to a project is made by whoever is at home there.
///
/// # Errors
/// `Forbidden` for a project on which the user holds no role, whether or not there is such a project.
pub fn check_role(tx: &mut Tx, user: &UserId, project: Option<&ProjectId>) -> Result<()> {
    let held = match project {
        Some(project) => roles::held_on_project(tx, user, project)?,
        None => Vec::new(),
    };
    if held.is_empty() {
        return Err(Error::Forbidden("identity:create_credential".to_owned()));
    }
    Ok(())
}

/// The access key that an EC2 credential's blob names.
fn access_of(blob: &str) -> Result<String> {
    let lacks = |what: &str| login::expecting(what, "credential");
    let invalid = || Error::bad_request("Invalid blob in credential");
    let blob: Value = serde_json::from_str(blob).map_err(|_| invalid())?;
    let blob = blob.as_object().filter(|blob| !blob.is_empty()).ok_or_else(|| lacks("blob"))?;
    match blob.get("access") {
        Some(Value::String(access)) => Ok(access.clone()),
        _ => Err(lacks("access")),
    }
}

/// What an EC2 credential was got with can't be changed by changing its blob.
const BOUND: [&str; 4] = ["trust_id", "app_cred_id", "access_token_id", "access_id"];

async fn update(call: Call<CredentialUpdate>) -> Result<RawReply> {
    let state = &call.cx.state;
    let credential = of_path(&call).await?;
    let blob = &call.body.credential.blob;
    if credential.kind.eq_ignore_ascii_case(EC2) {
        access_of(blob)?;
        let part =
            |blob: &str, key: &str| serde_json::from_str::<Value>(blob).map_or(Value::Null, |it| it[key].clone());
        let old = opened(&call, &credential)?;
        if let Some(key) = BOUND.iter().find(|key| part(&old, key) != part(blob, key)) {
            return Err(Error::bad_request(format!("{key} can not be updated for credential")));
        }
    }
    let purpose = purpose(&credential.id, &credential.user_id, &credential.kind);
    let Sealed { key_id, text } = state.identity.vault.seal(&purpose, blob, state.clock.now())?;
    let old = credential.clone();
    let write = move |tx: &mut Tx| credentials::replace(tx, &old, &key_id, &text);
    if !state.db.write(write).await? {
        return Err(Error::conflict("The credential was changed meanwhile."));
    }
    Ok(answer(&call, StatusCode::OK, &credential, blob))
}

async fn remove(call: Call) -> Result<RawReply> {
    let credential = of_path(&call).await?;
    call.cx.state.db.write(move |tx| credentials::delete(tx, &credential.id)).await?;
    Ok(done())
}
