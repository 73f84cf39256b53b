"""A network on two hosts, and a guest that moves between them while it is talked to: neither a connection nor its address is
lost, and the longest silence is written down. What the hosts' kernels have for it is looked at without Gapura.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time

from site_of_two import ADDRESSES

MOVES = 10
# Of a packet that fills a guest's MTU (1450), without the headers of IPv4 and ICMP.
FULL = 1450 - 28
FLOOD = "00:00:00:00:00:00"
MIGRATE = ["--os-compute-api-version", "2.90", "server", "migrate", "--live-migration", "--wait", "--host"]


class Guest:
    """A guest by its console: what it says there, and what it is told to do."""

    def __init__(self, site, server):
        self.site = site
        self.id = server["id"]
        self.terminal = None

    def host(self):
        return "a" if self.id in self.site.machines("a") else "b"

    def said(self, host=None):
        path = os.path.join(self.site.state(host or self.host()), "machines", "instances", self.id, "console.log")
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def types(self, line):
        # Kept open: QEMU looks only now and then whether somebody is there, and what was typed before is not read.
        self.terminal = open(self.site.virsh(self.host(), "ttyconsole", self.id), "w", encoding="ascii")
        self.terminal.write(line + "\n")
        self.terminal.flush()

    def told(self, journey, command, seconds=60):
        """Types a command; what it prints."""
        mark = os.urandom(6).hex()
        # The line itself is echoed, so it must not have the mark whole.
        self.types(f'echo "{mark[:4]}""{mark[4:]} $( {command} ) {mark[:4]}""{mark[4:]}"')
        found = journey.until(lambda: len(parts := self.said().split(mark)) > 2 and [parts[1]], seconds)
        lines = found[0].splitlines() if found else []
        return "\n".join(line.strip() for line in lines if not line.startswith("HB ")).strip()

    def beats(self):
        """Of its heart, in seconds of its kernel's own time: as many as are in what is kept of its console."""
        return [float(time) for time in re.findall(r"^HB \d+ (\d+\.\d+)", self.said(), re.MULTILINE)]

    def longest_pause(self):
        times = self.beats()
        return max((after - before for before, after in zip(times, times[1:])), default=0)


class Neighbour:
    """A port of the network that is a namespace on host a's bridge."""

    def __init__(self, site, port, bridge, guest):
        self.site = site
        self.guest = guest
        self.out = os.path.join(site.folder, "neighbour.json")
        self.measuring = None
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        own = f"/proc/{self.holder.pid}/ns/net"
        while os.readlink(own) == os.readlink("/proc/self/ns/net"):
            time.sleep(0.05)
        self.own = ["nsenter", f"--net={own}", "--"]
        host = site.network("a")
        subprocess.run([*host, "ip", "link", "add", "nb0", "mtu", "1450", "type", "veth", "peer", "name", "eth0", "address",
                        port["mac_address"], "mtu", "1450", "netns", str(self.holder.pid)], check=True)
        subprocess.run([*host, "ip", "link", "set", "nb0", "master", bridge, "up"], check=True)
        for words in ("link set lo up", "link set eth0 up", f"addr add {port['address']}/24 dev eth0"):
            subprocess.run([*self.own, "ip", *words.split()], check=True)

    def begin(self):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "neighbour.py")
        self.measuring = subprocess.Popen([*self.own, sys.executable, script, self.guest, self.out])

    def pings(self, *words):
        return subprocess.run([*self.own, "ping", "-n", "-c", "3", "-w", "5", *words], capture_output=True, check=False).returncode == 0

    def end(self):
        """What it saw."""
        self.measuring.send_signal(signal.SIGTERM)
        self.measuring.wait(timeout=30)
        with open(self.out, encoding="utf-8") as file:
            return json.load(file)

    def unplug(self):
        for process in (self.measuring, self.holder):
            if process and process.poll() is None:
                process.kill()
                process.wait()
        subprocess.run([*self.site.network("a"), "ip", "link", "delete", "nb0"], capture_output=True, check=False)


