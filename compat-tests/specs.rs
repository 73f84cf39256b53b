//! `api-specs/` says what the program serves, and all of it; `etc/policy.yaml` says who may.

use crate::in_process::Cloud;
use gapura::api;
use gapura::cloud::policy_rules;
use gapura::http::microversion::Microversion;
use gapura::http::table::Access;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("api-specs")
}

#[test]
fn the_documents_are_what_gapura_spec_writes() {
    for (name, text) in gapura::spec::documents() {
        let kept = std::fs::read_to_string(folder().join(name)).unwrap_or_default();
        assert!(kept == text, "api-specs/{name} is not what the program serves: run `gapura spec`");
    }
}

fn policy_file() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/policy.yaml")).unwrap_or_default()
}

#[test]
fn the_policy_file_is_what_gapura_policy_writes() {
    assert!(policy_file() == gapura::spec::policy::file(), "etc/policy.yaml is not the program's: run `make spec`");
}

#[test]
fn the_policy_file_changes_nothing_as_it_is_and_says_each_default_once_its_mark_is_removed() {
    let as_it_is: Option<Map<String, Value>> = serde_yaml_ng::from_str(&policy_file()).unwrap();
    assert_eq!(as_it_is, None);
    let unmarked = policy_file().replace("\n#\"", "\n\"");
    let said: BTreeMap<String, String> = serde_yaml_ng::from_str(&unmarked).unwrap();
    let table = policy_rules::all().map(|(name, check)| (name.to_owned(), check.to_owned()));
    assert_eq!(said, table.collect::<BTreeMap<_, _>>());
}

#[test]
fn no_document_is_left_of_a_service_that_is_not_served() {
    let written: Vec<&str> = gapura::spec::documents().into_iter().map(|(name, _)| name).collect();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.ends_with(".json") || written.contains(&name.as_str()), "{name} is nobody's");
    }
}

#[test]
fn every_operation_says_who_may_call_it_and_where_its_parameters_are() {
    for (name, text) in gapura::spec::documents() {
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                assert!(operation["x-openstack"].is_object(), "{name}: {method} {path}");
                let named = operation["parameters"].as_array().cloned().unwrap_or_default();
                let in_path = named.iter().filter(|parameter| parameter["in"] == "path").count();
                let is_action = operation["x-openstack"].get("actions").is_some();
                assert!(is_action || in_path == path.matches('{').count(), "{name}: {method} {path}");
            }
        }
    }
}

/// What a document says of a row: the operation of its path and method, of its action, or of its versions.
fn described<'d>(document: &'d Value, row: &api::Row, first: Option<&str>) -> Option<&'d Value> {
    let path = if row.path.is_empty() { "/" } else { row.path };
    let operation = &document["paths"][path][row.method.as_str().to_lowercase()];
    if let Some(action) = row.action {
        return operation["x-openstack"]["actions"].as_array()?.iter().find(|one| one["action"] == action);
    }
    let others = operation["x-openstack"]["others"].as_array().into_iter().flatten();
    std::iter::once(operation).chain(others).find(|one| one["x-openstack"]["min-ver"].as_str() == first)
}

#[tokio::test]
async fn every_service_answers_its_document_which_says_of_each_row_who_may_and_at_which_versions() {
    let cloud = Cloud::new().await;
    let written = gapura::spec::documents();
    for (service, rows) in api::table() {
        let Some((_, file)) = api::openapi::DOCUMENTS.iter().find(|(name, _)| *name == service.name) else { continue };
        let reply = cloud.stranger().get(&format!("/{}/openapi.json", service.name)).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
        let (_, text) = written.iter().find(|(name, _)| name == file).unwrap();
        assert_eq!(&reply.text(), text, "{file} is what is served");
        let document = reply.json();
        for row in rows.iter().filter(|row| row.is_built) {
            let version = |number: u16| service.axis.map(|axis| axis.display(Microversion(number)).to_string());
            let first = if row.lifetime.since > 0 { version(row.lifetime.since) } else { None };
            let last = row.lifetime.until.and_then(|until| version(until - 1));
            let said = described(&document, row, first.as_deref());
            let said = &said.unwrap_or_else(|| panic!("{} {} is not in {file}", row.method, row.path))["x-openstack"];
            assert_eq!(said["min-ver"].as_str(), first.as_deref(), "{} {}", row.method, row.path);
            assert_eq!(said["max-ver"].as_str(), last.as_deref(), "{} {}", row.method, row.path);
            if let Access::Rule(rule) = row.access {
                assert_eq!(said["policy"], rule, "{} {}", row.method, row.path);
            }
        }
    }
}
