//! Tags: words that a project puts on its networks, subnets and ports.

use super::{networks as network_api, ports as port_api, subnets as subnet_api};
use crate::api::{Call, Row};
use crate::clock::Timestamp;
use crate::cloud::policy::Reach;
use crate::error::{Error, Kind, Result};
use crate::http::json::Text;
use crate::http::reply::{Empty, Reply};
use crate::http::table::{delete, get, put};
use crate::ids::{NetworkId, PortId, SubnetId};
use crate::store::Tx;
use crate::store::networks::{self, Network};
use crate::store::ports::{self, Port};
use crate::store::subnets::{self, Subnet};
use crate::versioned;
use http::{HeaderMap, StatusCode};

/// Neutron's bound.
const MOST_TAGS: usize = 50;

versioned! {
    response TagsView {
        "tags" => tags: Vec<String>,
    }
}

versioned! {
    request TagsBody strict {
        "tags" required => tags: Vec<Text<1, 255>>,
    }
}

macro_rules! rows_of {
    ($path:literal, $tagged:ty, $get:literal, $update:literal, $delete:literal) => {
        [
            get(concat!($path, "/tags"), list::<$tagged>).rule($get),
            put(concat!($path, "/tags"), replace::<$tagged>).rule($update),
            delete(concat!($path, "/tags"), clear::<$tagged>).rule($delete),
            get(concat!($path, "/tags/{tag}"), has::<$tagged>).rule($get),
            put(concat!($path, "/tags/{tag}"), add::<$tagged>).rule($update),
            delete(concat!($path, "/tags/{tag}"), remove::<$tagged>).rule($delete),
        ]
    };
}

pub fn rows() -> Vec<Row> {
    let networks =
        rows_of!("/v2.0/networks/{id}", Network, "get_networks_tags", "update_networks_tags", "delete_networks_tags");
    let subnets =
        rows_of!("/v2.0/subnets/{id}", Subnet, "get_subnets_tags", "update_subnets_tags", "delete_subnets_tags");
    let ports = rows_of!("/v2.0/ports/{id}", Port, "get_ports_tags", "update_ports_tags", "delete_ports_tags");
    networks.into_iter().chain(subnets).chain(ports).collect()
}

/// Tags in the order they are kept, none twice.
pub fn sorted(mut tags: Vec<String>) -> Result<Vec<String>> {
    tags.sort_unstable();
    tags.dedup();
    if tags.len() > MOST_TAGS {
        return Err(Error::bad_request(format!("Invalid input for tags. Reason: more than {MOST_TAGS} tags.")));
    }
    Ok(tags)
}

/// A kind of thing that can be tagged.
trait Tagged: Sized + Send + 'static {
    const KIND: Kind;
    const UPDATE: &'static str;
    const DELETE: &'static str;

    fn visible(tx: &mut Tx, reach: &Reach, id: &str) -> Result<Self>;
    fn owned(tx: &mut Tx, reach: &Reach, id: &str, rule: &str) -> Result<Self>;
    fn tags(&mut self) -> &mut Vec<String>;
    fn save(&self, tx: &mut Tx, now: Timestamp) -> Result<Self>;
}

macro_rules! tagged {
    ($thing:ty, $id:ty, $kind:ident, $store:ident, $api:ident, $update:literal, $delete:literal, $($none:ident)?) => {
        impl Tagged for $thing {
            const KIND: Kind = Kind::$kind;
            const UPDATE: &'static str = $update;
            const DELETE: &'static str = $delete;

            fn visible(tx: &mut Tx, reach: &Reach, id: &str) -> Result<Self> {
                $store::visible(tx, reach, <$id>::parse(id).ok_or_else(|| Error::not_found(Self::KIND, id))?)
            }

            fn owned(tx: &mut Tx, reach: &Reach, id: &str, rule: &str) -> Result<Self> {
                $api::owned(tx, reach, <$id>::parse(id).ok_or_else(|| Error::not_found(Self::KIND, id))?, rule)
            }

            fn tags(&mut self) -> &mut Vec<String> {
                &mut self.tags
            }

            fn save(&self, tx: &mut Tx, now: Timestamp) -> Result<Self> {
                $store::update(tx, self, $($none,)? now)
            }
        }
    };
}

tagged!(Network, NetworkId, Network, networks, network_api, "update_networks_tags", "delete_networks_tags",);
tagged!(Subnet, SubnetId, Subnet, subnets, subnet_api, "update_subnets_tags", "delete_subnets_tags",);
tagged!(Port, PortId, Port, ports, port_api, "update_ports_tags", "delete_ports_tags", None);

async fn list<T: Tagged>(call: Call) -> Result<Reply<TagsView>> {
    let (reach, id) = (call.cx.reach.clone(), call.path("id").to_owned());
    let mut thing = call.cx.state.db.read(move |tx| T::visible(tx, &reach, &id)).await?;
    Ok(Reply::ok(TagsView { tags: std::mem::take(thing.tags()) }))
}

/// 204 when the thing has the tag.
async fn has<T: Tagged>(call: Call) -> Result<Empty> {
    let tag = call.path("tag").to_owned();
    let Reply { view, .. } = list::<T>(call).await?;
    if view.tags.contains(&tag) { Ok(Empty::no_content()) } else { Err(Error::not_found(Kind::Page, tag)) }
}

/// Changes a thing's tags in one transaction.
async fn change<T: Tagged, B>(
    call: &Call<B>,
    rule: &'static str,
    change: impl Fn(Vec<String>) -> Result<Vec<String>> + Send + 'static,
) -> Result<Vec<String>> {
    let (reach, id, now) = (call.cx.reach.clone(), call.path("id").to_owned(), call.cx.state.clock.now());
    call.cx
        .state
        .db
        .write(move |tx| {
            let mut thing = T::owned(tx, &reach, &id, rule)?;
            let tags = std::mem::take(thing.tags());
            *thing.tags() = sorted(change(tags)?)?;
            let mut saved = thing.save(tx, now)?;
            Ok(std::mem::take(saved.tags()))
        })
        .await
}

async fn replace<T: Tagged>(call: Call<TagsBody>) -> Result<Reply<TagsView>> {
    let wanted: Vec<String> = call.body.tags.iter().map(|tag| tag.0.clone()).collect();
    let tags = change::<T, _>(&call, T::UPDATE, move |_| Ok(wanted.clone())).await?;
    Ok(Reply::ok(TagsView { tags }))
}

async fn clear<T: Tagged>(call: Call) -> Result<Empty> {
    change::<T, _>(&call, T::DELETE, |_| Ok(Vec::new())).await?;
    Ok(Empty::no_content())
}

async fn add<T: Tagged>(call: Call) -> Result<Empty> {
    let tag = call.path("tag").to_owned();
    if tag.chars().count() > 255 {
        return Err(Error::bad_request("Invalid input for tag. Reason: it is longer than 255 characters."));
    }
    change::<T, _>(&call, T::UPDATE, move |mut tags| {
        tags.push(tag.clone());
        Ok(tags)
    })
    .await?;
    Ok(Empty(StatusCode::CREATED, HeaderMap::new()))
}

async fn remove<T: Tagged>(call: Call) -> Result<Empty> {
    let tag = call.path("tag").to_owned();
    change::<T, _>(&call, T::DELETE, move |mut tags| {
        let before = tags.len();
        tags.retain(|found| *found != tag);
        if tags.len() == before { Err(Error::not_found(Kind::Page, &tag)) } else { Ok(tags) }
    })
    .await?;
    Ok(Empty::no_content())
}
