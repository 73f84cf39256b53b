//! `api-specs/` says what the program serves, and all of it; `etc/policy.yaml` says who may.

use gapura::cloud::policy_rules;
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
