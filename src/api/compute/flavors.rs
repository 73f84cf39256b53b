//! Flavors: sizes of servers, their extra specs, and who may use those that are not public.

use super::common::{LARGEST_PAGE, Link, Name, check_query, cut, links, next_link, page, truth};
use super::{server_list, versions};
use crate::api::{Call, Row};
use crate::cloud::extra_specs;
use crate::cloud::flavor::{Flavor, check_spec_name};
use crate::error::{Error, Kind, Result};
use crate::http::json::{Between, FlexibleBool, Invalid, Maybe, Parse, Path, Text, python_repr};
use crate::http::microversion::Microversion;
use crate::http::reply::{Empty, Reply};
use crate::http::table::{action, delete, get, post, put};
use crate::ids::{FlavorId, ProjectId};
use crate::store::flavors::{self, Visible};
use crate::store::servers::Texts;
use crate::versioned;
use serde_json::{Value, json};

/// Of which the name counts from a version on.
const QUERY: &[&str] = &["is_public", "limit", "marker", "minDisk", "minRam", "name", "sort_key", "sort_dir"];
const ANYBODY: &str = "os_compute_api:flavors";

pub fn rows() -> Vec<Row> {
    vec![
        get("/flavors", index).rule(ANYBODY).query(QUERY),
        get("/flavors/detail", detail).rule(ANYBODY).query(QUERY),
        get("/flavors/{flavor_id}", show).rule(ANYBODY),
        post("/flavors", create).rule("os_compute_api:os-flavor-manage:create"),
        put("/flavors/{flavor_id}", update).rule("os_compute_api:os-flavor-manage:update").since(55),
        delete("/flavors/{flavor_id}", remove).rule("os_compute_api:os-flavor-manage:delete"),
        get("/flavors/{flavor_id}/os-extra_specs", specs).rule("os_compute_api:os-flavor-extra-specs:index"),
        post("/flavors/{flavor_id}/os-extra_specs", add_specs).rule("os_compute_api:os-flavor-extra-specs:create"),
        get("/flavors/{flavor_id}/os-extra_specs/{key}", spec).rule("os_compute_api:os-flavor-extra-specs:show"),
        put("/flavors/{flavor_id}/os-extra_specs/{key}", set_spec).rule("os_compute_api:os-flavor-extra-specs:update"),
        delete("/flavors/{flavor_id}/os-extra_specs/{key}", remove_spec)
            .rule("os_compute_api:os-flavor-extra-specs:delete"),
        get("/flavors/{flavor_id}/os-flavor-access", access).rule("os_compute_api:os-flavor-access"),
        action("/flavors/{flavor_id}/action", "addTenantAccess", add_access)
            .rule("os_compute_api:os-flavor-access:add_tenant_access"),
        action("/flavors/{flavor_id}/action", "removeTenantAccess", remove_access)
            .rule("os_compute_api:os-flavor-access:remove_tenant_access"),
    ]
}

versioned! {
    response FlavorView {
        "id" => id: FlavorId,
        "name" => name: String,
        "ram" => ram: u64,
        "disk" => disk: u64,
        /// Empty text for none, as long as Nova showed it so.
        "swap" until(75) => swap_or_text: Value,
        "swap" since(75) => swap: u64,
        "OS-FLV-EXT-DATA:ephemeral" => ephemeral: u64,
        "OS-FLV-DISABLED:disabled" until(102) => disabled: bool,
        "vcpus" => vcpus: u32,
        "os-flavor-access:is_public" => is_public: bool,
        "rxtx_factor" until(102) => rxtx_factor: f64,
        "links" => links: Vec<Link>,
        "description" since(55) => description: Option<String>,
        "extra_specs" since(61) optional => extra_specs: Option<Texts>,
    }
}
versioned! {
    response FlavorShown { "flavor" => flavor: FlavorView }
}
versioned! {
    response FlavorsInDetail { "flavors" => flavors: Vec<FlavorView>, "flavors_links" optional => links: Vec<Link> }
}
versioned! {
    response FlavorBrief {
        "id" => id: FlavorId,
        "name" => name: String,
        "links" => links: Vec<Link>,
        "description" since(55) => description: Option<String>,
    }
}
versioned! {
    response FlavorsInBrief { "flavors" => flavors: Vec<FlavorBrief>, "flavors_links" optional => links: Vec<Link> }
}

