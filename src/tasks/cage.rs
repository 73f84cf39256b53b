//! A cage for programs that read what strangers sent.
//!
//! Three walls, by three programs and the kernel: `prlimit` bounds memory, time, files and output; `bwrap` (bubblewrap) gives
//! namespaces of its own, so a network without interfaces, no other process to see, and of all files the system's programs,
//! not to be written, and one folder; a filter refuses calls that no converter has a use for and that break-outs begin with.
//! The filter lists what is refused, not what is allowed: what `qemu-img` and the C library call changes with each version,
//! and a conversion that fails on the next one would be switched off, cage and all. What is refused answers "no such call",
//! since the C library then takes the older way it knows (as from `clone3`, whose flags can't be looked at, to `clone`).
//!
//! The program dies with whoever started it: a killed Gapura leaves no converter behind.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Output, Stdio};

/// Where the one folder is, for who is inside.
pub const FOLDER: &str = "/work";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What the outer of two programs in a row adds to the number of the signal that ended the inner one.
const ENDED_BY: i32 = 128;

/// How much the program may use.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub memory: u64,
    pub seconds: u64,
    /// The largest file it writes.
    pub file: u64,
}

/// A command that runs what is added to it within the cage, in this folder. Its standard input is taken.
///
/// # Errors
/// When the filter can't be made.
pub fn caged(folder: &Path, bounds: Bounds) -> io::Result<Command> {
    // The second bound on processor time is never reached: the signal of the first one says what was used up.
    let (first, second) = (bounds.seconds.max(1), bounds.seconds.saturating_add(2));
    let mut command = Command::new("prlimit");
    command
        .arg(format!("--as={}", bounds.memory))
        .arg(format!("--cpu={first}:{second}"))
        .arg(format!("--fsize={}", bounds.file))
        .args(["--nofile=64", "--core=0", "--", "bwrap", "--unshare-all", "--die-with-parent", "--new-session"])
        .args(["--cap-drop", "ALL", "--ro-bind", "/usr", "/usr"]);
    for name in ["bin", "sbin", "lib", "lib64"] {
        let (place, behind) = (format!("/{name}"), format!("usr/{name}"));
        let is_link = std::fs::symlink_metadata(&place).is_ok_and(|found| found.is_symlink());
        // Where these are not one with /usr yet, they hold the same kind of things.
        let args = if is_link { ["--symlink", &behind, &place] } else { ["--ro-bind-try", &place, &place] };
        command.args(args);
    }
    command
        .args(["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache", "--dev", "/dev"])
        .arg("--bind")
        .arg(folder)
        // Read and closed by bwrap; nothing inside has an input.
        .args([FOLDER, "--chdir", FOLDER, "--seccomp", "0", "--"])
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .stdin(filter_file()?)
        .stdout(Stdio::null());
    Ok(command)
}

/// Was the program ended because its processor time was over? Several threads use it up before the clock does.
pub fn used_up(status: ExitStatus) -> bool {
    was_ended_by(status, libc::SIGXCPU)
}

/// Was it ended because a file became too long?
pub fn wrote_too_much(status: ExitStatus) -> bool {
    was_ended_by(status, libc::SIGXFSZ)
}

fn was_ended_by(status: ExitStatus, signal: i32) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.signal() == Some(signal) || status.code() == Some(ENDED_BY + signal)
}

/// Do the program's last words say that there is no cage, rather than what went wrong within it?
pub fn is_missing(status: ExitStatus, complaint: &str) -> bool {
    matches!(status.code(), Some(126 | 127)) || complaint.starts_with("bwrap:") || complaint.starts_with("prlimit:")
}

/// Can this host give the cage? Its own words where it can't.
///
/// # Errors
/// `NotFound` when one of the programs is missing.
pub fn try_out() -> io::Result<()> {
    let bounds = Bounds { memory: 1 << 30, seconds: 10, file: 1 << 20 };
    let Output { status, stderr, .. } =
        caged(&std::env::temp_dir(), bounds)?.args(["qemu-img", "--version"]).output()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&stderr).trim().to_owned()))
}

