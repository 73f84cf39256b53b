"""A second machine joins a cloud, carries servers, is lost and comes back, and leaves: as an operator sees it, with the
newest `openstack` client, each claim also looked for in the libvirtd of the host that it is about.
"""

import argparse
import datetime
import os
import shutil
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "main_job")]

import following  # noqa: E402
import spanning  # noqa: E402
from journey import Journey  # noqa: E402
from site_of_two import ADDRESSES, Site  # noqa: E402

ADMIN = "gapura"
# A host that says nothing for 150 s is down; some more for a busy machine.
UNTIL_DOWN = 240
UNTIL_BOOTED = 300


class OnHost(Journey):
    """The client is on the controller's host: nobody else sees its network."""

    def __init__(self, site):
        openstack = os.path.join(os.path.dirname(sys.executable), "openstack")
        super().__init__(openstack, os.path.join(site.state("a"), "clouds.yaml"), brief=True)
        self.site = site

    def perform(self, line, environment):
        enter = self.site.on("a", self.openstack)
        self.openstack, kept = enter[0], self.openstack
        try:
            return super().perform([*enter[1:], *line], environment)
        finally:
            self.openstack = kept

    def rows(self, *words):
        return self.run(ADMIN, *words, show=False).data

    def order(self, *words):
        self.run(ADMIN, *words, json_output=False)

    def server(self, name):
        return self.run(ADMIN, "server", "show", name, show=False).data

    def becomes(self, name, status, seconds=UNTIL_BOOTED):
        seen = self.until(lambda: (shown := self.server(name))["status"] in (status, "ERROR") and shown, seconds, pause=2)
        self.need(f"{name} becomes {status}", seen and seen["status"] == status, seen)
        return seen

    def states(self):
        return {row["Host"]: row["State"] for row in self.rows("compute", "service", "list", "--service", "nova-compute")}


def join(journey, site):
    status, never = site.gapura("b", "node")
    journey.claim("what never joined is no host", status != 0 and "is no cloud's host yet" in never, never)
    _, token = site.gapura("a", "node", "token")
    door = f"https://{ADDRESSES['a']}:5009"
    status, said = site.gapura("b", "node", "join", door, token)
    journey.need("host-b joins with one command", status == 0 and "this machine is the host host-b" in said, said)
    if site.has_tls:
        journey.claim("its QEMU has certificates of the cloud", "QEMU (/etc/pki/qemu) has certificates of this cloud now" in said, said)
        journey.claim("and the controller's own, of the same authority", site.shares_an_authority("qemu/ca-cert.pem"))
    status, said = site.gapura("b", "node", "join", door, token)
    journey.claim("a token serves once", status != 0 and "was used already, by host-b" in said, said)
    site.start("b", "node")
    up = {"host-a": "up", "host-b": "up"}
    journey.need("both hosts are up", journey.until(lambda: journey.states() == up, 60), journey.states())
    _, listed = site.gapura("a", "host", "list")
    journey.claim("gapura host list has both", "host-a" in listed and f"{ADDRESSES['b']}:5010" in listed, listed)


def boot(journey, name, host):
    journey.order("server", "create", "--image", "gapura-test", "--flavor", "m1.nano", "--network", "private",
                  "--availability-zone", f"nova:{host}", name)


def servers(journey, site):
    for host in "ab":
        boot(journey, f"on-{host}", f"host-{host}")
    for host, other in ("ab", "ba"):
        shown = journey.becomes(f"on-{host}", "ACTIVE")
        journey.claim(f"on-{host} is on host-{host}", shown["OS-EXT-SRV-ATTR:host"] == f"host-{host}", shown)
        journey.claim(f"it is in that host's libvirt", shown["id"] in site.machines(host), site.machines(host))
        journey.claim("and in no other", shown["id"] not in site.machines(other, "--all"), site.machines(other, "--all"))
    for host in "ab":
        log = ["console", "log", "show", f"on-{host}"]
        booted = lambda: "GUEST: ready" in journey.run(ADMIN, *log, json_output=False, show=False).text
        journey.claim(f"the guest on host-{host} boots, and its console is read", journey.until(booted, UNTIL_BOOTED, pause=3))


def lost(journey, site):
    id = journey.server("on-b")["id"]
    site.kill("b")
    journey.claim("its guest runs on without gapura node", id in site.machines("b"), site.machines("b"))
    journey.order("server", "stop", "on-b")
    idle = lambda: (shown := journey.server("on-b"))["OS-EXT-STS:task_state"] is None and shown
    seen = journey.until(idle, 90, pause=2)
    journey.claim("what can't be done there ends, and the server is what it was", seen and seen["status"] == "ACTIVE", seen)
    journey.order("server", "delete", "on-b")
    journey.claim("its deletion waits for a host that may be restarting", journey.server("on-b")["OS-EXT-STS:task_state"] == "deleting")
    down = journey.until(lambda: journey.states()["host-b"] == "down", UNTIL_DOWN, pause=5)
    journey.claim("its compute service is down", down, journey.states())
    names = lambda: [row["Name"] for row in journey.rows("server", "list", "--all-projects")]
    journey.claim("then its server is gone", journey.until(lambda: "on-b" not in names(), 60, pause=2), names())
    boot(journey, "too-late", "host-b")
    seen = journey.until(lambda: (shown := journey.server("too-late"))["status"] == "ERROR" and shown, 60)
    journey.claim("a host that is down gets no server", seen and "No valid host" in str(seen["fault"]), seen)
    journey.order("server", "delete", "--wait", "too-late")
    boot(journey, "elsewhere", "host-a")
    journey.becomes("elsewhere", "ACTIVE")
    journey.order("server", "delete", "--wait", "elsewhere")
    journey.claim("its guest still runs", id in site.machines("b"), site.machines("b"))


