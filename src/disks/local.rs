//! The disks of the host that this process runs on.
//!
//! ```text
//! instances/store               the name of this folder, for who asks whether two hosts have it in common
//! base/<sha512>.qcow2|raw       copies of images, read-only      (base_cache.rs)
//! instances/<server id>/
//!     disk.qcow2                the overlay that the guest writes
//!     disk.1.qcow2, …           overlays on it, one for each resize
//!     rescue.qcow2              what it is rescued from
//!     ephemeral0.0, swap.0, …   disks that began empty             (blank.rs)
//!     ephemeral0.1, …           overlays on them, one for each resize
//!     copy.qcow2                a whole copy of its disk, on its way to be an image
//!     config.iso                its config drive
//!     console.log               what it says on its serial port
//!     mark                      which host's files these are, for who asks whether two see the same
//!     epoch                     the newest order about it
//! ```
//! A file gets its name only when it is whole and on the disk, so whatever has the name can be used after a crash.

use super::base_cache::{BaseCache, sync_folder};
use super::{
    BaseImage, BlankDisk, CachedBase, ConfigDrive, Copied, DiskSpace, Disks, Incoming, Luggage, Over, Part, RootDisk,
    blank, config_drive, copy, qcow2, travel,
};
use crate::error::{Error, Result};
use crate::hypervisor::{DiskFormat, Epoch};
use crate::ids::ServerId;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// As much of a serial log as is ever read: its end. A guest can write without bound.
const CONSOLE_BYTES: u64 = 100 * 1024;

#[derive(Clone)]
pub struct LocalDisks {
    base: Arc<BaseCache>,
    instances: PathBuf,
    /// Epochs of machines removed since the process started.
    removed: Arc<Mutex<BTreeMap<ServerId, Epoch>>>,
    /// Orders about machines' folders are short; one at a time keeps epoch and files together.
    pub(super) one_at_a_time: Arc<Mutex<()>>,
}

impl LocalDisks {
    /// Opens (and makes) the folders under `root`. One process a root: what another left unfinished is cleared away.
    pub fn open(root: &Path) -> Result<Self> {
        let open = || {
            let root = std::path::absolute(root)?;
            let instances = root.join("instances");
            fs::create_dir_all(&instances)?;
            for entry in fs::read_dir(&instances)? {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "removed") {
                    fs::remove_dir_all(path)?;
                } else if path.extension().is_some_and(|extension| extension == "part") {
                    // Another host's at this very moment, perhaps: it tries again.
                    fs::remove_file(path)?;
                }
            }
            let base = Arc::new(BaseCache::open(root.join("base"))?);
            Ok(Self { base, instances, removed: Arc::default(), one_at_a_time: Arc::default() })
        };
        open().map_err(|error: std::io::Error| Error::internal("opening the folder of disks", error))
    }

    fn folder(&self, server: ServerId) -> PathBuf {
        self.instances.join(server.to_string())
    }

    /// Runs `work` on a thread that may block.
    async fn blocking<T, F>(&self, context: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Self) -> Result<T, Failure> + Send + 'static,
    {
        let this = self.clone();
        let answer = tokio::task::spawn_blocking(move || work(&this)).await;
        match answer.map_err(|error| Error::internal(context, error))? {
            Ok(value) => Ok(value),
            Err(Failure::Ours(error)) => Err(error),
            Err(Failure::Disk(error)) => Err(Error::internal(context, error)),
        }
    }

    /// Admits an order about a machine and makes its folder; remembers the order's epoch.
    pub(super) fn admit(&self, server: ServerId, epoch: Epoch) -> Result<PathBuf, Failure> {
        let folder = self.folder(server);
        let seen = self.seen(server, &folder)?;
        epoch.admit(seen.unwrap_or(epoch))?;
        fs::create_dir_all(&folder)?;
        // What was removed under this very order is remembered, but not by the folder that is made anew.
        if seen != Some(epoch) || !folder.join("epoch").try_exists()? {
            write_whole(&folder.join("epoch"), |file| Ok(write!(file, "{}", epoch.0)?))?;
        }
        Ok(folder)
    }

    fn seen(&self, server: ServerId, folder: &Path) -> Result<Option<Epoch>, Failure> {
        match fs::read_to_string(folder.join("epoch")) {
            // What can't be read was never written whole, so no order was obeyed.
            Ok(text) => Ok(text.parse().ok().map(Epoch)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(self.removed.lock().get(&server).copied()),
            Err(error) => Err(error.into()),
        }
    }
}

pub(super) enum Failure {
    Ours(Error),
    Disk(std::io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Disk(error)
    }
}

