//! The table as OpenAPI 3.1: one document a service, with the versions between which each shape holds.
//!
//! Where a body changes between microversions it is a `oneOf` whose branches carry `x-openstack: {min-ver, max-ver}`, the
//! convention of OpenStack's own generated documents.

use super::microversion::Microversion;
use super::table::{Access, Row, Service};
use serde_json::{Map, Value, json};

/// The document of one service. Rows must belong to it.
pub fn document<'r, X: 'r>(service: &Service, rows: impl Iterator<Item = &'r Row<X>>) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for row in rows.filter(|row| row.is_built) {
        let path = if row.path.is_empty() { "/" } else { row.path };
        let operations = paths.entry(path.to_owned()).or_insert_with(|| json!({}));
        let method = row.method.as_str().to_lowercase();
        match (row.action, operations.get_mut(&method)) {
            (Some(_), Some(existing)) => {
                if let Some(actions) = existing["x-openstack"]["actions"].as_array_mut() {
                    actions.push(action(service, row));
                }
            }
            (Some(_), None) => {
                operations[&method] = json!({"x-openstack": {"actions": [action(service, row)]}});
            }
            // Another operation at other versions, where the path and method are the same.
            (None, Some(existing)) => match existing["x-openstack"]["others"].as_array_mut() {
                Some(others) => others.push(operation(service, row)),
                None => existing["x-openstack"]["others"] = json!([operation(service, row)]),
            },
            (None, None) => operations[&method] = operation(service, row),
        }
    }
    paths.sort_keys();
    json!({
        "openapi": "3.1.0",
        "info": {"title": format!("Gapura: {}", service.name), "version": version_of(service)},
        "servers": [{"url": service.prefix}],
        "paths": paths,
    })
}

fn version_of(service: &Service) -> String {
    service.axis.map_or_else(|| "-".to_owned(), |axis| axis.display(axis.max).to_string())
}

fn operation<X>(service: &Service, row: &Row<X>) -> Value {
    let mut operation = json!({ "x-openstack": availability(service, row) });
    let parameters: Vec<Value> = path_names(row.path)
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .chain(row.query.iter().map(|name| json!({"name": name, "in": "query", "schema": {"type": "string"}})))
        .collect();
    if !parameters.is_empty() {
        operation["parameters"] = json!(parameters);
    }
    if let Some(schema) = shapes(service, row, row.request, row.request_boundaries) {
        operation["requestBody"] = json!({"content": {"application/json": {"schema": schema}}});
    } else if row.streams {
        operation["requestBody"] = json!({"content": {"application/octet-stream": {}}});
    }
    operation["responses"] = match shapes(service, row, row.response, row.response_boundaries) {
        Some(schema) => json!({"2XX": {"description": "", "content": {"application/json": {"schema": schema}}}}),
        None => json!({"2XX": {"description": ""}}),
    };
    operation
}

fn action<X>(service: &Service, row: &Row<X>) -> Value {
    let mut described = operation(service, row);
    described["action"] = json!(row.action);
    described
}

fn availability<X>(service: &Service, row: &Row<X>) -> Value {
    let mut said = Map::new();
    if let Access::Rule(rule) = row.access {
        said.insert("policy".into(), json!(rule));
    }
    if let Some(axis) = service.axis {
        if row.lifetime.since > 0 {
            said.insert("min-ver".into(), json!(axis.display(Microversion(row.lifetime.since)).to_string()));
        }
        if let Some(until) = row.lifetime.until {
            said.insert("max-ver".into(), json!(axis.display(Microversion(until - 1)).to_string()));
        }
    }
    Value::Object(said)
}

/// A body's schema, or its schemas between the versions at which it changes.
fn shapes<X>(
    service: &Service,
    row: &Row<X>,
    schema: fn(Microversion) -> Option<Value>,
    boundaries: fn(&mut Vec<u16>),
) -> Option<Value> {
    let Some(axis) = service.axis else {
        return schema(Microversion::ANY);
    };
    let first = axis.min.0.max(row.lifetime.since);
    let end = row.lifetime.until.unwrap_or(axis.max.0 + 1);
    let mut starts = vec![first];
    boundaries(&mut starts);
    starts.retain(|version| (first..end).contains(version));
    starts.sort_unstable();
    starts.dedup();
    if let [only] = starts[..] {
        return schema(Microversion(only));
    }
    let branches: Vec<Value> = starts
        .iter()
        .enumerate()
        .filter_map(|(index, start)| {
            let last = starts.get(index + 1).map_or(end, |next| *next) - 1;
            let mut branch = schema(Microversion(*start))?;
            branch["x-openstack"] = json!({
                "min-ver": axis.display(Microversion(*start)).to_string(),
                "max-ver": axis.display(Microversion(last)).to_string(),
            });
            Some(branch)
        })
        .collect();
    (!branches.is_empty()).then(|| json!({"oneOf": branches, "x-openstack": {"discriminator": "microversion"}}))
}

/// The names in a path's braces.
pub fn path_names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}
