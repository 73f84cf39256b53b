"""What a member does to a server: power, pause, suspend, lock, rescue, rebuild, resize; and what each says in a wrong state."""

import kit
from shell import Shell


def walk(shell: Shell, cast):
    mine, other = cast.member("actor"), cast.member("stranger")
    cloud = mine["cloud"]
    server = kit.create(shell, cloud, cast.name("server"))

    def does(verb, status, *words):
        shell.order(cloud, "server", *verb.split(), *words, server)
        kit.becomes(shell, cloud, server, status)

    def wrong(verb, action, state, *words):
        shell.refused(cloud, "server", *verb.split(), *words, server, saying=f"Cannot '{action}' instance {server} while it is in vm_state {state}")
    wrong("start", "start", "active")
    wrong("unpause", "unpause", "active")
    wrong("resume", "resume", "active")
    wrong("unrescue", "unrescue", "active")
    does("stop", "SHUTOFF")
    shell.claim("a stopped server's power is off", kit.show(shell, cloud, server)["OS-EXT-STS:power_state"] == 4)
    wrong("stop", "stop", "stopped")
    wrong("pause", "pause", "stopped")
    wrong("suspend", "suspend", "stopped")
    wrong("dump create", "trigger_crash_dump", "stopped")
    does("start", "ACTIVE")
    does("reboot", "ACTIVE", "--soft")
    does("reboot", "ACTIVE", "--hard")
    shell.run(cloud, "server", "reboot", "--wait", server, json_output=False)
    does("pause", "PAUSED")
    shell.claim("a paused server's power says so", kit.show(shell, cloud, server)["OS-EXT-STS:power_state"] == 3)
    wrong("pause", "pause", "paused")
    does("unpause", "ACTIVE")
    does("suspend", "SUSPENDED")
    wrong("suspend", "suspend", "suspended")
    does("resume", "ACTIVE")
    does("dump create", "ACTIVE")
    for verb in ("stop", "start", "pause", "unpause", "suspend", "resume", "reboot", "lock", "unlock", "rescue", "unrescue", "dump create",
                 "shelve", "unshelve"):
        shell.refused(other["cloud"], "server", *verb.split(), server, saying="No Server found")
    locked(shell, cast, mine, server)
    rescued(shell, cast, cloud, server)
    rebuilt(shell, cast, cloud, server)
    resized(shell, cast, cloud, server)
    shelved(shell, cloud, server)
    told(shell, cast, cloud, server)
    shell.order(cloud, "server", "delete", server)
    restored(shell, cast, cloud, server)
    cast.dismiss(mine, other)


def locked(shell: Shell, cast, mine, server):
    cloud = mine["cloud"]
    shell.order(cloud, "server", "lock", "--reason", "of a test", server)
    shown = kit.show(shell, cloud, server)
    shell.claim("server lock locks, with its reason", (shown["locked"], shown["locked_reason"]) == (True, "of a test"), shown)
    shell.order(cloud, "server", "unlock", server)
    # Who locked it may act on it; what an operator locked is locked for its owner.
    shell.order(cast.admin, "server", "lock", server)
    for verb in ("stop", "delete", "rescue"):
        shell.refused(cloud, "server", verb, server, saying=f"Instance {server} is locked")
    shell.refused(cloud, "server", "unlock", server, saying="unlock_override")
    shell.order(cast.admin, "server", "unlock", server)
    shell.claim("server unlock unlocks", kit.show(shell, cloud, server)["locked"] is False)


def rescued(shell: Shell, cast, cloud, server):
    shell.order(cloud, "server", "rescue", "--image", kit.IMAGE, "--password", "s3cret-word", server)
    kit.becomes(shell, cloud, server, "RESCUE")
    shell.refused(cloud, "server", "rescue", server, saying=f"Cannot 'rescue' instance {server} while it is in vm_state rescued")
    shell.refused(cloud, "server", "pause", server, saying="while it is in vm_state rescued")
    shell.order(cloud, "server", "unrescue", server)
    kit.becomes(shell, cloud, server, "ACTIVE")
    shell.refused(cloud, "server", "rescue", "--image", "no-such-image", server, saying="No Image found")


