"""Many at once: so many uploads and so many downloads together, whether all succeed, and the most memory the server had.

CROWD (50) is how many of each, CROWD_MIB (100) their size, CROWD_FORMAT (raw; also qcow2, of which more of the beginning is
looked at) what the images are. The bytes differ from image to image."""

import http.client
import os
import re
import subprocess
import tempfile
import threading
import time
import urllib.parse
import zlib

from cloud import Cloud, environment, row

MIB = 1 << 20
count, size = int(os.environ.get("CROWD", 50)), int(os.environ.get("CROWD_MIB", 100)) * MIB
disk_format = os.environ.get("CROWD_FORMAT", "raw")
most = float(os.environ.get("CROWD_MOST_MIB", "inf"))
pid = int(environment("CLOUD_PID"))
cloud = Cloud(environment("CLOUD_FILE"), "gapura")
where = urllib.parse.urlsplit(cloud.url)
block = os.urandom(MIB)
beginning = block
if disk_format == "qcow2":
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "empty.qcow2")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", file, "10G"], check=True)
        with open(file, "rb") as made:
            beginning = made.read().ljust(MIB, b"\0")[:MIB]


def peak_mib():
    """The most resident memory since it was last asked for."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmHWM:\s+(\d+) kB", file.read())[1]) / 1024


def forget_peak():
    with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def blocks(number):
    """An image's bytes, a mebibyte at a time; each image has a number of its own in its second block."""
    yield beginning
    yield number.to_bytes(8, "big") + block[8:]
    for _ in range(size // MIB - 2):
        yield block


def create(number):
    status, _, image = cloud.call("POST", "/image/v2/images", {"name": f"crowd-{number}", "disk_format": disk_format, "container_format": "bare"})
    assert status == 201, image
    return image["id"]


def upload(number, image):
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=600)
    headers = {"X-Auth-Token": cloud.token, "Content-Type": "application/octet-stream", "Content-Length": str(size)}
    connection.request("PUT", f"/image/v2/images/{image}/file", blocks(number), headers)
    answer = connection.getresponse()
    assert answer.status == 204, (answer.status, answer.read())


def download(number, image):
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=600)
    connection.request("GET", f"/image/v2/images/{image}/file", headers={"X-Auth-Token": cloud.token})
    answer = connection.getresponse()
    assert answer.status == 200, (answer.status, answer.read())
    got, crc = 0, 0
    while piece := answer.read(256 << 10):
        got, crc = got + len(piece), zlib.crc32(piece, crc)
    expected = 0
    for one in blocks(number):
        expected = zlib.crc32(one, expected)
    assert (got, crc) == (size, expected), (number, got)


def at_once(work):
    """Runs all of it together; answers the seconds, and how many failed."""
    failures = []

    def run(function, arguments):
        try:
            function(*arguments)
        except Exception as error:  # Counted and shown: the rest goes on.
            failures.append(f"{function.__name__} {arguments[0]}: {error!r}")

    threads = [threading.Thread(target=run, args=one) for one in work]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for failure in failures[:5]:
        print(failure)
    return time.monotonic() - began, len(failures)


there = [(number, create(number)) for number in range(min(5, count))]
for one in there:
    upload(*one)
new = [(number, create(number)) for number in range(100, 100 + count)]
ups = [(upload, one) for one in new]
downs = [(download, there[at % len(there)]) for at in range(count)]
print(f"{count} of each, {size // MIB} MiB, {disk_format}; {peak_mib():.0f} MiB was the most while {len(there)} came one by one\n")
print("| at once | seconds | failed | most resident memory, MiB |\n|---|---|---|---|")
worst, failed = 0, 0
for name, work in [("uploads", ups), ("downloads", downs), ("uploads and downloads", None)]:
    if work is None:
        new = [(number, create(number)) for number in range(1000, 1000 + count)]
        work = [(upload, one) for one in new] + downs
    forget_peak()
    seconds, bad = at_once(work)
    worst, failed = max(worst, peak_mib()), failed + bad
    row(f"{len(work)} {name}", f"{seconds:.1f}", bad, f"{peak_mib():.0f}")
    # Idle all the while, the connection may be closed by now.
    cloud.connection.close()
    for _, image in new:
        cloud.call("DELETE", f"/image/v2/images/{image}")
    new = []
for _, image in there:
    cloud.call("DELETE", f"/image/v2/images/{image}")
if failed or worst > most:
    raise SystemExit(f"{failed} failed; {worst:.0f} MiB was the most, {most:.0f} are allowed")
