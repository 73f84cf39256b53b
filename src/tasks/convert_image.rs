//! Converts an image's bytes with `qemu-img`, in a cage.
//!
//! A stranger's image is read by a large program in C, so: our own inspector has judged it before and judges what comes out
//! (CVE-2024-40767); the program is told the format and the one file to read, and never guesses (CVE-2015-5163); it has no
//! network, and a bounded memory, time and output (CVE-2015-5162), else it is killed. A host that can't give it the cage
//! converts nothing.

use super::byte_channel::on_a_thread;
use crate::cloud::image::plugins::Conversion;
use crate::error::{Error, Result};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::Command;
use tokio::time::Instant;

/// How much of what the program complains of is logged.
const COMPLAINT: u64 = 4 << 10;
/// What a qcow2 file may hold besides its data, at least: headers and tables.
const SLACK: u64 = 64 << 20;
const PIECE: usize = 1 << 20;

/// A folder that goes with whoever holds it.
pub struct Workplace(PathBuf);

impl Workplace {
    /// # Errors
    /// `Internal` when it can't be made.
    pub fn make(under: &Path) -> Result<Self> {
        let folder = under.join(uuid::Uuid::new_v4().simple().to_string());
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|error| Error::internal("making a folder to convert an image in", error))?;
        Ok(Self(folder))
    }

    fn source(&self) -> PathBuf {
        self.0.join("source")
    }

    fn result(&self) -> PathBuf {
        self.0.join("result")
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "a folder of an import is left behind");
        }
    }
}

/// Clears away what conversions of an earlier process have left under a folder.
///
/// # Errors
/// What the file system says.
pub fn clear(under: &Path) -> io::Result<()> {
    match fs::remove_dir_all(under) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Brings the bytes into the workplace.
///
/// # Errors
/// The stream's, `TooLarge` when the disk is full.
pub async fn bring(place: &Workplace, bytes: BoxStream<'static, Result<Bytes>>) -> Result<()> {
    let path = place.source();
    on_a_thread(bytes, move |mut source| {
        let failed = |error: io::Error| match error.downcast::<Error>() {
            Ok(error) => error,
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                Error::TooLarge("There is no room to convert the image".to_owned())
            }
            Err(error) => Error::internal("bringing an image to where it is converted", error),
        };
        let mut file = File::options().write(true).create_new(true).open(path).map_err(failed)?;
        io::copy(&mut source, &mut file).map_err(failed)?;
        file.flush().map_err(failed)
    })
    .await
}

/// Converts what was brought from a format to another, into at most so many bytes.
///
/// # Errors
/// `BadRequest` where the program fails, `TooLarge` where it would need more, `Unavailable` where there is no such program.
pub async fn convert(place: &Workplace, from: &str, rules: &Conversion, at_most: u64) -> Result<()> {
    let driver = match from {
        "raw" | "qcow2" | "vmdk" | "vdi" | "vhdx" => from,
        "vhd" => "vpc",
        other => return Err(Error::bad_request(format!("Images of disk_format {other} are not converted"))),
    };
    // Told in full: the driver, the file's own driver, and that nothing lies behind it.
    let mut source = serde_json::json!({"driver": driver, "file": {"driver": "file", "filename": place.source()}});
    if driver == "qcow2" {
        source["backing"] = serde_json::Value::Null;
    }
    let deadline = Instant::now() + Duration::from_secs(rules.seconds);
    let mut child = caged(rules, at_most)
        .args(["qemu-img", "convert", "-q", "-O", rules.target.word()])
        .arg(format!("json:{source}"))
        .arg(place.result())
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .current_dir(&place.0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(
            File::create(place.0.join("complaints")).map_err(|error| Error::internal("converting an image", error))?,
        )
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Error::unavailable("The converter of images", error))?;
    let ended = tokio::time::timeout_at(deadline, child.wait()).await;
    let overdue = Error::bad_request(format!("The conversion took longer than {} s", rules.seconds));
    let status = match ended {
        // Looked at first: that the time is over counts, whoever noticed it first and whatever the program made of it.
        _ if Instant::now() >= deadline => return Err(overdue),
        Ok(status) => status.map_err(|error| Error::internal("converting an image", error))?,
        Err(_) => return Err(overdue),
    };
    if status.success() {
        return Ok(());
    }
    let mut complaint = String::new();
    let complaints =
        File::open(place.0.join("complaints")).map(|file| file.take(COMPLAINT).read_to_string(&mut complaint));
    // Its words name folders of this machine: they are for the log.
    tracing::warn!(%status, complaint, read = ?complaints.is_ok(), "an image was not converted");
    if used_up(status) { Err(overdue) } else { Err(why(status, complaint, at_most)) }
}