def kernel(site, host, *words):
    """What `ip` or `bridge` print there, as JSON."""
    done = subprocess.run([*site.network(host), *words], capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 and done.stdout.strip() else []


def floods(site, host, link):
    """Where what is for everybody goes."""
    return sorted(entry["dst"] for entry in kernel(site, host, "bridge", "-json", "fdb", "show", "dev", link)
                  if entry["mac"] == FLOOD and "dst" in entry)


def tunnel(site, host, link):
    shown = kernel(site, host, "ip", "-details", "-json", "link", "show", "dev", link)
    data = shown[0]["linkinfo"]["info_data"] if shown else {}
    return data.get("id"), data.get("local"), shown[0].get("master") if shown else None


def links(site, host, short):
    return [link["ifname"] for link in kernel(site, host, "ip", "-json", "link", "show") if short in link["ifname"]]


def boot(journey, name, host, network="span"):
    journey.order("server", "create", "--image", "gapura-test", "--flavor", "m1.nano", "--network", network,
                  "--property", "heartbeat_ms=100", "--availability-zone", f"nova:host-{host}", name)


def address_of(server, network="span"):
    return server["addresses"][network][0]


def walk(journey, site):
    journey.order("network", "create", "span")
    journey.order("subnet", "create", "--network", "span", "--subnet-range", "10.80.0.0/24", "span")
    network = journey.rows("network", "show", "span")
    vni, short = network["provider:segmentation_id"], network["id"].replace("-", "")[:11]
    bridge, link = f"gbr{short}", f"gvx{short}"
    journey.claim("its type and its MTU are those of a tunnel", (network["provider:network_type"], network["mtu"]) == ("vxlan", 1450), network)
    boot(journey, "stays", "a")
    boot(journey, "web", "a")
    for name in ("stays", "web"):
        journey.becomes(name, "ACTIVE")
    before = journey.server("web")
    guest = Guest(site, before)
    journey.need("the guest has its address", journey.until(lambda: f"GUEST: dhcp eth0 {address_of(before)}/24" in guest.said(), 300), guest.said()[-500:])
    journey.need("it is ready", journey.until(lambda: "GUEST: ready" in guest.said(), 120), guest.said()[-500:])
    journey.order("port", "create", "--network", "span", "neighbour")
    port = journey.rows("port", "show", "neighbour")
    port["address"] = port["fixed_ips"][0]["ip_address"]
    neighbour = Neighbour(site, port, bridge, address_of(before))
    try:
        journey.need("the neighbour reaches the guest", neighbour.pings(address_of(before)))
        moves(journey, site, guest, neighbour, link, bridge, vni, before, port["address"])
        wires(journey, site, guest, neighbour, before)
        restart(journey, site, guest, neighbour, link, vni, before)
    finally:
        neighbour.unplug()
    removal(journey, site, short)


def moves(journey, site, guest, neighbour, link, bridge, vni, before, peer):
    neighbour.begin()
    count = "(n=0; while :; do n=$((n+1)); echo $n; usleep 20000; done)"
    begun = guest.told(journey, f"{count} 2>/dev/null | nc {peer} 7777 > /tmp/count 2>&1 & echo begun")
    journey.claim("the guest begins to count", begun == "begun", begun)
    for number in range(MOVES):
        here, there = ("a", "b") if number % 2 == 0 else ("b", "a")
        journey.order(*MIGRATE, f"host-{there}", "web")
        shown = journey.server("web")
        journey.claim(f"move {number + 1} is to host-{there}", (shown["OS-EXT-SRV-ATTR:host"], shown["status"]) == (f"host-{there}", "ACTIVE"), shown)
        if number == 0:
            for host, other in ("ab", "ba"):
                seen = (tunnel(site, host, link), floods(site, host, link))
                wanted = ((vni, ADDRESSES[host], bridge), [ADDRESSES[other]])
                journey.claim(f"host-{host} has the tunnel to the other", seen == wanted, seen)
    seen = neighbour.end()
    lost, longest = seen["sent"] - seen["received"], seen["silences_ms"][:1]
    print(f"   {MOVES} moves under {seen['sent']} pings at 100 Hz: {lost} lost, longest silences {seen['silences_ms'][:MOVES]} ms; "
          f"the guest's heart paused {guest.longest_pause():.2f} s at most; {seen['counted']} lines over one connection", flush=True)
    journey.claim("the pings went on", seen["sent"] > 1000 and longest and longest[0] < 10_000, seen)
    journey.claim("one connection, never broken", (seen["connections"], seen["broken"], seen["wrong"]) == (1, False, []) and seen["counted"] > 100, seen)
    after = journey.server("web")
    journey.claim("its address stays", after["addresses"] == before["addresses"], after["addresses"])
    # A move takes so much of a console along: the clock of a guest that began on a busy machine may run so fast that what it
    # said first is gone.
    booted, times = guest.said().count("GUEST: ready"), guest.beats()
    journey.claim("it booted once", booted <= 1 and times and times == sorted(times), (booted, len(guest.said()), times[:3], times[-3:]))
    seen = lambda: (floods(site, "a", link), links(site, "b", link[3:]))
    alone = journey.until(lambda: seen() == ([], []), 30)
    journey.claim("where no server of the network is, nothing of it is, and nothing is sent there", alone, seen())


# The tunnel's way between the hosts, and the migration's: libvirt's port and those that QEMU listens at.
TUNNEL = "udp dport 4789"
MIGRATION = "tcp dport { 16509, 49152-49215 }"


def dropped(site, what):
    """On host a, what goes to the other host or comes from it is lost; nothing, if `what` is empty."""
    rules = "table inet broken {}\ndelete table inet broken\n"
    if what:
        chains = "".join(f"chain {hook} {{ type filter hook {hook} priority -300; {what} drop; }}\n" for hook in ("input", "output"))
        rules += f"table inet broken {{\n{chains}}}\n"
    subprocess.run([*site.network("a"), "nft", "-f", "-"], input=rules, text=True, check=True)


def under_way(journey, name, host):
    """Begins a move that takes a while, and waits until it runs."""
    journey.order("--os-compute-api-version", "2.90", "server", "migrate", "--live-migration", "--host", f"host-{host}", name)
    listed = lambda: journey.rows("--os-compute-api-version", "2.80", "server", "migration", "list", "--server", name)
    running = journey.until(lambda: listed() and listed()[0]["Status"] == "running", 60)
    journey.need("the move is under way", running, listed())
    return lambda: listed()[0]["Status"]


def wires(journey, site, guest, neighbour, before):
    """The tunnel breaks in the middle of a move while the hosts reach each other, and the other way round."""
    address, here = address_of(before), guest.host()
    there = "b" if here == "a" else "a"
    begun = journey.until(lambda: neighbour.pings(address), 30)
    journey.need("the neighbour reaches the guest", begun)
    site.wire("slow", "30mbit")
    try:
        status = under_way(journey, "web", there)
        dropped(site, MIGRATION)
        ended = journey.until(lambda: status() in ("error", "completed") and status(), 180, pause=2)
        journey.claim("without the migration's way a move fails", ended == "error", ended)
        shown = journey.server("web")
        journey.claim("the guest stays", (shown["OS-EXT-SRV-ATTR:host"], shown["status"]) == (f"host-{here}", "ACTIVE"), shown)
        journey.claim("and one host runs it", (before["id"] in site.machines(here), before["id"] in site.machines(there, "--all")) == (True, False))
        journey.claim("its neighbour reaches it through the tunnel all the same", journey.until(lambda: neighbour.pings(address), 30))
        dropped(site, "")
        status = under_way(journey, "web", there)
        dropped(site, TUNNEL)
        ended = journey.until(lambda: status() in ("error", "completed") and status(), 180, pause=2)
        journey.claim("without the tunnel a move succeeds", ended == "completed", ended)
        shown = journey.server("web")
        journey.claim("the guest is there", (shown["OS-EXT-SRV-ATTR:host"], shown["status"]) == (f"host-{there}", "ACTIVE"), shown)
        if there == "b":
            journey.claim("its neighbour does not reach it", not neighbour.pings(address))
        dropped(site, "")
        journey.claim("once the tunnel is whole its neighbour does", journey.until(lambda: neighbour.pings(address), 60))
        journey.claim("it booted once", guest.said().count("GUEST: ready") == 1)
    finally:
        dropped(site, "")
        site.wire("full")
    journey.order(*MIGRATE, f"host-{here}", "web")


def restart(journey, site, guest, neighbour, link, vni, before):
    """On the other host, after its program and its tables were harmed."""
    journey.order(*MIGRATE, "host-b", "web")
    site.kill("b")
    journey.claim("without gapura node there the two go on talking", neighbour.pings(address_of(before)))
    for words in (f"append {FLOOD} dev {link} dst 192.0.2.99", f"delete {FLOOD} dev {link} dst {ADDRESSES['a']}"):
        subprocess.run([*site.network("b"), "bridge", "fdb", *words.split()], check=True)
    site.start("b", "node")
    mended = journey.until(lambda: floods(site, "b", link) == [ADDRESSES["a"]], 60)
    journey.claim("a restart mends what is sent where", mended, floods(site, "b", link))
    journey.claim("the tunnel is as before", tunnel(site, "b", link)[0] == vni, tunnel(site, "b", link))
    journey.claim("full packets go through whole", neighbour.pings("-M", "do", "-s", str(FULL), address_of(before)))
    guest.told(journey, "printf '#!/bin/sh\\n[ $1 = bound ] && echo lease $ip mtu $mtu by $serverid\\n' > /tmp/say; busybox chmod +x /tmp/say")
    lease = guest.told(journey, "udhcpc -i eth0 -n -q -t 10 -T 1 -s /tmp/say 2>/dev/null")
    wanted = f"lease {address_of(before)} mtu 1450 by 10.80.0.1"
    journey.claim("it is given the same lease at its new place", wanted in lease, lease)


def flat(journey, site):
    """The operator's own network, which is `br0` on both hosts: its gateway is a machine of the operator's."""
    journey.order("network", "create", "--provider-network-type", "flat", "--provider-physical-network", "physnet1", "flat")
    journey.order("subnet", "create", "--network", "flat", "--subnet-range", "10.81.0.0/24", "flat")
    network = journey.rows("network", "show", "flat")
    shown = (network["provider:network_type"], network["provider:physical_network"], network["mtu"])
    journey.claim("administrators see what it is", shown == ("flat", "physnet1", 1500), network)
    boot(journey, "plugged", "b", "flat")
    before = journey.becomes("plugged", "ACTIVE")
    guest = Guest(site, before)
    lease = f"GUEST: dhcp eth0 {address_of(before, 'flat')}/24 gateway 10.81.0.1"
    journey.need("its guest is given its address and the operator's gateway", journey.until(lambda: lease in guest.said(), 300), guest.said()[-500:])
    gateway = Neighbour(site, {"mac_address": "02:00:00:00:81:01", "address": "10.81.0.1"}, "br0", address_of(before, "flat"))
    try:
        journey.claim("the gateway reaches it on the other host", gateway.pings(address_of(before, "flat")))
        journey.order(*MIGRATE, "host-a", "plugged")
        after = journey.server("plugged")
        journey.claim("it has moved with its address", (after["OS-EXT-SRV-ATTR:host"], after["addresses"]) == ("host-a", before["addresses"]), after)
        journey.claim("the gateway reaches it where it is now", gateway.pings(address_of(before, "flat")))
    finally:
        gateway.unplug()
    journey.order("server", "delete", "--wait", "plugged")
    journey.order("network", "delete", "flat")
    short = network["id"].replace("-", "")[:11]
    left = lambda: [link for host in "ab" for link in links(site, host, short)]
    journey.claim("nothing of it stays on either host", journey.until(lambda: not left(), 60), left())
    bridges = [bool(kernel(site, host, "ip", "-json", "link", "show", "dev", "br0")) for host in "ab"]
    journey.claim("the operator's bridges stay", bridges == [True, True], bridges)


def removal(journey, site, short):
    for name in ("web", "stays"):
        journey.order("server", "delete", "--wait", name)
    journey.order("port", "delete", "neighbour")
    journey.order("network", "delete", "span")
    left = lambda: [link for host in "ab" for link in links(site, host, short)]
    journey.claim("nothing of the network stays on either host", journey.until(lambda: not left(), 60), left())
