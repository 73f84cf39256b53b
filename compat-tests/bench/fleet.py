"""How far one controller goes: what a fleet of hosts with SERVERS servers costs it in processor, memory and time.

Hosts are simulated in the controller's own process (GAPURA_SIMULATED__HOSTS), so what they do themselves is in its figures. Its
log, beside its state, tells how long each look at all of them took (`log.filter` with `gapura::tasks::reconcile=debug`);
LOOKS of these are waited for, a minute each, while nothing is asked of it.
"""

import os
import re
import time
import urllib.request

import sides
from cloud import environment, median, memory_mib, row

SERVERS = int(os.environ.get("SERVERS", "5000"))
LOOKS = int(os.environ.get("LOOKS", "3"))
AT_ONCE = 1000

pid = int(environment("CLOUD_PID"))
log = os.path.join(os.path.dirname(environment("CLOUD_STATE")), "serve.log")
side = sides.ours()
base, image_service = side.endpoint("compute"), side.endpoint("image")
headers = {"OpenStack-API-Version": "compute 2.96", "X-Auth-Token": side.token}


def ask(method, path, body=None, service=base):
    status, _, answer = side.request(method, path, body, headers, base=service)
    assert status < 300, (method, path, status, answer)
    return answer


def an_image():
    made = ask("POST", "/v2/images", {"name": "fleet", "disk_format": "raw", "container_format": "bare"}, image_service)["id"]
    head = {"X-Auth-Token": side.token, "Content-Type": "application/octet-stream"}
    upload = urllib.request.Request(f"{image_service}/v2/images/{made}/file", bytes(1 << 20), head, method="PUT")
    with urllib.request.urlopen(upload, timeout=60):
        return made


def active():
    """Servers on each host, once all that were asked for are ACTIVE."""
    hosts, path = {}, "/servers/detail?limit=1000"
    while path:
        page = ask("GET", path)
        for server in page["servers"]:
            assert server["status"] != "ERROR", server
            if server["status"] == "ACTIVE":
                hosts[server["OS-EXT-SRV-ATTR:host"]] = hosts.get(server["OS-EXT-SRV-ATTR:host"], 0) + 1
        further = [link["href"] for link in page.get("servers_links", [])]
        path = "/servers/detail?" + further[0].partition("?")[2] if further else None
    return hosts


def processor():
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def looks():
    with open(log, encoding="utf-8") as file:
        return [float(text) for text in re.findall(r"looked at every host .*milliseconds=([\d.]+)", file.read())]


project = side.call("GET", "/projects?name=" + side.project)["projects"][0]["id"]
ask("PUT", f"/os-quota-sets/{project}", {"quota_set": {resource: -1 for resource in ("instances", "cores", "ram")}})
flavor = ask("POST", "/flavors", {"flavor": {"name": "fleet", "ram": 64, "disk": 1, "vcpus": 1}})["flavor"]["id"]
image = an_image()
began = time.monotonic()
for first in range(0, SERVERS, AT_ONCE):
    count = min(AT_ONCE, SERVERS - first)
    wish = {"name": "fleet", "imageRef": image, "flavorRef": flavor, "networks": "none", "min_count": count, "max_count": count}
    ask("POST", "/servers", {"server": wish})
while sum((spread := active()).values()) < SERVERS:
    time.sleep(0.5)
seconds = time.monotonic() - began

known = len(looks())
began, used = time.monotonic(), processor()
while len(looks()) < known + LOOKS:
    time.sleep(1)
share = (processor() - used) / (time.monotonic() - began)
look = median(looks()[known:])
decided = []
for _ in range(20):
    asked = time.monotonic()
    ask("POST", "/os-placement-explanations", {"placement": {"flavorRef": flavor}})
    decided.append(time.monotonic() - asked)

print(f"| one controller, {len(spread)} hosts, {SERVERS:,} servers | measured |\n|---|---|")
row("until all are ACTIVE", f"{seconds:.0f} s")
row("the most and the fewest on a host", f"{max(spread.values())}, {min(spread.values())}")
row("a look at every host, each minute, median", f"{look:.0f} ms")
row("of a core, while nothing is asked of it", f"{share:.2%}")
row("resident memory", f"{memory_mib(pid):.0f} MiB")
row("`POST /os-placement-explanations` answered, median", f"{median(decided) * 1e3:.1f} ms")