fn view<B>(call: &Call<B>, flavor: Flavor) -> FlavorView {
    let shows_specs = call.cx.may("os_compute_api:os-flavor-extra-specs:index");
    FlavorView {
        links: links(call, "flavors", &flavor.id),
        id: flavor.id,
        name: flavor.name,
        ram: flavor.ram_mib,
        disk: flavor.disk_gib,
        swap_or_text: if flavor.swap_mib == 0 { json!("") } else { json!(flavor.swap_mib) },
        swap: flavor.swap_mib,
        ephemeral: flavor.ephemeral_gib,
        disabled: flavor.disabled,
        vcpus: flavor.vcpus,
        is_public: flavor.is_public,
        rxtx_factor: flavor.rxtx_factor,
        description: flavor.description,
        extra_specs: shows_specs.then_some(flavor.extra_specs),
    }
}

/// Administrators see every flavor, others the public ones and those they were given.
fn is_admin<B>(call: &Call<B>) -> bool {
    call.cx.may("context_is_admin")
}

async fn list<B>(call: &Call<B>) -> Result<(Vec<Flavor>, Vec<Link>)> {
    let by_name = call.version() >= versions::ALL_QUERIES_ARE_STRICT;
    let known: Vec<&str> = QUERY.iter().copied().filter(|name| by_name || *name != "name").collect();
    check_query(call, &known)?;
    let name = call.query().get("name").filter(|_| by_name);
    let name = name.map(|text| server_list::pattern("name", text)).transpose()?;
    let page = page(call)?;
    let admin = is_admin(call);
    // Nobody but an administrator may choose; theirs is what is public, or given to their project.
    let only_public = match call.query().get("is_public") {
        _ if !admin => None,
        None => Some(true),
        Some(text) if text.eq_ignore_ascii_case("none") => None,
        Some(text) => {
            Some(truth(text).ok_or_else(|| Error::bad_request(format!("Invalid is_public filter [{text}]")))?)
        }
    };
    let at_least = |name: &str| -> Result<u64> {
        match call.query().get(name) {
            None => Ok(0),
            Some(text) => text.parse().map_err(|_| Error::bad_request(format!("Invalid {name} filter [{text}]"))),
        }
    };
    let (ram, disk) = (at_least("minRam")?, at_least("minDisk")?);
    let project = call.cx.project_id().ok().cloned();
    let mut all = call
        .cx
        .state
        .db
        .read(move |tx| flavors::list(tx, if admin { Visible::All } else { Visible::To(project.as_ref()) }))
        .await?;
    all.retain(|flavor| only_public.is_none_or(|public| flavor.is_public == public));
    all.retain(|flavor| flavor.ram_mib >= ram && flavor.disk_gib >= disk && (admin || !flavor.disabled));
    all.retain(|flavor| name.as_ref().is_none_or(|name| name.is_match(&flavor.name)));
    if by_name && call.query().get("sort_key") == Some("rxtx_factor") {
        return Err(super::common::bad_query("sort_key", "rxtx_factor", "is not one of the keys to sort by"));
    }
    sort(&mut all, call.query().get("sort_key").unwrap_or("flavorid"), call.query().get("sort_dir").unwrap_or("asc"))?;
    let (flavors, next) = cut(all, &page, |flavor| flavor.id.to_string())?;
    debug_assert!(flavors.len() <= LARGEST_PAGE);
    Ok((flavors, next_link(call, next.as_deref())))
}

fn sort(flavors: &mut [Flavor], key: &str, direction: &str) -> Result<()> {
    let by: fn(&Flavor) -> (u64, String) = match key {
        "flavorid" | "id" | "created_at" | "updated_at" => |f| (0, f.id.to_string()),
        "name" => |f| (0, f.name.clone()),
        "memory_mb" => |f| (f.ram_mib, String::new()),
        "root_gb" => |f| (f.disk_gib, String::new()),
        "vcpus" => |f| (f.vcpus.into(), String::new()),
        "ephemeral_gb" => |f| (f.ephemeral_gib, String::new()),
        "swap" => |f| (f.swap_mib, String::new()),
        "is_public" => |f| (f.is_public.into(), String::new()),
        "disabled" => |f| (f.disabled.into(), String::new()),
        "description" => |f| (0, f.description.clone().unwrap_or_default()),
        "rxtx_factor" | "vcpu_weight" => |_| (0, String::new()),
        other => return Err(super::common::bad_query("sort_key", other, "is not one of the keys to sort by")),
    };
    flavors.sort_by_cached_key(|flavor| (by(flavor), flavor.id.clone()));
    match direction {
        "asc" => {}
        "desc" => flavors.reverse(),
        other => return Err(super::common::bad_query("sort_dir", other, "is not one of ['asc', 'desc']")),
    }
    Ok(())
}

