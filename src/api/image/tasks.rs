//! Imports as tasks: of one image for whoever sees it, all of them for administrators.

use super::create;
use super::imports::{self, ImportWish};
use super::seen;
use crate::api::Call;
use crate::cloud::image::import::{ImportTask, Method, TASK_KINDS, TaskStatus};
use crate::error::{Error, Result};
use crate::http::json::Map;
use crate::http::query::Query;
use crate::http::reply::{RawReply, Reply};
use crate::ids::TaskId;
use crate::store::image_tasks::{self, Page, SORT_FIELDS};
use crate::store::{image_limits, images};
use crate::tasks::fetch;
use crate::versioned;
use http::StatusCode;
use serde_json::{Value, json};

/// Tasks on a page unless asked otherwise, and at most.
const DEFAULT_LIMIT: usize = 25;
const LARGEST_LIMIT: usize = 1000;

versioned! {
    response TaskView {
        "id"                  => id: String,
        "type"                => kind: &'static str,
        "status"              => status: &'static str,
        "owner"               => owner: Option<String>,
        "image_id"   optional => image_id: Option<String>,
        "request_id" optional => request_id: Option<String>,
        "user_id"    optional => user_id: Option<String>,
        "expires_at" optional => expires_at: Option<String>,
        "created_at"          => created_at: String,
        "updated_at"          => updated_at: String,
        "self"                => itself: String,
        "schema"              => schema: &'static str
        ; flatten => details
    }
}

versioned! {
    response TaskList {
        "tasks"         => tasks: Vec<TaskView>,
        "first"         => first: String,
        "schema"        => schema: &'static str,
        "next" optional => next: Option<String>,
    }
}

impl TaskView {
    fn of(task: &ImportTask, details: Map) -> Self {
        Self {
            id: task.id.to_string(),
            kind: task.kind,
            status: task.status.word(),
            owner: task.owner.as_ref().map(ToString::to_string),
            image_id: task.image_id.map(|id| id.to_string()),
            request_id: task.request_id.clone(),
            user_id: task.user_id.as_ref().map(ToString::to_string),
            expires_at: task.expires_at.map(|at| at.to_seconds_z()),
            created_at: task.created_at.to_seconds_z(),
            updated_at: task.updated_at.to_seconds_z(),
            itself: format!("/v2/tasks/{}", task.id),
            schema: "/v2/schemas/task",
            details,
        }
    }

