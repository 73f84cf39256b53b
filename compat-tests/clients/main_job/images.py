"""Chapter 2: an image goes in, comes out the same, and is shared with another project, who must accept it first."""

import hashlib
import os

from identity import OTHER
from journey import Journey


def digests(path):
    """(md5, sha512, size) of a file, read once and in pieces."""
    md5, sha512, size = hashlib.md5(), hashlib.sha512(), 0
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            md5.update(piece)
            sha512.update(piece)
            size += len(piece)
    return md5.hexdigest(), sha512.hexdigest(), size


def walk(journey: Journey, names, demo, other_project, image_path, folder):
    md5, sha512, size = digests(image_path)
    image = journey.run(demo, "image", "create", "--file", image_path, "--disk-format", "qcow2",
                        "--container-format", "bare", names["image"]).data
    properties = image["properties"]
    journey.claim("the image is active and shared by its owner's wish", (image["status"], image["visibility"]) == ("active", "shared"),
                  (image["status"], image["visibility"]))
    journey.claim("the image has its size", image["size"] == size, image["size"])
    journey.claim("the image has its md5", image["checksum"] == md5, image["checksum"])
    journey.claim("the image has its sha512",
                  (properties.get("os_hash_algo"), properties.get("os_hash_value")) == ("sha512", sha512), properties)

    saved = os.path.join(folder, "saved.qcow2")
    journey.run(demo, "image", "save", "--file", saved, image["id"], json_output=False)
    journey.claim("image save returns the same bytes", digests(saved)[1] == sha512)
    os.unlink(saved)

    def seen_by_other():
        return [row["ID"] for row in journey.run(OTHER, "image", "list").data]
    journey.claim("another project does not see it", image["id"] not in seen_by_other())
    stranger = journey.run(OTHER, "image", "show", image["id"], may_fail=True)
    journey.claim("another project is told that it isn't there", stranger.status == 1 and "No Image found" in stranger.complaint, stranger.complaint)

    member = journey.run(demo, "image", "add", "project", image["id"], other_project).data
    journey.claim("the member is pending", (member["status"], member["member_id"]) == ("pending", other_project), member)
    journey.claim("before the acceptance it is not in that project's list", image["id"] not in seen_by_other())
    journey.run(OTHER, "image", "set", "--accept", image["id"], json_output=False)
    journey.claim("after the acceptance it is", image["id"] in seen_by_other())
    rows = journey.run(demo, "image", "member", "list", image["id"]).data
    journey.claim("the owner sees that it was accepted", [(row["Member ID"], row["Status"]) for row in rows] == [(other_project, "accepted")], rows)
    thief = journey.run(OTHER, "image", "delete", image["id"], json_output=False, may_fail=True)
    journey.claim("a member may not delete it", thief.status == 1 and "403" in thief.complaint, thief.complaint)
    return image


def clean(journey: Journey, demo, image):
    journey.run(demo, "image", "delete", image["id"], json_output=False)
    gone = journey.run(demo, "image", "show", image["id"], may_fail=True)
    journey.claim("a deleted image is gone", gone.status == 1, gone.text)
