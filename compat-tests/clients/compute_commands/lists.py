"""`server list` with its filters, orders, pages and columns: exactly the servers that are meant, among others."""

import datetime

import kit
from shell import Shell

ROW = ("ID", "Name", "Status", "Networks", "Image", "Flavor")
LONG_ROW = ("ID", "Name", "Status", "Task State", "Power State", "Networks", "Image Name", "Image ID", "Flavor", "Availability Zone",
            "Host", "Properties", "Pinned Availability Zone", "Scheduler Hints")


def walk(shell: Shell, cast):
    mine, other = cast.member("lister"), cast.member("neighbour")
    cloud, admin, made = mine["cloud"], cast.admin, {}
    shell.run(cloud, "keypair", "create", cast.name("key"))
    made["first"] = kit.create(shell, cloud, cast.name("first"), "--tag", "red", "--tag", "blue", "--key-name", cast.name("key"),
                               "--property", "role=web", "--description", "the first")
    made["second"] = kit.create(shell, cloud, cast.name("second"), "--tag", "red", flavor=kit.LARGER)
    between = datetime.datetime.now(datetime.timezone.utc).isoformat()
    made["third"] = kit.create(shell, cloud, cast.name("third"))
    made["theirs"] = kit.create(shell, other["cloud"], cast.name("theirs"))
    shell.order(cloud, "server", "stop", made["second"])
    kit.becomes(shell, cloud, made["second"], "SHUTOFF")
    shell.order(cloud, "server", "lock", made["third"])
    address = kit.show(shell, cloud, made["first"])["addresses"][kit.NETWORK][0]

    def has(*words, of, by=cloud):
        found = {row["ID"] for row in shell.run(by, "server", "list", "-n", *words).data}
        seen = {noun for noun, server in made.items() if server in found}
        shell.claim(f"server list {' '.join(words)} has {', '.join(of) or 'none'}", seen == set(of), seen)
    rows = shell.rows(cloud, "server", "list", fields=ROW)
    row = {"ID": made["second"], "Name": cast.name("second"), "Status": "SHUTOFF", "Image": kit.IMAGE, "Flavor": kit.LARGER}
    shell.claim("server list says names, states and where from", any(row.items() <= one.items() for one in rows), rows)
    rows = shell.rows(cloud, "server", "list", "--long", fields=LONG_ROW)
    row = {"ID": made["first"], "Power State": 1, "Task State": None, "Image Name": kit.IMAGE, "Availability Zone": "nova", "Host": None,
           "Properties": {"role": "web"}, "Networks": {kit.NETWORK: [address]}}
    shell.claim("server list --long says the rest", any(row.items() <= one.items() for one in rows), rows)
    rows = shell.run(admin, "server", "list", "--all-projects", "--long", "--name-lookup-one-by-one").data
    shell.claim("an operator's long list says where they run", all(row["Host"] for row in rows if row["Status"] == "ACTIVE"), rows)

    mine_all = ("first", "second", "third")
    has(of=mine_all)
    has("--name", cast.name("second"), of=("second",))
    has("--name", "^no-such", of=())
    has("--status", "SHUTOFF", of=("second",))
    has("--status", "ACTIVE", of=("first", "third"))
    has("--flavor", kit.LARGER, of=("second",))
    has("--image", kit.IMAGE, of=mine_all)
    has("--ip", f"^{address}$", of=("first",))
    has("--key-name", cast.name("key"), of=("first",))
    has("--availability-zone", "nova", of=mine_all)
    has("--vm-state", "stopped", of=("second",))
    has("--power-state", "running", of=("first", "third"))
    has("--progress", "100", of=())
    has("--locked", of=("third",))
    has("--unlocked", of=("first", "second"))
    has("--tags", "red", of=("first", "second"))
    has("--tags", "red", "--tags", "blue", of=("first",))
    has("--not-tags", "red", of=("third",))
    has("--not-tags", "blue", "--tags", "red", of=("second",))
    has("--changes-since", between, of=("second", "third"))
    has("--changes-before", between, of=("first",))
    has("--all-projects", "--user", mine["user"], of=mine_all, by=admin)
    has("--all-projects", of=(*mine_all, "theirs"), by=admin)
    has("--project", other["project"], of=("theirs",), by=admin)
    host = kit.show(shell, admin, made["first"])["OS-EXT-SRV-ATTR:host"]
    has("--all-projects", "--host", host, of=(*mine_all, "theirs"), by=admin)
    has("--all-projects", "--host", "no-such-host", of=(), by=admin)
    reservation = kit.show(shell, admin, made["third"])["OS-EXT-SRV-ATTR:reservation_id"]
    has("--reservation-id", reservation, of=("third",))
    shell.refused(cloud, "server", "list", "--all-projects", saying="403")
    shell.refused(cloud, "server", "list", "--changes-since", "yesterday", saying="Invalid changes-since value")
    shell.refused(cloud, "server", "list", "--marker", "no-such-server", saying="No Server found")
    pages(shell, cloud, made)
    ended(shell, cast, mine, other, made)


def pages(shell: Shell, cloud, made):
    """Newest first, by the page."""
    order = [made["third"], made["second"], made["first"]]

    def ids(*words):
        return [row["ID"] for row in shell.run(cloud, "server", "list", "-n", *words).data]
    shell.claim("server list is newest first", ids() == order, ids())
    shell.claim("server list --limit ends the page", ids("--limit", "2") == order[:2])
    shell.claim("server list --marker goes on behind it", ids("--marker", order[0], "--limit", "1") == order[1:2])
    shell.claim("server list --max-items ends the list", ids("--max-items", "1") == order[:1])
    shell.claim("server list --sort-column orders what is printed",
                ids("--sort-column", "Name") == [made["first"], made["second"], made["third"]])


def ended(shell: Shell, cast, mine, other, made):
    cloud = mine["cloud"]
    shell.order(cloud, "server", "unlock", made["third"])
    kit.delete(shell, cast, cloud, made["first"], made["second"], made["third"])
    gone = {row["ID"]: row["Status"] for row in shell.run(cast.admin, "server", "list", "--all-projects", "--deleted", "-n").data}
    shell.claim("server list --deleted has what is gone, to operators", gone.get(made["first"]) == "DELETED", gone)
    kit.delete(shell, cast, other["cloud"], made["theirs"])
    shell.order(cloud, "keypair", "delete", cast.name("key"))
    cast.dismiss(mine, other)
