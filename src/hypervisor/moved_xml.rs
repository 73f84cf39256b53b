//! A running domain's XML, as it shall be on another host.
//!
//! The other host needs the very machine that runs (its addresses, its versioned type, its CPU to the last feature), with
//! what belongs to the host exchanged: files, bridges, the serial log, the epoch. So this one XML is edited in place, where
//! the parser says that a value stands. What is put in comes from the wish alone (CVE-2020-17376: nothing of the source may
//! be left in what the target keeps), and the definition is made anew from the wish at the next start anyway.

use super::MachineSpec;
use super::domain_xml::target_names;
use super::xml::escape;
use roxmltree::{Document, Node};
use std::ops::Range;

/// The domain as it shall run there; `None` for XML that is none of ours, or not of this machine.
pub fn moved(xml: &str, there: &MachineSpec) -> Option<String> {
    let document = Document::parse(xml).ok()?;
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    let mut set = |node: Node<'_, '_>, name: &str, value: &str| {
        let attribute = node.attribute_node(name)?;
        edits.push((attribute.range_value(), escape(value)));
        Some(())
    };
    let child =
        |node: Node<'_, '_>, name: &str| node.children().find(|inner| inner.has_tag_name(name)).map(|inner| inner.id());
    let node = |id| document.get_node(id);
    let targets = target_names(there);
    let mut removed = Vec::new();
    let mut disks = 0;
    for disk in document.descendants().filter(|node| node.has_tag_name("disk")) {
        let name = node(child(disk, "target")?)?.attribute("dev")?;
        let place = targets.iter().position(|target| target == name)?;
        set(node(child(disk, "source")?)?, "file", there.disks[place].path.to_str()?)?;
        // The files behind it are named by the target's own.
        removed.extend(child(disk, "backingStore").and_then(node).map(|behind| behind.range()));
        disks += 1;
    }
    if disks != there.disks.len() {
        return None;
    }
    for interface in document.descendants().filter(|node| node.has_tag_name("interface")) {
        let mac = node(child(interface, "mac")?)?.attribute("address")?;
        let wish = there.interfaces.iter().find(|wish| wish.mac == mac)?;
        set(node(child(interface, "source")?)?, "bridge", &wish.bridge)?;
    }
    for log in document.descendants().filter(|node| node.has_tag_name("log")) {
        set(log, "file", there.console_log.to_str()?)?;
    }
    let epoch = document.descendants().find(|node| node.has_tag_name((super::domain_xml::NAMESPACE, "epoch")))?;
    edits.push((epoch.first_child()?.range(), there.epoch.0.to_string()));
    edits.extend(removed.into_iter().map(|range| (range, String::new())));
    edits.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    let mut text = xml.to_owned();
    for (range, value) in edits {
        text.replace_range(range, &value);
    }
    Some(text)
}

/// The guest's CPU in a domain's XML, to be compared with a host's.
pub fn cpu(xml: &str) -> Option<String> {
    let document = Document::parse(xml).ok()?;
    let cpu = document.root_element().children().find(|node| node.has_tag_name("cpu"))?;
    Some(xml[cpu.range()].to_owned())
}

/// The names of the disks that have to be carried: those that the guest writes on.
pub fn carried(there: &MachineSpec) -> Vec<String> {
    let names = target_names(there).into_iter().zip(&there.disks);
    names.filter(|(_, disk)| !disk.read_only).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hypervisor::{
        About, Accelerator, DiskBus, DiskDevice, DiskFormat, DiskSpec, Epoch, InterfaceSpec, domain_xml,
    };
    use crate::ids::ServerId;

    fn spec(host: &str, epoch: u64) -> MachineSpec {
        let disk = |file: &str, read_only| DiskSpec {
            path: format!("/{host}/{file}").into(),
            format: DiskFormat::Qcow2,
            bus: DiskBus::Virtio,
            device: DiskDevice::Disk,
            read_only,
        };
        let interface = InterfaceSpec {
            mac: "fa:16:3e:00:00:01".to_owned(),
            tap: "tap1".to_owned(),
            bridge: format!("br-{host}"),
            mtu: 1500,
        };
        MachineSpec {
            id: ServerId::parse("11111111-2222-4333-8444-555555555555").unwrap(),
            epoch: Epoch(epoch),
            name: "instance-1".to_owned(),
            vcpus: 1,
            memory_mib: 64,
            disks: vec![disk("disk.qcow2", false), disk("config.iso", true)],
            interfaces: vec![interface],
            console_log: format!("/{host}/console.log").into(),
            about: About { display_name: "a & <b>".to_owned(), ..About::default() },
        }
    }

    #[test]
    fn what_belongs_to_the_host_is_exchanged_and_nothing_else() {
        let xml = domain_xml::domain(&spec("one", 3), "cloud", Accelerator::Tcg);
        let there = domain_xml::domain(&spec("two", 4), "cloud", Accelerator::Tcg);
        assert_eq!(moved(&xml, &spec("two", 4)).unwrap(), there);
        assert!(!there.contains("/one/") && !there.contains("br-one"));
    }

    #[test]
    fn files_behind_a_disk_are_left_to_the_target() {
        let xml = domain_xml::domain(&spec("one", 3), "cloud", Accelerator::Tcg);
        let behind =
            "<backingStore type='file'><format type='qcow2'/><source file='/one/base'/><backingStore/></backingStore>";
        let running = xml.replacen("<target dev='vda'", &format!("{behind}<target dev='vda'"), 1);
        assert_ne!(running, xml);
        assert!(!moved(&running, &spec("two", 4)).unwrap().contains("/one/"));
    }

    #[test]
    fn another_machines_xml_is_not_taken_for_it() {
        let xml = domain_xml::domain(&spec("one", 3), "cloud", Accelerator::Tcg);
        let mut fewer = spec("two", 4);
        fewer.disks.pop();
        assert_eq!(moved(&xml, &fewer), None);
        let mut other = spec("two", 4);
        other.interfaces[0].mac = "fa:16:3e:00:00:02".to_owned();
        assert_eq!(moved(&xml, &other), None);
        assert_eq!(moved("<domain/>", &spec("two", 4)), None);
    }

    #[test]
    fn only_disks_that_are_written_on_are_carried() {
        assert_eq!(carried(&spec("two", 4)), ["vda"]);
    }
}