/// What no converter needs: a way out, other programs, the kernel's insides.
const REFUSED: &[libc::c_long] = &[
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_process_madvise,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    // Its flags lie in memory, where a filter can't look.
    libc::SYS_clone3,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_quotactl,
    libc::SYS_nfsservctl,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_personality,
    libc::SYS_mbind,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_lookup_dcookie,
    libc::SYS_vhangup,
];

/// Old calls under their other numbers, on the machines that have them.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[libc::c_long] = &[
    libc::SYS_kexec_file_load,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    // x32's own numbers of ptrace, kexec_load and process_vm_*.
    521,
    528,
    539,
    540,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[libc::c_long] = &[];

/// Calls of the x32 machine, which a kernel of x86_64 may serve as well, have this bit on top.
#[cfg(target_arch = "x86_64")]
const OTHER_NUMBERS: &[libc::c_long] = &[0, 0x4000_0000];
#[cfg(not(target_arch = "x86_64"))]
const OTHER_NUMBERS: &[libc::c_long] = &[0];

/// Namespaces that `clone` could make.
const NAMESPACES: libc::c_int = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;

/// The filter as the kernel reads it. Another machine's numbers of calls end the program.
fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for &bit in OTHER_NUMBERS {
        for &call in REFUSED.iter().chain(REFUSED_HERE) {
            rules.insert(call | bit, Vec::new());
        }
        let mut makes_one = Vec::new();
        for flag in (0..31).map(|shift| 1_u64 << shift).filter(|flag| NAMESPACES as u64 & flag != 0) {
            let is_set = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(flag), flag)?;
            makes_one.push(SeccompRule::new(vec![is_set])?);
        }
        rules.insert(libc::SYS_clone | bit, makes_one);
    }
    let refused = SeccompAction::Errno(libc::ENOSYS as u32);
    SeccompFilter::new(rules, SeccompAction::Allow, refused, std::env::consts::ARCH.try_into()?)?.try_into()
}

/// A file with the filter, in memory alone.
fn filter_file() -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("filter", rustix::fs::MemfdFlags::CLOEXEC)?);
    for line in filter().map_err(io::Error::other)? {
        file.write_all(&line.code.to_ne_bytes())?;
        file.write_all(&[line.jt, line.jf])?;
        file.write_all(&line.k.to_ne_bytes())?;
    }
    file.rewind()?;
    Ok(file)
}

