//! Work inside a network namespace: a thread of its own enters it, does the work and ends.
//!
//! A socket belongs to the namespace it was made in, whoever holds it later. So nothing of Gapura lives in a network's
//! namespace: a short thread goes in, makes sockets, and the process serves them from outside. The thread never
//! returns to a pool, because a pool's next job would run in a strange network.

#![expect(unsafe_code, reason = "setns and two socket options have no safe wrapper in the standard library")]

use crate::error::{Error, Result};
use std::fs::File;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where `ip netns` keeps its names.
const PLACE: &str = "/run/netns";

pub(super) fn path(name: &str) -> PathBuf {
    Path::new(PLACE).join(name)
}

/// Is there a namespace of this name? A plain file without one, as a crash of `ip netns add` leaves it, is none.
pub(super) fn exists(name: &str) -> bool {
    let place = path(name);
    if !place.exists() {
        return false;
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(4).is_some_and(|at| Path::new(at) == place))
}

/// Tells one namespace from another that took its name.
pub(super) fn identity(name: &str) -> Option<u64> {
    std::fs::metadata(path(name)).ok().map(|entry| entry.ino())
}

/// Runs the work on a new thread inside the namespace of this name, and waits for it.
pub fn inside<T: Send>(name: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let unreachable = |error: io::Error| Error::internal("a network's namespace can't be entered", error);
    let namespace = File::open(path(name)).map_err(unreachable)?;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("gapura-netns".to_owned()).spawn_scoped(scope, || {
            // SAFETY: the descriptor is open and of a network namespace; setns changes only this thread, which ends here.
            let answer = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
            if answer != 0 {
                return Err(unreachable(io::Error::last_os_error()));
            }
            work()
        });
        match thread.map_err(unreachable)?.join() {
            Ok(result) => result,
            Err(_) => Err(Error::internal("work in a network's namespace failed", "the thread panicked")),
        }
    })
}

/// Keeps a socket to one interface.
pub(super) fn bind_to_device(socket: &UdpSocket, device: &str) -> io::Result<()> {
    set_option(socket.as_raw_fd(), libc::SO_BINDTODEVICE, device.as_bytes())
}

/// Sends without UDP checksums. Between virtual links they are left to hardware that isn't there; a DHCP client reads raw
/// frames and drops those with a wrong checksum, but takes one that says "none".
pub(super) fn send_without_checksum(socket: &UdpSocket) -> io::Result<()> {
    set_option(socket.as_raw_fd(), libc::SO_NO_CHECK, &1i32.to_ne_bytes())
}

fn set_option(socket: RawFd, option: i32, value: &[u8]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(value.len()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open while its socket is borrowed; pointer and length describe `value`, which is only read.
    let answer = unsafe { libc::setsockopt(socket, libc::SOL_SOCKET, option, value.as_ptr().cast(), length) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
