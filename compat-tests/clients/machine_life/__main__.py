"""What a tenant can do to a machine, done with the newest `openstack` client to real ones, each effect looked for where it
is: in libvirt, in the files of disks, on the guest's console.

Needs root, libvirt's URI, a clouds file with an administrator and a member of a project, and the image that
`etc/guest/build.sh` makes.
"""

import argparse
import os
import shutil
import sys
import tempfile
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "main_job")]

import copies  # noqa: E402
import memory  # noqa: E402
import more_disks  # noqa: E402
import reality  # noqa: E402
import shape  # noqa: E402
import within  # noqa: E402
from host import Host  # noqa: E402
from journey import Journey  # noqa: E402
from tenant import Tenant  # noqa: E402

NAMES = ("memory", "reality", "by hand", "resize", "rebuild", "rescue", "renamed", "copied", "copy", "from copy", "backup",
         "within", "without agent", "shelved", "flavor", "image", "more disks", "cut disks", "larger", "other buses")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clouds", required=True, help="clouds.yaml of the cloud")
    parser.add_argument("--admin", default="gapura", help="the administrator's cloud in that file")
    parser.add_argument("--demo", default="gapura-demo", help="the member's cloud in that file")
    parser.add_argument("--image", required=True, help="the image to boot: what etc/guest/build.sh makes")
    parser.add_argument("--network", default="private")
    parser.add_argument("--hypervisor", required=True, help="libvirt's URI")
    parser.add_argument("--only", help="one chapter alone")
    options = parser.parse_args()

    run = uuid.uuid4().hex[:6]
    names = {noun: f"life-{noun.replace(' ', '-')}-{run}" for noun in NAMES}
    folder = tempfile.mkdtemp(prefix="gapura-machine-life.")
    journey = Journey(os.path.join(os.path.dirname(sys.executable), "openstack"), options.clouds, brief=True)
    tenant = Tenant(journey, options.demo, options.admin, Host(options.hypervisor, ""), "gapura-test", options.network)
    chapters = {
        "memory goes on": (memory.walk, names),
        "power follows reality": (reality.walk, names),
        "resize, revert, confirm": (shape.resize, names),
        "rebuild": (shape.rebuild, names),
        "rescue": (shape.rescue, names),
        "put away and back": (shape.shelve, names),
        "images and backups": (copies.walk, names, folder),
        "into the guest": (within.walk, names),
    }
    # Asked for alone: each of its servers is one more guest to be emulated.
    apart = {"ephemeral disks and swap": (more_disks.walk, names)}
    try:
        journey.chapter("an image whose guests have an agent", upload, tenant, names["image"], options.image)
        chosen = {**chapters, **apart} if options.only else chapters
        for title, (steps, *arguments) in chosen.items():
            if not options.only or options.only in title:
                journey.chapter(title, steps, tenant, *arguments)
        journey.chapter("cleaning up", lambda journey: tenant.order("image", "delete", names["image"]))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return journey.finish()


def upload(journey, tenant, name, path):
    tenant.order("image", "create", "--disk-format", "qcow2", "--container-format", "bare", "--file", path,
                 "--property", "hw_qemu_guest_agent=yes", name)


sys.exit(main())
