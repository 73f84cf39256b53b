//! With whom an image is shared: the owner offers, the other project answers.
//!
//! The owner sees every member; a member sees itself, and can't share on. Whoever may not look at members is told that
//! the image has none to look at (404), whoever may look and not act is refused (403).
//!
//! Beyond Glance's, an offer may carry two members that Glance's clients neither send nor read: `gapura:expires_at`, from
//! which time on the share is none, and `gapura:purpose`, up to 255 characters that owner and member both read. They are
//! fixed with the offer: to change them, withdraw it and share again. What was booted from the image while it was shared
//! goes on, for a machine has the bytes by then.

use super::seen::{self, Seen};
use super::views::{EXPIRES_AT, MemberList, MemberView, PURPOSE};
use crate::api::{Call, Context};
use crate::clock::Timestamp;
use crate::cloud::image::{Member, MemberStatus, Terms};
use crate::error::{Error, Kind, Result};
use crate::http::reply::{Empty, Reply};
use crate::ids::ProjectId;
use crate::store::{Tx, image_members};
use serde_json::Value;

/// `GET …/members`
pub async fn list(call: Call) -> Result<Reply<MemberList>> {
    let members = seen::read(&call, |tx, cx, seen| {
        seen.image.has_members().map_err(|error| {
            Error::Forbidden(format!("Not allowed to list members for image {}: {error}", seen.image.id))
        })?;
        seen.allow(cx, "get_members")?;
        visible(tx, cx, &seen)
    })
    .await?;
    let members = members.into_iter().map(MemberView::from).collect();
    Ok(Reply::ok(MemberList { members, schema: "/v2/schemas/members" }))
}

/// `POST …/members`
pub async fn add(call: Call<Value>) -> Result<Reply<MemberView>> {
    let project = project_of(&call.body)?;
    let now = call.cx.state.clock.now();
    let terms = terms_of(&call.body, now)?;
    let member = seen::write(&call, move |tx, cx, seen| {
        let id = seen.image.id;
        let refused = |_| Error::Forbidden(format!("Not allowed to create members for image {id}."));
        seen.image.has_members().map_err(refused)?;
        seen.allow(cx, "add_member").map_err(refused)?;
        let attempted = image_members::list(tx, id, now)?.len() + 1;
        cx.state.images.limits.check_members(&seen.image, attempted)?;
        image_members::insert(tx, id, &project, &terms, now)
    })
    .await?;
    Ok(Reply::ok(member.into()))
}

/// `GET …/members/{member_id}`: every refusal reads as not found.
pub async fn show(call: Call) -> Result<Reply<MemberView>> {
    let project = ProjectId::from(call.path("member_id"));
    let member = seen::read(&call, move |tx, cx, seen| {
        let missing = |_| not_a_member(&project, &seen);
        seen.image.has_members().map_err(missing)?;
        seen.allow(cx, "get_member").map_err(missing)?;
        find(tx, cx, &seen, &project)
    })
    .await?;
    Ok(Reply::ok(member.into()))
}

/// `PUT …/members/{member_id}`: the member accepts or rejects.
pub async fn answer(call: Call<Value>) -> Result<Reply<MemberView>> {
    let status = status_of(&call.body)?;
    let project = ProjectId::from(call.path("member_id"));
    let now = call.cx.state.clock.now();
    let member = seen::write(&call, move |tx, cx, seen| {
        let id = seen.image.id;
        let refused = |_| Error::Forbidden(format!("Not allowed to update members for image {id}."));
        seen.image.has_members().map_err(refused)?;
        let member = find(tx, cx, &seen, &project)?;
        seen.allow(cx, "modify_member").map_err(refused)?;
        let status = status.ok_or_else(|| {
            Error::bad_request("Incorrect request: Status must be \"pending\", \"accepted\" or \"rejected\".")
        })?;
        image_members::answer(tx, &member, status, now)
    })
    .await?;
    Ok(Reply::ok(member.into()))
}

/// `DELETE …/members/{member_id}`
pub async fn remove(call: Call) -> Result<Empty> {
    let project = ProjectId::from(call.path("member_id"));
    seen::write(&call, move |tx, cx, seen| {
        let id = seen.image.id;
        let refused = |_| Error::Forbidden(format!("Not allowed to delete members for image {id}."));
        seen.image.has_members().map_err(refused)?;
        let member = find(tx, cx, &seen, &project)?;
        seen.allow(cx, "delete_member").map_err(refused)?;
        image_members::delete(tx, id, &member.project)
    })
    .await?;
    Ok(Empty::no_content())
}

/// The members the caller sees: all of an image of theirs, else their own membership.
fn visible(tx: &mut Tx, cx: &Context, seen: &Seen) -> Result<Vec<Member>> {
    let own = cx.caller()?.project_id();
    if cx.may("context_is_admin") || (own.is_some() && seen.image.owner.as_ref() == own) {
        return image_members::list(tx, seen.image.id, cx.state.clock.now());
    }
    Ok(seen.membership.iter().cloned().collect())
}

fn find(tx: &mut Tx, cx: &Context, seen: &Seen, project: &ProjectId) -> Result<Member> {
    let members = visible(tx, cx, seen)?;
    members.into_iter().find(|member| member.project == *project).ok_or_else(|| not_a_member(project, seen))
}

fn not_a_member(project: &ProjectId, _seen: &Seen) -> Error {
    Error::not_found(Kind::ImageMember, project)
}

fn project_of(body: &Value) -> Result<ProjectId> {
    let expected = || Error::bad_request("Expected a member in the form: {\"member\": \"image_id\"}");
    let member = body.as_object().ok_or_else(expected)?.get("member");
    match member.ok_or_else(|| Error::bad_request("Member to be added not specified"))? {
        Value::String(text) if !text.is_empty() && text.chars().count() <= 255 => Ok(ProjectId(text.clone())),
        Value::String(text) if !text.is_empty() => Err(Error::bad_request("Member is longer than 255 characters")),
        Value::Null | Value::String(_) => Err(Error::bad_request("Member can't be empty")),
        _ => Err(expected()),
    }
}

/// When the share ends and what it is for, if its owner says so.
fn terms_of(body: &Value, now: Timestamp) -> Result<Terms> {
    let text = |name: &str| match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.chars().count() <= 255 => Ok(Some(text.clone())),
        Some(_) => Err(Error::bad_request(format!("{name} is no text of at most 255 characters"))),
    };
    let expires_at = text(EXPIRES_AT)?
        .map(|text| {
            let time = Timestamp::parse(&text).filter(|time| *time > now);
            time.ok_or_else(|| Error::bad_request(format!("{EXPIRES_AT} is no time in the future: {text}")))
        })
        .transpose()?;
    Ok(Terms { expires_at, purpose: text(PURPOSE)? })
}

/// `None` for a word that is no answer.
fn status_of(body: &Value) -> Result<Option<MemberStatus>> {
    let expected = || Error::bad_request("Expected a status in the form: {\"status\": \"status\"}");
    let status = body.as_object().ok_or_else(expected)?.get("status");
    let status = status.ok_or_else(|| Error::bad_request("Status not specified"))?;
    Ok(status.as_str().and_then(MemberStatus::of))
}
