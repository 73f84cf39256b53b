//! Converts an image's bytes with `qemu-img`, in a cage.
//!
//! A stranger's image is read by a large program in C, so: our own inspector has judged it before and judges what comes out
//! (CVE-2024-40767); the program is told the format and the one file to read, and never guesses (CVE-2015-5163); it runs
//! in a [`cage`]: no network, no file but its own, and a bounded memory, time and output (CVE-2015-5162), else it is killed. A
//! host that can't give it the cage converts nothing.

use super::byte_channel::on_a_thread;
use super::cage::{self, Bounds};
use crate::cloud::image::plugins::Conversion;
use crate::error::{Error, Result};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
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

    fn complaints(&self) -> PathBuf {
        self.0.join("complaints")
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
    let file = format!("{}/source", cage::FOLDER);
    let mut source = serde_json::json!({"driver": driver, "file": {"driver": "file", "filename": file}});
    if driver == "qcow2" {
        source["backing"] = serde_json::Value::Null;
    }
    let failed = |error| Error::internal("converting an image", error);
    let bounds = Bounds {
        memory: rules.memory_mb.saturating_mul(1 << 20),
        seconds: rules.seconds,
        file: at_most.saturating_add(SLACK).min(i64::MAX as u64),
    };
    let deadline = Instant::now() + Duration::from_secs(rules.seconds);
    let mut command = Command::from(cage::caged(&place.0, bounds).map_err(failed)?);
    let mut child = command
        .args(["qemu-img", "convert", "-q", "-O", rules.target.word()])
        .arg(format!("json:{source}"))
        .arg("result")
        .stderr(File::create(place.complaints()).map_err(failed)?)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Error::unavailable("The converter of images", error))?;
    let ended = tokio::time::timeout_at(deadline, child.wait()).await;
    let overdue = Error::bad_request(format!("The conversion took longer than {} s", rules.seconds));
    let status = match ended {
        // Looked at first: that the time is over counts, whoever noticed it first and whatever the program made of it.
        _ if Instant::now() >= deadline => return Err(overdue),
        Ok(status) => status.map_err(failed)?,
        Err(_) => return Err(overdue),
    };
    if status.success() {
        return Ok(());
    }
    let complaint = cage::complaint(&place.complaints(), COMPLAINT).unwrap_or_default();
    // Its words may name what is of this machine: they are for the log.
    tracing::warn!(%status, complaint, "an image was not converted");
    if cage::used_up(status) { Err(overdue) } else { Err(why(status, complaint, at_most)) }
}

fn why(status: ExitStatus, complaint: String, at_most: u64) -> Error {
    if cage::is_missing(status, &complaint) {
        return Error::unavailable("The converter of images", complaint);
    }
    if cage::wrote_too_much(status) || complaint.contains("File too large") {
        return Error::TooLarge(format!("The image would be converted to more than {at_most} bytes"));
    }
    Error::bad_request("The image could not be converted")
}

/// The first and the last bytes of the result, and its length.
///
/// # Errors
/// `Internal` when it can't be read.
pub async fn ends(place: &Workplace, head: usize, tail: usize) -> Result<(Vec<u8>, Vec<u8>, u64)> {
    let path = place.result();
    let read = move || {
        let mut file = cage::open_made(&path)?;
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
    let file = tokio::fs::File::from_std(cage::open_made(&place.result()).map_err(failed)?);
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

    #[tokio::test]
    async fn a_link_that_a_converter_leaves_for_its_result_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let place = Workplace::make(folder.path()).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", place.result()).unwrap();
        assert!(ends(&place, 8, 8).await.is_err());
        fs::remove_file(place.result()).unwrap();
        fs::write(place.result(), "converted").unwrap();
        assert_eq!(ends(&place, 4, 1).await.unwrap(), (b"conv".to_vec(), b"d".to_vec(), 9));
        assert!(result(place).await.is_ok());
    }
}
