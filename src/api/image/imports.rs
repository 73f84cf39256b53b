//! Importing images: how, from where and into which stores, as [`cloud::image::import`](crate::cloud::image::import) says;
//! the work itself is [`import_image`]'s.

use super::seen::{self, Seen};
use crate::api::identity::catalog_of;
use crate::api::{Call, Context};
use crate::cloud::image::Image;
use crate::cloud::image::import::{ImportTask, Method, TaskStatus};
use crate::cloud::image::remote::{Becoming, Remote};
use crate::error::{Error, Kind, Result};
use crate::http::call::Head;
use crate::http::reply::{Empty, RawReply};
use crate::ids::TaskId;
use crate::store::{Tx, image_imports, image_limits, tasks};
use crate::tasks::fetch;
use crate::tasks::import_image::{self, Order, Uri};
use crate::tasks::remote_image::Source;
use http::StatusCode;
use serde_json::{Value, json};

/// The methods that work here: copying needs stores to copy between.
pub fn enabled(cx: &Context) -> Vec<&'static str> {
    let works = |method: &&Method| **method != Method::CopyImage || cx.state.stores.are_named();
    cx.state.images.import_methods.iter().filter(works).map(|method| method.word()).collect()
}

/// # Errors
/// `NotFound`, as upstream says where a method isn't enabled.
pub fn check_enabled(cx: &Context, method: Method) -> Result<()> {
    if enabled(cx).contains(&method.word()) {
        return Ok(());
    }
    Err(Error::not_found(Kind::Part, format!("'{}' method is not available at this site.", method.word())))
}

/// `GET /v2/info/import`
pub async fn methods(call: Call) -> Result<RawReply> {
    let methods = json!({"description": "Import methods available.", "type": "array", "value": enabled(&call.cx)});
    Ok(RawReply::json(StatusCode::OK, &json!({"import-methods": methods})))
}

/// `POST /v2/images/{image_id}/import`
pub async fn import(call: Call<Value>) -> Result<Empty> {
    let mut wish = ImportWish::of(&call.cx, &call.head, &call.body)?;
    let known = wish.clone();
    seen::read(&call, move |tx, cx, seen| known.decide(tx, cx, &seen).map(drop)).await?;
    if wish.method == Method::GlanceDownload {
        let remote = Remote::of(&wish.body["method"])?;
        let catalog = catalog_of(&call.cx.state, call.cx.caller()?).await?;
        let token = call.head.header("x-auth-token").unwrap_or_default().to_owned();
        let endpoint = remote.endpoint(&catalog);
        wish.body["method"]["glance_service_interface"] = json!(remote.interface);
        wish.whence = Some(Whence { remote, endpoint, token });
    }
    if wish.method == Method::WebDownload {
        fetch::check(&wish.uri, &call.cx.state.images.import_filter).await?;
    }
    let request_id = call.head.request_id.clone();
    seen::write(&call, move |tx, cx, seen| {
        let Some(stores) = wish.decide(tx, cx, &seen)? else { return Ok(()) };
        wish.record(tx, cx, &seen.image, stores, "api_image_import", &request_id)
    })
    .await?;
    call.cx.state.runner.wake();
    Ok(Empty::accepted())
}

/// Another region's image, and how to ask for it.
#[derive(Clone)]
struct Whence {
    remote: Remote,
    /// `None` where the caller's catalogue has none: the task will say so, as upstream's does.
    endpoint: Option<String>,
    /// The caller's.
    token: String,
}

/// What a client asked for.
#[derive(Clone)]
pub struct ImportWish {
    pub method: Method,
    pub uri: String,
    whence: Option<Whence>,
    /// Named by the request; none for the default one.
    stores: Option<Vec<String>>,
    all_stores: bool,
    all_must_succeed: bool,
    /// What of it was read: records keep that and nothing that came beside it.
    body: Value,
}