/// Writes a file beside `path`, and gives it that name, in place of an older one, when it is whole and on the disk.
/// The name of a folder, which whoever of several hosts comes first gives it.
fn name_of(folder: &Path) -> std::io::Result<uuid::Uuid> {
    let path = folder.join("store");
    if !path.try_exists()? {
        let draft = folder.join(format!("store.{}.part", uuid::Uuid::new_v4()));
        let mut file = File::create_new(&draft)?;
        file.write_all(uuid::Uuid::new_v4().to_string().as_bytes())?;
        file.sync_all()?;
        let given = fs::hard_link(&draft, &path);
        fs::remove_file(&draft)?;
        match given {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => sync_folder(&path)?,
        }
    }
    let text = fs::read_to_string(&path)?;
    uuid::Uuid::try_parse(text.trim()).map_err(|error| std::io::Error::new(ErrorKind::InvalidData, error))
}

fn write_whole(path: &Path, write: impl FnOnce(&mut File) -> Result<(), Failure>) -> Result<(), Failure> {
    let part = path.with_extension("part");
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&part)?;
    write(&mut file)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    Ok(sync_folder(path)?)
}

const COPY: &str = "copy.qcow2";

fn make_root(this: &LocalDisks, wish: &RootDisk) -> Result<PathBuf, Failure> {
    let _turn = this.one_at_a_time.lock();
    let folder = this.admit(wish.server, wish.epoch)?;
    let path = folder.join(wish.part.file());
    if path.try_exists()? {
        return Ok(path);
    }
    let (base, format, base_size) = match wish.part {
        Part::Root { layer } if layer > 0 => {
            let below = folder.join(Part::Root { layer: layer - 1 }.file());
            let size = qcow2::virtual_size(&read_head(&below)?)?;
            (below, DiskFormat::Qcow2, size)
        }
        Part::Root { .. } | Part::Rescue => {
            let (base, size) = this.base.inspect(&wish.base)?;
            (base, wish.base.format, size)
        }
        Part::Ephemeral { .. } | Part::Swap { .. } => {
            return Err(Error::internal("making a machine's disk", "this one holds nothing of an image").into());
        }
    };
    if wish.virtual_size < base_size {
        return Err(Error::bad_request("Flavor's disk is too small for requested image.").into());
    }
    let bytes = qcow2::overlay(&base, format, wish.virtual_size)?;
    write_whole(&path, |file| Ok(file.write_all(&bytes)?))?;
    Ok(path)
}

fn read_head(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?.take(qcow2::HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

fn remove_file(this: &LocalDisks, server: ServerId, epoch: Epoch, name: &str) -> Result<PathBuf, Failure> {
    let _turn = this.one_at_a_time.lock();
    let path = this.admit(server, epoch)?.join(name);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(path),
    }
}

fn write_config_drive(this: &LocalDisks, wish: &ConfigDrive) -> Result<PathBuf, Failure> {
    let _turn = this.one_at_a_time.lock();
    let path = this.admit(wish.server, wish.epoch)?.join("config.iso");
    write_whole(&path, |file| Ok(config_drive::write(file.try_clone()?, &wish.files)?))?;
    Ok(path)
}

/// More than any config drive has.
const MOST_CONFIG_DRIVE: u64 = 64 << 20;

fn pack(this: &LocalDisks, server: ServerId) -> Result<Luggage, Failure> {
    let folder = this.folder(server);
    let mut drive = Vec::new();
    let config_drive = match File::open(folder.join("config.iso")) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        opened => {
            opened?.take(MOST_CONFIG_DRIVE).read_to_end(&mut drive)?;
            Some(drive)
        }
    };
    Ok(Luggage { config_drive, console: Some(read_end(&folder.join("console.log"))?) })
}

fn unpack(this: &LocalDisks, server: ServerId, epoch: Epoch, luggage: &Luggage) -> Result<PathBuf, Failure> {
    let _turn = this.one_at_a_time.lock();
    let folder = this.admit(server, epoch)?;
    if let Some(console) = &luggage.console {
        write_whole(&folder.join("console.log"), |file| Ok(file.write_all(console)?))?;
    }
    let drive = folder.join("config.iso");
    if let Some(bytes) = &luggage.config_drive {
        write_whole(&drive, |file| Ok(file.write_all(bytes)?))?;
    }
    Ok(drive)
}

/// Gives a disk that arrived whole its name, over what it lies over here.
fn settle_part(this: &LocalDisks, wish: &Incoming, arrived: &Path) -> Result<(), Failure> {
    let _turn = this.one_at_a_time.lock();
    let folder = this.admit(wish.server, wish.epoch)?;
    let below = match &wish.over {
        Over::Nothing => None,
        Over::Base(base) => Some(this.base.inspect(base)?.0),
        Over::Part(part) => Some(folder.join(part.file())),
    };
    if let Some(below) = below {
        travel::rest_on(arrived, &below)?;
    }
    let path = folder.join(wish.part.file());
    fs::rename(arrived, &path)?;
    Ok(sync_folder(&path)?)
}

