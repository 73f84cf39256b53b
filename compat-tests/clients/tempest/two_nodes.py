"""Tempest on a cloud of two hosts with a libvirtd and a network each, one of which has joined the other: `two_nodes.py
--program BINARY --image QCOW2 [LIST…|REGEX]`. Needs root and libvirtd.

Without lists all that depends on hosts runs: with disks that are copied between them, and again, of a second cloud, what
moves servers where both keep disks in one folder.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "nodes"))

from site_of_two import ADDRESSES, Site  # noqa: E402

BOTH = {"host-a": "up", "host-b": "up"}
# Guests are emulated, and two tests run at once on as many cores.
PATIENCE = {"compute": {"build_timeout": "600"}, "image": {"build_timeout": "600"}}
# A guest that has not booted yet hears no request to shut down, and is given all that time.
SHUTDOWN = {"GAPURA_COMPUTE__SHUTDOWN_TIMEOUT": "15"}
# Where there is one folder, the two settings of Tempest's exclude each other: asked for a copy, a move is refused.
ANY = {**PATIENCE, "compute-feature-enabled": {"block_migration_for_live_migration": "true"}}
CHOSEN_BY_THE_CLOUD = r"tempest\.api\.compute\.admin\.test_live_migration\.LiveAutoBlockMigrationV225Test"


def must(done, what):
    status, said = done
    if status != 0:
        raise SystemExit(f"{what}: {said}")
    return said


def until(is_so, what, seconds=60):
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise SystemExit(f"{what}: not within {seconds} s")
        time.sleep(0.3)


def states(site):
    """Hosts as the controller lists them."""
    _, said = site.gapura("a", "host", "list")
    words = (line.split() for line in said.splitlines())
    return {line[0]: line[1] for line in words if len(line) > 1 and line[1] in ("up", "down")}


def listens(site):
    door = f"exec 3<> /dev/tcp/{ADDRESSES['a']}/5009"
    return subprocess.run(site.on("a", "bash", "-c", door), capture_output=True, check=False).returncode == 0


def make_up(site):
    """A controller on the first host, which the second joins."""
    must(site.gapura("a", "init"), "gapura init")
    site.start("a", "serve")
    until(lambda: states(site) == {"host-a": "up"} and listens(site), "the controller and its host are up")
    token = must(site.gapura("a", "node", "token"), "gapura node token")
    must(site.gapura("b", "node", "join", f"https://{ADDRESSES['a']}:5009", token), "gapura node join")
    site.start("b", "node")
    until(lambda: states(site) == BOTH, "both hosts are up")


def tempest(site, *selection, **environment):
    """On the first host, since nobody else sees its network. True when all passed."""
    own = {**os.environ, "CLOUD_FILE": os.path.join(site.state("a"), "clouds.yaml"), "TEMPEST_ACCOUNTS": "yes", **environment}
    print(f"== {' '.join(selection)}", flush=True)
    return subprocess.run(site.on("a", os.path.join(HERE, "run.sh"), *selection), env=own, check=False).returncode == 0


def everything(site):
    return tempest(site, "two_nodes", TEMPEST_SETTINGS=json.dumps(PATIENCE))


def moves_within_a_folder(site):
    told = tempest(site, "two_nodes_shared", TEMPEST_SHARED_DISKS="yes", TEMPEST_SETTINGS=json.dumps(PATIENCE))
    auto = tempest(site, CHOSEN_BY_THE_CLOUD, TEMPEST_SHARED_DISKS="yes", TEMPEST_SETTINGS=json.dumps(ANY))
    return told and auto


def on_two(options, run, **settings):
    """A cloud of its own for a run."""
    folder = tempfile.mkdtemp(prefix="two-nodes.")
    if "GAPURA_COMPUTE__DISKS" in settings:
        settings["GAPURA_COMPUTE__DISKS"] = os.path.join(folder, settings["GAPURA_COMPUTE__DISKS"])
    site = Site(folder, options.program, options.image, **SHUTDOWN, **settings)
    passed = False
    try:
        make_up(site)
        passed = run(site)
        left = [machine for host in "ab" for machine in site.machines(host, "--all")]
        print(f"left in libvirt: {left}" if left else "nothing is left in libvirt")
        print("0 passed, 1 failed" if left else "1 passed, 0 failed", flush=True)
        passed = passed and not left
    finally:
        if not passed:
            for host in "ab":
                print(f"\n== the last words on host-{host}\n" + "\n".join(site.log(host).splitlines()[-40:]))
        site.end()
        shutil.rmtree(folder, ignore_errors=True)
    return passed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="the binary")
    parser.add_argument("--image", required=True, help="what etc/guest/build.sh makes")
    parser.add_argument("--shared", action="store_true", help="only where both hosts keep disks in one folder")
    parser.add_argument("lists", nargs="*")
    options = parser.parse_args()
    # The hosts reach no registry.
    subprocess.run([os.path.join(HERE, "environment.sh")], check=True, stdout=subprocess.DEVNULL)
    one_folder = {"GAPURA_COMPUTE__DISKS": "disks"}
    if options.lists:
        shared = {"TEMPEST_SHARED_DISKS": "yes"} if options.shared else {}
        chosen = lambda site: tempest(site, *options.lists, TEMPEST_SETTINGS=json.dumps(PATIENCE), **shared)
        return on_two(options, chosen, **(one_folder if options.shared else {}))
    apart = options.shared or on_two(options, everything)
    return on_two(options, moves_within_a_folder, **one_folder) and apart


sys.exit(0 if main() else 1)