/// The members of a request that some method or store heeds.
fn of_what_is_read(method: &Value, body: &Value) -> Value {
    const OF_METHOD: [&str; 5] = ["name", "uri", "glance_image_id", "glance_region", "glance_service_interface"];
    const OF_BODY: [&str; 3] = ["stores", "all_stores", "all_stores_must_succeed"];
    let some_of = |of: &Value, names: &[&str]| -> serde_json::Map<String, Value> {
        names.iter().filter_map(|name| Some(((*name).to_owned(), of.get(*name)?.clone()))).collect()
    };
    let mut read = serde_json::Map::from_iter([("method".to_owned(), Value::Object(some_of(method, &OF_METHOD)))]);
    read.extend(some_of(body, &OF_BODY));
    Value::Object(read)
}

impl ImportWish {
    fn of(cx: &Context, head: &Head, body: &Value) -> Result<Self> {
        let method = body.get("method").filter(|method| method.is_object());
        let method = method.ok_or_else(|| Error::bad_request("Import request requires a 'method' field."))?;
        let name = method.get("name").ok_or_else(|| Error::bad_request("Import request requires a 'name' field."))?;
        let known = name.as_str().filter(|name| enabled(cx).contains(name)).and_then(Method::of);
        let known = known.ok_or_else(|| {
            let name = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
            Error::bad_request(format!("Unknown import method name '{name}'."))
        })?;
        let flag = |name: &str, default| match body.get(name) {
            None => Ok(default),
            Some(value) => {
                value.as_bool().ok_or_else(|| Error::bad_request(format!("'{name}' must be boolean value only")))
            }
        };
        let all_must_succeed = flag("all_stores_must_succeed", true)?;
        let all_stores = flag("all_stores", false)?;
        Ok(Self {
            method: known,
            uri: method.get("uri").and_then(Value::as_str).unwrap_or_default().to_owned(),
            whence: None,
            stores: stores_of(head, body, all_stores)?,
            all_stores,
            all_must_succeed,
            body: of_what_is_read(method, body),
        })
    }

    /// One that was asked for as a task: from the web into the default store.
    pub fn of_task(uri: &str) -> Self {
        let body = json!({"method": {"name": Method::WebDownload.word(), "uri": uri}});
        let (stores, all_stores, all_must_succeed) = (None, false, true);
        let uri = uri.to_owned();
        Self { method: Method::WebDownload, uri, whence: None, stores, all_stores, all_must_succeed, body }
    }

    /// May it be done now? Answers into which stores; `None` when they all have the image.
    fn decide(&self, tx: &mut Tx, cx: &Context, seen: &Seen) -> Result<Option<Vec<String>>> {
        let image = &seen.image;
        image.may_import(self.method)?;
        if self.method == Method::GlanceDownload {
            Remote::of(&self.body["method"])?;
        }
        seen.allow(cx, if self.method == Method::CopyImage { "copy_image" } else { "modify_image" })?;
        if tasks::any_open(tx, &image.id.to_string())? {
            return Err(Error::conflict("Image has active task"));
        }
        let mut stores = self.targets(cx)?;
        let held = |store: &String| image.places.iter().any(|place| place.store == *store);
        if self.method == Method::CopyImage {
            match stores.iter().find(|store| held(store)) {
                Some(store) if !self.all_stores => {
                    return Err(Error::bad_request(format!("Image is already present at store '{store}'")));
                }
                _ => stores.retain(|store| !held(store)),
            }
        }
        if !self.all_must_succeed && !cx.state.stores.are_named() {
            let uri = if self.uri.is_empty() { "None" } else { &self.uri };
            return Err(Error::bad_request(format!(
                "All_stores_must_succeed can only be set with enabled_backends {uri}"
            )));
        }
        if let (Some(region), Some(owner)) = (cx.state.limits_region(), &image.owner) {
            let size = i64::try_from(image.size.unwrap_or(0) / image_limits::MIB).unwrap_or(i64::MAX);
            let is_staged = self.method == Method::GlanceDirect;
            image_limits::check(tx, &region, image_limits::SIZE, owner, if is_staged { size } else { 0 })?;
            if !is_staged {
                image_limits::check(tx, &region, image_limits::STAGED, owner, size)?;
                image_limits::check(tx, &region, image_limits::UPLOADING, owner, 1)?;
            }
        }
        Ok((!stores.is_empty()).then_some(stores))
    }

