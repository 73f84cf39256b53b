//! Tags of projects: `/v3/projects/{id}/tags`, and the four filters of a list.

use super::answer::{done, link};
use super::projects::of_path;
use crate::api::{Call, Row};
use crate::cloud::identity::Project;
use crate::error::{Error, Kind, Result};
use crate::http::json::Text;
use crate::http::query::Query;
use crate::http::reply::RawReply;
use crate::http::table::{delete, get, put};
use crate::store::projects;
use http::StatusCode;
use serde_json::json;

/// Upstream's bound.
const MOST: usize = 80;

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
    request Tags open {
        "tags" required => tags: Vec<Text<1, 255>>,
    }
}

/// Tags as upstream takes them: no slash, no comma, no twins, at most eighty.
///
/// # Errors
/// `BadRequest`.
pub fn checked(tags: Vec<Text<1, 255>>) -> Result<Vec<String>> {
    let mut kept: Vec<String> = Vec::new();
    for Text(tag) in tags {
        if tag.contains(['/', ',']) {
            return Err(Error::bad_request(format!(
                "Invalid input for field 'tags': '{tag}' does not match '^[^,/]*$'"
            )));
        }
        if !kept.contains(&tag) {
            kept.push(tag);
        }
    }
    if kept.len() > MOST {
        return Err(Error::bad_request("Invalid input for field 'tags': the list is too long"));
    }
    kept.sort();
    Ok(kept)
}

/// Does a project fit the tag filters of a query?
pub fn fit(project: &Project, query: &Query) -> bool {
    let asked = |name: &str| -> Option<Vec<String>> {
        query.get(name).map(|tags| tags.split(',').map(str::to_owned).collect())
    };
    let has = |tag: &String| project.tags.contains(tag);
    asked("tags").is_none_or(|tags| tags.iter().all(has))
        && asked("tags-any").is_none_or(|tags| tags.iter().any(has))
        && asked("not-tags").is_none_or(|tags| !tags.iter().all(has))
        && asked("not-tags-any").is_none_or(|tags| !tags.iter().any(has))
}

fn answer<B>(call: &Call<B>, project: &Project) -> RawReply {
    let links = json!({"self": link(call, &format!("/projects/{}/tags", project.id))});
    RawReply::json(StatusCode::OK, &json!({"links": links, "tags": project.tags}))
}

async fn store<B>(call: &Call<B>, project: &Project) -> Result<()> {
    let stored = project.clone();
    call.cx.state.db.write(move |tx| projects::update(tx, &stored)).await
}

async fn list(call: Call) -> Result<RawReply> {
    let project = of_path(&call).await?;
    Ok(answer(&call, &project))
}

async fn replace(call: Call<Tags>) -> Result<RawReply> {
    let mut project = of_path(&call).await?;
    project.tags = checked(call.body.tags.clone())?;
    store(&call, &project).await?;
    Ok(answer(&call, &project))
}

async fn clear(call: Call) -> Result<RawReply> {
    let mut project = of_path(&call).await?;
    project.tags.clear();
    store(&call, &project).await?;
    Ok(done())
}

fn tag(call: &Call) -> String {
    call.path("tag").to_owned()
}

async fn check(call: Call) -> Result<RawReply> {
    let project = of_path(&call).await?;
    if project.tags.contains(&tag(&call)) { Ok(done()) } else { Err(Error::not_found(Kind::Page, tag(&call))) }
}

async fn add(call: Call) -> Result<RawReply> {
    let mut project = of_path(&call).await?;
    let all = project.tags.iter().cloned().chain([tag(&call)]).map(Text);
    project.tags = checked(all.collect())?;
    store(&call, &project).await?;
    let place = link(&call, &format!("/projects/{}/tags/{}", project.id, tag(&call)));
    Ok(RawReply::empty(StatusCode::CREATED).header("location", &place))
}

async fn remove(call: Call) -> Result<RawReply> {
    let mut project = of_path(&call).await?;
    if !project.tags.contains(&tag(&call)) {
        return Err(Error::not_found(Kind::Page, tag(&call)));
    }
    project.tags.retain(|kept| *kept != tag(&call));
    store(&call, &project).await?;
    Ok(done())
}
