//! What a machine is, in libvirt's words: `MachineSpec` in, `<domain>` out, and our own metadata read back.
//!
//! The XML is made anew from the wish at every start and never edited, so nothing that a guest, a migration or an
//! earlier version left behind survives (CVE-2020-17376). Three choices are worth their reasons:
//!
//! * **Machine type `pc`.** Old and new guests boot it, its IDE CD-ROM needs no driver, and cards can be added while it
//!   runs without ports reserved beforehand, which `q35` needs. libvirt writes the versioned name (`pc-i440fx-10.0`)
//!   into the definition, so a live migration keeps it.
//! * **CPU.** `host-model` on KVM: nearly all of the host, under a name that other hosts can compare. Never
//!   `host-passthrough`, which migrates only between twins. Under emulation `Nehalem`, the oldest model that runs
//!   distributions built for x86-64-v2; it boots as fast as the default `qemu64`, which does not run them.
//! * **SMBIOS product `OpenStack Nova`.** cloud-init looks for OpenStack's data source only where it reads that name.

use super::xml::Element;
use super::{Accelerator, CpuFacts, DiskBus, DiskDevice, DiskFormat, DiskSpec, Epoch, InterfaceSpec, MachineSpec};

/// The namespace of our element in a domain's `<metadata>`.
pub const NAMESPACE: &str = "urn:gapura:machine:1";
/// The prefix it is written with.
pub const PREFIX: &str = "gapura";

/// The domain's XML. `cloud` is the id of the Gapura that owns it.
pub fn domain(spec: &MachineSpec, cloud: &str, accelerator: Accelerator) -> String {
    let kind = match accelerator {
        Accelerator::Kvm => "kvm",
        Accelerator::Tcg => "qemu",
        Accelerator::None => "test",
    };
    Element::new("domain")
        .with("type", kind)
        .child(Element::new("name").text(&spec.name))
        .child(Element::new("uuid").text(spec.id))
        .child(Element::new("metadata").child(machine(spec, cloud).with(XMLNS, NAMESPACE)))
        .child(Element::new("memory").with("unit", "MiB").text(spec.memory_mib))
        .child(Element::new("vcpu").text(spec.vcpus))
        .child(sysinfo(spec))
        .child(
            Element::new("os")
                .child(Element::new("type").with("arch", "x86_64").with("machine", "pc").text("hvm"))
                .child(Element::new("boot").with("dev", "hd"))
                .child(Element::new("smbios").with("mode", "sysinfo")),
        )
        .child(Element::new("features").child(Element::new("acpi")).child(Element::new("apic")))
        .children(cpu(accelerator))
        .child(clock())
        .child(Element::new("on_poweroff").text("destroy"))
        .child(Element::new("on_reboot").text("restart"))
        .child(Element::new("on_crash").text("destroy"))
        .child(devices(spec))
        .render()
}

const XMLNS: &str = "xmlns:gapura";

/// Our element alone, as `virDomainSetMetadata` takes it: it adds prefix and namespace itself.
pub fn metadata(owner: &Owner) -> String {
    let mut element = Element::new("machine")
        .child(Element::new("cloud").text(&owner.cloud))
        .child(Element::new("epoch").text(owner.epoch.0));
    for (name, text) in &owner.about {
        element = element.child(Element::new(name).text(text));
    }
    element.render()
}

fn machine(spec: &MachineSpec, cloud: &str) -> Element {
    Element::new("gapura:machine")
        .child(Element::new("gapura:cloud").text(cloud))
        .child(Element::new("gapura:epoch").text(spec.epoch.0))
        .child(Element::new("gapura:name").text(&spec.about.display_name))
        .child(Element::new("gapura:project").text(&spec.about.project_id))
        .child(Element::new("gapura:user").text(&spec.about.user_id))
        .child(Element::new("gapura:flavor").text(&spec.about.flavor_name))
}

fn sysinfo(spec: &MachineSpec) -> Element {
    let entry = |name: &str, text: &str| Element::new("entry").with("name", name).text(text);
    Element::new("sysinfo").with("type", "smbios").child(
        Element::new("system")
            .child(entry("manufacturer", "Gapura"))
            .child(entry("product", "OpenStack Nova"))
            .child(entry("version", env!("CARGO_PKG_VERSION")))
            .child(entry("serial", &spec.id.to_string()))
            .child(entry("uuid", &spec.id.to_string()))
            .child(entry("family", "Virtual Machine")),
    )
}

fn cpu(accelerator: Accelerator) -> Option<Element> {
    match accelerator {
        Accelerator::Kvm => Some(Element::new("cpu").with("mode", "host-model")),
        Accelerator::Tcg => Some(
            Element::new("cpu")
                .with("mode", "custom")
                .with("match", "exact")
                .child(Element::new("model").with("fallback", "forbid").text("Nehalem")),
        ),
        Accelerator::None => None,
    }
}

