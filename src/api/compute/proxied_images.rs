//! `/images`: images as compute passed them on, until clients had to ask the image service itself.
//!
//! Nothing is decided here: each handler asks what the image service would, under that service's rules, and words the
//! answer as Nova did.

use super::common::{LARGEST_PAGE, Link, links, next_link};
use super::versions::NO_PROXIES;
use crate::api::image::seen::Seen;
use crate::api::image::{images as image_service, views};
use crate::api::{Call, Row};
use crate::cloud::image::list::Listing;
use crate::error::{Error, Kind, Result};
use crate::http::json::Map;
use crate::http::reply::{Empty, Reply};
use crate::http::table::{delete, get};
use crate::ids::ServerId;
use crate::store::Tx;
use crate::versioned;
use serde_json::Value;

const END: u16 = NO_PROXIES.0;
/// Upstream asks no rule of its own here: the image service's are what counts.
const ANYBODY: &str = "os_compute_api:extensions";
const QUERY: &[&str] = &[
    "name",
    "status",
    "changes-since",
    "server",
    "type",
    "minRam",
    "minDisk",
    "limit",
    "marker",
    "page_size",
    "offset",
];

pub fn rows() -> Vec<Row> {
    vec![
        get("/images", index).rule(ANYBODY).query(QUERY).until(END),
        get("/images/detail", detail).rule(ANYBODY).query(QUERY).until(END),
        get("/images/{image_id}", show).rule(ANYBODY).until(END),
        delete("/images/{image_id}", remove).rule(ANYBODY).until(END),
    ]
}

versioned! {
    response TypedLink { "rel" => rel: &'static str, "type" optional => kind: Option<&'static str>, "href" => href: String }
}
versioned! {
    response ImageBrief { "id" => id: String, "name" => name: Option<String>, "links" => links: Vec<TypedLink> }
}
versioned! {
    response ServerOfImage { "id" => id: String, "links" => links: Vec<Link> }
}
versioned! {
    response ImageDetailed {
        "id" => id: String,
        "name" => name: Option<String>,
        "minRam" => min_ram: u32,
        "minDisk" => min_disk: u32,
        "metadata" => metadata: Map,
        "created" => created: String,
        "updated" => updated: String,
        "status" => status: &'static str,
        "progress" => progress: i64,
        "OS-EXT-IMG-SIZE:size" => size: u64,
        /// The server that it was made of.
        "server" optional => server: Option<ServerOfImage>,
        "OS-DCF:diskConfig" optional => disk_config: Option<&'static str>,
        "links" => links: Vec<TypedLink>,
    }
}
versioned! {
    response ImagesInBrief { "images" => images: Vec<ImageBrief>, "images_links" optional => links: Vec<Link> }
}
versioned! {
    response ImagesInDetail { "images" => images: Vec<ImageDetailed>, "images_links" optional => links: Vec<Link> }
}
versioned! {
    response OneImage { "image" => image: ImageDetailed }
}

/// Nova's words for an image that isn't there.
pub fn as_nova(error: Error) -> Error {
    match error {
        Error::NotFound { kind: Kind::Image, .. } => Error::not_found(Kind::Part, "Image not found."),
        other => other,
    }
}

fn links_of(call: &Call, id: &str) -> Vec<TypedLink> {
    let plain = |link: Link| TypedLink { rel: link.rel, kind: None, href: link.href };
    let mut all: Vec<TypedLink> = links(call, "images", id).into_iter().map(plain).collect();
    all.push(TypedLink {
        rel: "alternate",
        kind: Some("application/vnd.openstack.image"),
        href: format!("{}/image/images/{id}", call.cx.state.public_url),
    });
    all
}

fn brief(call: &Call, image: views::ImageView) -> ImageBrief {
    ImageBrief { links: links_of(call, &image.id), id: image.id, name: image.name }
}