    fn whole(task: &ImportTask) -> Self {
        let details =
            [("input", task.input.clone()), ("result", task.result.clone()), ("message", json!(task.message))];
        Self::of(task, details.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// As lists have it: without what may be long, and without what upstream's lists leave out.
    fn stub(task: &ImportTask) -> Self {
        Self { image_id: None, request_id: None, user_id: None, ..Self::of(task, Map::new()) }
    }
}

/// `GET /v2/images/{image_id}/tasks`: in the form of upstream's rows, which is another than `/v2/tasks` has. Who sees an
/// image of another project doesn't see from where that project imported it.
pub async fn of_image(call: Call) -> Result<RawReply> {
    let tasks = seen::read(&call, |tx, cx, seen| {
        let mut tasks = image_tasks::of_image(tx, seen.image.id)?;
        if !cx.may("context_is_admin") {
            let own = cx.caller()?.project_id();
            tasks.retain(|task| task.owner.is_some() && task.owner.as_ref() == own);
        }
        Ok(tasks)
    })
    .await?;
    let row = |task: &ImportTask| {
        json!({
            "id": task.id.to_string(),
            "type": task.kind,
            "status": task.status.word(),
            "owner": task.owner,
            "user_id": task.user_id,
            "request_id": task.request_id,
            "image_id": task.image_id,
            "input": task.input,
            "result": task.result,
            "message": task.message,
            "expires_at": task.expires_at.map(|at| at.to_micros_naive()),
            "created_at": task.created_at.to_micros_naive(),
            "updated_at": task.updated_at.to_micros_naive(),
            "deleted_at": null,
            "deleted": false,
        })
    };
    Ok(RawReply::json(StatusCode::OK, &json!({"tasks": tasks.iter().map(row).collect::<Vec<_>>()})))
}

/// `GET /v2/tasks/{task_id}`
pub async fn show(call: Call) -> Result<Reply<TaskView>> {
    let id = call.path("task_id");
    let id = TaskId::parse(id).ok_or_else(|| image_tasks::not_found(id))?;
    let task = call.cx.state.db.read(move |tx| image_tasks::get(tx, id)).await?;
    Ok(Reply::ok(TaskView::whole(&task)))
}

/// `GET /v2/tasks`
pub async fn list(call: Call) -> Result<Reply<TaskList>> {
    let page = page(call.query())?;
    let limit = page.limit;
    let found = call.cx.state.db.read(move |tx| image_tasks::list(tx, &page)).await;
    let found =
        found.map_err(|error| if error.is_not_found() { Error::bad_request(error.to_string()) } else { error })?;
    let last = found.last().filter(|_| found.len() == limit).map(|task| task.id.to_string());
    let without_marker: Vec<_> = call.query().iter().filter(|(name, _)| *name != "marker").collect();
    let link = |more: &[(&str, &str)]| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        match query.extend_pairs(&without_marker).extend_pairs(more).finish() {
            query if query.is_empty() => "/v2/tasks".to_owned(),
            query => format!("/v2/tasks?{query}"),
        }
    };
    Ok(Reply::ok(TaskList {
        tasks: found.iter().map(TaskView::stub).collect(),
        first: link(&[]),
        schema: "/v2/schemas/tasks",
        next: last.map(|marker| link(&[("marker", &marker)])),
    }))
}

fn page(query: &Query) -> Result<Page> {
    let status = match query.get("status").filter(|status| !status.is_empty()) {
        None => None,
        Some(word) => {
            let status = TaskStatus::of(word);
            Some(status.ok_or_else(|| Error::bad_request(format!("Invalid status value: {word}")))?)
        }
    };
    let kind = query.get("type").filter(|kind| !kind.is_empty());
    if let Some(other) = kind.filter(|kind| *kind != "import") {
        return Err(Error::bad_request(format!("Invalid type value: {other}")));
    }
    let key = query.get("sort_key").unwrap_or("created_at");
    let sort_field = SORT_FIELDS.into_iter().find(|field| *field == key);
    let is_descending = match query.get("sort_dir").unwrap_or("desc") {
        "desc" => true,
        "asc" => false,
        other => return Err(Error::bad_request(format!("Invalid sort direction: {other}"))),
    };
    let limit = match query.get("limit") {
        None => DEFAULT_LIMIT,
        Some(text) => {
            let limit: i64 = text.parse().map_err(|_| Error::bad_request("limit param must be an integer"))?;
            usize::try_from(limit).map_err(|_| Error::bad_request("limit param must be positive"))?
        }
    };
    let marker = query.get("marker").filter(|marker| !marker.is_empty());
    Ok(Page {
        status,
        kind: kind.map(str::to_owned),
        sort_field: sort_field.ok_or_else(|| Error::bad_request(format!("Sort key supplied was not valid: {key}")))?,
        is_descending,
        limit: limit.min(LARGEST_LIMIT),
        marker: marker
            .map(|text| TaskId::parse(text).ok_or_else(|| Error::bad_request("Invalid marker format")))
            .transpose()?,
    })
}

/// `POST /v2/tasks`: an image of the caller's own, imported from the web; the older way to say it.
pub async fn create(call: Call<Value>) -> Result<Reply<TaskView>> {
    for name in ["type", "input"] {
        if call.body.get(name).is_none() {
            return Err(Error::bad_request(format!("Task '{name}' is required")));
        }
    }
    match call.body["type"].as_str() {
        Some("import") => {}
        Some(other) if TASK_KINDS.contains(&other) => {
            return Err(Error::bad_request(format!("Tasks of type {other} are made by their own requests")));
        }
        _ => {
            let text = format!("Provided object does not match schema 'task': {} is not one of ", call.body["type"]);
            return Err(Error::bad_request(format!("{text}['{}']", TASK_KINDS.join("', '"))));
        }
    }
    imports::check_enabled(&call.cx, Method::WebDownload)
        .map_err(|_| Error::bad_request("Images are not imported from the web at this site."))?;
    let input = call.body["input"].as_object();
    let input = input.ok_or_else(|| Error::bad_request("Task 'input' must be an object"))?;
    let text = |name: &str| {
        let value = input.get(name).and_then(Value::as_str);
        value.ok_or_else(|| Error::bad_request(format!("Input does not contain '{name}' field")))
    };
    let uri = text("import_from")?.to_owned();
    text("import_from_format")?;
    let properties = input.get("image_properties").and_then(Value::as_object).cloned();
    let properties = properties.ok_or_else(|| Error::bad_request("Input does not contain 'image_properties' field"))?;
    let image = create::read(&call.cx, &properties)?;
    create::allow(&call.cx, &image)?;
    let wish = ImportWish::of_task(&uri);
    image.may_import(wish.method)?;
    fetch::check(&uri, &call.cx.state.images.import_filter).await?;
    let (cx, request_id) = (call.cx.clone(), call.head.request_id.clone());
    let given = call.body["input"].clone();
    let made = call.cx.state.db.write(move |tx| {
        if let (Some(region), Some(owner)) = (cx.state.limits_region(), &image.owner) {
            image_limits::check(tx, &region, image_limits::COUNT, owner, 1)?;
            image_limits::check(tx, &region, image_limits::SIZE, owner, 0)?;
            image_limits::check(tx, &region, image_limits::STAGED, owner, 0)?;
            image_limits::check(tx, &region, image_limits::UPLOADING, owner, 1)?;
        }
        images::insert(tx, &image)?;
        let stores = vec![cx.state.stores.default_store().name.clone()];
        wish.record(tx, &cx, &image, stores, "import", &request_id)?;
        let mut task = image_tasks::of_image(tx, image.id)?.remove(0);
        task.input = given.clone();
        Ok(task)
    });
    let task = made.await?;
    call.cx.state.runner.wake();
    let view = TaskView::whole(&task);
    let location = view.itself.clone();
    Ok(Reply::created(view).header("location", &location))
}

/// `DELETE /v2/tasks/{task_id}`: tasks go by themselves.
pub async fn remove(_: Call) -> Result<RawReply> {
    Err(Error::MethodNotAllowed("GET".to_owned()))
}

pub async fn schema(_: Call) -> Result<RawReply> {
    Ok(RawReply::json(StatusCode::OK, &json!({"name": "task", "properties": properties(true)})))
}

pub async fn list_schema(_: Call) -> Result<RawReply> {
    let schema = super::schemas::list_of("tasks", json!({"name": "task", "properties": properties(false)}));
    Ok(RawReply::json(StatusCode::OK, &schema))
}

fn properties(is_whole: bool) -> Value {
    let text = |description: &str| json!({"description": description, "type": "string"});
    let choice =
        |description: &str, words: Vec<&str>| json!({"description": description, "enum": words, "type": "string"});
    let blob = |description: &str| json!({"description": description, "type": ["null", "object"]});
    let statuses = TaskStatus::ALL.iter().map(|status| status.word()).collect();
    let mut id = text("An identifier for the task");
    id["pattern"] = json!("^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$");
    let mut properties = json!({
        "id": id,
        "type": choice("The type of task represented by this content", TASK_KINDS.to_vec()),
        "status": choice("The current status of this task", statuses),
        "input": blob("The parameters required by task, JSON blob"),
        "result": blob("The result of current task, JSON blob"),
        "owner": text("An identifier for the owner of this task"),
        "message":
            text("Human-readable informative message only included when appropriate (usually on failure)"),
        "image_id": text("Image associated with the task"),
        "request_id": text("Human-readable informative request-id"),
        "user_id": text("User associated with the task"),
        "expires_at": {
            "description": "Datetime when this resource would be subject to removal",
            "type": ["null", "string"],
        },
        "created_at": text("Datetime when this resource was created"),
        "updated_at": text("Datetime when this resource was updated"),
        "self": {"readOnly": true, "type": "string"},
        "schema": {"readOnly": true, "type": "string"},
    });
    if let Some(map) = properties.as_object_mut().filter(|_| !is_whole) {
        map.retain(|name, _| !["input", "result", "message"].contains(&name.as_str()));
    }
    properties
}
