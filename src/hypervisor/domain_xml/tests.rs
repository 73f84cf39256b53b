//! The XML of each kind of machine, whole, and the way back from it.

use super::*;
use crate::hypervisor::About;
use crate::ids::ServerId;

fn plain() -> MachineSpec {
    MachineSpec {
        id: ServerId::parse("7ee05a9a-35d6-4d44-ae45-4f9ab1b4e3f3").unwrap(),
        epoch: Epoch(3),
        name: "instance-7ee05a9a".to_owned(),
        vcpus: 2,
        memory_mib: 512,
        disks: vec![DiskSpec {
            path: "/disks/disk.qcow2".into(),
            format: DiskFormat::Qcow2,
            bus: DiskBus::Virtio,
            device: DiskDevice::Disk,
            read_only: false,
        }],
        interfaces: Vec::new(),
        console_log: "/disks/console.log".into(),
        about: About {
            display_name: "web".to_owned(),
            project_id: "p".to_owned(),
            user_id: "u".to_owned(),
            flavor_name: "m1.tiny".to_owned(),
        },
    }
}

fn cdrom() -> DiskSpec {
    DiskSpec {
        path: "/disks/config.iso".into(),
        format: DiskFormat::Raw,
        bus: DiskBus::Ide,
        device: DiskDevice::Cdrom,
        read_only: true,
    }
}

fn card(number: u8) -> InterfaceSpec {
    InterfaceSpec {
        mac: format!("fa:16:3e:00:00:0{number}"),
        tap: format!("tap{number}"),
        bridge: "br0".to_owned(),
        mtu: 1450,
    }
}

