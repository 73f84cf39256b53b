//! `gapura serve` beside the API: TLS, shutdown, health, metrics, and the address it says it has.

use crate::cloud::{Answer, Cloud, eventually, is_root, signal};
use serde_json::{Value, json};
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A certificate of its own for 127.0.0.1; `None`, said loudly, without the tools.
fn certificate(folder: &Path) -> Option<(PathBuf, PathBuf)> {
    let has = |tool: &str| Command::new(tool).arg("--help").output().is_ok();
    if !has("openssl") || !has("curl") {
        eprintln!("SKIPPED: no openssl or no curl, so TLS is not tried");
        return None;
    }
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"])
        .args(["-subj", "/CN=gapura", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    Some((certificate, key))
}

#[test]
fn tls_answers_over_http_1_and_http_2_and_nothing_answers_without_it() {
    let mut cloud = Cloud::new();
    let Some((certificate, key)) = certificate(cloud.folder()) else { return };
    cloud.set("TLS__CERTIFICATE", certificate.to_str().unwrap()).set("TLS__KEY", key.to_str().unwrap());
    cloud.init();
    cloud.start();
    let fetch = |version: &str| {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "20", "--noproxy", "*", version, "--cacert"])
            .arg(&certificate)
            .args(["--write-out", "\n%{http_version} %{http_code}"])
            .arg(format!("https://{}/identity/v3", cloud.address))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let (first, second) = (fetch("--http1.1"), fetch("--http2"));
    assert!(first.ends_with("\n1.1 200") && second.ends_with("\n2 200"), "{first} {second}");
    assert!(first.contains(&format!("https://{}/identity/v3/", cloud.address)), "links say https: {first}");

    let mut plain = TcpStream::connect(cloud.address).unwrap();
    plain.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = std::io::Read::read_to_end(&mut plain, &mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&answer));

    let doctor = cloud.run(&["doctor"]);
    assert!(doctor.status.success(), "{}", String::from_utf8_lossy(&doctor.stdout));
}

#[test]
fn a_page_of_an_allowed_origin_may_call_and_another_may_not() {
    let mut cloud = Cloud::new();
    cloud.set("ALLOWED_ORIGINS", r#"["https://dashboard.example"]"#);
    cloud.init();
    cloud.start();
    let asks = |origin: &'static str| {
        [
            ("Origin", origin),
            ("Access-Control-Request-Method", "PUT"),
            ("Access-Control-Request-Headers", "x-auth-token"),
        ]
    };
    let path = "/image/v2/images/11111111-2222-4333-8444-555555555555/file";
    let own = "https://dashboard.example";
    let allowed = cloud.send("OPTIONS", path, &asks(own), b"");
    assert_eq!((allowed.status, allowed.header("access-control-allow-origin")), (200, Some(own)));
    assert_eq!(allowed.header("access-control-allow-headers"), Some("x-auth-token"));
    let refused = cloud.send("OPTIONS", path, &asks("https://evil.example"), b"");
    assert_eq!((refused.status == 200, refused.header("access-control-allow-origin")), (false, None));
    // What a script may read is said of every answer, refusals as well.
    let answer = cloud.send("GET", "/identity/v3", &[("Origin", own)], b"");
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some(own)));
    let unauthorized = cloud.send("PUT", path, &[("Origin", own)], b"");
    assert_eq!((unauthorized.status, unauthorized.header("access-control-allow-origin")), (401, Some(own)));
    let closed = cloud.send("GET", "/identity/v3", &[("Origin", "https://evil.example")], b"");
    assert_eq!(closed.header("access-control-allow-origin"), None);
}

