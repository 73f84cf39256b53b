"""What the host itself says: libvirt's domains, the links, the firewall, and files that name a machine.

Only to root, who alone may ask libvirt and the firewall: a user who types `make demo` is shown the job itself, with the
guest's console, ping and HTTP, and is told what was not looked at.
"""

import os
import subprocess


class Host:
    """The machine that runs the guests. Without a libvirt URI it is simulated, and has nothing to say."""

    def __init__(self, uri, state_dir):
        self.uri = uri
        self.state_dir = state_dir

    @property
    def is_real(self):
        """Is there a guest that boots and answers?"""
        return self.uri.startswith("qemu")

    @property
    def may_be_asked(self):
        """Is there a host behind it, and may we ask it?"""
        return self.is_real and os.geteuid() == 0

    def _virsh(self, *command):
        done = subprocess.run(["virsh", "-q", "-c", self.uri, *command], capture_output=True, text=True, timeout=60)
        return done.stdout.strip() if done.returncode == 0 else ""

    def domains(self):
        return set(self._virsh("list", "--all", "--uuid").split())

    def state_of(self, server):
        """libvirt's word for the state of a server's domain: running, paused, shut off; empty when there is none."""
        return self._virsh("domstate", server)

    def traces_of(self, server, mac, address):
        """Everything on the host that still names the server, its MAC or its address."""
        found = []
        if server in self.domains():
            found.append(f"the domain {server}")
        found += [f"the nwfilter binding {line}" for line in self._virsh("nwfilter-binding-list").splitlines() if mac in line]
        for command in (["ip", "-o", "link"], ["ip", "neighbor", "show", "nud", "permanent"], ["nft", "list", "ruleset"]):
            done = subprocess.run(command, capture_output=True, text=True)
            # A tap has the guest's own MAC with another first byte.
            found += [f"{' '.join(command)}: {line.strip()[:100]}" for line in done.stdout.splitlines()
                      if mac[2:] in line or (address and f" {address} " in f" {line} ".replace(",", " "))]
        if self.state_dir:
            found += self._files_of(server, mac)
        return found

    def _files_of(self, server, mac):
        found = []
        for folder, folders, files in os.walk(self.state_dir):
            # The database and the logs remember the dead; libvirt's own folder was asked through libvirt.
            folders[:] = [name for name in folders if name not in ("libvirt", "libvirtd", "log", "logs", "postgres")]
            found += [os.path.join(folder, name) for name in folders + files if server in name]
            for name in files:
                path = os.path.join(folder, name)
                if name.endswith((".log", ".qcow2", ".iso")) or ".db" in name or ".sqlite" in name or os.path.getsize(path) > 1 << 20:
                    continue
                with open(path, "rb") as file:
                    if mac.encode() in file.read():
                        found.append(path)
        return found