/// `GET /flavors`.
async fn index(call: Call) -> Result<Reply<FlavorsInBrief>> {
    let (found, next) = list(&call).await?;
    let brief = |flavor: Flavor| FlavorBrief {
        links: links(&call, "flavors", &flavor.id),
        id: flavor.id,
        name: flavor.name,
        description: flavor.description,
    };
    Ok(Reply::ok(FlavorsInBrief { flavors: found.into_iter().map(brief).collect(), links: next }))
}

/// `GET /flavors/detail`.
async fn detail(call: Call) -> Result<Reply<FlavorsInDetail>> {
    let (found, next) = list(&call).await?;
    let flavors = found.into_iter().map(|flavor| view(&call, flavor)).collect();
    Ok(Reply::ok(FlavorsInDetail { flavors, links: next }))
}

/// The flavor that the path names, as far as the caller sees it.
async fn named<B>(call: &Call<B>) -> Result<Flavor> {
    let id = FlavorId::from(call.path("flavor_id"));
    let project = call.cx.project_id().ok().cloned();
    let admin = is_admin(call);
    call.cx
        .state
        .db
        .read(move |tx| flavors::get(tx, if admin { Visible::All } else { Visible::To(project.as_ref()) }, &id))
        .await
}

/// `GET /flavors/{flavor_id}`.
async fn show(call: Call) -> Result<Reply<FlavorShown>> {
    let flavor = named(&call).await?;
    Ok(Reply::ok(FlavorShown { flavor: view(&call, flavor) }))
}

/// A flavor's id as the client chose it: text, a number, or nothing.
#[derive(Debug, Clone)]
pub struct ChosenId(Option<String>);

impl Parse for ChosenId {
    fn parse(value: Value, path: &Path<'_>, _: Microversion) -> Result<Self, Invalid> {
        let text = match &value {
            Value::Null => return Ok(Self(None)),
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            other => return Err(path.wrong_type(other, "string|number|null")),
        };
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ' ' | '_' | '-');
        if text.is_empty() || text.len() > 255 || !text.chars().all(legal) || text.trim() != text {
            let reason = format!("{} does not match '^(?! )[a-zA-Z0-9. _-]*(?<! )$'", python_repr(&value));
            return Err(path.refuse(&value, reason));
        }
        Ok(Self(Some(text)))
    }

    fn absent() -> Option<Self> {
        Some(Self(None))
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": ["string", "number", "null"], "minLength": 1, "maxLength": 255, "pattern": "^(?! )[a-zA-Z0-9. _-]*(?<! )$"})
    }
}

/// A factor above nothing: a number, or its digits.
#[derive(Debug, Clone, Copy)]
pub struct Factor(f64);

impl Parse for Factor {
    fn parse(value: Value, path: &Path<'_>, _: Microversion) -> Result<Self, Invalid> {
        let number = match &value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok(),
            other => return Err(path.wrong_type(other, "number|string")),
        };
        match number {
            Some(number) if number.is_finite() && number > 0.0 && number < 3.40282e+38 => Ok(Self(number)),
            _ => Err(path.refuse(&value, format!("{} is no factor above 0", python_repr(&value)))),
        }
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": ["number", "string"], "pattern": "^[0-9]+(\\.[0-9]+)?$", "minimum": 0, "exclusiveMinimum": true})
    }
}

const LARGEST: i64 = 0x7FFF_FFFF;

versioned! {
    request NewFlavor strict {
        "name" required => name: Name,
        "id" => id: ChosenId,
        "ram" required => ram: Between<1, LARGEST>,
        "vcpus" required => vcpus: Between<1, LARGEST>,
        "disk" required => disk: Between<0, LARGEST>,
        "OS-FLV-EXT-DATA:ephemeral" => ephemeral: Maybe<Between<0, LARGEST>>,
        "swap" => swap: Maybe<Between<0, LARGEST>>,
        "rxtx_factor" until(102) => rxtx_factor: Maybe<Factor>,
        "os-flavor-access:is_public" => is_public: Maybe<FlexibleBool>,
        "description" since(55) => description: Option<Text<0, 65535>>,
    }
}
versioned! {
    request FlavorCreate strict { "flavor" required => flavor: NewFlavor }
}

