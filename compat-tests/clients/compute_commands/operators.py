"""What operators alone do to servers: see where they run and how they do, put them on a host, act on others' servers."""

import kit
from shell import Shell


def walk(shell: Shell, cast):
    admin, mine = cast.admin, cast.member("watched")
    cloud = mine["cloud"]
    server = kit.create(shell, cloud, cast.name("server"))
    host = kit.show(shell, admin, server)["OS-EXT-SRV-ATTR:host"]
    diagnostics = shell.run(admin, "server", "show", "--diagnostics", server).data
    shell.claim("server show --diagnostics says how it does", diagnostics["state"] == "running" and diagnostics["memory_details"], diagnostics)
    shell.refused(cloud, "server", "show", "--diagnostics", server, saying="Policy doesn't allow")
    shell.claim("a member does not see the host", kit.show(shell, cloud, server)["OS-EXT-SRV-ATTR:host"] is None)
    placed = kit.create(shell, admin, cast.name("placed"), "--host", host, "--hypervisor-hostname", host)
    shell.claim("server create --host puts it there", kit.show(shell, admin, placed)["OS-EXT-SRV-ATTR:host"] == host)
    zoned = kit.create(shell, admin, cast.name("zoned"), "--availability-zone", f"nova:{host}")
    shell.claim("and so does a zone with a host", kit.show(shell, admin, zoned)["OS-EXT-SRV-ATTR:host"] == host)
    shell.refused(admin, "server", "create", "--image", kit.IMAGE, "--flavor", kit.FLAVOR, "--network", kit.NETWORK, "--host", "no-such-host",
                  cast.name("wrong"), saying="Compute host no-such-host could not be found")
    names = {row["Name"] for row in shell.run(admin, "server", "list", "--all-projects", "--instance-name", "instance", "-n").data}
    shell.claim("server list --instance-name is answered", isinstance(names, set))
    # There is nowhere else to go: said, never pretended. A cold migration is taken first and fails then, as upstream's does.
    shell.order(admin, "server", "migrate", server)

    def failed():
        events = shell.run(admin, "server", "event", "list", server, show=False).data
        tried = next(row["Request ID"] for row in events if row["Action"] == "migrate")
        return shell.run(admin, "server", "event", "show", server, tried, show=False).data["message"] == "Error"
    shell.claim("a cold migration with nowhere to go is said to have failed", shell.until(failed, 30, 0.1))
    kit.becomes(shell, cloud, server, "ACTIVE")
    shell.refused(admin, "server", "migrate", "--live-migration", server, saying="No valid host was found")
    shell.order(admin, "server", "stop", server)
    kit.becomes(shell, cloud, server, "SHUTOFF")
    shell.order(admin, "server", "start", "--all-projects", cast.name("server"))
    kit.becomes(shell, cloud, server, "ACTIVE")
    kit.delete(shell, cast, admin, placed, zoned)
    kit.delete(shell, cast, cloud, server)
    cast.dismiss(mine)
