"""Boots a server and lets cloud-init itself read its config drive; ends with `N passed, N failed`.

The drive is what a distribution's image depends on: a field that cloud-init does not find is a machine without its key,
its name or its network. So the reader here is cloud-init's own code, from Debian's package, unpacked and not installed.
"""

import glob
import os
import subprocess
import sys
import tempfile
import uuid

import openstack

package, state = sys.argv[1:3]
sys.path.insert(0, f"{package}/usr/lib/python3/dist-packages")

from cloudinit import helpers  # noqa: E402
from cloudinit.sources import DataSourceConfigDrive  # noqa: E402

passed = failed = 0
USER_DATA = "#cloud-config\nruncmd: [ 'echo hello' ]\n"


def claim(what, holds, otherwise=""):
    global passed, failed
    if holds:
        passed += 1
        print(f"ok: {what}")
    else:
        failed += 1
        print(f"FAILED: {what}: {otherwise!r}"[:1500])
    return holds


def unpack(iso, folder):
    """Takes every file out of the drive by its Rock Ridge name, which is the one Linux shows."""
    listing = subprocess.run(["isoinfo", "-R", "-f", "-i", iso], capture_output=True, text=True, check=True).stdout
    for name in listing.split("\n"):
        if not name:
            continue
        content = subprocess.run(["isoinfo", "-R", "-x", name, "-i", iso], capture_output=True, check=True).stdout
        if not content and os.path.isdir(folder + name):
            continue
        os.makedirs(os.path.dirname(folder + name), exist_ok=True)
        is_folder = any(other.startswith(name + "/") for other in listing.split("\n"))
        if is_folder:
            os.makedirs(folder + name, exist_ok=True)
        else:
            with open(folder + name, "wb") as file:
                file.write(content)


def main():
    cloud = openstack.connect(cloud=os.environ["OS_CLOUD"])
    name = f"cloud-init-{uuid.uuid4().hex[:6]}"
    key = cloud.compute.create_keypair(name=name)
    server = cloud.create_server(name, image="gapura-test", flavor="m1.nano", network="private", key_name=name,
                                 userdata=USER_DATA, meta={"colour": "blue"}, auto_ip=False, wait=True, timeout=120)
    try:
        port = next(cloud.network.ports(device_id=server.id))
        drives = [path for path in glob.glob(f"{state}/**/*.iso", recursive=True) if server.id in path]
        if not claim("the server has a config drive", len(drives) == 1, drives):
            return
        label = subprocess.run(["blkid", "-p", "-o", "export", drives[0]], capture_output=True, text=True).stdout
        claim("it is found by its label and type", "LABEL=config-2" in label and "TYPE=iso9660" in label, label)

        folder = tempfile.mkdtemp(prefix="gapura-cloud-init.")
        paths = helpers.Paths({"cloud_dir": f"{folder}/cloud", "run_dir": f"{folder}/run"})
        seed = os.path.join(paths.seed_dir, "config_drive")
        os.makedirs(seed)
        unpack(drives[0], seed)
        source = DataSourceConfigDrive.DataSourceConfigDrive({}, None, paths)
        if not claim("cloud-init takes it for its data source", source.get_data(), os.listdir(seed)):
            return
        claim("the instance's id is the server's", source.get_instance_id() == server.id, source.get_instance_id())
        hostname = source.get_hostname()
        hostname = getattr(hostname, "hostname", hostname)
        claim("the hostname is the server's name", hostname.split(".")[0] == name, hostname)
        keys = [line.strip() for line in source.get_public_ssh_keys()]
        claim("the public key is the key pair's", keys == [key.public_key.strip()], keys)
        raw = source.get_userdata_raw()
        claim("the user data is the user's, byte for byte", raw == USER_DATA.encode(), raw)
        claim("the server's metadata is there", source.metadata.get("meta") == {"colour": "blue"}, source.metadata)
        claim("it is not the legacy version", source.version == 2, source.version)

        source.known_macs = {port.mac_address: "eth0"}
        network = source.network_config or {}
        cards = [entry for entry in network.get("config", []) if entry["type"] == "physical"]
        claim("the network is one card, with the port's MAC",
              [card["mac_address"] for card in cards] == [port.mac_address], network)
        kinds = {subnet["type"] for card in cards for subnet in card.get("subnets", [])}
        addresses = [subnet.get("address", "") for card in cards for subnet in card.get("subnets", [])]
        claim("which gets its address by DHCP, or the port's own",
              kinds & {"dhcp4", "dhcp"} or port.fixed_ips[0]["ip_address"] in str(addresses), network)
    finally:
        cloud.delete_server(server.id, wait=True)
        cloud.compute.delete_keypair(name)


try:
    main()
except Exception as surprise:
    claim("the journey goes to its end", False, repr(surprise))
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
