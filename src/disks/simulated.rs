//! Disks that are only remembered, for tests of what happens above them.
//!
//! Images are still counted and hashed as they come, so a test sees a wrong byte as a host would; nothing is written.

use super::{
    BaseImage, BlankDisk, CachedBase, ConfigDrive, Content, Copied, DiskSpace, Disks, Incoming, Luggage, Over, Part,
    RootDisk, last_lines, qcow2,
};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::hypervisor::Epoch;
use crate::ids::ServerId;
use async_trait::async_trait;
use bytes::Bytes;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use futures::StreamExt;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// The methods that give orders or move bytes, to name the one that shall fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    FetchBase,
    DropBase,
    MakeRoot,
    MakeBlank,
    RemovePart,
    PlaceForCopy,
    CopyAtRest,
    WriteConfigDrive,
    Pack,
    Unpack,
    OpenPart,
    ReceivePart,
    Mark,
    Remove,
}

pub struct SimulatedDisks {
    /// Of which half is free, whatever is on it.
    size: u64,
    store: Mutex<Option<uuid::Uuid>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bases: BTreeMap<String, BaseImage>,
    servers: BTreeMap<ServerId, Files>,
    removed: BTreeMap<ServerId, Epoch>,
    faults: BTreeMap<Call, usize>,
}

#[derive(Default)]
struct Files {
    epoch: Option<Epoch>,
    parts: BTreeMap<Part, RootDisk>,
    blanks: BTreeMap<Part, BlankDisk>,
    /// As large as the disk that was copied.
    copy: Option<u64>,
    config: Option<Packed>,
    console: String,
    mark: Option<String>,
    /// What the guest wrote on its disks.
    written: BTreeMap<Part, String>,
}

/// A disk on its way to another simulated host.
#[derive(serde::Serialize, serde::Deserialize)]
struct Travelling {
    root: Option<RootDisk>,
    blank: Option<BlankDisk>,
    written: Option<String>,
}

impl Files {
    fn lies_over(&self, base: &BaseImage) -> bool {
        self.parts.values().any(|wish| wish.base.sha512 == base.sha512)
    }
}

/// A config drive, packed: a host keeps it on its disk, and here it counts as the program's own memory.
struct Packed(Vec<u8>);

impl Packed {
    fn new(drive: &ConfigDrive) -> Self {
        let mut packer = ZlibEncoder::new(Vec::new(), Compression::fast());
        serde_json::to_writer(&mut packer, drive).expect("writes into memory");
        Self(packer.finish().expect("writes into memory"))
    }

    fn unpack(&self) -> ConfigDrive {
        serde_json::from_reader(ZlibDecoder::new(self.0.as_slice())).expect("packed above")
    }
}

impl SimulatedDisks {
    /// A TiB.
    pub fn new() -> Arc<Self> {
        Self::of_size(1 << 40)
    }

    /// So many bytes.
    pub fn of_size(size: u64) -> Arc<Self> {
        Arc::new(Self { size, store: Mutex::new(Some(uuid::Uuid::new_v4())), state: Mutex::default() })
    }

    /// Says no more which files it has, as a host that is a version older.
    pub fn is_nameless(&self) {
        *self.store.lock() = None;
    }

    /// The next `times` calls of this method answer `Unavailable`, and do nothing.
    pub fn fail_at(&self, call: Call, times: usize) {
        *self.state.lock().faults.entry(call).or_default() += times;
    }

    /// From now on no call fails.
    pub fn stop_failing(&self) {
        self.state.lock().faults.clear();
    }

    /// What the machine says on its serial port, from now on.
    pub fn say(&self, server: ServerId, text: &str) {
        self.state.lock().servers.entry(server).or_default().console.push_str(text);
    }

    /// The guest writes on the disk that it has now.
    pub fn write(&self, server: ServerId, text: &str) {
        let mut state = self.state.lock();
        let files = state.servers.entry(server).or_default();
        let newest = files.parts.keys().rev().find(|part| matches!(part, Part::Root { .. })).copied();
        files.written.insert(newest.unwrap_or(Part::Root { layer: 0 }), text.to_owned());
    }

