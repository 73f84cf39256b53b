//! What machines write on: a read-only copy of each image per host, an overlay and a config drive per machine.
//!
//! Base images are named by the hash of their content, so one copy serves every machine and every tenant that boots it;
//! a machine's own files live in one folder named after its id, so that deleting the folder deletes the machine's disks.
//! Wishes are whole, serialisable and idempotent, as `hypervisor` explains.

mod base_cache;
mod blank;
mod config_drive;
mod copy;
pub mod local;
mod qcow2;
pub mod simulated;
#[cfg(test)]
mod tests;
mod travel;

pub use blank::try_out as try_out_blank_disks;

use crate::clock::Timestamp;
use crate::error::Result;
use crate::hypervisor::{DiskFormat, Epoch};
use crate::ids::ServerId;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// An image as a host keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseImage {
    /// SHA-512 of the bytes, 128 hexadecimal digits: the file's name in the cache.
    pub sha512: String,
    pub size: u64,
    pub format: DiskFormat,
}

/// An image that a host has in its cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedBase {
    pub base: BaseImage,
    pub fetched_at: Timestamp,
    pub used_at: Timestamp,
    /// How many machines' disks lie over it.
    pub machines: usize,
}

/// Which of a machine's disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Part {
    /// Its own. Layer 0 lies over the image's bytes, each other one over the layer before it: taking one away goes back.
    Root { layer: u32 },
    /// The one that it is rescued from.
    Rescue,
    /// One that began empty. Its first layer has the file system, each other one lies over the layer before it.
    Ephemeral { index: u32, layer: u32 },
    /// Each layer is one of its own: nothing in it outlives a machine's memory.
    Swap { layer: u32 },
}

impl Part {
    fn file(self) -> String {
        match self {
            Self::Root { layer: 0 } => "disk.qcow2".to_owned(),
            Self::Root { layer } => format!("disk.{layer}.qcow2"),
            Self::Rescue => "rescue.qcow2".to_owned(),
            Self::Ephemeral { index, layer } => format!("ephemeral{index}.{layer}"),
            Self::Swap { layer } => format!("swap.{layer}"),
        }
    }
}

/// A disk of a machine: an overlay over a base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootDisk {
    pub server: ServerId,
    pub epoch: Epoch,
    pub part: Part,
    pub base: BaseImage,
    /// The guest sees a disk of so many bytes; never smaller than the base's own.
    pub virtual_size: u64,
}

/// A disk of a machine that holds nothing of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlankDisk {
    pub server: ServerId,
    pub epoch: Epoch,
    pub part: Part,
    /// In bytes.
    pub size: u64,
    pub content: Content,
}

/// What a blank disk begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// A raw file with an empty file system of this kind and label.
    FileSystem { kind: String, label: String },
    /// A raw file with the mark of swap.
    Swap,
    /// A layer: an overlay over another of the machine's files. Its format is stated, since a guest wrote it.
    Over { below: Part, format: DiskFormat },
}

/// The files of a config drive (label `config-2`), path inside the drive to content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigDrive {
    pub server: ServerId,
    pub epoch: Epoch,
    pub files: Vec<(String, Vec<u8>)>,
}

/// A whole copy of a machine's disk: qcow2, with nothing behind it.
pub struct Copied {
    pub size: u64,
    pub bytes: BoxStream<'static, Result<Bytes>>,
}

/// A disk of a machine that comes from another host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incoming {
    pub server: ServerId,
    pub epoch: Epoch,
    pub part: Part,
    pub over: Over,
}

/// What a disk lies over. Stated, since guests write what a raw file begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Over {
    /// It is a raw file.
    Nothing,
    Base(BaseImage),
    /// Another of the machine's.
    Part(Part),
}

/// What goes along with a machine to another host beside its disks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Luggage {
    /// Byte for byte: its guest may have it mounted.
    pub config_drive: Option<Vec<u8>>,
    /// What it said on its serial port so far; `None`: both hosts have the same file.
    pub console: Option<Vec<u8>>,
}

/// Free and total bytes where machines' disks live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSpace {
    pub total: u64,
    pub free: u64,
    /// Names the folder that has all machines' files: hosts that say the same see the same files. `None`: from a host that is a
    /// version older, or can't write it down.
    #[serde(default)]
    pub store: Option<uuid::Uuid>,
}

