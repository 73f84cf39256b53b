"""Disks besides its own: a flavor's ephemeral disk and swap, as the guest finds them, through a resize and back; and some that
a request cuts."""

import os
import re
import subprocess

from tenant import Tenant

GIB = 2**30
MIB = 2**20


def blkid(path, tag):
    """What a disk's file is told to hold by a program that is not ours."""
    done = subprocess.run(["blkid", "-p", "-o", "value", "-s", tag, path], capture_output=True, text=True)
    return done.stdout.strip()


def walk(journey, tenant: Tenant, names):
    flavor = ["flavor", "create", "--vcpus", "1", "--ram", "192", "--disk", "1"]
    tenant.command(*flavor, "--ephemeral", "2", "--swap", "64", names["flavor"])
    tenant.command(*flavor, "--ephemeral", "3", "--swap", "128", names["larger"])
    server, machine = tenant.boot(names["more disks"], flavor=names["flavor"])
    tenant.is_up(server)
    targets = [target for target, _ in machine.disks]
    journey.claim("its own disk, the ephemeral one, swap and the config drive stand in this order",
                  targets == ["vda", "vdb", "vdc", "vdd"], machine.disks)
    ephemeral, swap = (file for _, file in machine.disks[1:3])
    journey.claim("the ephemeral disk is ext4 with its label, as blkid reads it",
                  (blkid(ephemeral, "TYPE"), blkid(ephemeral, "LABEL")) == ("ext4", "ephemeral0"), ephemeral)
    journey.claim("swap is swap, as blkid reads it", blkid(swap, "TYPE") == "swap", swap)
    sizes = os.stat(ephemeral), os.stat(swap)
    journey.claim("both are as large as the flavor says", [size.st_size for size in sizes] == [2 * GIB, 64 * MIB], sizes)
    journey.claim("and sparse", all(size.st_blocks * 512 < size.st_size / 4 for size in sizes), sizes)
    found = tenant.hears(server, rf"GUEST: disk vdb sectors={2 * GIB // 512} label=ephemeral0")
    journey.claim("the guest sees the ephemeral disk", found, tenant.console(server)[-600:])
    found = tenant.hears(server, rf"GUEST: disk vdc sectors={64 * MIB // 512} label= mark=SWAPSPACE2")
    journey.claim("the guest sees its swap", found, tenant.console(server)[-600:])

    tenant.order("server", "resize", "--flavor", names["larger"], "--wait", server)
    tenant.becomes(server, "VERIFY_RESIZE")
    found = tenant.hears(server, rf"GUEST: disk vdb sectors={3 * GIB // 512} label=ephemeral0")
    journey.claim("after a resize the guest sees a larger disk with the same label", found, tenant.console(server)[-600:])
    found = tenant.hears(server, rf"GUEST: disk vdc sectors={128 * MIB // 512} label= mark=SWAPSPACE2")
    journey.claim("and larger swap", found, tenant.console(server)[-600:])
    tenant.order("server", "resize", "revert", server)
    tenant.becomes(server, "ACTIVE")
    journey.claim("taken back, it has the disks it had", [file for _, file in machine.disks[1:3]] == [ephemeral, swap], machine.disks)
    folder = os.path.dirname(ephemeral)
    journey.claim("and nothing of the others is left", not [name for name in os.listdir(folder) if ".1" in name], os.listdir(folder))
    tenant.delete(server)
    journey.claim("its files go with it", not os.path.exists(folder), folder)

    cut, machine = tenant.boot(names["cut disks"], "--ephemeral", "size=1,format=ext3", "--swap", "32", flavor=names["flavor"])
    files = [file for _, file in machine.disks]
    journey.claim("a request cuts them: one ephemeral GiB as ext3, 32 MiB of swap",
                  [(blkid(file, "TYPE"), os.stat(file).st_size) for file in files[1:3]] == [("ext3", GIB), ("swap", 32 * MIB)], files)
    refused = tenant.order("server", "create", "--image", tenant.image, "--flavor", names["flavor"], "--network", tenant.network,
                           "--ephemeral", "size=3", names["cut disks"], may_fail=True)
    journey.claim("more than the flavor gives is refused", "Ephemeral disks requested are larger" in refused.complaint, refused.complaint)
    tenant.delete(cut)
    other_buses(journey, tenant, names)
    for name in (names["flavor"], names["larger"]):
        tenant.command("flavor", "delete", name)


def device(size, **said):
    words = {"source_type": "blank", "destination_type": "local", "volume_size": size, **said}
    return ["--block-device", ",".join(f"{name}={value}" for name, value in words.items())]


def buses(machine):
    """Bus, kind and whether the guest may only read, of each disk but the config drive, as libvirt runs it: in its order."""
    blocks = re.findall(r"<disk type='file' device='(\w+)'>(.*?)</disk>", machine.description, re.S)
    return sorted((re.search(r"bus='(\w+)'", block)[1], kind, "<readonly/>" in block)
                  for kind, block in blocks if "config.iso" not in block)


def other_buses(journey, tenant, names):
    """Buses other than virtio, and a disc in a drive."""
    told = ["--property", "disk_drivers=all"]
    server, machine = tenant.boot(names["other buses"], *told, *device(1, disk_bus="scsi"),
                                  *device(32, disk_bus="ide", guest_format="swap"), flavor=names["flavor"])
    found = buses(machine)
    journey.claim("one disk is on SCSI and swap on IDE, as libvirt runs them",
                  found == [("ide", "disk", False), ("scsi", "disk", False), ("virtio", "disk", False)], found)
    found = tenant.hears(server, rf"GUEST: disk sd[ab] sectors={GIB // 512} label=ephemeral0")
    journey.claim("the guest sees the disk on SCSI", found, tenant.console(server)[-600:])
    found = tenant.hears(server, rf"GUEST: disk sd[ab] sectors={32 * MIB // 512} label= mark=SWAPSPACE2")
    journey.claim("and its swap on IDE", found, tenant.console(server)[-600:])
    tenant.delete(server)

    server, machine = tenant.boot(names["other buses"], *told, *device(1, disk_bus="ide", device_type="cdrom"),
                                  *device(32, disk_bus="usb", guest_format="swap"), flavor=names["flavor"])
    found = buses(machine)
    journey.claim("a disc is in a drive on IDE, which can't be written on, and swap on USB, as libvirt runs them",
                  found == [("ide", "cdrom", True), ("usb", "disk", False), ("virtio", "disk", False)], found)
    found = tenant.hears(server, rf"GUEST: disk sr0 sectors={GIB // 512} label=ephemeral0")
    journey.claim("the guest sees the disc", found, tenant.console(server)[-600:])
    tenant.delete(server)

    server, machine = tenant.boot(names["other buses"], *device(1, disk_bus="sata"), flavor=names["flavor"])
    tenant.is_up(server)
    found = buses(machine)
    journey.claim("a disk is on SATA, as libvirt runs it", ("sata", "disk", False) in found, found)
    refused = tenant.order("server", "create", "--image", tenant.image, "--flavor", names["flavor"], "--network", tenant.network,
                           *device(1, disk_bus="virtio", device_type="cdrom"), names["other buses"], may_fail=True)
    journey.claim("a disc on virtio is refused", "A cdrom can't be on the bus virtio" in refused.complaint, refused.complaint)
    tenant.delete(server)
