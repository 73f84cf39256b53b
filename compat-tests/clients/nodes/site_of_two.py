"""Two hosts on this machine, and Gapura's processes on them: the controller on the first, `gapura node` on the second.

Each host has its own libvirtd, process ids, mounts, name and network; a wire connects the two. What runs on a host is ended
by the kernel when the host is.
"""

import os
import signal
import subprocess
import time

HARNESS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "harness")
ADDRESSES = {"a": "10.77.0.1", "b": "10.77.0.2"}
# Names of networks' namespaces are a host's own, as on a machine of its own.
APART = 'mkdir -p /run/netns && mount -t tmpfs none /run/netns && exec "$@"'
# What tells a program another time than the machine's, from Debian's package faketime.
OTHER_TIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"


class Site:
    def __init__(self, folder, program, image, node_program=None, **settings):
        self.folder = folder
        self.programs = {"a": program, "b": node_program or program}
        # What is a version older joins without certificates, and a move that shall go over TLS goes in no other way.
        self.has_tls = node_program is None
        self.image = image
        self.settings = settings
        self.processes = {}
        self._harness("start")

    def end(self):
        for host in list(self.processes):
            self.kill(host)
        self._harness("stop")

    def _harness(self, verb, *more):
        subprocess.run([os.path.join(HARNESS, "two_hosts.sh"), verb, self.folder, *more], check=True, stdout=subprocess.DEVNULL)

    def wire(self, verb, *more):
        """`slow RATE` or `full`: how much goes through the wire between the hosts."""
        self._harness(verb, *more)

    def _first_process(self, host):
        with open(os.path.join(self.folder, host, "holder.pid"), encoding="ascii") as file:
            holder = file.read().strip()
        return subprocess.run(["pgrep", "-P", holder], capture_output=True, text=True, check=True).stdout.split()[0]

    def on(self, host, *command):
        """The command's line, as run on a host."""
        return ["nsenter", "--all", "--target", self._first_process(host), "--", *command]

    def network(self, host):
        """What a command's line begins with, to be run in a host's network alone."""
        return ["nsenter", f"--net=/proc/{self._first_process(host)}/ns/net", "--"]

    def virsh(self, host, *words):
        """What the host's libvirt answers."""
        uri = f"qemu+unix:///system?socket={os.path.join(self.folder, host, 'run', 'libvirt-sock')}"
        done = subprocess.run(["virsh", "-q", "-c", uri, *words], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def state(self, host):
        return os.path.join(self.folder, f"state-{host}")

    def environment(self, host):
        lent = {name: value for name, value in os.environ.items() if not name.startswith(("GAPURA_", "OS_"))}
        return {
            **lent,
            "GAPURA_STATE_DIR": self.state(host),
            "GAPURA_HYPERVISOR": "qemu:///system",
            "GAPURA_COMPUTE__HOST": f"host-{host}",
            "GAPURA_COMPUTE__ACCELERATOR": "tcg",
            "GAPURA_COMPUTE__LIVE_MIGRATION_URI": f"qemu+tcp://{ADDRESSES[host]}/system",
            "GAPURA_MIGRATION__WITH_NATIVE_TLS": str(self.has_tls).lower(),
            "GAPURA_NETWORK__PRIVATE_RANGE": "10.79.0.0/24",
            "GAPURA_NETWORK__TUNNEL_ADDRESS": ADDRESSES[host],
            "GAPURA_NETWORK__BRIDGES__PHYSNET1": "br0",
            "GAPURA_INIT__IMAGE": self.image,
            "GAPURA_NODES__LISTEN": f"{ADDRESSES['a']}:5009",
            "GAPURA_LOG__FILTER": "info,access=off",
            **self.settings,
        }

    def gapura(self, host, *arguments):
        """Runs one of the program's commands on a host. Its exit code, and what it said."""
        line = self.on(host, self.programs[host], *arguments)
        done = subprocess.run(line, env=self.environment(host), capture_output=True, text=True, timeout=300)
        return done.returncode, (done.stdout + done.stderr).strip()

    def start(self, host, *arguments, clock=None):
        """Starts the program on a host, to go on; with a clock that is off by so much, as in `+1d`."""
        log = open(os.path.join(self.folder, f"log-{host}"), "ab")
        lying = ["env", "FAKETIME_DONT_FAKE_MONOTONIC=1", f"FAKETIME={clock}", f"LD_PRELOAD={OTHER_TIME}"] if clock else []
        line = self.on(host, "unshare", "--mount", "bash", "-c", APART, "bash", *lying, self.programs[host], *arguments)
        self.processes[host] = subprocess.Popen(line, env=self.environment(host), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()

    def kill(self, host):
        """As a crash would. The program's own process is the one that entered the host: all before it became it."""
        process = self.processes.pop(host)
        children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False).stdout.split()
        for pid in [*map(int, children), process.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        process.wait()

    def log(self, host):
        with open(os.path.join(self.folder, f"log-{host}"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def shares_an_authority(self, name):
        """Do both hosts have the same file there?"""
        read = [open(os.path.join(self.folder, host, "pki", name), encoding="ascii").read() for host in "ab"]
        return "BEGIN CERTIFICATE" in read[0] and read[0] == read[1]

    def machines(self, host, only="--state-running"):
        """Ids of machines, as the host's libvirt itself lists them."""
        uri = f"qemu+unix:///system?socket={os.path.join(self.folder, host, 'run', 'libvirt-sock')}"
        for _ in range(50):
            done = subprocess.run(["virsh", "-q", "-c", uri, "list", "--uuid", only], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return done.stdout.split()
            time.sleep(0.2)
        return []
