//! A machine's disk on its way to another host: what is written in its file travels, and nothing that did not arrive whole is
//! taken for a disk.
//!
//! ```text
//!  offset (8 bytes) length (4) bytes …     one for each piece, in order; holes are left out
//!  size   (8)       0      (4) SHA-512     of all before it: that was the file
//! ```
//! What lies below a disk does not travel with it: the other host has the image's bytes in its own cache, where they have
//! another path. So the one name in a qcow2 header that says what is below is written anew ([`rest_on`]), by what rows say,
//! never by what the file said.

use super::qcow2;
use crate::error::{Error, Result};
use aws_lc_rs::digest::{Context, SHA512, SHA512_OUTPUT_LEN};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use tokio::sync::mpsc;

const HEAD: usize = 12;
const PIECE: u64 = 1 << 20;
/// Pieces that may wait for the disk before the network waits too.
const PIECES_AHEAD: usize = 4;
const SENDING: &str = "reading a machine's disk";
const RECEIVING: &str = "taking in a machine's disk";

struct Reading {
    file: File,
    size: u64,
    at: u64,
    /// Where the hole begins that follows what is being read.
    until: u64,
    hash: Context,
    is_over: bool,
}

/// A file's pieces, read on threads that may block.
pub fn stream(file: File) -> BoxStream<'static, Result<Bytes>> {
    let begun = file.metadata().map(|about| Reading {
        file,
        size: about.len(),
        at: 0,
        until: 0,
        hash: Context::new(&SHA512),
        is_over: false,
    });
    match begun {
        Err(error) => futures::stream::iter([Err(Error::internal(SENDING, error))]).boxed(),
        Ok(reading) => futures::stream::try_unfold(reading, |reading| async move {
            if reading.is_over {
                return Ok(None);
            }
            let read = tokio::task::spawn_blocking(move || next_piece(reading)).await;
            let read = read.map_err(|error| Error::internal(SENDING, error))?;
            read.map(Some).map_err(|error| Error::internal(SENDING, error))
        })
        .boxed(),
    }
}

fn next_piece(mut reading: Reading) -> std::io::Result<(Bytes, Reading)> {
    if reading.at >= reading.until {
        match rustix::fs::seek(&reading.file, SeekFrom::Data(reading.at)) {
            Ok(at) if at < reading.size => {
                reading.at = at;
                reading.until = rustix::fs::seek(&reading.file, SeekFrom::Hole(at))?.min(reading.size);
            }
            // Nothing but a hole is left.
            Ok(_) | Err(Errno::NXIO) => return Ok(last_piece(reading)),
            Err(error) => return Err(error.into()),
        }
    }
    let length = u32::try_from(PIECE.min(reading.until - reading.at)).expect("at most a MiB");
    let mut piece = vec![0; HEAD + length as usize];
    piece[..8].copy_from_slice(&reading.at.to_be_bytes());
    piece[8..HEAD].copy_from_slice(&length.to_be_bytes());
    reading.file.read_exact_at(&mut piece[HEAD..], reading.at)?;
    reading.hash.update(&piece);
    reading.at += u64::from(length);
    Ok((Bytes::from(piece), reading))
}

fn last_piece(mut reading: Reading) -> (Bytes, Reading) {
    let mut piece = Vec::with_capacity(HEAD + SHA512_OUTPUT_LEN);
    piece.extend(reading.size.to_be_bytes());
    piece.extend(0_u32.to_be_bytes());
    reading.hash.update(&piece);
    piece.extend(reading.hash.clone().finish().as_ref());
    reading.is_over = true;
    (Bytes::from(piece), reading)
}

/// Writes what comes into a new file. It is on the disk, and whole, after the call.
///
/// # Errors
/// The stream's own, and `Internal` for pieces that are not one file, whole.
pub async fn receive(path: &Path, mut pieces: BoxStream<'static, Result<Bytes>>) -> Result<()> {
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    let path = path.to_owned();
    let writing = tokio::task::spawn_blocking(move || write(&path, receiver));
    while let Some(piece) = pieces.next().await {
        let is_last = piece.is_err();
        if sender.send(piece).await.is_err() || is_last {
            break;
        }
    }
    drop(sender);
    writing.await.map_err(|error| Error::internal(RECEIVING, error))?
}

