"""Compute beside a real Nova with its fake driver, in one run and in turn; and what a thousand idle servers cost.

Servers here are the simulator's, as the peer's are its fake driver's: what is measured is the service, not QEMU. The peer
(see sides.py) is asked for a list of LISTED servers, which are made there when missing; they stay. ROUNDS, SECONDS_EACH,
LISTED, CROWD and SIZES make it shorter while developing.
"""

import os
import time
import urllib.request

import sides
from cloud import environment, median, memory_mib, row

ROUNDS = int(os.environ.get("ROUNDS", "3"))
SECONDS = int(os.environ.get("SECONDS_EACH", "6"))
LISTED = int(os.environ.get("LISTED", "100"))
CROWD = int(os.environ.get("CROWD", "50"))
SIZES = [int(size) for size in os.environ.get("SIZES", "10 1000 10000").split()]
MOST = max(SIZES)
LONG = min(1000, MOST)
VERSION = {"OpenStack-API-Version": "compute 2.96"}
CONNECTIONS = 16


class Measured:
    """One side's compute service, asked as its administrator in a project of its own."""

    def __init__(self, side, name):
        self.side, self.name, self.base = side, name, side.endpoint("compute")
        admin = side.call("GET", "/users?name=" + side.user)["users"][0]["id"]
        project = side.project_with("bench-compute", [admin], "admin")
        self.headers = {**VERSION, "X-Auth-Token": side.log_in(side.user, side.password, "bench-compute")}
        unbounded = {"quota_set": {resource: -1 for resource in ("instances", "cores", "ram")}}
        self.ask("PUT", f"/os-quota-sets/{project['id']}", unbounded)
        small = [flavor["id"] for flavor in self.ask("GET", "/flavors")["flavors"] if flavor["name"] == "bench-small"]
        wish = {"flavor": {"name": "bench-small", "ram": 64, "disk": 1, "vcpus": 1}}
        self.flavor = small[0] if small else self.ask("POST", "/flavors", wish)["flavor"]["id"]
        self.image = self.an_image()

    def ask(self, method, path, body=None):
        status, _, answer = self.side.request(method, path, body, self.headers, base=self.base)
        assert status < 300, (self.name, method, path, status, answer)
        return answer

    def an_image(self):
        """An image to boot from; made when missing."""
        base = self.side.endpoint("image")
        found = self.side.request("GET", "/v2/images?status=active&name=bench-boot", headers=self.headers, base=base)[2]["images"]
        if found:
            return found[0]["id"]
        wish = {"name": "bench-boot", "disk_format": "raw", "container_format": "bare"}
        status, _, made = self.side.request("POST", "/v2/images", wish, self.headers, base=base)
        assert status == 201, (self.name, made)
        head = {"X-Auth-Token": self.headers["X-Auth-Token"], "Content-Type": "application/octet-stream"}
        upload = urllib.request.Request(f"{base}/v2/images/{made['id']}/file", bytes(1 << 20), head, method="PUT")
        with urllib.request.urlopen(upload, timeout=60):
            return made["id"]

    def create(self, name, count=1):
        wish = {"name": name, "imageRef": self.image, "flavorRef": self.flavor, "networks": "none", "min_count": count, "max_count": count}
        return self.ask("POST", "/servers", {"server": wish})["server"]["id"]

    def states(self, name):
        """How many servers of the name there are in each state; all pages."""
        states, path = {}, f"/servers/detail?name=^{name}&limit=1000"
        while path:
            page = self.ask("GET", path)
            for server in page["servers"]:
                states[server["status"]] = states.get(server["status"], 0) + 1
            further = [link["href"] for link in page.get("servers_links", [])]
            path = "/servers/detail?" + further[0].partition("?")[2] if further else None
        return states

    def until_active(self, name, count, pause=0.02, seconds=1800):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            states = self.states(name)
            assert "ERROR" not in states, (self.name, states)
            if states.get("ACTIVE", 0) >= count:
                return
            time.sleep(pause)
        raise AssertionError((self.name, name, states))

    def fill(self, count):
        """Makes servers until there are so many, as many at once as a request may ask for."""
        have = sum(self.states("bench-many").values())
        while have < count:
            more = min(1000, count - have)
            self.create("bench-many", more)
            have += more
            self.until_active("bench-many", have, pause=0.5)

    def clear(self, name):
        for server in self.ask("GET", f"/servers?name=^{name}&limit=1000")["servers"]:
            self.ask("DELETE", f"/servers/{server['id']}")
        while self.states(name):
            time.sleep(0.1)

    def page(self, limit, connections, marker=None):
        address = f"{self.base}/servers/detail?limit={limit}" + (f"&marker={marker}" if marker else "")
        return sides.wrk(address, headers=self.headers, connections=connections, seconds=SECONDS)

    def boots(self, count):
        """Single servers, one after the other: medians of the seconds to the answer and to ACTIVE."""
        accepted, active = [], []
        for number in range(count):
            began = time.monotonic()
            self.create(f"bench-one-{number}")
            accepted.append(time.monotonic() - began)
            self.until_active(f"bench-one-{number}", 1, pause=0.005)
            active.append(time.monotonic() - began)
        self.clear("bench-one")
        return median(accepted), median(active)

    def crowd(self):
        """So many requests at once; the seconds until the last server is ACTIVE."""
        began = time.monotonic()
        sides.each(CROWD, lambda number: self.create(f"bench-crowd-{number}"), range(CROWD))
        self.until_active("bench-crowd", CROWD)
        seconds = time.monotonic() - began
        self.clear("bench-crowd")
        return seconds