fn size(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// `POST /flavors`.
async fn create(call: Call<FlavorCreate>) -> Result<Reply<FlavorShown>> {
    let new = call.body.flavor.clone();
    let flavor = Flavor {
        id: new.id.0.map_or_else(|| FlavorId(uuid::Uuid::new_v4().to_string()), FlavorId),
        name: new.name.0,
        description: new.description.map(|text| text.0),
        vcpus: u32::try_from(new.vcpus.0).unwrap_or(u32::MAX),
        ram_mib: size(new.ram.0),
        disk_gib: size(new.disk.0),
        ephemeral_gib: new.ephemeral.given().map_or(0, |n| size(n.0)),
        swap_mib: new.swap.given().map_or(0, |n| size(n.0)),
        rxtx_factor: new.rxtx_factor.given().map_or(1.0, |factor| factor.0),
        is_public: new.is_public.given().is_none_or(|truth| truth.0),
        disabled: false,
        extra_specs: Texts::new(),
    };
    let now = call.cx.state.clock.now();
    let kept = flavor.clone();
    call.cx.state.db.write(move |tx| flavors::insert(tx, &kept, now)).await?;
    Ok(Reply::ok(FlavorShown { flavor: view(&call, flavor) }))
}

versioned! {
    request NewDescription strict { "description" required => description: Option<Text<0, 65535>> }
}
versioned! {
    request FlavorUpdate strict { "flavor" required => flavor: NewDescription }
}

/// `PUT /flavors/{flavor_id}`: the description is all that may change.
async fn update(call: Call<FlavorUpdate>) -> Result<Reply<FlavorShown>> {
    let id = FlavorId::from(call.path("flavor_id"));
    let description = call.body.flavor.description.clone().map(|text| text.0);
    let now = call.cx.state.clock.now();
    let write = move |tx: &mut crate::store::Tx| {
        flavors::set_description(tx, &id, description.as_deref(), now)?;
        flavors::get(tx, Visible::All, &id)
    };
    let flavor = call.cx.state.db.write(write).await?;
    Ok(Reply::ok(FlavorShown { flavor: view(&call, flavor) }))
}

/// `DELETE /flavors/{flavor_id}`: servers made with it keep their copy.
async fn remove(call: Call) -> Result<Empty> {
    let id = FlavorId::from(call.path("flavor_id"));
    call.cx.state.db.write(move |tx| flavors::delete(tx, &id)).await?;
    Ok(Empty::accepted())
}

versioned! {
    response Specs { "extra_specs" => extra_specs: Texts }
}

/// `GET /flavors/{flavor_id}/os-extra_specs`.
async fn specs(call: Call) -> Result<Reply<Specs>> {
    Ok(Reply::ok(Specs { extra_specs: named(&call).await?.extra_specs }))
}

fn no_spec<B>(call: &Call<B>) -> Error {
    let (flavor, key) = (call.path("flavor_id"), call.path("key"));
    Error::not_found(Kind::Part, format!("Flavor {flavor} has no extra specs with key {key}."))
}

/// `GET /flavors/{flavor_id}/os-extra_specs/{key}`.
async fn spec(call: Call) -> Result<Reply<Texts>> {
    let flavor = named(&call).await?;
    let value = flavor.extra_specs.get(call.path("key")).ok_or_else(|| no_spec(&call))?;
    Ok(Reply::ok(Texts::from([(call.path("key").to_owned(), value.clone())])))
}

/// Values of extra specs: text, numbers and booleans, all kept as text.
fn spec_text(name: &str, value: &Value, version: Microversion) -> Result<String> {
    check_spec_name(name)?;
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        other => {
            return Err(Error::bad_request(format!(
                "Invalid input for field/attribute {name}. Value: {}. {} is not of type 'string', 'number'",
                python_repr(other),
                python_repr(other)
            )));
        }
    };
    if text.chars().count() > 255 {
        return Err(Error::bad_request(format!(
            "Invalid input for field/attribute {name}. Value: {text}. '{text}' is too long"
        )));
    }
    if version >= versions::EXTRA_SPECS_ARE_VALIDATED {
        extra_specs::check(name, &text)?;
    }
    Ok(text)
}

versioned! {
    request SpecsAdded strict { "extra_specs" required => extra_specs: crate::http::json::Map }
}

