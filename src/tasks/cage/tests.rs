use super::*;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::sync::OnceLock;
use tempfile::TempDir;

const BOUNDS: Bounds = Bounds { memory: 1 << 30, seconds: 20, file: 1 << 20 };

/// The two files that are given to a program.
struct Given(TempDir);

impl Given {
    /// `None` where there is no cage.
    fn new() -> Option<Self> {
        static THERE_IS: OnceLock<Result<(), String>> = OnceLock::new();
        if let Err(error) = THERE_IS.get_or_init(|| try_out().map_err(|error| error.to_string())) {
            eprintln!("SKIPPED: this host gives no cage: {error}");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("source"), "bytes").unwrap();
        std::fs::write(folder.path().join("result"), "").unwrap();
        Some(Self(folder))
    }

    fn source(&self) -> PathBuf {
        self.0.path().join("source")
    }

    fn result(&self) -> PathBuf {
        self.0.path().join("result")
    }

    fn caged(&self, bounds: Bounds) -> Command {
        caged(&self.source(), &self.result(), bounds).unwrap()
    }

    /// What a line of Python does in the cage.
    fn python(&self, line: &str) -> Output {
        self.caged(BOUNDS).args(["python3", "-c", line]).output().unwrap()
    }
}

/// The line works outside, and within the cage ends with these words.
fn is_refused_within(line: &str, words: &str) {
    let Some(given) = Given::new() else { return };
    let mut outside = Command::new("python3");
    let outside = outside.args(["-c", line]).current_dir(given.0.path()).output().unwrap();
    assert!(outside.status.success(), "outside: {}", String::from_utf8_lossy(&outside.stderr));
    let Some(given) = Given::new() else { return };
    let inside = given.python(line);
    let said = String::from_utf8_lossy(&inside.stderr).into_owned();
    assert!(!inside.status.success() && said.contains(words), "{line}: {}: {said}", inside.status);
}

/// A line that makes a call, and fails where there is no such call.
fn call(number: libc::c_long, arguments: &str) -> String {
    format!(
        "import ctypes, os; libc = ctypes.CDLL(None, use_errno=True); file = os.open('result', os.O_RDWR)
libc.syscall({number}, {arguments})
error = ctypes.get_errno()
if error == 38: raise OSError(error, os.strerror(error))"
    )
}

#[test]
fn within_the_cage_a_program_reads_its_source_and_no_file_beside_it() {
    let Some(given) = Given::new() else { return };
    let worked = given.python("open('result', 'w').write(open('/work/source').read())");
    assert!(worked.status.success(), "{}", String::from_utf8_lossy(&worked.stderr));
    assert_eq!(std::fs::read(given.result()).unwrap(), b"bytes");
    let beside = tempfile::NamedTempFile::new().unwrap();
    for path in ["/etc/passwd", beside.path().to_str().unwrap()] {
        is_refused_within(&format!("open('{path}').read()"), "No such file");
    }
    is_refused_within("import os; assert os.listdir('/proc')", "No such file");
}

#[test]
fn within_the_cage_a_program_makes_no_file_and_puts_nothing_in_the_place_of_its_result() {
    for line in [
        "open('source', 'w')",
        "open('another', 'w')",
        "os.remove('result')",
        "os.rename('source', 'result')",
        "os.symlink('/etc/passwd', 'link')",
        "os.link('result', 'link')",
        "os.mkfifo('pipe')",
        "os.mkdir('folder')",
    ] {
        is_refused_within(&format!("import os; {line}"), "Read-only file system");
    }
    let Some(given) = Given::new() else { return };
    for path in ["/usr/bin/mine", "/mine", "/dev/mine", "/dev/shm/mine", "/etc/mine"] {
        let written = given.python(&format!("open('{path}', 'w')"));
        assert!(!written.status.success() && !Path::new(path).exists(), "{path}");
    }
    assert_eq!(std::fs::read(given.source()).unwrap(), b"bytes");
}