def back(journey, site):
    # Its clock is a day ahead from now on, of which nothing that the controller says may be seen.
    site.start("b", "node", clock="+1d")
    journey.claim("it is up", journey.until(lambda: journey.states()["host-b"] == "up", 60), journey.states())
    seen = {row["Host"]: row["Updated At"] for row in journey.rows("compute", "service", "list", "--service", "nova-compute")}
    off = abs(datetime.datetime.fromisoformat(seen["host-b"]) - datetime.datetime.fromisoformat(seen["host-a"]))
    journey.claim("when it was seen is told by the controller's clock", off < datetime.timedelta(minutes=10), seen)
    _, said = site.gapura("a", "doctor")
    journey.claim("gapura doctor finds it", "the clock of host-b is 86" in said and "seconds ahead" in said, said)
    empty = lambda: not site.machines("b", "--all")
    journey.claim("what it kept of the deleted server goes", journey.until(empty, 120, pause=2), site.machines("b", "--all"))
    boot(journey, "on-b", "host-b")
    id = journey.becomes("on-b", "ACTIVE")["id"]
    journey.claim("it takes servers again", id in site.machines("b"), site.machines("b"))


def leave(journey, site):
    status, said = site.gapura("a", "host", "remove", "host-b")
    journey.claim("a host with servers stays", status != 0 and "has servers" in said, said)
    boot(journey, "off-b", "host-b")
    journey.becomes("off-b", "ACTIVE")
    journey.order("server", "stop", "off-b")
    journey.becomes("off-b", "SHUTOFF")
    before = journey.server("on-b")
    status, said = site.gapura("a", "host", "drain", "host-b", "--at-once", "2")
    journey.claim("it is drained", status == 0 and "2 of 2 gone" in said, said)
    shown = journey.server("off-b")
    where = (shown["OS-EXT-SRV-ATTR:host"], shown["status"], shown["OS-EXT-STS:task_state"])
    journey.claim("what was off has moved and is off", where == ("host-a", "SHUTOFF", None), shown)
    journey.order("server", "start", "off-b")
    journey.becomes("off-b", "ACTIVE")
    journey.order("server", "delete", "--wait", "off-b")
    shown = journey.server("on-b")
    where = (shown["OS-EXT-SRV-ATTR:host"], shown["status"], shown["addresses"])
    journey.claim("its server moved while it ran", where == ("host-a", "ACTIVE", before["addresses"]), shown)
    here, there = site.machines("a"), site.machines("b", "--all")
    journey.claim("one libvirt runs it, and the other knows it no more", shown["id"] in here and not there, (here, there))
    listed = {row["Host"]: row["Status"] for row in journey.rows("compute", "service", "list", "--service", "nova-compute")}
    journey.claim("the host is disabled", listed["host-b"] == "disabled", listed)
    status, said = site.gapura("a", "host", "remove", "host-b")
    journey.claim("without servers it leaves", status == 0, said)
    journey.claim("one host is left", journey.until(lambda: list(journey.states()) == ["host-a"], 30), journey.states())
    following.gone(journey)
    for host in "ab":
        journey.order("server", "delete", "--wait", f"on-{host}")
    journey.claim("nothing is left in libvirt", not site.machines("a", "--all"), site.machines("a", "--all"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="the binary")
    parser.add_argument("--image", required=True, help="what etc/guest/build.sh makes")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="nodes.")
    # An older program, or a newer one, on the machine that joins: hosts are upgraded one after the other.
    site = Site(folder, options.program, options.image, os.environ.get("NODE_PROGRAM"))
    journey = OnHost(site)
    try:
        status, said = site.gapura("a", "init")
        journey.need("the cloud is made", status == 0, said)
        site.start("a", "serve")
        journey.need("the controller knows its own host", journey.until(lambda: journey.states() == {"host-a": "up"}, 60))
        journey.chapter("a machine joins", join, site)
        journey.chapter("what operators have for hosts follows", following.walk, site)
        journey.chapter("a network on both", spanning.walk, site)
        journey.chapter("a network of the operator's", spanning.flat, site)
        journey.chapter("servers on each", servers, site)
        journey.chapter("a host is lost", lost, site)
        journey.chapter("a host is back", back, site)
        journey.chapter("a host leaves", leave, site)
    finally:
        if journey.failures:
            for host in "ab":
                print(f"\n== the last words on host-{host}\n" + "\n".join(site.log(host).splitlines()[-30:]))
        site.end()
        shutil.rmtree(folder, ignore_errors=True)
    return journey.finish()


sys.exit(main())