/// `POST /flavors/{flavor_id}/os-extra_specs`.
async fn add_specs(call: Call<SpecsAdded>) -> Result<Reply<Specs>> {
    let id = FlavorId::from(call.path("flavor_id"));
    let mut texts = Texts::new();
    for (name, value) in &call.body.extra_specs {
        texts.insert(name.clone(), spec_text(name, value, call.version())?);
    }
    let write = {
        let texts = texts.clone();
        move |tx: &mut crate::store::Tx| {
            flavors::get(tx, Visible::All, &id)?;
            texts.iter().try_for_each(|(name, value)| flavors::set_extra_spec(tx, &id, name, value))
        }
    };
    call.cx.state.db.write(write).await?;
    Ok(Reply::ok(Specs { extra_specs: texts }))
}

/// `PUT /flavors/{flavor_id}/os-extra_specs/{key}`.
async fn set_spec(call: Call<Value>) -> Result<Reply<Texts>> {
    let id = FlavorId::from(call.path("flavor_id"));
    let key = call.path("key").to_owned();
    let value = match (call.body.get(&key), call.body.as_object().map(serde_json::Map::len)) {
        (Some(value), Some(1)) => spec_text(&key, value, call.version())?,
        _ => return Err(Error::bad_request("Request body and URI mismatch")),
    };
    let shown = Texts::from([(key.clone(), value.clone())]);
    let write = move |tx: &mut crate::store::Tx| {
        flavors::get(tx, Visible::All, &id)?;
        flavors::set_extra_spec(tx, &id, &key, &value)
    };
    call.cx.state.db.write(write).await?;
    Ok(Reply::ok(shown))
}

/// `DELETE /flavors/{flavor_id}/os-extra_specs/{key}`.
async fn remove_spec(call: Call) -> Result<Empty> {
    let (id, key) = (FlavorId::from(call.path("flavor_id")), call.path("key").to_owned());
    let write = move |tx: &mut crate::store::Tx| {
        flavors::get(tx, Visible::All, &id)?;
        flavors::delete_extra_spec(tx, &id, &key)
    };
    if !call.cx.state.db.write(write).await? {
        return Err(no_spec(&call));
    }
    Ok(Empty(http::StatusCode::OK, http::HeaderMap::new()))
}

versioned! {
    response Access { "flavor_id" => flavor_id: FlavorId, "tenant_id" => tenant_id: ProjectId }
}
versioned! {
    response AccessList { "flavor_access" => flavor_access: Vec<Access> }
}

fn access_list(flavor: &FlavorId, projects: Vec<ProjectId>) -> AccessList {
    let access = |tenant_id| Access { flavor_id: flavor.clone(), tenant_id };
    AccessList { flavor_access: projects.into_iter().map(access).collect() }
}

/// `GET /flavors/{flavor_id}/os-flavor-access`.
async fn access(call: Call) -> Result<Reply<AccessList>> {
    let flavor = named(&call).await?;
    if flavor.is_public {
        return Err(Error::not_found(Kind::Part, "Access list not available for public flavors."));
    }
    let id = flavor.id.clone();
    let projects = call.cx.state.db.read(move |tx| flavors::projects(tx, &id)).await?;
    Ok(Reply::ok(access_list(&flavor.id, projects)))
}

versioned! {
    request Tenant strict { "tenant" required => tenant: Text<1, 255> }
}
versioned! {
    request AddAccess strict { "addTenantAccess" required => access: Tenant }
}
versioned! {
    request RemoveAccess strict { "removeTenantAccess" required => access: Tenant }
}

/// Action `addTenantAccess`.
async fn add_access(call: Call<AddAccess>) -> Result<Reply<AccessList>> {
    let flavor = named(&call).await?;
    if flavor.is_public && call.version() >= versions::NO_ACCESS_TO_PUBLIC_FLAVORS {
        return Err(Error::conflict("Can not add access to a public flavor."));
    }
    let (id, project) = (flavor.id.clone(), ProjectId(call.body.access.tenant.0.clone()));
    let write = move |tx: &mut crate::store::Tx| {
        flavors::add_project(tx, &id, &project)?;
        flavors::projects(tx, &id)
    };
    let projects = call.cx.state.db.write(write).await?;
    Ok(Reply::ok(access_list(&flavor.id, projects)))
}

/// Action `removeTenantAccess`.
async fn remove_access(call: Call<RemoveAccess>) -> Result<Reply<AccessList>> {
    let flavor = named(&call).await?;
    let (id, project) = (flavor.id.clone(), ProjectId(call.body.access.tenant.0.clone()));
    let write = move |tx: &mut crate::store::Tx| {
        flavors::remove_project(tx, &id, &project)?;
        flavors::projects(tx, &id)
    };
    let projects = call.cx.state.db.write(write).await?;
    Ok(Reply::ok(access_list(&flavor.id, projects)))
}
