//! What there is and isn't: usage; and, said plainly, what is not served.

use crate::api::Call;
use crate::error::{Error, Kind, Result};
use crate::http::json::Map;
use crate::http::reply::RawReply;
use crate::store::{Tx, image_limits};
use http::StatusCode;
use serde_json::json;

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

/// `/v2/images/{image_id}/locations`: where bytes are is nobody's business (CVE-2014-9493), now or later.
pub async fn locations(_: Call) -> Result<RawReply> {
    Err(Error::NotImplemented("Gapura does not serve locations of images; images are uploaded or imported.".to_owned()))
}

/// `GET /v2/schemas/{kind}`: any other name is no schema.
pub async fn other_schemas(call: Call) -> Result<RawReply> {
    Err(Error::not_found(Kind::Page, call.path("kind")))
}
