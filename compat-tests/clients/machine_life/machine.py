"""One server's domain, as libvirt and the files behind it tell of it."""

import json
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "main_job"))

from host import Host  # noqa: E402


class Machine:
    def __init__(self, host: Host, server):
        self.host = host
        self.server = server

    def virsh(self, *command):
        """What virsh prints; empty when it fails."""
        done = subprocess.run(["virsh", "-q", "-c", self.host.uri, *command], capture_output=True, text=True, timeout=60)
        return done.stdout.strip() if done.returncode == 0 else ""

    @property
    def state(self):
        return self.host.state_of(self.server)

    @property
    def description(self):
        return self.virsh("dumpxml", self.server)

    @property
    def cores_and_mib(self):
        xml = self.description
        cores, kib = re.search(r"<vcpu[^>]*>(\d+)</vcpu>", xml), re.search(r"<memory unit='KiB'>(\d+)</memory>", xml)
        return (int(cores[1]), int(kib[1]) // 1024) if cores and kib else (0, 0)

    @property
    def disks(self):
        """Names in the guest and files on the host, in their order, the config drive among them."""
        rows = [line.split() for line in self.virsh("domblklist", self.server).splitlines()]
        return [(row[0], row[1]) for row in rows if len(row) == 2]

    def root_disk(self):
        return self.disks[0][1]

    def disk_gib(self):
        told = subprocess.run(["qemu-img", "info", "-U", "--output=json", self.root_disk()], capture_output=True, text=True)
        return json.loads(told.stdout)["virtual-size"] / 2**30 if told.returncode == 0 else 0

    def process(self):
        """The process that is the guest."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
            except OSError:
                continue
            if words[0].endswith((b"qemu-system-x86_64", b"/kvm")) and self.server.encode() in words:
                return int(pid)
        return None

    def kill(self):
        os.kill(self.process(), signal.SIGKILL)

    def press_power_button(self):
        """As libvirt does it, past the cloud: the guest then switches itself off."""
        self.virsh("shutdown", self.server, "--mode", "acpi")

    def agent(self, command):
        return self.virsh("qemu-agent-command", self.server, json.dumps({"execute": command}))
