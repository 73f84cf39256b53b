//! `GET /servers` and `GET /servers/detail`: filters, order, pages.
//!
//! Rows come newest first. When nothing else is asked, the database cuts the page; a filter or another order looks at the
//! rows themselves, because Nova's filters are regular expressions and engines disagree about those.

use super::common::{LARGEST_PAGE, Link, bad_query, check_query, cut, links, next_link, page, truth};
use super::server_view::{ServerView, Sight, Whole, view, whole};
use super::versions;
use crate::api::Call;
use crate::clock::Timestamp;
use crate::cloud::policy::Reach;
use crate::cloud::server::{STATUSES, Task, power_code, status};
use crate::error::{Error, Result};
use crate::http::json::InTurn;
use crate::http::reply::Reply;
use crate::ids::{ProjectId, ServerId};
use crate::store::servers::{self, Filter, Server};
use crate::versioned;
use regex::{Regex, RegexBuilder};
use std::cmp::Ordering;

/// Every query parameter that Nova's schema of a list has.
pub const QUERY: &[&str] = &[
    "user_id",
    "project_id",
    "tenant_id",
    "launch_index",
    "image_ref",
    "image",
    "kernel_id",
    "ramdisk_id",
    "hostname",
    "key_name",
    "power_state",
    "vm_state",
    "task_state",
    "host",
    "node",
    "flavor",
    "reservation_id",
    "launched_at",
    "terminated_at",
    "availability_zone",
    "name",
    "display_name",
    "description",
    "display_description",
    "locked_by",
    "uuid",
    "root_device_name",
    "config_drive",
    "access_ip_v4",
    "access_ip_v6",
    "auto_disk_config",
    "progress",
    "sort_key",
    "sort_dir",
    "all_tenants",
    "soft_deleted",
    "deleted",
    "status",
    "changes-since",
    "changes-before",
    "ip",
    "ip6",
    "created_at",
    "limit",
    "marker",
    "tags",
    "tags-any",
    "not-tags",
    "not-tags-any",
    "locked",
    "block_device_mapping",
    "services",
    "metadata",
    "system_metadata",
    "info_cache",
    "security_groups",
    "pci_devices",
];

/// Parameters that are no filters.
const PAGING: &[&str] = &["limit", "marker", "sort_key", "sort_dir", "all_tenants"];

/// Names of other tables, which Nova refuses to filter by.
const JOINED: &[&str] = &[
    "block_device_mapping",
    "services",
    "metadata",
    "system_metadata",
    "info_cache",
    "security_groups",
    "pci_devices",
];

versioned! {
    response ServerBrief { "id" => id: ServerId, "name" => name: String, "links" => links: Vec<Link> }
}
versioned! {
    response ServersInBrief { "servers" => servers: Vec<ServerBrief>, "servers_links" optional => links: Vec<Link> }
}
versioned! {
    response ServersInDetail { "servers" => servers: InTurn<ServerView>, "servers_links" optional => links: Vec<Link> }
}

/// `GET /servers`.
pub async fn index(call: Call) -> Result<Reply<ServersInBrief>> {
    let (found, next) = find(&call, "os_compute_api:servers:index:get_all_tenants", Parts::WhereTested).await?;
    let brief = |Whole { server, .. }: Whole| ServerBrief {
        links: links(&call, "servers", server.id),
        id: server.id,
        name: server.name,
    };
    Ok(Reply::ok(ServersInBrief { servers: found.into_iter().map(brief).collect(), links: next }))
}

/// `GET /servers/detail`.
pub async fn detail(call: Call) -> Result<Reply<ServersInDetail>> {
    let (found, next) = find(&call, "os_compute_api:servers:detail:get_all_tenants", Parts::All).await?;
    let sight = Sight::of(&call).await?;
    let servers = InTurn::new(found.into_iter().map(move |whole| view(&call, &sight, whole, false)));
    Ok(Reply::ok(ServersInDetail { servers, links: next }))
}

/// Which of what other tables keep of each server is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parts {
    All,
    /// For an answer that shows none of it.
    WhereTested,
}