#[test]
fn an_upload_under_way_finishes_after_sigterm_and_nobody_else_is_let_in() {
    let mut cloud = Cloud::serving();
    let token = cloud.admin();
    let body = json!({"name": "slow", "disk_format": "raw", "container_format": "bare"});
    let image = cloud.ask("POST", "/image/v2/images", &token, &body).json();
    let id = image["id"].as_str().unwrap();
    let bytes = vec![7; 200_000];
    let headers = [("X-Auth-Token", token.as_str()), ("Content-Type", "application/octet-stream")];
    let mut upload = cloud.begin("PUT", &format!("/image/v2/images/{id}/file"), &headers, bytes.len());
    upload.write_all(&bytes[..100_000]).unwrap();
    eventually("the upload is under way", || {
        let shown = cloud.get(&format!("/image/v2/images/{id}"), &token).json();
        (shown["status"] == "saving").then_some(())
    });

    cloud.ask_to_stop();
    eventually("the listener closes", || TcpStream::connect(cloud.address).is_err().then_some(()));
    upload.write_all(&bytes[100_000..]).unwrap();
    let answer = Answer::read(upload);
    assert_eq!(answer.status, 204, "{}", answer.text());
    let began = Instant::now();
    assert!(cloud.ended().success());
    assert!(began.elapsed() < Duration::from_secs(5), "nothing is left to wait for");

    cloud.start();
    let shown = cloud.get(&format!("/image/v2/images/{id}"), &token).json();
    assert_eq!((&shown["status"], &shown["size"]), (&json!("active"), &json!(200_000)));
}