    fn targets(&self, cx: &Context) -> Result<Vec<String>> {
        let stores = &cx.state.stores;
        if !stores.are_named() {
            return Ok(vec![stores.default_store().name.clone()]);
        }
        if self.all_stores {
            return Ok(stores.names());
        }
        let mut targets = self.stores.clone().unwrap_or_else(|| vec![stores.default_store().name.clone()]);
        if let Some(unknown) = targets.iter().find(|name| stores.find(name).is_none()) {
            return Err(Error::conflict(format!("Store for identifier {unknown} not found")));
        }
        let mut seen = std::collections::HashSet::new();
        targets.retain(|name| seen.insert(name.clone()));
        Ok(targets)
    }

    /// The image is on its way, and there is work to bring it there.
    ///
    /// # Errors
    /// `Conflict` when the image changed meanwhile.
    pub fn record(
        &self,
        tx: &mut Tx,
        cx: &Context,
        image: &Image,
        stores: Vec<String>,
        kind: &'static str,
        request_id: &str,
    ) -> Result<()> {
        let now = cx.state.clock.now();
        let names = if cx.state.stores.are_named() { stores.clone() } else { Vec::new() };
        match self.method {
            Method::CopyImage => image_imports::begin_copying(tx, image.id, &names)?,
            Method::GlanceDirect | Method::WebDownload | Method::GlanceDownload => {
                image_imports::begin(tx, image, &names, now)?
            }
        }
        let input = json!({"image_id": image.id.to_string(), "import_req": self.body, "backend": stores});
        let task = ImportTask {
            id: TaskId::random(),
            kind,
            status: TaskStatus::Pending,
            owner: cx.caller()?.project_id().cloned(),
            user_id: Some(cx.user_id()?.clone()),
            request_id: Some(request_id.to_owned()),
            image_id: Some(image.id),
            input,
            result: Value::Null,
            message: String::new(),
            expires_at: None,
            created_at: now,
            updated_at: now,
        };
        let uri = (self.method == Method::WebDownload).then(|| Uri(self.uri.clone()));
        let source = self.whence.clone().map(|Whence { remote, endpoint, token }| {
            Source::new(&cx.state.identity.vault, task.id, remote, endpoint, &token, now)
        });
        let order = Order {
            task: task.id,
            method: self.method,
            uri,
            stores,
            all_must_succeed: self.all_must_succeed,
            roles: cx.credentials().roles.clone(),
            source: source.transpose()?,
            described: None,
            becoming: Becoming::default(),
            plugins: Vec::new(),
        };
        import_image::order(tx, image.id, &task, order)
    }
}

/// The stores a request names, by header or body but not by both.
fn stores_of(head: &Head, body: &Value, all_stores: bool) -> Result<Option<Vec<String>>> {
    let (header, listed) = (head.header("x-image-meta-store"), body.get("stores"));
    if all_stores && (header.is_some() || listed.is_some()) {
        return Err(Error::bad_request(
            "All_stores parameter can't be used with x-image-meta-store header or stores parameter",
        ));
    }
    match (header, listed) {
        (Some(_), Some(_)) => {
            Err(Error::bad_request("Stores parameter and x-image-meta-store header can't be both specified"))
        }
        (Some(header), None) => Ok(Some(vec![header.to_owned()])),
        (None, None) => Ok(None),
        (None, Some(listed)) => {
            let wrong = || Error::bad_request("'stores' must be a list of store identifiers");
            let names = listed.as_array().filter(|names| !names.is_empty()).ok_or_else(wrong)?;
            let names = names.iter().map(|name| name.as_str().map(str::to_owned).ok_or_else(wrong));
            names.collect::<Result<_>>().map(Some)
        }
    }
}