def rebuilt(shell: Shell, cast, cloud, server):
    shell.run(cloud, "keypair", "create", cast.name("key"))
    before = kit.show(shell, cloud, server)
    shell.run(cloud, "server", "rebuild", "--image", kit.IMAGE, "--name", cast.name("rebuilt"), "--property", "made=anew", "--description", "anew",
              "--hostname", "anew", "--key-name", cast.name("key"), "--password", "s3cret-word", server)
    kit.becomes(shell, cloud, server, "ACTIVE")
    shown = kit.show(shell, cloud, server)
    wanted = {"name": cast.name("rebuilt"), "properties": {"made": "anew"}, "description": "anew", "key_name": cast.name("key"),
              "OS-EXT-SRV-ATTR:hostname": "anew"}
    shell.claim("server rebuild changes what it names", wanted.items() <= shown.items(), shown)
    shell.claim("and keeps the address", shown["addresses"] == before["addresses"], shown["addresses"])
    answer = shell.run(cloud, "server", "rebuild", "--no-key-name", "--no-user-data", "--wait", server, json_output=False)
    shell.claim("server rebuild --wait says that it is done", "Complete" in answer.text, answer.text[:100])
    shell.claim("server rebuild --no-key-name takes the key", kit.show(shell, cloud, server)["key_name"] is None)
    shell.refused(cloud, "server", "rebuild", "--image", "no-such-image", server, saying="No Image found")
    shell.order(cloud, "keypair", "delete", cast.name("key"))


def resized(shell: Shell, cast, cloud, server):
    def flavor():
        return kit.show(shell, cloud, server)["flavor"]["original_name"]

    def to(name):
        shell.order(cloud, "server", "resize", "--flavor", name, server)
        kit.becomes(shell, cloud, server, "VERIFY_RESIZE")
        shell.claim("a resized server has its new flavor", flavor() == name, flavor())
    shell.refused(cloud, "server", "resize", "--flavor", kit.FLAVOR, server, saying="400")
    shell.refused(cloud, "server", "resize", "--flavor", "no-such-flavor", server, saying="No Flavor found")
    shell.refused(cloud, "server", "resize", "confirm", server, saying="409")
    shell.refused(cloud, "server", "resize", "revert", server, saying="409")
    to(kit.LARGER)
    shell.order(cloud, "server", "resize", "revert", server)
    kit.becomes(shell, cloud, server, "ACTIVE")
    shell.claim("server resize revert takes the flavor back", flavor() == kit.FLAVOR, flavor())
    to(kit.LARGER)
    shell.order(cloud, "server", "resize", "confirm", server)
    kit.becomes(shell, cloud, server, "ACTIVE")
    shell.claim("server resize confirm keeps the flavor", flavor() == kit.LARGER, flavor())
    # The same by the names that migrations have.
    for verb, after in (("migration revert", kit.LARGER), ("migration confirm", kit.FLAVOR), ("migrate revert", kit.FLAVOR),
                        ("migrate confirm", kit.LARGER)):
        to(kit.FLAVOR if flavor() == kit.LARGER else kit.LARGER)
        shell.run(cloud, "server", *verb.split(), server, json_output=False)
        kit.becomes(shell, cloud, server, "ACTIVE")
        shell.claim(f"server {verb} ends in the right flavor", flavor() == after, flavor())
    rows = shell.run(cast.admin, "server", "migration", "list", "--server", server).data
    seen = sorted((row["Type"], row["Status"]) for row in rows)
    shell.claim("server migration list has each resize, and how it ended",
                seen == [("resize", "confirmed")] * 3 + [("resize", "reverted")] * 3, seen)
    for words, count in ((("--status", "reverted"), 3), (("--type", "resize"), 6), (("--type", "cold-migration"), 0)):
        rows = shell.run(cast.admin, "server", "migration", "list", "--server", server, *words).data
        shell.claim(f"server migration list {' '.join(words)} has {count}", len(rows) == count, rows)
    shell.refused(cloud, "server", "migration", "list", saying="Policy doesn't allow")
    shell.refused(cloud, "server", "migrate", server, saying="Policy doesn't allow")


