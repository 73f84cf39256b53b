"""A machine gets another shape and gets its old one back; another disk; a disk to be rescued from; is put away and back."""

import json
import os

from tenant import Tenant


def resize(journey, tenant: Tenant, names):
    tenant.command("flavor", "create", "--vcpus", "2", "--ram", "192", "--disk", "3", names["flavor"])
    server, machine = tenant.boot(names["resize"])
    tenant.is_up(server)
    small = machine.cores_and_mib
    disk = machine.disk_gib()

    tenant.order("server", "resize", "--flavor", names["flavor"], "--wait", server)
    tenant.becomes(server, "VERIFY_RESIZE")
    journey.claim("the domain has the new cores and memory", machine.cores_and_mib == (2, 192), machine.cores_and_mib)
    journey.claim("its disk has the new size", machine.disk_gib() == 3, machine.disk_gib())
    tenant.order("server", "resize", "revert", server)
    tenant.becomes(server, "ACTIVE")
    journey.claim("taken back, cores and memory are as before", machine.cores_and_mib == small, machine.cores_and_mib)
    journey.claim("taken back, the disk is as before", machine.disk_gib() == disk, (machine.disk_gib(), disk))

    tenant.order("server", "resize", "--flavor", names["flavor"], "--wait", server)
    tenant.order("server", "resize", "confirm", server)
    tenant.becomes(server, "ACTIVE")
    journey.claim("confirmed, it stays", machine.cores_and_mib == (2, 192), machine.cores_and_mib)
    tenant.order("server", "reboot", "--hard", "--wait", server)
    journey.claim("and a hard reboot makes it so again", machine.cores_and_mib == (2, 192) and machine.disk_gib() == 3, machine.cores_and_mib)
    records = json.loads(tenant.command("server", "migration", "list", "--server", server, "-f", "json").text)
    journey.claim("each resize left a record", sorted(row["Status"] for row in records) == ["confirmed", "reverted"], records)
    tenant.delete(server)
    tenant.command("flavor", "delete", names["flavor"])


def rebuild(journey, tenant: Tenant, names):
    server, machine = tenant.boot(names["rebuild"])
    tenant.is_up(server)
    # Held open, so that its number can't become another file's.
    old = open(machine.root_disk(), "rb")
    address = tenant.shown(server)["addresses"]
    tenant.order("server", "rebuild", "--image", names["image"], "--name", names["renamed"], "--hostname", names["renamed"], "--wait", server)
    tenant.becomes(server, "ACTIVE")
    shown = tenant.shown(server)
    journey.claim("it has another disk", not os.path.samestat(os.stat(machine.root_disk()), os.fstat(old.fileno())))
    old.close()
    journey.claim("it names the other image", names["image"] in str(shown["image"]), shown["image"])
    journey.claim("it keeps its address", shown["addresses"] == address, shown["addresses"])
    heard = tenant.hears(server, rf"GUEST: config-drive .*hostname={names['renamed']}")
    journey.claim("its config drive tells the guest the new name", heard)
    tenant.delete(server)


def rescue(journey, tenant: Tenant, names):
    server, machine = tenant.boot(names["rescue"])
    tenant.is_up(server)
    own = machine.root_disk()
    tenant.order("server", "rescue", "--image", names["image"], server)
    tenant.becomes(server, "RESCUE")
    files = [file for _, file in machine.disks]
    journey.claim("it boots from another disk and finds its own beside it", own in files[1:] and files[0] != own, machine.disks)
    journey.claim("it runs", machine.state == "running", machine.state)
    tenant.order("server", "unrescue", server)
    tenant.becomes(server, "ACTIVE")
    journey.claim("afterwards it has its own disk first", machine.root_disk() == own, machine.disks)
    journey.claim("and the rescue disk is gone", own in [file for _, file in machine.disks] and not os.path.exists(files[0]), files)
    tenant.delete(server)


def shelve(journey, tenant: Tenant, names):
    server, machine = tenant.boot(names["shelved"])
    tenant.is_up(server)
    addresses, disk = tenant.shown(server)["addresses"], machine.root_disk()
    tenant.order("server", "shelve", "--offload", "--wait", server)
    tenant.becomes(server, "SHELVED_OFFLOADED")
    journey.claim("neither domain nor disk is left on the host", not machine.state and not os.path.exists(disk), (machine.state, disk))
    kept = [row for row in tenant.ask("image", "list").data if row["Name"] == f"{names['shelved']}-shelved"]
    journey.claim("an image keeps its disk", [row["Status"] for row in kept] == ["active"], kept)
    tenant.order("server", "unshelve", "--wait", server)
    tenant.becomes(server, "ACTIVE")
    journey.claim("libvirt says that it runs", machine.state == "running", machine.state)
    tenant.is_up(server)
    journey.claim("it keeps its address", tenant.shown(server)["addresses"] == addresses, addresses)
    left = journey.until(lambda: not [row for row in tenant.ask("image", "list").data if row["Name"] == f"{names['shelved']}-shelved"], 20)
    journey.claim("the image that kept its disk is gone", left)
    tenant.delete(server)
