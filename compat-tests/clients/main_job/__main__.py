"""The main job: what a cloud is for, done with the newest `openstack` client against a running Gapura.

`run.sh` beside this folder gives it the client. It needs a clouds file with an administrator and a member of a
project, an image to boot, and, to look behind the API, libvirt's URI and the state directory.
"""

import argparse
import os
import shutil
import sys
import tempfile
import uuid

import yaml

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import identity  # noqa: E402
import images  # noqa: E402
import servers  # noqa: E402
from host import Host  # noqa: E402
from journey import Journey  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clouds", required=True, help="clouds.yaml of the cloud")
    parser.add_argument("--admin", default="gapura", help="the administrator's cloud in that file")
    parser.add_argument("--demo", default="gapura-demo", help="the member's cloud in that file")
    parser.add_argument("--image", required=True, help="the image to upload and boot: what etc/guest/build.sh makes")
    parser.add_argument("--flavor", default="m1.nano")
    parser.add_argument("--network", default="private")
    parser.add_argument("--hypervisor", default="simulated", help="libvirt's URI, to look at the host")
    parser.add_argument("--state-dir", default="", help="where Gapura keeps its state, to look for what is left over")
    parser.add_argument("--brief", action="store_true", help="print no answers, only commands and what fails")
    parser.add_argument("--skip-example", action="store_true", help="leave out the README's example")
    options = parser.parse_args()

    folder = tempfile.mkdtemp(prefix="gapura-main-job.")
    with open(options.clouds, encoding="utf-8") as file:
        clouds = yaml.safe_load(file)
    mine = os.path.join(folder, "clouds.yaml")
    with open(os.open(mine, os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        yaml.safe_dump(clouds, file)

    run = uuid.uuid4().hex[:6]
    names = {noun: f"main-job-{noun}-{run}" for noun in ("project", "user", "image", "key", "server")}
    names["demo"] = options.demo
    host = Host(options.hypervisor, options.state_dir)
    journey = Journey(os.path.join(os.path.dirname(sys.executable), "openstack"), mine, options.brief)
    try:
        made = journey.chapter("Projects, users and logging in", identity.walk, names, clouds, options.admin)
        if made:
            image = journey.chapter("An image, uploaded and shared", images.walk, names, options.demo, made["project"],
                                    options.image, folder)
            if image:
                journey.chapter("A machine's life", servers.walk, names, image, options.flavor, options.network, host, folder)
                journey.chapter("Cleaning up images", images.clean, options.demo, image)
            journey.chapter("Cleaning up users", identity.clean, made, options.admin)
        if not options.skip_example:
            readme = os.path.join(HERE, "..", "..", "..", "README.md")
            journey.chapter("The README's example", servers.readme_example, sys.executable, readme)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return journey.finish()


sys.exit(main())
