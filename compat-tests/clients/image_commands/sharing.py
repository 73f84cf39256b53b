"""Sharing: a project added, its answers, and what each side sees and may do meanwhile."""

import os

from pictures import BARE, WHOLE, folder_with_file, ids
from shell import Shell

MEMBER = ("created_at", "image_id", "member_id", "schema", "status", "updated_at")
ROW = ("Image ID", "Member ID", "Status")


def walk(shell: Shell, cast):
    mine, other, third = cast.member("giver"), cast.member("taker"), cast.member("stranger")
    with folder_with_file() as (_, path):
        image = shell.show(mine["cloud"], "image", "create", "--file", path, cast.name("shared"), fields=WHOLE, given={"visibility": "shared"})["id"]

    shell.refused(other["cloud"], "image", "show", image, saying=f"No Image found for {image}")
    given = {"image_id": image, "member_id": other["project"], "status": "pending", "schema": "/v2/schemas/member"}
    shell.show(mine["cloud"], "image", "add", "project", image, other["project"], fields=MEMBER, given=given)
    # By names, as an administrator who can look them up.
    shell.show(cast.admin, "image", "add", "project", cast.name("shared"), cast.name("stranger-project"), fields=MEMBER,
               given={"member_id": third["project"]})
    shell.refused(mine["cloud"], "image", "add", "project", image, other["project"], saying="409")
    rows = shell.rows(mine["cloud"], "image", "member", "list", image, fields=ROW)
    shell.claim("the owner sees both members", {row["Member ID"] for row in rows} == {other["project"], third["project"]}, rows)
    rows = shell.rows(other["cloud"], "image", "member", "list", image, fields=ROW)
    shell.claim("a member sees only itself", [(row["Member ID"], row["Status"]) for row in rows] == [(other["project"], "pending")], rows)
    shell.show(mine["cloud"], "image", "member", "get", image, other["project"], fields=MEMBER, given=given)
    shell.show(other["cloud"], "image", "member", "get", image, other["project"], fields=MEMBER, given=given)
    shell.refused(other["cloud"], "image", "member", "get", image, third["project"], saying="404")
    shell.refused(other["cloud"], "image", "add", "project", image, mine["project"], saying="403")

    answers(shell, mine, other, image)
    may(shell, other, image)
    shell.refused(mine["cloud"], "image", "set", "--accept", "--project", other["project"], image, saying="403")
    shell.order(cast.admin, "image", "set", "--reject", "--project", third["project"], image)
    shell.show(mine["cloud"], "image", "member", "get", image, third["project"], fields=MEMBER, given={"status": "rejected"})

    # Another member isn't there for it, and the client takes what isn't there for taken away.
    shell.order(other["cloud"], "image", "remove", "project", image, third["project"])
    shell.show(mine["cloud"], "image", "member", "get", image, third["project"], fields=MEMBER)
    shell.order(mine["cloud"], "image", "remove", "project", image, other["project"])
    shell.refused(other["cloud"], "image", "show", image, saying=f"No Image found for {image}")
    shell.refused(mine["cloud"], "image", "member", "get", image, other["project"], saying="404")
    shell.order(mine["cloud"], "image", "remove", "project", image, other["project"])
    shell.refused(mine["cloud"], "image", "set", "--accept", image, saying="404")

    shell.order(mine["cloud"], "image", "set", "--private", image)
    shell.refused(third["cloud"], "image", "show", image, saying=f"No Image found for {image}")
    shell.refused(mine["cloud"], "image", "add", "project", image, other["project"], saying="403")
    queued = shell.show(mine["cloud"], "image", "create", cast.name("queued"), fields=BARE)["id"]
    shell.show(mine["cloud"], "image", "add", "project", queued, other["project"], fields=MEMBER, given={"image_id": queued})
    shell.order(mine["cloud"], "image", "delete", image, queued)
    cast.dismiss(mine, other, third)


def answers(shell: Shell, mine, other, image):
    """Accepted, rejected, pending again: only an accepted image stands in the list."""
    def listed():
        return image in ids(shell.run(other["cloud"], "image", "list").data)
    shell.claim("a pending image is not in the member's list", not listed())
    for option, status in (("--accept", "accepted"), ("--reject", "rejected"), ("--pending", "pending"), ("--accept", "accepted")):
        shell.order(other["cloud"], "image", "set", option, image)
        shell.show(mine["cloud"], "image", "member", "get", image, other["project"], fields=MEMBER, given={"status": status})
        shell.claim(f"an image that is {status} is {'' if status == 'accepted' else 'not '}in the member's list", listed() == (status == "accepted"))


def may(shell: Shell, other, image):
    """What a member may do with the image: see it and save it, and no more."""
    cloud = other["cloud"]
    shell.show(cloud, "image", "show", image, fields=WHOLE, given={"id": image, "status": "active"})
    shell.order(cloud, "image", "save", "--file", os.devnull, image)
    shell.refused(cloud, "image", "set", "--name", "mine now", image, saying="403")
    shell.refused(cloud, "image", "set", "--tag", "mine", image, saying="403")
    shell.refused(cloud, "image", "set", "--private", image, saying="403")
    # The client hears no refusal of this one.
    shell.order(cloud, "image", "set", "--deactivate", image)
    shell.show(cloud, "image", "show", image, fields=WHOLE, given={"status": "active"})
    shell.refused(cloud, "image", "delete", image, saying="Failed to delete 1 of 1 images.")
