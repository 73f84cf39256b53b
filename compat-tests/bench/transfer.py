"""How fast bytes go in and out: 1 GiB up and down, beside what the machine's hash and disk can do; and memory meanwhile."""

import os
import re
import subprocess
import tempfile
import threading
import time

from cloud import Cloud, environment, memory_mib, row

GIB = 1 << 30
pid = int(environment("CLOUD_PID"))
state = environment("CLOUD_STATE")
cloud = Cloud(environment("CLOUD_FILE"), "gapura")
highest = 0.0
watching = True


def watch():
    global highest
    while watching:
        highest = max(highest, memory_mib(pid))
        time.sleep(0.02)


def openssl(digest):
    out = subprocess.run(["openssl", "speed", "-seconds", "2", "-bytes", "1048576", "-evp", digest], capture_output=True, text=True).stdout
    return float(re.findall(r"([\d.]+)k\s*$", out.strip())[-1]) / 1000


def curl(*arguments):
    out = subprocess.run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{time_total}", *arguments], capture_output=True, text=True, check=True)
    status, seconds = out.stdout.split()
    return int(status), float(seconds)


with tempfile.TemporaryDirectory(prefix="gapura-bench.", dir=state) as folder:
    source = os.path.join(folder, "source")
    subprocess.run(f"head -c {GIB} /dev/urandom > {source}", shell=True, check=True)
    watcher = threading.Thread(target=watch)
    watcher.start()
    ups, downs = [], []
    for _ in range(3):
        status, _, image = cloud.call("POST", "/image/v2/images", {"name": "bench", "disk_format": "raw", "container_format": "bare"})
        assert status == 201, image
        path = f"{cloud.url}/image/v2/images/{image['id']}/file"
        header = ["-H", f"X-Auth-Token: {cloud.token}"]
        status, seconds = curl("-T", source, "-X", "PUT", "-H", "Content-Type: application/octet-stream", "-H", "Expect:", *header, path)
        assert status == 204, status
        ups.append(GIB / seconds / 1e6)
        status, seconds = curl(*header, path)
        assert status == 200, status
        downs.append(GIB / seconds / 1e6)
        cloud.call("DELETE", f"/image/v2/images/{image['id']}")
    watching = False
    watcher.join()
    out = subprocess.run(["dd", "if=/dev/zero", f"of={folder}/written", "bs=1M", "count=1024", "conv=fdatasync"], capture_output=True, text=True).stderr
    seconds = float(re.search(r"copied, ([\d.]+) s", out)[1])
print("| 1 GiB | MB/s |\n|---|---|")
row("upload, best of 3 (" + ", ".join(f"{rate:.0f}" for rate in ups) + ")", f"{max(ups):.0f}")
row("download, best of 3 (" + ", ".join(f"{rate:.0f}" for rate in downs) + ")", f"{max(downs):.0f}")
row("`openssl speed md5`, one core", f"{openssl('md5'):.0f}")
row("`openssl speed sha512`, one core", f"{openssl('sha512'):.0f}")
row("`dd conv=fdatasync` into the state directory", f"{GIB / seconds / 1e6:.0f}")
print(f"\nHighest resident memory meanwhile: {highest:.1f} MiB")
