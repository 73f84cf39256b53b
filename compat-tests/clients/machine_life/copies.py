"""Images and backups of a running machine, and one that boots from such an image."""

import os
import subprocess

from tenant import Tenant


def walk(journey, tenant: Tenant, names, folder):
    server, machine = tenant.boot(names["copied"])
    tenant.is_up(server)
    agent = journey.until(lambda: machine.agent("guest-ping"), 60)
    journey.claim("the guest's agent answers", agent)

    tenant.order("server", "image", "create", "--name", names["copy"], "--wait", server)
    journey.claim("the guest went on running", machine.state == "running", machine.state)
    image = tenant.ask("image", "show", names["copy"]).data
    journey.claim("the image is active and says where it comes from",
                  image["status"] == "active" and server in str(image["properties"]), image["properties"])
    path = os.path.join(folder, "copy.qcow2")
    tenant.order("image", "save", "--file", path, names["copy"])
    checked = subprocess.run(["qemu-img", "check", "-f", image["disk_format"], path], capture_output=True, text=True)
    journey.claim("its bytes are a disk without errors", checked.returncode == 0, checked.stdout + checked.stderr)
    os.unlink(path)
    second, _ = tenant.boot(names["from copy"], image=names["copy"])
    tenant.is_up(second)

    backups = [f"{names['backup']}-{number}" for number in range(3)]
    for name in backups:
        tenant.order("server", "backup", "create", "--name", name, "--type", "daily", "--rotate", "2", "--wait", server)
        tenant.becomes(server, "ACTIVE")
    left = {row["Name"]: row["Status"] for row in tenant.ask("image", "list").data if row["Name"] in backups}
    journey.claim("of three backups the two newest are left", left == {name: "active" for name in backups[1:]}, left)
    tenant.delete(server, second)
    tenant.order("image", "delete", names["copy"], *left)