    /// What the guest reads on its disk.
    pub fn read(&self, server: ServerId) -> Option<String> {
        let state = self.state.lock();
        let mut written = state.servers.get(&server)?.written.iter().rev();
        written.find(|(part, _)| matches!(part, Part::Root { .. })).map(|(_, text)| text.clone())
    }

    /// The wish behind a machine's root disk.
    pub fn root(&self, server: ServerId) -> Option<RootDisk> {
        let state = self.state.lock();
        let parts = &state.servers.get(&server)?.parts;
        parts.iter().rev().find(|(part, _)| **part != Part::Rescue).map(|(_, wish)| wish.clone())
    }

    /// The wish behind the disk that a machine is rescued from.
    pub fn rescue(&self, server: ServerId) -> Option<RootDisk> {
        self.state.lock().servers.get(&server)?.parts.get(&Part::Rescue).cloned()
    }

    /// The wishes behind a machine's disks that began empty.
    pub fn blanks(&self, server: ServerId) -> Vec<BlankDisk> {
        let state = self.state.lock();
        state.servers.get(&server).map(|files| files.blanks.values().cloned().collect()).unwrap_or_default()
    }

    /// Is there a copy of the machine's disk?
    pub fn has_copy(&self, server: ServerId) -> bool {
        self.state.lock().servers.get(&server).is_some_and(|files| files.copy.is_some())
    }

    /// What is on a machine's config drive.
    pub fn config_drive(&self, server: ServerId) -> Option<ConfigDrive> {
        Some(self.state.lock().servers.get(&server)?.config.as_ref()?.unpack())
    }

    fn arrive(&self, call: Call) -> Result<()> {
        if let Some(left @ 1..) = self.state.lock().faults.get_mut(&call) {
            *left -= 1;
            return Err(Error::unavailable("disks", "the simulated disks fail, as they were told to"));
        }
        Ok(())
    }
}

impl State {
    fn admit(&mut self, server: ServerId, epoch: Epoch) -> Result<&mut Files> {
        let seen = match self.servers.get(&server) {
            Some(files) => files.epoch,
            None => self.removed.get(&server).copied(),
        };
        epoch.admit(seen.unwrap_or(epoch))?;
        let files = self.servers.entry(server).or_default();
        files.epoch = Some(epoch);
        Ok(files)
    }
}

fn path(server: ServerId, file: &str) -> PathBuf {
    PathBuf::from(format!("/simulated/instances/{server}/{file}"))
}

#[async_trait]
impl Disks for SimulatedDisks {
    async fn has_base(&self, base: &BaseImage) -> Result<bool> {
        Ok(self.state.lock().bases.contains_key(&base.sha512))
    }