/// The last `lines` lines of a text; all of it, when `None`. A text that ends in a line's end has an empty line after it, as
/// upstream counts.
fn last_lines(text: &str, lines: Option<usize>) -> &str {
    match lines {
        None => text,
        Some(0) => "",
        Some(lines) => match text.rmatch_indices('\n').nth(lines - 1) {
            Some((end_of_earlier_lines, _)) => &text[end_of_earlier_lines + 1..],
            None => text,
        },
    }
}

/// What machines of one host write on. Orders older than the newest seen for a machine are refused, as hosts do.
#[async_trait]
pub trait Disks: Send + Sync {
    async fn has_base(&self, base: &BaseImage) -> Result<bool>;

    /// Brings an image into the host's cache: streams to a temporary file, checks size and hash, inspects the header
    /// again (no backing file, no data file, the stated format), then renames into place. Racing calls end in one file.
    async fn fetch_base(&self, base: &BaseImage, bytes: BoxStream<'static, Result<Bytes>>) -> Result<()>;

    /// What is in the host's cache.
    async fn bases(&self) -> Result<Vec<CachedBase>>;

    /// Takes an image out of the host's cache, unless a machine's disk lies over it: then `false`. Already gone is done.
    async fn drop_base(&self, base: &BaseImage) -> Result<bool>;

    /// Makes the overlay unless it is there. Answers its path.
    async fn make_root(&self, wish: &RootDisk) -> Result<PathBuf>;

    /// Makes a disk that began empty, unless it is there. Answers its path.
    async fn make_blank(&self, wish: &BlankDisk) -> Result<PathBuf>;

    /// Takes a disk away. Gone already is done.
    async fn remove_part(&self, server: ServerId, epoch: Epoch, part: Part) -> Result<()>;

    /// Where a copy of the machine's disk is to be written; an earlier one is gone after the call.
    async fn place_for_copy(&self, server: ServerId, epoch: Epoch) -> Result<PathBuf>;

    /// Copies a disk that nothing writes on, whole, to the place for it.
    async fn copy_at_rest(&self, server: ServerId, epoch: Epoch, part: Part) -> Result<()>;

    /// The copy that was made, after looking at its header as at any image's.
    async fn open_copy(&self, server: ServerId) -> Result<Copied>;

    /// The copy is not needed any more. Gone already is done.
    async fn drop_copy(&self, server: ServerId, epoch: Epoch) -> Result<()>;

    /// Writes the config drive (ISO 9660 with Rock Ridge or Joliet names), replacing an older one. Answers its path.
    async fn write_config_drive(&self, wish: &ConfigDrive) -> Result<PathBuf>;

    /// What goes along with the machine to another host.
    async fn pack(&self, server: ServerId) -> Result<Luggage>;

    /// Puts it where the machine will find it that comes from another host. Answers the config drive's path.
    async fn unpack(&self, server: ServerId, epoch: Epoch, luggage: &Luggage) -> Result<PathBuf>;

    /// What a disk's file holds, as another host takes it in; nothing may write on it meanwhile.
    async fn open_part(&self, server: ServerId, part: Part) -> Result<BoxStream<'static, Result<Bytes>>>;

    /// Takes in a disk from another host, in place of one that is there: checked to be whole, and laid over what it lies over
    /// here, which must be here.
    async fn receive_part(&self, wish: &Incoming, bytes: BoxStream<'static, Result<Bytes>>) -> Result<()>;

    /// Leaves a mark among the machine's files, in place of an earlier one: who sees it sees the same files.
    async fn mark(&self, server: ServerId, epoch: Epoch, mark: &str) -> Result<()>;

    /// Is this mark among the machine's files?
    async fn has_mark(&self, server: ServerId, mark: &str) -> Result<bool>;

    /// Where the machine's serial output goes; the folder exists after the call.
    async fn console_log(&self, server: ServerId) -> Result<PathBuf>;

    /// The last `lines` lines of the serial output (all, when `None`); empty when the machine wrote none yet.
    async fn read_console_log(&self, server: ServerId, lines: Option<usize>) -> Result<String>;

    /// Deletes everything of one machine. Already gone is done.
    async fn remove(&self, server: ServerId, epoch: Epoch) -> Result<()>;

    /// Machines that have files here.
    async fn list(&self) -> Result<Vec<ServerId>>;

    async fn space(&self) -> Result<DiskSpace>;
}
