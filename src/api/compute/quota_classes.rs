//! Quota classes: limits by the name of a class. The class `default` is what every project may hold until it is given limits
//! of its own; others are kept, and nothing looks at them, as in Nova.

use super::quota_request::{Limit, limits_request};
use super::quota_sets::refuse_unified;
use crate::api::{Call, Row};
use crate::cloud::quota::Limits;
use crate::error::{Error, Result};
use crate::http::json::Maybe;
use crate::http::reply::Reply;
use crate::http::table::{get, put};
use crate::store::{Tx, quotas};
use crate::versioned;

const ONE: &str = "/os-quota-class-sets/{class_id}";

pub fn rows() -> Vec<Row> {
    vec![
        get(ONE, show).rule("os_compute_api:os-quota-class-sets:show"),
        put(ONE, update).rule("os_compute_api:os-quota-class-sets:update"),
    ]
}

versioned! {
    response ClassView {
        /// Not of one that was just changed.
        "id" optional => id: Option<String>,
        "instances" => instances: i64,
        "cores" => cores: i64,
        "ram" => ram: i64,
        "floating_ips" until(50) => floating_ips: i64,
        "fixed_ips" until(50) => fixed_ips: i64,
        "metadata_items" => metadata_items: i64,
        "injected_files" until(57) => injected_files: i64,
        "injected_file_content_bytes" until(57) => injected_file_content_bytes: i64,
        "injected_file_path_bytes" until(57) => injected_file_path_bytes: i64,
        "security_groups" until(50) => security_groups: i64,
        "security_group_rules" until(50) => security_group_rules: i64,
        "key_pairs" => key_pairs: i64,
        "server_groups" since(50) => server_groups: i64,
        "server_group_members" since(50) => server_group_members: i64,
    }
}
versioned! {
    response ClassShown { "quota_class_set" => quota_class_set: ClassView }
}

fn view(id: Option<String>, limits: &Limits) -> Reply<ClassShown> {
    let quota_class_set = ClassView {
        id,
        instances: limits.of("instances"),
        cores: limits.of("cores"),
        ram: limits.of("ram"),
        floating_ips: limits.of("floating_ips"),
        fixed_ips: limits.of("fixed_ips"),
        metadata_items: limits.of("metadata_items"),
        injected_files: limits.of("injected_files"),
        injected_file_content_bytes: limits.of("injected_file_content_bytes"),
        injected_file_path_bytes: limits.of("injected_file_path_bytes"),
        security_groups: limits.of("security_groups"),
        security_group_rules: limits.of("security_group_rules"),
        key_pairs: limits.of("key_pairs"),
        server_groups: limits.of("server_groups"),
        server_group_members: limits.of("server_group_members"),
    };
    Reply::ok(ClassShown { quota_class_set })
}

/// `GET /os-quota-class-sets/{class_id}`: of a class that says nothing, the defaults of the program.
async fn show(call: Call) -> Result<Reply<ClassShown>> {
    let class = call.path("class_id").to_owned();
    let asked = class.clone();
    let region = call.cx.state.limits_region();
    let read = move |tx: &mut Tx| match &region {
        None => Ok(Limits::with(quotas::of_class(tx, &asked)?)),
        // Nobody's project has a limit of its own.
        Some(region) => quotas::limits_in(tx, Some(region), &"".into()),
    };
    let limits = call.cx.state.db.read(read).await?;
    Ok(view(Some(class), &limits))
}

limits_request!(ClassLimits, networks until(50));
versioned! {
    request ClassUpdate strict { "quota_class_set" required => quota_class_set: ClassLimits }
}

/// `PUT /os-quota-class-sets/{class_id}`.
async fn update(call: Call<ClassUpdate>) -> Result<Reply<ClassShown>> {
    let class = call.path("class_id").to_owned();
    if class.chars().count() > 255 {
        return Err(Error::bad_request("quota_class_name has more than 255 characters."));
    }
    refuse_unified(&call)?;
    let given = call.body.quota_class_set.given();
    let write = move |tx: &mut Tx| {
        given.iter().try_for_each(|(name, limit)| quotas::set_class(tx, &class, name, *limit))?;
        Ok(Limits::with(quotas::of_class(tx, &class)?))
    };
    let limits = call.cx.state.db.write(write).await?;
    Ok(view(None, &limits))
}
