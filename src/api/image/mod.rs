//! Glance's API, version 2: images, their bytes, tags and members.
//!
//! What isn't set up says so the way upstream does: one store has no name, an import method that is off is unknown.  Start reading at [`rows`]; what may be seen and done is decided in
//! [`seen`].

mod cache;
#[cfg(test)]
mod cache_tests;
mod create;
mod data;
mod discovery;
pub(super) mod images;
#[cfg(test)]
pub mod import_proof;
#[cfg(test)]
mod import_tests;
mod imports;
#[cfg(test)]
mod limits_tests;
mod members;
pub mod metadefs;
#[cfg(test)]
mod metadefs_tests;
mod patch;
#[cfg(test)]
mod personas_tests;
#[cfg(test)]
mod plugin_tests;
mod range;
#[cfg(test)]
mod remote_tests;
mod resume;
mod resume_fields;
#[cfg(test)]
mod resume_tests;
mod schemas;
pub mod seed;
pub(super) mod seen;
mod settings;
#[cfg(test)]
mod shares_tests;
mod stores;
#[cfg(test)]
mod stores_tests;
mod tags;
mod tasks;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod unified_limits_tests;
pub(super) mod update;
mod versions;
pub(super) mod views;

pub use settings::ImageSettings;

use super::Row;
use super::faults::GLANCE;
use crate::http::table::{Service, delete, get, head, patch as patch_row, post, put};

pub static SERVICE: Service =
    Service { name: "image", prefix: "/image", axis: None, dialect: &GLANCE, head_as_get: false, names_project: false };

/// The rule that says who sees what a rule is about, where it is about one image or namespace.
pub fn seen_by(rule: &str) -> Option<&'static str> {
    const OF_IMAGES: [&str; 12] = [
        "get_image",
        "modify_image",
        "delete_image",
        "upload_image",
        "download_image",
        "deactivate",
        "reactivate",
        "get_members",
        "add_member",
        "get_member",
        "modify_member",
        "delete_member",
    ];
    if OF_IMAGES.contains(&rule) {
        return Some("get_image");
    }
    metadefs::is_about_one(rule).then_some("get_metadef_namespace")
}

pub fn rows() -> Vec<Row> {
    let mut rows = vec![
        get("", versions::choices).public(),
        get("/v2", versions::choices).public(),
        get("/versions", versions::list).public(),
        get("/v2/schemas/image", schemas::show_image).rule("get_images"),
        get("/v2/schemas/images", schemas::show_images).rule("get_images"),
        get("/v2/schemas/member", schemas::show_member).rule("get_images"),
        get("/v2/schemas/members", schemas::show_members).rule("get_images"),
        get("/v2/info/import", imports::methods).rule("get_images"),
        get("/v2/info/stores", stores::list).rule("get_images"),
        get("/v2/info/stores/detail", stores::list_detail).rule("stores_info_detail"),
        delete("/v2/stores/{store_id}/{image_id}", stores::remove_image).rule("delete_image_location"),
        get("/v2/info/usage", discovery::usage).rule("get_images"),
        get("/v2/images", images::list).rule("get_images"),
        post("/v2/images", create::create).rule("add_image"),
        get("/v2/images/{image_id}", images::show).rule("get_image"),
        patch_row("/v2/images/{image_id}", update::update).rule("modify_image"),
        delete("/v2/images/{image_id}", images::remove).rule("delete_image"),
        get("/v2/images/{image_id}/file", data::download).rule("download_image").streams(),
        put("/v2/images/{image_id}/file", data::upload).rule("upload_image").streams(),
        head("/v2/images/{image_id}/file/upload", resume::state).rule("upload_image"),
        patch_row("/v2/images/{image_id}/file/upload", resume::append).rule("upload_image").streams(),
        delete("/v2/images/{image_id}/file/upload", resume::cancel).rule("upload_image"),
        put("/v2/images/{image_id}/stage", data::stage).rule("modify_image").streams(),
        post("/v2/images/{image_id}/import", imports::import).rule("modify_image"),
        get("/v2/images/{image_id}/tasks", tasks::of_image).rule("get_image"),
        post("/v2/images/{image_id}/actions/deactivate", images::deactivate).rule("deactivate"),
        post("/v2/images/{image_id}/actions/reactivate", images::reactivate).rule("reactivate"),
        put("/v2/images/{image_id}/tags/{tag}", tags::add).rule("modify_image"),
        delete("/v2/images/{image_id}/tags/{tag}", tags::remove).rule("modify_image"),
        get("/v2/images/{image_id}/members", members::list).rule("get_members"),
        post("/v2/images/{image_id}/members", members::add).rule("add_member"),
        get("/v2/images/{image_id}/members/{member_id}", members::show).rule("get_member"),
        put("/v2/images/{image_id}/members/{member_id}", members::answer).rule("modify_member"),
        delete("/v2/images/{image_id}/members/{member_id}", members::remove).rule("delete_member"),
        get("/v2/images/{image_id}/locations", discovery::locations).rule("get_image").unbuilt(),
        post("/v2/images/{image_id}/locations", discovery::locations).rule("modify_image").unbuilt(),
        get("/v2/cache", cache::list).rule("cache_list"),
        delete("/v2/cache", cache::clear).rule("cache_delete"),
        put("/v2/cache/{image_id}", cache::queue).rule("cache_image"),
        delete("/v2/cache/{image_id}", cache::remove).rule("cache_delete"),
        get("/v2/cache/nodes/{image_id}", cache::nodes).rule("list_cached_nodes"),
        post("/v2/cache/clean", cache::clean).rule("cache_clean"),
        post("/v2/cache/prune", cache::prune).rule("cache_prune"),
        get("/v2/tasks", tasks::list).rule("tasks_api_access"),
        post("/v2/tasks", tasks::create).rule("tasks_api_access"),
        get("/v2/tasks/{task_id}", tasks::show).rule("tasks_api_access"),
        delete("/v2/tasks/{task_id}", tasks::remove).rule("tasks_api_access"),
        get("/v2/schemas/task", tasks::schema).rule("get_images"),
        get("/v2/schemas/tasks", tasks::list_schema).rule("get_images"),
        get("/v2/schemas/{kind}", discovery::other_schemas).rule("get_images"),
    ];
    rows.extend(metadefs::rows());
    rows
}