/// What somebody complained of, as far as it is worth reading.
///
/// # Errors
/// When there is no such file.
pub fn complaint(path: &Path, at_most: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    open_made(path)?.take(at_most).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Opens what a program in the cage made, if it is a plain file: a link that it left in its place would lead this program,
/// which may read more, to a file of the machine; a pipe would keep it waiting.
///
/// # Errors
/// When there is no such file, or something else in its place.
pub fn open_made(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidData.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};

    const BOUNDS: Bounds = Bounds { memory: 1 << 30, seconds: 20, file: 1 << 20 };

    /// What a line of Python does in the cage; `None` where there is no cage.
    fn python(folder: &Path, line: &str) -> Option<Output> {
        let output = caged(folder, BOUNDS).unwrap().args(["python3", "-c", line]).output().ok()?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        if is_missing(output.status, &complaint) {
            eprintln!("SKIPPED: this host gives no cage: {complaint}");
            return None;
        }
        Some(output)
    }

    /// The line works outside, and within the cage ends with these words.
    fn is_refused_within(line: &str, words: &str) {
        let folder = tempfile::tempdir().unwrap();
        let outside = Command::new("python3").args(["-c", line]).output().unwrap();
        assert!(outside.status.success(), "outside: {}", String::from_utf8_lossy(&outside.stderr));
        let Some(inside) = python(folder.path(), line) else { return };
        let said = String::from_utf8_lossy(&inside.stderr).into_owned();
        assert!(!inside.status.success() && said.contains(words), "{line}: {}: {said}", inside.status);
    }

    #[test]
    fn within_the_cage_a_program_reads_and_writes_its_folder_and_no_file_beside_it() {
        let (folder, beside) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
        std::fs::write(folder.path().join("source"), "bytes").unwrap();
        let Some(worked) = python(folder.path(), "open('result', 'w').write(open('/work/source').read())") else {
            return;
        };
        assert!(worked.status.success(), "{}", String::from_utf8_lossy(&worked.stderr));
        assert_eq!(std::fs::read(folder.path().join("result")).unwrap(), b"bytes");
        for path in ["/etc/passwd", beside.path().to_str().unwrap()] {
            is_refused_within(&format!("open('{path}').read()"), "No such file");
        }
        is_refused_within("import os; assert os.listdir('/proc')", "No such file");
        let written = python(folder.path(), "open('/usr/bin/mine', 'w')").unwrap();
        assert!(!written.status.success() && !Path::new("/usr/bin/mine").exists());
    }

    #[test]
    fn within_the_cage_a_program_has_no_network_and_no_forbidden_call() {
        is_refused_within("import socket; socket.socket()", "Function not implemented");
        let call = |number: libc::c_long, arguments: &str| {
            format!(
                "import ctypes, os; libc = ctypes.CDLL(None, use_errno=True); libc.syscall({number}{arguments})
error = ctypes.get_errno()
if error == 38: raise OSError(error, os.strerror(error))"
            )
        };
        for number in [libc::SYS_ptrace, libc::SYS_unshare, libc::SYS_setns, libc::SYS_keyctl, libc::SYS_mount] {
            is_refused_within(&call(number, ", -1, 0, 0, 0, 0"), "Function not implemented");
        }
        // Both flags a namespace's; outside the second is refused for other reasons.
        let new_user = libc::CLONE_NEWUSER | libc::CLONE_FS;
        is_refused_within(&call(libc::SYS_clone, &format!(", {new_user}, 0, 0, 0, 0")), "Function not implemented");
    }

    #[test]
    fn within_the_cage_a_program_may_have_threads_and_children() {
        let folder = tempfile::tempdir().unwrap();
        let line = "import threading, subprocess; t = threading.Thread(target=print); t.start(); t.join(); \
                    subprocess.run(['true'], check=True)";
        let Some(worked) = python(folder.path(), line) else { return };
        assert!(worked.status.success(), "{}", String::from_utf8_lossy(&worked.stderr));
    }

    #[test]
    fn cve_2015_5162_a_program_that_has_used_up_its_processor_time_is_ended_as_one_that_took_too_long() {
        let folder = tempfile::tempdir().unwrap();
        let bounds = Bounds { seconds: 1, ..BOUNDS };
        let ended = caged(folder.path(), bounds).unwrap().args(["sh", "-c", "while :; do :; done"]).output().unwrap();
        let complaint = String::from_utf8_lossy(&ended.stderr);
        if is_missing(ended.status, &complaint) {
            return eprintln!("SKIPPED: this host gives no cage: {complaint}");
        }
        assert!(used_up(ended.status), "{}: {complaint}", ended.status);
        let killed = std::os::unix::process::ExitStatusExt::from_raw(libc::SIGKILL);
        assert!(!used_up(killed), "that may be the kernel, short of memory");
    }

    #[test]
    fn a_program_in_the_cage_dies_with_whoever_started_it() {
        let folder = tempfile::tempdir().unwrap();
        if python(folder.path(), "").is_none() {
            return;
        }
        let mut inner = caged(folder.path(), BOUNDS).unwrap();
        inner.args(["sh", "-c", "echo begun > begun; exec sleep 600"]);
        // A shell that starts the cage and waits, as Gapura does. The pipe ends once nobody is left who could write to it.
        let words: Vec<String> = [inner.get_program()]
            .into_iter()
            .chain(inner.get_args())
            .map(|word| format!("'{}'", word.to_str().unwrap()))
            .collect();
        let script = format!("{} <&3 >&2 & echo; wait", words.join(" "));
        let filter = folder.path().join("filter");
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
        while !folder.path().join("begun").exists() {
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

    #[test]
    fn a_link_or_a_pipe_in_the_place_of_a_file_is_neither_followed_nor_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (plain, link, pipe) = ["plain", "link", "pipe"].map(|name| folder.path().join(name)).into();
        std::fs::write(&plain, "what it complained of").unwrap();
        std::os::unix::fs::symlink(&plain, &link).unwrap();
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(complaint(&plain, 8).unwrap(), "what it ");
        assert!(complaint(&link, 8).is_err());
        assert!(complaint(&pipe, 8).is_err());
    }
}
