//! Converts an image's bytes with `qemu-img`, in a cage.
//!
//! A stranger's image is read by a large program in C, so: our own inspector has judged it before and judges what comes out
//! (CVE-2024-40767); the program is told the format and the one file to read, and never guesses (CVE-2015-5163); it runs
//! in a [`cage`]: no network, no file but its own two, and a bounded memory, time and output (CVE-2015-5162), else it is
//! killed. The file for the result is made and held open here, so whatever the program does, it is read from no other; and
//! that it failed is believed of the program, why only of the kernel. A host that can't give it the cage converts nothing.

use super::byte_channel::on_a_thread;
use super::cage::{self, Bounds};
use crate::cloud::image::plugins::Conversion;
use crate::error::{Error, Result};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::Instant;

/// How much of what the program complains of is logged.
const COMPLAINT: u64 = 4 << 10;
/// What a qcow2 file may hold besides its data, at least: headers and tables.
const SLACK: u64 = 64 << 20;
const PIECE: usize = 1 << 20;

/// A folder that goes with whoever holds it, and the file in it that the result is written to.
pub struct Workplace {
    folder: PathBuf,
    result: File,
}

impl Workplace {
    /// # Errors
    /// `Internal` when it can't be made.
    pub fn make(under: &Path) -> Result<Self> {
        let folder = under.join(uuid::Uuid::new_v4().simple().to_string());
        let make = || {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
            File::options().read(true).write(true).create_new(true).open(folder.join("result"))
        };
        let result = make().map_err(|error| Error::internal("making a folder to convert an image in", error))?;
        Ok(Self { folder, result })
    }

    fn source(&self) -> PathBuf {
        self.folder.join("source")
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(folder = %self.folder.display(), %error, "a folder of an import is left behind");
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
    let mut source = serde_json::json!({"driver": driver, "file": {"driver": "file", "filename": cage::SOURCE}});
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
    let command = cage::caged(&place.source(), &place.folder.join("result"), bounds).map_err(failed)?;
    let mut child = Command::from(command)
        .args(["qemu-img", "convert", "-q", "-O", rules.target.word()])
        .arg(format!("json:{source}"))
        .arg(cage::RESULT)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Error::unavailable("The converter of images", error))?;
    let complaints = child.stderr.take();
    let ended = tokio::time::timeout_at(deadline, async { tokio::join!(child.wait(), complaint(complaints)) }).await;
    let overdue = Error::bad_request(format!("The conversion took longer than {} s", rules.seconds));
    let (status, complaint) = match ended {
        // Looked at first: that the time is over counts, whoever noticed it first and whatever the program made of it.
        _ if Instant::now() >= deadline => return Err(overdue),
        Ok((status, complaint)) => (status.map_err(failed)?, complaint),
        Err(_) => return Err(overdue),
    };
    if status.success() {
        return Ok(());
    }
    // Its words may name what is of this machine: they are for the log.
    tracing::warn!(%status, complaint, "an image was not converted");
    if cage::used_up(status) { Err(overdue) } else { Err(why(status, &complaint, at_most).await) }
}

/// What somebody complains of, as far as it is worth reading; the rest is taken and thrown away.
async fn complaint(from: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut from) = from else { return String::new() };
    let mut bytes = Vec::new();
    let read = (&mut from).take(COMPLAINT).read_to_end(&mut bytes).await;
    if read.is_ok() {
        let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whose fault it was. Of the program's own words none is believed that would have it tried again.
async fn why(status: ExitStatus, complaint: &str, at_most: u64) -> Error {
    if cage::wrote_too_much(status) || complaint.contains("File too large") {
        return Error::TooLarge(format!("The image would be converted to more than {at_most} bytes"));
    }
    match tokio::task::spawn_blocking(cage::try_out).await {
        Ok(Err(missing)) => Error::unavailable("The converter of images", missing),
        _ => Error::bad_request("The image could not be converted"),
    }
}

/// The first and the last bytes of the result, and its length.
///
/// # Errors
/// `Internal` when it can't be read.
pub async fn ends(place: &Workplace, head: usize, tail: usize) -> Result<(Vec<u8>, Vec<u8>, u64)> {
    let failed = |error: io::Error| Error::internal("reading a converted image", error);
    let result = place.result.try_clone().map_err(failed)?;
    let read = move || {
        let length = result.metadata()?.len();
        let piece = |at: u64, most: usize| {
            let mut piece = vec![0; usize::try_from(length - at).unwrap_or(most).min(most)];
            result.read_exact_at(&mut piece, at).map(|()| piece)
        };
        Ok((piece(0, head)?, piece(length.saturating_sub(tail as u64), tail)?, length))
    };
    let read =
        tokio::task::spawn_blocking(read).await.map_err(|error| Error::internal("reading a converted image", error))?;
    read.map_err(failed)
}

/// The result, piece by piece. The folder stays until the last one is taken.
///
/// # Errors
/// `Internal` when it can't be read.
pub async fn result(place: Workplace) -> Result<BoxStream<'static, Result<Bytes>>> {
    let failed = |error: io::Error| Error::internal("reading a converted image", error);
    let mut file = place.result.try_clone().map_err(failed)?;
    file.rewind().map_err(failed)?;
    let file = tokio::fs::File::from_std(file);
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
    async fn a_result_is_read_from_the_file_that_was_made_for_it_and_from_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let place = Workplace::make(folder.path()).unwrap();
        let path = place.folder.join("result");
        fs::write(&path, "converted").unwrap();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert_eq!(ends(&place, 4, 1).await.unwrap(), (b"conv".to_vec(), b"d".to_vec(), 9));
        assert_eq!(ends(&place, 99, 99).await.unwrap(), (b"converted".to_vec(), b"converted".to_vec(), 9));
        let pieces: Vec<Result<Bytes>> = result(place).await.unwrap().collect().await;
        assert_eq!(pieces.into_iter().map(Result::unwrap).collect::<Vec<_>>().concat(), b"converted");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "the folder is gone with the last piece");
    }

    #[tokio::test]
    async fn of_endless_complaints_the_first_are_kept_and_the_rest_are_taken() {
        let endless = vec![b'x'; 1 << 20];
        let mut taken = endless.as_slice();
        assert_eq!(complaint(Some(&mut taken)).await.len() as u64, COMPLAINT);
        assert!(taken.is_empty(), "who complains is not kept waiting");
    }

    /// A conversion of this file, as if it were a qcow2 image.
    async fn conversion(bytes: &'static [u8]) -> Option<Error> {
        if let Err(error) = cage::try_out() {
            eprintln!("SKIPPED: this host gives no cage: {error}");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let place = Workplace::make(folder.path()).unwrap();
        bring(&place, futures::stream::iter([Ok(Bytes::from_static(bytes))]).boxed()).await.unwrap();
        convert(&place, "qcow2", &crate::cloud::image::plugins::Plugins::default().conversion, 1 << 20).await.err()
    }

    #[tokio::test]
    async fn an_image_that_no_program_can_read_is_at_fault_and_not_the_host() {
        let Some(error) = conversion(b"bwrap: that is no image").await else { return };
        assert!(matches!(error, Error::BadRequest { .. }), "{error:?}");
    }
}
