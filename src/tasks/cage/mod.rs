//! A cage for programs that read what strangers sent.
//!
//! Three walls, by three programs and the kernel: `prlimit` bounds memory, time, files and output; `bwrap` (bubblewrap) gives
//! namespaces of its own, so a network without interfaces, no other process to see, and of all files the system's programs
//! and one to read, none of them to be written, and one to write; a [`filter`] refuses calls that no converter has a use for
//! and that break-outs begin with, and those by which the bounds would hold for less than all it does: another process, or
//! room on the disk that no length of a file shows. So what it leaves is one file, which was there before, of a bounded size.
//!
//! The program dies with whoever started it: a killed Gapura leaves no converter behind.

mod filter;

use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Output, Stdio};

/// What is read, and what is written, for who is inside.
pub const SOURCE: &str = "/work/source";
pub const RESULT: &str = "/work/result";
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

/// A command that runs what is added to it within the cage, with these files and no others. Its standard input is taken.
///
/// # Errors
/// When the filter can't be made.
pub fn caged(source: &Path, result: &Path, bounds: Bounds) -> io::Result<Command> {
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
        .arg("--ro-bind")
        .arg(source)
        .arg(SOURCE)
        .arg("--bind")
        .arg(result)
        .arg(RESULT)
        // The folders around it all lie in memory: nothing is made there either.
        .args(["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/work"])
        // Read and closed by bwrap; nothing inside has an input.
        .args(["--seccomp", "0", "--"])
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

/// Can this host give the cage? Its own words where it can't. Also asked when a program in the cage has failed: what that one
/// said and how it ended may be a stranger's doing.
///
/// # Errors
/// `NotFound` when one of the programs is missing.
pub fn try_out() -> io::Result<()> {
    let bounds = Bounds { memory: 1 << 30, seconds: 10, file: 1 << 20 };
    let nothing = Path::new("/dev/null");
    let Output { status, stderr, .. } = caged(nothing, nothing, bounds)?.args(["qemu-img", "--version"]).output()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&stderr).trim().to_owned()))
}

/// A file with the filter, in memory alone.
fn filter_file() -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("filter", rustix::fs::MemfdFlags::CLOEXEC)?);
    for line in filter::program().map_err(io::Error::other)? {
        file.write_all(&line.code.to_ne_bytes())?;
        file.write_all(&[line.jt, line.jf])?;
        file.write_all(&line.k.to_ne_bytes())?;
    }
    file.rewind()?;
    Ok(file)
}

#[cfg(test)]
mod tests;
