//! The `gapura` command as an operator uses it: settings, `init`, `keys rotate`, and what its log never shows.

use crate::cloud::{Cloud, eventually};
use serde_json::json;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn refusal(cloud: &Cloud, arguments: &[&str]) -> String {
    let output = cloud.run(arguments);
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn an_unknown_setting_in_the_file_or_the_environment_names_the_nearest() {
    let mut cloud = Cloud::new();
    let file = cloud.folder().join("gapura.toml");
    std::fs::write(&file, "[compute]\nacelerator = \"kvm\"\n").unwrap();
    assert_eq!(
        refusal(&cloud, &["serve", "--config", file.to_str().unwrap()]),
        "gapura: there is no setting compute.acelerator; did you mean compute.accelerator?\n"
    );
    cloud.set("PUBLIC_URI", "http://x");
    assert_eq!(
        refusal(&cloud, &["init"]),
        "gapura: there is no setting GAPURA_PUBLIC_URI; did you mean GAPURA_PUBLIC_URL?\n"
    );
    assert!(!cloud.state_dir().exists(), "nothing is made by a command that is refused");
}

#[test]
fn the_environment_wins_over_the_file() {
    let mut cloud = Cloud::new();
    let file = cloud.folder().join("gapura.toml");
    std::fs::write(&file, "region = \"FromFile\"\n").unwrap();
    cloud.set("REGION", "FromEnvironment");
    assert!(cloud.run(&["init", "--config", file.to_str().unwrap()]).status.success());
    let yaml = std::fs::read_to_string(cloud.state_dir().join("clouds.yaml")).unwrap();
    assert!(yaml.contains("FromEnvironment") && !yaml.contains("FromFile"));
}

#[test]
fn a_rule_of_the_operator_s_policy_file_takes_the_place_of_its_default() {
    let mut cloud = Cloud::new();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/policy.yaml");
    let (file, defaults) = (cloud.folder().join("policy.yaml"), std::fs::read_to_string(kept).unwrap());
    cloud.set("POLICY_FILE", file.to_str().unwrap());
    let mut statuses = |text: &str| {
        std::fs::write(&file, text).unwrap();
        cloud.init();
        cloud.start();
        let (admin, demo) = cloud.passwords();
        let (admin, demo) = (cloud.login("admin", &admin, "admin"), cloud.login("demo", &demo, "demo"));
        let found = [&admin, &demo].map(|token| cloud.get("/compute/v2.1/flavors/detail", token).status);
        cloud.kill();
        found
    };
    assert_eq!(statuses(&defaults), [200, 200]);
    assert!(defaults.contains("\n#\"os_compute_api:flavors\": \"@\""));
    assert_eq!(statuses(&format!("{defaults}\n\"os_compute_api:flavors\": \"rule:context_is_admin\"\n")), [200, 403]);

    std::fs::write(&file, "\"os_compute_api:flavors\": \"role:admin or\"\n").unwrap();
    assert!(refusal(&cloud, &["serve"]).contains("policy rule \"os_compute_api:flavors\": it ends too early"));
}

/// What init makes.
const COLLECTIONS: [(&str, &str); 11] = [
    ("/identity/v3/domains", "domains"),
    ("/identity/v3/projects", "projects"),
    ("/identity/v3/users", "users"),
    ("/identity/v3/roles", "roles"),
    ("/identity/v3/services", "services"),
    ("/identity/v3/endpoints", "endpoints"),
    ("/identity/v3/regions", "regions"),
    ("/network/v2.0/networks", "networks"),
    ("/network/v2.0/subnets", "subnets"),
    ("/compute/v2.1/flavors", "flavors"),
    ("/image/v2/images", "images"),
];

/// An image for init to register, where there is qemu-img to make one.
fn with_image(cloud: &mut Cloud) {
    let image = cloud.folder().join("empty.qcow2");
    let mut command = std::process::Command::new("qemu-img");
    match command.args(["create", "-q", "-f", "qcow2"]).arg(&image).arg("1M").status() {
        Ok(status) if status.success() => drop(cloud.set("INIT__IMAGE", image.to_str().unwrap())),
        _ => eprintln!("SKIPPED: no qemu-img, so init registers no image here"),
    }
}

/// All of it, without ids and times.
fn inventory(cloud: &Cloud) -> Vec<String> {
    let token = cloud.admin();
    let mut found = Vec::new();
    for (path, collection) in COLLECTIONS {
        let answer = cloud.get(path, &token);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let items = answer.json()[collection].as_array().unwrap().clone();
        assert!(!items.is_empty() || collection == "images", "{path} is empty");
        for item in items {
            let name = ["name", "url", "id"].iter().find_map(|key| item[*key].as_str()).unwrap_or_default().to_owned();
            let name = name.replace(&cloud.address.to_string(), "HERE");
            found.push(format!("{collection} {name} {} {}", item["interface"], item["status"]));
        }
    }
    let assignments = cloud.get("/identity/v3/role_assignments", &token).json();
    found.push(format!("{} role assignments", assignments["role_assignments"].as_array().unwrap().len()));
    found.sort();
    found
}

#[test]
fn init_twice_keeps_the_passwords_and_makes_one_of_everything() {
    let mut cloud = Cloud::new();
    with_image(&mut cloud);
    cloud.init();
    cloud.start();
    let (passwords, once) = (cloud.passwords(), inventory(&cloud));
    cloud.init();
    assert_eq!(cloud.passwords(), passwords);
    assert_eq!(inventory(&cloud), once, "while it serves, too");
    cloud.kill();
    cloud.init();
    cloud.start();
    assert_eq!(cloud.passwords(), passwords);
    assert_eq!(inventory(&cloud), once);
    let mut unique = once.clone();
    unique.dedup();
    assert_eq!(unique, once, "one of everything");
    cloud.login("demo", &passwords.1, "demo");
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the moment of the kill is what is tried")]
fn init_killed_at_any_moment_and_repeated_makes_the_same_cloud() {
    let mut whole = Cloud::new();
    with_image(&mut whole);
    let began = Instant::now();
    whole.init();
    let takes = began.elapsed();
    whole.start();
    let wished = inventory(&whole);
    const MOMENTS: u32 = 12;
    for moment in 0..MOMENTS {
        let mut cloud = Cloud::new();
        with_image(&mut cloud);
        let mut process = cloud.command(&["init"]).stdout(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(takes * moment / MOMENTS);
        process.kill().unwrap();
        process.wait().unwrap();
        let known = cloud.state_dir().join("clouds.yaml").exists().then(|| cloud.passwords());
        cloud.init();
        if let Some(known) = known {
            assert_eq!(cloud.passwords(), known, "what was written down was kept");
        }
        cloud.start();
        assert_eq!(inventory(&cloud), wished, "killed after {:?}", takes * moment / MOMENTS);
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn files_with_secrets_are_readable_by_their_owner_alone() {
    let mut cloud = Cloud::serving();
    cloud.admin();
    assert!(cloud.run(&["keys", "rotate"]).status.success());
    let state = cloud.state_dir();
    assert_eq!(std::fs::metadata(&state).unwrap().mode() & 0o777, 0o700);
    let found = files(&state);
    let database = cloud.database.url().is_none().then_some("gapura.db");
    for name in ["clouds.yaml", "openrc"].into_iter().chain(database) {
        assert!(found.contains(&state.join(name)), "{name} is there");
    }
    assert_eq!(found.iter().filter(|path| path.starts_with(state.join("keys"))).count(), 2);
    for path in found {
        let mode = std::fs::metadata(&path).unwrap().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} is {mode:o}", path.display());
    }
    cloud.kill();
}

#[test]
fn no_password_and_no_token_reaches_the_log() {
    let mut cloud = Cloud::new();
    cloud.set("LOG__FILTER", "debug");
    let init = cloud.run(&["init"]);
    cloud.start();
    let (admin, demo) = cloud.passwords();
    let mut secrets = vec![admin.clone(), demo.clone()];
    let token = cloud.admin();
    secrets.push(token.clone());
    // A token is known by its signature, too.
    secrets.push(token.rsplit('.').next().unwrap().to_owned());

    secrets.push("a-wrong-password".to_owned());
    assert_eq!(cloud.try_login("admin", "a-wrong-password", "admin").status, 401);
    secrets.push("password-of-nobody".to_owned());
    assert_eq!(cloud.try_login("nobody", "password-of-nobody", "admin").status, 401);
    secrets.push("eyJhbGciOi.a-made-up-token.x".to_owned());
    assert_eq!(cloud.get("/identity/v3/users", "eyJhbGciOi.a-made-up-token.x").status, 401);

    secrets.push("password-in-malformed-json".to_owned());
    let malformed = br#"{"auth": {"identity": {"methods": ["password"], "password": "password-in-malformed-json"#;
    let json = [("Content-Type", "application/json"), ("X-Auth-Token", token.as_str())];
    assert_eq!(cloud.send("POST", "/identity/v3/auth/tokens", &json, malformed).status, 400);
    secrets.push("password-of-wrong-type".to_owned());
    let wrong = json!({"auth": {"identity": {"methods": ["password"], "password": "password-of-wrong-type"}}});
    assert_eq!(cloud.ask("POST", "/identity/v3/auth/tokens", "", &wrong).status, 400);

    secrets.push("password-of-alice".to_owned());
    let alice = json!({"user": {"name": "alice", "password": "password-of-alice"}});
    let made = cloud.ask("POST", "/identity/v3/users", &token, &alice);
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(cloud.ask("POST", "/identity/v3/users", &token, &alice).status, 409);
    let user = made.json()["user"]["id"].as_str().unwrap().to_owned();
    secrets.push("new-password-of-alice".to_owned());
    let change = json!({"user": {"password": "new-password-of-alice", "original_password": "password-of-alice"}});
    assert_eq!(cloud.ask("POST", &format!("/identity/v3/users/{user}/password"), "", &change).status, 204);
    secrets.push("password-with-a-null".to_owned());
    let null = json!({"user": {"name": "bob", "password": {"x": "password-with-a-null"}}});
    assert_eq!(cloud.ask("POST", "/identity/v3/users", &token, &null).status, 400);

    let me =
        cloud.send("GET", "/identity/v3/auth/tokens", &[("X-Auth-Token", &token), ("X-Subject-Token", &token)], b"");
    assert_eq!(me.status, 200);
    let id = me.json()["token"]["user"]["id"].as_str().unwrap().to_owned();
    let path = format!("/identity/v3/users/{id}/application_credentials");
    let made = cloud.ask("POST", &path, &token, &json!({"application_credential": {"name": "ci"}}));
    assert_eq!(made.status, 201, "{}", made.text());
    let credential = &made.json()["application_credential"];
    let secret = credential["secret"].as_str().unwrap().to_owned();
    let login = json!({"auth": {"identity": {"methods": ["application_credential"],
        "application_credential": {"id": credential["id"], "secret": secret}}}});
    let answer = cloud.ask("POST", "/identity/v3/auth/tokens", "", &login);
    assert_eq!(answer.status, 201, "{}", answer.text());
    secrets.push(secret);
    secrets.push(answer.header("x-subject-token").unwrap().to_owned());
    secrets.push("a-secret-in-the-query".to_owned());
    cloud.get("/identity/v3/users?password=a-secret-in-the-query", &token);
    let revoked = [("X-Auth-Token", token.as_str()), ("X-Subject-Token", token.as_str())];
    assert_eq!(cloud.send("DELETE", "/identity/v3/auth/tokens", &revoked, b"").status, 204);

    cloud.ask_to_stop();
    assert!(cloud.ended().success());
    let log = format!(
        "{}{}{}",
        cloud.log(),
        String::from_utf8(init.stderr).unwrap(),
        String::from_utf8(init.stdout).unwrap()
    );
    assert!(log.contains("/identity/v3/auth/tokens"), "the log is one:\n{log}");
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret} is in the log");
    }
}

/// The key a token names.
fn kid(token: &str) -> String {
    gapura::cloud::token::kid_of(token).unwrap()
}

#[test]
fn rotated_keys_sign_new_tokens_while_old_tokens_stay_valid() {
    let cloud = Cloud::serving();
    let old = cloud.admin();
    let said = String::from_utf8(cloud.run(&["keys", "rotate"]).stdout).unwrap();
    let new_kid = said.split(' ').nth(4).unwrap().to_owned();
    assert_ne!(kid(&old), new_kid);
    let began = Instant::now();
    let new = eventually("a token of the new key", || Some(cloud.admin()).filter(|token| kid(token) == new_kid));
    assert!(began.elapsed() < Duration::from_secs(10));
    for token in [&old, &new] {
        assert_eq!(cloud.get("/identity/v3/users", token).status, 200);
    }
}

#[test]
fn listening_to_other_machines_without_tls_is_refused() {
    let mut cloud = Cloud::new();
    let listen = format!("0.0.0.0:{}", cloud.address.port());
    cloud.set("LISTEN", &listen);
    let said = refusal(&cloud, &["serve"]);
    assert!(said.contains("tls.certificate") && said.contains("insecure_listen"), "{said}");
    cloud.set("TLS__CERTIFICATE", "/nowhere/cert.pem").set("TLS__KEY", "/nowhere/key.pem");
    let said = refusal(&cloud, &["serve"]);
    assert!(said.contains("/nowhere/cert.pem"), "{said}");
}

#[test]
fn a_state_directory_that_can_t_be_made_is_said_in_a_sentence() {
    let mut cloud = Cloud::new();
    cloud.set("STATE_DIR", "/proc/gapura");
    let said = refusal(&cloud, &["init"]);
    assert!(said.starts_with("gapura: can't make the state directory /proc/gapura"), "{said}");
}

#[test]
fn images_are_verified_byte_by_byte_and_orphans_are_not_deleted_on_a_guess() {
    let mut cloud = Cloud::new();
    with_image(&mut cloud);
    assert!(cloud.run(&["init"]).status.success());
    let folder = cloud.state_dir().join("images");
    let Some(blob) = std::fs::read_dir(&folder).unwrap().next() else {
        return eprintln!("SKIPPED: there is no image to verify");
    };
    let blob = blob.unwrap().path();
    let verified = cloud.run(&["images", "verify"]);
    let said = String::from_utf8(verified.stdout).unwrap();
    assert!(verified.status.success() && said.contains("of 1 blobs; 0 are not what they were"), "{said}");

    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[1 << 10] ^= 1;
    std::fs::write(&blob, &bytes).unwrap();
    let verified = cloud.run(&["images", "verify"]);
    let said = String::from_utf8(verified.stdout).unwrap();
    assert!(!verified.status.success() && said.contains("has other bytes than it was given"), "{said}");

    // As old as can be, and named by no row: what is known is deleted around, what is unknown as a whole is not.
    let orphan = folder.join("0a0a0a0a-0000-4000-8000-000000000001");
    std::fs::write(&orphan, "nobody's").unwrap();
    let long_ago = std::time::UNIX_EPOCH + Duration::from_secs(1);
    std::fs::File::options().write(true).open(&orphan).unwrap().set_modified(long_ago).unwrap();
    let swept = cloud.run(&["images", "gc"]);
    let said = String::from_utf8(swept.stdout).unwrap();
    assert!(swept.status.success() && said.starts_with("deleted 1 orphans"), "{said}");
    assert!(!orphan.exists() && blob.exists());

    cloud.set("DATABASE_URL", &format!("sqlite:{}", cloud.folder().join("empty.db").display()));
    std::fs::File::options().write(true).open(&blob).unwrap().set_modified(long_ago).unwrap();
    let refused = cloud.run(&["images", "gc"]);
    assert!(!refused.status.success() && blob.exists(), "an empty database costs no image its bytes");
}
