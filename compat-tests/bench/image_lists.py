"""What a page of images costs with 10, 1,000 and 100,000 images in the table: the cost must not grow with it.

The rows are written straight into the SQLite file of a running cloud, past the API, which would take hours to make them.
Most are other projects' (private, shared among them, community), a tenth is public and a twentieth the caller's own, and
some eighty are shared with the caller, however large the table: the cost of a page does grow with how many of those there
are. A page has ten images, so that it is as long in a table of ten. IMAGES="10 1000" makes it shorter.
"""

import http.client
import os
import sqlite3
import statistics
import sys
import time
import urllib.parse
import uuid

import sides
from cloud import environment, memory_mib, row

SIZES = [int(size) for size in os.environ.get("IMAGES", "10 1000 100000").split()]
ROUNDS = int(os.environ.get("ROUNDS", "200"))

pid = int(environment("CLOUD_PID"))
ours = sides.ours()
address = urllib.parse.urlsplit(ours.url)


def image_id(number):
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"scale-{number}"))


def fill(images, member):
    """So many images: made where missing. `member` is whose own and whose shares some of them are."""
    store = sqlite3.connect(os.path.join(environment("CLOUD_STATE"), "gapura.db"), timeout=60, isolation_level=None)
    store.execute("PRAGMA foreign_keys = ON")

    def rows(table, columns, values):
        marks = ", ".join("?" * len(columns.split(",")))
        store.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks}) ON CONFLICT DO NOTHING", values)

    def kind(number):
        """Whose, and who sees it."""
        if number % 20 == 0:
            return member, "private"
        if number % 10 == 5:
            return f"other-{number % 997}", "public"
        return f"other-{number % 997}", ("private", "shared", "community")[number % 3]

    store.execute("BEGIN IMMEDIATE")
    rows("image_ids", "id", ((image_id(n),) for n in range(images)))
    rows("images", "id, owner, name, status, visibility, container_format, disk_format, min_disk, min_ram, protected, os_hidden, created_at, updated_at",
         ((image_id(n), kind(n)[0], f"scale-{n}", "queued", kind(n)[1], "bare", "qcow2", 0, 0, 0, 0, n * 1000, n * 1000) for n in range(images)))
    rows("image_properties", "image_id, name, value", ((image_id(n), "os_distro", "debian") for n in range(images)))
    rows("image_members", "image_id, member, status, created_at, updated_at",
         ((image_id(n), member, "accepted", 1, 1) for n in range(min(images, 300)) if kind(n)[1] == "shared"))
    count = store.execute("SELECT COUNT(*) FROM images").fetchone()[0]
    store.execute("COMMIT")
    store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    return count


def median(connection, token, query):
    """How long a page takes at the median, in ms."""
    times = []
    for turn in range(ROUNDS + 5):
        began = time.monotonic()
        connection.request("GET", "/image/v2/images" + query, headers={"X-Auth-Token": token})
        answer = connection.getresponse()
        text = answer.read()
        if turn >= 5:  # the first ones warm up
            times.append((time.monotonic() - began) * 1e3)
        assert answer.status == 200, text
    return f"{statistics.median(times):.2f} ms"


def measured(images):
    total = fill(images, member_project)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    middle = image_id(images // 2 // 20 * 20)
    cells = []
    for token in (member_token, ours.token):
        cells += [median(connection, token, query) for query in ("?limit=10", f"?limit=10&marker={middle}")]
    cells.append(median(connection, member_token, "?limit=10&visibility=shared"))
    connection.close()
    return [f"{total:,}"] + cells + [f"{memory_mib(pid):.0f} MiB"]


# A tenant of its own, who is no administrator.
member_project = ours.call("POST", "/projects", {"project": {"name": "scale-images", "domain_id": "default"}})["project"]["id"]
user = ours.call("POST", "/users", {"user": {"name": "scale-images", "password": ours.password, "domain_id": "default"}})["user"]["id"]
role = next(role["id"] for role in ours.call("GET", "/roles?name=member")["roles"])
ours.call("PUT", f"/projects/{member_project}/users/{user}/roles/{role}")
member_token = ours.log_in("scale-images", ours.password, "scale-images")

print("| images | a tenant's page | from the middle | an administrator's page | from the middle | shared with the tenant | memory |")
print("|---" * 7 + "|")
for size in SIZES:
    row(*measured(size))
    sys.stdout.flush()
