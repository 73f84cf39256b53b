//! What there is and isn't: import methods, stores, usage; and, said plainly, what is not served.

use super::seen;
use crate::api::Call;
use crate::error::{Error, Kind, Result};
use crate::http::json::Map;
use crate::http::reply::{Empty, RawReply};
use crate::store::{Tx, image_limits};
use http::StatusCode;
use serde_json::{Value, json};

/// `GET /v2/info/import`: none, and so no `OpenStack-image-import-methods` header anywhere.
pub async fn import_methods(_: Call) -> Result<RawReply> {
    let methods = json!({"description": "Import methods available.", "type": "array", "value": []});
    Ok(RawReply::json(StatusCode::OK, &json!({"import-methods": methods})))
}

/// `GET /v2/info/stores`: there is one store and it has no name, upstream's case of a single backend.
pub async fn stores(_: Call) -> Result<RawReply> {
    Err(Error::NotFound { kind: Kind::Page, id: "stores".to_owned() })
}

/// `GET /v2/info/usage`: empty unless images are held to identity's limits.
pub async fn usage(call: Call) -> Result<RawReply> {
    let (Some(region), Some(project)) = (call.cx.state.limits_region(), call.cx.caller()?.project_id().cloned()) else {
        return Ok(RawReply::json(StatusCode::OK, &json!({"usage": {}})));
    };
    let read = move |tx: &mut Tx| {
        let mut usage = Map::new();
        for resource in image_limits::ALL {
            let limit = image_limits::allowed(tx, &region, resource, &project)?;
            let used = image_limits::used(tx, resource, &project)?;
            usage.insert(resource.to_owned(), json!({"limit": limit, "usage": used}));
        }
        Ok(usage)
    };
    let usage = call.cx.state.db.read(read).await?;
    Ok(RawReply::json(StatusCode::OK, &json!({ "usage": usage })))
}

/// `POST /v2/images/{image_id}/import`: every method is unknown, as upstream says where none is enabled.
pub async fn import(call: Call<Value>) -> Result<Empty> {
    let method =
        call.body.get("method").ok_or_else(|| Error::bad_request("Import request requires a 'method' field."))?;
    let name = method.get("name").ok_or_else(|| Error::bad_request("Import request requires a 'name' field."))?;
    let name = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
    Err(Error::bad_request(format!("Unknown import method name '{name}'.")))
}

/// `PUT /v2/images/{image_id}/stage`: upstream's 404 where `glance-direct` is not enabled.
pub async fn stage(_: Call) -> Result<Empty> {
    Err(Error::NotFound { kind: Kind::Page, id: "stage".to_owned() })
}

/// `GET /v2/images/{image_id}/tasks`: what isn't imported has none.
pub async fn image_tasks(call: Call) -> Result<RawReply> {
    seen::read(&call, |_, _, _| Ok(())).await?;
    Ok(RawReply::json(StatusCode::OK, &json!({"tasks": []})))
}

/// `/v2/images/{image_id}/locations`: where bytes are is nobody's business (CVE-2014-9493), now or later.
pub async fn locations(_: Call) -> Result<RawReply> {
    Err(Error::NotImplemented("Gapura does not serve locations of images; images are uploaded directly.".to_owned()))
}

/// `/v2/tasks`
pub async fn tasks(_: Call) -> Result<RawReply> {
    Err(Error::NotImplemented("Gapura does not serve Glance's tasks; images are uploaded directly.".to_owned()))
}

/// `GET /v2/schemas/{kind}` of what is not served; any other name is no schema.
pub async fn other_schemas(call: Call) -> Result<RawReply> {
    match call.path("kind") {
        "task" | "tasks" => tasks(call).await,
        kind => Err(Error::not_found(Kind::Page, kind)),
    }
}

/// `/v2/metadefs` and its schemas.
pub async fn metadefs(_: Call) -> Result<RawReply> {
    Err(Error::NotImplemented("Gapura does not serve metadata definitions.".to_owned()))
}