fn in_detail(call: &Call, image: views::ImageView) -> ImageDetailed {
    let (status, progress) = match image.status {
        "active" => ("ACTIVE", 100),
        "queued" => ("SAVING", 25),
        "saving" => ("SAVING", 50),
        _ => ("UNKNOWN", 0),
    };
    let text = |name: &str| image.properties.get(name).and_then(Value::as_str);
    let server = text("instance_uuid")
        .and_then(ServerId::parse)
        .map(|id| ServerOfImage { id: id.to_string(), links: links(call, "servers", id) });
    let disk_config = text("auto_disk_config").map(|text| match super::common::truth(text) {
        Some(true) => "AUTO",
        _ => "MANUAL",
    });
    ImageDetailed {
        links: links_of(call, &image.id),
        id: image.id,
        name: image.name,
        min_ram: image.min_ram,
        min_disk: image.min_disk,
        created: image.created_at,
        updated: image.updated_at,
        status,
        progress,
        size: image.size.unwrap_or(0),
        server,
        disk_config,
        metadata: image.properties,
    }
}

/// The request's filters as the image service names them.
fn pairs(call: &Call) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for (name, value) in call.query().iter() {
        let last = || value.rsplit('/').next().unwrap_or_default().to_owned();
        let pair = match name {
            "name" => ("name".to_owned(), value.to_owned()),
            "status" => ("status".to_owned(), value.to_lowercase()),
            "changes-since" => ("updated_at".to_owned(), format!("gte:{value}")),
            "server" => ("instance_uuid".to_owned(), last()),
            "type" => ("image_type".to_owned(), value.to_owned()),
            "minRam" => ("min_ram".to_owned(), value.to_owned()),
            "minDisk" => ("min_disk".to_owned(), value.to_owned()),
            "marker" => ("marker".to_owned(), value.to_owned()),
            other => match other.strip_prefix("property-") {
                Some(property) => (property.to_owned(), value.to_owned()),
                None => continue,
            },
        };
        pairs.push(pair);
    }
    pairs
}

async fn find(call: &Call) -> Result<(Vec<views::ImageView>, Vec<Link>)> {
    let page = super::common::page(call)?;
    let pairs = pairs(call);
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let listing = Listing { limit: page.limit.min(LARGEST_PAGE), ..Listing::of(&pairs)? };
    let (shown, last) = image_service::find(&call.cx.reaching("get_images")?, listing).await?;
    let last = last.filter(|_| page.limited_by_request).map(|id| id.to_string());
    Ok((shown, next_link(call, last.as_deref())))
}

/// `GET /images`.
async fn index(call: Call) -> Result<Reply<ImagesInBrief>> {
    let (found, links) = find(&call).await?;
    Ok(Reply::ok(ImagesInBrief { images: found.into_iter().map(|image| brief(&call, image)).collect(), links }))
}

/// `GET /images/detail`.
async fn detail(call: Call) -> Result<Reply<ImagesInDetail>> {
    let (found, links) = find(&call).await?;
    Ok(Reply::ok(ImagesInDetail { images: found.into_iter().map(|image| in_detail(&call, image)).collect(), links }))
}

/// `GET /images/{image_id}`.
async fn show(call: Call) -> Result<Reply<OneImage>> {
    let cx = call.cx.reaching("get_image")?;
    let id = call.path("image_id").to_owned();
    let read = move |tx: &mut Tx| Ok(views::shown(&cx, Seen::find(tx, &cx, &id)?.image));
    let image = call.cx.state.db.read(read).await.map_err(as_nova)?;
    Ok(Reply::ok(OneImage { image: in_detail(&call, image) }))
}

/// `DELETE /images/{image_id}`: the image service deletes it.
async fn remove(call: Call) -> Result<Empty> {
    let cx = call.cx.reaching("delete_image")?;
    let deleted = image_service::remove(Call { cx, ..call }).await;
    deleted.map_err(|error| match as_nova(error) {
        Error::Forbidden(_) => Error::Forbidden("You are not allowed to delete the image.".to_owned()),
        other => other,
    })
}