/// Lost ticks are made up for in the real-time clock and merged in the interval timer, as guests expect of hardware.
fn clock() -> Element {
    let timer = |name: &str| Element::new("timer").with("name", name);
    Element::new("clock")
        .with("offset", "utc")
        .child(timer("pit").with("tickpolicy", "delay"))
        .child(timer("rtc").with("tickpolicy", "catchup"))
        .child(timer("hpet").with("present", "no"))
}

fn devices(spec: &MachineSpec) -> Element {
    let mut names = TargetNames::default();
    let has = |bus| spec.disks.iter().any(|disk| disk.bus == bus);
    // Without USB the guest's CPU is left alone by a polling controller; the pointer is a virtio tablet.
    let usb = if has(DiskBus::Usb) { "qemu-xhci" } else { "none" };
    Element::new("devices")
        .children(spec.disks.iter().map(|spec| disk(spec, names.next(spec.bus))))
        .child(Element::new("controller").with("type", "usb").with("model", usb))
        .children(
            has(DiskBus::Scsi).then(|| Element::new("controller").with("type", "scsi").with("model", "virtio-scsi")),
        )
        .children(spec.interfaces.iter().map(interface))
        .child(serial(spec))
        .child(
            Element::new("channel")
                .with("type", "unix")
                .child(Element::new("target").with("type", "virtio").with("name", "org.qemu.guest_agent.0")),
        )
        .child(Element::new("input").with("type", "tablet").with("bus", "virtio"))
        .child(
            Element::new("graphics")
                .with("type", "vnc")
                .with("port", -1)
                .with("autoport", "yes")
                .with("listen", "127.0.0.1"),
        )
        .child(Element::new("video").child(Element::new("model").with("type", "virtio")))
        .child(Element::new("memballoon").with("model", "virtio").child(Element::new("stats").with("period", 10)))
        .child(
            Element::new("rng")
                .with("model", "virtio")
                .child(Element::new("backend").with("model", "random").text("/dev/urandom")),
        )
}

fn disk(spec: &DiskSpec, target: String) -> Element {
    let device = match spec.device {
        DiskDevice::Disk => "disk",
        DiskDevice::Cdrom => "cdrom",
    };
    let format = match spec.format {
        DiskFormat::Raw => "raw",
        DiskFormat::Qcow2 => "qcow2",
    };
    let bus = match spec.bus {
        DiskBus::Virtio => "virtio",
        DiskBus::Sata => "sata",
        DiskBus::Scsi => "scsi",
        DiskBus::Ide => "ide",
        DiskBus::Usb => "usb",
    };
    let mut driver = Element::new("driver").with("name", "qemu").with("type", format);
    if !spec.read_only {
        // Bypasses the host's page cache: what the guest flushed is on the disk, and a migration can't read stale pages.
        driver = driver.with("cache", "none").with("discard", "unmap");
    }
    Element::new("disk")
        .with("type", "file")
        .with("device", device)
        .child(driver)
        .child(Element::new("source").with("file", spec.path.display()))
        .child(Element::new("target").with("dev", target).with("bus", bus))
        .children(spec.read_only.then(|| Element::new("readonly")))
}

/// The names of a machine's disks, in their order.
pub fn target_names(spec: &MachineSpec) -> Vec<String> {
    let mut names = TargetNames::default();
    spec.disks.iter().map(|disk| names.next(disk.bus)).collect()
}

/// `vda`, `vdb`, …; each bus family counts for itself.
#[derive(Default)]
struct TargetNames {
    virtio: usize,
    scsi_like: usize,
    ide: usize,
}

impl TargetNames {
    fn next(&mut self, bus: DiskBus) -> String {
        let (prefix, count) = match bus {
            DiskBus::Virtio => ("vd", &mut self.virtio),
            DiskBus::Sata | DiskBus::Scsi | DiskBus::Usb => ("sd", &mut self.scsi_like),
            DiskBus::Ide => ("hd", &mut self.ide),
        };
        let letters = letters(*count);
        *count += 1;
        format!("{prefix}{letters}")
    }
}

/// 0 is `a`, 25 is `z`, 26 is `aa`.
fn letters(mut index: usize) -> String {
    let mut reversed = Vec::new();
    loop {
        reversed.push(char::from(b'a' + u8::try_from(index % 26).expect("less than 26")));
        if index < 26 {
            return reversed.iter().rev().collect();
        }
        index = index / 26 - 1;
    }
}

fn interface(spec: &InterfaceSpec) -> Element {
    Element::new("interface")
        .with("type", "bridge")
        .child(Element::new("mac").with("address", &spec.mac))
        .child(Element::new("source").with("bridge", &spec.bridge))
        .child(Element::new("target").with("dev", &spec.tap))
        .child(Element::new("model").with("type", "virtio"))
        .child(Element::new("mtu").with("size", spec.mtu))
        // No network boot: the card's own ROM would only slow the start.
        .child(Element::new("rom").with("enabled", "no"))
}