/// What each machine's disk lies over. A disk that can't be read may lie over anything: then nothing can be told.
fn backings(this: &LocalDisks) -> Result<Vec<PathBuf>, Failure> {
    let mut backings = Vec::new();
    for entry in fs::read_dir(&this.instances)? {
        let folder = entry?.path();
        // Layers lie over the machine's own disk, which is looked at.
        for part in [Part::Root { layer: 0 }, Part::Rescue] {
            let mut head = Vec::new();
            match File::open(folder.join(part.file())) {
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
                opened => opened?.take(qcow2::OVERLAY_HEAD as u64).read_to_end(&mut head)?,
            };
            let unreadable = || Error::internal("looking what a machine's disk lies over", "it is no overlay");
            backings.push(PathBuf::from(qcow2::backing(&head).ok_or_else(unreadable)?));
        }
    }
    Ok(backings)
}

fn bases(this: &LocalDisks) -> Result<Vec<CachedBase>, Failure> {
    let backings = backings(this)?;
    let found = this.base.list()?.into_iter();
    Ok(found
        .map(|(path, cached)| {
            let machines = backings.iter().filter(|backing| **backing == path).count();
            CachedBase { machines, ..cached }
        })
        .collect())
}

fn drop_base(this: &LocalDisks, base: &BaseImage) -> Result<bool, Failure> {
    // No overlay is made meanwhile.
    let _turn = this.one_at_a_time.lock();
    if backings(this)?.contains(&this.base.path(base)?) {
        return Ok(false);
    }
    this.base.delete(base)?;
    Ok(true)
}