    async fn fetch_base(&self, base: &BaseImage, mut bytes: BoxStream<'static, Result<Bytes>>) -> Result<()> {
        self.arrive(Call::FetchBase)?;
        let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA512);
        let mut size = 0;
        while let Some(chunk) = bytes.next().await {
            let chunk = chunk?;
            size += chunk.len() as u64;
            hash.update(&chunk);
        }
        if size != base.size || hex::encode(hash.finish()) != base.sha512 {
            return Err(Error::internal("fetching a base image", "the bytes are not the image's"));
        }
        self.state.lock().bases.insert(base.sha512.clone(), base.clone());
        Ok(())
    }

    async fn bases(&self) -> Result<Vec<CachedBase>> {
        let state = self.state.lock();
        let cached = state.bases.values().map(|base| {
            let uses = |files: &&Files| files.lies_over(base);
            let machines = state.servers.values().filter(uses).count();
            CachedBase { base: base.clone(), fetched_at: Timestamp(0), used_at: Timestamp(0), machines }
        });
        Ok(cached.collect())
    }

    async fn drop_base(&self, base: &BaseImage) -> Result<bool> {
        self.arrive(Call::DropBase)?;
        let mut state = self.state.lock();
        if state.servers.values().any(|files| files.lies_over(base)) {
            return Ok(false);
        }
        state.bases.remove(&base.sha512);
        Ok(true)
    }

    async fn make_root(&self, wish: &RootDisk) -> Result<PathBuf> {
        self.arrive(Call::MakeRoot)?;
        let mut state = self.state.lock();
        let has_below = match wish.part {
            Part::Root { layer } if layer > 0 => {
                let below = Part::Root { layer: layer - 1 };
                state.servers.get(&wish.server).is_some_and(|files| files.parts.contains_key(&below))
            }
            _ => state.bases.contains_key(&wish.base.sha512),
        };
        if !has_below {
            return Err(Error::unavailable("The image on the host", "it was not fetched"));
        }
        state.admit(wish.server, wish.epoch)?.parts.entry(wish.part).or_insert_with(|| wish.clone());
        Ok(path(wish.server, &wish.part.file()))
    }

    async fn make_blank(&self, wish: &BlankDisk) -> Result<PathBuf> {
        self.arrive(Call::MakeBlank)?;
        let mut state = self.state.lock();
        let blanks = &mut state.admit(wish.server, wish.epoch)?.blanks;
        if let Content::Over { below, .. } = &wish.content
            && !blanks.contains_key(below)
        {
            return Err(Error::internal("making a layer of a disk", "there is nothing below it"));
        }
        blanks.entry(wish.part).or_insert_with(|| wish.clone());
        Ok(path(wish.server, &wish.part.file()))
    }

    async fn remove_part(&self, server: ServerId, epoch: Epoch, part: Part) -> Result<()> {
        self.arrive(Call::RemovePart)?;
        let mut state = self.state.lock();
        let files = state.admit(server, epoch)?;
        files.parts.remove(&part);
        files.blanks.remove(&part);
        files.written.remove(&part);
        Ok(())
    }

    async fn place_for_copy(&self, server: ServerId, epoch: Epoch) -> Result<PathBuf> {
        self.arrive(Call::PlaceForCopy)?;
        // Whoever asks has the copy made elsewhere, by what only pretends to.
        let mut state = self.state.lock();
        let files = state.admit(server, epoch)?;
        files.copy = files.parts.values().map(|wish| wish.virtual_size).max();
        Ok(path(server, "copy.qcow2"))
    }

    async fn copy_at_rest(&self, server: ServerId, epoch: Epoch, part: Part) -> Result<()> {
        self.arrive(Call::CopyAtRest)?;
        let mut state = self.state.lock();
        let files = state.admit(server, epoch)?;
        let wish = files.parts.get(&part).ok_or_else(|| Error::internal("copying a machine's disk", "it has none"))?;
        files.copy = Some(wish.virtual_size);
        Ok(())
    }

    async fn open_copy(&self, server: ServerId) -> Result<Copied> {
        let virtual_size = self.state.lock().servers.get(&server).and_then(|files| files.copy);
        let virtual_size = virtual_size.ok_or_else(|| Error::internal("opening a copy", "there is none"))?;
        let bytes = qcow2::empty(virtual_size)?;
        let size = bytes.len() as u64;
        Ok(Copied { size, bytes: futures::stream::iter([Ok(Bytes::from(bytes))]).boxed() })
    }

    async fn drop_copy(&self, server: ServerId, epoch: Epoch) -> Result<()> {
        self.state.lock().admit(server, epoch)?.copy = None;
        Ok(())
    }

    async fn write_config_drive(&self, wish: &ConfigDrive) -> Result<PathBuf> {
        self.arrive(Call::WriteConfigDrive)?;
        let packed = Packed::new(wish);
        self.state.lock().admit(wish.server, wish.epoch)?.config = Some(packed);
        Ok(path(wish.server, "config.iso"))
    }

    async fn pack(&self, server: ServerId) -> Result<Luggage> {
        self.arrive(Call::Pack)?;
        let state = self.state.lock();
        let files = state.servers.get(&server).ok_or_else(|| Error::internal("packing", "there is nothing"))?;
        let config_drive = files.config.as_ref().map(|config| config.0.clone());
        Ok(Luggage { config_drive, console: Some(files.console.clone().into_bytes()) })
    }

    async fn unpack(&self, server: ServerId, epoch: Epoch, luggage: &Luggage) -> Result<PathBuf> {
        self.arrive(Call::Unpack)?;
        let mut state = self.state.lock();
        let files = state.admit(server, epoch)?;
        if let Some(bytes) = &luggage.config_drive {
            files.config = Some(Packed(bytes.clone()));
        }
        if let Some(console) = &luggage.console {
            files.console = String::from_utf8_lossy(console).into_owned();
        }
        Ok(path(server, "config.iso"))
    }

    async fn open_part(&self, server: ServerId, part: Part) -> Result<BoxStream<'static, Result<Bytes>>> {
        self.arrive(Call::OpenPart)?;
        let state = self.state.lock();
        let files = state.servers.get(&server);
        let root = files.and_then(|files| files.parts.get(&part).cloned());
        let blank = files.and_then(|files| files.blanks.get(&part).cloned());
        if root.is_none() && blank.is_none() {
            return Err(Error::internal("opening a machine's disk", "there is none"));
        }
        let written = files.and_then(|files| files.written.get(&part).cloned());
        let bytes = serde_json::to_vec(&Travelling { root, blank, written }).expect("plain");
        Ok(futures::stream::iter([Ok(Bytes::from(bytes))]).boxed())
    }

    async fn receive_part(&self, wish: &Incoming, mut bytes: BoxStream<'static, Result<Bytes>>) -> Result<()> {
        self.arrive(Call::ReceivePart)?;
        let mut came = Vec::new();
        while let Some(piece) = bytes.next().await {
            came.extend_from_slice(&piece?);
        }
        let Ok(Travelling { root, blank, written }) = serde_json::from_slice(&came) else {
            return Err(Error::internal("taking in a machine's disk", "it did not arrive whole"));
        };
        let mut state = self.state.lock();
        let has_below = match &wish.over {
            Over::Nothing => true,
            Over::Base(base) => state.bases.contains_key(&base.sha512),
            Over::Part(part) => (state.servers.get(&wish.server))
                .is_some_and(|files| files.parts.contains_key(part) || files.blanks.contains_key(part)),
        };
        if !has_below {
            return Err(Error::internal("taking in a machine's disk", "what it lies over is not here"));
        }
        let files = state.admit(wish.server, wish.epoch)?;
        files.parts.extend(root.map(|root| (wish.part, root)));
        files.blanks.extend(blank.map(|blank| (wish.part, blank)));
        files.written.extend(written.map(|text| (wish.part, text)));
        Ok(())
    }

    async fn mark(&self, server: ServerId, epoch: Epoch, mark: &str) -> Result<()> {
        self.arrive(Call::Mark)?;
        self.state.lock().admit(server, epoch)?.mark = Some(mark.to_owned());
        Ok(())
    }

    async fn has_mark(&self, server: ServerId, mark: &str) -> Result<bool> {
        Ok(self.state.lock().servers.get(&server).is_some_and(|files| files.mark.as_deref() == Some(mark)))
    }

    async fn console_log(&self, server: ServerId) -> Result<PathBuf> {
        self.state.lock().servers.entry(server).or_default();
        Ok(path(server, "console.log"))
    }

    async fn read_console_log(&self, server: ServerId, lines: Option<usize>) -> Result<String> {
        let state = self.state.lock();
        Ok(state.servers.get(&server).map(|files| last_lines(&files.console, lines).to_owned()).unwrap_or_default())
    }

    async fn remove(&self, server: ServerId, epoch: Epoch) -> Result<()> {
        self.arrive(Call::Remove)?;
        let mut state = self.state.lock();
        state.admit(server, epoch)?;
        state.servers.remove(&server);
        state.removed.insert(server, epoch);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<ServerId>> {
        Ok(self.state.lock().servers.keys().copied().collect())
    }

    async fn space(&self) -> Result<DiskSpace> {
        Ok(DiskSpace { total: self.size, free: self.size / 2, store: *self.store.lock() })
    }
}