fn serial(spec: &MachineSpec) -> Element {
    Element::new("serial")
        .with("type", "pty")
        .child(Element::new("log").with("file", spec.console_log.display()).with("append", "on"))
        .child(Element::new("target").with("port", 0))
}

/// What our metadata element says of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub cloud: String,
    pub epoch: Epoch,
    /// The rest of the element, kept as it is when a newer epoch is written.
    pub about: Vec<(&'static str, String)>,
}

const ABOUT: [&str; 4] = ["name", "project", "user", "flavor"];

/// Reads our element out of a domain's XML; `None` when the domain is not one of Gapura's.
pub fn owner(xml: &str) -> Option<Owner> {
    let document = roxmltree::Document::parse(xml).ok()?;
    let machine = document.descendants().find(|node| node.has_tag_name((NAMESPACE, "machine")))?;
    let text = |name: &str| {
        let child = machine.children().find(|node| node.tag_name().name() == name)?;
        Some(child.text().unwrap_or_default().to_owned())
    };
    Some(Owner {
        cloud: text("cloud")?,
        epoch: Epoch(text("epoch")?.parse().ok()?),
        about: ABOUT.iter().filter_map(|name| Some((*name, text(name)?))).collect(),
    })
}

/// The port of the VNC display in a running domain's XML.
pub fn vnc_port(xml: &str) -> Option<u16> {
    let document = roxmltree::Document::parse(xml).ok()?;
    let graphics = document.descendants().find(|node| node.has_tag_name("graphics"))?;
    graphics.attribute("port")?.parse().ok()
}

/// A domain's disks and interfaces, by the names that libvirt counts them under.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub disks: Vec<String>,
    /// Tap and MAC address.
    pub interfaces: Vec<(String, String)>,
}

pub fn counted(xml: &str) -> Counted {
    let Ok(document) = roxmltree::Document::parse(xml) else { return Counted::default() };
    let attribute = |node: roxmltree::Node<'_, '_>, child: &str, name: &str| {
        let child = node.children().find(|inner| inner.has_tag_name(child))?;
        child.attribute(name).map(str::to_owned)
    };
    let all = |tag: &'static str| document.descendants().filter(move |node| node.has_tag_name(tag));
    Counted {
        disks: all("disk").filter_map(|disk| attribute(disk, "target", "dev")).collect(),
        interfaces: all("interface")
            .filter_map(|one| Some((attribute(one, "target", "dev")?, attribute(one, "mac", "address")?)))
            .collect(),
    }
}

/// What libvirt is told to copy one disk into a new qcow2 file.
pub fn backup(disk: &str, target: &str) -> String {
    let disk = Element::new("disk")
        .with("name", disk)
        .with("type", "file")
        .child(Element::new("driver").with("type", "qcow2"))
        .child(Element::new("target").with("file", target));
    Element::new("domainbackup").with("mode", "push").child(Element::new("disks").child(disk)).render()
}

/// The name in a domain's XML.
pub fn name(xml: &str) -> Option<String> {
    let document = roxmltree::Document::parse(xml).ok()?;
    let name = document.root_element().children().find(|node| node.has_tag_name("name"))?;
    name.text().map(str::to_owned)
}

/// By which libvirt tells this machine from others, as its capabilities say; empty where they don't.
pub fn host_uuid(capabilities: &str) -> String {
    let Ok(document) = roxmltree::Document::parse(capabilities) else { return String::new() };
    let host = document.root_element().children().find(|node| node.has_tag_name("host"));
    let uuid = host.and_then(|host| host.children().find(|node| node.has_tag_name("uuid")));
    uuid.and_then(|uuid| uuid.text()).unwrap_or_default().trim().to_owned()
}

/// The element that describes the host's CPU in its capabilities.
pub fn host_cpu_element(capabilities: &str) -> Option<&str> {
    let document = roxmltree::Document::parse(capabilities).ok()?;
    let cpu = document.descendants().find(|node| node.has_tag_name("cpu"))?;
    capabilities.get(cpu.range())
}

/// The host's CPU, as its capabilities describe it; what they leave out stays empty.
pub fn host_cpu(capabilities: &str) -> CpuFacts {
    let Ok(document) = roxmltree::Document::parse(capabilities) else { return CpuFacts::default() };
    let Some(cpu) = document.descendants().find(|node| node.has_tag_name("cpu")) else { return CpuFacts::default() };
    let text = |name: &str| {
        let child = cpu.children().find(|node| node.has_tag_name(name));
        child.and_then(|node| node.text()).unwrap_or_default().to_owned()
    };
    let features = cpu.children().filter(|node| node.has_tag_name("feature"));
    CpuFacts {
        arch: text("arch"),
        model: text("model"),
        vendor: text("vendor"),
        features: features.filter_map(|node| node.attribute("name")).map(str::to_owned).collect(),
        ..CpuFacts::default()
    }
}

#[cfg(test)]
mod tests;