#[test]
fn sigterm_ends_an_idle_program_at_once_though_clients_keep_connections_open() {
    let mut cloud = Cloud::serving();
    let mut idle = TcpStream::connect(cloud.address).unwrap();
    idle.write_all(b"GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut some = [0; 64];
    std::io::Read::read_exact(&mut idle, &mut some).unwrap();
    let began = Instant::now();
    cloud.ask_to_stop();
    assert!(cloud.ended().success());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn a_second_program_on_the_same_port_says_so_and_ends() {
    let cloud = Cloud::serving();
    let second = cloud.run(&["serve"]);
    assert!(!second.status.success());
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.lines().last().unwrap().starts_with("gapura: the address to listen on is not available"), "{said}");
    assert_eq!(cloud.get("/healthcheck", "").status, 200);
}

/// PostgreSQL for one test, which stops and starts it.
struct Postgres {
    folder: PathBuf,
    url: String,
    again: Option<Child>,
}

impl Postgres {
    fn start(parent: &Path) -> Option<Self> {
        std::fs::set_permissions(parent, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let folder = parent.join("postgres");
        let output = Self::control("start", &folder);
        if !output.status.success() {
            eprintln!("SKIPPED: no PostgreSQL is taken away: {}", String::from_utf8_lossy(&output.stderr));
            return None;
        }
        let url = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        Some(Self { folder, url, again: None })
    }

    fn control(verb: &str, folder: &Path) -> std::process::Output {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/compat-tests/harness/postgres.sh");
        Command::new(script).arg(verb).arg(folder).output().unwrap()
    }

    /// Ends the server and keeps its data. (A crash would lose some: this server does not sync.)
    fn leave(&self) {
        let file = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        let pid: u32 = file.lines().next().unwrap().parse().unwrap();
        signal("INT", pid);
        eventually("PostgreSQL ends", || (!Path::new(&format!("/proc/{pid}/exe")).exists()).then_some(()));
    }

    /// Starts the same server on the same port.
    fn restart(&mut self) {
        let line = std::fs::read_to_string(self.folder.join("data/postmaster.opts")).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
        if !is_root() {
            command = Command::new("env");
        }
        let log = std::fs::File::create(self.folder.join("again.log")).unwrap();
        let command = command.args(["sh", "-c", &format!("exec {line}")]).current_dir("/").stderr(log);
        self.again = Some(command.spawn().unwrap());
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut again) = self.again.take() {
            signal("QUIT", again.id());
            let _ = again.wait();
        }
        Self::control("stop", &self.folder);
    }
}

#[test]
fn the_healthcheck_is_503_while_the_database_is_gone_and_200_when_it_is_back() {
    let mut cloud = Cloud::new();
    let Some(mut postgres) = Postgres::start(cloud.folder()) else { return };
    let url = postgres.url.clone();
    cloud.set("DATABASE_URL", &url);
    cloud.init();
    cloud.start();
    let token = cloud.admin();
    let answer = cloud.get("/healthcheck", "");
    assert_eq!((answer.status, answer.text().as_str()), (200, "OK"));

    postgres.leave();
    let answer = cloud.get("/healthcheck", "");
    assert_eq!(answer.status, 503, "{}", answer.text());
    let answer = cloud.get("/identity/v3/users", &token);
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(!answer.text().contains(&url) && !answer.text().contains("os error"), "{}", answer.text());

    postgres.restart();
    eventually("the database is found again", || (cloud.get("/healthcheck", "").status == 200).then_some(()));
    assert_eq!(cloud.get("/identity/v3/users", &token).status, 200);
}

#[test]
fn metrics_are_what_prometheus_reads_and_name_no_path() {
    let cloud = Cloud::serving();
    let token = cloud.admin();
    cloud.get("/identity/v3/users", &token);
    cloud.get("/some/odd/path", "");
    // An answer is counted when it is given: the last one may not be in yet.
    let text = eventually("both are counted", || {
        let answer = cloud.get("/metrics", "");
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; version=0.0.4")));
        Some(answer.text()).filter(|text| text.contains(r#"{service="root",status="4xx"}"#))
    });
    let mut families = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            families.push(name.to_owned());
        } else if !line.starts_with("# HELP ") {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(families.iter().any(|family| series.starts_with(family.as_str())), "{line} has a type");
            assert!(!series.contains('{') || series.ends_with('}'), "{line}");
        }
    }
    assert!(
        families.contains(&"gapura_requests_total".to_owned())
            && families.contains(&"gapura_request_seconds".to_owned())
    );
    assert!(text.contains(r#"gapura_requests_total{service="identity",status="2xx"}"#), "{text}");
    assert!(!text.contains("odd") && !text.contains("users"), "{text}");
}

/// Every string in a document that is or holds a URL.
fn links(document: &Value, found: &mut Vec<String>) {
    match document {
        Value::String(text) if text.contains("://") => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| links(item, found)),
        Value::Object(fields) => fields.values().for_each(|value| links(value, found)),
        _ => {}
    }
}

#[test]
fn every_link_begins_with_the_public_url_whatever_host_a_client_names() {
    let mut cloud = Cloud::new();
    cloud.set("PUBLIC_URL", "https://cloud.example/api/");
    cloud.init();
    cloud.start();
    let yaml = std::fs::read_to_string(cloud.state_dir().join("clouds.yaml")).unwrap();
    assert!(yaml.contains("https://cloud.example/api/identity/v3"));
    let token = cloud.admin();
    let image = json!({"name": "empty", "disk_format": "raw", "container_format": "bare"});
    assert_eq!(cloud.ask("POST", "/image/v2/images", &token, &image).status, 201);
    let mut all = Vec::new();
    for path in [
        "/",
        "/identity",
        "/identity/v3",
        "/v3",
        "/identity/v3/auth/catalog",
        "/identity/v3/users",
        "/identity/v3/projects",
        "/identity/v3/roles",
        "/image",
        "/image/versions",
        "/image/v2/images?limit=1",
        "/compute",
        "/compute/v2.1/",
        "/compute/v2.1/flavors?limit=1",
        "/network",
        "/network/v2.0/",
        "/network/v2.0/networks?limit=1",
    ] {
        let forged = ["Host", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded"]
            .map(|name| (name, if name == "Forwarded" { "host=evil.example" } else { "evil.example" }));
        let headers: Vec<_> = forged.into_iter().chain([("X-Auth-Token", token.as_str())]).collect();
        let answer = cloud.send("GET", path, &headers, b"");
        assert!(answer.status < 400, "{path}: {} {}", answer.status, answer.text());
        let whole = format!("{}{}", answer.head, answer.text());
        assert!(!whole.contains("evil.example") && !whole.contains("127.0.0.1"), "{path}: {whole}");
        let before = all.len();
        links(&answer.json(), &mut all);
        assert!(all.len() > before || path.starts_with("/image/v2"), "{path} has links: {}", answer.text());
    }
    // Where the documentation is, is the same for every cloud.
    all.retain(|link| link != "http://docs.openstack.org/");
    let foreign: Vec<_> = all.iter().filter(|link| !link.starts_with("https://cloud.example/api/")).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}
