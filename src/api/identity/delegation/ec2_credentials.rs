//! EC2 credentials of a user: `/v3/users/{id}/credentials/OS-EC2`, the same rows that [`crate::api::identity::delegation::credentials`] shows, made by
//! us and shown in another form.

use crate::api::identity::answer::{done, link, listed_at};
use crate::api::identity::delegation::check_is_primary;
use crate::api::identity::delegation::credentials::{EC2, check_role, ec2_id, open, sealed, target};
use crate::api::{Call, Row};
use crate::cloud::policy::Target;
use crate::error::{Error, Kind, Result};
use crate::http::json::{Map, Text};
use crate::http::reply::RawReply;
use crate::http::table::{delete, get, post};
use crate::ids::{ProjectId, UserId};
use crate::store::credentials::{self, Credential};
use crate::store::{Tx, projects, users};
use http::StatusCode;
use serde_json::{Value, json};

pub fn rows() -> Vec<Row> {
    vec![
        get("/v3/users/{user_id}/credentials/OS-EC2", list).rule("identity:ec2_list_credentials"),
        post("/v3/users/{user_id}/credentials/OS-EC2", create).rule("identity:ec2_create_credential"),
        get("/v3/users/{user_id}/credentials/OS-EC2/{credential_id}", show).rule("identity:ec2_get_credential"),
        delete("/v3/users/{user_id}/credentials/OS-EC2/{credential_id}", remove).rule("identity:ec2_delete_credential"),
    ]
}

crate::versioned! {
    request Ec2Create open {
        "tenant_id" required => tenant_id: Text<1, 64>,
    }
}

/// The pair of keys in the row, if it can be read.
fn view<B>(call: &Call<B>, credential: &Credential) -> Result<Map> {
    let state = &call.cx.state;
    let unreadable = || Error::internal("a credential can't be opened", credential.id.clone());
    let blob = open(&state.identity.vault, credential, state.clock.now()).ok_or_else(unreadable)?;
    let blob: Value = serde_json::from_str(&blob).unwrap_or_default();
    let access = blob["access"].as_str().unwrap_or_default();
    let path = format!("/users/{}/credentials/OS-EC2/{access}", credential.user_id);
    let view = json!({
        "user_id": credential.user_id,
        "tenant_id": credential.project_id,
        "access": access,
        "secret": blob["secret"],
        "trust_id": blob["trust_id"],
        "links": {"self": link(call, &path)},
    });
    Ok(if let Value::Object(map) = view { map } else { Map::new() })
}

/// The user of the path, once the row's rule holds for them as the owner.
async fn owner<B>(call: &Call<B>) -> Result<UserId> {
    let user = UserId::from(call.path("user_id"));
    call.cx.permit(&target(&user, None))?;
    check_is_primary(call)?;
    let wanted = user.clone();
    let found = call.cx.state.db.read(move |tx| users::get(tx, &wanted)).await?;
    Ok(found.ok_or_else(|| Error::not_found(Kind::User, &user))?.id)
}

async fn list(call: Call) -> Result<RawReply> {
    let user = owner(&call).await?;
    let base = format!("/users/{user}/credentials/OS-EC2");
    let found = call.cx.state.db.read(move |tx| credentials::list(tx, Some(&user), Some(EC2))).await?;
    let items = found.iter().map(|credential| view(&call, credential)).collect::<Result<Vec<_>>>()?;
    Ok(listed_at(&call, "credentials", &base, items, &[]))
}

async fn create(call: Call<Ec2Create>) -> Result<RawReply> {
    let state = &call.cx.state;
    let user = owner(&call).await?;
    let project = ProjectId(call.body.tenant_id.0.clone());
    let key = || uuid::Uuid::new_v4().simple().to_string();
    let (access, secret) = (key(), key());
    let blob = json!({"access": access, "secret": secret, "trust_id": null}).to_string();
    let (id, now) = (ec2_id(&access), state.clock.now());
    let vault = &state.identity.vault;
    let credential = sealed(vault, id, (user, Some(project)), EC2, &blob, Map::new(), now)?;
    let is_for_another = call.cx.may_on("identity:ec2_create_credential", &Target::new());
    let stored = credential.clone();
    let insert = move |tx: &mut Tx| {
        let project = stored.project_id.as_ref();
        if is_for_another {
            let wanted = project.cloned().unwrap_or_else(|| ProjectId(String::new()));
            projects::get(tx, &wanted)?.ok_or_else(|| Error::not_found(Kind::Project, &wanted))?;
        } else {
            check_role(tx, &stored.user_id, project)?;
        }
        credentials::insert(tx, &stored, now)
    };
    state.db.write(insert).await?;
    Ok(RawReply::json(StatusCode::CREATED, &json!({"credential": view(&call, &credential)?})))
}

/// The credential with the access key of the path, if the row's rule holds for its owner: whose it is it says itself,
/// whatever user the path names. As upstream, one that isn't there is 404 to everybody.
async fn of_path(call: &Call) -> Result<Credential> {
    let id = ec2_id(call.path("credential_id"));
    let wanted = id.clone();
    let found = call.cx.state.db.read(move |tx| credentials::get(tx, &wanted)).await?;
    let found = found.filter(|credential| credential.kind.eq_ignore_ascii_case(EC2));
    let credential = found.ok_or_else(|| Error::not_found(Kind::Credential, &id))?;
    call.cx.permit(&target(&credential.user_id, credential.project_id.as_ref()))?;
    check_is_primary(call)?;
    Ok(credential)
}

async fn show(call: Call) -> Result<RawReply> {
    let credential = of_path(&call).await?;
    Ok(RawReply::json(StatusCode::OK, &json!({"credential": view(&call, &credential)?})))
}

async fn remove(call: Call) -> Result<RawReply> {
    let credential = of_path(&call).await?;
    call.cx.state.db.write(move |tx| credentials::delete(tx, &credential.id)).await?;
    Ok(done())
}
