"""How soon a machine runs: from the request to libvirt's event, beside a plain `virsh create` of the same XML, in turn."""

import copy
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
import uuid
from datetime import datetime
from xml.etree import ElementTree

from cloud import Cloud, environment, median, row

ROUNDS = 9
uri = environment("CLOUD_HYPERVISOR")
cloud = Cloud(environment("CLOUD_FILE"), "gapura-demo")
started = {}


def virsh(*command):
    return subprocess.run(["virsh", "-q", "-c", uri, *command], capture_output=True, text=True, check=True).stdout


def listen():
    """Notes when each domain started, as libvirt's own event says."""
    events = subprocess.Popen(["stdbuf", "-oL", "virsh", "-c", uri, "event", "--event", "lifecycle", "--loop", "--timestamp"],
                              stdout=subprocess.PIPE, text=True)

    def read():
        for line in events.stdout:
            found = re.match(r"(\S+ [\d:.]+)\s*\S*: event 'lifecycle' for domain '?([^':]+)'?: Started", line)
            if found:
                started.setdefault(found[2].strip(), datetime.fromisoformat(found[1]).timestamp())
    threading.Thread(target=read, daemon=True).start()
    time.sleep(1)
    return events


def wait_for(name):
    end = time.monotonic() + 60
    while name not in started and time.monotonic() < end:
        time.sleep(0.005)
    return started[name]


def domain_of(server):
    return virsh("domname", server).strip()


def plain(xml, folder, number):
    """The same machine under another name, on copies of its disks; returns the seconds to its start."""
    tree = ElementTree.fromstring(xml)
    name = f"bench-plain-{number}-{uuid.uuid4().hex[:6]}"
    tree.find("name").text = name
    tree.find("uuid").text = str(uuid.uuid4())
    for entry in tree.findall("./sysinfo/system/entry[@name='uuid']"):
        entry.text = tree.find("uuid").text  # libvirt refuses a machine that is called otherwise inside
    for element in tree.findall(".//interface"):
        element.find("mac").set("address", "fa:16:3e:ff:ff:%02x" % number)
        if element.find("target") is not None:
            element.find("target").set("dev", f"tapbench{number}")
    for source in tree.findall(".//disk/source"):
        path = os.path.join(folder, f"{number}-{os.path.basename(source.get('file'))}")
        shutil.copy(os.path.join(folder, os.path.basename(source.get("file"))), path)
        source.set("file", path)
    for log in tree.findall(".//log"):
        log.set("file", os.path.join(folder, f"{number}.log"))
    for channel in tree.findall(".//channel/source"):
        channel.set("path", os.path.join(folder, f"{number}.agent"))
    path = os.path.join(folder, f"{number}.xml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(ElementTree.tostring(tree, encoding="unicode"))
    began = time.time()
    virsh("create", path)
    seconds = wait_for(name) - began
    virsh("destroy", name)
    return seconds


def main():
    events = listen()
    image = cloud.named("/image/v2/images", "images", "gapura-test")["id"]
    flavor = cloud.named("/compute/v2.1/flavors", "flavors", "m1.nano")["id"]
    network = cloud.named("/network/v2.0/networks", "networks", "private")["id"]
    ours, theirs, xml = [], [], None
    with tempfile.TemporaryDirectory(prefix="gapura-bench.") as folder:
        os.chmod(folder, 0o755)
        for number in range(ROUNDS + 1):
            began = time.time()
            status, _, answer = cloud.call("POST", "/compute/v2.1/servers", {"server": {
                "name": f"bench-{number}", "imageRef": image, "flavorRef": flavor, "networks": [{"uuid": network}]}})
            assert status == 202, answer
            server = answer["server"]["id"]
            accepted = time.time() - began
            while True:
                try:
                    name = domain_of(server)
                    break
                except subprocess.CalledProcessError:
                    time.sleep(0.02)
            seconds = wait_for(name) - began
            while cloud.get(f"/compute/v2.1/servers/{server}")["server"]["status"] == "BUILD":
                time.sleep(0.02)
            active = time.time() - began
            if xml is None:
                # The first one fills the host's cache, and lends its XML and its disks to the plain runs.
                xml = virsh("dumpxml", "--inactive", name)
                for source in ElementTree.fromstring(xml).findall(".//disk/source"):
                    shutil.copy(source.get("file"), folder)
                # It stays: with its last machine the network would leave the host, and the plain ones need the bridge.
                continue
            else:
                ours.append((accepted, seconds, active))
            cloud.call("DELETE", f"/compute/v2.1/servers/{server}")
            while cloud.call("GET", f"/compute/v2.1/servers/{server}")[0] == 200:
                time.sleep(0.05)
            if number:
                theirs.append(plain(copy.copy(xml), folder, number))
    events.terminate()
    print(f"| median of {ROUNDS}, in turn | ms |\n|---|---|")
    row("`POST /servers` answered", f"{median(entry[0] for entry in ours) * 1000:.0f}")
    row("request to libvirt's `running`", f"{median(entry[1] for entry in ours) * 1000:.0f}")
    row("request to ACTIVE", f"{median(entry[2] for entry in ours) * 1000:.0f}")
    row("`virsh create` of the same XML to `running`", f"{median(theirs) * 1000:.0f}")
    row("the difference", f"{(median(entry[1] for entry in ours) - median(theirs)) * 1000:.0f}")


main()
