"""What a login, a validation and the memory come to with 10, 1,000 and 100,000 users: the cost must not grow with the tables.

The rows are written straight into the SQLite file of a running cloud, past the API, which would take hours to make
them; the epoch tells the process that identity has changed. SIZES="10 1000" makes it shorter.
"""

import os
import sqlite3
import sys
import time

import sides
from cloud import environment, memory_mib, row

SIZES = [int(size) for size in os.environ.get("SIZES", "10 1000 100000").split()]
SECONDS = int(os.environ.get("SECONDS_EACH", "6"))
CONNECTIONS = 16
GROUP = 50  # users of a group, which has one of the assignments of each of its users

pid = int(environment("CLOUD_PID"))
ours = sides.ours()
project_of_admin = ours.call("GET", "/projects?name=" + ours.project)["projects"][0]["id"]


def fill(users):
    """Users, a tenth as many projects, five assignments a user: made where missing."""
    projects = max(1, users // 10)
    store = sqlite3.connect(os.path.join(environment("CLOUD_STATE"), "gapura.db"), timeout=60, isolation_level=None)
    store.execute("PRAGMA foreign_keys = ON")
    roles = [store.execute("SELECT id FROM roles WHERE name = ?", (name,)).fetchone()[0] for name in ("member", "reader", "manager")]
    # Everybody's password is the administrator's; hashing a hundred thousand would be the whole run.
    password = store.execute(
        "SELECT p.hash FROM passwords p JOIN users u ON u.id = p.user_id WHERE u.name = ?", (ours.user,)).fetchone()[0]

    def rows(table, columns, values):
        marks = ", ".join("?" * len(columns.split(",")))
        store.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks}) ON CONFLICT DO NOTHING", values)

    store.execute("BEGIN IMMEDIATE")
    name = "scale-{}".format
    rows("projects", "id, domain_id, parent_id, is_domain, name, name_key, description, enabled, options, extra, created_at",
         ((f"p{n:031}", "default", "default", 0, name(n), name(n), "", 1, "{}", "{}", n) for n in range(projects)))
    rows("users", "id, domain_id, name, name_key, enabled, email, options, extra, failed_logins, created_at",
         ((f"u{n:031}", "default", name(n), name(n), 1, f"{name(n)}@example.org", "{}", "{}", 0, n) for n in range(users)))
    rows("passwords", "id, user_id, hash, self_service, created_at",
         ((f"w{n:031}", f"u{n:031}", password, 0, n) for n in range(users)))
    rows("groups", "id, domain_id, name, name_key, description, extra, created_at",
         ((f"g{n:031}", "default", name(n), name(n), "", "{}", n) for n in range(-(-users // GROUP))))
    rows("group_members", "group_id, user_id", ((f"g{n // GROUP:031}", f"u{n:031}") for n in range(users)))
    # Four of a user's own, a fifth by their group.
    own = ((roles[k % 3], f"u{n:031}", None, f"p{(n * 7 + k * 13) % projects:031}", 0, 0) for n in range(users) for k in range(4))
    rows("assignments", "role_id, user_id, group_id, project_id, is_system, inherited", own)
    shared = ((roles[k % 3], None, f"g{n:031}", f"p{(n * 11 + k * 17) % projects:031}", 0, 0)
              for n in range(-(-users // GROUP)) for k in range(GROUP))
    rows("assignments", "role_id, user_id, group_id, project_id, is_system, inherited", shared)
    store.execute("UPDATE identity_epoch SET epoch = epoch + 1")
    counts = [store.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in ("users", "projects", "assignments")]
    store.execute("COMMIT")
    store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    return counts


def measured(users):
    """The cells of one size."""
    counts = fill(users)
    last = users - 1
    project = f"scale-{last * 7 % max(1, users // 10)}"
    user = f"scale-{last}"
    member = ours.log_in(user, ours.password, project)
    url, token = ours.url + "/auth/tokens", {"X-Auth-Token": ours.token}
    subject = {**token, "X-Subject-Token": member}
    sides.wrk(url, headers=subject, seconds=1)
    validation = sides.wrk(url, headers=subject, connections=CONNECTIONS, seconds=SECONDS)
    login = sides.wrk(url, "POST", body=ours.login(user, ours.password, project), connections=CONNECTIONS, seconds=SECONDS)
    scope = {"project": {"id": project_of_admin}}
    rescope = {"auth": {"identity": {"methods": ["token"], "token": {"id": ours.token}}, "scope": scope}}
    rescoping = sides.wrk(url, "POST", body=rescope, connections=CONNECTIONS, seconds=SECONDS)
    # Each of these is resolved anew, as after a change of identity.
    fresh = [ours.log_in(f"scale-{n}", ours.password, f"scale-{n * 7 % max(1, users // 10)}") for n in range(0, users, max(1, users // 10))]
    bump()
    began = time.monotonic()
    for one in fresh:
        status, _, _ = ours.request("GET", "/auth/tokens", headers={**token, "X-Subject-Token": one})
        assert status == 200, status
    first = (time.monotonic() - began) / len(fresh) * 1e3
    one_user = once(f"/users?name={user}")
    held = once(f"/role_assignments?user.id=u{last:031}")
    return [f"{count:,}" for count in counts] + [
        f"{validation['rate']:,.0f}", f"{validation['p50']:.2f} ms", f"{validation['p99']:.2f} ms", f"{first:.2f} ms",
        f"{login['rate']:,.0f}", f"{rescoping['rate']:,.0f}", f"{one_user:.1f} ms", f"{held:.1f} ms",
        f"{memory_mib(pid):.0f} MiB"]


def once(path):
    """How long one list takes, in ms: the best of five."""
    def took():
        began = time.monotonic()
        ours.call("GET", path)
        return (time.monotonic() - began) * 1e3

    return min(took() for _ in range(5))


def bump():
    store = sqlite3.connect(os.path.join(environment("CLOUD_STATE"), "gapura.db"), timeout=60, isolation_level=None)
    store.execute("UPDATE identity_epoch SET epoch = epoch + 1")
    store.close()


print("| users | projects | assignments | validations a second | p50 | p99 | the first after a change | repeated logins a second | re-scopings a second | a user by name | a user's assignments | memory |")
print("|---" * 12 + "|")
for size in SIZES:
    row(*measured(size))
    sys.stdout.flush()
