"""Images beside a real Glance, in one run and in turn: bytes up and down, sharing, lists of a thousand.

With PEER (see sides.py) each line is measured on both, round by round; without it only Gapura's numbers are printed. Beside
both stand what the machine can do: `dd conv=fdatasync` of the same file, and nginx serving it. UNSYNCED_FILE names the clouds
file of a second Gapura, which like Glance does not wait for the disk; the one of CLOUD_FILE does.
ROUNDS, SECONDS_EACH, MIB, LISTED and SHARES make it shorter while developing.
"""

import contextlib
import os
import re
import socket
import statistics
import subprocess
import tempfile
import time

import sides
from cloud import environment, memory_mib, row

ROUNDS = int(os.environ.get("ROUNDS", "3"))
SECONDS = int(os.environ.get("SECONDS_EACH", "6"))
MIB = int(os.environ.get("MIB", "1024"))
LISTED = int(os.environ.get("LISTED", "1000"))
SHARES = int(os.environ.get("SHARES", "200"))
SIZE = MIB << 20
#: A quarter of the file, from its middle on.
RANGE = (SIZE // 2, SIZE // 2 + SIZE // 4 - 1)


def curl(*words):
    """(status, seconds); the body goes nowhere."""
    out = subprocess.run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{time_total}", *words], capture_output=True, text=True, check=True)
    status, seconds = out.stdout.split()
    return int(status), float(seconds)


class Images:
    """What is asked of one side's image service, as an administrator and as a member of another project."""

    def __init__(self, side, title):
        self.side, self.title = side, title
        self.url = side.endpoint("image")
        self.header = ["-H", f"X-Auth-Token: {side.token}"]
        member = side.users(1)
        self.project = side.project_with("bench-images", list(member.values()), "member")["id"]
        self.member = side.log_in(next(iter(member)), sides.PASSWORD, "bench-images")

    def call(self, method, path, body=None, expected=(200, 201, 204), token=None):
        status, _, answer = self.side.request(method, path, body, {"X-Auth-Token": token or self.side.token}, base=self.url)
        assert status in expected, (self.title, method, path, status, answer)
        return answer

    def make(self, name):
        return self.call("POST", "/v2/images", {"name": name, "disk_format": "raw", "container_format": "bare", "visibility": "shared"})["id"]

    def upload(self, source):
        """MB/s; the image that was made is kept for the downloads."""
        image = self.make("bench-bytes")
        status, seconds = curl("-T", source, "-X", "PUT", "-H", "Content-Type: application/octet-stream", "-H", "Expect:", *self.header,
                               f"{self.url}/v2/images/{image}/file")
        assert status == 204, (self.title, status)
        return image, SIZE / seconds / 1e6

    def fetch(self, image, *words):
        return download(f"{self.url}/v2/images/{image}/file", *self.header, *words)

    def share(self, image):
        """Milliseconds that sharing and accepting take together; then it is withdrawn."""
        members = f"/v2/images/{image}/members"
        began = time.monotonic()
        self.call("POST", members, {"member": self.project})
        self.call("PUT", f"{members}/{self.project}", {"status": "accepted"}, token=self.member)
        took = (time.monotonic() - began) * 1e3
        self.call("DELETE", f"{members}/{self.project}")
        return took

    def fill(self, count):
        """So many images that are asked for in lists, made when missing."""
        have = sum(1 for _ in self.walk("?name=bench-listed&limit=1000"))
        sides.each(2, lambda _: self.make("bench-listed"), range(have, count))

    def walk(self, query):
        """The images of a list and of the pages after it."""
        path = f"/v2/images{query}"
        while path:
            page = self.call("GET", path)
            yield from page["images"]
            path = page.get("next")

    def pages(self):
        """Milliseconds in which a client has them all, in pages of the service's own size."""
        began = time.monotonic()
        found = sum(1 for _ in self.walk("?name=bench-listed"))
        assert found >= LISTED, (self.title, found)
        return (time.monotonic() - began) * 1e3

    def list(self):
        """Lists of a thousand a second."""
        headers = {"X-Auth-Token": self.side.token}
        return sides.wrk(f"{self.url}/v2/images?limit={LISTED}", headers=headers, connections=16, seconds=SECONDS)["rate"]


def download(url, *words):
    """MB/s of the whole, or of the range that is asked for."""
    status, seconds = curl(*words, url)
    assert status == (206 if "-r" in words else 200), (url, status)
    size = RANGE[1] - RANGE[0] + 1 if "-r" in words else SIZE
    return size / seconds / 1e6


def dd(source, folder):
    out = subprocess.run(["dd", f"if={source}", f"of={folder}/written", "bs=1M", "conv=fdatasync"], capture_output=True, text=True, check=True).stderr
    os.unlink(f"{folder}/written")
    return SIZE / float(re.search(r"copied, ([\d.]+) s", out)[1]) / 1e6


def hashed_dd(source, folder):
    """What the disk gets when the checksums that an image has, MD5 and SHA-512, are made of the bytes on their way."""
    began = time.monotonic()
    hashes = " ".join(f">(exec openssl dgst -{name} > {folder}/{name})" for name in ("md5", "sha512"))
    written = f"dd of={folder}/written bs=1M iflag=fullblock oflag=direct conv=fdatasync status=none"
    subprocess.run(["bash", "-c", f"tee {hashes} < {source} | {written}; wait"], check=True)
    took = time.monotonic() - began
    os.unlink(f"{folder}/written")
    return SIZE / took / 1e6


def md5(source):
    """What no service passes that answers with an image's `checksum`: a chain, which one core makes alone."""
    began = time.monotonic()
    subprocess.run(["openssl", "dgst", "-md5", source], stdout=subprocess.DEVNULL, check=True)
    return SIZE / (time.monotonic() - began) / 1e6


@contextlib.contextmanager
def nginx(folder):
    """nginx on loopback, serving the folder as it does by default; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with open(f"{folder}/nginx.conf", "w", encoding="utf-8") as file:
        file.write(f"""daemon off; user root; worker_processes 2; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
            events {{}} http {{ access_log off; sendfile on; tcp_nopush on;
            client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
            uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
            server {{ listen 127.0.0.1:{port}; root {folder}/served; }} }}""")
    running = subprocess.Popen(["nginx", "-c", f"{folder}/nginx.conf", "-e", f"{folder}/nginx.log"])
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait()


def rounds(work):
    """The medians of each of these measurements by name, which are taken round by round, forth and back."""
    results = {name: [] for name in work}
    for number in range(ROUNDS):
        for name in list(work) if number % 2 == 0 else reversed(work):
            results[name].append(work[name]())
    return {name: statistics.median(values) for name, values in results.items()}


def printed(value, unit):
    return f"{value:,.2f} {unit}" if value < 10 else f"{value:,.0f} {unit}"


def line(what, results, unit, compared, promised):
    """One line: what was measured of everybody, and how many times as much ours is as what it is compared with."""
    cells = ", ".join(f"{name} {printed(value, unit)}" for name, value in results.items())
    ours, other = compared if unit != "ms" else compared[::-1]
    ratio = f"{results[ours] / results[other]:.2f}" if ours in results and other in results else ""
    row(what, cells, ratio, promised)


def transfers(everybody, folder, served):
    """Up and down; what is uploaded first of all warms caches and counts for nothing."""
    source = f"{folder}/served/source"
    last = {}

    def up(images):
        def work():
            if images.title in last:
                images.call("DELETE", f"/v2/images/{last[images.title]}")
            last[images.title], rate = images.upload(source)
            return rate
        return work
    ups = {images.title: up(images) for images in everybody}
    for work in ups.values():
        work()
    beside = {"dd": lambda: dd(source, folder), "dd behind both hashes": lambda: hashed_dd(source, folder), "MD5 alone": lambda: md5(source)}
    uploads = rounds({**ups, **beside})
    if "Gapura, unsynced" in uploads:
        line(f"upload of {MIB:,} MiB, nobody waiting for the disk", {name: rate for name, rate in uploads.items() if name != "Gapura" and name not in beside},
             "MB/s", ("Gapura, unsynced", "Glance"), "2 times Glance (aim 2.5)")
    line(f"upload of {MIB:,} MiB, on the disk when answered", {name: uploads[name] for name in ("Gapura", "dd")}, "MB/s", ("Gapura", "dd"), "0.85 of dd")
    line("the same, beside those who hash it as well", {name: uploads[name] for name in ("Gapura", "dd behind both hashes", "MD5 alone")}, "MB/s",
         ("Gapura", "dd behind both hashes"), "0.85 of it")

    those = [images for images in everybody if images.title != "Gapura, unsynced"]
    for title, words in ((f"download of {MIB:,} MiB", ()), (f"a Range of {MIB // 4:,} MiB of it", ("-r", f"{RANGE[0]}-{RANGE[1]}"))):
        downs = {images.title: lambda images=images: images.fetch(last[images.title], *words) for images in those}
        results = rounds({**downs, "nginx": lambda: download(f"{served}/source", *words)})
        line(title, results, "MB/s", ("Gapura", "nginx"), "0.9 of nginx")
    for images in everybody:
        images.call("DELETE", f"/v2/images/{last[images.title]}")


def main():
    ours = sides.ours()
    everybody = [Images(ours, "Gapura")]
    peer = sides.peer()
    if peer:
        everybody.append(Images(peer, "Glance"))
    both = list(everybody)
    if os.environ.get("UNSYNCED_FILE"):
        everybody.append(Images(sides.ours(os.environ["UNSYNCED_FILE"]), "Gapura, unsynced"))
    print(f"| medians of {ROUNDS} rounds, in turn | | times | promised |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="gapura-bench.", dir=environment("CLOUD_STATE")) as folder:
        os.mkdir(f"{folder}/served")
        subprocess.run(f"head -c {SIZE} /dev/urandom > {folder}/served/source", shell=True, check=True)
        subprocess.run(["sync"], check=True)
        with nginx(folder) as served:
            transfers(everybody, folder, served)

    shared = {images.title: images.make("bench-shared") for images in both}
    shares = rounds({images.title: lambda images=images: statistics.median(images.share(shared[images.title]) for _ in range(SHARES))
                     for images in both})
    line("share and accept, both calls, median", shares, "ms", ("Gapura", "Glance"), "under 3 ms")
    for images in both:
        images.call("DELETE", f"/v2/images/{shared[images.title]}")
        images.fill(LISTED)
    line(f"a list of {LISTED:,} images at once, at 16 connections", rounds({images.title: images.list for images in both}), "a second",
         ("Gapura", "Glance"), "25 times (aim 60)")
    line(f"all {LISTED:,} in pages of the default size", rounds({images.title: images.pages for images in both}), "ms", ("Gapura", "Glance"), "")
    print(f"\nResident memory afterwards: {memory_mib(int(environment('CLOUD_PID'))):.0f} MiB")


main()
