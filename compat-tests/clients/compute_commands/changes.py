"""`server set` and `server unset`: name, description, host name, properties, tags; and what is refused of each."""

import kit
from shell import Shell


def walk(shell: Shell, cast):
    mine, other = cast.member("changer"), cast.member("stranger")
    cloud, name = mine["cloud"], cast.name("renamed")
    server = kit.create(shell, cloud, cast.name("server"), "--property", "a=b", "--tag", "red")
    shell.order(cloud, "server", "set", "--name", name, "--description", "changed", "--hostname", "other-name",
                "--property", "c=d", "--property", "a=e", "--tag", "blue", server)
    shown = kit.show(shell, cloud, server)
    wanted = {"name": name, "description": "changed", "OS-EXT-SRV-ATTR:hostname": "other-name", "properties": {"a": "e", "c": "d"}}
    shell.claim("server set changes what it names", wanted.items() <= shown.items(), shown)
    shell.claim("and adds tags", sorted(shown["tags"]) == ["blue", "red"], shown["tags"])
    shell.order(cloud, "server", "unset", "--property", "a", "--tag", "red", "--description", name)
    shown = kit.show(shell, cloud, server)
    shell.claim("server unset takes away what it names",
                (shown["properties"], shown["tags"], shown["description"]) == ({"c": "d"}, ["blue"], ""), shown)
    shell.order(cloud, "server", "unset", "--all-properties", "--all-tags", name)
    shown = kit.show(shell, cloud, server)
    shell.claim("server unset --all-… takes all", (shown["properties"], shown["tags"]) == ({}, []), shown)

    shell.refused(cloud, "server", "unset", "--property", "no-such-key", name, saying="404")
    shell.refused(cloud, "server", "unset", "--tag", "no-such-tag", name, saying="404")
    shell.refused(cloud, "server", "set", "--hostname", "under_score", name, saying="Invalid input for field/attribute hostname")
    shell.refused(cloud, "server", "set", "--name", "x" * 256, name, saying="is too long")
    shell.refused(cloud, "server", "set", "--property", f"key={'x' * 256}", name, saying="is too long")
    shell.refused(cloud, "server", "set", "--tag", "a,b", name, saying="400")
    shell.refused(cloud, "server", "set", "--state", "active", "--auto-approve", name, saying="Policy doesn't allow")
    shell.refused(other["cloud"], "server", "set", "--name", "mine-now", server, saying="No Server found")
    shell.refused(cloud, "server", "set", "--name", "x", "no-such-server", saying="No Server found")

    shell.order(cast.admin, "server", "set", "--state", "error", "--auto-approve", server)
    shell.claim("server set --state error shows so", kit.show(shell, cloud, server)["status"] == "ERROR")
    shell.refused(cloud, "server", "pause", server, saying="Cannot 'pause' instance")
    shell.order(cast.admin, "server", "set", "--state", "active", "--auto-approve", server)
    shell.claim("server set --state active shows so", kit.show(shell, cloud, server)["status"] == "ACTIVE")
    # Only a guest's agent can change a password, and this one has none.
    shell.refused(cloud, "server", "set", "--password", "s3cret-word", server, saying="QEMU guest agent is not enabled")
    kit.delete(shell, cast, cloud, server)
    cast.dismiss(mine, other)
