"""Applies images.tf: an image uploaded from a file and one fetched from the web (of loopback), the first shared and accepted;
planned again without a change, changed in place, destroyed. Ends with `N passed, N failed`."""

import hashlib
import os
import sys
import tempfile

from engine import Terraform

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from web import web  # noqa: E402

BYTES = b"bytes of an image that is no disk\n" * 3000
#: What is changed in place, before and after: attributes of both images, and the other project's answer.
CHANGES = [
    ('"${var.prefix}-uploaded"\n  local', '"${var.prefix}-uploaded-renamed"\n  local'),
    ('["terraform", "before"]', '["terraform", "after"]'),
    ("min_disk_gb      = 1", "min_disk_gb      = 2"),
    ("min_ram_mb       = 64", "min_ram_mb       = 128"),
    ('purpose = "before"', 'purpose = "after"'),
    ('    passing = "yes"\n', ""),
    ('"${var.prefix}-fetched"', '"${var.prefix}-fetched-renamed"\n  hidden           = true'),
    ('status    = "accepted"', 'status    = "rejected"'),
]
RESOURCES, CHANGED = 4, 3


def walk(terraform):
    if not terraform.init():
        return
    try:
        if not terraform.apply(f"apply makes {RESOURCES} resources", f"{RESOURCES} added"):
            return
        found = terraform.outputs()
        digest = hashlib.md5(BYTES).hexdigest()
        terraform.claim("both images have the bytes", (found["checksums"], found["sizes"]) == ([digest] * 2, [len(BYTES)] * 2), found)
        terraform.claim("the data sources find what was made", (found["by_name"], found["by_property"]) == (found["uploaded"],) * 2, found)
        terraform.claim("a list of images is in the order asked for", found["mine"] == [found["uploaded"], found["fetched"]], found)
        terraform.claim("the other project has the image it accepted", (found["accepted"], found["status"]) == ([found["uploaded"]], "accepted"), found)
        terraform.unchanged("a second plan changes nothing")
        for old, new in CHANGES:
            terraform.replace(old, new)
        if terraform.apply(f"{CHANGED} resources are changed in place", f"0 added, {CHANGED} changed, 0 destroyed"):
            found = terraform.outputs()
            terraform.claim("what was rejected is in the other project's list of accepted images no more",
                            (found["accepted"], found["status"]) == ([], "rejected"), found)
            terraform.claim("the data sources find it changed", found["by_property"] == found["uploaded"], found)
        terraform.unchanged("and the plan after it changes nothing")
    finally:
        terraform.destroy(f"{RESOURCES} destroyed")


with tempfile.TemporaryDirectory(prefix="gapura-terraform-images.") as folder:
    path = os.path.join(folder, "image.raw")
    with open(path, "wb") as file:
        file.write(BYTES)
    with web(folder) as address:
        journey = Terraform(os.path.abspath(sys.argv[1]), "images.tf")
        journey.given = {"file": path, "url": f"{address}/image.raw", "other_cloud": os.environ["OS_OTHER_CLOUD"]}
        journey.walk(walk)