async fn find(call: &Call, all_tenants_rule: &str, parts: Parts) -> Result<(Vec<Whole>, Vec<Link>)> {
    check_query(call, QUERY)?;
    let is_admin = call.cx.may("context_is_admin");
    let asked = asked(call)?;
    let page = page(call)?;
    let order = order(call, is_admin)?;
    // Of servers alone, none are asked for so.
    if call.query().get("limit") == Some("0") {
        return Ok((Vec::new(), Vec::new()));
    }
    let Some(tests) = tests(call, &asked)? else { return Ok((Vec::new(), Vec::new())) };

    let reach = if wants_all_tenants(call)? {
        call.cx.allow(all_tenants_rule)?;
        let whole_cloud = call.cx.reach_of(all_tenants_rule).unwrap_or_else(|| call.cx.reach.clone());
        match (whole_cloud, call.query().get("project_id").or_else(|| call.query().get("tenant_id"))) {
            (Reach::Cloud, Some(project)) => Reach::Project(ProjectId::from(project)),
            (reach, _) => reach,
        }
    } else {
        Reach::Project(call.cx.project_id()?.clone())
    };
    let mut filter = times(call)?;
    let wants_deleted = statuses(call).contains(&"DELETED");
    if wants_deleted && !is_admin {
        return Err(Error::Forbidden("Only administrators may list deleted instances".to_owned()));
    }
    filter.deleted = match asked.iter().find(|(name, _)| name == "deleted") {
        _ if wants_deleted => Some(true),
        Some((_, text)) => Some(truth(text).unwrap_or(false)),
        None if filter.changed_since.is_some() || filter.changed_before.is_some() => None,
        None => Some(false),
    };

    filter.soft_deleted = asked.iter().find(|(name, _)| name == "soft_deleted").and_then(|(_, text)| truth(text));
    if statuses(call).contains(&"SOFT_DELETED") && is_admin {
        filter.soft_deleted = Some(true);
    }
    let is_plain = tests.is_empty() && order.is_empty();
    if is_plain {
        let marker = match &page.marker {
            None => None,
            Some(text) => Some(ServerId::parse(text).ok_or_else(|| no_marker(text))?),
        };
        filter.newest = Some((page.limit, marker));
    }
    let alone = is_plain && parts == Parts::WhereTested;
    let load = move |tx: &mut crate::store::Tx| {
        let found = servers::list(tx, &reach, &filter)?;
        if alone { Ok(found.into_iter().map(Whole::alone).collect()) } else { whole(tx, found) }
    };
    let mut found = call.cx.state.db.read(load).await?;
    if is_plain {
        let full = found.len() == page.limit && (page.limited_by_request || page.limit == LARGEST_PAGE);
        let next = if full { found.last().map(|last| last.server.id.to_string()) } else { None };
        return Ok((found, next_link(call, next.as_deref())));
    }
    found.retain(|whole| tests.iter().all(|test| test(whole)));
    sort(&mut found, &order);
    let (found, next) = cut(found, &page, |whole| whole.server.id.to_string())?;
    Ok((found, next_link(call, next.as_deref())))
}

fn no_marker(text: &str) -> Error {
    Error::bad_request(format!("marker [{text}] not found"))
}

/// An empty value, as in `?all_tenants`, says yes.
fn wants_all_tenants(call: &Call) -> Result<bool> {
    match call.query().get("all_tenants") {
        None => Ok(false),
        Some("") => Ok(true),
        Some(text) => truth(text).ok_or_else(|| {
            Error::bad_request(format!(
                "Unrecognized value '{text}', acceptable values are: '0', '1', 'f', 'false', 'n', 'no', 'off', 'on', 't', 'true', 'y', 'yes'"
            ))
        }),
    }
}

/// The filters of the request that this caller may use at this version; others are dropped, as upstream does.
fn asked(call: &Call) -> Result<Vec<(String, String)>> {
    let version = call.version();
    let may_all = call.cx.may("os_compute_api:servers:allow_all_filters");
    let for_everybody = |name: &str| match name {
        "reservation_id" | "name" | "status" | "image" | "flavor" | "ip" | "ip6" | "changes-since" => true,
        "tags" | "tags-any" | "not-tags" | "not-tags-any" => version >= versions::SERVERS_BY_TAGS,
        "changes-before" => version >= versions::CHANGES_BEFORE,
        "locked" => version >= versions::SERVERS_BY_LOCK,
        "availability_zone" | "config_drive" | "key_name" | "created_at" | "launched_at" | "terminated_at"
        | "power_state" | "task_state" | "vm_state" | "progress" | "user_id" => {
            version >= versions::MORE_FILTERS_FOR_ALL
        }
        "hostname" => version >= versions::HOSTNAMES,
        _ => false,
    };
    let mut kept = Vec::new();
    for (name, value) in call.query().iter().filter(|(name, _)| !PAGING.contains(name)) {
        if !may_all && !for_everybody(name) {
            continue;
        }
        if JOINED.contains(&name) || name.starts_with('_') {
            return Err(Error::bad_request(format!("Invalid filter field: {name}.")));
        }
        kept.push((name.to_owned(), value.to_owned()));
    }
    Ok(kept)
}

fn statuses<'c>(call: &'c Call) -> Vec<&'static str> {
    let known = |text: &'c str| STATUSES.iter().copied().find(|status| status.eq_ignore_ascii_case(text));
    call.query().all("status").filter_map(known).collect()
}

