//! A cloud of a test's own: the real program as a child process, on a free port, with a state folder that goes with it.
//!
//! What it logs goes to a file, so that a test can wait for a line and look for what must not be there. It speaks plain
//! HTTP/1.0 by hand: one request, one connection, every byte visible.

use crate::database::Database;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Cloud {
    folder: tempfile::TempDir,
    pub database: Database,
    pub address: SocketAddr,
    environment: Vec<(String, String)>,
    process: Option<Child>,
}

impl Cloud {
    /// Settings for a cloud on the simulator, with passwords that are cheap to hash. Nothing runs yet.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::new(&folder.path().join("state"));
        let mut cloud = Self { folder, database, address: free_address(), environment: Vec::new(), process: None };
        if let Some(url) = cloud.database.url().map(str::to_owned) {
            cloud.set("DATABASE_URL", &url);
        }
        let state = cloud.state_dir().display().to_string();
        let listen = cloud.address.to_string();
        cloud.set("STATE_DIR", &state).set("LISTEN", &listen).set("HYPERVISOR", "simulated");
        cloud.set("IDENTITY__ARGON2__MEMORY", "64").set("IDENTITY__ARGON2__PASSES", "1");
        cloud
    }

    /// A ready cloud, serving.
    pub fn serving() -> Self {
        let mut cloud = Self::new();
        cloud.init();
        cloud.start();
        cloud
    }

    /// Sets a setting by its name in the environment, without `GAPURA_`.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        let name = format!("GAPURA_{name}");
        self.unset(&name);
        self.environment.push((name, value.to_owned()));
        self
    }

    /// Puts anything into the program's environment.
    pub fn variable(&mut self, name: &str, value: &str) {
        self.unset(name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    pub fn unset(&mut self, name: &str) {
        self.environment.retain(|(known, _)| known != name);
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gapura"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("GAPURA_")) {
            command.env_remove(name);
        }
        command.args(arguments).envs(self.environment.clone()).stdin(Stdio::null());
        command
    }

    /// Runs a command of the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub fn init(&self) {
        let output = self.run(&["init"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts serving and waits until it answers.
    pub fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        self.process = Some(self.command(&["serve"]).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let deadline = Instant::now() + PATIENCE;
        while !self.answers() {
            let ended = self.process.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "it does not serve:\n{}", self.log());
            pause();
        }
    }

    /// Says something to whoever asks. A connection alone does not tell: where the process before was killed just as it forked,
    /// its child listens for a moment in its place.
    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.address) else { return false };
        let asked = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.write_all(b"GET / HTTP/1.0\r\n\r\n"));
        asked.is_ok() && stream.read(&mut [0]).is_ok_and(|length| length > 0)
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it serves").id()
    }

    /// As a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Asks it to stop, as systemd does.
    pub fn ask_to_stop(&self) {
        signal("TERM", self.pid());
    }

    /// Waits for the process to end by itself.
    pub fn ended(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("it serves");
        eventually("the process ends", || process.try_wait().unwrap())
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The passwords that init made, of admin and demo.
    pub fn passwords(&self) -> (String, String) {
        let yaml: serde_yaml_ng::Value =
            serde_yaml_ng::from_str(&std::fs::read_to_string(self.state_dir().join("clouds.yaml")).unwrap()).unwrap();
        let of = |cloud: &str| yaml["clouds"][cloud]["auth"]["password"].as_str().unwrap().to_owned();
        (of("gapura"), of("gapura-demo"))
    }

    /// Logs the admin in, in the project admin.
    pub fn admin(&self) -> String {
        self.login("admin", &self.passwords().0, "admin")
    }

    pub fn login(&self, user: &str, password: &str, project: &str) -> String {
        let answer = self.try_login(user, password, project);
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.header("x-subject-token").unwrap().to_owned()
    }

    pub fn try_login(&self, user: &str, password: &str, project: &str) -> Answer {
        let domain = json!({"id": "default"});
        let user = json!({"name": user, "password": password, "domain": domain});
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        let scope = json!({"project": {"name": project, "domain": domain}});
        self.ask("POST", "/identity/v3/auth/tokens", "", &json!({"auth": {"identity": identity, "scope": scope}}))
    }

    pub fn get(&self, path: &str, token: &str) -> Answer {
        self.ask("GET", path, token, &Value::Null)
    }

    /// Sends JSON; `null` sends no body.
    pub fn ask(&self, method: &str, path: &str, token: &str, body: &Value) -> Answer {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.send(method, path, &[("X-Auth-Token", token), ("Content-Type", "application/json")], &bytes)
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = self.begin(method, path, headers, body.len());
        // Who refuses a request early may hang up before all of it is sent.
        let _ = stream.write_all(body);
        Answer::read(stream)
    }

    /// Sends a request's head, and leaves the body to the caller.
    pub fn begin(&self, method: &str, path: &str, headers: &[(&str, &str)], length: usize) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut head = format!("{method} {path} HTTP/1.0\r\nContent-Length: {length}\r\n");
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        stream
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.kill();
        // Networks outlive the process on purpose; after a test nobody comes back for them.
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/compat-tests/harness/sweep.sh");
        let id = self.database.text("SELECT id FROM cloud");
        let _ = Command::new(script).arg(self.state_dir()).args(id).output();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the program's last words:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads until the other side hangs up.
    pub fn read(mut stream: TcpStream) -> Self {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        let Some(end) = all.windows(4).position(|four| four == b"\r\n\r\n") else {
            panic!("no answer: {:?}", String::from_utf8_lossy(&all));
        };
        let head = String::from_utf8(all[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head, body: all[end + 4..].to_vec() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Asks until there is an answer, or patience ends.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "in vain: {what}");
        pause();
    }
}

/// A child process can't be awaited without looking again and again.
#[allow(clippy::disallowed_methods, reason = "a test's own thread, that nobody waits for")]
pub fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

pub fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().unwrap().success());
}

/// A port of loopback that nobody listens on.
pub fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
