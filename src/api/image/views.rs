//! Images and members as JSON. Links are relative to the service, as upstream writes them.

use crate::api::Context;
use crate::clock::Timestamp;
use crate::cloud::image::protection::Action;
use crate::cloud::image::{Image, Member};
use crate::http::json::Map;
use crate::versioned;

versioned! {
    /// An image; its properties stand beside its own fields.
    response ImageView {
        "id"               => id: String,
        "name"             => name: Option<String>,
        "status"           => status: &'static str,
        "visibility"       => visibility: &'static str,
        "owner"            => owner: Option<String>,
        "container_format" => container_format: Option<String>,
        "disk_format"      => disk_format: Option<String>,
        "size"             => size: Option<u64>,
        "virtual_size"     => virtual_size: Option<u64>,
        "min_disk"         => min_disk: u32,
        "min_ram"          => min_ram: u32,
        "protected"        => protected: bool,
        "os_hidden"        => os_hidden: bool,
        "checksum"         => checksum: Option<String>,
        "os_hash_algo"     => os_hash_algo: Option<String>,
        "os_hash_value"    => os_hash_value: Option<String>,
        "tags"             => tags: Vec<String>,
        "created_at"       => created_at: String,
        "updated_at"       => updated_at: String,
        "self"             => itself: String,
        "file"             => file: String,
        "schema"           => schema: &'static str,
        /// Where its bytes are, by name; only where stores have names.
        "stores" optional  => stores: Option<String>
        ; flatten => properties
    }
}

versioned! {
    response ImageList {
        "images" => images: Vec<ImageView>,
        "first"  => first: String,
        "schema" => schema: &'static str,
        "next" optional => next: Option<String>,
    }
}

versioned! {
    response MemberView {
        "member_id"  => member_id: String,
        "image_id"   => image_id: String,
        "status"     => status: &'static str,
        "created_at" => created_at: String,
        "updated_at" => updated_at: String,
        "schema"     => schema: &'static str,
        /// Ours: from when on it is shared no longer, and what it is shared for. Absent where nothing was said.
        "gapura:expires_at" optional => expires_at: Option<String>,
        "gapura:purpose" optional    => purpose: Option<String>,
    }
}

/// What a share says beyond Glance's.
pub const EXPIRES_AT: &str = "gapura:expires_at";
pub const PURPOSE: &str = "gapura:purpose";

versioned! {
    response MemberList {
        "members" => members: Vec<MemberView>,
        "schema"  => schema: &'static str,
    }
}

/// Where an image is, without the server.
pub fn path_of(image: &Image) -> String {
    format!("/v2/images/{}", image.id)
}

/// An image as this caller sees it.
pub fn shown(cx: &Context, image: Image) -> ImageView {
    let itself = path_of(&image);
    let names = image.places.iter().map(|place| place.store.as_str());
    let stores = cx.state.stores.are_named().then(|| names.collect::<Vec<_>>().join(","));
    let (protections, roles) = (&cx.state.images.protections, &cx.credentials().roles);
    let readable = image.properties.into_iter().filter(|(name, _)| protections.allow(Action::Read, name, roles));
    let properties = readable.map(|(name, value)| (name, value.into())).collect::<Map>();
    ImageView {
        id: image.id.to_string(),
        status: image.status.word(),
        visibility: image.visibility.word(),
        owner: image.owner.map(|owner| owner.0),
        size: image.size,
        virtual_size: image.virtual_size,
        min_disk: image.min_disk,
        min_ram: image.min_ram,
        protected: image.protected,
        os_hidden: image.os_hidden,
        name: image.name,
        container_format: image.container_format,
        disk_format: image.disk_format,
        checksum: image.checksum,
        os_hash_algo: image.os_hash_algo,
        os_hash_value: image.os_hash_value,
        tags: image.tags.into_iter().collect(),
        created_at: image.created_at.to_seconds_z(),
        updated_at: image.updated_at.to_seconds_z(),
        file: format!("{itself}/file"),
        itself,
        schema: "/v2/schemas/image",
        stores: stores.filter(|names| !names.is_empty()),
        properties,
    }
}

impl From<Member> for MemberView {
    fn from(member: Member) -> Self {
        Self {
            member_id: member.project.0,
            image_id: member.image.to_string(),
            status: member.status.word(),
            created_at: member.created_at.to_seconds_z(),
            updated_at: member.updated_at.to_seconds_z(),
            schema: "/v2/schemas/member",
            expires_at: member.terms.expires_at.map(Timestamp::to_seconds_z),
            purpose: member.terms.purpose,
        }
    }
}
