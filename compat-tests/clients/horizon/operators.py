"""The Compute panels of an administrator: flavors, host aggregates, hypervisors; and key pairs and server groups, which every
project has. Each lists, creates, changes and deletes. Ends with `N passed, N failed`."""

import secrets
import sys

from browser import Browser, complaints, row_of

RUN = secrets.token_hex(3)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@here"


def name(noun):
    return f"horizon-{noun}-{RUN}"


def walk(horizon, clouds_file, cloud):
    if not horizon.login(clouds_file, cloud):
        return
    flavors(horizon)
    aggregates(horizon)
    hypervisors(horizon)
    server_groups(horizon)
    keypairs(horizon)


def flavors(horizon):
    """A panel of two pages: the list, and a form in steps."""
    path = "/admin/flavors/"
    horizon.page("Flavors", path, ("m1.nano", "Create Flavor"))
    horizon.submit("a flavor is created", f"{path}create/", name=name("flavor"), vcpus="1", memory_mb="64", disk_gb="1", eph_gb="0")
    flavor = row_of(horizon.page("Flavors with one more", path, (name("flavor"),)), name("flavor"))
    horizon.claim("it has a row", flavor)
    made = horizon.fetched(f"/api/nova/flavors/{flavor}/")
    horizon.claim("and is as it was ordered", made["ram"] == 64 and made["vcpus"] == 1, made)
    horizon.send("it is given an extra spec", "PATCH", f"/api/nova/flavors/{flavor}/extra-specs/", {"updated": {"price": "low"}, "removed": []})
    horizon.data("which is shown", f"/api/nova/flavors/{flavor}/extra-specs/", lambda body: '"low"' in body)
    horizon.act("a flavor is deleted", path, "flavors", "delete", flavor)
    text = horizon.page("Flavors, after it", path)
    horizon.claim("and is in the list no more", flavor and name("flavor") not in text)


def aggregates(horizon):
    path = "/admin/aggregates/"
    horizon.page("Host Aggregates", path, ("Create Host Aggregate", "Availability Zones"))
    horizon.submit("an aggregate is created", f"{path}create/", name=name("aggregate"), availability_zone="")
    aggregate = row_of(horizon.page("Host Aggregates with one", path, (name("aggregate"),)), name("aggregate"))
    horizon.claim("it has a row", aggregate)
    horizon.submit("an aggregate is changed", f"{path}{aggregate}/update/", name=name("renamed"), availability_zone="")
    horizon.page("Host Aggregates, after a change", path, (name("renamed"),))
    horizon.act("an aggregate is deleted", path, "host_aggregates", "delete", aggregate)
    text = horizon.page("Host Aggregates, after it", path)
    horizon.claim("and is in the list no more", aggregate and name("renamed") not in text)


def hypervisors(horizon):
    """There is no placement service, which Horizon asks for more numbers: it says so, and shows the rest."""
    path = "/admin/hypervisors/"

    def opened(title, where):
        status, text, _ = horizon.open(where)
        others = [complaint for complaint in complaints(text) if "placement" not in complaint]
        horizon.claim(f"{title} opens without an error but for placement", status == 200 and not others, f"status {status}, {others}")
        return text
    text = opened("Hypervisors", path)
    host = row_of(text, "QEMU") or row_of(text, "simulated")
    horizon.claim("the cloud's host is in it", host, text)
    horizon.page("its servers", f"{path}{host}/", ())
    text = opened("the hosts that compute runs on", f"{path}?tab=hypervisor_info__compute_host")
    horizon.claim("and the host is enabled", "Enabled" in text, text)


def server_groups(horizon):
    """A panel that runs in the browser: its page, and what it sends."""
    horizon.page("Server Groups", "/project/server_groups/")
    made = horizon.send("a server group is created", "POST", "/api/nova/servergroups/", {"name": name("group"), "policies": ["affinity"]})
    path = f"/api/nova/servergroups/{(made or {}).get('id', '')}/"
    horizon.data("a server group", path, lambda body: name("group") in body)
    horizon.data("the list of server groups", "/api/nova/servergroups/", lambda body: name("group") in body)
    horizon.send("a server group is deleted", "DELETE", path)
    horizon.data("the list, after it", "/api/nova/servergroups/", lambda body: name("group") not in body)


def keypairs(horizon):
    """Likewise."""
    horizon.page("Key Pairs", "/project/key_pairs")
    horizon.send("a key pair is imported", "POST", "/api/nova/keypairs/", {"name": name("key"), "public_key": KEY, "key_type": "ssh"})
    path = f"/api/nova/keypairs/{name('key')}"
    horizon.data("a key pair", path, lambda body: "ssh-ed25519" in body)
    horizon.send("a key pair is deleted", "DELETE", path)
    horizon.data("the list, after it", "/api/nova/keypairs/", lambda body: name("key") not in body)


base, *arguments = sys.argv[1:]
Browser(base).walk(walk, *arguments)