/// Was the program ended because its processor time was over? Several threads use it up before the clock does.
fn used_up(status: ExitStatus) -> bool {
    status.signal() == Some(libc::SIGXCPU)
}

fn why(status: ExitStatus, complaint: String, at_most: u64) -> Error {
    match status.code() {
        // The shell's words for a program that isn't there or can't be run; the cage's for what it can't give.
        Some(126 | 127) => Error::unavailable("The converter of images", complaint),
        Some(1) if complaint.starts_with("unshare:") || complaint.starts_with("prlimit:") => {
            Error::unavailable("The converter of images", complaint)
        }
        _ if complaint.contains("File too large") => {
            Error::TooLarge(format!("The image would be converted to more than {at_most} bytes"))
        }
        _ => Error::bad_request("The image could not be converted"),
    }
}

/// The program's cage: bounds first, then a network without interfaces, as nobody in particular.
fn caged(rules: &Conversion, at_most: u64) -> Command {
    let bound = at_most.saturating_add(SLACK).min(i64::MAX as u64);
    let mut command = Command::new("prlimit");
    // The second bound on processor time is never reached: the signal of the first one says what was used up.
    let (first, second) = (rules.seconds.max(1), rules.seconds.saturating_add(2));
    command
        .arg(format!("--as={}", rules.memory_mb.saturating_mul(1 << 20)))
        .arg(format!("--cpu={first}:{second}"))
        .arg(format!("--fsize={bound}"))
        .args(["--nofile=64", "--core=0", "--", "unshare", "--user", "--map-current-user", "--net", "--ipc", "--"]);
    command
}

/// The first and the last bytes of the result, and its length.
///
/// # Errors
/// `Internal` when it can't be read.
pub async fn ends(place: &Workplace, head: usize, tail: usize) -> Result<(Vec<u8>, Vec<u8>, u64)> {
    let path = place.result();
    let read = move || {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut ends = [Vec::new(), Vec::new()];
        (&mut file).take(head as u64).read_to_end(&mut ends[0])?;
        file.seek(SeekFrom::Start(length.saturating_sub(tail as u64)))?;
        file.take(tail as u64).read_to_end(&mut ends[1])?;
        let [head, tail] = ends;
        Ok((head, tail, length))
    };
    let read =
        tokio::task::spawn_blocking(read).await.map_err(|error| Error::internal("reading a converted image", error))?;
    read.map_err(|error: io::Error| Error::internal("reading a converted image", error))
}

/// The result, piece by piece. The folder stays until the last one is taken.
///
/// # Errors
/// `Internal` when it can't be read.
pub async fn result(place: Workplace) -> Result<BoxStream<'static, Result<Bytes>>> {
    use tokio::io::AsyncReadExt;
    let failed = |error: io::Error| Error::internal("reading a converted image", error);
    let file = tokio::fs::File::open(place.result()).await.map_err(failed)?;
    let pieces = futures::stream::try_unfold((file, place), move |(mut file, place)| async move {
        let mut piece = bytes::BytesMut::with_capacity(PIECE);
        let read = file.read_buf(&mut piece).await.map_err(failed)?;
        Ok((read > 0).then(|| (piece.freeze(), (file, place))))
    });
    Ok(pieces.boxed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::image::plugins::Plugins;

    #[tokio::test]
    async fn cve_2015_5162_a_program_that_has_used_up_its_processor_time_is_ended_as_one_that_took_too_long() {
        let rules = Conversion { seconds: 1, ..Plugins::default().conversion };
        let ended = caged(&rules, 1).args(["sh", "-c", "while :; do :; done"]).status().await;
        let Ok(status) = ended else { return eprintln!("SKIPPED: there is no prlimit") };
        assert!(used_up(status), "{status}");
        assert!(!used_up(ExitStatus::from_raw(libc::SIGKILL)), "that may be the kernel, short of memory");
    }
}
