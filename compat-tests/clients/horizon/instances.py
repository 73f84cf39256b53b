"""What a member does to an instance by the buttons and forms of Horizon: each press is followed by its effect in the table
behind the page. Ends with `N passed, N failed`."""

import secrets
import sys

from browser import Browser, until

RUN = secrets.token_hex(3)
TABLE = "/project/instances/"


def name(noun):
    return f"horizon-{noun}-{RUN}"


def walk(horizon, clouds_file, cloud):
    if not horizon.login(clouds_file, cloud):
        return
    server = ordered(horizon)
    buttons(horizon, server)
    rebuilt(horizon, server)
    rescued(horizon, server)
    resized(horizon, server)
    pictured(horizon, server)
    horizon.act("delete is pressed without an error", TABLE, "instances", "delete", server, confirms=False)
    horizon.claim("a deleted server is gone from the list", until(lambda: shown(horizon, server) is None), shown(horizon, server))


def shown(horizon, server):
    return next((item for item in horizon.fetched("/api/nova/servers/")["items"] if item["id"] == server), None)


def becomes(horizon, server, status):
    def seen():
        item = shown(horizon, server) or {}
        return item.get("status") == status and not item.get("OS-EXT-STS:task_state")
    horizon.claim(f"it becomes {status}", until(seen, 60), shown(horizon, server))


def chosen(horizon, path, wanted):
    return next(item for item in horizon.fetched(path)["items"] if item["name"] == wanted)["id"]


def ordered(horizon):
    """An instance as the launch dialogue orders it, with a password, properties and a description."""
    made = horizon.send("a server is ordered", "POST", "/api/nova/servers/", {
        "name": name("server"), "source_id": chosen(horizon, "/api/glance/images/?paginate=true", "gapura-test"),
        "flavor_id": chosen(horizon, "/api/nova/flavors/?is_public=true", "m1.nano"), "key_name": None, "user_data": "#!/bin/sh\n",
        "security_groups": [], "nics": [{"net-id": chosen(horizon, "/api/neutron/networks/", "private"), "v4-fixed-ip": ""}],
        "instance_count": 1, "availability_zone": "nova", "config_drive": True, "disk_config": "MANUAL", "block_device_mapping_v2": None,
        "description": "of a test", "meta": {"role": "web"}, "scheduler_hints": {}, "admin_pass": "s3cret-word", "source_type": "image"})
    server = (made or {}).get("id", "")
    becomes(horizon, server, "ACTIVE")
    horizon.data("its metadata", f"/api/nova/servers/{server}/metadata", lambda body: '"web"' in body)
    horizon.send("its metadata is changed", "PATCH", f"/api/nova/servers/{server}/metadata", {"updated": {"role": "db"}, "removed": []})
    horizon.data("and shown so", f"/api/nova/servers/{server}/metadata", lambda body: '"db"' in body)
    return server


def buttons(horizon, server):
    """The buttons of a row, by the name that the table's form gives them."""
    for button, status in (("pause", "PAUSED"), ("pause", "ACTIVE"), ("suspend", "SUSPENDED"), ("suspend", "ACTIVE"),
                           ("soft_reboot", "ACTIVE"), ("reboot", "ACTIVE"), ("stop", "SHUTOFF"), ("start", "ACTIVE")):
        horizon.act(f"{button} is pressed", TABLE, "instances", button, server, confirms=False)
        becomes(horizon, server, status)
    horizon.act("lock is pressed", TABLE, "instances", "lock", server, confirms=False)
    horizon.claim("it is locked", until(lambda: (shown(horizon, server) or {}).get("locked")), shown(horizon, server))
    horizon.act("unlock is pressed", TABLE, "instances", "unlock", server, confirms=False)
    horizon.claim("it is no longer locked", until(lambda: not (shown(horizon, server) or {}).get("locked")), shown(horizon, server))


def rebuilt(horizon, server):
    """Its form for editing is left alone: it begins with security groups, which are not there yet."""
    image = chosen(horizon, "/api/glance/images/?paginate=true", "gapura-test")
    horizon.submit("an instance is rebuilt", f"{TABLE}{server}/rebuild", shows=name("server"), image=image, disk_config="AUTO")
    becomes(horizon, server, "ACTIVE")


def rescued(horizon, server):
    image = chosen(horizon, "/api/glance/images/?paginate=true", "gapura-test")
    horizon.submit("an instance is rescued", f"{TABLE}{server}/rescue", shows=name("server"), image=image)
    becomes(horizon, server, "RESCUE")
    horizon.act("unrescue is pressed", TABLE, "instances", "unrescue", server, confirms=False)
    becomes(horizon, server, "ACTIVE")


def resized(horizon, server):
    flavor = chosen(horizon, "/api/nova/flavors/?is_public=true", "m1.micro")
    for button, ends in (("revert", "m1.nano"), ("confirm", "m1.micro")):
        horizon.submit("an instance is resized", f"{TABLE}{server}/resize", shows=name("server"), flavor=flavor, disk_config="AUTO")
        becomes(horizon, server, "VERIFY_RESIZE")
        horizon.act(f"{button} is pressed", TABLE, "instances", button, server, confirms=False)
        becomes(horizon, server, "ACTIVE")
        horizon.page(f"its page, which says {ends}", f"{TABLE}{server}/", (ends,))


def pictured(horizon, server):
    horizon.submit("a snapshot is made", f"/project/images/{server}/create/", shows="", name=name("snapshot"))
    listed = "/api/glance/images/?paginate=true"

    def active():
        return any(item["name"] == name("snapshot") and item["status"] == "active" for item in horizon.fetched(listed)["items"])
    horizon.claim("the snapshot becomes active", until(active, 60), horizon.fetched(listed)["items"])
    horizon.send("the snapshot is deleted", "DELETE", f"/api/glance/images/{chosen(horizon, listed, name('snapshot'))}/")
    horizon.page("the tab of what was done", f"{TABLE}{server}/?tab=instance_details__audit", ("rebuild", "rescue"))


base, *arguments = sys.argv[1:]
Browser(base).walk(walk, *arguments)
