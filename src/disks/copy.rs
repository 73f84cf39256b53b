//! A machine's disk as one file with nothing behind it, and that file as a stream.
//!
//! What runs is copied by the hypervisor, what is off by `qemu-img`. The chain of files it reads was written by this program
//! and by QEMU, with every format stated in headers that no guest can reach, so nothing is probed. It gets bounded memory and
//! time all the same, nothing of this program's environment, and it dies with this program.

use super::qcow2;
use crate::error::{Error, Result};
use crate::hypervisor::DiskFormat;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

const MEMORY: u64 = 2 << 30;
const CPU_SECONDS: u64 = 3600;
const PIECE: usize = 1 << 20;

/// Writes all that a qcow2 file and those behind it hold into a new one.
pub fn flatten(from: &Path, to: &Path) -> std::io::Result<()> {
    // The thread that waits here is the parent: the program ends when the process does, however that ends.
    let output = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", "prlimit", &format!("--as={MEMORY}"), &format!("--cpu={CPU_SECONDS}")])
        .args(["--", "qemu-img", "convert"])
        .args(["-f", "qcow2", "-O", "qcow2", "--"])
        .args([from, to])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(std::io::Error::other(format!("qemu-img ended with {}: {}", output.status, text.trim())))
}

/// The size of a copy, after refusing what could reach beyond the file.
pub fn inspect(path: &Path) -> Result<(File, u64)> {
    let open = || {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        let mut head = Vec::new();
        file.by_ref().take(qcow2::HEAD as u64).read_to_end(&mut head)?;
        Ok((File::open(path)?, size, head))
    };
    let (file, size, head) =
        open().map_err(|error: std::io::Error| Error::internal("opening a copy of a machine's disk", error))?;
    let base = super::BaseImage { sha512: String::new(), size, format: DiskFormat::Qcow2 };
    qcow2::check(&base, &head)?;
    Ok((file, size))
}

/// A file's bytes, read on threads that may block.
pub fn stream(file: File) -> BoxStream<'static, Result<Bytes>> {
    futures::stream::try_unfold(file, |mut file| async move {
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; PIECE];
            let length = file.read(&mut piece)?;
            piece.truncate(length);
            Ok::<_, std::io::Error>((piece, file))
        });
        let context = "reading a copy of a machine's disk";
        let (piece, file) = (read.await.map_err(|error| Error::internal(context, error))?)
            .map_err(|error| Error::internal(context, error))?;
        Ok(if piece.is_empty() { None } else { Some((Bytes::from(piece), file)) })
    })
    .boxed()
}
