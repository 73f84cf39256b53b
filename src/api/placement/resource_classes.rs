//! Resource classes: the names of what can be had. There are upstream's own, and no others.

use super::answer::{Link, answer, wants_json};
use crate::api::{Call, Row};
use crate::cloud::placement::resources;
use crate::error::{Error, Kind, Result};
use crate::http::reply::Reply;
use crate::http::table::get;
use crate::versioned;

pub const ONE: &str = "/resource_classes/{name}";

pub fn rows() -> Vec<Row> {
    vec![
        get("/resource_classes", list).rule("placement:resource_classes:list").since(2),
        get(ONE, show).rule("placement:resource_classes:show").since(2),
    ]
}

versioned! {
    response Class {
        "name" => name: &'static str,
        "links" => links: Vec<Link>,
    }
}
versioned! {
    response Classes { "resource_classes" => classes: Vec<Class> }
}

fn class(name: &'static str) -> Class {
    let href = format!("{}/resource_classes/{name}", super::SERVICE.prefix);
    Class { name, links: vec![Link { rel: "self", href }] }
}

/// `GET /resource_classes`.
async fn list(call: Call) -> Result<Reply<Classes>> {
    wants_json(&call)?;
    let classes = resources::ALL.iter().map(|name| class(name)).collect();
    Ok(answer(&call, Classes { classes }, None))
}

/// `GET /resource_classes/{name}`.
async fn show(call: Call) -> Result<Reply<Class>> {
    wants_json(&call)?;
    let name = call.path("name");
    let found = resources::ALL.iter().find(|known| **known == name);
    let found = found.ok_or_else(|| Error::not_found(Kind::Part, format!("No such resource class {name}.")))?;
    Ok(answer(&call, class(found), None))
}
