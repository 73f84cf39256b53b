//! Disks that begin empty: a file system without a file in it, swap, or a layer over one of those.
//!
//! The files are raw and sparse, so that ten gigabytes of nothing take a few megabytes of the host. `mkfs` and `mkswap` make
//! them, as upstream has it, so that guests find the labels they look for. What these programs are given is a new file, a
//! size, and words of ours: nothing that a stranger wrote is read, and no shell reads the words.
//!
//! Formatting a large disk takes a while. Meanwhile other orders go on: the file is made beside its name, and gets that name
//! if no newer order came.

use super::base_cache::sync_folder;
use super::local::{Failure, LocalDisks};
use super::{BlankDisk, Content, qcow2};
use crate::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Where the programs are, also for a service that was started with less.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// As much of what a program complains of as is written down.
const COMPLAINT: usize = 500;

pub fn make(this: &LocalDisks, wish: &BlankDisk) -> Result<PathBuf, Failure> {
    let folder = {
        let _turn = this.one_at_a_time.lock();
        this.admit(wish.server, wish.epoch)?
    };
    let path = folder.join(wish.part.file());
    if path.try_exists()? {
        return Ok(path);
    }
    // Of this order alone: an older one that is still at work writes elsewhere.
    let part = folder.join(format!("{}.{}.part", wish.part.file(), wish.epoch.0));
    let made = write(&folder, &part, wish).and_then(|()| {
        let _turn = this.one_at_a_time.lock();
        this.admit(wish.server, wish.epoch)?;
        fs::rename(&part, &path)?;
        Ok(sync_folder(&path)?)
    });
    if made.is_err() {
        let _ = fs::remove_file(&part);
    }
    made.map(|()| path)
}

fn write(folder: &Path, part: &Path, wish: &BlankDisk) -> Result<(), Failure> {
    let mut file = File::options().write(true).create(true).truncate(true).open(part)?;
    match &wish.content {
        Content::Over { below, format } => {
            file.write_all(&qcow2::overlay(&folder.join(below.file()), *format, wish.size)?)?;
        }
        Content::Swap => {
            file.set_len(wish.size)?;
            run(Command::new("mkswap").arg(part))?;
        }
        Content::FileSystem { kind, label } => {
            file.set_len(wish.size)?;
            let mut command = Command::new("mkfs");
            command.args(["-t", kind]);
            // It would ask whether a file is meant, which is no device.
            if matches!(kind.as_str(), "ext3" | "ext4") {
                command.arg("-F");
            }
            run(command.args(["-L", label]).arg(part))?;
        }
    }
    Ok(file.sync_all()?)
}

/// Are the programs there that make swap, and file systems of this kind?
///
/// # Errors
/// With the one that is not.
pub fn try_out(kind: &str) -> std::io::Result<()> {
    for name in ["mkfs", "mkswap", &format!("mkfs.{kind}")] {
        output(Command::new(name).arg("-V")).map_err(|error| std::io::Error::other(format!("{name}: {error}")))?;
    }
    Ok(())
}

fn output(command: &mut Command) -> std::io::Result<Output> {
    command.env_clear().env("PATH", PATH).env("LC_ALL", "C").stdin(Stdio::null()).output()
}

fn run(command: &mut Command) -> Result<(), Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let failed = |why: String| Failure::from(Error::internal("formatting an empty disk", format!("{name}: {why}")));
    let output = output(command).map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint: String = String::from_utf8_lossy(&output.stderr).chars().take(COMPLAINT).collect();
    Err(failed(format!("{}, {complaint}", output.status)))
}
