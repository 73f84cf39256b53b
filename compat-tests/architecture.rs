//! What the shape of the source promises: one direction of imports, versions in one place, a rule on every row.

use gapura::api;
use gapura::cloud::policy_rules;
use gapura::http::table::Access;
use regex::Regex;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// What each layer may use besides itself; `clock`, `error` and `ids` are everybody's.
const LAYERS: &[(&str, &[&str])] = &[
    ("http", &["metrics", "versioned"]),
    ("api", &["http", "cloud", "tasks", "store", "blobs", "audit", "keys", "metrics", "vault", "versioned"]),
    ("tasks", &["cloud", "store", "hypervisor", "fabric", "disks", "blobs", "vault"]),
    ("cloud", &[]),
    ("store", &["cloud", "args"]),
    ("hypervisor", &["certificate"]),
    ("fabric", &["hypervisor"]),
    ("disks", &["hypervisor"]),
    ("blobs", &[]),
    ("node", &["hypervisor", "fabric", "disks", "certificate", "key_files"]),
];

const EVERYBODYS: &[&str] = &["clock", "error", "ids"];

/// Every source file under `src`, with its path from there and its text without tests.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut for_tests = HashSet::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().display().to_string();
                let text = std::fs::read_to_string(&path).unwrap();
                for_tests.extend(test_modules(&text));
                if !is_test(&name) {
                    found.push((name, without_tests(&text)));
                }
            }
        }
    }
    found.retain(|(name, _)| {
        let stem = name.rsplit('/').next().and_then(|file| file.strip_suffix(".rs")).unwrap_or_default();
        !for_tests.contains(stem)
    });
    found.sort();
    assert!(found.len() > 50, "the sources were not found");
    found
}

fn is_test(name: &str) -> bool {
    let stem = name.rsplit('/').next().unwrap_or_default();
    stem == "testing.rs" || stem.ends_with("tests.rs") || name.contains("/tests/")
}

/// Files that another file includes for tests alone.
fn test_modules(text: &str) -> Vec<String> {
    let declared = Regex::new(r"#\[cfg\(test\)\]\n(?:#\[[^\n]*\]\n)*(?:pub(?:\([a-z]+\))? )?mod ([a-z_]+);").unwrap();
    declared.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

/// The text up to its module of tests, which stands last, and without comments.
fn without_tests(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end].lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn imports_go_one_way() {
    let names = Regex::new(r"\bcrate::(?:\{([^}]*)\}|([a-z_]+))").unwrap();
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let Some((layer, allowed)) = LAYERS.iter().find(|(layer, _)| file.starts_with(&format!("{layer}/"))) else {
            continue;
        };
        for found in names.captures_iter(&text) {
            let list = found.get(1).or(found.get(2)).unwrap().as_str();
            for used in list.split(',').map(|name| name.trim().split("::").next().unwrap_or_default()) {
                let is_allowed = used == *layer || allowed.contains(&used) || EVERYBODYS.contains(&used);
                if !used.is_empty() && !is_allowed {
                    wrong.push(format!("{file} ({layer}) uses {used}"));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn rules_are_pure() {
    let impure = Regex::new(r"\basync fn\b|\btokio::|\bstd::(fs|net::Tcp|process|thread)\b|Clock::System").unwrap();
    let wrong: Vec<String> = sources()
        .into_iter()
        .filter(|(file, _)| file.starts_with("cloud/"))
        .filter_map(|(file, text)| Some(format!("{file}: {}", impure.find(&text)?.as_str())))
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn sql_is_written_in_the_store_alone() {
    let sql = Regex::new(r#""\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM) "#).unwrap();
    let wrong: Vec<String> = sources()
        .into_iter()
        .filter(|(file, _)| !file.starts_with("store/"))
        // The health check asks the engine for nothing but a sign of life.
        .filter(|(file, _)| file != "api/root.rs")
        .filter_map(|(file, text)| Some(format!("{file}: {}", sql.find(&text)?.as_str())))
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
}

/// An operator stops at the first byte that differs, and its time tells where that is.
#[test]
fn cve_2014_3517_nothing_secret_is_compared_with_an_operator() {
    let secret = r"(secret|digest|hash|passcode|signature|password|hmac)(\.as_\w+\(\)|\(\))?";
    let compared = Regex::new(&format!(r"\b\w*{secret} (==|!=) [^0-9]|(==|!=) [&*]?(\w+\.)*{secret}\b")).unwrap();
    assert!(compared.is_match("if given == account.secret {") && compared.is_match("own_digest != theirs"));
    let found: Vec<String> = sources()
        .iter()
        .filter(|(name, _)| {
            name.starts_with("cloud/") || name.starts_with("api/identity/") || name.starts_with("store/")
        })
        .flat_map(|(name, text)| {
            text.lines()
                .filter(|line| compared.is_match(line))
                .map(|line| format!("{name}: {line}"))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn behaviour_by_version_has_a_name() {
    let bare = Regex::new(r"Microversion\(\d+\)|[^_]version(\(\))?(\.0)?\s*(<|>|<=|>=|==|!=)\s*\d").unwrap();
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        if !file.starts_with("api/") || matches!(file.as_str(), "api/compute/versions.rs" | "api/placement/versions.rs")
        {
            continue;
        }
        wrong.extend(bare.find_iter(&text).map(|found| format!("{file}: {}", found.as_str())));
    }
    assert_eq!(wrong, Vec::<String>::new(), "give the version a name in its service's versions.rs");
}

#[test]
fn every_row_has_a_rule_that_exists_or_is_public() {
    let rules: HashSet<&str> = policy_rules::all().map(|(name, _)| name).collect();
    let mut wrong = Vec::new();
    for (service, rows) in api::table() {
        for row in rows {
            let is_right = match row.access {
                Access::Public => true,
                Access::Rule(rule) => rules.contains(rule),
                Access::Undeclared => false,
            };
            if !is_right {
                wrong.push(format!("{} {}{} {:?}: {:?}", row.method, service.prefix, row.path, row.action, row.access));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_rule_that_is_asked_for_exists() {
    let rules: HashSet<&str> = policy_rules::all().map(|(name, _)| name).collect();
    let asked = Regex::new(r#"\.(?:allow|may|allow_on|may_on|reach_of)\(\s*"([^"]+)""#).unwrap();
    let mut wrong = Vec::new();
    for (file, text) in sources().into_iter().filter(|(file, _)| file.starts_with("api/")) {
        for found in asked.captures_iter(&text) {
            if !rules.contains(&found[1]) {
                wrong.push(format!("{file}: {}", &found[1]));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "a rule that isn't there holds for nobody");
}