fn write(path: &Path, mut pieces: mpsc::Receiver<Result<Bytes>>) -> Result<()> {
    let failed = |error| Error::internal(RECEIVING, error);
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path).map_err(failed)?;
    let mut writing = Writing { file, hash: Context::new(&SHA512), head: Vec::new(), at: 0, left: 0, end: End::Open };
    while let Some(piece) = pieces.blocking_recv() {
        writing.take(&piece?)?;
    }
    match writing.end {
        End::Whole(size) if writing.at <= size => {
            writing.file.set_len(size).and_then(|()| writing.file.sync_all()).map_err(failed)
        }
        _ => Err(Error::internal(RECEIVING, "it did not arrive whole")),
    }
}

#[derive(Clone, Copy)]
enum End {
    Open,
    /// Its size is known, and what all the bytes should come to is awaited.
    Stated(u64),
    Whole(u64),
}

struct Writing {
    file: File,
    hash: Context,
    /// What of a head, or of the last hash, has come.
    head: Vec<u8>,
    at: u64,
    left: usize,
    end: End,
}

impl Writing {
    fn take(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let wanted = match self.end {
                End::Open if self.left > 0 => {
                    let (now, rest) = bytes.split_at(self.left.min(bytes.len()));
                    self.hash.update(now);
                    self.file.write_all_at(now, self.at).map_err(|error| Error::internal(RECEIVING, error))?;
                    self.at += now.len() as u64;
                    self.left -= now.len();
                    bytes = rest;
                    continue;
                }
                End::Open => HEAD,
                End::Stated(_) => SHA512_OUTPUT_LEN,
                End::Whole(_) => return Err(Error::internal(RECEIVING, "something comes after its end")),
            };
            let (now, rest) = bytes.split_at((wanted - self.head.len()).min(bytes.len()));
            self.head.extend_from_slice(now);
            bytes = rest;
            if self.head.len() == wanted {
                self.end_of_head()?;
            }
        }
        Ok(())
    }

    fn end_of_head(&mut self) -> Result<()> {
        let head = std::mem::take(&mut self.head);
        if let End::Stated(size) = self.end {
            if self.hash.clone().finish().as_ref() != head {
                return Err(Error::internal(RECEIVING, "its bytes are not those that were sent"));
            }
            self.end = End::Whole(size);
            return Ok(());
        }
        self.hash.update(&head);
        let (place, length) = head.split_at(8);
        let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let (place, length) = (number(place), number(length));
        if length == 0 {
            self.end = End::Stated(place);
        } else if place < self.at || length > PIECE {
            return Err(Error::internal(RECEIVING, "its pieces are in disorder"));
        } else {
            (self.at, self.left) = (place, usize::try_from(length).expect("at most a MiB"));
        }
        Ok(())
    }
}