fn times(call: &Call) -> Result<Filter> {
    let time = |name: &str| -> Result<Option<Timestamp>> {
        let Some(text) = call.query().get(name) else { return Ok(None) };
        Timestamp::parse(text).map(Some).ok_or_else(|| bad_query(name, text, "is not a 'date-time'"))
    };
    let since = time("changes-since")?;
    let before = if call.version() >= versions::CHANGES_BEFORE { time("changes-before")? } else { None };
    if let (Some(since), Some(before)) = (since, before)
        && before < since
    {
        return Err(Error::bad_request("The value of changes-since must be less than or equal to changes-before."));
    }
    Ok(Filter { changed_since: since, changed_before: before, ..Filter::default() })
}

type Test = Box<dyn Fn(&Whole) -> bool + Send + Sync>;

/// A test for each filter; `None` when no server can pass.
fn tests(call: &Call, asked: &[(String, String)]) -> Result<Option<Vec<Test>>> {
    let mut tests: Vec<Test> = Vec::new();
    if call.query().has("status") {
        let wanted = statuses(call);
        if wanted.is_empty() {
            if call.version() >= versions::STATUS_IS_CHECKED {
                return Err(Error::bad_request("Invalid status value"));
            }
            return Ok(None);
        }
        tests.push(Box::new(move |whole| wanted.contains(&status(whole.server.state, whole.server.task))));
    }
    for (name, value) in asked {
        match name.as_str() {
            // Seen to elsewhere.
            "status" | "deleted" | "changes-since" | "changes-before" | "project_id" | "tenant_id" | "soft_deleted" => {
            }
            _ => tests.push(test(name, value)?),
        }
    }
    Ok(Some(tests))
}

/// A pattern of a client's.
pub fn pattern(name: &str, value: &str) -> Result<Regex> {
    // MySQL's and Python's patterns search; a size limit keeps a hostile one small.
    RegexBuilder::new(value).size_limit(1 << 20).build().map_err(|_| bad_query(name, value, "is not a 'regex'"))
}

fn test(name: &str, value: &str) -> Result<Test> {
    let wanted = value.to_owned();
    let tags = |value: &str| value.split(',').map(str::to_owned).collect::<Vec<_>>();
    Ok(match name {
        "image" | "image_ref" => Box::new(move |w| w.server.image_id.is_some_and(|id| id.to_string() == wanted)),
        "flavor" => Box::new(move |w| w.server.flavor.id.as_str() == wanted),
        "uuid" => Box::new(move |w| w.server.id.to_string() == wanted),
        "user_id" => Box::new(move |w| w.server.user_id.as_str() == wanted),
        "host" | "node" => Box::new(move |w| w.server.host.as_deref() == Some(&wanted)),
        "vm_state" => Box::new(move |w| w.server.state.word() == wanted),
        "task_state" => Box::new(move |w| w.server.task.map_or("None", Task::word) == wanted),
        "power_state" => Box::new(move |w| power_code(&w.server.power).to_string() == wanted),
        "launch_index" => Box::new(move |w| w.server.launch_index.to_string() == wanted),
        "locked" => {
            let locked = truth(value).ok_or_else(|| bad_query(name, value, "is no boolean"))?;
            Box::new(move |w| w.server.locked_by.is_some() == locked)
        }
        "tags" => {
            let all = tags(value);
            Box::new(move |w| all.iter().all(|tag| w.tags.contains(tag)))
        }
        "tags-any" => {
            let any = tags(value);
            Box::new(move |w| any.iter().any(|tag| w.tags.contains(tag)))
        }
        "not-tags" => {
            let all = tags(value);
            Box::new(move |w| !all.iter().all(|tag| w.tags.contains(tag)))
        }
        "not-tags-any" => {
            let any = tags(value);
            Box::new(move |w| !any.iter().any(|tag| w.tags.contains(tag)))
        }
        "ip" | "ip6" => {
            let pattern = pattern(name, value)?;
            let six = name == "ip6";
            Box::new(move |w| {
                let addresses = w.ports.iter().flat_map(|port| &port.fixed_ips).map(|fixed| fixed.ip_address);
                addresses.filter(|ip| ip.is_ipv6() == six).any(|ip| pattern.is_match(&ip.to_string()))
            })
        }
        other => {
            let text = text_of(other);
            let pattern = pattern(name, value)?;
            match text {
                Some(text) => Box::new(move |w| pattern.is_match(&text(&w.server))),
                // What Nova does not know either: upstream drops it below the version that refuses it.
                None => Box::new(|_| true),
            }
        }
    })
}