/// The elements of this name, each with what is in it.
fn elements(xml: &str, name: &str) -> String {
    let document = roxmltree::Document::parse(xml).unwrap();
    let found = document.descendants().filter(|node| node.has_tag_name(name));
    found.map(|node| &xml[node.range()]).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_plain_machine_on_kvm() {
    let xml = domain(&plain(), "cloud-1", Accelerator::Kvm).replace(env!("CARGO_PKG_VERSION"), "[version]");
    insta::assert_snapshot!(xml, @r"
    <domain type='kvm'>
      <name>instance-7ee05a9a</name>
      <uuid>7ee05a9a-35d6-4d44-ae45-4f9ab1b4e3f3</uuid>
      <metadata>
        <gapura:machine xmlns:gapura='urn:gapura:machine:1'>
          <gapura:cloud>cloud-1</gapura:cloud>
          <gapura:epoch>3</gapura:epoch>
          <gapura:name>web</gapura:name>
          <gapura:project>p</gapura:project>
          <gapura:user>u</gapura:user>
          <gapura:flavor>m1.tiny</gapura:flavor>
        </gapura:machine>
      </metadata>
      <memory unit='MiB'>512</memory>
      <vcpu>2</vcpu>
      <sysinfo type='smbios'>
        <system>
          <entry name='manufacturer'>Gapura</entry>
          <entry name='product'>OpenStack Nova</entry>
          <entry name='version'>[version]</entry>
          <entry name='serial'>7ee05a9a-35d6-4d44-ae45-4f9ab1b4e3f3</entry>
          <entry name='uuid'>7ee05a9a-35d6-4d44-ae45-4f9ab1b4e3f3</entry>
          <entry name='family'>Virtual Machine</entry>
        </system>
      </sysinfo>
      <os>
        <type arch='x86_64' machine='pc'>hvm</type>
        <boot dev='hd'/>
        <smbios mode='sysinfo'/>
      </os>
      <features>
        <acpi/>
        <apic/>
      </features>
      <cpu mode='host-model'/>
      <clock offset='utc'>
        <timer name='pit' tickpolicy='delay'/>
        <timer name='rtc' tickpolicy='catchup'/>
        <timer name='hpet' present='no'/>
      </clock>
      <on_poweroff>destroy</on_poweroff>
      <on_reboot>restart</on_reboot>
      <on_crash>destroy</on_crash>
      <devices>
        <disk type='file' device='disk'>
          <driver name='qemu' type='qcow2' cache='none' discard='unmap'/>
          <source file='/disks/disk.qcow2'/>
          <target dev='vda' bus='virtio'/>
        </disk>
        <controller type='usb' model='none'/>
        <serial type='pty'>
          <log file='/disks/console.log' append='on'/>
          <target port='0'/>
        </serial>
        <channel type='unix'>
          <target type='virtio' name='org.qemu.guest_agent.0'/>
        </channel>
        <input type='tablet' bus='virtio'/>
        <graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'/>
        <video>
          <model type='virtio'/>
        </video>
        <memballoon model='virtio'>
          <stats period='10'/>
        </memballoon>
        <rng model='virtio'>
          <backend model='random'>/dev/urandom</backend>
        </rng>
      </devices>
    </domain>
    ");
}

#[test]
fn an_emulated_machine_differs_in_type_and_cpu_alone() {
    let kvm = domain(&plain(), "cloud-1", Accelerator::Kvm);
    let tcg = domain(&plain(), "cloud-1", Accelerator::Tcg);
    insta::assert_snapshot!(elements(&tcg, "cpu"), @r"
    <cpu mode='custom' match='exact'>
        <model fallback='forbid'>Nehalem</model>
      </cpu>
    ");
    let as_kvm = tcg.replace("<domain type='qemu'>", "<domain type='kvm'>");
    assert_eq!(as_kvm.replace(&elements(&tcg, "cpu"), &elements(&kvm, "cpu")), kvm);
}

#[test]
fn a_config_drive_is_a_read_only_cd() {
    let mut spec = plain();
    spec.disks.push(cdrom());
    insta::assert_snapshot!(elements(&domain(&spec, "cloud-1", Accelerator::Kvm), "disk"), @r"
    <disk type='file' device='disk'>
          <driver name='qemu' type='qcow2' cache='none' discard='unmap'/>
          <source file='/disks/disk.qcow2'/>
          <target dev='vda' bus='virtio'/>
        </disk>
    <disk type='file' device='cdrom'>
          <driver name='qemu' type='raw'/>
          <source file='/disks/config.iso'/>
          <target dev='hda' bus='ide'/>
          <readonly/>
        </disk>
    ");
}

#[test]
fn two_cards_join_their_bridges_under_the_given_taps() {
    let spec = MachineSpec { interfaces: vec![card(1), card(2)], ..plain() };
    insta::assert_snapshot!(elements(&domain(&spec, "cloud-1", Accelerator::Kvm), "interface"), @r"
    <interface type='bridge'>
          <mac address='fa:16:3e:00:00:01'/>
          <source bridge='br0'/>
          <target dev='tap1'/>
          <model type='virtio'/>
          <mtu size='1450'/>
          <rom enabled='no'/>
        </interface>
    <interface type='bridge'>
          <mac address='fa:16:3e:00:00:02'/>
          <source bridge='br0'/>
          <target dev='tap2'/>
          <model type='virtio'/>
          <mtu size='1450'/>
          <rom enabled='no'/>
        </interface>
    ");
}

/// CVE-2024-32498 and kin: a disk whose format is not stated is probed, and a guest writes what it likes on its disk.
#[test]
fn every_disk_states_its_format() {
    let mut spec = plain();
    spec.disks.extend([cdrom(), cdrom()]);
    let xml = domain(&spec, "cloud-1", Accelerator::Kvm);
    let document = roxmltree::Document::parse(&xml).unwrap();
    let drivers: Vec<_> = document.descendants().filter(|node| node.has_tag_name("driver")).collect();
    assert_eq!(drivers.len(), 3);
    assert!(drivers.iter().all(|driver| driver.has_attribute("type")));
}

#[test]
fn a_tenants_text_stays_text() {
    let evil = "</gapura:name></metadata><evil/>\0\u{1b}]]>&lt;'\"";
    let about = || evil.to_owned();
    let spec = MachineSpec {
        name: evil.to_owned(),
        about: About { display_name: about(), project_id: about(), user_id: about(), flavor_name: about() },
        ..plain()
    };
    let xml = domain(&spec, "cloud-1", Accelerator::Kvm);
    let document = roxmltree::Document::parse(&xml).unwrap();
    assert!(!document.descendants().any(|node| node.has_tag_name("evil")));
    let shown = evil.replace(['\0', '\u{1b}'], "\u{fffd}");
    assert_eq!(name(&xml), Some(shown.clone()));
    let about = owner(&xml).unwrap().about;
    assert_eq!(about.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), [shown.as_str(); 4]);
}

#[test]
fn the_owner_is_read_back_and_others_have_none() {
    let owner = owner(&domain(&plain(), "cloud-1", Accelerator::Kvm)).unwrap();
    assert_eq!((owner.cloud.as_str(), owner.epoch), ("cloud-1", Epoch(3)));
    assert_eq!(owner.about[0], ("name", "web".to_owned()));
    assert_eq!(super::owner("<domain><name>web</name></domain>"), None);
    let imitation = "<domain><metadata><machine><cloud>cloud-1</cloud><epoch>1</epoch></machine></metadata></domain>";
    assert_eq!(super::owner(imitation), None, "the name without the namespace is somebody else's");
}

#[test]
fn targets_are_named_in_order_and_by_family() {
    let mut names = TargetNames::default();
    let buses = [DiskBus::Virtio, DiskBus::Ide, DiskBus::Virtio, DiskBus::Sata, DiskBus::Scsi, DiskBus::Usb];
    assert_eq!(buses.map(|bus| names.next(bus)), ["vda", "hda", "vdb", "sda", "sdb", "sdc"]);
    assert_eq!([25, 26, 701, 702].map(letters), ["z", "aa", "zz", "aaa"]);
}

#[test]
fn a_machine_has_a_usb_controller_only_for_a_disk_on_usb() {
    let mut spec = plain();
    assert!(domain(&spec, "c", Accelerator::Kvm).contains("<controller type='usb' model='none'/>"));
    spec.disks[0].bus = DiskBus::Usb;
    assert!(domain(&spec, "c", Accelerator::Kvm).contains("<controller type='usb' model='qemu-xhci'/>"));
}

#[test]
fn a_stopped_machine_has_no_vnc_port() {
    assert_eq!(vnc_port("<domain><devices><graphics type='vnc' port='5901'/></devices></domain>"), Some(5901));
    assert_eq!(vnc_port("<domain><devices><graphics type='vnc' port='-1'/></devices></domain>"), None);
}