/// From now on an overlay lies over this file, which has the format that the overlay says.
pub fn rest_on(path: &Path, below: &Path) -> Result<()> {
    let failed = |error: std::io::Error| Error::internal(RECEIVING, error);
    let file = File::options().read(true).write(true).open(path).map_err(failed)?;
    let mut head = vec![0; qcow2::FIRST_CLUSTER];
    file.read_exact_at(&mut head, 0).map_err(failed)?;
    let head = qcow2::over_another(&head, below)?;
    file.write_all_at(&head, 0).and_then(|()| file.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hypervisor::DiskFormat;
    use std::process::Command;

    /// A sparse file of 40 MiB with data at both ends and in the middle.
    fn sparse(path: &Path) {
        let file = File::create(path).unwrap();
        file.set_len(40 << 20).unwrap();
        for (place, byte) in [(0, 1), (20 << 20, 2), ((40 << 20) - 5000, 3)] {
            file.write_all_at(&vec![byte; 5000], place).unwrap();
        }
    }

    async fn pieces(path: &Path) -> Vec<Bytes> {
        stream(File::open(path).unwrap()).map(|piece| piece.unwrap()).collect().await
    }

    async fn arrive(path: &Path, pieces: Vec<Bytes>) -> Result<()> {
        receive(path, futures::stream::iter(pieces.into_iter().map(Ok)).boxed()).await
    }

    #[tokio::test]
    async fn a_sparse_file_arrives_byte_for_byte_and_its_holes_do_not_travel() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        sparse(&from);
        let sent = pieces(&from).await;
        let travelled: usize = sent.iter().map(Bytes::len).sum();
        assert!(travelled < 1 << 20, "{travelled} bytes");
        // However the network cuts them.
        let all: Vec<u8> = sent.iter().flatten().copied().collect();
        for size in [1, 7, 4096, all.len()] {
            arrive(&to, all.chunks(size).map(Bytes::copy_from_slice).collect()).await.unwrap();
            assert_eq!(std::fs::read(&from).unwrap(), std::fs::read(&to).unwrap());
        }
        File::create(&from).unwrap();
        arrive(&to, pieces(&from).await).await.unwrap();
        assert_eq!(std::fs::metadata(&to).unwrap().len(), 0);
    }

    #[tokio::test]
    async fn what_is_cut_short_changed_or_longer_than_it_was_is_no_disk() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        sparse(&from);
        let all: Vec<u8> = pieces(&from).await.iter().flatten().copied().collect();
        let with = |at: usize| {
            let mut all = all.clone();
            all[at] ^= 1;
            all
        };
        let longer = [all.as_slice(), b"x"].concat();
        let cases =
            [all[..all.len() - 1].to_vec(), all[..20].to_vec(), with(100), with(all.len() - 70), with(3), longer];
        for wrong in cases {
            let wrong = vec![Bytes::from(wrong)];
            assert!(arrive(&to, wrong).await.is_err());
        }
        assert!(arrive(&to, Vec::new()).await.is_err());
        let broken = futures::stream::iter([Ok(Bytes::from(all)), Err(Error::unavailable("the host", "gone"))]);
        assert!(receive(&to, broken.boxed()).await.unwrap_err().is_transient());
    }

    #[tokio::test]
    async fn an_overlay_that_arrived_lies_over_the_other_hosts_copy_of_its_image() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let bytes: Vec<u8> = (0..1_u32 << 18).flat_map(u32::to_be_bytes).collect();
        std::fs::write(at("base.raw"), &bytes).unwrap();
        std::fs::create_dir(at("a-much-longer-name-than-before")).unwrap();
        std::fs::write(at("a-much-longer-name-than-before/base.raw"), &bytes).unwrap();
        std::fs::write(at("disk"), qcow2::overlay(&at("base.raw"), DiskFormat::Raw, 4 << 20).unwrap()).unwrap();
        let written = |arguments: &[&str]| Command::new("qemu-io").args(arguments).arg(at("disk")).output();
        let Ok(output) = written(&["-f", "qcow2", "-c", "write -P 7 2097152 65536"]) else {
            return eprintln!("SKIPPED: qemu-io is not installed");
        };
        assert!(output.status.success(), "{output:?}");
        arrive(&at("there"), pieces(&at("disk")).await).await.unwrap();
        rest_on(&at("there"), &at("a-much-longer-name-than-before/base.raw")).unwrap();
        std::fs::remove_file(at("base.raw")).unwrap();
        let judge = |arguments: &[&str]| {
            let output = Command::new("qemu-img").args(arguments).arg(at("there")).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        assert!(judge(&["check", "-f", "qcow2"]).contains("No errors"));
        assert!(judge(&["info", "-f", "qcow2", "--backing-chain"]).contains("a-much-longer-name-than-before"));
        let whole = at("whole");
        let mut convert = Command::new("qemu-img");
        convert.args(["convert", "-f", "qcow2", "-O", "raw"]).args([&at("there"), &whole]);
        assert!(convert.output().unwrap().status.success());
        let mut expected = bytes;
        expected.resize(4 << 20, 0);
        expected[2 << 20..(2 << 20) + 65536].fill(7);
        assert_eq!(std::fs::read(whole).unwrap(), expected);
    }
}