def shelved(shell: Shell, cloud, server):
    """By default what is shelved leaves its host at once."""
    image = f"{kit.show(shell, cloud, server)['name']}-shelved"
    shell.run(cloud, "server", "shelve", "--wait", server, json_output=False)
    kit.becomes(shell, cloud, server, "SHELVED_OFFLOADED")
    kept = [row["Status"] for row in shell.run(cloud, "image", "list").data if row["Name"] == image]
    shell.claim("an image keeps a shelved server's disk", kept == ["active"], kept)
    shell.refused(cloud, "server", "stop", server, saying=f"Instance {server} is not ready")
    shell.run(cloud, "server", "unshelve", "--wait", server, json_output=False)
    kit.becomes(shell, cloud, server, "ACTIVE")


def told(shell: Shell, cast, cloud, server):
    """What is remembered of all this, and what the console says."""
    rows = shell.rows(cloud, "server", "event", "list", server, fields=("Request ID", "Server ID", "Action", "Start Time"))
    actions = {row["Action"] for row in rows}
    wanted = {"create", "stop", "start", "reboot", "pause", "unpause", "suspend", "resume", "rescue", "unrescue", "rebuild", "resize",
              "revertResize", "confirmResize", "lock", "unlock", "trigger_crash_dump", "shelve", "unshelve"}
    shell.claim("server event list has every action", wanted <= actions, wanted - actions)
    first = next(row for row in rows if row["Action"] == "create")
    event = shell.run(cloud, "server", "event", "show", server, first["Request ID"]).data
    shell.claim("server event show has its steps", event["action"] == "create" and event["events"], event)
    shell.refused(cloud, "server", "event", "show", server, "req-00000000-0000-4000-8000-000000000000", saying="Action req-00000000-0000-4000-8000-000000000000 not found")
    page = shell.run(cloud, "server", "event", "list", "--limit", "1", server).data
    shell.claim("server event list --limit ends the list, newest first", page == rows[:1], page)
    rest = shell.run(cloud, "server", "event", "list", "--marker", page[0]["Request ID"], server).data
    shell.claim("server event list --marker goes on behind it", rest == rows[1:])
    log = shell.run(cloud, "console", "log", "show", server, json_output=False)
    shell.claim("console log show prints the console", log.status == 0, log.complaint)
    shell.run(cloud, "console", "log", "show", "--lines", "1", server, json_output=False)
    shell.refused(cloud, "console", "log", "show", "--lines", "x", server, saying="invalid int value")
    topology = shell.run(cloud, "--os-compute-api-version", "2.78", "server", "show", "--topology", server).data["topology"]
    shell.claim("server show --topology has none", topology == {"nodes": [], "pagesize_kb": None}, topology)
    shell.claim("server volume list has none", shell.run(cloud, "server", "volume", "list", server).data == [])


def restored(shell: Shell, cast, cloud, server):
    """Deleted servers are kept for a while in this cloud."""
    hidden = {row["ID"]: row["Status"] for row in shell.run(cast.admin, "server", "list", "--all-projects", "--status", "SOFT_DELETED", "-n").data}
    shell.claim("a deleted server is kept for operators", hidden.get(server) == "SOFT_DELETED", hidden)
    shell.order(cast.admin, "server", "restore", server)
    kit.becomes(shell, cloud, server, "ACTIVE")
    shell.refused(cloud, "server", "restore", server, saying=f"Cannot 'restore' instance {server} while it is in vm_state active")
    shell.order(cast.admin, "server", "delete", "--force", server)
    shell.claim("a forced delete leaves nothing", shell.until(lambda: shell.run(cast.admin, "server", "show", server, may_fail=True).status == 1, 20, 0.1))
