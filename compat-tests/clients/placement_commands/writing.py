"""What would write into placement's books: refused as not built, and nothing is other than before."""

from shell import Shell
from speech import NEWEST, hosts, spoken

NOBODY = "00000000-0000-4000-8000-000000000000"


def walk(shell: Shell, cast):
    admin = cast.admin
    before = shell.run(admin, "resource", "provider", "list").data
    one = hosts(shell, admin).popitem()[1]
    for words in (
        ("resource", "provider", "create", "mine"), ("resource", "provider", "set", one, "--name", "mine"),
        ("resource", "provider", "delete", one), ("resource", "provider", "inventory", "set", one, "--resource", "VCPU=8"),
        ("resource", "provider", "inventory", "class", "set", one, "VCPU", "--total", "8"),
        ("resource", "provider", "inventory", "delete", one, "--resource-class", "VCPU"),
        ("resource", "provider", "aggregate", "set", one, "--aggregate", NOBODY, "--generation", "1"),
        ("resource", "provider", "trait", "set", one, "--trait", "STORAGE_DISK_SSD"), ("resource", "provider", "trait", "delete", one),
        ("resource", "class", "create", "CUSTOM_GOLD"), ("resource", "class", "set", "CUSTOM_GOLD"), ("resource", "class", "delete", "CUSTOM_GOLD"),
        ("trait", "create", "CUSTOM_GOLD"), ("trait", "delete", "CUSTOM_GOLD"),
        ("resource", "provider", "allocation", "set", NOBODY, "--allocation", f"rp={one},VCPU=1", "--project-id", "p", "--user-id", "u",
         "--consumer-type", "INSTANCE"),
        ("resource", "provider", "allocation", "delete", NOBODY),
    ):
        shell.refused(admin, *words, *NEWEST, saying="501")
    # It asks first what there is, and finds nothing that it could take away.
    shell.run(admin, "resource", "provider", "allocation", "unset", NOBODY, *spoken("1.28"), json_output=False, may_fail=True)
    after = shell.run(admin, "resource", "provider", "list").data
    shell.claim("nothing is other than before", after == before, after)
