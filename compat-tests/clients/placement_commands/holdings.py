"""What servers hold of hosts, and projects in all: it comes and goes with them."""

import kit
from shell import Shell
from speech import NEWEST, hosts

HELD = {"VCPU": 1, "MEMORY_MB": 192, "DISK_GB": 1}


def walk(shell: Shell, cast):
    admin, mine, other = cast.admin, cast.member("holder"), cast.member("stranger")
    by_name = hosts(shell, admin)
    server = kit.create(shell, mine["cloud"], cast.name("holding"))
    host = by_name[kit.show(shell, admin, server)["OS-EXT-SRV-ATTR:host"]]
    rows = shell.rows(admin, "resource", "provider", "allocation", "show", server, *NEWEST,
                      fields=("resource_provider", "generation", "resources", "project_id", "user_id", "consumer_type"))
    shell.need("a server holds something of its host alone", [row["resource_provider"] for row in rows] == [host], rows)
    row = rows[0]
    shell.claim("it is what its flavor takes", row["resources"] == HELD, row)
    shell.claim("and its owner's", (row["project_id"], row["user_id"], row["consumer_type"]) == (mine["project"], mine["user"], "INSTANCE"), row)
    rows = shell.rows(admin, "resource", "provider", "usage", "show", host, *NEWEST, fields=("resource_class", "usage"))
    shell.claim("usage of the host counts it", {row["resource_class"]: row["usage"] for row in rows} == HELD, rows)
    shown = shell.run(admin, "resource", "provider", "show", "--allocations", host, *NEWEST).data
    shell.claim("provider show --allocations has it", list(shown["allocations"]) == [server], shown)
    used = shell.run(mine["cloud"], "resource", "usage", "show", mine["project"], *NEWEST).data
    shell.claim("a project sees what it uses", "192" in str(used), used)
    shell.refused(other["cloud"], "resource", "usage", "show", mine["project"], *NEWEST, saying="Policy does not allow placement:usages")
    shell.refused(other["cloud"], "resource", "provider", "list", saying="Policy does not allow placement:resource_providers:list")
    kit.delete(shell, cast, mine["cloud"], server)
    rows = shell.run(admin, "resource", "provider", "allocation", "show", server, *NEWEST).data
    shell.claim("with the server it is gone", rows == [], rows)
    cast.dismiss(mine, other)
