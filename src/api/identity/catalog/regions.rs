//! Regions: `/v3/regions`.

use crate::api::identity::answer::{done, extra_of, listed, merged, permitted, shown};
use crate::api::{Call, Row};
use crate::cloud::identity::Region;
use crate::cloud::policy::Target;
use crate::error::{Error, Kind, Result};
use crate::http::json::{Map, Maybe, Text};
use crate::http::reply::RawReply;
use crate::http::table::{delete, get, patch, post, put};
use crate::store::{OrConflict, Tx, catalog, limits};
use http::StatusCode;
use serde_json::json;

pub fn rows() -> Vec<Row> {
    vec![
        get("/v3/regions", list).rule("identity:list_regions").query(&["limit", "parent_region_id"]),
        post("/v3/regions", create).rule("identity:create_region"),
        get("/v3/regions/{region_id}", show).rule("identity:get_region"),
        put("/v3/regions/{region_id}", create_named).rule("identity:create_region"),
        patch("/v3/regions/{region_id}", update).rule("identity:update_region"),
        delete("/v3/regions/{region_id}", remove).rule("identity:delete_region"),
    ]
}

crate::versioned! {
    request RegionBody open {
        "region" required => region: GivenRegion,
    }
}

crate::versioned! {
    request GivenRegion open {
        "id"               => id: Option<Text<0, 255>>,
        "parent_region_id" => parent_region_id: Maybe<Option<String>>,
        "description"      => description: Maybe<Option<Text<0, 255>>>;
        flatten            => extra
    }
}

fn view(region: &Region) -> Map {
    let mut view = region.extra.clone();
    view.insert("id".to_owned(), json!(region.id));
    view.insert("parent_region_id".to_owned(), json!(region.parent_region_id));
    view.insert("description".to_owned(), json!(region.description));
    view
}

fn answer<B>(call: &Call<B>, status: StatusCode, region: &Region) -> RawReply {
    shown(call, status, "region", &format!("/regions/{}", region.id), view(region))
}

async fn of_path<B>(call: &Call<B>) -> Result<Region> {
    let id = call.path("region_id").to_owned();
    let wanted = id.clone();
    permitted(call, Kind::Region, &id, move |tx| catalog::get_region(tx, &wanted), |_| Target::new()).await
}

async fn list(call: Call) -> Result<RawReply> {
    let found = call.cx.state.db.read(catalog::regions).await?;
    Ok(listed(&call, "regions", found.iter().map(view).collect(), &["parent_region_id"]))
}

async fn show(call: Call) -> Result<RawReply> {
    let region = of_path(&call).await?;
    Ok(answer(&call, StatusCode::OK, &region))
}

async fn create(call: Call<RegionBody>) -> Result<RawReply> {
    let id = call.body.region.id.clone().map(|id| id.0).filter(|id| !id.is_empty());
    make(&call, id.unwrap_or_else(|| uuid::Uuid::new_v4().simple().to_string())).await
}

async fn create_named(call: Call<RegionBody>) -> Result<RawReply> {
    let id = call.path("region_id").to_owned();
    if let Some(given) = call.body.region.id.as_ref().filter(|given| given.0 != id) {
        let text = format!("Conflicting region IDs specified: \"{id}\" != \"{}\"", given.0);
        return Err(Error::bad_request(text));
    }
    make(&call, id).await
}

async fn make(call: &Call<RegionBody>, id: String) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let new = call.body.region.clone();
    let region = Region {
        id,
        parent_region_id: new.parent_region_id.given().flatten(),
        description: new.description.given().flatten().map(|text| text.0).unwrap_or_default(),
        extra: extra_of(new.extra),
    };
    let stored = region.clone();
    let insert = move |tx: &mut Tx| {
        check_parent(tx, &stored)?;
        let taken = || format!("Conflict occurred attempting to store region - Duplicate ID, {}.", stored.id);
        catalog::insert_region(tx, &stored).or_conflict(taken)
    };
    call.cx.state.db.write(insert).await?;
    Ok(answer(call, StatusCode::CREATED, &region))
}

/// # Errors
/// `NotFound` for a parent that isn't there, `BadRequest` for a ring of regions.
fn check_parent(tx: &mut Tx, region: &Region) -> Result<()> {
    let mut next = region.parent_region_id.clone();
    while let Some(id) = next {
        if id == region.id {
            return Err(Error::bad_request(format!(
                "The specified parent region {id} would create a circular region hierarchy."
            )));
        }
        let parent = catalog::get_region(tx, &id)?.ok_or_else(|| Error::not_found(Kind::Region, &id))?;
        next = parent.parent_region_id;
    }
    Ok(())
}

async fn update(call: Call<RegionBody>) -> Result<RawReply> {
    let mut region = of_path(&call).await?;
    let change = call.body.region.clone();
    if change.id.as_ref().is_some_and(|given| given.0 != region.id) {
        return Err(Error::bad_request("Cannot change ID"));
    }
    region.parent_region_id = change.parent_region_id.given().unwrap_or(region.parent_region_id);
    region.description =
        change.description.given().map_or(region.description, |text| text.map(|text| text.0).unwrap_or_default());
    region.extra = merged(region.extra, Some(extra_of(change.extra)));
    let stored = region.clone();
    let update = move |tx: &mut Tx| {
        check_parent(tx, &stored)?;
        catalog::update_region(tx, &stored)
    };
    call.cx.state.db.write(update).await?;
    Ok(answer(&call, StatusCode::OK, &region))
}

async fn remove(call: Call) -> Result<RawReply> {
    let region = of_path(&call).await?;
    call.cx.state.db.write(move |tx| remove_tree(tx, &region.id)).await?;
    Ok(done())
}

/// Removes a region and those below it, unless one of them has an endpoint.
fn remove_tree(tx: &mut Tx, id: &str) -> Result<()> {
    let all = catalog::regions(tx)?;
    let mut doomed = vec![id.to_owned()];
    let mut at = 0;
    while let Some(parent) = doomed.get(at).cloned() {
        let below = all.iter().filter(|region| region.parent_region_id.as_deref() == Some(parent.as_str()));
        doomed.extend(below.map(|region| region.id.clone()));
        at += 1;
    }
    let is_used = |id: &str| -> bool { doomed.iter().any(|one| one == id) };
    if catalog::endpoints(tx)?.iter().any(|endpoint| endpoint.region_id.as_deref().is_some_and(is_used)) {
        return Err(Error::Forbidden(format!(
            "Unable to delete region {id} because it or its child regions have associated endpoints."
        )));
    }
    for doomed in &doomed {
        if limits::has_region(tx, doomed)? {
            return Err(Error::Forbidden(format!(
                "Unable to delete region {id} because it or its child regions have associated registered limits."
            )));
        }
    }
    doomed.iter().rev().try_for_each(|id| catalog::delete_region(tx, id))
}
