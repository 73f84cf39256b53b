"""Chapter 3: a machine is booted, looked at from every side, switched about, and deleted without a trace."""

import os
import re
import subprocess
import urllib.request

from host import Host
from identity import OTHER
from journey import Journey

#: What `server show` prints to a project's member, with a value, for an active server.
FILLED = """OS-DCF:diskConfig OS-EXT-AZ:availability_zone OS-EXT-STS:power_state OS-EXT-STS:vm_state OS-SRV-USG:launched_at
    addresses config_drive created flavor hostId id image key_name locked name progress project_id status updated
    user_id""".split()
#: And what it prints that may be empty.
PRESENT = """OS-EXT-STS:task_state OS-SRV-USG:terminated_at accessIPv4 accessIPv6 description host_status locked_reason
    pinned_availability_zone properties scheduler_hints server_groups tags trusted_image_certificates
    volumes_attached""".split()


def walk(journey: Journey, names, image, flavor, network, host: Host, folder):
    key = os.path.join(folder, "key")
    journey.run(OTHER, "keypair", "create", "--private-key", key, names["key"])
    with open(key, encoding="utf-8") as file:
        journey.claim("the private key is one that OpenSSH reads", "BEGIN OPENSSH PRIVATE KEY" in file.read())
    user_data = os.path.join(folder, "user-data")
    with open(user_data, "w", encoding="utf-8") as file:
        file.write(f"#!/bin/sh {names['server']}\necho second line\n")

    server = journey.run(OTHER, "server", "create", "--image", image["name"], "--flavor", flavor, "--network", network,
                         "--key-name", names["key"], "--user-data", user_data, "--wait", names["server"]).data
    identity = server["id"]
    journey.need("server create --wait reaches ACTIVE", server["status"] == "ACTIVE", server["status"])
    addresses = server["addresses"].get(network) or [""]
    address = addresses[0] if isinstance(addresses[0], str) else addresses[0]["addr"]
    journey.claim("the server has an address of the network", re.fullmatch(r"\d+\.\d+\.\d+\.\d+", address), server["addresses"])
    ports = journey.run(OTHER, "port", "list", "--server", identity).data
    mac = ports[0]["MAC Address"] if ports else ""
    journey.claim("the server has one port, with that address", len(ports) == 1 and address in str(ports[0]), ports)
    if host.may_be_asked:
        journey.claim("libvirt says that it runs", host.state_of(identity) == "running", host.state_of(identity))
    elif host.is_real:
        print("   (as root, libvirt and the firewall would be asked as well)")
    if host.is_real:
        look_inside(journey, names, identity, address)

    shown = journey.run(OTHER, "server", "show", identity).data
    empty = [field for field in FILLED if shown.get(field) in (None, "", {}, []) and shown.get(field) not in (0, False)]
    journey.claim("server show has a value for every field that should have one", not empty, empty)
    absent = [field for field in PRESENT if field not in shown]
    journey.claim("server show has every other field the client prints", not absent, absent)
    journey.claim("server show names the image, the flavor and the key",
                  image["id"] in str(shown["image"]) and flavor in str(shown["flavor"]) and shown["key_name"] == names["key"], shown)
    rows = journey.run(OTHER, "server", "list", "--long").data
    row = next((row for row in rows if row["ID"] == identity), {})
    journey.claim("server list --long shows it running, with its image, flavor and network",
                  (row.get("Status"), row.get("Image Name"), row.get("Flavor")) == ("ACTIVE", image["name"], flavor)
                  and row.get("Power State") in (1, "Running") and address in str(row.get("Networks")), row)
    journey.claim("another's server is in nobody else's list",
                  identity not in journey.run(names["demo"], "server", "list").text)

    withdraw(journey, names, image, shown["project_id"], identity, host)
    switch_about(journey, names, identity, address, host)

    journey.run(OTHER, "server", "delete", "--wait", identity, json_output=False)
    gone = journey.run(OTHER, "server", "show", identity, may_fail=True)
    journey.claim("a deleted server is gone", gone.status == 1 and "No Server found" in gone.complaint, gone.complaint)
    if host.may_be_asked:
        traces = journey.until(lambda: not host.traces_of(identity, mac, address), 5) or host.traces_of(identity, mac, address)
        journey.claim("nothing is left on the host", traces is True, traces)
    left = journey.run(OTHER, "port", "list").data
    journey.claim("its port is gone", not [port for port in left if port["MAC Address"] == mac], left)
    journey.run(OTHER, "keypair", "delete", names["key"], json_output=False)