def processor(pid, seconds):
    """The part of a core that a process takes while nothing is asked of it."""
    def used():
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    began = used()
    time.sleep(seconds)
    return (used() - began) / seconds


def beside(mine, theirs):
    """Both in turn: a list, boots one by one, and a crowd of them."""
    both = [one for one in (mine, theirs) if one]
    rounds = [[] for _ in both]
    for number in range(ROUNDS):
        turn = list(zip(both, rounds))
        for one, results in turn if number % 2 == 0 else reversed(turn):
            results.append(one.page(LISTED, CONNECTIONS))
    lists = [sides.medians(one) for one in rounds]
    boots = [one.boots(20 if one is mine else 3) for one in both]
    crowds = [one.crowd() for one in both]

    def line(what, values, promised, times=None):
        row(what, *values, *([""] * (2 - len(values))), f"{times:,.0f}" if times else "", promised)
    print(f"| compute, at microversion {VERSION['OpenStack-API-Version'].split()[1]} | Gapura | Nova | times | promised |\n|---|---|---|---|---|")
    rates = [one["rate"] for one in lists]
    line(f"`GET /servers/detail` of {LISTED}, a second at {CONNECTIONS} connections", [f"{rate:,.1f}" for rate in rates], "200 times",
         rates[0] / rates[1] if theirs else None)
    line("`POST /servers` answered, median", [f"{one[0] * 1e3:.1f} ms" for one in boots], "8 ms", boots[1][0] / boots[0][0] if theirs else None)
    line("and ACTIVE, median", [f"{one[1] * 1e3:.0f} ms" for one in boots], "", boots[1][1] / boots[0][1] if theirs else None)
    line(f"{CROWD} requests at once, until all are ACTIVE", [f"{one:.2f} s" for one in crowds], "1 s", crowds[1] / crowds[0] if theirs else None)


def alone(mine):
    """What only Gapura promised: a long list, what stands idle, and pages that cost the same whatever there is."""
    pid = int(environment("CLOUD_PID"))
    pages = []
    for size in SIZES:
        mine.fill(size)
        middle = mine.ask("GET", f"/servers?limit={max(1, min(1000, size // 2))}")["servers"][-1]["id"]
        limit = min(10, size)
        pages.append((size, mine.page(limit, 1), mine.page(limit, 1, middle), mine.page(limit, CONNECTIONS)))
        if size == LONG:
            whole = mine.page(LONG, 1)
            time.sleep(30)
            share = processor(pid, 20)
            print("\n| with servers of the simulator | measured | promised |\n|---|---|---|")
            row(f"`GET /servers/detail` of {size:,}, p50 at 1 connection", f"{whole['p50']:.1f} ms", "10 ms")
            row(f"resident memory with {size:,}, idle", f"{memory_mib(pid):.1f} MiB", "60 MiB")
            row("of a core, idle", f"{share:.2%}", "1 %")
    print("\n| a page of 10 servers among | first, p50 | in the middle, p50 | first, a second at 16 |\n|---|---|---|---|")
    for size, first, middle, many in pages:
        row(f"{size:,}", f"{first['p50']:.2f} ms", f"{middle['p50']:.2f} ms", f"{many['rate']:,.0f}")


mine = Measured(sides.ours(), "Gapura")
real = sides.peer()
theirs = Measured(real, "Nova") if real else None
for side in (mine, theirs):
    if side:
        side.fill(LISTED)
beside(mine, theirs)
alone(mine)