/// A column as text, for patterns and for sorting.
fn text_of(name: &str) -> Option<fn(&Server) -> String> {
    Some(match name {
        "name" | "display_name" => |s| s.name.clone(),
        "description" | "display_description" => |s| s.description.clone().unwrap_or_default(),
        "hostname" => |s| s.hostname.clone(),
        "key_name" => |s| s.key_name.clone().unwrap_or_default(),
        "availability_zone" => |s| s.host_zone.clone().or_else(|| s.availability_zone.clone()).unwrap_or_default(),
        "reservation_id" => |s| s.reservation_id.clone(),
        "config_drive" => |s| if s.config_drive { "True".to_owned() } else { String::new() },
        "locked_by" => |s| s.locked_by.clone().unwrap_or_default(),
        "created_at" => |s| s.created_at.to_micros_naive(),
        "updated_at" => |s| s.updated_at.to_micros_naive(),
        "launched_at" => |s| s.launched_at.map(Timestamp::to_micros_naive).unwrap_or_default(),
        "terminated_at" => |s| s.terminated_at.map(Timestamp::to_micros_naive).unwrap_or_default(),
        "progress" => |s| s.progress.to_string(),
        "access_ip_v4" => |s| s.access_ip_v4.clone(),
        "access_ip_v6" => |s| s.access_ip_v6.clone(),
        "auto_disk_config" => |s| (if s.disk_config == "AUTO" { "True" } else { "False" }).to_owned(),
        "root_device_name" => |_| "/dev/vda".to_owned(),
        "kernel_id" | "ramdisk_id" => |_| String::new(),
        _ => return None,
    })
}

struct Key {
    of: fn(&Server) -> String,
    descending: bool,
}

/// The keys to sort by; empty for the default, newest first.
fn order(call: &Call, is_admin: bool) -> Result<Vec<Key>> {
    let directions: Vec<&str> = call.query().all("sort_dir").collect();
    if let Some(wrong) = directions.iter().find(|text| !matches!(**text, "asc" | "desc")) {
        return Err(Error::bad_request(format!("Unknown sort direction, must be one of: asc, desc, not {wrong}")));
    }
    let keys: Vec<&str> = call.query().all("sort_key").collect();
    let mut order = Vec::new();
    for (at, name) in keys.iter().enumerate() {
        let of: fn(&Server) -> String = match *name {
            "host" | "node" if !is_admin => {
                return Err(Error::Forbidden(format!("Only administrators can sort servers by {name}")));
            }
            "host" | "node" => |s| s.host.clone().unwrap_or_default(),
            "uuid" => |s| s.id.to_string(),
            "image_ref" => |s| s.image_id.map(|id| id.to_string()).unwrap_or_default(),
            "instance_type_id" => |s| s.flavor.id.to_string(),
            "launch_index" => |s| format!("{:010}", s.launch_index),
            "power_state" => |s| power_code(&s.power).to_string(),
            "project_id" => |s| s.project_id.to_string(),
            "user_id" => |s| s.user_id.to_string(),
            "task_state" => |s| s.task.map(Task::word).unwrap_or_default().to_owned(),
            "vm_state" => |s| s.state.word().to_owned(),
            "locked" if call.version() >= versions::SERVERS_BY_LOCK => |s| s.locked_by.is_some().to_string(),
            other => match text_of(other) {
                Some(of) => of,
                None if IGNORED_KEYS.contains(&other) && call.version() < versions::QUERIES_ARE_STRICT => continue,
                None => return Err(bad_query("sort_key", other, "is not one of the keys to sort by")),
            },
        };
        let direction = directions.get(at).or(directions.first()).copied().unwrap_or("desc");
        order.push(Key { of, descending: direction == "desc" });
    }
    if keys.is_empty() && directions.first() == Some(&"asc") {
        order.push(Key { of: |s| s.created_at.to_micros_naive(), descending: false });
    }
    Ok(order)
}

/// Keys that Nova once took and now takes no notice of.
const IGNORED_KEYS: &[&str] = &[
    "architecture",
    "cell_name",
    "cleaned",
    "default_ephemeral_device",
    "default_swap_device",
    "deleted",
    "deleted_at",
    "disable_terminate",
    "ephemeral_gb",
    "ephemeral_key_uuid",
    "id",
    "key_data",
    "launched_on",
    "locked",
    "memory_mb",
    "os_type",
    "reservation_id",
    "root_gb",
    "shutdown_terminate",
    "user_data",
    "vcpus",
    "vm_mode",
];

fn sort(found: &mut [Whole], order: &[Key]) {
    let Some(first) = order.first() else { return };
    found.sort_by(|a, b| {
        let directed = |ordering: Ordering, descending: bool| if descending { ordering.reverse() } else { ordering };
        order
            .iter()
            .map(|key| directed((key.of)(&a.server).cmp(&(key.of)(&b.server)), key.descending))
            .find(|ordering| ordering.is_ne())
            .unwrap_or_else(|| directed(a.server.id.cmp(&b.server.id), first.descending))
    });
}
