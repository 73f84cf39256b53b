//! The README's verifier of tokens, as it stands there, against a serving cloud.

use crate::cloud::Cloud;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// What the example is tried with: prints the roles, `ask`, or why it refuses.
const TRIAL: &str = r#"
import sys
token, keys, feed = (open(name).read() for name in sys.argv[1:])
try:
    claims = verify(token, json.loads(keys), json.loads(feed))
    print("ask" if claims is None else " ".join(claims["gapura_roles"]))
except Exception as error:
    print(type(error).__name__)
"#;

/// A Python that has what the example imports; `None`, said loudly, without one.
fn python() -> Option<String> {
    let own = std::env::var("PYTHON").ok();
    let candidates = own.into_iter().chain(["python3".to_owned()]);
    let has = |python: &String| {
        let tried = Command::new(python).args(["-c", "import cryptography"]).output();
        tried.is_ok_and(|output| output.status.success())
    };
    let found = candidates.into_iter().find(has);
    if found.is_none() {
        eprintln!("SKIPPED: no python3 with the library cryptography, so the README's verifier is not tried");
    }
    found
}

fn example() -> String {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let from = readme.find("## Verifying tokens without a call").expect("the README has the section");
    let (_, code) = readme[from..].split_once("```python\n").unwrap();
    code.split_once("```").unwrap().0.to_owned()
}

struct Verifier {
    python: String,
    folder: tempfile::TempDir,
}

impl Verifier {
    fn of(&self, cloud: &Cloud, token: &str, reader: &str) -> String {
        let at = |name: &str| self.folder.path().join(name);
        std::fs::write(at("verifier.py"), example() + TRIAL).unwrap();
        std::fs::write(at("token"), token).unwrap();
        std::fs::write(at("keys"), cloud.get("/identity/jwks.json", "").text()).unwrap();
        std::fs::write(at("feed"), cloud.get("/identity/revocations.json", reader).text()).unwrap();
        let arguments = ["verifier.py", "token", "keys", "feed"].map(at);
        let output = Command::new(&self.python).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

#[test]
fn the_readmes_verifier_takes_good_tokens_asks_about_changed_ones_and_refuses_the_rest() {
    let Some(python) = python() else { return };
    let verifier = Verifier { python, folder: tempfile::tempdir().unwrap() };
    let cloud = Cloud::serving();
    let admin = cloud.admin();
    let (_, demo) = cloud.passwords();
    let token = cloud.login("demo", &demo, "demo");
    assert_eq!(verifier.of(&cloud, &token, &admin), "member reader");

    let parts: Vec<&str> = token.split('.').collect();
    let other = cloud.login("demo", &demo, "demo");
    let mixed = format!("{}.{}.{}", parts[0], parts[1], other.rsplit('.').next().unwrap());
    assert_eq!(verifier.of(&cloud, &mixed, &admin), "InvalidSignature");

    let headers = [("X-Auth-Token", admin.as_str()), ("X-Subject-Token", other.as_str())];
    assert_eq!(cloud.send("DELETE", "/identity/v3/auth/tokens", &headers, b"").status, 204);
    assert_eq!(verifier.of(&cloud, &other, &admin), "PermissionError");

    let id = |path: &str, key: &str| -> String {
        let found: Value = cloud.get(path, &admin).json();
        found[key][0]["id"].as_str().unwrap().to_owned()
    };
    let (project, user) =
        (id("/identity/v3/projects?name=demo", "projects"), id("/identity/v3/users?name=demo", "users"));
    let (member, reader) =
        (id("/identity/v3/roles?name=member", "roles"), id("/identity/v3/roles?name=reader", "roles"));
    let grant = |role: &str| format!("/identity/v3/projects/{project}/users/{user}/roles/{role}");
    assert_eq!(cloud.ask("PUT", &grant(&reader), &admin, &json!(null)).status, 204);
    assert_eq!(cloud.ask("DELETE", &grant(&member), &admin, &json!(null)).status, 204);
    assert_eq!(verifier.of(&cloud, &token, &admin), "ask");
    assert_eq!(verifier.of(&cloud, &cloud.login("demo", &demo, "demo"), &admin), "reader");
}
