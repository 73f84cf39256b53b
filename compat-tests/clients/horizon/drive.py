"""Logs in to Horizon as a browser does, opens a member's pages and walks an instance's life; ends with `N passed, N failed`."""

import sys

from browser import Browser, until


def an_instance(horizon):
    """A server as the launch dialogue orders it, seen in the table and on pages of its own, and deleted from the table."""
    def chosen(path, name):
        return next(item for item in horizon.fetched(path)["items"] if item["name"] == name)["id"]
    image = chosen("/api/glance/images/?paginate=true", "gapura-test")
    flavor, network = chosen("/api/nova/flavors/?is_public=true", "m1.nano"), chosen("/api/neutron/networks/", "private")
    made = horizon.send("a server is ordered", "POST", "/api/nova/servers/", {
        "name": "from-horizon", "source_id": image, "flavor_id": flavor, "key_name": None, "user_data": "",
        "security_groups": [], "nics": [{"net-id": network, "v4-fixed-ip": ""}], "instance_count": 1,
        "availability_zone": "nova", "config_drive": False, "disk_config": "AUTO", "block_device_mapping_v2": None,
        "description": None, "meta": {}, "scheduler_hints": {}, "admin_pass": None, "source_type": "image"})
    server = (made or {}).get("id", "")

    def shown():
        return next((item for item in horizon.fetched("/api/nova/servers/")["items"] if item["id"] == server), None)
    horizon.claim("the server that was ordered becomes ACTIVE", until(lambda: (shown() or {}).get("status") == "ACTIVE"), shown())
    horizon.page("Instances with one in it", "/project/instances/",
                 ("from-horizon", server, "gapura-test", "m1.nano", "Active", "Running"))
    status, text, _ = horizon.open(f"/project/instances/?action=row_update&table=instances&obj_id={server}",
                                   headers={"X-Requested-With": "XMLHttpRequest"})
    horizon.claim("its row is refreshed", status == 200 and "from-horizon" in text and "Unknown" not in text, f"status {status}: {text}")
    horizon.page("its page", f"/project/instances/{server}/", ("from-horizon", server, "m1.nano", "gapura-test", "private"))
    for tab, words in (("interfaces", ()), ("log", ("Instance Console Log",)), ("audit", ("create", "req-"))):
        horizon.page(f"its tab {tab}", f"/project/instances/{server}/?tab=instance_details__{tab}", words)
    horizon.page("Overview with one in it", "/project/", ("from-horizon", "Usage Summary"))
    horizon.page("Network Topology's data", "/project/network_topology/json", ("from-horizon",))
    horizon.act("delete is pressed without an error", "/project/instances/", "instances", "delete", server, confirms=False)
    horizon.claim("a deleted server is gone from the list", until(lambda: shown() is None), shown())


def walk(horizon, clouds_file, cloud):
    if not horizon.login(clouds_file, cloud):
        return
    horizon.page("Overview", "/project/", ("Limit Summary", "Usage Summary"))
    horizon.page("Instances", "/project/instances/", ("Launch Instance",))
    horizon.page("Images", "/project/images", ())
    horizon.data("the list of images", "/api/glance/images/?paginate=true", lambda body: "gapura-test" in body)
    horizon.page("Key Pairs", "/project/key_pairs", ())
    horizon.data("the list of key pairs", "/api/nova/keypairs/", lambda body: '"items"' in body)
    horizon.data("what the launch dialogue asks: flavors", "/api/nova/flavors/?is_public=true", lambda body: "m1.nano" in body)
    horizon.data("and networks", "/api/neutron/networks/", lambda body: "private" in body)
    horizon.page("Networks", "/project/networks/", ("private",))
    an_instance(horizon)


base, *arguments = sys.argv[1:]
Browser(base).walk(walk, *arguments)
