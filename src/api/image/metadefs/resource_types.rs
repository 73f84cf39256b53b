//! To which types of resources namespaces apply.

use super::{created, ok, read, write};
use crate::api::Call;
use crate::cloud::metadef::{Association, read_association};
use crate::error::Result;
use crate::http::json::Map;
use crate::http::reply::{Empty, RawReply};
use crate::store::metadefs;
use serde_json::{Value, json};

/// `GET /v2/metadefs/resource_types`
pub async fn list(call: Call) -> Result<RawReply> {
    let types = call.cx.state.db.read(metadefs::resource_types).await?;
    let view = |(name, created_at): &(String, crate::clock::Timestamp)| {
        let at = created_at.to_seconds_z();
        json!({"name": name, "created_at": at, "updated_at": at})
    };
    Ok(ok(&json!({"resource_types": types.iter().map(view).collect::<Vec<_>>()})))
}

/// `GET …/resource_types`
pub async fn of_namespace(call: Call) -> Result<RawReply> {
    let associations = read(&call, |tx, cx, namespace| {
        if !cx.may_on("get_metadef_resource_type", &namespace.target()) {
            return Ok(Vec::new());
        }
        metadefs::associations(tx, &[&namespace])
    })
    .await?;
    let views: Vec<_> = associations.iter().map(|(_, association)| view(association)).collect();
    Ok(ok(&json!({"resource_type_associations": views})))
}

/// `POST …/resource_types`
pub async fn associate(call: Call<Value>) -> Result<RawReply> {
    let (resource_type, prefix, properties_target) = read_association(&call.body)?;
    let created_at = call.cx.state.clock.now();
    let association = Association { resource_type, prefix, properties_target, created_at };
    let shown = view(&association);
    write(&call, move |tx, _, namespace| metadefs::associate(tx, &namespace, &association)).await?;
    Ok(created(&shown))
}

/// `DELETE …/resource_types/{name}`: the type stays known.
pub async fn dissociate(call: Call) -> Result<Empty> {
    let name = call.path("name").to_owned();
    write(&call, move |tx, _, namespace| {
        namespace.may_lose("resource-type-association", &name)?;
        metadefs::dissociate(tx, &namespace, &name)
    })
    .await?;
    Ok(Empty::no_content())
}

/// An association. What has no value isn't shown.
pub fn view(association: &Association) -> Value {
    let mut view = Map::from_iter([("name".to_owned(), json!(association.resource_type))]);
    for (name, value) in [("prefix", &association.prefix), ("properties_target", &association.properties_target)] {
        if let Some(value) = value {
            view.insert(name.to_owned(), json!(value));
        }
    }
    let at = association.created_at.to_seconds_z();
    view.insert("created_at".to_owned(), json!(at));
    view.insert("updated_at".to_owned(), json!(at));
    Value::Object(view)
}
