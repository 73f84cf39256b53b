"""Images of every format, made with qemu-img: `formats.py FOLDER` writes them, and the manifest that Tempest's tests of
formats go by. Upstream's own come from a project of its own (os-test-images) that is in no registry."""

import os
import shutil
import subprocess
import sys

import yaml

folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
if not shutil.which("qemu-img"):
    print("formats.py: there is no qemu-img", file=sys.stderr)
    sys.exit(77)


def path(name):
    return os.path.join(folder, name)


def run(*arguments):
    subprocess.run(["qemu-img", *arguments], check=True, stdout=subprocess.DEVNULL)


with open(path("disk.raw"), "wb") as file:
    file.write(bytes(range(256)) * 2048 + bytes(1 << 20))
images = [{"name": "raw", "format": "raw", "filename": "disk.raw", "usable": True}]
for name, kind, options in [
    ("qcow2", "qcow2", []),
    ("qcow2-v2", "qcow2", ["-o", "compat=0.10"]),
    ("vmdk-stream", "vmdk", ["-o", "subformat=streamOptimized"]),
    ("vmdk-sparse", "vmdk", ["-o", "subformat=monolithicSparse"]),
    ("vdi", "vdi", []),
    ("vhdx", "vhdx", []),
    ("vhd", "vpc", []),
]:
    run("convert", "-f", "raw", "-O", kind, *options, path("disk.raw"), path(name))
    images.append({"name": name, "format": {"vpc": "vhd"}.get(kind, kind), "filename": name, "usable": True})
run("create", "-q", "-f", "qcow2", "-b", path("disk.raw"), "-F", "raw", path("qcow2-backing"))
run("create", "-q", "-f", "qcow2", "-o", f"data_file={path('outside')},data_file_raw=on", path("qcow2-data-file"), "2M")
for name in ["qcow2-backing", "qcow2-data-file"]:
    images.append({"name": name, "format": "qcow2", "filename": name, "usable": False})
with open(path("manifest.yaml"), "w", encoding="utf-8") as file:
    yaml.safe_dump({"images": images}, file)
