//! Tags of projects: `/v3/projects/{id}/tags`, and the four filters of a list.

use crate::api::identity::answer::{done, invalid, link};
use crate::api::identity::fields::{TagList, tag_fault};
use crate::api::identity::projects::of_path;
use crate::api::{Call, Row};
use crate::cloud::compliance::has;
use crate::cloud::identity::Project;
use crate::error::{Error, Kind, Result};
use crate::http::call::BodyFault;
use crate::http::json::{Parse, Path};
use crate::http::microversion::Microversion;
use crate::http::query::Query;
use crate::http::reply::RawReply;
use crate::http::table::{Dialect, delete, get, put};
use crate::store::{Tx, projects};
use http::StatusCode;
use serde_json::json;

pub fn rows() -> Vec<Row> {
    vec![
        get("/v3/projects/{project_id}/tags", list).rule("identity:list_project_tags"),
        put("/v3/projects/{project_id}/tags", replace).rule("identity:update_project_tags"),
        delete("/v3/projects/{project_id}/tags", clear).rule("identity:delete_project_tags"),
        get("/v3/projects/{project_id}/tags/{tag}", check).rule("identity:get_project_tag"),
        put("/v3/projects/{project_id}/tags/{tag}", add).rule("identity:create_project_tag"),
        delete("/v3/projects/{project_id}/tags/{tag}", remove).rule("identity:delete_project_tag"),
    ]
}

crate::versioned! {
    request Tags strict {
        "tags" required => tags: TagList,
    }
}

/// The four filters of a list: all of these tags, any of them, not all of them, none of them.
pub fn asked(query: &Query) -> projects::Tags {
    let list = |name: &str| query.get(name).map(|tags| tags.split(',').map(str::to_owned).collect());
    projects::Tags {
        all: list("tags"),
        any: list("tags-any"),
        not_all: list("not-tags"),
        not_any: list("not-tags-any"),
    }
}

fn answer<B>(call: &Call<B>, tags: &[String], project: &Project) -> RawReply {
    let links = json!({"self": link(call, &format!("/projects/{}/tags", project.id))});
    RawReply::json(StatusCode::OK, &json!({"links": links, "tags": tags}))
}

/// Changes the tags of the path's project as they are now.
async fn change<B>(
    call: &Call<B>,
    verb: &'static str,
    change: impl Fn(Vec<String>) -> Result<Vec<String>> + Send + 'static,
) -> Result<Project> {
    let id = of_path(call).await?.id;
    let write = move |tx: &mut Tx| {
        let mut project = projects::get(tx, &id)?.ok_or_else(|| Error::not_found(Kind::Project, &id))?;
        if has(&project.options, "immutable") {
            return Err(Error::Forbidden(format!(
                "Cannot {verb} project tags for {id}, project is immutable. Set \"immutable\" option to false before creating project tags."
            )));
        }
        project.tags = change(project.tags)?;
        projects::update(tx, &project)?;
        Ok(project)
    };
    call.cx.state.db.write(write).await
}

async fn list(call: Call) -> Result<RawReply> {
    let project = of_path(&call).await?;
    Ok(answer(&call, &project.tags, &project))
}

async fn replace(call: Call<Tags>) -> Result<RawReply> {
    let tags = call.body.tags.0.clone();
    let project = change(&call, "update", move |_| Ok(tags.clone())).await?;
    Ok(answer(&call, &project.tags, &project))
}

async fn clear(call: Call) -> Result<RawReply> {
    change(&call, "update", |_| Ok(Vec::new())).await?;
    Ok(done())
}

fn tag(call: &Call) -> String {
    call.path("tag").to_owned()
}

fn missing(tag: &str) -> Error {
    Error::not_found(Kind::Part, format!("Could not find project tag: {tag}."))
}

async fn check(call: Call) -> Result<RawReply> {
    let project = of_path(&call).await?;
    if project.tags.contains(&tag(&call)) { Ok(done()) } else { Err(missing(&tag(&call))) }
}

async fn add(call: Call) -> Result<RawReply> {
    let new = tag(&call);
    if let Some(fault) = tag_fault(&new) {
        return Err(invalid("tag", &json!(new), &format!("'{new}' {fault}")));
    }
    let add = move |mut tags: Vec<String>| {
        tags.push(new.clone());
        // One that is there already is refused, as one too many is.
        TagList::parse(json!(tags), &Path::Key(&Path::Root, "tags"), Microversion::ANY)
            .map(|tags| tags.0)
            .map_err(|invalid| crate::api::faults::KEYSTONE.body_fault(&BodyFault::Invalid(invalid)))
    };
    let project = change(&call, "create", add).await?;
    let place = link(&call, &format!("/projects/{}/tags/{}", project.id, tag(&call)));
    Ok(RawReply::empty(StatusCode::CREATED).header("location", &place))
}

async fn remove(call: Call) -> Result<RawReply> {
    let gone = tag(&call);
    let remove = move |mut tags: Vec<String>| {
        let before = tags.len();
        tags.retain(|kept| *kept != gone);
        if tags.len() == before { Err(missing(&gone)) } else { Ok(tags) }
    };
    change(&call, "delete", remove).await?;
    Ok(done())
}