fn remove(this: &LocalDisks, server: ServerId, epoch: Epoch) -> Result<(), Failure> {
    let _turn = this.one_at_a_time.lock();
    let folder = this.folder(server);
    epoch.admit(this.seen(server, &folder)?.unwrap_or(epoch))?;
    let removed = this.instances.join(format!("{server}.removed"));
    // The name goes at once; should the rest be cut short, the next start clears it away.
    match fs::rename(&folder, &removed) {
        Ok(()) => fs::remove_dir_all(&removed)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    this.removed.lock().insert(server, epoch);
    Ok(())
}

/// The end of a file, or as much of it as is ever read.
fn read_end(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(CONSOLE_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(CONSOLE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[async_trait]
impl Disks for LocalDisks {
    async fn has_base(&self, base: &BaseImage) -> Result<bool> {
        let base = base.clone();
        self.blocking("looking for a base image", move |this| Ok(this.base.has(&base)?)).await
    }

    async fn fetch_base(&self, base: &BaseImage, bytes: BoxStream<'static, Result<Bytes>>) -> Result<()> {
        self.base.fetch(base, bytes).await
    }

    async fn bases(&self) -> Result<Vec<CachedBase>> {
        self.blocking("listing the images on a host", bases).await
    }

    async fn drop_base(&self, base: &BaseImage) -> Result<bool> {
        let base = base.clone();
        self.blocking("dropping an image of a host", move |this| drop_base(this, &base)).await
    }

    async fn make_root(&self, wish: &RootDisk) -> Result<PathBuf> {
        let wish = wish.clone();
        self.blocking("making a machine's disk", move |this| make_root(this, &wish)).await
    }

    async fn make_blank(&self, wish: &BlankDisk) -> Result<PathBuf> {
        let wish = wish.clone();
        self.blocking("making an empty disk", move |this| blank::make(this, &wish)).await
    }

    async fn remove_part(&self, server: ServerId, epoch: Epoch, part: Part) -> Result<()> {
        let remove = move |this: &Self| remove_file(this, server, epoch, &part.file()).map(drop);
        self.blocking("removing a machine's disk", remove).await
    }

    async fn place_for_copy(&self, server: ServerId, epoch: Epoch) -> Result<PathBuf> {
        self.blocking("making room for a copy", move |this| remove_file(this, server, epoch, COPY)).await
    }

    async fn copy_at_rest(&self, server: ServerId, epoch: Epoch, part: Part) -> Result<()> {
        self.blocking("copying a machine's disk", move |this| {
            let target = remove_file(this, server, epoch, COPY)?;
            Ok(copy::flatten(&this.folder(server).join(part.file()), &target)?)
        })
        .await
    }

    async fn open_copy(&self, server: ServerId) -> Result<Copied> {
        let open = move |this: &Self| Ok(copy::inspect(&this.folder(server).join(COPY))?);
        let (file, size) = self.blocking("opening a copy", open).await?;
        Ok(Copied { size, bytes: copy::stream(file) })
    }

    async fn drop_copy(&self, server: ServerId, epoch: Epoch) -> Result<()> {
        self.blocking("removing a copy", move |this| remove_file(this, server, epoch, COPY).map(drop)).await
    }

    async fn write_config_drive(&self, wish: &ConfigDrive) -> Result<PathBuf> {
        let wish = wish.clone();
        self.blocking("writing a config drive", move |this| write_config_drive(this, &wish)).await
    }

    async fn pack(&self, server: ServerId) -> Result<Luggage> {
        self.blocking("packing what goes along with a machine", move |this| pack(this, server)).await
    }

    async fn unpack(&self, server: ServerId, epoch: Epoch, luggage: &Luggage) -> Result<PathBuf> {
        let luggage = luggage.clone();
        let unpack = move |this: &Self| unpack(this, server, epoch, &luggage);
        self.blocking("unpacking what came along with a machine", unpack).await
    }

    async fn open_part(&self, server: ServerId, part: Part) -> Result<BoxStream<'static, Result<Bytes>>> {
        let open = move |this: &Self| Ok(File::open(this.folder(server).join(part.file()))?);
        Ok(travel::stream(self.blocking("opening a machine's disk", open).await?))
    }

    async fn receive_part(&self, wish: &Incoming, bytes: BoxStream<'static, Result<Bytes>>) -> Result<()> {
        const CONTEXT: &str = "taking in a machine's disk";
        let wish = wish.clone();
        let begun = wish.clone();
        // Of this order alone: an older one that is still at work writes elsewhere.
        let part = self.blocking(CONTEXT, move |this| {
            let _turn = this.one_at_a_time.lock();
            let name = format!("{}.{}.part", begun.part.file(), begun.epoch.0);
            Ok(this.admit(begun.server, begun.epoch)?.join(name))
        });
        let part = part.await?;
        let arrived = part.clone();
        let outcome = match travel::receive(&part, bytes).await {
            Ok(()) => self.blocking(CONTEXT, move |this| settle_part(this, &wish, &arrived)).await,
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            let _ = fs::remove_file(&part);
        }
        outcome
    }

    async fn mark(&self, server: ServerId, epoch: Epoch, mark: &str) -> Result<()> {
        let mark = mark.to_owned();
        self.blocking("leaving a mark among a machine's files", move |this| {
            let _turn = this.one_at_a_time.lock();
            write_whole(&this.admit(server, epoch)?.join("mark"), |file| Ok(file.write_all(mark.as_bytes())?))
        })
        .await
    }

    async fn has_mark(&self, server: ServerId, mark: &str) -> Result<bool> {
        let mark = mark.to_owned();
        self.blocking("looking for a mark", move |this| match fs::read_to_string(this.folder(server).join("mark")) {
            Ok(found) => Ok(found == mark),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        })
        .await
    }

    async fn console_log(&self, server: ServerId) -> Result<PathBuf> {
        self.blocking("making a machine's folder", move |this| {
            fs::create_dir_all(this.folder(server))?;
            Ok(this.folder(server).join("console.log"))
        })
        .await
    }

    async fn read_console_log(&self, server: ServerId, lines: Option<usize>) -> Result<String> {
        self.blocking("reading a serial log", move |this| {
            let bytes = read_end(&this.folder(server).join("console.log"))?;
            Ok(super::last_lines(&String::from_utf8_lossy(&bytes), lines).to_owned())
        })
        .await
    }

    async fn remove(&self, server: ServerId, epoch: Epoch) -> Result<()> {
        self.blocking("removing a machine's files", move |this| remove(this, server, epoch)).await
    }

    async fn list(&self) -> Result<Vec<ServerId>> {
        self.blocking("listing machines' files", |this| {
            let mut servers = Vec::new();
            for entry in fs::read_dir(&this.instances)? {
                servers.extend(entry?.file_name().to_str().and_then(ServerId::parse));
            }
            servers.sort();
            Ok(servers)
        })
        .await
    }

    async fn space(&self) -> Result<DiskSpace> {
        self.blocking("measuring the disk", |this| {
            let measured = rustix::fs::statvfs(&this.instances).map_err(std::io::Error::from)?;
            let bytes = |blocks: u64| blocks.saturating_mul(measured.f_frsize);
            let store =
                name_of(&this.instances).inspect_err(|error| tracing::warn!(%error, "machines' files have no name"));
            Ok(DiskSpace { total: bytes(measured.f_blocks), free: bytes(measured.f_bavail), store: store.ok() })
        })
        .await
    }
}