def withdraw(journey: Journey, names, image, project, identity, host: Host):
    """The share ends that the server was booted by: all that follows is done by a server whose image its project can't see."""
    journey.run(names["demo"], "image", "remove", "project", image["id"], project, json_output=False)
    unseen = journey.run(OTHER, "image", "show", image["id"], may_fail=True)
    journey.claim("an image that is no longer shared isn't there", unseen.status == 1 and "No Image found" in unseen.complaint, unseen.complaint)
    shown = journey.run(OTHER, "server", "show", identity).data
    journey.claim("the server booted from it runs on, and still names it",
                  shown["status"] == "ACTIVE" and image["id"] in str(shown["image"]), (shown["status"], shown["image"]))
    if host.may_be_asked:
        journey.claim("and libvirt says so", host.state_of(identity) == "running", host.state_of(identity))


def look_inside(journey: Journey, names, identity, address, boots=1):
    """What the guest itself says, and whether the host reaches it."""
    def log():
        text = journey.run(OTHER, "console", "log", "show", identity, json_output=False, show=False).text
        lines = re.findall(r"GUEST: config-drive .*hostname=(\S+) uuid=(\S+)", text)
        return text if len(lines) >= boots and "GUEST: ready" in text.rpartition("GUEST: config-drive")[2] else None
    text = journey.until(log, 90) or ""
    found = re.findall(r"GUEST: config-drive .*hostname=(\S+) uuid=(\S+)", text)
    journey.claim("the console log holds the hostname and UUID the guest read from its config drive",
                  found and found[-1][0].split(".")[0] == names["server"] and found[-1][1] == identity, found)
    journey.claim("the guest read its user data", f"GUEST: user_data #!/bin/sh {names['server']}" in text)

    def ping():
        return subprocess.run(["ping", "-c", "1", "-W", "1", address], capture_output=True).returncode == 0
    journey.claim("the address answers ping from the host", journey.until(ping, 30), address)

    def page():
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://{address}/", timeout=3) as answer:
                return answer.read().decode().strip()
        except OSError:
            return None
    served = journey.until(page, 20)
    journey.claim("the address answers HTTP with the guest's hostname", served and served.split(".")[0] == names["server"], served)


def switch_about(journey: Journey, names, identity, address, host: Host):
    def becomes(status, domain):
        def seen():
            shown = journey.run(OTHER, "server", "show", identity, "-c", "status", "-c", "OS-EXT-STS:task_state", show=False).data
            return shown["status"] == status and shown["OS-EXT-STS:task_state"] is None
        journey.need(f"the server becomes {status}", journey.until(seen, 120, 0.2))
        if host.may_be_asked:
            journey.claim(f"libvirt says {domain}", host.state_of(identity) == domain, host.state_of(identity))

    def order(*words):
        journey.run(OTHER, "server", *words, identity, json_output=False)

    order("stop")
    becomes("SHUTOFF", "shut off")
    again = journey.run(OTHER, "server", "stop", identity, json_output=False, may_fail=True)
    journey.claim("a stopped server can't be stopped", again.status == 1 and "409" in again.complaint and "vm_state stopped" in again.complaint,
                  again.complaint)
    order("start")
    becomes("ACTIVE", "running")
    order("reboot", "--hard", "--wait")
    becomes("ACTIVE", "running")
    order("reboot", "--soft", "--wait")
    becomes("ACTIVE", "running")
    order("pause")
    becomes("PAUSED", "paused")
    order("unpause")
    becomes("ACTIVE", "running")
    if host.is_real:
        look_inside(journey, names, identity, address)


def readme_example(journey: Journey, python, readme):
    """Item 4: the ten lines of the README, run as they stand there."""
    with open(readme, encoding="utf-8") as file:
        blocks = re.findall(r"```python\n(.*?)```", file.read(), re.S)
    journey.need("the README has an example in Python", blocks)
    environment = {**os.environ, "OS_CLIENT_CONFIG_FILE": journey.clouds_file}
    done = subprocess.run([python, "-c", blocks[0]], env=environment, capture_output=True, text=True, timeout=300)
    print("   " + "\n   ".join(done.stdout.splitlines()[-8:]))
    journey.claim("the README's example runs", done.returncode == 0, done.stderr[-800:])
