//! The same questions, asked of files that QEMU's own writer made; skipped, loudly, where `qemu-img` isn't installed.

use super::tests::{check_file, findings};
use super::{Format, Unsafe};
use std::path::Path;
use std::process::{Command, Stdio};

const SIZE: u64 = 10 << 20;

/// Runs `qemu-img create` and reads what it wrote; `None` when there is no `qemu-img`.
fn create(folder: &Path, arguments: &str) -> Option<Vec<u8>> {
    let file = folder.join("image");
    let mut command = Command::new("qemu-img");
    command.args(["create", "-q"]).args(arguments.split_whitespace()).arg(&file).arg(SIZE.to_string());
    match command.current_dir(folder).stdin(Stdio::null()).output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => {
            eprintln!("SKIPPED: qemu-img can't be run ({error}); real images were not inspected");
            return None;
        }
    }
    Some(std::fs::read(file).expect("qemu-img wrote it"))
}

#[test]
fn what_qemu_writes_is_accepted_with_its_size() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, declared, format) in [
        ("-f qcow2", "qcow2", Format::Qcow2),
        ("-f qcow2 -o compat=0.10", "qcow2", Format::Qcow2),
        ("-f qcow2 -o compression_type=zstd,extended_l2=on,lazy_refcounts=on", "qcow2", Format::Qcow2),
        ("-f qcow2 -o preallocation=metadata,cluster_size=2M", "qcow2", Format::Qcow2),
        ("-f vmdk", "vmdk", Format::Vmdk),
        ("-f vmdk -o subformat=streamOptimized", "vmdk", Format::Vmdk),
        ("-f vdi", "vdi", Format::Vdi),
        ("-f vdi -o static=on", "vdi", Format::Vdi),
        ("-f vpc -o force_size=on", "vhd", Format::Vhd),
        ("-f vpc -o force_size=on,subformat=fixed", "vhd", Format::Vhd),
        ("-f vhdx", "vhdx", Format::Vhdx),
        ("-f vhdx -o subformat=fixed", "vhdx", Format::Vhdx),
        ("-f raw", "raw", Format::Raw),
    ] {
        let Some(file) = create(folder.path(), arguments) else { return };
        let checked = check_file(declared, &file).unwrap_or_else(|refusal| panic!("{arguments}: {refusal}"));
        assert_eq!((checked.format, checked.virtual_size), (format, Some(SIZE)), "{arguments}");
    }
}

#[test]
fn what_qemu_writes_with_another_file_in_mind_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("base"), vec![0; SIZE as usize]).unwrap();
    for (arguments, declared, reason) in [
        ("-f qcow2 -b base -F raw", "qcow2", Unsafe::BackingFile),
        ("-f qcow2 -o data_file=other", "qcow2", Unsafe::DataFile),
        ("-f vmdk -o subformat=monolithicFlat", "vmdk", Unsafe::Variant("monolithicflat".into())),
    ] {
        let Some(file) = create(folder.path(), arguments) else { return };
        assert_eq!(findings(declared, &file), [reason], "{arguments}");
    }
}

#[test]
fn cve_2024_40767_what_qemu_writes_is_not_accepted_as_raw() {
    let folder = tempfile::tempdir().unwrap();
    for format in ["qcow2", "vmdk", "vdi", "vpc", "vhdx", "qed", "parallels"] {
        let Some(file) = create(folder.path(), &format!("-f {format}")) else { return };
        assert!(check_file("raw", &file).is_err(), "{format}");
    }
}
