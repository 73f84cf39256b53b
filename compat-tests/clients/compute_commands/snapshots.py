"""`server image create` and `server backup create`: what image comes of it, and which older ones go."""

import kit
from shell import Shell


def walk(shell: Shell, cast):
    mine, other = cast.member("photographer"), cast.member("stranger")
    cloud = mine["cloud"]
    server = kit.create(shell, cloud, cast.name("server"))
    image = shell.run(cloud, "server", "image", "create", "--name", cast.name("snap"), "--property", "colour=red", "--wait", server)
    shown = shell.run(cloud, "image", "show", cast.name("snap")).data
    shell.claim("server image create makes an image that is there", image.status == 0 and shown["status"] == "active", shown)
    properties = shown["properties"]
    shell.claim("and says of what", (properties.get("instance_uuid"), properties.get("image_type"), properties.get("colour"))
                == (server, "snapshot", "red"), properties)
    shell.claim("it is its project's alone", (shown["visibility"], shown["owner"]) == ("private", mine["project"]), shown)
    copy = shell.run(cloud, "server", "create", "--image", cast.name("snap"), "--flavor", kit.FLAVOR, "--nic", "none", cast.name("copy")).data["id"]
    kit.becomes(shell, cloud, copy, "ACTIVE")
    shell.claim("a server boots from it", shown["id"] in kit.show(shell, cloud, copy)["image"])
    shell.refused(other["cloud"], "server", "image", "create", server, saying="No Server found")
    shell.refused(cloud, "server", "image", "create", "--name", "x" * 256, server, saying="is too long")

    def backups():
        rows = shell.run(cloud, "image", "list", "--property", "image_type=backup").data
        return sorted(row["Name"] for row in rows)
    for at in (1, 2, 3):
        shell.run(cloud, "server", "backup", "create", "--name", cast.name(f"backup-{at}"), "--type", "daily", "--rotate", "2", "--wait", server,
                  json_output=False)
        kit.becomes(shell, cloud, server, "ACTIVE")
    wanted = [cast.name("backup-2"), cast.name("backup-3")]
    shell.claim("server backup create --rotate keeps the newest", shell.until(lambda: backups() == wanted, 10, 0.1), backups())
    shell.run(cloud, "server", "backup", "create", "--name", cast.name("weekly"), "--type", "weekly", "--rotate", "1", "--wait", server,
              json_output=False)
    shell.claim("another type is rotated by itself", backups() == sorted([*wanted, cast.name("weekly")]), backups())
    shell.refused(cloud, "server", "backup", "create", "--rotate", "-1", server, saying="less than the minimum of 0")
    shell.refused(other["cloud"], "server", "backup", "create", server, saying="No Server found")
    kit.delete(shell, cast, cloud, server, copy)
    shell.order(cloud, "image", "delete", shown["id"], *backups())
    cast.dismiss(mine, other)
