"""What several chapters need: the image, the flavors and the network that every cloud begins with, and servers from them."""

from shell import Shell

IMAGE, FLAVOR, LARGER, NETWORK = "gapura-test", "m1.nano", "m1.micro", "private"
#: What `server show` prints; more in an answer that follows an action.
FIELDS = {
    "OS-DCF:diskConfig", "OS-EXT-AZ:availability_zone", "OS-EXT-SRV-ATTR:host", "OS-EXT-SRV-ATTR:hostname",
    "OS-EXT-SRV-ATTR:hypervisor_hostname", "OS-EXT-SRV-ATTR:instance_name", "OS-EXT-SRV-ATTR:kernel_id",
    "OS-EXT-SRV-ATTR:launch_index", "OS-EXT-SRV-ATTR:ramdisk_id", "OS-EXT-SRV-ATTR:reservation_id",
    "OS-EXT-SRV-ATTR:root_device_name", "OS-EXT-SRV-ATTR:user_data", "OS-EXT-STS:power_state", "OS-EXT-STS:task_state",
    "OS-EXT-STS:vm_state", "OS-SRV-USG:launched_at", "OS-SRV-USG:terminated_at", "accessIPv4", "accessIPv6", "addresses",
    "config_drive", "created", "description", "flavor", "hostId", "host_status", "id", "image", "key_name", "locked",
    "locked_reason", "name", "pinned_availability_zone", "progress", "project_id", "properties", "scheduler_hints",
    "server_groups", "status", "tags", "trusted_image_certificates", "updated", "user_id", "volumes_attached",
}


def create(shell: Shell, cloud, name, *words, flavor=FLAVOR, status="ACTIVE"):
    """A server made and booted, without the five seconds that the client sleeps between two looks. Returns its id."""
    network = () if any(word in ("--nic", "--network", "--port", "--no-network") for word in words) else ("--network", NETWORK)
    made = shell.run(cloud, "server", "create", "--image", IMAGE, "--flavor", flavor, *network, *words, name).data["id"]
    becomes(shell, cloud, made, status)
    return made


def show(shell: Shell, cloud, server):
    return shell.run(cloud, "server", "show", server, show=False).data


def becomes(shell: Shell, cloud, server, status, seconds=30):
    """Waits until the server has this status and nothing is being done to it."""
    def seen():
        shown = show(shell, cloud, server)
        return shown["status"] == status and shown["OS-EXT-STS:task_state"] is None
    shell.need(f"the server becomes {status}", shell.until(seen, seconds, 0.1), show(shell, cloud, server)["status"])


def delete(shell: Shell, cast, cloud, *servers):
    """Deletes servers, and what this cloud keeps of them for a while; waits until nothing is left."""
    shell.order(cloud, "server", "delete", *servers)
    left = {row["ID"] for row in shell.run(cloud, "server", "list", "-n").data} & set(servers)
    shell.claim("deleted servers are in no list", not left, left)
    for server in servers:
        shell.run(cast.admin, "server", "delete", "--force", server, json_output=False, may_fail=True)

    def gone():
        return not {row["ID"] for row in shell.run(cast.admin, "server", "list", "--all-projects", "-n").data} & set(servers)
    shell.claim("and soon nothing is left of them", shell.until(gone, 30, 0.1))