#[test]
fn cve_2015_5162_within_the_cage_a_program_takes_no_more_room_than_its_result_may_be_long() {
    use std::os::unix::fs::MetadataExt;
    let Some(given) = Given::new() else { return };
    let fallocate =
        |mode: i32| call(libc::SYS_fallocate, &format!("file, {mode}, ctypes.c_long(0), ctypes.c_long(8 << 20)"));
    for refused in [libc::FALLOC_FL_KEEP_SIZE, libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE] {
        is_refused_within(&fallocate(refused), "Function not implemented");
    }
    is_refused_within("import os; os.setxattr('result', 'user.hidden', b'x' * 64)", "Function not implemented");
    let reserve = "ctypes.c_void_p(file), ctypes.c_ulong(0x40305828), bytes(48)";
    is_refused_within(&call(libc::SYS_ioctl, reserve), "Function not implemented");
    for line in [
        "import os; os.truncate('result', 2 << 20)",
        "open('result', 'wb').write(bytes(2 << 20))",
        "import os; os.posix_fallocate(os.open('result', os.O_RDWR), 0, 2 << 20)",
    ] {
        assert!(!given.python(line).status.success(), "{line}");
        let left = std::fs::metadata(given.result()).unwrap();
        assert!(left.len() <= BOUNDS.file && left.blocks() * 512 <= BOUNDS.file, "{line}: {left:?}");
    }
    assert_eq!(std::fs::read_dir(given.0.path()).unwrap().count(), 2, "and nothing beside it");
}

#[test]
fn within_the_cage_a_program_has_no_network_and_no_forbidden_call() {
    is_refused_within("import socket; socket.socket()", "Function not implemented");
    for number in [libc::SYS_ptrace, libc::SYS_unshare, libc::SYS_setns, libc::SYS_keyctl, libc::SYS_mount] {
        is_refused_within(&call(number, "-1, 0, 0, 0, 0"), "Function not implemented");
    }
    // Both flags a namespace's; outside the second is refused for other reasons.
    let new_user = libc::CLONE_NEWUSER | libc::CLONE_FS;
    is_refused_within(&call(libc::SYS_clone, &format!("{new_user}, 0, 0, 0, 0")), "Function not implemented");
}

#[test]
fn within_the_cage_a_program_has_threads_and_the_memory_of_one_process() {
    let Some(given) = Given::new() else { return };
    let worked = given.python("import threading; t = threading.Thread(target=print); t.start(); t.join()");
    assert!(worked.status.success(), "{}", String::from_utf8_lossy(&worked.stderr));
    is_refused_within("import os; os._exit(0) if os.fork() == 0 else os.wait()", "Function not implemented");
    is_refused_within("import subprocess; subprocess.run(['true'], check=True)", "Function not implemented");
    is_refused_within("import os; os.memfd_create('more')", "Function not implemented");
    let too_much = given.python("bytearray(1 << 30)");
    assert!(String::from_utf8_lossy(&too_much.stderr).contains("MemoryError"));
}

#[test]
fn cve_2015_5162_a_program_that_has_used_up_its_processor_time_is_ended_as_one_that_took_too_long() {
    let Some(given) = Given::new() else { return };
    let bounds = Bounds { seconds: 1, ..BOUNDS };
    let ended = given.caged(bounds).args(["sh", "-c", "while :; do :; done"]).output().unwrap();
    assert!(used_up(ended.status), "{}: {}", ended.status, String::from_utf8_lossy(&ended.stderr));
    let killed = std::os::unix::process::ExitStatusExt::from_raw(libc::SIGKILL);
    assert!(!used_up(killed), "that may be the kernel, short of memory");
}

#[test]
fn a_program_in_the_cage_dies_with_whoever_started_it() {
    let Some(given) = Given::new() else { return };
    let mut inner = given.caged(BOUNDS);
    inner.args(["sh", "-c", "echo begun > result; exec sleep 600"]);
    // A shell that starts the cage and waits, as Gapura does. The pipe ends once nobody is left who could write to it.
    let words: Vec<String> = [inner.get_program()]
        .into_iter()
        .chain(inner.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let script = format!("{} <&3 >&2 & echo; wait", words.join(" "));
    let filter = given.0.path().join("filter");
    io::copy(&mut filter_file().unwrap(), &mut File::create(&filter).unwrap()).unwrap();
    let mut parent = Command::new("bash")
        .args(["-c", &format!("exec 3<'{}'; {script}", filter.display())])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let mut last = parent.stderr.take().unwrap();
    while std::fs::metadata(given.result()).unwrap().len() == 0 {
        assert!(parent.try_wait().unwrap().is_none(), "it never began");
        std::thread::yield_now();
    }
    parent.kill().unwrap();
    parent.wait().unwrap();
    let (end, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || end.send(last.read_to_end(&mut Vec::new())));
    let within = std::time::Duration::from_secs(30);
    assert!(ended.recv_timeout(within).is_ok(), "the program outlives who started it");
}
